/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A received packet: loop (back-end readable, or new buffers kicked) ->
 * virtio_net_rx -> rx_gather (virtqueue_pop) -> back-end's recv, straight into
 * the driver's buffers -> rx_deliver (num_buffers, virtqueue_fill) ...
 * virtqueue_publish, virtqueue_signal.
 *
 * How long a frame is, the tap tells only by delivering it. So enough buffers
 * for the longest one stand ready in a window of chains that were taken from
 * the ring and not used yet; what a frame does not fill serves the next one.
 * Behind the window lies a spill buffer: when a frame is longer than the
 * window, its tail lands there, at the offset where it would be had the whole
 * frame been read into the spill buffer. Then either more chains are found
 * and only the tail is copied, or the head is copied back in front of it and
 * the frame waits there until the driver adds buffers.
 *
 * Threads: the pair's owner.
 */
#include "util/osdep.h"

#include <limits.h>

#include "hw/net/virtio-net-internal.h"
#include "util/iov.h"

#define RX_MAX_CHAINS 256u

struct RxScratch {
    /* pair owner: chains [first, end) hold iov [iov_first, iov_end) */
    unsigned first, end;
    unsigned iov_first, iov_end;
    size_t bytes;   /* of the window's buffers */
    bool full;      /* the window, not the ring, stopped the last gathering */
    size_t waiting; /* bytes of a whole frame in spill[], 0: none */
    VirtQueueChain chain[RX_MAX_CHAINS];
    struct iovec iov[VIRTQUEUE_MAX_SEGS + 1]; /* the last for the spill */
    uint8_t spill[VIRTIO_NET_RX_MAX];
};

RxScratch *rx_scratch_new(void)
{
    /* Not touched before it is used: large and mostly idle. */
    return g_malloc0(sizeof(RxScratch));
}

bool rx_scratch_waiting(const RxScratch *rx)
{
    return rx && rx->waiting;
}

void rx_scratch_free(RxScratch *rx)
{
    g_free(rx);
}

static void rx_window_compact(RxScratch *rx)
{
    memmove(rx->chain, rx->chain + rx->first,
            (rx->end - rx->first) * sizeof(rx->chain[0]));
    memmove(rx->iov, rx->iov + rx->iov_first,
            (rx->iov_end - rx->iov_first) * sizeof(rx->iov[0]));
    rx->end -= rx->first;
    rx->iov_end -= rx->iov_first;
    rx->first = rx->iov_first = 0;
}

/* Is the chain one that a driver may put into a receive queue? */
static bool rx_chain_ok(VirtIONetPair *pair, const VirtQueueChain *chain)
    PAIR_OWNER(pair)
{
    if (chain->n_out) {
        pair->rx_vq->fault = "device-readable buffer in a receive queue";
        return false;
    }
    if (chain->in_len < pair->hdr_len) {
        pair->rx_vq->fault = "receive buffer shorter than a header";
        return false;
    }
    return true;
}

/*
 * Takes chains until the window has @want bytes (not mergeable: one chain). 1:
 * there is at least one chain; 0: the ring has none; -EPROTO: the driver broke
 * the ring.
 */
static int rx_gather(VirtIONetPair *pair, size_t want) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    VirtQueueChain *chain;
    int r;

    if (rx->end == RX_MAX_CHAINS || rx->iov_end == VIRTQUEUE_MAX_SEGS) {
        rx_window_compact(rx);
    }
    rx->full = false;
    while (rx->bytes < want) {
        if (!pair->mergeable && rx->end > rx->first) {
            break;
        }
        if (rx->end == RX_MAX_CHAINS) {
            if (rx->first) {
                rx_window_compact(rx);
                continue;
            }
            rx->full = true;
            break;
        }
        chain = &rx->chain[rx->end];
        r = virtqueue_pop(pair->rx_vq, rx->iov + rx->iov_end,
                          VIRTQUEUE_MAX_SEGS - rx->iov_end, chain);
        if (r == -ENOBUFS && rx->iov_first) {
            rx_window_compact(rx);
            continue;
        }
        if (r == 0 || r == -ENOBUFS) {
            rx->full = r != 0;
            break;
        }
        if (r < 0 || !rx_chain_ok(pair, chain)) {
            return -EPROTO;
        }
        rx->end++;
        rx->iov_end += chain->n_in;
        rx->bytes += chain->in_len;
    }
    return rx->end > rx->first;
}

/* Puts the frame of @len bytes that lies in the window's buffers into the used
 * ring. The window holds at least @len bytes. */
static void rx_deliver(VirtIONetPair *pair, size_t len) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    unsigned iov_first = rx->iov_first;
    size_t left = len;
    le16 num_buffers;
    unsigned n = 0;

    while (left > 0) {
        VirtQueueChain *chain = &rx->chain[rx->first + n];
        size_t part = MIN(left, chain->in_len);

        virtqueue_fill(pair->rx_vq, chain, part);
        left -= part;
        rx->bytes -= chain->in_len;
        rx->iov_first += chain->n_in;
        n++;
    }
    rx->first += n;
    if (pair->hdr_num_buffers) {
        num_buffers = le16_make(n);
        iov_from_buf(rx->iov + iov_first, rx->iov_first - iov_first,
                     offsetof(struct virtio_net_hdr_v1, num_buffers),
                     &num_buffers, sizeof(num_buffers));
    }
    stat_add(&pair->stats.rx_packets, 1);
    stat_add(&pair->stats.rx_bytes, len - pair->hdr_len);
}

static bool rx_wanted(VirtIONetPair *pair, const struct iovec *iov, unsigned n)
    PAIR_OWNER(pair)
{
    const RxFilter *filter =
        __atomic_load_n(&pair->net->filter, __ATOMIC_ACQUIRE);
    uint8_t head[18];
    size_t len;

    if (!__atomic_load_n(&pair->net->link_up, __ATOMIC_RELAXED)) {
        return false;
    }
    if (filter->pass_all) {
        return true;
    }
    len = iov_to_buf(iov, n, pair->hdr_len, head, sizeof(head));
    return rx_filter_accepts(filter, head, len);
}

/* Copies spill[@from..@len) into the window, where it belongs. */
static void rx_copy_spill(RxScratch *rx, size_t from, size_t len)
{
    iov_from_buf(rx->iov + rx->iov_first, rx->iov_end - rx->iov_first, from,
                 rx->spill + from, len - from);
}

/*
 * Finds buffers for @len bytes. 1: the window has them; 0: the driver has to
 * add some; -EMSGSIZE: no number of buffers of this size will do; -EPROTO.
 */
static int rx_find_room(VirtIONetPair *pair, size_t len) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    int r = rx_gather(pair, len);

    if (r < 0) {
        return r;
    }
    if (rx->bytes >= len) {
        return 1;
    }
    if (rx->full || (!pair->mergeable && r > 0)) {
        stat_add(&pair->stats.rx_too_long, 1);
        return -EMSGSIZE;
    }
    return 0;
}

/*
 * The frame of @len bytes went past the window's @room; its tail is in the
 * spill buffer. 1: delivered or dropped; 0: it waits for buffers; -EPROTO.
 */
static int rx_spilled(VirtIONetPair *pair, size_t room, size_t len)
    PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    int r = rx_find_room(pair, len);

    if (r == 1) {
        rx_copy_spill(rx, room, len);
        rx_deliver(pair, len);
    } else if (r == 0) {
        iov_to_buf(rx->iov + rx->iov_first, rx->iov_end - rx->iov_first, 0,
                   rx->spill, room);
        rx->waiting = len;
    }
    return r == -EMSGSIZE ? 1 : r;
}

/* Delivers the frame that waits in the spill buffer, if buffers suffice. 1:
 * nothing waits any more; 0: still waiting; -EPROTO. */
static int rx_deliver_waiting(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    int r;

    if (!rx->waiting) {
        return 1;
    }
    r = rx_find_room(pair, rx->waiting);
    if (r == 1) {
        rx_copy_spill(rx, 0, rx->waiting);
        rx_deliver(pair, rx->waiting);
    }
    if (r == 1 || r == -EMSGSIZE) {
        rx->waiting = 0;
        return 1;
    }
    return r;
}

/*
 * Moves one frame. 1: moved or dropped; 0: the back-end has none; -ENOBUFS:
 * the driver has to add buffers; -EPROTO: it broke the ring; -EBADFD: the
 * back-end is gone.
 */
static int rx_one(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    struct iovec *iov, spill_slot;
    size_t room;
    ssize_t len;
    unsigned n;
    int r = rx_gather(pair, pair->rx_window);

    if (r <= 0) {
        return r < 0 ? r : -ENOBUFS;
    }
    iov = rx->iov + rx->iov_first;
    n = MIN(rx->iov_end - rx->iov_first, (unsigned)IOV_MAX - 1);
    room = MIN(iov_size(iov, n), (size_t)VIRTIO_NET_RX_MAX);
    spill_slot = iov[n];
    iov[n] = (struct iovec){ rx->spill + room, VIRTIO_NET_RX_MAX - room };
    len = pair->backend->nc->info->recv(pair->backend, iov,
                                        n + (room < VIRTIO_NET_RX_MAX));
    iov[n] = spill_slot;
    if (len <= 0) {
        if (len < 0) {
            stat_add(&pair->stats.rx_errors, 1);
        }
        return len == -EBADFD ? -EBADFD : 0;
    }
    if ((size_t)len <= pair->hdr_len || (size_t)len > VIRTIO_NET_RX_MAX) {
        stat_add(&pair->stats.rx_errors, 1);
        return 1;
    }
    if (!rx_wanted(pair, iov, n)) {
        stat_add(&pair->stats.rx_filtered, 1);
        return 1;
    }
    if ((size_t)len > room) {
        r = rx_spilled(pair, room, len);
        return r ? r : -ENOBUFS;
    }
    rx_deliver(pair, len);
    return 1;
}

static int rx_burst(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    int r = rx_deliver_waiting(pair);

    if (r == 0) {
        return -ENOBUFS;
    }
    for (unsigned i = 0; i < VIRTIO_NET_BURST && r > 0; i++) {
        r = rx_one(pair);
    }
    return r;
}

void virtio_net_rx(VirtIONetPair *pair)
{
    VirtQueue *vq = pair->rx_vq;
    int r;

    if (pair->faulted || !vq->running) {
        return;
    }
    pair->rx_starved = false;
    r = rx_burst(pair);
    if (r == -ENOBUFS) {
        stat_add(&pair->stats.rx_no_buffer, 1);
        pair->rx_starved = true;
        virtqueue_want_kicks(vq, true);
        if (virtqueue_available(vq)) {
            /* Buffers that came after the last look, before the request. */
            loop_task_schedule(&pair->rx_task);
        }
    } else {
        virtqueue_want_kicks(vq, false);
    }
    virtqueue_publish(vq);
    virtqueue_signal(vq);
    if (r == -EPROTO) {
        pair_fault(pair, vq);
        return;
    }
    if (r == -EBADFD) {
        pair_backend_gone(pair);
        return;
    }
    pair_update_backend_watch(pair);
}

void virtio_net_rx_stop(VirtIONetPair *pair)
{
    RxScratch *rx = pair->rx;

    virtqueue_unpop(pair->rx_vq, rx->end - rx->first);
    rx->first = rx->end = rx->iov_first = rx->iov_end = 0;
    rx->bytes = 0;
}
