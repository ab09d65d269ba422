/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices: realizing, unrealizing, resetting. */
#include "util/osdep.h"
#include "hw/core/hotplug.h"

static void device_instance_finalize(Object *obj)
{
    DeviceState *dev = DEVICE(obj);

    g_free(dev->id);
    g_clear_pointer(&dev->child_buses, g_ptr_array_unref);
}

static json_object *realized_get(Object *obj, const Property *prop,
                                 Error **errp)
{
    return json_object_new_boolean(obj->realized);
}

static json_object *hotpluggable_get(Object *obj, const Property *prop,
                                     Error **errp)
{
    return json_object_new_boolean(device_hotpluggable(DEVICE(obj)));
}

static json_object *hotplugged_get(Object *obj, const Property *prop,
                                   Error **errp)
{
    return json_object_new_boolean(DEVICE(obj)->hotplugged);
}

static const PropertyInfo realized_info = { .type = "bool",
                                            .get = realized_get };
static const PropertyInfo hotpluggable_info = { .type = "bool",
                                                .get = hotpluggable_get };
static const PropertyInfo hotplugged_info = { .type = "bool",
                                              .get = hotplugged_get };

static const Property device_properties[] = {
    { .name = "realized", .info = &realized_info },
    { .name = "hotpluggable", .info = &hotpluggable_info },
    { .name = "hotplugged", .info = &hotplugged_info },
    PROP_END,
};

static void device_links(Object *obj, ObjectLinkFunc *func, void *opaque)
{
    const char *type = DEVICE_GET_CLASS(obj)->bus_type;

    if (type) {
        func("parent_bus", type, OBJECT(DEVICE(obj)->bus), opaque);
    }
}

static void device_class_init(ObjectClass *klass)
{
    klass->post_init = device_apply_globals;
    klass->links = device_links;
    DEVICE_CLASS(klass)->hotpluggable = true;
}

static const TypeInfo device_types[] = {
    {
        .name = TYPE_DEVICE,
        .parent = "object",
        .abstract = true,
        .instance_size = sizeof(DeviceState),
        .class_size = sizeof(DeviceClass),
        .class_init = device_class_init,
        .instance_finalize = device_instance_finalize,
        .properties = device_properties,
    },
};
DEFINE_TYPES(device_types)

const char *device_label(const DeviceState *dev)
{
    const Object *parent = dev->obj.parent;

    if (dev->id) {
        return dev->id;
    }
    /* A part goes by the name of the whole. */
    return parent && object_is(parent, TYPE_DEVICE)
               ? device_label((const DeviceState *)parent)
               : object_type_name(&dev->obj);
}

static bool check_bus(DeviceState *dev, BusState *bus, Error **errp)
{
    const char *wanted = DEVICE_GET_CLASS(dev)->bus_type;

    if (!wanted && bus) {
        error_setg(errp, "Device '%s' needs no bus, not '%s'",
                   object_type_name(OBJECT(dev)), bus->name);
        return false;
    }
    if (wanted && (!bus || !object_is(OBJECT(bus), wanted))) {
        error_setg(errp, "Device '%s' needs a bus of type %s%s%s",
                   object_type_name(OBJECT(dev)), wanted,
                   bus ? ", which is not " : "", bus ? bus->name : "");
        return false;
    }
    return true;
}

char *device_free_name(Object *parent)
{
    for (unsigned n = parent->children ? parent->children->len : 0;; n++) {
        g_autofree char *name = g_strdup_printf("device[%u]", n);

        if (!object_child(parent, name)) {
            return g_steal_pointer(&name);
        }
    }
}

static bool bus_attach(BusState *bus, DeviceState *dev, Error **errp)
{
    if (bus && bus->attach && !bus->attach(bus, dev, errp)) {
        return false;
    }
    dev->bus = bus;
    if (bus) {
        g_ptr_array_add(bus->devices, dev);
    }
    return true;
}

static void bus_detach(DeviceState *dev)
{
    BusState *bus = dev->bus;

    if (!bus) {
        return;
    }
    g_ptr_array_remove(bus->devices, dev);
    if (bus->detach) {
        bus->detach(bus, dev);
    }
    dev->bus = NULL;
}

/* Takes the buses of @dev, which are empty, out of the tree. */
static void MAIN_THREAD drop_child_buses(DeviceState *dev)
{
    for (guint i = dev->child_buses ? dev->child_buses->len : 0; i > 0; i--) {
        object_unparent(g_ptr_array_index(dev->child_buses, i - 1));
    }
    g_clear_pointer(&dev->child_buses, g_ptr_array_unref);
}

bool device_realize(DeviceState *dev, BusState *bus, Error **errp)
{
    DeviceClass *klass = DEVICE_GET_CLASS(dev);
    Object *obj = OBJECT(dev);
    bool adopted = !obj->parent;

    g_assert(!obj->realized);
    if (!check_bus(dev, bus, errp) || !bus_attach(bus, dev, errp)) {
        return false;
    }
    if (adopted) {
        Object *parent = object_container("/machine/unattached");
        g_autofree char *name = device_free_name(parent);

        object_add_child(parent, name, obj, NULL);
    }
    if (klass->realize && !klass->realize(dev, errp)) {
        drop_child_buses(dev);
        bus_detach(dev);
        if (adopted) {
            object_unparent(obj);
        }
        return false;
    }
    obj->realized = true;
    return true;
}

void device_unrealize(DeviceState *dev)
{
    DeviceClass *klass = DEVICE_GET_CLASS(dev);

    if (!OBJECT(dev)->realized) {
        return;
    }
    for (guint i = dev->child_buses ? dev->child_buses->len : 0; i > 0; i--) {
        BusState *bus = g_ptr_array_index(dev->child_buses, i - 1);

        for (guint n = bus->devices->len; n > 0; n--) {
            device_unrealize(g_ptr_array_index(bus->devices, n - 1));
        }
    }
    if (klass->unrealize) {
        klass->unrealize(dev);
    }
    drop_child_buses(dev);
    bus_detach(dev);
    OBJECT(dev)->realized = false;
}

void device_reset(DeviceState *dev)
{
    DeviceClass *klass = DEVICE_GET_CLASS(dev);

    if (klass->reset) {
        klass->reset(dev);
    }
    for (guint i = 0; dev->child_buses && i < dev->child_buses->len; i++) {
        BusState *bus = g_ptr_array_index(dev->child_buses, i);

        for (guint n = 0; n < bus->devices->len; n++) {
            device_reset(g_ptr_array_index(bus->devices, n));
        }
    }
}

/* Adds the devices in use at and below @obj to @list, but not the parts of a
 * device: those are its own business. */
static void list_devices(Object *obj, GPtrArray *list)
{
    if (object_is(obj, TYPE_DEVICE)) {
        if (obj->realized) {
            g_ptr_array_add(list, obj);
        }
        return;
    }
    for (guint i = 0; obj->children && i < obj->children->len; i++) {
        list_devices(g_ptr_array_index(obj->children, i), list);
    }
}

static GPtrArray *MAIN_THREAD all_devices(void)
{
    GPtrArray *list = g_ptr_array_new();

    list_devices(object_container("/machine"), list);
    return list;
}

void devices_reset_all(void)
{
    g_autoptr(GPtrArray) list = all_devices();

    for (guint i = 0; i < list->len; i++) {
        DeviceState *dev = g_ptr_array_index(list, i);

        if (DEVICE_GET_CLASS(dev)->reset) {
            DEVICE_GET_CLASS(dev)->reset(dev);
        }
    }
}

void devices_unrealize_all(void)
{
    g_autoptr(GPtrArray) list = all_devices();

    for (guint i = list->len; i > 0; i--) {
        device_unrealize(g_ptr_array_index(list, i - 1));
        object_unparent(g_ptr_array_index(list, i - 1));
    }
}

DeviceState *device_new_builtin(const char *type, BusState *bus, Error **errp)
{
    DeviceState *dev = DEVICE(object_new(type));
    Error *err = NULL;
    bool ok = device_realize(dev, bus, &err);

    object_unref(OBJECT(dev)); /* the tree has it */
    if (ok) {
        return dev;
    }
    if (!errp) {
        g_error("%s: %s", type, err->message);
    }
    error_propagate(errp, err);
    return NULL;
}
