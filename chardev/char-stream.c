/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bytes between file descriptors and a Chardev.
 *
 * Input is read only while the front-end has room. Meanwhile the fd is watched
 * for a hang-up alone; bytes that came before it are still read later.
 */
#include "util/osdep.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include "chardev/char-internal.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"

#define READ_MAX 4096

static void end_input(CharStream *s)
{
    s->in_ended = true;
    fd_watch_stop(&s->in_watch);
    s->hangup(s);
}

/* The front-end has no room, and the watch reports a hang-up or an error. */
static void hangup_without_room(CharStream *s)
{
    int waiting = 0;

    if (ioctl(s->in_fd, FIONREAD, &waiting) == 0 && waiting > 0) {
        /* There is input first; char_stream_accept_input() goes on. */
        fd_watch_stop(&s->in_watch);
        if (s->peer_gone) {
            s->peer_gone(s);
        }
    } else {
        end_input(s);
    }
}

static void stream_in(void *opaque, uint32_t events)
{
    CharStream *s = opaque;
    size_t room = chardev_be_can_read(s->chr);
    uint8_t buf[READ_MAX];
    ssize_t n;

    if (room == 0) {
        if (events & (LOOP_HUP | LOOP_ERR)) {
            hangup_without_room(s);
        } else {
            fd_watch_set_events(&s->in_watch, 0);
        }
        return;
    }
    if (s->recv) {
        n = s->recv(s, buf, MIN(room, sizeof(buf)));
    } else {
        n = read(s->in_fd, buf, MIN(room, sizeof(buf)));
        n = n < 0 ? -errno : n;
    }
    if (n > 0) {
        chardev_be_read(s->chr, buf, (size_t)n);
    } else if (n != -EAGAIN && n != -EINTR) {
        end_input(s);
    }
}

void char_stream_accept_input(CharStream *s)
{
    uint32_t events;

    if (!s->chr || s->in_fd < 0 || s->in_ended) {
        return;
    }
    events = chardev_be_can_read(s->chr) ? LOOP_IN : 0;
    if (s->in_watch.loop) {
        fd_watch_set_events(&s->in_watch, events);
    } else if (events) {
        fd_watch_start(&s->in_watch, main_loop(), s->in_fd, events, stream_in,
                       s);
    }
}

/* Writes what it can without waiting. Result of write(2) or -errno. */
static ssize_t write_now(CharStream *s, const uint8_t *buf, size_t len)
{
    ssize_t n;

    do {
        n = send(s->out_fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == ENOTSOCK) {
            n = write(s->out_fd, buf, len);
        }
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* @error happened: what waits is dropped; unless the disk is just full, what
 * follows is, too. */
static void drop_output(CharStream *s, ssize_t error)
{
    fd_watch_stop(&s->out_watch);
    s->out_len = 0;
    s->out_pos = 0;
    if (error != -ENOSPC && error != -EDQUOT) {
        s->out_fd = -1;
    }
}

/* Writes waiting bytes until the peer has no room. */
static void flush_output(CharStream *s)
{
    while (s->out_len > 0) {
        ssize_t n = write_now(s, s->out + s->out_pos, s->out_len);

        if (n == -EAGAIN) {
            return;
        }
        if (n <= 0) {
            drop_output(s, n);
            return;
        }
        s->out_pos += (size_t)n;
        s->out_len -= (size_t)n;
    }
    s->out_pos = 0;
}

static void stream_out(void *opaque, uint32_t events)
{
    CharStream *s = opaque;

    flush_output(s);
    if (s->out_len == 0) {
        fd_watch_stop(&s->out_watch);
    }
    if (s->out_len < CHARDEV_OUT_MAX) {
        chardev_be_writable(s->chr);
    }
}

/* Keeps at most CHARDEV_OUT_MAX bytes; returns how many fitted. */
static size_t queue_output(CharStream *s, const uint8_t *buf, size_t len)
{
    if (!s->out) {
        s->out = g_malloc(CHARDEV_OUT_MAX);
    }
    len = MIN(len, CHARDEV_OUT_MAX - s->out_len);
    if (s->out_pos + s->out_len + len > CHARDEV_OUT_MAX) {
        memmove(s->out, s->out + s->out_pos, s->out_len);
        s->out_pos = 0;
    }
    memcpy(s->out + s->out_pos + s->out_len, buf, len);
    s->out_len += len;
    if (!s->out_watch.loop) {
        fd_watch_start(&s->out_watch, main_loop(), s->out_fd, LOOP_OUT,
                       stream_out, s);
    }
    return len;
}

size_t char_stream_write(CharStream *s, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    if (!s->chr || s->out_fd < 0) {
        return len;
    }
    while (s->out_len == 0 && done < len) {
        ssize_t n = write_now(s, buf + done, len - done);

        if (n == -EAGAIN) {
            break;
        }
        if (n <= 0) {
            drop_output(s, n);
            return len;
        }
        done += (size_t)n;
    }
    if (done < len) {
        done += queue_output(s, buf + done, len - done);
    }
    return done;
}

void char_stream_start(CharStream *s)
{
    s->in_watch.name = "chardev-in";
    s->out_watch.name = "chardev-out";
    if (s->in_fd >= 0) {
        fd_watch_start(&s->in_watch, main_loop(), s->in_fd,
                       chardev_be_can_read(s->chr) ? LOOP_IN : 0, stream_in, s);
    }
}

bool char_stream_started(const CharStream *s)
{
    return s->chr != NULL;
}

void char_stream_stop(CharStream *s)
{
    if (!s->chr) {
        return;
    }
    if (s->out_fd >= 0) {
        flush_output(s);
    }
    fd_watch_stop(&s->in_watch);
    fd_watch_stop(&s->out_watch);
    g_free(s->out);
    *s = (CharStream){ .in_fd = -1, .out_fd = -1 };
}
