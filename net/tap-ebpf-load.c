/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Brings the program that the build embeds (tap-rss.bpf.c) into the kernel.
 *
 * libbpf is loaded when a program is, as few guests ask for one and the library
 * costs each start time. Nothing of it is kept but duplicates of the files.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "config-host.h"
#include "net/clients.h"
#include "tap-ebpf.h"

#ifdef CONFIG_EBPF

#include <bpf/libbpf.h>
#include <fcntl.h>

#include "net/tap-rss.bpf.inc" /* tap_rss_object[], made by the build */
#include "util/dynlib.h"
#include "util/fd.h"

#define LIBRARY "libbpf.so.1"

/* What is used of it. */
#define SYMBOLS(_)                      \
    _(libbpf_set_print)                 \
    _(bpf_object__open_mem)             \
    _(bpf_object__load)                 \
    _(bpf_object__close)                \
    _(bpf_object__find_program_by_name) \
    _(bpf_program__fd)                  \
    _(bpf_object__find_map_fd_by_name)

static struct {
#define FIELD(name) __typeof__(&name) name;
    SYMBOLS(FIELD)
#undef FIELD
} lib;

static const DynSymbol symbols[] = {
#define ROW(name) { #name, offsetof(__typeof__(lib), name) },
    SYMBOLS(ROW)
#undef ROW
};

static bool load_library(Error **errp)
{
    if (lib.bpf_object__open_mem) {
        return true;
    }
    if (!dynlib_load(LIBRARY, symbols, ARRAY_SIZE(symbols), &lib)) {
        lib.bpf_object__open_mem = NULL;
        error_setg(errp, "%s, which loads programs, cannot be used: install it",
                   LIBRARY);
        return false;
    }
    /* What it would print is said by our own messages. */
    lib.libbpf_set_print(NULL);
    return true;
}

static void explain_load(int err, Error **errp)
{
    if (err == EPERM || err == EACCES) {
        error_setg(errp, "the kernel lets only CAP_BPF and CAP_NET_ADMIN (or "
                         "root) load a program; run with them, or pass a "
                         "loaded one by ebpf-rss-fds");
    } else {
        error_setg_errno(errp, err, "the kernel does not take the program");
    }
}

/* Duplicates of the loaded object's files: closing it closes its own. */
static bool take_fds(struct bpf_object *object, int *fds, Error **errp)
{
    struct bpf_program *program =
        lib.bpf_object__find_program_by_name(object, "rss_steer");
    const int from[TAP_EBPF_FDS] = {
        [TAP_EBPF_PROGRAM] = program ? lib.bpf_program__fd(program) : -1,
        [TAP_EBPF_CONFIG] =
            lib.bpf_object__find_map_fd_by_name(object, "rss_config"),
        [TAP_EBPF_KEYS] =
            lib.bpf_object__find_map_fd_by_name(object, "rss_keys"),
        [TAP_EBPF_QUEUES] =
            lib.bpf_object__find_map_fd_by_name(object, "rss_queues"),
    };

    for (unsigned i = 0; i < TAP_EBPF_FDS; i++) {
        fds[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 0);
        if (fds[i] < 0) {
            error_setg_errno(errp, errno, "cannot keep the program");
            for (unsigned j = 0; j < i; j++) {
                fd_close(&fds[j]);
            }
            return false;
        }
    }
    return true;
}

bool tap_ebpf_load(int *fds, Error **errp)
{
    struct bpf_object *object;
    bool ok = false;
    int r;

    if (!load_library(errp)) {
        return false;
    }
    object =
        lib.bpf_object__open_mem(tap_rss_object, sizeof(tap_rss_object), NULL);
    if (!object) {
        error_setg_errno(errp, errno, LIBRARY " does not take the program");
        return false;
    }
    r = lib.bpf_object__load(object);
    if (r < 0) {
        explain_load(-r, errp);
    } else {
        ok = take_fds(object, fds, errp);
    }
    lib.bpf_object__close(object);
    return ok;
}

const void *tap_rss_program(size_t *len)
{
    *len = sizeof(tap_rss_object);
    return tap_rss_object;
}

#else

bool tap_ebpf_load(int *fds, Error **errp)
{
    error_setg(errp, "this binary was built without the program (-Debpf)");
    return false;
}

const void *tap_rss_program(size_t *len)
{
    *len = 0;
    return NULL;
}

#endif
