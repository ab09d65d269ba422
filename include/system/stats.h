/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statistics: who has them, and how they get into the answers of query-stats
 * and query-stats-schemas.
 *
 * Threads: under the machine lock. A source reads counters that others write
 * meanwhile; it stops nobody.
 */
#ifndef SYSTEM_STATS_H
#define SYSTEM_STATS_H

#include "qapi/qapi-types.h"

typedef struct StatsSource {
    StatsProvider provider;
    /* Appends to @schemas (of StatsSchema) what it counts in this machine. */
    bool (*add_schemas)(GArray *schemas, Error **errp);
    /* Appends to @results (of StatsResult) what @filter asks for, as far as
     * @names (NULL: all) has it; things without any are left out. What is in
     * @results is freed by the caller, after an error too. */
    bool (*add_results)(const StatsFilter *filter, const strList *names,
                        GArray *results, Error **errp);
} StatsSource;

extern const StatsSource kvm_stats_source; /* accel/kvm/kvm-stats.c */
extern const StatsSource net_stats_source; /* net/net-stats.c */

/* True when @list (NULL: everything) has @name. */
bool stats_wanted(const strList *list, const char *name);

/* Append to @stats (of Stats). @list is copied. */
void stats_add_scalar(GArray *stats, const char *name, uint64_t value);
void stats_add_boolean(GArray *stats, const char *name, bool value);
void stats_add_list(GArray *stats, const char *name, const uint64List *list);

/* Appends to @results a result with @stats, which it takes; or frees those
 * when there are none. @qom_path (NULL: none) is copied. Returns the result,
 * good until the next one, or NULL. */
StatsResult *stats_add_result(GArray *results, StatsProvider provider,
                              const char *qom_path, GArray *stats);

#endif
