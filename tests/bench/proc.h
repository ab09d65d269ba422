/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process and the machine spend, from /proc.
 *
 * Threads: the main thread.
 */
#ifndef BENCH_PROC_H
#define BENCH_PROC_H

#include "bench.h"

#define MAX_THREADS 256

/* Cumulated, of one thread; CPU time is the scheduler's, not by ticks. */
typedef struct ThreadTimes {
    int tid;
    char name[16];
    uint64_t run_ns, wait_ns; /* on a CPU; ready, but waiting for one */
    uint64_t switches;        /* voluntary */
    uint64_t user, system;    /* ticks */
} ThreadTimes;

typedef struct ProcSnapshot {
    uint64_t at_ns;
    int count;
    ThreadTimes thread[MAX_THREADS];
} ProcSnapshot;

/* All threads of @pid, workers that the kernel made for it included. */
void proc_snapshot(int pid, ProcSnapshot *s);
/* What thread number @i of @b has spent since @a. */
ThreadTimes proc_thread_since(const ProcSnapshot *a, const ProcSnapshot *b,
                              int i);
/* The sum over threads. */
ThreadTimes proc_since(const ProcSnapshot *a, const ProcSnapshot *b);

/* Whether no thread of @pid runs or wants to. */
bool proc_asleep(int pid);

/* CPU milliseconds of all processors: busy, and taken by the hypervisor. */
void machine_cpu(uint64_t *busy_ms, uint64_t *stolen_ms);

#endif
