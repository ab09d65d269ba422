/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost: handing rings to a worker outside this process.
 *
 * vhost.c has the order of the hand-over, vhost-kernel.c the ioctls of
 * <linux/vhost.h>, vhost-user-ring.c the messages to a process. One VhostNet
 * serves one queue pair: queue 0 receives, queue 1 transmits.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_VIRTIO_VHOST_H
#define HW_VIRTIO_VHOST_H

#include "hw/virtio/virtio.h"

typedef struct VhostUser VhostUser; /* hw/virtio/vhost-user.h */
typedef struct VhostVdpa VhostVdpa; /* hw/virtio/vhost-vdpa.h */

/* Why a worker gave up on a ring; called on the main loop. */
typedef void VhostErrorFunc(void *opaque, unsigned queue);

/*
 * Takes @fd, an open /dev/vhost-net that stays the caller's, as ours
 * (VHOST_SET_OWNER) and reads what it can do. @busyloop_us: busy polling,
 * 0 for none. NULL and *errp when the kernel refuses.
 */
VhostNet *vhost_net_new(int fd, uint32_t busyloop_us, VhostErrorFunc *error,
                        void *opaque, Error **errp) MAIN_THREAD;
/*
 * Rings of pair number @pair at the process behind @user, which outlives it and
 * need not be connected. NULL and *errp where guest memory cannot be shared.
 */
VhostNet *vhost_net_new_user(VhostUser *user, unsigned pair,
                             VhostErrorFunc *error, void *opaque, Error **errp)
    MAIN_THREAD;
/* Rings of pair number @pair at the device @vdpa, which outlives it. */
VhostNet *vhost_net_new_vdpa(VhostVdpa *vdpa, unsigned pair,
                             VhostErrorFunc *error, void *opaque, Error **errp)
    MAIN_THREAD;
/* "vhost-net", "vhost-user" or "vhost-vdpa". */
const char *vhost_net_name(const VhostNet *vhost);
/* Stops it, ends its worker and gives the descriptor, which is open, back as it
 * came (VHOST_RESET_OWNER). NULL is allowed. */
void vhost_net_free(VhostNet *vhost) MAIN_THREAD;

/* The worker's thread id on the host, -1: not known (a descriptor that had its
 * worker before, or several came at once). */
int vhost_net_thread_id(const VhostNet *vhost);
/* VHOST_GET_FEATURES; of a process, what the last one that was connected has.
 */
uint64_t vhost_net_features(const VhostNet *vhost);
/* The feature bits that it implements itself; all others are between driver and
 * device or driver and tap. */
uint64_t vhost_net_feature_mask(const VhostNet *vhost);

/*
 * Hands over the enabled ones of @rx and @tx, and starts the worker on
 * @backend_fd. @features as negotiated with the driver. A kick that was
 * written before is not lost: the worker looks once after the start. On false
 * both rings are ours again, as they were.
 */
bool vhost_net_start(VhostNet *vhost, VirtQueue *rx, VirtQueue *tx,
                     int backend_fd, uint64_t features, Error **errp)
    MAIN_THREAD;
/* The same with rings that are not the guest's but ready, with nothing to be
 * taken back from them (hw/virtio/vhost-user-shadow.h). Of a process only. */
bool vhost_net_start_shadow(VhostNet *vhost, VirtQueue *rx, VirtQueue *tx,
                            uint64_t features, Error **errp) MAIN_THREAD;
/* Stops the worker and takes the rings' positions back into the queues. */
void vhost_net_stop(VhostNet *vhost) MAIN_THREAD;
/* Has the worker keep the rings and not serve them, or serve them again. False:
 * it has none, or this kind of worker cannot. */
bool vhost_net_pause(VhostNet *vhost, bool pause) MAIN_THREAD;
/* The driver has reset the device: nothing of the rings is worth keeping. */
void vhost_net_reset(VhostNet *vhost) MAIN_THREAD;

/* What a monitor shows. */
typedef struct VhostNetState {
    uint64_t features; /* offered */
    uint64_t acked;    /* in use since the last start */
    unsigned n_ranges; /* of guest memory that the worker was told of */
    unsigned n_rings;
    uint64_t protocol; /* vhost-user's extensions in use */
} VhostNetState;
void vhost_net_inspect(const VhostNet *vhost, VhostNetState *state) MAIN_THREAD;
/* The worker has @ring (0 or 1). */
bool vhost_net_has_ring(const VhostNet *vhost, unsigned ring) MAIN_THREAD;
/* Can the next be asked? */
bool vhost_net_peeks(const VhostNet *vhost);
/* The next available entry that the worker, which goes on, will take. False: a
 * process does not tell. */
bool vhost_net_ring_base(VhostNet *vhost, unsigned ring, uint16_t *base,
                         Error **errp) MAIN_THREAD;

/* ---- vhost-worker.c ---- */

/* The threads that may be vhost's workers, as of now. */
typedef struct VhostWorkers VhostWorkers;
VhostWorkers *vhost_workers_note(void) MAIN_THREAD;
void vhost_workers_free(VhostWorkers *workers);
/* The id of the one that came since; -1: none, or it cannot be told which. */
int vhost_workers_added(const VhostWorkers *before) MAIN_THREAD;

/* ---- vhost-kernel.c: one ioctl each; 0 or -errno ---- */

int vhost_kernel_set_owner(int fd);
int vhost_kernel_reset_owner(int fd);
int vhost_kernel_get_features(int fd, uint64_t *features);
int vhost_kernel_set_features(int fd, uint64_t features);
int vhost_kernel_set_mem_table(int fd, const RamMap *map);
int vhost_kernel_set_vring_num(int fd, unsigned queue, unsigned num);
int vhost_kernel_set_vring_base(int fd, unsigned queue, unsigned base);
int vhost_kernel_get_vring_base(int fd, unsigned queue, unsigned *base);
int vhost_kernel_set_vring_addr(int fd, unsigned queue, const void *desc,
                                const void *avail, void *used);
/* The same of a ring that runs or is to run, with its used ring logged. */
int vhost_kernel_set_vring_addr_logged(int fd, unsigned queue,
                                       const VirtQueue *vq);
/* Where pages that are written are marked; features and rings say if. */
int vhost_kernel_set_log_base(int fd, uint64_t *bitmap);
int vhost_kernel_set_vring_kick(int fd, unsigned queue, int eventfd);
int vhost_kernel_set_vring_call(int fd, unsigned queue, int eventfd);
int vhost_kernel_set_vring_err(int fd, unsigned queue, int eventfd);
int vhost_kernel_set_busyloop(int fd, unsigned queue, uint32_t microseconds);
int vhost_kernel_net_set_backend(int fd, unsigned queue, int backend_fd);

#endif
