/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -daemonize and -pidfile.
 *
 * Threads: main(); daemon_fork() before there are others.
 */
#ifndef SYSTEM_DAEMON_H
#define SYSTEM_DAEMON_H

#include "util/error.h"

typedef enum DaemonRole {
    DAEMON_FAILED, /* *errp is set, nothing was forked */
    DAEMON_CHILD,  /* go on, and call daemon_ready() when set up */
    DAEMON_PARENT, /* the child is set up, or has failed: exit */
} DaemonRole;

/*
 * Makes a child in a session of its own, without a controlling terminal. The
 * parent returns once the child called daemon_ready() (*@status is 0) or ended
 * without (*@status is 1; the child has printed why).
 */
DaemonRole daemon_fork(int *status, Error **errp);

/* In the child: opens what daemon_ready() needs; later the root directory may
 * be another one. Nothing when there was no fork. */
bool daemon_prepare(Error **errp);
/* In the child: standard input, output and error become /dev/null, the working
 * directory /, and the parent may exit. Nothing when there was no fork. */
bool daemon_ready(Error **errp);

/* Writes this process's id to @path and keeps the file locked. False when
 * another process holds it. It is removed by pidfile_remove(). */
bool pidfile_create(const char *path, Error **errp);
void pidfile_remove(void);

#endif
