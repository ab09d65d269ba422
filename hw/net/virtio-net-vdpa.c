/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A NIC whose pairs a vDPA device serves. It starts and stops as a whole, and
 * it filters and steers frames by itself: so what the driver says by the
 * control queue, which is ours, is said to the device by its own, and all of it
 * anew at each start.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "hw/virtio/vhost-vdpa.h"

VhostVdpa *virtio_net_vdpa(const VirtIONet *net)
{
    const NetClientState *peer = net->nic.peer;

    return peer && peer->queue ? peer->queue[0].vhost_vdpa : NULL;
}

/* ---- what the device says ---- */

static bool adopt_mac(VirtIONet *net, const uint8_t mac[6], Error **errp)
    MAIN_THREAD
{
    static const uint8_t none[6];
    uint8_t *own = net->conf.mac;

    if (memcmp(mac, none, 6) == 0 || memcmp(mac, own, 6) == 0) {
        return true;
    }
    if (memcmp(own, none, 6) == 0) {
        memcpy(own, mac, 6);
        return true;
    }
    if (!vhost_vdpa_sets_mac(virtio_net_vdpa(net))) {
        error_setg(errp,
                   "mac=%02x:%02x:%02x:%02x:%02x:%02x: the vDPA device has "
                   "%02x:%02x:%02x:%02x:%02x:%02x, and takes no other; leave "
                   "mac= out",
                   own[0], own[1], own[2], own[3], own[4], own[5], mac[0],
                   mac[1], mac[2], mac[3], mac[4], mac[5]);
        return false;
    }
    return true;
}

static bool adopt_mtu(VirtIONet *net, uint16_t mtu, Error **errp) MAIN_THREAD
{
    if (!mtu || net->conf.host_mtu == mtu) {
        return true;
    }
    if (!net->conf.host_mtu && !net->vdev.dev.obj.realized) {
        net->conf.host_mtu = mtu;
        return true;
    }
    if (!net->conf.host_mtu || net->conf.host_mtu > mtu) {
        error_setg(errp, "host_mtu=%u: the vDPA device's MTU is %u",
                   net->conf.host_mtu, mtu);
        return false;
    }
    return true;
}

static bool adopt_ring_size(const VirtIONet *net, const char *name,
                            uint16_t *size, Error **errp) MAIN_THREAD
{
    unsigned max = vhost_vdpa_ring_max(virtio_net_vdpa(net));

    if (*size <= max) {
        return true;
    }
    if (net->vdev.dev.obj.realized || *size > VIRTIO_NET_QUEUE_DEFAULT) {
        error_setg(errp, "%s=%u: the vDPA device's rings have %u at most", name,
                   *size, max);
        return false;
    }
    *size = (uint16_t)max;
    return true;
}

bool virtio_net_vdpa_adopt(VirtIONet *net, Error **errp)
{
    const VhostVdpa *vdpa = virtio_net_vdpa(net);
    VhostVdpaConfig config;

    return !vdpa || (vhost_vdpa_read_config(vdpa, &config, errp) &&
                     adopt_mac(net, config.mac, errp) &&
                     adopt_mtu(net, config.mtu, errp) &&
                     adopt_ring_size(net, "rx_queue_size",
                                     &net->conf.rx_queue_size, errp) &&
                     adopt_ring_size(net, "tx_queue_size",
                                     &net->conf.tx_queue_size, errp));
}

void virtio_net_vdpa_check(VirtIONet *net)
{
    const VhostVdpa *vdpa = virtio_net_vdpa(net);

    if (vdpa && vhost_vdpa_is_broken(vdpa)) {
        virtio_error(&net->vdev, "the vDPA device needs a reset");
    }
}

/* ---- what it is told ---- */

static void tell_mac(const VirtIONet *net, VhostVdpa *vdpa) MAIN_THREAD
{
    if (vhost_vdpa_has(vdpa, VIRTIO_NET_F_CTRL_MAC_ADDR)) {
        vhost_vdpa_command(vdpa, VIRTIO_NET_CTRL_MAC,
                           VIRTIO_NET_CTRL_MAC_ADDR_SET, net->mac, 6);
    }
}

static void tell_flag(VhostVdpa *vdpa, uint8_t mode, bool on) MAIN_THREAD
{
    uint8_t flag = on;

    vhost_vdpa_command(vdpa, VIRTIO_NET_CTRL_RX, mode, &flag, sizeof(flag));
}

static void append_table(uint8_t *data, size_t *len, uint8_t (*entries)[6],
                         unsigned n)
{
    store_le32(data + *len, n);
    memcpy(data + *len + 4, entries, n * 6);
    *len += 4 + n * 6;
}

static void tell_tables(const VirtIONet *net, VhostVdpa *vdpa) MAIN_THREAD
{
    const RxFilter *f = &net->filter_next;
    uint8_t data[2 * (4 + 6 * VIRTIO_NET_MAC_ENTRIES)];
    size_t len = 0;

    G_STATIC_ASSERT(sizeof(data) <= VHOST_VDPA_COMMAND_MAX);
    append_table(data, &len, (uint8_t(*)[6])f->uni, f->n_uni);
    append_table(data, &len, (uint8_t(*)[6])f->multi, f->n_multi);
    vhost_vdpa_command(vdpa, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET,
                       data, len);
}

/* A table that was too long for us stands for all addresses (VIRTIO 1.2,
 * 5.1.6.5.2). */
static void tell_filter(const VirtIONet *net, VhostVdpa *vdpa) MAIN_THREAD
{
    const RxFilter *f = &net->filter_next;
    bool extra = vhost_vdpa_has(vdpa, VIRTIO_NET_F_CTRL_RX_EXTRA);
    bool all_uni = f->all_uni || f->uni_overflow;

    if (!vhost_vdpa_has(vdpa, VIRTIO_NET_F_CTRL_RX)) {
        return;
    }
    tell_tables(net, vdpa);
    tell_flag(vdpa, VIRTIO_NET_CTRL_RX_PROMISC,
              f->promisc || (all_uni && !extra));
    tell_flag(vdpa, VIRTIO_NET_CTRL_RX_ALLMULTI,
              f->all_multi || f->multi_overflow);
    if (extra) {
        tell_flag(vdpa, VIRTIO_NET_CTRL_RX_ALLUNI, all_uni);
        tell_flag(vdpa, VIRTIO_NET_CTRL_RX_NOMULTI, f->no_multi);
        tell_flag(vdpa, VIRTIO_NET_CTRL_RX_NOUNI, f->no_uni);
        tell_flag(vdpa, VIRTIO_NET_CTRL_RX_NOBCAST, f->no_broadcast);
    }
}

static void tell_vlans(const VirtIONet *net, VhostVdpa *vdpa) MAIN_THREAD
{
    for (unsigned id = 0; id < 4096; id++) {
        uint8_t data[2];

        if (net->filter_next.vlans[id / 32] & 1u << id % 32) {
            store_le16(data, (uint16_t)id);
            vhost_vdpa_command(vdpa, VIRTIO_NET_CTRL_VLAN,
                               VIRTIO_NET_CTRL_VLAN_ADD, data, sizeof(data));
        }
    }
}

static void tell_pairs(const VirtIONet *net, VhostVdpa *vdpa) MAIN_THREAD
{
    uint8_t data[2];

    if (vhost_vdpa_has(vdpa, VIRTIO_NET_F_MQ)) {
        store_le16(data, (uint16_t)net->active_pairs);
        vhost_vdpa_command(vdpa, VIRTIO_NET_CTRL_MQ,
                           VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, data, sizeof(data));
    }
}

static void tell_offloads(const VirtIONet *net, VhostVdpa *vdpa) MAIN_THREAD
{
    uint8_t data[8];

    if (vhost_vdpa_has(vdpa, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS)) {
        store_le64(data, net->guest_offloads);
        vhost_vdpa_command(vdpa, VIRTIO_NET_CTRL_GUEST_OFFLOADS,
                           VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET, data,
                           sizeof(data));
    }
}

/* Until told otherwise a device has one pair and all offloads that were
 * negotiated, and lets every frame pass. */
static int tell_all(const VirtIONet *net, VhostVdpa *vdpa) MAIN_THREAD
{
    tell_mac(net, vdpa);
    tell_filter(net, vdpa);
    if (vhost_vdpa_has(vdpa, VIRTIO_NET_F_CTRL_VLAN)) {
        tell_vlans(net, vdpa);
    }
    if (net->guest_offloads != virtio_net_guest_offload_bits(net)) {
        tell_offloads(net, vdpa);
    }
    if (net->active_pairs > 1) {
        tell_pairs(net, vdpa);
    }
    return vhost_vdpa_flush(vdpa);
}

/* ---- commands ---- */

/* Tells the device what the command, which was a good one, has changed. */
static void tell_command(const VirtIONet *net, VhostVdpa *vdpa, uint8_t cls,
                         uint8_t cmd, const uint8_t *data, size_t len)
    MAIN_THREAD
{
    switch (cls) {
    case VIRTIO_NET_CTRL_RX:
        tell_filter(net, vdpa);
        break;
    case VIRTIO_NET_CTRL_MAC:
        if (cmd == VIRTIO_NET_CTRL_MAC_ADDR_SET) {
            tell_mac(net, vdpa);
        } else {
            tell_filter(net, vdpa);
        }
        break;
    case VIRTIO_NET_CTRL_VLAN:
        vhost_vdpa_command(vdpa, cls, cmd, data, len);
        break;
    case VIRTIO_NET_CTRL_MQ:
        tell_pairs(net, vdpa);
        break;
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
        tell_offloads(net, vdpa);
        break;
    }
}

/* What commands that the device is told of change. */
typedef struct Saved {
    RxFilter filter;
    uint8_t mac[6];
    uint64_t offloads;
    unsigned active_pairs;
} Saved;

static void save(const VirtIONet *net, Saved *s) MAIN_THREAD
{
    *s = (Saved){ .filter = net->filter_next,
                  .offloads = net->guest_offloads,
                  .active_pairs = net->active_pairs };
    memcpy(s->mac, net->mac, sizeof(s->mac));
}

/* The device refuses: after an error nothing has changed. */
static void restore(VirtIONet *net, const Saved *s) MAIN_THREAD
{
    memcpy(net->mac, s->mac, sizeof(s->mac));
    net->filter_next = s->filter;
    virtio_net_filter_publish(net);
    net->guest_offloads = s->offloads;
    if (net->active_pairs != s->active_pairs) {
        virtio_net_set_active_pairs(net, s->active_pairs);
    }
}

uint8_t virtio_net_vdpa_command(VirtIONet *net, uint8_t cls, uint8_t cmd,
                                const uint8_t *data, size_t len,
                                GByteArray *reply)
{
    VhostVdpa *vdpa = virtio_net_vdpa(net);
    Saved saved;
    uint8_t ack;

    if (!vdpa || !vhost_vdpa_runs(vdpa)) {
        return virtio_net_ctrl_command(net, cls, cmd, data, len, reply);
    }
    save(net, &saved);
    ack = virtio_net_ctrl_command(net, cls, cmd, data, len, reply);
    if (ack != VIRTIO_NET_OK) {
        return ack;
    }
    tell_command(net, vdpa, cls, cmd, data, len);
    if (vhost_vdpa_flush(vdpa) == 0) {
        return VIRTIO_NET_OK;
    }
    restore(net, &saved);
    if (cls == VIRTIO_NET_CTRL_RX || cls == VIRTIO_NET_CTRL_MAC) {
        /* Of several commands some may have been carried out. */
        tell_filter(net, vdpa);
        vhost_vdpa_flush(vdpa);
    }
    return VIRTIO_NET_ERR;
}

/* ---- start ---- */

/* False: *errp, or, with *@none, there is nothing to be started now. */
static bool start_pairs(VirtIONet *net, bool *none, Error **errp) MAIN_THREAD
{
    unsigned n = virtio_net_usable_pairs(net);

    *none = true;
    for (unsigned i = 0; i < n; i++) {
        if (!virtio_net_pair_try_start(&net->pair[i], errp)) {
            error_prepend(errp, "pair %u: ", i);
            return false;
        }
        *none &= net->pair[i].owner != PAIR_OWNER_VHOST;
    }
    return true;
}

/* Because of @err, which is freed. */
static void start_failed(VirtIONet *net, Error *err) MAIN_THREAD
{
    virtio_net_pairs_stop(net);
    virtio_error(&net->vdev, "vhost-vdpa: %s", err->message);
    g_error_free(err);
}

void virtio_net_vdpa_start(VirtIONet *net)
{
    VhostVdpa *vdpa = virtio_net_vdpa(net);
    Error *err = NULL;
    bool none;

    if (!start_pairs(net, &none, &err) ||
        (!none && !vhost_vdpa_run(vdpa, &err))) {
        start_failed(net, err);
        return;
    }
    if (none) {
        return;
    }
    if (tell_all(net, vdpa) < 0) {
        virtio_net_pairs_stop(net);
        virtio_error(&net->vdev, "vhost-vdpa: the device does not take what "
                                 "the driver has set by its control queue");
        return;
    }
    if (!vhost_vdpa_serve(vdpa, &err)) {
        start_failed(net, err);
    }
}
