/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A PCI function: configuration space, BARs, INTx (PCI Local Bus
 * Specification 3.0, 6.1, 6.2 and 2.2.6).
 */
#include "util/osdep.h"

#include <linux/pci_regs.h>

#include "hw/pci/msix.h"
#include "hw/pci/pci.h"
#include "qapi/qapi-visit.h"
#include "util/endian.h"

/* Chipset registers, at priority 0, win over whatever the guest puts there. */
#define PCI_BAR_PRIORITY (-1)

#define PCI_COMMAND_WRITABLE                                    \
    (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | \
     PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)
#define PCI_STATUS_W1C                                           \
    (PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT |           \
     PCI_STATUS_REC_TARGET_ABORT | PCI_STATUS_REC_MASTER_ABORT | \
     PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY)

#define PCI_MULTIFUNCTION_BIT 0x80

static bool ranges_overlap(uint32_t a, unsigned a_len, uint32_t b,
                           unsigned b_len)
{
    return a < b + b_len && b < a + a_len;
}

static uint16_t pci_command(const PCIDevice *dev)
{
    return load_le16(dev->config + PCI_COMMAND);
}

/* ---- base address registers ---- */

static uint8_t *pci_bar_register(PCIDevice *dev, unsigned index)
{
    return dev->config + PCI_BASE_ADDRESS_0 + 4 * index;
}

void pci_register_bar(PCIDevice *dev, unsigned index, IoSpace space, bool is_64,
                      bool prefetch, IoRegion *region)
{
    uint64_t size = region->size;
    uint64_t min = space == IO_SPACE_PORT ? 4 : 16;
    g_assert(index + is_64 < PCI_NUM_BARS && !dev->bar[index].region);
    g_assert(size >= min && (size & (size - 1)) == 0);

    dev->bar[index] = (PCIBar){ .region = region,
                                .space = space,
                                .is_64 = is_64,
                                .prefetch = prefetch,
                                .size = size };
    uint32_t type = PCI_BASE_ADDRESS_SPACE_IO;
    if (space == IO_SPACE_MMIO) {
        type = (is_64 ? PCI_BASE_ADDRESS_MEM_TYPE_64 : 0) |
               (prefetch ? PCI_BASE_ADDRESS_MEM_PREFETCH : 0);
    }
    store_le32(pci_bar_register(dev, index), type);
    uint8_t *wmask = dev->wmask + PCI_BASE_ADDRESS_0 + 4 * index;
    store_le32(wmask, (uint32_t) ~(size - 1));
    if (is_64) {
        store_le32(wmask + 4, (uint32_t)(~(size - 1) >> 32));
    }
}

/*
 * An address of zero counts as not programmed. One whose last byte is the
 * last below 4 GiB, or at all, is what a guest leaves there while it sizes
 * the BAR with decoding on.
 */
uint64_t pci_bar_address(const PCIDevice *dev, unsigned index)
{
    if (index >= PCI_NUM_BARS || !dev->bar[index].region) {
        return UINT64_MAX;
    }
    const PCIBar *bar = &dev->bar[index];
    bool port = bar->space == IO_SPACE_PORT;
    if (!(pci_command(dev) & (port ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY))) {
        return UINT64_MAX;
    }
    const uint8_t *reg = dev->config + PCI_BASE_ADDRESS_0 + 4 * index;
    uint64_t addr = bar->is_64 ? load_le64(reg) : load_le32(reg);
    addr &= ~(bar->size - 1);
    uint64_t last = addr + bar->size - 1;
    if (addr == 0 || last < addr || last == UINT32_MAX || last == UINT64_MAX ||
        (port && last > UINT16_MAX)) {
        return UINT64_MAX;
    }
    return addr;
}

static void pci_update_bars(PCIDevice *dev) MAIN_THREAD
{
    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        IoRegion *region = dev->bar[i].region;
        if (!region) {
            continue;
        }
        uint64_t addr = pci_bar_address(dev, i);
        if (addr == UINT64_MAX) {
            if (region->mapped) {
                io_region_unmap(region);
            }
        } else if (!region->mapped || region->addr != addr) {
            io_region_map(region, dev->bar[i].space, addr, PCI_BAR_PRIORITY);
        }
    }
}

/* ---- INTx ---- */

static void pci_update_irq(PCIDevice *dev) MAIN_THREAD
{
    PCIBus *bus = dev->bus;
    uint8_t pin = dev->config[PCI_INTERRUPT_PIN];
    bool drive =
        dev->irq_level && !(pci_command(dev) & PCI_COMMAND_INTX_DISABLE);
    if (drive == dev->irq_driven || pin < 1 || pin > 4 || !bus ||
        !bus->map_irq) {
        return;
    }
    unsigned line = bus->map_irq(dev, pin - 1);
    g_assert(line < ARRAY_SIZE(bus->irq_count));
    dev->irq_driven = drive;
    bus->irq_count[line] += drive ? 1 : -1u;
    if (bus->irq_count[line] == (drive ? 1 : 0)) {
        bus->set_irq(bus->irq_opaque, line, drive);
    }
}

void pci_set_irq(PCIDevice *dev, bool level)
{
    dev->irq_level = level;
    uint8_t *status = dev->config + PCI_STATUS;
    uint16_t v = load_le16(status) & (uint16_t)~PCI_STATUS_INTERRUPT;
    store_le16(status, v | (level ? PCI_STATUS_INTERRUPT : 0));
    pci_update_irq(dev);
}

bool pci_bus_master(const PCIDevice *dev)
{
    return pci_command(dev) & PCI_COMMAND_MASTER;
}

/* ---- configuration space ---- */

static bool config_access_valid(uint32_t offset, unsigned len)
{
    return (len == 1 || len == 2 || len == 4) && offset < PCI_CONFIG_SIZE &&
           len <= PCI_CONFIG_SIZE - offset;
}

uint32_t pci_config_read(PCIBus *bus, uint8_t devfn, uint32_t offset,
                         unsigned len)
{
    PCIDevice *dev = pci_bus_find(bus, devfn);
    if (!dev || !config_access_valid(offset, len)) {
        return len == 1 ? UINT8_MAX : len == 2 ? UINT16_MAX : UINT32_MAX;
    }
    if (dev->config_read) {
        dev->config_read(dev, offset, len);
    }
    uint32_t value = 0;
    for (unsigned i = 0; i < len; i++) {
        value |= (uint32_t)dev->config[offset + i] << (8 * i);
    }
    return value;
}

static void config_take_in(PCIDevice *dev, uint32_t offset, unsigned len)
    MAIN_THREAD
{
    bool command = ranges_overlap(offset, len, PCI_COMMAND, 2);
    if (command || ranges_overlap(offset, len, PCI_BASE_ADDRESS_0, 24)) {
        pci_update_bars(dev);
    }
    if (command) {
        pci_update_irq(dev);
    }
    msix_control_changed(dev);
}

void pci_config_write(PCIBus *bus, uint8_t devfn, uint32_t offset,
                      uint32_t value, unsigned len)
{
    PCIDevice *dev = pci_bus_find(bus, devfn);
    if (!dev || !config_access_valid(offset, len)) {
        return;
    }
    for (unsigned i = 0; i < len; i++) {
        uint8_t byte = value >> (8 * i);
        uint8_t *reg = &dev->config[offset + i];
        uint8_t wmask = dev->wmask[offset + i];
        *reg = (*reg & ~wmask) | (byte & wmask);
        *reg &= ~(byte & dev->w1cmask[offset + i]);
    }
    if (dev->config_written) {
        dev->config_written(dev, offset, len);
    }
    config_take_in(dev, offset, len);
}

uint8_t pci_add_capability(PCIDevice *dev, uint8_t cap_id, uint8_t size)
{
    unsigned offset = dev->next_cap ? dev->next_cap : PCI_STD_HEADER_SIZEOF;
    if (size < PCI_CAP_SIZEOF || offset + size > PCI_CONFIG_SIZE) {
        return 0;
    }
    memset(dev->config + offset, 0, size);
    dev->config[offset + PCI_CAP_LIST_ID] = cap_id;
    dev->config[offset + PCI_CAP_LIST_NEXT] = dev->config[PCI_CAPABILITY_LIST];
    dev->config[PCI_CAPABILITY_LIST] = offset;
    dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    dev->next_cap = MIN(ALIGN_UP(offset + size, 4), PCI_CONFIG_SIZE - 1u);
    return offset;
}

/* ---- life of a device ---- */

static void pci_init_config(PCIDevice *dev)
{
    const PCIDeviceClass *k = OBJECT_GET_CLASS(PCIDeviceClass, dev);
    uint8_t *c = dev->config;
    memset(c, 0, sizeof(dev->config));
    memset(dev->wmask, 0, sizeof(dev->wmask));
    memset(dev->w1cmask, 0, sizeof(dev->w1cmask));
    dev->next_cap = 0;

    store_le16(c + PCI_VENDOR_ID, k->vendor_id);
    store_le16(c + PCI_DEVICE_ID, k->device_id);
    store_le16(c + PCI_CLASS_DEVICE, k->class_id);
    c[PCI_REVISION_ID] = k->revision;
    store_le16(c + PCI_SUBSYSTEM_VENDOR_ID, k->subsystem_vendor_id);
    store_le16(c + PCI_SUBSYSTEM_ID, k->subsystem_id);
    c[PCI_HEADER_TYPE] = dev->multifunction ? PCI_MULTIFUNCTION_BIT : 0;

    store_le16(dev->wmask + PCI_COMMAND, PCI_COMMAND_WRITABLE);
    store_le16(dev->w1cmask + PCI_STATUS, PCI_STATUS_W1C);
    dev->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    dev->wmask[PCI_INTERRUPT_LINE] = 0xff;
}

void pci_device_reset_config(PCIDevice *dev)
{
    pci_set_irq(dev, false);
    store_le16(dev->config + PCI_COMMAND, 0);
    uint8_t *status = dev->config + PCI_STATUS;
    store_le16(status, load_le16(status) & (uint16_t)~PCI_STATUS_W1C);
    dev->config[PCI_CACHE_LINE_SIZE] = 0;
    dev->config[PCI_INTERRUPT_LINE] = 0;
    for (unsigned i = 0; i < 4 * PCI_NUM_BARS; i++) {
        dev->config[PCI_BASE_ADDRESS_0 + i] &=
            ~dev->wmask[PCI_BASE_ADDRESS_0 + i];
    }
    pci_update_bars(dev);
    pci_update_irq(dev);
    msix_reset(dev);
}

static void pci_release(PCIDevice *dev) MAIN_THREAD
{
    pci_set_irq(dev, false);
    msix_uninit(dev);
    for (unsigned i = 0; i < PCI_NUM_BARS; i++) {
        IoRegion *region = dev->bar[i].region;
        if (region && region->mapped) {
            io_region_unmap(region);
        }
        dev->bar[i] = (PCIBar){ 0 };
    }
}

static bool pci_device_realize(DeviceState *qdev, Error **errp) MAIN_THREAD
{
    PCIDevice *dev = PCI_DEVICE(qdev);
    const PCIDeviceClass *k = OBJECT_GET_CLASS(PCIDeviceClass, dev);
    if (dev->romfile && *dev->romfile) {
        warn_report("%s: romfile=%s has no effect: there is no firmware that "
                    "runs option ROMs",
                    device_label(qdev), dev->romfile);
    }
    pci_init_config(dev);
    if (k->pci_realize && !k->pci_realize(dev, errp)) {
        pci_release(dev);
        return false;
    }
    return true;
}

static void pci_device_unrealize(DeviceState *qdev) MAIN_THREAD
{
    PCIDevice *dev = PCI_DEVICE(qdev);
    const PCIDeviceClass *k = OBJECT_GET_CLASS(PCIDeviceClass, dev);
    if (k->pci_unrealize) {
        k->pci_unrealize(dev);
    }
    pci_release(dev);
}

/*
 * `addr=`: "SLOT" or "SLOT.FUNCTION" in hexadecimal; a JSON number is
 * SLOT * 8 + FUNCTION. Read back as that number.
 */
static json_object *pci_addr_get(Object *obj, const Property *prop,
                                 Error **errp)
{
    return json_object_new_int(*PROP_FIELD(obj, prop, int32_t));
}

static bool hex_number(const char **text, unsigned max, unsigned *out)
{
    const char *p = *text;
    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
        p += 2;
    }
    if (!g_ascii_isxdigit(*p)) {
        return false;
    }
    unsigned v = 0;
    for (; g_ascii_isxdigit(*p); p++) {
        v = v * 16 + (unsigned)g_ascii_xdigit_value(*p);
        if (v > max) {
            return false;
        }
    }
    *text = p;
    *out = v;
    return true;
}

static bool pci_addr_parse(const char *text, int32_t *devfn)
{
    unsigned slot, fn = 0;
    if (!hex_number(&text, 0x1f, &slot)) {
        return false;
    }
    if (*text == '.') {
        text++;
        if (!hex_number(&text, 7, &fn)) {
            return false;
        }
    }
    *devfn = (int32_t)PCI_DEVFN(slot, fn);
    return *text == '\0';
}

static bool pci_addr_set(Object *obj, const Property *prop, json_object *value,
                         Error **errp)
{
    int32_t *field = PROP_FIELD(obj, prop, int32_t);
    int32_t devfn;
    if (json_object_is_type(value, json_type_int)) {
        int64_t n = json_object_get_int64(value);
        if (n >= -1 && n <= 0xff) {
            *field = (int32_t)n;
            return true;
        }
    } else if (json_object_is_type(value, json_type_string) &&
               pci_addr_parse(json_object_get_string(value), &devfn)) {
        *field = devfn;
        return true;
    }
    const char *text = json_object_get_string(value); /* NULL: JSON's null */
    g_autofree char *shown = qapi_quote(text ? text : "null");
    error_setg(errp,
               "Property '%s.%s' does not take '%s': a PCI address is SLOT or "
               "SLOT.FUNCTION in hexadecimal, slot 0 to 1f, function 0 to 7",
               object_type_name(obj), prop->name, shown);
    return false;
}

static void pci_addr_default(Object *obj, const Property *prop)
{
    *PROP_FIELD(obj, prop, int32_t) = (int32_t)prop->defval;
}

static const PropertyInfo prop_info_pci_addr = {
    .type = "int32",
    .get = pci_addr_get,
    .set = pci_addr_set,
    .set_default = pci_addr_default,
};

static const Property pci_device_properties[] = {
    PROP_("addr", PCIDevice, devfn_prop, prop_info_pci_addr, -1,
          "Slot and function number, example: 06.0"),
    PROP_BOOL("multifunction", PCIDevice, multifunction, 0,
              "Other functions may share the slot"),
    PROP_STRING("romfile", PCIDevice, romfile,
                "Option ROM; without effect, there is no firmware"),
    PROP_UINT32("rombar", PCIDevice, rombar, 1, "Without effect"),
    PROP_UINT32("acpi-index", PCIDevice, acpi_index, 0,
                "Number of the device (function 0) in the guest's firmware "
                "tables, 1 to 16383"),
    PROP_END,
};

static void pci_device_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    dc->bus_type = TYPE_PCI_BUS;
    dc->realize = pci_device_realize;
    dc->unrealize = pci_device_unrealize;
}

static const TypeInfo pci_device_types[] = {
    {
        .name = TYPE_PCI_DEVICE,
        .parent = TYPE_DEVICE,
        .abstract = true,
        .instance_size = sizeof(PCIDevice),
        .class_size = sizeof(PCIDeviceClass),
        .class_init = pci_device_class_init,
        .properties = pci_device_properties,
    },
};
DEFINE_TYPES(pci_device_types)
