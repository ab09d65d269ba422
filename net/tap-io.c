/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The datapath of a tap, payload in place: one system call a frame, or one a
 * burst where there is an io_uring. */
#include "util/osdep.h"

#include "tap-internal.h"
#include "util/iov.h"

#define MAX_IOV 1024u /* the kernel's UIO_MAXIOV */

static const uint8_t no_header[VNET_HDR_MAX];

static ssize_t tap_result(ssize_t r)
{
    if (r >= 0) {
        return r;
    }
    return errno == EAGAIN ? 0 : -errno;
}

/* The kernel's frames have no header: one that says nothing goes before. */
static ssize_t recv_bare(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    unsigned hdr_len = container_of(sq->nc, TapState, nc)->hdr_len;
    struct iovec frame[MAX_IOV];
    ssize_t r;
    int used = iov_slice(frame, MAX_IOV, iov, n, hdr_len, SIZE_MAX);

    if (used <= 0) {
        return -EINVAL;
    }
    r = tap_result(readv(sq->fd, frame, used));
    if (r <= 0) {
        return r;
    }
    iov_from_buf(iov, n, 0, no_header, hdr_len);
    return r + hdr_len;
}

ssize_t tap_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    if (!sq->nc->caps.vnet_hdr) {
        return recv_bare(sq, iov, n);
    }
    return tap_result(readv(sq->fd, iov, (int)n));
}

static ssize_t send_bare(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    unsigned hdr_len = container_of(sq->nc, TapState, nc)->hdr_len;
    struct iovec frame[MAX_IOV];
    ssize_t r;
    int used = iov_slice(frame, MAX_IOV, iov, n, hdr_len, SIZE_MAX);

    if (used <= 0) {
        return -EINVAL;
    }
    r = tap_result(writev(sq->fd, frame, used));
    return r <= 0 ? r : r + hdr_len;
}

ssize_t tap_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    if (!sq->nc->caps.vnet_hdr) {
        return send_bare(sq, iov, n);
    }
    return tap_result(writev(sq->fd, iov, (int)n));
}

/* ---- bursts ---- */

bool tap_recv_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    if (!port->sq->nc->caps.vnet_hdr) {
        return false;
    }
    io_ring_readv(port->ring, port->file, frames, n);
    return true;
}

bool tap_send_burst(const NetPort *port, IoFrame *frames, unsigned n)
{
    TapState *tap = container_of(port->sq->nc, TapState, nc);

    /* With a limit, one frame may find no room and the next one may. */
    if (!port->sq->nc->caps.vnet_hdr || tap->sndbuf_limited) {
        return false;
    }
    io_ring_writev(port->ring, port->file, frames, n);
    return true;
}
