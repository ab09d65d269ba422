/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bursts through a pair: frames of a receive batch that cannot stay where they
 * were read, and transmit bursts that the back-end takes in part.
 *
 * The back-end moves a burst at once, as a tap with an io_uring does, so that
 * frames lie behind one that is dropped, late, or longer than its buffers.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include "tests/unit/virtio-net-rig.h"

#define BIT(n)    (1ULL << (n))
#define MODERN    BIT(VIRTIO_F_VERSION_1)
#define MERGE     (MODERN | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define HDR       12u
#define SMALL     (HDR + 100u)
#define BUF_SIZE  1600u
#define BUF_SPACE 0x1000u

static Rig rig;
static unsigned late;    /* 1 + frame of the next burst that is not there yet */
static unsigned largest; /* burst seen */

/* Only its address is used: the back-end below needs no ring. */
static char some_ring;

static bool burst_recv(const NetPort *port, IoFrame *frames, unsigned n)
{
    largest = MAX(largest, n);
    for (unsigned i = 0; i < n; i++) {
        bool skip = late && i == late - 1;

        frames[i].result =
            skip ? 0 : rig.info.recv(port->sq, frames[i].iov, frames[i].n_iov);
    }
    if (late && n >= late) {
        late = 0;
    }
    return true;
}

/* Results of the frames of the next bursts: 's' sent, '0' no room, 'e' error */
static const char *verdicts;

static bool burst_send(const NetPort *port, IoFrame *frames, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        char c = *verdicts ? *verdicts++ : 's';

        if (c == 's') {
            frames[i].result =
                rig.info.send(port->sq, frames[i].iov, frames[i].n_iov);
        } else {
            frames[i].result = c == '0' ? 0 : -EIO;
        }
    }
    return true;
}

static void start(uint64_t features) MAIN_THREAD
{
    rig_init(&rig, features);
    rig.info.recv_burst = burst_recv;
    rig.info.send_burst = burst_send;
    rig.pair->port.ring = (IoRing *)&some_ring;
    late = largest = 0;
    verdicts = "";
}

static void rx(void) NO_THREAD_SAFETY
{
    virtio_net_rx(rig.pair);
}

static void tx(void) NO_THREAD_SAFETY
{
    virtio_net_tx(rig.pair);
}

static void add_rx(unsigned from, unsigned n) MAIN_THREAD
{
    int len = -(int)BUF_SIZE;

    for (unsigned i = from; i < from + n; i++) {
        rig_add(&rig.rx, &len, 1, RIG_DATA + i * BUF_SPACE);
    }
}

/* Lets the pair learn that bursts are long: 40 frames at 32 buffers and more.
 */
static unsigned warm_up(void) MAIN_THREAD
{
    unsigned used = 0;

    add_rx(0, 80);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < RIG_QUEUE; i++) {
            rig_push(&rig, SMALL, 1);
        }
        rx();
        used += RIG_QUEUE;
        g_assert_cmpuint(rig.rx.v.used->idx, ==, used);
        for (unsigned i = 0; i < RIG_QUEUE; i++) {
            g_free(rig.in[i].data);
        }
        rig.in_n = rig.in_next = 0;
    }
    g_assert_cmpuint(largest, >=, 16);
    return used;
}

/* The used element @at and those behind it are the frame of @len bytes made of
 * @seed, and the chains are in the order of the ring. Returns the next one. */
static unsigned check_frame(unsigned at, size_t len, uint8_t seed)
{
    struct vring_used *used = rig.rx.v.used;
    unsigned first = at;
    size_t done = 0;

    while (done < len) {
        const uint8_t *p = rig_ram + RIG_DATA + at * BUF_SPACE;

        g_assert_cmpuint(at, <, used->idx);
        g_assert_cmpuint(used->ring[at].id, ==, at);
        g_assert_cmpuint(used->ring[at].len, ==, MIN(len - done, BUF_SIZE));
        for (unsigned k = 0; k < used->ring[at].len; k++, done++) {
            if (done >= HDR) {
                g_assert_cmpuint(p[k], ==, rig_byte(seed, done));
            }
        }
        at++;
    }
    g_assert_cmpuint(load_le16(rig_ram + RIG_DATA + first * BUF_SPACE + 10), ==,
                     at - first);
    return at;
}

/* One frame in the midst of a batch takes three buffers. */
static void test_rx_long_in_batch(void) MAIN_THREAD
{
    unsigned at;

    start(MERGE);
    at = warm_up();
    for (unsigned i = 0; i < 3; i++) { /* the first burst; the next has 6 */
        rig_push(&rig, SMALL, 1);
    }
    at += 3;
    rig_push(&rig, SMALL, 2);
    rig_push(&rig, HDR + 4000, 3);
    rig_push(&rig, SMALL + 1, 4);
    rig_push(&rig, HDR + 3000, 5);
    rig_push(&rig, SMALL + 2, 6);
    rx();
    at = check_frame(at, SMALL, 2);
    at = check_frame(at, HDR + 4000, 3);
    at = check_frame(at, SMALL + 1, 4);
    at = check_frame(at, HDR + 3000, 5);
    at = check_frame(at, SMALL + 2, 6);
    g_assert_cmpuint(rig.rx.v.used->idx, ==, at);
    rig_free(&rig);
}

/* A filtered frame, an empty one and a frame that came late leave no gap. */
static void test_rx_gaps(void) MAIN_THREAD
{
    unsigned at;

    start(MERGE);
    at = warm_up();
    for (unsigned i = 0; i < 3; i++) { /* the first burst; the next has 6 */
        rig_push(&rig, SMALL, 1);
    }
    rx();
    at += 3;
    rig.net->filter_next.promisc = false;
    virtio_net_filter_publish(rig.net);
    for (unsigned i = 0; i < 6; i++) {
        rig_push(&rig, i == 3 ? HDR : SMALL + i, (uint8_t)(10 + i));
        if (i != 1 && i != 3) {
            memset(rig.in[3 + i].data + HDR, 0xff, 6);
        }
    }
    late = 4;
    rx();
    rx();
    g_assert_cmpuint(rig.pair->stats.rx_filtered, ==, 1);
    g_assert_cmpuint(rig.pair->stats.rx_errors, ==, 1);
    g_assert_cmpuint(rig.rx.v.used->idx, ==, at + 4);
    for (unsigned i = 0; i < 6; i++) {
        if (i != 1 && i != 3) {
            struct vring_used_elem *e = &rig.rx.v.used->ring[at];

            g_assert_cmpuint(e->id, ==, at);
            g_assert_cmpuint(e->len, ==, SMALL + i);
            g_assert_cmpuint(rig_ram[RIG_DATA + at * BUF_SPACE + 50], ==,
                             rig_byte((uint8_t)(10 + i), 50));
            at++;
        }
    }
    rig_free(&rig);
}

/* Buffers end within a batch: the rest waits, through a stop, in order. */
static void test_rx_waiting(void) MAIN_THREAD NO_THREAD_SAFETY
{
    unsigned at;

    start(MERGE);
    at = warm_up();
    g_assert_cmpuint(at, ==, 64);      /* 16 buffers are left */
    for (unsigned i = 0; i < 9; i++) { /* bursts of 3 and 6 */
        rig_push(&rig, SMALL, 2);
    }
    rig_push(&rig, HDR + 7 * BUF_SIZE, 3);
    rig_push(&rig, SMALL + 1, 4);
    rig_push(&rig, SMALL + 2, 5);
    rx();
    for (unsigned i = 0; i < 9; i++) {
        at = check_frame(at, SMALL, 2);
    }
    g_assert_cmpuint(rig.rx.v.used->idx, ==, at);
    g_assert_cmpuint(rx_scratch_waiting(rig.pair->rx), ==, 3);
    g_assert_true(rig.pair->rx_starved);
    virtio_net_rx_stop(rig.pair);
    g_assert_cmpuint(rig.rx.vq.last_avail, ==, at);
    add_rx(80, 2); /* 9 buffers */
    rx();
    at = check_frame(at, HDR + 7 * BUF_SIZE, 3);
    at = check_frame(at, SMALL + 1, 4);
    g_assert_cmpuint(rig.rx.v.used->idx, ==, at);
    g_assert_cmpuint(rx_scratch_waiting(rig.pair->rx), ==, 1);
    add_rx(82, 1);
    rx();
    check_frame(at, SMALL + 2, 5);
    g_assert_cmpuint(rx_scratch_waiting(rig.pair->rx), ==, 0);
    rig_free(&rig);
}

/* Without mergeable buffers a long frame is dropped, those behind it are not.
 */
static void test_rx_long_without_merge(void) MAIN_THREAD
{
    unsigned at;

    start(MODERN);
    at = warm_up();
    rig_push(&rig, SMALL, 2);
    rig_push(&rig, HDR + 4000, 3);
    rig_push(&rig, SMALL + 1, 4);
    rx();
    at = check_frame(at, SMALL, 2);
    at = check_frame(at, SMALL + 1, 4);
    g_assert_cmpuint(rig.rx.v.used->idx, ==, at);
    g_assert_cmpuint(rig.pair->stats.rx_too_long, ==, 1);
    rig_free(&rig);
}

/* A chain of very many pieces is read by itself, before and after others. */
static void test_rx_chain_of_pieces(void) MAIN_THREAD
{
    int pieces[40], whole = -(int)BUF_SIZE;

    start(MERGE);
    for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
        pieces[i] = -40;
    }
    rig_add(&rig.rx, &whole, 1, RIG_DATA);
    rig_add(&rig.rx, pieces, ARRAY_SIZE(pieces), RIG_DATA + BUF_SPACE);
    rig_add(&rig.rx, &whole, 1, RIG_DATA + 2 * BUF_SPACE);
    for (uint8_t i = 0; i < 3; i++) {
        rig_push(&rig, HDR + 1400 + i, i);
    }
    rx();
    g_assert_cmpuint(rig.rx.v.used->idx, ==, 3);
    for (uint8_t i = 0; i < 3; i++) {
        g_assert_cmpuint(rig.rx.v.used->ring[i].len, ==, HDR + 1400 + i);
        g_assert_cmpuint(rig_ram[RIG_DATA + i * BUF_SPACE + 1300], ==,
                         rig_byte(i, 1300));
    }
    rig_free(&rig);
}

static void test_rx_backend_gone(void) MAIN_THREAD
{
    start(MERGE);
    loop_task_init(&rig.net->gone_task, rig.loop, NULL, NULL);
    warm_up();
    rig.recv_error = -EBADFD;
    rx();
    g_assert_true(virtio_net_backend_gone(rig.net));
    g_assert_cmpuint(rig.rx.v.used->idx, ==, 64);
    loop_task_cancel(&rig.net->gone_task);
    rig_free(&rig);
}

/* ---- transmit ---- */

static void tx_frames(unsigned n, bool bad_second) MAIN_THREAD
{
    for (unsigned i = 0; i < n; i++) {
        int lens[] = { HDR, 100 + (int)i };
        uint64_t gpa = rig_add(&rig.tx, lens, 2, RIG_DATA + i * BUF_SPACE);

        memset(rig_ram + gpa, 0, HDR);
        if (bad_second && i == 1) {
            rig_ram[gpa + 1] = 0x55; /* a GSO type that does not exist */
        }
        for (int k = 0; k < lens[1]; k++) {
            rig_ram[gpa + HDR + k] = rig_byte((uint8_t)i, k);
        }
    }
}

static void check_out(const uint8_t *which, unsigned n)
{
    g_assert_cmpuint(rig.out_n, ==, n);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpuint(rig.out[i].len, ==, HDR + 100 + which[i]);
        g_assert_cmpuint(rig.out[i].data[HDR + 50], ==, rig_byte(which[i], 50));
    }
}

/* From the first frame without room on all stay in the ring, in order. */
static void test_tx_no_room(void) MAIN_THREAD
{
    start(MODERN);
    tx_frames(6, true);
    verdicts = "ss000";
    tx();
    check_out((uint8_t[]){ 0, 2 }, 2);
    g_assert_cmpuint(rig.tx.v.used->idx, ==, 3);
    g_assert_cmpuint(rig.tx.vq.last_avail, ==, 3);
    g_assert_true(rig.pair->tx_full);
    g_assert_cmpuint(rig.pair->stats.tx_bad_header, ==, 1);
    g_assert_cmpuint(rig.pair->stats.tx_again, ==, 1);
    rig.pair->tx_full = false;
    tx();
    check_out((uint8_t[]){ 0, 2, 3, 4, 5 }, 5);
    g_assert_cmpuint(rig.tx.v.used->idx, ==, 6);
    g_assert_cmpuint(rig.pair->stats.tx_packets, ==, 5);
    g_assert_cmpuint(rig.pair->stats.tx_bad_header, ==, 1);
    rig_free(&rig);
}

/* A frame that found no room before one that did is lost, not reordered. */
static void test_tx_overtaken(void) MAIN_THREAD
{
    start(MODERN);
    tx_frames(5, false);
    verdicts = "s0se0";
    tx();
    check_out((uint8_t[]){ 0, 2 }, 2);
    g_assert_cmpuint(rig.tx.v.used->idx, ==, 4);
    g_assert_cmpuint(rig.pair->stats.tx_dropped, ==, 2);
    rig.pair->tx_full = false;
    tx();
    check_out((uint8_t[]){ 0, 2, 4 }, 3);
    g_assert_cmpuint(rig.tx.v.used->idx, ==, 5);
    rig_free(&rig);
}

/* More frames than a burst: the rest comes by the pair's task. */
static void test_tx_more_than_a_burst(void) MAIN_THREAD
{
    int lens[] = { HDR, 60 };

    start(MODERN);
    for (unsigned i = 0; i < VIRTIO_NET_BURST + 5; i++) {
        rig_add(&rig.tx, lens, 2, RIG_DATA + i * 256);
    }
    memset(rig_ram + RIG_DATA, 0, (VIRTIO_NET_BURST + 5) * 256);
    rig.out_room = 0;
    verdicts =
        "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
        "eeeee";
    tx();
    g_assert_cmpuint(rig.tx.v.used->idx, ==, VIRTIO_NET_BURST);
    g_assert_true(rig.pair->tx_task.scheduled);
    tx();
    g_assert_cmpuint(rig.tx.v.used->idx, ==, VIRTIO_NET_BURST + 5);
    g_assert_cmpuint(rig.pair->stats.tx_dropped, ==, VIRTIO_NET_BURST + 5);
    rig_free(&rig);
}

/* A broken chain ends the burst; what was before it still goes out. */
static void test_tx_fault_in_burst(void) MAIN_THREAD
{
    start(MODERN);
    tx_frames(3, false);
    rig_add(&rig.tx, (int[]){ HDR, -60 }, 2, RIG_DATA + 0x10000);
    tx();
    check_out((uint8_t[]){ 0, 1, 2 }, 3);
    g_assert_true(rig.pair->faulted);
    loop_task_cancel(&rig.net->vdev.error_task);
    rig_free(&rig);
}

/* Chains of very many pieces that fill the array of a burst to the last
 * element: the next one waits. */
static void test_tx_array_full(void) MAIN_THREAD
{
    static const unsigned pieces[] = { 600, 600, 846, 700, 3 };
    const uint64_t tables = RIG_DATA + 0x100000;

    start(MODERN | BIT(VIRTIO_RING_F_INDIRECT_DESC));
    memset(rig_ram + RIG_DATA, 0, 0x100000);
    for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
        uint64_t table = tables + i * 0x4000;
        struct vring_desc *desc = (void *)(rig_ram + table);
        int len = (int)(pieces[i] * sizeof(*desc));
        uint16_t slot = rig.tx.next_desc % RIG_SIZE;

        for (unsigned k = 0; k < pieces[i]; k++) {
            desc[k] = (struct vring_desc){
                .addr = RIG_DATA + i * 0x10000 + k * 32,
                .len = 32,
                .flags = k + 1 < pieces[i] ? VRING_DESC_F_NEXT : 0,
                .next = (uint16_t)(k + 1),
            };
        }
        rig_add(&rig.tx, &len, 1, table);
        rig.tx.v.desc[slot].flags = VRING_DESC_F_INDIRECT;
    }
    for (unsigned i = 0; i < 8 && rig.out_n < ARRAY_SIZE(pieces); i++) {
        tx();
    }
    g_assert_false(rig.pair->faulted);
    g_assert_cmpuint(rig.out_n, ==, ARRAY_SIZE(pieces));
    for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
        g_assert_cmpuint(rig.out[i].len, ==, pieces[i] * 32);
    }
    rig_free(&rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/burst/rx/long-in-batch", test_rx_long_in_batch);
    g_test_add_func("/burst/rx/gaps", test_rx_gaps);
    g_test_add_func("/burst/rx/waiting", test_rx_waiting);
    g_test_add_func("/burst/rx/long-without-merge", test_rx_long_without_merge);
    g_test_add_func("/burst/rx/chain-of-pieces", test_rx_chain_of_pieces);
    g_test_add_func("/burst/rx/backend-gone", test_rx_backend_gone);
    g_test_add_func("/burst/tx/no-room", test_tx_no_room);
    g_test_add_func("/burst/tx/overtaken", test_tx_overtaken);
    g_test_add_func("/burst/tx/more-than-a-burst", test_tx_more_than_a_burst);
    g_test_add_func("/burst/tx/array-full", test_tx_array_full);
    g_test_add_func("/burst/tx/fault-in-burst", test_tx_fault_in_burst);
    return g_test_run();
}
