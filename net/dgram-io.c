/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Netdevs over a datagram socket: one frame a datagram, a burst by one system
 * call.
 *
 * What other hosts say about earlier datagrams (nobody is there...) is an error
 * of the socket that the next call reports: it says nothing about the frame at
 * hand.
 *
 * A local socket that is not connected is always said to be writable; whether
 * its peer has room only a try tells. There a timer is what the pair waits for.
 *
 * Threads: recv and send: owners of pairs; the rest under the machine lock.
 */
#include "util/osdep.h"

#include <sys/timerfd.h>

#include "dgram-internal.h"
#include "net/bare.h"
#include "net/wake.h"
#include "util/fd.h"

#define TRIES   4      /* of one call, each of which takes a stale error away */
#define ROOM_NS 200000 /* until a peer's full queue is tried again */

typedef struct NetDgramState {
    NetClientState nc; /* first: netdev_del() frees by it */

    /* fixed after creation */
    int fd;
    int room_timer; /* -1: the socket itself says when it has room */
    struct sockaddr_storage remote;
    socklen_t remote_len; /* 0: fd is connected */
    CharSocketFile file;
    NetWake wake;
} NetDgramState;

/* The messages of a burst. */
typedef struct Burst {
    struct iovec iov[NET_MAX_IOV];
    struct mmsghdr msg[IO_RING_BURST];
    unsigned n_iov, n;
} Burst;

/* Adds @iov without its header to @burst. False: it does not fit. */
static bool add_frame(Burst *burst, const struct iovec *iov, unsigned n,
                      unsigned hdr_len)
{
    struct iovec *to = burst->iov + burst->n_iov;
    int used;

    if (n > NET_MAX_IOV - burst->n_iov) {
        return false;
    }
    used = net_bare_slice(to, iov, n, hdr_len);
    if (used <= 0) {
        return false;
    }
    burst->msg[burst->n++] = (struct mmsghdr){
        .msg_hdr = { .msg_iov = to, .msg_iovlen = (size_t)used },
    };
    burst->n_iov += (unsigned)used;
    return true;
}

/* What an earlier datagram has met. */
static bool is_stale(int error)
{
    return error == ECONNREFUSED || error == EHOSTUNREACH ||
           error == ENETUNREACH || error == ECONNRESET;
}

/* ---- received ---- */

/* Messages that came, or -errno; 0: none. */
static int receive(const NetDgramState *s, Burst *burst)
{
    int r = -1;

    for (unsigned i = 0; i < TRIES && r < 0; i++) {
        r = recvmmsg(s->fd, burst->msg, burst->n, MSG_DONTWAIT, NULL);
        if (r < 0 && !is_stale(errno)) {
            break;
        }
    }
    return r >= 0 || is_stale(errno) ? MAX(r, 0) : (int)net_io_result(r);
}

/* The result of a frame that message @msg has filled. */
static ssize_t received(const struct mmsghdr *msg, IoFrame *frame,
                        unsigned hdr_len)
{
    if ((msg->msg_hdr.msg_flags & MSG_TRUNC) || !net_frame_fits(msg->msg_len)) {
        return -EMSGSIZE;
    }
    net_bare_header(frame->iov, frame->n_iov, hdr_len);
    return (ssize_t)(hdr_len + msg->msg_len);
}

static void receive_frames(const NetDgramState *s, IoFrame *frames, unsigned n,
                           unsigned hdr_len)
{
    Burst burst;
    int r, error = 0;

    burst.n = burst.n_iov = 0;
    for (unsigned i = 0; i < n; i++) {
        if (!add_frame(&burst, frames[i].iov, frames[i].n_iov, hdr_len)) {
            break;
        }
    }
    r = burst.n ? receive(s, &burst) : -EINVAL;
    if (r < 0) {
        error = r;
        r = 0;
    }
    for (unsigned i = 0; i < n; i++) {
        frames[i].result =
            i < (unsigned)r ? received(&burst.msg[i], &frames[i], hdr_len) : 0;
    }
    if (error) {
        frames[0].result = error;
    }
}

static ssize_t dgram_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    IoFrame frame = { .iov = (struct iovec *)iov, .n_iov = n };

    receive_frames(container_of(sq->nc, NetDgramState, nc), &frame, 1,
                   sq->nc->vnet_hdr_len);
    return frame.result;
}

static bool dgram_recv_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    NetClientState *nc = port->sq->nc;

    receive_frames(container_of(nc, NetDgramState, nc), frames, n,
                   nc->vnet_hdr_len);
    return true;
}

/* ---- sent ---- */

/* Sends messages from @first on: how many were taken; -errno of the first; 0:
 * there is no room. */
static int transmit(const NetDgramState *s, Burst *burst, unsigned first)
{
    int r = -1;

    for (unsigned i = 0; i < TRIES && r < 0; i++) {
        r = sendmmsg(s->fd, burst->msg + first, burst->n - first,
                     MSG_DONTWAIT | MSG_NOSIGNAL);
        if (r < 0 && !is_stale(errno)) {
            break;
        }
    }
    return (int)net_io_result(r);
}

/* There is no room: the pair waits. */
static void await_room(const NetDgramState *s)
{
    struct itimerspec soon = { .it_value = { .tv_nsec = ROOM_NS } };

    if (s->room_timer >= 0) {
        timerfd_settime(s->room_timer, 0, &soon, NULL);
    }
}

/* Sends the messages, which are those of @frames: sets their results. How many
 * are done with, taken or dropped. */
static unsigned send_burst(const NetDgramState *s, Burst *burst,
                           IoFrame *frames, unsigned hdr_len)
{
    unsigned done = 0;

    while (done < burst->n) {
        int r = transmit(s, burst, done);

        if (r == 0) {
            await_room(s);
            break;
        }
        if (r < 0) {
            frames[done++].result = r;
            continue;
        }
        for (unsigned end = done + (unsigned)r; done < end; done++) {
            frames[done].result = (ssize_t)(hdr_len + burst->msg[done].msg_len);
        }
    }
    return done;
}

/* Sends a burst from @first on as far as its messages fit; how many are done
 * with. */
static unsigned send_some(const NetDgramState *s, IoFrame *frames,
                          unsigned first, unsigned n, unsigned hdr_len)
{
    unsigned i, done;
    Burst burst;

    burst.n = burst.n_iov = 0;
    for (i = first; i < n; i++) {
        if (!add_frame(&burst, frames[i].iov, frames[i].n_iov, hdr_len)) {
            break;
        }
        burst.msg[i - first].msg_hdr.msg_name =
            s->remote_len ? (void *)&s->remote : NULL;
        burst.msg[i - first].msg_hdr.msg_namelen = s->remote_len;
    }
    if (burst.n == 0) {
        frames[first].result = -EINVAL; /* nothing, or too much of it */
        return 1;
    }
    done = send_burst(s, &burst, frames + first, hdr_len);
    for (unsigned k = first + done; k < i; k++) {
        frames[k].result = 0;
    }
    return done < burst.n ? 0 : done;
}

static void send_frames(const NetDgramState *s, IoFrame *frames, unsigned n,
                        unsigned hdr_len)
{
    unsigned first = 0, done = 1;

    while (first < n && done > 0) {
        done = send_some(s, frames, first, n, hdr_len);
        first += done;
    }
}

static ssize_t dgram_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    IoFrame frame = { .iov = (struct iovec *)iov, .n_iov = n };

    send_frames(container_of(sq->nc, NetDgramState, nc), &frame, 1,
                sq->nc->vnet_hdr_len);
    return frame.result;
}

static bool dgram_send_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    NetClientState *nc = port->sq->nc;

    for (unsigned i = 0; i < n; i++) {
        frames[i].result = 0;
    }
    send_frames(container_of(nc, NetDgramState, nc), frames, n,
                nc->vnet_hdr_len);
    return true;
}

/* ---- the netdev ---- */

static void dgram_cleanup(NetClientState *nc)
{
    NetDgramState *s = container_of(nc, NetDgramState, nc);

    net_wake_free(&s->wake);
    fd_close(&s->room_timer);
    fd_close(&s->fd);
    char_socket_remove_file(&s->file);
    nc->queue[0].fd = nc->queue[0].room_fd = -1;
}

#define DGRAM_INFO(driver)                                              \
    {                                                                   \
        .type = (driver), .recv = dgram_recv, .send = dgram_send,       \
        .recv_burst = dgram_recv_burst, .send_burst = dgram_send_burst, \
        .cleanup = dgram_cleanup,                                       \
    }

static const NetClientInfo dgram_info = DGRAM_INFO(NET_CLIENT_DRIVER_DGRAM);
static const NetClientInfo socket_info = DGRAM_INFO(NET_CLIENT_DRIVER_SOCKET);

/* What the pair waits for. */
static bool open_waits(NetDgramState *s, Error **errp)
{
    if (!net_wake_init(&s->wake, errp) ||
        !net_wake_attach(&s->wake, s->fd, errp)) {
        return false;
    }
    s->nc.queue[0].fd = s->wake.fd;
    s->nc.queue[0].room_fd = s->wake.room_fd;
    if (s->remote_len == 0 || s->remote.ss_family != AF_UNIX) {
        return true;
    }
    s->room_timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (s->room_timer < 0) {
        error_setg_errno(errp, errno, "cannot make a timer");
        return false;
    }
    s->nc.queue[0].room_fd = s->room_timer;
    return true;
}

bool net_dgram_create(NetDgramSetup *setup, Error **errp)
{
    const NetClientInfo *info =
        setup->type == NET_CLIENT_DRIVER_DGRAM ? &dgram_info : &socket_info;
    NetDgramState *s = g_new0(NetDgramState, 1);

    s->fd = setup->fd;
    s->room_timer = -1;
    s->remote = setup->remote;
    s->remote_len = setup->remote_len;
    s->file = setup->file;
    s->wake = (NetWake){ -1, -1, -1, -1 };
    if (!net_client_register(&s->nc, info, setup->id, 1, errp)) {
        fd_close(&s->fd);
        char_socket_remove_file(&s->file);
        g_free(s);
        return false;
    }
    s->nc.vnet_hdr_len = VNET_HDR_V1;
    g_strlcpy(s->nc.info_str, setup->info, sizeof(s->nc.info_str));
    if (!open_waits(s, errp) || !net_client_rejoin(&s->nc, errp)) {
        dgram_cleanup(&s->nc);
        net_client_unregister(&s->nc);
        g_free(s);
        return false;
    }
    return true;
}
