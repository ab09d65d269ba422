/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -chardev stdio, on terminals and on pipes. */
#include "util/osdep.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>

#include "chardev-rig.h"

/* ---- stdio, in a process of its own on a terminal of its own ---- */

/* The child: echoes a line, then ends as it was told. */
static MAIN_THREAD int stdio_child(const char *how)
{
    Chardev *chr = chardev_new_legacy("s0", "stdio", NULL);
    TestFe t;

    fe_attach(&t, chr, 100);
    chardev_write(&t.fe, "ready\n", 6);
    wait_until(t.input->len == 2);
    chardev_write(&t.fe, t.input->str, t.input->len);
    if (strcmp(how, "cleanup") == 0) {
        chardev_cleanup();
    } else if (strcmp(how, "abort") == 0) {
        abort();
    } else if (strcmp(how, "hang") == 0) {
        for (;;) {
            pause();
        }
    }
    return 0;
}

static MAIN_THREAD void run_stdio_child(const char *how, int signum)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios before = { 0 };
    struct termios during;
    struct termios after = { 0 };
    int status;
    int slave;
    pid_t pid;

    g_assert_true(grantpt(master) == 0 && unlockpt(master) == 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    g_assert_cmpint(tcgetattr(slave, &before), ==, 0);
    pid = fork();
    if (pid == 0) {
        signal(SIGTERM, SIG_DFL); /* a shell ignores SIGINT in the background */
        signal(SIGINT, SIG_DFL);
        dup2(slave, 0);
        dup2(slave, 1);
        execl("/proc/self/exe", "test-chardev-stdio", "--stdio-child", how,
              NULL);
        _exit(127);
    }
    peer_expect(master, "ready\r\n");
    g_assert_cmpint(tcgetattr(slave, &during), ==, 0);
    g_assert_cmpuint(during.c_lflag & (ICANON | ECHO), ==, 0);
    g_assert_cmpuint(during.c_lflag & ISIG, ==, ISIG);
    g_assert_cmpuint(during.c_oflag & OPOST, ==, OPOST);
    peer_write(master, "\r\004"); /* raw: neither translated nor the end */
    peer_expect(master, "\r\004");
    if (signum) {
        kill(pid, signum);
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(WIFSIGNALED(status) ? WTERMSIG(status) : 0, ==,
                    strcmp(how, "abort") == 0 ? SIGABRT : signum);
    g_assert_cmpint(tcgetattr(slave, &after), ==, 0);
    g_assert_cmpmem(&after, sizeof(after), &before, sizeof(before));
    close(slave);
    close(master);
}

static MAIN_THREAD void test_stdio_terminal(void)
{
    run_stdio_child("cleanup", 0);
    run_stdio_child("exit", 0);
    run_stdio_child("abort", 0);
    run_stdio_child("hang", SIGTERM);
    run_stdio_child("hang", SIGINT);
}

/* No terminal: input ends, output goes on; the pipe's flags are as before. */
static MAIN_THREAD void test_stdio_pipe(void)
{
    int in = open("/dev/null", O_RDONLY);
    int saved[2] = { dup(0), dup(1) };
    g_autoptr(GError) err = NULL;
    int pipes[2];
    Chardev *chr;
    TestFe t;

    g_assert_cmpint(pipe(pipes), ==, 0);
    fflush(stdout);
    dup2(in, 0);
    dup2(pipes[1], 1);
    chr = new_opts("stdio,id=s0");
    g_assert_null(chardev_new_from_opts("stdio,id=s1", &err));
    fe_attach(&t, chr, 100);
    wait_until(t.events->len == 2);
    chardev_write(&t.fe, "out", 3);
    peer_expect(pipes[0], "out");
    g_assert_cmpint(fcntl(pipes[1], F_GETFL) & O_NONBLOCK, ==, 0);
    close(pipes[0]); /* nobody reads any more: no SIGPIPE, no error */
    chardev_write(&t.fe, "lost", 4);
    chardev_write(&t.fe, "lost", 4);
    g_assert_cmpstr(t.events->str, ==, "OC");
    fe_detach(&t);
    remove_chardev("s0");
    dup2(saved[0], 0);
    dup2(saved[1], 1);
    g_assert_cmpstr(err->message, ==,
                    "chardev 's1': stdio is used by another chardev already");
    close(saved[0]);
    close(saved[1]);
    close(pipes[1]);
    close(in);
}

NO_THREAD_SAFETY int main(int argc, char **argv)
{
    g_assert_true(main_loop_init(NULL));
    if (argc == 3 && strcmp(argv[1], "--stdio-child") == 0) {
        return stdio_child(argv[2]);
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/chardev/stdio/terminal", test_stdio_terminal);
    g_test_add_func("/chardev/stdio/pipe", test_stdio_pipe);
    return g_test_run();
}
