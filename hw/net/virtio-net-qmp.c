/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What monitors see of a virtio network device: names of its features, its
 * receive filter, its queue pairs.
 *
 * Counters have one writer, the pair's owner, and are read as they are. All
 * else belongs to the machine lock.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "qapi/qapi-events.h"

/* VIRTIO 1.3, 5.1.3; VHOST_F_LOG_ALL is a vhost's own (linux/vhost.h). */
const VirtIOBitName virtio_net_feature_names[] = {
    { 0, "VIRTIO_NET_F_CSUM: Device completes checksums" },
    { 1, "VIRTIO_NET_F_GUEST_CSUM: Driver completes checksums" },
    { 2, "VIRTIO_NET_F_CTRL_GUEST_OFFLOADS: Receive offloads change while "
         "running" },
    { 3, "VIRTIO_NET_F_MTU: Device tells the MTU" },
    { 5, "VIRTIO_NET_F_MAC: Device has a MAC address" },
    { 6, "VIRTIO_NET_F_GSO: Device takes any segmentation (legacy)" },
    { 7, "VIRTIO_NET_F_GUEST_TSO4: Driver takes large TCP/IPv4 packets" },
    { 8, "VIRTIO_NET_F_GUEST_TSO6: Driver takes large TCP/IPv6 packets" },
    { 9, "VIRTIO_NET_F_GUEST_ECN: Driver takes large TCP packets with ECN" },
    { 10, "VIRTIO_NET_F_GUEST_UFO: Driver takes large UDP packets" },
    { 11, "VIRTIO_NET_F_HOST_TSO4: Device takes large TCP/IPv4 packets" },
    { 12, "VIRTIO_NET_F_HOST_TSO6: Device takes large TCP/IPv6 packets" },
    { 13, "VIRTIO_NET_F_HOST_ECN: Device takes large TCP packets with ECN" },
    { 14, "VIRTIO_NET_F_HOST_UFO: Device takes large UDP packets" },
    { 15, "VIRTIO_NET_F_MRG_RXBUF: A packet may fill several buffers" },
    { 16, "VIRTIO_NET_F_STATUS: Device tells the link's state" },
    { 17, "VIRTIO_NET_F_CTRL_VQ: Control queue" },
    { 18, "VIRTIO_NET_F_CTRL_RX: Receive modes" },
    { 19, "VIRTIO_NET_F_CTRL_VLAN: VLAN filter" },
    { 20, "VIRTIO_NET_F_CTRL_RX_EXTRA: More receive modes" },
    { 21, "VIRTIO_NET_F_GUEST_ANNOUNCE: Driver announces itself on request" },
    { 22, "VIRTIO_NET_F_MQ: Several queue pairs" },
    { 23, "VIRTIO_NET_F_CTRL_MAC_ADDR: MAC address set by command" },
    { 26, "VHOST_F_LOG_ALL: Back-end logs the pages it writes" },
    { 50, "VIRTIO_NET_F_DEVICE_STATS: Driver reads the device's counters" },
    { 52, "VIRTIO_NET_F_VQ_NOTF_COAL: The same for each queue" },
    { 53, "VIRTIO_NET_F_NOTF_COAL: Interrupts are held back and gathered" },
    { 54, "VIRTIO_NET_F_GUEST_USO4: Driver takes UDP/IPv4 segments" },
    { 55, "VIRTIO_NET_F_GUEST_USO6: Driver takes UDP/IPv6 segments" },
    { 56, "VIRTIO_NET_F_HOST_USO: Device takes UDP segments" },
    { 57, "VIRTIO_NET_F_HASH_REPORT: Received packets come with a hash" },
    { 59, "VIRTIO_NET_F_GUEST_HDRLEN: Driver tells exact header lengths" },
    { 60, "VIRTIO_NET_F_RSS: Receive side scaling" },
    { 61, "VIRTIO_NET_F_RSC_EXT: Coalesced segments are described" },
    { 62, "VIRTIO_NET_F_STANDBY: Stands by for another NIC" },
    { 63, "VIRTIO_NET_F_SPEED_DUPLEX: Device tells speed and duplex" },
    { 0, NULL },
};

void virtio_net_queue_owner(VirtIODevice *vdev, unsigned index,
                            VirtIOQueueOwner *owner)
{
    VirtIONet *net = VIRTIO_NET(vdev);
    VirtIONetPair *pair;

    /* Queue 2 is the control queue where the driver took one pair only; pair
     * 1 is nobody's then. */
    if (index / 2 >= net->max_pairs) {
        return;
    }
    pair = &net->pair[index / 2];
    if (pair->owner == PAIR_OWNER_IO) {
        owner->loop = pair->loop;
    } else if (pair->owner == PAIR_OWNER_VHOST &&
               vhost_net_has_ring(pair->vhost, index % 2)) {
        owner->vhost = pair->vhost;
        owner->vhost_ring = index % 2;
    }
}

/* ---- receive filter ---- */

void virtio_net_filter_event(VirtIONet *net)
{
    g_autofree char *path = object_path(OBJECT(net));
    q_obj_NIC_RX_FILTER_CHANGED_arg arg = { .name = net->nic.name,
                                            .path = path };

    if (path && !net->filter_told) {
        net->filter_told = true;
        qapi_event_send_nic_rx_filter_changed(&arg);
    }
}

static RxState rx_state(bool none, bool all)
{
    return none ? RX_STATE_NONE : all ? RX_STATE_ALL : RX_STATE_NORMAL;
}

static char *mac_text(const uint8_t mac[6])
{
    return g_strdup_printf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
                           mac[2], mac[3], mac[4], mac[5]);
}

static void list_macs(const uint8_t (*table)[6], unsigned n, strList *out)
{
    out->n = n;
    out->v = g_new0(char *, n);
    for (unsigned i = 0; i < n; i++) {
        out->v[i] = mac_text(table[i]);
    }
}

static void list_vlans(const RxFilter *f, intList *out)
{
    out->v = g_new0(int64_t, 4096);
    for (unsigned id = 0; id < 4096; id++) {
        if (f->vlans[id / 32] & 1u << id % 32) {
            out->v[out->n++] = id;
        }
    }
}

void virtio_net_query_rx_filter(NetClientState *nc, RxFilterInfo *info)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);
    const RxFilter *f = &net->filter_next;

    *info = (RxFilterInfo){
        .name = g_strdup(nc->name),
        .promiscuous = f->promisc,
        .multicast = rx_state(f->no_multi, f->all_multi),
        .unicast = rx_state(f->no_uni, f->all_uni),
        .vlan = f->vlan_filter ? RX_STATE_NORMAL : RX_STATE_ALL,
        .broadcast_allowed = !f->no_broadcast,
        .multicast_overflow = f->multi_overflow,
        .unicast_overflow = f->uni_overflow,
        .main_mac = mac_text(net->mac),
    };
    list_vlans(f, &info->vlan_table);
    list_macs(f->uni, f->n_uni, &info->unicast_table);
    list_macs(f->multi, f->n_multi, &info->multicast_table);
    net->filter_told = false;
}

/* ---- queue pairs ---- */

NetQueueOwner virtio_net_owner_shown(PairOwner owner)
{
    switch (owner) {
    case PAIR_OWNER_IO:
        return NET_QUEUE_OWNER_IOTHREAD;
    case PAIR_OWNER_VHOST:
        return NET_QUEUE_OWNER_VHOST;
    default:
        return NET_QUEUE_OWNER_MAIN;
    }
}

static NetQueueCoalesce *ring_coalesce(const CoalParams *params)
{
    NetQueueCoalesce *out = g_new0(NetQueueCoalesce, 1);

    out->max_packets = params->max_packets;
    out->max_usecs = params->max_usecs;
    return out;
}

void virtio_net_query_queue(NetClientState *nc, unsigned index,
                            NetQueueInfo *info)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);
    const VirtIONetPair *pair = &net->pair[index];
    const NetSubqueue *sq = pair->backend;
    int tid;

    info->nic = g_strdup(nc->name);
    info->qom_path = object_path(OBJECT(net));
    info->pair = index;
    if (sq) {
        info->netdev = g_strdup(sq->nc->name);
        info->has_fd = sq->fd >= 0;
        info->fd = info->has_fd ? sq->fd : 0;
        info->has_vhost_fd = sq->vhost_fd >= 0;
        info->vhost_fd = info->has_vhost_fd ? sq->vhost_fd : 0;
        info->enabled = sq->enabled;
    }
    info->owner = virtio_net_owner_shown(pair->owner);
    if (pair->owner == PAIR_OWNER_IO) {
        info->iothread = g_strdup(iothread_id(pair->iothread));
    }
    tid = virtio_net_pair_thread_id(pair);
    info->has_thread_id = tid >= 0;
    info->thread_id = info->has_thread_id ? tid : 0;
    info->has_vhost_cpus = pair->has_vhost_cpus;
    info->vhost_cpus = (uint16List){
        .n = pair->vhost_cpus.n,
        .v = g_memdup2(pair->vhost_cpus.cpu,
                       pair->vhost_cpus.n * sizeof(uint16_t)),
    };
    info->has_moving_to =
        pair->owner == PAIR_OWNER_IO && virtio_net_pair_wants_vhost(pair);
    info->moving_to = NET_QUEUE_OWNER_VHOST;
    info->active = index < net->active_pairs;
    info->link = virtio_net_link_shown(net);
    info->rx_stalled = pair->watch[0].stalled;
    info->tx_stalled = pair->watch[1].stalled;
    if (virtio_has_feature(&net->vdev, VIRTIO_NET_F_NOTF_COAL) ||
        virtio_has_feature(&net->vdev, VIRTIO_NET_F_VQ_NOTF_COAL)) {
        info->rx_coalesce = ring_coalesce(&pair->coal_params[0]);
        info->tx_coalesce = ring_coalesce(&pair->coal_params[1]);
    }
    info->stats = virtio_net_pair_stats(pair);
}
