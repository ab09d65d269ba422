/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Eventfds that somebody else has, too, and did his worst to. */
#include "util/osdep.h"

#include <fcntl.h>
#include <unistd.h>

#include "util/fd.h"

#define FULL (UINT64_MAX - 1)

static uint64_t count_of(int fd)
{
    uint64_t count = 0;

    g_assert_true(fd_set_nonblock(fd, true, NULL));
    return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void test_adds_one(void)
{
    int fd = eventfd_new(NULL);

    for (unsigned i = 0; i < 1000; i++) {
        eventfd_signal_shared(fd);
    }
    g_assert_cmpuint(count_of(fd), ==, 1000);
    close(fd);
}

/* This would wait for ever. */
static void test_full(void)
{
    const uint64_t full = FULL;
    int fd = eventfd_new(NULL);

    g_assert_cmpint(write(fd, &full, sizeof(full)), ==, sizeof(full));
    g_assert_true(fd_set_nonblock(fd, false, NULL));
    for (unsigned i = 0; i < 3; i++) {
        eventfd_signal_shared(fd);
    }
    g_assert_cmpuint(count_of(fd), >=, FULL);
    g_assert_true(fd_set_nonblock(fd, false, NULL));
    g_assert_false(eventfd_clear(fd));
    eventfd_signal_shared(fd);
    g_assert_true(eventfd_clear(fd));
    close(fd);
}

#define THREADS 4u
#define SIGNALS 2000u

static void *signal_often(void *opaque)
{
    for (unsigned i = 0; i < SIGNALS; i++) {
        eventfd_signal_shared(*(int *)opaque);
    }
    return NULL;
}

static void test_threads(void)
{
    GThread *thread[THREADS];
    int fd = eventfd_new(NULL);

    for (unsigned i = 0; i < THREADS; i++) {
        thread[i] = g_thread_new("signal", signal_often, &fd);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(thread[i]);
    }
    g_assert_cmpuint(count_of(fd), ==, THREADS * SIGNALS);
    close(fd);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/eventfd/shared/adds-one", test_adds_one);
    g_test_add_func("/eventfd/shared/full-and-blocking", test_full);
    g_test_add_func("/eventfd/shared/threads", test_threads);
    return g_test_run();
}
