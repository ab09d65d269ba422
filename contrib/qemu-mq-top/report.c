/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <math.h>

#include "contrib/qemu-mq-top/json-read.h"
#include "contrib/qemu-mq-top/report.h"

static void add_str(json_object *obj, const char *name, const char *value)
{
    json_object_object_add(obj, name,
                           value ? json_object_new_string(value) : NULL);
}

static void add_number(json_object *obj, const char *name, double value)
{
    char text[32];

    if (!isfinite(value)) {
        json_object_object_add(obj, name, NULL);
        return;
    }
    /* the number with a point whatever the locale says, and short */
    g_ascii_formatd(text, sizeof(text), "%.6g", value);
    if (value >= 1e5) {
        g_ascii_formatd(text, sizeof(text), "%.3f", value);
    }
    json_object_object_add(obj, name, json_object_new_double_s(value, text));
}

static json_object *metrics(const double *metric)
{
    json_object *obj = json_object_new_object();

    for (unsigned k = 0; k < MQ_N_METRICS; k++) {
        if (k != MQ_MOVES) {
            add_number(obj, mq_metric_name(k), metric[k]);
        }
    }
    return obj;
}

static json_object *describe_pair(const MqPair *p)
{
    json_object *obj = json_object_new_object();

    json_object_object_add(obj, "pair", json_object_new_int64(p->number));
    add_str(obj, "owner",
            p->owner == MQ_OWNER_OTHER  ? NULL
            : p->owner == MQ_OWNER_MAIN ? "main"
                                        : mq_owner_name(p->owner));
    add_str(obj, "iothread", p->iothread);
    json_object_object_add(
        obj, "thread-id",
        p->thread_id >= 0 ? json_object_new_int64(p->thread_id) : NULL);
    json_object_object_add(obj, "attached",
                           json_object_new_boolean(p->attached));
    json_object_object_add(obj, "active", json_object_new_boolean(p->active));
    json_object_object_add(obj, "stalled", json_object_new_boolean(p->stalled));
    json_object_object_add(obj, "moving", json_object_new_boolean(p->moving));
    json_object_object_add(obj, "rates", metrics(p->metric));
    json_object_object_add(obj, "counters", json_object_get(p->stats));
    return obj;
}

static json_object *describe_nic(const MqNic *nic)
{
    json_object *obj = json_object_new_object();
    json_object *pairs = json_object_new_array();

    add_str(obj, "name", nic->name);
    add_str(obj, "qom-path", nic->qom_path);
    add_str(obj, "netdev", nic->netdev);
    json_object_object_add(
        obj, "link",
        nic->link == MQ_LINK_UNKNOWN
            ? NULL
            : json_object_new_boolean(nic->link == MQ_LINK_UP));
    json_object_object_add(obj, "rates", metrics(nic->metric));
    for (unsigned i = 0; i < nic->pairs->len; i++) {
        json_object_array_add(pairs,
                              describe_pair(g_ptr_array_index(nic->pairs, i)));
    }
    json_object_object_add(obj, "pairs", pairs);
    return obj;
}

char *mq_report_json(const MqSession *s)
{
    const MqModel *m = s->model;
    json_object *obj = json_object_new_object();
    json_object *nics = json_object_new_array();
    json_object *iothreads = json_object_new_array();
    char *text;

    add_number(obj, "time", (double)g_get_real_time() / G_USEC_PER_SEC);
    add_number(obj, "elapsed", m->elapsed);
    add_str(obj, "vm", s->vm_name);
    for (unsigned i = 0; i < m->nics->len; i++) {
        json_object_array_add(nics,
                              describe_nic(g_ptr_array_index(m->nics, i)));
    }
    json_object_object_add(obj, "nics", nics);
    for (unsigned i = 0; i < m->iothreads->len; i++) {
        json_object_array_add(
            iothreads,
            json_object_new_string(g_ptr_array_index(m->iothreads, i)));
    }
    json_object_object_add(obj, "iothreads", iothreads);
    json_object_object_add(obj, "pairs-left-out",
                           json_object_new_int64(m->left_out));
    text = json_to_ascii(obj);
    json_object_put(obj);
    return text;
}
