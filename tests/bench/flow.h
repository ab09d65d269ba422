/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flows towards the guest, and the check of what arrives of them.
 *
 * Threads: a flow is sent by one generator and received by one thread.
 */
#ifndef BENCH_FLOW_H
#define BENCH_FLOW_H

#include "frame.h"

typedef struct Flow {
    uint16_t id;
    int queue;     /* the one it arrives on, -1: not known yet */
    uint64_t seq;  /* generator: next to send */
    uint64_t base; /* generator: what is taken for arrived, after a loss */
    uint64_t seen; /* receiver: highest that arrived, plus 1 */
} __attribute__((aligned(64))) Flow;

/* Frames that passed or failed; one receiver writes. */
typedef struct RxCheck {
    uint64_t packets, bytes;
    uint64_t gap;         /* sequence numbers skipped: lost, or later in ooo */
    uint64_t ooo;         /* reordered, or received twice */
    uint64_t corrupt;     /* stamp, length or pattern is wrong */
    uint64_t foreign;     /* not ours */
    uint64_t wrong_queue; /* not on the queue its flow arrived on first */
} RxCheck;

extern Flow rx_flows[RX_FLOWS];

void rx_flows_reset(void);
/* Sent and never seen, over all flows. */
uint64_t rx_flows_missing(void);
/* Checks a frame of @len bytes whose first part, with the stamp, is at @f.
 * @whole: all of it is there and the pattern is compared too. */
void rx_check(RxCheck *c, const uint8_t *f, int len, int stamp, int queue,
              bool whole);

#endif
