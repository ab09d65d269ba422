/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory backends: memory-backend-ram, -file, -memfd. */
#include "util/osdep.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "system/memory-backend.h"
#include "util/fd.h"
#include "util/fdset.h"

#define HUGE_PAGE (2 * MiB)

typedef struct MemoryBackendClass {
    ObjectClass parent;
    /* Opens the file behind the memory (fd and share are then set); NULL:
     * anonymous. *@page is the size that size must be a multiple of. */
    bool (*open)(MemoryBackend *mb, uint64_t *page, Error **errp);
} MemoryBackendClass;

typedef struct MemoryBackendFile {
    MemoryBackend mb;
    char *mem_path;
    bool discard_data;
} MemoryBackendFile;

typedef struct MemoryBackendMemfd {
    MemoryBackend mb;
    bool hugetlb, seal;
    uint64_t hugetlbsize;
} MemoryBackendMemfd;

/* ---- mapping ---- */

/* @size bytes of address space at a multiple of @align, nothing mapped. */
static uint8_t *reserve_aligned(uint64_t size, uint64_t align, Error **errp)
{
    uint64_t total = size + align;
    uint8_t *base = MAP_FAILED;
    uint8_t *start;

    if (total > size) {
        base = mmap(NULL, total, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (base == MAP_FAILED) {
        error_setg(errp, "no room for %" PRIu64 " bytes of memory", size);
        return NULL;
    }
    start = (uint8_t *)ALIGN_UP((uintptr_t)base, align);
    if (start > base) {
        munmap(base, start - base);
    }
    munmap(start + size, base + align - start);
    return start;
}

/* What -object asked for beyond the bare mapping. */
static bool apply_advice(const MemoryBackend *mb, Error **errp)
{
    /* Hints: a kernel without the feature says EINVAL, nothing is lost. */
    madvise(mb->host, mb->size, MADV_HUGEPAGE);
    if (mb->merge) {
        madvise(mb->host, mb->size, MADV_MERGEABLE);
    }
    if (!mb->dump) {
        madvise(mb->host, mb->size, MADV_DONTDUMP);
    }
    if (!mb->prealloc) {
        return true;
    }
    if (madvise(mb->host, mb->size, MADV_POPULATE_WRITE) == 0) {
        return true;
    }
    error_setg_errno(errp, errno,
                     "prealloc=on: cannot take %" PRIu64
                     " bytes of host memory now",
                     mb->size);
    return false;
}

static bool map_memory(MemoryBackend *mb, uint64_t page, Error **errp)
{
    int flags = MAP_FIXED | (mb->share ? MAP_SHARED : MAP_PRIVATE) |
                (mb->fd < 0 ? MAP_ANONYMOUS : 0) |
                (mb->reserve ? 0 : MAP_NORESERVE);
    uint8_t *host = reserve_aligned(mb->size, MAX(page, HUGE_PAGE), errp);

    if (!host) {
        return false;
    }
    if (mmap(host, mb->size, PROT_READ | PROT_WRITE, flags, mb->fd, 0) ==
        MAP_FAILED) {
        error_setg_errno(errp, errno, "cannot map %" PRIu64 " bytes of memory",
                         mb->size);
        munmap(host, mb->size);
        return false;
    }
    mb->host = host;
    return apply_advice(mb, errp);
}

static bool backend_complete(Object *obj, Error **errp)
{
    MemoryBackend *mb = MEMORY_BACKEND(obj);
    const MemoryBackendClass *klass = OBJECT_GET_CLASS(MemoryBackendClass, obj);
    uint64_t page = PAGE_SIZE_4K;

    if (mb->size == 0) {
        error_setg(errp, "Parameter 'size' is missing");
        return false;
    }
    if (klass->open && !klass->open(mb, &page, errp)) {
        return false;
    }
    if (mb->size % page) {
        error_setg(errp,
                   "Parameter 'size' expects a multiple of the page size, "
                   "%" PRIu64 ", not %" PRIu64,
                   page, mb->size);
        return false;
    }
    return map_memory(mb, page, errp);
}

/* ---- memory-backend-file ---- */

/* A nameless file in the folder @path; -1 and *errp. */
static int open_in_folder(const char *path, Error **errp)
{
    g_autofree char *name = g_strdup_printf("%s/qemu-mq-ram.XXXXXX", path);
    int fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        fd = g_mkstemp_full(name, O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0) {
            unlink(name);
        }
    }
    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot make a file in mem-path '%s'",
                         path);
    }
    return fd;
}

/* Opens mem-path; *@created when it had not been there. */
static MAIN_THREAD int open_mem_path(const char *path, bool *created,
                                     Error **errp)
{
    struct stat st;
    int fd;

    *created = false;
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        return open_in_folder(path, errp);
    }
    fd = fdset_open(path, O_RDWR, 0, NULL);
    if (fd < 0 && errno == ENOENT) {
        fd = fdset_open(path, O_RDWR | O_CREAT | O_EXCL, 0644, NULL);
        *created = fd >= 0;
    }
    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot open mem-path '%s'", path);
    }
    return fd;
}

/* Makes the open file as long as the memory; one that holds something must be
 * long enough already. */
static bool fit_file(const MemoryBackendFile *f, uint64_t page, Error **errp)
{
    struct stat st;

    if (fstat(f->mb.fd, &st) < 0) {
        error_setg_errno(errp, errno, "cannot examine mem-path '%s'",
                         f->mem_path);
        return false;
    }
    if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size >= f->mb.size ||
        f->mb.size % page) {
        return true; /* a device; or refused for its size by the caller */
    }
    if (st.st_size > 0) {
        error_setg(errp,
                   "mem-path '%s' has %" PRIu64
                   " bytes, fewer than size=%" PRIu64,
                   f->mem_path, (uint64_t)st.st_size, f->mb.size);
        return false;
    }
    if (ftruncate(f->mb.fd, (off_t)f->mb.size) < 0) {
        error_setg_errno(errp, errno,
                         "cannot make mem-path '%s' %" PRIu64 " bytes long",
                         f->mem_path, f->mb.size);
        return false;
    }
    return true;
}

static MAIN_THREAD bool file_open(MemoryBackend *mb, uint64_t *page,
                                  Error **errp)
{
    MemoryBackendFile *f = (MemoryBackendFile *)mb;
    struct statfs fs;
    bool created;

    if (!f->mem_path || !*f->mem_path) {
        error_setg(errp, "Parameter 'mem-path' is missing");
        return false;
    }
    mb->fd = open_mem_path(f->mem_path, &created, errp);
    if (mb->fd < 0) {
        return false;
    }
    if (fstatfs(mb->fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC) {
        *page = (uint64_t)fs.f_bsize;
    }
    if (!fit_file(f, *page, errp)) {
        if (created) {
            unlink(f->mem_path);
        }
        return false;
    }
    return true;
}

static void file_finalize(Object *obj)
{
    MemoryBackendFile *f = (MemoryBackendFile *)obj;

    if (f->discard_data && f->mb.host) {
        madvise(f->mb.host, f->mb.size, MADV_REMOVE);
    }
}

/* ---- memory-backend-memfd ---- */

/* memfd_create() flags for huge pages of hugetlbsize; its size in *@page. */
static bool huge_flags(const MemoryBackendMemfd *m, unsigned *flags,
                       uint64_t *page, Error **errp)
{
    uint64_t size = m->hugetlbsize;

    if (!m->hugetlb) {
        if (size) {
            error_setg(errp, "hugetlbsize= needs hugetlb=on");
        }
        return size == 0;
    }
    if (size & (size - 1)) {
        error_setg(errp,
                   "Parameter 'hugetlbsize' expects a power of two, "
                   "not %" PRIu64,
                   size);
        return false;
    }
    *flags |= MFD_HUGETLB;
    if (size) {
        *flags |= (unsigned)__builtin_ctzll(size) << MFD_HUGE_SHIFT;
    }
    *page = size ? size : HUGE_PAGE;
    return true;
}

static bool memfd_open(MemoryBackend *mb, uint64_t *page, Error **errp)
{
    const MemoryBackendMemfd *m = (MemoryBackendMemfd *)mb;
    unsigned flags = MFD_CLOEXEC | (m->seal ? MFD_ALLOW_SEALING : 0);

    if (!huge_flags(m, &flags, page, errp)) {
        return false;
    }
    mb->fd = memfd_create(TYPE_MEMORY_BACKEND_MEMFD, flags);
    if (mb->fd < 0) {
        error_setg_errno(errp, errno, "the host gives no memfd%s",
                         m->hugetlb ? " of huge pages of that size" : "");
        return false;
    }
    if (ftruncate(mb->fd, (off_t)mb->size) < 0) {
        error_setg_errno(errp, errno,
                         "cannot make a memfd of %" PRIu64 " bytes", mb->size);
        return false;
    }
    if (m->seal && fcntl(mb->fd, F_ADD_SEALS,
                         F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0) {
        error_setg_errno(errp, errno, "seal=on: cannot seal the memfd");
        return false;
    }
    return true;
}

/* ---- types ---- */

static bool backend_can_delete(Object *obj, Error **errp)
{
    const MemoryBackend *mb = MEMORY_BACKEND(obj);

    if (mb->user) {
        error_setg(errp, "memory backend '%s' is in use by %s", obj->name,
                   mb->user);
    }
    return !mb->user;
}

static void backend_init(Object *obj)
{
    MEMORY_BACKEND(obj)->fd = -1;
}

static void memfd_init(Object *obj)
{
    MEMORY_BACKEND(obj)->share = true;
}

/* Subclasses' finalizers, which need the mapping, have run. */
static void backend_finalize(Object *obj)
{
    MemoryBackend *mb = MEMORY_BACKEND(obj);

    if (mb->host) {
        munmap(mb->host, mb->size);
    }
    fd_close(&mb->fd);
    g_free(mb->user);
}

static void backend_class_init(ObjectClass *klass)
{
    klass->complete = backend_complete;
    klass->can_delete = backend_can_delete;
}

static void file_class_init(ObjectClass *klass)
{
    OBJECT_CLASS_CAST(MemoryBackendClass, klass)->open = file_open;
}

static void memfd_class_init(ObjectClass *klass)
{
    OBJECT_CLASS_CAST(MemoryBackendClass, klass)->open = memfd_open;
}

static const Property backend_props[] = {
    PROP_SIZE("size", MemoryBackend, size, 0, "bytes of memory"),
    PROP_BOOL("share", MemoryBackend, share, false,
              "other processes see what is written"),
    PROP_BOOL("prealloc", MemoryBackend, prealloc, false,
              "take all host memory at the start"),
    PROP_BOOL("dump", MemoryBackend, dump, true, "part of core dumps"),
    PROP_BOOL("merge", MemoryBackend, merge, true,
              "the host may merge equal pages"),
    PROP_BOOL("reserve", MemoryBackend, reserve, true,
              "count it as used swap or huge pages from the start"),
    PROP_END,
};

static const Property file_props[] = {
    PROP_STRING("mem-path", MemoryBackendFile, mem_path,
                "file, or folder for a temporary one"),
    PROP_BOOL("discard-data", MemoryBackendFile, discard_data, false,
              "the content is not needed after the end"),
    PROP_END,
};

static const Property memfd_props[] = {
    PROP_BOOL("hugetlb", MemoryBackendMemfd, hugetlb, false, "use huge pages"),
    PROP_SIZE("hugetlbsize", MemoryBackendMemfd, hugetlbsize, 0,
              "size of a huge page, 0: the host's default"),
    PROP_BOOL("seal", MemoryBackendMemfd, seal, true,
              "nobody can change its length"),
    PROP_END,
};

static const char *const user_creatable[] = { "user-creatable", NULL };

static const TypeInfo backend_types[] = {
    {
        .name = TYPE_MEMORY_BACKEND,
        .parent = "object",
        .abstract = true,
        .instance_size = sizeof(MemoryBackend),
        .class_size = sizeof(MemoryBackendClass),
        .class_init = backend_class_init,
        .instance_init = backend_init,
        .instance_finalize = backend_finalize,
        .properties = backend_props,
        .interfaces = user_creatable,
    },
    { .name = TYPE_MEMORY_BACKEND_RAM, .parent = TYPE_MEMORY_BACKEND },
    {
        .name = TYPE_MEMORY_BACKEND_FILE,
        .parent = TYPE_MEMORY_BACKEND,
        .instance_size = sizeof(MemoryBackendFile),
        .class_init = file_class_init,
        .instance_finalize = file_finalize,
        .properties = file_props,
    },
    {
        .name = TYPE_MEMORY_BACKEND_MEMFD,
        .parent = TYPE_MEMORY_BACKEND,
        .instance_size = sizeof(MemoryBackendMemfd),
        .class_init = memfd_class_init,
        .instance_init = memfd_init,
        .properties = memfd_props,
    },
};
DEFINE_TYPES(backend_types)

/* ---- users ---- */

MemoryBackend *memory_backend_find(const char *id, Error **errp)
{
    Object *obj = user_object_find(id, TYPE_MEMORY_BACKEND);

    if (!obj) {
        error_setg(errp, "there is no -object memory-backend-... with id=%s",
                   id);
        return NULL;
    }
    return MEMORY_BACKEND(obj);
}

bool memory_backend_claim(MemoryBackend *backend, const char *user,
                          Error **errp)
{
    if (backend->user) {
        error_setg(errp, "memory backend '%s' is in use by %s",
                   OBJECT(backend)->name, backend->user);
        return false;
    }
    backend->user = g_strdup(user);
    return true;
}

MemoryBackend *memory_backend_new_default(const char *name, uint64_t size,
                                          Error **errp)
{
    Object *obj = object_new(TYPE_MEMORY_BACKEND_RAM);
    MemoryBackend *mb = MEMORY_BACKEND(obj);

    mb->size = size;
    mb->merge = false; /* -machine mem-merge= decides for all RAM */
    mb->reserve = false;
    if (!backend_complete(obj, errp) ||
        !object_add_child(object_container("/machine"), name, obj, errp)) {
        error_prepend(errp, "-m: ");
        object_unref(obj);
        return NULL;
    }
    obj->realized = true;
    mb->user = g_strdup("machine");
    object_unref(obj); /* the tree has it */
    return mb;
}
