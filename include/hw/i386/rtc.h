/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Real-time clock and CMOS memory (MC146818A data sheet; registers as in a
 * PC/AT) at ports 0x70 and 0x71, interrupt 8.
 *
 * The clock is the one of `-rtc clock=` plus an offset that the guest changes
 * by setting the time; time and memory survive a machine reset.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_I386_RTC_H
#define HW_I386_RTC_H

#include "hw/core/irq.h"

#define TYPE_RTC "mc146818rtc"

/*
 * `-rtc`, kept for rtc_init(): @base is utc, localtime, or the date and time
 * to begin with, YYYY-MM-DD[THH:MM:SS]; @clock is host, or rt for a clock that
 * does not follow when the host's is set, or vm for the time that the machine
 * has run (system/vm-clock.h). NULL: utc, host. False and *errp on anything
 * else.
 */
bool rtc_configure(const char *base, const char *clock, Error **errp)
    MAIN_THREAD;

/* Makes the clock on the ISA bus; sizes of RAM below and above 4 GiB in bytes
 * and the number of vCPUs go to where a PC's firmware looks for them. */
bool rtc_init(uint64_t below_4g, uint64_t above_4g, unsigned cpus, Error **errp)
    MAIN_THREAD;

#endif
