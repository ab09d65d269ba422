/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The main loop: monitor, chardevs, timers, device configuration.
 *
 * Threads: main_loop() may be asked for by any thread; everything on the loop
 * runs in the main thread with the machine lock held.
 */
#ifndef SYSTEM_MAIN_LOOP_H
#define SYSTEM_MAIN_LOOP_H

#include "util/event-loop.h"

/* Makes the main loop; once, first thing in main(). The caller then holds the
 * machine lock. */
bool main_loop_init(Error **errp) ACQUIRES_MACHINE_LOCK;

/* The main loop; never NULL after main_loop_init(). */
EventLoop *main_loop(void);

#endif
