/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the qtest accelerator, its server and its commands share.
 *
 * Threads: under the machine lock.
 */
#ifndef ACCEL_QTEST_INTERNAL_H
#define ACCEL_QTEST_INTERNAL_H

#include "util/error.h"

/* Bytes of guest memory in one command, and of a command's line. */
#define QTEST_DATA_MAX (2 * MiB)
#define QTEST_LINE_MAX (2 * QTEST_DATA_MAX + 256)

/* Carries out @line (modified) and puts the answer, without newline, into
 * @answer. */
void qtest_command_run(char *line, GString *answer) MAIN_THREAD;

/* A line that is no answer ("IRQ raise 4"). */
void qtest_server_event(const char *text) MAIN_THREAD;

/* ---- interrupt lines (qtest-irq.c) ---- */

void qtest_irq_set(unsigned line, bool level) MAIN_THREAD;

/* Reports changes of the inputs or outputs @name (NULL: the unnamed ones) of
 * the device at @path from now on. NULL, or why not. */
const char *qtest_irq_intercept(const char *path, bool out, const char *name)
    MAIN_THREAD;
void qtest_irq_release(void) MAIN_THREAD;

/* Drives line @number of the device's inputs @name. NULL, or why not. */
const char *qtest_irq_drive(const char *path, const char *name, uint64_t number,
                            bool level) MAIN_THREAD;

#endif
