/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings of a queue pair at a vhost-user back-end.
 *
 * Features, guest memory and the buffer for what is in flight are told once for
 * all pairs, before the first ring. When the connection breaks, rings stop
 * where their used index says: the next back-end takes again what this one took
 * and did not use. Packed rings have no such index; what is in flight may tell.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <fcntl.h>

#include "hw/virtio/vhost-user-internal.h"
#include "hw/virtio/virtio-bits.h"
#include "util/fd.h"

#define BIT(n)    (1ULL << (n))
#define POSITION  0x7fffu /* in a packed ring; above it the wrap counter */
#define WRAP_BIT  15u
#define NO_STATUS 0

/* Features of which there is no way to tell the process what the driver does
 * with them by the control queue. */
#define UNTOLD                                                       \
    (BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | BIT(VIRTIO_NET_F_RSS) | \
     BIT(VIRTIO_NET_F_HASH_REPORT))

/* ---- all pairs ---- */

static bool set_status(VhostUser *user, uint8_t status) MAIN_THREAD
{
    if (!vhost_user_has(user, VHOST_USER_PROTOCOL_F_STATUS) ||
        user->status == status) {
        return true;
    }
    user->status = status;
    return vhost_user_tell_u64(user, VHOST_USER_SET_STATUS, status) == 0;
}

static int tell_features(VhostUser *user, uint64_t features) MAIN_THREAD
{
    uint64_t status = 0;
    int r;

    if (!set_status(user,
                    VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)) {
        return -ENOTCONN;
    }
    r = vhost_user_tell_u64(
        user, VHOST_USER_SET_FEATURES,
        features | (user->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)));
    if (r || !vhost_user_has(user, VHOST_USER_PROTOCOL_F_STATUS)) {
        return r;
    }
    if (!set_status(user, user->status | VIRTIO_CONFIG_S_FEATURES_OK)) {
        return -ENOTCONN;
    }
    r = vhost_user_ask_u64(user, VHOST_USER_GET_STATUS, &status);
    if (r == 0 && !(status & VIRTIO_CONFIG_S_FEATURES_OK)) {
        r = vhost_user_break(
            user, -EPROTO,
            "SET_FEATURES: the back-end does not accept 0x%" PRIx64, features);
    }
    return r;
}

/* Has the back-end make a buffer, which is to outlive it. */
static int get_inflight(VhostUser *user) MAIN_THREAD
{
    VhostUserInflight wish = { .queues = (uint16_t)(2 * user->pairs),
                               .queue_size = VIRTQUEUE_MAX_SIZE };
    VhostUserSend msg = { .request = VHOST_USER_GET_INFLIGHT_FD,
                          .payload = &wish,
                          .size = sizeof(wish) };
    int r = vhost_user_send(user, &msg);

    if (r == 0) {
        r = vhost_user_receive(user, VHOST_USER_GET_INFLIGHT_FD,
                               &user->inflight, sizeof(user->inflight),
                               &user->inflight_fd);
    }
    if (r == 0 && user->inflight_fd >= 0 &&
        (user->inflight.size == 0 || user->inflight.size > INT64_MAX ||
         user->inflight.offset > INT64_MAX - user->inflight.size)) {
        fd_close(&user->inflight_fd);
        r = vhost_user_break(user, -EPROTO,
                             "GET_INFLIGHT_FD: a buffer that cannot be");
    }
    return r;
}

static int tell_inflight(VhostUser *user) MAIN_THREAD
{
    VhostUserSend msg = { .request = VHOST_USER_SET_INFLIGHT_FD,
                          .payload = &user->inflight,
                          .size = sizeof(user->inflight),
                          .fds = &user->inflight_fd,
                          .n_fds = 1 };
    int r = 0;

    if (!vhost_user_has(user, VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)) {
        return 0;
    }
    if (user->inflight_fd < 0) {
        r = get_inflight(user);
    }
    return r || user->inflight_fd < 0 ? r : vhost_user_tell(user, &msg);
}

/* Switches count the rings that were mentioned when the first pair starts, and
 * leave further ones alone: so all are, as not enabled. */
static int mention_rings(VhostUser *user) MAIN_THREAD
{
    VhostUserVringState state = { 0 };
    VhostUserSend msg = { .request = VHOST_USER_SET_VRING_ENABLE,
                          .payload = &state,
                          .size = sizeof(state) };
    int r = 0;

    if (!(user->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES))) {
        return 0;
    }
    for (; r == 0 && state.index < 2 * user->pairs; state.index++) {
        r = vhost_user_send(user, &msg);
    }
    return r;
}

static int begin_session(VhostUser *user, uint64_t features) MAIN_THREAD
{
    int r = tell_features(user, features);

    user->used = true;
    if (r == 0) {
        r = mention_rings(user);
    }
    if (r == 0) {
        r = vhost_user_memory_tell(user, true);
    }
    return r ? r : tell_inflight(user);
}

static int user_begin(const VhostDev *dev, uint64_t features, const char **step)
    MAIN_THREAD
{
    VhostUser *user = dev->user;
    int r = vhost_user_ready(user) ? 0 : -ENOTCONN;

    if (r == 0 && user->started == 0) {
        r = begin_session(user, features);
    }
    if (r == 0) {
        user->started++;
    }
    *step = user->broken ? user->why : "the back-end is not connected";
    return r;
}

static void user_started(const VhostDev *dev) MAIN_THREAD
{
    set_status(dev->user, dev->user->status | VIRTIO_CONFIG_S_DRIVER_OK);
}

static void user_end(const VhostDev *dev) MAIN_THREAD
{
    VhostUser *user = dev->user;

    if (--user->started == 0) {
        set_status(user, NO_STATUS);
    }
}

static int user_memory(const VhostDev *dev) MAIN_THREAD
{
    int r = vhost_user_memory_tell(dev->user, false);

    /* Any error ends the connection, which is no fault of the driver's. */
    return r ? -ENOTCONN : 0;
}

static int user_features(const VhostDev *dev, uint64_t *features) MAIN_THREAD
{
    *features = vhost_user_features(dev->user) & ~UNTOLD;
    return 0;
}

static void user_reset(const VhostDev *dev) MAIN_THREAD
{
    VhostUser *user = dev->user;
    VhostUserSend msg = { .request = VHOST_USER_RESET_DEVICE };

    if (!user->used) {
        return;
    }
    user->used = false;
    fd_close(&user->inflight_fd);
    if (vhost_user_ready(user) &&
        vhost_user_has(user, VHOST_USER_PROTOCOL_F_RESET_DEVICE)) {
        vhost_user_tell(user, &msg);
    }
}

/* ---- a ring ---- */

static unsigned ring_number(const VhostDev *dev, unsigned ring)
{
    return 2 * dev->pair + ring;
}

static int tell_state(const VhostDev *dev, VhostUserRequest request,
                      unsigned ring, uint32_t num) MAIN_THREAD
{
    VhostUserVringState state = { .index = ring_number(dev, ring), .num = num };
    VhostUserSend msg = { .request = request,
                          .payload = &state,
                          .size = sizeof(state) };

    return vhost_user_send(dev->user, &msg);
}

static int tell_address(const VhostDev *dev, unsigned ring, const VirtQueue *vq)
    MAIN_THREAD
{
    VhostUserVringAddr addr = { .index = ring_number(dev, ring),
                                .desc = (uintptr_t)vq->desc,
                                .used = (uintptr_t)vq->used,
                                .avail = (uintptr_t)vq->avail };
    VhostUserSend msg = { .request = VHOST_USER_SET_VRING_ADDR,
                          .payload = &addr,
                          .size = sizeof(addr) };

    return vhost_user_send(dev->user, &msg);
}

static int tell_file(const VhostDev *dev, VhostUserRequest request,
                     unsigned ring, int fd) MAIN_THREAD
{
    uint64_t number = ring_number(dev, ring);
    VhostUserSend msg = { .request = request,
                          .payload = &number,
                          .size = sizeof(number),
                          .fds = &fd,
                          .n_fds = 1 };

    return vhost_user_send(dev->user, &msg);
}

/* Of a packed ring both positions are told, with their wrap counters. */
static uint32_t ring_place(const VirtQueue *vq)
{
    uint32_t base = virtqueue_get_base(vq);

    return vq->packed ? base | base << 16 : base;
}

static int user_ring_describe(const VhostDev *dev, unsigned ring,
                              const VirtQueue *vq, int error_fd,
                              const char **step) MAIN_THREAD
{
    int r = tell_state(dev, VHOST_USER_SET_VRING_NUM, ring, vq->size);

    if (r == 0) {
        r = tell_state(dev, VHOST_USER_SET_VRING_BASE, ring, ring_place(vq));
    }
    if (r == 0) {
        r = tell_address(dev, ring, vq);
    }
    if (r == 0) {
        r = tell_file(dev, VHOST_USER_SET_VRING_ERR, ring, error_fd);
    }
    if (r == 0) {
        r = tell_file(dev, VHOST_USER_SET_VRING_CALL, ring, vq->call_fd);
    }
    *step = dev->user->broken ? dev->user->why : "the back-end has gone";
    return r;
}

/* Where there are no protocol features rings are enabled as they start. */
static int enable(const VhostDev *dev, unsigned ring, bool on) MAIN_THREAD
{
    VhostUserVringState state = { .index = ring_number(dev, ring), .num = on };
    VhostUserSend msg = { .request = VHOST_USER_SET_VRING_ENABLE,
                          .payload = &state,
                          .size = sizeof(state) };

    if (!(dev->user->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES))) {
        return 0;
    }
    return vhost_user_tell(dev->user, &msg);
}

static int user_ring_on(const VhostDev *dev, unsigned ring, const VirtQueue *vq,
                        int backend_fd, const char **step) MAIN_THREAD
{
    int r = tell_file(dev, VHOST_USER_SET_VRING_KICK, ring, vq->kick_fd);

    if (r == 0) {
        r = enable(dev, ring, true);
    }
    *step = dev->user->broken ? dev->user->why : "the back-end has gone";
    return r;
}

static void user_ring_pause(const VhostDev *dev, unsigned ring, bool pause)
    MAIN_THREAD
{
    enable(dev, ring, !pause);
}

static void user_ring_off(const VhostDev *dev, unsigned ring) MAIN_THREAD
{
    enable(dev, ring, false);
}

/* Could the device be at @num, as far as the driver has come? */
static bool is_place(const VirtQueue *vq, uint32_t num)
{
    VirtQueueRings rings;

    if (vq->packed) {
        return (num & POSITION) < vq->size;
    }
    return num <= UINT16_MAX && virtqueue_peek_rings(vq, &rings, NULL) &&
           (uint16_t)(rings.avail_idx - num) <= vq->size;
}

/* Stops the ring. */
static int user_ring_base(const VhostDev *dev, unsigned ring,
                          const VirtQueue *vq, uint16_t *base) MAIN_THREAD
{
    unsigned number = ring_number(dev, ring);
    VhostUserVringState state;
    int r = tell_state(dev, VHOST_USER_GET_VRING_BASE, ring, 0);

    if (r == 0) {
        r = vhost_user_receive(dev->user, VHOST_USER_GET_VRING_BASE, &state,
                               sizeof(state), NULL);
    }
    if (r) {
        return -ENOTCONN;
    }
    if (state.index != number || !is_place(vq, state.num)) {
        vhost_user_break(dev->user, -EPROTO,
                         "GET_VRING_BASE of ring %u: an answer of 0x%x for "
                         "ring %u, where the driver cannot be",
                         number, state.num, state.index);
        return -ENOTCONN;
    }
    *base = (uint16_t)state.num;
    return 0;
}

/* ---- a ring whose back-end has died ---- */

/* The start of a packed ring's part of the buffer. */
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

static bool user_ring_lost(const VhostDev *dev, unsigned ring,
                           const VirtQueue *vq, uint16_t *base) MAIN_THREAD
{
    InflightPacked region;
    bool batch;

    if (!vq->packed) {
        *base = vq->used_idx;
        return is_place(vq, *base);
    }
    if (!read_inflight(dev->user, ring_number(dev, ring), &region) ||
        region.version != 1) {
        return false;
    }
    /* One whose last batch was half told begins with it once more. */
    batch = region.used_idx != region.old_used_idx;
    *base = batch ? region.old_used_idx : region.used_idx;
    if (*base >= vq->size) {
        return false;
    }
    if (batch ? region.old_used_wrap : region.used_wrap) {
        *base |= 1u << WRAP_BIT;
    }
    return true;
}

/* What the process decides: all that is about frames and rings. The control
 * queue is ours. */
const VhostOps vhost_user_ops = {
    .name = "vhost-user",
    .mask = BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_F_ANY_LAYOUT) |
            BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_RING_F_EVENT_IDX) |
            BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_PACKED) |
            BIT(VIRTIO_F_IN_ORDER) | BIT(VIRTIO_NET_F_CSUM) |
            BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GSO) |
            BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) |
            BIT(VIRTIO_NET_F_GUEST_ECN) | BIT(VIRTIO_NET_F_GUEST_UFO) |
            BIT(VIRTIO_NET_F_GUEST_USO4) | BIT(VIRTIO_NET_F_GUEST_USO6) |
            BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) |
            BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_UFO) |
            BIT(VIRTIO_NET_F_HOST_USO) | BIT(VIRTIO_NET_F_MRG_RXBUF) |
            BIT(VIRTIO_NET_F_MTU) | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) |
            BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |
            BIT(VIRTIO_NET_F_RSS) | BIT(VIRTIO_NET_F_HASH_REPORT),
    .features = user_features,
    .begin = user_begin,
    .started = user_started,
    .end = user_end,
    .memory = user_memory,
    .ring_describe = user_ring_describe,
    .ring_on = user_ring_on,
    .ring_pause = user_ring_pause,
    .ring_off = user_ring_off,
    .ring_base = user_ring_base,
    .ring_lost = user_ring_lost,
    .reset = user_reset,
};
