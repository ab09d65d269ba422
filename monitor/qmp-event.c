/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events to clients. Those that a guest could send in a stream are limited to
 * one in a period: the first goes out at once, then the last one of each
 * period at its end. Specification: 2.5.1.
 */
#include "util/osdep.h"

#include <json-c/json.h>

#include "monitor/qmp-internal.h"
#include "qapi/qapi-event.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"

#define PERIOD_NS G_GINT64_CONSTANT(1000000000)

typedef struct EventLimit {
    const char *name;
    /* main thread */
    LoopTimer timer;      /* armed: within a period */
    json_object *pending; /* goes out at its end; NULL: nothing */
} EventLimit;

static EventLimit limits[] = {
    { .name = "RTC_CHANGE" },
};

static EventLimit *find_limit(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        if (strcmp(limits[i].name, name) == 0) {
            return &limits[i];
        }
    }
    return NULL;
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

static void period_ended(void *opaque)
{
    EventLimit *limit = opaque;

    machine_lock_assert();
    if (limit->pending) {
        qmp_broadcast(limit->pending);
        json_object_put(limit->pending);
        limit->pending = NULL;
        loop_timer_arm(&limit->timer, clock_now_ns() + PERIOD_NS);
    }
}

static void send_event(const QapiEvent *event, json_object *data)
{
    json_object *message = event_message(event->name, data);
    EventLimit *limit = find_limit(event->name);

    machine_lock_assert();
    if (limit && limit->timer.deadline_ns >= 0) {
        json_object_put(limit->pending);
        limit->pending = message;
        return;
    }
    if (limit) {
        loop_timer_arm(&limit->timer, clock_now_ns() + PERIOD_NS);
    }
    qmp_broadcast(message);
    json_object_put(message);
}

void qmp_events_start(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        loop_timer_init(&limits[i].timer, main_loop(), period_ended,
                        &limits[i]);
    }
    qapi_event_set_sink(send_event);
}

void qmp_events_stop(void)
{
    qapi_event_set_sink(NULL);
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        if (limits[i].timer.loop) {
            loop_timer_cancel(&limits[i].timer);
        }
        json_object_put(limits[i].pending);
        limits[i].pending = NULL;
    }
}
