/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Run state of the machine: running, paused, shut down; reset and power.
 *
 * Threads: *_request() from any thread (they post to the main loop); the rest
 * under the machine lock.
 */
#ifndef SYSTEM_RUNSTATE_H
#define SYSTEM_RUNSTATE_H

#include "util/error.h"

/* A subset of QAPI RunState, same names. */
typedef enum RunState {
    RUN_STATE_PRELAUNCH,
    RUN_STATE_RUNNING,
    RUN_STATE_PAUSED,
    RUN_STATE_SHUTDOWN,
    RUN_STATE_GUEST_PANICKED,
    RUN_STATE_INTERNAL_ERROR,
} RunState;

typedef enum ShutdownCause {
    SHUTDOWN_CAUSE_NONE,
    SHUTDOWN_CAUSE_HOST_ERROR,
    SHUTDOWN_CAUSE_HOST_QMP_QUIT,
    SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET,
    SHUTDOWN_CAUSE_HOST_SIGNAL,
    SHUTDOWN_CAUSE_HOST_UI,
    SHUTDOWN_CAUSE_GUEST_SHUTDOWN,
    SHUTDOWN_CAUSE_GUEST_RESET,
    SHUTDOWN_CAUSE_GUEST_PANIC,
} ShutdownCause;

/* What the user wants done instead of what the guest asked for. */
typedef struct RunStateActions {
    bool reboot_is_shutdown; /* -no-reboot */
    bool shutdown_is_pause;  /* -no-shutdown */
} RunStateActions;

/* Once, after main_loop_init() and before the first request. */
void runstate_init(const RunStateActions *actions) MAIN_THREAD;
/* SIGINT, SIGTERM and SIGHUP shut the machine down from now on. Once; until
 * then they end the process at once. */
bool runstate_catch_signals(Error **errp) MAIN_THREAD;
/* Runs the main loop until the machine ends; the process's exit status. */
int runstate_main_loop(void) MAIN_THREAD;

/* "running", "paused", "prelaunch"... as QMP names it. */
const char *runstate_str(RunState state);
/* True in a state that only a reset leads out of (guest turned off...). */
bool runstate_needs_reset(void) MAIN_THREAD;

RunState runstate_get(void) MAIN_THREAD;
bool runstate_is_running(void) MAIN_THREAD;

/* Starts or stops vCPUs and devices; devices hear of it by their notifier. */
void vm_start(void) MAIN_THREAD;
void vm_stop(RunState state) MAIN_THREAD;

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

/* Asks the main loop to act; honours -no-reboot / -no-shutdown. */
void system_reset_request(ShutdownCause cause);
void system_shutdown_request(ShutdownCause cause);
/* Ends the process with @status once devices are cleaned up (isa-debug-exit).
 */
void system_exit_request(int status);
/* Presses the ACPI power button. */
void system_powerdown_request(void);

/* The ACPI device registers to hear of the power button. */
void powerdown_handler_set(void (*func)(void *opaque), void *opaque)
    MAIN_THREAD;

#endif
