/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Option text to nested JSON objects of strings; see qapi/keyval.h. */
#include "util/osdep.h"
#include <json-c/json.h>
#include "qapi/keyval.h"
#include "qapi/qapi-visit.h"

/* Takes one item off *@text: up to a lone comma; ",," becomes ",". */
static char *next_item(const char **text)
{
    GString *item = g_string_new(NULL);
    const char *p = *text;

    while (*p && (*p != ',' || p[1] == ',')) {
        g_string_append_c(item, *p);
        p += *p == ',' ? 2 : 1;
    }
    *text = *p == ',' ? p + 1 : p;
    return g_string_free(item, FALSE);
}

/* Length of the key's fragment at @p; 0: there is no valid one. */
static size_t fragment_length(const char *p)
{
    size_t n = 0;

    if (g_ascii_isdigit(*p)) {
        while (g_ascii_isdigit(p[n])) {
            n++;
        }
    } else if (g_ascii_isalpha(*p)) {
        while (g_ascii_isalnum(p[n]) || p[n] == '-' || p[n] == '_') {
            n++;
        }
    }
    return p[n] == '.' || p[n] == '\0' ? n : 0;
}

static bool bad_key(const char *key, const char *why, Error **errp)
{
    g_autofree char *shown = qapi_quote(key);

    error_setg(errp, "Invalid parameter '%s': %s", shown, why);
    return false;
}

/* Puts @value at the place that @key names under @root. */
static bool store(json_object *root, const char *key, const char *value,
                  Error **errp)
{
    json_object *object = root;
    const char *p = key;

    for (unsigned depth = 1;; depth++) {
        size_t n = fragment_length(p);
        g_autofree char *fragment = g_strndup(p, n);
        json_object *child = NULL;

        if (n == 0) {
            return bad_key(key, "expected names or numbers joined by '.'",
                           errp);
        }
        if (depth > KEYVAL_MAX_DEPTH) {
            return bad_key(key, "nested too deep", errp);
        }
        json_object_object_get_ex(object, fragment, &child);
        if (child &&
            (p[n] == '.') != json_object_is_type(child, json_type_object)) {
            return bad_key(key, "it is both a value and a group of values",
                           errp);
        }
        if (p[n] == '\0') {
            json_object_object_add(object, fragment,
                                   json_object_new_string(value));
            return true;
        }
        if (!child) {
            child = json_object_new_object();
            json_object_object_add(object, fragment, child);
        }
        object = child;
        p += n + 1;
    }
}

static bool parse_item(json_object *root, const char *item, bool first,
                       const char *implied_key, bool *help, Error **errp)
{
    const char *equals = strchr(item, '=');
    g_autofree char *key = NULL;

    if (equals) {
        key = g_strndup(item, equals - item);
        return store(root, key, equals + 1, errp);
    }
    if (help && (strcmp(item, "help") == 0 || strcmp(item, "?") == 0)) {
        *help = true;
        return true;
    }
    if (first && implied_key) {
        return store(root, implied_key, item, errp);
    }
    return store(root, item, "on", errp);
}

/*
 * The number that the object's key @key is as a list's index: below @n and
 * written the plain way. False: not such a number.
 */
static bool list_index(const char *key, size_t n, size_t *index)
{
    char *end;

    if (key[0] == '0' && key[1] != '\0') {
        return false;
    }
    errno = 0;
    *index = g_ascii_strtoull(key, &end, 10);
    return errno == 0 && *end == '\0' && *index < n;
}

static bool listify(json_object **json, GString *path, Error **errp);

/* Makes lists of what is below @object. @path ends with its name. */
static bool listify_members(json_object *object, GString *path, Error **errp)
{
    size_t len = path->len;

    json_object_object_foreach(object, key, child)
    {
        json_object *result = json_object_get(child);

        g_string_append_printf(path, "%s%s", len ? "." : "", key);
        if (!listify(&result, path, errp)) {
            json_object_put(result);
            return false;
        }
        g_string_truncate(path, len);
        if (result == child) {
            json_object_put(result);
        } else {
            json_object_object_add(object, key, result);
        }
    }
    return true;
}

/* A list of what @object has under the keys 0..@n-1. */
static json_object *object_to_list(json_object *object, size_t n,
                                   const GString *path, Error **errp)
{
    json_object *list = json_object_new_array_ext((int)n);

    json_object_object_foreach(object, key, child)
    {
        size_t index;

        if (!list_index(key, n, &index)) {
            g_autofree char *shown = qapi_quote(path->str);
            g_autofree char *wrong = qapi_quote(key);

            error_setg(errp,
                       "Invalid parameter '%s.%s': the list '%s' has %zu "
                       "elements, expected the numbers 0 to %zu",
                       shown, wrong, shown, n, n - 1);
            json_object_put(list);
            return NULL;
        }
        json_object_array_put_idx(list, index, json_object_get(child));
    }
    return list;
}

/* Turns *@json, if it is an object with numbers for keys, into a list, and so
 * on below it. The depth is that of the keys, thus limited. */
static bool listify(json_object **json, GString *path, Error **errp)
{
    size_t n_numbers = 0;
    size_t n = 0;
    json_object *list;

    if (!json_object_is_type(*json, json_type_object)) {
        return true;
    }
    json_object_object_foreach(*json, key, child)
    {
        (void)child;
        n++;
        n_numbers += g_ascii_isdigit(key[0]);
    }
    if (!listify_members(*json, path, errp)) {
        return false;
    }
    if (n_numbers == 0) {
        return true;
    }
    if (n_numbers != n || path->len == 0) {
        return bad_key(path->str, "numbers and names are mixed", errp);
    }
    list = object_to_list(*json, n, path, errp);
    if (!list) {
        return false;
    }
    json_object_put(*json);
    *json = list;
    return true;
}

static bool parse_items(json_object **root, const char *text,
                        const char *implied_key, bool *help, Error **errp)
{
    g_autoptr(GString) path = g_string_new(NULL);

    for (bool first = true; *text; first = false) {
        g_autofree char *item = next_item(&text);

        if (!parse_item(*root, item, first, implied_key, help, errp)) {
            return false;
        }
    }
    return listify(root, path, errp);
}

json_object *keyval_parse(const char *text, const char *implied_key, bool *help,
                          Error **errp)
{
    json_object *root;

    if (help) {
        *help = false;
    }
    if (strnlen(text, KEYVAL_MAX_LENGTH + 1) > KEYVAL_MAX_LENGTH) {
        error_setg(errp, "Option text has more than %d bytes",
                   KEYVAL_MAX_LENGTH);
        return NULL;
    }
    if (!g_utf8_validate(text, -1, NULL)) {
        error_setg(errp, "Option text is not valid UTF-8");
        return NULL;
    }
    root = json_object_new_object();
    if (!parse_items(&root, text, implied_key, help, errp)) {
        json_object_put(root);
        return NULL;
    }
    return root;
}

json_object *options_parse(const char *text, const char *implied_key,
                           bool *is_json, bool *help, Error **errp)
{
    json_object *json;

    *is_json = text[0] == '{';
    if (!*is_json) {
        return keyval_parse(text, implied_key, help, errp);
    }
    if (help) {
        *help = false;
    }
    return qapi_json_parse(text, strlen(text), &json, errp) ? json : NULL;
}

void *qapi_new_from_options(const QapiType *type, const char *text,
                            const char *implied_key, bool *help, Error **errp)
{
    json_object *json;
    void *value = NULL;
    bool is_json;

    json = options_parse(text, implied_key, &is_json, help, errp);
    if (!json) {
        return NULL;
    }
    if (!help || !*help) {
        value = is_json ? qapi_new_from_json(type, json, errp)
                        : qapi_new_from_keyval(type, json, errp);
    }
    json_object_put(json);
    return value;
}
