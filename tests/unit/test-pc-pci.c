/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI resources as a direct boot gives them, on fake devices.
 */
#include "util/osdep.h"

#include <linux/pci_regs.h>

#include "hw/i386/boot-internal.h"
#include "hw/i386/piix.h"
#include "util/endian.h"

static unsigned fake_warnings;

void warn_report(const char *fmt, ...)
{
    fake_warnings++;
}

const char *device_label(const DeviceState *dev)
{
    return "fake";
}

uint32_t pci_config_read(PCIBus *bus, uint8_t devfn, uint32_t offset,
                         unsigned len)
{
    uint32_t v = 0;

    memcpy(&v, bus->devices[devfn]->config + offset, len);
    return v;
}

void pci_config_write(PCIBus *bus, uint8_t devfn, uint32_t offset,
                      uint32_t value, unsigned len)
{
    memcpy(bus->devices[devfn]->config + offset, &value, len);
}

static IoRegion fake_region;

static PCIDevice *add(PCIBus *bus, uint8_t devfn, uint8_t pin)
{
    PCIDevice *dev = g_new0(PCIDevice, 1);

    dev->bus = bus;
    dev->devfn = devfn;
    dev->config[PCI_INTERRUPT_PIN] = pin;
    bus->devices[devfn] = dev;
    return dev;
}

static void bar(PCIDevice *dev, unsigned i, IoSpace space, bool is_64,
                uint64_t size)
{
    dev->bar[i] = (PCIBar){ .region = &fake_region,
                            .space = space,
                            .is_64 = is_64,
                            .prefetch = is_64,
                            .size = size };
}

/* A bus with the ISA bridge, whose lines A..D go to 10, 10, 11 and 5. */
static PCIBus *bus_with_bridge(void)
{
    PCIBus *bus = g_new0(PCIBus, 1);
    PCIDevice *bridge = add(bus, PCI_DEVFN(PIIX_SLOT, 0), 0);

    memcpy(bridge->config + PIIX3_PIRQC, "\x0a\x0a\x0b\x05", 4);
    return bus;
}

static void free_bus(PCIBus *bus)
{
    for (unsigned i = 0; i < 256; i++) {
        g_free(bus->devices[i]);
    }
    g_free(bus);
}

static uint32_t bar32(const PCIDevice *dev, unsigned i)
{
    return load_le32(dev->config + PCI_BASE_ADDRESS_0 + 4 * i);
}

static void test_bars(void)
{
    PCIBus *bus = bus_with_bridge();
    PCIDevice *a = add(bus, PCI_DEVFN(3, 0), 1);
    PCIDevice *b = add(bus, PCI_DEVFN(4, 0), 1);

    bar(a, 0, IO_SPACE_PORT, false, 32);
    bar(a, 1, IO_SPACE_MMIO, false, 0x1000);
    bar(a, 4, IO_SPACE_MMIO, true, 0x4000);
    bar(b, 0, IO_SPACE_PORT, false, 64);
    bar(b, 1, IO_SPACE_MMIO, false, 0x10000);
    bar(b, 2, IO_SPACE_MMIO, false, 16); /* shares no page */
    bar(b, 4, IO_SPACE_MMIO, true, 0x8000);
    pc_pci_assign(bus, 5 * GiB, 6 * GiB);

    g_assert_cmphex(bar32(b, 0), ==, 0xc000);
    g_assert_cmphex(bar32(a, 0), ==, 0xc040);
    g_assert_cmphex(bar32(b, 1), ==, 0xe0000000);
    g_assert_cmphex(bar32(a, 1), ==, 0xe0010000);
    g_assert_cmphex(bar32(b, 2), ==, 0xe0011000);
    g_assert_cmphex(bar32(b, 4), ==, 0x40000000);
    g_assert_cmphex(bar32(b, 5), ==, 1);
    g_assert_cmphex(bar32(a, 4), ==, 0x40008000);
    g_assert_cmphex(bar32(a, 5), ==, 1);
    g_assert_cmphex(load_le16(a->config + PCI_COMMAND), ==, 3);
    g_assert_cmpuint(fake_warnings, ==, 0);
    free_bus(bus);
}

static void test_no_64bit_window(void)
{
    PCIBus *bus = bus_with_bridge();
    PCIDevice *a = add(bus, PCI_DEVFN(3, 0), 1);

    bar(a, 0, IO_SPACE_MMIO, true, 0x4000);
    pc_pci_assign(bus, 0, 0);
    g_assert_cmphex(bar32(a, 0), ==, 0xe0000000);
    g_assert_cmphex(bar32(a, 1), ==, 0);
    free_bus(bus);
}

static void test_interrupt_lines(void)
{
    static const uint8_t routes[] = { 10, 10, 11, 5 };
    PCIBus *bus = bus_with_bridge();

    for (unsigned slot = 2; slot < 10; slot++) {
        for (unsigned fn = 0; fn < 5; fn++) {
            add(bus, PCI_DEVFN(slot, fn), fn); /* pin 0: none */
        }
    }
    pc_pci_assign(bus, 0, 0);
    for (unsigned slot = 2; slot < 10; slot++) {
        for (unsigned fn = 0; fn < 5; fn++) {
            const PCIDevice *dev = bus->devices[PCI_DEVFN(slot, fn)];

            g_assert_cmpuint(dev->config[PCI_INTERRUPT_LINE], ==,
                             fn ? routes[(slot + fn - 1) & 3] : 0);
        }
    }
    free_bus(bus);
}

static void test_no_room(void)
{
    PCIBus *bus = bus_with_bridge();
    PCIDevice *a = add(bus, PCI_DEVFN(3, 0), 1);
    PCIDevice *b = add(bus, PCI_DEVFN(4, 0), 1);

    bar(a, 0, IO_SPACE_MMIO, false, 256 * MiB);
    bar(b, 0, IO_SPACE_MMIO, false, 256 * MiB);
    bar(b, 1, IO_SPACE_MMIO, false, 0x1000);
    bar(b, 2, IO_SPACE_MMIO, true, 1ULL << 62);
    fake_warnings = 0;
    pc_pci_assign(bus, 5 * GiB, 6 * GiB);
    g_assert_cmphex(bar32(a, 0), ==, 0xe0000000);
    g_assert_cmphex(bar32(b, 0), ==, 0); /* 0xf0000000 would not end in time */
    g_assert_cmphex(bar32(b, 1), ==, 0xf0000000);
    g_assert_cmphex(bar32(b, 2), ==, 0);
    g_assert_cmpuint(fake_warnings, ==, 2);
    free_bus(bus);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pc-pci/bars", test_bars);
    g_test_add_func("/pc-pci/no-64bit-window", test_no_64bit_window);
    g_test_add_func("/pc-pci/interrupt-lines", test_interrupt_lines);
    g_test_add_func("/pc-pci/no-room", test_no_room);
    return g_test_run();
}
