/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rings go to vhost-net and come back: the order of the steps, what is left
 * when one of them fails, and who takes the pair then. The kernel is a fake:
 * this file defines the functions of vhost-kernel.c.
 *
 * Threads: the test's, which holds the machine lock; an iothread has the pair
 * while it is owned by user space.
 */
#include "util/osdep.h"

#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "system/main-loop.h"
#include "tests/unit/virtio-net-rig.h"

#define BIT(n) (1ULL << (n))
#define COMMON                                                \
    (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | \
     BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define MODERN   BIT(VIRTIO_F_VERSION_1)
#define VHOST_FD 1000 /* of no file: it only reaches the fake */
#define HDR      12u

/* ---- the kernel ---- */

typedef struct KernelRing {
    int backend, kick, call, err;
    unsigned num, base;
    const void *desc, *avail, *used;
    unsigned moves;            /* buffers that the worker uses once it runs */
    struct vring_used *shared; /* where it says so */
} KernelRing;

static struct {
    GString *log;
    uint64_t features, acked;
    unsigned calls, fail_at; /* the fail_at-th call fails; 0: none */
    int owner_error, bad_fd;
    bool looked_at; /* by a monitor, while the worker runs */
    unsigned mem_ranges;
    uint32_t busyloop_us;
    KernelRing ring[2];
} kern;

static void kern_reset(void)
{
    if (kern.log) {
        g_string_free(kern.log, TRUE);
    }
    memset(&kern, 0, sizeof(kern));
    kern.log = g_string_new(NULL);
    kern.features = COMMON;
    for (unsigned i = 0; i < ARRAY_SIZE(kern.ring); i++) {
        kern.ring[i] =
            (KernelRing){ .backend = -1, .kick = -1, .call = -1, .err = -1 };
    }
}

/* Forgets what was called so far; the @fail_at-th from here on fails. */
static void kern_mark(unsigned fail_at)
{
    g_string_truncate(kern.log, 0);
    kern.calls = 0;
    kern.fail_at = fail_at;
}

static int call(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static int call(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_string_append_vprintf(kern.log, fmt, ap);
    va_end(ap);
    g_string_append_c(kern.log, ' ');
    return ++kern.calls == kern.fail_at ? -EIO : 0;
}

static int set_fd(const char *what, unsigned queue, int *slot, int fd)
{
    int r = call("%s%u%s", what, queue, fd < 0 ? "=off" : "");

    if (r == 0) {
        *slot = fd;
    }
    return r;
}

int vhost_kernel_set_owner(int fd)
{
    return fd == kern.bad_fd ? -EPERM : kern.owner_error;
}

int vhost_kernel_get_features(int fd, uint64_t *features)
{
    *features = kern.features;
    return 0;
}

int vhost_kernel_set_features(int fd, uint64_t features)
{
    kern.acked = features;
    return call("features");
}

int vhost_kernel_set_mem_table(int fd, const RamMap *map)
{
    kern.mem_ranges = map->n;
    return call("mem");
}

int vhost_kernel_set_vring_num(int fd, unsigned queue, unsigned num)
{
    kern.ring[queue].num = num;
    return call("num%u", queue);
}

int vhost_kernel_set_vring_base(int fd, unsigned queue, unsigned base)
{
    kern.ring[queue].base = base;
    return call("base%u", queue);
}

int vhost_kernel_get_vring_base(int fd, unsigned queue, unsigned *base)
{
    /* a worker gives its ring up at rest only; a look does no harm */
    g_assert_true(kern.looked_at || kern.ring[queue].backend == -1);
    if (call("getbase%u", queue) < 0) {
        return -EIO;
    }
    *base = kern.ring[queue].base;
    return 0;
}

int vhost_kernel_set_vring_addr(int fd, unsigned queue, const void *desc,
                                const void *avail, void *used)
{
    kern.ring[queue].desc = desc;
    kern.ring[queue].avail = avail;
    kern.ring[queue].used = used;
    return call("addr%u", queue);
}

int vhost_kernel_set_vring_kick(int fd, unsigned queue, int eventfd)
{
    return set_fd("kick", queue, &kern.ring[queue].kick, eventfd);
}

int vhost_kernel_set_vring_call(int fd, unsigned queue, int eventfd)
{
    return set_fd("call", queue, &kern.ring[queue].call, eventfd);
}

int vhost_kernel_set_vring_err(int fd, unsigned queue, int eventfd)
{
    return set_fd("err", queue, &kern.ring[queue].err, eventfd);
}

int vhost_kernel_set_busyloop(int fd, unsigned queue, uint32_t microseconds)
{
    kern.busyloop_us = microseconds;
    return call("busyloop%u", queue);
}

int vhost_kernel_net_set_backend(int fd, unsigned queue, int backend_fd)
{
    KernelRing *ring = &kern.ring[queue];
    int r = set_fd("backend", queue, &ring->backend, backend_fd);

    if (r == 0 && backend_fd >= 0) {
        /* an early kick is lost on the worker */
        eventfd_clear(ring->kick);
        if (ring->moves) {
            ring->base += ring->moves;
            ring->shared->idx += ring->moves;
        }
    }
    return r;
}

/* ---- the pair ---- */

static Rig rig;

static void begin(uint64_t features, bool force, uint32_t poll_us) MAIN_THREAD
{
    Error *err = NULL;

    kern_reset();
    rig_init(&rig, features);
    virtqueue_stop(&rig.rx.vq);
    virtqueue_stop(&rig.tx.vq);
    eventfd_clear(rig.rx.vq.kick_fd);
    eventfd_clear(rig.tx.vq.kick_fd);
    rig.pair->features = features;
    rig.net->vdev.dev.id = g_strdup("net0");
    rig.nc.name = (char *)"tap0";
    rig.nc.caps = (NetCaps){ .vnet_hdr = true,
                             .vhost = true,
                             .vhost_force = force,
                             .vhost_poll_us = poll_us };
    rig.sq.vhost_fd = VHOST_FD;
    rig.sq.fd = eventfd_new(&err);
    g_assert_no_error(err);
    g_assert_true(virtio_net_mapping_apply(rig.net, &err));
    g_assert_true(rig.pair->want_vhost);
    g_assert_true(rig.pair->vhost_required == force);
    kern.ring[0].shared = rig.rx.v.used;
    kern.ring[1].shared = rig.tx.v.used;
}

static void end(void) MAIN_THREAD
{
    virtio_net_pair_stop(rig.pair);
    vhost_net_free(rig.pair->vhost);
    rig.pair->vhost = NULL;
    rig.pair->loop = rig.loop;
    virtio_net_pair_prepare(rig.pair);
    virtio_net_mapping_release(rig.net);
    loop_task_cancel(&rig.net->vdev.error_task);
    fd_close(&rig.sq.fd);
    rig_free(&rig);
}

/* As if the driver and we had been through @n buffers. */
static void set_position(RigRing *ring, uint16_t n) MAIN_THREAD
{
    ring->v.avail->idx = ring->avail_idx = n;
    ring->v.used->idx = n;
    virtqueue_set_base(&ring->vq, n);
}

static void queue_frame(void) MAIN_THREAD
{
    static const int lens[] = { HDR + 60 };

    memset(rig_ram + RIG_DATA, 0, HDR + 60);
    rig_add(&rig.tx, lens, 1, RIG_DATA);
}

static void check_nothing_handed_over(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(kern.ring); i++) {
        g_assert_cmpint(kern.ring[i].backend, ==, -1);
        g_assert_cmpint(kern.ring[i].kick, ==, -1);
        g_assert_cmpint(kern.ring[i].call, ==, -1);
        g_assert_cmpint(kern.ring[i].err, ==, -1);
    }
}

static void check_ours(const VirtQueue *vq, uint16_t last_avail, uint16_t used)
{
    g_assert_false(vq->running);
    g_assert_cmpuint(vq->last_avail, ==, last_avail);
    g_assert_cmpuint(vq->used_idx, ==, used);
    g_assert_cmpuint(vq->inuse, ==, 0);
}

static bool broken(void)
{
    return virtio_is_broken(&rig.net->vdev);
}

/* What @func writes to stderr. */
static char *stderr_of(void (*func)(void))
{
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    char *text = g_malloc0(4096);

    g_assert_nonnull(file);
    fflush(stderr);
    g_assert_cmpint(dup2(fileno(file), STDERR_FILENO), >=, 0);
    func();
    fflush(stderr);
    g_assert_cmpint(dup2(saved, STDERR_FILENO), >=, 0);
    close(saved);
    rewind(file);
    g_assert_cmpuint(fread(text, 1, 4095, file), <, 4095);
    fclose(file);
    return text;
}

static void check_line(const char *text, const char *part)
{
    g_test_message("%s", text);
    g_assert_nonnull(strstr(text, part));
}

static void start_pair(void) MAIN_THREAD
{
    virtio_net_pair_start(rig.pair);
}

/* The steps of a start, as errors name them. */
static const char *const start_steps[] = {
    "VHOST_SET_FEATURES",
    "VHOST_SET_MEM_TABLE",
    "queue 0: VHOST_SET_VRING_NUM",
    "queue 0: VHOST_SET_VRING_BASE",
    "queue 0: VHOST_SET_VRING_ADDR",
    "queue 0: VHOST_SET_VRING_CALL",
    "queue 0: VHOST_SET_VRING_ERR",
    "queue 0: VHOST_SET_VRING_KICK",
    "queue 0: VHOST_SET_VRING_BUSYLOOP_TIMEOUT",
    "queue 0: VHOST_NET_SET_BACKEND",
    "queue 1: VHOST_SET_VRING_NUM",
    "queue 1: VHOST_SET_VRING_BASE",
    "queue 1: VHOST_SET_VRING_ADDR",
    "queue 1: VHOST_SET_VRING_CALL",
    "queue 1: VHOST_SET_VRING_ERR",
    "queue 1: VHOST_SET_VRING_KICK",
    "queue 1: VHOST_SET_VRING_BUSYLOOP_TIMEOUT",
    "queue 1: VHOST_NET_SET_BACKEND",
};

/* ---- start and stop ---- */

static void check_ring_told(unsigned i, const RigRing *ring, unsigned base)
{
    const KernelRing *k = &kern.ring[i];

    g_assert_cmpuint(k->num, ==, RIG_SIZE);
    g_assert_cmpuint(k->base, ==, base);
    g_assert_true(k->desc == (const void *)ring->v.desc);
    g_assert_true(k->avail == (const void *)ring->v.avail);
    g_assert_true(k->used == (const void *)ring->v.used);
    g_assert_cmpint(k->kick, ==, ring->vq.kick_fd);
    g_assert_cmpint(k->call, ==, ring->vq.call_fd);
    g_assert_cmpint(k->err, >=, 0);
    g_assert_cmpint(k->backend, ==, rig.sq.fd);
}

static void test_start_order(void) MAIN_THREAD
{
    begin(COMMON | BIT(VIRTIO_NET_F_CSUM), false, 0);
    set_position(&rig.rx, 7);
    set_position(&rig.tx, 65530);
    start_pair();
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_VHOST);
    g_assert_cmpstr(kern.log->str, ==,
                    "features mem "
                    "num0 base0 addr0 call0 err0 kick0 backend0 "
                    "num1 base1 addr1 call1 err1 kick1 backend1 ");
    g_assert_cmphex(kern.acked, ==, COMMON);
    g_assert_cmpuint(kern.mem_ranges, ==, ram_map_get()->n);
    check_ring_told(0, &rig.rx, 7);
    check_ring_told(1, &rig.tx, 65530);
    g_assert_cmpint(kern.ring[0].err, !=, kern.ring[1].err);
    end();
}

static void test_start_busyloop(void) MAIN_THREAD
{
    begin(MODERN, false, 50);
    start_pair();
    g_assert_cmpstr(kern.log->str, ==,
                    "features mem "
                    "num0 base0 addr0 call0 err0 kick0 busyloop0 backend0 "
                    "num1 base1 addr1 call1 err1 kick1 busyloop1 backend1 ");
    g_assert_cmpuint(kern.busyloop_us, ==, 50);
    end();
}

/* The fake back-end swallows kicks, so what is there came after. */
static void test_start_kicks(void) MAIN_THREAD
{
    begin(MODERN, false, 0);
    eventfd_signal(rig.tx.vq.kick_fd);
    start_pair();
    g_assert_true(eventfd_clear(rig.rx.vq.kick_fd));
    g_assert_true(eventfd_clear(rig.tx.vq.kick_fd));
    end();
}

static void test_start_enabled_only(void) MAIN_THREAD
{
    begin(MODERN, false, 0);
    rig.rx.vq.enabled = false;
    start_pair();
    g_assert_cmpstr(kern.log->str, ==,
                    "features mem "
                    "num1 base1 addr1 call1 err1 kick1 backend1 ");
    g_assert_false(rig.rx.vq.running);
    g_assert_false(eventfd_clear(rig.rx.vq.kick_fd));
    kern_mark(0);
    virtio_net_pair_stop(rig.pair);
    g_assert_cmpstr(kern.log->str, ==,
                    "backend1=off getbase1 kick1=off call1=off err1=off ");
    end();
}

static void test_stop_order(void) MAIN_THREAD
{
    begin(MODERN, false, 0);
    set_position(&rig.rx, 65534);
    kern.ring[0].moves = 5;
    kern.ring[1].moves = 2;
    start_pair();
    kern_mark(0);
    virtio_net_pair_stop(rig.pair);
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_MAIN);
    g_assert_cmpstr(kern.log->str, ==,
                    "backend1=off getbase1 kick1=off call1=off err1=off "
                    "backend0=off getbase0 kick0=off call0=off err0=off ");
    check_nothing_handed_over();
    check_ours(&rig.rx.vq, 3, 3);
    check_ours(&rig.tx.vq, 2, 2);
    end();
}

/* A buffer that the worker took and has not used yet is not ours to give
 * back: the available position and the used one differ. */
static void test_stop_positions(void) MAIN_THREAD
{
    begin(MODERN, false, 0);
    start_pair();
    kern.ring[1].base = 9;
    rig.tx.v.used->idx = 8;
    virtio_net_pair_stop(rig.pair);
    check_ours(&rig.tx.vq, 9, 8);
    end();
}

static void stop_pair(void) MAIN_THREAD
{
    virtio_net_pair_stop(rig.pair);
}

/* The kernel keeps the position to itself: the used index never goes back. */
static void test_stop_no_position(void) MAIN_THREAD
{
    g_autofree char *text = NULL;

    begin(MODERN, false, 0);
    start_pair();
    kern.ring[1].base = 9;
    rig.tx.v.used->idx = 8;
    kern_mark(2); /* getbase1 */
    text = stderr_of(stop_pair);
    check_line(text, "queue 1: VHOST_GET_VRING_BASE");
    check_nothing_handed_over();
    check_ours(&rig.tx.vq, 8, 8);
    end();
}

static void test_stop_and_start(void) MAIN_THREAD
{
    begin(MODERN, false, 0);
    kern.ring[1].moves = 4;
    start_pair();
    virtio_net_pair_stop(rig.pair);
    kern.ring[1].moves = 0;
    kern_mark(0);
    start_pair();
    g_assert_true(g_str_has_prefix(kern.log->str, "features mem num0 base0 "));
    check_ring_told(1, &rig.tx, 4);
    kern_mark(0);
    virtio_net_pair_stop(rig.pair);
    virtio_net_pair_stop(rig.pair);
    g_assert_cmpuint(kern.calls, ==, 10);
    end();
}

/* ---- failures ---- */

static void test_fail_each_step(void) MAIN_THREAD
{
    for (unsigned k = 0; k < ARRAY_SIZE(start_steps); k++) {
        RamRange more = { .gpa = (64 + k) * MiB, .size = 4096, .fd = -1 };
        static _Alignas(4096) uint8_t page[4096];
        Error *err = NULL;

        begin(MODERN, false, 50);
        set_position(&rig.rx, 7);
        set_position(&rig.tx, 9);
        kern_mark(k + 1);
        g_assert_false(virtio_net_vhost_start(rig.pair, &err));
        check_line(err->message, start_steps[k]);
        g_error_free(err);
        check_nothing_handed_over();
        check_ours(&rig.rx.vq, 7, 7);
        check_ours(&rig.tx.vq, 9, 9);
        g_assert_null(rig.rx.vq.fault);
        g_assert_null(rig.tx.vq.fault);
        /* nobody listens any more */
        kern_mark(0);
        more.host = page;
        err = NULL;
        g_assert_true(ram_add(&more, &err));
        g_assert_cmpuint(kern.calls, ==, 0);
        g_assert_true(virtio_net_vhost_start(rig.pair, &err));
        virtio_net_vhost_stop(rig.pair);
        end();
    }
}

/* The worker had the first ring and moved on before the second one failed. */
static void test_fail_keeps_progress(void) MAIN_THREAD
{
    Error *err = NULL;

    begin(MODERN, false, 0);
    set_position(&rig.rx, 7);
    kern.ring[0].moves = 3;
    kern_mark(16); /* backend1 */
    g_assert_false(virtio_net_vhost_start(rig.pair, &err));
    check_line(err->message, "queue 1: VHOST_NET_SET_BACKEND");
    g_error_free(err);
    check_nothing_handed_over();
    check_ours(&rig.rx.vq, 10, 10);
    check_ours(&rig.tx.vq, 0, 0);
    end();
}

static void test_fallback(void) MAIN_THREAD
{
    for (unsigned k = 0; k < ARRAY_SIZE(start_steps); k++) {
        g_autofree char *text = NULL;

        begin(MODERN, false, 50);
        queue_frame();
        kern_mark(k + 1);
        text = stderr_of(start_pair);
        check_line(text, "warning: net0: pair 0: vhost: ");
        check_line(text, start_steps[k]);
        check_line(text, "; user space takes the pair over\n");
        g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_IO);
        check_nothing_handed_over();
        g_assert_false(broken());
        virtio_net_pair_stop(rig.pair);
        g_assert_cmpuint(rig.out_n, ==, 1);
        g_assert_cmpuint(rig.out[0].len, ==, HDR + 60);
        check_ours(&rig.tx.vq, 1, 1);
        end();
    }
}

/* One refusal counts until the device is reset. */
static void test_fallback_until_reset(void) MAIN_THREAD
{
    g_autofree char *first = NULL, *second = NULL;

    begin(MODERN, false, 0);
    kern_mark(1);
    first = stderr_of(start_pair);
    virtio_net_pair_stop(rig.pair);
    kern_mark(0);
    second = stderr_of(start_pair);
    g_assert_cmpstr(second, ==, "");
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_IO);
    g_assert_cmpuint(kern.calls, ==, 0);
    virtio_net_pair_stop(rig.pair);
    virtio_net_pairs_reset(rig.net);
    start_pair();
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_VHOST);
    end();
}

static void test_fallback_no_owner(void) MAIN_THREAD
{
    g_autofree char *text = NULL;

    begin(MODERN, false, 0);
    kern.owner_error = -EPERM;
    text = stderr_of(start_pair);
    check_line(text, "vhost descriptor 1000 is not usable");
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_IO);
    g_assert_null(rig.pair->vhost);
    end();

    begin(MODERN, false, 0);
    kern.owner_error = -EBUSY; /* ours from before */
    start_pair();
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_VHOST);
    end();
}

static void test_fallback_forced(void) MAIN_THREAD
{
    for (unsigned k = 0; k < ARRAY_SIZE(start_steps); k++) {
        g_autofree char *text = NULL;

        begin(MODERN, true, 50);
        set_position(&rig.tx, 9);
        kern_mark(k + 1);
        text = stderr_of(start_pair);
        check_line(text, start_steps[k]);
        check_line(text, "(vhostforce=on)");
        g_assert_true(broken());
        g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_MAIN);
        g_assert_null(rig.pair->iothread);
        check_nothing_handed_over();
        check_ours(&rig.rx.vq, 0, 0);
        check_ours(&rig.tx.vq, 9, 9);
        end();
    }
}

/* A ring that is nowhere is nothing that user space could do better. */
static void test_fallback_not_for_drivers(void) MAIN_THREAD
{
    g_autofree char *text = NULL;

    begin(MODERN, false, 0);
    rig.tx.vq.desc_gpa += 8;
    text = stderr_of(start_pair);
    check_line(text, "queue 1: a ring is misaligned");
    g_assert_true(broken());
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_MAIN);
    g_assert_null(rig.pair->iothread);
    g_assert_false(rig.pair->failed);
    check_nothing_handed_over();
    g_assert_false(rig.rx.vq.running);
    end();
}

/* ---- while it runs ---- */

static void turn(void) MAIN_THREAD
{
    event_loop_turn(main_loop(), 0);
}

static void test_error_fd(void) MAIN_THREAD
{
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *want = g_strdup_printf("queue %u: vhost-net", i);
        g_autofree char *text = NULL;

        begin(MODERN, false, 0);
        start_pair();
        turn();
        g_assert_false(broken());
        eventfd_signal(kern.ring[i].err);
        text = stderr_of(turn);
        check_line(text, want);
        g_assert_true(broken());
        end();
    }
}

/* An error that nobody read before the stop says nothing of the next start. */
static void test_error_stale(void) MAIN_THREAD
{
    begin(MODERN, false, 0);
    start_pair();
    eventfd_signal(kern.ring[0].err);
    eventfd_signal(kern.ring[1].err);
    virtio_net_pair_stop(rig.pair);
    start_pair();
    turn();
    g_assert_false(broken());
    end();
}

static void add_ram(void) MAIN_THREAD
{
    static _Alignas(4096) uint8_t page[4096];
    static uint64_t gpa = 256 * MiB;
    RamRange range = { .gpa = gpa, .size = 4096, .host = page, .fd = -1 };
    Error *err = NULL;

    g_assert_true(ram_add(&range, &err));
    g_assert_no_error(err);
    gpa += MiB;
}

static void test_ram(void) MAIN_THREAD
{
    g_autofree char *text = NULL;
    unsigned before;

    begin(MODERN, false, 0);
    start_pair();
    before = kern.mem_ranges;
    kern_mark(0);
    add_ram();
    g_assert_cmpstr(kern.log->str, ==, "mem ");
    g_assert_cmpuint(kern.mem_ranges, ==, before + 1);
    g_assert_false(broken());
    virtio_net_pair_stop(rig.pair);
    kern_mark(0);
    add_ram();
    g_assert_cmpuint(kern.calls, ==, 0);
    start_pair();
    g_assert_cmpuint(kern.mem_ranges, ==, before + 2);
    kern_mark(1);
    text = stderr_of(add_ram);
    check_line(text, "vhost does not take the new memory map");
    g_assert_true(broken());
    end();
}

/* ---- features ---- */

static void test_features_lacking(void) MAIN_THREAD
{
    Error *err = NULL;

    begin(COMMON, false, 0);
    kern.features &= ~BIT(VIRTIO_RING_F_EVENT_IDX);
    g_assert_false(virtio_net_vhost_start(rig.pair, &err));
    check_line(err->message, "features that vhost-net lacks");
    g_error_free(err);
    g_assert_cmpuint(kern.calls, ==, 0);
    check_ours(&rig.rx.vq, 0, 0);
    end();
}

static void no_notify(void *opaque)
{
}

static bool no_start(void *opaque, Error **errp)
{
    return true;
}

static unsigned six_vectors(void *opaque)
{
    return 6;
}

static const VirtIOTransportOps transport = {
    .notify_config = no_notify,
    .start = no_start,
    .stop = no_notify,
    .n_vectors = six_vectors,
};

static VirtIONet *nic;
static Error *nic_error;
static bool nic_ok;

static void nic_realize(void) MAIN_THREAD
{
    nic_ok = device_realize(&nic->vdev.dev, NULL, &nic_error);
}

/* A NIC of two pairs whose netdev has vhost; gives what stderr got. */
static char *nic_make(NetClientState *netdev, bool force) MAIN_THREAD
{
    static const NetClientInfo info = { .type = NET_CLIENT_DRIVER_TAP };
    Error *err = NULL;

    memset(netdev, 0, sizeof(*netdev));
    g_assert_true(net_client_register(netdev, &info, "tap1", 2, &err));
    netdev->caps =
        (NetCaps){ .vnet_hdr = true, .vhost = true, .vhost_force = force };
    netdev->queue[0].vhost_fd = VHOST_FD;
    netdev->queue[1].vhost_fd = VHOST_FD + 1;
    nic = VIRTIO_NET(object_new(TYPE_VIRTIO_NET));
    nic->vdev.dev.id = g_strdup("net1");
    virtio_bind_transport(&nic->vdev, &transport, NULL);
    g_assert_true(object_property_parse(OBJECT(nic), "netdev", "tap1", &err));
    g_assert_true(object_property_parse(OBJECT(nic), "mq", "on", &err));
    nic_error = NULL;
    return stderr_of(nic_realize);
}

static void nic_free(NetClientState *netdev) MAIN_THREAD
{
    if (nic_ok) {
        device_unrealize(&nic->vdev.dev);
    }
    if (OBJECT(nic)->parent) {
        object_unparent(OBJECT(nic));
    }
    object_unref(OBJECT(nic));
    net_client_unregister(netdev);
}

static void test_features_offered(void) MAIN_THREAD
{
    uint64_t lacks = BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_RING_F_EVENT_IDX);
    NetClientState netdev;
    uint64_t all, fewer;

    kern_reset();
    g_free(nic_make(&netdev, false));
    g_assert_true(nic_ok);
    all = virtio_get_host_features(&nic->vdev);
    /* nothing is negotiated, so far */
    g_assert_cmpuint(virtio_net_usable_pairs(nic), ==, 1);
    g_assert_cmphex(all & COMMON, ==, COMMON);
    nic_free(&netdev);

    kern.features &= ~lacks;
    g_free(nic_make(&netdev, false));
    g_assert_true(nic_ok);
    fewer = virtio_get_host_features(&nic->vdev);
    /* those and, of what is the device's alone, nothing */
    g_assert_cmphex(all & ~fewer, ==, lacks);
    nic_free(&netdev);
}

/* A pair whose vhost cannot be opened does not limit the others. */
static void test_realize_without(void) MAIN_THREAD
{
    g_autofree char *text = NULL;
    NetClientState netdev;

    kern_reset();
    kern.bad_fd = VHOST_FD + 1;
    text = nic_make(&netdev, false);
    g_assert_true(nic_ok);
    check_line(text, "warning: net1: pair 1: vhost descriptor 1001");
    check_line(text, "user space takes the pair over");
    g_assert_true(nic->pair[0].want_vhost);
    g_assert_nonnull(nic->pair[0].vhost);
    g_assert_false(nic->pair[1].want_vhost);
    nic_free(&netdev);

    /* with nobody on vhost, its features are no limit */
    kern.features = 0;
    kern.owner_error = -EPERM;
    g_free(nic_make(&netdev, false));
    g_assert_true(nic_ok);
    g_assert_cmphex(virtio_get_host_features(&nic->vdev) & COMMON, ==, COMMON);
    nic_free(&netdev);
}

static void test_realize_forced(void) MAIN_THREAD
{
    NetClientState netdev;

    kern_reset();
    kern.bad_fd = VHOST_FD + 1;
    g_free(nic_make(&netdev, true));
    g_assert_false(nic_ok);
    check_line(nic_error->message, "netdev=tap1 (vhostforce=on): pair 1: ");
    g_error_free(nic_error);
    g_assert_null(net_client_find("net1"));
    g_assert_null(netdev.peer);
    nic_free(&netdev);
}

/* ---- what a monitor sees ---- */

/* Gives queue @i of the NIC rings of its own, and no kicks. */
static void nic_place_queue(unsigned i) MAIN_THREAD
{
    VirtQueue *vq = &nic->vdev.vq[i];

    vq->desc_gpa = 0x20000 + 0x8000ULL * i;
    vq->avail_gpa = vq->desc_gpa + 0x4000;
    vq->used_gpa = vq->desc_gpa + 0x6000;
    memset(rig_ram + vq->desc_gpa, 0, 0x8000);
    virtio_queue_set_enabled(&nic->vdev, i);
}

/* A NIC of two pairs that run on vhost. */
static void nic_run(NetClientState *netdev) MAIN_THREAD
{
    VirtIODevice *vdev;

    kern_reset();
    kern.looked_at = true;
    g_free(nic_make(netdev, false));
    g_assert_true(nic_ok);
    netdev->queue[0].fd = netdev->queue[1].fd = VHOST_FD + 2;
    vdev = &nic->vdev;
    vdev->vm_running = true;
    virtio_set_bus_master(vdev, true);
    virtio_set_status(vdev, 3);
    virtio_set_guest_features(vdev, COMMON | BIT(VIRTIO_NET_F_CTRL_VQ) |
                                        BIT(VIRTIO_NET_F_MQ));
    virtio_set_status(vdev, 11);
    for (unsigned i = 0; i < 4; i++) {
        nic_place_queue(i);
    }
    virtio_set_status(vdev, 15);
    virtio_net_set_active_pairs(nic, 2);
    g_assert_cmpint(nic->pair[1].owner, ==, PAIR_OWNER_VHOST);
}

static void check_queue_by_monitor(char *path, uint16_t i) MAIN_THREAD
{
    const VirtQueue *vq = &nic->vdev.vq[i];
    q_obj_x_query_virtio_vhost_queue_status_arg va = { path, i };
    q_obj_x_query_virtio_queue_status_arg qa = { path, i };
    VirtVhostQueueStatus v = { NULL };
    VirtQueueStatus q = { NULL };

    g_assert_true(qmp_x_query_virtio_vhost_queue_status(&va, &v, NULL));
    g_assert_cmpint(v.kick, ==, vq->kick_fd);
    g_assert_cmpint(v.call, ==, vq->call_fd);
    g_assert_cmpint(v.num, ==, vq->size);
    g_assert_cmphex(v.desc, ==, (uintptr_t)rig_ram + vq->desc_gpa);
    g_assert_cmphex(v.avail, ==, (uintptr_t)rig_ram + vq->avail_gpa);
    g_assert_cmphex(v.used, ==, (uintptr_t)rig_ram + vq->used_gpa);
    g_assert_cmphex(v.desc_phys, ==, vq->desc_gpa);
    g_assert_cmphex(v.avail_phys, ==, vq->avail_gpa);
    g_assert_cmphex(v.used_phys, ==, vq->used_gpa);
    g_assert_cmpuint(v.desc_size, ==, 16 * vq->size);
    g_assert_cmpuint(v.avail_size, ==, 6 + 2 * vq->size);
    g_assert_cmpuint(v.used_size, ==, 6 + 8 * vq->size);
    qapi_free_contents(&qapi_type_VirtVhostQueueStatus, &v);

    kern.ring[i % 2].base = 0x1100 + i;
    rig_ram[vq->used_gpa + 2] = 0x22;
    g_assert_true(qmp_x_query_virtio_queue_status(&qa, &q, NULL));
    g_assert_cmphex(q.last_avail_idx, ==, 0x1100 + i);
    g_assert_false(q.has_shadow_avail_idx);
    g_assert_cmphex(q.used_idx, ==, 0x22);
    qapi_free_contents(&qapi_type_VirtQueueStatus, &q);
}

/* The device's number of a queue finds the ring of its pair's own worker. */
static void test_monitor_queues(void) MAIN_THREAD
{
    q_obj_x_query_virtio_vhost_queue_status_arg va = { .queue = 4 };
    VirtVhostQueueStatus v = { NULL };
    g_autofree char *path = NULL;
    NetClientState netdev;
    Error *err = NULL;

    nic_run(&netdev);
    va.path = path = object_path(OBJECT(nic));
    for (unsigned i = 0; i < 4; i++) {
        check_queue_by_monitor(path, i);
    }
    /* the control queue is ours, and so is what has been given up */
    g_assert_false(qmp_x_query_virtio_vhost_queue_status(&va, &v, &err));
    check_line(err->message, "Virtqueue 4 is not on vhost");
    g_clear_error(&err);
    virtio_net_set_active_pairs(nic, 1);
    va.queue = 2;
    g_assert_false(qmp_x_query_virtio_vhost_queue_status(&va, &v, &err));
    check_line(err->message, "Virtqueue 2 is not on vhost");
    g_clear_error(&err);
    nic_free(&netdev);
}

static void test_monitor_element(void) MAIN_THREAD
{
    q_obj_x_query_virtio_queue_element_arg arg = { .queue = 3 };
    VirtioQueueElement e = { NULL };
    g_autofree char *path = NULL;
    const VirtQueue *vq;
    NetClientState netdev;

    nic_run(&netdev);
    arg.path = path = object_path(OBJECT(nic));
    vq = &nic->vdev.vq[3];
    kern.ring[1].base = 2 + vq->size; /* entry 2, by the worker's word */
    rig_ram[vq->avail_gpa + 4 + 2 * 2] = 7;
    rig_ram[vq->desc_gpa + 16 * 7 + 8] = 99; /* its length */
    g_assert_true(qmp_x_query_virtio_queue_element(&arg, &e, NULL));
    g_assert_cmpuint(e.index, ==, 7);
    g_assert_cmpuint(e.descs.n, ==, 1);
    g_assert_cmpuint(e.descs.v[0].len, ==, 99);
    qapi_free_contents(&qapi_type_VirtioQueueElement, &e);
    nic_free(&netdev);
}

static void test_monitor_status(void) MAIN_THREAD
{
    q_obj_x_query_virtio_status_arg arg = { NULL };
    VirtioStatus s = { NULL };
    g_autofree char *path = NULL;
    NetClientState netdev;

    nic_run(&netdev);
    arg.path = path = object_path(OBJECT(nic));
    g_assert_true(qmp_x_query_virtio_status(&arg, &s, NULL));
    g_assert_true(s.vhost_started);
    g_assert_cmpint(s.num_vqs, ==, 5);
    g_assert_cmpint(s.vhost_dev->n_mem_sections, ==, ram_map_get()->n);
    g_assert_cmpuint(s.vhost_dev->nvqs, ==, 2);
    g_assert_cmpint(s.vhost_dev->vq_index, ==, 0);
    g_assert_cmpuint(s.vhost_dev->max_queues, ==, 1);
    g_assert_cmpuint(s.vhost_dev->features->transports.n, ==, 3);
    g_assert_cmpuint(s.vhost_dev->features->dev_features.n, ==, 1);
    g_assert_cmpuint(s.vhost_dev->acked_features->transports.n, ==, 3);
    qapi_free_contents(&qapi_type_VirtioStatus, &s);
    /* with the first pair gone, the second one's is shown */
    virtio_net_pair_stop(&nic->pair[0]);
    g_assert_true(qmp_x_query_virtio_status(&arg, &s, NULL));
    g_assert_cmpint(s.vhost_dev->vq_index, ==, 2);
    qapi_free_contents(&qapi_type_VirtioStatus, &s);
    virtio_set_status(&nic->vdev, 0);
    g_assert_true(qmp_x_query_virtio_status(&arg, &s, NULL));
    g_assert_false(s.vhost_started);
    g_assert_null(s.vhost_dev);
    qapi_free_contents(&qapi_type_VirtioStatus, &s);
    nic_free(&netdev);
}

static void test_monitor_pairs(void) MAIN_THREAD
{
    q_obj_query_net_queues_arg arg = { NULL };
    NetQueueInfoList list = { 0 };
    NetClientState netdev;

    nic_run(&netdev);
    g_assert_true(qmp_query_net_queues(&arg, &list, NULL));
    g_assert_cmpuint(list.n, ==, 2);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(list.v[i].owner, ==, NET_QUEUE_OWNER_VHOST);
        g_assert_cmpint(list.v[i].vhost_fd, ==, VHOST_FD + i);
        g_assert_true(list.v[i].active && list.v[i].enabled);
        g_assert_null(list.v[i].iothread);
    }
    qapi_free_contents(&qapi_type_NetQueueInfoList, &list);
    nic_free(&netdev);
}

int main(int argc, char **argv)
{
    Error *err = NULL;

    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(&err));
    g_test_add_func("/vhost/start/order", test_start_order);
    g_test_add_func("/vhost/start/busyloop", test_start_busyloop);
    g_test_add_func("/vhost/start/kicks", test_start_kicks);
    g_test_add_func("/vhost/start/enabled-only", test_start_enabled_only);
    g_test_add_func("/vhost/stop/order", test_stop_order);
    g_test_add_func("/vhost/stop/positions", test_stop_positions);
    g_test_add_func("/vhost/stop/no-position", test_stop_no_position);
    g_test_add_func("/vhost/stop/and-start", test_stop_and_start);
    g_test_add_func("/vhost/fail/each-step", test_fail_each_step);
    g_test_add_func("/vhost/fail/keeps-progress", test_fail_keeps_progress);
    g_test_add_func("/vhost/fallback/each-step", test_fallback);
    g_test_add_func("/vhost/fallback/until-reset", test_fallback_until_reset);
    g_test_add_func("/vhost/fallback/no-owner", test_fallback_no_owner);
    g_test_add_func("/vhost/fallback/forced", test_fallback_forced);
    g_test_add_func("/vhost/fallback/not-for-drivers",
                    test_fallback_not_for_drivers);
    g_test_add_func("/vhost/error/eventfd", test_error_fd);
    g_test_add_func("/vhost/error/stale", test_error_stale);
    g_test_add_func("/vhost/ram-changes", test_ram);
    g_test_add_func("/vhost/features/lacking", test_features_lacking);
    g_test_add_func("/vhost/features/offered", test_features_offered);
    g_test_add_func("/vhost/realize/without", test_realize_without);
    g_test_add_func("/vhost/realize/forced", test_realize_forced);
    g_test_add_func("/vhost/monitor/queues", test_monitor_queues);
    g_test_add_func("/vhost/monitor/element", test_monitor_element);
    g_test_add_func("/vhost/monitor/status", test_monitor_status);
    g_test_add_func("/vhost/monitor/pairs", test_monitor_pairs);
    return g_test_run();
}
