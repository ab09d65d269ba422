/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvpanic at an ISA port and behind a PCI BAR, by its register. */
#include "util/osdep.h"

#include "hw/core/irq.h"
#include "hw/misc/pvpanic.h"
#include "hw/pci/pci.h"
#include "pci-rig.h"

static void expect_counts(unsigned want_panics, unsigned want_handled)
{
    g_assert_cmpuint(rig.panics, ==, want_panics);
    g_assert_cmpuint(rig.panics_handled, ==, want_handled);
    rig.panics = rig.panics_handled = 0;
}

/* A device with the option text @options; NULL and *errp. */
static DeviceState *add(const char *options, Error **errp)
{
    json_object *json = json_tokener_parse(options);
    DeviceState *dev = device_add(json, errp);

    json_object_put(json);
    return dev;
}

/* Takes the device out again. */
static void drop(DeviceState *dev)
{
    device_unrealize(dev);
    object_unparent(OBJECT(dev));
}

static void test_isa(void)
{
    DeviceState *dev = add("{\"driver\":\"pvpanic\",\"id\":\"p\"}", NULL);

    g_assert_nonnull(dev);
    g_assert_cmphex(pvpanic_isa_port(), ==, 0x505);
    g_assert_cmphex(inb(0x505), ==, 3);
    outb(0x505, 0);
    outb(0x505, 0xfc); /* no events that there are */
    expect_counts(0, 0);
    outb(0x505, 1);
    expect_counts(1, 0);
    outb(0x505, 2);
    expect_counts(0, 1);
    outb(0x505, 3); /* the panic is what counts */
    expect_counts(1, 0);
    outb(0x506, 1);
    expect_counts(0, 0);
    drop(dev);
    g_assert_cmphex(pvpanic_isa_port(), ==, 0);
    g_assert_cmphex(inb(0x505), ==, 0xff);
    outb(0x505, 1);
    expect_counts(0, 0);
}

static void test_properties(void)
{
    g_autoptr(GError) err = NULL;
    DeviceState *dev = add("{\"driver\":\"pvpanic\",\"ioport\":1792,"
                           "\"events\":2}",
                           NULL);

    g_assert_nonnull(dev);
    g_assert_cmphex(pvpanic_isa_port(), ==, 0x700);
    g_assert_cmphex(inb(0x700), ==, 2);
    outb(0x700, 1); /* an event that it does not take */
    expect_counts(0, 0);
    outb(0x700, 3);
    expect_counts(0, 1);
    drop(dev);
    g_assert_null(add("{\"driver\":\"pvpanic\",\"events\":4}", &err));
    g_assert_nonnull(strstr(err->message, "'pvpanic.events' does not take 4"));
}

static void test_pci(void)
{
    DeviceState *dev = add("{\"driver\":\"pvpanic-pci\",\"addr\":\"5\"}", NULL);
    PCIBus *bus;
    const uint8_t devfn = PCI_DEVFN(5, 0);

    g_assert_nonnull(dev);
    bus = PCI_DEVICE(dev)->bus;
    g_assert_cmphex(pci_config_read(bus, devfn, 0, 4), ==, 0x00111b36);
    g_assert_cmphex(pci_config_read(bus, devfn, 8, 4), ==, 0x08800001);
    pci_config_write(bus, devfn, 0x10, 0xe0000000, 4);
    pci_config_write(bus, devfn, 4, 2, 2);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, 0xe0000000, 1), ==, 3);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, 0xe0000000, 4), ==, 3);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, 0xe0000001, 1), ==, 0);
    io_write(IO_SPACE_MMIO, 0xe0000000, 1, 1);
    expect_counts(1, 0);
    io_write(IO_SPACE_MMIO, 0xe0000000, 2, 4);
    expect_counts(0, 1);
    io_write(IO_SPACE_MMIO, 0xe0000004, 1, 1);
    expect_counts(0, 0);
    drop(dev);
    g_assert_cmphex(pci_config_read(bus, devfn, 0, 4), ==, UINT32_MAX);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rig_init();
    bus_new(TYPE_ISA_BUS, "isa.0", NULL);
    pci_bus_new("pci.0", NULL);
    g_test_add_func("/pvpanic/isa", test_isa);
    g_test_add_func("/pvpanic/properties", test_properties);
    g_test_add_func("/pvpanic/pci", test_pci);
    return g_test_run();
}
