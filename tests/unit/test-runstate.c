/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start, stop, reset and end of the machine, in their order. */
#include "util/osdep.h"

#include <signal.h>

#include "accel/vcpu.h"
#include "hw/core/qdev.h"
#include "system/main-loop.h"
#include "system/runstate.h"

/* What happened, in order. */
static GString *events;

static void note(const char *what)
{
    g_string_append_printf(events, "%s ", what);
}

static void expect(const char *what)
{
    g_assert_cmpstr(events->str, ==, what);
    g_string_truncate(events, 0);
}

/* The CPUs and devices of this machine. */
void vcpus_resume(void)
{
    note("resume");
}

void vcpus_pause(void)
{
    note("pause");
}

void vcpus_reset(void)
{
    note("cpu-reset");
}

void devices_reset_all(void)
{
    note("device-reset");
}

static void on_change(void *opaque, bool running, RunState state)
{
    g_string_append_printf(events, "%s:%s(%s) ", (const char *)opaque,
                           running ? "start" : "stop", runstate_str(state));
}

static void on_reset(void *opaque)
{
    note(opaque);
}

/* A fresh state; the loop is the process's. */
static void begin(bool reboot_is_shutdown, bool shutdown_is_pause)
{
    RunStateActions actions = { reboot_is_shutdown, shutdown_is_pause };

    vm_stop(RUN_STATE_PAUSED);
    runstate_init(&actions);
    g_string_truncate(events, 0);
}

/* Lets the main loop act on requests. */
static void turn(void)
{
    event_loop_turn(main_loop(), 0);
    event_loop_turn(main_loop(), 0);
}

static void test_start_stop(void)
{
    RunStateHandler *a, *b;

    begin(false, false);
    a = runstate_handler_add(on_change, (void *)"a");
    b = runstate_handler_add(on_change, (void *)"b");
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_PRELAUNCH);
    vm_stop(RUN_STATE_PAUSED); /* was not running: nothing */
    expect("");
    vm_start();
    vm_start();
    expect("a:start(running) b:start(running) resume ");
    vm_stop(RUN_STATE_PAUSED);
    expect("pause b:stop(paused) a:stop(paused) ");
    runstate_handler_remove(a);
    vm_start();
    expect("b:start(running) resume ");
    runstate_handler_remove(b);
    runstate_handler_remove(NULL);
}

static void test_reset(void)
{
    begin(false, false);
    reset_handler_add(on_reset, (void *)"r1");
    reset_handler_add(on_reset, (void *)"r2");
    vm_start();
    g_string_truncate(events, 0);
    system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
    system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET); /* still one */
    expect("");
    turn();
    expect("pause device-reset r1 r2 cpu-reset resume ");
    g_assert_true(runstate_is_running());
    reset_handler_remove(on_reset, (void *)"r1");
    vm_stop(RUN_STATE_PAUSED);
    g_string_truncate(events, 0);
    system_reset_request(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    turn();
    expect("pause device-reset r2 cpu-reset ");
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_PRELAUNCH);
    reset_handler_remove(on_reset, (void *)"r2");
}

static void test_no_shutdown(void)
{
    begin(false, true);
    vm_start();
    system_shutdown_request(SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    turn();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_SHUTDOWN);
    g_assert_true(runstate_needs_reset());
    system_reset_request(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    turn();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_PRELAUNCH);
    g_assert_false(runstate_needs_reset());
    vm_start();
    system_shutdown_request(SHUTDOWN_CAUSE_HOST_ERROR);
    turn();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_INTERNAL_ERROR);
}

static void test_no_reboot_no_shutdown(void)
{
    begin(true, true);
    vm_start();
    g_string_truncate(events, 0);
    system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
    turn();
    expect("pause ");
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_SHUTDOWN);
}

static void pressed(void *opaque)
{
    note("button");
}

static void test_powerdown(void)
{
    begin(false, false);
    system_powerdown_request(); /* nobody hears it */
    turn();
    powerdown_handler_set(pressed, NULL);
    system_powerdown_request();
    turn();
    expect("button ");
    powerdown_handler_set(NULL, NULL);
}

/* Requests from another thread, as a vCPU makes them. */
static gpointer request_thread(gpointer opaque)
{
    for (int i = 0; i < 1000; i++) {
        system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
    }
    system_exit_request(GPOINTER_TO_INT(opaque));
    return NULL;
}

static void test_end_from_thread(void)
{
    GThread *thread;

    begin(false, true);
    vm_start();
    thread = g_thread_new("vcpu", request_thread, GINT_TO_POINTER(33));
    g_assert_cmpint(runstate_main_loop(), ==, 33); /* -no-shutdown or not */
    g_thread_join(thread);
    turn();
}

static void test_end_by_guest(void)
{
    begin(true, false);
    vm_start();
    system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET); /* -no-reboot */
    g_assert_cmpint(runstate_main_loop(), ==, 0);
    system_shutdown_request(SHUTDOWN_CAUSE_HOST_ERROR);
    g_assert_cmpint(runstate_main_loop(), ==, 1);
}

static void test_signal(void)
{
    Error *err = NULL;

    begin(false, true);
    g_assert_true(runstate_catch_signals(&err));
    raise(SIGTERM);
    g_assert_cmpint(runstate_main_loop(), ==, 0);
}

static void NO_THREAD_SAFETY init(void)
{
    g_assert_true(main_loop_init(NULL));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    init();
    events = g_string_new(NULL);
    g_test_add_func("/runstate/start-stop", test_start_stop);
    g_test_add_func("/runstate/reset", test_reset);
    g_test_add_func("/runstate/no-shutdown", test_no_shutdown);
    g_test_add_func("/runstate/no-reboot-no-shutdown",
                    test_no_reboot_no_shutdown);
    g_test_add_func("/runstate/powerdown", test_powerdown);
    g_test_add_func("/runstate/end-from-thread", test_end_from_thread);
    g_test_add_func("/runstate/end-by-guest", test_end_by_guest);
    g_test_add_func("/runstate/signal", test_signal);
    return g_test_run();
}
