/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * On which of the host's CPUs a thread runs.
 *
 * Threads: any.
 */
#ifndef UTIL_AFFINITY_H
#define UTIL_AFFINITY_H

#include "util/error.h"

typedef struct CpuList {
    unsigned n;
    uint16_t *cpu; /* owned; NULL for none */
} CpuList;

void cpu_list_free(CpuList *list);

/*
 * Reads CPUs and ranges of them, with colons or commas between, "0-3:6";
 * nothing and "all": the empty list. @what names them in errors. On false
 * @list is empty.
 */
bool cpu_list_parse(const char *what, const char *text, CpuList *list,
                    Error **errp);

/* False when a CPU is in it twice. */
bool cpu_list_check(const char *what, const CpuList *list, Error **errp);

/*
 * Lets thread @tid of the host run on the CPUs of @list only; the empty list:
 * on all that this process's first thread may use. False, and nothing has
 * changed, when one of them is offline or forbidden, or the thread is not ours.
 */
bool thread_set_affinity(int tid, const char *what, const CpuList *list,
                         Error **errp);

/* Where thread @tid of the host may run, into @list. False: it is not there. */
bool thread_get_affinity(int tid, const char *what, CpuList *list,
                         Error **errp);

#endif
