/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Datagrams gathered into one frame (virtio-net-gather.c): which are, which
 * never are, and that the frames that leave are those that came when they are
 * cut as a kernel cuts them.
 *
 * Each case makes frames as a driver would, sends them through the ring, cuts
 * what the back-end got (VIRTIO 1.2, 5.1.6.2: USO) and compares all bytes, sums
 * and lengths included.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include <netinet/in.h>

#include "tests/unit/virtio-net-rig.h"

#define BIT(n) (1ULL << (n))
#define FEATURES                                             \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) | \
     BIT(VIRTIO_NET_F_CSUM))

#define HDR     12u
#define UDP_LEN 8u
#define SPACE   0x4000u /* of guest memory for a frame */
#define LONGEST 16000u
#define MOST    128u /* frames of a case */

static Rig rig;

/* ---- frames as the driver makes them ---- */

/* What a frame is made of. */
typedef struct Made {
    bool v6, vlan, may_fragment, whole_sum;
    uint16_t id, port, tci;
    size_t payload;
    uint8_t seed;
} Made;

typedef struct Bytes {
    uint8_t data[LONGEST];
    size_t len, l3, l4;
} Bytes;

static uint16_t sum(const uint8_t *p, size_t len, uint32_t from)
{
    for (size_t i = 0; i < len; i++) {
        from += i % 2 ? p[i] : p[i] << 8;
        from = (from & 0xffff) + (from >> 16);
    }
    return (uint16_t)from;
}

/* The sum of the pseudo-header for @len bytes of UDP. */
static uint16_t pseudo(const Bytes *b, bool v6, size_t len)
{
    const uint8_t *addresses = b->data + b->l3 + (v6 ? 8 : 12);

    return sum(addresses, v6 ? 32 : 8, (uint32_t)(IPPROTO_UDP + len));
}

static void set_ip_sum(Bytes *b)
{
    store_be16(b->data + b->l3 + 10, 0);
    store_be16(b->data + b->l3 + 10, (uint16_t)~sum(b->data + b->l3, 20, 0));
}

static void make_ip(Bytes *b, const Made *m, size_t udp_len)
{
    uint8_t *ip = b->data + b->l3;

    if (m->v6) {
        ip[0] = 0x60;
        store_be16(ip + 4, (uint16_t)udp_len);
        ip[6] = IPPROTO_UDP;
        ip[7] = 64;
        for (unsigned i = 8; i < 40; i++) {
            ip[i] = (uint8_t)(i * 5);
        }
        return;
    }
    ip[0] = 0x45;
    store_be16(ip + 2, (uint16_t)(20 + udp_len));
    store_be16(ip + 4, m->id);
    store_be16(ip + 6, m->may_fragment ? 0 : 0x4000);
    ip[8] = 64;
    ip[9] = IPPROTO_UDP;
    memcpy(ip + 12, (uint8_t[]){ 192, 0, 2, 1, 192, 0, 2, 2 }, 8);
    set_ip_sum(b);
}

static void make(Bytes *b, const Made *m)
{
    size_t udp_len = UDP_LEN + m->payload;
    uint8_t *udp;

    memset(b->data, 0, 128);
    memset(b->data, 0x52, 6);
    memset(b->data + 6, 0x54, 6);
    b->l3 = m->vlan ? 18 : 14;
    b->l4 = b->l3 + (m->v6 ? 40 : 20);
    b->len = b->l4 + udp_len;
    if (m->vlan) {
        store_be16(b->data + 12, 0x8100);
        store_be16(b->data + 14, m->tci);
    }
    store_be16(b->data + b->l3 - 2, m->v6 ? 0x86dd : 0x0800);
    make_ip(b, m, udp_len);
    udp = b->data + b->l4;
    store_be16(udp, 4000);
    store_be16(udp + 2, m->port);
    store_be16(udp + 4, (uint16_t)udp_len);
    for (size_t i = 0; i < m->payload; i++) {
        udp[UDP_LEN + i] = rig_byte(m->seed, i);
    }
    store_be16(udp + 6, pseudo(b, m->v6, udp_len));
    if (m->whole_sum) {
        store_be16(udp + 6, (uint16_t)~sum(udp, udp_len, 0));
    }
}

/* ---- to the ring ---- */

typedef struct Sent {
    Bytes b;
    bool partial; /* the checksum is left to the host */
} Sent;

static Sent sent[MOST];
static unsigned n_sent;

static void start(bool uso) MAIN_THREAD
{
    rig_init(&rig, FEATURES);
    rig.nc.caps = (NetCaps){ .vnet_hdr = true, .uso = uso };
    rig.net->conf.tx_gather = true;
    virtio_net_pair_prepare(rig.pair);
    g_assert_cmpint(rig.pair->gathers, ==, uso);
    n_sent = 0;
}

/* Queues @b in @pieces buffers; header and frame part where chance has it. */
static void put_pieces(const Bytes *b, bool partial, unsigned pieces)
    MAIN_THREAD
{
    struct virtio_net_hdr_v1 hdr = { .num_buffers = 0 };
    uint64_t gpa = RIG_DATA + n_sent * SPACE;
    size_t left = HDR + b->len;
    int lens[8];

    g_assert_cmpuint(n_sent, <, MOST);
    g_assert_cmpuint(pieces, <=, ARRAY_SIZE(lens));
    if (partial) {
        hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        hdr.csum_start = htole16((uint16_t)b->l4);
        hdr.csum_offset = htole16(6);
        hdr.hdr_len = htole16((uint16_t)(b->l4 + UDP_LEN));
    }
    memcpy(rig_ram + gpa, &hdr, HDR);
    memcpy(rig_ram + gpa + HDR, b->data, b->len);
    for (unsigned i = 0; i < pieces; i++) {
        size_t len = i + 1 < pieces
                         ? 1 + g_random_int_range(0, (int)MIN(left / 2, 90))
                         : left;

        lens[i] = (int)len;
        left -= len;
    }
    rig_add(&rig.tx, lens, pieces, gpa);
    sent[n_sent].b = *b;
    sent[n_sent++].partial = partial;
}

static void put(const Bytes *b) MAIN_THREAD
{
    put_pieces(b, true, 1);
}

static void put_made(const Made *m) MAIN_THREAD
{
    Bytes b;

    make(&b, m);
    put_pieces(&b, !m->whole_sum, 1);
}

static void put_row(Made m, unsigned n) MAIN_THREAD
{
    for (unsigned i = 0; i < n; i++) {
        put_made(&m);
        m.id++;
        m.seed++;
    }
}

static void tx(void) NO_THREAD_SAFETY
{
    virtio_net_tx(rig.pair);
}

/* ---- what the back-end got ---- */

static unsigned checked; /* frames of sent[] that have come */

/* Completes the checksum, as the back-end has to. */
static void complete(Bytes *b)
{
    uint8_t *udp = b->data + b->l4;
    uint16_t value = (uint16_t)~sum(udp, b->len - b->l4, 0);

    store_be16(udp + 6, value ? value : 0xffff);
}

/* @got has to be the next frame that was sent. @id: it is IPv4 and this its
 * identification by the back-end, where that may change. */
static void check_one(Bytes *got, bool partial, bool cut)
{
    Sent *want = &sent[checked];

    g_assert_cmpuint(checked, <, n_sent);
    checked++;
    g_assert_cmpint(partial, ==, want->partial);
    if (cut && got->data[got->l3] >> 4 == 4 &&
        (want->b.data[want->b.l3 + 6] & 0x40)) {
        memcpy(got->data + got->l3 + 4, want->b.data + got->l3 + 4, 2);
        set_ip_sum(got);
    }
    if (partial && want->b.l4) {
        got->l4 = want->b.l4;
        complete(got);
        complete(&want->b);
    }
    g_assert_cmpmem(got->data, got->len, want->b.data, want->b.len);
}

/* Cuts a USO frame as a kernel does. Returns its datagrams. */
static unsigned check_cut(const uint8_t *frame, size_t len,
                          const struct virtio_net_hdr *hdr)
{
    size_t size = le16toh(hdr->gso_size), l4 = le16toh(hdr->csum_start);
    size_t head = l4 + UDP_LEN, l3 = load_be16(frame + 12) == 0x8100 ? 18 : 14;
    bool v6 = frame[l3] >> 4 == 6;
    uint16_t whole = (uint16_t)(len - l4), id = load_be16(frame + l3 + 4);
    unsigned n = 0;

    g_assert_cmpuint(le16toh(hdr->hdr_len), ==, head);
    g_assert_cmpuint(load_be16(frame + l4 + 4), ==, whole);
    g_assert_cmpuint(len - l3, <=, 65535);
    if (!v6) {
        g_assert_cmpuint(load_be16(frame + l3 + 2), ==, len - l3);
        g_assert_cmpuint(sum(frame + l3, 20, 0), ==, 0xffff);
    } else {
        g_assert_cmpuint(load_be16(frame + l3 + 4), ==, whole);
    }
    for (size_t at = head; at < len; at += size, n++) {
        size_t payload = MIN(size, len - at);
        Bytes one = { .l3 = l3, .l4 = l4, .len = head + payload };
        uint16_t udp_len = (uint16_t)(UDP_LEN + payload);
        uint8_t *udp = one.data + l4;

        memcpy(one.data, frame, head);
        memcpy(one.data + head, frame + at, payload);
        store_be16(udp + 4, udp_len);
        store_be16(udp + 6,
                   sum(udp + 6, 2, udp_len + (uint32_t)(uint16_t)~whole));
        if (v6) {
            store_be16(one.data + l3 + 4, udp_len);
        } else {
            store_be16(one.data + l3 + 2, (uint16_t)(20 + udp_len));
            store_be16(one.data + l3 + 4, (uint16_t)(id + n));
            set_ip_sum(&one);
        }
        check_one(&one, true, true);
    }
    g_assert_cmpuint(n, >=, 2);
    g_assert_cmpuint(n, <=, 64);
    return n;
}

/* All that came is all that was sent, in order, in frames of @spans datagrams
 * (up to a 0), or in any when it is NULL. */
static void check_all(const unsigned *spans)
{
    uint64_t gathered = 0;

    checked = 0;
    for (unsigned i = 0; i < rig.out_n; i++) {
        const struct virtio_net_hdr *hdr = (void *)rig.out[i].data;
        unsigned n = 1;

        if (hdr->gso_type == VIRTIO_NET_HDR_GSO_UDP_L4) {
            n = check_cut(rig.out[i].data + HDR, rig.out[i].len - HDR, hdr);
            gathered += n - 1;
        } else {
            Bytes one = { .len = rig.out[i].len - HDR, .l3 = 14 };

            g_assert_cmpuint(hdr->gso_type, ==, 0);
            memcpy(one.data, rig.out[i].data + HDR, one.len);
            check_one(&one, hdr->flags, false);
        }
        if (spans) {
            g_assert_cmpuint(n, ==, *spans);
            spans++;
        }
    }
    if (spans) {
        g_assert_cmpuint(*spans, ==, 0);
    }
    g_assert_cmpuint(checked, ==, n_sent);
    g_assert_cmpuint(rig.pair->stats.tx_gathered, ==, gathered);
}

static void check_sent(const unsigned *spans)
{
    size_t bytes = 0;

    check_all(spans);
    for (unsigned i = 0; i < n_sent; i++) {
        bytes += sent[i].b.len;
    }
    g_assert_cmpuint(rig.pair->stats.tx_packets, ==, n_sent);
    g_assert_cmpuint(rig.pair->stats.tx_bytes, ==, bytes);
    g_assert_cmpuint(rig.tx.v.used->idx, ==, n_sent);
    g_assert_cmpuint(rig.pair->stats.tx_dropped, ==, 0);
}

#define SPANS(...) ((const unsigned[]){ __VA_ARGS__, 0 })

/* ---- what is gathered ---- */

static const Made plain = { .id = 0xfffe, .port = 5000, .payload = 18 };

static void test_row(void) MAIN_THREAD
{
    for (unsigned kind = 0; kind < 8; kind++) {
        Made m = plain;

        m.v6 = kind & 1;
        m.vlan = kind & 2;
        m.may_fragment = kind & 4;
        start(true);
        put_row(m, 20);
        tx();
        check_sent(SPANS(20));
        rig_free(&rig);
    }
}

static void test_last_is_shorter(void) MAIN_THREAD
{
    Made m = plain;

    start(true);
    m.payload = 1000;
    put_row(m, 3);
    m.payload = 999; /* ends the frame */
    put_row(m, 3);
    m.payload = 1;
    put_row(m, 1);
    m.payload = 1000; /* longer: the next frame */
    put_row(m, 2);
    tx();
    check_sent(SPANS(4, 3, 2));
    rig_free(&rig);
}

/* A frame of 64 KiB, and 64 datagrams, are the most. */
static void test_bounds(void) MAIN_THREAD
{
    static const struct {
        bool v6;
        size_t payload;
        unsigned n, spans[4];
    } rows[] = {
        { false, 15900, 9, { 4, 4, 1 } },
        { false, 13098, 6, { 5, 1 } }, /* 42 + 5 * 13098 = 65532 */
        { false, 13099, 6, { 4, 2 } },
        { true, 13094, 6, { 5, 1 } }, /* 62 + 5 * 13094 = 65532 */
        { true, 13095, 6, { 4, 2 } },
        { false, 18, 64, { 64 } },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        Made m = plain;

        m.v6 = rows[i].v6;
        m.payload = rows[i].payload;
        start(true);
        put_row(m, rows[i].n);
        tx();
        check_sent(rows[i].spans);
        rig_free(&rig);
    }
}

/* Chains of many pieces use up the elements of a burst. */
static void test_pieces(void) MAIN_THREAD
{
    Bytes b;

    start(true);
    for (unsigned i = 0; i < 30; i++) {
        Made m = plain;

        m.payload = 1400;
        m.seed = (uint8_t)i;
        make(&b, &m);
        put_pieces(&b, true, 8);
    }
    tx();
    check_sent(SPANS(30));
    rig_free(&rig);
}

/* More elements than there is room for: the rest goes by itself. */
static void test_no_elements(void) MAIN_THREAD NO_THREAD_SAFETY
{
    enum { PIECES = 40, FRAMES = 32 };
    static struct iovec iov[FRAMES][PIECES + 1];
    static struct virtio_net_hdr_v1 hdr;
    IoFrame frames[FRAMES];
    Made m = plain;
    Bytes b;
    unsigned total = 0;

    start(true);
    m.payload = 1400;
    make(&b, &m);
    hdr = (struct virtio_net_hdr_v1){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .csum_start = htole16(34),
        .csum_offset = htole16(6),
    };
    for (unsigned i = 0; i < FRAMES; i++) {
        uint8_t *at = rig_ram + RIG_DATA + i * SPACE;

        memcpy(at, b.data, b.len);
        iov[i][0] = (struct iovec){ &hdr, HDR };
        for (unsigned k = 0; k < PIECES; k++) {
            iov[i][1 + k] =
                (struct iovec){ at + k * 36,
                                k + 1 < PIECES ? 36 : b.len - k * 36 };
        }
        frames[i] = (IoFrame){ .iov = iov[i], .n_iov = PIECES + 1 };
    }
    virtio_net_gather_send(rig.pair, frames, FRAMES);
    for (unsigned i = 0; i < rig.out_n; i++) {
        total += (unsigned)((rig.out[i].len - HDR - 42) / 1400);
    }
    g_assert_cmpuint(total, ==, FRAMES);
    g_assert_cmpuint(rig.out_n, >, 10);
    g_assert_cmpuint(rig.out_n, <, FRAMES);
    for (unsigned i = 0; i < FRAMES; i++) {
        g_assert_cmpint(frames[i].result, >, 0);
    }
    rig_free(&rig);
}

/* Order is kept: another frame ends the run. */
static void test_mixed(void) MAIN_THREAD
{
    Made a = plain, other = plain;

    start(true);
    other.port = 5001;
    put_row(a, 3);
    put_row(other, 2);
    put_row(a, 1);
    put_row(other, 1);
    other.v6 = true;
    put_row(other, 2);
    a.whole_sum = true; /* the driver's own: left alone */
    put_row(a, 2);
    a.whole_sum = false;
    put_row(a, 2);
    tx();
    check_sent(SPANS(3, 2, 1, 1, 2, 1, 1, 2));
    rig_free(&rig);
}

static void test_off(void) MAIN_THREAD
{
    start(false);
    put_row(plain, 3);
    tx();
    check_sent(SPANS(1, 1, 1));
    rig_free(&rig);
}

/* ---- what is not ---- */

/* A pair of datagrams of which the second one is changed at @at; with the
 * IPv4 checksum made right again, except where that is what is wrong. */
typedef struct Change {
    const char *what;
    bool v6, vlan, may_fragment, first, stays;
    int at; /* from the IP header */
    uint8_t mask;
    bool wrong_sum;
} Change;

static const Change changes[] = {
    { .what = "destination address", .at = -14, .mask = 1 },
    { .what = "source address", .at = -3, .mask = 1 },
    { .what = "type", .at = -1, .mask = 1 },
    { .what = "VLAN", .vlan = true, .at = -3, .mask = 1 },
    { .what = "VLAN's priority", .vlan = true, .at = -4, .mask = 0x20 },
    { .what = "two tags", .vlan = true, .at = -2, .mask = 0x89 },
    { .what = "IP version", .at = 0, .mask = 0x20 },
    { .what = "options", .at = 0, .mask = 0x03 },
    { .what = "a header that is too short", .at = 0, .mask = 0x01 },
    { .what = "TOS", .at = 1, .mask = 0x10 },
    { .what = "ECN", .at = 1, .mask = 0x03 },
    { .what = "a length that lies low", .at = 3, .mask = 2 },
    { .what = "a length that lies high", .at = 2, .mask = 0x80 },
    { .what = "don't fragment", .at = 6, .mask = 0x40 },
    { .what = "the reserved flag", .at = 6, .mask = 0x80, .first = true },
    { .what = "a first fragment", .at = 6, .mask = 0x60, .first = true },
    { .what = "a later fragment", .at = 7, .mask = 0x10, .first = true },
    { .what = "TTL", .at = 8, .mask = 0x20 },
    { .what = "TCP", .at = 9, .mask = 0x17 },
    { .what = "IPv4 checksum", .at = 10, .mask = 1, .wrong_sum = true },
    { .what = "the first one's",
      .at = 11,
      .mask = 1,
      .wrong_sum = true,
      .first = true },
    { .what = "source", .at = 15, .mask = 1 },
    { .what = "destination", .at = 19, .mask = 1 },
    { .what = "source port", .at = 21, .mask = 1 },
    { .what = "destination port", .at = 23, .mask = 1 },
    { .what = "UDP length low", .at = 25, .mask = 2 },
    { .what = "UDP length high", .at = 24, .mask = 0xff },
    { .what = "UDP length of the first", .at = 25, .mask = 1, .first = true },
    { .what = "checksum", .at = 27, .mask = 1 },
    { .what = "id, when it may be fragmented",
      .at = 5,
      .mask = 4,
      .may_fragment = true },
    { .what = "id, when it may not", .at = 5, .mask = 4, .stays = true },
    { .what = "IPv6 version", .v6 = true, .at = 0, .mask = 0x20 },
    { .what = "class", .v6 = true, .at = 1, .mask = 0x10 },
    { .what = "flow label", .v6 = true, .at = 3, .mask = 1 },
    { .what = "payload length", .v6 = true, .at = 5, .mask = 2 },
    { .what = "jumbo", .v6 = true, .at = 5, .mask = 26 }, /* 0 */
    { .what = "hop-by-hop options", .v6 = true, .at = 6, .mask = 17 },
    { .what = "fragment header", .v6 = true, .at = 6, .mask = 17 ^ 44 },
    { .what = "the first one's extension",
      .v6 = true,
      .at = 6,
      .mask = 17 ^ 43,
      .first = true },
    { .what = "hop limit", .v6 = true, .at = 7, .mask = 1 },
    { .what = "IPv6 source", .v6 = true, .at = 23, .mask = 1 },
    { .what = "IPv6 destination", .v6 = true, .at = 39, .mask = 0x80 },
    { .what = "payload", .at = 30, .mask = 0xff, .stays = true },
};

static void test_changes(void) MAIN_THREAD
{
    for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
        const Change *c = &changes[i];
        Made m = plain;

        g_test_message("%s", c->what);
        start(true);
        m.v6 = c->v6;
        m.vlan = c->vlan;
        m.may_fragment = c->may_fragment;
        for (unsigned k = 0; k < 2; k++) {
            Bytes b;

            make(&b, &m);
            m.id++;
            if (k == !c->first) {
                b.data[(int)b.l3 + c->at] ^= c->mask;
                if (!c->v6 && !c->wrong_sum && c->at >= 0) {
                    set_ip_sum(&b);
                }
            }
            put(&b);
        }
        tx();
        check_sent(c->stays ? SPANS(2) : SPANS(1, 1));
        rig_free(&rig);
    }
}

/* The virtio-net header says what a frame is; nothing else does. */
static void test_headers(void) MAIN_THREAD
{
    static const struct {
        uint16_t start, offset;
        uint8_t flags;
    } rows[] = {
        { 34, 6, 0 }, { 34, 16, 1 }, { 34, 4, 1 }, { 33, 6, 1 },
        { 35, 6, 1 }, { 14, 6, 1 },  { 0, 6, 1 },  { 38, 6, 1 },
        { 52, 6, 1 }, { 54, 6, 1 },  { 58, 2, 1 }, { 42, 6, 1 },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        Made m = plain;

        start(true);
        m.payload = 100;
        put_row(m, 3);
        for (unsigned k = 1; k < 3; k++) {
            struct virtio_net_hdr_v1 *hdr =
                (void *)(rig_ram + RIG_DATA + k * SPACE);

            hdr->flags = rows[i].flags;
            hdr->csum_start = htole16(rows[i].start);
            hdr->csum_offset = htole16(rows[i].offset);
        }
        tx();
        g_assert_cmpuint(rig.out_n, ==, 3);
        g_assert_cmpuint(rig.pair->stats.tx_gathered, ==, 0);
        for (unsigned k = 0; k < 3; k++) {
            g_assert_cmpmem(rig.out[k].data + HDR, rig.out[k].len - HDR,
                            sent[k].b.data, sent[k].b.len);
        }
        rig_free(&rig);
    }
}

/* Frames cut anywhere, an empty datagram, and padding behind one. */
static void test_lengths(void) MAIN_THREAD
{
    Bytes whole;

    for (unsigned v6 = 0; v6 < 2; v6++) {
        Made m = plain;

        m.v6 = v6;
        make(&whole, &m);
        for (size_t len = whole.l4 + 8; len < whole.len + 4; len++) {
            Bytes b = whole;

            start(true);
            put(&whole);
            memset(b.data + whole.len, 0, 8);
            b.len = len;
            put(&b);
            put(&whole);
            tx();
            check_sent(len == whole.len ? SPANS(3) : SPANS(1, 1, 1));
            rig_free(&rig);
        }
        start(true);
        m.payload = 0;
        put_row(m, 3);
        tx();
        check_sent(SPANS(1, 1, 1));
        rig_free(&rig);
    }
}

/* A checksum that the driver has wrong all along stays wrong, by as much. */
static void test_wrong_seeds(void) MAIN_THREAD
{
    Made m = plain;

    start(true);
    for (unsigned i = 0; i < 4; i++) {
        Bytes b;

        m.payload = i < 3 ? 500 : 77;
        make(&b, &m);
        store_be16(b.data + b.l4 + 6, sum(b.data + b.l4 + 6, 2, 0x1234));
        put(&b);
    }
    tx();
    check_sent(SPANS(4));
    rig_free(&rig);
}

/* ---- what becomes of a gathered frame ---- */

static char some_ring; /* only its address is used */
static const char *verdicts;
static bool scribbles; /* the driver does, once the device has looked */

/* 's' sent, '0' no room, 'e' an error, 'i' one that says: not so */
static bool burst_send(const NetPort *port, IoFrame *frames, unsigned n)
{
    for (unsigned i = 0; scribbles && i < n_sent; i++) {
        memset(rig_ram + RIG_DATA + i * SPACE, 0xff,
               HDR + sent[i].b.l4 + UDP_LEN);
    }
    for (unsigned i = 0; i < n; i++) {
        switch (*verdicts ? *verdicts++ : 's') {
        case 's':
            frames[i].result =
                rig.info.send(port->sq, frames[i].iov, frames[i].n_iov);
            break;
        case '0':
            frames[i].result = 0;
            break;
        case 'e':
            frames[i].result = -EIO;
            break;
        default:
            frames[i].result = -EINVAL;
            break;
        }
    }
    return true;
}

static void start_burst(const char *results) MAIN_THREAD
{
    start(true);
    rig.info.send_burst = burst_send;
    rig.pair->port.ring = (IoRing *)&some_ring;
    verdicts = results;
    scribbles = false;
}

static void put_flows(const unsigned *rows) MAIN_THREAD
{
    Made m = plain;

    for (; *rows; rows++) {
        put_row(m, *rows);
        m.port++;
        m.seed = (uint8_t)(m.seed + 50);
    }
}

/* All of its chains stay in the ring, and go later. */
static void test_no_room(void) MAIN_THREAD
{
    start_burst("s00");
    put_flows(SPANS(3, 4, 2));
    tx();
    g_assert_cmpuint(rig.tx.v.used->idx, ==, 3);
    g_assert_cmpuint(rig.tx.vq.last_avail, ==, 3);
    g_assert_true(rig.pair->tx_full);
    g_assert_cmpuint(rig.pair->stats.tx_again, ==, 1);
    g_assert_cmpuint(rig.pair->stats.tx_packets, ==, 3);
    rig.pair->tx_full = false;
    tx();
    check_sent(SPANS(3, 4, 2));
    rig_free(&rig);
}

/* Overtaken, or refused: all of them are lost, and only they. */
static void test_lost(void) MAIN_THREAD
{
    static const struct {
        const char *results;
        bool gathers;
    } rows[] = { { "s0s", true }, { "ses", true }, { "sis", false } };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        start_burst(rows[i].results);
        put_flows(SPANS(3, 4, 2));
        tx();
        g_assert_cmpuint(rig.tx.v.used->idx, ==, 9);
        g_assert_cmpuint(rig.pair->stats.tx_dropped, ==, 4);
        g_assert_cmpuint(rig.pair->stats.tx_packets, ==, 5);
        g_assert_cmpuint(rig.pair->stats.tx_gathered, ==, 3);
        g_assert_false(rig.pair->tx_full);
        g_assert_cmpuint(rig.out_n, ==, 2);
        g_assert_cmpint(rig.pair->gathers, ==, rows[i].gathers);
        put_row(plain, 2);
        tx();
        g_assert_cmpuint(rig.out_n, ==, rows[i].gathers ? 3 : 4);
        rig_free(&rig);
    }
}

/* What was checked is what is sent, whatever the driver writes meanwhile. */
static void test_scribbles(void) MAIN_THREAD
{
    start_burst("");
    put_row(plain, 5);
    put_row((Made){ .v6 = true, .vlan = true, .payload = 700 }, 5);
    scribbles = true;
    tx();
    check_sent(SPANS(5, 5));
    rig_free(&rig);
}

/* ---- at random ---- */

static Made random_made(GRand *r, Made last)
{
    static const size_t sizes[] = { 1, 18, 18, 18, 700, 1472, 4000, 15000 };

    if (g_rand_int_range(r, 0, 6) == 0) {
        last.port = (uint16_t)(5000 + g_rand_int_range(r, 0, 2));
    }
    if (g_rand_int_range(r, 0, 12) == 0) {
        last.v6 = g_rand_boolean(r);
        last.vlan = g_rand_boolean(r);
        last.may_fragment = g_rand_boolean(r);
    }
    if (g_rand_int_range(r, 0, 8) == 0) {
        last.payload = sizes[g_rand_int_range(r, 0, ARRAY_SIZE(sizes))];
    }
    last.id += g_rand_int_range(r, 0, 9) ? 1 : 2;
    last.whole_sum = g_rand_int_range(r, 0, 30) == 0;
    last.seed = (uint8_t)g_rand_int(r);
    return last;
}

static void spoil(GRand *r, Bytes *b)
{
    switch (g_rand_int_range(r, 0, 40)) {
    case 0:
        b->data[g_rand_int_range(r, 0, (int)b->l4 + 8)] ^=
            (uint8_t)(1u << g_rand_int_range(r, 0, 8));
        break;
    case 1:
        b->len = (size_t)g_rand_int_range(r, (int)b->l4 + 8, (int)b->len + 1);
        break;
    case 2:
        b->data[b->len++] = 0;
        break;
    default:
        break;
    }
}

/* Whatever the driver sends, it arrives as if nothing were gathered. */
static void test_random(void) MAIN_THREAD
{
    GRand *r = g_rand_new_with_seed(20);
    uint64_t gathered = 0;

    for (unsigned round = 0; round < 400; round++) {
        unsigned n = (unsigned)g_rand_int_range(r, 1, (int)RIG_QUEUE + 1);
        Made m = plain;

        start(true);
        for (unsigned i = 0; i < n; i++) {
            Bytes b;

            m = random_made(r, m);
            make(&b, &m);
            spoil(r, &b);
            put_pieces(&b, !m.whole_sum, (unsigned)g_rand_int_range(r, 1, 5));
        }
        tx();
        check_sent(NULL);
        gathered += rig.pair->stats.tx_gathered;
        rig_free(&rig);
    }
    g_assert_cmpuint(gathered, >, 2000);
    g_rand_free(r);
}

/* ---- where it has no effect ---- */

static void test_warnings(void) MAIN_THREAD
{
    if (g_test_subprocess()) {
        start(true);
        rig.net->nic.peer = &rig.nc;
        rig.nc.name = (char *)"n0";
        virtio_net_gather_warn(rig.net); /* nothing to say */
        rig.pair->want_vhost = true;
        virtio_net_gather_warn(rig.net);
        rig.nc.caps.uso = false;
        virtio_net_gather_warn(rig.net);
        rig.net->conf.tx_gather = false;
        virtio_net_gather_warn(rig.net);
        rig.net->nic.peer = NULL;
        rig_free(&rig);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("*no effect on pairs of vhost-net, which are 1 "
                              "of 1\n*no effect: netdev "
                              "'n0' takes no USO frames\n");
    g_test_trap_assert_stderr_unmatched("*tx-gather*tx-gather*tx-gather*");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/gather/row", test_row);
    g_test_add_func("/gather/last-is-shorter", test_last_is_shorter);
    g_test_add_func("/gather/bounds", test_bounds);
    g_test_add_func("/gather/pieces", test_pieces);
    g_test_add_func("/gather/no-elements", test_no_elements);
    g_test_add_func("/gather/mixed", test_mixed);
    g_test_add_func("/gather/off", test_off);
    g_test_add_func("/gather/changes", test_changes);
    g_test_add_func("/gather/headers", test_headers);
    g_test_add_func("/gather/lengths", test_lengths);
    g_test_add_func("/gather/wrong-seeds", test_wrong_seeds);
    g_test_add_func("/gather/no-room", test_no_room);
    g_test_add_func("/gather/lost", test_lost);
    g_test_add_func("/gather/scribbles", test_scribbles);
    g_test_add_func("/gather/random", test_random);
    g_test_add_func("/gather/warnings", test_warnings);
    return g_test_run();
}
