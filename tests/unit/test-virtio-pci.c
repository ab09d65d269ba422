/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * virtio-pci as a driver sees it: configuration space, BARs, interrupts, on
 * the real PCI core with a fake virtio device behind the proxy.
 */
#include "util/osdep.h"

#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>

#include "hw/pci/msix.h"
#include "hw/virtio/virtio-bits.h"
#include "hw/virtio/virtio-pci.h"
#include "system/machine-lock.h"
#include "util/endian.h"
#include "util/fd.h"
#include "virtio-fake.h"

#define ACK  VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRV  VIRTIO_CONFIG_S_DRIVER
#define FEAT VIRTIO_CONFIG_S_FEATURES_OK
#define OK   VIRTIO_CONFIG_S_DRIVER_OK

#define DEVFN PCI_DEVFN(3, 0)

/* Where our firmware puts the BARs. */
#define LEGACY_PORT 0xc000u
#define PIO_PORT    0xc100u
#define MSIX_ADDR   0xfe000000u
#define MODERN_ADDR 0xfe0000000ULL /* above 4 GiB */

#define COMMON(reg) (MODERN_ADDR + VIRTIO_PCI_COMMON_##reg)
#define ISR         (MODERN_ADDR + 0x1000)
#define DEVICE_CFG  (MODERN_ADDR + 0x2000)
#define NOTIFY      (MODERN_ADDR + 0x3000)

static unsigned fake_default_vectors(VirtIOPCIProxy *proxy)
{
    return FAKE(virtio_pci_device(proxy))->queues + 1;
}

static const VirtIOPCITypeNames fake_names = {
    .generic = "virtio-fake-pci",
    .alias = "virtio-fake",
    .transitional = "virtio-fake-pci-transitional",
    .non_transitional = "virtio-fake-pci-non-transitional",
    .desc = "for tests",
    .category = "Misc",
    .virtio_type = TYPE_FAKE,
    .pci_class = 0x0200,
    .transitional_dev_id = 0x1000,
    .default_vectors = fake_default_vectors,
};

static const VirtIOPCITypeNames modern_names = {
    .generic = "virtio-new-pci",
    .virtio_type = TYPE_FAKE,
};

static void register_names(void)
{
    virtio_pci_types_register(&fake_names);
    virtio_pci_types_register(&modern_names);
}
TYPE_INIT(register_names)

/* ---- machine ---- */

static PCIBus *bus;
static bool line_level;

static unsigned map_irq(PCIDevice *dev, unsigned pin)
{
    g_assert_cmpuint(pin, ==, 0);
    return 1;
}

static void set_irq(void *opaque, unsigned line, bool level)
{
    line_level = level;
}

typedef struct Fixture {
    PCIDevice *pci;
    VirtIODevice *vdev;
    FakeDevice *fake;
} Fixture;

/* Makes a device of @type with "name=value" @options. */
static bool plug(Fixture *f, const char *type, const char *const *options,
                 Error **errp) MAIN_THREAD
{
    Object *obj = object_new(type);

    f->pci = PCI_DEVICE(obj);
    f->vdev = virtio_pci_device(OBJECT_CAST(VirtIOPCIProxy, obj));
    f->fake = FAKE(f->vdev);
    g_assert_true(object_property_parse(obj, "addr", "3", NULL));
    for (; options && *options; options++) {
        g_auto(GStrv) part = g_strsplit(*options, "=", 2);

        g_assert_true(object_property_parse(obj, part[0], part[1], NULL));
    }
    if (!device_realize(DEVICE(obj), BUS(bus), errp)) {
        object_unref(obj);
        return false;
    }
    return true;
}

static void unplug(Fixture *f) MAIN_THREAD
{
    device_unrealize(&f->pci->dev);
    g_assert_cmpuint(f->fake->starts, ==, f->fake->stops);
    object_unparent(OBJECT(f->pci));
    object_unref(OBJECT(f->pci));
    fake_turn();
    fake_take_messages(0);
    g_assert_false(line_level);
    g_assert_null(pci_bus_find(bus, DEVFN));
}

static uint32_t cfg_read(uint32_t offset, unsigned len) MAIN_THREAD
{
    return pci_config_read(bus, DEVFN, offset, len);
}

static void cfg_write(uint32_t offset, uint32_t value, unsigned len) MAIN_THREAD
{
    pci_config_write(bus, DEVFN, offset, value, len);
}

/* What firmware does. */
static void map_bars(void) MAIN_THREAD
{
    cfg_write(PCI_BASE_ADDRESS_0, LEGACY_PORT, 4);
    cfg_write(PCI_BASE_ADDRESS_1, MSIX_ADDR, 4);
    cfg_write(PCI_BASE_ADDRESS_2, PIO_PORT, 4);
    cfg_write(PCI_BASE_ADDRESS_4, (uint32_t)MODERN_ADDR, 4);
    cfg_write(PCI_BASE_ADDRESS_5, (uint32_t)(MODERN_ADDR >> 32), 4);
    cfg_write(PCI_COMMAND,
              PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static void plug_mapped(Fixture *f, const char *const *options) MAIN_THREAD
{
    g_assert_true(plug(f, "virtio-fake-pci", options, NULL));
    map_bars();
}

static uint32_t rd(uint64_t addr, unsigned size) MAIN_THREAD
{
    return (uint32_t)io_read(IO_SPACE_MMIO, addr, size);
}

static void wr(uint64_t addr, uint32_t value, unsigned size) MAIN_THREAD
{
    io_write(IO_SPACE_MMIO, addr, value, size);
}

static uint32_t in(unsigned reg, unsigned size)MAIN_THREAD
{
    return (uint32_t)io_read(IO_SPACE_PORT, LEGACY_PORT + reg, size);
}

static void out(unsigned reg, uint32_t value, unsigned size) MAIN_THREAD
{
    io_write(IO_SPACE_PORT, LEGACY_PORT + reg, value, size);
}

/* Next capability @id (virtio: of @type too) after @at, 0: from the start. */
static uint8_t find_cap(uint8_t at, uint8_t id, uint8_t type) MAIN_THREAD
{
    unsigned guard = 0;

    at = (uint8_t)cfg_read(at ? at + 1u : PCI_CAPABILITY_LIST, 1);
    while (at) {
        g_assert_cmpuint(guard++, <, 48);
        if (cfg_read(at, 1) == id &&
            (id != PCI_CAP_ID_VNDR || cfg_read(at + 3u, 1) == type)) {
            return at;
        }
        at = (uint8_t)cfg_read(at + 1u, 1);
    }
    return 0;
}

static void msix_switch(bool on) MAIN_THREAD
{
    cfg_write(find_cap(0, PCI_CAP_ID_MSIX, 0) + PCI_MSIX_FLAGS,
              on ? PCI_MSIX_FLAGS_ENABLE : 0, 2);
}

/* Unmasks @vector with a message of data 0x40 + @vector. */
static void msix_program(unsigned vector) MAIN_THREAD
{
    wr(MSIX_ADDR + 16 * vector, 0xfee00000, 4);
    wr(MSIX_ADDR + 16 * vector + 8, 0x40 + vector, 4);
    wr(MSIX_ADDR + 16 * vector + 12, 0, 4);
}

/* ---- modern driver ---- */

static void modern_negotiate(uint32_t low, uint32_t high) MAIN_THREAD
{
    wr(COMMON(STATUS), 0, 1);
    wr(COMMON(STATUS), ACK, 1);
    wr(COMMON(STATUS), ACK | DRV, 1);
    wr(COMMON(GFSELECT), 0, 4);
    wr(COMMON(GF), low, 4);
    wr(COMMON(GFSELECT), 1, 4);
    wr(COMMON(GF), high, 4);
    wr(COMMON(STATUS), ACK | DRV | FEAT, 1);
}

static void modern_queue(unsigned index, uint16_t vector) MAIN_THREAD
{
    uint32_t base = 0x10000 + 0x4000 * index;

    memset(fake_ram(base), 0, 0x4000);
    wr(COMMON(Q_SELECT), index, 2);
    wr(COMMON(Q_SIZE), 16, 2);
    wr(COMMON(Q_DESCLO), base, 4);
    wr(COMMON(Q_DESCHI), 0, 4);
    wr(COMMON(Q_AVAILLO), base + 0x1000, 4);
    wr(COMMON(Q_AVAILHI), 0, 4);
    wr(COMMON(Q_USEDLO), base + 0x2000, 4);
    wr(COMMON(Q_USEDHI), 0, 4);
    wr(COMMON(Q_MSIX), vector, 2);
    g_assert_cmphex(rd(COMMON(Q_MSIX), 2), ==, vector);
    wr(COMMON(Q_ENABLE), 1, 2);
}

static void modern_start(Fixture *f) MAIN_THREAD
{
    wr(COMMON(STATUS), ACK | DRV | FEAT | OK, 1);
    g_assert_cmphex(rd(COMMON(STATUS), 1), ==, ACK | DRV | FEAT | OK);
    g_assert_true(f->vdev->started);
}

static void modern_up(Fixture *f, uint16_t v0, uint16_t v1) MAIN_THREAD
{
    modern_negotiate(0, 1 | 1 << (VIRTIO_F_RING_RESET - 32));
    modern_queue(0, v0);
    modern_queue(1, v1);
    modern_start(f);
}

/* Has the device use a buffer of the queue and signal it. */
static void use_one(Fixture *f, unsigned index) MAIN_THREAD
{
    VirtQueue *vq = &f->vdev->vq[index];
    uint8_t *avail = fake_ram(vq->avail_gpa);
    uint16_t idx = load_le16(avail + 2);
    struct iovec iov[1];
    VirtQueueChain chain;
    uint8_t *d = fake_ram(vq->desc_gpa);

    store_le64(d, 0x80000);
    store_le32(d + 8, 16);
    store_le16(d + 12, VRING_DESC_F_WRITE);
    store_le16(avail + 4 + 2 * (idx % vq->size), 0);
    store_le16(avail + 2, idx + 1);
    g_assert_cmpint(virtqueue_pop(vq, iov, 1, &chain), ==, 1);
    virtqueue_fill(vq, &chain, 16);
    virtqueue_publish(vq);
    g_assert_true(virtqueue_signal(vq));
}

/* ---- identity ---- */

typedef struct Identity {
    const char *name, *type, *options[3];
    uint16_t device, subsystem;
    uint8_t revision;
    bool legacy, modern;
} Identity;

static const Identity identities[] = {
    { "generic", "virtio-fake-pci", { NULL }, 0x1000, 1, 0, true, true },
    { "alias", "virtio-fake", { NULL }, 0x1000, 1, 0, true, true },
    { "disable-legacy",
      "virtio-fake-pci",
      { "disable-legacy=on" },
      0x1041,
      0x1100,
      1,
      false,
      true },
    { "disable-modern",
      "virtio-fake-pci",
      { "disable-modern=on" },
      0x1000,
      1,
      0,
      true,
      false },
    { "transitional",
      "virtio-fake-pci-transitional",
      { NULL },
      0x1000,
      1,
      0,
      true,
      true },
    { "non-transitional",
      "virtio-fake-pci-non-transitional",
      { NULL },
      0x1041,
      0x1100,
      1,
      false,
      true },
    { "no-legacy-id",
      "virtio-new-pci",
      { NULL },
      0x1041,
      0x1100,
      1,
      false,
      true },
};

static void test_identity(const void *data) MAIN_THREAD
{
    const Identity *id = data;
    Fixture f;

    g_assert_true(plug(&f, id->type, id->options, NULL));
    g_assert_cmphex(cfg_read(PCI_VENDOR_ID, 2), ==, 0x1af4);
    g_assert_cmphex(cfg_read(PCI_DEVICE_ID, 2), ==, id->device);
    g_assert_cmphex(cfg_read(PCI_SUBSYSTEM_VENDOR_ID, 2), ==, 0x1af4);
    g_assert_cmphex(cfg_read(PCI_SUBSYSTEM_ID, 2), ==, id->subsystem);
    g_assert_cmphex(cfg_read(PCI_REVISION_ID, 1), ==, id->revision);
    g_assert_cmpuint(cfg_read(PCI_INTERRUPT_PIN, 1), ==, 1);
    /* BAR0: ports; BAR1: MSI-X; BAR4: 64 bit, prefetchable. */
    g_assert_cmphex(cfg_read(PCI_BASE_ADDRESS_0, 4), ==, id->legacy ? 1 : 0);
    g_assert_cmphex(cfg_read(PCI_BASE_ADDRESS_1, 4), ==, 0);
    g_assert_cmphex(cfg_read(PCI_BASE_ADDRESS_4, 4), ==, id->modern ? 0xc : 0);
    cfg_write(PCI_BASE_ADDRESS_0, UINT32_MAX, 4);
    g_assert_cmphex(cfg_read(PCI_BASE_ADDRESS_0, 4), ==,
                    id->legacy ? 0xffffffc1 : 0);
    g_assert_cmpint(find_cap(0, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_COMMON_CFG) !=
                        0,
                    ==, id->modern);
    unplug(&f);
}

typedef struct BadOption {
    const char *name, *type, *options[3], *message;
} BadOption;

static const BadOption bad_options[] = {
    { "no-interface",
      "virtio-fake-pci",
      { "disable-legacy=on", "disable-modern=on" },
      "leave no interface" },
    { "ats", "virtio-fake-pci", { "ats=on" }, "PCI Express" },
    { "aer", "virtio-fake-pci", { "aer=on" }, "PCI Express" },
    { "vectors", "virtio-fake-pci", { "vectors=2049" }, "vectors=2049" },
    { "no-legacy",
      "virtio-new-pci",
      { "disable-legacy=off" },
      "no legacy interface" },
    { "child-realize",
      "virtio-fake-pci",
      { "fail-realize=on" },
      "as it was told" },
};

static void test_bad_option(const void *data) MAIN_THREAD
{
    const BadOption *b = data;
    g_autoptr(GError) err = NULL;
    Fixture f;

    g_assert_false(plug(&f, b->type, b->options, &err));
    g_assert_nonnull(strstr(err->message, b->message));
    g_assert_null(pci_bus_find(bus, DEVFN));
}

static void check_cap(uint8_t type, uint8_t bar, uint32_t offset,
                      uint32_t length) MAIN_THREAD
{
    uint8_t cap = find_cap(0, PCI_CAP_ID_VNDR, type);

    g_assert_cmpuint(cap, !=, 0);
    g_assert_cmpuint(cfg_read(cap + 2u, 1), >=, 16);
    g_assert_cmpuint(cfg_read(cap + 4u, 1), ==, bar);
    g_assert_cmphex(cfg_read(cap + 8u, 4), ==, offset);
    g_assert_cmphex(cfg_read(cap + 12u, 4), ==, length);
    /* Not the driver's to change, but for the access window. */
    cfg_write(cap + 8u, 0x1234, 4);
    g_assert_cmphex(cfg_read(cap + 8u, 4), ==, offset);
}

static void test_capabilities(void) MAIN_THREAD
{
    static const char *const paged[] = { "page-per-vq=on", "queues=513", NULL };
    static const char *const pio[] = { "modern-pio-notify=on", NULL };
    Fixture f;
    uint8_t cap;

    plug_mapped(&f, NULL);
    check_cap(VIRTIO_PCI_CAP_COMMON_CFG, 4, 0, 0x1000);
    check_cap(VIRTIO_PCI_CAP_ISR_CFG, 4, 0x1000, 0x1000);
    check_cap(VIRTIO_PCI_CAP_DEVICE_CFG, 4, 0x2000, 0x1000);
    check_cap(VIRTIO_PCI_CAP_NOTIFY_CFG, 4, 0x3000, 0x1000);
    cap = find_cap(0, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_NOTIFY_CFG);
    g_assert_cmpuint(cfg_read(cap + 16u, 4), ==, 4);
    g_assert_cmpuint(find_cap(cap, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_NOTIFY_CFG),
                     ==, 0);
    unplug(&f);

    plug_mapped(&f, paged);
    check_cap(VIRTIO_PCI_CAP_NOTIFY_CFG, 4, 0x3000, 513 * 4096);
    cap = find_cap(0, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_NOTIFY_CFG);
    g_assert_cmpuint(cfg_read(cap + 16u, 4), ==, 4096);
    wr(NOTIFY + 512 * 4096, 512, 2);
    g_assert_true(eventfd_clear(f.vdev->vq[512].kick_fd));
    unplug(&f);

    plug_mapped(&f, pio);
    cap = find_cap(0, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_NOTIFY_CFG);
    g_assert_cmpuint(cfg_read(cap + 4u, 1), ==, 2); /* the first is taken */
    g_assert_cmpuint(cfg_read(cap + 16u, 4), ==, 0);
    g_assert_cmpuint(find_cap(cap, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_NOTIFY_CFG),
                     !=, 0);
    io_write(IO_SPACE_PORT, PIO_PORT, 2, 2);
    g_assert_true(eventfd_clear(f.vdev->vq[2].kick_fd));
    unplug(&f);
}

static void test_vectors(void) MAIN_THREAD
{
    static const char *const none[] = { "vectors=0", NULL };
    static const char *const one[] = { "vectors=1", NULL };
    Fixture f;

    plug_mapped(&f, NULL);
    g_assert_cmpuint(msix_vectors(f.pci), ==, FAKE_QUEUES + 1);
    g_assert_cmpuint(f.vdev->transport->n_vectors(f.vdev->transport_opaque), ==,
                     FAKE_QUEUES + 1);
    unplug(&f);
    plug_mapped(&f, none);
    g_assert_cmpuint(find_cap(0, PCI_CAP_ID_MSIX, 0), ==, 0);
    unplug(&f);
    plug_mapped(&f, one);
    msix_switch(true);
    wr(COMMON(Q_MSIX), 1, 2);
    g_assert_cmphex(rd(COMMON(Q_MSIX), 2), ==, MSIX_NO_VECTOR);
    wr(COMMON(MSIX), 0, 2);
    g_assert_cmphex(rd(COMMON(MSIX), 2), ==, 0);
    wr(COMMON(MSIX), 5, 2);
    g_assert_cmphex(rd(COMMON(MSIX), 2), ==, MSIX_NO_VECTOR);
    unplug(&f);
}

/* ---- modern registers ---- */

static void test_common_config(void) MAIN_THREAD
{
    Fixture f;
    uint32_t low;

    plug_mapped(&f, NULL);
    g_assert_cmpuint(rd(COMMON(NUMQ), 2), ==, FAKE_QUEUES);
    g_assert_cmpuint(rd(COMMON(DFSELECT), 4), ==, 0);
    low = rd(COMMON(DF), 4);
    g_assert_cmphex(low, ==,
                    1u << FAKE_F_ONE | 1u << FAKE_F_REFUSED |
                        1u << VIRTIO_RING_F_INDIRECT_DESC |
                        1u << VIRTIO_RING_F_EVENT_IDX);
    wr(COMMON(DFSELECT), 1, 4);
    g_assert_cmphex(rd(COMMON(DF), 4), ==, 1 | 1 << (VIRTIO_F_RING_RESET - 32));
    wr(COMMON(DFSELECT), 2, 4);
    g_assert_cmphex(rd(COMMON(DF), 4), ==, 0);
    wr(COMMON(DFSELECT), UINT32_MAX, 4);
    g_assert_cmphex(rd(COMMON(DF), 4), ==, 0);

    /* Wrong widths and read-only fields. */
    wr(COMMON(Q_SELECT), 1, 4);
    g_assert_cmpuint(rd(COMMON(Q_SELECT), 2), ==, 0);
    wr(COMMON(NUMQ), 77, 2);
    g_assert_cmpuint(rd(COMMON(NUMQ), 2), ==, FAKE_QUEUES);
    unplug(&f);
}

static void test_common_queue(void) MAIN_THREAD
{
    Fixture f;

    plug_mapped(&f, NULL);
    wr(COMMON(Q_SELECT), 2, 2);
    g_assert_cmpuint(rd(COMMON(Q_SIZE), 2), ==, FAKE_QUEUE_SIZE);
    g_assert_cmpuint(rd(COMMON(Q_NOFF), 2), ==, 2);
    g_assert_cmpuint(rd(COMMON(Q_NDATA), 2), ==, 2);
    g_assert_cmpuint(rd(COMMON(Q_RESET), 2), ==, 0);
    wr(COMMON(Q_SIZE), 32, 2);
    wr(COMMON(Q_SIZE), 48, 2);
    wr(COMMON(Q_SIZE), 128, 2);
    wr(COMMON(Q_SIZE), 0, 2);
    g_assert_cmpuint(rd(COMMON(Q_SIZE), 2), ==, 32);
    wr(COMMON(Q_DESCLO), 0x11223340, 4);
    wr(COMMON(Q_DESCHI), 0x55667788, 4);
    io_write(IO_SPACE_MMIO, COMMON(Q_USEDLO), 0x99aabbccddeeff00, 8);
    g_assert_cmphex(f.vdev->vq[2].desc_gpa, ==, 0x5566778811223340);
    g_assert_cmphex(f.vdev->vq[2].used_gpa, ==, 0x99aabbccddeeff00);
    g_assert_cmphex(rd(COMMON(Q_DESCHI), 4), ==, 0x55667788);
    g_assert_cmphex(rd(COMMON(Q_DESCHI) + 1, 1), ==, 0x77);

    /* Once enabled the driver may not change it. */
    wr(COMMON(Q_ENABLE), 2, 2);
    g_assert_cmpuint(rd(COMMON(Q_ENABLE), 2), ==, 0);
    wr(COMMON(Q_ENABLE), 1, 2);
    g_assert_cmpuint(rd(COMMON(Q_ENABLE), 2), ==, 1);
    wr(COMMON(Q_DESCLO), 0, 4);
    wr(COMMON(Q_ENABLE), 0, 2);
    g_assert_cmphex(rd(COMMON(Q_DESCLO), 4), ==, 0x11223340);
    g_assert_cmpuint(rd(COMMON(Q_ENABLE), 2), ==, 1);

    /* A queue that is not there reads 0 and takes nothing. */
    wr(COMMON(Q_SELECT), FAKE_QUEUES, 2);
    g_assert_cmpuint(rd(COMMON(Q_SIZE), 2), ==, 0);
    wr(COMMON(Q_ENABLE), 1, 2);
    g_assert_cmpuint(rd(COMMON(Q_ENABLE), 2), ==, 0);

    wr(COMMON(DFSELECT), 1, 4);
    wr(COMMON(STATUS), ACK, 1);
    wr(COMMON(STATUS), 0, 1);
    g_assert_cmpuint(rd(COMMON(Q_SELECT), 2), ==, 0);
    g_assert_cmpuint(rd(COMMON(DFSELECT), 4), ==, 0);
    wr(COMMON(Q_SELECT), 2, 2);
    g_assert_cmpuint(rd(COMMON(Q_SIZE), 2), ==, FAKE_QUEUE_SIZE);
    g_assert_cmpuint(rd(COMMON(Q_ENABLE), 2), ==, 0);
    unplug(&f);
}

/* Any size up to the maximum, once packed rings were chosen (2.8.10.1). */
static void test_packed_queue_size(void) MAIN_THREAD
{
    static const char *const options[] = { "packed=on", NULL };
    static const uint16_t sizes[] = { 1, 3, 48, 63, 64 };
    Fixture f;

    plug_mapped(&f, options);
    modern_negotiate(0, 1);
    wr(COMMON(Q_SIZE), 48, 2);
    g_assert_cmpuint(rd(COMMON(Q_SIZE), 2), ==, FAKE_QUEUE_SIZE);
    modern_negotiate(0, 1 | 1u << (VIRTIO_F_RING_PACKED - 32));
    g_assert_true(f.vdev->status & FEAT);
    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        wr(COMMON(Q_SIZE), sizes[i], 2);
        g_assert_cmpuint(rd(COMMON(Q_SIZE), 2), ==, sizes[i]);
    }
    wr(COMMON(Q_SIZE), 0, 2);
    wr(COMMON(Q_SIZE), FAKE_QUEUE_SIZE + 1, 2);
    g_assert_cmpuint(rd(COMMON(Q_SIZE), 2), ==, FAKE_QUEUE_SIZE);
    unplug(&f);
}

static void test_modern_status(void) MAIN_THREAD
{
    Fixture f;

    plug_mapped(&f, NULL);
    modern_negotiate(1u << FAKE_F_NOT, 1);
    g_assert_cmphex(rd(COMMON(STATUS), 1), ==, ACK | DRV);
    modern_negotiate(0, 0); /* the modern interface needs VERSION_1 */
    g_assert_cmphex(rd(COMMON(STATUS), 1), ==, ACK | DRV);
    modern_negotiate(1u << FAKE_F_ONE, 1);
    g_assert_cmphex(rd(COMMON(STATUS), 1), ==, ACK | DRV | FEAT);
    modern_start(&f);
    g_assert_true(virtio_has_feature(f.vdev, FAKE_F_ONE));

    wr(COMMON(STATUS), 0, 1);
    g_assert_cmphex(rd(COMMON(STATUS), 1), ==, 0);
    wr(COMMON(STATUS), ACK, 1);
    wr(COMMON(STATUS), OK, 1); /* no reset by the way, and no start */
    g_assert_cmpuint(f.fake->starts, ==, 1);
    fake_turn();
    g_assert_cmphex(rd(COMMON(STATUS), 1), ==,
                    ACK | VIRTIO_CONFIG_S_NEEDS_RESET);
    unplug(&f);
}

static void test_bus_master(void) MAIN_THREAD
{
    Fixture f;

    plug_mapped(&f, NULL);
    cfg_write(PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    modern_negotiate(0, 1);
    wr(COMMON(STATUS), ACK | DRV | FEAT | OK, 1);
    g_assert_false(f.vdev->started);
    cfg_write(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    g_assert_true(f.vdev->started);
    device_reset(&f.pci->dev);
    pci_device_reset_config(f.pci);
    g_assert_false(f.vdev->started);
    g_assert_cmphex(f.vdev->status, ==, 0);
    cfg_write(PCI_INTERRUPT_LINE, 5, 1);
    g_assert_false(f.vdev->bus_master);
    unplug(&f);
}

static void test_device_config(void) MAIN_THREAD
{
    Fixture f;
    uint8_t generation;

    plug_mapped(&f, NULL);
    g_assert_cmphex(rd(DEVICE_CFG, 4), ==, 0x13121110);
    g_assert_cmphex(rd(DEVICE_CFG + 9, 1), ==, 0x19);
    g_assert_cmphex(rd(DEVICE_CFG + 10, 2), ==, 0);
    wr(DEVICE_CFG + 4, 0xcafe, 2);
    g_assert_cmphex(rd(DEVICE_CFG + 4, 2), ==, 0xcafe);
    generation = (uint8_t)rd(COMMON(CFGGENERATION), 1);
    virtio_notify_config(f.vdev);
    g_assert_cmpuint(rd(COMMON(CFGGENERATION), 1), ==,
                     (uint8_t)(generation + 1));
    unplug(&f);
}

static void test_queue_reset(void) MAIN_THREAD
{
    Fixture f;

    plug_mapped(&f, NULL);
    modern_up(&f, MSIX_NO_VECTOR, MSIX_NO_VECTOR);
    use_one(&f, 1);
    wr(COMMON(Q_SELECT), 1, 2);
    wr(COMMON(Q_RESET), 2, 2);
    g_assert_true(f.vdev->vq[1].running);
    wr(COMMON(Q_RESET), 1, 2);
    g_assert_cmpuint(rd(COMMON(Q_RESET), 2), ==, 0);
    g_assert_cmpuint(rd(COMMON(Q_ENABLE), 2), ==, 0);
    g_assert_cmpuint(f.fake->queue_stops, ==, 1);
    modern_queue(1, MSIX_NO_VECTOR);
    g_assert_cmpuint(f.fake->queue_starts, ==, 1);
    rd(ISR, 1);
    use_one(&f, 1);
    fake_turn();
    g_assert_cmpuint(rd(ISR, 1), ==, 1);
    unplug(&f);
}

/* ---- doorbells ---- */

static struct {
    unsigned on, refuse, adds;
} doors;

static bool door_accel(bool add, IoSpace space, uint64_t addr, unsigned size,
                       bool match, uint64_t data, int fd, Error **errp)
{
    if (add && doors.refuse) {
        error_setg(errp, "no room");
        return false;
    }
    doors.adds += add;
    doors.on += add ? 1 : -1u;
    return true;
}

static const MemoryAccelOps door_ops = { .ioeventfd = door_accel };

static void check_kicks(Fixture *f) MAIN_THREAD
{
    modern_up(f, MSIX_NO_VECTOR, MSIX_NO_VECTOR);
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        wr(NOTIFY + 4 * i, i, 2);
        g_assert_true(eventfd_clear(f->vdev->vq[i].kick_fd));
        wr(NOTIFY + 4 * i, i, 4);
        g_assert_true(eventfd_clear(f->vdev->vq[i].kick_fd));
    }
    wr(NOTIFY + 4 * FAKE_QUEUES, 0, 2);
    for (unsigned i = 0; i < FAKE_QUEUES; i++) {
        g_assert_false(eventfd_clear(f->vdev->vq[i].kick_fd));
    }
}

static void test_doors(void) MAIN_THREAD
{
    static const char *const off[] = { "ioeventfd=off", NULL };
    Fixture f;

    memory_set_accel(&door_ops, NULL);
    plug_mapped(&f, NULL);
    check_kicks(&f);
    g_assert_cmpuint(doors.on, ==, 2); /* of the two queues enabled */
    fake_set_running(false);
    g_assert_cmpuint(doors.on, ==, 0);
    fake_set_running(true);
    g_assert_cmpuint(doors.on, ==, 2);
    modern_queue(2, MSIX_NO_VECTOR); /* late */
    g_assert_cmpuint(doors.on, ==, 3);
    wr(COMMON(Q_RESET), 1, 2);
    g_assert_cmpuint(doors.on, ==, 2);
    unplug(&f);
    g_assert_cmpuint(doors.on, ==, 0);

    doors.adds = 0;
    plug_mapped(&f, off);
    check_kicks(&f);
    g_assert_cmpuint(doors.adds, ==, 0);
    unplug(&f);

    doors.refuse = true;
    plug_mapped(&f, NULL);
    check_kicks(&f);
    unplug(&f);
    doors.refuse = false;
    memory_set_accel(NULL, NULL);
}

/* ---- interrupts ---- */

static void test_intx(void) MAIN_THREAD
{
    Fixture f;

    plug_mapped(&f, NULL);
    modern_up(&f, MSIX_NO_VECTOR, MSIX_NO_VECTOR);
    g_assert_false(line_level);
    use_one(&f, 0);
    fake_turn();
    g_assert_true(line_level);
    use_one(&f, 1);
    fake_turn();
    virtio_notify_config(f.vdev);
    g_assert_cmphex(rd(ISR, 1), ==, 3);
    g_assert_false(line_level);
    g_assert_cmphex(rd(ISR, 1), ==, 0);

    /* What was signalled before a stop comes through. */
    use_one(&f, 0);
    fake_set_running(false);
    g_assert_true(line_level);
    fake_set_running(true);
    wr(COMMON(STATUS), 0, 1);
    g_assert_false(line_level);
    unplug(&f);
}

static void test_msix(void) MAIN_THREAD
{
    Fixture f;

    plug_mapped(&f, NULL);
    msix_switch(true);
    for (unsigned i = 0; i < 4; i++) {
        msix_program(i);
    }
    wr(COMMON(MSIX), 0, 2);
    modern_negotiate(0, 1);
    wr(COMMON(MSIX), 0, 2);
    modern_queue(0, 1);
    modern_queue(1, 2);
    modern_start(&f);
    use_one(&f, 0);
    fake_turn();
    g_assert_cmpuint(fake_take_messages(0x41), ==, 1);
    use_one(&f, 1);
    fake_turn();
    g_assert_cmpuint(fake_take_messages(0x42), ==, 1);
    virtio_notify_config(f.vdev);
    g_assert_cmpuint(fake_take_messages(0x40), ==, 1);
    g_assert_false(line_level);
    g_assert_cmphex(rd(ISR, 1), ==, 2); /* 4.1.4.5.1: the bit is set anyway */

    /* The driver moves queue 1 to the vector of queue 0 while it runs. */
    wr(COMMON(Q_SELECT), 1, 2);
    wr(COMMON(Q_MSIX), 1, 2);
    use_one(&f, 0);
    use_one(&f, 1);
    fake_turn();
    g_assert_cmpuint(fake_take_messages(0x41), ==, 2);
    /* A signal not yet delivered goes out with the change. */
    use_one(&f, 1);
    wr(COMMON(Q_MSIX), 3, 2);
    g_assert_cmpuint(fake_take_messages(0x41), ==, 1);
    wr(COMMON(Q_MSIX), MSIX_NO_VECTOR, 2);
    use_one(&f, 1);
    fake_turn();
    g_assert_cmpuint(fake_take_messages(0), ==, 0);

    /* And switches MSI-X off, and on again. */
    msix_switch(false);
    use_one(&f, 0);
    fake_turn();
    g_assert_true(line_level);
    msix_switch(true);
    g_assert_false(line_level);
    use_one(&f, 0);
    fake_turn();
    g_assert_cmpuint(fake_take_messages(0x41), ==, 1);
    unplug(&f);
}

static void test_fault_interrupt(void) MAIN_THREAD
{
    Fixture f;

    plug_mapped(&f, NULL);
    modern_up(&f, MSIX_NO_VECTOR, MSIX_NO_VECTOR);
    virtio_error(f.vdev, "as the test wants");
    fake_turn();
    g_assert_true(rd(COMMON(STATUS), 1) & VIRTIO_CONFIG_S_NEEDS_RESET);
    g_assert_cmphex(rd(ISR, 1), ==, 2);
    unplug(&f);
}

/* ---- access window ---- */

static void window(uint8_t cap, uint8_t bar, uint32_t offset, uint32_t len)
    MAIN_THREAD
{
    cfg_write(cap + 4u, bar, 1);
    cfg_write(cap + 8u, offset, 4);
    cfg_write(cap + 12u, len, 4);
}

static void test_window(void) MAIN_THREAD
{
    static const struct {
        uint8_t bar;
        uint32_t offset, len;
    } bad[] = {
        { 0, 0, 4 },          { 1, 0, 4 },          { 2, 0, 2 },
        { 5, 0, 4 },          { 255, 0, 4 },        { 4, 0, 0 },
        { 4, 0, 3 },          { 4, 0, 8 },          { 4, 2, 4 },
        { 4, 0x4000, 4 },     { 4, 0xfffffffc, 4 }, { 4, 0x3fff, 2 },
        { 4, 0, UINT32_MAX },
    };
    Fixture f;
    uint8_t cap;

    plug_mapped(&f, NULL);
    cap = find_cap(0, PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_PCI_CFG);
    cfg_write(PCI_COMMAND, 0, 2); /* that is what it is for: BARs are off */
    window(cap, 4, VIRTIO_PCI_COMMON_NUMQ, 2);
    g_assert_cmphex(cfg_read(cap + 16u, 2), ==, FAKE_QUEUES);
    window(cap, 4, VIRTIO_PCI_COMMON_STATUS, 1);
    cfg_write(cap + 16u, ACK, 1);
    g_assert_cmphex(f.vdev->status, ==, ACK);
    g_assert_cmphex(cfg_read(cap + 16u, 1), ==, ACK);
    window(cap, 4, 0x3000 + 4, 2);
    cfg_write(cap + 16u, 1, 2);
    g_assert_true(eventfd_clear(f.vdev->vq[1].kick_fd));
    window(cap, 4, VIRTIO_PCI_COMMON_DFSELECT, 4);
    cfg_write(cap + 16u, 1, 4);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        window(cap, bad[i].bar, bad[i].offset, bad[i].len);
        cfg_write(cap + 16u, 0x5a5a5a5a, 4);
        g_assert_cmphex(cfg_read(cap + 16u, 4), ==, 0x5a5a5a5a);
    }
    map_bars();
    g_assert_cmphex(rd(COMMON(DFSELECT), 4), ==, 1);
    g_assert_cmphex(rd(COMMON(STATUS), 1), ==, ACK);
    unplug(&f);
}

/* ---- legacy driver ---- */

static void test_legacy(void) MAIN_THREAD
{
    Fixture f;

    plug_mapped(&f, NULL);
    cfg_write(PCI_COMMAND, PCI_COMMAND_IO, 2); /* 2.6.33 forgot the rest */
    out(VIRTIO_PCI_STATUS, 0, 1);
    out(VIRTIO_PCI_STATUS, ACK, 1);
    out(VIRTIO_PCI_STATUS, ACK | DRV, 1);
    g_assert_cmphex(in(VIRTIO_PCI_HOST_FEATURES, 4), ==,
                    (uint32_t)virtio_get_host_features(f.vdev));
    g_assert_true(in(VIRTIO_PCI_HOST_FEATURES, 4) & 1u << FAKE_F_OLD);
    out(VIRTIO_PCI_GUEST_FEATURES, 1u << FAKE_F_OLD, 4);
    g_assert_cmphex(in(20, 4), ==, 0x13121110);

    memset(fake_ram(0x20000), 0, 0x8000);
    for (unsigned i = 0; i < 2; i++) {
        out(VIRTIO_PCI_QUEUE_SEL, i, 2);
        g_assert_cmpuint(in(VIRTIO_PCI_QUEUE_NUM, 2), ==, FAKE_QUEUE_SIZE);
        g_assert_cmpuint(in(VIRTIO_PCI_QUEUE_PFN, 4), ==, 0);
        out(VIRTIO_PCI_QUEUE_PFN, 0x20 + 4 * i, 4);
        g_assert_cmpuint(in(VIRTIO_PCI_QUEUE_PFN, 4), ==, 0x20 + 4 * i);
    }
    out(VIRTIO_PCI_QUEUE_SEL, FAKE_QUEUES, 2);
    g_assert_cmpuint(in(VIRTIO_PCI_QUEUE_NUM, 2), ==, 0);
    out(VIRTIO_PCI_QUEUE_PFN, 0x30, 4);

    /* It kicks before DRIVER_OK, and that must work. */
    g_assert_false(f.vdev->started);
    out(VIRTIO_PCI_QUEUE_NOTIFY, 2, 2); /* not a queue in use */
    out(VIRTIO_PCI_QUEUE_NOTIFY, 0xffff, 2);
    g_assert_false(f.vdev->started);
    out(VIRTIO_PCI_QUEUE_NOTIFY, 0, 2);
    g_assert_true(f.vdev->started);
    g_assert_cmphex(f.fake->features, ==, 1u << FAKE_F_OLD);
    g_assert_true(eventfd_clear(f.vdev->vq[0].kick_fd));
    out(VIRTIO_PCI_STATUS, ACK | DRV | OK, 1);
    g_assert_cmpuint(f.fake->starts, ==, 1);
    out(VIRTIO_PCI_QUEUE_NOTIFY, 1, 2);
    g_assert_true(eventfd_clear(f.vdev->vq[1].kick_fd));

    use_one(&f, 0);
    fake_turn();
    g_assert_true(line_level);
    g_assert_cmpuint(in(VIRTIO_PCI_ISR, 1), ==, 1);
    g_assert_false(line_level);
    virtio_notify_config(f.vdev);
    g_assert_cmpuint(in(VIRTIO_PCI_STATUS, 2) >> 8, ==, 2);
    g_assert_cmpuint(in(VIRTIO_PCI_ISR, 1), ==, 0);

    out(VIRTIO_PCI_QUEUE_SEL, 0, 2);
    out(VIRTIO_PCI_QUEUE_PFN, 0, 4);
    g_assert_cmpuint(f.fake->queue_stops, ==, 1);
    out(VIRTIO_PCI_STATUS, 0, 1);
    g_assert_false(f.vdev->started);
    unplug(&f);
}

static void test_legacy_msix(void) MAIN_THREAD
{
    Fixture f;

    plug_mapped(&f, NULL);
    g_assert_cmphex(in(20, 1), ==, 0x10);
    msix_switch(true);
    for (unsigned i = 0; i < 4; i++) {
        msix_program(i);
    }
    g_assert_cmphex(in(24, 1), ==, 0x10); /* the configuration moves */
    g_assert_cmphex(in(20, 2), ==, MSIX_NO_VECTOR);
    out(24, 0x77, 1);
    g_assert_cmphex(f.fake->config[0], ==, 0x77);
    out(VIRTIO_PCI_STATUS, ACK | DRV, 1);
    out(VIRTIO_MSI_CONFIG_VECTOR, 3, 2);
    memset(fake_ram(0x20000), 0, 0x4000);
    out(VIRTIO_PCI_QUEUE_SEL, 0, 2);
    out(VIRTIO_PCI_QUEUE_PFN, 0x20, 4);
    out(VIRTIO_MSI_QUEUE_VECTOR, 9, 2);
    g_assert_cmphex(in(VIRTIO_MSI_QUEUE_VECTOR, 2), ==, MSIX_NO_VECTOR);
    out(VIRTIO_MSI_QUEUE_VECTOR, 2, 2);
    g_assert_cmphex(in(VIRTIO_MSI_QUEUE_VECTOR, 2), ==, 2);
    out(VIRTIO_PCI_STATUS, ACK | DRV | OK, 1);
    use_one(&f, 0);
    fake_turn();
    g_assert_cmpuint(fake_take_messages(0x42), ==, 1);
    virtio_notify_config(f.vdev);
    g_assert_cmpuint(fake_take_messages(0x43), ==, 1);
    unplug(&f);
}

static void test_legacy_without_modern(void) MAIN_THREAD
{
    static const char *const options[] = { "disable-modern=on", NULL };
    Fixture f;

    plug_mapped(&f, options);
    out(VIRTIO_PCI_STATUS, ACK | DRV | FEAT | OK, 1); /* FEATURES_OK is new */
    g_assert_cmphex(in(VIRTIO_PCI_STATUS, 1), ==, ACK | DRV | OK);
    g_assert_true(f.vdev->started);
    g_assert_cmphex(rd(COMMON(NUMQ), 2), ==, 0xffff); /* nobody there */
    unplug(&f);
}

/* ---- a driver that writes at random ---- */

static void random_access(GRand *rand) MAIN_THREAD
{
    static const unsigned sizes[] = { 1, 2, 4, 8 };
    unsigned size = sizes[g_rand_int_range(rand, 0, 4)];
    uint32_t value =
        g_rand_boolean(rand) ? g_rand_int(rand) : g_rand_int(rand) % 16;
    uint32_t at = g_rand_int(rand);
    bool write = g_rand_boolean(rand);

    switch (g_rand_int_range(rand, 0, 6)) {
    case 0:
        at = PCI_STD_HEADER_SIZEOF + at % (256 - PCI_STD_HEADER_SIZEOF - 4);
        size = MIN(size, 4);
        if (write) {
            cfg_write(at & ~(size - 1), value, size);
        } else {
            cfg_read(at & ~(size - 1), size);
        }
        return;
    case 1:
        at %= 64;
        if (write) {
            out(at, value, MIN(size, 4));
        } else {
            in(at, MIN(size, 4));
        }
        return;
    case 2:
        at %= 0x4000;
        break;
    default:
        at %= 64; /* where it hurts */
    }
    if (write) {
        wr(MODERN_ADDR + at, value, size);
    } else {
        rd(MODERN_ADDR + at, size);
    }
}

static void test_random(void) MAIN_THREAD
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(20240229);
    Fixture f;

    plug_mapped(&f, NULL);
    for (unsigned i = 0; i < 4; i++) {
        msix_program(i);
    }
    for (unsigned life = 0; life < 40; life++) {
        modern_up(&f, MSIX_NO_VECTOR, MSIX_NO_VECTOR);
        for (unsigned i = 0; i < 500; i++) {
            random_access(rand);
        }
        fake_turn();
        map_bars();
    }
    /* And it still works. */
    msix_switch(false);
    modern_up(&f, MSIX_NO_VECTOR, MSIX_NO_VECTOR);
    rd(ISR, 1);
    use_one(&f, 0);
    fake_turn();
    g_assert_cmphex(rd(ISR, 1), ==, 1);
    unplug(&f);
}

int main(int argc, char **argv)
{
    int r;

    g_test_init(&argc, &argv, NULL);
    fake_machine_init();
    bus = pci_bus_new("pci.0", NULL);
    bus->map_irq = map_irq;
    bus->set_irq = set_irq;
    for (unsigned i = 0; i < ARRAY_SIZE(identities); i++) {
        g_autofree char *path =
            g_strdup_printf("/virtio-pci/4.1.2/%s", identities[i].name);

        g_test_add_data_func(path, &identities[i], test_identity);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(bad_options); i++) {
        g_autofree char *path =
            g_strdup_printf("/virtio-pci/options/%s", bad_options[i].name);

        g_test_add_data_func(path, &bad_options[i], test_bad_option);
    }
    g_test_add_func("/virtio-pci/4.1.4/capabilities", test_capabilities);
    g_test_add_func("/virtio-pci/4.1.5.1.2/vectors", test_vectors);
    g_test_add_func("/virtio-pci/4.1.4.3/common-config", test_common_config);
    g_test_add_func("/virtio-pci/4.1.4.3/queue", test_common_queue);
    g_test_add_func("/virtio-pci/2.8.10.1/packed-queue-size",
                    test_packed_queue_size);
    g_test_add_func("/virtio-pci/4.1.4.3/status", test_modern_status);
    g_test_add_func("/virtio-pci/4.1.4.3/queue-reset", test_queue_reset);
    g_test_add_func("/virtio-pci/4.1.4.6/device-config", test_device_config);
    g_test_add_func("/virtio-pci/bus-master", test_bus_master);
    g_test_add_func("/virtio-pci/4.1.4.4/doorbells", test_doors);
    g_test_add_func("/virtio-pci/4.1.4.5/intx", test_intx);
    g_test_add_func("/virtio-pci/4.1.5.3/msix", test_msix);
    g_test_add_func("/virtio-pci/2.1.2/fault-interrupt", test_fault_interrupt);
    g_test_add_func("/virtio-pci/4.1.4.9/access-window", test_window);
    g_test_add_func("/virtio-pci/legacy/driver", test_legacy);
    g_test_add_func("/virtio-pci/legacy/msix", test_legacy_msix);
    g_test_add_func("/virtio-pci/legacy/alone", test_legacy_without_modern);
    g_test_add_func("/virtio-pci/random-driver", test_random);
    r = g_test_run();
    machine_unlock();
    return r;
}
