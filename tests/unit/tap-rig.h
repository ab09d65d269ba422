/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A network namespace of its own for a test, and what tests do there with
 * interfaces and frames.
 *
 * Threads: the test's only one.
 */
#ifndef TESTS_UNIT_TAP_RIG_H
#define TESTS_UNIT_TAP_RIG_H

#include "util/osdep.h"

/* Ethertype "local experimental 1" (IEEE 802): nobody else sends it here. */
#define RIG_ETHERTYPE 0x88b5

/* Moves this process into new network and mount namespaces with IPv6 off, so
 * that no frame is on a wire but the test's. NULL, or why it cannot. */
const char *rig_enter(void);

bool rig_link_exists(const char *name);
void rig_link_up(const char *name);
/* Deletes the interface, whoever has it open. */
void rig_link_delete(const char *name);
/* Makes a tap that stays when it is closed. */
void rig_tap_persist(const char *name, bool multi_queue);
/* An open tap with IFF_TAP | IFF_NO_PI | @flags; the name the kernel chose,
 * IFNAMSIZ bytes, goes to @name when that is "". */
int rig_tap_open(char *name, int flags);
/* TUNGETIFF's flags of @fd. */
int rig_tap_flags(int fd);
/* 1, 0: whether @what (ETHTOOL_GTSO...) of @name is on. */
int rig_ethtool(const char *name, uint32_t what);

/* A raw socket on @name for frames of @ethertype; reads wait a second. */
int rig_packet_socket(const char *name, uint16_t ethertype);
/* A frame of @len bytes, each telling its place and @seed. */
void rig_frame(uint8_t *frame, size_t len, uint8_t seed);
/* An Ethernet frame with UDP over IPv4 from source port @port; its length. */
size_t rig_udp_frame(uint8_t *frame, uint16_t port);

/* Files that this process has open. */
unsigned rig_open_fds(void);

#endif
