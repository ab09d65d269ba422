/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's own time: nanoseconds that it has run, and timers on them.
 *
 * The clock stands still while the machine is stopped. Under `-accel qtest` it
 * stands still always and goes where the test moves it (vm_clock_move). Devices
 * whose counters and timers a guest sees use it; what concerns the host (a
 * reconnect, a poll) uses a LoopTimer.
 *
 * Threads: under the machine lock; timer functions run in the main loop, or in
 * vm_clock_move().
 */
#ifndef SYSTEM_VM_CLOCK_H
#define SYSTEM_VM_CLOCK_H

#include "system/runstate.h"
#include "util/event-loop.h"

/* A one-shot timer. Caller-allocated; zero-filled means not armed. */
typedef struct VmTimer {
    LoopFunc *func;
    void *opaque;
    bool armed;
    int64_t deadline_ns;
    struct VmTimer *next;
} VmTimer;

/* Sets the clock to 0, stopped, until vm_clock_run_state() is told that the
 * machine runs. Before, it is the host's monotonic clock. */
void vm_clock_init(void) MAIN_THREAD;

/* Stops the clock or lets it go on from where it is: a RunStateFunc, the first
 * to hear that the machine starts. */
void vm_clock_run_state(void *opaque, bool running, RunState state) MAIN_THREAD;

/* From now on only vm_clock_move() moves the clock. */
void vm_clock_set_manual(void) MAIN_THREAD;
bool vm_clock_is_manual(void) MAIN_THREAD;

/* Nanoseconds. */
int64_t vm_clock_ns(void) MAIN_THREAD;

/* Deadline of the next timer, or -1. */
int64_t vm_clock_deadline_ns(void) MAIN_THREAD;

/*
 * Moves a manual clock forward to @ns (nothing when that is in the past),
 * stopping at each deadline on the way to run its timer. While the machine is
 * stopped the timers wait. The number of timers that one move runs is bounded;
 * those that are late then run in the main loop.
 */
void vm_clock_move(int64_t ns) MAIN_THREAD;

void vm_timer_init(VmTimer *timer, LoopFunc *func, void *opaque);
/* Arms at @deadline_ns (vm_clock_ns() base), replacing an earlier deadline. */
void vm_timer_arm(VmTimer *timer, int64_t deadline_ns) MAIN_THREAD;
void vm_timer_cancel(VmTimer *timer) MAIN_THREAD;

#endif
