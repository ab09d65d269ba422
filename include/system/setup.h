/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a VmConfig to a machine, and back to nothing.
 *
 * Threads: main thread.
 */
#ifndef SYSTEM_SETUP_H
#define SYSTEM_SETUP_H

#include "system/cmdline.h"

/*
 * Makes everything that @cfg asks for, in this order: accelerator, objects,
 * chardevs, machine, netdevs, devices, NICs, monitors. vCPUs are paused. False
 * and *errp, whose message begins with the option at fault; the caller then
 * calls vm_teardown(). When @done is set on success, an option asked for help
 * which was printed, and there is no machine.
 */
bool vm_setup(VmConfig *cfg, bool *done, Error **errp) MAIN_THREAD;

/* Stops and removes everything, made completely or not. */
void vm_teardown(void) MAIN_THREAD;

#endif
