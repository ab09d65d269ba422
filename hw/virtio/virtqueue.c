/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split virtqueues (VIRTIO 1.2, 2.7).
 *
 * The driver runs at the same time as this code, on another CPU, and may be
 * hostile. So each field that it can write is loaded exactly once per use,
 * through guest_load*(), and only the copy is checked and used. The
 * compiler cannot repeat such a load.
 *
 * Threads: see hw/virtio/virtqueue.h.
 */
#include "util/osdep.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "hw/pci/msix.h"
#include "hw/virtio/virtqueue.h"
#include "util/endian.h"
#include "util/fd.h"

/* VIRTIO 1.2, 2.7.4: a chain is not longer than 2^32 bytes in total. */
#define CHAIN_MAX_BYTES (4 * GiB)

/* Offsets in the available and the used ring (2.7.6, 2.7.8). */
#define RING_FLAGS      0
#define RING_IDX        2
#define RING_ENTRIES    4
#define AVAIL_ELEM_SIZE 2u
#define USED_ELEM_SIZE  8u
#define DESC_SIZE       16u

/* ---- shared memory ---- */

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

/* Orders a store before a later load, which acquire and release do not. A
 * call that thread sanitizers know, unlike a C11 fence. */
static inline void full_barrier(void)
{
    __sync_synchronize();
}

static inline void count(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

static int fault(VirtQueue *vq, const char *what)
{
    vq->fault = what;
    return -EPROTO;
}

/* ---- configuration ---- */

static bool is_power_of_two(unsigned n)
{
    return n && !(n & (n - 1));
}

bool virtqueue_init(VirtQueue *vq, unsigned index, uint16_t max_size,
                    Error **errp)
{
    if (!is_power_of_two(max_size) || max_size > VIRTQUEUE_MAX_SIZE) {
        error_setg(errp,
                   "Queue size %u of virtqueue %u is not a power of two "
                   "between 1 and %u",
                   max_size, index, VIRTQUEUE_MAX_SIZE);
        return false;
    }
    *vq = (VirtQueue){ .index = index, .max_size = max_size };
    vq->call_fd = -1;
    vq->kick_fd = eventfd_new(errp);
    if (vq->kick_fd < 0) {
        return false;
    }
    vq->call_fd = eventfd_new(errp);
    if (vq->call_fd < 0) {
        fd_close(&vq->kick_fd);
        return false;
    }
    virtqueue_reset(vq);
    return true;
}

void virtqueue_cleanup(VirtQueue *vq)
{
    fd_close(&vq->kick_fd);
    fd_close(&vq->call_fd);
}

void virtqueue_reset(VirtQueue *vq)
{
    eventfd_clear(vq->kick_fd);
    eventfd_clear(vq->call_fd);
    vq->size = vq->max_size;
    vq->vector = MSIX_NO_VECTOR;
    vq->enabled = false;
    vq->desc_gpa = vq->avail_gpa = vq->used_gpa = 0;
    vq->running = false;
    vq->map = NULL;
    vq->desc = vq->avail = NULL;
    vq->used = NULL;
    vq->last_avail = vq->shadow_avail = 0;
    vq->used_idx = vq->signalled_used = 0;
    vq->signalled_valid = false;
    vq->notification = true;
    vq->pending = vq->inuse = 0;
    vq->fault = NULL;
}

size_t virtqueue_desc_bytes(const VirtQueue *vq)
{
    return (size_t)DESC_SIZE * vq->size;
}

/* With the event field at the end, whether it is negotiated or not. */
size_t virtqueue_avail_bytes(const VirtQueue *vq)
{
    return RING_ENTRIES + (size_t)AVAIL_ELEM_SIZE * vq->size + 2;
}

size_t virtqueue_used_bytes(const VirtQueue *vq)
{
    return RING_ENTRIES + (size_t)USED_ELEM_SIZE * vq->size + 2;
}

void virtqueue_set_legacy(VirtQueue *vq, uint64_t gpa)
{
    vq->enabled = gpa != 0;
    vq->desc_gpa = gpa;
    vq->avail_gpa = gpa ? gpa + virtqueue_desc_bytes(vq) : 0;
    vq->used_gpa =
        gpa ? ALIGN_UP(vq->avail_gpa + virtqueue_avail_bytes(vq), PAGE_SIZE_4K)
            : 0;
}

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
static void *map_whole(VirtQueue *vq, uint64_t gpa, uint64_t len, bool write)
{
    const RamRange *r = find_range(vq->map, &vq->range_hint, gpa);

    if (!r || (write && r->readonly) || len > r->size - (gpa - r->gpa)) {
        return NULL;
    }
    return r->host + (gpa - r->gpa);
}

static int start_fault(VirtQueue *vq, int ret, const char *what)
{
    vq->fault = what;
    return ret;
}

int virtqueue_start(VirtQueue *vq, uint64_t features)
{
    if (vq->fault) {
        return -EPROTO;
    }
    if (!vq->enabled) {
        return start_fault(vq, -EINVAL, "queue is not enabled");
    }
    if (!is_power_of_two(vq->size) || vq->size > vq->max_size) {
        return start_fault(vq, -EINVAL,
                           "queue size is not a power of two or "
                           "above the maximum");
    }
    if (vq->desc_gpa % VRING_DESC_ALIGN_SIZE ||
        vq->avail_gpa % VRING_AVAIL_ALIGN_SIZE ||
        vq->used_gpa % VRING_USED_ALIGN_SIZE) {
        return start_fault(vq, -EFAULT, "a ring is misaligned");
    }
    vq->map = ram_map_get();
    vq->desc = map_whole(vq, vq->desc_gpa, virtqueue_desc_bytes(vq), true);
    vq->avail = map_whole(vq, vq->avail_gpa, virtqueue_avail_bytes(vq), true);
    vq->used = map_whole(vq, vq->used_gpa, virtqueue_used_bytes(vq), true);
    if (!vq->desc || !vq->avail || !vq->used) {
        return start_fault(vq, -EFAULT, "a ring is not in writable RAM");
    }
    vq->event_idx = features & (1ULL << VIRTIO_RING_F_EVENT_IDX);
    vq->indirect = features & (1ULL << VIRTIO_RING_F_INDIRECT_DESC);
    vq->notify_on_empty = !(features & (1ULL << VIRTIO_F_VERSION_1)) &&
                          features & (1ULL << VIRTIO_F_NOTIFY_ON_EMPTY);
    vq->shadow_avail = vq->last_avail;
    vq->signalled_used = vq->used_idx;
    vq->signalled_valid = false;
    vq->running = true;
    virtqueue_want_kicks(vq, true);
    return 0;
}

void virtqueue_stop(VirtQueue *vq)
{
    if (!vq->running) {
        return;
    }
    if (vq->pending) {
        virtqueue_publish(vq);
        virtqueue_signal(vq);
    }
    virtqueue_unpop(vq, vq->inuse);
    vq->running = false;
    vq->map = NULL;
}

uint16_t virtqueue_get_base(const VirtQueue *vq)
{
    return vq->last_avail;
}

void virtqueue_set_base(VirtQueue *vq, uint16_t base)
{
    uint16_t used;

    vq->last_avail = vq->shadow_avail = base;
    vq->used_idx = base;
    if (ram_read(vq->used_gpa + RING_IDX, &used, sizeof(used))) {
        vq->used_idx = le16toh(used);
    }
    vq->inuse = vq->pending = 0;
}

/* ---- datapath ---- */

/*
 * Reads the available index. Acquire: this load is before our loads of the
 * ring entry and descriptors that it announces; the partner is the driver's
 * write barrier between storing those and storing the index (2.7.13.3).
 */
static inline void read_avail_idx(VirtQueue *vq)
{
    vq->shadow_avail = guest_load16_acquire(vq->avail, RING_IDX);
}

bool virtqueue_empty(VirtQueue *vq)
{
    if (G_UNLIKELY(!vq->running || vq->fault)) {
        return true;
    }
    if (vq->shadow_avail != vq->last_avail) {
        return false;
    }
    read_avail_idx(vq);
    return vq->shadow_avail == vq->last_avail;
}

unsigned virtqueue_available(VirtQueue *vq)
{
    uint16_t n;

    if (!vq->running || vq->fault) {
        return 0;
    }
    read_avail_idx(vq);
    n = vq->shadow_avail - vq->last_avail;
    return MIN(n, vq->size);
}

typedef struct Desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} Desc;

static inline Desc load_desc(const void *table, unsigned i)
{
    uint64_t rest = guest_load64(table, (size_t)i * DESC_SIZE + 8);

    return (Desc){ .addr = guest_load64(table, (size_t)i * DESC_SIZE),
                   .len = (uint32_t)rest,
                   .flags = (uint16_t)(rest >> 32),
                   .next = (uint16_t)(rest >> 48) };
}

/* The caller's array as it fills. */
typedef struct Gather {
    struct iovec *iov;
    unsigned n, max;
    uint64_t bytes;
} Gather;

/* Adds one buffer, piecewise when it lies in adjacent ranges. */
static inline int gather_buffer(VirtQueue *vq, Gather *g, const Desc *d)
{
    uint64_t addr = d->addr, left = d->len;

    g->bytes += left;
    if (G_UNLIKELY(g->bytes > CHAIN_MAX_BYTES)) {
        return fault(vq, "chain is longer than 4 GiB");
    }
    while (left) {
        const RamRange *r = find_range(vq->map, &vq->range_hint, addr);
        uint64_t piece;

        if (G_UNLIKELY(!r)) {
            return fault(vq, "buffer is not in RAM");
        }
        if (G_UNLIKELY(r->readonly && (d->flags & VRING_DESC_F_WRITE))) {
            return fault(vq, "buffer to be written is in read-only memory");
        }
        if (G_UNLIKELY(g->n == g->max)) {
            return g->max < VIRTQUEUE_MAX_SEGS
                       ? -ENOBUFS
                       : fault(vq, "chain has too many buffers");
        }
        piece = MIN(left, r->size - (addr - r->gpa));
        g->iov[g->n++] = (struct iovec){ r->host + (addr - r->gpa), piece };
        addr += piece;
        left -= piece;
    }
    return 0;
}

/*
 * The table that @d refers to (2.7.5.3): *@entries is its length. NULL and a
 * fault when it is malformed. The write flag of @d is ignored, as 2.7.5.3.2
 * demands.
 */
static const void *map_indirect(VirtQueue *vq, const Desc *d, unsigned *entries)
{
    const void *table;

    if (!vq->indirect) {
        fault(vq, "indirect descriptor without VIRTIO_F_INDIRECT_DESC");
        return NULL;
    }
    if (d->flags & VRING_DESC_F_NEXT) {
        fault(vq, "indirect descriptor with the next flag");
        return NULL;
    }
    if (!d->len || d->len % DESC_SIZE) {
        fault(vq, "indirect table length is zero or no multiple of 16");
        return NULL;
    }
    table = map_whole(vq, d->addr, d->len, false);
    if (!table) {
        fault(vq, "indirect table is not in RAM");
        return NULL;
    }
    *entries = d->len / DESC_SIZE;
    return table;
}

/*
 * Walks the chain that starts at ring descriptor @head. Each step takes one
 * from @left, which starts as the length of the table walked: so a loop ends,
 * and no table is walked longer than it is. Indirect tables do not nest.
 */
static inline int gather_chain(VirtQueue *vq, unsigned head, Gather *g,
                               VirtQueueChain *chain)
{
    const void *table = vq->desc;
    unsigned entries = vq->size, left = entries, i = head;
    uint64_t out_len = 0;
    unsigned n_out = 0;
    bool writable = false;

    for (;;) {
        Desc d;
        int ret;

        if (G_UNLIKELY(i >= entries)) {
            return fault(vq, "descriptor index is beyond its table");
        }
        if (G_UNLIKELY(left-- == 0)) {
            return fault(vq, "chain is a loop or longer than its table");
        }
        d = load_desc(table, i);
        if (d.flags & VRING_DESC_F_INDIRECT) {
            if (table != vq->desc) {
                return fault(vq, "indirect table in an indirect table");
            }
            table = map_indirect(vq, &d, &entries);
            if (!table) {
                return -EPROTO;
            }
            left = entries;
            i = 0;
            continue;
        }
        if (d.flags & VRING_DESC_F_WRITE) {
            writable = true;
        } else if (G_UNLIKELY(writable)) {
            return fault(vq, "readable buffer after a writable one");
        }
        ret = gather_buffer(vq, g, &d);
        if (G_UNLIKELY(ret < 0)) {
            return ret;
        }
        if (!writable) {
            n_out = g->n;
            out_len = g->bytes;
        }
        if (!(d.flags & VRING_DESC_F_NEXT)) {
            break;
        }
        i = d.next;
    }
    *chain = (VirtQueueChain){ .id = head,
                               .n_out = n_out,
                               .n_in = g->n - n_out,
                               .out_len = out_len,
                               .in_len = g->bytes - out_len };
    return 1;
}

int virtqueue_pop(VirtQueue *vq, struct iovec *iov, unsigned max,
                  VirtQueueChain *chain)
{
    Gather g = { .iov = iov, .max = MIN(max, VIRTQUEUE_MAX_SEGS) };
    unsigned head;
    int ret;

    if (G_UNLIKELY(vq->fault)) {
        return -EPROTO;
    }
    if (virtqueue_empty(vq)) {
        return 0;
    }
    /* The driver may not offer more than the entries that we gave back. */
    if (G_UNLIKELY((uint16_t)(vq->shadow_avail - vq->last_avail) + vq->inuse +
                       vq->pending >
                   vq->size)) {
        return fault(vq, "available index jumps beyond the queue size");
    }
    vq->map = ram_map_get();
    head = guest_load16(vq->avail,
                        RING_ENTRIES + AVAIL_ELEM_SIZE *
                                           (vq->last_avail & (vq->size - 1u)));
    ret = gather_chain(vq, head, &g, chain);
    if (G_LIKELY(ret > 0)) {
        vq->last_avail++;
        vq->inuse++;
    }
    return ret;
}

void virtqueue_unpop(VirtQueue *vq, unsigned n)
{
    n = MIN(n, vq->inuse);
    vq->last_avail -= n;
    vq->inuse -= n;
}

void virtqueue_fill(VirtQueue *vq, const VirtQueueChain *chain, uint32_t len)
{
    uint16_t slot = vq->used_idx + vq->pending;
    size_t offset = RING_ENTRIES + USED_ELEM_SIZE * (slot & (vq->size - 1u));

    if (G_UNLIKELY(!vq->running || vq->fault || !vq->inuse)) {
        return;
    }
    guest_store32(vq->used, offset, chain->id);
    guest_store32(vq->used, offset + 4, len);
    vq->inuse--;
    vq->pending++;
}

void virtqueue_publish(VirtQueue *vq)
{
    if (G_UNLIKELY(!vq->pending || !vq->running || vq->fault)) {
        return;
    }
    vq->used_idx += vq->pending;
    vq->pending = 0;
    /*
     * Release: the buffers' contents and the used elements are stored before
     * the index; the partner is the driver's read barrier between its load of
     * the used index and its loads of the element and the buffer.
     */
    guest_store16_release(vq->used, RING_IDX, vq->used_idx);
}

/* Does the driver want to hear that the index went from @old to @new? */
static bool driver_wants_signal(VirtQueue *vq, uint16_t old, uint16_t new)
{
    uint16_t event;

    if (vq->notify_on_empty && !vq->inuse && virtqueue_empty(vq)) {
        return true;
    }
    if (!vq->event_idx) {
        return !(guest_load16(vq->avail, RING_FLAGS) &
                 VRING_AVAIL_F_NO_INTERRUPT);
    }
    event = guest_load16(vq->avail,
                         RING_ENTRIES + AVAIL_ELEM_SIZE * (size_t)vq->size);
    return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
}

bool virtqueue_signal(VirtQueue *vq)
{
    uint16_t old = vq->signalled_used;
    bool valid = vq->signalled_valid;

    if (!vq->running || vq->fault || old == vq->used_idx) {
        return false;
    }
    /*
     * Our store of the used index is before our load of the driver's request
     * (used_event or the flags, 2.7.7.2). The partner is the driver's full
     * barrier between its store of that request and its last look at the used
     * index before it sleeps: one of the two sees the other.
     */
    full_barrier();
    vq->signalled_used = vq->used_idx;
    vq->signalled_valid = true;
    if (!driver_wants_signal(vq, old, vq->used_idx) && valid) {
        count(&vq->signals_suppressed);
        return false;
    }
    count(&vq->signals);
    eventfd_signal(vq->call_fd);
    return true;
}

void virtqueue_want_kicks(VirtQueue *vq, bool want)
{
    if (G_UNLIKELY(!vq->running || vq->fault)) {
        return;
    }
    vq->notification = want;
    if (!vq->event_idx) {
        guest_store16(vq->used, RING_FLAGS, want ? 0 : VRING_USED_F_NO_NOTIFY);
    } else if (want) {
        /* 2.7.10.2: a kick when entry last_avail becomes available. With
         * want false the old value stays: the driver has passed it. */
        guest_store16(vq->used,
                      RING_ENTRIES + USED_ELEM_SIZE * (size_t)vq->size,
                      vq->last_avail);
    }
    if (want) {
        /*
         * Our store of avail_event (or the flags) is before our next load of
         * the available index. The partner is the driver's full barrier
         * between its store of that index and its load of our request
         * (2.7.13.4.1).
         */
        full_barrier();
    }
}
