/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control queue's commands and the filter they make (VIRTIO 1.2, 5.1.6.5).
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "system/machine-lock.h"

#define BIT(n) (1ULL << (n))
#define ALL                                                                 \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_CTRL_VQ) |                  \
     BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |          \
     BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |        \
     BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VIRTIO_NET_F_MQ) |              \
     BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | BIT(VIRTIO_NET_F_GUEST_CSUM) | \
     BIT(VIRTIO_NET_F_GUEST_TSO4))

#define PAIRS 4u

static VirtIONet *net;

static void start(uint64_t features) MAIN_THREAD
{
    net = g_new0(VirtIONet, 1);
    net->vdev.guest_features = features;
    net->max_pairs = PAIRS;
    net->active_pairs = 1;
    net->pair = g_new0(VirtIONetPair, PAIRS);
    for (unsigned i = 0; i < PAIRS; i++) {
        net->pair[i].net = net;
    }
    virtio_net_filter_reset(net);
}

static void end(void) MAIN_THREAD
{
    virtio_net_filter_free(net);
    g_free(net->pair);
    g_free(net);
}

static bool command(uint8_t cls, uint8_t cmd, const void *data, size_t len)
    MAIN_THREAD
{
    g_autoptr(GByteArray) reply = g_byte_array_new();

    return virtio_net_ctrl_command(net, cls, cmd, data, len, reply) ==
           VIRTIO_NET_OK;
}

/* Wrong commands, each with all features and each alone without its own: all
 * are refused and change nothing. */
static void test_refused(void) MAIN_THREAD
{
    static const struct {
        uint8_t cls, cmd;
        size_t len;
        uint8_t data[16];
    } bad[] = {
        { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0, { 0 } },
        { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 2, { 0 } },
        { VIRTIO_NET_CTRL_RX, 6, 1, { 0 } },
        { VIRTIO_NET_CTRL_RX, 255, 1, { 0 } },
        { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 0, { 0 } },
        { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 4, { 0 } },
        { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 9, { 0 } },
        { VIRTIO_NET_CTRL_MAC,
          VIRTIO_NET_CTRL_MAC_TABLE_SET,
          8,
          { 0xff, 0xff, 0xff, 0xff } },
        { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 13, { 1 } },
        { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 5, { 0 } },
        { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 7, { 0 } },
        { VIRTIO_NET_CTRL_MAC, 2, 6, { 0 } },
        { VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 1, { 1 } },
        { VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 2, { 0, 0x10 } },
        { VIRTIO_NET_CTRL_VLAN, 2, 2, { 1 } },
        { VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, 0, { 0 } },
        { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, { 0 } },
        { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 2, { 5 } },
        { VIRTIO_NET_CTRL_MQ,
          VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET,
          2,
          { 0xff, 0xff } },
        { VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, 1, { 2 } },
        { VIRTIO_NET_CTRL_MQ, 3, 2, { 2 } },
        { VIRTIO_NET_CTRL_GUEST_OFFLOADS,
          VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
          7,
          { 0 } },
        { VIRTIO_NET_CTRL_GUEST_OFFLOADS,
          VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET,
          8,
          { 0, 1 } },
        { 200, 0, 1, { 0 } },
    };

    start(ALL);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        RxFilter before = net->filter_next;

        g_test_message("row %u", i);
        g_assert_false(
            command(bad[i].cls, bad[i].cmd, bad[i].data, bad[i].len));
        g_assert_cmpmem(&before, sizeof(before), &net->filter_next,
                        sizeof(before));
        g_assert_cmpuint(net->active_pairs, ==, 1);
    }
    end();
}

static void test_needs_feature(void) MAIN_THREAD
{
    static const struct {
        uint8_t cls, cmd;
        size_t len;
        unsigned bit;
    } rows[] = {
        { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1,
          VIRTIO_NET_F_CTRL_RX },
        { VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLUNI, 1,
          VIRTIO_NET_F_CTRL_RX_EXTRA },
        { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, 8,
          VIRTIO_NET_F_CTRL_RX },
        { VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 6,
          VIRTIO_NET_F_CTRL_MAC_ADDR },
        { VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 2,
          VIRTIO_NET_F_CTRL_VLAN },
        { VIRTIO_NET_CTRL_GUEST_OFFLOADS, VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, 8,
          VIRTIO_NET_F_CTRL_GUEST_OFFLOADS },
    };
    static const uint8_t zero[8];

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        g_test_message("row %u", i);
        start(ALL);
        g_assert_true(command(rows[i].cls, rows[i].cmd, zero, rows[i].len));
        net->vdev.guest_features &= ~BIT(rows[i].bit);
        g_assert_false(command(rows[i].cls, rows[i].cmd, zero, rows[i].len));
        end();
    }
}

static void test_mq(void) MAIN_THREAD
{
    static const uint8_t sets[] = { 1, 4, 2, 3, 4, 1 };

    start(ALL);
    for (unsigned i = 0; i < ARRAY_SIZE(sets); i++) {
        uint8_t data[2] = { sets[i], 0 };

        g_assert_true(command(VIRTIO_NET_CTRL_MQ,
                              VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, data, 2));
        g_assert_cmpuint(net->active_pairs, ==, sets[i]);
    }
    end();
}

static void test_announce(void) MAIN_THREAD
{
    start(ALL);
    net->announce = true;
    g_assert_true(
        command(VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, "", 0));
    g_assert_false(net->announce);
    end();
}

static void test_offloads(void) MAIN_THREAD
{
    uint8_t data[8];

    start(ALL);
    store_le64(data, BIT(VIRTIO_NET_F_GUEST_CSUM));
    g_assert_true(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS,
                          VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, data, 8));
    g_assert_cmphex(net->guest_offloads, ==, BIT(VIRTIO_NET_F_GUEST_CSUM));
    store_le64(data, 0);
    g_assert_true(command(VIRTIO_NET_CTRL_GUEST_OFFLOADS,
                          VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, data, 8));
    g_assert_cmphex(net->guest_offloads, ==, 0);
    end();
}

static bool passes(const char *head) MAIN_THREAD
{
    uint8_t frame[18] = { 0 };

    for (unsigned i = 0; head[2 * i]; i++) {
        char byte[3] = { head[2 * i], head[2 * i + 1], 0 };

        frame[i] = strtoul(byte, NULL, 16);
    }
    return rx_filter_accepts(net->filter, frame, sizeof(frame));
}

static void flag(uint8_t cmd, uint8_t on) MAIN_THREAD
{
    g_assert_true(command(VIRTIO_NET_CTRL_RX, cmd, &on, 1));
}

#define OURS  "525400000001"
#define OTHER "525400000002"
#define MULTI "01005e000001"
#define BCAST "ffffffffffff"

static void test_filter_modes(void) MAIN_THREAD
{
    start(ALL);
    g_assert_true(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET,
                          "\x52\x54\x00\x00\x00\x01", 6));
    g_assert_true(passes(OTHER) && passes(MULTI) && passes(BCAST));
    flag(VIRTIO_NET_CTRL_RX_PROMISC, 0);
    g_assert_true(passes(OURS) && passes(BCAST));
    g_assert_false(passes(OTHER) || passes(MULTI));
    flag(VIRTIO_NET_CTRL_RX_ALLMULTI, 1);
    g_assert_true(passes(MULTI) && !passes(OTHER));
    flag(VIRTIO_NET_CTRL_RX_ALLUNI, 1);
    g_assert_true(passes(OTHER));
    flag(VIRTIO_NET_CTRL_RX_NOBCAST, 1);
    g_assert_false(passes(BCAST));
    flag(VIRTIO_NET_CTRL_RX_NOMULTI, 1);
    g_assert_false(passes(MULTI));
    flag(VIRTIO_NET_CTRL_RX_NOUNI, 1);
    g_assert_false(passes(OURS) || passes(OTHER));
    flag(VIRTIO_NET_CTRL_RX_PROMISC, 1);
    g_assert_true(passes(OTHER) && passes(MULTI) && passes(BCAST));
    end();
}

static void test_filter_tables(void) MAIN_THREAD
{
    static const uint8_t tables[] = {
        1, 0, 0, 0, 0x52, 0x54, 0,    0, 0, 2, /* unicast */
        1, 0, 0, 0, 0x01, 0,    0x5e, 0, 0, 1, /* multicast */
    };
    g_autofree uint8_t *big = g_malloc0(8 + 6 * 65);

    start(ALL);
    flag(VIRTIO_NET_CTRL_RX_PROMISC, 0);
    g_assert_true(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET,
                          tables, sizeof(tables)));
    g_assert_true(passes(OTHER) && passes(MULTI));
    g_assert_false(passes("525400000003") || passes("01005e000002"));
    /* more than we keep: everything of that kind passes */
    big[4] = 65;
    g_assert_true(command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET,
                          big, 8 + 6 * 65));
    g_assert_true(passes("01005e000002") && !passes(OTHER));
    end();
}

static void test_filter_vlan(void) MAIN_THREAD
{
    const char *vlan5 = OURS "000000000000"
                             "81000005";

    start(ALL);
    net->filter_next.vlan_filter = true;
    virtio_net_filter_publish(net);
    g_assert_false(passes(vlan5));
    g_assert_true(passes(OTHER));
    g_assert_true(
        command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\x05\x00", 2));
    g_assert_true(passes(vlan5));
    g_assert_true(
        command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, "\x05\x00", 2));
    g_assert_false(passes(vlan5));
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/virtio-net/ctrl/5.1.6.5/refused", test_refused);
    g_test_add_func("/virtio-net/ctrl/5.1.6.5/needs-feature",
                    test_needs_feature);
    g_test_add_func("/virtio-net/ctrl/5.1.6.5.5/pairs", test_mq);
    g_test_add_func("/virtio-net/ctrl/5.1.6.5.4/announce", test_announce);
    g_test_add_func("/virtio-net/ctrl/5.1.6.5.8/offloads", test_offloads);
    g_test_add_func("/virtio-net/filter/5.1.6.5.1/modes", test_filter_modes);
    g_test_add_func("/virtio-net/filter/5.1.6.5.2/tables", test_filter_tables);
    g_test_add_func("/virtio-net/filter/5.1.6.5.3/vlan", test_filter_vlan);
    return g_test_run();
}
