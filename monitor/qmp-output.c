/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON values to the text that goes to clients. */
#include "util/osdep.h"

#include <json-c/json.h>

#include "monitor/qmp-internal.h"

#define INDENT 4
/* Deeper levels look alike: a client may have its "id" back, and 260,000 commas
 * a thousand levels deep would be a gigabyte of blanks. */
#define INDENT_MAX 64
#define NO_CHAR    ((gunichar)0xfffd) /* stands for what is not UTF-8 */

static void put_escaped(gunichar c, GString *out)
{
    if (c >= 0x10000) {
        c -= 0x10000;
        g_string_append_printf(out, "\\u%04X\\u%04X", 0xd800 + (c >> 10),
                               0xdc00 + (c & 0x3ff));
    } else {
        g_string_append_printf(out, "\\u%04X", c);
    }
}

/* The character at *@p, which is moved behind it. */
static gunichar next_char(const char **p, const char *end)
{
    uint8_t byte = (uint8_t)(*p)[0];
    gunichar c;

    if (byte < 0x80) {
        (*p)++;
        return byte;
    }
    c = g_utf8_get_char_validated(*p, end - *p);
    if (c == (gunichar)-1 || c == (gunichar)-2) {
        (*p)++;
        return NO_CHAR;
    }
    *p += g_unichar_to_utf8(c, NULL);
    return c;
}

static void put_string(const char *text, size_t len, GString *out)
{
    static const char plain[] = "\b\f\n\r\t\"\\", letter[] = "bfnrt\"\\";
    const char *end = text + len;

    g_string_append_c(out, '"');
    while (text < end) {
        gunichar c = next_char(&text, end);
        const char *special = c && c < 0x80 ? strchr(plain, (int)c) : NULL;

        if (special) {
            g_string_append_c(out, '\\');
            g_string_append_c(out, letter[special - plain]);
        } else if (c < 0x20 || c >= 0x7f) {
            put_escaped(c, out);
        } else {
            g_string_append_c(out, (char)c);
        }
    }
    g_string_append_c(out, '"');
}

static void put_newline(int indent, GString *out)
{
    if (indent >= 0) {
        g_string_append_printf(out, "\r\n%*s", MIN(indent, INDENT_MAX) * INDENT,
                               "");
    }
}

/* Between elements, and before the first. */
static void put_separator(bool first, int indent, GString *out)
{
    if (!first) {
        g_string_append(out, indent >= 0 ? "," : ", ");
    }
    put_newline(indent, out);
}

/* @indent: levels; -1: on one line. */
static void put_value(json_object *json, int indent, GString *out);

static void put_object(json_object *json, int indent, GString *out)
{
    int inner = indent >= 0 ? indent + 1 : -1;
    bool first = true;

    g_string_append_c(out, '{');
    json_object_object_foreach(json, name, value)
    {
        put_separator(first, inner, out);
        put_string(name, strlen(name), out);
        g_string_append(out, ": ");
        put_value(value, inner, out);
        first = false;
    }
    if (!first) {
        put_newline(indent, out);
    }
    g_string_append_c(out, '}');
}

static void put_array(json_object *json, int indent, GString *out)
{
    int inner = indent >= 0 ? indent + 1 : -1;
    size_t n = json_object_array_length(json);

    g_string_append_c(out, '[');
    for (size_t i = 0; i < n; i++) {
        put_separator(i == 0, inner, out);
        put_value(json_object_array_get_idx(json, i), inner, out);
    }
    if (n > 0) {
        put_newline(indent, out);
    }
    g_string_append_c(out, ']');
}

static void put_value(json_object *json, int indent, GString *out)
{
    switch (json_object_get_type(json)) {
    case json_type_object:
        put_object(json, indent, out);
        break;
    case json_type_array:
        put_array(json, indent, out);
        break;
    case json_type_string:
        put_string(json_object_get_string(json),
                   (size_t)json_object_get_string_len(json), out);
        break;
    case json_type_null:
    case json_type_boolean:
    case json_type_double:
    case json_type_int:
        g_string_append(out, json_object_to_json_string(json));
        break;
    }
}

void qmp_output(json_object *json, bool pretty, GString *out)
{
    put_value(json, pretty ? 0 : -1, out);
    g_string_append(out, "\r\n");
}
