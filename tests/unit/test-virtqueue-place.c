/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The place in a packed ring that its device has left: a driver and a device
 * that do the rules of VIRTIO 1.2, 2.8, stopped again and again at random. What
 * the descriptors tell is true, or they tell nothing.
 */
#include "util/osdep.h"

#include <linux/virtio_ring.h>

#include "hw/virtio/virtqueue.h"
#include "util/endian.h"

#define SIZE  16u
#define ROUND 20000u

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED  (1u << VRING_PACKED_DESC_F_USED)
#define NEXT  VRING_DESC_F_NEXT

typedef struct Place {
    unsigned slot;
    bool wrap;
} Place;

typedef struct Chain {
    uint16_t id;
    unsigned slots;
} Chain;

/* Both sides of a ring. Chains are first out, then used, then free again. */
typedef struct Ring {
    struct vring_packed_desc desc[SIZE];
    VirtQueue vq;
    Place driver, device;
    Chain out[SIZE], used[SIZE];
    unsigned n_out, n_used, free_slots;
    uint16_t free_id[SIZE]; /* the last one is the next to be taken */
    unsigned n_ids;
} Ring;

static void ring_init(Ring *r, bool indirect, bool in_order)
{
    memset(r, 0, sizeof(*r));
    r->vq = (VirtQueue){ .size = SIZE,
                         .packed = true,
                         .indirect = indirect,
                         .in_order = in_order,
                         .desc = r->desc };
    r->driver.wrap = r->device.wrap = true;
    r->free_slots = SIZE;
    while (r->n_ids < SIZE) {
        r->free_id[r->n_ids] = (uint16_t)(SIZE - 1 - r->n_ids);
        r->n_ids++;
    }
}

static void advance(Place *p, unsigned n)
{
    p->slot += n;
    if (p->slot >= SIZE) {
        p->slot -= SIZE;
        p->wrap = !p->wrap;
    }
}

static uint16_t encode(Place p)
{
    return (uint16_t)(p.slot | (unsigned)p.wrap << 15);
}

/* The driver makes a chain of @slots available; @flags of each, beside. */
static void add(Ring *r, unsigned slots, uint16_t flags)
{
    Chain c = { .id = r->free_id[--r->n_ids], .slots = slots };

    g_assert_cmpuint(slots, <=, r->free_slots);
    r->free_slots -= slots;
    for (unsigned i = 0; i < slots; i++) {
        uint16_t f = flags | (i + 1 < slots ? NEXT : 0) |
                     (r->driver.wrap ? AVAIL : USED);

        r->desc[r->driver.slot] =
            (struct vring_packed_desc){ .addr = htole64(0x1000),
                                        .len = htole32(60),
                                        .id = htole16(c.id),
                                        .flags = htole16(f) };
        advance(&r->driver, 1);
    }
    r->out[r->n_out++] = c;
}

/* The device is done with the next @n chains; a mark for each or, in order,
 * for all of them. */
static void use(Ring *r, unsigned n)
{
    Place first = r->device;

    for (unsigned i = 0; i < n; i++) {
        Chain c = r->out[i];
        struct vring_packed_desc *d =
            &r->desc[r->vq.in_order ? first.slot : r->device.slot];

        d->id = htole16(c.id);
        d->len = 0;
        d->flags = htole16(
            (r->vq.in_order ? first.wrap : r->device.wrap) ? AVAIL | USED : 0);
        advance(&r->device, c.slots);
        r->used[r->n_used++] = c;
    }
    r->n_out -= n;
    memmove(r->out, r->out + n, r->n_out * sizeof(r->out[0]));
}

/* The driver takes @n used chains back. */
static void take(Ring *r, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        r->free_id[r->n_ids++] = r->used[i].id;
        r->free_slots += r->used[i].slots;
    }
    r->n_used -= n;
    memmove(r->used, r->used + n, r->n_used * sizeof(r->used[0]));
}

static unsigned up_to(unsigned n)
{
    return (unsigned)g_test_rand_int_range(0, (gint32)n + 1);
}

/* One of the ways that chains are made: their slots, and flags. */
typedef struct Kind {
    const char *name;
    bool indirect, in_order;
    unsigned longest;
    unsigned least; /* percent of places that are told */
} Kind;

static void step(Ring *r, const Kind *kind)
{
    switch (up_to(2)) {
    case 0:
        for (unsigned n = up_to(4); n > 0 && r->n_ids; n--) {
            unsigned slots = 1 + up_to(kind->longest - 1);
            bool table = kind->indirect && up_to(1);

            if (slots <= r->free_slots) {
                add(r, table ? 1 : slots, table ? VRING_DESC_F_INDIRECT : 0);
            }
        }
        break;
    case 1:
        use(r, up_to(r->n_out));
        break;
    default:
        take(r, up_to(r->n_used));
    }
}

static void test_random(gconstpointer data)
{
    const Kind *kind = data;
    Ring r;
    unsigned told = 0;

    ring_init(&r, kind->indirect, kind->in_order);
    for (unsigned i = 0; i < ROUND; i++) {
        uint16_t place = 0xffff;

        step(&r, kind);
        if (virtqueue_find_place(&r.vq, &place)) {
            g_assert_cmphex(place, ==, encode(r.device));
            told++;
        }
        g_assert_true(virtqueue_may_be_place(&r.vq, encode(r.device)));
    }
    g_test_message("%s: %u%% told", kind->name, told * 100 / ROUND);
    g_assert_cmpuint(told * 100, >=, kind->least * ROUND);
}

/* ---- states by hand ---- */

static void expect(const Ring *r, bool told)
{
    uint16_t place = 0xffff;

    g_assert_cmpint(virtqueue_find_place(&r->vq, &place), ==, told);
    if (told) {
        g_assert_cmphex(place, ==, encode(r->device));
    }
}

static void test_begin(void)
{
    Ring r;

    for (unsigned in_order = 0; in_order < 2; in_order++) {
        ring_init(&r, false, in_order);
        expect(&r, true);
        add(&r, 1, 0);
        add(&r, 3, 0);
        expect(&r, true); /* before them nobody wrote anything */
        use(&r, 2);
        take(&r, 2);
        add(&r, 1, 0);
        g_assert_true(virtqueue_may_be_place(&r.vq, encode(r.device)));
        g_assert_false(virtqueue_may_be_place(&r.vq, 0x8000));
        /* One mark for all that follows up to its id, if in order. */
        g_assert_cmpint(virtqueue_may_be_place(&r.vq, encode(r.driver)), ==,
                        in_order);
        g_assert_false(virtqueue_may_be_place(&r.vq, SIZE));
    }
}

/* A mark of a chain of two slots, or of one that is followed by another with
 * the same id: only the driver knows. */
static void test_ambiguous(void)
{
    Ring r;

    ring_init(&r, false, false);
    add(&r, 2, 0);
    use(&r, 1);
    expect(&r, false);
    g_assert_true(virtqueue_may_be_place(&r.vq, 0x8002));
    g_assert_true(virtqueue_may_be_place(&r.vq, 0x8001));
    ring_init(&r, false, false);
    add(&r, 1, 0);
    use(&r, 1);
    take(&r, 1);
    expect(&r, true);
    add(&r, 1, 0);
    expect(&r, false);
    r.vq.indirect = true; /* it would have used a table */
    r.device = (Place){ 1, true };
    for (unsigned i = 1; i < SIZE; i++) {
        use(&r, r.n_out);
        take(&r, r.n_used);
        add(&r, 1, 0);
    }
    expect(&r, true);
}

/* A full ring whose back-end has used nothing in this lap. */
static void test_full(void)
{
    Ring r;

    for (unsigned lap = 0; lap < 3; lap++) {
        ring_init(&r, true, false);
        for (unsigned i = 0; i < lap * SIZE; i++) {
            add(&r, 1, 0);
            use(&r, 1);
            take(&r, 1);
        }
        while (r.n_ids) {
            add(&r, 1, 0);
        }
        expect(&r, true);
        r.vq.indirect = false;
        expect(&r, false);
    }
}

/* No order in the flags: a driver in the middle of a chain, for ever. */
static void test_garbage(void)
{
    Ring r;

    ring_init(&r, true, false);
    add(&r, 1, 0);
    r.desc[5].flags = htole16(AVAIL);
    expect(&r, false);
    g_assert_false(virtqueue_may_be_place(&r.vq, 0x8000));
}

int main(int argc, char **argv)
{
    static const Kind kinds[] = {
        { "one-slot", true, false, 1, 95 },
        { "one-slot-without-tables", false, false, 1, 85 },
        { "several-slots", false, false, 4, 20 },
        { "in-order", false, true, 4, 5 },
        { "in-order-with-tables", true, true, 1, 10 },
    };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++) {
        g_autofree char *path = g_strdup_printf(
            "/virtqueue/packed/2.8.1/place-left/%s", kinds[i].name);

        g_test_add_data_func(path, &kinds[i], test_random);
    }
    g_test_add_func("/virtqueue/packed/2.8.1/place-left/begin", test_begin);
    g_test_add_func("/virtqueue/packed/2.8.6/place-left/ambiguous",
                    test_ambiguous);
    g_test_add_func("/virtqueue/packed/2.8.1/place-left/full", test_full);
    g_test_add_func("/virtqueue/packed/2.8.1/place-left/garbage", test_garbage);
    return g_test_run();
}
