/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that a loop looks at while it polls.
 *
 * Threads: one, which runs the loop turn by turn.
 */
#include "util/osdep.h"

#include "util/event-loop.h"
#include "util/fd.h"

#define MS 1000000LL

/* A place to poll, and how often it was asked what. */
typedef struct Place {
    LoopPoll poll;
    unsigned looks_until_ready; /* 0: never */
    bool ready_at_end;
    LoopPoll *victim; /* stopped by run */
    unsigned begun, looked, ended, ran;
} Place;

static EventLoop *loop;
static Place a, b;

static void place_begin(void *opaque)
{
    Place *place = opaque;

    place->begun++;
}

static bool place_ready(void *opaque)
{
    Place *place = opaque;

    place->looked++;
    return place->looks_until_ready &&
           place->looked >= place->looks_until_ready;
}

static bool place_end(void *opaque)
{
    Place *place = opaque;

    place->ended++;
    return place->ready_at_end;
}

static void place_run(void *opaque)
{
    Place *place = opaque;

    place->ran++;
    if (place->victim) {
        loop_poll_stop(place->victim);
    }
}

static const LoopPollOps ops = {
    .begin = place_begin,
    .ready = place_ready,
    .end = place_end,
    .run = place_run,
};

/* A loop that has learnt to poll for a moment, and two places. */
static void start(int64_t poll_max_ns)
{
    loop = event_loop_new("test", NULL, NULL);
    g_assert_nonnull(loop);
    event_loop_set_polling(loop, poll_max_ns, 0, 0);
    event_loop_turn(loop, MS);
    a = b = (Place){ 0 };
    loop_poll_start(&a.poll, loop, &ops, &a);
    loop_poll_start(&b.poll, loop, &ops, &b);
}

static void stop(void)
{
    loop_poll_stop(&a.poll);
    loop_poll_stop(&b.poll);
    event_loop_free(loop);
}

/* What is ready runs in the turn that found it and is not asked to end. */
static void test_ready(void)
{
    start(1000 * MS);
    a.looks_until_ready = 1;
    event_loop_turn(loop, -1);
    g_assert_cmpuint(a.begun, ==, 1);
    g_assert_cmpuint(a.ran, ==, 1);
    g_assert_cmpuint(a.ended, ==, 0);
    g_assert_cmpuint(b.begun, ==, 1);
    g_assert_cmpuint(b.ran, ==, 0);
    g_assert_cmpuint(b.ended, ==, 1);
    stop();
}

/* What comes between the last look and the end keeps the loop from sleeping. */
static void test_ready_at_end(void)
{
    start(1000 * MS);
    b.ready_at_end = true;
    event_loop_turn(loop, -1);
    g_assert_cmpuint(a.ended, ==, 1);
    g_assert_cmpuint(b.ended, ==, 1);
    g_assert_cmpuint(b.ran, ==, 1);
    stop();
}

/* Each polling that began ends, found or not. */
static void test_pairing(void)
{
    start(1000 * MS);
    for (unsigned i = 0; i < 20; i++) {
        event_loop_turn(loop, MS / 10);
    }
    g_assert_cmpuint(a.begun, >, 0);
    g_assert_cmpuint(a.looked, >=, a.begun);
    g_assert_cmpuint(a.ended, ==, a.begun);
    g_assert_cmpuint(a.ran, ==, 0);
    stop();
}

static void test_off(void)
{
    start(0);
    a.looks_until_ready = 1;
    event_loop_turn(loop, MS / 10);
    event_loop_turn(loop, 0);
    g_assert_cmpuint(a.begun + a.looked + a.ended + a.ran, ==, 0);
    stop();
}

static void count(void *opaque, uint32_t events)
{
    (*(unsigned *)opaque)++;
}

/* Memory that always has work does not keep files waiting. */
static void test_files_are_not_starved(void)
{
    FdWatch watch = { 0 };
    unsigned seen = 0;
    int fd = eventfd_new(NULL);

    start(1000 * MS);
    a.looks_until_ready = 1;
    eventfd_signal(fd);
    fd_watch_start(&watch, loop, fd, LOOP_IN, count, &seen);
    for (unsigned i = 0; i < 20; i++) {
        event_loop_turn(loop, -1);
    }
    g_assert_cmpuint(a.ran, ==, 20);
    g_assert_cmpuint(seen, >=, 3);
    fd_watch_stop(&watch);
    close(fd);
    stop();
}

/* A place that another one's function stops is not touched any more. */
static void test_stop_in_turn(void)
{
    start(1000 * MS);
    a.looks_until_ready = b.looks_until_ready = 1;
    a.victim = &b.poll;
    b.victim = &a.poll;
    event_loop_turn(loop, -1);
    g_assert_cmpuint(a.ran + b.ran, ==, 1);
    stop();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/loop-poll/ready", test_ready);
    g_test_add_func("/loop-poll/ready-at-end", test_ready_at_end);
    g_test_add_func("/loop-poll/pairing", test_pairing);
    g_test_add_func("/loop-poll/off", test_off);
    g_test_add_func("/loop-poll/files-are-not-starved",
                    test_files_are_not_starved);
    g_test_add_func("/loop-poll/stop-in-turn", test_stop_in_turn);
    return g_test_run();
}
