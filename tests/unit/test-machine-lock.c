/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <time.h>

#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/fd.h"

#define MS    1000000LL
#define VCPUS 3

static unsigned long accesses; /* under the machine lock */
static bool stop_vcpus;        /* under the machine lock */

/* Hammers a "register" as a vCPU in a polling loop does. */
static NO_THREAD_SAFETY void *vcpu_hammer(void *opaque)
{
    bool stop;

    do {
        machine_lock();
        accesses++;
        stop = stop_vcpus;
        machine_unlock();
    } while (!stop);
    return NULL;
}

static unsigned turns;

static void count_turn(void *opaque)
{
    LoopTask *task = opaque;

    machine_lock_assert();
    if (++turns >= 200 && accesses >= 200) {
        event_loop_quit(task->loop);
    } else {
        loop_task_schedule(task);
    }
}

/* The main loop gets on although vCPUs always want the lock, and they do. */
static NO_THREAD_SAFETY void test_no_starvation(void)
{
    pthread_t vcpu[VCPUS];
    LoopTask task;

    turns = 0;
    accesses = 0;
    stop_vcpus = false;
    for (unsigned i = 0; i < VCPUS; i++) {
        pthread_create(&vcpu[i], NULL, vcpu_hammer, NULL);
    }
    loop_task_init(&task, main_loop(), count_turn, &task);
    loop_task_schedule(&task);
    event_loop_run(main_loop());
    g_assert_cmpuint(turns, >=, 200);
    g_assert_cmpuint(accesses, >=, 200);
    stop_vcpus = true;
    machine_unlock();
    for (unsigned i = 0; i < VCPUS; i++) {
        pthread_join(vcpu[i], NULL);
    }
    machine_lock();
}

/* ---- condition ---- */

static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned ball; /* under the machine lock */

static NO_THREAD_SAFETY void *play(void *opaque)
{
    unsigned mine = GPOINTER_TO_UINT(opaque);

    machine_lock();
    while (ball < 1000) {
        if (ball % 2 == mine) {
            ball++;
            pthread_cond_broadcast(&changed);
        } else {
            machine_cond_wait(&changed);
            machine_lock_assert();
        }
    }
    machine_unlock();
    return NULL;
}

static NO_THREAD_SAFETY void test_condition(void)
{
    pthread_t thread[2];

    ball = 0;
    for (unsigned i = 0; i < 2; i++) {
        pthread_create(&thread[i], NULL, play, GUINT_TO_POINTER(i));
    }
    while (ball < 1000) {
        machine_cond_wait(&changed);
    }
    machine_unlock();
    pthread_join(thread[0], NULL);
    pthread_join(thread[1], NULL);
    g_assert_false(machine_lock_held());
    machine_lock();
    g_assert_true(machine_lock_held());
}

/* ---- a vCPU uses the main loop under the lock ---- */

typedef struct Uart {
    LoopTimer timer;
    FdWatch watch;
    int fd;
    unsigned calls;
    bool called_directly;
} Uart;

static void uart_timer(void *opaque)
{
    event_loop_quit(main_loop());
}

static void uart_readable(void *opaque, uint32_t events)
{
    ((Uart *)opaque)->calls++;
}

static void uart_note(void *opaque)
{
    ((Uart *)opaque)->called_directly = true;
}

static NO_THREAD_SAFETY void *vcpu_access(void *opaque)
{
    Uart *uart = opaque;

    g_usleep(5000); /* the main loop sleeps by now */
    machine_lock();
    event_loop_call(main_loop(), uart_note, uart);
    loop_timer_arm(&uart->timer, clock_now_ns() + 2 * MS);
    /* Ready from now on, but stopped before the main thread has the lock. */
    eventfd_signal(uart->fd);
    g_usleep(2000);
    fd_watch_stop(&uart->watch);
    machine_unlock();
    return NULL;
}

static void test_vcpu_uses_main_loop(void)
{
    Uart uart = { .fd = eventfd_new(NULL) };
    pthread_t vcpu;

    loop_timer_init(&uart.timer, main_loop(), uart_timer, &uart);
    fd_watch_start(&uart.watch, main_loop(), uart.fd, LOOP_IN, uart_readable,
                   &uart);
    pthread_create(&vcpu, NULL, vcpu_access, &uart);
    event_loop_run(main_loop());
    pthread_join(vcpu, NULL);
    g_assert_true(uart.called_directly);
    g_assert_cmpuint(uart.calls, ==, 0);
    close(uart.fd);
}

/* vCPUs that restart watches all the time, as a driver can make them, do not
 * keep the main loop from what is ready. */
typedef struct Hammer {
    bool stop; /* atomic */
    unsigned served;
    int fd;
} Hammer;

static void hammer_idle(void *opaque, uint32_t events)
{
}

static void hammer_served(void *opaque, uint32_t events)
{
    Hammer *h = opaque;

    eventfd_clear(h->fd);
    h->served++;
}

static void *hammer_vcpu(void *opaque)
{
    Hammer *h = opaque;
    FdWatch watch = { 0 };
    int fd = eventfd_new(NULL);

    while (!__atomic_load_n(&h->stop, __ATOMIC_RELAXED)) {
        machine_lock();
        fd_watch_stop(&watch);
        fd_watch_start(&watch, main_loop(), fd, LOOP_IN, hammer_idle, NULL);
        machine_unlock();
    }
    machine_lock();
    fd_watch_stop(&watch);
    machine_unlock();
    close(fd);
    return NULL;
}

static void NO_THREAD_SAFETY test_watches_restarted(void)
{
    enum { TURNS = 2000 };
    Hammer h = { .fd = eventfd_new(NULL) };
    FdWatch watch = { 0 };
    pthread_t vcpu[4];

    fd_watch_start(&watch, main_loop(), h.fd, LOOP_IN, hammer_served, &h);
    for (unsigned i = 0; i < ARRAY_SIZE(vcpu); i++) {
        pthread_create(&vcpu[i], NULL, hammer_vcpu, &h);
    }
    for (unsigned i = 0; i < TURNS; i++) {
        eventfd_signal(h.fd);
        event_loop_turn(main_loop(), 0);
    }
    __atomic_store_n(&h.stop, true, __ATOMIC_RELAXED);
    machine_unlock();
    for (unsigned i = 0; i < ARRAY_SIZE(vcpu); i++) {
        pthread_join(vcpu[i], NULL);
    }
    machine_lock();
    fd_watch_stop(&watch);
    close(h.fd);
    g_assert_cmpuint(h.served, ==, TURNS);
}

/* Posts reach the main loop from threads without the lock. */
static void *post_quit(void *opaque)
{
    g_usleep(2000);
    event_loop_post(main_loop(), uart_timer, NULL);
    return NULL;
}

static void test_post(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, post_quit, NULL);
    event_loop_run(main_loop());
    pthread_join(thread, NULL);
    g_assert_true(machine_lock_held());
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(NULL));
    g_assert_true(machine_lock_held());
    g_test_add_func("/machine-lock/no-starvation", test_no_starvation);
    g_test_add_func("/machine-lock/condition", test_condition);
    g_test_add_func("/main-loop/vcpu-acts-under-lock",
                    test_vcpu_uses_main_loop);
    g_test_add_func("/main-loop/watches-restarted", test_watches_restarted);
    g_test_add_func("/main-loop/post", test_post);
    return g_test_run();
}
