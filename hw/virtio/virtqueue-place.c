/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the device of a packed ring stood, when it is gone and told nobody.
 *
 * A split ring has a used index for that. Of a packed ring the descriptors are
 * all there is. The driver writes each slot once in a lap, and the AVAIL flag
 * of what it writes is its wrap counter, which the device leaves as it is: so
 * the slot where the flag changes is where the driver will write next. Seen
 * from there the ring is a window on one lap, oldest slot first. The device
 * marks the first slot of each chain that it is done with (both flags the
 * same), and no other. So it stood behind the last mark: at the next slot, if
 * that chain had one slot only.
 *
 * Whether it had is what the ring does not say, as the mark was written over
 * the flags that said so. Slots behind it may belong to that chain, or to the
 * next one. These tell them apart:
 *
 * - a slot with an indirect table is a chain by itself (VIRTIO 1.2, 2.8.19);
 * - the last slot of a chain has the id that the mark has (2.8.6), and chains
 *   that were out at the same time have different ids;
 * - a driver that may use indirect tables, and of which no chain of several
 *   slots is to be seen anywhere in the ring, is taken to make none. Drivers
 *   make such chains only if they have no memory for a table.
 *
 * Otherwise the place is not known.
 *
 * Threads: under the machine lock; the driver runs.
 */
#include "util/osdep.h"

#include "hw/virtio/virtqueue-internal.h"

#define F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED  (1u << VRING_PACKED_DESC_F_USED)

#define DESC_ID    12u
#define DESC_FLAGS 14u

/* A driver may be in the middle of a chain of several slots. */
#define LOOKS   10u
#define WAIT_US 100u

/* The ring as it was at one look. Slots are counted from the oldest. */
typedef struct RingLook {
    const VirtQueue *vq;
    unsigned size;
    unsigned next; /* slot where the driver will write, the window's first */
    bool wrap;     /* its counter there */
    unsigned done; /* slots up to the last mark, with it; 0: there is none */
    uint16_t flags[VIRTQUEUE_MAX_SIZE]; /* by slot of the ring */
} RingLook;

static unsigned slot_of(const RingLook *look, unsigned i)
{
    unsigned slot = look->next + i;

    return slot < look->size ? slot : slot - look->size;
}

static uint16_t flags_at(const RingLook *look, unsigned i)
{
    return look->flags[slot_of(look, i)];
}

static uint16_t id_at(const RingLook *look, unsigned i)
{
    return guest_load16(look->vq->desc, slot_of(look, i) * DESC_SIZE + DESC_ID);
}

static bool is_mark(uint16_t flags)
{
    return !(flags & F_AVAIL) == !(flags & F_USED);
}

static bool avail(uint16_t flags)
{
    return flags & F_AVAIL;
}

/* False: the AVAIL flags change more than once, so the driver is just writing,
 * or does what it likes. */
static bool look_once(RingLook *look)
{
    unsigned slot = 0;

    for (unsigned i = 0; i < look->size; i++) {
        look->flags[i] =
            guest_load16_acquire(look->vq->desc, i * DESC_SIZE + DESC_FLAGS);
    }
    look->wrap = avail(look->flags[0]);
    while (slot < look->size && avail(look->flags[slot]) == look->wrap) {
        slot++;
    }
    look->next = slot;
    while (slot < look->size && avail(look->flags[slot]) != look->wrap) {
        slot++;
    }
    return slot == look->size;
}

static bool look_at(RingLook *look, const VirtQueue *vq)
{
    look->vq = vq;
    look->size = vq->size;
    for (unsigned n = 0; !look_once(look); n++) {
        if (n == LOOKS) {
            return false;
        }
        g_usleep(WAIT_US);
    }
    if (look->next == look->size) {
        look->next = 0;
        look->wrap = !look->wrap;
    }
    look->done = look->size;
    while (look->done > 0 && !is_mark(flags_at(look, look->done - 1))) {
        look->done--;
    }
    return true;
}

/* ---- is the slot behind the last mark the first of a chain? ---- */

/* Nobody has ever written there: it is no mark of a chain, though it looks like
 * one. */
static bool is_blank(const RingLook *look, unsigned i)
{
    size_t at = (size_t)slot_of(look, i) * DESC_SIZE;

    return guest_load64(look->vq->desc, at) == 0 &&
           guest_load64(look->vq->desc, at + 8) == 0;
}

static bool only_single_slots(const RingLook *look)
{
    for (unsigned i = 0; i < look->size; i++) {
        uint16_t flags = flags_at(look, i);

        if (i < look->done ? !is_mark(flags) : flags & VRING_DESC_F_NEXT) {
            return false;
        }
    }
    return look->vq->indirect;
}

/* No chain that ends behind the last mark has its id: of those that the mark
 * may stand for, which are many with VIRTIO_F_IN_ORDER. */
static bool is_other_id(const RingLook *look)
{
    uint16_t id;

    if (look->done == 0) {
        return false;
    }
    id = id_at(look, look->done - 1);
    for (unsigned i = look->done; i < look->size; i++) {
        if (flags_at(look, i) & VRING_DESC_F_NEXT) {
            continue;
        }
        if (id_at(look, i) == id) {
            return false;
        }
        if (!look->vq->in_order) {
            return true;
        }
    }
    return look->vq->in_order;
}

static bool is_known(const RingLook *look)
{
    if (look->done == look->size) {
        return true; /* there is nothing behind it */
    }
    if (look->done > 0 && is_blank(look, look->done - 1)) {
        return true;
    }
    if (look->vq->in_order) {
        return is_other_id(look);
    }
    return (flags_at(look, look->done) & VRING_DESC_F_INDIRECT) ||
           is_other_id(look) || only_single_slots(look);
}

bool virtqueue_find_place(const VirtQueue *vq, uint16_t *place)
{
    RingLook look;
    unsigned slot;

    if (!look_at(&look, vq) || !is_known(&look)) {
        return false;
    }
    slot = slot_of(&look, look.done);
    *place = (uint16_t)slot;
    /* Slots from there to the end of the ring are of the lap before. */
    if (look.done < look.size && slot >= look.next ? !look.wrap : look.wrap) {
        *place |= 1u << VRING_PACKED_EVENT_F_WRAP_CTR;
    }
    return true;
}

/* ---- a place that was told ---- */

/* Could the slots between the last mark and @end be the rest of its chain? If
 * there is no mark, of one whose first slot the driver has written to again. */
static bool is_rest_of_chain(const RingLook *look, unsigned end)
{
    bool in_order = look->vq->in_order;

    for (unsigned i = look->done; i + 1 < end && !in_order; i++) {
        if (!(flags_at(look, i) & VRING_DESC_F_NEXT)) {
            return false;
        }
    }
    return !(flags_at(look, end - 1) & VRING_DESC_F_NEXT) &&
           (look->done == 0 ||
            id_at(look, end - 1) == id_at(look, look->done - 1));
}

bool virtqueue_may_be_place(const VirtQueue *vq, uint16_t place)
{
    unsigned slot = place & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR), i;
    bool wrap = place >> VRING_PACKED_EVENT_F_WRAP_CTR;
    RingLook look;

    if (slot >= vq->size || !look_at(&look, vq)) {
        return false;
    }
    if (slot == look.next && wrap == look.wrap) {
        i = look.size;
    } else {
        i = slot < look.next ? slot + look.size - look.next : slot - look.next;
        if (wrap != (slot < look.next ? look.wrap : !look.wrap)) {
            return false;
        }
    }
    return i == look.done || (i > look.done && is_rest_of_chain(&look, i));
}
