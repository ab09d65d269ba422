/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How vhost.c talks to whoever moves the packets: the kernel
 * (vhost-kernel-ops.c) or a process behind a socket (vhost-user-ring.c).
 *
 * Threads: under the machine lock.
 */
#ifndef HW_VIRTIO_VHOST_INTERNAL_H
#define HW_VIRTIO_VHOST_INTERNAL_H

#include "hw/virtio/vhost-user.h"
#include "hw/virtio/vhost.h"

/* The other side of one queue pair. */
typedef struct VhostDev {
    /* the kernel's */
    int fd; /* the netdev's */
    uint32_t busyloop_us;
    /* a process's */
    VhostUser *user;
    unsigned pair; /* its rings there are 2 * pair and the next */
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
} VhostOps;

extern const VhostOps vhost_kernel_ops, vhost_user_ops;

#endif
