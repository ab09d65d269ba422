/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The one reader and writer of all schema types: from JSON values or from
 * option text to C structs, and back to JSON, by the tables of qapi-type.h.
 *
 * Reading is strict. An unknown member, a missing one, a wrong type, a value
 * that an enum does not have, an integer out of range: each is an error that
 * names the member by its path ("addr.port", "vqs[2]") and says what would be
 * right. After an error nothing is allocated and the struct is all zero.
 *
 * Threads: pure functions on the caller's data.
 */
#ifndef QAPI_QAPI_VISIT_H
#define QAPI_QAPI_VISIT_H

#include "qapi/qapi-type.h"
#include "util/error.h"

/*
 * Fills @out, type->size bytes that need no initial value, from @json (NULL is
 * JSON's null), which stays the caller's. The caller frees what the struct
 * then holds with qapi_free_contents(). False: an error, @out is all zero.
 */
bool qapi_from_json(const QapiType *type, json_object *json, void *out,
                    Error **errp);

/*
 * The same from what keyval_parse() returns, where every leaf is a string:
 *   bool     on, off, yes, no, true, false, y, n
 *   integers decimal or 0x hexadecimal
 *   size     decimal or 0x hexadecimal, or decimal (a fraction is fine) with
 *            a suffix B, k, M, G, T, P or E, powers of 1024
 * Anything else of the wrong form is an error.
 */
bool qapi_from_keyval(const QapiType *type, json_object *json, void *out,
                      Error **errp);

/* The value at @ptr as JSON: a new reference. NULL stands for JSON's null. */
json_object *qapi_to_json(const QapiType *type, const void *ptr)
    G_GNUC_WARN_UNUSED_RESULT;

/* Frees what the value at @ptr owns, not @ptr itself, and zeroes it. */
void qapi_free_contents(const QapiType *type, void *ptr);

/* A zeroed value on the heap; and its end (NULL is fine). */
void *qapi_new(const QapiType *type) G_GNUC_WARN_UNUSED_RESULT;
void qapi_free(const QapiType *type, void *ptr);

/* qapi_new() and read it. NULL: an error. Free it with qapi_free(). */
void *qapi_new_from_json(const QapiType *type, json_object *json, Error **errp);
void *qapi_new_from_keyval(const QapiType *type, json_object *json,
                           Error **errp);

/* The name of value @value of an enum; NULL when it has no such value. */
const char *qapi_enum_str(const QapiType *type, int value);

/* The value of name @text; -1 when the enum has none of that name. */
int qapi_enum_find(const QapiType *type, const char *text);

/*
 * Parse JSON text of @len bytes that holds exactly one value, nested at most
 * QAPI_JSON_MAX_DEPTH deep. True: *@json is a new reference (NULL for null).
 */
#define QAPI_JSON_MAX_DEPTH 64
bool qapi_json_parse(const char *text, size_t len, json_object **json,
                     Error **errp);
/* The same with a limit of its own for nesting. */
bool qapi_json_parse_nested(const char *text, size_t len, unsigned max_depth,
                            json_object **json, Error **errp);

/*
 * The leaves of option text by themselves, for properties that are set from
 * text. @name is for the message only. False: error, *@out is untouched.
 */
bool qapi_parse_bool(const char *name, const char *text, bool *out,
                     Error **errp);
bool qapi_parse_int(const char *name, const char *text, int64_t min,
                    int64_t max, int64_t *out, Error **errp);
bool qapi_parse_uint(const char *name, const char *text, uint64_t max,
                     uint64_t *out, Error **errp);
/* As size, but a number without a suffix counts units of @unit bytes, as in
 * -m 512. */
bool qapi_parse_size_unit(const char *name, const char *text, uint64_t unit,
                          uint64_t *out, Error **errp);
bool qapi_parse_size(const char *name, const char *text, uint64_t *out,
                     Error **errp);

/*
 * @text made safe to show in a message: control bytes and bytes that are not
 * UTF-8 escaped, at most 64 bytes of it, then "...". Free with g_free().
 */
char *qapi_quote(const char *text) G_GNUC_WARN_UNUSED_RESULT;

#endif
