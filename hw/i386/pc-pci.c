/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a firmware does for PCI before it starts a kernel: addresses for base
 * address registers, interrupt numbers, decoding on.
 */
#include "util/osdep.h"

#include <linux/pci_regs.h>

#include "hw/i386/boot-internal.h"
#include "hw/i386/piix.h"

/* Ports below are the chipset's and those of ISA devices. */
#define PORTS_BASE 0xc000u
#define PORTS_END  0x10000u

typedef struct BarRef {
    PCIDevice *dev;
    unsigned index;
    uint64_t size;
} BarRef;

/* A range that BARs are taken from, upwards. */
typedef struct Window {
    uint64_t next, end;
} Window;

static bool is_endpoint(const PCIDevice *dev)
{
    return dev && (dev->config[PCI_HEADER_TYPE] & PCI_HEADER_TYPE_MASK) ==
                      PCI_HEADER_TYPE_NORMAL;
}

static GArray *collect_bars(PCIBus *bus)
{
    GArray *bars = g_array_new(false, false, sizeof(BarRef));

    for (unsigned devfn = 0; devfn < ARRAY_SIZE(bus->devices); devfn++) {
        PCIDevice *dev = bus->devices[devfn];

        for (unsigned i = 0; is_endpoint(dev) && i < PCI_NUM_BARS; i++) {
            BarRef ref = { dev, i, dev->bar[i].size };

            if (dev->bar[i].region) {
                g_array_append_val(bars, ref);
            }
        }
    }
    return bars;
}

/* Largest first, so that natural alignment leaves no gaps. */
static int compare_bars(const void *a, const void *b)
{
    const BarRef *x = a, *y = b;

    if (x->size != y->size) {
        return x->size < y->size ? 1 : -1;
    }
    if (x->dev != y->dev) {
        return x->dev->devfn - y->dev->devfn;
    }
    return x->index - y->index;
}

/* Takes @size bytes, aligned to @align, from @w. */
static bool window_take(Window *w, uint64_t size, uint64_t align,
                        uint64_t *addr)
{
    uint64_t at = ALIGN_UP(w->next, align);

    if (at < w->next || at > w->end || size > w->end - at) {
        return false;
    }
    *addr = at;
    w->next = at + size;
    return true;
}

static void MAIN_THREAD assign_bar(const BarRef *ref, Window *ports,
                                   Window *mmio32, Window *mmio64)
{
    PCIDevice *dev = ref->dev;
    const PCIBar *bar = &dev->bar[ref->index];
    uint32_t reg = PCI_BASE_ADDRESS_0 + 4 * ref->index;
    uint64_t addr;
    bool found;

    if (bar->space == IO_SPACE_PORT) {
        found = window_take(ports, ref->size, ref->size, &addr);
    } else {
        /* no two devices in one page */
        uint64_t align = MAX(ref->size, (uint64_t)PAGE_SIZE_4K);

        found = (bar->is_64 && bar->prefetch &&
                 window_take(mmio64, align, align, &addr)) ||
                window_take(mmio32, align, align, &addr);
    }
    if (!found) {
        warn_report("no room for BAR %u of %s: the guest has to place it",
                    ref->index, device_label(&dev->dev));
        return;
    }
    pci_config_write(dev->bus, dev->devfn, reg, (uint32_t)addr, 4);
    if (bar->is_64) {
        pci_config_write(dev->bus, dev->devfn, reg + 4, addr >> 32, 4);
    }
}

/* Interrupt line and decoding of @dev. */
static void MAIN_THREAD enable_device(PCIDevice *dev)
{
    uint8_t pin = dev->config[PCI_INTERRUPT_PIN];
    uint32_t command = pci_config_read(dev->bus, dev->devfn, PCI_COMMAND, 2);
    uint32_t route;

    if (pin >= 1 && pin <= 4) {
        route = PIIX3_PIRQC + ((PCI_SLOT(dev->devfn) + pin - 1) & 3);
        pci_config_write(
            dev->bus, dev->devfn, PCI_INTERRUPT_LINE,
            pci_config_read(dev->bus, PCI_DEVFN(PIIX_SLOT, 0), route, 1), 1);
    }
    pci_config_write(dev->bus, dev->devfn, PCI_COMMAND,
                     command | PCI_COMMAND_IO | PCI_COMMAND_MEMORY, 2);
}

void pc_pci_assign(PCIBus *bus, uint64_t mmio64_base, uint64_t mmio64_end)
{
    Window ports = { PORTS_BASE, PORTS_END };
    Window mmio32 = { PC_PCI_HOLE_BASE, PC_PCI_HOLE_END };
    Window mmio64 = { mmio64_base, mmio64_end };
    g_autoptr(GArray) bars = collect_bars(bus);

    g_array_sort(bars, compare_bars);
    for (guint i = 0; i < bars->len; i++) {
        assign_bar(&g_array_index(bars, BarRef, i), &ports, &mmio32, &mmio64);
    }
    for (unsigned devfn = 0; devfn < ARRAY_SIZE(bus->devices); devfn++) {
        if (is_endpoint(bus->devices[devfn])) {
            enable_device(bus->devices[devfn]);
        }
    }
}
