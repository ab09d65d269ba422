/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The machine's clock and its timers. */
#include "util/osdep.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "system/vm-clock.h"

/* Timers that one vm_clock_move() runs at most: a timer that arms itself for
 * the next nanosecond does not keep the main thread for ever. */
#define MOVE_TIMERS_MAX (1u << 20)

/* Machine lock. There is one machine. */
static struct {
    bool manual;
    bool stopped;
    int64_t offset_ns; /* running: clock minus the host's; else the clock */
    VmTimer *timers;   /* by deadline */
    LoopTimer wakeup;  /* the first of them, in the host's time */
} vm_clock;

static bool stands_still(void)
{
    return vm_clock.manual || vm_clock.stopped;
}

int64_t vm_clock_ns(void)
{
    return vm_clock.offset_ns + (stands_still() ? 0 : clock_now_ns());
}

bool vm_clock_is_manual(void)
{
    return vm_clock.manual;
}

int64_t vm_clock_deadline_ns(void)
{
    return vm_clock.timers ? vm_clock.timers->deadline_ns : -1;
}

/* ---- timers ---- */

static void wakeup_due(void *opaque);

/* Wakes the main loop when the first timer is due. */
static void wakeup_update(void) MAIN_THREAD
{
    int64_t now = vm_clock_ns(), deadline = vm_clock_deadline_ns();

    if (!vm_clock.wakeup.loop) {
        loop_timer_init(&vm_clock.wakeup, main_loop(), wakeup_due, NULL);
    }
    if (deadline < 0 || vm_clock.stopped ||
        (vm_clock.manual && deadline > now)) {
        loop_timer_cancel(&vm_clock.wakeup);
    } else {
        loop_timer_arm(&vm_clock.wakeup,
                       clock_now_ns() + MAX(deadline - now, 0));
    }
}

/* Takes @timer out of the list; its function may arm it again. */
static void timer_unlink(VmTimer *timer)
{
    VmTimer **link = &vm_clock.timers;

    while (*link != timer) {
        link = &(*link)->next;
    }
    *link = timer->next;
    timer->armed = false;
}

static void run_first(void) MAIN_THREAD
{
    VmTimer *timer = vm_clock.timers;

    timer_unlink(timer);
    timer->func(timer->opaque);
}

static unsigned timers_due(int64_t now)
{
    unsigned n = 0;

    for (VmTimer *t = vm_clock.timers; t && t->deadline_ns <= now;
         t = t->next) {
        n++;
    }
    return n;
}

/* Main loop. As many as were due, like its own timers. */
static void wakeup_due(void *opaque) MAIN_THREAD
{
    int64_t now = vm_clock_ns();
    unsigned due = vm_clock.stopped ? 0 : timers_due(now);

    while (due-- && timers_due(now)) {
        run_first();
    }
    wakeup_update();
}

void vm_timer_init(VmTimer *timer, LoopFunc *func, void *opaque)
{
    *timer = (VmTimer){ .func = func, .opaque = opaque };
}

void vm_timer_cancel(VmTimer *timer)
{
    machine_lock_assert();
    if (timer->armed) {
        timer_unlink(timer);
        wakeup_update();
    }
}

void vm_timer_arm(VmTimer *timer, int64_t deadline_ns)
{
    VmTimer **link = &vm_clock.timers;

    machine_lock_assert();
    if (timer->armed) {
        timer_unlink(timer);
    }
    timer->armed = true;
    timer->deadline_ns = MAX(deadline_ns, 0);
    while (*link && (*link)->deadline_ns <= timer->deadline_ns) {
        link = &(*link)->next;
    }
    timer->next = *link;
    *link = timer;
    wakeup_update();
}

/* ---- the clock's course ---- */

void vm_clock_move(int64_t ns)
{
    unsigned budget = MOVE_TIMERS_MAX;

    machine_lock_assert();
    while (!vm_clock.stopped && vm_clock.timers &&
           vm_clock.timers->deadline_ns <= ns && budget--) {
        vm_clock.offset_ns =
            MAX(vm_clock.offset_ns, vm_clock.timers->deadline_ns);
        run_first();
    }
    vm_clock.offset_ns = MAX(vm_clock.offset_ns, ns);
    wakeup_update();
}

void vm_clock_run_state(void *opaque, bool running, RunState state)
{
    int64_t now = vm_clock_ns();

    machine_lock_assert();
    vm_clock.stopped = !running;
    vm_clock.offset_ns = now - (stands_still() ? 0 : clock_now_ns());
    wakeup_update();
}

void vm_clock_set_manual(void)
{
    int64_t now = vm_clock_ns();

    machine_lock_assert();
    vm_clock.manual = true;
    vm_clock.offset_ns = now;
    wakeup_update();
}

void vm_clock_init(void)
{
    machine_lock_assert();
    vm_clock.stopped = true;
    vm_clock.offset_ns = 0;
}
