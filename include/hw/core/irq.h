/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ISA interrupt lines and the ISA bus.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_CORE_IRQ_H
#define HW_CORE_IRQ_H

#include "hw/core/qdev.h"

#define TYPE_ISA_BUS    "ISA"
#define TYPE_ISA_DEVICE "isa-device"

typedef struct ISADevice {
    DeviceState dev;
} ISADevice;

/* Drives ISA interrupt @irq 0..15; the wired line is the level last set by
 * its one owner. Recorded for `info irq`. */
void isa_set_irq(unsigned irq, bool level) MAIN_THREAD;

/* Adds a line "IRQ: COUNT" for each interrupt that was ever raised, and its
 * level, for `info irq`. */
void isa_irq_info(GString *out) MAIN_THREAD;

#endif
