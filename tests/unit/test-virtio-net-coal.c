/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts that may wait (VIRTIO 1.2, 5.1.6.5.9) and counters for the driver,
 * with a clock that stands still until the test moves it: the linker gives
 * everybody's clock_now_ns() to this file.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include "tests/unit/virtio-net-rig.h"

#define BIT(n) (1ULL << (n))
#define ALL                                                      \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_CTRL_VQ) |       \
     BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_NOTF_COAL) | \
     BIT(VIRTIO_NET_F_VQ_NOTF_COAL) | BIT(VIRTIO_NET_F_DEVICE_STATS))
#define HDR 12u
#define RX  0
#define TX  1
#define US  1000LL

int64_t __wrap_clock_now_ns(void);

static int64_t now;
static Rig rig;
static GByteArray *reply;

int64_t __wrap_clock_now_ns(void)
{
    return now;
}

static void begin(uint64_t features) MAIN_THREAD
{
    now = 1000000;
    rig_init(&rig, features);
    rig.pair->owner = PAIR_OWNER_IO;
    reply = g_byte_array_new();
}

static void end(void) NO_THREAD_SAFETY
{
    virtio_net_coal_stop(rig.pair);
    rig.pair->owner = PAIR_OWNER_MAIN;
    g_byte_array_unref(reply);
    rig_free(&rig);
}

/* ---- the driver ---- */

typedef struct Command {
    uint8_t cls, cmd;
    const uint8_t *data;
    size_t len;
    bool ok;
} Command;

/* As the pair's owner: the rig's loop has no thread of its own. */
static void run_command(void *opaque) NO_THREAD_SAFETY
{
    Command *c = opaque;

    g_byte_array_set_size(reply, 0);
    c->ok = virtio_net_ctrl_command(rig.net, c->cls, c->cmd, c->data, c->len,
                                    reply) == VIRTIO_NET_OK;
}

static bool command(uint8_t cls, uint8_t cmd, const void *data, size_t len)
{
    Command c = { .cls = cls, .cmd = cmd, .data = data, .len = len };

    event_loop_post(rig.loop, run_command, &c);
    event_loop_turn(rig.loop, 0);
    return c.ok;
}

static bool set_all(unsigned dir, uint32_t packets, uint32_t usecs)
{
    uint8_t data[8];

    store_le32(data, packets);
    store_le32(data + 4, usecs);
    return command(VIRTIO_NET_CTRL_NOTF_COAL,
                   dir ? VIRTIO_NET_CTRL_NOTF_COAL_TX_SET
                       : VIRTIO_NET_CTRL_NOTF_COAL_RX_SET,
                   data, sizeof(data));
}

static bool set_vq(unsigned index, uint32_t packets, uint32_t usecs)
{
    uint8_t data[12] = { index, index >> 8, 0xff, 0xff };

    store_le32(data + 4, packets);
    store_le32(data + 8, usecs);
    return command(VIRTIO_NET_CTRL_NOTF_COAL, VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET,
                   data, sizeof(data));
}

static void check_vq(unsigned index, uint32_t packets, uint32_t usecs)
{
    uint8_t data[4] = { index, index >> 8, 0xab, 0xcd };

    g_assert_true(command(VIRTIO_NET_CTRL_NOTF_COAL,
                          VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET, data,
                          sizeof(data)));
    g_assert_cmpuint(reply->len, ==, 8);
    g_assert_cmpuint(load_le32(reply->data), ==, packets);
    g_assert_cmpuint(load_le32(reply->data + 4), ==, usecs);
}

/* ---- packets ---- */

static void tx(unsigned n) NO_THREAD_SAFETY
{
    static const int len = HDR + 60;

    for (unsigned i = 0; i < n; i++) {
        memset(rig_ram + rig_add(&rig.tx, &len, 1, RIG_DATA), 0, len);
    }
    rig.out_n = 0;
    virtio_net_tx(rig.pair);
}

static void rx(unsigned n, unsigned buffers) NO_THREAD_SAFETY
{
    static const int len = -2048;

    for (unsigned i = 0; i < buffers; i++) {
        rig_add(&rig.rx, &len, 1, RIG_DATA);
    }
    for (unsigned i = 0; i < n; i++) {
        rig_push(&rig, HDR + 60, i);
    }
    virtio_net_rx(rig.pair);
}

/* The time is @ns from now: timers run. */
static void pass(int64_t ns)
{
    now += ns;
    event_loop_turn(rig.loop, 0);
}

/* So many packets are used, so many interrupts were there. */
static void check_tx(unsigned used, uint64_t signals)
{
    g_assert_cmpuint(rig.tx.v.used->idx, ==, used);
    g_assert_cmpuint(rig.tx.vq.signals, ==, signals);
}

static void check_rx(unsigned used, uint64_t signals)
{
    g_assert_cmpuint(rig.rx.v.used->idx, ==, used);
    g_assert_cmpuint(rig.rx.vq.signals, ==, signals);
}

/* ---- moderation ---- */

static void test_off(void) MAIN_THREAD
{
    static const uint32_t off[][2] = {
        { 0, 0 }, { 0, 100 }, { 100, 0 }, { 1, 100 }, { 1, 0 },
    };

    begin(ALL);
    for (unsigned i = 0; i < ARRAY_SIZE(off); i++) {
        g_assert_true(set_all(TX, off[i][0], off[i][1]));
        g_assert_true(set_all(RX, off[i][0], off[i][1]));
        tx(2);
        check_tx(2 * i + 2, i + 1);
        rx(3, 8);
        check_rx(3 * i + 3, i + 1);
    }
    end();
}

static void test_count(void) MAIN_THREAD
{
    begin(ALL);
    g_assert_true(set_all(TX, 4, 100));
    tx(1);
    tx(2);
    check_tx(3, 0);
    tx(1);
    check_tx(4, 1);
    /* a burst that goes past the count ends the wait of all of it */
    tx(3);
    check_tx(7, 1);
    tx(9);
    check_tx(16, 2);
    tx(3);
    check_tx(19, 2);
    /* the other direction has settings of its own */
    rx(1, 8);
    check_rx(1, 1);
    g_assert_true(set_all(RX, 3, 100));
    rx(2, 8);
    check_rx(3, 1);
    rx(1, 0);
    check_rx(4, 2);
    end();
}

static void test_time(void) MAIN_THREAD
{
    begin(ALL);
    g_assert_true(set_all(TX, 100, 50));
    tx(1);
    pass(30 * US);
    tx(5);
    check_tx(6, 0);
    pass(20 * US - 1);
    check_tx(6, 0);
    pass(1);
    check_tx(6, 1); /* since the first, not since the last */
    pass(1000 * US);
    check_tx(6, 1);
    tx(1);
    pass(49 * US);
    check_tx(7, 1);
    pass(US);
    check_tx(7, 2);
    end();
}

/* The count comes first: a timer that is still armed tells nobody of the
 * packets after it too early. */
static void test_count_before_time(void) MAIN_THREAD
{
    begin(ALL);
    g_assert_true(set_all(TX, 4, 50));
    tx(2);
    pass(30 * US);
    tx(2);
    check_tx(4, 1);
    pass(20 * US);
    check_tx(4, 1);
    tx(3); /* at 50 */
    check_tx(7, 1);
    pass(49 * US);
    check_tx(7, 1);
    pass(US);
    check_tx(7, 2);

    tx(4); /* at once, and nothing waits */
    check_tx(11, 3);
    tx(1);
    pass(30 * US);
    tx(3);
    check_tx(15, 4);
    tx(1); /* while the timer of the four is still armed */
    pass(20 * US);
    check_tx(16, 4);
    pass(30 * US);
    check_tx(16, 5);
    end();
}

/* No buffers are left: there is nothing to wait for. */
static void test_starved(void) MAIN_THREAD
{
    begin(ALL);
    g_assert_true(set_all(RX, 100, 0xffffffff));
    rx(3, 4);
    check_rx(3, 0);
    rx(2, 0);
    check_rx(4, 1);
    rx(0, 4);
    check_rx(5, 1);
    end();
}

/* A ring cannot hold the packets that the driver wants to hear of. */
static void test_more_than_ring(void) MAIN_THREAD
{
    begin(ALL);
    g_assert_true(set_all(TX, 0xffffffff, 0xffffffff));
    check_vq(TX, 0xffffffff, 0xffffffff);
    for (unsigned i = 0; i < RIG_SIZE - 1; i++) {
        tx(1);
    }
    check_tx(RIG_SIZE - 1, 0);
    tx(1);
    check_tx(RIG_SIZE, 1);
    end();
}

/* 2.7.7: what the driver does not want to hear, no count and no time tells. */
static void test_suppressed(void) MAIN_THREAD
{
    begin(ALL);
    tx(1);
    check_tx(1, 1); /* the first of a ring always */
    g_assert_true(set_all(TX, 3, 50));
    rig.tx.v.avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    tx(3);
    tx(1);
    pass(50 * US);
    check_tx(5, 1);
    g_assert_cmpuint(rig.tx.vq.signals_suppressed, ==, 2);
    rig.tx.v.avail->flags = 0;
    tx(3);
    check_tx(8, 2);
    end();
}

static void test_change(void) MAIN_THREAD
{
    begin(ALL);
    g_assert_true(set_all(TX, 15, 1000));
    tx(10);
    g_assert_true(set_all(TX, 11, 1000));
    check_tx(10, 0);
    g_assert_true(set_all(TX, 8, 1000)); /* the specification's example */
    check_tx(10, 1);
    tx(2);
    g_assert_true(set_vq(TX, 0, 0));
    check_tx(12, 2);
    /* time: shorter, longer, and over by now */
    g_assert_true(set_vq(TX, 100, 1000));
    tx(1);
    g_assert_true(set_vq(TX, 100, 20));
    pass(19 * US);
    check_tx(13, 2);
    pass(US);
    check_tx(13, 3);
    tx(1);
    g_assert_true(set_vq(TX, 100, 1000));
    pass(999 * US);
    check_tx(14, 3);
    pass(US);
    check_tx(14, 4);
    tx(1);
    pass(500 * US);
    g_assert_true(set_vq(TX, 100, 400));
    check_tx(15, 5);
    end();
}

static void test_stop(void) NO_THREAD_SAFETY
{
    begin(ALL);
    g_assert_true(set_all(TX, 10, 100) && set_all(RX, 10, 100));
    tx(1);
    rx(1, 8);
    check_tx(1, 0);
    check_rx(1, 0);
    virtio_net_coal_stop(rig.pair);
    check_tx(1, 1);
    check_rx(1, 1);
    pass(100 * US);
    check_tx(1, 1);
    /* the next owner has the driver's settings */
    virtio_net_pair_prepare(rig.pair);
    tx(9);
    check_tx(10, 1);
    pass(100 * US);
    check_tx(10, 2);
    end();
}

/* ---- settings ---- */

static void test_settings(void) MAIN_THREAD
{
    begin(ALL);
    check_vq(RX, 0, 0);
    g_assert_true(set_all(RX, 16, 160) && set_all(TX, 32, 320));
    check_vq(RX, 16, 160);
    check_vq(TX, 32, 320);
    g_assert_true(set_vq(RX, 0x01020304, 0xfffefdfc));
    check_vq(RX, 0x01020304, 0xfffefdfc);
    check_vq(TX, 32, 320);
    g_assert_true(set_all(RX, 5, 50)); /* the last one counts */
    check_vq(RX, 5, 50);
    g_assert_true(set_vq(TX, 7, 70));
    rig.pair->owner = PAIR_OWNER_MAIN;
    virtio_net_coal_queue_reset(rig.net, &rig.tx.vq);
    check_vq(TX, 32, 320);
    check_vq(RX, 5, 50);
    virtio_net_coal_reset(rig.net);
    check_vq(RX, 0, 0);
    check_vq(TX, 0, 0);
    virtio_net_coal_queue_reset(rig.net, &rig.tx.vq);
    check_vq(TX, 0, 0);
    end();
}

static void test_bad_commands(void) MAIN_THREAD
{
    static const struct {
        uint8_t cmd;
        size_t len;
        uint8_t data[16];
    } bad[] = {
        { VIRTIO_NET_CTRL_NOTF_COAL_TX_SET, 0, { 0 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_TX_SET, 7, { 9 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_TX_SET, 9, { 9 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_RX_SET, 4, { 9 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_RX_SET, 12, { 9 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET, 0, { 0 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET, 8, { 0 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET, 11, { 0, 0, 0, 0, 9 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET, 16, { 0, 0, 0, 0, 9 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET, 12, { 2, 0, 0, 0, 9 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET, 12, { 0, 1, 0, 0, 9 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET, 12, { 0xff, 0xff, 0, 0, 9 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET, 0, { 0 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET, 3, { 0 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET, 12, { 0 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET, 4, { 2 } },
        { VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET, 4, { 0xff, 0xff } },
        { 4, 8, { 0 } },
        { 255, 12, { 0 } },
    };

    begin(ALL);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        g_test_message("row %u", i);
        g_assert_false(command(VIRTIO_NET_CTRL_NOTF_COAL, bad[i].cmd,
                               bad[i].data, bad[i].len));
        g_assert_cmpuint(reply->len, ==, 0);
        check_vq(RX, 0, 0);
        check_vq(TX, 0, 0);
    }
    rig.tx.vq.enabled = false;
    g_assert_false(set_vq(TX, 9, 9));
    rig.net->vdev.guest_features &= ~BIT(VIRTIO_NET_F_NOTF_COAL);
    g_assert_false(set_all(RX, 9, 9));
    g_assert_true(set_vq(RX, 9, 9));
    rig.net->vdev.guest_features ^=
        BIT(VIRTIO_NET_F_NOTF_COAL) | BIT(VIRTIO_NET_F_VQ_NOTF_COAL);
    g_assert_false(set_vq(RX, 8, 8));
    g_assert_true(set_all(RX, 7, 7));
    end();
}

/* ---- statistics ---- */

static uint64_t stats_types(void)
{
    g_assert_true(
        command(VIRTIO_NET_CTRL_STATS, VIRTIO_NET_CTRL_STATS_QUERY, NULL, 0));
    g_assert_cmpuint(reply->len, ==, 8);
    return load_le64(reply->data);
}

static bool stats_ask(unsigned index, uint64_t types)
{
    uint8_t data[16] = { index, index >> 8, 0xff, 0xff };

    store_le64(data + 8, types);
    return command(VIRTIO_NET_CTRL_STATS, VIRTIO_NET_CTRL_STATS_GET, data,
                   sizeof(data));
}

/* The group at @at of the reply; returns where the next begins. */
static size_t check_group(size_t at, uint8_t type, unsigned index,
                          const uint64_t *want, unsigned n)
{
    const uint8_t *p = reply->data + at;

    g_assert_cmpuint(reply->len, >=, at + 8 + 8 * n);
    g_assert_cmpuint(p[0], ==, type);
    g_assert_cmpuint(load_le16(p + 2), ==, index);
    g_assert_cmpuint(load_le16(p + 6), ==, 8 + 8 * n);
    for (unsigned i = 0; i < n; i++) {
        g_test_message("type %u counter %u", type, i);
        g_assert_cmpuint(load_le64(p + 8 + 8 * i), ==, want[i]);
    }
    return at + 8 + 8 * n;
}

#define TX_TYPES                                                      \
    (VIRTIO_NET_STATS_TYPE_TX_BASIC | VIRTIO_NET_STATS_TYPE_TX_CSUM | \
     VIRTIO_NET_STATS_TYPE_TX_GSO)

static void tx_frame(uint8_t flags, uint8_t gso, unsigned size) NO_THREAD_SAFETY
{
    int len = HDR + size;
    uint8_t *p = rig_ram + rig_add(&rig.tx, &len, 1, RIG_DATA);

    memset(p, 0, len);
    p[0] = flags;
    p[1] = gso;
    store_le16(p + 4, gso ? 500 : 0);
    virtio_net_tx(rig.pair);
}

static void test_stats_types(void) MAIN_THREAD
{
    static const uint64_t basic = VIRTIO_NET_STATS_TYPE_RX_BASIC |
                                  VIRTIO_NET_STATS_TYPE_TX_BASIC |
                                  VIRTIO_NET_STATS_TYPE_CVQ;

    begin(ALL);
    g_assert_cmphex(stats_types(), ==, basic);
    rig.net->vdev.guest_features |= BIT(VIRTIO_NET_F_CSUM);
    g_assert_cmphex(stats_types(), ==, basic | VIRTIO_NET_STATS_TYPE_TX_CSUM);
    rig.net->vdev.guest_features |= BIT(VIRTIO_NET_F_HOST_USO);
    g_assert_cmphex(stats_types(), ==, basic | TX_TYPES);
    rig.net->vdev.guest_features &= ~BIT(VIRTIO_NET_F_DEVICE_STATS);
    g_assert_false(
        command(VIRTIO_NET_CTRL_STATS, VIRTIO_NET_CTRL_STATS_QUERY, NULL, 0));
    g_assert_false(stats_ask(RX, 1));
    end();
}

static void test_stats_values(void) MAIN_THREAD
{
    const uint64_t tx_basic[] = { 0, 4, 60 + 100 + 3000 + 4000, 6, 2, 2 };
    const uint64_t tx_csum[] = { 1, 3 };
    const uint64_t tx_gso[] = { 2, 7000, 0, 0, 2, 7000 };
    const uint64_t rx_basic[] = { 0, 3, 180, 1, 1, 0 };
    const uint64_t cvq[] = { 40, 31 };
    size_t at;

    begin(ALL | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4));
    tx_frame(0, 0, 60);
    tx_frame(VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, 100);
    tx_frame(VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 3000);
    tx_frame(VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 4000);
    tx_frame(VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV6, 60);
    g_assert_true(stats_ask(TX, TX_TYPES));
    check_group(0, 16, TX, (uint64_t[]){ 0, 4, 7160, 5, 1, 1 }, 6);
    tx_frame(0, 77, 60);
    g_assert_true(stats_ask(TX, TX_TYPES));
    at = check_group(0, 16, TX, tx_basic, 6);
    at = check_group(at, 17, TX, tx_csum, 2);
    at = check_group(at, 18, TX, tx_gso, 6);
    g_assert_cmpuint(reply->len, ==, at);

    rx(3, 8);
    stat_add(&rig.pair->stats.rx_filtered, 1);
    g_assert_true(stats_ask(RX, VIRTIO_NET_STATS_TYPE_RX_BASIC));
    g_assert_cmpuint(reply->len, ==, check_group(0, 0, RX, rx_basic, 6));
    rig.net->ctrl_commands = 40;
    rig.net->ctrl_ok = 30;
    g_assert_true(stats_ask(2, VIRTIO_NET_STATS_TYPE_CVQ));
    g_assert_cmpuint(reply->len, ==, check_group(0, 32, 2, cvq, 2));
    end();
}

static void test_stats_bad(void) MAIN_THREAD
{
    static const struct {
        unsigned index;
        uint64_t types;
    } bad[] = {
        { 0, TX_TYPES },
        { 0, 3 }, /* checksums of received packets are not counted */
        { 0, VIRTIO_NET_STATS_TYPE_CVQ },
        { 1, VIRTIO_NET_STATS_TYPE_RX_BASIC },
        { 1, VIRTIO_NET_STATS_TYPE_TX_CSUM }, /* not negotiated */
        { 1, VIRTIO_NET_STATS_TYPE_TX_BASIC | BIT(63) },
        { 2, VIRTIO_NET_STATS_TYPE_TX_BASIC },
        { 3, 0 },
        { 0xffff, VIRTIO_NET_STATS_TYPE_CVQ },
    };
    uint8_t two[32] = { 0 };

    begin(ALL);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        g_test_message("row %u", i);
        g_assert_false(stats_ask(bad[i].index, bad[i].types));
    }
    g_assert_true(stats_ask(1, 0)); /* of nothing, nothing */
    g_assert_cmpuint(reply->len, ==, 0);
    store_le64(two + 8, VIRTIO_NET_STATS_TYPE_RX_BASIC);
    two[16] = 1;
    store_le64(two + 24, VIRTIO_NET_STATS_TYPE_TX_BASIC);
    for (unsigned len = 0; len <= sizeof(two); len++) {
        g_assert_cmpint(
            command(VIRTIO_NET_CTRL_STATS, VIRTIO_NET_CTRL_STATS_GET, two, len),
            ==, len == 16 || len == 32);
    }
    g_assert_cmpuint(reply->len, ==, 2 * (8 + 48));
    two[16] = 9; /* one wrong queue fails the whole */
    g_assert_false(command(VIRTIO_NET_CTRL_STATS, VIRTIO_NET_CTRL_STATS_GET,
                           two, sizeof(two)));
    g_assert_false(
        command(VIRTIO_NET_CTRL_STATS, VIRTIO_NET_CTRL_STATS_QUERY, two, 1));
    g_assert_false(command(VIRTIO_NET_CTRL_STATS, 2, two, 16));
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/virtio-net/coal/5.1.6.5.9/off", test_off);
    g_test_add_func("/virtio-net/coal/5.1.6.5.9/count", test_count);
    g_test_add_func("/virtio-net/coal/5.1.6.5.9/time", test_time);
    g_test_add_func("/virtio-net/coal/5.1.6.5.9/count-before-time",
                    test_count_before_time);
    g_test_add_func("/virtio-net/coal/starved-ring-is-told", test_starved);
    g_test_add_func("/virtio-net/coal/more-than-the-ring", test_more_than_ring);
    g_test_add_func("/virtio-net/coal/2.7.7/suppressed", test_suppressed);
    g_test_add_func("/virtio-net/coal/5.1.6.5.9/settings-change", test_change);
    g_test_add_func("/virtio-net/coal/stop-tells", test_stop);
    g_test_add_func("/virtio-net/coal/5.1.6.5.9/settings", test_settings);
    g_test_add_func("/virtio-net/coal/5.1.6.5.9/refused", test_bad_commands);
    g_test_add_func("/virtio-net/stats/types", test_stats_types);
    g_test_add_func("/virtio-net/stats/values", test_stats_values);
    g_test_add_func("/virtio-net/stats/refused", test_stats_bad);
    return g_test_run();
}
