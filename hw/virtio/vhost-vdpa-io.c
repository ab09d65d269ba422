/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ioctls of Linux's vhost-vdpa, and the messages that map memory
 * (<linux/vhost.h>, <linux/vhost_types.h>).
 *
 * Threads: under the machine lock; no state here.
 */
#include "util/osdep.h"

#include <linux/vhost.h>
#include <sys/ioctl.h>

#include "hw/virtio/vhost-vdpa-internal.h"

static int vdpa_ioctl(int fd, unsigned long request, void *arg)
{
    int r;

    do {
        r = ioctl(fd, request, arg);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

int vdpa_get_device_id(int fd, uint32_t *id)
{
    return vdpa_ioctl(fd, VHOST_VDPA_GET_DEVICE_ID, id);
}

int vdpa_get_status(int fd, uint8_t *status)
{
    return vdpa_ioctl(fd, VHOST_VDPA_GET_STATUS, status);
}

int vdpa_set_status(int fd, uint8_t status)
{
    return vdpa_ioctl(fd, VHOST_VDPA_SET_STATUS, &status);
}

int vdpa_get_config(int fd, void *config, uint32_t len)
{
    g_autofree struct vhost_vdpa_config *c =
        g_malloc0(sizeof(struct vhost_vdpa_config) + len);
    int r;

    c->len = len;
    r = vdpa_ioctl(fd, VHOST_VDPA_GET_CONFIG, c);
    memcpy(config, c->buf, len);
    return r;
}

int vdpa_set_config_call(int fd, int eventfd)
{
    return vdpa_ioctl(fd, VHOST_VDPA_SET_CONFIG_CALL, &eventfd);
}

int vdpa_get_backend_features(int fd, uint64_t *features)
{
    __u64 v = 0;
    int r = vdpa_ioctl(fd, VHOST_GET_BACKEND_FEATURES, &v);

    *features = v;
    return r;
}

int vdpa_set_backend_features(int fd, uint64_t features)
{
    __u64 v = features;

    return vdpa_ioctl(fd, VHOST_SET_BACKEND_FEATURES, &v);
}

int vdpa_get_iova_range(int fd, uint64_t *first, uint64_t *last)
{
    struct vhost_vdpa_iova_range range = { 0 };
    int r = vdpa_ioctl(fd, VHOST_VDPA_GET_IOVA_RANGE, &range);

    *first = range.first;
    *last = range.last;
    return r;
}

int vdpa_get_vring_num(int fd, uint16_t *num)
{
    return vdpa_ioctl(fd, VHOST_VDPA_GET_VRING_NUM, num);
}

int vdpa_get_vqs_count(int fd, uint32_t *count)
{
    return vdpa_ioctl(fd, VHOST_VDPA_GET_VQS_COUNT, count);
}

int vdpa_set_vring_addr(int fd, unsigned ring, uint64_t desc, uint64_t driver,
                        uint64_t device)
{
    struct vhost_vring_addr a = { .index = ring,
                                  .desc_user_addr = desc,
                                  .avail_user_addr = driver,
                                  .used_user_addr = device };

    return vdpa_ioctl(fd, VHOST_SET_VRING_ADDR, &a);
}

int vdpa_set_vring_enable(int fd, unsigned ring)
{
    struct vhost_vring_state s = { .index = ring, .num = 1 };

    return vdpa_ioctl(fd, VHOST_VDPA_SET_VRING_ENABLE, &s);
}

int vdpa_suspend(int fd)
{
    return vdpa_ioctl(fd, VHOST_VDPA_SUSPEND, NULL);
}

static int send_message(int fd, uint8_t type, const VdpaMapping *m)
{
    struct vhost_msg_v2 msg = {
        .type = VHOST_IOTLB_MSG_V2,
        .iotlb = { .iova = m->iova,
                   .size = m->size,
                   .uaddr = type == VHOST_IOTLB_UPDATE ? (uintptr_t)m->host : 0,
                   .perm = type == VHOST_IOTLB_UPDATE ? VHOST_ACCESS_RW : 0,
                   .type = type },
    };
    ssize_t r;

    do {
        r = write(fd, &msg, sizeof(msg));
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r == (ssize_t)sizeof(msg) ? 0 : -EIO;
}

int vdpa_map(int fd, const VdpaMapping *m)
{
    return send_message(fd, VHOST_IOTLB_UPDATE, m);
}

int vdpa_unmap(int fd, const VdpaMapping *m)
{
    return send_message(fd, VHOST_IOTLB_INVALIDATE, m);
}

int vdpa_batch(int fd, bool begin)
{
    static const VdpaMapping none;

    return send_message(
        fd, begin ? VHOST_IOTLB_BATCH_BEGIN : VHOST_IOTLB_BATCH_END, &none);
}
