/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pairs on vhost-net: the kernel worker moves their packets, none of our
 * functions sees one.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"

static void vhost_ring_error(void *opaque, unsigned queue) MAIN_THREAD
{
    VirtIONetPair *pair = opaque;
    VirtQueue *vq = queue ? pair->tx_vq : pair->rx_vq;

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

uint64_t virtio_net_vhost_features(VirtIONet *net, uint64_t features)
{
    uint64_t mask = vhost_net_feature_mask();

    for (unsigned i = 0; i < net->max_pairs; i++) {
        if (net->pair[i].want_vhost && net->pair[i].vhost) {
            features &= vhost_net_features(net->pair[i].vhost) | ~mask;
        }
    }
    return features;
}

bool virtio_net_vhost_start(VirtIONetPair *pair, Error **errp)
{
    return virtio_net_vhost_prepare(pair, errp) &&
           vhost_net_start(pair->vhost, pair->rx_vq, pair->tx_vq,
                           pair->backend->fd, pair->features, errp);
}

void virtio_net_vhost_stop(VirtIONetPair *pair)
{
    vhost_net_stop(pair->vhost);
}
