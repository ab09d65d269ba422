/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Character devices: the registry, front-ends, and the log of output. */
#include "util/osdep.h"

#include <fcntl.h>
#include <signal.h>

#include "chardev/char-internal.h"
#include "system/machine-lock.h"
#include "util/fd.h"
#include "util/fdset.h"

static GPtrArray *chardevs; /* in the order made; NULL: none ever */

static const ChardevClass *const classes[CHARDEV_BACKEND_KIND__MAX] = {
    [CHARDEV_BACKEND_KIND_FILE] = &chardev_class_file,
    [CHARDEV_BACKEND_KIND_PIPE] = &chardev_class_pipe,
    [CHARDEV_BACKEND_KIND_NULL] = &chardev_class_null,
    [CHARDEV_BACKEND_KIND_PTY] = &chardev_class_pty,
    [CHARDEV_BACKEND_KIND_SOCKET] = &chardev_class_socket,
    [CHARDEV_BACKEND_KIND_STDIO] = &chardev_class_stdio,
    [CHARDEV_BACKEND_KIND_MUX] = &chardev_class_mux,
    [CHARDEV_BACKEND_KIND_RINGBUF] = &chardev_class_ringbuf,
    [CHARDEV_BACKEND_KIND_MEMORY] = &chardev_class_ringbuf,
};

/* ---- what back-ends call ---- */

size_t chardev_be_can_read(const Chardev *chr)
{
    const ChardevFrontend *fe = chr->frontends;

    return fe && fe->ops->can_read ? fe->ops->can_read(fe->opaque) : 0;
}

void chardev_be_read(Chardev *chr, const uint8_t *buf, size_t len)
{
    ChardevFrontend *fe = chr->frontends;

    if (fe && fe->ops->read) {
        fe->ops->read(fe->opaque, buf, len);
    }
}

void chardev_be_event(Chardev *chr, ChardevEvent event)
{
    ChardevFrontend *next;

    if (event == CHARDEV_EVENT_OPENED || event == CHARDEV_EVENT_CLOSED) {
        bool open = event == CHARDEV_EVENT_OPENED;

        if (chr->open == open) {
            return;
        }
        chr->open = open;
    }
    for (ChardevFrontend *fe = chr->frontends; fe; fe = next) {
        next = fe->next;
        if (fe->ops->event) {
            fe->ops->event(fe->opaque, event);
        }
    }
}

void chardev_be_writable(Chardev *chr)
{
    ChardevFrontend *next;

    for (ChardevFrontend *fe = chr->frontends; fe; fe = next) {
        next = fe->next;
        if (fe->want_writable) {
            fe->want_writable = false;
            if (fe->ops->writable) {
                fe->ops->writable(fe->opaque);
            }
        }
    }
}

void chardev_set_filename(Chardev *chr, const char *fmt, ...)
{
    va_list ap;

    g_free(chr->filename);
    va_start(ap, fmt);
    chr->filename = g_strdup_vprintf(fmt, ap);
    va_end(ap);
}

/* ---- making and removing ---- */

static MAIN_THREAD bool open_log(Chardev *chr, const char *file, bool append,
                                 Error **errp)
{
    int flags = O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY |
                (append ? O_APPEND : O_TRUNC);

    chr->log_fd = fdset_open(file, flags, 0666, errp);
    if (chr->log_fd < 0) {
        error_prepend(errp, "chardev '%s': logfile: ", chr->id);
    }
    return chr->log_fd >= 0;
}

/* Opens the log that @backend asks for, if any. */
static MAIN_THREAD bool
backend_open_log(Chardev *chr, const ChardevBackend *backend, Error **errp)
{
#define LOG_OF(kind)                                 \
    (!backend->u.kind.data->logfile ||               \
     open_log(chr, backend->u.kind.data->logfile,    \
              backend->u.kind.data->has_logappend && \
                  backend->u.kind.data->logappend,   \
              errp))

    switch (backend->type) {
    case CHARDEV_BACKEND_KIND_FILE:
        return LOG_OF(file);
    case CHARDEV_BACKEND_KIND_PIPE:
        return LOG_OF(pipe);
    case CHARDEV_BACKEND_KIND_NULL:
        return LOG_OF(null);
    case CHARDEV_BACKEND_KIND_PTY:
        return LOG_OF(pty);
    case CHARDEV_BACKEND_KIND_SOCKET:
        return LOG_OF(socket);
    case CHARDEV_BACKEND_KIND_STDIO:
        return LOG_OF(stdio);
    case CHARDEV_BACKEND_KIND_MUX:
        return LOG_OF(mux);
    case CHARDEV_BACKEND_KIND_RINGBUF:
        return LOG_OF(ringbuf);
    case CHARDEV_BACKEND_KIND_MEMORY:
        return LOG_OF(memory);
    case CHARDEV_BACKEND_KIND__MAX:
        break;
    }
    return true;
#undef LOG_OF
}

static MAIN_THREAD bool check_new_id(const char *id, Error **errp)
{
    const char *p = id;

    if (g_ascii_isalpha(*p)) {
        while (g_ascii_isalnum(*p) || (*p && strchr("-._", *p))) {
            p++;
        }
    }
    if (p == id || *p) {
        g_autofree char *shown = qapi_quote(id);

        error_setg(errp,
                   "Parameter 'id' expects a letter followed by letters, "
                   "digits, '-', '.' or '_', not '%s'",
                   shown);
        return false;
    }
    if (chardev_find(id)) {
        error_setg(errp, "Chardev with id '%s' already exists", id);
        return false;
    }
    return true;
}

static MAIN_THREAD void chardev_free(Chardev *chr)
{
    chardev_object_remove(chr);
    while (chr->frontends) {
        chr->frontends->chr = NULL;
        chr->frontends = chr->frontends->next;
    }
    if (chr->klass && chr->klass->close) {
        chr->klass->close(chr);
    }
    fd_close(&chr->log_fd);
    g_free(chr->filename);
    g_free(chr->id);
    g_free(chr);
}

/* A Chardev that is in no list yet. */
static MAIN_THREAD Chardev *make(const char *id, const ChardevBackend *backend,
                                 Error **errp)
{
    const ChardevClass *klass = classes[backend->type];
    Chardev *chr;

    /* A peer that goes away is an error of write(2), not our death. */
    signal(SIGPIPE, SIG_IGN);
    chr = g_malloc0(klass->instance_size);
    chr->id = g_strdup(id);
    chr->log_fd = -1;
    chr->filename = g_strdup(ChardevBackendKind_str(backend->type));
    if (!backend_open_log(chr, backend, errp)) {
        chardev_free(chr);
        return NULL;
    }
    chr->klass = klass; /* from here on there is something to close */
    if (!klass->open(chr, backend, errp)) {
        chardev_free(chr);
        return NULL;
    }
    return chr;
}

Chardev *chardev_new(const char *id, const ChardevBackend *backend,
                     Error **errp)
{
    Chardev *chr = check_new_id(id, errp) ? make(id, backend, errp) : NULL;

    if (!chr) {
        return NULL;
    }
    if (!chardevs) {
        chardevs = g_ptr_array_new();
    }
    g_ptr_array_add(chardevs, chr);
    chardev_object_add(chr, backend->type);
    return chr;
}

Chardev *chardev_find(const char *id)
{
    for (guint i = 0; chardevs && i < chardevs->len; i++) {
        Chardev *chr = g_ptr_array_index(chardevs, i);

        if (strcmp(chr->id, id) == 0) {
            return chr;
        }
    }
    return NULL;
}

bool chardev_remove(const char *id, Error **errp)
{
    Chardev *chr = chardev_find(id);

    if (!chr) {
        error_setg(errp, "Chardev '%s' not found", id);
        return false;
    }
    if (chr->frontends) {
        error_setg(errp, "Chardev '%s' is busy", id);
        return false;
    }
    g_ptr_array_remove(chardevs, chr);
    chardev_free(chr);
    return true;
}

static bool may_change(const Chardev *chr, const ChardevBackend *backend,
                       Error **errp)
{
    if (chr->klass->attach || backend->type == CHARDEV_BACKEND_KIND_MUX) {
        error_setg(errp, "Mux device hotswap not supported yet");
        return false;
    }
    if (chr->frontends && !chr->frontends->ops->hotswap) {
        error_setg(errp, "Chardev user does not support chardev hotswap");
        return false;
    }
    return true;
}

/* The front-end of @from, if any, is now @to's. */
static MAIN_THREAD void move_frontend(Chardev *from, Chardev *to)
{
    ChardevFrontend *fe = from->frontends;

    chardev_be_event(from, CHARDEV_EVENT_CLOSED);
    from->frontends = NULL;
    if (!fe) {
        return;
    }
    to->frontends = fe;
    fe->chr = to;
    if (to->open && fe->ops->event) {
        fe->ops->event(fe->opaque, CHARDEV_EVENT_OPENED);
    }
    chardev_accept_input(fe);
    chardev_be_writable(to);
}

Chardev *chardev_change(const char *id, const ChardevBackend *backend,
                        Error **errp)
{
    Chardev *old = chardev_find(id);
    Chardev *chr;
    guint i;

    if (!old) {
        error_setg(errp, "Chardev '%s' does not exist", id);
        return NULL;
    }
    if (!may_change(old, backend, errp)) {
        return NULL;
    }
    chr = make(id, backend, errp);
    if (!chr) {
        return NULL;
    }
    g_ptr_array_find(chardevs, old, &i);
    g_ptr_array_index(chardevs, i) = chr;
    move_frontend(old, chr);
    chardev_free(old);
    chardev_object_add(chr, backend->type);
    return chr;
}

void chardev_send_break(Chardev *chr)
{
    if (chardev_is_mux(chr)) {
        chardev_mux_send_break(chr);
    } else {
        chardev_be_event(chr, CHARDEV_EVENT_BREAK);
    }
}

void chardev_cleanup(void)
{
    /* Backwards: a mux before what it stands on. */
    while (chardevs && chardevs->len > 0) {
        chardev_free(g_ptr_array_steal_index(chardevs, chardevs->len - 1));
    }
    g_clear_pointer(&chardevs, g_ptr_array_unref);
}

void chardev_foreach(void (*func)(Chardev *chr, void *opaque), void *opaque)
{
    for (guint i = 0; chardevs && i < chardevs->len; i++) {
        func(g_ptr_array_index(chardevs, i), opaque);
    }
}

const char *chardev_label(const Chardev *chr)
{
    return chr->id;
}

const char *chardev_filename(const Chardev *chr)
{
    return chr->filename;
}

bool chardev_is_open(const Chardev *chr)
{
    return chr->open;
}

bool chardev_has_frontend(const Chardev *chr)
{
    return chr->frontends != NULL;
}

bool chardev_is_mux(const Chardev *chr)
{
    return chr->klass == &chardev_class_mux;
}

int chardev_terminal_fd(const Chardev *chr)
{
    return chr->klass->terminal_fd ? chr->klass->terminal_fd(chr) : -1;
}

/* ---- front-ends ---- */

bool chardev_attach(ChardevFrontend *fe, Chardev *chr,
                    const ChardevFrontendOps *ops, void *opaque, Error **errp)
{
    ChardevFrontend **end = &chr->frontends;

    if (chr->frontends && !chr->klass->attach) {
        error_setg(errp,
                   "Chardev '%s' is already in use: it takes several devices "
                   "only with mux=on",
                   chr->id);
        return false;
    }
    if (chr->klass->attach && !chr->klass->attach(chr, fe, errp)) {
        return false;
    }
    *fe = (ChardevFrontend){ .chr = chr, .ops = ops, .opaque = opaque };
    while (*end) {
        end = &(*end)->next;
    }
    *end = fe;
    if (chr->open && ops->event) {
        ops->event(opaque, CHARDEV_EVENT_OPENED);
    }
    chardev_accept_input(fe);
    return true;
}

void chardev_detach(ChardevFrontend *fe)
{
    Chardev *chr = fe->chr;
    ChardevFrontend **link;

    if (!chr) {
        return;
    }
    for (link = &chr->frontends; *link != fe;) {
        link = &(*link)->next;
    }
    *link = fe->next;
    fe->next = NULL;
    fe->chr = NULL;
    if (chr->klass->detach) {
        chr->klass->detach(chr, fe);
    }
}

/* The log is best effort: a full disk must not hold up the guest. */
static void write_log(Chardev *chr, const uint8_t *buf, size_t len)
{
    ssize_t n = 1;

    while (len > 0 && n > 0) {
        n = write(chr->log_fd, buf, len);
        if (n > 0) {
            buf += n;
            len -= (size_t)n;
        }
    }
}

size_t chardev_write(ChardevFrontend *fe, const void *buf, size_t len)
{
    Chardev *chr = fe->chr;
    size_t taken;

    if (!chr || len == 0) {
        return len;
    }
    taken = chr->klass->write(chr, buf, len);
    if (taken < len) {
        fe->want_writable = true;
    }
    if (chr->log_fd >= 0) {
        write_log(chr, buf, taken);
    }
    return taken;
}

void chardev_accept_input(ChardevFrontend *fe)
{
    if (fe->chr && fe->chr->klass->accept_input) {
        fe->chr->klass->accept_input(fe->chr, fe);
    }
}

int chardev_peer_fd(const ChardevFrontend *fe)
{
    const Chardev *chr = fe->chr;

    return chr && chr->open && chr->klass->peer_fd ? chr->klass->peer_fd(chr)
                                                   : -1;
}

bool chardev_passes_fds(const Chardev *chr)
{
    return chr->klass->passes_fds && chr->klass->passes_fds(chr);
}

bool chardev_wait_open(Chardev *chr, int timeout_ms, Error **errp)
{
    if (chr->open) {
        return true;
    }
    if (!chr->klass->wait_open) {
        error_setg(errp, "Chardev '%s' has no peer", chr->id);
        return false;
    }
    return chr->klass->wait_open(chr, timeout_ms, errp);
}

void chardev_disconnect(ChardevFrontend *fe)
{
    if (fe->chr && fe->chr->open && fe->chr->klass->disconnect) {
        fe->chr->klass->disconnect(fe->chr);
    }
}

int chardev_take_fd(ChardevFrontend *fe)
{
    if (!fe->chr || !fe->chr->klass->take_fd) {
        return -1;
    }
    return fe->chr->klass->take_fd(fe->chr);
}

void chardev_set_echo(ChardevFrontend *fe, bool echo)
{
    if (fe->chr && fe->chr->klass->set_echo) {
        fe->chr->klass->set_echo(fe->chr, echo);
    }
}
