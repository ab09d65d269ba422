/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtqueues, split (VIRTIO 1.2, 2.7) and packed (2.8): the only code that
 * touches ring memory. The format is that of the features at the start; the
 * calls are the same.
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

/* VIRTIO_F_IN_ORDER: a used element not written yet, as it may come to stand
 * for the chains after it too. */
typedef struct VirtQueueUsed {
    bool valid;
    bool whole;    /* the chain was written to its end */
    bool wrap;     /* packed: counter at @slot */
    uint16_t slot; /* of the first chain that it stands for */
    uint16_t id;   /* of the last */
    uint32_t len;
} VirtQueueUsed;

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
    bool exposed;    /* a process that is not trusted has the eventfds */
    /* packed: avail is the driver's event suppression, used the device's */
    uint64_t desc_gpa, avail_gpa, used_gpa;

    /* owner */
    bool running;         /* virtqueue_start() done */
    bool packed;          /* VIRTIO_F_RING_PACKED negotiated */
    bool in_order;        /* VIRTIO_F_IN_ORDER negotiated */
    bool event_idx;       /* VIRTIO_F_EVENT_IDX negotiated */
    bool indirect;        /* VIRTIO_F_INDIRECT_DESC negotiated */
    bool notify_on_empty; /* VIRTIO_F_NOTIFY_ON_EMPTY negotiated (legacy) */
    const RamMap *map;    /* taken anew by each pop */
    unsigned range_hint;  /* range of the map that served last */
    const void *avail;    /* mapped at start */
    void *desc, *used;
    uint16_t last_avail;     /* next avail entry to take; packed: its slot */
    uint16_t shadow_avail;   /* split: avail index last read */
    uint16_t used_idx;       /* used index last published; packed: next slot,
                                which a monitor may read */
    uint16_t signalled_used; /* the same at the last signal; as get_used() */
    bool signalled_valid;
    bool notification; /* we asked the driver to kick */
    uint16_t pending;  /* filled, not yet published */
    uint16_t inuse;    /* popped, not yet filled */
    const char *fault; /* what the driver did wrong; NULL: fine */
    VirtQueueUsed held;
    /* owner, packed only */
    bool avail_wrap, used_wrap; /* counters at last_avail, used_idx */
    uint16_t slots_out;         /* taken, not yet published */
    uint16_t slots_filled;      /* filled, not yet published */
    uint16_t first_flags;       /* of the used descriptor at used_idx */
    uint32_t unsignalled;       /* slots published since the last signal */
    uint16_t *chain_slots;      /* by a chain's last slot: how many it has */

    /* any thread, atomic: single writer is the owner */
    uint64_t kicks, signals, signals_suppressed;
};

/*
 * One chain taken from the queue: @n_out device-readable elements first, then
 * @n_in device-writable ones, in the caller's iovec array.
 */
typedef struct VirtQueueChain {
    uint16_t id;    /* goes back with virtqueue_fill() */
    uint16_t slots; /* of the ring that it takes */
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

/* What the format and the rules of the ring follow from; virtqueue_start() does
 * it too. For those who look at the queue before. */
void virtqueue_set_features(VirtQueue *vq, uint64_t features);

/*
 * Maps the rings and takes up where the indices say; @features are the
 * negotiated bits. The queue must be enabled. -EFAULT when a ring is not in
 * writable RAM (each within one range) or misaligned (VIRTIO 1.2, 2.7: 16, 2,
 * 4; 2.8: 16, 4, 4), -EINVAL for a bad size (split: powers of two; packed: any)
 * or a queue not enabled, -EPROTO when it broke earlier and was not reset; the
 * fault text is set.
 */
int virtqueue_start(VirtQueue *vq, uint64_t features);
/*
 * Leaves the ring so that virtqueue_start() takes up where it was: what was
 * filled is published and signalled, what was popped and not filled is put
 * back (the owner has forgotten those chains). Nothing if not running. By the
 * owner, or once the owner let go.
 */
void virtqueue_stop(VirtQueue *vq);

/* Where we stand: the next available entry; packed: its slot, and the wrap
 * counter in bit 15 (as in VIRTIO 1.2, 2.8.14). */
uint16_t virtqueue_get_base(const VirtQueue *vq);
/* The next used entry, in the same form. */
uint16_t virtqueue_get_used(const VirtQueue *vq);
/*
 * Takes a position over from somebody who had the queue: vhost, with @base
 * from VHOST_GET_VRING_BASE. The used index is read from a split ring; that of
 * a packed one is the same position, since nothing is out. For the next
 * virtqueue_start(); before the first, the format has to be told
 * (virtqueue_set_features()).
 */
void virtqueue_set_base(VirtQueue *vq, uint16_t base);

/* ---- a packed ring whose device is gone (virtqueue-place.c) ---- */

/*
 * These read the descriptors of a ring that was started, and that only the
 * driver writes to now. They take it that chains were used in the order in
 * which they were taken, as a network card's back-end does. Main thread.
 */

/* Where the device was, as far as the descriptors tell, in the form of
 * virtqueue_get_base(). False: they do not. */
bool virtqueue_find_place(const VirtQueue *vq, uint16_t *place);
/* False: it cannot have been at @place. */
bool virtqueue_may_be_place(const VirtQueue *vq, uint16_t place);

/* Bytes of each area for size and format, as vhost and logging need them. */
size_t virtqueue_desc_bytes(const VirtQueue *vq);
size_t virtqueue_avail_bytes(const VirtQueue *vq);
size_t virtqueue_used_bytes(const VirtQueue *vq);

/* ---- datapath: owner ---- */

/*
 * Chains may be filled in any order, but with VIRTIO_F_IN_ORDER, and if some
 * are put back, only in that of the pops.
 */

/*
 * Takes the next chain. @iov has room for @max elements. 1: taken; 0: none
 * available; -ENOBUFS: the chain needs more than @max elements (it stays
 * available); -EPROTO: the driver broke the queue (vq->fault says how).
 *
 * Faults (VIRTIO 1.2, 2.7.4..2.7.6, 2.8.5..2.8.8): loops, chains longer than
 * their table or than 4 GiB or than VIRTQUEUE_MAX_SEGS, addresses outside RAM
 * or, to be written, in read-only memory, a readable buffer after a writable
 * one, nested or malformed indirect tables, an available index further ahead
 * than the queue has room for; in packed rings, a chain that runs into
 * descriptors not available or not given back. Zero-length buffers are left
 * out, so a chain may have no element at all. A buffer that lies in two
 * adjacent RAM ranges takes two elements.
 */
int virtqueue_pop(VirtQueue *vq, struct iovec *iov, unsigned max,
                  VirtQueueChain *chain);

/* Puts back the last @n chains popped and not filled. */
void virtqueue_unpop(VirtQueue *vq, unsigned n);

/* True when a pop would find nothing; reads the ring only if it must. False
 * when the pop would find a fault, true after it was found. */
bool virtqueue_empty(VirtQueue *vq);

/* Enters a chain among the used ones with @len bytes written; not visible to
 * the driver before virtqueue_publish(). */
void virtqueue_fill(VirtQueue *vq, const VirtQueueChain *chain, uint32_t len);

/* Shows everything filled by one store: the used index; packed: flags. */
void virtqueue_publish(VirtQueue *vq);

/* Tells the driver about what was published, unless it asked not to be told
 * (2.7.7, 2.8.10): writes the call eventfd. True when it did. */
bool virtqueue_signal(VirtQueue *vq);

/* False: the driver has not come to the end of what was published yet. It shows
 * that by the entry of which it asks to be told (2.7.7, 2.8.10), with
 * VIRTIO_F_EVENT_IDX; without, true. */
bool virtqueue_caught_up(VirtQueue *vq);

/*
 * Asks the driver to kick, or not to (2.7.10, 2.8.10). After asking for kicks,
 * the caller must look once more (virtqueue_empty()) before it sleeps: the
 * barrier inside pairs with the driver's between its avail index store and its
 * look at our request.
 */
void virtqueue_want_kicks(VirtQueue *vq, bool want);

/* Available chains not yet taken, as the ring says now, at most the queue
 * size; 0 when broken. For a packed ring they are counted one by one. */
unsigned virtqueue_available(VirtQueue *vq);

/* ---- for monitors (virtqueue-inspect.c): main thread ---- */

/*
 * These read what guest memory holds where the driver put the rings, whoever
 * owns them and whether they run or not; nothing is changed. The queue's size
 * and places must not change meanwhile: the machine lock sees to that.
 */

/* Flags and indices of both rings; packed: flags and positions of the driver's
 * and the device's event suppression. */
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
/* Where the device stands with the used buffers, as virtqueue_get_used() says.
 * Of a packed ring as its owner in this process knows it: not of one that vhost
 * has. False when the ring is not set up, or a split one is not in RAM. */
bool virtqueue_peek_used(const VirtQueue *vq, uint16_t *used);
/* True when there is something available that the device at @used has not used
 * yet. False, too, when the rings are not in RAM. */
bool virtqueue_peek_waiting(const VirtQueue *vq, uint16_t used);
/* Chains that the driver made available and the device has not used yet; of a
 * packed ring as virtqueue_peek_used() says. False: the ring is not set up, has
 * changed with every look, or its indices make no sense. */
bool virtqueue_peek_occupancy(const VirtQueue *vq, unsigned *n);
/* The entry of the available ring that index @idx stands for; packed: the slot
 * of position @idx. */
bool virtqueue_peek_avail(const VirtQueue *vq, uint16_t idx, uint16_t *head,
                          Error **errp);
/*
 * Reads the chain that starts at descriptor @head into @desc, which has room
 * for VIRTQUEUE_MAX_SEGS, flags as they are; an indirect table stands for the
 * descriptor that refers to it. Returns how many descriptors, or 0 and *errp
 * when it is no chain: an index beyond its table, a loop, a table that is not
 * in RAM or malformed, more than fit.
 */
unsigned virtqueue_peek_chain(const VirtQueue *vq, uint16_t head,
                              VirtQueueDesc *desc, Error **errp);

#endif
