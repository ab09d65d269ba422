/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-query-virtio*: a fake device in each of its states, and rings that a
 * driver filled with anything.
 *
 * Threads: one, and for one case an event loop that owns a queue.
 */
#include "util/osdep.h"

#include <linux/virtio_ring.h>
#include <pthread.h>

#include "hw/virtio/virtio-bits.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"
#include "virtio-fake.h"

#define BIT(n) (1ULL << (n))
#define V1     BIT(VIRTIO_F_VERSION_1)
#define SIZE   FAKE_QUEUE_SIZE

#define DESC  0x10000u
#define AVAIL 0x11000u
#define USED  0x12000u
#define TABLE 0x14000u /* room for an indirect table */

static FakeDevice *fake;
static VirtIODevice *vdev;
static char *path;

/* ---- a transport ---- */

static void notify(void *opaque)
{
}

static bool start(void *opaque, Error **errp)
{
    return true;
}

static void inspect(void *opaque, VirtIOTransportState *state)
{
    *state =
        (VirtIOTransportState){ .isr = 3, .queue_sel = 2, .bus_name = "pci.7" };
}

static const VirtIOTransportOps transport = {
    .notify_config = notify, .start = start, .stop = notify, .inspect = inspect
};

static void begin(void) MAIN_THREAD
{
    fake = FAKE(object_new(TYPE_FAKE));
    vdev = &fake->vdev;
    virtio_bind_transport(vdev, &transport, NULL);
    g_assert_true(device_realize(&vdev->dev, NULL, NULL));
    virtio_set_bus_master(vdev, true);
    path = object_path(OBJECT(vdev));
    memset(fake_ram(DESC), 0, 0x10000);
}

static void end(void) MAIN_THREAD
{
    fake_set_running(true);
    device_unrealize(&vdev->dev);
    object_unparent(OBJECT(vdev));
    object_unref(OBJECT(vdev));
    g_clear_pointer(&path, g_free);
    fake_turn();
}

static void set_up_queue(unsigned i) MAIN_THREAD
{
    vdev->vq[i].desc_gpa = DESC;
    vdev->vq[i].avail_gpa = AVAIL;
    vdev->vq[i].used_gpa = USED;
    virtio_queue_set_enabled(vdev, i);
}

static void negotiate(uint64_t features) MAIN_THREAD
{
    virtio_set_status(vdev, 1);
    virtio_set_status(vdev, 3);
    virtio_set_guest_features(vdev, features);
    virtio_set_status(vdev, 11);
}

static VirtioStatus status(void) MAIN_THREAD
{
    q_obj_x_query_virtio_status_arg arg = { .path = path };
    VirtioStatus s = { NULL };
    Error *err = NULL;

    g_assert_true(qmp_x_query_virtio_status(&arg, &s, &err));
    g_assert_no_error(err);
    return s;
}

static void status_free(VirtioStatus *s)
{
    qapi_free_contents(&qapi_type_VirtioStatus, s);
}

/* The names before the colons, with spaces between. */
static char *names(const strList *list)
{
    GString *out = g_string_new(NULL);

    for (size_t i = 0; i < list->n; i++) {
        const char *colon = strstr(list->v[i], ": ");

        g_assert_nonnull(colon);
        g_assert_cmpuint(strlen(colon), >, 4);
        g_string_append_printf(out, "%s%.*s", i ? " " : "",
                               (int)(colon - list->v[i]), list->v[i]);
    }
    return g_string_free(out, FALSE);
}

static void check_names(const strList *list, const char *want)
{
    g_autofree char *got = names(list);

    g_assert_cmpstr(got, ==, want);
}

/* ---- list and status ---- */

static void test_list(void) MAIN_THREAD
{
    VirtioInfoList list = { 0 };

    g_assert_true(qmp_x_query_virtio(&list, NULL));
    g_assert_cmpuint(list.n, ==, 0);
    begin();
    g_assert_true(qmp_x_query_virtio(&list, NULL));
    g_assert_cmpuint(list.n, ==, 1);
    g_assert_cmpstr(list.v[0].path, ==, path);
    g_assert_cmpstr(list.v[0].name, ==, "virtio-fake");
    qapi_free_contents(&qapi_type_VirtioInfoList, &list);
    end();
}

static void test_status_states(void) MAIN_THREAD
{
    VirtioStatus s;

    begin();
    s = status();
    g_assert_cmpstr(s.name, ==, "virtio-fake");
    g_assert_cmpuint(s.device_id, ==, FAKE_ID);
    g_assert_cmpint(s.num_vqs, ==, FAKE_QUEUES);
    g_assert_cmpstr(s.device_endian, ==, "little");
    g_assert_cmpuint(s.isr, ==, 3);
    g_assert_cmpuint(s.queue_sel, ==, 2);
    g_assert_cmpstr(s.bus_name, ==, "pci.7");
    g_assert_cmpuint(s.status->statuses.n, ==, 0);
    g_assert_false(s.status->has_unknown_statuses);
    g_assert_false(s.vhost_started || s.broken || s.started || s.disabled);
    g_assert_true(s.vm_running && s.use_started);
    g_assert_null(s.vhost_dev);
    status_free(&s);

    negotiate(V1 | BIT(FAKE_F_ONE));
    s = status();
    check_names(&s.status->statuses,
                "VIRTIO_CONFIG_S_ACKNOWLEDGE VIRTIO_CONFIG_S_DRIVER "
                "VIRTIO_CONFIG_S_FEATURES_OK");
    check_names(&s.guest_features->transports, "VIRTIO_F_VERSION_1");
    /* the fake has no names for its own bits */
    g_assert_false(s.guest_features->has_dev_features);
    g_assert_true(s.guest_features->has_unknown_dev_features);
    g_assert_cmphex(s.guest_features->unknown_dev_features, ==,
                    BIT(FAKE_F_ONE));
    g_assert_false(s.started);
    status_free(&s);

    virtio_set_status(vdev, 15);
    fake_set_running(false);
    s = status();
    g_assert_false(s.vm_running || s.started);
    status_free(&s);
    fake_set_running(true);
    s = status();
    g_assert_true(s.vm_running && s.started && !s.start_on_kick);
    status_free(&s);

    virtio_set_bus_master(vdev, false);
    s = status();
    g_assert_true(s.disabled && !s.started);
    status_free(&s);
    virtio_set_bus_master(vdev, true);

    virtio_error(vdev, "as it was told");
    fake_turn();
    s = status();
    g_assert_true(s.broken && !s.started && !s.disabled);
    check_names(&s.status->statuses,
                "VIRTIO_CONFIG_S_ACKNOWLEDGE VIRTIO_CONFIG_S_DRIVER "
                "VIRTIO_CONFIG_S_DRIVER_OK VIRTIO_CONFIG_S_FEATURES_OK "
                "VIRTIO_CONFIG_S_NEEDS_RESET");
    status_free(&s);
    end();
}

static void test_status_features(void) MAIN_THREAD
{
    VirtioStatus s;

    begin();
    s = status();
    check_names(&s.host_features->transports,
                "VIRTIO_F_NOTIFY_ON_EMPTY VIRTIO_F_ANY_LAYOUT "
                "VIRTIO_RING_F_INDIRECT_DESC VIRTIO_RING_F_EVENT_IDX "
                "VIRTIO_F_BAD_FEATURE VIRTIO_F_VERSION_1 VIRTIO_F_RING_RESET");
    g_assert_cmphex(s.host_features->unknown_dev_features, ==,
                    BIT(FAKE_F_ONE) | BIT(FAKE_F_OLD) | BIT(FAKE_F_REFUSED));
    g_assert_cmpuint(s.backend_features->transports.n, ==,
                     s.host_features->transports.n);
    g_assert_cmpuint(s.guest_features->transports.n, ==, 0);
    g_assert_false(s.guest_features->has_unknown_dev_features);
    status_free(&s);

    /* status bits without a name cannot be had from a driver */
    vdev->status = 0x30;
    s = status();
    g_assert_cmpuint(s.status->statuses.n, ==, 0);
    g_assert_true(s.status->has_unknown_statuses);
    g_assert_cmphex(s.status->unknown_statuses, ==, 0x30);
    status_free(&s);
    vdev->status = 0;

    /* a legacy driver's kick */
    virtio_set_status(vdev, 3);
    virtio_legacy_use(vdev);
    s = status();
    g_assert_true(s.start_on_kick && s.started);
    status_free(&s);
    end();
}

/* ---- queues ---- */

/* @err: what the call that gave @ok may have set; it is freed. */
static void check_error(bool ok, Error **err, const char *part)
{
    g_assert_false(ok);
    g_assert_nonnull(*err);
    if (!strstr((*err)->message, part)) {
        g_error("'%s' does not say '%s'", (*err)->message, part);
    }
    g_clear_error(err);
}

/* The three commands about a queue: each says @part, and gives nothing. */
static void expect_refused(const char *device, uint16_t queue, const char *part)
    MAIN_THREAD
{
    char *p = (char *)device;
    q_obj_x_query_virtio_queue_status_arg qa = { p, queue };
    q_obj_x_query_virtio_vhost_queue_status_arg va = { p, queue };
    q_obj_x_query_virtio_queue_element_arg ea = { .path = p, .queue = queue };
    VirtQueueStatus q = { NULL };
    VirtVhostQueueStatus v = { NULL };
    VirtioQueueElement e = { NULL };
    Error *err = NULL;

    check_error(qmp_x_query_virtio_queue_status(&qa, &q, &err), &err, part);
    check_error(qmp_x_query_virtio_vhost_queue_status(&va, &v, &err), &err,
                part);
    check_error(qmp_x_query_virtio_queue_element(&ea, &e, &err), &err, part);
    g_assert_true(!q.name && !v.name && !e.name);
}

static void test_no_device(void) MAIN_THREAD
{
    static const char *const bad[] = {
        "",        "/",       "/machine",           "/nowhere/at/all",
        "nothing", "\n\x01x", "/machine/unattached"
    };

    begin();
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        q_obj_x_query_virtio_status_arg arg = { .path = (char *)bad[i] };
        VirtioStatus s = { NULL };
        Error *err = NULL;

        check_error(qmp_x_query_virtio_status(&arg, &s, &err), &err,
                    "is not a realized VirtIODevice");
        expect_refused(bad[i], 0, "is not a realized VirtIODevice");
    }
    end();
}

static void test_no_queue(void) MAIN_THREAD
{
    static const uint16_t bad[] = { FAKE_QUEUES, 0xff, 0x7fff, 0xffff };

    begin();
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        expect_refused(path, bad[i], "Invalid virtqueue number");
    }
    end();
}

static VirtQueueStatus queue_status(uint16_t queue) MAIN_THREAD
{
    q_obj_x_query_virtio_queue_status_arg arg = { path, queue };
    VirtQueueStatus q = { NULL };
    Error *err = NULL;

    g_assert_true(qmp_x_query_virtio_queue_status(&arg, &q, &err));
    g_assert_no_error(err);
    g_assert_cmpstr(q.name, ==, "virtio-fake");
    g_assert_cmpuint(q.queue_index, ==, queue);
    g_clear_pointer(&q.name, g_free);
    return q;
}

static struct vring_avail *avail(void)
{
    return fake_ram(AVAIL);
}

static struct vring_used *used(void)
{
    return fake_ram(USED);
}

static void set_desc(unsigned table, unsigned i, uint64_t addr, uint32_t len,
                     uint16_t flags, uint16_t next)
{
    struct vring_desc *d = fake_ram(table);

    d[i] = (struct vring_desc){ addr, len, flags, next };
}

static void test_queue_status(void) MAIN_THREAD
{
    VirtQueue *vq;
    VirtQueueChain chain;
    struct iovec iov[4];
    VirtQueueStatus q;

    begin();
    vq = &vdev->vq[1];
    q = queue_status(1);
    g_assert_cmpuint(q.vring_num, ==, SIZE);
    g_assert_cmpuint(q.vring_num_default, ==, SIZE);
    g_assert_cmphex(q.vring_desc | q.vring_avail | q.vring_used, ==, 0);

    negotiate(V1);
    vq->size = 16;
    set_up_queue(1);
    virtio_set_status(vdev, 15);
    set_desc(DESC, 0, 0x20000, 64, 0, 0);
    set_desc(DESC, 1, 0x20000, 64, 0, 0);
    avail()->ring[1] = 1;
    avail()->idx = 2;
    g_assert_cmpint(virtqueue_pop(vq, iov, 4, &chain), ==, 1);
    q = queue_status(1);
    g_assert_cmpuint(q.inuse, ==, 1);
    g_assert_cmpuint(q.vring_num, ==, 16);
    g_assert_cmpuint(q.vring_num_default, ==, SIZE);
    g_assert_cmpuint(q.vring_align, ==, 4096);
    g_assert_cmphex(q.vring_desc, ==, DESC);
    g_assert_cmphex(q.vring_avail, ==, AVAIL);
    g_assert_cmphex(q.vring_used, ==, USED);
    g_assert_true(q.has_last_avail_idx && q.has_shadow_avail_idx);
    g_assert_cmpuint(q.last_avail_idx, ==, 1);
    g_assert_cmpuint(q.shadow_avail_idx, ==, 2);
    g_assert_false(q.signalled_used_valid);

    virtqueue_fill(vq, &chain, 0);
    virtqueue_publish(vq);
    virtqueue_signal(vq);
    q = queue_status(1);
    g_assert_cmpuint(q.inuse, ==, 0);
    g_assert_cmpuint(q.used_idx, ==, 1);
    g_assert_cmpuint(q.signalled_used, ==, 1);
    g_assert_true(q.signalled_used_valid);
    end();
}

static void test_not_vhost(void) MAIN_THREAD
{
    q_obj_x_query_virtio_vhost_queue_status_arg arg;
    VirtVhostQueueStatus v = { NULL };
    Error *err = NULL;

    begin();
    arg = (q_obj_x_query_virtio_vhost_queue_status_arg){ path, 0 };
    check_error(qmp_x_query_virtio_vhost_queue_status(&arg, &v, &err), &err,
                "is not on vhost");
    end();
}

/* ---- a queue that another thread owns ---- */

static EventLoop *loop;
static unsigned asked;
static bool at_work, enough; /* any thread, atomic */

static void *loop_thread(void *opaque)
{
    event_loop_run(loop);
    return NULL;
}

static void owned(VirtIODevice *dev, unsigned index, VirtIOQueueOwner *owner)
{
    asked++;
    owner->loop = loop;
}

/* The owner changes what a reader may see half of, for as long as it runs. */
static void own_busily(void *opaque)
{
    VirtQueue *vq = opaque;

    vq->last_avail++;
    vq->shadow_avail = vq->used_idx = vq->last_avail;
    __atomic_store_n(&at_work, true, __ATOMIC_RELEASE);
    if (!__atomic_load_n(&enough, __ATOMIC_ACQUIRE)) {
        event_loop_post(loop, own_busily, vq);
    }
}

static void test_owner_is_asked(void) MAIN_THREAD
{
    VirtIODeviceClass *vc;
    pthread_t thread;

    begin();
    vc = VIRTIO_DEVICE_GET_CLASS(vdev);
    vc->queue_owner = owned;
    loop = event_loop_new("owner", NULL, NULL);
    pthread_create(&thread, NULL, loop_thread, NULL);
    event_loop_post(loop, own_busily, &vdev->vq[0]);
    while (!__atomic_load_n(&at_work, __ATOMIC_ACQUIRE)) {
        g_usleep(100);
    }
    for (unsigned i = 0; i < 1000; i++) {
        VirtQueueStatus q = queue_status(0);

        g_assert_cmpuint(q.last_avail_idx, ==, q.shadow_avail_idx);
        g_assert_cmpuint(q.last_avail_idx, ==, q.used_idx);
    }
    g_assert_cmpuint(asked, ==, 1000);
    __atomic_store_n(&enough, true, __ATOMIC_RELEASE);
    event_loop_quit(loop);
    pthread_join(thread, NULL);
    event_loop_free(loop);
    vc->queue_owner = NULL;
    end();
}

/* ---- elements ---- */

static bool element(int index, VirtioQueueElement *e, Error **errp) MAIN_THREAD
{
    q_obj_x_query_virtio_queue_element_arg arg = {
        .path = path, .queue = 0, .has_index = index >= 0, .index = index
    };

    *e = (VirtioQueueElement){ NULL };
    return qmp_x_query_virtio_queue_element(&arg, e, errp);
}

static void test_element_chain(void) MAIN_THREAD
{
    VirtioQueueElement e;

    begin();
    set_up_queue(0);
    set_desc(DESC, 5, 0x20000, 12, VRING_DESC_F_NEXT, 9);
    set_desc(DESC, 9, 0xfedcba9876543210, 0xffffffff,
             VRING_DESC_F_NEXT | VRING_DESC_F_WRITE | 1 << 7 | 1 << 15, 2);
    set_desc(DESC, 2, 1, 0, VRING_DESC_F_WRITE, 77);
    avail()->ring[3] = 5;
    avail()->idx = 0x1234;
    avail()->flags = 1;
    used()->idx = 0x4321;
    used()->flags = 3;
    /* the index goes round */
    g_assert_true(element(3 + 5 * SIZE, &e, NULL));
    g_assert_cmpstr(e.name, ==, "virtio-fake");
    g_assert_cmpuint(e.index, ==, 5);
    g_assert_cmpuint(e.avail->ring, ==, 5);
    g_assert_cmphex(e.avail->idx, ==, 0x1234);
    g_assert_cmphex(e.avail->flags, ==, 1);
    g_assert_cmphex(e.used->idx, ==, 0x4321);
    g_assert_cmphex(e.used->flags, ==, 3);
    g_assert_cmpuint(e.descs.n, ==, 3);
    g_assert_cmphex(e.descs.v[1].addr, ==, 0xfedcba9876543210);
    g_assert_cmphex(e.descs.v[1].len, ==, 0xffffffff);
    g_assert_cmpuint(e.descs.v[1].flags.n, ==, 4);
    g_assert_cmpstr(e.descs.v[1].flags.v[0], ==, "next");
    g_assert_cmpstr(e.descs.v[1].flags.v[1], ==, "write");
    g_assert_cmpstr(e.descs.v[1].flags.v[2], ==, "avail");
    g_assert_cmpstr(e.descs.v[1].flags.v[3], ==, "used");
    g_assert_cmpuint(e.descs.v[2].flags.n, ==, 1);
    qapi_free_contents(&qapi_type_VirtioQueueElement, &e);

    /* by default the next to be taken */
    vdev->vq[0].last_avail = 3 + 2 * SIZE;
    g_assert_true(element(-1, &e, NULL));
    g_assert_cmpuint(e.index, ==, 5);
    qapi_free_contents(&qapi_type_VirtioQueueElement, &e);
    end();
}

static void test_element_indirect(void) MAIN_THREAD
{
    VirtioQueueElement e;

    begin();
    set_up_queue(0);
    set_desc(DESC, 0, 0x20000, 1, VRING_DESC_F_NEXT, 1);
    set_desc(DESC, 1, TABLE, 3 * 16, VRING_DESC_F_INDIRECT, 0);
    set_desc(TABLE, 0, 0x30000, 2, VRING_DESC_F_NEXT, 2);
    set_desc(TABLE, 2, 0x40000, 3, VRING_DESC_F_WRITE, 0);
    g_assert_true(element(0, &e, NULL));
    g_assert_cmpuint(e.descs.n, ==, 3);
    g_assert_cmphex(e.descs.v[0].addr, ==, 0x20000);
    g_assert_cmphex(e.descs.v[1].addr, ==, 0x30000);
    g_assert_cmphex(e.descs.v[2].addr, ==, 0x40000);
    qapi_free_contents(&qapi_type_VirtioQueueElement, &e);
    end();
}

static void expect_no_element(const char *why) MAIN_THREAD
{
    VirtioQueueElement e;
    Error *err = NULL;

    check_error(element(0, &e, &err), &err, why);
    g_assert_null(e.name);
    g_assert_null(e.descs.v);
}

/* Tables of a driver that means no good: every walk ends, with a reason. */
static void test_element_hostile(void) MAIN_THREAD
{
    enum { N = VRING_DESC_F_NEXT, I = VRING_DESC_F_INDIRECT };

    begin();
    expect_no_element("is not set up");
    set_up_queue(0);

    set_desc(DESC, 0, 1, 1, N, 0); /* itself */
    expect_no_element("is a loop");
    set_desc(DESC, 0, 1, 1, N, 1); /* two of them */
    set_desc(DESC, 1, 1, 1, N, 0);
    expect_no_element("is a loop");
    for (unsigned i = 0; i < SIZE; i++) { /* all of them */
        set_desc(DESC, i, 1, 1, N, (i + 1) % SIZE);
    }
    expect_no_element("is a loop");
    set_desc(DESC, 0, 1, 1, N, SIZE); /* one beyond */
    expect_no_element("beyond its table");
    set_desc(DESC, 0, 1, 1, N, 0xffff);
    expect_no_element("beyond its table");
    avail()->ring[0] = SIZE;
    expect_no_element("beyond its table");
    avail()->ring[0] = 0xffff;
    expect_no_element("beyond its table");
    avail()->ring[0] = 0;

    set_desc(DESC, 0, TABLE, 0, I, 0);
    expect_no_element("multiple of 16");
    set_desc(DESC, 0, TABLE, 17, I, 0);
    expect_no_element("multiple of 16");
    set_desc(DESC, 0, 0xffffffff00000000, 16, I, 0);
    expect_no_element("not in guest RAM");
    set_desc(DESC, 0, UINT64_MAX - 7, 16, I, 0);
    expect_no_element("not in guest RAM");
    set_desc(DESC, 0, FAKE_RAM_SIZE - 16, 32, I, 0); /* its second half is */
    set_desc(FAKE_RAM_SIZE - 16, 0, 1, 1, N, 1);
    expect_no_element("not in guest RAM");
    set_desc(DESC, 0, TABLE, 16, I, 0);
    set_desc(TABLE, 0, TABLE, 16, I, 0);
    expect_no_element("refers to another");
    set_desc(TABLE, 0, 1, 1, N, 0);
    expect_no_element("is a loop");
    set_desc(TABLE, 0, 1, 1, N, 1);
    expect_no_element("beyond its table");
    /* 4 GiB of table: all of the walk is in memory, and still it ends */
    set_desc(DESC, 0, TABLE, 0xfffffff0, I, 0);
    set_desc(TABLE, 0, 1, 1, N, 0);
    expect_no_element("too long");
    end();
}

static void test_element_places(void) MAIN_THREAD
{
    static const uint64_t bad[] = { FAKE_RAM_SIZE, FAKE_RAM_SIZE - 2,
                                    UINT64_MAX - 1, UINT64_MAX, AVAIL + 1 };

    begin();
    set_up_queue(0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        vdev->vq[0].avail_gpa = bad[i];
        expect_no_element("available ring of virtqueue 0 is not in guest RAM");
        vdev->vq[0].avail_gpa = AVAIL;
        vdev->vq[0].used_gpa = bad[i];
        expect_no_element("used ring of virtqueue 0 is not in guest RAM");
        vdev->vq[0].used_gpa = USED;
    }
    vdev->vq[0].avail_gpa = FAKE_RAM_SIZE - 4; /* its head is, no more */
    expect_no_element("available ring of virtqueue 0 is not in guest RAM");
    vdev->vq[0].avail_gpa = AVAIL;
    vdev->vq[0].desc_gpa = FAKE_RAM_SIZE;
    expect_no_element("not in guest RAM");
    vdev->vq[0].size = 0;
    expect_no_element("is not set up");
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    fake_machine_init();
    g_test_add_func("/virtio/qmp/list", test_list);
    g_test_add_func("/virtio/qmp/status/states", test_status_states);
    g_test_add_func("/virtio/qmp/status/features", test_status_features);
    g_test_add_func("/virtio/qmp/no-device", test_no_device);
    g_test_add_func("/virtio/qmp/no-queue", test_no_queue);
    g_test_add_func("/virtio/qmp/queue/status", test_queue_status);
    g_test_add_func("/virtio/qmp/queue/not-vhost", test_not_vhost);
    g_test_add_func("/virtio/qmp/queue/owner-is-asked", test_owner_is_asked);
    g_test_add_func("/virtio/qmp/element/chain", test_element_chain);
    g_test_add_func("/virtio/qmp/element/indirect", test_element_indirect);
    g_test_add_func("/virtio/qmp/element/hostile", test_element_hostile);
    g_test_add_func("/virtio/qmp/element/places", test_element_places);
    return g_test_run();
}
