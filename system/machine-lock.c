/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The lock is handed over in the order in which threads asked for it: a vCPU
 * that hammers a register cannot keep the main thread waiting for ever.
 */
#include "util/osdep.h"

#include "system/machine-lock.h"

struct MachineLock machine_lock_role;

/* A thread that waits; on its own stack. */
typedef struct LockWaiter {
    pthread_cond_t turn;
    bool granted;
    struct LockWaiter *next;
} LockWaiter;

static struct {
    pthread_mutex_t mutex; /* for the rest; held for moments only */
    bool held;             /* somebody has the machine lock */
    LockWaiter *head, **tail;
} state = { .mutex = PTHREAD_MUTEX_INITIALIZER, .tail = &state.head };

static __thread bool held_by_me;

/* Makes the machine lock this thread's; state.mutex is held. */
static void acquire_with_mutex(void)
{
    LockWaiter me = { .turn = PTHREAD_COND_INITIALIZER };

    if (!state.held) {
        state.held = true;
    } else {
        *state.tail = &me;
        state.tail = &me.next;
        while (!me.granted) {
            pthread_cond_wait(&me.turn, &state.mutex);
        }
    }
    pthread_cond_destroy(&me.turn);
    held_by_me = true;
}

/* Gives it to the first that waits, if any; state.mutex is held. */
static void release_with_mutex(void)
{
    LockWaiter *first = state.head;

    held_by_me = false;
    if (!first) {
        state.held = false;
        return;
    }
    state.head = first->next;
    if (!state.head) {
        state.tail = &state.head;
    }
    first->granted = true;
    pthread_cond_signal(&first->turn);
}

NO_THREAD_SAFETY void machine_lock(void)
{
    g_assert(!held_by_me);
    pthread_mutex_lock(&state.mutex);
    acquire_with_mutex();
    pthread_mutex_unlock(&state.mutex);
}

NO_THREAD_SAFETY void machine_unlock(void)
{
    g_assert(held_by_me);
    pthread_mutex_lock(&state.mutex);
    release_with_mutex();
    pthread_mutex_unlock(&state.mutex);
}

void machine_cond_wait(pthread_cond_t *cond)
{
    g_assert(held_by_me);
    pthread_mutex_lock(&state.mutex);
    release_with_mutex();
    /* Who signals holds the machine lock, which needs state.mutex to get:
     * nothing is missed between the release and the sleep. */
    pthread_cond_wait(cond, &state.mutex);
    acquire_with_mutex();
    pthread_mutex_unlock(&state.mutex);
}

bool machine_lock_held(void)
{
    return held_by_me;
}

void machine_lock_assert(void)
{
    g_assert(held_by_me);
}
