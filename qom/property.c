/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Properties: finding, reading, writing, and the kinds that most types use. */
#include "util/osdep.h"
#include "qapi/qapi-visit.h"
#include "qom/object.h"

void object_class_property_foreach_all(ObjectClass *klass,
                                       void (*func)(const Property *, void *),
                                       void *opaque)
{
    for (ObjectClass *k = klass; k; k = k->parent) {
        for (const Property *p = k->info->properties; p && p->name; p++) {
            /* One that a subclass has replaced is not shown. */
            if (object_class_property_find(klass, p->name) == p) {
                func(p, opaque);
            }
        }
    }
}

typedef struct SettableWalk {
    void (*func)(const Property *, void *);
    void *opaque;
} SettableWalk;

static void pass_settable(const Property *prop, void *opaque)
{
    const SettableWalk *walk = opaque;

    if (prop->info->set) {
        walk->func(prop, walk->opaque);
    }
}

void object_class_property_foreach(ObjectClass *klass,
                                   void (*func)(const Property *, void *),
                                   void *opaque)
{
    SettableWalk walk = { func, opaque };

    object_class_property_foreach_all(klass, pass_settable, &walk);
}

const Property *object_class_property_find(ObjectClass *klass, const char *name)
{
    for (; klass; klass = klass->parent) {
        for (const Property *p = klass->info->properties; p && p->name; p++) {
            if (strcmp(p->name, name) == 0) {
                return p;
            }
        }
    }
    return NULL;
}

/* Finds @name in *@obj or, by delegation, in another object: then *@obj is
 * that one. */
static const Property *find_property(Object **obj, const char *name,
                                     Error **errp)
{
    Object *first = *obj;
    const Property *prop = object_class_property_find(first->klass, name);

    if (!prop && first->klass->delegate) {
        Object *other = first->klass->delegate(first, name);

        prop = other ? object_class_property_find(other->klass, name) : NULL;
        if (prop) {
            *obj = other;
        }
    }
    if (!prop) {
        g_autofree char *shown = qapi_quote(name);

        error_setg(errp, "Property '%s.%s' not found", object_type_name(first),
                   shown);
    }
    return prop;
}

static bool read_only(const Object *obj, const char *name, Error **errp)
{
    error_setg(errp, "Property '%s.%s' is read-only", object_type_name(obj),
               name);
    return false;
}

bool object_property_set(Object *obj, const char *name, json_object *value,
                         Error **errp)
{
    Object *holder = obj, *target;
    const Property *prop;

    if (object_link(obj, name, &target)) {
        return read_only(obj, name, errp);
    }
    prop = find_property(&holder, name, errp);
    if (!prop) {
        return false;
    }
    if (!prop->info->set) {
        return read_only(obj, name, errp);
    }
    if (holder->realized && !prop->live) {
        error_setg(errp,
                   "Property '%s.%s' cannot change any more: the object is in "
                   "use",
                   object_type_name(obj), name);
        return false;
    }
    return prop->info->set(holder, prop, value, errp);
}

bool object_property_parse(Object *obj, const char *name, const char *text,
                           Error **errp)
{
    json_object *value = json_object_new_string(text);
    bool ok = object_property_set(obj, name, value, errp);

    json_object_put(value);
    return ok;
}

json_object *object_property_get(Object *obj, const char *name, Error **errp)
{
    Object *holder = obj, *target;
    const Property *prop;

    if (object_link(obj, name, &target)) {
        g_autofree char *path = target ? object_path(target) : NULL;

        return json_object_new_string(path ? path : "");
    }
    prop = find_property(&holder, name, errp);
    if (prop && !prop->info->get) {
        error_setg(errp, "Property '%s.%s' cannot be read",
                   object_type_name(obj), name);
        return NULL;
    }
    return prop ? prop->info->get(holder, prop, errp) : NULL;
}

bool object_properties_set(Object *obj, json_object *values,
                           const char *const *skip, Error **errp)
{
    json_object_object_foreach(values, name, value)
    {
        if (skip && g_strv_contains(skip, name)) {
            continue;
        }
        if (!object_property_set(obj, name, value, errp)) {
            return false;
        }
    }
    return true;
}

bool object_options_set(Object *obj, json_object *values,
                        const char *const *skip, const char *option,
                        Error **errp)
{
    json_object_object_foreach(values, name, value)
    {
        Object *holder = obj;

        (void)value;
        if (!(skip && g_strv_contains(skip, name)) &&
            !find_property(&holder, name, NULL)) {
            g_autofree char *shown = qapi_quote(name);

            error_setg(
                errp, "Property '%s.%s' not found (-%s %s,help lists them)",
                object_type_name(obj), shown, option, object_type_name(obj));
            return false;
        }
    }
    return object_properties_set(obj, values, skip, errp);
}

/* ---- kinds ---- */

static bool wrong_type(const Property *prop, const char *expected, Error **errp)
{
    error_setg(errp, "Invalid parameter type for '%s', expected: %s",
               prop->name, expected);
    return false;
}

static json_object *bool_get(Object *obj, const Property *prop, Error **errp)
{
    return json_object_new_boolean(*PROP_FIELD(obj, prop, bool));
}

static bool bool_value(const Property *prop, json_object *value, bool *out,
                       Error **errp)
{
    if (json_object_is_type(value, json_type_boolean)) {
        *out = json_object_get_boolean(value);
        return true;
    }
    if (json_object_is_type(value, json_type_string)) {
        return qapi_parse_bool(prop->name, json_object_get_string(value), out,
                               errp);
    }
    return wrong_type(prop, "boolean", errp);
}

static bool bool_set(Object *obj, const Property *prop, json_object *value,
                     Error **errp)
{
    return bool_value(prop, value, PROP_FIELD(obj, prop, bool), errp);
}

static void bool_default(Object *obj, const Property *prop)
{
    *PROP_FIELD(obj, prop, bool) = prop->defval != 0;
}

const PropertyInfo prop_info_bool = {
    .type = "bool",
    .get = bool_get,
    .set = bool_set,
    .set_default = bool_default,
};

static void bit64_store(Object *obj, const Property *prop, bool on)
{
    uint64_t *field = PROP_FIELD(obj, prop, uint64_t);

    *field = on ? *field | prop->bit : *field & ~prop->bit;
}

static json_object *bit64_get(Object *obj, const Property *prop, Error **errp)
{
    uint64_t field = *PROP_FIELD(obj, prop, uint64_t);

    return json_object_new_boolean((field & prop->bit) != 0);
}

static bool bit64_set(Object *obj, const Property *prop, json_object *value,
                      Error **errp)
{
    bool on;

    if (!bool_value(prop, value, &on, errp)) {
        return false;
    }
    bit64_store(obj, prop, on);
    return true;
}

static void bit64_default(Object *obj, const Property *prop)
{
    bit64_store(obj, prop, prop->defval != 0);
}

const PropertyInfo prop_info_bit64 = {
    .type = "bool",
    .get = bit64_get,
    .set = bit64_set,
    .set_default = bit64_default,
};

/* The text of a number in JSON, so that one parser checks every range. */
static bool number_text(const Property *prop, json_object *value,
                        const char **text, Error **errp)
{
    if (!json_object_is_type(value, json_type_string) &&
        !json_object_is_type(value, json_type_int)) {
        return wrong_type(prop, "integer", errp);
    }
    *text = json_object_get_string(value);
    return true;
}

static bool uint_value(const Property *prop, json_object *value, uint64_t max,
                       uint64_t *out, Error **errp)
{
    const char *text;

    return number_text(prop, value, &text, errp) &&
           qapi_parse_uint(prop->name, text, max, out, errp);
}

static bool int_value(const Property *prop, json_object *value, int64_t min,
                      int64_t max, int64_t *out, Error **errp)
{
    const char *text;

    return number_text(prop, value, &text, errp) &&
           qapi_parse_int(prop->name, text, min, max, out, errp);
}

/* get, set and set_default of an unsigned integer type. */
#define DEFINE_UINT_PROPERTY(T, NAME, MAX)                            \
    static json_object *NAME##_get(Object *obj, const Property *prop, \
                                   Error **errp)                      \
    {                                                                 \
        return json_object_new_uint64(*PROP_FIELD(obj, prop, T));     \
    }                                                                 \
    static bool NAME##_set(Object *obj, const Property *prop,         \
                           json_object *value, Error **errp)          \
    {                                                                 \
        uint64_t v;                                                   \
                                                                      \
        if (!uint_value(prop, value, MAX, &v, errp)) {                \
            return false;                                             \
        }                                                             \
        *PROP_FIELD(obj, prop, T) = (T)v;                             \
        return true;                                                  \
    }                                                                 \
    static void NAME##_default(Object *obj, const Property *prop)     \
    {                                                                 \
        *PROP_FIELD(obj, prop, T) = (T)prop->defval;                  \
    }                                                                 \
    const PropertyInfo prop_info_##NAME = {                           \
        .type = #NAME,                                                \
        .get = NAME##_get,                                            \
        .set = NAME##_set,                                            \
        .set_default = NAME##_default,                                \
    };

/* The same for a signed one. */
#define DEFINE_INT_PROPERTY(T, NAME, MIN, MAX)                        \
    static json_object *NAME##_get(Object *obj, const Property *prop, \
                                   Error **errp)                      \
    {                                                                 \
        return json_object_new_int64(*PROP_FIELD(obj, prop, T));      \
    }                                                                 \
    static bool NAME##_set(Object *obj, const Property *prop,         \
                           json_object *value, Error **errp)          \
    {                                                                 \
        int64_t v;                                                    \
                                                                      \
        if (!int_value(prop, value, MIN, MAX, &v, errp)) {            \
            return false;                                             \
        }                                                             \
        *PROP_FIELD(obj, prop, T) = (T)v;                             \
        return true;                                                  \
    }                                                                 \
    static void NAME##_default(Object *obj, const Property *prop)     \
    {                                                                 \
        *PROP_FIELD(obj, prop, T) = (T)prop->defval;                  \
    }                                                                 \
    const PropertyInfo prop_info_##NAME = {                           \
        .type = #NAME,                                                \
        .get = NAME##_get,                                            \
        .set = NAME##_set,                                            \
        .set_default = NAME##_default,                                \
    };

DEFINE_UINT_PROPERTY(uint8_t, uint8, UINT8_MAX)
DEFINE_UINT_PROPERTY(uint16_t, uint16, UINT16_MAX)
DEFINE_UINT_PROPERTY(uint32_t, uint32, UINT32_MAX)
DEFINE_UINT_PROPERTY(uint64_t, uint64, UINT64_MAX)
DEFINE_INT_PROPERTY(int32_t, int32, INT32_MIN, INT32_MAX)
DEFINE_INT_PROPERTY(int64_t, int64, INT64_MIN, INT64_MAX)

static bool size_set(Object *obj, const Property *prop, json_object *value,
                     Error **errp)
{
    const char *text;

    return number_text(prop, value, &text, errp) &&
           qapi_parse_size(prop->name, text, PROP_FIELD(obj, prop, uint64_t),
                           errp);
}

const PropertyInfo prop_info_size = {
    .type = "size",
    .get = uint64_get,
    .set = size_set,
    .set_default = uint64_default,
};

static json_object *string_get(Object *obj, const Property *prop, Error **errp)
{
    const char *text = *PROP_FIELD(obj, prop, char *);

    return json_object_new_string(text ? text : "");
}

static bool string_set(Object *obj, const Property *prop, json_object *value,
                       Error **errp)
{
    char **field = PROP_FIELD(obj, prop, char *);

    if (!json_object_is_type(value, json_type_string)) {
        return wrong_type(prop, "string", errp);
    }
    g_free(*field);
    *field = g_strdup(json_object_get_string(value));
    return true;
}

static void string_default(Object *obj, const Property *prop)
{
    *PROP_FIELD(obj, prop, char *) = g_strdup(prop->defstr);
}

static void string_release(Object *obj, const Property *prop)
{
    g_clear_pointer(PROP_FIELD(obj, prop, char *), g_free);
}

const PropertyInfo prop_info_string = {
    .type = "str",
    .get = string_get,
    .set = string_set,
    .set_default = string_default,
    .release = string_release,
};

static json_object *macaddr_get(Object *obj, const Property *prop, Error **errp)
{
    const uint8_t *a = PROP_FIELD(obj, prop, uint8_t);
    char text[18];

    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1],
             a[2], a[3], a[4], a[5]);
    return json_object_new_string(text);
}

/* Six pairs of hexadecimal digits with the same separator, : or -, between. */
static bool parse_mac(const char *text, uint8_t mac[6])
{
    if (strlen(text) != 17 || (text[2] != ':' && text[2] != '-')) {
        return false;
    }
    for (unsigned i = 0; i < 6; i++) {
        const char *p = text + 3 * i;

        if (!g_ascii_isxdigit(p[0]) || !g_ascii_isxdigit(p[1]) ||
            (i < 5 && p[2] != text[2])) {
            return false;
        }
        mac[i] = (uint8_t)(g_ascii_xdigit_value(p[0]) << 4 |
                           g_ascii_xdigit_value(p[1]));
    }
    return true;
}

static bool macaddr_set(Object *obj, const Property *prop, json_object *value,
                        Error **errp)
{
    uint8_t mac[6];

    if (!json_object_is_type(value, json_type_string)) {
        return wrong_type(prop, "string", errp);
    }
    if (!parse_mac(json_object_get_string(value), mac)) {
        g_autofree char *shown = qapi_quote(json_object_get_string(value));

        error_setg(errp,
                   "Parameter '%s' expects a MAC address like "
                   "52:54:00:12:34:56, not '%s'",
                   prop->name, shown);
        return false;
    }
    memcpy(PROP_FIELD(obj, prop, uint8_t), mac, sizeof(mac));
    return true;
}

const PropertyInfo prop_info_macaddr = {
    .type = "str",
    .get = macaddr_get,
    .set = macaddr_set,
};

json_object *prop_enum_get(Object *obj, const Property *prop, Error **errp)
{
    return json_object_new_string(
        prop->info->enum_values[*PROP_FIELD(obj, prop, int)]);
}

bool prop_enum_set(Object *obj, const Property *prop, json_object *value,
                   Error **errp)
{
    const char *const *names = prop->info->enum_values;
    g_autofree char *list = NULL;
    g_autofree char *shown = NULL;

    if (!json_object_is_type(value, json_type_string)) {
        return wrong_type(prop, "string", errp);
    }
    for (int i = 0; names[i]; i++) {
        if (strcmp(names[i], json_object_get_string(value)) == 0) {
            *PROP_FIELD(obj, prop, int) = i;
            return true;
        }
    }
    list = g_strjoinv(", ", (char **)names);
    shown = qapi_quote(json_object_get_string(value));
    error_setg(errp, "Parameter '%s' does not accept value '%s': one of %s",
               prop->name, shown, list);
    return false;
}

void prop_enum_default(Object *obj, const Property *prop)
{
    *PROP_FIELD(obj, prop, int) = (int)prop->defval;
}

/* In the order of OnOffAuto. */
static const char *const on_off_auto_names[] = { "auto", "on", "off", NULL };

static bool on_off_auto_set(Object *obj, const Property *prop,
                            json_object *value, Error **errp)
{
    if (json_object_is_type(value, json_type_boolean)) {
        *PROP_FIELD(obj, prop, int) =
            json_object_get_boolean(value) ? ON_OFF_AUTO_ON : ON_OFF_AUTO_OFF;
        return true;
    }
    return prop_enum_set(obj, prop, value, errp);
}

const PropertyInfo prop_info_on_off_auto = {
    .type = "OnOffAuto",
    .get = prop_enum_get,
    .set = on_off_auto_set,
    .set_default = prop_enum_default,
    .enum_values = on_off_auto_names,
};
