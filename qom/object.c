/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Types, classes, the life of an object, and the tree of names. */
#include "util/osdep.h"
#include "qapi/qapi-visit.h"
#include "qom/object.h"

/* Names in a path that a client gives, at most; the tree is not so deep. */
#define PATH_NAMES_MAX 256

/* A registered type. The class is made when it is first asked for. */
typedef struct Type {
    const TypeInfo *info;
    ObjectClass *klass;
    size_t instance_size, class_size;
} Type;

/* Filled by constructors before main(): by name, and by alias. */
static GHashTable *types;
static GHashTable *aliases;

static Object *root;

void type_register(const TypeInfo *info)
{
    Type *type = g_new0(Type, 1);

    if (!types) {
        types = g_hash_table_new(g_str_hash, g_str_equal);
        aliases = g_hash_table_new(g_str_hash, g_str_equal);
    }
    type->info = info;
    g_assert(!g_hash_table_contains(types, info->name));
    g_hash_table_insert(types, (void *)info->name, type);
    if (info->alias) {
        g_hash_table_insert(aliases, (void *)info->alias, type);
    }
}

static Type *type_find(const char *name)
{
    Type *type = types ? g_hash_table_lookup(types, name) : NULL;

    return type || !types ? type : g_hash_table_lookup(aliases, name);
}

static size_t size_or(size_t own, size_t inherited, size_t least)
{
    return own ? own : inherited ? inherited : least;
}

/* The class of @type: a copy of its parent's, changed by its class_init. */
static ObjectClass *type_class(Type *type)
{
    const TypeInfo *info = type->info;
    Type *parent = info->parent ? type_find(info->parent) : NULL;
    ObjectClass *klass;

    if (type->klass) {
        return type->klass;
    }
    g_assert(!info->parent || parent);
    if (parent) {
        type_class(parent);
    }
    type->instance_size =
        size_or(info->instance_size, parent ? parent->instance_size : 0,
                sizeof(Object));
    type->class_size = size_or(
        info->class_size, parent ? parent->class_size : 0, sizeof(ObjectClass));
    klass = g_malloc0(type->class_size);
    if (parent) {
        g_assert(type->class_size >= parent->class_size);
        memcpy(klass, parent->klass, parent->class_size);
    }
    klass->info = info;
    klass->parent = parent ? parent->klass : NULL;
    type->klass = klass;
    if (info->class_init) {
        info->class_init(klass);
    }
    return klass;
}

ObjectClass *object_class_by_name(const char *name)
{
    Type *type = type_find(name);

    return type ? type_class(type) : NULL;
}

ObjectClass *object_class_lookup(const char *name, const char *what,
                                 Error **errp)
{
    ObjectClass *klass = object_class_by_name(name);

    if (!klass) {
        g_autofree char *shown = qapi_quote(name);

        error_set_class(errp, ERROR_CLASS_DEVICE_NOT_FOUND, "%s '%s' not found",
                        what, shown);
    }
    return klass;
}

const char *object_class_name(const ObjectClass *klass)
{
    return klass->info->name;
}

static bool has_interface(const TypeInfo *info, const char *name)
{
    return info->interfaces && g_strv_contains(info->interfaces, name);
}

bool object_class_is(const ObjectClass *klass, const char *type)
{
    for (; klass; klass = klass->parent) {
        if (strcmp(klass->info->name, type) == 0 ||
            has_interface(klass->info, type)) {
            return true;
        }
    }
    return false;
}

bool object_class_is_abstract(const ObjectClass *klass)
{
    return klass->info->abstract;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void object_class_foreach(const char *type, bool include_abstract,
                          void (*func)(ObjectClass *, void *), void *opaque)
{
    guint n;
    g_autofree gpointer *names = g_hash_table_get_keys_as_array(types, &n);

    qsort(names, n, sizeof(*names), compare_names);
    for (guint i = 0; i < n; i++) {
        ObjectClass *klass = object_class_by_name(names[i]);

        if ((!type || object_class_is(klass, type)) &&
            (include_abstract || !klass->info->abstract)) {
            func(klass, opaque);
        }
    }
}

/* ---- objects ---- */

/* Inherited properties come first, so that a subclass has the last word. */
static void set_defaults(Object *obj, const ObjectClass *klass)
{
    const Property *p = klass->info->properties;

    if (klass->parent) {
        set_defaults(obj, klass->parent);
    }
    for (; p && p->name; p++) {
        if (p->info->set_default) {
            p->info->set_default(obj, p);
        }
    }
}

static void run_instance_init(Object *obj, const ObjectClass *klass)
{
    if (klass->parent) {
        run_instance_init(obj, klass->parent);
    }
    if (klass->info->instance_init) {
        klass->info->instance_init(obj);
    }
}

Object *object_new(const char *name)
{
    Type *type = type_find(name);
    ObjectClass *klass = type ? type_class(type) : NULL;
    Object *obj;

    g_assert(klass && !klass->info->abstract);
    obj = g_malloc0(type->instance_size);
    obj->klass = klass;
    obj->ref = 1;
    set_defaults(obj, klass);
    run_instance_init(obj, klass);
    if (klass->post_init) {
        klass->post_init(obj);
    }
    return obj;
}

Object *object_ref(Object *obj)
{
    obj->ref++;
    return obj;
}

static void MAIN_THREAD object_finalize(Object *obj)
{
    while (obj->children && obj->children->len > 0) {
        object_unparent(
            g_ptr_array_index(obj->children, obj->children->len - 1));
    }
    for (ObjectClass *k = obj->klass; k; k = k->parent) {
        if (k->info->instance_finalize) {
            k->info->instance_finalize(obj);
        }
    }
    for (ObjectClass *k = obj->klass; k; k = k->parent) {
        for (const Property *p = k->info->properties; p && p->name; p++) {
            if (p->info->release) {
                p->info->release(obj, p);
            }
        }
    }
    g_clear_pointer(&obj->children, g_ptr_array_unref);
    g_free(obj->name);
    g_free(obj);
}

void object_unref(Object *obj)
{
    if (obj && --obj->ref == 0) {
        object_finalize(obj);
    }
}

const char *object_type_name(const Object *obj)
{
    return obj->klass->info->name;
}

bool object_is(const Object *obj, const char *type)
{
    return object_class_is(obj->klass, type);
}

/* ---- the tree ---- */

static json_object *type_get(Object *obj, const Property *prop, Error **errp)
{
    return json_object_new_string(object_type_name(obj));
}

static const PropertyInfo type_info = { .type = "string", .get = type_get };

static const Property object_properties[] = {
    { .name = "type", .info = &type_info },
    PROP_END,
};

static const TypeInfo base_types[] = {
    { .name = "object", .abstract = true, .properties = object_properties },
    { .name = "container", .parent = "object" },
};
DEFINE_TYPES(base_types)

Object *object_child(Object *parent, const char *name)
{
    for (guint i = 0; parent->children && i < parent->children->len; i++) {
        Object *child = g_ptr_array_index(parent->children, i);

        if (strcmp(child->name, name) == 0) {
            return child;
        }
    }
    return NULL;
}

bool object_add_child(Object *parent, const char *name, Object *child,
                      Error **errp)
{
    if (child->parent) {
        error_setg(errp, "object '%s' is in the tree already, as '%s'", name,
                   child->name);
        return false;
    }
    if (object_child(parent, name)) {
        g_autofree char *path = object_path(parent);

        error_setg(errp, "there is an object '%s' in '%s' already", name,
                   path ? path : object_type_name(parent));
        return false;
    }
    if (!parent->children) {
        parent->children = g_ptr_array_new();
    }
    g_ptr_array_add(parent->children, object_ref(child));
    child->parent = parent;
    child->name = g_strdup(name);
    return true;
}

void object_unparent(Object *child)
{
    Object *parent = child->parent;

    if (parent) {
        g_ptr_array_remove(parent->children, child);
        child->parent = NULL;
        g_clear_pointer(&child->name, g_free);
        object_unref(child);
    }
}

Object *object_root(void)
{
    if (!root) {
        root = object_new("container");
    }
    return root;
}

Object *object_container(const char *path)
{
    g_auto(GStrv) part = g_strsplit(path, "/", -1);
    Object *obj = object_root();

    for (char **p = part; *p; p++) {
        Object *child;

        if (**p == '\0') {
            continue;
        }
        child = object_child(obj, *p);
        if (!child) {
            child = object_new("container");
            object_add_child(obj, *p, child, NULL);
            object_unref(child); /* the tree has it */
        }
        obj = child;
    }
    return obj;
}

char *object_path(const Object *obj)
{
    g_autoptr(GString) path = g_string_new(NULL);

    if (obj == root && root) {
        return g_strdup("/");
    }
    for (; obj->parent; obj = obj->parent) {
        g_string_prepend(path, obj->name);
        g_string_prepend_c(path, '/');
    }
    return obj == root ? g_string_free(g_steal_pointer(&path), FALSE) : NULL;
}

typedef struct LinkSearch {
    const char *name;
    Object *target;
    bool found;
} LinkSearch;

static void match_link(const char *name, const char *type, Object *target,
                       void *opaque)
{
    LinkSearch *search = opaque;

    if (strcmp(name, search->name) == 0) {
        search->target = target;
        search->found = true;
    }
}

bool object_link(Object *obj, const char *name, Object **target)
{
    LinkSearch search = { .name = name, .target = object_child(obj, name) };

    if (!search.target && obj->klass->links) {
        obj->klass->links(obj, match_link, &search);
    }
    *target = search.target;
    return search.target || search.found;
}

/* The object that the names @part lead to from @obj, or NULL. */
static Object *MAIN_THREAD descend(Object *obj, char *const *part)
{
    for (; obj && *part; part++) {
        if (**part) {
            object_link(obj, *part, &obj);
        }
    }
    return obj;
}

typedef struct PathSearch {
    char *const *part;
    Object *found;
    bool ambiguous;
} PathSearch;

/* Looks for a partial path below @obj. Two ways to one object are no doubt. */
static void MAIN_THREAD resolve_partial(Object *obj, PathSearch *search)
{
    Object *hit = descend(obj, search->part);

    if (hit && hit != obj) {
        search->ambiguous |= search->found && search->found != hit;
        search->found = hit;
    }
    for (guint i = 0; obj->children && i < obj->children->len; i++) {
        resolve_partial(g_ptr_array_index(obj->children, i), search);
    }
}

static Object *MAIN_THREAD resolve(const char *path, bool *ambiguous)
{
    /* What is too much stays one name with a slash, which no object has: the
     * path of a client, megabytes of it, costs neither memory nor time. */
    g_auto(GStrv) part = g_strsplit(path, "/", PATH_NAMES_MAX + 1);
    PathSearch search = { .part = part };

    *ambiguous = false;
    if (path[0] == '/') {
        return descend(object_root(), part);
    }
    resolve_partial(object_root(), &search);
    *ambiguous = search.ambiguous;
    return search.ambiguous ? NULL : search.found;
}

Object *object_resolve(const char *path)
{
    bool ambiguous;

    return resolve(path, &ambiguous);
}

Object *object_lookup(const char *path, Error **errp)
{
    bool ambiguous;
    Object *obj = resolve(path, &ambiguous);

    if (!obj) {
        g_autofree char *shown = qapi_quote(path);

        if (ambiguous) {
            error_setg(errp, "Path '%s' is ambiguous", shown);
        } else {
            error_set_class(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
                            "Device '%s' not found", shown);
        }
    }
    return obj;
}
