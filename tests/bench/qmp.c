/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "qmp.h"

#define ANSWER_MS 30000

/* The next line, without its end, until the next call. */
static char *qmp_line(Qmp *q, size_t *used)
{
    char *end;

    memmove(q->buf, q->buf + *used, q->len - *used);
    q->len -= *used;
    while (!(end = memchr(q->buf, '\n', q->len))) {
        struct pollfd p = { q->fd, POLLIN, 0 };
        ssize_t n = -1;
        if (poll(&p, 1, ANSWER_MS) > 0) {
            n = read(q->fd, q->buf + q->len, sizeof(q->buf) - q->len);
        }
        if (n <= 0) {
            die("QMP: no answer");
        }
        q->len += n;
    }
    *end = 0;
    *used = end + 1 - q->buf;
    return q->buf;
}

static void qmp_send(Qmp *q, const char *text, size_t len)
{
    while (len) {
        ssize_t n = send(q->fd, text, len, MSG_NOSIGNAL);
        if (n < 0) {
            die("QMP: %m");
        }
        text += n;
        len -= n;
    }
}

/* Reads lines until an answer. Events have a "data" that could hold any key,
 * and begin, as do all lines, with the key that says what they are or with
 * "timestamp". */
static void qmp_answer(Qmp *q)
{
    size_t used = 0;
    const char *line;

    do {
        line = qmp_line(q, &used);
        if (strstr(line, "\"error\": {") && !strstr(line, "\"event\": ")) {
            die("QMP: %s", line);
        }
    } while (!strstr(line, "\"return\": ") || strstr(line, "\"event\": "));
    memmove(q->buf, q->buf + used, q->len - used);
    q->len -= used;
}

void qmp_cmd(Qmp *q, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(text, sizeof(text) - 1, fmt, ap);
    va_end(ap);
    if (len >= (int)sizeof(text) - 1) {
        die("QMP command too long");
    }
    text[len++] = '\n';
    qmp_send(q, text, len);
    qmp_answer(q);
}

void qmp_open(Qmp *q, const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    size_t used = 0;

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    q->len = 0;
    q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (q->fd < 0 ||
        connect(q->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        die("%s: %m", path);
    }
    qmp_line(q, &used); /* the greeting */
    memmove(q->buf, q->buf + used, q->len - used);
    q->len -= used;
    qmp_cmd(q, "{\"execute\": \"qmp_capabilities\"}");
}

void qmp_close(Qmp *q)
{
    close(q->fd);
}
