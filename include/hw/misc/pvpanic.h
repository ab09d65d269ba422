/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pvpanic: one byte through which a guest's kernel tells that it crashed.
 *
 * Reading gives the events that the device takes; writing sends events. It
 * sits at an ISA port (`-device pvpanic`), which the guest finds through ACPI,
 * or at the start of a PCI function's BAR (`-device pvpanic-pci`).
 *
 * Threads: under the machine lock.
 */
#ifndef HW_MISC_PVPANIC_H
#define HW_MISC_PVPANIC_H

#include "qom/object.h"
#include "system/memory.h"

#define TYPE_PVPANIC_ISA "pvpanic"
#define TYPE_PVPANIC_PCI "pvpanic-pci"

#define PVPANIC_PANICKED     0x01 /* the host is to do something about it */
#define PVPANIC_CRASH_LOADED 0x02 /* the guest does so by itself */
#define PVPANIC_EVENTS       (PVPANIC_PANICKED | PVPANIC_CRASH_LOADED)

#define PVPANIC_ISA_PORT 0x505 /* unless ioport= says otherwise */

/* Registers of type pvpanic; the rest is the bus's. */
typedef struct PvPanic {
    uint8_t events; /* that it takes; fixed after realize */
    IoRegion region;
} PvPanic;

/* Makes @s->region, @size bytes with the register first. False and *errp when
 * @s->events has others than PVPANIC_EVENTS; @type is for the message. */
bool pvpanic_init(PvPanic *s, const char *type, uint64_t size, Error **errp)
    MAIN_THREAD;

/* Port of the first -device pvpanic; 0: there is none. For ACPI tables. */
uint16_t pvpanic_isa_port(void) MAIN_THREAD;

#endif
