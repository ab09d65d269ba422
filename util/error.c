/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <time.h>

#include "util/error.h"

static const char *const class_names[] = {
    [ERROR_CLASS_GENERIC_ERROR] = "GenericError",
    [ERROR_CLASS_COMMAND_NOT_FOUND] = "CommandNotFound",
    [ERROR_CLASS_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
    [ERROR_CLASS_DEVICE_NOT_FOUND] = "DeviceNotFound",
};

/* Written once by main() while it parses options, before other threads. */
static struct {
    char *program;
    char *guest_name;
    bool timestamps;
} report;

static GQuark error_quark(void)
{
    return g_quark_from_static_string("qemu-mq");
}

static void error_setv(Error **errp, ErrorClass cls, int os_errno,
                       const char *fmt, va_list ap)
{
    g_autofree char *text = NULL;

    if (!errp) {
        return;
    }
    text = g_strdup_vprintf(fmt, ap);
    if (os_errno) {
        g_set_error(errp, error_quark(), cls, "%s: %s", text,
                    g_strerror(os_errno));
    } else {
        g_set_error_literal(errp, error_quark(), cls, text);
    }
}

void error_setg(Error **errp, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    error_setv(errp, ERROR_CLASS_GENERIC_ERROR, 0, fmt, ap);
    va_end(ap);
}

void error_setg_errno(Error **errp, int os_errno, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    error_setv(errp, ERROR_CLASS_GENERIC_ERROR, os_errno, fmt, ap);
    va_end(ap);
}

void error_set_class(Error **errp, ErrorClass cls, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    error_setv(errp, cls, 0, fmt, ap);
    va_end(ap);
}

void error_prepend(Error **errp, const char *fmt, ...)
{
    va_list ap;
    g_autofree char *text = NULL;

    if (!errp || !*errp) {
        return;
    }
    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_prefix_error(errp, "%s", text);
}

void error_propagate(Error **errp, Error *local)
{
    if (local) {
        g_propagate_error(errp, local);
    }
}

ErrorClass error_get_class(const Error *err)
{
    bool ours = err->domain == error_quark() && err->code >= 0 &&
                err->code < (int)ARRAY_SIZE(class_names);

    return ours ? (ErrorClass)err->code : ERROR_CLASS_GENERIC_ERROR;
}

const char *error_class_name(ErrorClass cls)
{
    return class_names[cls];
}

/* One write for the whole line: lines of two threads do not mix. */
static void report_line(const char *kind, const char *fmt, va_list ap)
{
    g_autoptr(GString) line = g_string_new(NULL);

    if (report.timestamps) {
        g_autoptr(GDateTime) now = g_date_time_new_now_utc();
        g_autofree char *text = g_date_time_format(now, "%Y-%m-%dT%H:%M:%S");

        g_string_append_printf(line, "%s.%06dZ ", text,
                               g_date_time_get_microsecond(now));
    }
    if (report.guest_name) {
        g_string_append_printf(line, "%s ", report.guest_name);
    }
    g_string_append_printf(line, "%s: %s",
                           report.program ? report.program : "qemu-mq", kind);
    g_string_append_vprintf(line, fmt, ap);
    g_string_append_c(line, '\n');
    fwrite(line->str, 1, line->len, stderr);
    fflush(stderr);
}

void warn_report(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report_line("warning: ", fmt, ap);
    va_end(ap);
}

void error_report(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    report_line("", fmt, ap);
    va_end(ap);
}

void error_set_program(const char *name)
{
    g_free(report.program);
    report.program = g_path_get_basename(name);
}

void error_set_timestamps(bool on)
{
    report.timestamps = on;
}

void error_set_guest_name(const char *name)
{
    g_free(report.guest_name);
    report.guest_name = g_strdup(name);
}
