/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames that a filter adds to those of a subqueue. */
#include "util/osdep.h"

#include <linux/virtio_net.h>

#include "filter-inject.h"

#define HEADER_MAX 64u

bool net_filter_header_ok(const uint8_t *bytes, size_t hdr_len, size_t len)
{
    struct virtio_net_hdr hdr = { 0 };

    memcpy(&hdr, bytes, MIN(hdr_len, sizeof(hdr)));
    if (hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        return (size_t)hdr.csum_start + hdr.csum_offset + 2 <= len &&
               (hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE || hdr.gso_size);
    }
    return hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE;
}

unsigned net_filter_inject_room(NetFilterQueue *q)
{
    int directions = net_filter_directions(q->filter);
    unsigned room = UINT_MAX;

    if (directions & NET_FILTER_TX) {
        room = net_filter_room(q, NET_FILTER_TX);
    }
    if (directions & NET_FILTER_RX) {
        room = MIN(room, net_filter_room(q, NET_FILTER_RX));
    }
    return room;
}

void net_filter_inject(NetFilterQueue *q, const uint8_t *hdr, size_t hdr_len,
                       const uint8_t *data, size_t len)
{
    /* Not the number of buffers, nor a hash: the receiver writes those. */
    const size_t common = sizeof(struct virtio_net_hdr);
    int directions = net_filter_directions(q->filter);
    uint8_t own[HEADER_MAX] = { 0 };
    struct iovec iov[] = { { own, q->sq->nc->vnet_hdr_len },
                           { (void *)data, len } };

    if (hdr_len) {
        memcpy(own, hdr, MIN(hdr_len, common));
    }
    if (directions & NET_FILTER_TX) {
        net_filter_pass(q, NET_FILTER_TX, iov, ARRAY_SIZE(iov));
    }
    if (directions & NET_FILTER_RX) {
        net_filter_pass(q, NET_FILTER_RX, iov, ARRAY_SIZE(iov));
    }
}
