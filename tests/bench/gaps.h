/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long a ring stood still: the longest time between two advances of its
 * used index, window by window. A window is opened by one thread while another
 * one watches the ring; what ends in a window belongs to it, however long
 * before it began.
 *
 * Threads: marked. The one that opens windows looks at their results.
 */
#ifndef BENCH_GAPS_H
#define BENCH_GAPS_H

#include "bench.h"

typedef struct Gaps {
    /* fixed while it is watched */
    unsigned int capacity; /* windows */

    /* the watching thread */
    uint64_t last_ns; /* of the latest advance; 0: there was none */

    /* any thread, atomic: one writer each */
    unsigned int window; /* the opening thread; the first is 0 */
    uint64_t advances;   /* the watching thread */
    uint64_t *longest;   /* the same; [capacity], ns */
} Gaps;

typedef struct Percentiles {
    int count;
    double p50, p99, max; /* us */
} Percentiles;

void gaps_init(Gaps *g, unsigned int capacity);
void gaps_free(Gaps *g);
/* The ring has advanced. The watching thread. */
void gaps_advance(Gaps *g, uint64_t now);
/* Opens the next window, while there is one. The opening thread. */
void gaps_open(Gaps *g);
/* Waits until the ring has advanced after this call; false: it does not
 * within @ns. The opening thread. */
bool gaps_wait(Gaps *g, uint64_t ns);
/* Of windows @first, @first + @step... before @end; us. */
Percentiles gaps_percentiles(const Gaps *g, unsigned int first,
                             unsigned int step, unsigned int end);

#endif
