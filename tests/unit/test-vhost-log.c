/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages that a queue pair writes: what user space marks, and what vhost-net,
 * which is a fake (vhost-rig.h), is told when a log begins and ends.
 *
 * Threads: the test's, which holds the machine lock.
 */
#include "util/osdep.h"

#include "hw/virtio/virtqueue-internal.h"
#include "system/dirty-log.h"
#include "system/main-loop.h"
#include "tests/unit/vhost-rig.h"

#define LOG_ALL (1ULL << 26)
#define MERGE   (MODERN | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define PAGES   (RIG_RAM / PAGE_SIZE_4K)
#define RX_USED 3u /* the page of the receive ring's used ring */
#define TX_USED 0x12u
#define RX_DATA (RIG_DATA / PAGE_SIZE_4K)

/* ---- the kernel ---- */

static void begin_on_vhost(void) MAIN_THREAD
{
    vhost_rig_begin(COMMON, false, 0);
    virtio_net_pair_start(rig.pair);
    g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_VHOST);
    g_string_truncate(kern.log, 0);
    kern.calls = 0;
}

static void check_calls(const char *text)
{
    g_assert_cmpstr(kern.log->str, ==, text);
    g_string_truncate(kern.log, 0);
}

static void check_logging(bool on)
{
    g_assert_cmphex(kern.acked, ==, COMMON | (on ? LOG_ALL : 0));
    for (unsigned i = 0; i < 2; i++) {
        g_assert_true(kern.ring[i].logged == on);
        g_assert_true(kern.ring[i].used == (i ? rig.tx.v.used : rig.rx.v.used));
    }
}

static void test_kernel_running(void) MAIN_THREAD
{
    begin_on_vhost();
    g_assert_true(dirty_log_start(NULL));
    check_calls("logbase features logaddr0 logaddr1 ");
    check_logging(true);
    g_assert_true(kern.log_base == dirty_log_get()->bitmap);
    g_assert_cmphex(kern.ring[0].log_gpa, ==, 0x3000);
    g_assert_cmphex(kern.ring[1].log_gpa, ==, 0x12000);
    kern.log_base[1] = 5; /* the worker's */
    g_assert_cmpuint(dirty_log_take(), ==, 2);
    check_calls("");
    dirty_log_stop();
    check_calls("features addr0 addr1 ");
    check_logging(false);
    vhost_rig_end();
}

/* A pair that starts while there is a log, and stops. */
static void test_kernel_starts_later(void) MAIN_THREAD
{
    vhost_rig_begin(COMMON, false, 0);
    g_assert_true(dirty_log_start(NULL));
    check_calls("");
    virtio_net_pair_start(rig.pair);
    check_calls("logbase features mem "
                "num0 base0 logaddr0 call0 err0 kick0 backend0 "
                "num1 base1 logaddr1 call1 err1 kick1 backend1 ");
    check_logging(true);
    virtio_net_pair_stop(rig.pair);
    g_string_truncate(kern.log, 0);
    dirty_log_stop();
    check_calls("");
    virtio_net_pair_start(rig.pair);
    check_logging(false);
    g_assert_cmpstr(kern.log->str, ==,
                    "features mem "
                    "num0 base0 addr0 call0 err0 kick0 backend0 "
                    "num1 base1 addr1 call1 err1 kick1 backend1 ");
    vhost_rig_end();
}

/* A kernel that refuses a step: no log, and all as before. */
static void test_kernel_refuses(void) MAIN_THREAD
{
    static const char *const steps[] = { "VHOST_SET_LOG_BASE",
                                         "VHOST_SET_FEATURES",
                                         "VHOST_SET_VRING_ADDR",
                                         "VHOST_SET_VRING_ADDR" };

    for (unsigned i = 0; i < ARRAY_SIZE(steps); i++) {
        Error *err = NULL;

        begin_on_vhost();
        kern.fail_at = i + 1;
        g_assert_false(dirty_log_start(&err));
        g_assert_nonnull(strstr(err->message, steps[i]));
        g_assert_nonnull(strstr(err->message, "vhost-net"));
        g_error_free(err);
        g_assert_null(dirty_log_get());
        check_logging(false);
        g_assert_cmpint(rig.pair->owner, ==, PAIR_OWNER_VHOST);
        g_assert_false(virtio_is_broken(&rig.net->vdev));
        vhost_rig_end();
    }
}

/* One that does not stop: the ring is taken from it. */
static void refuse_end(void) MAIN_THREAD
{
    kern.fail_at = kern.calls + 1;
    dirty_log_stop();
    /* at once: where the log was may be something else's soon */
    g_assert_cmpint(kern.ring[0].backend, ==, -1);
    g_assert_cmpint(kern.ring[1].backend, ==, -1);
}

static void test_kernel_goes_on(void) MAIN_THREAD
{
    g_autofree char *text = NULL;

    begin_on_vhost();
    g_assert_true(dirty_log_start(NULL));
    text = vhost_rig_stderr(refuse_end);
    vhost_rig_check_line(text, "vhost-net goes on logging: VHOST_SET_FEATURES");
    g_assert_true(virtio_is_broken(&rig.net->vdev));
    g_assert_null(dirty_log_get());
    vhost_rig_end();
}

/* ---- user space ---- */

static uint8_t *before;

static void snapshot(void)
{
    before = g_memdup2(rig_ram, RIG_RAM);
}

/* All pages that differ are marked; of others, none but @rings. */
static void check_marks(unsigned want, const unsigned *rings, unsigned n_rings)
    MAIN_THREAD
{
    const uint64_t *bitmap = dirty_log_get()->bitmap;
    unsigned n = 0;

    for (unsigned i = 0; i < PAGES; i++) {
        bool marked = bitmap[i / 64] >> i % 64 & 1, ring = false;
        bool differs = memcmp(before + i * PAGE_SIZE_4K,
                              rig_ram + i * PAGE_SIZE_4K, PAGE_SIZE_4K) != 0;

        for (unsigned k = 0; k < n_rings; k++) {
            ring |= rings[k] == i;
        }
        if (marked != differs && !(marked && ring)) {
            g_error("page %u: marked %d, differs %d", i, marked, differs);
        }
        n += marked && !ring;
    }
    g_assert_cmpuint(n, ==, want);
    dirty_log_take();
    g_free(before);
}

static void rx(void) NO_THREAD_SAFETY
{
    virtio_net_rx(rig.pair);
}

static void tx(void) NO_THREAD_SAFETY
{
    virtio_net_tx(rig.pair);
}

static void add_buffers(unsigned n, int size, uint64_t gpa, unsigned step)
{
    for (unsigned i = 0; i < n; i++) {
        int len = -size;

        rig_add(&rig.rx, &len, 1, gpa + i * step);
    }
}

static void test_receive(void) MAIN_THREAD
{
    static const unsigned rings[] = { RX_USED };

    rig_init(&rig, MERGE);
    /* before the log: nothing of it is there later */
    add_buffers(1, 2048, RIG_DATA, 0x4000);
    rig_push(&rig, HDR + 60, 1);
    rx();
    g_assert_true(dirty_log_start(NULL));

    /* A page each; the last crosses into a second one; one buffer stays. */
    add_buffers(3, 2048, RIG_DATA + 0x4000, 0x4000);
    add_buffers(2, 2048, RIG_DATA + 0x20000 - 100, 0x4000);
    snapshot();
    for (unsigned i = 0; i < 4; i++) {
        rig_push(&rig, HDR + 1000, (uint8_t)(2 + i));
    }
    rx();
    g_assert_cmpuint(rig.rx.v.used->idx, ==, 5);
    check_marks(5, rings, 1);

    /* Over several buffers, found out by a spill. The one that stayed is the
     * first. */
    add_buffers(8, 4096, RIG_DATA + 0x80000, 0x1000);
    snapshot();
    rig_push(&rig, HDR + 9000, 9);
    rx();
    check_marks(4, rings, 1);
    snapshot();
    rig_push(&rig, HDR + 9000, 10);
    rx();
    check_marks(3, rings, 1);

    /* One that is not delivered uses nothing. */
    rig.net->link_up = false;
    snapshot();
    rig_push(&rig, HDR + 60, 11);
    rx();
    g_assert_cmpuint(dirty_log_take(), <=, 1);
    g_free(before);
    dirty_log_stop();
    rig_free(&rig);
}

static void test_transmit(void) MAIN_THREAD
{
    static const unsigned rings[] = { TX_USED };
    static const int lens[] = { HDR, 60 };

    rig_init(&rig, MERGE | BIT(VIRTIO_RING_F_EVENT_IDX));
    memset(rig_ram + RIG_DATA, 0, 100);
    g_assert_true(dirty_log_start(NULL));
    for (unsigned i = 0; i < 3; i++) {
        rig_add(&rig.tx, lens, 2, RIG_DATA);
    }
    snapshot();
    tx();
    g_assert_cmpuint(rig.out_n, ==, 3);
    check_marks(0, rings, 1);
    rig_add(&rig.tx, lens, 2, RIG_DATA);
    tx();
    g_assert_cmpuint(dirty_log_take(), ==, 1);
    dirty_log_stop();
    rig_free(&rig);
}

/* The parts of rings that a publication of so many writes, as byte ranges. */
static void test_rings(void) MAIN_THREAD
{
    static const struct {
        bool packed;
        uint16_t size, used_idx;
        unsigned n;
        uint64_t gpa;
        unsigned pages;
    } row[] = {
        /* used ring of 8 KiB and 6 bytes: its head is always written */
        { false, 1024, 1, 1, 0x10000, 1 },
        { false, 1024, 1024, 1, 0x10000, 3 },  /* the last is in two pages */
        { false, 1024, 1025, 2, 0x10000, 3 },  /* around the end */
        { false, 1024, 600, 100, 0x10000, 2 }, /* across a border */
        { false, 1024, 3, 1024, 0x10000, 3 },  /* all of it */
        { false, 1024, 65535 & 1023, 9, 0x10000, 2 },
        { false, 8, 2, 4, 0x10000 - 4, 2 },
        /* descriptors of 16 bytes: 256 to a page */
        { true, 512, 1, 1, 0x10000, 1 },
        { true, 512, 0, 1, 0x10000, 1 },
        { true, 512, 1, 2, 0x10000, 2 }, /* around the end */
        { true, 512, 300, 60, 0x10000, 2 },
        { true, 512, 300, 600, 0x10000, 2 },
        { true, 300, 5, 300, 0x10000, 2 },
    };

    rig_init(&rig, MERGE);
    g_assert_true(dirty_log_start(NULL));
    for (unsigned i = 0; i < ARRAY_SIZE(row); i++) {
        VirtQueue vq = { .packed = row[i].packed,
                         .size = row[i].size,
                         .used_idx = row[i].used_idx,
                         .desc_gpa = row[i].packed ? row[i].gpa : 0x8000,
                         .used_gpa = row[i].packed ? 0x8000 : row[i].gpa };

        virtqueue_log_used(&vq, row[i].n);
        g_assert_cmpuint(dirty_log_take(), ==, row[i].pages);
        virtqueue_log_event(&vq);
        g_assert_cmpuint(dirty_log_take(), ==, 1);
    }
    dirty_log_stop();
    rig_free(&rig);
}

int main(int argc, char **argv)
{
    Error *err = NULL;

    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(&err));
    g_test_add_func("/vhost/log/running", test_kernel_running);
    g_test_add_func("/vhost/log/starts-later", test_kernel_starts_later);
    g_test_add_func("/vhost/log/refused", test_kernel_refuses);
    g_test_add_func("/vhost/log/does-not-end", test_kernel_goes_on);
    g_test_add_func("/virtio-net/log/receive", test_receive);
    g_test_add_func("/virtio-net/log/transmit", test_transmit);
    g_test_add_func("/virtqueue/log/parts", test_rings);
    return g_test_run();
}
