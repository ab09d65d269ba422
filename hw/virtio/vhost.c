/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order in which rings go to a vhost worker and come back.
 *
 * Start: features, memory table, then for each ring NUM, BASE, ADDR, CALL,
 * ERR, KICK, and last the back-end, which sets the worker to work. Stop is
 * the way back: back-end off (the worker is done with the ring when the ioctl
 * returns), position read, eventfds taken away.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/vhost.h>

#include "hw/virtio/vhost.h"
#include "hw/virtio/virtio-bits.h"
#include "system/main-loop.h"
#include "util/fd.h"

#define VHOST_NET_RINGS 2u

typedef struct VhostRing {
    /* fixed after creation */
    VhostNet *vhost;
    unsigned index;
    int error_fd;

    /* main thread */
    VirtQueue *vq; /* NULL: not handed over */
    bool backend_on;
    FdWatch error_watch;
} VhostRing;

struct VhostNet {
    /* fixed after creation */
    int fd; /* the netdev's */
    uint64_t features;
    uint32_t busyloop_us;
    bool owned; /* by this process: it has a worker */
    int tid;    /* the worker's; -1: not known */
    VhostErrorFunc *error;
    void *opaque;

    /* main thread */
    bool started;
    uint64_t acked; /* features as set at the last start */
    unsigned n_ranges;
    RamListener *ram_listener;
    VhostRing ring[VHOST_NET_RINGS];
};

uint64_t vhost_net_feature_mask(void)
{
    return 1ULL << VIRTIO_NET_F_MRG_RXBUF | 1ULL << VIRTIO_F_NOTIFY_ON_EMPTY |
           1ULL << VIRTIO_F_ANY_LAYOUT | 1ULL << VIRTIO_RING_F_INDIRECT_DESC |
           1ULL << VIRTIO_RING_F_EVENT_IDX | 1ULL << VIRTIO_F_VERSION_1 |
           1ULL << VIRTIO_F_RING_PACKED | 1ULL << VIRTIO_F_IN_ORDER;
}

int vhost_net_thread_id(const VhostNet *vhost)
{
    return vhost->tid;
}

uint64_t vhost_net_features(const VhostNet *vhost)
{
    return vhost->features;
}

static void ring_error_event(void *opaque, uint32_t events) MAIN_THREAD
{
    VhostRing *ring = opaque;

    if (eventfd_clear(ring->error_fd)) {
        ring->vhost->error(ring->vhost->opaque, ring->index);
    }
}

/* VHOST_SET_OWNER, which makes the worker; its thread id into *tid. */
static int take_owner(int fd, int *tid) MAIN_THREAD
{
    VhostWorkers *before = vhost_workers_note();
    int r = vhost_kernel_set_owner(fd);

    *tid = r == 0 ? vhost_workers_added(before) : -1;
    vhost_workers_free(before);
    return r;
}

VhostNet *vhost_net_new(int fd, uint32_t busyloop_us, VhostErrorFunc *error,
                        void *opaque, Error **errp)
{
    VhostNet *vhost = g_new0(VhostNet, 1);
    int r;

    vhost->fd = fd;
    vhost->busyloop_us = busyloop_us;
    vhost->error = error;
    vhost->opaque = opaque;
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        vhost->ring[i] =
            (VhostRing){ .vhost = vhost, .index = i, .error_fd = -1 };
    }
    r = take_owner(fd, &vhost->tid);
    if (r == -EBUSY) {
        /* A descriptor that was ours before, and could not be given back. */
        r = 0;
    }
    vhost->owned = r == 0;
    if (r == 0) {
        r = vhost_kernel_get_features(fd, &vhost->features);
    }
    if (r < 0) {
        error_setg_errno(errp, -r, "vhost descriptor %d is not usable", fd);
        goto free_vhost;
    }
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        vhost->ring[i].error_fd = eventfd_new(errp);
        if (vhost->ring[i].error_fd < 0) {
            goto free_vhost;
        }
    }
    return vhost;

free_vhost:
    vhost_net_free(vhost);
    return NULL;
}

void vhost_net_free(VhostNet *vhost)
{
    if (!vhost) {
        return;
    }
    vhost_net_stop(vhost);
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        fd_close(&vhost->ring[i].error_fd);
    }
    /* The descriptor stays open: without this, its worker would stay too. */
    if (vhost->owned) {
        (void)vhost_kernel_reset_owner(vhost->fd);
    }
    g_free(vhost);
}

static void vhost_ram_changed(void *opaque) MAIN_THREAD
{
    VhostNet *vhost = opaque;
    int r = vhost_kernel_set_mem_table(vhost->fd, ram_map_get());

    if (r == 0) {
        vhost->n_ranges = ram_map_get()->n;
    } else {
        warn_report("vhost does not take the new memory map: %s", strerror(-r));
        vhost->error(vhost->opaque, 0);
    }
}

/* Tells vhost all about one ring. 0 or -errno, with the failed step. */
static int ring_describe(VhostRing *ring, const char **step) MAIN_THREAD
{
    VirtQueue *vq = ring->vq;
    int fd = ring->vhost->fd;
    unsigned i = ring->index;
    int r;

    *step = "VHOST_SET_VRING_NUM";
    r = vhost_kernel_set_vring_num(fd, i, vq->size);
    if (r == 0) {
        *step = "VHOST_SET_VRING_BASE";
        r = vhost_kernel_set_vring_base(fd, i, virtqueue_get_base(vq));
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_ADDR";
        r = vhost_kernel_set_vring_addr(fd, i, vq->desc, vq->avail, vq->used);
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_CALL";
        r = vhost_kernel_set_vring_call(fd, i, vq->call_fd);
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_ERR";
        r = vhost_kernel_set_vring_err(fd, i, ring->error_fd);
    }
    if (r == 0) {
        *step = "VHOST_SET_VRING_KICK";
        r = vhost_kernel_set_vring_kick(fd, i, vq->kick_fd);
    }
    if (r == 0 && ring->vhost->busyloop_us) {
        *step = "VHOST_SET_VRING_BUSYLOOP_TIMEOUT";
        r = vhost_kernel_set_busyloop(fd, i, ring->vhost->busyloop_us);
    }
    return r;
}

static bool ring_start(VhostRing *ring, VirtQueue *vq, int backend_fd,
                       uint64_t features, Error **errp) MAIN_THREAD
{
    const char *step = "mapping the ring";
    int r = virtqueue_start(vq, features);

    if (r < 0) {
        error_setg(errp, "queue %u: %s", vq->index,
                   vq->fault ? vq->fault : strerror(-r));
        return false;
    }
    ring->vq = vq;
    r = ring_describe(ring, &step);
    if (r == 0) {
        step = "VHOST_NET_SET_BACKEND";
        r = vhost_kernel_net_set_backend(ring->vhost->fd, ring->index,
                                         backend_fd);
        ring->backend_on = r == 0;
    }
    if (r < 0) {
        error_setg_errno(errp, -r, "queue %u: %s", vq->index, step);
        return false;
    }
    fd_watch_start(&ring->error_watch, main_loop(), ring->error_fd, LOOP_IN,
                   ring_error_event, ring);
    /* Whatever was kicked, or read away by an earlier owner, is looked at. */
    eventfd_signal(vq->kick_fd);
    return true;
}

/* Where the worker stopped. Should it not tell, the used index in the ring is
 * the last that the driver knows of: what was between is taken again. */
static void ring_take_position(VhostRing *ring) MAIN_THREAD
{
    unsigned base = virtqueue_get_base(ring->vq);
    int r = vhost_kernel_get_vring_base(ring->vhost->fd, ring->index, &base);

    virtqueue_set_base(ring->vq, base);
    if (r < 0) {
        warn_report("queue %u: VHOST_GET_VRING_BASE: %s", ring->vq->index,
                    strerror(-r));
        virtqueue_set_base(ring->vq, ring->vq->used_idx);
    }
}

static void ring_stop(VhostRing *ring) MAIN_THREAD
{
    int fd = ring->vhost->fd;

    if (!ring->vq) {
        return;
    }
    fd_watch_stop(&ring->error_watch);
    if (ring->backend_on) {
        vhost_kernel_net_set_backend(fd, ring->index, -1);
        ring->backend_on = false;
        ring_take_position(ring);
    }
    vhost_kernel_set_vring_kick(fd, ring->index, -1);
    vhost_kernel_set_vring_call(fd, ring->index, -1);
    vhost_kernel_set_vring_err(fd, ring->index, -1);
    /* What nobody has read yet says nothing about the next start. */
    eventfd_clear(ring->error_fd);
    virtqueue_stop(ring->vq);
    ring->vq = NULL;
}

bool vhost_net_start(VhostNet *vhost, VirtQueue *rx, VirtQueue *tx,
                     int backend_fd, uint64_t features, Error **errp)
{
    VirtQueue *vq[VHOST_NET_RINGS] = { rx, tx };
    uint64_t mask = vhost_net_feature_mask() & vhost->features;
    int r;

    g_assert(!vhost->started);
    if (features & vhost_net_feature_mask() & ~vhost->features) {
        error_setg(errp, "the driver uses features that vhost-net lacks");
        return false;
    }
    r = vhost_kernel_set_features(vhost->fd, features & mask);
    if (r < 0) {
        error_setg_errno(errp, -r, "VHOST_SET_FEATURES");
        return false;
    }
    r = vhost_kernel_set_mem_table(vhost->fd, ram_map_get());
    if (r < 0) {
        error_setg_errno(errp, -r, "VHOST_SET_MEM_TABLE");
        return false;
    }
    vhost->started = true;
    vhost->acked = features & mask;
    vhost->n_ranges = ram_map_get()->n;
    vhost->ram_listener = ram_listener_add(vhost_ram_changed, vhost);
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        if (vq[i]->enabled &&
            !ring_start(&vhost->ring[i], vq[i], backend_fd, features, errp)) {
            vhost_net_stop(vhost);
            return false;
        }
    }
    return true;
}

void vhost_net_stop(VhostNet *vhost)
{
    if (!vhost->started) {
        return;
    }
    for (unsigned i = VHOST_NET_RINGS; i-- > 0;) {
        ring_stop(&vhost->ring[i]);
    }
    ram_listener_remove(vhost->ram_listener);
    vhost->ram_listener = NULL;
    vhost->started = false;
}

/* ---- for monitors ---- */

void vhost_net_inspect(const VhostNet *vhost, VhostNetState *state)
{
    *state = (VhostNetState){ .features = vhost->features,
                              .acked = vhost->acked,
                              .n_ranges = vhost->n_ranges,
                              .n_rings = VHOST_NET_RINGS };
}

bool vhost_net_has_ring(const VhostNet *vhost, unsigned ring)
{
    return ring < VHOST_NET_RINGS && vhost->ring[ring].backend_on;
}

bool vhost_net_ring_base(VhostNet *vhost, unsigned ring, uint16_t *base,
                         Error **errp)
{
    unsigned index = 0;
    int r = vhost_kernel_get_vring_base(vhost->fd, ring, &index);

    if (r < 0) {
        error_setg_errno(errp, -r, "VHOST_GET_VRING_BASE");
        return false;
    }
    *base = (uint16_t)index;
    return true;
}
