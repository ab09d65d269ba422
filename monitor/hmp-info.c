/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's `info` subjects. */
#include "util/osdep.h"
#include "config-host.h"
#include "hw/core/irq.h"
#include "hw/pci/pci.h"
#include "monitor/hmp-internal.h"
#include "net/net.h"
#include "system/iothread.h"
#include "system/machine-lock.h"
#include "system/memory.h"
#include "system/runstate.h"
#include "system/vm-info.h"

static void info_status(const char *args, GString *out)
{
    RunState state;

    machine_lock_assert();
    state = runstate_get();
    g_string_append_printf(out, "VM status: %s",
                           runstate_is_running() ? "running" : "paused");
    if (state != RUN_STATE_RUNNING && state != RUN_STATE_PAUSED) {
        g_string_append_printf(out, " (%s)", runstate_str(state));
    }
    g_string_append_c(out, '\n');
}

static void info_version(const char *args, GString *out)
{
    g_string_append(out,
                    QEMU_COMPAT_VERSION " (qemu-mq-" QEMU_MQ_VERSION ")\n");
}

static void info_name(const char *args, GString *out)
{
    if (vm_name()) {
        g_string_append_printf(out, "%s\n", vm_name());
    }
}

static void info_uuid(const char *args, GString *out)
{
    const uint8_t *u = vm_uuid();

    for (unsigned i = 0; i < 16; i++) {
        bool dash = i == 4 || i == 6 || i == 8 || i == 10;

        g_string_append_printf(out, "%s%02x", dash ? "-" : "", u[i]);
    }
    g_string_append_c(out, '\n');
}

/* ---- net ---- */

static void describe_client(NetClientState *nc, const char *prefix,
                            GString *out)
{
    g_string_append_printf(out, "%s%s: type=%s", prefix, nc->name,
                           NetClientDriver_str(nc->info->type));
    if (nc->n_queues > 1) {
        g_string_append_printf(out, ",queues=%u", nc->n_queues);
    }
    if (nc->info_str[0]) {
        g_string_append_printf(out, ",%s", nc->info_str);
    }
    g_string_append_printf(out, "%s\n", nc->link_down ? ",link=down" : "");
}

/* A NIC with its netdev below it; a netdev by itself when it has no NIC. */
static void list_client(NetClientState *nc, void *opaque)
{
    GString *out = opaque;

    if (nc->peer && nc->info->type != NET_CLIENT_DRIVER_NIC) {
        return;
    }
    describe_client(nc, "", out);
    if (nc->peer) {
        describe_client(nc->peer, " \\ ", out);
    }
    if (nc->info->describe) {
        nc->info->describe(nc, out);
    }
}

static void info_network(const char *args, GString *out)
{
    machine_lock_assert();
    net_client_foreach(list_client, out);
}

/* ---- buses ---- */

static void info_pci(const char *args, GString *out)
{
    machine_lock_assert();
    pci_info(out);
}

typedef struct QtreeState {
    DeviceState *dev;
    int indent;
    GString *out;
} QtreeState;

static void MAIN_THREAD qtree_bus(BusState *bus, int indent, GString *out);
static void MAIN_THREAD qtree_device(DeviceState *dev, int indent,
                                     GString *out);

static void qtree_property(const Property *prop, void *opaque)
{
    const QtreeState *state = opaque;
    json_object *value;

    if (!prop->info->get) {
        return;
    }
    value = prop->info->get(OBJECT(state->dev), prop, NULL);
    g_string_append_printf(
        state->out, "%*s%s = %s\n", state->indent, "", prop->name,
        value ? json_object_to_json_string_ext(
                    value,
                    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
              : "null");
    json_object_put(value);
}

/* What the bus says of @dev's place, each line indented. */
static void MAIN_THREAD qtree_place(DeviceState *dev, int indent, GString *out)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_auto(GStrv) lines = NULL;

    if (!dev->bus || !dev->bus->info) {
        return;
    }
    dev->bus->info(dev->bus, dev, text);
    lines = g_strsplit(text->str, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (**line) {
            g_string_append_printf(out, "%*s%s\n", indent, "", *line);
        }
    }
}

/* Devices that are parts of @dev: the virtio device behind a PCI function. */
static void MAIN_THREAD qtree_parts(DeviceState *dev, int indent, GString *out)
{
    const GPtrArray *children = OBJECT(dev)->children;

    for (guint i = 0; children && i < children->len; i++) {
        Object *child = g_ptr_array_index(children, i);

        if (object_is(child, TYPE_DEVICE)) {
            qtree_device(DEVICE(child), indent, out);
        }
    }
}

static void MAIN_THREAD qtree_device(DeviceState *dev, int indent, GString *out)
{
    QtreeState state = { dev, indent + 2, out };

    g_string_append_printf(out, "%*sdev: %s, id \"%s\"\n", indent, "",
                           object_type_name(OBJECT(dev)),
                           dev->id ? dev->id : "");
    object_class_property_foreach(OBJECT(dev)->klass, qtree_property, &state);
    qtree_place(dev, indent + 2, out);
    qtree_parts(dev, indent + 2, out);
    for (guint i = 0; dev->child_buses && i < dev->child_buses->len; i++) {
        qtree_bus(g_ptr_array_index(dev->child_buses, i), indent + 2, out);
    }
}

static void MAIN_THREAD qtree_bus(BusState *bus, int indent, GString *out)
{
    g_string_append_printf(out, "%*sbus: %s\n%*stype %s\n", indent, "",
                           bus->name, indent + 2, "",
                           object_type_name(OBJECT(bus)));
    for (guint i = 0; i < bus->devices->len; i++) {
        qtree_device(g_ptr_array_index(bus->devices, i), indent + 2, out);
    }
}

/* The buses of the machine itself; the others hang on their devices. */
static void qtree_root_bus(BusState *bus, void *opaque)
{
    machine_lock_assert();
    if (!bus->owner) {
        qtree_bus(bus, 2, opaque);
    }
}

static void MAIN_THREAD qtree_busless(Object *obj, GString *out)
{
    if (object_is(obj, TYPE_DEVICE)) {
        if (obj->realized && !DEVICE(obj)->bus) {
            qtree_device(DEVICE(obj), 2, out);
        }
        return;
    }
    for (guint i = 0; obj->children && i < obj->children->len; i++) {
        qtree_busless(g_ptr_array_index(obj->children, i), out);
    }
}

static void info_qtree(const char *args, GString *out)
{
    machine_lock_assert();
    g_string_append(out, "bus: main-system-bus\n  type System\n");
    qtree_busless(object_container("/machine"), out);
    bus_foreach(qtree_root_bus, out);
}

/* ---- the rest ---- */

static void list_region(const IoRegion *region, void *opaque)
{
    g_string_append_printf(
        opaque, "  %016" PRIx64 "-%016" PRIx64 " (prio %d): %s\n", region->addr,
        region->addr + region->size - 1, region->priority, region->name);
}

static void info_mtree(const char *args, GString *out)
{
    const RamMap *map = ram_map_get();

    machine_lock_assert();
    g_string_append(out, "RAM\n");
    for (unsigned i = 0; i < map->n; i++) {
        const RamRange *r = &map->range[i];

        g_string_append_printf(out, "  %016" PRIx64 "-%016" PRIx64 ": %s\n",
                               r->gpa, r->gpa + r->size - 1,
                               r->readonly ? "rom" : "ram");
    }
    g_string_append(out, "memory\n");
    io_space_foreach(IO_SPACE_MMIO, list_region, out);
    g_string_append(out, "I/O\n");
    io_space_foreach(IO_SPACE_PORT, list_region, out);
}

static void info_irq(const char *args, GString *out)
{
    machine_lock_assert();
    isa_irq_info(out);
}

static void list_iothread(IOThread *iothread, void *opaque)
{
    g_string_append_printf(opaque, "%s:\n  thread_id=%d\n",
                           iothread_id(iothread), iothread_thread_id(iothread));
}

static void info_iothreads(const char *args, GString *out)
{
    machine_lock_assert();
    iothread_foreach(list_iothread, out);
}

static void list_chardev(Chardev *chr, void *opaque)
{
    machine_lock_assert();
    g_string_append_printf(opaque, "%s: filename=%s\n", chardev_label(chr),
                           chardev_filename(chr));
}

static void info_chardev(const char *args, GString *out)
{
    machine_lock_assert();
    chardev_foreach(list_chardev, out);
}

const HmpCommand hmp_info_commands[] = {
    { "chardev", NULL, "", "character devices", info_chardev },
    { "iothreads", NULL, "", "threads that move packets", info_iothreads },
    { "irq", NULL, "", "how often ISA interrupts were raised", info_irq },
    { "mtree", NULL, "", "guest memory and registers", info_mtree },
    { "name", NULL, "", "the machine's name", info_name },
    { "network", NULL, "", "NICs, their netdevs and queue pairs",
      info_network },
    { "pci", NULL, "", "PCI devices", info_pci },
    { "qtree", NULL, "", "buses and devices", info_qtree },
    { "status", NULL, "", "whether the machine runs", info_status },
    { "uuid", NULL, "", "the machine's UUID", info_uuid },
    { "version", NULL, "", "the emulator's version", info_version },
    { NULL, NULL, NULL, NULL, NULL },
};
