/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Split virtqueues against a small driver on plain memory (virtqueue-rig.h),
 * honest and hostile.
 */
#include "util/osdep.h"

#include <pthread.h>

#include "hw/pci/msix.h"
#include "virtqueue-rig.h"

#define DESC_GPA  RAM_GPA
#define AVAIL_GPA (RAM_GPA + 0x4000)
#define USED_GPA  (RAM_GPA + 0x5000)
#define TABLE_GPA (RAM_GPA + 0x8000)
#define DATA_GPA  (RAM_GPA + 0xc000)

/* ---- the driver ---- */

typedef struct Driver {
    VirtQueue vq;
    uint64_t features;
    unsigned size;
    uint16_t avail_idx, used_idx;
} Driver;

static void set_desc(uint64_t table, unsigned i, uint64_t addr, uint32_t len,
                     uint16_t flags, uint16_t next)
{
    rig_desc(table, i, addr, len, flags, next);
}

static void desc(unsigned i, uint64_t addr, uint32_t len, uint16_t flags,
                 uint16_t next)
{
    set_desc(DESC_GPA, i, addr, len, flags, next);
}

static void offer(Driver *d, uint16_t head)
{
    *word(AVAIL_GPA + 4 + 2 * (d->avail_idx % d->size)) = htole16(head);
    d->avail_idx++;
    __atomic_store_n(word(AVAIL_GPA + 2), htole16(d->avail_idx),
                     __ATOMIC_RELEASE);
}

static uint16_t used_index(void)
{
    return le16toh(__atomic_load_n(word(USED_GPA + 2), __ATOMIC_ACQUIRE));
}

static uint32_t used_id(const Driver *d, unsigned i)
{
    return load_le32(guest(USED_GPA + 4 + 8 * (i % d->size)));
}

static uint32_t used_len(const Driver *d, unsigned i)
{
    return load_le32(guest(USED_GPA + 4 + 8 * (i % d->size) + 4));
}

static void driver_init(Driver *d, unsigned size, uint64_t features)
{
    rig_memory_init();
    *d = (Driver){ .features = features, .size = size };
    g_assert_true(virtqueue_init(&d->vq, 0, VIRTQUEUE_MAX_SIZE, NULL));
    d->vq.size = (uint16_t)size;
    d->vq.desc_gpa = DESC_GPA;
    d->vq.avail_gpa = AVAIL_GPA;
    d->vq.used_gpa = USED_GPA;
    d->vq.enabled = true;
}

static void driver_start(Driver *d, unsigned size, uint64_t features)
{
    driver_init(d, size, features);
    g_assert_cmpint(virtqueue_start(&d->vq, features), ==, 0);
}

static void driver_end(Driver *d)
{
    rig_check_guards();
    virtqueue_cleanup(&d->vq);
}

static bool signalled(Driver *d)
{
    return rig_signalled(&d->vq);
}

/* Offers one buffer @n times, and has all of them used and published. */
static void roundtrip(Driver *d, unsigned n)
{
    struct iovec iov[1];
    VirtQueueChain chain;

    desc(0, DATA_GPA, 16, VRING_DESC_F_WRITE, 0);
    for (unsigned i = 0; i < n; i++) {
        offer(d, 0);
        g_assert_cmpint(virtqueue_pop(&d->vq, iov, 1, &chain), ==, 1);
        virtqueue_fill(&d->vq, &chain, 16);
    }
    virtqueue_publish(&d->vq);
}

/* ---- honest chains ---- */

static void test_pop_fill(void)
{
    Driver d;
    struct iovec iov[8];
    VirtQueueChain chain;

    driver_start(&d, 8, F_V1);
    g_assert_true(virtqueue_empty(&d.vq));
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 8, &chain), ==, 0);

    desc(3, DATA_GPA, 10, VRING_DESC_F_NEXT, 5);
    desc(5, DATA_GPA + 100, 20, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 1);
    desc(1, DATA_GPA + 200, 30, VRING_DESC_F_WRITE, 7);
    offer(&d, 3);
    g_assert_false(virtqueue_empty(&d.vq));
    g_assert_cmpuint(virtqueue_available(&d.vq), ==, 1);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 8, &chain), ==, 1);
    g_assert_cmpuint(chain.id, ==, 3);
    g_assert_cmpuint(chain.n_out, ==, 1);
    g_assert_cmpuint(chain.n_in, ==, 2);
    g_assert_cmpuint(chain.out_len, ==, 10);
    g_assert_cmpuint(chain.in_len, ==, 50);
    g_assert_true(iov[0].iov_base == guest(DATA_GPA));
    g_assert_true(iov[2].iov_base == guest(DATA_GPA + 200));
    g_assert_cmpuint(iov[2].iov_len, ==, 30);

    virtqueue_fill(&d.vq, &chain, 44);
    g_assert_cmpuint(used_index(), ==, 0);
    virtqueue_publish(&d.vq);
    g_assert_cmpuint(used_index(), ==, 1);
    g_assert_cmpuint(used_id(&d, 0), ==, 3);
    g_assert_cmpuint(used_len(&d, 0), ==, 44);
    driver_end(&d);
}

static void test_zero_length(void)
{
    Driver d;
    struct iovec iov[8];
    VirtQueueChain chain;

    driver_start(&d, 8, F_V1);
    desc(0, DATA_GPA, 0, VRING_DESC_F_NEXT, 1);
    desc(1, 0xdead0000, 0, VRING_DESC_F_NEXT, 2);
    desc(2, DATA_GPA, 5, VRING_DESC_F_WRITE, 0);
    offer(&d, 0);
    desc(3, DATA_GPA, 0, 0, 0);
    offer(&d, 3);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 8, &chain), ==, 1);
    g_assert_cmpuint(chain.n_out, ==, 0);
    g_assert_cmpuint(chain.n_in, ==, 1);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 8, &chain), ==, 1);
    g_assert_cmpuint(chain.n_out + chain.n_in, ==, 0);
    driver_end(&d);
}

/* The next range has another host address, so the buffer is in two pieces. */
static void test_adjacent_ranges(void)
{
    Driver d;
    struct iovec iov[8];
    VirtQueueChain chain;

    driver_start(&d, 8, F_V1);
    desc(0, NEXT_GPA - 4, 10, VRING_DESC_F_WRITE, 0);
    offer(&d, 0);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 8, &chain), ==, 1);
    g_assert_cmpuint(chain.n_in, ==, 2);
    g_assert_cmpuint(chain.in_len, ==, 10);
    g_assert_cmpuint(iov[0].iov_len, ==, 4);
    g_assert_true(iov[1].iov_base == guest(NEXT_GPA));
    g_assert_cmpuint(iov[1].iov_len, ==, 6);

    desc(1, ROM_GPA, 10, 0, 0);
    offer(&d, 1);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 8, &chain), ==, 1);
    g_assert_true(iov[0].iov_base == guest(ROM_GPA));
    driver_end(&d);
}

static void test_no_room_keeps_chain(void)
{
    Driver d;
    struct iovec iov[4];
    VirtQueueChain chain;

    driver_start(&d, 8, F_V1);
    for (unsigned i = 0; i < 3; i++) {
        desc(i, DATA_GPA, 1, i < 2 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
    }
    offer(&d, 0);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 2, &chain), ==, -ENOBUFS);
    g_assert_null(d.vq.fault);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 3, &chain), ==, 1);
    g_assert_cmpuint(chain.n_out, ==, 3);
    driver_end(&d);
}

static void test_unpop(void)
{
    Driver d;
    struct iovec iov[1];
    VirtQueueChain chain;

    driver_start(&d, 8, F_V1);
    for (unsigned i = 0; i < 4; i++) {
        desc(i, DATA_GPA, 1, 0, 0);
        offer(&d, (uint16_t)i);
    }
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain), ==, 1);
    }
    virtqueue_unpop(&d.vq, 2);
    g_assert_cmpuint(virtqueue_available(&d.vq), ==, 2);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain), ==, 1);
    g_assert_cmpuint(chain.id, ==, 2);
    driver_end(&d);
}

/* A stop in the middle of a burst loses neither a used nor a taken chain. */
static void test_stop_start(void)
{
    Driver d;
    struct iovec iov[1];
    VirtQueueChain chain;

    driver_start(&d, 8, F_V1);
    for (unsigned i = 0; i < 3; i++) {
        desc(i, DATA_GPA, 1, 0, 0);
        offer(&d, (uint16_t)i);
    }
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain), ==, 1);
    virtqueue_fill(&d.vq, &chain, 0);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain), ==, 1);
    virtqueue_stop(&d.vq);
    g_assert_cmpuint(used_index(), ==, 1);
    g_assert_true(signalled(&d));
    g_assert_cmpuint(virtqueue_get_base(&d.vq), ==, 1);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain), ==, 0);

    g_assert_cmpint(virtqueue_start(&d.vq, d.features), ==, 0);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain), ==, 1);
    g_assert_cmpuint(chain.id, ==, 1);
    virtqueue_fill(&d.vq, &chain, 0);
    virtqueue_publish(&d.vq);
    g_assert_cmpuint(used_index(), ==, 2);
    driver_end(&d);
}

/* What vhost did meanwhile is in the ring and in the base that it gives. */
static void test_set_base(void)
{
    Driver d;
    struct iovec iov[1];
    VirtQueueChain chain;

    driver_init(&d, 8, F_V1);
    desc(6, DATA_GPA, 1, 0, 0);
    d.avail_idx = 30;
    offer(&d, 6);
    *word(USED_GPA + 2) = htole16(30);
    virtqueue_set_base(&d.vq, 30);
    g_assert_cmpint(virtqueue_start(&d.vq, F_V1), ==, 0);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain), ==, 1);
    g_assert_cmpuint(chain.id, ==, 6);
    virtqueue_fill(&d.vq, &chain, 0);
    virtqueue_publish(&d.vq);
    g_assert_cmpuint(used_index(), ==, 31);
    driver_end(&d);
}

static void test_indirect(void)
{
    Driver d;
    struct iovec iov[32];
    VirtQueueChain chain;

    /* A table may be longer than the queue, and stand at an odd address. */
    driver_start(&d, 4, F_V1 | F_INDIRECT);
    for (unsigned i = 0; i < 20; i++) {
        set_desc(TABLE_GPA + 3, i, DATA_GPA + i, 1,
                 (i < 19 ? VRING_DESC_F_NEXT : 0) |
                     (i >= 10 ? VRING_DESC_F_WRITE : 0),
                 (uint16_t)(i + 1));
    }
    /* After a direct one; its own write flag counts for nothing. */
    desc(0, DATA_GPA + 100, 7, VRING_DESC_F_NEXT, 1);
    desc(1, TABLE_GPA + 3, 20 * 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_WRITE,
         0);
    offer(&d, 0);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 32, &chain), ==, 1);
    g_assert_cmpuint(chain.n_out, ==, 11);
    g_assert_cmpuint(chain.n_in, ==, 10);
    g_assert_cmpuint(chain.out_len, ==, 17);
    driver_end(&d);
}

/* ---- hostile drivers ---- */

typedef struct Hostile {
    const char *name; /* VIRTIO 1.2 section first */
    const char *fault;
    void (*prepare)(Driver *d);
} Hostile;

static void hostile_loop(Driver *d)
{
    desc(0, DATA_GPA, 1, VRING_DESC_F_NEXT, 1);
    desc(1, DATA_GPA, 1, VRING_DESC_F_NEXT, 0);
    offer(d, 0);
}

static void hostile_self_loop(Driver *d)
{
    desc(2, DATA_GPA, 0, VRING_DESC_F_NEXT, 2);
    offer(d, 2);
}

static void hostile_head(Driver *d)
{
    offer(d, 8);
}

static void hostile_next(Driver *d)
{
    desc(0, DATA_GPA, 1, VRING_DESC_F_NEXT, 8);
    offer(d, 0);
}

static void hostile_hole(Driver *d)
{
    desc(0, HOLE_GPA, 1, VRING_DESC_F_WRITE, 0);
    offer(d, 0);
}

static void hostile_past_end(Driver *d)
{
    desc(0, NEXT_GPA + SMALL - 8, 9, VRING_DESC_F_WRITE, 0);
    offer(d, 0);
}

static void hostile_before_start(Driver *d)
{
    desc(0, RAM_GPA - 1, 2, VRING_DESC_F_WRITE, 0);
    offer(d, 0);
}

static void hostile_wrap(Driver *d)
{
    desc(0, UINT64_MAX - 3, 8, VRING_DESC_F_WRITE, 0);
    offer(d, 0);
}

static void hostile_rom(Driver *d)
{
    desc(0, ROM_GPA, 8, VRING_DESC_F_WRITE, 0);
    offer(d, 0);
}

static void hostile_huge_len(Driver *d)
{
    desc(0, DATA_GPA, UINT32_MAX, VRING_DESC_F_WRITE, 0);
    offer(d, 0);
}

static void hostile_order(Driver *d)
{
    desc(0, DATA_GPA, 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
    desc(1, DATA_GPA, 1, 0, 0);
    offer(d, 0);
}

static void hostile_order_empty(Driver *d)
{
    desc(0, DATA_GPA, 0, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
    desc(1, DATA_GPA, 1, 0, 0);
    offer(d, 0);
}

static void hostile_jump(Driver *d)
{
    desc(0, DATA_GPA, 1, 0, 0);
    d->avail_idx += 8;
    offer(d, 0);
}

static void hostile_backwards(Driver *d)
{
    desc(0, DATA_GPA, 1, 0, 0);
    d->avail_idx -= 2;
    offer(d, 0);
}

/* Eight are out already: a ninth was never given back. */
static void hostile_overcommit(Driver *d)
{
    struct iovec iov[1];
    VirtQueueChain chain;

    desc(0, DATA_GPA, 1, 0, 0);
    for (unsigned i = 0; i < 8; i++) {
        offer(d, 0);
        g_assert_cmpint(virtqueue_pop(&d->vq, iov, 1, &chain), ==, 1);
    }
    offer(d, 0);
}

static void hostile_indirect_len(Driver *d)
{
    desc(0, TABLE_GPA, 24, VRING_DESC_F_INDIRECT, 0);
    offer(d, 0);
}

static void hostile_indirect_zero(Driver *d)
{
    desc(0, TABLE_GPA, 0, VRING_DESC_F_INDIRECT, 0);
    offer(d, 0);
}

static void hostile_indirect_next(Driver *d)
{
    set_desc(TABLE_GPA, 0, DATA_GPA, 1, 0, 0);
    desc(0, TABLE_GPA, 16, VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT, 1);
    offer(d, 0);
}

static void hostile_indirect_nested(Driver *d)
{
    set_desc(TABLE_GPA, 0, TABLE_GPA, 16, VRING_DESC_F_INDIRECT, 0);
    desc(0, TABLE_GPA, 16, VRING_DESC_F_INDIRECT, 0);
    offer(d, 0);
}

/* The table lies where the ring's own descriptors are, the entry among them. */
static void hostile_indirect_own_ring(Driver *d)
{
    desc(0, DESC_GPA, 16, VRING_DESC_F_INDIRECT, 0);
    offer(d, 0);
}

static void hostile_indirect_hole(Driver *d)
{
    desc(0, HOLE_GPA, 16, VRING_DESC_F_INDIRECT, 0);
    offer(d, 0);
}

static void hostile_indirect_past_end(Driver *d)
{
    desc(0, NEXT_GPA + SMALL - 16, 32, VRING_DESC_F_INDIRECT, 0);
    offer(d, 0);
}

static void hostile_indirect_index(Driver *d)
{
    set_desc(TABLE_GPA, 0, DATA_GPA, 1, VRING_DESC_F_NEXT, 1);
    desc(0, TABLE_GPA, 16, VRING_DESC_F_INDIRECT, 0);
    offer(d, 0);
}

static void hostile_indirect_loop(Driver *d)
{
    set_desc(TABLE_GPA, 0, DATA_GPA, 0, VRING_DESC_F_NEXT, 0);
    desc(0, TABLE_GPA, 64, VRING_DESC_F_INDIRECT, 0);
    offer(d, 0);
}

/* 1025 buffers of one byte: the table is longer than what we take. */
static void hostile_too_many(Driver *d)
{
    for (unsigned i = 0; i < 1025; i++) {
        set_desc(TABLE_GPA, i, RAM_GPA, 1, i < 1024 ? VRING_DESC_F_NEXT : 0,
                 (uint16_t)(i + 1));
    }
    desc(0, TABLE_GPA, 1025 * 16, VRING_DESC_F_INDIRECT, 0);
    offer(d, 0);
}

/* A table as long as RAM has room for, of buffers of no length. */
static void hostile_long_nothing(Driver *d)
{
    for (unsigned i = 0; i < 1100; i++) {
        set_desc(TABLE_GPA, i, 0, 0, VRING_DESC_F_NEXT, (uint16_t)(i + 1));
    }
    desc(0, TABLE_GPA, 1100 * 16, VRING_DESC_F_INDIRECT, 0);
    offer(d, 0);
}

static void without_indirect(Driver *d)
{
    d->vq.indirect = false;
    hostile_indirect_len(d);
}

static const Hostile hostile[] = {
    { "2.7.5/loop", "loop or longer", hostile_loop },
    { "2.7.5/loop-of-nothing", "loop or longer", hostile_self_loop },
    { "2.7.5/head-beyond-table", "index is beyond", hostile_head },
    { "2.7.5/next-beyond-table", "index is beyond", hostile_next },
    { "2.7.5/address-in-hole", "not in RAM", hostile_hole },
    { "2.7.5/runs-out-of-ram", "not in RAM", hostile_past_end },
    { "2.7.5/starts-before-ram", "not in RAM", hostile_before_start },
    { "2.7.5/address-wraps", "not in RAM", hostile_wrap },
    { "2.7.5/write-to-rom", "read-only", hostile_rom },
    { "2.7.5/length-overflow", "not in RAM", hostile_huge_len },
    { "2.7.4.2/readable-after-writable", "readable buffer", hostile_order },
    { "2.7.4.2/readable-after-empty-writable", "readable buffer",
      hostile_order_empty },
    { "2.7.6/index-jumps", "index jumps", hostile_jump },
    { "2.7.6/index-goes-back", "index jumps", hostile_backwards },
    { "2.7.6/more-than-given-back", "index jumps", hostile_overcommit },
    { "2.7.5.3/not-negotiated", "without VIRTIO_F_INDIRECT", without_indirect },
    { "2.7.5.3/length-not-multiple", "multiple of 16", hostile_indirect_len },
    { "2.7.5.3/length-zero", "multiple of 16", hostile_indirect_zero },
    { "2.7.5.3/with-next", "with the next flag", hostile_indirect_next },
    { "2.7.5.3/nested", "indirect table in", hostile_indirect_nested },
    { "2.7.5.3/nested-own-ring", "indirect table in",
      hostile_indirect_own_ring },
    { "2.7.5.3/table-in-hole", "table is not in RAM", hostile_indirect_hole },
    { "2.7.5.3/table-runs-out", "table is not in RAM",
      hostile_indirect_past_end },
    { "2.7.5.3/next-beyond-table", "index is beyond", hostile_indirect_index },
    { "2.7.5.3/loop", "loop or longer", hostile_indirect_loop },
    { "2.7.5.3/too-many-buffers", "too many buffers", hostile_too_many },
    { "2.7.5.3/too-many-of-nothing", "loop or longer", hostile_long_nothing },
};

/* The fault is found and named, nothing is written, and the queue is dead. */
static void test_hostile(const void *data)
{
    const Hostile *h = data;
    g_autofree uint8_t *before = NULL;
    static struct iovec iov[VIRTQUEUE_MAX_SEGS];
    VirtQueueChain chain;
    Driver d;

    driver_start(&d, 8, F_V1 | F_INDIRECT);
    h->prepare(&d);
    before = rig_ram_copy();
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, VIRTQUEUE_MAX_SEGS, &chain), ==,
                    -EPROTO);
    g_assert_nonnull(d.vq.fault);
    g_assert_nonnull(strstr(d.vq.fault, h->fault));

    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain), ==, -EPROTO);
    g_assert_true(virtqueue_empty(&d.vq));
    g_assert_cmpuint(virtqueue_available(&d.vq), ==, 0);
    chain = (VirtQueueChain){ .id = 0 };
    virtqueue_fill(&d.vq, &chain, 1);
    virtqueue_publish(&d.vq);
    g_assert_false(virtqueue_signal(&d.vq));
    virtqueue_want_kicks(&d.vq, false);
    virtqueue_stop(&d.vq);
    g_assert_cmpint(virtqueue_start(&d.vq, d.features), ==, -EPROTO);
    rig_ram_unchanged(before);

    virtqueue_reset(&d.vq);
    g_assert_null(d.vq.fault);
    g_assert_cmpuint(d.vq.size, ==, VIRTQUEUE_MAX_SIZE);
    g_assert_false(d.vq.enabled);
    g_assert_cmpuint(d.vq.vector, ==, MSIX_NO_VECTOR);
    driver_end(&d);
}

/* 4 GiB in all, by buffers that are each in RAM: a map of one huge range. */
static void test_chain_of_4gib(void)
{
    Driver d;
    struct iovec iov[8];
    VirtQueueChain chain;

    driver_start(&d, 8, F_V1);
    rig_grow_next(16 * GiB);
    desc(0, NEXT_GPA, 0x80000000, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
    desc(1, NEXT_GPA, 0x80000000, VRING_DESC_F_WRITE, 2);
    desc(2, NEXT_GPA, 1, VRING_DESC_F_WRITE, 0);
    offer(&d, 0);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 8, &chain), ==, 1);
    g_assert_cmpuint(chain.in_len, ==, 4 * GiB);
    desc(1, NEXT_GPA, 0x80000000, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2);
    offer(&d, 0);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 8, &chain), ==, -EPROTO);
    g_assert_nonnull(strstr(d.vq.fault, "4 GiB"));
    driver_end(&d);
}

typedef struct BadStart {
    const char *name;
    uint64_t desc, avail, used;
    unsigned size;
    int result;
} BadStart;

static const BadStart bad_starts[] = {
    { "size-zero", DESC_GPA, AVAIL_GPA, USED_GPA, 0, -EINVAL },
    { "size-no-power-of-two", DESC_GPA, AVAIL_GPA, USED_GPA, 12, -EINVAL },
    { "size-above-maximum", DESC_GPA, AVAIL_GPA, USED_GPA, 2048, -EINVAL },
    { "descriptors-misaligned", DESC_GPA + 8, AVAIL_GPA, USED_GPA, 8, -EFAULT },
    { "avail-misaligned", DESC_GPA, AVAIL_GPA + 1, USED_GPA, 8, -EFAULT },
    { "used-misaligned", DESC_GPA, AVAIL_GPA, USED_GPA + 2, 8, -EFAULT },
    { "used-in-rom", DESC_GPA, AVAIL_GPA, ROM_GPA, 8, -EFAULT },
    { "avail-in-rom", DESC_GPA, ROM_GPA, USED_GPA, 8, -EFAULT },
    { "descriptors-in-hole", 0x80000, AVAIL_GPA, USED_GPA, 8, -EFAULT },
    { "used-across-ranges", DESC_GPA, AVAIL_GPA, NEXT_GPA - 8, 8, -EFAULT },
    { "address-wraps", ~0xfULL, AVAIL_GPA, USED_GPA, 8, -EFAULT },
};

static void test_bad_start(const void *data)
{
    const BadStart *b = data;
    Driver d;

    driver_init(&d, b->size, F_V1);
    d.vq.desc_gpa = b->desc;
    d.vq.avail_gpa = b->avail;
    d.vq.used_gpa = b->used;
    g_assert_cmpint(virtqueue_start(&d.vq, F_V1), ==, b->result);
    g_assert_nonnull(d.vq.fault);
    g_assert_false(d.vq.running);
    driver_end(&d);
}

static void test_start_disabled(void)
{
    Driver d;

    driver_init(&d, 8, F_V1);
    d.vq.enabled = false;
    g_assert_cmpint(virtqueue_start(&d.vq, F_V1), ==, -EINVAL);
    driver_end(&d);
}

/* ---- layout and limits ---- */

static void test_legacy_layout(void)
{
    Driver d;

    driver_init(&d, 256, 0);
    virtqueue_set_legacy(&d.vq, 0x20000);
    g_assert_true(d.vq.enabled);
    g_assert_cmphex(d.vq.desc_gpa, ==, 0x20000);
    g_assert_cmphex(d.vq.avail_gpa, ==, 0x21000);
    g_assert_cmphex(d.vq.used_gpa, ==, 0x22000);
    g_assert_cmpuint(virtqueue_desc_bytes(&d.vq), ==, 4096);
    g_assert_cmpuint(virtqueue_avail_bytes(&d.vq), ==, 6 + 512);
    g_assert_cmpuint(virtqueue_used_bytes(&d.vq), ==, 6 + 2048);
    virtqueue_set_legacy(&d.vq, 0);
    g_assert_false(d.vq.enabled);
    driver_end(&d);
}

static void test_init_sizes(void)
{
    static const uint16_t bad[] = { 0, 3, 100, 2048 };
    VirtQueue vq;

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        g_autoptr(GError) err = NULL;

        g_assert_false(virtqueue_init(&vq, 7, bad[i], &err));
        g_assert_nonnull(strstr(err->message, "virtqueue 7"));
    }
}

/* ---- notifications ---- */

static void test_used_flags(void)
{
    Driver d;

    driver_start(&d, 8, F_V1);
    roundtrip(&d, 1);
    g_assert_true(virtqueue_signal(&d.vq)); /* the first always */
    g_assert_true(signalled(&d));
    *word(AVAIL_GPA) = htole16(VRING_AVAIL_F_NO_INTERRUPT);
    roundtrip(&d, 2);
    g_assert_false(virtqueue_signal(&d.vq));
    g_assert_false(signalled(&d));
    g_assert_cmpuint(d.vq.signals_suppressed, ==, 1);
    *word(AVAIL_GPA) = 0;
    g_assert_false(virtqueue_signal(&d.vq)); /* nothing new */
    roundtrip(&d, 1);
    g_assert_true(virtqueue_signal(&d.vq));
    g_assert_cmpuint(d.vq.signals, ==, 2);
    driver_end(&d);
}

static void test_used_event(void)
{
    Driver d;
    uint16_t *event;

    driver_start(&d, 8, F_V1 | F_EVENT);
    event = word(AVAIL_GPA + 4 + 2 * 8);
    roundtrip(&d, 1);
    g_assert_true(virtqueue_signal(&d.vq));
    *event = htole16(3); /* when entry 3 is used, the index is 4 */
    roundtrip(&d, 2);
    g_assert_false(virtqueue_signal(&d.vq));
    roundtrip(&d, 1);
    g_assert_true(virtqueue_signal(&d.vq));
    roundtrip(&d, 5);
    g_assert_false(virtqueue_signal(&d.vq)); /* passed */
    *event = htole16(11);
    roundtrip(&d, 7); /* over it in one burst */
    g_assert_true(virtqueue_signal(&d.vq));
    driver_end(&d);
}

static void test_caught_up(void)
{
    Driver d;

    driver_start(&d, 8, F_V1 | F_EVENT);
    g_assert_true(virtqueue_caught_up(&d.vq));
    roundtrip(&d, 3);
    g_assert_false(virtqueue_caught_up(&d.vq));
    *word(AVAIL_GPA + 4 + 2 * 8) = htole16(2);
    g_assert_false(virtqueue_caught_up(&d.vq)); /* one is missing */
    *word(AVAIL_GPA + 4 + 2 * 8) = htole16(3);
    g_assert_true(virtqueue_caught_up(&d.vq));
    driver_end(&d);
    driver_start(&d, 8, F_V1);
    roundtrip(&d, 3);
    g_assert_true(virtqueue_caught_up(&d.vq)); /* nothing says it has not */
    driver_end(&d);
}

static void test_notify_on_empty(void)
{
    Driver d;

    driver_start(&d, 8, 1ULL << VIRTIO_F_NOTIFY_ON_EMPTY);
    *word(AVAIL_GPA) = htole16(VRING_AVAIL_F_NO_INTERRUPT);
    roundtrip(&d, 1);
    g_assert_true(virtqueue_signal(&d.vq));
    roundtrip(&d, 1);
    g_assert_true(virtqueue_signal(&d.vq)); /* ring is empty */
    roundtrip(&d, 1);
    offer(&d, 0);
    g_assert_false(virtqueue_signal(&d.vq)); /* it is not */
    driver_end(&d);
}

static void test_avail_suppression(void)
{
    Driver d;
    uint16_t *event;

    driver_start(&d, 8, F_V1);
    g_assert_cmpuint(*word(USED_GPA), ==, 0);
    virtqueue_want_kicks(&d.vq, false);
    g_assert_cmpuint(le16toh(*word(USED_GPA)), ==, VRING_USED_F_NO_NOTIFY);
    virtqueue_want_kicks(&d.vq, true);
    g_assert_cmpuint(*word(USED_GPA), ==, 0);
    driver_end(&d);

    driver_start(&d, 8, F_V1 | F_EVENT);
    event = word(USED_GPA + 4 + 8 * 8);
    roundtrip(&d, 5);
    g_assert_cmpuint(le16toh(*event), ==, 0);
    virtqueue_want_kicks(&d.vq, true);
    g_assert_cmpuint(le16toh(*event), ==, 5);
    g_assert_cmpuint(*word(USED_GPA), ==, 0);
    virtqueue_want_kicks(&d.vq, false);
    g_assert_cmpuint(le16toh(*event), ==, 4);
    virtqueue_want_kicks(&d.vq, true);
    g_assert_cmpuint(le16toh(*event), ==, 5);
    driver_end(&d);
}

/* Indices run over 65536 in bursts of changing length; the driver asks for a
 * signal at the end of each burst, and now and then not at all. */
static void test_wrap(void)
{
    Driver d;
    unsigned done = 0;

    driver_start(&d, 8, F_V1 | F_EVENT);
    roundtrip(&d, 1);
    g_assert_true(virtqueue_signal(&d.vq));
    done = 1;
    for (unsigned n = 1; done < 3 * 65536; n = n % 8 + 1) {
        bool ask = n != 3;
        uint16_t event = (uint16_t)(ask ? done + n - 1 : done - 2);

        *word(AVAIL_GPA + 4 + 2 * 8) = htole16(event);
        roundtrip(&d, n);
        done += n;
        g_assert_cmpuint(used_index(), ==, (uint16_t)done);
        g_assert_cmpint(virtqueue_signal(&d.vq), ==, ask);
    }
    g_assert_true(virtqueue_empty(&d.vq));
    driver_end(&d);
}

/* ---- VIRTIO_F_IN_ORDER ---- */

/* Chains used to the end need no element of their own when another follows: the
 * run's element stands where its first would be (2.7.9). */
static void test_in_order(void)
{
    static const uint32_t lens[] = { 16, 16, 9, 16, 0, 16 };
    static const struct {
        unsigned at, id;
        uint32_t len;
    } runs[] = { { 0, 2, 9 }, { 3, 4, 0 }, { 5, 5, 16 } };
    Driver d;

    driver_start(&d, 8, F_V1 | F_IN_ORDER);
    for (unsigned lap = 0; lap < 20; lap++) {
        VirtQueueChain chain[ARRAY_SIZE(lens)];
        struct iovec iov[1];
        unsigned from = ARRAY_SIZE(lens) * lap;

        memset(guest(USED_GPA + 4), 0xee, 8 * 8);
        for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
            desc(i, DATA_GPA, 16, VRING_DESC_F_WRITE, 0);
            offer(&d, (uint16_t)i);
            g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain[i]), ==, 1);
        }
        for (unsigned i = 0; i < ARRAY_SIZE(lens); i++) {
            virtqueue_fill(&d.vq, &chain[i], lens[i]);
        }
        virtqueue_publish(&d.vq);
        g_assert_cmpuint(used_index(), ==, from + ARRAY_SIZE(lens));
        for (unsigned i = 0; i < ARRAY_SIZE(runs); i++) {
            g_assert_cmpuint(used_id(&d, from + runs[i].at), ==, runs[i].id);
            g_assert_cmpuint(used_len(&d, from + runs[i].at), ==, runs[i].len);
        }
        /* Nothing was written for the others. */
        g_assert_cmphex(used_id(&d, from + 1), ==, 0xeeeeeeee);
        g_assert_cmphex(used_id(&d, from + 4), ==, 0xeeeeeeee);
    }
    driver_end(&d);
}

/* What is not shown yet is shown by a stop, and put back if not filled. */
static void test_in_order_stop(void)
{
    VirtQueueChain chain[3];
    struct iovec iov[1];
    Driver d;

    driver_start(&d, 4, F_V1 | F_IN_ORDER);
    for (unsigned i = 0; i < 3; i++) {
        desc(i, DATA_GPA, 16, 0, 0);
        offer(&d, (uint16_t)i);
        g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain[i]), ==, 1);
    }
    virtqueue_fill(&d.vq, &chain[0], 0);
    virtqueue_fill(&d.vq, &chain[1], 0);
    virtqueue_stop(&d.vq);
    g_assert_cmpuint(used_index(), ==, 2);
    g_assert_cmpuint(used_id(&d, 0), ==, 1);
    g_assert_cmpint(virtqueue_start(&d.vq, d.features), ==, 0);
    g_assert_cmpint(virtqueue_pop(&d.vq, iov, 1, &chain[2]), ==, 1);
    g_assert_cmpuint(chain[2].id, ==, 2);
    virtqueue_fill(&d.vq, &chain[2], 0);
    virtqueue_publish(&d.vq);
    g_assert_cmpuint(used_index(), ==, 3);
    g_assert_cmpuint(used_id(&d, 2), ==, 2);
    driver_end(&d);
}

/* ---- driver and device at the same time ---- */

#define STRESS_RING 16u

static bool stress_wants_kick(const Driver *d, uint16_t old)
{
    uint16_t event;

    if (!(d->features & F_EVENT)) {
        return !__atomic_load_n(word(USED_GPA), __ATOMIC_RELAXED);
    }
    event =
        __atomic_load_n(word(USED_GPA + 4 + 8 * STRESS_RING), __ATOMIC_RELAXED);
    return (uint16_t)(d->avail_idx - event - 1) <
           (uint16_t)(d->avail_idx - old);
}

/* Offers what fits, in pairs of descriptors, and kicks if asked to. */
static unsigned stress_offer(Driver *d, unsigned sent, unsigned used)
{
    uint16_t old = d->avail_idx;

    while (sent < STRESS_CHAINS && sent - used < STRESS_RING / 2) {
        unsigned slot = sent % (STRESS_RING / 2);
        uint64_t data = DATA_GPA + 64 * slot;

        memcpy(guest(data), &sent, 4);
        desc(2 * slot, data, 4, VRING_DESC_F_NEXT, (uint16_t)(2 * slot + 1));
        desc(2 * slot + 1, data + 32, 4, VRING_DESC_F_WRITE, 0);
        offer(d, (uint16_t)(2 * slot));
        sent++;
    }
    __sync_synchronize(); /* our index before their request, 2.7.13.4.1 */
    if (d->avail_idx != old && stress_wants_kick(d, old)) {
        eventfd_signal(d->vq.kick_fd);
    }
    return sent;
}

/* Sleeps unless something was used since @used. */
static void stress_wait(Driver *d, unsigned used)
{
    if (d->features & F_EVENT) {
        __atomic_store_n(word(AVAIL_GPA + 4 + 2 * STRESS_RING), (uint16_t)used,
                         __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(word(AVAIL_GPA), 0, __ATOMIC_RELAXED);
    }
    __sync_synchronize(); /* our request before their index, 2.7.7.2 */
    if (used_index() == (uint16_t)used) {
        rig_wait_readable(d->vq.call_fd);
    }
    if (!(d->features & F_EVENT)) {
        __atomic_store_n(word(AVAIL_GPA), VRING_AVAIL_F_NO_INTERRUPT,
                         __ATOMIC_RELAXED);
    }
}

static void test_stress(const void *data)
{
    Driver d;
    pthread_t thread;
    unsigned sent = 0, used = 0;

    driver_start(&d, STRESS_RING, F_V1 | *(const uint64_t *)data);
    g_assert_cmpint(pthread_create(&thread, NULL, rig_stress_device, &d.vq), ==,
                    0);
    while (used < STRESS_CHAINS) {
        sent = stress_offer(&d, sent, used);
        if (used_index() == (uint16_t)used) {
            stress_wait(&d, used);
        }
        while (used_index() != (uint16_t)used) {
            uint64_t at = DATA_GPA + 64 * (used % (STRESS_RING / 2)) + 32;
            uint32_t answer;

            memcpy(&answer, guest(at), 4);
            g_assert_cmpuint(used_len(&d, used), ==, 4);
            g_assert_cmpuint(answer, ==, ++used);
        }
    }
    pthread_join(thread, NULL);
    g_assert_null(d.vq.fault);
    driver_end(&d);
}

int main(int argc, char **argv)
{
    static const uint64_t with_event = F_EVENT, without;

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtqueue/split/2.7.8/pop-fill-publish", test_pop_fill);
    g_test_add_func("/virtqueue/split/2.7.5/zero-length-left-out",
                    test_zero_length);
    g_test_add_func("/virtqueue/split/2.7.5/adjacent-ranges",
                    test_adjacent_ranges);
    g_test_add_func("/virtqueue/split/no-room-keeps-chain",
                    test_no_room_keeps_chain);
    g_test_add_func("/virtqueue/split/unpop", test_unpop);
    g_test_add_func("/virtqueue/split/stop-start", test_stop_start);
    g_test_add_func("/virtqueue/split/base-from-vhost", test_set_base);
    g_test_add_func("/virtqueue/split/2.7.5.3/indirect", test_indirect);
    g_test_add_func("/virtqueue/split/2.7.4/chain-of-4gib", test_chain_of_4gib);
    for (unsigned i = 0; i < ARRAY_SIZE(hostile); i++) {
        g_autofree char *name =
            g_strdup_printf("/virtqueue/hostile/%s", hostile[i].name);

        g_test_add_data_func(name, &hostile[i], test_hostile);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(bad_starts); i++) {
        g_autofree char *name =
            g_strdup_printf("/virtqueue/start/2.7/%s", bad_starts[i].name);

        g_test_add_data_func(name, &bad_starts[i], test_bad_start);
    }
    g_test_add_func("/virtqueue/start/not-enabled", test_start_disabled);
    g_test_add_func("/virtqueue/2.7.2/legacy-layout", test_legacy_layout);
    g_test_add_func("/virtqueue/init-sizes", test_init_sizes);
    g_test_add_func("/virtqueue/split/2.7.7.1/used-flags", test_used_flags);
    g_test_add_func("/virtqueue/split/2.7.7.2/used-event", test_used_event);
    g_test_add_func("/virtqueue/split/2.7.7.2/caught-up", test_caught_up);
    g_test_add_func("/virtqueue/split/6.3/notify-on-empty",
                    test_notify_on_empty);
    g_test_add_func("/virtqueue/split/2.7.10/avail-event",
                    test_avail_suppression);
    g_test_add_func("/virtqueue/split/index-wrap", test_wrap);
    g_test_add_func("/virtqueue/split/2.7.9/in-order", test_in_order);
    g_test_add_func("/virtqueue/split/2.7.9/in-order-stop", test_in_order_stop);
    g_test_add_data_func("/virtqueue/two-threads/flags", &without, test_stress);
    g_test_add_data_func("/virtqueue/two-threads/event-idx", &with_event,
                         test_stress);
    return g_test_run();
}
