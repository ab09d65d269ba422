/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who may call what, in a form that clang's thread-safety analysis checks.
 *
 * MAIN_THREAD      the caller holds the machine lock: the main thread while
 *                  it dispatches an event, or a vCPU thread inside a device
 *                  register access. The name stands for the role, not for
 *                  the thread's number.
 * NO_MACHINE_LOCK  the caller does not hold it (it will be taken, or the
 *                  function may block).
 *
 * A function without a mark may be called from any thread, or says otherwise
 * in its comment ("Threads: the loop's own thread").
 *
 * Threads: nothing here has state; the lock itself is in system/machine-lock.h.
 */
#ifndef UTIL_THREAD_ANNOTATIONS_H
#define UTIL_THREAD_ANNOTATIONS_H

#if defined(__clang__)
#define THREAD_ANNOTATION(x) __attribute__((x))
#else
#define THREAD_ANNOTATION(x)
#endif

/* A lock or role that analysis knows by the name of an object of this type. */
#define THREAD_CAPABILITY(name) THREAD_ANNOTATION(capability(name))

struct THREAD_CAPABILITY("machine lock") MachineLock {
    int unused;
};
extern struct MachineLock machine_lock_role;

#define MAIN_THREAD     THREAD_ANNOTATION(requires_capability(machine_lock_role))
#define NO_MACHINE_LOCK THREAD_ANNOTATION(locks_excluded(machine_lock_role))
#define ACQUIRES_MACHINE_LOCK \
    THREAD_ANNOTATION(acquire_capability(machine_lock_role))
#define RELEASES_MACHINE_LOCK \
    THREAD_ANNOTATION(release_capability(machine_lock_role))
#define ASSERTS_MACHINE_LOCK \
    THREAD_ANNOTATION(assert_capability(machine_lock_role))
#define NO_THREAD_SAFETY THREAD_ANNOTATION(no_thread_safety_analysis)

#endif
