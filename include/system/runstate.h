/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run state of the machine: running, paused, shut down; reset and power.
 *
 * Threads: *_request() from any thread (they post to the main loop); the rest
 * under the machine lock.
 */
#ifndef SYSTEM_RUNSTATE_H
#define SYSTEM_RUNSTATE_H

#include "qapi/qapi-types.h"
#include "util/error.h"

/* What follows from the guest's acts: -action, -no-reboot, -no-shutdown. */
typedef struct RunStateActions {
    RebootAction reboot;
    ShutdownAction shutdown;
    PanicAction panic;
} RunStateActions;

/* What they are when nobody says otherwise. */
#define RUN_STATE_ACTIONS_DEFAULT                                            \
    {                                                                        \
        .reboot = REBOOT_ACTION_RESET, .shutdown = SHUTDOWN_ACTION_POWEROFF, \
        .panic = PANIC_ACTION_SHUTDOWN,                                      \
    }

/* Once, after main_loop_init() and before the first request. */
void runstate_init(const RunStateActions *actions) MAIN_THREAD;
/* What follows from the guest's acts, now and from now on (copied). */
const RunStateActions *runstate_actions(void) MAIN_THREAD;
void runstate_set_actions(const RunStateActions *actions) MAIN_THREAD;
/* SIGINT, SIGTERM and SIGHUP shut the machine down from now on. Once; until
 * then they end the process at once. */
bool runstate_catch_signals(Error **errp) MAIN_THREAD;
/* Runs the main loop until the machine ends; the process's exit status. */
int runstate_main_loop(void) MAIN_THREAD;

/* True in a state that only a reset leads out of (guest turned off...). */
bool runstate_needs_reset(void) MAIN_THREAD;

RunState runstate_get(void) MAIN_THREAD;
bool runstate_is_running(void) MAIN_THREAD;
/* True once the end of the process is decided: the main loop returns. */
bool runstate_is_ending(void) MAIN_THREAD;

/* Starts or stops vCPUs and devices, which hear of it by their notifier; events
 * RESUME, STOP. Nothing when they run, or do not run, already. */
void vm_start(void) MAIN_THREAD;
void vm_stop(RunState state) MAIN_THREAD;
/* The end of the process: stops without an event. */
void vm_shutdown(void) MAIN_THREAD;

/* Called with the new state after vCPUs stopped / before they start. Order:
 * as added on start, reversed on stop. */
typedef void RunStateFunc(void *opaque, bool running, RunState state);
typedef struct RunStateHandler RunStateHandler;
RunStateHandler *runstate_handler_add(RunStateFunc *func, void *opaque)
    MAIN_THREAD;
void runstate_handler_remove(RunStateHandler *handler) MAIN_THREAD;

/* Called at machine reset, vCPUs stopped, in the order added. */
typedef void ResetFunc(void *opaque);
void reset_handler_add(ResetFunc *func, void *opaque) MAIN_THREAD;
void reset_handler_remove(ResetFunc *func, void *opaque) MAIN_THREAD;

/*
 * Asks the main loop to act, as the actions say. A request to end that comes
 * from the host (quit, signal, key) is not overtaken by another.
 */
void system_reset_request(ShutdownCause cause);
void system_shutdown_request(ShutdownCause cause);
/* The guest ends the process with @status once devices are cleaned up, whatever
 * the actions say (isa-debug-exit). */
void system_exit_request(int status);
/* The guest's kernel crashed. @handled: it takes care of it by itself, the
 * machine goes on (pvpanic). */
void system_panic_request(bool handled);
/* Presses the ACPI power button; event POWERDOWN. */
void system_powerdown_request(void);

/* The ACPI device registers to hear of the power button. */
void powerdown_handler_set(void (*func)(void *opaque), void *opaque)
    MAIN_THREAD;

#endif
