/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

#include "qtest.h"

#define ANSWER_MS   10000
#define MAX_PENDING 16

/* Whether something was read. */
static bool qtest_fill(Qtest *q, bool wait)
{
    struct pollfd p = { q->fd, POLLIN, 0 };
    ssize_t r;

    if (poll(&p, 1, wait ? ANSWER_MS : 0) <= 0) {
        if (wait) {
            die("qtest: no answer in %d s", ANSWER_MS / 1000);
        }
        return false;
    }
    r = read(q->fd, q->buf + q->len, sizeof(q->buf) - q->len);
    if (r <= 0) {
        die("qtest: the program has closed the connection");
    }
    q->len += r;
    return true;
}

/* Takes a line into @line, cut to its size. */
static bool qtest_line(Qtest *q, char *line, size_t size)
{
    char *end = memchr(q->buf, '\n', q->len);
    size_t len = end ? (size_t)(end - q->buf) : 0;

    if (!end) {
        if (q->len == sizeof(q->buf)) {
            die("qtest: a line without end");
        }
        return false;
    }
    snprintf(line, size, "%.*s", (int)len, q->buf);
    q->len -= len + 1;
    memmove(q->buf, end + 1, q->len);
    return true;
}

/* The next answer; lines about interrupts are none. */
static bool qtest_answer(Qtest *q, char *line, size_t size, bool wait)
{
    for (;;) {
        while (!qtest_line(q, line, size)) {
            if (!qtest_fill(q, wait)) {
                return false;
            }
        }
        if (strncmp(line, "IRQ", 3) != 0) {
            return true;
        }
    }
}

void qtest_drain(Qtest *q, bool wait)
{
    char line[512];

    while (q->pending && qtest_answer(q, line, sizeof(line), wait)) {
        if (strncmp(line, "OK", 2) != 0) {
            die("qtest: %s", line);
        }
        q->pending--;
    }
}

static void qtest_send(Qtest *q, const char *fmt, va_list ap)
{
    char line[512];
    int len = vsnprintf(line, sizeof(line) - 1, fmt, ap);

    line[len++] = '\n';
    for (int sent = 0; sent < len;) {
        ssize_t r = write(q->fd, line + sent, len - sent);
        if (r <= 0 && errno != EINTR) {
            die("qtest: cannot send: %m");
        }
        sent += r > 0 ? r : 0;
    }
}

uint64_t qtest_cmd(Qtest *q, const char *fmt, ...)
{
    char line[512];
    va_list ap;

    qtest_drain(q, true);
    va_start(ap, fmt);
    qtest_send(q, fmt, ap);
    va_end(ap);
    qtest_answer(q, line, sizeof(line), true);
    if (strncmp(line, "OK", 2) != 0) {
        die("qtest: '%s' was answered with '%s'", fmt, line);
    }
    return line[2] ? strtoull(line + 3, NULL, 0) : 0;
}

void qtest_post(Qtest *q, const char *fmt, ...)
{
    va_list ap;

    qtest_drain(q, q->pending >= MAX_PENDING);
    va_start(ap, fmt);
    qtest_send(q, fmt, ap);
    va_end(ap);
    q->pending++;
}

/* ---- PCI configuration, memory ---- */

static char size_letter(int size)
{
    return size == 1 ? 'b' : size == 2 ? 'w' : 'l';
}

static void pci_select(Qtest *q, int devfn, int offset)
{
    qtest_cmd(q, "outl 0xcf8 0x%x", 1u << 31 | devfn << 8 | (offset & 0xfc));
}

uint32_t pci_read(Qtest *q, int devfn, int offset, int size)
{
    pci_select(q, devfn, offset);
    return qtest_cmd(q, "in%c 0x%x", size_letter(size), 0xcfc + (offset & 3));
}

void pci_write(Qtest *q, int devfn, int offset, int size, uint32_t value)
{
    pci_select(q, devfn, offset);
    qtest_cmd(q, "out%c 0x%x 0x%x", size_letter(size), 0xcfc + (offset & 3),
              value);
}

uint32_t mmio_read(Qtest *q, uint64_t addr, int size)
{
    return qtest_cmd(q, "read%c 0x%" PRIx64, size_letter(size), addr);
}

void mmio_write(Qtest *q, uint64_t addr, int size, uint32_t value)
{
    qtest_cmd(q, "write%c 0x%" PRIx64 " 0x%x", size_letter(size), addr, value);
}
