/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How vhost.c talks to whoever moves the packets: the kernel
 * (vhost-kernel-ops.c), a process behind a socket (vhost-user-ring.c) or a vDPA
 * device (vhost-vdpa-ring.c).
 *
 * Threads: under the machine lock.
 */
#ifndef HW_VIRTIO_VHOST_INTERNAL_H
#define HW_VIRTIO_VHOST_INTERNAL_H

#include <linux/vhost_types.h>

#include "hw/virtio/vhost-user.h"
#include "hw/virtio/vhost-vdpa.h"
#include "hw/virtio/vhost.h"
#include "system/dirty-log.h"

/* The other side of one queue pair. */
typedef struct VhostDev {
    /* the kernel's */
    int fd; /* the netdev's */
    uint32_t busyloop_us;
    /* a process's */
    VhostUser *user;
    unsigned pair; /* its rings there are 2 * pair and the next */
    /* where the pages that it writes are to be told; NULL: nowhere. begin and
     * ring_describe see to it, and log where rings run */
    DirtyLog *log;
    bool shadow; /* they are not the guest's (vhost-user-shadow.c) */
    /* a vDPA device's, and @pair */
    VhostVdpa *vdpa;
} VhostDev;

/* Functions return 0 or -errno, and where it failed in *@step. @ring: 0 or 1
 * of the pair. */
typedef struct VhostOps {
    const char *name; /* for messages */
    /* The feature bits that it implements itself; all others are between driver
     * and device, or device and netdev. */
    uint64_t mask;
    bool peeks; /* ring_base works while the ring is served, which goes on */

    int (*features)(const VhostDev *dev, uint64_t *features);
    /* Before the first ring: what the driver chose, and guest memory. */
    int (*begin)(const VhostDev *dev, uint64_t features, const char **step);
    /* All rings of the pair are on; may be NULL. */
    void (*started)(const VhostDev *dev);
    /* All are back; may be NULL. */
    void (*end)(const VhostDev *dev);
    /* Guest memory has changed. */
    int (*memory)(const VhostDev *dev);
    int (*ring_describe)(const VhostDev *dev, unsigned ring,
                         const VirtQueue *vq, int error_fd, const char **step);
    /* From here on it serves the ring. If this fails where there is ring_lost,
     * it may have done so for a while. */
    int (*ring_on)(const VhostDev *dev, unsigned ring, const VirtQueue *vq,
                   int backend_fd, const char **step);
    /* Keeps the ring, but is not to serve it, or is again; NULL: cannot. */
    void (*ring_pause)(const VhostDev *dev, unsigned ring, bool pause);
    /* No more, once this returns. */
    void (*ring_off)(const VhostDev *dev, unsigned ring);
    int (*ring_base)(const VhostDev *dev, unsigned ring, const VirtQueue *vq,
                     uint16_t *base);
    /* Where to go on with a ring whose base nobody tells any more. False: it is
     * lost. NULL: where the used index says. */
    bool (*ring_lost)(const VhostDev *dev, unsigned ring, const VirtQueue *vq,
                      uint16_t *base);
    /* Takes the eventfds away; may be NULL. */
    void (*ring_forget)(const VhostDev *dev, unsigned ring);
    /* The driver has reset the device; may be NULL. */
    void (*reset)(const VhostDev *dev);
    /* dev->log is new, and those rings in @vq run that are not NULL. NULL: it
     * cannot tell what it writes. */
    int (*log)(const VhostDev *dev, uint64_t features, VirtQueue *const vq[2],
               const char **step);
    /* Brings what was written into dev->log; NULL: it is there. */
    void (*log_sync)(const VhostDev *dev);
    /* The log is over, and nothing writes to it; may be NULL. */
    void (*log_end)(const VhostDev *dev);
} VhostOps;

/* Features of frames and rings: whoever serves all of a network card's rings
 * decides on them. */
#define VHOST_BIT(n) (1ULL << (n))
#define VHOST_FRAME_FEATURES                                                  \
    (VHOST_BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | VHOST_BIT(VIRTIO_F_ANY_LAYOUT) |   \
     VHOST_BIT(VIRTIO_RING_F_INDIRECT_DESC) |                                 \
     VHOST_BIT(VIRTIO_RING_F_EVENT_IDX) | VHOST_BIT(VIRTIO_F_VERSION_1) |     \
     VHOST_BIT(VIRTIO_F_RING_PACKED) | VHOST_BIT(VIRTIO_F_IN_ORDER) |         \
     VHOST_BIT(VIRTIO_NET_F_CSUM) | VHOST_BIT(VIRTIO_NET_F_GUEST_CSUM) |      \
     VHOST_BIT(VIRTIO_NET_F_GSO) | VHOST_BIT(VIRTIO_NET_F_GUEST_TSO4) |       \
     VHOST_BIT(VIRTIO_NET_F_GUEST_TSO6) | VHOST_BIT(VIRTIO_NET_F_GUEST_ECN) | \
     VHOST_BIT(VIRTIO_NET_F_GUEST_UFO) | VHOST_BIT(VIRTIO_NET_F_GUEST_USO4) | \
     VHOST_BIT(VIRTIO_NET_F_GUEST_USO6) | VHOST_BIT(VIRTIO_NET_F_HOST_TSO4) | \
     VHOST_BIT(VIRTIO_NET_F_HOST_TSO6) | VHOST_BIT(VIRTIO_NET_F_HOST_ECN) |   \
     VHOST_BIT(VIRTIO_NET_F_HOST_UFO) | VHOST_BIT(VIRTIO_NET_F_HOST_USO) |    \
     VHOST_BIT(VIRTIO_NET_F_MRG_RXBUF))

extern const VhostOps vhost_kernel_ops, vhost_user_ops, vhost_vdpa_ops;

#endif
