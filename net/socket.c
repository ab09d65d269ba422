/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev socket: the older spelling of stream and dgram netdevs. */
#include "util/osdep.h"

#include "dgram-internal.h"
#include "stream-internal.h"
#include "util/fdset.h"

/* HOST:PORT as an address; free with SocketAddress_free(). */
static SocketAddress *parse(const char *text, const char *option, Error **errp)
{
    const char *colon = strrchr(text, ':');
    SocketAddress *addr;
    size_t len;

    if (!colon || !colon[1]) {
        g_autofree char *shown = qapi_quote(text);

        error_setg(errp, "Parameter '%s' expects HOST:PORT, not '%s'", option,
                   shown);
        return NULL;
    }
    len = (size_t)(colon - text);
    if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
        text++; /* IPv6 */
        len -= 2;
    }
    addr = g_new0(SocketAddress, 1);
    addr->type = SOCKET_ADDRESS_TYPE_INET;
    addr->u.inet.host = g_strndup(text, len);
    addr->u.inet.port = g_strdup(colon + 1);
    return addr;
}

static bool MAIN_THREAD make_stream(const char *id, const SocketAddress *addr,
                                    bool server, Error **errp)
{
    NetStreamSetup setup = { .id = id,
                             .type = NET_CLIENT_DRIVER_SOCKET,
                             .addr = addr,
                             .server = server };

    return net_stream_create(&setup, errp);
}

static bool MAIN_THREAD take_fd(const char *id, const char *text, Error **errp)
{
    SocketAddress addr = { .type = SOCKET_ADDRESS_TYPE_FD };
    NetDgramSetup setup = { .id = id,
                            .type = NET_CLIENT_DRIVER_SOCKET,
                            .fd = -1 };
    int fd = fd_from_text(text, "fd", errp);
    socklen_t len = sizeof(int);
    int type;

    if (fd < 0) {
        return false;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0) {
        error_setg(errp, "Parameter 'fd' expects a socket, which %s is not",
                   text);
        return false;
    }
    if (type == SOCK_DGRAM) {
        return net_dgram_open_fd(&setup, text, errp) &&
               net_dgram_create(&setup, errp);
    }
    addr.u.fd.str = (char *)text;
    return make_stream(id, &addr, false, errp);
}

static bool MAIN_THREAD make_tcp(const char *id, const char *text, bool server,
                                 Error **errp)
{
    g_autoptr(SocketAddress) addr =
        parse(text, server ? "listen" : "connect", errp);

    return addr && make_stream(id, addr, server, errp);
}

static bool MAIN_THREAD make_mcast(const char *id, const NetdevSocketOptions *o,
                                   Error **errp)
{
    g_autoptr(SocketAddress) addr = parse(o->mcast, "mcast", errp);
    NetDgramSetup setup = { .id = id,
                            .type = NET_CLIENT_DRIVER_SOCKET,
                            .fd = -1 };

    if (!addr || !net_dgram_resolve(&addr->u.inet, &setup.remote,
                                    &setup.remote_len, errp)) {
        return false;
    }
    if (!net_dgram_is_mcast(&setup.remote)) {
        g_autofree char *shown = qapi_quote(o->mcast);

        error_setg(errp,
                   "Parameter 'mcast' expects an IPv4 multicast address "
                   "(224.0.0.0 to 239.255.255.255) and a port, not '%s'",
                   shown);
        return false;
    }
    return net_dgram_open_mcast(&setup, o->localaddr, errp) &&
           net_dgram_create(&setup, errp);
}

static bool MAIN_THREAD make_udp(const char *id, const NetdevSocketOptions *o,
                                 Error **errp)
{
    g_autoptr(SocketAddress) remote = parse(o->udp, "udp", errp);
    g_autoptr(SocketAddress) local =
        remote ? parse(o->localaddr, "localaddr", errp) : NULL;
    NetDgramSetup setup = { .id = id,
                            .type = NET_CLIENT_DRIVER_SOCKET,
                            .fd = -1 };

    return local &&
           net_dgram_resolve(&remote->u.inet, &setup.remote, &setup.remote_len,
                             errp) &&
           net_dgram_open_inet(&setup, &local->u.inet, errp) &&
           net_dgram_create(&setup, errp);
}

static bool check(const NetdevSocketOptions *o, Error **errp)
{
    unsigned n = !!o->fd + !!o->listen + !!o->connect + !!o->mcast + !!o->udp;

    if (n != 1) {
        error_setg(errp, "exactly one of fd=, listen=, connect=, mcast= or "
                         "udp= is required");
    } else if (o->localaddr && !o->mcast && !o->udp) {
        error_setg(errp, "localaddr= is only valid with mcast= or udp=");
    } else if (o->udp && !o->localaddr) {
        error_setg(errp, "localaddr= is mandatory with udp=: the [HOST]:PORT "
                         "to receive at");
    } else {
        return true;
    }
    return false;
}

bool net_init_socket(const Netdev *netdev, Error **errp)
{
    const NetdevSocketOptions *o = &netdev->u.socket;

    if (!check(o, errp)) {
        return false;
    }
    if (o->fd) {
        return take_fd(netdev->id, o->fd, errp);
    }
    if (o->listen || o->connect) {
        return make_tcp(netdev->id, o->listen ? o->listen : o->connect,
                        o->listen != NULL, errp);
    }
    return o->mcast ? make_mcast(netdev->id, o, errp)
                    : make_udp(netdev->id, o, errp);
}
