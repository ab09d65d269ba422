/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI as the guest sees it: configuration mechanism #1, BARs, INTx, MSI-X, on
 * the real chipset with fake devices. Numbers are sections of the PCI Local
 * Bus Specification 3.0.
 */
#include "util/osdep.h"

#include <linux/pci_regs.h>

#include "hw/i386/pc.h"
#include "hw/i386/piix.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci-ids.h"
#include "pci-rig.h"
#include "system/main-loop.h"
#include "util/endian.h"
#include "util/fd.h"

#define TYPE_FAKE    "fake-pci"
#define FAKE_VECTORS 70
#define MSG_ADDR     0xfee00000u

/* BAR 0: 4 KiB memory, 1: 32 ports, 2+3: 16 KiB of 64 bits, 4: MSI-X */
typedef struct FakePci {
    PCIDevice pci;
    IoRegion bar0, bar1, bar2;
    uint64_t last_write, last_offset;
    unsigned config_writes;
    bool fail;
} FakePci;

static PCIBus *bus;

static uint64_t fake_read(void *opaque, uint64_t offset, unsigned size)
{
    return offset;
}

static void fake_write(void *opaque, uint64_t offset, uint64_t value,
                       unsigned size)
{
    FakePci *f = opaque;
    f->last_write = value;
    f->last_offset = offset;
}

static const IoRegionOps fake_ops = { fake_read, fake_write, 4 };

static void fake_config_written(PCIDevice *dev, uint32_t offset, unsigned len)
{
    container_of(dev, FakePci, pci)->config_writes++;
}

static bool fake_realize(PCIDevice *dev, Error **errp) MAIN_THREAD
{
    FakePci *f = container_of(dev, FakePci, pci);
    io_region_init(&f->bar0, "fake-mem", &fake_ops, f, 0x1000);
    io_region_init(&f->bar1, "fake-io", &fake_ops, f, 32);
    io_region_init(&f->bar2, "fake-mem64", &fake_ops, f, 0x4000);
    pci_register_bar(dev, 0, IO_SPACE_MMIO, false, false, &f->bar0);
    pci_register_bar(dev, 1, IO_SPACE_PORT, false, false, &f->bar1);
    pci_register_bar(dev, 2, IO_SPACE_MMIO, true, true, &f->bar2);
    dev->config[PCI_INTERRUPT_PIN] = 1;
    dev->config_written = fake_config_written;
    if (!msix_init(dev, FAKE_VECTORS, 4, errp)) {
        return false;
    }
    if (f->fail) {
        error_setg(errp, "told to fail");
        return false;
    }
    return true;
}

static void fake_unrealize(PCIDevice *dev) MAIN_THREAD
{
    FakePci *f = container_of(dev, FakePci, pci);
    io_region_destroy(&f->bar0);
    io_region_destroy(&f->bar1);
    io_region_destroy(&f->bar2);
}

static const Property fake_properties[] = {
    PROP_BOOL("fail", FakePci, fail, 0, "Fail to realize"),
    PROP_END,
};

static void fake_class_init(ObjectClass *klass)
{
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);
    k->vendor_id = 0x1234;
    k->device_id = 0x5678;
    k->class_id = PCI_CLASS_NETWORK_ETHERNET;
    k->revision = 7;
    k->subsystem_vendor_id = 0x4321;
    k->subsystem_id = 0x8765;
    k->pci_realize = fake_realize;
    k->pci_unrealize = fake_unrealize;
}

static const TypeInfo fake_types[] = {
    {
        .name = TYPE_FAKE,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(FakePci),
        .class_init = fake_class_init,
        .properties = fake_properties,
    },
};
DEFINE_TYPES(fake_types)

/* ---- helpers ---- */

/* A fake with options "key=value" up to NULL; NULL and @err when refused. */
static FakePci *try_fake(const char *const *options, Error **err) MAIN_THREAD
{
    Object *obj = object_new(TYPE_FAKE);
    bool ok = true;
    for (; ok && options && *options; options++) {
        char **kv = g_strsplit(*options, "=", 2);
        ok = object_property_parse(obj, kv[0], kv[1], err);
        g_strfreev(kv);
    }
    ok = ok && device_realize(DEVICE(obj), &bus->bus, err);
    object_unref(obj);
    return ok ? OBJECT_CAST(FakePci, obj) : NULL;
}

static FakePci *new_fake(const char *addr) MAIN_THREAD
{
    char *option = g_strconcat("addr=", addr, NULL);
    const char *options[] = { option, NULL };
    Error *err = NULL;
    FakePci *f = try_fake(options, &err);
    g_assert_no_error(err);
    g_assert_nonnull(f);
    g_free(option);
    return f;
}

static void drop_fake(FakePci *f) MAIN_THREAD
{
    device_unrealize(&f->pci.dev);
    object_unparent(OBJECT(f));
}

static void refuse_fake(const char *const *options, const char *why) MAIN_THREAD
{
    Error *err = NULL;
    g_assert_null(try_fake(options, &err));
    g_assert_nonnull(err);
    if (!strstr(err->message, why)) {
        g_test_message("message: %s", err->message);
        g_test_fail();
    }
    g_error_free(err);
}

static uint32_t address_of(const FakePci *f, unsigned reg)
{
    return 0x80000000u | (uint32_t)f->pci.devfn << 8 | (reg & 0xfc);
}

static uint32_t cfg_read(FakePci *f, unsigned reg, unsigned size) MAIN_THREAD
{
    outl(0xcf8, address_of(f, reg));
    return (uint32_t)io_read(IO_SPACE_PORT, 0xcfc + (reg & 3), size);
}

static void cfg_write(FakePci *f, unsigned reg, uint32_t value, unsigned size)
    MAIN_THREAD
{
    outl(0xcf8, address_of(f, reg));
    io_write(IO_SPACE_PORT, 0xcfc + (reg & 3), value, size);
}

static void set_command(FakePci *f, uint16_t command) MAIN_THREAD
{
    cfg_write(f, PCI_COMMAND, command, 2);
}

/* ---- configuration mechanism #1 ---- */

static void test_mechanism(void) MAIN_THREAD
{
    FakePci *f = new_fake("5");
    outl(0xcf8, 0xffffffff);
    g_assert_cmphex(inl(0xcf8), ==, 0x80fffffc);
    outl(0xcf8, 0x80002800);
    g_assert_cmphex(inl(0xcfc), ==, 0x56781234);
    g_assert_cmphex(inw(0xcfe), ==, 0x5678);
    g_assert_cmphex(inb(0xcfd), ==, 0x12);
    g_assert_cmphex(inw(0xcfd), ==, 0x7812);

    /* only whole words reach CONFIG_ADDRESS */
    outb(0xcf8, 0x40);
    outb(0xcfb, 0x01);
    outw(0xcf8, 0x1111);
    outw(0xcfa, 0x1111);
    g_assert_cmphex(inl(0xcf8), ==, 0x80002800);
    g_assert_cmphex(inb(0xcf8), ==, 0xff);

    outl(0xcf8, 0x00002800); /* not enabled */
    g_assert_cmphex(inl(0xcfc), ==, 0xffffffff);
    outl(0xcf8, 0x80012800); /* bus 1 */
    g_assert_cmphex(inl(0xcfc), ==, 0xffffffff);
    outl(0xcf8, 0x80003000); /* slot 6 is empty */
    g_assert_cmphex(inw(0xcfc), ==, 0xffff);
    outl(0xcfc, 0);

    cfg_write(f, PCI_INTERRUPT_LINE, 0x0b, 1);
    g_assert_cmphex(cfg_read(f, PCI_INTERRUPT_LINE, 1), ==, 0x0b);
    g_assert_cmphex(cfg_read(f, PCI_INTERRUPT_PIN, 1), ==, 1);
    drop_fake(f);
}

static void test_reset_control(void) MAIN_THREAD
{
    rig_clear();
    outl(0xcf8, 0x80000000);
    outb(0xcf9, 0x02);
    g_assert_cmphex(inb(0xcf9), ==, 0x02);
    g_assert_cmpuint(rig.resets, ==, 0);
    outb(0xcf9, 0x06);
    g_assert_cmpuint(rig.resets, ==, 1);
    g_assert_cmphex(inl(0xcf8), ==, 0x80000000);
}

static void test_chipset(void) MAIN_THREAD
{
    static const struct {
        uint32_t address, id, class_rev, header;
    } rows[] = {
        { 0x80000000, 0x12378086, 0x06000002, 0x00 },
        { 0x80000800, 0x70008086, 0x06010000, 0x80 },
        { 0x80000b00, 0x71138086, 0x06800003, 0x00 },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        outl(0xcf8, rows[i].address);
        g_assert_cmphex(inl(0xcfc), ==, rows[i].id);
        outl(0xcf8, rows[i].address + PCI_CLASS_REVISION);
        g_assert_cmphex(inl(0xcfc), ==, rows[i].class_rev);
        outl(0xcf8, rows[i].address + 0x0c);
        g_assert_cmphex(inb(0xcfe), ==, rows[i].header);
    }
    outl(0xcf8, 0x80000860);
    g_assert_cmphex(inl(0xcfc), ==, 0x0b0b0a0a);
    outl(0xcf8, 0x80000b40);
    g_assert_cmphex(inl(0xcfc), ==, PC_PM_BASE | 1);
}

/* ---- places on the bus ---- */

static void test_addr_forms(void) MAIN_THREAD
{
    static const struct {
        const char *text;
        unsigned devfn;
    } good[] = {
        { "5", 0x28 },    { "0x5", 0x28 },      { "1f", 0xf8 },
        { "05.0", 0x28 }, { "0x1e.0x0", 0xf0 },
    };
    static const char *const bad[] = {
        "",     "x",  "20", "5.8", "5.",   ".1",
        "5.1.", "-1", "0x", "5 ",  "5.1x", "100000000000000005"
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        FakePci *f = new_fake(good[i].text);
        g_assert_cmphex(f->pci.devfn, ==, good[i].devfn);
        drop_fake(f);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *option = g_strconcat("addr=", bad[i], NULL);
        const char *options[] = { option, NULL };
        refuse_fake(options, "SLOT.FUNCTION");
        g_free(option);
    }
}

static void test_addr_json(void) MAIN_THREAD
{
    static const struct {
        int64_t number;
        bool ok;
    } rows[] = { { 0x29, true },
                 { -1, true },
                 { 255, true },
                 { -2, false },
                 { 256, false } };
    Object *obj = object_new(TYPE_FAKE);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        json_object *v = json_object_new_int64(rows[i].number);
        g_assert_true(object_property_set(obj, "addr", v, NULL) == rows[i].ok);
        json_object_put(v);
        if (rows[i].ok) {
            v = object_property_get(obj, "addr", NULL);
            g_assert_cmpint(json_object_get_int64(v), ==, rows[i].number);
            json_object_put(v);
        }
    }
    object_unref(obj);
}

/* What the message shows of a wrong address is short and printable. */
static void test_addr_quoted(void) MAIN_THREAD
{
    g_autofree char *nonsense = g_strnfill(100, 'x');
    const char *const shown[] = { "\\x0ax", "xxx...'", "'null'" };
    json_object *values[] = { json_object_new_string("\nx"),
                              json_object_new_string(nonsense), NULL };
    Object *obj = object_new(TYPE_FAKE);
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        Error *err = NULL;
        g_assert_false(object_property_set(obj, "addr", values[i], &err));
        g_assert_nonnull(strstr(err->message, shown[i]));
        g_error_free(err);
        json_object_put(values[i]);
    }
    object_unref(obj);
}

static void test_places(void) MAIN_THREAD
{
    const char *const taken[] = { "addr=5", NULL };
    const char *const host[] = { "addr=0", NULL };
    const char *const function1[] = { "addr=5.1", NULL };
    const char *const multi[] = { "addr=6", "multifunction=on", NULL };
    const char *const multi1[] = { "addr=6.1", NULL };
    const char *const alone[] = { "addr=7.1", NULL };
    const char *const late[] = { "addr=7", NULL };
    FakePci *f = new_fake("5");
    refuse_fake(taken, "slot 05 function 0 of bus pci.0 is taken by fake-pci");
    refuse_fake(host, "taken by i440FX");
    refuse_fake(function1, "needs multifunction=on");
    FakePci *m = try_fake(multi, NULL);
    FakePci *m1 = try_fake(multi1, NULL);
    FakePci *a = try_fake(alone, NULL);
    g_assert_nonnull(m);
    g_assert_nonnull(m1);
    g_assert_nonnull(a);
    g_assert_cmphex(cfg_read(m, PCI_HEADER_TYPE, 1), ==, 0x80);
    refuse_fake(late, "multifunction' must be on");
    g_assert_null(pci_bus_find(bus, PCI_DEVFN(7, 0)));
    drop_fake(a);
    drop_fake(m1);
    drop_fake(m);
    drop_fake(f);
}

static void test_bus_full(void) MAIN_THREAD
{
    FakePci *all[30];
    for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
        all[i] = try_fake(NULL, NULL);
        g_assert_nonnull(all[i]);
        g_assert_cmphex(all[i]->pci.devfn, ==, PCI_DEVFN(i + 2, 0));
    }
    refuse_fake(NULL, "full");
    for (unsigned i = 0; i < ARRAY_SIZE(all); i++) {
        drop_fake(all[i]);
    }
}

static void test_options(void) MAIN_THREAD
{
    const char *const harmless[] = { "romfile=", "rombar=0", "acpi-index=7",
                                     NULL };
    const char *const again[] = { "acpi-index=7", NULL };
    const char *const range[] = { "acpi-index=16384", NULL };
    const char *const fail[] = { "addr=9", "fail=on", NULL };
    FakePci *f = try_fake(harmless, NULL);
    g_assert_nonnull(f);
    g_assert_cmphex(cfg_read(f, PCI_ROM_ADDRESS, 4), ==, 0);
    cfg_write(f, PCI_ROM_ADDRESS, 0xffffffff, 4);
    g_assert_cmphex(cfg_read(f, PCI_ROM_ADDRESS, 4), ==, 0);
    refuse_fake(again, "belongs to fake-pci");
    refuse_fake(range, "1 to 16383");
    refuse_fake(fail, "told to fail");
    g_assert_null(pci_bus_find(bus, PCI_DEVFN(9, 0)));
    drop_fake(f);
}

/* ---- configuration space ---- */

static void test_header(void) MAIN_THREAD
{
    FakePci *f = new_fake("5");
    g_assert_cmphex(cfg_read(f, PCI_CLASS_REVISION, 4), ==, 0x02000007);
    g_assert_cmphex(cfg_read(f, PCI_SUBSYSTEM_VENDOR_ID, 4), ==, 0x87654321);
    uint8_t before[PCI_CONFIG_SIZE];
    memcpy(before, f->pci.config, sizeof(before));
    for (unsigned reg = 0; reg < PCI_CONFIG_SIZE; reg += 4) {
        cfg_write(f, reg, 0xffffffff, 4);
        cfg_write(f, reg, 0, 4);
    }
    /* what a guest may write is zero now, the rest is as it was */
    for (unsigned i = 0; i < PCI_CONFIG_SIZE; i++) {
        g_assert_cmphex(f->pci.config[i], ==, before[i] & ~f->pci.wmask[i]);
    }
    g_assert_cmpuint(f->config_writes, ==, PCI_CONFIG_SIZE / 4 * 2);
    drop_fake(f);
}

static void test_status(void) MAIN_THREAD
{
    FakePci *f = new_fake("5");
    store_le16(f->pci.config + PCI_STATUS,
               load_le16(f->pci.config + PCI_STATUS) |
                   PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_DETECTED_PARITY);
    cfg_write(f, PCI_STATUS, PCI_STATUS_REC_MASTER_ABORT, 2);
    uint16_t status = cfg_read(f, PCI_STATUS, 2);
    g_assert_cmphex(status, ==,
                    PCI_STATUS_CAP_LIST | PCI_STATUS_DETECTED_PARITY);
    cfg_write(f, PCI_STATUS, 0xffff, 2);
    g_assert_cmphex(cfg_read(f, PCI_STATUS, 2), ==, PCI_STATUS_CAP_LIST);
    drop_fake(f);
}

static void test_capabilities(void) MAIN_THREAD
{
    FakePci *f = new_fake("5");
    PCIDevice *dev = &f->pci;
    unsigned n = 1, msix = dev->config[PCI_CAPABILITY_LIST];
    g_assert_cmphex(dev->config[msix], ==, PCI_CAP_ID_MSIX);
    g_assert_cmphex(pci_add_capability(dev, PCI_CAP_ID_VNDR, 1), ==, 0);
    g_assert_cmphex(pci_add_capability(dev, PCI_CAP_ID_VNDR, 0xc0), ==, 0);
    while (pci_add_capability(dev, PCI_CAP_ID_VNDR, 17)) {
        n++;
    }
    unsigned found = 0;
    for (unsigned at = dev->config[PCI_CAPABILITY_LIST]; at;
         at = dev->config[at + 1]) {
        g_assert_cmphex(at & 3, ==, 0);
        g_assert_cmphex(at, >=, 0x40);
        found++;
    }
    g_assert_cmpuint(found, ==, n);
    g_assert_cmpuint(n, >, 8);
    drop_fake(f);
}

/* ---- base address registers ---- */

static void test_bar_size(void) MAIN_THREAD
{
    FakePci *f = new_fake("5");
    static const struct {
        unsigned reg;
        uint32_t sized;
    } rows[] = {
        { PCI_BASE_ADDRESS_0, 0xfffff000 }, { PCI_BASE_ADDRESS_1, 0xffffffe1 },
        { PCI_BASE_ADDRESS_2, 0xffffc00c }, { PCI_BASE_ADDRESS_3, 0xffffffff },
        { PCI_BASE_ADDRESS_4, 0xfffff000 }, { PCI_BASE_ADDRESS_5, 0 },
    };
    /* with decoding on, as a careless guest does it */
    set_command(f, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cfg_write(f, rows[i].reg, 0xffffffff, 4);
        g_assert_cmphex(cfg_read(f, rows[i].reg, 4), ==, rows[i].sized);
    }
    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        g_assert_cmphex(pci_bar_address(&f->pci, i), ==, UINT64_MAX);
    }
    g_assert_false(f->bar0.mapped || f->bar1.mapped || f->bar2.mapped);
    drop_fake(f);
}

static void test_bar_move(void) MAIN_THREAD
{
    FakePci *f = new_fake("5");
    cfg_write(f, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
    cfg_write(f, PCI_BASE_ADDRESS_1, 0xc000, 4);
    g_assert_false(f->bar0.mapped);
    set_command(f, PCI_COMMAND_MEMORY);
    io_write(IO_SPACE_MMIO, 0xe0000010, 0x11, 4);
    g_assert_cmphex(f->last_write, ==, 0x11);
    g_assert_cmphex(f->last_offset, ==, 0x10);
    g_assert_false(f->bar1.mapped);

    cfg_write(f, PCI_BASE_ADDRESS_0 + 2, 0xe123, 2); /* a part of the BAR */
    g_assert_cmphex(pci_bar_address(&f->pci, 0), ==, 0xe1230000);
    io_write(IO_SPACE_MMIO, 0xe0000010, 0x22, 4);
    g_assert_cmphex(f->last_write, ==, 0x11);
    io_write(IO_SPACE_MMIO, 0xe1230020, 0x33, 4);
    g_assert_cmphex(f->last_write, ==, 0x33);

    set_command(f, PCI_COMMAND_IO);
    g_assert_false(f->bar0.mapped);
    g_assert_cmphex(inl(0xc004), ==, 4);
    cfg_write(f, PCI_BASE_ADDRESS_1, 0x1c000, 4); /* above 64 Ki */
    g_assert_false(f->bar1.mapped);
    drop_fake(f);
}

static void test_bar_64(void) MAIN_THREAD
{
    FakePci *f = new_fake("5");
    set_command(f, PCI_COMMAND_MEMORY);
    cfg_write(f, PCI_BASE_ADDRESS_3, 0x12, 4);
    cfg_write(f, PCI_BASE_ADDRESS_2, 0x34564000, 4);
    g_assert_cmphex(pci_bar_address(&f->pci, 2), ==, 0x1234564000);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, 0x1234564008, 4), ==, 8);
    cfg_write(f, PCI_BASE_ADDRESS_2, 0xffffffff, 4);
    cfg_write(f, PCI_BASE_ADDRESS_3, 0xffffffff, 4); /* ends at 2^64 */
    g_assert_false(f->bar2.mapped);
    drop_fake(f);
}

/* Addresses that make no sense hurt neither the machine nor the device. */
static void test_bar_overlap(void) MAIN_THREAD
{
    FakePci *f = new_fake("5"), *g = new_fake("6");
    set_command(f, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    set_command(g, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    cfg_write(f, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
    cfg_write(g, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
    cfg_write(f, PCI_BASE_ADDRESS_2, 0xe0000000, 4);
    io_write(IO_SPACE_MMIO, 0xe0000000, 1, 4);
    g_assert_cmpuint((f->last_write == 1) + (g->last_write == 1), ==, 1);
    /* on top of the configuration ports: those win */
    cfg_write(f, PCI_BASE_ADDRESS_1, 0xce0, 4);
    g_assert_cmphex(cfg_read(f, PCI_BASE_ADDRESS_1, 4), ==, 0xce1);
    cfg_write(f, PCI_BASE_ADDRESS_1, 0, 4);
    g_assert_false(f->bar1.mapped);
    drop_fake(f);
    io_write(IO_SPACE_MMIO, 0xe0000000, 2, 4);
    g_assert_cmphex(g->last_write, ==, 2);
    drop_fake(g);
}

static void test_reset(void) MAIN_THREAD
{
    FakePci *f = new_fake("5");
    set_command(f, 0x7);
    cfg_write(f, PCI_BASE_ADDRESS_0, 0xe0000000, 4);
    cfg_write(f, PCI_BASE_ADDRESS_1, 0xc000, 4);
    cfg_write(f, PCI_INTERRUPT_LINE, 11, 1);
    outl(0xcf8, 0x80000860);
    outl(0xcfc, 0x80808080);
    pci_set_irq(&f->pci, true);
    rig_machine_reset();
    g_assert_false(f->bar0.mapped || f->bar1.mapped);
    g_assert_cmphex(inl(0xcf8), ==, 0);
    g_assert_cmphex(cfg_read(f, PCI_COMMAND, 2), ==, 0);
    g_assert_cmphex(cfg_read(f, PCI_STATUS, 2), ==, PCI_STATUS_CAP_LIST);
    g_assert_cmphex(cfg_read(f, PCI_BASE_ADDRESS_0, 4), ==, 0);
    g_assert_cmphex(cfg_read(f, PCI_BASE_ADDRESS_1, 4), ==, 1);
    g_assert_cmphex(cfg_read(f, PCI_BASE_ADDRESS_2, 4), ==, 0xc);
    g_assert_cmphex(cfg_read(f, PCI_INTERRUPT_LINE, 1), ==, 0);
    outl(0xcf8, 0x80000860);
    g_assert_cmphex(inl(0xcfc), ==, 0x0b0b0a0a);
    drop_fake(f);
}

/* ---- INTx ---- */

static void test_intx(void) MAIN_THREAD
{
    /* slots 6 and 10, pin A: both PIRQ C, ISA 11 */
    FakePci *f = new_fake("6"), *g = new_fake("a");
    rig_clear();
    pci_set_irq(&f->pci, true);
    g_assert_true(rig.gsi[11]);
    g_assert_cmphex(cfg_read(f, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, !=, 0);
    pci_set_irq(&g->pci, true);
    pci_set_irq(&f->pci, false);
    g_assert_true(rig.gsi[11]);
    set_command(g, PCI_COMMAND_INTX_DISABLE);
    g_assert_false(rig.gsi[11]);
    /* the status bit shows the device's wish all the same (6.2.3) */
    g_assert_cmphex(cfg_read(g, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, !=, 0);
    set_command(g, 0);
    g_assert_true(rig.gsi[11]);
    g_assert_cmpuint(rig.gsi_rises[11], ==, 2);
    drop_fake(g); /* an interrupt leaves with its device */
    g_assert_false(rig.gsi[11]);
    drop_fake(f);
}

static void route(unsigned pirq, uint8_t value) MAIN_THREAD
{
    outl(0xcf8, 0x80000860);
    outb(0xcfc + pirq, value);
}

static void test_pirq(void) MAIN_THREAD
{
    FakePci *f = new_fake("6"), *g = new_fake("5");
    rig_clear();
    pci_set_irq(&f->pci, true); /* PIRQ C */
    route(2, 5);
    g_assert_false(rig.gsi[11]);
    g_assert_true(rig.gsi[5]);
    pci_set_irq(&g->pci, true); /* PIRQ B */
    route(1, 5);
    g_assert_false(rig.gsi[10]);
    pci_set_irq(&f->pci, false);
    g_assert_true(rig.gsi[5]);
    route(1, 0x85);
    g_assert_false(rig.gsi[5]);
    for (unsigned i = 0; i < 256; i++) { /* any value */
        route(1, (uint8_t)i);
    }
    g_assert_cmpuint(rig.gsi_rises[0] + rig.gsi_rises[1] + rig.gsi_rises[2] +
                         rig.gsi_rises[8] + rig.gsi_rises[13],
                     ==, 0);
    drop_fake(f);
    drop_fake(g);
    for (unsigned i = 0; i < ARRAY_SIZE(rig.gsi); i++) {
        g_assert_false(rig.gsi[i]);
    }
    rig_machine_reset();
}

/* ---- MSI-X ---- */

#define MSIX_MMIO 0xe2000000u
#define PBA_MMIO  (MSIX_MMIO + 2048)

static unsigned msix_cap(const FakePci *f)
{
    return f->pci.config[PCI_CAPABILITY_LIST];
}

static void msix_flags(FakePci *f, uint16_t flags) MAIN_THREAD
{
    cfg_write(f, msix_cap(f) + PCI_MSIX_FLAGS, flags, 2);
}

static void table_write(unsigned vector, unsigned field, uint32_t value)
    MAIN_THREAD
{
    io_write(IO_SPACE_MMIO, MSIX_MMIO + vector * 16 + field, value, 4);
}

static void vector_mask(unsigned vector, bool on) MAIN_THREAD
{
    table_write(vector, PCI_MSIX_ENTRY_VECTOR_CTRL, on);
}

static bool pba_bit(unsigned vector) MAIN_THREAD
{
    uint64_t word = io_read(IO_SPACE_MMIO, PBA_MMIO + vector / 64 * 8, 8);
    return word >> (vector % 64) & 1;
}

/* Enabled, bus master, messages set, all vectors masked. */
static FakePci *msix_fake(void) MAIN_THREAD
{
    FakePci *f = new_fake("5");
    cfg_write(f, PCI_BASE_ADDRESS_4, MSIX_MMIO, 4);
    set_command(f, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    msix_flags(f, PCI_MSIX_FLAGS_ENABLE);
    for (unsigned i = 0; i < FAKE_VECTORS; i++) {
        table_write(i, PCI_MSIX_ENTRY_LOWER_ADDR, MSG_ADDR);
        table_write(i, PCI_MSIX_ENTRY_DATA, 0x40 + i);
    }
    rig_clear();
    return f;
}

static MsixBinding *bind(FakePci *f, unsigned vector, int fd) MAIN_THREAD
{
    Error *err = NULL;
    MsixBinding *b = msix_bind(&f->pci, vector, fd, &err);
    g_assert_no_error(err);
    g_assert_nonnull(b);
    return b;
}

static void test_msix_capability(void) MAIN_THREAD
{
    FakePci *f = new_fake("5");
    unsigned cap = msix_cap(f);
    g_assert_cmphex(cfg_read(f, cap, 1), ==, PCI_CAP_ID_MSIX);
    g_assert_cmphex(cfg_read(f, cap + PCI_MSIX_FLAGS, 2), ==, FAKE_VECTORS - 1);
    g_assert_cmphex(cfg_read(f, cap + PCI_MSIX_TABLE, 4), ==, 4);
    g_assert_cmphex(cfg_read(f, cap + PCI_MSIX_PBA, 4), ==, 2048 | 4);
    msix_flags(f, 0xffff);
    g_assert_cmphex(cfg_read(f, cap + PCI_MSIX_FLAGS, 2), ==,
                    0xc000 | (FAKE_VECTORS - 1));
    g_assert_cmpuint(msix_vectors(&f->pci), ==, FAKE_VECTORS);
    g_assert_true(msix_enabled(&f->pci));
    Error *err = NULL;
    g_assert_false(msix_init(&f->pci, 0, 5, &err));
    g_clear_error(&err);
    g_assert_false(msix_init(&f->pci, MSIX_MAX_VECTORS + 1, 5, &err));
    g_clear_error(&err);
    g_assert_null(msix_bind(&f->pci, FAKE_VECTORS, 0, &err));
    g_clear_error(&err);
    drop_fake(f);
}

static void test_msix_notify(void) MAIN_THREAD
{
    FakePci *f = msix_fake();
    msix_notify(&f->pci, 3); /* masked */
    g_assert_cmpuint(rig.n_messages, ==, 0);
    g_assert_true(pba_bit(3));
    g_assert_false(pba_bit(2));
    vector_mask(3, false);
    g_assert_cmpuint(rig.n_messages, ==, 1);
    g_assert_cmphex(rig.message[0].data, ==, 0x43);
    g_assert_cmphex(rig.message[0].address, ==, MSG_ADDR);
    g_assert_false(pba_bit(3));
    msix_notify(&f->pci, 3);
    g_assert_cmpuint(rig.n_messages, ==, 2);
    msix_notify(&f->pci, FAKE_VECTORS);
    msix_notify(&f->pci, MSIX_NO_VECTOR);
    g_assert_cmpuint(rig.n_messages, ==, 2);
    g_assert_cmpuint(msix_sent(&f->pci, 3), ==, 2);
    g_assert_cmpuint(msix_sent(&f->pci, MSIX_NO_VECTOR), ==, 0);
    drop_fake(f);
}

/* Function mask, MSI-X enable and bus mastering each hold messages back. */
static void test_msix_function(void) MAIN_THREAD
{
    FakePci *f = msix_fake();
    vector_mask(65, false);
    for (unsigned way = 0; way < 3; way++) {
        rig_clear();
        if (way == 0) {
            msix_flags(f, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
        } else if (way == 1) {
            msix_flags(f, 0);
        } else {
            set_command(f, PCI_COMMAND_MEMORY);
        }
        g_assert_true(msix_masked(&f->pci, 65));
        msix_notify(&f->pci, 65);
        msix_notify(&f->pci, 65);
        g_assert_true(pba_bit(65));
        g_assert_cmpuint(rig.n_messages, ==, 0);
        set_command(f, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
        msix_flags(f, PCI_MSIX_FLAGS_ENABLE);
        g_assert_false(msix_masked(&f->pci, 65));
        g_assert_cmpuint(rig.n_messages, ==, 1);
    }
    drop_fake(f);
}

static void test_msix_table_access(void) MAIN_THREAD
{
    FakePci *f = msix_fake();
    uint64_t entry1 = MSIX_MMIO + 16;
    io_write(IO_SPACE_MMIO, entry1, 0x1122334455667788, 8);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, entry1, 8), ==, 0x1122334455667788);
    io_write(IO_SPACE_MMIO, entry1, 0xfee01007, 4); /* bits 0, 1 are zero */
    g_assert_cmphex(io_read(IO_SPACE_MMIO, entry1, 4), ==, 0xfee01004);
    io_write(IO_SPACE_MMIO, entry1 + 12, 0xfffffffe, 4);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, entry1 + 12, 4), ==, 0);
    io_write(IO_SPACE_MMIO, entry1 + 8, 0x100000099, 8);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, entry1 + 8, 4), ==, 0x99);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, entry1 + 12, 1), ==, 1);
    /* undefined by 6.8.2: ignored here */
    io_write(IO_SPACE_MMIO, entry1 + 8, 0x11, 1);
    io_write(IO_SPACE_MMIO, entry1 + 8, 0x1111, 2);
    io_write(IO_SPACE_MMIO, entry1 + 10, 0x11111111, 4);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, entry1 + 8, 4), ==, 0x99);
    /* pending bits and what is behind them are read-only */
    io_write(IO_SPACE_MMIO, PBA_MMIO, UINT64_MAX, 8);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, PBA_MMIO, 8), ==, 0);
    io_write(IO_SPACE_MMIO, MSIX_MMIO + 4092, UINT32_MAX, 4);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, MSIX_MMIO + 4092, 4), ==, 0);
    /* the last word of the table, wider than it */
    io_write(IO_SPACE_MMIO, MSIX_MMIO + FAKE_VECTORS * 16 - 4, UINT64_MAX, 8);
    g_assert_cmphex(
        io_read(IO_SPACE_MMIO, MSIX_MMIO + FAKE_VECTORS * 16 - 4, 8), ==, 1);
    drop_fake(f);
}

static void test_msix_irqfd(void) MAIN_THREAD
{
    FakePci *f = msix_fake();
    int fd = eventfd_new(NULL), fd2 = eventfd_new(NULL);
    MsixBinding *b = bind(f, 1, fd), *b2 = bind(f, 1, fd2);
    g_assert_false(msix_binding_in_kernel(b));
    g_assert_cmpuint(rig.routes, ==, 0); /* a masked vector costs none */

    eventfd_signal(fd);
    rig_kernel_turn();
    event_loop_turn(main_loop(), 0);
    g_assert_cmpuint(rig.n_messages, ==, 0);
    g_assert_true(pba_bit(1));
    eventfd_signal(fd2);
    vector_mask(1, false); /* one message for what has come together */
    g_assert_cmpuint(rig.n_messages, ==, 1);
    g_assert_true(msix_binding_in_kernel(b) && msix_binding_in_kernel(b2));

    eventfd_signal(fd2);
    rig_kernel_turn();
    g_assert_cmpuint(rig.n_by_kernel, ==, 1);
    g_assert_cmphex(rig.message[1].data, ==, 0x41);
    table_write(1, PCI_MSIX_ENTRY_DATA, 0x77); /* while unmasked */
    eventfd_signal(fd);
    rig_kernel_turn();
    g_assert_cmphex(rig.message[2].data, ==, 0x77);

    /* a signal that the kernel had not seen when the mask came */
    eventfd_signal(fd);
    vector_mask(1, true);
    rig_kernel_turn();
    g_assert_cmpuint(rig.n_messages, ==, 3);
    table_write(1, PCI_MSIX_ENTRY_DATA, 0x78);
    vector_mask(1, false);
    g_assert_cmpuint(rig.n_messages, ==, 4);
    g_assert_cmphex(rig.message[3].data, ==, 0x78);
    g_assert_cmpuint(rig.n_by_kernel, ==, 2);

    /* and one that came before unbinding */
    eventfd_signal(fd2);
    msix_unbind(b2);
    g_assert_cmpuint(rig.n_messages, ==, 5);
    msix_unbind(b);
    msix_unbind(NULL);
    g_assert_cmpuint(rig.routes, ==, 0);
    close(fd);
    close(fd2);
    drop_fake(f);
}

/* No route in the kernel: the main loop delivers, and masks still hold. */
static void test_msix_no_route(void) MAIN_THREAD
{
    FakePci *f = msix_fake();
    int fd = eventfd_new(NULL);
    rig.routes_max = 0;
    vector_mask(2, false);
    MsixBinding *b = bind(f, 2, fd);
    g_assert_false(msix_binding_in_kernel(b));
    eventfd_signal(fd);
    event_loop_turn(main_loop(), 0);
    g_assert_cmpuint(rig.n_messages, ==, 1);
    g_assert_cmphex(rig.message[0].data, ==, 0x42);
    vector_mask(2, true);
    eventfd_signal(fd);
    event_loop_turn(main_loop(), 0);
    g_assert_cmpuint(rig.n_messages, ==, 1);
    rig.routes_max = 1; /* tried again on unmask */
    vector_mask(2, false);
    g_assert_cmpuint(rig.n_messages, ==, 2);
    g_assert_true(msix_binding_in_kernel(b));

    rig.refuse_update = true; /* a message that the kernel does not take */
    table_write(2, PCI_MSIX_ENTRY_UPPER_ADDR, 0xff);
    g_assert_false(msix_binding_in_kernel(b));
    eventfd_signal(fd);
    event_loop_turn(main_loop(), 0);
    g_assert_cmpuint(rig.n_messages, ==, 3);
    msix_unbind(b);
    close(fd);
    drop_fake(f);
}

static void test_msix_reset(void) MAIN_THREAD
{
    FakePci *f = msix_fake();
    int fd = eventfd_new(NULL);
    MsixBinding *b = bind(f, 4, fd);
    vector_mask(4, false);
    msix_notify(&f->pci, 5);
    eventfd_signal(fd);
    msix_reset(&f->pci);
    g_assert_false(msix_enabled(&f->pci));
    g_assert_false(msix_binding_in_kernel(b));
    g_assert_cmphex(io_read(IO_SPACE_MMIO, MSIX_MMIO + 4 * 16, 8), ==, 0);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, MSIX_MMIO + 4 * 16 + 8, 8), ==,
                    0x100000000);
    g_assert_cmphex(io_read(IO_SPACE_MMIO, PBA_MMIO, 8), ==, 0);
    msix_flags(f, PCI_MSIX_FLAGS_ENABLE);
    vector_mask(4, false);
    vector_mask(5, false);
    g_assert_cmpuint(rig.n_messages, ==, 0);

    /* the device goes before the binding's owner hears of it */
    drop_fake(f);
    g_assert_cmpuint(rig.routes, ==, 0);
    msix_unbind(b);
    close(fd);
}

/* ---- hostile guest ---- */

static void test_hostile(void) MAIN_THREAD
{
    FakePci *f = msix_fake();
    int fd = eventfd_new(NULL);
    MsixBinding *b = bind(f, 1, fd);
    GRand *rand = g_rand_new_with_seed(1);
    for (unsigned i = 0; i < 20000; i++) {
        static const uint8_t sizes[] = { 1, 2, 4 };
        unsigned size = sizes[g_rand_int_range(rand, 0, 3)];
        uint32_t value = g_rand_boolean(rand) ? g_rand_int(rand) : UINT32_MAX;
        unsigned port = 0xcf8 + (unsigned)g_rand_int_range(rand, 0, 9 - size);
        switch (g_rand_int_range(rand, 0, 5)) {
        case 0:
            outl(0xcf8, 0x80000000 | (value & 0x3ffc));
            break;
        case 1:
            io_read(IO_SPACE_PORT, port, size);
            break;
        case 2:
            io_write(IO_SPACE_MMIO, MSIX_MMIO + (value & 0xfff), value,
                     1u << g_rand_int_range(rand, 0, 4));
            break;
        case 3:
            eventfd_signal(fd);
            break;
        default:
            io_write(IO_SPACE_PORT, port, value, size);
            break;
        }
        rig.n_messages = 0;
    }
    g_assert_cmphex(load_le32(f->pci.config), ==, 0x56781234);
    g_rand_free(rand);
    msix_unbind(b);
    close(fd);
    drop_fake(f);
    rig_machine_reset();
}

static void test_info(void) MAIN_THREAD
{
    FakePci *f = new_fake("5");
    set_command(f, PCI_COMMAND_IO);
    cfg_write(f, PCI_BASE_ADDRESS_1, 0xc000, 4);
    cfg_write(f, PCI_INTERRUPT_LINE, 10, 1);
    GString *out = g_string_new(NULL);
    pci_info(out);
    static const char expected[] =
        "  Bus  0, device   5, function 0:\n"
        "    Ethernet controller: PCI device 1234:5678\n"
        "      PCI subsystem 4321:8765\n"
        "      IRQ 10, pin A\n"
        "      BAR0: 32 bit memory at 0xffffffffffffffff [0x00000ffe].\n"
        "      BAR1: I/O at 0xc000 [0xc01f].\n"
        "      BAR2: 64 bit prefetchable memory at 0xffffffffffffffff "
        "[0x00003ffe].\n"
        "      BAR4: 32 bit memory at 0xffffffffffffffff [0x00000ffe].\n"
        "      id \"\"\n";
    g_assert_true(g_str_has_suffix(out->str, expected));
    g_assert_true(g_str_has_prefix(out->str,
                                   "  Bus  0, device   0, function 0:\n"
                                   "    Host bridge: PCI device 8086:1237\n"));
    g_string_free(out, TRUE);
    drop_fake(f);
}

int main(int argc, char **argv) NO_THREAD_SAFETY
{
    g_test_init(&argc, &argv, NULL);
    rig_init();
    bus = i440fx_init();

    g_test_add_func("/pci/3.2.2.3.2/mechanism", test_mechanism);
    g_test_add_func("/pci/3.2.2.3.2/reset-control", test_reset_control);
    g_test_add_func("/pci/chipset", test_chipset);
    g_test_add_func("/pci/addr/forms", test_addr_forms);
    g_test_add_func("/pci/addr/json", test_addr_json);
    g_test_add_func("/pci/addr/quoted", test_addr_quoted);
    g_test_add_func("/pci/addr/places", test_places);
    g_test_add_func("/pci/addr/full", test_bus_full);
    g_test_add_func("/pci/options", test_options);
    g_test_add_func("/pci/6.1/header", test_header);
    g_test_add_func("/pci/6.2.3/status", test_status);
    g_test_add_func("/pci/6.7/capabilities", test_capabilities);
    g_test_add_func("/pci/6.2.5.1/bar-size", test_bar_size);
    g_test_add_func("/pci/6.2.5.1/bar-move", test_bar_move);
    g_test_add_func("/pci/6.2.5.1/bar-64", test_bar_64);
    g_test_add_func("/pci/6.2.5.1/bar-overlap", test_bar_overlap);
    g_test_add_func("/pci/reset", test_reset);
    g_test_add_func("/pci/2.2.6/intx", test_intx);
    g_test_add_func("/pci/2.2.6/pirq", test_pirq);
    g_test_add_func("/pci/6.8.2/capability", test_msix_capability);
    g_test_add_func("/pci/6.8.2/notify", test_msix_notify);
    g_test_add_func("/pci/6.8.2/function-mask", test_msix_function);
    g_test_add_func("/pci/6.8.2/table-access", test_msix_table_access);
    g_test_add_func("/pci/6.8.2/irqfd", test_msix_irqfd);
    g_test_add_func("/pci/6.8.2/no-route", test_msix_no_route);
    g_test_add_func("/pci/6.8.2/reset", test_msix_reset);
    g_test_add_func("/pci/hostile", test_hostile);
    g_test_add_func("/pci/info", test_info);
    return g_test_run();
}
