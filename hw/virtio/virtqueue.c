/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues: configuration, and the way from each call to the format of the
 * ring (virtqueue-split.c, virtqueue-packed.c).
 *
 * Threads: see hw/virtio/virtqueue.h.
 */
#include "util/osdep.h"

#include "hw/pci/msix.h"
#include "hw/virtio/virtqueue-internal.h"
#include "system/dirty-log.h"
#include "util/fd.h"

static inline void count(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* ---- configuration ---- */

static bool is_power_of_two(unsigned n)
{
    return n && !(n & (n - 1));
}

bool virtqueue_init(VirtQueue *vq, unsigned index, uint16_t max_size,
                    Error **errp)
{
    if (!is_power_of_two(max_size) || max_size > VIRTQUEUE_MAX_SIZE) {
        error_setg(errp,
                   "Queue size %u of virtqueue %u is not a power of two "
                   "between 1 and %u",
                   max_size, index, VIRTQUEUE_MAX_SIZE);
        return false;
    }
    *vq = (VirtQueue){ .index = index, .max_size = max_size };
    vq->call_fd = -1;
    vq->kick_fd = eventfd_new(errp);
    if (vq->kick_fd < 0) {
        return false;
    }
    vq->call_fd = eventfd_new(errp);
    if (vq->call_fd < 0) {
        fd_close(&vq->kick_fd);
        return false;
    }
    virtqueue_reset(vq);
    return true;
}

void virtqueue_cleanup(VirtQueue *vq)
{
    fd_close(&vq->kick_fd);
    fd_close(&vq->call_fd);
    g_clear_pointer(&vq->chain_slots, g_free);
}

void virtqueue_reset(VirtQueue *vq)
{
    eventfd_clear(vq->kick_fd);
    eventfd_clear(vq->call_fd);
    vq->size = vq->max_size;
    vq->vector = MSIX_NO_VECTOR;
    vq->enabled = false;
    vq->desc_gpa = vq->avail_gpa = vq->used_gpa = 0;
    vq->running = false;
    virtqueue_set_features(vq, 0);
    vq->map = NULL;
    vq->desc = vq->used = NULL;
    vq->avail = NULL;
    vq->last_avail = vq->shadow_avail = 0;
    vq->used_idx = vq->signalled_used = 0;
    vq->avail_wrap = vq->used_wrap = true; /* 2.8.1 */
    vq->slots_out = vq->slots_filled = 0;
    vq->unsignalled = 0;
    vq->signalled_valid = false;
    vq->notification = true;
    vq->pending = vq->inuse = 0;
    vq->held.valid = false;
    vq->fault = NULL;
}

/* Available and used ring of the split format: with the event field at the
 * end, whether it is negotiated or not. */
#define SPLIT_AVAIL_BYTES(n) (4 + 2 * (size_t)(n) + 2)
#define SPLIT_USED_BYTES(n)  (4 + 8 * (size_t)(n) + 2)

size_t virtqueue_desc_bytes(const VirtQueue *vq)
{
    return (size_t)DESC_SIZE * vq->size;
}

size_t virtqueue_avail_bytes(const VirtQueue *vq)
{
    return vq->packed ? sizeof(struct vring_packed_desc_event)
                      : SPLIT_AVAIL_BYTES(vq->size);
}

size_t virtqueue_used_bytes(const VirtQueue *vq)
{
    return vq->packed ? sizeof(struct vring_packed_desc_event)
                      : SPLIT_USED_BYTES(vq->size);
}

void virtqueue_set_legacy(VirtQueue *vq, uint64_t gpa)
{
    vq->enabled = gpa != 0;
    vq->desc_gpa = gpa;
    vq->avail_gpa = gpa ? gpa + virtqueue_desc_bytes(vq) : 0;
    vq->used_gpa =
        gpa ? ALIGN_UP(vq->avail_gpa + virtqueue_avail_bytes(vq), PAGE_SIZE_4K)
            : 0;
}

void *virtqueue_map_whole(VirtQueue *vq, uint64_t gpa, uint64_t len, bool write)
{
    const RamRange *r = find_range(vq->map, &vq->range_hint, gpa);

    if (!r || (write && r->readonly) || len > r->size - (gpa - r->gpa)) {
        return NULL;
    }
    return r->host + (gpa - r->gpa);
}

const void *virtqueue_map_indirect(VirtQueue *vq, const Desc *d,
                                   unsigned *entries)
{
    const void *table;

    if (!vq->indirect) {
        virtqueue_fault(vq,
                        "indirect descriptor without VIRTIO_F_INDIRECT_DESC");
        return NULL;
    }
    if (d->flags & VRING_DESC_F_NEXT) {
        virtqueue_fault(vq, "indirect descriptor with the next flag");
        return NULL;
    }
    if (!d->len || d->len % DESC_SIZE) {
        virtqueue_fault(vq,
                        "indirect table length is zero or no multiple of 16");
        return NULL;
    }
    table = virtqueue_map_whole(vq, d->addr, d->len, false);
    if (!table) {
        virtqueue_fault(vq, "indirect table is not in RAM");
        return NULL;
    }
    *entries = d->len / DESC_SIZE;
    return table;
}

/* ---- start and stop ---- */

void virtqueue_set_features(VirtQueue *vq, uint64_t features)
{
    vq->packed = features & (1ULL << VIRTIO_F_RING_PACKED);
    vq->in_order = features & (1ULL << VIRTIO_F_IN_ORDER);
    vq->event_idx = features & (1ULL << VIRTIO_RING_F_EVENT_IDX);
    vq->indirect = features & (1ULL << VIRTIO_RING_F_INDIRECT_DESC);
    vq->notify_on_empty = !(features & (1ULL << VIRTIO_F_VERSION_1)) &&
                          features & (1ULL << VIRTIO_F_NOTIFY_ON_EMPTY);
}

int virtqueue_start(VirtQueue *vq, uint64_t features)
{
    int ret;

    if (vq->fault) {
        return -EPROTO;
    }
    if (!vq->enabled) {
        vq->fault = "queue is not enabled";
        return -EINVAL;
    }
    virtqueue_set_features(vq, features);
    ret = vq->packed ? vq_packed_prepare(vq) : vq_split_prepare(vq);
    if (ret < 0) {
        return ret;
    }
    vq->map = ram_map_get();
    vq->desc =
        virtqueue_map_whole(vq, vq->desc_gpa, virtqueue_desc_bytes(vq), true);
    vq->avail =
        virtqueue_map_whole(vq, vq->avail_gpa, virtqueue_avail_bytes(vq), true);
    vq->used =
        virtqueue_map_whole(vq, vq->used_gpa, virtqueue_used_bytes(vq), true);
    if (!vq->desc || !vq->avail || !vq->used) {
        vq->fault = "a ring is not in writable RAM";
        return -EFAULT;
    }
    vq->signalled_valid = false;
    vq->running = true;
    virtqueue_want_kicks(vq, true);
    return 0;
}

void virtqueue_stop(VirtQueue *vq)
{
    if (!vq->running) {
        return;
    }
    if (vq->pending) {
        virtqueue_publish(vq);
        virtqueue_signal(vq);
    }
    virtqueue_unpop(vq, vq->inuse);
    vq->running = false;
    vq->map = NULL;
}

static uint16_t encode(const VirtQueue *vq, uint16_t position, bool wrap)
{
    return vq->packed
               ? position | (uint16_t)(wrap << VRING_PACKED_EVENT_F_WRAP_CTR)
               : position;
}

uint16_t virtqueue_get_base(const VirtQueue *vq)
{
    return encode(vq, vq->last_avail, vq->avail_wrap);
}

uint16_t virtqueue_get_used(const VirtQueue *vq)
{
    return encode(vq, vq->used_idx, vq->used_wrap);
}

void virtqueue_set_base(VirtQueue *vq, uint16_t base)
{
    uint16_t used;

    vq->inuse = vq->pending = 0;
    vq->slots_out = vq->slots_filled = 0;
    vq->held.valid = false;
    if (vq->packed) {
        vq->avail_wrap = base >> VRING_PACKED_EVENT_F_WRAP_CTR;
        vq->last_avail = base & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
        vq->used_wrap = vq->avail_wrap;
        vq->used_idx = vq->last_avail;
        return;
    }
    vq->last_avail = vq->shadow_avail = base;
    vq->used_idx = base;
    if (ram_read(vq->used_gpa + offsetof(struct vring_used, idx), &used,
                 sizeof(used))) {
        vq->used_idx = le16toh(used);
    }
}

/* ---- datapath ---- */

bool virtqueue_empty(VirtQueue *vq)
{
    if (G_UNLIKELY(!vq->running || vq->fault)) {
        return true;
    }
    return vq->packed ? vq_packed_empty(vq) : vq_split_empty(vq);
}

unsigned virtqueue_available(VirtQueue *vq)
{
    if (!vq->running || vq->fault) {
        return 0;
    }
    return vq->packed ? vq_packed_available(vq) : vq_split_available(vq);
}

int virtqueue_pop(VirtQueue *vq, struct iovec *iov, unsigned max,
                  VirtQueueChain *chain)
{
    if (G_UNLIKELY(vq->fault)) {
        return -EPROTO;
    }
    if (G_UNLIKELY(!vq->running)) {
        return 0;
    }
    return vq->packed ? vq_packed_pop(vq, iov, max, chain)
                      : vq_split_pop(vq, iov, max, chain);
}

void virtqueue_unpop(VirtQueue *vq, unsigned n)
{
    n = MIN(n, vq->inuse);
    if (vq->packed) {
        vq_packed_unpop(vq, n);
    } else {
        vq_split_unpop(vq, n);
    }
}

void virtqueue_fill(VirtQueue *vq, const VirtQueueChain *chain, uint32_t len)
{
    if (G_UNLIKELY(!vq->running || vq->fault || !vq->inuse)) {
        return;
    }
    if (vq->packed) {
        vq_packed_fill(vq, chain, len);
    } else {
        vq_split_fill(vq, chain, len);
    }
}

void virtqueue_publish(VirtQueue *vq)
{
    unsigned n;

    if (G_UNLIKELY(!vq->pending || !vq->running || vq->fault)) {
        return;
    }
    if (vq->packed) {
        n = vq->slots_filled;
        vq_packed_publish(vq);
    } else {
        n = vq->pending;
        vq_split_publish(vq);
    }
    if (G_UNLIKELY(dirty_log_get())) {
        virtqueue_log_used(vq, n);
    }
}

bool virtqueue_caught_up(VirtQueue *vq)
{
    return !vq->running || vq->fault || !vq->event_idx ||
           (vq->packed ? vq_packed_caught_up(vq) : vq_split_caught_up(vq));
}

bool virtqueue_signal(VirtQueue *vq)
{
    bool wanted;

    if (!vq->running || vq->fault ||
        !(vq->packed ? vq_packed_news(vq) : vq_split_news(vq))) {
        return false;
    }
    /*
     * Our store of the used index, or of used flags, is before our load of the
     * driver's request (2.7.7.2, 2.8.10). The partner is the driver's full
     * barrier between its store of that request and its last look at the used
     * index before it sleeps: one of the two sees the other.
     */
    full_barrier();
    wanted =
        vq->packed ? vq_packed_wants_signal(vq) : vq_split_wants_signal(vq);
    if (!wanted && vq->signalled_valid) {
        count(&vq->signals_suppressed);
        return false;
    }
    vq->signalled_valid = true;
    count(&vq->signals);
    if (G_UNLIKELY(vq->exposed)) {
        eventfd_signal_shared(vq->call_fd);
    } else {
        eventfd_signal(vq->call_fd);
    }
    return true;
}

void virtqueue_want_kicks(VirtQueue *vq, bool want)
{
    if (G_UNLIKELY(!vq->running || vq->fault)) {
        return;
    }
    if (!want && !vq->notification) {
        return;
    }
    vq->notification = want;
    if (vq->packed) {
        vq_packed_want_kicks(vq, want);
    } else {
        vq_split_want_kicks(vq, want);
    }
    if (G_UNLIKELY(dirty_log_get())) {
        virtqueue_log_event(vq);
    }
    if (want) {
        /*
         * Our store of the request is before our next look at what is
         * available. The partner is the driver's full barrier between making
         * something available and its load of our request (2.7.13.4.1,
         * 2.8.21.3).
         */
        full_barrier();
    }
}
