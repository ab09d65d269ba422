/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Timers, tasks and calls of an event loop. */
#include "util/osdep.h"

#include "event-loop-internal.h"

/* ---- timers ---- */

void loop_timer_init(LoopTimer *timer, EventLoop *loop, LoopFunc *func,
                     void *opaque)
{
    *timer = (LoopTimer){
        .loop = loop, .func = func, .opaque = opaque, .deadline_ns = -1
    };
}

void loop_timer_cancel(LoopTimer *timer)
{
    LoopTimer **link;

    if (timer->deadline_ns < 0) {
        return;
    }
    link = &timer->loop->timers;
    while (*link != timer) {
        link = &(*link)->next;
    }
    *link = timer->next;
    timer->next = NULL;
    timer->deadline_ns = -1;
}

void loop_timer_arm(LoopTimer *timer, int64_t deadline_ns)
{
    EventLoop *loop = timer->loop;
    LoopTimer **link = &loop->timers;

    loop_timer_cancel(timer);
    timer->deadline_ns = MAX(deadline_ns, 0);
    while (*link && (*link)->deadline_ns <= timer->deadline_ns) {
        link = &(*link)->next;
    }
    timer->next = *link;
    *link = timer;
    if (loop->timers == timer && !event_loop_is_current(loop)) {
        pthread_mutex_lock(&loop->lock);
        event_loop_wake_locked(loop);
        pthread_mutex_unlock(&loop->lock);
    }
}

void event_loop_run_timers(EventLoop *loop)
{
    unsigned due = 0;
    int64_t now;

    if (!loop->timers) {
        return;
    }
    now = clock_now_ns();
    for (LoopTimer *t = loop->timers; t && t->deadline_ns <= now; t = t->next) {
        due++;
    }
    /* As many as were due: a timer that arms itself for the past does not keep
     * the loop here. */
    while (due-- && loop->timers && loop->timers->deadline_ns <= now) {
        LoopTimer *timer = loop->timers;

        loop_timer_cancel(timer);
        timer->func(timer->opaque);
    }
}

/* ---- tasks ---- */

void loop_task_init(LoopTask *task, EventLoop *loop, LoopFunc *func,
                    void *opaque)
{
    *task = (LoopTask){ .loop = loop, .func = func, .opaque = opaque };
}

/* Appends @task unless it is in the list; loop->lock is held. */
static void task_schedule_locked(LoopTask *task)
{
    EventLoop *loop = task->loop;

    if (task->scheduled) {
        return;
    }
    task->scheduled = true;
    task->next = NULL;
    *loop->tail = task;
    loop->tail = &task->next;
    loop->n_tasks++;
    event_loop_wake_locked(loop);
}

void loop_task_schedule(LoopTask *task)
{
    pthread_mutex_lock(&task->loop->lock);
    task_schedule_locked(task);
    pthread_mutex_unlock(&task->loop->lock);
}

void loop_task_cancel(LoopTask *task)
{
    EventLoop *loop = task->loop;
    LoopTask **link = &loop->head;

    pthread_mutex_lock(&loop->lock);
    if (task->scheduled) {
        while (*link != task) {
            link = &(*link)->next;
        }
        *link = task->next;
        if (!task->next) {
            loop->tail = link;
        }
        loop->n_tasks--;
        task->scheduled = false;
    }
    pthread_mutex_unlock(&loop->lock);
}

/* Takes the oldest task out, with what to call: the task's memory may be used
 * again as soon as it is out. False when there is none. */
static bool task_take(EventLoop *loop, LoopFunc **func, void **opaque)
{
    LoopTask *task;

    pthread_mutex_lock(&loop->lock);
    task = loop->head;
    if (task) {
        loop->head = task->next;
        if (!loop->head) {
            loop->tail = &loop->head;
        }
        loop->n_tasks--;
        task->scheduled = false;
        *func = task->func;
        *opaque = task->opaque;
    }
    pthread_mutex_unlock(&loop->lock);
    return task != NULL;
}

void event_loop_run_tasks(EventLoop *loop)
{
    LoopFunc *func;
    void *opaque;
    unsigned n;

    pthread_mutex_lock(&loop->lock);
    n = loop->n_tasks;
    pthread_mutex_unlock(&loop->lock);
    while (n-- && task_take(loop, &func, &opaque)) {
        func(opaque);
    }
}

/* ---- calls ---- */

typedef struct PostedCall {
    LoopTask task;
    LoopFunc *func;
    void *opaque;
} PostedCall;

static void posted_call_run(void *opaque)
{
    PostedCall *call = opaque;

    call->func(call->opaque);
    g_free(call);
}

void event_loop_post(EventLoop *loop, LoopFunc *func, void *opaque)
{
    PostedCall *call = g_new0(PostedCall, 1);

    call->func = func;
    call->opaque = opaque;
    loop_task_init(&call->task, loop, posted_call_run, call);
    loop_task_schedule(&call->task);
}

/* A call that a thread waits for; on that thread's stack. */
typedef struct WaitedCall {
    LoopTask task;
    LoopFunc *func;
    void *opaque;
    bool done; /* under the loop's lock */
} WaitedCall;

static void waited_call_run(void *opaque)
{
    WaitedCall *call = opaque;
    EventLoop *loop = call->task.loop;

    call->func(call->opaque);
    pthread_mutex_lock(&loop->lock);
    call->done = true;
    loop->n_calls--;
    pthread_cond_broadcast(&loop->call_done);
    pthread_mutex_unlock(&loop->lock);
}

static bool caller_counts_as_loop(const EventLoop *loop)
{
    return event_loop_is_current(loop) ||
           (loop->hooks && loop->hooks->may_act && loop->hooks->may_act());
}

void event_loop_call(EventLoop *loop, LoopFunc *func, void *opaque)
{
    WaitedCall call = { .func = func, .opaque = opaque };
    bool idle;

    if (caller_counts_as_loop(loop)) {
        func(opaque);
        return;
    }
    loop_task_init(&call.task, loop, waited_call_run, &call);
    pthread_mutex_lock(&loop->lock);
    idle = !loop->owner;
    if (!idle) {
        loop->n_calls++;
        task_schedule_locked(&call.task);
        while (!call.done) {
            pthread_cond_wait(&loop->call_done, &loop->lock);
        }
    }
    pthread_mutex_unlock(&loop->lock);
    if (idle) {
        func(opaque);
    }
}
