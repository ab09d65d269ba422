/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI hot-plug by ACPI. What is plugged and emptied is a slot: the functions
 * in it go together. At machine reset requests that the guest has not obeyed
 * are carried out.
 */
#include "util/osdep.h"

#include "hw/core/hotplug.h"
#include "hw/i386/pci-hotplug.h"
#include "system/machine-lock.h"
#include "system/runstate.h"
#include "util/log.h"

#define NUM_SLOTS     32
#define NUM_FUNCTIONS 8

/* ---- slots ---- */

static PCIDevice *slot_function(const PciHotplug *s, unsigned slot, unsigned fn)
{
    return pci_bus_find(s->bus, PCI_DEVFN(slot, fn));
}

/* A function in @slot that stays for ever, or NULL. */
static const PCIDevice *slot_fixture(const PciHotplug *s, unsigned slot)
{
    for (unsigned fn = 0; fn < NUM_FUNCTIONS; fn++) {
        const PCIDevice *dev = slot_function(s, slot, fn);

        if (dev && !device_hotpluggable(&dev->dev)) {
            return dev;
        }
    }
    return NULL;
}

static uint32_t removable_slots(const PciHotplug *s)
{
    uint32_t slots = 0;

    for (unsigned slot = 0; slot < NUM_SLOTS; slot++) {
        if (s->bus->bus.hotpluggable && !slot_fixture(s, slot)) {
            slots |= 1u << slot;
        }
    }
    return slots;
}

/* The guest has let go of @slot. Function 0 is the last to go: it is the one
 * by which the others are found. */
static void slot_empty(PciHotplug *s, unsigned slot) MAIN_THREAD
{
    for (unsigned fn = NUM_FUNCTIONS; fn-- > 0;) {
        PCIDevice *dev = slot_function(s, slot, fn);

        if (dev) {
            device_unplug(&dev->dev);
        }
    }
    s->up &= ~(1u << slot);
    s->down &= ~(1u << slot);
}

static void slots_empty(PciHotplug *s, uint32_t slots) MAIN_THREAD
{
    uint32_t removable = removable_slots(s);

    if (slots & ~removable) {
        log_mask(LOG_GUEST_ERROR,
                 "PCI hot-plug: slots 0x%08x cannot be emptied",
                 slots & ~removable);
    }
    for (unsigned slot = 0; slot < NUM_SLOTS; slot++) {
        if (slots & removable & 1u << slot) {
            slot_empty(s, slot);
        }
    }
}

/* The guest does not let go of @slot. */
static void slot_refused(PciHotplug *s, unsigned slot) MAIN_THREAD
{
    if (slot >= NUM_SLOTS || !(s->down & 1u << slot)) {
        return;
    }
    s->down &= ~(1u << slot);
    for (unsigned fn = 0; fn < NUM_FUNCTIONS; fn++) {
        PCIDevice *dev = slot_function(s, slot, fn);

        if (dev && dev->dev.unplug_pending) {
            device_unplug_refused(&dev->dev);
        }
    }
}

/* ---- registers ---- */

static uint32_t slot_acpi_index(const PciHotplug *s)
{
    const PCIDevice *dev =
        s->slot_select < NUM_SLOTS ? slot_function(s, s->slot_select, 0) : NULL;

    return dev ? dev->acpi_index : 0;
}

static uint64_t hotplug_read(void *opaque, uint64_t offset, unsigned size)
{
    PciHotplug *s = opaque;
    uint32_t value = 0;

    if (size != 4 || (s->bus_select && offset != PCI_HOTPLUG_BUS)) {
        return 0;
    }
    switch (offset) {
    case PCI_HOTPLUG_UP:
        value = s->up;
        s->up = 0;
        break;
    case PCI_HOTPLUG_DOWN:
        value = s->down;
        break;
    case PCI_HOTPLUG_REMOVABLE:
        value = removable_slots(s);
        break;
    case PCI_HOTPLUG_BUS:
        value = s->bus_select;
        break;
    case PCI_HOTPLUG_INDEX:
        value = slot_acpi_index(s);
        break;
    default:
        break;
    }
    return value;
}

static void hotplug_write(void *opaque, uint64_t offset, uint64_t value,
                          unsigned size) MAIN_THREAD
{
    PciHotplug *s = opaque;

    if (size != 4 || (s->bus_select && offset != PCI_HOTPLUG_BUS)) {
        log_mask(LOG_GUEST_ERROR,
                 "PCI hot-plug: write of %u bytes at 0x%02" PRIx64
                 " of bus %u ignored",
                 size, offset, s->bus_select);
        return;
    }
    switch (offset) {
    case PCI_HOTPLUG_EJECT:
        slots_empty(s, (uint32_t)value);
        break;
    case PCI_HOTPLUG_BUS:
        s->bus_select = (uint32_t)value;
        break;
    case PCI_HOTPLUG_INDEX:
        s->slot_select = (uint32_t)value;
        break;
    case PCI_HOTPLUG_STATUS:
        log_mask(LOG_GUEST_ERROR,
                 "PCI hot-plug: the guest does not empty slot %u: status "
                 "0x%" PRIx64,
                 s->slot_select, value);
        slot_refused(s, s->slot_select);
        break;
    default:
        break;
    }
}

static const IoRegionOps hotplug_ops = {
    .read = hotplug_read,
    .write = hotplug_write,
    .max_size = 4,
};

/* ---- the host's side ---- */

/* A guest looks for other functions when function 0 comes, which it does
 * last. */
static void hotplug_plugged(void *opaque, DeviceState *qdev)
{
    PciHotplug *s = opaque;
    const PCIDevice *dev = PCI_DEVICE(qdev);

    if (PCI_FUNC(dev->devfn) == 0) {
        s->up |= 1u << PCI_SLOT(dev->devfn);
        s->raise(s->opaque);
    }
}

/*
 * A guest may have lost an event, or may change its mind: it can be asked
 * again, but not before it has taken the first one.
 */
static bool hotplug_unplug_request(void *opaque, DeviceState *qdev,
                                   Error **errp)
{
    PciHotplug *s = opaque;
    unsigned slot = PCI_SLOT(PCI_DEVICE(qdev)->devfn);
    const PCIDevice *fixture = slot_fixture(s, slot);

    if (fixture) {
        error_setg(errp,
                   "Device '%s' is in slot %02x with %s, which does not "
                   "support hotplugging",
                   device_label(qdev), slot, device_label(&fixture->dev));
        return false;
    }
    if (qdev->unplug_pending && s->raised(s->opaque)) {
        error_setg(errp,
                   "Device '%s' is already in the process of unplug: the "
                   "guest has not looked at the request yet",
                   device_label(qdev));
        return false;
    }
    s->down |= 1u << slot;
    s->raise(s->opaque);
    return true;
}

static const BusHotplugOps hotplug_bus_ops = {
    .plugged = hotplug_plugged,
    .unplug_request = hotplug_unplug_request,
};

static void hotplug_reset(void *opaque)
{
    PciHotplug *s = opaque;

    machine_lock_assert();
    slots_empty(s, s->down);
    /* The guest looks at all slots when it starts. */
    s->up = s->down = 0;
    s->bus_select = s->slot_select = 0;
}

void pci_hotplug_init(PciHotplug *s, PCIBus *bus, bool enabled)
{
    s->bus = bus;
    io_region_init(&s->region, "acpi-pci-hotplug", &hotplug_ops, s,
                   PCI_HOTPLUG_LEN);
    io_region_map(&s->region, IO_SPACE_PORT, PCI_HOTPLUG_PORT, 0);
    bus->bus.hotplug = &hotplug_bus_ops;
    bus->bus.hotplug_opaque = s;
    bus->bus.hotpluggable = enabled;
    reset_handler_add(hotplug_reset, s);
}

void pci_hotplug_destroy(PciHotplug *s)
{
    reset_handler_remove(hotplug_reset, s);
    s->bus->bus.hotpluggable = false;
    s->bus->bus.hotplug = NULL;
    io_region_destroy(&s->region);
}
