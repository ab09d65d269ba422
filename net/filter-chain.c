/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The chain of filters in the way of one subqueue's frames.
 *
 *   to the guest:   back-end's recv -> head ... tail -> the pair's buffers
 *   from the guest: pair's send -> tail ... head -> back-end's send
 *
 * Frames that do not come straight from there, because a filter held or made
 * them, wait in one of two queues at the ends: for the pair, which reads them
 * before any others, or for the back-end, which the chain sends them to. So no
 * filter sees a frame twice, and each is sent in the order in which it left the
 * filters. A frame that finds no room in the back-end waits in that queue, too:
 * those that follow are refused before any filter has seen them.
 *
 * The lock is the chain's own. It is taken by the pair that receives, and by
 * those that send, which may be of other threads where a netdev has fewer
 * queues than its NIC.
 *
 * Threads: see net/filter.h.
 */
#include "util/osdep.h"

#include <pthread.h>

#include "net/filter.h"
#include "net/wake.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/iov.h"

#define MAX_IOV       1024u
#define WAITING_MAX   16384u /* frames at each end */
#define WAITING_BYTES (64u << 20)
#define FRAME_MAX     (65536u + 64u + 64u)
#define BURST         64u /* frames in one go */

struct NetFilterChain {
    /* fixed */
    NetSubqueue *sq;
    NetFrameQueue *in, *out;

    /* main thread, while no pair uses the subqueue; with the lock: read */
    NetFilterQueue **q; /* head first */
    unsigned n;

    pthread_mutex_t lock; /* for the rest */
    EventLoop *loop;      /* of the pair that receives; NULL: none runs */
    LoopTask *frames;     /* looks for frames */
    LoopTask task;   /* the filters' own work, and the queue to the back-end */
    LoopTimer timer; /* likewise */
    LoopTask tidy_task; /* in the main loop: the chain is not needed any more */
    FdWatch room;       /* while the back-end has none */
    size_t hdr_len;     /* of the frames that wait */
    uint8_t *stuck;     /* the first one to the back-end; FRAME_MAX bytes */
    size_t stuck_len;   /* 0: there is none */
};

static const NetClientInfo *own_io(const NetFilterChain *c)
{
    return c->sq->nc->info;
}

/* ---- to the back-end; with the lock ---- */

/* Keeps the frame, for which there is no room, before all others; one that is
 * longer than any back-end takes is lost. */
static void keep_stuck(NetFilterChain *c, const struct iovec *iov, unsigned n)
{
    if (iov_size(iov, n) > FRAME_MAX) {
        return;
    }
    if (!c->stuck) {
        c->stuck = g_malloc(FRAME_MAX);
    }
    c->stuck_len = iov_to_buf(iov, n, 0, c->stuck, FRAME_MAX);
}

/* Sends what waits. False: something still does. */
static bool flush_out(NetFilterChain *c)
{
    for (unsigned i = 0; i < BURST; i++) {
        struct iovec iov;

        if (!c->stuck_len) {
            if (net_frame_queue_length(c->out) == 0) {
                return true;
            }
            if (!c->stuck) {
                c->stuck = g_malloc(FRAME_MAX);
            }
            iov = (struct iovec){ c->stuck, FRAME_MAX };
            c->stuck_len =
                MIN((size_t)net_frame_queue_get(c->out, &iov, 1, 0), FRAME_MAX);
        }
        iov = (struct iovec){ c->stuck, c->stuck_len };
        if (own_io(c)->send(c->sq, &iov, 1) == 0) {
            return false;
        }
        c->stuck_len = 0;
    }
    return !c->stuck_len && net_frame_queue_length(c->out) == 0;
}

static void wake(NetFilterChain *c)
{
    if (c->loop) {
        loop_task_schedule(&c->task);
    }
}

/* False: the frame is lost. */
static bool send_out(NetFilterChain *c, const struct iovec *iov, unsigned n)
{
    bool ok = true;

    if (c->stuck_len || net_frame_queue_length(c->out)) {
        ok = net_frame_queue_put(c->out, iov, n, 0);
    } else if (own_io(c)->send(c->sq, iov, n) == 0) {
        keep_stuck(c, iov, n);
    } else {
        return true;
    }
    wake(c);
    return ok;
}

/* ---- the walk; with the lock ---- */

/* The filters from place @at on, in @direction. True: one of them has it. */
static bool walk(NetFilterChain *c, int at, int direction,
                 const NetFilterFrame *frame)
{
    int step = direction == NET_FILTER_TX ? 1 : -1;

    for (; at >= 0 && at < (int)c->n; at += step) {
        NetFilterQueue *q = c->q[at];
        NetFilter *f = q->filter;

        if (!(net_filter_directions(f) & direction)) {
            continue;
        }
        __atomic_fetch_add(&f->frames, 1, __ATOMIC_RELAXED);
        if (NETFILTER_GET_CLASS(f)->handle(q, direction, frame)) {
            return true;
        }
    }
    return false;
}

static NetFilterFrame frame_of(const NetFilterChain *c, const struct iovec *iov,
                               unsigned n)
{
    return (NetFilterFrame){ .iov = iov,
                             .n = n,
                             .len = iov_size(iov, n),
                             .hdr_len = c->sq->nc->vnet_hdr_len };
}

void net_filter_pass(NetFilterQueue *q, int direction, const struct iovec *iov,
                     unsigned n)
{
    NetFilterChain *c = q->sq->filters;
    NetFilterFrame frame = frame_of(c, iov, n);
    bool ok;

    if (frame.len <= frame.hdr_len || frame.len > FRAME_MAX) {
        net_filter_drop(q->filter, 1);
        return;
    }
    if (walk(c, direction == NET_FILTER_TX ? q->at + 1 : q->at - 1, direction,
             &frame)) {
        return;
    }
    if (direction == NET_FILTER_RX) {
        ok = send_out(c, iov, n);
    } else {
        ok = net_frame_queue_put(c->in, iov, n, 0);
        if (c->frames) {
            loop_task_schedule(c->frames);
        }
    }
    if (!ok) {
        net_filter_drop(q->filter, 1);
    }
}

unsigned net_filter_room(NetFilterQueue *q, int direction)
{
    NetFilterChain *c = q->sq->filters;
    unsigned waiting =
        net_frame_queue_length(direction == NET_FILTER_TX ? c->in : c->out);

    return waiting < BURST ? BURST - waiting : 0;
}

void net_filter_wake(NetFilterQueue *q)
{
    wake(q->sq->filters);
}

void net_filter_wake_from_outside(NetFilterQueue *q)
{
    NetFilterChain *c = q->sq->filters;

    if (c) {
        pthread_mutex_lock(&c->lock);
        wake(c);
        pthread_mutex_unlock(&c->lock);
    }
}

/* With the lock: nobody runs the filters any more. */
static void release_all(NetFilterChain *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        const NetFilterClass *klass = NETFILTER_GET_CLASS(c->q[i]->filter);

        if (klass->release) {
            klass->release(c->q[i]);
        }
    }
    flush_out(c);
}

/* ---- what pairs call ---- */

/* No filter is left, and nothing waits: the main thread may take it away. */
static void tidy_if_empty(NetFilterChain *c)
{
    if (c->n == 0 && !c->stuck_len && net_frame_queue_length(c->out) == 0 &&
        net_frame_queue_length(c->in) == 0) {
        loop_task_schedule(&c->tidy_task);
    }
}

/* A frame of the queue to the pair; 0: it is empty. */
static ssize_t recv_waiting(NetFilterChain *c, const struct iovec *iov,
                            unsigned n)
{
    ssize_t len = net_frame_queue_get(c->in, iov, n, 0);

    if (len > 0 && net_frame_queue_length(c->in) == 0) {
        /* Filters may wait for that to give more. */
        pthread_mutex_lock(&c->lock);
        wake(c);
        pthread_mutex_unlock(&c->lock);
    }
    return len;
}

static bool walk_received(NetFilterChain *c, const struct iovec *iov,
                          unsigned n, size_t len)
{
    struct iovec part[MAX_IOV];
    int used = iov_slice(part, MAX_IOV, iov, n, 0, len);
    NetFilterFrame frame;
    bool taken;

    if (used <= 0 || len <= c->sq->nc->vnet_hdr_len) {
        return false;
    }
    frame = frame_of(c, part, (unsigned)used);
    pthread_mutex_lock(&c->lock);
    taken = walk(c, 0, NET_FILTER_TX, &frame);
    pthread_mutex_unlock(&c->lock);
    return taken;
}

/* Somebody reads, whom no loop serves: what filters took is for him. */
static void release_unattended(NetFilterChain *c)
{
    pthread_mutex_lock(&c->lock);
    if (!c->loop) {
        release_all(c);
    }
    pthread_mutex_unlock(&c->lock);
}

static ssize_t chain_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    NetFilterChain *c = sq->filters;

    for (unsigned i = 0; i < BURST; i++) {
        ssize_t len = recv_waiting(c, iov, n);

        if (len > 0) {
            return len;
        }
        len = own_io(c)->recv(sq, iov, n);
        if (len <= 0 || !walk_received(c, iov, n, (size_t)len)) {
            return len;
        }
        release_unattended(c);
    }
    /* There may be more, but others have their turn. */
    pthread_mutex_lock(&c->lock);
    if (c->frames) {
        loop_task_schedule(c->frames);
    }
    pthread_mutex_unlock(&c->lock);
    return 0;
}

static ssize_t chain_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    NetFilterChain *c = sq->filters;
    NetFilterFrame frame = frame_of(c, iov, n);
    ssize_t r = (ssize_t)frame.len;

    pthread_mutex_lock(&c->lock);
    if (!flush_out(c)) {
        r = 0;
        wake(c);
    } else if (!walk(c, (int)c->n - 1, NET_FILTER_RX, &frame)) {
        r = own_io(c)->send(sq, iov, n);
        if (r == 0) {
            keep_stuck(c, iov, n);
            wake(c);
            r = (ssize_t)frame.len;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

/* ---- in the loop of the pair that receives ---- */

static void run(void *opaque);

static void room_event(void *opaque, uint32_t events)
{
    NetFilterChain *c = opaque;

    fd_watch_stop(&c->room);
    run(c);
}

/* With the lock. */
static void watch_room(NetFilterChain *c)
{
    const NetSubqueue *sq = c->sq;
    bool own = sq->room_fd >= 0;

    if (!c->room.loop) {
        fd_watch_start(&c->room, c->loop, own ? sq->room_fd : sq->fd,
                       own ? LOOP_IN : LOOP_OUT, room_event, c);
    }
}

/* With the lock. When one of the filters is to run again; -1: none. */
static int64_t run_filters(NetFilterChain *c)
{
    int64_t next = -1;

    for (unsigned i = 0; i < c->n; i++) {
        NetFilterQueue *q = c->q[i];
        const NetFilterClass *klass = NETFILTER_GET_CLASS(q->filter);
        int64_t when = klass->run ? klass->run(q) : -1;

        if (when >= 0 && (next < 0 || when < next)) {
            next = when;
        }
    }
    return next;
}

static void run(void *opaque)
{
    NetFilterChain *c = opaque;
    int64_t next;
    bool waited;

    pthread_mutex_lock(&c->lock);
    flush_out(c);
    next = run_filters(c);
    if (next >= 0) {
        loop_timer_arm(&c->timer, next);
    } else {
        loop_timer_cancel(&c->timer);
    }
    waited = c->stuck_len || net_frame_queue_length(c->out);
    if (!flush_out(c)) {
        watch_room(c);
    } else if (waited) {
        loop_task_schedule(&c->task); /* filters may give more */
    }
    tidy_if_empty(c);
    pthread_mutex_unlock(&c->lock);
}

/* With the lock: another driver uses another header. */
static void check_header(NetFilterChain *c)
{
    if (c->hdr_len != c->sq->nc->vnet_hdr_len) {
        net_frame_queue_clear(c->in);
        net_frame_queue_clear(c->out);
        c->stuck_len = 0;
        c->hdr_len = c->sq->nc->vnet_hdr_len;
    }
}

static void chain_attend(NetSubqueue *sq, EventLoop *loop, LoopTask *frames)
{
    NetFilterChain *c = sq->filters;

    if (own_io(c)->attend) {
        own_io(c)->attend(sq, loop, frames);
    }
    pthread_mutex_lock(&c->lock);
    if (loop) {
        check_header(c);
        loop_task_init(&c->task, loop, run, c);
        loop_timer_init(&c->timer, loop, run, c);
        c->loop = loop;
        c->frames = frames;
        loop_task_schedule(&c->task);
    } else {
        release_all(c);
        c->loop = NULL;
        c->frames = NULL;
        fd_watch_stop(&c->room);
        loop_timer_cancel(&c->timer);
        loop_task_cancel(&c->task);
    }
    pthread_mutex_unlock(&c->lock);
}

static const NetClientInfo chain_io = { .recv = chain_recv,
                                        .send = chain_send,
                                        .attend = chain_attend };

/* ---- main thread ---- */

static void tidy(void *opaque)
{
    NetFilterChain *c = opaque;

    machine_lock_assert();
    net_filters_rewire(c->sq, "no filter is left");
}

static NetFilterChain *chain_new(NetSubqueue *sq)
{
    NetFilterChain *c = g_new0(NetFilterChain, 1);

    c->sq = sq;
    c->in = net_frame_queue_new(WAITING_MAX, WAITING_BYTES, NULL, NULL);
    c->out = net_frame_queue_new(WAITING_MAX, WAITING_BYTES, NULL, NULL);
    c->hdr_len = sq->nc->vnet_hdr_len;
    pthread_mutex_init(&c->lock, NULL);
    loop_task_init(&c->tidy_task, main_loop(), tidy, c);
    return c;
}

void net_filter_chain_set(NetSubqueue *sq, NetFilterQueue *const *q, unsigned n)
{
    NetFilterChain *c = sq->filters;

    if (!c && n == 0) {
        return;
    }
    if (!c) {
        c = sq->filters = chain_new(sq);
    }
    pthread_mutex_lock(&c->lock);
    release_all(c);
    for (unsigned i = 0; i < c->n; i++) {
        c->q[i]->at = -1;
    }
    g_free(c->q);
    c->q = g_memdup2(q, n * sizeof(q[0]));
    c->n = n;
    for (unsigned i = 0; i < n; i++) {
        c->q[i]->at = (int)i;
    }
    pthread_mutex_unlock(&c->lock);
    if (n == 0 && !c->stuck_len && net_frame_queue_length(c->out) == 0 &&
        net_frame_queue_length(c->in) == 0) {
        sq->io = sq->nc->info;
        net_filter_chain_free(sq);
    } else {
        sq->io = &chain_io;
    }
}

void net_filter_chain_clear(NetSubqueue *sq)
{
    NetFilterChain *c = sq->filters;

    if (c) {
        pthread_mutex_lock(&c->lock);
        net_frame_queue_clear(c->in);
        net_frame_queue_clear(c->out);
        c->stuck_len = 0;
        tidy_if_empty(c);
        pthread_mutex_unlock(&c->lock);
    }
}

void net_filter_chain_free(NetSubqueue *sq)
{
    NetFilterChain *c = sq->filters;

    if (c) {
        loop_task_cancel(&c->tidy_task);
        net_frame_queue_free(c->in);
        net_frame_queue_free(c->out);
        pthread_mutex_destroy(&c->lock);
        g_free(c->stuck);
        g_free(c->q);
        g_free(c);
        sq->filters = NULL;
        sq->io = sq->nc->info;
    }
}
