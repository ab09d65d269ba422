/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A burst of reads or writes on one file for one system call (io_uring).
 *
 * Nothing here waits: the file is non-blocking, and each operation ends inside
 * the call that submits it. So a burst needs neither completion events in the
 * loop nor memory that outlives the call.
 *
 * Threads: a ring belongs to the thread that made it.
 */
#ifndef UTIL_IO_RING_H
#define UTIL_IO_RING_H

#include "util/error.h"

#define IO_RING_BURST 64u

typedef struct IoRing IoRing;

/* One operation: one message of a file that keeps them apart. */
typedef struct IoFrame {
    struct iovec *iov; /* the caller's; not changed */
    unsigned n_iov;    /* 1..IOV_MAX */
    ssize_t result;    /* bytes; 0: not now (EAGAIN); < 0: -errno */
} IoFrame;

/* At most @max operations go to the kernel at a time, 0: as many as a burst
 * has. Any thread. */
void io_ring_set_max_batch(IoRing *ring, unsigned max);

/* A file that a ring works on. */
typedef struct IoFile {
    int fd;
    int slot; /* what the ring knows it by; -1: by its number */
} IoFile;

/* NULL and *errp when the kernel has no io_uring or refuses it to us. */
IoRing *io_ring_new(Error **errp);
void io_ring_free(IoRing *ring); /* NULL is allowed */

/*
 * Makes @fd known to @ring (NULL is allowed), which then finds it sooner. The
 * ring holds the file open until io_ring_remove_file(); a ring that takes no
 * more files serves it all the same.
 */
IoFile io_ring_add_file(IoRing *ring, int fd);
void io_ring_remove_file(IoRing *ring, IoFile *file);

/*
 * The kernel has let go of every file that was removed when this returns;
 * kernels before 6.13 else take their time (a second). Files that were not
 * removed serve as before. NULL is allowed. Not for the hot path.
 */
void io_ring_forget(IoRing *ring);

/*
 * Reads or writes @n (at most IO_RING_BURST) frames of @file, in that order,
 * and sets each one's result. A ring that the kernel stops serving is not used
 * again: system calls take its place, here and from then on.
 */
void io_ring_readv(IoRing *ring, IoFile file, IoFrame *frames, unsigned n);
void io_ring_writev(IoRing *ring, IoFile file, IoFrame *frames, unsigned n);

#endif
