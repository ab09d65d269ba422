/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where in a ring a vhost-user back-end stopped: as it says, or as it left the
 * ring when it died. Nothing of that is believed that cannot be.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <fcntl.h>

#include "hw/virtio/vhost-user-internal.h"
#include "util/fd.h"

#define POSITION 0x7fffu /* in a packed ring; above it the wrap counter */
#define WRAP_BIT 15u

static bool is_split_place(const VirtQueue *vq, uint32_t num)
{
    VirtQueueRings rings;

    return num <= UINT16_MAX && virtqueue_peek_rings(vq, &rings, NULL) &&
           (uint16_t)(rings.avail_idx - num) <= vq->size;
}

/* Slots from @from to @to, which may be in the next lap. */
static unsigned slots_between(const VirtQueue *vq, uint16_t from, uint16_t to)
{
    bool lap = (from ^ to) >> WRAP_BIT;

    return (to & POSITION) + (lap ? vq->size : 0) - (from & POSITION);
}

bool vhost_user_place_told(const VirtQueue *vq, uint32_t num, uint16_t *place)
{
    uint16_t taken = (uint16_t)num, used = (uint16_t)(num >> 16);

    *place = taken;
    if (!vq->packed) {
        return is_split_place(vq, num);
    }
    if ((taken & POSITION) >= vq->size || (used & POSITION) >= vq->size) {
        return false;
    }
    /* Some, like DPDK's, do not tell how far they used what they took. */
    if (used == 0 || used == taken) {
        return true;
    }
    /* What it took and did not use is taken again. */
    *place = used;
    return slots_between(vq, used, taken) <= vq->size &&
           virtqueue_may_be_place(vq, used);
}

/* ---- a ring whose back-end has died ---- */

/* The start of a packed ring's part of the buffer for what is in flight. */
typedef struct InflightPacked {
    uint64_t features;
    uint16_t version, desc_num, free_head, old_free_head, used_idx,
        old_used_idx;
    uint8_t used_wrap, old_used_wrap, padding[7];
} __attribute__((packed)) InflightPacked;

/* Parts of rings are of one size, which the back-end chose (alignment). The
 * file came from it, too: only one that the kernel keeps in memory can be read
 * without waiting for somebody, and a read cannot fault. */
static bool read_inflight(const VhostUser *user, unsigned number,
                          InflightPacked *region)
{
    uint64_t part =
        user->inflight.queues ? user->inflight.size / user->inflight.queues : 0;
    uint64_t at = user->inflight.offset + number * part;

    return user->inflight_fd >= 0 && number < user->inflight.queues &&
           part >= sizeof(*region) &&
           fcntl(user->inflight_fd, F_GET_SEALS) >= 0 &&
           pread(user->inflight_fd, region, sizeof(*region), (off_t)at) ==
               (ssize_t)sizeof(*region);
}

static bool inflight_place(const VhostUser *user, unsigned number,
                           uint16_t *place)
{
    InflightPacked region;
    bool batch;

    if (!read_inflight(user, number, &region) || region.version != 1) {
        return false;
    }
    /* One whose last batch was half told begins with it once more. */
    batch = region.used_idx != region.old_used_idx;
    *place = (batch ? region.old_used_idx : region.used_idx) & POSITION;
    if (batch ? region.old_used_wrap : region.used_wrap) {
        *place |= 1u << WRAP_BIT;
    }
    return true;
}

bool vhost_user_place_left(const VhostUser *user, unsigned number,
                           const VirtQueue *vq, uint16_t *place)
{
    if (!vq->packed) {
        *place = vq->used_idx;
        return is_split_place(vq, *place);
    }
    /* A buffer that nobody keeps up to date (DPDK's for network cards) says
     * what the ring does not. */
    return (inflight_place(user, number, place) &&
            virtqueue_may_be_place(vq, *place)) ||
           virtqueue_find_place(vq, place);
}
