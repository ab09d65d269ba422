/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The buffer for what is in flight (INFLIGHT_SHMFD) where a ring is followed by
 * another one, or goes on elsewhere than the process left it: the ring's part
 * is made as a new one is, at the place where the ring goes on. Nothing of the
 * ring is in flight then.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <fcntl.h>

#include "hw/virtio/vhost-user-internal.h"
#include "hw/virtio/virtqueue.h"
#include "util/fd.h"

/* Of a ring; that of the longest one is far below. */
#define PART_MAX (128u * KiB)

/* The start of a packed ring's part; the first three are those of a split
 * ring's, too. Descriptors follow. */
typedef struct PackedHead {
    uint64_t features;
    uint16_t version, desc_num;
    uint16_t free_head, old_free_head, used_idx, old_used_idx;
    uint8_t used_wrap, old_used_wrap, padding[10];
} PackedHead;

typedef struct PackedDesc {
    uint8_t inflight, padding;
    uint16_t next;
    uint8_t rest[28];
} PackedDesc;

static void renew_packed(uint8_t *part, size_t size, uint16_t place)
{
    PackedHead *head = (PackedHead *)part;
    PackedDesc *desc = (PackedDesc *)(head + 1);
    size_t n = (size - sizeof(*head)) / sizeof(*desc);

    head->used_idx = head->old_used_idx = place & 0x7fff;
    head->used_wrap = head->old_used_wrap = place >> 15;
    for (size_t i = 0; i < n; i++) {
        desc[i].next = (uint16_t)(i + 1); /* all are in the free list */
    }
}

static bool renew(const VhostUser *user, unsigned ring, bool packed,
                  uint16_t place)
{
    uint64_t queues = user->inflight.queues;
    uint64_t size = queues ? user->inflight.size / queues : 0;
    uint64_t at = user->inflight.offset + ring * size;
    g_autofree uint8_t *part = NULL;
    const size_t kept = offsetof(PackedHead, free_head);

    /* Only a file that the kernel keeps in memory makes nobody wait. */
    if (ring >= queues || size < sizeof(PackedHead) || size > PART_MAX ||
        fcntl(user->inflight_fd, F_GET_SEALS) < 0) {
        return false;
    }
    part = g_malloc0(size);
    if (pread(user->inflight_fd, part, kept, (off_t)at) != (ssize_t)kept) {
        return false;
    }
    if (packed) {
        renew_packed(part, size, place);
    }
    return pwrite(user->inflight_fd, part, size, (off_t)at) == (ssize_t)size;
}

/* Does a packed ring go on where its part says? If a batch was half told, with
 * the batch. */
static bool agrees(const VhostUser *user, unsigned ring, uint16_t place)
{
    uint64_t queues = user->inflight.queues;
    uint64_t size = queues ? user->inflight.size / queues : 0;
    uint64_t at = user->inflight.offset + ring * size;
    PackedHead head;

    if (ring >= queues || fcntl(user->inflight_fd, F_GET_SEALS) < 0 ||
        pread(user->inflight_fd, &head, sizeof(head), (off_t)at) !=
            (ssize_t)sizeof(head)) {
        return false;
    }
    return place == (head.old_used_idx | head.old_used_wrap << 15);
}

void vhost_user_inflight_check(VhostUser *user, unsigned ring,
                               const VirtQueue *vq)
{
    if (user->inflight_fd >= 0 && vq->packed &&
        !agrees(user, ring, virtqueue_get_base(vq))) {
        vhost_user_inflight_renew(user, ring, vq);
    }
}

void vhost_user_inflight_renew(VhostUser *user, unsigned ring,
                               const VirtQueue *vq)
{
    if (user->inflight_fd >= 0 &&
        !renew(user, ring, vq->packed, virtqueue_get_base(vq))) {
        fd_close(&user->inflight_fd);
    }
}
