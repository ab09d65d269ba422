/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes of a stream socket to frames: those that a reader of the whole text
 * finds, whatever pieces it comes in. And frames to bytes, through a socket
 * that has little room: none is lost, cut or mixed with another.
 *
 * Input: a byte with the length of a write (0: all at once), a byte with the
 * number of frames that are sent, then what is received.
 *
 * Threads: one.
 */
#include <poll.h>
#include <sys/socket.h>

#include "net/bare.h"
#include "net/stream-internal.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "tests/fuzz/fuzz.h"
#include "util/endian.h"

#define HDR_LEN 12u
#define FRAME   (HDR_LEN + NET_FRAME_MAX)
#define TURNS   4096u

static uint8_t *frame;
static LoopTask ended;

static void no_task(void *opaque)
{
}

int LLVMFuzzerInitialize(int *argc, char ***argv) NO_THREAD_SAFETY
{
    g_assert_true(main_loop_init(NULL));
    loop_task_init(&ended, main_loop(), no_task, NULL);
    frame = g_malloc(FRAME);
    return 0;
}

/* The next frame of @text that a NIC takes. False: there is none. */
static bool next_frame(FuzzInput *text, FuzzInput *out)
{
    while (text->left >= 4) {
        uint32_t len =
            (uint32_t)load_be16(text->at) << 16 | load_be16(text->at + 2);

        if (len > NET_STREAM_FRAME_MAX || text->left - 4 < len) {
            return false;
        }
        *out = (FuzzInput){ text->at + 4, len };
        text->at += 4 + len;
        text->left -= 4 + len;
        if (net_frame_fits(len)) {
            return true;
        }
    }
    return false;
}

/* Takes what has come; each is the next one of @text. */
static void receive(NetStreamConn *conn, FuzzInput *text)
{
    struct iovec iov[] = { { frame, 100 }, { frame + 100, FRAME - 100 } };
    ssize_t r;

    while ((r = net_stream_conn_recv(conn, iov, 2, HDR_LEN)) != 0) {
        FuzzInput want;

        if (r > 0) {
            g_assert_true(next_frame(text, &want));
            g_assert_cmpmem(want.at, want.left, frame + HDR_LEN,
                            (size_t)r - HDR_LEN);
        } else {
            g_assert_true(r == -EMSGSIZE || r == -EPROTO);
        }
    }
}

static bool readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

/* Sends @n frames, each of its number, as a pair does: one that finds no room
 * waits for room_fd. The peer reads whenever nothing else goes on. */
static void transmit(NetStreamConn *conn, int peer, unsigned n)
{
    GByteArray *got = g_byte_array_new();
    struct iovec in = { frame, FRAME };
    FuzzInput text, out;
    uint8_t buf[4096];
    unsigned sent = 0, found = 0;
    bool full = false;
    ssize_t r = 1;

    for (unsigned i = 0; r > 0 && i < TURNS; i++) {
        struct iovec iov = { frame, HDR_LEN + 100 + 97 * sent };
        IoFrame f = { .iov = &iov, .n_iov = 1 };

        if (readable(conn->wake.fd)) {
            net_stream_conn_recv(conn, &in, 1, HDR_LEN);
        }
        event_loop_turn(ended.loop, 0);
        if (sent < n && (!full || readable(conn->wake.room_fd))) {
            memset(frame, (int)sent, iov.iov_len);
            net_stream_conn_send(conn, &f, 1, HDR_LEN);
            full = f.result == 0;
            sent += !full;
        } else {
            r = recv(peer, buf, sizeof(buf), 0);
            g_byte_array_append(got, buf, r > 0 ? (guint)r : 0);
        }
    }
    g_assert_cmpuint(sent, ==, n);
    text = (FuzzInput){ got->data, got->len };
    while (next_frame(&text, &out)) {
        g_assert_cmpuint(out.left, ==, 100 + 97 * found);
        g_assert_cmpuint(out.at[0], ==, found);
        g_assert_cmpuint(out.at[out.left - 1], ==, found);
        found++;
    }
    g_assert_cmpuint(found, ==, n);
    g_byte_array_unref(got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) NO_THREAD_SAFETY
{
    FuzzInput in = { data, len }, text, rest;
    NetStreamConn conn = { 0 };
    size_t piece = fuzz_u8(&in), frames = fuzz_u8(&in) % 64;
    int fds[2], small = 1;

    g_assert_true(net_stream_conn_init(&conn, &ended, NULL));
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                    ==, 0);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    g_assert_true(net_stream_conn_attach(&conn, fds[0], NULL));
    if (frames) {
        transmit(&conn, fds[1], frames);
    }
    text = in;
    for (piece = piece ? piece : in.left; in.left;) {
        size_t n = MIN(piece, in.left);

        if (send(fds[1], in.at, n, MSG_NOSIGNAL) < 0) {
            g_assert_true(conn.ended);
        }
        in.at += n;
        in.left -= n;
        receive(&conn, &text);
    }
    g_assert_true(conn.ended || !next_frame(&text, &rest));
    g_assert_cmpint(net_stream_conn_detach(&conn, NULL), ==, fds[0]);
    loop_task_cancel(&ended);
    net_stream_conn_free(&conn);
    close(fds[0]);
    close(fds[1]);
    return 0;
}
