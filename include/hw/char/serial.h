/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 16550A serial ports (National PC16550D data sheet) of an ISA machine:
 * COM1..COM4 at 0x3f8/IRQ 4, 0x2f8/3, 0x3e8/4, 0x2e8/3.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_CHAR_SERIAL_H
#define HW_CHAR_SERIAL_H

#include "chardev/char.h"
#include "hw/core/irq.h"

#define TYPE_ISA_SERIAL  "isa-serial"
#define SERIAL_MAX_PORTS 4

/* COM port @index (0..3) over @chr: what `-serial` makes. */
bool serial_isa_init(unsigned index, Chardev *chr, Error **errp) MAIN_THREAD;

/* True when COM port @index exists, by -serial or by -device isa-serial, at
 * its usual place: for the ACPI tables. */
bool serial_isa_present(unsigned index) MAIN_THREAD;

#endif
