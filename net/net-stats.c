/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The provider "virtio-net" of query-stats: each counter of NetQueueStats, by
 * its name in the schema, for each queue pair of each NIC.
 *
 * Threads: under the machine lock; the pairs go on.
 */
#include "util/osdep.h"

#include "net/net.h"
#include "qapi/qapi-visit.h"
#include "system/stats.h"

static const QapiType *const counters = &qapi_type_NetQueueStats;

static bool add_schemas(GArray *schemas, Error **errp)
{
    StatsSchema *schema;

    g_array_set_size(schemas, schemas->len + 1);
    schema = &g_array_index(schemas, StatsSchema, schemas->len - 1);
    *schema = (StatsSchema){ .provider = STATS_PROVIDER_VIRTIO_NET,
                             .target = STATS_TARGET_NET_QUEUE };
    schema->stats.n = counters->n_members;
    schema->stats.v = g_new0(StatsSchemaValue, schema->stats.n);
    for (uint32_t i = 0; i < counters->n_members; i++) {
        StatsSchemaValue *value = &schema->stats.v[i];

        value->name = g_strdup(counters->members[i].name);
        value->type = STATS_TYPE_CUMULATIVE;
        value->has_unit = g_str_has_suffix(value->name, "-bytes");
        value->unit = STATS_UNIT_BYTES;
    }
    return true;
}

static uint64_t counter_value(const NetQueueStats *stats, uint32_t offset)
{
    return *(const uint64_t *)(const void *)((const char *)stats + offset);
}

typedef struct Query {
    const strList *devices, *names;
    GArray *results;
} Query;

static void add_pair(const Query *q, const NetQueueInfo *info)
{
    GArray *stats = g_array_new(FALSE, FALSE, sizeof(Stats));
    StatsResult *result;

    for (uint32_t i = 0; i < counters->n_members; i++) {
        const QapiMember *m = &counters->members[i];

        if (stats_wanted(q->names, m->name)) {
            stats_add_scalar(stats, m->name,
                             counter_value(info->stats, m->offset));
        }
    }
    result = stats_add_result(q->results, STATS_PROVIDER_VIRTIO_NET,
                              info->qom_path, stats);
    if (result) {
        result->has_pair = true;
        result->pair = info->pair;
    }
}

static void add_nic(NetClientState *nc, void *opaque) MAIN_THREAD
{
    const Query *q = opaque;
    bool wanted = true;

    for (unsigned i = 0; wanted && nc->info->query_queue && i < nc->n_queues;
         i++) {
        NetQueueInfo info = { NULL };

        nc->info->query_queue(nc, i, &info);
        wanted = stats_wanted(q->devices, info.qom_path);
        if (wanted) {
            add_pair(q, &info);
        }
        qapi_free_contents(&qapi_type_NetQueueInfo, &info);
    }
}

static bool add_results(const StatsFilter *filter, const strList *names,
                        GArray *results, Error **errp) MAIN_THREAD
{
    const StatsNetQueueFilter *f = &filter->u.net_queue;
    Query q = { .names = names, .results = results };

    if (filter->target == STATS_TARGET_NET_QUEUE) {
        q.devices = f->has_devices ? &f->devices : NULL;
        net_client_foreach(add_nic, &q);
    }
    return true;
}

const StatsSource net_stats_source = {
    .provider = STATS_PROVIDER_VIRTIO_NET,
    .add_schemas = add_schemas,
    .add_results = add_results,
};
