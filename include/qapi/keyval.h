/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Option text, "tap,id=n0,queues=4", to nested JSON objects whose leaves are
 * strings; and the front door for options that may also be written as JSON.
 *
 *   key=value      value up to the next comma; ",," is a literal comma
 *   a.b.c=v        nests: {"a":{"b":{"c":"v"}}}
 *   l.0=x,l.1=y    keys 0..n-1, all present, make a list: {"l":["x","y"]}
 *   word           the first one gets the implied key, when there is one;
 *                  any other is the same as word=on
 *   help, ?        bare, anywhere: *help becomes true
 *   key given twice: the last one wins
 *
 * A key's fragments are letters, digits, `-` and `_`; each begins with a
 * letter or is a number. Text is at most KEYVAL_MAX_LENGTH bytes of UTF-8,
 * keys nest KEYVAL_MAX_DEPTH deep.
 *
 * Threads: pure functions on the caller's data.
 */
#ifndef QAPI_KEYVAL_H
#define QAPI_KEYVAL_H

#include "qapi/qapi-type.h"
#include "util/error.h"

#define KEYVAL_MAX_LENGTH (64 * 1024)
#define KEYVAL_MAX_DEPTH  32

/*
 * Parses @text. @implied_key may be NULL. @help may be NULL: then "help" is a
 * word like any other. Returns a new reference to a JSON object, or NULL with
 * an error.
 */
json_object *keyval_parse(const char *text, const char *implied_key, bool *help,
                          Error **errp);

/*
 * Parses @text as JSON when it starts with '{' (then *@is_json is true), as
 * option text otherwise. Arguments and result as above; @is_json is required.
 */
json_object *options_parse(const char *text, const char *implied_key,
                           bool *is_json, bool *help, Error **errp);

/*
 * options_parse() and the reader that fits: a new struct of @type, to be
 * freed with qapi_free(). When help was asked for, *@help is true and the
 * result NULL without an error. @help may be NULL as above.
 */
void *qapi_new_from_options(const QapiType *type, const char *text,
                            const char *implied_key, bool *help, Error **errp);

#endif
