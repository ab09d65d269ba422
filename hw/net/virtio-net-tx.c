/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A transmitted packet: loop (kick eventfd, or back-end writable) ->
 * virtio_net_tx -> virtqueue_pop -> tx_send_chain -> back-end's send ->
 * virtqueue_fill ... virtqueue_publish, virtqueue_signal.
 *
 * The header goes to the back-end as a checked copy, the payload from where
 * the driver put it. A back-end without room leaves the frame in the ring:
 * the ring is the queue.
 *
 * Threads: the pair's owner.
 */
#include "util/osdep.h"

#include <limits.h>
#include <linux/if_ether.h>

#include "hw/net/virtio-net-internal.h"
#include "util/iov.h"

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
    }
    return hdr->gso_type == VIRTIO_NET_HDR_GSO_NONE ||
           (hdr->gso_size != 0 && hdr->flags);
}

/*
 * Sends one popped chain, whose @chain->n_out elements are at pair->tx_iov + 1
 * (element 0 is free for the header). 1: done with it (sent, or dropped and
 * counted); 0: the back-end has no room; -EPROTO: shorter than a header.
 */
static int tx_send_chain(VirtIONetPair *pair, const VirtQueueChain *chain)
    PAIR_OWNER(pair)
{
    struct virtio_net_hdr_v1 hdr = { 0 };
    struct iovec *iov = pair->tx_iov;
    g_autofree uint8_t *flat = NULL;
    size_t frame_len;
    ssize_t sent;
    int n;

    if (chain->out_len < pair->hdr_len) {
        return -EPROTO;
    }
    frame_len = chain->out_len - pair->hdr_len;
    iov_to_buf(iov + 1, chain->n_out, 0, &hdr, pair->hdr_len);
    if (!virtio_net_tx_check_header(pair, (struct virtio_net_hdr *)&hdr,
                                    frame_len)) {
        stat_add(&pair->stats.tx_bad_header, 1);
        return 1;
    }
    if (!__atomic_load_n(&pair->net->link_up, __ATOMIC_RELAXED)) {
        stat_add(&pair->stats.tx_dropped, 1);
        return 1;
    }
    /* The slice overlaps its source, one element behind: it only moves down. */
    n = iov_slice(iov + 1, VIRTQUEUE_MAX_SEGS, iov + 1, chain->n_out,
                  pair->hdr_len, frame_len);
    if (n + 1 > IOV_MAX) {
        /* One element too many for a system call: a chain as long as the
         * longest ring, which no driver has a reason to send. */
        flat = g_malloc(frame_len);
        iov_to_buf(iov + 1, n, 0, flat, frame_len);
        iov[1] = (struct iovec){ flat, frame_len };
        n = 1;
    }
    iov[0] = (struct iovec){ &hdr, pair->hdr_len };
    sent = pair->backend->nc->info->send(pair->backend, iov, n + 1);
    if (sent == 0) {
        stat_add(&pair->stats.tx_again, 1);
        return 0;
    }
    if (sent < 0) {
        stat_add(&pair->stats.tx_dropped, 1);
        if (sent == -EBADFD) {
            pair_backend_gone(pair);
        }
        return 1;
    }
    stat_add(&pair->stats.tx_packets, 1);
    stat_add(&pair->stats.tx_bytes, frame_len);
    return 1;
}

/* At most one burst; how many chains were taken, or -EPROTO. Sets @more when
 * the ring may hold more and the back-end has room. */
static int tx_burst(VirtIONetPair *pair, bool *more) PAIR_OWNER(pair)
{
    VirtQueueChain chain;
    unsigned done = 0;
    int r = 1;

    while (done < VIRTIO_NET_BURST) {
        r = virtqueue_pop(pair->tx_vq, pair->tx_iov + 1, VIRTQUEUE_MAX_SEGS,
                          &chain);
        if (r <= 0) {
            break;
        }
        if (chain.n_in) {
            /* 5.1.6.2: nothing for us to write in a packet to send */
            pair->tx_vq->fault = "device-writable buffer in a transmit queue";
            r = -EPROTO;
            break;
        }
        r = tx_send_chain(pair, &chain);
        if (r == -EPROTO) {
            pair->tx_vq->fault = "transmit buffer shorter than its header";
            break;
        }
        if (r == 0) {
            virtqueue_unpop(pair->tx_vq, 1);
            pair->tx_full = true;
            break;
        }
        virtqueue_fill(pair->tx_vq, &chain, 0);
        done++;
    }
    *more = r > 0;
    return r < 0 ? r : (int)done;
}

void virtio_net_tx(VirtIONetPair *pair)
{
    VirtQueue *vq = pair->tx_vq;
    bool more = false;
    int r;

    if (pair->faulted || pair->tx_full || !vq->running) {
        return;
    }
    virtqueue_want_kicks(vq, false);
    r = tx_burst(pair, &more);
    virtqueue_publish(vq);
    virtqueue_signal(vq);
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
