/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Properties as QMP lists them, and as help prints them. */
#include "util/osdep.h"
#include "qapi/qapi-visit.h"
#include "qom/object-info.h"

/* Where properties are collected, and which. */
typedef struct Listing {
    ObjectPropertyInfoList *out;
    bool describe; /* with description and default */
    Object *obj;   /* whose values are the defaults; NULL: an abstract type */
    Object *front; /* that delegates to @obj; NULL: lists its own */
} Listing;

static ObjectPropertyInfo *append(ObjectPropertyInfoList *out, const char *name,
                                  char *type)
{
    ObjectPropertyInfo *info;

    out->v = g_renew(ObjectPropertyInfo, out->v, out->n + 1);
    info = &out->v[out->n++];
    *info = (ObjectPropertyInfo){ .name = g_strdup(name), .type = type };
    return info;
}

/* What @prop of a new object is; NULL: nothing, or the device chooses later,
 * for which all ones stands in a number. */
static json_object *MAIN_THREAD default_value(Object *obj, const Property *prop)
{
    json_object *value =
        obj && prop->info->set && prop->info->set_default && prop->info->get
            ? prop->info->get(obj, prop, NULL)
            : NULL;
    bool unset = json_object_is_type(value, json_type_string)
                     ? !*json_object_get_string(value)
                     : json_object_is_type(value, json_type_int) &&
                           json_object_get_int64(value) == UINT32_MAX;

    if (unset) {
        json_object_put(value);
        return NULL;
    }
    return value;
}

static void MAIN_THREAD add_property(const Property *prop, void *opaque)
{
    const Listing *l = opaque;
    ObjectPropertyInfo *info;

    if (l->front) {
        const ObjectClass *klass = l->front->klass;

        /* Its own come first, and it need not pass on every name. */
        if (object_class_property_find(l->front->klass, prop->name) ||
            klass->delegate(l->front, prop->name) != l->obj) {
            return;
        }
    }
    info = append(l->out, prop->name, g_strdup(prop->info->type));
    if (l->describe) {
        info->description = g_strdup(prop->description);
        info->default_value = default_value(l->obj, prop);
    }
}

/* Properties that @obj passes on to its children. */
static void MAIN_THREAD add_delegated(Object *obj, Listing *l)
{
    l->front = obj;
    for (guint i = 0;
         obj->klass->delegate && obj->children && i < obj->children->len; i++) {
        l->obj = g_ptr_array_index(obj->children, i);
        object_class_property_foreach(l->obj->klass, add_property, l);
    }
}

static void add_link(const char *name, const char *type, Object *target,
                     void *opaque)
{
    append(opaque, name, g_strdup_printf("link<%s>", type));
}

static void MAIN_THREAD add_objects(Object *obj, ObjectPropertyInfoList *out)
{
    for (guint i = 0; obj->children && i < obj->children->len; i++) {
        const Object *child = g_ptr_array_index(obj->children, i);

        append(out, child->name,
               g_strdup_printf("child<%s>", object_type_name(child)));
    }
    if (obj->klass->links) {
        obj->klass->links(obj, add_link, out);
    }
}

void object_list_properties(Object *obj, ObjectPropertyInfoList *out)
{
    Listing l = { .out = out, .obj = obj };

    object_class_property_foreach_all(obj->klass, add_property, &l);
    add_delegated(obj, &l);
    add_objects(obj, out);
}

static int compare_infos(const void *a, const void *b)
{
    return strcmp(((const ObjectPropertyInfo *)a)->name,
                  ((const ObjectPropertyInfo *)b)->name);
}

void object_class_list_properties(ObjectClass *klass, bool options,
                                  ObjectPropertyInfoList *out)
{
    Object *obj = object_class_is_abstract(klass)
                      ? NULL
                      : object_new(object_class_name(klass));
    Listing l = { .out = out, .describe = true, .obj = obj };

    if (options) {
        object_class_property_foreach(klass, add_property, &l);
    } else {
        object_class_property_foreach_all(klass, add_property, &l);
    }
    if (obj) {
        add_delegated(obj, &l);
    }
    if (obj && !options) {
        add_objects(obj, out);
    }
    if (options && out->n > 0) {
        qsort(out->v, out->n, sizeof(*out->v), compare_infos);
    }
    object_unref(obj);
}

/* "  NAME=<TYPE>           - DESCRIPTION  (default: VALUE)" */
static void print_option(const ObjectPropertyInfo *info)
{
    g_autofree char *left =
        g_strdup_printf("  %s=<%s>", info->name, info->type);
    const char *value = json_object_get_string(info->default_value);

    if (json_object_is_type(info->default_value, json_type_boolean)) {
        value = json_object_get_boolean(info->default_value) ? "on" : "off";
    }
    printf("%-24s ", left);
    if (info->description) {
        printf("- %s", info->description);
    }
    if (value) {
        printf("%s(default: %s)", info->description ? "  " : "- ", value);
    }
    printf("\n");
}

void object_class_print_options(ObjectClass *klass, const char *title)
{
    ObjectPropertyInfoList list = { 0 };

    object_class_list_properties(klass, true, &list);
    printf("%s options:\n", title);
    for (size_t i = 0; i < list.n; i++) {
        print_option(&list.v[i]);
    }
    qapi_free_contents(&qapi_type_ObjectPropertyInfoList, &list);
}
