/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the process gives away before the guest runs: -run-with (another user,
 * another root directory) and -sandbox (system calls).
 *
 * Threads: main(); the other threads are confined with it.
 */
#ifndef SYSTEM_CONFINE_H
#define SYSTEM_CONFINE_H

#include "system/cmdline.h"

/* Looks the user up and opens what is needed later, while all of the file
 * system is there. False and *errp: no such user, no such library. */
bool confine_prepare(const VmConfig *cfg, Error **errp) MAIN_THREAD;
/* Root directory, user, system calls, in this order. After an error the
 * process is to end: part of it may be done. */
bool confine_enter(const VmConfig *cfg, Error **errp) MAIN_THREAD;

/* ---- sandbox.c ---- */

/* Makes the filter; false: there is no libseccomp. */
bool sandbox_prepare(const SandboxRules *rules, Error **errp) MAIN_THREAD;
/* From here on, in all threads, a system call that is not in the list fails
 * with EPERM, and no program that is started gains rights
 * (PR_SET_NO_NEW_PRIVS).
 */
bool sandbox_enter(Error **errp) MAIN_THREAD;

#endif
