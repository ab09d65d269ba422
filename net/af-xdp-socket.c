/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sockets of an AF_XDP netdev, one a queue.
 *
 * libxdp opens those to which its program leads: it counts, in the kernel, how
 * many sockets of whatever process need the program that is attached to the
 * interface, and the last one to be closed detaches it. It is loaded when a
 * netdev needs it, as few runs do. Up to 1.3 it leaves files of the program
 * open when a socket is not the last one: we close them.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/if_link.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <xdp/libxdp.h>

#include "af-xdp-internal.h"
#include "system/main-loop.h"
#include "util/dynlib.h"
#include "util/fd.h"

#define LIBRARY "libxdp.so.1"

/* A socket that was closed leaves its queue a little later: the kernel does so
 * in the background, when it finds the time. */
#define BUSY_TRIES   500
#define BUSY_WAIT_US 2000

/* What is used of it. */
#define SYMBOLS(_)        \
    _(libbpf_set_print)   \
    _(libxdp_set_print)   \
    _(xsk_umem__create)   \
    _(xsk_umem__delete)   \
    _(xsk_socket__create) \
    _(xsk_socket__delete) \
    _(xsk_socket__fd)

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
    static bool loaded;

    if (loaded) {
        return true;
    }
    if (!dynlib_load(LIBRARY, symbols, ARRAY_SIZE(symbols), &lib)) {
        error_setg(errp,
                   "%s, which attaches the program that gives us the frames, "
                   "cannot be used: install it, or attach one and use "
                   "inhibit=on",
                   LIBRARY);
        return false;
    }
    /* What they would print is said by our own messages. */
    lib.libbpf_set_print(NULL);
    lib.libxdp_set_print(NULL);
    loaded = true;
    return true;
}

/* ---- errors ---- */

static void explain(const AfXdpSetup *setup, unsigned queue, int err,
                    Error **errp)
{
    switch (err) {
    case EPERM:
    case EACCES:
        error_setg(errp,
                   "interface '%s': AF_XDP sockets need CAP_NET_RAW%s; run "
                   "with %s, or pass open sockets by sock-fds=",
                   setup->ifname,
                   setup->inhibit ? ""
                                  : ", and the program that feeds them CAP_BPF "
                                    "and CAP_NET_ADMIN",
                   setup->inhibit ? "it" : "them");
        break;
    case EBUSY:
    case EEXIST:
        error_setg(errp,
                   "queue %u of interface '%s' is taken: another netdev or "
                   "program has an AF_XDP socket there, or another XDP program "
                   "is attached",
                   queue, setup->ifname);
        break;
    case ENOBUFS:
    case ENOMEM:
        error_setg(errp,
                   "queue %u of interface '%s': the kernel may not lock %zu "
                   "MiB of memory; raise the limit (ulimit -l)",
                   queue, setup->ifname, AF_XDP_UMEM >> 20);
        break;
    case EINVAL:
        error_setg(errp,
                   "interface '%s' does not take an AF_XDP socket for queue "
                   "%u; it may have fewer (start-queue=%u, queues=%u)",
                   setup->ifname, queue, setup->first, setup->n);
        break;
    case EOPNOTSUPP:
        error_setg(errp, "interface '%s' has no XDP%s", setup->ifname,
                   setup->attach_mode == XDP_FLAGS_DRV_MODE
                       ? " in its driver (mode=native); use mode=skb"
                       : "; use another one");
        break;
    default:
        error_setg_errno(errp, err, "queue %u of interface '%s': AF_XDP", queue,
                         setup->ifname);
    }
}

/* ---- the socket ---- */

static uint16_t bind_flags(const AfXdpSetup *setup)
{
    return XDP_USE_NEED_WAKEUP | (setup->force_copy ? XDP_COPY : 0);
}

static int create_by_library(AfXdpQueue *q, const AfXdpSetup *setup,
                             unsigned queue, uint32_t mode)
{
    const struct xsk_umem_config umem = { .fill_size = AF_XDP_RX,
                                          .comp_size = AF_XDP_TX,
                                          .frame_size = AF_XDP_FRAME };
    const struct xsk_socket_config config = { .rx_size = AF_XDP_RX,
                                              .tx_size = AF_XDP_TX,
                                              .xdp_flags = mode,
                                              .bind_flags = bind_flags(setup) };
    int r = lib.xsk_umem__create(&q->xsk_umem, q->umem, AF_XDP_UMEM, &q->fill,
                                 &q->comp, &umem);

    if (r < 0) {
        q->xsk_umem = NULL;
        return r;
    }
    r = lib.xsk_socket__create(&q->xsk, setup->ifname, queue, q->xsk_umem,
                               &q->rx, &q->tx, &config);
    if (r < 0) {
        q->xsk = NULL;
        (void)lib.xsk_umem__delete(g_steal_pointer(&q->xsk_umem));
        return r;
    }
    q->fd = lib.xsk_socket__fd(q->xsk);
    return 0;
}

static int open_by_library(AfXdpQueue *q, AfXdpSetup *setup, unsigned queue)
    MAIN_THREAD
{
    const uint32_t modes[] = { XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE };
    GArray *before;
    int r = -EOPNOTSUPP;

    for (unsigned i = 0; i < ARRAY_SIZE(modes) && r < 0; i++) {
        if (setup->attach_mode && setup->attach_mode != modes[i]) {
            continue;
        }
        before = af_xdp_files_all();
        r = create_by_library(q, setup, queue, modes[i]);
        for (unsigned k = 0; k < BUSY_TRIES && r == -EBUSY; k++) {
            g_usleep(BUSY_WAIT_US);
            r = create_by_library(q, setup, queue, modes[i]);
        }
        af_xdp_files_new(&q->files, before);
        if (r < 0) {
            af_xdp_files_close(&q->files);
        }
        if (r == 0) {
            setup->attach_mode = modes[i];
        }
    }
    return r;
}

/* One that is there, or one of our own for somebody else's map. */
static int open_here(AfXdpQueue *q, const AfXdpSetup *setup, unsigned index)
{
    unsigned queue = setup->first + index;
    int r;

    q->fd = setup->fds ? setup->fds[index]
                       : socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (q->fd < 0) {
        return -errno;
    }
    r = af_xdp_rings_open(q);
    if (r == 0) {
        r = af_xdp_bind(q->fd, setup->ifindex, queue, bind_flags(setup));
        for (unsigned k = 0; k < BUSY_TRIES && r == -EBUSY; k++) {
            g_usleep(BUSY_WAIT_US);
            r = af_xdp_bind(q->fd, setup->ifindex, queue, bind_flags(setup));
        }
    }
    return r;
}

static bool put_into_map(const AfXdpQueue *q, const AfXdpSetup *setup,
                         unsigned index, Error **errp)
{
    uint32_t at = setup->map_first + index;
    int r = setup->map_fd < 0 ? 0 : af_xdp_map_put(setup->map_fd, at, q->fd);

    if (r < 0) {
        error_setg_errno(errp, -r,
                         "map-start-index=%u: the map does not take the socket "
                         "of queue %u at index %u",
                         setup->map_first, setup->first + index, at);
    }
    return r == 0;
}

static bool open_socket(AfXdpQueue *q, AfXdpSetup *setup, unsigned index,
                        Error **errp) MAIN_THREAD
{
    int r;

    q->umem = mmap(NULL, AF_XDP_UMEM, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (q->umem == MAP_FAILED) {
        q->umem = NULL;
        error_setg_errno(errp, errno, "cannot allocate %zu bytes", AF_XDP_UMEM);
        return false;
    }
    if (setup->inhibit) {
        r = open_here(q, setup, index);
    } else if (load_library(errp)) {
        r = open_by_library(q, setup, setup->first + index);
    } else {
        return false;
    }
    if (r < 0) {
        explain(setup, setup->first + index, -r, errp);
    }
    return r == 0 && put_into_map(q, setup, index, errp);
}

/* ---- a queue ---- */

void af_xdp_queue_init(AfXdpQueue *q, AfXdpState *netdev)
{
    *q = (AfXdpQueue){
        .netdev = netdev, .fd = -1, .wake = { -1, -1, -1, -1 }, .timer_fd = -1
    };
    pthread_mutex_init(&q->lock, NULL);
}

bool af_xdp_queue_open(AfXdpQueue *q, AfXdpSetup *setup, unsigned index,
                       Error **errp)
{
    if (!net_wake_init(&q->wake, errp)) {
        return false;
    }
    q->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (q->timer_fd < 0) {
        error_setg_errno(errp, errno, "cannot make a timer");
        return false;
    }
    if (!open_socket(q, setup, index, errp) || !fd_set_cloexec(q->fd, errp)) {
        return false;
    }
    af_xdp_io_start(q);
    if (!net_wake_attach(&q->wake, q->fd, errp)) {
        return false;
    }
    fd_watch_start(&q->timer_watch, main_loop(), q->timer_fd, LOOP_IN,
                   af_xdp_io_retry, q);
    return true;
}

void af_xdp_queue_close(AfXdpQueue *q)
{
    fd_watch_stop(&q->timer_watch);
    fd_close(&q->timer_fd);
    if (q->fd >= 0 && q->wake.fd >= 0) {
        net_wake_detach(&q->wake, q->fd);
    }
    net_wake_free(&q->wake);
    if (q->xsk) {
        lib.xsk_socket__delete(g_steal_pointer(&q->xsk));
        (void)lib.xsk_umem__delete(g_steal_pointer(&q->xsk_umem));
        q->fd = -1;
        af_xdp_files_close(&q->files);
    }
    af_xdp_rings_close(q);
    fd_close(&q->fd);
    if (q->umem) {
        munmap(q->umem, AF_XDP_UMEM);
        q->umem = NULL;
    }
    pthread_mutex_destroy(&q->lock);
}
