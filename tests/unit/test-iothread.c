/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <pthread.h>

#include "system/iothread.h"
#include "system/machine-lock.h"
#include "system/memory.h"

static GPtrArray *readers;

void ram_map_reader_add(EventLoop *loop)
{
    g_ptr_array_add(readers, loop);
}

void ram_map_reader_remove(EventLoop *loop)
{
    g_assert_true(g_ptr_array_remove(readers, loop));
}

static NO_THREAD_SAFETY Object *make(const char *text, Error **errp)
{
    json_object *opts = json_tokener_parse(text);
    Object *obj = user_object_new(opts, errp);

    json_object_put(opts);
    return obj;
}

static void note_name(void *opaque)
{
    pthread_getname_np(pthread_self(), opaque, 16);
}

static void note_tid(void *opaque)
{
    *(int *)opaque = gettid();
}

static void count(IOThread *io, void *opaque)
{
    (*(unsigned *)opaque)++;
}

static NO_THREAD_SAFETY void test_user(void)
{
    Error *err = NULL;
    char name[16];
    int tid = 0;
    unsigned n = 0;
    IOThread *io;

    g_assert_null(iothread_find("io0", &err));
    g_assert_nonnull(strstr(err->message, "'io0' not found"));
    g_clear_error(&err);
    g_assert_nonnull(make("{'qom-type':'iothread','id':'io0'}", &err));
    io = iothread_find("io0", NULL);
    g_assert_cmpstr(iothread_id(io), ==, "io0");
    event_loop_call(iothread_loop(io), note_name, name);
    g_assert_cmpstr(name, ==, "IO io0");
    event_loop_call(iothread_loop(io), note_tid, &tid);
    g_assert_cmpint(tid, ==, iothread_thread_id(io));
    g_assert_cmpint(tid, !=, gettid());
    iothread_foreach(count, &n);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpuint(readers->len, ==, 1);

    iothread_use(io, "net0");
    iothread_use(io, "net0");
    iothread_use(io, "net1");
    iothread_use(io, "net0");
    g_assert_false(user_object_del("io0", &err));
    g_assert_cmpstr(err->message, ==,
                    "iothread 'io0' is in use by 'net0', 'net1'; "
                    "remove that first");
    g_clear_error(&err);
    iothread_release(io, "net0");
    iothread_release(io, "net1");
    iothread_release(io, "net0");
    iothread_release(io, "net0");
    g_assert_true(user_object_del("io0", &err));
    g_assert_cmpuint(readers->len, ==, 0);
}

static NO_THREAD_SAFETY void test_properties(void)
{
    static const char *const names[] = { "poll-max-ns",     "poll-grow",
                                         "poll-shrink",     "aio-max-batch",
                                         "thread-pool-min", "thread-pool-max" };
    static const int64_t defaults[] = { 32768, 0, 0, 0, 0, 64 };
    Error *err = NULL;
    Object *obj;

    g_assert_null(
        make("{'qom-type':'iothread','id':'a','poll-grow':-1}", &err));
    g_assert_nonnull(strstr(err->message, "poll-grow"));
    g_clear_error(&err);
    obj = make("{'qom-type':'iothread','id':'a'}", NULL);
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        json_object *v = object_property_get(obj, names[i], NULL);

        g_assert_cmpint(json_object_get_int64(v), ==, defaults[i]);
        json_object_put(v);
        g_assert_true(object_property_parse(obj, names[i], "7", &err));
        v = object_property_get(obj, names[i], NULL);
        g_assert_cmpint(json_object_get_int64(v), ==, 7);
        json_object_put(v);
        g_assert_false(object_property_parse(obj, names[i], "-7", &err));
        g_assert_nonnull(strstr(err->message, names[i]));
        g_clear_error(&err);
    }
    g_assert_true(user_object_del("a", NULL));
}

static NO_THREAD_SAFETY void test_internal(void)
{
    IOThread *io = iothread_new_internal("net0 pair 0", NULL);
    char name[16];
    unsigned n = 0;

    iothread_use(io, "pair 0");
    iothread_use(io, "pair 1");
    event_loop_call(iothread_loop(io), note_name, name);
    g_assert_cmpstr(name, ==, "net0 pair 0");
    iothread_foreach(count, &n);
    g_assert_cmpuint(n, ==, 0);
    iothread_release(io, "pair 0");
    g_assert_cmpuint(readers->len, ==, 1);
    iothread_release(io, "pair 1");
    g_assert_cmpuint(readers->len, ==, 0);
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    readers = g_ptr_array_new();
    machine_lock();
    g_test_add_func("/iothread/user", test_user);
    g_test_add_func("/iothread/properties", test_properties);
    g_test_add_func("/iothread/internal", test_internal);
    return g_test_run();
}
