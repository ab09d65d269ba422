/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The link as NIC, netdev and what is behind it say, and what follows for the
 * pairs.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"

/* While the link is down nothing may pass, but a vhost worker knows no links:
 * user space takes its pairs over, and drops. */
void virtio_net_move_vhost_pairs(VirtIONet *net)
{
    if (virtio_net_vdpa(net)) {
        virtio_net_pairs_stop(net);
        if (net->vdev.started) {
            virtio_net_pairs_start(net);
        }
        return;
    }
    /* Others were at most left with a process that does not serve them. */
    for (unsigned i = net->active_pairs; i < net->max_pairs; i++) {
        virtio_net_pair_stop(&net->pair[i]);
    }
    for (unsigned i = 0; i < net->active_pairs && net->vdev.started; i++) {
        VirtIONetPair *pair = &net->pair[i];
        bool process = pair->backend && pair->backend->vhost_user;

        if (pair->want_vhost || process) {
            virtio_net_pair_restart(pair);
        }
        /* One whose process could do nothing for it was left alone. */
        if (process) {
            virtio_net_pair_start(pair);
        }
    }
}

void virtio_net_update_link(VirtIONet *net)
{
    const NetClientState *nc = &net->nic;
    bool up = !nc->link_down &&
              !(nc->peer && (nc->peer->link_down || nc->peer->no_carrier)) &&
              !nc->lost_peer && !virtio_net_backend_gone(net);
    bool before = virtio_net_link_shown(net);

    net->shows_down = nc->peer && nc->peer->shows_down;
    if (up != net->link_up) {
        __atomic_store_n(&net->link_up, up, __ATOMIC_RELAXED);
        virtio_net_move_vhost_pairs(net);
    }
    if (before != virtio_net_link_shown(net)) {
        virtio_notify_config(&net->vdev);
    }
}
