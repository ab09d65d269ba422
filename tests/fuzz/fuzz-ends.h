/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two ends of a virtio-net device with two queue pairs and a control queue:
 * a driver with its rings in guest memory, and a network, each with an input.
 * How the driver comes to its device, and how a kick gets there, is the user's.
 *
 * All of it runs in one thread, whose event loop is turned by the input: what
 * an iothread would do is done by the main loop. Time passes only as the input
 * says.
 *
 * Threads: the target's only thread.
 */
#ifndef TESTS_FUZZ_FUZZ_ENDS_H
#define TESTS_FUZZ_FUZZ_ENDS_H

#include "hw/net/virtio-net-internal.h"
#include "system/machine-lock.h"
#include "tests/fuzz/fuzz.h"

#define FUZZ_PAIRS 2u
#define FUZZ_QUEUES                                           \
    (2 * FUZZ_PAIRS + 1) /* the last one is the control queue \
                          */
#define FUZZ_CTRL (2 * FUZZ_PAIRS)

/* Guest memory: RAM, more right behind it, maybe at another host address, and
 * something that may be read-only. The rings are at the front of the first. */
#define FUZZ_RAM_GPA  0x10000u
#define FUZZ_RAM_SIZE 0x1c000u
#define FUZZ_NEXT_GPA (FUZZ_RAM_GPA + FUZZ_RAM_SIZE)
#define FUZZ_ROM_GPA  0xf0000u
#define FUZZ_RING     0x2000u                   /* bytes of RAM for each */
#define FUZZ_DATA     (FUZZ_QUEUES * FUZZ_RING) /* what is behind them */

/* The user sets these: the RAM at FUZZ_RAM_GPA, the device, and how to tell it
 * of ring @q. */
extern uint8_t *fuzz_ram;
extern VirtIONet *fuzz_nic;
extern void (*fuzz_kick)(unsigned q);

/* A buffer of a chain. @gpa may be anywhere. */
typedef struct FuzzBuffer {
    uint64_t gpa;
    uint32_t len;
    uint16_t flags; /* VRING_DESC_F_WRITE, _INDIRECT */
} FuzzBuffer;

/* Where the parts of a ring are. */
typedef struct FuzzPlace {
    uint64_t desc, avail, used;
} FuzzPlace;

/* Makes the netdev "net0"; once. */
void fuzz_net_init(void) MAIN_THREAD;
/* RAM and network are empty, time begins anew. */
void fuzz_ends_clear(void);
/* The driver has a new ring @q. */
void fuzz_ring_begin(unsigned q);
/* Where it puts one of @size entries, with the features that it accepted. */
FuzzPlace fuzz_ring_place(unsigned q, uint16_t size);
bool fuzz_ring_is_packed(void);

/* Writes a chain to ring @q as a driver would, and kicks. */
void fuzz_nic_offer(unsigned q, const FuzzBuffer *buffers, unsigned n)
    MAIN_THREAD;
#define FUZZ_ENDS_KINDS 12u
/* One step of @kind of a driver at its rings, or of the network, as @in says;
 * 6 and 7 are none, the user has what is about registers there. */
void fuzz_ends_step(FuzzInput *in, unsigned kind) MAIN_THREAD;
/* The loop runs until it has nothing to do, but not for ever. */
void fuzz_nic_turn(void) MAIN_THREAD;
/* What a device without faults must do once its driver has begun, with
 * mergeable buffers and split rings: a frame each way on pair 0. */
void fuzz_check_frames(void) MAIN_THREAD;

#endif
