/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings go to vhost-net and come back: the order of the steps, what is left
 * when one of them fails, and who takes the pair then. The kernel is a fake
 * (vhost-rig.h).
 *
 * Threads: the test's, which holds the machine lock; an iothread has the pair
 * while it is owned by user space.
 */
#include "util/osdep.h"

#include <pthread.h>

#include "system/main-loop.h"
#include "tests/unit/vhost-rig.h"

/* ---- the pair ---- */

/* Forgets what was called so far; the @fail_at-th from here on fails. */
static void kern_mark(unsigned fail_at)
{
    g_string_truncate(kern.log, 0);
    kern.calls = 0;
    kern.fail_at = fail_at;
}

/* As if the driver and we had been through @n buffers. */
static void set_position(RigRing *ring, uint16_t n) MAIN_THREAD
{
    ring->v.avail->idx = ring->avail_idx = n;
    ring->v.used->idx = n;
    virtqueue_set_base(&ring->vq, n);
}

static void queue_frame(void) MAIN_THREAD
{
    static const int lens[] = { HDR + 60 };

    memset(rig_ram + RIG_DATA, 0, HDR + 60);
    rig_add(&rig.tx, lens, 1, RIG_DATA);
}

static void check_nothing_handed_over(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(kern.ring); i++) {
        g_assert_cmpint(kern.ring[i].backend, ==, -1);
        g_assert_cmpint(kern.ring[i].kick, ==, -1);
        g_assert_cmpint(kern.ring[i].call, ==, -1);
        g_assert_cmpint(kern.ring[i].err, ==, -1);
    }
}

static bool broken(void)
{
    return virtio_is_broken(&rig.net->vdev);
}

static void start_pair(void) MAIN_THREAD
{
    virtio_net_pair_start(rig.pair);
}

/* The steps of a start, as errors name them. */
static const char *const start_steps[] = {
    "VHOST_SET_FEATURES",
    "VHOST_SET_MEM_TABLE",
    "queue 0: VHOST_SET_VRING_NUM",
    "queue 0: VHOST_SET_VRING_BASE",
    "queue 0: VHOST_SET_VRING_ADDR",
    "queue 0: VHOST_SET_VRING_CALL",
    "queue 0: VHOST_SET_VRING_ERR",
    "queue 0: VHOST_SET_VRING_KICK",
    "queue 0: VHOST_SET_VRING_BUSYLOOP_TIMEOUT",
    "queue 0: VHOST_NET_SET_BACKEND",
    "queue 1: VHOST_SET_VRING_NUM",
    "queue 1: VHOST_SET_VRING_BASE",
    "queue 1: VHOST_SET_VRING_ADDR",
    "queue 1: VHOST_SET_VRING_CALL",
    "queue 1: VHOST_SET_VRING_ERR",
    "queue 1: VHOST_SET_VRING_KICK",
    "queue 1: VHOST_SET_VRING_BUSYLOOP_TIMEOUT",
    "queue 1: VHOST_NET_SET_BACKEND",
};

/* ---- start and stop ---- */

static void check_ring_told(unsigned i, const RigRing *ring, unsigned base)
{
    const KernelRing *k = &kern.ring[i];

    g_assert_cmpuint(k->num, ==, RIG_SIZE);
    g_assert_cmpuint(k->base, ==, base);
    g_assert_true(k->desc == (const void *)ring->v.desc);
    g_assert_true(k->avail == (const void *)ring->v.avail);
    g_assert_true(k->used == (const void *)ring->v.used);
    g_assert_cmpint(k->kick, ==, ring->vq.kick_fd);
    g_assert_cmpint(k->call, ==, ring->vq.call_fd);
    g_assert_cmpint(k->err, >=, 0);
    g_assert_cmpint(k->backend, ==, rig.sq.fd);
}

static void test_start_order(void) MAIN_THREAD
{
    vhost_rig_begin(COMMON | BIT(VIRTIO_NET_F_CSUM), false, 0);
    set_position(&rig.rx, 7);
    set_position(&rig.tx, 65530);
    start_pair();
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_VHOST);
    g_assert_cmpstr(kern.log->str, ==,
                    "features mem "
                    "num0 base0 addr0 call0 err0 kick0 backend0 "
                    "num1 base1 addr1 call1 err1 kick1 backend1 ");
    g_assert_cmphex(kern.acked, ==, COMMON);
    g_assert_cmpuint(kern.mem_ranges, ==, ram_map_get()->n);
    check_ring_told(0, &rig.rx, 7);
    check_ring_told(1, &rig.tx, 65530);
    g_assert_cmpint(kern.ring[0].err, !=, kern.ring[1].err);
    vhost_rig_end();
}

static void test_start_busyloop(void) MAIN_THREAD
{
    vhost_rig_begin(MODERN, false, 50);
    start_pair();
    g_assert_cmpstr(kern.log->str, ==,
                    "features mem "
                    "num0 base0 addr0 call0 err0 kick0 busyloop0 backend0 "
                    "num1 base1 addr1 call1 err1 kick1 busyloop1 backend1 ");
    g_assert_cmpuint(kern.busyloop_us, ==, 50);
    vhost_rig_end();
}

/* The fake back-end swallows kicks, so what is there came after. */
static void test_start_kicks(void) MAIN_THREAD
{
    vhost_rig_begin(MODERN, false, 0);
    eventfd_signal(rig.tx.vq.kick_fd);
    start_pair();
    g_assert_true(eventfd_clear(rig.rx.vq.kick_fd));
    g_assert_true(eventfd_clear(rig.tx.vq.kick_fd));
    vhost_rig_end();
}

static void test_start_enabled_only(void) MAIN_THREAD
{
    vhost_rig_begin(MODERN, false, 0);
    rig.rx.vq.enabled = false;
    start_pair();
    g_assert_cmpstr(kern.log->str, ==,
                    "features mem "
                    "num1 base1 addr1 call1 err1 kick1 backend1 ");
    g_assert_false(rig.rx.vq.running);
    g_assert_false(eventfd_clear(rig.rx.vq.kick_fd));
    kern_mark(0);
    virtio_net_pair_stop(rig.pair);
    g_assert_cmpstr(kern.log->str, ==,
                    "backend1=off getbase1 kick1=off call1=off err1=off ");
    vhost_rig_end();
}

static void test_stop_order(void) MAIN_THREAD
{
    vhost_rig_begin(MODERN, false, 0);
    set_position(&rig.rx, 65534);
    kern.ring[0].moves = 5;
    kern.ring[1].moves = 2;
    start_pair();
    kern_mark(0);
    virtio_net_pair_stop(rig.pair);
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_MAIN);
    g_assert_cmpstr(kern.log->str, ==,
                    "backend1=off getbase1 kick1=off call1=off err1=off "
                    "backend0=off getbase0 kick0=off call0=off err0=off ");
    check_nothing_handed_over();
    vhost_rig_check_ours(&rig.rx.vq, 3, 3);
    vhost_rig_check_ours(&rig.tx.vq, 2, 2);
    vhost_rig_end();
}

/* A buffer that the worker took and has not used yet is not ours to give
 * back: the available position and the used one differ. */
static void test_stop_positions(void) MAIN_THREAD
{
    vhost_rig_begin(MODERN, false, 0);
    start_pair();
    kern.ring[1].base = 9;
    rig.tx.v.used->idx = 8;
    virtio_net_pair_stop(rig.pair);
    vhost_rig_check_ours(&rig.tx.vq, 9, 8);
    vhost_rig_end();
}

static void stop_pair(void) MAIN_THREAD
{
    virtio_net_pair_stop(rig.pair);
}

/* The kernel keeps the position to itself: the used index never goes back. */
static void test_stop_no_position(void) MAIN_THREAD
{
    g_autofree char *text = NULL;

    vhost_rig_begin(MODERN, false, 0);
    start_pair();
    kern.ring[1].base = 9;
    rig.tx.v.used->idx = 8;
    kern_mark(2); /* getbase1 */
    text = vhost_rig_stderr(stop_pair);
    vhost_rig_check_line(text, "queue 1: VHOST_GET_VRING_BASE");
    check_nothing_handed_over();
    vhost_rig_check_ours(&rig.tx.vq, 8, 8);
    vhost_rig_end();
}

static void test_stop_and_start(void) MAIN_THREAD
{
    vhost_rig_begin(MODERN, false, 0);
    kern.ring[1].moves = 4;
    start_pair();
    virtio_net_pair_stop(rig.pair);
    kern.ring[1].moves = 0;
    kern_mark(0);
    start_pair();
    g_assert_true(g_str_has_prefix(kern.log->str, "features mem num0 base0 "));
    check_ring_told(1, &rig.tx, 4);
    kern_mark(0);
    virtio_net_pair_stop(rig.pair);
    virtio_net_pair_stop(rig.pair);
    g_assert_cmpuint(kern.calls, ==, 10);
    vhost_rig_end();
}

/* ---- failures ---- */

static void test_fail_each_step(void) MAIN_THREAD
{
    for (unsigned k = 0; k < ARRAY_SIZE(start_steps); k++) {
        RamRange more = { .gpa = (64 + k) * MiB, .size = 4096, .fd = -1 };
        static _Alignas(4096) uint8_t page[4096];
        Error *err = NULL;

        vhost_rig_begin(MODERN, false, 50);
        set_position(&rig.rx, 7);
        set_position(&rig.tx, 9);
        kern_mark(k + 1);
        g_assert_false(virtio_net_vhost_start(rig.pair, &err));
        vhost_rig_check_line(err->message, start_steps[k]);
        g_error_free(err);
        check_nothing_handed_over();
        vhost_rig_check_ours(&rig.rx.vq, 7, 7);
        vhost_rig_check_ours(&rig.tx.vq, 9, 9);
        g_assert_null(rig.rx.vq.fault);
        g_assert_null(rig.tx.vq.fault);
        /* nobody listens any more */
        kern_mark(0);
        more.host = page;
        err = NULL;
        g_assert_true(ram_add(&more, &err));
        g_assert_cmpuint(kern.calls, ==, 0);
        g_assert_true(virtio_net_vhost_start(rig.pair, &err));
        virtio_net_vhost_stop(rig.pair);
        vhost_rig_end();
    }
}

/* The worker had the first ring and moved on before the second one failed. */
static void test_fail_keeps_progress(void) MAIN_THREAD
{
    Error *err = NULL;

    vhost_rig_begin(MODERN, false, 0);
    set_position(&rig.rx, 7);
    kern.ring[0].moves = 3;
    kern_mark(16); /* backend1 */
    g_assert_false(virtio_net_vhost_start(rig.pair, &err));
    vhost_rig_check_line(err->message, "queue 1: VHOST_NET_SET_BACKEND");
    g_error_free(err);
    check_nothing_handed_over();
    vhost_rig_check_ours(&rig.rx.vq, 10, 10);
    vhost_rig_check_ours(&rig.tx.vq, 0, 0);
    vhost_rig_end();
}

static void test_fallback(void) MAIN_THREAD
{
    for (unsigned k = 0; k < ARRAY_SIZE(start_steps); k++) {
        g_autofree char *text = NULL;

        vhost_rig_begin(MODERN, false, 50);
        queue_frame();
        kern_mark(k + 1);
        text = vhost_rig_stderr(start_pair);
        vhost_rig_check_line(text, "warning: net0: pair 0: vhost: ");
        vhost_rig_check_line(text, start_steps[k]);
        vhost_rig_check_line(text, "; user space takes the pair over\n");
        g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_IO);
        check_nothing_handed_over();
        g_assert_false(broken());
        virtio_net_pair_stop(rig.pair);
        g_assert_cmpuint(rig.out_n, ==, 1);
        g_assert_cmpuint(rig.out[0].len, ==, HDR + 60);
        vhost_rig_check_ours(&rig.tx.vq, 1, 1);
        vhost_rig_end();
    }
}

/* One refusal counts until the device is reset. */
static void test_fallback_until_reset(void) MAIN_THREAD
{
    g_autofree char *first = NULL, *second = NULL;

    vhost_rig_begin(MODERN, false, 0);
    kern_mark(1);
    first = vhost_rig_stderr(start_pair);
    virtio_net_pair_stop(rig.pair);
    kern_mark(0);
    second = vhost_rig_stderr(start_pair);
    g_assert_cmpstr(second, ==, "");
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_IO);
    g_assert_cmpuint(kern.calls, ==, 0);
    virtio_net_pair_stop(rig.pair);
    virtio_net_pairs_reset(rig.net);
    start_pair();
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_VHOST);
    vhost_rig_end();
}

static void test_fallback_no_owner(void) MAIN_THREAD
{
    g_autofree char *text = NULL;

    vhost_rig_begin(MODERN, false, 0);
    kern.owner_error = -EPERM;
    text = vhost_rig_stderr(start_pair);
    vhost_rig_check_line(text, "vhost descriptor 1000 is not usable");
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_IO);
    g_assert_null(rig.pair->vhost);
    vhost_rig_end();

    vhost_rig_begin(MODERN, false, 0);
    kern.owner_error = -EBUSY; /* ours from before */
    start_pair();
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_VHOST);
    vhost_rig_end();
}

static void test_fallback_forced(void) MAIN_THREAD
{
    for (unsigned k = 0; k < ARRAY_SIZE(start_steps); k++) {
        g_autofree char *text = NULL;

        vhost_rig_begin(MODERN, true, 50);
        set_position(&rig.tx, 9);
        kern_mark(k + 1);
        text = vhost_rig_stderr(start_pair);
        vhost_rig_check_line(text, start_steps[k]);
        vhost_rig_check_line(text, "(vhostforce=on)");
        g_assert_true(broken());
        g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_MAIN);
        g_assert_null(rig.pair->iothread);
        check_nothing_handed_over();
        vhost_rig_check_ours(&rig.rx.vq, 0, 0);
        vhost_rig_check_ours(&rig.tx.vq, 9, 9);
        vhost_rig_end();
    }
}

/* A ring that is nowhere is nothing that user space could do better. */
static void test_fallback_not_for_drivers(void) MAIN_THREAD
{
    g_autofree char *text = NULL;

    vhost_rig_begin(MODERN, false, 0);
    rig.tx.vq.desc_gpa += 8;
    text = vhost_rig_stderr(start_pair);
    vhost_rig_check_line(text, "queue 1: a ring is misaligned");
    g_assert_true(broken());
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_MAIN);
    g_assert_null(rig.pair->iothread);
    g_assert_false(rig.pair->failed);
    check_nothing_handed_over();
    g_assert_false(rig.rx.vq.running);
    vhost_rig_end();
}

/* ---- while it runs ---- */

static void turn(void) MAIN_THREAD
{
    event_loop_turn(main_loop(), 0);
}

static void test_error_fd(void) MAIN_THREAD
{
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *want = g_strdup_printf("queue %u: vhost-net", i);
        g_autofree char *text = NULL;

        vhost_rig_begin(MODERN, false, 0);
        start_pair();
        turn();
        g_assert_false(broken());
        eventfd_signal(kern.ring[i].err);
        text = vhost_rig_stderr(turn);
        vhost_rig_check_line(text, want);
        g_assert_true(broken());
        vhost_rig_end();
    }
}

/* An error that nobody read before the stop says nothing of the next start. */
static void test_error_stale(void) MAIN_THREAD
{
    vhost_rig_begin(MODERN, false, 0);
    start_pair();
    eventfd_signal(kern.ring[0].err);
    eventfd_signal(kern.ring[1].err);
    virtio_net_pair_stop(rig.pair);
    start_pair();
    turn();
    g_assert_false(broken());
    vhost_rig_end();
}

static void add_ram(void) MAIN_THREAD
{
    static _Alignas(4096) uint8_t page[4096];
    static uint64_t gpa = 256 * MiB;
    RamRange range = { .gpa = gpa, .size = 4096, .host = page, .fd = -1 };
    Error *err = NULL;

    g_assert_true(ram_add(&range, &err));
    g_assert_no_error(err);
    gpa += MiB;
}

static void test_ram(void) MAIN_THREAD
{
    g_autofree char *text = NULL;
    unsigned before;

    vhost_rig_begin(MODERN, false, 0);
    start_pair();
    before = kern.mem_ranges;
    kern_mark(0);
    add_ram();
    g_assert_cmpstr(kern.log->str, ==, "mem ");
    g_assert_cmpuint(kern.mem_ranges, ==, before + 1);
    g_assert_false(broken());
    virtio_net_pair_stop(rig.pair);
    kern_mark(0);
    add_ram();
    g_assert_cmpuint(kern.calls, ==, 0);
    start_pair();
    g_assert_cmpuint(kern.mem_ranges, ==, before + 2);
    kern_mark(1);
    text = vhost_rig_stderr(add_ram);
    vhost_rig_check_line(text, "vhost does not take the new memory map");
    g_assert_true(broken());
    vhost_rig_end();
}

/* ---- the worker's thread ---- */

typedef struct Thread {
    pthread_t thread;
    const char *name;
    int tid;
    pthread_barrier_t named, end;
} Thread;

static void *thread_main(void *opaque)
{
    Thread *t = opaque;

    pthread_setname_np(pthread_self(), t->name);
    t->tid = gettid();
    pthread_barrier_wait(&t->named);
    pthread_barrier_wait(&t->end);
    return NULL;
}

static void thread_begin(Thread *t, const char *name)
{
    t->name = name;
    pthread_barrier_init(&t->named, NULL, 2);
    pthread_barrier_init(&t->end, NULL, 2);
    g_assert_cmpint(pthread_create(&t->thread, NULL, thread_main, t), ==, 0);
    pthread_barrier_wait(&t->named);
}

static void thread_end(Thread *t)
{
    pthread_barrier_wait(&t->end);
    pthread_join(t->thread, NULL);
    pthread_barrier_destroy(&t->named);
    pthread_barrier_destroy(&t->end);
}

/* It is the one that came, among others that have such a name or came too. */
static void test_worker_thread(void) MAIN_THREAD
{
    VhostWorkers *before = vhost_workers_note();
    Thread old, other, worker, second;

    thread_begin(&old, "vhost-1");
    if (vhost_workers_added(before) < 0) {
        g_test_skip("this kernel's workers are no threads of the process");
        vhost_workers_free(before);
        thread_end(&old);
        return;
    }
    vhost_workers_free(before);
    before = vhost_workers_note();
    g_assert_cmpint(vhost_workers_added(before), ==, -1);
    thread_begin(&other, "IO net0");
    g_assert_cmpint(vhost_workers_added(before), ==, -1);
    thread_begin(&worker, "vhost-1");
    g_assert_cmpint(vhost_workers_added(before), ==, worker.tid);
    thread_begin(&second, "vhost-1");
    g_assert_cmpint(vhost_workers_added(before), ==, -1);
    thread_end(&second);
    thread_end(&worker);
    thread_end(&other);
    thread_end(&old);
    vhost_workers_free(before);
}

int main(int argc, char **argv)
{
    Error *err = NULL;

    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(&err));
    g_test_add_func("/vhost/start/order", test_start_order);
    g_test_add_func("/vhost/start/busyloop", test_start_busyloop);
    g_test_add_func("/vhost/start/kicks", test_start_kicks);
    g_test_add_func("/vhost/start/enabled-only", test_start_enabled_only);
    g_test_add_func("/vhost/stop/order", test_stop_order);
    g_test_add_func("/vhost/stop/positions", test_stop_positions);
    g_test_add_func("/vhost/stop/no-position", test_stop_no_position);
    g_test_add_func("/vhost/stop/and-start", test_stop_and_start);
    g_test_add_func("/vhost/fail/each-step", test_fail_each_step);
    g_test_add_func("/vhost/fail/keeps-progress", test_fail_keeps_progress);
    g_test_add_func("/vhost/fallback/each-step", test_fallback);
    g_test_add_func("/vhost/fallback/until-reset", test_fallback_until_reset);
    g_test_add_func("/vhost/fallback/no-owner", test_fallback_no_owner);
    g_test_add_func("/vhost/fallback/forced", test_fallback_forced);
    g_test_add_func("/vhost/fallback/not-for-drivers",
                    test_fallback_not_for_drivers);
    g_test_add_func("/vhost/error/eventfd", test_error_fd);
    g_test_add_func("/vhost/error/stale", test_error_stale);
    g_test_add_func("/vhost/ram-changes", test_ram);
    g_test_add_func("/vhost/worker-thread", test_worker_thread);
    return g_test_run();
}
