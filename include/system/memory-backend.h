/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory backends: host memory that becomes guest RAM.
 *
 * `-object memory-backend-ram|-file|-memfd,id=ID,size=N` makes one, and
 * `-machine memory-backend=ID` uses it; without it the machine asks for an
 * anonymous one. The mapping lives as long as the object.
 *
 * Threads: under the machine lock.
 */
#ifndef SYSTEM_MEMORY_BACKEND_H
#define SYSTEM_MEMORY_BACKEND_H

#include "qom/object.h"

#define TYPE_MEMORY_BACKEND       "memory-backend"
#define TYPE_MEMORY_BACKEND_RAM   "memory-backend-ram"
#define TYPE_MEMORY_BACKEND_FILE  "memory-backend-file"
#define TYPE_MEMORY_BACKEND_MEMFD "memory-backend-memfd"

typedef struct MemoryBackend {
    Object obj;

    /* fixed after completion */
    uint8_t *host; /* first byte; aligned for huge pages */
    uint64_t size; /* bytes, a multiple of the page size */
    int fd;     /* file behind it from offset 0, or -1; stays the backend's */
    bool share; /* writes reach the file, other processes see them */
    bool merge, dump, prealloc, reserve;

    /* main thread */
    char *user; /* who has it, NULL: free */
} MemoryBackend;

#define MEMORY_BACKEND(o) OBJECT_CAST(MemoryBackend, o)

/* The -object of this id. NULL and *errp when there is none of that name or it
 * is no memory backend. */
MemoryBackend *memory_backend_find(const char *id, Error **errp) MAIN_THREAD;

/* Marks @backend as used by @user (copied): it cannot be deleted or used twice
 * from now on. False when somebody has it already. */
bool memory_backend_claim(MemoryBackend *backend, const char *user,
                          Error **errp) MAIN_THREAD;

/*
 * Anonymous private memory of @size bytes (a multiple of 4 KiB), not reserved
 * in swap: /machine/@name. NULL and *errp when the host has no room.
 */
MemoryBackend *memory_backend_new_default(const char *name, uint64_t size,
                                          Error **errp) MAIN_THREAD;

#endif
