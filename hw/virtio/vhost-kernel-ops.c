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

static int kernel_begin(const VhostDev *dev, uint64_t features,
                        const char **step)
{
    int r;

    *step = "VHOST_SET_FEATURES";
    r = vhost_kernel_set_features(dev->fd, features);
    if (r == 0) {
        *step = "VHOST_SET_MEM_TABLE";
        r = kernel_memory(dev);
    }
    return r;
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
        r = vhost_kernel_set_vring_addr(fd, ring, vq->desc, vq->avail,
                                        vq->used);
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
};
