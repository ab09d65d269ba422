/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the receive path share: the scratch memory of a pair.
 *
 * Threads: the pair's owner.
 */
#ifndef HW_NET_VIRTIO_NET_RX_H
#define HW_NET_VIRTIO_NET_RX_H

#include "hw/net/virtio-net-internal.h"
#include "net/wake.h"

#define RX_MAX_CHAINS VIRTQUEUE_MAX_SIZE
#define RX_BATCH      32u /* frames of a burst */
#define RX_BATCH_SEGS 24u /* elements of a chain in a batch; Linux: 1 to 19 */
/* Frames read one at a time after one that was longer than its chain. */
#define RX_WIDE 32u
/* Kept at most of a subqueue that goes while the driver has no buffers. */
#define RX_KEPT_BYTES (16u << 20)

struct RxScratch {
    /* pair owner: chains [first, end) hold iov [iov_first, iov_end) */
    unsigned first, end;
    unsigned iov_first, iov_end;
    size_t bytes;   /* of the window's buffers */
    bool full;      /* the window, not the ring, stopped the last gathering */
    unsigned batch; /* frames that the next batch tries */
    bool again;     /* the last batch, of one, got its frame */
    unsigned wide;  /* frames to be read one at a time */
    unsigned wait_first, wait_end; /* spill buffers with frames that wait */
    size_t wait_len[RX_BATCH];     /* of each, bytes; 0: nothing in it */
    NetFrameQueue *kept; /* more, behind those that wait; NULL: none */
    IoFrame frame[RX_BATCH];
    VirtQueueChain chain[RX_MAX_CHAINS];
    struct iovec iov[VIRTQUEUE_MAX_SEGS + 1]; /* the last for the spill */
    struct iovec batch_iov[RX_BATCH * (RX_BATCH_SEGS + 1)];
    uint8_t spill[RX_BATCH][VIRTIO_NET_RX_MAX];
};

/* What a read or several have got: @bytes with headers. */
void rx_count_reads(VirtIONetPair *pair, unsigned n, size_t bytes)
    PAIR_OWNER(pair);
/* Is what a read of @len bytes left in @iov a frame for the driver? Counts
 * the others. */
bool rx_check(VirtIONetPair *pair, const struct iovec *iov, unsigned n,
              ssize_t len) PAIR_OWNER(pair);
/* Of kept frames as many as there is room for wait in spill buffers from now
 * on. True: there are more of them. */
bool rx_scratch_refill(RxScratch *rx);
/*
 * virtio_net_rx(), and how it ended. 1: the back-end may have more; 0: it has
 * none, or the pair does not read it; -ENOBUFS: the driver has to add buffers;
 * -EPROTO: it broke the ring; -EBADFD: the back-end is gone.
 */
int rx_turn(VirtIONetPair *pair) PAIR_OWNER(pair);
/* virtio-net-log.c: a frame of @len bytes with its header was delivered into
 * the driver's buffers @iov; pair->rx_extras is set. */
void virtio_net_rx_extras(VirtIONetPair *pair, const struct iovec *iov,
                          unsigned n, size_t len) PAIR_OWNER(pair);

#endif
