/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames that a filter adds to those of a subqueue.
 *
 * Threads: see net/filter.h.
 */
#ifndef NET_FILTER_INJECT_H
#define NET_FILTER_INJECT_H

#include "net/filter.h"

/* Do the offloads in the virtio-net header of @hdr_len bytes (0: none) fit the
 * frame of @len bytes? A frame that says otherwise is not to be added. */
bool net_filter_header_ok(const uint8_t *hdr, size_t hdr_len, size_t len);

/* Frames that may be added at @q now, in all directions of its filter. Chain.
 */
unsigned net_filter_inject_room(NetFilterQueue *q);

/* Adds the frame at @data behind @q, in the directions of its filter, with the
 * first @hdr_len bytes of @hdr as virtio-net header and zeros for the rest.
 * Chain. */
void net_filter_inject(NetFilterQueue *q, const uint8_t *hdr, size_t hdr_len,
                       const uint8_t *data, size_t len);

#endif
