/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames of a guest for -netdev user, and what the host's end of its
 * connections does, in a network namespace of its own. Whatever they are, the
 * netdev gives whole frames back, answers an ARP request afterwards, and leaves
 * no file behind. The library runs as it is in the host, and is not looked
 * into: what is, is the netdev around it.
 *
 * Input: a byte that chooses options, then steps. Most frames get lengths and
 * checksums that are right, and TCP ones numbers that fit the last one seen.
 *
 * Threads: one. The netdev's thread is run a turn at a time.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <sanitizer/lsan_interface.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/user-internal.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "tests/fuzz/fuzz.h"
#include "util/endian.h"

#define STEPS     64u
#define HDR_LEN   12u /* of the virtio-net header */
#define ETH       14u
#define FRAME_MAX (65536u + 32u)
#define PEERS     16u
#define PORT      80 /* of the host's listener */
#define FORWARDED 5555
#define MS        1000000

static const char *const options[] = {
    "user,id=net0",
    "user,id=net0,restrict=on",
    "user,id=net0,ipv6=off,hostfwd=tcp:127.0.0.1:5555-:80,"
    "hostfwd=udp:127.0.0.1:5555-:80",
    "user,id=net0,ipv4=off",
    "user,id=net0,net=192.168.7.0/24,dnssearch=a.example,domainname=b.example,"
    "bootfile=c,tftp=.,tftp-server-name=d,hostname=e",
};

static UserState *user;
static bool isolated; /* nothing outside can be reached */
static int64_t now;
static int listener = -1, datagrams = -1, peer[PEERS];
static unsigned n_peers;
static uint8_t frame[HDR_LEN + FRAME_MAX];
static uint32_t guest_seq, guest_ack; /* of a TCP segment that fits */
static uint8_t guest_ports[4];
static bool arp_seen;

/* ---- in the place of the thread and of time ---- */

static void *(*thread_main)(void *);
static bool starting, in_turn;
static unsigned polls;

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*func)(void *), void *arg);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*func)(void *), void *arg);
int __wrap_pthread_join(pthread_t thread, void **ret);
int __real_pthread_join(pthread_t thread, void **ret);
int __wrap_pthread_setname_np(pthread_t thread, const char *name);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout);
int64_t __wrap_clock_now_ns(void);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                          void *(*func)(void *), void *arg)
{
    if (!starting) {
        return __real_pthread_create(thread, attr, func, arg);
    }
    thread_main = func;
    *thread = pthread_self();
    return 0;
}

int __wrap_pthread_join(pthread_t thread, void **ret)
{
    return pthread_equal(thread, pthread_self())
               ? 0
               : __real_pthread_join(thread, ret);
}

int __wrap_pthread_setname_np(pthread_t thread, const char *name)
{
    return 0;
}

/* The thread does not wait, and ends when it would come here once more. */
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout)
{
    if (!in_turn) {
        return __real_poll(fds, n, timeout);
    }
    if (polls-- == 0) {
        user->quit = true;
        return 0;
    }
    return __real_poll(fds, n, 0);
}

int64_t __wrap_clock_now_ns(void)
{
    return now;
}

/* ---- in the place of the library: itself ---- */

/* Of what it has it does not free all at its end (4.7.0: options of TFTP, what
 * waits for an address that the guest does not tell). That is not ours. */

static const SlirpLib *real;

/* Without sanitizers there are none. */
#pragma weak __lsan_disable
#pragma weak __lsan_enable

static void leaks_from_here(bool found)
{
    if (__lsan_disable && __lsan_enable) {
        (found ? __lsan_enable : __lsan_disable)();
    }
}

const SlirpLib *__wrap_user_lib(Error **errp);
const SlirpLib *__real_user_lib(Error **errp);

static Slirp *lib_new(const SlirpConfig *cfg, const SlirpCb *cb, void *opaque)
{
    Slirp *slirp;

    leaks_from_here(false);
    slirp = real->new (cfg, cb, opaque);
    leaks_from_here(true);
    return slirp;
}

static void lib_input(Slirp *slirp, const uint8_t *bytes, int len)
{
    leaks_from_here(false);
    real->input(slirp, bytes, len);
    leaks_from_here(true);
}

static void lib_poll(Slirp *slirp, int error, SlirpGetREventsCb revents,
                     void *opaque)
{
    leaks_from_here(false);
    real->pollfds_poll(slirp, error, revents, opaque);
    leaks_from_here(true);
}

static void lib_timer(Slirp *slirp, SlirpTimerId id, void *opaque)
{
    leaks_from_here(false);
    real->handle_timer(slirp, id, opaque);
    leaks_from_here(true);
}

const SlirpLib *__wrap_user_lib(Error **errp)
{
    static SlirpLib lib;

    real = __real_user_lib(errp);
    g_assert_nonnull(real);
    lib = *real;
    lib.new = lib_new;
    lib.input = lib_input;
    lib.pollfds_poll = lib_poll;
    lib.handle_timer = lib_timer;
    return &lib;
}

static void turn(void)
{
    in_turn = true;
    polls = 1;
    thread_main(user);
    in_turn = false;
    user->quit = false;
}

/* ---- the host ---- */

/* A network without a way out: loopback only. */
static bool leave_network(void)
{
    struct ifreq ifr = { .ifr_name = "lo" };
    bool ok = unshare(CLONE_NEWNET) == 0 ||
              unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
    int s = ok ? socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;

    if (s >= 0) {
        ifr.ifr_flags = IFF_UP | IFF_RUNNING;
        ioctl(s, SIOCSIFFLAGS, &ifr);
        close(s);
    }
    return s >= 0;
}

static int open_socket(int type, int port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int s = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_assert_cmpint(s, >=, 0);
    g_assert_cmpint(bind(s, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    return s;
}

int LLVMFuzzerInitialize(int *argc, char ***argv) NO_THREAD_SAFETY
{
    Error *err = NULL;

    signal(SIGPIPE, SIG_IGN); /* as main() has it */
    g_assert_true(main_loop_init(&err));
    isolated = leave_network();
    if (isolated) {
        listener = open_socket(SOCK_STREAM, PORT);
        g_assert_cmpint(listen(listener, 128), ==, 0);
        datagrams = open_socket(SOCK_DGRAM, PORT);
    }
    return 0;
}

/* No end waits in the kernel for packets that may still come. */
static void close_peer(int fd)
{
    struct linger none = { .l_onoff = 1 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(fd);
}

static void add_peer(int fd)
{
    if (fd >= 0 && n_peers < PEERS) {
        peer[n_peers++] = fd;
    } else if (fd >= 0) {
        close_peer(fd);
    }
}

static void connect_forwarded(void)
{
    struct sockaddr_in addr = { .sin_family = AF_INET,
                                .sin_port = htons(FORWARDED),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    g_assert_cmpint(s, >=, 0);
    if (connect(s, (struct sockaddr *)&addr, sizeof(addr)) == 0 ||
        errno == EINPROGRESS) {
        add_peer(s);
    } else {
        close(s);
    }
}

static void step_host(FuzzInput *in)
{
    uint8_t how = fuzz_u8(in);
    uint8_t buf[4096] = { 0 };
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    size_t size = fuzz_u16(in) % sizeof(buf);

    if (!isolated) {
        return;
    }
    add_peer(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (recvfrom(datagrams, buf, sizeof(buf), 0, (struct sockaddr *)&from,
                 &len) >= 0) {
        sendto(datagrams, buf, size, 0, (struct sockaddr *)&from, len);
    }
    if (how & 1) {
        connect_forwarded();
    }
    for (unsigned i = 0; i < n_peers; i++) {
        while (recv(peer[i], buf, sizeof(buf), 0) > 0) {
        }
        if (how & 2) {
            send(peer[i], buf, size, MSG_NOSIGNAL | (how & 4 ? MSG_OOB : 0));
        }
        if (how & 8) {
            shutdown(peer[i], how & 16 ? SHUT_RD : SHUT_WR);
        }
    }
    if ((how & 32) && n_peers) {
        close_peer(peer[--n_peers]);
    }
}

static void end_host(void)
{
    int fd;

    while (n_peers) {
        close_peer(peer[--n_peers]);
    }
    while (isolated && (fd = accept4(listener, NULL, NULL, 0)) >= 0) {
        close_peer(fd);
    }
}

/* ---- the guest ---- */

static uint32_t sum(uint32_t start, const uint8_t *at, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        start += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    }
    return start;
}

static void store_sum(uint8_t *to, uint32_t value)
{
    value = (value >> 16) + (value & 0xffff);
    value = (value >> 16) + (value & 0xffff);
    store_be16(to, (uint16_t)~value);
}

/* Where the checksum of a segment of protocol @proto is; 0: it has none. */
static size_t sum_place(uint8_t proto, size_t len)
{
    size_t at = proto == IPPROTO_TCP      ? 16
                : proto == IPPROTO_UDP    ? 6
                : proto == IPPROTO_ICMP   ? 2
                : proto == IPPROTO_ICMPV6 ? 2
                                          : 0;

    return at + 2 <= len ? at : 0;
}

/* Makes the segment behind @addrs, the addresses of its packet, right. */
static void finish_segment(uint8_t *seg, size_t len, uint8_t proto,
                           const uint8_t *addrs, size_t addrs_len, bool fits)
{
    size_t at = sum_place(proto, len);
    uint32_t value = (uint32_t)len + proto;

    if (proto == IPPROTO_TCP && len >= sizeof(struct tcphdr) && fits) {
        store_be16(seg + 4, (uint16_t)(guest_seq >> 16));
        store_be16(seg + 6, (uint16_t)guest_seq);
        store_be16(seg + 8, (uint16_t)(guest_ack >> 16));
        store_be16(seg + 10, (uint16_t)guest_ack);
        if (load_be16(seg) == 0) {
            memcpy(seg, guest_ports, sizeof(guest_ports));
        }
    }
    if (proto == IPPROTO_UDP && at) {
        store_be16(seg + 4, (uint16_t)len);
    }
    if (at) {
        store_be16(seg + at, 0);
        value = proto == IPPROTO_ICMP ? 0 : sum(value, addrs, addrs_len);
        store_sum(seg + at, sum(value, seg, len));
    }
}

static void give(size_t len)
{
    struct iovec iov = { frame, HDR_LEN + len };

    if (len) {
        ssize_t r = user->nc.info->send(&user->nc.queue[0], &iov, 1);

        g_assert_true(r == 0 || r == (ssize_t)iov.iov_len);
    }
}

static void ethernet(uint16_t type)
{
    static const uint8_t start[] = { 0x52, 0x55, 0x0a, 0x00, 0x02, 0x02,
                                     0x52, 0x54, 0x00, 0x12, 0x34, 0x56 };

    memset(frame, 0, sizeof(frame));
    memcpy(frame + HDR_LEN, start, sizeof(start));
    store_be16(frame + HDR_LEN + 12, type);
}

static void step_raw(FuzzInput *in)
{
    uint8_t some = fuzz_u8(in);
    size_t len = some & 0x80 ? fuzz_u16(in) : some;

    ethernet(0);
    fuzz_bytes(in, frame + HDR_LEN, some & 0x7f);
    give(len);
}

static void step_ipv4(FuzzInput *in)
{
    static const uint8_t to[][4] = { { 10, 0, 2, 2 },        { 10, 0, 2, 3 },
                                     { 10, 0, 2, 255 },      { 192, 168, 7, 2 },
                                     { 255, 255, 255, 255 }, { 127, 0, 0, 1 },
                                     { 224, 0, 0, 1 },       { 192, 0, 2, 1 } };
    uint8_t how = fuzz_u8(in), proto = fuzz_u8(in), some = fuzz_u8(in);
    size_t len = some + (how & 0x80 ? fuzz_u16(in) % 8192 : 0);
    uint8_t *ip = frame + HDR_LEN + ETH;
    uint8_t guest[] = { 10, 0, 2, 15 };

    ethernet(0x0800);
    proto = proto < 64 ? IPPROTO_TCP : proto < 128 ? IPPROTO_UDP : proto;
    proto = proto == 255 ? IPPROTO_ICMP : proto;
    ip[0] = 0x45;
    ip[8] = 64;
    ip[9] = proto;
    memcpy(ip + 12, guest, sizeof(guest));
    memcpy(ip + 16, to[how & 7], sizeof(to[0]));
    if (how & 0x40) {
        fuzz_bytes(in, ip, 12); /* fragments, options, a wrong length */
        ip[0] = 0x45;
    }
    if (!(how & 0x20)) {
        store_be16(ip + 2, (uint16_t)(20 + len));
    }
    fuzz_bytes(in, ip + 20, some);
    finish_segment(ip + 20, len, ip[9], ip + 12, 8, how & 8);
    store_be16(ip + 10, 0);
    store_sum(ip + 10, sum(0, ip, 20));
    give(ETH + 20 + len);
    if (how & 8) {
        guest_seq += how & 0x10 ? 1 : (uint32_t)(len > 20 ? len - 20 : 0);
    }
}

static void step_ipv6(FuzzInput *in)
{
    /* The router, the name server, all routers, DHCP servers. */
    static const char *const to[] = { "fe80::2", "fec0::2",    "fec0::3",
                                      "ff02::1", "ff02::2",    "ff02::1:2",
                                      "fe80::1", "2001:db8::1" };
    uint8_t how = fuzz_u8(in), proto = fuzz_u8(in), some = fuzz_u8(in);
    size_t len = some + (how & 0x80 ? fuzz_u16(in) % 8192 : 0);
    uint8_t *ip = frame + HDR_LEN + ETH;

    ethernet(0x86dd);
    proto = proto < 64    ? IPPROTO_TCP
            : proto < 128 ? IPPROTO_UDP
            : proto < 224 ? IPPROTO_ICMPV6
                          : proto;
    ip[0] = 0x60;
    store_be16(ip + 4, how & 0x20 ? fuzz_u16(in) : (uint16_t)len);
    ip[6] = proto;
    ip[7] = 255;
    inet_pton(AF_INET6, how & 0x40 ? "::" : "fe80::5054:ff:fe12:3456", ip + 8);
    inet_pton(AF_INET6, to[how & 7], ip + 24);
    fuzz_bytes(in, ip + 40, some);
    finish_segment(ip + 40, len, proto, ip + 8, 32, how & 8);
    give(ETH + 40 + len);
    if (how & 8) {
        guest_seq += how & 0x10 ? 1 : (uint32_t)(len > 20 ? len - 20 : 0);
    }
}

/* Numbers for an answer to the segment at @seg. */
static void note_segment(const uint8_t *seg, size_t len)
{
    size_t hdr_len = len > 12 ? (size_t)(seg[12] >> 4) * 4 : 0;

    if (len < sizeof(struct tcphdr) || len < hdr_len) {
        return;
    }
    guest_seq = (uint32_t)load_be16(seg + 8) << 16 | load_be16(seg + 10);
    guest_ack = (uint32_t)load_be16(seg + 4) << 16 | load_be16(seg + 6);
    guest_ack += (uint32_t)(len - hdr_len) + ((seg[13] & 3) != 0);
    memcpy(guest_ports, seg + 2, 2);
    memcpy(guest_ports + 2, seg, 2);
}

static void take_frames(void)
{
    struct iovec iov[] = { { frame, 100 }, { frame + 100, FRAME_MAX - 100 } };
    const uint8_t *eth = frame + HDR_LEN;
    ssize_t r;

    memset(frame, 0xff, HDR_LEN);
    while ((r = user->nc.info->recv(&user->nc.queue[0], iov, 2)) > 0) {
        size_t len = (size_t)r - HDR_LEN;

        g_assert_cmpuint((size_t)r, >=, HDR_LEN + ETH);
        g_assert_cmpuint((size_t)r, <=, FRAME_MAX);
        for (unsigned i = 0; i < HDR_LEN; i++) {
            g_assert_cmpuint(frame[i], ==, 0);
        }
        if (load_be16(eth + 12) == 0x0800 && len > ETH + 20 &&
            eth[ETH + 9] == IPPROTO_TCP) {
            note_segment(eth + ETH + 20, len - ETH - 20);
        } else if (load_be16(eth + 12) == 0x86dd && len > ETH + 40 &&
                   eth[ETH + 6] == IPPROTO_TCP) {
            note_segment(eth + ETH + 40, len - ETH - 40);
        }
        arp_seen |= load_be16(eth + 12) == 0x0806 && eth[ETH + 7] == 2;
        memset(frame, 0xff, HDR_LEN);
    }
    g_assert_cmpint(r, ==, 0);
}

/* "Who has the router's address?" */
static void check_alive(void)
{
    const uint8_t arp[] = { 0,    1, 8,    0,    6,    4,  0, 1, 0x52,
                            0x54, 0, 0x12, 0x34, 0x56, 10, 0, 2, 15 };
    struct in_addr router = { user->network.s_addr | htonl(2) };

    for (unsigned i = 0; i < 16 && net_frame_queue_length(user->from_guest);
         i++) {
        turn();
        take_frames();
    }
    arp_seen = false;
    ethernet(0x0806);
    memset(frame + HDR_LEN, 0xff, 6);
    memcpy(frame + HDR_LEN + ETH, arp, sizeof(arp));
    memcpy(frame + HDR_LEN + ETH + 14, &user->network, 4);
    frame[HDR_LEN + ETH + 17] = 15;
    memcpy(frame + HDR_LEN + ETH + 24, &router, 4);
    give(60);
    turn();
    take_frames();
    g_assert_true(arp_seen);
}

static void step(FuzzInput *in)
{
    switch (fuzz_u8(in) % 10) {
    case 0:
        step_raw(in);
        break;
    case 1:
    case 2:
    case 3:
        step_ipv4(in);
        break;
    case 4:
    case 5:
        step_ipv6(in);
        break;
    case 6:
        step_host(in);
        break;
    case 7:
        now += (int64_t)fuzz_u16(in) * MS;
        break;
    case 8:
        turn();
        break;
    case 9:
        turn();
        take_frames();
        break;
    }
}

static int next_fd(void)
{
    int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) NO_THREAD_SAFETY
{
    FuzzInput in = { data, len };
    unsigned kind = fuzz_u8(&in) % ARRAY_SIZE(options);
    int before = next_fd();
    Error *err = NULL;

    now = 1000000000;
    guest_seq = guest_ack = 1;
    starting = true;
    netdev_add_text(options[isolated ? kind : 1], &err);
    starting = false;
    g_assert_no_error(err);
    user = container_of(net_client_find("net0"), UserState, nc);
    for (unsigned i = 0; i < STEPS && in.left; i++) {
        step(&in);
    }
    if (kind != 3) {
        check_alive();
    }
    netdev_del("net0", &err);
    g_assert_no_error(err);
    end_host();
    g_assert_cmpint(next_fd(), ==, before);
    return 0;
}
