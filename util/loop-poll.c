/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How a loop waits: it polls for a time that it learns, then it sleeps.
 *
 * Polling means to ask the kernel for events without waiting, and to look at
 * the memory of each LoopPoll in between: what is found there came without a
 * system call on either side.
 *
 * Threads: the loop's.
 */
#include "util/osdep.h"

#include "event-loop-internal.h"

#define POLL_START_NS 4000 /* first polling time that is tried */
/* Pause between two looks at files while polling: a system call each. */
#define FILE_LOOK_NS 1000
/* Turns in a row that memory may fill before files are looked at. */
#define POLLS_IN_A_ROW 4u

#define NS_PER_SEC 1000000000LL
#define NS_PER_MS  1000000LL

/* ---- memory ---- */

void loop_poll_start(LoopPoll *poll, EventLoop *loop, const LoopPollOps *ops,
                     void *opaque)
{
    g_assert(!poll->loop);
    *poll = (LoopPoll){
        .loop = loop, .ops = ops, .opaque = opaque, .next = loop->polls
    };
    loop->polls = poll;
}

void loop_poll_stop(LoopPoll *poll)
{
    LoopPoll **at;

    if (!poll->loop) {
        return;
    }
    for (at = &poll->loop->polls; *at != poll; at = &(*at)->next) {
        continue;
    }
    *at = poll->next;
    poll->loop = NULL;
}

static void polls_begin(EventLoop *loop)
{
    for (LoopPoll *p = loop->polls; p; p = p->next) {
        p->ops->begin(p->opaque);
    }
}

static bool polls_ready(EventLoop *loop)
{
    bool ready = false;

    for (LoopPoll *p = loop->polls; p; p = p->next) {
        p->ready = p->ops->ready(p->opaque);
        ready |= p->ready;
    }
    return ready;
}

/* One that is ready runs soon and asks to be told again when it has done. */
static bool polls_end(EventLoop *loop)
{
    bool ready = false;

    for (LoopPoll *p = loop->polls; p; p = p->next) {
        p->ready = p->ready || p->ops->end(p->opaque);
        ready |= p->ready;
    }
    return ready;
}

void event_loop_run_polls(EventLoop *loop)
{
    LoopPoll *p = loop->polls;

    while (p) {
        if (p->ready) {
            p->ready = false;
            p->ops->run(p->opaque);
            p = loop->polls; /* it may have stopped any of them */
        } else {
            p = p->next;
        }
    }
}

/* ---- files ---- */

unsigned event_loop_sleep(EventLoop *loop, struct epoll_event *events,
                          int64_t timeout_ns)
{
    int n = -1;
    int ms;

    if (!loop->no_pwait2 && timeout_ns > 0) {
        struct timespec ts = { .tv_sec = timeout_ns / NS_PER_SEC,
                               .tv_nsec = timeout_ns % NS_PER_SEC };

        n = epoll_pwait2(loop->epoll_fd, events, LOOP_TURN_EVENTS, &ts, NULL);
        if (n >= 0 || errno == EINTR) {
            return n < 0 ? 0 : (unsigned)n;
        }
        loop->no_pwait2 = true;
    }
    /* Rounded up: a timer is never looked at before its time. */
    ms = timeout_ns < 0
             ? -1
             : (int)MIN((timeout_ns + NS_PER_MS - 1) / NS_PER_MS, INT32_MAX);
    n = epoll_wait(loop->epoll_fd, events, LOOP_TURN_EVENTS, ms);
    return n < 0 ? 0 : (unsigned)n;
}

/* ---- both ---- */

/* Learns from a wait that took @waited_ns. */
static void loop_adapt_polling(EventLoop *loop, int64_t max_ns,
                               int64_t waited_ns)
{
    int64_t grow = __atomic_load_n(&loop->poll_grow, __ATOMIC_RELAXED);
    int64_t shrink = __atomic_load_n(&loop->poll_shrink, __ATOMIC_RELAXED);

    if (waited_ns > max_ns) {
        loop->poll_ns = shrink ? loop->poll_ns / shrink : 0;
    } else if (waited_ns > loop->poll_ns) {
        grow = grow ? grow : 2;
        if (loop->poll_ns == 0) {
            loop->poll_ns = POLL_START_NS;
        } else if (loop->poll_ns > max_ns / grow) {
            loop->poll_ns = max_ns;
        } else {
            loop->poll_ns *= grow;
        }
    }
    loop->poll_ns = MIN(loop->poll_ns, max_ns);
}

/*
 * Polls until @until. Sets *ready when a LoopPoll is, and otherwise leaves none
 * of them without its notifications. Files get a look at least every few turns,
 * however busy the memory is.
 */
static unsigned loop_poll(EventLoop *loop, struct epoll_event *events,
                          int64_t until, bool *ready)
{
    int64_t look = 0, now;
    unsigned n = 0;

    polls_begin(loop);
    do {
        *ready = polls_ready(loop);
        if (*ready && loop->polls_in_a_row < POLLS_IN_A_ROW) {
            loop->polls_in_a_row++;
            break;
        }
        now = clock_now_ns();
        if (*ready || now >= look) {
            loop->polls_in_a_row = 0;
            n = event_loop_sleep(loop, events, 0);
            look = now + FILE_LOOK_NS;
        }
    } while (n == 0 && !*ready && now < until);
    *ready = polls_end(loop);
    return n;
}

unsigned event_loop_wait(EventLoop *loop, struct epoll_event *events,
                         int64_t timeout_ns)
{
    int64_t max_ns = __atomic_load_n(&loop->poll_max_ns, __ATOMIC_RELAXED);
    int64_t start, now, until;
    bool ready = false;
    unsigned n = 0;

    if (timeout_ns == 0 || max_ns == 0) {
        return event_loop_sleep(loop, events, timeout_ns);
    }
    start = now = clock_now_ns();
    until = MIN(loop->poll_ns, max_ns);
    if (timeout_ns > 0) {
        until = MIN(until, timeout_ns);
    }
    until = start + MIN(until, INT64_MAX - start);
    if (now < until) {
        n = loop_poll(loop, events, until, &ready);
        now = clock_now_ns();
    }
    if (n == 0 && !ready && (timeout_ns < 0 || now - start < timeout_ns)) {
        n = event_loop_sleep(loop, events,
                             timeout_ns < 0 ? -1 : timeout_ns - (now - start));
        now = clock_now_ns();
    }
    loop_adapt_polling(loop, max_ns, now - start);
    return n;
}
