/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON values, or option text as JSON of strings, to generated structs. */
#include "util/osdep.h"
#include <json-c/json.h>
#include <math.h>
#include "qapi/qapi-visit.h"
#include "qapi/visit-internal.h"

/* Where in the input the reader is: a chain from the leaf to the root. */
typedef struct Place {
    const struct Place *parent; /* NULL: the root */
    const char *name;           /* of a member, or NULL */
    size_t index;               /* of a list's element otherwise */
} Place;

typedef struct Reader {
    bool keyval; /* leaves are text */
    Error **errp;
} Reader;

static bool read_value(Reader *in, const Place *place, const QapiType *type,
                       json_object *json, void *out);

static void append_place(const Reader *in, GString *text, const Place *place)
{
    if (!place->parent) {
        return;
    }
    append_place(in, text, place->parent);
    if (!place->name) {
        g_string_append_printf(text, in->keyval ? ".%zu" : "[%zu]",
                               place->index);
    } else {
        g_autofree char *shown = qapi_quote(place->name);

        g_string_append_printf(text, "%s%s", text->len ? "." : "", shown);
    }
}

/* "addr.port", for messages. */
static char *place_name(const Reader *in, const Place *place)
{
    GString *text = g_string_new(NULL);

    append_place(in, text, place);
    if (text->len == 0) {
        g_string_append(text, "argument");
    }
    return g_string_free(text, FALSE);
}

static bool type_error(Reader *in, const Place *place, const char *expected)
{
    g_autofree char *name = place_name(in, place);

    error_setg(in->errp, "Invalid parameter type for '%s', expected: %s", name,
               expected);
    return false;
}

QType qapi_json_kind(const QapiType *type)
{
    static const QType kinds[] = {
        [QAPI_KIND_STRING] = QTYPE_QSTRING, [QAPI_KIND_BOOL] = QTYPE_QBOOL,
        [QAPI_KIND_INT] = QTYPE_QNUM,       [QAPI_KIND_UINT] = QTYPE_QNUM,
        [QAPI_KIND_SIZE] = QTYPE_QNUM,      [QAPI_KIND_NUMBER] = QTYPE_QNUM,
        [QAPI_KIND_NULL] = QTYPE_QNULL,     [QAPI_KIND_ENUM] = QTYPE_QSTRING,
        [QAPI_KIND_STRUCT] = QTYPE_QDICT,   [QAPI_KIND_UNION] = QTYPE_QDICT,
        [QAPI_KIND_ALTERNATE] = QTYPE_NONE, [QAPI_KIND_ANY] = QTYPE_NONE,
        [QAPI_KIND_LIST] = QTYPE_QLIST,
    };

    return kinds[type->kind];
}

const QapiMember *qapi_alternate_branch(const QapiType *type, QType kind)
{
    for (uint32_t i = 0; i < type->n_members; i++) {
        if (qapi_json_kind(type->members[i].type) == kind) {
            return &type->members[i];
        }
    }
    return NULL;
}

static bool read_string(Reader *in, const Place *place, json_object *json,
                        char **out)
{
    const char *text;

    if (!json_object_is_type(json, json_type_string)) {
        return type_error(in, place, "string");
    }
    text = json_object_get_string(json);
    if (strlen(text) != (size_t)json_object_get_string_len(json)) {
        g_autofree char *name = place_name(in, place);

        error_setg(in->errp, "Parameter '%s' must not have a NUL character",
                   name);
        return false;
    }
    *out = g_strdup(text);
    return true;
}

static bool read_bool(Reader *in, const Place *place, json_object *json,
                      bool *out)
{
    if (in->keyval && json_object_is_type(json, json_type_string)) {
        g_autofree char *name = place_name(in, place);

        return qapi_parse_bool(name, json_object_get_string(json), out,
                               in->errp);
    }
    if (in->keyval || !json_object_is_type(json, json_type_boolean)) {
        return type_error(in, place, "boolean");
    }
    *out = json_object_get_boolean(json);
    return true;
}

/* Reads an INT, UINT or SIZE whose text form is @text. */
static bool parse_integer(Reader *in, const char *name, const QapiType *type,
                          const char *text, uint64_t *out)
{
    int64_t value;

    switch (type->kind) {
    case QAPI_KIND_INT:
        if (!qapi_parse_int(name, text, type->min, (int64_t)type->max, &value,
                            in->errp)) {
            return false;
        }
        *out = (uint64_t)value;
        return true;
    case QAPI_KIND_UINT:
        return qapi_parse_uint(name, text, type->max, out, in->errp);
    default:
        return qapi_parse_size(name, text, out, in->errp);
    }
}

static bool read_integer(Reader *in, const Place *place, const QapiType *type,
                         json_object *json, void *out)
{
    json_type wanted = in->keyval ? json_type_string : json_type_int;
    g_autofree char *name = NULL;
    uint64_t value;

    if (!json_object_is_type(json, wanted)) {
        return type_error(in, place, "integer");
    }
    name = place_name(in, place);
    if (in->keyval) {
        if (!parse_integer(in, name, type, json_object_get_string(json),
                           &value)) {
            return false;
        }
    } else {
        /* json-c prints an integer exactly; a size has no suffix there. */
        g_autofree char *text = g_strdup(json_object_to_json_string(json));

        if (!parse_integer(in, name, type, text, &value)) {
            return false;
        }
    }
    memcpy(out, &value, type->size); /* little-endian host */
    return true;
}

static bool read_number(Reader *in, const Place *place, json_object *json,
                        double *out)
{
    const char *text;
    char *end;

    if (!in->keyval) {
        if (!json_object_is_type(json, json_type_double) &&
            !json_object_is_type(json, json_type_int)) {
            return type_error(in, place, "number");
        }
        *out = json_object_get_double(json);
        return true;
    }
    if (!json_object_is_type(json, json_type_string)) {
        return type_error(in, place, "number");
    }
    text = json_object_get_string(json);
    *out = g_ascii_strtod(text, &end);
    if (end == text || *end || !isfinite(*out)) {
        return type_error(in, place, "number");
    }
    return true;
}

static bool read_enum(Reader *in, const Place *place, const QapiType *type,
                      json_object *json, void *out)
{
    g_autofree char *name = NULL;
    g_autofree char *shown = NULL;
    g_autoptr(GString) names = NULL;
    char *text;
    int value;

    if (!read_string(in, place, json, &text)) {
        return false;
    }
    value = qapi_enum_find(type, text);
    if (value >= 0) {
        memcpy(out, &value, sizeof(value));
        g_free(text);
        return true;
    }
    name = place_name(in, place);
    shown = qapi_quote(text);
    g_free(text);
    names = g_string_new(NULL);
    for (uint32_t i = 0; i < type->n_values; i++) {
        g_string_append_printf(names, "%s%s", i ? ", " : "",
                               type->values[i].name);
    }
    error_setg(in->errp,
               "Parameter '%s' does not accept value '%s', expected one of: %s",
               name, shown, names->str);
    return false;
}

static bool read_list(Reader *in, const Place *place, const QapiType *type,
                      json_object *json, void *out)
{
    size_t size = type->element->size;
    QapiAnyList list;

    if (!json_object_is_type(json, json_type_array)) {
        return type_error(in, place, "array");
    }
    list.n = json_object_array_length(json);
    list.v = list.n ? g_malloc0_n(list.n, size) : NULL;
    memcpy(out, &list, sizeof(list));
    for (size_t i = 0; i < list.n; i++) {
        Place here = { .parent = place, .index = i };

        if (!read_value(in, &here, type->element,
                        json_object_array_get_idx(json, i),
                        (char *)list.v + i * size)) {
            return false;
        }
    }
    return true;
}

/* Reads @member of the struct at @out from the object @json, if it is there. */
static bool read_member(Reader *in, const Place *place,
                        const QapiMember *member, json_object *json, void *out)
{
    Place here = { .parent = place, .name = member->name };
    void *value = (char *)out + member->offset;
    const bool yes = true;
    json_object *child;

    if (!json_object_object_get_ex(json, member->name, &child)) {
        g_autofree char *name = NULL;

        if (member->optional) {
            return true;
        }
        name = place_name(in, &here);
        error_setg(in->errp, "Parameter '%s' is missing", name);
        return false;
    }
    if (member->has_offset >= 0) {
        memcpy((char *)out + member->has_offset, &yes, sizeof(yes));
    }
    if (qapi_is_pointer(member->type)) {
        void *target = qapi_new(member->type);

        memcpy(value, &target, sizeof(target));
        value = target;
    }
    return read_value(in, &here, member->type, child, value);
}

static bool read_members(Reader *in, const Place *place, const QapiType *type,
                         json_object *json, void *out)
{
    const QapiType *variant;

    for (uint32_t i = 0; i < type->n_members; i++) {
        if (!read_member(in, place, &type->members[i], json, out)) {
            return false;
        }
    }
    variant = qapi_variant(type, out);
    return !variant || read_members(in, place, variant, json,
                                    (char *)out + type->variant_offset);
}

/* Whether the struct at @ptr, as it was read, has a member @name. */
static bool has_member(const QapiType *type, const void *ptr, const char *name)
{
    const QapiType *variant = qapi_variant(type, ptr);

    for (uint32_t i = 0; i < type->n_members; i++) {
        if (strcmp(type->members[i].name, name) == 0) {
            return true;
        }
    }
    return variant &&
           has_member(variant, (const char *)ptr + type->variant_offset, name);
}

static bool read_object(Reader *in, const Place *place, const QapiType *type,
                        json_object *json, void *out)
{
    if (!json_object_is_type(json, json_type_object)) {
        return type_error(in, place, "object");
    }
    if (!read_members(in, place, type, json, out)) {
        return false;
    }
    json_object_object_foreach(json, key, child)
    {
        Place here = { .parent = place, .name = key };

        (void)child;
        if (!has_member(type, out, key)) {
            g_autofree char *name = place_name(in, &here);

            error_setg(in->errp, "Invalid parameter '%s'", name);
            return false;
        }
    }
    return true;
}

/* What kind of value option text is meant to be, for an alternate. */
static QType guess_kind(const QapiType *type, const char *text)
{
    const QapiMember *string = qapi_alternate_branch(type, QTYPE_QSTRING);
    bool flag;

    if (string && (string->type->kind == QAPI_KIND_STRING ||
                   qapi_enum_find(string->type, text) >= 0)) {
        return QTYPE_QSTRING;
    }
    if (qapi_alternate_branch(type, QTYPE_QBOOL) &&
        qapi_parse_bool("", text, &flag, NULL)) {
        return QTYPE_QBOOL;
    }
    if (qapi_alternate_branch(type, QTYPE_QNUM)) {
        return QTYPE_QNUM;
    }
    return string ? QTYPE_QSTRING : QTYPE_QBOOL;
}

static bool read_alternate(Reader *in, const Place *place, const QapiType *type,
                           json_object *json, void *out)
{
    static const QType kinds[] = {
        [json_type_null] = QTYPE_QNULL,     [json_type_boolean] = QTYPE_QBOOL,
        [json_type_double] = QTYPE_QNUM,    [json_type_int] = QTYPE_QNUM,
        [json_type_object] = QTYPE_QDICT,   [json_type_array] = QTYPE_QLIST,
        [json_type_string] = QTYPE_QSTRING,
    };
    QType kind = kinds[json_object_get_type(json)];
    const QapiMember *branch;

    if (in->keyval && kind == QTYPE_QSTRING) {
        kind = guess_kind(type, json_object_get_string(json));
    }
    branch = qapi_alternate_branch(type, kind);
    if (!branch) {
        g_autoptr(GString) names = g_string_new(NULL);

        for (uint32_t i = 0; i < type->n_members; i++) {
            g_string_append_printf(names, "%s%s", i ? " or " : "",
                                   type->members[i].type->name);
        }
        return type_error(in, place, names->str);
    }
    memcpy(out, &kind, sizeof(kind));
    return read_value(in, place, branch->type, json,
                      (char *)out + branch->offset);
}

static bool read_value(Reader *in, const Place *place, const QapiType *type,
                       json_object *json, void *out)
{
    switch (type->kind) {
    case QAPI_KIND_STRING:
        return read_string(in, place, json, out);
    case QAPI_KIND_BOOL:
        return read_bool(in, place, json, out);
    case QAPI_KIND_INT:
    case QAPI_KIND_UINT:
    case QAPI_KIND_SIZE:
        return read_integer(in, place, type, json, out);
    case QAPI_KIND_NUMBER:
        return read_number(in, place, json, out);
    case QAPI_KIND_NULL:
        return json == NULL || type_error(in, place, "null");
    case QAPI_KIND_ANY:
        json = json_object_get(json);
        memcpy(out, &json, sizeof(json));
        return true;
    case QAPI_KIND_ENUM:
        return read_enum(in, place, type, json, out);
    case QAPI_KIND_STRUCT:
    case QAPI_KIND_UNION:
        return read_object(in, place, type, json, out);
    case QAPI_KIND_ALTERNATE:
        return read_alternate(in, place, type, json, out);
    case QAPI_KIND_LIST:
        return read_list(in, place, type, json, out);
    }
    return false;
}

static bool read_root(const QapiType *type, json_object *json, void *out,
                      bool keyval, Error **errp)
{
    Reader in = { .keyval = keyval, .errp = errp };
    Place root = { .parent = NULL };

    memset(out, 0, type->size);
    if (read_value(&in, &root, type, json, out)) {
        return true;
    }
    qapi_free_contents(type, out);
    return false;
}

bool qapi_from_json(const QapiType *type, json_object *json, void *out,
                    Error **errp)
{
    return read_root(type, json, out, false, errp);
}

bool qapi_from_keyval(const QapiType *type, json_object *json, void *out,
                      Error **errp)
{
    return read_root(type, json, out, true, errp);
}
