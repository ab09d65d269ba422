/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-user messages: a header of three words, a payload, descriptors beside.
 *
 * The front-end asks, and the back-end answers some requests always and, with
 * REPLY_ACK, any other that asks for it. So there is at most one answer on its
 * way, and it is for the last request; anything else is an offence. What the
 * back-end asks of us goes another way (vhost-user-channel.c).
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <poll.h>

#include "hw/virtio/vhost-user-internal.h"
#include "util/fd.h"

#define PAYLOAD_MAX sizeof(VhostUserTable)

#define NS_PER_MS G_GINT64_CONSTANT(1000000)

/* So many requests of the process are served while it is waited for. */
#define SERVE_MAX 64u

static const struct {
    VhostUserRequest request;
    const char *name;
} names[] = {
    { VHOST_USER_GET_FEATURES, "GET_FEATURES" },
    { VHOST_USER_SET_FEATURES, "SET_FEATURES" },
    { VHOST_USER_SET_OWNER, "SET_OWNER" },
    { VHOST_USER_SET_MEM_TABLE, "SET_MEM_TABLE" },
    { VHOST_USER_SET_LOG_BASE, "SET_LOG_BASE" },
    { VHOST_USER_SET_VRING_NUM, "SET_VRING_NUM" },
    { VHOST_USER_SET_VRING_ADDR, "SET_VRING_ADDR" },
    { VHOST_USER_SET_VRING_BASE, "SET_VRING_BASE" },
    { VHOST_USER_GET_VRING_BASE, "GET_VRING_BASE" },
    { VHOST_USER_SET_VRING_KICK, "SET_VRING_KICK" },
    { VHOST_USER_SET_VRING_CALL, "SET_VRING_CALL" },
    { VHOST_USER_SET_VRING_ERR, "SET_VRING_ERR" },
    { VHOST_USER_GET_PROTOCOL_FEATURES, "GET_PROTOCOL_FEATURES" },
    { VHOST_USER_SET_PROTOCOL_FEATURES, "SET_PROTOCOL_FEATURES" },
    { VHOST_USER_GET_QUEUE_NUM, "GET_QUEUE_NUM" },
    { VHOST_USER_SET_VRING_ENABLE, "SET_VRING_ENABLE" },
    { VHOST_USER_SEND_RARP, "SEND_RARP" },
    { VHOST_USER_NET_SET_MTU, "NET_SET_MTU" },
    { VHOST_USER_SET_BACKEND_REQ_FD, "SET_BACKEND_REQ_FD" },
    { VHOST_USER_GET_CONFIG, "GET_CONFIG" },
    { VHOST_USER_GET_INFLIGHT_FD, "GET_INFLIGHT_FD" },
    { VHOST_USER_SET_INFLIGHT_FD, "SET_INFLIGHT_FD" },
    { VHOST_USER_RESET_DEVICE, "RESET_DEVICE" },
    { VHOST_USER_GET_MAX_MEM_SLOTS, "GET_MAX_MEM_SLOTS" },
    { VHOST_USER_ADD_MEM_REG, "ADD_MEM_REG" },
    { VHOST_USER_REM_MEM_REG, "REM_MEM_REG" },
    { VHOST_USER_SET_STATUS, "SET_STATUS" },
    { VHOST_USER_GET_STATUS, "GET_STATUS" },
};

const char *vhost_user_request_name(VhostUserRequest request)
{
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (names[i].request == request) {
            return names[i].name;
        }
    }
    return "?";
}

int vhost_user_break(VhostUser *user, int error, const char *fmt, ...)
{
    va_list ap;

    if (!user->broken) {
        user->broken = true;
        va_start(ap, fmt);
        g_free(user->why);
        user->why = g_strdup_vprintf(fmt, ap);
        va_end(ap);
        loop_task_schedule(&user->fail_task);
    }
    return error;
}

/* Waits for the socket, and serves the process meanwhile, which may wait for
 * us. False: the time is over, or it is of no use any more. */
static bool wait_for(VhostUser *user, short events, int64_t deadline)
    MAIN_THREAD
{
    struct pollfd pfd[] = { { .fd = user->fd, .events = events },
                            { .events = POLLIN } };
    int64_t begin = clock_now_ns(), now = begin;
    unsigned served = 0;
    bool ready = false;

    while (!ready && now < deadline && !user->broken) {
        int ms = (int)((deadline - now) / NS_PER_MS) + 1;

        pfd[1].fd = served < SERVE_MAX ? user->channel.fd : -1;
        if (poll(pfd, ARRAY_SIZE(pfd), ms) > 0) {
            ready = pfd[0].revents;
            if (pfd[1].revents) {
                vhost_user_channel_serve(user);
                served++;
            }
        }
        now = clock_now_ns();
    }
    user->bank_ns = MAX(user->bank_ns - (now - begin), 0);
    return ready;
}

int64_t vhost_user_bank(VhostUser *user)
{
    int64_t now = clock_now_ns();
    int64_t back = (now - user->bank_at) / VHOST_USER_BANK_BACK;

    user->bank_ns = MIN(user->bank_ns + back, VHOST_USER_BANK_MS * NS_PER_MS);
    user->bank_at = now;
    return user->bank_ns;
}

/* A process that takes nearly all of its time for each answer would have the
 * machine stand still all the same. */
static int64_t deadline_from_now(VhostUser *user) MAIN_THREAD
{
    int64_t left = vhost_user_bank(user);

    return user->bank_at + MIN(left, VHOST_USER_ANSWER_MS * NS_PER_MS);
}

static int break_late(VhostUser *user, VhostUserRequest request,
                      const char *what) MAIN_THREAD
{
    const char *name = vhost_user_request_name(request);

    if (user->bank_ns == 0) {
        return vhost_user_break(user, -ETIMEDOUT,
                                "%s: %s: the back-end has used up its time "
                                "with slow answers",
                                name, what);
    }
    return vhost_user_break(user, -ETIMEDOUT, "%s: %s in time (%d seconds)",
                            name, what, VHOST_USER_ANSWER_MS / 1000);
}

static int send_flagged(VhostUser *user, const VhostUserSend *msg,
                        uint32_t flags) MAIN_THREAD
{
    uint8_t buf[sizeof(VhostUserHeader) + PAYLOAD_MAX];
    VhostUserHeader header = { .request = msg->request,
                               .flags = VHOST_USER_VERSION | flags,
                               .size = (uint32_t)msg->size };
    size_t len = sizeof(header) + msg->size, done = 0;
    int64_t deadline = deadline_from_now(user);

    if (user->fd < 0 || user->broken) {
        return -ENOTCONN;
    }
    memcpy(buf, &header, sizeof(header));
    if (msg->size) {
        memcpy(buf + sizeof(header), msg->payload, msg->size);
    }
    while (done < len) {
        ssize_t r = fd_send(user->fd, buf + done, len - done, msg->fds,
                            done ? 0 : msg->n_fds);

        if (r >= 0) {
            done += (size_t)r;
        } else if (r != -EAGAIN) {
            return vhost_user_break(user, -ENOTCONN, "%s: %s",
                                    vhost_user_request_name(msg->request),
                                    strerror((int)-r));
        } else if (!wait_for(user, POLLOUT, deadline)) {
            return break_late(user, msg->request, "is not taken");
        }
    }
    return 0;
}

int vhost_user_send(VhostUser *user, const VhostUserSend *msg)
{
    return send_flagged(user, msg, 0);
}

/* ---- answers ---- */

/* Descriptors of an answer: one may be wanted, and one more shows that there
 * were too many. */
typedef struct Received {
    int fd[2];
    unsigned n;
} Received;

static int read_all(VhostUser *user, VhostUserRequest request, void *buf,
                    size_t len, Received *got, int64_t deadline) MAIN_THREAD
{
    const char *name = vhost_user_request_name(request);
    size_t done = 0;

    while (done < len) {
        unsigned n = 0;
        ssize_t r = fd_recv(user->fd, (uint8_t *)buf + done, len - done,
                            got->fd + got->n, ARRAY_SIZE(got->fd) - got->n, &n);

        got->n += n;
        if (r > 0) {
            done += (size_t)r;
        } else if (r == 0) {
            return vhost_user_break(user, -ENOTCONN,
                                    "%s: the connection was closed", name);
        } else if (r != -EAGAIN) {
            return vhost_user_break(user, -ENOTCONN, "%s: %s", name,
                                    strerror((int)-r));
        } else if (!wait_for(user, POLLIN, deadline)) {
            return break_late(user, request, "no answer");
        }
    }
    return 0;
}

/* The answer to SET_LOG_BASE has a number or nothing; one without a
 * configuration says so by an empty answer. */
static bool may_be_empty(VhostUserRequest request)
{
    return request == VHOST_USER_SET_LOG_BASE ||
           request == VHOST_USER_GET_CONFIG;
}

static int check_header(VhostUser *user, VhostUserRequest request,
                        const VhostUserHeader *h, size_t size) MAIN_THREAD
{
    const char *name = vhost_user_request_name(request);

    if ((h->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION ||
        !(h->flags & VHOST_USER_REPLY)) {
        return vhost_user_break(user, -EPROTO, "%s: an answer with flags 0x%x",
                                name, h->flags);
    }
    if (h->request != request) {
        return vhost_user_break(user, -EPROTO,
                                "%s: an answer to request %u instead", name,
                                h->request);
    }
    if (h->size != size && (h->size || !may_be_empty(request))) {
        return vhost_user_break(user, -EPROTO,
                                "%s: an answer of %u bytes, not %zu", name,
                                h->size, size);
    }
    return 0;
}

static int read_answer(VhostUser *user, VhostUserRequest request, void *payload,
                       size_t size, Received *got) MAIN_THREAD
{
    int64_t deadline = deadline_from_now(user);
    VhostUserHeader header;
    int r;

    r = read_all(user, request, &header, sizeof(header), got, deadline);
    if (r == 0) {
        r = check_header(user, request, &header, size);
    }
    if (r == 0) {
        r = read_all(user, request, payload, header.size, got, deadline);
    }
    return r;
}

int vhost_user_receive(VhostUser *user, VhostUserRequest request, void *payload,
                       size_t size, int *fd)
{
    Received got = { .fd = { -1, -1 } };
    int r;

    if (user->fd < 0 || user->broken) {
        return -ENOTCONN;
    }
    r = read_answer(user, request, payload, size, &got);
    if (r == 0 && got.n > (fd ? 1u : 0u)) {
        r = vhost_user_break(user, -EPROTO,
                             "%s: an answer with descriptors that nobody asked "
                             "for",
                             vhost_user_request_name(request));
    }
    if (r == 0 && fd) {
        *fd = got.fd[0];
        return 0;
    }
    for (unsigned i = 0; i < got.n; i++) {
        fd_close(&got.fd[i]);
    }
    return r;
}

int vhost_user_request(VhostUser *user, const VhostUserSend *msg)
{
    bool ack = vhost_user_has(user, VHOST_USER_PROTOCOL_F_REPLY_ACK);
    uint64_t result = 0;
    int r = send_flagged(user, msg, ack ? VHOST_USER_NEED_REPLY : 0);

    if (r == 0 && ack) {
        r = vhost_user_receive(user, msg->request, &result, sizeof(result),
                               NULL);
    }
    return r == 0 && result ? -EREMOTEIO : r;
}

int vhost_user_tell(VhostUser *user, const VhostUserSend *msg)
{
    int r = vhost_user_request(user, msg);

    return r == -EREMOTEIO
               ? vhost_user_break(user, r, "%s: the back-end refuses it",
                                  vhost_user_request_name(msg->request))
               : r;
}

int vhost_user_tell_u64(VhostUser *user, VhostUserRequest request,
                        uint64_t value)
{
    VhostUserSend msg = { .request = request,
                          .payload = &value,
                          .size = sizeof(value) };

    return vhost_user_tell(user, &msg);
}

int vhost_user_ask_u64(VhostUser *user, VhostUserRequest request,
                       uint64_t *value)
{
    VhostUserSend msg = { .request = request };
    int r = vhost_user_send(user, &msg);

    return r ? r
             : vhost_user_receive(user, request, value, sizeof(*value), NULL);
}
