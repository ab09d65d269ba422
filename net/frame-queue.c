/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames on their way from one thread to another, bounded.
 *
 * The signal is given and cleared under the lock, so it is there exactly while
 * the queue has frames: the loop that it wakes is never left asleep with some,
 * nor woken for none.
 *
 * Threads: any.
 */
#include "util/osdep.h"

#include "net/wake.h"

#include <pthread.h>

#include "util/iov.h"

typedef struct Frame {
    size_t len;
    uint8_t data[];
} Frame;

struct NetFrameQueue {
    /* fixed */
    NetWake *wake, *room;
    unsigned max_frames;
    size_t max_bytes;

    pthread_mutex_t lock; /* for the rest */
    GQueue frames;        /* of Frame */
    size_t bytes;
    bool refused; /* somebody was told that there is no room */
};

NetFrameQueue *net_frame_queue_new(unsigned frames, size_t bytes, NetWake *wake,
                                   NetWake *room)
{
    NetFrameQueue *queue = g_new0(NetFrameQueue, 1);

    queue->wake = wake;
    queue->room = room;
    queue->max_frames = frames;
    queue->max_bytes = bytes;
    pthread_mutex_init(&queue->lock, NULL);
    g_queue_init(&queue->frames);
    return queue;
}

void net_frame_queue_free(NetFrameQueue *queue)
{
    if (queue) {
        net_frame_queue_clear(queue);
        pthread_mutex_destroy(&queue->lock);
        g_free(queue);
    }
}

bool net_frame_queue_put(NetFrameQueue *queue, const struct iovec *iov,
                         unsigned n, size_t skip)
{
    size_t len = iov_size(iov, n);
    bool room;
    Frame *frame;

    if (len <= skip) {
        return false;
    }
    len -= skip;
    pthread_mutex_lock(&queue->lock);
    room = queue->frames.length < queue->max_frames &&
           len <= queue->max_bytes - queue->bytes;
    queue->refused |= !room;
    if (room) {
        frame = g_malloc(sizeof(*frame) + len);
        frame->len = len;
        iov_to_buf(iov, n, skip, frame->data, len);
        g_queue_push_tail(&queue->frames, frame);
        queue->bytes += len;
        if (queue->wake && queue->frames.length == 1) {
            net_wake_frames(queue->wake);
        }
    }
    pthread_mutex_unlock(&queue->lock);
    return room;
}

/* Under the lock: takes the first one out; NULL: there is none. */
static Frame *take(NetFrameQueue *queue)
{
    Frame *frame = g_queue_pop_head(&queue->frames);

    if (!frame) {
        return NULL;
    }
    queue->bytes -= frame->len;
    if (queue->wake && queue->frames.length == 0) {
        net_wake_frames_clear(queue->wake);
    }
    if (queue->refused) {
        queue->refused = false;
        if (queue->room) {
            net_wake_room(queue->room);
        }
    }
    return frame;
}

ssize_t net_frame_queue_get(NetFrameQueue *queue, const struct iovec *iov,
                            unsigned n, size_t skip)
{
    ssize_t len = 0;
    Frame *frame;

    pthread_mutex_lock(&queue->lock);
    frame = take(queue);
    pthread_mutex_unlock(&queue->lock);
    if (frame) {
        iov_from_buf(iov, n, skip, frame->data, frame->len);
        len = (ssize_t)frame->len;
        g_free(frame);
    }
    return len;
}

unsigned net_frame_queue_length(NetFrameQueue *queue)
{
    unsigned n;

    pthread_mutex_lock(&queue->lock);
    n = queue->frames.length;
    pthread_mutex_unlock(&queue->lock);
    return n;
}

unsigned net_frame_queue_clear(NetFrameQueue *queue)
{
    unsigned n = 0;
    Frame *frame;

    pthread_mutex_lock(&queue->lock);
    while ((frame = take(queue))) {
        g_free(frame);
        n++;
    }
    pthread_mutex_unlock(&queue->lock);
    return n;
}
