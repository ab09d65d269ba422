/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A netdev that gets more subqueues, or fewer, while its pairs run.
 *
 * A flow's frames move to another subqueue by that. They keep their order when
 * those that wait in the old one are given to the driver before any of the new
 * one are. So pairs hold: they go on sending, but read nothing. The host puts
 * all frames into subqueue 0 meanwhile (the funnel), each other one is read
 * dry, subqueues come or go, the host steers again as it is to, subqueue 0 is
 * read as far as it was filled before that, and then all pairs read. Where the
 * funnel is not to be had, frames of the moment between the last look at a
 * subqueue and the change may be lost, or be early.
 *
 * docs/devel/elastic-queues.rst tells why this is enough.
 *
 * Threads: under the machine lock, but for what a loop is asked to do.
 */
#include "util/osdep.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>

#include "hw/net/virtio-net-internal.h"
#include "system/main-loop.h"

/* ---- pairs that hold ---- */

static void hold_in_loop(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    pair->rx_held = true;
    pair_update_backend_watch(pair);
}

static void release_in_loop(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    pair->rx_held = false;
    virtio_net_rx(pair);
}

static void set_held(VirtIONetPair *pair, bool held) MAIN_THREAD
{
    if (pair->owner == PAIR_OWNER_IO) {
        event_loop_call(pair->loop, held ? hold_in_loop : release_in_loop,
                        pair);
    } else {
        pair_assert_stopped(pair);
        pair->rx_held = held;
    }
}

static void set_all_held(VirtIONet *net, bool held) MAIN_THREAD
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        set_held(&net->pair[i], held);
    }
}

/* Should the pair run? */
static bool is_in_use(const VirtIONetPair *pair)
{
    return pair->net->vdev.started && pair->index < pair->net->active_pairs;
}

/* A worker cannot hold, and a pair on its way to one reads nothing: user space
 * has all pairs meanwhile. */
static void leave_vhost(VirtIONet *net) MAIN_THREAD
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        VirtIONetPair *pair = &net->pair[i];

        if (pair->owner == PAIR_OWNER_VHOST ||
            (pair->owner == PAIR_OWNER_IO && pair->rx_rest)) {
            virtio_net_pair_restart(pair);
        }
    }
}

static void return_to_vhost(VirtIONet *net) MAIN_THREAD
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        VirtIONetPair *pair = &net->pair[i];

        if (pair->owner == PAIR_OWNER_IO && virtio_net_pair_may_vhost(pair)) {
            virtio_net_pair_restart(pair);
        }
    }
}

/* ---- subqueues that are read dry ---- */

typedef struct Drain {
    VirtIONetPair *pair; /* whose ring the frames go to */
    NetSubqueue *sq;     /* where they wait: the pair's own, or one that goes */
    bool goes;
    bool more;     /* there may be more frames */
    unsigned left; /* frames to be read at most: nobody fills it for ever */
} Drain;

/* Lets the pair read what it does not read otherwise; false: no more. */
static void drain_turn(VirtIONetPair *pair, Drain *d) PAIR_OWNER(pair)
{
    NetSubqueue *own = pair->backend;
    NetPort port = pair->port;
    bool held = pair->rx_held, shared = pair->shared;

    pair->rx_held = pair->shared = false;
    if (d->goes) {
        pair->backend = d->sq;
        pair->port = (NetPort){ .sq = d->sq };
    }
    d->more = pair->owner == PAIR_OWNER_IO
                  ? virtio_net_rx_drain(pair, &d->left, d->goes)
                  : virtio_net_rx_save(pair, &d->left);
    pair->backend = own;
    pair->port = port;
    pair->rx_held = held;
    pair->shared = shared;
    pair_update_backend_watch(pair);
}

static void drain_in_loop(void *opaque)
{
    Drain *d = opaque;
    VirtIONetPair *pair = d->pair;

    pair_assert_owner(pair);
    drain_turn(pair, d);
}

/* Nobody gives frames to a guest that is stopped: they are kept for it. */
static void drain_stopped(Drain *d) MAIN_THREAD
{
    VirtIONetPair *pair = d->pair;

    pair->features = pair->net->vdev.guest_features;
    pair->loop = main_loop();
    virtio_net_pair_prepare(pair);
    pair_assert_stopped(pair);
    while (d->more) {
        drain_turn(pair, d);
    }
}

/* What waits in @sq goes to the driver by the ring of @pair, whose own it is,
 * or was before it had to go. By bursts: other pairs of the loop take what this
 * one hands over to them. */
static void drain(VirtIONetPair *pair, NetSubqueue *sq) MAIN_THREAD
{
    Drain d = { .pair = pair,
                .sq = sq,
                .goes = sq != pair->backend,
                .more = true,
                .left = sq->nc->queue_frames + VIRTIO_NET_BURST };

    if (!sq->enabled) {
        return;
    }
    if (pair->owner == PAIR_OWNER_MAIN && d.goes) {
        drain_stopped(&d);
    }
    while (pair->owner == PAIR_OWNER_IO && d.more) {
        event_loop_call(pair->loop, drain_in_loop, &d);
    }
}

/* Subqueues @from..@end-1, each by the ring of its pair. */
static void drain_range(VirtIONet *net, unsigned from, unsigned end) MAIN_THREAD
{
    for (unsigned i = from; i < MIN(end, net->max_pairs); i++) {
        drain(&net->pair[i], &net->nic.peer->queue[i]);
    }
}

/* ---- the driver ---- */

/* It looks at rings side by side. What it has not come to yet of one ring would
 * be overtaken by what comes to another. One that is slow, or polls and never
 * says how far it has come, is not waited for any longer. */
#define DRIVER_WAIT_NS 100000000
#define DRIVER_LOOK_US 100

typedef struct DriverLook {
    VirtIONetPair *pair;
    bool caught_up;
} DriverLook;

static void look_in_loop(void *opaque)
{
    DriverLook *look = opaque;

    pair_assert_owner(look->pair);
    look->caught_up = virtqueue_caught_up(look->pair->rx_vq);
}

/* Until the driver has come to the end of rings @from..@end-1. */
static void wait_for_driver(VirtIONet *net, unsigned from, unsigned end)
    MAIN_THREAD
{
    int64_t deadline = clock_now_ns() + DRIVER_WAIT_NS;

    for (unsigned i = from; i < MIN(end, net->max_pairs); i++) {
        DriverLook look = { .pair = &net->pair[i] };

        while (look.pair->owner == PAIR_OWNER_IO && !look.caught_up &&
               clock_now_ns() < deadline) {
            event_loop_call(look.pair->loop, look_in_loop, &look);
            if (!look.caught_up) {
                g_usleep(DRIVER_LOOK_US);
            }
        }
    }
}

/* ---- the host ---- */

/* True when all frames go to subqueue 0 from now on. It is common that this
 * process may not have it so. */
static bool funnel_open(NetClientState *peer) MAIN_THREAD
{
    return peer->info->funnel && peer->info->funnel(peer, true, NULL);
}

static void funnel_close(VirtIONet *net) MAIN_THREAD
{
    NetClientState *peer = net->nic.peer;
    Error *err = NULL;

    if (!peer->info->funnel(peer, false, &err)) {
        warn_report("%s: %s", device_label(&net->vdev.dev), err->message);
        g_error_free(err);
    }
}

/* CPUs of the host that had chosen a subqueue before the funnel was there have
 * put their frames into it when this returns (membarrier(2) waits for a grace
 * period of RCU). Where the kernel does not offer it: they are few, and fast.
 */
static void wait_for_host(void)
{
    (void)!syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

/* ---- subqueues are dealt anew ---- */

/* By the rule that a netdev which comes back follows, too. */
static void bind_pair(VirtIONetPair *pair, unsigned n) MAIN_THREAD
{
    NetClientState *peer = pair->net->nic.peer;
    NetSubqueue *sq = &peer->queue[pair->index % n];

    if (pair->backend == sq && pair->shared == (pair->index >= n)) {
        return;
    }
    virtio_net_pair_stop(pair);
    pair->backend = sq;
    pair->shared = pair->index >= n;
    if (is_in_use(pair)) {
        virtio_net_pair_start(pair);
    }
}

static void bind_pairs(VirtIONet *net, unsigned n) MAIN_THREAD
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        bind_pair(&net->pair[i], n);
    }
}

static void detach(VirtIONet *net, NetSubqueue *sq) MAIN_THREAD
{
    Error *err = NULL;

    if (!net_subqueue_set_enabled(sq, false, &err)) {
        warn_report("%s: queue %u of netdev '%s': %s",
                    device_label(&net->vdev.dev), sq->index, sq->nc->name,
                    err->message);
        g_error_free(err);
    }
}

/* The host steers nothing to queues that came for pairs the driver leaves
 * unused. */
static void detach_unused(VirtIONet *net, unsigned from) MAIN_THREAD
{
    NetClientState *peer = net->nic.peer;

    for (unsigned i = MAX(from, net->active_pairs); i < peer->n_queues; i++) {
        detach(net, &peer->queue[i]);
    }
}

/* ---- vhost devices of queues that come ---- */

static bool vhost_fits(VirtIONetPair *pair, const NetSubqueue *sq, Error **errp)
    MAIN_THREAD
{
    VirtIONet *net = pair->net;
    uint64_t lacks;

    if (sq->vhost_fd < 0) {
        error_setg(errp, "the netdev has vhost=off");
        return false;
    }
    if (!virtio_net_vhost_open(pair, sq, errp)) {
        return false;
    }
    lacks = virtio_net_vhost_lacks(pair, net->vdev.guest_features);
    if (lacks || virtio_net_needs_user_space(net)) {
        g_autofree char *names = virtio_net_feature_list(lacks);

        error_setg(errp,
                   "vhost-net cannot do what the NIC is set to or its "
                   "driver uses%s%s",
                   lacks ? ": " : "", names);
        vhost_net_free(g_steal_pointer(&pair->vhost));
        return false;
    }
    return true;
}

static void close_vhosts(VirtIONet *net, unsigned from, unsigned end)
    MAIN_THREAD
{
    for (unsigned i = from; i < end; i++) {
        vhost_net_free(g_steal_pointer(&net->pair[i].vhost));
    }
}

/* Readies pairs @from..@end-1 for vhost-net where they are meant for it; user
 * space serves others that it does not take. False: it has to take one. */
static bool open_vhosts(VirtIONet *net, unsigned from, unsigned end,
                        Error **errp) MAIN_THREAD
{
    const NetClientState *peer = net->nic.peer;

    for (unsigned i = from; i < end; i++) {
        VirtIONetPair *pair = &net->pair[i];
        const NetSubqueue *sq = &peer->queue[i];
        Error *err = NULL;
        bool want = pair->mapped ? pair->want_vhost : sq->vhost_fd >= 0;

        if (!want || vhost_fits(pair, sq, &err)) {
            continue;
        }
        if (pair->mapped || peer->caps.vhost_force) {
            error_setg(errp, "netdev '%s': pair %u of NIC '%s' is %s: %s",
                       peer->name, i, net->nic.name,
                       pair->mapped ? "mapped to vhost"
                                    : "kept on vhost by vhostforce=on",
                       err->message);
            g_error_free(err);
            close_vhosts(net, from, i);
            return false;
        }
        g_error_free(err);
    }
    return true;
}

/* Those that got one, by the netdev and not by a mapping, are meant for it. */
static void want_vhosts(VirtIONet *net, unsigned from, unsigned end) MAIN_THREAD
{
    for (unsigned i = from; i < end; i++) {
        VirtIONetPair *pair = &net->pair[i];

        pair->vhost_required = net->nic.peer->caps.vhost_force;
        pair->failed = false;
        if (!pair->mapped) {
            pair->want_vhost = pair->vhost != NULL;
        }
    }
}

/* ---- the whole ---- */

/* All frames come to subqueue 0 from now on, and those that are in others are
 * the older ones. When these have been read nothing has to hold. */
static void pass_funnel(VirtIONet *net) MAIN_THREAD
{
    drain_range(net, 1, net->nic.peer->n_queues);
    wait_for_driver(net, 1, net->nic.peer->n_queues);
    set_held(&net->pair[0], false);
    wait_for_host();
    drain_range(net, 1, net->nic.peer->n_queues);
}

static bool grow(VirtIONet *net, const NetResize *resize, bool funnel,
                 Error **errp) MAIN_THREAD
{
    unsigned old = net->nic.peer->n_queues;

    if (funnel) {
        pass_funnel(net);
    } else {
        drain_range(net, 0, old);
    }
    if (!resize->act(resize->opaque, errp)) {
        return false;
    }
    detach_unused(net, old);
    want_vhosts(net, old, resize->n);
    bind_pairs(net, resize->n);
    /* Files that were passed may have frames in them already. */
    drain_range(net, old, resize->n);
    return true;
}

/* Subqueues that go are detached one by one, each as soon as it is dry. */
static void drain_and_detach(VirtIONet *net, unsigned from) MAIN_THREAD
{
    NetClientState *peer = net->nic.peer;

    for (unsigned i = peer->n_queues; i-- > from;) {
        drain_range(net, i, i + 1);
        detach(net, &peer->queue[i]);
    }
}

static bool shrink(VirtIONet *net, const NetResize *resize, bool funnel,
                   Error **errp) MAIN_THREAD
{
    unsigned n = resize->n, old = net->nic.peer->n_queues;

    if (funnel) {
        pass_funnel(net);
    }
    bind_pairs(net, n);
    if (!funnel) {
        drain_range(net, 0, n);
    }
    drain_and_detach(net, n);
    close_vhosts(net, n, MIN(old, net->max_pairs));
    return resize->act(resize->opaque, errp);
}

bool virtio_net_peer_resize(NetClientState *nc, const NetResize *resize,
                            Error **errp)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);
    unsigned old = nc->peer->n_queues;
    bool grows = resize->n > old, funnel, ok;

    if (virtio_net_backend_gone(net)) {
        error_setg(errp,
                   "netdev '%s': the device behind it is gone; "
                   "netdev_del it and netdev_add it",
                   nc->peer->name);
        return false;
    }
    if (grows && !open_vhosts(net, old, resize->n, errp)) {
        return false;
    }
    net->resizing = true;
    leave_vhost(net);
    set_all_held(net, true);
    funnel = funnel_open(nc->peer);
    ok = grows ? grow(net, resize, funnel, errp)
               : shrink(net, resize, funnel, errp);
    if (grows && !ok) {
        close_vhosts(net, old, resize->n);
    }
    set_held(&net->pair[0], true);
    virtio_net_rss_rebound(net);
    if (funnel) {
        funnel_close(net);
        drain_range(net, 0, 1);
        wait_for_driver(net, 0, 1);
    }
    set_all_held(net, false);
    net->resizing = false;
    return_to_vhost(net);
    return ok;
}
