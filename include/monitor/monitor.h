/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The human monitor (HMP): commands typed at a character device.
 *
 * Threads: main thread.
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include "chardev/char.h"
#include "util/error.h"

/* What `info name` and `info uuid` say; once, before the first monitor. @name
 * may be NULL; both are copied. */
void monitor_init(const char *name, const uint8_t uuid[16]) MAIN_THREAD;

/* A monitor that talks to @chr (a mux shares it with others). */
bool monitor_new(Chardev *chr, Error **errp) MAIN_THREAD;

/* Detaches and frees all monitors. */
void monitor_cleanup(void) MAIN_THREAD;

/* Runs @line as if typed; what it prints is added to @out, lines end in \n. */
void hmp_run(const char *line, GString *out) MAIN_THREAD;

#endif
