/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine as an object, /machine, and the machines there are.
 *
 * Types are called NAME-machine. The object says what the user asked for;
 * system/setup.c makes it so.
 *
 * Threads: types are constant; objects under the machine lock.
 */
#ifndef HW_CORE_MACHINE_H
#define HW_CORE_MACHINE_H

#include "accel/vcpu.h"
#include "qom/object.h"

#define TYPE_MACHINE        "machine"
#define TYPE_MACHINE_SUFFIX "-machine"

typedef struct MachineClass {
    ObjectClass parent;
    const char *name, *alias; /* as in -machine; alias may be NULL */
    const char *versions; /* other names that begin so are taken, too; NULL */
    const char *desc;
    bool is_default, acpi;
    bool has_cpus; /* and RAM, and buses */
    unsigned cpu_max;
    const char *default_cpu_type, *default_ram_id; /* NULL: none */
} MachineClass;

/* -machine. Strings are NULL when nobody gave them. */
typedef struct MachineState {
    Object obj;

    /* fixed once the machine is made */
    char *accel, *memory_backend, *kernel, *initrd, *append;
    char *vmport, *smm, *kernel_irqchip;
    bool acpi, dump_guest_core, mem_merge, usb, graphics, hpet;
    CpuTopology topo; /* all zero: no CPUs */

    /* main thread */
    bool made; /* devices that come now are hot-plugged */
} MachineState;

#define MACHINE(o)           OBJECT_CAST(MachineState, o)
#define MACHINE_CLASS(k)     OBJECT_CLASS_CAST(MachineClass, k)
#define MACHINE_GET_CLASS(o) OBJECT_GET_CLASS(MachineClass, o)

/* The class of -machine @name, an alias or another version; or NULL. */
MachineClass *machine_class_find(const char *name);
/* Calls @func for each machine, by name. */
void machine_class_foreach(void (*func)(const MachineClass *, void *),
                           void *opaque);

/* Puts a new machine of @klass at /machine, where nothing is yet. The caller
 * sets its fields. */
MachineState *machine_new(MachineClass *klass) MAIN_THREAD;
/* The one at /machine, NULL before machine_new(). */
MachineState *machine_current(void) MAIN_THREAD;

#endif
