/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#include "util/event-loop.h"
#include "util/fd.h"

#define MS 1000000LL

static EventLoop *new_loop(void)
{
    EventLoop *loop = event_loop_new("test", NULL, NULL);

    g_assert_nonnull(loop);
    return loop;
}

static void *run_loop(void *loop)
{
    event_loop_run(loop);
    return NULL;
}

static void nothing(void *opaque)
{
}

static void quit_loop(void *loop)
{
    event_loop_quit(loop);
}

static void close_fd(void *opaque)
{
    close(GPOINTER_TO_INT(opaque));
}

/* Starts a thread in @loop and returns once it is inside. */
static pthread_t start_loop(EventLoop *loop)
{
    pthread_t thread;
    int entered[2];
    char c;

    g_assert_cmpint(pipe(entered), ==, 0);
    event_loop_post(loop, close_fd, GINT_TO_POINTER(entered[1]));
    pthread_create(&thread, NULL, run_loop, loop);
    g_assert_cmpint(read(entered[0], &c, 1), ==, 0);
    close(entered[0]);
    return thread;
}

static void stop_loop(EventLoop *loop, pthread_t thread)
{
    event_loop_quit(loop);
    pthread_join(thread, NULL);
    event_loop_free(loop);
}

/* ---- posts and calls ---- */

#define POSTERS 4
#define POSTS   20000

typedef struct Poster {
    EventLoop *loop;
    unsigned index;
    unsigned sent;
} Poster;

static unsigned next_of[POSTERS]; /* loop thread */

static void count_post(void *opaque)
{
    uintptr_t v = (uintptr_t)opaque;

    g_assert_cmpuint(next_of[v / POSTS], ==, v % POSTS);
    next_of[v / POSTS]++;
}

static void *post_many(void *opaque)
{
    Poster *p = opaque;

    for (uintptr_t i = 0; i < POSTS; i++) {
        event_loop_post(p->loop, count_post, (void *)(p->index * POSTS + i));
    }
    return NULL;
}

static void test_posts_under_load(void)
{
    EventLoop *loop = new_loop();
    pthread_t runner = start_loop(loop), thread[POSTERS];
    Poster poster[POSTERS];

    memset(next_of, 0, sizeof(next_of));
    for (unsigned i = 0; i < POSTERS; i++) {
        poster[i] = (Poster){ .loop = loop, .index = i };
        pthread_create(&thread[i], NULL, post_many, &poster[i]);
    }
    for (unsigned i = 0; i < POSTERS; i++) {
        pthread_join(thread[i], NULL);
    }
    event_loop_call(loop, nothing, NULL);
    stop_loop(loop, runner);
    for (unsigned i = 0; i < POSTERS; i++) {
        g_assert_cmpuint(next_of[i], ==, POSTS);
    }
}

static unsigned shared_counter; /* only ever touched in the loop's thread */

static void bump(void *opaque)
{
    shared_counter++;
}

static void *call_many(void *loop)
{
    for (unsigned i = 0; i < 2000; i++) {
        event_loop_call(loop, bump, NULL);
    }
    return NULL;
}

static void test_calls_from_threads(void)
{
    EventLoop *loop = new_loop();
    pthread_t runner = start_loop(loop), thread[POSTERS];

    shared_counter = 0;
    for (unsigned i = 0; i < POSTERS; i++) {
        pthread_create(&thread[i], NULL, call_many, loop);
    }
    for (unsigned i = 0; i < POSTERS; i++) {
        pthread_join(thread[i], NULL);
    }
    stop_loop(loop, runner);
    g_assert_cmpuint(shared_counter, ==, 2000 * POSTERS);
}

typedef struct Whereabouts {
    EventLoop *loop;
    pthread_t thread;
    bool current;
} Whereabouts;

static void note_thread(void *opaque)
{
    Whereabouts *w = opaque;

    w->thread = pthread_self();
    w->current = event_loop_is_current(w->loop);
}

static void call_inside(void *opaque)
{
    Whereabouts *w = opaque;

    event_loop_call(w->loop, note_thread, w);
}

static void test_call_runs_where(void)
{
    Whereabouts w = { .loop = new_loop() };
    pthread_t runner;

    event_loop_call(w.loop, note_thread, &w);
    g_assert_true(pthread_equal(w.thread, pthread_self()));
    g_assert_false(w.current);

    runner = start_loop(w.loop);
    event_loop_call(w.loop, note_thread, &w);
    g_assert_true(pthread_equal(w.thread, runner));
    g_assert_true(w.current);
    w.thread = pthread_self();
    event_loop_call(w.loop, call_inside, &w);
    g_assert_true(pthread_equal(w.thread, runner));
    g_assert_false(event_loop_is_current(w.loop));
    stop_loop(w.loop, runner);
}

static void test_posts_before_quit_run(void)
{
    EventLoop *loop = new_loop();

    shared_counter = 0;
    event_loop_post(loop, quit_loop, loop);
    event_loop_post(loop, bump, NULL);
    event_loop_run(loop);
    event_loop_quit(loop);
    event_loop_post(loop, bump, NULL);
    event_loop_run(loop);
    event_loop_free(loop);
    g_assert_cmpuint(shared_counter, ==, 2);
}

/* Callers that come while the loop's thread leaves are not left waiting. */
static void test_call_races_quit(void)
{
    for (unsigned i = 0; i < 200; i++) {
        EventLoop *loop = new_loop();
        pthread_t runner = start_loop(loop);

        shared_counter = 0;
        event_loop_quit(loop);
        event_loop_call(loop, bump, NULL);
        pthread_join(runner, NULL);
        g_assert_cmpuint(shared_counter, ==, 1);
        event_loop_free(loop);
    }
}

/* ---- tasks ---- */

typedef struct Tasks {
    LoopTask a, b, c;
    unsigned ran_a, ran_b, ran_c;
} Tasks;

static void run_a(void *opaque)
{
    Tasks *t = opaque;

    t->ran_a++;
    loop_task_cancel(&t->b);
    loop_task_schedule(&t->c);
}

static void run_b(void *opaque)
{
    ((Tasks *)opaque)->ran_b++;
}

static void run_c(void *opaque)
{
    Tasks *t = opaque;

    if (++t->ran_c < 3) {
        loop_task_schedule(&t->c);
    }
}

static void test_tasks(void)
{
    EventLoop *loop = new_loop();
    Tasks t = { 0 };

    loop_task_init(&t.a, loop, run_a, &t);
    loop_task_init(&t.b, loop, run_b, &t);
    loop_task_init(&t.c, loop, run_c, &t);
    loop_task_schedule(&t.a);
    loop_task_schedule(&t.a);
    loop_task_schedule(&t.b);
    event_loop_turn(loop, -1);
    g_assert_cmpuint(t.ran_a, ==, 1);
    g_assert_cmpuint(t.ran_b, ==, 0);
    while (t.ran_c < 3) {
        event_loop_turn(loop, -1);
    }
    event_loop_turn(loop, 0);
    g_assert_cmpuint(t.ran_a, ==, 1);
    g_assert_cmpuint(t.ran_c, ==, 3);
    loop_task_schedule(&t.b);
    loop_task_cancel(&t.b);
    loop_task_cancel(&t.b);
    event_loop_turn(loop, 0);
    g_assert_cmpuint(t.ran_b, ==, 0);
    event_loop_free(loop);
}

/* ---- timers ---- */

typedef struct Clocked {
    LoopTimer timer;
    int64_t deadline;
    unsigned order;
    bool again;
} Clocked;

static unsigned fired;

static void fire(void *opaque)
{
    Clocked *c = opaque;

    g_assert_cmpint(clock_now_ns(), >=, c->deadline);
    c->order = ++fired;
    if (c->again) {
        loop_timer_arm(&c->timer, 0);
    }
}

static void test_timers(void)
{
    EventLoop *loop = new_loop();
    int64_t now = clock_now_ns();
    Clocked c[4] = { 0 };
    static const int delay[] = { 8, 2, 5, 2 };

    fired = 0;
    for (unsigned i = 0; i < 4; i++) {
        c[i].deadline = now + delay[i] * MS;
        loop_timer_init(&c[i].timer, loop, fire, &c[i]);
        loop_timer_arm(&c[i].timer, now + 100000 * MS);
        loop_timer_arm(&c[i].timer, c[i].deadline);
    }
    loop_timer_cancel(&c[2].timer);
    loop_timer_cancel(&c[2].timer);
    while (fired < 3) {
        event_loop_turn(loop, -1);
    }
    g_assert_cmpuint(c[1].order, ==, 1);
    g_assert_cmpuint(c[3].order, ==, 2);
    g_assert_cmpuint(c[0].order, ==, 3);
    g_assert_cmpuint(c[2].order, ==, 0);
    event_loop_free(loop);
}

/* A timer that arms itself for the past does not stop the rest. */
static void test_timer_storm(void)
{
    EventLoop *loop = new_loop();
    Clocked c = { .again = true };

    fired = 0;
    shared_counter = 0;
    loop_timer_init(&c.timer, loop, fire, &c);
    loop_timer_arm(&c.timer, 0);
    for (unsigned i = 0; i < 10; i++) {
        event_loop_post(loop, bump, NULL);
        event_loop_turn(loop, -1);
    }
    g_assert_cmpuint(fired, ==, 10);
    g_assert_cmpuint(shared_counter, ==, 10);
    loop_timer_cancel(&c.timer);
    event_loop_free(loop);
}

/* ---- watches ---- */

typedef struct Pair {
    FdWatch watch[2];
    int fd[2];
    unsigned calls;
    uint32_t events;
} Pair;

static void stop_both(void *opaque, uint32_t events)
{
    Pair *p = opaque;

    p->calls++;
    fd_watch_stop(&p->watch[0]);
    fd_watch_stop(&p->watch[1]);
}

static void test_stop_in_turn(void)
{
    EventLoop *loop = new_loop();
    Pair p = { 0 };

    for (unsigned i = 0; i < 2; i++) {
        p.fd[i] = eventfd_new(NULL);
        eventfd_signal(p.fd[i]);
        fd_watch_start(&p.watch[i], loop, p.fd[i], LOOP_IN, stop_both, &p);
    }
    event_loop_turn(loop, -1);
    event_loop_turn(loop, 0);
    g_assert_cmpuint(p.calls, ==, 1);
    close(p.fd[0]);
    close(p.fd[1]);
    event_loop_free(loop);
}

static void count_watch(void *opaque, uint32_t events)
{
    Pair *p = opaque;

    p->calls++;
    p->events |= events;
}

static void reuse_other_fd(void *opaque, uint32_t events)
{
    Pair *p = opaque;
    unsigned other = p->watch[0].func == reuse_other_fd ? 1 : 0;
    EventLoop *loop = p->watch[other].loop;
    int number = p->fd[other];

    eventfd_clear(p->fd[1 - other]);
    fd_watch_stop(&p->watch[other]);
    close(number);
    p->fd[other] = eventfd_new(NULL);
    g_assert_cmpint(p->fd[other], ==, number);
    fd_watch_start(&p->watch[other], loop, number, LOOP_IN, count_watch, p);
}

/* A new, silent fd under an old number does not get the old one's event. */
static void test_fd_reuse(void)
{
    for (unsigned first = 0; first < 2; first++) {
        EventLoop *loop = new_loop();
        Pair p = { 0 };

        for (unsigned i = 0; i < 2; i++) {
            p.fd[i] = eventfd_new(NULL);
            eventfd_signal(p.fd[i]);
        }
        fd_watch_start(&p.watch[first], loop, p.fd[first], LOOP_IN,
                       reuse_other_fd, &p);
        fd_watch_start(&p.watch[1 - first], loop, p.fd[1 - first], LOOP_IN,
                       count_watch, &p);
        event_loop_turn(loop, -1);
        p.calls = 0;
        event_loop_turn(loop, 0);
        g_assert_cmpuint(p.calls, ==, 0);
        eventfd_signal(p.fd[1 - first]);
        event_loop_turn(loop, -1);
        g_assert_cmpuint(p.calls, ==, 1);
        for (unsigned i = 0; i < 2; i++) {
            fd_watch_stop(&p.watch[i]);
            close(p.fd[i]);
        }
        event_loop_free(loop);
    }
}

/* One watch for reading and one for writing on the same fd. */
static void test_two_watches_one_fd(void)
{
    EventLoop *loop = new_loop();
    Pair rd = { 0 }, wr = { 0 };
    int fd = eventfd_new(NULL);

    fd_watch_start(&rd.watch[0], loop, fd, LOOP_IN, count_watch, &rd);
    fd_watch_start(&wr.watch[0], loop, fd, 0, count_watch, &wr);
    event_loop_turn(loop, 0);
    g_assert_cmpuint(rd.calls + wr.calls, ==, 0);
    fd_watch_set_events(&wr.watch[0], LOOP_OUT);
    event_loop_turn(loop, 0);
    g_assert_cmpuint(wr.events, ==, LOOP_OUT);
    g_assert_cmpuint(rd.calls, ==, 0);
    fd_watch_stop(&wr.watch[0]);
    eventfd_signal(fd);
    event_loop_turn(loop, 0);
    g_assert_cmpuint(rd.events, ==, LOOP_IN);
    fd_watch_stop(&rd.watch[0]);
    close(fd);
    event_loop_free(loop);
}

static void test_regular_file(void)
{
    EventLoop *loop = new_loop();
    Pair p = { 0 };
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    fd_watch_start(&p.watch[0], loop, fd, LOOP_IN, count_watch, &p);
    event_loop_turn(loop, -1);
    event_loop_turn(loop, -1);
    g_assert_cmpuint(p.calls, ==, 2);
    fd_watch_set_events(&p.watch[0], 0);
    event_loop_turn(loop, 0);
    g_assert_cmpuint(p.calls, ==, 2);
    fd_watch_stop(&p.watch[0]);
    close(fd);
    event_loop_free(loop);
}

static void test_hangup(void)
{
    EventLoop *loop = new_loop();
    Pair p = { 0 };

    g_assert_cmpint(pipe(p.fd), ==, 0);
    fd_watch_start(&p.watch[0], loop, p.fd[0], 0, count_watch, &p);
    event_loop_turn(loop, 0);
    g_assert_cmpuint(p.calls, ==, 0);
    close(p.fd[1]);
    event_loop_turn(loop, -1);
    g_assert_cmpuint(p.events, ==, LOOP_HUP);
    fd_watch_stop(&p.watch[0]);
    close(p.fd[0]);
    event_loop_free(loop);
}

typedef struct Nest {
    EventLoop *loop;
    Pair pair;
} Nest;

static void nested_turn(void *opaque, uint32_t events)
{
    Nest *n = opaque;

    n->pair.calls++;
    for (unsigned i = 0; i < 2; i++) {
        eventfd_clear(n->pair.fd[i]);
    }
    event_loop_turn(n->loop, 0);
    for (unsigned i = 0; i < 2; i++) {
        fd_watch_stop(&n->pair.watch[i]);
    }
}

/* A function may run a turn itself; what it stops there stays stopped. */
static void test_nested(void)
{
    Nest n = { .loop = new_loop() };

    for (unsigned i = 0; i < 2; i++) {
        n.pair.fd[i] = eventfd_new(NULL);
        eventfd_signal(n.pair.fd[i]);
        fd_watch_start(&n.pair.watch[i], n.loop, n.pair.fd[i], LOOP_IN,
                       nested_turn, &n);
    }
    event_loop_turn(n.loop, -1);
    event_loop_turn(n.loop, 0);
    g_assert_cmpuint(n.pair.calls, ==, 1);
    close(n.pair.fd[0]);
    close(n.pair.fd[1]);
    event_loop_free(n.loop);
}

/* ---- sleeping and polling ---- */

static int64_t thread_cpu_ns(pthread_t thread)
{
    clockid_t clock;
    struct timespec t;

    g_assert_cmpint(pthread_getcpuclockid(thread, &clock), ==, 0);
    clock_gettime(clock, &t);
    return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static void check_idle(int64_t poll_max_ns)
{
    EventLoop *loop = new_loop();
    pthread_t runner;
    int64_t before;

    event_loop_set_polling(loop, poll_max_ns, 0, 0);
    runner = start_loop(loop);
    event_loop_call(loop, nothing, NULL);
    g_usleep(20000);
    before = thread_cpu_ns(runner);
    g_usleep(200000);
    g_assert_cmpint(thread_cpu_ns(runner) - before, <, 2 * MS);
    stop_loop(loop, runner);
}

static void test_idle(void)
{
    check_idle(0);
    check_idle(32768);
}

static void test_polling_delivers(void)
{
    EventLoop *loop = new_loop();
    pthread_t runner;

    event_loop_set_polling(loop, 200000, 4, 2);
    runner = start_loop(loop);
    shared_counter = 0;
    for (unsigned i = 0; i < 2000; i++) {
        event_loop_call(loop, bump, NULL);
    }
    event_loop_set_polling(loop, 0, 0, 0);
    event_loop_call(loop, bump, NULL);
    stop_loop(loop, runner);
    g_assert_cmpuint(shared_counter, ==, 2001);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/event-loop/post/under-load", test_posts_under_load);
    g_test_add_func("/event-loop/post/before-quit", test_posts_before_quit_run);
    g_test_add_func("/event-loop/call/threads", test_calls_from_threads);
    g_test_add_func("/event-loop/call/where", test_call_runs_where);
    g_test_add_func("/event-loop/call/races-quit", test_call_races_quit);
    g_test_add_func("/event-loop/task", test_tasks);
    g_test_add_func("/event-loop/timer/order", test_timers);
    g_test_add_func("/event-loop/timer/storm", test_timer_storm);
    g_test_add_func("/event-loop/watch/stop-in-turn", test_stop_in_turn);
    g_test_add_func("/event-loop/watch/fd-reuse", test_fd_reuse);
    g_test_add_func("/event-loop/watch/two-on-one-fd", test_two_watches_one_fd);
    g_test_add_func("/event-loop/watch/regular-file", test_regular_file);
    g_test_add_func("/event-loop/watch/hangup", test_hangup);
    g_test_add_func("/event-loop/watch/nested-turn", test_nested);
    g_test_add_func("/event-loop/sleep/idle-uses-no-cpu", test_idle);
    g_test_add_func("/event-loop/sleep/polling", test_polling_delivers);
    return g_test_run();
}
