/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both formats of a driver's ring share, for vring-driver*.c only.
 *
 *   vring-driver.c         calls, chains that are out, order
 *   vring-driver-split.c   split rings (VIRTIO 1.2, 2.7)
 *   vring-driver-packed.c  packed rings (2.8)
 *
 * Threads: see hw/virtio/vring-driver.h.
 */
#ifndef HW_VIRTIO_VRING_DRIVER_INTERNAL_H
#define HW_VIRTIO_VRING_DRIVER_INTERNAL_H

#include "hw/virtio/virtqueue-internal.h"
#include "hw/virtio/vring-driver.h"

typedef enum VringChainState {
    VRING_CHAIN_NONE,  /* no chain has this id */
    VRING_CHAIN_ADDED, /* not shown yet */
    VRING_CHAIN_OUT,   /* the device has it */
} VringChainState;

/* By id: of a split ring that of the first descriptor. */
typedef struct VringChain {
    VringChainState state;
    uint16_t token;
    uint16_t slots; /* of the ring that it takes */
    uint64_t in_len;
} VringChain;

/* Numbers in the order in which they came; room for the ring's size. */
typedef struct VringFifo {
    uint16_t *v;
    unsigned first, n;
} VringFifo;

struct VringDriver {
    /* fixed after creation */
    uint16_t size;
    bool packed, event_idx, in_order;
    void *memory;
    VringDriverAreas area;
    int kick_fd;

    const char *fault;
    unsigned room;        /* descriptors */
    unsigned outstanding; /* chains */
    VringChain *chain;
    /* Split: descriptors; packed: buffer ids. Who comes back goes behind the
     * others: where chains come back in their order descriptors are used in
     * that of the ring, as VIRTIO_F_IN_ORDER demands (2.7.9). */
    VringFifo unused;
    VringFifo added;  /* ids of chains that are not shown yet */
    VringFifo order;  /* ids of chains that are out, with VIRTIO_F_IN_ORDER */
    unsigned run;     /* of these: how many a used element stood for */
    uint32_t run_len; /* of the last of them */

    uint16_t used; /* next used entry; packed: slot */
    /* split */
    uint16_t *next;      /* descriptors of a chain */
    uint16_t avail;      /* index as shown */
    uint16_t used_shown; /* used index last read */
    /* packed */
    bool avail_wrap, used_wrap;
    uint16_t slot;        /* next free one */
    uint16_t first_slot;  /* of what is not shown yet */
    uint16_t first_flags; /* that it gets */
    uint16_t added_slots;
};

/* Alignment is that of the ring. */
static inline void guest_store64(void *ring, size_t offset, uint64_t v)
{
    uint64_t *p = (void *)((char *)ring + offset);

    __atomic_store_n(p, htole64(v), __ATOMIC_RELAXED);
}

static inline int vring_fault(VringDriver *ring, const char *what)
{
    ring->fault = what;
    return -EPROTO;
}

void vring_fifo_put(const VringDriver *ring, VringFifo *fifo, uint16_t value);
uint16_t vring_fifo_get(const VringDriver *ring, VringFifo *fifo);

/* What the device's used element says. */
typedef struct VringElement {
    uint32_t id; /* not checked */
    uint32_t len;
} VringElement;

/* ---- the formats ---- */

void vring_split_layout(VringDriverAreas *area, uint16_t size);
void vring_packed_layout(VringDriverAreas *area, uint16_t size);
/* Writes a chain for which there is room; its id. */
uint16_t vring_split_write(VringDriver *ring, const VringDriverPart *parts,
                           unsigned n_out, unsigned n);
uint16_t vring_packed_write(VringDriver *ring, const VringDriverPart *parts,
                            unsigned n_out, unsigned n);
/* Shows all that was written, @n chains; true: the device wants to be told. */
bool vring_split_show(VringDriver *ring, unsigned n);
bool vring_packed_show(VringDriver *ring);
/* The element at ring->used. 1: there is one; 0: there is none; -EPROTO. */
int vring_split_look(VringDriver *ring, VringElement *element);
int vring_packed_look(VringDriver *ring, VringElement *element);
/* Chain @id is the device's no more: its descriptors are free. */
void vring_split_release(VringDriver *ring, uint16_t id);
void vring_packed_release(VringDriver *ring, uint16_t id);
void vring_split_want_calls(VringDriver *ring, bool want);
void vring_packed_want_calls(VringDriver *ring, bool want);

#endif
