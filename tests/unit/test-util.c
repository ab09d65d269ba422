/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "util/event-loop.h"
#include "util/fd.h"
#include "util/iov.h"
#include "util/log.h"

/* ---- error ---- */

static void test_error(void)
{
    Error *err = NULL, *other = NULL;

    error_setg(NULL, "nobody listens");
    error_setg_errno(&err, ENOENT, "opening %s", "x");
    g_assert_cmpstr(err->message, ==, "opening x: No such file or directory");
    g_assert_cmpint(error_get_class(err), ==, ERROR_CLASS_GENERIC_ERROR);
    error_prepend(&err, "%s: ", "-netdev");
    g_assert_cmpstr(err->message, ==,
                    "-netdev: opening x: No such file or directory");
    g_clear_error(&err);
    error_prepend(&err, "nothing to prepend to");
    g_assert_null(err);

    error_set_class(&other, ERROR_CLASS_DEVICE_NOT_FOUND, "no %d", 1);
    error_propagate(&err, other);
    error_propagate(&err, NULL);
    g_assert_cmpstr(error_class_name(error_get_class(err)), ==,
                    "DeviceNotFound");
    g_clear_error(&err);
    g_set_error_literal(&err, g_quark_from_string("other"), 99, "foreign");
    g_assert_cmpint(error_get_class(err), ==, ERROR_CLASS_GENERIC_ERROR);
    g_clear_error(&err);
}

/* Runs @func with stderr in a pipe; what it wrote. */
static char *stderr_of(void (*func)(void))
{
    char buf[4096];
    int saved = dup(STDERR_FILENO), fds[2];
    ssize_t n;

    g_assert_cmpint(pipe(fds), ==, 0);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    func();
    dup2(saved, STDERR_FILENO);
    close(saved);
    n = read(fds[0], buf, sizeof(buf));
    g_assert_cmpint(n, >=, 0);
    close(fds[0]);
    return g_strndup(buf, n);
}

static void report_some(void)
{
    error_set_program("/usr/bin/prog");
    error_report("bad %s", "thing");
    error_set_guest_name("vm1");
    warn_report("odd");
    error_set_guest_name(NULL);
    error_set_timestamps(true);
    error_report("late");
    error_set_timestamps(false);
}

static void test_report(void)
{
    g_autofree char *text = stderr_of(report_some);

    g_assert_true(g_regex_match_simple(
        "^prog: bad thing\nvm1 prog: warning: odd\n"
        "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z prog: late\n$",
        text, 0, 0));
}

/* ---- log ---- */

static off_t size_of(const char *path)
{
    struct stat st;

    g_assert_cmpint(stat(path, &st), ==, 0);
    return st.st_size;
}

/* Logs at least @min lines, and until one is left out. A slow machine writes
 * few of them in a second. */
static void log_until_left_out(const char *path, unsigned min)
{
    off_t before, after = -1;

    for (unsigned i = 0; i < 1000000; i++) {
        before = after;
        log_mask(LOG_GUEST_ERROR, "line %u", i);
        after = size_of(path);
        if (i >= min && after == before) {
            return;
        }
    }
    g_assert_not_reached();
}

static void test_log(void)
{
    int64_t start = clock_now_ns(), seconds;
    g_autofree char *path =
        g_strdup_printf("%s/log.%d", g_get_tmp_dir(), (int)getpid());
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    Error *err = NULL;

    g_assert_false(log_configure("guest_errors,nonsense", NULL, &err));
    g_assert_nonnull(strstr(err->message, "'nonsense'"));
    g_clear_error(&err);
    g_assert_false(log_configure(NULL, "/nonexistent/dir/log", &err));
    g_assert_nonnull(strstr(err->message, "/nonexistent/dir/log"));
    g_clear_error(&err);

    g_assert_true(log_configure("guest_errors", path, NULL));
    log_mask(LOG_UNIMP, "not shown");
    log_until_left_out(path, 5000);
    g_usleep(1100000);
    log_mask(LOG_GUEST_ERROR, "last");
    seconds = (clock_now_ns() - start) / 1000000000 + 2;
    g_assert_true(log_configure("", NULL, NULL));

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_null(strstr(text, "not shown"));
    g_assert_nonnull(strstr(text, "log lines left out)\nlast\n"));
    lines = g_strsplit(text, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), >=, 1000);
    g_assert_cmpuint(g_strv_length(lines), <=, 1001 * seconds + 1);
    g_unlink(path);
}

/* ---- iov ---- */

static char iov_a[3], iov_b[5], iov_c[4];
static struct iovec list[] = {
    { iov_a, 3 }, { iov_b, 0 }, { iov_b, 5 }, { iov_c, 4 }
};

static void test_iov_copy(void)
{
    static const char text[] = "0123456789ab";

    g_assert_cmpuint(iov_size(list, 4), ==, 12);
    for (size_t offset = 0; offset <= 13; offset++) {
        for (size_t len = 0; len <= 14; len++) {
            size_t want = offset < 12 ? MIN(len, 12 - offset) : 0;
            char back[16] = "";

            memset(iov_a, '.', 3);
            memset(iov_b, '.', 5);
            memset(iov_c, '.', 4);
            g_assert_cmpuint(iov_from_buf(list, 4, offset, text, MIN(len, 12)),
                             ==, MIN(want, 12));
            g_assert_cmpuint(iov_to_buf(list, 4, offset, back, len), ==, want);
            g_assert_cmpint(memcmp(back, text, want), ==, 0);
            if (offset) {
                g_assert_cmpint(iov_a[0], ==, '.');
            }
        }
    }
}

static void test_iov_slice(void)
{
    struct iovec out[4];

    g_assert_cmpint(iov_slice(out, 4, list, 4, 2, 7), ==, 3);
    g_assert_true(out[0].iov_base == iov_a + 2 && out[0].iov_len == 1);
    g_assert_true(out[1].iov_base == iov_b && out[1].iov_len == 5);
    g_assert_true(out[2].iov_base == iov_c && out[2].iov_len == 1);
    g_assert_cmpint(iov_slice(out, 2, list, 4, 2, 7), ==, -1);
    g_assert_cmpint(iov_slice(out, 1, list, 4, 3, 5), ==, 1);
    g_assert_cmpint(iov_slice(out, 4, list, 4, 12, 5), ==, 0);
    g_assert_cmpint(iov_slice(out, 4, list, 4, 0, SIZE_MAX), ==, 3);
    g_assert_cmpint(iov_slice(out, 0, list, 4, 0, 0), ==, 0);
}

/* ---- fd ---- */

/* Another process has made it block: nobody waits here. */
static void test_eventfd_blocking(int fd)
{
    uint64_t full = UINT64_MAX - 1;

    alarm(20);
    g_assert_false(eventfd_clear(fd));
    eventfd_signal_shared(fd);
    g_assert_true(eventfd_clear(fd));
    g_assert_cmpint(write(fd, &full, sizeof(full)), ==, sizeof(full));
    eventfd_signal_shared(fd);
    g_assert_true(eventfd_clear(fd));
    g_assert_false(eventfd_clear(fd));
    alarm(0);
}

static void test_eventfd(void)
{
    int fd = eventfd_new(NULL);

    g_assert_false(eventfd_clear(fd));
    eventfd_signal(fd);
    eventfd_signal(fd);
    g_assert_true(eventfd_clear(fd));
    g_assert_false(eventfd_clear(fd));
    g_assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    g_assert_true(fd_set_nonblock(fd, false, NULL));
    g_assert_false(fcntl(fd, F_GETFL) & O_NONBLOCK);
    test_eventfd_blocking(fd);
    g_assert_true(fd_set_nonblock(fd, true, NULL));
    g_assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    fd_close(&fd);
    g_assert_cmpint(fd, ==, -1);
    fd_close(&fd);
}

static void test_fd_parse(void)
{
    static const char *const bad[] = { "",   "x",   "-1",         "3x",
                                       " 3", "0x3", "9999999999", "1000000" };
    int fd = eventfd_new(NULL);
    g_autofree char *text = g_strdup_printf("%d", fd);
    Error *err = NULL;

    g_assert_cmpint(fd_parse(text, "fd", NULL), ==, fd);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        g_assert_cmpint(fd_parse(bad[i], "vhostfd", &err), ==, -1);
        g_assert_true(g_str_has_prefix(err->message, "vhostfd: "));
        g_clear_error(&err);
    }
    close(fd);
    g_assert_cmpint(fd_parse(text, "fd", &err), ==, -1);
    g_assert_nonnull(strstr(err->message, "not open"));
    g_clear_error(&err);
    g_assert_false(fd_set_cloexec(fd, &err));
    g_clear_error(&err);
}

static unsigned open_fds(void)
{
    g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
    unsigned n = 0;

    while (g_dir_read_name(dir)) {
        n++;
    }
    return n;
}

static void test_fd_passing(void)
{
    unsigned before = open_fds();
    int sock[2], sent[3], got[2];
    unsigned n;
    char text[8] = "";

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), ==, 0);
    for (unsigned i = 0; i < 3; i++) {
        sent[i] = eventfd_new(NULL);
    }
    g_assert_cmpint(fd_send(sock[0], "hi", 2, sent, 2), ==, 2);
    g_assert_cmpint(fd_recv(sock[1], text, sizeof(text), got, 2, &n), ==, 2);
    g_assert_cmpuint(n, ==, 2);
    g_assert_true(fcntl(got[0], F_GETFD) & FD_CLOEXEC);
    eventfd_signal(sent[1]);
    g_assert_false(eventfd_clear(got[0]));
    g_assert_true(eventfd_clear(got[1]));
    close(got[0]);
    close(got[1]);

    /* One more than there is room for: nothing stays open unseen. */
    g_assert_cmpint(fd_send(sock[0], "x", 1, sent, 3), ==, 1);
    g_assert_cmpint(fd_recv(sock[1], text, sizeof(text), got, 2, &n), ==, 1);
    g_assert_cmpuint(n, ==, 2);
    close(got[0]);
    close(got[1]);

    g_assert_cmpint(fd_send(sock[0], "x", 1, sent, 300), ==, -EINVAL);
    close(sock[0]);
    g_assert_cmpint(fd_recv(sock[1], text, sizeof(text), got, 2, &n), ==, 0);
    g_assert_cmpint(fd_send(sock[1], "x", 1, NULL, 0), ==, -EPIPE);
    close(sock[1]);
    for (unsigned i = 0; i < 3; i++) {
        close(sent[i]);
    }
    g_assert_cmpuint(open_fds(), ==, before);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/error/text-and-class", test_error);
    g_test_add_func("/error/report", test_report);
    g_test_add_func("/log/limit", test_log);
    g_test_add_func("/iov/copy", test_iov_copy);
    g_test_add_func("/iov/slice", test_iov_slice);
    g_test_add_func("/fd/eventfd", test_eventfd);
    g_test_add_func("/fd/parse", test_fd_parse);
    g_test_add_func("/fd/passing", test_fd_passing);
    return g_test_run();
}
