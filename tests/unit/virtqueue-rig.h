/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory for tests of virtqueues, and the device's side of a test with
 * two threads.
 *
 * Guest memory is four ranges: ordinary RAM, more RAM directly after it (at
 * another host address), read-only memory, and a hole everywhere else. All of
 * it stands between guard bytes.
 *
 * Threads: the test's.
 */
#ifndef TESTS_UNIT_VIRTQUEUE_RIG_H
#define TESTS_UNIT_VIRTQUEUE_RIG_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "hw/virtio/virtqueue.h"
#include "util/endian.h"
#include "util/fd.h"

#define RAM_GPA  0x10000ULL
#define RAM_SIZE 0x20000u
#define NEXT_GPA (RAM_GPA + RAM_SIZE)
#define ROM_GPA  0xf0000ULL
#define SMALL    0x4000u
#define HOLE_GPA 0x80000ULL

#define F_EVENT    (1ULL << VIRTIO_RING_F_EVENT_IDX)
#define F_INDIRECT (1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define F_V1       (1ULL << VIRTIO_F_VERSION_1)
#define F_PACKED   (1ULL << VIRTIO_F_RING_PACKED)
#define F_IN_ORDER (1ULL << VIRTIO_F_IN_ORDER)

/* Host address of guest RAM, which must be there. */
void *guest(uint64_t gpa);
static inline uint16_t *word(uint64_t gpa)
{
    return guest(gpa);
}

/* Empty memory, the ranges as above. */
void rig_memory_init(void);
/* Makes the second range @size bytes long, of which only the first exist, and
 * takes the read-only range away. */
void rig_grow_next(uint64_t size);
/* Nothing was written beside guest memory. */
void rig_check_guards(void);
/* RAM as it is, to be freed, and a check that it still is so. */
uint8_t *rig_ram_copy(void);
void rig_ram_unchanged(const uint8_t *copy);

/* 16 bytes of a descriptor: the last two fields are flags and next in a split
 * ring, id and flags in a packed one. */
void rig_desc(uint64_t table, unsigned i, uint64_t addr, uint32_t len,
              uint16_t third, uint16_t fourth);

/* Did the queue signal since the last question? */
bool rig_signalled(VirtQueue *vq);
/* Waits, not for ever: a lost notification fails the test. */
void rig_wait_readable(int fd);

/* Chains of the test with two threads: a number in, the next one out. */
#define STRESS_CHAINS 60000u
/* The device's side, of the VirtQueue @opaque: ends after STRESS_CHAINS. */
void *rig_stress_device(void *opaque);

#endif
