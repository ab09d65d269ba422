/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PIIX3 ISA bridge and PIIX4 power management (Intel 82371SB and 82371AB data
 * sheets): interrupt steering, system reset, ACPI registers.
 *
 * Functions 0 and 3 of slot 1. PCI slot S pin P (A is 0) drives PIRQ line
 * (S + P) & 3, A..D; config register 0x60 + line of the bridge routes the line
 * to an ISA interrupt, or nowhere (bit 7). After reset the routes are
 * PIIX3_PIRQ_ROUTES, as a firmware would leave them.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_I386_PIIX_H
#define HW_I386_PIIX_H

#include "hw/pci/pci.h"

#define TYPE_PIIX3    "PIIX3"
#define TYPE_PIIX4_PM "PIIX4_PM"

#define PIIX_SLOT       1
#define PIIX4_PM_FUNC   3
#define PIIX3_PIRQC     0x60 /* four bytes */
#define PIIX3_NUM_PIRQS 4

/* ISA interrupts of PIRQ A..D after reset. */
#define PIIX3_PIRQ_ROUTES \
    {                     \
        10, 10, 11, 11    \
    }

/* ACPI fixed hardware at PC_PM_BASE: offsets of its parts. */
#define PIIX4_PM_EVT       0x00 /* PM1a event: status, enable; 4 bytes */
#define PIIX4_PM_CNT       0x04 /* PM1a control; 2 bytes */
#define PIIX4_PM_TMR       0x08 /* PM timer, 24 bits wide; 4 bytes */
#define PIIX4_PM_IO_LEN    64
#define PIIX4_GPE_LEN      4 /* at PC_ACPI_GPE_BASE: status 2, enable 2 */
#define PIIX4_SMI_CMD      0xb2
#define PIIX4_ACPI_ENABLE  0xf1
#define PIIX4_ACPI_DISABLE 0xf0
/* SLP_TYP of the only sleeping states there are, both power the machine off. */
#define PIIX4_SLP_TYP_S5 0
#define PIIX4_SLP_TYP_S4 2

/* Drives the ACPI interrupt (PC_SCI_GSI), wired-OR with PIRQs routed there. */
void piix3_set_sci(PCIDevice *piix3, bool level) MAIN_THREAD;

/* Takes the interrupt lines of @bus, on which @piix3 sits. */
void piix3_connect(PCIDevice *piix3, PCIBus *bus) MAIN_THREAD;

/* The reset control register, port 0xcf9, which the host bridge decodes. */
uint8_t piix3_rcr_read(void *piix3) MAIN_THREAD;
void piix3_rcr_write(void *piix3, uint8_t value) MAIN_THREAD;

#endif
