/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Offloads of a pair: which the driver may use on transmit, which a received
 * frame may have (VIRTIO 1.2, 5.1.6.2 and 5.1.6.4.1). The back-end does the
 * work; here is what may pass.
 *
 * Threads: the pair's owner; virtio_net_offloads_prepare() the main thread.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "util/iov.h"

static uint32_t gso_bit(bool on, unsigned type)
{
    return on ? 1u << type : 0;
}

/* What the host may send us is what the driver takes. */
static void prepare_rx(VirtIONetPair *pair) MAIN_THREAD
{
    VirtIODevice *vdev = &pair->net->vdev;
    bool tso4 = virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_TSO4);
    bool tso6 = virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_TSO6);
    bool ufo = virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_UFO);
    bool uso = virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_USO4) ||
               virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_USO6);

    pair->rx_csum = virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_CSUM);
    pair->rx_ecn = virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_ECN);
    pair->rx_gso_types = gso_bit(true, VIRTIO_NET_HDR_GSO_NONE) |
                         gso_bit(tso4, VIRTIO_NET_HDR_GSO_TCPV4) |
                         gso_bit(tso6, VIRTIO_NET_HDR_GSO_TCPV6) |
                         gso_bit(ufo, VIRTIO_NET_HDR_GSO_UDP) |
                         gso_bit(uso, VIRTIO_NET_HDR_GSO_UDP_L4);
    /* Without segmentation a frame is an MTU, a VLAN tag and a header long;
     * a longer one takes the spill buffer's way. */
    pair->rx_window =
        tso4 || tso6 || ufo || uso
            ? VIRTIO_NET_RX_MAX
            : pair->hdr_len + 18u + 4u + MAX(pair->net->conf.host_mtu, 1500u);
}

void virtio_net_offloads_prepare(VirtIONetPair *pair)
{
    VirtIODevice *vdev = &pair->net->vdev;
    const NetClientState *peer = pair->net->nic.peer;
    /* From before there was a bit for each kind: any of them (5.1.3.2). */
    bool any = virtio_has_feature(vdev, VIRTIO_NET_F_GSO);

    pair->tx_csum = virtio_has_feature(vdev, VIRTIO_NET_F_CSUM);
    pair->tx_tso4 = any || virtio_has_feature(vdev, VIRTIO_NET_F_HOST_TSO4);
    pair->tx_tso6 = any || virtio_has_feature(vdev, VIRTIO_NET_F_HOST_TSO6);
    pair->tx_ecn = any || virtio_has_feature(vdev, VIRTIO_NET_F_HOST_ECN);
    pair->tx_ufo = (any && peer && peer->caps.ufo) ||
                   virtio_has_feature(vdev, VIRTIO_NET_F_HOST_UFO);
    pair->tx_uso = virtio_has_feature(vdev, VIRTIO_NET_F_HOST_USO);
    prepare_rx(pair);
}

static bool rx_gso_ok(const VirtIONetPair *pair, uint8_t gso_type)
{
    unsigned type = gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

    if ((gso_type & VIRTIO_NET_HDR_GSO_ECN) && (!pair->rx_ecn || type == 0)) {
        return false;
    }
    return type < 32 && (pair->rx_gso_types >> type & 1);
}

bool virtio_net_rx_check_offloads(const VirtIONetPair *pair,
                                  const struct iovec *iov, unsigned n)
{
    static const uint8_t no_flags;
    struct virtio_net_hdr hdr;

    if (iov_to_buf(iov, n, 0, &hdr, sizeof(hdr)) < sizeof(hdr) ||
        !rx_gso_ok(pair, hdr.gso_type)) {
        return false;
    }
    if (!pair->rx_csum && hdr.flags) {
        if (hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
            return false;
        }
        iov_from_buf(iov, n, offsetof(struct virtio_net_hdr, flags), &no_flags,
                     sizeof(no_flags));
    }
    return true;
}
