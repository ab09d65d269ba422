/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * iothreads: one thread, one event loop, any number of queue pairs.
 *
 * `-object iothread,id=NAME` makes one; a NIC without a mapping makes its own
 * (iothread_new_internal()). An iothread never takes the machine lock.
 *
 * Threads: under the machine lock; the loop itself follows util/event-loop.h.
 */
#ifndef SYSTEM_IOTHREAD_H
#define SYSTEM_IOTHREAD_H

#include "qom/object.h"
#include "util/affinity.h"
#include "util/event-loop.h"
#include "util/io-ring.h"

#define TYPE_IOTHREAD "iothread"

typedef struct IOThread IOThread;

/* -object iothread with this id, or NULL and *errp that says so. */
IOThread *iothread_find(const char *id, Error **errp) MAIN_THREAD;
/* One that belongs to a device; @name is its thread's name (15 bytes). The
 * caller's next act is iothread_use(). */
IOThread *iothread_new_internal(const char *name, Error **errp) MAIN_THREAD;
/* Users keep a reference; the last one of an internal iothread stops and
 * joins it. An iothread with users cannot be deleted (the error names them). */
void iothread_use(IOThread *iothread, const char *user) MAIN_THREAD;
void iothread_release(IOThread *iothread, const char *user) MAIN_THREAD;

/* Sets cpu-affinity: it runs on the CPUs of the host that @cpus has, or,
 * without any, on all that the process may use. */
bool iothread_set_cpus(IOThread *iothread, const CpuList *cpus, Error **errp)
    MAIN_THREAD;
unsigned iothread_n_users(const IOThread *iothread) MAIN_THREAD;

EventLoop *iothread_loop(const IOThread *iothread);
/* For its thread alone; NULL: the kernel refuses io_uring, or engine=epoll. */
IoRing *iothread_io_ring(const IOThread *iothread);
const char *iothread_id(const IOThread *iothread);
int iothread_thread_id(const IOThread *iothread); /* host tid */
/* No iothread's io_uring has a file open any more that it does not use. For
 * who closes one for good. */
void iothreads_forget_files(void) MAIN_THREAD;
/* Calls @func for each -object iothread, in the order made. */
void iothread_foreach(void (*func)(IOThread *, void *), void *opaque)
    MAIN_THREAD;

#endif
