/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * queue-mapping and iothread-vq-mapping: what each form means, and what is
 * refused with which words.
 *
 * Threads: the main one holds the machine lock; iothreads idle.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "qapi/keyval.h"
#include "qapi/qapi-visit.h"
#include "system/main-loop.h"

#define PAIRS 4u

static const NetClientInfo info_no_ops;
static NetClientState netdev = { .info = &info_no_ops };
static NetSubqueue subqueue[PAIRS];
static VirtIONet *net;

static void start(bool vhost) MAIN_THREAD
{
    net = VIRTIO_NET(object_new(TYPE_VIRTIO_NET));
    net->vdev.dev.id = g_strdup("net0");
    net->max_pairs = PAIRS;
    net->pair = g_new0(VirtIONetPair, PAIRS);
    for (unsigned i = 0; i < PAIRS; i++) {
        subqueue[i] = (NetSubqueue){ .nc = &netdev,
                                     .index = i,
                                     .vhost_fd = vhost ? 0 : -1 };
        net->pair[i].net = net;
        net->pair[i].index = i;
        net->pair[i].backend = &subqueue[i];
    }
}

static void end(void) MAIN_THREAD
{
    virtio_net_mapping_release(net);
    g_clear_pointer(&net->pair, g_free);
    object_unref(OBJECT(net));
}

static void set(const char *property, const char *json) MAIN_THREAD
{
    json_object *value = NULL;
    Error *err = NULL;

    g_assert_true(qapi_json_parse(json, strlen(json), &value, &err));
    g_assert_true(object_property_set(OBJECT(net), property, value, &err));
    g_assert_no_error(err);
    json_object_put(value);
}

static void iothread_make(const char *id) MAIN_THREAD
{
    json_object *opts = json_object_new_object();
    Error *err = NULL;

    json_object_object_add(opts, "qom-type",
                           json_object_new_string("iothread"));
    json_object_object_add(opts, "id", json_object_new_string(id));
    g_assert_nonnull(user_object_new(opts, &err));
    g_assert_no_error(err);
    json_object_put(opts);
}

/* @want: a letter a pair: v vhost, 0 or 1 that iothread, - its own */
static void check_mapping(bool vhost, const char *property, const char *json,
                          const char *want) MAIN_THREAD
{
    Error *err = NULL;

    start(vhost);
    if (property) {
        set(property, json);
    }
    g_assert_true(virtio_net_mapping_apply(net, &err));
    g_assert_no_error(err);
    for (unsigned i = 0; i < PAIRS; i++) {
        const VirtIONetPair *p = &net->pair[i];
        char got = p->want_vhost ? 'v'
                   : p->iothread ? iothread_id(p->iothread)[2]
                                 : '-';

        g_assert_cmpint(got, ==, want[i]);
    }
    end();
}

static void test_defaults(void) MAIN_THREAD
{
    check_mapping(true, NULL, NULL, "vvvv");
    check_mapping(false, NULL, NULL, "----");
}

static void test_by_pair(void) MAIN_THREAD
{
    check_mapping(true, "queue-mapping", "[]", "vvvv");
    check_mapping(true, "queue-mapping",
                  "[{\"pair\":0,\"backend\":\"vhost\"},"
                  "{\"pair\":1,\"backend\":\"iothread\",\"iothread\":\"io0\"},"
                  "{\"pair\":3,\"backend\":\"iothread\"}]",
                  "v0v-");
    /* as option text gives it */
    check_mapping(true, "queue-mapping",
                  "[{\"pair\":\"2\",\"backend\":\"iothread\","
                  "\"iothread\":\"io1\"}]",
                  "vv1v");
}

static void test_by_vq(void) MAIN_THREAD
{
    check_mapping(true, "iothread-vq-mapping",
                  "[{\"iothread\":\"io0\"},{\"iothread\":\"io1\"}]", "0101");
    check_mapping(true, "iothread-vq-mapping",
                  "[{\"iothread\":\"io1\",\"vqs\":[0,1,2,3]},"
                  "{\"iothread\":\"io0\",\"vqs\":[7,6]}]",
                  "11v0");
    check_mapping(false, "iothread-vq-mapping",
                  "[{\"iothread\":\"io0\",\"vqs\":[\"4\",\"5\"]}]", "--0-");
    /* the entry without queues gets the pairs that no entry names */
    check_mapping(true, "iothread-vq-mapping",
                  "[{\"iothread\":\"io0\",\"vqs\":[0,1]},"
                  "{\"iothread\":\"io1\"}]",
                  "0111");
}

static void test_refused(void) MAIN_THREAD
{
    static const struct {
        bool vhost;
        const char *by_pair, *by_vq, *message;
    } bad[] = {
        { true, "[]", "[]", "exclude each other" },
        { true, "[{\"pair\":4,\"backend\":\"vhost\"}]", NULL,
          "pair 4 is not in 0..3" },
        { true,
          "[{\"pair\":1,\"backend\":\"vhost\"},"
          "{\"pair\":1,\"backend\":\"vhost\"}]",
          NULL, "pair 1 is named twice" },
        { false, "[{\"pair\":0,\"backend\":\"vhost\"}]", NULL,
          "needs a netdev with vhost=on" },
        { true, "[{\"pair\":0,\"backend\":\"vhost\",\"iothread\":\"io0\"}]",
          NULL, "goes with backend 'iothread'" },
        { true, "[{\"pair\":0,\"backend\":\"iothread\",\"iothread\":\"x\"}]",
          NULL, "x" },
        { true, "[{\"pair\":0}]", NULL, "backend" },
        { true, "[{\"pair\":0,\"backend\":\"gpu\"}]", NULL, "backend" },
        { true, "[{\"pair\":-1,\"backend\":\"vhost\"}]", NULL, "pair" },
        { true, "[7]", NULL, "queue-mapping" },
        { true, NULL, "[]", "at least one iothread" },
        { true, NULL, "[{\"iothread\":\"io0\",\"vqs\":[0]}]", "one pair" },
        { true, NULL, "[{\"iothread\":\"io0\",\"vqs\":[8]}]",
          "virtqueue 8 is not in 0..7" },
        { true, NULL, "[{\"iothread\":\"io0\",\"vqs\":[0,1,0]}]",
          "named twice" },
        { true, NULL,
          "[{\"iothread\":\"io0\",\"vqs\":[0]},"
          "{\"iothread\":\"io1\",\"vqs\":[1]}]",
          "need the same iothread" },
        { true, NULL, "[{\"vqs\":[0,1]}]", "iothread" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        Error *err = NULL;

        start(bad[i].vhost);
        if (bad[i].by_pair) {
            set("queue-mapping", bad[i].by_pair);
        }
        if (bad[i].by_vq) {
            set("iothread-vq-mapping", bad[i].by_vq);
        }
        g_assert_false(virtio_net_mapping_apply(net, &err));
        g_test_message("row %u: %s", i, err->message);
        g_assert_nonnull(strstr(err->message, bad[i].message));
        g_assert_null(strchr(err->message, '\n'));
        for (unsigned k = 0; k < PAIRS; k++) {
            g_assert_null(net->pair[k].iothread);
        }
        g_error_free(err);
        end();
    }
}

static void test_no_iothread_leaks(void) MAIN_THREAD
{
    Error *err = NULL;

    g_assert_true(user_object_del("io0", &err));
    g_assert_true(user_object_del("io1", &err));
    g_assert_no_error(err);
}

/* Pairs without a mapping share the device's own iothreads, one per pair up
 * to the number of CPUs; they end with the device. */
static void test_own_iothreads(void) MAIN_THREAD
{
    unsigned n = MIN(PAIRS, g_get_num_processors());
    Error *err = NULL;

    start(false);
    g_assert_true(virtio_net_mapping_apply(net, &err));
    for (unsigned i = 0; i < PAIRS; i++) {
        g_assert_true(virtio_net_pair_need_iothread(&net->pair[i], &err));
        g_assert_nonnull(net->pair[i].iothread);
        g_assert_true(net->pair[i].iothread == net->pair[i % n].iothread);
    }
    end();
}

int main(int argc, char **argv)
{
    Error *err = NULL;

    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(&err));
    iothread_make("io0");
    iothread_make("io1");
    g_test_add_func("/virtio-net/mapping/defaults", test_defaults);
    g_test_add_func("/virtio-net/mapping/queue-mapping", test_by_pair);
    g_test_add_func("/virtio-net/mapping/iothread-vq-mapping", test_by_vq);
    g_test_add_func("/virtio-net/mapping/refused", test_refused);
    g_test_add_func("/virtio-net/mapping/own-iothreads", test_own_iothreads);
    g_test_add_func("/virtio-net/mapping/references", test_no_iothread_leaks);
    return g_test_run();
}
