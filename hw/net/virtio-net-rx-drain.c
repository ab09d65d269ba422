/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receiving aside from the usual walk: the scratch memory itself, and a
 * subqueue that is read dry because it goes, or because frames that come to
 * another one after it must not be seen before.
 *
 * Threads: the pair's owner, which is the holder of the machine lock while the
 * pair is stopped.
 */
#include "util/osdep.h"

#include <sys/mman.h>

#include "hw/net/virtio-net-rx.h"

RxScratch *rx_scratch_new(void)
{
    /* Straight from the kernel: what is not touched costs nothing, and malloc
     * would clear all of it if it had been used before. */
    RxScratch *rx = mmap(NULL, sizeof(RxScratch), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (rx == MAP_FAILED) {
        g_error("cannot allocate %zu bytes", sizeof(RxScratch));
    }
    rx->batch = 1;
    return rx;
}

unsigned rx_scratch_waiting(const RxScratch *rx)
{
    unsigned n = 0;

    for (unsigned i = rx ? rx->wait_first : 0; rx && i < rx->wait_end; i++) {
        n += rx->wait_len[i] != 0;
    }
    if (rx && rx->kept) {
        n += net_frame_queue_length(rx->kept);
    }
    return n;
}

void rx_scratch_free(RxScratch *rx)
{
    if (rx) {
        net_frame_queue_free(rx->kept);
        munmap(rx, sizeof(RxScratch));
    }
}

/* ---- frames that are kept ---- */

bool rx_scratch_refill(RxScratch *rx)
{
    for (; rx->wait_end < RX_BATCH; rx->wait_end++) {
        struct iovec iov = { rx->spill[rx->wait_end], VIRTIO_NET_RX_MAX };
        ssize_t len = net_frame_queue_get(rx->kept, &iov, 1, 0);

        if (len == 0) {
            break;
        }
        rx->wait_len[rx->wait_end] = (size_t)len;
    }
    if (net_frame_queue_length(rx->kept)) {
        return true;
    }
    net_frame_queue_free(g_steal_pointer(&rx->kept));
    return false;
}

/* Reads a frame into @buf and keeps it behind those that wait for the driver's
 * buffers. Results as recv has them. */
static ssize_t keep_frame(VirtIONetPair *pair, uint8_t *buf) PAIR_OWNER(pair)
{
    NetSubqueue *sq = pair->backend;
    RxScratch *rx = pair->rx;
    struct iovec iov = { buf, VIRTIO_NET_RX_MAX };
    ssize_t len = sq->io->recv(sq, &iov, 1);

    if (len <= 0) {
        return len;
    }
    rx_count_reads(pair, 1, (size_t)len);
    if (!rx_check(pair, &iov, 1, len) ||
        (G_UNLIKELY(pair->inbox) &&
         virtio_net_rss_hand_over(pair, buf, (size_t)len))) {
        return len;
    }
    if (!rx->kept) {
        /* As many as a queue that is full has, and what came to it since. */
        rx->kept = net_frame_queue_new(2 * sq->nc->queue_frames, RX_KEPT_BYTES,
                                       NULL, NULL);
    }
    iov.iov_len = (size_t)len;
    if (!net_frame_queue_put(rx->kept, &iov, 1, 0)) {
        stat_add(&pair->stats.rx_errors, 1);
    }
    return len;
}

bool virtio_net_rx_save(VirtIONetPair *pair, unsigned *left)
{
    g_autofree uint8_t *buf = g_malloc(VIRTIO_NET_RX_MAX);
    unsigned max = MIN(*left, VIRTIO_NET_BURST);
    ssize_t len = 1;

    for (unsigned i = 0; i < max && len > 0; i++) {
        len = keep_frame(pair, buf);
        *left -= len > 0;
    }
    stat_set(&pair->stats.rx_backlog, rx_scratch_waiting(pair->rx));
    return len > 0 && *left > 0;
}

bool virtio_net_rx_drain(VirtIONetPair *pair, unsigned *left, bool goes)
{
    uint64_t before = pair->stats.rx_read, got;
    bool limited = pair->limit[0].on;
    int r;

    /* What came before this is not to wait for a limit. */
    pair->limit[0].on = false;
    r = rx_turn(pair);
    pair->limit[0].on = limited;
    got = pair->stats.rx_read - before;
    *left -= (unsigned)MIN(got, *left);
    if (r == -ENOBUFS && goes) {
        return virtio_net_rx_save(pair, left);
    }
    return r > 0 && *left > 0;
}
