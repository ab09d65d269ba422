/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Machines: their types, and the one at /machine. */
#include "util/osdep.h"
#include "hw/core/machine.h"

static const Property machine_properties[] = {
    PROP_STRING("accel", MachineState, accel,
                "accelerators, separated by colons, best first (default: kvm)"),
    PROP_STRING("memory-backend", MachineState, memory_backend,
                "id of the memory backend that is the guest's RAM"),
    PROP_BOOL("acpi", MachineState, acpi, true, "ACPI tables"),
    PROP_BOOL("dump-guest-core", MachineState, dump_guest_core, true,
              "core dumps have the guest's RAM"),
    PROP_BOOL("mem-merge", MachineState, mem_merge, true,
              "the host may merge equal pages of RAM"),
    PROP_BOOL("usb", MachineState, usb, false, "USB controller, only off"),
    PROP_BOOL("graphics", MachineState, graphics, true,
              "accepted: there is no display"),
    PROP_STRING("vmport", MachineState, vmport,
                "VMware's port, only off or auto"),
    PROP_STRING("smm", MachineState, smm,
                "system management mode, only off or auto"),
    PROP_BOOL("hpet", MachineState, hpet, false,
              "high-precision timer, only off"),
    PROP_STRING("kernel-irqchip", MachineState, kernel_irqchip,
                "interrupt controllers in the kernel, only on"),
    PROP_STRING("kernel", MachineState, kernel, "as -kernel"),
    PROP_STRING("initrd", MachineState, initrd, "as -initrd"),
    PROP_STRING("append", MachineState, append, "as -append"),
    PROP_END,
};

static void pc_class_init(ObjectClass *klass)
{
    MachineClass *mc = MACHINE_CLASS(klass);

    mc->name = "pc-i440fx-7.2";
    mc->alias = "pc";
    mc->versions = "pc-i440fx-";
    mc->desc = "PC with an i440FX host bridge";
    mc->is_default = true;
    mc->acpi = true;
    mc->has_cpus = true;
    mc->cpu_max = MAX_VCPUS;
    mc->default_cpu_type = "qemu64-x86_64-cpu";
    mc->default_ram_id = "pc.ram";
}

static void none_class_init(ObjectClass *klass)
{
    MachineClass *mc = MACHINE_CLASS(klass);

    mc->name = "none";
    mc->desc = "no CPU, no memory: for asking questions";
    mc->cpu_max = 1;
}

static const TypeInfo machine_types[] = {
    {
        .name = TYPE_MACHINE,
        .parent = "object",
        .abstract = true,
        .instance_size = sizeof(MachineState),
        .class_size = sizeof(MachineClass),
        .properties = machine_properties,
    },
    {
        .name = "pc-i440fx-7.2" TYPE_MACHINE_SUFFIX,
        .parent = TYPE_MACHINE,
        .class_init = pc_class_init,
    },
    {
        .name = "none" TYPE_MACHINE_SUFFIX,
        .parent = TYPE_MACHINE,
        .class_init = none_class_init,
    },
};
DEFINE_TYPES(machine_types)

typedef struct ClassWalk {
    const char *name; /* looked for */
    MachineClass *found;
    void (*func)(const MachineClass *, void *);
    void *opaque;
} ClassWalk;

static void match_class(ObjectClass *klass, void *opaque)
{
    ClassWalk *walk = opaque;
    MachineClass *mc = MACHINE_CLASS(klass);

    if (g_str_equal(mc->name, walk->name) ||
        (mc->alias && g_str_equal(mc->alias, walk->name)) ||
        (mc->versions && g_str_has_prefix(walk->name, mc->versions))) {
        walk->found = mc;
    }
}

MachineClass *machine_class_find(const char *name)
{
    ClassWalk walk = { .name = name };

    object_class_foreach(TYPE_MACHINE, false, match_class, &walk);
    return walk.found;
}

static void pass_class(ObjectClass *klass, void *opaque)
{
    const ClassWalk *walk = opaque;

    walk->func(MACHINE_CLASS(klass), walk->opaque);
}

void machine_class_foreach(void (*func)(const MachineClass *, void *),
                           void *opaque)
{
    ClassWalk walk = { .func = func, .opaque = opaque };

    object_class_foreach(TYPE_MACHINE, false, pass_class, &walk);
}

MachineState *machine_new(MachineClass *klass)
{
    Object *obj = object_new(object_class_name(&klass->parent));
    bool ok = object_add_child(object_root(), "machine", obj, NULL);

    g_assert(ok);
    object_unref(obj); /* the tree has it */
    return MACHINE(obj);
}

MachineState *machine_current(void)
{
    Object *obj = object_child(object_root(), "machine");

    return obj && object_is(obj, TYPE_MACHINE) ? MACHINE(obj) : NULL;
}
