/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Help on options that are members of a QAPI type.
 *
 * Threads: main() and the main thread; no state.
 */
#ifndef QAPI_SCHEMA_HELP_H
#define QAPI_SCHEMA_HELP_H

#include "qapi/qapi-type.h"
#include "util/error.h"

/*
 * Prints "@title options:" and a line "  NAME=<KIND>" for each member of
 * @type, a struct or a union, on stdout. Of a union: all but the
 * discriminator, and the members of the branch with value @branch.
 */
void schema_print_options(const char *title, const QapiType *type,
                          unsigned branch);

/* The kind of @member as help shows it: "bool", "uint32", "a|b" for an enum.
 * Free with g_free(). */
char *schema_kind(const QapiMember *member) G_GNUC_WARN_UNUSED_RESULT;

/* Adds " (HINT)" to *@errp when it says that there is no such parameter. */
void schema_hint_unknown(Error **errp, const char *hint);

#endif
