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
    return n;
}

void rx_scratch_free(RxScratch *rx)
{
    if (rx) {
        munmap(rx, sizeof(RxScratch));
    }
}

/* ---- a subqueue that goes ---- */

/* Makes room behind the frames that wait. False: there is none. */
static bool make_room(RxScratch *rx)
{
    unsigned n = rx->wait_end - rx->wait_first;

    if (rx->wait_end < RX_BATCH) {
        return true;
    }
    if (rx->wait_first == 0) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        unsigned from = rx->wait_first + i;

        rx->wait_len[i] = rx->wait_len[from];
        memcpy(rx->spill[i], rx->spill[from], rx->wait_len[from]);
    }
    rx->wait_first = 0;
    rx->wait_end = n;
    return true;
}

/* Reads a frame and drops it. Results as recv has them. */
static ssize_t lose_frame(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    uint8_t head[64];
    struct iovec iov = { head, sizeof(head) };
    ssize_t len = pair->backend->nc->info->recv(pair->backend, &iov, 1);

    if (len > 0) {
        rx_count_reads(pair, 1, (size_t)len);
        stat_add(&pair->stats.rx_errors, 1);
    }
    return len;
}

/* Reads a frame behind those that wait for the driver's buffers. */
static ssize_t keep_frame(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    RxScratch *rx = pair->rx;
    unsigned slot = rx->wait_end;
    struct iovec iov = { rx->spill[slot], VIRTIO_NET_RX_MAX };
    ssize_t len = pair->backend->nc->info->recv(pair->backend, &iov, 1);

    if (len <= 0) {
        return len;
    }
    rx_count_reads(pair, 1, (size_t)len);
    if (rx_check(pair, &iov, 1, len) &&
        !(G_UNLIKELY(pair->inbox) &&
          virtio_net_rss_hand_over(pair, rx->spill[slot], (size_t)len))) {
        rx->wait_len[slot] = (size_t)len;
        rx->wait_end++;
    }
    return len;
}

bool virtio_net_rx_save(VirtIONetPair *pair, unsigned *left)
{
    unsigned max = MIN(*left, VIRTIO_NET_BURST);
    ssize_t len = 1;

    for (unsigned i = 0; i < max && len > 0; i++) {
        len = make_room(pair->rx) ? keep_frame(pair) : lose_frame(pair);
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
