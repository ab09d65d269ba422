/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The I/O spaces: which device answers an address, and which eventfd a write
 * signals.
 *
 * Each space keeps its mapped regions and a flat view of them: segments sorted
 * by address, none overlapping, each with the one region that answers there.
 * A map or unmap rebuilds the view; an access is a binary search.
 */
#include "util/osdep.h"
#include "system/machine-lock.h"
#include "system/memory.h"
#include "util/endian.h"
#include "util/fd.h"
#include "util/log.h"

#define PORT_SPACE_SIZE 0x10000ULL

struct IoEventFd {
    uint64_t offset;
    uint64_t data;
    unsigned size; /* 0: any */
    bool match;
    bool in_accel; /* the accelerator has it: such writes do not come here */
    int fd;
};

/* [first, last] of a space belongs to region. */
typedef struct IoSegment {
    uint64_t first, last;
    IoRegion *region;
} IoSegment;

typedef struct IoSpaceView {
    GPtrArray *regions; /* of IoRegion, mapped, in the order of mapping */
    GArray *segments;   /* of IoSegment */
} IoSpaceView;

/* main thread */
static IoSpaceView views[2];

/* ---- the flat view ---- */

static uint64_t region_last(const IoRegion *r)
{
    return r->addr + (r->size - 1);
}

/*
 * Puts @region over the segments [@first, @last]: what it covers of them is
 * cut out. Called from the weakest region to the strongest.
 */
static void segments_cover(GArray *segs, IoRegion *region, uint64_t first,
                           uint64_t last)
{
    IoSegment own = { first, last, region };
    unsigned i = 0;

    while (i < segs->len) {
        IoSegment *s = &g_array_index(segs, IoSegment, i);
        IoSegment tail = *s;

        if (s->last < first) {
            i++;
        } else if (s->first > last) {
            break;
        } else if (s->first < first) {
            s->last = first - 1;
            i++;
            if (tail.last > last) {
                tail.first = last + 1;
                g_array_insert_val(segs, i, tail);
                break;
            }
        } else if (s->last > last) {
            s->first = last + 1;
            break;
        } else {
            g_array_remove_index(segs, i);
        }
    }
    g_array_insert_val(segs, i, own);
}

static gint region_cmp_priority(gconstpointer a, gconstpointer b)
{
    const IoRegion *ra = *(IoRegion *const *)a, *rb = *(IoRegion *const *)b;

    return (ra->priority > rb->priority) - (ra->priority < rb->priority);
}

static void view_rebuild(IoSpaceView *view)
{
    g_array_set_size(view->segments, 0);
    /* Stable, so the later of equal priority comes later and covers. */
    g_ptr_array_sort(view->regions, region_cmp_priority);
    for (unsigned i = 0; i < view->regions->len; i++) {
        IoRegion *r = g_ptr_array_index(view->regions, i);
        segments_cover(view->segments, r, r->addr, region_last(r));
    }
}

static IoSpaceView *view_get(IoSpace space)
{
    IoSpaceView *view = &views[space];

    if (!view->regions) {
        view->regions = g_ptr_array_new();
        view->segments = g_array_new(FALSE, FALSE, sizeof(IoSegment));
    }
    return view;
}

/* The first segment that ends at or after @addr, or NULL. */
static const IoSegment *view_find(IoSpaceView *view, uint64_t addr)
{
    unsigned lo = 0, hi = view->segments->len;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (g_array_index(view->segments, IoSegment, mid).last < addr) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo < view->segments->len
               ? &g_array_index(view->segments, IoSegment, lo)
               : NULL;
}

/* ---- eventfds ---- */

static bool eventfd_offer(const IoRegion *r, IoEventFd *e, Error **errp)
    MAIN_THREAD
{
    const MemoryAccelOps *accel = memory_accel();

    if (!accel || !accel->ioeventfd || e->in_accel) {
        return true;
    }
    e->in_accel = accel->ioeventfd(true, r->space, r->addr + e->offset, e->size,
                                   e->match, e->data, e->fd, errp);
    return e->in_accel;
}

static void eventfd_withdraw(const IoRegion *r, IoEventFd *e) MAIN_THREAD
{
    g_autoptr(GError) err = NULL;

    if (!e->in_accel) {
        return;
    }
    e->in_accel = false;
    if (!memory_accel()->ioeventfd(false, r->space, r->addr + e->offset,
                                   e->size, e->match, e->data, e->fd, &err)) {
        warn_report("%s: %s", r->name, err->message);
    }
}

/* A refusal (two BARs of a confused guest on one address) costs exits only:
 * the write then comes to io_write(), which signals. */
static void eventfds_offer_all(const IoRegion *r) MAIN_THREAD
{
    for (unsigned i = 0; i < r->eventfds->len; i++) {
        g_autoptr(GError) err = NULL;

        if (!eventfd_offer(r, g_ptr_array_index(r->eventfds, i), &err)) {
            log_mask(LOG_GUEST_ERROR, "%s: %s", r->name, err->message);
        }
    }
}

static void eventfds_withdraw_all(const IoRegion *r) MAIN_THREAD
{
    for (unsigned i = 0; i < r->eventfds->len; i++) {
        eventfd_withdraw(r, g_ptr_array_index(r->eventfds, i));
    }
}

/* The index of the first eventfd of @r at or after @offset. */
static unsigned eventfds_lower_bound(const IoRegion *r, uint64_t offset)
{
    unsigned lo = 0, hi = r->eventfds->len;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        const IoEventFd *e = g_ptr_array_index(r->eventfds, mid);

        if (e->offset < offset) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

/* Signals the eventfds that this write is for; true when there was one. */
static bool eventfds_dispatch(const IoRegion *r, uint64_t offset,
                              uint64_t value, unsigned size)
{
    bool hit = false;

    for (unsigned i = eventfds_lower_bound(r, offset); i < r->eventfds->len;
         i++) {
        const IoEventFd *e = g_ptr_array_index(r->eventfds, i);

        if (e->offset != offset) {
            break;
        }
        if (!e->size || (e->size == size && (!e->match || e->data == value))) {
            /* KVM does this itself; what comes here may have two calls. */
            eventfd_signal_shared(e->fd);
            hit = true;
        }
    }
    return hit;
}

static bool eventfd_check(const IoRegion *r, uint64_t offset, unsigned size,
                          bool match, Error **errp)
{
    bool good_size =
        size == 0 || size == 1 || size == 2 || size == 4 || size == 8;

    if (!good_size || (match && !size)) {
        error_setg(errp,
                   "%s: ioeventfd of %u bytes%s: 1, 2, 4 or 8, or 0 without "
                   "a value to match",
                   r->name, size, match ? " with a value" : "");
        return false;
    }
    if (offset >= r->size || MAX(size, 1) > r->size - offset) {
        error_setg(errp,
                   "%s: ioeventfd at 0x%" PRIx64
                   " is outside of the region of 0x%" PRIx64 " bytes",
                   r->name, offset, r->size);
        return false;
    }
    return true;
}

bool io_region_add_eventfd(IoRegion *region, uint64_t offset, unsigned size,
                           bool match, uint64_t data, int fd, Error **errp)
{
    IoEventFd *e;

    machine_lock_assert();
    if (!eventfd_check(region, offset, size, match, errp)) {
        return false;
    }
    e = g_new0(IoEventFd, 1);
    e->offset = offset;
    e->size = size;
    e->match = match;
    e->data = match ? data : 0;
    e->fd = fd;
    if (region->mapped && !eventfd_offer(region, e, errp)) {
        g_free(e);
        return false;
    }
    g_ptr_array_insert(region->eventfds, eventfds_lower_bound(region, offset),
                       e);
    return true;
}

void io_region_del_eventfd(IoRegion *region, uint64_t offset, unsigned size,
                           bool match, uint64_t data, int fd)
{
    machine_lock_assert();
    for (unsigned i = eventfds_lower_bound(region, offset);
         i < region->eventfds->len; i++) {
        IoEventFd *e = g_ptr_array_index(region->eventfds, i);

        if (e->offset != offset) {
            return;
        }
        if (e->size == size && e->match == match && e->fd == fd &&
            (!match || e->data == data)) {
            eventfd_withdraw(region, e);
            g_ptr_array_remove_index(region->eventfds, i);
            return;
        }
    }
}

/* ---- regions ---- */

void io_region_init(IoRegion *region, const char *name, const IoRegionOps *ops,
                    void *opaque, uint64_t size)
{
    *region = (IoRegion){
        .name = name,
        .ops = ops,
        .opaque = opaque,
        .size = size,
        .eventfds = g_ptr_array_new_with_free_func(g_free),
    };
}

void io_region_destroy(IoRegion *region)
{
    io_region_unmap(region);
    g_clear_pointer(&region->eventfds, g_ptr_array_unref);
}

void io_region_unmap(IoRegion *region)
{
    IoSpaceView *view = view_get(region->space);

    machine_lock_assert();
    if (!region->mapped) {
        return;
    }
    eventfds_withdraw_all(region);
    region->mapped = false;
    g_ptr_array_remove(view->regions, region);
    view_rebuild(view);
}

void io_region_map(IoRegion *region, IoSpace space, uint64_t addr, int priority)
{
    uint64_t last = addr + (region->size - 1);
    IoSpaceView *view;

    machine_lock_assert();
    if (region->mapped && region->space == space && region->addr == addr &&
        region->priority == priority) {
        return;
    }
    io_region_unmap(region);
    if (!region->size || last < addr ||
        (space == IO_SPACE_PORT && last >= PORT_SPACE_SIZE)) {
        /* A BAR that would wrap or leave the port space answers nowhere. */
        log_mask(LOG_GUEST_ERROR,
                 "%s: 0x%" PRIx64 " bytes do not fit at 0x%" PRIx64,
                 region->name, region->size, addr);
        return;
    }
    view = view_get(space);
    region->space = space;
    region->addr = addr;
    region->priority = priority;
    region->mapped = true;
    g_ptr_array_add(view->regions, region);
    view_rebuild(view);
    eventfds_offer_all(region);
}

void io_space_foreach(IoSpace space, void (*func)(const IoRegion *, void *),
                      void *opaque)
{
    GPtrArray *regions = view_get(space)->regions;
    uint64_t from = 0;
    bool more = true;

    /* By address; equal ones in the order of priority. */
    while (more) {
        uint64_t next = UINT64_MAX;

        more = false;
        for (unsigned i = 0; i < regions->len; i++) {
            const IoRegion *r = g_ptr_array_index(regions, i);

            if (r->addr == from) {
                func(r, opaque);
            } else if (r->addr > from && r->addr <= next) {
                next = r->addr;
                more = true;
            }
        }
        from = next;
    }
}

/* ---- accesses ---- */

/* Who answers the next @size bytes: RAM, a region, or nobody. */
typedef struct IoTarget {
    uint8_t *ram;
    IoRegion *region;
    unsigned span; /* bytes it answers: a power of two, at most what is left */
    unsigned size; /* bytes per call: span, or the region's max_size if less */
} IoTarget;

static unsigned pow2_floor(uint64_t n)
{
    return n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
}

static bool target_find_ram(IoTarget *t, uint64_t addr, unsigned size)
{
    const RamMap *map = ram_map_get();

    for (t->span = pow2_floor(size); t->span; t->span >>= 1) {
        t->ram = ram_map_lookup(map, addr, t->span);
        if (t->ram) {
            t->size = t->span;
            return true;
        }
    }
    return false;
}

static IoTarget target_find(IoSpace space, uint64_t addr, unsigned size)
{
    IoTarget t = { 0 };
    const IoSegment *s;
    uint64_t room;

    if (space == IO_SPACE_MMIO && target_find_ram(&t, addr, size)) {
        return t;
    }
    t.span = pow2_floor(size);
    /* RAM is made of pages: when the last byte is none, no other is. */
    while (space == IO_SPACE_MMIO && t.span > 1 &&
           ram_map_lookup(ram_map_get(), addr + (t.span - 1), 1)) {
        t.span >>= 1;
    }
    s = view_find(view_get(space), addr);
    if (s && s->first > addr) {
        t.span = MIN(t.span, pow2_floor(s->first - addr));
    } else if (s) {
        room = s->last - addr;
        t.span = MIN(t.span, pow2_floor(room >= 8 ? 8 : room + 1));
        t.region = s->region;
    }
    t.size = t.span;
    if (t.region) {
        unsigned max = t.region->ops->max_size ? t.region->ops->max_size : 4;
        t.size = MIN(t.span, max);
    }
    return t;
}

static uint64_t ones(unsigned size)
{
    return size >= 8 ? UINT64_MAX : (1ULL << (8 * size)) - 1;
}

/*
 * As a CPU does: an aligned access is one access, whatever devices' threads do
 * to the same bytes meanwhile.
 */
static uint64_t ram_load(const uint8_t *p, unsigned size)
{
    if ((uintptr_t)p % size) {
        return size == 2   ? load_le16(p)
               : size == 4 ? load_le32(p)
                           : load_le64(p);
    }
    switch (size) {
    case 1:
        return __atomic_load_n(p, __ATOMIC_RELAXED);
    case 2:
        return le16toh(__atomic_load_n((const uint16_t *)p, __ATOMIC_RELAXED));
    case 4:
        return le32toh(__atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED));
    default:
        return le64toh(__atomic_load_n((const uint64_t *)p, __ATOMIC_RELAXED));
    }
}

static uint64_t target_read(const IoTarget *t, uint64_t addr)
{
    if (t->ram) {
        return ram_load(t->ram, t->size);
    }
    if (!t->region || !t->region->ops->read) {
        return ones(t->size);
    }
    return t->region->ops->read(t->region->opaque, addr - t->region->addr,
                                t->size) &
           ones(t->size);
}

static void ram_store(uint8_t *p, uint64_t value, unsigned size)
{
    uint64_t v = htole64(value);

    if ((uintptr_t)p % size) {
        memcpy(p, &v, size);
        return;
    }
    switch (size) {
    case 1:
        __atomic_store_n(p, (uint8_t)value, __ATOMIC_RELAXED);
        break;
    case 2:
        __atomic_store_n((uint16_t *)p, htole16(value), __ATOMIC_RELAXED);
        break;
    case 4:
        __atomic_store_n((uint32_t *)p, htole32(value), __ATOMIC_RELAXED);
        break;
    default:
        __atomic_store_n((uint64_t *)p, v, __ATOMIC_RELAXED);
        break;
    }
}

/* Returns how many bytes are done. */
static unsigned target_write(const IoTarget *t, uint64_t addr, uint64_t value)
{
    IoRegion *r = t->region;

    if (t->ram) {
        if (!ram_map_is_readonly(ram_map_get(), addr)) {
            ram_store(t->ram, value, t->size);
            ram_note_write(addr, t->size);
        }
        return t->size;
    }
    /* Eventfds see the guest's width, as in KVM; only devices see parts. */
    if (r &&
        eventfds_dispatch(r, addr - r->addr, value & ones(t->span), t->span)) {
        return t->span;
    }
    if (r && r->ops->write) {
        r->ops->write(r->opaque, addr - r->addr, value & ones(t->size),
                      t->size);
    }
    return t->size;
}

uint64_t io_read(IoSpace space, uint64_t addr, unsigned size)
{
    uint64_t value = 0;
    unsigned done = 0;

    machine_lock_assert();
    size = MIN(size, 8);
    while (done < size) {
        IoTarget t = target_find(space, addr + done, size - done);

        value |= target_read(&t, addr + done) << (8 * done);
        done += t.size;
    }
    return value;
}

void io_write(IoSpace space, uint64_t addr, uint64_t value, unsigned size)
{
    unsigned done = 0;

    machine_lock_assert();
    size = MIN(size, 8);
    while (done < size) {
        IoTarget t = target_find(space, addr + done, size - done);

        done += target_write(&t, addr + done, value >> (8 * done));
    }
}
