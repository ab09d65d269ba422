/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The driver's side of a ring, against our device's side and against devices
 * that lie.
 *
 * Threads: the test's, and in one test the device's.
 */
#include "util/osdep.h"

#include <pthread.h>

#include "hw/virtio/vring-driver.h"
#include "virtqueue-rig.h"

#define DATA_GPA (RAM_GPA + 0x8000)
#define SLOT     64u /* bytes for a chain's parts */

typedef struct Pair {
    VringDriver *ring;
    VringDriverAreas area;
    VirtQueue vq;
    uint16_t size;
} Pair;

static void pair_new(Pair *p, uint64_t features, uint16_t size)
{
    VringDriverConfig config;

    rig_memory_init();
    *p = (Pair){ .size = size };
    g_assert_true(virtqueue_init(&p->vq, 0, 64, NULL));
    config = (VringDriverConfig){ .size = size,
                                  .features = features,
                                  .memory = guest(RAM_GPA),
                                  .address = RAM_GPA,
                                  .kick_fd = p->vq.kick_fd };
    memset(config.memory, 0x5a, vring_driver_bytes(size, features));
    p->ring = vring_driver_new(&config);
    vring_driver_areas(p->ring, &p->area);
    p->vq.size = size;
    p->vq.desc_gpa = p->area.desc_addr;
    p->vq.avail_gpa = p->area.driver_addr;
    p->vq.used_gpa = p->area.device_addr;
    p->vq.enabled = true;
    g_assert_cmpint(virtqueue_start(&p->vq, features | F_V1), ==, 0);
    g_assert_cmpuint(vring_driver_first_base(p->ring), ==,
                     virtqueue_get_base(&p->vq));
}

static void pair_free(Pair *p)
{
    rig_check_guards();
    vring_driver_free(p->ring);
    virtqueue_stop(&p->vq);
    virtqueue_cleanup(&p->vq);
}

/* Parts of token @token's chain: its address tells whose it is. */
static void parts_of(uint16_t token, unsigned n, VringDriverPart *part)
{
    for (unsigned i = 0; i < n; i++) {
        part[i] = (VringDriverPart){ DATA_GPA + token * SLOT + 8 * i, 8 };
    }
}

static int add(Pair *p, uint16_t token, unsigned n_out, unsigned n_in)
{
    VringDriverPart part[8];

    parts_of(token, n_out + n_in, part);
    return vring_driver_add(p->ring, part, n_out, n_in, token);
}

static const uint64_t formats[] = {
    0,
    F_EVENT,
    F_IN_ORDER,
    F_IN_ORDER | F_EVENT,
    F_PACKED,
    F_PACKED | F_EVENT,
    F_PACKED | F_IN_ORDER,
    F_PACKED | F_IN_ORDER | F_EVENT,
};

static const char *format_name(uint64_t features)
{
    static char name[64];

    snprintf(name, sizeof(name), "%s%s%s",
             features & F_PACKED ? "packed" : "split",
             features & F_EVENT ? "+event-idx" : "",
             features & F_IN_ORDER ? "+in-order" : "");
    return name;
}

/* ---- there and back ---- */

typedef struct Out {
    VirtQueueChain chain;
    uint16_t token;
    bool at_driver; /* given back */
    uint32_t len;   /* that was */
} Out;

/* Device and driver in turns of random length. */
typedef struct Walk {
    Pair p;
    uint64_t features;
    GQueue free; /* tokens */
    Out out[64]; /* by token; at the device, or given back */
    uint8_t shape[64][2];
    GArray *order; /* tokens at the device, as they came */
    unsigned added, taken;
} Walk;

static void driver_adds(Walk *w)
{
    unsigned n = g_test_rand_int_range(0, 6);

    while (n-- && !g_queue_is_empty(&w->free)) {
        uint16_t token = GPOINTER_TO_UINT(g_queue_peek_head(&w->free));
        unsigned n_out = g_test_rand_int_range(0, 4);
        unsigned n_in = g_test_rand_int_range(n_out ? 0 : 1, 4);
        unsigned room = vring_driver_room(w->p.ring);
        int r = add(&w->p, token, n_out, n_in);

        g_assert_cmpint(r, ==, n_out + n_in <= room ? 0 : -ENOSPC);
        if (r == 0) {
            g_assert_cmpuint(vring_driver_room(w->p.ring), ==,
                             room - n_out - n_in);
            g_queue_pop_head(&w->free);
            w->shape[token][0] = n_out;
            w->shape[token][1] = n_in;
            w->added++;
        }
    }
    vring_driver_publish(w->p.ring);
}

static void device_pops(Walk *w)
{
    unsigned n = g_test_rand_int_range(0, 6);
    struct iovec iov[16];
    VirtQueueChain chain;

    while (n-- && virtqueue_pop(&w->p.vq, iov, 16, &chain) == 1) {
        size_t at =
            (const uint8_t *)iov[0].iov_base - (uint8_t *)guest(DATA_GPA);
        uint16_t token = at / SLOT;

        g_assert_cmpuint(at % SLOT, ==, 0);
        g_assert_cmpuint(chain.n_out, ==, w->shape[token][0]);
        g_assert_cmpuint(chain.n_in, ==, w->shape[token][1]);
        g_assert_cmpuint(chain.in_len, ==, 8u * w->shape[token][1]);
        w->out[token] = (Out){ .chain = chain, .token = token };
        g_array_append_val(w->order, token);
    }
    g_assert_null(w->p.vq.fault);
}

static void device_fills(Walk *w)
{
    unsigned n = g_test_rand_int_range(0, 6);

    while (n-- && w->order->len) {
        unsigned i = w->features & F_IN_ORDER
                         ? 0
                         : g_test_rand_int_range(0, w->order->len);
        Out *out = &w->out[g_array_index(w->order, uint16_t, i)];

        out->len = g_test_rand_int_range(0, 3) ? out->chain.in_len
                                               : out->chain.in_len / 2;
        out->at_driver = true;
        virtqueue_fill(&w->p.vq, &out->chain, out->len);
        g_array_remove_index(w->order, i);
    }
    virtqueue_publish(&w->p.vq);
}

static void driver_takes(Walk *w)
{
    VringDriverUsed used;
    int r;

    while ((r = vring_driver_take(w->p.ring, &used)) == 1) {
        Out *out = &w->out[used.token];

        g_assert_true(out->at_driver);
        g_assert_cmpuint(used.len, ==, out->len);
        out->at_driver = false;
        g_queue_push_tail(&w->free, GUINT_TO_POINTER(used.token));
        w->taken++;
    }
    g_assert_cmpint(r, ==, 0);
    g_assert_true(vring_driver_empty(w->p.ring));
    g_assert_cmpuint(vring_driver_outstanding(w->p.ring), ==,
                     w->added - w->taken);
}

static void walk(uint64_t features, uint16_t size)
{
    Walk w = { .features = features };

    pair_new(&w.p, features, size);
    g_queue_init(&w.free);
    w.order = g_array_new(FALSE, FALSE, sizeof(uint16_t));
    for (unsigned i = 0; i < 64; i++) {
        g_queue_push_tail(&w.free, GUINT_TO_POINTER(i));
    }
    while (w.taken < 5000) {
        driver_adds(&w);
        device_pops(&w);
        device_fills(&w);
        driver_takes(&w);
    }
    g_queue_clear(&w.free);
    g_array_free(w.order, TRUE);
    pair_free(&w.p);
}

static void test_there_and_back(gconstpointer data)
{
    uint64_t features = *(const uint64_t *)data;

    walk(features, 8);
    walk(features, 64);
    if (features & F_PACKED) {
        walk(features, 13);
    }
}

/* ---- room, reset ---- */

static void test_full(gconstpointer data)
{
    Pair p;

    pair_new(&p, *(const uint64_t *)data, 4);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_cmpint(add(&p, i, 1, 0), ==, 0);
    }
    g_assert_cmpint(add(&p, 9, 1, 0), ==, -ENOSPC);
    vring_driver_publish(p.ring);
    vring_driver_reset(p.ring);
    g_assert_cmpuint(vring_driver_room(p.ring), ==, 4);
    g_assert_cmpuint(vring_driver_outstanding(p.ring), ==, 0);
    g_assert_true(vring_driver_empty(p.ring));
    virtqueue_stop(&p.vq);
    virtqueue_set_base(&p.vq, vring_driver_first_base(p.ring));
    g_assert_cmpint(virtqueue_start(&p.vq, *(const uint64_t *)data), ==, 0);
    g_assert_true(virtqueue_empty(&p.vq));
    g_assert_cmpint(add(&p, 3, 2, 2), ==, 0);
    g_assert_true(virtqueue_empty(&p.vq)); /* not shown yet */
    vring_driver_publish(p.ring);
    g_assert_false(virtqueue_empty(&p.vq));
    pair_free(&p);
}

/* ---- notifications (2.7.7, 2.7.10, 2.8.10) ---- */

static bool kicked(Pair *p)
{
    return eventfd_clear(p->vq.kick_fd);
}

static void one_round(Pair *p)
{
    struct iovec iov[4];
    VirtQueueChain chain;
    VringDriverUsed used;

    g_assert_cmpint(virtqueue_pop(&p->vq, iov, 4, &chain), ==, 1);
    virtqueue_fill(&p->vq, &chain, 0);
    virtqueue_publish(&p->vq);
    virtqueue_signal(&p->vq);
    g_assert_false(vring_driver_empty(p->ring));
    g_assert_cmpint(vring_driver_take(p->ring, &used), ==, 1);
}

static void test_notifications(gconstpointer data)
{
    Pair p;

    pair_new(&p, *(const uint64_t *)data, 4);
    for (unsigned i = 0; i < 11; i++) { /* over the end of the ring */
        bool wanted = i % 3 != 1;

        virtqueue_want_kicks(&p.vq, wanted);
        add(&p, 0, 1, 0);
        g_assert_true(vring_driver_publish(p.ring) == wanted);
        g_assert_true(kicked(&p) == wanted);
        g_assert_false(vring_driver_publish(p.ring)); /* nothing new */
        vring_driver_want_calls(p.ring, i % 2);
        p.vq.signalled_valid = true;
        one_round(&p);
        g_assert_true(rig_signalled(&p.vq) == (i % 2 == 1));
    }
    vring_driver_kick(p.ring);
    g_assert_true(kicked(&p));
    pair_free(&p);
}

/* ---- at the same time ---- */

static void test_two_threads(gconstpointer data)
{
    uint32_t next = 0, expected = 1;
    pthread_t device;
    Pair p;

    pair_new(&p, *(const uint64_t *)data, 16);
    pthread_create(&device, NULL, rig_stress_device, &p.vq);
    while (expected <= STRESS_CHAINS) {
        VringDriverUsed used;
        int r;

        for (; next < STRESS_CHAINS && vring_driver_room(p.ring) >= 2; next++) {
            VringDriverPart part[2];
            uint64_t at = DATA_GPA + next % 32 * SLOT;

            part[0] = (VringDriverPart){ at, 4 };
            part[1] = (VringDriverPart){ at + 8, 4 };
            memcpy(guest(at), &next, 4);
            vring_driver_add(p.ring, part, 1, 1, next % 32);
        }
        vring_driver_publish(p.ring);
        r = vring_driver_take(p.ring, &used);
        if (r == 0) {
            vring_driver_want_calls(p.ring, true);
            if (vring_driver_empty(p.ring)) {
                rig_wait_readable(p.vq.call_fd);
            }
            continue;
        }
        g_assert_cmpint(r, ==, 1);
        g_assert_cmpuint(used.len, ==, 4);
        g_assert_cmpuint(*(uint32_t *)guest(DATA_GPA + used.token * SLOT + 8),
                         ==, expected);
        expected++;
    }
    pthread_join(device, NULL);
    pair_free(&p);
}

/* ---- lies ---- */

/* Chains 0 and 1 are out, of 8 bytes to write; chain 2 is for reading, of two
 * descriptors; chain 3 is added and not shown. */
typedef struct Lie {
    const char *name;
    uint64_t features;
    uint16_t n;       /* split: used index */
    uint32_t id, len; /* of the first element; of the others, the next ids */
    unsigned taken;   /* chains before it shows */
    bool fine;        /* it is none: no fault follows */
} Lie;

static const Lie lies[] = {
    { "split/index-far-ahead", 0, 40000, 0, 8, 0, false },
    { "split/index-one-ahead", 0, 4, 0, 8, 0, false },
    { "split/index-back", 0, 65535, 0, 8, 0, false },
    { "split/id-beyond", 0, 1, 8, 8, 0, false },
    { "split/id-huge", 0, 1, 0xffff0000, 8, 0, false },
    { "split/id-in-a-chain", 0, 1, 3, 8, 0, false },
    { "split/id-free", 0, 1, 6, 8, 0, false },
    { "split/id-not-shown", 0, 1, 4, 8, 0, false },
    { "split/too-long", 0, 1, 0, 9, 0, false },
    { "split/much-too-long", 0, 1, 0, 0xffffffff, 0, false },
    { "split/the-same-twice", 0, 2, 1, 8, 1, false },
    { "split/read-only-with-length", 0, 1, 2, 77, 1, true },
    { "split/in-order/run-beyond", F_IN_ORDER, 1, 1, 8, 0, false },
    { "split/in-order/id-not-shown", F_IN_ORDER, 1, 4, 8, 0, false },
    { "split/in-order/run", F_IN_ORDER, 2, 1, 8, 2, true },
    { "packed/id-beyond", F_PACKED, 0, 8, 8, 0, false },
    { "packed/id-free", F_PACKED, 0, 6, 8, 0, false },
    { "packed/id-not-shown", F_PACKED, 0, 3, 8, 0, false },
    { "packed/too-long", F_PACKED, 0, 0, 9, 0, false },
    { "packed/read-only-with-length", F_PACKED, 0, 2, 77, 1, true },
    { "packed/in-order/run", F_PACKED | F_IN_ORDER, 0, 1, 8, 2, true },
    { "packed/in-order/too-long", F_PACKED | F_IN_ORDER, 0, 1, 9, 1, false },
};

static void tell_lie(const Pair *p, const Lie *lie)
{
    if (lie->features & F_PACKED) {
        uint16_t used =
            1u << VRING_PACKED_DESC_F_AVAIL | 1u << VRING_PACKED_DESC_F_USED;

        rig_desc(p->area.desc_addr, 0, 0, lie->len, (uint16_t)lie->id, used);
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        uint8_t *element = (uint8_t *)p->area.device + 4 + 8 * i;

        store_le32(element, lie->id);
        store_le32(element + 4, lie->len);
    }
    store_le16((uint8_t *)p->area.device + 2, lie->n);
}

static void test_lie(gconstpointer data)
{
    const Lie *lie = data;
    VringDriverUsed used;
    unsigned taken = 0;
    Pair p;
    int r;

    pair_new(&p, lie->features, 8);
    add(&p, 0, 0, 1);
    add(&p, 1, 0, 1);
    add(&p, 2, 2, 0);
    vring_driver_publish(p.ring);
    add(&p, 3, 0, 1);
    tell_lie(&p, lie);
    while ((r = vring_driver_take(p.ring, &used)) == 1) {
        g_assert_cmpuint(used.len, ==, used.token == 2 ? 0 : 8);
        taken++;
    }
    g_assert_cmpuint(taken, ==, lie->taken);
    g_assert_cmpint(r, ==, lie->fine ? 0 : -EPROTO);
    if (!lie->fine) {
        g_assert_nonnull(vring_driver_fault(p.ring));
        g_assert_false(vring_driver_empty(p.ring));
        g_assert_cmpuint(vring_driver_room(p.ring), ==, 0);
        g_assert_cmpint(add(&p, 4, 1, 0), ==, -EPROTO);
        g_assert_false(vring_driver_publish(p.ring));
        g_assert_cmpint(vring_driver_take(p.ring, &used), ==, -EPROTO);
        vring_driver_reset(p.ring);
        g_assert_null(vring_driver_fault(p.ring));
        g_assert_cmpint(add(&p, 4, 1, 0), ==, 0);
    }
    pair_free(&p);
}

/* Rubbish everywhere, again and again: nothing but faults and frames. */
static void test_rubbish(gconstpointer data)
{
    uint64_t features = *(const uint64_t *)data;
    Pair p;

    pair_new(&p, features, 8);
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t *ring = guest(RAM_GPA);
        size_t bytes = vring_driver_bytes(8, features);
        VringDriverUsed used;

        if (add(&p, i % 8, i % 2, 1 + i % 3) == -EPROTO) {
            vring_driver_reset(p.ring);
        }
        vring_driver_publish(p.ring);
        for (unsigned k = g_test_rand_int_range(0, 4); k > 0; k--) {
            ring[g_test_rand_int_range(0, (int)bytes)] =
                (uint8_t)(g_test_rand_bit() ? g_test_rand_int_range(0, 4)
                                            : g_test_rand_int());
        }
        while (vring_driver_take(p.ring, &used) == 1) {
            g_assert_cmpuint(used.token, <, 8);
            g_assert_cmpuint(used.len, <=, 24);
        }
        vring_driver_want_calls(p.ring, i % 2);
    }
    pair_free(&p);
}

int main(int argc, char **argv)
{
    const struct {
        const char *name;
        GTestDataFunc func;
    } all[] = { { "there-and-back", test_there_and_back },
                { "full", test_full },
                { "2.7.10/notifications", test_notifications },
                { "two-threads", test_two_threads },
                { "rubbish", test_rubbish } };

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
        for (unsigned k = 0; k < ARRAY_SIZE(all); k++) {
            g_autofree char *path = g_strdup_printf(
                "/vring-driver/%s/%s", format_name(formats[i]), all[k].name);

            g_test_add_data_func(path, &formats[i], all[k].func);
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(lies); i++) {
        g_autofree char *path =
            g_strdup_printf("/vring-driver/lies/%s", lies[i].name);

        g_test_add_data_func(path, &lies[i], test_lie);
    }
    return g_test_run();
}
