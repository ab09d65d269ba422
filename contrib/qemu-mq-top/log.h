/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages to the user: errors, events, what was done. The last MQ_LOG_MAX are
 * kept, in printable ASCII.
 *
 * Threads: one thread has a log.
 */
#ifndef MQ_TOP_LOG_H
#define MQ_TOP_LOG_H

#include "util/osdep.h"

#define MQ_LOG_MAX 200u

typedef enum MqLogKind { MQ_LOG_INFO, MQ_LOG_EVENT, MQ_LOG_ERROR } MqLogKind;

typedef struct MqLogEntry {
    MqLogKind kind;
    char clock[9]; /* HH:MM:SS */
    char *text;
} MqLogEntry;

/* Entries, oldest first. */
typedef GQueue MqLog;

MqLog *mq_log_new(void);
void mq_log_free(MqLog *log);

/* Adds a line; what is not printable is shown as '?'. */
void mq_log(MqLog *log, MqLogKind kind, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/* Entry @i, 0 is the latest; NULL when there is none. */
const MqLogEntry *mq_log_latest(const MqLog *log, unsigned i);

#endif
