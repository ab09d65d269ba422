/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Character devices on sockets: servers, clients, slow and leaving peers. */
#include "util/osdep.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "util/fd.h"
#include "chardev-rig.h"

static MAIN_THREAD void test_unix_server(void)
{
    g_autofree char *dir = temp_dir();
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    g_autofree char *name = g_strdup_printf("unix:%s,server=on", path);
    g_autofree char *idle = g_strdup_printf("disconnected:%s", name);
    Chardev *chr = new_opts("socket,id=c0,path=%s,server=on,wait=off", path);
    TestFe t;
    int one;
    int two;

    fe_attach(&t, chr, 100);
    g_assert_cmpstr(chardev_filename(chr), ==, idle);
    g_assert_cmpuint(chardev_write(&t.fe, "lost", 4), ==, 4);
    one = peer_connect_unix(path);
    wait_until(chardev_is_open(chr));
    g_assert_cmpstr(chardev_filename(chr), ==, name);
    peer_write(one, "ping");
    wait_until(t.input->len == 4);
    g_assert_cmpuint(chardev_write(&t.fe, "pong", 4), ==, 4);
    peer_expect(one, "pong");

    /* the second waits for the first to go */
    two = peer_connect_unix(path);
    peer_write(two, "second");
    settle();
    g_assert_cmpstr(t.input->str, ==, "ping");
    peer_write(one, "bye");
    close(one);
    wait_until(t.input->len == 13);
    g_assert_cmpstr(t.input->str, ==, "pingbyesecond");
    g_assert_cmpstr(t.events->str, ==, "OCO");

    fe_detach(&t);
    remove_chardev("c0");
    g_assert_cmpint(access(path, F_OK), ==, -1); /* the path is gone */
    close(two);
    g_rmdir(dir);
}

/* What a peer left that the front-end has no room for: it is kept, until the
 * next peer comes. */
static MAIN_THREAD void test_unread_input(void)
{
    g_autofree char *dir = temp_dir();
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    Chardev *chr = new_opts("socket,id=c0,path=%s,server=on,wait=off", path);
    TestFe t;
    int fd;

    fe_attach(&t, chr, 0);
    fd = peer_connect_unix(path);
    wait_until(chardev_is_open(chr));
    peer_write(fd, "kept");
    close(fd);
    settle();
    g_assert_true(chardev_is_open(chr));
    fe_set_room(&t, 100);
    wait_until(!chardev_is_open(chr));
    g_assert_cmpstr(t.input->str, ==, "kept");

    fe_set_room(&t, 0);
    fd = peer_connect_unix(path);
    wait_until(chardev_is_open(chr));
    peer_write(fd, "dropped");
    close(fd);
    settle();
    fd = peer_connect_unix(path);
    wait_until(strcmp(t.events->str, "OCOCO") == 0);
    chardev_write(&t.fe, "out", 3);
    peer_expect(fd, "out");
    peer_write(fd, "new");
    fe_set_room(&t, 100);
    wait_until(t.input->len >= 7);
    g_assert_cmpstr(t.input->str, ==, "keptnew");
    fe_detach(&t);
    remove_chardev("c0");
    close(fd);
    g_rmdir(dir);
}

/* A client leaves a peer that has gone for the next, too. */
static MAIN_THREAD void test_unread_input_client(void)
{
    Chardev *server = new_opts("socket,id=s0,host=127.0.0.1,port=0,server=on,"
                               "wait=off");
    g_autofree char *port =
        g_strdup(strrchr(chardev_filename(server), ':') + 1);
    Chardev *client;
    TestFe s;
    TestFe c;

    *strchr(port, ',') = '\0';
    client = new_opts("socket,id=c0,host=127.0.0.1,port=%s,reconnect=1", port);
    fe_attach(&s, server, 100);
    fe_attach(&c, client, 0);
    wait_until(chardev_is_open(server) && chardev_is_open(client));
    chardev_write(&s.fe, "left", 4);
    settle();
    fe_detach(&s);
    remove_chardev("s0");
    settle();
    chardev_write(&c.fe, "?",
                  1); /* only an answer tells TCP that all is over */
    server = new_opts("socket,id=s0,host=127.0.0.1,port=%s,server=on,wait=off",
                      port);
    fe_attach(&s, server, 100);
    wait_until(chardev_is_open(server));
    wait_until(strcmp(c.events->str, "OCO") == 0);
    chardev_write(&c.fe, "up", 2);
    wait_until(s.input->len == 2);
    for (int64_t end = clock_now_ns() + 1500000000; clock_now_ns() < end;) {
        event_loop_turn(main_loop(), 100000000);
    }
    g_assert_cmpstr(s.events->str, ==, "O"); /* no timer ends the new one */
    fe_detach(&s);
    fe_detach(&c);
    remove_chardev("s0");
    remove_chardev("c0");
}

/* A peer that does not read: output waits, up to a limit; nobody blocks. */
static MAIN_THREAD void test_backpressure(void)
{
    g_autofree char *dir = temp_dir();
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    Chardev *chr = new_opts("socket,id=c0,path=%s,server=on,wait=off", path);
    g_autofree char *block = g_malloc(100000);
    uint64_t sent = 0;
    uint64_t received = 0;
    size_t taken;
    TestFe t;
    int fd;

    fe_attach(&t, chr, 0);
    fd = peer_connect_unix(path);
    wait_until(chardev_is_open(chr));
    for (size_t i = 0; i < 100000; i++) {
        block[i] = (char)(i % 251);
    }
    do { /* each block goes on where the last one was cut */
        size_t at = sent % 251;

        taken = chardev_write(&t.fe, block + at, 90000);
        sent += taken;
        g_assert_cmpuint(sent, <, 16 * MiB);
    } while (taken == 90000);
    g_assert_cmpuint(chardev_write(&t.fe, block, 1), ==, 0);
    settle();
    g_assert_cmpuint(t.writable, ==, 0);

    while (received < sent) {
        uint8_t buf[4096];
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

        for (ssize_t i = 0; i < n; i++) {
            g_assert_cmpuint(buf[i], ==, (received + (uint64_t)i) % 251);
        }
        received += n > 0 ? (uint64_t)n : 0;
        event_loop_turn(main_loop(), 0);
    }
    g_assert_cmpuint(t.writable, ==, 1);

    /* the peer goes while output waits: who waits for room is told */
    while (chardev_write(&t.fe, block, 90000) == 90000) {
    }
    close(fd);
    wait_until(t.writable == 2);
    g_assert_cmpuint(chardev_write(&t.fe, "x", 1), ==, 1);
    wait_until(!chardev_is_open(chr));
    fe_detach(&t);
    remove_chardev("c0");
    g_rmdir(dir);
}

static MAIN_THREAD void test_fd_passing(void)
{
    g_autofree char *dir = temp_dir();
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    Chardev *chr = new_opts("socket,id=c0,path=%s,server=on,wait=off", path);
    int before;
    int after;
    int pipes[2];
    TestFe t;
    int peer;
    int fd;

    fe_attach(&t, chr, 1000);
    peer = peer_connect_unix(path);
    g_assert_cmpint(pipe(pipes), ==, 0);
    before = open("/dev/null", O_RDONLY);
    close(before);
    for (int i = 0; i < 10; i++) {
        g_assert_cmpint(fd_send(peer, "x", 1, pipes, 2), ==, 1);
    }
    wait_until(t.input->len == 10);
    for (int i = 0; i < 16; i++) { /* the other four were closed */
        fd = chardev_take_fd(&t.fe);
        g_assert_cmpint(fd, >=, 0);
        g_assert_cmpint(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
        if (i % 2 == 1) {
            peer_write(fd, "y");
            peer_expect(pipes[0], "y");
        }
        close(fd);
    }
    g_assert_cmpint(chardev_take_fd(&t.fe), ==, -1);
    g_assert_cmpint(fd_send(peer, "x", 1, pipes, 2), ==, 1);
    wait_until(t.input->len == 11);
    close(peer); /* what nobody took is closed with the connection */
    wait_until(!chardev_is_open(chr));
    g_assert_cmpint(chardev_take_fd(&t.fe), ==, -1);
    after = open("/dev/null", O_RDONLY);
    g_assert_cmpint(after, <=, before);
    close(after);
    close(pipes[0]);
    close(pipes[1]);
    fe_detach(&t);
    remove_chardev("c0");
    g_rmdir(dir);
}

/* A server and a client of ours, over TCP; the client comes back. */
static MAIN_THREAD void test_tcp_reconnect(void)
{
    Chardev *server = new_opts("socket,id=s0,host=127.0.0.1,port=0,server=on,"
                               "wait=off,nodelay");
    g_autofree char *port = NULL;
    Chardev *client;
    TestFe s;
    TestFe c;

    g_assert_true(g_str_has_prefix(chardev_filename(server),
                                   "disconnected:tcp:127.0.0.1:"));
    g_assert_true(g_str_has_suffix(chardev_filename(server), ",server=on"));
    port = g_strdup(strrchr(chardev_filename(server), ':') + 1);
    *strchr(port, ',') = '\0';
    client = new_opts("socket,id=c0,host=127.0.0.1,port=%s,reconnect=1", port);
    fe_attach(&s, server, 100);
    fe_attach(&c, client, 100);
    wait_until(s.fe.chr && chardev_is_open(server) && chardev_is_open(client));
    g_assert_nonnull(strstr(chardev_filename(server), " <-> 127.0.0.1:"));
    chardev_write(&c.fe, "up", 2);
    chardev_write(&s.fe, "down", 4);
    wait_until(s.input->len == 2 && c.input->len == 4);

    /* the server goes and comes back at its port */
    fe_detach(&s);
    remove_chardev("s0");
    wait_until(!chardev_is_open(client));
    server = new_opts("socket,id=s0,host=127.0.0.1,port=%s,server=on,wait=off",
                      port);
    fe_attach(&s, server, 100);
    wait_until(chardev_is_open(client) && chardev_is_open(server));
    chardev_write(&c.fe, "again", 5);
    wait_until(s.input->len == 5);
    g_assert_cmpstr(c.events->str, ==, "OCO");
    fe_detach(&s);
    fe_detach(&c);
    remove_chardev("s0");
    remove_chardev("c0");
}

static void *connect_soon(void *path)
{
    int fd;

    g_usleep(100000);
    fd = peer_connect_unix(path);
    peer_write(fd, "here");
    return GINT_TO_POINTER(fd);
}

static MAIN_THREAD void test_wait(void)
{
    g_autofree char *dir = temp_dir();
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    pthread_t thread;
    Chardev *chr;
    void *fd;
    TestFe t;

    pthread_create(&thread, NULL, connect_soon, path);
    chr = new_opts("socket,id=c0,path=%s,server=on", path);
    g_assert_true(chardev_is_open(chr));
    pthread_join(thread, &fd);
    fe_attach(&t, chr, 100);
    wait_until(t.input->len == 4);
    close(GPOINTER_TO_INT(fd));
    fe_detach(&t);
    remove_chardev("c0");
    g_rmdir(dir);
}

/* ---- telnet ---- */

static void peer_read(int fd, uint8_t *buf, size_t len)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = read(fd, buf + got, len - got);

        g_assert_cmpint(n, >, 0);
        got += (size_t)n;
    }
}

static MAIN_THREAD void test_telnet(void)
{
    static const uint8_t greeting[] = { 255, 251, 1, 255, 251, 3,
                                        255, 251, 0, 255, 253, 0 };
    static const uint8_t typed[] = { 'a', 255, 255,  'b', '\r', 0,   255,
                                     251, 0,   '\r', 0,   255,  250, 24,
                                     255, 255, 1,    255, 240,  255, 253,
                                     1,   255, 241,  'z' };
    static const uint8_t data[] = { 'a', 255, 'b', '\r', '\r', 0, 'z' };
    static const uint8_t brk[] = { 255, 243 };
    uint8_t buf[16];
    int pair[2];
    TestFe t;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    fe_attach(&t, new_opts("socket,id=c0,fd=%d,telnet=on", pair[0]), 100);
    peer_read(pair[1], buf, sizeof(greeting));
    g_assert_cmpmem(buf, sizeof(greeting), greeting, sizeof(greeting));
    for (size_t i = 0; i < sizeof(typed); i++) { /* cut everywhere */
        g_assert_cmpint(write(pair[1], typed + i, 1), ==, 1);
        event_loop_turn(main_loop(), 0);
    }
    wait_until(t.input->len == sizeof(data));
    g_assert_cmpmem(t.input->str, t.input->len, data, sizeof(data));
    g_assert_cmpint(write(pair[1], brk, sizeof(brk)), ==, 2);
    wait_until(t.events->len == 2);
    g_assert_cmpstr(t.events->str, ==, "OB");

    g_assert_cmpuint(chardev_write(&t.fe, "x\377y", 3), ==, 3);
    peer_read(pair[1], buf, 4);
    g_assert_cmpmem(buf, 4, "x\377\377y", 4);
    close(pair[1]);
    wait_until(t.events->len == 3);
    fe_detach(&t);
    remove_chardev("c0");
}

/* A peer that is slow: no half of an escaped byte is lost or doubled. */
static MAIN_THREAD void test_telnet_slow(void)
{
    uint8_t block[1001], got[4096];
    size_t sent = 0, received = 0;
    int pair[2];
    TestFe t;

    memset(block, 255, sizeof(block));
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    fe_attach(&t, new_opts("socket,id=c0,fd=%d,telnet=on", pair[0]), 100);
    peer_read(pair[1], got, 12);
    g_assert_true(fd_set_nonblock(pair[1], true, NULL));
    for (int turn = 0; turn < 2000; turn++) {
        ssize_t n;

        sent += chardev_write(&t.fe, block, sizeof(block));
        n = read(pair[1], got, turn < 1500 ? 7 : sizeof(got));
        received += n > 0 ? (size_t)n : 0;
        for (ssize_t i = 0; i < n; i++) {
            g_assert_cmpuint(got[i], ==, 255);
        }
        event_loop_turn(main_loop(), 0);
    }
    g_assert_cmpuint(t.writable, >, 0);
    for (int idle = 0; idle < 10;) {
        ssize_t n = read(pair[1], got, sizeof(got));

        received += n > 0 ? (size_t)n : 0;
        idle += n <= 0;
        event_loop_turn(main_loop(), 0);
    }
    /* What was not taken may have had its first half sent. */
    g_assert_cmpuint(received - 2 * sent, <=, 1);
    close(pair[1]);
    fe_detach(&t);
    remove_chardev("c0");
}

/* Sockets that somebody else opened: connected, and listening. */
static MAIN_THREAD void test_fd_option(void)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    socklen_t len = sizeof(un);
    int pair[2];
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    Chardev *chr;
    TestFe t;
    int peer;

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), ==, 0);
    chr = new_opts("socket,id=c0,fd=%d", pair[0]);
    fe_attach(&t, chr, 100);
    peer_write(pair[1], "abc");
    wait_until(t.input->len == 3);
    close(pair[1]);
    wait_until(!chardev_is_open(chr));
    fe_detach(&t);
    remove_chardev("c0");

    /* an unnamed bind chooses a name in the abstract space */
    g_assert_cmpint(bind(listener, (struct sockaddr *)&un, sizeof(sa_family_t)),
                    ==, 0);
    g_assert_cmpint(listen(listener, 1), ==, 0);
    g_assert_cmpint(getsockname(listener, (struct sockaddr *)&un, &len), ==, 0);
    peer = socket(AF_UNIX, SOCK_STREAM, 0);
    g_assert_cmpint(connect(peer, (struct sockaddr *)&un, len), ==, 0);
    chr = new_opts("socket,id=c0,fd=%d,server=on,wait=off", listener);
    fe_attach(&t, chr, 100);
    peer_write(peer, "abc");
    wait_until(t.input->len == 3);
    close(peer);
    fe_detach(&t);
    remove_chardev("c0");
}

NO_THREAD_SAFETY int main(int argc, char **argv)
{
    g_assert_true(main_loop_init(NULL));
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/chardev/socket/unix-server", test_unix_server);
    g_test_add_func("/chardev/socket/unread-input", test_unread_input);
    g_test_add_func("/chardev/socket/unread-input/client",
                    test_unread_input_client);
    g_test_add_func("/chardev/socket/backpressure", test_backpressure);
    g_test_add_func("/chardev/socket/fd-passing", test_fd_passing);
    g_test_add_func("/chardev/socket/tcp-reconnect", test_tcp_reconnect);
    g_test_add_func("/chardev/socket/wait", test_wait);
    g_test_add_func("/chardev/socket/fd", test_fd_option);
    g_test_add_func("/chardev/socket/telnet", test_telnet);
    g_test_add_func("/chardev/socket/telnet/slow", test_telnet_slow);
    return g_test_run();
}
