/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A ring seen from the driver's side, split (VIRTIO 1.2, 2.7) or packed (2.8):
 * for rings of our own that somebody else is the device of.
 *
 * Rings and buffers lie in memory that the device can write, too, and it is not
 * trusted: all that counts (what is out, how long it is) is kept beside it;
 * what the device says is read once and checked. The first lie breaks the ring:
 * from then on its calls return -EPROTO.
 *
 * Chains are given to the device by vring_driver_add(), which it sees after
 * vring_driver_publish(), and come back by vring_driver_take().
 *
 * Threads: a ring has one user at a time.
 */
#ifndef HW_VIRTIO_VRING_DRIVER_H
#define HW_VIRTIO_VRING_DRIVER_H

#include "util/osdep.h"

/* Where the ring begins in memory and at the device's addresses. */
#define VRING_DRIVER_ALIGN 64u

typedef struct VringDriver VringDriver;

typedef struct VringDriverConfig {
    /* descriptors; split rings: a power of two, up to 32768 */
    uint16_t size;
    /* VIRTIO_F_RING_PACKED, VIRTIO_RING_F_EVENT_IDX and VIRTIO_F_IN_ORDER count
     * as agreed with the device, others do not matter */
    uint64_t features;
    /* vring_driver_bytes() bytes, the caller's, aligned; they are cleared */
    void *memory;
    uint64_t address; /* the same as the device calls it; aligned likewise */
    int kick_fd;      /* eventfd that tells the device; the caller's */
} VringDriverConfig;

/* A part of a chain: an address of the device's, and a length above 0. */
typedef struct VringDriverPart {
    uint64_t address;
    uint32_t len;
} VringDriverPart;

/* The areas of a ring: descriptors, what the driver writes (available ring;
 * packed: its event suppression) and what the device writes. */
typedef struct VringDriverAreas {
    void *desc, *driver, *device;                  /* here */
    uint64_t desc_addr, driver_addr, device_addr;  /* for the device */
    size_t desc_bytes, driver_bytes, device_bytes; /* their lengths */
} VringDriverAreas;

/* Bytes of memory for a ring of that size and format. */
size_t vring_driver_bytes(uint16_t size, uint64_t features);

/* A ring with nothing in it, where device and driver begin. */
VringDriver *vring_driver_new(const VringDriverConfig *config);
/* NULL is allowed. The memory stays. */
void vring_driver_free(VringDriver *ring);
/* As it was made: for a device that begins anew and has forgotten all chains,
 * as we do. It does not use the ring any more. */
void vring_driver_reset(VringDriver *ring);

void vring_driver_areas(const VringDriver *ring, VringDriverAreas *areas);
/* Where a device begins, as vhost tells it: the next available entry; packed:
 * slot and, in bit 15, wrap counter, which holds for used ones as well. */
uint16_t vring_driver_first_base(const VringDriver *ring);

/* Descriptors that are not in use; 0 when broken. */
unsigned vring_driver_room(const VringDriver *ring);
/* Chains that the device has, or will have when they are published. */
unsigned vring_driver_outstanding(const VringDriver *ring);

/*
 * Adds a chain of @n_out parts that the device reads and, behind them, @n_in
 * that it writes, together at least one; @token comes back with it. -ENOSPC:
 * no room for it; -EPROTO: broken.
 */
int vring_driver_add(VringDriver *ring, const VringDriverPart *parts,
                     unsigned n_out, unsigned n_in, uint16_t token);
/* Shows the device all that was added, and tells it by its eventfd unless it
 * asked not to be told (2.7.10, 2.8.10). True when it did. */
bool vring_driver_publish(VringDriver *ring);
/* Tells it whatever it asked for: for one that has just been given the ring. */
void vring_driver_kick(VringDriver *ring);

/* A chain that came back. */
typedef struct VringDriverUsed {
    uint16_t token;
    /* bytes that the device says it wrote, not more than the parts have; 0 for
     * a chain that it only reads */
    uint32_t len;
} VringDriverUsed;

/* Takes the next chain that the device is done with. 1: taken; 0: none;
 * -EPROTO: the device broke the ring (vring_driver_fault() says how). */
int vring_driver_take(VringDriver *ring, VringDriverUsed *used);
/* False: a take would find one, or a fault. */
bool vring_driver_empty(VringDriver *ring);
/*
 * Asks the device to write its call eventfd when it is done with a chain, or
 * not to (2.7.7, 2.8.10). After asking, the caller looks once more
 * (vring_driver_empty()) before it sleeps.
 */
void vring_driver_want_calls(VringDriver *ring, bool want);
/* What the device did wrong; NULL: nothing. */
const char *vring_driver_fault(const VringDriver *ring);

#endif
