/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine lock: device registers, configuration and the object tree.
 *
 * The main thread holds it while it dispatches events and lets go of it while
 * it sleeps; a vCPU takes it for a register access that leaves the guest. No
 * packet ever waits for it: iothreads never take it.
 *
 * Threads: any but iothreads.
 */
#ifndef SYSTEM_MACHINE_LOCK_H
#define SYSTEM_MACHINE_LOCK_H

#include <pthread.h>

#include "util/osdep.h"

/* Takes the lock; waiting threads get it in the order in which they asked.
 * Not recursive. */
void machine_lock(void) ACQUIRES_MACHINE_LOCK;
void machine_unlock(void) RELEASES_MACHINE_LOCK;

/*
 * Sleeps on @cond and gives the lock to others meanwhile; holds it again on
 * return. As pthread_cond_wait(3): the caller tests its condition in a loop.
 * Whoever changes the condition and signals @cond holds the lock.
 */
void machine_cond_wait(pthread_cond_t *cond) MAIN_THREAD;

/* True when the calling thread holds it; for assertions. */
bool machine_lock_held(void);

/* Tells the analysis, and checks at run time, that the lock is held. */
void machine_lock_assert(void) ASSERTS_MACHINE_LOCK;

#endif
