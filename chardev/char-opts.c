/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text of -chardev, -serial, -monitor... to what chardev_new() takes. */
#include "util/osdep.h"

#include <json-c/json.h>

#include "chardev/char-internal.h"
#include "qapi/keyval.h"
#include "qapi/qapi-visit.h"
#include "qapi/schema-help.h"
#include "system/machine-lock.h"

/* A ChardevBackend whose parts are here and whose strings are borrowed. */
typedef struct BorrowedBackend {
    ChardevBackend backend;
    ChardevCommon common;
    ChardevFile file;
    ChardevHostdev pipe;
    ChardevSocket socket;
    ChardevStdio stdio;
    ChardevRingbuf ringbuf;
    ChardevMux mux;
    SocketAddressLegacy addr;
    InetSocketAddress inet;
    UnixSocketAddress unix_addr;
    String fd;
} BorrowedBackend;

/* The members of ChardevCommon, in a struct that has them. */
#define COPY_LOG(to, from)                          \
    do {                                            \
        (to).logfile = (from)->logfile;             \
        (to).has_logappend = (from)->has_logappend; \
        (to).logappend = (from)->logappend;         \
    } while (0)

void chardev_print_help(void)
{
    printf("Available chardev backend types:\n");
    for (int i = 0; i < CHARDEV_DRIVER__MAX; i++) {
        printf("  %s\n", ChardevDriver_str((ChardevDriver)i));
    }
}

static void set_file(BorrowedBackend *b, const ChardevOptions *o)
{
    const ChardevFileOptions *f = &o->u.file;

    COPY_LOG(b->file, o);
    b->file.out = f->path;
    b->file.in = f->input_path;
    b->file.has_append = f->has_append;
    b->file.append = f->append;
    b->backend.type = CHARDEV_BACKEND_KIND_FILE;
    b->backend.u.file.data = &b->file;
}

static void set_pipe(BorrowedBackend *b, const ChardevOptions *o)
{
    COPY_LOG(b->pipe, o);
    b->pipe.device = o->u.pipe.path;
    b->backend.type = CHARDEV_BACKEND_KIND_PIPE;
    b->backend.u.pipe.data = &b->pipe;
}

static void set_stdio(BorrowedBackend *b, const ChardevOptions *o)
{
    COPY_LOG(b->stdio, o);
    b->stdio.has_signal = o->u.stdio.has_signal;
    b->stdio.signal = o->u.stdio.signal;
    b->backend.type = CHARDEV_BACKEND_KIND_STDIO;
    b->backend.u.stdio.data = &b->stdio;
}

static void set_ringbuf(BorrowedBackend *b, const ChardevOptions *o,
                        const ChardevRingbufOptions *r)
{
    COPY_LOG(b->ringbuf, o);
    b->ringbuf.has_size = r->has_size;
    b->ringbuf.size = (int64_t)MIN(r->size, (uint64_t)INT64_MAX);
    b->backend.type = CHARDEV_BACKEND_KIND_RINGBUF;
    b->backend.u.ringbuf.data = &b->ringbuf;
}

static void set_inet_addr(BorrowedBackend *b, const ChardevSocketOptions *s)
{
    static char any_host[] = "";

    b->inet = (InetSocketAddress){
        .host = s->host ? s->host : any_host,
        .port = s->port,
        .has_to = s->has_to,
        .to = s->to,
        .has_ipv4 = s->has_ipv4,
        .ipv4 = s->ipv4,
        .has_ipv6 = s->has_ipv6,
        .ipv6 = s->ipv6,
    };
    b->addr.type = SOCKET_ADDRESS_TYPE_INET;
    b->addr.u.inet.data = &b->inet;
}

static void set_unix_addr(BorrowedBackend *b, const ChardevSocketOptions *s)
{
    b->unix_addr = (UnixSocketAddress){
        .path = s->path,
        .has_abstract = s->has_abstract,
        .abstract = s->abstract,
        .has_tight = s->has_tight,
        .tight = s->tight,
    };
    b->addr.type = SOCKET_ADDRESS_TYPE_UNIX;
    b->addr.u.q_unix.data = &b->unix_addr;
}

/* Exactly one kind of address, and nothing that belongs to another. */
static bool set_address(BorrowedBackend *b, const ChardevSocketOptions *s,
                        Error **errp)
{
    bool inet = s->host || s->has_to || s->has_ipv4 || s->has_ipv6;

    if (!!s->path + !!s->fd + !!s->port != 1) {
        error_setg(errp, "chardev socket expects exactly one of 'path', 'fd' "
                         "and 'port'");
        return false;
    }
    if (!s->port && inet) {
        error_setg(errp, "Parameters 'host', 'to', 'ipv4' and 'ipv6' need "
                         "'port'");
        return false;
    }
    if (!s->path && (s->has_abstract || s->has_tight)) {
        error_setg(errp, "Parameters 'abstract' and 'tight' need 'path'");
        return false;
    }
    if (s->path) {
        set_unix_addr(b, s);
    } else if (s->port) {
        set_inet_addr(b, s);
    } else {
        b->fd.str = s->fd;
        b->addr.type = SOCKET_ADDRESS_TYPE_FD;
        b->addr.u.fd.data = &b->fd;
    }
    return true;
}

static bool set_socket(BorrowedBackend *b, const ChardevOptions *o,
                       Error **errp)
{
    const ChardevSocketOptions *s = &o->u.socket;
    bool server = s->has_server && s->server;
    bool wait = server; /* unless the text says otherwise */

    if (s->has_wait) {
        wait = s->wait;
    } else if (s->has_nowait) {
        wait = !s->nowait;
    }
    if (s->has_wait && s->has_nowait && s->wait == s->nowait) {
        error_setg(errp, "Parameters 'wait' and 'nowait' contradict each "
                         "other");
        return false;
    }
    COPY_LOG(b->socket, o);
    b->socket.addr = &b->addr;
    b->socket.has_server = true;
    b->socket.server = server;
    b->socket.has_wait = true;
    b->socket.wait = wait && (server || s->has_wait);
    b->socket.has_nodelay = true;
    b->socket.nodelay = s->has_nodelay ? s->nodelay : s->has_delay && !s->delay;
    b->socket.has_telnet = s->has_telnet;
    b->socket.telnet = s->telnet;
    b->socket.has_reconnect = s->has_reconnect;
    b->socket.reconnect = s->reconnect;
    b->backend.type = CHARDEV_BACKEND_KIND_SOCKET;
    b->backend.u.socket.data = &b->socket;
    return set_address(b, s, errp);
}

static bool set_backend(BorrowedBackend *b, const ChardevOptions *o,
                        Error **errp)
{
    COPY_LOG(b->common, o);
    switch (o->backend) {
    case CHARDEV_DRIVER_FILE:
        set_file(b, o);
        return true;
    case CHARDEV_DRIVER_PIPE:
        set_pipe(b, o);
        return true;
    case CHARDEV_DRIVER_SOCKET:
        return set_socket(b, o, errp);
    case CHARDEV_DRIVER_STDIO:
        set_stdio(b, o);
        return true;
    case CHARDEV_DRIVER_RINGBUF:
        set_ringbuf(b, o, &o->u.ringbuf);
        return true;
    case CHARDEV_DRIVER_MEMORY:
        set_ringbuf(b, o, &o->u.memory);
        return true;
    case CHARDEV_DRIVER_PTY:
        b->backend.type = CHARDEV_BACKEND_KIND_PTY;
        b->backend.u.pty.data = &b->common;
        return true;
    default:
        b->backend.type = CHARDEV_BACKEND_KIND_NULL;
        b->backend.u.null.data = &b->common;
        return true;
    }
}

/* chardev_new(), and a pty's path for the user, who can only see it here. */
static MAIN_THREAD Chardev *
new_for_user(const char *id, const ChardevBackend *backend, Error **errp)
{
    Chardev *chr = chardev_new(id, backend, errp);
    const char *pty = chr ? chardev_pty_path(chr) : NULL;

    if (pty) {
        printf("char device redirected to %s (label %s)\n", pty, id);
        fflush(stdout);
    }
    return chr;
}

/* mux=on: the device itself is ID-base, and ID is the mux on it. */
static MAIN_THREAD Chardev *new_with_mux(const char *id, BorrowedBackend *b,
                                         Error **errp)
{
    g_autofree char *base_id = g_strdup_printf("%s-base", id);
    Chardev *base = new_for_user(base_id, &b->backend, errp);
    Chardev *mux;

    if (!base) {
        return NULL;
    }
    b->mux.chardev = base_id;
    b->backend.type = CHARDEV_BACKEND_KIND_MUX;
    b->backend.u.mux.data = &b->mux;
    mux = chardev_new(id, &b->backend, errp);
    if (!mux) {
        chardev_remove(base_id, NULL);
        return NULL;
    }
    chardev_mux_own_base(mux);
    return mux;
}

static MAIN_THREAD Chardev *new_from_options(const ChardevOptions *o,
                                             Error **errp)
{
    BorrowedBackend b = { 0 };

    if (!set_backend(&b, o, errp)) {
        return NULL;
    }
    if (o->has_mux && o->mux) {
        return new_with_mux(o->id, &b, errp);
    }
    return new_for_user(o->id, &b.backend, errp);
}

/* The back-ends, or the options of the one that @json names. */
static void print_help_on(json_object *json, Error **errp)
{
    json_object *name;
    int backend;

    if (!json_object_object_get_ex(json, "backend", &name)) {
        chardev_print_help();
        return;
    }
    backend =
        qapi_enum_find(&qapi_type_ChardevDriver, json_object_get_string(name));
    if (backend < 0) {
        g_autofree char *shown = qapi_quote(json_object_get_string(name));

        error_setg(errp,
                   "Parameter 'backend' does not accept value '%s' (-chardev "
                   "help lists them)",
                   shown);
        return;
    }
    schema_print_options(json_object_get_string(name),
                         &qapi_type_ChardevOptions, (unsigned)backend);
}

/* Tells where the names are that @json might have meant. */
static void hint_unknown(json_object *json, Error **errp)
{
    g_autofree char *hint = g_strdup_printf(
        "-chardev %s,help lists them",
        json_object_get_string(json_object_object_get(json, "backend")));

    schema_hint_unknown(errp, hint);
}

Chardev *chardev_new_from_opts(const char *text, Error **errp)
{
    bool is_json, help = false;
    json_object *json = options_parse(text, "backend", &is_json, &help, errp);
    g_autoptr(ChardevOptions) o = NULL;

    if (!json) {
        return NULL;
    }
    if (help) {
        print_help_on(json, errp);
    } else {
        o = is_json
                ? qapi_new_from_json(&qapi_type_ChardevOptions, json, errp)
                : qapi_new_from_keyval(&qapi_type_ChardevOptions, json, errp);
        hint_unknown(json, errp);
    }
    json_object_put(json);
    return o ? new_from_options(o, errp) : NULL;
}

static void add_text(json_object *json, const char *key, const char *text)
{
    json_object_object_add(json, key, json_object_new_string(text));
}

static MAIN_THREAD Chardev *change_by_options(const ChardevOptions *o,
                                              Error **errp)
{
    BorrowedBackend b = { 0 };

    if (o->has_mux && o->mux) {
        error_setg(errp, "Parameter 'mux' is for new chardevs only");
        return NULL;
    }
    return set_backend(&b, o, errp) ? chardev_change(o->id, &b.backend, errp)
                                    : NULL;
}

Chardev *chardev_add_from_opts(const char *change, const char *text,
                               Error **errp)
{
    bool is_json;
    json_object *json = options_parse(text, "backend", &is_json, NULL, errp);
    g_autoptr(ChardevOptions) o = NULL;

    if (!json) {
        return NULL;
    }
    if (change && !json_object_object_get_ex(json, "id", NULL)) {
        add_text(json, "id", change);
    } else if (change) {
        error_setg(errp, "Parameter 'id' is not expected here");
        json_object_put(json);
        return NULL;
    }
    o = is_json ? qapi_new_from_json(&qapi_type_ChardevOptions, json, errp)
                : qapi_new_from_keyval(&qapi_type_ChardevOptions, json, errp);
    hint_unknown(json, errp);
    json_object_put(json);
    if (o && o->backend == CHARDEV_DRIVER_SOCKET && !o->u.socket.has_wait) {
        o->u.socket.has_wait = o->u.socket.has_server && o->u.socket.server;
        o->u.socket.wait = o->u.socket.has_nowait && !o->u.socket.nowait;
    }
    if (!o) {
        return NULL;
    }
    return change ? change_by_options(o, errp) : new_from_options(o, errp);
}

/* ---- the spelling of -serial and the like ---- */

/* unix:PATH,OPTIONS */
static json_object *parse_unix(const char *text, Error **errp)
{
    g_autofree char *keyval = g_strdup_printf("path=%s", text);
    json_object *json = keyval_parse(keyval, NULL, NULL, errp);

    if (json) {
        add_text(json, "backend", "socket");
    }
    return json;
}

/* tcp:HOST:PORT,OPTIONS or telnet:...; an IPv6 number is in brackets. */
static json_object *parse_tcp(const char *text, Error **errp)
{
    const char *rest = strchr(text, ':') + 1;
    g_autofree char *keyval = g_strdup_printf("addr=%s", rest);
    json_object *json = keyval_parse(keyval, NULL, NULL, errp);
    g_autofree char *addr = NULL;
    char *host;
    char *port;
    size_t len;

    if (!json) {
        return NULL;
    }
    addr =
        g_strdup(json_object_get_string(json_object_object_get(json, "addr")));
    port = strrchr(addr, ':');
    if (!port || port[1] == '\0') {
        error_setg(errp, "'%s' expects %.*s[HOST]:PORT[,OPTIONS]", text,
                   (int)(rest - text), text);
        json_object_put(json);
        return NULL;
    }
    *port++ = '\0';
    host = addr;
    len = strlen(host);
    if (len >= 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        host++;
    }
    json_object_object_del(json, "addr");
    add_text(json, "backend", "socket");
    add_text(json, "host", host);
    add_text(json, "port", port);
    return json;
}

/* Text that is the name of a back-end, perhaps with options: "stdio". */
static json_object *parse_simple(const char *text, Error **errp)
{
    static const char *const names[] = { "stdio", "null",    "none",
                                         "pty",   "ringbuf", "memory" };
    size_t len = strcspn(text, ",");
    g_autofree char *shown = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (strlen(names[i]) == len && strncmp(text, names[i], len) == 0) {
            json_object *json = keyval_parse(text, "backend", NULL, errp);

            if (json && strcmp(names[i], "none") == 0) {
                add_text(json, "backend", "null");
            }
            return json;
        }
    }
    shown = qapi_quote(text);
    error_setg(errp,
               "'%s' is not a character device, expected stdio, null, none, "
               "pty, ringbuf, file:PATH, pipe:PATH, unix:PATH, tcp:HOST:PORT, "
               "telnet:HOST:PORT, mon:DEVICE or chardev:ID",
               shown);
    return NULL;
}

static json_object *parse_legacy(const char *text, Error **errp)
{
    json_object *json;

    if (g_str_has_prefix(text, "unix:")) {
        return parse_unix(text + strlen("unix:"), errp);
    }
    if (g_str_has_prefix(text, "tcp:")) {
        return parse_tcp(text, errp);
    }
    if (g_str_has_prefix(text, "telnet:")) {
        json = parse_tcp(text, errp);
        if (json) {
            add_text(json, "telnet", "on");
        }
        return json;
    }
    if (!g_str_has_prefix(text, "file:") && !g_str_has_prefix(text, "pipe:")) {
        return parse_simple(text, errp);
    }
    json = json_object_new_object(); /* a path is taken as it is, commas too */
    add_text(json, "backend", *text == 'f' ? "file" : "pipe");
    add_text(json, "path", text + strlen("file:"));
    return json;
}

static MAIN_THREAD Chardev *find_existing(const char *id, Error **errp)
{
    Chardev *chr = chardev_find(id);

    if (!chr) {
        g_autofree char *shown = qapi_quote(id);

        error_setg(errp,
                   "'chardev:%s' expects the id of a chardev, there is no "
                   "such one",
                   shown);
    }
    return chr;
}

Chardev *chardev_new_legacy(const char *id, const char *text, Error **errp)
{
    bool mux = g_str_has_prefix(text, "mon:");
    g_autoptr(ChardevOptions) o = NULL;
    json_object *json;

    if (g_str_has_prefix(text, "chardev:")) {
        return find_existing(text + strlen("chardev:"), errp);
    }
    json = parse_legacy(mux ? text + strlen("mon:") : text, errp);
    if (!json) {
        return NULL;
    }
    add_text(json, "id", id);
    if (mux) {
        add_text(json, "mux", "on");
    }
    o = qapi_new_from_keyval(&qapi_type_ChardevOptions, json, errp);
    hint_unknown(json, errp);
    json_object_put(json);
    return o ? new_from_options(o, errp) : NULL;
}
