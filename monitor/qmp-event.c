/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events to clients. Those that come in streams are limited to one in a
 * period, some of them to one for each thing that they are about: the first
 * goes out at once, then the last one of each period at its end.
 * Specification: 2.5.1.
 */
#include "util/osdep.h"

#include <json-c/json.h>

#include "monitor/qmp-internal.h"
#include "qapi/qapi-event.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"

#define PERIOD_NS G_GINT64_CONSTANT(1000000000)

/* An event that is limited. */
typedef struct EventLimit {
    const char *name;
    const char *members[3]; /* of its data: each value of them by itself */
} EventLimit;

static const EventLimit limits[] = {
    { "NETDEV_BACKEND_CHANGED", { "netdev" } },
    { "NET_QUEUE_ERROR", { "qom-path", "pair", "queue" } },
    { "NET_QUEUE_MAPPING_CHANGED", { "qom-path", "pair" } },
    { "NET_QUEUE_STALLED", { "qom-path", "pair", "direction" } },
    { "RTC_CHANGE", { NULL } },
};

/* The time after one was sent, for one value of the members. */
typedef struct EventPeriod {
    LoopTimer timer;
    json_object *pending; /* goes out at its end; NULL: nothing */
    char *key;
} EventPeriod;

static GHashTable *periods; /* main thread: by key, those under way */

static const EventLimit *find_limit(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        if (strcmp(limits[i].name, name) == 0) {
            return &limits[i];
        }
    }
    return NULL;
}

/* What two events share when one of them has to wait for the other. */
static char *limit_key(const EventLimit *limit, json_object *data)
{
    g_autoptr(GString) key = g_string_new(limit->name);

    for (size_t i = 0; i < ARRAY_SIZE(limit->members); i++) {
        json_object *value;

        if (limit->members[i] &&
            json_object_object_get_ex(data, limit->members[i], &value)) {
            g_string_append_printf(key, " %s=%s", limit->members[i],
                                   json_object_to_json_string(value));
        }
    }
    return g_string_free(g_steal_pointer(&key), FALSE);
}

/* Specification: 2.5. */
static json_object *event_message(const char *name, json_object *data)
{
    json_object *message = json_object_new_object();
    json_object *stamp = json_object_new_object();
    int64_t us = g_get_real_time();

    json_object_object_add(stamp, "seconds",
                           json_object_new_int64(us / G_USEC_PER_SEC));
    json_object_object_add(stamp, "microseconds",
                           json_object_new_int64(us % G_USEC_PER_SEC));
    json_object_object_add(message, "timestamp", stamp);
    json_object_object_add(message, "event", json_object_new_string(name));
    if (data) {
        json_object_object_add(message, "data", json_object_get(data));
    }
    return message;
}

static NO_THREAD_SAFETY void period_free(void *opaque)
{
    EventPeriod *period = opaque;

    loop_timer_cancel(&period->timer);
    json_object_put(period->pending);
    g_free(period->key);
    g_free(period);
}

static void period_ended(void *opaque)
{
    EventPeriod *period = opaque;

    machine_lock_assert();
    if (period->pending) {
        qmp_broadcast(period->pending);
        json_object_put(period->pending);
        period->pending = NULL;
        loop_timer_arm(&period->timer, clock_now_ns() + PERIOD_NS);
    } else {
        g_hash_table_remove(periods, period->key);
    }
}

static void period_begin(char *key) MAIN_THREAD
{
    EventPeriod *period = g_new0(EventPeriod, 1);

    period->key = key;
    loop_timer_init(&period->timer, main_loop(), period_ended, period);
    loop_timer_arm(&period->timer, clock_now_ns() + PERIOD_NS);
    g_hash_table_insert(periods, key, period);
}

static void send_event(const QapiEvent *event, json_object *data)
{
    json_object *message = event_message(event->name, data);
    const EventLimit *limit = find_limit(event->name);
    EventPeriod *period;
    char *key;

    machine_lock_assert();
    if (limit) {
        key = limit_key(limit, data);
        period = g_hash_table_lookup(periods, key);
        if (period) {
            json_object_put(period->pending);
            period->pending = message;
            g_free(key);
            return;
        }
        period_begin(key);
    }
    qmp_broadcast(message);
    json_object_put(message);
}

void qmp_events_start(void)
{
    periods = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, period_free);
    qapi_event_set_sink(send_event);
}

void qmp_events_stop(void)
{
    qapi_event_set_sink(NULL);
    g_clear_pointer(&periods, g_hash_table_unref);
}
