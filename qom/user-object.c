/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Objects that the user makes: -object, object-add. */
#include "util/osdep.h"
#include "qapi/qapi-visit.h"
#include "qom/object.h"

#define USER_CREATABLE "user-creatable"

bool id_wellformed(const char *id)
{
    if (!g_ascii_isalpha(*id)) {
        return false;
    }
    for (const char *p = id; *p; p++) {
        if (!g_ascii_isalnum(*p) && !strchr("-._", *p)) {
            return false;
        }
    }
    return true;
}

bool id_check(const char *id, Error **errp)
{
    g_autofree char *shown = NULL;

    if (id_wellformed(id)) {
        return true;
    }
    shown = qapi_quote(id);
    error_setg(errp,
               "Parameter 'id' expects an identifier, a letter and then "
               "letters, digits, '-', '.', '_', not '%s'",
               shown);
    return false;
}

/* The string member @name of @opts; NULL and *errp when it is missing or no
 * string. */
static const char *string_member(json_object *opts, const char *name,
                                 Error **errp)
{
    json_object *value;

    if (!json_object_object_get_ex(opts, name, &value)) {
        error_setg(errp, "Parameter '%s' is missing", name);
        return NULL;
    }
    if (!json_object_is_type(value, json_type_string)) {
        error_setg(errp, "Invalid parameter type for '%s', expected: string",
                   name);
        return NULL;
    }
    return json_object_get_string(value);
}

static ObjectClass *user_class(const char *type, Error **errp)
{
    ObjectClass *klass = object_class_by_name(type);

    if (!klass || !object_class_is(klass, USER_CREATABLE) ||
        object_class_is_abstract(klass)) {
        g_autofree char *shown = qapi_quote(type);

        error_setg(errp,
                   "Parameter 'qom-type' does not accept value '%s' "
                   "(-object help lists the types)",
                   shown);
        return NULL;
    }
    return klass;
}

static bool MAIN_THREAD check_id(const char *id, Error **errp)
{
    if (!id_check(id, errp)) {
        return false;
    }
    if (object_child(object_container("/objects"), id)) {
        error_setg(errp, "Duplicate ID '%s' for object; give each its own", id);
        return false;
    }
    return true;
}

Object *user_object_new(json_object *opts, Error **errp)
{
    static const char *const skip[] = { "qom-type", "id", NULL };
    const char *type = string_member(opts, "qom-type", errp);
    ObjectClass *klass = type ? user_class(type, errp) : NULL;
    const char *id = klass ? string_member(opts, "id", errp) : NULL;
    Object *obj;

    if (!id || !check_id(id, errp)) {
        return NULL;
    }
    obj = object_new(object_class_name(klass));
    if (!object_options_set(obj, opts, skip, "object", errp)) {
        goto unref;
    }
    /* In the tree before complete(), which may want the name. */
    object_add_child(object_container("/objects"), id, obj, NULL);
    if (klass->complete && !klass->complete(obj, errp)) {
        object_unparent(obj);
        goto unref;
    }
    obj->realized = true;
    object_unref(obj); /* the tree has it */
    return obj;

unref:
    object_unref(obj);
    return NULL;
}

bool user_object_del(const char *id, Error **errp)
{
    Object *obj = object_child(object_container("/objects"), id);

    if (!obj) {
        g_autofree char *shown = qapi_quote(id);

        error_setg(errp, "object '%s' not found", shown);
        return false;
    }
    if (obj->klass->can_delete && !obj->klass->can_delete(obj, errp)) {
        return false;
    }
    object_unparent(obj);
    return true;
}

Object *user_object_find(const char *id, const char *type)
{
    Object *obj = object_child(object_container("/objects"), id);

    return obj && object_is(obj, type) ? obj : NULL;
}
