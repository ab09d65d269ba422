/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shadow rings of a pair at a vhost-user process: their life, and the frames
 * that pass.
 *
 * Each ring has as many buffers as descriptors, each long enough for any frame;
 * what is not touched costs no memory. What the process writes there may change
 * at any time: it is read once, to be copied.
 *
 * Threads: see hw/virtio/vhost-user-shadow.h.
 */
#include "util/osdep.h"

#include <poll.h>
#include <sys/epoll.h>

#include "hw/virtio/vhost-user-internal.h"
#include "hw/virtio/vhost-user-shadow-internal.h"
#include "hw/virtio/virtio-net-uapi.h"
#include "hw/virtio/virtqueue.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/fd.h"
#include "util/iov.h"

#define NS_PER_MS G_GINT64_CONSTANT(1000000)

/* Buffers that were emptied before the process gets them back together. */
#define REFILL 32u
/* Reads of what is no frame, before others have their turn. */
#define USELESS_MAX 64u
/* The process has so long to take what was sent before its ring is stopped. */
#define DRAIN_MS 1000

/* ---- buffers ---- */

static void *buffer_at(const ShadowRing *r, unsigned token)
{
    return r->buffers + (size_t)token * SHADOW_BUFFER;
}

/* The parts of a buffer with @len bytes in use, header first; how many. */
static unsigned buffer_parts(const VhostUserShadow *s, const ShadowRing *r,
                             unsigned token, size_t len,
                             VringDriverPart part[2])
{
    uint64_t address = r->address + (uint64_t)token * SHADOW_BUFFER;
    uint32_t head = s->config.hdr_len;

    if (s->config.one_part) {
        part[0] = (VringDriverPart){ address, (uint32_t)len };
        return 1;
    }
    part[0] = (VringDriverPart){ address, head };
    part[1] = (VringDriverPart){ address + head, (uint32_t)len - head };
    return 2;
}

static void offer_buffer(VhostUserShadow *s, unsigned token)
{
    VringDriverPart part[2];
    unsigned n = buffer_parts(s, &s->rx, token, SHADOW_BUFFER, part);

    vring_driver_add(s->rx.ring, part, 0, n, (uint16_t)token);
    s->refill++;
}

static unsigned ring_buffers(const VhostUserShadow *s)
{
    return s->config.one_part ? VHOST_USER_SHADOW_FRAMES
                              : VHOST_USER_SHADOW_FRAMES / 2;
}

/* ---- the process lies ---- */

void vhost_user_shadow_fail(VhostUserShadow *s, unsigned ring, const char *what)
{
    vhost_user_break(s->user, -EPROTO, "ring %u: %s", 2 * s->pair + ring, what);
}

/* On the main loop: what it did to our rings ends the connection. */
static void tell_fault(void *opaque)
{
    VhostUserShadow *s = opaque;
    ShadowRing *rings[] = { &s->rx, &s->tx };

    machine_lock_assert();
    for (unsigned i = 0; i < ARRAY_SIZE(rings); i++) {
        const char *fault = __atomic_load_n(&rings[i]->fault, __ATOMIC_RELAXED);

        if (s->runs && fault) {
            vhost_user_shadow_fail(s, i, fault);
        }
    }
}

/* What is taken next from @r: 1; 0: nothing, or the ring is broken. */
static int take(VhostUserShadow *s, ShadowRing *r, VringDriverUsed *used)
{
    int ret = vring_driver_take(r->ring, used);

    if (G_UNLIKELY(ret < 0)) {
        if (!r->fault) {
            __atomic_store_n(&r->fault, vring_driver_fault(r->ring),
                             __ATOMIC_RELAXED);
            loop_task_schedule(&s->fault_task);
        }
        return 0;
    }
    return ret;
}

/* Takes what comes next, after asking for a call if there is nothing. */
static int take_or_wait(VhostUserShadow *s, ShadowRing *r,
                        VringDriverUsed *used)
{
    int ret = take(s, r, used);

    if (ret == 0) {
        eventfd_clear(r->vq.call_fd);
        vring_driver_want_calls(r->ring, true);
        ret = take(s, r, used);
    }
    return ret;
}

/* ---- frames to the guest ---- */

static void refill(VhostUserShadow *s, unsigned at_least)
{
    if (s->runs && s->refill >= at_least) {
        s->refill = 0;
        vring_driver_publish(s->rx.ring);
    }
}

/* Gives the buffer back, or keeps it where the process is to have none. */
static void recycle(VhostUserShadow *s, unsigned token)
{
    if (s->runs && s->config.buffers) {
        offer_buffer(s, token);
        refill(s, REFILL);
    }
}

/* How many buffers the frame is in whose first one begins with @head. */
static unsigned frame_buffers(const VhostUserShadow *s, const void *head)
{
    le16 n;

    if (!s->config.mergeable) {
        return 1;
    }
    memcpy(&n,
           (const char *)head + offsetof(struct virtio_net_hdr_v1, num_buffers),
           sizeof(n));
    return MAX(le16_get(n), 1u);
}

/* The frame whose first buffer is @used goes into @iov; its length, 0: it was
 * none, or longer than any. */
static size_t copy_frame(VhostUserShadow *s, VringDriverUsed used,
                         const struct iovec *iov, unsigned n)
{
    unsigned more = frame_buffers(s, buffer_at(&s->rx, used.token));
    size_t len = 0;

    for (;;) {
        iov_from_buf(iov, n, len, buffer_at(&s->rx, used.token), used.len);
        recycle(s, used.token);
        len += used.len;
        if (--more == 0) {
            return len > s->config.hdr_len && len <= iov_size(iov, n) ? len : 0;
        }
        if (more >= VHOST_USER_SHADOW_FRAMES || !take(s, &s->rx, &used)) {
            return 0; /* all of its buffers have to be there (5.1.6.4) */
        }
    }
}

ssize_t vhost_user_shadow_recv(VhostUserShadow *s, const struct iovec *iov,
                               unsigned n)
{
    VringDriverUsed used;

    if (!s->rx.ring || s->rx.fault) {
        return 0;
    }
    for (unsigned i = 0; i < USELESS_MAX; i++) {
        size_t len;

        if (!take_or_wait(s, &s->rx, &used)) {
            refill(s, 1);
            return 0;
        }
        len = copy_frame(s, used, iov, n);
        if (len) {
            return (ssize_t)len;
        }
    }
    /* There may be more. */
    eventfd_signal_shared(s->rx.vq.call_fd);
    return 0;
}

/* ---- frames from the guest ---- */

static void reclaim(VhostUserShadow *s)
{
    VringDriverUsed used;

    while (take(s, &s->tx, &used)) {
        s->spare[s->n_spare++] = used.token;
    }
}

/* A buffer to be filled; false: the process has all. */
static bool find_buffer(VhostUserShadow *s)
{
    reclaim(s);
    if (s->n_spare == 0) {
        vhost_user_shadow_flush(s);
        eventfd_clear(s->tx.vq.call_fd);
        vring_driver_want_calls(s->tx.ring, true);
        reclaim(s);
    }
    return s->n_spare > 0;
}

ssize_t vhost_user_shadow_send(VhostUserShadow *s, const struct iovec *iov,
                               unsigned n)
{
    size_t len = iov_size(iov, n);
    VringDriverPart part[2];
    unsigned token, n_parts;

    if (len > SHADOW_BUFFER || len <= s->config.hdr_len) {
        return -EMSGSIZE;
    }
    if (!s->runs || !s->tx.ring || s->tx.fault) {
        return -ENETDOWN;
    }
    if (!find_buffer(s)) {
        return s->tx.fault ? -ENETDOWN : 0;
    }
    token = s->spare[--s->n_spare];
    iov_to_buf(iov, n, 0, buffer_at(&s->tx, token), len);
    n_parts = buffer_parts(s, &s->tx, token, len, part);
    vring_driver_add(s->tx.ring, part, n_parts, 0, (uint16_t)token);
    return (ssize_t)len;
}

void vhost_user_shadow_flush(VhostUserShadow *s)
{
    if (s->tx.ring && s->runs) {
        vring_driver_publish(s->tx.ring);
    }
}

/* ---- rings ---- */

static void ring_clear(ShadowRing *r)
{
    g_clear_pointer(&r->ring, vring_driver_free);
    if (r->vq.call_fd >= 0) {
        /* The process may have it still. */
        (void)epoll_ctl(r->wait_fd, EPOLL_CTL_DEL, r->vq.call_fd, NULL);
    }
    fd_close(&r->vq.kick_fd);
    fd_close(&r->vq.call_fd);
    r->vq.enabled = false;
    r->fault = NULL;
}

/* Readies the ring; vhost.c sees it as a queue whose places are fixed. */
static bool ring_make(VhostUserShadow *s, ShadowRing *r, unsigned index,
                      Error **errp) MAIN_THREAD
{
    struct epoll_event event = { .events = EPOLLIN };
    VringDriverConfig config = { .size = VHOST_USER_SHADOW_FRAMES,
                                 .features = s->config.features };
    VringDriverAreas areas;

    r->vq.kick_fd = eventfd_new(errp);
    r->vq.call_fd = r->vq.kick_fd < 0 ? -1 : eventfd_new(errp);
    if (r->vq.call_fd < 0) {
        return false;
    }
    if (epoll_ctl(r->wait_fd, EPOLL_CTL_ADD, r->vq.call_fd, &event) < 0) {
        error_setg_errno(errp, errno, "cannot wait for a shadow ring");
        return false;
    }
    shadow_memory_place(s, index, &config, r);
    config.kick_fd = r->vq.kick_fd;
    r->ring = vring_driver_new(&config);
    vring_driver_areas(r->ring, &areas);
    r->vq.index = index;
    r->vq.size = r->vq.max_size = VHOST_USER_SHADOW_FRAMES;
    virtqueue_set_features(&r->vq, s->config.features);
    r->vq.desc = areas.desc;
    r->vq.avail = areas.driver;
    r->vq.used = areas.device;
    r->vq.last_avail = r->vq.used_idx = 0;
    r->vq.avail_wrap = r->vq.used_wrap = true;
    r->vq.enabled = true;
    return true;
}

static bool make_rings(VhostUserShadow *s, Error **errp) MAIN_THREAD
{
    if ((s->config.rx && !ring_make(s, &s->rx, 0, errp)) ||
        (s->config.tx && !ring_make(s, &s->tx, 1, errp))) {
        return false;
    }
    if (s->tx.ring) {
        vring_driver_want_calls(s->tx.ring, false);
    }
    s->n_spare = s->refill = 0;
    for (unsigned i = ring_buffers(s); i-- > 0;) {
        s->spare[s->n_spare++] = (uint16_t)i;
    }
    return true;
}

static void fill_rx(VhostUserShadow *s)
{
    for (unsigned i = 0; s->rx.ring && s->config.buffers && i < ring_buffers(s);
         i++) {
        offer_buffer(s, i);
    }
    if (s->rx.ring) {
        refill(s, 1);
    }
}

/* ---- life ---- */

bool vhost_user_shadow_start(VhostUserShadow *s, VhostNet *vhost,
                             const VhostUserShadowConfig *config, Error **errp)
{
    g_assert(!s->runs);
    vhost_user_shadow_clear(s);
    s->config = *config;
    if (!shadow_memory_use(s, errp)) {
        return false;
    }
    if (!make_rings(s, errp)) {
        vhost_user_shadow_clear(s);
        return false;
    }
    s->runs = true;
    fill_rx(s);
    if (!vhost_net_start_shadow(vhost, &s->rx.vq, &s->tx.vq, config->features,
                                errp)) {
        s->runs = false;
        vhost_user_shadow_clear(s);
        return false;
    }
    return true;
}

static void drain_until(VhostUserShadow *s, int64_t end) MAIN_THREAD
{
    vhost_user_shadow_flush(s);
    while (s->tx.ring && !s->tx.fault && vhost_user_ready(s->user)) {
        struct pollfd pfd = { .fd = s->tx.vq.call_fd, .events = POLLIN };
        int64_t left = (end - clock_now_ns()) / NS_PER_MS;

        eventfd_clear(s->tx.vq.call_fd);
        vring_driver_want_calls(s->tx.ring, true);
        reclaim(s);
        if (vring_driver_outstanding(s->tx.ring) == 0 || left <= 0) {
            return;
        }
        /* One that looks by itself may not tell: it is looked after, too. */
        (void)poll(&pfd, 1, (int)MIN(left, 5));
    }
}

/* Until the process has taken all frames, has gone, or time is over. It comes
 * out of the time that there is for answers, of which half is left to them. */
static void drain(VhostUserShadow *s) MAIN_THREAD
{
    int64_t kept = VHOST_USER_BANK_MS * NS_PER_MS / 2;
    int64_t most = vhost_user_bank(s->user) - kept, begin = clock_now_ns();

    drain_until(s, begin + CLAMP(most, 0, DRAIN_MS * NS_PER_MS));
    s->user->bank_ns -= MIN(clock_now_ns() - begin, s->user->bank_ns);
}

unsigned vhost_user_shadow_stop(VhostUserShadow *s, VhostNet *vhost)
{
    unsigned lost = 0;

    if (!s->runs) {
        return 0;
    }
    drain(s);
    vhost_net_stop(vhost);
    if (s->tx.ring) {
        reclaim(s);
        lost = vring_driver_outstanding(s->tx.ring);
    }
    s->runs = false;
    loop_task_cancel(&s->fault_task);
    return lost;
}

void vhost_user_shadow_clear(VhostUserShadow *s)
{
    ring_clear(&s->rx);
    ring_clear(&s->tx);
    shadow_memory_leave(s);
}

bool vhost_user_shadow_has_frames(const VhostUserShadow *s)
{
    return s->rx.ring && !s->rx.fault && !vring_driver_empty(s->rx.ring);
}

bool vhost_user_shadow_runs(const VhostUserShadow *s)
{
    return s->runs;
}

int vhost_user_shadow_frames_fd(const VhostUserShadow *s)
{
    return s->rx.wait_fd;
}

int vhost_user_shadow_room_fd(const VhostUserShadow *s)
{
    return s->tx.wait_fd;
}

VhostUserShadow *vhost_user_shadow(const VhostUser *user, unsigned pair)
{
    return user->shadow ? user->shadow[pair] : NULL;
}

bool vhost_user_shadow_init(VhostUser *user, unsigned pair, Error **errp)
{
    VhostUserShadow *s = g_new0(VhostUserShadow, 1);
    ShadowRing *rings[] = { &s->rx, &s->tx };

    if (!user->shadow) {
        user->shadow = g_new0(VhostUserShadow *, user->pairs);
    }
    user->shadow[pair] = s;
    s->user = user;
    s->pair = pair;
    loop_task_init(&s->fault_task, main_loop(), tell_fault, s);
    for (unsigned i = 0; i < ARRAY_SIZE(rings); i++) {
        rings[i]->vq.kick_fd = rings[i]->vq.call_fd = rings[i]->wait_fd = -1;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(rings); i++) {
        rings[i]->wait_fd = epoll_create1(EPOLL_CLOEXEC);
        if (rings[i]->wait_fd < 0) {
            error_setg_errno(errp, errno,
                             "cannot make a descriptor for shadow rings");
            return false;
        }
    }
    return true;
}

static void shadow_free(VhostUserShadow *s) MAIN_THREAD
{
    vhost_user_shadow_clear(s);
    loop_task_cancel(&s->fault_task);
    fd_close(&s->rx.wait_fd);
    fd_close(&s->tx.wait_fd);
    g_free(s);
}

void vhost_user_shadows_free(VhostUser *user)
{
    for (unsigned i = 0; user->shadow && i < user->pairs; i++) {
        if (user->shadow[i]) {
            shadow_free(user->shadow[i]);
        }
    }
    g_clear_pointer(&user->shadow, g_free);
    shadow_memory_free(user);
}
