/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What tests of the chipset stand on: a fake accelerator that records lines
 * and messages and plays the kernel's part in irqfds, and fake requests to the
 * run state.
 *
 * Threads: one, which holds the machine lock.
 */
#ifndef TESTS_PCI_RIG_H
#define TESTS_PCI_RIG_H

#include "accel/accel.h"
#include "hw/core/qdev.h"
#include "hw/pci/pci.h"
#include "system/runstate.h"

#define RIG_MAX_MESSAGES 64

typedef struct Rig {
    bool gsi[24];
    unsigned gsi_rises[24];
    MsiMessage message[RIG_MAX_MESSAGES]; /* in the order sent */
    unsigned n_messages;
    unsigned n_by_kernel; /* of them */
    unsigned routes, routes_max;
    bool refuse_update;
    unsigned resets, shutdowns, panics, panics_handled;
    int exit_status; /* -1: no request */
} Rig;

extern Rig rig;

/* Makes the main loop, takes the machine lock. Once. */
void rig_init(void);
/* Forgets what was recorded; routes without limit. */
void rig_clear(void);
/* The kernel's turn: eventfds with an irqfd become messages. */
void rig_kernel_turn(void);
/* As the main loop resets the machine. */
void rig_machine_reset(void) MAIN_THREAD;
/* Presses the power button. */
void rig_power_button(void) MAIN_THREAD;

void outb(uint16_t port, uint8_t value) MAIN_THREAD;
void outw(uint16_t port, uint16_t value) MAIN_THREAD;
void outl(uint16_t port, uint32_t value) MAIN_THREAD;
uint8_t inb(uint16_t port) MAIN_THREAD;
uint16_t inw(uint16_t port) MAIN_THREAD;
uint32_t inl(uint16_t port) MAIN_THREAD;

#endif
