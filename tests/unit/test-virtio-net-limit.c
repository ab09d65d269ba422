/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rate limits: the bucket that takers share, in a time of the test's own, and
 * by real threads; and a pair under a limit, with a clock that stands still
 * until the test moves it (the linker gives clock_now_ns() to this file).
 *
 * Threads: the test's, and takers of one bucket.
 */
#include "util/osdep.h"

#include <pthread.h>

#include "tests/unit/virtio-net-rig.h"

#define BIT(n) (1ULL << (n))
#define SEC    1000000000LL
#define MS     1000000LL
#define HDR    12u
#define TAKERS 8u

int64_t __wrap_clock_now_ns(void);

static int64_t now;

int64_t __wrap_clock_now_ns(void)
{
    return now;
}

/* ---- the bucket ---- */

static const RateBucketConf rates[] = {
    { .rate = 1, .burst = 1, .takers = 1, .least = 1, .most = 256 },
    { .rate = 1, .burst = 65600, .takers = 4, .least = 2048, .most = MiB },
    { .rate = 7, .burst = 3, .takers = 4, .least = 1, .most = 256 },
    { .rate = 1000, .burst = 20, .takers = 1, .least = 1, .most = 256 },
    { .rate = 125000000,
      .burst = 2500000,
      .takers = 1,
      .least = 2048,
      .most = MiB },
    { .rate = 125000000,
      .burst = 2500000,
      .takers = 256,
      .least = 2048,
      .most = MiB },
    { .rate = 1000000000, .burst = 1, .takers = 4, .least = 1, .most = 256 },
    { .rate = 125000000000,
      .burst = 1ull << 40,
      .takers = 4,
      .least = 2048,
      .most = MiB },
    { .rate = 1,
      .burst = 1ull << 40,
      .takers = 256,
      .least = 2048,
      .most = MiB },
};

/* What can be taken at once, from a full bucket, is within the burst and what
 * each taker may take in any case. */
static void test_burst(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
        const RateBucketConf *c = &rates[i];
        uint64_t taken = 0, most;
        RateBucket b;

        rate_bucket_init(&b, c, SEC);
        g_assert_cmpint(b.quantum, >=, c->least);
        g_assert_cmpint(b.quantum, <=, c->most);
        g_assert_cmpint(b.cost_ns, >, 0);
        most = MAX(c->burst, (c->takers + 1) * (uint64_t)b.quantum) -
               c->takers * (uint64_t)b.quantum;
        /* Not all of a burst that takes years is tried. */
        while (taken < 10 * MiB && rate_bucket_take(&b, SEC) <= SEC) {
            taken += (uint64_t)b.quantum;
        }
        g_assert_cmpuint(taken, <=, MAX(most, 10 * MiB + MiB));
        g_assert_cmpuint(taken, >=, MIN(most / 2, 10 * MiB));
        g_assert_cmpuint(taken, >, 0);
    }
}

/* Who always takes the next ticket when the last one is good gets the rate. */
static void test_exact(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rates); i++) {
        const RateBucketConf *c = &rates[i];
        int64_t t = 5 * SEC, first;
        double units, seconds;
        RateBucket b;
        unsigned n;

        rate_bucket_init(&b, c, t);
        while ((first = rate_bucket_take(&b, t)) <= t && b.depth_ns < SEC) {
            continue; /* the burst */
        }
        t = first;
        for (n = 0; n < 10000; n++) {
            int64_t next = rate_bucket_take(&b, t);

            g_assert_cmpint(next, >=, t);
            t = MAX(next, t);
        }
        if (b.depth_ns >= SEC) {
            continue; /* the burst is longer than the test */
        }
        units = (double)n * b.quantum;
        seconds = (double)(t - first) / SEC;
        g_assert_cmpfloat(units / seconds, <=, 1.001 * c->rate);
        g_assert_cmpfloat(units / seconds, >=, 0.96 * c->rate);
    }
}

/* A pause saves up no more than the burst, however long it is. */
static void test_pause(void)
{
    const RateBucketConf c = {
        .rate = 1000000, .burst = 20000, .takers = 1, .least = 1, .most = MiB
    };
    int64_t t = SEC;
    RateBucket b;

    rate_bucket_init(&b, &c, t);
    for (unsigned i = 0; i < 40; i++) {
        uint64_t taken = 0;

        while (rate_bucket_take(&b, t) <= t) {
            taken += (uint64_t)b.quantum;
        }
        g_assert_cmpuint(taken, <=, c.burst);
        g_assert_cmpuint(taken, >=, c.burst / 2);
        t += i % 2 ? SEC : INT64_C(100000000) * SEC; /* three years */
    }
}

/* Late takers catch up, as far as the burst goes. */
static void test_late(void)
{
    const RateBucketConf c = {
        .rate = 1000000, .burst = 20000, .takers = 1, .least = 1, .most = 1000
    };
    int64_t t = SEC, due;
    uint64_t taken = 0;
    RateBucket b;

    rate_bucket_init(&b, &c, t);
    while (t < 11 * SEC) {
        due = rate_bucket_take(&b, t);
        taken += (uint64_t)b.quantum;
        t = MAX(t, due) + 900000 * (due > t); /* 0.9 ms late each time */
    }
    g_assert_cmpuint(taken, >=, 9900000);
    g_assert_cmpuint(taken, <=, 10030000);
}

/* Takers that wait for their turns get equal shares, in turn. */
static void test_order(void)
{
    const RateBucketConf c = {
        .rate = 1000000, .burst = 20000, .takers = 4, .least = 1, .most = 1000
    };
    int64_t due[4], t = SEC;
    unsigned served[4] = { 0 };
    RateBucket b;

    rate_bucket_init(&b, &c, t);
    for (unsigned i = 0; i < 4; i++) {
        due[i] = rate_bucket_take(&b, t);
    }
    for (unsigned n = 0; n < 1000; n++) {
        unsigned next = 0;

        for (unsigned i = 1; i < 4; i++) {
            next = due[i] < due[next] ? i : next;
        }
        t = MAX(t, due[next]);
        served[next]++;
        due[next] = rate_bucket_take(&b, t);
    }
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpuint(served[i], ==, 250);
    }
}

/* ---- threads ---- */

typedef struct Taker {
    RateBucket *bucket;
    int64_t *times;
    unsigned n;
} Taker;

static void *take_many(void *opaque)
{
    Taker *taker = opaque;

    for (unsigned i = 0; i < taker->n; i++) {
        taker->times[i] = rate_bucket_take(taker->bucket, SEC);
    }
    return NULL;
}

static int compare_times(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/* No ticket is given twice, none is lost. */
static void test_threads(void)
{
    const RateBucketConf c = { .rate = 1000000,
                               .burst = 20000,
                               .takers = TAKERS,
                               .least = 1,
                               .most = 1000 };
    unsigned each = 20000;
    g_autofree int64_t *times = g_new(int64_t, TAKERS * each);
    pthread_t thread[TAKERS];
    Taker taker[TAKERS];
    RateBucket b;

    rate_bucket_init(&b, &c, SEC);
    for (unsigned i = 0; i < TAKERS; i++) {
        taker[i] = (Taker){ &b, times + i * each, each };
        g_assert_cmpint(pthread_create(&thread[i], NULL, take_many, &taker[i]),
                        ==, 0);
    }
    for (unsigned i = 0; i < TAKERS; i++) {
        pthread_join(thread[i], NULL);
    }
    qsort(times, TAKERS * each, sizeof(times[0]), compare_times);
    for (unsigned i = 0; i < TAKERS * each; i++) {
        g_assert_cmpint(times[i], ==, SEC - b.depth_ns + i * b.cost_ns);
    }
}

/* ---- a pair ---- */

static Rig rig;
static NetLimit limit;

static void begin(unsigned dir, unsigned kind, RateBucketConf conf) MAIN_THREAD
{
    now = SEC;
    rig_init(&rig, BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF));
    memset(&limit, 0, sizeof(limit));
    rate_bucket_init(&limit.bucket[kind], &conf, now);
    virtio_net_limit_set(rig.pair, dir, &limit);
    rig.pair->owner = PAIR_OWNER_IO;
}

static void end(void) NO_THREAD_SAFETY
{
    virtio_net_limit_stop(rig.pair);
    rig.pair->owner = PAIR_OWNER_MAIN;
    rig_free(&rig);
}

static void tx(unsigned n, int len) NO_THREAD_SAFETY
{
    for (unsigned i = 0; i < n; i++) {
        memset(rig_ram + rig_add(&rig.tx, &len, 1, RIG_DATA), 0, len);
    }
    rig.out_n = 0;
    virtio_net_tx(rig.pair);
}

static unsigned sent(void)
{
    return (uint16_t)rig.tx.v.used->idx;
}

static unsigned received(void)
{
    return (uint16_t)rig.rx.v.used->idx;
}

static void pass(int64_t ns)
{
    now += ns;
    rig.out_n = 0;
    for (unsigned i = 0; i < 40; i++) {
        event_loop_turn(rig.loop, 0);
    }
}

static const RateBucketConf ten_packets = {
    .rate = 10, .burst = 1, .takers = 1, .least = 1, .most = 256
};

/* One packet in 100 ms, the first at once; no kick is wanted while it waits. */
static void test_tx_packets(void) MAIN_THREAD
{
    begin(1, RATE_PACKETS, ten_packets);
    tx(5, HDR + 60);
    pass(0);
    g_assert_cmpuint(sent(), ==, 1);
    g_assert_true(rig.pair->limit[1].waiting);
    g_assert_cmpuint(rig.tx.v.used->flags & VRING_USED_F_NO_NOTIFY, !=, 0);
    for (unsigned i = 2; i <= 5; i++) {
        pass(100 * MS - 1);
        g_assert_cmpuint(sent(), ==, i - 1);
        pass(1);
        g_assert_cmpuint(sent(), ==, i);
    }
    pass(100 * MS);
    g_assert_cmpuint(sent(), ==, 5);
    g_assert_cmpuint(rig.tx.v.used->flags & VRING_USED_F_NO_NOTIFY, ==, 0);
    g_assert_cmpuint(rig.pair->limit[1].wait_ns, ==, 500 * MS);
    g_assert_cmpuint(rig.pair->limit[1].waits, ==, 5);
    end();
}

/* What a pair has and owes outlives a stop; a wait that is over ends at once.
 */
static void test_stop(void) MAIN_THREAD
{
    begin(1, RATE_PACKETS, ten_packets);
    tx(3, HDR + 60);
    pass(0);
    g_assert_cmpuint(sent(), ==, 1);
    virtio_net_limit_stop(rig.pair);
    g_assert_false(rig.pair->limit[1].waiting);
    virtio_net_limit_prepare(rig.pair);
    tx(0, 0);
    pass(50 * MS);
    g_assert_cmpuint(sent(), ==, 1);
    virtio_net_limit_stop(rig.pair);
    virtio_net_limit_prepare(rig.pair);
    now += 50 * MS;
    tx(0, 0);
    g_assert_cmpuint(sent(), ==, 2);
    end();
}

/* A frame longer than all that may pass does pass, and is paid for. */
static void test_debt(void) MAIN_THREAD
{
    RateBucketConf c = {
        .rate = 100000, .burst = 1, .takers = 1, .least = 2048, .most = MiB
    };
    int64_t waited = 0;

    begin(1, RATE_BYTES, c);
    tx(1, HDR + 60000);
    g_assert_cmpuint(sent(), ==, 1);
    tx(1, HDR + 60);
    while (sent() < 2) {
        pass(MS);
        waited += MS;
        g_assert_cmpint(waited, <, SEC);
    }
    /* 60000 bytes take 600 ms; a quantum, 20 ms, was there. */
    g_assert_cmpint(waited, >=, 560 * MS);
    g_assert_cmpint(waited, <=, 640 * MS);
    end();
}

/* A burst is cut where the limit is reached, the rest goes back to the ring. */
static void test_cut(void) MAIN_THREAD
{
    RateBucketConf c = {
        .rate = 1000000, .burst = 8192, .takers = 1, .least = 2048, .most = MiB
    };

    begin(1, RATE_BYTES, c);
    tx(20, HDR + 1000);
    pass(0);
    /* Three quanta are there, of two and a bit frames each. */
    g_assert_cmpuint(sent(), >=, 6);
    g_assert_cmpuint(sent(), <=, 8);
    pass(SEC);
    while (rig.pair->limit[1].waiting) {
        pass(MS);
    }
    g_assert_cmpuint(sent(), ==, 20);
    end();
}

static void rx(unsigned n, unsigned buffers) NO_THREAD_SAFETY
{
    static const int len = -2048;

    for (unsigned i = 0; i < buffers; i++) {
        rig_add(&rig.rx, &len, 1, RIG_DATA);
    }
    for (unsigned i = 0; i < n; i++) {
        rig_push(&rig, HDR + 60, i);
    }
    virtio_net_rx(rig.pair);
}

static void test_rx_packets(void) MAIN_THREAD
{
    begin(0, RATE_PACKETS, ten_packets);
    rx(8, 16);
    rx(0, 0);
    g_assert_cmpuint(received(), ==, 1);
    g_assert_true(rig.pair->limit[0].waiting);
    for (unsigned i = 2; i <= 8; i++) {
        pass(100 * MS);
        rx(0, 0);
        g_assert_cmpuint(received(), ==, i);
    }
    end();
}

/* A frame that waited for buffers is paid for once. */
static void test_rx_starved(void) MAIN_THREAD
{
    RateBucketConf c = { .rate = 1000000,
                         .burst = 100000,
                         .takers = 1,
                         .least = 2048,
                         .most = MiB };
    RateBucket *b = &limit.bucket[RATE_BYTES];

    begin(0, RATE_BYTES, c);
    rig_push(&rig, HDR + 5000, 1);
    rx(0, 2);
    rx(0, 0);
    g_assert_cmpuint(received(), ==, 0);
    g_assert_true(rig.pair->rx_starved);
    rx(0, 8);
    rx(0, 0);
    g_assert_cmpuint(received(), ==, 3);
    g_assert_cmpint(rig.pair->limit[0].left[RATE_BYTES], ==, 3 * 2048 - 5000);
    g_assert_cmpint(b->next_ns, ==, now - b->depth_ns + 3 * b->cost_ns);
    end();
}

/* Another limit is in force at once; what waits goes on. */
static void change(NetLimit *to) NO_THREAD_SAFETY
{
    virtio_net_limit_set(rig.pair, 1, to);
}

static void change_now(void *opaque)
{
    change(opaque);
}

static void test_change(void) MAIN_THREAD
{
    static NetLimit other;
    RateBucketConf fast = {
        .rate = 1000, .burst = 20, .takers = 1, .least = 1, .most = 256
    };

    begin(1, RATE_PACKETS, ten_packets);
    tx(20, HDR + 60);
    g_assert_cmpuint(sent(), ==, 1);
    memset(&other, 0, sizeof(other));
    rate_bucket_init(&other.bucket[RATE_PACKETS], &fast, now);
    event_loop_post(rig.loop, change_now, &other);
    pass(0);
    g_assert_cmpuint(sent(), >=, 10);
    g_assert_cmpuint(sent(), <=, 20);
    event_loop_post(rig.loop, change_now, &limit);
    pass(0);
    g_assert_true(rig.pair->limit[1].waiting || sent() == 20);
    event_loop_post(rig.loop, change_now, NULL);
    pass(0);
    g_assert_cmpuint(sent(), ==, 20);
    g_assert_false(rig.pair->limit[1].on);
    g_assert_false(rig.pair->limit[1].waiting);
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/rate-bucket/burst", test_burst);
    g_test_add_func("/rate-bucket/exact", test_exact);
    g_test_add_func("/rate-bucket/pause", test_pause);
    g_test_add_func("/rate-bucket/late", test_late);
    g_test_add_func("/rate-bucket/order", test_order);
    g_test_add_func("/rate-bucket/threads", test_threads);
    g_test_add_func("/virtio-net/limit/tx-packets", test_tx_packets);
    g_test_add_func("/virtio-net/limit/stop", test_stop);
    g_test_add_func("/virtio-net/limit/debt", test_debt);
    g_test_add_func("/virtio-net/limit/cut", test_cut);
    g_test_add_func("/virtio-net/limit/rx-packets", test_rx_packets);
    g_test_add_func("/virtio-net/limit/rx-starved", test_rx_starved);
    g_test_add_func("/virtio-net/limit/change", test_change);
    return g_test_run();
}
