/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Buses: making, finding, and giving devices a place. */
#include "util/osdep.h"
#include "hw/core/qdev.h"

static void bus_instance_init(Object *obj)
{
    BUS(obj)->devices = g_ptr_array_new();
}

static void bus_instance_finalize(Object *obj)
{
    BusState *bus = BUS(obj);

    g_ptr_array_unref(bus->devices);
    g_free(bus->name);
}

/* The devices on it, in the order they came. */
static void bus_links(Object *obj, ObjectLinkFunc *func, void *opaque)
{
    const BusState *bus = BUS(obj);

    for (guint i = 0; i < bus->devices->len; i++) {
        Object *dev = g_ptr_array_index(bus->devices, i);
        g_autofree char *name = g_strdup_printf("child[%u]", i);

        func(name, object_type_name(dev), dev, opaque);
    }
}

static void bus_class_init(ObjectClass *klass)
{
    klass->links = bus_links;
}

static const TypeInfo bus_types[] = {
    {
        .name = TYPE_BUS,
        .parent = "object",
        .abstract = true,
        .instance_size = sizeof(BusState),
        .class_init = bus_class_init,
        .instance_init = bus_instance_init,
        .instance_finalize = bus_instance_finalize,
    },
};
DEFINE_TYPES(bus_types)

BusState *bus_new(const char *type, const char *name, DeviceState *owner)
{
    Object *obj = object_new(type);
    BusState *bus = BUS(obj);
    Object *parent =
        owner ? OBJECT(owner) : object_container("/machine/unattached");

    bus->name = g_strdup(name);
    bus->owner = owner;
    object_add_child(parent, name, obj, NULL);
    if (owner) {
        if (!owner->child_buses) {
            owner->child_buses = g_ptr_array_new();
        }
        g_ptr_array_add(owner->child_buses, bus);
    }
    object_unref(obj); /* the tree has it */
    return bus;
}

static void MAIN_THREAD
visit_buses(Object *obj, void (*func)(BusState *, void *), void *opaque)
{
    if (object_is(obj, TYPE_BUS)) {
        func(BUS(obj), opaque);
    }
    for (guint i = 0; obj->children && i < obj->children->len; i++) {
        visit_buses(g_ptr_array_index(obj->children, i), func, opaque);
    }
}

void bus_foreach(void (*func)(BusState *, void *), void *opaque)
{
    visit_buses(object_container("/machine"), func, opaque);
}

typedef struct BusSearch {
    const char *name, *type;
    BusState *found;
} BusSearch;

static void match_bus(BusState *bus, void *opaque)
{
    BusSearch *search = opaque;

    if (!search->found &&
        (search->name ? strcmp(bus->name, search->name) == 0
                      : object_is(OBJECT(bus), search->type))) {
        search->found = bus;
    }
}

BusState *bus_find(const char *name, const char *type)
{
    BusSearch search = { .name = name, .type = type };

    bus_foreach(match_bus, &search);
    return search.found;
}
