/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The queues of a tap: files that were passed, queues that come to a running
 * netdev and go, and their end.
 *
 * Files are checked and vhost devices opened before the NIC hears of anything.
 * What is left then, in the middle of the NIC's change, is TUNSETIFF and
 * TUNSETQUEUE: from these on the host may steer frames to a queue, or does not.
 *
 * Threads: under the machine lock; other queues of the tap are in use.
 */
#include "util/osdep.h"

#include "system/iothread.h"
#include "system/machine-lock.h"
#include "tap-internal.h"
#include "util/fd.h"

void tap_queues_init(TapQueues *queues)
{
    *queues = (TapQueues){ .n = 0 };
    memset(queues->fd, -1, sizeof(queues->fd));
    memset(queues->vhost_fd, -1, sizeof(queues->vhost_fd));
}

void tap_give_up(TapQueues *queues)
{
    for (unsigned i = 0; i < NET_MAX_QUEUES; i++) {
        if (queues->fd_detached[i]) {
            tap_set_queue(queues->fd[i], false);
        }
        if (queues->own_fds || queues->fd_dup[i]) {
            fd_close(&queues->fd[i]);
        }
        if (queues->own_vhost_fds || queues->vhost_fd_dup[i]) {
            fd_close(&queues->vhost_fd[i]);
        }
    }
}

static bool prepare_fd(int fd, Error **errp)
{
    return fd_set_nonblock(fd, true, errp) && fd_set_cloexec(fd, errp);
}

bool tap_prepare_queues(const TapQueues *queues, Error **errp)
{
    for (unsigned i = 0; i < queues->n; i++) {
        if (!prepare_fd(queues->fd[i], errp) ||
            (queues->vhost_fd[i] >= 0 &&
             !prepare_fd(queues->vhost_fd[i], errp))) {
            return false;
        }
    }
    return true;
}

/* ---- files that were passed ---- */

static bool check_taken(const TapIf *one, int fd, const char *option,
                        bool vnet_hdr, bool multi_queue, Error **errp)
{
    if (one->vnet_hdr != vnet_hdr) {
        error_setg(errp,
                   "%s: tap '%s' of file descriptor %d was opened %s "
                   "IFF_VNET_HDR; %s",
                   option, one->name, fd, vnet_hdr ? "without" : "with",
                   vnet_hdr ? "open it with that, or use vnet_hdr=off"
                            : "leave vnet_hdr=off out");
        return false;
    }
    if (multi_queue && !one->multi_queue) {
        error_setg(errp,
                   "%s: tap '%s' of file descriptor %d was opened without "
                   "IFF_MULTI_QUEUE, which several queues need",
                   option, one->name, fd);
        return false;
    }
    return true;
}

/* Takes part @i of @queues as one of @tap, which the first of them sets. */
static bool take_fd(TapQueues *queues, unsigned i, const char *option,
                    bool vnet_hdr, TapIf *tap, Error **errp)
{
    int fd = queues->fd[i];
    TapIf one;

    if (!tap_inspect(fd, &one, errp)) {
        error_prepend(errp, "%s: ", option);
        return false;
    }
    if (!check_taken(&one, fd, option, vnet_hdr, queues->n > 1, errp)) {
        return false;
    }
    if (i > 0 && strcmp(tap->name, one.name) != 0) {
        error_setg(errp,
                   "%s: file descriptors %d and %d are of different taps, "
                   "'%s' and '%s'; give queues of one",
                   option, queues->fd[0], fd, tap->name, one.name);
        return false;
    }
    queues->fd_detached[i] = one.detached;
    *tap = one;
    return true;
}

/* Those that came detached, in their order: by it the host numbers them. */
static bool attach_taken(TapQueues *queues, const char *option, Error **errp)
{
    for (unsigned i = 0; i < queues->n; i++) {
        if (queues->fd_detached[i] && !tap_set_queue(queues->fd[i], true)) {
            error_setg_errno(errp, errno,
                             "%s: cannot attach the queue of file descriptor "
                             "%d",
                             option, queues->fd[i]);
            return false;
        }
    }
    return true;
}

static bool take_files(const char *list, const char *option, bool vnet_hdr,
                       TapIf *tap, TapQueues *queues, Error **errp) MAIN_THREAD
{
    if (!tap_parse_fds(list, option, queues->fd, queues->fd_dup, queues->n,
                       errp)) {
        return false;
    }
    for (unsigned i = 0; i < queues->n; i++) {
        if (!take_fd(queues, i, option, vnet_hdr, tap, errp)) {
            return false;
        }
    }
    return true;
}

bool tap_take_fds(const char *list, const char *option, bool vnet_hdr,
                  TapIf *tap, TapQueues *queues, Error **errp)
{
    return take_files(list, option, vnet_hdr, tap, queues, errp) &&
           attach_taken(queues, option, errp);
}

static bool open_vhosts(TapQueues *queues, Error **errp)
{
    queues->own_vhost_fds = true;
    for (unsigned i = 0; i < queues->n; i++) {
        queues->vhost_fd[i] = vhost_net_open(errp);
        if (queues->vhost_fd[i] < 0) {
            return false;
        }
    }
    return true;
}

bool tap_take_vhost_fds(const char *list, const char *option, TapQueues *queues,
                        Error **errp)
{
    if (!list) {
        return open_vhosts(queues, errp);
    }
    if (!tap_parse_fds(list, option, queues->vhost_fd, queues->vhost_fd_dup,
                       queues->n, errp)) {
        return false;
    }
    for (unsigned i = 0; i < queues->n; i++) {
        if (!vhost_fd_check(queues->vhost_fd[i], option, errp)) {
            return false;
        }
    }
    return true;
}

/* ---- the end of queues ---- */

void tap_close_queues(TapState *tap, unsigned first, unsigned end)
{
    /* The last one first: the host gives the number of one that goes to its
     * last one. */
    for (unsigned i = end; i-- > first;) {
        NetSubqueue *sq = &tap->nc.queue[i];

        if (tap->multi_queue && sq->enabled && sq->fd >= 0) {
            tap_set_queue(sq->fd, false);
        }
        sq->enabled = false;
    }
    /* A queue lives as long as anybody has it open. */
    iothreads_forget_files();
    for (unsigned i = first; i < end; i++) {
        NetSubqueue *sq = &tap->nc.queue[i];

        fd_close(&sq->fd);
        fd_close(&sq->vhost_fd);
        sq->stats = (NetSubqueueStats){ 0 };
    }
}

/* ---- another number of them ---- */

typedef struct Growth {
    TapState *tap;
    unsigned from; /* number of the first queue that comes */
    TapQueues more;
    TapIf tap_if;
    bool open; /* they are opened here */
} Growth;

/* Opens what comes, or attaches what was given: frames may come to it. */
static bool growth_open(Growth *g, Error **errp) MAIN_THREAD
{
    int old = tap_device_fd(g->tap);

    if (!g->open) {
        return attach_taken(&g->more, "fds", errp);
    }
    g->more.own_fds = true;
    for (unsigned i = 0; i < g->more.n; i++) {
        g->more.fd[i] = tap_open(&g->tap_if, errp);
        if (g->more.fd[i] < 0) {
            return false;
        }
        if (!tap_same_interface(old, g->more.fd[i])) {
            error_setg(errp,
                       "netdev '%s': its tap '%s' is in another network "
                       "namespace; give fds",
                       g->tap->nc.name, g->tap_if.name);
            return false;
        }
    }
    return true;
}

static bool grow_act(void *opaque, Error **errp)
{
    Growth *g = opaque;
    NetClientState *nc = &g->tap->nc;

    machine_lock_assert();
    if (!growth_open(g, errp)) {
        return false;
    }
    tap_copy_sndbuf(tap_device_fd(g->tap));
    for (unsigned i = 0; i < g->more.n; i++) {
        nc->queue[g->from + i].fd = g->more.fd[i];
        nc->queue[g->from + i].enabled = true;
    }
    nc->n_queues = g->from + g->more.n;
    return true;
}

typedef struct Shrinking {
    TapState *tap;
    unsigned n;
} Shrinking;

static bool shrink_act(void *opaque, Error **errp)
{
    const Shrinking *s = opaque;
    NetClientState *nc = &s->tap->nc;
    unsigned end = nc->n_queues;

    machine_lock_assert();
    nc->n_queues = s->n;
    tap_close_queues(s->tap, s->n, end);
    return true;
}

static bool resize(NetClientState *nc, const NetResize *how, Error **errp)
    MAIN_THREAD
{
    NetClientState *nic = nc->peer;

    return nic ? nic->info->peer_resize(nic, how, errp)
               : how->act(how->opaque, errp);
}

static bool check_list(const char *list, const char *option, unsigned more,
                       Error **errp)
{
    unsigned n = list ? tap_list_length(list) : more;

    if (n != more) {
        error_setg(errp,
                   "%s has %u file descriptors for %u queues that come; give "
                   "one for each of these",
                   option, n, more);
    }
    return n == more;
}

/* Can the tap have more queues, and with these options? */
static bool check_growth(const TapState *tap, const NetQueuesChange *change,
                         Error **errp)
{
    unsigned more = change->n - tap->nc.n_queues;
    const char *id = tap->nc.name;

    if (!tap->multi_queue) {
        error_setg(errp,
                   "netdev '%s': tap '%s' was opened with one queue, without "
                   "IFF_MULTI_QUEUE, and cannot get more: netdev_del it and "
                   "netdev_add it with %s",
                   id, tap->ifname,
                   tap->opened ? "queues=2 or more"
                               : "files of a multi_queue tap");
        return false;
    }
    if (!change->fds && !tap->opened) {
        error_setg(errp,
                   "netdev '%s': its queues were opened by somebody else: give "
                   "fds, %u queues of tap '%s'",
                   id, more, tap->ifname);
        return false;
    }
    if (change->vhostfds && !tap->nc.caps.vhost) {
        error_setg(errp,
                   "vhostfds: netdev '%s' has vhost=off; leave vhostfds out",
                   id);
        return false;
    }
    return check_list(change->fds, "fds", more, errp) &&
           check_list(change->vhostfds, "vhostfds", more, errp);
}

/* The tap as it is now, by whatever name. */
static bool inspect(const TapState *tap, TapIf *now, Error **errp)
{
    Error *err = NULL;

    if (tap_inspect(tap_device_fd(tap), now, &err)) {
        return true;
    }
    g_error_free(err);
    error_setg(errp,
               "netdev '%s': tap '%s' is gone; netdev_del it and netdev_add it",
               tap->nc.name, tap->ifname);
    return false;
}

/* Everything that can be found wrong without touching the tap. */
static bool growth_prepare(Growth *g, const NetQueuesChange *change,
                           Error **errp) MAIN_THREAD
{
    TapState *tap = g->tap;
    TapIf given;

    if (!inspect(tap, &g->tap_if, errp)) {
        return false;
    }
    g->open = !change->fds;
    if (!g->open) {
        if (!take_files(change->fds, "fds", tap->nc.caps.vnet_hdr, &given,
                        &g->more, errp)) {
            return false;
        }
        if (!tap_same_interface(tap_device_fd(tap), g->more.fd[0])) {
            error_setg(errp,
                       "fds: file descriptor %d is of tap '%s', but netdev "
                       "'%s' has '%s'; give queues of that",
                       g->more.fd[0], given.name, tap->nc.name, g->tap_if.name);
            return false;
        }
    }
    if (tap->nc.caps.vhost &&
        !tap_take_vhost_fds(change->vhostfds, "vhostfds", &g->more, errp)) {
        return false;
    }
    return g->open || tap_prepare_queues(&g->more, errp);
}

static bool grow(TapState *tap, const NetQueuesChange *change, Error **errp)
    MAIN_THREAD
{
    g_autofree Growth *g = g_new(Growth, 1);
    NetResize how = { .n = change->n, .act = grow_act, .opaque = g };
    NetSubqueue *come = &tap->nc.queue[tap->nc.n_queues];
    bool ok;

    *g = (Growth){ .tap = tap, .from = tap->nc.n_queues };
    tap_queues_init(&g->more);
    g->more.n = change->n - g->from;
    ok = growth_prepare(g, change, errp);
    for (unsigned i = 0; ok && i < g->more.n; i++) {
        come[i].vhost_fd = g->more.vhost_fd[i];
    }
    ok = ok && resize(&tap->nc, &how, errp);
    if (!ok) {
        for (unsigned i = 0; i < g->more.n; i++) {
            come[i].vhost_fd = -1;
        }
        tap_give_up(&g->more);
        return false;
    }
    tap_fds_taken(change->fds);
    tap_fds_taken(change->vhostfds);
    return true;
}

bool tap_set_queues(NetClientState *nc, const NetQueuesChange *change,
                    Error **errp)
{
    TapState *tap = container_of(nc, TapState, nc);
    Shrinking shrinking = { tap, change->n };
    NetResize how = { .n = change->n, .act = shrink_act, .opaque = &shrinking };

    nc->queue_frames = tap_queue_frames(tap->ifname);
    if (change->n > nc->n_queues) {
        return check_growth(tap, change, errp) && grow(tap, change, errp);
    }
    if (change->fds || change->vhostfds) {
        error_setg(errp,
                   "%s: netdev '%s' has %u queues already; files are for "
                   "queues that come",
                   change->fds ? "fds" : "vhostfds", nc->name, nc->n_queues);
        return false;
    }
    return change->n == nc->n_queues || resize(nc, &how, errp);
}
