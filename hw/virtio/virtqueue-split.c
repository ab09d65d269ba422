/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split virtqueues (VIRTIO 1.2, 2.7).
 *
 * Threads: see hw/virtio/virtqueue.h.
 */
#include "util/osdep.h"

#include "hw/virtio/virtqueue-internal.h"

/* Offsets in the available and the used ring (2.7.6, 2.7.8). */
#define RING_FLAGS      0
#define RING_IDX        2
#define RING_ENTRIES    4
#define AVAIL_ELEM_SIZE 2u
#define USED_ELEM_SIZE  8u

/* ---- start ---- */

int vq_split_prepare(VirtQueue *vq)
{
    if (!vq->size || (vq->size & (vq->size - 1)) || vq->size > vq->max_size) {
        vq->fault = "queue size is not a power of two or above the maximum";
        return -EINVAL;
    }
    if (vq->desc_gpa % VRING_DESC_ALIGN_SIZE ||
        vq->avail_gpa % VRING_AVAIL_ALIGN_SIZE ||
        vq->used_gpa % VRING_USED_ALIGN_SIZE) {
        vq->fault = "a ring is misaligned";
        return -EFAULT;
    }
    vq->shadow_avail = vq->last_avail;
    vq->signalled_used = vq->used_idx;
    return 0;
}

/* ---- taking ---- */

/*
 * Reads the available index. Acquire: this load is before our loads of the
 * ring entry and descriptors that it announces; the partner is the driver's
 * write barrier between storing those and storing the index (2.7.13.3).
 */
static inline void read_avail_idx(VirtQueue *vq)
{
    vq->shadow_avail = guest_load16_acquire(vq->avail, RING_IDX);
}

static inline bool is_empty(VirtQueue *vq)
{
    if (vq->shadow_avail != vq->last_avail) {
        return false;
    }
    read_avail_idx(vq);
    return vq->shadow_avail == vq->last_avail;
}

bool vq_split_empty(VirtQueue *vq)
{
    return is_empty(vq);
}

unsigned vq_split_available(VirtQueue *vq)
{
    uint16_t n;

    read_avail_idx(vq);
    n = vq->shadow_avail - vq->last_avail;
    return MIN(n, vq->size);
}

static inline Desc load_desc(const void *table, unsigned i)
{
    uint64_t rest = guest_load64(table, (size_t)i * DESC_SIZE + 8);

    return (Desc){ .addr = guest_load64(table, (size_t)i * DESC_SIZE),
                   .len = (uint32_t)rest,
                   .flags = (uint16_t)(rest >> 32),
                   .tail = (uint16_t)(rest >> 48) };
}

/*
 * Walks the chain that starts at ring descriptor @head. Each step takes one
 * from @left, which starts as the length of the table walked, or as one more
 * than the buffers that we take: so a loop ends, and no table is walked longer
 * than it is. Indirect tables do not nest.
 */
static inline int gather_chain(VirtQueue *vq, unsigned head, Gather *g)
{
    const void *table = vq->desc;
    unsigned entries = vq->size, left = entries, i = head;
    bool nested = false; /* not told by the address: that may be the ring's */

    for (;;) {
        Desc d;
        int ret;

        if (G_UNLIKELY(i >= entries)) {
            return virtqueue_fault(vq, "descriptor index is beyond its table");
        }
        if (G_UNLIKELY(left-- == 0)) {
            return virtqueue_fault(vq,
                                   "chain is a loop or longer than its table");
        }
        d = load_desc(table, i);
        if (d.flags & VRING_DESC_F_INDIRECT) {
            if (nested) {
                return virtqueue_fault(vq,
                                       "indirect table in an indirect table");
            }
            table = virtqueue_map_indirect(vq, &d, &entries);
            if (!table) {
                return -EPROTO;
            }
            left = MIN(entries, VIRTQUEUE_MAX_SEGS + 1);
            nested = true;
            i = 0;
            continue;
        }
        ret = gather_buffer(vq, g, &d);
        if (G_UNLIKELY(ret < 0)) {
            return ret;
        }
        if (!(d.flags & VRING_DESC_F_NEXT)) {
            return 0;
        }
        i = d.tail;
    }
}

int vq_split_pop(VirtQueue *vq, struct iovec *iov, unsigned max,
                 VirtQueueChain *chain)
{
    Gather g = gather_start(iov, max);
    unsigned head;
    int ret;

    if (is_empty(vq)) {
        return 0;
    }
    /* The driver may not offer more than the entries that we gave back. */
    if (G_UNLIKELY((uint16_t)(vq->shadow_avail - vq->last_avail) + vq->inuse +
                       vq->pending >
                   vq->size)) {
        return virtqueue_fault(vq,
                               "available index jumps beyond the queue size");
    }
    vq->map = ram_map_get();
    head = guest_load16(vq->avail,
                        RING_ENTRIES + AVAIL_ELEM_SIZE *
                                           (vq->last_avail & (vq->size - 1u)));
    ret = gather_chain(vq, head, &g);
    if (G_UNLIKELY(ret < 0)) {
        return ret;
    }
    *chain = gather_end(&g, head, 1);
    vq->last_avail++;
    vq->inuse++;
    return 1;
}

void vq_split_unpop(VirtQueue *vq, unsigned n)
{
    vq->last_avail -= n;
    vq->inuse -= n;
}

/* ---- giving back ---- */

static inline void write_used(VirtQueue *vq, uint16_t slot, uint16_t id,
                              uint32_t len)
{
    size_t offset = RING_ENTRIES + USED_ELEM_SIZE * (slot & (vq->size - 1u));

    guest_store32(vq->used, offset, id);
    guest_store32(vq->used, offset + 4, len);
}

void vq_split_fill(VirtQueue *vq, const VirtQueueChain *chain, uint32_t len)
{
    uint16_t slot = vq->used_idx + vq->pending;
    VirtQueueUsed done;

    if (!vq->in_order) {
        write_used(vq, slot, chain->id, len);
    } else if (in_order_fill(vq, chain, len, slot, false, &done)) {
        write_used(vq, done.slot, done.id, done.len);
    }
    vq->inuse--;
    vq->pending++;
}

void vq_split_publish(VirtQueue *vq)
{
    if (vq->held.valid) {
        write_used(vq, vq->held.slot, vq->held.id, vq->held.len);
        vq->held.valid = false;
    }
    vq->used_idx += vq->pending;
    vq->pending = 0;
    /*
     * Release: the buffers' contents and the used elements are stored before
     * the index; the partner is the driver's read barrier between its load of
     * the used index and its loads of the element and the buffer.
     */
    guest_store16_release(vq->used, RING_IDX, vq->used_idx);
}

/* ---- notifications ---- */

bool vq_split_news(const VirtQueue *vq)
{
    return vq->signalled_used != vq->used_idx;
}

static uint16_t used_event(const VirtQueue *vq)
{
    return guest_load16(vq->avail,
                        RING_ENTRIES + AVAIL_ELEM_SIZE * (size_t)vq->size);
}

bool vq_split_caught_up(VirtQueue *vq)
{
    return used_event(vq) == vq->used_idx;
}

bool vq_split_wants_signal(VirtQueue *vq)
{
    uint16_t old = vq->signalled_used, new = vq->used_idx, event;

    vq->signalled_used = new;
    if (vq->notify_on_empty && !vq->inuse && is_empty(vq)) {
        return true;
    }
    if (!vq->event_idx) {
        return !(guest_load16(vq->avail, RING_FLAGS) &
                 VRING_AVAIL_F_NO_INTERRUPT);
    }
    event = used_event(vq);
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

void vq_split_want_kicks(VirtQueue *vq, bool want)
{
    if (!vq->event_idx) {
        guest_store16(vq->used, RING_FLAGS, want ? 0 : VRING_USED_F_NO_NOTIFY);
    } else {
        /* 2.7.10.2: a kick when entry last_avail becomes available, or one that
         * the driver has passed and comes to after a lap. */
        guest_store16(vq->used,
                      RING_ENTRIES + USED_ELEM_SIZE * (size_t)vq->size,
                      vq->last_avail - !want);
    }
}
