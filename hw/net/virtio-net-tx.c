/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Transmitted packets: loop (kick eventfd, or back-end writable) ->
 * virtio_net_tx -> tx_collect (virtqueue_pop, header check) ->
 * net_port_send_burst -> tx_complete (virtqueue_fill) ...
 * virtqueue_publish, pair_signal.
 *
 * The header goes to the back-end as a checked copy, the payload from where
 * the driver put it. A back-end without room leaves frames in the ring: the
 * ring is the queue.
 *
 * Threads: the pair's owner.
 */
#include "util/osdep.h"

#include <limits.h>
#include <linux/if_ether.h>

#include "hw/net/virtio-net-internal.h"
#include "util/iov.h"

/* Elements for a burst: room for the longest chain behind short ones. */
#define TX_POOL (VIRTQUEUE_MAX_SEGS + 1 + 16 * VIRTIO_NET_BURST)

/* What happens to a chain of the burst. */
typedef enum TxFate {
    TX_SEND,
    TX_BAD_HEADER,
    TX_LINK_DOWN,
} TxFate;

typedef struct TxChain {
    VirtQueueChain chain;
    TxFate fate;
    size_t frame_len; /* bytes after the header */
    union {
        struct virtio_net_hdr_v1 hdr;
        struct virtio_net_hdr_v1_hash hdr_hash; /* as long as it may be */
    };
} TxChain;

struct TxScratch {
    /* pair owner: the burst under way */
    unsigned n_chains, n_frames, n_iov;
    bool flat_used;
    TxChain chain[VIRTIO_NET_BURST];
    IoFrame frame[VIRTIO_NET_BURST]; /* of the chains with TX_SEND, in order */
    struct iovec iov[TX_POOL];
    uint8_t *flat; /* one frame of too many pieces; made when first needed */
};

TxScratch *tx_scratch_new(void)
{
    return g_new0(TxScratch, 1);
}

void tx_scratch_free(TxScratch *tx)
{
    if (tx) {
        g_free(tx->flat);
        g_free(tx);
    }
}

/* ---- the header ---- */

/* The GSO type without its ECN flag, and is it one that was negotiated? */
static bool tx_gso_ok(const VirtIONetPair *pair, uint8_t gso_type)
{
    if ((gso_type & VIRTIO_NET_HDR_GSO_ECN) && !pair->tx_ecn) {
        return false;
    }
    switch (gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_NONE:
        return gso_type == VIRTIO_NET_HDR_GSO_NONE;
    case VIRTIO_NET_HDR_GSO_TCPV4:
        return pair->tx_tso4;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return pair->tx_tso6;
    case VIRTIO_NET_HDR_GSO_UDP:
        return pair->tx_ufo;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return pair->tx_uso;
    default:
        return false;
    }
}

bool virtio_net_tx_check_header(const VirtIONetPair *pair,
                                struct virtio_net_hdr *hdr, size_t frame_len)
{
    size_t start = le16toh(hdr->csum_start);
    size_t offset = le16toh(hdr->csum_offset);

    if (frame_len < ETH_HLEN || frame_len > VIRTIO_NET_FRAME_MAX) {
        return false;
    }
    hdr->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    if (hdr->flags && (!pair->tx_csum || start + offset + 2 > frame_len)) {
        return false;
    }
    if (!tx_gso_ok(pair, hdr->gso_type)) {
        return false;
    }
    if (le16toh(hdr->hdr_len) > frame_len) {
        hdr->hdr_len = htole16(frame_len);
    } else if (le16toh(hdr->hdr_len) < ETH_HLEN) {
        hdr->hdr_len = 0; /* no hint: a tap refuses less */
    }
    return hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE ||
           (hdr->gso_size != 0 && hdr->flags);
}

static TxFate tx_fate(VirtIONetPair *pair, TxChain *c) PAIR_OWNER(pair)
{
    if (!virtio_net_tx_check_header(pair, (struct virtio_net_hdr *)&c->hdr,
                                    c->frame_len)) {
        return TX_BAD_HEADER;
    }
    return __atomic_load_n(&pair->net->link_up, __ATOMIC_RELAXED)
               ? TX_SEND
               : TX_LINK_DOWN;
}

/* ---- collecting a burst ---- */

/*
 * Puts the checked header in the place of the driver's. @iov has the chain's
 * elements behind one that is free; returns where the frame starts, and its
 * elements in *n.
 */
static struct iovec *tx_own_header(TxChain *c, struct iovec *iov,
                                   unsigned hdr_len, unsigned *n)
{
    struct iovec *first = &iov[1];

    if (first->iov_len == hdr_len) {
        *n = c->chain.n_out;
        iov = first;
    } else if (first->iov_len > hdr_len) {
        first->iov_base = (char *)first->iov_base + hdr_len;
        first->iov_len -= hdr_len;
        *n = c->chain.n_out + 1;
    } else {
        /* Overlaps its source, one element behind: it only moves down. */
        *n = 1u + (unsigned)iov_slice(first, VIRTQUEUE_MAX_SEGS, first,
                                      c->chain.n_out, hdr_len, c->frame_len);
    }
    iov[0] = (struct iovec){ &c->hdr, hdr_len };
    return iov;
}

/* The frame's payload in one piece. False: another frame has the buffer. */
static bool tx_flatten(TxScratch *tx, TxChain *c, struct iovec *iov, unsigned n)
{
    if (tx->flat_used) {
        return false;
    }
    if (!tx->flat) {
        tx->flat = g_malloc(VIRTIO_NET_FRAME_MAX);
    }
    tx->flat_used = true;
    iov_to_buf(iov + 1, n - 1, 0, tx->flat, c->frame_len);
    iov[1] = (struct iovec){ tx->flat, c->frame_len };
    return true;
}

/*
 * Makes a frame of @c, whose elements are at @iov + 1, element 0 being free.
 * False: it needs the flat buffer, which another frame has.
 */
static bool tx_add_frame(TxScratch *tx, TxChain *c, struct iovec *iov,
                         unsigned hdr_len)
{
    unsigned n;

    iov = tx_own_header(c, iov, hdr_len, &n);
    if (G_UNLIKELY(n > IOV_MAX)) {
        /* One element too many for a system call: a chain as long as the
         * longest ring, which no driver has a reason to send. */
        if (!tx_flatten(tx, c, iov, n)) {
            return false;
        }
        n = 2;
    }
    tx->frame[tx->n_frames++] = (IoFrame){ .iov = iov, .n_iov = n };
    tx->n_iov = (unsigned)(iov + n - tx->iov);
    return true;
}

/* Takes one chain into the burst. 1: taken; 0: none, or it has to wait for the
 * next burst (*more is true then); -EPROTO. */
static int tx_collect_one(VirtIONetPair *pair, bool *more) PAIR_OWNER(pair)
{
    TxScratch *tx = pair->tx;
    TxChain *c = &tx->chain[tx->n_chains];
    struct iovec *iov = tx->iov + tx->n_iov;
    unsigned room = MIN(TX_POOL - tx->n_iov, VIRTQUEUE_MAX_SEGS + 1u);
    int r;

    if (room < 2) { /* not even a header and one element */
        *more = true;
        return 0;
    }
    r = virtqueue_pop(pair->tx_vq, iov + 1, room - 1, &c->chain);
    if (r <= 0) {
        *more = r == -ENOBUFS;
        return *more ? 0 : r;
    }
    if (c->chain.n_in) {
        /* 5.1.6.2: nothing for us to write in a packet to send */
        pair->tx_vq->fault = "device-writable buffer in a transmit queue";
        return -EPROTO;
    }
    if (c->chain.out_len < pair->hdr_len) {
        pair->tx_vq->fault = "transmit buffer shorter than its header";
        return -EPROTO;
    }
    c->frame_len = c->chain.out_len - pair->hdr_len;
    c->hdr.num_buffers = 0;
    iov_to_buf(iov + 1, c->chain.n_out, 0, &c->hdr, pair->hdr_len);
    c->fate = tx_fate(pair, c);
    if (c->fate == TX_SEND && !tx_add_frame(tx, c, iov, pair->hdr_len)) {
        virtqueue_unpop(pair->tx_vq, 1);
        *more = true;
        return 0;
    }
    tx->n_chains++;
    return 1;
}

/* Lets the chains go back into the ring behind the one that uses up what is
 * left of the limit. */
static bool tx_cut(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    TxScratch *tx = pair->tx;
    int64_t left = pair->limit[1].left[RATE_BYTES];
    unsigned n = 0, frames = 0;

    while (n < tx->n_chains && left > 0) {
        left -= (int64_t)tx->chain[n].frame_len;
        frames += tx->chain[n].fate == TX_SEND;
        n++;
    }
    if (n == tx->n_chains) {
        return false;
    }
    virtqueue_unpop(pair->tx_vq, tx->n_chains - n);
    tx->n_chains = n;
    tx->n_frames = frames;
    return true;
}

/* Fills the burst; 0, or -EPROTO after what came before the broken chain. Sets
 * @more when the ring may hold more. */
static int tx_collect(VirtIONetPair *pair, bool *more) PAIR_OWNER(pair)
{
    TxScratch *tx = pair->tx;
    unsigned most = VIRTIO_NET_BURST;
    int r = 1;

    if (G_UNLIKELY(pair->limit[1].on)) {
        most = (unsigned)CLAMP(pair->limit[1].left[RATE_PACKETS], 1, most);
    }
    tx->n_chains = tx->n_frames = tx->n_iov = 0;
    tx->flat_used = false;
    *more = true;
    while (tx->n_chains < most && r > 0) {
        r = tx_collect_one(pair, more);
    }
    if (G_UNLIKELY(pair->limit[1].on) && tx_cut(pair)) {
        *more = true;
        return 0; /* a broken chain is found again */
    }
    return r < 0 ? r : 0;
}

/* ---- after the back-end ---- */

/* A frame sent with NEEDS_CSUM, as all that are to be segmented are. */
static void tx_count_offloads(PairStats *stats, const TxChain *c)
{
    stat_add(&stats->tx_needs_csum, 1);
    if (c->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE) {
        stat_add(&stats->tx_gso_packets, 1);
        stat_add(&stats->tx_gso_bytes, c->frame_len);
    }
}

/* Counts what became of a chain. @result: its frame's, 0 when it has none. */
static void tx_count(VirtIONetPair *pair, const TxChain *c, ssize_t result)
    PAIR_OWNER(pair)
{
    if (c->fate == TX_BAD_HEADER) {
        stat_add(&pair->stats.tx_bad_header, 1);
    } else if (result <= 0) {
        stat_add(&pair->stats.tx_dropped, 1);
        if (c->fate == TX_LINK_DOWN) {
            stat_add(&pair->stats.tx_link_down, 1);
        }
        if (result == -EBADFD) {
            pair_backend_gone(pair);
        }
    } else {
        stat_add(&pair->stats.tx_packets, 1);
        stat_add(&pair->stats.tx_bytes, c->frame_len);
        if (G_UNLIKELY(c->hdr.flags)) {
            tx_count_offloads(&pair->stats, c);
        }
    }
}

/*
 * Gives the chains back, in their order. From the first frame that found no
 * room, with none behind it that did, all stay in the ring; one that found no
 * room before one that did is lost.
 */
static void tx_complete(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    TxScratch *tx = pair->tx;
    unsigned taken = tx->n_frames; /* frames the back-end is done with */
    unsigned f = 0, i;

    while (taken > 0 && tx->frame[taken - 1].result == 0) {
        taken--;
    }
    for (i = 0; i < tx->n_chains; i++) {
        TxChain *c = &tx->chain[i];

        if (c->fate == TX_SEND && f == taken) {
            break;
        }
        tx_count(pair, c, c->fate == TX_SEND ? tx->frame[f++].result : 0);
        virtqueue_fill(pair->tx_vq, &c->chain, 0);
    }
    stat_add(&pair->stats.tx_bursts[burst_bucket(i)], 1);
    stat_set(&pair->stats.tx_backlog, tx->n_chains - i);
    if (i < tx->n_chains) {
        virtqueue_unpop(pair->tx_vq, tx->n_chains - i);
        stat_add(&pair->stats.tx_again, 1);
        pair->tx_full = true;
    }
}

/* The same under a limit: what was sent is charged. */
static void tx_complete_limited(VirtIONetPair *pair) PAIR_OWNER(pair)
{
    uint64_t packets = pair->stats.tx_packets, bytes = pair->stats.tx_bytes;

    tx_complete(pair);
    virtio_net_limit_charge(pair, 1, pair->stats.tx_packets - packets,
                            pair->stats.tx_bytes - bytes);
}

void virtio_net_tx(VirtIONetPair *pair)
{
    VirtQueue *vq = pair->tx_vq;
    TxScratch *tx = pair->tx;
    bool more;
    int r;

    if (pair->faulted || pair->tx_full || !vq->running) {
        return;
    }
    virtqueue_want_kicks(vq, false);
    if (G_UNLIKELY(pair->limit[1].on) && !virtio_net_limit_ready(pair, 1)) {
        return; /* the ring is the queue */
    }
    r = tx_collect(pair, &more);
    if (G_UNLIKELY(pair->gathers) && tx->n_frames > 1) {
        virtio_net_gather_send(pair, tx->frame, tx->n_frames);
    } else if (tx->n_frames) {
        net_port_send_burst(&pair->port, tx->frame, tx->n_frames);
    }
    if (G_LIKELY(!pair->limit[1].on)) {
        tx_complete(pair);
    } else {
        tx_complete_limited(pair);
    }
    virtqueue_publish(vq);
    pair_signal(pair, 1);
    if (r < 0) {
        pair_fault(pair, vq);
        return;
    }
    if (pair->tx_full) {
        pair_update_backend_watch(pair);
        return;
    }
    if (!more) {
        virtqueue_want_kicks(vq, true);
        /* A frame that came after the last look and before the request. */
        more = !virtqueue_empty(vq);
    }
    if (more) {
        loop_task_schedule(&pair->tx_task);
    }
}
