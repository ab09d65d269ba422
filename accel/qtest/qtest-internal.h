/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the qtest accelerator, its server and its commands share.
 *
 * Threads: under the machine lock.
 */
#ifndef ACCEL_QTEST_INTERNAL_H
#define ACCEL_QTEST_INTERNAL_H

#include "util/error.h"

#define QTEST_LINES 24u

/* Bytes of guest memory in one command, and of a command's line. */
#define QTEST_DATA_MAX (2 * MiB)
#define QTEST_LINE_MAX (2 * QTEST_DATA_MAX + 256)

/* Carries out @line (modified) and appends the answer, without newline, to
 * @answer. False when the answer comes later, by qtest_server_answer(). */
bool qtest_command_run(char *line, GString *answer) MAIN_THREAD;

/* The answer to a command that was not answered at once. */
void qtest_server_answer(const char *text) MAIN_THREAD;

/* A line that is no answer ("IRQ raise 4"). */
void qtest_server_event(const char *text) MAIN_THREAD;

/* ---- interrupt lines ---- */

void qtest_irq_set(unsigned line, bool level) MAIN_THREAD;
void qtest_irq_intercept(bool on) MAIN_THREAD;

/* ---- clock ---- */

/* Nanoseconds since the first use. */
int64_t qtest_clock_ns(void) MAIN_THREAD;
/* Answers a command at that time of the clock. */
void qtest_clock_answer_at(int64_t ns) MAIN_THREAD;
void qtest_clock_cancel(void) MAIN_THREAD;

#endif
