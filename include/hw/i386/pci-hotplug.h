/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI hot-plug by ACPI: the controller of pci.0.
 *
 * Registers at port PCI_HOTPLUG_PORT, 32 bits each and accessed as such; a bit
 * per slot where nothing else is said:
 *
 *   0x00  R   something was plugged in; cleared by the read
 *   0x04  R   asked to be emptied
 *   0x08  W   empty the slot            R: features, none
 *   0x0c  R   the slot can be emptied
 *   0x10  RW  number of the bus that the other registers are about; 0 only
 *   0x14  W   number of a slot          R: acpi-index of what is in it, or 0
 *   0x18  W   the slot last written to 0x14 was not emptied: status of _OST
 *
 * The methods in dsdt.asl use them; general-purpose event PCI_HOTPLUG_GPE tells
 * the guest to look. Registers up to 0x17 are those of QEMU's pc machine.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_I386_PCI_HOTPLUG_H
#define HW_I386_PCI_HOTPLUG_H

#include "hw/pci/pci.h"

#define PCI_HOTPLUG_PORT 0xae00
#define PCI_HOTPLUG_LEN  0x1c
#define PCI_HOTPLUG_GPE  1

enum {
    PCI_HOTPLUG_UP = 0x00,
    PCI_HOTPLUG_DOWN = 0x04,
    PCI_HOTPLUG_EJECT = 0x08,
    PCI_HOTPLUG_REMOVABLE = 0x0c,
    PCI_HOTPLUG_BUS = 0x10,
    PCI_HOTPLUG_INDEX = 0x14,
    PCI_HOTPLUG_STATUS = 0x18,
};

typedef struct PciHotplug {
    /* fixed after init */
    IoRegion region;
    PCIBus *bus;
    void (*raise)(void *opaque);  /* the event */
    bool (*raised)(void *opaque); /* the guest has not taken it yet */
    void *opaque;
    /* main thread */
    uint32_t up, down;
    uint32_t bus_select, slot_select;
} PciHotplug;

/*
 * Makes @s the controller of @bus. @s is zero-filled but for raise, raised and
 * opaque. @enabled false: nothing can be plugged, acpi-index is there.
 */
void pci_hotplug_init(PciHotplug *s, PCIBus *bus, bool enabled) MAIN_THREAD;
void pci_hotplug_destroy(PciHotplug *s) MAIN_THREAD;

#endif
