/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packed virtqueues that go on (virtqueue-packed-rig.h): positions that outlive
 * a stop, who is notified when, runs in order, many laps, and driver and device
 * in two threads.
 */
#include "util/osdep.h"

#include <pthread.h>

#include "virtqueue-packed-rig.h"

/* ---- stop, start, positions ---- */

/* A stop in the middle of a burst loses neither a used nor a taken chain, at
 * whatever slot of the ring. */
static void test_stop_start(const void *data)
{
    uint64_t features = *(const uint64_t *)data;
    Driver d;
    VirtQueueChain chain;

    driver_start(&d, 5, features);
    for (unsigned lap = 0; lap < 40; lap++) {
        driver_offer(&d, driver_three, 2, 1);
        driver_offer_one(&d, WRITE, 2);
        driver_offer(&d, driver_three, 2, 3);
        chain = driver_pop(&d);
        virtqueue_fill(&d.vq, &chain, 7);
        driver_pop(&d);
        driver_pop(&d);
        virtqueue_stop(&d.vq);
        g_assert_cmpint(virtqueue_pop(&d.vq, NULL, 0, &chain), ==, 0);
        driver_take(&d, 1, 7);
        g_assert_true(rig_signalled(&d.vq));
        g_assert_false(is_used(d.used));

        g_assert_cmpint(virtqueue_start(&d.vq, d.features), ==, 0);
        for (unsigned i = 2; i <= 3; i++) {
            chain = driver_pop(&d);
            g_assert_cmpuint(chain.id, ==, i);
            virtqueue_fill(&d.vq, &chain, i);
        }
        virtqueue_stop(&d.vq);
        driver_take(&d, 2, 2);
        driver_take(&d, 3, 3);
        rig_signalled(&d.vq);
        g_assert_cmpint(virtqueue_start(&d.vq, d.features), ==, 0);
    }
    driver_end(&d);
}

/* Another queue goes on from the position, wrap counter included. */
static void test_base(void)
{
    Driver d;
    VirtQueue old;
    unsigned done;

    driver_start(&d, 5, 0);
    g_assert_cmphex(virtqueue_get_base(&d.vq), ==, 0x8000);
    for (done = 0; done < 33; done++) {
        uint16_t base;
        bool wrap = done / 5 % 2 == 0;

        g_assert_cmphex(virtqueue_get_base(&d.vq), ==,
                        done % 5 | (wrap ? 0x8000u : 0));
        g_assert_cmphex(virtqueue_get_used(&d.vq), ==,
                        virtqueue_get_base(&d.vq));
        virtqueue_stop(&d.vq);
        base = virtqueue_get_base(&d.vq);
        old = d.vq;
        g_assert_true(virtqueue_init(&d.vq, 0, VIRTQUEUE_MAX_SIZE, NULL));
        d.vq.size = old.size;
        d.vq.desc_gpa = old.desc_gpa;
        d.vq.avail_gpa = old.avail_gpa;
        d.vq.used_gpa = old.used_gpa;
        d.vq.enabled = true;
        virtqueue_cleanup(&old);
        virtqueue_set_features(&d.vq, d.features);
        virtqueue_set_base(&d.vq, base);
        g_assert_cmpint(virtqueue_start(&d.vq, d.features), ==, 0);
        driver_roundtrip(&d, 1);
    }
    driver_end(&d);
}

static void test_reset(void)
{
    Driver d;

    driver_start(&d, 5, 0);
    driver_roundtrip(&d, 4);
    driver_offer_one(&d, 0, 0);
    driver_offer_one(&d, 0, 1);
    driver_pop(&d);
    virtqueue_stop(&d.vq);
    virtqueue_reset(&d.vq);
    g_assert_false(d.vq.enabled);
    g_assert_false(d.vq.packed);
    g_assert_cmpuint(d.vq.size, ==, VIRTQUEUE_MAX_SIZE);

    /* From the first slot and with wrap counters of 1 again. */
    memset(guest(DESC_GPA), 0, 16 * 5);
    d.next = d.used = (Pos){ 0, true };
    d.vq.size = 5;
    d.vq.desc_gpa = DESC_GPA;
    d.vq.avail_gpa = DRIVER_GPA;
    d.vq.used_gpa = DEVICE_GPA;
    d.vq.enabled = true;
    g_assert_cmpint(virtqueue_start(&d.vq, d.features), ==, 0);
    driver_roundtrip(&d, 3);
    driver_end(&d);
}

/* ---- notifications ---- */

static void set_driver_event(uint16_t position, uint16_t flags)
{
    *word(DRIVER_GPA) = htole16(position);
    *word(DRIVER_GPA + 2) = htole16(flags);
}

/* One burst of @n buffers: is it signalled? */
static bool tells(Driver *d, unsigned n)
{
    bool told;

    driver_roundtrip(d, n);
    told = virtqueue_signal(&d->vq);
    g_assert_cmpint(rig_signalled(&d->vq), ==, told);
    return told;
}

static void test_driver_flags(void)
{
    Driver d;

    driver_start(&d, 8, 0);
    set_driver_event(0, DISABLE);
    g_assert_true(tells(&d, 1)); /* the first always */
    g_assert_false(tells(&d, 2));
    g_assert_false(virtqueue_signal(&d.vq)); /* nothing new */
    g_assert_cmpuint(d.vq.signals_suppressed, ==, 1);
    g_assert_false(tells(&d, 8)); /* a whole lap */
    set_driver_event(0, ENABLE);
    g_assert_true(tells(&d, 8));
    g_assert_cmpuint(d.vq.signals, ==, 2);
    /* Without VIRTIO_F_EVENT_IDX the third mode does not exist, nor does a
     * fourth: rather once too often. */
    set_driver_event(7, DESC);
    g_assert_true(tells(&d, 1));
    set_driver_event(7, 3);
    g_assert_true(tells(&d, 1));
    driver_end(&d);
}

static void test_driver_event(void)
{
    Driver d;

    driver_start(&d, 8, F_EVENT);
    g_assert_true(tells(&d, 1));
    set_driver_event(3 | 0x8000, DESC); /* when slot 3 is used */
    g_assert_false(tells(&d, 2));
    g_assert_true(tells(&d, 1));
    g_assert_false(tells(&d, 2)); /* passed */
    set_driver_event(1, DESC);    /* in the next lap */
    g_assert_false(tells(&d, 3)); /* slots 6, 7, 0 */
    g_assert_true(tells(&d, 1));
    set_driver_event(0x8000, DESC);
    g_assert_false(tells(&d, 6)); /* up to the end */
    g_assert_true(tells(&d, 8));  /* over it in one burst */
    set_driver_event(5 | 0x8000, DESC);
    g_assert_false(tells(&d, 8)); /* counter 0 now: long ago */
    set_driver_event(500 | 0x8000, DESC);
    g_assert_false(tells(&d, 8)); /* a slot that does not exist */
    set_driver_event(0, DISABLE);
    g_assert_false(tells(&d, 8));
    set_driver_event(0, ENABLE);
    g_assert_true(tells(&d, 1));
    driver_end(&d);
}

static void test_caught_up(void)
{
    Driver d;

    driver_start(&d, 8, F_EVENT);
    set_driver_event(0x8000, DESC);
    g_assert_true(virtqueue_caught_up(&d.vq));
    driver_roundtrip(&d, 3);
    g_assert_false(virtqueue_caught_up(&d.vq));
    set_driver_event(0, DISABLE); /* it is at work */
    g_assert_false(virtqueue_caught_up(&d.vq));
    set_driver_event(3 | 0x8000, DESC);
    g_assert_true(virtqueue_caught_up(&d.vq));
    driver_roundtrip(&d, 8);
    g_assert_false(virtqueue_caught_up(&d.vq)); /* the lap before */
    set_driver_event(3, DESC);
    g_assert_true(virtqueue_caught_up(&d.vq));
    driver_roundtrip(&d, 1);
    set_driver_event(0, ENABLE); /* where it is it does not say */
    g_assert_true(virtqueue_caught_up(&d.vq));
    driver_end(&d);
    driver_start(&d, 8, 0);
    set_driver_event(0, DISABLE);
    driver_roundtrip(&d, 1);
    g_assert_true(virtqueue_caught_up(&d.vq));
    driver_end(&d);
}

static void test_device_event(void)
{
    Driver d;

    driver_start(&d, 8, 0);
    g_assert_cmphex(*word(DEVICE_GPA + 2), ==, ENABLE);
    virtqueue_want_kicks(&d.vq, false);
    g_assert_cmphex(le16toh(*word(DEVICE_GPA + 2)), ==, DISABLE);
    virtqueue_want_kicks(&d.vq, true);
    g_assert_cmphex(le16toh(*word(DEVICE_GPA + 2)), ==, ENABLE);
    driver_end(&d);

    driver_start(&d, 8, F_EVENT);
    g_assert_cmphex(le16toh(*word(DEVICE_GPA)), ==, 0x8000);
    g_assert_cmphex(le16toh(*word(DEVICE_GPA + 2)), ==, DESC);
    driver_roundtrip(&d, 5);
    virtqueue_want_kicks(&d.vq, false);
    g_assert_cmphex(le16toh(*word(DEVICE_GPA + 2)), ==, DISABLE);
    virtqueue_want_kicks(&d.vq, true);
    g_assert_cmphex(le16toh(*word(DEVICE_GPA)), ==, 0x8005);
    g_assert_cmphex(le16toh(*word(DEVICE_GPA + 2)), ==, DESC);
    driver_roundtrip(&d, 4);
    virtqueue_want_kicks(&d.vq, true);
    g_assert_cmphex(le16toh(*word(DEVICE_GPA)), ==, 1);
    g_assert_cmphex(le16toh(*word(DEVICE_GPA + 2)), ==, DESC);
    driver_end(&d);
}

/* ---- VIRTIO_F_IN_ORDER ---- */

/* Chains used to the end need no element of their own when another follows. */
static void test_in_order(void)
{
    static const uint32_t lens[] = { 50, 50, 50, 20, 50, 50 };
    VirtQueueChain chain[6];
    Driver d;

    driver_start(&d, 19, F_IN_ORDER);
    for (unsigned lap = 0; lap < 30; lap++) {
        for (unsigned i = 0; i < 6; i++) {
            driver_offer(&d, driver_three, 3, i);
            chain[i] = driver_pop(&d);
        }
        for (unsigned i = 0; i < 6; i++) {
            virtqueue_fill(&d.vq, &chain[i], lens[i]);
            g_assert_false(is_used(d.used));
        }
        virtqueue_publish(&d.vq);
        /* The run ends with the one of 20 bytes, and stands where it began. */
        g_assert_true(is_used(d.used));
        g_assert_cmpuint(used_id(d.used), ==, 3);
        g_assert_cmpuint(used_len(d.used), ==, 20);
        g_assert_false(is_used(pos_after(&d, d.used, 3)));
        d.used = pos_after(&d, d.used, 12);
        g_assert_true(is_used(d.used));
        g_assert_cmpuint(used_id(d.used), ==, 5);
        g_assert_cmpuint(used_len(d.used), ==, 50);
        d.used = pos_after(&d, d.used, 6);
        g_assert_false(is_used(d.used));
    }
    driver_end(&d);
}

/* ---- many laps ---- */

typedef struct Lap {
    const char *name;
    unsigned size;
    uint64_t features;
} Lap;

static const Lap laps[] = {
    { "1", 1, 0 },
    { "2", 2, F_EVENT },
    { "3", 3, 0 },
    { "7", 7, F_EVENT },
    { "256", 256, F_EVENT },
    { "300", 300, 0 },
    { "777", 777, F_EVENT },
    { "1000", 1000, 0 },
    { "1023", 1023, F_EVENT },
    { "1024", 1024, 0 },
    { "in-order-5", 5, F_IN_ORDER },
    { "in-order-300", 300, F_IN_ORDER | F_EVENT },
};

typedef struct Out {
    VirtQueueChain chain;
    uint32_t len;
} Out;

static unsigned free_id(const bool *busy, GRand *rand, unsigned size)
{
    unsigned id = g_rand_int_range(rand, 0, size);

    while (busy[id]) {
        id = (id + 1) % size;
    }
    return id;
}

/* Offers chains of random lengths until @free slots are gone or luck ends;
 * pushes their ids. */
static unsigned laps_offer(Driver *d, GRand *rand, bool *busy, GQueue *offered,
                           unsigned room)
{
    while (room > 0 && g_rand_int_range(rand, 0, 8)) {
        unsigned n = g_rand_int_range(rand, 1, MIN(room, 9) + 1);
        unsigned id = free_id(busy, rand, d->size);
        Part part[9];

        for (unsigned i = 0; i < n; i++) {
            part[i] = (Part){ DATA_GPA + id, 1 + i, i >= n / 2 ? WRITE : 0 };
        }
        driver_offer(d, part, n, id);
        busy[id] = true;
        g_queue_push_tail(offered, GUINT_TO_POINTER(id));
        room -= n;
    }
    return room;
}

static void laps_pop(Driver *d, GRand *rand, GQueue *offered, GArray *out)
{
    while (!g_queue_is_empty(offered) && g_rand_int_range(rand, 0, 8)) {
        unsigned id = GPOINTER_TO_UINT(g_queue_pop_head(offered));
        VirtQueueChain chain = driver_pop(d);
        Out o = { chain, 0 };

        g_assert_cmpuint(chain.id, ==, id);
        g_assert_cmpuint(chain.slots, ==, d->slots[id]);
        g_assert_cmpuint(chain.n_out, ==, d->slots[id] / 2);
        g_assert_cmpuint(chain.n_in, ==, d->slots[id] - d->slots[id] / 2);
        o.len = g_rand_int_range(rand, 0, 3) ? chain.in_len : chain.in_len / 2;
        g_array_append_val(out, o);
    }
}

/* A driver that knows the order takes a run at once; @used: as filled. */
static unsigned laps_take_run(Driver *d, GArray *used, unsigned at)
{
    uint16_t last = used_id(d->used);
    unsigned slots = 0;

    for (;; at++) {
        const Out *o = &g_array_index(used, Out, at);

        g_assert_cmpuint(at, <, used->len);
        slots += o->chain.slots;
        if (o->chain.id == last) {
            g_assert_cmpuint(used_len(d->used), ==, o->len);
            d->used = pos_after(d, d->used, slots);
            return at + 1;
        }
        g_assert_cmpuint(o->len, ==, o->chain.in_len);
    }
}

/* Uses some of @out, in order if need be; the driver then takes them. */
static unsigned laps_use(Driver *d, GRand *rand, bool *busy, GArray *out)
{
    g_autoptr(GArray) used = g_array_new(FALSE, FALSE, sizeof(Out));
    unsigned n = g_rand_int_range(rand, 0, out->len + 1), slots = 0, i;

    for (i = 0; i < n; i++) {
        unsigned k =
            d->vq.in_order ? 0 : (unsigned)g_rand_int_range(rand, 0, out->len);
        Out o = g_array_index(out, Out, k);

        g_array_remove_index(out, k);
        virtqueue_fill(&d->vq, &o.chain, o.len);
        g_array_append_val(used, o);
        slots += o.chain.slots;
        busy[o.chain.id] = false;
    }
    virtqueue_publish(&d->vq);
    virtqueue_signal(&d->vq);
    for (i = 0; i < n && d->vq.in_order;) {
        g_assert_true(is_used(d->used));
        i = laps_take_run(d, used, i);
    }
    for (; i < n; i++) {
        const Out *o = &g_array_index(used, Out, i);

        driver_take(d, o->chain.id, o->len);
    }
    g_assert_false(is_used(d->used));
    return slots;
}

static void test_laps(const void *data)
{
    const Lap *lap = data;
    g_autoptr(GRand) rand = g_rand_new_with_seed(lap->size);
    g_autoptr(GArray) out = g_array_new(FALSE, FALSE, sizeof(Out));
    g_autofree bool *busy = g_new0(bool, VIRTQUEUE_MAX_SIZE);
    GQueue offered = G_QUEUE_INIT;
    unsigned room = lap->size, total = 0;
    Driver d;

    driver_start(&d, lap->size, lap->features);
    while (total < 60 * lap->size + 20000) {
        unsigned back;

        room = laps_offer(&d, rand, busy, &offered, room);
        laps_pop(&d, rand, &offered, out);
        /* Those not popped are counted, those popped are not. */
        g_assert_cmpuint(virtqueue_available(&d.vq), ==,
                         g_queue_get_length(&offered));
        back = laps_use(&d, rand, busy, out);
        room += back;
        total += back;
    }
    g_queue_clear(&offered);
    driver_end(&d);
}

/* ---- driver and device at the same time ---- */

#define STRESS_RING  15u /* two slots to a chain: they go over the end */
#define STRESS_SLOTS 7u

static uint32_t event_load(uint64_t gpa)
{
    return le32toh(
        __atomic_load_n((const uint32_t *)guest(gpa), __ATOMIC_RELAXED));
}

static void event_store(uint64_t gpa, uint32_t event)
{
    __atomic_store_n((uint32_t *)guest(gpa), htole32(event), __ATOMIC_RELAXED);
}

/* Did the driver's position go over the device's on the way from @old? */
static bool stress_wants_kick(const Driver *d, Pos old, unsigned slots)
{
    uint32_t event = event_load(DEVICE_GPA);

    if (event >> 16 != DESC) {
        return event >> 16 == ENABLE;
    }
    for (unsigned i = 0; i < slots; i++) {
        Pos pos = pos_after(d, old, i);

        if ((event & 0xffff) == (pos.slot | (pos.wrap ? 0x8000u : 0))) {
            return true;
        }
    }
    return false;
}

static unsigned stress_offer(Driver *d, unsigned sent, unsigned used)
{
    Pos old = d->next;
    unsigned before = sent;

    while (sent < STRESS_CHAINS && sent - used < STRESS_SLOTS) {
        unsigned id = sent % STRESS_SLOTS;
        uint64_t data = DATA_GPA + 64 * id;
        const Part parts[] = { { data, 4, 0 }, { data + 32, 4, WRITE } };

        memcpy(guest(data), &sent, 4);
        driver_offer(d, parts, 2, id);
        sent++;
    }
    __sync_synchronize(); /* our flags before their request, 2.8.21.3 */
    if (sent != before && stress_wants_kick(d, old, 2 * (sent - before))) {
        eventfd_signal(d->vq.kick_fd);
    }
    return sent;
}

static void stress_wait(Driver *d)
{
    uint32_t position = d->used.slot | (d->used.wrap ? 0x8000u : 0);

    event_store(DRIVER_GPA, d->features & F_EVENT
                                ? position | (uint32_t)DESC << 16
                                : (uint32_t)ENABLE << 16);
    __sync_synchronize(); /* our request before their flags */
    if (!is_used(d->used)) {
        rig_wait_readable(d->vq.call_fd);
    }
    event_store(DRIVER_GPA, (uint32_t)DISABLE << 16);
}

static void stress_check(unsigned number)
{
    uint32_t answer;

    memcpy(&answer, guest(DATA_GPA + 64 * (number % STRESS_SLOTS) + 32), 4);
    g_assert_cmpuint(answer, ==, number + 1);
}

/* Takes what is used; in order, a used descriptor names the last of a run. */
static unsigned stress_take(Driver *d, unsigned used)
{
    while (is_used(d->used)) {
        uint16_t last = used_id(d->used);
        unsigned slots = 0;

        g_assert_cmpuint(used_len(d->used), ==, 4);
        do {
            stress_check(used);
            slots += 2;
        } while (used++ % STRESS_SLOTS != last);
        g_assert_true(slots == 2 || (d->features & F_IN_ORDER));
        d->used = pos_after(d, d->used, slots);
    }
    return used;
}

static void test_stress(const void *data)
{
    Driver d;
    pthread_t thread;
    unsigned sent = 0, used = 0;

    driver_start(&d, STRESS_RING, *(const uint64_t *)data);
    g_assert_cmpint(pthread_create(&thread, NULL, rig_stress_device, &d.vq), ==,
                    0);
    while (used < STRESS_CHAINS) {
        sent = stress_offer(&d, sent, used);
        if (!is_used(d.used)) {
            stress_wait(&d);
        }
        used = stress_take(&d, used);
    }
    pthread_join(thread, NULL);
    g_assert_null(d.vq.fault);
    driver_end(&d);
}

/* ---- all ---- */

static const uint64_t feature_sets[] = {
    0,
    F_EVENT,
    F_IN_ORDER,
    F_IN_ORDER | F_EVENT,
};
static const char *const feature_names[] = {
    "flags",
    "event-idx",
    "in-order",
    "in-order-event-idx",
};

static void add_tables(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(laps); i++) {
        g_autofree char *name =
            g_strdup_printf("/virtqueue/packed/2.8.1/laps/%s", laps[i].name);

        g_test_add_data_func(name, &laps[i], test_laps);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(feature_sets); i++) {
        g_autofree char *stop = g_strdup_printf(
            "/virtqueue/packed/stop-start/%s", feature_names[i]);
        g_autofree char *stress = g_strdup_printf(
            "/virtqueue/packed/two-threads/%s", feature_names[i]);

        g_test_add_data_func(stop, &feature_sets[i], test_stop_start);
        g_test_add_data_func(stress, &feature_sets[i], test_stress);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/virtqueue/packed/base", test_base);
    g_test_add_func("/virtqueue/packed/reset", test_reset);
    g_test_add_func("/virtqueue/packed/2.8.10/driver-flags", test_driver_flags);
    g_test_add_func("/virtqueue/packed/2.8.10/driver-event", test_driver_event);
    g_test_add_func("/virtqueue/packed/2.8.10/caught-up", test_caught_up);
    g_test_add_func("/virtqueue/packed/2.8.10/device-event", test_device_event);
    g_test_add_func("/virtqueue/packed/2.8.8/in-order", test_in_order);
    add_tables();
    return g_test_run();
}
