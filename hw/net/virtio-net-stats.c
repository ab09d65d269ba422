/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics of queue pairs, and of the netdev's subqueues that they use.
 *
 * A pair counts for itself (PairStats). What of that went through which
 * subqueue follows from when it was started and stopped there: frames move
 * only in between, and the subqueue of a pair changes only while it is stopped.
 * So each subqueue has a sum of the past, and its pairs that run have, with
 * what they had done at their start, the rest.
 *
 * Threads: under the machine lock; the pairs go on.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "util/thread-time.h"

/* ---- subqueues ---- */

/* What the pair has passed through subqueues so far. */
static NetSubqueueStats pair_passed(const VirtIONetPair *pair)
{
    const PairStats *s = &pair->stats;
    /* In this order: its owner counts a drop before its cause. */
    uint64_t link_down = stat_get(&s->tx_link_down);

    return (NetSubqueueStats){
        .rx_packets = stat_get(&s->rx_read),
        .rx_bytes = stat_get(&s->rx_read_bytes),
        .rx_errors = stat_get(&s->rx_errors),
        .tx_packets = stat_get(&s->tx_packets),
        .tx_bytes = stat_get(&s->tx_bytes),
        .tx_dropped = stat_get(&s->tx_dropped) - link_down,
        .tx_again = stat_get(&s->tx_again),
    };
}

/* Adds to @sum what the pair has done since its start. */
static void add_since_start(const VirtIONetPair *pair, NetSubqueueStats *sum)
{
    const NetSubqueueStats *from = &pair->at_start;
    NetSubqueueStats now = pair_passed(pair);

    sum->rx_packets += now.rx_packets - from->rx_packets;
    sum->rx_bytes += now.rx_bytes - from->rx_bytes;
    sum->rx_errors += now.rx_errors - from->rx_errors;
    sum->tx_packets += now.tx_packets - from->tx_packets;
    sum->tx_bytes += now.tx_bytes - from->tx_bytes;
    sum->tx_dropped += now.tx_dropped - from->tx_dropped;
    sum->tx_again += now.tx_again - from->tx_again;
}

void virtio_net_stats_begin(VirtIONetPair *pair)
{
    pair->at_start = pair_passed(pair);
}

void virtio_net_stats_end(VirtIONetPair *pair)
{
    add_since_start(pair, &pair->backend->stats);
}

void virtio_net_query_subqueue(NetClientState *nc, const NetSubqueue *sq,
                               NetSubqueueUse *use)
{
    const VirtIONet *net = container_of(nc, VirtIONet, nic);

    for (unsigned i = 0; i < net->max_pairs; i++) {
        const VirtIONetPair *pair = &net->pair[i];

        if (pair->backend != sq) {
            continue;
        }
        use->pairs += i < net->active_pairs;
        use->outside |= pair->owner == PAIR_OWNER_VHOST;
        if (pair->owner == PAIR_OWNER_IO) {
            add_since_start(pair, &use->since);
        }
    }
}

/* ---- pairs ---- */

int virtio_net_pair_thread_id(const VirtIONetPair *pair)
{
    switch (pair->owner) {
    case PAIR_OWNER_IO:
        return iothread_thread_id(pair->iothread);
    case PAIR_OWNER_VHOST:
        return vhost_net_thread_id(pair->vhost);
    default:
        return -1;
    }
}

static uint64List bursts(const uint64_t *buckets)
{
    uint64List list = { .n = BURST_BUCKETS,
                        .v = g_new(uint64_t, BURST_BUCKETS) };

    for (unsigned i = 0; i < BURST_BUCKETS; i++) {
        list.v[i] = stat_get(&buckets[i]);
    }
    return list;
}

static void add_counters(const VirtIONetPair *pair, NetQueueStats *out)
{
    const PairStats *s = &pair->stats;
    const VirtQueue *rx = pair->rx_vq, *tx = pair->tx_vq;

    *out = (NetQueueStats){
        .rx_packets = stat_get(&s->rx_packets),
        .rx_bytes = stat_get(&s->rx_bytes),
        .rx_filtered = stat_get(&s->rx_filtered),
        .rx_link_down = stat_get(&s->rx_link_down),
        .rx_bad_offload = stat_get(&s->rx_bad_offload),
        .rx_too_long = stat_get(&s->rx_too_long),
        .rx_no_buffer = stat_get(&s->rx_no_buffer),
        .rx_errors = stat_get(&s->rx_errors),
        .rx_rss_moved = stat_get(&s->rx_rss_moved),
        .rx_rss_dropped = stat_get(&s->rx_rss_lost),
        .rx_kicks = stat_get(&rx->kicks),
        .rx_signals = stat_get(&rx->signals),
        .rx_signals_suppressed = stat_get(&rx->signals_suppressed),
        .rx_bursts = bursts(s->rx_bursts),
        .tx_packets = stat_get(&s->tx_packets),
        .tx_bytes = stat_get(&s->tx_bytes),
        .tx_bad_header = stat_get(&s->tx_bad_header),
        .tx_dropped = stat_get(&s->tx_dropped),
        .tx_link_down = stat_get(&s->tx_link_down),
        .tx_again = stat_get(&s->tx_again),
        .tx_gathered = stat_get(&s->tx_gathered),
        .tx_kicks = stat_get(&tx->kicks),
        .tx_signals = stat_get(&tx->signals),
        .tx_signals_suppressed = stat_get(&tx->signals_suppressed),
        .tx_bursts = bursts(s->tx_bursts),
        .moves = stat_get(&s->moves),
    };
}

/* What holds now, as far as it is known. */
static void add_state(const VirtIONetPair *pair, NetQueueStats *out) MAIN_THREAD
{
    const VirtQueue *rx = pair->rx_vq, *tx = pair->tx_vq;
    unsigned n = 0;

    out->has_rx_backlog = pair->owner != PAIR_OWNER_VHOST;
    out->has_tx_backlog = out->has_rx_backlog;
    out->rx_backlog =
        stat_get(&pair->stats.rx_backlog) + virtio_net_rss_inbox_waiting(pair);
    out->tx_backlog = stat_get(&pair->stats.tx_backlog);
    out->has_rx_ring_size = rx->enabled;
    out->rx_ring_size = rx->size;
    out->has_tx_ring_size = tx->enabled;
    out->tx_ring_size = tx->size;
    out->has_rx_ring_occupancy = virtqueue_peek_occupancy(rx, &n);
    out->rx_ring_occupancy = n;
    out->has_tx_ring_occupancy = virtqueue_peek_occupancy(tx, &n);
    out->tx_ring_occupancy = n;
    out->has_thread_cpu_time =
        thread_cpu_time(virtio_net_pair_thread_id(pair), &out->thread_cpu_time);
}

NetQueueStats *virtio_net_pair_stats(const VirtIONetPair *pair)
{
    NetQueueStats *out = g_new0(NetQueueStats, 1);

    add_counters(pair, out);
    add_state(pair, out);
    return out;
}
