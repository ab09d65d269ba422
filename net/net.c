/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Registry of netdevs and NICs, and who is joined to whom. */
#include "util/osdep.h"

#include "net/filter.h"
#include "net/hub.h"
#include "net/net.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"

/* Both under the machine lock. */
static GPtrArray *clients;      /* of NetClientState, in the order made */
static GHashTable *macs_in_use; /* MACs as guint64: how many have it */

static bool is_nic(const NetClientState *nc)
{
    return nc->info->type == NET_CLIENT_DRIVER_NIC;
}

static NetClientState *client_find(const char *name, bool nic)
{
    for (unsigned i = 0; clients && i < clients->len; i++) {
        NetClientState *nc = g_ptr_array_index(clients, i);

        if (is_nic(nc) == nic && strcmp(nc->name, name) == 0) {
            return nc;
        }
    }
    return NULL;
}

NetClientState *net_client_find(const char *name)
{
    NetClientState *netdev = client_find(name, false);

    return netdev ? netdev : client_find(name, true);
}

NetClientState *net_client_find_nic(const char *name)
{
    return client_find(name, true);
}

void net_client_foreach(void (*func)(NetClientState *, void *), void *opaque)
{
    for (unsigned i = 0; clients && i < clients->len; i++) {
        func(g_ptr_array_index(clients, i), opaque);
    }
}

/* @name, or for a NIC that shares its type's name with others NAME.N. */
static char *free_nic_name(const char *name)
{
    char *own = g_strdup(name);

    for (unsigned i = 1; client_find(own, true); i++) {
        g_free(own);
        own = g_strdup_printf("%s.%u", name, i);
    }
    return own;
}

bool net_client_register(NetClientState *nc, const NetClientInfo *info,
                         const char *name, unsigned n_queues, Error **errp)
{
    machine_lock_assert();
    nc->info = info;
    if (is_nic(nc)) {
        nc->name = free_nic_name(name);
    } else if (client_find(name, false)) {
        g_autofree char *shown = qapi_quote(name);

        error_setg(errp, "Duplicate ID '%s' for netdev; give each its own",
                   shown);
        return false;
    } else {
        nc->name = g_strdup(name);
    }
    nc->n_queues = n_queues;
    /* Room for all: pairs hold pointers to those that there are. */
    nc->queue = n_queues ? g_new0(NetSubqueue, NET_MAX_QUEUES) : NULL;
    for (unsigned i = 0; n_queues && i < NET_MAX_QUEUES; i++) {
        nc->queue[i] = (NetSubqueue){ .nc = nc,
                                      .io = info,
                                      .index = i,
                                      .fd = -1,
                                      .room_fd = -1,
                                      .vhost_fd = -1,
                                      .enabled = i < n_queues };
    }
    if (!clients) {
        clients = g_ptr_array_new();
    }
    g_ptr_array_add(clients, nc);
    return true;
}

void net_client_unregister(NetClientState *nc)
{
    net_client_disconnect(nc);
    net_filters_release(nc);
    g_ptr_array_remove(clients, nc);
    g_clear_pointer(&nc->queue, g_free);
    g_clear_pointer(&nc->name, g_free);
    g_clear_pointer(&nc->lost_peer, g_free);
    nc->n_queues = 0;
}

/* A NIC that had the netdev before may have left queues detached. */
static bool MAIN_THREAD attach_all(NetClientState *netdev, Error **errp)
{
    for (unsigned i = 0; i < netdev->n_queues; i++) {
        if (!netdev->queue[i].enabled &&
            !net_subqueue_set_enabled(&netdev->queue[i], true, errp)) {
            return false;
        }
    }
    return true;
}

bool net_client_connect(NetClientState *nic, NetClientState *netdev,
                        Error **errp)
{
    if (netdev->info->peer_leave) {
        error_setg(errp,
                   "netdev '%s' is a hubport for another netdev; give the NIC "
                   "one without netdev=",
                   netdev->name);
        return false;
    }
    if (netdev->peer) {
        error_setg(errp,
                   "netdev '%s' is in use by '%s' already; "
                   "give each NIC its own netdev",
                   netdev->name, netdev->peer->name);
        return false;
    }
    if (!attach_all(netdev, errp)) {
        return false;
    }
    nic->peer = netdev;
    netdev->peer = nic;
    return true;
}

void net_client_disconnect(NetClientState *nc)
{
    NetClientState *peer = nc->peer;

    if (!peer) {
        return;
    }
    nc->peer = NULL;
    peer->peer = NULL;
    if (peer->link_changed) {
        peer->link_changed(peer);
    }
}

bool net_subqueue_set_enabled(NetSubqueue *sq, bool on, Error **errp)
{
    const NetClientInfo *info = sq->nc->info;

    if (info->set_enabled && !info->set_enabled(sq, on, errp)) {
        return false;
    }
    sq->enabled = on;
    return true;
}

bool net_client_set_offloads(NetClientState *nc, const NetOffloads *offloads,
                             Error **errp)
{
    return !nc->info->set_offloads ||
           nc->info->set_offloads(nc, offloads, errp);
}

bool net_client_set_vnet_hdr_len(NetClientState *nc, unsigned len, Error **errp)
{
    if (nc->info->set_vnet_hdr_len &&
        !nc->info->set_vnet_hdr_len(nc, len, errp)) {
        return false;
    }
    nc->vnet_hdr_len = len;
    return true;
}

NetClientState *netdev_find(const char *id, Error **errp)
{
    NetClientState *nc = client_find(id, false);
    g_autofree char *shown = NULL;

    if (nc) {
        return nc;
    }
    shown = qapi_quote(id);
    if (client_find(id, true)) {
        error_setg(errp, "Device '%s' is not a netdev", shown);
    } else {
        error_set_class(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
                        "Device '%s' not found", shown);
    }
    return NULL;
}

/* Parts @netdev from the NIC that has it, for good. */
static bool MAIN_THREAD leave_nic(NetClientState *netdev, Error **errp)
{
    NetClientState *nic = netdev->peer;

    /* One that itself has the place of a NIC is not asked. */
    if (!nic || netdev->info->peer_leave) {
        return true;
    }
    if (!nic->info->peer_leave) {
        error_setg(errp,
                   "netdev '%s' is in use by '%s'; remove that device first",
                   netdev->name, nic->name);
        return false;
    }
    nic->info->peer_leave(nic);
    nic->lost_peer = g_strdup(netdev->name);
    net_client_disconnect(netdev);
    return true;
}

bool netdev_del(const char *id, Error **errp)
{
    NetClientState *nc = netdev_find(id, errp);

    if (!nc || !leave_nic(nc, errp)) {
        return false;
    }
    net_filters_delete(nc);
    if (nc->info->cleanup) {
        nc->info->cleanup(nc);
    }
    net_client_unregister(nc);
    g_free(nc); /* the first member of what the back-end allocated */
    return true;
}

bool netdev_set_queues(const char *id, const NetQueuesChange *change,
                       Error **errp)
{
    NetClientState *nc = netdev_find(id, errp);
    const NetClientState *nic = nc ? nc->peer : NULL;
    unsigned max = nic ? nic->n_queues : NET_MAX_QUEUES;

    if (!nc) {
        return false;
    }
    if (change->n < 1 || change->n > max) {
        g_autofree char *why =
            nic ? g_strdup_printf(", the queue pairs of NIC '%s'", nic->name)
                : g_strdup("");

        error_setg(errp, "netdev '%s': queues=%u: must be 1 to %u%s", id,
                   change->n, max, why);
        return false;
    }
    if (!nc->info->set_queues || (nic && !nic->info->peer_resize)) {
        error_setg(errp, "netdev '%s': its number of queues cannot change", id);
        return false;
    }
    if (!nc->info->set_queues(nc, change, errp)) {
        return false;
    }
    net_filters_queues_changed(nc);
    return true;
}

static NetClientState *MAIN_THREAD nic_that_lost(const char *id)
{
    for (unsigned i = 0; i < clients->len; i++) {
        NetClientState *nc = g_ptr_array_index(clients, i);

        if (g_strcmp0(nc->lost_peer, id) == 0) {
            return nc;
        }
    }
    return NULL;
}

bool net_client_rejoin(NetClientState *netdev, Error **errp)
{
    NetClientState *nic = nic_that_lost(netdev->name);
    char *lost;

    if (!nic) {
        return true;
    }
    if (!net_client_connect(nic, netdev, errp)) {
        return false;
    }
    lost = g_steal_pointer(&nic->lost_peer);
    if (!nic->info->peer_join(nic, errp)) {
        nic->peer = netdev->peer = NULL;
        nic->lost_peer = lost;
        return false;
    }
    g_free(lost);
    return true;
}

/* ---- link ---- */

static void MAIN_THREAD set_link(NetClientState *nc, bool up)
{
    nc->link_down = !up;
    if (nc->link_changed) {
        nc->link_changed(nc);
    }
}

bool net_set_link(const char *name, bool up, Error **errp)
{
    NetClientState *netdev = client_find(name, false);
    NetClientState *nic = client_find(name, true);

    if (!netdev && !nic) {
        g_autofree char *shown = qapi_quote(name);

        error_set_class(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
                        "Device '%s' not found", shown);
        return false;
    }
    if (netdev) {
        set_link(netdev, up);
        if (netdev->peer) {
            set_link(netdev->peer, up);
        }
    }
    if (nic) {
        set_link(nic, up);
    }
    return true;
}

void net_cleanup(void)
{
    net_hubs_cleanup();
    for (unsigned i = clients ? clients->len : 0; i-- > 0;) {
        NetClientState *nc = g_ptr_array_index(clients, i);

        if (nc->info->cleanup) {
            nc->info->cleanup(nc);
        }
    }
}

static void warn_without_peer(NetClientState *nc, void *opaque)
{
    if (!nc->peer) {
        warn_report("%s %s has no peer", is_nic(nc) ? "nic" : "netdev",
                    nc->name);
    }
}

void net_check_clients(void)
{
    net_client_foreach(warn_without_peer, NULL);
    net_hubs_check();
}

/* ---- MAC addresses ---- */

#define DEFAULT_MAC 0x525400123456ULL

static uint64_t mac_number(const uint8_t mac[6])
{
    uint64_t n = 0;

    for (unsigned i = 0; i < 6; i++) {
        n = n << 8 | mac[i];
    }
    return n;
}

static guint mac_users(uint64_t n)
{
    return macs_in_use ? GPOINTER_TO_UINT(g_hash_table_lookup(macs_in_use, &n))
                       : 0;
}

void net_default_mac(uint8_t mac[6])
{
    uint64_t n = DEFAULT_MAC;

    while (mac_users(n)) {
        n++;
    }
    for (unsigned i = 0; i < 6; i++) {
        mac[i] = n >> (40 - 8 * i) & 0xff;
    }
}

void net_mac_claim(const uint8_t mac[6])
{
    guint64 *n = g_new(guint64, 1);

    *n = mac_number(mac);
    if (!macs_in_use) {
        macs_in_use =
            g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    }
    g_hash_table_replace(macs_in_use, n, GUINT_TO_POINTER(mac_users(*n) + 1));
}

void net_mac_release(const uint8_t mac[6])
{
    uint64_t n = mac_number(mac);
    guint users = mac_users(n);
    guint64 *key;

    if (users > 1) {
        key = g_new(guint64, 1);
        *key = n;
        g_hash_table_replace(macs_in_use, key, GUINT_TO_POINTER(users - 1));
    } else if (users) {
        g_hash_table_remove(macs_in_use, &n);
    }
}
