/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Toeplitz hashes of frames, for user space. The way through the headers is
 * in rss-walk.h, which the kernel's program has too.
 *
 * Threads: pure functions.
 */
#include "util/osdep.h"

#include "net/rss.h"
#include "util/iov.h"

typedef struct RssView {
    const uint8_t *data;
    size_t len; /* at most RSS_HEAD */
} RssView;

static inline bool view_load(const RssView *view, uint32_t at, void *to,
                             size_t n);

#define RSS_FRAME                 const RssView
#define RSS_LOAD(view, at, to, n) view_load(view, at, to, n)
#define RSS_TAGS(view)            0u

#include "rss-walk.h"

static inline bool view_load(const RssView *view, uint32_t at, void *to,
                             size_t n)
{
    if (at > view->len || n > view->len - at) {
        return false;
    }
    memcpy(to, view->data + at, n);
    return true;
}

/* The 32 bits of the key from bit @at on; zeros follow the key. */
static uint32_t key_window(const uint8_t *bytes, unsigned at)
{
    uint64_t five = 0;

    for (unsigned i = at / 8; i < at / 8 + 5; i++) {
        five = five << 8 | (i < RSS_KEY_MAX ? bytes[i] : 0);
    }
    return (uint32_t)(five >> (8 - at % 8));
}

void rss_set_key(RssConfig *config, const uint8_t *bytes, unsigned len)
{
    g_assert(len <= RSS_KEY_MAX);
    config->key_len = len;
    memset(config->key_bytes, 0, sizeof(config->key_bytes));
    memcpy(config->key_bytes, bytes, len);
    for (unsigned i = 0; i < RSS_INPUT_MAX; i++) {
        uint32_t *word = config->key.word[i];

        word[0] = 0;
        for (unsigned b = 0; b < 8; b++) {
            /* The highest bit of a byte goes first. */
            uint32_t window = key_window(config->key_bytes, 8 * i + 7 - b);

            for (unsigned low = 0; low < 1u << b; low++) {
                word[1u << b | low] = window ^ word[low];
            }
        }
    }
}

uint32_t rss_toeplitz(const struct rss_key_table *key, const uint8_t *input,
                      unsigned len)
{
    uint32_t hash = 0;

    for (unsigned i = 0; i < len; i++) {
        hash ^= key->word[i][input[i]];
    }
    return hash;
}

RssHash rss_hash(const RssConfig *config, const uint8_t *frame, size_t len)
{
    RssView view = { frame, MIN(len, RSS_HEAD) };
    struct rss_input in = { .len = 0 };
    RssHash hash = { 0, rss_walk(&view, config->hash_types, &in) };

    if (hash.report != VIRTIO_NET_HASH_REPORT_NONE) {
        hash.value = rss_toeplitz(&config->key, in.bytes, in.len);
    }
    return hash;
}

RssHash rss_hash_iov(const RssConfig *config, const struct iovec *iov,
                     unsigned n, size_t offset, size_t len)
{
    size_t wanted = MIN(len, RSS_HEAD);
    uint8_t head[RSS_HEAD];

    if (n > 0 && iov[0].iov_len >= offset + wanted) {
        return rss_hash(config, (const uint8_t *)iov[0].iov_base + offset,
                        wanted);
    }
    wanted = iov_to_buf(iov, n, offset, head, wanted);
    return rss_hash(config, head, wanted);
}

uint16_t rss_queue(const RssConfig *config, RssHash hash)
{
    return hash.report == VIRTIO_NET_HASH_REPORT_NONE
               ? config->unclassified
               : config->queue[hash.value & config->mask];
}
