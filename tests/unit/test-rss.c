/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Toeplitz hashes: the standard's vectors, each type of hash, hostile frames.
 */
#include "util/osdep.h"

#include <arpa/inet.h>
#include <linux/virtio_net.h>
#include <sys/mman.h>

#include "net/rss.h"

#define T(name) VIRTIO_NET_RSS_HASH_TYPE_##name
#define R(name) VIRTIO_NET_HASH_REPORT_##name

/* The key and the hashes by which the standard lets implementations be
 * verified. */
static const uint8_t known_key[RSS_KEY_MAX] = {
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
    0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
    0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
    0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static const struct Known {
    int family;
    const char *dst, *src;
    uint16_t dport, sport;
    uint32_t addresses, ports; /* hashes without and with ports */
} known[] = {
    { AF_INET, "161.142.100.80", "66.9.149.187", 1766, 2794, 0x323e8fc2,
      0x51ccc178 },
    { AF_INET, "65.69.140.83", "199.92.111.2", 4739, 14230, 0xd718262a,
      0xc626b0ea },
    { AF_INET, "12.22.207.184", "24.19.198.95", 38024, 12898, 0xd2d0a5de,
      0x5c2b394a },
    { AF_INET, "209.142.163.6", "38.27.205.30", 2217, 48228, 0x82989176,
      0xafc7327f },
    { AF_INET, "202.188.127.2", "153.39.163.191", 1303, 44251, 0x5d1809c5,
      0x10e828a2 },
    { AF_INET6, "3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794,
      0x2cc18cd5, 0x40207d3d },
    { AF_INET6, "ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230,
      0x0f0c461c, 0xdde51bbf },
    { AF_INET6, "fe80::200:f8ff:fe21:67cf",
      "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251, 0x4b61e985,
      0x02d1feef },
};

typedef struct Frame {
    uint8_t bytes[1024];
    unsigned len;
    unsigned next; /* where the protocol of what follows is to be written */
} Frame;

static RssConfig *config_new(uint32_t types)
{
    RssConfig *config = g_new0(RssConfig, 1);

    rss_set_key(config, known_key, sizeof(known_key));
    config->hash_types = types;
    return config;
}

static void put(Frame *f, const void *bytes, unsigned n)
{
    memcpy(f->bytes + f->len, bytes, n);
    f->len += n;
}

static void put16(Frame *f, unsigned value)
{
    uint8_t bytes[2] = { value >> 8, value & 0xff };

    put(f, bytes, 2);
}

static void put_ether(Frame *f, unsigned tags, int family)
{
    static const uint8_t macs[12] = { 2 };

    f->len = 0;
    put(f, macs, sizeof(macs));
    for (unsigned i = 0; i < tags; i++) {
        put16(f, i + 1 < tags ? 0x88a8 : 0x8100);
        put16(f, 7 + i);
    }
    put16(f, family == AF_INET ? 0x0800 : 0x86dd);
}

/* The packet's header; @options: words of IPv4 options. */
static void put_ip(Frame *f, const struct Known *k, unsigned options,
                   unsigned fragment)
{
    uint8_t head[40] = { 0 };

    if (k->family == AF_INET) {
        head[0] = 0x45 + options;
        head[6] = fragment >> 8;
        head[7] = fragment & 0xff;
        inet_pton(AF_INET, k->src, head + 12);
        inet_pton(AF_INET, k->dst, head + 16);
        f->next = f->len + 9;
        put(f, head, 20);
        memset(head, 1, sizeof(head));
        put(f, head, 4 * options);
    } else {
        head[0] = 0x60;
        inet_pton(AF_INET6, k->src, head + 8);
        inet_pton(AF_INET6, k->dst, head + 24);
        f->next = f->len + 6;
        put(f, head, 40);
    }
}

static void put_ports(Frame *f, const struct Known *k, uint8_t protocol)
{
    uint8_t rest[16] = { 0 };

    f->bytes[f->next] = protocol;
    put16(f, k->sport);
    put16(f, k->dport);
    put(f, rest, sizeof(rest));
}

/* An extension header of 8 * (@units + 1) bytes, zero but for @head. */
static void put_extension(Frame *f, uint8_t kind, unsigned units,
                          const uint8_t *head, unsigned n)
{
    unsigned at = f->len;

    f->bytes[f->next] = kind;
    f->next = at;
    memset(f->bytes + at, 0, 8 * (units + 1));
    f->bytes[at + 1] = units;
    if (n) {
        memcpy(f->bytes + at + 2, head, n);
    }
    f->len += 8 * (units + 1);
}

static void expect(const RssConfig *config, const Frame *f, unsigned report,
                   uint32_t value)
{
    RssHash hash = rss_hash(config, f->bytes, f->len);
    struct iovec pieces[1024];
    unsigned n = 0;

    g_assert_cmpuint(hash.report, ==, report);
    g_assert_cmphex(hash.value, ==, value);
    for (unsigned at = 0, step = 1; at < f->len; at += step, step = 1 + n % 7) {
        pieces[n++] =
            (struct iovec){ (void *)(f->bytes + at), MIN(step, f->len - at) };
    }
    hash = rss_hash_iov(config, pieces, n, 0, f->len);
    g_assert_cmpuint(hash.report, ==, report);
    g_assert_cmphex(hash.value, ==, value);
}

static void test_vectors(void)
{
    g_autofree RssConfig *config = config_new(RSS_HASH_TYPES);

    for (unsigned i = 0; i < ARRAY_SIZE(known); i++) {
        const struct Known *k = &known[i];
        bool v4 = k->family == AF_INET;
        Frame f;

        for (unsigned tags = 0; tags <= 2; tags++) {
            put_ether(&f, tags, k->family);
            put_ip(&f, k, v4 ? 3 * tags : 0, 0x4000);
            put_ports(&f, k, 6);
            config->hash_types = RSS_HASH_TYPES;
            expect(config, &f, v4 ? R(TCPv4) : R(TCPv6), k->ports);
            f.bytes[f.next] = 17;
            expect(config, &f, v4 ? R(UDPv4) : R(UDPv6), k->ports);
            config->hash_types &= ~(T(UDPv4) | T(UDPv6));
            expect(config, &f, v4 ? R(IPv4) : R(IPv6), k->addresses);
            config->hash_types = RSS_HASH_TYPES;
            f.bytes[f.next] = 1;
            expect(config, &f, v4 ? R(IPv4) : R(IPv6), k->addresses);
            config->hash_types = T(TCPv4) | T(TCPv6);
            expect(config, &f, R(NONE), 0);
        }
    }
}

static void test_fragments(void)
{
    g_autofree RssConfig *config = config_new(RSS_HASH_TYPES);
    static const unsigned fragments[] = { 0x2000, 0x2005, 0x0005, 0x1fff };
    const struct Known *v6 = &known[5];
    uint8_t head[6] = { 0 };
    Frame f;

    for (unsigned i = 0; i < ARRAY_SIZE(fragments); i++) {
        put_ether(&f, 0, AF_INET);
        put_ip(&f, &known[0], 0, fragments[i]);
        put_ports(&f, &known[0], 6);
        expect(config, &f, R(IPv4), known[0].addresses);

        put_ether(&f, 0, AF_INET6);
        put_ip(&f, v6, 0, 0);
        head[0] = fragments[i] >> 5 & 0xff;
        head[1] = (fragments[i] << 3 & 0xf8) | (fragments[i] >> 13 & 1);
        put_extension(&f, 44, 0, head, sizeof(head));
        put_ports(&f, v6, 17);
        expect(config, &f, R(IPv6_EX), v6->addresses);
    }
    /* A fragment that is the whole packet (RFC 6946). */
    put_ether(&f, 0, AF_INET6);
    put_ip(&f, v6, 0, 0);
    memset(head, 0, sizeof(head));
    put_extension(&f, 44, 0, head, sizeof(head));
    put_ports(&f, v6, 17);
    expect(config, &f, R(UDPv6_EX), v6->ports);
}

/* The packet of @seen, whose home addresses are those of @meant. */
static void put_mobile(Frame *f, const struct Known *seen,
                       const struct Known *meant, uint8_t protocol)
{
    uint8_t option[22] = { 1, 0, 0xc9, 16 }, routing[22] = { 2, 1 };

    put_ether(f, 1, AF_INET6);
    put_ip(f, seen, 0, 0);
    put_extension(f, 0, 0, (const uint8_t[]){ 1, 4 }, 2);
    inet_pton(AF_INET6, meant->dst, routing + 6);
    put_extension(f, 43, 2, routing, sizeof(routing));
    /* PadN without content, the option, padding */
    option[0] = 1;
    inet_pton(AF_INET6, meant->src, option + 4);
    put_extension(f, 60, 2, option, 20);
    put_ports(f, meant, protocol);
}

static void test_extensions(void)
{
    g_autofree RssConfig *config = config_new(RSS_HASH_TYPES);
    const struct Known *seen = &known[6], *meant = &known[5];
    Frame f;

    put_mobile(&f, seen, meant, 6);
    expect(config, &f, R(TCPv6_EX), meant->ports);
    config->hash_types = T(IPv6) | T(TCPv6) | T(UDPv6) | T(IP_EX);
    expect(config, &f, R(IPv6_EX), meant->addresses);
    config->hash_types = T(UDP_EX) | T(IPv6);
    expect(config, &f, R(IPv6), seen->addresses);
    config->hash_types = T(TCP_EX);
    expect(config, &f, R(TCPv6_EX), meant->ports);
    put_mobile(&f, seen, meant, 17);
    expect(config, &f, R(NONE), 0);
    config->hash_types = RSS_HASH_TYPES;
    expect(config, &f, R(UDPv6_EX), meant->ports);

    /* None of the types for headers: as if there were none. */
    config->hash_types = T(IPv6) | T(TCPv6) | T(UDPv6);
    put_mobile(&f, seen, seen, 17);
    expect(config, &f, R(UDPv6), seen->ports);
    put_mobile(&f, seen, seen, 6);
    expect(config, &f, R(TCPv6), seen->ports);
}

/* Headers that only say that others follow. */
static void test_extension_chain(void)
{
    g_autofree RssConfig *config = config_new(RSS_HASH_TYPES);
    static const uint8_t kinds[] = { 0, 43, 60, 135, 51 };
    const struct Known *k = &known[7];
    Frame f;

    for (unsigned n = 1; n <= 12; n++) {
        put_ether(&f, 0, AF_INET6);
        put_ip(&f, k, 0, 0);
        for (unsigned i = 0; i < n; i++) {
            uint8_t kind = kinds[i % ARRAY_SIZE(kinds)];

            put_extension(&f, kind, i % 2, NULL, 0);
            /* An authentication header counts in units of four, less two. */
            if (kind == 51) {
                f.bytes[f.next + 1] = i % 2 ? 2 : 0;
            }
        }
        put_ports(&f, k, 6);
        expect(config, &f, n <= 8 ? R(TCPv6_EX) : R(IPv6_EX),
               n <= 8 ? k->ports : k->addresses);
    }
}

static void test_other_frames(void)
{
    g_autofree RssConfig *config = config_new(RSS_HASH_TYPES);
    Frame f;

    put_ether(&f, 3, AF_INET);
    put_ip(&f, &known[0], 0, 0);
    put_ports(&f, &known[0], 6);
    expect(config, &f, R(NONE), 0);
    put_ether(&f, 0, AF_INET6);
    put_ip(&f, &known[0], 0, 0);
    put_ports(&f, &known[0], 6);
    expect(config, &f, R(NONE), 0);
    put_ether(&f, 0, AF_INET);
    put_ip(&f, &known[0], 0, 0);
    put_ports(&f, &known[0], 6);
    f.bytes[14] = 0x44;
    expect(config, &f, R(NONE), 0);
    f.bytes[14] = 0x55;
    expect(config, &f, R(NONE), 0);
    config->hash_types = 0;
    f.bytes[14] = 0x45;
    expect(config, &f, R(NONE), 0);
}

/* Ends of memory on both sides of a page that cannot be touched. */
static uint8_t *guarded(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *base = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert(base != MAP_FAILED);
    g_assert_cmpint(mprotect(base + page, page, PROT_NONE), ==, 0);
    g_assert_cmpuint(size, <=, page);
    return base + page - size;
}

static void test_truncated(void)
{
    g_autofree RssConfig *config = config_new(RSS_HASH_TYPES);
    uint8_t *end = guarded(0);
    RssHash hash;
    Frame f;

    put_mobile(&f, &known[6], &known[5], 6);
    for (unsigned len = 0; len <= f.len; len++) {
        memcpy(end - len, f.bytes, len);
        hash = rss_hash(config, end - len, len);
        if (len < 18 + 40) {
            g_assert_cmpuint(hash.report, ==, R(NONE));
            g_assert_cmphex(hash.value, ==, 0);
        } else if (len >= f.len - 16) {
            g_assert_cmpuint(hash.report, ==, R(TCPv6_EX));
        } else {
            /* No header, or no ports, behind what can be read. */
            g_assert_cmpuint(hash.report, ==, R(IPv6_EX));
        }
    }
}

static void test_hostile(void)
{
    g_autofree RssConfig *config = config_new(RSS_HASH_TYPES);
    uint8_t *end = guarded(0);
    GRand *rand = g_rand_new_with_seed(4711);
    Frame f;

    for (unsigned round = 0; round < 200000; round++) {
        unsigned len;

        put_mobile(&f, &known[6], &known[5], 6);
        if (round % 3 == 0) {
            put_ether(&f, round % 4, AF_INET);
            put_ip(&f, &known[0], round % 11, 0);
            put_ports(&f, &known[0], 17);
        }
        for (unsigned i = 0; i < 1 + round % 5; i++) {
            f.bytes[12 + g_rand_int_range(rand, 0, 140)] =
                g_rand_int_range(rand, 0, 4) ? g_rand_int(rand) : 0xff;
        }
        len = g_rand_int_range(rand, 0, f.len + 1);
        memcpy(end - len, f.bytes, len);
        config->hash_types = g_rand_int(rand) & RSS_HASH_TYPES;
        g_assert_cmpuint(rss_hash(config, end - len, len).report, <=,
                         R(UDPv6_EX));
    }
    g_rand_free(rand);
}

/* Bit by bit, as the definition has it. */
static uint32_t slow_toeplitz(const uint8_t *key, const uint8_t *in, unsigned n)
{
    uint32_t hash = 0;

    for (unsigned bit = 0; bit < 8 * n; bit++) {
        uint32_t window = 0;

        if (!(in[bit / 8] & 0x80 >> bit % 8)) {
            continue;
        }
        for (unsigned i = bit; i < bit + 32; i++) {
            bool set = i / 8 < RSS_KEY_MAX && key[i / 8] & 0x80 >> i % 8;

            window = window << 1 | set;
        }
        hash ^= window;
    }
    return hash;
}

static void test_keys(void)
{
    g_autofree RssConfig *config = config_new(0);
    GRand *rand = g_rand_new_with_seed(815);
    uint8_t key[RSS_KEY_MAX], in[RSS_INPUT_MAX];

    for (unsigned len = 0; len <= RSS_KEY_MAX; len++) {
        memset(key, 0, sizeof(key));
        for (unsigned i = 0; i < len; i++) {
            key[i] = g_rand_int(rand);
        }
        rss_set_key(config, key, len);
        g_assert_cmpuint(config->key_len, ==, len);
        for (unsigned n = 0; n <= RSS_INPUT_MAX; n++) {
            for (unsigned i = 0; i < sizeof(in); i++) {
                in[i] = g_rand_int(rand);
            }
            g_assert_cmphex(rss_toeplitz(&config->key, in, n), ==,
                            slow_toeplitz(key, in, n));
        }
    }
    g_rand_free(rand);
}

static void test_queue(void)
{
    g_autofree RssConfig *config = config_new(RSS_HASH_TYPES);

    config->mask = 7;
    config->unclassified = 99;
    for (unsigned i = 0; i < RSS_TABLE_MAX; i++) {
        config->queue[i] = 10 + i;
    }
    g_assert_cmpuint(rss_queue(config, (RssHash){ 0, R(NONE) }), ==, 99);
    g_assert_cmpuint(rss_queue(config, (RssHash){ 0xfffffff8, R(IPv4) }), ==,
                     10);
    g_assert_cmpuint(rss_queue(config, (RssHash){ 0xffffffff, R(IPv4) }), ==,
                     17);
    config->mask = 0;
    g_assert_cmpuint(rss_queue(config, (RssHash){ 0xffffffff, R(IPv4) }), ==,
                     10);
    config->mask = RSS_TABLE_MAX - 1;
    g_assert_cmpuint(rss_queue(config, (RssHash){ 0xffffffff, R(IPv4) }), ==,
                     10 + RSS_TABLE_MAX - 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/rss/5.1.6.4.3/vectors-of-the-standard", test_vectors);
    g_test_add_func("/rss/5.1.6.4.3/fragments-go-by-address", test_fragments);
    g_test_add_func("/rss/5.1.6.4.3.4/home-addresses", test_extensions);
    g_test_add_func("/rss/5.1.6.4.3.4/chains-of-headers", test_extension_chain);
    g_test_add_func("/rss/5.1.6.4.3/what-has-no-hash", test_other_frames);
    g_test_add_func("/rss/truncated-anywhere", test_truncated);
    g_test_add_func("/rss/hostile-frames", test_hostile);
    g_test_add_func("/rss/keys-of-every-length", test_keys);
    g_test_add_func("/rss/queue-by-table", test_queue);
    return g_test_run();
}
