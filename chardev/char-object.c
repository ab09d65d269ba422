/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Character devices in the tree of objects: /chardevs/ID. */
#include "util/osdep.h"

#include "chardev/char-internal.h"
#include "qom/object.h"

#define TYPE_CHARDEV "chardev"

typedef struct ChardevObject {
    Object obj;
    const Chardev *chr; /* NULL: not in the tree */
} ChardevObject;

static json_object *connected_get(Object *obj, const Property *prop,
                                  Error **errp)
{
    const Chardev *chr = OBJECT_CAST(ChardevObject, obj)->chr;

    return json_object_new_boolean(chr && chr->open);
}

static const PropertyInfo connected_info = { .type = "bool",
                                             .get = connected_get };

static const Property socket_properties[] = {
    { .name = "connected",
      .info = &connected_info,
      .description = "a peer is there" },
    PROP_END,
};

static const TypeInfo chardev_types[] = {
    {
        .name = TYPE_CHARDEV,
        .parent = "object",
        .abstract = true,
        .instance_size = sizeof(ChardevObject),
    },
};
DEFINE_TYPES(chardev_types)

/* A type for each kind; they live as long as the process. */
static void register_kinds(void)
{
    static TypeInfo types[CHARDEV_BACKEND_KIND__MAX];

    for (int kind = 0; kind < CHARDEV_BACKEND_KIND__MAX; kind++) {
        types[kind] = (TypeInfo){
            .name = g_strdup_printf(TYPE_CHARDEV "-%s",
                                    ChardevBackendKind_str(kind)),
            .parent = TYPE_CHARDEV,
            .properties =
                kind == CHARDEV_BACKEND_KIND_SOCKET ? socket_properties : NULL,
        };
        type_register(&types[kind]);
    }
}
TYPE_INIT(register_kinds)

void chardev_object_add(Chardev *chr, ChardevBackendKind kind)
{
    g_autofree char *type =
        g_strdup_printf(TYPE_CHARDEV "-%s", ChardevBackendKind_str(kind));
    Object *obj = object_new(type);

    OBJECT_CAST(ChardevObject, obj)->chr = chr;
    object_add_child(object_container("/chardevs"), chr->id, obj, NULL);
    object_unref(obj); /* the tree has it */
    chr->object = obj;
}

void chardev_object_remove(Chardev *chr)
{
    if (chr->object) {
        OBJECT_CAST(ChardevObject, chr->object)->chr = NULL;
        object_unparent(chr->object);
        chr->object = NULL;
    }
}
