/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * L2TPv3 data packets (RFC 3931) without a control connection.
 *
 *   over UDP (4.1.2.1)   over IP (4.1.1.1)
 *   flags, version       -                    4 bytes
 *   session id           session id           4
 *   cookie               cookie               0, 4 or 8
 *   counter              counter              0 or 4, as both ends agreed
 *   offset               offset               as both ends agreed, zeros
 *   Ethernet frame
 *
 * Threads: recv by the pair's owner, send by any pair's; the rest under the
 * machine lock.
 */
#ifndef NET_L2TPV3_INTERNAL_H
#define NET_L2TPV3_INTERNAL_H

#include <netinet/in.h>

#include "net/bare.h"
#include "net/wake.h"

#define L2TPV3_OFFSET_MAX 1024u
#define L2TPV3_HEAD_MAX   (4u + 4u + 8u + 4u + L2TPV3_OFFSET_MAX)
#define L2TPV3_IP_HEADER  20u /* what a raw IPv4 socket gives before it */
#define L2TPV3_FRAME_MIN  14u /* an Ethernet header */

/* What both ends agreed on. */
typedef struct L2tpv3Format {
    bool udp;
    bool counter;
    bool pinned;         /* the counter that is sent stays 0 */
    unsigned before;     /* bytes that come before it when it is received */
    unsigned cookie_len; /* 0, 4 or 8 */
    unsigned offset;
    uint32_t tx_session, rx_session;
    uint64_t tx_cookie, rx_cookie;
} L2tpv3Format;

typedef struct L2tpv3State {
    NetClientState nc;

    /* fixed after creation */
    L2tpv3Format format;
    int fd;
    NetWake wake;
    struct sockaddr_storage dst;
    socklen_t dst_len;

    /* any thread, atomic */
    uint32_t count; /* packets sent */
} L2tpv3State;

/* Bytes of a header. */
unsigned l2tpv3_head_len(const L2tpv3Format *format);
/* Writes that of the packet number @count to send. */
void l2tpv3_head_write(const L2tpv3Format *format, uint32_t count,
                       uint8_t *head);
/* Are the @len bytes of a packet whose first are at @head (all, or
 * format->before and a header) those of a data packet of our session that has a
 * frame? @head may hold anything. */
bool l2tpv3_head_check(const L2tpv3Format *format, const uint8_t *head,
                       size_t len);

ssize_t l2tpv3_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n);
ssize_t l2tpv3_send(NetSubqueue *sq, const struct iovec *iov, unsigned n);
bool l2tpv3_recv_burst(const NetPort *port, IoFrame *frames, unsigned n);
bool l2tpv3_send_burst(const NetPort *port, IoFrame *frames, unsigned n);

#endif
