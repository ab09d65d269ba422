/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What we write to rings, for the log of written pages. Called only while there
 * is one.
 *
 * Threads: see hw/virtio/virtqueue.h.
 */
#include "util/osdep.h"

#include "hw/virtio/virtqueue-internal.h"
#include "system/dirty-log.h"

/* Elements [@first, @first + @n) of a ring of @size at @gpa, where it may wrap,
 * each of @bytes. */
static void mark_elements(DirtyLog *log, uint64_t gpa, unsigned size,
                          unsigned bytes, unsigned first, unsigned n)
{
    unsigned part = MIN(n, size - first);

    dirty_log_mark(log, gpa + (uint64_t)first * bytes, (uint64_t)part * bytes);
    dirty_log_mark(log, gpa, (uint64_t)(n - part) * bytes);
}

void virtqueue_log_used(const VirtQueue *vq, unsigned n)
{
    DirtyLog *log = dirty_log_get();
    unsigned size = vq->size, entries = offsetof(struct vring_used, ring);

    n = MIN(n, size);
    if (!log) {
        return;
    }
    if (vq->packed) {
        unsigned first = (vq->used_idx + size - n) % size;

        mark_elements(log, vq->desc_gpa, size, DESC_SIZE, first, n);
    } else {
        unsigned first = (uint16_t)(vq->used_idx - n) & (size - 1);

        mark_elements(log, vq->used_gpa + entries, size,
                      sizeof(struct vring_used_elem), first, n);
        dirty_log_mark(log, vq->used_gpa, entries);
    }
}

void virtqueue_log_event(const VirtQueue *vq)
{
    DirtyLog *log = dirty_log_get();
    uint64_t offset = 0;
    size_t bytes = sizeof(struct vring_packed_desc_event);

    if (!vq->packed) {
        bytes = sizeof(uint16_t);
        offset = vq->event_idx ? virtqueue_used_bytes(vq) - bytes : 0;
    }
    if (log) {
        dirty_log_mark(log, vq->used_gpa + offset, bytes);
    }
}
