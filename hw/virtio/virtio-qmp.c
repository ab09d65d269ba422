/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * x-query-virtio*: virtio devices as a monitor sees them.
 *
 * Registers and status belong to the machine lock, which a command holds. What
 * the owner of a queue keeps for itself is copied by the owner: a call into
 * its loop, or an ioctl to its vhost. Ring memory is read where it is
 * (virtqueue-inspect.c). Nobody is stopped.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/virtio/vhost-user.h"
#include "hw/virtio/vhost.h"
#include "hw/virtio/virtio-bits.h"
#include "hw/virtio/virtio.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "util/endian.h"

#define VRING_ALIGN_LEGACY 4096u /* VIRTIO 1.2, 4.1.5.1.3 */

/* VIRTIO 1.2, 6 and 6.3 */
const VirtIOBitName virtio_transport_feature_names[] = {
    { VIRTIO_F_NOTIFY_ON_EMPTY,
      "VIRTIO_F_NOTIFY_ON_EMPTY: Interrupt whenever a ring runs empty" },
    { VIRTIO_F_ANY_LAYOUT,
      "VIRTIO_F_ANY_LAYOUT: Buffers may be divided in any way" },
    { VIRTIO_RING_F_INDIRECT_DESC,
      "VIRTIO_RING_F_INDIRECT_DESC: Descriptor tables outside the ring" },
    { VIRTIO_RING_F_EVENT_IDX,
      "VIRTIO_RING_F_EVENT_IDX: Notifications asked for by ring index" },
    { 30, "VIRTIO_F_BAD_FEATURE: Taken only by drivers that do not choose" },
    { VIRTIO_F_VERSION_1, "VIRTIO_F_VERSION_1: Conforms to VIRTIO 1" },
    { VIRTIO_F_ACCESS_PLATFORM,
      "VIRTIO_F_IOMMU_PLATFORM: Addresses go through the platform's IOMMU" },
    { VIRTIO_F_RING_PACKED, "VIRTIO_F_RING_PACKED: Packed virtqueues" },
    { VIRTIO_F_IN_ORDER,
      "VIRTIO_F_IN_ORDER: Buffers are used in the order offered" },
    { VIRTIO_F_ORDER_PLATFORM,
      "VIRTIO_F_ORDER_PLATFORM: Memory is ordered as for real devices" },
    { VIRTIO_F_SR_IOV, "VIRTIO_F_SR_IOV: Single root I/O virtualization" },
    { VIRTIO_F_RING_RESET, "VIRTIO_F_RING_RESET: One queue is reset alone" },
    { 0, NULL },
};

/* VIRTIO 1.2, 2.1; the numbers are of bits, those in the headers of masks */
static const VirtIOBitName status_names[] = {
    { 0, "VIRTIO_CONFIG_S_ACKNOWLEDGE: The guest has seen the device" },
    { 1, "VIRTIO_CONFIG_S_DRIVER: The guest has a driver for it" },
    { 2, "VIRTIO_CONFIG_S_DRIVER_OK: The driver is ready" },
    { 3, "VIRTIO_CONFIG_S_FEATURES_OK: Features are agreed on" },
    { 6, "VIRTIO_CONFIG_S_NEEDS_RESET: The device cannot go on" },
    { 7, "VIRTIO_CONFIG_S_FAILED: The driver has given up" },
    { 0, NULL },
};

/* VIRTIO 1.2, 2.7.5, and 2.8.1 for packed rings */
static const VirtIOBitName desc_flag_names[] = {
    { 0, "next" },  { 1, "write" }, { 2, "indirect" },
    { 7, "avail" }, { 15, "used" }, { 0, NULL },
};

/* ---- bits to names ---- */

/* Appends the texts of the bits of *@bits that @names has, and takes those out
 * of *@bits. */
static void name_bits(const VirtIOBitName *names, uint64_t *bits, strList *out)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new();

    for (; names && names->text; names++) {
        if (*bits & 1ULL << names->bit) {
            g_ptr_array_add(texts, g_strdup(names->text));
            *bits &= ~(1ULL << names->bit);
        }
    }
    out->n = texts->len;
    out->v = g_memdup2(texts->pdata, texts->len * sizeof(*out->v));
}

static VirtioDeviceFeatures *describe_features(VirtIODevice *vdev,
                                               uint64_t bits)
{
    const VirtIOBitName *names = VIRTIO_DEVICE_GET_CLASS(vdev)->feature_names;
    VirtioDeviceFeatures *f = g_new0(VirtioDeviceFeatures, 1);

    name_bits(virtio_transport_feature_names, &bits, &f->transports);
    f->has_dev_features = names != NULL;
    name_bits(names, &bits, &f->dev_features);
    f->has_unknown_dev_features = bits != 0;
    f->unknown_dev_features = bits;
    return f;
}

static VirtioDeviceStatus *describe_status(uint8_t status)
{
    VirtioDeviceStatus *s = g_new0(VirtioDeviceStatus, 1);
    uint64_t bits = status;

    name_bits(status_names, &bits, &s->statuses);
    s->has_unknown_statuses = bits != 0;
    s->unknown_statuses = (uint8_t)bits;
    return s;
}

/* ---- finding devices ---- */

static bool is_virtio(const Object *obj)
{
    return object_is(obj, TYPE_VIRTIO_DEVICE) && obj->realized;
}

/* "virtio-net" of "virtio-net-device" */
static char *device_kind(const VirtIODevice *vdev)
{
    const char *type = object_type_name(&vdev->dev.obj);
    const char *end = g_strrstr(type, "-device");

    return end ? g_strndup(type, end - type) : g_strdup(type);
}

static void list_devices(Object *obj, GArray *out) MAIN_THREAD
{
    if (is_virtio(obj)) {
        VirtioInfo info = { .path = object_path(obj),
                            .name = device_kind(VIRTIO_DEVICE(obj)) };

        g_array_append_val(out, info);
    }
    for (unsigned i = 0; obj->children && i < obj->children->len; i++) {
        list_devices(g_ptr_array_index(obj->children, i), out);
    }
}

bool qmp_x_query_virtio(VirtioInfoList *ret, Error **errp)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(VirtioInfo));

    list_devices(object_root(), list);
    ret->n = list->len;
    ret->v = (VirtioInfo *)(void *)g_array_free(list, FALSE);
    return true;
}

static VirtIODevice *find_device(const char *path, Error **errp) MAIN_THREAD
{
    Object *obj = object_resolve(path);

    if (!obj || !is_virtio(obj)) {
        g_autofree char *shown = qapi_quote(path);

        error_setg(errp,
                   "Path '%s' is not a realized VirtIODevice; x-query-virtio "
                   "lists them",
                   shown);
        return NULL;
    }
    return VIRTIO_DEVICE(obj);
}

static VirtQueue *find_queue(const char *path, uint16_t index,
                             VirtIODevice **vdev, Error **errp) MAIN_THREAD
{
    *vdev = find_device(path, errp);
    if (!*vdev) {
        return NULL;
    }
    if (index >= (*vdev)->n_queues) {
        error_setg(errp, "Invalid virtqueue number %u: the device has 0..%d",
                   index, (int)(*vdev)->n_queues - 1);
        return NULL;
    }
    return &(*vdev)->vq[index];
}

static VirtIOQueueOwner queue_owner(VirtIODevice *vdev, unsigned index)
{
    VirtIODeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vdev);
    VirtIOQueueOwner owner = { NULL };

    if (vc->queue_owner) {
        vc->queue_owner(vdev, index, &owner);
    }
    return owner;
}

/* ---- x-query-virtio-status ---- */

static VhostStatus *describe_vhost(VirtIODevice *vdev, unsigned index,
                                   const VirtIOQueueOwner *owner) MAIN_THREAD
{
    VhostStatus *s = g_new0(VhostStatus, 1);
    VhostNetState state;

    vhost_net_inspect(owner->vhost, &state);
    s->n_mem_sections = state.n_ranges;
    s->nvqs = state.n_rings;
    s->vq_index = (int64_t)index - owner->vhost_ring;
    s->features = describe_features(vdev, state.features);
    s->acked_features = describe_features(vdev, state.acked);
    s->backend_features = describe_features(vdev, 0);
    s->protocol_features = g_new0(VhostDeviceProtocols, 1);
    name_bits(vhost_user_protocol_names, &state.protocol,
              &s->protocol_features->protocols);
    s->max_queues = 1;
    return s;
}

/* The first queue that a vhost has; n_queues: none. */
static unsigned first_vhost_queue(VirtIODevice *vdev, VirtIOQueueOwner *owner)
    MAIN_THREAD
{
    for (unsigned i = 0; i < vdev->n_queues; i++) {
        *owner = queue_owner(vdev, i);
        if (owner->vhost) {
            return i;
        }
    }
    return vdev->n_queues;
}

static bool is_disabled(VirtIODevice *vdev) MAIN_THREAD
{
    return (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) && !vdev->bus_master &&
           !virtio_is_legacy(vdev);
}

bool qmp_x_query_virtio_status(const q_obj_x_query_virtio_status_arg *arg,
                               VirtioStatus *ret, Error **errp)
{
    VirtIODevice *vdev = find_device(arg->path, errp);
    VirtIOTransportState transport = { 0 };
    VirtIOQueueOwner owner = { NULL };
    unsigned index;

    if (!vdev) {
        return false;
    }
    if (vdev->transport && vdev->transport->inspect) {
        vdev->transport->inspect(vdev->transport_opaque, &transport);
    }
    index = first_vhost_queue(vdev, &owner);
    *ret = (VirtioStatus){
        .name = device_kind(vdev),
        .device_id = vdev->device_id,
        .vhost_started = index < vdev->n_queues,
        .device_endian = g_strdup("little"),
        .guest_features = describe_features(vdev, vdev->guest_features),
        .host_features = describe_features(vdev, vdev->host_features),
        .backend_features = describe_features(vdev, vdev->host_features),
        .num_vqs = vdev->n_queues,
        .status = describe_status(vdev->status),
        .isr = transport.isr,
        .queue_sel = transport.queue_sel,
        .vm_running = vdev->vm_running,
        .broken = virtio_is_broken(vdev),
        .disabled = is_disabled(vdev),
        .use_started = true,
        .started = vdev->started,
        .start_on_kick = vdev->legacy_early,
        .bus_name = g_strdup(transport.bus_name ? transport.bus_name : ""),
        .use_guest_notifier_mask = true,
    };
    if (ret->vhost_started) {
        ret->vhost_dev = describe_vhost(vdev, index, &owner);
    }
    return true;
}

/* ---- x-query-virtio-queue-status ---- */

typedef struct QueueCopy {
    const VirtQueue *from;
    VirtQueue to;
} QueueCopy;

static void copy_queue(void *opaque)
{
    QueueCopy *copy = opaque;

    copy->to = *copy->from;
}

/* The queue as its owner sees it at one moment. */
static VirtQueue queue_snapshot(const VirtQueue *vq,
                                const VirtIOQueueOwner *owner)
{
    QueueCopy copy = { .from = vq };

    if (owner->loop) {
        event_loop_call(owner->loop, copy_queue, &copy);
    } else {
        copy_queue(&copy);
    }
    return copy.to;
}

/* With vhost our own indices are those of the hand-over. */
static bool vhost_indices(const VirtQueue *vq, const VirtIOQueueOwner *owner,
                          VirtQueueStatus *ret, Error **errp) MAIN_THREAD
{
    VirtQueueRings rings;

    if ((ret->has_last_avail_idx &&
         !vhost_net_ring_base(owner->vhost, owner->vhost_ring,
                              &ret->last_avail_idx, errp)) ||
        !virtqueue_peek_rings(vq, &rings, errp)) {
        return false;
    }
    ret->used_idx = rings.used_idx;
    return true;
}

bool qmp_x_query_virtio_queue_status(
    const q_obj_x_query_virtio_queue_status_arg *arg, VirtQueueStatus *ret,
    Error **errp)
{
    VirtIODevice *vdev;
    VirtQueue *vq = find_queue(arg->path, arg->queue, &vdev, errp);
    VirtIOQueueOwner owner;
    VirtQueue now;

    if (!vq) {
        return false;
    }
    owner = queue_owner(vdev, arg->queue);
    now = queue_snapshot(vq, &owner);
    *ret = (VirtQueueStatus){
        .queue_index = arg->queue,
        .inuse = now.inuse,
        .vring_num = now.size,
        .vring_num_default = now.max_size,
        .vring_align = VRING_ALIGN_LEGACY,
        .vring_desc = now.desc_gpa,
        .vring_avail = now.avail_gpa,
        .vring_used = now.used_gpa,
        .has_last_avail_idx = !owner.vhost || vhost_net_peeks(owner.vhost),
        .last_avail_idx = virtqueue_get_base(&now),
        .has_shadow_avail_idx = !owner.vhost && !now.packed,
        .shadow_avail_idx = owner.vhost || now.packed ? 0 : now.shadow_avail,
        .used_idx = virtqueue_get_used(&now),
        .signalled_used = now.signalled_used,
        .signalled_used_valid = now.signalled_valid,
    };
    if (owner.vhost && !vhost_indices(vq, &owner, ret, errp)) {
        return false;
    }
    ret->name = device_kind(vdev);
    return true;
}

/* ---- x-query-virtio-vhost-queue-status ---- */

bool qmp_x_query_virtio_vhost_queue_status(
    const q_obj_x_query_virtio_vhost_queue_status_arg *arg,
    VirtVhostQueueStatus *ret, Error **errp)
{
    VirtIODevice *vdev;
    VirtQueue *vq = find_queue(arg->path, arg->queue, &vdev, errp);

    if (!vq) {
        return false;
    }
    if (!queue_owner(vdev, arg->queue).vhost) {
        error_setg(errp,
                   "Virtqueue %u is not on vhost; x-query-virtio-queue-status "
                   "shows the others",
                   arg->queue);
        return false;
    }
    *ret = (VirtVhostQueueStatus){
        .name = device_kind(vdev),
        .kick = vq->kick_fd,
        .call = vq->call_fd,
        .desc = (uintptr_t)vq->desc,
        .avail = (uintptr_t)vq->avail,
        .used = (uintptr_t)vq->used,
        .num = vq->size,
        .desc_phys = vq->desc_gpa,
        .desc_size = virtqueue_desc_bytes(vq),
        .avail_phys = vq->avail_gpa,
        .avail_size = virtqueue_avail_bytes(vq),
        .used_phys = vq->used_gpa,
        .used_size = virtqueue_used_bytes(vq),
    };
    return true;
}

/* ---- x-query-virtio-queue-element ---- */

/* The entry that the queue's owner will take next. */
static bool next_index(VirtIODevice *vdev, const VirtQueue *vq, uint16_t *index,
                       Error **errp) MAIN_THREAD
{
    VirtIOQueueOwner owner = queue_owner(vdev, vq->index);
    VirtQueue now;

    if (owner.vhost) {
        return vhost_net_ring_base(owner.vhost, owner.vhost_ring, index, errp);
    }
    now = queue_snapshot(vq, &owner);
    *index = virtqueue_get_base(&now);
    return true;
}

static void describe_chain(const VirtQueueDesc *desc, unsigned n,
                           VirtioRingDescList *out)
{
    out->n = n;
    out->v = g_new0(VirtioRingDesc, n);
    for (unsigned i = 0; i < n; i++) {
        uint64_t flags = desc[i].flags;

        out->v[i].addr = desc[i].addr;
        out->v[i].len = desc[i].len;
        name_bits(desc_flag_names, &flags, &out->v[i].flags);
    }
}

bool qmp_x_query_virtio_queue_element(
    const q_obj_x_query_virtio_queue_element_arg *arg, VirtioQueueElement *ret,
    Error **errp)
{
    g_autofree VirtQueueDesc *desc = g_new(VirtQueueDesc, VIRTQUEUE_MAX_SEGS);
    VirtIODevice *vdev;
    VirtQueue *vq = find_queue(arg->path, arg->queue, &vdev, errp);
    uint16_t index = arg->index, head;
    VirtQueueRings rings;
    unsigned n;

    if (!vq || !virtqueue_peek_rings(vq, &rings, errp) ||
        (!arg->has_index && !next_index(vdev, vq, &index, errp)) ||
        !virtqueue_peek_avail(vq, index, &head, errp)) {
        return false;
    }
    n = virtqueue_peek_chain(vq, head, desc, errp);
    if (!n) {
        if (!arg->has_index && !vq->packed && index == rings.avail_idx) {
            error_prepend(errp, "Nothing is offered in this queue: ");
        }
        return false;
    }
    ret->name = device_kind(vdev);
    ret->index = head;
    describe_chain(desc, n, &ret->descs);
    ret->avail = g_new0(VirtioRingAvail, 1);
    *ret->avail = (VirtioRingAvail){ .flags = rings.avail_flags,
                                     .idx = rings.avail_idx,
                                     .ring = head };
    ret->used = g_new0(VirtioRingUsed, 1);
    *ret->used =
        (VirtioRingUsed){ .flags = rings.used_flags, .idx = rings.used_idx };
    return true;
}
