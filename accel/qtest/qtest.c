/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The qtest accelerator: no CPU; interrupts become lines of text or stores. */
#include "util/osdep.h"
#include "accel/accel-internal.h"
#include "accel/qtest/qtest-internal.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"

/* main thread */
static struct {
    bool level[QTEST_LINES];
    bool intercepted;
} lines;

static struct {
    int64_t start_ns; /* -1: not started */
    LoopTimer timer;
} virtual_clock = { .start_ns = -1 };

static bool qtest_init(Error **errp)
{
    return true;
}

/* A message is a store (PCI 3.0, 6.8.1): one that points at RAM lands there. */
static void qtest_msi_send(MsiMessage msg) MAIN_THREAD
{
    io_write(IO_SPACE_MMIO, msg.address, msg.data, 4);
}

void qtest_irq_set(unsigned line, bool level)
{
    char text[32];

    machine_lock_assert();
    if (line >= QTEST_LINES || lines.level[line] == level) {
        return;
    }
    lines.level[line] = level;
    if (lines.intercepted) {
        snprintf(text, sizeof(text), "IRQ %s %u", level ? "raise" : "lower",
                 line);
        qtest_server_event(text);
    }
}

void qtest_irq_intercept(bool on)
{
    lines.intercepted = on;
}

int64_t qtest_clock_ns(void)
{
    if (virtual_clock.start_ns < 0) {
        virtual_clock.start_ns = clock_now_ns();
    }
    return clock_now_ns() - virtual_clock.start_ns;
}

/* The main loop's function. */
static void qtest_clock_due(void *opaque) MAIN_THREAD
{
    char text[32];

    snprintf(text, sizeof(text), "OK %" PRId64, qtest_clock_ns());
    qtest_server_answer(text);
}

void qtest_clock_answer_at(int64_t ns)
{
    qtest_clock_ns();
    if (!virtual_clock.timer.loop) {
        loop_timer_init(&virtual_clock.timer, main_loop(), qtest_clock_due,
                        NULL);
    }
    loop_timer_arm(&virtual_clock.timer, virtual_clock.start_ns + ns);
}

void qtest_clock_cancel(void)
{
    if (virtual_clock.timer.loop) {
        loop_timer_cancel(&virtual_clock.timer);
    }
}

const AccelOps qtest_accel_ops = {
    .name = "qtest",
    .init = qtest_init,
    .set_gsi = qtest_irq_set,
    .msi_send = qtest_msi_send,
};
