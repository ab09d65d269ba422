/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a ring: what does not depend on its format.
 *
 * Threads: see hw/virtio/vring-driver.h.
 */
#include "util/osdep.h"

#include "hw/virtio/vring-driver-internal.h"
#include "util/fd.h"

/* ---- numbers in their order ---- */

void vring_fifo_put(const VringDriver *ring, VringFifo *fifo, uint16_t value)
{
    fifo->v[(fifo->first + fifo->n) % ring->size] = value;
    fifo->n++;
}

uint16_t vring_fifo_get(const VringDriver *ring, VringFifo *fifo)
{
    uint16_t value = fifo->v[fifo->first];

    fifo->first = (fifo->first + 1) % ring->size;
    fifo->n--;
    return value;
}

/* ---- life ---- */

static bool is_packed(uint64_t features)
{
    return features & 1ULL << VIRTIO_F_RING_PACKED;
}

static void layout(VringDriverAreas *area, uint16_t size, uint64_t features)
{
    if (is_packed(features)) {
        vring_packed_layout(area, size);
    } else {
        vring_split_layout(area, size);
    }
}

/* The driver's area behind the descriptors, the device's behind that. */
static size_t driver_offset(const VringDriverAreas *area)
{
    return ALIGN_UP(area->desc_bytes, VRING_DRIVER_ALIGN);
}

static size_t device_offset(const VringDriverAreas *area)
{
    return driver_offset(area) +
           ALIGN_UP(area->driver_bytes, VRING_DRIVER_ALIGN);
}

size_t vring_driver_bytes(uint16_t size, uint64_t features)
{
    VringDriverAreas area;

    layout(&area, size, features);
    return device_offset(&area) +
           ALIGN_UP(area.device_bytes, VRING_DRIVER_ALIGN);
}

static void place_areas(VringDriver *ring, const VringDriverConfig *config)
{
    VringDriverAreas *area = &ring->area;
    uint8_t *memory = config->memory;

    layout(area, config->size, config->features);
    area->desc = memory;
    area->driver = memory + driver_offset(area);
    area->device = memory + device_offset(area);
    area->desc_addr = config->address;
    area->driver_addr = config->address + driver_offset(area);
    area->device_addr = config->address + device_offset(area);
}

VringDriver *vring_driver_new(const VringDriverConfig *config)
{
    VringDriver *ring = g_new0(VringDriver, 1);

    ring->size = config->size;
    ring->packed = is_packed(config->features);
    ring->event_idx = config->features & 1ULL << VIRTIO_RING_F_EVENT_IDX;
    ring->in_order = config->features & 1ULL << VIRTIO_F_IN_ORDER;
    ring->kick_fd = config->kick_fd;
    ring->chain = g_new(VringChain, ring->size);
    ring->unused.v = g_new(uint16_t, ring->size);
    ring->added.v = g_new(uint16_t, ring->size);
    ring->order.v = g_new(uint16_t, ring->size);
    ring->next = g_new(uint16_t, ring->size);
    place_areas(ring, config);
    vring_driver_reset(ring);
    return ring;
}

void vring_driver_free(VringDriver *ring)
{
    if (ring) {
        g_free(ring->chain);
        g_free(ring->unused.v);
        g_free(ring->added.v);
        g_free(ring->order.v);
        g_free(ring->next);
        g_free(ring);
    }
}

void vring_driver_reset(VringDriver *ring)
{
    VringFifo *fifos[] = { &ring->unused, &ring->added, &ring->order };

    for (unsigned i = 0; i < ARRAY_SIZE(fifos); i++) {
        fifos[i]->first = fifos[i]->n = 0;
    }
    for (unsigned i = 0; i < ring->size; i++) {
        ring->chain[i].state = VRING_CHAIN_NONE;
        vring_fifo_put(ring, &ring->unused, i);
    }
    ring->fault = NULL;
    ring->room = ring->size;
    ring->outstanding = ring->run = 0;
    ring->used = ring->used_shown = ring->avail = 0;
    ring->slot = ring->added_slots = 0;
    ring->avail_wrap = ring->used_wrap = true; /* 2.8.1 */
    memset(ring->area.desc, 0, ring->area.desc_bytes);
    memset(ring->area.driver, 0, ring->area.driver_bytes);
    memset(ring->area.device, 0, ring->area.device_bytes);
}

/* ---- state ---- */

void vring_driver_areas(const VringDriver *ring, VringDriverAreas *areas)
{
    *areas = ring->area;
}

uint16_t vring_driver_first_base(const VringDriver *ring)
{
    return ring->packed ? 1u << VRING_PACKED_EVENT_F_WRAP_CTR : 0;
}

unsigned vring_driver_room(const VringDriver *ring)
{
    return ring->fault ? 0 : ring->room;
}

unsigned vring_driver_outstanding(const VringDriver *ring)
{
    return ring->outstanding;
}

const char *vring_driver_fault(const VringDriver *ring)
{
    return ring->fault;
}

/* ---- to the device ---- */

int vring_driver_add(VringDriver *ring, const VringDriverPart *parts,
                     unsigned n_out, unsigned n_in, uint16_t token)
{
    unsigned n = n_out + n_in;
    VringChain *chain;
    uint16_t id;

    if (ring->fault) {
        return -EPROTO;
    }
    if (n > ring->room) {
        return -ENOSPC;
    }
    id = ring->packed ? vring_packed_write(ring, parts, n_out, n)
                      : vring_split_write(ring, parts, n_out, n);
    chain = &ring->chain[id];
    *chain =
        (VringChain){ .state = VRING_CHAIN_ADDED, .token = token, .slots = n };
    for (unsigned i = n_out; i < n; i++) {
        chain->in_len += parts[i].len;
    }
    vring_fifo_put(ring, &ring->added, id);
    if (ring->in_order) {
        vring_fifo_put(ring, &ring->order, id);
    }
    ring->room -= n;
    ring->outstanding++;
    return 0;
}

void vring_driver_kick(VringDriver *ring)
{
    eventfd_signal_shared(ring->kick_fd);
}

bool vring_driver_publish(VringDriver *ring)
{
    unsigned n = ring->added.n;
    bool wanted;

    if (ring->fault || !n) {
        return false;
    }
    while (ring->added.n) {
        ring->chain[vring_fifo_get(ring, &ring->added)].state = VRING_CHAIN_OUT;
    }
    wanted = ring->packed ? vring_packed_show(ring) : vring_split_show(ring, n);
    if (wanted) {
        vring_driver_kick(ring);
    }
    return wanted;
}

/* ---- from the device ---- */

static int look(VringDriver *ring, VringElement *element)
{
    return ring->packed ? vring_packed_look(ring, element)
                        : vring_split_look(ring, element);
}

/* Chain @id came back, with @len bytes as the device says. */
static int take_chain(VringDriver *ring, uint16_t id, uint64_t len,
                      VringDriverUsed *used)
{
    VringChain *chain = &ring->chain[id];

    if (chain->in_len == 0) {
        len = 0;
    }
    if (len > MIN(chain->in_len, UINT32_MAX)) {
        return vring_fault(ring, "more bytes used than the chain has");
    }
    *used = (VringDriverUsed){ .token = chain->token, .len = (uint32_t)len };
    chain->state = VRING_CHAIN_NONE;
    ring->room += chain->slots;
    ring->outstanding--;
    if (ring->packed) {
        vring_packed_release(ring, id);
    } else {
        vring_split_release(ring, id);
    }
    return 1;
}

/* How many chains an element stands for that names @id, the last of them
 * (2.7.9, 2.8.8); 0: none that is out. */
static unsigned find_run(const VringDriver *ring, uint16_t id)
{
    for (unsigned i = 0; i < ring->order.n; i++) {
        if (ring->order.v[(ring->order.first + i) % ring->size] == id) {
            return i + 1;
        }
    }
    return 0;
}

/* All but the last of a run were used to their end. */
static int take_of_run(VringDriver *ring, VringDriverUsed *used)
{
    uint16_t id = vring_fifo_get(ring, &ring->order);
    bool last = --ring->run == 0;

    return take_chain(ring, id, last ? ring->run_len : ring->chain[id].in_len,
                      used);
}

static int begin_run(VringDriver *ring, const VringElement *element)
{
    unsigned n = find_run(ring, (uint16_t)element->id);

    if (!n ||
        (!ring->packed && n > (uint16_t)(ring->used_shown - ring->used))) {
        return vring_fault(ring, "chains used out of their order");
    }
    ring->run = n;
    ring->run_len = element->len;
    return 1;
}

int vring_driver_take(VringDriver *ring, VringDriverUsed *used)
{
    VringElement element;
    int r;

    if (ring->fault) {
        return -EPROTO;
    }
    if (ring->run) {
        return take_of_run(ring, used);
    }
    r = look(ring, &element);
    if (r <= 0) {
        return r;
    }
    if (element.id >= ring->size ||
        ring->chain[element.id].state != VRING_CHAIN_OUT) {
        return vring_fault(ring, "a chain used that is not out");
    }
    if (!ring->in_order) {
        return take_chain(ring, (uint16_t)element.id, element.len, used);
    }
    r = begin_run(ring, &element);
    return r < 0 ? r : take_of_run(ring, used);
}

bool vring_driver_empty(VringDriver *ring)
{
    VringElement element;

    return !ring->fault && !ring->run && look(ring, &element) == 0;
}

void vring_driver_want_calls(VringDriver *ring, bool want)
{
    if (ring->packed) {
        vring_packed_want_calls(ring, want);
    } else {
        vring_split_want_calls(ring, want);
    }
    if (want) {
        /* Our store of the request is before our next look at used chains; the
         * partner is the device's full barrier between its store of those and
         * its load of the request (2.7.7.2, 2.8.10). */
        full_barrier();
    }
}
