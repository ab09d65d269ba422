/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The datapath of AF_XDP: frames are copied once, between the UMEM and where
 * the pair has them, and one system call at most goes with a burst.
 *
 * Of a frame that comes: peek the rx ring, copy, give its memory back by the
 * fill ring. Of one that goes: take a free frame, copy, put it into the tx
 * ring, tell the kernel (need_wakeup). The completion ring is read when a burst
 * begins.
 *
 * Where the driver of the interface has no room, the kernel leaves frames in
 * the tx ring, and says nothing when there is room again. So the sender arms a
 * timer, upon which the main loop tells the kernel to look again, without a
 * lock and without touching our side of the rings.
 *
 * Threads: recv by the pair's owner; send by any owner of a pair that has the
 * subqueue, one at a time; the rest as marked.
 */
#include "util/osdep.h"

#include <sys/socket.h>
#include <sys/timerfd.h>

#include "af-xdp-internal.h"
#include "util/iov.h"

#define RETRY_MIN_NS 100000   /* nanoseconds */
#define RETRY_MAX_NS 10000000 /* likewise */

static AfXdpQueue *queue_of(const NetSubqueue *sq)
{
    return &container_of(sq->nc, AfXdpState, nc)->queue[sq->index];
}

static bool is_gone(const AfXdpQueue *q)
{
    return __atomic_load_n(&q->netdev->gone, __ATOMIC_RELAXED);
}

void af_xdp_io_start(AfXdpQueue *q)
{
    uint32_t at = 0;

    (void)xsk_ring_prod__reserve(&q->fill, AF_XDP_RX, &at);
    for (unsigned i = 0; i < AF_XDP_RX; i++) {
        *xsk_ring_prod__fill_addr(&q->fill, at + i) =
            (uint64_t)(AF_XDP_TX + i) * AF_XDP_FRAME;
    }
    xsk_ring_prod__submit(&q->fill, AF_XDP_RX);
    for (unsigned i = 0; i < AF_XDP_TX; i++) {
        q->free_tx[i] = (uint64_t)i * AF_XDP_FRAME;
    }
    q->n_free = AF_XDP_TX;
    q->retry_ns = RETRY_MIN_NS;
}

/* ---- receiving ---- */

/* Copies a received frame behind a header of zeros. The rings of a socket that
 * somebody prepared may be his as well: nothing outside of the UMEM is read. */
static ssize_t take_frame(const AfXdpQueue *q, const struct xdp_desc *desc,
                          const struct iovec *iov, unsigned n, unsigned hdr_len)
{
    uint64_t addr = desc->addr;
    uint32_t len = desc->len;

    if (len == 0 || len > AF_XDP_FRAME || addr > AF_XDP_UMEM - len) {
        return -EIO;
    }
    net_bare_header(iov, n, hdr_len);
    iov_from_buf(iov, n, hdr_len, q->umem + addr, len);
    return (ssize_t)hdr_len + len;
}

/* Frame @i of those peeked at @rx_at goes back to the kernel. */
static void give_back(AfXdpQueue *q, uint32_t rx_at, uint32_t fill_at,
                      unsigned i)
{
    uint64_t addr = xsk_ring_cons__rx_desc(&q->rx, rx_at + i)->addr;

    *xsk_ring_prod__fill_addr(&q->fill, fill_at + i) =
        addr & ~(uint64_t)(AF_XDP_FRAME - 1);
}

/* A driver that ran out of frames, or works only when told to, is told. */
static void wake_driver(AfXdpQueue *q)
{
    if (xsk_ring_prod__needs_wakeup(&q->fill)) {
        (void)recvfrom(q->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
    }
}

/* Up to @n frames; those of which @frames is NULL are dropped. How many. */
static unsigned receive(AfXdpQueue *q, IoFrame *frames, unsigned n,
                        unsigned hdr_len)
{
    uint32_t rx_at = 0, fill_at = 0;
    unsigned got = xsk_ring_cons__peek(&q->rx, n, &rx_at);

    if (got == 0) {
        wake_driver(q);
        return 0;
    }
    for (unsigned i = 0; frames && i < got; i++) {
        frames[i].result =
            take_frame(q, xsk_ring_cons__rx_desc(&q->rx, rx_at + i),
                       frames[i].iov, frames[i].n_iov, hdr_len);
    }
    if (xsk_ring_prod__reserve(&q->fill, got, &fill_at) == got) {
        for (unsigned i = 0; i < got; i++) {
            give_back(q, rx_at, fill_at, i);
        }
        xsk_ring_prod__submit(&q->fill, got);
    }
    xsk_ring_cons__release(&q->rx, got);
    wake_driver(q);
    return got;
}

void af_xdp_io_discard(AfXdpQueue *q)
{
    unsigned left = AF_XDP_RX, got;

    do {
        got = receive(q, NULL, left, 0);
        left -= got;
    } while (got && left);
}

ssize_t af_xdp_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    AfXdpQueue *q = queue_of(sq);
    IoFrame frame = { .iov = (struct iovec *)iov, .n_iov = n };

    if (G_UNLIKELY(is_gone(q))) {
        return -EBADFD;
    }
    return receive(q, &frame, 1, sq->nc->vnet_hdr_len) ? frame.result : 0;
}

bool af_xdp_recv_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    AfXdpQueue *q = queue_of(port->sq);
    unsigned got = 0;

    if (G_LIKELY(!is_gone(q))) {
        got = receive(q, frames, n, port->sq->nc->vnet_hdr_len);
    }
    for (unsigned i = got; i < n; i++) {
        frames[i].result = is_gone(q) ? -EBADFD : 0;
    }
    return true;
}

/* ---- sending ---- */

/* Takes back the frames that were sent. */
static void reap(AfXdpQueue *q)
{
    uint32_t at = 0;
    unsigned n = xsk_ring_cons__peek(&q->comp, AF_XDP_TX, &at);

    for (unsigned i = 0; i < n; i++) {
        uint64_t addr = *xsk_ring_cons__comp_addr(&q->comp, at + i);

        addr &= ~(uint64_t)(AF_XDP_FRAME - 1);
        if (addr < (uint64_t)AF_XDP_TX * AF_XDP_FRAME &&
            q->n_free < AF_XDP_TX) {
            q->free_tx[q->n_free++] = addr;
        }
    }
    if (n) {
        xsk_ring_cons__release(&q->comp, n);
    }
}

/* Frames that the kernel has not taken from the tx ring yet. */
static uint32_t unsent(const AfXdpQueue *q)
{
    return __atomic_load_n(q->tx.producer, __ATOMIC_ACQUIRE) -
           __atomic_load_n(q->tx.consumer, __ATOMIC_ACQUIRE);
}

static bool has_completions(const AfXdpQueue *q)
{
    return __atomic_load_n(q->comp.producer, __ATOMIC_ACQUIRE) !=
           __atomic_load_n(q->comp.consumer, __ATOMIC_ACQUIRE);
}

/* Without a driver that reads the ring by itself, a call sends some frames and
 * says EAGAIN when there are more. */
int af_xdp_io_kick(AfXdpQueue *q)
{
    uint32_t before, left = unsent(q);

    do {
        before = left;
        if (sendto(q->fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0) {
            return 0;
        }
        if (errno != EAGAIN && errno != EBUSY && errno != ENOBUFS) {
            return -errno;
        }
        left = unsent(q);
    } while (left && left < before);
    return left ? -EAGAIN : 0;
}

static void arm_timer(const AfXdpQueue *q, int64_t ns)
{
    struct itimerspec when = { .it_value.tv_nsec = (long)ns };

    (void)timerfd_settime(q->timer_fd, 0, &when, NULL);
}

/* What is in the tx ring goes, now or later. 0 or -errno. */
static int push_out(AfXdpQueue *q)
{
    int r = 0;

    if (xsk_ring_prod__needs_wakeup(&q->tx)) {
        r = af_xdp_io_kick(q);
    }
    if (G_UNLIKELY(r == -EAGAIN)) {
        arm_timer(q, RETRY_MIN_NS);
    }
    return r;
}

/* Senders that wait may try again. */
static void tell_of_room(AfXdpQueue *q)
{
    if (__atomic_exchange_n(&q->want_room, false, __ATOMIC_ACQ_REL)) {
        net_wake_room(&q->wake);
    }
}

void af_xdp_io_retry(void *opaque, uint32_t events)
{
    AfXdpQueue *q = opaque;
    uint64_t times;
    int r = 0;

    (void)!read(q->timer_fd, &times, sizeof(times));
    if (unsent(q)) {
        r = af_xdp_io_kick(q);
    }
    if (has_completions(q) || (r < 0 && r != -EAGAIN)) {
        tell_of_room(q);
    } else if (__atomic_load_n(&q->want_room, __ATOMIC_RELAXED)) {
        r = -EAGAIN;
    }
    if (r != -EAGAIN) {
        q->retry_ns = RETRY_MIN_NS;
        return;
    }
    q->retry_ns = MIN(q->retry_ns * 2, RETRY_MAX_NS);
    arm_timer(q, q->retry_ns);
}

/*
 * All frames are on their way. 0: there will be room, of which the sender is
 * told; < 0: there is no telling, as the interface is down.
 */
static ssize_t wait_for_room(AfXdpQueue *q)
{
    int r = push_out(q);

    if (r < 0 && r != -EAGAIN) {
        return r == -ENXIO ? -ENETDOWN : r;
    }
    net_wake_room_clear(&q->wake);
    __atomic_store_n(&q->want_room, true, __ATOMIC_RELEASE);
    reap(q);
    if (q->n_free) {
        tell_of_room(q); /* another pair may wait as well */
        return 1;
    }
    arm_timer(q, RETRY_MIN_NS);
    return 0;
}

/* Room for a frame: 1; else what send is to give back. */
static ssize_t find_room(AfXdpQueue *q)
{
    reap(q);
    return q->n_free ? 1 : wait_for_room(q);
}

/* Puts one frame into the tx ring, which the kernel does not see yet; adds to
 * *put. The result of its send. */
static ssize_t put_frame(AfXdpQueue *q, const IoFrame *frame, unsigned hdr_len,
                         unsigned *put)
{
    size_t all = iov_size(frame->iov, frame->n_iov);
    struct xdp_desc *desc;
    uint32_t at = 0;
    uint64_t addr;

    if (all <= hdr_len) {
        return -EINVAL;
    }
    if (all - hdr_len > AF_XDP_FRAME) {
        return -EMSGSIZE;
    }
    if (xsk_ring_prod__reserve(&q->tx, 1, &at) != 1) {
        return -EIO;
    }
    addr = q->free_tx[--q->n_free];
    iov_to_buf(frame->iov, frame->n_iov, hdr_len, q->umem + addr,
               all - hdr_len);
    desc = xsk_ring_prod__tx_desc(&q->tx, at);
    *desc = (struct xdp_desc){ .addr = addr, .len = (uint32_t)(all - hdr_len) };
    (*put)++;
    return (ssize_t)all;
}

static void submit(AfXdpQueue *q, unsigned *put)
{
    if (*put) {
        xsk_ring_prod__submit(&q->tx, *put);
        *put = 0;
    }
}

static void send_all(AfXdpQueue *q, IoFrame *frames, unsigned n,
                     unsigned hdr_len)
{
    unsigned put = 0;
    bool sent = false;
    ssize_t room = 1;

    reap(q);
    if (G_UNLIKELY(__atomic_load_n(&q->want_room, __ATOMIC_RELAXED)) &&
        q->n_free) {
        tell_of_room(q);
    }
    for (unsigned i = 0; i < n; i++) {
        if (G_UNLIKELY(q->n_free == 0) && room > 0) {
            submit(q, &put);
            room = find_room(q);
        }
        frames[i].result =
            room > 0 ? put_frame(q, &frames[i], hdr_len, &put) : room;
        sent |= put != 0;
    }
    submit(q, &put);
    if (sent) {
        (void)push_out(q);
    }
}

static void lock_and_send(NetSubqueue *sq, IoFrame *frames, unsigned n)
{
    AfXdpQueue *q = queue_of(sq);

    if (G_UNLIKELY(is_gone(q))) {
        for (unsigned i = 0; i < n; i++) {
            frames[i].result = -EBADFD;
        }
        return;
    }
    pthread_mutex_lock(&q->lock);
    send_all(q, frames, n, sq->nc->vnet_hdr_len);
    pthread_mutex_unlock(&q->lock);
}

ssize_t af_xdp_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    IoFrame frame = { .iov = (struct iovec *)iov, .n_iov = n };

    lock_and_send(sq, &frame, 1);
    return frame.result;
}

bool af_xdp_send_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    lock_and_send(port->sq, frames, n);
    return true;
}
