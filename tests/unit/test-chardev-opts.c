/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Text of -chardev and of -serial: what it makes, and what it refuses. */
#include "util/osdep.h"

#include <fcntl.h>
#include <glib/gstdio.h>

#include "chardev-rig.h"

static MAIN_THREAD void test_bad_options(void)
{
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        { "null", "Parameter 'id' is missing" },
        { "tape,id=c", "Parameter 'backend' does not accept value 'tape', "
                       "expected one of: file, pipe, null, pty, socket, "
                       "stdio, ringbuf, memory" },
        { "null,id=1c", "Parameter 'id' expects a letter followed by letters, "
                        "digits, '-', '.' or '_', not '1c'" },
        { "null,id=c,path=x",
          "Invalid parameter 'path' (-chardev null,help lists them)" },
        { "file,id=c", "Parameter 'path' is missing" },
        { "file,id=c,path=/nonexistent/x",
          "chardev 'c': cannot open '/nonexistent/x': No such file or "
          "directory" },
        { "null,id=c,logfile=/nonexistent/x",
          "chardev 'c': logfile: cannot open '/nonexistent/x': No such file or "
          "directory" },
        { "ringbuf,id=c,size=3",
          "Parameter 'size' of chardev 'c' expects a power of two from 1 to "
          "256M, not '3'" },
        { "ringbuf,id=c,size=512M",
          "Parameter 'size' of chardev 'c' expects a power of two from 1 to "
          "256M, not '536870912'" },
        { "socket,id=c",
          "chardev socket expects exactly one of 'path', 'fd' and 'port'" },
        { "socket,id=c,path=x,port=1",
          "chardev socket expects exactly one of 'path', 'fd' and 'port'" },
        { "socket,id=c,path=x,host=y",
          "Parameters 'host', 'to', 'ipv4' and 'ipv6' need 'port'" },
        { "socket,id=c,port=1,tight=on",
          "Parameters 'abstract' and 'tight' need 'path'" },
        { "socket,id=c,path=/nonexistent/s",
          "cannot connect to 'unix:/nonexistent/s': No such file or "
          "directory" },
        { "socket,id=c,path=/nonexistent/s,server=on",
          "cannot listen on 'unix:/nonexistent/s': No such file or "
          "directory" },
        { "socket,id=c,path=,server=on,wait=off",
          "Parameter 'path' expects a socket path of 1 to 107 bytes, not 0" },
        { "socket,id=c,path=x,wait=on",
          "Parameter 'wait' is for servers only, use server=on" },
        { "socket,id=c,path=x,server,wait=on,nowait",
          "Parameters 'wait' and 'nowait' contradict each other" },
        { "socket,id=c,path=x,server,reconnect=1",
          "Parameter 'reconnect' is for clients only, use server=off" },
        { "socket,id=c,host=127.0.0.1,port=x y",
          "address '127.0.0.1:x y': Servname not supported for ai_socktype" },
        { "socket,id=c,port=1,ipv4=off,ipv6=off",
          "Parameters 'ipv4' and 'ipv6' must not both be off" },
        { "{\"backend\":\"null\"}", "Parameter 'id' is missing" },
        { "{\"backend\":\"null\",\"id\":\"c\",\"mux\":\"on\"}",
          "Invalid parameter type for 'mux', expected: boolean" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autoptr(GError) err = NULL;

        g_test_message("%s", rows[i].text);
        g_assert_null(chardev_new_from_opts(rows[i].text, &err));
        g_assert_nonnull(err);
        g_assert_cmpstr(err->message, ==, rows[i].message);
        g_assert_null(chardev_find("c"));
    }
}

static MAIN_THREAD void test_bad_fd(void)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = NULL;
    g_autofree char *expected = NULL;
    int fd = open("/dev/null", O_RDWR);

    text = g_strdup_printf("socket,id=c,fd=%d", fd);
    expected = g_strdup_printf("Parameter 'fd' expects a socket, which %d is "
                               "not",
                               fd);
    g_assert_null(chardev_new_from_opts(text, &err));
    g_assert_cmpstr(err->message, ==, expected);
    close(fd);
}

static MAIN_THREAD void test_duplicate_id(void)
{
    g_autoptr(GError) err = NULL;

    new_opts("{\"backend\":\"null\",\"id\":\"c0\"}");
    g_assert_null(chardev_new_from_opts("null,id=c0", &err));
    g_assert_cmpstr(err->message, ==, "Chardev with id 'c0' already exists");
    g_clear_error(&err);
    g_assert_null(chardev_new_from_opts("null,id=c0,mux=on", &err));
    g_assert_null(chardev_find("c0-base")); /* nothing half-made */
    remove_chardev("c0");
}

static MAIN_THREAD void test_legacy(void)
{
    g_autofree char *dir = temp_dir();
    g_autofree char *sock = g_strdup_printf("unix:%s/s,server,nowait", dir);
    g_autofree char *file = g_strdup_printf("file:%s/a,b", dir);
    g_autofree char *path = g_strdup_printf("%s/a,b", dir);
    const struct {
        const char *text;
        const char *filename; /* how it begins */
    } rows[] = {
        { "null", "null" },
        { "none", "null" },
        { "ringbuf,size=16", "ringbuf" },
        { "mon:null", "mux" },
        { file, "file" },
        { sock, "disconnected:unix:/" },
        { "tcp::0,server=on,wait=off", "disconnected:tcp:" },
        { "tcp:127.0.0.1:0,server,nowait", "disconnected:tcp:127.0.0.1:" },
        { "telnet:127.0.0.1:0,server,nowait",
          "disconnected:telnet:127.0.0.1:" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autoptr(GError) err = NULL;
        Chardev *chr = chardev_new_legacy("serial0", rows[i].text, &err);

        g_test_message("%s", rows[i].text);
        g_assert_no_error(err);
        g_assert_cmpstr(chardev_label(chr), ==, "serial0");
        g_assert_true(
            g_str_has_prefix(chardev_filename(chr), rows[i].filename));
        g_assert_true(chardev_new_legacy("x", "chardev:serial0", NULL) == chr);
        remove_chardev("serial0");
    }
    g_assert_cmpint(g_unlink(path), ==, 0);
    g_rmdir(dir);
}

static MAIN_THREAD void test_bad_legacy(void)
{
    static const char *const rows[][2] = {
        { "", "'' is not a character device, expected stdio, null" },
        { "vc", "'vc' is not a character device, expected stdio, null" },
        { "chardev:x", "'chardev:x' expects the id of a chardev" },
        { "tcp:host", "'tcp:host' expects tcp:[HOST]:PORT" },
        { "tcp:host:", "'tcp:host:' expects tcp:[HOST]:PORT" },
        { "telnet:host", "'telnet:host' expects telnet:[HOST]:PORT" },
        { "unix:", "Parameter 'path' expects a socket path" },
        { "unix:x,serve=on", "Invalid parameter 'serve'" },
        { "file:", "chardev 's': cannot open ''" },
        { "mon:mon:stdio", "'mon:stdio' is not a character device" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_null(chardev_new_legacy("s", rows[i][0], &err));
        g_test_message("%s", err->message);
        g_assert_true(g_str_has_prefix(err->message, rows[i][1]));
        g_assert_null(chardev_find("s"));
    }
}

NO_THREAD_SAFETY int main(int argc, char **argv)
{
    g_assert_true(main_loop_init(NULL));
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/chardev/options/bad", test_bad_options);
    g_test_add_func("/chardev/options/bad-fd", test_bad_fd);
    g_test_add_func("/chardev/options/duplicate-id", test_duplicate_id);
    g_test_add_func("/chardev/legacy/good", test_legacy);
    g_test_add_func("/chardev/legacy/bad", test_bad_legacy);
    return g_test_run();
}
