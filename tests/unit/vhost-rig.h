/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vhost-net that is a fake, for unit tests: vhost-rig.c defines the functions
 * of vhost-kernel.c. With it goes a pair (virtio-net-rig.h) that wants vhost.
 *
 * Threads: the test's, which holds the machine lock.
 */
#ifndef TESTS_UNIT_VHOST_RIG_H
#define TESTS_UNIT_VHOST_RIG_H

#include "tests/unit/virtio-net-rig.h"

#define BIT(n) (1ULL << (n))
#define COMMON                                                \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | \
     BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define MODERN   BIT(VIRTIO_F_VERSION_1)
#define VHOST_FD 1000 /* of no file: it only reaches the fake */
#define HDR      12u

typedef struct KernelRing {
    int backend, kick, call, err;
    unsigned num, base;
    const void *desc, *avail, *used;
    unsigned moves;            /* buffers that the worker uses once it runs */
    struct vring_used *shared; /* where it says so */
    bool logged;               /* the used ring is */
    uint64_t log_gpa;
} KernelRing;

typedef struct Kernel {
    GString *log;
    uint64_t features, acked;
    unsigned calls, fail_at; /* the fail_at-th call fails; 0: none */
    int owner_error, bad_fd;
    bool looked_at; /* by a monitor, while the worker runs */
    unsigned mem_ranges;
    uint32_t busyloop_us;
    uint64_t *log_base; /* where it marks the pages that it writes */
    KernelRing ring[2];
} Kernel;

extern Kernel kern;
extern Rig rig;

/* A kernel with the features COMMON that was not called yet. */
void kern_reset(void);

/* A fresh kernel, and a pair whose rings can be handed to it; @poll_us: its
 * busy loop, 0: none. */
void vhost_rig_begin(uint64_t features, bool force, uint32_t poll_us)
    MAIN_THREAD;
void vhost_rig_end(void) MAIN_THREAD;

/* The queue is with us, at rest, at these positions. */
void vhost_rig_check_ours(const VirtQueue *vq, uint16_t last_avail,
                          uint16_t used);
/* What @func writes to stderr. */
char *vhost_rig_stderr(void (*func)(void));
/* @part is in @text. */
void vhost_rig_check_line(const char *text, const char *part);

#endif
