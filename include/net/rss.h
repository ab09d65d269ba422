/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receive side scaling: the Toeplitz hash of a frame and the queue it chooses
 * (VIRTIO 1.2, 5.1.6.4.3 and 5.1.6.5.7).
 *
 * A hash depends on a key, which is turned into a table once, and on the types
 * of hash that are wanted. What does not fit any of them has none.
 *
 * Threads: pure functions on the caller's memory.
 */
#ifndef NET_RSS_H
#define NET_RSS_H

#include "net/rss-layout.h"
#include "util/osdep.h"

/* VIRTIO_NET_RSS_HASH_TYPE_*: the nine of VIRTIO 1.2 */
#define RSS_HASH_TYPES 0x1ffu

/* A hash, and what it was taken over: VIRTIO_NET_HASH_REPORT_*. */
typedef struct RssHash {
    uint32_t value; /* 0 with VIRTIO_NET_HASH_REPORT_NONE */
    uint16_t report;
} RssHash;

/* How frames are hashed, and where each hash leads. */
typedef struct RssConfig {
    uint32_t hash_types;   /* of RSS_HASH_TYPES */
    uint16_t mask;         /* entries of the table - 1: a power of 2 less 1 */
    uint16_t unclassified; /* queue of frames without a hash */
    uint16_t queue[RSS_TABLE_MAX];
    uint8_t key_len; /* bytes that were given, at most RSS_KEY_MAX */
    uint8_t key_bytes[RSS_KEY_MAX]; /* zero behind them */
    struct rss_key_table key;       /* made of them by rss_set_key() */
} RssConfig;

/* Sets the key: @len bytes, at most RSS_KEY_MAX, as if zeros followed. */
void rss_set_key(RssConfig *config, const uint8_t *bytes, unsigned len);

/* The hash of @len bytes, at most RSS_INPUT_MAX, in their order on the wire. */
uint32_t rss_toeplitz(const struct rss_key_table *key, const uint8_t *input,
                      unsigned len);

/*
 * The hash of the frame whose first @len bytes, from the Ethernet header on,
 * are at @frame. RSS_HEAD (net/rss-walk.h) bytes are enough, fewer do when it
 * is shorter. The frame may be anything, and may change meanwhile.
 */
RssHash rss_hash(const RssConfig *config, const uint8_t *frame, size_t len);

/* The same of a frame of @len bytes after the first @offset bytes of @iov. */
RssHash rss_hash_iov(const RssConfig *config, const struct iovec *iov,
                     unsigned n, size_t offset, size_t len);

/* The queue where a frame with @hash belongs. */
uint16_t rss_queue(const RssConfig *config, RssHash hash);

#endif
