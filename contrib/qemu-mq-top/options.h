/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line.
 *
 * Threads: nothing here has state.
 */
#ifndef MQ_TOP_OPTIONS_H
#define MQ_TOP_OPTIONS_H

#include "util/error.h"

typedef struct MqOptions {
    const char *address; /* NULL with @help or @version */
    bool help, version;
    bool once;        /* no screen */
    bool json;        /* with @once */
    bool reconnect;   /* when the emulator is gone, or not there yet */
    int64_t interval; /* microseconds */
    unsigned count;   /* samples or reports, 0: no end */
} MqOptions;

/* Reads the arguments of main(). */
bool mq_options_parse(int argc, char **argv, MqOptions *out, Error **errp);

/* The text of --help. */
const char *mq_options_usage(void);

#endif
