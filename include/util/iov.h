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

/* Copies up to @len bytes from @offset of the list into @buf or back; returns
 * the bytes copied (less than @len at the list's end). */
size_t iov_to_buf(const struct iovec *iov, unsigned n, size_t offset, void *buf,
                  size_t len);
size_t iov_from_buf(const struct iovec *iov, unsigned n, size_t offset,
                    const void *buf, size_t len);

/* Writes @dst (capacity @max) with the part of @iov that starts at @offset and
 * is at most @len bytes long; returns the elements used, or -1 when @max is
 * too small. The bytes are shared, not copied. */
int iov_slice(struct iovec *dst, unsigned max, const struct iovec *iov,
              unsigned n, size_t offset, size_t len);

#endif
