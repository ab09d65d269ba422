/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `info` about the tree of devices and the tree of objects. */
#include "util/osdep.h"
#include "hw/core/qdev.h"
#include "monitor/hmp-info.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"

/* ---- qtree ---- */

typedef struct QtreeState {
    DeviceState *dev;
    int indent;
    GString *out;
} QtreeState;

static void MAIN_THREAD qtree_bus(BusState *bus, int indent, GString *out);
static void MAIN_THREAD qtree_device(DeviceState *dev, int indent,
                                     GString *out);

static void qtree_property(const Property *prop, void *opaque)
{
    const QtreeState *state = opaque;
    json_object *value;

    if (!prop->info->get) {
        return;
    }
    value = prop->info->get(OBJECT(state->dev), prop, NULL);
    g_string_append_printf(
        state->out, "%*s%s = %s\n", state->indent, "", prop->name,
        value ? json_object_to_json_string_ext(
                    value,
                    JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)
              : "null");
    json_object_put(value);
}

/* What the bus says of @dev's place, each line indented. */
static void MAIN_THREAD qtree_place(DeviceState *dev, int indent, GString *out)
{
    g_autoptr(GString) text = g_string_new(NULL);
    g_auto(GStrv) lines = NULL;

    if (!dev->bus || !dev->bus->info) {
        return;
    }
    dev->bus->info(dev->bus, dev, text);
    lines = g_strsplit(text->str, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (**line) {
            g_string_append_printf(out, "%*s%s\n", indent, "", *line);
        }
    }
}

/* Devices that are parts of @dev: the virtio device behind a PCI function. */
static void MAIN_THREAD qtree_parts(DeviceState *dev, int indent, GString *out)
{
    const GPtrArray *children = OBJECT(dev)->children;

    for (guint i = 0; children && i < children->len; i++) {
        Object *child = g_ptr_array_index(children, i);

        if (object_is(child, TYPE_DEVICE)) {
            qtree_device(DEVICE(child), indent, out);
        }
    }
}

static void MAIN_THREAD qtree_device(DeviceState *dev, int indent, GString *out)
{
    QtreeState state = { dev, indent + 2, out };

    g_string_append_printf(out, "%*sdev: %s, id \"%s\"\n", indent, "",
                           object_type_name(OBJECT(dev)),
                           dev->id ? dev->id : "");
    object_class_property_foreach(OBJECT(dev)->klass, qtree_property, &state);
    qtree_place(dev, indent + 2, out);
    qtree_parts(dev, indent + 2, out);
    for (guint i = 0; dev->child_buses && i < dev->child_buses->len; i++) {
        qtree_bus(g_ptr_array_index(dev->child_buses, i), indent + 2, out);
    }
}

static void MAIN_THREAD qtree_bus(BusState *bus, int indent, GString *out)
{
    g_string_append_printf(out, "%*sbus: %s\n%*stype %s\n", indent, "",
                           bus->name, indent + 2, "",
                           object_type_name(OBJECT(bus)));
    for (guint i = 0; i < bus->devices->len; i++) {
        qtree_device(g_ptr_array_index(bus->devices, i), indent + 2, out);
    }
}

/* The buses of the machine itself; the others hang on their devices. */
static void qtree_root_bus(BusState *bus, void *opaque)
{
    machine_lock_assert();
    if (!bus->owner) {
        qtree_bus(bus, 2, opaque);
    }
}

static void MAIN_THREAD qtree_busless(Object *obj, GString *out)
{
    if (object_is(obj, TYPE_DEVICE)) {
        if (obj->realized && !DEVICE(obj)->bus) {
            qtree_device(DEVICE(obj), 2, out);
        }
        return;
    }
    for (guint i = 0; obj->children && i < obj->children->len; i++) {
        qtree_busless(g_ptr_array_index(obj->children, i), out);
    }
}

bool hmp_info_qtree(const HmpArgs *args, GString *out, Error **errp)
{
    g_string_append(out, "bus: main-system-bus\n  type System\n");
    qtree_busless(object_container("/machine"), out);
    bus_foreach(qtree_root_bus, out);
    return true;
}

/* ---- qom-tree ---- */

#define TREE_DEPTH_MAX 32

static void MAIN_THREAD qom_tree(const Object *obj, int depth, GString *out)
{
    g_string_append_printf(out, "%*s/%s (%s)\n", 2 * depth, "",
                           obj->name ? obj->name : "", object_type_name(obj));
    for (guint i = 0;
         depth < TREE_DEPTH_MAX && obj->children && i < obj->children->len;
         i++) {
        qom_tree(g_ptr_array_index(obj->children, i), depth + 1, out);
    }
}

bool hmp_info_qom_tree(const HmpArgs *args, GString *out, Error **errp)
{
    const char *path = args->arg[0].given ? args->arg[0].text : "/machine";
    const Object *obj = object_resolve(path);
    g_autofree char *shown = NULL;

    if (obj) {
        qom_tree(obj, 0, out);
        return true;
    }
    shown = qapi_quote(path);
    error_set_class(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
                    "there is no object '%s'", shown);
    return false;
}
