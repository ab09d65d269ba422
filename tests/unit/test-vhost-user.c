/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vhost-user where a back-end in another process cannot show it: guest memory
 * in many parts and memory that changes, time that runs out, places in packed
 * rings.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "hw/virtio/vhost-user-internal.h"
#include "hw/virtio/vhost-user-shadow.h"
#include "system/main-loop.h"
#include "util/endian.h"
#include "util/fd.h"

#define MIB 0x100000ull

static unsigned failures; /* told by VhostUserFailFunc */

static void note_failure(void *opaque, const char *reason)
{
    failures++;
}

/* ---- memory ---- */

static RamMap *map_of(const RamRange *ranges, unsigned n)
{
    RamMap *map = g_malloc0(sizeof(*map) + n * sizeof(map->range[0]));

    map->n = n;
    memcpy(map->range, ranges, n * sizeof(ranges[0]));
    return map;
}

static RamRange range_of(uint64_t gpa, uint64_t size, int fd, uint64_t offset)
{
    return (RamRange){ .gpa = gpa,
                       .size = size,
                       .host = (uint8_t *)0x7f0000000000 + offset,
                       .fd = fd,
                       .fd_offset = offset };
}

static void check_region(const VhostUserMemory *m, unsigned i, uint64_t gpa,
                         uint64_t size, int fd)
{
    g_assert_cmphex(m->region[i].gpa, ==, gpa);
    g_assert_cmphex(m->region[i].size, ==, size);
    g_assert_cmpint(m->fd[i], ==, fd);
}

static void test_side_by_side(void)
{
    RamRange ranges[] = {
        range_of(0, MIB, 5, 0), range_of(MIB, MIB, 5, MIB), /* goes on */
        range_of(2 * MIB, MIB, 6, 2 * MIB),                 /* another file */
        range_of(3 * MIB, MIB, 6, 4 * MIB),    /* a hole in the file */
        range_of(5 * MIB, 2 * MIB, 6, 5 * MIB) /* a hole in the guest */
    };
    g_autofree RamMap *map = map_of(ranges, ARRAY_SIZE(ranges));
    VhostUserMemory m;
    Error *err = NULL;

    g_assert_true(vhost_user_memory_fill(&m, map, &err));
    g_assert_cmpuint(m.n, ==, 4);
    check_region(&m, 0, 0, 2 * MIB, 5);
    check_region(&m, 1, 2 * MIB, MIB, 6);
    check_region(&m, 2, 3 * MIB, MIB, 6);
    check_region(&m, 3, 5 * MIB, 2 * MIB, 6);
    g_assert_cmphex(m.region[2].offset, ==, 4 * MIB);
}

static void test_private(void)
{
    RamRange ranges[] = { range_of(0, MIB, 5, 0), range_of(MIB, MIB, -1, 0) };
    g_autofree RamMap *map = map_of(ranges, 2);
    VhostUserMemory m;
    Error *err = NULL;

    map->range[1].readonly = true; /* a ROM is left out */
    g_assert_true(vhost_user_memory_fill(&m, map, &err));
    g_assert_cmpuint(m.n, ==, 1);

    map->range[1].readonly = false;
    g_assert_false(vhost_user_memory_fill(&m, map, &err));
    g_assert_nonnull(strstr(err->message, "share=on"));
    g_error_free(err);
}

static void test_too_many(void)
{
    RamRange ranges[VHOST_USER_REGIONS_MAX + 1];
    VhostUserMemory m;
    Error *err = NULL;

    for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
        ranges[i] = range_of(2 * i * MIB, MIB, 5, 2 * i * MIB);
    }
    for (unsigned n = VHOST_USER_REGIONS_MAX; n <= ARRAY_SIZE(ranges); n++) {
        g_autofree RamMap *map = map_of(ranges, n);

        g_assert_cmpint(vhost_user_memory_fill(&m, map, &err), ==,
                        n == VHOST_USER_REGIONS_MAX);
    }
    g_assert_nonnull(strstr(err->message, "64 parts"));
    g_error_free(err);
}

/* ---- a connection without a process ---- */

typedef struct Link {
    VhostUser *user;
    int fd[2];
} Link;

static Link link_new(uint64_t protocol)
{
    Link link = { .user = vhost_user_new(2, note_failure, NULL) };

    failures = 0;
    g_assert_cmpint(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, link.fd), ==, 0);
    link.user->fd = link.fd[0];
    link.user->bank_ns = INT64_MAX / 2;
    link.user->bank_at = clock_now_ns();
    link.user->protocol = protocol;
    link.user->negotiated = true;
    return link;
}

static void link_free(Link *link)
{
    vhost_user_free(link->user);
    fd_close(&link->fd[0]);
    fd_close(&link->fd[1]);
}

/* The next request; 0: there is none. */
static uint32_t next_request(Link *link, VhostUserSlot *slot, unsigned *n_fds)
{
    uint32_t header[3];
    int fds[8];
    ssize_t r = fd_recv(link->fd[1], header, sizeof(header), fds,
                        ARRAY_SIZE(fds), n_fds);

    if (r < 0) {
        return 0;
    }
    g_assert_cmpint(r, ==, sizeof(header));
    g_assert_cmpuint(header[2], ==, sizeof(*slot));
    g_assert_cmpint(read(link->fd[1], slot, sizeof(*slot)), ==, sizeof(*slot));
    for (unsigned i = 0; i < *n_fds; i++) {
        close(fds[i]);
    }
    return header[0];
}

static void test_slots_change(void)
{
    int memfd = memfd_create("ram", MFD_CLOEXEC);
    RamRange range = { .gpa = 0, .size = MIB, .fd = memfd };
    Link link = link_new(1ULL << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS);
    VhostDev dev = { .user = link.user };
    VhostUserSlot slot;
    unsigned n_fds;

    g_assert_cmpint(ftruncate(memfd, 4 * MIB), ==, 0);
    range.host =
        mmap(NULL, 4 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
    g_assert_true(ram_add(&range, NULL));
    link.user->slots = 1;
    g_assert_cmpint(vhost_user_memory_tell(link.user, true), ==, 0);
    g_assert_cmpuint(next_request(&link, &slot, &n_fds), ==,
                     VHOST_USER_ADD_MEM_REG);
    g_assert_cmpuint(n_fds, ==, 1);
    g_assert_cmphex(slot.region.size, ==, MIB);

    /* What it knows is not told again. */
    g_assert_cmpint(vhost_user_memory_tell(link.user, true), ==, 0);
    g_assert_cmpuint(next_request(&link, &slot, &n_fds), ==, 0);

    /* The region has grown: the old one goes first, there is one slot. */
    range.gpa = MIB;
    range.host += MIB;
    range.fd_offset = MIB;
    g_assert_true(ram_add(&range, NULL));
    g_assert_cmpint(vhost_user_memory_tell(link.user, false), ==, 0);
    g_assert_cmpuint(next_request(&link, &slot, &n_fds), ==,
                     VHOST_USER_REM_MEM_REG);
    g_assert_cmpuint(n_fds, ==, 0);
    g_assert_cmphex(slot.region.size, ==, MIB);
    g_assert_cmpuint(next_request(&link, &slot, &n_fds), ==,
                     VHOST_USER_ADD_MEM_REG);
    g_assert_cmphex(slot.region.size, ==, 2 * MIB);

    /* A part more than there are slots. */
    range.gpa = 8 * MIB;
    range.host += MIB;
    range.fd_offset = 2 * MIB;
    g_assert_true(ram_add(&range, NULL));
    g_assert_cmpint(vhost_user_memory_tell(link.user, false), ==, -E2BIG);
    g_assert_false(vhost_user_ready(link.user));
    /* To the device that is a connection that has gone, no fault of its own. */
    g_assert_cmpint(vhost_user_ops.memory(&dev), ==, -ENOTCONN);
    event_loop_turn(main_loop(), 0);
    g_assert_cmpuint(failures, ==, 1);
    link_free(&link);
}

static void test_time(void)
{
    Link link = link_new(0);
    uint64_t value = 0;
    int64_t begin = clock_now_ns();

    /* Silence: as long as the bank lasts, and no longer. */
    link.user->bank_ns = 20 * 1000000;
    g_assert_cmpint(
        vhost_user_ask_u64(link.user, VHOST_USER_GET_QUEUE_NUM, &value), ==,
        -ETIMEDOUT);
    g_assert_cmpint(clock_now_ns() - begin, >=, 20 * 1000000);
    g_assert_cmpint(link.user->bank_ns, <, 1000000);
    /* Nothing is sent any more, or waited for. */
    g_assert_cmpint(
        vhost_user_ask_u64(link.user, VHOST_USER_GET_QUEUE_NUM, &value), ==,
        -ENOTCONN);
    event_loop_turn(main_loop(), 0);
    event_loop_turn(main_loop(), 0);
    g_assert_cmpuint(failures, ==, 1);
    link_free(&link);
}

/* One who uses up its time finds none when it comes back: it waits for a second
 * of it, which everybody gets. */
static void test_time_of_the_next(void)
{
    Link link = link_new(0);
    uint64_t value = 0;
    int64_t second = 1000000000;

    link.user->bank_ns = 15 * second;
    g_assert_true(vhost_user_is_quick(link.user));
    g_assert_cmpint(vhost_user_not_before(link.user), <=, clock_now_ns());
    link.user->bank_ns = 20 * 1000000;
    vhost_user_ask_u64(link.user, VHOST_USER_GET_QUEUE_NUM, &value);
    vhost_user_disconnect(link.user);
    g_assert_false(vhost_user_is_quick(link.user));
    g_assert_cmpint(vhost_user_not_before(link.user), >,
                    clock_now_ns() + 9 * second);
    g_assert_cmpint(vhost_user_not_before(link.user), <=,
                    clock_now_ns() + 10 * second);
    vhost_user_connect(link.user, link.fd[0]);
    g_assert_cmpint(link.user->bank_ns, >=, second);
    g_assert_cmpint(link.user->bank_ns, <, 2 * second);
    link_free(&link);
}

/* ---- the place in a packed ring ---- */

/* @number's part of a buffer for 4 rings of 256: version, used and old index
 * and wrap counters at their places of the protocol. */
static void put_place(int fd, unsigned number, uint16_t version, uint16_t used,
                      uint16_t old, bool wrap, bool old_wrap)
{
    uint8_t part[31] = { 0 };

    memcpy(part + 8, &version, 2);
    memcpy(part + 16, &used, 2);
    memcpy(part + 18, &old, 2);
    part[20] = wrap;
    part[21] = old_wrap;
    g_assert_cmpint(pwrite(fd, part, sizeof(part), number * 8256), ==,
                    sizeof(part));
}

/* A ring in its second lap, in which the driver has come to slot 16 and the
 * device has used all but the last 6 slots; they could be one chain, or
 * several.
 */
static struct vring_packed_desc packed_desc[256];

static void fill_packed_ring(void)
{
    for (unsigned i = 0; i < 256; i++) {
        bool wrap = i >= 16, used = i < 10 || i >= 16;
        uint16_t flags = wrap ? 1u << VRING_PACKED_DESC_F_AVAIL : 0;

        if (used == wrap) {
            flags |= 1u << VRING_PACKED_DESC_F_USED;
        }
        packed_desc[i] = (struct vring_packed_desc){ .addr = htole64(4096),
                                                     .flags = htole16(flags) };
    }
}

static bool lost(const Link *link, uint16_t *base)
{
    VhostDev dev = { .user = link->user, .pair = 1 };
    VirtQueue vq = { .size = 256, .packed = true, .desc = packed_desc };

    return vhost_user_ops.ring_lost(&dev, 1, &vq, base);
}

static void test_packed_place(void)
{
    Link link = link_new(0);
    int fd = memfd_create("inflight", MFD_CLOEXEC), pipe_fd[2];
    uint16_t base = 0;

    g_assert_cmpint(ftruncate(fd, 4 * 8256), ==, 0);
    fill_packed_ring();
    link.user->inflight =
        (VhostUserInflight){ .size = 4 * 8256, .queues = 4, .queue_size = 256 };
    g_assert_false(lost(&link, &base)); /* no buffer */
    link.user->inflight_fd = fd;
    g_assert_false(lost(&link, &base)); /* nobody has written to it */

    put_place(fd, 3, 1, 10, 10, false, false);
    g_assert_true(lost(&link, &base));
    g_assert_cmphex(base, ==, 10);
    /* A batch half told begins anew. */
    put_place(fd, 3, 1, 14, 10, false, false);
    g_assert_true(lost(&link, &base));
    g_assert_cmphex(base, ==, 10);
    /* One that the ring knows better, as nobody keeps it up to date: in a lap
     * that is over, and where all is used. */
    put_place(fd, 3, 1, 0, 0, true, true);
    g_assert_false(lost(&link, &base));
    put_place(fd, 3, 1, 9, 9, false, false);
    g_assert_false(lost(&link, &base));
    /* Lies. */
    put_place(fd, 3, 1, 256, 256, true, true);
    g_assert_false(lost(&link, &base));
    put_place(fd, 3, 9, 10, 10, false, false);
    g_assert_false(lost(&link, &base));
    put_place(fd, 3, 1, 10, 10, false, false);
    g_assert_cmpint(ftruncate(fd, 100), ==, 0);
    g_assert_false(lost(&link, &base));
    link.user->inflight.queues = 3;
    g_assert_false(lost(&link, &base));
    link.user->inflight.queues = 4;

    /* What the ring says without a buffer: the slot behind the last mark has
     * another id. */
    packed_desc[10].id = htole16(3);
    g_assert_true(lost(&link, &base));
    g_assert_cmphex(base, ==, 10);
    packed_desc[10].id = 0;

    /* What a read would wait for. */
    g_assert_cmpint(pipe(pipe_fd), ==, 0);
    link.user->inflight_fd = pipe_fd[0];
    g_assert_false(lost(&link, &base));
    close(pipe_fd[1]);
    close(fd);
    link_free(&link);
}

/* As the answer to GET_VRING_BASE has it: what is taken next, and above that
 * what is used next. */
static void test_packed_told(void)
{
    static const struct {
        uint32_t num;
        bool ok;
        uint16_t place;
    } rows[] = {
        { 0x8000 | 17, true, 0x8000 | 17 }, /* the upper half is not told */
        { 16 | 16 << 16, true, 16 },
        { 16 | 10 << 16, true, 10 },
        { 16 | 9 << 16, false, 0 },      /* where there is a mark */
        { 16 | 0x800a << 16, false, 0 }, /* more than a lap behind */
        { 10 | 16 << 16, false, 0 },     /* ahead */
        { 256, false, 0 },               /* beyond the ring */
        { 16 | 256u << 16, false, 0 },
        { 0xffffffff, false, 0 },
    };
    VirtQueue vq = { .size = 256, .packed = true, .desc = packed_desc };

    fill_packed_ring();
    for (unsigned i = 1; i < 16; i++) {
        packed_desc[i].id = htole16((uint16_t)i);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        uint16_t place = 0xffff;

        g_assert_cmpint(vhost_user_place_told(&vq, rows[i].num, &place), ==,
                        rows[i].ok);
        if (rows[i].ok) {
            g_assert_cmphex(place, ==, rows[i].place);
        }
    }
}

/* ---- what goes wrong at the start ---- */

/* Ends the channel that it is given before it says that it has it. */
static void *close_channel(void *opaque)
{
    Link *link = opaque;
    struct pollfd pfd = { .fd = link->fd[1], .events = POLLIN };
    VhostUserHeader header = { .request = VHOST_USER_SET_BACKEND_REQ_FD,
                               .flags = VHOST_USER_VERSION | VHOST_USER_REPLY,
                               .size = sizeof(uint64_t) };
    uint8_t answer[sizeof(header) + sizeof(uint64_t)] = { 0 };
    unsigned n = 0;
    int fd = -1;

    g_assert_cmpint(poll(&pfd, 1, -1), ==, 1);
    g_assert_cmpint(fd_recv(link->fd[1], &header, sizeof(header), &fd, 1, &n),
                    ==, sizeof(header));
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpint(shutdown(fd, SHUT_WR), ==, 0);
    pfd = (struct pollfd){ .fd = fd };
    g_assert_cmpint(poll(&pfd, 1, -1), ==, 1); /* the other end is closed */
    fd_close(&fd);
    header.flags = VHOST_USER_VERSION | VHOST_USER_REPLY;
    header.size = sizeof(uint64_t);
    memcpy(answer, &header, sizeof(header));
    g_assert_cmpint(fd_send(link->fd[1], answer, sizeof(answer), NULL, 0), ==,
                    sizeof(answer));
    return NULL;
}

static void test_channel_closed_at_once(void)
{
    Link link = link_new(1ULL << VHOST_USER_PROTOCOL_F_BACKEND_REQ |
                         1ULL << VHOST_USER_PROTOCOL_F_REPLY_ACK);
    GThread *thread = g_thread_new("process", close_channel, &link);

    g_assert_cmpint(vhost_user_channel_give(link.user), ==, 0);
    g_thread_join(thread);
    g_assert_cmpint(link.user->channel.fd, ==, -1);
    g_assert_null(link.user->channel.watch.loop);
    g_assert_true(vhost_user_ready(link.user));
    link_free(&link);
}

static void test_no_descriptors_for_shadow(void)
{
    Link link = link_new(0);
    struct rlimit old, none;
    Error *err = NULL;

    g_assert_cmpint(fcntl(0, F_GETFD), >=, 0);
    g_assert_cmpint(getrlimit(RLIMIT_NOFILE, &old), ==, 0);
    none = old;
    none.rlim_cur = 0;
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &none), ==, 0);
    g_assert_false(vhost_user_shadow_init(link.user, 0, &err));
    g_assert_cmpint(setrlimit(RLIMIT_NOFILE, &old), ==, 0);
    g_error_free(err);
    link_free(&link);
    g_assert_cmpint(fcntl(0, F_GETFD), >=, 0); /* is not ours */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(NULL));
    g_test_add_func("/vhost-user/memory/side-by-side", test_side_by_side);
    g_test_add_func("/vhost-user/memory/private", test_private);
    g_test_add_func("/vhost-user/memory/too-many-parts", test_too_many);
    g_test_add_func("/vhost-user/memory/slots-change", test_slots_change);
    g_test_add_func("/vhost-user/time", test_time);
    g_test_add_func("/vhost-user/time-of-the-next", test_time_of_the_next);
    g_test_add_func("/vhost-user/place/packed", test_packed_place);
    g_test_add_func("/vhost-user/place/packed-told", test_packed_told);
    g_test_add_func("/vhost-user/channel/closed-at-once",
                    test_channel_closed_at_once);
    g_test_add_func("/vhost-user/shadow/no-descriptors",
                    test_no_descriptors_for_shadow);
    return g_test_run();
}
