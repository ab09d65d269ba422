/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a vhost-user back-end asks of us: its requests come through a socket of
 * their own, which it is given when it connects (BACKEND_REQ).
 *
 * A network card's back-end has one thing to say there: its part of the
 * configuration has changed (CONFIG_CHANGE_MSG), which is the state of its
 * link. Everything else is answered with an error, if an answer is asked for.
 *
 * Nobody waits here: a message may come in pieces, an answer is sent whole or
 * not at all. While an answer of the back-end is waited for its requests are
 * served, as it may wait for one of ours; what follows from them is done later,
 * by the main loop, which rests when there are too many.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/virtio_net.h>
#include <sys/socket.h>

#include "hw/virtio/vhost-user-internal.h"
#include "hw/virtio/virtio-bits.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/fd.h"

#define BIT(n) (1ULL << (n))

#define NS_PER_MS G_GINT64_CONSTANT(1000000)

/* So many pieces are read in a turn of the main loop; then it rests. */
#define TURN_MAX 32u
#define REST_MS  10
/* The configuration is asked for no oftener than that. */
#define CALM_MS 50

/* Requests of a back-end, by their numbers in the protocol. */
enum {
    VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
};

/* As much of a network card's configuration as is asked for. */
typedef struct ConfigPart {
    uint32_t offset, size, flags;
    uint8_t mac[6];
    uint16_t status; /* little-endian */
} ConfigPart;

/* ---- the link, as the configuration has it ---- */

static bool has_link_state(const VhostUser *user)
{
    return vhost_user_has(user, VHOST_USER_PROTOCOL_F_CONFIG) &&
           (user->features & BIT(VIRTIO_NET_F_STATUS));
}

int vhost_user_ask_link(VhostUser *user)
{
    ConfigPart part = { .size = sizeof(part) - offsetof(ConfigPart, mac) };
    VhostUserSend msg = { .request = VHOST_USER_GET_CONFIG,
                          .payload = &part,
                          .size = sizeof(part) };
    int r;

    if (!has_link_state(user)) {
        return 0;
    }
    user->config_at = clock_now_ns();
    r = vhost_user_send(user, &msg);
    if (r == 0) {
        /* One that has none to show says nothing about its link: this stays. */
        part.status = htole16(VIRTIO_NET_S_LINK_UP);
        r = vhost_user_receive(user, VHOST_USER_GET_CONFIG, &part, sizeof(part),
                               NULL);
    }
    if (r == 0) {
        user->link_down = !(le16toh(part.status) & VIRTIO_NET_S_LINK_UP);
    }
    return r;
}

bool vhost_user_link_up(const VhostUser *user)
{
    return !user->link_down;
}

static void config_due(void *opaque)
{
    VhostUser *user = opaque;
    bool down = user->link_down;

    machine_lock_assert();
    if (vhost_user_ready(user) && vhost_user_ask_link(user) == 0 &&
        user->link_down != down && user->link) {
        user->link(user->opaque);
    }
}

/* ---- one message ---- */

static void answer(VhostUser *user, const VhostUserHeader *request,
                   uint64_t result) MAIN_THREAD
{
    VhostUserHeader header = { .request = request->request,
                               .flags = VHOST_USER_VERSION | VHOST_USER_REPLY,
                               .size = sizeof(result) };
    uint8_t msg[sizeof(header) + sizeof(result)];

    memcpy(msg, &header, sizeof(header));
    memcpy(msg + sizeof(header), &result, sizeof(result));
    if (fd_send(user->channel.fd, msg, sizeof(msg), NULL, 0) !=
        (ssize_t)sizeof(msg)) {
        vhost_user_break(user, -EPROTO,
                         "its own request %u: it does not take the answer",
                         request->request);
    }
}

/* 0, or 1 for what we cannot do. */
static int act_on(VhostUser *user, const VhostUserHeader *request) MAIN_THREAD
{
    if (request->request != VHOST_USER_BACKEND_CONFIG_CHANGE_MSG ||
        request->size || !vhost_user_has(user, VHOST_USER_PROTOCOL_F_CONFIG)) {
        return 1;
    }
    if (user->config_timer.deadline_ns < 0) {
        loop_timer_arm(
            &user->config_timer,
            MAX(clock_now_ns(), user->config_at + CALM_MS * NS_PER_MS));
    }
    return 0;
}

static bool check_header(VhostUser *user, const VhostUserHeader *request)
    MAIN_THREAD
{
    if ((request->flags & (VHOST_USER_VERSION_MASK | VHOST_USER_REPLY)) ==
            VHOST_USER_VERSION &&
        request->size <= VHOST_USER_CHANNEL_MAX) {
        return true;
    }
    vhost_user_break(user, -EPROTO,
                     "its own request %u: flags 0x%x and %u bytes",
                     request->request, request->flags, request->size);
    return false;
}

static void channel_close(VhostUser *user) MAIN_THREAD
{
    fd_watch_stop(&user->channel.watch);
    fd_close(&user->channel.fd);
}

/* Bytes that the message lacks; its header, once there, says how many it has.
 */
static size_t lacks(const VhostUserChannel *c, VhostUserHeader *header)
{
    if (c->len < sizeof(*header)) {
        return sizeof(*header) - c->len;
    }
    memcpy(header, c->bytes, sizeof(*header));
    return sizeof(*header) + header->size - c->len;
}

bool vhost_user_channel_serve(VhostUser *user)
{
    VhostUserChannel *c = &user->channel;
    VhostUserHeader header;
    unsigned n_fds;
    ssize_t r;

    if (c->fd < 0 || user->broken) {
        return false;
    }
    /* Descriptors are closed: nobody has a use for any. */
    r = fd_recv(c->fd, c->bytes + c->len, lacks(c, &header), NULL, 0, &n_fds);
    if (r == -EAGAIN) {
        return false;
    }
    if (r <= 0) {
        channel_close(user); /* it has no more to say */
        return false;
    }
    c->len += (size_t)r;
    if (c->len < sizeof(header)) {
        return true;
    }
    if (lacks(c, &header) > 0) {
        return check_header(user, &header);
    }
    c->len = 0;
    if (!check_header(user, &header)) {
        return false;
    }
    r = act_on(user, &header);
    if (header.flags & VHOST_USER_NEED_REPLY) {
        answer(user, &header, (uint64_t)r);
    }
    return true;
}

/* ---- the channel ---- */

static void channel_input(void *opaque, uint32_t events) MAIN_THREAD
{
    VhostUser *user = opaque;
    unsigned n = 0;

    while (n < TURN_MAX && vhost_user_channel_serve(user)) {
        n++;
    }
    if (n == TURN_MAX) {
        fd_watch_stop(&user->channel.watch);
        loop_timer_arm(&user->channel.rest,
                       clock_now_ns() + REST_MS * NS_PER_MS);
    }
}

static void channel_watch(VhostUser *user) MAIN_THREAD
{
    fd_watch_start(&user->channel.watch, main_loop(), user->channel.fd, LOOP_IN,
                   channel_input, user);
}

static void rest_is_over(void *opaque)
{
    VhostUser *user = opaque;

    machine_lock_assert();
    if (user->channel.fd >= 0) {
        channel_watch(user);
    }
}

void vhost_user_channel_init(VhostUser *user)
{
    user->channel.fd = -1;
    loop_timer_init(&user->channel.rest, main_loop(), rest_is_over, user);
    loop_timer_init(&user->config_timer, main_loop(), config_due, user);
}

void vhost_user_channel_stop(VhostUser *user)
{
    loop_timer_cancel(&user->channel.rest);
    loop_timer_cancel(&user->config_timer);
    channel_close(user);
    user->channel.len = 0;
    user->link_down = false;
}

int vhost_user_channel_give(VhostUser *user)
{
    int fd[2], r;
    VhostUserSend msg = { .request = VHOST_USER_SET_BACKEND_REQ_FD,
                          .fds = &fd[1],
                          .n_fds = 1 };

    if (!vhost_user_has(user, VHOST_USER_PROTOCOL_F_BACKEND_REQ)) {
        return 0;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0) {
        return vhost_user_break(user, -errno, "no socket for its requests: %s",
                                strerror(errno));
    }
    user->channel.fd = fd[0];
    /* Its end blocks, as it is used to; ours does not. */
    fd_set_nonblock(fd[0], true, NULL);
    r = vhost_user_request(user, &msg);
    fd_close(&fd[1]);
    if (r) {
        channel_close(user);
    } else if (user->channel.fd >= 0) { /* not closed again meanwhile */
        channel_watch(user);
    }
    /* Who does not want the channel goes without. */
    return r == -EREMOTEIO ? 0 : r;
}
