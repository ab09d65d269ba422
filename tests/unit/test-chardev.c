/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Character devices without a protocol: null, file, ring buffer, pty, mux. */
#include "util/osdep.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include "chardev-rig.h"
#include "qapi/qapi-types.h"

/* ---- null, file, ring buffer ---- */

static MAIN_THREAD void test_null(void)
{
    Chardev *chr = new_opts("null,id=c0");
    TestFe t;

    fe_attach(&t, chr, 10);
    g_assert_cmpuint(chardev_write(&t.fe, "abc", 3), ==, 3);
    g_assert_cmpstr(t.events->str, ==, "");
    g_assert_cmpint(chardev_take_fd(&t.fe), ==, -1);
    g_assert_false(chardev_remove("c0", NULL)); /* in use */
    fe_detach(&t);
    g_assert_cmpuint(chardev_write(&t.fe, "abc", 3), ==, 3); /* no chardev */
    remove_chardev("c0");
    g_assert_null(chardev_find("c0"));
    g_assert_false(chardev_remove("c0", NULL));
}

static MAIN_THREAD void test_file(void)
{
    g_autofree char *dir = temp_dir();
    g_autofree char *out = g_build_filename(dir, "a,b", NULL);
    g_autofree char *in = g_build_filename(dir, "in", NULL);
    g_autofree char *log = g_build_filename(dir, "log", NULL);
    Chardev *chr;
    TestFe t;

    g_file_set_contents(in, "hello", -1, NULL);
    g_file_set_contents(log, "old", -1, NULL);
    chr = new_opts("file,id=c0,path=%s/a,,b,input-path=%s,logfile=%s,"
                   "logappend=on",
                   dir, in, log);
    fe_attach(&t, chr, 3);
    g_assert_cmpstr(t.events->str, ==, "O");
    g_assert_cmpuint(chardev_write(&t.fe, "one", 3), ==, 3);
    wait_until(t.input->len == 3);
    settle();
    g_assert_cmpstr(t.input->str, ==, "hel"); /* no more than it has room for */
    fe_set_room(&t, 100);
    wait_until(t.input->len == 5);
    settle();
    fe_detach(&t);
    remove_chardev("c0");
    assert_file(out, "one");
    assert_file(log, "oldone");

    chr = new_opts("file,id=c0,path=%s/a,,b,append=on,logfile=%s", dir, log);
    fe_attach(&t, chr, 0);
    chardev_write(&t.fe, "two", 3);
    fe_detach(&t);
    remove_chardev("c0");
    assert_file(out, "onetwo");
    assert_file(log, "two");

    g_unlink(out);
    g_unlink(in);
    g_unlink(log);
    g_rmdir(dir);
}

/* Two pipes, .in and .out, or one for both directions. */
static MAIN_THREAD void test_pipe(void)
{
    g_autofree char *dir = temp_dir();
    g_autofree char *one = g_build_filename(dir, "p", NULL);
    g_autofree char *in = g_strconcat(one, ".in", NULL);
    g_autofree char *out = g_strconcat(one, ".out", NULL);
    g_autoptr(GError) err = NULL;
    int in_fd, out_fd;
    TestFe t;

    g_assert_cmpint(mkfifo(in, 0600), ==, 0);
    g_assert_cmpint(mkfifo(out, 0600), ==, 0);
    fe_attach(&t, new_opts("pipe,id=c0,path=%s", one), 100);
    g_assert_cmpstr(t.events->str, ==, "O");
    chardev_write(&t.fe, "out", 3);
    out_fd = open(out, O_RDONLY);
    peer_expect(out_fd, "out");
    for (int i = 0; i < 2; i++) { /* who writes may come and go */
        in_fd = open(in, O_WRONLY);
        peer_write(in_fd, "in");
        close(in_fd);
        wait_until(t.input->len == 2 * (size_t)(i + 1));
    }
    close(out_fd);
    fe_detach(&t);
    remove_chardev("c0");
    g_unlink(out);
    g_unlink(in);

    g_assert_null(chardev_new_from_opts("pipe,id=c0,path=/nowhere/p", &err));
    g_assert_cmpstr(err->message, ==,
                    "chardev 'c0': cannot open '/nowhere/p': No such file or "
                    "directory");
    g_assert_cmpint(mkfifo(one, 0600), ==, 0);
    fe_attach(&t, new_opts("pipe,id=c0,path=%s", one), 0);
    chardev_write(&t.fe, "both", 4);
    out_fd = open(one, O_RDWR);
    peer_expect(out_fd, "both");
    peer_write(out_fd, "ways");
    fe_set_room(&t, 100);
    wait_until(t.input->len == 4);
    close(out_fd);
    fe_detach(&t);
    remove_chardev("c0");
    g_unlink(one);
    g_rmdir(dir);
}

/* A file on a full disk: output is lost, nobody waits. */
static MAIN_THREAD void test_full_disk(void)
{
    Chardev *chr = new_opts("file,id=c0,path=/dev/full");
    TestFe t;

    fe_attach(&t, chr, 0);
    g_assert_cmpuint(chardev_write(&t.fe, "abc", 3), ==, 3);
    g_assert_cmpuint(chardev_write(&t.fe, "abc", 3), ==, 3);
    fe_detach(&t);
    remove_chardev("c0");
}

static MAIN_THREAD void test_ringbuf(void)
{
    Chardev *chr = new_opts("ringbuf,id=c0,size=8");
    g_autoptr(GError) err = NULL;
    g_autofree uint8_t *a = NULL;
    g_autofree uint8_t *b = NULL;
    g_autofree uint8_t *c = NULL;
    size_t len;
    TestFe t;

    fe_attach(&t, chr, 0);
    g_assert_cmpuint(chardev_write(&t.fe, "0123456789", 10), ==, 10);
    a = chardev_ringbuf_read(chr, 3, &len, NULL);
    g_assert_cmpmem(a, len, "234", 3);
    b = chardev_ringbuf_read(chr, 100, &len, NULL);
    g_assert_cmpmem(b, len, "56789", 5);
    g_assert_true(chardev_ringbuf_write(chr, "xy", 2, NULL));
    c = chardev_ringbuf_read(chr, 100, &len, NULL);
    g_assert_cmpmem(c, len, "xy", 2);
    fe_detach(&t);
    remove_chardev("c0");

    chr = new_opts("null,id=c0");
    g_assert_null(chardev_ringbuf_read(chr, 1, &len, &err));
    g_assert_cmpstr(err->message, ==, "Chardev 'c0' is not a ring buffer");
    remove_chardev("c0");
}

/* ---- pty ---- */

/* Makes a pty and reads what was said about it on standard output. */
static MAIN_THREAD Chardev *new_pty(void)
{
    g_autofree char *expected = NULL;
    int saved = dup(STDOUT_FILENO);
    int pipes[2];
    Chardev *chr;

    fflush(stdout);
    g_assert_cmpint(pipe(pipes), ==, 0);
    dup2(pipes[1], STDOUT_FILENO);
    chr = new_opts("pty,id=c0");
    dup2(saved, STDOUT_FILENO);
    expected = g_strdup_printf("char device redirected to %s (label c0)\n",
                               chardev_filename(chr) + strlen("pty:"));
    peer_expect(pipes[0], expected);
    close(pipes[0]);
    close(pipes[1]);
    close(saved);
    return chr;
}

static MAIN_THREAD void test_pty(void)
{
    Chardev *chr = new_pty();
    const char *path = chardev_filename(chr) + strlen("pty:");
    struct termios mode;
    TestFe t;
    int fd;

    g_assert_true(g_str_has_prefix(chardev_filename(chr), "pty:/dev/pts/"));
    fe_attach(&t, chr, 100);
    g_assert_cmpstr(t.events->str, ==, ""); /* nobody has it open */
    g_assert_cmpuint(chardev_write(&t.fe, "lost", 4), ==, 4);

    fd = open(path, O_RDWR | O_NOCTTY);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(tcgetattr(fd, &mode), ==, 0);
    g_assert_cmpuint(mode.c_lflag & (ECHO | ICANON), ==, 0);
    g_assert_cmpuint(chardev_write(&t.fe, "hi\n", 3), ==, 3);
    g_assert_cmpstr(t.events->str, ==, "O");
    peer_expect(fd, "hi\n");
    peer_write(fd, "a\003\n");
    wait_until(t.input->len == 3);
    g_assert_cmpstr(t.input->str, ==, "a\003\n");

    /* bytes that came before the hang-up come before CLOSED */
    fe_set_room(&t, 0);
    settle();
    peer_write(fd, "last");
    close(fd);
    settle();
    g_assert_cmpstr(t.events->str, ==, "O");
    fe_set_room(&t, 100);
    wait_until(t.events->len == 2);
    g_assert_cmpstr(t.input->str, ==, "a\003\nlast");
    g_assert_cmpstr(t.events->str, ==, "OC");

    fd = open(path, O_RDWR | O_NOCTTY); /* the timer notices this one */
    wait_until(t.events->len == 3);
    peer_write(fd, "x");
    wait_until(g_str_has_suffix(t.input->str, "lastx"));
    close(fd);
    fe_detach(&t);
    remove_chardev("c0");
}

/* ---- mux ---- */

static unsigned quits;

static void count_quit(void)
{
    quits++;
}

static MAIN_THREAD void test_mux(void)
{
    int pair[2];
    Chardev *chr;
    TestFe a;
    TestFe b;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    chr = new_opts("socket,id=c0,fd=%d,mux=on", pair[0]);
    g_assert_true(chardev_is_mux(chr));
    g_assert_false(chardev_remove("c0-base", NULL));
    fe_attach(&a, chr, 100);
    fe_attach(&b, chr, 100);
    g_assert_cmpstr(a.events->str, ==, "OI"); /* the first has the focus */
    g_assert_cmpstr(b.events->str, ==, "O");

    peer_write(pair[1], "for a\001cfor b\001c\001\001a");
    wait_until(a.input->len == 7 && b.input->len == 5);
    g_assert_cmpstr(a.input->str, ==, "for a\001a");
    g_assert_cmpstr(b.input->str, ==, "for b");
    g_assert_cmpstr(a.events->str, ==, "OIUI");
    chardev_write(&a.fe, "1", 1);
    chardev_write(&b.fe, "2", 1);
    peer_expect(pair[1], "12");

    peer_write(pair[1], "\001b");
    wait_until(a.events->len == 5);
    g_assert_cmpstr(a.events->str, ==, "OIUIB");
    chardev_send_break(chr);
    g_assert_cmpstr(a.events->str, ==, "OIUIBB");
    g_assert_cmpstr(b.events->str, ==, "OIU");

    /* keys work while the guest takes nothing; what it missed comes later */
    chardev_set_quit_handler(count_quit);
    fe_set_room(&a, 0);
    peer_write(pair[1], "kept\001x");
    wait_until(quits == 1);
    peer_expect(pair[1], "Terminated\r\n");
    g_assert_cmpuint(a.input->len, ==, 7);
    fe_set_room(&a, 100);
    g_assert_cmpstr(a.input->str, ==, "for a\001akept");
    peer_write(pair[1], "\001h");
    settle();
    peer_expect(pair[1], "\r\nCtrl-a h");

    fe_detach(&a); /* the focus moves on */
    g_assert_cmpstr(b.events->str, ==, "OIUI");
    close(pair[1]);
    wait_until(b.events->len == 5);
    g_assert_cmpstr(b.events->str, ==, "OIUIC");
    fe_detach(&b);
    remove_chardev("c0");
    g_assert_null(chardev_find("c0-base"));
    chardev_set_quit_handler(NULL);
}

static MAIN_THREAD void test_mux_full(void)
{
    Chardev *chr = new_opts("null,id=c0,mux=on");
    g_autoptr(GError) err = NULL;
    ChardevFrontend fifth = { 0 };
    TestFe t[4];

    for (int i = 0; i < 4; i++) {
        fe_attach(&t[i], chr, 0);
    }
    g_assert_false(chardev_attach(&fifth, chr, &fe_ops, NULL, &err));
    g_assert_nonnull(err);
    g_assert_null(fifth.chr);
    for (int i = 0; i < 4; i++) {
        fe_detach(&t[i]);
    }
    remove_chardev("c0");
}

/* ---- another back-end ---- */

static ChardevRingbuf ringbuf_config;
static const ChardevBackend new_ringbuf = {
    .type = CHARDEV_BACKEND_KIND_RINGBUF,
    .u.ringbuf.data = &ringbuf_config,
};

static MAIN_THREAD void assert_no_change(const char *id,
                                         const ChardevBackend *backend,
                                         const char *message)
{
    g_autoptr(GError) err = NULL;

    g_assert_null(chardev_change(id, backend, &err));
    g_assert_nonnull(err);
    g_assert_cmpstr(err->message, ==, message);
}

static MAIN_THREAD void test_change(void)
{
    ChardevFrontendOps ops = fe_ops;
    TestFe t = { .input = g_string_new(NULL),
                 .events = g_string_new(NULL),
                 .room = 100 };
    g_autofree uint8_t *data = NULL;
    g_autofree char *big = g_malloc0(4 * MiB);
    Chardev *chr, *other;
    int pair[2];
    size_t len;

    ops.hotswap = true;
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    new_opts("null,id=c0");
    g_assert_true(chardev_attach(&t.fe, chardev_find("c0"), &ops, &t, NULL));
    g_assert_cmpstr(t.events->str, ==, "");

    chr = chardev_change("c0", &new_ringbuf, NULL);
    g_assert_true(chr == chardev_find("c0") && t.fe.chr == chr);
    g_assert_true(chardev_has_frontend(chr));
    g_assert_cmpstr(t.events->str, ==, "O");
    g_assert_cmpuint(chardev_write(&t.fe, "abc", 3), ==, 3);
    data = chardev_ringbuf_read(chr, 10, &len, NULL);
    g_assert_cmpmem(data, len, "abc", 3);

    /* The other way round, through what -chardev makes. */
    fe_detach(&t);
    remove_chardev("c0");
    chr = new_opts("socket,id=c0,fd=%d", pair[0]);
    t = (TestFe){ .input = g_string_new(NULL),
                  .events = g_string_new(NULL),
                  .room = 100 };
    g_assert_true(chardev_attach(&t.fe, chr, &ops, &t, NULL));
    /* A front-end that waits for room is told of the new one's. */
    g_assert_cmpuint(chardev_write(&t.fe, big, 4 * MiB), <, 4 * MiB);
    other = chardev_change("c0", &new_ringbuf, NULL);
    g_assert_nonnull(other);
    g_assert_cmpstr(t.events->str, ==, "OCO");
    g_assert_cmpuint(t.writable, ==, 1);
    while (read(pair[1], big, 4 * MiB) > 0) {
    } /* until the end: the old one is closed */
    close(pair[1]);
    fe_detach(&t);
    remove_chardev("c0");
}

static MAIN_THREAD void test_change_refused(void)
{
    ChardevFile file_config = { .out = (char *)"/nowhere/x" };
    ChardevMux mux_config = { .chardev = (char *)"c0" };
    ChardevBackend file = { .type = CHARDEV_BACKEND_KIND_FILE,
                            .u.file.data = &file_config };
    ChardevBackend mux = { .type = CHARDEV_BACKEND_KIND_MUX,
                           .u.mux.data = &mux_config };
    Chardev *chr = new_opts("null,id=c0");
    TestFe t;

    assert_no_change("c1", &new_ringbuf, "Chardev 'c1' does not exist");
    assert_no_change("c0", &mux, "Mux device hotswap not supported yet");
    assert_no_change("c0", &file,
                     "chardev 'c0': cannot open '/nowhere/x': No such file or "
                     "directory");
    fe_attach(&t, chr, 0);
    assert_no_change("c0", &new_ringbuf,
                     "Chardev user does not support chardev hotswap");
    g_assert_true(t.fe.chr == chr && chardev_find("c0") == chr);
    fe_detach(&t);
    remove_chardev("c0");

    new_opts("null,id=c0,mux=on");
    assert_no_change("c0", &new_ringbuf,
                     "Mux device hotswap not supported yet");
    assert_no_change("c0-base", &new_ringbuf,
                     "Chardev user does not support chardev hotswap");
    remove_chardev("c0");
}

/* A server that takes another's place and path keeps the path. */
static MAIN_THREAD void test_change_path(void)
{
    g_autofree char *dir = temp_dir();
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    UnixSocketAddress un = { .path = path };
    SocketAddressLegacy addr = { .type = SOCKET_ADDRESS_TYPE_UNIX,
                                 .u.q_unix.data = &un };
    ChardevSocket config = { .addr = &addr };
    ChardevBackend backend = { .type = CHARDEV_BACKEND_KIND_SOCKET,
                               .u.socket.data = &config };
    Chardev *chr;
    TestFe t;
    int fd;

    new_opts("socket,id=c0,path=%s,server=on,wait=off", path);
    chr = chardev_change("c0", &backend, NULL);
    fe_attach(&t, chr, 10);
    fd = peer_connect_unix(path);
    peer_write(fd, "x");
    wait_until(t.input->len == 1);
    close(fd);
    fe_detach(&t);
    remove_chardev("c0");
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_rmdir(dir);
}

/* ---- the end ---- */

static void count_one(Chardev *chr, void *opaque)
{
    ++*(int *)opaque;
}

static MAIN_THREAD void test_cleanup(void)
{
    TestFe t;
    int n = 0;

    fe_attach(&t, new_opts("null,id=a,mux=on"), 0);
    new_opts("ringbuf,id=b");
    chardev_foreach(count_one, &n);
    g_assert_cmpint(n, ==, 3);
    chardev_cleanup();
    g_assert_null(t.fe.chr);
    g_assert_cmpuint(chardev_write(&t.fe, "x", 1), ==, 1);
    fe_detach(&t);
    g_assert_null(chardev_find("a"));
}

NO_THREAD_SAFETY int main(int argc, char **argv)
{
    g_assert_true(main_loop_init(NULL));
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/chardev/null", test_null);
    g_test_add_func("/chardev/file", test_file);
    g_test_add_func("/chardev/pipe", test_pipe);
    g_test_add_func("/chardev/full-disk", test_full_disk);
    g_test_add_func("/chardev/ringbuf", test_ringbuf);
    g_test_add_func("/chardev/pty", test_pty);
    g_test_add_func("/chardev/mux/keys", test_mux);
    g_test_add_func("/chardev/mux/full", test_mux_full);
    g_test_add_func("/chardev/change", test_change);
    g_test_add_func("/chardev/change/refused", test_change_refused);
    g_test_add_func("/chardev/change/path", test_change_path);
    g_test_add_func("/chardev/cleanup", test_cleanup);
    return g_test_run();
}
