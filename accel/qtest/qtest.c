/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The qtest accelerator: no CPU; interrupts become lines of text or stores, and
 * the machine's clock is the test's. */
#include "util/osdep.h"
#include "accel/accel-internal.h"
#include "accel/qtest/qtest-internal.h"
#include "system/vm-clock.h"

static bool qtest_init(Error **errp) MAIN_THREAD
{
    vm_clock_set_manual();
    return true;
}

/* A message is a store (PCI 3.0, 6.8.1): one that points at RAM lands there. */
static void qtest_msi_send(MsiMessage msg) MAIN_THREAD
{
    io_write(IO_SPACE_MMIO, msg.address, msg.data, 4);
}

const AccelOps qtest_accel_ops = {
    .name = "qtest",
    .init = qtest_init,
    .set_gsi = qtest_irq_set,
    .msi_send = qtest_msi_send,
};
