/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stream netdevs: one connection at a time, accepted or made, again when it has
 * ended.
 *
 * The next peer of a server waits in the kernel's queue. While nobody takes
 * frames (the guest has not started its device, or has no buffers) the end of
 * the connection is noticed here, and what the peer left is kept for GONE_NS.
 *
 * Threads: under the machine lock, except recv and send, which the owner of the
 * pair calls.
 */
#include "util/osdep.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include "qapi/qapi-events.h"
#include "stream-internal.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/fd.h"

#define ACCEPT_RETRY_NS 1000000000LL
#define PACE_NS         10000000LL /* between two peers of a server */
#define GONE_NS         1000000000LL

/* ---- what people see ---- */

void net_stream_show(NetStreamState *s, const char *what, const char *addr)
{
    bool old = s->nc.info->type == NET_CLIENT_DRIVER_SOCKET;

    snprintf(s->nc.info_str, sizeof(s->nc.info_str), "%s%s%.200s",
             old ? "socket: " : "", what, addr);
}

/* The other end of @fd; free with SocketAddress_free(). */
static SocketAddress *peer_address(int fd)
{
    SocketAddress *addr = g_new0(SocketAddress, 1);
    struct sockaddr_storage peer = { 0 };
    const struct sockaddr_un *un = (const struct sockaddr_un *)&peer;
    socklen_t len = sizeof(peer);
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0) {
        peer.ss_family = AF_UNSPEC;
    }
    if (peer.ss_family == AF_UNIX) {
        addr->type = SOCKET_ADDRESS_TYPE_UNIX;
        addr->u.q_unix.path = g_strndup(
            un->sun_path, len - offsetof(struct sockaddr_un, sun_path));
    } else if ((peer.ss_family == AF_INET || peer.ss_family == AF_INET6) &&
               getnameinfo((const struct sockaddr *)&peer, len, host,
                           sizeof(host), port, sizeof(port),
                           NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        addr->type = SOCKET_ADDRESS_TYPE_INET;
        addr->u.inet.host = g_strdup(host);
        addr->u.inet.port = g_strdup(port);
    } else {
        addr->type = SOCKET_ADDRESS_TYPE_FD;
        addr->u.fd.str = g_strdup("");
    }
    return addr;
}

/* "tcp:HOST:PORT" of the peer; the path that both know of a local socket. */
static char *peer_name(const NetStreamState *s, int fd)
{
    g_autofree char *inet = char_socket_peer(fd);
    bool old = s->nc.info->type == NET_CLIENT_DRIVER_SOCKET;

    return inet ? g_strdup_printf("%s%s", old ? "" : "tcp:", inet)
                : g_strdup(s->name);
}

static void MAIN_THREAD tell_connected(NetStreamState *s, int fd)
{
    g_autoptr(SocketAddress) addr = peer_address(fd);
    g_autofree char *name = peer_name(s, fd);
    q_obj_NETDEV_STREAM_CONNECTED_arg arg = { .netdev_id = s->nc.name,
                                              .addr = addr };

    if (s->nc.info->type == NET_CLIENT_DRIVER_STREAM) {
        net_stream_show(s, "", name);
        qapi_event_send_netdev_stream_connected(&arg);
    } else if (!s->server && !s->targets) {
        net_stream_show(s, "", name);
    } else {
        net_stream_show(s, s->server ? "connection from " : "connect to ",
                        name);
    }
}

static void MAIN_THREAD tell_disconnected(NetStreamState *s)
{
    q_obj_NETDEV_STREAM_DISCONNECTED_arg arg = { .netdev_id = s->nc.name };

    if (s->nc.info->type == NET_CLIENT_DRIVER_STREAM) {
        qapi_event_send_netdev_stream_disconnected(&arg);
    }
}

/* ---- a connection comes and goes ---- */

static void peer_gone(void *opaque, uint32_t events);

bool net_stream_connected(NetStreamState *s, int fd, Error **errp)
{
    int one = 1;

    /* Fails on what is not TCP, which has no such delay. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (!net_stream_conn_attach(&s->conn, fd, errp)) {
        return false;
    }
    s->since_ns = clock_now_ns();
    fd_watch_start(&s->gone_watch, main_loop(), fd, LOOP_RDHUP, peer_gone, s);
    tell_connected(s, fd);
    return true;
}

static void MAIN_THREAD connect_later(NetStreamState *s)
{
    s->next_target = 0;
    loop_timer_arm(&s->retry, clock_now_ns() + s->reconnect_ms * 1000000LL);
}

/* Ends the connection, if there is one; its descriptor is closed. */
static bool MAIN_THREAD drop_connection(NetStreamState *s, bool *broken)
{
    int fd = net_stream_conn_detach(&s->conn, broken);

    /* Nobody schedules it now. */
    loop_task_cancel(&s->ended);
    fd_watch_stop(&s->gone_watch);
    loop_timer_cancel(&s->gone);
    if (fd < 0) {
        return false;
    }
    close(fd);
    return true;
}

static void MAIN_THREAD disconnect(NetStreamState *s)
{
    bool broken;

    if (!drop_connection(s, &broken)) {
        return;
    }
    if (broken && !s->warned) {
        s->warned = true;
        warn_report("netdev '%s': the peer announced a frame of more than %u "
                    "bytes; that ends the connection",
                    s->nc.name, NET_STREAM_FRAME_MAX);
    }
    tell_disconnected(s);
    if (s->server) {
        net_stream_show(s, "listening on ", s->name);
        if (clock_now_ns() - s->since_ns < PACE_NS) {
            loop_timer_arm(&s->retry, s->since_ns + PACE_NS);
        } else {
            net_stream_listen(s);
        }
        return;
    }
    net_stream_show(s, "disconnected", "");
    if (s->targets && s->reconnect_ms) {
        connect_later(s);
    }
}

/* The pair's owner has found the end. */
static void conn_ended(void *opaque)
{
    machine_lock_assert();
    disconnect(opaque);
}

/* Waits for the rest of what a peer left to be taken, if somebody does. */
static void MAIN_THREAD await_rest(NetStreamState *s, bool first)
{
    bool rest;
    uint64_t progress = net_stream_conn_progress(&s->conn, &rest);

    if (!rest || (!first && progress == s->progress)) {
        disconnect(s);
        return;
    }
    s->progress = progress;
    loop_timer_arm(&s->gone, clock_now_ns() + GONE_NS);
}

static void peer_gone(void *opaque, uint32_t events)
{
    NetStreamState *s = opaque;

    machine_lock_assert();
    fd_watch_stop(&s->gone_watch);
    await_rest(s, true);
}

static void gone_timer(void *opaque)
{
    machine_lock_assert();
    await_rest(opaque, false);
}

/* ---- server ---- */

static void peer_waits(void *opaque, uint32_t events)
{
    NetStreamState *s = opaque;
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    machine_lock_assert();
    if (fd >= 0) {
        fd_watch_stop(&s->listen_watch);
        if (net_stream_connected(s, fd, NULL)) {
            return;
        }
        close(fd);
    } else if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) {
        return;
    }
    /* Out of descriptors or memory: do not spin, look again later. */
    fd_watch_stop(&s->listen_watch);
    loop_timer_arm(&s->retry, clock_now_ns() + ACCEPT_RETRY_NS);
}

void net_stream_listen(NetStreamState *s)
{
    fd_watch_start(&s->listen_watch, main_loop(), s->listen_fd, LOOP_IN,
                   peer_waits, s);
}

/* ---- client ---- */

static void MAIN_THREAD connect_failed(NetStreamState *s, int error)
{
    net_stream_show(s, "connection error", "");
    if (s->reconnect_ms) {
        connect_later(s);
    } else {
        warn_report("netdev '%s': cannot connect to '%s': %s", s->nc.name,
                    s->name, g_strerror(error));
    }
}

/* The attempt to connect has ended, one way or the other. */
static void connect_done(void *opaque, uint32_t events)
{
    NetStreamState *s = opaque;
    socklen_t len = sizeof(int);
    int error = 0;

    machine_lock_assert();
    fd_watch_stop(&s->connect_watch);
    if (getsockopt(s->connect_fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        error = errno;
    }
    if (error == 0 && net_stream_connected(s, s->connect_fd, NULL)) {
        s->connect_fd = -1;
        return;
    }
    fd_close(&s->connect_fd);
    if (s->next_target < s->targets->len) {
        net_stream_connect(s);
    } else {
        connect_failed(s, error ? error : ENOSPC);
    }
}

/* Tries the addresses that are left until one has to be waited for. 0, or the
 * last one's errno. */
int net_stream_connect_next(NetStreamState *s)
{
    int error = EADDRNOTAVAIL;

    while (s->next_target < s->targets->len) {
        bool pending;
        int fd = char_socket_connect(
            &g_array_index(s->targets, CharSocketTarget, s->next_target++),
            &pending);

        if (fd < 0) {
            error = -fd;
        } else if (pending) {
            s->connect_fd = fd;
            fd_watch_start(&s->connect_watch, main_loop(), fd, LOOP_OUT,
                           connect_done, s);
            return 0;
        } else if (net_stream_connected(s, fd, NULL)) {
            return 0;
        } else {
            close(fd);
            error = ENOSPC;
        }
    }
    return error;
}

void net_stream_connect(NetStreamState *s)
{
    int error = net_stream_connect_next(s);

    if (error) {
        connect_failed(s, error);
    }
}

static void retry(void *opaque)
{
    NetStreamState *s = opaque;

    machine_lock_assert();
    if (s->server) {
        net_stream_listen(s);
    } else {
        net_stream_connect(s);
    }
}

void net_stream_link_init(NetStreamState *s)
{
    s->listen_fd = s->connect_fd = -1;
    loop_timer_init(&s->retry, main_loop(), retry, s);
    loop_timer_init(&s->gone, main_loop(), gone_timer, s);
    loop_task_init(&s->ended, main_loop(), conn_ended, s);
}

void net_stream_link_stop(NetStreamState *s)
{
    fd_watch_stop(&s->listen_watch);
    fd_watch_stop(&s->connect_watch);
    loop_timer_cancel(&s->retry);
    drop_connection(s, NULL);
    fd_close(&s->connect_fd);
    fd_close(&s->listen_fd);
}
