/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel's tap itself costs: a thread a queue that moves the same
 * frames, against the same sink and load as mqbench, with nothing in between.
 *
 * Threads: worker_main() is a worker's; the main thread starts, reads counters
 * and joins.
 */
#ifndef BENCH_TAPRAW_H
#define BENCH_TAPRAW_H

#include <pthread.h>
#include <time.h>

#include "flow.h"

/* What moves, and how; a mode is a combination. */
typedef struct RawMode {
    const char *name;
    bool transmits, receives;
    bool large; /* TCP frames of 64 KiB */
    bool uring; /* bursts by io_uring, else a system call a frame */
} RawMode;

/* Fixed after main() has read its arguments. */
typedef struct RawOptions {
    const char *modes, *queues, *json, *cpus;
    int time_ms, repeat, warm_ms, len, tso_len, mss, batch;
    int rx_flows, window, segments, burst, generators, gen_idle, txqueuelen;
    bool pin, deep;
} RawOptions;

extern RawOptions opt;

typedef struct Worker {
    /* fixed before start */
    int queue, fd;
    const RawMode *mode;
    pthread_t thread;

    /* the thread */
    uint8_t *tx_slots, *rx_slots;
    int tx_stride, rx_stride, slots;
    uint64_t seq; /* next to send */
    uint64_t rx_next;
    RxCheck check;

    /* any thread, atomic: the main thread asks it to stop and shows figures */
    bool go, stop;
    uint64_t tx_packets, packets, bytes, calls, again, failed;
    clockid_t clock; /* of the thread's CPU time, valid after go */
} __attribute__((aligned(64))) Worker;

/* Prepares frames, waits for go, moves frames until stop. */
void *worker_main(void *opaque);
void worker_free(Worker *w);

#endif
