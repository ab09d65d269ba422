/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The net layer: netdevs, their subqueues, and who is at the other end.
 *
 * A NetClientState is a netdev (tap, bridge...) or the face of a NIC. A netdev
 * carries an array of subqueues, each with one file descriptor; a NIC joins
 * each of its queue pairs to one subqueue of its peer. Frames do not pass
 * through this file: the NIC's pair pulls with recv and pushes with send, in
 * the thread that owns the pair.
 *
 * Every frame that crosses recv and send starts with a virtio-net header
 * (VIRTIO 1.2, 5.1.6) of the length set by net_client_set_vnet_hdr_len().
 *
 * Threads: registry and configuration under the machine lock; recv, send and
 * the subqueue's fd belong to the owner of the pair that uses it.
 */
#ifndef NET_NET_H
#define NET_NET_H

#include "net/rss.h"
#include "qapi/qapi-types.h"
#include "util/error.h"
#include "util/event-loop.h"
#include "util/io-ring.h"

#define NET_MAX_QUEUES   256u
#define NET_STEERING_FDS 4u /* a program and its three maps */

typedef struct NetClientState NetClientState;
typedef struct NetClientInfo NetClientInfo;
typedef struct NetSubqueue NetSubqueue;
typedef struct NetQueuesChange NetQueuesChange;
typedef struct NetResize NetResize;
typedef struct NetRewire NetRewire;
typedef struct NetFilterChain NetFilterChain;

/* Offloads that the receiver of a back-end's frames accepts: what the guest
 * negotiated, loaded into the tap by TUNSETOFFLOAD. */
typedef struct NetOffloads {
    bool csum, tso4, tso6, ecn, ufo, uso4, uso6;
} NetOffloads;

/* What a netdev can do; fixed when it is created. */
typedef struct NetCaps {
    bool vnet_hdr; /* frames carry the header (else it is all zero) */
    bool ufo, uso; /* can segment or accept those */
    bool vhost;    /* subqueues have vhost_fd */
    /* recv may have more frames although the fd is not readable: it is called
     * until it has none, or the pair has reason to wait */
    bool buffers;
    bool vhost_force;
    uint32_t vhost_poll_us; /* busy polling of vhost-net, 0: none */
    /* what moves frames is outside this process and has no file for them
     * (vhost_user or vhost_vdpa is set): pairs are on vhost or stopped */
    bool vhost_only;
    /* but it may be given rings of ours: iothreads can have pairs, too */
    bool vhost_shadow;
} NetCaps;

/* What has passed a subqueue; bytes without headers. */
typedef struct NetSubqueueStats {
    uint64_t rx_packets, rx_bytes, rx_errors;
    uint64_t tx_packets, tx_bytes, tx_dropped, tx_again;
} NetSubqueueStats;

/* What a NIC does with a subqueue of its peer's. */
typedef struct NetSubqueueUse {
    unsigned pairs;         /* that are joined to it and used by the driver */
    bool outside;           /* a vhost worker has it: nobody here counts */
    NetSubqueueStats since; /* of its pairs, since they were last started */
} NetSubqueueUse;

struct NetSubqueue {
    /* fixed after creation */
    NetClientState *nc;
    unsigned index;
    int fd;       /* readable when a frame waits; -1: none */
    int room_fd;  /* readable when there may be room again; -1: fd becomes
                     writable */
    int vhost_fd; /* /dev/vhost-net for this queue, -1: user space only */
    struct VhostUser *vhost_user; /* who serves this queue; NULL: not so */
    struct VhostVdpa *vhost_vdpa; /* likewise */

    /* main thread, while no pair uses it; read by pair owners */
    const NetClientInfo *io; /* whose recv, send and bursts are in force: the
                                netdev's own, or those of its filters */
    NetFilterChain *filters; /* NULL: it has had none */

    /* main thread */
    bool enabled;           /* attached: the kernel may steer frames to it */
    NetSubqueueStats stats; /* up to when its pairs were last stopped */
};

/* A subqueue as one pair's owner uses it; several pairs may send through one
 * subqueue. Caller-allocated. */
typedef struct NetPort {
    /* pair owner */
    NetSubqueue *sq;
    IoRing *ring; /* its thread's; NULL: none */
    IoFile file;  /* sq->fd, as the ring knows it */
} NetPort;

struct NetClientInfo {
    NetClientDriver type;
    /*
     * Reads one frame, header first, into @iov. >0: bytes; 0: nothing now;
     * -EMSGSIZE is not an error: a longer frame is cut as read(2) does;
     * <0: -errno, -EBADFD when the device behind the fd is gone. Pair owner.
     */
    ssize_t (*recv)(NetSubqueue *sq, const struct iovec *iov, unsigned n);
    /* Sends one frame, header first. >0: taken; 0: no room now, wait for it
     * (room_fd); <0: -errno, the frame is dropped. Pair owner. */
    ssize_t (*send)(NetSubqueue *sq, const struct iovec *iov, unsigned n);
    /* The same for @n frames, all results set; by the port's ring if it has one
     * and that is their way. False: not possible on this subqueue, nothing was
     * done. May be NULL. Pair owner. */
    bool (*recv_burst)(const NetPort *port, IoFrame *frames, unsigned n);
    bool (*send_burst)(const NetPort *port, IoFrame *frames, unsigned n);

    /*
     * The pair that receives from @sq runs in @loop from now on, where @frames
     * makes it look for frames (any thread may schedule it); NULL: it lets go
     * of it. May be NULL. Pair owner.
     */
    void (*attend)(NetSubqueue *sq, EventLoop *loop, LoopTask *frames);

    /* The rest: main thread, pairs stopped unless said otherwise. */
    /* Attaches or detaches one queue (TUNSETQUEUE); running pairs allowed. */
    bool (*set_enabled)(NetSubqueue *sq, bool on, Error **errp);
    /* May be called while pairs run. */
    bool (*set_offloads)(NetClientState *nc, const NetOffloads *offloads,
                         Error **errp);
    bool (*set_vnet_hdr_len)(NetClientState *nc, unsigned len, Error **errp);
    /*
     * Steering of frames to subqueues by their hash, before they are read
     * (VIRTIO 1.2, 5.1.6.5.7); NULL: not possible. steering_open() readies it,
     * once, with the loaded program and maps in @fds, which it duplicates, or,
     * NULL, with a program that it loads itself; false when it cannot. After it
     * steer() puts @config into force, NULL: none, frames go where the back-end
     * puts them. Pairs may run.
     */
    bool (*steering_open)(NetClientState *nc, const int *fds, Error **errp);
    bool (*steer)(NetClientState *nc, const RssConfig *config, Error **errp);
    void (*steering_close)(NetClientState *nc);
    void (*cleanup)(NetClientState *nc); /* closes fds, runs down scripts */
    /* Opens or closes subqueues as @change says, with its NIC's consent: all
     * or, with an error, nothing. NULL: it has as many as it has. Pairs run. */
    bool (*set_queues)(NetClientState *nc, const NetQueuesChange *change,
                       Error **errp);
    /* While @on the host puts every frame into subqueue 0, whatever steers
     * otherwise; then as before. False: not possible, nothing has changed.
     * NULL: likewise. Pairs run. */
    bool (*funnel)(NetClientState *nc, bool on, Error **errp);
    /* A NIC's: announces its address to the network, once: by a frame of its
     * own and, where the guest's driver agreed to do that, by asking it. May be
     * NULL; may be called while pairs run. */
    void (*announce)(NetClientState *nc);
    /* A NIC's whose netdev may be deleted under it, else NULL; both may be
     * called while pairs run. Lets go of its peer's subqueues: on return
     * nothing uses them, nor their fds. */
    void (*peer_leave)(NetClientState *nc);
    /* The process behind its netdev has come (back), and nobody uses it yet:
     * takes over what it can do. False: it cannot do what the driver uses. May
     * be NULL; the link is told of next. */
    bool (*peer_ready)(NetClientState *nc, Error **errp);
    /* Takes up nc->peer, a new one in the place of the one that left. False:
     * it cannot (the message says why) and uses nothing of it. */
    bool (*peer_join)(NetClientState *nc, Error **errp);
    /* A NIC's whose netdev may change the number of its subqueues, else NULL:
     * lets it do so, and deals those that there are then to its pairs. False:
     * one of the two cannot, and nothing has changed. Pairs run. */
    bool (*peer_resize)(NetClientState *nc, const NetResize *resize,
                        Error **errp);
    /* A NIC's whose netdev may have filters, else NULL: lets @rewire change how
     * frames pass a subqueue, with the pairs that use it stopped meanwhile.
     * Each goes on with the owner that it may have then. Pairs run. */
    void (*peer_rewire)(NetClientState *nc, const NetRewire *rewire);
    /* A NIC's, for monitors: its receive filter, into @info, which is zeroed
     * before, and from now on the next change of it is an event again. NULL:
     * it has none. */
    void (*query_rx_filter)(NetClientState *nc, RxFilterInfo *info);
    /* Its pair @index, below nc->n_queues, into @info, zeroed before; may be
     * called while pairs run. NULL: it has no pairs. */
    void (*query_queue)(NetClientState *nc, unsigned index, NetQueueInfo *info);
    /* What it does with its peer's @sq, into @use, zeroed before; may be called
     * while pairs run. NULL: it has no pairs. */
    void (*query_subqueue)(NetClientState *nc, const NetSubqueue *sq,
                           NetSubqueueUse *use);
    /* Gives the pairs that @list names other owners, as the property
     * queue-mapping does, whether they run or not: all of them or, with an
     * error, none. NULL: its pairs cannot be moved. */
    bool (*set_queue_mapping)(NetClientState *nc,
                              const VirtioNetQueueMappingList *list,
                              Error **errp);
    /* Says on which of the host's CPUs the vhost workers of @pairs run (NULL:
     * of those that are meant for vhost-net), now and later; no @cpus: on all
     * that the process may use. All of them or, with an error, none; pairs may
     * run. NULL: it has no such workers. */
    bool (*set_vhost_affinity)(NetClientState *nc, const uint16List *pairs,
                               const uint16List *cpus, Error **errp);
    /* Its RSS, into @info; false: it offers none. NULL: likewise. */
    bool (*query_rss)(NetClientState *nc, NetRssInfo *info);
    /* Limits the rate of what goes to the guest, and comes from it; NULL: as it
     * is. All of it or, with an error, nothing. While pairs run. NULL: it
     * cannot limit rates. */
    bool (*set_rate_limit)(NetClientState *nc, const NetRateLimit *rx,
                           const NetRateLimit *tx, Error **errp);
    /* Those limits, into @info, zeroed before; may be called while pairs run.
     * NULL: likewise. */
    void (*query_rate_limit)(NetClientState *nc, NetRateLimitInfo *info);
};

struct NetClientState {
    /* fixed after creation */
    const NetClientInfo *info;
    char *name; /* id */
    NetCaps caps;
    NetSubqueue *queue; /* n_queues, room for NET_MAX_QUEUES; NULL for a NIC */

    /* main thread */
    GPtrArray *filters; /* of NetFilter, the head first; NULL: none so far */
    NetClientState *peer;
    unsigned n_queues;
    unsigned queue_frames; /* a netdev's: the most that wait in a subqueue */
    bool link_down;
    bool no_carrier; /* a netdev's: nobody is at its other end now */
    bool shows_down; /* a netdev's: what serves its queues, and goes on, says
                        that the link is down */
    unsigned vnet_hdr_len; /* a netdev's: bytes before each frame */
    char *lost_peer; /* a NIC's: id of the netdev that was deleted under it */
    char info_str[256]; /* for `info network` */
    /* a NIC's: told of link and peer changes; may be NULL */
    void (*link_changed)(NetClientState *nc);
};

/* What set_queues is asked for. */
struct NetQueuesChange {
    unsigned n;           /* subqueues after it, 1..NET_MAX_QUEUES */
    const char *fds;      /* files of those that come, as netdev_add takes */
    const char *vhostfds; /* them; NULL: opened as it opened the others */
};

/*
 * What a netdev asks its NIC for: @act opens or closes the subqueues from
 * @n or, if those are fewer, from the present number on. Before it, nc->queue
 * has the vhost_fd of those that come, after it all of them and n_queues.
 */
struct NetResize {
    unsigned n;
    bool (*act)(void *opaque, Error **errp);
    void *opaque;
};

/* What changes NetSubqueue.io, and how that is called in events. */
struct NetRewire {
    NetSubqueue *sq;
    void (*act)(void *opaque);
    void *opaque;
    const char *reason;
};

/* True while frames of @sq pass filters: nobody but this process may move
 * them. */
static inline bool net_subqueue_filtered(const NetSubqueue *sq)
{
    return sq->io != sq->nc->info;
}

/* True when somebody outside this process may move the frames of @sq. */
static inline bool net_subqueue_has_vhost(const NetSubqueue *sq)
{
    return sq->vhost_fd >= 0 || sq->vhost_user || sq->vhost_vdpa;
}

/* ---- registry (net/net.c) ---- */

/*
 * Registers @nc (embedded in the caller's object) under @name (copied) with
 * @n_queues subqueues, all fds -1 and enabled. False when the name is taken
 * by another netdev; a NIC whose name is taken by another NIC gets ".1", ".2"
 * ... after it. NICs and netdevs have separate names. A netdev is the first
 * member of what g_new() allocated: netdev_del() frees it.
 */
bool net_client_register(NetClientState *nc, const NetClientInfo *info,
                         const char *name, unsigned n_queues, Error **errp)
    MAIN_THREAD;
/* Takes it out; drops the peer; frees subqueues. Does not call cleanup. */
void net_client_unregister(NetClientState *nc) MAIN_THREAD;

/* The netdev of that name, else the NIC, else NULL. */
NetClientState *net_client_find(const char *name) MAIN_THREAD;
void net_client_foreach(void (*func)(NetClientState *, void *), void *opaque)
    MAIN_THREAD;
/* The NIC of that name alone, or NULL. */
NetClientState *net_client_find_nic(const char *name) MAIN_THREAD;

/* The netdev @id; NULL: there is none, and the message says what else it is. */
NetClientState *netdev_find(const char *id, Error **errp) MAIN_THREAD;

/* Joins a NIC and a netdev, all of whose queues are attached from then on.
 * False when the netdev has a peer already (the message names it). */
bool net_client_connect(NetClientState *nic, NetClientState *netdev,
                        Error **errp) MAIN_THREAD;
/* Parts @nc from its peer, if it has one, and tells the peer. */
void net_client_disconnect(NetClientState *nc) MAIN_THREAD;

/* Wrappers that do nothing, successfully, where the back-end has no such
 * operation. */
bool net_subqueue_set_enabled(NetSubqueue *sq, bool on, Error **errp)
    MAIN_THREAD;
bool net_client_set_offloads(NetClientState *nc, const NetOffloads *offloads,
                             Error **errp) MAIN_THREAD;
bool net_client_set_vnet_hdr_len(NetClientState *nc, unsigned len, Error **errp)
    MAIN_THREAD;

/*
 * Deletes a netdev (cleanup, unregister, free). The NIC that has it loses it:
 * its pairs stop, the guest sees the link down, and the next netdev of this id
 * is joined to it. Refused when the NIC cannot live without.
 */
bool netdev_del(const char *id, Error **errp) MAIN_THREAD;
/* Gives the netdev @id another number of subqueues, with or without a NIC. */
bool netdev_set_queues(const char *id, const NetQueuesChange *change,
                       Error **errp) MAIN_THREAD;
/*
 * The new @netdev, registered and ready: joins it to the NIC that lost one of
 * its id, if there is such a NIC. False when that NIC cannot use it; nobody has
 * it then.
 */
bool net_client_rejoin(NetClientState *netdev, Error **errp) MAIN_THREAD;
/*
 * Sets the link of every netdev and NIC called @name. A netdev's NIC follows
 * it; the link of a NIC is up when its own and its netdev's are. False when
 * there is none of that name.
 */
bool net_set_link(const char *name, bool up, Error **errp) MAIN_THREAD;
/* At exit: every netdev's cleanup, the last one first. The structures stay. */
void net_cleanup(void) MAIN_THREAD;

/* ---- many frames at once (net/burst.c) ---- */

/* Readies @port for @sq, with the calling thread's @ring (NULL: it has none).
 * Pair owner. */
void net_port_open(NetPort *port, NetSubqueue *sq, IoRing *ring);
void net_port_close(NetPort *port);

/*
 * Receives up to @n (at most IO_RING_BURST) frames, each into its own buffers;
 * results as recv gives them. A frame that was there may follow a result of 0:
 * it arrived in between. Pair owner.
 */
void net_port_recv_burst(const NetPort *port, IoFrame *frames, unsigned n);
/*
 * Sends @n (at most IO_RING_BURST) frames in their order; results as send gives
 * them. A frame with a result of 0 behind which another one was sent is lost:
 * to send it later would change the order. Pair owner.
 */
void net_port_send_burst(const NetPort *port, IoFrame *frames, unsigned n);

/* ---- announce-self (net/announce.c) ---- */

#define NET_ANNOUNCE_MS_MAX     100000 /* initial, max */
#define NET_ANNOUNCE_ROUNDS_MAX 1000
#define NET_ANNOUNCE_STEP_MAX   10000 /* milliseconds */

/* Begins the rounds that @par asks for, in the place of those of the same id.
 * False: a value is out of range, or an interface is no NIC. */
bool net_announce_self(const AnnounceParameters *par, Error **errp) MAIN_THREAD;
/* At exit: the rounds to come do not. */
void net_announce_cleanup(void) MAIN_THREAD;

/* ---- options (net/netdev-opts.c) ---- */

/*
 * What @text (key=value or JSON) describes; free with Netdev_free(). @help may
 * be NULL: then "help" is a word like any other. Else, when it is asked for,
 * it is printed ("help": the types, "TYPE,help": the options of one), *@help
 * is true and the result NULL without an error.
 */
Netdev *netdev_parse(const char *text, bool *help, Error **errp);
/* -netdev TEXT; exits 0 after help. */
bool netdev_add_text(const char *text, Error **errp) MAIN_THREAD;
bool netdev_add(const Netdev *netdev, Error **errp) MAIN_THREAD;

/* The lines of -nic model=help, on stdout. */
void net_nic_model_help(void);
/* -nic TEXT / -net TEXT: keeps the request; net_create_nics() makes the
 * devices (driver, netdev=, mac=) once buses exist. */
bool net_nic_option(const char *text, Error **errp) MAIN_THREAD;
bool net_legacy_option(const char *text, Error **errp) MAIN_THREAD;
bool net_create_nics(Error **errp) MAIN_THREAD;

/* Warns of netdevs without a NIC, as users expect. After all devices. */
void net_check_clients(void) MAIN_THREAD;

/* Next default MAC: 52:54:00:12:34:56 upwards; skips those in use. */
void net_default_mac(uint8_t mac[6]) MAIN_THREAD;
void net_mac_claim(const uint8_t mac[6]) MAIN_THREAD;
/* Takes one net_mac_claim() back. */
void net_mac_release(const uint8_t mac[6]) MAIN_THREAD;

#endif
