/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev passt: starts passt(1) and is its one client, over a stream socket
 * that it is given. The program goes to the background when it is ready, and
 * ends when its client does: closing the socket is what ends it.
 */
#include "util/osdep.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "net/bare.h"
#include "qapi/qapi-events.h"
#include "qapi/qapi-visit.h"
#include "stream-internal.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "tap-internal.h"
#include "util/fd.h"

#define PROGRAM      "passt"
#define READY_MS     10000 /* it reads routes and opens ports meanwhile */
#define MTU_MAX      65520
#define SAID_MAX     (16 * KiB)
#define NOISE_PREFIX "Failed to send " /* to a syslog that is not there */

typedef struct PasstState {
    NetClientState nc; /* first: netdev_del() frees by it */
    NetStreamConn conn;

    /* main thread */
    FdWatch gone_watch;
    LoopTask ended;
} PasstState;

/* ---- the command line ---- */

#define TEXT(flag, member)                              \
    {                                                   \
        "--" flag, offsetof(NetdevPasstOptions, member) \
    }
static const struct {
    const char *flag;
    size_t offset; /* of a char * */
} texts[] = {
    TEXT("address", address),
    TEXT("netmask", netmask),
    TEXT("mac-addr", mac),
    TEXT("gateway", gateway),
    TEXT("interface", interface),
    TEXT("outbound", outbound),
    TEXT("outbound-if4", outbound_if4),
    TEXT("outbound-if6", outbound_if6),
    TEXT("dns", dns),
    TEXT("fqdn", fqdn),
    TEXT("map-host-loopback", map_host_loopback),
    TEXT("map-guest-addr", map_guest_addr),
    TEXT("dns-forward", dns_forward),
    TEXT("dns-host", dns_host),
};

#define SWITCH(when, flag, member)                                     \
    {                                                                  \
        "--" flag, (when), offsetof(NetdevPasstOptions, has_##member), \
            offsetof(NetdevPasstOptions, member)                       \
    }
static const struct {
    const char *flag;
    bool when; /* the value that needs the flag */
    size_t has, offset;
} switches[] = {
    SWITCH(false, "no-dhcp-dns", dhcp_dns),
    SWITCH(true, "dhcp-dns", dhcp_dns),
    SWITCH(false, "no-dhcp-search", dhcp_search),
    SWITCH(true, "dhcp-search", dhcp_search),
    SWITCH(false, "no-tcp", tcp),
    SWITCH(false, "no-udp", udp),
    SWITCH(false, "no-icmp", icmp),
    SWITCH(false, "no-dhcp", dhcp),
    SWITCH(false, "no-ndp", ndp),
    SWITCH(false, "no-dhcpv6", dhcpv6),
    SWITCH(false, "no-ra", ra),
    SWITCH(true, "freebind", freebind),
    SWITCH(false, "ipv6-only", ipv4),
    SWITCH(false, "ipv4-only", ipv6),
};

static void add(GPtrArray *argv, const char *text)
{
    g_ptr_array_add(argv, g_strdup(text));
}

/* @flag before each, NULL: nothing before them. */
static void add_list(GPtrArray *argv, const char *flag, const StringList *list)
{
    for (size_t i = 0; i < list->n; i++) {
        if (flag) {
            add(argv, flag);
        }
        add(argv, list->v[i].str);
    }
}

static void add_switches(GPtrArray *argv, const NetdevPasstOptions *o)
{
    for (unsigned i = 0; i < ARRAY_SIZE(switches); i++) {
        const char *base = (const char *)o;

        if (*(const bool *)(base + switches[i].has) &&
            *(const bool *)(base + switches[i].offset) == switches[i].when) {
            add(argv, switches[i].flag);
        }
    }
}

/* Ends with NULL. */
static char **make_argv(const char *program, const NetdevPasstOptions *o)
{
    GPtrArray *argv = g_ptr_array_new();

    add(argv, program);
    add(argv, "--one-off");
    add(argv, "--fd");
    add(argv, "3"); /* where tap_child_start() puts it */
    if (!o->has_quiet || o->quiet) {
        add(argv, "--quiet");
    }
    if (o->has_mtu) {
        add(argv, "--mtu");
        g_ptr_array_add(argv, g_strdup_printf("%" PRId64, o->mtu));
    }
    for (unsigned i = 0; i < ARRAY_SIZE(texts); i++) {
        const char *text =
            *(char *const *)(const void *)((const char *)o + texts[i].offset);

        if (text) {
            add(argv, texts[i].flag);
            add(argv, text);
        }
    }
    add_switches(argv, o);
    add_list(argv, "--search", &o->search);
    add_list(argv, "--tcp-ports", &o->tcp_ports);
    add_list(argv, "--udp-ports", &o->udp_ports);
    add_list(argv, NULL, &o->param);
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

static bool check_options(const NetdevPasstOptions *o, Error **errp)
{
    if (o->has_vhost_user && o->vhost_user) {
        error_setg(errp, "vhost-user=on is not supported; leave it out: frames "
                         "then pass a socket");
        return false;
    }
    if (o->has_mtu && (o->mtu < 0 || o->mtu > MTU_MAX)) {
        error_setg(errp, "mtu=%" PRId64 ": must be 0 to %d", o->mtu, MTU_MAX);
        return false;
    }
    if (o->has_ipv4 && !o->ipv4 && o->has_ipv6 && !o->ipv6) {
        error_setg(errp, "ipv4=off and ipv6=off: nothing is left; leave one of "
                         "them out");
        return false;
    }
    return true;
}

/* The program's path; NULL and *errp: there is none. */
static char *find_program(const char *path, Error **errp)
{
    char *found = g_find_program_in_path(path ? path : PROGRAM);
    g_autofree char *shown = NULL;

    if (!found) {
        shown = qapi_quote(path ? path : PROGRAM);
        error_setg(errp,
                   "cannot find the program '%s'; install passt, or say with "
                   "path= where it is",
                   shown);
    }
    return found;
}

/* ---- starting it ---- */

/* poll(2), with the machine lock for others meanwhile. */
static int MAIN_THREAD poll_unlocked(struct pollfd *p, int ms)
{
    int r;

    machine_unlock();
    r = poll(p, 1, ms);
    machine_lock();
    return r;
}

/* All that the program says until it closes its stderr. False: it did not by
 * @end. */
static bool MAIN_THREAD listen_to(const TapChild *child, GString *said,
                                  int64_t end)
{
    for (;;) {
        struct pollfd p = { .fd = child->stderr_fd, .events = POLLIN };
        int64_t left = (end - clock_now_ns()) / 1000000;
        char buf[1024];
        ssize_t n;

        if (left <= 0) {
            return false;
        }
        if (poll_unlocked(&p, (int)left) <= 0) {
            continue;
        }
        n = read(child->stderr_fd, buf, sizeof(buf));
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return true;
        }
        if (n > 0 && said->len < SAID_MAX) {
            g_string_append_len(said, buf, n);
        }
    }
}

/* The same until the program ends or goes to the background. False: it did
 * neither in time, and is ended. */
static bool MAIN_THREAD await(const TapChild *child, GString *said)
{
    int64_t end = clock_now_ns() + READY_MS * 1000000LL;

    if (listen_to(child, said, end) && tap_child_ends_by(child, end)) {
        return true;
    }
    kill(child->pid, SIGKILL);
    return false;
}

/* The line that says why: the last one, or the one before its usage. */
static char *reason(const char *said)
{
    g_auto(GStrv) lines = g_strsplit(said, "\n", -1);
    const char *last = "";

    for (char **line = lines; *line; line++) {
        g_strstrip(*line);
        if (g_str_has_prefix(*line, "Usage:") && last[0]) {
            break;
        }
        if (**line && !g_str_has_prefix(*line, NOISE_PREFIX)) {
            last = *line;
        }
    }
    return qapi_quote(last);
}

/* Returns when it is ready, our end of its socket; -1 and *errp. */
static int MAIN_THREAD start(char *const argv[], Error **errp)
{
    g_autoptr(GString) said = g_string_new(NULL);
    g_autofree char *why = NULL;
    TapChild child;
    int sock[2];
    bool ok, ended;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                   sock) < 0) {
        error_setg_errno(errp, errno, "cannot make a socket for passt");
        return -1;
    }
    ok = tap_child_start(&child, argv, sock[1], true, errp);
    close(sock[1]);
    if (!ok) {
        close(sock[0]);
        return -1;
    }
    ended = await(&child, said);
    ok = tap_child_wait(&child, PROGRAM, NULL);
    if (ok && ended) {
        return sock[0];
    }
    close(sock[0]);
    why = reason(said->str);
    if (!ended) {
        error_setg(errp,
                   "'%s' was not ready in %d seconds; it has to go to the "
                   "background then",
                   argv[0], READY_MS / 1000);
    } else {
        error_setg(errp, "'%s' failed%s%s", argv[0], why[0] ? ": " : "", why);
    }
    return -1;
}

/* ---- the netdev ---- */

static ssize_t passt_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    PasstState *s = container_of(sq->nc, PasstState, nc);

    return net_stream_conn_recv(&s->conn, iov, n, sq->nc->vnet_hdr_len);
}

static ssize_t passt_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    PasstState *s = container_of(sq->nc, PasstState, nc);
    IoFrame frame = { .iov = (struct iovec *)iov, .n_iov = n };

    net_stream_conn_send(&s->conn, &frame, 1, sq->nc->vnet_hdr_len);
    return frame.result;
}

static bool passt_send_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    PasstState *s = container_of(port->sq->nc, PasstState, nc);

    net_stream_conn_send(&s->conn, frames, n, port->sq->nc->vnet_hdr_len);
    return true;
}

/* False: there was no connection any more. */
static bool MAIN_THREAD disconnect(PasstState *s)
{
    int fd = net_stream_conn_detach(&s->conn, NULL);

    loop_task_cancel(&s->ended);
    fd_watch_stop(&s->gone_watch);
    if (fd < 0) {
        return false;
    }
    close(fd);
    return true;
}

static void MAIN_THREAD passt_close(PasstState *s)
{
    disconnect(s);
    net_stream_conn_free(&s->conn);
}

static void passt_cleanup(NetClientState *nc)
{
    machine_lock_assert();
    passt_close(container_of(nc, PasstState, nc));
    nc->queue[0].fd = nc->queue[0].room_fd = -1;
}

/* The program ended, or sent what is no frame, found here or by the pair. */
static void passt_ended(void *opaque)
{
    PasstState *s = opaque;
    q_obj_NETDEV_STREAM_DISCONNECTED_arg arg = { .netdev_id = s->nc.name };

    machine_lock_assert();
    if (!disconnect(s)) {
        return;
    }
    g_strlcpy(s->nc.info_str, "passt has ended", sizeof(s->nc.info_str));
    warn_report("netdev '%s': passt has ended; netdev_del and netdev_add start "
                "it again",
                s->nc.name);
    qapi_event_send_netdev_stream_disconnected(&arg);
}

static void passt_gone(void *opaque, uint32_t events)
{
    passt_ended(opaque);
}

static const NetClientInfo passt_info = {
    .type = NET_CLIENT_DRIVER_PASST,
    .recv = passt_recv,
    .send = passt_send,
    .send_burst = passt_send_burst,
    .cleanup = passt_cleanup,
};

/* ---- making one ---- */

static bool MAIN_THREAD passt_register(PasstState *s, const char *id, int fd,
                                       const char *program, Error **errp)
{
    if (!net_client_register(&s->nc, &passt_info, id, 1, errp)) {
        return false;
    }
    s->nc.caps.buffers = true;
    s->nc.vnet_hdr_len = VNET_HDR_V1;
    s->nc.queue[0].fd = s->conn.wake.fd;
    s->nc.queue[0].room_fd = s->conn.wake.room_fd;
    snprintf(s->nc.info_str, sizeof(s->nc.info_str), "%.200s", program);
    if (!net_client_rejoin(&s->nc, errp)) {
        net_client_unregister(&s->nc);
        return false;
    }
    fd_watch_start(&s->gone_watch, main_loop(), fd, 0, passt_gone, s);
    return true;
}

bool net_init_passt(const Netdev *netdev, Error **errp)
{
    const NetdevPasstOptions *o = &netdev->u.passt;
    g_autofree char *program =
        check_options(o, errp) ? find_program(o->path, errp) : NULL;
    g_auto(GStrv) argv = program ? make_argv(program, o) : NULL;
    int fd = argv ? start(argv, errp) : -1;
    PasstState *s;

    if (fd < 0) {
        return false;
    }
    s = g_new0(PasstState, 1);
    loop_task_init(&s->ended, main_loop(), passt_ended, s);
    if (!net_stream_conn_init(&s->conn, &s->ended, errp)) {
        close(fd);
        g_free(s);
        return false;
    }
    if (!net_stream_conn_attach(&s->conn, fd, errp)) {
        close(fd);
    } else if (passt_register(s, netdev->id, fd, program, errp)) {
        return true;
    }
    passt_close(s);
    g_free(s);
    return false;
}
