/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * File descriptors that a management program passed: by name (getfd), and in
 * sets (add-fd, -add-fd), out of which "/dev/fdset/NUMBER" opens one.
 *
 * A set is made when its first descriptor comes and ends when its last one is
 * removed. Who opens "/dev/fdset/N" gets a duplicate, which removal does not
 * touch. All descriptors here are close-on-exec.
 *
 * Threads: under the machine lock.
 */
#ifndef UTIL_FDSET_H
#define UTIL_FDSET_H

#include "util/error.h"
#include "util/thread-annotations.h"

/* ---- names ---- */

/* Keeps @fd, ours from now on, as @name; an older one of that name is closed.
 * False (and @fd closed): the name begins with a digit or is empty. */
bool fd_name_add(const char *name, int fd, Error **errp) MAIN_THREAD;
/* Closes the fd of @name and forgets it. False: there is none. */
bool fd_name_close(const char *name, Error **errp) MAIN_THREAD;

/*
 * The fd that @text means where an option takes one ("fd="): a number, which
 * is an fd of this process, or a name that fd_name_add() was given. @what
 * names the option for errors. It stays where it is: who keeps the fd says so
 * by fd_text_taken(). -1: neither.
 */
int fd_from_text(const char *text, const char *what, Error **errp) MAIN_THREAD;
/* The fd that fd_from_text() found is the caller's: forgets its name, also
 * where it was given by its number. */
void fd_text_taken(const char *text) MAIN_THREAD;

/* ---- sets ---- */

#define FDSET_NEW (-1) /* instead of a set's id: the lowest that is free */

/*
 * Adds @fd, ours from now on, to the set @id, made if it is not there; @opaque
 * (may be NULL) is the client's text about it. The set's id. -1 (and @fd is
 * closed): @id is negative and not FDSET_NEW, or @fd cannot be kept.
 */
int64_t fdset_add(int64_t id, int fd, const char *opaque, Error **errp)
    MAIN_THREAD;
/* Takes @fd, or all with -1, out of the set and closes it. False: there is no
 * such set, or it has no such fd. */
bool fdset_remove(int64_t id, int fd, Error **errp) MAIN_THREAD;

typedef struct FdsetEntry {
    int64_t set;
    int fd;
    char *opaque; /* or NULL */
} FdsetEntry;

/* The entries in order of sets, and in a set in the order they came; *@n says
 * how many. Valid until the next change. */
const FdsetEntry *fdset_entries(unsigned *n) MAIN_THREAD;

/*
 * open(2), close-on-exec; "/dev/fdset/N" instead duplicates the fd of set N
 * whose access mode fits @flags, and applies O_APPEND, O_NONBLOCK, O_TRUNC and
 * O_EXCL. -1: an error that names @path; errno says which.
 */
int fdset_open(const char *path, int flags, mode_t mode, Error **errp)
    MAIN_THREAD;

/* Closes all names and sets: the end of the process. */
void fdset_cleanup(void) MAIN_THREAD;

#endif
