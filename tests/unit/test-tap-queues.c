/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queues of a tap that come and go, and how they end, on real taps in a network
 * namespace of the test's own.
 *
 * Threads: the test's, which holds the machine lock, and an iothread.
 */
#include "util/osdep.h"

#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "hw/core/qdev.h"
#include "net/net.h"
#include "system/iothread.h"
#include "system/machine-lock.h"
#include "tap-rig.h"
#include "util/fd.h"

static const char *skip; /* why no test can run; NULL: they can */

DeviceState *device_add(json_object *opts, Error **errp)
{
    return NULL;
}

static bool skipped(void)
{
    if (skip) {
        g_test_skip(skip);
    }
    return skip != NULL;
}

static NetClientState *add(const char *text) MAIN_THREAD
{
    Error *err = NULL;

    if (!netdev_add_text(text, &err)) {
        g_error("%s: %s", text, err->message);
    }
    return net_client_find("n0");
}

static void set_queues(unsigned n) MAIN_THREAD
{
    NetQueuesChange change = { .n = n };
    Error *err = NULL;

    if (!netdev_set_queues("n0", &change, &err)) {
        g_error("%u queues: %s", n, err->message);
    }
}

/* Sends frames of 64 flows; counts those that each queue gets. */
static void spread(NetClientState *nc, int sock, unsigned *counts)
{
    for (uint16_t port = 0; port < 64; port++) {
        uint8_t frame[64];
        size_t len = rig_udp_frame(frame, 1000 + 17 * port);

        g_assert_cmpint(send(sock, frame, len, 0), ==, len);
    }
    for (unsigned i = 0; i < nc->n_queues; i++) {
        uint8_t buf[256];
        struct iovec iov = { buf, sizeof(buf) };

        for (counts[i] = 0; nc->info->recv(&nc->queue[i], &iov, 1) > 0;) {
            counts[i]++;
        }
    }
}

static unsigned sum(const unsigned *counts, unsigned n)
{
    unsigned all = 0;

    for (unsigned i = 0; i < n; i++) {
        all += counts[i];
    }
    return all;
}

/* Places in memory stay; the host steers to the queues that there are. */
static void test_counts(void) MAIN_THREAD
{
    static const unsigned numbers[] = { 1, 4, 3, 256, 2, 1, 2 };
    unsigned counts[256], fds;
    const NetSubqueue *place;
    NetClientState *nc;
    int sock;

    if (skipped()) {
        return;
    }
    nc = add("tap,id=n0,ifname=el0,script=no,downscript=no,queues=2");
    rig_link_up("el0");
    sock = rig_packet_socket("el0", ETH_P_IP);
    place = nc->queue;
    fds = rig_open_fds();
    for (unsigned k = 0; k < ARRAY_SIZE(numbers); k++) {
        unsigned n = numbers[k];

        set_queues(n);
        g_assert_true(nc->queue == place);
        g_assert_cmpuint(nc->n_queues, ==, n);
        g_assert_cmpuint(rig_open_fds(), ==, fds + n - 2);
        for (unsigned i = 0; i < NET_MAX_QUEUES; i++) {
            g_assert_true((place[i].fd >= 0) == (i < n));
            g_assert_true(place[i].enabled == (i < n));
        }
        spread(nc, sock, counts);
        g_assert_cmpuint(sum(counts, n), ==, 64);
        g_assert_true(n == 1 || counts[0] < 64);
    }
    close(sock);
    g_assert_true(netdev_del("n0", NULL));
    g_assert_false(rig_link_exists("el0"));
}

/* The limit of the send buffer is the interface's. */
static void test_sndbuf(void) MAIN_THREAD
{
    NetClientState *nc;
    int bytes = 0;

    if (skipped()) {
        return;
    }
    nc = add("tap,id=n0,ifname=el1,script=no,downscript=no,queues=2,"
             "sndbuf=123456");
    set_queues(1);
    set_queues(3);
    g_assert_cmpint(ioctl(nc->queue[2].fd, TUNGETSNDBUF, &bytes), ==, 0);
    g_assert_cmpint(bytes, ==, 123456);
    g_assert_true(netdev_del("n0", NULL));
}

static void test_funnel(void) MAIN_THREAD
{
    unsigned counts[4];
    Error *err = NULL;
    NetClientState *nc;
    int sock;

    if (skipped()) {
        return;
    }
    nc = add("tap,id=n0,ifname=el2,script=no,downscript=no,queues=4");
    rig_link_up("el2");
    sock = rig_packet_socket("el2", ETH_P_IP);
    for (unsigned i = 0; i < 3; i++) {
        if (!nc->info->funnel(nc, true, &err)) {
            g_test_skip(err->message);
            g_error_free(err);
            break;
        }
        spread(nc, sock, counts);
        g_assert_cmpuint(counts[0], ==, 64);
        g_assert_cmpuint(sum(counts, 4), ==, 64);
        g_assert_true(nc->info->funnel(nc, false, &err));
        spread(nc, sock, counts);
        g_assert_cmpuint(counts[0], <, 64);
        g_assert_cmpuint(sum(counts, 4), ==, 64);
    }
    close(sock);
    g_assert_true(netdev_del("n0", NULL));
}

/* With RSS's program in place its setting is used, and stands afterwards. */
static void test_funnel_of_rss(void) MAIN_THREAD
{
    g_autofree RssConfig *rss = g_new0(RssConfig, 1);
    unsigned counts[4];
    Error *err = NULL;
    NetClientState *nc;
    int sock;

    if (skipped()) {
        return;
    }
    nc = add("tap,id=n0,ifname=el3,script=no,downscript=no,queues=4");
    rig_link_up("el3");
    sock = rig_packet_socket("el3", ETH_P_IP);
    if (!nc->info->steering_open(nc, NULL, &err)) {
        g_test_skip(err->message);
        g_error_free(err);
    } else {
        rss->unclassified = 2;
        for (unsigned i = 0; i < 4; i++) {
            if (i > 0) {
                g_assert_true(nc->info->steer(nc, rss, &err));
            }
            g_assert_true(nc->info->funnel(nc, true, &err));
            spread(nc, sock, counts);
            g_assert_cmpuint(counts[0], ==, 64);
            g_assert_true(nc->info->funnel(nc, false, &err));
            spread(nc, sock, counts);
            g_assert_cmpuint(sum(counts, 4), ==, 64);
            g_assert_true(i == 0 ? counts[2] < 64 : counts[2] == 64);
        }
    }
    close(sock);
    g_assert_true(netdev_del("n0", NULL));
}

/* A queue that is detached, and whoever passes it, can be had again. */
static void test_detached(void) MAIN_THREAD
{
    struct ifreq ifr = { .ifr_flags = IFF_DETACH_QUEUE };
    char name[IFNAMSIZ] = "el4";
    unsigned counts[2];
    NetClientState *nc;
    int fd[2], sock;

    if (skipped()) {
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        fd[i] = rig_tap_open(name, IFF_MULTI_QUEUE | IFF_VNET_HDR);
    }
    rig_link_up(name);
    sock = rig_packet_socket(name, ETH_P_IP);
    for (unsigned k = 0; k < 3; k++) {
        g_autofree char *text = NULL;
        int copy[2] = { dup(fd[0]), dup(fd[1]) };

        if (k == 0) {
            g_assert_cmpint(ioctl(fd[1], TUNSETQUEUE, &ifr), ==, 0);
        }
        text = g_strdup_printf("tap,id=n0,fds=%d:%d", copy[0], copy[1]);
        nc = add(text);
        spread(nc, sock, counts);
        g_assert_cmpuint(sum(counts, 2), ==, 64);
        g_assert_cmpuint(counts[1], >, 0);
        g_assert_true(netdev_del("n0", NULL));
        for (unsigned i = 0; i < 2; i++) {
            g_assert_true(rig_tap_flags(fd[i]) & IFF_DETACH_QUEUE);
        }
    }
    close(sock);
    close(fd[0]);
    close(fd[1]);
}

/* ---- the end of a file that an iothread's ring knows ---- */

typedef struct RingUse {
    IoRing *ring;
    int fd;
} RingUse;

static void use_and_remove(void *opaque)
{
    RingUse *use = opaque;
    IoFile file = io_ring_add_file(use->ring, use->fd);

    io_ring_remove_file(use->ring, &file);
}

/* Kernels before 6.13 have the tap open for up to a second more, and refuse to
 * open it a second time, unless the ring forgets it. Newer ones pass anyway. */
static void test_single_again(void) MAIN_THREAD
{
    Error *err = NULL;
    IOThread *io;

    if (skipped()) {
        return;
    }
    io = iothread_new_internal("IO test", &err);
    g_assert_nonnull(io);
    iothread_use(io, "test");
    for (unsigned i = 0; i < 5; i++) {
        NetClientState *nc =
            add("tap,id=n0,ifname=el5,script=no,downscript=no");
        RingUse use = { iothread_io_ring(io), nc->queue[0].fd };

        if (use.ring) {
            event_loop_call(iothread_loop(io), use_and_remove, &use);
        }
        g_assert_true(netdev_del("n0", NULL));
        g_assert_false(rig_link_exists("el5"));
    }
    iothread_release(io, "test");
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    skip = rig_enter();
    machine_lock();
    g_test_add_func("/tap-queues/counts", test_counts);
    g_test_add_func("/tap-queues/send-buffer", test_sndbuf);
    g_test_add_func("/tap-queues/funnel", test_funnel);
    g_test_add_func("/tap-queues/funnel-with-rss", test_funnel_of_rss);
    g_test_add_func("/tap-queues/detached", test_detached);
    g_test_add_func("/tap-queues/single-queue-again", test_single_again);
    return g_test_run();
}
