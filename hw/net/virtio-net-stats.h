/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a queue pair counts (VirtIONetPair.stats).
 *
 * Threads: the pair's owner writes, any thread reads.
 */
#ifndef HW_NET_VIRTIO_NET_STATS_H
#define HW_NET_VIRTIO_NET_STATS_H

/* Buckets of a histogram: for 0, 1, 2-3, 4-7 ... 64 and more. */
#define BURST_BUCKETS 8u

/* What a pair has done since it was made. Single writer: the owner. */
typedef struct PairStats {
    uint64_t rx_packets, rx_bytes;
    uint64_t rx_filtered; /* MAC, VLAN, link down, offload not negotiated */
    uint64_t rx_link_down, rx_bad_offload; /* of those */
    uint64_t rx_too_long;                  /* longer than the driver's buffer */
    uint64_t rx_no_buffer;                 /* had to wait for receive buffers */
    uint64_t rx_errors;                    /* the back-end failed */
    uint64_t rx_rss_moved; /* handed over to the pair that RSS chose */
    uint64_t rx_rss_lost;  /* could not be, or came and could not stay */
    uint64_t rx_read, rx_read_bytes; /* what the back-end gave */
    uint64_t tx_packets, tx_bytes;
    uint64_t tx_bad_header; /* header or length makes no sense */
    uint64_t tx_dropped;    /* link down, or the back-end refused it */
    uint64_t tx_link_down;  /* of those */
    uint64_t tx_again;      /* back-end full, the frame waited in the ring */
    uint64_t tx_gathered;   /* of tx_packets: went within another's frame */
    /* of tx_packets: left to the back-end to sum up, and to cut in segments */
    uint64_t tx_needs_csum, tx_gso_packets, tx_gso_bytes;
    /* packets read, or taken from the ring, in one go: as burst_bucket() */
    uint64_t rx_bursts[BURST_BUCKETS], tx_bursts[BURST_BUCKETS];
    /* as of now: packets that wait for buffers, and for the back-end */
    uint64_t rx_backlog, tx_backlog;
    uint64_t moves; /* changes of owner while it ran; by the main thread */
} PairStats;

/* Adds to a counter that other threads read. Owner. */
static inline void stat_add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Replaces a value that other threads read. Owner. */
static inline void stat_set(uint64_t *value, uint64_t n)
{
    __atomic_store_n(value, n, __ATOMIC_RELAXED);
}

/* A counter that its owner may be adding to just now. Any thread. */
static inline uint64_t stat_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

/* The bucket of a burst of @n packets. */
static inline unsigned burst_bucket(unsigned n)
{
    return MIN(31u - (unsigned)__builtin_clz(2 * n + 1), BURST_BUCKETS - 1);
}

#endif
