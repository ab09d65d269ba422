/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX4 power management (Intel 82371AB data sheet, chapter 7) as ACPI fixed
 * hardware (ACPI 6.4, 4.8): PM1a event and control, PM timer, one block of
 * general-purpose events, and the port that turns ACPI mode on and off.
 *
 * The I/O bases are fixed at PC_PM_BASE and PC_ACPI_GPE_BASE, as the tables
 * say that pc_machine_done() makes.
 */
#include "util/osdep.h"

#include <linux/pci_regs.h>

#include "hw/i386/pc.h"
#include "hw/i386/pci-hotplug.h"
#include "hw/i386/piix.h"
#include "hw/pci/pci-ids.h"
#include "system/runstate.h"
#include "system/vm-clock.h"
#include "util/endian.h"
#include "util/log.h"

/* configuration registers */
#define PMBA      0x40
#define PMREGMISC 0x80
#define PMBA_IO   0x01
#define PMIOSE    0x01

/* PM1 status and enable */
#define PM1_TMR    0x0001u
#define PM1_GBL    0x0020u
#define PM1_PWRBTN 0x0100u
#define PM1_RTC    0x0400u
#define PM1_EVENTS (PM1_TMR | PM1_GBL | PM1_PWRBTN | PM1_RTC)
/* PM1 control */
#define PM1_SCI_EN        0x0001u
#define PM1_BM_RLD        0x0002u
#define PM1_SLP_TYP_SHIFT 10
#define PM1_SLP_TYP_MASK  7u
#define PM1_SLP_EN        0x2000u
#define PM1_CNT_KEPT \
    (PM1_SCI_EN | PM1_BM_RLD | PM1_SLP_TYP_MASK << PM1_SLP_TYP_SHIFT)

#define PM_TIMER_HZ   3579545u
#define PM_TIMER_MASK 0xffffffu
#define PM_TIMER_MSB  23 /* TMR_STS is set whenever it changes */
#define NS_PER_S      1000000000

#define APM_LEN 2 /* command and scratch byte at PIIX4_SMI_CMD */

typedef struct Piix4Pm {
    PCIDevice pci;
    /* fixed after realize */
    uint8_t disable_s3, disable_s4;
    bool root_hotplug;
    IoRegion pm_ports, gpe_ports, apm_ports;
    /* main thread */
    VmTimer timer; /* next change of the timer's top bit, when enabled */
    uint64_t msb_changes;
    uint16_t pm1_status, pm1_enable, pm1_control;
    uint16_t gpe_status, gpe_enable;
    uint8_t apm[APM_LEN];
    PciHotplug hotplug;
} Piix4Pm;

/* ---- timer and SCI ---- */

static uint64_t timer_ticks(void) MAIN_THREAD
{
    uint64_t ns = (uint64_t)vm_clock_ns();
    return ns / NS_PER_S * PM_TIMER_HZ + ns % NS_PER_S * PM_TIMER_HZ / NS_PER_S;
}

/* The first instant at which timer_ticks() is @ticks; the clock, which ends at
 * INT64_MAX, may never come to it. */
static uint64_t timer_instant(uint64_t ticks)
{
    uint64_t rest = ticks % PM_TIMER_HZ * NS_PER_S;
    return ticks / PM_TIMER_HZ * NS_PER_S +
           (rest + PM_TIMER_HZ - 1) / PM_TIMER_HZ;
}

static void take_timer_event(Piix4Pm *s) MAIN_THREAD
{
    uint64_t changes = timer_ticks() >> PM_TIMER_MSB;
    if (changes != s->msb_changes) {
        s->msb_changes = changes;
        s->pm1_status |= PM1_TMR;
    }
}

static void pm_update(Piix4Pm *s) MAIN_THREAD
{
    take_timer_event(s);
    bool event = (s->pm1_status & s->pm1_enable & PM1_EVENTS) ||
                 (s->gpe_status & s->gpe_enable);
    PCIDevice *piix3 = pci_bus_find(s->pci.bus, PCI_DEVFN(PIIX_SLOT, 0));
    piix3_set_sci(piix3, event && (s->pm1_control & PM1_SCI_EN));
    uint64_t next = timer_instant((s->msb_changes + 1) << PM_TIMER_MSB);
    if ((s->pm1_enable & PM1_TMR) && !(s->pm1_status & PM1_TMR) &&
        next <= INT64_MAX) {
        vm_timer_arm(&s->timer, (int64_t)next);
    } else {
        vm_timer_cancel(&s->timer);
    }
}

static void pm_timer_fired(void *opaque) MAIN_THREAD
{
    pm_update(opaque);
}

static void power_button(void *opaque) MAIN_THREAD
{
    Piix4Pm *s = opaque;
    s->pm1_status |= PM1_PWRBTN;
    pm_update(s);
}

static void hotplug_raise(void *opaque) MAIN_THREAD
{
    Piix4Pm *s = opaque;
    s->gpe_status |= 1u << PCI_HOTPLUG_GPE;
    pm_update(s);
}

static bool hotplug_raised(void *opaque)
{
    return ((Piix4Pm *)opaque)->gpe_status & 1u << PCI_HOTPLUG_GPE;
}

static void sleep_request(Piix4Pm *s)
{
    unsigned type = (s->pm1_control >> PM1_SLP_TYP_SHIFT) & PM1_SLP_TYP_MASK;
    if (type == PIIX4_SLP_TYP_S5 ||
        (type == PIIX4_SLP_TYP_S4 && !s->disable_s4)) {
        system_shutdown_request(SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    } else {
        log_mask(LOG_GUEST_ERROR, "PIIX4_PM: no sleep type %u", type);
    }
}

/* ---- ports ---- */

static uint64_t bytes_at(const uint8_t *block, size_t len, uint64_t offset,
                         unsigned size)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < size && offset + i < len; i++) {
        value |= (uint64_t)block[offset + i] << (8 * i);
    }
    return value;
}

static uint64_t pm_read(void *opaque, uint64_t offset, unsigned size)
    MAIN_THREAD
{
    Piix4Pm *s = opaque;
    uint8_t block[PIIX4_PM_TMR + 4] = { 0 };
    take_timer_event(s);
    store_le16(block + PIIX4_PM_EVT, s->pm1_status);
    store_le16(block + PIIX4_PM_EVT + 2, s->pm1_enable);
    store_le16(block + PIIX4_PM_CNT, s->pm1_control);
    store_le32(block + PIIX4_PM_TMR, timer_ticks() & PM_TIMER_MASK);
    return bytes_at(block, sizeof(block), offset, size);
}

static uint16_t put_byte(uint16_t reg, unsigned index, uint8_t byte)
{
    return (reg & ~(0xffu << (8 * index))) | ((unsigned)byte << (8 * index));
}

static void pm_write_byte(Piix4Pm *s, uint64_t offset, uint8_t byte) MAIN_THREAD
{
    unsigned index = offset & 1;
    switch (offset & ~1ULL) {
    case PIIX4_PM_EVT:
        take_timer_event(s);
        s->pm1_status &= ~((unsigned)byte << (8 * index));
        break;
    case PIIX4_PM_EVT + 2:
        s->pm1_enable = put_byte(s->pm1_enable, index, byte) & PM1_EVENTS;
        break;
    case PIIX4_PM_CNT:
        s->pm1_control = put_byte(s->pm1_control, index, byte) & PM1_CNT_KEPT;
        if (index == 1 && (byte & (PM1_SLP_EN >> 8))) {
            sleep_request(s);
        }
        break;
    default:
        break;
    }
}

static void pm_write(void *opaque, uint64_t offset, uint64_t value,
                     unsigned size) MAIN_THREAD
{
    for (unsigned i = 0; i < size; i++) {
        pm_write_byte(opaque, offset + i, (uint8_t)(value >> (8 * i)));
    }
    pm_update(opaque);
}

static const IoRegionOps pm_ops = {
    .read = pm_read,
    .write = pm_write,
    .max_size = 4,
};

static uint64_t gpe_read(void *opaque, uint64_t offset, unsigned size)
{
    const Piix4Pm *s = opaque;
    uint8_t block[PIIX4_GPE_LEN];
    store_le16(block, s->gpe_status);
    store_le16(block + 2, s->gpe_enable);
    return bytes_at(block, sizeof(block), offset, size);
}

static void gpe_write(void *opaque, uint64_t offset, uint64_t value,
                      unsigned size) MAIN_THREAD
{
    Piix4Pm *s = opaque;
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        unsigned index = (offset + i) & 1;
        if (offset + i < 2) {
            s->gpe_status &= ~((unsigned)byte << (8 * index));
        } else {
            s->gpe_enable = put_byte(s->gpe_enable, index, byte);
        }
    }
    pm_update(s);
}

static const IoRegionOps gpe_ops = {
    .read = gpe_read,
    .write = gpe_write,
    .max_size = 4,
};

static uint64_t apm_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((Piix4Pm *)opaque)->apm[offset % APM_LEN];
}

static void apm_write(void *opaque, uint64_t offset, uint64_t value,
                      unsigned size) MAIN_THREAD
{
    Piix4Pm *s = opaque;
    s->apm[offset % APM_LEN] = (uint8_t)value;
    if (offset == 0 && value == PIIX4_ACPI_ENABLE) {
        s->pm1_control |= PM1_SCI_EN;
    } else if (offset == 0 && value == PIIX4_ACPI_DISABLE) {
        s->pm1_control &= ~PM1_SCI_EN;
    }
    pm_update(s);
}

static const IoRegionOps apm_ops = {
    .read = apm_read,
    .write = apm_write,
    .max_size = 1,
};

/* ---- life ---- */

static void piix4_pm_reset(DeviceState *dev) MAIN_THREAD
{
    Piix4Pm *s = OBJECT_CAST(Piix4Pm, dev);
    take_timer_event(s);
    s->pm1_status = s->pm1_enable = s->pm1_control = 0;
    s->gpe_status = s->gpe_enable = 0;
    memset(s->apm, 0, sizeof(s->apm));
    pm_update(s);
}

static bool piix4_pm_realize(PCIDevice *dev, Error **errp) MAIN_THREAD
{
    Piix4Pm *s = container_of(dev, Piix4Pm, pci);
    if (!s->disable_s3) {
        warn_report("PIIX4_PM.disable_s3=0 has no effect: suspend to RAM is "
                    "not offered");
    }
    store_le32(dev->config + PMBA, PC_PM_BASE | PMBA_IO);
    dev->config[PMREGMISC] = PMIOSE;
    dev->config[PCI_INTERRUPT_PIN] = 1;

    s->msb_changes = timer_ticks() >> PM_TIMER_MSB;
    vm_timer_init(&s->timer, pm_timer_fired, s);
    io_region_init(&s->pm_ports, "acpi-pm", &pm_ops, s, PIIX4_PM_IO_LEN);
    io_region_init(&s->gpe_ports, "acpi-gpe0", &gpe_ops, s, PIIX4_GPE_LEN);
    io_region_init(&s->apm_ports, "apm", &apm_ops, s, APM_LEN);
    io_region_map(&s->pm_ports, IO_SPACE_PORT, PC_PM_BASE, 0);
    io_region_map(&s->gpe_ports, IO_SPACE_PORT, PC_ACPI_GPE_BASE, 0);
    io_region_map(&s->apm_ports, IO_SPACE_PORT, PIIX4_SMI_CMD, 0);
    powerdown_handler_set(power_button, s);
    s->hotplug = (PciHotplug){ .raise = hotplug_raise,
                               .raised = hotplug_raised,
                               .opaque = s };
    pci_hotplug_init(&s->hotplug, dev->bus, s->root_hotplug);
    return true;
}

static void piix4_pm_unrealize(PCIDevice *dev) MAIN_THREAD
{
    Piix4Pm *s = container_of(dev, Piix4Pm, pci);
    powerdown_handler_set(NULL, NULL);
    pci_hotplug_destroy(&s->hotplug);
    vm_timer_cancel(&s->timer);
    io_region_destroy(&s->pm_ports);
    io_region_destroy(&s->gpe_ports);
    io_region_destroy(&s->apm_ports);
}

static const Property piix4_pm_properties[] = {
    PROP_UINT8("disable_s3", Piix4Pm, disable_s3, 1,
               "Suspend to RAM is never offered"),
    PROP_UINT8("disable_s4", Piix4Pm, disable_s4, 0,
               "Ignore the request for suspend to disk, which powers off"),
    PROP_BOOL("acpi-root-pci-hotplug", Piix4Pm, root_hotplug, true,
              "PCI devices may come and go while the machine runs"),
    PROP_END,
};

static void piix4_pm_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);
    dc->desc = "PM";
    dc->category = "Bridge";
    dc->reset = piix4_pm_reset;
    dc->hotpluggable = false;
    k->vendor_id = PCI_VENDOR_ID_INTEL;
    k->device_id = PCI_DEVICE_ID_INTEL_82371AB3;
    k->revision = 3;
    k->class_id = PCI_CLASS_BRIDGE_OTHER;
    k->subsystem_vendor_id = PCI_VENDOR_ID_VIRTIO;
    k->subsystem_id = PCI_SUBSYSTEM_ID_MACHINE;
    k->pci_realize = piix4_pm_realize;
    k->pci_unrealize = piix4_pm_unrealize;
}

static const TypeInfo piix4_pm_types[] = {
    {
        .name = TYPE_PIIX4_PM,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(Piix4Pm),
        .class_init = piix4_pm_class_init,
        .properties = piix4_pm_properties,
    },
};
DEFINE_TYPES(piix4_pm_types)
