/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a pair counts: bursts, drops by cause, backlogs, what passed its
 * subqueue; how full rings are; CPU time of threads.
 *
 * Threads: one, but for the one whose time is taken.
 */
#include "util/osdep.h"

#include <pthread.h>

#include "tests/unit/virtio-net-rig.h"
#include "util/thread-time.h"

#define BIT(n)    (1ULL << (n))
#define MODERN    BIT(VIRTIO_F_VERSION_1)
#define MERGE     (MODERN | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define HDR       12u
#define FRAME     100u
#define BUF_SIZE  1600
#define BUF_SPACE 0x1000u

static Rig rig;
static PairStats *stats; /* of its pair */

static void start(uint64_t features) MAIN_THREAD
{
    rig_init(&rig, features);
    stats = &rig.pair->stats;
}

static void rx(void) NO_THREAD_SAFETY
{
    virtio_net_rx(rig.pair);
}

static void tx(void) NO_THREAD_SAFETY
{
    virtio_net_tx(rig.pair);
}

static void add_rx(unsigned from, unsigned n, int size) MAIN_THREAD
{
    for (unsigned i = from; i < from + n; i++) {
        int len = -size;

        rig_add(&rig.rx, &len, 1, RIG_DATA + i * BUF_SPACE);
    }
}

static void add_tx(unsigned n) MAIN_THREAD
{
    int len = HDR + FRAME;

    for (unsigned i = 0; i < n; i++) {
        rig_add(&rig.tx, &len, 1, RIG_DATA);
    }
}

static void push(unsigned n, size_t len)
{
    for (unsigned i = 0; i < n; i++) {
        rig_push(&rig, len, 1);
    }
}

/* The back-end's frames were read; there is room for others. */
static void forget(void)
{
    g_assert_cmpuint(rig.in_next, ==, rig.in_n);
    for (unsigned i = 0; i < rig.in_n; i++) {
        g_free(rig.in[i].data);
    }
    rig.in_n = rig.in_next = 0;
}

static void check_bursts(const uint64_t *buckets, const char *want)
{
    g_autoptr(GString) got = g_string_new(NULL);

    for (unsigned i = 0; i < BURST_BUCKETS; i++) {
        g_string_append_printf(got, "%s%" PRIu64, i ? " " : "", buckets[i]);
    }
    g_assert_cmpstr(got->str, ==, want);
}

/* ---- bursts ---- */

static void test_buckets(void)
{
    static const struct {
        unsigned n, bucket;
    } rows[] = { { 0, 0 },  { 1, 1 },  { 2, 2 },   { 3, 2 },   { 4, 3 },
                 { 7, 3 },  { 8, 4 },  { 15, 4 },  { 16, 5 },  { 31, 5 },
                 { 32, 6 }, { 63, 6 }, { 64, 7 },  { 127, 7 }, { 128, 7 },
                 { 95, 7 }, { 96, 7 }, { 5000, 7 } };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        g_assert_cmpuint(burst_bucket(rows[i].n), ==, rows[i].bucket);
    }
}

static void test_rx_bursts(void) MAIN_THREAD
{
    static const unsigned sizes[] = { 1, 2, 3, 5, 8, 20, 32, 32 };
    unsigned total = 0;

    start(MERGE);
    add_rx(0, 200, BUF_SIZE);
    rx();
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        push(sizes[i], HDR + FRAME);
        rx();
        forget();
        total += sizes[i];
    }
    check_bursts(stats->rx_bursts, "1 1 2 1 1 1 2 0");
    g_assert_cmpuint(stats->rx_read, ==, total);
    g_assert_cmpuint(stats->rx_read_bytes, ==, total * FRAME);
    g_assert_cmpuint(stats->rx_packets, ==, total);
    rig_free(&rig);
}

/* Frames read one at a time count the same. */
static void test_rx_bursts_wide(void) MAIN_THREAD
{
    start(MERGE);
    add_rx(0, 200, 256);
    push(4, HDR + 1000);
    rx();
    forget();
    push(3, HDR + 1000);
    rx();
    forget();
    check_bursts(stats->rx_bursts, "0 0 1 1 0 0 0 0");
    g_assert_cmpuint(stats->rx_read, ==, 7);
    g_assert_cmpuint(stats->rx_read_bytes, ==, 7000);
    rig_free(&rig);
}

static void test_tx_bursts(void) MAIN_THREAD
{
    static const unsigned sizes[] = { 1, 3, 4, 9, 16, 31, 32 };
    unsigned total = 0;

    start(MODERN);
    tx();
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        add_tx(sizes[i]);
        tx();
        rig.out_n = 0;
        total += sizes[i];
    }
    check_bursts(stats->tx_bursts, "1 1 1 1 1 2 1 0");
    g_assert_cmpuint(stats->tx_packets, ==, total);
    g_assert_cmpuint(stats->tx_bytes, ==, total * FRAME);
    rig_free(&rig);
}

/* ---- backlogs and drops ---- */

static void test_rx_backlog(void) MAIN_THREAD
{
    start(MERGE);
    add_rx(0, 2, 512);
    push(1, HDR + 1500);
    rx();
    g_assert_cmpuint(stats->rx_backlog, ==, 1);
    g_assert_cmpuint(stats->rx_no_buffer, ==, 1);
    g_assert_cmpuint(stats->rx_packets, ==, 0);
    add_rx(2, 4, 512);
    rx();
    g_assert_cmpuint(stats->rx_backlog, ==, 0);
    g_assert_cmpuint(stats->rx_packets, ==, 1);
    check_bursts(stats->rx_bursts, "1 1 0 0 0 0 0 0");
    rig_free(&rig);
}

static void test_backlog_ends_with_reset(void) MAIN_THREAD
{
    start(MERGE);
    add_rx(0, 2, 512);
    push(1, HDR + 1500);
    rx();
    rig.out_room = 0;
    add_tx(3);
    tx();
    g_assert_cmpuint(stats->rx_backlog, ==, 1);
    g_assert_cmpuint(stats->tx_backlog, ==, 3);
    virtio_net_pairs_reset(rig.net);
    g_assert_cmpuint(stats->rx_backlog + stats->tx_backlog, ==, 0);
    rig_free(&rig);
}

static void test_tx_backlog(void) MAIN_THREAD
{
    start(MODERN);
    rig.out_room = 4;
    add_tx(10);
    tx();
    g_assert_cmpuint(stats->tx_backlog, ==, 6);
    g_assert_cmpuint(stats->tx_again, ==, 1);
    check_bursts(stats->tx_bursts, "0 0 0 1 0 0 0 0");
    rig.out_room = RIG_QUEUE;
    rig.pair->tx_full = false;
    tx();
    g_assert_cmpuint(stats->tx_backlog, ==, 0);
    check_bursts(stats->tx_bursts, "0 0 0 2 0 0 0 0");
    rig_free(&rig);
}

static void test_drops(void) MAIN_THREAD
{
    start(MERGE);
    add_rx(0, 40, BUF_SIZE);
    rig.net->link_up = false;
    push(3, HDR + FRAME);
    rx();
    add_tx(2);
    tx();
    g_assert_cmpuint(stats->rx_filtered, ==, 3);
    g_assert_cmpuint(stats->rx_link_down, ==, 3);
    g_assert_cmpuint(stats->tx_dropped, ==, 2);
    g_assert_cmpuint(stats->tx_link_down, ==, 2);
    rig.net->link_up = true;
    push(2, HDR + FRAME);
    rig.in[4].data[1] = VIRTIO_NET_HDR_GSO_TCPV4; /* not negotiated */
    rx();
    rig.send_error = -EIO;
    add_tx(1);
    tx();
    g_assert_cmpuint(stats->rx_filtered, ==, 4);
    g_assert_cmpuint(stats->rx_link_down, ==, 3);
    g_assert_cmpuint(stats->rx_bad_offload, ==, 1);
    g_assert_cmpuint(stats->rx_packets, ==, 1);
    g_assert_cmpuint(stats->rx_read, ==, 5);
    g_assert_cmpuint(stats->tx_dropped, ==, 3);
    g_assert_cmpuint(stats->tx_link_down, ==, 2);
    rig_free(&rig);
}

/* ---- what passed a subqueue ---- */

static NetSubqueueUse subqueue_use(const NetSubqueue *sq) MAIN_THREAD
{
    NetSubqueueUse use = { 0 };

    virtio_net_query_subqueue(&rig.net->nic, sq, &use);
    return use;
}

static void test_subqueue(void) MAIN_THREAD
{
    NetSubqueue other = { .nc = &rig.nc, .index = 1 };
    NetSubqueueUse use;

    start(MERGE);
    rig.net->active_pairs = 1;
    add_rx(0, 40, BUF_SIZE);
    push(5, HDR + FRAME);
    rx(); /* before the pair came here */
    virtio_net_stats_begin(rig.pair);
    rig.pair->owner = PAIR_OWNER_IO;
    push(3, HDR + FRAME);
    rx();
    rig.net->link_up = false;
    add_tx(1);
    tx();
    rig.net->link_up = true;
    add_tx(4);
    rig.out_room = 2;
    tx();
    use = subqueue_use(&rig.sq);
    g_assert_cmpuint(use.pairs, ==, 1);
    g_assert_false(use.outside);
    g_assert_cmpuint(use.since.rx_packets, ==, 3);
    g_assert_cmpuint(use.since.rx_bytes, ==, 3 * FRAME);
    g_assert_cmpuint(use.since.tx_packets, ==, 2);
    g_assert_cmpuint(use.since.tx_bytes, ==, 2 * FRAME);
    g_assert_cmpuint(use.since.tx_dropped, ==, 0); /* it never got there */
    g_assert_cmpuint(use.since.tx_again, ==, 1);
    g_assert_cmpuint(rig.sq.stats.rx_packets, ==, 0);
    use = subqueue_use(&other);
    g_assert_cmpuint(use.pairs + use.since.rx_packets, ==, 0);

    virtio_net_stats_end(rig.pair);
    rig.pair->owner = PAIR_OWNER_MAIN;
    g_assert_cmpuint(rig.sq.stats.rx_packets, ==, 3);
    g_assert_cmpuint(rig.sq.stats.tx_packets, ==, 2);
    g_assert_cmpuint(subqueue_use(&rig.sq).since.rx_packets, ==, 0);

    rig.pair->backend = &other; /* and on, somewhere else */
    virtio_net_stats_begin(rig.pair);
    rig.pair->owner = PAIR_OWNER_VHOST;
    use = subqueue_use(&other);
    g_assert_true(use.outside);
    g_assert_cmpuint(use.since.rx_packets, ==, 0);
    rig.pair->owner = PAIR_OWNER_MAIN;
    rig.pair->backend = &rig.sq;
    rig_free(&rig);
}

/* ---- rings ---- */

static void test_occupancy(void) MAIN_THREAD
{
    const VirtQueue *vq;
    unsigned n = 77;

    start(MERGE);
    vq = &rig.rx.vq;
    g_assert_true(virtqueue_peek_occupancy(vq, &n));
    g_assert_cmpuint(n, ==, 0);
    add_rx(0, 40, BUF_SIZE);
    push(3, HDR + FRAME);
    rx();
    g_assert_true(virtqueue_peek_occupancy(vq, &n));
    g_assert_cmpuint(n, ==, 37);
    /* indices go round */
    rig.rx.v.avail->idx = 5;
    rig.rx.v.used->idx = 0xfff0;
    g_assert_true(virtqueue_peek_occupancy(vq, &n));
    g_assert_cmpuint(n, ==, 21);
    rig.rx.v.avail->idx = (uint16_t)(0xfff0 + RIG_SIZE);
    g_assert_true(virtqueue_peek_occupancy(vq, &n));
    g_assert_cmpuint(n, ==, RIG_SIZE);
    /* and may say anything */
    rig.rx.v.avail->idx++;
    g_assert_false(virtqueue_peek_occupancy(vq, &n));
    rig.rx.v.avail->idx = 0xffef;
    g_assert_false(virtqueue_peek_occupancy(vq, &n));
    rig.rx.vq.avail_gpa = 1ULL << 40;
    g_assert_false(virtqueue_peek_occupancy(vq, &n));
    rig.rx.vq.enabled = false;
    g_assert_false(virtqueue_peek_occupancy(vq, &n));
    rig_free(&rig);
}

/* A packed ring of 8: the flags of each slot as a driver or device left them.
 */
static void test_occupancy_packed(void) MAIN_THREAD
{
    enum { A = 1 << 7, U = 1 << 15, NEXT = 1, SIZE = 8 };
    VirtQueue vq = { .size = SIZE, .enabled = true, .packed = true };
    struct vring_packed_desc *ring;
    unsigned n;

    start(MODERN);
    vq.desc_gpa = 0x40000;
    ring = (void *)(rig_ram + vq.desc_gpa);
    memset(ring, 0, SIZE * sizeof(*ring));
    vq.used_wrap = true;
    g_assert_true(virtqueue_peek_occupancy(&vq, &n));
    g_assert_cmpuint(n, ==, 0);
    ring[0].flags = A;
    ring[1].flags = A | NEXT; /* a chain of two */
    ring[2].flags = A;
    g_assert_true(virtqueue_peek_occupancy(&vq, &n));
    g_assert_cmpuint(n, ==, 2);
    /* from slot 6 on into the next round */
    ring[6].flags = ring[7].flags = A;
    ring[0].flags = ring[1].flags = U;
    ring[2].flags = A | U;
    vq.used_idx = 6;
    g_assert_true(virtqueue_peek_occupancy(&vq, &n));
    g_assert_cmpuint(n, ==, 4);
    /* all of them, and no more */
    for (unsigned i = 0; i < SIZE; i++) {
        ring[i].flags = U;
    }
    vq.used_idx = 0;
    vq.used_wrap = false;
    g_assert_true(virtqueue_peek_occupancy(&vq, &n));
    g_assert_cmpuint(n, ==, SIZE);
    vq.desc_gpa = 1ULL << 40;
    g_assert_false(virtqueue_peek_occupancy(&vq, &n));
    rig_free(&rig);
}

/* ---- threads ---- */

typedef struct Worker {
    pthread_barrier_t ready, end;
    int tid;
} Worker;

static void *work(void *opaque)
{
    Worker *w = opaque;
    struct timespec t;

    w->tid = gettid();
    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    } while (t.tv_sec == 0 && t.tv_nsec < 20000000);
    pthread_barrier_wait(&w->ready);
    pthread_barrier_wait(&w->end);
    return NULL;
}

static void test_thread_time(void)
{
    uint64_t first = 0, then = 0;
    pthread_t thread;
    Worker w;

    pthread_barrier_init(&w.ready, NULL, 2);
    pthread_barrier_init(&w.end, NULL, 2);
    g_assert_cmpint(pthread_create(&thread, NULL, work, &w), ==, 0);
    pthread_barrier_wait(&w.ready);
    g_assert_true(thread_cpu_time(w.tid, &first));
    g_assert_true(thread_cpu_time(w.tid, &then));
    g_assert_cmpuint(first, >=, 20000000);
    g_assert_cmpuint(first, <, 10ULL * 1000000000);
    g_assert_cmpuint(then, >=, first);
    pthread_barrier_wait(&w.end);
    pthread_join(thread, NULL);
    g_assert_false(thread_cpu_time(-1, &first));
    g_assert_false(thread_cpu_time(0, &first));
    g_assert_false(thread_cpu_time(0x7ffffff, &first));
    /* not of this process: by what the scheduler says */
    if (access("/proc/self/schedstat", R_OK) == 0) {
        g_assert_true(thread_cpu_time(getppid(), &first));
        g_assert_cmpuint(first, >, 0);
    }
    pthread_barrier_destroy(&w.ready);
    pthread_barrier_destroy(&w.end);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/net-stats/bursts/buckets", test_buckets);
    g_test_add_func("/net-stats/bursts/rx", test_rx_bursts);
    g_test_add_func("/net-stats/bursts/rx-wide", test_rx_bursts_wide);
    g_test_add_func("/net-stats/bursts/tx", test_tx_bursts);
    g_test_add_func("/net-stats/backlog/rx", test_rx_backlog);
    g_test_add_func("/net-stats/backlog/tx", test_tx_backlog);
    g_test_add_func("/net-stats/backlog/reset", test_backlog_ends_with_reset);
    g_test_add_func("/net-stats/drops", test_drops);
    g_test_add_func("/net-stats/subqueue", test_subqueue);
    g_test_add_func("/net-stats/occupancy/split", test_occupancy);
    g_test_add_func("/net-stats/occupancy/packed", test_occupancy_packed);
    g_test_add_func("/net-stats/thread-time", test_thread_time);
    return g_test_run();
}
