/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-rx-filter and its event, query-net-queues, query-stats and its
 * schemas, of a virtio network device of two pairs without traffic.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-events.h"
#include "qapi/qapi-visit.h"
#include "system/main-loop.h"

#define BIT(n) (1ULL << (n))
#define CTRL                                                       \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_CTRL_VQ) |         \
     BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | \
     BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR))
#define NIC_PATH "/machine/unattached/device[0]"

static VirtIONet *nic;
static NetClientState netdev;
static unsigned events;

static void sink(const QapiEvent *event, json_object *data)
{
    json_object *path = json_object_object_get(data, "path");
    json_object *name = json_object_object_get(data, "name");

    g_assert_cmpstr(event->name, ==, "NIC_RX_FILTER_CHANGED");
    g_assert_cmpstr(json_object_get_string(path), ==, NIC_PATH);
    g_assert_cmpstr(json_object_get_string(name), ==, "n0");
    events++;
}

static void no_notify(void *opaque)
{
}

static bool no_start(void *opaque, Error **errp)
{
    return true;
}

static unsigned six_vectors(void *opaque)
{
    return 6;
}

static const VirtIOTransportOps transport = { .notify_config = no_notify,
                                              .start = no_start,
                                              .stop = no_notify,
                                              .n_vectors = six_vectors };

static void begin(void) MAIN_THREAD
{
    static const NetClientInfo info = { .type = NET_CLIENT_DRIVER_TAP };
    Error *err = NULL;

    memset(&netdev, 0, sizeof(netdev));
    g_assert_true(net_client_register(&netdev, &info, "net0", 2, &err));
    netdev.queue[1].fd = 77;
    nic = VIRTIO_NET(object_new(TYPE_VIRTIO_NET));
    nic->vdev.dev.id = g_strdup("n0");
    virtio_bind_transport(&nic->vdev, &transport, NULL);
    g_assert_true(object_property_parse(OBJECT(nic), "netdev", "net0", &err));
    g_assert_true(object_property_parse(OBJECT(nic), "mq", "on", &err));
    g_assert_true(
        object_property_parse(OBJECT(nic), "mac", "52:54:00:00:00:09", &err));
    device_realize(&nic->vdev.dev, NULL, &err);
    g_assert_no_error(err);
    qapi_event_set_sink(sink);
    events = 0;
}

static void end(void) MAIN_THREAD
{
    qapi_event_set_sink(NULL);
    device_unrealize(&nic->vdev.dev);
    object_unparent(OBJECT(nic));
    object_unref(OBJECT(nic));
    net_client_unregister(&netdev);
}

/* ---- receive filter ---- */

static RxFilterInfo filter(void) MAIN_THREAD
{
    q_obj_query_rx_filter_arg arg = { .name = NULL };
    RxFilterInfoList list = { 0 };
    RxFilterInfo info;

    g_assert_true(qmp_query_rx_filter(&arg, &list, NULL));
    g_assert_cmpuint(list.n, ==, 1);
    info = list.v[0];
    g_free(list.v);
    g_assert_cmpstr(info.name, ==, "n0");
    return info;
}

static void filter_free(RxFilterInfo *info)
{
    qapi_free_contents(&qapi_type_RxFilterInfo, info);
}

static void command(uint8_t cls, uint8_t cmd, const void *data, size_t len)
    MAIN_THREAD
{
    g_autoptr(GByteArray) reply = g_byte_array_new();

    g_assert_cmpint(virtio_net_ctrl_command(nic, cls, cmd, data, len, reply),
                    ==, VIRTIO_NET_OK);
}

static void mode(uint8_t cmd, uint8_t on) MAIN_THREAD
{
    command(VIRTIO_NET_CTRL_RX, cmd, &on, 1);
}

static void accept(uint64_t features) MAIN_THREAD
{
    virtio_set_status(&nic->vdev, 3);
    virtio_set_guest_features(&nic->vdev, features);
    virtio_set_status(&nic->vdev, 11);
    g_assert_cmphex(nic->vdev.status, ==, 11);
}

static void test_filter_modes(void) MAIN_THREAD
{
    static const struct {
        uint8_t cmd, on;
        RxState multicast, unicast;
        bool promiscuous, broadcast;
    } rows[] = {
        { VIRTIO_NET_CTRL_RX_PROMISC, 0, RX_STATE_NORMAL, RX_STATE_NORMAL,
          false, true },
        { VIRTIO_NET_CTRL_RX_ALLMULTI, 1, RX_STATE_ALL, RX_STATE_NORMAL, false,
          true },
        { VIRTIO_NET_CTRL_RX_ALLUNI, 1, RX_STATE_ALL, RX_STATE_ALL, false,
          true },
        { VIRTIO_NET_CTRL_RX_NOMULTI, 1, RX_STATE_NONE, RX_STATE_ALL, false,
          true },
        { VIRTIO_NET_CTRL_RX_NOUNI, 1, RX_STATE_NONE, RX_STATE_NONE, false,
          true },
        { VIRTIO_NET_CTRL_RX_NOBCAST, 1, RX_STATE_NONE, RX_STATE_NONE, false,
          false },
        { VIRTIO_NET_CTRL_RX_PROMISC, 1, RX_STATE_NONE, RX_STATE_NONE, true,
          false },
    };
    RxFilterInfo f;

    begin();
    f = filter();
    g_assert_true(f.promiscuous && f.broadcast_allowed);
    g_assert_cmpint(f.vlan, ==, RX_STATE_ALL);
    g_assert_cmpuint(f.vlan_table.n, ==, 0);
    g_assert_cmpstr(f.main_mac, ==, "52:54:00:00:00:09");
    filter_free(&f);
    accept(CTRL);
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        g_test_message("row %u", i);
        mode(rows[i].cmd, rows[i].on);
        f = filter();
        g_assert_cmpint(f.multicast, ==, rows[i].multicast);
        g_assert_cmpint(f.unicast, ==, rows[i].unicast);
        g_assert_cmpint(f.promiscuous, ==, rows[i].promiscuous);
        g_assert_cmpint(f.broadcast_allowed, ==, rows[i].broadcast);
        g_assert_cmpint(f.vlan, ==, RX_STATE_NORMAL);
        filter_free(&f);
    }
    end();
}

static void test_filter_tables(void) MAIN_THREAD
{
    static const uint8_t tables[] = {
        1, 0, 0,    0, 0x52, 0x54, 0,    0, 0, 2, /* unicast */
        2, 0, 0,    0, 0x01, 0,    0x5e, 0, 0, 1, /* multicast */
        1, 0, 0x5e, 0, 0,    0xff,
    };
    g_autofree uint8_t *big = g_malloc0(8 + 6 * 65);
    RxFilterInfo f;

    begin();
    accept(CTRL);
    command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, tables,
            sizeof(tables));
    command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET,
            "\x52\x54\x00\xab\xcd\xef", 6);
    command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\x00\x00", 2);
    command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\xff\x0f", 2);
    command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\x64\x00", 2);
    f = filter();
    g_assert_cmpuint(f.unicast_table.n, ==, 1);
    g_assert_cmpstr(f.unicast_table.v[0], ==, "52:54:00:00:00:02");
    g_assert_cmpuint(f.multicast_table.n, ==, 2);
    g_assert_cmpstr(f.multicast_table.v[1], ==, "01:00:5e:00:00:ff");
    g_assert_cmpstr(f.main_mac, ==, "52:54:00:ab:cd:ef");
    g_assert_cmpuint(f.vlan_table.n, ==, 3);
    g_assert_cmpint(f.vlan_table.v[0], ==, 0);
    g_assert_cmpint(f.vlan_table.v[1], ==, 100);
    g_assert_cmpint(f.vlan_table.v[2], ==, 4095);
    g_assert_false(f.multicast_overflow || f.unicast_overflow);
    filter_free(&f);
    big[4] = 65;
    command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, big,
            8 + 6 * 65);
    f = filter();
    g_assert_true(f.multicast_overflow && !f.unicast_overflow);
    g_assert_cmpuint(f.unicast_table.n + f.multicast_table.n, ==, 0);
    filter_free(&f);
    end();
}

static void test_filter_event(void) MAIN_THREAD
{
    g_autoptr(GByteArray) reply = g_byte_array_new();
    static const uint8_t nothing[2];
    RxFilterInfo f;

    begin();
    accept(CTRL);
    mode(VIRTIO_NET_CTRL_RX_PROMISC, 0);
    g_assert_cmpuint(events, ==, 1);
    mode(VIRTIO_NET_CTRL_RX_PROMISC, 1);
    command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, "\x01\x00", 2);
    g_assert_cmpuint(events, ==, 1);
    f = filter();
    filter_free(&f);
    command(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, "\x01\x00", 2);
    g_assert_cmpuint(events, ==, 2);
    f = filter();
    filter_free(&f);
    command(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, "\x52\0\0\0\0\1",
            6);
    g_assert_cmpuint(events, ==, 3);
    f = filter();
    filter_free(&f);
    /* what is refused, and what is no matter of the filter, changes nothing */
    g_assert_cmpint(
        virtio_net_ctrl_command(nic, VIRTIO_NET_CTRL_RX, 99, nothing, 1, reply),
        ==, VIRTIO_NET_ERR);
    g_assert_cmpint(
        virtio_net_ctrl_command(nic, VIRTIO_NET_CTRL_MQ, 0, nothing, 2, reply),
        ==, VIRTIO_NET_ERR);
    g_assert_cmpuint(events, ==, 3);
    end();
}

static void test_names(void) MAIN_THREAD
{
    static const NetClientInfo plain = { .type = NET_CLIENT_DRIVER_NIC };
    static const struct {
        const char *name, *filter, *queues;
    } rows[] = {
        { "n0", NULL, NULL },
        { "nothing", "invalid net client name: nothing",
          "invalid net client name: nothing" },
        { "net0", "net client(net0) isn't a NIC",
          "net client(net0) isn't a NIC" },
        { "plain", "net client(plain) doesn't support rx-filter querying",
          NULL },
    };
    NetClientState other = { 0 };

    begin();
    g_assert_true(net_client_register(&other, &plain, "plain", 0, NULL));
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        q_obj_query_rx_filter_arg fa = { .name = (char *)rows[i].name };
        q_obj_query_net_queues_arg qa = { .name = (char *)rows[i].name };
        RxFilterInfoList filters = { 0 };
        NetQueueInfoList queues = { 0 };
        Error *err = NULL;

        g_assert_cmpint(qmp_query_rx_filter(&fa, &filters, &err), ==,
                        !rows[i].filter);
        g_assert_cmpstr(err ? err->message : NULL, ==, rows[i].filter);
        g_clear_error(&err);
        g_assert_cmpint(qmp_query_net_queues(&qa, &queues, &err), ==,
                        !rows[i].queues);
        g_assert_cmpstr(err ? err->message : NULL, ==, rows[i].queues);
        g_clear_error(&err);
        qapi_free_contents(&qapi_type_RxFilterInfoList, &filters);
        qapi_free_contents(&qapi_type_NetQueueInfoList, &queues);
    }
    net_client_unregister(&other);
    end();
}

/* ---- queue pairs ---- */

static void count_something(void) MAIN_THREAD
{
    nic->pair[0].stats.rx_packets = 11;
    nic->pair[1].stats.rx_packets = 22;
    nic->pair[1].stats.tx_bytes = 1ULL << 63;
    nic->pair[1].tx_vq->signals_suppressed = 33;
}

static void test_queues(void) MAIN_THREAD
{
    q_obj_query_net_queues_arg arg = { .name = (char *)"n0" };
    NetQueueInfoList list = { 0 };

    begin();
    count_something();
    g_assert_true(qmp_query_net_queues(&arg, &list, NULL));
    g_assert_cmpuint(list.n, ==, 2);
    for (unsigned i = 0; i < 2; i++) {
        const NetQueueInfo *q = &list.v[i];

        g_assert_cmpstr(q->nic, ==, "n0");
        g_assert_cmpstr(q->netdev, ==, "net0");
        g_assert_cmpstr(q->qom_path, ==, NIC_PATH);
        g_assert_cmpuint(q->pair, ==, i);
        g_assert_cmpint(q->owner, ==, NET_QUEUE_OWNER_MAIN);
        g_assert_cmpint(q->active, ==, i == 0);
        g_assert_cmpint(q->enabled, ==, i == 0);
        g_assert_cmpint(q->has_fd, ==, i == 1);
        g_assert_false(q->has_vhost_fd || q->has_thread_id || q->iothread);
    }
    g_assert_cmpint(list.v[1].fd, ==, 77);
    g_assert_cmpuint(list.v[0].stats->rx_packets, ==, 11);
    g_assert_cmpuint(list.v[1].stats->rx_packets, ==, 22);
    g_assert_cmpuint(list.v[1].stats->tx_signals_suppressed, ==, 33);
    qapi_free_contents(&qapi_type_NetQueueInfoList, &list);
    end();
}

/* ---- statistics ---- */

/* Runs query-stats with @request as a client writes it; its answer as text. */
static char *stats(const char *request) MAIN_THREAD
{
    StatsResultList ret = { 0 };
    json_object *json = NULL, *answer;
    Error *err = NULL;
    StatsFilter *f;
    char *text;

    g_assert_true(qapi_json_parse(request, strlen(request), &json, &err));
    f = qapi_new_from_json(&qapi_type_StatsFilter, json, &err);
    g_assert_no_error(err);
    g_assert_true(qmp_query_stats(f, &ret, &err));
    answer = qapi_to_json(&qapi_type_StatsResultList, &ret);
    text = g_strdup(json_object_to_json_string_ext(answer, 0));
    json_object_put(answer);
    json_object_put(json);
    qapi_free(&qapi_type_StatsFilter, f);
    qapi_free_contents(&qapi_type_StatsResultList, &ret);
    return text;
}

static void check_stats(const char *request, const char *want) MAIN_THREAD
{
    g_autofree char *got = stats(request);

    g_assert_cmpstr(got, ==, want);
}

#define PAIR(n, stats)                                               \
    "{\"provider\":\"net\",\"qom-path\":\"\\/machine\\/unattached\\" \
    "/device[0]\",\"pair\":" n ",\"owner\":\"main\",\"stats\":[" stats "]}"
#define QUEUE(n, stats)                                      \
    "{\"provider\":\"net\",\"netdev\":\"net0\",\"queue\":" n \
    ",\"stats\":[" stats "]}"

static void test_stats(void) MAIN_THREAD
{
    begin();
    count_something();
    check_stats(
        "{\"target\":\"net-queue\",\"providers\":"
        "[{\"provider\":\"net\",\"names\":[\"rx-packets\"]}]}",
        "[" PAIR("0", "{\"name\":\"rx-packets\",\"value\":11}") "," PAIR(
            "1", "{\"name\":\"rx-packets\",\"value\":22}") "]");
    check_stats("{\"target\":\"net-queue\",\"devices\":[\"" NIC_PATH "\"],"
                "\"providers\":[{\"provider\":\"net\","
                "\"names\":[\"tx-bytes\",\"nothing\"]}]}",
                "[" PAIR("0", "{\"name\":\"tx-bytes\",\"value\":0}") "," PAIR(
                    "1", "{\"name\":\"tx-bytes\","
                         "\"value\":9223372036854775808}") "]");
    /* no such device, number or provider here */
    check_stats("{\"target\":\"net-queue\",\"devices\":[\"/machine\"]}", "[]");
    check_stats("{\"target\":\"net-queue\",\"devices\":[]}", "[]");
    check_stats("{\"target\":\"net-queue\",\"providers\":[]}", "[]");
    check_stats("{\"target\":\"net-queue\",\"providers\":"
                "[{\"provider\":\"net\",\"names\":[]}]}",
                "[]");
    check_stats("{\"target\":\"net-queue\",\"providers\":"
                "[{\"provider\":\"net\",\"names\":[\"exits\"]}]}",
                "[]");
    check_stats("{\"target\":\"net-queue\",\"providers\":"
                "[{\"provider\":\"kvm\"}]}",
                "[]");
    check_stats("{\"target\":\"vm\"}", "[]");
    check_stats("{\"target\":\"vcpu\",\"vcpus\":[\"/x\"]}", "[]");
    end();
}

/* Subqueues, whose descriptors here are none. */
static void test_queue_stats(void) MAIN_THREAD
{
    begin();
    netdev.queue[1].fd = -1;
    netdev.queue[1].stats.tx_bytes = 44;
    check_stats(
        "{\"target\":\"netdev-queue\",\"providers\":[{"
        "\"provider\":\"net\",\"names\":[\"tx-bytes\",\"enabled\","
        "\"pairs\",\"rx-waiting\",\"tx-writable\"]}]}",
        "[" QUEUE(
            "0",
            "{\"name\":\"tx-bytes\",\"value\":0},"
            "{\"name\":\"pairs\",\"value\":1},"
            "{\"name\":\"enabled\",\"value\":true}") "," QUEUE("1",
                                                               "{\"name\":\"tx-"
                                                               "bytes\","
                                                               "\"value\":44},"
                                                               "{\"name\":"
                                                               "\"pairs\","
                                                               "\"value\":0},"
                                                               "{\"name\":"
                                                               "\"enabled\","
                                                               "\"value\":"
                                                               "false}") "]");
    check_stats("{\"target\":\"netdev-queue\",\"netdevs\":[\"n0\",\"x\"]}",
                "[]");
    check_stats("{\"target\":\"netdev-queue\",\"netdevs\":[]}", "[]");
    check_stats("{\"target\":\"netdev-queue\",\"netdevs\":[\"net0\"],"
                "\"providers\":[{\"provider\":\"net\","
                "\"names\":[\"moves\"]}]}",
                "[]");
    end();
}

/* Each value, in the schema's order, is one that it has; all are there but
 * those in @absent, which are not known of a pair at rest. */
static void check_schema(const StatsSchema *schema, const char *const *absent)
    MAIN_THREAD
{
    StatsFilter all = { .target = schema->target };
    StatsResultList results = { 0 };
    size_t at = 0;

    g_assert_true(qmp_query_stats(&all, &results, NULL));
    g_assert_cmpuint(results.n, ==, 2);
    for (size_t i = 0; i < schema->stats.n; i++) {
        const StatsSchemaValue *s = &schema->stats.v[i];

        g_assert_cmpint(s->has_base, ==, s->exponent != 0);
        g_assert_false(s->has_bucket_size);
        if (g_str_has_suffix(s->name, "-bytes")) {
            g_assert_true(s->has_unit && s->unit == STATS_UNIT_BYTES);
        }
        if (g_strv_contains(absent, s->name)) {
            continue;
        }
        g_assert_cmpuint(at, <, results.v[1].stats.n);
        g_assert_cmpstr(s->name, ==, results.v[1].stats.v[at].name);
        g_assert_cmpint(results.v[1].stats.v[at].value->type, ==,
                        s->type == STATS_TYPE_LOG2_HISTOGRAM ? QTYPE_QLIST
                        : s->has_unit && s->unit == STATS_UNIT_BOOLEAN
                            ? QTYPE_QBOOL
                            : QTYPE_QNUM);
        at++;
    }
    g_assert_cmpuint(at, ==, results.v[1].stats.n);
    qapi_free_contents(&qapi_type_StatsResultList, &results);
}

static void test_stats_schema(void) MAIN_THREAD
{
    static const char *const no_rings[] = {
        "rx-ring-size",      "rx-ring-occupancy", "tx-ring-size",
        "tx-ring-occupancy", "thread-cpu-time",   NULL
    };
    static const char *const no_device[] = { "rx-waiting", "tx-writable",
                                             NULL };
    q_obj_query_stats_schemas_arg arg = { .has_provider = false };
    StatsSchemaList schemas = { 0 };

    begin();
    netdev.queue[1].fd = -1;
    g_assert_true(qmp_query_stats_schemas(&arg, &schemas, NULL));
    g_assert_cmpuint(schemas.n, ==, 2);
    g_assert_cmpint(schemas.v[0].provider, ==, STATS_PROVIDER_NET);
    g_assert_cmpint(schemas.v[0].target, ==, STATS_TARGET_NET_QUEUE);
    g_assert_cmpint(schemas.v[1].target, ==, STATS_TARGET_NETDEV_QUEUE);
    check_schema(&schemas.v[0], no_rings);
    check_schema(&schemas.v[1], no_device);
    qapi_free_contents(&qapi_type_StatsSchemaList, &schemas);
    arg.has_provider = true;
    arg.provider = STATS_PROVIDER_KVM;
    g_assert_true(qmp_query_stats_schemas(&arg, &schemas, NULL));
    g_assert_cmpuint(schemas.n, ==, 0);
    qapi_free_contents(&qapi_type_StatsSchemaList, &schemas);
    end();
}

int main(int argc, char **argv)
{
    Error *err = NULL;

    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(&err));
    g_test_add_func("/net/qmp/rx-filter/modes", test_filter_modes);
    g_test_add_func("/net/qmp/rx-filter/tables", test_filter_tables);
    g_test_add_func("/net/qmp/rx-filter/event", test_filter_event);
    g_test_add_func("/net/qmp/names", test_names);
    g_test_add_func("/net/qmp/queues", test_queues);
    g_test_add_func("/net/qmp/stats/values", test_stats);
    g_test_add_func("/net/qmp/stats/subqueues", test_queue_stats);
    g_test_add_func("/net/qmp/stats/schema", test_stats_schema);
    return g_test_run();
}
