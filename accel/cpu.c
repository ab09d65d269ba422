/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The types and objects of vCPUs. */
#include "util/osdep.h"
#include "accel/cpu.h"
#include "accel/kvm/cpuid.h"

/* Of X86CPU, by index; main thread. NULL: none. */
static GPtrArray *cpus;

static void MAIN_THREAD add_name(const char *name, int len, void *opaque)
{
    json_object_array_add(opaque, json_object_new_string_len(name, len));
}

/* What the host lacks of the model that the type is named after. */
static json_object *MAIN_THREAD
unavailable_get(Object *obj, const Property *prop, Error **errp)
{
    json_object *list = json_object_new_array();
    const char *type = object_type_name(obj);
    CpuFeatures host;

    for (unsigned i = 0; i < CPU_NUM_MODELS; i++) {
        g_autofree char *name =
            g_strconcat(cpu_models[i].name, X86_CPU_SUFFIX, NULL);

        if (strcmp(name, type) == 0 && cpuid_host_features(&host)) {
            cpu_model_missing(&cpu_models[i], &host, add_name, list);
        }
    }
    return list;
}

static const PropertyInfo unavailable_info = { .type = "strList",
                                               .get = unavailable_get };

static const Property x86_cpu_properties[] = {
    PROP_UINT32("apic-id", X86CPU, apic_id, UINT32_MAX, "id of the local APIC"),
    PROP_INT32("socket-id", X86CPU, socket_id, -1, "socket of the machine"),
    PROP_INT32("die-id", X86CPU, die_id, -1, "die of the socket"),
    PROP_INT32("core-id", X86CPU, core_id, -1, "core of the die"),
    PROP_INT32("thread-id", X86CPU, thread_id, -1, "thread of the core"),
    { .name = "unavailable-features",
      .info = &unavailable_info,
      .description = "what this host lacks of the model" },
    PROP_END,
};

static const Property passthrough_properties[] = {
    PROP_BOOL("migratable", X86CPU, migratable, true,
              "without what binds the guest to this host"),
    PROP_END,
};

static void cpu_class_init(ObjectClass *klass)
{
    DEVICE_CLASS(klass)->category = "CPU";
}

static const TypeInfo cpu_types[] = {
    {
        .name = TYPE_CPU,
        .parent = TYPE_DEVICE,
        .abstract = true,
        .class_init = cpu_class_init,
    },
    {
        .name = TYPE_X86_CPU,
        .parent = TYPE_CPU,
        .abstract = true,
        .instance_size = sizeof(X86CPU),
        .properties = x86_cpu_properties,
    },
};
DEFINE_TYPES(cpu_types)

/* A type for each model; they live as long as the process. */
static void register_models(void)
{
    static TypeInfo types[CPU_NUM_MODELS];

    for (unsigned i = 0; i < CPU_NUM_MODELS; i++) {
        const ModelDef *def = &cpu_models[i];

        types[i] = (TypeInfo){
            .name = g_strconcat(def->name, X86_CPU_SUFFIX, NULL),
            .parent = TYPE_X86_CPU,
            .properties = def->passthrough ? passthrough_properties : NULL,
        };
        type_register(&types[i]);
    }
}
TYPE_INIT(register_models)

char *cpu_type_name(void)
{
    return g_strconcat(cpu_model_chosen()->name, X86_CPU_SUFFIX, NULL);
}

bool cpu_objects_create(const CpuTopology *topo, Error **errp)
{
    g_autofree char *type = cpu_type_name();

    cpus = g_ptr_array_new();
    for (unsigned i = 0; i < topo->cpus; i++) {
        X86CPU *cpu = X86_CPU(object_new(type));
        VcpuPlace at = vcpu_place(topo, i);
        bool ok;

        cpu->apic_id = vcpu_apic_id(topo, i);
        cpu->socket_id = (int32_t)at.socket;
        cpu->die_id = (int32_t)at.die;
        cpu->core_id = (int32_t)at.core;
        cpu->thread_id = (int32_t)at.thread;
        cpu->migratable = cpu_model_migratable();
        ok = device_realize(&cpu->dev, NULL, errp);
        object_unref(OBJECT(cpu)); /* the tree has it */
        if (!ok) {
            cpu_objects_destroy();
            return false;
        }
        g_ptr_array_add(cpus, cpu);
    }
    return true;
}

void cpu_objects_destroy(void)
{
    for (guint i = cpus ? cpus->len : 0; i > 0; i--) {
        X86CPU *cpu = g_ptr_array_index(cpus, i - 1);

        device_unrealize(&cpu->dev);
        object_unparent(OBJECT(cpu));
    }
    g_clear_pointer(&cpus, g_ptr_array_unref);
}

X86CPU *cpu_object(unsigned index)
{
    return cpus && index < cpus->len ? g_ptr_array_index(cpus, index) : NULL;
}
