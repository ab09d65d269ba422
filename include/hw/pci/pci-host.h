/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI configuration mechanism #1 (PCI Local Bus Specification 3.0, 3.2.2.3.2):
 * CONFIG_ADDRESS at port 0xcf8, CONFIG_DATA at 0xcfc.
 *
 * CONFIG_ADDRESS takes aligned four-byte accesses only. The byte at 0xcf9 is
 * the chipset's reset control register, passed on to its owner.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_PCI_PCI_HOST_H
#define HW_PCI_PCI_HOST_H

#include "hw/pci/pci.h"

#define PCI_CONFIG_ADDRESS_PORT 0xcf8
#define PCI_CONFIG_DATA_PORT    0xcfc
#define PCI_RESET_CONTROL_PORT  0xcf9

typedef struct PciHost {
    /* fixed after init */
    IoRegion region;
    PCIBus *bus;
    uint8_t (*rcr_read)(void *opaque);
    void (*rcr_write)(void *opaque, uint8_t value);
    void *rcr_opaque; /* NULL functions: nothing at 0xcf9 */
    /* main thread */
    uint32_t address;
} PciHost;

/* Decodes the ports for @bus. @host is caller-allocated, zero-filled. */
void pci_host_init(PciHost *host, PCIBus *bus) MAIN_THREAD;
/* Back to the state after power-on: configuration address 0. */
void pci_host_reset(PciHost *host) MAIN_THREAD;

#endif
