/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Queue pairs that get another owner by command, while the driver uses them:
 * all that a list names, or none.
 *
 *   check   what can be known without touching anything
 *   ready   vhost devices are opened, iothreads and scratch memory made: what
 *           takes time and what may fail, while all pairs run
 *   apply   one pair after the other: stop, swap, start
 *   undo    on an error, the way back in reverse; settle, without one
 *
 * From check to settle the machine lock is held: nobody else moves a pair.
 * docs/devel/moving-pairs.rst says why no frame is lost.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "qapi/qapi-events.h"

typedef struct PairMove {
    VirtIONetPair *pair;
    bool vhost;         /* it is to go to vhost-net */
    IOThread *iothread; /* or there; we have a use of it until it is the pair's.
                           NULL: to one that is made when it starts */
    bool nothing;       /* it is there already */
    bool opened;        /* its vhost device, for this */
    bool applied;
    /* as it was */
    PairOwner owner;
    bool want_vhost, failed, untold;
    IOThread *old; /* we have a use of it; NULL: it had none */
} PairMove;

/* ---- check ---- */

static bool check_vhost(const VirtIONet *net, const VirtIONetPair *pair,
                        Error **errp) MAIN_THREAD
{
    if (!pair->backend) {
        error_setg(errp,
                   "pair %u: backend 'vhost' needs a netdev: '%s' has "
                   "none",
                   pair->index, net->nic.name);
    } else if (pair->shared) {
        error_setg(errp,
                   "pair %u: sends through queue %u of netdev '%s', which is "
                   "another pair's: it cannot go to vhost-net",
                   pair->index, pair->backend->index, pair->backend->nc->name);
    } else if (!net_subqueue_has_vhost(pair->backend)) {
        error_setg(errp,
                   "pair %u: backend 'vhost' needs a netdev with vhost=on",
                   pair->index);
    } else if (net->conf.features & 1ULL << VIRTIO_NET_F_HASH_REPORT) {
        error_setg(errp, "pair %u: vhost-net reports no hashes: use hash=off",
                   pair->index);
    } else if (net->rss && net->rss->how == NET_RSS_STEERING_USER) {
        error_setg(errp,
                   "pair %u: RSS is served in user space, which sees no frame "
                   "of vhost-net's: use rss=off",
                   pair->index);
    } else {
        return true;
    }
    return false;
}

static bool check_iothread(const VirtIONetPair *pair,
                           const VirtioNetQueueMapping *m, Error **errp)
    MAIN_THREAD
{
    if (!virtio_net_pair_may_io(pair, errp)) {
        return false;
    }
    if (pair->want_vhost && pair->vhost_required) {
        error_setg(errp,
                   "pair %u: netdev '%s' has vhostforce=on: it stays "
                   "with vhost-net",
                   pair->index, pair->backend->nc->name);
        return false;
    }
    if (m->iothread && !iothread_find(m->iothread, errp)) {
        error_prepend(errp, "pair %u: ", pair->index);
        return false;
    }
    return true;
}

/* @seen: the pairs named so far. */
static bool check_entry(const VirtIONet *net, const VirtioNetQueueMapping *m,
                        uint8_t *seen, Error **errp) MAIN_THREAD
{
    if (!virtio_net_mapping_check(net, m, seen, errp)) {
        return false;
    }
    return m->backend == VIRTIO_NET_QUEUE_BACKEND_VHOST
               ? check_vhost(net, &net->pair[m->pair], errp)
               : check_iothread(&net->pair[m->pair], m, errp);
}

/* ---- ready ---- */

static bool ready_vhost(PairMove *move, Error **errp) MAIN_THREAD
{
    VirtIONetPair *pair = move->pair;
    uint64_t lacks;

    move->nothing = virtio_net_pair_wants_vhost(pair);
    if (move->nothing) {
        return true;
    }
    move->opened = !pair->vhost;
    if (!virtio_net_vhost_prepare(pair, errp)) {
        error_prepend(errp, "pair %u: ", pair->index);
        return false;
    }
    lacks = virtio_net_vhost_lacks(pair, pair->net->vdev.guest_features);
    if (lacks) {
        g_autofree char *names = virtio_net_feature_list(lacks);

        error_setg(errp,
                   "pair %u: the driver uses what vhost-net cannot do: %s; it "
                   "is not offered to a driver that starts while a pair is "
                   "mapped to vhost",
                   pair->index, names);
    }
    return !lacks;
}

static bool ready_iothread(PairMove *move, const VirtioNetQueueMapping *m,
                           Error **errp) MAIN_THREAD
{
    VirtIONetPair *pair = move->pair;
    VirtIONet *net = pair->net;

    if (m->iothread) {
        move->iothread = iothread_find(m->iothread, errp);
    } else if (pair->owner != PAIR_OWNER_MAIN) {
        move->iothread = virtio_net_auto_iothread(pair, errp);
    }
    if (move->iothread) {
        iothread_use(move->iothread, device_label(&net->vdev.dev));
        move->nothing = !pair->want_vhost && pair->iothread == move->iothread;
    } else if (m->iothread || pair->owner != PAIR_OWNER_MAIN) {
        error_prepend(errp, "pair %u: ", pair->index);
        return false;
    } else {
        move->nothing = !pair->want_vhost &&
                        (!pair->iothread ||
                         virtio_net_iothread_is_auto(net, pair->iothread));
    }
    if (!move->nothing && pair->owner == PAIR_OWNER_VHOST) {
        virtio_net_pair_need_scratch(pair);
    }
    return true;
}

static bool ready(PairMove *move, const VirtioNetQueueMapping *m, Error **errp)
    MAIN_THREAD
{
    VirtIONetPair *pair = move->pair;

    move->vhost = m->backend == VIRTIO_NET_QUEUE_BACKEND_VHOST;
    /* One that is left with a process and not active has nobody, in effect. */
    move->owner =
        pair->index < pair->net->active_pairs ? pair->owner : PAIR_OWNER_MAIN;
    move->want_vhost = pair->want_vhost;
    move->failed = pair->failed;
    move->untold = pair->move_untold;
    return move->vhost ? ready_vhost(move, errp)
                       : ready_iothread(move, m, errp);
}

/* ---- apply, undo, settle ---- */

/* The pair's intent, while it is stopped. */
static void swap(PairMove *move) MAIN_THREAD
{
    VirtIONetPair *pair = move->pair;

    pair->want_vhost = move->vhost;
    pair->failed = pair->move_untold = false;
    /* One that goes to vhost-net may have to stay for a while. */
    if (!move->vhost || move->owner == PAIR_OWNER_MAIN) {
        virtio_net_pair_drop_iothread(pair);
        pair->iothread = g_steal_pointer(&move->iothread);
    }
}

static bool apply(PairMove *move, Error **errp) MAIN_THREAD
{
    VirtIONetPair *pair = move->pair;

    if (move->nothing) {
        return true;
    }
    move->applied = true;
    move->old = pair->iothread;
    if (move->old) {
        iothread_use(move->old, device_label(&pair->net->vdev.dev));
    }
    virtio_net_pair_stop(pair);
    swap(move);
    if (move->owner != PAIR_OWNER_MAIN &&
        !virtio_net_pair_try_start(pair, errp)) {
        error_prepend(errp, "pair %u: vhost: ", pair->index);
        return false;
    }
    return true;
}

static void undo(PairMove *move) MAIN_THREAD
{
    VirtIONetPair *pair = move->pair;

    if (move->applied) {
        virtio_net_pair_stop(pair);
        virtio_net_pair_drop_iothread(pair);
        pair->iothread = g_steal_pointer(&move->old);
        pair->want_vhost = move->want_vhost;
        pair->failed = move->failed;
        pair->move_untold = move->untold;
        if (move->owner != PAIR_OWNER_MAIN) {
            virtio_net_pair_start(pair);
        }
    }
    if (move->opened) {
        vhost_net_free(g_steal_pointer(&pair->vhost));
    }
}

void virtio_net_mapping_event(const VirtIONetPair *pair, const char *reason)
{
    g_autofree char *path = object_path(OBJECT(pair->net));
    bool io = pair->owner == PAIR_OWNER_IO;
    q_obj_NET_QUEUE_MAPPING_CHANGED_arg arg = {
        .nic = pair->net->nic.name,
        .qom_path = path,
        .pair = pair->index,
        .owner = virtio_net_owner_shown(pair->owner),
        .iothread = io ? (char *)iothread_id(pair->iothread) : NULL,
        .reason = (char *)reason,
    };

    if (path) {
        qapi_event_send_net_queue_mapping_changed(&arg);
    }
}

static void settle(PairMove *move) MAIN_THREAD
{
    VirtIONetPair *pair = move->pair;

    pair->mapped = true;
    if (!move->applied || move->owner == PAIR_OWNER_MAIN) {
        return;
    }
    if (pair->owner == move->owner && pair->iothread == move->old) {
        pair->move_untold = virtio_net_pair_wants_vhost(pair);
    } else if (pair->owner != PAIR_OWNER_MAIN) {
        stat_add(&pair->stats.moves, 1);
        virtio_net_mapping_event(pair, NULL);
    }
}

/* A driver that starts from now on is offered what vhost-net, too, can do. */
static void limit_offer(VirtIONet *net) MAIN_THREAD
{
    net->vdev.features_mask &= virtio_net_vhost_features(net, UINT64_MAX);
    if (!net->vdev.features_final) {
        virtio_offer_features(&net->vdev);
    }
}

bool virtio_net_set_queue_mapping(NetClientState *nc,
                                  const VirtioNetQueueMappingList *list,
                                  Error **errp)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);
    g_autofree PairMove *moves = g_new0(PairMove, MAX(list->n, 1));
    g_autofree uint8_t *seen = g_malloc0(net->max_pairs);
    size_t n = 0, applied = 0;
    bool ok = true;

    for (size_t i = 0; i < list->n; i++) {
        if (!check_entry(net, &list->v[i], seen, errp)) {
            return false;
        }
    }
    for (; ok && n < list->n; n++) {
        moves[n].pair = &net->pair[list->v[n].pair];
        ok = ready(&moves[n], &list->v[n], errp);
    }
    for (; ok && applied < n; applied++) {
        ok = apply(&moves[applied], errp);
    }
    for (size_t i = n; i-- > 0;) {
        if (ok) {
            settle(&moves[n - 1 - i]);
        } else {
            undo(&moves[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        virtio_net_iothread_release(net, moves[i].old);
        virtio_net_iothread_release(net, moves[i].iothread);
    }
    if (ok) {
        limit_offer(net);
    }
    return ok;
}
