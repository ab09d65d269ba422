/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules between a virtio transport and a virtio device (VIRTIO 1.2,
 * chapters 2, 3 and 6).
 *
 * Threads: under the machine lock, except virtio_error() and
 * virtio_is_broken().
 */
#include "util/osdep.h"

#include "hw/virtio/virtio-bits.h"
#include "hw/virtio/virtio.h"
#include "system/main-loop.h"
#include "util/endian.h"
#include "util/fd.h"
#include "util/log.h"

#define BIT(n) (1ULL << (n))

/* A driver that accepts this one accepts whatever it is shown, and is to be
 * given nothing (6.3, legacy). */
#define F_BAD_FEATURE 30

#define LEGACY_ONLY_FEATURES                              \
    (BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(F_BAD_FEATURE) | \
     BIT(VIRTIO_F_ANY_LAYOUT))

#define DRIVER_STATUS_BITS                                     \
    (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |    \
     VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK | \
     VIRTIO_CONFIG_S_FAILED)

/* For messages: the device as the user named it, which is the proxy. */
static const char *virtio_label(const VirtIODevice *vdev)
{
    const Object *parent = vdev->dev.obj.parent;

    return parent && object_is(parent, TYPE_DEVICE)
               ? device_label(OBJECT_CAST(const DeviceState, parent))
               : device_label(&vdev->dev);
}

/* ---- features ---- */

bool virtio_has_feature(const VirtIODevice *vdev, unsigned bit)
{
    return vdev->guest_features & BIT(bit);
}

bool virtio_is_legacy(const VirtIODevice *vdev)
{
    return !virtio_has_feature(vdev, VIRTIO_F_VERSION_1);
}

uint64_t virtio_legacy_only_features(VirtIODevice *vdev)
{
    return LEGACY_ONLY_FEATURES |
           VIRTIO_DEVICE_GET_CLASS(vdev)->legacy_features;
}

uint64_t virtio_get_host_features(VirtIODevice *vdev)
{
    return vdev->host_features;
}

void virtio_offer_features(VirtIODevice *vdev)
{
    uint64_t f = VIRTIO_DEVICE_GET_CLASS(vdev)->get_features(vdev) |
                 vdev->common_features;

    vdev->host_features = (f & vdev->features_mask) | BIT(VIRTIO_F_VERSION_1) |
                          BIT(F_BAD_FEATURE);
}

void virtio_set_guest_features(VirtIODevice *vdev, uint64_t features)
{
    if (vdev->features_final) {
        log_mask(LOG_GUEST_ERROR, "%s: driver changes features too late",
                 virtio_label(vdev));
        return;
    }
    vdev->guest_features = features;
}

/* Hands the driver's selection to the class, which may refuse it. */
static bool commit_features(VirtIODevice *vdev, uint64_t features)
{
    VirtIODeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);

    if (vc->set_features && !vc->set_features(vdev, features)) {
        return false;
    }
    vdev->guest_features = features;
    vdev->features_final = true;
    return true;
}

/* The driver wrote FEATURES_OK: may it stand (2.2.2, 6.1)? */
static bool accept_modern_features(VirtIODevice *vdev) MAIN_THREAD
{
    uint64_t offered = vdev->host_features & ~virtio_legacy_only_features(vdev);
    uint64_t features = vdev->guest_features;

    if (features & ~offered) {
        log_mask(LOG_GUEST_ERROR,
                 "%s: driver accepts features not offered: 0x%" PRIx64,
                 virtio_label(vdev), features & ~offered);
        return false;
    }
    if (!(features & BIT(VIRTIO_F_VERSION_1))) {
        log_mask(LOG_GUEST_ERROR,
                 "%s: driver sets FEATURES_OK without VIRTIO_F_VERSION_1",
                 virtio_label(vdev));
        return false;
    }
    return commit_features(vdev, features);
}

/* A legacy driver has no FEATURES_OK: its selection is cut to the offer. */
static bool accept_legacy_features(VirtIODevice *vdev)
{
    uint64_t features = vdev->guest_features & vdev->host_features;

    if (features & BIT(VIRTIO_F_VERSION_1)) {
        log_mask(LOG_GUEST_ERROR, "%s: driver goes on without FEATURES_OK",
                 virtio_label(vdev));
        return false;
    }
    features = features & BIT(F_BAD_FEATURE) ? 0 : (uint32_t)features;
    return commit_features(vdev, features);
}

/* ---- start and stop ---- */

static bool may_run(const VirtIODevice *vdev)
{
    bool ready =
        (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) || vdev->legacy_early;

    return ready && !(vdev->status & VIRTIO_CONFIG_S_FAILED) &&
           vdev->vm_running && !virtio_is_broken(vdev) &&
           (vdev->bus_master || virtio_is_legacy(vdev));
}

static void device_start(VirtIODevice *vdev) MAIN_THREAD
{
    g_autoptr(GError) err = NULL;

    if (vdev->transport &&
        !vdev->transport->start(vdev->transport_opaque, &err)) {
        virtio_error(vdev, "cannot start: %s", err->message);
        return;
    }
    vdev->started = true;
    VIRTIO_DEVICE_GET_CLASS(vdev)->start(vdev);
}

static void device_stop(VirtIODevice *vdev) MAIN_THREAD
{
    vdev->started = false;
    VIRTIO_DEVICE_GET_CLASS(vdev)->stop(vdev);
    if (vdev->transport) {
        vdev->transport->stop(vdev->transport_opaque);
    }
}

/* Brings the device into the state that status and machine ask for. */
static void device_update(VirtIODevice *vdev) MAIN_THREAD
{
    bool run = may_run(vdev);

    if (run && !vdev->started) {
        device_start(vdev);
    } else if (!run && vdev->started) {
        device_stop(vdev);
    }
}

static void runstate_changed(void *opaque, bool running, RunState state)
    MAIN_THREAD
{
    VirtIODevice *vdev = opaque;

    vdev->vm_running = running;
    device_update(vdev);
}

void virtio_set_bus_master(VirtIODevice *vdev, bool on)
{
    vdev->bus_master = on;
    device_update(vdev);
}

/* ---- faults ---- */

bool virtio_is_broken(const VirtIODevice *vdev)
{
    return __atomic_load_n(&vdev->broken, __ATOMIC_ACQUIRE);
}

/* Takes the reason, if there is one that the class was not told. */
static char *take_fault_reason(VirtIODevice *vdev)
{
    return __atomic_exchange_n(&vdev->fault_reason, NULL, __ATOMIC_ACQUIRE);
}

static void tell_fault(VirtIODevice *vdev) MAIN_THREAD
{
    g_autofree char *reason = take_fault_reason(vdev);

    if (reason && VIRTIO_DEVICE_GET_CLASS(vdev)->fault) {
        VIRTIO_DEVICE_GET_CLASS(vdev)->fault(vdev, vdev->fault_vq, reason);
    }
}

/* The rest of virtio_error(), on the main loop. */
static void error_task_run(void *opaque) MAIN_THREAD
{
    VirtIODevice *vdev = opaque;

    if (!virtio_is_broken(vdev)) {
        return; /* reset since */
    }
    tell_fault(vdev);
    vdev->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
    device_update(vdev);
    if (vdev->transport && (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        vdev->transport->notify_config(vdev->transport_opaque);
    }
}

static void break_device(VirtIODevice *vdev, const VirtQueue *vq,
                         const char *fmt, va_list ap) G_GNUC_PRINTF(3, 0);
static void break_device(VirtIODevice *vdev, const VirtQueue *vq,
                         const char *fmt, va_list ap)
{
    g_autofree char *text = NULL;
    char *reason;

    if (__atomic_exchange_n(&vdev->broken, true, __ATOMIC_ACQ_REL)) {
        return;
    }
    reason = g_strdup_vprintf(fmt, ap);
    text = vq ? g_strdup_printf("queue %u: %s", vq->index, reason)
              : g_strdup(reason);
    if (!__atomic_exchange_n(&vdev->warned, true, __ATOMIC_RELAXED)) {
        warn_report("%s: guest driver fault, device stopped until it is "
                    "reset: %s",
                    virtio_label(vdev), text);
    } else {
        log_mask(LOG_GUEST_ERROR, "%s: guest driver fault: %s",
                 virtio_label(vdev), text);
    }
    vdev->fault_vq = vq;
    __atomic_store_n(&vdev->fault_reason, reason, __ATOMIC_RELEASE);
    loop_task_schedule(&vdev->error_task);
}

void virtio_error(VirtIODevice *vdev, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    break_device(vdev, NULL, fmt, ap);
    va_end(ap);
}

void virtio_queue_error(VirtIODevice *vdev, const VirtQueue *vq,
                        const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    break_device(vdev, vq, fmt, ap);
    va_end(ap);
}

/* ---- status ---- */

/* DRIVER_OK, or a legacy driver's first use before it. */
static void driver_ready(VirtIODevice *vdev) MAIN_THREAD
{
    if (!vdev->features_final && !accept_legacy_features(vdev)) {
        virtio_error(vdev,
                     "driver is ready with features 0x%" PRIx64
                     " that it did not get accepted",
                     vdev->guest_features);
    }
}

void virtio_set_status(VirtIODevice *vdev, uint8_t status)
{
    uint8_t added;

    if (status == 0) {
        virtio_reset(vdev);
        return;
    }
    /* Bits stay until reset (2.1.1); NEEDS_RESET is ours. */
    added = status & DRIVER_STATUS_BITS & ~vdev->status;
    if ((added & VIRTIO_CONFIG_S_FEATURES_OK) &&
        (vdev->features_final || !accept_modern_features(vdev))) {
        added &= ~VIRTIO_CONFIG_S_FEATURES_OK;
    }
    vdev->status |= added;
    if (added & VIRTIO_CONFIG_S_DRIVER_OK) {
        driver_ready(vdev);
    }
    device_update(vdev);
}

void virtio_legacy_use(VirtIODevice *vdev)
{
    if (vdev->legacy_early || !(vdev->status & VIRTIO_CONFIG_S_DRIVER) ||
        (vdev->status &
         (VIRTIO_CONFIG_S_DRIVER_OK | VIRTIO_CONFIG_S_FEATURES_OK))) {
        return;
    }
    vdev->legacy_early = true;
    driver_ready(vdev);
    device_update(vdev);
}

void virtio_reset(VirtIODevice *vdev)
{
    VirtIODeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);

    /* A driver that breaks the device and resets it at once is told of too. */
    tell_fault(vdev);
    vdev->status = 0;
    vdev->legacy_early = false;
    device_update(vdev);
    if (vc->virtio_reset) {
        vc->virtio_reset(vdev);
    }
    for (unsigned i = 0; i < vdev->n_queues; i++) {
        virtqueue_reset(&vdev->vq[i]);
    }
    vdev->guest_features = 0;
    vdev->features_final = false;
    g_free(take_fault_reason(vdev)); /* found while the owners were stopped */
    __atomic_store_n(&vdev->broken, false, __ATOMIC_RELEASE);
    virtio_offer_features(vdev);
}

/* ---- configuration space ---- */

void virtio_notify_config(VirtIODevice *vdev)
{
    vdev->config_generation++;
    if (vdev->transport && (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        vdev->transport->notify_config(vdev->transport_opaque);
    }
}

uint32_t virtio_config_read(VirtIODevice *vdev, uint32_t offset, unsigned size)
{
    VirtIODeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);
    g_autofree uint8_t *config = NULL;
    uint8_t bytes[4] = { 0 };

    if (!vc->get_config || offset >= vdev->config_len || size > sizeof(bytes)) {
        return 0;
    }
    config = g_malloc0(vdev->config_len);
    vc->get_config(vdev, config);
    memcpy(bytes, config + offset, MIN(size, vdev->config_len - offset));
    return load_le32(bytes);
}

void virtio_config_write(VirtIODevice *vdev, uint32_t offset, uint32_t value,
                         unsigned size)
{
    VirtIODeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);

    if (vc->set_config && size <= vdev->config_len &&
        offset <= vdev->config_len - size) {
        vc->set_config(vdev, offset, value, size);
    }
}

/* ---- queues ---- */

bool virtio_init_queues(VirtIODevice *vdev, unsigned n, const uint16_t *sizes,
                        Error **errp)
{
    if (n > VIRTIO_MAX_QUEUES) {
        error_setg(errp, "%s: %u virtqueues are more than the maximum %u",
                   virtio_label(vdev), n, VIRTIO_MAX_QUEUES);
        return false;
    }
    vdev->vq = g_new0(VirtQueue, n);
    for (vdev->n_queues = 0; vdev->n_queues < n; vdev->n_queues++) {
        unsigned i = vdev->n_queues;

        if (!virtqueue_init(&vdev->vq[i], i, sizes[i], errp)) {
            error_prepend(errp, "%s: ", virtio_label(vdev));
            return false;
        }
    }
    return true;
}

static void cleanup_queues(VirtIODevice *vdev)
{
    for (unsigned i = 0; i < vdev->n_queues; i++) {
        virtqueue_cleanup(&vdev->vq[i]);
    }
    g_clear_pointer(&vdev->vq, g_free);
    vdev->n_queues = 0;
}

void virtio_queue_notify(VirtIODevice *vdev, unsigned index)
{
    if (index < vdev->n_queues) {
        eventfd_signal_shared(vdev->vq[index].kick_fd);
    }
}

static void queue_start(VirtIODevice *vdev, VirtQueue *vq) MAIN_THREAD
{
    VirtIODeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);

    if (vdev->started && vc->queue_start) {
        vc->queue_start(vdev, vq);
    }
}

static void queue_stop(VirtIODevice *vdev, VirtQueue *vq) MAIN_THREAD
{
    VirtIODeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);

    if (vdev->started && vq->enabled && vc->queue_stop) {
        vc->queue_stop(vdev, vq);
    }
}

void virtio_queue_set_enabled(VirtIODevice *vdev, unsigned index)
{
    VirtQueue *vq;

    if (index >= vdev->n_queues || vdev->vq[index].enabled) {
        return;
    }
    vq = &vdev->vq[index];
    vq->enabled = true;
    virtqueue_set_features(vq, vdev->guest_features);
    queue_start(vdev, vq);
}

void virtio_queue_reset(VirtIODevice *vdev, unsigned index)
{
    if (index >= vdev->n_queues ||
        !virtio_has_feature(vdev, VIRTIO_F_RING_RESET)) {
        return;
    }
    queue_stop(vdev, &vdev->vq[index]);
    virtqueue_reset(&vdev->vq[index]);
}

void virtio_queue_set_legacy(VirtIODevice *vdev, unsigned index, uint64_t gpa)
{
    VirtQueue *vq;
    uint16_t vector;

    if (index >= vdev->n_queues) {
        return;
    }
    vq = &vdev->vq[index];
    if (vq->enabled) {
        vector = vq->vector;
        queue_stop(vdev, vq);
        virtqueue_reset(vq);
        vq->vector = vector;
    }
    virtqueue_set_legacy(vq, gpa);
    if (vq->enabled) {
        queue_start(vdev, vq);
    }
}

/* ---- the type ---- */

void virtio_bind_transport(VirtIODevice *vdev, const VirtIOTransportOps *ops,
                           void *opaque)
{
    vdev->transport = ops;
    vdev->transport_opaque = opaque;
}

static bool virtio_device_realize(DeviceState *dev, Error **errp) MAIN_THREAD
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtIODeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);

    loop_task_init(&vdev->error_task, main_loop(), error_task_run, vdev);
    vdev->features_mask = UINT64_MAX;
    if (vc->virtio_realize && !vc->virtio_realize(vdev, errp)) {
        cleanup_queues(vdev);
        return false;
    }
    virtio_offer_features(vdev);
    vdev->vm_running = runstate_is_running();
    vdev->runstate = runstate_handler_add(runstate_changed, vdev);
    return true;
}

static void virtio_device_unrealize(DeviceState *dev) MAIN_THREAD
{
    VirtIODevice *vdev = VIRTIO_DEVICE(dev);
    VirtIODeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);

    runstate_handler_remove(vdev->runstate);
    vdev->runstate = NULL;
    virtio_reset(vdev);
    loop_task_cancel(&vdev->error_task);
    if (vc->virtio_unrealize) {
        vc->virtio_unrealize(vdev);
    }
    cleanup_queues(vdev);
}

static void virtio_device_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = virtio_device_realize;
    dc->unrealize = virtio_device_unrealize;
}

static const Property virtio_device_properties[] = {
    PROP_BIT64("notify_on_empty", VirtIODevice, common_features,
               VIRTIO_F_NOTIFY_ON_EMPTY, true,
               "legacy: interrupt whenever a ring runs empty"),
    PROP_BIT64("any_layout", VirtIODevice, common_features, VIRTIO_F_ANY_LAYOUT,
               true, "legacy: headers and data in descriptors of any layout"),
    PROP_BIT64("indirect_desc", VirtIODevice, common_features,
               VIRTIO_RING_F_INDIRECT_DESC, true,
               "descriptor tables outside the ring"),
    PROP_BIT64("event_idx", VirtIODevice, common_features,
               VIRTIO_RING_F_EVENT_IDX, true,
               "kicks and interrupts asked for by ring index"),
    PROP_BIT64("iommu_platform", VirtIODevice, common_features,
               VIRTIO_F_ACCESS_PLATFORM, false,
               "driver uses the platform's DMA addresses"),
    PROP_BIT64("packed", VirtIODevice, common_features, VIRTIO_F_RING_PACKED,
               false, "packed virtqueues"),
    PROP_BIT64("in_order", VirtIODevice, common_features, VIRTIO_F_IN_ORDER,
               false, "buffers are used in the order offered"),
    PROP_BIT64("queue_reset", VirtIODevice, common_features,
               VIRTIO_F_RING_RESET, true, "one queue can be reset alone"),
    PROP_END,
};

static const TypeInfo virtio_types[] = {
    {
        .name = TYPE_VIRTIO_DEVICE,
        .parent = TYPE_DEVICE,
        .abstract = true,
        .instance_size = sizeof(VirtIODevice),
        .class_size = sizeof(VirtIODeviceClass),
        .class_init = virtio_device_class_init,
        .properties = virtio_device_properties,
    },
};
DEFINE_TYPES(virtio_types)
