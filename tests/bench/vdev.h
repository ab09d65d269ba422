/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's view of a virtio-net-pci device: found and set up over qtest,
 * then driven by split rings in memory that is shared with the program under
 * test.
 *
 * Threads: the main thread sets it up; then one thread drives it.
 */
#ifndef BENCH_VDEV_H
#define BENCH_VDEV_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "frame.h"
#include "qtest.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

/* A split ring; VIRTIO 1.2, 2.7. */
typedef struct Vring {
    int index, size;
    uint64_t notify; /* guest address of the doorbell */
    struct vring_desc *desc;
    struct vring_avail *avail;
    struct vring_used *used;
    uint16_t *used_event, *avail_event;
    uint16_t next_avail; /* what avail->idx becomes */
    uint16_t last_used;
    uint16_t published; /* next_avail when the device was last told */
    uint64_t buffers;   /* guest address of the buffers */
    uint32_t stride;    /* bytes from one to the next */
    uint8_t *busy;      /* by head: the device has it */
    int doorbell;       /* the program's own eventfd, -1: by qtest */
    uint32_t *irq_word; /* written by the device's MSI-X message; or NULL */
    uint64_t irqs, bad_used;
} Vring;

typedef struct VirtDevice {
    Qtest qtest;
    uint8_t *ram;
    uint64_t ram_size, ram_next;
    int devfn;
    uint64_t bar[6];
    uint64_t common, notify, config; /* guest addresses; VIRTIO 1.2, 4.1.4 */
    uint32_t notify_multiplier;
    uint64_t offered, features;
    bool event_idx, mergeable, indirect, msix;
    int pairs, max_pairs, ring_count;
    Vring ring[2 * MAX_PAIRS + 1]; /* 2i: receive, 2i + 1: transmit */
    Vring *ctrl;

    /* any thread, atomic: shown while they count */
    uint64_t kicks_eventfd, kicks_qtest;
} VirtDevice;

typedef struct VirtSetup {
    uint64_t features; /* wanted; those that are offered are taken */
    int pairs, rx_size, tx_size;
    bool irq;
} VirtSetup;

static inline void *guest_ptr(VirtDevice *d, uint64_t addr)
{
    return d->ram + addr;
}

/* Zeroed guest memory. */
uint64_t guest_alloc(VirtDevice *d, uint64_t size, uint64_t align);

/* Finds the function, places its BARs, finds its capabilities. */
void vdev_find(VirtDevice *d);
/* MSI-X with @count messages that are stores to words of guest memory at
 * @words, 64 bytes apart: an interrupt that costs the program under test its
 * own way to a message, and can be polled. */
void vdev_enable_msix(VirtDevice *d, uint64_t words, int count);
/* Reset, features, rings, DRIVER_OK; VIRTIO 1.2, 3.1. */
void vdev_start(VirtDevice *d, const VirtSetup *s);
void vdev_set_pairs(VirtDevice *d, int pairs);
void vdev_free(VirtDevice *d);

/* Rings the doorbell. */
void vring_kick(VirtDevice *d, Vring *r);
/* Makes what was added visible; rings when the device wants to know. */
void vring_publish(VirtDevice *d, Vring *r);
/* The same without a kick. */
void vring_publish_silently(Vring *r);

static inline uint16_t vring_used_idx(const Vring *r)
{
    return __atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE);
}

/* Asks for no interrupt: used_event out of reach, since the flag does not count
 * with event indexes. */
void vring_irq_off(VirtDevice *d, Vring *r);
/* Asks for one when @after more buffers are used; false: they are already. */
bool vring_irq_on(VirtDevice *d, Vring *r, uint16_t after);

/*
 * Doorbells. KVM would signal the program's ioeventfds; there is none here, so
 * they are borrowed with pidfd_getfd(2), and which one is whose is found by
 * experiment: something is put into a ring without a kick, and the candidates
 * are written in turn. @prepare puts a frame into a transmit ring, or buffers
 * into a receive ring for which frames wait in the tap; false: it cannot.
 * Returns how many were found; the others go by qtest.
 */
int doorbells_find(VirtDevice *d, int pid,
                   bool (*prepare)(void *opaque, Vring *r), void *opaque);

#endif
