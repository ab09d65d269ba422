/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio-net device with two queue pairs and a control queue, with an input
 * for its driver and for its network.
 *
 * It is the device itself, realized, on a transport that does nothing. All of
 * it runs in one thread, whose event loop is turned by the input: what an
 * iothread would do is done by the main loop. Time passes only as the input
 * says.
 *
 * Threads: the target's only thread.
 */
#ifndef TESTS_FUZZ_FUZZ_NIC_H
#define TESTS_FUZZ_FUZZ_NIC_H

#include "hw/net/virtio-net-internal.h"
#include "system/machine-lock.h"
#include "tests/fuzz/fuzz.h"

#define FUZZ_PAIRS 2u
#define FUZZ_QUEUES                                           \
    (2 * FUZZ_PAIRS + 1) /* the last one is the control queue \
                          */
#define FUZZ_CTRL (2 * FUZZ_PAIRS)

/* Guest memory: RAM, more RAM right behind it at another host address, a hole,
 * and read-only memory. The rings are at the front of the first. */
#define FUZZ_RAM_GPA  0x10000u
#define FUZZ_RAM_SIZE 0x1c000u
#define FUZZ_NEXT_GPA (FUZZ_RAM_GPA + FUZZ_RAM_SIZE)
#define FUZZ_ROM_GPA  0xf0000u
#define FUZZ_SMALL    0x4000u
#define FUZZ_RING     0x2000u                   /* bytes of RAM for each */
#define FUZZ_DATA     (FUZZ_QUEUES * FUZZ_RING) /* what is behind them */

extern uint8_t *fuzz_ram;
extern VirtIONet *fuzz_nic;

/* A buffer of a chain. @gpa may be anywhere. */
typedef struct FuzzBuffer {
    uint64_t gpa;
    uint32_t len;
    uint16_t flags; /* VRING_DESC_F_WRITE, _INDIRECT */
} FuzzBuffer;

/* Makes the device; once. The caller then holds the machine lock. */
void fuzz_nic_init(void) ACQUIRES_MACHINE_LOCK;
/* A driver comes: memory is empty, @features (what is not offered is left out)
 * accepted, all rings have @size entries, the device is started. */
void fuzz_nic_start(uint64_t features, uint16_t size) MAIN_THREAD;
/* The driver resets the device: nothing is left of it. Then a driver that makes
 * no mistakes sends a frame, and gets one. */
void fuzz_nic_end(void) MAIN_THREAD;

/* Writes a chain to ring @q as a driver would, and kicks. */
void fuzz_nic_offer(unsigned q, const FuzzBuffer *buffers, unsigned n)
    MAIN_THREAD;
/* One step of a driver, or of the network, as @in says. */
void fuzz_nic_step(FuzzInput *in) MAIN_THREAD;
/* The loop runs until it has nothing to do, but not for ever. */
void fuzz_nic_turn(void) MAIN_THREAD;

#endif
