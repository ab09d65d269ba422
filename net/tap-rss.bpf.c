/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receive side scaling of a tap: the kernel asks this program for the queue of
 * each frame on its way to the guest (TUNSETSTEERINGEBPF, linux/if_tun.h).
 *
 * Compiled for BPF by clang and carried in the emulator. Its maps are written
 * by net/tap-ebpf.c; order and sizes are part of what `ebpf-rss-fds` means.
 *
 * Threads: any CPU of the kernel.
 */
#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#include "net/rss-layout.h"

static inline __attribute__((always_inline)) int
load(struct __sk_buff *skb, __u32 at, void *to, __u32 n);

#define RSS_FRAME                struct __sk_buff
#define RSS_LOAD(skb, at, to, n) load(skb, at, to, n)
#define RSS_TAGS(skb)            ((skb)->vlan_present ? 1u : 0u)

#include "rss-walk.h"

static inline __attribute__((always_inline)) int
load(struct __sk_buff *skb, __u32 at, void *to, __u32 n)
{
    /* A tag beside the frame is four bytes of it where user space looks. */
    return at + n <= RSS_HEAD - 4 * RSS_TAGS(skb) &&
           bpf_skb_load_bytes(skb, at, to, n) == 0;
}

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, __u32);
    __type(value, struct rss_map_config);
} rss_config SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, __u32);
    __type(value, struct rss_key_table);
} rss_keys SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 2);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, __u32);
    __type(value, struct rss_map_queues);
} rss_queues SEC(".maps");

/* Places behind in->len are zero and add nothing. */
static inline __attribute__((always_inline)) __u32
toeplitz(const struct rss_key_table *key, const struct rss_input *in)
{
    __u32 hash = 0;

#pragma unroll
    for (__u32 i = 0; i < 12; i++) {
        hash ^= key->word[i][in->bytes[i]];
    }
    if (in->len > 12) {
#pragma unroll
        for (__u32 i = 12; i < RSS_INPUT_MAX; i++) {
            hash ^= key->word[i][in->bytes[i]];
        }
    }
    return hash;
}

SEC("socket")
int rss_steer(struct __sk_buff *skb)
{
    struct rss_input in = { .len = 0 };
    const struct rss_map_queues *queues;
    const struct rss_map_config *config;
    const struct rss_map_side *side;
    const struct rss_key_table *key;
    __u32 zero = 0, now;

    config = bpf_map_lookup_elem(&rss_config, &zero);
    if (!config) {
        return 0;
    }
    now = config->side & 1;
    side = &config->of[now];
    if (rss_walk(skb, side->hash_types, &in) == VIRTIO_NET_HASH_REPORT_NONE) {
        return side->unclassified;
    }
    key = bpf_map_lookup_elem(&rss_keys, &now);
    queues = bpf_map_lookup_elem(&rss_queues, &now);
    if (!key || !queues) {
        return 0;
    }
    return queues->queue[toeplitz(key, &in) & side->mask & (RSS_TABLE_MAX - 1)];
}

char LICENSE[] SEC("license") = "GPL";
