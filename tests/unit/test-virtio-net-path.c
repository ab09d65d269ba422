/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The walk of a packet through a pair: receive window, merging, spill, filter;
 * header checks and back-pressure on transmit.
 *
 * Threads: one; the cases about an owner have its iothread beside.
 */
#include "util/osdep.h"

#include <poll.h>
#include <sys/socket.h>

#include "system/iothread.h"
#include "tests/unit/virtio-net-rig.h"

#define BIT(n)    (1ULL << (n))
#define MODERN    BIT(VIRTIO_F_VERSION_1)
#define MERGE     (MODERN | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define MERGE_64K (MERGE | BIT(VIRTIO_NET_F_GUEST_TSO4))
#define HDR       12u

static Rig rig;

static void rx(void) NO_THREAD_SAFETY
{
    virtio_net_rx(rig.pair);
}

static void tx(void) NO_THREAD_SAFETY
{
    virtio_net_tx(rig.pair);
}

static void start(uint64_t features) MAIN_THREAD
{
    rig_init(&rig, features);
}

/* The used elements so far hold @len bytes of frame @seed, in order. */
static void check_used(unsigned first, unsigned n, const uint64_t *gpa,
                       size_t len, uint8_t seed)
{
    struct vring_used *used = rig.rx.v.used;
    size_t done = 0;

    g_assert_cmpuint(used->idx, ==, first + n);
    for (unsigned i = 0; i < n; i++) {
        const uint8_t *p = rig_ram + gpa[i];

        for (unsigned k = 0; k < used->ring[first + i].len; k++, done++) {
            if (done >= HDR) {
                g_assert_cmpuint(p[k], ==, rig_byte(seed, done));
            }
        }
    }
    g_assert_cmpuint(done, ==, len);
    g_assert_cmpuint(load_le16(rig_ram + gpa[0] + 10), ==, n);
}

static void add_rx(unsigned n, unsigned size, uint64_t *gpa, unsigned at)
{
    for (unsigned i = 0; i < n; i++) {
        int len = -(int)size;

        gpa[i] = rig_add(&rig.rx, &len, 1, RIG_DATA + (at + i) * 0x4000);
    }
}

static void test_rx_one_buffer(void) MAIN_THREAD
{
    uint64_t gpa[4];

    start(MERGE);
    add_rx(4, 2048, gpa, 0);
    rig_push(&rig, HDR + 60, 1);
    rig_push(&rig, HDR + 1514, 2);
    rx();
    g_assert_cmpuint(rig.rx.v.used->idx, ==, 2);
    g_assert_cmpuint(rig.rx.v.used->ring[0].len, ==, HDR + 60);
    g_assert_cmpuint(rig.rx.v.used->ring[1].len, ==, HDR + 1514);
    g_assert_cmpuint(rig_ram[gpa[1] + 100], ==, rig_byte(2, 100));
    g_assert_cmpuint(rig.pair->stats.rx_packets, ==, 2);
    g_assert_cmpuint(rig.pair->stats.rx_bytes, ==, 1574);
    rig_free(&rig);
}

static void test_rx_merge(void) MAIN_THREAD
{
    uint64_t gpa[64];

    start(MERGE_64K);
    add_rx(64, 1536, gpa, 0);
    rig_push(&rig, HDR + 60000, 3);
    rig_push(&rig, HDR + 3000, 4);
    rx();
    g_assert_cmpuint(rig.rx.v.used->idx, ==, 42);
    g_assert_cmpuint(load_le16(rig_ram + gpa[0] + 10), ==, 40);
    g_assert_cmpuint(load_le16(rig_ram + gpa[40] + 10), ==, 2);
    g_assert_cmpuint(rig.rx.v.used->ring[39].len, ==, 60012 - 39 * 1536);
    g_assert_cmpuint(rig_ram[gpa[39]], ==, rig_byte(3, 39 * 1536));
    g_assert_cmpuint(rig_ram[gpa[41] + 5], ==, rig_byte(4, 1541));
    rig_free(&rig);
}

/* Longer than the window, with more chains in the ring: the tail is copied. */
static void test_rx_spill(void) MAIN_THREAD
{
    uint64_t gpa[8];

    start(MERGE);
    add_rx(8, 1600, gpa, 0);
    rig_push(&rig, HDR + 9000, 5);
    rx();
    check_used(0, 6, gpa, HDR + 9000, 5);
    rig_free(&rig);
}

/* Too few buffers for the frame: it waits, whole and in order. */
static void test_rx_wait(void) MAIN_THREAD
{
    uint64_t gpa[8];

    start(MERGE_64K);
    add_rx(2, 1600, gpa, 0);
    rig_push(&rig, HDR + 5000, 6);
    rig_push(&rig, HDR + 100, 7);
    rx();
    g_assert_cmpuint(rig.rx.v.used->idx, ==, 0);
    g_assert_cmpuint(rig.pair->stats.rx_no_buffer, ==, 1);
    g_assert_true(rig.pair->rx_starved);
    add_rx(1, 1600, gpa + 2, 2);
    rx();
    g_assert_cmpuint(rig.rx.v.used->idx, ==, 0);
    add_rx(1, 1600, gpa + 3, 3);
    rx();
    check_used(0, 4, gpa, HDR + 5000, 6);
    add_rx(1, 1600, gpa + 4, 4);
    rx();
    check_used(4, 1, gpa + 4, HDR + 100, 7);
    rig_free(&rig);
}

/* Stopping gives buffers back and keeps the frame that waits. */
static void test_rx_stop_keeps_frame(void) MAIN_THREAD NO_THREAD_SAFETY
{
    uint64_t gpa[4];

    start(MERGE_64K);
    add_rx(2, 1600, gpa, 0);
    rig_push(&rig, HDR + 4000, 8);
    rx();
    virtio_net_rx_stop(rig.pair);
    g_assert_cmpuint(rig.rx.vq.last_avail, ==, 0);
    g_assert_cmpuint(rig.rx.vq.inuse, ==, 0);
    g_assert_cmpuint(rx_scratch_waiting(rig.pair->rx), ==, 1);
    add_rx(2, 1600, gpa + 2, 2);
    rx();
    check_used(0, 3, gpa, HDR + 4000, 8);
    rig_free(&rig);
}

/* A driver whose buffers can never hold the frame loses it, and only it. */
static void test_rx_never_fits(void) MAIN_THREAD
{
    uint64_t gpa[256];

    start(MERGE_64K);
    for (unsigned i = 0; i < 256; i++) {
        int len = -64;

        gpa[i] = rig_add(&rig.rx, &len, 1, RIG_DATA + i * 64);
    }
    rig_push(&rig, HDR + 60000, 9);
    rig_push(&rig, HDR + 52, 10);
    rx();
    check_used(0, 1, gpa, HDR + 52, 10);
    g_assert_cmpuint(rig.pair->stats.rx_too_long, ==, 1);
    rig_free(&rig);
}

static void test_rx_too_long_without_merge(void) MAIN_THREAD
{
    uint64_t gpa[4];

    start(MODERN);
    add_rx(4, 1526, gpa, 0);
    rig_push(&rig, HDR + 4000, 11);
    rig_push(&rig, HDR + 1514, 12);
    rx();
    check_used(0, 1, gpa, HDR + 1514, 12);
    g_assert_cmpuint(rig.pair->stats.rx_too_long, ==, 1);
    rig_free(&rig);
}

static void test_rx_filter(void) MAIN_THREAD
{
    uint64_t gpa[4];

    start(MERGE);
    rig.net->filter_next.promisc = false;
    virtio_net_filter_publish(rig.net);
    add_rx(4, 2048, gpa, 0);
    rig_push(&rig, HDR + 60, 1);
    rig_push(&rig, HDR + 61, 2);
    memset(rig.in[1].data + HDR, 0xff, 6);
    rx();
    g_assert_cmpuint(rig.rx.v.used->idx, ==, 1);
    g_assert_cmpuint(rig.rx.v.used->ring[0].len, ==, HDR + 61);
    g_assert_cmpuint(rig.rx.v.used->ring[0].id, ==, 0);
    g_assert_cmpuint(rig.pair->stats.rx_filtered, ==, 1);
    rig_free(&rig);
}

static void test_rx_link_down(void) MAIN_THREAD
{
    uint64_t gpa[4];

    start(MERGE);
    rig.net->link_up = false;
    add_rx(4, 2048, gpa, 0);
    rig_push(&rig, HDR + 60, 1);
    rx();
    g_assert_cmpuint(rig.rx.v.used->idx, ==, 0);
    g_assert_cmpuint(rig.pair->stats.rx_filtered, ==, 1);
    rig_free(&rig);
}

/* Anything but "the device is gone" costs at most one frame. */
static void test_rx_error_goes_on(void) MAIN_THREAD
{
    uint64_t gpa[4];

    start(MERGE);
    add_rx(4, 2048, gpa, 0);
    rig.recv_error = -EINVAL;
    rx();
    g_assert_cmpuint(rig.pair->stats.rx_errors, ==, 1);
    g_assert_false(virtio_net_backend_gone(rig.net));
    rig.recv_error = 0;
    rig_push(&rig, HDR + 60, 1);
    rx();
    check_used(0, 1, gpa, HDR + 60, 1);
    rig_free(&rig);
}

static void rx_small_frames(unsigned n) MAIN_THREAD
{
    for (unsigned i = 0; i < n; i++) {
        rig_push(&rig, HDR + 60, 1);
    }
    rx();
    for (unsigned i = 0; i < n; i++) {
        g_free(rig.in[i].data);
    }
    rig.in_n = rig.in_next = 0;
}

/* The window runs to the end of its array while it gathers: it moves to the
 * front, and a frame that waits is not given up. */
static void test_rx_window_moves(void) MAIN_THREAD
{
    int len = -1600;

    start(MERGE_64K);
    for (unsigned i = 0; i < 250; i++) {
        rig_add(&rig.rx, &len, 1, RIG_DATA + i * 2048);
    }
    for (unsigned i = 0; i < 210; i++) {
        rx_small_frames(5);
        for (unsigned k = 0; i < 161 && k < 5; k++) {
            rig_add(&rig.rx, &len, 1, RIG_DATA + k * 2048);
        }
    }
    rig_push(&rig, HDR + 20000, 2);
    rx();
    g_assert_cmpuint(rx_scratch_waiting(rig.pair->rx), ==, 1);
    for (unsigned i = 0; i < 100; i++) {
        rig_add(&rig.rx, &len, 1, RIG_DATA + i * 2048);
    }
    rx();
    g_assert_cmpuint(rig.pair->stats.rx_too_long, ==, 0);
    g_assert_cmpuint(rig.rx.v.used->idx, ==, 210 * 5 + 13);
    rig_free(&rig);
}

static void check_rx_fault(const int *lens, unsigned n, const char *fault)
    MAIN_THREAD
{
    start(MERGE);
    rig_add(&rig.rx, lens, n, RIG_DATA);
    rig_push(&rig, HDR + 60, 1);
    rx();
    g_assert_true(rig.pair->faulted);
    g_assert_nonnull(strstr(rig.rx.vq.fault, fault));
    g_assert_true(virtio_is_broken(&rig.net->vdev));
    g_assert_cmpuint(rig.rx.v.used->idx, ==, 0);
    loop_task_cancel(&rig.net->vdev.error_task);
    rig_free(&rig);
}

static void test_rx_faults(void) MAIN_THREAD
{
    check_rx_fault((int[]){ 100 }, 1, "device-readable");
    check_rx_fault((int[]){ -11 }, 1, "shorter than a header");
    check_rx_fault((int[]){ 20, -2000 }, 2, "device-readable");
}

/* ---- transmit ---- */

static uint8_t *tx_frame(unsigned len, unsigned at)
{
    int lens[] = { HDR, (int)len };
    uint64_t gpa = rig_add(&rig.tx, lens, 2, RIG_DATA + at * 0x10000);

    memset(rig_ram + gpa, 0, HDR);
    for (unsigned i = 0; i < len; i++) {
        rig_ram[gpa + HDR + i] = rig_byte(at, i);
    }
    return rig_ram + gpa;
}

static void test_tx_plain(void) MAIN_THREAD
{
    start(MODERN);
    tx_frame(60, 0);
    tx_frame(1514, 1);
    tx();
    g_assert_cmpuint(rig.out_n, ==, 2);
    g_assert_cmpuint(rig.out[1].len, ==, HDR + 1514);
    g_assert_cmpuint(rig.out[1].data[HDR + 700], ==, rig_byte(1, 700));
    g_assert_cmpuint(rig.tx.v.used->idx, ==, 2);
    g_assert_cmpuint(rig.pair->stats.tx_packets, ==, 2);
    g_assert_cmpuint(rig.pair->stats.tx_bytes, ==, 1574);
    rig_free(&rig);
}

/* The header may lie anywhere in the chain (VIRTIO 1.2, 2.7.4). */
static void test_tx_any_layout(void) MAIN_THREAD
{
    int one[] = { HDR + 60 }, many[] = { 3, 5, 20, 44 };

    start(MODERN);
    memset(rig_ram + RIG_DATA, 0, 0x1000);
    rig_add(&rig.tx, one, 1, RIG_DATA);
    rig_add(&rig.tx, many, 4, RIG_DATA);
    tx();
    g_assert_cmpuint(rig.out_n, ==, 2);
    g_assert_cmpuint(rig.out[0].len, ==, HDR + 60);
    g_assert_cmpuint(rig.out[1].len, ==, HDR + 60);
    rig_free(&rig);
}

/* A full back-end leaves the frame in the ring; nothing is lost. */
static void test_tx_full(void) MAIN_THREAD
{
    start(MODERN);
    rig.out_room = 1;
    for (unsigned i = 0; i < 3; i++) {
        tx_frame(60, i);
    }
    tx();
    g_assert_cmpuint(rig.tx.v.used->idx, ==, 1);
    g_assert_true(rig.pair->tx_full);
    g_assert_cmpuint(rig.pair->stats.tx_again, ==, 1);
    tx();
    g_assert_cmpuint(rig.out_n, ==, 1);
    rig.out_room = RIG_QUEUE;
    rig.pair->tx_full = false;
    tx();
    g_assert_cmpuint(rig.tx.v.used->idx, ==, 3);
    g_assert_cmpuint(rig.out_n, ==, 3);
    g_assert_cmpuint(rig.out[2].data[HDR + 5], ==, rig_byte(2, 5));
    rig_free(&rig);
}

/* ---- by the owner's loop ---- */

#define OWNER_FRAMES 250u
#define OWNER_SIZE   1000

static ssize_t socket_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    ssize_t sent = writev(sq->fd, iov, (int)n);

    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

static ssize_t socket_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    ssize_t got = readv(sq->fd, iov, (int)n);

    return got < 0 && errno == EAGAIN ? 0 : got;
}

static uint64_t stat_value(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* The pair on an iothread; returns the other end of its back-end. */
static int owner_start(void) MAIN_THREAD
{
    int fd[2], small = 8192;
    Error *err = NULL;

    start(MODERN);
    virtqueue_stop(&rig.rx.vq);
    virtqueue_stop(&rig.tx.vq);
    rig.info.send = socket_send;
    rig.info.recv = socket_recv;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fd),
                    ==, 0);
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    rig.sq.fd = fd[0];
    rig.pair->iothread = iothread_new_internal("owner", &err);
    g_assert_no_error(err);
    iothread_use(rig.pair->iothread, "test");
    virtio_net_pair_start(rig.pair);
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_IO);
    return fd[1];
}

static void owner_end(int fd) MAIN_THREAD
{
    virtio_net_pair_stop(rig.pair);
    iothread_release(rig.pair->iothread, "test");
    rig.pair->iothread = NULL;
    rig.pair->loop = rig.loop;
    virtio_net_pair_prepare(rig.pair);
    fd_close(&rig.sq.fd);
    fd_close(&fd);
    rig_free(&rig);
}

/* The loop sends on whenever the back-end has room again; all frames come out
 * once and in order. */
static void test_owner_waits_for_room(void) MAIN_THREAD
{
    static const int len = HDR + OWNER_SIZE;
    uint8_t frame[2048];
    int fd = owner_start();

    for (unsigned i = 0; i < OWNER_FRAMES; i++) {
        uint64_t at = RIG_DATA + i * 0x1000;

        /* The owner may take a frame as soon as it is in the ring. */
        memset(rig_ram + at, 0, HDR);
        memset(rig_ram + at + HDR, (int)i, OWNER_SIZE);
        rig_add(&rig.tx, &len, 1, at);
    }
    eventfd_signal(rig.tx.vq.kick_fd);
    for (unsigned i = 0; i < 60000 && !stat_value(&rig.pair->stats.tx_again);
         i++) {
        g_usleep(1000);
    }
    g_assert_cmpuint(stat_value(&rig.pair->stats.tx_again), >, 0);
    for (unsigned i = 0; i < OWNER_FRAMES; i++) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        g_assert_cmpint(poll(&p, 1, 60000), ==, 1);
        g_assert_cmpint(recv(fd, frame, sizeof(frame), 0), ==, len);
        g_assert_cmpuint(frame[HDR], ==, i & 0xff);
        g_assert_cmpuint(frame[len - 1], ==, i & 0xff);
    }
    virtio_net_pair_stop(rig.pair);
    g_assert_cmpuint(rig.tx.v.used->idx, ==, OWNER_FRAMES);
    g_assert_cmpuint(rig.pair->stats.tx_packets, ==, OWNER_FRAMES);
    owner_end(fd);
}

/* More frames than a burst that wait already: the loop takes them all. */
static void test_owner_takes_every_burst(void) MAIN_THREAD
{
    uint8_t frame[HDR + 60] = { 0 };
    int fd = owner_start();
    unsigned sent = 0;
    uint64_t gpa[180];

    virtio_net_pair_stop(rig.pair);
    while (sent < ARRAY_SIZE(gpa) &&
           send(fd, frame, sizeof(frame), MSG_DONTWAIT) > 0) {
        sent++;
    }
    g_assert_cmpuint(sent, >, VIRTIO_NET_BURST);
    add_rx(sent, 2048, gpa, 0);
    virtio_net_pair_start(rig.pair);
    for (unsigned i = 0; i < 60000 && __atomic_load_n(&rig.rx.v.used->idx,
                                                      __ATOMIC_ACQUIRE) < sent;
         i++) {
        g_usleep(1000);
    }
    virtio_net_pair_stop(rig.pair);
    g_assert_cmpuint(rig.rx.v.used->idx, ==, sent);
    owner_end(fd);
}

static void test_tx_refused_is_dropped(void) MAIN_THREAD
{
    start(MODERN);
    rig.send_error = -EIO;
    tx_frame(60, 0);
    tx();
    g_assert_cmpuint(rig.tx.v.used->idx, ==, 1);
    g_assert_cmpuint(rig.pair->stats.tx_dropped, ==, 1);
    rig_free(&rig);
}

static void check_tx_fault(const int *lens, unsigned n, const char *fault)
    MAIN_THREAD
{
    start(MODERN);
    rig_add(&rig.tx, lens, n, RIG_DATA);
    tx();
    g_assert_true(rig.pair->faulted);
    g_assert_nonnull(strstr(rig.tx.vq.fault, fault));
    g_assert_cmpuint(rig.out_n, ==, 0);
    loop_task_cancel(&rig.net->vdev.error_task);
    rig_free(&rig);
}

static void test_tx_faults(void) MAIN_THREAD
{
    check_tx_fault((int[]){ 11 }, 1, "shorter than its header");
    check_tx_fault((int[]){ 100, -100 }, 2, "device-writable");
    check_tx_fault((int[]){ -100 }, 1, "device-writable");
}

/* VIRTIO 1.2, 5.1.6.2: what a driver may ask for, by negotiated features. */
static void test_tx_headers(void)
{
    static const struct {
        const char *what;
        struct virtio_net_hdr hdr;
        size_t len;
        bool ok;
    } cases[] = {
        { "plain", { 0 }, 60, true },
        { "short of an Ethernet header", { 0 }, 13, false },
        { "too long", { 0 }, VIRTIO_NET_FRAME_MAX + 1, false },
        { "unknown flag is ignored", { .flags = 0x80 }, 60, true },
        { "checksum inside",
          { .flags = 1, .csum_start = 34, .csum_offset = 16 },
          60,
          true },
        { "checksum at the end",
          { .flags = 1, .csum_start = 42, .csum_offset = 16 },
          60,
          true },
        { "checksum past the end",
          { .flags = 1, .csum_start = 43, .csum_offset = 16 },
          60,
          false },
        { "checksum far past",
          { .flags = 1, .csum_start = 65535, .csum_offset = 65535 },
          60,
          false },
        { "tso4",
          { .flags = 1,
            .gso_type = 1,
            .gso_size = 1448,
            .csum_start = 34,
            .csum_offset = 16,
            .hdr_len = 54 },
          5000,
          true },
        { "tso4 without checksum",
          { .gso_type = 1, .gso_size = 1448 },
          5000,
          false },
        { "tso4 of size 0",
          { .flags = 1, .gso_type = 1, .csum_start = 34, .csum_offset = 16 },
          5000,
          false },
        { "tso4, hint beyond the frame is cut",
          { .flags = 1,
            .gso_type = 1,
            .gso_size = 1448,
            .csum_start = 34,
            .csum_offset = 16,
            .hdr_len = 65535 },
          5000,
          true },
        { "tso6 not negotiated",
          { .flags = 1,
            .gso_type = 4,
            .gso_size = 1448,
            .csum_start = 34,
            .csum_offset = 16 },
          5000,
          false },
        { "ecn not negotiated",
          { .flags = 1,
            .gso_type = 0x81,
            .gso_size = 1448,
            .csum_start = 34,
            .csum_offset = 16 },
          5000,
          false },
        { "ecn alone", { .gso_type = 0x80 }, 60, false },
        { "no such type",
          { .flags = 1, .gso_type = 2, .gso_size = 9, .csum_start = 34 },
          5000,
          false },
    };
    VirtIONetPair pair = { .tx_csum = true, .tx_tso4 = true };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct virtio_net_hdr hdr = cases[i].hdr;

        g_test_message("%s", cases[i].what);
        g_assert_cmpint(virtio_net_tx_check_header(&pair, &hdr, cases[i].len),
                        ==, cases[i].ok);
        if (cases[i].ok) {
            g_assert_cmpuint(hdr.flags & ~1u, ==, 0);
            g_assert_cmpuint(hdr.hdr_len, <=, cases[i].len);
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/virtio-net/rx/one-buffer", test_rx_one_buffer);
    g_test_add_func("/virtio-net/rx/5.1.6.4/merge", test_rx_merge);
    g_test_add_func("/virtio-net/rx/spill", test_rx_spill);
    g_test_add_func("/virtio-net/rx/wait", test_rx_wait);
    g_test_add_func("/virtio-net/rx/stop-keeps-frame",
                    test_rx_stop_keeps_frame);
    g_test_add_func("/virtio-net/rx/never-fits", test_rx_never_fits);
    g_test_add_func("/virtio-net/rx/too-long", test_rx_too_long_without_merge);
    g_test_add_func("/virtio-net/rx/filter", test_rx_filter);
    g_test_add_func("/virtio-net/rx/link-down", test_rx_link_down);
    g_test_add_func("/virtio-net/rx/error-goes-on", test_rx_error_goes_on);
    g_test_add_func("/virtio-net/rx/window-moves", test_rx_window_moves);
    g_test_add_func("/virtio-net/rx/5.1.6.3/faults", test_rx_faults);
    g_test_add_func("/virtio-net/tx/plain", test_tx_plain);
    g_test_add_func("/virtio-net/tx/2.7.4/any-layout", test_tx_any_layout);
    g_test_add_func("/virtio-net/tx/full", test_tx_full);
    g_test_add_func("/virtio-net/owner/room", test_owner_waits_for_room);
    g_test_add_func("/virtio-net/owner/bursts", test_owner_takes_every_burst);
    g_test_add_func("/virtio-net/tx/refused", test_tx_refused_is_dropped);
    g_test_add_func("/virtio-net/tx/5.1.6.2/faults", test_tx_faults);
    g_test_add_func("/virtio-net/tx/5.1.6.2/headers", test_tx_headers);
    return g_test_run();
}
