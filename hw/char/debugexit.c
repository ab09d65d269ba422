/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * isa-debug-exit: a port that ends the process when the guest writes to it,
 * with exit status (value << 1) | 1.
 */
#include "util/osdep.h"

#include "hw/core/irq.h"
#include "system/memory.h"
#include "system/runstate.h"

#define TYPE_DEBUG_EXIT "isa-debug-exit"
#define NUM_PORTS       0x10000u

typedef struct DebugExit {
    ISADevice isa;
    uint32_t iobase, iosize;
    IoRegion ports;
} DebugExit;

static uint64_t debug_exit_read(void *opaque, uint64_t offset, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, uint64_t offset, uint64_t value,
                             unsigned size)
{
    system_exit_request((int)((uint32_t)value << 1 | 1));
}

static const IoRegionOps debug_exit_ops = {
    .read = debug_exit_read,
    .write = debug_exit_write,
    .max_size = 4,
};

static bool debug_exit_realize(DeviceState *dev, Error **errp) MAIN_THREAD
{
    DebugExit *s = OBJECT_CAST(DebugExit, dev);
    if (s->iosize < 1 || s->iosize > 8 || s->iobase > NUM_PORTS - s->iosize) {
        error_setg(errp,
                   "Properties 'isa-debug-exit.iobase' and 'iosize' do not "
                   "take 0x%" PRIx32 " and %" PRIu32
                   ": use 1 to 8 ports below 0x10000",
                   s->iobase, s->iosize);
        return false;
    }
    io_region_init(&s->ports, TYPE_DEBUG_EXIT, &debug_exit_ops, s, s->iosize);
    io_region_map(&s->ports, IO_SPACE_PORT, s->iobase, 0);
    return true;
}

static void debug_exit_unrealize(DeviceState *dev) MAIN_THREAD
{
    io_region_destroy(&OBJECT_CAST(DebugExit, dev)->ports);
}

static const Property debug_exit_properties[] = {
    PROP_UINT32("iobase", DebugExit, iobase, 0x501, "First port"),
    PROP_UINT32("iosize", DebugExit, iosize, 2, "Number of ports"),
    PROP_END,
};

static void debug_exit_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    dc->desc = "Port that ends the process";
    dc->category = "Misc";
    dc->user_creatable = true;
    dc->realize = debug_exit_realize;
    dc->unrealize = debug_exit_unrealize;
}

static const TypeInfo debug_exit_types[] = {
    {
        .name = TYPE_DEBUG_EXIT,
        .parent = TYPE_ISA_DEVICE,
        .instance_size = sizeof(DebugExit),
        .class_init = debug_exit_class_init,
        .properties = debug_exit_properties,
    },
};
DEFINE_TYPES(debug_exit_types)
