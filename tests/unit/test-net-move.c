/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queue pairs move between iothreads and vhost-net while numbered frames pass:
 * none is lost, repeated or overtaken, and what fails leaves all as it was.
 *
 * Threads: the test's, which holds the machine lock; iothreads have pairs.
 */
#include "util/osdep.h"

#include "tests/unit/net-move-rig.h"

static void test_traffic(void) MAIN_THREAD
{
    static const char places[] = "v01a";
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    unsigned moves = 0;

    rig_begin(NULL, 0, false);
    rig_check_where("vv");
    for (unsigned k = 0; k < 400; k++) {
        char where[] = { places[g_rand_int_range(rand, 0, 4)],
                         places[g_rand_int_range(rand, 0, 4)], '\0' };

        rig_fill();
        rig_traffic(g_rand_int_range(rand, 1, 4));
        if (g_rand_boolean(rand)) {
            rig_workers_work();
        }
        moves += rig_where(0) != where[0];
        moves += rig_where(1) != where[1];
        rig_moved(where);
        if (k % 4 == 3) {
            rig_settle();
            rig_check_where(where);
        }
    }
    rig_settle();
    g_assert_cmpuint(rig.nic->pair[0].stats.moves +
                         rig.nic->pair[1].stats.moves,
                     >=, moves / 2);
    rig_end();
}

static bool waits_for_buffers(void)
{
    return stat_get(&rig.nic->pair[0].stats.rx_backlog);
}

static bool on_vhost(void)
{
    return rig.nic->pair[0].owner == PAIR_OWNER_VHOST;
}

/* Pair 0 is meant for vhost-net, and has read one of two long frames. */
static void begin_waiting(void) MAIN_THREAD
{
    rig_begin(ON_IO0, 0, false);
    rig_post(0, 2, 256);
    rig_send_in(0, 2, 1000);
    rig_wait_for(waits_for_buffers);
    rig_moved("v-");
    rig_check_where("00");
}

static bool moving(void) MAIN_THREAD
{
    NetQueueInfo info = { 0 };
    bool yes;

    virtio_net_query_queue(&rig.nic->nic, 0, &info);
    yes = info.has_moving_to && info.moving_to == NET_QUEUE_OWNER_VHOST;
    qapi_free_contents(&qapi_type_NetQueueInfo, &info);
    return yes;
}

static void test_waiting(void) MAIN_THREAD
{
    begin_waiting();
    g_assert_true(moving());
    g_assert_cmpuint(rig_users("io0"), ==, 2);
    rig_pause();
    rig_check_where("00");
    rig_send_out(0, 3); /* goes on */
    rig_post(0, 3, 256);
    rig_wait_for(on_vhost);
    g_assert_false(moving());
    g_assert_cmpuint(rig_users("io0"), ==, 1);
    g_assert_cmpuint(rig.nic->pair[0].stats.moves, ==, 1);
    rig_collect_guest(0);
    g_assert_cmpuint(rig.in[0].arrived, ==, 1);
    rig_fill();
    rig_settle();
    rig_moved("0-");
    rig_traffic(3);
    rig_settle();
    rig_end();
}

static void test_waiting_then_not(void) MAIN_THREAD
{
    begin_waiting();
    rig_moved("0-");
    rig_check_where("00");
    g_assert_false(moving());
    rig_moved("v-");
    g_assert_true(moving());
    rig_moved("1-");
    rig_check_where("10");
    g_assert_false(moving());
    rig_fill();
    rig_settle();
    rig_check_where("10");
    rig_end();
}

/* The link, or a stop, comes in between. */
static void test_waiting_and_link(void) MAIN_THREAD
{
    begin_waiting();
    rig.nic->nic.link_down = true;
    virtio_net_update_link(rig.nic);
    rig_check_where("00");
    g_assert_true(moving());
    rig.nic->nic.link_down = false;
    virtio_net_update_link(rig.nic);
    rig_check_where("00");
    virtio_net_pairs_stop(rig.nic);
    rig_check_where("mm");
    virtio_net_pairs_start(rig.nic);
    rig_check_where("00");
    rig_post(0, 3, 256);
    rig_wait_for(on_vhost);
    rig_fill();
    rig_settle();
    /* Down: user space drops, by an iothread of the device's. */
    rig.nic->nic.link_down = true;
    virtio_net_update_link(rig.nic);
    rig_check_where("a0");
    g_assert_true(moving());
    rig.nic->nic.link_down = false;
    virtio_net_update_link(rig.nic);
    rig_check_where("v0");
    rig_end();
}

static void test_undo(void) MAIN_THREAD
{
    rig_begin(ON_IO0, 0, false);
    rig_fill();
    for (unsigned k = 0; k < 5; k++) {
        kern.failing_fd = VHOST_FD + 1;
        rig_traffic(3);
        rig_refused("vv", "pair 1: vhost: queue 3: VHOST_NET_SET_BACKEND");
        rig_traffic(3);
        rig_refused("1v", "pair 1: vhost: queue 3: VHOST_NET_SET_BACKEND");
        rig_refused("av", "pair 1: vhost: queue 3: VHOST_NET_SET_BACKEND");
        rig_settle();
        rig_fill();
        kern.failing_fd = -1;
        rig_moved("v-");
        rig_traffic(3);
        kern.failing_fd = VHOST_FD + 1;
        rig_refused("0v", "pair 1: vhost: queue 3: VHOST_NET_SET_BACKEND");
        rig_check_where("v0");
        rig_settle();
        rig_fill();
        rig_moved("00");
    }
    rig_settle();
    rig_end();
}

static void test_refused(void) MAIN_THREAD
{
    rig_begin(ON_IO0, 0, false);
    kern.bad_fd = VHOST_FD + 1;
    rig_refused("vv", "pair 1: vhost descriptor 1001 is not usable");
    kern.bad_fd = -1;
    rig.nic->pair[1].shared = true;
    rig_refused("1v", "pair 1: sends through queue 1 of netdev 'tap1'");
    rig.nic->pair[1].shared = false;
    kern.features &= ~BIT(VIRTIO_RING_F_EVENT_IDX);
    rig_refused("1v", "cannot do: VIRTIO_RING_F_EVENT_IDX");
    rig_end();

    rig_begin(ON_IO0, BIT(VIRTIO_NET_F_NOTF_COAL), false);
    rig_refused("v-", "pair 0: the driver uses what vhost-net cannot do: "
                      "VIRTIO_NET_F_NOTF_COAL");
    rig_end();

    rig_begin(NULL, 0, true);
    rig_check_where("vv");
    rig_refused("-0", "pair 1: netdev 'tap1' has vhostforce=on");
    rig_end();
}

/* The netdev that insisted on vhost-net is gone: the pair may be mapped. */
static void test_without_netdev(void) MAIN_THREAD
{
    Error *err = NULL;

    rig_begin(NULL, 0, true);
    virtio_net_peer_leave(&rig.nic->nic);
    rig_refused("-v",
                "pair 1: backend 'vhost' needs a netdev: 'net1' has none");
    rig_moved("0-");
    rig_check_where("mm");
    virtio_net_peer_join(&rig.nic->nic, &err);
    g_assert_no_error(err);
    rig_check_where("0v");
    rig_end();
}

static void set_limit(uint64_t packets) MAIN_THREAD
{
    NetRateLimit limit = { .has_packets_per_second = packets != 0,
                           .packets_per_second = packets };
    Error *err = NULL;

    virtio_net_set_rate_limit(&rig.nic->nic, &limit, NULL, &err);
    g_assert_no_error(err);
}

/* A pair that was mapped to vhost under a rate limit, which keeps it: a netdev
 * that comes back finds it so. */
static void test_limited(void) MAIN_THREAD
{
    Error *err = NULL;

    rig_begin(NULL, 0, false);
    set_limit(1000000);
    rig_moved("v-");
    rig_check_where("aa");
    g_assert_true(moving());
    virtio_net_peer_leave(&rig.nic->nic);
    virtio_net_peer_join(&rig.nic->nic, &err);
    g_assert_no_error(err);
    rig_check_where("aa");
    g_assert_true(moving());
    virtio_net_peer_leave(&rig.nic->nic);
    rig.netdev.caps.vhost_force = true;
    g_assert_false(virtio_net_peer_join(&rig.nic->nic, &err));
    g_assert_nonnull(strstr(err->message, "on a netdev with vhostforce=on"));
    g_clear_error(&err);
    rig.netdev.caps.vhost_force = false;
    virtio_net_peer_join(&rig.nic->nic, &err);
    g_assert_no_error(err);
    set_limit(0);
    rig_check_where("vv");
    rig_fill();
    rig_traffic(5);
    rig_settle();
    rig_end();
}

/* What a driver is offered after a pair was mapped to vhost. */
static void test_offer(void) MAIN_THREAD
{
    rig_begin(ON_IO0, 0, false);
    g_assert_true(virtio_get_host_features(&rig.nic->vdev) &
                  BIT(VIRTIO_NET_F_NOTF_COAL));
    rig_moved("v-");
    virtio_set_status(&rig.nic->vdev, 0);
    g_assert_false(virtio_get_host_features(&rig.nic->vdev) &
                   BIT(VIRTIO_NET_F_NOTF_COAL));
    rig_driver_start(0);
    rig_check_where("v0");
    rig_fill();
    rig_traffic(5);
    rig_settle();
    rig_end();
}

/* vhost-net refused a pair at its start; the command tries again. */
static void test_after_refusal(void) MAIN_THREAD
{
    rig_begin(NULL, 0, false);
    rig_moved("0-");
    kern.failing_fd = VHOST_FD;
    rig.nic->pair[0].want_vhost = true;
    virtio_net_pair_restart(&rig.nic->pair[0]);
    rig_check_where("0v");
    g_assert_true(rig.nic->pair[0].failed);
    g_assert_false(moving());
    rig_refused("v-", "pair 0: vhost: queue 1: VHOST_NET_SET_BACKEND");
    g_assert_true(rig.nic->pair[0].failed);
    kern.failing_fd = -1;
    rig_moved("v-");
    rig_check_where("vv");
    rig_fill();
    rig_traffic(5);
    rig_settle();
    rig_end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rig_init();
    g_test_add_func("/net-move/traffic", test_traffic);
    g_test_add_func("/net-move/waiting", test_waiting);
    g_test_add_func("/net-move/waiting/then-not", test_waiting_then_not);
    g_test_add_func("/net-move/waiting/link-and-stop", test_waiting_and_link);
    g_test_add_func("/net-move/undo", test_undo);
    g_test_add_func("/net-move/refused", test_refused);
    g_test_add_func("/net-move/without-netdev", test_without_netdev);
    g_test_add_func("/net-move/limited", test_limited);
    g_test_add_func("/net-move/offer", test_offer);
    g_test_add_func("/net-move/after-refusal", test_after_refusal);
    return g_test_run();
}
