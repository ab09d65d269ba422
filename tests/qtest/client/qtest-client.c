/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two sockets, a child process, and PCI by its ports. */
#include "qtest-client.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define WAIT_MS 20000

/* Whose sockets have names, from their making until both are connected. */
static struct {
    char dir[64], qtest[96], qmp[96];
} names;

static void names_remove(void)
{
    unlink(names.qtest);
    unlink(names.qmp);
    rmdir(names.dir);
    names.dir[0] = '\0';
}

void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    if (names.dir[0]) {
        names_remove();
    }
    exit(1);
}

/* ---- sockets ---- */

static int listen_at(const char *path)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0 && strlen(path) < sizeof(addr.sun_path));
    strcpy(addr.sun_path, path);
    CHECK(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    CHECK(listen(fd, 1) == 0);
    return fd;
}

static void wait_readable(int fd, const char *what)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    if (poll(&p, 1, WAIT_MS) != 1) {
        die("waited in vain for %s", what);
    }
}

static void accept_one(Line *line, int listener, const char *what)
{
    wait_readable(listener, what);
    *line = (Line){ .fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC) };
    CHECK(line->fd >= 0);
    close(listener);
}

static void line_send(Line *line, const char *text, size_t len)
{
    while (len) {
        ssize_t n = send(line->fd, text, len, MSG_NOSIGNAL);

        CHECK(n > 0);
        text += n;
        len -= (size_t)n;
    }
}

/* The next line, without its end; valid until the next call. */
static char *line_read(Line *line, const char *what)
{
    static char *last;
    char *end;
    size_t n;

    free(last);
    last = NULL;
    while (!line->len || !(end = memchr(line->buf, '\n', line->len))) {
        ssize_t got;

        if (line->size - line->len < 65536) {
            line->size = line->len + 65536;
            line->buf = realloc(line->buf, line->size);
            CHECK(line->buf);
        }
        wait_readable(line->fd, what);
        got = read(line->fd, line->buf + line->len, line->size - line->len);
        if (got <= 0) {
            die("connection closed while waiting for %s", what);
        }
        line->len += (size_t)got;
    }
    n = (size_t)(end - line->buf) + 1;
    last = strndup(line->buf, n - 1);
    CHECK(last);
    memmove(line->buf, line->buf + n, line->len - n);
    line->len -= n;
    return last;
}

/* ---- the process ---- */

void machine_start(Machine *m, const char *program, const char *args)
{
    char dir[] = "/tmp/qtest-client-XXXXXX", *command;
    int qtest_fd, qmp_fd;

    *m = (Machine){ 0 };
    CHECK(mkdtemp(dir));
    strcpy(names.dir, dir);
    snprintf(names.qtest, sizeof(names.qtest), "%s/t.sock", dir);
    snprintf(names.qmp, sizeof(names.qmp), "%s/t.qmp", dir);
    qtest_fd = listen_at(names.qtest);
    qmp_fd = listen_at(names.qmp);
    CHECK(asprintf(&command,
                   "exec %s -qtest unix:%s -qtest-log /dev/null "
                   "-chardev socket,path=%s,id=char0 "
                   "-mon chardev=char0,mode=control "
                   "-display none -audio none %s -accel qtest",
                   program, names.qtest, names.qmp, args) > 0);
    m->pid = fork();
    CHECK(m->pid >= 0);
    if (m->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    free(command);
    accept_one(&m->qtest, qtest_fd, "the qtest connection");
    accept_one(&m->qmp, qmp_fd, "the QMP connection");
    names_remove();

    CHECK(strstr(line_read(&m->qmp, "the QMP greeting"), "\"QMP\""));
    CHECK(!strcmp(qtest_cmd(m, "endianness"), "little"));
    qmp_cmd(m, "{ 'execute': 'qmp_capabilities' }");
}

void machine_end(Machine *m)
{
    int status;

    CHECK(kill(m->pid, SIGTERM) == 0);
    CHECK(waitpid(m->pid, &status, 0) == m->pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        die("the emulator ended with wait status %#x", status);
    }
    close(m->qtest.fd);
    close(m->qmp.fd);
    free(m->qtest.buf);
    free(m->qmp.buf);
}

/* ---- qtest ---- */

static const char *qtest_answer(Machine *m)
{
    for (;;) {
        char *line = line_read(&m->qtest, "an answer");
        char verb[8];
        int irq;

        if (sscanf(line, "IRQ %7s %d", verb, &irq) == 2) {
            CHECK(irq >= 0 && irq < IRQ_LINES);
            m->irq[irq] = !strcmp(verb, "raise");
            continue;
        }
        return line;
    }
}

static const char *qtest_ask(Machine *m, const char *fmt, va_list ap,
                             char *shown, size_t size)
{
    char *text;
    int len = vasprintf(&text, fmt, ap);

    CHECK(len > 0);
    snprintf(shown, size, "%s", text);
    text[len] = '\n';
    line_send(&m->qtest, text, (size_t)len + 1);
    free(text);
    return qtest_answer(m);
}

static const char *qtest_vcmd(Machine *m, const char *fmt, va_list ap)
{
    char shown[80];
    const char *answer = qtest_ask(m, fmt, ap, shown, sizeof(shown));

    if (strncmp(answer, "OK", 2) || (answer[2] && answer[2] != ' ')) {
        die("%s: %s", shown, answer);
    }
    return answer + 2 + (answer[2] == ' ');
}

const char *qtest_cmd(Machine *m, const char *fmt, ...)
{
    va_list ap;
    const char *answer;

    va_start(ap, fmt);
    answer = qtest_vcmd(m, fmt, ap);
    va_end(ap);
    return answer;
}

void qtest_fails(Machine *m, const char *fmt, ...)
{
    char shown[80];
    va_list ap;
    const char *answer;

    va_start(ap, fmt);
    answer = qtest_ask(m, fmt, ap, shown, sizeof(shown));
    va_end(ap);
    if (strncmp(answer, "FAIL", 4)) {
        die("%s: %s", shown, answer);
    }
}

uint64_t qtest_value(Machine *m, const char *fmt, ...)
{
    va_list ap;
    const char *answer;
    char *end;
    uint64_t value;

    va_start(ap, fmt);
    answer = qtest_vcmd(m, fmt, ap);
    va_end(ap);
    CHECK(*answer);
    value = strtoull(answer, &end, 0);
    CHECK(!*end);
    return value;
}

void qtest_memwrite(Machine *m, uint64_t addr, const void *data, size_t len)
{
    char *hex = malloc(2 * len + 1);

    CHECK(hex);
    for (size_t i = 0; i < len; i++) {
        sprintf(hex + 2 * i, "%02x", ((const uint8_t *)data)[i]);
    }
    qtest_cmd(m, "write 0x%llx 0x%zx 0x%s", (unsigned long long)addr, len, hex);
    free(hex);
}

void qtest_memread(Machine *m, uint64_t addr, void *data, size_t len)
{
    const char *hex =
        qtest_cmd(m, "read 0x%llx 0x%zx", (unsigned long long)addr, len);

    CHECK(!strncmp(hex, "0x", 2) && strlen(hex) == 2 + 2 * len);
    for (size_t i = 0; i < len; i++) {
        unsigned byte;

        CHECK(sscanf(hex + 2 + 2 * i, "%2x", &byte) == 1);
        ((uint8_t *)data)[i] = (uint8_t)byte;
    }
}

/* ---- QMP ---- */

const char *qmp_cmd(Machine *m, const char *json)
{
    const char *line;

    line_send(&m->qmp, json, strlen(json));
    while (strstr(line = line_read(&m->qmp, json), "\"event\":")) {
        strncat(m->events, line, sizeof(m->events) - strlen(m->events) - 1);
    }
    if (!strstr(line, "\"return\":")) {
        die("%s: %s", json, line);
    }
    return line;
}

void qmp_event(Machine *m, const char *name)
{
    char quoted[64];

    snprintf(quoted, sizeof(quoted), "\"%s\"", name);
    if (!strstr(m->events, quoted)) {
        while (!strstr(line_read(&m->qmp, name), quoted)) {
        }
    }
    m->events[0] = '\0';
}

/* ---- PCI ---- */

static void pci_select(Machine *m, unsigned devfn, unsigned offset)
{
    qtest_cmd(m, "outl 0xcf8 0x%x", 0x80000000u | devfn << 8 | (offset & ~3u));
}

uint32_t pci_read(Machine *m, unsigned devfn, unsigned offset, unsigned size)
{
    pci_select(m, devfn, offset);
    return (uint32_t)qtest_value(m, "in%c 0x%x", "?bw?l"[size],
                                 0xcfc + (offset & 3));
}

void pci_write(Machine *m, unsigned devfn, unsigned offset, unsigned size,
               uint32_t value)
{
    pci_select(m, devfn, offset);
    qtest_cmd(m, "out%c 0x%x 0x%x", "?bw?l"[size], 0xcfc + (offset & 3), value);
}

int pci_find(Machine *m, uint16_t vendor, uint16_t device)
{
    for (unsigned devfn = 0; devfn < 256; devfn++) {
        if (pci_read(m, devfn, 0, 4) == ((uint32_t)device << 16 | vendor)) {
            return (int)devfn;
        }
    }
    return -1;
}

uint64_t pci_place_bar(Machine *m, unsigned devfn, unsigned bar, uint64_t addr)
{
    unsigned reg = 0x10 + 4 * bar;
    uint32_t low;
    bool wide;

    pci_write(m, devfn, reg, 4, 0xffffffff);
    low = pci_read(m, devfn, reg, 4);
    if (!low) {
        return 0;
    }
    wide = (low & 7) == 4;
    pci_write(m, devfn, reg, 4, (uint32_t)addr);
    if (wide) {
        pci_write(m, devfn, reg + 4, 4, (uint32_t)(addr >> 32));
    }
    low &= low & 1 ? ~3u : ~15u;
    return (uint64_t)(~low) + 1;
}

unsigned pci_capability(Machine *m, unsigned devfn, uint8_t id, unsigned after)
{
    unsigned at = pci_read(m, devfn, after ? after + 1 : 0x34, 1);

    for (unsigned i = 0; at && i < 48; i++) {
        if (pci_read(m, devfn, at, 1) == id) {
            return at;
        }
        at = pci_read(m, devfn, at + 1, 1);
    }
    return 0;
}
