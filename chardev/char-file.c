/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -chardev file: output to a file; input from none, or from another. */
#include "util/osdep.h"

#include <fcntl.h>

#include "chardev/char-internal.h"
#include "util/fd.h"

typedef struct FileChardev {
    Chardev parent;
    CharStream stream;
    int in_fd, out_fd;
} FileChardev;

/* The end of the input file is no hang-up: there is just no more to read. */
static void file_in_ended(CharStream *s)
{
}

static bool file_open_one(Chardev *chr, const char *path, int flags, int *fd,
                          Error **errp)
{
    *fd = open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
    if (*fd < 0) {
        error_setg_errno(errp, errno, "chardev '%s': cannot open '%s'", chr->id,
                         path);
        return false;
    }
    return true;
}

static bool file_open(Chardev *chr, const ChardevBackend *backend, Error **errp)
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
    f->stream = (CharStream){
        .chr = chr,
        .in_fd = f->in_fd,
        .out_fd = f->out_fd,
        .hangup = file_in_ended,
    };
    char_stream_start(&f->stream);
    chr->open = true;
    return true;
}

static void file_close(Chardev *chr)
{
    FileChardev *f = container_of(chr, FileChardev, parent);

    char_stream_stop(&f->stream);
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
