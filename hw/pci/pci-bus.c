/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PCI bus: who sits in which slot, machine reset, what the monitor shows.
 */
#include "util/osdep.h"

#include <linux/pci_regs.h>

#include "hw/pci/pci-ids.h"
#include "hw/pci/pci.h"
#include "system/runstate.h"
#include "util/endian.h"

#define PCI_NUM_SLOTS      32
#define PCI_ACPI_INDEX_MAX 16383

PCIDevice *pci_bus_find(PCIBus *bus, uint8_t devfn)
{
    return bus->devices[devfn];
}

/* ---- places ---- */

static bool slot_free(const PCIBus *bus, unsigned slot)
{
    for (unsigned fn = 0; fn < 8; fn++) {
        if (bus->devices[PCI_DEVFN(slot, fn)]) {
            return false;
        }
    }
    return true;
}

/* Devfn of the first slot that is quite empty, or -1. */
static int find_free_slot(const PCIBus *bus)
{
    for (unsigned slot = 0; slot < PCI_NUM_SLOTS; slot++) {
        if (slot_free(bus, slot)) {
            return (int)PCI_DEVFN(slot, 0);
        }
    }
    return -1;
}

/* A device in @slot that the guest was asked to let go of, or NULL: it takes
 * all others in its slot along. */
static const PCIDevice *slot_leaver(const PCIBus *bus, unsigned slot)
{
    for (unsigned fn = 0; fn < 8; fn++) {
        const PCIDevice *dev = bus->devices[PCI_DEVFN(slot, fn)];
        if (dev && dev->dev.unplug_pending) {
            return dev;
        }
    }
    return NULL;
}

/*
 * A guest looks at functions 1 to 7 only when function 0 is there and says
 * multifunction (PCI Local Bus 3.0, 6.2.1).
 */
static bool check_place(const PCIBus *bus, const PCIDevice *dev, unsigned devfn,
                        Error **errp)
{
    unsigned slot = PCI_SLOT(devfn), fn = PCI_FUNC(devfn);
    const char *type = object_type_name(OBJECT(dev));
    if (bus->devices[devfn]) {
        error_setg(errp,
                   "Property '%s.addr': slot %02x function %u of bus %s is "
                   "taken by %s",
                   type, slot, fn, bus->bus.name,
                   device_label(&bus->devices[devfn]->dev));
        return false;
    }
    const PCIDevice *leaver = slot_leaver(bus, slot);
    if (leaver) {
        error_setg(errp,
                   "Property '%s.addr': slot %02x is about to be emptied, %s "
                   "is in the process of unplug",
                   type, slot, device_label(&leaver->dev));
        return false;
    }
    const PCIDevice *first = bus->devices[PCI_DEVFN(slot, 0)];
    if (fn != 0 && first && !first->multifunction) {
        error_setg(errp,
                   "Property '%s.addr': function %u of slot %02x is out of "
                   "reach, function 0 (%s) needs multifunction=on",
                   type, fn, slot, device_label(&first->dev));
        return false;
    }
    if (fn != 0 && first && dev->dev.hotplugged) {
        error_setg(errp,
                   "Property '%s.addr': a running guest looks for function %u "
                   "of slot %02x no more, function 0 is %s: add the others "
                   "first",
                   type, fn, slot, device_label(&first->dev));
        return false;
    }
    if (fn == 0 && !dev->multifunction && !slot_free(bus, slot)) {
        error_setg(errp,
                   "Property '%s.multifunction' must be on: slot %02x has "
                   "other functions already",
                   type, slot);
        return false;
    }
    return true;
}

static bool check_acpi_index(const PCIBus *bus, const PCIDevice *dev,
                             Error **errp)
{
    const char *type = object_type_name(OBJECT(dev));
    if (dev->acpi_index > PCI_ACPI_INDEX_MAX) {
        error_setg(errp,
                   "Property '%s.acpi-index' does not take %" PRIu32
                   ": use 1 to %d",
                   type, dev->acpi_index, PCI_ACPI_INDEX_MAX);
        return false;
    }
    for (unsigned i = 0; dev->acpi_index && i < ARRAY_SIZE(bus->devices); i++) {
        const PCIDevice *other = bus->devices[i];
        if (other && other->acpi_index == dev->acpi_index) {
            error_setg(errp,
                       "Property '%s.acpi-index': %" PRIu32
                       " belongs to %s already",
                       type, dev->acpi_index, device_label(&other->dev));
            return false;
        }
    }
    return true;
}

static bool pci_bus_attach(BusState *qbus, DeviceState *qdev, Error **errp)
    MAIN_THREAD
{
    PCIBus *bus = container_of(qbus, PCIBus, bus);
    PCIDevice *dev = PCI_DEVICE(qdev);
    int devfn = dev->devfn_prop;
    if (devfn < 0) {
        devfn = find_free_slot(bus);
        if (devfn < 0) {
            error_setg(errp, "Bus %s is full: all %d slots are taken",
                       qbus->name, PCI_NUM_SLOTS);
            return false;
        }
    } else if (!check_place(bus, dev, (unsigned)devfn, errp)) {
        return false;
    }
    if (!check_acpi_index(bus, dev, errp)) {
        return false;
    }
    dev->devfn = (uint8_t)devfn;
    dev->bus = bus;
    bus->devices[devfn] = dev;
    return true;
}

static void pci_bus_detach(BusState *qbus, DeviceState *qdev) MAIN_THREAD
{
    PCIBus *bus = container_of(qbus, PCIBus, bus);
    PCIDevice *dev = PCI_DEVICE(qdev);
    bus->devices[dev->devfn] = NULL;
    dev->bus = NULL;
}

static void pci_bus_reset(void *opaque) MAIN_THREAD
{
    PCIBus *bus = opaque;
    for (unsigned i = 0; i < ARRAY_SIZE(bus->devices); i++) {
        if (bus->devices[i]) {
            pci_device_reset_config(bus->devices[i]);
        }
    }
}

PCIBus *pci_bus_new(const char *name, DeviceState *owner)
{
    PCIBus *bus = container_of(bus_new(TYPE_PCI_BUS, name, owner), PCIBus, bus);
    reset_handler_add(pci_bus_reset, bus);
    return bus;
}

/* ---- texts ---- */

const char *pci_class_name(uint16_t class_id)
{
    static const struct {
        uint16_t id;
        const char *name;
    } names[] = {
        { PCI_CLASS_STORAGE_SCSI, "SCSI controller" },
        { PCI_CLASS_STORAGE_IDE, "IDE controller" },
        { PCI_CLASS_NETWORK_ETHERNET, "Ethernet controller" },
        { PCI_CLASS_NETWORK_OTHER, "Network controller" },
        { PCI_CLASS_DISPLAY_VGA, "VGA controller" },
        { PCI_CLASS_BRIDGE_HOST, "Host bridge" },
        { PCI_CLASS_BRIDGE_ISA, "ISA bridge" },
        { PCI_CLASS_BRIDGE_PCI, "PCI bridge" },
        { PCI_CLASS_BRIDGE_OTHER, "Bridge" },
        { PCI_CLASS_COMM_OTHER, "Serial controller" },
        { PCI_CLASS_SYSTEM_OTHER, "System peripheral" },
    };
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (names[i].id == class_id) {
            return names[i].name;
        }
    }
    return NULL;
}

static void append_class(GString *out, const PCIDevice *dev)
{
    uint16_t class_id = load_le16(dev->config + PCI_CLASS_DEVICE);
    const char *name = pci_class_name(class_id);
    if (name) {
        g_string_append(out, name);
    } else {
        g_string_append_printf(out, "Class %04x", class_id);
    }
}

static void append_bar(GString *out, const PCIDevice *dev, unsigned i)
    MAIN_THREAD
{
    const PCIBar *bar = &dev->bar[i];
    uint64_t addr = pci_bar_address(dev, i);
    uint64_t last = addr + bar->size - 1; /* wraps when it is not decoded */
    if (bar->space == IO_SPACE_PORT) {
        g_string_append_printf(
            out, "      BAR%u: I/O at 0x%04" PRIx64 " [0x%04" PRIx64 "].\n", i,
            addr, last);
        return;
    }
    g_string_append_printf(out,
                           "      BAR%u: %d bit%s memory at 0x%08" PRIx64
                           " [0x%08" PRIx64 "].\n",
                           i, bar->is_64 ? 64 : 32,
                           bar->prefetch ? " prefetchable" : "", addr, last);
}

static void append_device(GString *out, const PCIDevice *dev) MAIN_THREAD
{
    const uint8_t *c = dev->config;
    g_string_append_printf(out, "  Bus  0, device %3u, function %u:\n    ",
                           PCI_SLOT(dev->devfn), PCI_FUNC(dev->devfn));
    append_class(out, dev);
    g_string_append_printf(out, ": PCI device %04x:%04x\n",
                           load_le16(c + PCI_VENDOR_ID),
                           load_le16(c + PCI_DEVICE_ID));
    if (load_le16(c + PCI_SUBSYSTEM_VENDOR_ID)) {
        g_string_append_printf(out, "      PCI subsystem %04x:%04x\n",
                               load_le16(c + PCI_SUBSYSTEM_VENDOR_ID),
                               load_le16(c + PCI_SUBSYSTEM_ID));
    }
    if (c[PCI_INTERRUPT_PIN]) {
        g_string_append_printf(out, "      IRQ %u, pin %c\n",
                               c[PCI_INTERRUPT_LINE],
                               'A' + c[PCI_INTERRUPT_PIN] - 1);
    }
    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        if (dev->bar[i].region) {
            append_bar(out, dev, i);
        }
    }
    g_string_append_printf(out, "      id \"%s\"\n",
                           dev->dev.id ? dev->dev.id : "");
}

void pci_info(GString *out)
{
    BusState *qbus = bus_find(NULL, TYPE_PCI_BUS);
    if (!qbus) {
        return;
    }
    PCIBus *bus = container_of(qbus, PCIBus, bus);
    for (unsigned i = 0; i < ARRAY_SIZE(bus->devices); i++) {
        if (bus->devices[i]) {
            append_device(out, bus->devices[i]);
        }
    }
}

/* One line of `info qtree`. */
static void pci_bus_info(BusState *qbus, DeviceState *qdev, GString *out)
{
    const PCIDevice *dev = PCI_DEVICE(qdev);
    g_string_append(out, "class ");
    append_class(out, dev);
    g_string_append_printf(
        out, ", addr 00:%02x.%u, pci id %04x:%04x (sub %04x:%04x)\n",
        PCI_SLOT(dev->devfn), PCI_FUNC(dev->devfn),
        load_le16(dev->config + PCI_VENDOR_ID),
        load_le16(dev->config + PCI_DEVICE_ID),
        load_le16(dev->config + PCI_SUBSYSTEM_VENDOR_ID),
        load_le16(dev->config + PCI_SUBSYSTEM_ID));
}

static void pci_bus_instance_init(Object *obj)
{
    BusState *bus = BUS(obj);
    bus->attach = pci_bus_attach;
    bus->detach = pci_bus_detach;
    bus->info = pci_bus_info;
}

static void pci_bus_finalize(Object *obj) NO_THREAD_SAFETY
{
    reset_handler_remove(pci_bus_reset, OBJECT_CAST(PCIBus, obj));
}

static const TypeInfo pci_bus_types[] = {
    {
        .name = TYPE_PCI_BUS,
        .parent = TYPE_BUS,
        .instance_size = sizeof(PCIBus),
        .instance_init = pci_bus_instance_init,
        .instance_finalize = pci_bus_finalize,
    },
};
DEFINE_TYPES(pci_bus_types)
