/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The management protocol (QMP): sessions, commands, events.
 *
 * Threads: main thread.
 */
#ifndef MONITOR_QMP_H
#define MONITOR_QMP_H

#include "chardev/char.h"
#include "qapi/qapi-type.h"

/* A session at @chr; @pretty: answers are indented over several lines. */
bool qmp_monitor_new(Chardev *chr, bool pretty, Error **errp) MAIN_THREAD;

/* Detaches and frees all sessions. */
void qmp_monitor_cleanup(void) MAIN_THREAD;

/*
 * For handlers of commands: the oldest file descriptor that the client of the
 * command under way passed; the caller owns it. -1 when there is none, or no
 * command is under way.
 */
int qmp_take_fd(void) MAIN_THREAD;

/*
 * Runs one command, as from a client: @request is {"execute": ..., ...}; the
 * answer is a new object with "return" or "error", or NULL where the command
 * answers nothing on success. @commands: the table. Specification: 2.3, 2.4.
 */
json_object *qmp_dispatch(const QapiCommand *commands, json_object *request)
    MAIN_THREAD;

/*
 * Before there is a machine (-preconfig). From qmp_set_preconfig(true) on only
 * those commands run that the schema allows then. x-exit-preconfig holds back
 * all commands and makes the main loop return; then qmp_left_preconfig() is
 * true, and qmp_set_preconfig(false), once the machine is made, lets them run.
 */
void qmp_set_preconfig(bool on) MAIN_THREAD;
bool qmp_is_preconfig(void) MAIN_THREAD;
bool qmp_left_preconfig(void) MAIN_THREAD;

#endif
