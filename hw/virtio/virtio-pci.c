/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio over PCI: the proxy, how its interrupts leave and its doorbells
 * arrive, its properties and types (VIRTIO 1.2, 4.1).
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "hw/virtio/virtio-pci-internal.h"
#include "system/main-loop.h"
#include "util/endian.h"
#include "util/fd.h"

#define PCI_VENDOR_ID_VIRTIO 0x1af4
#define PCI_ID_MODERN(id)    (0x1040 + (id)) /* 4.1.2 */
#define PCI_REVISION_MODERN  1
#define PCI_SUBSYSTEM_MODERN 0x1100

#define ISR_QUEUE  0x1 /* 4.1.4.5 */
#define ISR_CONFIG VIRTIO_PCI_ISR_CONFIG

#define DEFAULT_VECTORS 2

/* ---- interrupts ---- */

static void update_intx(VirtIOPCIProxy *proxy) MAIN_THREAD
{
    pci_set_irq(&proxy->pci, proxy->isr && !proxy->msix_on);
}

uint8_t virtio_pci_read_isr(VirtIOPCIProxy *proxy)
{
    uint8_t isr = proxy->isr;

    proxy->isr = 0;
    update_intx(proxy);
    return isr;
}

static void notify_config(void *opaque) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = opaque;

    proxy->isr |= ISR_CONFIG;
    if (proxy->msix_on) {
        msix_notify(&proxy->pci, proxy->config_vector);
    } else {
        update_intx(proxy);
    }
}

/* A signal of the queue that did not go to its vector by itself. */
static void deliver_call(VirtIOPCIQueue *q) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = q->proxy;

    if (proxy->msix_on) {
        msix_notify(&proxy->pci, q->vq->vector);
    } else {
        proxy->isr |= ISR_QUEUE;
        update_intx(proxy);
    }
}

static void call_ready(void *opaque, uint32_t events) MAIN_THREAD
{
    VirtIOPCIQueue *q = opaque;

    if (eventfd_clear(q->vq->call_fd)) {
        deliver_call(q);
    }
}

/* Says where signals of a running queue go. */
static void route_call(VirtIOPCIQueue *q) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = q->proxy;
    g_autoptr(GError) err = NULL;

    if (proxy->msix_on) {
        if (q->vq->vector == MSIX_NO_VECTOR) {
            return;
        }
        q->binding =
            msix_bind(&proxy->pci, q->vq->vector, q->vq->call_fd, &err);
        if (q->binding) {
            return;
        }
        if (!proxy->warned_route) {
            proxy->warned_route = true;
            warn_report("%s: interrupts go through the main loop: %s",
                        device_label(&proxy->pci.dev), err->message);
        }
    }
    fd_watch_start(&q->watch, main_loop(), q->vq->call_fd, LOOP_IN, call_ready,
                   q);
}

/* Nothing signalled so far gets lost. */
static void unroute_call(VirtIOPCIQueue *q) MAIN_THREAD
{
    msix_unbind(q->binding);
    q->binding = NULL;
    if (q->watch.loop) {
        fd_watch_stop(&q->watch);
        call_ready(q, LOOP_IN);
    }
}

/* MSI-X went on or off: signals change their way. */
static void set_msix_on(VirtIOPCIProxy *proxy, bool on) MAIN_THREAD
{
    VirtIODevice *vdev = proxy->vdev;

    for (unsigned i = 0; proxy->active && i < vdev->n_queues; i++) {
        unroute_call(&proxy->queue[i]);
    }
    proxy->msix_on = on;
    for (unsigned i = 0; proxy->active && i < vdev->n_queues; i++) {
        if (vdev->vq[i].enabled) {
            route_call(&proxy->queue[i]);
        }
    }
    update_intx(proxy);
}

static uint16_t valid_vector(const VirtIOPCIProxy *proxy, uint16_t vector)
{
    return vector < msix_vectors(&proxy->pci) ? vector : MSIX_NO_VECTOR;
}

void virtio_pci_set_config_vector(VirtIOPCIProxy *proxy, uint16_t vector)
{
    proxy->config_vector = valid_vector(proxy, vector);
}

void virtio_pci_set_queue_vector(VirtIOPCIProxy *proxy, unsigned index,
                                 uint16_t vector)
{
    VirtQueue *vq;

    if (index >= proxy->vdev->n_queues) {
        return;
    }
    vq = &proxy->vdev->vq[index];
    vector = valid_vector(proxy, vector);
    if (vq->vector == vector) {
        return;
    }
    if (proxy->active && vq->enabled) {
        unroute_call(&proxy->queue[index]);
        vq->vector = vector;
        route_call(&proxy->queue[index]);
    } else {
        vq->vector = vector;
    }
}

/* ---- doorbells ---- */

bool virtio_pci_open_door(VirtIOPCIQueue *q, IoRegion *region, uint64_t offset,
                          unsigned size, bool match, Error **errp)
{
    if (!io_region_add_eventfd(region, offset, size, match, q->vq->index,
                               q->vq->kick_fd, errp)) {
        return false;
    }
    g_assert(q->n_doors < ARRAY_SIZE(q->door));
    q->door[q->n_doors++] = (VirtIOPCIDoor){
        .region = region, .offset = offset, .size = size, .match = match
    };
    return true;
}

static void close_doors(VirtIOPCIQueue *q) MAIN_THREAD
{
    while (q->n_doors) {
        const VirtIOPCIDoor *d = &q->door[--q->n_doors];

        io_region_del_eventfd(d->region, d->offset, d->size, d->match,
                              q->vq->index, q->vq->kick_fd);
    }
}

/* A door that does not open costs exits only: the write is then ours to
 * pass on. */
static void open_doors(VirtIOPCIQueue *q) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = q->proxy;
    g_autoptr(GError) err = NULL;
    bool open;

    if (!proxy->ioeventfd) {
        return;
    }
    /* Of the interface in use: the kernel's room for doors is limited. */
    open = virtio_is_legacy(proxy->vdev)
               ? virtio_pci_legacy_open_doors(q, &err)
               : virtio_pci_modern_open_doors(q, &err);
    if (!open && !proxy->warned_door) {
        proxy->warned_door = true;
        warn_report("%s: kicks of queue %u, maybe others, leave the guest: %s",
                    device_label(&proxy->pci.dev), q->vq->index,
                    err ? err->message : "no ioeventfd");
    }
}

void virtio_pci_queue_connect(VirtIOPCIProxy *proxy, unsigned index)
{
    VirtIOPCIQueue *q = &proxy->queue[index];

    if (proxy->active && q->vq->enabled) {
        route_call(q);
        open_doors(q);
    }
}

void virtio_pci_queue_disconnect(VirtIOPCIProxy *proxy, unsigned index)
{
    close_doors(&proxy->queue[index]);
    unroute_call(&proxy->queue[index]);
}

/* ---- what the device asks of its transport ---- */

static bool transport_start(void *opaque, Error **errp) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = opaque;

    proxy->active = true;
    proxy->msix_on = msix_enabled(&proxy->pci);
    for (unsigned i = 0; i < proxy->vdev->n_queues; i++) {
        virtio_pci_queue_connect(proxy, i);
    }
    return true;
}

static void transport_stop(void *opaque) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = opaque;

    for (unsigned i = 0; i < proxy->vdev->n_queues; i++) {
        virtio_pci_queue_disconnect(proxy, i);
    }
    proxy->active = false;
}

static unsigned transport_n_vectors(void *opaque)
{
    VirtIOPCIProxy *proxy = opaque;

    return msix_vectors(&proxy->pci);
}

static void transport_inspect(void *opaque, VirtIOTransportState *state)
{
    VirtIOPCIProxy *proxy = opaque;

    state->isr = proxy->isr;
    state->queue_sel = proxy->queue_select;
    state->bus_name = proxy->pci.dev.bus ? proxy->pci.dev.bus->name : NULL;
}

static const VirtIOTransportOps transport_ops = {
    .notify_config = notify_config,
    .start = transport_start,
    .stop = transport_stop,
    .n_vectors = transport_n_vectors,
    .inspect = transport_inspect,
};

/* ---- registers that both interfaces have ---- */

VirtQueue *virtio_pci_selected(VirtIOPCIProxy *proxy)
{
    return proxy->queue_select < proxy->vdev->n_queues
               ? &proxy->vdev->vq[proxy->queue_select]
               : NULL;
}

static void reset_registers(VirtIOPCIProxy *proxy) MAIN_THREAD
{
    virtio_reset(proxy->vdev);
    proxy->isr = 0;
    update_intx(proxy);
    proxy->config_vector = MSIX_NO_VECTOR;
    proxy->queue_select = 0;
    proxy->device_feature_select = proxy->driver_feature_select = 0;
    memset(proxy->driver_features, 0, sizeof(proxy->driver_features));
}

void virtio_pci_write_status(VirtIOPCIProxy *proxy, uint8_t status)
{
    if (status == 0) {
        reset_registers(proxy);
    } else {
        virtio_set_status(proxy->vdev, status);
    }
}

/* ---- configuration space ---- */

/* Takes in MSI-X and bus mastering as they stand there now. */
static void refresh_from_config(VirtIOPCIProxy *proxy) MAIN_THREAD
{
    bool msix_on = msix_enabled(&proxy->pci);
    bool bus_master = pci_bus_master(&proxy->pci);

    if (msix_on != proxy->msix_on) {
        set_msix_on(proxy, msix_on);
    }
    if (bus_master != proxy->vdev->bus_master) {
        virtio_set_bus_master(proxy->vdev, bus_master);
    }
}

static void config_written(PCIDevice *pci, uint32_t offset, unsigned len)
    MAIN_THREAD
{
    VirtIOPCIProxy *proxy = VIRTIO_PCI(pci);

    refresh_from_config(proxy);
    virtio_pci_window_written(proxy, offset, len);
}

static void config_read(PCIDevice *pci, uint32_t offset, unsigned len)
    MAIN_THREAD
{
    virtio_pci_window_read(VIRTIO_PCI(pci), offset, len);
}

/* ---- realize ---- */

VirtIODevice *virtio_pci_device(VirtIOPCIProxy *proxy)
{
    return proxy->vdev;
}

/* Decides which interfaces are shown. */
static bool choose_interfaces(VirtIOPCIProxy *proxy, Error **errp)
{
    const VirtIOPCIClass *vpc = VIRTIO_PCI_GET_CLASS(proxy);
    const char *label = device_label(&proxy->pci.dev);

    if (!vpc->transitional_dev_id && proxy->disable_legacy == ON_OFF_AUTO_OFF) {
        error_setg(errp,
                   "%s: option 'disable-legacy=off': this device has no legacy "
                   "interface; use 'on' or 'auto'",
                   label);
        return false;
    }
    proxy->modern = !proxy->disable_modern;
    proxy->legacy =
        proxy->disable_legacy != ON_OFF_AUTO_ON && vpc->transitional_dev_id;
    if (!proxy->modern && !proxy->legacy) {
        error_setg(errp,
                   "%s: options 'disable-legacy' and 'disable-modern' leave no "
                   "interface; use disable-modern=off or disable-legacy=off",
                   label);
        return false;
    }
    return true;
}

static bool check_express_options(VirtIOPCIProxy *proxy, Error **errp)
{
    const char *name = proxy->ats ? "ats" : proxy->aer ? "aer" : NULL;

    if (name) {
        error_setg(errp,
                   "%s: option '%s=on' needs a PCI Express bus, and this one "
                   "is conventional PCI; use '%s=off'",
                   device_label(&proxy->pci.dev), name, name);
        return false;
    }
    return true;
}

static bool init_vectors(VirtIOPCIProxy *proxy, Error **errp) MAIN_THREAD
{
    const VirtIOPCIClass *vpc = VIRTIO_PCI_GET_CLASS(proxy);
    unsigned n = proxy->vectors;

    if (n == VIRTIO_PCI_VECTORS_UNSPECIFIED) {
        n = vpc->default_vectors ? vpc->default_vectors(proxy)
                                 : DEFAULT_VECTORS;
        n = MIN(n, MSIX_MAX_VECTORS);
    } else if (n > MSIX_MAX_VECTORS) {
        error_setg(errp,
                   "%s: option 'vectors=%u' is above the maximum %u; 0 is "
                   "without MSI-X",
                   device_label(&proxy->pci.dev), n, MSIX_MAX_VECTORS);
        return false;
    }
    return n == 0 || msix_init(&proxy->pci, n, VIRTIO_PCI_BAR_MSIX, errp);
}

/* Identity as 4.1.2 wants it: a transitional function has the old ids. */
static void set_ids(VirtIOPCIProxy *proxy)
{
    uint8_t *c = proxy->pci.config;
    uint16_t id = proxy->vdev->device_id;

    if (proxy->legacy) {
        store_le16(c + PCI_SUBSYSTEM_ID, id);
    } else {
        store_le16(c + PCI_DEVICE_ID, PCI_ID_MODERN(id));
        c[PCI_REVISION_ID] = PCI_REVISION_MODERN;
    }
    c[PCI_INTERRUPT_PIN] = 1;
}

static void make_queues(VirtIOPCIProxy *proxy)
{
    unsigned n = proxy->vdev->n_queues;

    proxy->queue = g_new0(VirtIOPCIQueue, n);
    for (unsigned i = 0; i < n; i++) {
        proxy->queue[i].proxy = proxy;
        proxy->queue[i].vq = &proxy->vdev->vq[i];
        proxy->queue[i].watch.name = "virtio-call";
    }
}

static bool virtio_pci_realize(PCIDevice *pci, Error **errp) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = VIRTIO_PCI(pci);

    if (!choose_interfaces(proxy, errp) ||
        !check_express_options(proxy, errp) || !init_vectors(proxy, errp)) {
        return false; /* the PCI core takes MSI-X back */
    }
    virtio_bind_transport(proxy->vdev, &transport_ops, proxy);
    if (!device_realize(&proxy->vdev->dev, NULL, errp)) {
        return false;
    }
    set_ids(proxy);
    make_queues(proxy);
    if (proxy->modern && !virtio_pci_modern_realize(proxy, errp)) {
        device_unrealize(&proxy->vdev->dev);
        g_clear_pointer(&proxy->queue, g_free);
        return false;
    }
    if (proxy->legacy) {
        virtio_pci_legacy_realize(proxy);
    }
    reset_registers(proxy);
    pci->config_written = config_written;
    pci->config_read = config_read;
    return true;
}

static void virtio_pci_unrealize(PCIDevice *pci) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = VIRTIO_PCI(pci);

    pci->config_written = NULL;
    pci->config_read = NULL;
    device_unrealize(&proxy->vdev->dev);
    if (proxy->legacy) {
        virtio_pci_legacy_unrealize(proxy);
    }
    if (proxy->modern) {
        virtio_pci_modern_unrealize(proxy);
    }
    proxy->access_cap = 0;
    g_clear_pointer(&proxy->queue, g_free);
}

static void virtio_pci_device_reset(DeviceState *dev) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = VIRTIO_PCI(dev);

    reset_registers(proxy);
    virtio_pci_window_reset(proxy);
    refresh_from_config(proxy);
}

/* ---- the types ---- */

static void virtio_pci_instance_init(Object *obj) MAIN_THREAD
{
    VirtIOPCIProxy *proxy = VIRTIO_PCI(obj);
    Object *child = object_new(VIRTIO_PCI_GET_CLASS(obj)->virtio_type);

    object_add_child(obj, "virtio-backend", child, NULL);
    object_unref(child); /* the tree has it */
    proxy->vdev = VIRTIO_DEVICE(child);
}

static Object *virtio_pci_delegate(Object *obj, const char *name)
{
    Object *child = OBJECT(VIRTIO_PCI(obj)->vdev);

    return object_class_property_find(child->klass, name) ? child : NULL;
}

static void virtio_pci_class_init(ObjectClass *klass)
{
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    klass->delegate = virtio_pci_delegate;
    DEVICE_CLASS(klass)->reset = virtio_pci_device_reset;
    pc->pci_realize = virtio_pci_realize;
    pc->pci_unrealize = virtio_pci_unrealize;
    pc->vendor_id = PCI_VENDOR_ID_VIRTIO;
    pc->subsystem_vendor_id = PCI_VENDOR_ID_VIRTIO;
    pc->subsystem_id = PCI_SUBSYSTEM_MODERN;
}

static const Property virtio_pci_properties[] = {
    PROP_BOOL("ioeventfd", VirtIOPCIProxy, ioeventfd, true,
              "kicks reach the queue's thread without an exit to user space"),
    PROP_UINT32("vectors", VirtIOPCIProxy, vectors,
                VIRTIO_PCI_VECTORS_UNSPECIFIED,
                "MSI-X vectors, 0 for none; by default as many as the device "
                "can use"),
    PROP_BOOL("page-per-vq", VirtIOPCIProxy, page_per_vq, false,
              "each doorbell in a page of its own"),
    PROP_BOOL("modern-pio-notify", VirtIOPCIProxy, modern_pio_notify, false,
              "a doorbell port beside the doorbells in memory"),
    PROP_BOOL("ats", VirtIOPCIProxy, ats, false,
              "address translation service (needs PCI Express: off only)"),
    PROP_BOOL("aer", VirtIOPCIProxy, aer, false,
              "advanced error reporting (needs PCI Express: off only)"),
    PROP_BOOL("x-disable-pcie", VirtIOPCIProxy, disable_pcie, false,
              "no PCI Express capability, as there is none on this bus"),
    PROP_BOOL("migrate-extra", VirtIOPCIProxy, migrate_extra, true,
              "saved state has the modern registers"),
    PROP_BOOL("virtio-pci-bus-master-bug-migration", VirtIOPCIProxy,
              bus_master_bug_migration, false,
              "saved state allows for drivers that forget bus mastering"),
    PROP_END,
};

/* Only types that do not fix the interfaces by their name have these. */
static const Property virtio_pci_generic_properties[] = {
    PROP_ON_OFF_AUTO("disable-legacy", VirtIOPCIProxy, disable_legacy,
                     ON_OFF_AUTO_AUTO,
                     "hide the legacy interface; auto shows it"),
    PROP_BOOL("disable-modern", VirtIOPCIProxy, disable_modern, false,
              "hide the virtio 1 interface"),
    PROP_END,
};

static const TypeInfo virtio_pci_types[] = {
    {
        .name = TYPE_VIRTIO_PCI,
        .parent = TYPE_PCI_DEVICE,
        .abstract = true,
        .instance_size = sizeof(VirtIOPCIProxy),
        .class_size = sizeof(VirtIOPCIClass),
        .class_init = virtio_pci_class_init,
        .properties = virtio_pci_properties,
    },
};
DEFINE_TYPES(virtio_pci_types)

/* A type made from a table of names; lives as long as the process. */
typedef struct NamedType {
    TypeInfo info;
    const VirtIOPCITypeNames *names;
} NamedType;

static void base_class_init(ObjectClass *klass)
{
    const NamedType *type = container_of(klass->info, NamedType, info);
    const VirtIOPCITypeNames *names = type->names;
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);
    VirtIOPCIClass *vpc = OBJECT_CLASS_CAST(VirtIOPCIClass, klass);

    pc->parent.desc = names->desc;
    pc->parent.category = names->category;
    pc->class_id = names->pci_class;
    pc->device_id = names->transitional_dev_id;
    vpc->virtio_type = names->virtio_type;
    vpc->transitional_dev_id = names->transitional_dev_id;
    vpc->default_vectors = names->default_vectors;
}

static void user_class_init(ObjectClass *klass)
{
    DEVICE_CLASS(klass)->user_creatable = true;
}

static void transitional_instance_init(Object *obj)
{
    VIRTIO_PCI(obj)->disable_legacy = ON_OFF_AUTO_OFF;
}

static void non_transitional_instance_init(Object *obj)
{
    VIRTIO_PCI(obj)->disable_legacy = ON_OFF_AUTO_ON;
}

static void register_type(const VirtIOPCITypeNames *names, TypeInfo info)
{
    NamedType *type = g_new0(NamedType, 1);

    type->info = info;
    type->names = names;
    type_register(&type->info);
}

void virtio_pci_types_register(const VirtIOPCITypeNames *names)
{
    const char *base = g_strdup_printf("%s-base", names->generic);

    register_type(names,
                  (TypeInfo){ .name = base,
                              .parent = TYPE_VIRTIO_PCI,
                              .abstract = true,
                              .class_init = base_class_init,
                              .instance_init = virtio_pci_instance_init });
    register_type(names,
                  (TypeInfo){ .name = names->generic,
                              .alias = names->alias,
                              .parent = base,
                              .class_init = user_class_init,
                              .properties = virtio_pci_generic_properties });
    if (names->transitional) {
        register_type(
            names, (TypeInfo){ .name = names->transitional,
                               .parent = base,
                               .class_init = user_class_init,
                               .instance_init = transitional_instance_init });
    }
    if (names->non_transitional) {
        register_type(names, (TypeInfo){ .name = names->non_transitional,
                                         .parent = base,
                                         .class_init = user_class_init,
                                         .instance_init =
                                             non_transitional_instance_init });
    }
}
