/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI configuration mechanism #1.
 */
#include "util/osdep.h"

#include "hw/pci/pci-host.h"

#define PORTS_LEN    8
#define DATA_OFFSET  (PCI_CONFIG_DATA_PORT - PCI_CONFIG_ADDRESS_PORT)
#define RESET_OFFSET (PCI_RESET_CONTROL_PORT - PCI_CONFIG_ADDRESS_PORT)

#define ADDRESS_ENABLE   0x80000000u
#define ADDRESS_WRITABLE 0x80fffffcu /* the other bits are reserved, zero */

static uint64_t all_ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1;
}

/* The address selects a function of bus 0, the only bus. */
static bool selected(const PciHost *host)
{
    return (host->address & ADDRESS_ENABLE) &&
           ((host->address >> 16) & 0xff) == 0;
}

/*
 * An access may start at any byte of the data port. One that is not aligned
 * goes byte by byte; all of it lies in the four bytes the address names.
 */
static uint64_t data_read(PciHost *host, unsigned byte, unsigned size)
    MAIN_THREAD
{
    if (!selected(host)) {
        return all_ones(size);
    }
    uint8_t devfn = (host->address >> 8) & 0xff;
    uint32_t offset = (host->address & 0xfc) + byte;
    if ((offset & (size - 1)) == 0) {
        return pci_config_read(host->bus, devfn, offset, size);
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)pci_config_read(host->bus, devfn, offset + i, 1)
                 << (8 * i);
    }
    return value;
}

static void data_write(PciHost *host, unsigned byte, uint32_t value,
                       unsigned size) MAIN_THREAD
{
    if (!selected(host)) {
        return;
    }
    uint8_t devfn = (host->address >> 8) & 0xff;
    uint32_t offset = (host->address & 0xfc) + byte;
    if ((offset & (size - 1)) == 0) {
        pci_config_write(host->bus, devfn, offset, value, size);
        return;
    }
    for (unsigned i = 0; i < size; i++) {
        pci_config_write(host->bus, devfn, offset + i,
                         (value >> (8 * i)) & 0xff, 1);
    }
}

static uint64_t pci_host_read(void *opaque, uint64_t offset, unsigned size)
    MAIN_THREAD
{
    PciHost *host = opaque;
    if (offset >= DATA_OFFSET) {
        return data_read(host, (unsigned)offset - DATA_OFFSET, size);
    }
    if (offset == 0 && size == 4) {
        return host->address;
    }
    if (offset == RESET_OFFSET && size == 1 && host->rcr_read) {
        return host->rcr_read(host->rcr_opaque);
    }
    return all_ones(size);
}

static void pci_host_write(void *opaque, uint64_t offset, uint64_t value,
                           unsigned size) MAIN_THREAD
{
    PciHost *host = opaque;
    if (offset >= DATA_OFFSET) {
        data_write(host, (unsigned)offset - DATA_OFFSET, (uint32_t)value, size);
    } else if (offset == 0 && size == 4) {
        host->address = (uint32_t)value & ADDRESS_WRITABLE;
    } else if (offset == RESET_OFFSET && size == 1 && host->rcr_write) {
        host->rcr_write(host->rcr_opaque, (uint8_t)value);
    }
}

static const IoRegionOps pci_host_ops = {
    .read = pci_host_read,
    .write = pci_host_write,
    .max_size = 4,
};

void pci_host_init(PciHost *host, PCIBus *bus)
{
    host->bus = bus;
    io_region_init(&host->region, "pci-conf", &pci_host_ops, host, PORTS_LEN);
    io_region_map(&host->region, IO_SPACE_PORT, PCI_CONFIG_ADDRESS_PORT, 0);
}

void pci_host_reset(PciHost *host)
{
    host->address = 0;
}
