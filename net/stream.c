/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev stream, and the netdev that it shares with -netdev socket. */
#include "util/osdep.h"

#include "net/bare.h"
#include "stream-internal.h"
#include "system/machine-lock.h"
#include "util/fd.h"
#include "util/fdset.h"

/* ---- the netdev ---- */

static ssize_t stream_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    NetStreamState *s = container_of(sq->nc, NetStreamState, nc);

    return net_stream_conn_recv(&s->conn, iov, n, sq->nc->vnet_hdr_len);
}

static ssize_t stream_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    NetStreamState *s = container_of(sq->nc, NetStreamState, nc);
    IoFrame frame = { .iov = (struct iovec *)iov, .n_iov = n };

    net_stream_conn_send(&s->conn, &frame, 1, sq->nc->vnet_hdr_len);
    return frame.result;
}

static bool stream_send_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    NetStreamState *s = container_of(port->sq->nc, NetStreamState, nc);

    net_stream_conn_send(&s->conn, frames, n, port->sq->nc->vnet_hdr_len);
    return true;
}

static void stream_cleanup(NetClientState *nc)
{
    NetStreamState *s = container_of(nc, NetStreamState, nc);

    machine_lock_assert();
    net_stream_link_stop(s);
    char_socket_remove_file(&s->file);
    g_clear_pointer(&s->targets, g_array_unref);
    g_clear_pointer(&s->name, g_free);
    net_stream_conn_free(&s->conn);
    nc->queue[0].fd = nc->queue[0].room_fd = -1;
}

#define STREAM_INFO(driver)                                         \
    {                                                               \
        .type = (driver), .recv = stream_recv, .send = stream_send, \
        .send_burst = stream_send_burst, .cleanup = stream_cleanup, \
    }

static const NetClientInfo stream_info = STREAM_INFO(NET_CLIENT_DRIVER_STREAM);
static const NetClientInfo socket_info = STREAM_INFO(NET_CLIENT_DRIVER_SOCKET);

/* ---- making one ---- */

/* @addr in its older form, which points into it. */
static void nested_address(const SocketAddress *addr,
                           SocketAddressLegacy *nested)
{
    nested->type = addr->type;
    switch (addr->type) {
    case SOCKET_ADDRESS_TYPE_INET:
        nested->u.inet.data = (InetSocketAddress *)&addr->u.inet;
        break;
    case SOCKET_ADDRESS_TYPE_UNIX:
        nested->u.q_unix.data = (UnixSocketAddress *)&addr->u.q_unix;
        break;
    default:
        nested->u.fd.data = (String *)&addr->u.fd;
        break;
    }
}

static bool check_socket(const char *text, bool server, Error **errp)
    MAIN_THREAD
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(int), peer_len = sizeof(peer);
    int fd = fd_from_text(text, "fd", errp);
    int type;

    if (fd < 0) {
        return false;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
        type != SOCK_STREAM) {
        error_setg(errp,
                   "Parameter 'fd' expects a stream socket, which %s is "
                   "not",
                   text);
        return false;
    }
    if (!server && getpeername(fd, (struct sockaddr *)&peer, &peer_len) < 0) {
        error_setg_errno(errp, errno,
                         "Parameter 'fd' expects a connected socket, but %s",
                         text);
        return false;
    }
    return true;
}

static bool MAIN_THREAD open_fd(NetStreamState *s, const char *text,
                                Error **errp)
{
    int fd = check_socket(text, false, errp)
                 ? char_socket_from_fd(text, false, errp)
                 : -1;

    if (fd < 0) {
        return false;
    }
    s->name = s->nc.info->type == NET_CLIENT_DRIVER_SOCKET
                  ? g_strdup_printf("fd=%d", fd)
                  : g_strdup_printf("fd:%d", fd);
    if (!net_stream_connected(s, fd, errp)) {
        close(fd);
        return false;
    }
    return true;
}

static bool MAIN_THREAD
open_server(NetStreamState *s, const SocketAddressLegacy *addr, Error **errp)
{
    if (addr->type == SOCKET_ADDRESS_TYPE_FD) {
        const char *text = addr->u.fd.data->str;

        s->listen_fd = check_socket(text, true, errp)
                           ? char_socket_from_fd(text, true, errp)
                           : -1;
    } else {
        g_autoptr(GArray) targets = char_socket_resolve(addr, true, errp);

        s->listen_fd = targets ? char_socket_listen(addr, targets, errp) : -1;
    }
    if (s->listen_fd < 0) {
        return false;
    }
    if (addr->type == SOCKET_ADDRESS_TYPE_UNIX) {
        char_socket_note_file(&s->file, addr->u.q_unix.data);
    }
    s->name = char_socket_describe(addr, s->listen_fd);
    net_stream_show(s, "listening on ", s->name);
    net_stream_listen(s);
    return true;
}

static bool MAIN_THREAD
open_client(NetStreamState *s, const SocketAddressLegacy *addr, Error **errp)
{
    int error;

    if (addr->type == SOCKET_ADDRESS_TYPE_FD) {
        return open_fd(s, addr->u.fd.data->str, errp);
    }
    s->targets = char_socket_resolve(addr, false, errp);
    if (!s->targets) {
        return false;
    }
    s->name = char_socket_describe(addr, -1);
    net_stream_show(s, "connecting to ", s->name);
    if (s->reconnect_ms) {
        net_stream_connect(s);
        return true;
    }
    error = net_stream_connect_next(s);
    if (error) {
        error_setg_errno(
            errp, error, "cannot connect to '%s' (start the server first%s)",
            s->name,
            s->nc.info == &stream_info ? ", or let reconnect-ms= try again"
                                       : "");
    }
    return error == 0;
}

static bool MAIN_THREAD open_stream(NetStreamState *s,
                                    const NetStreamSetup *setup, Error **errp)
{
    SocketAddressLegacy addr;

    s->server = setup->server;
    s->reconnect_ms = setup->reconnect_ms;
    s->nc.caps.buffers = true;
    s->nc.vnet_hdr_len = VNET_HDR_V1;
    s->nc.queue[0].fd = s->conn.wake.fd;
    s->nc.queue[0].room_fd = s->conn.wake.room_fd;
    nested_address(setup->addr, &addr);
    return s->server ? open_server(s, &addr, errp)
                     : open_client(s, &addr, errp);
}

bool net_stream_create(const NetStreamSetup *setup, Error **errp)
{
    const NetClientInfo *info =
        setup->type == NET_CLIENT_DRIVER_STREAM ? &stream_info : &socket_info;
    NetStreamState *s = g_new0(NetStreamState, 1);

    net_stream_link_init(s);
    if (!net_stream_conn_init(&s->conn, &s->ended, errp)) {
        g_free(s);
        return false;
    }
    if (!net_client_register(&s->nc, info, setup->id, 1, errp)) {
        net_stream_conn_free(&s->conn);
        g_free(s);
        return false;
    }
    if (!open_stream(s, setup, errp) || !net_client_rejoin(&s->nc, errp)) {
        stream_cleanup(&s->nc);
        net_client_unregister(&s->nc);
        g_free(s);
        return false;
    }
    return true;
}

/* Milliseconds, 0: never; -1: an error. */
static int64_t reconnect_of(const NetdevStreamOptions *o, Error **errp)
{
    bool server = o->has_server && o->server;
    int64_t ms =
        o->has_reconnect ? o->reconnect * INT64_C(1000) : o->reconnect_ms;
    const char *wrong = NULL;

    if (o->has_reconnect && o->has_reconnect_ms) {
        error_setg(errp, "Parameters 'reconnect' and 'reconnect-ms' are "
                         "mutually exclusive; use one of them");
        return -1;
    }
    if (ms && server) {
        wrong = "is for clients only, use server=off";
    } else if (ms && o->addr->type == SOCKET_ADDRESS_TYPE_FD) {
        wrong = "does not go with addr.type=fd: there is no address to "
                "connect to";
    }
    if (wrong) {
        error_setg(errp, "Parameter '%s' %s",
                   o->has_reconnect ? "reconnect" : "reconnect-ms", wrong);
        return -1;
    }
    return ms;
}

bool net_init_stream(const Netdev *netdev, Error **errp)
{
    const NetdevStreamOptions *o = &netdev->u.stream;
    NetStreamSetup setup = { .id = netdev->id,
                             .type = NET_CLIENT_DRIVER_STREAM,
                             .addr = o->addr,
                             .server = o->has_server && o->server,
                             .reconnect_ms = reconnect_of(o, errp) };

    return setup.reconnect_ms >= 0 && net_stream_create(&setup, errp);
}
