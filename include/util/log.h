/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log of guest errors and other rare things (`-d guest_errors`, `-D FILE`).
 *
 * Threads: any. Never called per packet: the datapath counts instead.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

#include "util/error.h"

typedef enum LogMask {
    LOG_GUEST_ERROR = 1 << 0,
    LOG_UNIMP = 1 << 1,
} LogMask;

/* Logs when @mask is enabled; at most 1000 lines a second, then one line that
 * counts what was left out: a guest cannot fill a disk. */
void log_mask(LogMask mask, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Parses `-d` items ("guest_errors,unimp", "help" lists) and `-D`. */
bool log_configure(const char *items, const char *file, Error **errp);

#endif
