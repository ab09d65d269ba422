/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A NIC whose netdev has vhost: the features that it offers, whether it is
 * realized, and what a monitor sees of its pairs. The kernel is a fake
 * (vhost-rig.h).
 *
 * Threads: the test's, which holds the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-rx.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-event.h"
#include "qapi/qapi-visit.h"
#include "system/main-loop.h"
#include "tests/unit/vhost-rig.h"

/* ---- features ---- */

static void test_features_lacking(void) MAIN_THREAD
{
    Error *err = NULL;

    vhost_rig_begin(COMMON, false, 0);
    kern.features &= ~BIT(VIRTIO_RING_F_EVENT_IDX);
    g_assert_false(virtio_net_vhost_start(rig.pair, &err));
    vhost_rig_check_line(err->message, "features that vhost-net lacks");
    g_error_free(err);
    g_assert_cmpuint(kern.calls, ==, 0);
    vhost_rig_check_ours(&rig.rx.vq, 0, 0);
    vhost_rig_end();
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

static const VirtIOTransportOps transport = {
    .notify_config = no_notify,
    .start = no_start,
    .stop = no_notify,
    .n_vectors = six_vectors,
};

static VirtIONet *nic;
static Error *nic_error;
static bool nic_ok;
static const char *nic_rss; /* rss-steering; NULL: it has no RSS */
static bool program_ok;     /* the kernel takes one */
static unsigned programs;   /* opened and not closed */

static void nic_realize(void) MAIN_THREAD
{
    nic_ok = device_realize(&nic->vdev.dev, NULL, &nic_error);
}

static bool program_open(NetClientState *nc, const int *fds, Error **errp)
{
    g_assert_null(fds);
    programs += program_ok;
    if (!program_ok) {
        error_setg(errp, "this kernel takes none");
    }
    return program_ok;
}

static bool program_steer(NetClientState *nc, const RssConfig *config,
                          Error **errp)
{
    return true;
}

static void program_close(NetClientState *nc)
{
    programs--;
}

static unsigned reads; /* of subqueue 0 */

static ssize_t no_frames(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    __atomic_fetch_add(&reads, sq->index == 0, __ATOMIC_RELAXED);
    return 0;
}

/* A NIC of two pairs whose netdev has vhost, with everything that concerns
 * rings offered; gives what stderr got. */
static char *nic_make(NetClientState *netdev, bool force) MAIN_THREAD
{
    static const NetClientInfo info = { .type = NET_CLIENT_DRIVER_TAP,
                                        .recv = no_frames,
                                        .steering_open = program_open,
                                        .steer = program_steer,
                                        .steering_close = program_close };
    Error *err = NULL;

    memset(netdev, 0, sizeof(*netdev));
    g_assert_true(net_client_register(netdev, &info, "tap1", 2, &err));
    netdev->caps =
        (NetCaps){ .vnet_hdr = true, .vhost = true, .vhost_force = force };
    netdev->queue[0].vhost_fd = VHOST_FD;
    netdev->queue[1].vhost_fd = VHOST_FD + 1;
    nic = VIRTIO_NET(object_new(TYPE_VIRTIO_NET));
    nic->vdev.dev.id = g_strdup("net1");
    virtio_bind_transport(&nic->vdev, &transport, NULL);
    g_assert_true(object_property_parse(OBJECT(nic), "netdev", "tap1", &err));
    g_assert_true(object_property_parse(OBJECT(nic), "mq", "on", &err));
    g_assert_true(object_property_parse(OBJECT(nic), "packed", "on", &err));
    g_assert_true(object_property_parse(OBJECT(nic), "in_order", "on", &err));
    if (nic_rss) {
        g_assert_true(object_property_parse(OBJECT(nic), "rss", "on", &err));
        g_assert_true(object_property_parse(OBJECT(nic), "hash", "on", &err));
        g_assert_true(
            object_property_parse(OBJECT(nic), "rss-steering", nic_rss, &err));
    }
    nic_error = NULL;
    return vhost_rig_stderr(nic_realize);
}

static void nic_free(NetClientState *netdev) MAIN_THREAD
{
    if (nic_ok) {
        device_unrealize(&nic->vdev.dev);
    }
    if (OBJECT(nic)->parent) {
        object_unparent(OBJECT(nic));
    }
    object_unref(OBJECT(nic));
    net_client_unregister(netdev);
}

/* What the kernel's worker cannot do for a driver. */
#define USER_SPACE                                                  \
    (BIT(VIRTIO_NET_F_NOTF_COAL) | BIT(VIRTIO_NET_F_VQ_NOTF_COAL) | \
     BIT(VIRTIO_NET_F_DEVICE_STATS))

static void test_features_offered(void) MAIN_THREAD
{
    uint64_t lacks = BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_RING_F_EVENT_IDX);
    NetClientState netdev;
    uint64_t all, fewer;

    kern_reset();
    g_free(nic_make(&netdev, false));
    g_assert_true(nic_ok);
    all = virtio_get_host_features(&nic->vdev);
    /* nothing is negotiated, so far */
    g_assert_cmpuint(virtio_net_usable_pairs(nic), ==, 1);
    g_assert_cmphex(all & COMMON, ==, COMMON);
    g_assert_cmphex(all & USER_SPACE, ==, 0);
    nic_free(&netdev);

    kern.features &= ~lacks;
    g_free(nic_make(&netdev, false));
    g_assert_true(nic_ok);
    fewer = virtio_get_host_features(&nic->vdev);
    /* those and, of what is the device's alone, nothing */
    g_assert_cmphex(all & ~fewer, ==, lacks);
    nic_free(&netdev);
}

/* Ring formats that the kernel does not know are not offered, others are; and a
 * pair that goes to user space has them all. */
static void test_features_rings(void) MAIN_THREAD
{
    const uint64_t packed = BIT(VIRTIO_F_RING_PACKED);
    const uint64_t in_order = BIT(VIRTIO_F_IN_ORDER);
    NetClientState netdev;

    kern_reset();
    g_free(nic_make(&netdev, false));
    g_assert_true(nic_ok);
    g_assert_cmphex(virtio_get_host_features(&nic->vdev) & (packed | in_order),
                    ==, 0);
    nic_free(&netdev);

    kern.features |= in_order;
    g_free(nic_make(&netdev, false));
    g_assert_true(nic_ok);
    g_assert_cmphex(virtio_get_host_features(&nic->vdev) & (packed | in_order),
                    ==, in_order);
    nic_free(&netdev);

    kern.features = COMMON;
    kern.owner_error = -EPERM;
    g_free(nic_make(&netdev, false));
    g_assert_true(nic_ok);
    g_assert_cmphex(virtio_get_host_features(&nic->vdev) & (packed | in_order),
                    ==, packed | in_order);
    g_assert_cmphex(virtio_get_host_features(&nic->vdev) & USER_SPACE, ==,
                    USER_SPACE);
    nic_free(&netdev);

    /* Nor are they handed over unknown to the kernel. */
    vhost_rig_begin(COMMON | packed, false, 0);
    g_assert_false(virtio_net_vhost_start(rig.pair, NULL));
    g_assert_cmpuint(kern.calls, ==, 0);
    vhost_rig_end();
}

/* The worker steers where a program in the kernel does it for him, and he tells
 * no hashes. In user space both are possible. */
static void test_features_rss(void) MAIN_THREAD
{
    static const struct {
        const char *steering;
        bool vhost, program, rss, hash;
        const char *said[2]; /* lines on stderr */
    } rows[] = {
        { "auto", true, true, true, false, { "hash=on is not offered" } },
        { "ebpf", true, true, true, false, { "hash=on is not offered" } },
        { "auto",
          true,
          false,
          false,
          false,
          { "hash=on is not offered", "rss=on is not offered" } },
        { "user",
          true,
          true,
          false,
          false,
          { "hash=on is not offered", "rss=on is not offered" } },
        { "auto", false, true, true, true, { NULL } },
        { "auto", false, false, true, true, { "this kernel takes none" } },
        { "user", false, true, true, true, { NULL } },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autofree char *text = NULL;
        NetClientState netdev;
        uint64_t offered;

        kern_reset();
        kern.owner_error = rows[i].vhost ? 0 : -EPERM;
        program_ok = rows[i].program;
        nic_rss = rows[i].steering;
        text = nic_make(&netdev, false);
        g_assert_true(nic_ok);
        offered = virtio_get_host_features(&nic->vdev);
        g_assert_true(!(offered & BIT(VIRTIO_NET_F_RSS)) == !rows[i].rss);
        g_assert_true(!(offered & BIT(VIRTIO_NET_F_HASH_REPORT)) ==
                      !rows[i].hash);
        g_assert_cmpuint(programs, ==,
                         rows[i].program && strcmp(rows[i].steering, "user"));
        for (unsigned j = 0; j < 2 && rows[i].said[j]; j++) {
            vhost_rig_check_line(text, rows[i].said[j]);
        }
        g_assert_true(rows[i].said[0] || !strstr(text, "rss"));
        nic_free(&netdev);
        g_assert_cmpuint(programs, ==, 0);
    }
    nic_rss = NULL;
}

/* Who insists on a program gets that or nothing. */
static void test_features_rss_refused(void) MAIN_THREAD
{
    NetClientState netdev;

    kern_reset();
    program_ok = false;
    nic_rss = "ebpf";
    g_free(nic_make(&netdev, false));
    g_assert_false(nic_ok);
    vhost_rig_check_line(nic_error->message, "this kernel takes none");
    g_clear_error(&nic_error);
    nic_free(&netdev);
    nic_rss = NULL;
}

/* A pair whose vhost cannot be opened does not limit the others. */
static void test_realize_without(void) MAIN_THREAD
{
    g_autofree char *text = NULL;
    NetClientState netdev;

    kern_reset();
    kern.bad_fd = VHOST_FD + 1;
    text = nic_make(&netdev, false);
    g_assert_true(nic_ok);
    vhost_rig_check_line(text, "warning: net1: pair 1: vhost descriptor 1001");
    vhost_rig_check_line(text, "user space takes the pair over");
    g_assert_true(nic->pair[0].want_vhost);
    g_assert_nonnull(nic->pair[0].vhost);
    g_assert_false(nic->pair[1].want_vhost);
    nic_free(&netdev);

    /* with nobody on vhost, its features are no limit */
    kern.features = 0;
    kern.owner_error = -EPERM;
    g_free(nic_make(&netdev, false));
    g_assert_true(nic_ok);
    g_assert_cmphex(virtio_get_host_features(&nic->vdev) & COMMON, ==, COMMON);
    nic_free(&netdev);
}

static void test_realize_forced(void) MAIN_THREAD
{
    NetClientState netdev;

    kern_reset();
    kern.bad_fd = VHOST_FD + 1;
    g_free(nic_make(&netdev, true));
    g_assert_false(nic_ok);
    vhost_rig_check_line(nic_error->message,
                         "netdev=tap1 (vhostforce=on): pair 1: ");
    g_error_free(nic_error);
    g_assert_null(net_client_find("net1"));
    g_assert_null(netdev.peer);
    nic_free(&netdev);
}

/* ---- what a monitor sees ---- */

/* Gives queue @i of the NIC rings of its own, and no kicks. */
static void nic_place_queue(unsigned i) MAIN_THREAD
{
    VirtQueue *vq = &nic->vdev.vq[i];

    vq->desc_gpa = 0x20000 + 0x8000ULL * i;
    vq->avail_gpa = vq->desc_gpa + 0x4000;
    vq->used_gpa = vq->desc_gpa + 0x6000;
    memset(rig_ram + vq->desc_gpa, 0, 0x8000);
    virtio_queue_set_enabled(&nic->vdev, i);
}

/* A NIC of two pairs that run on vhost, which knows @features besides. */
static void nic_run_with(NetClientState *netdev, uint64_t features) MAIN_THREAD
{
    VirtIODevice *vdev;

    kern_reset();
    kern.features |= features;
    kern.looked_at = true;
    g_free(nic_make(netdev, false));
    g_assert_true(nic_ok);
    netdev->queue[0].fd = netdev->queue[1].fd = VHOST_FD + 2;
    vdev = &nic->vdev;
    vdev->vm_running = true;
    virtio_set_bus_master(vdev, true);
    virtio_set_status(vdev, 3);
    virtio_set_guest_features(vdev, COMMON | features |
                                        BIT(VIRTIO_NET_F_CTRL_VQ) |
                                        BIT(VIRTIO_NET_F_MQ));
    virtio_set_status(vdev, 11);
    for (unsigned i = 0; i < 4; i++) {
        nic_place_queue(i);
    }
    virtio_set_status(vdev, 15);
    virtio_net_set_active_pairs(nic, 2);
    g_assert_cmpint(nic->pair[1].owner, ==, PAIR_OWNER_VHOST);
}

static void nic_run(NetClientState *netdev) MAIN_THREAD
{
    nic_run_with(netdev, 0);
}

static void check_queue_by_monitor(char *path, uint16_t i) MAIN_THREAD
{
    const VirtQueue *vq = &nic->vdev.vq[i];
    q_obj_x_query_virtio_vhost_queue_status_arg va = { path, i };
    q_obj_x_query_virtio_queue_status_arg qa = { path, i };
    VirtVhostQueueStatus v = { NULL };
    VirtQueueStatus q = { NULL };

    g_assert_true(qmp_x_query_virtio_vhost_queue_status(&va, &v, NULL));
    g_assert_cmpint(v.kick, ==, vq->kick_fd);
    g_assert_cmpint(v.call, ==, vq->call_fd);
    g_assert_cmpint(v.num, ==, vq->size);
    g_assert_cmphex(v.desc, ==, (uintptr_t)rig_ram + vq->desc_gpa);
    g_assert_cmphex(v.avail, ==, (uintptr_t)rig_ram + vq->avail_gpa);
    g_assert_cmphex(v.used, ==, (uintptr_t)rig_ram + vq->used_gpa);
    g_assert_cmphex(v.desc_phys, ==, vq->desc_gpa);
    g_assert_cmphex(v.avail_phys, ==, vq->avail_gpa);
    g_assert_cmphex(v.used_phys, ==, vq->used_gpa);
    g_assert_cmpuint(v.desc_size, ==, 16 * vq->size);
    g_assert_cmpuint(v.avail_size, ==, 6 + 2 * vq->size);
    g_assert_cmpuint(v.used_size, ==, 6 + 8 * vq->size);
    qapi_free_contents(&qapi_type_VirtVhostQueueStatus, &v);

    kern.ring[i % 2].base = 0x1100 + i;
    rig_ram[vq->used_gpa + 2] = 0x22;
    g_assert_true(qmp_x_query_virtio_queue_status(&qa, &q, NULL));
    g_assert_cmphex(q.last_avail_idx, ==, 0x1100 + i);
    g_assert_false(q.has_shadow_avail_idx);
    g_assert_cmphex(q.used_idx, ==, 0x22);
    qapi_free_contents(&qapi_type_VirtQueueStatus, &q);
}

/* The device's number of a queue finds the ring of its pair's own worker. */
static void test_monitor_queues(void) MAIN_THREAD
{
    q_obj_x_query_virtio_vhost_queue_status_arg va = { .queue = 4 };
    VirtVhostQueueStatus v = { NULL };
    g_autofree char *path = NULL;
    NetClientState netdev;
    Error *err = NULL;

    nic_run(&netdev);
    va.path = path = object_path(OBJECT(nic));
    for (unsigned i = 0; i < 4; i++) {
        check_queue_by_monitor(path, i);
    }
    /* the control queue is ours, and so is what has been given up */
    g_assert_false(qmp_x_query_virtio_vhost_queue_status(&va, &v, &err));
    vhost_rig_check_line(err->message, "Virtqueue 4 is not on vhost");
    g_clear_error(&err);
    virtio_net_set_active_pairs(nic, 1);
    va.queue = 2;
    g_assert_false(qmp_x_query_virtio_vhost_queue_status(&va, &v, &err));
    vhost_rig_check_line(err->message, "Virtqueue 2 is not on vhost");
    g_clear_error(&err);
    nic_free(&netdev);
}

/* Names and values of the first result for @target: "name=value name=...". */
static char *first_stats(StatsTarget target) MAIN_THREAD
{
    StatsFilter all = { .target = target };
    StatsResultList results = { 0 };
    GString *text = g_string_new(NULL);

    g_assert_true(qmp_query_stats(&all, &results, NULL));
    g_assert_cmpuint(results.n, ==, 2);
    for (size_t i = 0; i < results.v[0].stats.n; i++) {
        const Stats *s = &results.v[0].stats.v[i];

        g_string_append_printf(text, "%s%s=%" PRIu64, i ? " " : "", s->name,
                               s->value->type == QTYPE_QBOOL
                                   ? s->value->u.boolean
                                   : s->value->u.scalar);
    }
    qapi_free_contents(&qapi_type_StatsResultList, &results);
    return g_string_free(text, FALSE);
}

/* What the rings tell of a pair that a worker has, and nothing else. */
static void test_monitor_statistics(void) MAIN_THREAD
{
    g_autofree char *pair = NULL, *queue = NULL;
    q_obj_query_net_queues_arg arg = { NULL };
    NetQueueInfoList queues = { 0 };
    NetClientState netdev;
    VirtQueue *vq;

    nic_run(&netdev);
    vq = &nic->vdev.vq[0];
    rig_ram[vq->avail_gpa + 2] = 9;
    rig_ram[vq->used_gpa + 2] = 4;
    vq = &nic->vdev.vq[1];
    rig_ram[vq->avail_gpa + 3] = 2; /* 512: beyond the ring */
    nic->pair[0].stats.rx_packets = 77;
    nic->pair[0].stats.moves = 3;
    pair = first_stats(STATS_TARGET_NET_QUEUE);
    g_assert_cmpstr(pair, ==,
                    "moves=3 rx-ring-size=256 rx-ring-occupancy=5 "
                    "tx-ring-size=256");
    queue = first_stats(STATS_TARGET_NETDEV_QUEUE);
    g_assert_true(g_str_has_prefix(queue, "pairs=1 enabled=1"));
    g_assert_true(qmp_query_net_queues(&arg, &queues, NULL));
    g_assert_cmpuint(queues.v[0].stats->rx_packets, ==, 77);
    g_assert_false(queues.v[0].stats->has_rx_backlog);
    g_assert_false(queues.v[0].has_thread_id);
    qapi_free_contents(&qapi_type_NetQueueInfoList, &queues);
    nic_free(&netdev);
}

static void test_monitor_element(void) MAIN_THREAD
{
    q_obj_x_query_virtio_queue_element_arg arg = { .queue = 3 };
    VirtioQueueElement e = { NULL };
    g_autofree char *path = NULL;
    const VirtQueue *vq;
    NetClientState netdev;

    nic_run(&netdev);
    arg.path = path = object_path(OBJECT(nic));
    vq = &nic->vdev.vq[3];
    kern.ring[1].base = 2 + vq->size; /* entry 2, by the worker's word */
    rig_ram[vq->avail_gpa + 4 + 2 * 2] = 7;
    rig_ram[vq->desc_gpa + 16 * 7 + 8] = 99; /* its length */
    g_assert_true(qmp_x_query_virtio_queue_element(&arg, &e, NULL));
    g_assert_cmpuint(e.index, ==, 7);
    g_assert_cmpuint(e.descs.n, ==, 1);
    g_assert_cmpuint(e.descs.v[0].len, ==, 99);
    qapi_free_contents(&qapi_type_VirtioQueueElement, &e);
    nic_free(&netdev);
}

static void test_monitor_status(void) MAIN_THREAD
{
    q_obj_x_query_virtio_status_arg arg = { NULL };
    VirtioStatus s = { NULL };
    g_autofree char *path = NULL;
    NetClientState netdev;

    nic_run(&netdev);
    arg.path = path = object_path(OBJECT(nic));
    g_assert_true(qmp_x_query_virtio_status(&arg, &s, NULL));
    g_assert_true(s.vhost_started);
    g_assert_cmpint(s.num_vqs, ==, 5);
    g_assert_cmpint(s.vhost_dev->n_mem_sections, ==, ram_map_get()->n);
    g_assert_cmpuint(s.vhost_dev->nvqs, ==, 2);
    g_assert_cmpint(s.vhost_dev->vq_index, ==, 0);
    g_assert_cmpuint(s.vhost_dev->max_queues, ==, 1);
    g_assert_cmpuint(s.vhost_dev->features->transports.n, ==, 3);
    g_assert_cmpuint(s.vhost_dev->features->dev_features.n, ==, 1);
    g_assert_cmpuint(s.vhost_dev->acked_features->transports.n, ==, 3);
    qapi_free_contents(&qapi_type_VirtioStatus, &s);
    /* with the first pair gone, the second one's is shown */
    virtio_net_pair_stop(&nic->pair[0]);
    g_assert_true(qmp_x_query_virtio_status(&arg, &s, NULL));
    g_assert_cmpint(s.vhost_dev->vq_index, ==, 2);
    qapi_free_contents(&qapi_type_VirtioStatus, &s);
    virtio_set_status(&nic->vdev, 0);
    g_assert_true(qmp_x_query_virtio_status(&arg, &s, NULL));
    g_assert_false(s.vhost_started);
    g_assert_null(s.vhost_dev);
    qapi_free_contents(&qapi_type_VirtioStatus, &s);
    nic_free(&netdev);
}

static void test_monitor_pairs(void) MAIN_THREAD
{
    q_obj_query_net_queues_arg arg = { NULL };
    NetQueueInfoList list = { 0 };
    NetClientState netdev;

    nic_run(&netdev);
    g_assert_true(qmp_query_net_queues(&arg, &list, NULL));
    g_assert_cmpuint(list.n, ==, 2);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(list.v[i].owner, ==, NET_QUEUE_OWNER_VHOST);
        g_assert_cmpint(list.v[i].vhost_fd, ==, VHOST_FD + i);
        g_assert_true(list.v[i].active && list.v[i].enabled);
        g_assert_null(list.v[i].iothread);
    }
    qapi_free_contents(&qapi_type_NetQueueInfoList, &list);
    nic_free(&netdev);
}

/* ---- events ---- */

static json_object *last_event; /* of the kind that the case is about */
static const char *event_name;
static unsigned n_events;

static void event_sink(const QapiEvent *event, json_object *data)
{
    if (strcmp(event->name, event_name) == 0) {
        json_object_put(last_event);
        last_event = json_object_get(data);
        n_events++;
    }
}

static void events_begin(const char *name)
{
    event_name = name;
    n_events = 0;
    qapi_event_set_sink(event_sink);
}

static void events_end(void)
{
    qapi_event_set_sink(NULL);
    g_clear_pointer(&last_event, json_object_put);
}

static const char *event_text(const char *member)
{
    return json_object_get_string(json_object_object_get(last_event, member));
}

static int64_t event_number(const char *member)
{
    json_object *value;

    g_assert_true(json_object_object_get_ex(last_event, member, &value));
    return json_object_get_int64(value);
}

static void turn(void) MAIN_THREAD
{
    event_loop_turn(main_loop(), 0);
}

/* vhost's error eventfd, of either ring of the first pair. */
static void test_event_error_fd(void) MAIN_THREAD
{
    for (unsigned i = 0; i < 2; i++) {
        NetClientState netdev;

        nic_run(&netdev);
        virtio_net_set_active_pairs(nic, 1);
        virtio_net_pair_stop(&nic->pair[0]);
        virtio_net_pair_start(&nic->pair[0]);
        events_begin("NET_QUEUE_ERROR");
        eventfd_signal(kern.ring[i].err);
        g_free(vhost_rig_stderr(turn));
        turn();
        g_assert_cmpuint(n_events, ==, 1);
        g_assert_cmpint(event_number("pair"), ==, 0);
        g_assert_cmpint(event_number("queue"), ==, i);
        g_assert_cmpstr(event_text("owner"), ==, "vhost");
        g_assert_cmpstr(event_text("nic"), ==, "net1");
        g_assert_cmpstr(event_text("reason"), ==, "vhost-net gave the ring up");
        g_assert_true(event_number("needs-reset"));
        events_end();
        nic_free(&netdev);
    }
}

static void restart_pair(void) MAIN_THREAD
{
    virtio_net_pair_start(&nic->pair[0]);
}

/* The worker does not take the pair: user space does, or, where that is not
 * wanted, nobody. */
static void test_event_refused(void) MAIN_THREAD
{
    for (unsigned force = 0; force < 2; force++) {
        NetClientState netdev;

        nic_run(&netdev);
        nic->pair[0].vhost_required = force;
        virtio_net_pair_stop(&nic->pair[0]);
        kern.fail_at = kern.calls + 1;
        events_begin("NET_QUEUE_ERROR");
        g_free(vhost_rig_stderr(restart_pair));
        turn();
        g_assert_cmpuint(n_events, ==, 1);
        g_assert_nonnull(strstr(event_text("reason"), "VHOST_SET_FEATURES"));
        g_assert_true(event_number("needs-reset") == force);
        g_assert_true(virtio_is_broken(&nic->vdev) == force);
        if (!force) {
            g_assert_cmpint(event_number("pair"), ==, 0);
            g_assert_cmpint(nic->pair[0].owner, ==, PAIR_OWNER_IO);
        }
        events_end();
        nic_free(&netdev);
    }
}

static void step(unsigned ms) MAIN_THREAD
{
    vm_clock_move(vm_clock_ns() + ms * G_GINT64_CONSTANT(1000000));
}

static void check_stalled(bool stalled, unsigned n, int64_t ms)
{
    g_assert_cmpuint(n_events, ==, n);
    g_assert_true(event_number("stalled") == stalled);
    g_assert_cmpint(event_number("pair"), ==, 0);
    g_assert_cmpstr(event_text("direction"), ==, "tx");
    g_assert_cmpint(event_number("milliseconds"), ==, ms);
}

/* A worker that does nothing: seen by the indices in guest memory; in a packed
 * ring by its position and what is there. */
static void test_event_stalled(void) MAIN_THREAD
{
    vm_clock_set_manual();
    for (unsigned packed = 0; packed < 2; packed++) {
        NetClientState netdev;
        const VirtQueue *tx;

        nic_run_with(&netdev, packed ? BIT(VIRTIO_F_RING_PACKED) : 0);
        virtio_net_set_active_pairs(nic, 1);
        tx = nic->pair[0].tx_vq;
        kern.ring[1].base = packed ? 0x8000 : 0;
        events_begin("NET_QUEUE_STALLED");
        step(20000);
        g_assert_cmpuint(n_events, ==, 0);
        if (packed) {
            rig_ram[tx->desc_gpa + 14] = 1u << VRING_PACKED_DESC_F_AVAIL;
        } else {
            rig_ram[tx->avail_gpa + 2] = 1;
        }
        step(7499);
        g_assert_cmpuint(n_events, ==, 0);
        step(1);
        check_stalled(true, 1, 5000);
        step(10000);
        if (packed) {
            kern.ring[1].base = 0x8001;
        } else {
            rig_ram[tx->used_gpa + 2] = 1;
        }
        step(2500);
        check_stalled(false, 2, 17500);
        step(20000);
        g_assert_cmpuint(n_events, ==, 2);
        events_end();
        nic_free(&netdev);
    }
}

/* ---- another number of queues ---- */

static NetClientState *elastic; /* the netdev that changes */

static bool act_ok(void *opaque, Error **errp)
{
    unsigned n = GPOINTER_TO_UINT(opaque);

    for (unsigned i = 0; i < 2; i++) {
        elastic->queue[i].fd = i < n ? VHOST_FD + 2 : -1;
        elastic->queue[i].enabled = i < n;
    }
    elastic->n_queues = n;
    return true;
}

static bool act_fails(void *opaque, Error **errp)
{
    error_setg(errp, "no more queues");
    return false;
}

/* To @n queues; true when it went well. */
static bool elastic_to(unsigned n, bool (*act)(void *, Error **)) MAIN_THREAD
{
    NetResize how = { n, act, GUINT_TO_POINTER(n) };
    Error *err = NULL;
    bool ok;

    elastic->queue[1].vhost_fd = n == 2 ? VHOST_FD + 1 : -1;
    ok = nic->nic.info->peer_resize(&nic->nic, &how, &err);
    g_assert_true(ok == !err);
    g_clear_error(&err);
    return ok;
}

static void check_one_queue(void) MAIN_THREAD
{
    g_assert_cmpint(nic->pair[0].owner, ==, PAIR_OWNER_VHOST);
    g_assert_cmpint(nic->pair[1].owner, ==, PAIR_OWNER_IO);
    g_assert_true(nic->pair[1].shared);
    g_assert_true(nic->pair[1].backend == &elastic->queue[0]);
    g_assert_null(nic->pair[1].vhost);
    g_assert_false(nic->resizing || nic->pair[1].rx_held);
}

/* A pair whose queue goes sends by an iothread, and is on vhost-net again with
 * the next one. What is refused has changed nothing. */
static void test_elastic(void) MAIN_THREAD
{
    NetClientState netdev;

    nic_run(&netdev);
    elastic = &netdev;
    for (unsigned i = 0; i < 3; i++) {
        g_assert_true(elastic_to(1, act_ok));
        check_one_queue();
        g_assert_false(elastic_to(2, act_fails));
        check_one_queue();
        g_assert_true(elastic_to(2, act_ok));
        g_assert_cmpint(nic->pair[0].owner, ==, PAIR_OWNER_VHOST);
        g_assert_cmpint(nic->pair[1].owner, ==, PAIR_OWNER_VHOST);
        g_assert_false(nic->pair[1].shared);
        /* To user space and back, each time. */
        g_assert_cmpuint(nic->pair[0].stats.moves, ==, 6 * (i + 1));
    }
    nic_free(&netdev);
}

/* The driver's first pair, which is stopped, gets two buffers. */
static void add_buffers(void) MAIN_THREAD
{
    const VirtQueue *rx = nic->pair[0].rx_vq;
    struct vring_desc *desc = (void *)(rig_ram + rx->desc_gpa);

    for (unsigned i = 0; i < 2; i++) {
        desc[i] = (struct vring_desc){ .addr = RIG_DATA + 2048 * i,
                                       .len = 2048,
                                       .flags = VRING_DESC_F_WRITE };
        rig_ram[rx->avail_gpa + 4 + 2 * i] = i;
    }
    rig_ram[rx->avail_gpa + 2] = 2;
}

static bool act_read(void *opaque, Error **errp)
{
    g_assert_cmpuint(__atomic_load_n(&reads, __ATOMIC_RELAXED), >, 0);
    return act_ok(opaque, errp);
}

/* A pair that reads nothing, because it goes to vhost-net now that the frame
 * that waited is delivered, does read what has to come first. */
static void test_elastic_on_its_way(void) MAIN_THREAD
{
    NetClientState netdev;
    VirtIONetPair *pair;

    nic_run(&netdev);
    elastic = &netdev;
    pair = &nic->pair[0];
    virtio_net_pair_stop(pair);
    virtio_net_pair_need_scratch(pair);
    pair->rx->wait_end = 1;
    pair->rx->wait_len[0] = 72;
    add_buffers();
    reads = 0;
    virtio_net_pair_start(pair);
    g_assert_cmpint(pair->owner, ==, PAIR_OWNER_IO);
    g_assert_true(pair->rx_rest);
    g_assert_true(elastic_to(1, act_read));
    g_assert_cmpuint(pair->stats.rx_packets, ==, 1);
    check_one_queue();
    nic_free(&netdev);
}

/* The kernel does not take the new vhost device. */
static void test_elastic_refused(void) MAIN_THREAD
{
    NetClientState netdev;

    nic_run(&netdev);
    elastic = &netdev;
    g_assert_true(elastic_to(1, act_ok));
    kern.bad_fd = VHOST_FD + 1;
    netdev.caps.vhost_force = true;
    g_assert_false(elastic_to(2, act_ok));
    check_one_queue();
    netdev.caps.vhost_force = false;
    g_assert_true(elastic_to(2, act_ok));
    g_assert_cmpint(nic->pair[1].owner, ==, PAIR_OWNER_IO);
    g_assert_false(nic->pair[1].shared);
    nic_free(&netdev);
}

/* ---- rate limits ---- */

/* Limits what goes to the guest; the error's message, NULL when it went well,
 * to be freed. */
static char *limit_to(uint64_t bytes_per_second) MAIN_THREAD
{
    NetRateLimit rx = { .has_bytes_per_second = true,
                        .bytes_per_second = bytes_per_second };
    Error *err = NULL;
    char *message;

    if (nic->nic.info->set_rate_limit(&nic->nic, &rx, NULL, &err)) {
        g_assert_no_error(err);
        return NULL;
    }
    message = g_strdup(err->message);
    g_error_free(err);
    return message;
}

static void check_owners(PairOwner owner) MAIN_THREAD
{
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(nic->pair[i].owner, ==, owner);
        g_assert_true(nic->pair[i].want_vhost);
    }
    g_assert_true(nic->limited == (owner == PAIR_OWNER_IO));
}

/* Pairs leave vhost-net for a limit and return after the last. */
static void test_limit(void) MAIN_THREAD
{
    NetClientState netdev;

    nic_run(&netdev);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t rates[] = { 1000000, 5, 0, 0 };

        for (unsigned k = 0; k < ARRAY_SIZE(rates); k++) {
            g_assert_null(limit_to(rates[k]));
            check_owners(rates[k] ? PAIR_OWNER_IO : PAIR_OWNER_VHOST);
        }
    }
    /* A reset, and another driver, do not end it. */
    g_assert_null(limit_to(1));
    virtio_net_pairs_stop(nic);
    virtio_net_pairs_reset(nic);
    virtio_net_pairs_start(nic);
    check_owners(PAIR_OWNER_IO);
    nic_free(&netdev);
}

/* Where a pair has to stay on vhost-net, nothing changes. */
static void test_limit_refused(void) MAIN_THREAD
{
    g_autofree char *mapped = NULL, *forced = NULL;
    NetClientState netdev;

    nic_run(&netdev);
    nic->pair[1].mapped = true;
    mapped = limit_to(1000);
    vhost_rig_check_line(mapped, "pair 1 is mapped to vhost");
    check_owners(PAIR_OWNER_VHOST);
    nic->pair[1].mapped = false;
    nic->pair[0].vhost_required = true;
    forced = limit_to(1000);
    vhost_rig_check_line(forced, "pair 0 is on a netdev with vhostforce=on");
    check_owners(PAIR_OWNER_VHOST);
    g_assert_null(nic->limit[0]);
    g_assert_null(limit_to(0));
    nic->pair[0].vhost_required = false;
    g_assert_null(limit_to(1000));
    check_owners(PAIR_OWNER_IO);
    /* Mapped to it while there is a limit: it goes there later. */
    nic->pair[1].mapped = true;
    g_assert_null(limit_to(2000));
    check_owners(PAIR_OWNER_IO);
    g_assert_null(limit_to(0));
    check_owners(PAIR_OWNER_VHOST);
    nic_free(&netdev);
}

int main(int argc, char **argv)
{
    Error *err = NULL;

    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(&err));
    g_test_add_func("/vhost/features/lacking", test_features_lacking);
    g_test_add_func("/vhost/features/offered", test_features_offered);
    g_test_add_func("/vhost/features/rings", test_features_rings);
    g_test_add_func("/vhost/features/rss", test_features_rss);
    g_test_add_func("/vhost/features/rss-refused", test_features_rss_refused);
    g_test_add_func("/vhost/realize/without", test_realize_without);
    g_test_add_func("/vhost/realize/forced", test_realize_forced);
    g_test_add_func("/vhost/monitor/queues", test_monitor_queues);
    g_test_add_func("/vhost/monitor/element", test_monitor_element);
    g_test_add_func("/vhost/monitor/statistics", test_monitor_statistics);
    g_test_add_func("/vhost/monitor/status", test_monitor_status);
    g_test_add_func("/vhost/monitor/pairs", test_monitor_pairs);
    g_test_add_func("/vhost/elastic/queue-goes-and-comes", test_elastic);
    g_test_add_func("/vhost/elastic/on-its-way", test_elastic_on_its_way);
    g_test_add_func("/vhost/elastic/refused", test_elastic_refused);
    g_test_add_func("/vhost/limit/pairs-leave-and-return", test_limit);
    g_test_add_func("/vhost/limit/refused", test_limit_refused);
    g_test_add_func("/vhost/events/error-fd", test_event_error_fd);
    g_test_add_func("/vhost/events/refused", test_event_refused);
    g_test_add_func("/vhost/events/stalled", test_event_stalled);
    return g_test_run();
}
