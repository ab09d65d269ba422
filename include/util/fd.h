/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small helpers on file descriptors.
 *
 * Threads: any; no shared state.
 */
#ifndef UTIL_FD_H
#define UTIL_FD_H

#include "util/error.h"

/* Closes *@fd unless it is -1, and sets it to -1; keeps errno. */
void fd_close(int *fd);

/* Sets or clears O_NONBLOCK; sets FD_CLOEXEC. False and *errp on failure. */
bool fd_set_nonblock(int fd, bool on, Error **errp);
bool fd_set_cloexec(int fd, Error **errp);

/* eventfd(2): non-blocking, close-on-exec. -1 and *errp on failure. */
int eventfd_new(Error **errp);
/* Adds one; never blocks: a full counter already says "signalled". */
void eventfd_signal(int fd);
/*
 * The same where a process that is not trusted has the file too, or had it: it
 * may have filled the counter and taken O_NONBLOCK away. Two system calls, none
 * of which waits (util/eventfd-shared.c). Where the kernel has no io_submit(2)
 * the counter is looked at before the write, and one that is filled just
 * between the two makes us wait.
 */
void eventfd_signal_shared(int fd);
/* Reads the counter to zero; true when it was not zero. Never blocks, though
 * another process may have taken O_NONBLOCK away (Linux 5.10 and later). */
bool eventfd_clear(int fd);

/*
 * Parses a decimal fd number and checks that it is open. @what names the
 * option in the error. -1 on failure.
 */
int fd_parse(const char *text, const char *what, Error **errp);

/*
 * Sends or receives @len bytes and up to @max_fds descriptors over the unix
 * socket @sock. Received descriptors are close-on-exec and belong to the
 * caller; *@n_fds says how many came. Result as of sendmsg(2)/recvmsg(2)
 * or -errno.
 */
ssize_t fd_send(int sock, const void *buf, size_t len, const int *fds,
                unsigned n_fds);
ssize_t fd_recv(int sock, void *buf, size_t len, int *fds, unsigned max_fds,
                unsigned *n_fds);

#endif
