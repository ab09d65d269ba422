/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Running, stopping, resetting and ending the machine. */
#include "util/osdep.h"

#include <signal.h>

#include "accel/vcpu.h"
#include "hw/core/qdev.h"
#include "qapi/qapi-events.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "system/runstate.h"
#include "util/fd.h"
#include "util/log.h"

struct RunStateHandler {
    RunStateFunc *func;
    void *opaque;
};

typedef struct ResetHandler {
    ResetFunc *func;
    void *opaque;
} ResetHandler;

/* The machine's state: there is one machine. */
static struct {
    /* fixed after runstate_init() */
    LoopTask task; /* carries requests to the main loop, however many came */

    /* machine lock */
    RunStateActions actions;
    RunState state;
    GPtrArray *handlers; /* of RunStateHandler */
    GArray *resets;      /* of ResetHandler */
    void (*powerdown)(void *opaque);
    void *powerdown_opaque;
    bool ending; /* the process, with exit_status */
    int exit_status;
    FdWatch signal_watch;

    /* any thread and signal handlers, atomic: requests not yet acted on */
    int reset_cause, shutdown_cause; /* ShutdownCause; NONE: no request */
    int powerdown_requested;
    int panicked, crash_loaded;
    int exit_request; /* status + 1; 0: no request */
    int signal_number, signal_pid;
    int signal_fd;
} rs = { .signal_fd = -1 };

RunState runstate_get(void)
{
    return rs.state;
}

bool runstate_is_running(void)
{
    return rs.state == RUN_STATE_RUNNING;
}

bool runstate_is_ending(void)
{
    return rs.ending;
}

const RunStateActions *runstate_actions(void)
{
    return &rs.actions;
}

void runstate_set_actions(const RunStateActions *actions)
{
    rs.actions = *actions;
}

bool runstate_needs_reset(void)
{
    return rs.state == RUN_STATE_SHUTDOWN ||
           rs.state == RUN_STATE_INTERNAL_ERROR;
}

/* ---- handlers ---- */

RunStateHandler *runstate_handler_add(RunStateFunc *func, void *opaque)
{
    RunStateHandler *handler = g_new(RunStateHandler, 1);

    handler->func = func;
    handler->opaque = opaque;
    if (!rs.handlers) {
        rs.handlers = g_ptr_array_new_with_free_func(g_free);
    }
    g_ptr_array_add(rs.handlers, handler);
    return handler;
}

void runstate_handler_remove(RunStateHandler *handler)
{
    if (handler) {
        g_ptr_array_remove(rs.handlers, handler);
    }
}

void reset_handler_add(ResetFunc *func, void *opaque)
{
    ResetHandler handler = { func, opaque };

    if (!rs.resets) {
        rs.resets = g_array_new(false, false, sizeof(handler));
    }
    g_array_append_val(rs.resets, handler);
}

void reset_handler_remove(ResetFunc *func, void *opaque)
{
    for (guint i = 0; rs.resets && i < rs.resets->len; i++) {
        const ResetHandler *h = &g_array_index(rs.resets, ResetHandler, i);

        if (h->func == func && h->opaque == opaque) {
            g_array_remove_index(rs.resets, i);
            return;
        }
    }
}

void powerdown_handler_set(void (*func)(void *opaque), void *opaque)
{
    rs.powerdown = func;
    rs.powerdown_opaque = opaque;
}

/* ---- the changes themselves, in the main thread ---- */

static RunStateHandler *handler_at(guint i)
{
    return g_ptr_array_index(rs.handlers, i);
}

void vm_start(void)
{
    if (runstate_is_running()) {
        return;
    }
    qapi_event_send_resume();
    rs.state = RUN_STATE_RUNNING;
    for (guint i = 0; rs.handlers && i < rs.handlers->len; i++) {
        handler_at(i)->func(handler_at(i)->opaque, true, rs.state);
    }
    vcpus_resume();
}

/* From running to @state. */
static void MAIN_THREAD stop_running(RunState state)
{
    vcpus_pause();
    rs.state = state;
    for (guint i = rs.handlers ? rs.handlers->len : 0; i > 0; i--) {
        handler_at(i - 1)->func(handler_at(i - 1)->opaque, false, state);
    }
}

void vm_stop(RunState state)
{
    if (runstate_is_running()) {
        stop_running(state);
        qapi_event_send_stop();
    }
}

void vm_shutdown(void)
{
    if (runstate_is_running()) {
        stop_running(RUN_STATE_SHUTDOWN);
    }
}

/* Takes one request out of @slot. */
static int take(int *slot)
{
    return __atomic_exchange_n(slot, 0, __ATOMIC_ACQ_REL);
}

static bool caused_by_guest(ShutdownCause cause)
{
    return cause == SHUTDOWN_CAUSE_GUEST_SHUTDOWN ||
           cause == SHUTDOWN_CAUSE_GUEST_RESET ||
           cause == SHUTDOWN_CAUSE_GUEST_PANIC;
}

/*
 * Devices come before handlers: once they are reset nothing writes to RAM any
 * more, and the handlers may load the kernel again and place BARs.
 */
static void MAIN_THREAD machine_reset(ShutdownCause cause)
{
    q_obj_RESET_arg event = { .guest = caused_by_guest(cause),
                              .reason = cause };
    bool running = runstate_is_running();

    vcpus_pause();
    /* A vCPU that asked once more before it paused gets this reset. */
    take(&rs.reset_cause);
    devices_reset_all();
    for (guint i = 0; rs.resets && i < rs.resets->len; i++) {
        const ResetHandler *h = &g_array_index(rs.resets, ResetHandler, i);

        h->func(h->opaque);
    }
    vcpus_reset();
    qapi_event_send_reset(&event);
    if (running) {
        vcpus_resume();
    } else {
        rs.state = RUN_STATE_PRELAUNCH;
    }
}

static void MAIN_THREAD end_process(int status)
{
    rs.ending = true;
    rs.exit_status = status;
    event_loop_quit(main_loop());
}

/* The host's wish to end is not for shutdown=pause to refuse. */
static bool ends_always(ShutdownCause cause)
{
    return cause == SHUTDOWN_CAUSE_HOST_QMP_QUIT ||
           cause == SHUTDOWN_CAUSE_HOST_SIGNAL ||
           cause == SHUTDOWN_CAUSE_HOST_UI;
}

static void MAIN_THREAD send_shutdown(ShutdownCause cause)
{
    q_obj_SHUTDOWN_arg event = { .guest = caused_by_guest(cause),
                                 .reason = cause };

    qapi_event_send_shutdown(&event);
}

static void MAIN_THREAD machine_shutdown(ShutdownCause cause)
{
    bool panic_fails = cause == SHUTDOWN_CAUSE_GUEST_PANIC &&
                       rs.actions.panic == PANIC_ACTION_EXIT_FAILURE;
    bool failed = cause == SHUTDOWN_CAUSE_HOST_ERROR || panic_fails;

    send_shutdown(cause);
    if (rs.actions.shutdown == SHUTDOWN_ACTION_PAUSE && !ends_always(cause) &&
        !panic_fails) {
        vm_stop(failed ? RUN_STATE_INTERNAL_ERROR : RUN_STATE_SHUTDOWN);
    } else {
        end_process(failed ? EXIT_FAILURE : EXIT_SUCCESS);
    }
}

static void MAIN_THREAD crash_loaded(void)
{
    q_obj_GUEST_CRASHLOADED_arg event = { .action = GUEST_PANIC_ACTION_RUN };

    log_mask(LOG_GUEST_ERROR, "the guest's kernel crashed and handles it");
    qapi_event_send_guest_crashloaded(&event);
}

/* What becomes of a crashed guest. */
static GuestPanicAction MAIN_THREAD panic_action(void)
{
    switch (rs.actions.panic) {
    case PANIC_ACTION_NONE:
        return GUEST_PANIC_ACTION_RUN;
    case PANIC_ACTION_EXIT_FAILURE:
        return GUEST_PANIC_ACTION_POWEROFF;
    case PANIC_ACTION_SHUTDOWN:
        return rs.actions.shutdown == SHUTDOWN_ACTION_PAUSE
                   ? GUEST_PANIC_ACTION_PAUSE
                   : GUEST_PANIC_ACTION_POWEROFF;
    case PANIC_ACTION_PAUSE:
    default:
        return GUEST_PANIC_ACTION_PAUSE;
    }
}

static void MAIN_THREAD panicked(void)
{
    q_obj_GUEST_PANICKED_arg event = { .action = panic_action() };

    log_mask(LOG_GUEST_ERROR, "the guest's kernel crashed");
    qapi_event_send_guest_panicked(&event);
    if (event.action == GUEST_PANIC_ACTION_RUN) {
        return;
    }
    vm_stop(RUN_STATE_GUEST_PANICKED);
    if (event.action == GUEST_PANIC_ACTION_POWEROFF) {
        system_shutdown_request(SHUTDOWN_CAUSE_GUEST_PANIC);
    }
}

/* Resets and ends: of several requests the end wins. */
static void MAIN_THREAD run_end_requests(void)
{
    ShutdownCause reset = take(&rs.reset_cause);
    ShutdownCause shutdown = take(&rs.shutdown_cause);

    if (reset != SHUTDOWN_CAUSE_NONE &&
        rs.actions.reboot == REBOOT_ACTION_SHUTDOWN) {
        shutdown = shutdown ? shutdown : reset;
        reset = SHUTDOWN_CAUSE_NONE;
    }
    if (shutdown != SHUTDOWN_CAUSE_NONE) {
        machine_shutdown(shutdown);
    } else if (reset != SHUTDOWN_CAUSE_NONE) {
        machine_reset(reset);
    }
}

static void run_requests(void *opaque)
{
    int status = take(&rs.exit_request);

    machine_lock_assert();
    if (status) {
        send_shutdown(SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
        end_process(status - 1);
        return;
    }
    if (take(&rs.crash_loaded)) {
        crash_loaded();
    }
    if (take(&rs.panicked)) {
        panicked();
    }
    run_end_requests();
    if (take(&rs.powerdown_requested)) {
        qapi_event_send_powerdown();
        if (rs.powerdown) {
            rs.powerdown(rs.powerdown_opaque);
        }
    }
}

/* ---- requests, any thread ---- */

static void request(int *slot, int value)
{
    __atomic_store_n(slot, value, __ATOMIC_RELEASE);
    loop_task_schedule(&rs.task);
}

void system_reset_request(ShutdownCause cause)
{
    request(&rs.reset_cause, cause);
}

void system_shutdown_request(ShutdownCause cause)
{
    int old = __atomic_load_n(&rs.shutdown_cause, __ATOMIC_ACQUIRE);

    while (!ends_always(old) &&
           !__atomic_compare_exchange_n(&rs.shutdown_cause, &old, cause, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        /* another thread asked meanwhile: look at what it wants */
    }
    loop_task_schedule(&rs.task);
}

void system_exit_request(int status)
{
    request(&rs.exit_request, status + 1);
}

void system_panic_request(bool handled)
{
    request(handled ? &rs.crash_loaded : &rs.panicked, 1);
}

void system_powerdown_request(void)
{
    request(&rs.powerdown_requested, 1);
}

/* ---- signals ---- */

/* Any thread, in the middle of anything: only what signal-safety(7) allows. */
static void on_signal(int number, siginfo_t *info, void *context)
{
    int saved = errno;

    __atomic_store_n(&rs.signal_pid, info->si_pid, __ATOMIC_RELAXED);
    __atomic_store_n(&rs.signal_number, number, __ATOMIC_RELEASE);
    eventfd_signal(rs.signal_fd);
    errno = saved;
}

static void signal_arrived(void *opaque, uint32_t events)
{
    int number = take(&rs.signal_number);
    int pid = __atomic_load_n(&rs.signal_pid, __ATOMIC_RELAXED);

    machine_lock_assert();
    eventfd_clear(rs.signal_fd);
    if (pid > 0) {
        error_report("terminating on signal %d from pid %d", number, pid);
    } else {
        error_report("terminating on signal %d", number);
    }
    machine_shutdown(SHUTDOWN_CAUSE_HOST_SIGNAL);
}

bool runstate_catch_signals(Error **errp)
{
    static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction action = {
        .sa_sigaction = on_signal,
        .sa_flags = SA_SIGINFO | SA_RESTART,
    };

    rs.signal_fd = eventfd_new(errp);
    if (rs.signal_fd < 0) {
        return false;
    }
    fd_watch_start(&rs.signal_watch, main_loop(), rs.signal_fd, LOOP_IN,
                   signal_arrived, NULL);
    rs.signal_watch.name = "signals";
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < ARRAY_SIZE(caught); i++) {
        sigaction(caught[i], &action, NULL);
    }
    return true;
}

/* ---- the process ---- */

void runstate_init(const RunStateActions *actions)
{
    rs.actions = *actions;
    rs.state = RUN_STATE_PRELAUNCH;
    rs.ending = false;
    loop_task_init(&rs.task, main_loop(), run_requests, NULL);
}

int runstate_main_loop(void)
{
    event_loop_run(main_loop());
    return rs.exit_status;
}
