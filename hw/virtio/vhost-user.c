/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vhost-user connection: what is agreed upon when it begins, and what is not
 * about rings.
 *
 * Of the configuration space of a back-end (CONFIG) the state of the link
 * counts; the rest of a NIC's is ours.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/virtio/vhost-user-internal.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/fd.h"

#define BIT(n) (1ULL << (n))

#define NS_PER_MS G_GINT64_CONSTANT(1000000)
/* That much time there is for any connection's answers. */
#define FIRST_MS 1000

#define PROTOCOL_FEATURES                                              \
    (BIT(VHOST_USER_PROTOCOL_F_MQ) | BIT(VHOST_USER_PROTOCOL_F_RARP) | \
     BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD) |                            \
     BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |                            \
     BIT(VHOST_USER_PROTOCOL_F_NET_MTU) |                              \
     BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |                          \
     BIT(VHOST_USER_PROTOCOL_F_CONFIG) |                               \
     BIT(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) |                       \
     BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) |                         \
     BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |                  \
     BIT(VHOST_USER_PROTOCOL_F_STATUS))

const VirtIOBitName vhost_user_protocol_names[] = {
    { VHOST_USER_PROTOCOL_F_MQ,
      "VHOST_USER_PROTOCOL_F_MQ: More than one queue pair" },
    { VHOST_USER_PROTOCOL_F_LOG_SHMFD,
      "VHOST_USER_PROTOCOL_F_LOG_SHMFD: Marks the pages that it writes" },
    { VHOST_USER_PROTOCOL_F_RARP,
      "VHOST_USER_PROTOCOL_F_RARP: Announces addresses by itself" },
    { VHOST_USER_PROTOCOL_F_REPLY_ACK,
      "VHOST_USER_PROTOCOL_F_REPLY_ACK: Acknowledges requests" },
    { VHOST_USER_PROTOCOL_F_NET_MTU,
      "VHOST_USER_PROTOCOL_F_NET_MTU: Is told the MTU" },
    { VHOST_USER_PROTOCOL_F_BACKEND_REQ,
      "VHOST_USER_PROTOCOL_F_BACKEND_REQ: Has a socket for requests of its "
      "own" },
    { VHOST_USER_PROTOCOL_F_CONFIG,
      "VHOST_USER_PROTOCOL_F_CONFIG: Shows a configuration, of which the state "
      "of the link counts" },
    { VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
      "VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD: Keeps what is in flight in a "
      "buffer that outlives it" },
    { VHOST_USER_PROTOCOL_F_RESET_DEVICE,
      "VHOST_USER_PROTOCOL_F_RESET_DEVICE: Is told of device resets" },
    { VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS,
      "VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS: Takes memory region by "
      "region" },
    { VHOST_USER_PROTOCOL_F_STATUS,
      "VHOST_USER_PROTOCOL_F_STATUS: Is told the device status" },
    { 0, NULL },
};

/* On the main loop, where nobody is in the middle of a message. */
static void tell_broken(void *opaque)
{
    VhostUser *user = opaque;

    machine_lock_assert();
    user->fail(user->opaque, user->why);
}

VhostUser *vhost_user_new(unsigned pairs, VhostUserFailFunc *fail, void *opaque)
{
    VhostUser *user = g_new0(VhostUser, 1);

    user->pairs = pairs;
    user->fail = fail;
    user->opaque = opaque;
    user->fd = -1;
    user->inflight_fd = -1;
    user->log_fd = -1;
    user->shadow_memory.fd = -1;
    user->spare_fd = eventfd_new(NULL);
    user->bank_ns = VHOST_USER_BANK_MS * NS_PER_MS;
    user->bank_at = clock_now_ns();
    loop_task_init(&user->fail_task, main_loop(), tell_broken, user);
    loop_task_init(&user->remind_task, main_loop(), vhost_user_remind, user);
    vhost_user_channel_init(user);
    return user;
}

void vhost_user_on_link(VhostUser *user, VhostUserLinkFunc *link)
{
    user->link = link;
}

void vhost_user_free(VhostUser *user)
{
    if (!user) {
        return;
    }
    vhost_user_disconnect(user);
    vhost_user_shadows_free(user);
    fd_close(&user->inflight_fd);
    vhost_user_log_free(user);
    fd_close(&user->spare_fd);
    g_free(user->why);
    g_free(user);
}

void vhost_user_disconnect(VhostUser *user)
{
    loop_task_cancel(&user->fail_task);
    loop_task_cancel(&user->remind_task);
    vhost_user_channel_stop(user);
    user->fd = -1;
    user->negotiated = user->broken = user->logging = false;
    user->slots = 0;
    user->status = 0;
    user->memory.n = 0;
}

bool vhost_user_ready(const VhostUser *user)
{
    return user->negotiated && !user->broken;
}

uint64_t vhost_user_features(const VhostUser *user)
{
    return user->features & ~BIT(VHOST_USER_F_PROTOCOL_FEATURES);
}

uint64_t vhost_user_protocol_features(const VhostUser *user)
{
    return user->protocol;
}

/* ---- time ---- */

int64_t vhost_user_not_before(VhostUser *user)
{
    int64_t lack = FIRST_MS * NS_PER_MS - vhost_user_bank(user);

    return user->bank_at + MAX(lack, 0) * VHOST_USER_BANK_BACK;
}

bool vhost_user_is_quick(VhostUser *user)
{
    return vhost_user_bank(user) > VHOST_USER_BANK_MS * NS_PER_MS / 2;
}

/* ---- negotiation ---- */

void vhost_user_connect(VhostUser *user, int fd)
{
    VhostUserSend msg = { .request = VHOST_USER_GET_FEATURES };

    vhost_user_disconnect(user);
    user->fd = fd;
    user->protocol = 0;
    user->bank_ns = MAX(vhost_user_bank(user), FIRST_MS * NS_PER_MS);
    /* An error shows when the answer is read. */
    vhost_user_send(user, &msg);
}

static int agree_on_protocol(VhostUser *user) MAIN_THREAD
{
    uint64_t offered = 0;
    VhostUserSend msg = { .request = VHOST_USER_SET_PROTOCOL_FEATURES,
                          .payload = &offered,
                          .size = sizeof(offered) };
    int r;

    if (!(user->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES))) {
        return 0;
    }
    r = vhost_user_ask_u64(user, VHOST_USER_GET_PROTOCOL_FEATURES, &offered);
    if (r == 0) {
        offered &= PROTOCOL_FEATURES;
        r = vhost_user_send(user, &msg);
    }
    if (r == 0) {
        user->protocol = offered;
    }
    return r;
}

/* False: it has not as many as the netdev is to have. */
static bool ask_queues(VhostUser *user, Error **errp) MAIN_THREAD
{
    uint64_t n = 1;

    if (vhost_user_has(user, VHOST_USER_PROTOCOL_F_MQ) &&
        vhost_user_ask_u64(user, VHOST_USER_GET_QUEUE_NUM, &n)) {
        return true;
    }
    if (n < user->pairs) {
        error_setg(errp,
                   "queues=%u: the back-end has %" PRIu64
                   " queue pair%s: use queues=%" PRIu64 " or give it more",
                   user->pairs, n, n == 1 ? "" : "s", MAX(n, 1));
        return false;
    }
    return true;
}

static int ask_slots(VhostUser *user) MAIN_THREAD
{
    uint64_t n = 0;
    int r;

    if (!vhost_user_has(user, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)) {
        return 0;
    }
    r = vhost_user_ask_u64(user, VHOST_USER_GET_MAX_MEM_SLOTS, &n);
    if (r == 0 && n == 0) {
        r = vhost_user_break(user, -EPROTO,
                             "GET_MAX_MEM_SLOTS: it has no slots for memory");
    }
    user->slots = n;
    return r;
}

/* Back-ends count rings by what they are told of first, and some (DPDK's) only
 * until the first ones run: all rings are named, those to come by a file that
 * nobody reads. */
static int name_rings(VhostUser *user) MAIN_THREAD
{
    uint64_t ring = 0;
    VhostUserSend msg = { .request = VHOST_USER_SET_VRING_CALL,
                          .payload = &ring,
                          .size = sizeof(ring),
                          .fds = &user->spare_fd,
                          .n_fds = 1 };
    int r = 0;

    for (; r == 0 && user->spare_fd >= 0 && ring < 2 * user->pairs; ring++) {
        r = vhost_user_send(user, &msg);
    }
    return r;
}

static int take_ownership(VhostUser *user) MAIN_THREAD
{
    VhostUserSend msg = { .request = VHOST_USER_SET_OWNER };
    int r = vhost_user_send(user, &msg);

    return r ? r : name_rings(user);
}

bool vhost_user_negotiate(VhostUser *user, bool *other_may, Error **errp)
{
    uint64_t features = 0, before = user->features;
    bool enough = true;

    if (vhost_user_receive(user, VHOST_USER_GET_FEATURES, &features,
                           sizeof(features), NULL) == 0) {
        user->features = features;
        if (agree_on_protocol(user) == 0 && ask_slots(user) == 0) {
            enough = ask_queues(user, errp);
        }
    }
    if (enough && !user->broken && vhost_user_channel_give(user) == 0 &&
        take_ownership(user) == 0) {
        vhost_user_ask_link(user);
    }
    if (user->broken) {
        loop_task_cancel(&user->fail_task);
        error_setg(errp, "%s", user->why);
    }
    *other_may = enough;
    user->negotiated = enough && !user->broken;
    if (!user->negotiated) {
        user->features = before;
    }
    return user->negotiated;
}

/* ---- beside rings ---- */

bool vhost_user_set_mtu(VhostUser *user, uint16_t mtu, Error **errp)
{
    uint64_t value = mtu;
    VhostUserSend msg = { .request = VHOST_USER_NET_SET_MTU,
                          .payload = &value,
                          .size = sizeof(value) };

    if (!mtu || !vhost_user_ready(user) ||
        !vhost_user_has(user, VHOST_USER_PROTOCOL_F_NET_MTU)) {
        return true;
    }
    if (vhost_user_request(user, &msg) == -EREMOTEIO) {
        vhost_user_break(user, -EREMOTEIO,
                         "NET_SET_MTU: it refuses host_mtu=%u", mtu);
    }
    if (user->broken) {
        error_setg(errp, "%s", user->why);
    }
    return !user->broken;
}

bool vhost_user_send_rarp(VhostUser *user, const uint8_t mac[6])
{
    uint64_t value = 0;
    VhostUserSend msg = { .request = VHOST_USER_SEND_RARP,
                          .payload = &value,
                          .size = sizeof(value) };

    if (!vhost_user_ready(user) ||
        !vhost_user_has(user, VHOST_USER_PROTOCOL_F_RARP)) {
        return false;
    }
    memcpy(&value, mac, 6);
    return vhost_user_send(user, &msg) == 0;
}
