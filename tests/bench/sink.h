/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's end of what the guest sends: a BPF program at the tap's ingress
 * that checks each frame's stamp, length, order and queue and drops it, or
 * sends it back. It runs in the writer's system call and costs about 5 % of it,
 * whoever the writer is.
 *
 * Threads: the main thread; the program counts on any CPU, one at a time a
 * flow.
 */
#ifndef BENCH_SINK_H
#define BENCH_SINK_H

#include "frame.h"

#define SINK_FOREIGN (TX_FLOWS - 1) /* the flow that counts frames not ours */

typedef struct SinkFlow {
    uint64_t packets, bytes, next;
    uint64_t gap, ooo, bad_len, wrong_queue;
    uint64_t unused;
} SinkFlow;

typedef struct Sink {
    int prog, link, map;
    volatile SinkFlow *flow; /* [TX_FLOWS]; written by the kernel */
} Sink;

/* @stamp: offset of the stamp. Frames of flow f must come by queue f / 16. Ends
 * the process when the kernel refuses: frames would go unverified. */
void sink_attach(Sink *s, int ifindex, int stamp);
/* Every frame leaves by the same tap again. */
void sink_attach_bounce(Sink *s, int ifindex);
void sink_detach(Sink *s);
/* The counters of a pair's flows added up. */
SinkFlow sink_pair(const Sink *s, int pair);

#endif
