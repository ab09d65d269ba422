/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events find their listener. */
#include "util/osdep.h"

#include <json-c/json.h>

#include "qapi/qapi-event.h"
#include "qapi/qapi-visit.h"

static QapiEventSink *event_sink;

void qapi_event_set_sink(QapiEventSink *sink)
{
    event_sink = sink;
}

void qapi_event_emit(const QapiEvent *event, const void *arg)
{
    json_object *data;

    if (!event_sink) {
        return;
    }
    data = event->arg_type ? qapi_to_json(event->arg_type, arg) : NULL;
    event_sink(event, data);
    json_object_put(data);
}
