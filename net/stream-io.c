/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The datapath of stream sockets: many frames by one system call, each way.
 *
 * What has arrived is read in large pieces and handed out frame by frame. What
 * goes is gathered, and of a frame that the socket took in part the rest is
 * kept: frames behind it find no room until it has gone.
 *
 * Threads: as stream-internal.h says.
 */
#include "util/osdep.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/bare.h"
#include "stream-internal.h"
#include "util/endian.h"
#include "util/fd.h"
#include "util/iov.h"

#define LENGTH sizeof(be32)

static void rest_waits(void *opaque);

bool net_stream_conn_init(NetStreamConn *conn, LoopTask *ended, Error **errp)
{
    conn->fd = -1;
    conn->ended_task = ended;
    loop_task_init(&conn->rest_task, ended->loop, rest_waits, conn);
    if (!net_wake_init(&conn->wake, errp)) {
        return false;
    }
    pthread_mutex_init(&conn->lock, NULL);
    return true;
}

void net_stream_conn_free(NetStreamConn *conn)
{
    net_wake_free(&conn->wake);
    pthread_mutex_destroy(&conn->lock);
    g_clear_pointer(&conn->in, g_free);
    g_clear_pointer(&conn->out, g_free);
}

/* ---- the connection; main thread ---- */

bool net_stream_conn_attach(NetStreamConn *conn, int fd, Error **errp)
{
    bool ok;

    pthread_mutex_lock(&conn->lock);
    if (!conn->in) {
        conn->in = g_malloc(NET_STREAM_IN_MAX);
        conn->out = g_malloc(LENGTH + NET_STREAM_FRAME_MAX);
    }
    conn->in_pos = conn->in_len = conn->out_pos = conn->out_len = 0;
    conn->ended = conn->deaf = conn->broken_framing = false;
    ok = net_wake_attach(&conn->wake, fd, errp);
    conn->fd = ok ? fd : -1;
    pthread_mutex_unlock(&conn->lock);
    return ok;
}

/* Under the lock: who waits for room shall look again. */
static void give_room(NetStreamConn *conn)
{
    if (!conn->room) {
        conn->room = true;
        net_wake_room(&conn->wake);
    }
}

/* Under the lock: the connection is not to be used any more. */
static void end(NetStreamConn *conn)
{
    if (!conn->ended) {
        conn->ended = true;
        net_wake_detach(&conn->wake, conn->fd);
        give_room(conn);
        loop_task_schedule(conn->ended_task);
    }
}

int net_stream_conn_detach(NetStreamConn *conn, bool *broken)
{
    int fd;

    fd_watch_stop(&conn->rest_watch);
    pthread_mutex_lock(&conn->lock);
    fd = conn->fd;
    if (fd >= 0 && !conn->ended) {
        net_wake_detach(&conn->wake, fd);
        give_room(conn);
    }
    conn->fd = -1;
    if (broken) {
        *broken = conn->broken_framing;
    }
    pthread_mutex_unlock(&conn->lock);
    loop_task_cancel(&conn->rest_task); /* nobody schedules it now */
    return fd;
}

/* ---- the socket takes bytes ---- */

/* Offers bytes to the socket; how many it took. Sets deaf when it takes no
 * more, ever. */
static size_t offer(NetStreamConn *conn, struct iovec *iov, unsigned n)
{
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
    ssize_t r = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (r >= 0) {
        return (size_t)r;
    }
    /* Not the end yet: the peer may have sent something before it left. */
    conn->deaf = errno != EAGAIN && errno != EINTR && errno != ENOBUFS;
    return 0;
}

/* Sends the rest of a frame. False: it has not gone yet. */
static bool flush(NetStreamConn *conn)
{
    struct iovec rest = { conn->out + conn->out_pos,
                          conn->out_len - conn->out_pos };

    if (rest.iov_len > 0) {
        conn->out_pos += offer(conn, &rest, 1);
    }
    return conn->out_pos == conn->out_len || conn->deaf;
}

static bool nobody_there(const NetStreamConn *conn)
{
    return conn->fd < 0 || conn->ended || conn->deaf;
}

/* ---- the rest of a frame, by the main thread ---- */

static void rest_room(void *opaque, uint32_t events)
{
    NetStreamConn *conn = opaque;
    bool done;

    pthread_mutex_lock(&conn->lock);
    done = nobody_there(conn) || flush(conn);
    pthread_mutex_unlock(&conn->lock);
    if (done || (events & (LOOP_ERR | LOOP_HUP))) {
        fd_watch_stop(&conn->rest_watch);
    }
}

static void rest_waits(void *opaque)
{
    NetStreamConn *conn = opaque;

    if (conn->fd >= 0 && !conn->rest_watch.loop) {
        fd_watch_start(&conn->rest_watch, conn->rest_task.loop, conn->fd,
                       LOOP_OUT, rest_room, conn);
    }
}

/* ---- received ---- */

/* What the bytes that were read begin with. */
typedef enum NextFrame {
    FRAME_NONE, /* no frame, or the beginning of one */
    FRAME_WHOLE,
    FRAME_ODD, /* no NIC takes it */
    FRAME_BROKEN,
} NextFrame;

static NextFrame next_frame(NetStreamConn *conn, size_t *len)
{
    be32 length;

    while (conn->in_len - conn->in_pos >= LENGTH) {
        memcpy(&length, conn->in + conn->in_pos, LENGTH);
        *len = be32_get(length);
        if (*len > NET_STREAM_FRAME_MAX) {
            return FRAME_BROKEN;
        }
        if (conn->in_len - conn->in_pos - LENGTH < *len) {
            return FRAME_NONE;
        }
        if (*len > 0) {
            return net_frame_fits(*len) ? FRAME_WHOLE : FRAME_ODD;
        }
        conn->in_pos += LENGTH;
    }
    return FRAME_NONE;
}

/* Reads what has arrived behind what is there. False: nothing came. */
static bool read_more(NetStreamConn *conn)
{
    ssize_t r;

    if (conn->in_pos > 0) {
        conn->in_len -= conn->in_pos;
        memmove(conn->in, conn->in + conn->in_pos, conn->in_len);
        conn->in_pos = 0;
    }
    r = recv(conn->fd, conn->in + conn->in_len,
             NET_STREAM_IN_MAX - conn->in_len, MSG_DONTWAIT);
    if (r > 0) {
        conn->in_len += (size_t)r;
        return true;
    }
    if (r == 0 || (errno != EAGAIN && errno != EINTR)) {
        end(conn);
    }
    return false;
}

/* The frame of @len bytes that was found goes to @iov. */
static ssize_t take_frame(NetStreamConn *conn, NextFrame kind, size_t len,
                          const struct iovec *iov, unsigned n, unsigned hdr_len)
{
    const uint8_t *frame = conn->in + conn->in_pos + LENGTH;

    if (kind == FRAME_BROKEN) {
        conn->broken_framing = true;
        conn->in_pos = conn->in_len;
        end(conn);
        return -EPROTO;
    }
    conn->in_pos += LENGTH + len;
    conn->taken += LENGTH + len;
    if (kind == FRAME_ODD) {
        /* The error ends the turn: there may be more behind it. */
        conn->more = true;
        net_wake_frames(&conn->wake);
        return -EMSGSIZE;
    }
    net_bare_header(iov, n, hdr_len);
    return (ssize_t)(hdr_len + iov_from_buf(iov, n, hdr_len, frame, len));
}

ssize_t net_stream_conn_recv(NetStreamConn *conn, const struct iovec *iov,
                             unsigned n, unsigned hdr_len)
{
    ssize_t r = 0;
    size_t len;

    pthread_mutex_lock(&conn->lock);
    if (conn->more) {
        conn->more = false;
        net_wake_frames_clear(&conn->wake);
    }
    if (conn->fd >= 0 && !conn->ended) {
        NextFrame kind = next_frame(conn, &len);

        if (kind == FRAME_NONE && read_more(conn)) {
            kind = next_frame(conn, &len);
        }
        if (kind != FRAME_NONE) {
            r = take_frame(conn, kind, len, iov, n, hdr_len);
        }
    }
    pthread_mutex_unlock(&conn->lock);
    return r;
}

uint64_t net_stream_conn_progress(NetStreamConn *conn, bool *rest)
{
    uint64_t taken;
    int unread = 0;
    size_t len;

    pthread_mutex_lock(&conn->lock);
    taken = conn->taken;
    *rest = conn->fd >= 0 && !conn->ended &&
            (next_frame(conn, &len) != FRAME_NONE ||
             (ioctl(conn->fd, FIONREAD, &unread) == 0 && unread > 0));
    pthread_mutex_unlock(&conn->lock);
    return taken;
}

/* ---- sent ---- */

/* Frames on their way into the socket. */
typedef struct Batch {
    struct iovec iov[NET_MAX_IOV];
    unsigned n_iov;
    uint8_t *copy; /* of a frame in too many elements, alone here; or NULL */
    be32 length[IO_RING_BURST];
    unsigned end; /* the first frame that is not in it */
} Batch;

/* What follows its length on the wire, into @iov: elements used. Nothing is in
 * @batch when they have to be one. */
static unsigned lay_out(Batch *batch, struct iovec *iov, const IoFrame *frame,
                        size_t total, unsigned hdr_len)
{
    if (frame->n_iov < NET_MAX_IOV) {
        return (unsigned)net_bare_slice(iov, frame->iov, frame->n_iov, hdr_len);
    }
    batch->copy = g_malloc(total - hdr_len);
    iov_to_buf(frame->iov, frame->n_iov, hdr_len, batch->copy, total - hdr_len);
    iov[0] = (struct iovec){ batch->copy, total - hdr_len };
    return 1;
}

/* Puts frames from @first on into @batch as far as they fit, with the results
 * that they have once they are sent. */
static void gather(Batch *batch, IoFrame *frames, unsigned first, unsigned n,
                   unsigned hdr_len)
{
    batch->n_iov = 0;
    batch->copy = NULL;
    for (batch->end = first; batch->end < n && !batch->copy; batch->end++) {
        IoFrame *frame = &frames[batch->end];
        struct iovec *iov = batch->iov + batch->n_iov;
        size_t total = iov_size(frame->iov, frame->n_iov);
        unsigned used;

        if (total <= hdr_len || total - hdr_len > NET_STREAM_FRAME_MAX) {
            frame->result = total <= hdr_len ? -EINVAL : -EMSGSIZE;
            continue;
        }
        if (batch->n_iov && frame->n_iov >= NET_MAX_IOV - batch->n_iov) {
            break;
        }
        used = lay_out(batch, iov + 1, frame, total, hdr_len);
        batch->length[batch->end] = be32_make((uint32_t)(total - hdr_len));
        iov[0] = (struct iovec){ &batch->length[batch->end], LENGTH };
        frame->result = (ssize_t)total;
        batch->n_iov += 1 + used;
    }
}

/* Of frames @first.. of the batch @sent bytes went: keeps the rest of the one
 * that went in part. Those that did not go have a result of 0 from then on.
 * True: all went. */
static bool settle(NetStreamConn *conn, const Batch *batch, IoFrame *frames,
                   unsigned first, size_t sent, unsigned hdr_len)
{
    size_t at = 0; /* where the frame begins in the batch */
    bool full = false;

    for (unsigned i = first; i < batch->end; i++) {
        size_t wire;

        if (full || frames[i].result < 0) {
            frames[i].result = full ? 0 : frames[i].result;
            continue;
        }
        wire = LENGTH + (size_t)frames[i].result - hdr_len;
        full = sent < at + wire;
        if (full && sent <= at) {
            frames[i].result = 0;
        } else if (full) {
            conn->out_pos = 0;
            conn->out_len = iov_to_buf(batch->iov, batch->n_iov, sent,
                                       conn->out, at + wire - sent);
        }
        at += wire;
    }
    return !full;
}

/* Frames that find no room (0), or nobody: as if they were sent. */
static void refuse(IoFrame *frames, unsigned first, unsigned n, bool room)
{
    for (unsigned i = first; i < n; i++) {
        frames[i].result =
            room ? (ssize_t)iov_size(frames[i].iov, frames[i].n_iov) : 0;
    }
}

void net_stream_conn_send(NetStreamConn *conn, IoFrame *frames, unsigned n,
                          unsigned hdr_len)
{
    unsigned done = 0;
    Batch batch;

    pthread_mutex_lock(&conn->lock);
    if (conn->room && !nobody_there(conn)) {
        /* While nobody is there it stays: each of several senders sees it. */
        conn->room = false;
        net_wake_room_clear(&conn->wake);
    }
    if (!nobody_there(conn) && flush(conn)) {
        while (done < n && !conn->deaf) {
            unsigned first = done;
            bool all = false;
            size_t sent;

            gather(&batch, frames, first, n, hdr_len);
            sent = batch.n_iov ? offer(conn, batch.iov, batch.n_iov) : 0;
            if (!conn->deaf) { /* else all of them are refused */
                done = batch.end;
                all = settle(conn, &batch, frames, first, sent, hdr_len);
            }
            g_free(batch.copy);
            if (!all) {
                break;
            }
        }
    }
    if (done == n && conn->out_pos < conn->out_len) {
        /* Nobody waits for room, and the next frame may be long in coming. */
        loop_task_schedule(&conn->rest_task);
    }
    refuse(frames, done, n, nobody_there(conn));
    pthread_mutex_unlock(&conn->lock);
}
