/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -chardev socket: a stream socket, server or client, one peer at a time.
 *
 * A server accepts the next peer when the last one has gone; until then it
 * waits in the kernel's queue. A client with reconnect= tries all addresses of
 * its host, then waits. What a peer that has gone left for a front-end without
 * room is kept, but not for longer than GONE_NS when the next peer waits: a
 * guest that does not read its input must not lock its user out. File
 * descriptors that the peer passes are kept in order until somebody takes them.
 */
#include "util/osdep.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "chardev/char-internal.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/fd.h"

#define MAX_FDS            16
#define CONNECT_TIMEOUT_MS 30000
#define ACCEPT_RETRY_NS    1000000000LL
#define GONE_NS            1000000000LL

typedef struct SocketChardev {
    Chardev parent;

    /* fixed after open */
    bool server, nodelay, telnet;
    bool passes_fds;     /* a unix socket */
    uint32_t reconnect;  /* seconds; 0: never */
    char *name;          /* "unix:PATH"... */
    CharSocketFile file; /* a server's */
    GArray *targets;     /* a client's addresses; NULL: cannot connect again */

    /* machine lock */
    int listen_fd; /* -1: a client */
    int fd;        /* the peer, or the attempt to connect; -1: none */
    guint next_target;
    CharStream stream;
    CharTelnet telnet_state;
    FdWatch listen_watch, connect_watch;
    LoopTimer retry;
    int fds[MAX_FDS]; /* received, not taken */
    unsigned n_fds;
} SocketChardev;

static void socket_set_filename(SocketChardev *s)
{
    bool connected = char_stream_started(&s->stream);
    g_autofree char *peer = connected ? char_socket_peer(s->fd) : NULL;
    bool telnet = s->telnet && g_str_has_prefix(s->name, "tcp:");

    chardev_set_filename(
        &s->parent, "%s%s%s%s%s%s",
        connected ? "" : "disconnected:", telnet ? "telnet:" : "",
        s->name + (telnet ? strlen("tcp:") : 0), s->server ? ",server=on" : "",
        peer ? " <-> " : "", peer ? peer : "");
}

static ssize_t socket_recv(CharStream *stream, void *buf, size_t len)
{
    SocketChardev *s = container_of(stream, SocketChardev, stream);
    unsigned n;
    ssize_t r =
        fd_recv(s->fd, buf, len, s->fds + s->n_fds, MAX_FDS - s->n_fds, &n);

    s->n_fds += n;
    if (r > 0 && s->telnet) {
        bool brk;

        r = (ssize_t)char_telnet_take(&s->telnet_state, buf, (size_t)r, &brk);
        if (brk) {
            chardev_be_event(&s->parent, CHARDEV_EVENT_BREAK);
        }
        return r ? r : -EAGAIN;
    }
    return r;
}

static void socket_hangup(CharStream *stream);
static void socket_peer_gone(CharStream *stream);

static void socket_connected(SocketChardev *s, int fd)
{
    int one = 1;

    fd_watch_stop(&s->listen_watch);
    loop_timer_cancel(&s->retry);
    s->fd = fd;
    if (s->nodelay) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    s->stream = (CharStream){
        .chr = &s->parent,
        .in_fd = fd,
        .out_fd = fd,
        .recv = socket_recv,
        .hangup = socket_hangup,
        .peer_gone = socket_peer_gone,
    };
    char_stream_start(&s->stream);
    if (s->telnet) {
        s->telnet_state = (CharTelnet){ 0 };
        char_stream_write(&s->stream, char_telnet_greeting,
                          CHAR_TELNET_GREETING);
    }
    socket_set_filename(s);
    chardev_be_event(&s->parent, CHARDEV_EVENT_OPENED);
}

/* ---- server ---- */

/* Accepts a waiting peer. False: there is none, or it cannot be had now. */
static bool socket_accept(SocketChardev *s)
{
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        return false;
    }
    socket_connected(s, fd);
    return true;
}

static void socket_peer_waits(void *opaque, uint32_t events)
{
    SocketChardev *s = opaque;

    if (char_stream_started(&s->stream)) {
        socket_hangup(&s->stream);
    }
    if (!socket_accept(s) && errno != EAGAIN && errno != EINTR &&
        errno != ECONNABORTED) {
        /* Out of descriptors or memory: do not spin, look again later. */
        fd_watch_stop(&s->listen_watch);
        loop_timer_arm(&s->retry, clock_now_ns() + ACCEPT_RETRY_NS);
    }
}

static void socket_watch_listener(SocketChardev *s)
{
    if (!s->listen_watch.loop) {
        fd_watch_start(&s->listen_watch, main_loop(), s->listen_fd, LOOP_IN,
                       socket_peer_waits, s);
    }
}

/* How long until @deadline (-1: for ever), for poll(2). */
static int socket_time_left(int64_t deadline)
{
    int64_t left = deadline - clock_now_ns();

    return deadline < 0 ? -1 : left > 0 ? (int)(left / 1000000) + 1 : 0;
}

/* Until @deadline; wait=on: for ever, the user asked for nothing to happen
 * before a peer is there. */
static bool socket_wait_for_peer(SocketChardev *s, int64_t deadline,
                                 Error **errp)
{
    struct pollfd pfd = { .fd = s->listen_fd, .events = POLLIN };

    if (deadline < 0) {
        error_report("waiting for connection on: %s", s->parent.filename);
    }
    while (!socket_accept(s)) {
        int left = socket_time_left(deadline);

        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            error_setg_errno(errp, errno, "cannot accept on '%s'", s->name);
            return false;
        }
        if (left == 0) {
            error_setg(errp, "nobody has connected to '%s'", s->name);
            return false;
        }
        poll(&pfd, 1, left);
    }
    return true;
}

static MAIN_THREAD bool
socket_open_server(SocketChardev *s, const ChardevSocket *config, Error **errp)
{
    const SocketAddressLegacy *addr = config->addr;
    bool wait = config->has_wait && config->wait;

    if (addr->type == SOCKET_ADDRESS_TYPE_FD) {
        s->listen_fd = char_socket_from_fd(addr->u.fd.data->str, true, errp);
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
    socket_set_filename(s);
    if (wait) {
        return socket_wait_for_peer(s, -1, errp);
    }
    socket_watch_listener(s);
    return true;
}

/* ---- client ---- */

static void socket_try_connect(SocketChardev *s);

static void socket_connect_later(SocketChardev *s)
{
    loop_timer_arm(&s->retry,
                   clock_now_ns() + (int64_t)s->reconnect * 1000000000LL);
}

/* The attempt to connect has ended, one way or the other. */
static void socket_connect_done(void *opaque, uint32_t events)
{
    SocketChardev *s = opaque;
    socklen_t len = sizeof(int);
    int error = 0;

    fd_watch_stop(&s->connect_watch);
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
        fd_close(&s->fd);
        socket_try_connect(s);
        return;
    }
    socket_connected(s, s->fd);
}

/* Tries the addresses that are left; after the last, waits. */
static void socket_try_connect(SocketChardev *s)
{
    while (s->next_target < s->targets->len) {
        bool pending;
        int fd = char_socket_connect(
            &g_array_index(s->targets, CharSocketTarget, s->next_target++),
            &pending);

        if (fd >= 0 && pending) {
            s->fd = fd;
            fd_watch_start(&s->connect_watch, main_loop(), fd, LOOP_OUT,
                           socket_connect_done, s);
            return;
        }
        if (fd >= 0) {
            socket_connected(s, fd);
            return;
        }
    }
    socket_connect_later(s);
}

/* Connects to one address and waits for it. 0, or an errno. */
static int socket_connect_wait(SocketChardev *s, const CharSocketTarget *target)
{
    socklen_t len = sizeof(int);
    int error = 0;
    bool pending;
    int fd = char_socket_connect(target, &pending);
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };

    if (fd < 0) {
        return -fd;
    }
    if (pending) {
        int ready;

        do {
            ready = poll(&pfd, 1, CONNECT_TIMEOUT_MS);
        } while (ready < 0 && errno == EINTR);
        error = ETIMEDOUT;
        if (ready > 0) {
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
        }
    }
    if (error) {
        fd_close(&fd);
        return error;
    }
    socket_connected(s, fd);
    return 0;
}

static bool socket_connect_any(SocketChardev *s, Error **errp)
{
    int error = EADDRNOTAVAIL;

    for (guint i = 0; i < s->targets->len && error; i++) {
        error = socket_connect_wait(
            s, &g_array_index(s->targets, CharSocketTarget, i));
    }
    if (error) {
        error_setg_errno(errp, error, "cannot connect to '%s'", s->name);
        return false;
    }
    return true;
}

static MAIN_THREAD bool
socket_open_client(SocketChardev *s, const ChardevSocket *config, Error **errp)
{
    int fd;

    s->name = char_socket_describe(config->addr, -1);
    socket_set_filename(s);
    if (config->addr->type == SOCKET_ADDRESS_TYPE_FD) {
        fd = char_socket_from_fd(config->addr->u.fd.data->str, false, errp);
        if (fd < 0) {
            return false;
        }
        socket_connected(s, fd);
        return true;
    }
    s->targets = char_socket_resolve(config->addr, false, errp);
    if (!s->targets) {
        return false;
    }
    if (s->reconnect == 0) {
        return socket_connect_any(s, errp);
    }
    socket_try_connect(s);
    return true;
}

/* Tries all addresses, and again after each interval. */
static bool socket_wait_for_server(SocketChardev *s, int64_t deadline,
                                   Error **errp)
{
    Error *err = NULL;

    if (!s->targets || !s->reconnect) {
        error_setg(errp, "'%s' has gone, and without reconnect it stays so",
                   s->name);
        return false;
    }
    fd_watch_stop(&s->connect_watch);
    fd_close(&s->fd);
    loop_timer_cancel(&s->retry);
    if (deadline < 0) {
        error_report("waiting for connection on: %s", s->parent.filename);
    }
    while (!socket_connect_any(s, &err)) {
        int left = socket_time_left(deadline);

        if (left == 0) {
            socket_connect_later(s);
            error_propagate(errp, err);
            return false;
        }
        g_clear_pointer(&err, g_error_free);
        poll(NULL, 0,
             left < 0 ? (int)MIN(s->reconnect, 60u) * 1000 : MIN(left, 100));
    }
    return true;
}

/* ---- both ---- */

static void socket_drop_fds(SocketChardev *s)
{
    while (s->n_fds > 0) {
        fd_close(&s->fds[--s->n_fds]);
    }
}

static void socket_hangup(CharStream *stream)
{
    SocketChardev *s = container_of(stream, SocketChardev, stream);

    char_stream_stop(stream);
    fd_close(&s->fd);
    socket_drop_fds(s);
    socket_set_filename(s);
    chardev_be_event(&s->parent, CHARDEV_EVENT_CLOSED);
    chardev_be_writable(&s->parent);
    if (s->server) {
        socket_watch_listener(s);
    } else if (s->targets && s->reconnect) {
        socket_connect_later(s);
    }
}

static void socket_peer_gone(CharStream *stream)
{
    SocketChardev *s = container_of(stream, SocketChardev, stream);

    bool next = s->server ? !s->listen_watch.loop : s->reconnect > 0;

    if (next && s->retry.deadline_ns < 0) {
        loop_timer_arm(&s->retry, clock_now_ns() + GONE_NS);
    }
}

static void socket_retry(void *opaque)
{
    SocketChardev *s = opaque;

    if (s->server) {
        socket_watch_listener(s);
    } else {
        if (char_stream_started(&s->stream)) {
            socket_hangup(&s->stream);
            loop_timer_cancel(&s->retry);
        }
        s->next_target = 0;
        socket_try_connect(s);
    }
}

static bool socket_check(const ChardevSocket *config, bool server, Error **errp)
{
    const char *wrong = NULL;

    if (server && config->has_reconnect && config->reconnect) {
        wrong = "Parameter 'reconnect' is for clients only, use server=off";
    } else if (!server && config->has_wait && config->wait) {
        wrong = "Parameter 'wait' is for servers only, use server=on";
    } else if (config->has_reconnect && config->reconnect &&
               config->addr->type == SOCKET_ADDRESS_TYPE_FD) {
        wrong = "Parameter 'reconnect' does not go with 'fd': there is no "
                "address to connect to";
    }
    if (wrong) {
        error_setg(errp, "%s", wrong);
    }
    return !wrong;
}

static bool socket_is_unix(int fd)
{
    int domain = 0;
    socklen_t len = sizeof(domain);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
           domain == AF_UNIX;
}

static MAIN_THREAD bool socket_open(Chardev *chr, const ChardevBackend *backend,
                                    Error **errp)
{
    SocketChardev *s = container_of(chr, SocketChardev, parent);
    const ChardevSocket *config = backend->u.socket.data;

    s->listen_fd = -1;
    s->fd = -1;
    s->server = !config->has_server || config->server;
    s->nodelay = config->has_nodelay && config->nodelay;
    s->telnet = config->has_telnet && config->telnet;
    s->reconnect = config->has_reconnect ? config->reconnect : 0;
    loop_timer_init(&s->retry, main_loop(), socket_retry, s);
    s->passes_fds = config->addr->type == SOCKET_ADDRESS_TYPE_UNIX;
    if (!socket_check(config, s->server, errp) ||
        !(s->server ? socket_open_server(s, config, errp)
                    : socket_open_client(s, config, errp))) {
        return false;
    }
    if (config->addr->type == SOCKET_ADDRESS_TYPE_FD) {
        s->passes_fds = socket_is_unix(s->server ? s->listen_fd : s->fd);
    }
    return true;
}

static void socket_close(Chardev *chr)
{
    SocketChardev *s = container_of(chr, SocketChardev, parent);

    loop_timer_cancel(&s->retry);
    fd_watch_stop(&s->listen_watch);
    fd_watch_stop(&s->connect_watch);
    char_stream_stop(&s->stream);
    fd_close(&s->fd);
    fd_close(&s->listen_fd);
    socket_drop_fds(s);
    char_socket_remove_file(&s->file);
    g_clear_pointer(&s->targets, g_array_unref);
    g_free(s->name);
}

static size_t socket_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    SocketChardev *s = container_of(chr, SocketChardev, parent);

    return s->telnet ? char_telnet_write(&s->telnet_state, &s->stream, buf, len)
                     : char_stream_write(&s->stream, buf, len);
}

static void socket_accept_input(Chardev *chr, ChardevFrontend *fe)
{
    char_stream_accept_input(&container_of(chr, SocketChardev, parent)->stream);
}

static int socket_peer_fd(const Chardev *chr)
{
    return container_of(chr, SocketChardev, parent)->fd;
}

static bool socket_passes_fds(const Chardev *chr)
{
    const SocketChardev *s = container_of(chr, SocketChardev, parent);

    return s->passes_fds && !s->telnet;
}

static bool socket_wait_open(Chardev *chr, int timeout_ms, Error **errp)
{
    SocketChardev *s = container_of(chr, SocketChardev, parent);
    int64_t deadline =
        timeout_ms < 0 ? -1 : clock_now_ns() + timeout_ms * 1000000LL;

    return s->server ? socket_wait_for_peer(s, deadline, errp)
                     : socket_wait_for_server(s, deadline, errp);
}

static void socket_disconnect(Chardev *chr)
{
    SocketChardev *s = container_of(chr, SocketChardev, parent);

    if (char_stream_started(&s->stream)) {
        socket_hangup(&s->stream);
    }
}

static int socket_take_fd(Chardev *chr)
{
    SocketChardev *s = container_of(chr, SocketChardev, parent);
    int fd;

    if (s->n_fds == 0) {
        return -1;
    }
    fd = s->fds[0];
    s->n_fds--;
    memmove(s->fds, s->fds + 1, s->n_fds * sizeof(s->fds[0]));
    return fd;
}

const ChardevClass chardev_class_socket = {
    .instance_size = sizeof(SocketChardev),
    .open = socket_open,
    .close = socket_close,
    .write = socket_write,
    .accept_input = socket_accept_input,
    .take_fd = socket_take_fd,
    .peer_fd = socket_peer_fd,
    .passes_fds = socket_passes_fds,
    .wait_open = socket_wait_open,
    .disconnect = socket_disconnect,
};
