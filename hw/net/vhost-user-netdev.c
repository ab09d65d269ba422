/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev vhost-user: the rings of the NIC are served by another process, at
 * the other end of a character device that is a unix socket.
 *
 * The process may come and go. While it is away the driver sees the link down
 * and nobody serves its rings; when it is back (and can do what the driver
 * uses), they go on where they were. Frames pass here where an iothread has the
 * pair (vhost-user-shadow.h); else only announcements come, which the process
 * is asked to send.
 *
 * Who connects is asked one question, and the main loop goes on until there is
 * an answer; the further ones are waited for. One that turns out to be useless
 * is dropped, and the next one has to wait, longer each time, as it has to
 * after slow ones: so a process that fools us again and again costs the machine
 * little.
 *
 * Here and not in net/, which knows nothing of rings: this netdev is joined to
 * them from the start.
 *
 * Threads: under the machine lock, but for frames of a pair that an iothread
 * has: those in that.
 */
#include "util/osdep.h"

#include <arpa/inet.h>
#include <netinet/if_ether.h>
#include <sys/socket.h>

#include "chardev/char.h"
#include "hw/virtio/vhost-user-shadow.h"
#include "net/clients.h"
#include "qapi/qapi-events.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/fd.h"
#include "util/iov.h"

#define NS_PER_MS G_GINT64_CONSTANT(1000000)

/* Who connects after a useless one waits so long, doubled each time. */
#define PENALTY_MIN_MS 250u
#define PENALTY_MAX_MS 60000u

/* Somebody who comes and goes does so no oftener than that. */
#define CALM_MS 50

/* A command waits so long for somebody who is about to connect. */
#define HOT_WAIT_MS 1000

typedef struct NetVhostUser {
    NetClientState nc;

    /* fixed after creation */
    ChardevFrontend chr;
    VhostUser *user;

    /* main thread */
    FdWatch watch;      /* of the connection: an answer, or its end */
    LoopTimer timer;    /* the answer is late; or the penalty is over */
    bool asked;         /* the first question is out */
    bool up;            /* told of as connected */
    bool starting;      /* net_init_vhost_user() waits itself */
    unsigned useless;   /* connections in a row */
    int64_t not_before; /* the next one is talked to */
} NetVhostUser;

static NetVhostUser *from_nc(NetClientState *nc)
{
    return container_of(nc, NetVhostUser, nc);
}

/* ---- up and down ---- */

static void tell_nic(NetVhostUser *s) MAIN_THREAD
{
    NetClientState *nic = s->nc.peer;

    if (nic && nic->link_changed) {
        nic->link_changed(nic);
    }
}

static void tell_connected(NetVhostUser *s) MAIN_THREAD
{
    q_obj_NETDEV_VHOST_USER_CONNECTED_arg arg = {
        .netdev_id = s->nc.name,
        .chardev_id = (char *)chardev_label(s->chr.chr),
    };

    qapi_event_send_netdev_vhost_user_connected(&arg);
}

static void go_up(NetVhostUser *s) MAIN_THREAD
{
    s->up = true;
    s->nc.no_carrier = !vhost_user_link_up(s->user);
    s->not_before = clock_now_ns() + CALM_MS * NS_PER_MS;
    tell_nic(s);
    /* One that takes rings, and does not take its time, is of use. */
    if (vhost_user_ready(s->user) && vhost_user_is_quick(s->user)) {
        s->useless = 0;
    }
}

/* Nothing is sent to the connection any more. */
static void go_down(NetVhostUser *s) MAIN_THREAD
{
    q_obj_NETDEV_VHOST_USER_DISCONNECTED_arg arg = { .netdev_id = s->nc.name };

    fd_watch_stop(&s->watch);
    loop_timer_cancel(&s->timer);
    s->asked = false;
    vhost_user_disconnect(s->user);
    if (s->up) {
        s->up = false;
        s->nc.no_carrier = true;
        tell_nic(s);
        qapi_event_send_netdev_vhost_user_disconnected(&arg);
    }
}

/* The process says so. */
static void link_changed(void *opaque) MAIN_THREAD
{
    NetVhostUser *s = opaque;

    if (s->up) {
        s->nc.no_carrier = !vhost_user_link_up(s->user);
        tell_nic(s);
    }
}

static void drop(NetVhostUser *s, const char *why) MAIN_THREAD
{
    int64_t ms = PENALTY_MIN_MS << MIN(s->useless, 16u);

    warn_report("netdev '%s': the vhost-user back-end is dropped: %s",
                s->nc.name, why);
    s->useless++;
    s->asked = false;
    s->not_before = clock_now_ns() + MIN(ms, PENALTY_MAX_MS) * NS_PER_MS;
    if (s->chr.chr && chardev_is_open(s->chr.chr)) {
        chardev_disconnect(&s->chr);
    }
    go_down(s);
}

static void connection_failed(void *opaque, const char *why) MAIN_THREAD
{
    g_autofree char *text = g_strdup(why);

    drop(opaque, text);
}

/* ---- a connection ---- */

/* What the driver uses has to be there again. */
static bool check_nic(NetVhostUser *s, Error **errp) MAIN_THREAD
{
    NetClientState *nic = s->nc.peer;

    return !nic || !nic->info->peer_ready || nic->info->peer_ready(nic, errp);
}

static void negotiate(NetVhostUser *s) MAIN_THREAD
{
    Error *err = NULL;
    bool other_may;

    loop_timer_cancel(&s->timer);
    if (vhost_user_negotiate(s->user, &other_may, &err) && check_nic(s, &err)) {
        tell_connected(s);
        go_up(s);
        return;
    }
    drop(s, err->message);
    g_error_free(err);
}

static void connection_input(void *opaque, uint32_t events) MAIN_THREAD
{
    NetVhostUser *s = opaque;
    uint8_t byte;
    ssize_t r;

    if (!s->up) {
        negotiate(s);
        return;
    }
    r = recv(s->watch.fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT);
    if (r > 0) {
        drop(s, "it sent what nobody asked for");
    } else if (r == 0 || (errno != EAGAIN && errno != EINTR)) {
        chardev_disconnect(&s->chr);
        go_down(s);
    }
}

static void ask(NetVhostUser *s) MAIN_THREAD
{
    int fd = chardev_peer_fd(&s->chr);

    if (fd < 0) {
        return;
    }
    s->asked = true;
    vhost_user_connect(s->user, fd);
    if (!s->starting) {
        fd_watch_start(&s->watch, main_loop(), fd, LOOP_IN, connection_input,
                       s);
        loop_timer_arm(&s->timer,
                       clock_now_ns() + VHOST_USER_ANSWER_MS * NS_PER_MS);
    }
}

static void time_over(void *opaque)
{
    NetVhostUser *s = opaque;

    machine_lock_assert();
    if (s->asked) {
        drop(s, "GET_FEATURES: no answer in time");
    } else {
        ask(s);
    }
}

static void connection_event(void *opaque, ChardevEvent event) MAIN_THREAD
{
    NetVhostUser *s = opaque;

    if (event == CHARDEV_EVENT_CLOSED) {
        if (s->asked && !s->up && !s->starting) {
            warn_report("netdev '%s': the vhost-user back-end closed the "
                        "connection before it answered",
                        s->nc.name);
        }
        go_down(s);
    } else if (event == CHARDEV_EVENT_OPENED) {
        int64_t at = MAX(s->not_before, vhost_user_not_before(s->user));

        if (!s->starting && clock_now_ns() < at) {
            loop_timer_arm(&s->timer, at);
        } else {
            ask(s);
        }
    }
}

static const ChardevFrontendOps frontend_ops = {
    .event = connection_event,
};

/* ---- frames that are not the driver's ---- */

/* An announcement goes out as the process sends it; there is no other frame
 * that could go anywhere. */
static ssize_t send_announcement(NetSubqueue *sq, const struct iovec *iov,
                                 unsigned n) MAIN_THREAD
{
    NetVhostUser *s = from_nc(sq->nc);
    struct ether_header eth;
    size_t len = iov_size(iov, n);

    if (s->user &&
        iov_to_buf(iov, n, sq->nc->vnet_hdr_len, &eth, sizeof(eth)) ==
            sizeof(eth) &&
        eth.ether_type == htons(ETHERTYPE_REVARP)) {
        vhost_user_send_rarp(s->user, eth.ether_shost);
    }
    return (ssize_t)len;
}

/* ---- frames of a pair that is served here ---- */

/* NULL: its pair is with the process, or nobody serves it. */
static VhostUserShadow *shadow_of(const NetSubqueue *sq)
{
    NetVhostUser *s = from_nc(sq->nc);

    return s->user ? vhost_user_shadow(s->user, sq->index) : NULL;
}

static ssize_t vhost_user_netdev_recv(NetSubqueue *sq, const struct iovec *iov,
                                      unsigned n)
{
    VhostUserShadow *shadow = shadow_of(sq);

    return shadow ? vhost_user_shadow_recv(shadow, iov, n) : 0;
}

static ssize_t vhost_user_netdev_send(NetSubqueue *sq, const struct iovec *iov,
                                      unsigned n)
{
    VhostUserShadow *shadow = shadow_of(sq);
    ssize_t len;

    if (!shadow || !vhost_user_shadow_runs(shadow)) {
        machine_lock_assert();
        return send_announcement(sq, iov, n);
    }
    len = vhost_user_shadow_send(shadow, iov, n);
    vhost_user_shadow_flush(shadow);
    return len;
}

static bool vhost_user_netdev_send_burst(const NetPort *port, IoFrame *frames,
                                         unsigned n)
{
    VhostUserShadow *shadow = shadow_of(port->sq);
    bool more = true;

    for (unsigned i = 0; i < n; i++) {
        frames[i].result = more ? vhost_user_shadow_send(shadow, frames[i].iov,
                                                         frames[i].n_iov)
                                : 0;
        more = more && frames[i].result != 0;
    }
    vhost_user_shadow_flush(shadow);
    return true;
}

/* ---- made and deleted ---- */

static void vhost_user_cleanup(NetClientState *nc)
{
    NetVhostUser *s = from_nc(nc);

    machine_lock_assert();
    /* What the process was told is nothing that the next netdev could use. */
    s->up = false;
    go_down(s);
    if (s->chr.chr) {
        ChardevFrontend chr = s->chr;

        chardev_detach(&s->chr);
        chardev_disconnect(&chr);
    }
    g_clear_pointer(&s->user, vhost_user_free);
}

static const NetClientInfo vhost_user_info = {
    .type = NET_CLIENT_DRIVER_VHOST_USER,
    .recv = vhost_user_netdev_recv,
    .send = vhost_user_netdev_send,
    .send_burst = vhost_user_netdev_send_burst,
    .cleanup = vhost_user_cleanup,
};

static Chardev *find_chardev(const char *id, Error **errp) MAIN_THREAD
{
    Chardev *chr = chardev_find(id);

    if (!chr) {
        error_setg(errp, "chardev=%s: there is no such -chardev", id);
        return NULL;
    }
    if (!chardev_passes_fds(chr)) {
        error_setg(errp,
                   "chardev=%s: vhost-user needs a unix socket, as in -chardev "
                   "socket,id=%s,path=PATH",
                   id, id);
        return NULL;
    }
    return chr;
}

/* Waits for one that is of use; one that is not may be followed by others. */
static bool wait_for_process(NetVhostUser *s, Error **errp) MAIN_THREAD
{
    int timeout_ms = event_loop_is_current(main_loop()) ? HOT_WAIT_MS : -1;
    Error *err = NULL;
    bool other_may;

    for (;;) {
        if (!chardev_wait_open(s->chr.chr, timeout_ms, errp)) {
            return false;
        }
        if (vhost_user_negotiate(s->user, &other_may, &err)) {
            return true;
        }
        if (!other_may || timeout_ms >= 0) {
            error_propagate(errp, err);
            return false;
        }
        warn_report("netdev '%s': a vhost-user back-end is dropped: %s",
                    s->nc.name, err->message);
        g_clear_pointer(&err, g_error_free);
        chardev_disconnect(&s->chr);
    }
}

static bool make_subqueues(NetVhostUser *s, Error **errp) MAIN_THREAD
{
    s->nc.queue_frames = VHOST_USER_SHADOW_FRAMES;
    for (unsigned i = 0; i < s->nc.n_queues; i++) {
        NetSubqueue *sq = &s->nc.queue[i];
        const VhostUserShadow *shadow;

        if (!vhost_user_shadow_init(s->user, i, errp)) {
            return false;
        }
        shadow = vhost_user_shadow(s->user, i);
        sq->fd = vhost_user_shadow_frames_fd(shadow);
        sq->room_fd = vhost_user_shadow_room_fd(shadow);
        sq->vhost_user = s->user;
    }
    return true;
}

static bool start(NetVhostUser *s, Chardev *chr, Error **errp) MAIN_THREAD
{
    s->starting = true;
    if (!make_subqueues(s, errp) ||
        !chardev_attach(&s->chr, chr, &frontend_ops, s, errp) ||
        !wait_for_process(s, errp)) {
        return false;
    }
    s->starting = false;
    fd_watch_start(&s->watch, main_loop(), chardev_peer_fd(&s->chr), LOOP_IN,
                   connection_input, s);
    go_up(s);
    if (!net_client_rejoin(&s->nc, errp)) {
        return false;
    }
    tell_connected(s);
    return true;
}

bool net_init_vhost_user(const Netdev *netdev, Error **errp)
{
    const NetdevVhostUserOptions *opts = &netdev->u.vhost_user;
    int64_t queues = opts->has_queues ? opts->queues : 1;
    NetVhostUser *s;
    Chardev *chr;

    if (queues < 1 || queues > VHOST_USER_MAX_PAIRS) {
        error_setg(errp, "queues=%" PRId64 ": must be 1 to %u", queues,
                   VHOST_USER_MAX_PAIRS);
        return false;
    }
    chr = find_chardev(opts->chardev, errp);
    if (!chr) {
        return false;
    }
    s = g_new0(NetVhostUser, 1);
    s->nc.caps = (NetCaps){ .vnet_hdr = true,
                            .ufo = true,
                            .uso = true,
                            .vhost = true,
                            .buffers = true,
                            .vhost_only = true,
                            .vhost_shadow = true };
    if (!net_client_register(&s->nc, &vhost_user_info, netdev->id,
                             (unsigned)queues, errp)) {
        g_free(s);
        return false;
    }
    s->user = vhost_user_new((unsigned)queues, connection_failed, s);
    vhost_user_on_link(s->user, link_changed);
    loop_timer_init(&s->timer, main_loop(), time_over, s);
    snprintf(s->nc.info_str, sizeof(s->nc.info_str), "vhost-user to %s",
             opts->chardev);
    if (start(s, chr, errp)) {
        return true;
    }
    vhost_user_cleanup(&s->nc);
    net_client_unregister(&s->nc);
    g_free(s);
    return false;
}
