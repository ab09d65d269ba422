/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -chardev pty: a new pseudo-terminal, for a terminal program to open.
 *
 * While nobody has the slave side open, the master reports a hang-up all the
 * time; so it is not watched then but looked at once a second, and before
 * output.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>

#include "chardev/char-internal.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/fd.h"

#define PTY_POLL_NS 1000000000LL

typedef struct PtyChardev {
    Chardev parent;
    CharStream stream;
    LoopTimer timer;
    int fd; /* the master */
} PtyChardev;

static void pty_hangup(CharStream *s);

/* Begins to exchange bytes if somebody has the slave side open. */
static void pty_look(void *opaque)
{
    PtyChardev *p = opaque;
    struct pollfd pfd = { .fd = p->fd, .events = POLLOUT };

    if (char_stream_started(&p->stream)) {
        return;
    }
    if (poll(&pfd, 1, 0) < 0 || (pfd.revents & POLLHUP)) {
        loop_timer_arm(&p->timer, clock_now_ns() + PTY_POLL_NS);
        return;
    }
    loop_timer_cancel(&p->timer);
    p->stream = (CharStream){
        .chr = &p->parent,
        .in_fd = p->fd,
        .out_fd = p->fd,
        .hangup = pty_hangup,
    };
    char_stream_start(&p->stream);
    chardev_be_event(&p->parent, CHARDEV_EVENT_OPENED);
}

static void pty_hangup(CharStream *s)
{
    PtyChardev *p = container_of(s, PtyChardev, stream);

    char_stream_stop(s);
    loop_timer_arm(&p->timer, clock_now_ns() + PTY_POLL_NS);
    chardev_be_event(&p->parent, CHARDEV_EVENT_CLOSED);
    chardev_be_writable(&p->parent);
}

/* The slave's line must not edit or echo what passes. */
static bool pty_make_raw(PtyChardev *p, const char *path, Error **errp)
{
    int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios mode;
    bool ok = slave >= 0 && tcgetattr(slave, &mode) == 0;

    if (ok) {
        cfmakeraw(&mode);
        ok = tcsetattr(slave, TCSAFLUSH, &mode) == 0;
    }
    if (!ok) {
        error_setg_errno(errp, errno, "chardev '%s': cannot set up '%s'",
                         p->parent.id, path);
    }
    fd_close(&slave);
    return ok;
}

static bool pty_open(Chardev *chr, const ChardevBackend *backend, Error **errp)
{
    PtyChardev *p = container_of(chr, PtyChardev, parent);
    char path[64];

    loop_timer_init(&p->timer, main_loop(), pty_look, p);
    p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->fd < 0 || grantpt(p->fd) < 0 || unlockpt(p->fd) < 0 ||
        ptsname_r(p->fd, path, sizeof(path)) != 0) {
        error_setg_errno(errp, errno,
                         "chardev '%s': cannot create a pseudo-terminal",
                         chr->id);
        return false;
    }
    if (!fd_set_nonblock(p->fd, true, errp) || !pty_make_raw(p, path, errp)) {
        return false;
    }
    chardev_set_filename(chr, "pty:%s", path);
    loop_timer_arm(&p->timer, clock_now_ns() + PTY_POLL_NS);
    return true;
}

static void pty_close(Chardev *chr)
{
    PtyChardev *p = container_of(chr, PtyChardev, parent);

    loop_timer_cancel(&p->timer);
    char_stream_stop(&p->stream);
    fd_close(&p->fd);
}

static size_t pty_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    PtyChardev *p = container_of(chr, PtyChardev, parent);

    pty_look(p);
    return char_stream_write(&p->stream, buf, len);
}

static void pty_accept_input(Chardev *chr, ChardevFrontend *fe)
{
    char_stream_accept_input(&container_of(chr, PtyChardev, parent)->stream);
}

const ChardevClass chardev_class_pty = {
    .instance_size = sizeof(PtyChardev),
    .open = pty_open,
    .close = pty_close,
    .write = pty_write,
    .accept_input = pty_accept_input,
};

const char *chardev_pty_path(const Chardev *chr)
{
    return chr->klass == &chardev_class_pty ? chr->filename + strlen("pty:")
                                            : NULL;
}
