/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which features the device offers and which it lets a driver have (VIRTIO
 * 1.2, 5.1.3): what the properties say, as far as the back-end goes along.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"

#define BIT(n) (1ULL << (n))

#define GUEST_OFFLOADS                                             \
    (BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | \
     BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) |  \
     BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_GUEST_USO4) |  \
     BIT(VIRTIO_NET_F_GUEST_USO6))
#define HOST_OFFLOADS                                            \
    (BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GSO) |            \
     BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | \
     BIT(VIRTIO_NET_F_HOST_ECN) | BIT(VIRTIO_NET_F_HOST_UFO) |   \
     BIT(VIRTIO_NET_F_HOST_USO) | BIT(VIRTIO_NET_F_GUEST_HDRLEN))
#define UFO_FEATURES (BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_HOST_UFO))
#define USO_FEATURES                                               \
    (BIT(VIRTIO_NET_F_GUEST_USO4) | BIT(VIRTIO_NET_F_GUEST_USO6) | \
     BIT(VIRTIO_NET_F_HOST_USO))
/* What makes sense only with a control queue (5.1.3.1). */
#define CTRL_FEATURES                                                    \
    (BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_VLAN) |           \
     BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | \
     BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |                             \
     BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) | BIT(VIRTIO_NET_F_MQ) |           \
     BIT(VIRTIO_NET_F_NOTF_COAL) | BIT(VIRTIO_NET_F_VQ_NOTF_COAL) |      \
     BIT(VIRTIO_NET_F_DEVICE_STATS) | BIT(VIRTIO_NET_F_RSS) |            \
     BIT(VIRTIO_NET_F_HASH_REPORT))

uint64_t virtio_net_guest_offload_bits(const VirtIONet *net)
{
    return net->vdev.guest_features & GUEST_OFFLOADS;
}

/* Dependencies of 5.1.3.1, each behind those of what it needs. */
static const struct {
    unsigned bit;
    uint64_t needs_one_of;
} feature_rules[] = {
    { VIRTIO_NET_F_GUEST_TSO4, BIT(VIRTIO_NET_F_GUEST_CSUM) },
    { VIRTIO_NET_F_GUEST_TSO6, BIT(VIRTIO_NET_F_GUEST_CSUM) },
    { VIRTIO_NET_F_GUEST_UFO, BIT(VIRTIO_NET_F_GUEST_CSUM) },
    { VIRTIO_NET_F_GUEST_USO4, BIT(VIRTIO_NET_F_GUEST_CSUM) },
    { VIRTIO_NET_F_GUEST_USO6, BIT(VIRTIO_NET_F_GUEST_CSUM) },
    { VIRTIO_NET_F_GUEST_ECN,
      BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6) },
    { VIRTIO_NET_F_HOST_TSO4, BIT(VIRTIO_NET_F_CSUM) },
    { VIRTIO_NET_F_HOST_TSO6, BIT(VIRTIO_NET_F_CSUM) },
    { VIRTIO_NET_F_HOST_UFO, BIT(VIRTIO_NET_F_CSUM) },
    { VIRTIO_NET_F_HOST_USO, BIT(VIRTIO_NET_F_CSUM) },
    { VIRTIO_NET_F_HOST_ECN,
      BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) },
    { VIRTIO_NET_F_CTRL_RX, BIT(VIRTIO_NET_F_CTRL_VQ) },
    { VIRTIO_NET_F_CTRL_VLAN, BIT(VIRTIO_NET_F_CTRL_VQ) },
    { VIRTIO_NET_F_GUEST_ANNOUNCE, BIT(VIRTIO_NET_F_CTRL_VQ) },
    { VIRTIO_NET_F_MQ, BIT(VIRTIO_NET_F_CTRL_VQ) },
    { VIRTIO_NET_F_CTRL_MAC_ADDR, BIT(VIRTIO_NET_F_CTRL_VQ) },
    { VIRTIO_NET_F_RSS, BIT(VIRTIO_NET_F_CTRL_VQ) },
    { VIRTIO_NET_F_HASH_REPORT, BIT(VIRTIO_NET_F_CTRL_VQ) },
    { VIRTIO_NET_F_NOTF_COAL, BIT(VIRTIO_NET_F_CTRL_VQ) },
    { VIRTIO_NET_F_VQ_NOTF_COAL, BIT(VIRTIO_NET_F_CTRL_VQ) },
    { VIRTIO_NET_F_DEVICE_STATS, BIT(VIRTIO_NET_F_CTRL_VQ) },
};

/* @f without what lacks the bit that it needs. */
static uint64_t features_closed(uint64_t f)
{
    for (unsigned i = 0; i < ARRAY_SIZE(feature_rules); i++) {
        if (!(f & feature_rules[i].needs_one_of)) {
            f &= ~BIT(feature_rules[i].bit);
        }
    }
    return f;
}

uint64_t virtio_net_features_with(const VirtIONet *net,
                                  const NetClientState *peer)
{
    uint64_t f = net->conf.features;

    f |= BIT(VIRTIO_NET_F_MAC);
    if (!peer || !peer->caps.vnet_hdr) {
        f &= ~(GUEST_OFFLOADS | HOST_OFFLOADS |
               BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS));
    } else if (!peer->caps.ufo) {
        f &= ~UFO_FEATURES;
    }
    if (peer && !peer->caps.uso) {
        f &= ~USO_FEATURES;
    }
    if (net->conf.host_mtu) {
        f |= BIT(VIRTIO_NET_F_MTU);
    }
    if (net->conf.speed >= 0 || net->duplex != DUPLEX_UNKNOWN) {
        f |= BIT(VIRTIO_NET_F_SPEED_DUPLEX);
    }
    if (!(f & BIT(VIRTIO_NET_F_CTRL_VQ))) {
        f &= ~CTRL_FEATURES;
    }
    return features_closed(f);
}

uint64_t virtio_net_get_features(VirtIODevice *vdev)
{
    const VirtIONet *net = VIRTIO_NET(vdev);
    uint64_t f = virtio_net_features_with(net, net->nic.peer);

    /* A back-end may lack a bit that another one, which it has, needs. */
    return features_closed(f & vdev->features_mask);
}

bool virtio_net_set_features(VirtIODevice *vdev, uint64_t features)
{
    VirtIONet *net = VIRTIO_NET(vdev);

    /* A driver that takes one bit without the bit that it needs is refused. */
    if (!virtio_is_legacy(vdev) && features != features_closed(features)) {
        return false;
    }
    net->guest_offloads = features & GUEST_OFFLOADS;
    net->filter_next.vlan_filter = features & BIT(VIRTIO_NET_F_CTRL_VLAN);
    virtio_net_filter_publish(net);
    return true;
}
