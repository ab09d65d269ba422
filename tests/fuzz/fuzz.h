/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the fuzzing targets share: an input that is used up from its front.
 *
 * A target is one file that defines LLVMFuzzerTestOneInput(), and often
 * LLVMFuzzerInitialize(). It leaves nothing behind: an input that fails does so
 * alone. What must hold for any input is a g_assert in the target.
 *
 * Threads: one, which holds the machine lock once a target has a main loop.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "util/osdep.h"

typedef struct FuzzInput {
    const uint8_t *at;
    size_t left;
} FuzzInput;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The next @n bytes, or as many as there are, zeros behind them. */
static inline void fuzz_bytes(FuzzInput *in, void *to, size_t n)
{
    size_t part = MIN(n, in->left);

    if (part) {
        memcpy(to, in->at, part);
    }
    memset((uint8_t *)to + part, 0, n - part);
    in->at += part;
    in->left -= part;
}

static inline uint8_t fuzz_u8(FuzzInput *in)
{
    uint8_t v;

    fuzz_bytes(in, &v, sizeof(v));
    return v;
}

static inline uint16_t fuzz_u16(FuzzInput *in)
{
    uint16_t v;

    fuzz_bytes(in, &v, sizeof(v));
    return v;
}

static inline uint32_t fuzz_u32(FuzzInput *in)
{
    uint32_t v;

    fuzz_bytes(in, &v, sizeof(v));
    return v;
}

static inline uint64_t fuzz_u64(FuzzInput *in)
{
    uint64_t v;

    fuzz_bytes(in, &v, sizeof(v));
    return v;
}

#endif
