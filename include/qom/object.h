/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects: types by name, single inheritance, properties, a tree of names.
 *
 * A type is registered once, by a constructor (TYPE_INIT). An object is
 * reference counted; its parent in the tree holds a reference. A property is
 * a row in its type's static table; values cross as JSON (json-c), the form
 * that the command line and QMP share.
 *
 * Threads: under the machine lock. Types are immutable once main() starts.
 */
#ifndef QOM_OBJECT_H
#define QOM_OBJECT_H

#include <json-c/json.h>

#include "util/error.h"

typedef struct Object Object;
typedef struct ObjectClass ObjectClass;
typedef struct TypeInfo TypeInfo;
typedef struct Property Property;
typedef struct PropertyInfo PropertyInfo;

/*
 * How values of one kind are read and written. Setters take the JSON value of
 * the right kind, or a JSON string spelt as on the command line ("on", "256",
 * "1M"). Errors read "Property 'TYPE.NAME' ...". get returns a new reference.
 */
struct PropertyInfo {
    const char *type; /* as QMP shows it: "bool", "uint16", "str", "int32"... */
    json_object *(*get)(Object *obj, const Property *prop, Error **errp);
    bool (*set)(Object *obj, const Property *prop, json_object *value,
                Error **errp);
    void (*set_default)(Object *obj, const Property *prop); /* may be NULL */
    void (*release)(Object *obj, const Property *prop);     /* may be NULL */
    const char *const *enum_values; /* NULL-terminated, or NULL */
};

/* A row in a type's table; the table ends with a row whose name is NULL. */
struct Property {
    const char *name;
    const PropertyInfo *info;
    const char *description; /* for help; no full stop */
    size_t offset;           /* of the field in the instance */
    uint64_t bit;            /* prop_info_bit64: mask in a uint64_t field */
    int64_t defval;          /* numbers, bools, enums */
    const char *defstr;      /* strings; NULL: unset */
    bool live;               /* may be set after realize */
};

extern const PropertyInfo prop_info_bool;  /* bool */
extern const PropertyInfo prop_info_bit64; /* one bit of uint64_t, "bool" */
extern const PropertyInfo prop_info_uint8;
extern const PropertyInfo prop_info_uint16;
extern const PropertyInfo prop_info_uint32;
extern const PropertyInfo prop_info_uint64;
extern const PropertyInfo prop_info_int32;
extern const PropertyInfo prop_info_int64;
extern const PropertyInfo prop_info_size;    /* uint64_t, k M G T suffixes */
extern const PropertyInfo prop_info_string;  /* char *, owned */
extern const PropertyInfo prop_info_macaddr; /* uint8_t[6] */
extern const PropertyInfo prop_info_on_off_auto; /* OnOffAuto as int */

/* For the PropertyInfo of an enum: an int field that holds an index into
 * enum_values; others are refused with the list of those. */
json_object *prop_enum_get(Object *obj, const Property *prop, Error **errp);
bool prop_enum_set(Object *obj, const Property *prop, json_object *value,
                   Error **errp);
void prop_enum_default(Object *obj, const Property *prop);

typedef enum OnOffAuto {
    ON_OFF_AUTO_AUTO,
    ON_OFF_AUTO_ON,
    ON_OFF_AUTO_OFF
} OnOffAuto;

#define PROP_(n, T, f, i, d, desc)                                          \
    {                                                                       \
        .name = (n), .info = &(i), .offset = offsetof(T, f), .defval = (d), \
        .description = (desc)                                               \
    }
#define PROP_BOOL(n, T, f, d, desc) PROP_(n, T, f, prop_info_bool, d, desc)
#define PROP_BIT64(n, T, f, b, d, desc)                                  \
    {                                                                    \
        .name = (n), .info = &prop_info_bit64, .offset = offsetof(T, f), \
        .bit = 1ULL << (b), .defval = (d), .description = (desc)         \
    }
#define PROP_UINT8(n, T, f, d, desc)  PROP_(n, T, f, prop_info_uint8, d, desc)
#define PROP_UINT16(n, T, f, d, desc) PROP_(n, T, f, prop_info_uint16, d, desc)
#define PROP_UINT32(n, T, f, d, desc) PROP_(n, T, f, prop_info_uint32, d, desc)
#define PROP_UINT64(n, T, f, d, desc) PROP_(n, T, f, prop_info_uint64, d, desc)
#define PROP_INT32(n, T, f, d, desc)  PROP_(n, T, f, prop_info_int32, d, desc)
#define PROP_INT64(n, T, f, d, desc)  PROP_(n, T, f, prop_info_int64, d, desc)
#define PROP_SIZE(n, T, f, d, desc)   PROP_(n, T, f, prop_info_size, d, desc)
#define PROP_STRING(n, T, f, desc)                                        \
    {                                                                     \
        .name = (n), .info = &prop_info_string, .offset = offsetof(T, f), \
        .description = (desc)                                             \
    }
#define PROP_MACADDR(n, T, f, desc) PROP_(n, T, f, prop_info_macaddr, 0, desc)
#define PROP_ON_OFF_AUTO(n, T, f, d, desc) \
    PROP_(n, T, f, prop_info_on_off_auto, d, desc)
#define PROP_END     \
    {                \
        .name = NULL \
    }

/* The field that @prop of @obj describes. */
#define PROP_FIELD(obj, prop, T) ((T *)(void *)((char *)(obj) + (prop)->offset))

struct TypeInfo {
    const char *name;
    const char *parent; /* NULL only for "object" */
    bool abstract;
    size_t instance_size; /* 0: as the parent's */
    size_t class_size;    /* 0: as the parent's */
    void (*class_init)(ObjectClass *klass);
    void (*instance_init)(Object *obj);
    void (*instance_finalize)(Object *obj);
    const Property *properties;    /* added to the inherited ones */
    const char *const *interfaces; /* names only, e.g. "user-creatable" */
    const char *alias;             /* another name for -device, or NULL */
};

/* An object that another one can be reached by; @target NULL: none now. */
typedef void ObjectLinkFunc(const char *name, const char *type, Object *target,
                            void *opaque);

struct ObjectClass {
    const TypeInfo *info;
    ObjectClass *parent;
    /* user-creatable objects: checks and starts; says why not to delete */
    bool (*complete)(Object *obj, Error **errp);
    bool (*can_delete)(Object *obj, Error **errp);
    /* A property the tables do not have: forward it (virtio proxies). Returns
     * the object that has @name, or NULL. */
    Object *(*delegate)(Object *obj, const char *name);
    /* Calls @func for each object that is not a child but reached by a name
     * from @obj, as a bus is from its device; may be NULL. */
    void (*links)(Object *obj, ObjectLinkFunc *func, void *opaque);
    /* Runs last in object_new(), after every instance_init; may be NULL. */
    void (*post_init)(Object *obj);
};

struct Object {
    ObjectClass *klass;
    unsigned ref;
    Object *parent;
    char *name;          /* in the parent */
    GPtrArray *children; /* in order added; NULL: none */
    bool realized; /* properties that are not live are refused from now on */
};

void type_register(const TypeInfo *info);
#define TYPE_INIT(fn)                                             \
    static void __attribute__((constructor)) type_init_##fn(void) \
    {                                                             \
        fn();                                                     \
    }
/* Registers a static table of TypeInfo. */
#define DEFINE_TYPES(table)                                         \
    static void __attribute__((constructor)) register_##table(void) \
    {                                                               \
        for (size_t i_ = 0; i_ < ARRAY_SIZE(table); i_++) {         \
            type_register(&(table)[i_]);                            \
        }                                                           \
    }

/* The class named @name (or whose alias is @name), or NULL. */
ObjectClass *object_class_by_name(const char *name);
/* The same; NULL and *errp, "@what 'NAME' not found" of class DeviceNotFound,
 * when there is none. */
ObjectClass *object_class_lookup(const char *name, const char *what,
                                 Error **errp);
const char *object_class_name(const ObjectClass *klass);
/* True when @klass is @type or below it, or implements the interface. */
bool object_class_is(const ObjectClass *klass, const char *type);
bool object_class_is_abstract(const ObjectClass *klass);
/* Calls @func for each class that is @type (NULL: all), sorted by name. */
void object_class_foreach(const char *type, bool include_abstract,
                          void (*func)(ObjectClass *, void *), void *opaque);
/* Calls @func for each property that can be set, own and inherited. */
void object_class_property_foreach(ObjectClass *klass,
                                   void (*func)(const Property *, void *),
                                   void *opaque);
/* The same with those that only tell of the object. */
void object_class_property_foreach_all(ObjectClass *klass,
                                       void (*func)(const Property *, void *),
                                       void *opaque);
const Property *object_class_property_find(ObjectClass *klass,
                                           const char *name);

/* A new object of @type (must exist and not be abstract), defaults set,
 * reference 1. */
Object *object_new(const char *type) MAIN_THREAD;
Object *object_ref(Object *obj) MAIN_THREAD;
void object_unref(Object *obj) MAIN_THREAD; /* NULL is allowed */

const char *object_type_name(const Object *obj);
bool object_is(const Object *obj, const char *type);

/* Checked-by-assertion cast: @obj is known to be of the type. */
#define OBJECT_CAST(T, obj)         ((T *)(void *)(obj))
#define OBJECT(obj)                 ((Object *)(void *)(obj))
#define OBJECT_GET_CLASS(C, obj)    ((C *)(void *)OBJECT(obj)->klass)
#define OBJECT_CLASS_CAST(C, klass) ((C *)(void *)(klass))

/* Puts @child into the tree under @parent as @name; takes a reference. */
bool object_add_child(Object *parent, const char *name, Object *child,
                      Error **errp) MAIN_THREAD;
void object_unparent(Object *child) MAIN_THREAD;
Object *object_child(Object *parent, const char *name) MAIN_THREAD;
/* Whether @obj has a child or a link @name; *@target may be NULL. */
bool object_link(Object *obj, const char *name, Object **target) MAIN_THREAD;
/* "/", "/machine", "/objects", "/chardevs": made on first use. */
Object *object_root(void) MAIN_THREAD;
Object *object_container(const char *path) MAIN_THREAD;
/* Absolute path, or NULL when it is not in the tree; caller frees. */
char *object_path(const Object *obj) MAIN_THREAD;
/* By absolute path, through children and links; or by a partial one, the end
 * of the path of one object only. NULL for a path of more than 256 names. */
Object *object_resolve(const char *path) MAIN_THREAD;
/* The same; NULL and *errp, of class DeviceNotFound when there is none. */
Object *object_lookup(const char *path, Error **errp) MAIN_THREAD;

bool object_property_set(Object *obj, const char *name, json_object *value,
                         Error **errp) MAIN_THREAD;
/* Takes the text as the command line spells it. */
bool object_property_parse(Object *obj, const char *name, const char *text,
                           Error **errp) MAIN_THREAD;
/* Children and links read as the object's path, "" without one. */
json_object *object_property_get(Object *obj, const char *name, Error **errp)
    MAIN_THREAD;
/* Sets each member of the JSON object @values except those in @skip
 * (NULL-terminated, may be NULL). Stops at the first error. */
bool object_properties_set(Object *obj, json_object *values,
                           const char *const *skip, Error **errp) MAIN_THREAD;
/* The same for what the user wrote after -@option ("device", "object"): an
 * unknown name is refused before anything is set, and told how to find the
 * right one. */
bool object_options_set(Object *obj, json_object *values,
                        const char *const *skip, const char *option,
                        Error **errp) MAIN_THREAD;

/* `-object`: @opts has "qom-type" and "id". The object joins /objects. */
Object *user_object_new(json_object *opts, Error **errp) MAIN_THREAD;
bool user_object_del(const char *id, Error **errp) MAIN_THREAD;
/* An object under /objects of @type, or NULL. */
Object *user_object_find(const char *id, const char *type) MAIN_THREAD;

/* True for an id QEMU accepts: a letter, then letters, digits, "-._". */
bool id_wellformed(const char *id);
/* The same with the error that says so. */
bool id_check(const char *id, Error **errp);

#endif
