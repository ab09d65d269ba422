/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Devices that come and go while the machine exists. */
#include "util/osdep.h"
#include "hw/core/hotplug.h"
#include "hw/core/machine.h"
#include "qapi/qapi-events.h"
#include "qapi/qapi-visit.h"

void hotplug_begin(void)
{
    machine_current()->made = true;
}

bool hotplug_begun(void)
{
    const MachineState *machine = machine_current();

    return machine && machine->made;
}

/* ---- what may come and go ---- */

bool device_hotpluggable(const DeviceState *dev)
{
    return DEVICE_GET_CLASS(dev)->hotpluggable && dev->bus &&
           dev->bus->hotpluggable;
}

/* The same of a type and a bus, with the reason. */
static bool check_hotpluggable(const ObjectClass *klass, const BusState *bus,
                               Error **errp)
{
    if (!OBJECT_CLASS_CAST(const DeviceClass, klass)->hotpluggable || !bus) {
        error_setg(errp,
                   "Device '%s' does not support hotplugging: it stays for "
                   "the life of the machine",
                   object_class_name(klass));
        return false;
    }
    if (!bus->hotpluggable) {
        error_setg(errp,
                   "Bus '%s' does not support hotplugging: devices of type "
                   "'%s' have to be there from the start (-device)",
                   bus->name, object_class_name(klass));
        return false;
    }
    return true;
}

bool device_check_hotplug(ObjectClass *klass, const BusState *bus, Error **errp)
{
    return !hotplug_begun() || check_hotpluggable(klass, bus, errp);
}

void device_plugged(DeviceState *dev)
{
    const BusState *bus = dev->bus;

    if (dev->hotplugged && bus && bus->hotplug) {
        bus->hotplug->plugged(bus->hotplug_opaque, dev);
    }
}

/* ---- going ---- */

/* The device whose id or path is @id. */
static DeviceState *MAIN_THREAD find_device(const char *id, Error **errp)
{
    Object *obj = id[0] == '/' ? object_resolve(id) : OBJECT(device_find(id));
    g_autofree char *shown = qapi_quote(id);

    if (!obj) {
        error_set_class(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
                        "Device '%s' not found", shown);
        return NULL;
    }
    if (!object_is(obj, TYPE_DEVICE) || !obj->realized) {
        error_setg(errp, "'%s' is not a hotpluggable device", shown);
        return NULL;
    }
    return DEVICE(obj);
}

bool device_del(const char *id, Error **errp)
{
    DeviceState *dev = find_device(id, errp);
    const BusState *bus = dev ? dev->bus : NULL;

    if (!dev || !check_hotpluggable(OBJECT(dev)->klass, bus, errp) ||
        !bus->hotplug->unplug_request(bus->hotplug_opaque, dev, errp)) {
        return false;
    }
    dev->unplug_pending = true;
    return true;
}

/* Adds the paths of the devices at and below @obj, parts first, to @paths. */
static void MAIN_THREAD collect_paths(Object *obj, GPtrArray *paths)
{
    for (guint i = 0; obj->children && i < obj->children->len; i++) {
        collect_paths(g_ptr_array_index(obj->children, i), paths);
    }
    if (object_is(obj, TYPE_DEVICE)) {
        g_ptr_array_add(paths, object_path(obj));
    }
}

void device_unplug(DeviceState *dev)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *id = g_strdup(dev->id);

    collect_paths(OBJECT(dev), paths);
    device_unrealize(dev);
    object_unparent(OBJECT(dev));
    /* Whoever hears of it may use its id and its netdev again. */
    for (guint i = 0; i < paths->len; i++) {
        q_obj_DEVICE_DELETED_arg event = {
            .device = i + 1 == paths->len ? id : NULL,
            .path = g_ptr_array_index(paths, i),
        };

        qapi_event_send_device_deleted(&event);
    }
}

void device_unplug_refused(DeviceState *dev)
{
    g_autofree char *path = object_path(OBJECT(dev));
    q_obj_DEVICE_UNPLUG_GUEST_ERROR_arg event = { .device = dev->id,
                                                  .path = path };

    dev->unplug_pending = false;
    qapi_event_send_device_unplug_guest_error(&event);
}
