/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * filter-mirror: a copy of each frame to a Chardev. filter-redirector: the
 * frames themselves, and frames from a Chardev into the netdev's traffic.
 *
 * On a netdev of several queues, the frames of a flow from indev all go to one
 * of those that the filter is at, chosen by their hash: they stay in order.
 *
 * Threads: see net/filter.h; Chardevs are the main thread's.
 */
#include "util/osdep.h"

#include "filter-inject.h"
#include "filter-stream.h"
#include "net/rss.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"

#define IN_FRAMES 2048u
#define IN_READY  512u /* fewer wait: more may come */
#define IN_BYTES  (16u << 20)
#define IN_BURST  64u

typedef struct FilterMirror {
    NetFilter f;

    /* fixed after complete */
    char *indev, *outdev;
    bool vnet_hdr_support;
    bool redirects;
    RssConfig *hash; /* how frames of indev are dealt out */

    FilterOut out;
    FilterIn in;
    LoopTask more_task; /* there is room for frames of indev */
} FilterMirror;

typedef struct MirrorQueue {
    NetFilterQueue q;

    /* main thread: set before the first frame comes */
    NetFrameQueue *in; /* header of VNET bytes and frame; NULL: none so far */
    uint8_t *frame;    /* chain: FILTER_STREAM_HEADER + _FRAME bytes */
} MirrorQueue;

#define MIRROR(o)       OBJECT_CAST(FilterMirror, o)
#define MIRROR_QUEUE(p) container_of(p, MirrorQueue, q)
#define VNET            10u /* bytes of the header that say something */

static bool mirror_handle(NetFilterQueue *q, int direction,
                          const NetFilterFrame *frame)
{
    FilterMirror *m = MIRROR(q->filter);

    if (!m->out.open) {
        return false;
    }
    if (!filter_out_put(&m->out, frame)) {
        net_filter_drop(q->filter, 1);
    }
    return m->redirects;
}

/* ---- from indev ---- */

static int64_t redirector_run(NetFilterQueue *q)
{
    MirrorQueue *mq = MIRROR_QUEUE(q);
    NetFrameQueue *in = __atomic_load_n(&mq->in, __ATOMIC_ACQUIRE);
    unsigned room = in ? MIN(net_filter_inject_room(q), IN_BURST) : 0;
    unsigned n;

    for (n = 0; n < room; n++) {
        struct iovec iov = { mq->frame, VNET + FILTER_STREAM_FRAME };
        ssize_t len = net_frame_queue_get(in, &iov, 1, 0);

        if (len <= (ssize_t)VNET) {
            break;
        }
        net_filter_inject(q, mq->frame, VNET, mq->frame + VNET,
                          (size_t)len - VNET);
    }
    if (n) {
        loop_task_schedule(&MIRROR(q->filter)->more_task);
    }
    /* Without room, it is called when there is some. */
    return n && n == room && net_filter_inject_room(q) ? 0 : -1;
}

static void more(void *opaque)
{
    FilterMirror *m = opaque;

    machine_lock_assert();
    filter_in_go_on(&m->in);
}

/* The first subqueues of the netdev, which a pair serves: the driver may use
 * fewer than there are. */
static unsigned served_queues(const NetClientState *netdev) MAIN_THREAD
{
    unsigned n = 1;

    while (n < netdev->n_queues && netdev->queue[n].enabled) {
        n++;
    }
    return n;
}

/* The subqueue, of those the filter is at, for a frame. */
static MirrorQueue *choose_queue(FilterMirror *m, const FilterInFrame *frame)
    MAIN_THREAD
{
    NetFilter *f = &m->f;
    unsigned index = 0, n = served_queues(f->netdev);

    if (f->queue_index >= 0) {
        index = (unsigned)f->queue_index;
    } else if (n > 1) {
        index = rss_hash(m->hash, frame->data, frame->len).value % n;
    }
    return MIRROR_QUEUE(f->queues[index]);
}

/* Does a pair take what waits at subqueue @index? What waits at one that it
 * does not take from, any more, is not to keep the others. */
static bool is_served(const FilterMirror *m, unsigned index) MAIN_THREAD
{
    return m->f.queue_index >= 0 || index < served_queues(m->f.netdev);
}

static void make_ready(MirrorQueue *mq)
{
    if (!mq->in) {
        mq->frame = g_malloc(VNET + FILTER_STREAM_FRAME);
        __atomic_store_n(&mq->in,
                         net_frame_queue_new(IN_FRAMES, IN_BYTES, NULL, NULL),
                         __ATOMIC_RELEASE);
    }
}

static NO_THREAD_SAFETY void frame_came(void *opaque,
                                        const FilterInFrame *frame)
{
    FilterMirror *m = opaque;
    uint8_t hdr[VNET] = { 0 };
    struct iovec iov[] = { { hdr, VNET }, { (void *)frame->data, frame->len } };
    MirrorQueue *mq;

    memcpy(hdr, frame->hdr, MIN(frame->hdr_len, VNET));
    if (!net_filter_header_ok(hdr, VNET, frame->len)) {
        net_filter_drop(&m->f, 1);
        return;
    }
    mq = choose_queue(m, frame);
    make_ready(mq);
    if (!net_frame_queue_put(mq->in, iov, ARRAY_SIZE(iov), 0)) {
        net_filter_drop(&m->f, 1);
    }
    net_filter_wake_from_outside(&mq->q);
}

/* Frames of one queue that is full hold up those of the others, as on a wire.
 */
static NO_THREAD_SAFETY bool frames_may_come(void *opaque)
{
    FilterMirror *m = opaque;

    for (unsigned i = 0; i < m->f.n_queues; i++) {
        MirrorQueue *mq = m->f.queues[i] ? MIRROR_QUEUE(m->f.queues[i]) : NULL;

        if (mq && mq->in && !is_served(m, i)) {
            net_filter_drop(&m->f, net_frame_queue_clear(mq->in));
        } else if (mq && mq->in && net_frame_queue_length(mq->in) >= IN_READY) {
            return false;
        }
    }
    return true;
}

/* ---- main thread ---- */

static NO_THREAD_SAFETY bool mirror_setup(NetFilter *f, Error **errp)
{
    FilterMirror *m = MIRROR(f);

    if (!m->outdev) {
        error_setg(errp, "Parameter 'outdev' is missing");
        return false;
    }
    return filter_out_open(&m->out, "outdev", m->outdev, m->vnet_hdr_support,
                           errp);
}

static void open_hash(FilterMirror *m)
{
    /* Both directions of a flow have the same hash by it. */
    uint8_t key[RSS_KEY_MAX];

    for (unsigned i = 0; i < sizeof(key); i++) {
        key[i] = i % 2 ? 0x5a : 0x6d;
    }
    m->hash = g_new0(RssConfig, 1);
    m->hash->hash_types = RSS_HASH_TYPES;
    rss_set_key(m->hash, key, sizeof(key));
}

static NO_THREAD_SAFETY bool redirector_setup(NetFilter *f, Error **errp)
{
    FilterMirror *m = MIRROR(f);

    if (!m->indev && !m->outdev) {
        error_setg(errp, "indev, outdev: at least one of them must be given");
        return false;
    }
    if (m->indev && m->outdev && strcmp(m->indev, m->outdev) == 0) {
        error_setg(errp, "indev and outdev are both '%s': must be two chardevs",
                   m->indev);
        return false;
    }
    m->redirects = true;
    if (m->outdev && !filter_out_open(&m->out, "outdev", m->outdev,
                                      m->vnet_hdr_support, errp)) {
        return false;
    }
    if (!m->indev) {
        return true;
    }
    open_hash(m);
    loop_task_init(&m->more_task, main_loop(), more, m);
    m->in.vnet_hdr = m->vnet_hdr_support;
    m->in.owner = f->id;
    m->in.ready = frames_may_come;
    m->in.frame = frame_came;
    m->in.opaque = m;
    return filter_in_open(&m->in, "indev", m->indev, errp);
}

static NO_THREAD_SAFETY void mirror_cleanup(NetFilter *f)
{
    FilterMirror *m = MIRROR(f);

    filter_out_close(&m->out);
    filter_in_close(&m->in);
    if (m->hash) {
        loop_task_cancel(&m->more_task);
        g_free(m->hash);
    }
    for (unsigned i = 0; i < f->n_queues; i++) {
        if (f->queues[i]) {
            MirrorQueue *mq = MIRROR_QUEUE(f->queues[i]);

            net_frame_queue_free(mq->in);
            g_free(mq->frame);
        }
    }
}

static const Property mirror_properties[] = {
    PROP_STRING("outdev", FilterMirror, outdev, "chardev that frames go to"),
    PROP_BOOL("vnet_hdr_support", FilterMirror, vnet_hdr_support, false,
              "frames have their virtio-net header, and its length, before "
              "them"),
    PROP_END,
};

static const Property redirector_properties[] = {
    PROP_STRING("indev", FilterMirror, indev, "chardev that frames come from"),
    PROP_STRING("outdev", FilterMirror, outdev, "chardev that frames go to"),
    PROP_BOOL("vnet_hdr_support", FilterMirror, vnet_hdr_support, false,
              "frames have their virtio-net header, and its length, before "
              "them"),
    PROP_END,
};

static void mirror_class_init(ObjectClass *klass)
{
    NetFilterClass *fc = OBJECT_CLASS_CAST(NetFilterClass, klass);

    fc->queue_size = sizeof(MirrorQueue);
    fc->setup = mirror_setup;
    fc->cleanup = mirror_cleanup;
    fc->handle = mirror_handle;
}

static void redirector_class_init(ObjectClass *klass)
{
    NetFilterClass *fc = OBJECT_CLASS_CAST(NetFilterClass, klass);

    mirror_class_init(klass);
    fc->setup = redirector_setup;
    fc->run = redirector_run;
}

static const TypeInfo mirror_types[] = {
    {
        .name = "filter-mirror",
        .parent = TYPE_NETFILTER,
        .instance_size = sizeof(FilterMirror),
        .class_init = mirror_class_init,
        .properties = mirror_properties,
    },
    {
        .name = "filter-redirector",
        .parent = TYPE_NETFILTER,
        .instance_size = sizeof(FilterMirror),
        .class_init = redirector_class_init,
        .properties = redirector_properties,
    },
};
DEFINE_TYPES(mirror_types)
