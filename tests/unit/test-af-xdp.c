/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rings of an AF_XDP queue, with the test in the place of the kernel: what
 * a veth pair does not do, as being slow, refusing, or lying. */
#include "util/osdep.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "net/af-xdp-internal.h"
#include "util/fd.h"

#define HDR VNET_HDR_V1

typedef struct Rig {
    AfXdpState s;
    AfXdpQueue q;
    NetSubqueue sq;
    NetPort port;
    int kernel; /* gets a datagram for each kick */
    uint32_t index[8], flags;
    uint64_t fill[AF_XDP_RX], comp[AF_XDP_TX];
    struct xdp_desc rx[AF_XDP_RX], tx[AF_XDP_TX];
} Rig;

#define RING(entries, at, memory)                                             \
    {                                                                         \
        .mask = (entries)-1, .size = (entries), .producer = &r->index[at],    \
        .consumer = &r->index[(at) + 1], .flags = &r->flags, .ring = (memory) \
    }

static Rig *rig_new(void)
{
    Rig *r = g_new0(Rig, 1);
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair),
                    ==, 0);
    af_xdp_queue_init(&r->q, &r->s);
    r->q.fd = pair[0];
    r->kernel = pair[1];
    r->q.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    g_assert_true(net_wake_init(&r->q.wake, NULL));
    r->q.umem = g_malloc0(AF_XDP_UMEM);
    r->q.fill = (struct xsk_ring_prod)RING(AF_XDP_RX, 0, r->fill);
    r->q.rx = (struct xsk_ring_cons)RING(AF_XDP_RX, 2, r->rx);
    r->q.tx = (struct xsk_ring_prod)RING(AF_XDP_TX, 4, r->tx);
    r->q.comp = (struct xsk_ring_cons)RING(AF_XDP_TX, 6, r->comp);
    r->q.fill.cached_cons = AF_XDP_RX;
    r->q.tx.cached_cons = AF_XDP_TX;
    r->flags = XDP_RING_NEED_WAKEUP;
    r->s.queue = &r->q;
    r->s.nc.vnet_hdr_len = HDR;
    r->sq.nc = &r->s.nc;
    r->port.sq = &r->sq;
    af_xdp_io_start(&r->q);
    return r;
}

static void rig_free(Rig *r)
{
    fd_close(&r->kernel);
    fd_close(&r->q.fd);
    fd_close(&r->q.timer_fd);
    net_wake_free(&r->q.wake);
    pthread_mutex_destroy(&r->q.lock);
    g_free(r->q.umem);
    g_free(r);
}

/* ---- the kernel's side ---- */

static void kernel_puts(Rig *r, uint64_t addr, uint32_t len)
{
    r->rx[r->index[2]++ % AF_XDP_RX] =
        (struct xdp_desc){ .addr = addr, .len = len };
}

/* A frame comes: the memory is the next of the fill ring's. */
static void kernel_receives(Rig *r, const char *text)
{
    uint64_t addr = r->fill[r->index[1]++ % AF_XDP_RX] + 256;

    memcpy(r->q.umem + addr, text, strlen(text));
    kernel_puts(r, addr, (uint32_t)strlen(text));
}

static void kernel_takes(Rig *r, unsigned n)
{
    r->index[5] += n;
}

/* The last @n that were taken are sent. */
static void kernel_completes(Rig *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        r->comp[r->index[6]++ % AF_XDP_TX] =
            r->tx[(r->index[5] - n + i) % AF_XDP_TX].addr;
    }
}

static unsigned kicks(const Rig *r)
{
    unsigned n = 0;
    char byte;

    while (recv(r->kernel, &byte, 1, MSG_DONTWAIT) == 0) {
        n++;
    }
    return n;
}

/* From now on a kick finds no way. */
static void kernel_is_busy(const Rig *r)
{
    while (send(r->q.fd, NULL, 0, MSG_DONTWAIT) == 0) {
    }
    g_assert_cmpint(errno, ==, EAGAIN);
}

/* ---- our side ---- */

static ssize_t send_text(Rig *r, const char *text, size_t len)
{
    char hdr[HDR];
    struct iovec iov[] = { { hdr, 5 },
                           { hdr, HDR - 5 },
                           { (char *)text, len / 2 },
                           { (char *)text + len / 2, len - len / 2 } };

    return af_xdp_send(&r->sq, iov, ARRAY_SIZE(iov));
}

static bool is_room(const Rig *r)
{
    struct pollfd p = { .fd = r->q.wake.room_fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static bool timer_armed(const Rig *r)
{
    struct itimerspec when;

    g_assert_cmpint(timerfd_gettime(r->q.timer_fd, &when), ==, 0);
    return when.it_value.tv_nsec || when.it_value.tv_sec;
}

static void fill_all(Rig *r)
{
    for (unsigned i = 0; i < AF_XDP_TX; i++) {
        g_assert_cmpint(send_text(r, "frame", 5), ==, HDR + 5);
        kernel_takes(r, 1);
    }
    (void)kicks(r);
}

static void test_receive(void)
{
    Rig *r = rig_new();
    char a[HDR + 8], b[HDR + 3];
    struct iovec iov[] = { { a, sizeof(a) },
                           { b, 4 },
                           { b + 4, sizeof(b) - 4 } };
    IoFrame frames[3] = { { iov, 1, -1 }, { iov + 1, 2, -1 }, { iov, 1, -1 } };

    g_assert_cmpint(af_xdp_recv(&r->sq, iov, 1), ==, 0);
    memset(a, 0xee, sizeof(a));
    memset(b, 0xee, sizeof(b));
    kernel_receives(r, "12345678");
    kernel_receives(r, "longer");
    g_assert_true(af_xdp_recv_burst(&r->port, frames, 3));
    g_assert_cmpint(frames[0].result, ==, HDR + 8);
    g_assert_cmpint(frames[1].result, ==, HDR + 6); /* of which 3 fit */
    g_assert_cmpint(frames[2].result, ==, 0);
    g_assert_cmpmem(a, sizeof(a), "\0\0\0\0\0\0\0\0\0\0\0\00012345678",
                    HDR + 8);
    g_assert_cmpmem(b, sizeof(b), "\0\0\0\0\0\0\0\0\0\0\0\0lon", HDR + 3);
    /* All memory is the kernel's again, frame by frame. */
    g_assert_cmpuint(r->index[0] - r->index[1], ==, AF_XDP_RX);
    g_assert_cmpuint(r->index[3], ==, 2);
    g_assert_cmpuint(r->fill[0], ==, (uint64_t)AF_XDP_TX * AF_XDP_FRAME);
    for (unsigned i = 0; i < 3 * AF_XDP_RX; i++) {
        kernel_receives(r, "x");
        g_assert_cmpint(af_xdp_recv(&r->sq, iov, 1), ==, HDR + 1);
    }
    kernel_receives(r, "old");
    af_xdp_io_discard(&r->q);
    g_assert_cmpint(af_xdp_recv(&r->sq, iov, 1), ==, 0);
    g_assert_cmpuint(r->index[0] - r->index[1], ==, AF_XDP_RX);
    rig_free(r);
}

/* Who else has the socket may write anything into its rings. */
static void test_lies(void)
{
    Rig *r = rig_new();
    char a[HDR + 8];
    struct iovec iov = { a, sizeof(a) };
    const struct xdp_desc bad[] = { { .addr = 0, .len = 0 },
                                    { .addr = 0, .len = AF_XDP_FRAME + 1 },
                                    { .addr = AF_XDP_UMEM - 3, .len = 4 },
                                    { .addr = UINT64_MAX, .len = 1 },
                                    { .addr = UINT64_MAX - 8, .len = 100 } };

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        kernel_puts(r, bad[i].addr, bad[i].len);
        r->index[1]++;
        g_assert_cmpint(af_xdp_recv(&r->sq, &iov, 1), ==, -EIO);
    }
    /* Completions of what was not sent, and of no frame at all. */
    for (unsigned i = 0; i < AF_XDP_TX; i++) {
        r->comp[r->index[6]++ % AF_XDP_TX] = i % 2 ? UINT64_MAX : 4096;
    }
    g_assert_cmpint(send_text(r, "frame", 5), ==, HDR + 5);
    g_assert_cmpuint(r->q.n_free, <=, AF_XDP_TX);
    r->index[2] += 1u << 30;
    for (unsigned i = 0; i < 4; i++) {
        (void)af_xdp_recv(&r->sq, &iov, 1);
    }
    rig_free(r);
}

static void test_send(void)
{
    Rig *r = rig_new();
    g_autofree char *big = g_malloc0(AF_XDP_FRAME + 1);
    const struct xdp_desc *desc = &r->tx[0];

    g_assert_cmpint(send_text(r, "frame", 5), ==, HDR + 5);
    g_assert_cmpuint(kicks(r), ==, 1);
    g_assert_cmpuint(desc->len, ==, 5);
    g_assert_cmpmem(r->q.umem + desc->addr, 5, "frame", 5);
    kernel_takes(r, 1);
    kernel_completes(r, 1);
    g_assert_cmpint(send_text(r, big, 0), ==, -EINVAL);
    g_assert_cmpint(send_text(r, big, AF_XDP_FRAME + 1), ==, -EMSGSIZE);
    g_assert_cmpuint(kicks(r), ==, 0);
    for (unsigned i = 0; i < 3 * AF_XDP_TX; i++) {
        g_assert_cmpint(send_text(r, big, AF_XDP_FRAME), ==,
                        HDR + AF_XDP_FRAME);
        kernel_takes(r, 1);
        kernel_completes(r, 1);
        g_assert_cmpuint(kicks(r), ==, 1);
    }
    /* A driver that reads the ring by itself is not kicked. */
    r->flags = 0;
    g_assert_cmpint(send_text(r, "frame", 5), ==, HDR + 5);
    g_assert_cmpuint(kicks(r), ==, 0);
    rig_free(r);
}

static void test_full(void)
{
    Rig *r = rig_new();

    fill_all(r);
    g_assert_cmpint(send_text(r, "more", 4), ==, 0);
    g_assert_false(is_room(r));
    g_assert_true(timer_armed(r));
    af_xdp_io_retry(&r->q, 0);
    g_assert_false(is_room(r));
    g_assert_true(timer_armed(r));
    kernel_completes(r, 3);
    af_xdp_io_retry(&r->q, 0);
    g_assert_true(is_room(r));
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(send_text(r, "more", 4), ==, HDR + 4);
        kernel_takes(r, 1);
    }
    g_assert_cmpint(send_text(r, "more", 4), ==, 0);
    g_assert_false(is_room(r));
    /* Another pair that sends here finds room first: ours is told as well. */
    kernel_completes(r, 2);
    g_assert_cmpint(send_text(r, "other", 5), ==, HDR + 5);
    g_assert_true(is_room(r));
    rig_free(r);
}

static void test_burst_ends_full(void)
{
    Rig *r = rig_new();
    char hdr[HDR + 4];
    struct iovec iov = { hdr, sizeof(hdr) };
    IoFrame frames[4];

    fill_all(r);
    kernel_completes(r, 2);
    for (unsigned i = 0; i < ARRAY_SIZE(frames); i++) {
        frames[i] = (IoFrame){ &iov, 1, -1 };
    }
    g_assert_true(af_xdp_send_burst(&r->port, frames, ARRAY_SIZE(frames)));
    g_assert_cmpint(frames[1].result, ==, HDR + 4);
    g_assert_cmpint(frames[2].result, ==, 0);
    g_assert_cmpint(frames[3].result, ==, 0);
    g_assert_cmpuint(r->index[4] - r->index[5], ==, 2);
    rig_free(r);
}

/* The kernel leaves a frame in the ring and does not say when to try again. */
static void test_left_behind(void)
{
    Rig *r = rig_new();

    kernel_is_busy(r);
    g_assert_cmpint(send_text(r, "frame", 5), ==, HDR + 5);
    g_assert_true(timer_armed(r));
    af_xdp_io_retry(&r->q, 0);
    g_assert_true(timer_armed(r));
    g_assert_cmpuint(kicks(r), >, 0);
    af_xdp_io_retry(&r->q, 0);
    g_assert_cmpuint(kicks(r), ==, 1);
    kernel_takes(r, 1);
    rig_free(r);
}

static void test_down_and_gone(void)
{
    Rig *r = rig_new();
    char a[HDR + 8];
    struct iovec iov = { a, sizeof(a) };
    IoFrame frames[2] = { { &iov, 1, 1 }, { &iov, 1, 1 } };

    fill_all(r);
    fd_close(&r->kernel);
    /* There is no telling when it is up again: what is sent now is lost. */
    g_assert_cmpint(send_text(r, "down", 4), <, 0);
    g_assert_false(is_room(r));
    r->s.gone = true;
    g_assert_cmpint(send_text(r, "gone", 4), ==, -EBADFD);
    g_assert_cmpint(af_xdp_recv(&r->sq, &iov, 1), ==, -EBADFD);
    g_assert_true(af_xdp_send_burst(&r->port, frames, 2));
    g_assert_cmpint(frames[1].result, ==, -EBADFD);
    g_assert_true(af_xdp_recv_burst(&r->port, frames, 2));
    g_assert_cmpint(frames[0].result, ==, -EBADFD);
    rig_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/af-xdp/receive", test_receive);
    g_test_add_func("/af-xdp/lies", test_lies);
    g_test_add_func("/af-xdp/send", test_send);
    g_test_add_func("/af-xdp/full", test_full);
    g_test_add_func("/af-xdp/burst-ends-full", test_burst_ends_full);
    g_test_add_func("/af-xdp/left-behind", test_left_behind);
    g_test_add_func("/af-xdp/down-and-gone", test_down_and_gone);
    return g_test_run();
}
