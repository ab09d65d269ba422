/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Frames of back-ends that know no virtio-net header. */
#include "util/osdep.h"

#include "net/bare.h"

#include "util/iov.h"

static const uint8_t no_header[VNET_HDR_MAX];

void net_bare_header(const struct iovec *iov, unsigned n, unsigned hdr_len)
{
    iov_from_buf(iov, n, 0, no_header, hdr_len);
}

int net_bare_slice(struct iovec *frame, const struct iovec *iov, unsigned n,
                   unsigned hdr_len)
{
    return iov_slice(frame, NET_MAX_IOV, iov, n, hdr_len, SIZE_MAX);
}

ssize_t net_bare_recv(int fd, const struct iovec *iov, unsigned n,
                      unsigned hdr_len)
{
    struct iovec frame[NET_MAX_IOV];
    int used = net_bare_slice(frame, iov, n, hdr_len);
    ssize_t r;

    if (used <= 0) {
        return -EINVAL;
    }
    r = net_io_result(readv(fd, frame, used));
    if (r <= 0) {
        return r;
    }
    net_bare_header(iov, n, hdr_len);
    return r + hdr_len;
}

ssize_t net_bare_send(int fd, const struct iovec *iov, unsigned n,
                      unsigned hdr_len)
{
    struct iovec frame[NET_MAX_IOV];
    int used = net_bare_slice(frame, iov, n, hdr_len);
    ssize_t r;

    if (used <= 0) {
        return -EINVAL;
    }
    r = net_io_result(writev(fd, frame, used));
    return r <= 0 ? r : r + hdr_len;
}
