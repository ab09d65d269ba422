/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A client of an emulator's qtest and QMP sockets, in the C library's terms
 * only: it starts the program it is given with the options that such clients
 * usually pass, and knows the two protocols but not who speaks them.
 *
 * Whatever goes wrong ends the process with status 1 and a line on stderr.
 *
 * Threads: one.
 */
#ifndef QTEST_CLIENT_H
#define QTEST_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define IRQ_LINES 24

typedef struct Line {
    int fd;
    char *buf; /* what came and was not read yet */
    size_t len, size;
} Line;

typedef struct Machine {
    pid_t pid;
    Line qtest, qmp;
    bool irq[IRQ_LINES]; /* levels, as far as they were told */
    char events[4096];   /* QMP's that came before an answer */
} Machine;

/* A message as of printf, then exit status 1. */
__attribute__((format(printf, 1, 2), noreturn)) void die(const char *fmt, ...);
#define CHECK(cond)                                              \
    do {                                                         \
        if (!(cond)) {                                           \
            die("%s:%d: not so: %s", __FILE__, __LINE__, #cond); \
        }                                                        \
    } while (0)

/* Starts `PROGRAM ARGS` and shakes hands on both sockets. */
void machine_start(Machine *m, const char *program, const char *args);
/* Ends it as a client does, by SIGTERM; it has to exit with status 0. */
void machine_end(Machine *m);

/* Sends one command; the words after OK (static). */
const char *qtest_cmd(Machine *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for a command that has to FAIL. */
void qtest_fails(Machine *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
uint64_t qtest_value(Machine *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void qtest_memwrite(Machine *m, uint64_t addr, const void *data, size_t len);
void qtest_memread(Machine *m, uint64_t addr, void *data, size_t len);

/* Sends a QMP command; the line of its answer (static), which has "return".
 * Events that come before are kept for qmp_event(). */
const char *qmp_cmd(Machine *m, const char *json);
/* Waits for the event, and forgets those before it. */
void qmp_event(Machine *m, const char *name);

/* PCI configuration mechanism #1, bus 0. */
uint32_t pci_read(Machine *m, unsigned devfn, unsigned offset, unsigned size);
void pci_write(Machine *m, unsigned devfn, unsigned offset, unsigned size,
               uint32_t value);
/* The first function with these ids, or -1. */
int pci_find(Machine *m, uint16_t vendor, uint16_t device);
/* Gives BAR @bar an address; the size (0: no such BAR). */
uint64_t pci_place_bar(Machine *m, unsigned devfn, unsigned bar, uint64_t addr);
/* Offset of the next capability @id after @after (0: the first), or 0. */
unsigned pci_capability(Machine *m, unsigned devfn, uint8_t id, unsigned after);

#endif
