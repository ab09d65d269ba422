/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading JSON that somebody else wrote: every member may be absent or of
 * another type than expected. And text of theirs, made fit to be shown.
 *
 * Threads: nothing here has state.
 */
#ifndef MQ_TOP_JSON_READ_H
#define MQ_TOP_JSON_READ_H

#include "util/osdep.h"

#include <json-c/json.h>

/* The member @name of @obj when @obj is an object and the member is of @type;
 * else NULL. The reference stays @obj's. */
json_object *json_read(json_object *obj, const char *name, json_type type);

/* A string member; NULL when there is none. */
const char *json_read_str(json_object *obj, const char *name);

/* A boolean member, @otherwise when there is none. */
bool json_read_bool(json_object *obj, const char *name, bool otherwise);

/* An integer member within @min to @max, @otherwise when there is none. */
int64_t json_read_int(json_object *obj, const char *name, int64_t min,
                      int64_t max, int64_t otherwise);

/* A counter: an integer from 0 to 2^64-1. False when @value is none. */
bool json_to_counter(json_object *value, uint64_t *out);

/* The same of a member. */
bool json_read_counter(json_object *obj, const char *name, uint64_t *out);

/* Entries of an array, 0 when @array is none. */
size_t json_length(json_object *array);

/* @text (may be NULL) with a '?' for each character that is not printable
 * ASCII, so that no terminal takes it for a command; "..." at the end when
 * more than @max bytes came of it. Free with g_free(). */
char *text_shown(const char *text, size_t max);

/* @value as one line of JSON in printable ASCII. Free with g_free(). */
char *json_to_ascii(json_object *value);

#endif
