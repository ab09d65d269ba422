/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client of the management protocol (QMP) that never waits: its owner polls
 * the descriptor. What the server sends is bounded in size and depth, and in
 * the time it takes.
 *
 * Threads: one thread has a client and all that comes of it.
 */
#ifndef MQ_TOP_QMP_CLIENT_H
#define MQ_TOP_QMP_CLIENT_H

#include "util/osdep.h"

#include <json-c/json.h>

#include "util/error.h"

/* The longest message that is taken, and the deepest: an answer about 4,096
 * queue pairs is half of that. */
#define QMP_CLIENT_MAX_MESSAGE (8 * MiB)
#define QMP_CLIENT_MAX_DEPTH   32

/* Objects and arrays in it, at most: two bytes of the server's make some 700 of
 * ours. A queue pair has five. Those in strings count as well. */
#define QMP_CLIENT_MAX_NODES 131072u

/* How long the server may take to answer. */
#define QMP_CLIENT_ANSWER_US (10 * G_USEC_PER_SEC)

/* Commands under way at once, at most. */
#define QMP_CLIENT_MAX_PENDING 32u

typedef struct QmpClient QmpClient;

/*
 * The answer to a command: @ret, which is the caller's to read until this
 * returns, or @error, the text of what went wrong with its @error_class.
 */
typedef void QmpReply(void *opaque, json_object *ret, const char *error_class,
                      const char *error);

/* An event. @data is NULL when it has none. */
typedef void QmpEvent(void *opaque, const char *name, json_object *data);

/*
 * Begins to connect to @address: "unix:PATH", "tcp:HOST:PORT", "PATH" (with a
 * slash, or of a socket that is there) or "HOST:PORT"; HOST may be an IPv6
 * address in brackets. NULL with @errp set when that is impossible at once.
 */
QmpClient *qmp_client_open(const char *address, QmpEvent *event, void *opaque,
                           Error **errp);

/* Closes the connection; replies that are due do not come any more. */
void qmp_client_close(QmpClient *c);

int qmp_client_fd(const QmpClient *c);

/* What to poll() for. */
short qmp_client_wants(const QmpClient *c);

/* The server has greeted us and taken our greeting. */
bool qmp_client_ready(const QmpClient *c);

/* Moves what can be moved at @now (g_get_monotonic_time()); calls replies and
 * events. False when the connection is over: the server closed it, says what
 * is no QMP, or does not answer in time. */
bool qmp_client_run(QmpClient *c, int64_t now, Error **errp);

/*
 * Sends a command; @args (may be NULL) become the client's. @reply is called
 * from a later qmp_client_run(). False, with nothing sent, when as many as
 * QMP_CLIENT_MAX_PENDING are under way.
 */
bool qmp_client_send(QmpClient *c, const char *command, json_object *args,
                     QmpReply *reply, void *opaque);

#endif
