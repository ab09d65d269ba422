/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Errors of configuration: one line for a person, one class for a program.
 *
 * An Error is a glib GError whose code is an ErrorClass. Functions that can
 * fail take `Error **errp` last and return bool (true is success) or a
 * pointer (NULL is failure). Only main() and the monitor print them.
 *
 * A message names the option, the value, what was wrong and what would be
 * right, without a full stop or newline.
 *
 * Threads: an Error belongs to whoever holds the pointer; no shared state.
 */
#ifndef UTIL_ERROR_H
#define UTIL_ERROR_H

#include "util/osdep.h"

typedef GError Error;

/* The classes that the QMP specification names, 2.4.2. */
typedef enum ErrorClass {
    ERROR_CLASS_GENERIC_ERROR,
    ERROR_CLASS_COMMAND_NOT_FOUND,
    ERROR_CLASS_DEVICE_NOT_ACTIVE,
    ERROR_CLASS_DEVICE_NOT_FOUND,
} ErrorClass;

/* Sets *@errp (when @errp is not NULL) to a GenericError. */
void error_setg(Error **errp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* The same with the text of @os_errno (positive) after ": ". */
void error_setg_errno(Error **errp, int os_errno, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/* The same with a class. */
void error_set_class(Error **errp, ErrorClass cls, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/* Puts the formatted text before the message of *@errp, if there is one. */
void error_prepend(Error **errp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Moves @local (may be NULL) to *@errp, or frees it when @errp is NULL. */
void error_propagate(Error **errp, Error *local);

/* The class of @err, and its QMP name ("GenericError"...). */
ErrorClass error_get_class(const Error *err);
const char *error_class_name(ErrorClass cls);

/*
 * Prints "PROGRAM: warning: TEXT" or "PROGRAM: TEXT" and a newline on stderr,
 * with a timestamp when `-msg timestamp=on`. Any thread.
 */
void warn_report(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void error_report(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* Set once by main() while parsing options (`-msg`, argv[0]). */
void error_set_program(const char *name);
void error_set_timestamps(bool on);
void error_set_guest_name(const char *name); /* NULL: not shown */

#endif
