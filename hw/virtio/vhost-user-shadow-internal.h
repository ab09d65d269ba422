/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of shadow rings share.
 *
 *   vhost-user-shadow.c      life and frames
 *   vhost-user-shadow-mem.c  the memory that the process is told of
 *
 * Threads: see hw/virtio/vhost-user-shadow.h.
 */
#ifndef HW_VIRTIO_VHOST_USER_SHADOW_INTERNAL_H
#define HW_VIRTIO_VHOST_USER_SHADOW_INTERNAL_H

#include "hw/virtio/vhost-user-internal.h"
#include "hw/virtio/vhost-user-shadow.h"
#include "hw/virtio/vring-driver.h"

/* A buffer: the longest header and frame, in whole pages. */
#define SHADOW_BUFFER 69632u

typedef struct ShadowRing {
    /* fixed after init */
    int wait_fd; /* epoll: readable when the call eventfd is */

    /* main thread; while it runs: fixed */
    VirtQueue vq;      /* as vhost.c is given it */
    VringDriver *ring; /* NULL: none */
    uint8_t *buffers;
    uint64_t address; /* of these, for the process */

    /* any thread, atomic: the owner says what the process did wrong */
    const char *fault;
} ShadowRing;

struct VhostUserShadow {
    /* fixed after init */
    VhostUser *user;
    unsigned pair;
    LoopTask fault_task;

    /* main thread; while it runs: fixed */
    VhostUserShadowConfig config;
    bool uses_memory;
    bool runs;

    /* pair owner */
    ShadowRing rx, tx;
    unsigned refill;  /* receive buffers that are added and not shown */
    unsigned n_spare; /* buffers for sending that the process has not */
    uint16_t spare[VHOST_USER_SHADOW_FRAMES];
};

/* ---- vhost-user-shadow-mem.c ---- */

/* Sees to it that there is memory, and that the process will be told of it.
 * False and *errp: none, or the process takes no further region. */
bool shadow_memory_use(VhostUserShadow *shadow, Error **errp) MAIN_THREAD;
/* What the pair had there is given back; it does not use it any more. */
void shadow_memory_leave(VhostUserShadow *shadow) MAIN_THREAD;
/* Places ring @index (0 or 1) and its buffers: memory and address into @config
 * and @ring. */
void shadow_memory_place(VhostUserShadow *shadow, unsigned index,
                         VringDriverConfig *config, ShadowRing *ring);
void shadow_memory_free(VhostUser *user) MAIN_THREAD;

#endif
