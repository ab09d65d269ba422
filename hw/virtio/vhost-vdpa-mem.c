/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory as a vDPA device sees it: guest RAM at guest-physical addresses, which
 * are its I/O addresses, and what is ours beside it.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/virtio/vhost-vdpa-internal.h"

/* No machine has RAM at its end, and address widths of I/O are rarely less. */
#define ADDRESS_TOP (1ULL << 47)

static bool in_range(const VhostVdpa *v, uint64_t first, uint64_t size)
{
    return first >= v->iova_first && size - 1 <= v->iova_last &&
           first <= v->iova_last - (size - 1);
}

/* Drivers have no buffers in a ROM. */
static bool is_for_device(const RamRange *range)
{
    return !range->readonly;
}

static bool is_mapping(const VdpaMapping *m, const RamRange *range)
{
    return is_for_device(range) && m->iova == range->gpa &&
           m->size == range->size && m->host == range->host;
}

static bool is_mapped(const VhostVdpa *v, const RamRange *range)
{
    for (unsigned i = 0; i < v->mapped->len; i++) {
        if (is_mapping(&g_array_index(v->mapped, VdpaMapping, i), range)) {
            return true;
        }
    }
    return false;
}

static bool is_in_map(const VdpaMapping *m, const RamMap *map)
{
    for (unsigned i = 0; i < map->n; i++) {
        if (is_mapping(m, &map->range[i])) {
            return true;
        }
    }
    return false;
}

bool vhost_vdpa_check_memory(const VhostVdpa *vdpa, Error **errp)
{
    const RamMap *map = ram_map_get();

    for (unsigned i = 0; i < map->n; i++) {
        const RamRange *range = &map->range[i];

        if (is_for_device(range) && !in_range(vdpa, range->gpa, range->size)) {
            error_setg(errp,
                       "guest RAM at 0x%" PRIx64 "..0x%" PRIx64
                       " is outside of what the vDPA device reaches, 0x%" PRIx64
                       "..0x%" PRIx64 "; use a smaller -m",
                       range->gpa, range->gpa + range->size - 1,
                       vdpa->iova_first, vdpa->iova_last);
            return false;
        }
    }
    return true;
}

/* Those that are there no more. */
static int unmap_old(VhostVdpa *v, const RamMap *map) MAIN_THREAD
{
    int r = 0;

    for (unsigned i = v->mapped->len; r == 0 && i-- > 0;) {
        const VdpaMapping *m = &g_array_index(v->mapped, VdpaMapping, i);

        if (!is_in_map(m, map)) {
            r = vdpa_unmap(v->fd, m);
            g_array_remove_index_fast(v->mapped, i);
        }
    }
    return r;
}

static int map_new(VhostVdpa *v, const RamMap *map) MAIN_THREAD
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < map->n; i++) {
        const RamRange *range = &map->range[i];
        VdpaMapping m = { range->gpa, range->size, range->host };

        if (!is_for_device(range) || is_mapped(v, range)) {
            continue;
        }
        r = vdpa_map(v->fd, &m);
        if (r == 0) {
            g_array_append_val(v->mapped, m);
        }
    }
    return r;
}

/* A limit that is too low is what goes wrong most. */
static const char *map_step(int r)
{
    return r == -ENOMEM || r == -EPERM
               ? "mapping guest memory, which stays in place (is ulimit -l, "
                 "or memlock of the service, as large as guest RAM?)"
               : "mapping guest memory";
}

int vdpa_memory_tell(VhostVdpa *vdpa, const char **step)
{
    const RamMap *map = ram_map_get();
    bool batch = vdpa_backend_has(vdpa, VDPA_F_IOTLB_BATCH);
    int r = batch ? vdpa_batch(vdpa->fd, true) : 0;
    int end;

    if (r == 0) {
        r = unmap_old(vdpa, map);
        if (r == 0) {
            r = map_new(vdpa, map);
        }
        end = batch ? vdpa_batch(vdpa->fd, false) : 0;
        r = r ? r : end;
    }
    *step = map_step(r);
    return r;
}

void vdpa_memory_forget(VhostVdpa *vdpa)
{
    bool batch =
        vdpa->mapped->len && vdpa_backend_has(vdpa, VDPA_F_IOTLB_BATCH);

    if (batch) {
        vdpa_batch(vdpa->fd, true);
    }
    for (unsigned i = 0; i < vdpa->mapped->len; i++) {
        vdpa_unmap(vdpa->fd, &g_array_index(vdpa->mapped, VdpaMapping, i));
    }
    if (batch) {
        vdpa_batch(vdpa->fd, false);
    }
    g_array_set_size(vdpa->mapped, 0);
}

/* RAM, or a ROM, that [@at, @at + @size) touches; the last one. */
static const RamRange *find_overlap(const RamMap *map, uint64_t at,
                                    uint64_t size)
{
    for (unsigned i = map->n; i-- > 0;) {
        const RamRange *range = &map->range[i];

        if (range->gpa < at + size && at < range->gpa + range->size) {
            return range;
        }
    }
    return NULL;
}

/* From the top: RAM that comes later does so below. */
bool vdpa_memory_place(const VhostVdpa *vdpa, uint64_t size, uint64_t *iova)
{
    const RamMap *map = ram_map_get();
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t end = (MIN(vdpa->iova_last, ADDRESS_TOP - 1) + 1) & ~(page - 1);

    while (end >= size && in_range(vdpa, end - size, size)) {
        const RamRange *range = find_overlap(map, end - size, size);

        if (!range) {
            *iova = end - size;
            return true;
        }
        end = range->gpa & ~(page - 1);
    }
    return false;
}
