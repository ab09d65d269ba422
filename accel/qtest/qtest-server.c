/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The qtest server: lines in, lines out, a log.
 *
 * The peer may send anything and read nothing. A line is at most
 * QTEST_LINE_MAX bytes; commands wait while answers do.
 */
#include "util/osdep.h"
#include "accel/qtest.h"
#include "accel/qtest/qtest-internal.h"
#include "system/machine-lock.h"
#include "util/event-loop.h"

#define INPUT_CHUNK (64 * KiB)
#define OUTPUT_FULL (64 * KiB)

typedef struct QtestServer {
    ChardevFrontend fe;
    GString *in, *out;
    size_t taken;  /* of @in: lines that were run */
    bool skipping; /* the rest of a line that was too long */
    FILE *log;     /* NULL: none */
    int64_t log_start_ns;
} QtestServer;

/* main thread; NULL: none */
static QtestServer *server;

static void server_log(char direction, const char *text)
{
    double at = (clock_now_ns() - server->log_start_ns) / 1e9;

    if (server->log) {
        fprintf(server->log, "[%c +%.6f] %s\n", direction, at, text);
    }
}

static void server_flush(void) MAIN_THREAD
{
    size_t n;

    if (server->out->len) {
        n = chardev_write(&server->fe, server->out->str, server->out->len);
        g_string_erase(server->out, 0, n);
    }
}

static void server_send(const char *text) MAIN_THREAD
{
    server_log('S', text);
    g_string_append(server->out, text);
    g_string_append_c(server->out, '\n');
    server_flush();
}

static void server_run_line(char *line) MAIN_THREAD
{
    g_autoptr(GString) answer = g_string_new("");

    server_log('R', line);
    qtest_command_run(line, answer);
    server_send(answer->str);
}

static void server_drop_taken(void) MAIN_THREAD
{
    g_string_erase(server->in, 0, server->taken);
    server->taken = 0;
}

/* Takes one line out of the input; NULL when none is whole. What is no text
 * becomes a line that is no command. */
static char *server_next_line(void) MAIN_THREAD
{
    const char *start = server->in->str + server->taken;
    size_t left = server->in->len - server->taken;
    const char *end = memchr(start, '\n', left);
    bool skip = server->skipping;
    size_t len;

    if (!end) {
        if (left > QTEST_LINE_MAX) {
            server->taken = server->in->len;
            server->skipping = true;
        }
        return NULL;
    }
    len = end - start;
    server->taken += len + 1;
    server->skipping = false;
    if (skip || len > QTEST_LINE_MAX) {
        return g_strdup("(line too long)");
    }
    if (memchr(start, '\0', len)) {
        return g_strdup("(line with a zero byte)");
    }
    return g_strchomp(g_strndup(start, len));
}

/* Runs what has come, as long as answers flow off. */
static void server_pump(void) MAIN_THREAD
{
    while (server->out->len < OUTPUT_FULL) {
        g_autofree char *line = server_next_line();

        if (!line) {
            break;
        }
        server_run_line(line);
    }
    server_drop_taken();
}

static size_t server_can_read(void *opaque)
{
    return server->out->len >= OUTPUT_FULL ? 0 : INPUT_CHUNK;
}

static void server_read(void *opaque, const uint8_t *buf, size_t len)
    MAIN_THREAD
{
    g_string_append_len(server->in, (const char *)buf, len);
    server_pump();
}

static void server_writable(void *opaque) MAIN_THREAD
{
    server_flush();
    server_pump();
    chardev_accept_input(&server->fe);
}

/* A new test starts from nothing. */
static void server_event(void *opaque, ChardevEvent event) MAIN_THREAD
{
    if (event == CHARDEV_EVENT_OPENED || event == CHARDEV_EVENT_CLOSED) {
        server_log('I', event == CHARDEV_EVENT_OPENED ? "OPENED" : "CLOSED");
        g_string_truncate(server->in, 0);
        g_string_truncate(server->out, 0);
        server->taken = 0;
        server->skipping = false;
        qtest_irq_release();
    }
}

static const ChardevFrontendOps server_ops = {
    .can_read = server_can_read,
    .read = server_read,
    .event = server_event,
    .writable = server_writable,
};

void qtest_server_event(const char *text)
{
    machine_lock_assert();
    /* A peer that does not read loses events before it costs memory. */
    if (server && server->out->len < OUTPUT_FULL) {
        server_send(text);
    }
}

static bool log_open(const char *log, FILE **out, Error **errp)
{
    *out = NULL;
    if (!log) {
        *out = stderr;
    } else if (strcmp(log, "none")) {
        *out = fopen(log, "we");
        if (!*out) {
            error_setg_errno(errp, errno, "-qtest-log %s: cannot write it",
                             log);
            return false;
        }
        setvbuf(*out, NULL, _IOLBF, 0);
    }
    return true;
}

bool qtest_server_init(Chardev *chr, const char *log, Error **errp)
{
    FILE *f;

    machine_lock_assert();
    if (server) {
        error_setg(errp, "-qtest: may be given once");
        return false;
    }
    if (!log_open(log, &f, errp)) {
        return false;
    }
    server = g_new0(QtestServer, 1);
    server->in = g_string_new("");
    server->out = g_string_new("");
    server->log = f;
    server->log_start_ns = clock_now_ns();
    if (!chardev_attach(&server->fe, chr, &server_ops, NULL, errp)) {
        qtest_server_cleanup();
        return false;
    }
    return true;
}

void qtest_server_cleanup(void)
{
    machine_lock_assert();
    if (!server) {
        return;
    }
    chardev_detach(&server->fe);
    if (server->log && server->log != stderr) {
        fclose(server->log);
    }
    g_string_free(server->in, TRUE);
    g_string_free(server->out, TRUE);
    g_clear_pointer(&server, g_free);
}
