/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counts the system calls of a process, by number, with a BPF program on the
 * kernel's sys_enter: some ns a call, no stop of the process.
 *
 * Threads: the main thread.
 */
#ifndef BENCH_SYSCOUNT_H
#define BENCH_SYSCOUNT_H

#include "bench.h"

#define SYSCALL_NUMBERS 512

typedef struct SyscallCount {
    int prog, link, map;
    volatile uint64_t *count; /* [SYSCALL_NUMBERS]; written by the kernel */
} SyscallCount;

/* Starts to count calls of @pid's threads; false and a reason on stderr when
 * the kernel has no raw tracepoints. */
bool syscall_count_start(SyscallCount *c, int pid);
/* Stops counting; the counts stay until syscall_count_free(). */
void syscall_count_stop(SyscallCount *c);
void syscall_count_free(SyscallCount *c);
/* Calls of all numbers. */
uint64_t syscall_count_total(const SyscallCount *c);
/* "read:12,futex:3" of those that were called, most often first. */
void syscall_count_text(const SyscallCount *c, char *text, size_t size);

#endif
