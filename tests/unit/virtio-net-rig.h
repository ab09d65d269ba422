/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A queue pair on plain memory for unit tests: two split rings that the test
 * fills as a driver would, and a back-end whose frames are arrays.
 *
 * Threads: the test's only thread.
 */
#ifndef TESTS_UNIT_VIRTIO_NET_RIG_H
#define TESTS_UNIT_VIRTIO_NET_RIG_H

#include <linux/virtio_ring.h>
#include <sys/mman.h>

#include "hw/net/virtio-net-internal.h"
#include "system/machine-lock.h"
#include "util/fd.h"

#define RIG_RAM   (4 * MiB)
#define RIG_SIZE  256u
#define RIG_DATA  0x100000u /* where the test puts buffers */
#define RIG_QUEUE 32u

typedef struct RigRing {
    VirtQueue vq;
    struct vring v; /* the driver's view */
    uint16_t next_desc, avail_idx;
} RigRing;

typedef struct Rig {
    VirtIONet *net;
    VirtIONetPair *pair;
    RigRing rx, tx;
    EventLoop *loop;
    NetClientState nc;
    NetClientInfo info;
    NetSubqueue sq;
    /* frames that the back-end has for the guest */
    struct {
        uint8_t *data;
        size_t len;
    } in[RIG_QUEUE];
    unsigned in_n, in_next;
    /* frames that came from the guest */
    struct {
        uint8_t data[70000];
        size_t len;
    } out[RIG_QUEUE];
    unsigned out_n, out_room;
    ssize_t recv_error, send_error;
} Rig;

extern uint8_t *rig_ram;

void rig_init(Rig *rig, uint64_t features) MAIN_THREAD;
void rig_free(Rig *rig) MAIN_THREAD;
/* Queues one chain of @n buffers; lengths below zero are device-writable.
 * Returns the guest address of the first; they follow one another. */
uint64_t rig_add(RigRing *ring, const int *lens, unsigned n, uint64_t gpa);
/* A frame of @len bytes (header included) for the guest, filled by @seed. */
void rig_push(Rig *rig, size_t len, uint8_t seed);
uint8_t rig_byte(uint8_t seed, size_t i);

#endif
