/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPU time of threads: their clocks, or what the scheduler says of them. */
#include "util/osdep.h"

#include <time.h>

#include "util/thread-time.h"

/* The clock of a thread's CPU time, as pthread_getcpuclockid() makes it of one
 * that has a pthread_t: the id's complement, "a thread's" and "all CPU time".
 */
static clockid_t thread_clock(int tid)
{
    return (clockid_t)(~(unsigned)tid << 3 | 4 | 2);
}

/* proc(5): the first of three numbers, nanoseconds. It may lag behind by a tick
 * of the scheduler. */
static bool read_schedstat(int tid, uint64_t *ns)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/schedstat", tid);
    g_autofree char *text = NULL;
    char *end;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return false;
    }
    *ns = g_ascii_strtoull(text, &end, 10);
    return end != text;
}

bool thread_cpu_time(int tid, uint64_t *ns)
{
    struct timespec t;

    if (tid <= 0) {
        return false;
    }
    /* Threads of this process alone; workers of vhost are, in newer kernels. */
    if (clock_gettime(thread_clock(tid), &t) == 0) {
        *ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
        return true;
    }
    return read_schedstat(tid, ns);
}
