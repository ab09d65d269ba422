/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Translation of guest-physical addresses by a given map.
 *
 * Threads: pure functions on an immutable map; any.
 */
#include "util/osdep.h"

#include "system/memory.h"

const RamRange *ram_map_find(const RamMap *map, uint64_t gpa)
{
    unsigned lo = 0, hi = map->n;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        const RamRange *r = &map->range[mid];

        if (gpa < r->gpa) {
            hi = mid;
        } else if (gpa - r->gpa >= r->size) {
            lo = mid + 1;
        } else {
            return r;
        }
    }
    return NULL;
}

void *ram_map_lookup(const RamMap *map, uint64_t gpa, uint64_t len)
{
    const RamRange *r = len ? ram_map_find(map, gpa) : NULL;

    if (!r || len > r->size - (gpa - r->gpa)) {
        return NULL;
    }
    return r->host + (gpa - r->gpa);
}

bool ram_map_is_readonly(const RamMap *map, uint64_t gpa)
{
    const RamRange *r = ram_map_find(map, gpa);

    return r && r->readonly;
}
