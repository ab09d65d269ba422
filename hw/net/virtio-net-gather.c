/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Datagrams of one flow that stand behind one another in a transmit burst go
 * to the back-end as one USO frame (property tx-gather): virtio_net_tx ->
 * virtio_net_gather_send -> plan -> net_port_send_burst -> settle.
 *
 * The frame has a virtio-net header and headers of our own, made of the first
 * datagram's, and every payload from where the driver put it. The kernel cuts
 * it where the datagrams ended, so each of them arrives as it was, but for the
 * IPv4 identification where that has no meaning. What could not be restored
 * so, or would be mended on the way, goes by itself:
 *
 *   - a checksum that the driver has computed: right or wrong, it stays
 *   - an IPv4 header whose checksum is wrong; options; fragments; extension
 *     headers; padding behind the datagram
 *   - IPv4 identifications that do not count up, unless the packets must not be
 *     fragmented: then they identify nothing (RFC 6864, 4)
 *
 * The driver may write to its headers meanwhile: what is looked at is a copy.
 *
 * Threads: the pair's owner.
 */
#include "util/osdep.h"

#include <linux/if_ether.h>
#include <netinet/in.h>

#include "hw/net/virtio-net-internal.h"
#include "util/iov.h"

#define VLAN_LEN  4u
#define IP4_LEN   20u
#define IP6_LEN   40u
#define UDP_LEN   8u
#define HEAD_MAX  (ETH_HLEN + VLAN_LEN + IP6_LEN + UDP_LEN)
#define UDP_CHECK 6u /* offset of the checksum */
#define IP_MAX    65535u

/* Datagrams of a frame: UDP_MAX_SEGMENTS of the kernels that allow the fewest.
 */
#define RUN_MAX 64u
/* Bytes of a frame: what an IP header can say and, with the link's header, what
 * kernels take for the largest frame to be cut. */
#define GATHER_MAX 65535u
/* Elements of the frames of a burst; below IOV_MAX, so a frame's are, too. */
#define GATHER_IOV 512u

/* A frame that says to be one datagram, its checksum left to the back-end. */
typedef struct Datagram {
    unsigned l3, l4, len; /* offsets of IP and UDP header; of all headers */
    size_t payload;       /* bytes */
    uint8_t head[HEAD_MAX];
} Datagram;

/* Header and headers of a gathered frame. */
typedef struct OwnHead {
    _Alignas(8) uint8_t bytes[VIRTIO_NET_HDR_MAX + HEAD_MAX];
} OwnHead;

struct TxGather {
    /* pair owner: the burst under way */
    Datagram slot[2];
    Datagram *now, *first; /* the frame looked at; the first one of the run */
    unsigned run;          /* datagrams of the run, 0: there is none */
    size_t run_payload;    /* bytes of all of them */
    size_t run_last;       /* of the last one */
    unsigned n_out, n_own, n_iov;
    IoFrame out[VIRTIO_NET_BURST];
    unsigned span[VIRTIO_NET_BURST]; /* frames of the burst in each of them */
    OwnHead own[VIRTIO_NET_BURST / 2];
    struct iovec iov[GATHER_IOV];
};

G_STATIC_ASSERT(GATHER_IOV <= IOV_MAX);

TxGather *tx_gather_new(void)
{
    return g_new0(TxGather, 1);
}

void tx_gather_free(TxGather *g)
{
    g_free(g);
}

/* ---- sums in ones' complement (RFC 1071) ---- */

static uint16_t fold(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)(sum + (sum >> 16));
}

/* Of an IPv4 header, in memory's byte order as the checksum is; the complement
 * is the checksum of a header that has none yet. */
static uint16_t ip4_sum(const uint8_t *ip)
{
    uint32_t w[IP4_LEN / 4];

    memcpy(w, ip, sizeof(w));
    return fold((uint64_t)w[0] + w[1] + w[2] + w[3] + w[4]);
}

/* What the driver has put into the checksum's place, less the length in it: the
 * same for each datagram of a flow. */
static uint16_t seed_of(const Datagram *d)
{
    uint16_t len = (uint16_t)(UDP_LEN + d->payload);
    uint16_t seed = load_be16(d->head + d->l4 + UDP_CHECK);
    uint16_t rest = fold((uint64_t)seed + (uint16_t)~len);

    return rest == 0xffff ? 0 : rest;
}

/* ---- one frame ---- */

/* IPv4, no options, no fragment, sum and length right. */
static bool is_ip4_udp(const Datagram *d, size_t ip_len)
{
    const uint8_t *ip = d->head + d->l3;

    return ip[0] == 0x45 && load_be16(ip + 2) == ip_len &&
           (load_be16(ip + 6) & ~0x4000) == 0 && ip[9] == IPPROTO_UDP &&
           ip4_sum(ip) == 0xffff;
}

static bool is_ip6_udp(const Datagram *d, size_t ip_len)
{
    const uint8_t *ip = d->head + d->l3;

    return ip[0] >> 4 == 6 && load_be16(ip + 4) == ip_len - IP6_LEN &&
           ip[6] == IPPROTO_UDP;
}

/* The headers make a datagram, and its UDP header is where the driver says.
 * Sets
 * @d->l3. */
static bool is_datagram(Datagram *d)
{
    bool vlan = load_be16(d->head + 12) == ETH_P_8021Q;
    size_t udp_len = UDP_LEN + d->payload, ip_len;
    uint16_t type;

    d->l3 = ETH_HLEN + (vlan ? VLAN_LEN : 0);
    type = load_be16(d->head + d->l3 - 2);
    ip_len = d->l4 - d->l3 + udp_len;
    if (ip_len > IP_MAX || load_be16(d->head + d->l4 + 4) != udp_len) {
        return false;
    }
    if (type == ETH_P_IP) {
        return d->l4 == d->l3 + IP4_LEN && is_ip4_udp(d, ip_len);
    }
    return type == ETH_P_IPV6 && d->l4 == d->l3 + IP6_LEN &&
           is_ip6_udp(d, ip_len);
}

/* Copies what should be the headers of @frame, whose first element is its
 * checked virtio-net header, into @d. False: it is to go by itself. */
static bool read_datagram(const IoFrame *frame, Datagram *d)
{
    const struct virtio_net_hdr *hdr = frame->iov[0].iov_base;
    size_t size;

    if (hdr->flags != VIRTIO_NET_HDR_F_NEEDS_CSUM ||
        hdr->gso_type != VIRTIO_NET_HDR_GSO_NONE ||
        le16toh(hdr->csum_offset) != UDP_CHECK) {
        return false;
    }
    d->l4 = le16toh(hdr->csum_start);
    d->len = d->l4 + UDP_LEN;
    size = iov_size(frame->iov + 1, frame->n_iov - 1);
    if (d->l4 < ETH_HLEN + IP4_LEN || d->len > HEAD_MAX || size <= d->len) {
        return false;
    }
    iov_to_buf(frame->iov + 1, frame->n_iov - 1, 0, d->head, d->len);
    d->payload = size - d->len;
    return true;
}

/* ---- a run of them ---- */

static bool is_ip4(const Datagram *d)
{
    return d->l4 - d->l3 == IP4_LEN;
}

static bool same(const Datagram *a, const Datagram *b, unsigned from,
                 unsigned to)
{
    return memcmp(a->head + from, b->head + from, to - from) == 0;
}

/* Headers that differ in lengths and sums only, and in IPv4 identifications
 * that the kernel would give anyway, or that have no meaning. */
static bool same_flow(const TxGather *g)
{
    const Datagram *a = g->first, *b = g->now;
    unsigned l3 = a->l3;

    if (a->l3 != b->l3) {
        return false;
    }
    if (!is_ip4(a)) {
        return same(a, b, 0, l3 + 4) && same(a, b, l3 + 6, a->l4);
    }
    return same(a, b, 0, l3 + 2) && same(a, b, l3 + 6, l3 + 10) &&
           same(a, b, l3 + 12, a->l4) &&
           ((a->head[l3 + 6] & 0x40) ||
            load_be16(b->head + l3 + 4) ==
                (uint16_t)(load_be16(a->head + l3 + 4) + g->run));
}

/* May the frame looked at go into the run's frame, behind the others? What sets
 * other flows apart comes first. */
static bool run_takes(const TxGather *g)
{
    Datagram *first = g->first, *now = g->now;

    return g->run > 0 && g->run < RUN_MAX && now->l4 == first->l4 &&
           same(first, now, first->l4, first->l4 + 4) && /* ports */
           now->payload <= first->payload && g->run_last == first->payload &&
           first->len + g->run_payload + now->payload <= GATHER_MAX &&
           (g->run > 1 || is_datagram(first)) && is_datagram(now) &&
           same_flow(g) && seed_of(first) == seed_of(now);
}

/* Puts the payload of @frame behind what is in the frame being gathered. */
static void add_payload(TxGather *g, const IoFrame *frame, const Datagram *d)
{
    IoFrame *out = &g->out[g->n_out - 1];
    struct iovec *to = out->iov + out->n_iov;
    int n = iov_slice(to, GATHER_IOV - g->n_iov, frame->iov + 1,
                      frame->n_iov - 1, d->len, d->payload);

    out->n_iov += (unsigned)n;
    g->n_iov += (unsigned)n;
}

/* The last frame of g->out, which is a frame of the burst, @first, becomes one
 * of our own with its payload. */
static void begin_own(TxGather *g, const IoFrame *first)
{
    IoFrame *out = &g->out[g->n_out - 1];
    OwnHead *own = &g->own[g->n_own++];
    size_t hdr_len = first->iov[0].iov_len;

    memcpy(own->bytes, first->iov[0].iov_base, hdr_len);
    memcpy(own->bytes + hdr_len, g->first->head, g->first->len);
    *out = (IoFrame){ .iov = &g->iov[g->n_iov++], .n_iov = 1 };
    out->iov[0] = (struct iovec){ own->bytes, hdr_len + g->first->len };
    add_payload(g, first, g->first);
}

/* Adds @frame, which run_takes(), to the run; the frame of the burst before it
 * is the run's last one. False: no room. */
static bool run_add(TxGather *g, const IoFrame *frame)
{
    unsigned need = frame->n_iov - 1;

    if (g->run == 1) {
        need += frame[-1].n_iov; /* a head and its payload */
    }
    if (need > GATHER_IOV - g->n_iov) {
        return false;
    }
    if (g->run == 1) {
        begin_own(g, frame - 1);
    }
    add_payload(g, frame, g->now);
    g->span[g->n_out - 1]++;
    g->run++;
    g->run_payload += g->now->payload;
    g->run_last = g->now->payload;
    return true;
}

/* The headers of a frame whose datagrams are all there: its lengths, the sums
 * that follow from them, and where to cut. */
static void finish_head(const TxGather *g, uint8_t *bytes, size_t hdr_len)
{
    const Datagram *first = g->first;
    struct virtio_net_hdr *hdr = (struct virtio_net_hdr *)bytes;
    uint8_t *ip = bytes + hdr_len + first->l3;
    uint8_t *udp = bytes + hdr_len + first->l4;
    uint16_t udp_len = (uint16_t)(UDP_LEN + g->run_payload);
    uint16_t sum;

    hdr->gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
    hdr->gso_size = htole16((uint16_t)first->payload);
    hdr->hdr_len = htole16((uint16_t)first->len);
    store_be16(udp + 4, udp_len);
    store_be16(udp + UDP_CHECK, fold((uint64_t)seed_of(first) + udp_len));
    if (is_ip4(first)) {
        store_be16(ip + 2, (uint16_t)(IP4_LEN + udp_len));
        memset(ip + 10, 0, sizeof(sum));
        sum = (uint16_t)~ip4_sum(ip);
        memcpy(ip + 10, &sum, sizeof(sum));
    } else {
        store_be16(ip + 4, udp_len);
    }
}

static void end_run(TxGather *g)
{
    if (g->run > 1) {
        const struct iovec *head = &g->out[g->n_out - 1].iov[0];

        finish_head(g, head->iov_base, head->iov_len - g->first->len);
    }
    g->run = 0;
}

/* The datagram looked at is maybe the first one of a run. */
static void begin_run(TxGather *g)
{
    Datagram *free = g->first;

    g->first = g->now;
    g->now = free;
    g->run = 1;
    g->run_payload = g->run_last = g->first->payload;
}

/* ---- a burst ---- */

static void plan(TxGather *g, const IoFrame *frames, unsigned n)
{
    g->now = &g->slot[0];
    g->first = &g->slot[1];
    g->run = g->n_out = g->n_own = g->n_iov = 0;
    for (unsigned i = 0; i < n; i++) {
        bool datagram = read_datagram(&frames[i], g->now);

        if (datagram && run_takes(g) && run_add(g, &frames[i])) {
            continue;
        }
        end_run(g);
        g->out[g->n_out] = frames[i];
        g->span[g->n_out++] = 1;
        if (datagram) {
            begin_run(g);
        }
    }
    end_run(g);
}

/* What became of a gathered frame became of each of its datagrams. */
static void settle(VirtIONetPair *pair, IoFrame *frames) PAIR_OWNER(pair)
{
    const TxGather *g = pair->gather;
    unsigned f = 0;

    for (unsigned i = 0; i < g->n_out; i++) {
        ssize_t result = g->out[i].result;

        for (unsigned k = 0; k < g->span[i]; k++) {
            frames[f++].result = result;
        }
        if (g->span[i] > 1 && result > 0) {
            stat_add(&pair->stats.tx_gathered, g->span[i] - 1);
        } else if (g->span[i] > 1 && result == -EINVAL) {
            pair->gathers = false; /* a kernel that wants none of it */
        }
    }
}

void virtio_net_gather_send(VirtIONetPair *pair, IoFrame *frames, unsigned n)
{
    plan(pair->gather, frames, n);
    net_port_send_burst(&pair->port, pair->gather->out, pair->gather->n_out);
    settle(pair, frames);
}

/* ---- configuration ---- */

void virtio_net_gather_prepare(VirtIONetPair *pair)
{
    pair->gathers =
        pair->gather && pair->backend && pair->backend->nc->caps.uso;
}

void virtio_net_gather_warn(const VirtIONet *net)
{
    const NetClientState *peer = net->nic.peer;
    unsigned vhost = 0;

    if (!net->conf.tx_gather || !peer) {
        return;
    }
    for (unsigned i = 0; i < net->max_pairs; i++) {
        vhost += net->pair[i].want_vhost;
    }
    if (!peer->caps.uso) {
        warn_report("%s: tx-gather=on has no effect: netdev '%s' takes no USO "
                    "frames",
                    device_label(&net->vdev.dev), peer->name);
    } else if (vhost) {
        warn_report("%s: tx-gather=on has no effect on pairs of vhost-net, "
                    "which are %u of %u",
                    device_label(&net->vdev.dev), vhost, net->max_pairs);
    }
}
