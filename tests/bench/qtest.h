/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A qtest client whose commands may be sent without waiting for the answer: a
 * doorbell rung this way does not stop the ringer.
 *
 * Threads: one at a time.
 */
#ifndef BENCH_QTEST_H
#define BENCH_QTEST_H

#include "bench.h"

typedef struct Qtest {
    int fd;
    char buf[8192]; /* what came and was not read yet */
    size_t len;
    unsigned int pending; /* answers to come */
} Qtest;

/* Sends a command and returns the number in its answer, or 0. An error ends the
 * process. */
uint64_t qtest_cmd(Qtest *q, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void qtest_post(Qtest *q, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Takes the answers of what was posted that are there, or all of them. */
void qtest_drain(Qtest *q, bool wait);

/* PCI configuration mechanism #1, bus 0 */
uint32_t pci_read(Qtest *q, int devfn, int offset, int size);
void pci_write(Qtest *q, int devfn, int offset, int size, uint32_t value);

/* Guest memory and registers, little endian */
uint32_t mmio_read(Qtest *q, uint64_t addr, int size);
void mmio_write(Qtest *q, uint64_t addr, int size, uint32_t value);

#endif
