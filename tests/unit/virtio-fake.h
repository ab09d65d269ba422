/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small virtio device for the tests of virtio and virtio-pci, which writes
 * down what it is told, and the run state that it lives in.
 *
 * Threads: as the code under test; one test, one thread.
 */
#ifndef TESTS_UNIT_VIRTIO_FAKE_H
#define TESTS_UNIT_VIRTIO_FAKE_H

#include "hw/virtio/virtio.h"

#define TYPE_FAKE       "virtio-fake-device"
#define FAKE_ID         1
#define FAKE_QUEUES     3u
#define FAKE_QUEUE_SIZE 64u
#define FAKE_CONFIG_LEN 10u
#define FAKE_F_ONE      3 /* offered */
#define FAKE_F_OLD      6 /* offered on the legacy interface only */
#define FAKE_F_REFUSED  7 /* offered, and refused when accepted */
#define FAKE_F_NOT      9 /* not offered */

#define FAKE_RAM_SIZE 0x100000u

typedef struct FakeDevice {
    VirtIODevice vdev;
    uint32_t queues; /* property */
    bool fail_realize;
    uint8_t config[FAKE_CONFIG_LEN];
    /* what happened */
    unsigned starts, stops, resets, set_features, queue_starts, queue_stops;
    unsigned last_queue;
    uint64_t features;
    /* faults */
    unsigned faults;
    bool fault_while_started;
    const VirtQueue *fault_vq;
    char fault_reason[64];
} FakeDevice;

#define FAKE(o) OBJECT_CAST(FakeDevice, o)

/* Main loop, machine lock, and FAKE_RAM_SIZE of RAM at address 0; once. */
void fake_machine_init(void) ACQUIRES_MACHINE_LOCK;
/* Host address of guest memory. */
void *fake_ram(uint64_t gpa);
/* Stops and continues the machine, as far as devices see. */
void fake_set_running(bool running) MAIN_THREAD;
/* How many MSI messages were sent since the last look; all have @data. */
unsigned fake_take_messages(uint32_t data);
/* One turn of the main loop that does not wait. */
void fake_turn(void) MAIN_THREAD;

#endif
