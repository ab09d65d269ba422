/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of vhost-vdpa share.
 *
 *   vhost-vdpa.c       the device: what it can do, configuration, start
 *   vhost-vdpa-io.c    ioctls and messages
 *   vhost-vdpa-mem.c   guest memory, and ours, at I/O addresses
 *   vhost-vdpa-ring.c  VhostOps: rings of a pair; the device stops
 *   vhost-vdpa-ctrl.c  the device's control queue, whose driver we are
 *
 * Threads: under the machine lock.
 */
#ifndef HW_VIRTIO_VHOST_VDPA_INTERNAL_H
#define HW_VIRTIO_VHOST_VDPA_INTERNAL_H

#include "hw/virtio/vhost-internal.h"
#include "hw/virtio/vhost-vdpa.h"
#include "util/event-loop.h"

/* Bits of the back-end features, which <linux/vhost_types.h> may be too old
 * for. */
enum {
    VDPA_F_IOTLB_MSG_V2 = 1,
    VDPA_F_IOTLB_BATCH = 2,
    VDPA_F_SUSPEND = 4,
    VDPA_F_ENABLE_AFTER_DRIVER_OK = 6,
};

/* What is mapped at the device: guest memory at its own addresses. */
typedef struct VdpaMapping {
    uint64_t iova, size;
    void *host;
} VdpaMapping;

/* A ring that the device has been told of. */
typedef struct VdpaRing {
    bool described;
    int kick_fd; /* the queue's */
} VdpaRing;

typedef struct VdpaCtrl VdpaCtrl;

struct VhostVdpa {
    /* fixed after creation */
    int fd;
    uint64_t features; /* of the device */
    uint64_t backend_features;
    uint64_t iova_first, iova_last; /* addresses that it can be given */
    unsigned pairs, ring_max;
    int config_fd; /* eventfd of configuration changes */
    FdWatch config_watch;
    VhostVdpaChangedFunc *changed;
    void *opaque;

    /* main thread */
    unsigned started; /* pairs whose rings it has */
    bool log_missed;  /* it was said that what it writes is not logged */
    bool runs;        /* DRIVER_OK, and not stopped since */
    bool ran;         /* since the last reset */
    bool suspended;   /* stopped, and knows its positions */
    uint64_t acked;   /* features in use */
    GArray *mapped;   /* of VdpaMapping: guest memory that it was told of */
    VdpaRing *ring;   /* 2 * pairs */
    VdpaCtrl *ctrl;   /* NULL: has no control queue, or not now */
};

/* A bit of the back-end features is offered, and so in use. */
static inline bool vdpa_backend_has(const VhostVdpa *vdpa, unsigned bit)
{
    return vdpa->backend_features & 1ULL << bit;
}

/* ---- vhost-vdpa-io.c: one call each; 0 or -errno ---- */

int vdpa_get_device_id(int fd, uint32_t *id);
int vdpa_get_status(int fd, uint8_t *status);
int vdpa_set_status(int fd, uint8_t status);
int vdpa_get_config(int fd, void *config, uint32_t len);
int vdpa_set_config_call(int fd, int eventfd);
int vdpa_get_backend_features(int fd, uint64_t *features);
int vdpa_set_backend_features(int fd, uint64_t features);
int vdpa_get_iova_range(int fd, uint64_t *first, uint64_t *last);
int vdpa_get_vring_num(int fd, uint16_t *num);
int vdpa_get_vqs_count(int fd, uint32_t *count);
int vdpa_set_vring_addr(int fd, unsigned ring, uint64_t desc, uint64_t driver,
                        uint64_t device);
int vdpa_set_vring_enable(int fd, unsigned ring);
int vdpa_suspend(int fd);
int vdpa_map(int fd, const VdpaMapping *m);
int vdpa_unmap(int fd, const VdpaMapping *m);
/* Several of the last two follow, or have been. */
int vdpa_batch(int fd, bool begin);

/* ---- vhost-vdpa-mem.c ---- */

/* Tells of guest memory as it is now, or takes all of it away. */
int vdpa_memory_tell(VhostVdpa *vdpa, const char **step) MAIN_THREAD;
void vdpa_memory_forget(VhostVdpa *vdpa) MAIN_THREAD;
/* Where @size bytes (of whole pages) fit beside guest memory. False: nowhere.
 */
bool vdpa_memory_place(const VhostVdpa *vdpa, uint64_t size, uint64_t *iova);

/* ---- vhost-vdpa.c ---- */

/* Status 0; the device forgets everything. */
int vdpa_reset(VhostVdpa *vdpa) MAIN_THREAD;
/* From reset to FEATURES_OK: @features are the driver's. */
int vdpa_negotiate(VhostVdpa *vdpa, uint64_t features, const char **step)
    MAIN_THREAD;

/* ---- vhost-vdpa-ctrl.c ---- */

/* Makes the queue and tells the device of it, as ring @number, if it is used.
 */
int vdpa_ctrl_start(VhostVdpa *vdpa, unsigned number, const char **step)
    MAIN_THREAD;
/* The device has been reset. */
void vdpa_ctrl_stop(VhostVdpa *vdpa) MAIN_THREAD;
/* The first look of a device that runs. */
void vdpa_ctrl_kick(VhostVdpa *vdpa) MAIN_THREAD;

#endif
