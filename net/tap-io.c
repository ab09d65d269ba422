/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The datapath of a tap, payload in place: one system call a frame, or one a
 * burst where there is an io_uring. */
#include "util/osdep.h"

#include "tap-internal.h"

ssize_t tap_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    if (!sq->nc->caps.vnet_hdr) {
        return net_bare_recv(sq->fd, iov, n,
                             container_of(sq->nc, TapState, nc)->hdr_len);
    }
    return net_io_result(readv(sq->fd, iov, (int)n));
}

ssize_t tap_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    if (!sq->nc->caps.vnet_hdr) {
        return net_bare_send(sq->fd, iov, n,
                             container_of(sq->nc, TapState, nc)->hdr_len);
    }
    return net_io_result(writev(sq->fd, iov, (int)n));
}

/* ---- bursts ---- */

bool tap_recv_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    if (!port->ring || !port->sq->nc->caps.vnet_hdr) {
        return false;
    }
    io_ring_readv(port->ring, port->file, frames, n);
    return true;
}

bool tap_send_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    TapState *tap = container_of(port->sq->nc, TapState, nc);

    /* With a limit, one frame may find no room and the next one may. */
    if (!port->ring || !port->sq->nc->caps.vnet_hdr || tap->sndbuf_limited) {
        return false;
    }
    io_ring_writev(port->ring, port->file, frames, n);
    return true;
}
