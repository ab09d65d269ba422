/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The management protocol: clients come, talk, and go. */
#include "util/osdep.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "monitor/monitor.h"
#include "monitor/qmp.h"
#include "qapi/qapi-event.h"
#include "qapi/qapi-types.h"
#include "system/main-loop.h"
#include "util/fd.h"

static void turn(int n)
{
    while (n-- > 0) {
        event_loop_turn(main_loop(), 0);
    }
}

/* A session at one end of a new pair of sockets; the other end. */
static int new_session(const char *id, bool pretty)
{
    MonitorOptions options = { .has_mode = true,
                               .mode = MONITOR_MODE_CONTROL,
                               .has_pretty = true,
                               .pretty = pretty,
                               .chardev = (char *)(uintptr_t)id };
    g_autofree char *text = NULL;
    int fds[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                    ==, 0);
    text = g_strdup_printf("socket,id=%s,fd=%d", id, fds[0]);
    g_assert_nonnull(chardev_new_from_opts(text, NULL));
    g_assert_true(monitor_new(&options, NULL));
    return fds[1];
}

static void say(int fd, const char *text)
{
    g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
    turn(12);
}

/* All that the client was sent so far. Free it. */
static char *hear(int fd)
{
    GString *all = g_string_new(NULL);
    char buf[4096];
    ssize_t n;

    while ((n = read(fd, buf, sizeof(buf))) > 0) {
        g_string_append_len(all, buf, n);
    }
    return g_string_free(all, FALSE);
}

static void expect(int fd, const char *text)
{
    g_autofree char *heard = hear(fd);

    g_assert_cmpstr(heard, ==, text);
}

static void expect_greeting(int fd)
{
    g_autofree char *heard = hear(fd);

    g_assert_true(
        g_str_has_prefix(heard, "{\"QMP\": {\"version\": {\"qemu\": "));
    g_assert_true(g_str_has_suffix(heard, "\"capabilities\": [\"oob\"]}}\r\n"));
}

static void end_sessions(void)
{
    monitor_cleanup();
    chardev_cleanup();
}

static void test_session_states(void)
{
    int fd = new_session("c", false);

    turn(1);
    expect_greeting(fd);
    say(fd, "{'execute':'query-version'}");
    expect(fd, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
               "\"Expecting capabilities negotiation with "
               "'qmp_capabilities'\"}}\r\n");
    say(fd, "{'execute':'qmp_capabilities','arguments':{'enable':['x']}}");
    expect(fd, "{\"error\": {\"class\": \"GenericError\", \"desc\": "
               "\"Parameter 'enable[0]' does not accept value 'x', expected "
               "one of: oob\"}}\r\n");
    say(fd, "{'execute':'qmp_capabilities','id':7}");
    expect(fd, "{\"return\": {}, \"id\": 7}\r\n");
    say(fd, "{'execute':'qmp_capabilities'}");
    expect(fd, "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
               "\"Capabilities negotiation is already complete, command "
               "ignored\"}}\r\n");
    say(fd, "{'exec-oob':'query-version'}");
    expect(fd, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"QMP "
               "input member 'exec-oob' is unexpected\"}}\r\n");
    end_sessions();
    close(fd);
}

/* In-band commands keep their order; at most 8 are taken ahead of time. */
static void test_session_oob(void)
{
    g_autoptr(GString) many = g_string_new(NULL);
    g_autofree char *heard = NULL;
    int fd = new_session("c", false);

    say(fd, "{'execute':'qmp_capabilities','arguments':{'enable':['oob']}}");
    g_free(hear(fd));
    for (int i = 0; i < 7; i++) {
        g_string_append_printf(many, "{'execute':'no-such','id':%d}", i);
    }
    g_string_append(many, "{'exec-oob':'query-version','id':'oob'}");
    g_assert_cmpint(write(fd, many->str, many->len), ==, many->len);
    turn(1);
    heard = hear(fd);
    g_assert_true(g_str_has_suffix(heard, "\"id\": \"oob\"}\r\n"));
    g_assert_null(strstr(heard, "has not been found"));
    turn(10);
    g_free(heard);
    heard = hear(fd);
    g_assert_true(g_str_has_suffix(heard, "\"id\": 6}\r\n"));
    end_sessions();
    close(fd);
}

/* A hundred commands at once are answered in order, a few in a turn. */
static void test_session_queue(void)
{
    g_autoptr(GString) many = g_string_new(NULL);
    g_autoptr(GString) want = g_string_new(NULL);
    int fd = new_session("c", false);

    say(fd, "{'execute':'qmp_capabilities'}");
    g_free(hear(fd));
    for (int i = 0; i < 100; i++) {
        g_string_append_printf(many, "{'execute':'qmp_capabilities','id':%d}",
                               i);
        g_string_append_printf(
            want,
            "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": "
            "\"Capabilities negotiation is already complete, command "
            "ignored\"}, \"id\": %d}\r\n",
            i);
    }
    say(fd, many->str);
    turn(100);
    expect(fd, want->str);
    end_sessions();
    close(fd);
}

static void send_fd(int sock, const char *text, int fd)
{
    union {
        char space[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = { (char *)(uintptr_t)text, strlen(text) };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.space,
                          .msg_controllen = sizeof(control.space) };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    *cmsg = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS,
                              .cmsg_len = CMSG_LEN(sizeof(int)) };
    memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
    g_assert_cmpint(sendmsg(sock, &msg, 0), ==, strlen(text));
}

/* A descriptor that no command took is closed when the client goes. */
static void test_session_fd_left(void)
{
    int fd = new_session("c", false), pipe_fds[2];
    char byte;

    g_assert_cmpint(pipe(pipe_fds), ==, 0);
    say(fd, "{'execute':'qmp_capabilities'}");
    send_fd(fd, "{'execute':'query-version'}", pipe_fds[1]);
    close(pipe_fds[1]);
    turn(3);
    g_assert_cmpint(qmp_take_fd(), ==, -1); /* no command is under way */
    close(fd);
    turn(3);
    g_assert_cmpint(read(pipe_fds[0], &byte, 1), ==, 0);
    close(pipe_fds[0]);
    end_sessions();
}

/* ---- a pty ---- */

/* In the place of libc's: where the Chardev asks whether somebody has the pty
 * open, somebody opens it. */
static const char *opens_in_poll; /* NULL: nobody */
static int opened_in_poll;

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    struct timespec wait = { timeout / 1000, timeout % 1000 * 1000000L };

    if (opens_in_poll) {
        opened_in_poll = open(opens_in_poll, O_RDWR | O_NOCTTY | O_NONBLOCK);
        opens_in_poll = NULL;
    }
    return ppoll(fds, n, timeout < 0 ? NULL : &wait, NULL);
}

/* Turns until @text came, which is all there is to come: a pty takes its
 * time. */
static void wait_for(int fd, const char *text)
{
    int64_t end = clock_now_ns() + 60 * G_GINT64_CONSTANT(1000000000);
    g_autoptr(GString) all = g_string_new(NULL);

    while (!strstr(all->str, text)) {
        g_autofree char *heard = NULL;

        g_assert_cmpint(clock_now_ns(), <, end);
        event_loop_turn(main_loop(), 10000000);
        heard = hear(fd);
        g_string_append(all, heard);
    }
    g_assert_true(g_str_has_suffix(all->str, text));
}

/* The answers to a user that has gone are written when the next one comes. */
static void test_session_pty_reopened(void)
{
    MonitorOptions options = { .has_mode = true,
                               .mode = MONITOR_MODE_CONTROL,
                               .chardev = (char *)(uintptr_t) "p" };
    ChardevCommon common = { NULL };
    ChardevBackend backend = { .type = CHARDEV_BACKEND_KIND_PTY,
                               .u.pty.data = &common };
    Chardev *chr = chardev_new("p", &backend, NULL);
    const char *path;
    int fd;

    g_assert_nonnull(chr);
    path = chardev_pty_path(chr);
    g_assert_true(monitor_new(&options, NULL));
    fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK);
    g_assert_cmpint(fd, >=, 0);
    wait_for(fd, "[\"oob\"]}}\r\n");
    say(fd, "{'execute':'qmp_capabilities'}");
    wait_for(fd, "{\"return\": {}}\r\n");
    for (int i = 0; i < 5; i++) {
        g_assert_cmpint(write(fd, "{'execute':'query-version'}", 27), ==, 27);
    }
    close(fd);
    opens_in_poll = path;
    while (opens_in_poll) {
        event_loop_turn(main_loop(), 10000000);
    }
    g_assert_cmpint(opened_in_poll, >=, 0);
    wait_for(opened_in_poll, "[\"oob\"]}}\r\n");
    say(opened_in_poll, "{'execute':'qmp_capabilities','id':2}");
    wait_for(opened_in_poll, "{\"return\": {}, \"id\": 2}\r\n");
    end_sessions();
    close(opened_in_poll);
}

/* ---- events ---- */

static void send_test_event(const char *name, int64_t n)
{
    QapiEvent event = { name, &qapi_type_VersionTriple, NULL };
    VersionTriple data = { n, 0, 0 };

    qapi_event_emit(&event, &data);
}

/* How often @word is in what the client was sent. */
static int count_heard(int fd, const char *word)
{
    g_autofree char *heard = hear(fd);
    int n = 0;

    for (const char *p = heard; (p = strstr(p, word)); p++) {
        n++;
    }
    return n;
}

static void test_events(void)
{
    int a = new_session("a", false), b = new_session("b", true);
    g_autofree char *heard = NULL;

    say(a, "{'execute':'qmp_capabilities'}");
    g_free(hear(a));
    g_free(hear(b));
    send_test_event("NEWS", 5);
    expect(b, ""); /* has not negotiated */
    heard = hear(a);
    g_assert_true(g_str_has_prefix(heard, "{\"timestamp\": {\"seconds\": "));
    g_assert_true(g_str_has_suffix(heard, "\"event\": \"NEWS\", \"data\": "
                                          "{\"major\": 5, \"minor\": 0, "
                                          "\"micro\": 0}}\r\n"));
    say(b, "{'execute':'qmp_capabilities'}");
    g_free(hear(b));
    for (int i = 0; i < 10; i++) {
        send_test_event("NEWS", i);
    }
    g_assert_cmpint(count_heard(a, "NEWS"), ==, 10);
    g_assert_cmpint(count_heard(b, "NEWS"), ==, 10);
    end_sessions();
    send_test_event("NEWS", 1); /* nobody listens */
    close(a);
    close(b);
}

/* The first at once, the last of a period at its end. */
static void test_event_limit(void)
{
    int fd = new_session("a", false);
    g_autofree char *heard = NULL;
    int64_t start;

    say(fd, "{'execute':'qmp_capabilities'}");
    g_free(hear(fd));
    start = clock_now_ns();
    for (int i = 0; i < 1000; i++) {
        send_test_event("RTC_CHANGE", i);
    }
    heard = hear(fd);
    g_assert_nonnull(strstr(heard, "\"major\": 0,"));
    g_assert_null(strstr(heard, "\"major\": 1,"));
    do { /* the period ends in a turn of the loop, so no other begins */
        g_assert_cmpint(clock_now_ns() - start, <, 60000000000);
        event_loop_turn(main_loop(), 100000000);
        g_free(heard);
        heard = hear(fd);
    } while (!*heard);
    g_assert_cmpint(clock_now_ns() - start, >=, 1000000000);
    g_assert_nonnull(strstr(heard, "\"major\": 999,"));
    g_assert_cmpuint(strlen(heard), <, 200);
    send_test_event("RTC_CHANGE", 2000); /* within the next period */
    expect(fd, "");
    end_sessions();
    close(fd);
}

/* Who does not read gets no events beyond a limit, and runs no commands. */
static void test_never_reads(void)
{
    int slow = new_session("a", false), other = new_session("b", false);
    static const char id[] = "{'execute':'no-such','id':'%.3000d'}\n";
    g_autofree char *big = g_strdup_printf(id, 1);
    size_t written = 0;

    say(slow, "{'execute':'qmp_capabilities'}");
    say(other, "{'execute':'qmp_capabilities'}");
    g_free(hear(other));
    for (int i = 0; i < 5000; i++) {
        ssize_t n = write(slow, big, strlen(big));

        written += n > 0 ? (size_t)n : 0;
        turn(2);
    }
    /* What is in the kernel, and not more than that is ours. */
    g_assert_cmpuint(written, <, 4 * MiB);
    for (int i = 0; i < 100000; i++) {
        send_test_event("NEWS", i);
        if (i % 100 == 0) {
            g_free(hear(other));
        }
    }
    say(other, "{'execute':'qmp_capabilities'}");
    g_assert_cmpint(count_heard(other, "already complete"), ==, 1);
    /* It reads after all: everything that was taken is answered. */
    for (int i = 0; i < 3000; i++) {
        g_free(hear(slow));
        turn(2);
    }
    say(slow, "\xff{'execute':'qmp_capabilities','id':'last'}");
    turn(20);
    g_assert_cmpint(count_heard(slow, "\"last\""), ==, 1);
    end_sessions();
    close(slow);
    close(other);
}

/* ---- options ---- */

static void test_monitor_options(void)
{
    MonitorOptions options = { .chardev = (char *)(uintptr_t) "x" };
    Error *err = NULL;

    g_assert_nonnull(chardev_new_from_opts("null,id=n0", NULL));
    g_assert_nonnull(chardev_new_from_opts("null,id=n1", NULL));
    g_assert_false(monitor_new(&options, &err));
    g_assert_cmpstr(err->message, ==,
                    "there is no chardev 'x' (-chardev makes them)");
    g_clear_error(&err);
    options.chardev = (char *)(uintptr_t) "n0";
    options.has_pretty = true;
    options.pretty = true;
    g_assert_false(monitor_new(&options, &err));
    g_assert_cmpstr(err->message, ==,
                    "Parameter 'pretty' is for mode=control only");
    g_clear_error(&err);
    options.has_mode = true;
    options.mode = MONITOR_MODE_CONTROL;
    options.id = (char *)(uintptr_t) "m";
    g_assert_true(monitor_new(&options, NULL));
    options.chardev = (char *)(uintptr_t) "n1";
    g_assert_false(monitor_new(&options, &err));
    g_assert_cmpstr(err->message, ==,
                    "there is a monitor with id 'm' already; give each its "
                    "own");
    g_clear_error(&err);
    options.id = (char *)(uintptr_t) "m2";
    options.chardev = (char *)(uintptr_t) "n0";
    g_assert_false(monitor_new(&options, &err));
    g_assert_nonnull(strstr(err->message, "'n0' is already in use"));
    g_clear_error(&err);
    end_sessions();
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(NULL));
    g_test_add_func("/qmp/session/states", test_session_states);
    g_test_add_func("/qmp/session/oob", test_session_oob);
    g_test_add_func("/qmp/session/queue", test_session_queue);
    g_test_add_func("/qmp/session/fd-left", test_session_fd_left);
    g_test_add_func("/qmp/session/never-reads", test_never_reads);
    g_test_add_func("/qmp/session/pty-reopened", test_session_pty_reopened);
    g_test_add_func("/qmp/events/all", test_events);
    g_test_add_func("/qmp/events/limit", test_event_limit);
    g_test_add_func("/qmp/monitor/options", test_monitor_options);
    return g_test_run();
}
