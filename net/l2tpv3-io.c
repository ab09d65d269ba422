/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The datapath of L2TPv3: payload in place, the header beside it; a burst is
 * one recvmmsg(2) or sendmmsg(2).
 *
 * What comes in and is not a frame of our session gives one without content,
 * which the pair counts among its rx-errors.
 *
 * Threads: as in the header.
 */
#include "util/osdep.h"

#include <sys/socket.h>

#include "l2tpv3-internal.h"
#include "util/iov.h"

#define DATA_FLAGS      0x00030000u /* version 3, no control message */
#define DATA_FLAGS_MASK 0x800f0000u
#define IP_VERSION_IHL  0x45 /* IPv4 without options */

#define DATAGRAM_MAX 65535u

#define BURST_IOV  16u /* elements of a frame in a burst, and */
#define BURST_HEAD 64u /* bytes before it, at most */

static void put_be32(uint8_t *at, uint32_t value)
{
    value = htonl(value);
    memcpy(at, &value, sizeof(value));
}

static uint32_t get_be32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return ntohl(value);
}

static void put_cookie(uint8_t *at, uint64_t cookie, unsigned len)
{
    if (len == 8) {
        put_be32(at, cookie >> 32);
        at += 4;
    }
    if (len) {
        put_be32(at, (uint32_t)cookie);
    }
}

unsigned l2tpv3_head_len(const L2tpv3Format *format)
{
    return (format->udp ? 8 : 4) + format->cookie_len +
           (format->counter ? 4 : 0) + format->offset;
}

void l2tpv3_head_write(const L2tpv3Format *format, uint32_t count,
                       uint8_t *head)
{
    memset(head, 0, l2tpv3_head_len(format));
    if (format->udp) {
        put_be32(head, DATA_FLAGS);
        head += 4;
    }
    put_be32(head, format->tx_session);
    head += 4;
    put_cookie(head, format->tx_cookie, format->cookie_len);
    head += format->cookie_len;
    if (format->counter && !format->pinned) {
        put_be32(head, count);
    }
}

bool l2tpv3_head_check(const L2tpv3Format *format, const uint8_t *head,
                       size_t len)
{
    uint8_t cookie[8];

    if (len <
        format->before + l2tpv3_head_len(format) + (size_t)L2TPV3_FRAME_MIN) {
        return false;
    }
    if (format->before && head[0] != IP_VERSION_IHL) {
        return false;
    }
    head += format->before;
    if (format->udp) {
        if ((get_be32(head) & DATA_FLAGS_MASK) != DATA_FLAGS) {
            return false;
        }
        head += 4;
    }
    put_cookie(cookie, format->rx_cookie, format->cookie_len);
    return get_be32(head) == format->rx_session &&
           memcmp(head + 4, cookie, format->cookie_len) == 0;
}

/* The result of a packet of @len bytes as recv gives it, its virtio-net header
 * written. */
static ssize_t received(const L2tpv3State *s, const struct msghdr *msg,
                        size_t len, const struct iovec *iov, unsigned n)
{
    unsigned hdr_len = s->nc.vnet_hdr_len;
    size_t before = msg->msg_iov[0].iov_len;

    if (msg->msg_flags & MSG_TRUNC ||
        !l2tpv3_head_check(&s->format, msg->msg_iov[0].iov_base, len)) {
        return hdr_len;
    }
    net_bare_header(iov, n, hdr_len);
    return (ssize_t)(len - before) + hdr_len;
}

static uint32_t next_count(L2tpv3State *s)
{
    return __atomic_fetch_add(&s->count, 1, __ATOMIC_RELAXED);
}

/* ---- one frame ---- */

/* For a guest's buffer of so many elements that the header's is one too many.
 */
static ssize_t recv_copied(const L2tpv3State *s, const struct iovec *iov,
                           unsigned n)
{
    size_t before = s->format.before + l2tpv3_head_len(&s->format);
    unsigned hdr_len = s->nc.vnet_hdr_len;
    g_autofree uint8_t *packet = g_malloc(DATAGRAM_MAX);
    struct iovec all = { packet, before };
    struct msghdr msg = { .msg_iov = &all };
    ssize_t r = recv(s->fd, packet, DATAGRAM_MAX, MSG_DONTWAIT);
    size_t len;

    if (r < 0) {
        return net_io_result(r);
    }
    len = (size_t)r > before ? (size_t)r - before : 0;
    if (iov_from_buf(iov, n, hdr_len, packet + before, len) < len) {
        msg.msg_flags = MSG_TRUNC;
    }
    return received(s, &msg, (size_t)r, iov, n);
}

ssize_t l2tpv3_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    const L2tpv3State *s = container_of(sq->nc, L2tpv3State, nc);
    uint8_t head[L2TPV3_IP_HEADER + L2TPV3_HEAD_MAX];
    struct iovec all[NET_MAX_IOV];
    struct msghdr msg = { .msg_iov = all };
    int used = iov_slice(all + 1, NET_MAX_IOV - 1, iov, n, s->nc.vnet_hdr_len,
                         SIZE_MAX);
    ssize_t r;

    if (used < 0) {
        return recv_copied(s, iov, n);
    }
    if (used == 0) {
        return -EINVAL;
    }
    all[0] =
        (struct iovec){ head, s->format.before + l2tpv3_head_len(&s->format) };
    msg.msg_iovlen = (size_t)used + 1;
    r = recvmsg(s->fd, &msg, MSG_DONTWAIT);
    if (r < 0) {
        return net_io_result(r);
    }
    return received(s, &msg, (size_t)r, iov, n);
}

/* A frame in as many elements as the kernel takes: none is left for the header.
 */
static ssize_t send_copied(L2tpv3State *s, const struct iovec *iov, unsigned n)
{
    unsigned hdr_len = s->nc.vnet_hdr_len;
    size_t before = l2tpv3_head_len(&s->format);
    size_t len = before + iov_size(iov, n) - hdr_len;
    g_autofree uint8_t *packet = NULL;
    ssize_t r;

    if (len > DATAGRAM_MAX) {
        return -EMSGSIZE;
    }
    packet = g_malloc(len);
    l2tpv3_head_write(&s->format, next_count(s), packet);
    iov_to_buf(iov, n, hdr_len, packet + before, len - before);
    r = net_io_result(sendto(s->fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL,
                             (struct sockaddr *)&s->dst, s->dst_len));
    return r <= 0 ? r : (ssize_t)iov_size(iov, n);
}

ssize_t l2tpv3_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    L2tpv3State *s = container_of(sq->nc, L2tpv3State, nc);
    unsigned hdr_len = s->nc.vnet_hdr_len;
    uint8_t head[L2TPV3_HEAD_MAX];
    struct iovec all[NET_MAX_IOV];
    struct msghdr msg = { .msg_name = &s->dst,
                          .msg_namelen = s->dst_len,
                          .msg_iov = all };
    int used = iov_slice(all + 1, NET_MAX_IOV - 1, iov, n, hdr_len, SIZE_MAX);
    ssize_t r;

    if (used < 0) {
        return send_copied(s, iov, n);
    }
    if (used == 0) {
        return -EINVAL;
    }
    l2tpv3_head_write(&s->format, next_count(s), head);
    all[0] = (struct iovec){ head, l2tpv3_head_len(&s->format) };
    msg.msg_iovlen = (size_t)used + 1;
    r = net_io_result(sendmsg(s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL));
    return r <= 0 ? r : (ssize_t)iov_size(iov, n);
}

/* ---- many frames ---- */

typedef struct Burst {
    struct mmsghdr msg[IO_RING_BURST];
    struct iovec iov[IO_RING_BURST][1 + BURST_IOV];
    uint8_t head[IO_RING_BURST][BURST_HEAD];
} Burst;

/* Lays @frames out, each behind @before bytes. False: they do not fit. */
static bool burst_fill(Burst *b, const L2tpv3State *s, const IoFrame *frames,
                       unsigned n, size_t before)
{
    if (before > BURST_HEAD) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        int used = iov_slice(&b->iov[i][1], BURST_IOV, frames[i].iov,
                             frames[i].n_iov, s->nc.vnet_hdr_len, SIZE_MAX);

        if (used <= 0) {
            return false;
        }
        b->iov[i][0] = (struct iovec){ b->head[i], before };
        b->msg[i].msg_hdr = (struct msghdr){ .msg_iov = b->iov[i],
                                             .msg_iovlen = (size_t)used + 1 };
    }
    return true;
}

bool l2tpv3_recv_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    const L2tpv3State *s = container_of(port->sq->nc, L2tpv3State, nc);
    Burst b;
    int r;

    if (!burst_fill(&b, s, frames, n,
                    s->format.before + l2tpv3_head_len(&s->format))) {
        return false;
    }
    r = recvmmsg(s->fd, b.msg, n, MSG_DONTWAIT, NULL);
    for (unsigned i = 0; i < n; i++) {
        frames[i].result =
            (int)i < r ? received(s, &b.msg[i].msg_hdr, b.msg[i].msg_len,
                                  frames[i].iov, frames[i].n_iov)
                       : 0;
    }
    if (r < 0) {
        frames[0].result = net_io_result(r);
    }
    return true;
}

bool l2tpv3_send_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    L2tpv3State *s = container_of(port->sq->nc, L2tpv3State, nc);
    Burst b;
    unsigned done = 0;
    bool room = true;

    if (!burst_fill(&b, s, frames, n, l2tpv3_head_len(&s->format))) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        l2tpv3_head_write(&s->format, next_count(s), b.head[i]);
        b.msg[i].msg_hdr.msg_name = &s->dst;
        b.msg[i].msg_hdr.msg_namelen = s->dst_len;
        frames[i].result = 0;
    }
    while (done < n && room) {
        int r = sendmmsg(s->fd, b.msg + done, n - done,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (r <= 0) {
            frames[done].result = net_io_result(r);
            room = frames[done].result != 0;
            done++;
        }
        for (int i = 0; i < r; i++, done++) {
            frames[done].result =
                (ssize_t)iov_size(frames[done].iov, frames[done].n_iov);
        }
    }
    return true;
}
