/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `info stats` */
#include "util/osdep.h"
#include "monitor/hmp-info.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"

void hmp_words_stats_targets(HmpWords *words)
{
    for (int i = 0; i < STATS_TARGET__MAX; i++) {
        hmp_words_add(words, StatsTarget_str(i));
    }
}

void hmp_words_stats_providers(HmpWords *words)
{
    for (int i = 0; i < STATS_PROVIDER__MAX; i++) {
        hmp_words_add(words, StatsProvider_str(i));
    }
}

/* The value of @type named @text; -1 and the values there are in *@errp. */
static int find_value(const QapiType *type, const char *name, const char *text,
                      Error **errp)
{
    int value = qapi_enum_find(type, text);
    g_autoptr(GString) values = NULL;
    g_autofree char *shown = NULL;

    if (value >= 0) {
        return value;
    }
    values = g_string_new(NULL);
    for (uint32_t i = 0; i < type->n_values; i++) {
        g_string_append_printf(values, "%s%s", i ? ", " : "",
                               type->values[i].name);
    }
    shown = qapi_quote(text);
    error_setg(errp, "%s expects one of %s, not '%s'", name, values->str,
               shown);
    return -1;
}

/* The statistic's entry among @schemas; NULL: it has none. */
static const StatsSchemaValue *find_schema(const StatsSchemaList *schemas,
                                           StatsProvider provider,
                                           StatsTarget target, const char *name)
{
    for (size_t i = 0; i < schemas->n; i++) {
        const StatsSchema *s = &schemas->v[i];

        if (s->provider != provider || s->target != target) {
            continue;
        }
        for (size_t k = 0; k < s->stats.n; k++) {
            if (strcmp(s->stats.v[k].name, name) == 0) {
                return &s->stats.v[k];
            }
        }
    }
    return NULL;
}

/* Where bucket @i of a histogram starts. */
static uint64_t bucket_start(const StatsSchemaValue *schema, size_t i)
{
    if (schema->type == STATS_TYPE_LINEAR_HISTOGRAM) {
        return (uint64_t)i * schema->bucket_size;
    }
    return i ? 1ULL << MIN(i - 1, (size_t)63) : 0;
}

/* The buckets that have something, each after what it is of: "4-7: 12". */
static void print_histogram(const StatsSchemaValue *schema,
                            const uint64List *list, GString *out)
{
    const char *sep = " ";

    for (size_t i = 0; i < list->n; i++) {
        uint64_t first = bucket_start(schema, i);
        uint64_t last = bucket_start(schema, i + 1) - 1;

        if (!list->v[i]) {
            continue;
        }
        g_string_append_printf(out, "%s%" PRIu64, sep, first);
        if (i + 1 == list->n) {
            g_string_append(out, " and more");
        } else if (last > first) {
            g_string_append_printf(out, "-%" PRIu64, last);
        }
        g_string_append_printf(out, ": %" PRIu64, list->v[i]);
        sep = ", ";
    }
    g_string_append(out, *sep == ' ' ? " nothing\n" : "\n");
}

static bool is_histogram(const StatsSchemaValue *schema)
{
    return schema && (schema->type == STATS_TYPE_LOG2_HISTOGRAM ||
                      schema->type == STATS_TYPE_LINEAR_HISTOGRAM);
}

static bool is_nanoseconds(const StatsSchemaValue *schema)
{
    return schema && schema->has_unit && schema->unit == STATS_UNIT_SECONDS &&
           schema->base == 10 && schema->exponent == -9;
}

static void print_value(const StatsValue *value, const StatsSchemaValue *schema,
                        GString *out)
{
    if (value->type == QTYPE_QLIST && is_histogram(schema)) {
        print_histogram(schema, &value->u.list, out);
        return;
    }
    switch (value->type) {
    case QTYPE_QNUM:
        g_string_append_printf(out, " %" PRIu64, value->u.scalar);
        break;
    case QTYPE_QBOOL:
        g_string_append(out, value->u.boolean ? " yes" : " no");
        break;
    default:
        for (size_t i = 0; i < value->u.list.n; i++) {
            g_string_append_printf(out, " %" PRIu64, value->u.list.v[i]);
        }
        break;
    }
    g_string_append(out, is_nanoseconds(schema) ? " ns\n" : "\n");
}

/* What the statistics are of. */
static void print_thing(const StatsResult *result, GString *out)
{
    g_string_append_printf(out, "provider: %s",
                           StatsProvider_str(result->provider));
    if (result->qom_path) {
        g_string_append_printf(out, ", %s", result->qom_path);
    }
    if (result->has_pair) {
        g_string_append_printf(out, ", pair %u", result->pair);
    }
    if (result->netdev) {
        g_string_append_printf(out, ", netdev %s", result->netdev);
    }
    if (result->has_queue) {
        g_string_append_printf(out, ", queue %u", result->queue);
    }
    if (result->has_owner) {
        g_string_append_printf(out, ", owner %s",
                               result->owner == NET_QUEUE_OWNER_MAIN
                                   ? "stopped"
                                   : NetQueueOwner_str(result->owner));
    }
    if (result->iothread) {
        g_string_append_printf(out, " %s", result->iothread);
    }
    if (result->has_thread_id) {
        g_string_append_printf(out, ", thread %" PRId64, result->thread_id);
    }
    g_string_append_c(out, '\n');
}

static void print_result(const StatsResult *result, StatsTarget target,
                         const StatsSchemaList *schemas, GString *out)
{
    print_thing(result, out);
    for (size_t i = 0; i < result->stats.n; i++) {
        g_string_append_printf(out, "  %s:", result->stats.v[i].name);
        print_value(result->stats.v[i].value,
                    find_schema(schemas, result->provider, target,
                                result->stats.v[i].name),
                    out);
    }
}

/* One request to each provider that can be meant, with @names of statistics
 * ("*": all). */
static void fill_requests(StatsRequestList *list, int provider, char **names)
{
    bool all = !names || strcmp(names[0] ? names[0] : "", "*") == 0;

    list->v = g_new0(StatsRequest, STATS_PROVIDER__MAX);
    for (int i = 0; i < STATS_PROVIDER__MAX; i++) {
        StatsRequest *request = &list->v[list->n];

        if (provider >= 0 && i != provider) {
            continue;
        }
        list->n++;
        request->provider = (StatsProvider)i;
        request->has_names = !all;
        if (!all) {
            request->names.v = g_strdupv(names);
            request->names.n = g_strv_length(names);
        }
    }
}

bool hmp_info_stats(const HmpArgs *args, GString *out, Error **errp)
{
    g_auto(GStrv) names =
        args->arg[1].given ? g_strsplit(args->arg[1].text, ",", -1) : NULL;
    int target =
        find_value(&qapi_type_StatsTarget, "TARGET", args->arg[0].text, errp);
    int provider = -1;
    StatsFilter filter = { .has_providers = true };
    q_obj_query_stats_schemas_arg everything = { .has_provider = false };
    StatsSchemaList schemas = { 0 };
    StatsResultList results = { 0 };
    bool ok;

    if (target < 0) {
        return false;
    }
    if (args->arg[2].given) {
        provider = find_value(&qapi_type_StatsProvider, "PROVIDER",
                              args->arg[2].text, errp);
        if (provider < 0) {
            return false;
        }
    }
    filter.target = (StatsTarget)target;
    fill_requests(&filter.providers, provider, names);
    ok = qmp_query_stats_schemas(&everything, &schemas, errp) &&
         qmp_query_stats(&filter, &results, errp);
    for (size_t i = 0; i < results.n; i++) {
        print_result(&results.v[i], filter.target, &schemas, out);
    }
    qapi_free_contents(&qapi_type_StatsFilter, &filter);
    qapi_free_contents(&qapi_type_StatsResultList, &results);
    qapi_free_contents(&qapi_type_StatsSchemaList, &schemas);
    return ok;
}
