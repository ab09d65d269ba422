/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The order in which rings go to a vhost back-end and come back.
 *
 * Start: features and memory, then each ring is described and switched on. Stop
 * is the way back: ring off (the back-end is done with it when that returns),
 * position read, eventfds taken away. VhostOps has the back-end's words for it.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/virtio/vhost-internal.h"
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
    const VhostOps *ops;
    VhostDev dev;
    uint64_t features; /* of the kernel's; a process may be another one now */
    bool owned;        /* by this process: it has a worker */
    int tid;           /* the worker's; -1: not known, or not ours */
    VhostErrorFunc *error;
    void *opaque;

    /* main thread */
    bool started;
    bool paused;    /* started, but no ring is served */
    uint64_t acked; /* features as set at the last start */
    unsigned n_ranges;
    RamListener *ram_listener;
    DirtySource *dirty;
    VhostRing ring[VHOST_NET_RINGS];
};

uint64_t vhost_net_feature_mask(const VhostNet *vhost)
{
    return vhost->ops->mask;
}

const char *vhost_net_name(const VhostNet *vhost)
{
    return vhost->ops->name;
}

int vhost_net_thread_id(const VhostNet *vhost)
{
    return vhost->tid;
}

uint64_t vhost_net_features(const VhostNet *vhost)
{
    uint64_t features = vhost->features;

    if (vhost->dev.user) {
        vhost->ops->features(&vhost->dev, &features);
    }
    return features;
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

/* ---- the log of written pages ---- */

/* It does not stop to write where the log was: now it does not write at all. */
static void take_rings(VhostNet *vhost) MAIN_THREAD
{
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        if (vhost->ring[i].backend_on) {
            vhost->ops->ring_off(&vhost->dev, i);
        }
    }
}

static int tell_log(const VhostNet *vhost, const char **step) MAIN_THREAD
{
    VirtQueue *const vq[] = { vhost->ring[0].vq, vhost->ring[1].vq };

    return vhost->started ? vhost->ops->log(&vhost->dev, vhost->acked, vq, step)
                          : 0;
}

static void vhost_dirty_stop(void *opaque) MAIN_THREAD
{
    VhostNet *vhost = opaque;
    const char *step = "";
    int r;

    if (!vhost->dev.log) {
        return;
    }
    vhost->dev.log = NULL;
    r = tell_log(vhost, &step);
    if (r < 0 && r != -ENOTCONN) {
        warn_report("%s goes on logging: %s: %s", vhost->ops->name, step,
                    strerror(-r));
        take_rings(vhost);
        vhost->error(vhost->opaque, 0);
    }
    if (vhost->ops->log_end) {
        vhost->ops->log_end(&vhost->dev);
    }
}

static bool vhost_dirty_start(void *opaque, DirtyLog *log, Error **errp)
    MAIN_THREAD
{
    VhostNet *vhost = opaque;
    const char *step = "it cannot tell what it writes";
    int r = -ENOTSUP;

    if (vhost->ops->log) {
        vhost->dev.log = log;
        r = tell_log(vhost, &step);
    }
    if (r == -ENOTSUP) {
        error_setg(errp, "%s: %s", vhost->ops->name, step);
        vhost->dev.log = NULL;
        return false;
    }
    /* Whoever connects next is told. */
    if (r < 0 && r != -ENOTCONN) {
        error_setg_errno(errp, -r, "%s: %s", vhost->ops->name, step);
        vhost_dirty_stop(vhost);
        return false;
    }
    return true;
}

static void vhost_dirty_sync(void *opaque, DirtyLog *log) MAIN_THREAD
{
    VhostNet *vhost = opaque;

    if (vhost->dev.log && vhost->ops->log_sync) {
        vhost->ops->log_sync(&vhost->dev);
    }
    /* The log of a packed ring is of its descriptors. */
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        const VirtQueue *vq = vhost->ring[i].vq;

        if (vq && vq->packed && !vhost->dev.shadow) {
            dirty_log_mark(log, vq->used_gpa, virtqueue_used_bytes(vq));
        }
    }
}

static const DirtySourceOps vhost_dirty_ops = {
    .start = vhost_dirty_start,
    .sync = vhost_dirty_sync,
    .stop = vhost_dirty_stop,
};

static VhostNet *net_new(const VhostOps *ops, VhostErrorFunc *error,
                         void *opaque) MAIN_THREAD
{
    VhostNet *vhost = g_new0(VhostNet, 1);

    vhost->ops = ops;
    vhost->dev.fd = -1;
    vhost->tid = -1;
    vhost->error = error;
    vhost->opaque = opaque;
    vhost->dirty = dirty_source_add(&vhost_dirty_ops, vhost);
    vhost->dev.log = ops->log ? dirty_log_get() : NULL;
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        vhost->ring[i] =
            (VhostRing){ .vhost = vhost, .index = i, .error_fd = -1 };
    }
    return vhost;
}

static bool make_error_fds(VhostNet *vhost, Error **errp) MAIN_THREAD
{
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        vhost->ring[i].error_fd = eventfd_new(errp);
        if (vhost->ring[i].error_fd < 0) {
            return false;
        }
    }
    return true;
}

VhostNet *vhost_net_new(int fd, uint32_t busyloop_us, VhostErrorFunc *error,
                        void *opaque, Error **errp)
{
    VhostNet *vhost = net_new(&vhost_kernel_ops, error, opaque);
    int r;

    vhost->dev.fd = fd;
    vhost->dev.busyloop_us = busyloop_us;
    r = take_owner(fd, &vhost->tid);
    if (r == -EBUSY) {
        /* A descriptor that was ours before, and could not be given back. */
        r = 0;
    }
    vhost->owned = r == 0;
    if (r == 0) {
        r = vhost->ops->features(&vhost->dev, &vhost->features);
    }
    if (r < 0) {
        error_setg_errno(errp, -r, "vhost descriptor %d is not usable", fd);
        goto free_vhost;
    }
    if (make_error_fds(vhost, errp)) {
        return vhost;
    }

free_vhost:
    vhost_net_free(vhost);
    return NULL;
}

VhostNet *vhost_net_new_user(VhostUser *user, unsigned pair,
                             VhostErrorFunc *error, void *opaque, Error **errp)
{
    VhostNet *vhost;

    if (!vhost_user_check_memory(errp)) {
        return NULL;
    }
    vhost = net_new(&vhost_user_ops, error, opaque);
    vhost->dev.user = user;
    vhost->dev.pair = pair;
    if (!make_error_fds(vhost, errp)) {
        vhost_net_free(vhost);
        return NULL;
    }
    return vhost;
}

VhostNet *vhost_net_new_vdpa(VhostVdpa *vdpa, unsigned pair,
                             VhostErrorFunc *error, void *opaque, Error **errp)
{
    VhostNet *vhost;

    if (!vhost_vdpa_check_memory(vdpa, errp)) {
        return NULL;
    }
    vhost = net_new(&vhost_vdpa_ops, error, opaque);
    vhost->dev.vdpa = vdpa;
    vhost->dev.pair = pair;
    vhost->ops->features(&vhost->dev, &vhost->features);
    if (!make_error_fds(vhost, errp)) {
        vhost_net_free(vhost);
        return NULL;
    }
    return vhost;
}

void vhost_net_free(VhostNet *vhost)
{
    if (!vhost) {
        return;
    }
    vhost_net_stop(vhost);
    if (vhost->dev.log) {
        vhost_dirty_sync(vhost, vhost->dev.log); /* what it wrote so far */
    }
    dirty_source_remove(vhost->dirty);
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        fd_close(&vhost->ring[i].error_fd);
    }
    /* The descriptor stays open: without this, its worker would stay too. */
    if (vhost->owned) {
        (void)vhost_kernel_reset_owner(vhost->dev.fd);
    }
    g_free(vhost);
}

static void vhost_ram_changed(void *opaque) MAIN_THREAD
{
    VhostNet *vhost = opaque;
    int r = vhost->ops->memory(&vhost->dev);

    if (r == 0) {
        vhost->n_ranges = ram_map_get()->n;
    } else if (r != -ENOTCONN) {
        warn_report("vhost does not take the new memory map: %s", strerror(-r));
        vhost->error(vhost->opaque, 0);
    }
}

static bool ring_start(VhostRing *ring, VirtQueue *vq, int backend_fd,
                       uint64_t features, Error **errp) MAIN_THREAD
{
    const VhostNet *vhost = ring->vhost;
    const char *step = "mapping the ring";
    int r = vhost->dev.shadow ? 0 : virtqueue_start(vq, features);

    if (r < 0) {
        error_setg(errp, "queue %u: %s", vq->index,
                   vq->fault ? vq->fault : strerror(-r));
        return false;
    }
    ring->vq = vq;
    vq->exposed |= vhost->dev.user != NULL; /* for as long as it has them */
    r = vhost->ops->ring_describe(&vhost->dev, ring->index, vq, ring->error_fd,
                                  &step);
    if (r == 0) {
        r = vhost->ops->ring_on(&vhost->dev, ring->index, vq, backend_fd,
                                &step);
        /* A process may have served the ring and died before it said so. */
        ring->backend_on = r == 0 || vhost->ops->ring_lost;
    }
    if (r < 0) {
        error_setg_errno(errp, -r, "queue %u: %s", vq->index, step);
        return false;
    }
    fd_watch_start(&ring->error_watch, main_loop(), ring->error_fd, LOOP_IN,
                   ring_error_event, ring);
    /* Whatever was kicked, or read away by an earlier owner, is looked at. */
    eventfd_signal_shared(vq->kick_fd);
    return true;
}

/* Where the back-end stopped. Should it not tell, the used index in the ring is
 * the last that the driver knows of: what was between is taken again. */
static void ring_take_position(VhostRing *ring) MAIN_THREAD
{
    const VhostNet *vhost = ring->vhost;
    VirtQueue *vq = ring->vq;
    uint16_t base = virtqueue_get_base(vq);
    int r = vhost->ops->ring_base(&vhost->dev, ring->index, vq, &base);

    if (vhost->dev.shadow) {
        if (r < 0) {
            vhost->ops->ring_lost(&vhost->dev, ring->index, vq, &base);
        }
        return;
    }
    virtqueue_set_base(vq, base);
    if (r == 0) {
        return;
    }
    if (r != -ENOTCONN) {
        warn_report("queue %u: VHOST_GET_VRING_BASE: %s", vq->index,
                    strerror(-r));
    }
    if (!vhost->ops->ring_lost) {
        virtqueue_set_base(vq, vq->used_idx);
    } else if (vhost->ops->ring_lost(&vhost->dev, ring->index, vq, &base)) {
        virtqueue_set_base(vq, base);
    } else {
        vq->fault = "its back-end has gone and left no position in the ring "
                    "that can be";
    }
}

static void ring_stop(VhostRing *ring) MAIN_THREAD
{
    const VhostNet *vhost = ring->vhost;

    if (!ring->vq) {
        return;
    }
    fd_watch_stop(&ring->error_watch);
    if (ring->backend_on) {
        vhost->ops->ring_off(&vhost->dev, ring->index);
        ring->backend_on = false;
        ring_take_position(ring);
    }
    if (vhost->ops->ring_forget) {
        vhost->ops->ring_forget(&vhost->dev, ring->index);
    }
    /* What nobody has read yet says nothing about the next start. */
    eventfd_clear(ring->error_fd);
    virtqueue_stop(ring->vq);
    ring->vq = NULL;
}

bool vhost_net_start(VhostNet *vhost, VirtQueue *rx, VirtQueue *tx,
                     int backend_fd, uint64_t features, Error **errp)
{
    VirtQueue *vq[VHOST_NET_RINGS] = { rx, tx };
    uint64_t own = features & vhost->ops->mask;
    const char *step = "";
    int r;

    g_assert(!vhost->started);
    if (own & ~vhost_net_features(vhost)) {
        error_setg(errp, "the driver uses features that %s lacks",
                   vhost->ops->name);
        return false;
    }
    r = vhost->ops->begin(&vhost->dev, own, &step);
    if (r < 0) {
        error_setg_errno(errp, -r, "%s", step);
        return false;
    }
    vhost->started = true;
    vhost->acked = own;
    vhost->n_ranges = ram_map_get()->n;
    vhost->ram_listener = ram_listener_add(vhost_ram_changed, vhost);
    for (unsigned i = 0; i < VHOST_NET_RINGS; i++) {
        if (vq[i]->enabled &&
            !ring_start(&vhost->ring[i], vq[i], backend_fd, features, errp)) {
            vhost_net_stop(vhost);
            return false;
        }
    }
    if (vhost->ops->started) {
        vhost->ops->started(&vhost->dev);
    }
    return true;
}

bool vhost_net_start_shadow(VhostNet *vhost, VirtQueue *rx, VirtQueue *tx,
                            uint64_t features, Error **errp)
{
    bool ok;

    vhost->dev.shadow = true;
    ok = vhost_net_start(vhost, rx, tx, -1, features, errp);
    vhost->dev.shadow = ok;
    return ok;
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
    vhost->started = vhost->paused = false;
    if (vhost->ops->end) {
        vhost->ops->end(&vhost->dev);
    }
    vhost->dev.shadow = false;
}

bool vhost_net_pause(VhostNet *vhost, bool pause)
{
    if (!vhost->started || !vhost->ops->ring_pause) {
        return false;
    }
    for (unsigned i = 0; i < VHOST_NET_RINGS && vhost->paused != pause; i++) {
        if (vhost->ring[i].vq) {
            vhost->ops->ring_pause(&vhost->dev, i, pause);
        }
    }
    vhost->paused = pause;
    return true;
}

void vhost_net_reset(VhostNet *vhost)
{
    if (vhost->ops->reset) {
        vhost->ops->reset(&vhost->dev);
    }
}

/* ---- for monitors ---- */

void vhost_net_inspect(const VhostNet *vhost, VhostNetState *state)
{
    *state = (VhostNetState){ .features = vhost_net_features(vhost),
                              .acked = vhost->acked,
                              .n_ranges = vhost->n_ranges,
                              .n_rings = VHOST_NET_RINGS };
    if (vhost->dev.user) {
        state->protocol = vhost_user_protocol_features(vhost->dev.user);
    }
}

bool vhost_net_has_ring(const VhostNet *vhost, unsigned ring)
{
    return ring < VHOST_NET_RINGS && vhost->ring[ring].backend_on &&
           !vhost->dev.shadow;
}

bool vhost_net_peeks(const VhostNet *vhost)
{
    return vhost->ops->peeks;
}

bool vhost_net_ring_base(VhostNet *vhost, unsigned ring, uint16_t *base,
                         Error **errp)
{
    uint16_t index = 0;
    int r;

    if (!vhost->ops->peeks) {
        error_setg(errp, "%s tells its place in a ring only when it stops",
                   vhost->ops->name);
        return false;
    }
    r = vhost->ops->ring_base(&vhost->dev, ring, vhost->ring[ring].vq, &index);
    if (r < 0) {
        error_setg_errno(errp, -r, "VHOST_GET_VRING_BASE");
        return false;
    }
    *base = index;
    return true;
}
