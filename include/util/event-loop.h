/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event loops: one thread waits on many file descriptors, timers and messages.
 *
 * There is one main loop (system/main-loop.h) and one loop per iothread. All
 * of them are this type; the main loop alone holds the machine lock while it
 * dispatches.
 *
 * Threads: "loop thread" is the thread inside event_loop_run(). Watches and
 * timers belong to it: start, change and stop them there (or before the loop
 * first runs, or through event_loop_call()). For the main loop, whoever holds
 * the machine lock counts as its thread. Posting, calling, scheduling a task
 * and quitting may be done from any thread.
 */
#ifndef UTIL_EVENT_LOOP_H
#define UTIL_EVENT_LOOP_H

#include "util/error.h"

typedef struct EventLoop EventLoop;
typedef struct FdWatch FdWatch;
typedef struct LoopTimer LoopTimer;
typedef struct LoopTask LoopTask;
typedef struct LoopPoll LoopPoll;

/* Events of a watch; the values of poll(2). */
enum {
    LOOP_IN = 0x001,
    LOOP_PRI = 0x002,
    LOOP_OUT = 0x004,
    LOOP_ERR = 0x008,    /* always reported */
    LOOP_HUP = 0x010,    /* always reported */
    LOOP_RDHUP = 0x2000, /* the peer sends no more */
};

typedef void FdWatchFunc(void *opaque, uint32_t events);
typedef void LoopFunc(void *opaque);

/* A file descriptor in a loop. Caller-allocated; zero-filled means idle. */
struct FdWatch {
    /* loop thread */
    EventLoop *loop; /* NULL: not started */
    int fd;
    uint32_t events;
    FdWatchFunc *func;
    void *opaque;
    const char *name; /* for tracing; static string */
    int polled_fd;    /* what the kernel watches: fd, or a duplicate of it when
                         another watch has the fd; -1: polled by the loop */
};

/* A one-shot timer on CLOCK_MONOTONIC. Caller-allocated. */
struct LoopTimer {
    /* fixed after init */
    EventLoop *loop;
    LoopFunc *func;
    void *opaque;
    /* loop thread */
    int64_t deadline_ns; /* -1: not armed */
    LoopTimer *next;
};

/*
 * Work to be done once by a loop, soon. Scheduling it again before it ran
 * changes nothing. Caller-allocated.
 */
struct LoopTask {
    /* fixed after init */
    EventLoop *loop;
    LoopFunc *func;
    void *opaque;
    /* any thread, atomic: whoever turns it on links the task */
    bool scheduled;
    LoopTask *next;
};

/* What a loop does with memory that it looks at while it polls. Loop thread. */
typedef struct LoopPollOps {
    /* Polling begins: whoever writes to the memory need not tell us. */
    void (*begin)(void *opaque);
    /* Is there work? */
    bool (*ready)(void *opaque);
    /* Polling is over, writers are to tell us again: is there work? */
    bool (*end)(void *opaque);
    /* Does the work; in the turn that found it. */
    void (*run)(void *opaque);
} LoopPollOps;

/* Memory to look at while a loop polls. Caller-allocated; zero-filled means
 * idle. */
struct LoopPoll {
    /* loop thread */
    EventLoop *loop; /* NULL: not started */
    const LoopPollOps *ops;
    void *opaque;
    bool ready; /* to be run in this turn */
    LoopPoll *next;
};

/* What a loop calls around its sleep; only the main loop has any. */
typedef struct EventLoopHooks {
    void (*before_wait)(void);
    void (*after_wait)(void);
    /* True when the calling thread counts as the loop's: it holds the lock
     * that before_wait gives away. */
    bool (*may_act)(void);
} EventLoopHooks;

/*
 * A new loop that nobody runs yet. @name is copied. @hooks may be NULL and
 * must outlive the loop. NULL and *errp when the kernel refuses epoll or
 * eventfd.
 */
EventLoop *event_loop_new(const char *name, const EventLoopHooks *hooks,
                          Error **errp);

/* Frees @loop: nobody runs it, no watch, timer or task is left on it. */
void event_loop_free(EventLoop *loop);

/*
 * Before it sleeps, the loop polls for at most @max_ns (0: never, as a new
 * loop does). How long it does is learnt: multiplied by @grow (0: by 2) when a
 * little more would have caught the event, divided by @shrink (0: set to
 * nothing) when even @max_ns would not. An idle loop sleeps. Any thread.
 */
void event_loop_set_polling(EventLoop *loop, int64_t max_ns, int64_t grow,
                            int64_t shrink);

/* Runs @loop in the calling thread until event_loop_quit(); what was posted
 * before that still runs. */
void event_loop_run(EventLoop *loop);

/* One turn: waits at most @timeout_ns (-1: for ever, 0: not at all). */
void event_loop_turn(EventLoop *loop, int64_t timeout_ns);

/* Makes event_loop_run() return after the turn under way. Any thread. */
void event_loop_quit(EventLoop *loop);

/* True when the calling thread is inside event_loop_run() of @loop. */
bool event_loop_is_current(const EventLoop *loop);

const char *event_loop_name(const EventLoop *loop);

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t clock_now_ns(void);

/* Calls func(opaque) in @loop's thread, later. Any thread. */
void event_loop_post(EventLoop *loop, LoopFunc *func, void *opaque);

/*
 * Calls func(opaque) in @loop's thread and returns when it has run. In the
 * loop's own thread, or when no thread runs the loop (and the caller knows that
 * none is about to), calls it directly.
 * The callee must not wait for the caller: an iothread's function never takes
 * the machine lock, so a holder of that lock may call into an iothread.
 * Any thread but: never from an iothread into the main loop.
 */
void event_loop_call(EventLoop *loop, LoopFunc *func, void *opaque);

/*
 * Starts watching @fd for @events (LOOP_IN | LOOP_OUT; 0 watches for errors
 * only). @watch must be idle and stay in place until fd_watch_stop(), which
 * comes before close(2). Level triggered; @func may now and then be called
 * for what somebody else has read already. Several watches may have one fd. A
 * file that cannot be waited for (a regular file) is always ready. Loop thread.
 */
void fd_watch_start(FdWatch *watch, EventLoop *loop, int fd, uint32_t events,
                    FdWatchFunc *func, void *opaque);
void fd_watch_set_events(FdWatch *watch, uint32_t events);

/* Stops @watch (nothing if idle); its function is not called any more, even
 * for an event of the turn under way. The fd stays open. Loop thread. */
void fd_watch_stop(FdWatch *watch);

/* Makes @timer ready for use on @loop, not armed. */
void loop_timer_init(LoopTimer *timer, EventLoop *loop, LoopFunc *func,
                     void *opaque);
/* Arms at @deadline_ns (clock_now_ns() base), replacing an earlier deadline. */
void loop_timer_arm(LoopTimer *timer, int64_t deadline_ns);
void loop_timer_cancel(LoopTimer *timer);

/* Adds @poll to what @loop looks at before it sleeps, as long as it polls
 * (event_loop_set_polling()). Loop thread. */
void loop_poll_start(LoopPoll *poll, EventLoop *loop, const LoopPollOps *ops,
                     void *opaque);
/* Takes it out (nothing if idle): none of its functions is called any more. */
void loop_poll_stop(LoopPoll *poll);

void loop_task_init(LoopTask *task, EventLoop *loop, LoopFunc *func,
                    void *opaque);
/* Makes @task's function run in its loop's next turn. Any thread. */
void loop_task_schedule(LoopTask *task);
/* Takes back a scheduled task; after it the function is not called. Loop
 * thread. */
void loop_task_cancel(LoopTask *task);

#endif
