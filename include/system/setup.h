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
 * Makes what there is before a machine, in this order: accelerator, objects,
 * chardevs, QMP monitors. False and *errp, whose message begins with the option
 * at fault; the caller then calls vm_teardown(). When @done is set on success,
 * an option asked for help which was printed, and no machine is to be made.
 * With -preconfig the caller runs the main loop next (monitor/qmp.h).
 */
bool vm_setup(VmConfig *cfg, bool *done, Error **errp) MAIN_THREAD;

/*
 * Makes the rest: machine, netdevs, devices, NICs, human monitors. vCPUs are
 * paused. Result as above.
 */
bool vm_setup_machine(VmConfig *cfg, Error **errp) MAIN_THREAD;

/* Stops and removes everything, made completely or not. */
void vm_teardown(void) MAIN_THREAD;

#endif
