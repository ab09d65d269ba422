/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rate limits where frames pass: virtio_net_rx or virtio_net_tx ->
 * virtio_net_limit_ready (rate_bucket_take) -> a burst, cut to what is left ->
 * virtio_net_limit_charge.
 *
 * The pairs of a NIC share a bucket for each direction and kind. It is a clock:
 * the time from which on the next ticket is good. A ticket moves it on by the
 * time that its quantum takes at the rate. The clock never falls behind the
 * time of day by more than the burst's worth, so no more than that is saved up.
 * Where it is ahead of it, pairs wait, each for the time that its ticket says,
 * and so in the order in which they came, a quantum each.
 *
 * A pair takes a ticket when it has used up what it had. Frames are never cut:
 * what the last one was too long remains as a debt, and that many tickets pass
 * unused before the pair moves again. So pairs get equal shares, whatever the
 * length of their frames.
 *
 * Threads: the pair's owner; rate_bucket_take() any.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"

#define NS_PER_SEC 1000000000LL
#define DEPTH_MAX  (1LL << 60) /* 36 years */

/* Tickets for debts that are taken in one go. */
#define TICKETS_MAX 64u

/* A frame of ordinary length, where the lengths to come are not known. */
#define FRAME_USUAL 1514

/* ---- buckets ---- */

/* The time that @n units take, rounded up. */
static int64_t units_to_ns(uint64_t n, uint64_t rate)
{
    unsigned __int128 ns = (unsigned __int128)n * NS_PER_SEC + (rate - 1);

    return (int64_t)MIN(ns / rate, (unsigned __int128)DEPTH_MAX);
}

void rate_bucket_init(RateBucket *bucket, const RateBucketConf *conf,
                      int64_t now_ns)
{
    /* Smaller the more there are to take some: all that they hold together is
     * within the burst. */
    uint64_t share = conf->burst / (4 * conf->takers);
    uint64_t held;

    bucket->quantum = (int64_t)MIN(conf->rate / 1000, share);
    bucket->quantum = MAX(MIN(bucket->quantum, conf->most), conf->least);
    bucket->cost_ns = units_to_ns(bucket->quantum, conf->rate);
    /* Besides those that they hold, one more ticket is good at once. */
    held = (conf->takers + 1) * (uint64_t)bucket->quantum;
    bucket->depth_ns =
        held < conf->burst ? units_to_ns(conf->burst - held, conf->rate) : 0;
    __atomic_store_n(&bucket->next_ns, now_ns - bucket->depth_ns,
                     __ATOMIC_RELAXED);
}

int64_t rate_bucket_take(RateBucket *bucket, int64_t now_ns)
{
    int64_t next = __atomic_load_n(&bucket->next_ns, __ATOMIC_RELAXED);
    int64_t start;

    /* The time is all there is to agree on: nothing else is ordered by it. */
    do {
        start = MAX(next, now_ns - bucket->depth_ns);
    } while (!__atomic_compare_exchange_n(&bucket->next_ns, &next,
                                          start + bucket->cost_ns, true,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return start;
}

/* ---- a pair ---- */

/* Takes a ticket of each kind of which nothing is left. */
static void take_tickets(PairLimit *l, int64_t now)
{
    l->due_ns = now;
    for (unsigned k = 0; k < RATE_KINDS; k++) {
        if (l->left[k] <= 0) {
            int64_t due = rate_bucket_take(&l->limit->bucket[k], now);

            l->due_ns = MAX(l->due_ns, due);
            l->tickets |= 1u << k;
        }
    }
}

/* The tickets are good. */
static void use_tickets(PairLimit *l)
{
    for (unsigned k = 0; k < RATE_KINDS; k++) {
        if (l->tickets & 1u << k) {
            l->left[k] += l->limit->bucket[k].quantum;
        }
    }
    l->tickets = 0;
}

static void begin_wait(PairLimit *l, int64_t now)
{
    l->waiting = true;
    stat_add(&l->waits, 1);
    __atomic_store_n(&l->since_ns, now, __ATOMIC_RELAXED);
    loop_timer_arm(&l->timer, l->due_ns);
}

static void end_wait(PairLimit *l)
{
    if (l->waiting) {
        l->waiting = false;
        stat_add(&l->wait_ns, clock_now_ns() - l->since_ns);
        __atomic_store_n(&l->since_ns, 0, __ATOMIC_RELAXED);
    }
}

bool virtio_net_limit_ready(VirtIONetPair *pair, unsigned dir)
{
    PairLimit *l = &pair->limit[dir];
    int64_t now;

    if (l->waiting) {
        return false;
    }
    if (pair_limit_left(l)) {
        return true;
    }
    now = clock_now_ns();
    for (unsigned i = 0; i < TICKETS_MAX; i++) {
        if (!l->tickets) {
            take_tickets(l, now);
        }
        if (l->due_ns > now) {
            break;
        }
        use_tickets(l);
        if (pair_limit_left(l)) {
            return true;
        }
    }
    /* Or, with many debts, only until the loop has looked at others. */
    begin_wait(l, now);
    return false;
}

unsigned virtio_net_limit_frames(const VirtIONetPair *pair, unsigned dir)
{
    const PairLimit *l = &pair->limit[dir];
    int64_t n = l->left[RATE_BYTES] / MAX(l->frame_len, FRAME_USUAL);

    return (unsigned)CLAMP(MIN(n, l->left[RATE_PACKETS]), 1, VIRTIO_NET_BURST);
}

void virtio_net_limit_charge(VirtIONetPair *pair, unsigned dir,
                             uint64_t packets, uint64_t bytes)
{
    PairLimit *l = &pair->limit[dir];

    if (!l->on || !packets) {
        return;
    }
    l->left[RATE_PACKETS] -= (int64_t)packets;
    l->left[RATE_BYTES] -= (int64_t)bytes;
    l->frame_len = (int64_t)(bytes / packets);
}

static void rx_due(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    end_wait(&pair->limit[0]);
    virtio_net_rx(pair);
}

static void tx_due(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    end_wait(&pair->limit[1]);
    virtio_net_tx(pair);
}

void virtio_net_limit_prepare(VirtIONetPair *pair)
{
    loop_timer_init(&pair->limit[0].timer, pair->loop, rx_due, pair);
    loop_timer_init(&pair->limit[1].timer, pair->loop, tx_due, pair);
}

void virtio_net_limit_stop(VirtIONetPair *pair)
{
    for (unsigned dir = 0; dir < 2; dir++) {
        loop_timer_cancel(&pair->limit[dir].timer);
        end_wait(&pair->limit[dir]);
    }
}

/* ---- another limit ---- */

static void limit_load(PairLimit *l, NetLimit *limit)
{
    l->limit = limit;
    l->on = limit != NULL;
    l->tickets = 0;
    for (unsigned k = 0; k < RATE_KINDS; k++) {
        l->left[k] = limit && limit->bucket[k].quantum ? 0 : INT64_MAX;
    }
}

/* On its way to a pair's owner. */
typedef struct LimitChange {
    VirtIONetPair *pair;
    unsigned dir;
    NetLimit *limit;
} LimitChange;

static void limit_change(void *opaque)
{
    const LimitChange *change = opaque;
    VirtIONetPair *pair = change->pair;
    PairLimit *l = &pair->limit[change->dir];
    bool waited = l->waiting;

    pair_assert_owner(pair);
    loop_timer_cancel(&l->timer);
    end_wait(l);
    limit_load(l, change->limit);
    if (waited && change->dir == 0) {
        virtio_net_rx(pair);
    } else if (waited) {
        virtio_net_tx(pair);
    }
}

void virtio_net_limit_set(VirtIONetPair *pair, unsigned dir, NetLimit *limit)
{
    LimitChange change = { .pair = pair, .dir = dir, .limit = limit };

    if (pair->owner == PAIR_OWNER_IO) {
        event_loop_call(pair->loop, limit_change, &change);
    } else {
        limit_load(&pair->limit[dir], limit);
    }
}
