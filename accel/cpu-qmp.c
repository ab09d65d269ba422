/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP on CPUs: those there are, places for them, and models. */
#include "util/osdep.h"
#include "accel/cpu.h"
#include "accel/kvm/cpuid.h"
#include "hw/core/machine.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"

static CpuInstanceProperties instance_properties(const CpuTopology *topo,
                                                 unsigned index)
{
    VcpuPlace at = vcpu_place(topo, index);

    return (CpuInstanceProperties){
        .has_socket_id = true,
        .socket_id = at.socket,
        .has_die_id = topo->dies > 1,
        .die_id = at.die,
        .has_core_id = true,
        .core_id = at.core,
        .has_thread_id = true,
        .thread_id = at.thread,
    };
}

static CpuInstanceProperties *new_properties(const CpuTopology *topo,
                                             unsigned index)
{
    CpuInstanceProperties *props = qapi_new(&qapi_type_CpuInstanceProperties);

    *props = instance_properties(topo, index);
    return props;
}

bool qmp_query_cpus_fast(CpuInfoFastList *ret, Error **errp)
{
    X86CPU *cpu;

    for (unsigned i = 0; (cpu = cpu_object(i)) != NULL; i++) {
        ret->v = g_renew(CpuInfoFast, ret->v, ret->n + 1);
        ret->v[ret->n++] = (CpuInfoFast){
            .cpu_index = i,
            .qom_path = object_path(OBJECT(cpu)),
            .thread_id = vcpu_thread_id(i),
            .props = new_properties(vcpus_topology(), i),
            .target = SYS_EMU_TARGET_X86_64,
        };
    }
    return true;
}

bool qmp_query_hotpluggable_cpus(HotpluggableCPUList *ret, Error **errp)
{
    const MachineState *machine = machine_current();

    if (!machine || machine->topo.maxcpus == 0) {
        error_setg(errp, "this machine has no places for CPUs");
        return false;
    }
    ret->v = g_new0(HotpluggableCPU, machine->topo.maxcpus);
    for (; ret->n < machine->topo.maxcpus; ret->n++) {
        X86CPU *cpu = cpu_object(ret->n);

        ret->v[ret->n] = (HotpluggableCPU){
            .type = cpu_type_name(),
            .vcpus_count = 1,
            .props = new_properties(&machine->topo, ret->n),
            .qom_path = cpu ? object_path(OBJECT(cpu)) : NULL,
        };
    }
    return true;
}

static void add_feature(const char *name, int len, void *opaque)
{
    strList *list = opaque;

    list->v = g_renew(char *, list->v, list->n + 1);
    list->v[list->n++] = g_strndup(name, len);
}

bool qmp_query_cpu_definitions(CpuDefinitionInfoList *ret, Error **errp)
{
    CpuFeatures host;
    bool known = cpuid_host_features(&host);

    ret->v = g_new0(CpuDefinitionInfo, CPU_NUM_MODELS);
    for (; ret->n < CPU_NUM_MODELS; ret->n++) {
        const ModelDef *def = &cpu_models[ret->n];
        CpuDefinitionInfo *info = &ret->v[ret->n];

        info->name = g_strdup(def->name);
        info->has_migration_safe = true;
        info->migration_safe = !def->passthrough;
        info->typename = g_strconcat(def->name, X86_CPU_SUFFIX, NULL);
        info->has_unavailable_features = known;
        if (known) {
            cpu_model_missing(def, &host, add_feature,
                              &info->unavailable_features);
        }
    }
    return true;
}
