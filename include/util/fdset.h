/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File descriptors that a management program passed: by name (getfd), and in
 * sets (add-fd), out of which "/dev/fdset/NUMBER" opens one.
 *
 * Threads: under the machine lock.
 */
#ifndef UTIL_FDSET_H
#define UTIL_FDSET_H

#include "util/error.h"
#include "util/thread-annotations.h"

/* Keeps @fd, ours from now on, as @name; an older one of that name is closed.
 * False (and @fd closed): the name begins with a digit or is empty. */
bool fd_name_add(const char *name, int fd, Error **errp) MAIN_THREAD;
/* Takes the fd of @name out: the caller's now. -1: there is none. */
int fd_name_take(const char *name, Error **errp) MAIN_THREAD;
bool fd_name_close(const char *name, Error **errp) MAIN_THREAD;

/*
 * The fd that @text means where an option takes one ("fd="): a number, which
 * is an fd of this process, or a name that getfd gave. The caller's now. -1:
 * neither.
 */
int fd_from_text(const char *text, Error **errp) MAIN_THREAD;

/*
 * open(2), close-on-exec; "/dev/fdset/N" instead duplicates the fd of set N
 * whose access mode fits @flags (O_RDONLY, O_WRONLY, O_RDWR). -1: an error.
 */
int fdset_open(const char *path, int flags, mode_t mode, Error **errp)
    MAIN_THREAD;

/* Closes all of them: the end of the process. */
void fdset_cleanup(void) MAIN_THREAD;

#endif
