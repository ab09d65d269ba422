/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev tap on real taps, in a network namespace of the test's own. */
#include "util/osdep.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/ethtool.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "hw/core/qdev.h"
#include "net/net.h"
#include "system/machine-lock.h"
#include "tap-rig.h"
#include "util/fd.h"
#include "util/iov.h"

static const char *skip;  /* why no test can run; NULL: they can */
static char *last_device; /* what device_add() was given */

DeviceState *device_add(json_object *opts, Error **errp)
{
    static DeviceState made;

    g_free(last_device);
    last_device =
        g_strdup(json_object_to_json_string_ext(opts, JSON_C_TO_STRING_PLAIN));
    return &made;
}

static NO_THREAD_SAFETY NetClientState *add(const char *fmt, ...)
    G_GNUC_PRINTF(1, 2);
static NO_THREAD_SAFETY NetClientState *add(const char *fmt, ...)
{
    g_autofree char *text = NULL;
    Error *err = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    if (!netdev_add_text(text, &err)) {
        g_error("%s: %s", text, err->message);
    }
    return net_client_find("n0");
}

static NO_THREAD_SAFETY void del(void)
{
    g_assert_true(netdev_del("n0", NULL));
}

/* @text is refused with @says, and no fd stays open. */
static NO_THREAD_SAFETY void refused(const char *text, const char *says)
{
    unsigned before = rig_open_fds();
    NetClientState *n0 = net_client_find("n0");
    Error *err = NULL;

    g_assert_false(netdev_add_text(text, &err));
    g_assert_null(strchr(err->message, '\n'));
    if (!strstr(err->message, says)) {
        g_test_message("%s: '%s' is not in '%s'", text, says, err->message);
        g_test_fail();
    }
    g_error_free(err);
    g_assert_true(net_client_find("n0") == n0);
    g_assert_cmpuint(rig_open_fds(), ==, before);
}

#define PATIENCE_MS 60000 /* for what must come; the machine may be busy */
#define QUIET_MS    100   /* in which nothing comes */

/* Receives one frame of RIG_ETHERTYPE from @sq into @buf; bytes. */
static ssize_t receive(NetSubqueue *sq, void *buf, size_t size,
                       unsigned hdr_len, unsigned ms)
{
    for (unsigned i = 0; i < ms; i++) {
        struct iovec iov = { buf, size };
        ssize_t r = sq->nc->info->recv(sq, &iov, 1);
        const uint8_t *type = (uint8_t *)buf + hdr_len + 12;

        if (r < 0 || (r > 0 && (type[0] << 8 | type[1]) == RIG_ETHERTYPE)) {
            return r;
        }
        if (r == 0) {
            g_usleep(1000);
        }
    }
    return 0;
}

static ssize_t send_split(NetSubqueue *sq, uint8_t *buf, size_t len)
{
    struct iovec iov[4] = {
        { buf, 5 }, { buf + 5, 9 }, { buf + 14, 0 }, { buf + 14, len - 14 }
    };

    return sq->nc->info->send(sq, iov, 4);
}

/* Frames of several sizes cross queue 0 both ways, byte for byte. */
static void check_frames(NetClientState *nc, const char *ifname,
                         unsigned hdr_len)
{
    static const size_t sizes[] = { 60, 61, 64, 512, 1499, 1514 };
    static const uint8_t zero[10];
    uint8_t frame[2048], out[2048], buf[4096];
    int sock = rig_packet_socket(ifname, RIG_ETHERTYPE);

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t len = sizes[i];
        struct iovec iov[3] = { { buf, 3 },
                                { buf + 3, 40 },
                                { buf + 43, sizeof(buf) - 43 } };

        rig_frame(frame, len, i);
        g_assert_cmpint(send(sock, frame, len, 0), ==, len);
        memset(buf, 0xaa, sizeof(buf));
        g_assert_cmpint(nc->info->recv(&nc->queue[0], iov, 3), ==,
                        hdr_len + len);
        g_assert_cmpmem(buf, 10, zero, 10);
        g_assert_cmpmem(buf + hdr_len, len, frame, len);

        rig_frame(frame, len, ~i);
        memset(out, 0, hdr_len);
        memcpy(out + hdr_len, frame, len);
        g_assert_cmpint(send_split(&nc->queue[0], out, hdr_len + len), ==,
                        hdr_len + len);
        g_assert_cmpint(recv(sock, buf, sizeof(buf), 0), ==, len);
        g_assert_cmpmem(buf, len, frame, len);
    }
    g_assert_cmpint(receive(&nc->queue[0], buf, sizeof(buf), hdr_len, QUIET_MS),
                    ==, 0);
    close(sock);
}

static bool skipped(void)
{
    if (skip) {
        g_test_skip(skip);
    }
    return skip != NULL;
}

static NO_THREAD_SAFETY void test_one_queue(void)
{
    unsigned before = rig_open_fds();
    NetClientState *nc;

    if (skipped()) {
        return;
    }
    nc = add("tap,id=n0,ifname=one0,script=no,downscript=no");
    g_assert_cmpuint(nc->n_queues, ==, 1);
    g_assert_true(nc->caps.vnet_hdr);
    g_assert_false(nc->caps.vhost);
    g_assert_cmpint(rig_tap_flags(nc->queue[0].fd) & IFF_MULTI_QUEUE, ==, 0);
    g_assert_true(fcntl(nc->queue[0].fd, F_GETFL) & O_NONBLOCK);
    g_assert_true(fcntl(nc->queue[0].fd, F_GETFD) & FD_CLOEXEC);
    g_assert_nonnull(strstr(nc->info_str, "ifname=one0"));
    rig_link_up("one0");
    check_frames(nc, "one0", 12);
    g_assert_true(net_client_set_vnet_hdr_len(nc, 10, NULL));
    check_frames(nc, "one0", 10);
    g_assert_true(net_client_set_vnet_hdr_len(nc, 12, NULL));
    check_frames(nc, "one0", 12);
    /* One queue is never detached: there is nothing to detach from. */
    g_assert_true(net_subqueue_set_enabled(&nc->queue[0], true, NULL));
    refused("tap,id=n1,ifname=one0,script=no", "in use by another program");
    del();
    g_assert_false(rig_link_exists("one0"));
    g_assert_cmpuint(rig_open_fds(), ==, before);
}

static NO_THREAD_SAFETY void test_no_header(void)
{
    NetClientState *nc;

    if (skipped()) {
        return;
    }
    nc = add("tap,id=n0,ifname=bare0,script=no,downscript=no,vnet_hdr=off");
    g_assert_false(nc->caps.vnet_hdr);
    g_assert_cmpint(rig_tap_flags(nc->queue[0].fd) & IFF_VNET_HDR, ==, 0);
    rig_link_up("bare0");
    check_frames(nc, "bare0", 12);
    g_assert_true(net_client_set_vnet_hdr_len(nc, 10, NULL));
    check_frames(nc, "bare0", 10);
    g_assert_true(
        net_client_set_offloads(nc, &(NetOffloads){ .csum = true }, NULL));
    del();
}

/* A buffer that is too short cuts the frame. */
static NO_THREAD_SAFETY void test_short_buffer(void)
{
    uint8_t frame[200], buf[100];
    NetClientState *nc;
    int sock;

    if (skipped()) {
        return;
    }
    nc = add("tap,id=n0,ifname=short0,script=no");
    rig_link_up("short0");
    sock = rig_packet_socket("short0", RIG_ETHERTYPE);
    rig_frame(frame, sizeof(frame), 1);
    g_assert_cmpint(send(sock, frame, sizeof(frame), 0), ==, sizeof(frame));
    g_assert_cmpint(receive(&nc->queue[0], buf, sizeof(buf), 12, PATIENCE_MS),
                    ==, 100);
    g_assert_cmpmem(buf + 12, 88, frame, 88);
    g_assert_cmpint(receive(&nc->queue[0], buf, sizeof(buf), 12, QUIET_MS), ==,
                    0);
    close(sock);
    del();
}

/* Frames of 64 flows; counts[i] tells how many queue i got. */
static void spread_flows(NetClientState *nc, int sock, unsigned *counts)
{
    uint8_t frame[128], buf[256];

    for (uint16_t port = 1000; port < 1064; port++) {
        size_t len = rig_udp_frame(frame, port);

        g_assert_cmpint(send(sock, frame, len, 0), ==, len);
    }
    for (unsigned i = 0; i < nc->n_queues; i++) {
        struct iovec iov = { buf, sizeof(buf) };

        counts[i] = 0;
        while (nc->queue[i].enabled &&
               nc->info->recv(&nc->queue[i], &iov, 1) > 0) {
            counts[i]++;
        }
    }
}

static NO_THREAD_SAFETY void test_four_queues(void)
{
    unsigned counts[4], busy = 0;
    struct iovec iov;
    uint8_t buf[256];
    NetClientState *nc;
    int sock, ip_sock;

    if (skipped()) {
        return;
    }
    nc = add("tap,id=n0,ifname=four0,script=no,downscript=no,queues=4");
    g_assert_cmpuint(nc->n_queues, ==, 4);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_true(rig_tap_flags(nc->queue[i].fd) & IFF_MULTI_QUEUE);
        g_assert_cmpuint(nc->queue[i].index, ==, i);
    }
    rig_link_up("four0");
    ip_sock = rig_packet_socket("four0", ETH_P_IP);
    spread_flows(nc, ip_sock, counts);
    for (unsigned i = 0; i < 4; i++) {
        busy += counts[i] > 0;
    }
    g_assert_cmpuint(counts[0] + counts[1] + counts[2] + counts[3], ==, 64);
    g_assert_cmpuint(busy, >, 1);

    /* Detached queues get nothing. */
    for (unsigned i = 1; i < 4; i++) {
        g_assert_true(net_subqueue_set_enabled(&nc->queue[i], false, NULL));
        g_assert_true(net_subqueue_set_enabled(&nc->queue[i], false, NULL));
    }
    iov = (struct iovec){ buf, sizeof(buf) };
    g_assert_cmpint(nc->info->recv(&nc->queue[3], &iov, 1), ==, 0);
    spread_flows(nc, ip_sock, counts);
    g_assert_cmpuint(counts[0], ==, 64);
    check_frames(nc, "four0", 12);
    g_assert_true(net_client_set_vnet_hdr_len(nc, 10, NULL));

    for (unsigned i = 1; i < 4; i++) {
        g_assert_true(net_subqueue_set_enabled(&nc->queue[i], true, NULL));
    }
    spread_flows(nc, ip_sock, counts);
    g_assert_cmpuint(counts[0] + counts[1] + counts[2] + counts[3], ==, 64);
    g_assert_cmpuint(counts[0], <, 64);

    /* The header's length holds for queues that were away. */
    sock = rig_packet_socket("four0", RIG_ETHERTYPE);
    for (unsigned i = 0; i < 4; i++) {
        uint8_t out[10 + 64] = { 0 };

        rig_frame(out + 10, 64, i);
        g_assert_cmpint(send_split(&nc->queue[i], out, sizeof(out)), ==,
                        sizeof(out));
        g_assert_cmpint(recv(sock, buf, sizeof(buf), 0), ==, 64);
        g_assert_cmpmem(buf, 64, out + 10, 64);
    }

    /* The first one may go while others stay; settings still work. */
    g_assert_true(net_subqueue_set_enabled(&nc->queue[0], false, NULL));
    g_assert_true(net_client_set_vnet_hdr_len(nc, 12, NULL));
    g_assert_true(
        net_client_set_offloads(nc, &(NetOffloads){ .csum = true }, NULL));
    close(ip_sock);
    close(sock);
    del();
    g_assert_false(rig_link_exists("four0"));
}

static NO_THREAD_SAFETY void test_most_queues(void)
{
    unsigned before = rig_open_fds();
    NetClientState *nc;

    if (skipped()) {
        return;
    }
    nc = add("tap,id=n0,ifname=most0,script=no,queues=256");
    g_assert_cmpuint(nc->n_queues, ==, 256);
    g_assert_cmpuint(rig_open_fds(), ==, before + 256);
    del();
    g_assert_cmpuint(rig_open_fds(), ==, before);
}

static NO_THREAD_SAFETY void test_offloads(void)
{
    NetOffloads all = { .csum = true,
                        .tso4 = true,
                        .tso6 = true,
                        .ecn = true,
                        .ufo = true,
                        .uso4 = true,
                        .uso6 = true };
    NetOffloads no_csum = { .tso4 = true };
    NetClientState *nc;

    if (skipped()) {
        return;
    }
    nc = add("tap,id=n0,ifname=off0,script=no,queues=2");
    g_assert_cmpint(rig_ethtool("off0", ETHTOOL_GTSO), ==, 0);
    g_assert_true(net_client_set_offloads(nc, &all, NULL));
    g_assert_cmpint(rig_ethtool("off0", ETHTOOL_GTXCSUM), ==, 1);
    g_assert_cmpint(rig_ethtool("off0", ETHTOOL_GTSO), ==, 1);
    g_assert_true(net_client_set_offloads(nc, &no_csum, NULL));
    g_assert_cmpint(rig_ethtool("off0", ETHTOOL_GTSO), ==, 0);
    g_assert_cmpint(rig_ethtool("off0", ETHTOOL_GTXCSUM), ==, 0);
    /* A kernel without the rarer ones: as if they had not been asked for. */
    nc->caps.ufo = nc->caps.uso = false;
    g_assert_true(net_client_set_offloads(nc, &all, NULL));
    g_assert_cmpint(rig_ethtool("off0", ETHTOOL_GTSO), ==, 1);
    del();
}

static NO_THREAD_SAFETY void test_deleted(void)
{
    NetClientState *nc;
    uint8_t buf[100] = { 0 };
    struct iovec iov = { buf, sizeof(buf) };
    Error *err = NULL;

    if (skipped()) {
        return;
    }
    nc = add("tap,id=n0,ifname=gone0,script=no,queues=2");
    rig_link_up("gone0");
    rig_link_delete("gone0");
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(nc->info->recv(&nc->queue[i], &iov, 1), ==, -EBADFD);
        g_assert_cmpint(nc->info->send(&nc->queue[i], &iov, 1), ==, -EBADFD);
    }
    g_assert_false(net_client_set_offloads(nc, &(NetOffloads){ 0 }, &err));
    g_assert_nonnull(strstr(err->message, "gone0"));
    g_clear_error(&err);
    g_assert_false(net_subqueue_set_enabled(&nc->queue[1], false, &err));
    g_clear_error(&err);
    del();
}

/* ---- open taps handed over ---- */

static NO_THREAD_SAFETY void test_fds(void)
{
    unsigned before = rig_open_fds();
    char name[IFNAMSIZ] = "";
    NetClientState *nc;
    int fd[4];

    if (skipped()) {
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        fd[i] = rig_tap_open(name, IFF_VNET_HDR | IFF_MULTI_QUEUE);
    }
    rig_link_up(name);
    nc = add("tap,id=n0,queues=4,fds=%d:%d:%d:%d", fd[0], fd[1], fd[2], fd[3]);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpint(nc->queue[i].fd, ==, fd[i]);
        g_assert_true(fcntl(fd[i], F_GETFL) & O_NONBLOCK);
    }
    g_assert_true(net_subqueue_set_enabled(&nc->queue[3], false, NULL));
    for (unsigned i = 1; i < 3; i++) {
        g_assert_true(net_subqueue_set_enabled(&nc->queue[i], false, NULL));
    }
    check_frames(nc, name, 12);
    del();
    g_assert_cmpuint(rig_open_fds(), ==, before);

    *name = '\0';
    fd[0] = rig_tap_open(name, IFF_VNET_HDR);
    rig_link_up(name);
    nc = add("{\"type\":\"tap\",\"id\":\"n0\",\"fd\":\"%d\"}", fd[0]);
    check_frames(nc, name, 12);
    del();

    *name = '\0';
    fd[0] = rig_tap_open(name, 0);
    rig_link_up(name);
    nc = add("tap,id=n0,fd=%d,vnet_hdr=off", fd[0]);
    check_frames(nc, name, 12);
    del();
    g_assert_cmpuint(rig_open_fds(), ==, before);
}

static void refused_fds(const char *extra, int a, int b, const char *says)
{
    g_autofree char *text =
        b < 0 ? g_strdup_printf("tap,id=n0,fd=%d%s", a, extra)
              : g_strdup_printf("tap,id=n0,fds=%d:%d%s", a, b, extra);

    refused(text, says);
}

static void test_bad_fds(void)
{
    char one[IFNAMSIZ] = "", two[IFNAMSIZ] = "", bare[IFNAMSIZ] = "";
    char three[IFNAMSIZ] = "";
    int single, multi, multi2, other, plain;

    if (skipped()) {
        return;
    }
    single = rig_tap_open(one, IFF_VNET_HDR);
    multi = rig_tap_open(two, IFF_VNET_HDR | IFF_MULTI_QUEUE);
    multi2 = rig_tap_open(two, IFF_VNET_HDR | IFF_MULTI_QUEUE);
    other = rig_tap_open(three, IFF_VNET_HDR | IFF_MULTI_QUEUE);
    plain = rig_tap_open(bare, 0);
    refused_fds("", plain, -1, "without IFF_VNET_HDR");
    refused_fds(",vnet_hdr=off", single, -1, "with IFF_VNET_HDR");
    refused_fds("", multi, single, "without IFF_MULTI_QUEUE");
    refused_fds("", multi, other, "of different taps");
    refused_fds(",queues=3", multi, multi2, "queues=3");
    refused_fds(",vhost=on,vnet_hdr=off", plain, -1, "vnet_hdr=off");
    refused_fds(",vhostfd=0", single, -1, "not an open vhost device");
    /* What was passed in stays its owner's. */
    g_assert_cmpint(rig_tap_flags(multi) & IFF_MULTI_QUEUE, !=, 0);
    close(single);
    close(multi);
    close(multi2);
    close(other);
    close(plain);
}

static void test_existing_taps(void)
{
    NetClientState *nc;

    if (skipped()) {
        return;
    }
    rig_tap_persist("old1", false);
    rig_tap_persist("oldn", true);
    refused("tap,id=n0,ifname=old1,script=no,queues=2", "multi_queue");
    refused("tap,id=n0,ifname=oldn,script=no", "queues=2");
    refused("tap,id=n0,ifname=lo,script=no", "not a tap");
    nc = add("tap,id=n0,ifname=old1,script=no");
    rig_link_up("old1");
    check_frames(nc, "old1", 12);
    del();
    g_assert_true(rig_link_exists("old1"));
    add("tap,id=n0,ifname=oldn,script=no,queues=3");
    del();
    g_assert_true(rig_link_exists("oldn"));
    rig_link_delete("old1");
    rig_link_delete("oldn");
}

/* ---- failures leave nothing ---- */

static void test_vhost_missing(void)
{
    if (skipped()) {
        return;
    }
    if (access("/dev/vhost-net", F_OK) == 0) {
        g_test_skip("/dev/vhost-net is here");
        return;
    }
    refused("tap,id=n0,ifname=vh0,script=no,vhost=on,queues=2",
            "vhost=on: cannot open /dev/vhost-net (No such file");
    refused("tap,id=n0,ifname=vh0,script=no,vhostforce=on",
            "vhost=on: cannot open /dev/vhost-net (No such file");
    g_assert_false(rig_link_exists("vh0"));
}

/* A user without rights gets a reason and a way out. */
static NO_THREAD_SAFETY void test_no_permission(void)
{
    int status;
    pid_t pid;

    if (skipped()) {
        return;
    }
    pid = fork();
    if (pid == 0) {
        Error *err = NULL;
        bool ok = setgid(65534) == 0 && setuid(65534) == 0 &&
                  !netdev_add_text("tap,id=n0,ifname=perm0,script=no", &err) &&
                  strstr(err->message, "ifname=perm0: no permission") &&
                  strstr(err->message, "ip tuntap add");

        _exit(ok ? 0 : 1);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

/* ---- scripts ---- */

static char *make_script(const char *dir, const char *name, const char *body)
{
    char *path = g_build_filename(dir, name, NULL);
    g_autofree char *text = g_strdup_printf("#!/bin/sh\n%s\n", body);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    chmod(path, 0755);
    return path;
}

static void remove_all(const char *dir)
{
    g_autoptr(GDir) d = g_dir_open(dir, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        g_unlink(path);
    }
    g_rmdir(dir);
}

static NO_THREAD_SAFETY void test_scripts(void)
{
    g_autofree char *dir = g_dir_make_tmp("tap-XXXXXX", NULL);
    g_autofree char *body = g_strdup_printf(
        "[ -e /sys ] && echo \"$0 $1 $#\" >> %s/log; ls /proc/$$/fd >> %s/fds",
        dir, dir);
    g_autofree char *up = make_script(dir, "up", body);
    g_autofree char *down = make_script(dir, "down", body);
    g_autofree char *bad = make_script(dir, "bad", "exit 7");
    g_autofree char *log = g_build_filename(dir, "log", NULL);
    g_autofree char *said = NULL, *want = NULL, *text = NULL;
    int leak;

    if (skipped()) {
        remove_all(dir);
        return;
    }
    leak = dup(0); /* not close-on-exec: the script must not see it */
    add("tap,id=n0,ifname=scr0,script=%s,downscript=%s,queues=2", up, down);
    net_cleanup();
    net_cleanup();
    del();
    close(leak);
    g_assert_true(g_file_get_contents(log, &said, NULL, NULL));
    want = g_strdup_printf("%s scr0 1\n%s scr0 1\n", up, down);
    g_assert_cmpstr(said, ==, want);
    g_free(log);
    log = g_build_filename(dir, "fds", NULL);
    g_free(said);
    g_assert_true(g_file_get_contents(log, &said, NULL, NULL));
    g_assert_null(strstr(said, "3\n"));

    text = g_strdup_printf("tap,id=n0,ifname=scr0,script=%s", bad);
    refused(text, "failed with status 7");
    g_assert_false(rig_link_exists("scr0"));
    refused("tap,id=n0,ifname=scr0,script=/no/such/script",
            "cannot run script '/no/such/script'");
    g_assert_false(rig_link_exists("scr0"));
    remove_all(dir);
}

/* ---- -nic ---- */

static NO_THREAD_SAFETY void test_nic(void)
{
    if (skipped()) {
        return;
    }
    g_assert_true(net_nic_option("tap,id=n0,ifname=nic0,script=no,queues=4,"
                                 "model=virtio,mac=52:54:00:00:00:09",
                                 NULL));
    g_assert_true(net_create_nics(NULL));
    g_assert_cmpstr(last_device, ==,
                    "{\"driver\":\"virtio-net-pci\","
                    "\"mac\":\"52:54:00:00:00:09\",\"netdev\":\"n0\","
                    "\"mq\":true}");
    g_assert_true(rig_link_exists("nic0"));
    del();
    g_assert_true(net_legacy_option("nic,model=virtio", NULL));
    g_assert_true(net_legacy_option("tap,ifname=nic0,script=no", NULL));
    g_assert_true(net_create_nics(NULL));
    g_assert_true(g_str_has_prefix(
        last_device, "{\"driver\":\"virtio-net-pci\",\"netdev\":\"hub0port"));
    g_assert_true(rig_link_exists("nic0"));
    net_cleanup();
    g_assert_false(rig_link_exists("nic0"));
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    skip = rig_enter();
    machine_lock();
    g_test_add_func("/tap/one-queue", test_one_queue);
    g_test_add_func("/tap/no-header", test_no_header);
    g_test_add_func("/tap/short-buffer", test_short_buffer);
    g_test_add_func("/tap/four-queues", test_four_queues);
    g_test_add_func("/tap/256-queues", test_most_queues);
    g_test_add_func("/tap/offloads", test_offloads);
    g_test_add_func("/tap/deleted-under-us", test_deleted);
    g_test_add_func("/tap/fds", test_fds);
    g_test_add_func("/tap/bad-fds", test_bad_fds);
    g_test_add_func("/tap/existing", test_existing_taps);
    g_test_add_func("/tap/vhost-missing", test_vhost_missing);
    g_test_add_func("/tap/no-permission", test_no_permission);
    g_test_add_func("/tap/scripts", test_scripts);
    g_test_add_func("/tap/nic-option", test_nic);
    return g_test_run();
}
