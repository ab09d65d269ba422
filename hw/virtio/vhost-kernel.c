/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ioctls of Linux's vhost and vhost-net (<linux/vhost.h>).
 *
 * Threads: under the machine lock; no state here.
 */
#include "util/osdep.h"

#include <linux/vhost.h>
#include <sys/ioctl.h>

#include "hw/virtio/vhost.h"

static int vhost_ioctl(int fd, unsigned long request, void *arg)
{
    int r;

    do {
        r = ioctl(fd, request, arg);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

int vhost_kernel_set_owner(int fd)
{
    return vhost_ioctl(fd, VHOST_SET_OWNER, NULL);
}

int vhost_kernel_reset_owner(int fd)
{
    return vhost_ioctl(fd, VHOST_RESET_OWNER, NULL);
}

int vhost_kernel_get_features(int fd, uint64_t *features)
{
    __u64 v = 0;
    int r = vhost_ioctl(fd, VHOST_GET_FEATURES, &v);

    *features = v;
    return r;
}

int vhost_kernel_set_features(int fd, uint64_t features)
{
    __u64 v = features;

    return vhost_ioctl(fd, VHOST_SET_FEATURES, &v);
}

int vhost_kernel_set_mem_table(int fd, const RamMap *map)
{
    size_t size = sizeof(struct vhost_memory) +
                  map->n * sizeof(struct vhost_memory_region);
    g_autofree struct vhost_memory *mem = g_malloc0(size);

    mem->nregions = map->n;
    for (unsigned i = 0; i < map->n; i++) {
        mem->regions[i].guest_phys_addr = map->range[i].gpa;
        mem->regions[i].memory_size = map->range[i].size;
        mem->regions[i].userspace_addr = (uintptr_t)map->range[i].host;
    }
    return vhost_ioctl(fd, VHOST_SET_MEM_TABLE, mem);
}

int vhost_kernel_set_vring_num(int fd, unsigned queue, unsigned num)
{
    struct vhost_vring_state s = { .index = queue, .num = num };

    return vhost_ioctl(fd, VHOST_SET_VRING_NUM, &s);
}

int vhost_kernel_set_vring_base(int fd, unsigned queue, unsigned base)
{
    struct vhost_vring_state s = { .index = queue, .num = base };

    return vhost_ioctl(fd, VHOST_SET_VRING_BASE, &s);
}

int vhost_kernel_get_vring_base(int fd, unsigned queue, unsigned *base)
{
    struct vhost_vring_state s = { .index = queue };
    int r = vhost_ioctl(fd, VHOST_GET_VRING_BASE, &s);

    *base = s.num;
    return r;
}

int vhost_kernel_set_vring_addr(int fd, unsigned queue, const void *desc,
                                const void *avail, void *used)
{
    struct vhost_vring_addr a = {
        .index = queue,
        .desc_user_addr = (uintptr_t)desc,
        .avail_user_addr = (uintptr_t)avail,
        .used_user_addr = (uintptr_t)used,
    };

    return vhost_ioctl(fd, VHOST_SET_VRING_ADDR, &a);
}

int vhost_kernel_set_vring_addr_logged(int fd, unsigned queue,
                                       const VirtQueue *vq)
{
    struct vhost_vring_addr a = {
        .index = queue,
        .flags = 1u << VHOST_VRING_F_LOG,
        .desc_user_addr = (uintptr_t)vq->desc,
        .avail_user_addr = (uintptr_t)vq->avail,
        .used_user_addr = (uintptr_t)vq->used,
        .log_guest_addr = vq->used_gpa,
    };

    return vhost_ioctl(fd, VHOST_SET_VRING_ADDR, &a);
}

int vhost_kernel_set_log_base(int fd, uint64_t *bitmap)
{
    __u64 base = (uintptr_t)bitmap;

    return vhost_ioctl(fd, VHOST_SET_LOG_BASE, &base);
}

static int vhost_set_file(int fd, unsigned long request, unsigned queue,
                          int file)
{
    struct vhost_vring_file f = { .index = queue, .fd = file };

    return vhost_ioctl(fd, request, &f);
}

int vhost_kernel_set_vring_kick(int fd, unsigned queue, int eventfd)
{
    return vhost_set_file(fd, VHOST_SET_VRING_KICK, queue, eventfd);
}

int vhost_kernel_set_vring_call(int fd, unsigned queue, int eventfd)
{
    return vhost_set_file(fd, VHOST_SET_VRING_CALL, queue, eventfd);
}

int vhost_kernel_set_vring_err(int fd, unsigned queue, int eventfd)
{
    return vhost_set_file(fd, VHOST_SET_VRING_ERR, queue, eventfd);
}

int vhost_kernel_set_busyloop(int fd, unsigned queue, uint32_t microseconds)
{
    struct vhost_vring_state s = { .index = queue, .num = microseconds };

    return vhost_ioctl(fd, VHOST_SET_VRING_BUSYLOOP_TIMEOUT, &s);
}

int vhost_kernel_net_set_backend(int fd, unsigned queue, int backend_fd)
{
    return vhost_set_file(fd, VHOST_NET_SET_BACKEND, queue, backend_fd);
}
