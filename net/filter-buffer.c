/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * filter-buffer: frames come in batches, at the end of each interval.
 *
 * It holds a bounded number of frames; when it is full, or the pair stops, the
 * interval ends early.
 *
 * Threads: see net/filter.h.
 */
#include "util/osdep.h"

#include "net/filter.h"
#include "net/wake.h"

#define HELD_FRAMES 2048u
#define HELD_BYTES  (8u << 20)
#define FRAME_MAX   (65536u + 64u + 64u)

typedef struct FilterBuffer {
    NetFilter f;

    /* fixed after complete */
    uint32_t interval; /* microseconds */
} FilterBuffer;

typedef struct BufferQueue {
    NetFilterQueue q;

    /* chain */
    NetFrameQueue *held[2]; /* to the guest, by it; NULL: none so far */
    uint8_t *frame;         /* FRAME_MAX bytes */
    int64_t end_ns;         /* of the interval; 0: nothing is held */
} BufferQueue;

#define BUFFER(o)       OBJECT_CAST(FilterBuffer, o)
#define BUFFER_QUEUE(p) container_of(p, BufferQueue, q)

static void release_direction(BufferQueue *b, int direction)
{
    NetFrameQueue *held = b->held[direction == NET_FILTER_RX];
    unsigned n = held ? net_frame_queue_length(held) : 0;

    for (; n > 0; n--) {
        struct iovec iov = { b->frame, FRAME_MAX };
        ssize_t len = net_frame_queue_get(held, &iov, 1, 0);

        iov.iov_len = (size_t)len;
        net_filter_pass(&b->q, direction, &iov, 1);
    }
}

static void buffer_release(NetFilterQueue *q)
{
    BufferQueue *b = BUFFER_QUEUE(q);

    release_direction(b, NET_FILTER_TX);
    release_direction(b, NET_FILTER_RX);
    b->end_ns = 0;
}

static bool buffer_handle(NetFilterQueue *q, int direction,
                          const NetFilterFrame *frame)
{
    BufferQueue *b = BUFFER_QUEUE(q);
    NetFrameQueue **held = &b->held[direction == NET_FILTER_RX];

    if (frame->len > FRAME_MAX) {
        return false;
    }
    if (!*held) {
        *held = net_frame_queue_new(HELD_FRAMES, HELD_BYTES, NULL, NULL);
    }
    if (!b->frame) {
        b->frame = g_malloc(FRAME_MAX);
    }
    if (!net_frame_queue_put(*held, frame->iov, frame->n, 0)) {
        release_direction(b, direction);
        if (!net_frame_queue_put(*held, frame->iov, frame->n, 0)) {
            return false;
        }
    }
    if (!b->end_ns) {
        int64_t ns = BUFFER(q->filter)->interval * INT64_C(1000);

        b->end_ns = (clock_now_ns() / ns + 1) * ns;
        net_filter_wake(q);
    }
    return true;
}

static int64_t buffer_run(NetFilterQueue *q)
{
    BufferQueue *b = BUFFER_QUEUE(q);

    if (b->end_ns && clock_now_ns() >= b->end_ns) {
        buffer_release(q);
    }
    return b->end_ns ? b->end_ns : -1;
}

static bool buffer_setup(NetFilter *f, Error **errp)
{
    if (BUFFER(f)->interval == 0) {
        error_setg(errp, "interval: must be 1 to %u microseconds", UINT32_MAX);
        return false;
    }
    return true;
}

static void buffer_cleanup(NetFilter *f)
{
    for (unsigned i = 0; i < f->n_queues; i++) {
        if (f->queues[i]) {
            BufferQueue *b = BUFFER_QUEUE(f->queues[i]);

            net_frame_queue_free(b->held[0]);
            net_frame_queue_free(b->held[1]);
            g_free(b->frame);
        }
    }
}

static const Property buffer_properties[] = {
    PROP_UINT32("interval", FilterBuffer, interval, 0,
                "microseconds from one batch to the next"),
    PROP_END,
};

static void buffer_class_init(ObjectClass *klass)
{
    NetFilterClass *fc = OBJECT_CLASS_CAST(NetFilterClass, klass);

    fc->queue_size = sizeof(BufferQueue);
    fc->setup = buffer_setup;
    fc->cleanup = buffer_cleanup;
    fc->handle = buffer_handle;
    fc->run = buffer_run;
    fc->release = buffer_release;
}

static const TypeInfo buffer_types[] = {
    {
        .name = "filter-buffer",
        .parent = TYPE_NETFILTER,
        .instance_size = sizeof(FilterBuffer),
        .class_init = buffer_class_init,
        .properties = buffer_properties,
    },
};
DEFINE_TYPES(buffer_types)
