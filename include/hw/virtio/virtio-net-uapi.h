/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the network device's commands need of linux/virtio_net.h and the build
 * machine's header may be too old to have: numbers under their usual names,
 * layouts under names of our own.
 *
 * Threads: constants.
 */
#ifndef HW_VIRTIO_VIRTIO_NET_UAPI_H
#define HW_VIRTIO_VIRTIO_NET_UAPI_H

#include <linux/virtio_net.h>

#include "util/endian.h"

/* ---- notification coalescing: VIRTIO 1.2, 5.1.6.5.9; by queue: 1.3 ---- */

#ifndef VIRTIO_NET_F_NOTF_COAL
#define VIRTIO_NET_F_NOTF_COAL 53
#endif
#ifndef VIRTIO_NET_F_VQ_NOTF_COAL
#define VIRTIO_NET_F_VQ_NOTF_COAL 52
#endif
#ifndef VIRTIO_NET_CTRL_NOTF_COAL
#define VIRTIO_NET_CTRL_NOTF_COAL        6
#define VIRTIO_NET_CTRL_NOTF_COAL_TX_SET 0
#define VIRTIO_NET_CTRL_NOTF_COAL_RX_SET 1
#endif
#ifndef VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET
#define VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET 2
#define VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET 3
#endif

/* ---- device statistics: after VIRTIO 1.3, 5.1.6.5 "Device Statistics" ---- */

#ifndef VIRTIO_NET_F_DEVICE_STATS
#define VIRTIO_NET_F_DEVICE_STATS 50

#define VIRTIO_NET_CTRL_STATS       8
#define VIRTIO_NET_CTRL_STATS_QUERY 0
#define VIRTIO_NET_CTRL_STATS_GET   1

#define VIRTIO_NET_STATS_TYPE_RX_BASIC (1ULL << 0)
#define VIRTIO_NET_STATS_TYPE_TX_BASIC (1ULL << 16)
#define VIRTIO_NET_STATS_TYPE_TX_CSUM  (1ULL << 17)
#define VIRTIO_NET_STATS_TYPE_TX_GSO   (1ULL << 18)
#define VIRTIO_NET_STATS_TYPE_CVQ      (1ULL << 32)

/* The types in a reply are the bits' numbers. */
#define VIRTIO_NET_STATS_TYPE_REPLY_RX_BASIC 0
#define VIRTIO_NET_STATS_TYPE_REPLY_TX_BASIC 16
#define VIRTIO_NET_STATS_TYPE_REPLY_TX_CSUM  17
#define VIRTIO_NET_STATS_TYPE_REPLY_TX_GSO   18
#define VIRTIO_NET_STATS_TYPE_REPLY_CVQ      32
#endif

/* One queue of a VIRTIO_NET_CTRL_STATS_GET. */
typedef struct NetStatsRequest {
    le16 vq_index;
    le16 reserved[3];
    le64 types;
} NetStatsRequest;

/* Before each group of counters in its reply; they are le64. */
typedef struct NetStatsHeader {
    uint8_t type;
    uint8_t reserved;
    le16 vq_index;
    le16 reserved1;
    le16 size; /* of header and counters, bytes */
} NetStatsHeader;

#endif
