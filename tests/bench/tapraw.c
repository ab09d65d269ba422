/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See tapraw.h, and docs/devel/performance.rst. */
#include <unistd.h>

#include "gen.h"
#include "metrics.h"
#include "proc.h"
#include "sink.h"
#include "tap.h"
#include "tapraw.h"

#define START_NS    (5 * NS_PER_MS)
#define DRAIN_NS    (150 * NS_PER_MS)
#define RTSO_WINDOW 4
#define RX_BUFFER   4096
#define MAX_BATCH   128

static const RawMode modes[] = {
    { "tx", .transmits = true },
    { "tx-uring", .transmits = true, .uring = true },
    { "rx", .receives = true },
    { "rx-uring", .receives = true, .uring = true },
    { "mixed", .transmits = true, .receives = true },
    { "mixed-uring", .transmits = true, .receives = true, .uring = true },
    { "tso", .transmits = true, .large = true },
    { "tso-uring", .transmits = true, .large = true, .uring = true },
    { "rtso", .receives = true, .large = true },
    { "rtso-uring", .receives = true, .large = true, .uring = true },
};

#define MODES (int)(sizeof(modes) / sizeof(modes[0]))

RawOptions opt = {
    .modes = "tx,tx-uring,rx,rx-uring,mixed,mixed-uring,tso,tso-uring,rtso,"
             "rtso-uring",
    .queues = "1,2,4",
    .time_ms = 1000,
    .repeat = 3,
    .warm_ms = 200,
    .len = FRAME_MIN,
    .tso_len = 65226,
    .mss = 1448,
    .batch = 64,
    .rx_flows = 8,
    .window = 64,
    .segments = 32,
    .burst = 16,
    .generators = 1,
    .gen_idle = 100,
    .txqueuelen = 1000,
};

static const Option option_table[] = {
    { "modes", OPTION_STRING, &opt.modes, 0, 0,
      "LIST of tx,rx,mixed,tso,rtso, each also as tx-uring..." },
    { "queues", OPTION_STRING, &opt.queues, 0, 0, "LIST of queues: 1,2,4" },
    { "time", OPTION_MS, &opt.time_ms, 1, 3600000, "seconds an interval: 1" },
    { "repeat", OPTION_INT, &opt.repeat, 1, MAX_INTERVALS, "intervals: 3" },
    { "warm", OPTION_MS, &opt.warm_ms, 0, 60000, "seconds before them: 0.2" },
    { "len", OPTION_INT, &opt.len, FRAME_MIN, FRAME_MAX,
      "bytes of a datagram's frame: 60" },
    { "tso-len", OPTION_INT, &opt.tso_len, FRAME_MIN, GSO_MAX,
      "bytes of a large frame: 65226" },
    { "mss", OPTION_INT, &opt.mss, 100, 16384, "its segments' size: 1448" },
    { "batch", OPTION_INT, &opt.batch, 1, MAX_BATCH,
      "frames in a burst of io_uring: 64" },
    { "pin", OPTION_ON, &opt.pin, 0, 0, "a CPU each" },
    { "cpus", OPTION_STRING, &opt.cpus, 0, 0, "LIST for workers" },
    { "window", OPTION_INT, &opt.window, 0, 65536,
      "frames of a flow on their way, 0: no limit: 64" },
    { "gen-seg", OPTION_INT, &opt.segments, 1, 64,
      "frames in a super-packet, 1: plain frames: 32" },
    { "burst", OPTION_INT, &opt.burst, 1, 64, "plain frames in a row: 16" },
    { "gens", OPTION_INT, &opt.generators, 1, MAX_PAIRS, "generators: 1" },
    { "gen-idle", OPTION_INT, &opt.gen_idle, -1, 1000000,
      "us of their sleep, 0 yields, -1 spins: 100" },
    { "rx-flows", OPTION_INT, &opt.rx_flows, 1, 64, "flows a queue: 8" },
    { "txqueuelen", OPTION_INT, &opt.txqueuelen, 1, 100000,
      "of the tap: 1000" },
    { "deep", OPTION_ON, &opt.deep, 0, 0, "compare all bytes received" },
    { "json", OPTION_STRING, &opt.json, 0, 0, "FILE to append to, -: stdout" },
    { 0 },
};

typedef struct RawRun {
    const RawMode *mode;
    int queues, gen_count;
    char tap[16];
    int ifindex;
    Sink sink;
    Worker worker[MAX_PAIRS];
    Generator gen[MAX_PAIRS];
    Metrics metrics;
    uint64_t drops, received; /* received: while flows are learned */
    uint64_t gap, ooo, bad, missing, wrong_queue;
} RawRun;

static FILE *json;
static int failures;

static uint64_t poll_queues(void *opaque)
{
    static uint8_t buf[RX_BUFFER];
    RawRun *r = opaque;
    ssize_t len;

    for (int q = 0; q < r->queues; q++) {
        Worker *w = &r->worker[q];
        while ((len = read(w->fd, buf, sizeof(buf))) > VNET_HEADER) {
            rx_check(&w->check, buf + VNET_HEADER, len - VNET_HEADER,
                     STAMP_OFFSET(r->mode->large), q, true);
            r->received++;
        }
    }
    return r->received;
}

static void prepare_load(RawRun *r)
{
    bool rtso = r->mode->large;
    Load load = {
        .len = rtso ? opt.tso_len : opt.len,
        .mss = rtso ? opt.mss : 0,
        .segments = rtso ? 1 : opt.segments,
        .window = rtso && opt.window > RTSO_WINDOW ? RTSO_WINDOW : opt.window,
        .burst = opt.burst,
        .idle_us = opt.gen_idle,
        .flows = opt.rx_flows,
        .threads = opt.generators,
    };

    load_learn(&load, r->ifindex, poll_queues, r);
    for (int q = 0; q < r->queues; q++) {
        r->worker[q].check = (RxCheck){ 0 };
    }
    r->gen_count = generators_new(r->gen, &load, r->ifindex, r->queues);
    if (!r->gen_count) {
        die("no load for every receive queue");
    }
}

static uint64_t clock_read(clockid_t clock)
{
    struct timespec t = { 0 };

    clock_gettime(clock, &t);
    return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

static void take_sample(const RawRun *r, Sample *s)
{
    *s = (Sample){ .at_ns = now_ns() };
    for (int q = 0; q < r->queues; q++) {
        const Worker *w = &r->worker[q];
        s->packets += counter_get(&w->packets);
        s->tx_packets += counter_get(&w->tx_packets);
        s->bytes += counter_get(&w->bytes);
        s->calls += counter_get(&w->calls);
        s->cpu_ns += clock_read(w->clock);
    }
    for (int k = 0; k < r->gen_count; k++) {
        s->generator_ns += counter_get(&r->gen[k].cpu_ns);
        s->generator_sent += counter_get(&r->gen[k].sent);
    }
    machine_cpu(&s->busy_ms, &s->stolen_ms);
}

static void start_threads(RawRun *r)
{
    for (int q = 0; q < r->queues; q++) {
        if (pthread_create(&r->worker[q].thread, NULL, worker_main,
                           &r->worker[q])) {
            die("cannot start a worker");
        }
    }
    sleep_ns(START_NS);
    for (int q = 0; q < r->queues; q++) {
        flag_set(&r->worker[q].go, true);
    }
    for (int k = 0; k < r->gen_count; k++) {
        generator_start(&r->gen[k]);
    }
}

static void stop_threads(RawRun *r)
{
    for (int k = 0; k < r->gen_count; k++) {
        generator_join(&r->gen[k]);
    }
    if (r->gen_count) {
        sleep_ns(DRAIN_NS);
    }
    for (int q = 0; q < r->queues; q++) {
        flag_set(&r->worker[q].stop, true);
    }
    for (int q = 0; q < r->queues; q++) {
        pthread_join(r->worker[q].thread, NULL);
    }
}

static void measure(RawRun *r)
{
    Sample sample[2];

    r->drops = -tap_drops(r->tap);
    start_threads(r);
    sleep_ns(opt.warm_ms * NS_PER_MS);
    take_sample(r, &sample[0]);
    for (int i = 0; i < opt.repeat; i++) {
        sleep_ns(opt.time_ms * NS_PER_MS);
        take_sample(r, &sample[(i + 1) % 2]);
        metrics_add(&r->metrics, &sample[i % 2], &sample[(i + 1) % 2]);
    }
    stop_threads(r);
    r->drops += tap_drops(r->tap);
    metrics_close(&r->metrics);
}

static void judge(RawRun *r)
{
    uint64_t missing = r->mode->receives ? rx_flows_missing() : 0;

    for (int q = 0; q < r->queues; q++) {
        Worker *w = &r->worker[q];
        SinkFlow seen = sink_pair(&r->sink, q);
        r->ooo += seen.ooo + w->check.ooo;
        r->bad +=
            seen.bad_len + w->check.corrupt + w->check.foreign + w->failed;
        r->wrong_queue += seen.wrong_queue + w->check.wrong_queue;
        r->gap += seen.gap;
        missing += w->check.gap;
        if (w->tx_packets > seen.packets) {
            r->missing += w->tx_packets - seen.packets;
        }
    }
    r->bad += r->sink.flow[SINK_FOREIGN].packets;
    if (missing > r->drops) {
        r->missing += missing - r->drops;
    }
}

static void report(const RawRun *r)
{
    const Metric *m = r->metrics.of;
    bool ok = !(r->gap | r->ooo | r->bad | r->missing | r->wrong_queue);

    failures += !ok;
    printf("%-11s %2d %8.1f %8.1f %7.0f %7.0f %8.0f %5.2f %7.3f %6llu %5llu "
           "%4llu %4llu %4llu %6.0f %5.2f %5.2f %s\n",
           r->mode->name, r->queues, m[METRIC_PPS].median / 1e3,
           m[METRIC_PPS].max / 1e3, m[METRIC_CPU_NS].median,
           m[METRIC_CPU_NS].min, m[METRIC_MBPS].median, m[METRIC_CORES].median,
           m[METRIC_CALLS].median, (unsigned long long)r->drops,
           (unsigned long long)(r->missing + r->gap),
           (unsigned long long)r->ooo, (unsigned long long)r->bad,
           (unsigned long long)r->wrong_queue, m[METRIC_GENERATOR_NS].median,
           m[METRIC_OTHER_CORES].median, m[METRIC_STOLEN_CORES].median,
           ok ? "ok" : "FAIL");
    fflush(stdout);
    json_begin(json, "tapraw", r->mode->name, r->queues);
    json_bool(json, "ok", ok);
    metrics_json(json, &r->metrics);
    json_count(json, "tap_drops", r->drops);
    json_count(json, "lost", r->missing + r->gap);
    json_count(json, "ooo", r->ooo);
    json_count(json, "bad", r->bad);
    json_count(json, "wrong_queue", r->wrong_queue);
    json_end(json);
}

static void run(int mode, int queues)
{
    static int serial;
    RawRun *r = alloc(1, sizeof(*r));

    r->mode = &modes[mode];
    r->queues = queues;
    snprintf(r->tap, sizeof(r->tap), "raw%d", serial++);
    rx_flows_reset();
    r->ifindex = tap_create(r->tap, queues, opt.txqueuelen);
    sink_attach(&r->sink, r->ifindex, STAMP_OFFSET(r->mode->large));
    for (int q = 0; q < queues; q++) {
        Worker *w = &r->worker[q];
        w->queue = q;
        w->mode = r->mode;
        w->fd = tap_open_queue(r->tap, queues);
    }
    tap_wait_ready(r->tap);
    if (r->mode->receives && r->mode->large) {
        tap_accept_tso(r->worker[0].fd);
    }
    if (r->mode->receives) {
        prepare_load(r);
    }
    measure(r);
    judge(r);
    report(r);
    for (int k = 0; k < r->gen_count; k++) {
        generator_free(&r->gen[k]);
    }
    for (int q = 0; q < queues; q++) {
        worker_free(&r->worker[q]);
    }
    sink_detach(&r->sink);
    tap_delete(r->tap, queues);
    free(r);
}

int main(int argc, char **argv)
{
    const char *names[MODES];
    int first = options_parse(option_table,
                              "tapraw [OPTION...]\n"
                              "Measures the kernel's tap; status 1 when frames "
                              "fail verification.",
                              argc, argv);

    if (first < argc) {
        die("unknown argument %s; --help lists options", argv[first]);
    }
    for (int i = 0; i < MODES; i++) {
        names[i] = modes[i].name;
    }
    json = json_open(opt.json);
    netns_enter();
    printf("%-11s %2s %8s %8s %7s %7s %8s %5s %7s %6s %5s %4s %4s %4s %6s %5s "
           "%5s verdict\n",
           "mode", "N", "kpps", "best", "ns/pkt", "best", "Mbit/s", "cores",
           "calls/p", "tdrop", "lost", "ooo", "bad", "wrq", "gen-ns", "other",
           "steal");
    for_each_run(opt.modes, names, MODES, opt.queues, run);
    return failures ? 1 : 0;
}
