/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The qtest protocol: a test process drives the devices over a Chardev, a line
 * a command, a line an answer ("OK", "OK VALUE", "FAIL reason"):
 *
 *   inb|inw|inl PORT                 outb|outw|outl PORT VALUE
 *   readb|readw|readl|readq ADDR     writeb|writew|writel|writeq ADDR VALUE
 *   read ADDR SIZE                   write ADDR SIZE 0xHEX
 *   b64read ADDR SIZE                b64write ADDR SIZE BASE64
 *   memset ADDR SIZE BYTE            endianness
 *   clock_step [NS]                  clock_set NS
 *   irq_intercept_in ioapic          set_irq_in ioapic NAME LINE LEVEL
 *
 * After irq_intercept_in, "IRQ raise N" and "IRQ lower N" come whenever one of
 * the 24 interrupt lines changes (under `-accel qtest`). Time is real: a
 * clock_step is answered when that much of it has passed, timers included.
 *
 * Threads: under the machine lock, in the main loop.
 */
#ifndef ACCEL_QTEST_H
#define ACCEL_QTEST_H

#include "chardev/char.h"
#include "util/error.h"

/*
 * Serves the protocol on @chr for the rest of the process (`-qtest`). @log
 * (`-qtest-log`) is a file for all lines, "none", or NULL for stderr. False
 * when @chr is taken, the file cannot be written or there is a server already.
 */
bool qtest_server_init(Chardev *chr, const char *log, Error **errp) MAIN_THREAD;

/* Detaches and frees; nothing without a server. */
void qtest_server_cleanup(void) MAIN_THREAD;

#endif
