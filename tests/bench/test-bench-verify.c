/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The benchmark's two verifiers, the sink and rx_check(), are fed known faults:
 * do they notice what they must notice, and nothing else?
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gaps.h"
#include "gen.h"
#include "sink.h"
#include "syscount.h"
#include "tap.h"

#define QUEUES   2
#define BUF_SIZE 4096

/* A frame as a test sends it, with what is wrong about it. */
typedef struct Sent {
    int queue;
    uint16_t flow;
    uint64_t seq;
    int len, stamp_len;
    uint16_t tag_change;
    uint32_t magic;
} Sent;

static int tap_ifindex, queue_fd[QUEUES];

static bool tap_open_all(void)
{
    if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0) {
        g_test_skip("needs root and /dev/net/tun");
        return false;
    }
    tap_ifindex = tap_create("verify0", QUEUES, 1000);
    for (int q = 0; q < QUEUES; q++) {
        queue_fd[q] = tap_open_queue("verify0", QUEUES);
    }
    tap_wait_ready("verify0");
    return true;
}

static void tap_close_all(void)
{
    for (int q = 0; q < QUEUES; q++) {
        close(queue_fd[q]);
    }
    tap_delete("verify0", QUEUES);
}

/* ---- the sink ---- */

static void send_frame(const Sent *s)
{
    uint8_t buf[2048] = { 0 };
    FrameStamp stamp = { s->magic, s->flow,
                         frame_tag(s->seq, s->flow) ^ s->tag_change, s->seq,
                         s->stamp_len };
    int len = s->len + VNET_HEADER;

    frame_udp(buf + VNET_HEADER, s->len, s->flow, false);
    memcpy(buf + VNET_HEADER + UDP_STAMP, &stamp, sizeof(stamp));
    g_assert_cmpint(write(queue_fd[s->queue], buf, len), ==, len);
}

static void send_good(int queue, uint16_t flow, uint64_t seq, int len)
{
    Sent s = { queue, flow, seq, len, len, 0, STAMP_MAGIC };

    send_frame(&s);
}

static uint64_t faults_of(const SinkFlow *f)
{
    return f->gap + f->ooo + f->bad_len + f->wrong_queue;
}

static void test_sink(void)
{
    const uint16_t first = 0, second = TX_FLOWS_PER_PAIR;
    const Sent foreign[] = {
        { 0, first, 18, 60, 60, 1, STAMP_MAGIC },
        { 0, first, 18, 60, 60, 0, STAMP_MAGIC + 1 },
        { 0, TX_FLOWS + 44, 18, 60, 60, 0, STAMP_MAGIC },
        { 0, SINK_FOREIGN, 18, 60, 60, 0, STAMP_MAGIC },
    };
    const Sent bad_len = { 0, first, 16, 60, 61, 0, STAMP_MAGIC };
    SinkFlow seen;
    Sink sink;

    if (!tap_open_all()) {
        return;
    }
    sink_attach(&sink, tap_ifindex, UDP_STAMP);
    for (int i = 0; i < 10; i++) {
        send_good(0, first, i, 60);
        send_good(1, second, i, 1514);
    }
    for (int q = 0; q < QUEUES; q++) {
        seen = sink_pair(&sink, q);
        g_assert_cmpuint(seen.packets, ==, 10);
        g_assert_cmpuint(seen.bytes, ==, q ? 15140 : 600);
        g_assert_cmpuint(faults_of(&seen), ==, 0);
    }
    send_good(0, first, 15, 60); /* 10 to 14 are missing */
    g_assert_cmpuint(sink.flow[first].gap, ==, 5);
    g_assert_cmpuint(sink.flow[first].next, ==, 16);
    send_good(0, first, 12, 60);
    send_good(0, first, 15, 60);
    g_assert_cmpuint(sink.flow[first].ooo, ==, 2);
    g_assert_cmpuint(sink.flow[first].next, ==, 16);
    send_frame(&bad_len);
    g_assert_cmpuint(sink.flow[first].bad_len, ==, 1);
    g_assert_cmpuint(sink.flow[first].next, ==, 17);
    send_good(1, first, 17, 60);
    g_assert_cmpuint(sink.flow[first].wrong_queue, ==, 1);
    g_assert_cmpuint(sink.flow[SINK_FOREIGN].packets, ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(foreign); i++) {
        send_frame(&foreign[i]);
        g_assert_cmpuint(sink.flow[SINK_FOREIGN].packets, ==, i + 1);
    }
    g_assert_cmpuint(sink.flow[first].packets, ==, 15);
    sink_detach(&sink);
    tap_close_all();
}

/* ---- rx_check ---- */

/* Reads what waits on queue @q into the check. */
static uint64_t drain_queue(RxCheck *c, int q)
{
    uint8_t buf[BUF_SIZE];
    uint64_t count = 0;
    ssize_t len;

    while ((len = read(queue_fd[q], buf, sizeof(buf))) > 0) {
        rx_check(c, buf + VNET_HEADER, len - VNET_HEADER, UDP_STAMP, q, true);
        count++;
    }
    return count;
}

static uint64_t failures_of(const RxCheck *c)
{
    return c->gap + c->ooo + c->corrupt + c->foreign + c->wrong_queue;
}

/* One good frame, read, then given to the check with faults. */
static void check_faults(RxCheck *c, uint8_t *frame, int len, int queue)
{
    rx_check(c, frame, len, UDP_STAMP, queue, true);
    g_assert_cmpuint(c->gap, ==, 3);
    rx_check(c, frame, len, UDP_STAMP, queue, true);
    g_assert_cmpuint(c->ooo, ==, 1);
    rx_check(c, frame, len, UDP_STAMP, !queue, true);
    g_assert_cmpuint(c->wrong_queue, ==, 1);
    frame[80] ^= 1; /* payload */
    rx_check(c, frame, len, UDP_STAMP, queue, true);
    g_assert_cmpuint(c->corrupt, ==, 1);
    frame[80] ^= 1;
    rx_check(c, frame, len - 1, UDP_STAMP, queue, true);
    g_assert_cmpuint(c->corrupt, ==, 2);
    frame[UDP_STAMP + offsetof(FrameStamp, seq)] ^= 1;
    rx_check(c, frame, len, UDP_STAMP, queue, true);
    g_assert_cmpuint(c->corrupt, ==, 3);
    frame[UDP_STAMP] ^= 1; /* magic */
    rx_check(c, frame, len, UDP_STAMP, queue, true);
    rx_check(c, frame, UDP_STAMP, UDP_STAMP, queue, true);
    g_assert_cmpuint(c->foreign, ==, 2);
}

static void test_rx_check(void)
{
    const Load plain = { .len = 100, .segments = 1 };
    uint8_t buf[BUF_SIZE];
    RxCheck c = { 0 };
    int fd, queue;
    ssize_t len;

    if (!tap_open_all()) {
        return;
    }
    rx_flows_reset();
    fd = load_open(&plain, tap_ifindex);
    for (int i = 0; i < 200; i++) {
        load_send_one(&plain, fd, &rx_flows[i % 100]);
    }
    for (int q = 0; q < QUEUES; q++) {
        g_assert_cmpuint(drain_queue(&c, q), >, 0);
    }
    g_assert_cmpuint(c.packets, ==, 200);
    g_assert_cmpuint(failures_of(&c), ==, 0);
    g_assert_cmpuint(rx_flows_missing(), ==, 0);
    rx_flows[0].seq = 5; /* 2 to 4 never leave */
    load_send_one(&plain, fd, &rx_flows[0]);
    queue = rx_flows[0].queue;
    len = read(queue_fd[queue], buf, sizeof(buf));
    g_assert_cmpint(len, ==, 100 + VNET_HEADER);
    check_faults(&c, buf + VNET_HEADER, len - VNET_HEADER, queue);
    close(fd);
    tap_close_all();
}

static uint64_t poll_learn(void *opaque)
{
    RxCheck *c = opaque;

    drain_queue(c, 0);
    drain_queue(c, 1);
    return c->packets;
}

/* Every segment of a super-packet arrives once and in order. */
static void test_generator(void)
{
    const Load load = { .len = 200,
                        .segments = 16,
                        .window = 64,
                        .idle_us = 100,
                        .flows = 4,
                        .threads = 1 };
    RxCheck c = { 0 };
    Generator g[QUEUES];
    gint64 end;

    if (!tap_open_all()) {
        return;
    }
    rx_flows_reset();
    load_learn(&load, tap_ifindex, poll_learn, &c);
    g_assert_cmpuint(c.packets, ==, RX_FLOWS);
    g_assert_cmpint(generators_new(g, &load, tap_ifindex, QUEUES), ==, 1);
    c = (RxCheck){ 0 };
    generator_start(&g[0]);
    end = g_get_monotonic_time() + G_USEC_PER_SEC / 5;
    while (g_get_monotonic_time() < end || !c.packets) {
        poll_learn(&c);
    }
    generator_join(&g[0]);
    poll_learn(&c);
    g_assert_cmpuint(c.packets, ==, counter_get(&g[0].sent));
    g_assert_cmpuint(failures_of(&c), ==, 0);
    g_assert_cmpuint(rx_flows_missing(), ==, 0);
    generator_free(&g[0]);
    tap_close_all();
}

/* ---- how long a ring stands still ---- */

/* Advances at 10 ms, and so on; windows between them. */
static void test_gaps(void)
{
    static const struct {
        unsigned int ms;
        bool open; /* a window, afterwards */
    } advance[] = { { 10, 0 }, { 30, 0 }, { 31, 1 }, { 32, 0 }, { 82, 1 },
                    { 85, 1 }, { 86, 0 }, { 96, 0 }, { 296, 1 } };
    Percentiles p;
    Gaps g;

    gaps_init(&g, 6);
    gaps_open(&g); /* what came before the first advance is unknown */
    for (size_t i = 0; i < G_N_ELEMENTS(advance); i++) {
        gaps_advance(&g, advance[i].ms * NS_PER_MS);
        if (advance[i].open) {
            gaps_open(&g);
        }
    }
    g_assert_cmpuint(g.window, ==, 5);
    /* 20, and 50 that ends in the second, and 3, and 200 */
    p = gaps_percentiles(&g, 1, 1, 5);
    g_assert_cmpint(p.count, ==, 4);
    g_assert_cmpfloat(p.p50, ==, (20e3 + 50e3) / 2);
    g_assert_cmpfloat(p.p99, ==, 200e3);
    g_assert_cmpfloat(p.max, ==, 200e3);
    p = gaps_percentiles(&g, 1, 2, 5);
    g_assert_cmpint(p.count, ==, 2);
    g_assert_cmpfloat(p.p50, ==, (20e3 + 3e3) / 2);
    g_assert_cmpfloat(p.max, ==, 20e3);
    p = gaps_percentiles(&g, 0, 1, 1);
    g_assert_cmpfloat(p.max, ==, 0);
    gaps_open(&g); /* there is none left */
    g_assert_cmpuint(g.window, ==, 5);
    gaps_free(&g);
}

static void test_gaps_percentile(void)
{
    Percentiles p;
    Gaps g;

    gaps_init(&g, 1000);
    gaps_advance(&g, 1);
    for (uint64_t i = 1, now = 1; i <= 1000; i++) {
        gaps_advance(&g, now += i * 1000);
        gaps_open(&g);
    }
    p = gaps_percentiles(&g, 0, 1, 1000);
    g_assert_cmpfloat(p.p50, ==, 500.5);
    g_assert_cmpfloat(p.p99, ==, 991);
    g_assert_cmpfloat(p.max, ==, 1000);
    gaps_free(&g);
}

static void *advance_once(void *opaque)
{
    sleep_ns(30 * NS_PER_MS);
    gaps_advance(opaque, now_ns());
    return NULL;
}

/* A wait ends with an advance that comes after it began, or not at all. */
static void test_gaps_wait(void)
{
    pthread_t thread;
    uint64_t start;
    Gaps g;

    gaps_init(&g, 1);
    gaps_advance(&g, now_ns());
    start = now_ns();
    g_assert_false(gaps_wait(&g, 10 * NS_PER_MS));
    g_assert_cmpuint(now_ns() - start, >=, 10 * NS_PER_MS);
    g_assert_cmpint(pthread_create(&thread, NULL, advance_once, &g), ==, 0);
    g_assert_true(gaps_wait(&g, 10 * NS_PER_SEC));
    g_assert_cmpuint(now_ns() - start, >=, 30 * NS_PER_MS);
    pthread_join(thread, NULL);
    gaps_free(&g);
}

/* ---- the counter of system calls ---- */

static void test_syscall_count(void)
{
    SyscallCount c;
    char text[256];

    if (geteuid() != 0 || !syscall_count_start(&c, getpid())) {
        g_test_skip("needs root and raw tracepoints");
        return;
    }
    for (int i = 0; i < 1000; i++) {
        syscall(SYS_getppid);
    }
    syscall_count_stop(&c);
    syscall(SYS_getppid);
    g_assert_cmpuint(c.count[SYS_getppid], ==, 1000);
    g_assert_cmpuint(syscall_count_total(&c), <, 1100);
    syscall_count_text(&c, text, sizeof(text));
    g_assert_true(g_str_has_prefix(text, "syscall-110:1000"));
    syscall_count_free(&c);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (geteuid() == 0) {
        netns_enter();
    }
    g_test_add_func("/bench/sink", test_sink);
    g_test_add_func("/bench/rx-check", test_rx_check);
    g_test_add_func("/bench/generator", test_generator);
    g_test_add_func("/bench/gaps", test_gaps);
    g_test_add_func("/bench/gaps/percentile", test_gaps_percentile);
    g_test_add_func("/bench/gaps/wait", test_gaps_wait);
    g_test_add_func("/bench/syscall-count", test_syscall_count);
    return g_test_run();
}
