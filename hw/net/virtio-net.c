/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The virtio network device (VIRTIO 1.2, 5.1): what it offers, how it is
 * configured, when its pairs start and stop. No packet passes here.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/virtio_ids.h>

#include "hw/net/virtio-net-internal.h"
#include "system/main-loop.h"
#include "system/machine-lock.h"

#define BIT(n) (1ULL << (n))

/* 5.1.4; the RSS fields are there when they have a meaning */
struct NetConfigLayout {
    uint8_t mac[6];
    le16 status;
    le16 max_virtqueue_pairs;
    le16 mtu;
    le32 speed;
    uint8_t duplex;
    uint8_t rss_max_key_size;
    le16 rss_max_table_length;
    le32 supported_hash_types;
} __attribute__((packed));
typedef struct NetConfigLayout VirtIONetConfig;

#define SPEED_UNKNOWN UINT32_MAX
#define DUPLEX_HALF   0x00
#define DUPLEX_FULL   0x01

/* ---- queues ---- */

static bool has_ctrl(const VirtIONet *net)
{
    return net->conf.features & BIT(VIRTIO_NET_F_CTRL_VQ);
}

VirtQueue *virtio_net_ctrl_vq(VirtIONet *net)
{
    unsigned pairs = virtio_net_usable_pairs(net);

    return virtio_has_feature(&net->vdev, VIRTIO_NET_F_CTRL_VQ)
               ? &net->vdev.vq[2 * pairs]
               : NULL;
}

unsigned virtio_net_usable_pairs(const VirtIONet *net)
{
    return virtio_has_feature(&net->vdev, VIRTIO_NET_F_MQ) ||
                   virtio_has_feature(&net->vdev, VIRTIO_NET_F_RSS)
               ? net->max_pairs
               : 1;
}

/* ---- configuration space ---- */

static void net_get_config(VirtIODevice *vdev, uint8_t *config) MAIN_THREAD
{
    VirtIONet *net = VIRTIO_NET(vdev);
    uint16_t status = virtio_net_link_shown(net) ? VIRTIO_NET_S_LINK_UP : 0;
    VirtIONetConfig c;

    if (net->announce) {
        status |= VIRTIO_NET_S_ANNOUNCE;
    }
    memcpy(c.mac, net->mac, sizeof(c.mac));
    c.status = le16_make(status);
    c.max_virtqueue_pairs = le16_make(net->max_pairs);
    c.mtu = le16_make(net->conf.host_mtu);
    c.speed = le32_make(net->conf.speed >= 0 ? net->conf.speed : SPEED_UNKNOWN);
    c.duplex = net->duplex;
    c.rss_max_key_size = RSS_KEY_MAX;
    c.rss_max_table_length = le16_make(RSS_TABLE_MAX);
    c.supported_hash_types = le32_make(RSS_HASH_TYPES);
    memcpy(config, &c, vdev->config_len);
}

/* Legacy drivers without CTRL_MAC_ADDR write the address here (5.1.4.2). */
static void net_set_config(VirtIODevice *vdev, uint32_t offset, uint32_t value,
                           unsigned size) MAIN_THREAD
{
    VirtIONet *net = VIRTIO_NET(vdev);

    if (!virtio_is_legacy(vdev) ||
        virtio_has_feature(vdev, VIRTIO_NET_F_CTRL_MAC_ADDR)) {
        return;
    }
    for (unsigned i = 0; i < size && offset + i < sizeof(net->mac); i++) {
        net->mac[offset + i] = value >> 8 * i;
    }
    memcpy(net->filter_next.mac, net->mac, sizeof(net->mac));
    virtio_net_filter_publish(net);
}

/* ---- start, stop, reset ---- */

unsigned virtio_net_hdr_len(const VirtIONet *net)
{
    if (virtio_has_feature(&net->vdev, VIRTIO_NET_F_HASH_REPORT)) {
        return sizeof(struct virtio_net_hdr_v1_hash);
    }
    return virtio_has_feature(&net->vdev, VIRTIO_NET_F_MRG_RXBUF) ||
                   !virtio_is_legacy(&net->vdev)
               ? sizeof(struct virtio_net_hdr_v1)
               : sizeof(struct virtio_net_hdr);
}

bool virtio_net_backend_configure(VirtIONet *net, Error **errp)
{
    unsigned hdr_len = virtio_net_hdr_len(net);

    return !net->nic.peer || virtio_net_backend_gone(net) ||
           (net_client_set_vnet_hdr_len(net->nic.peer, hdr_len, errp) &&
            virtio_net_apply_offloads(net, net->guest_offloads, errp));
}

static void net_start(VirtIODevice *vdev) MAIN_THREAD
{
    VirtIONet *net = VIRTIO_NET(vdev);
    Error *err = NULL;

    if (!virtio_net_backend_configure(net, &err)) {
        virtio_error(vdev, "netdev '%s': %s", net->nic.peer->name,
                     err->message);
        g_error_free(err);
    }
    virtio_net_watch_update(net);
    virtio_net_pairs_start(net);
    virtio_net_ctrl_start(net);
}

static void net_stop(VirtIODevice *vdev) MAIN_THREAD
{
    VirtIONet *net = VIRTIO_NET(vdev);

    virtio_net_ctrl_stop(net);
    virtio_net_pairs_stop(net);
    virtio_net_watch_update(net);
}

static void net_virtio_reset(VirtIODevice *vdev) MAIN_THREAD
{
    VirtIONet *net = VIRTIO_NET(vdev);

    memcpy(net->mac, net->conf.mac, sizeof(net->mac));
    net->announce = false;
    net->guest_offloads = 0;
    virtio_net_filter_reset(net);
    virtio_net_coal_reset(net);
    virtio_net_rss_reset(net);
    virtio_net_set_active_pairs(net, 1);
    virtio_net_pairs_reset(net);
    virtio_net_watch_reset(net);
}

static bool is_ctrl_vq(VirtIONet *net, const VirtQueue *vq) MAIN_THREAD
{
    return vq == virtio_net_ctrl_vq(net);
}

static void net_queue_stop(VirtIODevice *vdev, VirtQueue *vq) MAIN_THREAD
{
    VirtIONet *net = VIRTIO_NET(vdev);

    if (is_ctrl_vq(net, vq)) {
        virtio_net_ctrl_stop(net);
        return;
    }
    virtio_net_coal_queue_reset(net, vq);
    virtio_net_watch_queue_reset(net, vq);
    if (virtio_net_vdpa(net)) {
        virtio_net_pairs_stop(net);
        vq->enabled = false;
        virtio_net_pairs_start(net);
    } else if (vq->index / 2 < net->active_pairs) {
        virtio_net_pair_stop(&net->pair[vq->index / 2]);
        /* The other ring goes on alone; the core resets this one next. */
        vq->enabled = false;
        virtio_net_pair_start(&net->pair[vq->index / 2]);
    } else if (vq->index / 2 < net->max_pairs) {
        /* The last queue is nobody's where the driver has no mq. */
        virtio_net_pair_stop(&net->pair[vq->index / 2]);
    }
}

/* After a reset, or an enable, of one ring: its pair goes on with the rings
 * that are enabled. */
static void net_queue_start(VirtIODevice *vdev, VirtQueue *vq) MAIN_THREAD
{
    VirtIONet *net = VIRTIO_NET(vdev);

    if (is_ctrl_vq(net, vq)) {
        virtio_net_ctrl_start(net);
    } else if (virtio_net_vdpa(net)) {
        virtio_net_pairs_stop(net);
        virtio_net_pairs_start(net);
    } else if (vq->index / 2 < net->active_pairs) {
        virtio_net_pair_stop(&net->pair[vq->index / 2]);
        virtio_net_pair_start(&net->pair[vq->index / 2]);
    }
}

/* ---- link ---- */

static void net_link_changed(NetClientState *nc) MAIN_THREAD
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);

    virtio_net_update_link(net);
    virtio_net_vdpa_check(net);
}

static void net_backend_gone(void *opaque)
{
    VirtIONet *net = opaque;

    machine_lock_assert();
    warn_report("%s: the device behind netdev '%s' is gone: link down",
                device_label(&net->vdev.dev),
                net->nic.peer ? net->nic.peer->name : "");
    virtio_net_pairs_stop(net);
    virtio_net_update_link(net);
    if (net->nic.peer) {
        virtio_net_backend_event(net, net->nic.peer->name, false);
    }
}

/* ---- realize ---- */

static const NetClientInfo nic_info = {
    .type = NET_CLIENT_DRIVER_NIC,
    .announce = virtio_net_announce,
    .peer_leave = virtio_net_peer_leave,
    .peer_join = virtio_net_peer_join,
    .peer_ready = virtio_net_peer_ready,
    .peer_resize = virtio_net_peer_resize,
    .peer_rewire = virtio_net_peer_rewire,
    .query_rx_filter = virtio_net_query_rx_filter,
    .query_queue = virtio_net_query_queue,
    .query_subqueue = virtio_net_query_subqueue,
    .set_queue_mapping = virtio_net_set_queue_mapping,
    .set_vhost_affinity = virtio_net_set_vhost_affinity,
    .query_rss = virtio_net_query_rss,
    .set_rate_limit = virtio_net_set_rate_limit,
    .query_rate_limit = virtio_net_query_rate_limit,
};

static bool check_queue_size(const char *name, uint16_t size, Error **errp)
{
    if (size < VIRTIO_NET_QUEUE_MIN || size > VIRTQUEUE_MAX_SIZE ||
        (size & (size - 1))) {
        error_setg(errp, "%s=%u: must be a power of 2 between %u and %u", name,
                   size, VIRTIO_NET_QUEUE_MIN, VIRTQUEUE_MAX_SIZE);
        return false;
    }
    return true;
}

static bool check_duplex(VirtIONet *net, Error **errp)
{
    const char *d = net->conf.duplex;

    if (!d) {
        net->duplex = DUPLEX_UNKNOWN;
    } else if (strcmp(d, "half") == 0) {
        net->duplex = DUPLEX_HALF;
    } else if (strcmp(d, "full") == 0) {
        net->duplex = DUPLEX_FULL;
    } else {
        error_setg(errp, "duplex=%s: must be 'half' or 'full'", d);
        return false;
    }
    return true;
}

static bool check_conf(VirtIONet *net, Error **errp)
{
    const VirtIONetConf *c = &net->conf;

    if (c->host_mtu && c->host_mtu < 68) {
        error_setg(errp, "host_mtu=%u: must be 0 (not offered) or at least 68",
                   c->host_mtu);
        return false;
    }
    if (c->speed < -1) {
        error_setg(errp, "speed=%d: must be Mbit/s, or -1 for unknown",
                   c->speed);
        return false;
    }
    if (c->tx && strcmp(c->tx, "bh") != 0) {
        error_setg(errp, "tx=%s: only 'bh' is available", c->tx);
        return false;
    }
    return check_duplex(net, errp) &&
           check_queue_size("rx_queue_size", c->rx_queue_size, errp) &&
           check_queue_size("tx_queue_size", c->tx_queue_size, errp);
}

/* Finds the netdev and joins it; sets max_pairs. */
static bool connect_netdev(VirtIONet *net, Error **errp) MAIN_THREAD
{
    const char *label = device_label(&net->vdev.dev);
    NetClientState *netdev = NULL;

    net->max_pairs = 1;
    if (net->conf.netdev) {
        netdev = net_client_find(net->conf.netdev);
        if (!netdev || netdev->info->type == NET_CLIENT_DRIVER_NIC) {
            error_setg(errp, "netdev=%s: there is no such -netdev",
                       net->conf.netdev);
            return false;
        }
        if (netdev->n_queues > VIRTIO_NET_MAX_PAIRS) {
            error_setg(errp, "netdev=%s: has %u queues, at most %u are allowed",
                       net->conf.netdev, netdev->n_queues,
                       VIRTIO_NET_MAX_PAIRS);
            return false;
        }
        net->max_pairs = netdev->n_queues;
    }
    if (!net_client_register(&net->nic, &nic_info, label, 0, errp)) {
        return false;
    }
    net->nic.link_changed = net_link_changed;
    net->nic.n_queues = net->max_pairs;
    if (netdev && !net_client_connect(&net->nic, netdev, errp)) {
        net_client_unregister(&net->nic);
        return false;
    }
    return true;
}

static bool init_queues(VirtIONet *net, Error **errp) MAIN_THREAD
{
    unsigned n = 2 * net->max_pairs + (has_ctrl(net) ? 1 : 0);
    g_autofree uint16_t *sizes = g_new(uint16_t, n);

    for (unsigned i = 0; i < 2 * net->max_pairs; i++) {
        sizes[i] = i % 2 ? net->conf.tx_queue_size : net->conf.rx_queue_size;
    }
    if (has_ctrl(net)) {
        sizes[n - 1] = VIRTIO_NET_CTRL_SIZE;
    }
    return virtio_init_queues(&net->vdev, n, sizes, errp);
}

static void init_pairs(VirtIONet *net) MAIN_THREAD
{
    NetClientState *peer = net->nic.peer;

    net->pair = g_new0(VirtIONetPair, net->max_pairs);
    for (unsigned i = 0; i < net->max_pairs; i++) {
        VirtIONetPair *pair = &net->pair[i];

        pair->net = net;
        pair->index = i;
        pair->rx_vq = &net->vdev.vq[2 * i];
        pair->tx_vq = &net->vdev.vq[2 * i + 1];
        pair->backend = peer ? &peer->queue[i] : NULL;
    }
}

/* vhost's features limit what we offer: they are asked for now. A vhost that
 * cannot even be opened is a user's error only where it was insisted on. */
bool virtio_net_prepare_vhost(VirtIONet *net, Error **errp)
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        VirtIONetPair *pair = &net->pair[i];
        Error *err = NULL;

        bool process = pair->backend && pair->backend->vhost_user;

        if (!(pair->want_vhost || process) || pair->shared ||
            virtio_net_vhost_prepare(pair, &err)) {
            continue;
        }
        if (pair->vhost_required || process) {
            error_propagate(errp, err);
            error_prepend(
                errp, "netdev=%s%s: pair %u: ", net->conf.netdev,
                net->nic.peer->caps.vhost_only ? "" : " (vhostforce=on)", i);
            return false;
        }
        if (pair->mapped && net->vdev.dev.obj.realized) {
            error_propagate(errp, err);
            error_prepend(errp, "pair %u is mapped to vhost: ", i);
            return false;
        }
        warn_report("%s: pair %u: %s; user space takes the pair over",
                    device_label(&net->vdev.dev), i, err->message);
        g_error_free(err);
        pair->want_vhost = false;
    }
    net->vdev.features_mask = virtio_net_vhost_features(net, UINT64_MAX);
    return true;
}

static void free_pairs(VirtIONet *net) MAIN_THREAD
{
    virtio_net_pairs_reset(net);
    virtio_net_limit_release(net);
    for (unsigned i = 0; i < net->max_pairs; i++) {
        vhost_net_free(net->pair[i].vhost);
        cpu_list_free(&net->pair[i].vhost_cpus);
    }
    g_clear_pointer(&net->pair, g_free);
}

/* What costs throughput and is easily overlooked. */
static void warn_of_costs(VirtIONet *net) MAIN_THREAD
{
    VirtIODevice *vdev = &net->vdev;
    bool mq = net->conf.features & BIT(VIRTIO_NET_F_MQ);
    unsigned vectors = vdev->transport->n_vectors(vdev->transport_opaque);

    if (!mq && !(net->conf.features & BIT(VIRTIO_NET_F_RSS)) &&
        net->max_pairs > 1) {
        warn_report("%s: netdev '%s' has %u queues but the device uses one: "
                    "add mq=on",
                    device_label(&vdev->dev), net->conf.netdev, net->max_pairs);
    }
    if (mq && net->max_pairs == 1 && net->nic.peer &&
        !net->nic.peer->info->set_queues) {
        warn_report("%s: mq=on: netdev '%s' has one queue, so there is one "
                    "queue pair",
                    device_label(&vdev->dev), net->conf.netdev);
    }
    if (mq && net->max_pairs > 1 && vectors < 2 * net->max_pairs + 2) {
        warn_report("%s: %u interrupt vectors for %u queue pairs: queues "
                    "share interrupts; vectors=%u gives each its own",
                    device_label(&vdev->dev), vectors, net->max_pairs,
                    2 * net->max_pairs + 2);
    }
}

static bool net_virtio_realize(VirtIODevice *vdev, Error **errp) MAIN_THREAD
{
    VirtIONet *net = VIRTIO_NET(vdev);
    static const uint8_t no_mac[6];

    if (!check_conf(net, errp) || !connect_netdev(net, errp)) {
        return false;
    }
    if (!virtio_net_vdpa_adopt(net, errp)) {
        goto unregister;
    }
    vdev->device_id = VIRTIO_ID_NET;
    vdev->config_len = net->conf.features & (BIT(VIRTIO_NET_F_RSS) |
                                             BIT(VIRTIO_NET_F_HASH_REPORT))
                           ? sizeof(VirtIONetConfig)
                           : offsetof(VirtIONetConfig, rss_max_key_size);
    if (!init_queues(net, errp)) {
        goto unregister;
    }
    init_pairs(net);
    if (!virtio_net_mapping_apply(net, errp)) {
        goto free_pairs;
    }
    if (!virtio_net_limit_realize(net, errp) ||
        !virtio_net_prepare_vhost(net, errp) ||
        !virtio_net_rss_prepare(net, errp)) {
        goto release_mapping;
    }
    if (memcmp(net->conf.mac, no_mac, 6) == 0) {
        net_default_mac(net->conf.mac);
    }
    net_mac_claim(net->conf.mac);
    snprintf(net->nic.info_str, sizeof(net->nic.info_str),
             "model=virtio-net-pci,macaddr=%02x:%02x:%02x:%02x:%02x:%02x",
             net->conf.mac[0], net->conf.mac[1], net->conf.mac[2],
             net->conf.mac[3], net->conf.mac[4], net->conf.mac[5]);
    net->link_up = true;
    loop_task_init(&net->gone_task, main_loop(), net_backend_gone, net);
    loop_task_init(&net->rest_task, main_loop(), virtio_net_pairs_rested, net);
    net_virtio_reset(vdev);
    net_link_changed(&net->nic);
    virtio_net_watch_init(net);
    warn_of_costs(net);
    virtio_net_gather_warn(net);
    return true;

release_mapping:
    virtio_net_mapping_release(net);
free_pairs:
    free_pairs(net);
unregister:
    net_client_unregister(&net->nic);
    return false;
}

static void net_virtio_unrealize(VirtIODevice *vdev) MAIN_THREAD
{
    VirtIONet *net = VIRTIO_NET(vdev);

    virtio_net_pairs_stop(net);
    virtio_net_watch_end(net);
    loop_task_cancel(&net->gone_task);
    loop_task_cancel(&net->rest_task);
    virtio_net_rss_release(net);
    virtio_net_mapping_release(net);
    free_pairs(net);
    virtio_net_filter_free(net);
    net_mac_release(net->conf.mac);
    net_client_unregister(&net->nic);
}

static void net_class_init(ObjectClass *klass)
{
    VirtIODeviceClass *vdc = VIRTIO_DEVICE_CLASS(klass);

    vdc->legacy_features = BIT(VIRTIO_NET_F_GSO);
    vdc->virtio_realize = net_virtio_realize;
    vdc->virtio_unrealize = net_virtio_unrealize;
    vdc->get_features = virtio_net_get_features;
    vdc->set_features = virtio_net_set_features;
    vdc->get_config = net_get_config;
    vdc->set_config = net_set_config;
    vdc->start = net_start;
    vdc->stop = net_stop;
    vdc->virtio_reset = net_virtio_reset;
    vdc->queue_stop = net_queue_stop;
    vdc->queue_start = net_queue_start;
    vdc->feature_names = virtio_net_feature_names;
    vdc->queue_owner = virtio_net_queue_owner;
    vdc->fault = virtio_net_fault;
}

#define FEATURE(name, bit, dflt, desc) \
    PROP_BIT64(name, VirtIONet, conf.features, bit, dflt, desc)

#define LIMIT(n, f, desc)                                             \
    {                                                                 \
        .name = (n), .info = &prop_info_rate_limit,                   \
        .offset = offsetof(VirtIONet, conf.f), .description = (desc), \
        .live = true                                                  \
    }

static const Property net_properties[] = {
    PROP_STRING("netdev", VirtIONet, conf.netdev, "id of the netdev behind it"),
    PROP_MACADDR("mac", VirtIONet, conf.mac, "MAC address"),
    FEATURE("mq", VIRTIO_NET_F_MQ, false, "offer all queues of the netdev"),
    FEATURE("csum", VIRTIO_NET_F_CSUM, true, "accept partial checksums"),
    FEATURE("guest_csum", VIRTIO_NET_F_GUEST_CSUM, true,
            "deliver partial checksums"),
    FEATURE("gso", VIRTIO_NET_F_GSO, true, "any segmentation (legacy)"),
    FEATURE("guest_tso4", VIRTIO_NET_F_GUEST_TSO4, true,
            "deliver large TCP/IPv4 packets"),
    FEATURE("guest_tso6", VIRTIO_NET_F_GUEST_TSO6, true,
            "deliver large TCP/IPv6 packets"),
    FEATURE("guest_ecn", VIRTIO_NET_F_GUEST_ECN, true,
            "deliver large TCP packets with ECN"),
    FEATURE("guest_ufo", VIRTIO_NET_F_GUEST_UFO, true,
            "deliver large UDP packets"),
    FEATURE("guest_uso4", VIRTIO_NET_F_GUEST_USO4, true,
            "deliver UDP/IPv4 segments"),
    FEATURE("guest_uso6", VIRTIO_NET_F_GUEST_USO6, true,
            "deliver UDP/IPv6 segments"),
    FEATURE("host_tso4", VIRTIO_NET_F_HOST_TSO4, true,
            "accept large TCP/IPv4 packets"),
    FEATURE("host_tso6", VIRTIO_NET_F_HOST_TSO6, true,
            "accept large TCP/IPv6 packets"),
    FEATURE("host_ecn", VIRTIO_NET_F_HOST_ECN, true,
            "accept large TCP packets with ECN"),
    FEATURE("host_ufo", VIRTIO_NET_F_HOST_UFO, true,
            "accept large UDP packets"),
    FEATURE("host_uso", VIRTIO_NET_F_HOST_USO, true, "accept UDP segments"),
    FEATURE("guest_hdrlen", VIRTIO_NET_F_GUEST_HDRLEN, true,
            "the driver tells exact header lengths"),
    FEATURE("mrg_rxbuf", VIRTIO_NET_F_MRG_RXBUF, true,
            "a packet may take several receive buffers"),
    FEATURE("status", VIRTIO_NET_F_STATUS, true, "link status"),
    FEATURE("ctrl_vq", VIRTIO_NET_F_CTRL_VQ, true, "control queue"),
    FEATURE("ctrl_rx", VIRTIO_NET_F_CTRL_RX, true, "receive modes"),
    FEATURE("ctrl_vlan", VIRTIO_NET_F_CTRL_VLAN, true, "VLAN filter"),
    FEATURE("ctrl_rx_extra", VIRTIO_NET_F_CTRL_RX_EXTRA, true,
            "extra receive modes"),
    FEATURE("ctrl_mac_addr", VIRTIO_NET_F_CTRL_MAC_ADDR, true,
            "set the MAC address by command"),
    FEATURE("ctrl_guest_offloads", VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, true,
            "change offloads while running"),
    FEATURE("guest_announce", VIRTIO_NET_F_GUEST_ANNOUNCE, true,
            "ask the driver to announce itself"),
    FEATURE("notf_coal", VIRTIO_NET_F_NOTF_COAL, true,
            "the driver may let interrupts wait"),
    FEATURE("vq_notf_coal", VIRTIO_NET_F_VQ_NOTF_COAL, true,
            "the same for each queue"),
    FEATURE("device_stats", VIRTIO_NET_F_DEVICE_STATS, true,
            "the driver may read the counters"),
    FEATURE("rss", VIRTIO_NET_F_RSS, false, "receive side scaling"),
    FEATURE("hash", VIRTIO_NET_F_HASH_REPORT, false,
            "tell the hash of received packets"),
    { .name = "ebpf-rss-fds",
      .info = &prop_info_ebpf_fds,
      .offset = offsetof(VirtIONet, conf.ebpf_rss_fds),
      .description = "loaded program of RSS and its maps" },
    PROP_STRING("rss-steering", VirtIONet, conf.rss_steering,
                "who serves RSS: auto, ebpf or user"),
    PROP_BOOL("tx-gather", VirtIONet, conf.tx_gather, false,
              "send UDP datagrams of one flow as one frame"),
    { .name = "stall-timeout",
      .info = &prop_info_stall_timeout,
      .offset = offsetof(VirtIONet, conf.stall_timeout),
      .defval = 5000,
      .description = "milliseconds after which a ring that nobody serves is "
                     "an event, 0: none",
      .live = true },
    PROP_UINT16("rx_queue_size", VirtIONet, conf.rx_queue_size,
                VIRTIO_NET_QUEUE_DEFAULT, "descriptors, power of 2, 256..1024"),
    PROP_UINT16("tx_queue_size", VirtIONet, conf.tx_queue_size,
                VIRTIO_NET_QUEUE_DEFAULT, "descriptors, power of 2, 256..1024"),
    PROP_UINT16("host_mtu", VirtIONet, conf.host_mtu, 0,
                "MTU to tell the driver, 0: none"),
    PROP_INT32("speed", VirtIONet, conf.speed, -1, "Mbit/s, -1: unknown"),
    PROP_STRING("duplex", VirtIONet, conf.duplex, "half or full"),
    { .name = "iothread-vq-mapping",
      .info = &prop_info_queue_mapping,
      .offset = offsetof(VirtIONet, conf.iothread_vq_mapping),
      .description = "iothreads by virtqueue" },
    { .name = "queue-mapping",
      .info = &prop_info_queue_mapping,
      .offset = offsetof(VirtIONet, conf.queue_mapping),
      .description = "owner of each queue pair: vhost or iothread" },
    LIMIT("rx-bytes-per-second", limit[0].rate[RATE_BYTES],
          "most bytes a second to the guest, 0: no limit"),
    LIMIT("rx-packets-per-second", limit[0].rate[RATE_PACKETS],
          "most packets a second to the guest, 0: no limit"),
    LIMIT("rx-burst-bytes", limit[0].burst[RATE_BYTES],
          "bytes that may come at once, 0: what passes in 20 ms"),
    LIMIT("rx-burst-packets", limit[0].burst[RATE_PACKETS],
          "packets that may come at once, 0: what passes in 20 ms"),
    LIMIT("tx-bytes-per-second", limit[1].rate[RATE_BYTES],
          "most bytes a second from the guest, 0: no limit"),
    LIMIT("tx-packets-per-second", limit[1].rate[RATE_PACKETS],
          "most packets a second from the guest, 0: no limit"),
    LIMIT("tx-burst-bytes", limit[1].burst[RATE_BYTES],
          "bytes that may go at once, 0: what passes in 20 ms"),
    LIMIT("tx-burst-packets", limit[1].burst[RATE_PACKETS],
          "packets that may go at once, 0: what passes in 20 ms"),
    PROP_INT32("bootindex", VirtIONet, conf.bootindex, -1,
               "boot order (for a firmware)"),
    PROP_STRING("tx", VirtIONet, conf.tx, "transmit mode, only bh"),
    PROP_UINT32("x-txtimer", VirtIONet, conf.x_txtimer, 150000,
                "accepted and unused: tx=timer is not available"),
    PROP_INT32("x-txburst", VirtIONet, conf.x_txburst, 256,
               "accepted and unused: bursts are sized by the loop"),
    PROP_END,
};

static const TypeInfo net_types[] = {
    {
        .name = TYPE_VIRTIO_NET,
        .parent = TYPE_VIRTIO_DEVICE,
        .instance_size = sizeof(VirtIONet),
        .class_init = net_class_init,
        .properties = net_properties,
    },
};

DEFINE_TYPES(net_types)
