/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues as a monitor shows them: read from guest memory, by guest
 * address, beside whoever serves the ring (VIRTIO 1.2, 2.7 and 2.8).
 *
 * The driver and the ring's owner go on meanwhile, so what comes out of
 * several reads need not fit together. Nothing here trusts it to.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/virtio_ring.h>

#include "hw/virtio/virtqueue.h"
#include "util/endian.h"

#define DESC_SIZE sizeof(struct vring_desc)

/* A field of a ring, which others store to at the same time. */
static bool peek16(uint64_t gpa, uint16_t *value)
{
    const uint16_t *p = ram_map_lookup(ram_map_get(), gpa, sizeof(*p));

    if (!p || (uintptr_t)p % sizeof(*p)) {
        return false;
    }
    *value = le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
    return true;
}

static bool check_set_up(const VirtQueue *vq, Error **errp)
{
    if (!vq->size || !vq->enabled) {
        error_setg(errp,
                   "Virtqueue %u is not set up: the driver gave it no rings",
                   vq->index);
        return false;
    }
    return true;
}

static bool not_in_ram(const VirtQueue *vq, const char *what, Error **errp)
{
    error_setg(errp, "The %s of virtqueue %u is not in guest RAM", what,
               vq->index);
    return false;
}

/* Both event suppression structures (2.8.14). */
static bool peek_events(const VirtQueue *vq, VirtQueueRings *rings,
                        Error **errp)
{
    const unsigned flags = offsetof(struct vring_packed_desc_event, flags);

    if (!peek16(vq->avail_gpa, &rings->avail_idx) ||
        !peek16(vq->avail_gpa + flags, &rings->avail_flags)) {
        return not_in_ram(vq, "driver's event suppression", errp);
    }
    if (!peek16(vq->used_gpa, &rings->used_idx) ||
        !peek16(vq->used_gpa + flags, &rings->used_flags)) {
        return not_in_ram(vq, "device's event suppression", errp);
    }
    return true;
}

bool virtqueue_peek_rings(const VirtQueue *vq, VirtQueueRings *rings,
                          Error **errp)
{
    if (!check_set_up(vq, errp)) {
        return false;
    }
    if (vq->packed) {
        return peek_events(vq, rings, errp);
    }
    if (!peek16(vq->avail_gpa, &rings->avail_flags) ||
        !peek16(vq->avail_gpa + offsetof(struct vring_avail, idx),
                &rings->avail_idx)) {
        return not_in_ram(vq, "available ring", errp);
    }
    if (!peek16(vq->used_gpa, &rings->used_flags) ||
        !peek16(vq->used_gpa + offsetof(struct vring_used, idx),
                &rings->used_idx)) {
        return not_in_ram(vq, "used ring", errp);
    }
    return true;
}

bool virtqueue_peek_used(const VirtQueue *vq, uint16_t *used)
{
    if (!vq->packed) {
        return vq->enabled &&
               peek16(vq->used_gpa + offsetof(struct vring_used, idx), used);
    }
    *used = __atomic_load_n(&vq->used_idx, __ATOMIC_RELAXED);
    if (__atomic_load_n(&vq->used_wrap, __ATOMIC_RELAXED)) {
        *used |= 1u << VRING_PACKED_EVENT_F_WRAP_CTR;
    }
    return vq->enabled;
}

/* Is the descriptor at position @used the driver's next one? (2.8.1) */
static bool packed_waiting(const VirtQueue *vq, uint16_t used)
{
    bool wrap = used >> VRING_PACKED_EVENT_F_WRAP_CTR;
    unsigned slot = used & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
    uint16_t flags;

    return slot < vq->size &&
           peek16(vq->desc_gpa + slot * DESC_SIZE +
                      offsetof(struct vring_packed_desc, flags),
                  &flags) &&
           !!(flags & 1u << VRING_PACKED_DESC_F_AVAIL) == wrap &&
           !!(flags & 1u << VRING_PACKED_DESC_F_USED) != wrap;
}

bool virtqueue_peek_waiting(const VirtQueue *vq, uint16_t used)
{
    uint16_t avail;

    if (!vq->enabled) {
        return false;
    }
    if (vq->packed) {
        return packed_waiting(vq, used);
    }
    return peek16(vq->avail_gpa + offsetof(struct vring_avail, idx), &avail) &&
           avail != used;
}

/* Chains from position @used on that are available (2.8.1). */
static bool packed_occupancy(const VirtQueue *vq, uint16_t used, unsigned *n)
{
    const uint16_t *ring =
        ram_map_lookup(ram_map_get(), vq->desc_gpa, vq->size * DESC_SIZE);
    bool wrap = used >> VRING_PACKED_EVENT_F_WRAP_CTR;
    unsigned slot = used & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);

    if (!ring || (uintptr_t)ring % DESC_SIZE || slot >= vq->size) {
        return false;
    }
    for (unsigned i = 0; i < vq->size; i++) {
        const uint16_t *p = &ring[(slot + 1) * DESC_SIZE / sizeof(*ring) - 1];
        unsigned flags = le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));

        if (!!(flags & 1u << VRING_PACKED_DESC_F_AVAIL) != wrap ||
            !!(flags & 1u << VRING_PACKED_DESC_F_USED) == wrap) {
            break;
        }
        *n += !(flags & VRING_DESC_F_NEXT);
        slot++;
        if (slot == vq->size) {
            slot = 0;
            wrap = !wrap;
        }
    }
    return true;
}

static bool split_occupancy(const VirtQueue *vq, uint16_t used, unsigned *n)
{
    uint16_t avail;

    if (!peek16(vq->avail_gpa + offsetof(struct vring_avail, idx), &avail)) {
        return false;
    }
    *n = (uint16_t)(avail - used);
    return *n <= vq->size;
}

bool virtqueue_peek_occupancy(const VirtQueue *vq, unsigned *n)
{
    bool ok = false;

    /* A number of one moment: the device goes on, a few looks will do. */
    for (unsigned i = 0; vq->size && !ok && i < 4; i++) {
        uint16_t used = 0, later = 0;

        *n = 0;
        ok = virtqueue_peek_used(vq, &used) &&
             (vq->packed ? packed_occupancy(vq, used, n)
                         : split_occupancy(vq, used, n)) &&
             virtqueue_peek_used(vq, &later) && used == later;
    }
    return ok;
}

bool virtqueue_peek_avail(const VirtQueue *vq, uint16_t idx, uint16_t *head,
                          Error **errp)
{
    if (!check_set_up(vq, errp)) {
        return false;
    }
    if (vq->packed) {
        idx &= ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
        *head = idx % vq->size;
        return true;
    }
    return peek16(vq->avail_gpa + offsetof(struct vring_avail, ring) +
                      sizeof(uint16_t) * (idx % vq->size),
                  head) ||
           not_in_ram(vq, "available ring", errp);
}

/* A table of descriptors in guest memory. */
typedef struct DescTable {
    uint64_t gpa;
    unsigned n;
    bool indirect, packed;
} DescTable;

/* Of packed ones too: what follows is then the next in the table. */
static bool desc_read(const DescTable *table, unsigned i,
                      struct vring_desc *desc)
{
    struct vring_desc raw;

    if (!ram_read(table->gpa + (uint64_t)i * DESC_SIZE, &raw, sizeof(raw))) {
        return false;
    }
    *desc = (struct vring_desc){ .addr = le64toh(raw.addr),
                                 .len = le32toh(raw.len),
                                 .flags = le16toh(raw.flags),
                                 .next = le16toh(raw.next) };
    if (table->packed) {
        /* An id in the place of flags, and flags in that of next. */
        desc->flags = desc->next;
        desc->next = (i + 1) % table->n;
        if (table->indirect) {
            desc->flags &= ~(unsigned)VRING_DESC_F_NEXT;
            desc->flags |= i + 1 < table->n ? VRING_DESC_F_NEXT : 0;
        }
    }
    return true;
}

/* The table that @desc refers to (2.7.5.3). NULL, or what is wrong. */
static const char *table_enter(DescTable *table, const struct vring_desc *desc)
{
    if (table->indirect) {
        return "an indirect table refers to another";
    }
    if (!desc->len || desc->len % DESC_SIZE) {
        return "the length of an indirect table is zero or no multiple of 16";
    }
    *table = (DescTable){ .gpa = desc->addr,
                          .n = desc->len / DESC_SIZE,
                          .indirect = true,
                          .packed = table->packed };
    return NULL;
}

/* Each step takes one from @left, which starts as the length of the table: so
 * a loop ends. NULL, or what is wrong. */
static const char *chain_read(DescTable table, unsigned i, VirtQueueDesc *out,
                              unsigned *n)
{
    unsigned left = table.n;

    for (*n = 0;;) {
        struct vring_desc d;
        const char *wrong;

        if (i >= table.n) {
            return "a descriptor's number is beyond its table";
        }
        if (left-- == 0) {
            return "the chain is a loop";
        }
        if (!desc_read(&table, i, &d)) {
            return "a table is not in guest RAM";
        }
        if (d.flags & VRING_DESC_F_INDIRECT) {
            wrong = table_enter(&table, &d);
            if (wrong) {
                return wrong;
            }
            left = table.n;
            i = 0;
            continue;
        }
        if (*n == VIRTQUEUE_MAX_SEGS) {
            return "the chain is too long";
        }
        out[(*n)++] = (VirtQueueDesc){ d.addr, d.len, d.flags };
        if (!(d.flags & VRING_DESC_F_NEXT)) {
            return NULL;
        }
        i = d.next;
    }
}

unsigned virtqueue_peek_chain(const VirtQueue *vq, uint16_t head,
                              VirtQueueDesc *desc, Error **errp)
{
    DescTable table = { .gpa = vq->desc_gpa,
                        .n = vq->size,
                        .packed = vq->packed };
    const char *wrong;
    unsigned n;

    if (!check_set_up(vq, errp)) {
        return 0;
    }
    wrong = chain_read(table, head, desc, &n);
    if (wrong) {
        error_setg(errp, "Descriptor %u of virtqueue %u starts no chain: %s",
                   head, vq->index, wrong);
        return 0;
    }
    return n;
}
