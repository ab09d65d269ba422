/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <math.h>

#include "contrib/qemu-mq-top/json-read.h"
#include "contrib/qemu-mq-top/model.h"

static const char *const owner_words[] = {
    [MQ_OWNER_MAIN] = "main",
    [MQ_OWNER_IOTHREAD] = "iothread",
    [MQ_OWNER_VHOST] = "vhost",
};

static const char *const metric_names[MQ_N_METRICS] = {
    [MQ_RX_PACKETS] = "rx-packets",
    [MQ_RX_BITS] = "rx-bits",
    [MQ_TX_PACKETS] = "tx-packets",
    [MQ_TX_BITS] = "tx-bits",
    [MQ_DROPS] = "drops",
    [MQ_CPU] = "cpu-percent",
    [MQ_KICKS_PER_PACKET] = "kicks-per-packet",
    [MQ_SIGNALS_PER_PACKET] = "signals-per-packet",
    [MQ_RX_RING] = "rx-ring-percent",
    [MQ_TX_RING] = "tx-ring-percent",
    [MQ_MOVES] = "moves",
};

/* Drops by cause. rx-filtered and tx-dropped have others as their parts. */
static const char *const drop_counters[] = {
    "rx-filtered",    "rx-too-long",   "rx-errors",
    "rx-rss-dropped", "tx-bad-header", "tx-dropped",
};

/* What tells how things are. */
static const char *const instant_names[] = {
    "rx-ring-size",      "tx-ring-size", "rx-ring-occupancy",
    "tx-ring-occupancy", "rx-backlog",   "tx-backlog",
};

/* What is counted also of a pair that a vhost worker has. */
static const char *const known_with_vhost[] = { "moves", "thread-cpu-time" };

static bool is_among(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

const char *mq_owner_name(MqOwner owner)
{
    return owner == MQ_OWNER_MAIN                    ? "stopped"
           : (size_t)owner < ARRAY_SIZE(owner_words) ? owner_words[owner]
                                                     : "?";
}

const char *mq_metric_name(MqMetric metric)
{
    return metric_names[metric];
}

bool mq_counts_up(const char *name)
{
    return !is_among(name, instant_names, ARRAY_SIZE(instant_names));
}

/* ---- made and freed ---- */

static void pair_free(void *opaque)
{
    MqPair *p = opaque;

    g_free(p->iothread);
    json_object_put(p->stats);
    json_object_put(p->before);
    g_free(p);
}

static void nic_free(void *opaque)
{
    MqNic *n = opaque;

    g_free(n->name);
    g_free(n->qom_path);
    g_free(n->netdev);
    g_ptr_array_unref(n->pairs);
    g_free(n);
}

MqModel *mq_model_new(void)
{
    MqModel *m = g_new0(MqModel, 1);

    m->nics = g_ptr_array_new_with_free_func(nic_free);
    m->iothreads = g_ptr_array_new_with_free_func(g_free);
    return m;
}

void mq_model_free(MqModel *m)
{
    if (m) {
        g_ptr_array_unref(m->nics);
        g_ptr_array_unref(m->iothreads);
        g_free(m);
    }
}

/* ---- an answer is read ---- */

/* NICs of an answer while it is read. */
typedef struct Reading {
    GPtrArray *nics;
    GHashTable *by_path; /* qom-path (the NIC's) -> MqNic */
    unsigned n_pairs, left_out;
} Reading;

static MqNic *nic_of(Reading *r, json_object *entry)
{
    const char *name = json_read_str(entry, "nic");
    const char *path = json_read_str(entry, "qom-path");
    MqNic *nic;

    if (!name) {
        return NULL;
    }
    nic = g_hash_table_lookup(r->by_path, path ? path : name);
    if (!nic) {
        nic = g_new0(MqNic, 1);
        nic->name = g_strdup(name);
        nic->qom_path = g_strdup(path ? path : name);
        nic->pairs = g_ptr_array_new_with_free_func(pair_free);
        g_ptr_array_add(r->nics, nic);
        g_hash_table_insert(r->by_path, nic->qom_path, nic);
    }
    return nic;
}

static MqOwner read_owner(json_object *entry)
{
    const char *word = json_read_str(entry, "owner");

    for (size_t i = 0; word && i < ARRAY_SIZE(owner_words); i++) {
        if (strcmp(word, owner_words[i]) == 0) {
            return (MqOwner)i;
        }
    }
    return MQ_OWNER_OTHER;
}

static MqPair *read_pair(json_object *entry)
{
    MqPair *p = g_new0(MqPair, 1);

    p->number = (unsigned)json_read_int(entry, "pair", 0, UINT16_MAX, 0);
    p->owner = read_owner(entry);
    p->iothread = g_strdup(json_read_str(entry, "iothread"));
    p->thread_id = json_read_int(entry, "thread-id", 1, INT64_MAX, -1);
    p->attached = json_read_bool(entry, "enabled", false);
    p->active = json_read_bool(entry, "active", false);
    p->moving = json_read_str(entry, "moving-to") != NULL;
    p->stalled = json_read_bool(entry, "rx-stalled", false) ||
                 json_read_bool(entry, "tx-stalled", false);
    p->stats = json_object_get(json_read(entry, "stats", json_type_object));
    return p;
}

static void read_entry(Reading *r, json_object *entry)
{
    json_object *link = json_read(entry, "link", json_type_boolean);
    MqNic *nic;

    if (r->n_pairs == MQ_MAX_PAIRS) {
        r->left_out++;
        return;
    }
    nic = nic_of(r, entry);
    if (!nic) {
        return;
    }
    r->n_pairs++;
    if (!nic->netdev) {
        nic->netdev = g_strdup(json_read_str(entry, "netdev"));
    }
    if (link) {
        nic->link = json_object_get_boolean(link) ? MQ_LINK_UP : MQ_LINK_DOWN;
    }
    g_ptr_array_add(nic->pairs, read_pair(entry));
}

/* ---- numbers ---- */

static uint64_t counter(const json_object *stats, const char *name)
{
    uint64_t value = 0;

    json_read_counter((json_object *)(uintptr_t)stats, name, &value);
    return value;
}

/* The counter's change; what began anew counts from 0. */
static double change(const MqPair *p, const char *name)
{
    uint64_t now, then;

    if (!json_read_counter(p->stats, name, &now)) {
        return NAN;
    }
    then = counter(p->before, name);
    return (double)(now >= then ? now - then : now);
}

/* A counter fell: the device was made anew, and all of them began with it. The
 * CPU time goes with the thread and tells nothing. */
static bool began_anew(const MqPair *p)
{
    if (!p->stats || !p->before) {
        return false;
    }
    json_object_object_foreach(p->stats, name, value)
    {
        uint64_t now;

        if (mq_counts_up(name) && strcmp(name, "thread-cpu-time") != 0 &&
            json_to_counter(value, &now) && now < counter(p->before, name)) {
            return true;
        }
    }
    return false;
}

double mq_pair_rate(const MqModel *m, const MqPair *pair, const char *name)
{
    if (!pair->before || m->elapsed <= 0 || !mq_counts_up(name) ||
        (pair->owner == MQ_OWNER_VHOST &&
         !is_among(name, known_with_vhost, ARRAY_SIZE(known_with_vhost)))) {
        return NAN;
    }
    return change(pair, name) / m->elapsed;
}

/* The sum of those that are known; NAN when none is. */
static double plus(double a, double b)
{
    return isnan(a) ? b : isnan(b) ? a : a + b;
}

static double drop_rate(const MqModel *m, const MqPair *p)
{
    double sum = NAN;

    for (size_t i = 0; i < ARRAY_SIZE(drop_counters); i++) {
        sum = plus(sum, mq_pair_rate(m, p, drop_counters[i]));
    }
    return sum;
}

static double cpu_percent(const MqModel *m, const MqPair *p, int64_t thread)
{
    /* of another thread the time counts anew */
    return p->thread_id >= 0 && p->thread_id == thread
               ? mq_pair_rate(m, p, "thread-cpu-time") / 1e9 * 100
               : NAN;
}

static double ring_percent(const MqPair *p, const char *filled,
                           const char *entries)
{
    uint64_t n, size;

    return json_read_counter(p->stats, filled, &n) &&
                   json_read_counter(p->stats, entries, &size) && size
               ? MIN((double)n / (double)size * 100, 100)
               : NAN;
}

static double ratio(double events, double packets)
{
    return packets > 0 ? events / packets : NAN;
}

/* Events of both rings per packet of both directions. */
typedef struct PerPacket {
    double packets, kicks, signals;
} PerPacket;

static void set_per_packet(double *metric, const PerPacket *n)
{
    metric[MQ_KICKS_PER_PACKET] = ratio(n->kicks, n->packets);
    metric[MQ_SIGNALS_PER_PACKET] = ratio(n->signals, n->packets);
}

static PerPacket per_packet(const MqModel *m, const MqPair *p)
{
    PerPacket n;

    n.packets = plus(p->metric[MQ_RX_PACKETS], p->metric[MQ_TX_PACKETS]);
    n.kicks =
        plus(mq_pair_rate(m, p, "rx-kicks"), mq_pair_rate(m, p, "tx-kicks"));
    n.signals = plus(mq_pair_rate(m, p, "rx-signals"),
                     mq_pair_rate(m, p, "tx-signals"));
    return n;
}

static void measure_pair(const MqModel *m, MqPair *p, int64_t thread)
{
    PerPacket n;
    uint64_t moves;

    p->metric[MQ_RX_PACKETS] = mq_pair_rate(m, p, "rx-packets");
    p->metric[MQ_RX_BITS] = mq_pair_rate(m, p, "rx-bytes") * 8;
    p->metric[MQ_TX_PACKETS] = mq_pair_rate(m, p, "tx-packets");
    p->metric[MQ_TX_BITS] = mq_pair_rate(m, p, "tx-bytes") * 8;
    p->metric[MQ_DROPS] = drop_rate(m, p);
    p->metric[MQ_CPU] = cpu_percent(m, p, thread);
    p->metric[MQ_RX_RING] =
        ring_percent(p, "rx-ring-occupancy", "rx-ring-size");
    p->metric[MQ_TX_RING] =
        ring_percent(p, "tx-ring-occupancy", "tx-ring-size");
    p->metric[MQ_MOVES] =
        json_read_counter(p->stats, "moves", &moves) ? (double)moves : NAN;
    n = per_packet(m, p);
    set_per_packet(p->metric, &n);
}

/* True when an earlier pair of the NIC has the same thread, whose time is
 * counted once. */
static bool thread_was_counted(GHashTable *threads, const MqPair *p)
{
    return !g_hash_table_add(threads,
                             g_memdup2(&p->thread_id, sizeof(p->thread_id)));
}

static void measure_nic(const MqModel *m, MqNic *nic)
{
    g_autoptr(GHashTable) threads =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    PerPacket sum = { NAN, NAN, NAN };

    for (unsigned k = 0; k < MQ_N_METRICS; k++) {
        nic->metric[k] = NAN;
    }
    for (unsigned i = 0; i < nic->pairs->len; i++) {
        const MqPair *p = g_ptr_array_index(nic->pairs, i);
        PerPacket n = per_packet(m, p);
        bool again = thread_was_counted(threads, p);

        for (unsigned k = 0; k < MQ_N_METRICS; k++) {
            if (k != MQ_RX_RING && k != MQ_TX_RING && !(k == MQ_CPU && again)) {
                nic->metric[k] = plus(nic->metric[k], p->metric[k]);
            }
        }
        sum.packets = plus(sum.packets, n.packets);
        sum.kicks = plus(sum.kicks, n.kicks);
        sum.signals = plus(sum.signals, n.signals);
    }
    set_per_packet(nic->metric, &sum);
}

/* ---- one sample after the other ---- */

static char *pair_key(const MqNic *nic, const MqPair *p)
{
    return g_strdup_printf("%s#%u", nic->qom_path, p->number);
}

/* All pairs of @nics by pair_key(). */
static GHashTable *index_pairs(const GPtrArray *nics)
{
    GHashTable *t =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

    for (unsigned i = 0; i < nics->len; i++) {
        const MqNic *nic = g_ptr_array_index(nics, i);

        for (unsigned k = 0; k < nic->pairs->len; k++) {
            MqPair *p = g_ptr_array_index(nic->pairs, k);

            g_hash_table_insert(t, pair_key(nic, p), p);
        }
    }
    return t;
}

/* Joins @p to what it was, @old (NULL: it is new), and measures it. */
static void follow(const MqModel *m, MqPair *p, const MqPair *old)
{
    if (old && old->stats && p->stats) {
        p->before = json_object_get(old->stats);
        if (began_anew(p)) {
            json_object_put(p->before);
            p->before = json_object_new_object();
        }
    }
    measure_pair(m, p, old ? old->thread_id : -1);
}

static gint by_number(gconstpointer a, gconstpointer b)
{
    const MqPair *const *p = a, *const *q = b;

    return (*p)->number < (*q)->number ? -1 : (*p)->number > (*q)->number;
}

bool mq_model_update(MqModel *m, json_object *queues, int64_t now, Error **errp)
{
    Reading r = { .nics = g_ptr_array_new_with_free_func(nic_free) };
    GHashTable *old;

    if (!json_object_is_type(queues, json_type_array)) {
        error_setg(errp, "query-net-queues: the answer is no list");
        g_ptr_array_unref(r.nics);
        return false;
    }
    r.by_path = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < json_length(queues); i++) {
        read_entry(&r, json_object_array_get_idx(queues, i));
    }
    g_hash_table_unref(r.by_path);
    m->elapsed = m->sampled ? (double)(now - m->sampled) / G_USEC_PER_SEC : 0;
    m->sampled = now;
    m->left_out = r.left_out;
    old = index_pairs(m->nics);
    for (unsigned i = 0; i < r.nics->len; i++) {
        MqNic *nic = g_ptr_array_index(r.nics, i);

        g_ptr_array_sort(nic->pairs, by_number);
        for (unsigned k = 0; k < nic->pairs->len; k++) {
            MqPair *p = g_ptr_array_index(nic->pairs, k);
            g_autofree char *key = pair_key(nic, p);

            follow(m, p, g_hash_table_lookup(old, key));
        }
        measure_nic(m, nic);
    }
    g_hash_table_unref(old);
    g_ptr_array_unref(m->nics);
    m->nics = r.nics;
    return true;
}

void mq_model_set_iothreads(MqModel *m, json_object *list)
{
    g_ptr_array_set_size(m->iothreads, 0);
    for (size_t i = 0; i < json_length(list); i++) {
        const char *id =
            json_read_str(json_object_array_get_idx(list, i), "id");

        if (id) {
            g_ptr_array_add(m->iothreads, g_strdup(id));
        }
    }
}

MqNic *mq_model_find(const MqModel *m, const char *name)
{
    for (unsigned i = 0; i < m->nics->len; i++) {
        MqNic *nic = g_ptr_array_index(m->nics, i);

        if (strcmp(nic->name, name) == 0) {
            return nic;
        }
    }
    return NULL;
}
