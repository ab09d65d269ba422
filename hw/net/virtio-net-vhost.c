/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pairs on vhost-net: the kernel worker moves their packets, none of our
 * functions sees one.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <poll.h>

#include "hw/net/virtio-net-internal.h"
#include "hw/virtio/vhost-user-shadow.h"
#include "system/main-loop.h"

/* True when the device that the tap's fd is a queue of was deleted. */
static bool backend_is_dead(const VirtIONetPair *pair)
{
    struct pollfd p = { .fd = pair->backend->fd };

    return poll(&p, 1, 0) > 0 && (p.revents & POLLERR);
}

static void vhost_ring_error(void *opaque, unsigned queue) MAIN_THREAD
{
    VirtIONetPair *pair = opaque;
    VirtQueue *vq = queue ? pair->tx_vq : pair->rx_vq;

    /* A worker that cannot send says the same as one that cannot read the
     * ring, which is the driver's fault. */
    if (backend_is_dead(pair)) {
        virtio_net_backend_lost(pair->net);
        return;
    }
    if (pair->owner == PAIR_OWNER_IO) {
        /* Of our rings it is not the driver's. */
        vhost_user_shadow_fail(
            vhost_user_shadow(pair->backend->vhost_user, pair->backend->index),
            queue, "it gave the ring up");
        return;
    }
    virtio_queue_error(&pair->net->vdev, vq, "%s gave the ring up",
                       vhost_net_name(pair->vhost));
}

static bool worker_thread(const VirtIONetPair *pair, int *tid, Error **errp)
    MAIN_THREAD
{
    *tid = vhost_net_thread_id(pair->vhost);
    if (*tid < 0) {
        error_setg(errp,
                   "pair %u: the kernel does not tell which thread is its "
                   "vhost worker",
                   pair->index);
    }
    return *tid >= 0;
}

static bool worker_set_cpus(const VirtIONetPair *pair, const CpuList *cpus,
                            Error **errp) MAIN_THREAD
{
    g_autofree char *what = g_strdup_printf("pair %u", pair->index);
    int tid;

    return worker_thread(pair, &tid, errp) &&
           thread_set_affinity(tid, what, cpus, errp);
}

/* A new worker goes where the one before it was sent. If it cannot, it serves
 * the pair all the same. */
static void place_new_worker(const VirtIONetPair *pair) MAIN_THREAD
{
    Error *err = NULL;

    if (pair->has_vhost_cpus &&
        !worker_set_cpus(pair, &pair->vhost_cpus, &err)) {
        warn_report("%s: vhost-cpus: %s; its worker runs where the kernel puts "
                    "it",
                    device_label(&pair->net->vdev.dev), err->message);
        g_error_free(err);
    }
}

bool virtio_net_vhost_open(VirtIONetPair *pair, const NetSubqueue *sq,
                           Error **errp)
{
    if (pair->vhost) {
        return true;
    }
    if (sq->vhost_user) {
        pair->vhost = vhost_net_new_user(sq->vhost_user, sq->index,
                                         vhost_ring_error, pair, errp);
        return pair->vhost != NULL;
    }
    if (sq->vhost_vdpa) {
        pair->vhost = vhost_net_new_vdpa(sq->vhost_vdpa, sq->index,
                                         vhost_ring_error, pair, errp);
        return pair->vhost != NULL;
    }
    pair->vhost = vhost_net_new(sq->vhost_fd, sq->nc->caps.vhost_poll_us,
                                vhost_ring_error, pair, errp);
    if (pair->vhost) {
        place_new_worker(pair);
    }
    return pair->vhost != NULL;
}

bool virtio_net_vhost_prepare(VirtIONetPair *pair, Error **errp)
{
    return virtio_net_vhost_open(pair, pair->backend, errp);
}

/* What only user space does: vhost-net lets no interrupt wait and shows no
 * counters. */
#define USER_SPACE_ONLY                                                   \
    (1ULL << VIRTIO_NET_F_NOTF_COAL | 1ULL << VIRTIO_NET_F_VQ_NOTF_COAL | \
     1ULL << VIRTIO_NET_F_DEVICE_STATS | 1ULL << VIRTIO_NET_F_GUEST_HDRLEN)

uint64_t virtio_net_vhost_lacks(const VirtIONetPair *pair, uint64_t features)
{
    uint64_t lacks =
        vhost_net_feature_mask(pair->vhost) & ~vhost_net_features(pair->vhost);

    return features & (USER_SPACE_ONLY | lacks);
}

bool virtio_net_needs_user_space(const VirtIONet *net)
{
    uint64_t used = net->vdev.guest_features;

    return (used & USER_SPACE_ONLY) ||
           (net->conf.features & 1ULL << VIRTIO_NET_F_HASH_REPORT) ||
           (net->rss && net->rss->how == NET_RSS_STEERING_USER);
}

uint64_t virtio_net_vhost_features(VirtIONet *net, uint64_t features)
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        const VirtIONetPair *pair = &net->pair[i];
        bool always = pair->backend && pair->backend->vhost_user;

        /* A process has rings of ours where it has not the driver's. */
        if (pair->vhost && (pair->want_vhost || always)) {
            features &= vhost_net_features(pair->vhost) |
                        ~vhost_net_feature_mask(pair->vhost);
        }
        if (pair->vhost && pair->want_vhost) {
            features &= ~USER_SPACE_ONLY;
        }
    }
    return features;
}

/* An idle worker does not tell when the device behind its fd goes away: the
 * main loop looks out for that, and for nothing else of the fd. A kernel that
 * wakes only those who wait for frames does not tell it either: then the next
 * look at the rings finds out (virtio-net-watch.c). */
static void backend_error(void *opaque, uint32_t events) MAIN_THREAD
{
    VirtIONetPair *pair = opaque;

    fd_watch_stop(&pair->backend_watch);
    virtio_net_backend_lost(pair->net);
}

bool virtio_net_vhost_tell_mtu(const VirtIONetPair *pair, Error **errp)
{
    VirtIONet *net = pair->net;

    return !pair->backend->vhost_user ||
           !virtio_has_feature(&net->vdev, VIRTIO_NET_F_MTU) ||
           vhost_user_set_mtu(pair->backend->vhost_user, net->conf.host_mtu,
                              errp);
}

bool virtio_net_vhost_start(VirtIONetPair *pair, Error **errp)
{
    if (!virtio_net_vhost_prepare(pair, errp) ||
        !virtio_net_vhost_tell_mtu(pair, errp) ||
        !vhost_net_start(pair->vhost, pair->rx_vq, pair->tx_vq,
                         pair->backend->fd, pair->features, errp)) {
        return false;
    }
    if (!pair->backend->vhost_user && !pair->backend->vhost_vdpa) {
        fd_watch_start(&pair->backend_watch, main_loop(), pair->backend->fd, 0,
                       backend_error, pair);
    }
    return true;
}

void virtio_net_vhost_stop(VirtIONetPair *pair)
{
    VirtQueue *vq[] = { pair->rx_vq, pair->tx_vq };

    fd_watch_stop(&pair->backend_watch);
    vhost_net_stop(pair->vhost);
    /* Frames that the worker took from the ring after the device had gone are
     * lost to it, and never used: they are taken again. */
    for (unsigned i = 0; i < ARRAY_SIZE(vq); i++) {
        if (vq[i]->enabled && virtio_net_backend_gone(pair->net)) {
            virtqueue_set_base(vq[i], vq[i]->used_idx);
        }
    }
}

/* ---- a process behind the netdev ---- */

bool virtio_net_pair_may_io(const VirtIONetPair *pair, Error **errp)
{
    if (pair->backend && pair->backend->vhost_vdpa) {
        error_setg(errp,
                   "pair %u: netdev '%s' is vhost-vdpa: its device alone "
                   "serves it, and no iothread can",
                   pair->index, pair->backend->nc->name);
        return false;
    }
    return true;
}

bool virtio_net_peer_ready(NetClientState *nc, Error **errp)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);
    uint64_t mask = virtio_net_vhost_features(net, UINT64_MAX);
    uint64_t lost = net->vdev.guest_features & ~mask;
    g_autofree char *names = virtio_net_feature_list(lost);

    if (lost && net->vdev.features_final) {
        error_setg(errp, "NIC '%s': its driver uses %s, which it lacks",
                   nc->name, names);
        return false;
    }
    net->vdev.features_mask = mask;
    if (!net->vdev.features_final) {
        virtio_offer_features(&net->vdev);
    }
    return true;
}

/* ---- CPUs of workers, by command ---- */

static bool check_has_worker(const VirtIONetPair *pair, Error **errp)
    MAIN_THREAD
{
    const NetSubqueue *sq = pair->backend;

    if (!sq) {
        error_setg(errp, "pair %u: has no vhost worker: '%s' has no netdev",
                   pair->index, pair->net->nic.name);
    } else if (pair->shared) {
        error_setg(errp,
                   "pair %u: has no vhost worker: it sends through queue %u of "
                   "netdev '%s', which is another pair's",
                   pair->index, sq->index, sq->nc->name);
    } else if (sq->vhost_user || sq->vhost_vdpa) {
        error_setg(errp,
                   "pair %u: has no vhost worker of this process's: netdev "
                   "'%s' is %s",
                   pair->index, sq->nc->name,
                   sq->vhost_user ? "vhost-user" : "vhost-vdpa");
    } else if (sq->vhost_fd < 0) {
        error_setg(errp,
                   "pair %u: has no vhost worker: it needs a netdev with "
                   "vhost=on",
                   pair->index);
    } else {
        return true;
    }
    return false;
}

/* Those that are meant for vhost-net. */
static bool choose_all(const VirtIONet *net, bool *chosen, Error **errp)
    MAIN_THREAD
{
    bool any = false;

    for (unsigned i = 0; i < net->max_pairs; i++) {
        const VirtIONetPair *pair = &net->pair[i];

        chosen[i] = pair->backend && pair->backend->vhost_fd >= 0 &&
                    virtio_net_pair_wants_vhost(pair);
        any |= chosen[i];
    }
    if (!any) {
        error_setg(errp,
                   "no pair of '%s' is meant for vhost-net: that needs a "
                   "netdev with vhost=on",
                   net->nic.name);
    }
    return any;
}

static bool choose(const VirtIONet *net, const uint16List *pairs, bool *chosen,
                   Error **errp) MAIN_THREAD
{
    if (!pairs->n) {
        error_setg(errp, "'pairs' names none; without it, the command is for "
                         "all pairs that are meant for vhost-net");
        return false;
    }
    for (size_t i = 0; i < pairs->n; i++) {
        unsigned pair = pairs->v[i];

        if (pair >= net->max_pairs) {
            error_setg(errp, "pair %u is not in 0..%u", pair,
                       net->max_pairs - 1);
            return false;
        }
        if (chosen[pair]) {
            error_setg(errp, "pair %u is named twice", pair);
            return false;
        }
        if (!check_has_worker(&net->pair[pair], errp)) {
            return false;
        }
        chosen[pair] = true;
    }
    return true;
}

/* Opens the vhost device of a pair that never was there: a worker that runs
 * can say no. Where it was allowed to be goes into @old. */
static bool place_worker(VirtIONetPair *pair, const CpuList *cpus, CpuList *old,
                         Error **errp) MAIN_THREAD
{
    g_autofree char *what = g_strdup_printf("pair %u", pair->index);
    int tid;

    if (!virtio_net_vhost_prepare(pair, errp)) {
        error_prepend(errp, "%s: ", what);
        return false;
    }
    return worker_thread(pair, &tid, errp) &&
           thread_get_affinity(tid, what, old, errp) &&
           thread_set_affinity(tid, what, cpus, errp);
}

static void keep_cpus(VirtIONetPair *pair, const CpuList *cpus) MAIN_THREAD
{
    cpu_list_free(&pair->vhost_cpus);
    pair->has_vhost_cpus = true;
    pair->vhost_cpus =
        (CpuList){ .n = cpus->n,
                   .cpu = g_memdup2(cpus->cpu, cpus->n * sizeof(uint16_t)) };
}

bool virtio_net_set_vhost_affinity(NetClientState *nc, const uint16List *pairs,
                                   const uint16List *cpus, Error **errp)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);
    g_autofree bool *chosen = g_new0(bool, net->max_pairs);
    g_autofree bool *opened = g_new0(bool, net->max_pairs);
    g_autofree CpuList *old = g_new0(CpuList, net->max_pairs);
    CpuList list = { .n = (unsigned)cpus->n, .cpu = cpus->v };
    bool ok = cpu_list_check("cpus", &list, errp) &&
              (pairs ? choose(net, pairs, chosen, errp)
                     : choose_all(net, chosen, errp));

    for (unsigned i = 0; ok && i < net->max_pairs; i++) {
        opened[i] = chosen[i] && !net->pair[i].vhost;
        ok = !chosen[i] || place_worker(&net->pair[i], &list, &old[i], errp);
    }
    for (unsigned i = 0; i < net->max_pairs; i++) {
        if (ok && chosen[i]) {
            keep_cpus(&net->pair[i], &list);
        } else if (opened[i]) {
            vhost_net_free(g_steal_pointer(&net->pair[i].vhost));
        } else if (old[i].n) {
            worker_set_cpus(&net->pair[i], &old[i], NULL);
        }
        cpu_list_free(&old[i]);
    }
    return ok;
}
