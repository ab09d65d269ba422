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
 *   irq_intercept_in PATH            irq_intercept_out PATH [NAME]
 *   set_irq_in PATH NAME LINE LEVEL
 *
 * PATH is a QOM path, whole or partial. The inputs of "ioapic" (24 lines) and
 * the outputs "isa-irqs" of a PIIX3 (16) can be intercepted: "IRQ raise N" and
 * "IRQ lower N" then come, before the answer of the command that caused them,
 * whenever one of these changes. NAME is "unnamed-gpio-in" for inputs without
 * a name.
 *
 * The machine's clock (system/vm-clock.h) stands still but for clock_step and
 * clock_set, which run the timers on the way and answer the time in decimal;
 * clock_step without NS goes to the next timer. Interrupts and the clock are
 * the test's under `-accel qtest` only.
 *
 * A line is at most 4 MiB and some; a command moves at most 2 MiB of RAM. What
 * is no command, or too much, is answered with FAIL.
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
