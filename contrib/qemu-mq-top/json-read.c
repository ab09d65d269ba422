/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include "contrib/qemu-mq-top/json-read.h"

json_object *json_read(json_object *obj, const char *name, json_type type)
{
    json_object *value = NULL;

    if (!json_object_is_type(obj, json_type_object) ||
        !json_object_object_get_ex(obj, name, &value) ||
        !json_object_is_type(value, type)) {
        return NULL;
    }
    return value;
}

const char *json_read_str(json_object *obj, const char *name)
{
    json_object *value = json_read(obj, name, json_type_string);

    return value ? json_object_get_string(value) : NULL;
}

bool json_read_bool(json_object *obj, const char *name, bool otherwise)
{
    json_object *value = json_read(obj, name, json_type_boolean);

    return value ? json_object_get_boolean(value) : otherwise;
}

int64_t json_read_int(json_object *obj, const char *name, int64_t min,
                      int64_t max, int64_t otherwise)
{
    json_object *value = json_read(obj, name, json_type_int);
    int64_t n = value ? json_object_get_int64(value) : otherwise;

    return n >= min && n <= max ? n : otherwise;
}

bool json_to_counter(json_object *value, uint64_t *out)
{
    /* get_uint64() makes 0 of what is negative */
    if (!json_object_is_type(value, json_type_int) ||
        json_object_get_int64(value) < 0) {
        return false;
    }
    *out = json_object_get_uint64(value);
    return true;
}

bool json_read_counter(json_object *obj, const char *name, uint64_t *out)
{
    return json_to_counter(json_read(obj, name, json_type_int), out);
}

size_t json_length(json_object *array)
{
    return json_object_is_type(array, json_type_array)
               ? json_object_array_length(array)
               : 0;
}

/* The character at *@text, which goes on to the next one; bytes that are no
 * UTF-8 count as a character each. */
static gunichar next_char(const char **text)
{
    gunichar c = g_utf8_get_char_validated(*text, -1);

    if (c == (gunichar)-1 || c == (gunichar)-2) {
        (*text)++;
        return 0xfffd;
    }
    *text = g_utf8_next_char(*text);
    return c;
}

char *text_shown(const char *text, size_t max)
{
    GString *out = g_string_new(NULL);

    while (text && *text) {
        gunichar c = next_char(&text);

        if (out->len == max) {
            g_string_truncate(out, max >= 3 ? max - 3 : 0);
            g_string_append(out, "...");
            break;
        }
        g_string_append_c(out, c >= 0x20 && c < 0x7f ? (char)c : '?');
    }
    return g_string_free(out, FALSE);
}

char *json_to_ascii(json_object *value)
{
    const char *p = json_object_to_json_string_ext(
        value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    GString *out = g_string_new(NULL);

    while (*p) {
        gunichar c = next_char(&p);

        /* such characters are in strings only, where they may be escaped */
        if (c >= 0x20 && c < 0x7f) {
            g_string_append_c(out, (char)c);
        } else if (c < 0x10000) {
            g_string_append_printf(out, "\\u%04x", c);
        } else {
            g_string_append_printf(out, "\\u%04x\\u%04x",
                                   0xd800 + ((c - 0x10000) >> 10),
                                   0xdc00 + ((c - 0x10000) & 0x3ff));
        }
    }
    return g_string_free(out, FALSE);
}
