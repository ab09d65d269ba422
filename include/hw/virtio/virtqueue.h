/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues, split format (VIRTIO 1.2, 2.7): the only code that touches ring
 * memory.
 *
 * The guest is not trusted: every index, address and length is copied once,
 * checked, and the copy is used. The first lie breaks the queue: the call
 * returns -EPROTO, the owner tells virtio_error(), and the ring is not
 * touched again until it is reset.
 *
 * Threads: configuration under the machine lock while the queue has no owner.
 * The datapath calls (marked "owner") belong to the one thread that owns the
 * queue while it runs: an iothread for a pair, the main loop for the control
 * queue. A queue handed to vhost has no owner here.
 */
#ifndef HW_VIRTIO_VIRTQUEUE_H
#define HW_VIRTIO_VIRTQUEUE_H

#include "system/memory.h"
#include "util/error.h"

#define VIRTQUEUE_MAX_SIZE 1024u
/* Buffers of one chain after mapping; a chain with more is an error. */
#define VIRTQUEUE_MAX_SEGS VIRTQUEUE_MAX_SIZE

typedef struct VirtQueue VirtQueue;

struct VirtQueue {
    /* fixed after realize */
    unsigned index;    /* in the device */
    uint16_t max_size; /* as offered to the driver */
    int kick_fd;       /* eventfd: driver's available-buffer notification */
    int call_fd;       /* eventfd: our used-buffer notification */

    /* main thread, while stopped */
    uint16_t size;   /* as the driver chose */
    uint16_t vector; /* MSI-X vector, MSIX_NO_VECTOR: none */
    bool enabled;    /* queue_enable (modern), or a PFN (legacy) */
    uint64_t desc_gpa, avail_gpa, used_gpa;

    /* owner */
    bool running;             /* virtqueue_start() done */
    bool event_idx;           /* VIRTIO_F_EVENT_IDX negotiated */
    bool indirect;            /* VIRTIO_F_INDIRECT_DESC negotiated */
    bool notify_on_empty;     /* VIRTIO_F_NOTIFY_ON_EMPTY negotiated (legacy) */
    const RamMap *map;        /* taken anew by each pop */
    unsigned range_hint;      /* range of the map that served last */
    const void *desc, *avail; /* mapped at start */
    void *used;
    uint16_t last_avail;     /* next avail entry to take */
    uint16_t shadow_avail;   /* avail index last read */
    uint16_t used_idx;       /* used index last published */
    uint16_t signalled_used; /* used index at the last signal */
    bool signalled_valid;
    bool notification; /* we asked the driver to kick */
    uint16_t pending;  /* filled, not yet published */
    uint16_t inuse;    /* popped, not yet filled */
    const char *fault; /* what the driver did wrong; NULL: fine */

    /* any thread, atomic: single writer is the owner */
    uint64_t kicks, signals, signals_suppressed;
};

/*
 * One chain taken from the queue: @n_out device-readable elements first, then
 * @n_in device-writable ones, in the caller's iovec array.
 */
typedef struct VirtQueueChain {
    uint16_t id; /* goes back with virtqueue_fill() */
    unsigned n_out, n_in;
    size_t out_len, in_len; /* bytes */
} VirtQueueChain;

/* ---- configuration: main thread, stopped ---- */

/* Sizes the queue and makes its two eventfds. False and *errp on failure. */
bool virtqueue_init(VirtQueue *vq, unsigned index, uint16_t max_size,
                    Error **errp);
void virtqueue_cleanup(VirtQueue *vq);
/* Back to the state after init (device reset, or VIRTIO 1.2, 2.6.1). */
void virtqueue_reset(VirtQueue *vq);

/* Ring places from one legacy page frame (VIRTIO 1.2, 2.7.2, align 4096). */
void virtqueue_set_legacy(VirtQueue *vq, uint64_t gpa);

/*
 * Maps the rings and takes up where the indices say; @features are the
 * negotiated bits. The queue must be enabled. -EFAULT when a ring is not in
 * writable RAM (each within one range) or misaligned (VIRTIO 1.2, 2.7: 16, 2,
 * 4), -EINVAL for a bad size or a queue not enabled, -EPROTO when it broke
 * earlier and was not reset; the fault text is set.
 */
int virtqueue_start(VirtQueue *vq, uint64_t features);
/*
 * Leaves the ring so that virtqueue_start() takes up where it was: what was
 * filled is published and signalled, what was popped and not filled is put
 * back (the owner has forgotten those chains). Nothing if not running. By the
 * owner, or once the owner let go.
 */
void virtqueue_stop(VirtQueue *vq);

/* Where the back-end (vhost) stands: last available index taken. */
uint16_t virtqueue_get_base(const VirtQueue *vq);
/* Takes it back from vhost: @base is from VHOST_GET_VRING_BASE; used index is
 * read from the ring. For the next virtqueue_start(). */
void virtqueue_set_base(VirtQueue *vq, uint16_t base);

/* Bytes of each area for a size, as vhost and logging need them. */
size_t virtqueue_desc_bytes(const VirtQueue *vq);
size_t virtqueue_avail_bytes(const VirtQueue *vq);
size_t virtqueue_used_bytes(const VirtQueue *vq);

/* ---- datapath: owner ---- */

/*
 * Takes the next chain. @iov has room for @max elements. 1: taken; 0: none
 * available; -ENOBUFS: the chain needs more than @max elements (it stays
 * available); -EPROTO: the driver broke the queue (vq->fault says how).
 *
 * Faults (VIRTIO 1.2, 2.7.4..2.7.6): loops, chains longer than their table or
 * than 4 GiB or than VIRTQUEUE_MAX_SEGS, addresses outside RAM or, to be
 * written, in read-only memory, a readable buffer after a writable one, nested
 * or malformed indirect tables, and an available index further ahead than the
 * queue has room for. Zero-length buffers are left out, so a chain may have no
 * element at all. A buffer that lies in two adjacent RAM ranges takes two
 * elements.
 */
int virtqueue_pop(VirtQueue *vq, struct iovec *iov, unsigned max,
                  VirtQueueChain *chain);

/* Puts back the last @n chains popped and not filled. */
void virtqueue_unpop(VirtQueue *vq, unsigned n);

/* True when a pop would find nothing; reads the ring only if it must. False
 * when the pop would find a fault, true after it was found. */
bool virtqueue_empty(VirtQueue *vq);

/* Enters a chain into the used ring with @len bytes written; not visible to
 * the driver before virtqueue_publish(). */
void virtqueue_fill(VirtQueue *vq, const VirtQueueChain *chain, uint32_t len);

/* One used-index store for everything filled. */
void virtqueue_publish(VirtQueue *vq);

/* Tells the driver about what was published, unless it asked not to be told
 * (2.7.7): writes the call eventfd. True when it did. */
bool virtqueue_signal(VirtQueue *vq);

/*
 * Asks the driver to kick, or not to (2.7.10). After asking for kicks, the
 * caller must look once more (virtqueue_empty()) before it sleeps: the barrier
 * inside pairs with the driver's between its avail index store and its look
 * at our request.
 */
void virtqueue_want_kicks(VirtQueue *vq, bool want);

/* Available entries not yet taken, as the ring says now, at most the queue
 * size; 0 when broken. */
unsigned virtqueue_available(VirtQueue *vq);

/* ---- for monitors (virtqueue-inspect.c): main thread ---- */

/*
 * These read what guest memory holds where the driver put the rings, whoever
 * owns them and whether they run or not; nothing is changed. The queue's size
 * and places must not change meanwhile: the machine lock sees to that.
 */

/* Flags and indices of both rings. */
typedef struct VirtQueueRings {
    uint16_t avail_flags, avail_idx, used_flags, used_idx;
} VirtQueueRings;

typedef struct VirtQueueDesc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
} VirtQueueDesc;

/* False and *errp when the rings are not set up or not in RAM. */
bool virtqueue_peek_rings(const VirtQueue *vq, VirtQueueRings *rings,
                          Error **errp);
/* The entry of the available ring that index @idx stands for. */
bool virtqueue_peek_avail(const VirtQueue *vq, uint16_t idx, uint16_t *head,
                          Error **errp);
/*
 * Reads the chain that starts at descriptor @head into @desc, which has room
 * for VIRTQUEUE_MAX_SEGS; an indirect table stands for the descriptor that
 * refers to it. Returns how many descriptors, or 0 and *errp when it is no
 * chain: an index beyond its table, a loop, a table that is not in RAM or
 * malformed, more than fit.
 */
unsigned virtqueue_peek_chain(const VirtQueue *vq, uint16_t head,
                              VirtQueueDesc *desc, Error **errp);

#endif
