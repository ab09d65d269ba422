/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Start, stop, reset and end of the machine: order, events, commands. */
#include "util/osdep.h"

#include <signal.h>

#include "accel/vcpu.h"
#include "hw/core/qdev.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-events.h"
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
                           running ? "start" : "stop", RunState_str(state));
}

static void on_reset(void *opaque)
{
    note(opaque);
}

/* Events are noted with what tells them apart: "RESET/guest-reset", and "+"
 * when the guest is to blame. */
static void on_event(const QapiEvent *event, json_object *data)
{
    json_object *value;

    g_string_append(events, event->name);
    if (json_object_object_get_ex(data, "reason", &value) ||
        json_object_object_get_ex(data, "action", &value)) {
        g_string_append_printf(events, "/%s", json_object_get_string(value));
    }
    if (json_object_object_get_ex(data, "guest", &value)) {
        g_string_append(events, json_object_get_boolean(value) ? "+" : "-");
    }
    g_string_append_c(events, ' ');
}

/* A fresh state; the loop is the process's. */
static void begin_with(RebootAction reboot, ShutdownAction shutdown,
                       PanicAction panic)
{
    RunStateActions actions = { reboot, shutdown, panic };

    vm_stop(RUN_STATE_PAUSED);
    runstate_init(&actions);
    g_string_truncate(events, 0);
}

static void begin(bool reboot_is_shutdown, bool shutdown_is_pause)
{
    begin_with(
        reboot_is_shutdown ? REBOOT_ACTION_SHUTDOWN : REBOOT_ACTION_RESET,
        shutdown_is_pause ? SHUTDOWN_ACTION_PAUSE : SHUTDOWN_ACTION_POWEROFF,
        PANIC_ACTION_SHUTDOWN);
}

static void start(void)
{
    vm_start();
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
    expect("RESUME a:start(running) b:start(running) resume ");
    vm_stop(RUN_STATE_PAUSED);
    expect("pause b:stop(paused) a:stop(paused) STOP ");
    runstate_handler_remove(a);
    vm_start();
    expect("RESUME b:start(running) resume ");
    vm_shutdown();
    expect("pause b:stop(shutdown) ");
    vm_shutdown();
    expect("");
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
    expect("pause device-reset r1 r2 cpu-reset RESET/guest-reset+ resume ");
    g_assert_true(runstate_is_running());
    reset_handler_remove(on_reset, (void *)"r1");
    vm_stop(RUN_STATE_PAUSED);
    g_string_truncate(events, 0);
    system_reset_request(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    turn();
    expect("pause device-reset r2 cpu-reset RESET/host-qmp-system-reset- ");
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_PRELAUNCH);
    reset_handler_remove(on_reset, (void *)"r2");
}

static void test_no_shutdown(void)
{
    begin(false, true);
    start();
    system_shutdown_request(SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    turn();
    expect("SHUTDOWN/guest-shutdown+ pause STOP ");
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_SHUTDOWN);
    g_assert_true(runstate_needs_reset());
    system_reset_request(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    turn();
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_PRELAUNCH);
    g_assert_false(runstate_needs_reset());
    vm_start();
    g_string_truncate(events, 0);
    system_shutdown_request(SHUTDOWN_CAUSE_HOST_ERROR);
    turn();
    expect("SHUTDOWN/host-error- pause STOP ");
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_INTERNAL_ERROR);
}

static void test_no_reboot_no_shutdown(void)
{
    begin(true, true);
    vm_start();
    g_string_truncate(events, 0);
    system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
    turn();
    expect("SHUTDOWN/guest-reset+ pause STOP ");
    g_assert_cmpint(runstate_get(), ==, RUN_STATE_SHUTDOWN);
}

static void pressed(void *opaque)
{
    note("button");
}

static void test_powerdown(void)
{
    begin(false, false);
    system_powerdown_request(); /* no button */
    turn();
    expect("POWERDOWN ");
    powerdown_handler_set(pressed, NULL);
    system_powerdown_request();
    turn();
    expect("POWERDOWN button ");
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
    g_assert_nonnull(strstr(events->str, "SHUTDOWN/guest-shutdown+ "));
    g_thread_join(thread);
    turn();
}

static void test_end_by_guest(void)
{
    begin(true, false);
    start();
    g_assert_false(runstate_is_ending());
    system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET); /* -no-reboot */
    g_assert_cmpint(runstate_main_loop(), ==, 0);
    g_assert_true(runstate_is_ending());
    expect("SHUTDOWN/guest-reset+ ");
    system_shutdown_request(SHUTDOWN_CAUSE_HOST_ERROR);
    g_assert_cmpint(runstate_main_loop(), ==, 1);
    expect("SHUTDOWN/host-error- ");
}

/* What the user wants is not lost to what the guest asks for meanwhile. */
static void test_end_by_user(void)
{
    begin(false, true);
    start();
    system_shutdown_request(SHUTDOWN_CAUSE_HOST_QMP_QUIT);
    system_shutdown_request(SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
    g_assert_cmpint(runstate_main_loop(), ==, 0);
    expect("SHUTDOWN/host-qmp-quit- ");
}

static void test_signal(void)
{
    Error *err = NULL;

    begin(false, true);
    g_assert_true(runstate_catch_signals(&err));
    raise(SIGTERM);
    g_assert_cmpint(runstate_main_loop(), ==, 0);
    expect("SHUTDOWN/host-signal- ");
}

/* ---- panics ---- */

typedef struct PanicCase {
    PanicAction panic;
    ShutdownAction shutdown;
    const char *events;
    RunState state;
    int status; /* -1: the process goes on */
} PanicCase;

static const PanicCase panic_cases[] = {
    { PANIC_ACTION_NONE, SHUTDOWN_ACTION_PAUSE, "GUEST_PANICKED/run ",
      RUN_STATE_RUNNING, -1 },
    { PANIC_ACTION_PAUSE, SHUTDOWN_ACTION_POWEROFF,
      "GUEST_PANICKED/pause pause STOP ", RUN_STATE_GUEST_PANICKED, -1 },
    { PANIC_ACTION_SHUTDOWN, SHUTDOWN_ACTION_PAUSE,
      "GUEST_PANICKED/pause pause STOP ", RUN_STATE_GUEST_PANICKED, -1 },
    { PANIC_ACTION_SHUTDOWN, SHUTDOWN_ACTION_POWEROFF,
      "GUEST_PANICKED/poweroff pause STOP SHUTDOWN/guest-panic+ ",
      RUN_STATE_GUEST_PANICKED, 0 },
    { PANIC_ACTION_EXIT_FAILURE, SHUTDOWN_ACTION_POWEROFF,
      "GUEST_PANICKED/poweroff pause STOP SHUTDOWN/guest-panic+ ",
      RUN_STATE_GUEST_PANICKED, 1 },
    { PANIC_ACTION_EXIT_FAILURE, SHUTDOWN_ACTION_PAUSE,
      "GUEST_PANICKED/poweroff pause STOP SHUTDOWN/guest-panic+ ",
      RUN_STATE_GUEST_PANICKED, 1 },
};

static void test_panic(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(panic_cases); i++) {
        const PanicCase *c = &panic_cases[i];

        begin_with(REBOOT_ACTION_RESET, c->shutdown, c->panic);
        start();
        system_panic_request(false);
        if (c->status < 0) {
            turn();
        } else {
            g_assert_cmpint(runstate_main_loop(), ==, c->status);
        }
        expect(c->events);
        g_assert_cmpint(runstate_get(), ==, c->state);
        g_assert_false(runstate_needs_reset());
    }
}

static void test_crash_loaded(void)
{
    begin_with(REBOOT_ACTION_RESET, SHUTDOWN_ACTION_POWEROFF,
               PANIC_ACTION_EXIT_FAILURE);
    start();
    system_panic_request(true);
    turn();
    expect("GUEST_CRASHLOADED/run ");
    g_assert_true(runstate_is_running());
}

/* ---- commands ---- */

static void expect_status(bool running, RunState state)
{
    StatusInfo info = { 0 };

    g_assert_true(qmp_query_status(&info, NULL));
    g_assert_cmpint(info.running, ==, running);
    g_assert_cmpint(info.status, ==, state);
}

static void test_commands(void)
{
    g_autoptr(GError) err = NULL;

    begin(false, true);
    expect_status(false, RUN_STATE_PRELAUNCH);
    g_assert_true(qmp_cont(NULL));
    expect_status(true, RUN_STATE_RUNNING);
    g_assert_true(qmp_cont(NULL));
    g_assert_true(qmp_stop(NULL));
    expect_status(false, RUN_STATE_PAUSED);
    g_assert_true(qmp_stop(NULL));
    expect("RESUME resume pause STOP ");
    g_assert_true(qmp_cont(NULL));
    system_shutdown_request(SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    turn();
    expect_status(false, RUN_STATE_SHUTDOWN);
    g_assert_false(qmp_cont(&err));
    g_assert_cmpstr(err->message, ==,
                    "Resetting the Virtual Machine is required");
    g_string_truncate(events, 0);
    g_assert_true(qmp_system_reset(NULL));
    g_assert_true(qmp_system_powerdown(NULL));
    expect("");
    turn();
    expect("pause device-reset cpu-reset RESET/host-qmp-system-reset- "
           "POWERDOWN ");
    expect_status(false, RUN_STATE_PRELAUNCH);
    g_assert_true(qmp_cont(NULL));
}

static void test_set_action(void)
{
    const RunStateActions *a = runstate_actions();
    q_obj_set_action_arg arg = { 0 };

    begin_with(REBOOT_ACTION_SHUTDOWN, SHUTDOWN_ACTION_PAUSE,
               PANIC_ACTION_PAUSE);
    g_assert_true(qmp_set_action(&arg, NULL));
    g_assert_cmpint(a->reboot, ==, REBOOT_ACTION_SHUTDOWN);
    g_assert_cmpint(a->shutdown, ==, SHUTDOWN_ACTION_PAUSE);
    g_assert_cmpint(a->panic, ==, PANIC_ACTION_PAUSE);
    arg = (q_obj_set_action_arg){ .has_reboot = true,
                                  .reboot = REBOOT_ACTION_RESET };
    g_assert_true(qmp_set_action(&arg, NULL));
    arg = (q_obj_set_action_arg){ .has_shutdown = true,
                                  .shutdown = SHUTDOWN_ACTION_POWEROFF };
    g_assert_true(qmp_set_action(&arg, NULL));
    g_assert_cmpint(a->reboot, ==, REBOOT_ACTION_RESET);
    g_assert_cmpint(a->shutdown, ==, SHUTDOWN_ACTION_POWEROFF);
    g_assert_cmpint(a->panic, ==, PANIC_ACTION_PAUSE);
    arg =
        (q_obj_set_action_arg){ .has_panic = true, .panic = PANIC_ACTION_NONE };
    g_assert_true(qmp_set_action(&arg, NULL));
    g_assert_cmpint(a->panic, ==, PANIC_ACTION_NONE);
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
    qapi_event_set_sink(on_event);
    g_test_add_func("/runstate/start-stop", test_start_stop);
    g_test_add_func("/runstate/reset", test_reset);
    g_test_add_func("/runstate/no-shutdown", test_no_shutdown);
    g_test_add_func("/runstate/no-reboot-no-shutdown",
                    test_no_reboot_no_shutdown);
    g_test_add_func("/runstate/powerdown", test_powerdown);
    g_test_add_func("/runstate/end-from-thread", test_end_from_thread);
    g_test_add_func("/runstate/end-by-guest", test_end_by_guest);
    g_test_add_func("/runstate/end-by-user", test_end_by_user);
    g_test_add_func("/runstate/signal", test_signal);
    g_test_add_func("/runstate/panic", test_panic);
    g_test_add_func("/runstate/crash-loaded", test_crash_loaded);
    g_test_add_func("/runstate/commands", test_commands);
    g_test_add_func("/runstate/set-action", test_set_action);
    return g_test_run();
}
