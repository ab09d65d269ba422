/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames that the host sends back: every byte, the order and the queue are
 * compared. Automatic steering has to return a flow to the queue it was sent
 * from, once the tap has learned it; the frame that teaches it may go astray.
 */
#include <sched.h>
#include <sys/resource.h>

#include "mqbench.h"

#define BURST        32
#define LEARN_ROUNDS 2
#define GIVE_UP_NS   (3 * NS_PER_SEC)
#define SETTLE_TURNS 200
#define MOST_LOST    3 /* more say no more, and each costs seconds */

typedef struct Echo {
    uint64_t sent, ok, bad, dup, ooo, wrong_queue, early, lost;
    uint64_t missed_kicks; /* of the lost: came back after another kick */
    uint64_t next[TX_FLOWS];
    bool learned;
} Echo;

static Echo echo; /* main thread, which is the guest here */

static void echo_check_order(const FrameStamp *s)
{
    uint64_t *next = &echo.next[s->flow];

    if (!echo.learned) {
        *next = s->seq >= *next ? s->seq + 1 : *next;
    } else if (s->seq < *next) {
        echo.dup++;
    } else {
        echo.ooo += s->seq > *next;
        *next = s->seq + 1;
    }
}

static bool echo_intact(const uint8_t *frame, int len, FrameStamp *s)
{
    uint8_t want[FRAME_MAX];

    memcpy(s, frame + UDP_STAMP, sizeof(*s));
    if (s->magic != STAMP_MAGIC || s->flow >= TX_FLOWS) {
        return false;
    }
    frame_udp(want, len, s->flow, false);
    frame_set_seq(want + UDP_STAMP, s->seq, s->flow);
    return memcmp(want, frame, len) == 0;
}

static void rx_echo(Guest *g, const RxFrame *f)
{
    uint8_t frame[FRAME_MAX];
    FrameStamp s;
    int len = 0;

    if (f->len < FRAME_MIN || f->len > FRAME_MAX) {
        echo.bad++;
        return;
    }
    for (int k = 0; k < f->parts; k++) {
        memcpy(frame + len, f->data[k], f->size[k]);
        len += f->size[k];
    }
    if (!echo_intact(frame, len, &s)) {
        echo.bad++;
        return;
    }
    echo_check_order(&s);
    if (s.flow / TX_FLOWS_PER_PAIR != f->queue) {
        *(echo.learned ? &echo.wrong_queue : &echo.early) += 1;
    }
    echo.ok++;
}

/* Not counted: what the search for doorbells left behind. */
static void rx_ignore(Guest *g, const RxFrame *f)
{
}

static int echo_poll(Guest *g)
{
    int moved = 0;

    for (int q = 0; q < g->pairs; q++) {
        moved += tx_reclaim(g, &g->tx[q]);
        moved += rx_poll(g, &g->rx[q]);
    }
    return moved;
}

static void echo_settle(Guest *g)
{
    g->handler = rx_ignore;
    for (int i = 0; i < SETTLE_TURNS; i++) {
        echo_poll(g);
        sleep_ns(100000);
    }
    memset(&echo, 0, sizeof(echo));
    for (int q = 0; q < g->pairs; q++) {
        memcpy(&echo.next[q * TX_FLOWS_PER_PAIR], g->tx[q].seq,
               sizeof(g->tx[q].seq));
    }
    g->handler = rx_echo;
}

/* Until all that was sent is back; what is not after a while is lost. */
static void echo_collect(Guest *g)
{
    uint64_t start = now_ns();

    while (echo.ok + echo.bad + echo.lost < echo.sent) {
        if (echo_poll(g)) {
            start = now_ns();
        } else if (now_ns() - start > GIVE_UP_NS) {
            echo.lost = echo.sent - echo.ok - echo.bad;
        } else {
            sched_yield();
        }
    }
}

static void echo_bursts(Guest *g)
{
    int rounds = (opt.echo_frames + BURST - 1) / BURST;
    uint32_t random = 12345;

    for (int r = 0; r < rounds && echo.lost < MOST_LOST; r++) {
        for (int q = 0; q < g->pairs; q++) {
            for (int i = 0; i < BURST && g->tx[q].free_count; i++) {
                int len = FRAME_MIN;
                random = random * 1103515245 + 12345;
                if (r >= LEARN_ROUNDS && random >> 28) {
                    len += (random >> 16) % (FRAME_MAX - FRAME_MIN + 1);
                }
                tx_put_datagram(g, &g->tx[q], len);
                echo.sent++;
            }
            vring_publish(&g->dev, g->tx[q].ring);
        }
        echo_collect(g);
        echo.learned |= r == LEARN_ROUNDS - 1;
    }
}

/* Spins until @want frames are back; false: they are not coming. */
static bool echo_wait(Guest *g, uint64_t want)
{
    uint64_t start = now_ns();

    while (echo.ok < want && now_ns() - start < GIVE_UP_NS) {
        echo_poll(g);
    }
    return echo.ok >= want;
}

/* One frame at a time, queues in turn; us into @us. Returns how many. */
static int echo_round_trips(Guest *g, double *us)
{
    int count = 0;

    for (int i = 0; i < opt.round_trips && echo.lost < MOST_LOST; i++) {
        TxQueue *t = &g->tx[i % g->pairs];
        uint64_t want = echo.ok + 1, start = now_ns();
        tx_put_datagram(g, t, FRAME_MIN);
        echo.sent++;
        vring_publish(&g->dev, t->ring);
        if (echo_wait(g, want)) {
            us[count++] = (now_ns() - start) / 1e3;
        } else {
            echo.lost++;
            vring_kick(&g->dev, t->ring);
            echo.missed_kicks += echo_wait(g, want);
        }
    }
    return count;
}

static uint64_t echo_bad_used(const Guest *g)
{
    uint64_t bad = 0;

    for (int i = 0; i < g->dev.ring_count; i++) {
        bad += g->dev.ring[i].bad_used;
    }
    for (int i = 0; i < g->pairs; i++) {
        bad += g->rx[i].bad_buffers;
    }
    return bad;
}

static bool echo_report(const Run *r, double *us, int count, double cpu_us,
                        FILE *json)
{
    uint64_t bad_used = echo_bad_used(&r->guest);
    double p50 = median(us, count), p99 = count ? us[count * 99 / 100] : 0;
    bool ok = !(echo.bad | echo.dup | echo.ooo | echo.wrong_queue | echo.lost |
                bad_used);
    struct {
        const char *key;
        uint64_t value;
    } counts[] = { { "frames", echo.sent },
                   { "lost", echo.lost },
                   { "corrupt", echo.bad },
                   { "dup", echo.dup },
                   { "ooo", echo.ooo },
                   { "bad_used", bad_used },
                   { "wrong_queue", echo.wrong_queue },
                   { "missed_kicks", echo.missed_kicks } };

    printf("%-6s %2d %s: round trip p50 %.1f us, p99 %.1f us, %.1f us of CPU;",
           mode_names[r->mode], r->pairs, ok ? "ok" : "FAIL", p50, p99, cpu_us);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        printf(" %s %llu", counts[i].key, (unsigned long long)counts[i].value);
    }
    printf(", before learning %llu\n", (unsigned long long)echo.early);
    fflush(stdout);
    json_begin(json, "mqbench", mode_names[r->mode], r->pairs);
    json_string(json, "label", opt.label);
    json_bool(json, "ok", ok);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        json_count(json, counts[i].key, counts[i].value);
    }
    json_number(json, "rr_us_p50", p50);
    json_number(json, "rr_us_p99", p99);
    json_number(json, "rr_cpu_us", cpu_us);
    json_end(json);
    return ok;
}

bool run_echo(Run *r, FILE *json)
{
    static ProcSnapshot before, after;
    double *us = alloc(opt.round_trips, sizeof(*us)), cpu_us;
    Guest *g = &r->guest;
    bool ok;
    int count;

    setpriority(PRIO_PROCESS, 0, opt.nice);
    pin_thread(opt.bench_cpus);
    echo_settle(g);
    echo_bursts(g);
    proc_snapshot(r->program.pid, &before);
    count = echo_round_trips(g, us);
    proc_snapshot(r->program.pid, &after);
    setpriority(PRIO_PROCESS, 0, 0);
    cpu_us = proc_since(&before, &after).run_ns / 1e3 / (count ? count : 1);
    ok = echo_report(r, us, count, cpu_us, json);
    free(us);
    return ok;
}

/* Receive buffers are posted, nothing arrives, nothing is sent. */
bool run_idle(Run *r, FILE *json)
{
    static ProcSnapshot before, after;
    ThreadTimes spent;
    double seconds;

    sleep_ns(opt.warm_ms * NS_PER_MS);
    proc_snapshot(r->program.pid, &before);
    sleep_ns(opt.time_ms * NS_PER_MS);
    proc_snapshot(r->program.pid, &after);
    spent = proc_since(&before, &after);
    seconds = (after.at_ns - before.at_ns) / (double)NS_PER_SEC;
    printf("%-6s %2d ok: %.1f us of CPU a second, %.1f wake-ups a second, %d "
           "threads\n",
           mode_names[r->mode], r->pairs, spent.run_ns / 1e3 / seconds,
           spent.switches / seconds, after.count);
    fflush(stdout);
    json_begin(json, "mqbench", mode_names[r->mode], r->pairs);
    json_string(json, "label", opt.label);
    json_bool(json, "ok", true);
    json_number(json, "idle_us_per_s", spent.run_ns / 1e3 / seconds);
    json_number(json, "wakeups_per_s", spent.switches / seconds);
    json_count(json, "threads", after.count);
    json_end(json);
    return true;
}
