/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * query-stats and query-stats-schemas: asks each source of statistics
 * (system/stats.h) for its part.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "system/stats.h"

static const StatsSource *const sources[] = {
    &kvm_stats_source,
    &net_stats_source,
};

bool stats_wanted(const strList *list, const char *name)
{
    for (size_t i = 0; list && i < list->n; i++) {
        if (strcmp(list->v[i], name) == 0) {
            return true;
        }
    }
    return !list;
}

static StatsValue *add_value(GArray *stats, const char *name, QType type)
{
    Stats s = { .name = g_strdup(name), .value = g_new0(StatsValue, 1) };

    s.value->type = type;
    g_array_append_val(stats, s);
    return s.value;
}

void stats_add_scalar(GArray *stats, const char *name, uint64_t value)
{
    add_value(stats, name, QTYPE_QNUM)->u.scalar = value;
}

void stats_add_boolean(GArray *stats, const char *name, bool value)
{
    add_value(stats, name, QTYPE_QBOOL)->u.boolean = value;
}

void stats_add_list(GArray *stats, const char *name, const uint64List *list)
{
    StatsValue *value = add_value(stats, name, QTYPE_QLIST);

    value->u.list.n = list->n;
    value->u.list.v = g_memdup2(list->v, list->n * sizeof(*list->v));
}

StatsResult *stats_add_result(GArray *results, StatsProvider provider,
                              const char *qom_path, GArray *stats)
{
    StatsResult *r;

    if (stats->len == 0) {
        g_array_free(stats, TRUE);
        return NULL;
    }
    g_array_set_size(results, results->len + 1);
    r = &g_array_index(results, StatsResult, results->len - 1);
    *r = (StatsResult){ .provider = provider, .stats.n = stats->len };
    r->qom_path = g_strdup(qom_path);
    r->stats.v = (Stats *)(void *)g_array_free(stats, FALSE);
    return r;
}

/* What @filter wants of one source. */
static bool query_source(const StatsSource *source, const StatsFilter *filter,
                         GArray *results, Error **errp) MAIN_THREAD
{
    if (!filter->has_providers) {
        return source->add_results(filter, NULL, results, errp);
    }
    for (size_t i = 0; i < filter->providers.n; i++) {
        const StatsRequest *r = &filter->providers.v[i];

        if (r->provider == source->provider &&
            !source->add_results(filter, r->has_names ? &r->names : NULL,
                                 results, errp)) {
            return false;
        }
    }
    return true;
}

/* A request is small and its answer large: one for each provider is all that
 * an answer of bounded size has room for. */
static bool check_providers(const StatsFilter *filter, Error **errp)
{
    bool seen[STATS_PROVIDER__MAX] = { false };

    for (size_t i = 0; filter->has_providers && i < filter->providers.n; i++) {
        StatsProvider p = filter->providers.v[i].provider;

        if (seen[p]) {
            error_setg(errp,
                       "Parameter 'providers' has '%s' twice; one entry "
                       "may have several names",
                       StatsProvider_str(p));
            return false;
        }
        seen[p] = true;
    }
    return true;
}

bool qmp_query_stats(const StatsFilter *arg, StatsResultList *ret, Error **errp)
{
    GArray *results = g_array_new(FALSE, FALSE, sizeof(StatsResult));
    bool ok = check_providers(arg, errp);

    for (size_t i = 0; ok && i < ARRAY_SIZE(sources); i++) {
        ok = query_source(sources[i], arg, results, errp);
    }
    ret->n = results->len;
    ret->v = (StatsResult *)(void *)g_array_free(results, FALSE);
    if (!ok) {
        qapi_free_contents(&qapi_type_StatsResultList, ret);
    }
    return ok;
}

bool qmp_query_stats_schemas(const q_obj_query_stats_schemas_arg *arg,
                             StatsSchemaList *ret, Error **errp)
{
    GArray *schemas = g_array_new(FALSE, FALSE, sizeof(StatsSchema));
    bool ok = true;

    for (size_t i = 0; ok && i < ARRAY_SIZE(sources); i++) {
        if (!arg->has_provider || arg->provider == sources[i]->provider) {
            ok = sources[i]->add_schemas(schemas, errp);
        }
    }
    ret->n = schemas->len;
    ret->v = (StatsSchema *)(void *)g_array_free(schemas, FALSE);
    if (!ok) {
        qapi_free_contents(&qapi_type_StatsSchemaList, ret);
    }
    return ok;
}
