/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What runs in a hub's loop, and hubs as such.
 *
 * A frame crosses without a virtio-net header: each port puts its own before
 * it. A port that has no room keeps up to HUB_QUEUE frames; what comes then is
 * dropped there and counted, and no other port waits for it.
 *
 * Threads: marked; the rest in the hub's loop.
 */
#include "util/osdep.h"

#include "hub-internal.h"
#include "system/main-loop.h"
#include "system/machine-lock.h"

static const uint8_t no_header[VNET_HDR_V1];

static void count_drops(HubPort *port, unsigned n)
{
    __atomic_store_n(&port->dropped, port->dropped + n, __ATOMIC_RELAXED);
}

static void count_drop(HubPort *port)
{
    count_drops(port, 1);
}

static bool is_up(const HubPort *port)
{
    return __atomic_load_n(&port->up, __ATOMIC_RELAXED);
}

/* ---- out of the hub ---- */

static void update_watches(HubNetdev *n)
{
    uint32_t out = n->held_len ? LOOP_OUT : 0;

    if (n->watch.loop && n->sq->room_fd < 0) {
        fd_watch_set_events(&n->watch, LOOP_IN | out);
    }
    if (n->room_watch.loop) {
        fd_watch_set_events(&n->room_watch, out ? LOOP_IN : 0);
    }
}

/* Sends a frame to the netdev. False: it has no room now. */
static bool netdev_send(HubPort *port, const uint8_t *frame, size_t len)
{
    NetSubqueue *sq = port->behind.sq;
    struct iovec iov[] = { { (void *)no_header, sizeof(no_header) },
                           { (void *)frame, len } };
    ssize_t r = sq->io->send(sq, iov, ARRAY_SIZE(iov));

    if (r < 0) {
        count_drop(port);
    }
    return r != 0;
}

static void to_netdev(HubPort *port, const uint8_t *frame, size_t len)
{
    HubNetdev *n = &port->behind;
    struct iovec iov = { (void *)frame, len };

    if (n->held_len || !n->sq) {
        if (!net_frame_queue_put(n->waiting, &iov, 1, 0)) {
            count_drop(port);
        }
    } else if (!netdev_send(port, frame, len)) {
        memcpy(n->held, frame, len);
        n->held_len = len;
        update_watches(n);
    }
}

/* Takes the next of those that wait. */
static void hold_next(HubNetdev *n)
{
    struct iovec iov = { n->held, HUB_FRAME_MAX };

    n->held_len = (size_t)net_frame_queue_get(n->waiting, &iov, 1, 0);
}

/* The netdev may have room again. */
static void netdev_room(void *opaque, uint32_t events)
{
    HubPort *port = opaque;
    HubNetdev *n = &port->behind;

    for (unsigned i = 0; i < HUB_BURST && n->held_len; i++) {
        if (!netdev_send(port, n->held, n->held_len)) {
            break;
        }
        hold_next(n);
    }
    update_watches(n);
}

static void to_nic(HubPort *port, const uint8_t *frame, size_t len)
{
    struct iovec iov = { (void *)frame, len };

    if (__atomic_load_n(&port->attended, __ATOMIC_RELAXED) &&
        !net_frame_queue_put(port->to_nic, &iov, 1, 0)) {
        count_drop(port);
    }
}

/* Gives what came in by @from to all others. */
static void spread(const HubPort *from, const uint8_t *frame, size_t len)
{
    const GPtrArray *joined = from->hub->joined;

    if (!is_up(from)) {
        return;
    }
    for (unsigned i = 0; i < joined->len; i++) {
        HubPort *port = g_ptr_array_index(joined, i);

        if (port == from || !is_up(port)) {
            continue;
        }
        if (port->behind.waiting) {
            to_netdev(port, frame, len);
        } else {
            to_nic(port, frame, len);
        }
    }
}

/* ---- into the hub ---- */

static void from_nic(void *opaque, uint32_t events)
{
    HubPort *port = opaque;
    struct iovec iov = { port->hub->frame, HUB_FRAME_MAX };

    for (unsigned i = 0; i < HUB_BURST; i++) {
        ssize_t len = net_frame_queue_get(port->from_nic, &iov, 1, 0);

        if (len <= 0) {
            return;
        }
        spread(port, port->hub->frame, (size_t)len);
    }
}

static void stop_watching(HubNetdev *n)
{
    fd_watch_stop(&n->watch);
    fd_watch_stop(&n->room_watch);
    loop_task_cancel(&n->task);
}

static void netdev_is_gone(HubPort *port)
{
    stop_watching(&port->behind);
    loop_task_schedule(&port->behind.gone_task);
}

/* Main thread. */
static void tell_gone(void *opaque)
{
    HubPort *port = opaque;

    machine_lock_assert();
    warn_report("hub %d: the device behind netdev '%s' is gone", port->hub->id,
                port->netdev);
}

/* Takes up to a burst of the netdev's frames. False: it has no more now. */
static bool from_netdev(HubPort *port)
{
    NetSubqueue *sq = port->behind.sq;
    uint8_t *frame = port->hub->frame;
    struct iovec iov = { frame, sizeof(port->hub->frame) };

    for (unsigned i = 0; i < HUB_BURST; i++) {
        ssize_t len = sq->io->recv(sq, &iov, 1);

        if (len == -EBADFD) {
            netdev_is_gone(port);
        }
        if (len == 0 || len == -EBADFD) {
            return false;
        }
        if (len <= (ssize_t)VNET_HDR_V1 || len > (ssize_t)iov.iov_len) {
            count_drop(port);
        } else {
            spread(port, frame + VNET_HDR_V1, (size_t)len - VNET_HDR_V1);
        }
    }
    return true;
}

static void netdev_frames(void *opaque)
{
    HubPort *port = opaque;
    const NetSubqueue *sq = port->behind.sq;

    if (from_netdev(port) &&
        (sq->nc->caps.buffers || net_subqueue_filtered(sq))) {
        loop_task_schedule(&port->behind.task);
    }
}

static void netdev_event(void *opaque, uint32_t events)
{
    HubPort *port = opaque;

    if (events & (LOOP_ERR | LOOP_HUP)) {
        netdev_is_gone(port);
        return;
    }
    if (events & LOOP_OUT) {
        netdev_room(port, events);
    }
    if (events & LOOP_IN) {
        netdev_frames(port);
    }
}

/* ---- ports come and go ---- */

/* Begins to use n->sq, or does so again. */
static void begin_netdev(HubPort *port)
{
    HubNetdev *n = &port->behind;
    NetSubqueue *sq = n->sq;
    EventLoop *loop = port->hub->loop;

    loop_task_init(&n->task, loop, netdev_frames, port);
    loop_task_init(&n->gone_task, main_loop(), tell_gone, port);
    fd_watch_start(&n->watch, loop, sq->fd, LOOP_IN, netdev_event, port);
    if (sq->room_fd >= 0) {
        fd_watch_start(&n->room_watch, loop, sq->room_fd, 0, netdev_room, port);
    }
    if (sq->io->attend) {
        sq->io->attend(sq, loop, &n->task);
    }
    /* It may have frames in memory already, and so may we. */
    loop_task_schedule(&n->task);
    if (!n->held_len) {
        hold_next(n);
    }
    netdev_room(port, 0);
}

static void pause_netdev(HubNetdev *n)
{
    if (n->sq->io->attend) {
        n->sq->io->attend(n->sq, NULL, NULL);
    }
    stop_watching(n);
    n->sq = NULL;
}

static void end_netdev(HubPort *port)
{
    HubNetdev *n = &port->behind;

    if (n->sq) {
        pause_netdev(n);
    }
    count_drops(port,
                (n->held_len ? 1 : 0) + net_frame_queue_clear(n->waiting));
    g_clear_pointer(&n->held, g_free);
    g_clear_pointer(&n->waiting, net_frame_queue_free);
    n->held_len = 0;
}

typedef struct PortCall {
    HubPort *port;
    NetSubqueue *sq;
} PortCall;

static void join_in_loop(void *opaque)
{
    const PortCall *call = opaque;
    HubPort *port = call->port;
    HubNetdev *n = &port->behind;

    g_ptr_array_add(port->hub->joined, port);
    if (call->sq) {
        n->sq = call->sq;
        n->held = g_malloc(HUB_FRAME_MAX);
        n->waiting =
            net_frame_queue_new(HUB_QUEUE, HUB_QUEUE_BYTES, NULL, NULL);
        begin_netdev(port);
    } else {
        fd_watch_start(&port->from_watch, port->hub->loop, port->from_wake.fd,
                       LOOP_IN, from_nic, port);
    }
}

void hub_port_join(HubPort *port, NetSubqueue *sq)
{
    PortCall call = { port, sq };

    event_loop_call(port->hub->loop, join_in_loop, &call);
}

static void cancel_gone(HubPort *port) MAIN_THREAD
{
    if (port->behind.gone_task.loop) {
        loop_task_cancel(&port->behind.gone_task);
    }
}

static void leave_in_loop(void *opaque)
{
    HubPort *port = opaque;

    if (!g_ptr_array_remove(port->hub->joined, port)) {
        return;
    }
    if (port->behind.waiting) {
        end_netdev(port);
    } else {
        fd_watch_stop(&port->from_watch);
    }
}

void hub_port_leave(HubPort *port)
{
    event_loop_call(port->hub->loop, leave_in_loop, port);
    cancel_gone(port);
}

static void pause_in_loop(void *opaque)
{
    HubPort *port = opaque;

    if (port->behind.sq) {
        pause_netdev(&port->behind);
    }
}

void hub_port_pause(HubPort *port)
{
    event_loop_call(port->hub->loop, pause_in_loop, port);
    cancel_gone(port);
}

static void resume_in_loop(void *opaque)
{
    const PortCall *call = opaque;
    HubNetdev *n = &call->port->behind;

    /* A port that left the hub is not in it now. */
    if (n->waiting) {
        n->sq = call->sq;
        begin_netdev(call->port);
    }
}

void hub_port_resume(HubPort *port, NetSubqueue *sq)
{
    PortCall call = { port, sq };

    event_loop_call(port->hub->loop, resume_in_loop, &call);
}

/* ---- hubs ---- */

static GPtrArray *hubs; /* of NetHub, in the order made; machine lock */

static NetHub *MAIN_THREAD hub_find(int32_t id)
{
    for (unsigned i = 0; hubs && i < hubs->len; i++) {
        NetHub *hub = g_ptr_array_index(hubs, i);

        if (hub->id == id) {
            return hub;
        }
    }
    return NULL;
}

static NetHub *MAIN_THREAD hub_new(int32_t id, Error **errp)
{
    g_autofree char *name = g_strdup_printf("hub %d", id);
    IOThread *thread = iothread_new_internal(name, errp);
    NetHub *hub;

    if (!thread) {
        return NULL;
    }
    hub = g_new0(NetHub, 1);
    hub->id = id;
    hub->thread = thread;
    hub->loop = iothread_loop(thread);
    hub->ports = g_ptr_array_new();
    hub->joined = g_ptr_array_new();
    if (!hubs) {
        hubs = g_ptr_array_new();
    }
    g_ptr_array_add(hubs, hub);
    return hub;
}

NetHub *net_hub_get(int32_t id, const char *name, Error **errp)
{
    NetHub *hub = hub_find(id);

    if (!hub) {
        hub = hub_new(id, errp);
    }
    if (hub) {
        iothread_use(hub->thread, name);
    }
    return hub;
}

void net_hub_put(NetHub *hub, const char *name)
{
    bool last = iothread_n_users(hub->thread) == 1;

    iothread_release(hub->thread, name);
    if (last) {
        g_ptr_array_remove(hubs, hub);
        g_ptr_array_unref(hub->ports);
        g_ptr_array_unref(hub->joined);
        g_free(hub);
    }
}

void net_hub_foreach_port(void (*func)(const NetHubPortInfo *, void *),
                          void *opaque)
{
    for (unsigned i = 0; hubs && i < hubs->len; i++) {
        const NetHub *hub = g_ptr_array_index(hubs, i);

        for (unsigned k = 0; k < hub->ports->len; k++) {
            HubPort *port = g_ptr_array_index(hub->ports, k);
            NetHubPortInfo info = { hub->id, k == 0, &port->nc,
                                    __atomic_load_n(&port->dropped,
                                                    __ATOMIC_RELAXED) };

            func(&info, opaque);
        }
    }
}

static void MAIN_THREAD check_hub(const NetHub *hub)
{
    unsigned nics = 0, netdevs = 0;

    for (unsigned i = 0; i < hub->ports->len; i++) {
        const HubPort *port = g_ptr_array_index(hub->ports, i);

        nics += port->nc.peer && !port->netdev;
        netdevs += port->nc.peer && port->netdev;
    }
    if (nics && !netdevs) {
        warn_report("hub %d joins no netdev of the host", hub->id);
    } else if (!nics && netdevs == 1) {
        warn_report("hub %d joins one netdev and no NIC", hub->id);
    }
}

void net_hubs_check(void)
{
    for (unsigned i = 0; hubs && i < hubs->len; i++) {
        check_hub(g_ptr_array_index(hubs, i));
    }
}

void net_hubs_cleanup(void)
{
    for (unsigned i = 0; hubs && i < hubs->len; i++) {
        const NetHub *hub = g_ptr_array_index(hubs, i);

        for (unsigned k = 0; k < hub->ports->len; k++) {
            hub_port_leave(g_ptr_array_index(hub->ports, k));
        }
    }
}
