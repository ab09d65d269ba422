/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX3 ISA bridge (Intel 82371SB data sheet): PIRQ steering, edge/level
 * control, system reset, and the ISA bus.
 */
#include "util/osdep.h"

#include "hw/core/irq.h"
#include "hw/i386/pc.h"
#include "hw/i386/piix.h"
#include "hw/pci/pci-ids.h"
#include "system/runstate.h"

#define PIIX3_IORT 0x4c /* ISA I/O recovery timer */
#define PIIX3_XBCS 0x4e /* X-bus chip select, two bytes */
#define PIIX3_TOM  0x69 /* top of memory */

#define PIRQ_DISABLED 0x80
#define PIRQ_IRQ      0x0f

#define ELCR_PORT 0x4d0

#define RCR_SYSTEM 0x02 /* kind of reset: the whole system */
#define RCR_CPU    0x04 /* a change to 1 starts it */

/* ISA interrupts that may be shared: not 0, 1, 2, 8, 13. */
#define ISA_LEVEL_CAPABLE 0xdef8

typedef struct Piix3 {
    PCIDevice pci;
    IoRegion elcr_ports;
    uint8_t elcr[2];
    uint8_t rcr;
    uint8_t pirq; /* levels of PIRQ A..D, one bit each */
    bool sci;
    uint16_t isa; /* levels last driven, one bit an interrupt */
} Piix3;

/* ---- interrupts ---- */

static void update_isa_lines(Piix3 *s) MAIN_THREAD
{
    uint16_t isa = s->sci ? 1u << PC_SCI_GSI : 0;
    for (unsigned i = 0; i < PIIX3_NUM_PIRQS; i++) {
        uint8_t route = s->pci.config[PIIX3_PIRQC + i];
        if ((s->pirq & (1u << i)) && !(route & PIRQ_DISABLED)) {
            isa |= 1u << (route & PIRQ_IRQ);
        }
    }
    isa &= ISA_LEVEL_CAPABLE;
    uint16_t changed = isa ^ s->isa;
    s->isa = isa;
    for (unsigned irq = 0; irq < 16; irq++) {
        if (changed & (1u << irq)) {
            isa_set_irq(irq, isa & (1u << irq));
        }
    }
}

static unsigned piix3_map_irq(PCIDevice *dev, unsigned pin)
{
    return (PCI_SLOT(dev->devfn) + pin) & 3;
}

static void piix3_set_pirq(void *opaque, unsigned line, bool level) MAIN_THREAD
{
    Piix3 *s = opaque;
    s->pirq = (s->pirq & ~(1u << line)) | ((unsigned)level << line);
    update_isa_lines(s);
}

void piix3_set_sci(PCIDevice *piix3, bool level)
{
    Piix3 *s = container_of(piix3, Piix3, pci);
    s->sci = level;
    update_isa_lines(s);
}

void piix3_connect(PCIDevice *piix3, PCIBus *bus)
{
    bus->map_irq = piix3_map_irq;
    bus->set_irq = piix3_set_pirq;
    bus->irq_opaque = container_of(piix3, Piix3, pci);
}

/* ---- ports ---- */

uint8_t piix3_rcr_read(void *piix3)
{
    return OBJECT_CAST(Piix3, piix3)->rcr;
}

void piix3_rcr_write(void *piix3, uint8_t value)
{
    OBJECT_CAST(Piix3, piix3)->rcr = value & RCR_SYSTEM;
    if (value & RCR_CPU) {
        system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
    }
}

static uint64_t elcr_read(void *opaque, uint64_t offset, unsigned size)
{
    return ((Piix3 *)opaque)->elcr[offset & 1];
}

static void elcr_write(void *opaque, uint64_t offset, uint64_t value,
                       unsigned size)
{
    uint16_t writable = ISA_LEVEL_CAPABLE;
    ((Piix3 *)opaque)->elcr[offset & 1] =
        value & (writable >> (8 * (offset & 1)));
}

static const IoRegionOps elcr_ops = {
    .read = elcr_read,
    .write = elcr_write,
    .max_size = 1,
};

/* ---- life ---- */

static void piix3_config_written(PCIDevice *dev, uint32_t offset, unsigned len)
    MAIN_THREAD
{
    update_isa_lines(container_of(dev, Piix3, pci));
}

/* Routes and level-triggered interrupts as a firmware would leave them. */
static void piix3_reset(DeviceState *dev) MAIN_THREAD
{
    static const uint8_t routes[] = PIIX3_PIRQ_ROUTES;
    Piix3 *s = OBJECT_CAST(Piix3, dev);
    uint8_t *c = s->pci.config;
    uint16_t level = 1u << PC_SCI_GSI;
    for (unsigned i = 0; i < PIIX3_NUM_PIRQS; i++) {
        c[PIIX3_PIRQC + i] = routes[i];
        level |= 1u << routes[i];
    }
    c[PIIX3_IORT] = 0x4d;
    c[PIIX3_XBCS] = 0x03;
    c[PIIX3_XBCS + 1] = 0;
    c[PIIX3_TOM] = 0x02;
    s->elcr[0] = level & 0xff;
    s->elcr[1] = level >> 8;
    s->rcr = 0;
    update_isa_lines(s);
}

static bool piix3_realize(PCIDevice *dev, Error **errp) MAIN_THREAD
{
    Piix3 *s = container_of(dev, Piix3, pci);
    memset(dev->wmask + PIIX3_PIRQC, PIRQ_DISABLED | PIRQ_IRQ, PIIX3_NUM_PIRQS);
    dev->wmask[PIIX3_IORT] = 0x7f;
    dev->wmask[PIIX3_XBCS] = 0xff;
    dev->wmask[PIIX3_XBCS + 1] = 0x03;
    dev->wmask[PIIX3_TOM] = 0xfe;
    dev->config_written = piix3_config_written;
    bus_new(TYPE_ISA_BUS, "isa.0", &dev->dev);
    io_region_init(&s->elcr_ports, "elcr", &elcr_ops, s, sizeof(s->elcr));
    io_region_map(&s->elcr_ports, IO_SPACE_PORT, ELCR_PORT, 0);
    piix3_reset(&dev->dev);
    return true;
}

static void piix3_unrealize(PCIDevice *dev) MAIN_THREAD
{
    Piix3 *s = container_of(dev, Piix3, pci);
    io_region_destroy(&s->elcr_ports);
    dev->bus->map_irq = NULL;
}

static void piix3_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PCIDeviceClass *k = PCI_DEVICE_CLASS(klass);
    dc->desc = "ISA bridge";
    dc->category = "Bridge";
    dc->reset = piix3_reset;
    dc->hotpluggable = false;
    k->vendor_id = PCI_VENDOR_ID_INTEL;
    k->device_id = PCI_DEVICE_ID_INTEL_82371SB;
    k->class_id = PCI_CLASS_BRIDGE_ISA;
    k->subsystem_vendor_id = PCI_VENDOR_ID_VIRTIO;
    k->subsystem_id = PCI_SUBSYSTEM_ID_MACHINE;
    k->pci_realize = piix3_realize;
    k->pci_unrealize = piix3_unrealize;
}

static const TypeInfo piix3_types[] = {
    {
        .name = TYPE_PIIX3,
        .parent = TYPE_PCI_DEVICE,
        .instance_size = sizeof(Piix3),
        .class_init = piix3_class_init,
    },
};
DEFINE_TYPES(piix3_types)
