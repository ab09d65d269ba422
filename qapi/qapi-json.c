/* SPDX-License-Identifier: GPL-2.0-or-later */
/* JSON text to values, and the readers' results on the heap. */
#include "util/osdep.h"
#include <json-c/json.h>
#include "qapi/qapi-visit.h"

/* Offset behind the string that begins at @text[@i], or @len. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
    char quote = text[i];

    for (i++; i < len && text[i] != quote; i++) {
        if (text[i] == '\\') {
            i++;
        }
    }
    return MIN(i + 1, len);
}

/*
 * Reads the number that begins at @text[*@i]. False: it is an integer of more
 * than 64 bits.
 */
static bool check_number(const char *text, size_t len, size_t *i)
{
    bool negative = text[*i] == '-';
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : UINT64_MAX;
    uint64_t value = 0;
    bool fits = true;

    for (*i += negative; *i < len && g_ascii_isdigit(text[*i]); (*i)++) {
        unsigned digit = (unsigned)(text[*i] - '0');

        fits = fits && value <= (limit - digit) / 10;
        value = fits ? value * 10 + digit : value;
    }
    if (*i < len && strchr(".eE", text[*i]) && text[*i]) {
        fits = true;
        while (*i < len && (g_ascii_isalnum(text[*i]) || text[*i] == '.' ||
                            text[*i] == '+' || text[*i] == '-')) {
            (*i)++;
        }
    }
    return fits;
}

/*
 * json-c puts the nearest value in the place of an integer that does not fit;
 * so they are looked for beforehand. Returns the offset of the first, or @len.
 */
static size_t find_big_integer(const char *text, size_t len)
{
    size_t i = 0;

    while (i < len) {
        size_t start = i;

        if (text[i] == '"' || text[i] == '\'') {
            i = skip_string(text, len, i);
        } else if (text[i] == '-' || g_ascii_isdigit(text[i])) {
            if (!check_number(text, len, &i)) {
                return start;
            }
        } else {
            i++;
        }
    }
    return len;
}

bool qapi_json_parse(const char *text, size_t len, json_object **json,
                     Error **errp)
{
    return qapi_json_parse_nested(text, len, QAPI_JSON_MAX_DEPTH, json, errp);
}

bool qapi_json_parse_nested(const char *text, size_t len, unsigned max_depth,
                            json_object **json, Error **errp)
{
    json_tokener *tokener = json_tokener_new_ex((int)max_depth);
    enum json_tokener_error result;
    json_object *value;
    size_t end = find_big_integer(text, len);

    if (end < len) {
        json_tokener_free(tokener);
        error_setg(errp,
                   "Invalid JSON at byte %zu: integer of more than 64 "
                   "bits",
                   end);
        return false;
    }
    json_tokener_set_flags(tokener,
                           JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    value = json_tokener_parse_ex(tokener, text, (int)MIN(len, INT_MAX));
    result = json_tokener_get_error(tokener);
    end = json_tokener_get_parse_end(tokener);
    if (result == json_tokener_continue) {
        /* The text ends in a number, or too early: the NUL says that. */
        value = json_tokener_parse_ex(tokener, "", 1);
        result = json_tokener_get_error(tokener);
        end = len;
    }
    json_tokener_free(tokener);
    if (result == json_tokener_success) {
        while (end < len && g_ascii_isspace(text[end])) {
            end++;
        }
        if (end == len) {
            *json = value;
            return true;
        }
        json_object_put(value);
    }
    error_setg(errp, "Invalid JSON at byte %zu: %s", end,
               result == json_tokener_success
                   ? "expected nothing after the value"
                   : json_tokener_error_desc(result));
    return false;
}

static void *new_from(const QapiType *type, json_object *json,
                      bool (*read)(const QapiType *, json_object *, void *,
                                   Error **),
                      Error **errp)
{
    void *value = qapi_new(type);

    if (!read(type, json, value, errp)) {
        g_free(value);
        return NULL;
    }
    return value;
}

void *qapi_new_from_json(const QapiType *type, json_object *json, Error **errp)
{
    return new_from(type, json, qapi_from_json, errp);
}

void *qapi_new_from_keyval(const QapiType *type, json_object *json,
                           Error **errp)
{
    return new_from(type, json, qapi_from_keyval, errp);
}
