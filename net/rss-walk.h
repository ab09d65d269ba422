/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a frame to what its RSS hash is taken over (VIRTIO 1.2, 5.1.6.4.3).
 *
 * One text for two machines, so that they cannot differ: net/rss.c compiles it
 * for this process, net/tap-rss.bpf.c for the kernel's BPF. The includer has
 *
 *   RSS_FRAME                     the type of a frame
 *   RSS_LOAD(frame, at, to, n)    copies @n bytes from offset @at, true when
 *                                 the frame has them and @at + @n is at most
 *                                 RSS_HEAD
 *   RSS_TAGS(frame)               VLAN tags that stand beside the frame
 *
 * The frame is hostile: each byte is copied once and checked as a copy. Every
 * loop has a fixed bound, which BPF's verifier insists on anyway.
 *
 * Threads: pure functions.
 */
#ifndef NET_RSS_WALK_H
#define NET_RSS_WALK_H

#include <linux/types.h>
#include <linux/virtio_net.h>

#include "net/rss-layout.h"

#define RSS_INLINE static inline __attribute__((always_inline))

/* Headers further behind, and further ones, are not looked at: the hash is
 * taken over what was found until then. */
#define RSS_HEAD       384u
#define RSS_VLAN_TAGS  2u
#define RSS_EXTENSIONS 8u
#define RSS_OPTIONS    8u

struct rss_ports {
    __u8 bytes[4];
};

struct rss_addr6 {
    __u8 bytes[16];
};

/* What the hash is taken over. Bytes behind @len are zero. */
struct rss_input {
    union {
        __u8 bytes[RSS_INPUT_MAX];
        struct {
            __u8 addr[8];
            struct rss_ports ports;
        } v4;
        struct {
            struct rss_addr6 src, dst;
            struct rss_ports ports;
        } v6;
    };
    __u32 len;
};

/* What the headers of an IPv6 packet say besides its addresses. */
struct rss_ext6 {
    struct rss_addr6 src, dst; /* that take the place of the header's */
    __u32 at;                  /* of the header that follows them */
    __u8 next;                 /* its protocol */
    __u8 any;                  /* there are some */
    __u8 fragment;             /* no ports to be had */
};

enum {
    RSS_ETH_IPV4 = 0x0800,
    RSS_ETH_IPV6 = 0x86dd,
    RSS_ETH_VLAN = 0x8100,
    RSS_ETH_QINQ = 0x88a8,

    RSS_IP_HOP_OPTIONS = 0,
    RSS_IP_TCP = 6,
    RSS_IP_UDP = 17,
    RSS_IP_ROUTING = 43,
    RSS_IP_FRAGMENT = 44,
    RSS_IP_AUTH = 51,
    RSS_IP_DST_OPTIONS = 60,
    RSS_IP_MOBILITY = 135,

    RSS_OPT_PAD1 = 0,
    RSS_OPT_HOME = 0xc9, /* RFC 6275, 6.3 */
    RSS_ROUTING_HOME = 2 /* RFC 6275, 6.4 */
};

RSS_INLINE __u32 rss_be16(const __u8 *p)
{
    return (__u32)p[0] << 8 | p[1];
}

/* The bit of @types for the packet's ports: @tcp or @udp, by @protocol; 0: it
 * has none of them. */
RSS_INLINE __u32 rss_port_type(__u32 protocol, __u32 tcp, __u32 udp)
{
    return protocol == RSS_IP_TCP ? tcp : protocol == RSS_IP_UDP ? udp : 0;
}

/* 5.1.6.4.3.2. A fragment goes by its addresses, as all of its datagram do. */
RSS_INLINE __u32 rss_walk_ipv4(RSS_FRAME *frame, __u32 at, __u32 types,
                               struct rss_input *in)
{
    __u8 ip[20];
    __u32 type;

    if (!RSS_LOAD(frame, at, ip, sizeof(ip)) || ip[0] >> 4 != 4 ||
        (ip[0] & 15) < 5) {
        return VIRTIO_NET_HASH_REPORT_NONE;
    }
    __builtin_memcpy(in->v4.addr, ip + 12, sizeof(in->v4.addr));
    type = rss_be16(ip + 6) & 0x3fff
               ? 0
               : rss_port_type(ip[9], VIRTIO_NET_RSS_HASH_TYPE_TCPv4,
                               VIRTIO_NET_RSS_HASH_TYPE_UDPv4);
    if ((types & type) && RSS_LOAD(frame, at + 4u * (ip[0] & 15), &in->v4.ports,
                                   sizeof(in->v4.ports))) {
        in->len = sizeof(in->v4);
        return type == VIRTIO_NET_RSS_HASH_TYPE_TCPv4
                   ? VIRTIO_NET_HASH_REPORT_TCPv4
                   : VIRTIO_NET_HASH_REPORT_UDPv4;
    }
    in->len = sizeof(in->v4.addr);
    return types & VIRTIO_NET_RSS_HASH_TYPE_IPv4 ? VIRTIO_NET_HASH_REPORT_IPv4
                                                 : VIRTIO_NET_HASH_REPORT_NONE;
}

/* The home address among the destination options in [@at, @end). */
RSS_INLINE void rss_walk_options(RSS_FRAME *frame, __u32 at, __u32 end,
                                 struct rss_ext6 *ext)
{
    for (__u32 i = 0; i < RSS_OPTIONS; i++) {
        __u8 opt[2];

        if (at + 2 > end || !RSS_LOAD(frame, at, opt, sizeof(opt))) {
            return;
        }
        if (opt[0] == RSS_OPT_HOME && opt[1] == sizeof(ext->src) &&
            at + 2 + sizeof(ext->src) <= end) {
            struct rss_addr6 home;

            if (RSS_LOAD(frame, at + 2, &home, sizeof(home))) {
                ext->src = home;
            }
            return;
        }
        at += opt[0] == RSS_OPT_PAD1 ? 1u : 2u + opt[1];
    }
}

/* Looks at the extension header @ext->next at @ext->at and steps behind it.
 * False: it is none, or nothing can be said of what is behind. */
RSS_INLINE int rss_walk_extension(RSS_FRAME *frame, struct rss_ext6 *ext)
{
    __u32 at = ext->at, kind = ext->next, len;
    __u8 head[4];

    if (kind != RSS_IP_HOP_OPTIONS && kind != RSS_IP_ROUTING &&
        kind != RSS_IP_FRAGMENT && kind != RSS_IP_AUTH &&
        kind != RSS_IP_DST_OPTIONS && kind != RSS_IP_MOBILITY) {
        return 0;
    }
    ext->any = 1;
    if (!RSS_LOAD(frame, at, head, sizeof(head))) {
        ext->fragment = 1;
        return 0;
    }
    ext->next = head[0];
    if (kind == RSS_IP_FRAGMENT) {
        /* Offset, or more to come: a real one (RFC 6946). */
        ext->fragment = (rss_be16(head + 2) & 0xfff9) != 0;
        ext->at = at + 8;
        return !ext->fragment;
    }
    len = kind == RSS_IP_AUTH ? 4u * (head[1] + 2u) : 8u * (head[1] + 1u);
    if (kind == RSS_IP_DST_OPTIONS) {
        rss_walk_options(frame, at + 2, at + len, ext);
    } else if (kind == RSS_IP_ROUTING && head[1] == 2 &&
               head[2] == RSS_ROUTING_HOME) {
        struct rss_addr6 home;

        if (RSS_LOAD(frame, at + 8, &home, sizeof(home))) {
            ext->dst = home;
        }
    }
    ext->at = at + len;
    return 1;
}

/* Has the packet ports of a kind in @types, and can they be read? */
RSS_INLINE __u32 rss_walk_ports6(RSS_FRAME *frame, const struct rss_ext6 *ext,
                                 __u32 types, __u32 tcp, __u32 udp,
                                 struct rss_ports *ports)
{
    __u32 type = ext->fragment ? 0 : rss_port_type(ext->next, tcp, udp) & types;

    return type && RSS_LOAD(frame, ext->at, ports, sizeof(*ports)) ? type : 0;
}

/* 5.1.6.4.3.4: with extension headers, when a type for those is wanted. */
RSS_INLINE __u32 rss_walk_ipv6_ex(RSS_FRAME *frame, const struct rss_ext6 *ext,
                                  __u32 types, struct rss_input *in)
{
    __u32 type =
        rss_walk_ports6(frame, ext, types, VIRTIO_NET_RSS_HASH_TYPE_TCP_EX,
                        VIRTIO_NET_RSS_HASH_TYPE_UDP_EX, &in->v6.ports);

    if (!type && !(types & VIRTIO_NET_RSS_HASH_TYPE_IP_EX)) {
        return VIRTIO_NET_HASH_REPORT_NONE;
    }
    in->v6.src = ext->src;
    in->v6.dst = ext->dst;
    if (!type) {
        in->len = 2 * sizeof(in->v6.src);
        return VIRTIO_NET_HASH_REPORT_IPv6_EX;
    }
    in->len = sizeof(in->v6);
    return type == VIRTIO_NET_RSS_HASH_TYPE_TCP_EX
               ? VIRTIO_NET_HASH_REPORT_TCPv6_EX
               : VIRTIO_NET_HASH_REPORT_UDPv6_EX;
}

/* 5.1.6.4.3.3: without extension headers, or as if there were none. */
RSS_INLINE __u32 rss_walk_ipv6_plain(RSS_FRAME *frame,
                                     const struct rss_ext6 *ext, __u32 types,
                                     struct rss_input *in)
{
    __u32 type =
        rss_walk_ports6(frame, ext, types, VIRTIO_NET_RSS_HASH_TYPE_TCPv6,
                        VIRTIO_NET_RSS_HASH_TYPE_UDPv6, &in->v6.ports);

    if (type) {
        in->len = sizeof(in->v6);
        return type == VIRTIO_NET_RSS_HASH_TYPE_TCPv6
                   ? VIRTIO_NET_HASH_REPORT_TCPv6
                   : VIRTIO_NET_HASH_REPORT_UDPv6;
    }
    in->len = 2 * sizeof(in->v6.src);
    return types & VIRTIO_NET_RSS_HASH_TYPE_IPv6 ? VIRTIO_NET_HASH_REPORT_IPv6
                                                 : VIRTIO_NET_HASH_REPORT_NONE;
}

RSS_INLINE __u32 rss_walk_ipv6(RSS_FRAME *frame, __u32 at, __u32 types,
                               struct rss_input *in)
{
    struct rss_ext6 ext = { .at = at + 40 };
    __u8 ip[8];
    __u32 report, i;

    if (!RSS_LOAD(frame, at, ip, sizeof(ip)) || ip[0] >> 4 != 6 ||
        !RSS_LOAD(frame, at + 8, &in->v6.src, sizeof(in->v6.src)) ||
        !RSS_LOAD(frame, at + 24, &in->v6.dst, sizeof(in->v6.dst))) {
        return VIRTIO_NET_HASH_REPORT_NONE;
    }
    ext.src = in->v6.src;
    ext.dst = in->v6.dst;
    ext.next = ip[6];
    for (i = 0; i < RSS_EXTENSIONS; i++) {
        if (!rss_walk_extension(frame, &ext)) {
            break;
        }
    }
    if (ext.any) {
        report = rss_walk_ipv6_ex(frame, &ext, types, in);
        if (report != VIRTIO_NET_HASH_REPORT_NONE) {
            return report;
        }
    }
    return rss_walk_ipv6_plain(frame, &ext, types, in);
}

/*
 * Sets @in, which is zero-filled, for the frame with the types of hash in
 * @types (VIRTIO_NET_RSS_HASH_TYPE_*). Returns VIRTIO_NET_HASH_REPORT_*; after
 * NONE there is no hash, whatever is in @in.
 */
RSS_INLINE __u32 rss_walk(RSS_FRAME *frame, __u32 types, struct rss_input *in)
{
    __u32 at = 14, proto, i;
    __u8 type[2];

    if (!RSS_LOAD(frame, 12, type, sizeof(type))) {
        return VIRTIO_NET_HASH_REPORT_NONE;
    }
    proto = rss_be16(type);
    for (i = RSS_TAGS(frame); i < RSS_VLAN_TAGS; i++) {
        if (proto != RSS_ETH_VLAN && proto != RSS_ETH_QINQ) {
            break;
        }
        if (!RSS_LOAD(frame, at + 2, type, sizeof(type))) {
            return VIRTIO_NET_HASH_REPORT_NONE;
        }
        proto = rss_be16(type);
        at += 4;
    }
    if (proto == RSS_ETH_IPV4) {
        return rss_walk_ipv4(frame, at, types, in);
    }
    return proto == RSS_ETH_IPV6 ? rss_walk_ipv6(frame, at, types, in)
                                 : VIRTIO_NET_HASH_REPORT_NONE;
}

#endif
