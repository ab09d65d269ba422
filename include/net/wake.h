/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a pair's loop waits for at a back-end that is not one plain file: the
 * connection may come and go while the pair runs, or frames wait in memory.
 *
 * A NetWake is two descriptors that stay for the life of a subqueue: one to be
 * put into NetSubqueue.fd, readable when there may be frames, and one for
 * NetSubqueue.room_fd, readable when there may be room. Behind them is at most
 * one file at a time, and a signal each.
 *
 * A NetFrameQueue holds frames that another thread has for a pair: bounded, in
 * their order, under a lock of its own.
 *
 * Threads: any, unless said otherwise.
 */
#ifndef NET_WAKE_H
#define NET_WAKE_H

#include "util/osdep.h"

#include <sys/uio.h>

#include "util/error.h"
#include "util/thread-annotations.h"

typedef struct NetWake {
    /* fixed after init; -1: not made */
    int fd;      /* readable: look for frames */
    int room_fd; /* readable: look for room */
    int frames_event, room_event;
} NetWake;

/* Makes the descriptors. False and *errp when the kernel refuses; then there
 * are none. A NetWake that net_wake_free() has been given may be made anew. */
bool net_wake_init(NetWake *wake, Error **errp);
/* Closes them. Nobody waits for them. Zero-filled ones are not allowed. */
void net_wake_free(NetWake *wake);

/* From now on @file, which stays the caller's, is waited for: by fd for
 * reading, errors and the end of the connection, and by room_fd for writing.
 * False and *errp when it cannot be waited for (a regular file). */
bool net_wake_attach(NetWake *wake, int file, Error **errp);
/* Not any more; before close(2). */
void net_wake_detach(NetWake *wake, int file);

/* Makes fd (room_fd) readable until it is cleared. */
void net_wake_frames(NetWake *wake);
void net_wake_room(NetWake *wake);
void net_wake_frames_clear(NetWake *wake);
void net_wake_room_clear(NetWake *wake);

typedef struct NetFrameQueue NetFrameQueue;

/* An empty queue for at most @frames frames and @bytes bytes, which signals
 * @wake (outlives it; NULL: nobody) when its first frame comes, and calls
 * net_wake_room() on @room (likewise) when one is taken from a full queue. */
NetFrameQueue *net_frame_queue_new(unsigned frames, size_t bytes, NetWake *wake,
                                   NetWake *room);
/* Drops what is in it. NULL is allowed. Nobody uses it. */
void net_frame_queue_free(NetFrameQueue *queue);
/* Copies the frame in @iov, less its first @skip bytes, behind the others.
 * False: there is no room, or the frame is empty. */
bool net_frame_queue_put(NetFrameQueue *queue, const struct iovec *iov,
                         unsigned n, size_t skip);
/* Takes the first frame into @iov behind @skip bytes that it leaves as they
 * are, cut where @iov ends. Its whole length; 0: there is none. */
ssize_t net_frame_queue_get(NetFrameQueue *queue, const struct iovec *iov,
                            unsigned n, size_t skip);
/* Frames in it. */
unsigned net_frame_queue_length(NetFrameQueue *queue);
/* Drops what is in it; how many frames. */
unsigned net_frame_queue_clear(NetFrameQueue *queue);

#endif
