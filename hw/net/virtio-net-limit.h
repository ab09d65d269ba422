/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rate limits of a NIC: buckets that its pairs share, and what a pair has of
 * them. docs/devel/net-data-path.rst tells the model.
 *
 * Threads: a bucket's clock is everybody's; a PairLimit is its pair's owner's.
 */
#ifndef HW_NET_VIRTIO_NET_LIMIT_H
#define HW_NET_VIRTIO_NET_LIMIT_H

#include "util/event-loop.h"

/* What is limited. */
enum { RATE_BYTES, RATE_PACKETS, RATE_KINDS };

/* What a user set for one direction; 0: no limit, or the usual burst. */
typedef struct RateParams {
    uint64_t rate[RATE_KINDS]; /* in a second */
    uint64_t burst[RATE_KINDS];
} RateParams;

/*
 * A rate for several takers. They take tickets, of one quantum each; a ticket
 * says from when on it is good. Who has to wait is served in the order in which
 * tickets were taken.
 */
typedef struct RateBucket {
    /* fixed */
    int64_t quantum;  /* units of a ticket; 0: no limit */
    int64_t cost_ns;  /* time that a ticket stands for */
    int64_t depth_ns; /* of time not used, this much can be used later */
    /* any thread, atomic: when the next ticket is good */
    int64_t next_ns;
} RateBucket;

/*
 * A full bucket for @takers, of whom each may have a quantum left over.
 * @rate: units a second, 1 to 10^12; @burst: at least 1, units that may come at
 * once after a pause; @least, @most: bounds of the quantum, which is what
 * passes in a millisecond.
 */
typedef struct RateBucketConf {
    uint64_t rate, burst;
    unsigned takers;
    int64_t least, most;
} RateBucketConf;

void rate_bucket_init(RateBucket *bucket, const RateBucketConf *conf,
                      int64_t now_ns);
/* Takes a ticket: when it is good, now or in the future. Any thread. */
int64_t rate_bucket_take(RateBucket *bucket, int64_t now_ns);

/* One direction's limits while they are in force; shared by all pairs. */
typedef struct NetLimit {
    RateParams params; /* bursts filled in */
    RateBucket bucket[RATE_KINDS];
} NetLimit;

/* One direction of a pair. */
typedef struct PairLimit {
    /* pair owner; main thread while stopped */
    bool on;      /* there is a limit */
    bool waiting; /* nothing moves until the timer */
    NetLimit *limit;
    /* What may pass before a ticket has to be taken; below 0: what passed too
     * much. INT64_MAX where there is no limit. */
    int64_t left[RATE_KINDS];
    unsigned tickets;  /* mask of kinds: taken and not good yet */
    int64_t due_ns;    /* when they are */
    int64_t frame_len; /* of those that passed last, bytes */
    LoopTimer timer;

    /* any thread, atomic: read by monitors while the owner counts */
    uint64_t waits, wait_ns;
    int64_t since_ns; /* when the wait began; 0: there is none */
} PairLimit;

/* May another frame pass before the next ticket? Pair owner. */
static inline bool pair_limit_left(const PairLimit *l)
{
    return G_LIKELY(!l->on) ||
           (l->left[RATE_BYTES] > 0 && l->left[RATE_PACKETS] > 0);
}

#endif
