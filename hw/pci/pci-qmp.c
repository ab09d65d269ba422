/* SPDX-License-Identifier: GPL-2.0-or-later */
/* query-pci */
#include "util/osdep.h"

#include <linux/pci_regs.h>

#include "hw/pci/pci.h"
#include "qapi/qapi-commands.h"
#include "util/endian.h"

static void MAIN_THREAD fill_region(const PCIDevice *dev, unsigned index,
                                    PciMemoryRegion *out)
{
    const PCIBar *bar = &dev->bar[index];
    bool memory = bar->space == IO_SPACE_MMIO;

    *out = (PciMemoryRegion){
        .bar = index,
        .type = g_strdup(memory ? "memory" : "io"),
        .address = (int64_t)pci_bar_address(dev, index),
        .size = (int64_t)bar->size,
        .has_prefetch = memory,
        .prefetch = bar->prefetch,
        .has_mem_type_64 = memory,
        .mem_type_64 = bar->is_64,
    };
}

static PciMemoryRegionList MAIN_THREAD regions_of(const PCIDevice *dev)
{
    PciMemoryRegionList list = { .v = g_new0(PciMemoryRegion, PCI_NUM_BARS) };

    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        if (dev->bar[i].region) {
            fill_region(dev, i, &list.v[list.n++]);
        }
    }
    return list;
}

static PciDeviceClass *class_of(const PCIDevice *dev)
{
    PciDeviceClass *info = g_new0(PciDeviceClass, 1);
    uint16_t class_id = load_le16(dev->config + PCI_CLASS_DEVICE);

    info->desc = g_strdup(pci_class_name(class_id));
    info->class = class_id;
    return info;
}

static PciDeviceId *id_of(const PCIDevice *dev)
{
    PciDeviceId *id = g_new0(PciDeviceId, 1);

    id->device = load_le16(dev->config + PCI_DEVICE_ID);
    id->vendor = load_le16(dev->config + PCI_VENDOR_ID);
    id->has_subsystem = id->has_subsystem_vendor = true;
    id->subsystem = load_le16(dev->config + PCI_SUBSYSTEM_ID);
    id->subsystem_vendor = load_le16(dev->config + PCI_SUBSYSTEM_VENDOR_ID);
    return id;
}

static void MAIN_THREAD fill_device(const PCIDevice *dev, PciDeviceInfo *out)
{
    uint8_t pin = dev->config[PCI_INTERRUPT_PIN];

    *out = (PciDeviceInfo){
        .slot = PCI_SLOT(dev->devfn),
        .function = PCI_FUNC(dev->devfn),
        .class_info = class_of(dev),
        .id = id_of(dev),
        .has_irq = pin != 0,
        .irq = dev->config[PCI_INTERRUPT_LINE],
        .irq_pin = pin,
        .qdev_id = g_strdup(dev->dev.id ? dev->dev.id : ""),
        .regions = regions_of(dev),
    };
}

bool qmp_query_pci(PciInfoList *ret, Error **errp)
{
    BusState *qbus = bus_find(NULL, TYPE_PCI_BUS);
    PciDeviceInfoList *list;
    PCIBus *bus;

    if (!qbus) {
        return true;
    }
    bus = container_of(qbus, PCIBus, bus);
    ret->v = g_new0(PciInfo, 1);
    ret->n = 1;
    list = &ret->v[0].devices;
    list->v = g_new0(PciDeviceInfo, bus->bus.devices->len);
    for (unsigned i = 0; i < ARRAY_SIZE(bus->devices); i++) {
        if (bus->devices[i]) {
            fill_device(bus->devices[i], &list->v[list->n++]);
        }
    }
    return true;
}
