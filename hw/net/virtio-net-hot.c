/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A netdev that is deleted under the device, and comes back; and
 * announcements.
 *
 * Between the two the device is there, its driver sees the link down, and its
 * rings stay as they are: the same pairs go on with them, with the same
 * owners, once there is a netdev of the same id again. What the driver has
 * negotiated stands; a netdev that cannot serve it is refused.
 *
 * Threads: under the machine lock, but for what a loop is asked to send.
 */
#include "util/osdep.h"

#include <arpa/inet.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>

#include "hw/net/virtio-net-internal.h"
#include "qapi/qapi-events.h"
#include "system/machine-lock.h"

void virtio_net_backend_event(VirtIONet *net, const char *id, bool present)
{
    g_autofree char *path = object_path(OBJECT(net));
    q_obj_NETDEV_BACKEND_CHANGED_arg arg = { .netdev = (char *)id,
                                             .nic = net->nic.name,
                                             .qom_path = path,
                                             .present = present };

    if (path) {
        qapi_event_send_netdev_backend_changed(&arg);
    }
}

/* ---- the netdev leaves ---- */

static void unbind_pairs(VirtIONet *net) MAIN_THREAD
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        VirtIONetPair *pair = &net->pair[i];

        vhost_net_free(pair->vhost);
        pair->vhost = NULL;
        pair->backend = NULL;
        pair->shared = pair->failed = pair->vhost_required = false;
    }
}

void virtio_net_peer_leave(NetClientState *nc)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);

    virtio_net_pairs_stop(net);
    loop_task_cancel(&net->gone_task);
    loop_task_cancel(&net->rest_task);
    __atomic_store_n(&net->backend_gone, false, __ATOMIC_RELAXED);
    unbind_pairs(net);
    virtio_net_watch_update(net);
}

/* ---- and comes back ---- */

char *virtio_net_feature_list(uint64_t features)
{
    const VirtIOBitName *names[] = { virtio_net_feature_names,
                                     virtio_transport_feature_names };
    g_autoptr(GString) list = g_string_new(NULL);

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        for (const VirtIOBitName *name = names[i]; name->text; name++) {
            if (features & 1ULL << name->bit) {
                g_string_append_printf(list, "%s%.*s", list->len ? ", " : "",
                                       (int)strcspn(name->text, ":"),
                                       name->text);
            }
        }
    }
    return g_string_free(g_steal_pointer(&list), FALSE);
}

/* Can the netdev serve what the driver has chosen? */
static bool check_features(VirtIONet *net, Error **errp) MAIN_THREAD
{
    const NetClientState *peer = net->nic.peer;
    uint64_t used = net->vdev.guest_features;
    uint64_t lost =
        used & net->conf.features & ~virtio_net_features_with(net, peer);
    g_autofree char *names = virtio_net_feature_list(lost);

    if (lost) {
        error_setg(errp,
                   "NIC '%s', which lost this netdev, cannot have it again: "
                   "its driver uses %s; %s, or reset the guest first",
                   net->nic.name, names,
                   peer->caps.vnet_hdr ? "use a tap of a kernel that has them"
                                       : "use a tap with vnet_hdr=on");
    }
    return !lost;
}

static bool check_mapping(VirtIONet *net, Error **errp) MAIN_THREAD
{
    const NetClientState *peer = net->nic.peer;

    if (peer->caps.vhost_only && peer->n_queues < net->max_pairs) {
        error_setg(errp,
                   "NIC '%s', which lost this netdev, cannot have it again: it "
                   "has %u queue pairs; use queues=%u",
                   net->nic.name, net->max_pairs, net->max_pairs);
        return false;
    }
    for (unsigned i = 0; i < MIN(net->max_pairs, peer->n_queues); i++) {
        const VirtIONetPair *pair = &net->pair[i];

        if (peer->caps.vhost_only && !peer->caps.vhost_shadow && pair->mapped &&
            !pair->want_vhost) {
            error_setg(errp,
                       "NIC '%s', which lost this netdev, cannot have it "
                       "again: pair %u is mapped to an iothread, and only the "
                       "device behind it can serve it",
                       net->nic.name, i);
            return false;
        }
        if (pair->mapped && pair->want_vhost &&
            !net_subqueue_has_vhost(&peer->queue[i])) {
            error_setg(errp,
                       "NIC '%s', which lost this netdev, cannot have it "
                       "again: pair %u is mapped to vhost; use vhost=on",
                       net->nic.name, i);
            return false;
        }
    }
    return true;
}

/* Must a pair be on vhost-net, by its mapping or by vhostforce? */
static bool vhost_insisted(const VirtIONet *net)
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        const VirtIONetPair *pair = &net->pair[i];

        if ((pair->want_vhost && (pair->mapped || pair->vhost_required)) ||
            (pair->backend && pair->backend->vhost_user)) {
            return true;
        }
    }
    return false;
}

/*
 * What the driver uses and vhost-net cannot do keeps the pairs in user space;
 * where they may not stay there, the netdev is refused. The vhost devices are
 * open, and the mask of features is theirs.
 */
static bool settle_vhost(VirtIONet *net, Error **errp) MAIN_THREAD
{
    uint64_t lost = net->vdev.guest_features & ~net->vdev.features_mask;

    if (!lost && !virtio_net_needs_user_space(net)) {
        return true;
    }
    if (vhost_insisted(net)) {
        g_autofree char *names = virtio_net_feature_list(lost);
        bool user = net->nic.peer->caps.vhost_only;

        error_setg(errp,
                   "NIC '%s', which lost this netdev, cannot have it again: "
                   "%s cannot do what it is set to or its driver uses"
                   "%s%s; %s",
                   net->nic.name, user ? "its back-end" : "vhost-net",
                   lost ? ": " : "", names,
                   user ? "reset the guest first" : "use vhost=off");
        return false;
    }
    for (unsigned i = 0; i < net->max_pairs; i++) {
        net->pair[i].want_vhost = false;
        vhost_net_free(g_steal_pointer(&net->pair[i].vhost));
    }
    net->vdev.features_mask = UINT64_MAX;
    return true;
}

/* Pairs beyond the netdev's queues send through those that there are, in turn;
 * so each flow of the driver's keeps its order. */
static void bind_pairs(VirtIONet *net) MAIN_THREAD
{
    NetClientState *peer = net->nic.peer;

    for (unsigned i = 0; i < net->max_pairs; i++) {
        VirtIONetPair *pair = &net->pair[i];

        pair->backend = &peer->queue[i % peer->n_queues];
        pair->shared = i >= peer->n_queues;
        pair->vhost_required = peer->caps.vhost_force;
        if (!pair->mapped) {
            pair->want_vhost = net_subqueue_has_vhost(pair->backend);
        }
    }
}

/* The kernel steers no frame to queues that no pair reads. */
static void detach_surplus(VirtIONet *net) MAIN_THREAD
{
    NetClientState *peer = net->nic.peer;

    for (unsigned i = net->max_pairs; i < peer->n_queues; i++) {
        Error *err = NULL;

        if (!net_subqueue_set_enabled(&peer->queue[i], false, &err)) {
            warn_report("%s: queue %u of netdev '%s': %s",
                        device_label(&net->vdev.dev), i, peer->name,
                        err->message);
            g_error_free(err);
        }
    }
}

bool virtio_net_peer_join(NetClientState *nc, Error **errp)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);
    uint64_t mask = net->vdev.features_mask;

    if (!check_features(net, errp) || !check_mapping(net, errp)) {
        return false;
    }
    if (!virtio_net_vdpa_adopt(net, errp)) {
        error_prepend(errp,
                      "NIC '%s', which lost this netdev, cannot have it "
                      "again: ",
                      net->nic.name);
        return false;
    }
    bind_pairs(net);
    if ((net->limited && !virtio_net_limit_check_vhost(net, false, errp)) ||
        !virtio_net_prepare_vhost(net, errp) || !settle_vhost(net, errp) ||
        (net->vdev.started && !virtio_net_backend_configure(net, errp)) ||
        !virtio_net_rss_rejoin(net, errp)) {
        unbind_pairs(net);
        net->vdev.features_mask = mask;
        return false;
    }
    if (!net->vdev.features_final) {
        virtio_offer_features(&net->vdev);
    }
    detach_surplus(net);
    virtio_net_rss_rebound(net);
    /* Before the pairs start: where they go depends on the link. */
    virtio_net_update_link(net);
    virtio_net_set_active_pairs(net, net->active_pairs);
    virtio_net_watch_update(net);
    virtio_net_backend_event(net, nc->peer->name, true);
    virtio_net_gather_warn(net);
    return true;
}

/* ---- announcements ---- */

/* A broadcast by which switches learn where the sender's address is: a request
 * of RFC 903, padded to the least length of a frame. */
typedef struct RarpFrame {
    struct ether_header eth;
    struct ether_arp arp;
    uint8_t
        pad[ETH_ZLEN - sizeof(struct ether_header) - sizeof(struct ether_arp)];
} __attribute__((packed)) RarpFrame;

static void rarp_fill(RarpFrame *f, const uint8_t mac[6])
{
    *f = (RarpFrame){
        .eth.ether_type = htons(ETHERTYPE_REVARP),
        .arp.ea_hdr = { .ar_hrd = htons(ARPHRD_ETHER),
                        .ar_pro = htons(ETHERTYPE_IP),
                        .ar_hln = ETH_ALEN,
                        .ar_pln = 4,
                        .ar_op = htons(ARPOP_RREQUEST) },
    };
    memset(f->eth.ether_dhost, 0xff, ETH_ALEN);
    memcpy(f->eth.ether_shost, mac, ETH_ALEN);
    memcpy(f->arp.arp_sha, mac, ETH_ALEN);
    memcpy(f->arp.arp_tha, mac, ETH_ALEN);
}

typedef struct RarpCall {
    NetSubqueue *sq;
    RarpFrame frame;
} RarpCall;

/* By the owner of the pair. A frame that finds no room is lost, as any may
 * be; the next round comes. */
static void rarp_send(void *opaque)
{
    static const uint8_t no_header[64];
    RarpCall *call = opaque;
    struct iovec iov[] = {
        { (void *)no_header, call->sq->nc->vnet_hdr_len },
        { &call->frame, sizeof(call->frame) },
    };

    call->sq->io->send(call->sq, iov, ARRAY_SIZE(iov));
}

static void send_rarp(VirtIONet *net) MAIN_THREAD
{
    VirtIONetPair *pair = &net->pair[0];
    RarpCall call = { .sq = pair->backend };

    if (!call.sq || !call.sq->enabled || !net->link_up) {
        return;
    }
    rarp_fill(&call.frame, net->mac);
    if (pair->owner == PAIR_OWNER_IO) {
        event_loop_call(pair->loop, rarp_send, &call);
    } else {
        rarp_send(&call);
    }
}

void virtio_net_announce(NetClientState *nc)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);

    send_rarp(net);
    /* Until the driver's acknowledgement the status says so (5.1.6.5.4). */
    if (net->vdev.started &&
        virtio_has_feature(&net->vdev, VIRTIO_NET_F_GUEST_ANNOUNCE)) {
        net->announce = true;
        virtio_notify_config(&net->vdev);
    }
}
