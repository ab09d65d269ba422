/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One burst of 32 frames in each direction, warm, for an instruction counter
 * (tests/perf/run).
 *
 * What counts is one turn of the pair's loop, which finds a kick, or frames at
 * the back-end. The driver is one as Linux's is: frames of 60 bytes in one
 * buffer with their header, receive buffers of 1536 bytes, notifications by
 * event index, a filter for one address. The back-end moves nothing but results
 * and is not counted, nor is the driver. Besides: what it takes to pop a chain,
 * with one range of guest memory and with many.
 *
 * The pair starts as in the emulator; for its iothread's loop it gets one that
 * this program turns.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include <linux/if_ether.h>
#include <valgrind/callgrind.h>

#include "tests/unit/virtio-net-rig.h"

#define BIT(n) (1ULL << (n))
#define FEATURES                                             \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) | \
     BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC))

#define BURST     32u
#define HDR       12u
#define FRAME     60u
#define RX_BUF    1536u
#define BUF_SPACE 0x800u
/* Rounds until the pair has learnt what bursts come, and rounds counted: more
 * than one, since what it learns may go to and fro. */
#define WARM   16u
#define ROUNDS 8u

#define MANY_SLOTS  64u
#define SLOT_SIZE   0x10000u
#define SLOT_GPA(i) ((i)*0x1000000ull)

static Rig rig;
static unsigned waiting;            /* frames at the back-end */
static unsigned sent;               /* frames that it got */
static uint64_t pop_gpa = RIG_DATA; /* buffers to be popped */
static bool measuring;
/* The start of a frame for the guest, whose address is 52:54:00:00:00:01. */
static const uint8_t frame[HDR + ETH_HLEN] = { [HDR] = 0x52, 0x54, 0, 0, 0, 1 };

/* Zeroed: a ring that takes no files. The back-end below does not use it. */
static max_align_t some_ring[64];

/* ---- the pair's surroundings ---- */

EventLoop *__wrap_iothread_loop(IOThread *iothread);
IoRing *__wrap_iothread_io_ring(IOThread *iothread);
bool __wrap_virtio_net_pair_need_iothread(VirtIONetPair *pair, Error **errp);

EventLoop *__wrap_iothread_loop(IOThread *iothread)
{
    return rig.loop;
}

IoRing *__wrap_iothread_io_ring(IOThread *iothread)
{
    return (IoRing *)some_ring;
}

bool __wrap_virtio_net_pair_need_iothread(VirtIONetPair *pair, Error **errp)
{
    return true;
}

static ssize_t one_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    if (!waiting) {
        return 0;
    }
    memcpy(iov[0].iov_base, frame, sizeof(frame));
    waiting--;
    return HDR + FRAME;
}

static ssize_t one_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    sent++;
    return HDR + FRAME;
}

static bool burst_recv(const NetPort *port, IoFrame *frames, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        frames[i].result = one_recv(port->sq, frames[i].iov, frames[i].n_iov);
    }
    return true;
}

static bool burst_send(const NetPort *port, IoFrame *frames, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        frames[i].result = one_send(port->sq, frames[i].iov, frames[i].n_iov);
    }
    return true;
}

/* ---- the driver ---- */

static void offer(RigRing *ring, int len, uint64_t gpa)
{
    for (unsigned i = 0; i < BURST; i++) {
        rig_add(ring, &len, 1, gpa + i * BUF_SPACE);
    }
    /* Tell us of the next used buffer (VIRTIO 1.2, 2.7.7). */
    vring_used_event(&ring->v) = ring->v.used->idx;
}

/* The last BURST chains were used with @len bytes each, told by one signal. */
static void check_used(RigRing *ring, uint16_t from, uint32_t len,
                       uint64_t signals)
{
    g_assert_cmpuint(ring->v.used->idx, ==, (uint16_t)(from + BURST));
    for (unsigned i = 0; i < BURST; i++) {
        g_assert_cmpuint(ring->v.used->ring[(from + i) % RIG_SIZE].len, ==,
                         len);
    }
    g_assert_cmpuint(ring->vq.signals, ==, signals + 1);
}

/* ---- start ---- */

static void start(void) MAIN_THREAD
{
    Error *err = NULL;

    rig_init(&rig, FEATURES);
    rig.info.recv = one_recv;
    rig.info.send = one_send;
    rig.info.recv_burst = burst_recv;
    rig.info.send_burst = burst_send;
    rig.net->filter_next.promisc = false;
    memcpy(rig.net->filter_next.mac, frame + HDR, ETH_ALEN);
    virtio_net_filter_publish(rig.net);
    rig.sq.fd = eventfd_new(&err);
    g_assert_no_error(err);
    /* Buffers that stay ahead of the frames, as a driver has it. */
    for (unsigned i = 0; i < 4; i++) {
        offer(&rig.rx, -(int)RX_BUF, RIG_DATA);
    }
}

/* ---- what is measured ---- */

typedef void Work(void);

static void one_turn(void)
{
    event_loop_turn(rig.loop, 0);
}

static void pops(void)
{
    VirtQueueChain chain;
    struct iovec iov;

    for (unsigned i = 0; i < BURST; i++) {
        g_assert_cmpint(virtqueue_pop(&rig.tx.vq, &iov, 1, &chain), ==, 1);
        virtqueue_fill(&rig.tx.vq, &chain, 0);
    }
}

/* In the measured rounds, all but this is left out. */
static void measure(Work *work)
{
    if (measuring) {
        CALLGRIND_START_INSTRUMENTATION;
        work();
        CALLGRIND_STOP_INSTRUMENTATION;
    } else {
        work();
    }
}

/* ---- rounds ---- */

static void tx_round(void) MAIN_THREAD
{
    uint64_t signals = rig.tx.vq.signals;
    uint16_t from = rig.tx.v.used->idx;

    sent = 0;
    offer(&rig.tx, HDR + FRAME, RIG_DATA);
    eventfd_signal(rig.tx.vq.kick_fd);
    measure(one_turn);
    g_assert_cmpuint(sent, ==, BURST);
    check_used(&rig.tx, from, 0, signals);
}

static void rx_round(void) MAIN_THREAD
{
    uint64_t signals = rig.rx.vq.signals;
    uint16_t from = rig.rx.v.used->idx;

    offer(&rig.rx, -(int)RX_BUF, RIG_DATA);
    waiting = BURST;
    eventfd_signal(rig.sq.fd);
    measure(one_turn);
    eventfd_clear(rig.sq.fd);
    g_assert_cmpuint(waiting, ==, 0);
    check_used(&rig.rx, from, HDR + FRAME, signals);
}

static void pop_round(void) MAIN_THREAD
{
    offer(&rig.tx, HDR + FRAME, pop_gpa);
    measure(pops);
    virtqueue_publish(&rig.tx.vq);
    g_assert_cmpuint(rig.tx.v.used->idx, ==, rig.tx.avail_idx);
}

static void add_slots(void) MAIN_THREAD
{
    uint8_t *host = mmap(NULL, MANY_SLOTS * SLOT_SIZE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(host != MAP_FAILED);
    for (unsigned i = 1; i < MANY_SLOTS; i++) {
        RamRange range = { .gpa = SLOT_GPA(i),
                           .size = SLOT_SIZE,
                           .host = host + i * SLOT_SIZE,
                           .fd = -1 };
        Error *err = NULL;

        ram_add(&range, &err);
        g_assert_no_error(err);
    }
    g_assert_cmpuint(ram_map_get()->n, ==, MANY_SLOTS);
}

static void rounds(void (*round)(void), const char *name)
{
    for (unsigned i = 0; i < WARM; i++) {
        round();
    }
    measuring = true;
    for (unsigned i = 0; i < ROUNDS; i++) {
        round();
    }
    measuring = false;
    CALLGRIND_DUMP_STATS_AT(name);
}

/* In the loop, as all that a pair's owner does. */
static void all_rounds(void *opaque) MAIN_THREAD
{
    virtio_net_pair_start(rig.pair);
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_IO);
    rounds(tx_round, "tx");
    rounds(rx_round, "rx");
    virtio_net_pair_stop(rig.pair);
    g_assert_cmpint(virtqueue_start(&rig.tx.vq, FEATURES), ==, 0);
    rounds(pop_round, "pop-1");
    add_slots();
    pop_gpa = SLOT_GPA(MANY_SLOTS / 2);
    rounds(pop_round, "pop-64");
    event_loop_quit(rig.loop);
}

int main(int argc, char **argv)
{
    if (argc > 1) { /* --compiler */
        puts(COMPILER);
        return 0;
    }
    machine_lock();
    start();
    event_loop_post(rig.loop, all_rounds, NULL);
    event_loop_run(rig.loop);
    close(rig.sq.fd);
    rig_free(&rig);
    return 0;
}
