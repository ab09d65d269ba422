/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <time.h>

#include "contrib/qemu-mq-top/json-read.h"
#include "contrib/qemu-mq-top/log.h"

#define TEXT_MAX 500u

static void entry_free(void *opaque)
{
    MqLogEntry *e = opaque;

    g_free(e->text);
    g_free(e);
}

MqLog *mq_log_new(void)
{
    return g_queue_new();
}

void mq_log_free(MqLog *log)
{
    g_queue_free_full(log, entry_free);
}

void mq_log(MqLog *log, MqLogKind kind, const char *fmt, ...)
{
    MqLogEntry *e = g_new0(MqLogEntry, 1);
    g_autofree char *text = NULL;
    time_t now = time(NULL);
    struct tm tm;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    e->kind = kind;
    e->text = text_shown(text, TEXT_MAX);
    if (localtime_r(&now, &tm)) {
        strftime(e->clock, sizeof(e->clock), "%H:%M:%S", &tm);
    }
    g_queue_push_tail(log, e);
    if (log->length > MQ_LOG_MAX) {
        entry_free(g_queue_pop_head(log));
    }
}

const MqLogEntry *mq_log_latest(const MqLog *log, unsigned i)
{
    return g_queue_peek_nth((GQueue *)(uintptr_t)log, log->length - 1 - i);
}
