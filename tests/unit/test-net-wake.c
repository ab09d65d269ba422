/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a pair waits for at back-ends that are not one plain file. */
#include "util/osdep.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "net/wake.h"
#include "util/fd.h"

static bool readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static void assert_wakes(const NetWake *wake, bool frames, bool room)
{
    g_assert_cmpint(readable(wake->fd), ==, frames);
    g_assert_cmpint(readable(wake->room_fd), ==, room);
}

static void test_signals(void)
{
    NetWake wake;

    g_assert_true(net_wake_init(&wake, NULL));
    assert_wakes(&wake, false, false);
    net_wake_frames(&wake);
    net_wake_frames(&wake);
    assert_wakes(&wake, true, false);
    net_wake_frames_clear(&wake);
    net_wake_room(&wake);
    assert_wakes(&wake, false, true);
    net_wake_room_clear(&wake);
    assert_wakes(&wake, false, false);
    net_wake_free(&wake);
    g_assert_cmpint(wake.fd, ==, -1);
}

/* A connection comes, has data, ends and goes; then another one. */
static void test_files(void)
{
    Error *err = NULL;
    NetWake wake;
    int sock[2], file;

    g_assert_true(net_wake_init(&wake, NULL));
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), ==, 0);
        g_assert_true(net_wake_attach(&wake, sock[0], NULL));
        assert_wakes(&wake, false, true);
        g_assert_cmpint(send(sock[1], "x", 1, 0), ==, 1);
        assert_wakes(&wake, true, true);
        g_assert_cmpint(recv(sock[0], &(char){ 0 }, 1, 0), ==, 1);
        assert_wakes(&wake, false, true);
        close(sock[1]);
        assert_wakes(&wake, true, true);
        net_wake_detach(&wake, sock[0]);
        assert_wakes(&wake, false, false);
        close(sock[0]);
    }
    file = memfd_create("regular", MFD_CLOEXEC);
    g_assert_false(net_wake_attach(&wake, file, &err));
    g_assert_nonnull(strstr(err->message, "cannot wait for file descriptor"));
    g_error_free(err);
    close(file);
    net_wake_free(&wake);
}

static bool put(NetFrameQueue *queue, const char *text, size_t skip)
{
    struct iovec iov[2] = { { (void *)text, 1 },
                            { (void *)(text + 1), strlen(text) - 1 } };

    return net_frame_queue_put(queue, iov, 2, skip);
}

static void assert_get(NetFrameQueue *queue, const char *want, size_t skip)
{
    char buf[8] = "hhhhhhh";
    struct iovec iov[2] = { { buf, 3 }, { buf + 3, 4 } };
    g_autofree char *text = g_strdup_printf("%.*s%s", (int)skip, "hh", want);

    g_assert_cmpint(net_frame_queue_get(queue, iov, 2, skip), ==, strlen(want));
    g_assert_cmpmem(buf, MIN(strlen(text), 7), text, MIN(strlen(text), 7));
}

static void test_queue(void)
{
    NetFrameQueue *queue;
    NetWake wake, room;

    g_assert_true(net_wake_init(&wake, NULL));
    g_assert_true(net_wake_init(&room, NULL));
    queue = net_frame_queue_new(3, 12, &wake, &room);
    assert_get(queue, "", 0);
    g_assert_false(put(queue, "hh", 2));
    g_assert_true(put(queue, "hhabc", 2));
    g_assert_true(put(queue, "defgh", 0));
    assert_wakes(&wake, true, false);
    g_assert_false(put(queue, "12345", 0)); /* too many bytes */
    g_assert_true(put(queue, "1234", 0));
    g_assert_false(put(queue, "x", 0)); /* too many frames */
    g_assert_cmpuint(net_frame_queue_length(queue), ==, 3);
    assert_wakes(&room, false, false);
    assert_get(queue, "abc", 2);
    assert_wakes(&room, false, true);
    net_wake_room_clear(&room);
    assert_get(queue, "defgh", 0);
    assert_wakes(&room, false, false); /* nobody was refused since */
    assert_wakes(&wake, true, false);
    assert_get(queue, "1234", 0);
    assert_wakes(&wake, false, false);
    g_assert_true(put(queue, "ab", 0));
    g_assert_true(put(queue, "cd", 0));
    g_assert_cmpuint(net_frame_queue_clear(queue), ==, 2);
    assert_wakes(&wake, false, false);
    g_assert_true(put(queue, "left", 0));
    net_frame_queue_free(queue);
    net_wake_free(&wake);
    net_wake_free(&room);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/net-wake/signals", test_signals);
    g_test_add_func("/net-wake/files", test_files);
    g_test_add_func("/net-wake/frame-queue", test_queue);
    return g_test_run();
}
