/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A vhost-user process that answers what it likes, in any form, with any
 * descriptors, or leaves; while the front-end negotiates, hands rings over and
 * takes them back. And what it asks by a channel of its own. The front-end
 * waits for nobody here: there is an answer at once, or the time is over.
 *
 * Input: a byte whose bit 0 makes it two pairs, then answers to the questions,
 * in their order, and between them steps of the machine.
 *
 * Threads: one.
 */
#include "util/osdep.h"

#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "hw/virtio/vhost-user-internal.h"
#include "system/dirty-log.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "tests/fuzz/fuzz.h"
#include "util/fd.h"

#define RAM       0x20000u
#define RING_SIZE 64u
#define STEPS     24u
#define REPLY     5u /* flags of an answer, and the version */

/* Of a question about MAC and status, and of its answer. */
#define CONFIG_SIZE 20u

/* An answer that is being read. */
typedef struct Answer {
    uint8_t bytes[64];
    size_t len, at;
    int fd; /* comes with its first byte; -1: none */
} Answer;

typedef struct Message {
    uint32_t request, flags, size;
} Message;

static FuzzInput *input;
static Answer answer;
static int front = -1, peer = -1; /* the process has the second one */
static int channel = -1;          /* its end of that for its requests */
static uint32_t last_request;
static int64_t now;
static VirtQueue queue[2];

ssize_t __wrap_fd_recv(int sock, void *buf, size_t len, int *fds,
                       unsigned max_fds, unsigned *n_fds);
ssize_t __real_fd_recv(int sock, void *buf, size_t len, int *fds,
                       unsigned max_fds, unsigned *n_fds);
int64_t __wrap_clock_now_ns(void);

/* Whoever asks twice has waited too long. */
int64_t __wrap_clock_now_ns(void)
{
    return now += 60000000000;
}

/* Reads all that was sent, for the last request. */
static void read_requests(void)
{
    int fds[8];
    unsigned n_fds;
    Message m;

    while (__real_fd_recv(peer, &m, sizeof(m), fds, ARRAY_SIZE(fds), &n_fds) ==
           sizeof(m)) {
        uint8_t payload[1024];

        last_request = m.request;
        for (unsigned i = 0; i < n_fds; i++) {
            if (m.request == VHOST_USER_SET_BACKEND_REQ_FD) {
                fd_close(&channel);
                channel = fds[i];
            } else {
                close(fds[i]);
            }
        }
        g_assert_cmpuint(m.size, <=, sizeof(payload));
        if (m.size) {
            g_assert_cmpint(recv(peer, payload, m.size, 0), ==, m.size);
        }
    }
}

static int take_fd(void)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, fuzz_u16(input)), ==, 0);
    return fd;
}

/* What the process says next. False: it has gone. */
static bool make_answer(void)
{
    uint8_t how = fuzz_u8(input);
    Message m = { last_request, REPLY, 8 };

    if (!input->left) {
        return false;
    }
    if (last_request == VHOST_USER_GET_INFLIGHT_FD) {
        m.size = sizeof(VhostUserInflight);
    } else if (last_request == VHOST_USER_GET_CONFIG) {
        m.size = CONFIG_SIZE;
    }
    if (how & 1) {
        m.size = fuzz_u8(input);
    }
    if (how & 2) {
        fuzz_bytes(input, &m, sizeof(m));
    }
    memcpy(answer.bytes, &m, sizeof(m));
    answer.len = sizeof(m) + MIN(m.size, sizeof(answer.bytes) - sizeof(m));
    memset(answer.bytes + sizeof(m), how & 4 ? 0xff : 0,
           sizeof(answer.bytes) - sizeof(m));
    if (how & 8) {
        fuzz_bytes(input, answer.bytes + sizeof(m), fuzz_u8(input) % 41);
    }
    answer.fd = how & 16 ? take_fd() : -1;
    answer.at = 0;
    return !(how & 32);
}

ssize_t __wrap_fd_recv(int sock, void *buf, size_t len, int *fds,
                       unsigned max_fds, unsigned *n_fds)
{
    size_t part;

    if (sock != front) {
        return __real_fd_recv(sock, buf, len, fds, max_fds, n_fds);
    }
    *n_fds = 0;
    if (answer.at == answer.len) {
        read_requests();
        fd_close(&answer.fd);
        if (!make_answer()) {
            answer.at = answer.len = 0;
            return last_request & 1 ? 0 : -EAGAIN;
        }
    }
    part = MIN(len, answer.len - answer.at);
    if (part > 1 && answer.bytes[answer.len - 1] == 0x77) {
        part = 1; /* byte by byte */
    }
    memcpy(buf, answer.bytes + answer.at, part);
    answer.at += part;
    if (answer.fd >= 0 && max_fds) {
        fds[(*n_fds)++] = answer.fd;
        answer.fd = -1;
    }
    return (ssize_t)part;
}

/* ---- the machine ---- */

static void gone(void *opaque, const char *reason)
{
    g_assert_nonnull(reason);
}

static void ring_error(void *opaque, unsigned ring)
{
}

int LLVMFuzzerInitialize(int *argc, char ***argv) NO_THREAD_SAFETY
{
    int fd = memfd_create("ram", MFD_CLOEXEC);
    RamRange range = { .size = RAM, .fd = fd };
    Error *err = NULL;

    g_assert_true(main_loop_init(&err));
    g_assert_cmpint(ftruncate(fd, RAM), ==, 0);
    range.host = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(ram_add(&range, &err));
    for (unsigned i = 0; i < 2; i++) {
        g_assert_true(virtqueue_init(&queue[i], i, RING_SIZE, &err));
    }
    return 0;
}

static void rings_reset(void)
{
    for (unsigned i = 0; i < 2; i++) {
        VirtQueue *vq = &queue[i];

        virtqueue_reset(vq);
        vq->size = RING_SIZE;
        vq->desc_gpa = 0x1000 + 0x4000 * i;
        vq->avail_gpa = vq->desc_gpa + 0x1000;
        vq->used_gpa = vq->desc_gpa + 0x2000;
        vq->enabled = true;
        virtqueue_set_features(vq, 1ULL << VIRTIO_F_VERSION_1);
    }
}

static void close_all(void)
{
    fd_close(&front);
    fd_close(&peer);
    fd_close(&channel);
    fd_close(&answer.fd);
    answer.at = answer.len = 0;
}

static void connect_again(VhostUser *user) MAIN_THREAD
{
    bool other_may;
    Error *err = NULL;
    int fds[2];

    vhost_user_disconnect(user);
    close_all();
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                    ==, 0);
    front = fds[0];
    peer = fds[1];
    vhost_user_connect(user, fds[0]);
    if (!vhost_user_negotiate(user, &other_may, &err)) {
        g_assert_nonnull(err);
        g_clear_error(&err);
        g_assert_false(vhost_user_ready(user));
    }
}

/* The driver takes all that is offered of what matters for a ring. */
static void start(VhostNet *vhost, bool *running) MAIN_THREAD
{
    uint64_t features =
        vhost_net_features(vhost) & vhost_net_feature_mask(vhost);
    Error *err = NULL;

    if (!*running) {
        rings_reset();
        *running =
            vhost_net_start(vhost, &queue[0], &queue[1], -1, features, &err);
        g_assert_true(*running == !err);
        g_clear_error(&err);
    }
}

static void stop(VhostNet *vhost, bool *running) MAIN_THREAD
{
    if (*running) {
        vhost_net_stop(vhost);
        *running = false;
    }
}

/* Requests of the process, whole or not, one or many. */
static void step_channel(FuzzInput *in)
{
    uint8_t how = fuzz_u8(in);
    Message m = { how & 3, 1 | (how & 4 ? VHOST_USER_NEED_REPLY : 0), 0 };
    uint8_t bytes[sizeof(m) + 48];
    size_t len = how & 8 ? 0 : sizeof(m), more = how & 16 ? fuzz_u8(in) : 0;

    if (channel < 0) {
        return;
    }
    memcpy(bytes, &m, sizeof(m));
    more %= sizeof(bytes) - len;
    fuzz_bytes(in, bytes + len, more);
    for (unsigned i = 0; i < (how & 32 ? 100 : 1); i++) {
        send(channel, bytes, len + more, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    while ((how & 64) &&
           recv(channel, bytes, sizeof(bytes), MSG_DONTWAIT) > 0) {
    }
    if (how & 128) {
        fd_close(&channel);
    }
}

static void link_changed(void *opaque)
{
}

static void step_log(bool on) MAIN_THREAD
{
    Error *err = NULL;

    if (dirty_log_get()) {
        dirty_log_take();
        dirty_log_stop();
    } else if (on) {
        g_assert_true(dirty_log_start(&err) == !err);
        g_clear_error(&err);
    }
}

static void run_steps(VhostUser *user, VhostNet *vhost) MAIN_THREAD
{
    static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
    bool running = false;
    uint16_t base;

    connect_again(user);
    for (unsigned i = 0; i < STEPS && input->left; i++) {
        switch (fuzz_u8(input) % 11) {
        case 0:
            stop(vhost, &running);
            connect_again(user);
            break;
        case 1:
        case 2:
            start(vhost, &running);
            break;
        case 3:
            stop(vhost, &running);
            break;
        case 4:
            vhost_user_set_mtu(user, fuzz_u16(input), NULL);
            break;
        case 5:
            vhost_user_send_rarp(user, mac);
            break;
        case 6:
            if (running) {
                vhost_net_ring_base(vhost, 0, &base, NULL);
            }
            break;
        case 7:
            stop(vhost, &running);
            vhost_net_reset(vhost);
            break;
        case 8:
        case 9:
            step_channel(input);
            break;
        case 10:
            step_log(true);
            break;
        }
        event_loop_turn(main_loop(), 0);
    }
    stop(vhost, &running);
    vhost_user_disconnect(user);
    step_log(false);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) NO_THREAD_SAFETY
{
    FuzzInput in = { data, len };
    VhostUser *user = vhost_user_new(1 + (fuzz_u8(&in) & 1), gone, NULL);
    VhostNet *vhost = vhost_net_new_user(user, 0, ring_error, NULL, NULL);

    g_assert_nonnull(vhost);
    input = &in;
    answer = (Answer){ .fd = -1 };
    vhost_user_on_link(user, link_changed);
    run_steps(user, vhost);
    vhost_net_free(vhost);
    vhost_user_free(user);
    close_all();
    return 0;
}
