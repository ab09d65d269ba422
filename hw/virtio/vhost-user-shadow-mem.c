/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The memory of shadow rings: one file for all pairs of a netdev, of which the
 * process is told while a pair uses it, or has since the first ring started.
 * Pages come when they are first touched and go when the pair has done.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include "hw/virtio/vhost-user-shadow-internal.h"
#include "util/fd.h"

/* A ring of either format, in whole pages; behind it its buffers. */
#define RING_BYTES (16u * KiB)
#define RING_MEMORY \
    (RING_BYTES + (size_t)VHOST_USER_SHADOW_FRAMES * SHADOW_BUFFER)
#define PAIR_MEMORY (2 * RING_MEMORY)

static size_t memory_size(const VhostUser *user)
{
    return user->pairs * PAIR_MEMORY;
}

/* Where it is for the process: behind guest RAM, and near, since a log of
 * written pages has bits for all that the process writes. */
static uint64_t memory_address(void)
{
    const RamMap *map = ram_map_get();
    const RamRange *last = map->n ? &map->range[map->n - 1] : NULL;
    uint64_t end = last ? last->gpa + last->size : 0;

    return ALIGN_UP(MAX(end, 4 * GiB), GiB);
}

uint64_t vhost_user_shadow_end(const VhostUser *user)
{
    return memory_address() + memory_size(user);
}

/* The process must not be able to cut short what we touch. */
static bool make_file(VhostUserShadowMemory *m, size_t size, Error **errp)
{
    m->fd = memfd_create("vhost-user-shadow", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (m->fd < 0 || ftruncate(m->fd, (off_t)size) < 0 ||
        fcntl(m->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
            0) {
        error_setg_errno(errp, errno, "cannot make a memfd for shadow rings");
        return false;
    }
    m->host = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_NORESERVE, m->fd, 0);
    if (m->host == MAP_FAILED) {
        m->host = NULL;
        error_setg_errno(errp, errno, "cannot map the memory of shadow rings");
        return false;
    }
    return true;
}

void shadow_memory_free(VhostUser *user)
{
    VhostUserShadowMemory *m = &user->shadow_memory;

    if (m->host) {
        munmap(m->host, memory_size(user));
        m->host = NULL;
    }
    fd_close(&m->fd);
}

/* Is there a place for one more region? */
static bool check_room(const VhostUser *user, Error **errp) MAIN_THREAD
{
    uint64_t most = MIN(user->slots ? user->slots : VHOST_USER_TABLE_MAX,
                        VHOST_USER_REGIONS_MAX);
    VhostUserMemory memory;

    if (!vhost_user_memory_fill(&memory, ram_map_get(), errp)) {
        return false;
    }
    if (memory.n >= most) {
        error_setg(errp,
                   "guest RAM is in %u parts, and with the shadow rings, which "
                   "need one more, these are more than the %" PRIu64
                   " that the back-end takes",
                   memory.n, most);
        return false;
    }
    return true;
}

bool shadow_memory_use(VhostUserShadow *s, Error **errp)
{
    VhostUserShadowMemory *m = &s->user->shadow_memory;

    if (!check_room(s->user, errp)) {
        return false;
    }
    if (!m->host && !make_file(m, memory_size(s->user), errp)) {
        shadow_memory_free(s->user);
        return false;
    }
    s->uses_memory = m->listed = true;
    m->users++;
    return true;
}

void shadow_memory_leave(VhostUserShadow *s)
{
    VhostUserShadowMemory *m = &s->user->shadow_memory;

    if (s->uses_memory) {
        s->uses_memory = false;
        m->users--;
        (void)fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                        (off_t)(s->pair * PAIR_MEMORY), PAIR_MEMORY);
    }
}

void shadow_memory_place(VhostUserShadow *s, unsigned index,
                         VringDriverConfig *config, ShadowRing *ring)
{
    size_t at = s->pair * PAIR_MEMORY + index * RING_MEMORY;

    config->memory = s->user->shadow_memory.host + at;
    config->address = memory_address() + at;
    ring->buffers = s->user->shadow_memory.host + at + RING_BYTES;
    ring->address = config->address + RING_BYTES;
}

void vhost_user_shadow_region(const VhostUser *user, VhostUserMemory *memory)
{
    const VhostUserShadowMemory *m = &user->shadow_memory;

    if (m->listed && memory->n < VHOST_USER_REGIONS_MAX) {
        memory->fd[memory->n] = m->fd;
        memory->region[memory->n++] =
            (VhostUserRegion){ .gpa = memory_address(),
                               .size = memory_size(user),
                               .address = (uintptr_t)m->host };
    }
}
