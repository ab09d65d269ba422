/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which offloads a pair lets pass in either direction, by the features that
 * the driver negotiated.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include "tests/unit/virtio-net-rig.h"

#define BIT(n) (1ULL << (n))
#define MODERN BIT(VIRTIO_F_VERSION_1)
#define CSUM   (MODERN | BIT(VIRTIO_NET_F_GUEST_CSUM))
#define TSO4   (CSUM | BIT(VIRTIO_NET_F_GUEST_TSO4))

static Rig rig;

typedef struct RxCase {
    const char *what;
    uint64_t features;
    uint8_t flags, gso_type;
    bool ok;
    uint8_t flags_after;
} RxCase;

static const RxCase rx_cases[] = {
    { "nothing", MODERN, 0, 0, true, 0 },
    { "valid data is told to nobody", MODERN, 2, 0, true, 0 },
    { "unknown flags neither", MODERN, 0xfe, 0, true, 0 },
    { "a partial checksum for nobody", MODERN, 1, 0, false, 1 },
    { "both", MODERN, 3, 0, false, 3 },
    { "valid data", CSUM, 2, 0, true, 2 },
    { "a partial checksum", CSUM, 1, 0, true, 1 },
    { "TSO4", TSO4, 1, 1, true, 1 },
    { "TSO4 not negotiated", CSUM, 1, 1, false, 1 },
    { "TSO6 not negotiated", TSO4, 1, 4, false, 1 },
    { "TSO6", CSUM | BIT(VIRTIO_NET_F_GUEST_TSO6), 1, 4, true, 1 },
    { "UFO not negotiated", TSO4, 1, 3, false, 1 },
    { "UFO", CSUM | BIT(VIRTIO_NET_F_GUEST_UFO), 1, 3, true, 1 },
    { "USO not negotiated", TSO4, 1, 5, false, 1 },
    { "USO of IPv4", CSUM | BIT(VIRTIO_NET_F_GUEST_USO4), 1, 5, true, 1 },
    { "USO of IPv6", CSUM | BIT(VIRTIO_NET_F_GUEST_USO6), 1, 5, true, 1 },
    { "ECN not negotiated", TSO4, 1, 0x81, false, 1 },
    { "ECN", TSO4 | BIT(VIRTIO_NET_F_GUEST_ECN), 1, 0x81, true, 1 },
    { "ECN of nothing", TSO4 | BIT(VIRTIO_NET_F_GUEST_ECN), 1, 0x80, false, 1 },
    { "no such type", ~0ULL, 1, 2, false, 1 },
    { "a type beyond the map", ~0ULL, 1, 32, false, 1 },
    { "the largest type", ~0ULL, 1, 0x7f, false, 1 },
};

/* The header lies in one piece, or in pieces of one byte. */
static void check_rx(const RxCase *c, bool pieces)
{
    struct virtio_net_hdr hdr = { .flags = c->flags, .gso_type = c->gso_type };
    struct iovec iov[sizeof(hdr)];
    unsigned n = pieces ? sizeof(hdr) : 1;

    for (unsigned i = 0; i < n; i++) {
        iov[i] =
            (struct iovec){ (uint8_t *)&hdr + i, pieces ? 1 : sizeof(hdr) };
    }
    g_assert_cmpint(virtio_net_rx_offloads_ok(rig.pair, iov, n), ==, c->ok);
    g_assert_cmpuint(hdr.flags, ==, c->flags_after);
    g_assert_cmpuint(hdr.gso_type, ==, c->gso_type);
}

static void test_rx(void) MAIN_THREAD
{
    rig_init(&rig, MODERN);
    for (unsigned i = 0; i < ARRAY_SIZE(rx_cases); i++) {
        g_test_message("%s", rx_cases[i].what);
        rig.net->vdev.guest_features = rx_cases[i].features;
        virtio_net_offloads_prepare(rig.pair);
        check_rx(&rx_cases[i], false);
        check_rx(&rx_cases[i], true);
    }
    rig_free(&rig);
}

/* Only what has room for the longest frame is called large. */
static void test_rx_window(void) MAIN_THREAD
{
    static const unsigned large[] = {
        VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6,
        VIRTIO_NET_F_GUEST_UFO,  VIRTIO_NET_F_GUEST_USO4,
        VIRTIO_NET_F_GUEST_USO6,
    };

    rig_init(&rig, CSUM);
    g_assert_cmpuint(rig.pair->rx_window, ==, 12 + 18 + 4 + 1500);
    rig.net->conf.host_mtu = 9000;
    virtio_net_offloads_prepare(rig.pair);
    g_assert_cmpuint(rig.pair->rx_window, ==, 12 + 18 + 4 + 9000);
    for (unsigned i = 0; i < ARRAY_SIZE(large); i++) {
        rig.net->vdev.guest_features = CSUM | BIT(large[i]);
        virtio_net_offloads_prepare(rig.pair);
        g_assert_cmpuint(rig.pair->rx_window, ==, VIRTIO_NET_RX_MAX);
    }
    rig_free(&rig);
}

/* The bit from before there was one for each kind. */
static void test_tx_legacy_gso(void) MAIN_THREAD
{
    rig_init(&rig, BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GSO));
    rig.net->nic.peer = &rig.nc;
    virtio_net_offloads_prepare(rig.pair);
    g_assert_true(rig.pair->tx_tso4 && rig.pair->tx_tso6 && rig.pair->tx_ecn);
    g_assert_false(rig.pair->tx_ufo || rig.pair->tx_uso);
    rig.nc.caps.ufo = true;
    virtio_net_offloads_prepare(rig.pair);
    g_assert_true(rig.pair->tx_ufo);
    rig.net->nic.peer = NULL;
    rig_free(&rig);
}

static void test_tx_hints(void)
{
    static const struct {
        uint16_t hdr_len, after;
    } cases[] = { { 0, 0 },   { 1, 0 },   { 13, 0 },    { 14, 14 },
                  { 60, 60 }, { 61, 60 }, { 65535, 60 } };
    VirtIONetPair pair = { .tx_csum = true };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        struct virtio_net_hdr hdr = { .hdr_len = cases[i].hdr_len };

        g_assert_true(virtio_net_tx_check_header(&pair, &hdr, 60));
        g_assert_cmpuint(hdr.hdr_len, ==, cases[i].after);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/virtio-net/offload/5.1.6.4.1/rx", test_rx);
    g_test_add_func("/virtio-net/offload/5.1.6.3/rx-window", test_rx_window);
    g_test_add_func("/virtio-net/offload/5.1.3.2/legacy-gso",
                    test_tx_legacy_gso);
    g_test_add_func("/virtio-net/offload/5.1.6.2/hdr-len", test_tx_hints);
    return g_test_run();
}
