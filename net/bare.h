/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Back-ends whose frames have no virtio-net header: one that says nothing goes
 * before each that comes, and what goes loses its own.
 *
 * Threads: the pair's owner.
 */
#ifndef NET_BARE_H
#define NET_BARE_H

#include "net/net.h"

#define VNET_HDR_MIN 10u /* struct virtio_net_hdr; VIRTIO 1.2, 5.1.6 */
#define VNET_HDR_V1  12u /* with num_buffers */
#define VNET_HDR_MAX 20u /* with the hash report */

#define NET_MAX_IOV 1024u /* the kernel's UIO_MAXIOV */

/* Frames that a NIC takes, without header: from an Ethernet header alone to 64
 * KiB of payload and some headers. */
#define NET_FRAME_MIN 14u
#define NET_FRAME_MAX (65536u + 64u)

static inline bool net_frame_fits(size_t len)
{
    return len >= NET_FRAME_MIN && len <= NET_FRAME_MAX;
}

/* The result of a system call that does not wait: as NetClientInfo.recv and
 * send give it. */
static inline ssize_t net_io_result(ssize_t r)
{
    if (r >= 0) {
        return r;
    }
    return errno == EAGAIN ? 0 : -errno;
}

/* Writes the header, @hdr_len zeros, into the first bytes of @iov. */
void net_bare_header(const struct iovec *iov, unsigned n, unsigned hdr_len);
/* The rest of @iov, into @frame with room for NET_MAX_IOV; how many elements,
 * 0 or -1: there is no frame. */
int net_bare_slice(struct iovec *frame, const struct iovec *iov, unsigned n,
                   unsigned hdr_len);

/* NetClientInfo.recv and send by one readv(2) or writev(2) on @fd. */
ssize_t net_bare_recv(int fd, const struct iovec *iov, unsigned n,
                      unsigned hdr_len);
ssize_t net_bare_send(int fd, const struct iovec *iov, unsigned n,
                      unsigned hdr_len);

#endif
