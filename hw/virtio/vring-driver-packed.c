/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed rings from the driver's side (VIRTIO 1.2, 2.8).
 *
 * Threads: see hw/virtio/vring-driver.h.
 */
#include "util/osdep.h"

#include "hw/virtio/vring-driver-internal.h"

#define DESC_LEN   8u
#define DESC_ID    12u
#define DESC_FLAGS 14u

#define F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED  (1u << VRING_PACKED_DESC_F_USED)

void vring_packed_layout(VringDriverAreas *area, uint16_t size)
{
    *area = (VringDriverAreas){
        .desc_bytes = (size_t)DESC_SIZE * size,
        .driver_bytes = sizeof(struct vring_packed_desc_event),
        .device_bytes = sizeof(struct vring_packed_desc_event),
    };
}

static void next_slot(const VringDriver *ring, uint16_t *slot, bool *wrap,
                      unsigned n)
{
    unsigned at = *slot + n;

    if (at >= ring->size) {
        at -= ring->size;
        *wrap = !*wrap;
    }
    *slot = (uint16_t)at;
}

uint16_t vring_packed_write(VringDriver *ring, const VringDriverPart *parts,
                            unsigned n_out, unsigned n)
{
    uint16_t id = vring_fifo_get(ring, &ring->unused);

    for (unsigned k = 0; k < n; k++) {
        size_t at = (size_t)ring->slot * DESC_SIZE;
        uint16_t flags = (ring->avail_wrap ? F_AVAIL : F_USED) |
                         (k >= n_out ? VRING_DESC_F_WRITE : 0) |
                         (k + 1 < n ? VRING_DESC_F_NEXT : 0);

        guest_store64(ring->area.desc, at, parts[k].address);
        guest_store32(ring->area.desc, at + DESC_LEN, parts[k].len);
        guest_store16(ring->area.desc, at + DESC_ID, id);
        /* The first descriptor of all shows all of them: it comes last. */
        if (ring->added_slots == 0) {
            ring->first_slot = ring->slot;
            ring->first_flags = flags;
        } else {
            guest_store16(ring->area.desc, at + DESC_FLAGS, flags);
        }
        ring->added_slots++;
        next_slot(ring, &ring->slot, &ring->avail_wrap, 1);
    }
    return id;
}

bool vring_packed_show(VringDriver *ring)
{
    uint16_t n = ring->added_slots, event, off, flags;
    uint32_t request;

    ring->added_slots = 0;
    /* Release: all other descriptors and the buffers are stored before these
     * flags; the partner is the device's acquire load of them. */
    guest_store16_release(ring->area.desc,
                          (size_t)ring->first_slot * DESC_SIZE + DESC_FLAGS,
                          ring->first_flags);
    /* The flags are stored before the device's request is loaded; the partner
     * is its full barrier between request and last look (2.8.21.3). */
    full_barrier();
    request = guest_load32(ring->area.device, 0);
    off = (uint16_t)request;
    flags = request >> 16;
    if (flags != VRING_PACKED_EVENT_FLAG_DESC || !ring->event_idx) {
        return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
    }
    event = off & ~(1u << VRING_PACKED_EVENT_F_WRAP_CTR);
    if (off >> VRING_PACKED_EVENT_F_WRAP_CTR != ring->avail_wrap) {
        event -= ring->size;
    }
    return (uint16_t)(ring->slot - event - 1) < n;
}

int vring_packed_look(VringDriver *ring, VringElement *element)
{
    size_t at = (size_t)ring->used * DESC_SIZE;
    /* Acquire: the descriptor's other fields and the buffers are loaded after
     * its flags; the partner is the device's write barrier before those. */
    uint16_t flags = guest_load16_acquire(ring->area.desc, at + DESC_FLAGS);

    if (ring->outstanding == ring->added.n ||
        !!(flags & F_USED) != ring->used_wrap ||
        !!(flags & F_AVAIL) != ring->used_wrap) {
        return 0;
    }
    element->id = guest_load16(ring->area.desc, at + DESC_ID);
    element->len = guest_load32(ring->area.desc, at + DESC_LEN);
    return 1;
}

void vring_packed_release(VringDriver *ring, uint16_t id)
{
    vring_fifo_put(ring, &ring->unused, id);
    next_slot(ring, &ring->used, &ring->used_wrap, ring->chain[id].slots);
}

void vring_packed_want_calls(VringDriver *ring, bool want)
{
    uint32_t flags = VRING_PACKED_EVENT_FLAG_ENABLE, off = 0;

    if (!want) {
        flags = VRING_PACKED_EVENT_FLAG_DISABLE;
    } else if (ring->event_idx) {
        flags = VRING_PACKED_EVENT_FLAG_DESC;
        off = ring->used | (unsigned)ring->used_wrap
                               << VRING_PACKED_EVENT_F_WRAP_CTR;
    }
    guest_store32(ring->area.driver, 0, off | flags << 16);
}
