/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The RAM map: published, read without a lock, replaced as a whole. */
#include "util/osdep.h"
#include "system/dirty-log.h"
#include "system/machine-lock.h"
#include "system/memory.h"

struct RamListener {
    RamListenerFunc *func;
    void *opaque;
};

static const RamMap empty_map;

static struct {
    /* any thread, atomic: the map in force */
    const RamMap *map;
    /* main thread */
    GPtrArray *readers;   /* of EventLoop */
    GPtrArray *listeners; /* of RamListener, owned */
    const MemoryAccelOps *accel;
} ram = { .map = &empty_map };

const RamMap *ram_map_get(void)
{
    /* Acquire: the map's content is read after the pointer; pairs with the
     * release in ram_map_publish(). */
    return __atomic_load_n(&ram.map, __ATOMIC_ACQUIRE);
}

static void ram_map_quiet_point(void *opaque)
{
}

void ram_map_wait_readers(void)
{
    /* A loop that runs this message has ended the callback that may have held
     * the old map. vCPUs and the main thread read it under the machine lock. */
    for (unsigned i = 0; ram.readers && i < ram.readers->len; i++) {
        event_loop_call(g_ptr_array_index(ram.readers, i), ram_map_quiet_point,
                        NULL);
    }
}

/* Makes @map the current one and frees the old one when nobody reads it. */
static void ram_map_publish(RamMap *map) MAIN_THREAD
{
    const RamMap *old = ram.map;

    /* Release: the content before the pointer; see ram_map_get(). */
    __atomic_store_n(&ram.map, map, __ATOMIC_RELEASE);
    for (unsigned i = 0; ram.listeners && i < ram.listeners->len; i++) {
        RamListener *l = g_ptr_array_index(ram.listeners, i);
        l->func(l->opaque);
    }
    ram_map_wait_readers();
    if (old != &empty_map) {
        g_free((void *)old);
    }
}

static bool ram_range_check(const RamRange *r, Error **errp)
{
    uint64_t mask = PAGE_SIZE_4K - 1;

    if (!r->size || (r->gpa & mask) || (r->size & mask) ||
        ((uintptr_t)r->host & mask)) {
        error_setg(errp,
                   "guest RAM at 0x%" PRIx64 ", size 0x%" PRIx64
                   ": address, size and mapping must be multiples of 4096",
                   r->gpa, r->size);
        return false;
    }
    if (r->gpa + (r->size - 1) < r->gpa) {
        error_setg(errp,
                   "guest RAM at 0x%" PRIx64 ", size 0x%" PRIx64
                   ": must end below 2^64",
                   r->gpa, r->size);
        return false;
    }
    return true;
}

/* A copy of the current map with @range in its place; NULL on overlap. */
static RamMap *ram_map_with(const RamRange *range, Error **errp) MAIN_THREAD
{
    const RamMap *old = ram.map;
    RamMap *map;
    unsigned at = 0;

    while (at < old->n && old->range[at].gpa < range->gpa) {
        at++;
    }
    if ((at > 0 &&
         range->gpa - old->range[at - 1].gpa < old->range[at - 1].size) ||
        (at < old->n && old->range[at].gpa - range->gpa < range->size)) {
        error_setg(errp,
                   "guest RAM at 0x%" PRIx64 ", size 0x%" PRIx64
                   ": overlaps RAM that is already there",
                   range->gpa, range->size);
        return NULL;
    }
    map = g_malloc0(sizeof(*map) + (old->n + 1) * sizeof(map->range[0]));
    map->n = old->n + 1;
    memcpy(map->range, old->range, at * sizeof(map->range[0]));
    map->range[at] = *range;
    memcpy(map->range + at + 1, old->range + at,
           (old->n - at) * sizeof(map->range[0]));
    return map;
}

bool ram_add(const RamRange *range, Error **errp)
{
    RamMap *map;

    machine_lock_assert();
    if (!ram_range_check(range, errp)) {
        return false;
    }
    if (dirty_log_get()) {
        error_setg(errp,
                   "guest RAM at 0x%" PRIx64 ": cannot be added while a log of "
                   "written pages is kept",
                   range->gpa);
        return false;
    }
    map = ram_map_with(range, errp);
    if (!map) {
        return false;
    }
    if (ram.accel && ram.accel->ram_changed &&
        !ram.accel->ram_changed(ram.map, map, errp)) {
        g_free(map);
        return false;
    }
    ram_map_publish(map);
    return true;
}

bool memory_set_accel(const MemoryAccelOps *ops, Error **errp)
{
    if (ops && ops->ram_changed && ram.map->n &&
        !ops->ram_changed(&empty_map, ram.map, errp)) {
        return false;
    }
    ram.accel = ops;
    return true;
}

const MemoryAccelOps *memory_accel(void)
{
    return ram.accel;
}

void ram_map_reader_add(EventLoop *loop)
{
    if (!ram.readers) {
        ram.readers = g_ptr_array_new();
    }
    g_ptr_array_add(ram.readers, loop);
}

void ram_map_reader_remove(EventLoop *loop)
{
    if (ram.readers) {
        g_ptr_array_remove(ram.readers, loop);
    }
}

RamListener *ram_listener_add(RamListenerFunc *func, void *opaque)
{
    RamListener *l = g_new0(RamListener, 1);

    l->func = func;
    l->opaque = opaque;
    if (!ram.listeners) {
        ram.listeners = g_ptr_array_new_with_free_func(g_free);
    }
    g_ptr_array_add(ram.listeners, l);
    return l;
}

void ram_listener_remove(RamListener *listener)
{
    if (ram.listeners) {
        g_ptr_array_remove(ram.listeners, listener);
    }
}

void ram_note_write(uint64_t gpa, uint64_t len)
{
    DirtyLog *log = dirty_log_get();

    if (log) {
        dirty_log_mark(log, gpa, len);
    }
}

/* Copies the part of [@gpa, @gpa + @len) that lies in one range, to or from
 * @buf; returns its length, 0 when @gpa is not RAM (or may not be written). */
static uint64_t ram_copy_part(uint64_t gpa, uint8_t *buf, uint64_t len,
                              bool write)
{
    const RamRange *r = ram_map_find(ram_map_get(), gpa);
    uint64_t part;

    if (!r || (write && r->readonly)) {
        return 0;
    }
    part = MIN(len, r->size - (gpa - r->gpa));
    if (write) {
        memcpy(r->host + (gpa - r->gpa), buf, part);
        ram_note_write(gpa, part);
    } else {
        memcpy(buf, r->host + (gpa - r->gpa), part);
    }
    return part;
}

static bool ram_copy(uint64_t gpa, uint8_t *buf, uint64_t len, bool write)
{
    if (len && gpa + (len - 1) < gpa) {
        return false;
    }
    while (len) {
        uint64_t part = ram_copy_part(gpa, buf, len, write);

        if (!part) {
            return false;
        }
        gpa += part;
        buf += part;
        len -= part;
    }
    return true;
}

bool ram_read(uint64_t gpa, void *buf, uint64_t len)
{
    return ram_copy(gpa, buf, len, false);
}

bool ram_write(uint64_t gpa, const void *buf, uint64_t len)
{
    return ram_copy(gpa, (uint8_t *)buf, len, true);
}
