/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the event loop share: the loop itself.
 *
 * Threads: per field; see util/event-loop.h for "loop thread".
 */
#ifndef UTIL_EVENT_LOOP_INTERNAL_H
#define UTIL_EVENT_LOOP_INTERNAL_H

#include <pthread.h>
#include <sys/epoll.h>

#include "util/event-loop.h"

#define LOOP_TURN_EVENTS 64

/* What one turn got from the kernel and has not dispatched yet. */
typedef struct LoopTurn {
    struct epoll_event events[LOOP_TURN_EVENTS]; /* data.ptr: FdWatch or NULL */
    unsigned n;
    struct LoopTurn *outer; /* a turn that a function of a turn runs */
} LoopTurn;

struct EventLoop {
    /* fixed after creation */
    char *name;
    const EventLoopHooks *hooks;
    int epoll_fd, wake_fd;

    /* loop thread */
    LoopTurn *turn;    /* innermost one under way */
    LoopTimer *timers; /* by deadline */
    GPtrArray *aside;  /* of FdWatch that epoll does not carry */
    unsigned n_watches;
    uint64_t stops;  /* watches stopped so far */
    int64_t poll_ns; /* learnt */
    LoopPoll *polls;
    unsigned polls_in_a_row; /* turns that ended so and asked no file */
    bool no_pwait2;          /* the kernel has no nanosecond timeouts */

    /* any thread, atomic: settings, read once a turn */
    int64_t poll_max_ns, poll_grow, poll_shrink;

    /* any thread, atomic: written with the lock, compared without */
    const void *owner; /* token of the thread in the loop; NULL: none */

    /* any thread, under the lock */
    pthread_mutex_t lock;
    pthread_cond_t call_done;
    LoopTask *head, **tail; /* scheduled, oldest first */
    unsigned n_tasks;
    unsigned n_calls; /* threads in event_loop_call() */
    bool sleeping;    /* in the kernel, or about to be */
    bool woken;       /* wake_fd has been signalled since */
    bool quit;
};

/* Wakes the loop if it sleeps; loop->lock is held. */
void event_loop_wake_locked(EventLoop *loop);

/* Runs as many tasks as are scheduled now: a task that schedules itself does
 * not keep the loop from its other work. */
void event_loop_run_tasks(EventLoop *loop);

/* Waits for events, at most @timeout_ns (-1: for ever), first polling. Returns
 * how many of @events (LOOP_TURN_EVENTS) there are: none on timeout, on a
 * signal, and when a LoopPoll is ready instead. */
unsigned event_loop_wait(EventLoop *loop, struct epoll_event *events,
                         int64_t timeout_ns);
/* The same without polling. */
unsigned event_loop_sleep(EventLoop *loop, struct epoll_event *events,
                          int64_t timeout_ns);
/* Runs each LoopPoll that is ready. */
void event_loop_run_polls(EventLoop *loop);

/* Runs the timers that are due now. */
void event_loop_run_timers(EventLoop *loop);

#endif
