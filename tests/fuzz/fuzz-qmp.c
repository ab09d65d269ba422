/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client of the management protocol that writes what it likes: from bytes to
 * commands with their arguments, and back to answers, each of which is JSON.
 *
 * Commands that only look at something are run. Of the others, which could do
 * harm on the machine where this runs, the arguments are read and checked.
 *
 * Input: a byte whose bit 0 makes answers pretty and bit 1 has the session
 * negotiated, a byte with the length of a write (0: all at once), then what is
 * written.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include <json-c/json.h>
#include <sys/socket.h>

#include "monitor/monitor.h"
#include "monitor/qmp-internal.h"
#include "qapi/qapi-commands.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "tests/fuzz/fuzz.h"
#include "util/fd.h"

#define TURNS_MAX 2000u

static const char *const looking[] = {
    "qmp_capabilities",
    "query-block",
    "query-named-block-nodes",
    "query-blockstats",
    "query-chardev",
    "query-version",
    "query-fdsets",
    "query-jobs",
    "query-name",
    "query-uuid",
    "query-kvm",
    "query-target",
    "query-iothreads",
    "query-memdev",
    "query-rx-filter",
    "query-net-queues",
    "query-net-rss",
    "query-net-rate-limits",
    "query-status",
    "query-stats",
    "query-migrate-capabilities",
    "qom-list",
    "qom-get",
    "qom-list-properties",
    "device-list-properties",
    "device_del",
    "netdev_del",
    "object-del",
    "set_link",
};

static QapiCommand *commands;

json_object *__wrap_qmp_dispatch_in(const QapiCommand *table,
                                    json_object *request, unsigned flags)
    MAIN_THREAD;
json_object *__real_qmp_dispatch_in(const QapiCommand *table,
                                    json_object *request, unsigned flags)
    MAIN_THREAD;

/* In the place of the session's table there is ours. */
json_object *__wrap_qmp_dispatch_in(const QapiCommand *table,
                                    json_object *request, unsigned flags)
{
    return __real_qmp_dispatch_in(commands, request, flags);
}

static bool only_read(const void *arg, void *ret, Error **errp)
{
    error_setg(errp, "not run here");
    return false;
}

static void make_table(void)
{
    unsigned n = 0;

    while (qapi_commands[n].name) {
        n++;
    }
    commands = g_memdup2(qapi_commands, (n + 1) * sizeof(commands[0]));
    for (unsigned i = 0; i < n; i++) {
        bool found = false;

        for (unsigned k = 0; k < ARRAY_SIZE(looking); k++) {
            found |= strcmp(commands[i].name, looking[k]) == 0;
        }
        if (!found) {
            commands[i].call = only_read;
        }
    }
}

static void drain(int fd, GString *heard)
{
    char buf[4096];
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        g_string_append_len(heard, buf, n);
    }
}

static void write_all(int fd, const uint8_t *at, size_t len, GString *heard)
    MAIN_THREAD
{
    for (unsigned i = 0; len > 0 && i < TURNS_MAX; i++) {
        ssize_t n = write(fd, at, len);

        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
        event_loop_turn(main_loop(), 0);
        drain(fd, heard);
    }
    g_assert_cmpuint(len, ==, 0);
}

/* Answers are JSON, one after the other. */
static void check_answers(const GString *heard)
{
    QmpLexer *lexer = qmp_lexer_new();
    size_t at = 0, used = 0;

    while (at < heard->len) {
        json_object *value = NULL;
        Error *err = NULL;
        QmpPiece piece = qmp_lexer_feed(lexer, (const uint8_t *)heard->str + at,
                                        heard->len - at, &used, &value, &err);

        g_assert_no_error(err);
        g_assert_true(piece != QMP_PIECE_ERROR);
        json_object_put(value);
        at += used;
    }
    qmp_lexer_free(lexer);
}

static int open_session(bool pretty) MAIN_THREAD
{
    MonitorOptions options = { .has_mode = true,
                               .mode = MONITOR_MODE_CONTROL,
                               .has_pretty = true,
                               .pretty = pretty,
                               .chardev = (char *)(uintptr_t) "c" };
    g_autofree char *text = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                    ==, 0);
    text = g_strdup_printf("socket,id=c,fd=%d", fds[0]);
    g_assert_nonnull(chardev_new_from_opts(text, NULL));
    g_assert_true(monitor_new(&options, NULL));
    return fds[1];
}

int LLVMFuzzerInitialize(int *argc, char ***argv) NO_THREAD_SAFETY
{
    g_assert_true(main_loop_init(NULL));
    make_table();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) NO_THREAD_SAFETY
{
    static const char hello[] = "{\"execute\":\"qmp_capabilities\","
                                "\"arguments\":{\"enable\":[\"oob\"]}}";
    g_autoptr(GString) heard = g_string_new(NULL);
    FuzzInput in = { data, len };
    uint8_t how = fuzz_u8(&in);
    size_t piece = fuzz_u8(&in), before;
    int fd = open_session(how & 1);

    if (how & 2) {
        write_all(fd, (const uint8_t *)hello, sizeof(hello) - 1, heard);
    }
    piece = piece ? piece : in.left;
    for (; in.left; in.at += piece, in.left -= piece) {
        piece = MIN(piece, in.left);
        write_all(fd, in.at, piece, heard);
    }
    for (unsigned i = 0, idle = 0; idle < 3 && i < TURNS_MAX; i++) {
        before = heard->len;
        event_loop_turn(main_loop(), 0);
        drain(fd, heard);
        idle = heard->len == before ? idle + 1 : 0;
    }
    check_answers(heard);
    close(fd);
    event_loop_turn(main_loop(), 0);
    monitor_cleanup();
    chardev_cleanup();
    return 0;
}
