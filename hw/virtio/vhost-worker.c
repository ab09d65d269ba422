/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which thread serves a vhost device. The kernel does not say; but it makes the
 * thread in VHOST_SET_OWNER and calls it "vhost-" and a number: since Linux 6.4
 * one of this process's threads, before that a process of the kernel's own. So
 * the one that was not there before is it.
 *
 * Threads: under the machine lock, so that this process makes one at a time.
 */
#include "util/osdep.h"

#include <sys/utsname.h>

#include "hw/virtio/vhost.h"

struct VhostWorkers {
    const char *folder; /* in which there is one for each thread */
    GHashTable *tids;   /* of all there, whatever they are called */
};

static const char *workers_folder(void)
{
    struct utsname system;
    unsigned major = 0, minor = 0;

    uname(&system);
    sscanf(system.release, "%u.%u", &major, &minor);
    return major > 6 || (major == 6 && minor >= 4) ? "/proc/self/task"
                                                   : "/proc";
}

static bool is_worker(const char *folder, int tid)
{
    g_autofree char *path = g_strdup_printf("%s/%d/comm", folder, tid);
    g_autofree char *name = NULL;

    return g_file_get_contents(path, &name, NULL, NULL) &&
           g_str_has_prefix(name, "vhost-");
}

VhostWorkers *vhost_workers_note(void)
{
    VhostWorkers *workers = g_new0(VhostWorkers, 1);
    g_autoptr(GDir) dir = NULL;
    const char *name;

    workers->folder = workers_folder();
    workers->tids = g_hash_table_new(NULL, NULL);
    dir = g_dir_open(workers->folder, 0, NULL);
    while (dir && (name = g_dir_read_name(dir))) {
        if (g_ascii_isdigit(name[0])) {
            g_hash_table_add(workers->tids, GINT_TO_POINTER(atoi(name)));
        }
    }
    return workers;
}

void vhost_workers_free(VhostWorkers *workers)
{
    g_hash_table_unref(workers->tids);
    g_free(workers);
}

/* Names are read of those that came only: there may be many others. */
int vhost_workers_added(const VhostWorkers *before)
{
    VhostWorkers *now = vhost_workers_note();
    int tid, n = 0, added = -1;
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, now->tids);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        tid = GPOINTER_TO_INT(key);
        if (!g_hash_table_contains(before->tids, key) &&
            is_worker(now->folder, tid)) {
            added = tid;
            n++;
        }
    }
    vhost_workers_free(now);
    return n == 1 ? added : -1;
}
