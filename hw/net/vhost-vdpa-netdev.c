/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev vhost-vdpa: the rings of the NIC are served by a device of the
 * kernel's vDPA framework. No frame passes here.
 *
 * The device's configuration says whether its link is up; that is shown to the
 * driver, and its pairs go on.
 *
 * Here and not in net/, which knows nothing of rings, as with vhost-user.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <fcntl.h>

#include "hw/virtio/vhost-vdpa.h"
#include "net/clients.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"
#include "util/fd.h"
#include "util/fdset.h"
#include "util/iov.h"

typedef struct NetVhostVdpa {
    NetClientState nc;

    /* fixed after creation */
    VhostVdpa *vdpa;
    int idle_fd; /* stands for the files of subqueues: nothing is ever there */
} NetVhostVdpa;

static NetVhostVdpa *from_nc(NetClientState *nc)
{
    return container_of(nc, NetVhostVdpa, nc);
}

static void config_changed(void *opaque) MAIN_THREAD
{
    NetVhostVdpa *s = opaque;
    NetClientState *nic = s->nc.peer;
    VhostVdpaConfig config;

    if (vhost_vdpa_read_config(s->vdpa, &config, NULL)) {
        s->nc.shows_down = !config.link_up;
    }
    if (nic && nic->link_changed) {
        nic->link_changed(nic);
    }
}

/* An announcement of ours has no way out; the guest's own has. */
static ssize_t vdpa_netdev_send(NetSubqueue *sq, const struct iovec *iov,
                                unsigned n)
{
    return (ssize_t)iov_size(iov, n);
}

static void vdpa_netdev_cleanup(NetClientState *nc)
{
    NetVhostVdpa *s = from_nc(nc);

    machine_lock_assert();
    g_clear_pointer(&s->vdpa, vhost_vdpa_free);
    fd_close(&s->idle_fd);
}

static const NetClientInfo vdpa_info = {
    .type = NET_CLIENT_DRIVER_VHOST_VDPA,
    .send = vdpa_netdev_send,
    .cleanup = vdpa_netdev_cleanup,
};

static bool check_options(const NetdevVhostVDPAOptions *o, Error **errp)
{
    if (!o->vhostdev == !o->vhostfd) {
        error_setg(errp, "needs one of vhostdev=, as in "
                         "vhostdev=/dev/vhost-vdpa-0, and vhostfd=");
        return false;
    }
    if (o->has_queues && (o->queues < 1 || o->queues > (int)NET_MAX_QUEUES)) {
        error_setg(errp, "queues=%" PRId64 ": must be 1 to %u", o->queues,
                   NET_MAX_QUEUES);
        return false;
    }
    if (o->has_x_svq && o->x_svq) {
        error_setg(errp, "x-svq=on: there are no shadow rings; use x-svq=off, "
                         "which the device's own rings are");
        return false;
    }
    return true;
}

/* A duplicate of what the user passed, which is ours only if all goes well. */
static int dup_device(const char *text, Error **errp) MAIN_THREAD
{
    int from = fd_from_text(text, "vhostfd", errp);
    int fd = from < 0 ? -1 : fcntl(from, F_DUPFD_CLOEXEC, 3);

    if (from >= 0 && fd < 0) {
        error_setg_errno(errp, errno, "vhostfd=%s", text);
    }
    return fd;
}

static void take_device(const char *text) MAIN_THREAD
{
    int from = fd_from_text(text, "vhostfd", NULL);

    fd_text_taken(text);
    fd_close(&from);
}

static int open_device(const NetdevVhostVDPAOptions *o, Error **errp)
    MAIN_THREAD
{
    int fd;

    if (o->vhostfd) {
        return dup_device(o->vhostfd, errp);
    }
    fd = fdset_open(o->vhostdev, O_RDWR | O_NONBLOCK, 0, errp);
    if (fd < 0) {
        error_prepend(errp, "vhostdev=%s: ", o->vhostdev);
    }
    return fd;
}

static VhostVdpa *make_device(NetVhostVdpa *s, const NetdevVhostVDPAOptions *o,
                              Error **errp) MAIN_THREAD
{
    int fd = open_device(o, errp);
    VhostVdpa *vdpa = NULL;

    if (fd >= 0) {
        vdpa = vhost_vdpa_new(fd, config_changed, s, errp);
        if (!vdpa) {
            error_prepend(errp, "%s=%s: ", o->vhostfd ? "vhostfd" : "vhostdev",
                          o->vhostfd ? o->vhostfd : o->vhostdev);
        }
    }
    if (!vdpa) {
        fd_close(&fd);
    }
    return vdpa;
}

/* As many as the device has, or fewer. */
static bool count_queues(const VhostVdpa *vdpa, const NetdevVhostVDPAOptions *o,
                         unsigned *n, Error **errp)
{
    unsigned pairs = vhost_vdpa_pairs(vdpa);

    *n = o->has_queues ? (unsigned)o->queues : MIN(pairs, NET_MAX_QUEUES);
    if (*n > pairs) {
        error_setg(errp, "queues=%u: the vDPA device has %u", *n, pairs);
        return false;
    }
    return true;
}

static bool make_netdev(NetVhostVdpa *s, const Netdev *netdev, Error **errp)
    MAIN_THREAD
{
    const NetdevVhostVDPAOptions *o = &netdev->u.vhost_vdpa;
    unsigned n;

    s->idle_fd = eventfd_new(errp);
    if (s->idle_fd < 0 || !count_queues(s->vdpa, o, &n, errp) ||
        !net_client_register(&s->nc, &vdpa_info, netdev->id, n, errp)) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        s->nc.queue[i].fd = s->idle_fd;
        s->nc.queue[i].vhost_vdpa = s->vdpa;
    }
    snprintf(s->nc.info_str, sizeof(s->nc.info_str), "vhost-vdpa at %s%s",
             o->vhostfd ? "fd=" : "", o->vhostfd ? o->vhostfd : o->vhostdev);
    config_changed(s);
    if (!net_client_rejoin(&s->nc, errp)) {
        net_client_unregister(&s->nc);
        return false;
    }
    return true;
}

bool net_init_vhost_vdpa(const Netdev *netdev, Error **errp)
{
    const NetdevVhostVDPAOptions *o = &netdev->u.vhost_vdpa;
    NetVhostVdpa *s;

    if (!check_options(o, errp)) {
        return false;
    }
    s = g_new0(NetVhostVdpa, 1);
    s->idle_fd = -1;
    s->nc.caps = (NetCaps){ .vnet_hdr = true,
                            .ufo = true,
                            .uso = true,
                            .vhost = true,
                            .vhost_force = true,
                            .vhost_only = true };
    s->vdpa = make_device(s, o, errp);
    if (s->vdpa && make_netdev(s, netdev, errp)) {
        if (o->vhostfd) {
            take_device(o->vhostfd);
        }
        return true;
    }
    vdpa_netdev_cleanup(&s->nc);
    g_free(s);
    return false;
}
