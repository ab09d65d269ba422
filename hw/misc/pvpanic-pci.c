/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvpanic-pci: the register at the start of BAR 0. */
#include "util/osdep.h"

#include "hw/misc/pvpanic.h"
#include "hw/pci/pci-ids.h"
#include "hw/pci/pci.h"

#define BAR_SIZE 16u /* the smallest that a memory BAR can have */

typedef struct PvPanicPci {
    PCIDevice pci;
    PvPanic panic;
} PvPanicPci;

static bool pvpanic_pci_realize(PCIDevice *dev, Error **errp) MAIN_THREAD
{
    PvPanicPci *s = container_of(dev, PvPanicPci, pci);

    if (!pvpanic_init(&s->panic, TYPE_PVPANIC_PCI, BAR_SIZE, errp)) {
        return false;
    }
    pci_register_bar(dev, 0, IO_SPACE_MMIO, false, false, &s->panic.region);
    return true;
}

static void pvpanic_pci_unrealize(PCIDevice *dev) MAIN_THREAD
{
    io_region_destroy(&container_of(dev, PvPanicPci, pci)->panic.region);
}

static const Property pvpanic_pci_properties[] = {
    PROP_UINT8("events", PvPanicPci, panic.events, PVPANIC_EVENTS,
               "Events it takes: 1 panic, 2 crash that the guest handles"),
    PROP_END,
};

static void pvpanic_pci_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);

    dc->desc = "PCI function by which a guest reports a crash";
    dc->category = "Misc";
    dc->user_creatable = true;
    k->vendor_id = PCI_VENDOR_ID_REDHAT;
    k->device_id = PCI_DEVICE_ID_REDHAT_PVPANIC;
    k->revision = 1;
    k->class_id = PCI_CLASS_SYSTEM_OTHER;
    k->subsystem_vendor_id = PCI_VENDOR_ID_VIRTIO;
    k->subsystem_id = PCI_SUBSYSTEM_ID_MACHINE;
    k->pci_realize = pvpanic_pci_realize;
    k->pci_unrealize = pvpanic_pci_unrealize;
}

static const TypeInfo pvpanic_pci_types[] = {
    {
        .name = TYPE_PVPANIC_PCI,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(PvPanicPci),
        .class_init = pvpanic_pci_class_init,
        .properties = pvpanic_pci_properties,
    },
};
DEFINE_TYPES(pvpanic_pci_types)
