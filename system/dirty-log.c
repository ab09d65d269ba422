/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log of written pages: its life, and those who tell what they wrote. */
#include "util/osdep.h"

#include <sys/mman.h>

#include "system/dirty-log.h"
#include "system/machine-lock.h"

struct DirtySource {
    const DirtySourceOps *ops;
    void *opaque;
};

/* main thread */
static GPtrArray *sources; /* of DirtySource, owned */

static uint64_t page_of(uint64_t gpa)
{
    return gpa >> DIRTY_PAGE_BITS;
}

/* ---- sources ---- */

DirtySource *dirty_source_add(const DirtySourceOps *ops, void *opaque)
{
    DirtySource *source = g_new0(DirtySource, 1);

    machine_lock_assert();
    source->ops = ops;
    source->opaque = opaque;
    if (!sources) {
        sources = g_ptr_array_new_with_free_func(g_free);
    }
    g_ptr_array_add(sources, source);
    return source;
}

void dirty_source_remove(DirtySource *source)
{
    if (source) {
        machine_lock_assert();
        g_ptr_array_remove(sources, source);
    }
}

static DirtySource *source_at(unsigned i)
{
    return g_ptr_array_index(sources, i);
}

static unsigned n_sources(void)
{
    return sources ? sources->len : 0;
}

static void stop_sources(unsigned n) MAIN_THREAD
{
    while (n-- > 0) {
        source_at(n)->ops->stop(source_at(n)->opaque);
    }
}

static bool start_sources(DirtyLog *log, Error **errp) MAIN_THREAD
{
    for (unsigned i = 0; i < n_sources(); i++) {
        DirtySource *s = source_at(i);

        if (!s->ops->start(s->opaque, log, errp)) {
            stop_sources(i);
            return false;
        }
    }
    return true;
}

/* ---- the log ---- */

/* One bit a page up to the end of RAM, from the kernel: what is never marked
 * costs no memory. */
static DirtyLog *log_new(const RamMap *map, Error **errp)
{
    const RamRange *last = map->n ? &map->range[map->n - 1] : NULL;
    DirtyLog *log = g_new0(DirtyLog, 1);

    log->pages = last ? page_of(last->gpa + (last->size - 1)) + 1 : 0;
    log->bytes = ALIGN_UP(MAX((log->pages + 7) / 8, 1), PAGE_SIZE_4K);
    log->bitmap = mmap(NULL, log->bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (log->bitmap == MAP_FAILED) {
        error_setg_errno(errp, errno, "a log of %zu bytes of written pages",
                         log->bytes);
        g_free(log);
        return NULL;
    }
    return log;
}

static void publish(DirtyLog *log) MAIN_THREAD
{
    /* Release: the content before the pointer; see dirty_log_get(). */
    __atomic_store_n(&dirty_log_in_force, log, __ATOMIC_RELEASE);
    /* Bursts under way have the pointer that was. */
    ram_map_wait_readers();
}

bool dirty_log_start(Error **errp)
{
    DirtyLog *log;

    machine_lock_assert();
    if (dirty_log_in_force) {
        error_setg(errp, "a log of written pages is kept already");
        return false;
    }
    log = log_new(ram_map_get(), errp);
    if (!log) {
        return false;
    }
    publish(log);
    if (!start_sources(log, errp)) {
        publish(NULL);
        munmap(log->bitmap, log->bytes);
        g_free(log);
        return false;
    }
    return true;
}

void dirty_log_stop(void)
{
    DirtyLog *log = dirty_log_in_force;

    machine_lock_assert();
    if (log) {
        publish(NULL);
        stop_sources(n_sources());
        munmap(log->bitmap, log->bytes);
        g_free(log);
    }
}

/* Takes the bits of pages [@first, @end) out and counts them. */
static uint64_t take_pages(DirtyLog *log, uint64_t first, uint64_t end)
{
    uint64_t n = 0;

    for (uint64_t page = first; page < end; page = (page / 64 + 1) * 64) {
        uint64_t *p = &log->bitmap[page / 64];
        uint64_t mask = UINT64_MAX << page % 64;
        uint64_t bits;

        if (end / 64 == page / 64) {
            mask &= (1ULL << end % 64) - 1;
        }
        if (__atomic_load_n(p, __ATOMIC_RELAXED) == 0) {
            continue;
        }
        bits = __atomic_fetch_and(p, htole64(~mask), __ATOMIC_SEQ_CST);
        n += (unsigned)__builtin_popcountll(le64toh(bits) & mask);
    }
    return n;
}

uint64_t dirty_log_take(void)
{
    const RamMap *map = ram_map_get();
    DirtyLog *log = dirty_log_in_force;
    uint64_t n = 0;

    machine_lock_assert();
    if (!log) {
        return 0;
    }
    for (unsigned i = 0; i < n_sources(); i++) {
        DirtySource *s = source_at(i);

        if (s->ops->sync) {
            s->ops->sync(s->opaque, log);
        }
    }
    for (unsigned i = 0; i < map->n; i++) {
        const RamRange *r = &map->range[i];

        n += take_pages(log, page_of(r->gpa),
                        page_of(r->gpa + (r->size - 1)) + 1);
    }
    return n;
}
