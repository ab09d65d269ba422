/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Measures the userspace virtio-net + tap datapath of a program with QEMU's
 * command line and qtest protocol, without virtualization. This process is the
 * guest (rings in shared memory, the program's own eventfds as doorbells), the
 * host's end of the tap (a BPF program that verifies, a load generator) and the
 * accountant. See docs/devel/performance.rst.
 */
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "mqbench.h"
#include "tap.h"

#define PROBE_FRAMES    64
#define PROBE_SETTLE_NS (20 * NS_PER_MS)
#define RTSO_WINDOW     4

const char *const mode_names[MODE_COUNT] = { "echo",       "tx",    "rx",
                                             "mixed",      "tso",   "rtso",
                                             "idle",       "moves", "moves-rx",
                                             "moves-vhost" };

MqOptions opt = {
    .bin = "qemu-system-x86_64",
    .modes = "echo,tx,rx,mixed,tso,rtso,idle",
    .queues = "1,2,4",
    .netdev_args = "",
    .dev_args = "",
    .accel = "auto",
    .shm = "/dev/shm",
    .time_ms = 1000,
    .repeat = 3,
    .warm_ms = 300,
    .len = FRAME_MIN,
    .tso_len = 65226,
    .mss = 1448,
    .fragment = 32768,
    .tx_flows = 1,
    .rx_flows = 8,
    .window = 64,
    .segments = 32,
    .burst = 16,
    .generators = 1,
    .gen_idle = 100,
    .idle = IDLE_ADAPT,
    .nice = -10,
    .mem = 256,
    .txqueuelen = 1000,
    .echo_frames = 2000,
    .round_trips = 2000,
    .moves = 1000,
    .event_idx = true,
    .indirect = true,
};

static const Option option_table[] = {
    { "bin", OPTION_STRING, &opt.bin, 0, 0, "PATH: the program under test" },
    { "label", OPTION_STRING, &opt.label, 0, 0, "its name in the JSON" },
    { "modes", OPTION_STRING, &opt.modes, 0, 0,
      "LIST of echo,tx,rx,mixed,tso,rtso,idle,moves,moves-rx,moves-vhost" },
    { "queues", OPTION_STRING, &opt.queues, 0, 0,
      "LIST of queue pairs: 1,2,4" },
    { "time", OPTION_MS, &opt.time_ms, 1, 3600000, "seconds an interval: 1" },
    { "repeat", OPTION_INT, &opt.repeat, 1, MAX_INTERVALS,
      "intervals; medians are shown: 3" },
    { "warm", OPTION_MS, &opt.warm_ms, 0, 60000, "seconds before them: 0.3" },
    { "len", OPTION_INT, &opt.len, FRAME_MIN, FRAME_MAX,
      "bytes of a datagram's frame: 60" },
    { "tso-len", OPTION_INT, &opt.tso_len, FRAME_MIN, GSO_MAX,
      "bytes of a large frame: 65226" },
    { "mss", OPTION_INT, &opt.mss, 100, 16384, "its segments' size: 1448" },
    { "frag", OPTION_INT, &opt.fragment, 4096, 65536,
      "bytes a descriptor of it: 32768" },
    { "accel", OPTION_STRING, &opt.accel, 0, 0,
      "qtest; tcg: a halted CPU, for programs without it; auto" },
    { "rx-size", OPTION_INT, &opt.rx_size, 0, 32768,
      "receive ring, 0: as large as offered" },
    { "tx-size", OPTION_INT, &opt.tx_size, 0, 32768, "transmit ring" },
    { "dev-args", OPTION_STRING, &opt.dev_args, 0, 0,
      "appended to -device; %N pairs, %V vectors" },
    { "netdev-args", OPTION_STRING, &opt.netdev_args, 0, 0,
      "appended to -netdev" },
    { "per-queue", OPTION_WORDS, &opt.per_queue, 0, 0,
      "arguments for each pair %q; may be repeated" },
    { "fds", OPTION_ON, &opt.pass_fds, 0, 0, "pass open tap queues" },
    { "kick-qtest", OPTION_ON, &opt.kick_qtest, 0, 0, "doorbells by qtest" },
    { "no-event-idx", OPTION_OFF, &opt.event_idx, 0, 0, "without EVENT_IDX" },
    { "no-indirect", OPTION_OFF, &opt.indirect, 0, 0, "without INDIRECT_DESC" },
    { "irq", OPTION_ON, &opt.irq, 0, 0,
      "MSI-X, landing in guest memory; a guest like NAPI" },
    { "idle", OPTION_INT, &opt.idle, IDLE_ADAPT, 1000000,
      "us of the guest's sleep; 0 spins, -1 yields, -2 adapts: -2" },
    { "program-cpus", OPTION_STRING, &opt.program_cpus, 0, 0,
      "LIST to pin the program to" },
    { "bench-cpus", OPTION_STRING, &opt.bench_cpus, 0, 0,
      "LIST for guest and generators" },
    { "nice", OPTION_INT, &opt.nice, -20, 19, "of the guest's thread: -10" },
    { "window", OPTION_INT, &opt.window, 0, 65536,
      "frames of a flow on their way, 0: no limit: 64" },
    { "gen-seg", OPTION_INT, &opt.segments, 1, 64,
      "frames in a super-packet, 1: plain frames: 32" },
    { "burst", OPTION_INT, &opt.burst, 1, 64, "plain frames in a row: 16" },
    { "gens", OPTION_INT, &opt.generators, 1, MAX_PAIRS, "generators: 1" },
    { "gen-idle", OPTION_INT, &opt.gen_idle, -1, 1000000,
      "us of their sleep, 0 yields, -1 spins: 100" },
    { "rx-flows", OPTION_INT, &opt.rx_flows, 1, 64, "flows a queue: 8" },
    { "tx-flows", OPTION_INT, &opt.tx_flows, 1, TX_FLOWS_PER_PAIR - 1,
      "flows a queue: 1" },
    { "tx-batch", OPTION_INT, &opt.tx_batch, 0, 32767,
      "refill when more slots are free: 0" },
    { "txqueuelen", OPTION_INT, &opt.txqueuelen, 1, 100000,
      "of the tap: 1000" },
    { "mem", OPTION_INT, &opt.mem, 64, 3072, "MiB of guest memory: 256" },
    { "shm", OPTION_STRING, &opt.shm, 0, 0, "where its file is: /dev/shm" },
    { "rxbuf", OPTION_INT, &opt.rx_buffer, 0, 65600,
      "bytes of a receive buffer, 0: as the mode needs" },
    { "deep", OPTION_ON, &opt.deep, 0, 0, "compare all bytes received" },
    { "echo-frames", OPTION_INT, &opt.echo_frames, 64, 10000000,
      "a queue: 2000" },
    { "rr", OPTION_INT, &opt.round_trips, 1, 1000000, "round trips: 2000" },
    { "moves", OPTION_INT, &opt.moves, 1, 1000000,
      "of pair 0 to another owner, in an interval: 1000" },
    { "syscalls", OPTION_ON, &opt.syscalls, 0, 0,
      "count the program's system calls" },
    { "during", OPTION_STRING, &opt.during, 0, 0,
      "COMMAND to run meanwhile; %p the program's pid" },
    { "json", OPTION_STRING, &opt.json, 0, 0, "FILE to append to, -: stdout" },
    { 0 },
};

static FILE *json;
static int failures;

static uint64_t wanted_features(Mode mode, int pairs)
{
    uint64_t want = FEATURE(VIRTIO_NET_F_MAC) | FEATURE(VIRTIO_NET_F_STATUS) |
                    FEATURE(VIRTIO_NET_F_MRG_RXBUF) |
                    FEATURE(VIRTIO_NET_F_CTRL_VQ);

    if (pairs > 1) {
        want |= FEATURE(VIRTIO_NET_F_MQ);
    }
    if (opt.event_idx) {
        want |= FEATURE(VIRTIO_RING_F_EVENT_IDX);
    }
    if (opt.indirect) {
        want |= FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
    }
    if (mode == MODE_TSO) {
        want |= FEATURE(VIRTIO_NET_F_CSUM) | FEATURE(VIRTIO_NET_F_HOST_TSO4);
    }
    if (mode == MODE_RTSO) {
        want |=
            FEATURE(VIRTIO_NET_F_GUEST_CSUM) | FEATURE(VIRTIO_NET_F_GUEST_TSO4);
    }
    return want;
}

static Load load_of(Mode mode)
{
    bool rtso = mode == MODE_RTSO;

    return (Load){
        .len = rtso ? opt.tso_len : opt.len,
        .mss = rtso ? opt.mss : 0,
        .segments = rtso ? 1 : opt.segments,
        .window = rtso && opt.window > RTSO_WINDOW ? RTSO_WINDOW : opt.window,
        .burst = opt.burst,
        .idle_us = opt.gen_idle,
        .flows = opt.rx_flows,
        .threads = opt.generators,
        .cpus = opt.bench_cpus,
    };
}

/* For the search of doorbells: something the device would use if it looked. */
static bool probe_prepare(void *opaque, Vring *ring)
{
    Guest *g = opaque;
    TxQueue *t = &g->tx[ring->index / 2];

    if (ring->index & 1) {
        if (!t->free_count) {
            return false;
        }
        tx_put(g, t);
    }
    vring_publish_silently(ring);
    return true;
}

static void find_doorbells(Run *r)
{
    VirtDevice *d = &r->guest.dev;
    Load plain = r->load;
    int fd, found;

    if (opt.kick_qtest) {
        for (int i = 0; i < r->pairs; i++) {
            vring_publish_silently(&d->ring[2 * i]);
            vring_kick(d, &d->ring[2 * i]);
        }
        return;
    }
    tap_wait_ready(r->tap);
    plain.segments = 1;
    plain.len = plain.mss ? TCP_STAMP + FRAME_MIN : plain.len;
    fd = load_open(&plain, r->ifindex);
    for (int i = 0; i < PROBE_FRAMES; i++) {
        load_send_one(&plain, fd, &rx_flows[i]);
    }
    close(fd);
    sleep_ns(PROBE_SETTLE_NS);
    found = doorbells_find(d, r->program.pid, probe_prepare, &r->guest);
    if (found < 2 * r->pairs) {
        fprintf(stderr,
                "note: %d of %d doorbells are eventfds, the others go by "
                "qtest\n",
                found, 2 * r->pairs);
    }
}

static void start_program(Run *r)
{
    int fd[MAX_PAIRS];

    for (int i = 0; i < r->pairs && opt.pass_fds; i++) {
        fd[i] = tap_open_queue(r->tap, r->pairs);
        fcntl(fd[i], F_SETFD, 0);
    }
    program_start(&r->program, &r->guest.dev, r->mode, r->pairs, r->tap,
                  opt.pass_fds ? fd : NULL);
    for (int i = 0; i < r->pairs && opt.pass_fds; i++) {
        close(fd[i]);
    }
}

static void start_device(Run *r)
{
    VirtSetup setup = { .features = wanted_features(r->mode, r->pairs),
                        .pairs = r->pairs,
                        .rx_size = opt.rx_size,
                        .tx_size = opt.tx_size,
                        .irq = opt.irq };
    uint64_t tso = r->mode == MODE_TSO    ? FEATURE(VIRTIO_NET_F_HOST_TSO4)
                   : r->mode == MODE_RTSO ? FEATURE(VIRTIO_NET_F_GUEST_TSO4)
                                          : 0;
    Guest *g = &r->guest;

    vdev_find(&g->dev);
    vdev_start(&g->dev, &setup);
    if (tso & ~g->dev.features) {
        die("the device does not offer TSO4");
    }
    guest_init_queues(g);
    vdev_set_pairs(&g->dev, r->pairs);
    if (r->mode == MODE_ECHO) {
        sink_attach_bounce(&r->sink, r->ifindex);
    } else {
        sink_attach(&r->sink, r->ifindex, STAMP_OFFSET(r->mode == MODE_TSO));
    }
    find_doorbells(r);
    for (int i = 0; i < r->pairs; i++) {
        tx_reclaim(g, &g->tx[i]);
    }
}

static bool run_mode(Run *r)
{
    Report *report;
    bool ok;

    if (r->mode == MODE_ECHO) {
        return run_echo(r, json);
    }
    if (r->mode == MODE_IDLE) {
        return run_idle(r, json);
    }
    report = alloc(1, sizeof(*report));
    run_measure(r, report);
    ok = report_row(r, report, json);
    free(report);
    return ok;
}

static void run(int mode, int pairs)
{
    static int serial;
    Run *r = alloc(1, sizeof(*r));
    Guest *g = &r->guest;

    r->mode = mode;
    r->pairs = g->pairs = pairs;
    r->load = load_of(mode);
    g->mode = mode;
    g->transmits = mode_transmits(mode);
    g->receives = mode_receives(mode);
    g->rx_stamp = STAMP_OFFSET(mode == MODE_RTSO);
    g->handler = rx_measure;
    snprintf(r->tap, sizeof(r->tap), "mqb%d", serial++);
    rx_flows_reset();
    r->ifindex = tap_create(r->tap, pairs, opt.txqueuelen);
    start_program(r);
    start_device(r);
    failures += !run_mode(r);
    program_stop(&r->program, &g->dev);
    vdev_free(&g->dev);
    guest_free_queues(g);
    sink_detach(&r->sink);
    tap_delete(r->tap, pairs);
    free(r);
}

int main(int argc, char **argv)
{
    int first = options_parse(
        option_table,
        "mqbench [OPTION...] [-- ARGUMENT of the program...]\n"
        "Measures a program's userspace virtio-net on taps of its own; status "
        "1 when frames fail verification.",
        argc, argv);

    opt.extra = argv + first;
    opt.extra_count = argc - first;
    opt.label = opt.label ? opt.label : opt.bin;
    if (opt.segments > 1 && opt.window && opt.window < opt.segments) {
        die("--window %d: must be at least --gen-seg, %d, or 0", opt.window,
            opt.segments);
    }
    json = json_open(opt.json);
    program_guard();
    netns_enter();
    report_head();
    for_each_run(opt.modes, mode_names, MODE_COUNT, opt.queues, run);
    return failures ? 1 : 0;
}
