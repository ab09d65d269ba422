/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames over character devices.
 *
 * What a peer sends is not to be trusted: a length that no frame has ends the
 * reading until there is another peer, since where the next frame would begin
 * is not known then.
 *
 * Threads: see filter-stream.h.
 */
#include "util/osdep.h"

#include <arpa/inet.h>

#include "filter-stream.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/iov.h"

#define MAX_IOV      1024u
#define OUT_FRAMES   4096u
#define OUT_BYTES    (16u << 20)
#define OUT_BURST    64u
#define PREFIX       4u
#define MESSAGE_MAX  (2 * PREFIX + FILTER_STREAM_HEADER + FILTER_STREAM_FRAME)
#define IN_AT_A_TIME 16384u

static Chardev *find_chardev(const char *option, const char *id, Error **errp)
    MAIN_THREAD
{
    Chardev *chr = chardev_find(id);

    if (!chr) {
        error_setg(errp,
                   "%s: chardev '%s' not found; -chardev ...,id=%s makes it",
                   option, id, id);
    }
    return chr;
}

static bool attach(ChardevFrontend *fe, const ChardevFrontendOps *ops,
                   const char *option, const char *id, void *opaque,
                   Error **errp) MAIN_THREAD
{
    Chardev *chr = find_chardev(option, id, errp);

    if (chr && chardev_attach(fe, chr, ops, opaque, errp)) {
        return true;
    }
    if (chr) {
        error_prepend(errp, "%s: ", option);
    }
    return false;
}

/* ---- out ---- */

/* True: the message is written, or there is none. */
static bool write_message(FilterOut *o) MAIN_THREAD
{
    if (o->at < o->len) {
        o->at += chardev_write(&o->fe, o->message + o->at, o->len - o->at);
    }
    return o->at >= o->len;
}

static void write_some(FilterOut *o) MAIN_THREAD
{
    for (unsigned i = 0; i < OUT_BURST; i++) {
        struct iovec iov = { o->message, MESSAGE_MAX };

        if (!write_message(o)) {
            return; /* writable() comes */
        }
        o->at = 0;
        o->len = (size_t)net_frame_queue_get(o->queue, &iov, 1, 0);
        if (!o->len) {
            return;
        }
    }
    loop_task_schedule(&o->task);
}

static void out_task(void *opaque)
{
    machine_lock_assert();
    write_some(opaque);
}

static NO_THREAD_SAFETY void out_writable(void *opaque)
{
    write_some(opaque);
}

/* The next peer is to get whole messages. */
static void out_event(void *opaque, ChardevEvent event)
{
    FilterOut *o = opaque;

    if (event == CHARDEV_EVENT_CLOSED && o->at) {
        o->at = o->len = 0;
    }
}

static const ChardevFrontendOps out_ops = { .writable = out_writable,
                                            .event = out_event };

bool filter_out_open(FilterOut *o, const char *option, const char *id,
                     bool vnet_hdr, Error **errp)
{
    o->vnet_hdr = vnet_hdr;
    if (!attach(&o->fe, &out_ops, option, id, o, errp)) {
        return false;
    }
    o->queue = net_frame_queue_new(OUT_FRAMES, OUT_BYTES, NULL, NULL);
    o->message = g_malloc(MESSAGE_MAX);
    loop_task_init(&o->task, main_loop(), out_task, o);
    o->open = true;
    return true;
}

void filter_out_close(FilterOut *o)
{
    if (o->open) {
        /* What the Chardev takes at once is not lost. */
        do {
            loop_task_cancel(&o->task);
            write_some(o);
        } while (o->at >= o->len && net_frame_queue_length(o->queue));
        loop_task_cancel(&o->task);
        chardev_detach(&o->fe);
        net_frame_queue_free(o->queue);
        g_free(o->message);
        *o = (FilterOut){ 0 };
    }
}

bool filter_out_put(FilterOut *o, const NetFilterFrame *frame)
{
    size_t skip = o->vnet_hdr ? 0 : frame->hdr_len;
    struct iovec iov[MAX_IOV + 1];
    uint32_t prefix[2] = { htonl((uint32_t)(frame->len - skip)),
                           htonl((uint32_t)frame->hdr_len) };
    int n;

    if (frame->len <= frame->hdr_len ||
        frame->len - frame->hdr_len > FILTER_STREAM_FRAME) {
        return false;
    }
    n = iov_slice(iov + 1, MAX_IOV, frame->iov, frame->n, skip, SIZE_MAX);
    iov[0] = (struct iovec){ prefix, o->vnet_hdr ? 2 * PREFIX : PREFIX };
    if (n <= 0 || !net_frame_queue_put(o->queue, iov, (unsigned)n + 1, 0)) {
        return false;
    }
    loop_task_schedule(&o->task);
    return true;
}

/* ---- in ---- */

static uint32_t word(const FilterIn *in, size_t at)
{
    uint32_t value;

    memcpy(&value, in->message + at, sizeof(value));
    return ntohl(value);
}

/* Bytes that the message needs, as far as is known; 0: it is no message. */
static size_t wanted(const FilterIn *in)
{
    size_t prefix = in->vnet_hdr ? 2 * PREFIX : PREFIX;
    size_t len, hdr_len;

    if (in->got < prefix) {
        return prefix;
    }
    len = word(in, 0);
    hdr_len = in->vnet_hdr ? word(in, PREFIX) : 0;
    if (hdr_len > FILTER_STREAM_HEADER || len <= hdr_len ||
        len - hdr_len > FILTER_STREAM_FRAME) {
        return 0;
    }
    return prefix + len;
}

static void take_message(FilterIn *in)
{
    size_t prefix = in->vnet_hdr ? 2 * PREFIX : PREFIX;
    FilterInFrame frame = { .hdr = in->message + prefix,
                            .hdr_len = in->vnet_hdr ? word(in, PREFIX) : 0 };

    frame.data = frame.hdr + frame.hdr_len;
    frame.len = word(in, 0) - frame.hdr_len;
    in->got = 0;
    in->frame(in->opaque, &frame);
}

bool filter_in_feed(FilterIn *in, const uint8_t *buf, size_t len)
{
    if (!in->message) {
        in->message = g_malloc(MESSAGE_MAX);
    }
    while (len > 0 && !in->broken) {
        size_t part = MIN(len, wanted(in) - in->got);
        size_t want;

        memcpy(in->message + in->got, buf, part);
        in->got += part;
        buf += part;
        len -= part;
        want = wanted(in);
        in->broken = want == 0;
        if (want == in->got) {
            take_message(in);
        }
    }
    return !in->broken;
}

static size_t in_can_read(void *opaque)
{
    FilterIn *in = opaque;

    return in->broken || in->ready(in->opaque) ? IN_AT_A_TIME : 0;
}

static void in_read(void *opaque, const uint8_t *buf, size_t len)
{
    FilterIn *in = opaque;
    bool was_broken = in->broken;

    if (!filter_in_feed(in, buf, len) && !was_broken) {
        warn_report("%s: indev: a length of %u bytes is no frame's; nothing "
                    "more is read from this peer%s",
                    in->owner, word(in, 0),
                    in->vnet_hdr ? ""
                                 : " (does it send lengths of virtio-net "
                                   "headers? vnet_hdr_support=on)");
    }
}

static void in_event(void *opaque, ChardevEvent event)
{
    FilterIn *in = opaque;

    if (event == CHARDEV_EVENT_OPENED || event == CHARDEV_EVENT_CLOSED) {
        in->broken = false;
        in->got = 0;
    }
}

static const ChardevFrontendOps in_ops = { .can_read = in_can_read,
                                           .read = in_read,
                                           .event = in_event };

bool filter_in_open(FilterIn *in, const char *option, const char *id,
                    Error **errp)
{
    return attach(&in->fe, &in_ops, option, id, in, errp);
}

void filter_in_close(FilterIn *in)
{
    chardev_detach(&in->fe);
    g_clear_pointer(&in->message, g_free);
}

void filter_in_go_on(FilterIn *in)
{
    chardev_accept_input(&in->fe);
}
