/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-net as vhost.c uses it: for each ring NUM, BASE, ADDR, CALL, ERR, KICK,
 * and last the back-end, which sets the worker to work.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/virtio/vhost-internal.h"
#include "hw/virtio/virtio-bits.h"

static int kernel_features(const VhostDev *dev, uint64_t *features)
{
    return vhost_kernel_get_features(dev->fd, features);
}

static int kernel_memory(const VhostDev *dev)
{
    return vhost_kernel_set_mem_table(dev->fd, ram_map_get());
}

static int kernel_set_features(const VhostDev *dev, uint64_t features,
                               const char **step)
{
    int r = 0;

    if (dev->log) {
        *step = "VHOST_SET_LOG_BASE";
        r = vhost_kernel_set_log_base(dev->fd, dev->log->bitmap);
        features |= 1ULL << VHOST_F_LOG_ALL;
    }
    if (r == 0) {
        *step = "VHOST_SET_FEATURES";
        r = vhost_kernel_set_features(dev->fd, features);
    }
    return r;
}

static int kernel_begin(const VhostDev *dev, uint64_t features,
                        const char **step)
{
    int r = kernel_set_features(dev, features, step);

    if (r == 0) {
        *step = "VHOST_SET_MEM_TABLE";
        r = kernel_memory(dev);
    }
    return r;
}

static int kernel_set_addr(const VhostDev *dev, unsigned ring,
                           const VirtQueue *vq)
{
    return dev->log ? vhost_kernel_set_vring_addr_logged(dev->fd, ring, vq)
                    : vhost_kernel_set_vring_addr(dev->fd, ring, vq->desc,
                                                  vq->avail, vq->used);
}

static int kernel_ring_describe(const VhostDev *dev, unsigned ring,
                                const VirtQueue *vq, int error_fd,
                                const char **step)
{
    int fd = dev->fd;
    int r;

    *step = "VHOST_SET_VRING_NUM";
    r = vhost_kernel_set_vring_num(fd, ring, vq->size);
    if (r == 0) {
        *step = "VHOST_SET_VRING_BASE";
        r = vhost_kernel_set_vring_base(fd, ring, virtqueue_get_base(vq));
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_ADDR";
        r = kernel_set_addr(dev, ring, vq);
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_CALL";
        r = vhost_kernel_set_vring_call(fd, ring, vq->call_fd);
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_ERR";
        r = vhost_kernel_set_vring_err(fd, ring, error_fd);
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_KICK";
        r = vhost_kernel_set_vring_kick(fd, ring, vq->kick_fd);
    }
    if (r == 0 && dev->busyloop_us) {
        *step = "VHOST_SET_VRING_BUSYLOOP_TIMEOUT";
        r = vhost_kernel_set_busyloop(fd, ring, dev->busyloop_us);
    }
    return r;
}

static int kernel_ring_on(const VhostDev *dev, unsigned ring,
                          const VirtQueue *vq, int backend_fd,
                          const char **step)
{
    *step = "VHOST_NET_SET_BACKEND";
    return vhost_kernel_net_set_backend(dev->fd, ring, backend_fd);
}

static void kernel_ring_off(const VhostDev *dev, unsigned ring)
{
    vhost_kernel_net_set_backend(dev->fd, ring, -1);
}

static int kernel_ring_base(const VhostDev *dev, unsigned ring,
                            const VirtQueue *vq, uint16_t *base)
{
    unsigned index = *base;
    int r = vhost_kernel_get_vring_base(dev->fd, ring, &index);

    *base = (uint16_t)index;
    return r;
}

static void kernel_ring_forget(const VhostDev *dev, unsigned ring)
{
    vhost_kernel_set_vring_kick(dev->fd, ring, -1);
    vhost_kernel_set_vring_call(dev->fd, ring, -1);
    vhost_kernel_set_vring_err(dev->fd, ring, -1);
}

/* The worker sets its bits in the log itself. It holds a ring's lock while it
 * serves the ring: after the ioctls it does as they say. */
static int kernel_log(const VhostDev *dev, uint64_t features,
                      VirtQueue *const vq[2], const char **step)
{
    int r = kernel_set_features(dev, features, step);

    for (unsigned i = 0; r == 0 && i < 2; i++) {
        *step = "VHOST_SET_VRING_ADDR";
        r = vq[i] ? kernel_set_addr(dev, i, vq[i]) : 0;
    }
    return r;
}

const VhostOps vhost_kernel_ops = {
    .name = "vhost-net",
    .mask = 1ULL << VIRTIO_NET_F_MRG_RXBUF | 1ULL << VIRTIO_F_NOTIFY_ON_EMPTY |
            1ULL << VIRTIO_F_ANY_LAYOUT | 1ULL << VIRTIO_RING_F_INDIRECT_DESC |
            1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_F_VERSION_1 |
            1ULL << VIRTIO_F_RING_PACKED | 1ULL << VIRTIO_F_IN_ORDER,
    .peeks = true,
    .features = kernel_features,
    .begin = kernel_begin,
    .memory = kernel_memory,
    .ring_describe = kernel_ring_describe,
    .ring_on = kernel_ring_on,
    .ring_off = kernel_ring_off,
    .ring_base = kernel_ring_base,
    .ring_forget = kernel_ring_forget,
    .log = kernel_log,
};
