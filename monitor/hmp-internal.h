/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tables of the human monitor's commands.
 *
 * Threads: main thread.
 */
#ifndef MONITOR_HMP_INTERNAL_H
#define MONITOR_HMP_INTERNAL_H

#include "monitor/monitor.h"

typedef struct HmpCommand {
    const char *name;
    const char *alias; /* another name, or NULL */
    const char *args;  /* for help; "" when it takes none */
    const char *help;
    /* @args: what followed the name, "" when nothing did */
    void (*run)(const char *args, GString *out);
} HmpCommand;

/* Subcommands of `info`; the last has no name. */
extern const HmpCommand hmp_info_commands[];

/* hmp-ringbuf.c: DEVICE SIZE and DEVICE DATA */
void hmp_ringbuf_read(const char *args, GString *out);
void hmp_ringbuf_write(const char *args, GString *out);

#endif
