/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Figures of a run: samples of counters at the ends of intervals, rates of
 * each interval, medians and extremes over them.
 *
 * Threads: the main thread.
 */
#ifndef BENCH_METRICS_H
#define BENCH_METRICS_H

#include "bench.h"

#define MAX_INTERVALS 64

/* Cumulated counters at one moment. */
typedef struct Sample {
    uint64_t at_ns;
    uint64_t packets, tx_packets, bytes;
    uint64_t cpu_ns;       /* of the program or threads under test */
    uint64_t user, system; /* ticks of it */
    uint64_t switches;     /* voluntary ones of it */
    uint64_t calls;        /* mqbench: kicks; tapraw: system calls */
    uint64_t irqs;
    uint64_t generator_ns, generator_sent;
    uint64_t guest_ns;
    uint64_t busy_ms, stolen_ms; /* of the machine */
} Sample;

typedef enum {
    METRIC_PPS,
    METRIC_TX_PPS,
    METRIC_MBPS,
    METRIC_CPU_NS,       /* a packet */
    METRIC_USER,         /* share */
    METRIC_CORES,        /* used by what is under test */
    METRIC_CALLS,        /* a packet */
    METRIC_SWITCHES,     /* per 1000 packets */
    METRIC_IRQS,         /* a packet */
    METRIC_GENERATOR_NS, /* a frame */
    METRIC_GUEST_CORES,
    METRIC_OTHER_CORES, /* used by anyone else */
    METRIC_STOLEN_CORES,
    METRIC_COUNT,
} MetricKind;

typedef struct Metric {
    double median, min, max;
} Metric;

typedef struct Metrics {
    int intervals;
    double value[METRIC_COUNT][MAX_INTERVALS];
    Metric of[METRIC_COUNT]; /* after metrics_close() */
} Metrics;

/* Adds the interval between two samples. */
void metrics_add(Metrics *m, const Sample *a, const Sample *b);
void metrics_close(Metrics *m);
/* The figures that both programs give: NAME, NAME_min and NAME_max. */
void metrics_json(FILE *f, const Metrics *m);

#endif
