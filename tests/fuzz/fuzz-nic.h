/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtio-net device, realized, on a transport that does nothing, with an
 * input for its driver, its registers and its network (fuzz-ends.h).
 *
 * Threads: the target's only thread.
 */
#ifndef TESTS_FUZZ_FUZZ_NIC_H
#define TESTS_FUZZ_FUZZ_NIC_H

#include "tests/fuzz/fuzz-ends.h"

/* Makes the device; once. The caller then holds the machine lock. */
void fuzz_nic_init(void) ACQUIRES_MACHINE_LOCK;
/* A driver comes: memory is empty, @features (what is not offered is left out)
 * accepted, all rings have @size entries, the device is started. */
void fuzz_nic_start(uint64_t features, uint16_t size) MAIN_THREAD;
/* The driver resets the device: nothing is left of it. Then a driver that makes
 * no mistakes sends a frame, and gets one. */
void fuzz_nic_end(void) MAIN_THREAD;

/* One step of a driver, or of the network, as @in says. */
void fuzz_nic_step(FuzzInput *in) MAIN_THREAD;

#endif
