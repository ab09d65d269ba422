/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Received packets: loop (back-end readable, or new buffers kicked) ->
 * virtio_net_rx -> rx_batch: rx_gather (virtqueue_pop), then
 * net_port_recv_burst, straight into the driver's buffers -> rx_deliver
 * (num_buffers, virtqueue_fill) ... virtqueue_publish, pair_signal.
 *
 * How long a frame is, the tap tells only by delivering it. Chains stand ready
 * in a window: taken from the ring and not used yet. Behind the buffers that a
 * read may fill stands a spill buffer: when a frame is longer than they are,
 * its tail lands there, at the offset where it would be had the whole frame
 * been read into the spill buffer.
 *
 * A batch gives each frame one chain of the window and a spill buffer of its
 * own. Chains are used in the order of the ring, always: what is not used can
 * go back to the ring (virtqueue_unpop). So from the first frame on that leaves
 * its chain unused (it was filtered) or needs more than its own, the others
 * move to their spill buffers, whole, and are delivered from there; that is
 * also where frames wait when the driver has no buffers for them.
 *
 * While frames come that fill several chains, they are read one at a time, into
 * as much of the window as the longest frame takes, and nothing is copied.
 *
 * Threads: the pair's owner.
 */
#include "util/osdep.h"

#include <limits.h>

#include "hw/net/virtio-net-internal.h"
#include "hw/net/virtio-net-rx.h"
#include "system/dirty-log.h"
#include "util/iov.h"

/* ---- the window ---- */

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

/* Takes one chain into the window. 1: taken; 0: the ring has none, or the
 * window is full (rx->full); -EPROTO: the driver broke the ring. */
static int rx_gather_one(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    VirtQueueChain *chain;
    int r;

    if (rx->first && rx->end == RX_MAX_CHAINS) {
        rx_window_compact(rx);
    }
    if (rx->end - rx->first == pair->rx_vq->size) {
        rx->full = true; /* the driver has no more to give */
        return 0;
    }
    chain = &rx->chain[rx->end];
    r = virtqueue_pop(pair->rx_vq, rx->iov + rx->iov_end,
                      VIRTQUEUE_MAX_SEGS - rx->iov_end, chain);
    if (r == -ENOBUFS && rx->iov_first) {
        rx_window_compact(rx);
        chain = &rx->chain[rx->end];
        r = virtqueue_pop(pair->rx_vq, rx->iov + rx->iov_end,
                          VIRTQUEUE_MAX_SEGS - rx->iov_end, chain);
    }
    if (r == -ENOBUFS) {
        rx->full = true;
        return 0;
    }
    if (r > 0 && !rx_chain_ok(pair, chain)) {
        return -EPROTO;
    }
    if (r > 0) {
        rx->end++;
        rx->iov_end += chain->n_in;
        rx->bytes += chain->in_len;
    }
    return r;
}

/* Takes chains until the window has @want bytes in at least @chains of them.
 * 1: it has at least one; 0: the ring has none; -EPROTO. */
static int rx_gather(VirtIONetPair *pair, size_t want, unsigned chains)
    PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    int r = 1;

    if (rx->first == rx->end) {
        rx->first = rx->end = rx->iov_first = rx->iov_end = 0;
    }
    rx->full = false;
    while (r > 0 && (rx->bytes < want || rx->end - rx->first < chains)) {
        r = rx_gather_one(pair);
    }
    return r < 0 ? r : rx->end > rx->first;
}

/* The same for one frame of @want bytes. */
static int rx_gather_frame(VirtIONetPair *pair, size_t want) PAIR_OWNER(pair)
{
    return pair->mergeable ? rx_gather(pair, want, 1) : rx_gather(pair, 0, 1);
}

/* Bytes of the window that one frame may fill. */
static size_t rx_room(const VirtIONetPair *pair)
{
    const RxScratch *rx = pair->rx;

    return pair->mergeable || rx->first == rx->end
               ? rx->bytes
               : rx->chain[rx->first].in_len;
}

static void rx_set_num_buffers(RxScratch *rx, unsigned iov_first, unsigned n)
{
    const size_t offset = offsetof(struct virtio_net_hdr_v1, num_buffers);
    le16 num_buffers = le16_make(n);

    iov_from_buf(rx->iov + iov_first, rx->iov_first - iov_first, offset,
                 &num_buffers, sizeof(num_buffers));
}

/* Puts the frame of @len bytes that lies in the window's buffers into the used
 * ring. The window holds at least @len bytes. */
static void rx_deliver(VirtIONetPair *pair, size_t len) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    unsigned iov_first = rx->iov_first;
    size_t left = len;
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
        rx_set_num_buffers(rx, iov_first, n);
    }
    if (G_UNLIKELY(pair->rx_extras)) {
        virtio_net_rx_extras(pair, rx->iov + iov_first,
                             rx->iov_first - iov_first, len);
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

    if (!__atomic_load_n(&pair->net->link_up, __ATOMIC_RELAXED) ||
        !virtio_net_rx_offloads_ok(pair, iov, n)) {
        return false;
    }
    if (filter->pass_all) {
        return true;
    }
    len = iov_to_buf(iov, n, pair->hdr_len, head, sizeof(head));
    return rx_filter_accepts(filter, head, len);
}

void rx_count_reads(VirtIONetPair *pair, unsigned n, size_t bytes)
{
    size_t headers = (size_t)n * pair->hdr_len;

    stat_add(&pair->stats.rx_read, n);
    stat_add(&pair->stats.rx_read_bytes, bytes > headers ? bytes - headers : 0);
}

/* A frame that is not wanted, and why: as rx_wanted() finds it. */
static void rx_count_unwanted(VirtIONetPair *pair, const struct iovec *iov,
                              unsigned n) PAIR_OWNER(pair)
{
    stat_add(&pair->stats.rx_filtered, 1);
    if (!__atomic_load_n(&pair->net->link_up, __ATOMIC_RELAXED)) {
        stat_add(&pair->stats.rx_link_down, 1);
    } else if (!virtio_net_rx_offloads_ok(pair, iov, n)) {
        stat_add(&pair->stats.rx_bad_offload, 1);
    }
}

bool rx_check(VirtIONetPair *pair, const struct iovec *iov, unsigned n,
              ssize_t len)
{
    if (len <= (ssize_t)pair->hdr_len || len > (ssize_t)VIRTIO_NET_RX_MAX) {
        stat_add(&pair->stats.rx_errors, 1);
        return false;
    }
    if (!rx_wanted(pair, iov, n)) {
        rx_count_unwanted(pair, iov, n);
        return false;
    }
    return true;
}

/* ---- frames in spill buffers ---- */

/* Copies spill[@slot][@from..@len) into the window, where it belongs. */
static void rx_copy_spill(RxScratch *rx, unsigned slot, size_t from, size_t len)
{
    iov_from_buf(rx->iov + rx->iov_first, rx->iov_end - rx->iov_first, from,
                 rx->spill[slot] + from, len - from);
}

/*
 * Finds buffers for @len bytes. 1: the window has them; 0: the driver has to
 * add some; -EMSGSIZE: no number of buffers of this size will do; -EPROTO.
 */
static int rx_find_room(VirtIONetPair *pair, size_t len) PAIR_OWNER(pair)
{
    int r = rx_gather_frame(pair, len);

    if (r < 0) {
        return r;
    }
    if (rx_room(pair) >= len) {
        return 1;
    }
    if (pair->rx->full || (!pair->mergeable && r > 0)) {
        stat_add(&pair->stats.rx_too_long, 1);
        return -EMSGSIZE;
    }
    return 0;
}

/* Delivers the frames that wait in spill buffers as far as buffers suffice. 1:
 * nothing waits any more; 0: still waiting; -EPROTO. */
static int rx_deliver_waiting(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;

    for (; rx->wait_first < rx->wait_end; rx->wait_first++) {
        size_t len = rx->wait_len[rx->wait_first];
        int r = len ? rx_find_room(pair, len) : -EMSGSIZE;

        if (r == 0 || r == -EPROTO) {
            return r;
        }
        if (r == 1) {
            rx_copy_spill(rx, rx->wait_first, 0, len);
            rx_deliver(pair, len);
        }
    }
    rx->wait_first = rx->wait_end = 0;
    return 1;
}

/* Delivers frames that were kept. 1: there are no more, or the turn is over; 0:
 * waiting for buffers; -EPROTO. */
static int rx_deliver_kept(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    if (rx_scratch_refill(pair->rx)) {
        loop_task_schedule(&pair->rx_task);
    }
    return rx_deliver_waiting(pair);
}

/* Delivers frames that other pairs handed over. 1: there are no more, or the
 * turn is over; 0: waiting for buffers; -EPROTO. */
static int rx_deliver_inbox(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    const uint8_t *data;
    size_t len;

    for (unsigned n = 0; (data = virtio_net_rss_inbox_first(pair, &len)); n++) {
        int r;

        if (n == VIRTIO_NET_BURST) {
            loop_task_schedule(&pair->rx_task);
            break;
        }
        r = rx_find_room(pair, len);
        if (r == 0 || r == -EPROTO) {
            return r;
        }
        if (r == 1) {
            iov_from_buf(rx->iov + rx->iov_first, rx->iov_end - rx->iov_first,
                         0, data, len);
            rx_deliver(pair, len);
        }
        virtio_net_rss_inbox_next(pair);
    }
    return 1;
}

/* ---- one frame at a time ---- */

/* Hands the frame over, whose head is in @iov and whose rest behind @room is
 * in the first spill buffer, if it is another pair's. */
static bool rx_one_elsewhere(VirtIONetPair *pair, const struct iovec *iov,
                             unsigned n, size_t room, size_t len)
    PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;

    if (len <= room && !virtio_net_rss_elsewhere(pair, iov, n, len)) {
        return false;
    }
    iov_to_buf(iov, n, 0, rx->spill[0], MIN(len, room));
    return virtio_net_rss_hand_over(pair, rx->spill[0], len);
}

/*
 * The frame of @len bytes went past the window's @room; its tail is in the
 * first spill buffer. 1: delivered or dropped; 0: it waits for buffers;
 * -EPROTO.
 */
static int rx_spilled(VirtIONetPair *pair, size_t room, size_t len)
    PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    int r = rx_find_room(pair, len);

    if (r == 1) {
        rx_copy_spill(rx, 0, room, len);
        rx_deliver(pair, len);
    } else if (r == 0) {
        iov_to_buf(rx->iov + rx->iov_first, rx->iov_end - rx->iov_first, 0,
                   rx->spill[0], room);
        rx->wait_first = 0;
        rx->wait_end = 1;
        rx->wait_len[0] = len;
    }
    return r == -EMSGSIZE ? 1 : r;
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
    int r = rx_gather_frame(pair, pair->rx_window);

    if (r <= 0) {
        return r < 0 ? r : -ENOBUFS;
    }
    iov = rx->iov + rx->iov_first;
    n = pair->mergeable ? rx->iov_end - rx->iov_first
                        : rx->chain[rx->first].n_in;
    n = MIN(n, (unsigned)IOV_MAX - 1);
    room = MIN(iov_size(iov, n), (size_t)VIRTIO_NET_RX_MAX);
    spill_slot = iov[n];
    iov[n] = (struct iovec){ rx->spill[0] + room, VIRTIO_NET_RX_MAX - room };
    len = pair->backend->io->recv(pair->backend, iov,
                                  n + (room < VIRTIO_NET_RX_MAX));
    iov[n] = spill_slot;
    if (len <= 0) {
        if (len < 0) {
            stat_add(&pair->stats.rx_errors, 1);
        }
        return len == -EBADFD ? -EBADFD : 0;
    }
    rx_count_reads(pair, 1, len);
    if (!rx_check(pair, iov, n, len) ||
        (G_UNLIKELY(pair->inbox) &&
         rx_one_elsewhere(pair, iov, n, room, len))) {
        return 1;
    }
    if (G_UNLIKELY(pair->limit[0].on)) {
        virtio_net_limit_charge(pair, 0, 1, len - pair->hdr_len);
    }
    if ((size_t)len > room) {
        r = rx_spilled(pair, room, len);
        return r ? r : -ENOBUFS;
    }
    rx_deliver(pair, len);
    return 1;
}

/* ---- batches ---- */

/* Gives each of the window's first chains a frame to be read; how many. */
static unsigned rx_batch_prepare(RxScratch *rx)
{
    unsigned chains = MIN(rx->end - rx->first, rx->batch);
    struct iovec *from = rx->iov + rx->iov_first;
    struct iovec *iov = rx->batch_iov;
    unsigned i;

    for (i = 0; i < chains; i++) {
        const VirtQueueChain *chain = &rx->chain[rx->first + i];
        size_t room = MIN(chain->in_len, (size_t)VIRTIO_NET_RX_MAX);

        if (chain->n_in > RX_BATCH_SEGS) {
            break;
        }
        memcpy(iov, from, chain->n_in * sizeof(iov[0]));
        iov[chain->n_in] =
            (struct iovec){ rx->spill[i] + room, VIRTIO_NET_RX_MAX - room };
        rx->frame[i] = (IoFrame){
            .iov = iov,
            .n_iov = chain->n_in + (room < VIRTIO_NET_RX_MAX),
        };
        from += chain->n_in;
        iov += chain->n_in + 1;
    }
    return i;
}

/*
 * Frames @from.. of the batch cannot stay in their chains, the first of the
 * window: moves them to their spill buffers.
 */
static void rx_batch_set_aside(VirtIONetPair *pair, unsigned from, unsigned n)
    PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    bool failed = false;

    for (unsigned i = from; i < n; i++) {
        const IoFrame *frame = &rx->frame[i];
        unsigned n_in = rx->chain[rx->first + i - from].n_in;
        ssize_t len = frame->result;

        rx->wait_len[i] = 0;
        if (len < 0 && failed) {
            continue; /* one failure of the back-end, told by each read */
        }
        failed |= len < 0;
        if (len != 0 && rx_check(pair, frame->iov, n_in, len)) {
            size_t head = MIN(iov_size(frame->iov, n_in), (size_t)len);

            iov_to_buf(frame->iov, n_in, 0, rx->spill[i], head);
            rx->wait_len[i] = len;
            if (G_UNLIKELY(pair->inbox) &&
                virtio_net_rss_hand_over(pair, rx->spill[i], len)) {
                rx->wait_len[i] = 0;
            }
        }
    }
    rx->wait_first = from;
    rx->wait_end = n;
}

/* Can frame @i be delivered where it is? */
static bool rx_batch_in_place(VirtIONetPair *pair, unsigned i) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    const VirtQueueChain *chain = &rx->chain[rx->first];
    ssize_t len = rx->frame[i].result;

    return len > (ssize_t)pair->hdr_len && len <= (ssize_t)chain->in_len &&
           rx_wanted(pair, rx->frame[i].iov, chain->n_in) &&
           !(G_UNLIKELY(pair->inbox) &&
             virtio_net_rss_elsewhere(pair, rx->frame[i].iov, chain->n_in,
                                      len));
}

/*
 * Takes what was got of @n frames tried as a measure for the next batch. It
 * grows fast, but not at once from one frame: often that is all there is, and
 * a system call serves it sooner than a ring does. One dry read does not undo
 * what was learnt.
 */
static void rx_batch_learn(RxScratch *rx, unsigned n, unsigned got)
{
    if (got < n) {
        rx->batch = MAX(MAX(got, n / 2), 1);
        rx->again = false;
    } else if (n > 1 || rx->again) {
        rx->batch = MIN(MAX(4 * n, rx->batch), RX_BATCH);
    } else {
        rx->again = true;
    }
}

/* Charges the frames of a batch that are for the driver: those before @from are
 * delivered, the others wait. Those handed over have been charged then. */
static void rx_batch_charge(VirtIONetPair *pair, unsigned from, unsigned n)
    PAIR_OWNER(pair)
{
    const RxScratch *rx = pair->rx;
    uint64_t packets = 0, bytes = 0;

    for (unsigned i = 0; i < n; i++) {
        size_t len = i < from ? (size_t)rx->frame[i].result : rx->wait_len[i];

        if (len) {
            packets++;
            bytes += len - pair->hdr_len;
        }
    }
    virtio_net_limit_charge(pair, 0, packets, bytes);
}

/* What the batch says besides frames. 1: the back-end may have more; 0: it has
 * none, or failed; -EBADFD. Sets @got to the reads that found something. */
static int rx_batch_result(VirtIONetPair *pair, unsigned n, unsigned *got)
    PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    size_t bytes = 0;
    int r = 1;

    *got = 0;
    for (unsigned i = 0; i < n; i++) {
        ssize_t len = rx->frame[i].result;

        *got += len > 0;
        if (len == -EBADFD) {
            r = -EBADFD;
            break;
        }
        if (len <= 0) {
            r = 0;
            continue;
        }
        bytes += (size_t)len;
        if (pair->mergeable && (size_t)len > rx->chain[rx->first + i].in_len) {
            rx->wide = RX_WIDE;
        }
    }
    rx_count_reads(pair, *got, bytes);
    return r;
}

/* Moves up to @rx->batch frames and adds how many were read to @moved; results
 * as rx_one() has them. */
static int rx_batch(VirtIONetPair *pair, unsigned *moved) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    unsigned n, got, i;
    int r = rx_gather(pair, 0, rx->batch), waiting;

    if (r <= 0) {
        return r < 0 ? r : -ENOBUFS;
    }
    n = rx_batch_prepare(rx);
    if (G_UNLIKELY(pair->limit[0].on)) {
        n = MIN(n, virtio_net_limit_frames(pair, 0));
    }
    if (n == 0) {
        *moved += 1;
        return rx_one(pair);
    }
    net_port_recv_burst(&pair->port, rx->frame, n);
    r = rx_batch_result(pair, n, &got);
    for (i = 0; i < n && rx_batch_in_place(pair, i); i++) {
        rx_deliver(pair, rx->frame[i].result);
    }
    rx_batch_set_aside(pair, i, n);
    if (G_UNLIKELY(pair->limit[0].on)) {
        rx_batch_charge(pair, i, n);
    }
    rx_batch_learn(rx, n, got);
    if (rx->wide) {
        rx->batch = 1;
    }
    *moved += got;
    waiting = rx_deliver_waiting(pair);
    if (waiting <= 0) {
        return waiting < 0 ? waiting : -ENOBUFS;
    }
    return r;
}

static int rx_burst(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    unsigned moved = 0;
    int r = rx_deliver_waiting(pair);

    if (G_UNLIKELY(rx->kept) && r > 0) {
        r = rx_deliver_kept(pair);
        if (rx->kept && r > 0) {
            return 1; /* in its turn: nothing else comes before it */
        }
    }
    if (G_UNLIKELY(pair->inbox) && r > 0) {
        r = rx_deliver_inbox(pair);
    }
    if (r == 0) {
        return -ENOBUFS;
    }
    if (G_UNLIKELY(pair->rx_rest) && r > 0) {
        /* The rest is vhost-net's. */
        __atomic_store_n(&pair->rx_rest_done, true, __ATOMIC_RELAXED);
        loop_task_schedule(&pair->net->rest_task);
        return 0;
    }
    if (G_UNLIKELY(pair->shared || pair->rx_held) && r > 0) {
        return 0; /* what waited is delivered; nothing is read */
    }
    if (G_UNLIKELY(pair->limit[0].on) && r > 0 &&
        !virtio_net_limit_ready(pair, 0)) {
        return 0; /* what was read before has been charged before */
    }
    while (r > 0 && moved < VIRTIO_NET_BURST &&
           pair_limit_left(&pair->limit[0])) {
        if (rx->wide) {
            rx->wide--;
            moved++;
            r = rx_one(pair);
        } else {
            r = rx_batch(pair, &moved);
        }
    }
    return r;
}

int rx_turn(VirtIONetPair *pair)
{
    PairStats *stats = &pair->stats;
    VirtQueue *vq = pair->rx_vq;
    uint64_t read = stats->rx_read;
    int r;

    if (pair->faulted || !vq->running) {
        return 0;
    }
    pair->rx_starved = false;
    pair->rx_extras = pair->hash_report || dirty_log_get();
    r = rx_burst(pair);
    stat_add(&stats->rx_bursts[burst_bucket(stats->rx_read - read)], 1);
    stat_set(&stats->rx_backlog, 0);
    if (r == -ENOBUFS) {
        stat_add(&stats->rx_no_buffer, 1);
        stat_set(&stats->rx_backlog, rx_scratch_waiting(pair->rx));
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
    pair_signal(pair, 0);
    if (r == -EPROTO) {
        pair_fault(pair, vq);
        return r;
    }
    if (r == -EBADFD) {
        pair_backend_gone(pair);
        return r;
    }
    if (r > 0 && pair->rx_buffers) {
        loop_task_schedule(&pair->rx_task);
    }
    pair_update_backend_watch(pair);
    return r;
}

void virtio_net_rx(VirtIONetPair *pair)
{
    (void)rx_turn(pair);
}

void virtio_net_rx_stop(VirtIONetPair *pair)
{
    RxScratch *rx = pair->rx;

    virtqueue_unpop(pair->rx_vq, rx->end - rx->first);
    rx->first = rx->end = rx->iov_first = rx->iov_end = 0;
    rx->bytes = 0;
}
