/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mqbench.h"
#include "tap.h"

#define DRAIN_TRIES 40
#define DRAIN_RX    20 /* tries for frames that may have been dropped */
#define DRAIN_NS    (50 * NS_PER_MS)
#define LEFTOVER_NS (20 * NS_PER_MS)

/* The generators of the run, for the main thread only. */
typedef struct Generators {
    Generator g[MAX_PAIRS];
    int count;
} Generators;

static uint64_t poll_all(void *opaque)
{
    Guest *g = opaque;
    uint64_t received = 0;

    for (int q = 0; q < g->pairs; q++) {
        rx_poll(g, &g->rx[q]);
        received += g->rx[q].packets;
    }
    return received;
}

static void learn_flows(Run *r, Generators *gens)
{
    Guest *g = &r->guest;

    for (uint64_t start = now_ns(); now_ns() - start < LEFTOVER_NS;) {
        poll_all(g); /* what the search for doorbells left behind */
        sleep_ns(100000);
    }
    load_learn(&r->load, r->ifindex, poll_all, g);
    for (int q = 0; q < g->pairs; q++) {
        g->rx[q].check = (RxCheck){ 0 };
    }
    gens->count = generators_new(gens->g, &r->load, r->ifindex, r->pairs);
    if (!gens->count) {
        die("no load for every receive queue");
    }
}

static void take_sample(Run *r, const Generators *gens, ProcSnapshot *first,
                        Sample *s)
{
    static ProcSnapshot now;
    Guest *g = &r->guest;
    ThreadTimes spent;

    *s = (Sample){ 0 };
    proc_snapshot(r->program.pid, &now);
    spent = proc_since(first, &now);
    s->at_ns = now.at_ns;
    s->cpu_ns = spent.run_ns;
    s->user = spent.user;
    s->system = spent.system;
    s->switches = spent.switches;
    for (int q = 0; q < r->pairs; q++) {
        s->tx_packets += counter_get(&g->tx[q].done);
        s->packets += counter_get(&g->rx[q].packets);
        s->bytes += counter_get(&g->tx[q].bytes) + counter_get(&g->rx[q].bytes);
    }
    s->packets += s->tx_packets;
    s->calls =
        counter_get(&g->dev.kicks_eventfd) + counter_get(&g->dev.kicks_qtest);
    s->irqs = counter_get(&g->irqs);
    s->guest_ns = counter_get(&g->cpu_ns);
    for (int k = 0; k < gens->count; k++) {
        s->generator_ns += counter_get(&gens->g[k].cpu_ns);
        s->generator_sent += counter_get(&gens->g[k].sent);
    }
    machine_cpu(&s->busy_ms, &s->stolen_ms);
}

/* Runs opt.during in the background, with %p = the program's process. */
static int start_during(int pid)
{
    char command[1024];
    size_t len = 0;
    int child;

    if (!opt.during) {
        return 0;
    }
    for (const char *p = opt.during; *p && len < sizeof(command) - 16; p++) {
        if (p[0] == '%' && p[1] == 'p') {
            len += sprintf(command + len, "%d", pid);
            p++;
        } else {
            command[len++] = *p;
        }
    }
    command[len] = 0;
    child = fork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    return child;
}

static void take_intervals(Run *r, const Generators *gens, Report *report)
{
    SyscallCount calls = { 0 };
    Sample sample[2], start;
    Guest *g = &r->guest;
    int count = g->gaps ? 1 : opt.repeat;

    proc_snapshot(r->program.pid, &report->first);
    report->counted =
        opt.syscalls && syscall_count_start(&calls, r->program.pid);
    take_sample(r, gens, &report->first, &sample[0]);
    start = sample[0];
    for (int i = 0; i < count; i++) {
        if (g->gaps) {
            moves_make(r, &report->moves);
        } else {
            sleep_ns(opt.time_ms * NS_PER_MS);
        }
        take_sample(r, gens, &report->first, &sample[(i + 1) % 2]);
        metrics_add(&report->metrics, &sample[i % 2], &sample[(i + 1) % 2]);
    }
    if (report->counted) {
        syscall_count_stop(&calls);
        report->counted_packets = sample[count % 2].packets - start.packets;
        report->syscalls = syscall_count_total(&calls);
        report->futexes = calls.count[SYS_futex];
        syscall_count_text(&calls, report->syscall_text,
                           sizeof(report->syscall_text));
        syscall_count_free(&calls);
    }
    proc_snapshot(r->program.pid, &report->last);
    metrics_close(&report->metrics);
}

/* What is in flight has to arrive, or it is lost. */
static void drain(Run *r)
{
    Guest *g = &r->guest;

    flag_set(&g->no_more_tx, true);
    for (int i = 0; i < DRAIN_TRIES; i++) {
        uint64_t out = 0, in = g->receives ? rx_flows_missing() : 0;
        for (int q = 0; q < r->pairs; q++) {
            out +=
                counter_get(&g->tx[q].submitted) - counter_get(&g->tx[q].done);
        }
        if ((!out || !g->transmits) && (!in || i > DRAIN_RX)) {
            break;
        }
        sleep_ns(DRAIN_NS);
    }
    guest_join(g);
}

static void judge_tx(Run *r, int pair, Faults *f)
{
    TxQueue *t = &r->guest.tx[pair];
    SinkFlow seen = sink_pair(&r->sink, pair);

    f->stuck += t->submitted - t->done;
    f->ooo += seen.ooo;
    f->bad += seen.bad_len;
    f->wrong_queue += seen.wrong_queue;
    if (t->done > seen.packets) {
        f->lost += t->done - seen.packets; /* used, and not sent */
    } else if (t->submitted == t->done) {
        f->ooo += seen.packets - t->done; /* sent twice */
    }
}

static void judge(Run *r, Report *report)
{
    Faults *f = &report->faults;
    Guest *g = &r->guest;
    uint64_t missing = g->receives ? rx_flows_missing() : 0;

    for (int q = 0; q < r->pairs; q++) {
        RxQueue *rx = &g->rx[q];
        if (g->transmits) {
            judge_tx(r, q, f);
            report->starved += g->tx[q].starved;
        }
        if (g->receives) {
            missing += rx->check.gap;
            f->ooo += rx->check.ooo;
            f->bad += rx->check.corrupt + rx->check.foreign + rx->bad_buffers;
            f->wrong_queue += rx->check.wrong_queue;
        }
    }
    f->bad += r->sink.flow[SINK_FOREIGN].packets;
    for (int i = 0; i < g->dev.ring_count; i++) {
        f->bad_used += g->dev.ring[i].bad_used;
    }
    /* What the tap drops for want of room is not the program's loss. */
    if (missing > report->tap_drops) {
        f->lost += missing - report->tap_drops;
    }
}

void run_measure(Run *r, Report *report)
{
    Generators *gens = alloc(1, sizeof(*gens));
    Guest *g = &r->guest;
    int during;

    if (g->receives) {
        learn_flows(r, gens);
    }
    report->tap_drops = -tap_drops(r->tap);
    g->dev.kicks_eventfd = g->dev.kicks_qtest = 0;
    if (mode_moves(r->mode)) {
        moves_prepare(r);
    }
    guest_start(g);
    for (int k = 0; k < gens->count; k++) {
        generator_start(&gens->g[k]);
    }
    sleep_ns(opt.warm_ms * NS_PER_MS);
    during = start_during(r->program.pid);
    take_intervals(r, gens, report);
    if (during > 0) {
        kill(during, SIGINT);
        waitpid(during, NULL, 0);
    }
    for (int k = 0; k < gens->count; k++) {
        generator_join(&gens->g[k]);
        report->gen_waits += gens->g[k].waits;
        report->gen_stalls += gens->g[k].stalls;
    }
    drain(r);
    report->tap_drops += tap_drops(r->tap);
    judge(r, report);
    moves_free(r);
    for (int k = 0; k < gens->count; k++) {
        generator_free(&gens->g[k]);
    }
    free(gens);
}
