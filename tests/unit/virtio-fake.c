/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <sys/mman.h>

#include "accel/accel.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "virtio-fake.h"

/* ---- the device ---- */

static bool fake_realize(VirtIODevice *vdev, Error **errp) MAIN_THREAD
{
    static const uint16_t sizes[1024] = { [0 ... 1023] = FAKE_QUEUE_SIZE };
    FakeDevice *fake = FAKE(vdev);

    vdev->device_id = FAKE_ID;
    vdev->config_len = FAKE_CONFIG_LEN;
    for (unsigned i = 0; i < FAKE_CONFIG_LEN; i++) {
        fake->config[i] = (uint8_t)(0x10 + i);
    }
    if (!virtio_init_queues(vdev, fake->queues, sizes, errp)) {
        return false;
    }
    if (fake->fail_realize) {
        error_setg(errp, "the fake device fails as it was told");
        return false;
    }
    return true;
}

static uint64_t fake_get_features(VirtIODevice *vdev)
{
    return 1ULL << FAKE_F_ONE | 1ULL << FAKE_F_OLD | 1ULL << FAKE_F_REFUSED;
}

static bool fake_set_features(VirtIODevice *vdev, uint64_t features)
{
    FAKE(vdev)->set_features++;
    FAKE(vdev)->features = features;
    return !(features & (1ULL << FAKE_F_REFUSED));
}

static void fake_get_config(VirtIODevice *vdev, uint8_t *config)
{
    memcpy(config, FAKE(vdev)->config, FAKE_CONFIG_LEN);
}

static void fake_set_config(VirtIODevice *vdev, uint32_t offset, uint32_t value,
                            unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        FAKE(vdev)->config[offset + i] = (uint8_t)(value >> (8 * i));
    }
}

static void start_queue(VirtIODevice *vdev, VirtQueue *vq)
{
    if (vq->enabled && virtqueue_start(vq, vdev->guest_features) < 0) {
        virtio_error(vdev, "queue %u: %s", vq->index, vq->fault);
    }
}

static void fake_start(VirtIODevice *vdev)
{
    FAKE(vdev)->starts++;
    for (unsigned i = 0; i < vdev->n_queues; i++) {
        start_queue(vdev, &vdev->vq[i]);
    }
}

static void fake_stop(VirtIODevice *vdev)
{
    FAKE(vdev)->stops++;
    for (unsigned i = 0; i < vdev->n_queues; i++) {
        virtqueue_stop(&vdev->vq[i]);
    }
}

static void fake_reset(VirtIODevice *vdev)
{
    FAKE(vdev)->resets++;
}

static void fake_queue_start(VirtIODevice *vdev, VirtQueue *vq)
{
    FAKE(vdev)->queue_starts++;
    FAKE(vdev)->last_queue = vq->index;
    start_queue(vdev, vq);
}

static void fake_queue_stop(VirtIODevice *vdev, VirtQueue *vq)
{
    FAKE(vdev)->queue_stops++;
    FAKE(vdev)->last_queue = vq->index;
    virtqueue_stop(vq);
}

static void fake_fault(VirtIODevice *vdev, const VirtQueue *vq,
                       const char *reason)
{
    FakeDevice *fake = FAKE(vdev);

    fake->faults++;
    fake->fault_while_started = vdev->started;
    fake->fault_vq = vq;
    snprintf(fake->fault_reason, sizeof(fake->fault_reason), "%s", reason);
}

static void fake_class_init(ObjectClass *klass)
{
    VirtIODeviceClass *vc = VIRTIO_DEVICE_CLASS(klass);

    vc->virtio_realize = fake_realize;
    vc->get_features = fake_get_features;
    vc->set_features = fake_set_features;
    vc->get_config = fake_get_config;
    vc->set_config = fake_set_config;
    vc->start = fake_start;
    vc->stop = fake_stop;
    vc->virtio_reset = fake_reset;
    vc->queue_start = fake_queue_start;
    vc->queue_stop = fake_queue_stop;
    vc->fault = fake_fault;
    vc->legacy_features = 1ULL << FAKE_F_OLD;
}

static const Property fake_properties[] = {
    PROP_UINT32("queues", FakeDevice, queues, FAKE_QUEUES, "how many"),
    PROP_BOOL("fail-realize", FakeDevice, fail_realize, false, "to fail"),
    PROP_END,
};

static const TypeInfo fake_types[] = {
    {
        .name = TYPE_FAKE,
        .parent = TYPE_VIRTIO_DEVICE,
        .instance_size = sizeof(FakeDevice),
        .class_init = fake_class_init,
        .properties = fake_properties,
    },
};
DEFINE_TYPES(fake_types)

/* ---- run state, in the place of system/runstate.c ---- */

struct RunStateHandler {
    RunStateFunc *func;
    void *opaque;
};

static bool running = true;
static GPtrArray *handlers;

bool runstate_is_running(void)
{
    return running;
}

RunStateHandler *runstate_handler_add(RunStateFunc *func, void *opaque)
{
    RunStateHandler *h = g_new0(RunStateHandler, 1);

    h->func = func;
    h->opaque = opaque;
    g_ptr_array_add(handlers, h);
    return h;
}

void runstate_handler_remove(RunStateHandler *handler)
{
    g_assert_true(g_ptr_array_remove(handlers, handler));
    g_free(handler);
}

void reset_handler_add(ResetFunc *func, void *opaque)
{
}

void reset_handler_remove(ResetFunc *func, void *opaque)
{
}

void fake_set_running(bool on)
{
    running = on;
    for (unsigned i = 0; i < handlers->len; i++) {
        RunStateHandler *h = g_ptr_array_index(handlers, i);

        h->func(h->opaque, on, on ? RUN_STATE_RUNNING : RUN_STATE_PAUSED);
    }
}

/* ---- interrupts, in the place of accel/accel.c ---- */

static GArray *messages;

const AccelOps *accel_current(void)
{
    return NULL;
}

void accel_msi_send(MsiMessage msg)
{
    g_array_append_val(messages, msg.data);
}

unsigned fake_take_messages(uint32_t data)
{
    unsigned n = 0;

    for (unsigned i = 0; i < messages->len; i++) {
        g_assert_cmphex(g_array_index(messages, uint32_t, i), ==, data);
        n++;
    }
    g_array_set_size(messages, 0);
    return n;
}

/* ---- the rest of the machine ---- */

static uint8_t *ram;

void *fake_ram(uint64_t gpa)
{
    g_assert_cmphex(gpa, <, FAKE_RAM_SIZE);
    return ram + gpa;
}

void fake_turn(void)
{
    event_loop_turn(main_loop(), 0);
}

NO_THREAD_SAFETY void fake_machine_init(void)
{
    RamRange range = { .size = FAKE_RAM_SIZE, .fd = -1 };

    handlers = g_ptr_array_new();
    messages = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    g_assert_true(main_loop_init(NULL));
    ram = mmap(NULL, FAKE_RAM_SIZE, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(ram != MAP_FAILED);
    range.host = ram;
    g_assert_true(ram_add(&range, NULL));
}
