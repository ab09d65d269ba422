/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames over character devices, as filter-mirror and filter-redirector have
 * them: the length, 32 bits, big-endian; where both ends have it so, the length
 * of the virtio-net header, likewise; and as many bytes as the first length
 * says, the virtio-net header, if any, first.
 *
 * Threads: main thread, but for what is marked.
 */
#ifndef NET_FILTER_STREAM_H
#define NET_FILTER_STREAM_H

#include "chardev/char.h"
#include "net/filter.h"
#include "net/wake.h"

#define FILTER_STREAM_HEADER 64u            /* the longest virtio-net header */
#define FILTER_STREAM_FRAME  (65536u + 64u) /* the longest Ethernet frame */

/* Frames to a Chardev; zero-filled means closed. */
typedef struct FilterOut {
    /* fixed while open */
    bool open, vnet_hdr;
    NetFrameQueue *queue; /* of messages */

    /* main thread */
    ChardevFrontend fe;
    LoopTask task;
    uint8_t *message; /* the one that is being written */
    size_t at, len;
} FilterOut;

/* Attaches to the Chardev @id, which the option @option names. */
bool filter_out_open(FilterOut *o, const char *option, const char *id,
                     bool vnet_hdr, Error **errp) MAIN_THREAD;
/* No frame comes any more. Frames that wait for the peer are lost. */
void filter_out_close(FilterOut *o) MAIN_THREAD;
/* Sends a copy of the frame. False: too many wait. Chain. */
bool filter_out_put(FilterOut *o, const NetFilterFrame *frame);

/* A frame that came: the virtio-net header, or none, and the frame. */
typedef struct FilterInFrame {
    const uint8_t *hdr, *data;
    size_t hdr_len, len;
} FilterInFrame;

/* Frames from a Chardev; zero-filled means closed. */
typedef struct FilterIn {
    /* fixed while open */
    bool vnet_hdr;
    const char *owner; /* for messages */
    /* May frames come? */
    bool (*ready)(void *opaque);
    void (*frame)(void *opaque, const FilterInFrame *frame);
    void *opaque;

    /* main thread */
    ChardevFrontend fe;
    bool broken; /* until the next peer */
    uint8_t *message;
    size_t got;
} FilterIn;

/* Attaches to the Chardev @id; the caller has filled in the first group. */
bool filter_in_open(FilterIn *in, const char *option, const char *id,
                    Error **errp) MAIN_THREAD;
void filter_in_close(FilterIn *in) MAIN_THREAD;
/* ready() may say something else than before. */
void filter_in_go_on(FilterIn *in) MAIN_THREAD;
/* Takes the frames that are complete in @len more bytes. False, for good: they
 * are none. For chardevs, and for tests. */
bool filter_in_feed(FilterIn *in, const uint8_t *buf, size_t len);

#endif
