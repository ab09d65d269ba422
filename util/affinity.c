/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <sched.h>

#include "util/affinity.h"

#define MAX_CPU     UINT16_MAX
#define CPU_SET_LEN CPU_ALLOC_SIZE(MAX_CPU + 1)

void cpu_list_free(CpuList *list)
{
    g_clear_pointer(&list->cpu, g_free);
    list->n = 0;
}

/* ---- text ---- */

static bool parse_cpu(const char **p, unsigned *cpu)
{
    unsigned n = 0;

    if (!g_ascii_isdigit(**p)) {
        return false;
    }
    for (; g_ascii_isdigit(**p); (*p)++) {
        n = n * 10 + (unsigned)(**p - '0');
        if (n > MAX_CPU) {
            return false;
        }
    }
    *cpu = n;
    return true;
}

/* "3" or "3-5" */
static bool parse_range(const char **p, unsigned *first, unsigned *last)
{
    if (!parse_cpu(p, first)) {
        return false;
    }
    *last = *first;
    if (**p == '-') {
        (*p)++;
        return parse_cpu(p, last) && *last >= *first;
    }
    return true;
}

bool cpu_list_parse(const char *what, const char *text, CpuList *list,
                    Error **errp)
{
    g_autoptr(GArray) cpus = g_array_new(FALSE, FALSE, sizeof(uint16_t));
    const char *p = text;
    bool more = *text && strcmp(text, "all") != 0;

    *list = (CpuList){ 0 };
    while (more) {
        unsigned first, last;
        bool ok = parse_range(&p, &first, &last) && strchr(":,", *p);

        if (!ok || cpus->len + (last - first) > MAX_CPU) {
            g_autofree char *shown = g_strescape(text, NULL);

            error_setg(
                errp, "%s: '%.64s' is no list of CPUs, such as 0-3:6, or 'all'",
                what, shown);
            return false;
        }
        for (; first <= last; first++) {
            uint16_t cpu = (uint16_t)first;

            g_array_append_val(cpus, cpu);
        }
        more = *p != '\0';
        p += more;
    }
    list->n = cpus->len;
    list->cpu = (uint16_t *)(void *)g_array_free(g_steal_pointer(&cpus), FALSE);
    return true;
}

/* ---- masks ---- */

static void set_add_all(cpu_set_t *set, const CpuList *list)
{
    CPU_ZERO_S(CPU_SET_LEN, set);
    for (unsigned i = 0; i < list->n; i++) {
        CPU_SET_S(list->cpu[i], CPU_SET_LEN, set);
    }
}

bool cpu_list_check(const char *what, const CpuList *list, Error **errp)
{
    g_autofree cpu_set_t *seen = g_malloc0(CPU_SET_LEN);

    for (unsigned i = 0; i < list->n; i++) {
        if (CPU_ISSET_S(list->cpu[i], CPU_SET_LEN, seen)) {
            error_setg(errp, "%s: CPU %u is named twice", what, list->cpu[i]);
            return false;
        }
        CPU_SET_S(list->cpu[i], CPU_SET_LEN, seen);
    }
    return true;
}

static void set_list(const cpu_set_t *set, CpuList *list)
{
    list->n = 0;
    list->cpu = g_new(uint16_t, (size_t)CPU_COUNT_S(CPU_SET_LEN, set));
    for (unsigned i = 0; i <= MAX_CPU; i++) {
        if (CPU_ISSET_S(i, CPU_SET_LEN, set)) {
            list->cpu[list->n++] = (uint16_t)i;
        }
    }
}

bool thread_get_affinity(int tid, const char *what, CpuList *list, Error **errp)
{
    g_autofree cpu_set_t *set = g_malloc0(CPU_SET_LEN);

    if (sched_getaffinity(tid, CPU_SET_LEN, set) < 0) {
        error_setg_errno(errp, errno, "%s: thread %d", what, tid);
        return false;
    }
    set_list(set, list);
    return true;
}

/* The first of @list that is not in @set. */
static const uint16_t *first_missing(const CpuList *list, const cpu_set_t *set)
{
    for (unsigned i = 0; i < list->n; i++) {
        if (!CPU_ISSET_S(list->cpu[i], CPU_SET_LEN, set)) {
            return &list->cpu[i];
        }
    }
    return NULL;
}

/* The kernel leaves out, silently, what the thread may not use, unless that is
 * all of it: what it made of the list is read back. */
bool thread_set_affinity(int tid, const char *what, const CpuList *list,
                         Error **errp)
{
    g_autofree cpu_set_t *old = g_malloc0(CPU_SET_LEN);
    g_autofree cpu_set_t *new = g_malloc0(CPU_SET_LEN);
    const uint16_t *missing;

    if (sched_getaffinity(tid, CPU_SET_LEN, old) < 0) {
        error_setg_errno(errp, errno, "%s: thread %d", what, tid);
        return false;
    }
    if (list->n) {
        set_add_all(new, list);
    } else if (sched_getaffinity(getpid(), CPU_SET_LEN, new) < 0) {
        error_setg_errno(errp, errno, "%s", what);
        return false;
    }
    if (sched_setaffinity(tid, CPU_SET_LEN, new) < 0 && errno != EINVAL) {
        error_setg_errno(errp, errno, "%s: thread %d", what, tid);
        return false;
    }
    CPU_ZERO_S(CPU_SET_LEN, new);
    sched_getaffinity(tid, CPU_SET_LEN, new);
    missing = first_missing(list, new);
    if (missing) {
        sched_setaffinity(tid, CPU_SET_LEN, old);
        error_setg(errp,
                   "%s: CPU %u does not exist, is offline, or this process may "
                   "not use it",
                   what, *missing);
    }
    return !missing;
}
