/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The management protocol's commands for descriptors that a client passes. */
#include "util/osdep.h"

#include "monitor/qmp.h"
#include "qapi/qapi-commands.h"
#include "util/fd.h"
#include "util/fdset.h"

/* What came with the command; -1: nothing did. */
static MAIN_THREAD int take_fd(Error **errp)
{
    int fd = qmp_take_fd();

    if (fd < 0) {
        error_setg(errp, "No file descriptor supplied via SCM_RIGHTS");
    }
    return fd;
}

bool qmp_getfd(const q_obj_getfd_arg *arg, Error **errp)
{
    int fd = take_fd(errp);

    return fd >= 0 && fd_name_add(arg->fdname, fd, errp);
}

bool qmp_closefd(const q_obj_closefd_arg *arg, Error **errp)
{
    return fd_name_close(arg->fdname, errp);
}

bool qmp_add_fd(const q_obj_add_fd_arg *arg, AddfdInfo *ret, Error **errp)
{
    int fd = take_fd(errp);

    if (fd < 0) {
        return false;
    }
    if (arg->has_fdset_id && arg->fdset_id < 0) {
        fd_close(&fd);
        error_setg(errp,
                   "Parameter 'fdset-id' expects a non-negative value, not "
                   "%" PRId64,
                   arg->fdset_id);
        return false;
    }
    ret->fd = fd;
    ret->fdset_id = fdset_add(arg->has_fdset_id ? arg->fdset_id : FDSET_NEW, fd,
                              arg->opaque, errp);
    return ret->fdset_id >= 0;
}

bool qmp_remove_fd(const q_obj_remove_fd_arg *arg, Error **errp)
{
    if (arg->has_fd && (arg->fd < 0 || arg->fd > INT32_MAX)) {
        error_setg(errp,
                   "Parameter 'fd' expects the number of a file descriptor, "
                   "not %" PRId64,
                   arg->fd);
        return false;
    }
    return fdset_remove(arg->fdset_id, arg->has_fd ? (int)arg->fd : -1, errp);
}

static void add_fd_info(FdsetFdInfoList *list, const FdsetEntry *e)
{
    list->v = g_renew(FdsetFdInfo, list->v, list->n + 1);
    list->v[list->n++] =
        (FdsetFdInfo){ .fd = e->fd, .opaque = g_strdup(e->opaque) };
}

bool qmp_query_fdsets(FdsetInfoList *ret, Error **errp)
{
    unsigned n;
    const FdsetEntry *e = fdset_entries(&n);

    for (unsigned i = 0; i < n; i++) {
        if (i == 0 || e[i].set != e[i - 1].set) {
            ret->v = g_renew(FdsetInfo, ret->v, ret->n + 1);
            ret->v[ret->n++] = (FdsetInfo){ .fdset_id = e[i].set };
        }
        add_fd_info(&ret->v[ret->n - 1].fds, &e[i]);
    }
    return true;
}
