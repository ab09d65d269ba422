/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev af-xdp: queues of an interface of the host, past its network stack.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/if_link.h>
#include <sys/socket.h>

#include "af-xdp-internal.h"
#include "tap-internal.h"
#include "util/fd.h"
#include "util/fdset.h"

/* ---- operations of the netdev ---- */

/* The interface goes on to give frames to a queue whose pair is off: they are
 * not for the driver that turns it on later. */
static bool set_enabled(NetSubqueue *sq, bool on, Error **errp)
{
    if (on && !sq->enabled) {
        af_xdp_io_discard(
            &container_of(sq->nc, AfXdpState, nc)->queue[sq->index]);
    }
    return true;
}

static void close_all(AfXdpState *s, unsigned n) MAIN_THREAD
{
    af_xdp_link_close(s);
    for (unsigned i = 0; i < n; i++) {
        af_xdp_queue_close(&s->queue[i]);
    }
    g_free(g_steal_pointer(&s->queue));
}

static void af_xdp_cleanup(NetClientState *nc) MAIN_THREAD
{
    close_all(container_of(nc, AfXdpState, nc), nc->n_queues);
}

static const NetClientInfo af_xdp_info = {
    .type = NET_CLIENT_DRIVER_AF_XDP,
    .recv = af_xdp_recv,
    .send = af_xdp_send,
    .recv_burst = af_xdp_recv_burst,
    .send_burst = af_xdp_send_burst,
    .set_enabled = set_enabled,
    .cleanup = af_xdp_cleanup,
};

/* ---- options ---- */

static bool check_inhibit(const NetdevAFXDPOptions *o, Error **errp)
{
    bool inhibit = o->has_inhibit && o->inhibit;

    if (inhibit && !o->sock_fds == !o->map_path) {
        error_setg(errp,
                   "inhibit=on needs %s of sock-fds= and map-path=: the "
                   "program that is attached has to lead to our sockets",
                   o->sock_fds ? "only one" : "one");
        return false;
    }
    if (!inhibit && (o->sock_fds || o->map_path)) {
        error_setg(errp, "%s= needs inhibit=on: no program of ours is attached",
                   o->sock_fds ? "sock-fds" : "map-path");
        return false;
    }
    if (inhibit && o->has_mode) {
        error_setg(errp,
                   "mode=%s cannot be used with inhibit=on: no program "
                   "of ours is attached; leave it out",
                   AFXDPMode_str(o->mode));
        return false;
    }
    if (o->has_map_start_index && !o->map_path) {
        error_setg(errp, "map-start-index=%d needs map-path=, the map",
                   o->map_start_index);
        return false;
    }
    return true;
}

static bool check_numbers(const NetdevAFXDPOptions *o, unsigned n, Error **errp)
{
    if (n < 1 || n > NET_MAX_QUEUES) {
        error_setg(errp, "queues=%" PRId64 ": must be 1 to %u",
                   o->has_queues ? o->queues : (int64_t)n, NET_MAX_QUEUES);
        return false;
    }
    if (o->has_start_queue &&
        (o->start_queue < 0 || o->start_queue > UINT16_MAX)) {
        error_setg(errp, "start-queue=%" PRId64 ": must be 0 to %u",
                   o->start_queue, UINT16_MAX);
        return false;
    }
    if (o->has_map_start_index && o->map_start_index < 0) {
        error_setg(errp, "map-start-index=%d: must not be negative",
                   o->map_start_index);
        return false;
    }
    if (o->sock_fds && tap_list_length(o->sock_fds) != n) {
        error_setg(errp,
                   "sock-fds= has %u file descriptors for queues=%u; give one "
                   "for each",
                   tap_list_length(o->sock_fds), n);
        return false;
    }
    return true;
}

static unsigned count_queues(const NetdevAFXDPOptions *o)
{
    if (!o->has_queues) {
        return 1;
    }
    return o->queues > 0 ? (unsigned)MIN(o->queues, UINT16_MAX) : 0;
}

static bool find_interface(const char *ifname, AfXdpSetup *setup, Error **errp)
{
    if (!*ifname || strlen(ifname) >= IFNAMSIZ) {
        error_setg(errp,
                   "ifname=%.32s: the name of an interface has 1 to %d "
                   "characters",
                   ifname, IFNAMSIZ - 1);
        return false;
    }
    setup->ifname = ifname;
    setup->ifindex = (int)if_nametoindex(ifname);
    if (!setup->ifindex) {
        error_setg(errp, "ifname=%s: there is no such interface", ifname);
    }
    return setup->ifindex != 0;
}

/* Not every driver tells how many there are: then the kernel does, later. */
static bool check_range(const AfXdpSetup *setup, Error **errp)
{
    unsigned there = af_xdp_count_queues(setup->ifname);

    if (there && setup->first + setup->n > there) {
        error_setg(errp,
                   "start-queue=%u, queues=%u: interface '%s' has no queue %u, "
                   "its queues are 0..%u",
                   setup->first, setup->n, setup->ifname,
                   MAX(setup->first, there), there - 1);
        return false;
    }
    return true;
}

static bool read_options(const NetdevAFXDPOptions *o, AfXdpSetup *setup,
                         Error **errp)
{
    setup->n = count_queues(o);
    if (!check_inhibit(o, errp) || !check_numbers(o, setup->n, errp) ||
        !find_interface(o->ifname, setup, errp)) {
        return false;
    }
    setup->first = o->has_start_queue ? (unsigned)o->start_queue : 0;
    setup->force_copy = o->has_force_copy && o->force_copy;
    setup->inhibit = o->has_inhibit && o->inhibit;
    setup->map_first =
        o->has_map_start_index ? (uint32_t)o->map_start_index : 0;
    if (o->has_mode) {
        setup->attach_mode = o->mode == AFXDP_MODE_NATIVE ? XDP_FLAGS_DRV_MODE
                                                          : XDP_FLAGS_SKB_MODE;
    }
    return check_range(setup, errp);
}

/* ---- making one ---- */

static void describe(AfXdpState *s, const AfXdpSetup *setup)
{
    const char *mode =
        setup->attach_mode == XDP_FLAGS_DRV_MODE ? "native" : "skb";

    snprintf(
        s->nc.info_str, sizeof(s->nc.info_str), "ifname=%s,start-queue=%u,%s%s",
        s->ifname, setup->first,
        setup->inhibit ? "inhibit=" : "mode=", setup->inhibit ? "on" : mode);
}

/* The queues become the netdev's. */
static bool register_netdev(AfXdpState *s, const char *id,
                            const AfXdpSetup *setup, Error **errp) MAIN_THREAD
{
    if (!net_client_register(&s->nc, &af_xdp_info, id, setup->n, errp)) {
        return false;
    }
    s->nc.vnet_hdr_len = VNET_HDR_V1;
    s->nc.queue_frames = AF_XDP_RX;
    for (unsigned i = 0; i < setup->n; i++) {
        s->nc.queue[i].fd = s->queue[i].wake.fd;
        s->nc.queue[i].room_fd = s->queue[i].wake.room_fd;
    }
    describe(s, setup);
    if (af_xdp_link_watch(s, errp) && net_client_rejoin(&s->nc, errp)) {
        return true;
    }
    net_client_unregister(&s->nc);
    return false;
}

static bool create(const char *id, AfXdpSetup *setup, Error **errp) MAIN_THREAD
{
    AfXdpState *s = g_new0(AfXdpState, 1);
    unsigned i = 0;
    bool ok = true;

    s->ifindex = setup->ifindex;
    s->link_fd = -1;
    s->queue = g_new0(AfXdpQueue, setup->n);
    g_strlcpy(s->ifname, setup->ifname, sizeof(s->ifname));
    while (ok && i < setup->n) {
        af_xdp_queue_init(&s->queue[i], s);
        ok = af_xdp_queue_open(&s->queue[i], setup, i, errp);
        i++;
    }
    if (ok && register_netdev(s, id, setup, errp)) {
        return true;
    }
    for (unsigned k = 0; setup->fds && k < i; k++) {
        s->queue[k].fd = -1; /* stays whose it was */
    }
    close_all(s, i);
    g_free(s);
    return false;
}

static void drop_duplicates(int *fds, const bool *dup, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (dup[i]) {
            fd_close(&fds[i]);
        }
    }
}

/* The sockets that somebody prepared, into @fds; @dup as tap_parse_fds() has
 * it. */
static bool take_sockets(const char *list, int *fds, bool *dup, unsigned n,
                         Error **errp) MAIN_THREAD
{
    int domain = 0;
    socklen_t len = sizeof(domain);
    bool ok = tap_parse_fds(list, "sock-fds", fds, dup, n, errp);

    for (unsigned i = 0; ok && i < n; i++) {
        if (getsockopt(fds[i], SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 ||
            domain != AF_XDP) {
            error_setg(errp,
                       "sock-fds=%s: file descriptor %d is no AF_XDP socket",
                       list, fds[i]);
            drop_duplicates(fds, dup, n);
            return false;
        }
    }
    return ok;
}

bool net_init_af_xdp(const Netdev *netdev, Error **errp)
{
    const NetdevAFXDPOptions *o = &netdev->u.af_xdp;
    AfXdpSetup setup = { .map_fd = -1 };
    int fds[NET_MAX_QUEUES];
    bool dup[NET_MAX_QUEUES], ok;

    if (!read_options(o, &setup, errp)) {
        return false;
    }
    if (o->sock_fds) {
        if (!take_sockets(o->sock_fds, fds, dup, setup.n, errp)) {
            return false;
        }
        setup.fds = fds;
    } else if (o->map_path) {
        setup.map_fd = af_xdp_map_open(o->map_path, errp);
        if (setup.map_fd < 0) {
            return false;
        }
    }
    ok = create(netdev->id, &setup, errp);
    fd_close(&setup.map_fd);
    if (ok) {
        tap_fds_taken(o->sock_fds);
    } else if (o->sock_fds) {
        drop_duplicates(fds, dup, setup.n);
    }
    return ok;
}
