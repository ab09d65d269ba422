/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev vde: a port of a switch of Virtual Distributed Ethernet, by
 * libvdeplug. The library's functions for a connection that is made are plain
 * system calls on its sockets.
 */
#include "util/osdep.h"

#include <libvdeplug.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>

#include "net/bare.h"
#include "net/clients.h"
#include "net/wake.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/dynlib.h"
#include "util/fd.h"
#include "util/iov.h"

#define LIBRARY     "libvdeplug.so.2"
#define DESCRIPTION "qemu-mq"
#define MODE_MAX    0777
#define OPEN_S      5 /* a switch answers at once */

typedef struct VdeLib {
    VDECONN *(*open)(char *url, char *description, int version,
                     struct vde_open_args *args);
    ssize_t (*recv)(VDECONN *conn, void *buf, size_t len, int flags);
    ssize_t (*send)(VDECONN *conn, const void *buf, size_t len, int flags);
    int (*datafd)(VDECONN *conn);
    int (*ctlfd)(VDECONN *conn);
    int (*close)(VDECONN *conn);
} VdeLib;

typedef struct VdeState {
    NetClientState nc; /* first: netdev_del() frees by it */

    /* fixed after creation */
    const VdeLib *lib;
    VDECONN *conn;
    int data_fd, ctl_fd; /* the connection's; the latter may be -1 */
    bool paced;          /* data_fd tells when there is room again */
    NetWake wake;        /* behind it: data_fd */

    /* main thread, while pairs are stopped; read by pair owners */
    unsigned hdr_len;

    /* main thread */
    FdWatch ctl; /* ends with the switch */

    /* any thread */
    LoopTask ended; /* tells that it has gone; the main loop's */
    bool gone;      /* atomic; stays */
} VdeState;

static const VdeLib *vde_lib(Error **errp)
{
    static const DynSymbol symbols[] = {
        { "vde_open_real", offsetof(VdeLib, open) },
        { "vde_recv", offsetof(VdeLib, recv) },
        { "vde_send", offsetof(VdeLib, send) },
        { "vde_datafd", offsetof(VdeLib, datafd) },
        { "vde_ctlfd", offsetof(VdeLib, ctlfd) },
        { "vde_close", offsetof(VdeLib, close) },
    };
    static VdeLib lib; /* filled once, under the machine lock */
    static bool loaded;

    if (!loaded) {
        loaded = dynlib_load(LIBRARY, symbols, ARRAY_SIZE(symbols), &lib);
    }
    if (!loaded) {
        error_setg(errp, "type 'vde' needs the library %s; install libvdeplug",
                   LIBRARY);
        return NULL;
    }
    return &lib;
}

/* ---- frames: the pair's owner ---- */

static bool is_gone(const VdeState *s)
{
    return __atomic_load_n(&s->gone, __ATOMIC_ACQUIRE);
}

/* The switch has gone: found by the main thread, or by the pair. */
static void lose(VdeState *s)
{
    if (__atomic_exchange_n(&s->gone, true, __ATOMIC_ACQ_REL)) {
        return;
    }
    net_wake_detach(&s->wake, s->data_fd);
    net_wake_frames(&s->wake);
    net_wake_room(&s->wake);
    loop_task_schedule(&s->ended);
}

static ssize_t vde_net_recv(NetSubqueue *sq, const struct iovec *iov,
                            unsigned n)
{
    VdeState *s = container_of(sq->nc, VdeState, nc);
    struct pollfd p = { .fd = s->data_fd, .events = POLLIN };
    uint8_t frame[VDE_ETHBUFSIZE];
    ssize_t r;

    if (is_gone(s)) {
        return -EBADFD;
    }
    /* The library may wait, whatever its flags and the file's say. */
    if (poll(&p, 1, 0) <= 0) {
        return 0;
    }
    r = net_io_result(s->lib->recv(s->conn, frame, sizeof(frame), 0));
    if (r == 0 && p.revents & (POLLHUP | POLLERR)) {
        lose(s);
        return -EBADFD;
    }
    if (r <= 0) {
        return r;
    }
    r = MIN(r, (ssize_t)sizeof(frame));
    net_bare_header(iov, n, s->hdr_len);
    iov_from_buf(iov, n, s->hdr_len, frame, (size_t)r);
    return r + s->hdr_len;
}

/* A longer frame than the switch takes is dropped. */
static ssize_t vde_net_send(NetSubqueue *sq, const struct iovec *iov,
                            unsigned n)
{
    VdeState *s = container_of(sq->nc, VdeState, nc);
    uint8_t frame[VDE_ETHBUFSIZE];
    size_t len = iov_size(iov, n);
    ssize_t r;

    if (is_gone(s)) {
        return -EBADFD;
    }
    if (len <= s->hdr_len || len - s->hdr_len > sizeof(frame)) {
        return -EMSGSIZE;
    }
    iov_to_buf(iov, n, s->hdr_len, frame, len - s->hdr_len);
    r = net_io_result(s->lib->send(s->conn, frame, len - s->hdr_len, 0));
    if (r == 0 && !s->paced) {
        return -ENOBUFS;
    }
    return r <= 0 ? r : (ssize_t)len;
}

/* ---- the netdev ---- */

static bool vde_set_vnet_hdr_len(NetClientState *nc, unsigned len, Error **errp)
{
    container_of(nc, VdeState, nc)->hdr_len = len;
    return true;
}

static void MAIN_THREAD vde_net_close(VdeState *s)
{
    fd_watch_stop(&s->ctl);
    loop_task_cancel(&s->ended);
    net_wake_free(&s->wake);
    s->lib->close(s->conn);
}

static void MAIN_THREAD vde_cleanup(NetClientState *nc)
{
    vde_net_close(container_of(nc, VdeState, nc));
    nc->queue[0].fd = nc->queue[0].room_fd = -1;
}

/* The switch says nothing more after the beginning, so this is its end. The
 * pair finds out by the next look at the device. */
static void MAIN_THREAD on_ctl(void *opaque, uint32_t events)
{
    VdeState *s = opaque;
    char buf[256];
    ssize_t r = recv(s->ctl_fd, buf, sizeof(buf), MSG_DONTWAIT);

    if (r > 0 || (r < 0 && (errno == EAGAIN || errno == EINTR))) {
        return;
    }
    fd_watch_stop(&s->ctl);
    lose(s);
}

/* Main thread. */
static void tell_ended(void *opaque)
{
    VdeState *s = opaque;

    machine_lock_assert();
    fd_watch_stop(&s->ctl);
    warn_report("netdev '%s': the switch has gone; netdev_del it, and "
                "netdev_add it again when there is one",
                s->nc.name);
}

static const NetClientInfo vde_info = {
    .type = NET_CLIENT_DRIVER_VDE,
    .recv = vde_net_recv,
    .send = vde_net_send,
    .set_vnet_hdr_len = vde_set_vnet_hdr_len,
    .cleanup = vde_cleanup,
};

/* ---- making one ---- */

/* The library waits for the switch's answer as long as it takes, so it does
 * that in a thread of its own. Of the two, the one that comes last frees. */
typedef struct VdeOpening {
    /* fixed */
    const VdeLib *lib;
    char *sock, *group; /* NULL: none */
    struct vde_open_args args;

    pthread_mutex_t lock; /* for the rest */
    pthread_cond_t changed;
    bool done;      /* conn and err are there */
    bool abandoned; /* nobody waits for them */
    VDECONN *conn;
    int err;
} VdeOpening;

static VdeOpening *opening_new(const VdeLib *lib, const NetdevVdeOptions *o)
{
    VdeOpening *opening = g_new0(VdeOpening, 1);
    pthread_condattr_t attr;

    opening->lib = lib;
    opening->sock = g_strdup(o->sock);
    opening->group = g_strdup(o->group);
    opening->args = (struct vde_open_args){ .port = o->has_port ? o->port : 0,
                                            .group = opening->group,
                                            .mode = o->has_mode ? o->mode : 0 };
    pthread_mutex_init(&opening->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&opening->changed, &attr);
    pthread_condattr_destroy(&attr);
    return opening;
}

static void opening_free(VdeOpening *opening)
{
    pthread_cond_destroy(&opening->changed);
    pthread_mutex_destroy(&opening->lock);
    g_free(opening->sock);
    g_free(opening->group);
    g_free(opening);
}

static void *opening_main(void *opaque)
{
    static char description[] = DESCRIPTION;
    VdeOpening *opening = opaque;
    bool abandoned;
    VDECONN *conn;
    int err;

    errno = 0;
    conn = opening->lib->open(opening->sock, description,
                              LIBVDEPLUG_INTERFACE_VERSION, &opening->args);
    err = errno;
    pthread_mutex_lock(&opening->lock);
    opening->err = err ? err : ECONNREFUSED;
    opening->conn = conn;
    opening->done = true;
    abandoned = opening->abandoned;
    pthread_cond_signal(&opening->changed);
    pthread_mutex_unlock(&opening->lock);
    if (abandoned) {
        if (conn) {
            opening->lib->close(conn);
        }
        opening_free(opening);
    }
    return NULL;
}

/* Begins to open. An errno value: there is no thread. */
static int opening_start(VdeOpening *opening, pthread_t *thread)
{
    sigset_t all, saved;
    int err;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &saved);
    err = pthread_create(thread, NULL, opening_main, opening);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
    if (!err) {
        pthread_setname_np(*thread, "net-vde");
    }
    return err;
}

/* Waits for the end, with the machine lock for others meanwhile. NULL and *err:
 * the library's error, or ETIMEDOUT. @opening and its thread are not the
 * caller's any more. */
static VDECONN *MAIN_THREAD opening_wait(VdeOpening *opening, pthread_t thread,
                                         int *err)
{
    VDECONN *conn = NULL;
    struct timespec end;
    int r = 0;
    bool done;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += OPEN_S;
    machine_unlock();
    pthread_mutex_lock(&opening->lock);
    while (!opening->done && r == 0) {
        r = pthread_cond_timedwait(&opening->changed, &opening->lock, &end);
    }
    done = opening->done;
    opening->abandoned = !done;
    *err = ETIMEDOUT;
    if (done) {
        conn = opening->conn;
        *err = opening->err;
    }
    pthread_mutex_unlock(&opening->lock);
    machine_lock();
    if (done) {
        pthread_join(thread, NULL);
        opening_free(opening);
    } else {
        pthread_detach(thread);
    }
    return conn;
}

static VDECONN *MAIN_THREAD open_switch(const VdeLib *lib,
                                        const NetdevVdeOptions *o, Error **errp)
{
    VdeOpening *opening;
    pthread_t thread;
    VDECONN *conn;
    int err;

    if (o->has_mode && o->mode > MODE_MAX) {
        error_setg(errp, "mode=%u: must be 0 to 0777", (unsigned)o->mode);
        return NULL;
    }
    opening = opening_new(lib, o);
    err = opening_start(opening, &thread);
    if (err) {
        opening_free(opening);
        error_setg_errno(errp, err, "cannot create a thread");
        return NULL;
    }
    conn = opening_wait(opening, thread, &err);
    if (!conn) {
        g_autofree char *shown = o->sock ? qapi_quote(o->sock) : NULL;

        error_setg_errno(errp, err, "sock=%s: cannot connect to a VDE switch",
                         shown ? shown : "(default)");
        return NULL;
    }
    if (lib->datafd(conn) < 0 ||
        !fd_set_nonblock(lib->datafd(conn), true, NULL)) {
        error_setg(errp, "libvdeplug has no file to wait for");
        lib->close(conn);
        return NULL;
    }
    return conn;
}

static bool MAIN_THREAD vde_register(VdeState *s, const Netdev *netdev,
                                     Error **errp)
{
    const char *sock = netdev->u.vde.sock;

    if (!net_wake_attach(&s->wake, s->data_fd, errp) ||
        !net_client_register(&s->nc, &vde_info, netdev->id, 1, errp)) {
        return false;
    }
    s->nc.queue[0].fd = s->wake.fd;
    s->nc.queue[0].room_fd = s->wake.room_fd;
    s->nc.vnet_hdr_len = s->hdr_len = VNET_HDR_V1;
    snprintf(s->nc.info_str, sizeof(s->nc.info_str), "sock=%.128s,fd=%d",
             sock ? sock : "(default)", s->data_fd);
    if (!net_client_rejoin(&s->nc, errp)) {
        net_client_unregister(&s->nc);
        return false;
    }
    if (s->ctl_fd >= 0) {
        fd_watch_start(&s->ctl, main_loop(), s->ctl_fd, LOOP_IN, on_ctl, s);
        s->ctl.name = "vde";
    }
    return true;
}

bool net_init_vde(const Netdev *netdev, Error **errp)
{
    const VdeLib *lib = vde_lib(errp);
    struct sockaddr_storage peer;
    socklen_t peer_len = sizeof(peer);
    VDECONN *conn = lib ? open_switch(lib, &netdev->u.vde, errp) : NULL;
    VdeState *s;

    if (!conn) {
        return false;
    }
    s = g_new0(VdeState, 1);
    s->lib = lib;
    s->conn = conn;
    loop_task_init(&s->ended, main_loop(), tell_ended, s);
    s->data_fd = lib->datafd(conn);
    s->ctl_fd = lib->ctlfd(conn);
    s->paced =
        getpeername(s->data_fd, (struct sockaddr *)&peer, &peer_len) == 0;
    if (!net_wake_init(&s->wake, errp) || !vde_register(s, netdev, errp)) {
        vde_net_close(s);
        g_free(s);
        return false;
    }
    return true;
}
