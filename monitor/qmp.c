/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions of the management protocol: one at each character device, made anew
 * for each client that comes.
 *
 * Commands run one in a turn of the main loop, in order, so that nobody holds
 * up the others. What a client may make us keep is limited: its input is left
 * in the kernel while QUEUE_MAX commands wait, or while it has not read
 * OUT_HIGH bytes of answers.
 */
#include "util/osdep.h"

#include <json-c/json.h>
#include <malloc.h>

#include "monitor/qmp-internal.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"

#define QUEUE_MAX 8u
#define INPUT_MAX 4096u
#define OUT_HIGH  (1 * MiB)
#define OUT_KEEP  (64 * KiB) /* a larger buffer is given back when empty */
#define LARGE     (1 * MiB)  /* of a message: memory goes back to the kernel */

/* Something to answer. */
typedef struct QueuedRequest {
    json_object *request; /* a command, or whatever came in its place */
    json_object *answer;  /* to what was no JSON; NULL: run @request */
    size_t size;          /* bytes that the client sent */
} QueuedRequest;

typedef struct QmpSession {
    /* fixed after creation */
    bool pretty;

    /* main thread */
    ChardevFrontend fe;
    LoopTask task; /* runs the next command */
    QmpLexer *lexer;
    uint8_t input[INPUT_MAX]; /* received, not yet looked at */
    size_t in_pos, in_len;
    QueuedRequest queue[QUEUE_MAX]; /* a ring */
    unsigned queue_pos, queue_len;
    size_t queue_bytes;
    GString *out;   /* answers and events */
    size_t out_pos; /* as far the Chardev has taken them */
    size_t n_bytes; /* of the value that is being received */
    bool large;     /* much memory was used for a moment */
    bool open;      /* a client is there */
    bool closing;   /* the last commands of one that has gone are run */
    bool reopened;  /* meanwhile the next one came */
    bool negotiated, oob;
} QmpSession;

/* Main thread. */
static GPtrArray *sessions;
static QmpSession *current; /* whose command is under way */
static bool preconfig;      /* there is no machine yet */
static bool held;           /* it is being made: commands wait */

/* ---- output ---- */

static size_t out_waiting(const QmpSession *s)
{
    return s->out->len - s->out_pos;
}

static void drop_output(QmpSession *s)
{
    s->out_pos = 0;
    if (s->out->allocated_len > OUT_KEEP) {
        s->large |= s->out->allocated_len > LARGE;
        g_string_free(s->out, TRUE);
        s->out = g_string_new(NULL);
    }
    g_string_truncate(s->out, 0);
}

static void MAIN_THREAD flush(QmpSession *s)
{
    s->out_pos +=
        chardev_write(&s->fe, s->out->str + s->out_pos, out_waiting(s));
    if (out_waiting(s) == 0) {
        drop_output(s);
    } else if (s->out_pos > s->out->len / 2) {
        g_string_erase(s->out, 0, (gssize)s->out_pos);
        s->out_pos = 0;
    }
}

static void MAIN_THREAD put(QmpSession *s, json_object *message)
{
    if (s->open && !s->reopened) {
        qmp_output(message, s->pretty, s->out);
        flush(s);
    }
}

void qmp_broadcast(json_object *message)
{
    for (guint i = 0; sessions && i < sessions->len; i++) {
        QmpSession *s = g_ptr_array_index(sessions, i);

        if (s->negotiated && out_waiting(s) < OUT_HIGH) {
            put(s, message);
        }
    }
}

/* Specification: 2.2. */
static void MAIN_THREAD greet(QmpSession *s)
{
    json_object *greeting = json_object_new_object();
    json_object *qmp = json_object_new_object();
    json_object *capabilities = json_object_new_array();
    VersionInfo version = { NULL };

    qmp_query_version(&version, NULL);
    for (int i = 0; i < QMP_CAPABILITY__MAX; i++) {
        json_object_array_add(capabilities,
                              json_object_new_string(QMPCapability_str(i)));
    }
    json_object_object_add(qmp, "version",
                           qapi_to_json(&qapi_type_VersionInfo, &version));
    json_object_object_add(qmp, "capabilities", capabilities);
    json_object_object_add(greeting, "QMP", qmp);
    put(s, greeting);
    json_object_put(greeting);
    qapi_free_contents(&qapi_type_VersionInfo, &version);
}

/* ---- commands ---- */

static void MAIN_THREAD execute(QmpSession *s, json_object *request)
{
    unsigned flags =
        (s->negotiated ? 0 : QMP_NEGOTIATING) | (s->oob ? QMP_OOB_ENABLED : 0);
    json_object *answer;

    current = s;
    answer = qmp_dispatch_in(qapi_commands, request, flags);
    current = NULL;
    if (answer) {
        put(s, answer);
    }
    json_object_put(answer);
}

/* Answers the oldest request. */
static void MAIN_THREAD run_next(QmpSession *s)
{
    QueuedRequest next = s->queue[s->queue_pos];

    s->queue_pos = (s->queue_pos + 1) % QUEUE_MAX;
    s->queue_len--;
    s->queue_bytes -= next.size;
    if (next.answer) {
        put(s, next.answer);
    } else {
        execute(s, next.request);
    }
    json_object_put(next.request);
    json_object_put(next.answer);
}

static void MAIN_THREAD enqueue(QmpSession *s, json_object *request,
                                json_object *answer, size_t size)
{
    unsigned at = (s->queue_pos + s->queue_len++) % QUEUE_MAX;

    s->queue[at] = (QueuedRequest){ request, answer, size };
    s->queue_bytes += size;
    loop_task_schedule(&s->task);
}

/* Specification: 2.3.1. */
static bool is_oob(const QmpSession *s, json_object *request)
{
    return s->oob && json_object_is_type(request, json_type_object) &&
           json_object_object_get_ex(request, "exec-oob", NULL);
}

static bool may_run(const QmpSession *s)
{
    return !held && out_waiting(s) < OUT_HIGH;
}

static bool may_read(const QmpSession *s)
{
    return s->queue_len < QUEUE_MAX && s->queue_bytes < LARGE && may_run(s);
}

/* What the lexer found in the last @size bytes. */
static void MAIN_THREAD take_piece(QmpSession *s, QmpPiece piece,
                                   json_object *request, Error *err,
                                   size_t size)
{
    s->large |= size > LARGE;
    if (piece == QMP_PIECE_ERROR) {
        enqueue(s, NULL, qmp_error_answer(err), 0);
    } else if (is_oob(s, request)) {
        execute(s, request);
        json_object_put(request);
    } else {
        enqueue(s, request, NULL, size);
    }
}

/* Looks at the input that waits, as far as there is room for what it asks. */
static void MAIN_THREAD take_input(QmpSession *s)
{
    while (s->in_pos < s->in_len && may_read(s)) {
        json_object *request = NULL;
        Error *err = NULL;
        size_t used = 0, size;
        QmpPiece piece =
            qmp_lexer_feed(s->lexer, s->input + s->in_pos,
                           s->in_len - s->in_pos, &used, &request, &err);

        s->in_pos += used;
        s->n_bytes += used;
        if (piece != QMP_PIECE_NONE) {
            size = s->n_bytes;
            s->n_bytes = 0;
            take_piece(s, piece, request, err, size);
        }
    }
}

/* The next command, and what has become possible by that. */
static void session_turn(void *opaque)
{
    QmpSession *s = opaque;

    machine_lock_assert();
    if (s->queue_len > 0 && may_run(s)) {
        run_next(s);
    }
    take_input(s);
    if (s->queue_len > 0 && may_run(s)) {
        loop_task_schedule(&s->task);
    }
    if (s->large && s->queue_len == 0 && out_waiting(s) == 0) {
        s->large = false;
        malloc_trim(0);
    }
    chardev_accept_input(&s->fe);
}

int qmp_take_fd(void)
{
    return current ? chardev_take_fd(&current->fe) : -1;
}

bool qmp_qmp_capabilities(const q_obj_qmp_capabilities_arg *arg, Error **errp)
{
    if (!current || current->negotiated) {
        error_set_class(errp, ERROR_CLASS_COMMAND_NOT_FOUND,
                        "Capabilities negotiation is already complete, "
                        "command ignored");
        return false;
    }
    for (size_t i = 0; i < arg->enable.n; i++) {
        current->oob |= arg->enable.v[i] == QMP_CAPABILITY_OOB;
    }
    current->negotiated = true;
    return true;
}

/* ---- before there is a machine ---- */

bool qmp_is_preconfig(void)
{
    return preconfig;
}

void qmp_set_preconfig(bool on)
{
    preconfig = on;
    held = false;
    for (guint i = 0; !on && sessions && i < sessions->len; i++) {
        QmpSession *s = g_ptr_array_index(sessions, i);

        loop_task_schedule(&s->task);
    }
}

/* Commands that follow find the machine: until it is made they wait. */
bool qmp_x_exit_preconfig(Error **errp)
{
    if (!preconfig) {
        error_setg(errp, "The command is permitted only before machine "
                         "initialization");
        return false;
    }
    held = true;
    event_loop_quit(main_loop());
    return true;
}

bool qmp_left_preconfig(void)
{
    return held;
}

/* ---- clients come and go ---- */

static void MAIN_THREAD drop_queue(QmpSession *s)
{
    for (; s->queue_len > 0; s->queue_len--) {
        json_object_put(s->queue[s->queue_pos].request);
        json_object_put(s->queue[s->queue_pos].answer);
        s->queue_pos = (s->queue_pos + 1) % QUEUE_MAX;
    }
    s->queue_bytes = 0;
    loop_task_cancel(&s->task);
}

static void MAIN_THREAD session_opened(QmpSession *s)
{
    drop_queue(s);
    qmp_lexer_reset(s->lexer);
    s->in_pos = 0;
    s->in_len = 0;
    s->n_bytes = 0;
    drop_output(s);
    s->negotiated = false;
    s->oob = false;
    s->open = true;
    greet(s);
    chardev_accept_input(&s->fe); /* what was left of the last one held it up */
}

/*
 * Commands that came complete still run: who sends "quit" and leaves means it,
 * and whose input has ended may still read. There are no more of them than fit
 * into the input buffer.
 */
static void MAIN_THREAD run_the_rest(QmpSession *s)
{
    flush(s);
    while (may_run(s) && (s->queue_len > 0 || s->in_pos < s->in_len)) {
        take_input(s);
        if (s->queue_len > 0) {
            run_next(s);
        }
    }
}

/* To write to a pty may find its next user, who must not be greeted into the
 * buffer that is being written. */
static void MAIN_THREAD session_closed(QmpSession *s)
{
    s->closing = true;
    run_the_rest(s);
    s->closing = false;
    s->open = false;
    if (s->in_pos == s->in_len) {
        qmp_lexer_reset(s->lexer);
    }
    if (s->reopened) {
        s->reopened = false;
        session_opened(s);
    }
}

static void session_event(void *opaque, ChardevEvent event)
{
    QmpSession *s = opaque;

    machine_lock_assert();
    if (event == CHARDEV_EVENT_OPENED && s->closing) {
        s->reopened = true;
    } else if (event == CHARDEV_EVENT_OPENED) {
        session_opened(s);
    } else if (event == CHARDEV_EVENT_CLOSED) {
        session_closed(s);
    }
}

/*
 * Ahead of what is answered we read only where something may overtake: behind
 * the last command of `echo ... | socat` is the end of input, and whoever finds
 * that closes the way for answers, too.
 */
static size_t session_can_read(void *opaque)
{
    const QmpSession *s = opaque;
    bool idle = s->in_pos == s->in_len && (s->oob || s->queue_len == 0);

    return idle && may_read(s) ? INPUT_MAX : 0;
}

static void session_read(void *opaque, const uint8_t *buf, size_t len)
{
    QmpSession *s = opaque;

    machine_lock_assert();
    memcpy(s->input, buf, len);
    s->in_pos = 0;
    s->in_len = len;
    take_input(s);
}

static void session_writable(void *opaque)
{
    QmpSession *s = opaque;

    machine_lock_assert();
    flush(s);
    if (may_run(s)) {
        loop_task_schedule(&s->task);
    }
}

static const ChardevFrontendOps session_ops = {
    .can_read = session_can_read,
    .read = session_read,
    .event = session_event,
    .writable = session_writable,
};

static void MAIN_THREAD session_free(QmpSession *s)
{
    drop_queue(s);
    qmp_lexer_free(s->lexer);
    g_string_free(s->out, TRUE);
    g_free(s);
}

bool qmp_monitor_new(Chardev *chr, bool pretty, Error **errp)
{
    QmpSession *s = g_new0(QmpSession, 1);

    s->pretty = pretty;
    s->lexer = qmp_lexer_new();
    s->out = g_string_new(NULL);
    loop_task_init(&s->task, main_loop(), session_turn, s);
    if (!chardev_attach(&s->fe, chr, &session_ops, s, errp)) {
        session_free(s);
        return false;
    }
    if (!sessions) {
        sessions = g_ptr_array_new();
        qmp_events_start();
    }
    g_ptr_array_add(sessions, s);
    return true;
}

void qmp_monitor_cleanup(void)
{
    qmp_events_stop();
    for (guint i = 0; sessions && i < sessions->len; i++) {
        QmpSession *s = g_ptr_array_index(sessions, i);

        chardev_detach(&s->fe);
        session_free(s);
    }
    g_clear_pointer(&sessions, g_ptr_array_unref);
}
