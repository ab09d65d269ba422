/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The provider "net" of query-stats: each member of NetQueueStats, by its name
 * in the schema, for each queue pair of each NIC; each one of NetdevQueueStats
 * for each subqueue of each netdev.
 *
 * A member's type says how it is read, its presence whether it is known just
 * now; what it means is said here where it is not a counter.
 *
 * Threads: under the machine lock; the pairs go on.
 */
#include "util/osdep.h"

#include <poll.h>

#include "net/net.h"
#include "qapi/qapi-visit.h"
#include "system/stats.h"

/* ---- meanings ---- */

typedef struct Meaning {
    const char *name;
    StatsType type;
    bool has_unit;
    StatsUnit unit;
    int16_t exponent; /* of 10 */
    bool by_anyone;   /* known, too, while a vhost worker has the pair */
} Meaning;

/* What is not here counts up, bytes if its name says so, and is counted by the
 * process itself. */
static const Meaning meanings[] = {
    { "rx-bursts", STATS_TYPE_LOG2_HISTOGRAM },
    { "tx-bursts", STATS_TYPE_LOG2_HISTOGRAM },
    { "moves", STATS_TYPE_CUMULATIVE, .by_anyone = true },
    { "rx-backlog", STATS_TYPE_INSTANT },
    { "tx-backlog", STATS_TYPE_INSTANT },
    { "rx-ring-size", STATS_TYPE_INSTANT, .by_anyone = true },
    { "rx-ring-occupancy", STATS_TYPE_INSTANT, .by_anyone = true },
    { "tx-ring-size", STATS_TYPE_INSTANT, .by_anyone = true },
    { "tx-ring-occupancy", STATS_TYPE_INSTANT, .by_anyone = true },
    { "thread-cpu-time", STATS_TYPE_CUMULATIVE, true, STATS_UNIT_SECONDS, -9,
      .by_anyone = true },
    { "pairs", STATS_TYPE_INSTANT },
    { "enabled", STATS_TYPE_INSTANT, true, STATS_UNIT_BOOLEAN },
    { "rx-waiting", STATS_TYPE_INSTANT, true, STATS_UNIT_BOOLEAN },
    { "tx-writable", STATS_TYPE_INSTANT, true, STATS_UNIT_BOOLEAN },
};

static Meaning meaning_of(const char *name)
{
    for (unsigned i = 0; i < ARRAY_SIZE(meanings); i++) {
        if (strcmp(meanings[i].name, name) == 0) {
            return meanings[i];
        }
    }
    return (Meaning){ .name = name,
                      .type = STATS_TYPE_CUMULATIVE,
                      .has_unit = g_str_has_suffix(name, "-bytes"),
                      .unit = STATS_UNIT_BYTES };
}

static void add_schema(GArray *schemas, StatsTarget target,
                       const QapiType *type)
{
    StatsSchema *schema;

    g_array_set_size(schemas, schemas->len + 1);
    schema = &g_array_index(schemas, StatsSchema, schemas->len - 1);
    *schema = (StatsSchema){ .provider = STATS_PROVIDER_NET, .target = target };
    schema->stats.n = type->n_members;
    schema->stats.v = g_new0(StatsSchemaValue, schema->stats.n);
    for (uint32_t i = 0; i < type->n_members; i++) {
        Meaning m = meaning_of(type->members[i].name);

        schema->stats.v[i] = (StatsSchemaValue){
            .name = g_strdup(m.name),
            .type = m.type,
            .has_unit = m.has_unit,
            .unit = m.unit,
            .has_base = m.exponent != 0,
            .base = m.exponent ? 10 : 0,
            .exponent = m.exponent,
        };
    }
}

static bool add_schemas(GArray *schemas, Error **errp)
{
    add_schema(schemas, STATS_TARGET_NET_QUEUE, &qapi_type_NetQueueStats);
    add_schema(schemas, STATS_TARGET_NETDEV_QUEUE, &qapi_type_NetdevQueueStats);
    return true;
}

/* ---- values ---- */

/* Is the member @m of the struct @from there? */
static bool is_present(const QapiMember *m, const char *from)
{
    return m->has_offset < 0 || *(const bool *)(from + m->has_offset);
}

static void add_member(GArray *stats, const QapiMember *m, const void *value)
{
    switch (m->type->kind) {
    case QAPI_KIND_BOOL:
        stats_add_boolean(stats, m->name, *(const bool *)value);
        break;
    case QAPI_KIND_LIST:
        stats_add_list(stats, m->name, value);
        break;
    default:
        stats_add_scalar(stats, m->name, *(const uint64_t *)value);
        break;
    }
}

/* The wanted ones of @from, a struct of @type; @outside: a vhost worker has
 * what is counted. */
static GArray *gather(const QapiType *type, const void *from, bool outside,
                      const strList *names)
{
    GArray *stats = g_array_new(FALSE, FALSE, sizeof(Stats));

    for (uint32_t i = 0; i < type->n_members; i++) {
        const QapiMember *m = &type->members[i];

        if (stats_wanted(names, m->name) && is_present(m, from) &&
            (!outside || meaning_of(m->name).by_anyone)) {
            add_member(stats, m, (const char *)from + m->offset);
        }
    }
    return stats;
}

typedef struct Query {
    const strList *things, *names;
    GArray *results;
} Query;

/* ---- queue pairs ---- */

/* Takes the iothread's name out of @info. */
static void add_pair(const Query *q, NetQueueInfo *info)
{
    GArray *stats = gather(&qapi_type_NetQueueStats, info->stats,
                           info->owner == NET_QUEUE_OWNER_VHOST, q->names);
    StatsResult *result =
        stats_add_result(q->results, STATS_PROVIDER_NET, info->qom_path, stats);

    if (result) {
        result->has_pair = true;
        result->pair = info->pair;
        result->has_owner = true;
        result->owner = info->owner;
        result->iothread = g_steal_pointer(&info->iothread);
        result->has_thread_id = info->has_thread_id;
        result->thread_id = info->thread_id;
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
        wanted = stats_wanted(q->things, info.qom_path);
        if (wanted) {
            add_pair(q, &info);
        }
        qapi_free_contents(&qapi_type_NetQueueInfo, &info);
    }
}

/* ---- subqueues ---- */

/* What has passed it: by pairs that are stopped now, and by those that run. */
static void count_passed(const NetSubqueueStats *past,
                         const NetSubqueueStats *since, NetdevQueueStats *out)
{
    out->has_rx_packets = out->has_rx_bytes = out->has_rx_errors = true;
    out->has_tx_packets = out->has_tx_bytes = true;
    out->has_tx_dropped = out->has_tx_again = true;
    out->rx_packets = past->rx_packets + since->rx_packets;
    out->rx_bytes = past->rx_bytes + since->rx_bytes;
    out->rx_errors = past->rx_errors + since->rx_errors;
    out->tx_packets = past->tx_packets + since->tx_packets;
    out->tx_bytes = past->tx_bytes + since->tx_bytes;
    out->tx_dropped = past->tx_dropped + since->tx_dropped;
    out->tx_again = past->tx_again + since->tx_again;
}

/* What the kernel says of the queue; of one whose device is gone, an error. */
static void ask_kernel(int fd, NetdevQueueStats *out)
{
    struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };
    bool told = fd >= 0 && poll(&p, 1, 0) >= 0 &&
                !(p.revents & (POLLERR | POLLHUP | POLLNVAL));

    out->has_rx_waiting = out->has_tx_writable = told;
    out->rx_waiting = (p.revents & POLLIN) != 0;
    out->tx_writable = (p.revents & POLLOUT) != 0;
}

static void add_subqueue(const Query *q, const NetSubqueue *sq) MAIN_THREAD
{
    NetClientState *nic = sq->nc->peer;
    NetSubqueueUse use = { 0 };
    NetdevQueueStats now = { .enabled = sq->enabled };
    StatsResult *result;

    if (nic && nic->info->query_subqueue) {
        nic->info->query_subqueue(nic, sq, &use);
    }
    now.pairs = use.pairs;
    if (!use.outside) {
        count_passed(&sq->stats, &use.since, &now);
    }
    if (sq->enabled) {
        ask_kernel(sq->fd, &now);
    }
    result = stats_add_result(
        q->results, STATS_PROVIDER_NET, NULL,
        gather(&qapi_type_NetdevQueueStats, &now, false, q->names));
    if (result) {
        result->netdev = g_strdup(sq->nc->name);
        result->has_queue = true;
        result->queue = sq->index;
    }
}

static void add_netdev(NetClientState *nc, void *opaque) MAIN_THREAD
{
    const Query *q = opaque;

    if (nc->queue && stats_wanted(q->things, nc->name)) {
        for (unsigned i = 0; i < nc->n_queues; i++) {
            add_subqueue(q, &nc->queue[i]);
        }
    }
}

static bool add_results(const StatsFilter *filter, const strList *names,
                        GArray *results, Error **errp) MAIN_THREAD
{
    const StatsNetQueueFilter *pairs = &filter->u.net_queue;
    const StatsNetdevQueueFilter *queues = &filter->u.netdev_queue;
    Query q = { .names = names, .results = results };

    if (filter->target == STATS_TARGET_NET_QUEUE) {
        q.things = pairs->has_devices ? &pairs->devices : NULL;
        net_client_foreach(add_nic, &q);
    } else if (filter->target == STATS_TARGET_NETDEV_QUEUE) {
        q.things = queues->has_netdevs ? &queues->netdevs : NULL;
        net_client_foreach(add_netdev, &q);
    }
    return true;
}

const StatsSource net_stats_source = {
    .provider = STATS_PROVIDER_NET,
    .add_schemas = add_schemas,
    .add_results = add_results,
};
