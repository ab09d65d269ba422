/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed virtqueues (VIRTIO 1.2, 2.8).
 *
 * One ring of descriptors serves both directions. The driver makes a chain
 * available in as many slots as it has descriptors; we put one used descriptor
 * in the first of them (if used in order) and skip the others. Two flags in
 * each descriptor, compared with a counter that flips at each wrap, say whose
 * it is. A position is a slot and its wrap counter.
 *
 * `slots_out` are the slots taken and not given back. The driver may not make
 * those available again, so no walk enters them.
 *
 * Threads: see hw/virtio/virtqueue.h.
 */
#include "util/osdep.h"

#include "hw/virtio/virtqueue-internal.h"

#define F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED  (1u << VRING_PACKED_DESC_F_USED)

/* Offsets in a descriptor (2.8.13). */
#define DESC_LEN   8u
#define DESC_ID    12u
#define DESC_FLAGS 14u

/* Event suppression structures (2.8.14) are loaded and stored whole. */
#define EVENT_BYTES      4u
#define EVENT_POS(e)     ((uint16_t)(e))
#define EVENT_FLAGS(e)   ((uint16_t)((e) >> 16) & 3u)
#define EVENT_MAKE(p, f) ((uint32_t)(f) << 16 | (p))

/* ---- positions ---- */

typedef struct RingPos {
    uint16_t slot;
    bool wrap;
} RingPos;

static inline RingPos avail_pos(const VirtQueue *vq)
{
    return (RingPos){ vq->last_avail, vq->avail_wrap };
}

static inline RingPos pos_add(const VirtQueue *vq, RingPos pos, unsigned n)
{
    unsigned slot = pos.slot + n;

    return slot < vq->size
               ? (RingPos){ (uint16_t)slot, pos.wrap }
               : (RingPos){ (uint16_t)(slot - vq->size), !pos.wrap };
}

static inline uint16_t pos_encode(uint16_t slot, bool wrap)
{
    return slot | (uint16_t)(wrap << VRING_PACKED_EVENT_F_WRAP_CTR);
}

/* Made available by a driver whose wrap counter is @wrap? (2.8.1) */
static inline bool is_available(uint16_t flags, bool wrap)
{
    return (flags & (F_AVAIL | F_USED)) == (wrap ? F_AVAIL : F_USED);
}

/* ---- start ---- */

int vq_packed_prepare(VirtQueue *vq)
{
    if (!vq->size || vq->size > vq->max_size) {
        vq->fault = "queue size is zero or above the maximum";
        return -EINVAL;
    }
    if (vq->last_avail >= vq->size || vq->used_idx >= vq->size) {
        vq->fault = "position is beyond the ring";
        return -EINVAL;
    }
    if (vq->desc_gpa % VRING_DESC_ALIGN_SIZE || vq->avail_gpa % EVENT_BYTES ||
        vq->used_gpa % EVENT_BYTES) {
        vq->fault = "a ring is misaligned";
        return -EFAULT;
    }
    if (!vq->chain_slots) {
        vq->chain_slots = g_new0(uint16_t, vq->max_size);
    }
    vq->unsignalled = 0;
    vq->signalled_used = pos_encode(vq->used_idx, vq->used_wrap);
    return 0;
}

/* ---- taking ---- */

/*
 * Acquire: this load of the first descriptor's flags is before our loads of
 * the rest of the chain; the partner is the driver's write barrier between
 * storing that and storing these flags (2.8.21.1).
 */
static inline bool slot_available(const VirtQueue *vq, RingPos pos)
{
    uint16_t flags =
        guest_load16_acquire(vq->desc, pos.slot * DESC_SIZE + DESC_FLAGS);

    return is_available(flags, pos.wrap);
}

bool vq_packed_empty(VirtQueue *vq)
{
    return !slot_available(vq, avail_pos(vq));
}

/* Counts by last descriptors: a chain cut short is one that a pop would find
 * at fault. */
unsigned vq_packed_available(VirtQueue *vq)
{
    RingPos pos = avail_pos(vq);
    bool open = false;
    unsigned n = 0;

    for (unsigned left = vq->size - vq->slots_out; left > 0; left--) {
        uint16_t flags =
            guest_load16_acquire(vq->desc, pos.slot * DESC_SIZE + DESC_FLAGS);

        if (!is_available(flags, pos.wrap)) {
            break;
        }
        open = flags & VRING_DESC_F_NEXT;
        n += !open;
        pos = pos_add(vq, pos, 1);
    }
    return n + open;
}

static inline Desc load_desc(const void *table, unsigned i)
{
    uint64_t rest = guest_load64(table, (size_t)i * DESC_SIZE + DESC_LEN);

    return (Desc){ .addr = guest_load64(table, (size_t)i * DESC_SIZE),
                   .len = (uint32_t)rest,
                   .tail = (uint16_t)(rest >> 32),
                   .flags = (uint16_t)(rest >> 48) };
}

/* What a walk over a chain comes to. */
typedef struct ChainEnd {
    unsigned slot;  /* after it */
    uint16_t owner; /* flags that say: made available, in the lap of @slot */
    uint16_t slots; /* of the chain */
    uint16_t id;    /* that of the last descriptor in the ring (2.8.6) */
} ChainEnd;

/* Loads the descriptor at @end and goes on to the next. The walk does not go
 * further than the @left slots that are the driver's. 0 or -EPROTO. */
static inline int next_in_ring(VirtQueue *vq, unsigned left, ChainEnd *end,
                               Desc *d)
{
    if (G_UNLIKELY(end->slots == left)) {
        return virtqueue_fault(
            vq, "chain is longer than the descriptors that the driver has");
    }
    *d = load_desc(vq->desc, end->slot);
    if (G_UNLIKELY((d->flags & (F_AVAIL | F_USED)) != end->owner)) {
        return virtqueue_fault(
            vq, "chain goes on in a descriptor that is not available");
    }
    end->slots++;
    end->id = d->tail;
    if (++end->slot == vq->size) {
        end->slot = 0;
        end->owner ^= F_AVAIL | F_USED;
    }
    return 0;
}

/* The table of an indirect descriptor, which is a chain by itself (2.8.19). A
 * copy is passed on, so that the walk keeps its own in registers. */
static inline const void *enter_table(VirtQueue *vq, const ChainEnd *end,
                                      Desc copy, unsigned *entries)
{
    const void *table;

    if (end->slots > 1) {
        virtqueue_fault(vq, "indirect descriptor after others");
        return NULL;
    }
    table = virtqueue_map_indirect(vq, &copy, entries);
    if (table && *entries > VIRTQUEUE_MAX_SEGS) {
        virtqueue_fault(vq, "chain has too many buffers");
        return NULL;
    }
    return table;
}

/*
 * Walks the chain at the next position. Entries of an indirect table stand one
 * after another; of their flags only WRITE counts (2.8.7), but a table that
 * names another is a lie.
 */
static inline int gather_chain(VirtQueue *vq, Gather *g, ChainEnd *end)
{
    unsigned left = vq->size - vq->slots_out, entries, i = 0;
    const void *table = NULL;
    bool more;
    int ret;

    do {
        Desc d;

        if (G_UNLIKELY(table)) {
            d = load_desc(table, i++);
            more = i < entries;
            if (d.flags & VRING_DESC_F_INDIRECT) {
                return virtqueue_fault(vq,
                                       "indirect table in an indirect table");
            }
        } else {
            ret = next_in_ring(vq, left, end, &d);
            if (G_UNLIKELY(ret < 0)) {
                return ret;
            }
            more = d.flags & VRING_DESC_F_NEXT;
            if (d.flags & VRING_DESC_F_INDIRECT) {
                table = enter_table(vq, end, d, &entries);
                if (!table) {
                    return -EPROTO;
                }
                more = true;
                continue;
            }
        }
        ret = gather_buffer(vq, g, &d);
        if (G_UNLIKELY(ret < 0)) {
            return ret;
        }
    } while (more);
    return 0;
}

int vq_packed_pop(VirtQueue *vq, struct iovec *iov, unsigned max,
                  VirtQueueChain *chain)
{
    Gather g = gather_start(iov, max);
    ChainEnd end = { .slot = vq->last_avail,
                     .owner = vq->avail_wrap ? F_AVAIL : F_USED };
    int ret;

    if (!slot_available(vq, avail_pos(vq))) {
        return 0;
    }
    vq->map = ram_map_get();
    ret = gather_chain(vq, &g, &end);
    if (G_UNLIKELY(ret < 0)) {
        return ret;
    }
    *chain = gather_end(&g, end.id, end.slots);
    vq->last_avail = end.slot;
    vq->avail_wrap = end.owner == F_AVAIL;
    vq->chain_slots[(end.slot ? end.slot : vq->size) - 1u] = end.slots;
    vq->slots_out += end.slots;
    vq->inuse++;
    return 1;
}

void vq_packed_unpop(VirtQueue *vq, unsigned n)
{
    vq->inuse -= n;
    for (; n > 0; n--) {
        unsigned end = vq->last_avail ? vq->last_avail : vq->size;
        unsigned slots = vq->chain_slots[end - 1];

        if (vq->last_avail < slots) {
            vq->last_avail += vq->size;
            vq->avail_wrap = !vq->avail_wrap;
        }
        vq->last_avail -= slots;
        vq->slots_out -= slots;
    }
}

/* ---- giving back ---- */

/* Writes a used descriptor (2.8.1, 2.8.3) but, if it is the first since the
 * last publication, its flags: those hide it and all after it. */
static inline void write_used(VirtQueue *vq, unsigned slot, bool wrap,
                              uint16_t id, uint32_t len)
{
    size_t offset = slot * DESC_SIZE;
    uint16_t flags =
        (wrap ? F_AVAIL | F_USED : 0) | (len ? VRING_DESC_F_WRITE : 0);

    guest_store32(vq->desc, offset + DESC_LEN, len);
    guest_store16(vq->desc, offset + DESC_ID, id);
    if (slot == vq->used_idx) {
        vq->first_flags = flags;
    } else {
        guest_store16(vq->desc, offset + DESC_FLAGS, flags);
    }
}

void vq_packed_fill(VirtQueue *vq, const VirtQueueChain *chain, uint32_t len)
{
    unsigned slot = vq->used_idx + vq->slots_filled;
    bool wrap = vq->used_wrap;
    VirtQueueUsed done;

    if (slot >= vq->size) {
        slot -= vq->size;
        wrap = !wrap;
    }
    if (!vq->in_order) {
        write_used(vq, slot, wrap, chain->id, len);
    } else if (in_order_fill(vq, chain, len, slot, wrap, &done)) {
        write_used(vq, done.slot, done.wrap, done.id, done.len);
    }
    vq->slots_filled += chain->slots;
    vq->inuse--;
    vq->pending++;
}

void vq_packed_publish(VirtQueue *vq)
{
    RingPos end =
        pos_add(vq, (RingPos){ vq->used_idx, vq->used_wrap }, vq->slots_filled);

    if (vq->held.valid) {
        write_used(vq, vq->held.slot, vq->held.wrap, vq->held.id, vq->held.len);
        vq->held.valid = false;
    }
    /*
     * Release: the buffers' contents and all other used descriptors are stored
     * before the flags of the first; the partner is the driver's read barrier
     * between its load of these and its loads of the rest (2.8.22).
     */
    guest_store16_release(vq->desc, vq->used_idx * DESC_SIZE + DESC_FLAGS,
                          vq->first_flags);
    /* A monitor may look where we are (virtqueue_peek_used()). */
    __atomic_store_n(&vq->used_idx, end.slot, __ATOMIC_RELAXED);
    __atomic_store_n(&vq->used_wrap, end.wrap, __ATOMIC_RELAXED);
    vq->slots_out -= vq->slots_filled;
    vq->unsignalled += vq->slots_filled;
    vq->slots_filled = vq->pending = 0;
}

/* ---- notifications ---- */

bool vq_packed_news(const VirtQueue *vq)
{
    return vq->unsignalled != 0;
}

/* Is the driver's position @event among the last @n that were used? */
static bool passed(const VirtQueue *vq, uint16_t event, uint32_t n)
{
    bool wrap = event >> VRING_PACKED_EVENT_F_WRAP_CTR;
    int slot = event & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
    int back = vq->used_idx - slot;

    if (wrap != vq->used_wrap) {
        back += vq->size;
    }
    return back > 0 && (uint32_t)back <= n;
}

bool vq_packed_wants_signal(VirtQueue *vq)
{
    uint32_t event = guest_load32(vq->avail, 0), n = vq->unsignalled;

    vq->unsignalled = 0;
    vq->signalled_used = pos_encode(vq->used_idx, vq->used_wrap);
    switch (EVENT_FLAGS(event)) {
    case VRING_PACKED_EVENT_FLAG_DISABLE:
        return false;
    case VRING_PACKED_EVENT_FLAG_DESC:
        return !vq->event_idx || passed(vq, EVENT_POS(event), n);
    default: /* ENABLE, and the reserved value */
        return true;
    }
}

bool vq_packed_caught_up(VirtQueue *vq)
{
    uint32_t event = guest_load32(vq->avail, 0);

    switch (EVENT_FLAGS(event)) {
    case VRING_PACKED_EVENT_FLAG_DISABLE:
        return false;
    case VRING_PACKED_EVENT_FLAG_DESC:
        return EVENT_POS(event) == pos_encode(vq->used_idx, vq->used_wrap);
    default: /* it asks for all, and does not say where it is */
        return true;
    }
}

void vq_packed_want_kicks(VirtQueue *vq, bool want)
{
    uint16_t flags =
        want ? VRING_PACKED_EVENT_FLAG_ENABLE : VRING_PACKED_EVENT_FLAG_DISABLE;

    if (!vq->event_idx || !want) {
        guest_store32(vq->used, 0, EVENT_MAKE(0, flags));
    } else {
        /* A kick when the slot last_avail becomes available. */
        guest_store32(vq->used, 0,
                      EVENT_MAKE(pos_encode(vq->last_avail, vq->avail_wrap),
                                 VRING_PACKED_EVENT_FLAG_DESC));
    }
}
