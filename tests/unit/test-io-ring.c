/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bursts through an io_uring, on socket pairs that keep messages apart.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "util/io-ring.h"

#define SIZE 64u

typedef struct Burst {
    IoFrame frame[IO_RING_BURST];
    struct iovec iov[IO_RING_BURST][2];
    uint8_t data[IO_RING_BURST][SIZE];
} Burst;

static IoRing *ring;
static int fd[2];
static IoFile file[2];
static bool known; /* files are added to the ring */
static Burst out, in;

static void burst_init(Burst *burst, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        memset(burst->data[i], burst == &out ? (int)i + 1 : 0, SIZE);
        burst->iov[i][0] = (struct iovec){ burst->data[i], 10 };
        burst->iov[i][1] = (struct iovec){ burst->data[i] + 10, SIZE - 10 };
        burst->frame[i] = (IoFrame){ burst->iov[i], 2, 12345 };
    }
}

static void start(void)
{
    g_assert_cmpint(socketpair(AF_UNIX,
                               SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                               fd),
                    ==, 0);
    for (unsigned i = 0; i < 2; i++) {
        file[i] = known ? io_ring_add_file(ring, fd[i])
                        : (IoFile){ .fd = fd[i], .slot = -1 };
        g_assert_cmpint(file[i].slot >= 0, ==, known);
    }
    burst_init(&out, IO_RING_BURST);
    burst_init(&in, IO_RING_BURST);
}

static void stop(void)
{
    io_ring_remove_file(ring, &file[0]);
    io_ring_remove_file(ring, &file[1]);
    close(fd[0]);
    close(fd[1]);
}

/* Sends and receives @n frames; each one arrives whole and in its place. */
static void exchange(unsigned n)
{
    io_ring_writev(ring, file[0], out.frame, n);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpint(out.frame[i].result, ==, SIZE);
    }
    io_ring_readv(ring, file[1], in.frame, n);
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpint(in.frame[i].result, ==, SIZE);
        g_assert_cmpmem(in.data[i], SIZE, out.data[i], SIZE);
    }
}

static void test_order(void)
{
    static const unsigned sizes[] = { 1, 2, 3, 17, IO_RING_BURST };

    for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (unsigned k = 0; k < 4; k++) {
            start();
            exchange(sizes[i]);
            stop();
        }
    }
}

static void test_batches(void)
{
    for (unsigned max = 1; max <= 70; max += 3) {
        io_ring_set_max_batch(ring, max);
        start();
        exchange(IO_RING_BURST - 1);
        stop();
    }
    io_ring_set_max_batch(ring, 0);
}

/* Reads beyond what is there end at once with nothing. */
static void test_nothing_there(void)
{
    start();
    io_ring_writev(ring, file[0], out.frame, 3);
    io_ring_readv(ring, file[1], in.frame, 8);
    for (unsigned i = 0; i < 8; i++) {
        g_assert_cmpint(in.frame[i].result, ==, i < 3 ? SIZE : 0);
    }
    io_ring_readv(ring, file[1], in.frame, 1);
    g_assert_cmpint(in.frame[0].result, ==, 0);
    stop();
}

/* No room: what did not go says so, what went is in order. */
static void test_no_room(void)
{
    int small = 1;
    unsigned sent = 0;

    start();
    setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    io_ring_writev(ring, file[0], out.frame, IO_RING_BURST);
    while (sent < IO_RING_BURST && out.frame[sent].result == SIZE) {
        sent++;
    }
    g_assert_cmpuint(sent, >, 0);
    g_assert_cmpuint(sent, <, IO_RING_BURST);
    for (unsigned i = sent; i < IO_RING_BURST; i++) {
        g_assert_cmpint(out.frame[i].result, ==, 0);
    }
    io_ring_readv(ring, file[1], in.frame, sent);
    g_assert_cmpmem(in.data[sent - 1], SIZE, out.data[sent - 1], SIZE);
    stop();
}

/* One bad frame is its own affair. */
static void test_bad_frame(void)
{
    start();
    out.iov[1][0].iov_base = (void *)16;
    out.frame[2].n_iov = IOV_MAX + 1;
    io_ring_writev(ring, file[0], out.frame, 4);
    g_assert_cmpint(out.frame[0].result, ==, SIZE);
    g_assert_cmpint(out.frame[1].result, ==, -EFAULT);
    g_assert_cmpint(out.frame[2].result, ==, -EINVAL);
    g_assert_cmpint(out.frame[3].result, ==, SIZE);
    io_ring_readv(ring, file[1], in.frame, 3);
    g_assert_cmpint(in.frame[0].result, ==, SIZE);
    g_assert_cmpint(in.data[1][0], ==, out.data[3][0]);
    g_assert_cmpint(in.frame[2].result, ==, 0);
    stop();
}

static void test_bad_file(void)
{
    start();
    io_ring_readv(ring, (IoFile){ -1, -1 }, in.frame, 2);
    g_assert_cmpint(in.frame[0].result, ==, -EBADF);
    g_assert_cmpint(in.frame[1].result, ==, -EBADF);
    exchange(2);
    stop();
}

/* Finds the ring's own descriptor: a link to an anonymous io_uring file. */
static int ring_fd(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *e;
    int found = -1;

    g_assert_nonnull(dir);
    while ((e = readdir(dir))) {
        g_autofree char *path = g_strdup_printf("/proc/self/fd/%s", e->d_name);
        g_autofree char *link = g_file_read_link(path, NULL);

        if (link && strstr(link, "io_uring")) {
            found = atoi(e->d_name);
        }
    }
    closedir(dir);
    return found;
}

/* The kernel stops serving the ring: plain calls take over, nothing is lost. */
static void test_dead_ring(void)
{
    int victim = ring_fd();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int saved = dup(victim);

    g_assert_cmpint(victim, >=, 0);
    start();
    exchange(5);
    g_assert_cmpint(dup2(null, victim), ==, victim);
    exchange(5);
    g_assert_cmpint(dup2(saved, victim), ==, victim);
    exchange(5);
    io_ring_readv(ring, file[1], in.frame, 2);
    g_assert_cmpint(in.frame[0].result, ==, 0);
    close(null);
    close(saved);
    stop();
}

/* A file that was removed is closed for real, and its number may come again. */
static void test_file_goes(void)
{
    char c;

    known = true;
    for (unsigned i = 0; i < 200; i++) {
        start();
        exchange(3);
        io_ring_remove_file(ring, &file[0]);
        close(fd[0]);
        g_assert_cmpint(read(fd[1], &c, 1), ==, 0); /* hung up */
        fd[0] = dup(fd[1]);
        stop();
    }
}

/* More files than a ring takes: the others go by their number. */
static void test_many_files(void)
{
    IoFile many[100];
    unsigned without = 0;

    known = false;
    start();
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
        many[i] = io_ring_add_file(ring, fd[0]);
        without += many[i].slot < 0;
        io_ring_writev(ring, many[i], out.frame, 2);
        io_ring_readv(ring, file[1], in.frame, 2);
        g_assert_cmpint(in.frame[1].result, ==, SIZE);
    }
    g_assert_cmpuint(without, >, 0);
    g_assert_cmpuint(without, <, ARRAY_SIZE(many));
    for (unsigned i = 0; i < ARRAY_SIZE(many); i++) {
        io_ring_remove_file(ring, &many[i]);
    }
    stop();
}

static void run_both(const void *func)
{
    for (unsigned i = 0; i < 2; i++) {
        known = i == 1;
        ((void (*)(void))func)();
    }
}

/* Files that stay serve on, in the slots they had. */
static void test_forget(void)
{
    known = true;
    start();
    io_ring_forget(ring);
    exchange(5);
    for (unsigned i = 0; i < 3; i++) {
        int pipes[2];
        IoFile gone;

        g_assert_cmpint(pipe2(pipes, O_CLOEXEC), ==, 0);
        gone = io_ring_add_file(ring, pipes[0]);
        g_assert_cmpint(gone.slot, >=, 0);
        close(pipes[0]);
        /* Nobody may write into a pipe that nobody can read. */
        g_assert_cmpint(write(pipes[1], "x", 1), ==, 1);
        io_ring_remove_file(ring, &gone);
        io_ring_forget(ring);
        signal(SIGPIPE, SIG_IGN);
        g_assert_cmpint(write(pipes[1], "x", 1), ==, -1);
        g_assert_cmpint(errno, ==, EPIPE);
        close(pipes[1]);
        exchange(IO_RING_BURST);
    }
    stop();
    io_ring_forget(ring);
    io_ring_forget(NULL);
}

/* Where the kernel gives no new table, files are found by their numbers. In a
 * process of its own: limits do not rise again. */
static void test_forget_no_table(void)
{
    struct rlimit limit = { 20, 20 };
    IoFile more;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, 0);
        g_test_trap_assert_passed();
        return;
    }
    io_ring_free(ring);
    ring = io_ring_new(NULL);
    known = true;
    start();
    more = io_ring_add_file(ring, fd[0]);
    io_ring_remove_file(ring, &more);
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
    io_ring_forget(ring);
    g_assert_cmpint(io_ring_add_file(ring, fd[0]).slot, ==, -1);
    exchange(7);
    io_ring_forget(ring);
    exchange(IO_RING_BURST);
    stop();
}

int main(int argc, char **argv)
{
    Error *err = NULL;
    int r;

    g_test_init(&argc, &argv, NULL);
    ring = io_ring_new(&err);
    if (!ring) {
        printf("1..0 # SKIP %s\n", err->message);
        g_error_free(err);
        return 0;
    }
    g_test_add_data_func("/io-ring/order", test_order, run_both);
    g_test_add_data_func("/io-ring/batches", test_batches, run_both);
    g_test_add_data_func("/io-ring/nothing-there", test_nothing_there,
                         run_both);
    g_test_add_data_func("/io-ring/no-room", test_no_room, run_both);
    g_test_add_data_func("/io-ring/bad-frame", test_bad_frame, run_both);
    g_test_add_data_func("/io-ring/bad-file", test_bad_file, run_both);
    g_test_add_data_func("/io-ring/dead-ring", test_dead_ring, run_both);
    g_test_add_func("/io-ring/file-goes", test_file_goes);
    g_test_add_func("/io-ring/many-files", test_many_files);
    g_test_add_func("/io-ring/forget", test_forget);
    g_test_add_func("/io-ring/forget-without-a-table", test_forget_no_table);
    r = g_test_run();
    io_ring_free(ring);
    return r;
}
