/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory as a vhost-user back-end gets it: files, which it maps, and
 * where in them guest addresses and those of this process lie.
 *
 * Threads: under the machine lock, but for what has no state.
 */
#include "util/osdep.h"

#include "hw/virtio/vhost-user-internal.h"

/* Does @range go on where the last region ends? */
static bool continues(const VhostUserMemory *m, const RamRange *range)
{
    const VhostUserRegion *last = m->n ? &m->region[m->n - 1] : NULL;

    return last && m->fd[m->n - 1] == range->fd &&
           last->gpa + last->size == range->gpa &&
           last->address + last->size == (uintptr_t)range->host &&
           last->offset + last->size == range->fd_offset;
}

bool vhost_user_memory_fill(VhostUserMemory *memory, const RamMap *map,
                            Error **errp)
{
    memset(memory, 0, sizeof(*memory));
    for (unsigned i = 0; i < map->n; i++) {
        const RamRange *range = &map->range[i];

        if (range->fd < 0 && range->readonly) {
            continue; /* a ROM: drivers have no buffers there */
        }
        if (range->fd < 0) {
            error_setg(errp,
                       "vhost-user needs guest RAM that another process can "
                       "map: use -object memory-backend-memfd,id=ID,size=SIZE,"
                       "share=on, which that process cannot cut short, and "
                       "-machine memory-backend=ID");
            return false;
        }
        if (continues(memory, range)) {
            memory->region[memory->n - 1].size += range->size;
            continue;
        }
        if (memory->n == VHOST_USER_REGIONS_MAX) {
            error_setg(errp, "guest RAM is in more than %u parts",
                       VHOST_USER_REGIONS_MAX);
            return false;
        }
        memory->fd[memory->n] = range->fd;
        memory->region[memory->n++] =
            (VhostUserRegion){ .gpa = range->gpa,
                               .size = range->size,
                               .address = (uintptr_t)range->host,
                               .offset = range->fd_offset };
    }
    return true;
}

bool vhost_user_check_memory(Error **errp)
{
    VhostUserMemory memory;

    return vhost_user_memory_fill(&memory, ram_map_get(), errp);
}

static int tell_table(VhostUser *user, const VhostUserMemory *m) MAIN_THREAD
{
    VhostUserTable table = { .n = m->n };
    VhostUserSend msg = {
        .request = VHOST_USER_SET_MEM_TABLE,
        .payload = &table,
        .size = offsetof(VhostUserTable, region) + m->n * sizeof(m->region[0]),
        .fds = m->fd,
        .n_fds = m->n,
    };

    if (m->n > VHOST_USER_TABLE_MAX) {
        return vhost_user_break(user, -E2BIG,
                                "guest RAM is in %u parts, and the back-end "
                                "takes %u: it needs CONFIGURE_MEM_SLOTS",
                                m->n, VHOST_USER_TABLE_MAX);
    }
    memcpy(table.region, m->region, m->n * sizeof(m->region[0]));
    return vhost_user_tell(user, &msg);
}

static bool has_region(const VhostUserMemory *m, const VhostUserMemory *of,
                       unsigned i)
{
    for (unsigned k = 0; k < m->n; k++) {
        if (m->fd[k] == of->fd[i] &&
            memcmp(&m->region[k], &of->region[i], sizeof(of->region[i])) == 0) {
            return true;
        }
    }
    return false;
}

/* Those in @these that @others lack, each by a request of its own. */
static int tell_difference(VhostUser *user, VhostUserRequest request,
                           const VhostUserMemory *these,
                           const VhostUserMemory *others) MAIN_THREAD
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < these->n; i++) {
        VhostUserSlot slot = { .region = these->region[i] };
        VhostUserSend msg = { .request = request,
                              .payload = &slot,
                              .size = sizeof(slot),
                              .fds = &these->fd[i],
                              .n_fds = request == VHOST_USER_ADD_MEM_REG };

        if (!has_region(others, these, i)) {
            r = vhost_user_tell(user, &msg);
        }
    }
    return r;
}

static int tell_slots(VhostUser *user, const VhostUserMemory *m) MAIN_THREAD
{
    int r;

    if (m->n > user->slots) {
        return vhost_user_break(user, -E2BIG,
                                "guest RAM is in %u parts, and the back-end "
                                "takes %" PRIu64,
                                m->n, user->slots);
    }
    r = tell_difference(user, VHOST_USER_REM_MEM_REG, &user->memory, m);
    return r ? r
             : tell_difference(user, VHOST_USER_ADD_MEM_REG, m, &user->memory);
}

int vhost_user_memory_forget(VhostUser *user)
{
    const VhostUserMemory none = { 0 };
    int r = user->slots ? tell_difference(user, VHOST_USER_REM_MEM_REG,
                                          &user->memory, &none)
                        : 0;

    user->memory.n = 0;
    return r;
}

int vhost_user_memory_tell(VhostUser *user, bool anew)
{
    VhostUserMemory memory;
    Error *err = NULL;
    int r;

    if (!vhost_user_memory_fill(&memory, ram_map_get(), &err)) {
        r = vhost_user_break(user, -ENOTSUP, "%s", err->message);
        g_error_free(err);
        return r;
    }
    vhost_user_shadow_region(user, &memory);
    if (user->slots) {
        r = tell_slots(user, &memory);
    } else if (anew || memcmp(&memory, &user->memory, sizeof(memory)) != 0) {
        r = tell_table(user, &memory);
    } else {
        r = 0;
    }
    if (r == 0) {
        user->memory = memory;
    }
    return r;
}
