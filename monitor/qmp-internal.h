/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the management protocol share. For monitor/ and its tests.
 *
 * Threads: main thread; the lexer and the writer are plain functions on their
 * caller's data.
 */
#ifndef MONITOR_QMP_INTERNAL_H
#define MONITOR_QMP_INTERNAL_H

#include "monitor/qmp.h"

/* ---- qmp-lexer.c: bytes to JSON values ---- */

#define QMP_DEPTH_MAX   1024u       /* nested objects and arrays */
#define QMP_MESSAGE_MAX (64 * MiB)  /* bytes of one value */
#define QMP_TOKENS_MAX  (256 * KiB) /* brackets, commas, colons, strings */

typedef struct QmpLexer QmpLexer;

typedef enum QmpPiece {
    QMP_PIECE_NONE,  /* all input is used up, nothing is complete */
    QMP_PIECE_VALUE, /* a value */
    QMP_PIECE_ERROR, /* something that is not JSON */
} QmpPiece;

QmpLexer *qmp_lexer_new(void);
void qmp_lexer_free(QmpLexer *lexer);
/* Forgets what it was fed. */
void qmp_lexer_reset(QmpLexer *lexer);

/*
 * Goes on with @len bytes, until something is complete; *@used is how many
 * were looked at. A value: *@value is a new reference (NULL: JSON's null). An
 * error is reported once, where it is found; what follows is skipped until the
 * brackets are balanced again, or to the end of the line. A control character
 * (other than tab, CR, LF), 0xfe and 0xff are errors that end whatever was
 * begun: with them a client gets to a known state. Specification: 2.6.
 */
QmpPiece qmp_lexer_feed(QmpLexer *lexer, const uint8_t *buf, size_t len,
                        size_t *used, json_object **value, Error **errp);

/* ---- qmp-output.c: JSON values to text ---- */

/* Adds @json to @out: ASCII, on one line or indented by 4 spaces over several;
 * "\r\n" ends each line. */
void qmp_output(json_object *json, bool pretty, GString *out);

/* ---- qmp-dispatch.c ---- */

/* In what state of a session a command comes; any of: */
enum {
    QMP_NEGOTIATING = 1, /* only qmp_capabilities */
    QMP_OOB_ENABLED = 2, /* "exec-oob" is understood */
};

/* qmp_dispatch() in a session of state @flags. */
json_object *qmp_dispatch_in(const QapiCommand *commands, json_object *request,
                             unsigned flags) MAIN_THREAD;

/* {"error": ...} for @err, which is freed. */
json_object *qmp_error_answer(Error *err);

/* ---- qmp.c ---- */

/* Sends @message to all sessions that have negotiated, unless so much waits
 * for a client that it must do without. */
void qmp_broadcast(json_object *message) MAIN_THREAD;

/* ---- qmp-event.c ---- */

/* Events go to qmp_broadcast() from now on; and no longer. */
void qmp_events_start(void) MAIN_THREAD;
void qmp_events_stop(void) MAIN_THREAD;

#endif
