/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pvpanic: the register, and the ISA device that has it at a port. */
#include "util/osdep.h"

#include "hw/core/irq.h"
#include "hw/misc/pvpanic.h"
#include "system/runstate.h"
#include "util/log.h"

typedef struct PvPanicIsa {
    ISADevice isa;
    uint16_t ioport;
    PvPanic panic;
} PvPanicIsa;

/* ---- the register ---- */

static uint64_t pvpanic_read(void *opaque, uint64_t offset, unsigned size)
{
    const PvPanic *s = opaque;

    return offset == 0 ? s->events : 0;
}

static void pvpanic_write(void *opaque, uint64_t offset, uint64_t value,
                          unsigned size)
{
    const PvPanic *s = opaque;

    if (offset != 0) {
        return;
    }
    if (value & ~(uint64_t)s->events) {
        log_mask(LOG_GUEST_ERROR, "pvpanic: no events 0x%02x",
                 (unsigned)value & ~s->events & UINT8_MAX);
    }
    if (value & s->events & PVPANIC_PANICKED) {
        system_panic_request(false);
    } else if (value & s->events & PVPANIC_CRASH_LOADED) {
        system_panic_request(true);
    }
}

static const IoRegionOps pvpanic_ops = {
    .read = pvpanic_read,
    .write = pvpanic_write,
    .max_size = 1,
};

bool pvpanic_init(PvPanic *s, const char *type, uint64_t size, Error **errp)
{
    if (s->events & ~PVPANIC_EVENTS) {
        error_setg(errp,
                   "Property '%s.events' does not take %u: 1 is a panic, 2 a "
                   "crash that the guest handles, 3 both",
                   type, s->events);
        return false;
    }
    io_region_init(&s->region, type, &pvpanic_ops, s, size);
    return true;
}

/* ---- the ISA device ---- */

static bool pvpanic_isa_realize(DeviceState *dev, Error **errp) MAIN_THREAD
{
    PvPanicIsa *s = OBJECT_CAST(PvPanicIsa, dev);

    if (!pvpanic_init(&s->panic, TYPE_PVPANIC_ISA, 1, errp)) {
        return false;
    }
    io_region_map(&s->panic.region, IO_SPACE_PORT, s->ioport, 0);
    return true;
}

static void pvpanic_isa_unrealize(DeviceState *dev) MAIN_THREAD
{
    io_region_destroy(&OBJECT_CAST(PvPanicIsa, dev)->panic.region);
}

uint16_t pvpanic_isa_port(void)
{
    const BusState *bus = bus_find(NULL, TYPE_ISA_BUS);

    for (guint i = 0; bus && i < bus->devices->len; i++) {
        const Object *obj = g_ptr_array_index(bus->devices, i);

        if (object_is(obj, TYPE_PVPANIC_ISA)) {
            return OBJECT_CAST(const PvPanicIsa, obj)->ioport;
        }
    }
    return 0;
}

static const Property pvpanic_isa_properties[] = {
    PROP_UINT16("ioport", PvPanicIsa, ioport, PVPANIC_ISA_PORT, "The port"),
    PROP_UINT8("events", PvPanicIsa, panic.events, PVPANIC_EVENTS,
               "Events it takes: 1 panic, 2 crash that the guest handles"),
    PROP_END,
};

static void pvpanic_isa_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->desc = "Port by which a guest reports a crash";
    dc->category = "Misc";
    dc->user_creatable = true;
    dc->realize = pvpanic_isa_realize;
    dc->unrealize = pvpanic_isa_unrealize;
}

static const TypeInfo pvpanic_isa_types[] = {
    {
        .name = TYPE_PVPANIC_ISA,
        .parent = TYPE_ISA_DEVICE,
        .instance_size = sizeof(PvPanicIsa),
        .class_init = pvpanic_isa_class_init,
        .properties = pvpanic_isa_properties,
    },
};
DEFINE_TYPES(pvpanic_isa_types)
