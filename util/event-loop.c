/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <fcntl.h>
#include <poll.h>
#include <time.h>

#include "event-loop-internal.h"
#include "util/fd.h"

/* Pause between looks at files that the kernel could not take into the epoll
 * set. */
#define ASIDE_PAUSE_NS 10000000

#define NS_PER_SEC 1000000000LL

static __thread char thread_token; /* its address names the thread */

int64_t clock_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_SEC + now.tv_nsec;
}

EventLoop *event_loop_new(const char *name, const EventLoopHooks *hooks,
                          Error **errp)
{
    EventLoop *loop = g_new0(EventLoop, 1);
    struct epoll_event ev = { .events = EPOLLIN };

    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll_fd < 0) {
        error_setg_errno(errp, errno, "event loop '%s': epoll_create1", name);
        goto free_loop;
    }
    loop->wake_fd = eventfd_new(errp);
    if (loop->wake_fd < 0) {
        goto close_epoll;
    }
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev) < 0) {
        error_setg_errno(errp, errno, "event loop '%s': epoll_ctl", name);
        goto close_wake;
    }
    loop->name = g_strdup(name);
    loop->hooks = hooks;
    loop->aside = g_ptr_array_new();
    loop->tail = &loop->head;
    pthread_mutex_init(&loop->lock, NULL);
    pthread_cond_init(&loop->call_done, NULL);
    return loop;

close_wake:
    close(loop->wake_fd);
close_epoll:
    close(loop->epoll_fd);
free_loop:
    g_free(loop);
    return NULL;
}

void event_loop_free(EventLoop *loop)
{
    g_assert(!loop->owner && !loop->n_watches && !loop->timers && !loop->head &&
             !loop->polls);
    pthread_cond_destroy(&loop->call_done);
    pthread_mutex_destroy(&loop->lock);
    g_ptr_array_unref(loop->aside);
    close(loop->wake_fd);
    close(loop->epoll_fd);
    g_free(loop->name);
    g_free(loop);
}

const char *event_loop_name(const EventLoop *loop)
{
    return loop->name;
}

bool event_loop_is_current(const EventLoop *loop)
{
    return __atomic_load_n(&loop->owner, __ATOMIC_RELAXED) == &thread_token;
}

void event_loop_set_polling(EventLoop *loop, int64_t max_ns, int64_t grow,
                            int64_t shrink)
{
    __atomic_store_n(&loop->poll_grow, grow, __ATOMIC_RELAXED);
    __atomic_store_n(&loop->poll_shrink, shrink, __ATOMIC_RELAXED);
    __atomic_store_n(&loop->poll_max_ns, max_ns, __ATOMIC_RELAXED);
}

void event_loop_wake_locked(EventLoop *loop)
{
    if (loop->sleeping && !loop->woken) {
        loop->woken = true;
        eventfd_signal(loop->wake_fd);
    }
}

void event_loop_quit(EventLoop *loop)
{
    pthread_mutex_lock(&loop->lock);
    loop->quit = true;
    event_loop_wake_locked(loop);
    pthread_mutex_unlock(&loop->lock);
}

/* ---- watches ---- */

void fd_watch_start(FdWatch *watch, EventLoop *loop, int fd, uint32_t events,
                    FdWatchFunc *func, void *opaque)
{
    struct epoll_event ev = { .events = events, .data.ptr = watch };

    g_assert(!watch->loop);
    watch->loop = loop;
    watch->fd = fd;
    watch->events = events;
    watch->func = func;
    watch->opaque = opaque;
    watch->polled_fd = fd;
    loop->n_watches++;
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0) {
        return;
    }
    if (errno == EEXIST) {
        watch->polled_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (watch->polled_fd >= 0 && epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD,
                                               watch->polled_fd, &ev) == 0) {
            return;
        }
        fd_close(&watch->polled_fd);
    }
    watch->polled_fd = -1;
    g_ptr_array_add(loop->aside, watch);
}

void fd_watch_set_events(FdWatch *watch, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = watch };

    if (watch->events == events) {
        return;
    }
    watch->events = events;
    if (watch->polled_fd >= 0) {
        epoll_ctl(watch->loop->epoll_fd, EPOLL_CTL_MOD, watch->polled_fd, &ev);
    }
}

void fd_watch_stop(FdWatch *watch)
{
    EventLoop *loop = watch->loop;

    if (!loop) {
        return;
    }
    if (watch->polled_fd >= 0) {
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->polled_fd, NULL);
        if (watch->polled_fd != watch->fd) {
            close(watch->polled_fd);
        }
    } else {
        g_ptr_array_remove(loop->aside, watch);
    }
    for (LoopTurn *turn = loop->turn; turn; turn = turn->outer) {
        for (unsigned i = 0; i < turn->n; i++) {
            if (turn->events[i].data.ptr == watch) {
                turn->events[i].data.ptr = NULL;
            }
        }
    }
    loop->stops++;
    loop->n_watches--;
    watch->loop = NULL;
}

static void watch_dispatch(FdWatch *watch, uint32_t events)
{
    events &= watch->events | LOOP_ERR | LOOP_HUP;
    if (events) {
        watch->func(watch->opaque, events);
    }
}

static uint32_t aside_look(const FdWatch *watch)
{
    struct pollfd p = { .fd = watch->fd, .events = (short)watch->events };

    return poll(&p, 1, 0) > 0 ? (uint32_t)p.revents : 0;
}

/* @timeout_ns, less when a watch that epoll does not carry needs it. */
static int64_t aside_timeout(EventLoop *loop, int64_t timeout_ns)
{
    for (unsigned i = 0; i < loop->aside->len; i++) {
        if (aside_look(g_ptr_array_index(loop->aside, i))) {
            return 0;
        }
        if (timeout_ns < 0 || timeout_ns > ASIDE_PAUSE_NS) {
            timeout_ns = ASIDE_PAUSE_NS;
        }
    }
    return timeout_ns;
}

static void aside_dispatch(EventLoop *loop)
{
    unsigned left = loop->aside->len;

    for (unsigned i = 0; left && i < loop->aside->len; left--) {
        FdWatch *watch = g_ptr_array_index(loop->aside, i);

        watch_dispatch(watch, aside_look(watch));
        if (i < loop->aside->len &&
            g_ptr_array_index(loop->aside, i) == watch) {
            i++;
        }
    }
}

/* ---- turns ---- */

/* The time to sleep. From here on, who adds work wakes the loop. */
static int64_t turn_prepare(EventLoop *loop, int64_t timeout_ns)
{
    if (loop->timers) {
        int64_t left = MAX(loop->timers->deadline_ns - clock_now_ns(), 0);

        if (timeout_ns < 0 || left < timeout_ns) {
            timeout_ns = left;
        }
    }
    timeout_ns = aside_timeout(loop, timeout_ns);
    pthread_mutex_lock(&loop->lock);
    if (loop->head || loop->quit) {
        timeout_ns = 0;
    }
    loop->sleeping = timeout_ns != 0;
    pthread_mutex_unlock(&loop->lock);
    return timeout_ns;
}

/* @signalled: the kernel says that wake_fd is readable, whoever wrote it. True
 * when there are tasks to run. */
static bool turn_awake(EventLoop *loop, bool signalled)
{
    bool tasks;

    pthread_mutex_lock(&loop->lock);
    loop->sleeping = false;
    if (loop->woken || signalled) {
        loop->woken = false;
        eventfd_clear(loop->wake_fd);
    }
    tasks = loop->head != NULL;
    pthread_mutex_unlock(&loop->lock);
    return tasks;
}

/* Sleeps and fills @turn; true when there are tasks to run. */
static bool turn_wait(EventLoop *loop, LoopTurn *turn, int64_t timeout_ns)
{
    uint64_t stops = loop->stops;
    bool signalled = false;
    bool tasks;
    unsigned n;

    timeout_ns = turn_prepare(loop, timeout_ns);
    if (loop->hooks) {
        loop->hooks->before_wait();
    }
    n = event_loop_wait(loop, turn->events, timeout_ns);
    for (unsigned i = 0; i < n; i++) {
        signalled |= turn->events[i].data.ptr == NULL;
    }
    tasks = turn_awake(loop, signalled);
    if (loop->hooks) {
        loop->hooks->after_wait();
    }
    /* A lock holder may have stopped a watch that is among these events: ask
     * again, now that nobody can. To leave them to the next turn would let a
     * guest that stops a watch in each of our sleeps keep all others waiting.
     */
    if (stops != loop->stops) {
        n = event_loop_sleep(loop, turn->events, 0);
    }
    turn->n = n;
    return tasks;
}

/* Makes the loop this thread's; false when it is already. */
static bool loop_enter(EventLoop *loop)
{
    if (event_loop_is_current(loop)) {
        return false;
    }
    pthread_mutex_lock(&loop->lock);
    g_assert(!loop->owner);
    __atomic_store_n(&loop->owner, &thread_token, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&loop->lock);
    return true;
}

/* Leaves nobody behind who waits in event_loop_call(). */
static void loop_leave(EventLoop *loop)
{
    pthread_mutex_lock(&loop->lock);
    while (loop->n_calls) {
        pthread_mutex_unlock(&loop->lock);
        event_loop_run_tasks(loop);
        pthread_mutex_lock(&loop->lock);
    }
    __atomic_store_n(&loop->owner, NULL, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&loop->lock);
}

void event_loop_turn(EventLoop *loop, int64_t timeout_ns)
{
    bool entered = loop_enter(loop);
    LoopTurn turn; /* not cleared: most of it stays unused */
    bool tasks = turn_wait(loop, &turn, timeout_ns);

    turn.outer = loop->turn;
    loop->turn = &turn;
    event_loop_run_timers(loop);
    if (tasks) {
        event_loop_run_tasks(loop);
    }
    event_loop_run_polls(loop);
    for (unsigned i = 0; i < turn.n; i++) {
        FdWatch *watch = turn.events[i].data.ptr;

        if (watch) {
            turn.events[i].data.ptr = NULL;
            watch_dispatch(watch, turn.events[i].events);
        }
    }
    aside_dispatch(loop);
    loop->turn = turn.outer;
    if (entered) {
        loop_leave(loop);
    }
}

static bool loop_take_quit(EventLoop *loop)
{
    bool quit;

    pthread_mutex_lock(&loop->lock);
    quit = loop->quit;
    loop->quit = false;
    pthread_mutex_unlock(&loop->lock);
    return quit;
}

void event_loop_run(EventLoop *loop)
{
    bool entered = loop_enter(loop);

    while (!loop_take_quit(loop)) {
        event_loop_turn(loop, -1);
    }
    event_loop_run_tasks(loop);
    if (entered) {
        loop_leave(loop);
    }
}
