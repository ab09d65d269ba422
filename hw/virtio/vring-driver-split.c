/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split rings from the driver's side (VIRTIO 1.2, 2.7).
 *
 * Threads: see hw/virtio/vring-driver.h.
 */
#include "util/osdep.h"

#include "hw/virtio/vring-driver-internal.h"

/* Offsets in the available and the used ring (2.7.6, 2.7.8). */
#define RING_FLAGS   0u
#define RING_IDX     2u
#define RING_ENTRIES 4u
#define AVAIL_ELEM   2u
#define USED_ELEM    8u

void vring_split_layout(VringDriverAreas *area, uint16_t size)
{
    *area = (VringDriverAreas){
        .desc_bytes = (size_t)DESC_SIZE * size,
        .driver_bytes = RING_ENTRIES + AVAIL_ELEM * (size_t)size + 2,
        .device_bytes = RING_ENTRIES + USED_ELEM * (size_t)size + 2,
    };
}

static void write_desc(VringDriver *ring, uint16_t i,
                       const VringDriverPart *part, uint16_t flags,
                       uint16_t next)
{
    size_t at = (size_t)i * DESC_SIZE;

    guest_store64(ring->area.desc, at, part->address);
    guest_store32(ring->area.desc, at + 8, part->len);
    guest_store16(ring->area.desc, at + 12, flags);
    guest_store16(ring->area.desc, at + 14, next);
}

uint16_t vring_split_write(VringDriver *ring, const VringDriverPart *parts,
                           unsigned n_out, unsigned n)
{
    uint16_t head = vring_fifo_get(ring, &ring->unused), i = head;
    uint16_t entry = (ring->avail + ring->added.n) & (ring->size - 1u);

    for (unsigned k = 0; k < n; k++) {
        bool more = k + 1 < n;
        uint16_t next = more ? vring_fifo_get(ring, &ring->unused) : 0;

        write_desc(ring, i, &parts[k],
                   (k >= n_out ? VRING_DESC_F_WRITE : 0) |
                       (more ? VRING_DESC_F_NEXT : 0),
                   next);
        ring->next[i] = next;
        i = next;
    }
    guest_store16(ring->area.driver, RING_ENTRIES + AVAIL_ELEM * entry, head);
    return head;
}

bool vring_split_show(VringDriver *ring, unsigned n)
{
    uint16_t old = ring->avail, event;

    ring->avail += n;
    /* Release: descriptors, entries and buffers are stored before the index;
     * the partner is the device's acquire load of it. */
    guest_store16_release(ring->area.driver, RING_IDX, ring->avail);
    /* The index is stored before the device's request is loaded; the partner is
     * its full barrier between request and last look (2.7.13.4.1). */
    full_barrier();
    if (!ring->event_idx) {
        return !(guest_load16(ring->area.device, RING_FLAGS) &
                 VRING_USED_F_NO_NOTIFY);
    }
    event = guest_load16(ring->area.device,
                         RING_ENTRIES + USED_ELEM * (size_t)ring->size);
    return (uint16_t)(ring->avail - event - 1) < (uint16_t)(ring->avail - old);
}

int vring_split_look(VringDriver *ring, VringElement *element)
{
    size_t at;

    if (ring->used_shown == ring->used) {
        /* Acquire: elements and buffers are loaded after the index; the partner
         * is the device's write barrier before it stores that. */
        uint16_t idx = guest_load16_acquire(ring->area.device, RING_IDX);

        if ((uint16_t)(idx - ring->used) > ring->outstanding - ring->added.n) {
            return vring_fault(ring, "used index jumps beyond what is out");
        }
        ring->used_shown = idx;
    }
    if (ring->used_shown == ring->used) {
        return 0;
    }
    at = RING_ENTRIES + USED_ELEM * (ring->used & (ring->size - 1u));
    element->id = guest_load32(ring->area.device, at);
    element->len = guest_load32(ring->area.device, at + 4);
    return 1;
}

void vring_split_release(VringDriver *ring, uint16_t id)
{
    for (unsigned k = ring->chain[id].slots; k > 0; k--) {
        vring_fifo_put(ring, &ring->unused, id);
        id = ring->next[id];
    }
    ring->used++;
}

void vring_split_want_calls(VringDriver *ring, bool want)
{
    if (!ring->event_idx) {
        guest_store16(ring->area.driver, RING_FLAGS,
                      want ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
    } else {
        /* 2.7.7.2: a call when entry used is used, or one that was passed and
         * comes after a lap. */
        guest_store16(ring->area.driver,
                      RING_ENTRIES + AVAIL_ELEM * (size_t)ring->size,
                      ring->used - !want);
    }
}
