/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * i440FX host bridge (Intel 82441FX data sheet) and the chipset around it.
 *
 * The bridge's memory attributes (PAM, SMRAM) are registers without effect:
 * below 1 MiB everything is RAM.
 */
#include "util/osdep.h"

#include "hw/i386/pc.h"
#include "hw/i386/piix.h"
#include "hw/pci/pci-host.h"
#include "hw/pci/pci-ids.h"

#define TYPE_I440FX_HOST "i440FX-pcihost"
#define TYPE_I440FX      "i440FX"

#define I440FX_PAM     0x59 /* seven bytes, the first has one field only */
#define I440FX_PAM_LEN 7
#define I440FX_SMRAM   0x72

typedef struct I440FXHost {
    DeviceState dev;
    PciHost host;
} I440FXHost;

static bool i440fx_host_realize(DeviceState *dev, Error **errp) MAIN_THREAD
{
    I440FXHost *s = OBJECT_CAST(I440FXHost, dev);
    pci_host_init(&s->host, pci_bus_new("pci.0", dev));
    return true;
}

static void i440fx_host_unrealize(DeviceState *dev) MAIN_THREAD
{
    io_region_destroy(&OBJECT_CAST(I440FXHost, dev)->host.region);
}

static void i440fx_host_reset(DeviceState *dev) MAIN_THREAD
{
    pci_host_reset(&OBJECT_CAST(I440FXHost, dev)->host);
}

static void i440fx_host_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    dc->desc = "i440FX PCI host";
    dc->category = "Bridge";
    dc->realize = i440fx_host_realize;
    dc->unrealize = i440fx_host_unrealize;
    dc->reset = i440fx_host_reset;
}

static void i440fx_reset(DeviceState *dev)
{
    uint8_t *c = PCI_DEVICE(dev)->config;
    memset(c + I440FX_PAM, 0, I440FX_PAM_LEN);
    c[I440FX_SMRAM] = 0x02;
}

static bool i440fx_realize(PCIDevice *dev, Error **errp)
{
    memset(dev->wmask + I440FX_PAM, 0x33, I440FX_PAM_LEN);
    dev->wmask[I440FX_PAM] = 0x30;
    dev->wmask[I440FX_SMRAM] = 0x78;
    i440fx_reset(&dev->dev);
    return true;
}

static void i440fx_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);
    dc->desc = "Host bridge";
    dc->category = "Bridge";
    dc->reset = i440fx_reset;
    dc->hotpluggable = false;
    k->vendor_id = PCI_VENDOR_ID_INTEL;
    k->device_id = PCI_DEVICE_ID_INTEL_82441FX;
    k->revision = 2;
    k->class_id = PCI_CLASS_BRIDGE_HOST;
    k->subsystem_vendor_id = PCI_VENDOR_ID_VIRTIO;
    k->subsystem_id = PCI_SUBSYSTEM_ID_MACHINE;
    k->pci_realize = i440fx_realize;
}

static const TypeInfo i440fx_types[] = {
    {
        .name = TYPE_I440FX_HOST,
        .parent = TYPE_DEVICE,
        .instance_size = sizeof(I440FXHost),
        .class_init = i440fx_host_class_init,
    },
    {
        .name = TYPE_I440FX,
        .parent = TYPE_PCI_DEVICE,
        .class_init = i440fx_class_init,
    },
};
DEFINE_TYPES(i440fx_types)

/* A part of the chipset at its fixed place, whatever -global says of `addr`. */
static PCIDevice *chipset_device_new(PCIBus *bus, const char *type,
                                     unsigned slot, unsigned fn,
                                     bool multifunction) MAIN_THREAD
{
    PCIDevice *dev = PCI_DEVICE(object_new(type));
    Error *err = NULL;
    dev->devfn_prop = (int32_t)PCI_DEVFN(slot, fn);
    dev->multifunction = multifunction;
    dev->acpi_index = 0;
    if (!device_realize(&dev->dev, &bus->bus, &err)) {
        g_error("%s: %s", type, err->message);
    }
    object_unref(OBJECT(dev)); /* the tree has it */
    return dev;
}

PCIBus *i440fx_init(void)
{
    DeviceState *dev = device_new_builtin(TYPE_I440FX_HOST, NULL, NULL);
    PciHost *host = &OBJECT_CAST(I440FXHost, dev)->host;
    PCIBus *bus = host->bus;
    chipset_device_new(bus, TYPE_I440FX, 0, 0, false);
    PCIDevice *piix3 = chipset_device_new(bus, TYPE_PIIX3, PIIX_SLOT, 0, true);
    piix3_connect(piix3, bus);
    host->rcr_read = piix3_rcr_read;
    host->rcr_write = piix3_rcr_write;
    host->rcr_opaque = piix3;
    chipset_device_new(bus, TYPE_PIIX4_PM, PIIX_SLOT, PIIX4_PM_FUNC, false);
    return bus;
}
