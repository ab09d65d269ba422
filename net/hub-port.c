/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev hubport: a port of a hub, for a NIC or with another netdev.
 *
 * To a NIC's pair a port is a back-end like others, whose frames come and go by
 * two queues. With netdev= the port has the place of a NIC at that netdev.
 *
 * Threads: recv and send by the pair's owner; the rest under the machine lock.
 */
#include "util/osdep.h"

#include "hub-internal.h"
#include "net/clients.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"
#include "util/iov.h"

/* ---- a NIC's side ---- */

static ssize_t hub_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    HubPort *port = container_of(sq->nc, HubPort, nc);
    unsigned hdr_len = sq->nc->vnet_hdr_len;
    ssize_t len;

    if (iov_size(iov, n) <= hdr_len) {
        return -EINVAL;
    }
    len = net_frame_queue_get(port->to_nic, iov, n, hdr_len);
    if (len <= 0) {
        return 0;
    }
    net_bare_header(iov, n, hdr_len);
    return MIN(len + (ssize_t)hdr_len, (ssize_t)iov_size(iov, n));
}

static ssize_t hub_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    HubPort *port = container_of(sq->nc, HubPort, nc);
    unsigned hdr_len = sq->nc->vnet_hdr_len;
    size_t len = iov_size(iov, n);

    if (len <= hdr_len || len - hdr_len > HUB_FRAME_MAX) {
        return -EMSGSIZE;
    }
    if (net_frame_queue_put(port->from_nic, iov, n, hdr_len)) {
        return (ssize_t)len;
    }
    net_wake_room_clear(&port->wake);
    if (!net_frame_queue_put(port->from_nic, iov, n, hdr_len)) {
        return 0;
    }
    /* The signal may have been another pair's. */
    net_wake_room(&port->wake);
    return (ssize_t)len;
}

/* A driver starts: from now on somebody takes frames. */
static bool hub_set_vnet_hdr_len(NetClientState *nc, unsigned len, Error **errp)
{
    HubPort *port = container_of(nc, HubPort, nc);

    __atomic_store_n(&port->attended, true, __ATOMIC_RELAXED);
    return true;
}

/* ---- both ---- */

/* The port's, or that of a netdev behind it, which the port's follows. */
static void MAIN_THREAD hub_link_changed(NetClientState *nc)
{
    HubPort *port = container_of(nc, HubPort, nc);

    __atomic_store_n(&port->up, !nc->link_down, __ATOMIC_RELAXED);
    if (!nc->peer && port->to_nic) {
        __atomic_store_n(&port->attended, false, __ATOMIC_RELAXED);
        net_frame_queue_clear(port->to_nic);
    }
}

static void free_queues(HubPort *port)
{
    g_clear_pointer(&port->to_nic, net_frame_queue_free);
    g_clear_pointer(&port->from_nic, net_frame_queue_free);
    net_wake_free(&port->wake);
    net_wake_free(&port->from_wake);
}

static void hub_cleanup(NetClientState *nc) MAIN_THREAD
{
    HubPort *port = container_of(nc, HubPort, nc);

    if (!port->hub) {
        return;
    }
    hub_port_leave(port);
    free_queues(port);
    g_ptr_array_remove(port->hub->ports, port);
    net_hub_put(port->hub, nc->name);
    g_clear_pointer(&port->netdev, g_free);
    port->hub = NULL;
}

/* ---- at a netdev ---- */

/* Can a hub have @netdev? */
static bool check_netdev(const NetClientState *netdev, Error **errp) MAIN_THREAD
{
    if (netdev->info->type == NET_CLIENT_DRIVER_HUBPORT) {
        error_setg(errp,
                   "netdev=%s: is a hubport itself; give both ports the same "
                   "hubid",
                   netdev->name);
    } else if (netdev->n_queues > 1) {
        error_setg(errp,
                   "netdev=%s: has %u queues, a hub serves one; use queues=1",
                   netdev->name, netdev->n_queues);
    } else if (!netdev->info->recv || !netdev->info->send ||
               netdev->queue[0].vhost_user) {
        error_setg(errp,
                   "netdev=%s: type %s moves frames between other programs "
                   "and the guest's memory, which a hub has not; use a NIC",
                   netdev->name, NetClientDriver_str(netdev->info->type));
    } else {
        return true;
    }
    return false;
}

/* Begins to use nc->peer, which is such a one. */
static bool take_peer(HubPort *port, Error **errp) MAIN_THREAD
{
    static const NetOffloads none;
    NetClientState *netdev = port->nc.peer;

    if (!check_netdev(netdev, errp) ||
        !net_client_set_vnet_hdr_len(netdev, VNET_HDR_V1, errp) ||
        !net_client_set_offloads(netdev, &none, errp)) {
        return false;
    }
    __atomic_store_n(&port->up, !port->nc.link_down && !netdev->link_down,
                     __ATOMIC_RELAXED);
    hub_port_join(port, &netdev->queue[0]);
    return true;
}

static void hub_peer_leave(NetClientState *nc) MAIN_THREAD
{
    hub_port_leave(container_of(nc, HubPort, nc));
}

static bool hub_peer_join(NetClientState *nc, Error **errp) MAIN_THREAD
{
    return take_peer(container_of(nc, HubPort, nc), errp);
}

static void hub_peer_rewire(NetClientState *nc, const NetRewire *rewire)
    MAIN_THREAD
{
    HubPort *port = container_of(nc, HubPort, nc);

    hub_port_pause(port);
    rewire->act(rewire->opaque);
    hub_port_resume(port, rewire->sq);
}

static const NetClientInfo nic_port_info = {
    .type = NET_CLIENT_DRIVER_HUBPORT,
    .recv = hub_recv,
    .send = hub_send,
    .set_vnet_hdr_len = hub_set_vnet_hdr_len,
    .cleanup = hub_cleanup,
};

static const NetClientInfo netdev_port_info = {
    .type = NET_CLIENT_DRIVER_HUBPORT,
    .cleanup = hub_cleanup,
    .peer_leave = hub_peer_leave,
    .peer_join = hub_peer_join,
    .peer_rewire = hub_peer_rewire,
};

bool net_hub_has(const NetClientState *nc)
{
    return nc->info->type == NET_CLIENT_DRIVER_HUBPORT ||
           (nc->peer && nc->peer->info == &netdev_port_info);
}

/* ---- making one ---- */

static bool open_queues(HubPort *port, Error **errp)
{
    if (!net_wake_init(&port->wake, errp)) {
        return false;
    }
    if (!net_wake_init(&port->from_wake, errp)) {
        net_wake_free(&port->wake);
        return false;
    }
    port->to_nic =
        net_frame_queue_new(HUB_QUEUE, HUB_QUEUE_BYTES, &port->wake, NULL);
    port->from_nic = net_frame_queue_new(HUB_QUEUE, HUB_QUEUE_BYTES,
                                         &port->from_wake, &port->wake);
    return true;
}

/* The netdev that the port is to have. */
static NetClientState *MAIN_THREAD find_netdev(const char *id, Error **errp)
{
    NetClientState *netdev = net_client_find(id);

    if (!netdev || netdev->info->type == NET_CLIENT_DRIVER_NIC) {
        g_autofree char *shown = qapi_quote(id);

        error_setg(errp,
                   "netdev=%s: there is no such netdev; -netdev TYPE,id=... "
                   "before this one makes it",
                   shown);
        return NULL;
    }
    return check_netdev(netdev, errp) ? netdev : NULL;
}

static bool register_port(HubPort *port, const char *id, Error **errp)
    MAIN_THREAD
{
    if (!net_client_register(&port->nc,
                             port->netdev ? &netdev_port_info : &nic_port_info,
                             id, 1, errp)) {
        return false;
    }
    port->nc.vnet_hdr_len = VNET_HDR_V1;
    port->nc.queue_frames = HUB_QUEUE;
    port->nc.link_changed = hub_link_changed;
    snprintf(port->nc.info_str, sizeof(port->nc.info_str), "hubid=%d",
             port->hub->id);
    g_ptr_array_add(port->hub->ports, port);
    return true;
}

/* Puts the port to work: at @netdev, or for a NIC (NULL), which may wait for
 * it. */
static bool start_port(HubPort *port, NetClientState *netdev, Error **errp)
    MAIN_THREAD
{
    if (netdev) {
        return net_client_connect(&port->nc, netdev, errp) &&
               take_peer(port, errp);
    }
    port->nc.queue[0].fd = port->wake.fd;
    port->nc.queue[0].room_fd = port->wake.room_fd;
    hub_port_join(port, NULL);
    return net_client_rejoin(&port->nc, errp);
}

bool net_init_hubport(const Netdev *config, Error **errp)
{
    const NetdevHubPortOptions *o = &config->u.hubport;
    NetClientState *netdev = o->netdev ? find_netdev(o->netdev, errp) : NULL;
    HubPort *port;

    if (o->netdev && !netdev) {
        return false;
    }
    port = g_new0(HubPort, 1);
    port->up = true;
    port->netdev = g_strdup(o->netdev);
    port->wake = port->from_wake = (NetWake){ -1, -1, -1, -1 };
    port->hub = net_hub_get(o->hubid, config->id, errp);
    if (!port->hub) {
        goto free_port;
    }
    if (!netdev && !open_queues(port, errp)) {
        goto put_hub;
    }
    if (!register_port(port, config->id, errp)) {
        goto close_queues;
    }
    if (start_port(port, netdev, errp)) {
        return true;
    }
    hub_cleanup(&port->nc);
    net_client_unregister(&port->nc);
    g_free(port);
    return false;

close_queues:
    free_queues(port);
put_hub:
    net_hub_put(port->hub, config->id);
free_port:
    g_free(port->netdev);
    g_free(port);
    return false;
}
