/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What threads have used of the CPUs.
 *
 * Threads: any.
 */
#ifndef UTIL_THREAD_TIME_H
#define UTIL_THREAD_TIME_H

/* For how long, in nanoseconds, the thread of that id has run since it was
 * made: one of this process, or of the kernel. False: @tid is -1, there is no
 * such thread, or the kernel does not tell. */
bool thread_cpu_time(int tid, uint64_t *ns);

#endif
