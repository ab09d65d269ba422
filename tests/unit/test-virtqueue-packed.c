/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed virtqueues against a small driver on plain memory
 * (virtqueue-packed-rig.h): single chains, honest and hostile, and rings that
 * cannot be started. What takes many chains is in
 * test-virtqueue-packed-laps.c.
 */
#include "util/osdep.h"

#include "hw/pci/msix.h"
#include "virtqueue-packed-rig.h"

/* ---- honest chains ---- */

static void test_pop_fill(void)
{
    Driver d;
    struct iovec iov[8];
    VirtQueueChain chain;

    driver_start(&d, 8, 0);
    g_assert_true(virtqueue_empty(&d.vq));
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 8, &chain), ==, 0);
    driver_offer(&d, driver_three, 3, 77);
    g_assert_false(virtqueue_empty(&d.vq));
    g_assert_cmpuint(virtqueue_available(&d.vq), ==, 1);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 8, &chain), ==, 1);
    g_assert_cmpuint(chain.id, ==, 77);
    g_assert_cmpuint(chain.slots, ==, 3);
    g_assert_cmpuint(chain.n_out, ==, 1);
    g_assert_cmpuint(chain.n_in, ==, 2);
    g_assert_cmpuint(chain.out_len, ==, 10);
    g_assert_cmpuint(chain.in_len, ==, 50);
    g_assert_true(iov[0].iov_base == guest(DATA_GPA));
    g_assert_true(iov[2].iov_base == guest(DATA_GPA + 200));
    g_assert_cmpuint(iov[2].iov_len, ==, 30);
    g_assert_true(virtqueue_empty(&d.vq));

    virtqueue_fill(&d.vq, &chain, 44);
    g_assert_false(is_used(d.used));
    virtqueue_publish(&d.vq);
    driver_take(&d, 77, 44);
    g_assert_cmpuint(d.used.slot, ==, 3);
    /* One used descriptor for the chain; its other slots are as they were. */
    g_assert_cmphex(le16toh(*flags_at(1)), ==, AVAIL | NEXT | WRITE);
    driver_end(&d);
}

/* Until the first of a burst is shown, a driver finds none of it. */
static void test_burst_hidden(void)
{
    Driver d;
    VirtQueueChain chain[3];

    driver_start(&d, 5, 0);
    for (unsigned i = 0; i < 3; i++) {
        driver_offer_one(&d, WRITE, i);
        chain[i] = driver_pop(&d);
    }
    for (unsigned i = 0; i < 3; i++) {
        virtqueue_fill(&d.vq, &chain[i], i);
        g_assert_false(is_used(d.used));
    }
    virtqueue_publish(&d.vq);
    driver_take(&d, 0, 0);
    driver_take(&d, 1, 1);
    driver_take(&d, 2, 2);
    g_assert_false(is_used(d.used));
    driver_end(&d);
}

/* Used descriptors stand in the order of use, each taking as many slots as its
 * chain had. */
static void test_out_of_order(void)
{
    Driver d;
    VirtQueueChain a, b;

    driver_start(&d, 8, 0);
    for (unsigned lap = 0; lap < 10; lap++) {
        driver_offer(&d, driver_three, 3, 5);
        driver_offer_one(&d, WRITE, 6);
        a = driver_pop(&d);
        b = driver_pop(&d);
        virtqueue_fill(&d.vq, &b, 1);
        virtqueue_fill(&d.vq, &a, 2);
        virtqueue_publish(&d.vq);
        driver_take(&d, 6, 1);
        driver_take(&d, 5, 2);
    }
    driver_end(&d);
}

static void test_zero_length(void)
{
    const Part parts[] = { { DATA_GPA, 0, 0 },
                           { HOLE_GPA, 0, 0 },
                           { DATA_GPA, 5, WRITE } };
    Driver d;
    VirtQueueChain chain;

    driver_start(&d, 8, 0);
    driver_offer(&d, parts, 3, 0);
    driver_offer(&d, parts, 1, 1);
    chain = driver_pop(&d);
    g_assert_cmpuint(chain.n_out, ==, 0);
    g_assert_cmpuint(chain.n_in, ==, 1);
    chain = driver_pop(&d);
    g_assert_cmpuint(chain.n_out + chain.n_in, ==, 0);
    driver_end(&d);
}

static void test_adjacent_ranges(void)
{
    const Part part = { NEXT_GPA - 4, 10, WRITE };
    struct iovec iov[4];
    VirtQueueChain chain;
    Driver d;

    driver_start(&d, 8, 0);
    driver_offer(&d, &part, 1, 0);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 4, &chain), ==, 1);
    g_assert_cmpuint(chain.n_in, ==, 2);
    g_assert_cmpuint(chain.in_len, ==, 10);
    g_assert_true(iov[1].iov_base == guest(NEXT_GPA));
    g_assert_cmpuint(iov[1].iov_len, ==, 6);
    driver_end(&d);
}

static void test_no_room_keeps_chain(void)
{
    struct iovec iov[4];
    VirtQueueChain chain;
    Driver d;

    driver_start(&d, 8, 0);
    driver_offer(&d, driver_three, 3, 9);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 2, &chain), ==, -ENOBUFS);
    g_assert_null(d.vq.fault);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 3, &chain), ==, 1);
    g_assert_cmpuint(chain.id, ==, 9);
    driver_end(&d);
}

/* Chains of several lengths are put back, over the end of the ring too. */
static void test_unpop(void)
{
    Driver d;
    VirtQueueChain chain;

    driver_start(&d, 7, 0);
    for (unsigned lap = 0; lap < 30; lap++) {
        driver_offer_one(&d, 0, 1);
        driver_offer(&d, driver_three, 3, 2);
        driver_offer(&d, driver_three, 2, 3);
        for (unsigned i = 0; i < 3; i++) {
            driver_pop(&d);
        }
        g_assert_true(virtqueue_empty(&d.vq));
        virtqueue_unpop(&d.vq, 2);
        g_assert_cmpuint(virtqueue_available(&d.vq), ==, 2);
        chain = driver_pop(&d);
        g_assert_cmpuint(chain.id, ==, 2);
        virtqueue_unpop(&d.vq, 100);
        g_assert_cmpuint(virtqueue_available(&d.vq), ==, 3);
        for (unsigned i = 1; i <= 3; i++) {
            chain = driver_pop(&d);
            g_assert_cmpuint(chain.id, ==, i);
            virtqueue_fill(&d.vq, &chain, 0);
        }
        virtqueue_publish(&d.vq);
        for (unsigned i = 1; i <= 3; i++) {
            driver_take(&d, i, 0);
        }
        g_assert_cmpuint(d.vq.slots_out, ==, 0);
    }
    driver_end(&d);
}

/* What follows the end of an incomplete chain does not count. */
static void test_available(void)
{
    Driver d;

    driver_start(&d, 6, 0);
    for (unsigned lap = 0; lap < 10; lap++) {
        VirtQueueChain chain;

        g_assert_cmpuint(virtqueue_available(&d.vq), ==, 0);
        driver_offer(&d, driver_three, 3, 1);
        driver_offer_one(&d, WRITE, 2);
        g_assert_cmpuint(virtqueue_available(&d.vq), ==, 2);
        chain = driver_pop(&d);
        virtqueue_fill(&d.vq, &chain, 0);
        g_assert_cmpuint(virtqueue_available(&d.vq), ==, 1);
        chain = driver_pop(&d);
        virtqueue_fill(&d.vq, &chain, 0);
        g_assert_cmpuint(virtqueue_available(&d.vq), ==, 0);
        virtqueue_publish(&d.vq);
        driver_take(&d, 1, 0);
        driver_take(&d, 2, 0);
    }
    /* Six of six, none left that could be counted twice. */
    for (unsigned i = 0; i < 6; i++) {
        driver_offer_one(&d, 0, i);
    }
    g_assert_cmpuint(virtqueue_available(&d.vq), ==, 6);
    driver_end(&d);
}

static void test_indirect(void)
{
    const Part part = { TABLE_GPA + 3, 20 * 16, INDIRECT | WRITE };
    struct iovec iov[32];
    VirtQueueChain chain;
    Driver d;

    /* A table may be longer than the queue, and stand at an odd address. Its
     * entries follow one another; their next flag and ids count for nothing,
     * nor does the write flag of the descriptor that refers to it. */
    driver_start(&d, 4, F_INDIRECT);
    for (unsigned i = 0; i < 20; i++) {
        rig_desc(TABLE_GPA + 3, i, DATA_GPA + i, 1, 0xbad,
                 (i % 3 ? NEXT : 0) | (i >= 11 ? WRITE : 0) |
                     (i % 2 ? AVAIL : USED));
    }
    for (unsigned lap = 0; lap < 9; lap++) {
        driver_offer(&d, &part, 1, 3);
        g_assert_cmpint(virtqueue_pop(&d.vq, iov, 32, &chain), ==, 1);
        g_assert_cmpuint(chain.id, ==, 3);
        g_assert_cmpuint(chain.slots, ==, 1);
        g_assert_cmpuint(chain.n_out, ==, 11);
        g_assert_cmpuint(chain.n_in, ==, 9);
        g_assert_true(iov[19].iov_base == guest(DATA_GPA + 19));
        virtqueue_fill(&d.vq, &chain, 9);
        virtqueue_publish(&d.vq);
        driver_take(&d, 3, 9);
    }
    driver_end(&d);
}

static void test_chain_of_4gib(void)
{
    Part parts[] = { { NEXT_GPA, 0x80000000, WRITE },
                     { NEXT_GPA, 0x80000000, WRITE },
                     { NEXT_GPA, 1, WRITE } };
    struct iovec iov[4];
    VirtQueueChain chain;
    Driver d;

    driver_start(&d, 8, 0);
    rig_grow_next(16 * GiB);
    driver_offer(&d, parts, 2, 0);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 4, &chain), ==, 1);
    g_assert_cmpuint(chain.in_len, ==, 4 * GiB);
    driver_offer(&d, parts, 3, 1);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 4, &chain), ==, -EPROTO);
    g_assert_nonnull(strstr(d.vq.fault, "4 GiB"));
    driver_end(&d);
}

/* ---- hostile drivers ---- */

/* Writes one descriptor and its flags as they are. */
static void raw(Driver *d, uint64_t addr, uint32_t len, uint16_t flags)
{
    rig_desc(DESC_GPA, d->next.slot, addr, len, 0, flags);
    d->next = pos_after(d, d->next, 1);
}

typedef struct Hostile {
    const char *name; /* VIRTIO 1.2 section first */
    const char *fault;
    void (*prepare)(Driver *d);
} Hostile;

static void offer_bad(Driver *d, uint64_t addr, uint32_t len, uint16_t flags)
{
    const Part part = { addr, len, flags };

    driver_offer(d, &part, 1, 0);
}

/* Every descriptor says that another follows. */
static void hostile_endless(Driver *d)
{
    for (unsigned i = 0; i < 8; i++) {
        raw(d, DATA_GPA, 1, NEXT | AVAIL);
    }
}

static void hostile_endless_nothing(Driver *d)
{
    for (unsigned i = 0; i < 8; i++) {
        raw(d, 0, 0, NEXT | AVAIL);
    }
}

/* The same with driver_three slots out: the walk ends where they begin. */
static void hostile_endless_in_part(Driver *d)
{
    driver_offer(d, driver_three, 3, 0);
    driver_pop(d);
    hostile_endless(d);
}

static void hostile_next_not_available(Driver *d)
{
    raw(d, DATA_GPA, 1, NEXT | AVAIL);
    raw(d, DATA_GPA, 1, USED);
}

static void hostile_next_used(Driver *d)
{
    raw(d, DATA_GPA, 1, NEXT | AVAIL);
    raw(d, DATA_GPA, 1, AVAIL | USED);
}

/* Eight slots are out already, and the first is made available again. */
static void hostile_again(Driver *d)
{
    for (unsigned i = 0; i < 8; i++) {
        driver_offer_one(d, 0, i);
        driver_pop(d);
    }
    raw(d, DATA_GPA, 1, USED);
}

/* Filled is not given back yet. */
static void hostile_again_filled(Driver *d)
{
    for (unsigned i = 0; i < 8; i++) {
        VirtQueueChain chain;

        driver_offer_one(d, 0, i);
        chain = driver_pop(d);
        virtqueue_fill(&d->vq, &chain, 0);
    }
    raw(d, DATA_GPA, 1, USED);
}

static void hostile_hole(Driver *d)
{
    offer_bad(d, HOLE_GPA, 1, WRITE);
}

static void hostile_past_end(Driver *d)
{
    offer_bad(d, NEXT_GPA + SMALL - 8, 9, WRITE);
}

static void hostile_before_start(Driver *d)
{
    offer_bad(d, RAM_GPA - 1, 2, WRITE);
}

static void hostile_wrap(Driver *d)
{
    offer_bad(d, UINT64_MAX - 3, 8, WRITE);
}

static void hostile_rom(Driver *d)
{
    offer_bad(d, ROM_GPA, 8, WRITE);
}

static void hostile_huge_len(Driver *d)
{
    offer_bad(d, DATA_GPA, UINT32_MAX, WRITE);
}

static void hostile_order(Driver *d)
{
    const Part parts[] = { { DATA_GPA, 1, WRITE }, { DATA_GPA, 1, 0 } };

    driver_offer(d, parts, 2, 0);
}

static void hostile_order_empty(Driver *d)
{
    const Part parts[] = { { DATA_GPA, 0, WRITE }, { DATA_GPA, 1, 0 } };

    driver_offer(d, parts, 2, 0);
}

static void hostile_indirect_len(Driver *d)
{
    offer_bad(d, TABLE_GPA, 24, INDIRECT);
}

static void hostile_indirect_zero(Driver *d)
{
    offer_bad(d, TABLE_GPA, 0, INDIRECT);
}

static void hostile_indirect_next(Driver *d)
{
    const Part parts[] = { { TABLE_GPA, 16, INDIRECT }, { DATA_GPA, 1, 0 } };

    driver_offer(d, parts, 2, 0);
}

static void hostile_indirect_after(Driver *d)
{
    const Part parts[] = { { DATA_GPA, 1, 0 }, { TABLE_GPA, 16, INDIRECT } };

    driver_offer(d, parts, 2, 0);
}

static void hostile_indirect_nested(Driver *d)
{
    rig_desc(TABLE_GPA, 0, TABLE_GPA, 16, 0, INDIRECT);
    offer_bad(d, TABLE_GPA, 16, INDIRECT);
}

static void hostile_indirect_hole(Driver *d)
{
    offer_bad(d, HOLE_GPA, 16, INDIRECT);
}

static void hostile_indirect_past_end(Driver *d)
{
    offer_bad(d, NEXT_GPA + SMALL - 16, 32, INDIRECT);
}

static void hostile_indirect_entry(Driver *d)
{
    rig_desc(TABLE_GPA, 0, DATA_GPA, 1, 0, 0);
    rig_desc(TABLE_GPA, 1, HOLE_GPA, 1, 0, 0);
    offer_bad(d, TABLE_GPA, 32, INDIRECT);
}

static void hostile_indirect_order(Driver *d)
{
    rig_desc(TABLE_GPA, 0, DATA_GPA, 1, 0, WRITE);
    rig_desc(TABLE_GPA, 1, DATA_GPA, 1, 0, 0);
    offer_bad(d, TABLE_GPA, 32, INDIRECT);
}

/* A table as long as it may be for its bytes: of buffers of no length. */
static void hostile_too_many(Driver *d)
{
    offer_bad(d, TABLE_GPA, (VIRTQUEUE_MAX_SEGS + 1) * 16, INDIRECT);
}

static void without_indirect(Driver *d)
{
    d->vq.indirect = false;
    offer_bad(d, TABLE_GPA, 16, INDIRECT);
}

static const Hostile hostile[] = {
    { "2.8.6/endless", "longer than the descriptors", hostile_endless },
    { "2.8.6/endless-nothing", "longer than the descriptors",
      hostile_endless_nothing },
    { "2.8.6/endless-in-part", "longer than the descriptors",
      hostile_endless_in_part },
    { "2.8.6/next-not-available", "not available", hostile_next_not_available },
    { "2.8.6/next-used", "not available", hostile_next_used },
    { "2.8.1/available-again", "longer than the descriptors", hostile_again },
    { "2.8.1/available-again-filled", "longer than the descriptors",
      hostile_again_filled },
    { "2.8.4/address-in-hole", "not in RAM", hostile_hole },
    { "2.8.4/runs-out-of-ram", "not in RAM", hostile_past_end },
    { "2.8.4/starts-before-ram", "not in RAM", hostile_before_start },
    { "2.8.4/address-wraps", "not in RAM", hostile_wrap },
    { "2.8.4/write-to-rom", "read-only", hostile_rom },
    { "2.8.4/length-overflow", "not in RAM", hostile_huge_len },
    { "2.8.5/readable-after-writable", "readable buffer", hostile_order },
    { "2.8.5/readable-after-empty-writable", "readable buffer",
      hostile_order_empty },
    { "2.8.7/not-negotiated", "without VIRTIO_F_INDIRECT", without_indirect },
    { "2.8.7/length-not-multiple", "multiple of 16", hostile_indirect_len },
    { "2.8.7/length-zero", "multiple of 16", hostile_indirect_zero },
    { "2.8.7/with-next", "with the next flag", hostile_indirect_next },
    { "2.8.7/after-others", "after others", hostile_indirect_after },
    { "2.8.7/nested", "indirect table in", hostile_indirect_nested },
    { "2.8.7/table-in-hole", "table is not in RAM", hostile_indirect_hole },
    { "2.8.7/table-runs-out", "table is not in RAM",
      hostile_indirect_past_end },
    { "2.8.7/entry-in-hole", "buffer is not in RAM", hostile_indirect_entry },
    { "2.8.7/readable-after-writable", "readable buffer",
      hostile_indirect_order },
    { "2.8.7/too-many-buffers", "too many buffers", hostile_too_many },
};

/* The fault is found and named, nothing is written, and the queue is dead. */
static void test_hostile(const void *data)
{
    const Hostile *h = data;
    g_autofree uint8_t *before = NULL;
    static struct iovec iov[VIRTQUEUE_MAX_SEGS];
    VirtQueueChain chain;
    Driver d;

    driver_start(&d, 8, F_INDIRECT);
    h->prepare(&d);
    before = rig_ram_copy();
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, VIRTQUEUE_MAX_SEGS, &chain), ==,
                    -EPROTO);
    g_assert_nonnull(d.vq.fault);
    g_assert_nonnull(strstr(d.vq.fault, h->fault));

    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain), ==, -EPROTO);
    g_assert_true(virtqueue_empty(&d.vq));
    g_assert_cmpuint(virtqueue_available(&d.vq), ==, 0);
    chain = (VirtQueueChain){ .id = 0, .slots = 1 };
    virtqueue_fill(&d.vq, &chain, 1);
    virtqueue_publish(&d.vq);
    g_assert_false(virtqueue_signal(&d.vq));
    virtqueue_want_kicks(&d.vq, false);
    virtqueue_stop(&d.vq);
    g_assert_cmpint(virtqueue_start(&d.vq, d.features), ==, -EPROTO);
    rig_ram_unchanged(before);

    virtqueue_reset(&d.vq);
    g_assert_null(d.vq.fault);
    g_assert_cmpuint(d.vq.vector, ==, MSIX_NO_VECTOR);
    driver_end(&d);
}

/* Ring and event structures full of noise, at every offset: whatever comes of
 * it, it ends, and nothing outside of RAM is touched. */
static void test_noise(void)
{
    static struct iovec iov[VIRTQUEUE_MAX_SEGS];
    g_autoptr(GRand) rand = g_rand_new_with_seed(1905);

    for (unsigned round = 0; round < 3000; round++) {
        unsigned size = g_rand_int_range(rand, 1, 65);
        uint64_t features = 0;
        VirtQueueChain chain;
        Driver d;

        features |= g_rand_boolean(rand) ? F_INDIRECT : 0;
        features |= g_rand_boolean(rand) ? F_EVENT : 0;
        features |= g_rand_boolean(rand) ? F_IN_ORDER : 0;
        driver_start(&d, size, features);
        for (unsigned i = 0; i < size; i++) {
            rig_desc(DESC_GPA, i, DATA_GPA - 64 + g_rand_int_range(rand, 0, 99),
                     16 * g_rand_int_range(rand, 0, 4), g_rand_int(rand),
                     (g_rand_int(rand) & (NEXT | WRITE | USED)) |
                         (g_rand_int_range(rand, 0, 9) ? AVAIL : 0) |
                         (g_rand_int_range(rand, 0, 9) ? 0 : INDIRECT));
        }
        *word(DRIVER_GPA) = g_rand_int(rand);
        *word(DRIVER_GPA + 2) = g_rand_int(rand);
        for (unsigned i = 0; i < 3 * size; i++) {
            int r = virtqueue_pop(&d.vq, iov, VIRTQUEUE_MAX_SEGS, &chain);

            if (r <= 0) {
                break;
            }
            virtqueue_available(&d.vq);
            if (g_rand_boolean(rand)) {
                virtqueue_fill(&d.vq, &chain, chain.in_len);
            } else if (g_rand_boolean(rand)) {
                virtqueue_unpop(&d.vq, 1);
            }
            virtqueue_publish(&d.vq);
            virtqueue_signal(&d.vq);
        }
        virtqueue_stop(&d.vq);
        driver_end(&d);
    }
}

typedef struct BadStart {
    const char *name;
    uint64_t desc, driver, device;
    unsigned size;
    uint16_t base;
    int result;
} BadStart;

static const BadStart bad_starts[] = {
    { "size-zero", DESC_GPA, DRIVER_GPA, DEVICE_GPA, 0, 0, -EINVAL },
    { "size-above-maximum", DESC_GPA, DRIVER_GPA, DEVICE_GPA, 1025, 0,
      -EINVAL },
    { "position-beyond-ring", DESC_GPA, DRIVER_GPA, DEVICE_GPA, 8, 8, -EINVAL },
    { "descriptors-misaligned", DESC_GPA + 8, DRIVER_GPA, DEVICE_GPA, 8, 0,
      -EFAULT },
    { "driver-area-misaligned", DESC_GPA, DRIVER_GPA + 2, DEVICE_GPA, 8, 0,
      -EFAULT },
    { "device-area-misaligned", DESC_GPA, DRIVER_GPA, DEVICE_GPA + 2, 8, 0,
      -EFAULT },
    { "device-area-in-rom", DESC_GPA, DRIVER_GPA, ROM_GPA, 8, 0, -EFAULT },
    { "descriptors-in-rom", ROM_GPA, DRIVER_GPA, DEVICE_GPA, 8, 0, -EFAULT },
    { "descriptors-in-hole", HOLE_GPA, DRIVER_GPA, DEVICE_GPA, 8, 0, -EFAULT },
    { "driver-area-in-hole", DESC_GPA, HOLE_GPA, DEVICE_GPA, 8, 0, -EFAULT },
    { "descriptors-across-ranges", NEXT_GPA - 64, DRIVER_GPA, DEVICE_GPA, 8, 0,
      -EFAULT },
    { "address-wraps", ~0xfULL, DRIVER_GPA, DEVICE_GPA, 8, 0, -EFAULT },
};

static void test_bad_start(const void *data)
{
    const BadStart *b = data;
    Driver d;

    driver_init(&d, b->size, F_V1 | F_PACKED);
    d.vq.desc_gpa = b->desc;
    d.vq.avail_gpa = b->driver;
    d.vq.used_gpa = b->device;
    virtqueue_set_features(&d.vq, d.features);
    virtqueue_set_base(&d.vq, b->base | 0x8000);
    g_assert_cmpint(virtqueue_start(&d.vq, d.features), ==, b->result);
    g_assert_nonnull(d.vq.fault);
    g_assert_false(d.vq.running);
    driver_end(&d);
}

/* ---- all ---- */

static void add_tables(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(hostile); i++) {
        g_autofree char *name =
            g_strdup_printf("/virtqueue/packed/hostile/%s", hostile[i].name);

        g_test_add_data_func(name, &hostile[i], test_hostile);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(bad_starts); i++) {
        g_autofree char *name = g_strdup_printf(
            "/virtqueue/packed/start/2.8.10.1/%s", bad_starts[i].name);

        g_test_add_data_func(name, &bad_starts[i], test_bad_start);
    }
}

/* ---- as a monitor sees it ---- */

static void check_peek(const Driver *d, bool waiting)
{
    uint16_t used;

    g_assert_true(virtqueue_peek_used(&d->vq, &used));
    g_assert_cmpuint(used, ==, virtqueue_get_used(&d->vq));
    g_assert_true(virtqueue_peek_waiting(&d->vq, used) == waiting);
}

/* What waits is seen where the device is, on each lap, not in the slots that a
 * chain of an earlier lap has left behind. */
static void test_peek(void)
{
    Driver d;

    driver_start(&d, 8, 0);
    d.vq.enabled = true;
    check_peek(&d, false);
    for (unsigned i = 0; i < 24; i++) {
        VirtQueueChain chain;

        driver_offer(&d, driver_three, 3, i % 8);
        check_peek(&d, true);
        chain = driver_pop(&d);
        check_peek(&d, true);
        virtqueue_fill(&d.vq, &chain, 0);
        check_peek(&d, true);
        virtqueue_publish(&d.vq);
        check_peek(&d, false);
        driver_take(&d, i % 8, 0);
    }
    /* beyond the ring, and where there is none */
    g_assert_false(virtqueue_peek_waiting(&d.vq, 8));
    g_assert_false(virtqueue_peek_waiting(&d.vq, 0x7fff));
    d.vq.desc_gpa = UINT64_MAX - 8;
    g_assert_false(virtqueue_peek_waiting(&d.vq, 0));
    d.vq.enabled = false;
    g_assert_false(virtqueue_peek_used(&d.vq, &(uint16_t){ 0 }));
    driver_end(&d);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtqueue/packed/2.8.6/pop-fill-publish", test_pop_fill);
    g_test_add_func("/virtqueue/packed/2.8.22/burst-hidden", test_burst_hidden);
    g_test_add_func("/virtqueue/packed/2.8.2/out-of-order", test_out_of_order);
    g_test_add_func("/virtqueue/packed/2.8.4/zero-length-left-out",
                    test_zero_length);
    g_test_add_func("/virtqueue/packed/2.8.4/adjacent-ranges",
                    test_adjacent_ranges);
    g_test_add_func("/virtqueue/packed/no-room-keeps-chain",
                    test_no_room_keeps_chain);
    g_test_add_func("/virtqueue/packed/unpop", test_unpop);
    g_test_add_func("/virtqueue/packed/available", test_available);
    g_test_add_func("/virtqueue/packed/2.8.7/indirect", test_indirect);
    g_test_add_func("/virtqueue/packed/chain-of-4gib", test_chain_of_4gib);
    g_test_add_func("/virtqueue/packed/hostile/noise", test_noise);
    add_tables();
    g_test_add_func("/virtqueue/packed/peek", test_peek);
    return g_test_run();
}
