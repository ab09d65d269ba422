/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pairs on vhost-net: the kernel worker moves their packets, none of our
 * functions sees one.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <poll.h>

#include "hw/net/virtio-net-internal.h"
#include "system/main-loop.h"

/* True when the device that the tap's fd is a queue of was deleted. */
static bool backend_is_dead(const VirtIONetPair *pair)
{
    struct pollfd p = { .fd = pair->backend->fd };

    return poll(&p, 1, 0) > 0 && (p.revents & POLLERR);
}

static void vhost_ring_error(void *opaque, unsigned queue) MAIN_THREAD
{
    VirtIONetPair *pair = opaque;
    VirtQueue *vq = queue ? pair->tx_vq : pair->rx_vq;

    /* A worker that cannot send says the same as one that cannot read the
     * ring, which is the driver's fault. */
    if (backend_is_dead(pair)) {
        virtio_net_backend_lost(pair->net);
        return;
    }
    virtio_error(&pair->net->vdev, "queue %u: vhost-net gave the ring up",
                 vq->index);
}

bool virtio_net_vhost_prepare(VirtIONetPair *pair, Error **errp)
{
    const NetCaps *caps = &pair->backend->nc->caps;

    if (!pair->vhost) {
        pair->vhost =
            vhost_net_new(pair->backend->vhost_fd, caps->vhost_poll_us,
                          vhost_ring_error, pair, errp);
    }
    return pair->vhost != NULL;
}

/* What only user space does: vhost-net lets no interrupt wait and shows no
 * counters. */
#define USER_SPACE_ONLY                                                   \
    (1ULL << VIRTIO_NET_F_NOTF_COAL | 1ULL << VIRTIO_NET_F_VQ_NOTF_COAL | \
     1ULL << VIRTIO_NET_F_DEVICE_STATS | 1ULL << VIRTIO_NET_F_GUEST_HDRLEN)

bool virtio_net_needs_user_space(const VirtIONet *net)
{
    uint64_t used = net->vdev.guest_features;

    return (used & USER_SPACE_ONLY) ||
           (net->conf.features & 1ULL << VIRTIO_NET_F_HASH_REPORT) ||
           (net->rss && net->rss->how == NET_RSS_STEERING_USER);
}

uint64_t virtio_net_vhost_features(VirtIONet *net, uint64_t features)
{
    uint64_t mask = vhost_net_feature_mask();

    for (unsigned i = 0; i < net->max_pairs; i++) {
        if (net->pair[i].want_vhost && net->pair[i].vhost) {
            features &= vhost_net_features(net->pair[i].vhost) | ~mask;
            features &= ~USER_SPACE_ONLY;
        }
    }
    return features;
}

/* An idle worker does not tell when the device behind its fd goes away: the
 * main loop looks out for that, and for nothing else of the fd. */
static void backend_error(void *opaque, uint32_t events) MAIN_THREAD
{
    VirtIONetPair *pair = opaque;

    fd_watch_stop(&pair->backend_watch);
    virtio_net_backend_lost(pair->net);
}

bool virtio_net_vhost_start(VirtIONetPair *pair, Error **errp)
{
    if (!virtio_net_vhost_prepare(pair, errp) ||
        !vhost_net_start(pair->vhost, pair->rx_vq, pair->tx_vq,
                         pair->backend->fd, pair->features, errp)) {
        return false;
    }
    fd_watch_start(&pair->backend_watch, main_loop(), pair->backend->fd, 0,
                   backend_error, pair);
    return true;
}

void virtio_net_vhost_stop(VirtIONetPair *pair)
{
    VirtQueue *vq[] = { pair->rx_vq, pair->tx_vq };

    fd_watch_stop(&pair->backend_watch);
    vhost_net_stop(pair->vhost);
    /* Frames that the worker took from the ring after the device had gone are
     * lost to it, and never used: they are taken again. */
    for (unsigned i = 0; i < ARRAY_SIZE(vq); i++) {
        if (vq[i]->enabled && virtio_net_backend_gone(pair->net)) {
            virtqueue_set_base(vq[i], vq[i]->used_idx);
        }
    }
}
