/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The provider "kvm" of query-stats: the kernel's counters of the machine and
 * of each vCPU (KVM API 4.133, KVM_GET_STATS_FD).
 *
 * A file of counters describes itself: a header, a table of descriptors, and
 * the values. Reading it stops no vCPU.
 *
 * Threads: under the machine lock, except kvm_stats_open().
 */
#include "util/osdep.h"

#include "accel/cpu.h"
#include "accel/kvm/kvm-internal.h"
#include "system/stats.h"
#include "util/fd.h"

/* More than any kernel has; a file that claims more is not read. */
#define MAX_DESCRIPTORS 4096u
#define MAX_NAME        256u
#define MAX_VALUES      1024u

int kvm_stats_open(int fd)
{
    int stats = kvm_ioctl(fd, KVM_GET_STATS_FD, NULL);

    if (stats >= 0 && !fd_set_cloexec(stats, NULL)) {
        fd_close(&stats);
    }
    return stats;
}

/* ---- the file ---- */

typedef struct StatsFile {
    int fd;
    struct kvm_stats_header header;
    size_t step;    /* bytes from one descriptor to the next */
    uint8_t *table; /* of descriptors */
} StatsFile;

static bool read_whole(int fd, void *buf, size_t len, uint64_t offset,
                       Error **errp)
{
    ssize_t n = pread(fd, buf, len, (off_t)offset);

    if (n == (ssize_t)len) {
        return true;
    }
    error_setg_errno(errp, n < 0 ? errno : EIO,
                     "reading the statistics of KVM");
    return false;
}

static bool stats_file_load(StatsFile *file, int fd, Error **errp)
{
    struct kvm_stats_header *h = &file->header;

    file->fd = fd;
    if (!read_whole(fd, h, sizeof(*h), 0, errp)) {
        return false;
    }
    if (h->num_desc > MAX_DESCRIPTORS || !h->name_size ||
        h->name_size > MAX_NAME) {
        error_setg(errp,
                   "the statistics of KVM have %u descriptors with names of "
                   "%u bytes, which makes no sense",
                   h->num_desc, h->name_size);
        return false;
    }
    file->step = sizeof(struct kvm_stats_desc) + h->name_size;
    file->table = g_malloc(file->step * h->num_desc + 1);
    if (!read_whole(fd, file->table, file->step * h->num_desc, h->desc_offset,
                    errp)) {
        g_clear_pointer(&file->table, g_free);
        return false;
    }
    return true;
}

/* Descriptor @i, and a copy of its name. NULL: of a kind not known here. */
static const struct kvm_stats_desc *stats_file_desc(const StatsFile *file,
                                                    unsigned i, char **name)
{
    const struct kvm_stats_desc *d =
        (const void *)(file->table + i * file->step);

    if ((d->flags & KVM_STATS_TYPE_MASK) > KVM_STATS_TYPE_MAX ||
        (d->flags & KVM_STATS_UNIT_MASK) > KVM_STATS_UNIT_MAX ||
        (d->flags & KVM_STATS_BASE_MASK) > KVM_STATS_BASE_MAX || !d->size ||
        d->size > MAX_VALUES) {
        return NULL;
    }
    *name = g_strndup(d->name, file->header.name_size);
    return d;
}

/* ---- schemas ---- */

static StatsSchemaValue describe(const struct kvm_stats_desc *d)
{
    static const StatsType types[] = {
        [KVM_STATS_TYPE_CUMULATIVE] = STATS_TYPE_CUMULATIVE,
        [KVM_STATS_TYPE_INSTANT] = STATS_TYPE_INSTANT,
        [KVM_STATS_TYPE_PEAK] = STATS_TYPE_PEAK,
        [KVM_STATS_TYPE_LINEAR_HIST] = STATS_TYPE_LINEAR_HISTOGRAM,
        [KVM_STATS_TYPE_LOG_HIST] = STATS_TYPE_LOG2_HISTOGRAM,
    };
    static const StatsUnit units[] = {
        [KVM_STATS_UNIT_BYTES >> KVM_STATS_UNIT_SHIFT] = STATS_UNIT_BYTES,
        [KVM_STATS_UNIT_SECONDS >> KVM_STATS_UNIT_SHIFT] = STATS_UNIT_SECONDS,
        [KVM_STATS_UNIT_CYCLES >> KVM_STATS_UNIT_SHIFT] = STATS_UNIT_CYCLES,
        [KVM_STATS_UNIT_BOOLEAN >> KVM_STATS_UNIT_SHIFT] = STATS_UNIT_BOOLEAN,
    };
    unsigned unit = d->flags & KVM_STATS_UNIT_MASK;
    bool pow2 = (d->flags & KVM_STATS_BASE_MASK) == KVM_STATS_BASE_POW2;
    StatsSchemaValue v = {
        .type = types[d->flags & KVM_STATS_TYPE_MASK],
        .has_unit = unit != KVM_STATS_UNIT_NONE,
        .unit = units[unit >> KVM_STATS_UNIT_SHIFT],
        .has_base = d->exponent != 0,
        .base = d->exponent ? pow2 ? 2 : 10 : 0,
        .exponent = d->exponent,
    };

    v.has_bucket_size = v.type == STATS_TYPE_LINEAR_HISTOGRAM;
    v.bucket_size = v.has_bucket_size ? d->bucket_size : 0;
    return v;
}

static bool add_schema(GArray *schemas, StatsTarget target, int fd,
                       Error **errp)
{
    StatsFile file = { 0 };
    StatsSchema *schema;

    if (!stats_file_load(&file, fd, errp)) {
        return false;
    }
    g_array_set_size(schemas, schemas->len + 1);
    schema = &g_array_index(schemas, StatsSchema, schemas->len - 1);
    *schema = (StatsSchema){ .provider = STATS_PROVIDER_KVM, .target = target };
    schema->stats.v = g_new0(StatsSchemaValue, file.header.num_desc);
    for (unsigned i = 0; i < file.header.num_desc; i++) {
        char *name;
        const struct kvm_stats_desc *d = stats_file_desc(&file, i, &name);

        if (d) {
            schema->stats.v[schema->stats.n] = describe(d);
            schema->stats.v[schema->stats.n++].name = name;
        }
    }
    g_free(file.table);
    return true;
}

/* Opens the machine's counters; -1: there are none, which is no error. */
static int open_vm_stats(void) MAIN_THREAD
{
    return accel_is("kvm") ? kvm_stats_open(kvm_state.vm_fd) : -1;
}

static bool add_schemas(GArray *schemas, Error **errp) MAIN_THREAD
{
    int vm = open_vm_stats(), vcpu = kvm_vcpu_stats_fd(0);
    bool ok = (vm < 0 || add_schema(schemas, STATS_TARGET_VM, vm, errp)) &&
              (vcpu < 0 || add_schema(schemas, STATS_TARGET_VCPU, vcpu, errp));

    fd_close(&vm);
    return ok;
}

/* ---- values ---- */

static StatsValue *make_value(const struct kvm_stats_desc *d, uint64_t *values)
{
    StatsValue *v = g_new0(StatsValue, 1);

    if (d->size > 1) {
        v->type = QTYPE_QLIST;
        v->u.list.n = d->size;
        v->u.list.v = g_memdup2(values, d->size * sizeof(*values));
    } else if ((d->flags & KVM_STATS_UNIT_MASK) == KVM_STATS_UNIT_BOOLEAN) {
        v->type = QTYPE_QBOOL;
        v->u.boolean = values[0] != 0;
    } else {
        v->type = QTYPE_QNUM;
        v->u.scalar = values[0];
    }
    return v;
}

/* Appends to @stats the wanted ones of @file. */
static bool read_values(const StatsFile *file, const strList *names,
                        GArray *stats, Error **errp)
{
    g_autofree uint64_t *values = g_new(uint64_t, MAX_VALUES);

    for (unsigned i = 0; i < file->header.num_desc; i++) {
        char *name = NULL;
        const struct kvm_stats_desc *d = stats_file_desc(file, i, &name);
        Stats s = { .name = name };

        if (!d || !stats_wanted(names, name)) {
            g_free(name);
            continue;
        }
        if (!read_whole(file->fd, values, d->size * sizeof(*values),
                        (uint64_t)file->header.data_offset + d->offset, errp)) {
            g_free(name);
            return false;
        }
        s.value = make_value(d, values);
        g_array_append_val(stats, s);
    }
    return true;
}

static bool add_result(GArray *results, int fd, const char *qom_path,
                       const strList *names, Error **errp)
{
    StatsFile file = { 0 };
    GArray *stats;
    bool ok;

    if (!stats_file_load(&file, fd, errp)) {
        return false;
    }
    stats = g_array_new(FALSE, FALSE, sizeof(Stats));
    ok = read_values(&file, names, stats, errp);
    stats_add_result(results, STATS_PROVIDER_KVM, qom_path, stats);
    g_free(file.table);
    return ok;
}

static bool add_vcpus(const StatsVCPUFilter *filter, const strList *names,
                      GArray *results, Error **errp) MAIN_THREAD
{
    bool ok = true;
    X86CPU *cpu;

    for (unsigned i = 0; ok && (cpu = cpu_object(i)); i++) {
        g_autofree char *path = object_path(OBJECT(cpu));
        int fd = kvm_vcpu_stats_fd(i);

        if (fd >= 0 && path &&
            stats_wanted(filter->has_vcpus ? &filter->vcpus : NULL, path)) {
            ok = add_result(results, fd, path, names, errp);
        }
    }
    return ok;
}

static bool add_results(const StatsFilter *filter, const strList *names,
                        GArray *results, Error **errp) MAIN_THREAD
{
    bool ok = true;
    int fd;

    if (filter->target == STATS_TARGET_VCPU) {
        ok = add_vcpus(&filter->u.vcpu, names, results, errp);
    } else if (filter->target == STATS_TARGET_VM) {
        fd = open_vm_stats();
        ok = fd < 0 || add_result(results, fd, NULL, names, errp);
        fd_close(&fd);
    }
    return ok;
}

const StatsSource kvm_stats_source = {
    .provider = STATS_PROVIDER_KVM,
    .add_schemas = add_schemas,
    .add_results = add_results,
};
