/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "vdev.h"

#define BAR_WINDOW        0xe0000000u
#define IO_WINDOW         0xc000u
#define VIRTIO_NET_MODERN 0x10411af4u
#define VIRTIO_NET_LEGACY 0x10001af4u
#define MAX_CAPS          48
#define MSIX_ENTRY        16

static int find_function(VirtDevice *d)
{
    for (int slot = 0; slot < 32; slot++) {
        uint32_t id = pci_read(&d->qtest, slot << 3, PCI_VENDOR_ID, 4);
        if (id == VIRTIO_NET_MODERN || id == VIRTIO_NET_LEGACY) {
            return slot << 3;
        }
    }
    die("no virtio-net function on PCI bus 0");
}

/* Returns the first address behind it. */
static uint64_t place_bar(VirtDevice *d, int bar, uint64_t next)
{
    int offset = PCI_BASE_ADDRESS_0 + 4 * bar;
    uint32_t value, size;

    pci_write(&d->qtest, d->devfn, offset, 4, UINT32_MAX);
    value = pci_read(&d->qtest, d->devfn, offset, 4);
    if (!value || value == UINT32_MAX) {
        return next;
    }
    if (value & PCI_BASE_ADDRESS_SPACE_IO) {
        pci_write(&d->qtest, d->devfn, offset, 4, IO_WINDOW + 0x100 * bar);
        return next;
    }
    size = ~(value & PCI_BASE_ADDRESS_MEM_MASK) + 1;
    next = (next + size - 1) & ~(uint64_t)(size - 1);
    d->bar[bar] = next;
    pci_write(&d->qtest, d->devfn, offset, 4, next);
    if (value & PCI_BASE_ADDRESS_MEM_TYPE_64) {
        pci_write(&d->qtest, d->devfn, offset + 4, 4, 0);
    }
    return next + size;
}

static void place_bars(VirtDevice *d)
{
    uint64_t next = BAR_WINDOW;

    for (int i = 0; i < 6; i++) {
        uint32_t type =
            pci_read(&d->qtest, d->devfn, PCI_BASE_ADDRESS_0 + 4 * i, 4);
        next = place_bar(d, i, next);
        if (!(type & PCI_BASE_ADDRESS_SPACE_IO) &&
            (type & PCI_BASE_ADDRESS_MEM_TYPE_64)) {
            i++;
        }
    }
    pci_write(&d->qtest, d->devfn, PCI_COMMAND, 2,
              PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* VIRTIO 1.2, 4.1.4: struct virtio_pci_cap. The first of a kind counts. */
static void take_capability(VirtDevice *d, int cap)
{
    Qtest *q = &d->qtest;
    int type = pci_read(q, d->devfn, cap + VIRTIO_PCI_CAP_CFG_TYPE, 1);
    int bar = pci_read(q, d->devfn, cap + VIRTIO_PCI_CAP_BAR, 1);
    uint64_t addr = pci_read(q, d->devfn, cap + VIRTIO_PCI_CAP_OFFSET, 4);

    if (bar >= 6) {
        return;
    }
    addr += d->bar[bar];
    if (type == VIRTIO_PCI_CAP_COMMON_CFG && !d->common) {
        d->common = addr;
    } else if (type == VIRTIO_PCI_CAP_DEVICE_CFG && !d->config) {
        d->config = addr;
    } else if (type == VIRTIO_PCI_CAP_NOTIFY_CFG && !d->notify) {
        d->notify = addr;
        d->notify_multiplier =
            pci_read(q, d->devfn, cap + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
    }
}

/* The next capability @id after @cap (0: the first), or 0. */
static int next_capability(VirtDevice *d, int cap, int id)
{
    cap = pci_read(&d->qtest, d->devfn,
                   cap ? cap + PCI_CAP_LIST_NEXT : PCI_CAPABILITY_LIST, 1);
    for (int n = 0; cap && n < MAX_CAPS; n++) {
        if (pci_read(&d->qtest, d->devfn, cap, 1) == id) {
            return cap;
        }
        cap = pci_read(&d->qtest, d->devfn, cap + PCI_CAP_LIST_NEXT, 1);
    }
    return 0;
}

void vdev_find(VirtDevice *d)
{
    int cap = 0;

    d->devfn = find_function(d);
    place_bars(d);
    while ((cap = next_capability(d, cap, PCI_CAP_ID_VNDR))) {
        take_capability(d, cap);
    }
    if (!d->common || !d->notify || !d->config) {
        die("the device has no modern virtio capabilities");
    }
}

void vdev_enable_msix(VirtDevice *d, uint64_t words, int count)
{
    Qtest *q = &d->qtest;
    int cap = next_capability(d, 0, PCI_CAP_ID_MSIX);
    uint16_t control;
    uint32_t where;
    uint64_t table;

    if (!cap) {
        die("the device has no MSI-X");
    }
    control = pci_read(q, d->devfn, cap + PCI_MSIX_FLAGS, 2);
    if ((control & PCI_MSIX_FLAGS_QSIZE) + 1 < count) {
        die("the device has %d MSI-X vectors; %d are needed",
            (control & PCI_MSIX_FLAGS_QSIZE) + 1, count);
    }
    where = pci_read(q, d->devfn, cap + PCI_MSIX_TABLE, 4);
    table =
        d->bar[where & PCI_MSIX_TABLE_BIR] + (where & PCI_MSIX_TABLE_OFFSET);
    for (int v = 0; v < count; v++) {
        uint64_t entry = table + MSIX_ENTRY * v, word = words + 64 * v;
        mmio_write(q, entry + PCI_MSIX_ENTRY_LOWER_ADDR, 4, word);
        mmio_write(q, entry + PCI_MSIX_ENTRY_UPPER_ADDR, 4, word >> 32);
        mmio_write(q, entry + PCI_MSIX_ENTRY_DATA, 4, 1);
        mmio_write(q, entry + PCI_MSIX_ENTRY_VECTOR_CTRL, 4, 0);
    }
    control &= ~PCI_MSIX_FLAGS_MASKALL;
    pci_write(q, d->devfn, cap + PCI_MSIX_FLAGS, 2,
              control | PCI_MSIX_FLAGS_ENABLE);
    d->msix = true;
}
