/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters: objects (-object filter-TYPE) that see, hold, divert or add frames
 * on their way between a netdev and its NIC.
 *
 * A filter is attached to one netdev, and there to all its subqueues or to one.
 * Each subqueue has a chain of those that are on, in the order of the netdev's
 * list: the head is next to the netdev, the tail next to the NIC. Directions
 * are named as seen by the netdev: what it is sent (rx: by the guest) passes
 * from tail to head, what it sends (tx: to the guest) from head to tail.
 *
 * A subqueue without filters has no chain in its way: NetSubqueue.io says whose
 * recv and send are in force, and only changes while no pair uses them
 * (NetClientInfo.peer_rewire). docs/devel/net-filters.rst tells the whole.
 *
 * Threads: objects and lists under the machine lock. What is marked "chain" is
 * called with the lock of the subqueue's chain held: by the owner of its pair,
 * by that of another pair that sends through it, or by the main thread.
 */
#ifndef NET_FILTER_H
#define NET_FILTER_H

#include "net/net.h"
#include "qom/object.h"

#define TYPE_NETFILTER "netfilter"

typedef struct NetFilter NetFilter;
typedef struct NetFilterClass NetFilterClass;
typedef struct NetFilterQueue NetFilterQueue;

/* For NetFilter.direction. */
enum {
    NET_FILTER_TX = 1, /* the netdev sends it: to the guest */
    NET_FILTER_RX = 2, /* the netdev is sent it: by the guest */
    NET_FILTER_BOTH = NET_FILTER_TX | NET_FILTER_RX,
};

/* A filter at one subqueue; types put theirs behind it. */
struct NetFilterQueue {
    /* fixed after creation */
    NetFilter *filter;
    NetSubqueue *sq;

    /* main thread, while no pair uses the subqueue; chain: read */
    int at; /* place in the chain, -1: it is not in it */
};

/* A frame on its way, with the virtio-net header of the netdev before it. */
typedef struct NetFilterFrame {
    const struct iovec *iov; /* exactly the frame */
    unsigned n;
    size_t len;     /* with the header */
    size_t hdr_len; /* of the header */
} NetFilterFrame;

struct NetFilterClass {
    ObjectClass parent;

    /* fixed */
    size_t queue_size;    /* of what it has for a subqueue; 0: NetFilterQueue */
    bool needs_one_queue; /* without queue-index= it is at subqueue 0 */
    /* Opens what it needs. On false cleanup() is called all the same. */
    bool (*setup)(NetFilter *f, Error **errp);
    /* No subqueue has it any more. May be NULL. */
    void (*cleanup)(NetFilter *f);
    /* status= has changed, and is in force; may be NULL. */
    void (*switched)(NetFilter *f);

    /* chain: */
    /* A frame in @direction, one of the filter's. True: the filter has it, it
     * goes no further for now. */
    bool (*handle)(NetFilterQueue *q, int direction,
                   const NetFilterFrame *frame);
    /* Work that is not due to a frame, in the loop of the subqueue's pair, when
     * it begins and after net_filter_wake(). When to be called again,
     * clock_now_ns() base; -1: not until then. NULL: none. */
    int64_t (*run)(NetFilterQueue *q);
    /* The pair stops, or the filter leaves: what it holds of the subqueue's
     * frames goes on. May be NULL. */
    void (*release)(NetFilterQueue *q);
};

struct NetFilter {
    Object obj;

    /* fixed after complete */
    char *id;
    char *netdev_id;
    int direction;       /* index of all, rx, tx */
    int32_t queue_index; /* -1: all */
    char *position;      /* NULL: tail */
    int insert;          /* index of behind, before */

    /* main thread */
    NetClientState *netdev; /* NULL: not attached */
    int status;             /* index of on, off */
    unsigned n_queues;      /* of @queues: subqueues that it may ever be at */
    NetFilterQueue **queues;

    /* any thread, atomic */
    uint64_t frames;  /* that it has seen */
    uint64_t dropped; /* that it lost, or copies that it could not keep */
};

#define NETFILTER(o)           OBJECT_CAST(NetFilter, o)
#define NETFILTER_GET_CLASS(f) OBJECT_GET_CLASS(NetFilterClass, f)

/* ---- for types of filter ---- */

/* The directions that @f is for: NET_FILTER_*. Any thread. */
int net_filter_directions(const NetFilter *f);
/* Its part at the first subqueue that it is at; NULL: it is at none now. */
NetFilterQueue *net_filter_first_queue(const NetFilter *f) MAIN_THREAD;
/* Subqueues of the netdev that there are now and that it is at. */
bool net_filter_is_at(const NetFilter *f, unsigned index) MAIN_THREAD;
/* Counts @n frames that were lost. Any thread. */
void net_filter_drop(NetFilter *f, unsigned n);
/*
 * Sends a frame on behind @q in @direction, with a header of q->sq->nc's
 * length. Chain.
 */
void net_filter_pass(NetFilterQueue *q, int direction, const struct iovec *iov,
                     unsigned n);
/* Frames that net_filter_pass() takes in @direction now without loss. Chain. */
unsigned net_filter_room(NetFilterQueue *q, int direction);
/* Has run() called soon. Chain. */
void net_filter_wake(NetFilterQueue *q);
/* The same of who does not hold the lock. Any thread, while @q is attached. */
void net_filter_wake_from_outside(NetFilterQueue *q);

/* ---- for the net layer ---- */

/* netdev_del: deletes the filters of @nc, which has no NIC any more. */
void net_filters_delete(NetClientState *nc) MAIN_THREAD;
/* A line for each filter of @nc, for people. */
void net_filters_describe(const NetClientState *nc, GString *out) MAIN_THREAD;
/* Frees the chains of @nc: nobody uses it, and it has no filters. */
void net_filters_release(NetClientState *nc) MAIN_THREAD;
/* @nc has another number of subqueues: forgets what waits in those that went.
 */
void net_filters_queues_changed(NetClientState *nc) MAIN_THREAD;
/* At exit: deletes all filters, so that what they write is complete. */
void net_filters_cleanup(void) MAIN_THREAD;

/* ---- chains (net/filter-chain.c) ---- */

/* Puts the @n filters at @q, head first, into the way of @sq's frames: none,
 * and none waits any more: the netdev's own operations are in force again. No
 * pair uses it. */
void net_filter_chain_set(NetSubqueue *sq, NetFilterQueue *const *q, unsigned n)
    MAIN_THREAD;
/* Frees it, with what waits in it. Nobody uses @sq. */
void net_filter_chain_free(NetSubqueue *sq) MAIN_THREAD;
/* Forgets the frames that wait in it. No pair uses it. */
void net_filter_chain_clear(NetSubqueue *sq) MAIN_THREAD;
/* Puts the netdev's chain at @sq in order by what filters there are: called by
 * a chain that has run dry after its last filter left, too. */
void net_filters_rewire(NetSubqueue *sq, const char *reason) MAIN_THREAD;

#endif
