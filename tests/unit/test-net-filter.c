/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters on a NIC whose pairs vhost-net has (played, see net-move-rig.h):
 * pairs move to iothreads for the time, and no frame is lost by it. And what
 * captures and streams of frames hold, read from bytes.
 *
 * Threads: the test's, which holds the machine lock; iothreads have pairs.
 */
#include "util/osdep.h"

#include <arpa/inet.h>

#include "net/filter-stream.h"
#include "net/filter.h"
#include "net/pcap.h"
#include "qapi/qapi-events.h"
#include "tests/unit/net-move-rig.h"

/* ---- a filter that counts, and that holds what goes to the guest ---- */

typedef struct TestFilter {
    NetFilter f;
    bool hold;
    unsigned seen[2]; /* to the guest, from it: atomic */
} TestFilter;

typedef struct TestQueue {
    NetFilterQueue q;
    NetFrameQueue *held;
} TestQueue;

static bool test_handle(NetFilterQueue *q, int direction,
                        const NetFilterFrame *frame)
{
    TestFilter *t = OBJECT_CAST(TestFilter, q->filter);
    TestQueue *tq = container_of(q, TestQueue, q);

    __atomic_fetch_add(&t->seen[direction == NET_FILTER_RX], 1,
                       __ATOMIC_RELAXED);
    if (!t->hold || direction == NET_FILTER_RX) {
        return false;
    }
    if (!tq->held) {
        tq->held = net_frame_queue_new(1000, 1 << 20, NULL, NULL);
    }
    g_assert_true(net_frame_queue_put(tq->held, frame->iov, frame->n, 0));
    return true;
}

static void test_release(NetFilterQueue *q)
{
    TestQueue *tq = container_of(q, TestQueue, q);
    uint8_t frame[2048];

    while (tq->held && net_frame_queue_length(tq->held)) {
        struct iovec iov = { frame, sizeof(frame) };

        iov.iov_len = (size_t)net_frame_queue_get(tq->held, &iov, 1, 0);
        net_filter_pass(q, NET_FILTER_TX, &iov, 1);
    }
}

static bool test_setup(NetFilter *f, Error **errp)
{
    return true;
}

static void test_cleanup(NetFilter *f)
{
    for (unsigned i = 0; i < f->n_queues; i++) {
        if (f->queues[i]) {
            net_frame_queue_free(
                container_of(f->queues[i], TestQueue, q)->held);
        }
    }
}

static const Property test_properties[] = {
    PROP_BOOL("hold", TestFilter, hold, false, "it holds frames"),
    PROP_END,
};

static void test_class_init(ObjectClass *klass)
{
    NetFilterClass *fc = OBJECT_CLASS_CAST(NetFilterClass, klass);

    fc->queue_size = sizeof(TestQueue);
    fc->setup = test_setup;
    fc->cleanup = test_cleanup;
    fc->handle = test_handle;
    fc->release = test_release;
}

static const TypeInfo test_types[] = {
    {
        .name = "filter-test",
        .parent = TYPE_NETFILTER,
        .instance_size = sizeof(TestFilter),
        .class_init = test_class_init,
        .properties = test_properties,
    },
};
DEFINE_TYPES(test_types)

/* ---- events ---- */

static unsigned events;
static char told[256]; /* of the last one */

void __wrap_qapi_event_send_net_queue_mapping_changed(
    const q_obj_NET_QUEUE_MAPPING_CHANGED_arg *arg);

void __wrap_qapi_event_send_net_queue_mapping_changed(
    const q_obj_NET_QUEUE_MAPPING_CHANGED_arg *arg)
{
    events++;
    snprintf(told, sizeof(told), "%" PRIu64 " %s %s", (uint64_t)arg->pair,
             NetQueueOwner_str(arg->owner), arg->reason ? arg->reason : "");
}

static void expect_event(const char *text)
{
    g_assert_cmpuint(events, ==, 1);
    g_assert_cmpstr(told, ==, text);
    events = 0;
}

/* ---- helpers ---- */

static TestFilter *add(const char *id, const char *more, Error **errp)
    MAIN_THREAD
{
    g_autofree char *text =
        g_strdup_printf("{'qom-type':'filter-test','id':'%s','netdev':'tap1'"
                        "%s}",
                        id, more);
    json_object *opts = json_tokener_parse(text);
    Object *obj = user_object_new(opts, errp);

    json_object_put(opts);
    return obj ? OBJECT_CAST(TestFilter, obj) : NULL;
}

static void del(const char *id) MAIN_THREAD
{
    g_assert_true(user_object_del(id, NULL));
}

static void set_status(TestFilter *t, const char *status) MAIN_THREAD
{
    g_assert_true(object_property_parse(OBJECT(t), "status", status, NULL));
}

static void begin(bool force) MAIN_THREAD
{
    rig_begin(NULL, 0, force);
    object_add_child(object_container("/machine"), "net1", OBJECT(rig.nic),
                     NULL);
    events = 0;
}

static void end(void) MAIN_THREAD
{
    object_unparent(OBJECT(rig.nic));
    rig_end();
}

static bool all_on_vhost(void)
{
    return rig.nic->pair[0].owner == PAIR_OWNER_VHOST &&
           rig.nic->pair[1].owner == PAIR_OWNER_VHOST;
}

/* ---- cases ---- */

static void test_one_pair(void) MAIN_THREAD
{
    TestFilter *t;

    begin(false);
    rig_check_where("vv");
    t = add("f0", ",'queue-index':1", NULL);
    rig_check_where("va");
    expect_event("1 iothread filter-test 'f0' is attached");
    rig_fill();
    rig_traffic(10);
    rig_settle();
    g_assert_cmpuint(__atomic_load_n(&t->seen[0], __ATOMIC_RELAXED), ==, 10);
    g_assert_cmpuint(__atomic_load_n(&t->seen[1], __ATOMIC_RELAXED), ==, 10);
    set_status(t, "off");
    rig_check_where("vv");
    expect_event("1 vhost filter-test 'f0' is off");
    set_status(t, "on");
    rig_check_where("va");
    expect_event("1 iothread filter-test 'f0' is on");
    del("f0");
    rig_check_where("vv");
    expect_event("1 vhost filter-test 'f0' has left");
    rig_fill();
    rig_traffic(10);
    rig_settle();
    end();
}

static void test_two_filters(void) MAIN_THREAD
{
    begin(false);
    add("f0", "", NULL);
    rig_check_where("aa");
    g_assert_cmpuint(events, ==, 2);
    add("f1", ",'queue':'rx'", NULL);
    rig_check_where("aa");
    del("f0");
    rig_check_where("aa");
    g_assert_cmpuint(events, ==, 2);
    rig_fill();
    rig_traffic(5);
    rig_settle();
    del("f1");
    rig_check_where("vv");
    g_assert_cmpuint(events, ==, 4);
    end();
}

/* Frames that a filter held when it left come first, and by user space. */
static void test_held(void) MAIN_THREAD
{
    TestFilter *t;

    begin(false);
    t = add("f0", ",'hold':true", NULL);
    rig_send_in(0, 20, 80);
    while (__atomic_load_n(&t->seen[0], __ATOMIC_RELAXED) < 20) {
        rig_post(0, 1, 2048);
        rig_pause();
    }
    rig_send_in(0, 5, 80);
    del("f0");
    rig_check_where("av");
    g_assert_true(net_subqueue_filtered(&rig.netdev.queue[0]));
    rig_post(0, 60, 2048);
    rig_wait_for(all_on_vhost);
    g_assert_false(net_subqueue_filtered(&rig.netdev.queue[0]));
    rig_fill();
    rig_settle();
    end();
}

static void test_under_load(void) MAIN_THREAD
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);

    begin(false);
    for (unsigned k = 0; k < 150; k++) {
        rig_fill();
        rig_traffic((unsigned)g_rand_int_range(rand, 1, 4));
        if (k % 2) {
            del("f0");
        } else {
            add("f0", g_rand_boolean(rand) ? ",'hold':true" : "", NULL);
        }
        rig_traffic((unsigned)g_rand_int_range(rand, 1, 4));
        if (g_rand_boolean(rand)) {
            rig_workers_work();
        }
        if (k % 10 == 9) {
            rig_settle();
        }
    }
    rig_settle();
    end();
}

static void test_forced(void) MAIN_THREAD
{
    Error *err = NULL;

    begin(true);
    g_assert_null(add("f0", "", &err));
    g_assert_nonnull(strstr(err->message, "vhostforce=on"));
    g_error_free(err);
    rig_check_where("vv");
    g_assert_cmpuint(events, ==, 0);
    end();
}

/* ---- streams ---- */

typedef struct Got {
    unsigned n;
    size_t hdr_len, len;
    uint8_t last[16];
} Got;

static void got_frame(void *opaque, const FilterInFrame *frame)
{
    Got *got = opaque;

    got->n++;
    got->hdr_len = frame->hdr_len;
    got->len = frame->len;
    memcpy(got->last, frame->data, MIN(frame->len, sizeof(got->last)));
}

static void test_stream(void)
{
    static const struct {
        bool vnet;
        uint32_t words[2]; /* what comes first */
        bool ok;
        size_t hdr_len, len;
    } rows[] = {
        { false, { 4 }, true, 0, 4 },
        { false, { 65536 + 64 }, true, 0, 65536 + 64 },
        { false, { 65536 + 65 }, false },
        { false, { 0 }, false },
        { false, { UINT32_MAX }, false },
        { true, { 16, 12 }, true, 12, 4 },
        { true, { 60, 0 }, true, 0, 60 },
        { true, { 65536 + 64 + 64, 64 }, true, 64, 65536 + 64 },
        { true, { 100, 65 }, false },
        { true, { 12, 12 }, false },
        { true, { 5, 12 }, false },
        { true, { 100, UINT32_MAX }, false },
        { true, { UINT32_MAX, UINT32_MAX }, false },
    };
    g_autofree uint8_t *bytes = g_malloc(70000);

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        Got got = { 0 };
        FilterIn in = { .vnet_hdr = rows[i].vnet,
                        .frame = got_frame,
                        .opaque = &got };
        size_t prefix = rows[i].vnet ? 8 : 4;
        uint32_t words[] = { htonl(rows[i].words[0]), htonl(rows[i].words[1]) };
        size_t len = prefix + rows[i].hdr_len + rows[i].len;

        memset(bytes, 0x55, 70000);
        memcpy(bytes, words, prefix);
        if (!rows[i].ok) {
            g_assert_false(filter_in_feed(&in, bytes, 200));
            g_assert_false(filter_in_feed(&in, bytes, 200));
            g_assert_cmpuint(got.n, ==, 0);
        } else {
            for (size_t at = 0; at < len; at += 1009) {
                g_assert_true(
                    filter_in_feed(&in, bytes + at, MIN(len - at, 1009)));
            }
            g_assert_true(filter_in_feed(&in, bytes, len));
            g_assert_cmpuint(got.n, ==, 2);
            g_assert_cmpuint(got.hdr_len, ==, rows[i].hdr_len);
            g_assert_cmpuint(got.len, ==, rows[i].len);
            g_assert_cmpuint(got.last[3], ==, 0x55);
        }
        g_free(in.message);
    }
}

/* ---- captures ---- */

static void put(GByteArray *a, uint32_t value, bool swap)
{
    value = swap ? GUINT32_SWAP_LE_BE(value) : value;
    g_byte_array_append(a, (uint8_t *)&value, 4);
}

static void put_record(GByteArray *a, bool swap, uint32_t sec, uint32_t frac,
                       uint32_t kept, uint32_t len)
{
    uint8_t byte = 0x77;

    put(a, sec, swap);
    put(a, frac, swap);
    put(a, kept, swap);
    put(a, len, swap);
    for (uint32_t i = 0; i < kept; i++) {
        g_byte_array_append(a, &byte, 1);
    }
}

static GByteArray *capture(uint32_t magic, uint32_t link, bool swap)
{
    GByteArray *a = g_byte_array_new();

    put(a, magic, swap);
    put(a, 0x00040002, swap);
    put(a, 0, swap);
    put(a, 0, swap);
    put(a, 65536, swap);
    put(a, link, swap);
    return a;
}

static void test_pcap_read(void)
{
    for (unsigned k = 0; k < 4; k++) {
        bool ns = k & 1, swap = k & 2;
        g_autoptr(GByteArray) a =
            capture(ns ? 0xa1b23c4d : 0xa1b2c3d4, 1, swap);
        g_autoptr(GArray) records =
            g_array_new(FALSE, FALSE, sizeof(PcapRecord));
        const PcapRecord *r;
        unsigned skipped;

        put_record(a, swap, 100, 5, 60, 60);
        put_record(a, swap, 100, 9, 60, 90); /* cut */
        put_record(a, swap, 100, 7, 0, 0);   /* empty */
        put_record(a, swap, 101, 7, 1000, 1000);
        put_record(a, swap, 100, 6, 2000, 2000); /* too long */
        put_record(a, swap, 99, 0, 70, 70);      /* back in time */
        g_assert_true(
            pcap_parse(a->data, a->len, 1500, records, &skipped, NULL));
        g_assert_cmpuint(records->len, ==, 3);
        g_assert_cmpuint(skipped, ==, 3);
        r = &g_array_index(records, PcapRecord, 0);
        g_assert_cmpuint(r[0].offset, ==, 40);
        g_assert_cmpint(r[0].ns, ==, 0);
        g_assert_cmpint(r[1].ns, ==, 1000000000 + (ns ? 2 : 2000));
        g_assert_cmpint(r[2].ns, ==, r[1].ns);
        /* Cut anywhere, it is refused or shorter, and never read beyond. */
        for (size_t len = 0; len < 140; len++) {
            g_autofree uint8_t *part = g_memdup2(a->data, len);

            pcap_parse(part, len, 1500, records, &skipped, NULL);
        }
    }
}

static void expect_bad(GByteArray *a, const char *text)
{
    g_autoptr(GArray) records = g_array_new(FALSE, FALSE, sizeof(PcapRecord));
    unsigned skipped;
    Error *err = NULL;

    g_assert_false(pcap_parse(a->data, a->len, 1500, records, &skipped, &err));
    g_assert_nonnull(strstr(err->message, text));
    g_error_free(err);
    g_byte_array_unref(a);
}

static void test_pcap_bad(void)
{
    GByteArray *a = capture(0xa1b2c3d4, 1, false);

    put_record(a, false, 0, 0, 60, 60);
    g_byte_array_set_size(a, a->len - 1);
    expect_bad(a, "ends within the frame at byte 24");
    a = capture(0xa1b2c3d4, 1, false);
    put_record(a, false, 0, 0, 0, 60);
    memset(a->data + a->len - 8, 0xff, 4);
    expect_bad(a, "ends within the frame");
    expect_bad(capture(0xa1b2c3d4, 113, false), "link type 113");
    expect_bad(capture(0x0a0d0d0a, 1, false), "is no pcap file");
    expect_bad(g_byte_array_new(), "is no pcap file");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    rig_init();
    g_test_add_func("/net-filter/vhost/one-pair", test_one_pair);
    g_test_add_func("/net-filter/vhost/two-filters", test_two_filters);
    g_test_add_func("/net-filter/vhost/held-frames-first", test_held);
    g_test_add_func("/net-filter/vhost/under-load", test_under_load);
    g_test_add_func("/net-filter/vhost/forced", test_forced);
    g_test_add_func("/net-filter/stream", test_stream);
    g_test_add_func("/net-filter/pcap/read", test_pcap_read);
    g_test_add_func("/net-filter/pcap/bad", test_pcap_bad);
    return g_test_run();
}
