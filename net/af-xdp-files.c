/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The programs and maps that this process has open, to find those that a
 * library opened and forgot. Whoever opens such files holds the machine lock,
 * so what comes between two looks under it is the library's. A number that was
 * closed since may be another file's by now: a file is closed only if it still
 * is what it was.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/bpf.h>
#include <sys/syscall.h>

#include "af-xdp-internal.h"
#include "util/fd.h"

/* What program or map @fd is; false: neither. */
static bool inspect(int fd, AfXdpFile *file)
{
    /* Type and id come first in what is told of either. */
    struct bpf_map_info info = { 0 };
    union bpf_attr attr = { .info.bpf_fd = (uint32_t)fd,
                            .info.info = (uintptr_t)&info,
                            .info.info_len = sizeof(info) };
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    g_autofree char *kind = g_file_read_link(path, NULL);
    bool is_map = g_strcmp0(kind, "anon_inode:bpf-map") == 0;

    if ((!is_map && g_strcmp0(kind, "anon_inode:bpf-prog") != 0) ||
        syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof(attr)) < 0) {
        return false;
    }
    *file = (AfXdpFile){ .fd = fd, .is_map = is_map, .id = info.id };
    return true;
}

static bool is_same(const AfXdpFile *a, const AfXdpFile *b)
{
    return a->fd == b->fd && a->is_map == b->is_map && a->id == b->id;
}

GArray *af_xdp_files_all(void)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(AfXdpFile));
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    const char *name;
    AfXdpFile file;

    while (dir && (name = g_dir_read_name(dir))) {
        if (inspect(atoi(name), &file)) {
            g_array_append_val(all, file);
        }
    }
    if (dir) {
        g_dir_close(dir);
    }
    return all;
}

static bool contains(const GArray *all, const AfXdpFile *file)
{
    for (unsigned i = 0; i < all->len; i++) {
        if (is_same(&g_array_index(all, AfXdpFile, i), file)) {
            return true;
        }
    }
    return false;
}

void af_xdp_files_new(AfXdpFiles *files, GArray *before)
{
    g_autoptr(GArray) all = af_xdp_files_all();

    files->n = 0;
    for (unsigned i = 0; i < all->len && files->n < AF_XDP_FILES; i++) {
        const AfXdpFile *file = &g_array_index(all, AfXdpFile, i);

        if (!contains(before, file)) {
            files->file[files->n++] = *file;
        }
    }
    g_array_free(before, TRUE);
}

void af_xdp_files_close(AfXdpFiles *files)
{
    for (unsigned i = 0; i < files->n; i++) {
        AfXdpFile now;

        if (inspect(files->file[i].fd, &now) &&
            is_same(&now, &files->file[i])) {
            fd_close(&now.fd);
        }
    }
    files->n = 0;
}
