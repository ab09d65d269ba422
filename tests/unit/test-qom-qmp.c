/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects, types and machines as QMP shows them, over all types of the
 * emulator; and that schema and property tables say the same.
 */
#include "util/osdep.h"

#include "accel/cpu.h"
#include "chardev/char.h"
#include "hw/core/machine.h"
#include "hw/core/qdev.h"
#include "hw/i386/pc.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "qom/object-info.h"
#include "system/iothread.h"
#include "system/main-loop.h"

/* ---- one source of truth ---- */

static const QapiMember *find_member(const QapiType *type, const char *name)
{
    for (uint32_t i = 0; i < type->n_members; i++) {
        if (strcmp(type->members[i].name, name) == 0) {
            return &type->members[i];
        }
    }
    return NULL;
}

/* Whether values of the schema's @type are what @prop takes. */
static void check_kind(const QapiType *type, const Property *prop)
{
    switch (type->kind) {
    case QAPI_KIND_STRING:
        g_assert_cmpstr(prop->info->type, ==, "str");
        break;
    case QAPI_KIND_BOOL:
        g_assert_cmpstr(prop->info->type, ==, "bool");
        break;
    case QAPI_KIND_SIZE:
        g_assert_cmpstr(prop->info->type, ==, "size");
        break;
    case QAPI_KIND_ENUM:
        for (uint32_t i = 0; i < type->n_values; i++) {
            g_assert_cmpstr(prop->info->enum_values[i], ==,
                            type->values[i].name);
        }
        g_assert_null(prop->info->enum_values[type->n_values]);
        break;
    default:
        g_assert_cmpstr(prop->info->type, ==, type->name);
    }
}

typedef struct Comparison {
    const QapiType *branch; /* NULL: no members */
    unsigned seen;
} Comparison;

static void compare_property(const Property *prop, void *opaque)
{
    Comparison *c = opaque;
    const QapiMember *member =
        c->branch ? find_member(c->branch, prop->name) : NULL;

    if (!member) {
        g_error("the schema lacks '%s'", prop->name);
    }
    check_kind(member->type, prop);
    c->seen++;
}

/* @own: members of @branch that are no properties. */
static void compare(const QapiType *branch, ObjectClass *klass, unsigned own)
{
    Comparison c = { .branch = branch };

    object_class_property_foreach(klass, compare_property, &c);
    g_assert_cmpuint(c.seen + own, ==, branch ? branch->n_members : 0);
}

static void check_in_schema(ObjectClass *klass, void *opaque)
{
    int value = qapi_enum_find(&qapi_type_ObjectType, object_class_name(klass));

    if (value < 0) {
        g_error("ObjectType lacks '%s'", object_class_name(klass));
    }
    compare(qapi_type_ObjectOptions.variants[value], klass, 0);
    (*(unsigned *)opaque)++;
}

static void test_object_options(void)
{
    unsigned n = 0;

    object_class_foreach("user-creatable", false, check_in_schema, &n);
    g_assert_cmpuint(n, ==, OBJECT_TYPE__MAX);
}

static void test_machine_options(void)
{
    compare(&qapi_type_MachineOptions, object_class_by_name(TYPE_MACHINE), 1);
}

/* ---- all types ---- */

static void make_and_list(ObjectClass *klass, void *opaque)
{
    q_obj_qom_list_properties_arg arg = { .typename = (char *)object_class_name(
                                              klass) };
    q_obj_device_list_properties_arg darg = { .typename = arg.typename };
    bool device =
        object_class_is(klass, TYPE_DEVICE) && !object_class_is_abstract(klass);
    ObjectPropertyInfoList list = { 0 };
    Error *err = NULL;

    g_assert_true(qmp_qom_list_properties(&arg, &list, &err));
    g_assert_cmpuint(list.n, >, 0);
    qapi_free_contents(&qapi_type_ObjectPropertyInfoList, &list);
    g_assert_true(qmp_device_list_properties(&darg, &list, &err) == device);
    if (!device) {
        g_assert_cmpstr(err->message, ==,
                        "Parameter 'typename' expects a non-abstract device "
                        "type");
        g_clear_error(&err);
    }
    qapi_free_contents(&qapi_type_ObjectPropertyInfoList, &list);
    if (!object_class_is_abstract(klass)) {
        Object *one = object_new(arg.typename);
        Object *two = object_new(arg.typename);

        object_unref(one);
        object_unref(two);
    }
    (*(unsigned *)opaque)++;
}

static void test_every_type(void)
{
    unsigned n = 0;

    object_class_foreach(NULL, true, make_and_list, &n);
    g_assert_cmpuint(n, >, 30);
}

static void test_unknown_types(void)
{
    q_obj_qom_list_properties_arg arg = { .typename = (char *)"tribble" };
    q_obj_device_list_properties_arg darg = { .typename = (char *)"tribble" };
    ObjectPropertyInfoList list = { 0 };
    Error *err = NULL;

    g_assert_false(qmp_qom_list_properties(&arg, &list, &err));
    g_assert_cmpstr(err->message, ==, "Class 'tribble' not found");
    g_assert_cmpint(error_get_class(err), ==, ERROR_CLASS_DEVICE_NOT_FOUND);
    g_clear_error(&err);
    g_assert_false(qmp_device_list_properties(&darg, &list, &err));
    g_assert_cmpstr(err->message, ==, "Device 'tribble' not found");
    g_assert_cmpint(error_get_class(err), ==, ERROR_CLASS_DEVICE_NOT_FOUND);
    g_clear_error(&err);
    g_assert_cmpuint(list.n, ==, 0);
}

static const ObjectPropertyInfo *find_info(const ObjectPropertyInfoList *list,
                                           const char *name)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->v[i].name, name) == 0) {
            return &list->v[i];
        }
    }
    return NULL;
}

static void test_device_properties(void)
{
    q_obj_device_list_properties_arg arg = { .typename =
                                                 (char *)"virtio-net-pci" };
    q_obj_qom_list_properties_arg qarg = { .typename = arg.typename };
    ObjectPropertyInfoList list = { 0 };
    const ObjectPropertyInfo *info;

    g_assert_true(qmp_device_list_properties(&arg, &list, NULL));
    info = find_info(&list, "mq"); /* of the virtio device behind */
    g_assert_cmpstr(info->type, ==, "bool");
    g_assert_false(json_object_get_boolean(info->default_value));
    g_assert_nonnull(info->description);
    g_assert_null(find_info(&list, "vectors")->default_value);
    g_assert_cmpint(
        json_object_get_int(find_info(&list, "acpi-index")->default_value), ==,
        0);
    g_assert_null(find_info(&list, "type"));
    g_assert_null(find_info(&list, "realized"));
    g_assert_null(find_info(&list, "virtio-backend"));
    qapi_free_contents(&qapi_type_ObjectPropertyInfoList, &list);

    g_assert_true(qmp_qom_list_properties(&qarg, &list, NULL));
    g_assert_cmpstr(find_info(&list, "type")->type, ==, "string");
    g_assert_cmpstr(find_info(&list, "parent_bus")->type, ==, "link<PCI>");
    g_assert_cmpstr(find_info(&list, "virtio-backend")->type, ==,
                    "child<virtio-net-device>");
    g_assert_nonnull(find_info(&list, "mq"));
    qapi_free_contents(&qapi_type_ObjectPropertyInfoList, &list);
}

static void test_list_types(void)
{
    q_obj_qom_list_types_arg arg = { .implements = (char *)"memory-backend" };
    ObjectTypeInfoList list = { 0 };

    g_assert_true(qmp_qom_list_types(&arg, &list, NULL));
    g_assert_cmpuint(list.n, ==, 3);
    g_assert_cmpstr(list.v[0].name, ==, "memory-backend-file");
    g_assert_cmpstr(list.v[0].parent, ==, "memory-backend");
    g_assert_false(list.v[0].has_abstract);
    qapi_free_contents(&qapi_type_ObjectTypeInfoList, &list);
    arg.has_abstract = arg.abstract = true;
    g_assert_true(qmp_qom_list_types(&arg, &list, NULL));
    g_assert_cmpuint(list.n, ==, 4);
    g_assert_true(list.v[0].abstract);
    qapi_free_contents(&qapi_type_ObjectTypeInfoList, &list);
    arg.implements = (char *)"tribble";
    g_assert_true(qmp_qom_list_types(&arg, &list, NULL));
    g_assert_cmpuint(list.n, ==, 0);
}

/* ---- objects ---- */

static bool add(ObjectType type, const char *id, Error **errp)
{
    ObjectOptions opts = { .qom_type = type, .id = (char *)id };
    MemoryBackendProperties *ram = &opts.u.memory_backend_ram;

    if (type == OBJECT_TYPE_MEMORY_BACKEND_RAM) {
        ram->size = 65536;
    } else if (type == OBJECT_TYPE_MEMORY_BACKEND_MEMFD) {
        opts.u.memory_backend_memfd.size = 65536;
    }
    return qmp_object_add(&opts, errp);
}

static bool del(const char *id, Error **errp)
{
    q_obj_object_del_arg arg = { .id = (char *)id };

    return qmp_object_del(&arg, errp);
}

/* Three objects, made in each order, removed in each order. */
static void test_add_del_orders(void)
{
    static const unsigned orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 },
                                           { 1, 0, 2 }, { 1, 2, 0 },
                                           { 2, 0, 1 }, { 2, 1, 0 } };
    static const char *const ids[] = { "a", "b", "c" };
    static const ObjectType types[] = { OBJECT_TYPE_IOTHREAD,
                                        OBJECT_TYPE_MEMORY_BACKEND_RAM,
                                        OBJECT_TYPE_MEMORY_BACKEND_MEMFD };
    Error *err = NULL;

    for (unsigned run = 0; run < 36; run++) {
        for (unsigned i = 0; i < 3; i++) {
            unsigned which = orders[run / 6][i];

            g_assert_true(add(types[which], ids[which], &err));
        }
        g_assert_false(add(types[0], "b", &err));
        g_assert_cmpstr(err->message, ==,
                        "Duplicate ID 'b' for object; give each its own");
        g_clear_error(&err);
        for (unsigned i = 0; i < 3; i++) {
            g_assert_true(del(ids[orders[run % 6][i]], &err));
        }
        g_assert_false(del("a", &err));
        g_assert_cmpstr(err->message, ==, "object 'a' not found");
        g_clear_error(&err);
    }
    g_assert_cmpuint(object_container("/objects")->children->len, ==, 0);
}

static void test_del_in_use(void)
{
    Error *err = NULL;
    IOThread *io;

    g_assert_true(add(OBJECT_TYPE_IOTHREAD, "io", &err));
    io = iothread_find("io", &err);
    iothread_use(io, "net0");
    g_assert_false(del("io", &err));
    g_assert_cmpstr(err->message, ==,
                    "iothread 'io' is in use by 'net0'; remove that first");
    g_clear_error(&err);
    iothread_release(io, "net0");
    g_assert_true(del("io", &err));
}

static bool set(const char *path, const char *property, const char *json,
                Error **errp)
{
    q_obj_qom_set_arg arg = { .path = (char *)path,
                              .property = (char *)property,
                              .value = json_tokener_parse(json) };
    bool ok = qmp_qom_set(&arg, errp);

    json_object_put(arg.value);
    return ok;
}

static json_object *get(const char *path, const char *property, Error **errp)
{
    q_obj_qom_get_arg arg = { .path = (char *)path,
                              .property = (char *)property };
    json_object *value = NULL;

    qmp_qom_get(&arg, &value, errp);
    return value;
}

static const struct {
    const char *path, *property, *json, *error;
} bad_sets[] = {
    { "/objects/io", "poll-max-ns", "\"x\"",
      "Parameter 'poll-max-ns' expects an integer between "
      "-9223372036854775808 and 9223372036854775807, not 'x'" },
    { "/objects/io", "poll-max-ns", "[]",
      "Invalid parameter type for 'poll-max-ns', expected: integer" },
    { "/objects/io", "poll-max-ns", "null",
      "Invalid parameter type for 'poll-max-ns', expected: integer" },
    { "/objects/io", "colour", "1", "Property 'iothread.colour' not found" },
    { "/objects/m", "size", "4096",
      "Property 'memory-backend-ram.size' cannot change any more: the object "
      "is in use" },
    { "/objects", "io", "\"x\"", "Property 'container.io' is read-only" },
    { "/objects/x", "io", "\"x\"", "Device '/objects/x' not found" },
};

static void test_get_and_set(void)
{
    q_obj_qom_list_arg arg = { .path = (char *)"/objects" };
    ObjectPropertyInfoList list = { 0 };
    Error *err = NULL;
    json_object *value;

    g_assert_true(add(OBJECT_TYPE_IOTHREAD, "io", &err));
    g_assert_true(add(OBJECT_TYPE_MEMORY_BACKEND_RAM, "m", &err));
    g_assert_true(qmp_qom_list(&arg, &list, &err));
    g_assert_cmpstr(find_info(&list, "io")->type, ==, "child<iothread>");
    qapi_free_contents(&qapi_type_ObjectPropertyInfoList, &list);
    g_assert_true(set("io", "poll-max-ns", "7", &err));
    value = get("/objects/io", "poll-max-ns", &err);
    g_assert_cmpint(json_object_get_int(value), ==, 7);
    json_object_put(value);
    for (size_t i = 0; i < ARRAY_SIZE(bad_sets); i++) {
        g_assert_false(set(bad_sets[i].path, bad_sets[i].property,
                           bad_sets[i].json, &err));
        g_assert_cmpstr(err->message, ==, bad_sets[i].error);
        g_clear_error(&err);
    }
    g_assert_null(get("/objects/io", "colour", &err));
    g_assert_cmpstr(err->message, ==, "Property 'iothread.colour' not found");
    g_clear_error(&err);
    g_assert_true(del("io", &err));
    g_assert_true(del("m", &err));
}

/* ---- devices ---- */

#define MAX_DEVICE_TYPES 16

typedef struct DeviceTypes {
    const char *name[MAX_DEVICE_TYPES];
    unsigned n;
} DeviceTypes;

static void note_pluggable(ObjectClass *klass, void *opaque)
{
    DeviceTypes *types = opaque;

    if (DEVICE_CLASS(klass)->user_creatable) {
        g_assert_cmpuint(types->n, <, MAX_DEVICE_TYPES);
        types->name[types->n++] = object_class_name(klass);
    }
}

static DeviceState *plug(const char *type)
{
    json_object *opts = json_object_new_object();
    Error *err = NULL;
    DeviceState *dev;

    json_object_object_add(opts, "driver", json_object_new_string(type));
    json_object_object_add(opts, "id", json_object_new_string(type));
    if (object_class_property_find(object_class_by_name(type), "chardev")) {
        json_object_object_add(opts, "chardev", json_object_new_string("c0"));
    }
    dev = device_add(opts, &err);
    g_assert_no_error(err);
    json_object_put(opts);
    return dev;
}

static void unplug(DeviceState *dev)
{
    device_unrealize(dev);
    object_unparent(OBJECT(dev));
}

static void plug_three(const char *a, const char *b, const char *c)
{
    static const unsigned orders[6][3] = { { 0, 1, 2 }, { 0, 2, 1 },
                                           { 1, 0, 2 }, { 1, 2, 0 },
                                           { 2, 0, 1 }, { 2, 1, 0 } };

    for (unsigned i = 0; i < 6; i++) {
        DeviceState *dev[] = { plug(a), plug(b), plug(c) };

        devices_reset_all();
        for (unsigned n = 0; n < 3; n++) {
            unplug(dev[orders[i][n]]);
        }
    }
}

/* Each three of the devices that -device makes, made and removed in each
 * order. */
static void test_device_orders(void)
{
    DeviceTypes types = { .n = 0 };
    BusState *pci, *isa;

    fw_cfg_init();
    i440fx_init();
    g_assert_nonnull(chardev_new_from_opts("null,id=c0", NULL));
    pci = bus_find(NULL, "PCI");
    isa = bus_find(NULL, "ISA");
    object_class_foreach(TYPE_DEVICE, false, note_pluggable, &types);
    g_assert_cmpuint(types.n, >=, 5);
    for (unsigned a = 0; a < types.n; a++) {
        for (unsigned b = 0; b < types.n; b++) {
            for (unsigned c = 0; c < types.n; c++) {
                if (a != b && b != c && a != c) {
                    plug_three(types.name[a], types.name[b], types.name[c]);
                }
            }
        }
    }
    g_assert_cmpuint(pci->devices->len, ==, 3); /* the chipset */
    for (guint i = 0; i < isa->devices->len; i++) {
        g_assert_null(DEVICE(g_ptr_array_index(isa->devices, i))->id);
    }
    g_assert_cmpuint(object_container("/machine/peripheral")->children->len, ==,
                     0);
    g_assert_true(chardev_remove("c0", NULL)); /* nobody has it */
    devices_unrealize_all();
    object_unparent(object_container("/machine"));
}

/* ---- machines and CPUs ---- */

static void test_machines(void)
{
    MachineInfoList list = { 0 };
    ObjectClass *cpu;

    g_assert_true(qmp_query_machines(&list, NULL));
    g_assert_cmpuint(list.n, ==, 2);
    g_assert_cmpstr(list.v[0].name, ==, "none");
    g_assert_false(list.v[0].has_is_default);
    g_assert_cmpstr(list.v[1].name, ==, "pc-i440fx-7.2");
    g_assert_cmpstr(list.v[1].alias, ==, "pc");
    g_assert_true(list.v[1].is_default);
    g_assert_cmpint(list.v[1].cpu_max, ==, MAX_VCPUS);
    cpu = object_class_by_name(list.v[1].default_cpu_type);
    g_assert_true(object_class_is(cpu, TYPE_CPU));
    for (size_t i = 0; i < list.n; i++) {
        g_autofree char *type =
            g_strconcat(list.v[i].name, TYPE_MACHINE_SUFFIX, NULL);

        g_assert_true(&machine_class_find(list.v[i].name)->parent ==
                      object_class_by_name(type));
    }
    qapi_free_contents(&qapi_type_MachineInfoList, &list);
    g_assert_null(machine_class_find("q35"));
    g_assert_cmpstr(machine_class_find("pc-i440fx-5.2")->alias, ==, "pc");
}

static void test_cpu_definitions(void)
{
    CpuDefinitionInfoList list = { 0 };

    g_assert_true(qmp_query_cpu_definitions(&list, NULL));
    for (size_t i = 0; i < list.n; i++) {
        ObjectClass *klass = object_class_by_name(list.v[i].typename);

        g_assert_true(object_class_is(klass, TYPE_X86_CPU));
        g_assert_false(list.v[i].has_unavailable_features);
    }
    qapi_free_contents(&qapi_type_CpuDefinitionInfoList, &list);
}

static void test_cpus(void)
{
    static const CpuTopology topo = { .cpus = 3,
                                      .maxcpus = 8,
                                      .sockets = 1,
                                      .dies = 2,
                                      .cores = 2,
                                      .threads = 2 };
    HotpluggableCPUList places = { 0 };
    CpuInfoFastList cpus = { 0 };
    Error *err = NULL;
    json_object *value;
    MachineState *machine = machine_new(machine_class_find("pc"));

    g_assert_false(qmp_query_hotpluggable_cpus(&places, &err));
    g_clear_error(&err);
    machine->topo = topo;
    g_assert_true(vcpus_init(&topo, &err));
    g_assert_true(qmp_query_cpus_fast(&cpus, &err));
    g_assert_cmpuint(cpus.n, ==, 3);
    g_assert_cmpstr(cpus.v[2].qom_path, ==, "/machine/unattached/device[2]");
    g_assert_cmpint(cpus.v[2].props->core_id, ==, 1);
    g_assert_cmpint(cpus.v[2].props->thread_id, ==, 0);
    value = get(cpus.v[2].qom_path, "apic-id", &err);
    g_assert_cmpint(json_object_get_int(value), ==, 2);
    json_object_put(value);
    value = get(cpus.v[2].qom_path, "type", &err);
    g_assert_cmpstr(json_object_get_string(value), ==, "qemu64-x86_64-cpu");
    json_object_put(value);
    g_assert_true(qmp_query_hotpluggable_cpus(&places, &err));
    g_assert_cmpuint(places.n, ==, 8);
    g_assert_cmpstr(places.v[2].qom_path, ==, cpus.v[2].qom_path);
    g_assert_null(places.v[3].qom_path);
    g_assert_cmpint(places.v[7].props->die_id, ==, 1);
    qapi_free_contents(&qapi_type_HotpluggableCPUList, &places);
    qapi_free_contents(&qapi_type_CpuInfoFastList, &cpus);
    vcpus_destroy();
    g_assert_true(qmp_query_cpus_fast(&cpus, &err));
    g_assert_cmpuint(cpus.n, ==, 0);
    object_unparent(OBJECT(machine));
}

int main(int argc, char **argv)
{
    Error *err = NULL;

    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(&err));
    g_test_add_func("/qom-qmp/schema/ObjectOptions", test_object_options);
    g_test_add_func("/qom-qmp/schema/MachineOptions", test_machine_options);
    g_test_add_func("/qom-qmp/types/every", test_every_type);
    g_test_add_func("/qom-qmp/types/unknown", test_unknown_types);
    g_test_add_func("/qom-qmp/types/virtio-net-pci", test_device_properties);
    g_test_add_func("/qom-qmp/types/list", test_list_types);
    g_test_add_func("/qom-qmp/objects/add-del-orders", test_add_del_orders);
    g_test_add_func("/qom-qmp/objects/del-in-use", test_del_in_use);
    g_test_add_func("/qom-qmp/objects/get-and-set", test_get_and_set);
    g_test_add_func("/qom-qmp/devices/orders", test_device_orders);
    g_test_add_func("/qom-qmp/machines", test_machines);
    g_test_add_func("/qom-qmp/cpus/definitions", test_cpu_definitions);
    g_test_add_func("/qom-qmp/cpus/places", test_cpus);
    return g_test_run();
}
