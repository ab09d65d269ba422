/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio network device (VIRTIO 1.2, 5.1): types shared by its files.
 *
 *   virtio-net.c          realize, features, configuration space, status
 *   virtio-net-mapping.c  which pair goes to vhost, which to an iothread
 *   virtio-net-pair.c     owner changes: stop, hand over, start
 *   virtio-net-move.c     owner changes by command
 *   virtio-net-rx.c       a received packet
 *   virtio-net-rx-drain.c  a subqueue read dry, as it goes
 *   virtio-net-tx.c       a transmitted packet
 *   virtio-net-gather.c   datagrams of a flow sent as one frame
 *   virtio-net-ctrl.c     the control queue
 *   virtio-net-filter.c   MAC and VLAN filter, read by every receiving pair
 *   virtio-net-rss.c      RSS and hash reports: commands, who steers
 *   virtio-net-rss-rx.c   the same where frames are received
 *   virtio-net-coal.c     interrupts that may wait
 *   virtio-net-limit.c    rate limits where frames pass
 *   virtio-net-limit-conf.c  the same as users set them and see them
 *   virtio-net-stats-cmd.c  counters for the driver
 *   virtio-net-vhost.c    pairs on vhost-net
 *   virtio-net-shadow.c   pairs of a vhost-user netdev that pass user space
 *   virtio-net-vdpa.c     pairs on a vDPA device
 *   virtio-net-link.c     the link, and what follows for pairs
 *   virtio-net-hot.c      a netdev that leaves and comes back; announcements
 *   virtio-net-elastic.c  a netdev that gets more queues, or fewer
 *   virtio-net-qmp.c      what monitors see
 *   virtio-net-watch.c    rings that nobody serves, or that are broken
 *   virtio-net-stats.c    statistics of pairs and of the queues they use
 *
 * Threads: a pair is used by its owner only (VirtIONetPair.owner). Whoever
 * holds the machine lock changes the owner, and only while the pair is
 * stopped. The device itself belongs to the machine lock.
 */
#ifndef HW_NET_VIRTIO_NET_INTERNAL_H
#define HW_NET_VIRTIO_NET_INTERNAL_H

#include "hw/net/virtio-net-limit.h"
#include "hw/net/virtio-net-stats.h"
#include "hw/net/virtio-net-watch.h"
#include "hw/virtio/vhost.h"
#include "hw/virtio/virtio-bits.h"
#include "hw/virtio/virtio-net-uapi.h"
#include "hw/virtio/virtio.h"
#include "net/net.h"
#include "system/iothread.h"
#include "util/affinity.h"
#include "util/endian.h"

#define TYPE_VIRTIO_NET "virtio-net-device"

#define VIRTIO_NET_MAX_PAIRS     256u
#define VIRTIO_NET_QUEUE_DEFAULT 256u
#define VIRTIO_NET_QUEUE_MIN     256u
#define VIRTIO_NET_CTRL_SIZE     64u
#define VIRTIO_NET_MAC_ENTRIES   64u

/* Frames moved in one direction before the loop looks at others. */
#define VIRTIO_NET_BURST 64u

/* Longest frame that a tap delivers: 64 KiB of GSO payload and headers, after
 * the longest virtio-net header. */
#define VIRTIO_NET_HDR_MAX   20u
#define VIRTIO_NET_FRAME_MAX (65536u + 64u)
#define VIRTIO_NET_RX_MAX    (VIRTIO_NET_HDR_MAX + VIRTIO_NET_FRAME_MAX)

typedef struct VirtIONet VirtIONet;
typedef struct VirtIONetPair VirtIONetPair;
typedef struct RxScratch RxScratch;
typedef struct TxScratch TxScratch;
typedef struct TxGather TxGather;
typedef struct RssInbox RssInbox;

typedef enum PairOwner {
    PAIR_OWNER_MAIN,  /* stopped */
    PAIR_OWNER_IO,    /* an iothread's loop moves its packets */
    PAIR_OWNER_VHOST, /* a vhost-net worker has the rings */
} PairOwner;

/* How long the driver lets a ring's interrupts wait (VIRTIO 1.2, 5.1.6.5.9):
 * one at the latest after so many packets, or so many microseconds after the
 * first of them. 0 in either: after every burst. */
typedef struct CoalParams {
    uint32_t max_packets, max_usecs;
} CoalParams;

/* The used-buffer notifications of one ring. */
typedef struct NotfCoal {
    /* pair owner */
    bool on;   /* they may wait */
    bool held; /* one waits */
    uint32_t max_packets;
    int64_t max_ns;
    uint64_t told;    /* packets of the ring up to the last one */
    int64_t first_ns; /* when the one that waits was due, had it not to */
    LoopTimer timer;  /* not later than the end of the wait; maybe earlier */
} NotfCoal;

/* Immutable once published: what the receive path lets through. */
typedef struct RxFilter {
    bool pass_all; /* nothing below has to be looked at */
    bool promisc, all_multi, all_uni, no_multi, no_uni, no_broadcast;
    bool vlan_filter;
    bool uni_overflow, multi_overflow;
    uint8_t mac[6];
    unsigned n_uni, n_multi;
    uint8_t uni[VIRTIO_NET_MAC_ENTRIES][6];
    uint8_t multi[VIRTIO_NET_MAC_ENTRIES][6];
    uint32_t vlans[4096 / 32];
} RxFilter;

/* Immutable once published: RSS, for receiving pairs. */
typedef struct RxRss {
    bool steer;     /* frames of other pairs are handed over */
    unsigned homes; /* pairs that receive: those below; the rest share them */
    RssConfig config;
} RxRss;

/* RSS and hash reports of a NIC. Main thread. */
typedef struct NetRss {
    NetRssSteering how; /* who steers; fixed after realize */
    bool steering;      /* RSS is in force, not the netdev's own way */
    RssConfig config;   /* as the driver set it */
} NetRss;

/*
 * One queue pair: two rings, the peer's subqueue, an owner.
 */
struct THREAD_CAPABILITY("queue pair") VirtIONetPair {
    /* fixed after realize */
    VirtIONet *net;
    unsigned index;
    VirtQueue *rx_vq, *tx_vq;
    RssInbox *inbox; /* frames of other pairs; NULL: none come */

    /* main thread, while stopped; read by the owner */
    NetSubqueue *backend; /* NULL: the NIC has no netdev */
    bool shared; /* it is another pair's, which receives; this one only sends */

    /* main thread */
    PairOwner owner;
    bool want_vhost;           /* by the mapping */
    bool vhost_required;       /* no fall-back to user space */
    bool mapped;               /* a mapping says it, not the netdev */
    bool failed;               /* vhost refused; user space until reset */
    bool move_untold;          /* an event is due once vhost has the pair */
    IOThread *iothread;        /* NULL: none yet; the pair uses it */
    VhostNet *vhost;           /* NULL: never on vhost so far */
    bool has_vhost_cpus;       /* a command said where its worker runs: */
    CpuList vhost_cpus;        /* there; empty: anywhere */
    NetSubqueueStats at_start; /* what it had done when IO became its owner */
    CoalParams coal_params[2]; /* as the driver set them: receive, transmit */
    RingWatch watch[2];        /* likewise */

    /* fixed while the owner is IO */
    EventLoop *loop;
    uint64_t features;
    unsigned hdr_len;     /* bytes of the guest's virtio-net header */
    bool hdr_num_buffers; /* the header has that field */
    bool hash_report;     /* the header has that, too */
    bool mergeable;
    bool tx_csum, tx_tso4, tx_tso6, tx_ufo, tx_uso, tx_ecn;
    bool rx_csum, rx_ecn;
    uint32_t rx_gso_types; /* bit n: the driver takes VIRTIO_NET_HDR_GSO_ n */
    size_t rx_window;      /* bytes of buffers to have ready for a read */
    bool rx_buffers;       /* the back-end, or its filters, may hold frames */
    bool rx_rest; /* vhost is to have the pair: it gets what waits, no more */

    /* pair owner */
    FdWatch backend_watch, rx_watch, tx_watch;
    FdWatch room_watch; /* of back-ends with a room_fd */
    LoopTask rx_task, tx_task;
    LoopPoll tx_poll;
    NetPort port;
    bool rx_starved;  /* waiting for the driver's buffers */
    bool rx_extras;   /* in this turn, virtio_net_rx_extras() has work */
    bool rx_held;     /* reads nothing: frames elsewhere come first */
    bool tx_full;     /* waiting for the back-end */
    bool faulted;     /* the driver broke a ring: nothing moves until reset */
    NotfCoal coal[2]; /* of the receive (0) and the transmit ring (1) */
    RxScratch *rx;    /* gathered receive buffers */
    TxScratch *tx;    /* the burst under way */
    TxGather *gather; /* its frames of many datagrams; NULL: makes none */
    bool gathers;     /* the back-end takes them */
    /* Of frames to the driver (0), and from it (1). */
    PairLimit limit[2];

    /* any thread, atomic: with rx_rest, nothing waits any more */
    bool rx_rest_done;
    /* any thread, atomic: read by monitors while the owner counts */
    PairStats stats;
};

#define PAIR_OWNER(p) THREAD_ANNOTATION(requires_capability(p))
/* Entry from the loop: says, and checks, that this is the owner's thread. */
void pair_assert_owner(VirtIONetPair *pair)
    THREAD_ANNOTATION(assert_capability(pair));
/* The same of the holder of the machine lock: the pair is stopped. */
void pair_assert_stopped(VirtIONetPair *pair)
    THREAD_ANNOTATION(assert_capability(pair));

typedef struct VirtIONetConf {
    uint64_t features; /* offered by properties: the device-specific bits */
    uint8_t mac[6];
    char *netdev;
    uint16_t rx_queue_size, tx_queue_size;
    uint16_t host_mtu;
    int32_t speed;
    char *duplex;
    json_object *iothread_vq_mapping, *queue_mapping;
    json_object *ebpf_rss_fds; /* NULL: none */
    char *rss_steering;        /* auto (NULL), ebpf, user */
    bool tx_gather;
    uint32_t stall_timeout; /* milliseconds; 0: rings are not watched */
    /* Rate limits: rx, tx. */
    RateParams limit[2];
    int32_t bootindex;
    uint32_t x_txtimer;
    int32_t x_txburst;
    char *tx;
} VirtIONetConf;

struct VirtIONet {
    VirtIODevice vdev;

    /* fixed after realize */
    VirtIONetConf conf;
    NetClientState nic; /* our face in the net layer */
    unsigned max_pairs;
    VirtIONetPair *pair; /* array of max_pairs */
    uint8_t duplex;
    NetRss *rss; /* NULL: offers neither RSS nor hash reports */

    /* main thread */
    unsigned active_pairs; /* as the driver asked: 1..max_pairs */
    bool resizing;         /* subqueues come or go: user space only */
    bool shows_down;       /* as its netdev, and pairs go on */
    bool limited;          /* rate limits: user space only */
    /* Those in force: rx, tx; NULL: none. */
    NetLimit *limit[2];
    uint8_t mac[6];
    bool announce;           /* asks the driver to announce itself */
    uint64_t guest_offloads; /* GUEST_* bits in force */
    /* what a receive (0) or transmit ring (1) has after a reset of its own */
    CoalParams coal_default[2];
    uint64_t ctrl_commands, ctrl_ok; /* served since the device was made */
    FdWatch ctrl_watch;
    GPtrArray *auto_iothreads; /* of IOThread, made for this device */
    RxFilter filter_next;      /* edited by commands, then published */
    bool filter_told;    /* of a change since a monitor last read the filter */
    VmTimer watch_timer; /* the next look at the rings */
    FdWatch backend_watch; /* for errors, while the device does not run */
    LoopTask rest_task;    /* pairs whose waiting frames are delivered go on */

    /* any thread, atomic: published by the main thread */
    const RxFilter *filter; /* freed after the loops passed a quiet point */
    const RxRss *rx_rss;    /* likewise; NULL: nothing to do */
    bool link_up;
    /* any thread, atomic: a loop saw the back-end vanish */
    bool backend_gone;
    LoopTask gone_task;
};

/* True from when a loop saw the back-end vanish. Any thread. */
static inline bool virtio_net_backend_gone(const VirtIONet *net)
{
    return __atomic_load_n(&net->backend_gone, __ATOMIC_RELAXED);
}

#define VIRTIO_NET(o) OBJECT_CAST(VirtIONet, o)

/* ---- virtio-net.c ---- */

/* The control queue: its number depends on whether MQ was negotiated
 * (VIRTIO 1.2, 5.1.2). */
VirtQueue *virtio_net_ctrl_vq(VirtIONet *net);
/* Bytes of the virtio-net header with the negotiated features. */
unsigned virtio_net_hdr_len(const VirtIONet *net);
/* Opens the vhost devices of pairs that want one, and limits what is offered
 * to what they know. False when one that is insisted on cannot be opened. */
bool virtio_net_prepare_vhost(VirtIONet *net, Error **errp) MAIN_THREAD;
/* Loads header length and offloads into the netdev, which has no reader. */
bool virtio_net_backend_configure(VirtIONet *net, Error **errp) MAIN_THREAD;
/* Pairs that the driver could use with the negotiated features. */
unsigned virtio_net_usable_pairs(const VirtIONet *net);

/* ---- virtio-net-link.c ---- */

/* Gives the pairs that are meant for vhost-net the owner that they may have
 * now: the link, or what is limited, has changed. */
void virtio_net_move_vhost_pairs(VirtIONet *net) MAIN_THREAD;
/* The link as the driver and monitors see it. */
static inline bool virtio_net_link_shown(const VirtIONet *net)
{
    return net->link_up && !net->shows_down;
}
/* Puts the link into the state that NIC, netdev and back-end say; tells the
 * driver. */
void virtio_net_update_link(VirtIONet *net) MAIN_THREAD;

/* ---- virtio-net-features.c ---- */

#define DUPLEX_UNKNOWN 0xff /* as linux/ethtool.h has it */

/* The GUEST_* offload bits that were negotiated. */
uint64_t virtio_net_guest_offload_bits(const VirtIONet *net);
/* What would be offered to the driver with the netdev @peer (NULL: none): the
 * device-specific bits. */
uint64_t virtio_net_features_with(const VirtIONet *net,
                                  const NetClientState *peer);
/* As VirtIODeviceClass says. */
uint64_t virtio_net_get_features(VirtIODevice *vdev) MAIN_THREAD;
bool virtio_net_set_features(VirtIODevice *vdev, uint64_t features) MAIN_THREAD;

/* ---- virtio-net-mapping.c ---- */

/* Reads the two mapping properties into the pairs; takes references on
 * iothreads. On false nothing is held. At realize. */
bool virtio_net_mapping_apply(VirtIONet *net, Error **errp) MAIN_THREAD;
/* Is the entry @m right by itself: a pair that there is, not in @seen (a flag
 * for each pair, set here) yet, and no iothread for vhost? */
bool virtio_net_mapping_check(const VirtIONet *net,
                              const VirtioNetQueueMapping *m, uint8_t *seen,
                              Error **errp);
/* Lets go of all iothreads. At unrealize. */
void virtio_net_mapping_release(VirtIONet *net) MAIN_THREAD;
/* Sees to it that @pair has an iothread: the mapped one, or one made for the
 * device (one per pair up to the host's CPUs). */
bool virtio_net_pair_need_iothread(VirtIONetPair *pair, Error **errp)
    MAIN_THREAD;
/* The one made for the device, without a use of it yet; the next call is
 * iothread_use(). */
IOThread *virtio_net_auto_iothread(const VirtIONetPair *pair, Error **errp)
    MAIN_THREAD;
/* Was it made for the device? */
bool virtio_net_iothread_is_auto(const VirtIONet *net, const IOThread *iothread)
    MAIN_THREAD;
/* Gives back one use of @iothread, which may be NULL. */
void virtio_net_iothread_release(VirtIONet *net, IOThread *iothread)
    MAIN_THREAD;
/* The pair has no iothread any more. */
void virtio_net_pair_drop_iothread(VirtIONetPair *pair) MAIN_THREAD;
extern const PropertyInfo prop_info_queue_mapping;

/* ---- virtio-net-pair.c ---- */

/* Starts every active pair / stops every pair. */
void virtio_net_pairs_start(VirtIONet *net) MAIN_THREAD;
void virtio_net_pairs_stop(VirtIONet *net) MAIN_THREAD;
/* Forgets frames that wait and refusals of vhost: device reset. */
void virtio_net_pairs_reset(VirtIONet *net) MAIN_THREAD;
/* Readies the pair for a loop: features, scratch, tasks; its loop is set. */
void virtio_net_pair_prepare(VirtIONetPair *pair) MAIN_THREAD;
/* Meant for vhost-net, which has not refused it. */
bool virtio_net_pair_wants_vhost(const VirtIONetPair *pair) MAIN_THREAD;
/* The one rule: would vhost-net get the pair if it were started now? While a
 * pair runs, frames that wait for buffers are left out of account. */
bool virtio_net_pair_may_vhost(const VirtIONetPair *pair) MAIN_THREAD;
/* Gives the pair the owner that its mapping says; it is stopped. Where
 * vhost-net refuses it user space takes over, if it may. */
void virtio_net_pair_start(VirtIONetPair *pair) MAIN_THREAD;
/* The same, but what vhost-net refuses stays stopped: false. */
bool virtio_net_pair_try_start(VirtIONetPair *pair, Error **errp) MAIN_THREAD;
/* Stops and starts a pair, if it runs: something that its owner follows from
 * has changed. */
void virtio_net_pair_restart(VirtIONetPair *pair) MAIN_THREAD;
/* Sees to it that a start need not allocate. While vhost-net, or nobody, has
 * the pair. */
void virtio_net_pair_need_scratch(VirtIONetPair *pair) MAIN_THREAD;
/* As NetClientInfo says. */
void virtio_net_peer_rewire(NetClientState *nc, const NetRewire *rewire)
    MAIN_THREAD;
/* The task that moves pairs on whose waiting frames are delivered. */
void virtio_net_pairs_rested(void *opaque);
/* Takes it back from its owner; on return nobody touches its rings. */
void virtio_net_pair_stop(VirtIONetPair *pair) MAIN_THREAD;
/* Attaches the tap queues of active pairs and detaches the others, then
 * starts and stops pairs to match (VIRTIO 1.2, 5.1.6.5.5). */
void virtio_net_set_active_pairs(VirtIONet *net, unsigned n) MAIN_THREAD;
/* The driver broke a ring of @pair: it moves nothing more until the device is
 * reset. */
void pair_fault(VirtIONetPair *pair, VirtQueue *vq) PAIR_OWNER(pair);
/* The device behind the netdev is gone: link down, told from the main loop.
 * Any thread. */
void virtio_net_backend_lost(VirtIONet *net);
/* The back-end's fd is dead: the same, and no more events of it. */
void pair_backend_gone(VirtIONetPair *pair) PAIR_OWNER(pair);
/* Events wanted from the back-end's fd, after rx_starved or tx_full changed. */
void pair_update_backend_watch(VirtIONetPair *pair) PAIR_OWNER(pair);

/* ---- virtio-net-rx.c ---- */

RxScratch *rx_scratch_new(void);
void rx_scratch_free(RxScratch *rx); /* NULL is allowed */
/* Frames that wait in it for the driver's buffers. */
unsigned rx_scratch_waiting(const RxScratch *rx);
/* Moves frames from the back-end to the driver until there are none, the
 * driver has no buffers, or the burst is over. */
void virtio_net_rx(VirtIONetPair *pair) PAIR_OWNER(pair);
/* Gives back gathered buffers; frames that wait stay in the scratch. */
void virtio_net_rx_stop(VirtIONetPair *pair) PAIR_OWNER(pair);

/* ---- virtio-net-rx-drain.c ---- */

/*
 * Moves a burst from the back-end to the driver and takes what was read from
 * *@left. The subqueue @goes: where the driver has no buffers, frames are kept
 * for it, and only what is more than a full queue has, or RX_KEPT_BYTES, is
 * dropped (rx_errors). True: there may be more, and *@left is not 0.
 */
bool virtio_net_rx_drain(VirtIONetPair *pair, unsigned *left, bool goes)
    PAIR_OWNER(pair);
/* The same without a look at the ring: all are kept or dropped. */
bool virtio_net_rx_save(VirtIONetPair *pair, unsigned *left) PAIR_OWNER(pair);

/* ---- virtio-net-tx.c ---- */

TxScratch *tx_scratch_new(void);
void tx_scratch_free(TxScratch *tx); /* NULL is allowed */
/* Moves a burst from the driver to the back-end. */
void virtio_net_tx(VirtIONetPair *pair) PAIR_OWNER(pair);

/*
 * Checks a copy of the driver's virtio-net header against the negotiated
 * features and the frame's length (VIRTIO 1.2, 5.1.6.2): true when a back-end
 * may see it. Flags that a device ignores are cleared and a hint in hdr_len
 * beyond the frame is cut, in the copy. @frame_len: bytes after the header.
 * Any thread.
 */
bool virtio_net_tx_check_header(const VirtIONetPair *pair,
                                struct virtio_net_hdr *hdr, size_t frame_len);

/* ---- virtio-net-gather.c ---- */

TxGather *tx_gather_new(void);
void tx_gather_free(TxGather *gather); /* NULL is allowed */
/* Will the pair, which has its back-end, gather? */
void virtio_net_gather_prepare(VirtIONetPair *pair) MAIN_THREAD;
/*
 * net_port_send_burst() for a pair that gathers: datagrams of one flow that
 * follow one another go as one frame, and have its result. The first element of
 * each frame is its checked virtio-net header. At most VIRTIO_NET_BURST.
 */
void virtio_net_gather_send(VirtIONetPair *pair, IoFrame *frames, unsigned n)
    PAIR_OWNER(pair);
/* Warns where tx-gather was asked for and has no effect. Whenever the NIC has
 * got a netdev. */
void virtio_net_gather_warn(const VirtIONet *net) MAIN_THREAD;

/* ---- virtio-net-offload.c ---- */

/* Copies the offloads that the driver negotiated; pair->hdr_len is set. */
void virtio_net_offloads_prepare(VirtIONetPair *pair) MAIN_THREAD;
/*
 * May the driver see the received frame whose virtio-net header is in @iov? The
 * tap segments and sums up what the driver does not take, but frames that it
 * held already when that changed it hands out as they are. Clears flags that a
 * driver without GUEST_CSUM must not find (VIRTIO 1.2, 5.1.6.4.1).
 */
bool virtio_net_rx_check_offloads(const VirtIONetPair *pair,
                                  const struct iovec *iov, unsigned n);

/* The same, at once for the frames without any. */
static inline bool virtio_net_rx_offloads_ok(const VirtIONetPair *pair,
                                             const struct iovec *iov,
                                             unsigned n)
{
    const uint8_t *hdr = iov[0].iov_base; /* flags and gso_type, unaligned */

    return (G_LIKELY(iov[0].iov_len >= 2) && !(hdr[0] | hdr[1])) ||
           virtio_net_rx_check_offloads(pair, iov, n);
}

/* ---- virtio-net-ctrl.c ---- */

void virtio_net_ctrl_start(VirtIONet *net) MAIN_THREAD;
void virtio_net_ctrl_stop(VirtIONet *net) MAIN_THREAD;
/*
 * One command of the control queue: @data is what follows the 2-byte header,
 * @len bytes. Returns the acknowledgement, VIRTIO_NET_OK or VIRTIO_NET_ERR;
 * after an error nothing has changed. What follows the acknowledgement (the
 * command-specific-result) is appended to @reply, which is empty before.
 */
uint8_t virtio_net_ctrl_command(VirtIONet *net, uint8_t cls, uint8_t cmd,
                                const uint8_t *data, size_t len,
                                GByteArray *reply) MAIN_THREAD;
/* Puts GUEST_* offload bits into force in the back-end. */
bool virtio_net_apply_offloads(VirtIONet *net, uint64_t bits, Error **errp)
    MAIN_THREAD;

/* ---- virtio-net-coal.c ---- */

/* Takes over what the driver set; nothing waits. The pair's loop is set. */
void virtio_net_coal_prepare(VirtIONetPair *pair) MAIN_THREAD;
/* Tells what waits and disarms the timers: the owner lets go of the pair. */
void virtio_net_coal_stop(VirtIONetPair *pair) PAIR_OWNER(pair);
/* Ring @dir (0: receive, 1: transmit) has published used buffers and its
 * notifications may wait: tells the driver or sees to it that the timer does.
 */
void virtio_net_coal_signal(VirtIONetPair *pair, unsigned dir) PAIR_OWNER(pair);
/* Device reset: no notification waits any more. */
void virtio_net_coal_reset(VirtIONet *net) MAIN_THREAD;
/* Queue reset of a receive or transmit ring. */
void virtio_net_coal_queue_reset(VirtIONet *net, const VirtQueue *vq)
    MAIN_THREAD;
/* A command of class VIRTIO_NET_CTRL_NOTF_COAL; true: done. */
bool virtio_net_coal_command(VirtIONet *net, uint8_t cmd, const uint8_t *data,
                             size_t len, GByteArray *reply) MAIN_THREAD;

/* After virtqueue_publish() of a ring of the pair: virtqueue_signal(), at once
 * or as the driver's settings have it. */
static inline void pair_signal(VirtIONetPair *pair, unsigned dir)
    PAIR_OWNER(pair)
{
    if (G_LIKELY(!pair->coal[dir].on)) {
        virtqueue_signal(dir ? pair->tx_vq : pair->rx_vq);
    } else {
        virtio_net_coal_signal(pair, dir);
    }
}

/* ---- virtio-net-limit.c ---- */

/* May frames of direction @dir (0: to the driver, 1: from it) pass now? False:
 * the pair waits, and goes on by itself. */
bool virtio_net_limit_ready(VirtIONetPair *pair, unsigned dir) PAIR_OWNER(pair);
/* How many, at least 1, may be moved in one go; there is a limit. */
unsigned virtio_net_limit_frames(const VirtIONetPair *pair, unsigned dir)
    PAIR_OWNER(pair);
/* So many have passed; @bytes without headers. */
void virtio_net_limit_charge(VirtIONetPair *pair, unsigned dir,
                             uint64_t packets, uint64_t bytes) PAIR_OWNER(pair);
/* The pair's loop is set. */
void virtio_net_limit_prepare(VirtIONetPair *pair) MAIN_THREAD;
/* The owner lets go of the pair: it waits no more. What it has of the limit,
 * or owes, stays. */
void virtio_net_limit_stop(VirtIONetPair *pair) PAIR_OWNER(pair);
/* Puts @limit into force for the pair (NULL: none); nothing of the one before
 * is used by it any more. */
void virtio_net_limit_set(VirtIONetPair *pair, unsigned dir, NetLimit *limit)
    MAIN_THREAD;

/* ---- virtio-net-limit-conf.c ---- */

extern const PropertyInfo prop_info_rate_limit;
/* Puts the properties into force; after the mapping is read. On false nothing
 * is held. */
bool virtio_net_limit_realize(VirtIONet *net, Error **errp) MAIN_THREAD;
void virtio_net_limit_release(VirtIONet *net) MAIN_THREAD;
/* False when a pair has to be on vhost-net, which limits nothing: because of
 * its netdev or, if @mapped, of a mapping. One that is mapped while there is a
 * limit waits for the end of that. */
bool virtio_net_limit_check_vhost(const VirtIONet *net, bool mapped,
                                  Error **errp) MAIN_THREAD;
/* As NetClientInfo says. */
bool virtio_net_set_rate_limit(NetClientState *nc, const NetRateLimit *rx,
                               const NetRateLimit *tx, Error **errp)
    MAIN_THREAD;
void virtio_net_query_rate_limit(NetClientState *nc, NetRateLimitInfo *info)
    MAIN_THREAD;

/* ---- virtio-net-stats-cmd.c ---- */

/* A command of class VIRTIO_NET_CTRL_STATS; true: done. */
bool virtio_net_stats_command(VirtIONet *net, uint8_t cmd, const uint8_t *data,
                              size_t len, GByteArray *reply) MAIN_THREAD;

/* ---- virtio-net-filter.c ---- */

/* Back to power-on: everything passes. */
void virtio_net_filter_reset(VirtIONet *net) MAIN_THREAD;
/* Makes @net->filter_next the filter in force. */
void virtio_net_filter_publish(VirtIONet *net) MAIN_THREAD;
void virtio_net_filter_free(VirtIONet *net) MAIN_THREAD;
/* Returns when no loop of the device can still see what was published before.
 */
void virtio_net_wait_for_readers(VirtIONet *net) MAIN_THREAD;
/* True when the frame whose first @len bytes (at least 14, best 18) are at
 * @frame is for us. Any thread. */
bool rx_filter_accepts(const RxFilter *filter, const uint8_t *frame,
                       size_t len);

/* ---- virtio-net-rss.c ---- */

extern const PropertyInfo prop_info_ebpf_fds;
/* Decides who steers; takes away, with a warning, the features that nobody can
 * serve. After the pairs have their mapping. On false nothing is held. */
bool virtio_net_rss_prepare(VirtIONet *net, Error **errp) MAIN_THREAD;
/* Gives all of it back; the pairs are stopped, the netdev is still there. */
void virtio_net_rss_release(VirtIONet *net) MAIN_THREAD;
/* The NIC has a netdev again: gives it the program and what is in force. With
 * ebpf-rss-fds, too, it is a program that the netdev loads: those files went
 * with the one before. False: it cannot have it. */
bool virtio_net_rss_rejoin(VirtIONet *net, Error **errp) MAIN_THREAD;
/* The netdev steers by its own means again; what is hashed stays. */
void virtio_net_rss_auto(VirtIONet *net) MAIN_THREAD;
/* Pairs share subqueues in another way than before. */
void virtio_net_rss_rebound(VirtIONet *net) MAIN_THREAD;
/* Device reset: no steering, no hashes, no key. */
void virtio_net_rss_reset(VirtIONet *net) MAIN_THREAD;
/* VIRTIO_NET_CTRL_MQ_RSS_CONFIG and _HASH_CONFIG; true: done. */
bool virtio_net_rss_command(VirtIONet *net, const uint8_t *data, size_t len)
    MAIN_THREAD;
bool virtio_net_hash_command(VirtIONet *net, const uint8_t *data, size_t len)
    MAIN_THREAD;
/* As NetClientInfo says. */
bool virtio_net_query_rss(NetClientState *nc, NetRssInfo *info) MAIN_THREAD;

/* ---- virtio-net-rss-rx.c ---- */

/* Writes hash and report type into the header of the frame in @iov; @len bytes
 * with the header. */
void virtio_net_rss_report(VirtIONetPair *pair, const struct iovec *iov,
                           unsigned n, size_t len) PAIR_OWNER(pair);
/* True when the frame, @len bytes with the header, is another pair's. The pair
 * has an inbox. */
bool virtio_net_rss_elsewhere(VirtIONetPair *pair, const struct iovec *iov,
                              unsigned n, size_t len) PAIR_OWNER(pair);
/* Hands it over, if it is; true: it is gone, moved or lost. */
bool virtio_net_rss_hand_over(VirtIONetPair *pair, const uint8_t *data,
                              size_t len) PAIR_OWNER(pair);
RssInbox *rss_inbox_new(void);
void rss_inbox_free(RssInbox *inbox); /* NULL is allowed */
/* The pair is one where frames go, or, with all in its inbox dropped, is not.
 * It is stopped when it gets @on false. No inbox: nothing is done. */
void virtio_net_rss_inbox_accept(VirtIONetPair *pair, bool on) MAIN_THREAD;
/* Frames in it. Any thread. */
unsigned virtio_net_rss_inbox_waiting(const VirtIONetPair *pair);
/* From now on, or no more, the pair's loop is told of frames in its inbox. */
void virtio_net_rss_inbox_attend(VirtIONetPair *pair, bool on) PAIR_OWNER(pair);
/* Its first frame, header first, there until the call for the next one; NULL:
 * it is empty. */
const uint8_t *virtio_net_rss_inbox_first(VirtIONetPair *pair, size_t *len)
    PAIR_OWNER(pair);
void virtio_net_rss_inbox_next(VirtIONetPair *pair) PAIR_OWNER(pair);

/* ---- virtio-net-hot.c ---- */

/* As NetClientInfo says. */
void virtio_net_peer_leave(NetClientState *nc) MAIN_THREAD;
bool virtio_net_peer_join(NetClientState *nc, Error **errp) MAIN_THREAD;
void virtio_net_announce(NetClientState *nc) MAIN_THREAD;
/* "VIRTIO_NET_F_CSUM, ...": the names of bits. */
char *virtio_net_feature_list(uint64_t features);
/* The event that says whether there is a device behind the netdev @id. */
void virtio_net_backend_event(VirtIONet *net, const char *id, bool present)
    MAIN_THREAD;

/* ---- virtio-net-move.c ---- */

/* As NetClientInfo says. */
bool virtio_net_set_queue_mapping(NetClientState *nc,
                                  const VirtioNetQueueMappingList *list,
                                  Error **errp) MAIN_THREAD;
/* The event that a pair has another owner; @reason may be NULL. */
void virtio_net_mapping_event(const VirtIONetPair *pair, const char *reason)
    MAIN_THREAD;

/* ---- virtio-net-elastic.c ---- */

/* As NetClientInfo says. */
bool virtio_net_peer_resize(NetClientState *nc, const NetResize *resize,
                            Error **errp) MAIN_THREAD;

/* ---- virtio-net-qmp.c ---- */

extern const VirtIOBitName virtio_net_feature_names[];
/* As VirtIODeviceClass and NetClientInfo say. */
void virtio_net_queue_owner(VirtIODevice *vdev, unsigned index,
                            VirtIOQueueOwner *owner) MAIN_THREAD;
void virtio_net_query_rx_filter(NetClientState *nc, RxFilterInfo *info)
    MAIN_THREAD;
NetQueueOwner virtio_net_owner_shown(PairOwner owner);
void virtio_net_query_queue(NetClientState *nc, unsigned index,
                            NetQueueInfo *info) MAIN_THREAD;
/* A command changed the filter: an event, unless nobody has looked at the
 * filter since the last one. */
void virtio_net_filter_event(VirtIONet *net) MAIN_THREAD;

/* ---- virtio-net-stats.c ---- */

/* An iothread is about to become the owner / has let go of the rings: what the
 * pair does in between is booked on its subqueue. */
void virtio_net_stats_begin(VirtIONetPair *pair) MAIN_THREAD;
void virtio_net_stats_end(VirtIONetPair *pair) MAIN_THREAD;
/* The thread that moves the pair's packets; -1: none, or not known. */
int virtio_net_pair_thread_id(const VirtIONetPair *pair) MAIN_THREAD;
/* All there is about the pair; free with qapi_free(). */
NetQueueStats *virtio_net_pair_stats(const VirtIONetPair *pair) MAIN_THREAD;
/* As NetClientInfo says. */
void virtio_net_query_subqueue(NetClientState *nc, const NetSubqueue *sq,
                               NetSubqueueUse *use) MAIN_THREAD;

#include "hw/net/virtio-net-vhost.h"

#endif
