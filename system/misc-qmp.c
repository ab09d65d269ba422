/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands that tell what the machine is made of. */
#include "util/osdep.h"

#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "system/iothread.h"
#include "system/machine-lock.h"
#include "system/memory-backend.h"
#include "system/vm-info.h"

bool qmp_query_name(NameInfo *ret, Error **errp)
{
    ret->name = g_strdup(vm_name());
    return true;
}

bool qmp_query_uuid(UuidInfo *ret, Error **errp)
{
    const uint8_t *u = vm_uuid();

    ret->UUID =
        g_strdup_printf("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
                        "%02x%02x%02x%02x%02x%02x",
                        u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8],
                        u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
    return true;
}

bool qmp_query_target(TargetInfo *ret, Error **errp)
{
    ret->arch = SYS_EMU_TARGET_X86_64;
    return true;
}

/* ---- iothreads ---- */

static int64_t MAIN_THREAD iothread_number(IOThread *io, const char *name)
{
    json_object *value = object_property_get(OBJECT(io), name, NULL);
    int64_t n = json_object_get_int64(value);

    json_object_put(value);
    return n;
}

static void add_iothread(IOThread *io, void *opaque)
{
    GArray *list = opaque;
    IOThreadInfo info;

    machine_lock_assert();
    info = (IOThreadInfo){
        .id = g_strdup(iothread_id(io)),
        .thread_id = iothread_thread_id(io),
        .poll_max_ns = iothread_number(io, "poll-max-ns"),
        .poll_grow = iothread_number(io, "poll-grow"),
        .poll_shrink = iothread_number(io, "poll-shrink"),
        .aio_max_batch = iothread_number(io, "aio-max-batch"),
    };
    g_array_append_val(list, info);
}

bool qmp_query_iothreads(IOThreadInfoList *ret, Error **errp)
{
    GArray *list = g_array_new(false, false, sizeof(IOThreadInfo));

    iothread_foreach(add_iothread, list);
    ret->v = g_array_steal(list, &ret->n);
    g_array_unref(list);
    return true;
}

bool qmp_iothread_set_affinity(const q_obj_iothread_set_affinity_arg *arg,
                               Error **errp)
{
    CpuList cpus = { .n = (unsigned)arg->cpus.n, .cpu = arg->cpus.v };
    IOThread *io = iothread_find(arg->id, NULL);
    g_autofree char *shown = qapi_quote(arg->id);

    if (!io) {
        error_set_class(errp, ERROR_CLASS_DEVICE_NOT_FOUND,
                        "iothread '%s' not found", shown);
        return false;
    }
    return iothread_set_cpus(io, &cpus, errp);
}

/* ---- memory ---- */

/* Adds the memory backends right below the object at @path. */
static void MAIN_THREAD add_memdevs(const char *path, GArray *list)
{
    const GPtrArray *children = object_container(path)->children;

    for (guint i = 0; children && i < children->len; i++) {
        Object *obj = g_ptr_array_index(children, i);
        const MemoryBackend *mb = MEMORY_BACKEND(obj);
        Memdev m;

        if (!object_is(obj, TYPE_MEMORY_BACKEND)) {
            continue;
        }
        m = (Memdev){ .id = g_strdup(obj->name),
                      .size = mb->size,
                      .merge = mb->merge,
                      .dump = mb->dump,
                      .prealloc = mb->prealloc,
                      .share = mb->share,
                      .has_reserve = true,
                      .reserve = mb->reserve,
                      .policy = HOST_MEM_POLICY_DEFAULT };
        g_array_append_val(list, m);
    }
}

bool qmp_query_memdev(MemdevList *ret, Error **errp)
{
    GArray *list = g_array_new(false, false, sizeof(Memdev));

    add_memdevs("/objects", list);
    add_memdevs("/machine", list);
    ret->v = g_array_steal(list, &ret->n);
    g_array_unref(list);
    return true;
}

bool qmp_query_memory_size_summary(MemoryInfo *ret, Error **errp)
{
    ret->base_memory = vm_ram_size();
    ret->has_plugged_memory = true;
    return true;
}
