/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"
#include "util/iov.h"

size_t iov_size(const struct iovec *iov, unsigned n)
{
    size_t size = 0;

    for (unsigned i = 0; i < n; i++) {
        size += iov[i].iov_len;
    }
    return size;
}

size_t iov_to_buf_pieces(const struct iovec *iov, unsigned n, size_t offset,
                         void *buf, size_t len)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && done < len; i++) {
        size_t part;

        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        part = MIN(iov[i].iov_len - offset, len - done);
        memcpy((char *)buf + done, (const char *)iov[i].iov_base + offset,
               part);
        done += part;
        offset = 0;
    }
    return done;
}

size_t iov_from_buf_pieces(const struct iovec *iov, unsigned n, size_t offset,
                           const void *buf, size_t len)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && done < len; i++) {
        size_t part;

        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        part = MIN(iov[i].iov_len - offset, len - done);
        memcpy((char *)iov[i].iov_base + offset, (const char *)buf + done,
               part);
        done += part;
        offset = 0;
    }
    return done;
}

int iov_slice(struct iovec *dst, unsigned max, const struct iovec *iov,
              unsigned n, size_t offset, size_t len)
{
    unsigned used = 0;

    for (unsigned i = 0; i < n && len; i++) {
        size_t part;

        if (offset >= iov[i].iov_len) {
            offset -= iov[i].iov_len;
            continue;
        }
        if (used == max) {
            return -1;
        }
        part = MIN(iov[i].iov_len - offset, len);
        dst[used].iov_base = (char *)iov[i].iov_base + offset;
        dst[used].iov_len = part;
        used++;
        len -= part;
        offset = 0;
    }
    return (int)used;
}
