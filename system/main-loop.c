/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include "system/machine-lock.h"
#include "system/main-loop.h"

static EventLoop *the_main_loop; /* set once, before there are threads */

static NO_THREAD_SAFETY void main_loop_before_wait(void)
{
    machine_unlock();
}

static NO_THREAD_SAFETY void main_loop_after_wait(void)
{
    machine_lock();
}

static const EventLoopHooks main_loop_hooks = {
    .before_wait = main_loop_before_wait,
    .after_wait = main_loop_after_wait,
    .may_act = machine_lock_held,
};

NO_THREAD_SAFETY bool main_loop_init(Error **errp)
{
    g_assert(!the_main_loop);
    the_main_loop = event_loop_new("main", &main_loop_hooks, errp);
    if (!the_main_loop) {
        return false;
    }
    machine_lock();
    return true;
}

EventLoop *main_loop(void)
{
    return the_main_loop;
}
