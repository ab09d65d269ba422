/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Load towards the guest: threads that send through AF_PACKET sockets, which
 * costs less a frame than any receiver takes.
 *
 * Datagrams go as super-packets that the kernel cuts into ordinary frames
 * before the tap (0.5 us a frame, against 1.5 for frames of their own). The
 * loop is closed: at most a window of frames of a flow is on its way, so that
 * the tap has no reason to drop and every loss is the receiver's.
 *
 * Threads: generator_main() is a thread's; the main thread starts, reads the
 * counters and joins.
 */
#ifndef BENCH_GEN_H
#define BENCH_GEN_H

#include <pthread.h>

#include "flow.h"

/* What is sent, how. */
typedef struct Load {
    int len;      /* of a frame */
    int mss;      /* not 0: TCP frames of this segment size, passed on whole */
    int segments; /* datagrams: frames in a super-packet; 1: plain frames */
    int window;   /* frames of a flow on their way; 0: no limit */
    int burst;    /* plain frames in a row for the same queue */
    int idle_us;  /* sleep when all windows are closed; 0: yield, -1: spin */
    int flows;    /* flows a queue */
    int threads;
    const char *cpus;
} Load;

typedef struct Message Message;

typedef struct Generator {
    /* fixed before start */
    Load load;
    int fd;
    int queue_count, flow_count;
    Flow **flows;    /* grouped by queue */
    int *flow_start; /* [queue_count + 1] */
    pthread_t thread;

    /* its thread */
    uint8_t *buffers;
    int stride, slots;        /* bytes of a buffer, buffers of a flow */
    int *used_slots;          /* of each flow, in this batch */
    int *next_flow, queue;    /* whose turn it is */
    struct mmsghdr *messages; /* a batch */
    struct iovec *iov;
    Message *batch; /* what each of them carries */
    int count;
    uint64_t progress, progress_ns; /* frames seen, and when that changed */

    /* any thread, atomic: the main thread asks it to stop and shows figures */
    bool stop;
    uint64_t sent, waits, stalls, full, cpu_ns;
} Generator;

/* The bytes of frames that carry a Load's stamp are behind a vnet header. */
int load_open(const Load *l, int ifindex);
/* Sends each candidate flow one frame and has @poll receive: it returns the
 * frames received so far. Afterwards flows know their queues. */
void load_learn(const Load *l, int ifindex, uint64_t (*poll)(void *opaque),
                void *opaque);
/* Sends one frame of @f by a socket of load_open() of a plain Load. */
void load_send_one(const Load *l, int fd, Flow *f);

/* Makes generators for @queues in turn, with flows that were learned; returns
 * how many there are, 0 when some queue has no flow. */
int generators_new(Generator *g, const Load *l, int ifindex, int queues);
void generator_start(Generator *g);
/* Stops and joins; the counters stay. */
void generator_join(Generator *g);
void generator_free(Generator *g);

#endif
