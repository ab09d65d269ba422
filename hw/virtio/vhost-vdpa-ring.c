/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings of a queue pair at a vDPA device.
 *
 * The first pair that starts resets the device, agrees on features and maps
 * memory; the first ring that is taken back stops all of them: SUSPEND, where
 * the device can, and it tells its positions; or a reset, and rings are taken
 * up where their used index says. The last pair resets the device and takes
 * the memory away.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/virtio/vhost-user-internal.h" /* places in rings */
#include "hw/virtio/vhost-vdpa-internal.h"
#include "hw/virtio/virtio-bits.h"

#define BIT(n) (1ULL << (n))

/* There is no way to tell the device what the driver does with them. */
#define UNTOLD (BIT(VIRTIO_NET_F_RSS) | BIT(VIRTIO_NET_F_HASH_REPORT))

/* By commands only. */
#define BY_COMMAND                                                   \
    (BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_RX) |              \
     BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | \
     BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS))

static unsigned ring_number(const VhostDev *dev, unsigned ring)
{
    return 2 * dev->pair + ring;
}

static int dev_features(const VhostDev *dev, uint64_t *features) MAIN_THREAD
{
    const VhostVdpa *v = dev->vdpa;

    *features = v->features & ~UNTOLD;
    if (!(v->features & BIT(VIRTIO_NET_F_CTRL_VQ))) {
        *features &= ~BY_COMMAND;
    }
    /* Where it was in a packed ring only the device can tell. */
    if (!vdpa_backend_has(v, VDPA_F_SUSPEND)) {
        *features &= ~BIT(VIRTIO_F_RING_PACKED);
    }
    return 0;
}

static int dev_begin(const VhostDev *dev, uint64_t features, const char **step)
    MAIN_THREAD
{
    VhostVdpa *v = dev->vdpa;
    int r = 0;

    if (v->started == 0) {
        bool missed = dirty_log_get() != NULL;

        if (missed && !v->log_missed) {
            warn_report("a vDPA device does not mark the pages that it writes: "
                        "they will be missing in the log that is kept");
        }
        v->log_missed = missed; /* drivers can start it again and again */
        r = vdpa_negotiate(v, features, step);
        if (r == 0) {
            r = vdpa_memory_tell(v, step);
        }
        if (r < 0) {
            vdpa_reset(v);
            vdpa_memory_forget(v);
        }
    } else if (v->ran) {
        *step = "the device has been started without this pair";
        r = -EBUSY;
    }
    if (r == 0) {
        v->started++;
    }
    return r;
}

static void dev_end(const VhostDev *dev) MAIN_THREAD
{
    VhostVdpa *v = dev->vdpa;

    if (--v->started == 0) {
        vdpa_reset(v);
        v->ran = false;
        vdpa_ctrl_stop(v);
        vdpa_memory_forget(v);
    }
}

static int dev_memory(const VhostDev *dev) MAIN_THREAD
{
    const char *step;

    return vdpa_memory_tell(dev->vdpa, &step);
}

/* ---- a ring ---- */

static int ring_describe(const VhostDev *dev, unsigned ring,
                         const VirtQueue *vq, int error_fd, const char **step)
    MAIN_THREAD
{
    VhostVdpa *v = dev->vdpa;
    unsigned n = ring_number(dev, ring);
    unsigned base = virtqueue_get_base(vq);
    int r;

    *step = "VHOST_SET_VRING_NUM";
    r = vhost_kernel_set_vring_num(v->fd, n, vq->size);
    if (r == 0) {
        /* Of a packed ring both positions, with their wrap counters. */
        *step = "VHOST_SET_VRING_BASE";
        r = vhost_kernel_set_vring_base(v->fd, n,
                                        vq->packed ? base | base << 16 : base);
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_ADDR";
        r = vdpa_set_vring_addr(v->fd, n, vq->desc_gpa, vq->avail_gpa,
                                vq->used_gpa);
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_CALL";
        r = vhost_kernel_set_vring_call(v->fd, n, vq->call_fd);
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_ERR";
        r = vhost_kernel_set_vring_err(v->fd, n, error_fd);
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_KICK";
        r = vhost_kernel_set_vring_kick(v->fd, n, vq->kick_fd);
    }
    v->ring[n] = (VdpaRing){ .described = r == 0, .kick_fd = vq->kick_fd };
    return r;
}

/* All rings go on together. */
static int ring_on(const VhostDev *dev, unsigned ring, const VirtQueue *vq,
                   int backend_fd, const char **step) MAIN_THREAD
{
    return 0;
}

/* Which pairs are served the device was told by a command. */
static void ring_pause(const VhostDev *dev, unsigned ring, bool pause)
    MAIN_THREAD
{
}

/* Any ring stops all of them. */
static void ring_off(const VhostDev *dev, unsigned ring) MAIN_THREAD
{
    VhostVdpa *v = dev->vdpa;

    if (!v->runs) {
        return;
    }
    v->runs = false;
    v->suspended =
        vdpa_backend_has(v, VDPA_F_SUSPEND) && vdpa_suspend(v->fd) == 0;
    if (!v->suspended) {
        vdpa_reset(v);
    }
}

static int ring_base(const VhostDev *dev, unsigned ring, const VirtQueue *vq,
                     uint16_t *base) MAIN_THREAD
{
    const VhostVdpa *v = dev->vdpa;
    unsigned num = *base;
    uint16_t place;

    if (!v->ran) {
        return 0;
    }
    if (!v->suspended ||
        vhost_kernel_get_vring_base(v->fd, ring_number(dev, ring), &num) < 0 ||
        !vhost_user_place_told(vq, num, &place)) {
        return -ENOTCONN;
    }
    *base = place;
    return 0;
}

static bool ring_lost(const VhostDev *dev, unsigned ring, const VirtQueue *vq,
                      uint16_t *base) MAIN_THREAD
{
    *base = vq->used_idx;
    return !vq->packed || virtqueue_find_place(vq, base);
}

static void ring_forget(const VhostDev *dev, unsigned ring) MAIN_THREAD
{
    VhostVdpa *v = dev->vdpa;
    unsigned n = ring_number(dev, ring);

    vhost_kernel_set_vring_kick(v->fd, n, -1);
    vhost_kernel_set_vring_call(v->fd, n, -1);
    vhost_kernel_set_vring_err(v->fd, n, -1);
    v->ring[n].described = false;
}

/* What the device decides. The driver's control queue is ours, and so is what
 * needs nothing of the device. */
const VhostOps vhost_vdpa_ops = {
    .name = "vhost-vdpa",
    .mask = VHOST_FRAME_FEATURES | BY_COMMAND | UNTOLD,
    .features = dev_features,
    .begin = dev_begin,
    .end = dev_end,
    .memory = dev_memory,
    .ring_describe = ring_describe,
    .ring_on = ring_on,
    .ring_pause = ring_pause,
    .ring_off = ring_off,
    .ring_base = ring_base,
    .ring_lost = ring_lost,
    .ring_forget = ring_forget,
};
