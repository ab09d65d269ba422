/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a network device tells by itself (virtio-net-watch.c), for hw/net only.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_NET_VIRTIO_NET_WATCH_H
#define HW_NET_VIRTIO_NET_WATCH_H

#include "hw/virtio/virtio.h"
#include "system/vm-clock.h"

typedef struct VirtIONet VirtIONet;
typedef struct VirtIONetPair VirtIONetPair;

/* What the last look at a ring has found. */
typedef struct RingWatch {
    bool waiting; /* there was something to do */
    bool stalled; /* nothing of it was done for too long, and that was told */
    uint16_t used;
    uint64_t frames;
    int64_t since_ns; /* by the machine's clock: when @used was seen first */
} RingWatch;

extern const PropertyInfo prop_info_stall_timeout;
/* At the end of realize, and at unrealize. */
void virtio_net_watch_init(VirtIONet *net) MAIN_THREAD;
void virtio_net_watch_end(VirtIONet *net) MAIN_THREAD;
/* The device was started or stopped, or its netdev came or went. */
void virtio_net_watch_update(VirtIONet *net) MAIN_THREAD;
/* Device reset / queue reset: stalls are over. */
void virtio_net_watch_reset(VirtIONet *net) MAIN_THREAD;
void virtio_net_watch_queue_reset(VirtIONet *net, const VirtQueue *vq)
    MAIN_THREAD;
/* As VirtIODeviceClass says: the event. */
void virtio_net_fault(VirtIODevice *vdev, const VirtQueue *vq,
                      const char *reason) MAIN_THREAD;
/* vhost-net did not take the pair, and user space will: the event. */
void virtio_net_vhost_refused(VirtIONetPair *pair, const char *reason)
    MAIN_THREAD;

#endif
