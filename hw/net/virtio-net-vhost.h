/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pairs that somebody outside this process serves: vhost-net, or the process
 * behind a vhost-user netdev. A part of virtio-net-internal.h, which includes
 * it.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_NET_VIRTIO_NET_VHOST_H
#define HW_NET_VIRTIO_NET_VHOST_H

/* Removes from @features what the vhost back-ends of mapped pairs lack. */
uint64_t virtio_net_vhost_features(VirtIONet *net, uint64_t features)
    MAIN_THREAD;
/* What of @features vhost-net, as the pair has it, or any, knows nothing of. */
uint64_t virtio_net_vhost_lacks(const VirtIONetPair *pair, uint64_t features)
    MAIN_THREAD;
/* True when the driver uses, or has been promised, what vhost-net cannot do. */
bool virtio_net_needs_user_space(const VirtIONet *net) MAIN_THREAD;
/* Opens the pair's vhost device on that of @sq (once). */
bool virtio_net_vhost_open(VirtIONetPair *pair, const NetSubqueue *sq,
                           Error **errp) MAIN_THREAD;
/* The same on that of its subqueue. */
bool virtio_net_vhost_prepare(VirtIONetPair *pair, Error **errp) MAIN_THREAD;
bool virtio_net_vhost_start(VirtIONetPair *pair, Error **errp) MAIN_THREAD;
/* False where only a process behind the netdev can serve the pair. */
bool virtio_net_pair_may_io(const VirtIONetPair *pair, Error **errp)
    MAIN_THREAD;
/* As NetClientInfo says. */
bool virtio_net_peer_ready(NetClientState *nc, Error **errp) MAIN_THREAD;
void virtio_net_vhost_stop(VirtIONetPair *pair) MAIN_THREAD;
/* As NetClientInfo says. */
bool virtio_net_set_vhost_affinity(NetClientState *nc, const uint16List *pairs,
                                   const uint16List *cpus, Error **errp)
    MAIN_THREAD;

#endif
