/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * calc-dirty-rate and query-dirty-rate.
 *
 * By sampling, a thread looks at pages, sleeps, looks again: it may take long,
 * and needs no lock. With the log, the main loop's timer ends the measurement.
 *
 * Threads: under the machine lock, but for the thread, which has what @thread
 * names until it is joined.
 */
#include "util/osdep.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "qapi/qapi-commands.h"
#include "system/dirty-log.h"
#include "system/dirty-rate.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/fd.h"

#define NS_PER_MS   G_GINT64_CONSTANT(1000000)
#define MS_PER_S    1000
#define CALC_MS_MIN 50
#define CALC_MS_MAX 60000
#define PER_GIB     512
#define PER_GIB_MIN 128
#define PER_GIB_MAX 16384

static struct {
    /* main thread */
    DirtyRateStatus status;
    DirtyRateMeasureMode mode;
    uint64_t per_gib; /* 0: not by sampling */
    int64_t start_ns;
    int64_t calc_ms; /* as asked for; once it is measured, as it was */
    int64_t rate;    /* MiB a second; of a measurement that has ended */
    LoopTimer timer;
    LoopTask done;

    /* thread */
    pthread_t thread;
    DirtySample *sample; /* NULL: there is no thread */
    int64_t wait_ns, elapsed_ns;
    int stop_event;

    /* any thread, atomic */
    bool stop;
} dirty;

/* ---- the end ---- */

static void measured(uint64_t bytes, int64_t ns) MAIN_THREAD
{
    int64_t ms = MAX(ns / NS_PER_MS, 1);

    dirty.calc_ms = ms;
    dirty.rate =
        (int64_t)((unsigned __int128)bytes * MS_PER_S / MiB / (uint64_t)ms);
    dirty.status = DIRTY_RATE_STATUS_MEASURED;
}

static void end_thread(void) MAIN_THREAD
{
    pthread_join(dirty.thread, NULL);
    fd_close(&dirty.stop_event);
    g_clear_pointer(&dirty.sample, dirty_sample_free);
}

static void thread_done(void *opaque)
{
    uint64_t bytes;

    machine_lock_assert();
    bytes = dirty_sample_written(dirty.sample);
    end_thread();
    measured(bytes, dirty.elapsed_ns);
}

static void log_done(void *opaque)
{
    uint64_t pages;
    int64_t ns;

    machine_lock_assert();
    pages = dirty_log_take();
    ns = clock_now_ns() - dirty.start_ns;
    dirty_log_stop();
    measured(pages << DIRTY_PAGE_BITS, ns);
}

void dirty_rate_cleanup(void)
{
    if (dirty.status != DIRTY_RATE_STATUS_MEASURING) {
        return;
    }
    if (dirty.sample) {
        __atomic_store_n(&dirty.stop, true, __ATOMIC_RELAXED);
        eventfd_signal(dirty.stop_event);
        end_thread();
        loop_task_cancel(&dirty.done);
    } else {
        loop_timer_cancel(&dirty.timer);
        dirty_log_stop();
    }
    dirty.status = DIRTY_RATE_STATUS_UNSTARTED;
}

/* ---- the start ---- */

static void sleep_until(int64_t deadline)
{
    struct pollfd pfd = { .fd = dirty.stop_event, .events = POLLIN };
    int64_t left = deadline - clock_now_ns();

    while (left > 0 && poll(&pfd, 1, (int)(left / NS_PER_MS) + 1) <= 0) {
        left = deadline - clock_now_ns();
    }
}

static void *sampler(void *opaque)
{
    int64_t begin = clock_now_ns();

    dirty_sample_look(dirty.sample, &dirty.stop);
    sleep_until(clock_now_ns() + dirty.wait_ns);
    dirty.elapsed_ns = clock_now_ns() - begin;
    dirty_sample_look(dirty.sample, &dirty.stop);
    loop_task_schedule(&dirty.done);
    return NULL;
}

/* Signals are the main thread's business. */
static int make_thread(void) MAIN_THREAD
{
    sigset_t all, old;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&dirty.thread, NULL, sampler, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r == 0) {
        pthread_setname_np(dirty.thread, "dirty-rate");
    }
    return r;
}

static bool start_sampling(uint64_t per_gib, int64_t ms, Error **errp)
    MAIN_THREAD
{
    int r;

    dirty.sample = dirty_sample_new(per_gib);
    if (!dirty.sample) {
        error_setg(errp, "there is no guest RAM");
        return false;
    }
    dirty.stop = false;
    dirty.wait_ns = ms * NS_PER_MS;
    dirty.stop_event = eventfd_new(errp);
    if (dirty.stop_event < 0) {
        goto free_sample;
    }
    loop_task_init(&dirty.done, main_loop(), thread_done, NULL);
    r = make_thread();
    if (r == 0) {
        return true;
    }
    error_setg_errno(errp, r, "cannot start a thread");
    fd_close(&dirty.stop_event);

free_sample:
    g_clear_pointer(&dirty.sample, dirty_sample_free);
    return false;
}

static bool start_log(int64_t ms, Error **errp) MAIN_THREAD
{
    if (!dirty_log_start(errp)) {
        return false;
    }
    loop_timer_init(&dirty.timer, main_loop(), log_done, NULL);
    loop_timer_arm(&dirty.timer, clock_now_ns() + ms * NS_PER_MS);
    return true;
}

/* ---- commands ---- */

static bool check_time(const q_obj_calc_dirty_rate_arg *arg, int64_t *ms,
                       Error **errp)
{
    bool in_ms =
        arg->has_calc_time_unit && arg->calc_time_unit == TIME_UNIT_MILLISECOND;
    int64_t unit = in_ms ? 1 : MS_PER_S;
    int64_t min = MAX(CALC_MS_MIN / unit, 1), max = CALC_MS_MAX / unit;

    if (arg->calc_time < min || arg->calc_time > max) {
        error_setg(
            errp,
            "calc-time %" PRId64 ": must be %" PRId64 " to %" PRId64 " %s",
            arg->calc_time, min, max, in_ms ? "milliseconds" : "seconds");
        return false;
    }
    *ms = arg->calc_time * unit;
    return true;
}

static bool check_sample_pages(const q_obj_calc_dirty_rate_arg *arg,
                               DirtyRateMeasureMode mode, Error **errp)
{
    if (!arg->has_sample_pages) {
        return true;
    }
    if (mode != DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING) {
        error_setg(errp,
                   "sample-pages: is for mode 'page-sampling', not for '%s'",
                   DirtyRateMeasureMode_str(mode));
        return false;
    }
    if (arg->sample_pages < PER_GIB_MIN || arg->sample_pages > PER_GIB_MAX) {
        error_setg(errp, "sample-pages %" PRId64 ": must be %d to %d",
                   arg->sample_pages, PER_GIB_MIN, PER_GIB_MAX);
        return false;
    }
    return true;
}

bool qmp_calc_dirty_rate(const q_obj_calc_dirty_rate_arg *arg, Error **errp)
{
    DirtyRateMeasureMode mode =
        arg->has_mode ? arg->mode : DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING;
    bool sampling = mode == DIRTY_RATE_MEASURE_MODE_PAGE_SAMPLING;
    uint64_t per_gib;
    int64_t ms;

    if (dirty.status == DIRTY_RATE_STATUS_MEASURING) {
        error_setg(errp, "a measurement is under way: query-dirty-rate tells "
                         "when it has ended");
        return false;
    }
    if (!check_time(arg, &ms, errp) || !check_sample_pages(arg, mode, errp)) {
        return false;
    }
    if (mode == DIRTY_RATE_MEASURE_MODE_DIRTY_RING) {
        error_setg(errp, "mode 'dirty-ring': there is no ring of written "
                         "pages; use 'page-sampling' or 'dirty-bitmap'");
        return false;
    }
    per_gib = !sampling               ? 0
              : arg->has_sample_pages ? (uint64_t)arg->sample_pages
                                      : PER_GIB;
    if (!(sampling ? start_sampling(per_gib, ms, errp) : start_log(ms, errp))) {
        return false; /* the last result stays */
    }
    dirty.mode = mode;
    dirty.calc_ms = ms;
    dirty.per_gib = per_gib;
    dirty.start_ns = clock_now_ns();
    dirty.status = DIRTY_RATE_STATUS_MEASURING;
    return true;
}

bool qmp_query_dirty_rate(const q_obj_query_dirty_rate_arg *arg,
                          DirtyRateInfo *ret, Error **errp)
{
    TimeUnit unit =
        arg->has_calc_time_unit ? arg->calc_time_unit : TIME_UNIT_SECOND;

    *ret = (DirtyRateInfo){
        .has_dirty_rate = dirty.status == DIRTY_RATE_STATUS_MEASURED,
        .dirty_rate = dirty.rate,
        .status = dirty.status,
        .start_time = dirty.start_ns / NS_PER_MS / MS_PER_S,
        .calc_time =
            unit == TIME_UNIT_SECOND ? dirty.calc_ms / MS_PER_S : dirty.calc_ms,
        .calc_time_unit = unit,
        .sample_pages = dirty.per_gib,
        .mode = dirty.mode,
    };
    return true;
}
