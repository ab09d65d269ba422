/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How fast guest RAM is written: a measurement by command, one at a time
 * (calc-dirty-rate). system/dirty-sample.c looks at pages twice,
 * system/dirty-rate.c counts the log's (system/dirty-log.h).
 *
 * Threads: per function.
 */
#ifndef SYSTEM_DIRTY_RATE_H
#define SYSTEM_DIRTY_RATE_H

#include "system/memory.h"

/* Ends a measurement under way, without a result. */
void dirty_rate_cleanup(void) MAIN_THREAD;

/* ---- dirty-sample.c ---- */

typedef struct DirtySample DirtySample;

/* @per_gib pages of each GiB of the RAM there is, chosen at random, at least
 * one. Not looked at yet. NULL: there is no RAM that the guest may write. */
DirtySample *dirty_sample_new(uint64_t per_gib) MAIN_THREAD;
void dirty_sample_free(DirtySample *sample);
/* Looks at the pages; before each one at @stop, which ends that. One thread at
 * a time, without any lock. */
void dirty_sample_look(DirtySample *sample, const bool *stop);
/* After the second look: of how many bytes it has found that they were written,
 * if the pages are like all others. Any thread. */
uint64_t dirty_sample_written(const DirtySample *sample);
/* Pages looked at. */
uint64_t dirty_sample_pages(const DirtySample *sample);

#endif
