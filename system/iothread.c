/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "qapi/qapi-types.h"
#include "qapi/qapi-visit.h"
#include "system/iothread.h"
#include "system/memory.h"
#include "util/affinity.h"

#define THREAD_NAME_SIZE 16 /* with the NUL, pthread_setname_np(3) */

/* Those that run, internal ones too; under the machine lock. */
static GPtrArray *running; /* of IOThread; NULL: none ever */

struct IOThread {
    Object obj;

    /* main thread; properties */
    int64_t poll_max_ns, poll_grow, poll_shrink;
    int64_t aio_max_batch, thread_pool_min, thread_pool_max;
    int engine;   /* IOThreadEngine */
    CpuList cpus; /* where it may run; empty: anywhere */

    /* main thread */
    GPtrArray *users; /* of names, one per iothread_use() */
    bool internal;    /* belongs to its users */

    /* fixed once the thread runs */
    char *name; /* of the thread */
    EventLoop *loop;
    pthread_t thread;
    int tid;
    IoRing *ring;    /* the thread's; NULL: none */
    Error *ring_err; /* why there is none, when one was tried */
    sem_t started;
};

#define IOTHREAD(obj) OBJECT_CAST(IOThread, obj)

/* ---- the thread ---- */

static void iothread_started(void *opaque)
{
    IOThread *io = opaque;

    io->tid = gettid();
    if (io->engine != IO_THREAD_ENGINE_EPOLL) {
        io->ring = io_ring_new(&io->ring_err);
    }
    sem_post(&io->started);
}

static void *iothread_main(void *opaque)
{
    IOThread *io = opaque;

    event_loop_run(io->loop);
    io_ring_free(io->ring);
    return NULL;
}

/* Signals are the main thread's business: the new thread has all blocked. */
static int iothread_create_thread(IOThread *io)
{
    sigset_t all, saved;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    err = pthread_create(&io->thread, NULL, iothread_main, io);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    return err;
}

static void MAIN_THREAD iothread_stop(IOThread *io)
{
    g_ptr_array_remove(running, io);
    ram_map_reader_remove(io->loop);
    event_loop_quit(io->loop);
    pthread_join(io->thread, NULL);
    event_loop_free(io->loop);
    sem_destroy(&io->started);
    g_clear_error(&io->ring_err);
    io->loop = NULL;
}

/* What may change while it runs. */
static void apply_settings(IOThread *io)
{
    event_loop_set_polling(io->loop, io->poll_max_ns, io->poll_grow,
                           io->poll_shrink);
    if (io->ring) {
        io_ring_set_max_batch(io->ring,
                              (unsigned)MIN(io->aio_max_batch, IO_RING_BURST));
    }
}

static bool MAIN_THREAD iothread_start(IOThread *io, const char *name,
                                       Error **errp)
{
    char thread_name[THREAD_NAME_SIZE];
    int err;

    io->loop = event_loop_new(name, NULL, errp);
    if (!io->loop) {
        return false;
    }
    sem_init(&io->started, 0, 0);
    event_loop_post(io->loop, iothread_started, io);
    err = iothread_create_thread(io);
    if (err) {
        error_setg_errno(errp, err, "iothread '%s': cannot create its thread",
                         name);
        event_loop_turn(io->loop, 0); /* takes back the post: runs it here */
        io_ring_free(io->ring);
        io->ring = NULL;
        g_clear_error(&io->ring_err);
        event_loop_free(io->loop);
        sem_destroy(&io->started);
        io->loop = NULL;
        return false;
    }
    /* No call finds the loop between "nobody runs it" and "it runs". */
    while (sem_wait(&io->started) < 0) {
        continue;
    }
    g_strlcpy(thread_name, name, sizeof(thread_name));
    pthread_setname_np(io->thread, thread_name);
    io->name = g_strdup(name);
    ram_map_reader_add(io->loop);
    if (!running) {
        running = g_ptr_array_new();
    }
    g_ptr_array_add(running, io);
    apply_settings(io);
    if (io->engine == IO_THREAD_ENGINE_IO_URING && !io->ring) {
        error_setg(errp, "engine=io_uring: %s", io->ring_err->message);
        iothread_stop(io);
        return false;
    }
    if (io->cpus.n &&
        !thread_set_affinity(io->tid, "cpu-affinity", &io->cpus, errp)) {
        iothread_stop(io);
        return false;
    }
    return true;
}

/* ---- properties ---- */

static json_object *setting_get(Object *obj, const Property *prop, Error **errp)
{
    return prop_info_int64.get(obj, prop, errp);
}

static bool setting_set(Object *obj, const Property *prop, json_object *value,
                        Error **errp)
{
    IOThread *io = IOTHREAD(obj);
    int64_t *field = PROP_FIELD(obj, prop, int64_t);
    int64_t old = *field;

    if (!prop_info_int64.set(obj, prop, value, errp)) {
        return false;
    }
    if (*field < 0) {
        error_setg(errp,
                   "Property '%s.%s' is %" PRId64 ", but must be 0 to %" PRId64,
                   object_type_name(obj), prop->name, *field, INT64_MAX);
        *field = old;
        return false;
    }
    if (io->loop) {
        apply_settings(io);
    }
    return true;
}

static void setting_default(Object *obj, const Property *prop)
{
    *PROP_FIELD(obj, prop, int64_t) = prop->defval;
}

static const PropertyInfo setting_info = {
    .type = "int",
    .get = setting_get,
    .set = setting_set,
    .set_default = setting_default,
};

#define SETTING(n, f, d, desc)                                               \
    {                                                                        \
        .name = (n), .info = &setting_info, .offset = offsetof(IOThread, f), \
        .defval = (d), .description = (desc), .live = true                   \
    }

static json_object *cpus_get(Object *obj, const Property *prop, Error **errp)
{
    const CpuList *cpus = PROP_FIELD(obj, prop, CpuList);
    json_object *list = json_object_new_array();

    for (unsigned i = 0; i < cpus->n; i++) {
        json_object_array_add(list, json_object_new_int(cpus->cpu[i]));
    }
    return list;
}

/* A list, whose items option text gives as strings, or one string. */
static bool cpus_read(const char *name, json_object *value, CpuList *cpus,
                      Error **errp)
{
    uint16List list = { 0 };
    bool text;

    if (json_object_is_type(value, json_type_string)) {
        return cpu_list_parse(name, json_object_get_string(value), cpus, errp);
    }
    text = json_object_is_type(value, json_type_array) &&
           json_object_array_length(value) &&
           json_object_is_type(json_object_array_get_idx(value, 0),
                               json_type_string);
    if (!(text ? qapi_from_keyval(&qapi_type_uint16List, value, &list, errp)
               : qapi_from_json(&qapi_type_uint16List, value, &list, errp))) {
        error_prepend(errp, "%s: ", name);
        return false;
    }
    *cpus = (CpuList){ .n = (unsigned)list.n, .cpu = list.v };
    return true;
}

bool iothread_set_cpus(IOThread *io, const CpuList *cpus, Error **errp)
{
    CpuList *field = &io->cpus;

    if (!cpu_list_check("cpu-affinity", cpus, errp) ||
        (io->loop &&
         !thread_set_affinity(io->tid, "cpu-affinity", cpus, errp))) {
        return false;
    }
    cpu_list_free(field);
    field->n = cpus->n;
    field->cpu = g_memdup2(cpus->cpu, cpus->n * sizeof(cpus->cpu[0]));
    return true;
}

static NO_THREAD_SAFETY bool cpus_set(Object *obj, const Property *prop,
                                      json_object *value, Error **errp)
{
    CpuList cpus = { 0 };
    bool ok = cpus_read(prop->name, value, &cpus, errp) &&
              iothread_set_cpus(IOTHREAD(obj), &cpus, errp);

    cpu_list_free(&cpus);
    return ok;
}

static void cpus_release(Object *obj, const Property *prop)
{
    cpu_list_free(PROP_FIELD(obj, prop, CpuList));
}

static const PropertyInfo cpus_info = {
    .type = "uint16List",
    .get = cpus_get,
    .set = cpus_set,
    .release = cpus_release,
};

/* In the order of IOThreadEngine. */
static const char *const engine_names[] = { "auto", "io_uring", "epoll", NULL };

static const PropertyInfo engine_info = {
    .type = "IOThreadEngine",
    .get = prop_enum_get,
    .set = prop_enum_set,
    .set_default = prop_enum_default,
    .enum_values = engine_names,
};

static const Property iothread_properties[] = {
    SETTING("poll-max-ns", poll_max_ns, 32768,
            "nanoseconds it polls at most before it sleeps; 0: none"),
    SETTING("poll-grow", poll_grow, 0,
            "factor by which polling time grows; 0: 2"),
    SETTING("poll-shrink", poll_shrink, 0,
            "divisor by which polling time shrinks; 0: back to nothing"),
    SETTING("aio-max-batch", aio_max_batch, 0,
            "frames given to io_uring at a time, at most; 0: a burst"),
    SETTING("thread-pool-min", thread_pool_min, 0,
            "kept and shown: the loop has no pool of threads"),
    SETTING("thread-pool-max", thread_pool_max, 64,
            "kept and shown: the loop has no pool of threads"),
    { .name = "engine",
      .info = &engine_info,
      .offset = offsetof(IOThread, engine),
      .defval = IO_THREAD_ENGINE_AUTO,
      .description = "how it moves bursts: io_uring, epoll (a system call a "
                     "frame), or auto (io_uring where the kernel allows it)" },
    { .name = "cpu-affinity",
      .info = &cpus_info,
      .offset = offsetof(IOThread, cpus),
      .live = true,
      .description = "host CPUs it runs on, such as 0-3:6; all: any" },
    PROP_END,
};

/* ---- the object ---- */

static void iothread_init(Object *obj)
{
    IOTHREAD(obj)->users = g_ptr_array_new_with_free_func(g_free);
}

static NO_THREAD_SAFETY void iothread_finalize(Object *obj)
{
    IOThread *io = IOTHREAD(obj);

    g_assert(io->users->len == 0);
    if (io->loop) {
        iothread_stop(io);
    }
    g_ptr_array_unref(io->users);
    g_free(io->name);
}

static NO_THREAD_SAFETY bool iothread_complete(Object *obj, Error **errp)
{
    g_autofree char *name = g_strdup_printf("IO %s", obj->name);

    return iothread_start(IOTHREAD(obj), name, errp);
}

static bool iothread_can_delete(Object *obj, Error **errp)
{
    IOThread *io = IOTHREAD(obj);
    g_autoptr(GString) names = g_string_new(NULL);

    for (unsigned i = 0; i < io->users->len; i++) {
        const char *name = g_ptr_array_index(io->users, i);
        guint first;

        /* a NIC is one for each of its pairs */
        g_ptr_array_find_with_equal_func(io->users, name, g_str_equal, &first);
        if (first == i) {
            g_string_append_printf(names, "%s'%s'", i ? ", " : "", name);
        }
    }
    if (io->users->len) {
        error_setg(errp, "iothread '%s' is in use by %s; remove that first",
                   obj->name, names->str);
    }
    return io->users->len == 0;
}

static void iothread_class_init(ObjectClass *klass)
{
    klass->complete = iothread_complete;
    klass->can_delete = iothread_can_delete;
}

static const char *const iothread_interfaces[] = { "user-creatable", NULL };

static const TypeInfo iothread_types[] = {
    {
        .name = TYPE_IOTHREAD,
        .parent = "object",
        .instance_size = sizeof(IOThread),
        .class_init = iothread_class_init,
        .instance_init = iothread_init,
        .instance_finalize = iothread_finalize,
        .properties = iothread_properties,
        .interfaces = iothread_interfaces,
    },
};
DEFINE_TYPES(iothread_types)

/* ---- for devices and the monitor ---- */

IOThread *iothread_find(const char *id, Error **errp)
{
    Object *obj = user_object_find(id, TYPE_IOTHREAD);

    if (!obj) {
        g_autofree char *shown = g_strescape(id, NULL);

        error_setg(errp,
                   "iothread '%.64s' not found; "
                   "-object iothread,id=%.64s makes it",
                   shown, shown);
        return NULL;
    }
    return IOTHREAD(obj);
}

IOThread *iothread_new_internal(const char *name, Error **errp)
{
    IOThread *io = IOTHREAD(object_new(TYPE_IOTHREAD));

    io->internal = true;
    if (!iothread_start(io, name, errp)) {
        object_unref(OBJECT(io));
        return NULL;
    }
    io->obj.realized = true;
    return io;
}

void iothread_use(IOThread *iothread, const char *user)
{
    object_ref(OBJECT(iothread));
    g_ptr_array_add(iothread->users, g_strdup(user));
}

void iothread_release(IOThread *iothread, const char *user)
{
    guint index;
    bool found = g_ptr_array_find_with_equal_func(iothread->users, user,
                                                  g_str_equal, &index);

    g_assert(found);
    g_ptr_array_remove_index(iothread->users, index);
    if (iothread->internal && iothread->users->len == 0) {
        object_unref(OBJECT(iothread));
    }
    object_unref(OBJECT(iothread));
}

unsigned iothread_n_users(const IOThread *iothread)
{
    return iothread->users->len;
}

EventLoop *iothread_loop(const IOThread *iothread)
{
    return iothread->loop;
}

IoRing *iothread_io_ring(const IOThread *iothread)
{
    return iothread->ring;
}

static void forget_files(void *opaque)
{
    io_ring_forget(opaque);
}

void iothreads_forget_files(void)
{
    for (unsigned i = 0; running && i < running->len; i++) {
        const IOThread *io = g_ptr_array_index(running, i);

        if (io->ring) {
            event_loop_call(io->loop, forget_files, io->ring);
        }
    }
}

const char *iothread_id(const IOThread *iothread)
{
    return iothread->internal ? iothread->name : iothread->obj.name;
}

int iothread_thread_id(const IOThread *iothread)
{
    return iothread->tid;
}

void iothread_foreach(void (*func)(IOThread *, void *), void *opaque)
{
    Object *objects = object_container("/objects");

    for (unsigned i = 0; objects->children && i < objects->children->len; i++) {
        Object *obj = g_ptr_array_index(objects->children, i);

        if (object_is(obj, TYPE_IOTHREAD)) {
            func(IOTHREAD(obj), opaque);
        }
    }
}
