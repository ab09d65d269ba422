/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a network device tells by itself: rings that nobody serves, rings that
 * are broken, and a back-end that goes while none of our loops has it.
 *
 * A timer looks at the rings of the pairs that the driver uses, twice in
 * stall-timeout. What it reads is the ring's used index in guest memory (of a
 * packed ring its owner's position, which is stored atomically), the counters
 * of the pair, and with one poll(2) for the whole device whether its files
 * have frames. None of that is written, or waited for, and nothing of it is
 * trusted: a driver that plays with its indices makes events about its own
 * ring, as many as the limit lets through. A stall is told when there was
 * something to do at each look for as long as the timeout and nothing of it was
 * done, so between one timeout and one and a half after it began.
 *
 * The timer is on the machine's clock: the time in which the machine stands
 * still is nobody's fault.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <poll.h>

#include "hw/net/virtio-net-internal.h"
#include "qapi/qapi-events.h"
#include "system/main-loop.h"

#define STALL_TIMEOUT_MIN 100u /* milliseconds */
#define STALL_TIMEOUT_MAX 3600000u
#define NS_PER_MS         G_GINT64_CONSTANT(1000000)

static VirtQueue *watched_vq(const VirtIONetPair *pair, unsigned dir)
{
    return dir ? pair->tx_vq : pair->rx_vq;
}

/* ---- what is there to be done, and what was ---- */

/* Is somebody to serve the ring? While the link is down, or there is nothing
 * behind the netdev, who looks at the network knows. */
static bool ring_expected(const VirtIONetPair *pair, unsigned dir) MAIN_THREAD
{
    const VirtIONet *net = pair->net;

    return net->vdev.started && net->link_up && !virtio_net_backend_gone(net) &&
           pair->index < net->active_pairs && watched_vq(pair, dir)->enabled &&
           pair->backend && pair->backend->fd >= 0 &&
           (dir || (!pair->shared && pair->backend->enabled));
}

static bool ring_used(const VirtIONetPair *pair, unsigned dir, uint16_t *used)
    MAIN_THREAD
{
    const VirtQueue *vq = watched_vq(pair, dir);

    if (vq->packed && pair->owner == PAIR_OWNER_VHOST) {
        return vhost_net_has_ring(pair->vhost, dir) &&
               vhost_net_ring_base(pair->vhost, dir, used, NULL);
    }
    return virtqueue_peek_used(vq, used);
}

/* Frames that the pair is done with, whatever became of them. */
static uint64_t frames_done(const VirtIONetPair *pair, unsigned dir)
{
    const PairStats *s = &pair->stats;

    return dir ? stat_get(&s->tx_packets) + stat_get(&s->tx_bad_header) +
                     stat_get(&s->tx_dropped)
               : stat_get(&s->rx_packets) + stat_get(&s->rx_filtered) +
                     stat_get(&s->rx_too_long) + stat_get(&s->rx_errors) +
                     stat_get(&s->rx_rss_moved) + stat_get(&s->rx_rss_lost);
}

/* @readable: the file of the subqueue has a frame. */
static bool frames_wait(const VirtIONetPair *pair, unsigned dir, uint16_t used,
                        bool readable) MAIN_THREAD
{
    if (dir) {
        return virtqueue_peek_waiting(pair->tx_vq, used);
    }
    return readable ||
           (pair->owner == PAIR_OWNER_IO && stat_get(&pair->stats.rx_backlog));
}

/* ---- stalls ---- */

static void tell_stalled(VirtIONetPair *pair, unsigned dir, bool stalled,
                         int64_t now) MAIN_THREAD
{
    RingWatch *watch = &pair->watch[dir];
    g_autofree char *path = object_path(OBJECT(pair->net));
    q_obj_NET_QUEUE_STALLED_arg arg = {
        .nic = pair->net->nic.name,
        .qom_path = path,
        .pair = pair->index,
        .direction = dir ? NET_QUEUE_DIRECTION_TX : NET_QUEUE_DIRECTION_RX,
        .stalled = stalled,
        .milliseconds = (now - watch->since_ns) / NS_PER_MS,
    };

    watch->stalled = stalled;
    if (path) {
        qapi_event_send_net_queue_stalled(&arg);
    }
}

/* What is known of the ring is void; if it was stalled, that is over. */
static void forget(VirtIONetPair *pair, unsigned dir) MAIN_THREAD
{
    if (pair->watch[dir].stalled) {
        tell_stalled(pair, dir, false, vm_clock_ns());
    }
    pair->watch[dir].waiting = false;
}

static void forget_all(VirtIONet *net) MAIN_THREAD
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        forget(&net->pair[i], 0);
        forget(&net->pair[i], 1);
    }
}

/* The device starts: its owners have all the time again. */
static void begin_anew(VirtIONet *net) MAIN_THREAD
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        for (unsigned dir = 0; dir < 2; dir++) {
            RingWatch *watch = &net->pair[i].watch[dir];

            watch->waiting = watch->waiting && watch->stalled;
        }
    }
}

static void look_at_ring(VirtIONetPair *pair, unsigned dir, bool readable,
                         int64_t now) MAIN_THREAD
{
    RingWatch *watch = &pair->watch[dir];
    RingWatch seen = { .since_ns = now, .frames = frames_done(pair, dir) };

    seen.waiting = ring_expected(pair, dir) &&
                   ring_used(pair, dir, &seen.used) &&
                   frames_wait(pair, dir, seen.used, readable);
    if (!seen.waiting || !watch->waiting || seen.used != watch->used ||
        seen.frames != watch->frames) {
        forget(pair, dir);
        *watch = seen;
    } else if (!watch->stalled &&
               now - watch->since_ns >=
                   pair->net->conf.stall_timeout * NS_PER_MS) {
        tell_stalled(pair, dir, true, now);
    }
}

/* Which subqueues of the receiving pairs have frames: into @fds, by pair. */
static void poll_backends(VirtIONet *net, struct pollfd *fds) MAIN_THREAD
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        bool look = ring_expected(&net->pair[i], 0);

        fds[i] = (struct pollfd){
            .fd = look ? net->pair[i].backend->fd : -1,
            .events = POLLIN,
        };
    }
    if (poll(fds, net->active_pairs, 0) < 0) {
        for (unsigned i = 0; i < net->active_pairs; i++) {
            fds[i].revents = 0;
        }
    }
}

static void arm(VirtIONet *net) MAIN_THREAD
{
    vm_timer_arm(&net->watch_timer,
                 vm_clock_ns() + net->conf.stall_timeout * NS_PER_MS / 2);
}

/* A vhost worker does not tell that the device behind its file is gone, so it
 * is seen here too. */
static void look(void *opaque) MAIN_THREAD
{
    VirtIONet *net = opaque;
    struct pollfd fds[VIRTIO_NET_MAX_PAIRS];
    int64_t now = vm_clock_ns();

    poll_backends(net, fds);
    for (unsigned i = 0; i < net->max_pairs; i++) {
        bool readable = (fds[i].revents & (POLLIN | POLLERR)) == POLLIN;

        if (fds[i].revents & POLLERR) {
            virtio_net_backend_lost(net);
        }
        look_at_ring(&net->pair[i], 0, readable, now);
        look_at_ring(&net->pair[i], 1, false, now);
    }
    arm(net);
}

/* Begins or ends to look, as device and property are now. */
static void update_timer(VirtIONet *net) MAIN_THREAD
{
    if (net->conf.stall_timeout && net->vdev.started) {
        if (!net->watch_timer.armed) {
            begin_anew(net);
        }
        arm(net);
    } else {
        vm_timer_cancel(&net->watch_timer);
    }
}

/* ---- the property ---- */

static json_object *stall_timeout_get(Object *obj, const Property *prop,
                                      Error **errp)
{
    return prop_info_uint32.get(obj, prop, errp);
}

static bool stall_timeout_set(Object *obj, const Property *prop,
                              json_object *value, Error **errp) MAIN_THREAD
{
    VirtIONet *net = VIRTIO_NET(obj);
    uint32_t *field = PROP_FIELD(obj, prop, uint32_t);
    uint32_t old = *field;

    if (!prop_info_uint32.set(obj, prop, value, errp)) {
        return false;
    }
    if (*field && (*field < STALL_TIMEOUT_MIN || *field > STALL_TIMEOUT_MAX)) {
        error_setg(errp,
                   "Property '%s.%s' is %u, but must be 0 (off) or %u to %u "
                   "milliseconds",
                   object_type_name(obj), prop->name, *field, STALL_TIMEOUT_MIN,
                   STALL_TIMEOUT_MAX);
        *field = old;
        return false;
    }
    if (obj->realized) {
        update_timer(net);
        if (!*field) {
            forget_all(net);
        }
    }
    return true;
}

static void stall_timeout_default(Object *obj, const Property *prop)
{
    *PROP_FIELD(obj, prop, uint32_t) = prop->defval;
}

const PropertyInfo prop_info_stall_timeout = {
    .type = "uint32",
    .get = stall_timeout_get,
    .set = stall_timeout_set,
    .set_default = stall_timeout_default,
};

/* ---- the back-end, while the device does not run ---- */

static void backend_error(void *opaque, uint32_t events) MAIN_THREAD
{
    VirtIONet *net = opaque;

    fd_watch_stop(&net->backend_watch);
    virtio_net_backend_lost(net);
}

/* Owners see the device behind their files go. Without owners the main loop
 * looks at one file: queue 0 is always attached. A tap that is deleted wakes
 * those who wait for frames, which LOOP_PRI does without being told of any. */
static void update_backend_watch(VirtIONet *net) MAIN_THREAD
{
    const NetSubqueue *sq = net->pair[0].backend;
    bool want = sq && sq->fd >= 0 && !net->vdev.started &&
                !virtio_net_backend_gone(net);

    if (!want) {
        fd_watch_stop(&net->backend_watch);
    } else if (!net->backend_watch.loop) {
        fd_watch_start(&net->backend_watch, main_loop(), sq->fd, LOOP_PRI,
                       backend_error, net);
    }
}

/* ---- when ---- */

void virtio_net_watch_init(VirtIONet *net)
{
    vm_timer_init(&net->watch_timer, look, net);
    update_backend_watch(net);
}

void virtio_net_watch_update(VirtIONet *net)
{
    update_timer(net);
    update_backend_watch(net);
}

void virtio_net_watch_reset(VirtIONet *net)
{
    forget_all(net);
}

void virtio_net_watch_queue_reset(VirtIONet *net, const VirtQueue *vq)
{
    if (vq->index / 2 < net->max_pairs) {
        forget(&net->pair[vq->index / 2], vq->index % 2);
    }
}

void virtio_net_watch_end(VirtIONet *net)
{
    vm_timer_cancel(&net->watch_timer);
    fd_watch_stop(&net->backend_watch);
}

/* ---- rings that are broken ---- */

/* @pair, @vq: what it is about; NULL: neither alone. */
static void tell_error(VirtIONet *net, const VirtIONetPair *pair,
                       const VirtQueue *vq, const char *reason,
                       bool needs_reset) MAIN_THREAD
{
    g_autofree char *path = object_path(OBJECT(net));
    q_obj_NET_QUEUE_ERROR_arg arg = {
        .nic = net->nic.name,
        .qom_path = path,
        .has_pair = pair != NULL,
        .pair = pair ? pair->index : 0,
        .has_queue = vq != NULL,
        .queue = vq ? vq->index : 0,
        .owner =
            pair ? virtio_net_owner_shown(pair->owner) : NET_QUEUE_OWNER_MAIN,
        .reason = (char *)reason,
        .needs_reset = needs_reset,
    };

    if (path) {
        qapi_event_send_net_queue_error(&arg);
    }
}

void virtio_net_fault(VirtIODevice *vdev, const VirtQueue *vq,
                      const char *reason)
{
    VirtIONet *net = VIRTIO_NET(vdev);
    bool of_pair = vq && vq != virtio_net_ctrl_vq(net);

    tell_error(net, of_pair ? &net->pair[vq->index / 2] : NULL, vq, reason,
               true);
}

void virtio_net_vhost_refused(VirtIONetPair *pair, const char *reason)
{
    g_autofree char *text =
        g_strdup_printf("vhost: %s; user space takes the pair over", reason);

    tell_error(pair->net, pair, NULL, text, false);
}
