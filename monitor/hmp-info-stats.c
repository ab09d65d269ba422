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

static void print_value(const StatsValue *value, GString *out)
{
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
    g_string_append_c(out, '\n');
}

static void print_result(const StatsResult *result, GString *out)
{
    g_string_append_printf(out, "provider: %s",
                           StatsProvider_str(result->provider));
    if (result->qom_path) {
        g_string_append_printf(out, ", %s", result->qom_path);
    }
    if (result->has_pair) {
        g_string_append_printf(out, ", pair %u", result->pair);
    }
    g_string_append_c(out, '\n');
    for (size_t i = 0; i < result->stats.n; i++) {
        g_string_append_printf(out, "  %s:", result->stats.v[i].name);
        print_value(result->stats.v[i].value, out);
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
    ok = qmp_query_stats(&filter, &results, errp);
    for (size_t i = 0; i < results.n; i++) {
        print_result(&results.v[i], out);
    }
    qapi_free_contents(&qapi_type_StatsFilter, &filter);
    qapi_free_contents(&qapi_type_StatsResultList, &results);
    return ok;
}
