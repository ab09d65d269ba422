/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP on the machines there are. */
#include "util/osdep.h"
#include "hw/core/machine.h"
#include "qapi/qapi-commands.h"

static void add_machine(const MachineClass *mc, void *opaque)
{
    MachineInfoList *list = opaque;

    list->v = g_renew(MachineInfo, list->v, list->n + 1);
    list->v[list->n++] = (MachineInfo){
        .name = g_strdup(mc->name),
        .alias = g_strdup(mc->alias),
        .has_is_default = mc->is_default,
        .is_default = mc->is_default,
        .cpu_max = mc->cpu_max,
        .default_cpu_type = g_strdup(mc->default_cpu_type),
        .default_ram_id = g_strdup(mc->default_ram_id),
        .acpi = mc->acpi,
    };
}

bool qmp_query_machines(MachineInfoList *ret, Error **errp)
{
    machine_class_foreach(add_machine, ret);
    return true;
}
