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
/* A process behind the netdev is told the MTU that the driver was told. */
bool virtio_net_vhost_tell_mtu(const VirtIONetPair *pair, Error **errp)
    MAIN_THREAD;

/* ---- virtio-net-shadow.c ---- */

/* May an iothread serve the pair, of a vhost-user netdev, as things are? */
bool virtio_net_shadow_may(const VirtIONetPair *pair) MAIN_THREAD;
/* Gives the process rings of ours. @buffers: it may fill them. */
bool virtio_net_shadow_start(VirtIONetPair *pair, bool buffers, Error **errp)
    MAIN_THREAD;
/* Takes them back, if it has any; the pair is stopped, its rings are not yet.
 */
void virtio_net_shadow_stop(VirtIONetPair *pair) MAIN_THREAD;

/* ---- virtio-net-vhost.c ---- */

/* False where only what is behind the netdev can serve the pair. */
bool virtio_net_pair_may_io(const VirtIONetPair *pair, Error **errp)
    MAIN_THREAD;
/* As NetClientInfo says. */
bool virtio_net_peer_ready(NetClientState *nc, Error **errp) MAIN_THREAD;
void virtio_net_vhost_stop(VirtIONetPair *pair) MAIN_THREAD;

/* ---- virtio-net-vdpa.c ---- */

/* The device that serves all pairs, as a whole; NULL: it is not so. */
struct VhostVdpa *virtio_net_vdpa(const VirtIONet *net);
/* Takes over address, MTU and ring sizes of the device behind the netdev, where
 * the user says nothing else. False: what the user says, or the driver was
 * told, is not possible. Without such a device nothing is done. */
bool virtio_net_vdpa_adopt(VirtIONet *net, Error **errp) MAIN_THREAD;
/* Starts all pairs that the driver could use, if the link is up, and tells the
 * device what the driver has said by its control queue. */
void virtio_net_vdpa_start(VirtIONet *net) MAIN_THREAD;
/* virtio_net_ctrl_command(), and the device is told. */
uint8_t virtio_net_vdpa_command(VirtIONet *net, uint8_t cls, uint8_t cmd,
                                const uint8_t *data, size_t len,
                                GByteArray *reply) MAIN_THREAD;
/* Its configuration has changed: can it go on? */
void virtio_net_vdpa_check(VirtIONet *net) MAIN_THREAD;

/* As NetClientInfo says. */
bool virtio_net_set_vhost_affinity(NetClientState *nc, const uint16List *pairs,
                                   const uint16List *cpus, Error **errp)
    MAIN_THREAD;

#endif
