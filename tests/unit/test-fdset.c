/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Descriptors that a client passes: names, sets, the commands for both. */
#include "util/osdep.h"

#include <dirent.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <json-c/json.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "monitor/qmp.h"
#include "../../net/tap-internal.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "util/fd.h"
#include "util/fdset.h"

/* ---- a client that passed one descriptor, or none ---- */

static int passed = -1;

int qmp_take_fd(void)
{
    int fd = passed;

    passed = -1;
    return fd;
}

static unsigned open_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(dir)) {
        n++;
    }
    closedir(dir);
    return n;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static bool is_cloexec(int fd)
{
    return fcntl(fd, F_GETFD) & FD_CLOEXEC;
}

/* Without close-on-exec: that is what the functions have to see to. */
static int open_null(int flags)
{
    int fd = open("/dev/null", flags);

    g_assert_cmpint(fd, >=, 0);
    return fd;
}

static void assert_error(Error **err, const char *text)
{
    g_assert_nonnull(*err);
    g_assert_cmpstr((*err)->message, ==, text);
    g_clear_error(err);
}

/* ---- names ---- */

static MAIN_THREAD void test_names(void)
{
    unsigned before = open_fds();
    g_autoptr(GError) err = NULL;
    int a = open_null(O_RDONLY);
    int b = open_null(O_RDWR);

    g_assert_true(fd_name_add("fd-net0", a, NULL));
    g_assert_true(is_cloexec(a));
    g_assert_cmpint(fd_from_text("fd-net0", "fd", NULL), ==, a);
    g_assert_cmpint(fd_from_text("fd-net0", "fd", NULL), ==, a);
    g_assert_true(fd_name_add("fd-net0", b, NULL)); /* the older one goes */
    g_assert_false(is_open(a));
    g_assert_cmpint(fd_from_text("fd-net0", "fd", NULL), ==, b);

    fd_text_taken("fd-net0");
    g_assert_true(is_open(b));
    g_assert_cmpint(fd_from_text("fd-net0", "vhostfd", &err), ==, -1);
    assert_error(&err, "vhostfd: File descriptor named 'fd-net0' not found");
    g_assert_false(fd_name_close("fd-net0", &err));
    assert_error(&err, "File descriptor named 'fd-net0' not found");

    g_assert_true(fd_name_add("x", b, NULL));
    g_assert_true(fd_name_close("x", NULL));
    g_assert_false(is_open(b));
    g_assert_cmpuint(open_fds(), ==, before);
}

static MAIN_THREAD void test_bad_names(void)
{
    static const char *const names[] = { "", "0", "7up" };
    unsigned before = open_fds();
    g_autoptr(GError) err = NULL;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        g_assert_false(fd_name_add(names[i], open_null(O_RDONLY), &err));
        assert_error(&err, "Parameter 'fdname' expects a name not starting "
                           "with a digit");
    }
    g_assert_cmpuint(open_fds(), ==, before);
}

static MAIN_THREAD void test_numbers(void)
{
    g_autoptr(GError) err = NULL;
    int fd = open_null(O_RDONLY);
    g_autofree char *text = g_strdup_printf("%d", fd);

    g_assert_cmpint(fd_from_text(text, "fd", NULL), ==, fd);
    fd_text_taken(text);
    g_assert_true(is_open(fd));
    close(fd);
    g_assert_cmpint(fd_from_text(text, "fd", &err), ==, -1);
    g_assert_true(g_str_has_prefix(err->message, "fd: file descriptor "));
    g_clear_error(&err);
    g_assert_cmpint(fd_from_text("", "fd", &err), ==, -1);
    g_clear_error(&err);
    g_assert_cmpint(fd_from_text("-1", "fd", &err), ==, -1);
    g_assert_nonnull(strstr(err->message, "'-1' is not a file descriptor"));
}

/* ---- sets ---- */

static MAIN_THREAD void test_set_ids(void)
{
    unsigned before = open_fds();
    g_autoptr(GError) err = NULL;
    const FdsetEntry *e;
    unsigned n;

    g_assert_cmpint(fdset_add(1, open_null(O_RDONLY), "one", NULL), ==, 1);
    g_assert_cmpint(fdset_add(FDSET_NEW, open_null(O_RDONLY), NULL, NULL), ==,
                    0);
    g_assert_cmpint(fdset_add(FDSET_NEW, open_null(O_RDONLY), NULL, NULL), ==,
                    2);
    g_assert_cmpint(fdset_add(INT64_MAX, open_null(O_RDONLY), NULL, NULL), ==,
                    INT64_MAX);
    g_assert_cmpint(fdset_add(1, open_null(O_WRONLY), "two", NULL), ==, 1);
    g_assert_cmpint(fdset_add(-2, open_null(O_RDONLY), NULL, &err), ==, -1);
    assert_error(&err, "Parameter 'fdset-id' expects a non-negative value, "
                       "not -2");
    e = fdset_entries(&n);
    g_assert_cmpuint(n, ==, 5);
    g_assert_cmpint(e[0].set, ==, 0);
    g_assert_cmpint(e[1].set, ==, 1);
    g_assert_cmpstr(e[1].opaque, ==, "one");
    g_assert_cmpint(e[2].set, ==, 1);
    g_assert_cmpstr(e[2].opaque, ==, "two");
    g_assert_true(is_cloexec(e[2].fd));

    g_assert_true(fdset_remove(1, e[1].fd, NULL));
    e = fdset_entries(&n);
    g_assert_cmpuint(n, ==, 4);
    g_assert_cmpstr(e[1].opaque, ==, "two");
    g_assert_true(fdset_remove(1, -1, NULL));
    g_assert_false(fdset_remove(1, -1, &err));
    assert_error(&err, "File descriptor named 'fdset-id:1' not found");
    g_assert_false(fdset_remove(2, 999, &err));
    assert_error(&err, "File descriptor named 'fdset-id:2, fd:999' not found");
    /* The lowest number that is free. */
    g_assert_cmpint(fdset_add(FDSET_NEW, open_null(O_RDONLY), NULL, NULL), ==,
                    1);
    fdset_cleanup();
    fdset_entries(&n);
    g_assert_cmpuint(n, ==, 0);
    g_assert_cmpuint(open_fds(), ==, before);
}

static MAIN_THREAD void test_access_modes(void)
{
    unsigned before = open_fds();
    g_autoptr(GError) err = NULL;
    int fd;

    fdset_add(3, open_null(O_RDONLY), NULL, NULL);
    fd = fdset_open("/dev/fdset/3", O_RDONLY | O_NONBLOCK, 0, NULL);
    g_assert_cmpint(fd, >=, 0);
    g_assert_true(is_cloexec(fd));
    g_assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    fd_close(&fd);

    g_assert_cmpint(fdset_open("/dev/fdset/3", O_WRONLY, 0, &err), ==, -1);
    g_assert_cmpint(errno, ==, EACCES);
    assert_error(&err, "cannot open '/dev/fdset/3': no descriptor of the set "
                       "was opened for that (read, write)");
    g_assert_cmpint(fdset_open("/dev/fdset/4", O_RDONLY, 0, &err), ==, -1);
    g_assert_cmpint(errno, ==, ENOENT);
    assert_error(&err, "cannot open '/dev/fdset/4': there is no such set");
    g_assert_cmpint(fdset_open("/dev/fdset/", O_RDONLY, 0, &err), ==, -1);
    assert_error(&err, "cannot open '/dev/fdset/': expected "
                       "/dev/fdset/NUMBER");

    fdset_add(3, open_null(O_RDWR), NULL, NULL); /* does for writing, too */
    fd = fdset_open("/dev/fdset/3", O_WRONLY, 0, NULL);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, O_RDWR);
    fd_close(&fd);
    fdset_add(3, open_null(O_WRONLY), NULL, NULL); /* but this fits better */
    fd = fdset_open("/dev/fdset/3", O_WRONLY, 0, NULL);
    g_assert_cmpint(fcntl(fd, F_GETFL) & O_ACCMODE, ==, O_WRONLY);
    fd_close(&fd);
    g_assert_cmpint(
        fdset_open("/dev/fdset/3", O_RDWR | O_CREAT | O_EXCL, 0600, &err), ==,
        -1);
    g_assert_cmpint(errno, ==, EEXIST);

    fdset_cleanup();
    g_assert_cmpuint(open_fds(), ==, before);
}

/* What was opened out of a set outlives it; O_TRUNC and O_APPEND count. */
static MAIN_THREAD void test_files(void)
{
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;
    unsigned before = open_fds();
    int fd = g_file_open_tmp("fdset-XXXXXX", &path, NULL);

    g_assert_cmpint(write(fd, "old", 3), ==, 3);
    fdset_add(0, fd, NULL, NULL);
    fd = fdset_open("/dev/fdset/0", O_RDWR | O_CREAT | O_APPEND, 0600, NULL);
    g_assert_true(fdset_remove(0, -1, NULL));
    g_assert_cmpint(lseek(fd, 0, SEEK_SET), ==, 0);
    g_assert_cmpint(write(fd, "new", 3), ==, 3);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, "oldnew");

    fdset_add(0, fd, NULL, NULL);
    fd = fdset_open("/dev/fdset/0", O_WRONLY | O_TRUNC, 0600, NULL);
    g_assert_false(fcntl(fd, F_GETFL) & O_APPEND);
    g_assert_cmpint(lseek(fd, 0, SEEK_END), ==, 0);
    fd_close(&fd);
    fdset_cleanup();

    /* Anything else is an ordinary path. */
    fd = fdset_open(path, O_RDONLY, 0, NULL);
    g_assert_true(is_cloexec(fd));
    fd_close(&fd);
    g_unlink(path);
    errno = 0;
    g_assert_cmpint(fdset_open(path, O_RDONLY, 0, NULL), ==, -1);
    g_assert_cmpint(errno, ==, ENOENT);
    g_assert_cmpuint(open_fds(), ==, before);
}

/* ---- commands ---- */

static MAIN_THREAD void test_getfd(void)
{
    q_obj_getfd_arg get = { .fdname = (char *)"n" };
    q_obj_closefd_arg drop = { .fdname = (char *)"n" };
    unsigned before = open_fds();
    g_autoptr(GError) err = NULL;

    g_assert_false(qmp_getfd(&get, &err));
    assert_error(&err, "No file descriptor supplied via SCM_RIGHTS");
    passed = open_null(O_RDONLY);
    g_assert_true(qmp_getfd(&get, NULL));
    g_assert_true(qmp_closefd(&drop, NULL));
    g_assert_false(qmp_closefd(&drop, &err));
    assert_error(&err, "File descriptor named 'n' not found");
    passed = open_null(O_RDONLY);
    get.fdname = (char *)"1n";
    g_assert_false(qmp_getfd(&get, NULL));
    g_assert_cmpuint(open_fds(), ==, before);
}

static MAIN_THREAD char *query_text(void)
{
    FdsetInfoList list = { 0 };
    json_object *json;
    char *text;

    g_assert_true(qmp_query_fdsets(&list, NULL));
    json = qapi_to_json(&qapi_type_FdsetInfoList, &list);
    text =
        g_strdup(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
    json_object_put(json);
    qapi_free_contents(&qapi_type_FdsetInfoList, &list);
    return text;
}

static MAIN_THREAD void test_add_fd(void)
{
    q_obj_add_fd_arg add = { .has_fdset_id = true, .fdset_id = 5 };
    q_obj_remove_fd_arg del = { .fdset_id = 5 };
    g_autofree char *want = NULL;
    g_autofree char *text = NULL;
    g_autofree char *after = NULL;
    unsigned before = open_fds();
    g_autoptr(GError) err = NULL;
    AddfdInfo one = { 0 }, two = { 0 }, other = { 0 };

    g_assert_false(qmp_add_fd(&add, &one, &err));
    assert_error(&err, "No file descriptor supplied via SCM_RIGHTS");
    passed = open_null(O_RDONLY);
    add.opaque = (char *)"ro:/x";
    g_assert_true(qmp_add_fd(&add, &one, NULL));
    g_assert_cmpint(one.fdset_id, ==, 5);
    passed = open_null(O_RDONLY);
    add.opaque = NULL;
    g_assert_true(qmp_add_fd(&add, &two, NULL));
    passed = open_null(O_RDONLY);
    add.fdset_id = -1;
    g_assert_false(qmp_add_fd(&add, &other, &err));
    assert_error(&err, "Parameter 'fdset-id' expects a non-negative value, "
                       "not -1");
    passed = open_null(O_RDONLY);
    add.has_fdset_id = false;
    g_assert_true(qmp_add_fd(&add, &other, NULL));
    g_assert_cmpint(other.fdset_id, ==, 0);
    want = g_strdup_printf("[{\"fdset-id\":0,\"fds\":[{\"fd\":%d}]},"
                           "{\"fdset-id\":5,\"fds\":[{\"fd\":%d,\"opaque\":"
                           "\"ro:\\/x\"},{\"fd\":%d}]}]",
                           (int)other.fd, (int)one.fd, (int)two.fd);
    text = query_text();
    g_assert_cmpstr(text, ==, want);

    del.has_fd = true;
    del.fd = -7;
    g_assert_false(qmp_remove_fd(&del, &err));
    g_clear_error(&err);
    del.fd = one.fd;
    g_assert_true(qmp_remove_fd(&del, NULL));
    del.has_fd = false;
    g_assert_true(qmp_remove_fd(&del, NULL));
    g_assert_false(qmp_remove_fd(&del, &err));
    assert_error(&err, "File descriptor named 'fdset-id:5' not found");
    del.fdset_id = 0;
    g_assert_true(qmp_remove_fd(&del, NULL));
    after = query_text();
    g_assert_cmpstr(after, ==, "[]");
    g_assert_cmpuint(open_fds(), ==, before);
}

/* ---- fd= and its like of a tap ---- */

static MAIN_THREAD void test_tap_names(void)
{
    unsigned before = open_fds();
    g_autoptr(GError) err = NULL;
    int a = open_null(O_RDWR), b = open_null(O_RDWR), c = open_null(O_RDWR);
    g_autofree char *mixed = g_strdup_printf("net-a:%d:net-b", c);
    bool dup[3];
    int fds[3];

    g_assert_true(fd_name_add("net-a", a, NULL));
    g_assert_true(fd_name_add("net-b", b, NULL));
    g_assert_true(tap_parse_fds(mixed, "fds", fds, dup, 3, NULL));
    g_assert_cmpint(fds[0], ==, a);
    g_assert_cmpint(fds[1], ==, c);
    g_assert_cmpint(fds[2], ==, b);

    g_assert_false(tap_parse_fds("net-a:net-a", "fds", fds, dup, 2, &err));
    g_assert_nonnull(strstr(err->message, "are the same file"));
    g_clear_error(&err);
    g_assert_false(tap_parse_fds("net-a:nope", "vhostfds", fds, dup, 2, &err));
    assert_error(&err, "vhostfds: File descriptor named 'nope' not found");
    g_assert_false(tap_parse_fds("", "fd", fds, dup, 1, NULL));
    /* Failure took nothing; success is said so. */
    g_assert_cmpint(fd_from_text("net-a", "fd", NULL), ==, a);
    tap_fds_taken(NULL);
    tap_fds_taken(mixed);
    g_assert_cmpint(fd_from_text("net-a", "fd", NULL), ==, -1);
    g_assert_cmpint(fd_from_text("net-b", "fd", NULL), ==, -1);
    close(a);
    close(b);
    close(c);
    g_assert_cmpuint(open_fds(), ==, before);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fdset/names", test_names);
    g_test_add_func("/fdset/bad-names", test_bad_names);
    g_test_add_func("/fdset/numbers", test_numbers);
    g_test_add_func("/fdset/ids", test_set_ids);
    g_test_add_func("/fdset/access-modes", test_access_modes);
    g_test_add_func("/fdset/files", test_files);
    g_test_add_func("/fdset/getfd", test_getfd);
    g_test_add_func("/fdset/add-fd", test_add_fd);
    g_test_add_func("/fdset/tap-names", test_tap_names);
    return g_test_run();
}
