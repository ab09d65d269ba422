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
#include "system/main-loop.h"
#include "system/machine-lock.h"
#include "util/fd.h"

void pair_assert_owner(VirtIONetPair *pair)
{
    g_assert(event_loop_is_current(pair->loop));
}

void pair_fault(VirtIONetPair *pair, VirtQueue *vq)
{
    pair->faulted = true;
    fd_watch_stop(&pair->backend_watch);
    fd_watch_stop(&pair->rx_watch);
    fd_watch_stop(&pair->tx_watch);
    virtio_error(&pair->net->vdev, "queue %u: %s", vq->index,
                 vq->fault ? vq->fault : "invalid ring");
}

void pair_backend_gone(VirtIONetPair *pair)
{
    fd_watch_stop(&pair->backend_watch);
    if (!__atomic_exchange_n(&pair->net->backend_gone, true,
                             __ATOMIC_RELAXED)) {
        loop_task_schedule(&pair->net->gone_task);
    }
}

void pair_update_backend_watch(VirtIONetPair *pair)
{
    uint32_t events = 0;

    if (!pair->backend_watch.loop) {
        return;
    }
    if (pair->rx_vq->running && !pair->rx_starved) {
        events |= LOOP_IN;
    }
    if (pair->tx_full) {
        events |= LOOP_OUT;
    }
    if (events != pair->backend_watch.events) {
        fd_watch_set_events(&pair->backend_watch, events);
    }
}

/* ---- in the owner's loop ---- */

static void backend_event(void *opaque, uint32_t events)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    if (events & (LOOP_ERR | LOOP_HUP)) {
        pair_backend_gone(pair);
        return;
    }
    if ((events & LOOP_OUT) && pair->tx_full) {
        pair->tx_full = false;
        virtio_net_tx(pair);
        pair_update_backend_watch(pair);
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

static void pair_loop_start(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    fd_watch_start(&pair->backend_watch, pair->loop, pair->backend->fd,
                   pair->rx_vq->running ? LOOP_IN : 0, backend_event, pair);
    if (pair->rx_vq->running) {
        fd_watch_start(&pair->rx_watch, pair->loop, pair->rx_vq->kick_fd,
                       LOOP_IN, rx_kick, pair);
        virtio_net_rx(pair);
    }
    if (pair->tx_vq->running && !pair->faulted) {
        fd_watch_start(&pair->tx_watch, pair->loop, pair->tx_vq->kick_fd,
                       LOOP_IN, tx_kick, pair);
        virtio_net_tx(pair);
    }
}

static void pair_loop_stop(void *opaque)
{
    VirtIONetPair *pair = opaque;

    pair_assert_owner(pair);
    fd_watch_stop(&pair->backend_watch);
    fd_watch_stop(&pair->rx_watch);
    fd_watch_stop(&pair->tx_watch);
    loop_task_cancel(&pair->rx_task);
    loop_task_cancel(&pair->tx_task);
    if (pair->rx_vq->running) {
        virtio_net_rx_stop(pair);
    }
}

/* ---- moving pairs ---- */

/* Copies what the datapath needs from the negotiated features. */
static void pair_set_features(VirtIONetPair *pair) MAIN_THREAD
{
    VirtIODevice *vdev = &pair->net->vdev;
    bool gso;

    pair->mergeable = virtio_has_feature(vdev, VIRTIO_NET_F_MRG_RXBUF);
    pair->hdr_num_buffers = pair->mergeable || !virtio_is_legacy(vdev);
    pair->hdr_len = pair->hdr_num_buffers ? sizeof(struct virtio_net_hdr_v1)
                                          : sizeof(struct virtio_net_hdr);
    pair->tx_csum = virtio_has_feature(vdev, VIRTIO_NET_F_CSUM);
    pair->tx_tso4 = virtio_has_feature(vdev, VIRTIO_NET_F_HOST_TSO4) ||
                    virtio_has_feature(vdev, VIRTIO_NET_F_GSO);
    pair->tx_tso6 = virtio_has_feature(vdev, VIRTIO_NET_F_HOST_TSO6) ||
                    virtio_has_feature(vdev, VIRTIO_NET_F_GSO);
    pair->tx_ecn = virtio_has_feature(vdev, VIRTIO_NET_F_HOST_ECN) ||
                   virtio_has_feature(vdev, VIRTIO_NET_F_GSO);
    pair->tx_ufo = virtio_has_feature(vdev, VIRTIO_NET_F_HOST_UFO);
    pair->tx_uso = virtio_has_feature(vdev, VIRTIO_NET_F_HOST_USO);
    gso = virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_TSO4) ||
          virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_TSO6) ||
          virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_UFO) ||
          virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_USO4) ||
          virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_USO6);
    /* Without segmentation a frame is an MTU, a VLAN tag and a header long;
     * a longer one takes the spill buffer's way. */
    pair->rx_window =
        gso ? VIRTIO_NET_RX_MAX
            : pair->hdr_len + 18u + 4u + MAX(pair->net->conf.host_mtu, 1500u);
}

static bool pair_map_rings(VirtIONetPair *pair) MAIN_THREAD
{
    VirtQueue *vq[] = { pair->rx_vq, pair->tx_vq };

    for (unsigned i = 0; i < ARRAY_SIZE(vq); i++) {
        if (vq[i]->enabled &&
            virtqueue_start(vq[i], pair->net->vdev.guest_features) < 0) {
            virtio_error(&pair->net->vdev, "queue %u: %s", vq[i]->index,
                         vq[i]->fault);
            if (i == 1) {
                virtqueue_stop(vq[0]);
            }
            return false;
        }
    }
    return true;
}

void virtio_net_pair_prepare(VirtIONetPair *pair)
{
    pair_set_features(pair);
    if (!pair->rx) {
        pair->rx = rx_scratch_new();
        pair->tx_iov = g_new(struct iovec, VIRTQUEUE_MAX_SEGS + 1);
    }
    pair->faulted = pair->rx_starved = pair->tx_full = false;
    loop_task_init(&pair->rx_task, pair->loop, rx_again, pair);
    loop_task_init(&pair->tx_task, pair->loop, tx_again, pair);
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
    virtio_net_pair_prepare(pair);
    pair->owner = PAIR_OWNER_IO;
    event_loop_call(pair->loop, pair_loop_start, pair);
}

static void pair_free_scratch(VirtIONetPair *pair) MAIN_THREAD
{
    rx_scratch_free(pair->rx);
    g_free(pair->tx_iov);
    pair->rx = NULL;
    pair->tx_iov = NULL;
}

/* True when the worker took the pair; false: user space has to. */
static bool pair_start_vhost(VirtIONetPair *pair) MAIN_THREAD
{
    VirtIODevice *vdev = &pair->net->vdev;
    Error *err = NULL;

    if (rx_scratch_waiting(pair->rx)) {
        stat_add(&pair->stats.rx_errors, 1);
    }
    pair_free_scratch(pair);
    if (virtio_net_vhost_start(pair, &err)) {
        pair->owner = PAIR_OWNER_VHOST;
        return true;
    }
    if (pair->rx_vq->fault || pair->tx_vq->fault) {
        /* The driver's doing: user space would fare no better. */
        virtio_error(vdev, "%s", err->message);
        g_error_free(err);
        return true;
    }
    if (pair->vhost_required) {
        virtio_error(vdev, "pair %u: vhost: %s (vhostforce=on)", pair->index,
                     err->message);
        g_error_free(err);
        return true;
    }
    warn_report("%s: pair %u: vhost: %s; user space takes the pair over",
                device_label(&vdev->dev), pair->index, err->message);
    g_error_free(err);
    pair->failed = true;
    return false;
}

void virtio_net_pair_start(VirtIONetPair *pair)
{
    if (pair->owner != PAIR_OWNER_MAIN || !pair->backend ||
        pair->backend->fd < 0 || virtio_net_backend_gone(pair->net) ||
        !(pair->rx_vq->enabled || pair->tx_vq->enabled)) {
        return;
    }
    pair->features = pair->net->vdev.guest_features;
    if (pair->want_vhost && !pair->failed && pair_start_vhost(pair)) {
        return;
    }
    pair_start_io(pair);
}

void virtio_net_pair_stop(VirtIONetPair *pair)
{
    switch (pair->owner) {
    case PAIR_OWNER_IO:
        event_loop_call(pair->loop, pair_loop_stop, pair);
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

/* Attaches or detaches the pair's tap queue to match. */
static void pair_set_attached(VirtIONetPair *pair, bool on) MAIN_THREAD
{
    Error *err = NULL;

    if (pair->backend && pair->backend->enabled != on &&
        !virtio_net_backend_gone(pair->net) &&
        !net_subqueue_set_enabled(pair->backend, on, &err)) {
        warn_report("%s: queue %u of netdev '%s': %s",
                    device_label(&pair->net->vdev.dev), pair->index,
                    pair->backend->nc->name, err->message);
        g_error_free(err);
    }
}

void virtio_net_set_active_pairs(VirtIONet *net, unsigned n)
{
    /* A detached queue gives errors to a reader: the reader goes first. From
     * the detach on the host steers no frame to a pair that nobody reads. */
    for (unsigned i = n; i < net->max_pairs; i++) {
        virtio_net_pair_stop(&net->pair[i]);
        pair_set_attached(&net->pair[i], false);
    }
    for (unsigned i = 0; i < n; i++) {
        pair_set_attached(&net->pair[i], true);
        if (net->vdev.started) {
            virtio_net_pair_start(&net->pair[i]);
        }
    }
    net->active_pairs = n;
}

void virtio_net_pairs_start(VirtIONet *net)
{
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
    }
}
