/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A value of a schema type as indented lines for people. */
#include "util/osdep.h"
#include <json-c/json.h>
#include "monitor/hmp-internal.h"
#include "qapi/qapi-visit.h"

#define WIDE 0x10000 /* addresses are above, most counts below */

static bool is_scalar(json_object *value)
{
    return !json_object_is_type(value, json_type_object) &&
           !json_object_is_type(value, json_type_array);
}

static void print_scalar(json_object *value, bool hex, GString *out)
{
    const char *text;

    if (hex && json_object_is_type(value, json_type_int) &&
        json_object_get_uint64(value) >= WIDE) {
        g_string_append_printf(out, "0x%" PRIx64,
                               json_object_get_uint64(value));
        return;
    }
    text = value ? json_object_get_string(value) : "null";
    hmp_append_visible(out, text, strlen(text));
}

/* A list of numbers in one line. */
static bool print_short_list(json_object *list, bool hex, GString *out)
{
    size_t n = json_object_array_length(list);

    for (size_t i = 0; i < n; i++) {
        json_object *element = json_object_array_get_idx(list, i);

        if (!is_scalar(element) ||
            json_object_is_type(element, json_type_string)) {
            return false;
        }
    }
    for (size_t i = 0; i < n; i++) {
        g_string_append(out, i ? ", " : " ");
        print_scalar(json_object_array_get_idx(list, i), hex, out);
    }
    return true;
}

/* What follows "NAME:", line end included. */
static void print_value(json_object *value, int indent, bool hex, GString *out)
{
    if (is_scalar(value)) {
        g_string_append_c(out, ' ');
        print_scalar(value, hex, out);
        g_string_append_c(out, '\n');
        return;
    }
    if (json_object_is_type(value, json_type_array) &&
        print_short_list(value, hex, out)) {
        g_string_append_c(out, '\n');
        return;
    }
    g_string_append_c(out, '\n');
    hmp_print_json(value, indent + 2, hex, out);
}

void hmp_print_json(json_object *value, int indent, bool hex, GString *out)
{
    if (json_object_is_type(value, json_type_object)) {
        json_object_object_foreach(value, name, member)
        {
            g_string_append_printf(out, "%*s%s:", indent, "", name);
            print_value(member, indent, hex, out);
        }
        return;
    }
    if (is_scalar(value)) {
        g_string_append_printf(out, "%*s", indent, "");
        print_scalar(value, hex, out);
        g_string_append_c(out, '\n');
        return;
    }
    for (size_t i = 0; i < json_object_array_length(value); i++) {
        json_object *element = json_object_array_get_idx(value, i);

        if (is_scalar(element)) {
            hmp_print_json(element, indent, hex, out);
        } else {
            g_string_append_printf(out, "%*s%zu:\n", indent, "", i);
            hmp_print_json(element, indent + 2, hex, out);
        }
    }
}

void hmp_print(const QapiType *type, void *value, bool hex, GString *out)
{
    json_object *json = qapi_to_json(type, value);

    hmp_print_json(json, 0, hex, out);
    json_object_put(json);
    qapi_free_contents(type, value);
}
