/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How each kind of netdev is made from its options.
 *
 * Threads: under the machine lock.
 */
#ifndef NET_CLIENTS_H
#define NET_CLIENTS_H

#include "net/net.h"

/* Makes and registers the netdev that @netdev describes; its id is free and
 * well-formed. On false nothing is left behind: no interface, no fd. */
bool net_init_tap(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_bridge(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_vhost_user(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_vhost_vdpa(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_socket(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_stream(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_dgram(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_user(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_passt(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_vde(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_hubport(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_l2tpv3(const Netdev *netdev, Error **errp) MAIN_THREAD;
bool net_init_af_xdp(const Netdev *netdev, Error **errp) MAIN_THREAD;

/*
 * Checks the member "type" of @opts, what -netdev or -nic says, before the rest
 * is read: a kind of netdev, or, with @nic_too (-net), "nic".
 */
bool netdev_type_check(json_object *opts, bool nic_too, Error **errp);
/* The answer to "help" and "TYPE,help", on stdout; false: there is no such
 * type. */
bool netdev_print_help(json_object *opts, Error **errp);

/*
 * The option text @text with what the schema does not have written in full:
 * options that users repeat (hostfwd=...,hostfwd=...) as elements of lists,
 * ipv6-net, and octal numbers. JSON stays as it is. Caller frees. Any thread.
 */
char *netdev_spell_out(const char *text);

/*
 * One queue after the other from @helper's program: a tap on bridge @br (NULL:
 * br0). @helper may have arguments; NULL is the installed
 * qemu-bridge-helper. Fills fds[0..n-1], close-on-exec, the caller's.
 */
bool net_bridge_open(const char *helper, const char *br, int *fds, unsigned n,
                     Error **errp) MAIN_THREAD;

/* The program that steers a tap by RSS, as an ELF object of @len bytes; NULL:
 * this binary was built without it. Any thread. */
const void *tap_rss_program(size_t *len);

#endif
