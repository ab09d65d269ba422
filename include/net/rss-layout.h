/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this process and its BPF program (net/tap-rss.bpf.c) both know of RSS:
 * limits, and the layout of the program's maps.
 *
 * Threads: constants and types.
 */
#ifndef NET_RSS_LAYOUT_H
#define NET_RSS_LAYOUT_H

#include <linux/types.h>

#define RSS_INPUT_MAX 36u /* two IPv6 addresses and two ports */
#define RSS_TABLE_MAX 128u
#define RSS_KEY_MAX   40u

/*
 * A key made ready: word[i][b] is what byte @b at place @i of the input adds
 * to the hash. So a hash takes one look-up a byte instead of eight shifts.
 */
struct rss_key_table {
    __u32 word[RSS_INPUT_MAX][256];
};

/*
 * The maps have two sides. One is in force, the other is where the next
 * setting is written before @side is turned over: the program never sees half
 * of a setting.
 */
struct rss_map_side {
    __u32 hash_types;
    __u16 mask; /* of the hash, for the indirection table */
    __u16 unclassified;
};

struct rss_map_config {
    __u32 side; /* in force: 0 or 1 */
    struct rss_map_side of[2];
    __u32 padding;
};

/* One entry for each side in its map, as of rss_key_table. */
struct rss_map_queues {
    __u16 queue[RSS_TABLE_MAX];
};

#endif
