/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hubs: what comes in by one hubport goes out by all others.
 *
 * Threads: under the machine lock.
 */
#ifndef NET_HUB_H
#define NET_HUB_H

#include "net/net.h"

/* A port of a hub, as monitors show it. */
typedef struct NetHubPortInfo {
    int32_t hubid;
    bool first; /* of its hub */
    NetClientState *port;
    uint64_t dropped; /* frames that it could not pass on */
} NetHubPortInfo;

/* Calls @func for each port, hub by hub, in the order made. */
void net_hub_foreach_port(void (*func)(const NetHubPortInfo *, void *),
                          void *opaque) MAIN_THREAD;
/* Is @nc a hubport, or a netdev that a hubport has? */
bool net_hub_has(const NetClientState *nc) MAIN_THREAD;
/* Warns of hubs that have NICs and nothing else. */
void net_hubs_check(void) MAIN_THREAD;
/* At exit, before any netdev is closed: the hubs let go of theirs. */
void net_hubs_cleanup(void) MAIN_THREAD;

#endif
