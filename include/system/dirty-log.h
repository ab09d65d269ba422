/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log of pages of guest RAM that were written.
 *
 * While it is on, all writers tell: the emulator's own code by dirty_log_mark()
 * and its kin, after it has written; those that write without us seeing it
 * (vCPUs, vhost) are sources, which are told when the log begins and ends, and
 * asked when it is read. While it is off, a writer looks at one pointer.
 *
 * A page is 4096 bytes. Its bit is that of the vhost protocols: page p is bit
 * p % 8 of byte p / 8.
 *
 * Threads: marking, any. What dirty_log_get() gives is used like a RamMap: it
 * is not kept past the end of an event callback, or is used under the machine
 * lock. All else under the machine lock.
 */
#ifndef SYSTEM_DIRTY_LOG_H
#define SYSTEM_DIRTY_LOG_H

#include "system/memory.h"

#define DIRTY_PAGE_BITS 12

typedef struct DirtyLog {
    /* fixed */
    uint64_t pages; /* that have a bit: those below the end of RAM */
    size_t bytes;   /* of the bitmap: whole pages */
    /* any thread, atomic: many set bits, the reader clears them */
    uint64_t *bitmap;
} DirtyLog;

/* Atomic; only dirty_log_get() reads it. */
extern DirtyLog *dirty_log_in_force;

/* The log, or NULL while it is off. Any thread. */
static inline DirtyLog *dirty_log_get(void)
{
    /* Acquire: the log's content is read after the pointer; pairs with the
     * release in dirty_log_start(). */
    return __atomic_load_n(&dirty_log_in_force, __ATOMIC_ACQUIRE);
}

/* ---- marking: any thread ---- */

/* [@gpa, @gpa + @len) was written; what lies beyond the log is ignored. */
void dirty_log_mark(DirtyLog *log, uint64_t gpa, uint64_t len);
/* The same by our address; what is not guest RAM is ignored. */
void dirty_log_mark_host(DirtyLog *log, const void *host, size_t len);
/* The first @len bytes of the list were written. */
void dirty_log_mark_iov(DirtyLog *log, const struct iovec *iov, unsigned n,
                        size_t len);
/* Somebody else's bitmap, in which bit 0 is page @first, of @pages pages; bits
 * of the last word beyond them are ignored. */
void dirty_log_merge(DirtyLog *log, uint64_t first, const uint64_t *bitmap,
                     uint64_t pages);
/* The same of a bitmap that others set bits in meanwhile: takes them out. */
void dirty_log_merge_shared(DirtyLog *log, uint64_t *bitmap, uint64_t pages);

/* ---- sources: machine lock ---- */

typedef struct DirtySourceOps {
    /* From the return on, what it writes is noted. False and *errp: it cannot;
     * then nothing has changed. */
    bool (*start)(void *opaque, DirtyLog *log, Error **errp);
    /* Brings what was written since the last time into @log. May be NULL. */
    void (*sync)(void *opaque, DirtyLog *log);
    /* No more. It does not touch the log after the return. */
    void (*stop)(void *opaque);
} DirtySourceOps;

typedef struct DirtySource DirtySource;

/* A source that comes while the log is on finds it by dirty_log_get(): start is
 * not called, stop is. */
DirtySource *dirty_source_add(const DirtySourceOps *ops, void *opaque)
    MAIN_THREAD;
/* NULL is allowed. */
void dirty_source_remove(DirtySource *source) MAIN_THREAD;

/* ---- the log: machine lock ---- */

/* Begins a log with nothing in it. False and *errp: one is on, or a source
 * cannot tell what it writes. What is written after the return is logged. RAM
 * cannot be added while it is on. */
bool dirty_log_start(Error **errp) MAIN_THREAD;
/* Ends it. */
void dirty_log_stop(void) MAIN_THREAD;
/* How many pages of RAM were written since the start or the last call, each
 * counted once. */
uint64_t dirty_log_take(void) MAIN_THREAD;

#endif
