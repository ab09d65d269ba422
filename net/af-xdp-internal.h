/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the AF_XDP back-end share.
 *
 * A queue of the interface is an AF_XDP socket with memory of its own (the
 * UMEM), cut into frames: the first AF_XDP_TX of them are for sending, the
 * others for receiving. Four rings tell the kernel and us which frames are
 * whose: fill and rx, tx and completion. They are as long as there are frames
 * for them, so what is put into one always fits.
 *
 * Threads: under the machine lock, except what af-xdp-io.c says.
 */
#ifndef NET_AF_XDP_INTERNAL_H
#define NET_AF_XDP_INTERNAL_H

#include <net/if.h>
#include <pthread.h>
#include <xdp/xsk.h>

#include "net/bare.h"
#include "net/clients.h"
#include "net/wake.h"

#define AF_XDP_FRAME 4096u /* bytes: a page, the most that there may be */
#define AF_XDP_RX    2048u /* frames; powers of 2 */
#define AF_XDP_TX    1024u
#define AF_XDP_UMEM  ((size_t)AF_XDP_FRAME * (AF_XDP_RX + AF_XDP_TX))

/* One mapping of a socket that was set up here. */
typedef struct AfXdpMap {
    void *at; /* NULL: none */
    size_t len;
} AfXdpMap;

/* ---- af-xdp-files.c: open programs and maps of this process ---- */

#define AF_XDP_FILES 16u

/* One is known by its number and by what the kernel calls it. */
typedef struct AfXdpFile {
    int fd;
    bool is_map;
    uint32_t id;
} AfXdpFile;

typedef struct AfXdpFiles {
    unsigned n;
    AfXdpFile file[AF_XDP_FILES];
} AfXdpFiles;

/* All that are open, of AfXdpFile. */
GArray *af_xdp_files_all(void) MAIN_THREAD;
/* Those that came since @before, which is freed. */
void af_xdp_files_new(AfXdpFiles *files, GArray *before) MAIN_THREAD;
/* Closes those that are open still. */
void af_xdp_files_close(AfXdpFiles *files) MAIN_THREAD;

typedef struct AfXdpState AfXdpState;

typedef struct AfXdpQueue {
    /* fixed after creation */
    AfXdpState *netdev;
    int fd; /* the socket */
    uint8_t *umem;
    /* libxdp's; NULL: the socket was set up here, and is in @map and @fd */
    struct xsk_umem *xsk_umem;
    struct xsk_socket *xsk;
    AfXdpFiles files; /* what libxdp opened besides the socket */
    AfXdpMap map[4];
    NetWake wake;
    int timer_fd; /* for another try; see af-xdp-io.c */

    /* pair owner */
    struct xsk_ring_cons rx;
    struct xsk_ring_prod fill;

    /* @lock: pairs that share the queue all send */
    pthread_mutex_t lock;
    struct xsk_ring_prod tx;
    struct xsk_ring_cons comp;
    unsigned n_free;
    uint64_t free_tx[AF_XDP_TX]; /* addresses of frames that may be filled */

    /* any thread, atomic */
    bool want_room; /* a sender waits for frames */

    /* main thread */
    FdWatch timer_watch;
    int64_t retry_ns; /* until the next try */
} AfXdpQueue;

struct AfXdpState {
    NetClientState nc; /* first: netdev_del() frees by it */

    /* fixed after creation */
    char ifname[IFNAMSIZ];
    int ifindex;
    AfXdpQueue *queue; /* nc.n_queues of them */
    int link_fd;       /* rtnetlink(7) */

    /* any thread, atomic */
    bool gone; /* the interface was deleted, or left our namespace */

    /* main thread */
    FdWatch link_watch;
};

/* ---- af-xdp-socket.c ---- */

typedef struct AfXdpSetup {
    const char *ifname;
    int ifindex;
    unsigned first;       /* queue of the interface */
    unsigned n;           /* queues */
    uint32_t attach_mode; /* XDP_FLAGS_SKB_MODE, _DRV_MODE or 0: either; set to
                             the one that was taken */
    bool force_copy;
    bool inhibit;   /* no program is attached */
    const int *fds; /* sockets that somebody prepared, NULL: none */
    int map_fd;     /* a map of sockets, -1: none */
    uint32_t map_first;
} AfXdpSetup;

/* All that is zero is not there; nothing is open. */
void af_xdp_queue_init(AfXdpQueue *q, AfXdpState *netdev);
/*
 * Opens queue @index of @setup's; a socket of setup->fds is ours on success.
 * On false nothing is open, but what was done to such a socket stays done.
 */
bool af_xdp_queue_open(AfXdpQueue *q, AfXdpSetup *setup, unsigned index,
                       Error **errp) MAIN_THREAD;
/* Closes it; the last one on the interface that uses libxdp's program detaches
 * that. Nobody uses @q. */
void af_xdp_queue_close(AfXdpQueue *q) MAIN_THREAD;

/* ---- af-xdp-ring.c: a socket without libxdp ---- */

/* Gives q->fd its memory and rings. 0 or -errno. */
int af_xdp_rings_open(AfXdpQueue *q);
void af_xdp_rings_close(AfXdpQueue *q);
/* Binds it to @queue of the interface @ifindex. 0 or -errno. */
int af_xdp_bind(int fd, int ifindex, unsigned queue, uint16_t flags);
/* The map of sockets that is pinned at @path; -1 on failure. */
int af_xdp_map_open(const char *path, Error **errp);
/* Puts @fd into the map. 0 or -errno. */
int af_xdp_map_put(int map_fd, uint32_t index, int fd);
/* How many queues the interface has; 0: it does not tell. */
unsigned af_xdp_count_queues(const char *ifname);

/* ---- af-xdp-link.c ---- */

/* Looks out for the end of s->ifindex, from now on. */
bool af_xdp_link_watch(AfXdpState *s, Error **errp) MAIN_THREAD;
void af_xdp_link_close(AfXdpState *s) MAIN_THREAD;

/* ---- af-xdp-io.c ---- */

/* Gives the kernel all frames to receive into. Before anybody uses @q. */
void af_xdp_io_start(AfXdpQueue *q);
/* Drops the frames that wait. No pair receives. */
void af_xdp_io_discard(AfXdpQueue *q);
/* Makes the kernel look at what there is to send. 0 or -errno. Any thread. */
int af_xdp_io_kick(AfXdpQueue *q);
/* The timer ran out: tries again what found no way before. */
void af_xdp_io_retry(void *opaque, uint32_t events) MAIN_THREAD;
/* As NetClientInfo says. */
ssize_t af_xdp_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n);
ssize_t af_xdp_send(NetSubqueue *sq, const struct iovec *iov, unsigned n);
bool af_xdp_recv_burst(const NetPort *port, IoFrame *frames, unsigned n);
bool af_xdp_send_burst(const NetPort *port, IoFrame *frames, unsigned n);

#endif
