/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI: configuration space, base address registers, interrupts.
 *
 * Conventional PCI (Local Bus Specification 3.0) as a PC's chipset shows it.
 * A device fills its header and capabilities at realize, gives each BAR an
 * IoRegion, and the core maps and moves them as the guest programs them.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_PCI_PCI_H
#define HW_PCI_PCI_H

#include "accel/accel.h"
#include "hw/core/qdev.h"

#define TYPE_PCI_DEVICE "pci-device"
#define TYPE_PCI_BUS    "PCI"

#define PCI_CONFIG_SIZE     256
#define PCI_NUM_BARS        6
#define PCI_DEVFN(slot, fn) (((slot) << 3) | (fn))
#define PCI_SLOT(devfn)     ((unsigned)(devfn) >> 3)
#define PCI_FUNC(devfn)     ((unsigned)(devfn)&7)

typedef struct PCIDevice PCIDevice;
typedef struct PCIDeviceClass PCIDeviceClass;
typedef struct PCIBus PCIBus;

typedef struct PCIBar {
    IoRegion *region; /* NULL: not implemented; the device's */
    IoSpace space;
    bool is_64, prefetch;
    uint64_t size;
} PCIBar;

struct MsixState; /* hw/pci/msix.h */

struct PCIDevice {
    DeviceState dev;
    /* fixed after realize */
    int32_t devfn_prop; /* `addr=`: slot << 3 | function, -1: any free */
    bool multifunction;
    char *romfile;       /* NULL or "": there are no option ROMs */
    uint32_t rombar;     /* accepted, without effect */
    uint32_t acpi_index; /* 1..16383 for _DSM, unique; 0: none */
    uint8_t devfn;
    PCIBus *bus;
    /* main thread */
    uint8_t config[PCI_CONFIG_SIZE];
    uint8_t wmask[PCI_CONFIG_SIZE];   /* bits the guest may write */
    uint8_t w1cmask[PCI_CONFIG_SIZE]; /* bits cleared by writing one */
    PCIBar bar[PCI_NUM_BARS];
    bool irq_level;         /* as the device drives its pin */
    bool irq_driven;        /* as the bus sees it: not while INTx is disabled */
    struct MsixState *msix; /* NULL: no MSI-X */
    uint8_t next_cap;       /* where pci_add_capability() goes on */
    /* called after a guest write to @config[offset..+len), also of the values
     * already there; may be NULL. Runs before BARs and bus mastering take the
     * change in. */
    void (*config_written)(PCIDevice *dev, uint32_t offset, unsigned len);
    /* reads with a side effect (virtio's PCI access window); may be NULL */
    void (*config_read)(PCIDevice *dev, uint32_t offset, unsigned len);
};

struct PCIDeviceClass {
    DeviceClass parent;
    uint16_t vendor_id, device_id, class_id;
    uint8_t revision;
    uint16_t subsystem_vendor_id, subsystem_id;
    bool (*pci_realize)(PCIDevice *dev, Error **errp);
    void (*pci_unrealize)(PCIDevice *dev);
};

struct PCIBus {
    BusState bus;
    PCIDevice *devices[256];
    /* INTx A..D of a slot to an interrupt line of the chipset; the line is
     * the OR of its users. */
    unsigned (*map_irq)(PCIDevice *dev, unsigned pin);
    void (*set_irq)(void *opaque, unsigned line, bool level);
    void *irq_opaque;
    unsigned irq_count[8];
};

#define PCI_DEVICE(o)       OBJECT_CAST(PCIDevice, o)
#define PCI_DEVICE_CLASS(k) OBJECT_CLASS_CAST(PCIDeviceClass, k)

PCIBus *pci_bus_new(const char *name, DeviceState *owner) MAIN_THREAD;
PCIDevice *pci_bus_find(PCIBus *bus, uint8_t devfn);

/* Configuration access of @len 1, 2 or 4 bytes, naturally aligned by the
 * caller; absent devices read all ones. */
uint32_t pci_config_read(PCIBus *bus, uint8_t devfn, uint32_t offset,
                         unsigned len) MAIN_THREAD;
void pci_config_write(PCIBus *bus, uint8_t devfn, uint32_t offset,
                      uint32_t value, unsigned len) MAIN_THREAD;

/* Gives BAR @index (two of them when @is_64) to @region, whose size is a
 * power of two. Region stays the device's. At realize. */
void pci_register_bar(PCIDevice *dev, unsigned index, IoSpace space, bool is_64,
                      bool prefetch, IoRegion *region) MAIN_THREAD;
/* Address that BAR @index decodes now, or UINT64_MAX when it does not. */
uint64_t pci_bar_address(const PCIDevice *dev, unsigned index) MAIN_THREAD;

/* Adds a capability of @size bytes (header included) and returns its offset;
 * 0 when the space is used up. Content zero, read-only. At realize. */
uint8_t pci_add_capability(PCIDevice *dev, uint8_t cap_id, uint8_t size);

/* Drives the device's INTx pin (PCI_INTERRUPT_PIN); honours
 * PCI_COMMAND_INTX_DISABLE and sets PCI_STATUS_INTERRUPT. */
void pci_set_irq(PCIDevice *dev, bool level) MAIN_THREAD;

/* True when the guest lets the device read and write memory. */
bool pci_bus_master(const PCIDevice *dev);

/*
 * Puts the configuration space that the core keeps into the state after
 * power-on: decoding and bus mastering off, BARs zero, INTx low, MSI-X off.
 * The bus does it for all its devices at machine reset; DeviceClass.reset is
 * the device's own part.
 */
void pci_device_reset_config(PCIDevice *dev) MAIN_THREAD;

/* What functions of class @class_id are called; NULL: no name for it. */
const char *pci_class_name(uint16_t class_id);

/* Appends the text of the monitor's `info pci`. */
void pci_info(GString *out) MAIN_THREAD;

#endif
