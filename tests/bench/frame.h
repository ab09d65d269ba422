/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frames that the benchmark sends: Ethernet, IPv4, UDP or TCP, a stamp by
 * which the other end knows what it has received, and a pattern.
 *
 * Threads: any; these are functions of their arguments.
 */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <linux/virtio_net.h>

#include "bench.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* VIRTIO 1.3, 5.1.6 */
#endif

typedef struct virtio_net_hdr_mrg_rxbuf VnetHeader;

#define TX_FLOWS_PER_PAIR 16 /* a flow's id is pair * 16 + k */
#define TX_FLOWS          (MAX_PAIRS * TX_FLOWS_PER_PAIR)
#define RX_FLOW_FIRST     TX_FLOWS
#define RX_FLOWS          1024 /* candidates, to find some for each queue */

#define STAMP_MAGIC       0x3142514du /* "MQB1" */
#define VNET_HEADER       12          /* bytes: virtio_net_hdr_mrg_rxbuf */
#define PACKET_VNET       10 /* bytes of AF_PACKET's: without num_buffers */
#define UDP_STAMP         42 /* offset of the stamp in a frame */
#define TCP_STAMP         54
#define FRAME_MIN         60
#define FRAME_MAX         1514
#define GSO_MAX           65549
#define STAMP_OFFSET(tcp) ((tcp) ? TCP_STAMP : UDP_STAMP)

/* 18 bytes, so that the shortest frame of 60 has room for it after UDP */
typedef struct FrameStamp {
    uint32_t magic;
    uint16_t flow;
    uint16_t tag; /* of the sequence number and the flow */
    uint64_t seq;
    uint16_t len; /* of the frame, modulo 2^16 */
} __attribute__((packed)) FrameStamp;

extern const uint8_t guest_mac[6], host_mac[6];

static inline uint16_t frame_tag(uint64_t seq, uint16_t flow)
{
    return (uint16_t)(seq * UINT64_C(0x9E3779B97F4A7C15) >> 48) ^ flow;
}

/* The stamp's changing part. @stamp is where the stamp begins. */
static inline void frame_set_seq(uint8_t *stamp, uint64_t seq, uint16_t flow)
{
    uint16_t tag = frame_tag(seq, flow);

    memcpy(stamp + offsetof(FrameStamp, seq), &seq, sizeof(seq));
    memcpy(stamp + offsetof(FrameStamp, tag), &tag, sizeof(tag));
}

/* The pattern's byte at @offset of a frame. */
static inline uint8_t frame_pattern(uint16_t flow, unsigned int offset)
{
    return offset * 7 + flow * 13 + 1;
}

/* A datagram of @len bytes without UDP checksum, with sequence number 0. */
void frame_udp(uint8_t *f, int len, uint16_t flow, bool to_guest);
/* A segment of @len bytes, @mss a packet; @h asks for checksum and, when it is
 * longer than a packet, segmentation. */
void frame_tcp(uint8_t *f, int len, uint16_t flow, bool to_guest, int mss,
               VnetHeader *h);
/* A datagram that the kernel cuts into @segments frames of @len bytes, behind
 * AF_PACKET's vnet header in @buf: frame_udp_gso() once, the segments' stamps,
 * then frame_udp_gso_end() before each send, which returns the bytes of both.
 */
void frame_udp_gso(uint8_t *buf, int len, int segments, uint16_t flow);
int frame_udp_gso_end(uint8_t *buf, int len, int segments);
/* Whether the pattern behind the stamp is as it was. */
bool frame_intact(const uint8_t *f, int len, int stamp, uint16_t flow);

#endif
