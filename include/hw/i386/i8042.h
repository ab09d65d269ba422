/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keyboard controller (Intel 8042 as in the PC/AT and PS/2) at ports 0x60 and
 * 0x64 with nothing plugged in, port 0x92 (fast A20 and reset) and port 0x61
 * (timer 2 gate, speaker, refresh toggle; in the kernel under KVM).
 *
 * Threads: under the machine lock.
 */
#ifndef HW_I386_I8042_H
#define HW_I386_I8042_H

#include "hw/core/irq.h"

#define TYPE_I8042 "i8042"

/* Makes the controller on the ISA bus. */
bool i8042_init(Error **errp) MAIN_THREAD;

#endif
