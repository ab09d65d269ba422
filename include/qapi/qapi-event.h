/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Events: from the generated qapi_event_send_*() to whoever listens.
 *
 * Threads: under the machine lock.
 */
#ifndef QAPI_QAPI_EVENT_H
#define QAPI_QAPI_EVENT_H

#include "qapi/qapi-type.h"
#include "util/thread-annotations.h"

/* @data: what the event says, a JSON object, or NULL; borrowed. */
typedef void QapiEventSink(const QapiEvent *event, json_object *data);

/* The one listener (the monitors); NULL: nobody, events are dropped. */
void qapi_event_set_sink(QapiEventSink *sink) MAIN_THREAD;

/* Sends @event with @arg, a struct of event->arg_type (NULL without one). */
void qapi_event_emit(const QapiEvent *event, const void *arg) MAIN_THREAD;

#endif
