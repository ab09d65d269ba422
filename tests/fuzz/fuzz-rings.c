/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A driver that writes into rings, buffers and registers what it likes, while
 * frames come from the network. The device survives, and serves the next one.
 *
 * Input: 8 bytes of features, 2 the size of the rings, then steps.
 *
 * Threads: one.
 */
#include "tests/fuzz/fuzz-nic.h"

#define STEPS 64u

int LLVMFuzzerInitialize(int *argc, char ***argv) NO_THREAD_SAFETY
{
    fuzz_nic_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) NO_THREAD_SAFETY
{
    FuzzInput in = { data, len };
    uint64_t features = fuzz_u64(&in);

    fuzz_nic_start(features, fuzz_u16(&in) % 256 + 1);
    for (unsigned i = 0; i < STEPS && in.left; i++) {
        fuzz_nic_step(&in);
    }
    fuzz_nic_end();
    return 0;
}
