/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP on objects and types: qom-*, object-add, object-del. */
#include "util/osdep.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "qom/object-info.h"

bool qmp_qom_list(const q_obj_qom_list_arg *arg, ObjectPropertyInfoList *ret,
                  Error **errp)
{
    Object *obj = object_lookup(arg->path, errp);

    if (obj) {
        object_list_properties(obj, ret);
    }
    return obj != NULL;
}

bool qmp_qom_get(const q_obj_qom_get_arg *arg, json_object **ret, Error **errp)
{
    Object *obj = object_lookup(arg->path, errp);
    Error *err = NULL;

    if (!obj) {
        return false;
    }
    /* A value may be JSON's null, which is no failure. */
    *ret = object_property_get(obj, arg->property, &err);
    if (err) {
        error_propagate(errp, err);
        return false;
    }
    return true;
}

bool qmp_qom_set(const q_obj_qom_set_arg *arg, Error **errp)
{
    Object *obj = object_lookup(arg->path, errp);

    return obj && object_property_set(obj, arg->property, arg->value, errp);
}

static void add_type(ObjectClass *klass, void *opaque)
{
    ObjectTypeInfoList *list = opaque;
    bool abstract = object_class_is_abstract(klass);

    list->v = g_renew(ObjectTypeInfo, list->v, list->n + 1);
    list->v[list->n++] = (ObjectTypeInfo){
        .name = g_strdup(object_class_name(klass)),
        .has_abstract = abstract,
        .abstract = abstract,
        .parent = g_strdup(klass->info->parent),
    };
}

bool qmp_qom_list_types(const q_obj_qom_list_types_arg *arg,
                        ObjectTypeInfoList *ret, Error **errp)
{
    object_class_foreach(arg->implements, arg->has_abstract && arg->abstract,
                         add_type, ret);
    return true;
}

bool qmp_qom_list_properties(const q_obj_qom_list_properties_arg *arg,
                             ObjectPropertyInfoList *ret, Error **errp)
{
    ObjectClass *klass = object_class_lookup(arg->typename, "Class", errp);

    if (klass) {
        object_class_list_properties(klass, false, ret);
    }
    return klass != NULL;
}

bool qmp_object_add(const ObjectOptions *arg, Error **errp)
{
    json_object *opts = qapi_to_json(&qapi_type_ObjectOptions, arg);
    bool ok = user_object_new(opts, errp) != NULL;

    json_object_put(opts);
    return ok;
}

bool qmp_object_del(const q_obj_object_del_arg *arg, Error **errp)
{
    return user_object_del(arg->id, errp);
}
