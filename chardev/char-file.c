/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -chardev file: output to a file; input from none, or from another.
 * -chardev pipe: a named pipe for each direction, or one for both.
 */
#include "util/osdep.h"

#include <fcntl.h>

#include "chardev/char-internal.h"
#include "util/fd.h"
#include "util/fdset.h"

typedef struct FileChardev {
    Chardev parent;
    CharStream stream;
    int in_fd, out_fd;
} FileChardev;

/* The end of the input file is no hang-up: there is just no more to read. */
static void file_in_ended(CharStream *s)
{
}

static MAIN_THREAD bool file_open_one(Chardev *chr, const char *path, int flags,
                                      int *fd, Error **errp)
{
    *fd = fdset_open(path, flags | O_NONBLOCK | O_NOCTTY, 0666, errp);
    if (*fd < 0) {
        error_prepend(errp, "chardev '%s': ", chr->id);
    }
    return *fd >= 0;
}

static void file_start(FileChardev *f)
{
    f->stream = (CharStream){
        .chr = &f->parent,
        .in_fd = f->in_fd,
        .out_fd = f->out_fd,
        .hangup = file_in_ended,
    };
    char_stream_start(&f->stream);
    f->parent.open = true;
}

static MAIN_THREAD bool file_open(Chardev *chr, const ChardevBackend *backend,
                                  Error **errp)
{
    FileChardev *f = container_of(chr, FileChardev, parent);
    const ChardevFile *config = backend->u.file.data;
    bool append = config->has_append && config->append;

    f->in_fd = -1;
    f->out_fd = -1;
    if (config->in &&
        !file_open_one(chr, config->in, O_RDONLY, &f->in_fd, errp)) {
        return false;
    }
    if (!file_open_one(chr, config->out,
                       O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC),
                       &f->out_fd, errp)) {
        return false;
    }
    file_start(f);
    return true;
}

/* A pipe is opened for both directions, so that it does not matter whether
 * somebody has the other end open, and when. */
static MAIN_THREAD bool pipe_open(Chardev *chr, const ChardevBackend *backend,
                                  Error **errp)
{
    FileChardev *f = container_of(chr, FileChardev, parent);
    const char *path = backend->u.pipe.data->device;
    g_autofree char *in = g_strconcat(path, ".in", NULL);
    g_autofree char *out = g_strconcat(path, ".out", NULL);

    f->in_fd = -1;
    f->out_fd = -1;
    if (!file_open_one(chr, in, O_RDWR, &f->in_fd, NULL) ||
        !file_open_one(chr, out, O_RDWR, &f->out_fd, NULL)) {
        fd_close(&f->in_fd);
        if (!file_open_one(chr, path, O_RDWR, &f->in_fd, errp)) {
            return false;
        }
        f->out_fd = f->in_fd;
    }
    file_start(f);
    return true;
}

static void file_close(Chardev *chr)
{
    FileChardev *f = container_of(chr, FileChardev, parent);

    char_stream_stop(&f->stream);
    if (f->in_fd == f->out_fd) {
        f->in_fd = -1;
    }
    fd_close(&f->in_fd);
    fd_close(&f->out_fd);
}

static size_t file_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    return char_stream_write(&container_of(chr, FileChardev, parent)->stream,
                             buf, len);
}

static void file_accept_input(Chardev *chr, ChardevFrontend *fe)
{
    char_stream_accept_input(&container_of(chr, FileChardev, parent)->stream);
}

const ChardevClass chardev_class_file = {
    .instance_size = sizeof(FileChardev),
    .open = file_open,
    .close = file_close,
    .write = file_write,
    .accept_input = file_accept_input,
};

const ChardevClass chardev_class_pipe = {
    .instance_size = sizeof(FileChardev),
    .open = pipe_open,
    .close = file_close,
    .write = file_write,
    .accept_input = file_accept_input,
};
