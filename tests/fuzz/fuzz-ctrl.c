/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Commands of the control queue (VIRTIO 1.2, 5.1.6.5), of any class and length,
 * one after the other, while the driver has both pairs. One that is refused
 * leaves the receive filter as it is.
 *
 * Input: 8 bytes of features, then for each command its length, the place for
 * the answer, class, command and data.
 *
 * Threads: one.
 */
#include <linux/virtio_ring.h>

#include "tests/fuzz/fuzz-nic.h"

#define COMMANDS 32u
#define ANSWER   (FUZZ_DATA + 0x4000u)

/* Its chain: header, data in two parts, answer. */
static void command(FuzzInput *in) MAIN_THREAD
{
    const uint64_t at = FUZZ_RAM_GPA + FUZZ_DATA;
    uint32_t len = 2u + fuzz_u8(in) + 8u * (fuzz_u8(in) & 0x3f);
    FuzzBuffer b[] = { { at, 2, 0 },
                       { at + 2, (len - 2) / 2, 0 },
                       { at + 2 + (len - 2) / 2, len - 2 - (len - 2) / 2, 0 },
                       { FUZZ_RAM_GPA + ANSWER, 1u + fuzz_u16(in) % 2048,
                         VRING_DESC_F_WRITE } };
    RxFilter before = fuzz_nic->filter_next;
    uint64_t done = fuzz_nic->ctrl_ok;

    fuzz_ram[ANSWER] = 0xff;
    fuzz_bytes(in, fuzz_ram + FUZZ_DATA, len);
    fuzz_nic_offer(FUZZ_CTRL, b, ARRAY_SIZE(b));
    fuzz_nic_turn();
    g_assert_false(virtio_is_broken(&fuzz_nic->vdev));
    g_assert_cmpuint(fuzz_ram[ANSWER], ==,
                     fuzz_nic->ctrl_ok != done ? VIRTIO_NET_OK
                                               : VIRTIO_NET_ERR);
    if (fuzz_nic->ctrl_ok == done) {
        g_assert_cmpmem(&before, sizeof(before), &fuzz_nic->filter_next,
                        sizeof(before));
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv) NO_THREAD_SAFETY
{
    fuzz_nic_init();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) NO_THREAD_SAFETY
{
    FuzzInput in = { data, len };

    fuzz_nic_start(fuzz_u64(&in) | 1ULL << VIRTIO_NET_F_MQ, 64);
    for (unsigned i = 0; i < COMMANDS && in.left; i++) {
        command(&in);
    }
    fuzz_nic_end();
    return 0;
}
