/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadow rings: what a vhost-user process serves in the place of the guest's
 * rings while this process moves the frames of a pair itself, to filter,
 * capture or limit them.
 *
 * Rings and buffers lie in a file of ours that the process is told of as one
 * more region of memory, at an address that no guest memory can have. We are
 * their driver (hw/virtio/vring-driver.h): frames are copied between the
 * buffers and what the pair gives. The process sees a driver like any other.
 *
 * Threads: marked; recv and send belong to the owner of the pair, and to the
 * holder of the machine lock while it has none.
 */
#ifndef HW_VIRTIO_VHOST_USER_SHADOW_H
#define HW_VIRTIO_VHOST_USER_SHADOW_H

#include <sys/uio.h>

#include "hw/virtio/vhost-user.h"
#include "hw/virtio/vhost.h"

/* Descriptors, and so frames, of a ring. */
#define VHOST_USER_SHADOW_FRAMES 256u

typedef struct VhostUserShadow VhostUserShadow;

typedef struct VhostUserShadowConfig {
    uint64_t features; /* as negotiated with the driver */
    unsigned hdr_len;  /* of the virtio-net header, with these features */
    bool mergeable;    /* a frame may be in several buffers */
    bool one_part;     /* header and frame may share a descriptor */
    bool rx, tx;       /* the rings that there are */
    bool buffers;      /* the process gets buffers to fill */
} VhostUserShadowConfig;

/* What @user needs to have shadow rings for pair @pair, which it owns from then
 * on; none are made yet. False and *errp when descriptors run out. */
bool vhost_user_shadow_init(VhostUser *user, unsigned pair, Error **errp)
    MAIN_THREAD;
/* That of the pair; NULL: it has none. */
VhostUserShadow *vhost_user_shadow(const VhostUser *user, unsigned pair);
/* Descriptors for NetSubqueue.fd and .room_fd; they stay for its life. */
int vhost_user_shadow_frames_fd(const VhostUserShadow *shadow);
int vhost_user_shadow_room_fd(const VhostUserShadow *shadow);

/* Makes rings and hands them to the process of @vhost, which has none. */
bool vhost_user_shadow_start(VhostUserShadow *shadow, VhostNet *vhost,
                             const VhostUserShadowConfig *config, Error **errp)
    MAIN_THREAD;
/*
 * Takes them back: waits a little for the process to take what it was sent.
 * What it has delivered can still be received, until vhost_user_shadow_clear().
 * Frames that it did not take are lost; how many.
 */
unsigned vhost_user_shadow_stop(VhostUserShadow *shadow, VhostNet *vhost)
    MAIN_THREAD;
/* Are there frames that were delivered, or may be such, to be received? */
bool vhost_user_shadow_has_frames(const VhostUserShadow *shadow) MAIN_THREAD;
/* The rings are no more. */
void vhost_user_shadow_clear(VhostUserShadow *shadow) MAIN_THREAD;
/* Ring @ring (0 or 1) is of no use because of @what the process did: it is
 * treated as gone. */
void vhost_user_shadow_fail(VhostUserShadow *shadow, unsigned ring,
                            const char *what) MAIN_THREAD;
/* It has been started, and not stopped. */
bool vhost_user_shadow_runs(const VhostUserShadow *shadow);

/* As NetClientInfo says. */
ssize_t vhost_user_shadow_recv(VhostUserShadow *shadow, const struct iovec *iov,
                               unsigned n);
/* Adds a frame; the process sees it after vhost_user_shadow_flush(). */
ssize_t vhost_user_shadow_send(VhostUserShadow *shadow, const struct iovec *iov,
                               unsigned n);
void vhost_user_shadow_flush(VhostUserShadow *shadow);

#endif
