/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Scatter-gather lists.
 *
 * Threads: pure functions on the caller's memory.
 */
#ifndef UTIL_IOV_H
#define UTIL_IOV_H

#include "util/osdep.h"

/* Sum of the lengths of @n elements, in bytes. */
size_t iov_size(const struct iovec *iov, unsigned n);

/* The two below where the bytes are not all in the first element. */
size_t iov_to_buf_pieces(const struct iovec *iov, unsigned n, size_t offset,
                         void *buf, size_t len);
size_t iov_from_buf_pieces(const struct iovec *iov, unsigned n, size_t offset,
                           const void *buf, size_t len);

static inline bool iov_first_has(const struct iovec *iov, unsigned n,
                                 size_t offset, size_t len)
{
    return n && len && offset <= iov[0].iov_len &&
           len <= iov[0].iov_len - offset;
}

/* Copies up to @len bytes from @offset of the list into @buf or back; returns
 * the bytes copied (less than @len at the list's end). */
static inline size_t iov_to_buf(const struct iovec *iov, unsigned n,
                                size_t offset, void *buf, size_t len)
{
    if (G_LIKELY(iov_first_has(iov, n, offset, len))) {
        memcpy(buf, (const char *)iov[0].iov_base + offset, len);
        return len;
    }
    return iov_to_buf_pieces(iov, n, offset, buf, len);
}

static inline size_t iov_from_buf(const struct iovec *iov, unsigned n,
                                  size_t offset, const void *buf, size_t len)
{
    if (G_LIKELY(iov_first_has(iov, n, offset, len))) {
        memcpy((char *)iov[0].iov_base + offset, buf, len);
        return len;
    }
    return iov_from_buf_pieces(iov, n, offset, buf, len);
}

/* Writes @dst (capacity @max) with the part of @iov that starts at @offset and
 * is at most @len bytes long; returns the elements used, or -1 when @max is
 * too small. The bytes are shared, not copied. */
int iov_slice(struct iovec *dst, unsigned max, const struct iovec *iov,
              unsigned n, size_t offset, size_t len);

#endif
