/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules between transport and device, with a fake of either. */
#include "util/osdep.h"

#include <pthread.h>

#include "hw/pci/msix.h"
#include "hw/virtio/virtio-bits.h"
#include "system/machine-lock.h"
#include "util/fd.h"
#include "virtio-fake.h"

#define BIT(n)      (1ULL << (n))
#define V1          BIT(VIRTIO_F_VERSION_1)
#define ACK         VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRV         VIRTIO_CONFIG_S_DRIVER
#define FEAT        VIRTIO_CONFIG_S_FEATURES_OK
#define OK          VIRTIO_CONFIG_S_DRIVER_OK
#define FAILED      VIRTIO_CONFIG_S_FAILED
#define NEEDS       VIRTIO_CONFIG_S_NEEDS_RESET
#define BAD_FEATURE 30

/* ---- a transport ---- */

typedef struct Transport {
    unsigned starts, stops, config_irqs;
    bool refuse;
} Transport;

static void transport_notify_config(void *opaque)
{
    ((Transport *)opaque)->config_irqs++;
}

static bool transport_start(void *opaque, Error **errp)
{
    Transport *t = opaque;

    if (t->refuse) {
        error_setg(errp, "no");
        return false;
    }
    t->starts++;
    return true;
}

static void transport_stop(void *opaque)
{
    ((Transport *)opaque)->stops++;
}

static unsigned transport_n_vectors(void *opaque)
{
    return 4;
}

static const VirtIOTransportOps transport_ops = {
    .notify_config = transport_notify_config,
    .start = transport_start,
    .stop = transport_stop,
    .n_vectors = transport_n_vectors,
};

typedef struct Fixture {
    Transport t;
    VirtIODevice *vdev;
    FakeDevice *fake;
} Fixture;

static void setup(Fixture *f, const void *data) MAIN_THREAD
{
    *f = (Fixture){ 0 };
    f->fake = FAKE(object_new(TYPE_FAKE));
    f->vdev = &f->fake->vdev;
    virtio_bind_transport(f->vdev, &transport_ops, &f->t);
    g_assert_true(device_realize(&f->vdev->dev, NULL, NULL));
    virtio_set_bus_master(f->vdev, true);
}

static void teardown(Fixture *f, const void *data) MAIN_THREAD
{
    fake_set_running(true);
    device_unrealize(&f->vdev->dev);
    g_assert_cmpuint(f->fake->starts, ==, f->fake->stops);
    g_assert_cmpuint(f->t.starts, ==, f->t.stops);
    object_unparent(OBJECT(f->vdev));
    object_unref(OBJECT(f->vdev));
    fake_turn();
}

/* Up to FEATURES_OK; true when it stuck. */
static bool negotiate(Fixture *f, uint64_t features) MAIN_THREAD
{
    virtio_set_status(f->vdev, ACK);
    virtio_set_status(f->vdev, ACK | DRV);
    virtio_set_guest_features(f->vdev, features);
    virtio_set_status(f->vdev, ACK | DRV | FEAT);
    return f->vdev->status & FEAT;
}

static void bring_up(Fixture *f, uint64_t features) MAIN_THREAD
{
    g_assert_true(negotiate(f, features));
    virtio_set_status(f->vdev, ACK | DRV | FEAT | OK);
    g_assert_true(f->vdev->started);
}

static void place_queue(VirtQueue *vq)
{
    vq->desc_gpa = 0x10000 + 0x4000 * vq->index;
    vq->avail_gpa = vq->desc_gpa + 0x1000;
    vq->used_gpa = vq->desc_gpa + 0x2000;
}

/* ---- status ---- */

static void test_bring_up(Fixture *f, const void *data) MAIN_THREAD
{
    virtio_set_status(f->vdev, ACK);
    virtio_set_status(f->vdev, ACK | DRV);
    g_assert_cmpuint(f->fake->starts, ==, 0);
    virtio_set_guest_features(f->vdev, V1 | BIT(FAKE_F_ONE));
    virtio_set_status(f->vdev, ACK | DRV | FEAT);
    g_assert_cmphex(f->vdev->status, ==, ACK | DRV | FEAT);
    g_assert_cmphex(f->fake->features, ==, V1 | BIT(FAKE_F_ONE));
    g_assert_cmpuint(f->fake->set_features, ==, 1);
    g_assert_cmpuint(f->fake->starts, ==, 0);
    virtio_set_guest_features(f->vdev, V1); /* too late */
    g_assert_true(virtio_has_feature(f->vdev, FAKE_F_ONE));
    virtio_set_status(f->vdev, ACK | DRV | FEAT | OK);
    g_assert_cmpuint(f->fake->starts, ==, 1);
    g_assert_cmpuint(f->t.starts, ==, 1);
    g_assert_cmpuint(f->fake->set_features, ==, 1);
    g_assert_false(virtio_is_legacy(f->vdev));
}

static void test_bits_stay(Fixture *f, const void *data) MAIN_THREAD
{
    bring_up(f, V1);
    virtio_set_status(f->vdev, ACK);
    g_assert_cmphex(f->vdev->status, ==, ACK | DRV | FEAT | OK);
    g_assert_true(f->vdev->started);
    virtio_set_status(f->vdev, 0xff & ~FAILED);
    g_assert_cmphex(f->vdev->status, ==, ACK | DRV | FEAT | OK);
}

static void test_failed(Fixture *f, const void *data) MAIN_THREAD
{
    bring_up(f, V1);
    virtio_set_status(f->vdev, f->vdev->status | FAILED);
    g_assert_false(f->vdev->started);
    virtio_reset(f->vdev);
    bring_up(f, V1);
}

static void test_reset(Fixture *f, const void *data) MAIN_THREAD
{
    VirtQueue *vq = &f->vdev->vq[1];

    place_queue(vq);
    vq->vector = 2;
    virtio_queue_set_enabled(f->vdev, 1);
    bring_up(f, V1);
    g_assert_true(vq->running);
    virtio_queue_notify(f->vdev, 1);
    virtio_set_status(f->vdev, 0);
    g_assert_cmpuint(f->vdev->status, ==, 0);
    g_assert_cmpuint(f->fake->stops, ==, 1);
    g_assert_cmpuint(f->fake->resets, ==, 1);
    g_assert_cmphex(f->vdev->guest_features, ==, 0);
    g_assert_false(vq->enabled);
    g_assert_false(vq->running);
    g_assert_cmpuint(vq->vector, ==, MSIX_NO_VECTOR);
    g_assert_cmpuint(vq->last_avail, ==, 0);
    g_assert_false(eventfd_clear(vq->kick_fd));
}

/* ---- features ---- */

typedef struct Negotiation {
    const char *name;
    uint64_t features;
    bool ok;
} Negotiation;

static const Negotiation negotiations[] = {
    { "2.2/subset", V1 | BIT(VIRTIO_RING_F_EVENT_IDX), true },
    { "2.2/all-common",
      V1 | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
          BIT(VIRTIO_F_RING_RESET),
      true },
    { "2.2/not-offered", V1 | BIT(FAKE_F_NOT), false },
    { "2.2/unknown-bit", V1 | BIT(63), false },
    { "2.2/refused-by-device", V1 | BIT(FAKE_F_REFUSED), false },
    { "6.1/without-version-1", BIT(FAKE_F_ONE), false },
    { "6/no-packed", V1 | BIT(VIRTIO_F_RING_PACKED), false },
    { "6/no-access-platform", V1 | BIT(VIRTIO_F_ACCESS_PLATFORM), false },
    { "6.3/legacy-bit-of-device", V1 | BIT(FAKE_F_OLD), false },
    { "6.3/notify-on-empty", V1 | BIT(VIRTIO_F_NOTIFY_ON_EMPTY), false },
    { "6.3/any-layout", V1 | BIT(VIRTIO_F_ANY_LAYOUT), false },
    { "6.3/bad-feature", V1 | BIT(BAD_FEATURE), false },
};

static void test_negotiation(Fixture *f, const void *data) MAIN_THREAD
{
    const Negotiation *n = data;

    g_assert_cmpint(negotiate(f, n->features), ==, n->ok);
    g_assert_cmphex(f->vdev->status & ~FEAT, ==, ACK | DRV);
    if (!n->ok) {
        /* 3.1.1: the driver may try again with less. */
        virtio_set_guest_features(f->vdev, V1);
        virtio_set_status(f->vdev, ACK | DRV | FEAT);
        g_assert_cmphex(f->vdev->status, ==, ACK | DRV | FEAT);
        g_assert_cmphex(f->fake->features, ==, V1);
    }
}

static void test_ok_without_features_ok(Fixture *f, const void *data)
    MAIN_THREAD
{
    virtio_set_status(f->vdev, ACK | DRV);
    virtio_set_guest_features(f->vdev, V1);
    virtio_set_status(f->vdev, ACK | DRV | OK);
    g_assert_cmpuint(f->fake->starts, ==, 0);
    fake_turn();
    g_assert_true(f->vdev->status & NEEDS);
}

static void test_host_features(Fixture *f, const void *data) MAIN_THREAD
{
    uint64_t legacy_only = virtio_legacy_only_features(f->vdev);

    g_assert_cmphex(
        virtio_get_host_features(f->vdev), ==,
        V1 | BIT(FAKE_F_ONE) | BIT(FAKE_F_OLD) | BIT(FAKE_F_REFUSED) |
            BIT(BAD_FEATURE) | BIT(VIRTIO_F_NOTIFY_ON_EMPTY) |
            BIT(VIRTIO_F_ANY_LAYOUT) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
            BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_F_RING_RESET));
    g_assert_cmphex(legacy_only, ==,
                    BIT(FAKE_F_OLD) | BIT(BAD_FEATURE) |
                        BIT(VIRTIO_F_NOTIFY_ON_EMPTY) |
                        BIT(VIRTIO_F_ANY_LAYOUT));
}

static void test_legacy(Fixture *f, const void *data) MAIN_THREAD
{
    virtio_set_bus_master(f->vdev, false);
    virtio_set_status(f->vdev, ACK | DRV);
    virtio_set_guest_features(f->vdev, BIT(FAKE_F_ONE) | BIT(FAKE_F_NOT) |
                                           BIT(VIRTIO_F_NOTIFY_ON_EMPTY));
    virtio_set_status(f->vdev, ACK | DRV | OK);
    g_assert_true(virtio_is_legacy(f->vdev));
    g_assert_cmphex(f->fake->features, ==,
                    BIT(FAKE_F_ONE) | BIT(VIRTIO_F_NOTIFY_ON_EMPTY));
    g_assert_cmpuint(f->fake->starts, ==, 1);
}

/* Who accepts bit 30 accepts anything, so it gets nothing. */
static void test_legacy_bad_feature(Fixture *f, const void *data) MAIN_THREAD
{
    virtio_set_status(f->vdev, ACK | DRV);
    virtio_set_guest_features(f->vdev, UINT32_MAX);
    virtio_set_status(f->vdev, ACK | DRV | OK);
    g_assert_cmphex(f->vdev->guest_features, ==, 0);
    g_assert_true(f->vdev->started);
}

static void test_legacy_early(Fixture *f, const void *data) MAIN_THREAD
{
    virtio_legacy_use(f->vdev); /* no driver yet */
    g_assert_false(f->vdev->started);
    virtio_set_status(f->vdev, ACK | DRV);
    virtio_set_guest_features(f->vdev, BIT(FAKE_F_ONE));
    virtio_legacy_use(f->vdev);
    g_assert_true(f->vdev->started);
    g_assert_cmphex(f->fake->features, ==, BIT(FAKE_F_ONE));
    virtio_set_status(f->vdev, ACK | DRV | OK);
    g_assert_cmpuint(f->fake->starts, ==, 1);
    g_assert_cmpuint(f->fake->set_features, ==, 1);
    virtio_reset(f->vdev);
    g_assert_false(f->vdev->started);
}

static void test_early_is_not_modern(Fixture *f, const void *data) MAIN_THREAD
{
    g_assert_true(negotiate(f, V1));
    virtio_legacy_use(f->vdev);
    g_assert_false(f->vdev->started);
}

/* Offered when asked for, and not to legacy drivers. */
static void test_ring_options(void) MAIN_THREAD
{
    static const struct {
        const char *name;
        unsigned bit;
    } options[] = {
        { "packed", VIRTIO_F_RING_PACKED },
        { "in_order", VIRTIO_F_IN_ORDER },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
        Object *obj = object_new(TYPE_FAKE);
        VirtIODevice *vdev = VIRTIO_DEVICE(obj);

        g_assert_false(vdev->common_features & BIT(options[i].bit));
        g_assert_true(object_property_parse(obj, options[i].name, "on", NULL));
        g_assert_true(device_realize(DEVICE(obj), NULL, NULL));
        g_assert_true(virtio_get_host_features(vdev) & BIT(options[i].bit));
        virtio_set_guest_features(vdev, BIT(options[i].bit));
        virtio_set_status(vdev, VIRTIO_CONFIG_S_DRIVER_OK);
        g_assert_cmphex(vdev->guest_features, ==, 0);
        device_unrealize(DEVICE(obj));
        object_unparent(obj);
        object_unref(obj);
    }
}

/* A queue knows its format from when it is enabled. */
static void test_ring_format(void) MAIN_THREAD
{
    const uint64_t features =
        V1 | BIT(VIRTIO_F_RING_PACKED) | BIT(VIRTIO_F_IN_ORDER);
    Object *obj = object_new(TYPE_FAKE);
    VirtIODevice *vdev = VIRTIO_DEVICE(obj);

    g_assert_true(object_property_parse(obj, "packed", "on", NULL));
    g_assert_true(object_property_parse(obj, "in_order", "on", NULL));
    g_assert_true(device_realize(DEVICE(obj), NULL, NULL));
    virtio_set_guest_features(vdev, features);
    virtio_set_status(vdev, VIRTIO_CONFIG_S_FEATURES_OK);
    g_assert_true(vdev->status & VIRTIO_CONFIG_S_FEATURES_OK);
    g_assert_false(vdev->vq[0].packed);
    virtio_queue_set_enabled(vdev, 0);
    g_assert_true(vdev->vq[0].packed);
    g_assert_true(vdev->vq[0].in_order);
    virtio_reset(vdev);
    g_assert_false(vdev->vq[0].packed);
    device_unrealize(DEVICE(obj));
    object_unparent(obj);
    object_unref(obj);
}

static void test_iommu_platform(void) MAIN_THREAD
{
    Object *obj = object_new(TYPE_FAKE);
    VirtIODevice *vdev = VIRTIO_DEVICE(obj);

    g_assert_true(object_property_parse(obj, "iommu_platform", "on", NULL));
    g_assert_true(object_property_parse(obj, "event_idx", "off", NULL));
    g_assert_true(device_realize(DEVICE(obj), NULL, NULL));
    g_assert_true(virtio_get_host_features(vdev) &
                  BIT(VIRTIO_F_ACCESS_PLATFORM));
    g_assert_false(virtio_get_host_features(vdev) &
                   BIT(VIRTIO_RING_F_EVENT_IDX));
    device_unrealize(DEVICE(obj));
    object_unparent(obj);
    object_unref(obj);
}

static void test_realize_fails(void) MAIN_THREAD
{
    Object *obj = object_new(TYPE_FAKE);
    g_autoptr(GError) err = NULL;

    g_assert_true(object_property_parse(obj, "fail-realize", "on", NULL));
    g_assert_false(device_realize(DEVICE(obj), NULL, &err));
    g_assert_null(VIRTIO_DEVICE(obj)->vq);
    fake_set_running(true); /* no handler is left */
    object_unref(obj);
}

static void test_too_many_queues(void) MAIN_THREAD
{
    Object *obj = object_new(TYPE_FAKE);
    g_autoptr(GError) err = NULL;

    g_assert_true(object_property_parse(obj, "queues", "1025", NULL));
    g_assert_false(device_realize(DEVICE(obj), NULL, &err));
    g_assert_nonnull(strstr(err->message, "1024"));
    object_unref(obj);
}

/* ---- who else says when the device runs ---- */

static void test_runstate(Fixture *f, const void *data) MAIN_THREAD
{
    bring_up(f, V1);
    fake_set_running(false);
    g_assert_false(f->vdev->started);
    g_assert_cmpuint(f->t.stops, ==, 1);
    fake_set_running(true);
    g_assert_cmpuint(f->fake->starts, ==, 2);

    virtio_reset(f->vdev);
    fake_set_running(false);
    g_assert_true(negotiate(f, V1));
    virtio_set_status(f->vdev, ACK | DRV | FEAT | OK);
    g_assert_false(f->vdev->started);
    fake_set_running(true);
    g_assert_true(f->vdev->started);
}

static void test_bus_master(Fixture *f, const void *data) MAIN_THREAD
{
    virtio_set_bus_master(f->vdev, false);
    g_assert_true(negotiate(f, V1));
    virtio_set_status(f->vdev, ACK | DRV | FEAT | OK);
    g_assert_false(f->vdev->started);
    virtio_set_bus_master(f->vdev, true);
    g_assert_true(f->vdev->started);
    virtio_set_bus_master(f->vdev, false);
    g_assert_false(f->vdev->started);
}

static void test_transport_refuses(Fixture *f, const void *data) MAIN_THREAD
{
    f->t.refuse = true;
    g_assert_true(negotiate(f, V1));
    virtio_set_status(f->vdev, ACK | DRV | FEAT | OK);
    g_assert_cmpuint(f->fake->starts, ==, 0);
    fake_turn();
    g_assert_true(f->vdev->status & NEEDS);
}

/* ---- faults ---- */

static void *fault_thread(void *opaque)
{
    virtio_error(opaque, "from %s", "elsewhere");
    virtio_error(opaque, "and again");
    return NULL;
}

static void test_error(Fixture *f, const void *data) MAIN_THREAD
{
    pthread_t thread;

    bring_up(f, V1);
    pthread_create(&thread, NULL, fault_thread, f->vdev);
    pthread_join(thread, NULL);
    g_assert_true(virtio_is_broken(f->vdev));
    g_assert_true(f->vdev->started); /* nobody is cut off in the middle */
    g_assert_cmpuint(f->fake->faults, ==, 0);
    fake_turn();
    g_assert_true(f->vdev->status & NEEDS);
    g_assert_false(f->vdev->started);
    g_assert_cmpuint(f->t.config_irqs, ==, 1);
    g_assert_cmpuint(f->fake->faults, ==, 1);
    g_assert_true(f->fake->fault_while_started);
    g_assert_null(f->fake->fault_vq);
    g_assert_cmpstr(f->fake->fault_reason, ==, "from elsewhere");

    virtio_set_status(f->vdev, f->vdev->status | OK);
    fake_set_running(false);
    fake_set_running(true);
    g_assert_cmpuint(f->fake->starts, ==, 1); /* not before reset */

    virtio_reset(f->vdev);
    g_assert_false(virtio_is_broken(f->vdev));
    bring_up(f, V1);
    fake_turn();
    g_assert_cmphex(f->vdev->status, ==, ACK | DRV | FEAT | OK);
}

/* The class is told which queue it was, once for each reset, also when the
 * driver was quicker with that than the main loop. */
static void test_error_of_queue(Fixture *f, const void *data) MAIN_THREAD
{
    for (unsigned i = 1; i <= 3; i++) {
        const VirtQueue *vq = &f->vdev->vq[i % FAKE_QUEUES];

        bring_up(f, V1);
        virtio_queue_error(f->vdev, vq, "fault %u", i);
        virtio_queue_error(f->vdev, &f->vdev->vq[2], "not the first");
        if (i != 2) {
            fake_turn();
        }
        virtio_reset(f->vdev);
        fake_turn();
        g_assert_cmpuint(f->fake->faults, ==, i);
        g_assert_true(f->fake->fault_while_started);
        g_assert_true(f->fake->fault_vq == vq);
        g_assert_cmpint(f->fake->fault_reason[6], ==, '0' + (int)i);
    }
}

/* The fault of an earlier life does not reach the next one. */
static void test_error_then_reset(Fixture *f, const void *data) MAIN_THREAD
{
    bring_up(f, V1);
    virtio_error(f->vdev, "first life");
    virtio_reset(f->vdev);
    bring_up(f, V1);
    fake_turn();
    g_assert_false(f->vdev->status & NEEDS);
    g_assert_true(f->vdev->started);
    virtio_error(f->vdev, "and unrealized with this one waiting");
}

static void test_bad_ring(Fixture *f, const void *data) MAIN_THREAD
{
    f->vdev->vq[0].desc_gpa = 0x7fff0000;
    virtio_queue_set_enabled(f->vdev, 0);
    bring_up(f, V1);
    fake_turn();
    g_assert_true(f->vdev->status & NEEDS);
    g_assert_false(f->vdev->started);
}

/* ---- configuration ---- */

static void test_config(Fixture *f, const void *data) MAIN_THREAD
{
    uint32_t generation = f->vdev->config_generation;

    g_assert_cmphex(virtio_config_read(f->vdev, 0, 4), ==, 0x13121110);
    g_assert_cmphex(virtio_config_read(f->vdev, 5, 2), ==, 0x1615);
    g_assert_cmphex(virtio_config_read(f->vdev, 9, 1), ==, 0x19);
    g_assert_cmphex(virtio_config_read(f->vdev, 8, 4), ==, 0x1918);
    g_assert_cmphex(virtio_config_read(f->vdev, 10, 1), ==, 0);
    g_assert_cmphex(virtio_config_read(f->vdev, UINT32_MAX, 4), ==, 0);
    virtio_config_write(f->vdev, 8, 0xaabb, 2);
    g_assert_cmphex(virtio_config_read(f->vdev, 8, 2), ==, 0xaabb);
    virtio_config_write(f->vdev, 9, 0x1122, 2); /* over the end */
    virtio_config_write(f->vdev, UINT32_MAX, 1, 4);
    g_assert_cmphex(virtio_config_read(f->vdev, 8, 2), ==, 0xaabb);

    virtio_notify_config(f->vdev);
    g_assert_cmpuint(f->vdev->config_generation, ==, generation + 1);
    g_assert_cmpuint(f->t.config_irqs, ==, 0); /* not before DRIVER_OK */
    bring_up(f, V1);
    virtio_notify_config(f->vdev);
    g_assert_cmpuint(f->vdev->config_generation, ==, generation + 2);
    g_assert_cmpuint(f->t.config_irqs, ==, 1);
}

/* ---- queues ---- */

static void test_notify(Fixture *f, const void *data) MAIN_THREAD
{
    virtio_queue_notify(f->vdev, FAKE_QUEUES);
    virtio_queue_notify(f->vdev, UINT32_MAX);
    virtio_queue_notify(f->vdev, 2);
    /* A kick before the start waits for it. */
    place_queue(&f->vdev->vq[2]);
    virtio_queue_set_enabled(f->vdev, 2);
    bring_up(f, V1);
    g_assert_true(eventfd_clear(f->vdev->vq[2].kick_fd));
    g_assert_false(eventfd_clear(f->vdev->vq[1].kick_fd));
}

static void test_queue_reset(Fixture *f, const void *data) MAIN_THREAD
{
    VirtQueue *vq = &f->vdev->vq[1];

    place_queue(vq);
    virtio_queue_set_enabled(f->vdev, 1);
    bring_up(f, V1 | BIT(VIRTIO_F_RING_RESET));
    virtio_queue_reset(f->vdev, 1);
    g_assert_cmpuint(f->fake->queue_stops, ==, 1);
    g_assert_cmpuint(f->fake->last_queue, ==, 1);
    g_assert_false(vq->enabled);
    virtio_queue_reset(f->vdev, 1); /* not enabled: nothing to stop */
    virtio_queue_reset(f->vdev, FAKE_QUEUES);
    g_assert_cmpuint(f->fake->queue_stops, ==, 1);

    place_queue(vq);
    virtio_queue_set_enabled(f->vdev, 1);
    g_assert_cmpuint(f->fake->queue_starts, ==, 1);
    g_assert_true(vq->running);
    virtio_queue_set_enabled(f->vdev, 1);
    virtio_queue_set_enabled(f->vdev, FAKE_QUEUES);
    g_assert_cmpuint(f->fake->queue_starts, ==, 1);
}

static void test_queue_reset_not_negotiated(Fixture *f, const void *data)
    MAIN_THREAD
{
    place_queue(&f->vdev->vq[1]);
    virtio_queue_set_enabled(f->vdev, 1);
    bring_up(f, V1);
    virtio_queue_reset(f->vdev, 1);
    g_assert_true(f->vdev->vq[1].running);
}

static void test_queue_legacy(Fixture *f, const void *data) MAIN_THREAD
{
    VirtQueue *vq = &f->vdev->vq[0];

    vq->vector = 1;
    virtio_queue_set_legacy(f->vdev, 0, 0x10000);
    virtio_queue_set_legacy(f->vdev, FAKE_QUEUES, 0x10000);
    g_assert_true(vq->enabled);
    virtio_set_status(f->vdev, ACK | DRV | OK);
    g_assert_true(vq->running);
    virtio_queue_set_legacy(f->vdev, 0, 0);
    g_assert_false(vq->running);
    g_assert_cmpuint(f->fake->queue_stops, ==, 1);
    virtio_queue_set_legacy(f->vdev, 0, 0x20000);
    g_assert_true(vq->running);
    g_assert_cmpuint(f->fake->queue_starts, ==, 1);
    g_assert_cmpuint(vq->vector, ==, 1);
}

static void add(const char *name, void (*func)(Fixture *, const void *),
                const void *data)
{
    g_autofree char *path = g_strdup_printf("/virtio/%s", name);

    g_test_add(path, Fixture, data, setup, func, teardown);
}

int main(int argc, char **argv)
{
    int r;

    g_test_init(&argc, &argv, NULL);
    fake_machine_init();
    add("3.1.1/bring-up", test_bring_up, NULL);
    add("2.1.1/bits-stay", test_bits_stay, NULL);
    add("2.1/failed-stops", test_failed, NULL);
    add("2.4/reset", test_reset, NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(negotiations); i++) {
        g_autofree char *name =
            g_strdup_printf("features/%s", negotiations[i].name);

        add(name, test_negotiation, &negotiations[i]);
    }
    add("3.1.1/driver-ok-needs-features-ok", test_ok_without_features_ok, NULL);
    add("features/offered", test_host_features, NULL);
    add("legacy/3.1.2/features-are-cut", test_legacy, NULL);
    add("legacy/6.3/bad-feature", test_legacy_bad_feature, NULL);
    add("legacy/3.1.2/use-before-driver-ok", test_legacy_early, NULL);
    add("legacy/3.1.2/modern-has-no-early-use", test_early_is_not_modern, NULL);
    g_test_add_func("/virtio/options/rings", test_ring_options);
    g_test_add_func("/virtio/queue/format", test_ring_format);
    g_test_add_func("/virtio/options/taken", test_iommu_platform);
    g_test_add_func("/virtio/realize/fails", test_realize_fails);
    g_test_add_func("/virtio/realize/too-many-queues", test_too_many_queues);
    add("run/machine-stop-cont", test_runstate, NULL);
    add("run/bus-master", test_bus_master, NULL);
    add("run/transport-refuses", test_transport_refuses, NULL);
    add("2.1.2/needs-reset", test_error, NULL);
    add("2.1.2/reset-overtakes-fault", test_error_then_reset, NULL);
    add("2.1.2/fault-of-a-queue-is-told-once", test_error_of_queue, NULL);
    add("2.1.2/bad-ring", test_bad_ring, NULL);
    add("2.5/configuration", test_config, NULL);
    add("2.3/notify", test_notify, NULL);
    add("2.6.1/queue-reset", test_queue_reset, NULL);
    add("2.6.1/queue-reset-not-negotiated", test_queue_reset_not_negotiated,
        NULL);
    add("legacy/2.6/queue-address", test_queue_legacy, NULL);
    r = g_test_run();
    machine_unlock();
    return r;
}
