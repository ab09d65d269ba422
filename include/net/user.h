/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What monitors do with user netdevs (-netdev user).
 *
 * Threads: under the machine lock.
 */
#ifndef NET_USER_H
#define NET_USER_H

#include "net/net.h"

/*
 * Forwards a port of the host into the network of the netdev @id (NULL: the
 * only one, or the first), as @rule says: "[tcp|udp]:[ADDR]:PORT-[ADDR]:PORT"
 * or "unix:PATH-[ADDR]:PORT".
 */
bool net_user_hostfwd_add(const char *id, const char *rule, Error **errp)
    MAIN_THREAD;
/* Ends the one of "[tcp|udp]:[ADDR]:PORT" or "unix:PATH"; *@found says whether
 * there was. */
bool net_user_hostfwd_remove(const char *id, const char *rule, bool *found,
                             Error **errp) MAIN_THREAD;
/* Adds the connections of all user netdevs to @out, as lines. */
void net_user_info(GString *out) MAIN_THREAD;

#endif
