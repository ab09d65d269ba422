/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small driver of a packed virtqueue on plain memory (virtqueue-rig.h).
 *
 * Threads: the test's; where driver and device have one each, the driver's.
 */
#ifndef TESTS_UNIT_VIRTQUEUE_PACKED_RIG_H
#define TESTS_UNIT_VIRTQUEUE_PACKED_RIG_H

#include "virtqueue-rig.h"

#define DESC_GPA   RAM_GPA
#define DRIVER_GPA (RAM_GPA + 0x4000) /* event suppression */
#define DEVICE_GPA (RAM_GPA + 0x5000)
#define TABLE_GPA  (RAM_GPA + 0x8000)
#define DATA_GPA   (RAM_GPA + 0x10000)

#define NEXT     VRING_DESC_F_NEXT
#define WRITE    VRING_DESC_F_WRITE
#define INDIRECT VRING_DESC_F_INDIRECT
#define AVAIL    (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED     (1u << VRING_PACKED_DESC_F_USED)

#define ENABLE  VRING_PACKED_EVENT_FLAG_ENABLE
#define DISABLE VRING_PACKED_EVENT_FLAG_DISABLE
#define DESC    VRING_PACKED_EVENT_FLAG_DESC

typedef struct Pos {
    unsigned slot;
    bool wrap;
} Pos;

typedef struct Driver {
    VirtQueue vq;
    uint64_t features;
    unsigned size;
    Pos next, used;
    unsigned slots[VIRTQUEUE_MAX_SIZE]; /* by buffer id */
} Driver;

typedef struct Part {
    uint64_t addr;
    uint32_t len;
    uint16_t flags; /* without NEXT where others follow */
} Part;

/* One readable buffer and two writable ones. */
extern const Part driver_three[3];

/* The position @n slots on, at most one lap. */
Pos pos_after(const Driver *d, Pos pos, unsigned n);
/* The flags of a slot, in the ring. */
uint16_t *flags_at(unsigned slot);
/* Is the descriptor at @pos a used one, and what does it say then? */
bool is_used(Pos pos);
uint16_t used_id(Pos pos);
uint32_t used_len(Pos pos);

/* Empty memory and a queue of @size slots that can be started. */
void driver_init(Driver *d, unsigned size, uint64_t features);
/* The same, started as a packed ring with @features besides. */
void driver_start(Driver *d, unsigned size, uint64_t features);
void driver_end(Driver *d);

/* Makes a chain of @n buffers available as @id. */
void driver_offer(Driver *d, const Part *part, unsigned n, uint16_t id);
/* One buffer of 16 bytes. */
void driver_offer_one(Driver *d, uint16_t flags, uint16_t id);
/* The next used buffer, which must be there and say @id and @len. */
void driver_take(Driver *d, uint16_t id, uint32_t len);
/* What the device pops, of at most 16 buffers; it must be there. */
VirtQueueChain driver_pop(Driver *d);
/* Has @n buffers of one descriptor offered, used and taken. */
void driver_roundtrip(Driver *d, unsigned n);

#endif
