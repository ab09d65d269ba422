/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-user: rings served by another process, which is told of them by
 * messages over a unix socket (the vhost-user protocol, "front-end" side).
 *
 * A VhostUser is what we know of that process; it lives as long as the netdev,
 * connections come and go. The process is not trusted with more than what it is
 * given: guest memory and the rings' eventfds. Whatever it says is checked, and
 * for each answer there is a time limit: one that lies, or is silent, is
 * treated as gone.
 *
 * Threads: under the machine lock.
 */
#ifndef HW_VIRTIO_VHOST_USER_H
#define HW_VIRTIO_VHOST_USER_H

#include "hw/virtio/virtio.h"
#include "util/error.h"

/* A ring's number has 8 bits in a message. */
#define VHOST_USER_MAX_PAIRS 128u
/* How long an answer may take, and all that are waited for together, however
 * many connections they come from; of that, a tenth of the time that passes
 * comes back. */
#define VHOST_USER_ANSWER_MS 5000
#define VHOST_USER_BANK_MS   15000
#define VHOST_USER_BANK_BACK 10

typedef struct VhostUser VhostUser;

/* The connection is of no use any more, for @reason; called on the main loop,
 * once for a connection. */
typedef void VhostUserFailFunc(void *opaque, const char *reason);

/* The link's state has changed; called on the main loop. */
typedef void VhostUserLinkFunc(void *opaque);

/* For @pairs queue pairs of rings. Not connected. */
VhostUser *vhost_user_new(unsigned pairs, VhostUserFailFunc *fail, void *opaque)
    MAIN_THREAD;
/* Whom to tell of the link, with the same @opaque. */
void vhost_user_on_link(VhostUser *user, VhostUserLinkFunc *link) MAIN_THREAD;
/* NULL is allowed. No VhostNet uses it. */
void vhost_user_free(VhostUser *user) MAIN_THREAD;

/* A connection: @fd, a unix socket that does not block and stays the caller's,
 * which the first question is sent to. Once there is an answer to be read,
 * vhost_user_negotiate() goes on. */
void vhost_user_connect(VhostUser *user, int fd) MAIN_THREAD;
/*
 * Asks the process all there is to know. False: it is of no use, and *errp says
 * why; *@other_may: another process might be. Waits for answers.
 */
bool vhost_user_negotiate(VhostUser *user, bool *other_may, Error **errp)
    MAIN_THREAD;
/* When the next connection may be made, as of clock_now_ns(): later than now
 * if earlier ones were so slow that little time to wait is left. One that is
 * made nevertheless gets a second. */
int64_t vhost_user_not_before(VhostUser *user) MAIN_THREAD;
/* More than half of the time to wait is there. */
bool vhost_user_is_quick(VhostUser *user) MAIN_THREAD;
/* The connection is over; the socket is not touched any more. */
void vhost_user_disconnect(VhostUser *user) MAIN_THREAD;
/* Negotiated, and not found to be of no use since. */
bool vhost_user_ready(const VhostUser *user) MAIN_THREAD;
/* False: the process, which is connected, says that its link is down. */
bool vhost_user_link_up(const VhostUser *user) MAIN_THREAD;

/* What the process that was there last has: device features, without the bit
 * that stands for protocol features, and of these those in use. */
uint64_t vhost_user_features(const VhostUser *user) MAIN_THREAD;
uint64_t vhost_user_protocol_features(const VhostUser *user) MAIN_THREAD;
extern const VirtIOBitName vhost_user_protocol_names[];

/* The MTU that the driver was told; whoever is not told by this connection is
 * by the next. False: the process refuses it. */
bool vhost_user_set_mtu(VhostUser *user, uint16_t mtu, Error **errp)
    MAIN_THREAD;
/* Asks the process to announce @mac; false: it cannot do that. */
bool vhost_user_send_rarp(VhostUser *user, const uint8_t mac[6]) MAIN_THREAD;

/* Is guest memory such that a process may be given it? */
bool vhost_user_check_memory(Error **errp) MAIN_THREAD;

#endif
