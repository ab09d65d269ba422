/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev l2tpv3: its options and its socket.
 *
 * The socket is not connected: whoever knows session and cookie may send, as
 * the other end may be behind an address translator, and no error that the
 * network tells of us ends anything.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <netdb.h>
#include <sys/socket.h>

#include "chardev/socket-address.h"
#include "l2tpv3-internal.h"
#include "net/clients.h"
#include "util/fd.h"

#ifndef IPPROTO_L2TP
#define IPPROTO_L2TP 115
#endif

static void l2tpv3_cleanup(NetClientState *nc) MAIN_THREAD
{
    L2tpv3State *s = container_of(nc, L2tpv3State, nc);

    if (s->fd >= 0) {
        net_wake_detach(&s->wake, s->fd);
        fd_close(&s->fd);
        net_wake_free(&s->wake);
    }
}

static const NetClientInfo l2tpv3_info = {
    .type = NET_CLIENT_DRIVER_L2TPV3,
    .recv = l2tpv3_recv,
    .send = l2tpv3_send,
    .recv_burst = l2tpv3_recv_burst,
    .send_burst = l2tpv3_send_burst,
    .cleanup = l2tpv3_cleanup,
};

/* ---- options ---- */

static bool check_ports(const NetdevL2TPv3Options *o, Error **errp)
{
    bool udp = o->has_udp && o->udp;

    if (udp && (!o->srcport || !o->dstport)) {
        error_setg(errp, "%s= is missing: udp=on needs srcport= and dstport=",
                   o->srcport ? "dstport" : "srcport");
        return false;
    }
    if (!udp && (o->srcport || o->dstport)) {
        error_setg(errp, "%s=%s: ports are for udp=on, which is not given",
                   o->srcport ? "srcport" : "dstport",
                   o->srcport ? o->srcport : o->dstport);
        return false;
    }
    return !udp || (char_socket_check_port("srcport", o->srcport, errp) &&
                    char_socket_check_port("dstport", o->dstport, errp));
}

static bool check_cookie(const char *name, uint64_t cookie, bool wide,
                         Error **errp)
{
    if (!wide && cookie > UINT32_MAX) {
        error_setg(errp,
                   "%s=%#" PRIx64 ": has more than 32 bits; use cookie64=on",
                   name, cookie);
        return false;
    }
    return true;
}

static bool read_format(const NetdevL2TPv3Options *o, L2tpv3Format *f,
                        Error **errp)
{
    bool wide = o->has_cookie64 && o->cookie64;

    if (o->has_txcookie != o->has_rxcookie) {
        error_setg(errp, "%s= is missing: both cookies are given, or none",
                   o->has_txcookie ? "rxcookie" : "txcookie");
        return false;
    }
    if (!check_ports(o, errp) ||
        !check_cookie("txcookie", o->txcookie, wide, errp) ||
        !check_cookie("rxcookie", o->rxcookie, wide, errp)) {
        return false;
    }
    if (o->has_offset && o->offset > L2TPV3_OFFSET_MAX) {
        error_setg(errp, "offset=%u: must be at most %u", o->offset,
                   L2TPV3_OFFSET_MAX);
        return false;
    }
    *f = (L2tpv3Format){
        .udp = o->has_udp && o->udp,
        .counter = o->has_counter && o->counter,
        .pinned = o->has_pincounter && o->pincounter,
        .cookie_len = !o->has_txcookie ? 0
                      : wide           ? 8
                                       : 4,
        .offset = o->has_offset ? o->offset : 0,
        .tx_session = o->txsession,
        .rx_session = o->has_rxsession ? o->rxsession : o->txsession,
        .tx_cookie = o->txcookie,
        .rx_cookie = o->rxcookie,
    };
    f->before = !f->udp && !(o->has_ipv6 && o->ipv6) ? L2TPV3_IP_HEADER : 0;
    return true;
}

/* ---- the socket ---- */

static struct addrinfo *resolve(const char *option, const char *host,
                                const char *port, bool ipv6, Error **errp)
{
    struct addrinfo hints = { .ai_family = ipv6 ? AF_INET6 : AF_INET,
                              .ai_socktype = SOCK_DGRAM };
    struct addrinfo *found;
    int err = getaddrinfo(host, port, &hints, &found);

    if (err) {
        error_setg(errp, "%s=%s%s%s: no such address of %s: %s", option, host,
                   port ? ", port " : "", port ? port : "",
                   ipv6 ? "IPv6" : "IPv4 (ipv6=on is for the other kind)",
                   gai_strerror(err));
        return NULL;
    }
    return found;
}

static int open_socket(const NetdevL2TPv3Options *o, const struct addrinfo *src,
                       bool udp, Error **errp)
{
    int fd =
        udp ? socket(src->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                     0)
            : socket(src->ai_family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                     IPPROTO_L2TP);

    if (fd < 0) {
        error_setg_errno(
            errp, errno, "cannot open a%s",
            udp ? " UDP socket"
                : " raw socket (which needs CAP_NET_RAW; udp=on does "
                  "without)");
        return -1;
    }
    if (bind(fd, src->ai_addr, src->ai_addrlen) < 0) {
        error_setg_errno(errp, errno, "src=%s%s%s: cannot bind to it", o->src,
                         udp ? ", srcport=" : "", udp ? o->srcport : "");
        fd_close(&fd);
    }
    return fd;
}

/* Sets the other end, whose addresses @dst are, and opens ours. */
static bool open_ends(L2tpv3State *s, const NetdevL2TPv3Options *o,
                      Error **errp)
{
    bool ipv6 = o->has_ipv6 && o->ipv6;
    struct addrinfo *src = resolve("src", o->src, o->srcport, ipv6, errp);
    struct addrinfo *dst =
        src ? resolve("dst", o->dst, o->dstport, ipv6, errp) : NULL;

    if (dst) {
        memcpy(&s->dst, dst->ai_addr, dst->ai_addrlen);
        s->dst_len = dst->ai_addrlen;
        s->fd = open_socket(o, src, s->format.udp, errp);
        freeaddrinfo(dst);
    }
    if (src) {
        freeaddrinfo(src);
    }
    return s->fd >= 0;
}

static void describe(L2tpv3State *s, const NetdevL2TPv3Options *o)
{
    bool udp = s->format.udp;

    snprintf(s->nc.info_str, sizeof(s->nc.info_str),
             "%s,src=%.64s%s%.8s,dst=%.64s%s%.8s,txsession=%u,rxsession=%u",
             udp ? "udp" : "ip", o->src, udp ? ":" : "", udp ? o->srcport : "",
             o->dst, udp ? ":" : "", udp ? o->dstport : "",
             s->format.tx_session, s->format.rx_session);
}

static bool start(L2tpv3State *s, const Netdev *netdev, Error **errp)
    MAIN_THREAD
{
    if (!net_client_register(&s->nc, &l2tpv3_info, netdev->id, 1, errp)) {
        return false;
    }
    s->nc.vnet_hdr_len = VNET_HDR_V1;
    s->nc.queue[0].fd = s->wake.fd;
    s->nc.queue[0].room_fd = s->wake.room_fd;
    describe(s, &netdev->u.l2tpv3);
    if (!net_client_rejoin(&s->nc, errp)) {
        net_client_unregister(&s->nc);
        return false;
    }
    return true;
}

bool net_init_l2tpv3(const Netdev *netdev, Error **errp)
{
    const NetdevL2TPv3Options *o = &netdev->u.l2tpv3;
    L2tpv3State *s = g_new0(L2tpv3State, 1);

    s->fd = -1;
    if (!read_format(o, &s->format, errp) || !open_ends(s, o, errp)) {
        g_free(s);
        return false;
    }
    if (!net_wake_init(&s->wake, errp)) {
        fd_close(&s->fd);
        g_free(s);
        return false;
    }
    if (!net_wake_attach(&s->wake, s->fd, errp) || !start(s, netdev, errp)) {
        l2tpv3_cleanup(&s->nc);
        g_free(s);
        return false;
    }
    return true;
}
