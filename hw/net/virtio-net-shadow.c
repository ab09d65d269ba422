/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pairs of a vhost-user netdev that an iothread serves: the process has rings
 * of ours meanwhile, and the netdev's recv and send move frames between these
 * and the pair.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "hw/virtio/vhost-user-shadow.h"

static VhostUserShadow *pair_shadow(const VirtIONetPair *pair)
{
    const NetSubqueue *sq = pair->backend;

    return sq && sq->vhost_user ? vhost_user_shadow(sq->vhost_user, sq->index)
                                : NULL;
}

bool virtio_net_shadow_may(const VirtIONetPair *pair)
{
    return pair->net->link_up && pair_shadow(pair) &&
           vhost_user_ready(pair->backend->vhost_user);
}

bool virtio_net_shadow_start(VirtIONetPair *pair, bool buffers, Error **errp)
{
    const VirtIODevice *vdev = &pair->net->vdev;
    VhostUserShadowConfig config = {
        .features = vdev->guest_features,
        .hdr_len = virtio_net_hdr_len(pair->net),
        .mergeable = virtio_has_feature(vdev, VIRTIO_NET_F_MRG_RXBUF),
        .one_part = !virtio_is_legacy(vdev) ||
                    virtio_has_feature(vdev, VIRTIO_F_ANY_LAYOUT),
        .rx = pair->rx_vq->enabled,
        .tx = pair->tx_vq->enabled,
        .buffers = buffers,
    };

    return virtio_net_vhost_prepare(pair, errp) &&
           virtio_net_vhost_tell_mtu(pair, errp) &&
           vhost_user_shadow_start(pair_shadow(pair), pair->vhost, &config,
                                   errp);
}

/* What the process has delivered and the driver has not got yet waits for it.
 * Where filters take frames a turn may give none although there are more. */
static void save_frames(VirtIONetPair *pair, const VhostUserShadow *shadow)
    MAIN_THREAD
{
    unsigned left = 2 * VHOST_USER_SHADOW_FRAMES, turns = left;
    bool more = pair->rx_vq->running;

    pair_assert_stopped(pair);
    for (; more && turns > 0; turns--) {
        more = virtio_net_rx_save(pair, &left) ||
               (left && vhost_user_shadow_has_frames(shadow));
    }
}

void virtio_net_shadow_stop(VirtIONetPair *pair)
{
    VhostUserShadow *shadow = pair_shadow(pair);

    if (shadow && vhost_user_shadow_runs(shadow)) {
        stat_add(&pair->stats.tx_dropped,
                 vhost_user_shadow_stop(shadow, pair->vhost));
        save_frames(pair, shadow);
        vhost_user_shadow_clear(shadow);
    }
}
