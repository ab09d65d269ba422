/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <netinet/in.h>

#include "frame.h"

#define IP_OFFSET 14
#define L4_OFFSET 34

const uint8_t guest_mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
const uint8_t host_mac[6] = { 0x02, 0, 0, 0, 0, 0x01 };

static uint16_t internet_sum(const uint8_t *p, int len)
{
    uint32_t sum = 0;

    for (int i = 0; i < len; i += 2) {
        sum += p[i] << 8 | p[i + 1];
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return sum;
}

static void put_be16(uint8_t *p, unsigned int value)
{
    p[0] = value >> 8;
    p[1] = value;
}

/* Sum of the pseudo header, which a partial checksum starts with. */
static uint16_t pseudo_sum(const uint8_t *f, int protocol, int len)
{
    uint8_t pseudo[12] = { [9] = protocol };

    memcpy(pseudo, f + IP_OFFSET + 12, 8);
    put_be16(pseudo + 10, len);
    return internet_sum(pseudo, sizeof(pseudo));
}

static void put_ip_length(uint8_t *f, int len)
{
    uint8_t *ip = f + IP_OFFSET;

    put_be16(ip + 2, len - IP_OFFSET);
    put_be16(ip + 10, 0);
    put_be16(ip + 10, ~internet_sum(ip, 20) & 0xffff);
}

static void put_ip(uint8_t *f, int len, uint16_t flow, bool to_guest,
                   int protocol)
{
    uint8_t *ip = f + IP_OFFSET;
    uint8_t guest[4] = { 10, 1, 0, 1 }, host[4] = { 10, 2, flow >> 8, flow };

    memcpy(f, to_guest ? guest_mac : host_mac, 6);
    memcpy(f + 6, to_guest ? host_mac : guest_mac, 6);
    put_be16(f + 12, 0x0800);
    memset(ip, 0, 20);
    ip[0] = 0x45;
    put_be16(ip + 6, 0x4000); /* not to be fragmented */
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, to_guest ? host : guest, 4);
    memcpy(ip + 16, to_guest ? guest : host, 4);
    put_ip_length(f, len);
}

static void put_ports(uint8_t *f, uint16_t flow, bool to_guest)
{
    unsigned int guest = 5000 + flow, host = 20000 + flow;

    put_be16(f + L4_OFFSET, to_guest ? host : guest);
    put_be16(f + L4_OFFSET + 2, to_guest ? guest : host);
}

static void put_payload(uint8_t *f, int stamp, int len, uint16_t flow)
{
    FrameStamp s = { STAMP_MAGIC, flow, frame_tag(0, flow), 0, len };

    memcpy(f + stamp, &s, sizeof(s));
    for (int i = stamp + (int)sizeof(s); i < len; i++) {
        f[i] = frame_pattern(flow, i);
    }
}

void frame_udp(uint8_t *f, int len, uint16_t flow, bool to_guest)
{
    put_ip(f, len, flow, to_guest, IPPROTO_UDP);
    put_ports(f, flow, to_guest);
    put_be16(f + L4_OFFSET + 4, len - L4_OFFSET);
    put_be16(f + L4_OFFSET + 6, 0);
    put_payload(f, UDP_STAMP, len, flow);
}

void frame_tcp(uint8_t *f, int len, uint16_t flow, bool to_guest, int mss,
               VnetHeader *h)
{
    uint8_t *tcp = f + L4_OFFSET;

    put_ip(f, len, flow, to_guest, IPPROTO_TCP);
    memset(tcp, 0, 20);
    put_ports(f, flow, to_guest);
    tcp[12] = 5 << 4; /* words of header */
    tcp[13] = 0x10;   /* ACK */
    put_be16(tcp + 14, 65535);
    put_be16(tcp + 16, pseudo_sum(f, IPPROTO_TCP, len - L4_OFFSET));
    put_payload(f, TCP_STAMP, len, flow);
    memset(h, 0, sizeof(*h));
    h->hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    h->hdr.hdr_len = TCP_STAMP;
    h->hdr.csum_start = L4_OFFSET;
    h->hdr.csum_offset = 16;
    if (len - TCP_STAMP > mss) {
        h->hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
        h->hdr.gso_size = mss;
    }
}

void frame_udp_gso(uint8_t *buf, int len, int segments, uint16_t flow)
{
    uint8_t *f = buf + PACKET_VNET, *one = alloc(1, len);
    int payload = len - UDP_STAMP;

    frame_udp(one, len, flow, true);
    memcpy(f, one, UDP_STAMP);
    for (int i = 0; i < segments; i++) {
        memcpy(f + UDP_STAMP + i * payload, one + UDP_STAMP, payload);
    }
    free(one);
}

int frame_udp_gso_end(uint8_t *buf, int len, int segments)
{
    uint8_t *f = buf + PACKET_VNET, *udp = f + L4_OFFSET;
    int payload = len - UDP_STAMP, total = UDP_STAMP + segments * payload;
    struct virtio_net_hdr h = { .hdr_len = UDP_STAMP,
                                .csum_start = L4_OFFSET,
                                .csum_offset = 6 };

    if (segments > 1) {
        h.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        h.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
        h.gso_size = payload;
    }
    memcpy(buf, &h, PACKET_VNET);
    put_ip_length(f, total);
    put_be16(udp + 4, total - L4_OFFSET);
    put_be16(udp + 6,
             segments > 1 ? pseudo_sum(f, IPPROTO_UDP, total - L4_OFFSET) : 0);
    return total + PACKET_VNET;
}

bool frame_intact(const uint8_t *f, int len, int stamp, uint16_t flow)
{
    for (int i = stamp + (int)sizeof(FrameStamp); i < len; i++) {
        if (f[i] != frame_pattern(flow, i)) {
            return false;
        }
    }
    return true;
}
