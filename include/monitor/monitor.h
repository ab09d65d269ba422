/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Monitors: the management protocol (QMP) for programs and the human monitor
 * (HMP) for people, each at a character device.
 *
 * Threads: main thread.
 */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include "chardev/char.h"
#include "util/error.h"

typedef struct MonitorOptions MonitorOptions; /* qapi/qapi-types.h */

/*
 * Makes the monitor that @options ask for, at an existing chardev. False: there
 * is none of that id, it is taken, or another monitor has the same id.
 */
bool monitor_new(const MonitorOptions *options, Error **errp) MAIN_THREAD;

/* Detaches and frees all monitors, of both kinds. */
void monitor_cleanup(void) MAIN_THREAD;

/* A human monitor that talks to @chr (a mux shares it with others). */
bool hmp_monitor_new(Chardev *chr, Error **errp) MAIN_THREAD;

/* Detaches and frees all human monitors. */
void hmp_monitor_cleanup(void) MAIN_THREAD;

/* Runs @line as if typed; what it prints is added to @out, lines end in \n. */
void hmp_run(const char *line, GString *out) MAIN_THREAD;

#endif
