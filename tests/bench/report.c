/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "mqbench.h"

#define BUSY_THREAD  0.01 /* cores; threads that are listed */
#define NAMED_THREAD 0.001

void report_head(void)
{
    printf("%-6s %2s %8s %8s %7s %7s %8s %4s %5s %2s %8s %7s %6s %5s %4s %4s "
           "%4s %6s %5s %5s %5s verdict | busy threads (cores)\n",
           "mode", "N", "kpps", "best", "ns/pkt", "best", "Mbit/s", "usr",
           "cores", "th", "kick/pkt", "vcs/kp", "tdrop", "lost", "ooo", "bad",
           "wrq", "gen-ns", "guest", "other", "steal");
}

static bool faultless(const Run *r, const Faults *f)
{
    return !(f->lost | f->ooo | f->bad | f->bad_used | f->stuck) &&
           (!f->wrong_queue || r->pairs == 1);
}

/* Threads that used CPU: their number, and " name:cores" of each. */
static int busy_threads(const Report *report, char *text, size_t size)
{
    double ns = report->last.at_ns - report->first.at_ns;
    size_t len = 0;
    int busy = 0;

    text[0] = 0;
    for (int i = 0; i < report->last.count; i++) {
        ThreadTimes t = proc_thread_since(&report->first, &report->last, i);
        double cores = t.run_ns / ns;
        if (cores >= BUSY_THREAD) {
            busy++;
            if (len < size) {
                len +=
                    snprintf(text + len, size - len, " %s:%.2f", t.name, cores);
            }
        }
    }
    return busy;
}

static void json_threads(FILE *f, const Report *report)
{
    double ns = report->last.at_ns - report->first.at_ns;
    const char *comma = "";

    fputs(",\"threads\":[", f);
    for (int i = 0; i < report->last.count; i++) {
        ThreadTimes t = proc_thread_since(&report->first, &report->last, i);
        if (t.run_ns / ns < NAMED_THREAD) {
            continue;
        }
        fprintf(f,
                "%s{\"name\":\"%s\",\"cores\":%.3f,\"waiting\":%.3f,"
                "\"switches\":%llu}",
                comma, t.name, t.run_ns / ns, t.wait_ns / ns,
                (unsigned long long)t.switches);
        comma = ",";
    }
    fputs("]", f);
}

static void report_json(const Run *r, const Report *report, int threads,
                        bool ok, FILE *f)
{
    const Faults *faults = &report->faults;
    const VirtDevice *d = &r->guest.dev;

    json_begin(f, "mqbench", mode_names[r->mode], r->pairs);
    json_string(f, "label", opt.label);
    json_bool(f, "ok", ok);
    metrics_json(f, &report->metrics);
    json_count(f, "threads_busy", threads);
    json_threads(f, report);
    json_count(f, "kicks_eventfd", d->kicks_eventfd);
    json_count(f, "kicks_qtest", d->kicks_qtest);
    json_count(f, "tap_drops", report->tap_drops);
    json_count(f, "lost", faults->lost);
    json_count(f, "ooo", faults->ooo);
    json_count(f, "bad", faults->bad);
    json_count(f, "bad_used", faults->bad_used);
    json_count(f, "stuck", faults->stuck);
    json_count(f, "wrong_queue", faults->wrong_queue);
    json_count(f, "gen_waits", report->gen_waits);
    json_count(f, "gen_stalls", report->gen_stalls);
    json_count(f, "starved", report->starved);
    json_count(f, "rx_ring", d->ring[0].size);
    json_count(f, "tx_ring", d->ring[1].size);
    json_count(f, "features", d->features);
    json_bool(f, "irq", opt.irq);
    if (mode_moves(r->mode)) {
        moves_json(f, &report->moves);
    }
    if (report->counted) {
        json_count(f, "counted_packets", report->counted_packets);
        json_count(f, "syscalls", report->syscalls);
        json_count(f, "futexes", report->futexes);
        json_string(f, "syscall_names", report->syscall_text);
    }
    json_end(f);
}

static void report_syscalls(const Report *report)
{
    double packets = report->counted_packets ? report->counted_packets : 1;

    printf("%9s system calls: %.5f a packet, %.2f futex a million packets; "
           "%llu packets: %s\n",
           "", report->syscalls / packets, report->futexes * 1e6 / packets,
           (unsigned long long)report->counted_packets, report->syscall_text);
}

bool report_row(const Run *r, const Report *report, FILE *json)
{
    const Metric *m = report->metrics.of;
    const Faults *f = &report->faults;
    bool ok = faultless(r, f);
    char threads[512];
    int busy = busy_threads(report, threads, sizeof(threads));

    printf("%-6s %2d %8.1f %8.1f %7.0f %7.0f %8.0f %3.0f%% %5.2f %2d %8.5f "
           "%7.2f %6llu %5llu %4llu %4llu %4llu %6.0f %5.2f %5.2f %5.2f %s "
           "|%s\n",
           mode_names[r->mode], r->pairs, m[METRIC_PPS].median / 1e3,
           m[METRIC_PPS].max / 1e3, m[METRIC_CPU_NS].median,
           m[METRIC_CPU_NS].min, m[METRIC_MBPS].median,
           m[METRIC_USER].median * 100, m[METRIC_CORES].median, busy,
           m[METRIC_CALLS].median, m[METRIC_SWITCHES].median,
           (unsigned long long)report->tap_drops, (unsigned long long)f->lost,
           (unsigned long long)f->ooo,
           (unsigned long long)(f->bad + f->bad_used + f->stuck),
           (unsigned long long)f->wrong_queue, m[METRIC_GENERATOR_NS].median,
           m[METRIC_GUEST_CORES].median, m[METRIC_OTHER_CORES].median,
           m[METRIC_STOLEN_CORES].median, ok ? "ok" : "FAIL", threads);
    if (r->mode == MODE_MIXED) {
        printf("%9s transmitted %.1f kpps, received %.1f kpps\n", "",
               m[METRIC_TX_PPS].median / 1e3,
               (m[METRIC_PPS].median - m[METRIC_TX_PPS].median) / 1e3);
    }
    if (mode_moves(r->mode)) {
        moves_print(&report->moves);
    }
    if (report->counted) {
        report_syscalls(report);
    }
    fflush(stdout);
    if (json) {
        report_json(r, report, busy, ok, json);
    }
    return ok;
}
