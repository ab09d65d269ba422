/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queue pairs and their owners: stop, hand over, start.
 *
 * Whoever holds the machine lock moves a pair. To start on an iothread, the
 * rings are mapped here and then the loop is told, by a call that returns
 * when the loop has taken the pair up. To stop, the loop is told to let go,
 * again by a call; after it the rings are ours. Neither end loses a kick: the
 * new owner looks at both rings once before it relies on kicks.
 *
 * Threads: marked; MAIN_THREAD functions move pairs, PAIR_OWNER ones run in
 * the loop that owns the pair.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "hw/virtio/vhost-user.h"
#include "system/main-loop.h"
#include "system/machine-lock.h"
#include "util/fd.h"

void pair_assert_owner(VirtIONetPair *pair)
{
    g_assert(event_loop_is_current(pair->loop));
}

void pair_assert_stopped(VirtIONetPair *pair)
{
    g_assert(pair->owner == PAIR_OWNER_MAIN);
}

void pair_fault(VirtIONetPair *pair, VirtQueue *vq)
{
    pair->faulted = true;
    fd_watch_stop(&pair->backend_watch);
    fd_watch_stop(&pair->room_watch);
    fd_watch_stop(&pair->rx_watch);
    fd_watch_stop(&pair->tx_watch);
    loop_poll_stop(&pair->tx_poll);
    virtio_queue_error(&pair->net->vdev, vq, "%s",
                       vq->fault ? vq->fault : "invalid ring");
}

void virtio_net_backend_lost(VirtIONet *net)
{
    if (!__atomic_exchange_n(&net->backend_gone, true, __ATOMIC_RELAXED)) {
        loop_task_schedule(&net->gone_task);
    }
}

void pair_backend_gone(VirtIONetPair *pair)
{
    fd_watch_stop(&pair->backend_watch);
    virtio_net_backend_lost(pair->net);
}

/* Frames for the driver are taken from the subqueue by this pair. */
static bool pair_receives(const VirtIONetPair *pair)
{
    return pair->rx_vq->running && !pair->shared && !pair->rx_held;
}

/* A tap that is deleted wakes those who wait for frames, and no others; for
 * frames alone LOOP_PRI never ends the wait. */
static uint32_t backend_events(const VirtIONetPair *pair)
{
    bool own_room = pair->backend->room_fd >= 0;
    uint32_t events = pair->tx_full && !own_room ? LOOP_OUT : 0;

    if (pair_receives(pair) && !pair->rx_starved && !pair->rx_rest &&
        !pair->limit[0].waiting) {
        events |= LOOP_IN;
    } else if (pair->rx_vq->running && !pair->shared) {
        events |= LOOP_PRI;
    }
    return events;
}

static uint32_t room_events(const VirtIONetPair *pair)
{
    return pair->tx_full ? LOOP_IN : 0;
}

static void set_events(FdWatch *watch, uint32_t events)
{
    if (watch->loop && events != watch->events) {
        fd_watch_set_events(watch, events);
    }
}

void pair_update_backend_watch(VirtIONetPair *pair)
{
    if (pair->backend_watch.loop) {
        set_events(&pair->backend_watch, backend_events(pair));
        set_events(&pair->room_watch, room_events(pair));
    }
}

/* ---- in the owner's loop ---- */

/* The back-end may have room again. */
static void tx_goes_on(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    if (pair->tx_full) {
        pair->tx_full = false;
        virtio_net_tx(pair);
        pair_update_backend_watch(pair);
    }
}

static void room_event(void *opaque, uint32_t events)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    tx_goes_on(pair);
}

static void backend_event(void *opaque, uint32_t events)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    if (events & (LOOP_ERR | LOOP_HUP)) {
        pair_backend_gone(pair);
        return;
    }
    if (events & LOOP_OUT) {
        tx_goes_on(pair);
    }
    if (events & LOOP_IN) {
        virtio_net_rx(pair);
    }
}

static void rx_kick(void *opaque, uint32_t events)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    if (eventfd_clear(pair->rx_vq->kick_fd)) {
        stat_add(&pair->rx_vq->kicks, 1);
        virtio_net_rx(pair);
    }
}

static void tx_kick(void *opaque, uint32_t events)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    if (eventfd_clear(pair->tx_vq->kick_fd)) {
        stat_add(&pair->tx_vq->kicks, 1);
        virtio_net_tx(pair);
    }
}

static void rx_again(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    virtio_net_rx(pair);
}

static void tx_again(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    virtio_net_tx(pair);
}

/* ---- polling: the driver need not kick ---- */

static bool tx_can_run(const VirtIONetPair *pair)
{
    return !pair->faulted && !pair->tx_full && !pair->limit[1].waiting;
}

static void tx_poll_begin(void *opaque)
{
    VirtIONetPair *pair = opaque;

    virtqueue_want_kicks(pair->tx_vq, false);
}

static bool tx_poll_ready(void *opaque)
{
    VirtIONetPair *pair = opaque;

    return tx_can_run(pair) && !virtqueue_empty(pair->tx_vq);
}

static bool tx_poll_end(void *opaque)
{
    VirtIONetPair *pair = opaque;

    if (!tx_can_run(pair)) {
        return false;
    }
    virtqueue_want_kicks(pair->tx_vq, true);
    return !virtqueue_empty(pair->tx_vq);
}

static const LoopPollOps tx_poll_ops = {
    .begin = tx_poll_begin,
    .ready = tx_poll_ready,
    .end = tx_poll_end,
    .run = tx_again,
};

static void pair_loop_start(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    fd_watch_start(&pair->backend_watch, pair->loop, pair->backend->fd,
                   backend_events(pair), backend_event, pair);
    if (pair->backend->room_fd >= 0) {
        fd_watch_start(&pair->room_watch, pair->loop, pair->backend->room_fd,
                       room_events(pair), room_event, pair);
    }
    net_port_open(&pair->port, pair->backend, iothread_io_ring(pair->iothread));
    if (pair->backend->io->attend && !pair->shared) {
        pair->backend->io->attend(pair->backend, pair->loop, &pair->rx_task);
    }
    if (pair->rx_vq->running) {
        /* One that does not read may have frames to deliver all the same. */
        fd_watch_start(&pair->rx_watch, pair->loop, pair->rx_vq->kick_fd,
                       LOOP_IN, rx_kick, pair);
        virtio_net_rss_inbox_attend(pair, true);
        virtio_net_rx(pair);
    }
    if (pair->tx_vq->running && !pair->faulted) {
        fd_watch_start(&pair->tx_watch, pair->loop, pair->tx_vq->kick_fd,
                       LOOP_IN, tx_kick, pair);
        loop_poll_start(&pair->tx_poll, pair->loop, &tx_poll_ops, pair);
        virtio_net_tx(pair);
    }
}

static void pair_loop_stop(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    if (pair->backend->io->attend && !pair->shared) {
        pair->backend->io->attend(pair->backend, NULL, NULL);
    }
    net_port_close(&pair->port);
    fd_watch_stop(&pair->backend_watch);
    fd_watch_stop(&pair->room_watch);
    fd_watch_stop(&pair->rx_watch);
    fd_watch_stop(&pair->tx_watch);
    loop_poll_stop(&pair->tx_poll);
    virtio_net_rss_inbox_attend(pair, false);
    loop_task_cancel(&pair->rx_task);
    loop_task_cancel(&pair->tx_task);
    virtio_net_coal_stop(pair);
    virtio_net_limit_stop(pair);
    if (pair->rx_vq->running) {
        virtio_net_rx_stop(pair);
    }
}

/* ---- moving pairs ---- */

/* Copies what the datapath needs from the negotiated features. */
static void pair_set_features(VirtIONetPair *pair) MAIN_THREAD
{
    VirtIODevice *vdev = &pair->net->vdev;

    pair->mergeable = virtio_has_feature(vdev, VIRTIO_NET_F_MRG_RXBUF);
    pair->hdr_num_buffers = pair->mergeable || !virtio_is_legacy(vdev);
    pair->hash_report = virtio_has_feature(vdev, VIRTIO_NET_F_HASH_REPORT);
    pair->hdr_len = virtio_net_hdr_len(pair->net);
    virtio_net_offloads_prepare(pair);
}

static bool pair_map_rings(VirtIONetPair *pair) MAIN_THREAD
{
    VirtQueue *vq[] = { pair->rx_vq, pair->tx_vq };

    for (unsigned i = 0; i < ARRAY_SIZE(vq); i++) {
        if (vq[i]->enabled &&
            virtqueue_start(vq[i], pair->net->vdev.guest_features) < 0) {
            virtio_queue_error(&pair->net->vdev, vq[i], "%s", vq[i]->fault);
            if (i == 1) {
                virtqueue_stop(vq[0]);
            }
            return false;
        }
    }
    return true;
}

void virtio_net_pair_need_scratch(VirtIONetPair *pair)
{
    if (!pair->rx) {
        pair->rx = rx_scratch_new();
        pair->tx = tx_scratch_new();
    }
    if (pair->net->conf.tx_gather && !pair->gather) {
        pair->gather = tx_gather_new();
    }
}

void virtio_net_pair_prepare(VirtIONetPair *pair)
{
    pair_set_features(pair);
    virtio_net_pair_need_scratch(pair);
    pair->faulted = pair->rx_starved = pair->tx_full = false;
    loop_task_init(&pair->rx_task, pair->loop, rx_again, pair);
    loop_task_init(&pair->tx_task, pair->loop, tx_again, pair);
    virtio_net_coal_prepare(pair);
    virtio_net_limit_prepare(pair);
    virtio_net_gather_prepare(pair);
    pair->rx_buffers =
        pair->backend->nc->caps.buffers || net_subqueue_filtered(pair->backend);
}

bool virtio_net_pair_wants_vhost(const VirtIONetPair *pair)
{
    return pair->want_vhost && !pair->shared && !pair->failed;
}

/* Nothing is against vhost-net but, maybe, frames that wait. */
static bool vhost_is_free(const VirtIONetPair *pair) MAIN_THREAD
{
    return virtio_net_pair_wants_vhost(pair) && pair->net->link_up &&
           !pair->net->limited && !pair->net->resizing &&
           !(pair->backend && net_subqueue_filtered(pair->backend));
}

/* A worker takes frames from the back-end alone: those that were read from it
 * and wait for the driver's buffers have to be delivered first. */
bool virtio_net_pair_may_vhost(const VirtIONetPair *pair)
{
    return vhost_is_free(pair) && (pair->owner != PAIR_OWNER_MAIN ||
                                   rx_scratch_waiting(pair->rx) == 0);
}

static void pair_start_io(VirtIONetPair *pair) MAIN_THREAD
{
    Error *err = NULL;

    if (!virtio_net_pair_need_iothread(pair, &err)) {
        virtio_error(&pair->net->vdev, "pair %u: %s", pair->index,
                     err->message);
        g_error_free(err);
        return;
    }
    if (!pair_map_rings(pair)) {
        return;
    }
    pair->loop = iothread_loop(pair->iothread);
    pair->rx_rest = vhost_is_free(pair);
    __atomic_store_n(&pair->rx_rest_done, false, __ATOMIC_RELAXED);
    virtio_net_pair_prepare(pair);
    pair->owner = PAIR_OWNER_IO;
    virtio_net_stats_begin(pair);
    event_loop_call(pair->loop, pair_loop_start, pair);
}

/* The same with what is outside this process out of the way. False: that does
 * not let go. */
static bool pair_start_here(VirtIONetPair *pair, Error **errp) MAIN_THREAD
{
    if (pair->backend->vhost_vdpa) {
        return true;
    }
    if (pair->backend->vhost_user) {
        if (!virtio_net_shadow_may(pair)) {
            return true;
        }
        if (!virtio_net_shadow_start(pair, !vhost_is_free(pair), errp)) {
            return false;
        }
    }
    pair_start_io(pair);
    if (pair->owner == PAIR_OWNER_MAIN) {
        virtio_net_shadow_stop(pair);
    }
    return true;
}

static void pair_free_scratch(VirtIONetPair *pair) MAIN_THREAD
{
    pair->stats.rx_backlog = pair->stats.tx_backlog = 0;
    rx_scratch_free(pair->rx);
    tx_scratch_free(pair->tx);
    tx_gather_free(pair->gather);
    pair->rx = NULL;
    pair->tx = NULL;
    pair->gather = NULL;
}

static bool pair_can_start(const VirtIONetPair *pair) MAIN_THREAD
{
    return pair->owner == PAIR_OWNER_MAIN && pair->backend &&
           pair->backend->fd >= 0 && !virtio_net_backend_gone(pair->net) &&
           (pair->rx_vq->enabled || pair->tx_vq->enabled);
}

bool virtio_net_pair_try_start(VirtIONetPair *pair, Error **errp)
{
    if (!pair_can_start(pair)) {
        return true;
    }
    pair->features = pair->net->vdev.guest_features;
    if (!virtio_net_pair_may_vhost(pair)) {
        return pair_start_here(pair, errp);
    }
    if (!virtio_net_vhost_start(pair, errp)) {
        return false;
    }
    pair->owner = PAIR_OWNER_VHOST;
    pair_free_scratch(pair);
    virtio_net_pair_drop_iothread(pair);
    if (pair->move_untold) {
        pair->move_untold = false;
        virtio_net_mapping_event(pair, NULL);
    }
    return true;
}

/* vhost-net does not take the pair, for the reason @err, which is freed. */
static void pair_refused(VirtIONetPair *pair, Error *err) MAIN_THREAD
{
    VirtIODevice *vdev = &pair->net->vdev;

    if (pair->rx_vq->fault || pair->tx_vq->fault) {
        VirtQueue *vq = pair->rx_vq->fault ? pair->rx_vq : pair->tx_vq;

        /* The driver's doing: user space would fare no better. */
        virtio_queue_error(vdev, vq, "%s", vq->fault);
    } else if (pair->backend->vhost_user) {
        /* One that broke the connection is told of when it is dropped. */
        if (!vhost_user_ready(pair->backend->vhost_user)) {
            g_error_free(err);
            return;
        }
        warn_report("%s: pair %u: vhost-user: %s", device_label(&vdev->dev),
                    pair->index, err->message);
    } else if (pair->vhost_required) {
        virtio_error(vdev, "pair %u: vhost: %s%s", pair->index, err->message,
                     pair->backend->vhost_vdpa ? "" : " (vhostforce=on)");
    } else {
        warn_report("%s: pair %u: vhost: %s; user space takes the pair over",
                    device_label(&vdev->dev), pair->index, err->message);
        virtio_net_vhost_refused(pair, err->message);
        pair->failed = true;
        pair->move_untold = false;
        pair_start_io(pair);
        virtio_net_mapping_event(pair, err->message);
    }
    g_error_free(err);
}

void virtio_net_pair_start(VirtIONetPair *pair)
{
    Error *err = NULL;

    if (!virtio_net_pair_try_start(pair, &err)) {
        pair_refused(pair, err);
    }
}

void virtio_net_pair_stop(VirtIONetPair *pair)
{
    switch (pair->owner) {
    case PAIR_OWNER_IO:
        event_loop_call(pair->loop, pair_loop_stop, pair);
        pair->owner = PAIR_OWNER_MAIN;
        virtio_net_shadow_stop(pair);
        virtio_net_stats_end(pair);
        virtqueue_stop(pair->rx_vq);
        virtqueue_stop(pair->tx_vq);
        break;
    case PAIR_OWNER_VHOST:
        virtio_net_vhost_stop(pair);
        break;
    case PAIR_OWNER_MAIN:
        break;
    }
    pair->owner = PAIR_OWNER_MAIN;
}

void virtio_net_pair_restart(VirtIONetPair *pair)
{
    PairOwner owner = pair->owner;

    if (owner == PAIR_OWNER_MAIN) {
        return;
    }
    virtio_net_pair_stop(pair);
    virtio_net_pair_start(pair);
    if (pair->owner != owner && pair->owner != PAIR_OWNER_MAIN) {
        stat_add(&pair->stats.moves, 1);
    }
}

/* The owner has changed by something that was done to the subqueue, or will
 * when frames that wait are delivered. */
static void tell_rewired(VirtIONetPair *pair, PairOwner owner,
                         const char *reason) MAIN_THREAD
{
    if (pair->owner != owner && pair->owner != PAIR_OWNER_MAIN) {
        stat_add(&pair->stats.moves, 1);
        virtio_net_mapping_event(pair, reason);
    } else if (pair->owner == PAIR_OWNER_IO && pair->rx_rest) {
        pair->move_untold = true;
    }
}

void virtio_net_peer_rewire(NetClientState *nc, const NetRewire *rewire)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);
    g_autofree PairOwner *owner = g_new(PairOwner, net->max_pairs);

    for (unsigned i = 0; i < net->max_pairs; i++) {
        owner[i] = net->pair[i].owner;
        if (net->pair[i].backend == rewire->sq) {
            virtio_net_pair_stop(&net->pair[i]);
        }
    }
    rewire->act(rewire->opaque);
    for (unsigned i = 0; i < net->max_pairs; i++) {
        VirtIONetPair *pair = &net->pair[i];

        /* A process may have refused what there was before; and it may have
         * had a pair that is not active, which is not to be served. */
        bool again = rewire->sq->vhost_user && net->vdev.started;

        if (pair->backend == rewire->sq && i < net->active_pairs &&
            (owner[i] != PAIR_OWNER_MAIN || again)) {
            virtio_net_pair_start(pair);
            tell_rewired(pair, owner[i], rewire->reason);
        }
    }
}

void virtio_net_pairs_rested(void *opaque)
{
    VirtIONet *net = opaque;

    machine_lock_assert();
    for (unsigned i = 0; i < net->max_pairs; i++) {
        VirtIONetPair *pair = &net->pair[i];

        if (pair->owner == PAIR_OWNER_IO && pair->rx_rest &&
            __atomic_load_n(&pair->rx_rest_done, __ATOMIC_RELAXED)) {
            virtio_net_pair_restart(pair);
        }
    }
}

/* Attaches or detaches the pair's tap queue to match. */
static void pair_set_attached(VirtIONetPair *pair, bool on) MAIN_THREAD
{
    Error *err = NULL;

    if (pair->backend && !pair->shared && pair->backend->enabled != on &&
        !virtio_net_backend_gone(pair->net) &&
        !net_subqueue_set_enabled(pair->backend, on, &err)) {
        warn_report("%s: queue %u of netdev '%s': %s",
                    device_label(&pair->net->vdev.dev), pair->index,
                    pair->backend->nc->name, err->message);
        g_error_free(err);
    }
}

/* A process keeps the rings of a pair that is not active, and does not serve
 * them: DPDK would take all pairs down if it had to give back those of one. */
static void pair_deactivate(VirtIONetPair *pair) MAIN_THREAD
{
    if (!pair->net->vdev.started || pair->owner != PAIR_OWNER_VHOST ||
        !vhost_net_pause(pair->vhost, true)) {
        virtio_net_pair_stop(pair);
    }
}

void virtio_net_set_active_pairs(VirtIONet *net, unsigned n)
{
    /* A detached queue gives errors to a reader: the reader goes first. From
     * the detach on the host steers no frame to a pair that nobody reads. */
    for (unsigned i = n; i < net->max_pairs; i++) {
        pair_deactivate(&net->pair[i]);
        pair_set_attached(&net->pair[i], false);
        virtio_net_rss_inbox_accept(&net->pair[i], false);
    }
    for (unsigned i = 0; i < n; i++) {
        pair_set_attached(&net->pair[i], true);
        virtio_net_rss_inbox_accept(&net->pair[i], true);
        if (net->vdev.started && !virtio_net_vdpa(net) &&
            !(net->pair[i].owner == PAIR_OWNER_VHOST &&
              vhost_net_pause(net->pair[i].vhost, false))) {
            virtio_net_pair_start(&net->pair[i]);
        }
    }
    net->active_pairs = n;
}

void virtio_net_pairs_start(VirtIONet *net)
{
    if (virtio_net_vdpa(net)) {
        virtio_net_vdpa_start(net);
        return;
    }
    for (unsigned i = 0; i < net->active_pairs; i++) {
        virtio_net_pair_start(&net->pair[i]);
    }
}

void virtio_net_pairs_stop(VirtIONet *net)
{
    for (unsigned i = net->max_pairs; i-- > 0;) {
        virtio_net_pair_stop(&net->pair[i]);
    }
}

void virtio_net_pairs_reset(VirtIONet *net)
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        pair_free_scratch(&net->pair[i]);
        net->pair[i].failed = false;
        if (net->pair[i].vhost) {
            vhost_net_reset(net->pair[i].vhost);
        }
        virtio_net_rss_inbox_accept(&net->pair[i], false);
        virtio_net_rss_inbox_accept(&net->pair[i], i < net->active_pairs);
    }
}
