/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings of a queue pair at a vhost-user back-end.
 *
 * Features, guest memory and the buffer for what is in flight are told once for
 * all pairs, before the first ring. When the connection breaks, rings stop
 * where their used index says: the next back-end takes again what this one took
 * and did not use. Packed rings have no such index (vhost-user-place.c).
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/virtio/vhost-user-internal.h"
#include "hw/virtio/virtio-bits.h"
#include "system/machine-lock.h"
#include "util/fd.h"

#define BIT(n)    (1ULL << (n))
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

static int set_features(VhostUser *user, uint64_t features) MAIN_THREAD
{
    return vhost_user_tell_u64(
        user, VHOST_USER_SET_FEATURES,
        features | (user->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)) |
            (user->logging ? BIT(VHOST_F_LOG_ALL) : 0));
}

static int tell_features(VhostUser *user, uint64_t features) MAIN_THREAD
{
    uint64_t status = 0;
    int r;

    if (!set_status(user,
                    VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)) {
        return -ENOTCONN;
    }
    r = set_features(user, features);
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

/* A log that is on already, and not told of in this session. What is written
 * for shadow rings is not guest memory. */
static int begin_log(const VhostDev *dev, uint64_t features) MAIN_THREAD
{
    VhostUser *user = dev->user;
    int r;

    user->logging = user->logging && user->started > 0;
    if (user->logging || !dev->log || dev->shadow) {
        return 0;
    }
    if (!vhost_user_can_log(user)) {
        if (!user->log_missed) {
            warn_report("a vhost-user back-end cannot mark the pages that it "
                        "writes (LOG_SHMFD): they will be missing in the log "
                        "that is kept");
        }
        user->log_missed = true; /* drivers can start rings again and again */
        return 0;
    }
    r = vhost_user_log_set(user, dev->log);
    return r || user->started == 0 ? r : set_features(user, features);
}

static int user_begin(const VhostDev *dev, uint64_t features, const char **step)
    MAIN_THREAD
{
    VhostUser *user = dev->user;
    int r = vhost_user_ready(user) ? 0 : -ENOTCONN;

    if (r == 0) {
        r = begin_log(dev, features);
    }
    /* Once told it stays: rings that were there may be looked for again. */
    if (user->memory.n == 0) {
        user->shadow_memory.listed = user->shadow_memory.users > 0;
    }
    if (r == 0 && user->started == 0) {
        r = begin_session(user, features);
    } else if (r == 0 && dev->shadow) {
        r = vhost_user_memory_tell(user, false);
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
        vhost_user_has(user, VHOST_USER_PROTOCOL_F_RESET_DEVICE) &&
        vhost_user_memory_forget(user) == 0) {
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

    if (dev->user->logging && !dev->shadow) {
        addr.flags = 1u << VHOST_VRING_F_LOG;
        addr.log = vq->packed ? vq->desc_gpa : vq->used_gpa;
    }
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

    if (dev->shadow) {
        vhost_user_inflight_renew(dev->user, ring_number(dev, ring), vq);
    } else {
        vhost_user_inflight_check(dev->user, ring_number(dev, ring), vq);
    }
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

/* The eventfd that it has already: a message that is heard as news of the ring,
 * and changes nothing. */
void vhost_user_remind(void *opaque)
{
    VhostUser *user = opaque;
    VhostDev dev = { .user = user };

    machine_lock_assert();
    for (; dev.pair < user->pairs && vhost_user_ready(user); dev.pair++) {
        for (unsigned i = 0; i < 2; i++) {
            const VirtQueue *vq = user->ring[ring_number(&dev, i)];

            if (vq) {
                tell_file(&dev, VHOST_USER_SET_VRING_CALL, i, vq->call_fd);
            }
        }
    }
}

static int user_ring_on(const VhostDev *dev, unsigned ring, const VirtQueue *vq,
                        int backend_fd, const char **step) MAIN_THREAD
{
    int r = tell_file(dev, VHOST_USER_SET_VRING_KICK, ring, vq->kick_fd);

    if (r == 0) {
        r = enable(dev, ring, true);
    }
    dev->user->ring[ring_number(dev, ring)] = vq;
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
    dev->user->ring[ring_number(dev, ring)] = NULL;
    enable(dev, ring, false);
}

/* Stops the ring. */
static int user_ring_base(const VhostDev *dev, unsigned ring,
                          const VirtQueue *vq, uint16_t *base) MAIN_THREAD
{
    unsigned number = ring_number(dev, ring);
    VhostUserVringState state;
    uint16_t place = 0;
    int r = tell_state(dev, VHOST_USER_GET_VRING_BASE, ring, 0);

    if (r == 0) {
        r = vhost_user_receive(dev->user, VHOST_USER_GET_VRING_BASE, &state,
                               sizeof(state), NULL);
    }
    if (r) {
        return -ENOTCONN;
    }
    /* Of shadow rings nobody wants to know. */
    if (state.index != number ||
        (!vhost_user_place_told(vq, state.num, &place) && !dev->shadow)) {
        vhost_user_break(dev->user, -EPROTO,
                         "GET_VRING_BASE of ring %u: an answer of 0x%x for "
                         "ring %u, where the driver cannot be",
                         number, state.num, state.index);
        return -ENOTCONN;
    }
    *base = place;
    if (dev->user->pairs > 1) {
        loop_task_schedule(&dev->user->remind_task);
    }
    return 0;
}

/* ---- a ring whose back-end has died ---- */

static bool user_ring_lost(const VhostDev *dev, unsigned ring,
                           const VirtQueue *vq, uint16_t *base) MAIN_THREAD
{
    if (dev->shadow) {
        vhost_user_inflight_renew(dev->user, ring_number(dev, ring), vq);
        return true;
    }
    return vhost_user_place_left(dev->user, ring_number(dev, ring), vq, base);
}

/* ---- the log of written pages ---- */

static int user_log(const VhostDev *dev, uint64_t features,
                    VirtQueue *const vq[2], const char **step) MAIN_THREAD
{
    VhostUser *user = dev->user;
    bool shadow = dev->shadow;
    int r = vhost_user_ready(user) ? 0 : -ENOTCONN;

    if (shadow && dev->log) {
        return 0; /* its writes are not to guest memory */
    }
    if (r == 0 && dev->log && !vhost_user_can_log(user)) {
        *step = "the back-end cannot mark the pages that it writes (it lacks "
                "LOG_SHMFD)";
        return -ENOTSUP;
    }
    /* Once for all pairs. */
    if (r == 0 && user->logging != (dev->log != NULL)) {
        r = vhost_user_log_set(user, dev->log);
        r = r ? r : set_features(user, features);
    }
    for (unsigned i = 0; r == 0 && i < 2; i++) {
        r = vq[i] && !shadow ? tell_address(dev, i, vq[i]) : 0;
    }
    *step = "the back-end has gone";
    return r ? -ENOTCONN : 0; /* any error ends the connection */
}

static void user_log_sync(const VhostDev *dev) MAIN_THREAD
{
    vhost_user_log_sync(dev->user, dev->log);
}

static void user_log_end(const VhostDev *dev) MAIN_THREAD
{
    vhost_user_log_free(dev->user);
}

/* What the process decides: all that is about frames and rings. The control
 * queue is ours. */
const VhostOps vhost_user_ops = {
    .name = "vhost-user",
    .mask = VHOST_FRAME_FEATURES | BIT(VIRTIO_NET_F_MTU) |
            BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VIRTIO_NET_F_MQ) |
            BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) | BIT(VIRTIO_NET_F_RSS) |
            BIT(VIRTIO_NET_F_HASH_REPORT),
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
    .log = user_log,
    .log_sync = user_log_sync,
    .log_end = user_log_end,
};
