/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "contrib/qemu-mq-top/json-read.h"
#include "contrib/qemu-mq-top/qmp-address.h"
#include "contrib/qemu-mq-top/qmp-client.h"

#define READ_BYTES 65536u
/* Bytes taken in one run: then keys and the clock have their turn. */
#define RUN_BYTES (16 * READ_BYTES)

typedef struct Pending {
    int64_t id;
    int64_t deadline; /* microseconds */
    QmpReply *reply;
    void *opaque;
} Pending;

typedef enum ClientState {
    CLIENT_CONNECTING,
    CLIENT_GREETING,    /* the server has the word */
    CLIENT_NEGOTIATING, /* qmp_capabilities is under way */
    CLIENT_READY,
} ClientState;

struct QmpClient {
    int fd;
    ClientState state;
    int64_t greeting_deadline; /* microseconds */
    GString *out;              /* not yet sent */
    json_tokener *tokener;
    size_t message_bytes; /* of the message that has begun */
    size_t message_nodes; /* brackets and braces that it opened */
    GQueue pending;       /* Pending */
    int64_t last_id;
    QmpEvent *event;
    void *opaque;
    bool refused; /* qmp_capabilities failed */
};

/* ---- made and closed ---- */

QmpClient *qmp_client_open(const char *address, QmpEvent *event, void *opaque,
                           Error **errp)
{
    bool connected;
    int fd = qmp_address_connect(address, &connected, errp);
    QmpClient *c;

    if (fd < 0) {
        return NULL;
    }
    c = g_new0(QmpClient, 1);
    c->fd = fd;
    c->state = connected ? CLIENT_GREETING : CLIENT_CONNECTING;
    c->greeting_deadline = g_get_monotonic_time() + QMP_CLIENT_ANSWER_US;
    c->out = g_string_new(NULL);
    c->tokener = json_tokener_new_ex(QMP_CLIENT_MAX_DEPTH);
    g_queue_init(&c->pending);
    c->event = event;
    c->opaque = opaque;
    return c;
}

void qmp_client_close(QmpClient *c)
{
    if (!c) {
        return;
    }
    close(c->fd);
    json_tokener_free(c->tokener);
    g_string_free(c->out, TRUE);
    g_queue_clear_full(&c->pending, g_free);
    g_free(c);
}

int qmp_client_fd(const QmpClient *c)
{
    return c->fd;
}

short qmp_client_wants(const QmpClient *c)
{
    if (c->state == CLIENT_CONNECTING) {
        return POLLOUT;
    }
    return (short)(POLLIN | (c->out->len ? POLLOUT : 0));
}

bool qmp_client_ready(const QmpClient *c)
{
    return c->state == CLIENT_READY;
}

/* ---- sending ---- */

static bool send_command(QmpClient *c, const char *command, json_object *args,
                         QmpReply *reply, void *opaque)
{
    json_object *message = json_object_new_object();
    Pending *p;

    if (args) {
        json_object_object_add(message, "arguments", args);
    }
    if (c->pending.length >= QMP_CLIENT_MAX_PENDING) {
        json_object_put(message);
        return false;
    }
    p = g_new0(Pending, 1);
    p->id = ++c->last_id;
    p->deadline = g_get_monotonic_time() + QMP_CLIENT_ANSWER_US;
    p->reply = reply;
    p->opaque = opaque;
    g_queue_push_tail(&c->pending, p);
    json_object_object_add(message, "execute", json_object_new_string(command));
    json_object_object_add(message, "id", json_object_new_int64(p->id));
    g_string_append(c->out, json_object_to_json_string_ext(
                                message, JSON_C_TO_STRING_PLAIN));
    g_string_append(c->out, "\r\n");
    json_object_put(message);
    return true;
}

bool qmp_client_send(QmpClient *c, const char *command, json_object *args,
                     QmpReply *reply, void *opaque)
{
    return send_command(c, command, args, reply, opaque);
}

/* Says why: @error is an errno, 0 at the end of the stream. It is reset when
 * the emulator ended before it had read all of ours. */
static bool connection_over(int error, Error **errp)
{
    if (error == 0 || error == ECONNRESET || error == EPIPE) {
        error_setg(errp, "the emulator closed the connection");
    } else {
        error_setg_errno(errp, error, "the connection broke");
    }
    return false;
}

static bool flush_output(QmpClient *c, Error **errp)
{
    while (c->out->len) {
        ssize_t n =
            send(c->fd, c->out->str, c->out->len, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return true;
        }
        if (n < 0) {
            return connection_over(errno, errp);
        }
        g_string_erase(c->out, 0, n);
    }
    return true;
}

/* ---- messages ---- */

static void negotiated(void *opaque, json_object *ret, const char *error_class,
                       const char *error)
{
    QmpClient *c = opaque;

    c->refused = error != NULL;
    c->state = CLIENT_READY;
}

static bool take_greeting(QmpClient *c, json_object *message, Error **errp)
{
    if (!json_read(message, "QMP", json_type_object)) {
        error_setg(errp, "the server does not speak QMP: its greeting is "
                         "another message; name the socket of -qmp");
        return false;
    }
    c->state = CLIENT_NEGOTIATING;
    return send_command(c, "qmp_capabilities", NULL, negotiated, c);
}

static Pending *find_pending(QmpClient *c, json_object *message)
{
    int64_t id = json_read_int(message, "id", 1, INT64_MAX, 0);

    for (GList *l = c->pending.head; l; l = l->next) {
        Pending *p = l->data;

        if (p->id == id) {
            g_queue_delete_link(&c->pending, l);
            return p;
        }
    }
    return NULL;
}

static void take_answer(QmpClient *c, json_object *message)
{
    Pending *p = find_pending(c, message);
    json_object *error = json_read(message, "error", json_type_object);
    json_object *ret = NULL;

    if (!p) {
        return;
    }
    if (error || !json_object_object_get_ex(message, "return", &ret)) {
        const char *cls = json_read_str(error, "class");
        const char *desc = json_read_str(error, "desc");

        p->reply(p->opaque, NULL, cls ? cls : "GenericError",
                 desc ? desc : "an answer without result or error");
    } else {
        p->reply(p->opaque, ret, NULL, NULL);
    }
    g_free(p);
}

static bool take_message(QmpClient *c, json_object *message, Error **errp)
{
    const char *event = json_read_str(message, "event");

    if (!json_object_is_type(message, json_type_object)) {
        error_setg(errp, "the server does not speak QMP: a message is no "
                         "JSON object");
        return false;
    }
    if (c->state == CLIENT_GREETING) {
        return take_greeting(c, message, errp);
    }
    if (event) {
        c->event(c->opaque, event,
                 json_read(message, "data", json_type_object));
    } else {
        take_answer(c, message);
    }
    if (c->refused) {
        error_setg(errp, "the server refuses qmp_capabilities");
        return false;
    }
    return true;
}

/* ---- receiving ---- */

/* Counts what was read of a message. False when it becomes too large. */
static bool count_bytes(QmpClient *c, const char *data, size_t len,
                        Error **errp)
{
    c->message_bytes += len;
    for (size_t i = 0; i < len; i++) {
        c->message_nodes += data[i] == '{' || data[i] == '[';
    }
    if (c->message_bytes > QMP_CLIENT_MAX_MESSAGE) {
        error_setg(errp, "a message of the server is longer than %u MiB",
                   (unsigned)(QMP_CLIENT_MAX_MESSAGE / MiB));
        return false;
    }
    if (c->message_nodes > QMP_CLIENT_MAX_NODES) {
        error_setg(errp, "a message of the server has more than %u parts",
                   QMP_CLIENT_MAX_NODES);
        return false;
    }
    return true;
}

static bool take_bytes(QmpClient *c, const char *data, size_t len, Error **errp)
{
    while (len) {
        json_object *message =
            json_tokener_parse_ex(c->tokener, data, (int)len);
        enum json_tokener_error e = json_tokener_get_error(c->tokener);
        size_t used = MIN(json_tokener_get_parse_end(c->tokener), len);
        bool ok;

        if (e != json_tokener_success && e != json_tokener_continue) {
            error_setg(errp, "the server does not speak QMP: %s",
                       json_tokener_error_desc(e));
            return false;
        }
        if (!count_bytes(c, data, used, errp)) {
            json_object_put(message);
            return false;
        }
        if (e == json_tokener_continue) {
            return true;
        }
        c->message_bytes = c->message_nodes = 0;
        ok = take_message(c, message, errp);
        json_object_put(message);
        if (!ok) {
            return false;
        }
        data += used;
        len -= used;
    }
    return true;
}

static bool read_input(QmpClient *c, Error **errp)
{
    g_autofree char *buf = g_malloc(READ_BYTES);

    for (size_t total = 0; total < RUN_BYTES;) {
        ssize_t n = recv(c->fd, buf, READ_BYTES, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return true;
        }
        if (n <= 0) {
            return connection_over(n < 0 ? errno : 0, errp);
        }
        if (!take_bytes(c, buf, (size_t)n, errp)) {
            return false;
        }
        total += (size_t)n;
    }
    return true;
}

/* ---- turns ---- */

static bool finish_connect(QmpClient *c, Error **errp)
{
    struct pollfd pfd = { .fd = c->fd, .events = POLLOUT };
    int error = 0;
    socklen_t len = sizeof(error);

    if (poll(&pfd, 1, 0) <= 0) {
        return true;
    }
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) {
        error = errno;
    }
    if (error) {
        error_setg_errno(errp, error, "cannot connect");
        return false;
    }
    c->state = CLIENT_GREETING;
    return true;
}

static bool in_time(const QmpClient *c, int64_t now, Error **errp)
{
    const Pending *oldest = c->pending.head ? c->pending.head->data : NULL;
    int64_t deadline = c->state < CLIENT_NEGOTIATING ? c->greeting_deadline
                       : oldest                      ? oldest->deadline
                                                     : INT64_MAX;

    if (now <= deadline) {
        return true;
    }
    error_setg(errp,
               "no answer in %u seconds (another client may have the socket, "
               "or it is no QMP socket)",
               (unsigned)(QMP_CLIENT_ANSWER_US / G_USEC_PER_SEC));
    return false;
}

bool qmp_client_run(QmpClient *c, int64_t now, Error **errp)
{
    if (c->state == CLIENT_CONNECTING && !finish_connect(c, errp)) {
        return false;
    }
    if (c->state != CLIENT_CONNECTING &&
        !(read_input(c, errp) && flush_output(c, errp))) {
        return false;
    }
    return in_time(c, now, errp);
}
