/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * As much of a QMP client as a command without an interesting answer needs.
 *
 * Threads: one at a time.
 */
#ifndef BENCH_QMP_H
#define BENCH_QMP_H

#include "bench.h"

typedef struct Qmp {
    int fd;
    char buf[65536]; /* what came and was not read yet */
    size_t len;
} Qmp;

/* Connects to the socket at @path and takes up the protocol. */
void qmp_open(Qmp *q, const char *path);
/* Runs a command, JSON without a line's end, and skips events. An error ends
 * the process with its text. */
void qmp_cmd(Qmp *q, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void qmp_close(Qmp *q);

#endif
