/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sched.h>

#include "gaps.h"

void gaps_init(Gaps *g, unsigned int capacity)
{
    *g = (Gaps){ .capacity = capacity,
                 .longest = alloc(capacity, sizeof(g->longest[0])) };
}

void gaps_free(Gaps *g)
{
    free(g->longest);
    g->longest = NULL;
}

void gaps_advance(Gaps *g, uint64_t now)
{
    unsigned int window = __atomic_load_n(&g->window, __ATOMIC_ACQUIRE);

    if (g->last_ns && now - g->last_ns > g->longest[window]) {
        counter_set(&g->longest[window], now - g->last_ns);
    }
    g->last_ns = now;
    /* Who sees the advance sees its gap. */
    __atomic_store_n(&g->advances, g->advances + 1, __ATOMIC_RELEASE);
}

void gaps_open(Gaps *g)
{
    if (g->window + 1 < g->capacity) {
        __atomic_store_n(&g->window, g->window + 1, __ATOMIC_RELEASE);
    }
}

bool gaps_wait(Gaps *g, uint64_t ns)
{
    uint64_t before = __atomic_load_n(&g->advances, __ATOMIC_ACQUIRE);
    uint64_t start = now_ns();

    while (__atomic_load_n(&g->advances, __ATOMIC_ACQUIRE) == before) {
        if (now_ns() - start > ns) {
            return false;
        }
        sched_yield();
    }
    return true;
}

Percentiles gaps_percentiles(const Gaps *g, unsigned int first,
                             unsigned int step, unsigned int end)
{
    double *us = alloc(end, sizeof(*us));
    Percentiles p = { 0 };

    for (unsigned int i = first; i < end; i += step) {
        us[p.count++] = counter_get(&g->longest[i]) / 1e3;
    }
    p.p50 = median(us, p.count);
    if (p.count) {
        p.p99 = us[p.count * 99 / 100];
        p.max = us[p.count - 1];
    }
    free(us);
    return p;
}
