/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both formats of virtqueues share, for virtqueue*.c only; vring-driver*.c
 * uses its accessors of shared memory.
 *
 *   virtqueue.c         configuration; each call goes to the ring's format
 *   virtqueue-split.c   split rings (VIRTIO 1.2, 2.7)
 *   virtqueue-packed.c  packed rings (2.8)
 *   virtqueue-log.c     tells the log of written pages
 *
 * The driver runs at the same time as this code, on another CPU, and may be
 * hostile. So each field that it can write is loaded exactly once per use,
 * through guest_load*(), and only the copy is checked and used. The
 * compiler cannot repeat such a load.
 *
 * Threads: the queue's owner, see hw/virtio/virtqueue.h.
 */
#ifndef HW_VIRTIO_VIRTQUEUE_INTERNAL_H
#define HW_VIRTIO_VIRTQUEUE_INTERNAL_H

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "hw/virtio/virtqueue.h"
#include "util/endian.h"

/* VIRTIO 1.2, 2.7.4: a chain is not longer than 2^32 bytes in total. */
#define CHAIN_MAX_BYTES (4 * GiB)

#define DESC_SIZE 16u

/* ---- shared memory ---- */

/* Orders a store before a later load, which acquire and release do not. A
 * call that thread sanitizers know, unlike a C11 fence. */
static inline void full_barrier(void)
{
    __sync_synchronize();
}

/* Alignment of these was checked when the ring was mapped. */
static inline uint16_t guest_load16(const void *ring, size_t offset)
{
    const uint16_t *p = (const void *)((const char *)ring + offset);

    return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline uint16_t guest_load16_acquire(const void *ring, size_t offset)
{
    const uint16_t *p = (const void *)((const char *)ring + offset);

    return le16toh(__atomic_load_n(p, __ATOMIC_ACQUIRE));
}

static inline uint32_t guest_load32(const void *ring, size_t offset)
{
    const uint32_t *p = (const void *)((const char *)ring + offset);

    return le32toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline void guest_store16(void *ring, size_t offset, uint16_t v)
{
    uint16_t *p = (void *)((char *)ring + offset);

    __atomic_store_n(p, htole16(v), __ATOMIC_RELAXED);
}

static inline void guest_store16_release(void *ring, size_t offset, uint16_t v)
{
    uint16_t *p = (void *)((char *)ring + offset);

    __atomic_store_n(p, htole16(v), __ATOMIC_RELEASE);
}

static inline void guest_store32(void *ring, size_t offset, uint32_t v)
{
    uint32_t *p = (void *)((char *)ring + offset);

    __atomic_store_n(p, htole32(v), __ATOMIC_RELAXED);
}

/* An indirect table may have any alignment. */
typedef struct __attribute__((packed, may_alias)) Unaligned64 {
    uint64_t raw;
} Unaligned64;

static inline uint64_t guest_load64(const void *table, size_t offset)
{
    const volatile Unaligned64 *p =
        (const void *)((const char *)table + offset);

    return le64toh(p->raw);
}

static inline int virtqueue_fault(VirtQueue *vq, const char *what)
{
    vq->fault = what;
    return -EPROTO;
}

/* ---- guest addresses ---- */

/* The RAM range that holds the byte at @gpa; @hint is looked at first. */
static inline const RamRange *find_range(const RamMap *map, unsigned *hint,
                                         uint64_t gpa)
{
    const RamRange *range;

    if (G_LIKELY(*hint < map->n &&
                 gpa - map->range[*hint].gpa < map->range[*hint].size)) {
        return &map->range[*hint];
    }
    range = ram_map_find(map, gpa);
    if (range) {
        *hint = range - map->range;
    }
    return range;
}

/* Host address of @len bytes within one range, or NULL. */
void *virtqueue_map_whole(VirtQueue *vq, uint64_t gpa, uint64_t len,
                          bool write);

/* ---- descriptors and chains ---- */

/* A copy of one descriptor of either format: @tail is what the format has in
 * its last 16 bits but flags. */
typedef struct Desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t tail; /* split: next; packed: buffer id */
} Desc;

/* The caller's array as it fills. */
typedef struct Gather {
    struct iovec *iov;
    unsigned n, max;
    uint64_t bytes;
    /* device-readable part */
    unsigned n_out;
    uint64_t out_len;
    bool writable; /* a device-writable buffer was there */
} Gather;

static inline Gather gather_start(struct iovec *iov, unsigned max)
{
    return (Gather){ .iov = iov, .max = MIN(max, VIRTQUEUE_MAX_SEGS) };
}

/* Adds one buffer, piecewise when it lies in adjacent ranges. 0, -ENOBUFS or
 * -EPROTO as virtqueue_pop(). */
static inline int gather_buffer(VirtQueue *vq, Gather *g, const Desc *d)
{
    uint64_t addr = d->addr, left = d->len;

    if (d->flags & VRING_DESC_F_WRITE) {
        g->writable = true;
    } else if (G_UNLIKELY(g->writable)) {
        return virtqueue_fault(vq, "readable buffer after a writable one");
    }
    g->bytes += left;
    if (G_UNLIKELY(g->bytes > CHAIN_MAX_BYTES)) {
        return virtqueue_fault(vq, "chain is longer than 4 GiB");
    }
    while (left) {
        const RamRange *r = find_range(vq->map, &vq->range_hint, addr);
        uint64_t piece;

        if (G_UNLIKELY(!r)) {
            return virtqueue_fault(vq, "buffer is not in RAM");
        }
        if (G_UNLIKELY(r->readonly && (d->flags & VRING_DESC_F_WRITE))) {
            return virtqueue_fault(
                vq, "buffer to be written is in read-only memory");
        }
        if (G_UNLIKELY(g->n == g->max)) {
            return g->max < VIRTQUEUE_MAX_SEGS
                       ? -ENOBUFS
                       : virtqueue_fault(vq, "chain has too many buffers");
        }
        piece = MIN(left, r->size - (addr - r->gpa));
        g->iov[g->n++] = (struct iovec){ r->host + (addr - r->gpa), piece };
        addr += piece;
        left -= piece;
    }
    if (!g->writable) {
        g->n_out = g->n;
        g->out_len = g->bytes;
    }
    return 0;
}

static inline VirtQueueChain gather_end(const Gather *g, uint16_t id,
                                        uint16_t slots)
{
    return (VirtQueueChain){ .id = id,
                             .slots = slots,
                             .n_out = g->n_out,
                             .n_in = g->n - g->n_out,
                             .out_len = g->out_len,
                             .in_len = g->bytes - g->out_len };
}

/*
 * The table that @d refers to (2.7.5.3, 2.8.7): *@entries is its length. NULL
 * and a fault when it is malformed. The write flag of @d is ignored, as
 * 2.7.5.3.2 and 2.8.7 demand.
 */
const void *virtqueue_map_indirect(VirtQueue *vq, const Desc *d,
                                   unsigned *entries);

/*
 * VIRTIO_F_IN_ORDER (2.7.9, 2.8.8): one used element stands for a run of chains
 * of which all but the last were used completely; it is written where the
 * run's first would be, and names the last. This takes what was filled into
 * the run; true: the element in *@done has to be written first, the new one
 * begins a run. @slot: where the new one would stand.
 */
static inline bool in_order_fill(VirtQueue *vq, const VirtQueueChain *chain,
                                 uint32_t len, uint16_t slot, bool wrap,
                                 VirtQueueUsed *done)
{
    VirtQueueUsed *held = &vq->held;
    bool flush = held->valid && !held->whole;

    *done = *held;
    if (!held->valid || flush) {
        held->slot = slot;
        held->wrap = wrap;
    }
    held->valid = true;
    held->id = chain->id;
    held->len = len;
    held->whole = len == chain->in_len;
    return flush;
}

/* ---- the log of written pages (virtqueue-log.c), while there is one ---- */

/* The last @n used entries (packed: slots) were published. */
void virtqueue_log_used(const VirtQueue *vq, unsigned n);
/* The request for kicks was stored. */
void virtqueue_log_event(const VirtQueue *vq);

/* ---- the formats ---- */

/* Each as the call of the same name in hw/virtio/virtqueue.h, of a queue that
 * runs and has no fault; prepare checks size and places, and maps. */
int vq_split_prepare(VirtQueue *vq);
bool vq_split_empty(VirtQueue *vq);
unsigned vq_split_available(VirtQueue *vq);
int vq_split_pop(VirtQueue *vq, struct iovec *iov, unsigned max,
                 VirtQueueChain *chain);
void vq_split_unpop(VirtQueue *vq, unsigned n);
void vq_split_fill(VirtQueue *vq, const VirtQueueChain *chain, uint32_t len);
void vq_split_publish(VirtQueue *vq);
void vq_split_want_kicks(VirtQueue *vq, bool want);
/* Was anything published since the last signal? */
bool vq_split_news(const VirtQueue *vq);
/* Does the driver want to hear of it? Notes that it was asked. */
bool vq_split_wants_signal(VirtQueue *vq);
bool vq_split_caught_up(VirtQueue *vq);

int vq_packed_prepare(VirtQueue *vq);
bool vq_packed_empty(VirtQueue *vq);
unsigned vq_packed_available(VirtQueue *vq);
int vq_packed_pop(VirtQueue *vq, struct iovec *iov, unsigned max,
                  VirtQueueChain *chain);
void vq_packed_unpop(VirtQueue *vq, unsigned n);
void vq_packed_fill(VirtQueue *vq, const VirtQueueChain *chain, uint32_t len);
void vq_packed_publish(VirtQueue *vq);
void vq_packed_want_kicks(VirtQueue *vq, bool want);
bool vq_packed_news(const VirtQueue *vq);
bool vq_packed_wants_signal(VirtQueue *vq);
bool vq_packed_caught_up(VirtQueue *vq);

#endif
