/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices, buses, -device, -global, ISA lines, and memory backends. */
#include "util/osdep.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "accel/accel.h"
#include "hw/core/irq.h"
#include "hw/core/qdev.h"
#include "qapi/keyval.h"
#include "system/memory-backend.h"

/* The accelerator, as far as ISA lines need one. */
static unsigned last_gsi;
static bool last_level;

void accel_set_gsi(unsigned gsi, bool level)
{
    last_gsi = gsi;
    last_level = level;
}

/* ---- devices under test ---- */

#define TYPE_TOY_BUS "TOY"

typedef struct Toy {
    DeviceState dev;
    uint16_t size;
    bool fail;
    bool with_bus;
    char *log;
    uint8_t part_level;
} Toy;

static GString *events; /* what happened, in order */
static bool bus_full;

static void note(const char *what, const Object *obj)
{
    g_string_append_printf(events, "%s:%s ", what, device_label(DEVICE(obj)));
}

static bool toy_realize(DeviceState *dev, Error **errp)
{
    Toy *toy = (Toy *)dev;

    if (toy->with_bus) {
        bus_new(TYPE_TOY_BUS, "toy.1", dev);
    }
    if (toy->fail) {
        error_setg(errp, "the spring is broken");
        return false;
    }
    note("realize", OBJECT(dev));
    return true;
}

static void toy_unrealize(DeviceState *dev)
{
    note("unrealize", OBJECT(dev));
}

static void toy_reset(DeviceState *dev)
{
    note("reset", OBJECT(dev));
}

static void toy_finalize(Object *obj)
{
    note("free", obj);
}

static Object *toy_delegate(Object *obj, const char *name)
{
    return obj->children && strcmp(name, "level") == 0
               ? g_ptr_array_index(obj->children, 0)
               : NULL;
}

static void toy_class_init(ObjectClass *klass)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->bus_type = TYPE_TOY_BUS;
    dc->user_creatable = true;
    dc->desc = "a toy";
    dc->category = "Misc";
    dc->realize = toy_realize;
    dc->unrealize = toy_unrealize;
    dc->reset = toy_reset;
}

static void fixed_class_init(ObjectClass *klass)
{
    DEVICE_CLASS(klass)->user_creatable = false;
}

static void proxy_class_init(ObjectClass *klass)
{
    klass->delegate = toy_delegate;
}

static void proxy_init(Object *obj)
{
    Object *part = object_new("toy-part");

    object_add_child(obj, "part", part, NULL);
    object_unref(part);
}

static bool toy_bus_attach(BusState *bus, DeviceState *dev, Error **errp)
{
    if (bus_full) {
        error_setg(errp, "%s is full", bus->name);
    }
    return !bus_full;
}

static void toy_bus_init(Object *obj)
{
    BUS(obj)->attach = toy_bus_attach;
}

static const Property toy_props[] = {
    PROP_UINT16("size", Toy, size, 5, "how big"),
    PROP_BOOL("fail", Toy, fail, false, "cannot be realized"),
    PROP_BOOL("with-bus", Toy, with_bus, false, "has a bus"),
    PROP_END,
};

static const Property part_props[] = {
    PROP_UINT8("level", Toy, part_level, 1, "of the part"),
    PROP_END,
};

static const TypeInfo toy_types[] = {
    { .name = TYPE_TOY_BUS, .parent = TYPE_BUS, .instance_init = toy_bus_init },
    {
        .name = "toy-base",
        .parent = TYPE_DEVICE,
        .abstract = true,
        .instance_size = sizeof(Toy),
        .class_init = toy_class_init,
        .instance_finalize = toy_finalize,
        .properties = toy_props,
    },
    { .name = "toy", .parent = "toy-base", .alias = "plaything" },
    {
        .name = "toy-fixed",
        .parent = "toy-base",
        .class_init = fixed_class_init,
    },
    {
        .name = "toy-proxy",
        .parent = "toy-base",
        .class_init = proxy_class_init,
        .instance_init = proxy_init,
    },
    {
        .name = "toy-part",
        .parent = "object",
        .instance_size = sizeof(Toy),
        .properties = part_props,
    },
};
DEFINE_TYPES(toy_types)

/* A machine with one bus; its end is machine_end(). */
static void machine_begin(void)
{
    bus_full = false;
    events = g_string_new(NULL);
    object_container("/machine/unattached");
    object_container("/machine/peripheral");
    object_container("/machine/peripheral-anon");
    bus_new(TYPE_TOY_BUS, "toy.0", NULL);
}

static void machine_end(void)
{
    devices_unrealize_all();
    object_unparent(object_container("/machine"));
    g_string_free(events, TRUE);
}

static DeviceState *add(const char *text, Error **errp)
{
    bool is_json;
    json_object *opts = options_parse(text, "driver", &is_json, NULL, errp);
    DeviceState *dev = opts ? device_add(opts, errp) : NULL;

    json_object_put(opts);
    return dev;
}

static DeviceState *add_ok(const char *text)
{
    Error *err = NULL;
    DeviceState *dev = add(text, &err);

    g_assert_no_error(err);
    g_assert_nonnull(dev);
    return dev;
}

/* ---- -device ---- */

static void test_device_paths(void)
{
    DeviceState *named, *anon, *fixed;
    g_autofree char *path = NULL, *path2 = NULL, *path3 = NULL;
    Error *err = NULL;

    machine_begin();
    named = add_ok("toy,id=t0,size=9");
    anon = add_ok("{\"driver\":\"plaything\",\"size\":7}");
    fixed = device_new_builtin("toy-fixed", bus_find("toy.0", NULL), &err);
    g_assert_no_error(err);
    path = object_path(OBJECT(named));
    path2 = object_path(OBJECT(anon));
    path3 = object_path(OBJECT(fixed));
    g_assert_cmpstr(path, ==, "/machine/peripheral/t0");
    g_assert_cmpstr(path2, ==, "/machine/peripheral-anon/device[0]");
    g_assert_cmpstr(path3, ==, "/machine/unattached/device[1]");
    g_assert_cmpuint(((Toy *)named)->size, ==, 9);
    g_assert_cmpuint(((Toy *)anon)->size, ==, 7);
    g_assert_true(device_find("t0") == named);
    g_assert_cmpstr(device_label(named), ==, "t0");
    g_assert_cmpstr(device_label(anon), ==, "toy");
    g_assert_cmpuint(named->bus->devices->len, ==, 3);
    machine_end();
}

typedef struct BadDevice {
    const char *text, *error;
} BadDevice;

static const BadDevice bad_devices[] = {
    { "id=x", "Parameter 'driver' is missing" },
    { "{\"driver\":3}",
      "Invalid parameter type for 'driver', expected: string" },
    { "virtio-nett",
      "'virtio-nett' is not a valid device model name; there are: toy, "
      "toy-proxy" },
    { "container",
      "'container' is not a valid device model name; there are: toy, "
      "toy-proxy" },
    { "toy-base", "Parameter 'driver' expects a non-abstract device type, not "
                  "'toy-base' (-device help lists them)" },
    { "toy-fixed", "Parameter 'driver' expects a pluggable device type: "
                   "'toy-fixed' is part of the machine" },
    { "toy,id=4x",
      "Parameter 'id' expects an identifier, a letter and then letters, "
      "digits, '-', '.', '_', not '4x'" },
    { "toy,id=taken", "Duplicate ID 'taken' for device; give each its own" },
    { "toy,bus=toy.9", "Bus 'toy.9' not found" },
    { "toy,bus=isa.0",
      "Device 'toy' can't go on ISA bus 'isa.0': it needs TOY" },
    { "toy,id=n,colour=red",
      "Property 'toy.colour' not found (-device toy,help lists them)" },
    { "plaything,size=big", "Parameter 'size' expects an integer between 0 "
                            "and 65535, not 'big'" },
    { "{\"driver\":\"toy\",\"fail\":1}",
      "Invalid parameter type for 'fail', expected: boolean" },
    { "toy,id=n,fail=on,with-bus=on", "the spring is broken" },
};

static void test_device_errors(void)
{
    machine_begin();
    bus_new(TYPE_ISA_BUS, "isa.0", NULL);
    add_ok("toy,id=taken");
    for (size_t i = 0; i < ARRAY_SIZE(bad_devices); i++) {
        Error *err = NULL;

        g_assert_null(add(bad_devices[i].text, &err));
        g_assert_cmpstr(err->message, ==, bad_devices[i].error);
        g_error_free(err);
        /* nothing half-made */
        g_assert_null(device_find("n"));
        g_assert_null(bus_find("toy.1", NULL));
        g_assert_null(object_container("/machine/peripheral-anon")->children);
        g_assert_cmpuint(bus_find("toy.0", NULL)->devices->len, ==, 1);
    }
    machine_end();
}

static void test_no_bus(void)
{
    Error *err = NULL;

    machine_begin();
    object_unparent(OBJECT(bus_find("toy.0", NULL)));
    g_assert_null(add("toy", &err));
    g_assert_cmpstr(err->message, ==, "No 'TOY' bus found for device 'toy'");
    g_clear_error(&err);
    machine_end();
}

static void test_full_bus(void)
{
    Error *err = NULL;

    machine_begin();
    bus_full = true;
    g_assert_null(add("toy,id=n", &err));
    g_assert_cmpstr(err->message, ==, "toy.0 is full");
    g_clear_error(&err);
    g_assert_null(device_find("n"));
    g_assert_cmpstr(events->str, ==, "free:n ");
    machine_end();
}

static void test_order(void)
{
    DeviceState *parent;

    machine_begin();
    parent = add_ok("toy,id=parent,with-bus=on");
    add_ok("toy,id=child,bus=toy.1");
    add_ok("toy,id=other");
    devices_reset_all();
    device_reset(parent);
    devices_unrealize_all();
    g_assert_cmpstr(events->str, ==,
                    "realize:parent realize:child realize:other "
                    "reset:parent reset:child reset:other "
                    "reset:parent reset:child "
                    "unrealize:other free:other unrealize:child free:child "
                    "unrealize:parent free:parent ");
    g_assert_null(bus_find("toy.1", NULL));
    machine_end();
}

static void test_unrealize_takes_children(void)
{
    DeviceState *parent;

    machine_begin();
    parent = add_ok("toy,id=parent,with-bus=on");
    add_ok("toy,id=child,bus=toy.1");
    g_string_truncate(events, 0);
    device_unrealize(parent);
    g_assert_cmpstr(events->str, ==, "unrealize:child unrealize:parent ");
    g_assert_null(bus_find("toy.1", NULL));
    machine_end();
}

static void test_delegated_property(void)
{
    DeviceState *dev;
    Error *err = NULL;
    json_object *value;

    machine_begin();
    dev = add_ok("toy-proxy,id=p,level=7");
    value = object_property_get(OBJECT(dev), "level", &err);
    g_assert_no_error(err);
    g_assert_cmpint(json_object_get_int(value), ==, 7);
    json_object_put(value);
    g_assert_null(add("toy-proxy,nothing=1", &err));
    g_assert_cmpstr(err->message, ==,
                    "Property 'toy-proxy.nothing' not found (-device "
                    "toy-proxy,help lists them)");
    g_clear_error(&err);
    machine_end();
}

static void expect_value(Object *obj, const char *name, const char *text)
{
    json_object *value = object_property_get(obj, name, NULL);

    g_assert_cmpstr(json_object_get_string(value), ==, text);
    json_object_put(value);
}

/* What every device tells, and the ways between it and its bus. */
static void test_device_properties(void)
{
    DeviceState *dev;
    Object *fresh;

    machine_begin();
    fresh = object_new("toy");
    expect_value(fresh, "realized", "false");
    expect_value(fresh, "parent_bus", "");
    object_unref(fresh);
    add_ok("toy");
    dev = add_ok("toy,id=d");
    expect_value(OBJECT(dev), "type", "toy");
    expect_value(OBJECT(dev), "realized", "true");
    expect_value(OBJECT(dev), "hotplugged", "false");
    expect_value(OBJECT(dev), "hotpluggable", "false");
    expect_value(OBJECT(dev), "parent_bus", "/machine/unattached/toy.0");
    expect_value(OBJECT(dev->bus), "child[1]", "/machine/peripheral/d");
    g_assert_true(object_resolve("toy.0/child[1]/parent_bus/child[1]") ==
                  OBJECT(dev));
    g_assert_null(object_resolve("toy.0/child[2]"));
    machine_end();
}

/* ---- -global ---- */

static const BadDevice bad_globals[] = {
    { "toy", "expected DRIVER.PROPERTY=VALUE, or driver=DRIVER,property="
             "PROPERTY,value=VALUE" },
    { "toy.size", "expected DRIVER.PROPERTY=VALUE, or driver=DRIVER,property="
                  "PROPERTY,value=VALUE" },
    { "toy=5", "expected DRIVER.PROPERTY=VALUE, or driver=DRIVER,property="
               "PROPERTY,value=VALUE" },
    { "toy.colour=red", "Property 'toy.colour' not found" },
    { "toy-base.colour=red", "Property 'toy-base.colour' not found" },
    { "toy.size=big", "Parameter 'size' expects an integer between 0 and "
                      "65535, not 'big'" },
    { "toy-base.size=big", "Parameter 'size' expects an integer between 0 and "
                           "65535, not 'big'" },
    { "toy-base.realized=on", "Property 'toy.realized' is read-only" },
};

static void test_globals(void)
{
    Error *err = NULL;

    machine_begin();
    for (size_t i = 0; i < ARRAY_SIZE(bad_globals); i++) {
        g_assert_false(global_property_add(bad_globals[i].text, &err));
        g_assert_cmpstr(err->message, ==, bad_globals[i].error);
        g_clear_error(&err);
    }
    g_assert_true(global_property_add("toy-base.size=20", &err));
    g_assert_true(
        global_property_add("driver=plaything,property=size,value=30", &err));
    g_assert_true(global_property_add("toy-proxy.level=9", &err));
    g_assert_no_error(err);
    g_assert_cmpuint(((Toy *)add_ok("toy"))->size, ==, 30);
    g_assert_cmpuint(((Toy *)add_ok("toy,size=40"))->size, ==, 40);
    g_assert_cmpuint(((Toy *)add_ok("toy-proxy,id=p"))->size, ==, 20);
    g_assert_cmpuint(
        ((Toy *)object_child(OBJECT(device_find("p")), "part"))->part_level, ==,
        9);
    machine_end();
}

/* ---- ISA lines ---- */

static void test_isa_irq(void)
{
    g_autoptr(GString) out = g_string_new(NULL);

    isa_set_irq(4, true);
    g_assert_cmpuint(last_gsi, ==, 4);
    g_assert_true(last_level);
    isa_set_irq(4, true);
    isa_set_irq(4, false);
    g_assert_false(last_level);
    isa_set_irq(4, true);
    isa_set_irq(4, false);
    isa_set_irq(9, true);
    isa_set_irq(16, true); /* there is none: ignored */
    g_assert_cmpuint(last_gsi, ==, 9);
    isa_irq_info(out);
    g_assert_cmpstr(out->str, ==, " 4: 2\n 9: 1 (high)\n");
}

/* ---- memory backends ---- */

static MemoryBackend *backend(const char *text, Error **errp)
{
    bool is_json;
    json_object *opts = options_parse(text, "qom-type", &is_json, NULL, errp);
    Object *obj = opts ? user_object_new(opts, errp) : NULL;

    json_object_put(opts);
    return obj ? MEMORY_BACKEND(obj) : NULL;
}

static void backend_fails(const char *text, const char *expected)
{
    Error *err = NULL;

    g_assert_null(backend(text, &err));
    g_assert_true(g_str_has_prefix(err->message, expected));
    g_error_free(err);
    g_assert_null(user_object_find("m", TYPE_MEMORY_BACKEND));
}

static void test_backend_ram(void)
{
    Error *err = NULL;
    MemoryBackend *mb =
        backend("memory-backend-ram,id=m,size=4M,prealloc=on,dump=off", &err);

    g_assert_no_error(err);
    g_assert_cmpuint(mb->size, ==, 4 * MiB);
    g_assert_cmpint(mb->fd, ==, -1);
    g_assert_cmpuint((uintptr_t)mb->host % (2 * MiB), ==, 0);
    mb->host[mb->size - 1] = 1;
    g_assert_true(memory_backend_find("m", &err) == mb);
    g_assert_null(memory_backend_find("n", &err));
    g_clear_error(&err);
    g_assert_true(memory_backend_claim(mb, "machine", &err));
    g_assert_false(memory_backend_claim(mb, "other", &err));
    g_assert_cmpstr(err->message, ==,
                    "memory backend 'm' is in use by machine");
    g_clear_error(&err);
    g_assert_false(user_object_del("m", &err));
    g_clear_error(&err);
    object_unparent(OBJECT(mb));
    backend_fails("memory-backend-ram,id=m", "Parameter 'size' is missing");
    backend_fails("memory-backend-ram,id=m,size=5000",
                  "Parameter 'size' expects a multiple of the page size");
    backend_fails("memory-backend-ram,id=m,size=0x7ffffffffffff000", "no room");
    backend_fails("memory-backend-ram,id=m,size=0xfffffffffffff000", "no room");
}

static void test_backend_default(void)
{
    Error *err = NULL;
    MemoryBackend *mb = memory_backend_new_default("pc.ram", 64 * GiB, &err);
    g_autofree char *path = NULL;

    g_assert_no_error(err);
    path = object_path(OBJECT(mb));
    g_assert_cmpstr(path, ==, "/machine/pc.ram");
    mb->host[64 * GiB - 1] = 1;
    object_unparent(OBJECT(mb));
}

static void test_backend_file(void)
{
    g_autofree char *dir = g_dir_make_tmp("qdev-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "ram", NULL);
    g_autofree char *text = g_strdup_printf(
        "memory-backend-file,id=m,size=1M,share=on,mem-path=%s", path);
    g_autofree char *bigger = g_strdup_printf(
        "memory-backend-file,id=m,size=2M,share=on,mem-path=%s", path);
    g_autofree char *folder =
        g_strdup_printf("memory-backend-file,id=m,size=1M,mem-path=%s", dir);
    g_autofree char *content = NULL;
    Error *err = NULL;
    MemoryBackend *mb = backend(text, &err);
    gsize len;

    g_assert_no_error(err);
    mb->host[3] = 'x';
    g_assert_true(user_object_del("m", &err));
    g_assert_true(g_file_get_contents(path, &content, &len, NULL));
    g_assert_cmpuint(len, ==, MiB);
    g_assert_cmpint(content[3], ==, 'x');
    backend_fails(bigger, "mem-path '");
    backend_fails("memory-backend-file,id=m,size=1M",
                  "Parameter 'mem-path' is missing");
    backend_fails("memory-backend-file,id=m,size=1M,mem-path=/nowhere/x",
                  "cannot open mem-path '/nowhere/x'");
    unlink(path);
    g_assert_nonnull(backend(folder, &err));
    g_assert_no_error(err);
    g_assert_true(user_object_del("m", &err));
    g_assert_cmpint(rmdir(dir), ==, 0); /* nothing was left in it */
}

static void test_backend_memfd(void)
{
    Error *err = NULL;
    MemoryBackend *mb = backend("memory-backend-memfd,id=m,size=2M", &err);
    struct stat st;

    g_assert_no_error(err);
    g_assert_true(mb->share);
    g_assert_cmpint(fstat(mb->fd, &st), ==, 0);
    g_assert_cmpint(st.st_size, ==, 2 * MiB);
    g_assert_cmpint(ftruncate(mb->fd, 0), ==, -1); /* sealed */
    g_assert_true(user_object_del("m", &err));
    backend_fails("memory-backend-memfd,id=m,size=2M,hugetlbsize=2M",
                  "hugetlbsize= needs hugetlb=on");
    backend_fails("memory-backend-memfd,id=m,size=2M,hugetlb=on,hugetlbsize=3M",
                  "Parameter 'hugetlbsize' expects a power of two");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/qdev/device/paths", test_device_paths);
    g_test_add_func("/qdev/device/errors", test_device_errors);
    g_test_add_func("/qdev/device/no-bus", test_no_bus);
    g_test_add_func("/qdev/device/full-bus", test_full_bus);
    g_test_add_func("/qdev/device/order", test_order);
    g_test_add_func("/qdev/device/unrealize-takes-children",
                    test_unrealize_takes_children);
    g_test_add_func("/qdev/device/delegated-property", test_delegated_property);
    g_test_add_func("/qdev/device/properties", test_device_properties);
    g_test_add_func("/qdev/isa-irq", test_isa_irq);
    g_test_add_func("/memory-backend/ram", test_backend_ram);
    g_test_add_func("/memory-backend/default", test_backend_default);
    g_test_add_func("/memory-backend/file", test_backend_file);
    g_test_add_func("/memory-backend/memfd", test_backend_memfd);
    /* Globals stay for the rest of the process: others set what they check. */
    g_test_add_func("/qdev/global", test_globals);
    return g_test_run();
}
