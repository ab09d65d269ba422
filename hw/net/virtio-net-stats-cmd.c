/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Device statistics (text after VIRTIO 1.3, 5.1.6.5 "Device Statistics"): the
 * driver reads the counters that its pairs keep. They count since the device
 * was made; a device reset does not clear them.
 *
 * Offered are the types whose counters cost the datapath nothing: both basic
 * ones, checksums and segmentation of transmitted packets, the control queue.
 * Their counterparts for received packets would need a look at every header
 * that the back-end wrote, and there is no rate limit that the speed types
 * could tell of.
 *
 * Threads: under the machine lock; counters are read while owners count.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"

#define BIT(n) (1ULL << (n))

/* What a ring can be asked for, and what must have been negotiated for it. */
typedef enum StatsRing {
    STATS_RX,
    STATS_TX,
    STATS_CVQ,
} StatsRing;

/* ---- counters of each type, in the order of its layout ---- */

static void put_rx_basic(VirtIONet *net, const VirtIONetPair *pair,
                         uint64_t *out)
{
    const PairStats *s = &pair->stats;

    out[0] = stat_get(&pair->rx_vq->kicks);
    out[1] = stat_get(&s->rx_packets);
    out[2] = stat_get(&s->rx_bytes);
    out[3] = stat_get(&pair->rx_vq->signals);
    out[4] = stat_get(&s->rx_filtered) + stat_get(&s->rx_too_long) +
             stat_get(&s->rx_errors);
    out[5] = 0; /* frames wait for buffers; what overruns is the tap's queue */
}

static void put_tx_basic(VirtIONet *net, const VirtIONetPair *pair,
                         uint64_t *out)
{
    const PairStats *s = &pair->stats;
    uint64_t malformed = stat_get(&s->tx_bad_header);

    out[0] = stat_get(&pair->tx_vq->kicks);
    out[1] = stat_get(&s->tx_packets);
    out[2] = stat_get(&s->tx_bytes);
    out[3] = stat_get(&pair->tx_vq->signals);
    out[4] = malformed + stat_get(&s->tx_dropped);
    out[5] = malformed;
}

static void put_tx_csum(VirtIONet *net, const VirtIONetPair *pair,
                        uint64_t *out)
{
    /* In this order: its owner counts a packet before its kind. */
    uint64_t needs_csum = stat_get(&pair->stats.tx_needs_csum);

    out[0] = stat_get(&pair->stats.tx_packets) - needs_csum;
    out[1] = needs_csum;
}

/* No packet is cut into segments before it leaves us. */
static void put_tx_gso(VirtIONet *net, const VirtIONetPair *pair, uint64_t *out)
{
    out[0] = out[4] = stat_get(&pair->stats.tx_gso_packets);
    out[1] = out[5] = stat_get(&pair->stats.tx_gso_bytes);
    out[2] = out[3] = 0;
}

/* The command that asks is counted, as one that succeeds. */
static void put_cvq(VirtIONet *net, const VirtIONetPair *pair, uint64_t *out)
    MAIN_THREAD
{
    out[0] = net->ctrl_commands;
    out[1] = net->ctrl_ok + 1;
}

#define STATS_COUNTERS_MAX 6u

static const struct NetStatsType {
    unsigned bit; /* in a request; the type in a reply */
    StatsRing ring;
    uint64_t needs_one_of; /* features */
    unsigned n;            /* counters */
    void (*put)(VirtIONet *net, const VirtIONetPair *pair, uint64_t *out);
} stats_types[] = {
    { VIRTIO_NET_STATS_TYPE_REPLY_RX_BASIC, STATS_RX,
      BIT(VIRTIO_NET_F_DEVICE_STATS), 6, put_rx_basic },
    { VIRTIO_NET_STATS_TYPE_REPLY_TX_BASIC, STATS_TX,
      BIT(VIRTIO_NET_F_DEVICE_STATS), 6, put_tx_basic },
    { VIRTIO_NET_STATS_TYPE_REPLY_TX_CSUM, STATS_TX, BIT(VIRTIO_NET_F_CSUM), 2,
      put_tx_csum },
    { VIRTIO_NET_STATS_TYPE_REPLY_TX_GSO, STATS_TX,
      BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
          BIT(VIRTIO_NET_F_HOST_USO),
      6, put_tx_gso },
    { VIRTIO_NET_STATS_TYPE_REPLY_CVQ, STATS_CVQ,
      BIT(VIRTIO_NET_F_DEVICE_STATS), 2, put_cvq },
};

/* ---- commands ---- */

/* The types that @ring (-1: any) has with the negotiated features. */
static uint64_t stats_available(const VirtIONet *net, int ring)
{
    uint64_t types = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(stats_types); i++) {
        const struct NetStatsType *t = &stats_types[i];

        if ((ring < 0 || t->ring == (StatsRing)ring) &&
            (net->vdev.guest_features & t->needs_one_of)) {
            types |= BIT(t->bit);
        }
    }
    return types;
}

static bool stats_query(const VirtIONet *net, size_t len, GByteArray *reply)
{
    uint8_t out[8];

    if (len != 0) {
        return false;
    }
    store_le64(out, stats_available(net, -1));
    g_byte_array_append(reply, out, sizeof(out));
    return true;
}

static void stats_append(VirtIONet *net, const struct NetStatsType *t,
                         unsigned index, GByteArray *reply) MAIN_THREAD
{
    const VirtIONetPair *pair =
        t->ring == STATS_CVQ ? NULL : &net->pair[index / 2];
    uint64_t counters[STATS_COUNTERS_MAX];
    NetStatsHeader hdr = {
        .type = t->bit,
        .vq_index = le16_make(index),
        .size = le16_make(sizeof(hdr) + 8 * t->n),
    };

    t->put(net, pair, counters);
    for (unsigned i = 0; i < t->n; i++) {
        counters[i] = htole64(counters[i]);
    }
    g_byte_array_append(reply, (const uint8_t *)&hdr, sizeof(hdr));
    g_byte_array_append(reply, (const uint8_t *)counters, 8 * t->n);
}

/* One queue of a request. False: there is no such queue, or it has not all of
 * the types asked for. */
static bool stats_get_queue(VirtIONet *net, const NetStatsRequest *request,
                            GByteArray *reply) MAIN_THREAD
{
    unsigned index = le16_get(request->vq_index);
    unsigned rings = 2 * virtio_net_usable_pairs(net);
    uint64_t types = le64_get(request->types);
    StatsRing ring = index == rings ? STATS_CVQ : (StatsRing)(index % 2);

    if (index > rings || (types & ~stats_available(net, ring))) {
        return false;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(stats_types); i++) {
        if (types & BIT(stats_types[i].bit)) {
            stats_append(net, &stats_types[i], index, reply);
        }
    }
    return true;
}

bool virtio_net_stats_command(VirtIONet *net, uint8_t cmd, const uint8_t *data,
                              size_t len, GByteArray *reply)
{
    NetStatsRequest request;

    if (!virtio_has_feature(&net->vdev, VIRTIO_NET_F_DEVICE_STATS)) {
        return false;
    }
    if (cmd == VIRTIO_NET_CTRL_STATS_QUERY) {
        return stats_query(net, len, reply);
    }
    if (cmd != VIRTIO_NET_CTRL_STATS_GET || len == 0 ||
        len % sizeof(request) != 0) {
        return false;
    }
    for (size_t at = 0; at < len; at += sizeof(request)) {
        memcpy(&request, data + at, sizeof(request));
        if (!stats_get_queue(net, &request, reply)) {
            return false;
        }
    }
    return true;
}
