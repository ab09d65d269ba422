/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames over a stream socket, each behind its length (32 bits, big-endian).
 *
 * The main thread makes connections and ends them; whoever owns the pair moves
 * frames, through the connection that there is. A lock keeps the two apart, and
 * several pairs that send through the one subqueue. The owner that finds the
 * connection at its end stops waiting for it and leaves the rest to the main
 * thread.
 *
 * Threads: marked.
 */
#ifndef NET_STREAM_INTERNAL_H
#define NET_STREAM_INTERNAL_H

#include <pthread.h>

#include "chardev/socket-address.h"
#include "net/clients.h"
#include "net/wake.h"

/* The longest frame that a peer may announce: what other machines send. One
 * that no NIC takes is dropped; at a longer one the stream ends. */
#define NET_STREAM_FRAME_MAX (65536u + 4096u)

/* Received bytes that wait: several bursts, and at least one frame. */
#define NET_STREAM_IN_MAX (256u * 1024)

typedef struct NetStreamConn {
    /* fixed after creation */
    NetWake wake;
    LoopTask *ended_task; /* scheduled when the connection has ended */
    LoopTask rest_task;   /* in its loop, too: a rest waits, and no sender */

    FdWatch rest_watch; /* main thread */

    pthread_mutex_t lock; /* for the rest */
    int fd;               /* -1: no connection; the main thread's to close */
    bool ended;           /* it is not waited for, nor read, any more */
    bool deaf;            /* the peer takes no more frames: they are dropped */
    bool more, room;      /* the wake's signals are given */
    bool broken_framing;  /* the peer's doing ended it */
    uint64_t taken;       /* bytes that frames were made of */
    uint8_t *in, *out;    /* NET_STREAM_IN_MAX; one frame, its rest */
    size_t in_pos, in_len, out_pos, out_len;
} NetStreamConn;

/* ---- stream-io.c ---- */

/* Any thread that nobody disputes @conn with. False: no descriptors. */
bool net_stream_conn_init(NetStreamConn *conn, LoopTask *ended, Error **errp);
void net_stream_conn_free(NetStreamConn *conn);

/* @fd, non-blocking, is the connection from now on; there was none. False: it
 * cannot be waited for, and is not taken. Main thread. */
bool net_stream_conn_attach(NetStreamConn *conn, int fd, Error **errp);
/* There is none any more: its fd, the caller's to close, or -1. *@broken: the
 * peer broke the framing (NULL is allowed). Main thread. */
int net_stream_conn_detach(NetStreamConn *conn, bool *broken);
/* Bytes that frames were made of so far. *@rest: something that was received
 * has not become a frame yet. Main thread. */
uint64_t net_stream_conn_progress(NetStreamConn *conn, bool *rest);

/* As NetClientInfo has them, for frames with a header of @hdr_len bytes. */
ssize_t net_stream_conn_recv(NetStreamConn *conn, const struct iovec *iov,
                             unsigned n, unsigned hdr_len);
void net_stream_conn_send(NetStreamConn *conn, IoFrame *frames, unsigned n,
                          unsigned hdr_len);

/* ---- stream-link.c: connections ---- */

typedef struct NetStreamState {
    NetClientState nc; /* first: netdev_del() frees by it */

    /* fixed after creation */
    bool server;
    int64_t reconnect_ms;
    char *name; /* "tcp:HOST:PORT"..., what it listens on or connects to */
    CharSocketFile file;
    GArray *targets; /* a client's; NULL: cannot connect again */

    /* main thread */
    int listen_fd;  /* -1: a client */
    int connect_fd; /* an attempt to connect; -1: none */
    guint next_target;
    int64_t since_ns; /* of the last peer */
    bool warned;
    uint64_t progress; /* when last looked at, the peer having gone */
    FdWatch listen_watch, connect_watch, gone_watch;
    LoopTimer retry, gone;
    LoopTask ended;

    NetStreamConn conn; /* see there */
} NetStreamState;

/* Before anything else; stop: no connection, nor one to come. */
void net_stream_link_init(NetStreamState *s) MAIN_THREAD;
void net_stream_link_stop(NetStreamState *s) MAIN_THREAD;
/* Sets what `info network` says. */
void net_stream_show(NetStreamState *s, const char *what, const char *addr)
    MAIN_THREAD;
/* @fd, non-blocking, is the connection. False: it is not, and not closed. */
bool net_stream_connected(NetStreamState *s, int fd, Error **errp) MAIN_THREAD;
/* Waits for a peer at listen_fd. */
void net_stream_listen(NetStreamState *s) MAIN_THREAD;
/* Tries the targets from the next one on, and later again if that is wanted. */
void net_stream_connect(NetStreamState *s) MAIN_THREAD;
/* Tries them until one has to be waited for or is connected. 0; an errno. */
int net_stream_connect_next(NetStreamState *s) MAIN_THREAD;

/* ---- stream.c ---- */

typedef struct NetStreamSetup {
    const char *id;
    NetClientDriver type; /* stream or socket */
    const SocketAddress *addr;
    bool server;
    int64_t reconnect_ms; /* a client's; 0: never */
} NetStreamSetup;

/* Makes and registers a netdev. False: nothing is left. */
bool net_stream_create(const NetStreamSetup *setup, Error **errp) MAIN_THREAD;

#endif
