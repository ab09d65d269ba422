/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * filter-dump: writes the frames that pass into a file.
 *
 * A pair appends to memory and goes on; a thread of the filter's own writes
 * what has come. So a slow disk costs no packet rate, but frames of the
 * capture: those for which the memory has no room are counted and left out.
 *
 * Time stamps are taken where the frame is appended, in that order: they never
 * go back, neither in a queue nor from one queue to the other.
 *
 * Threads: see net/filter.h; the writer has the file.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "net/filter.h"
#include "net/pcap.h"
#include "util/fd.h"
#include "util/fdset.h"

#define DEFAULT_FILE "qemu-vlan0.pcap"
#define WAITING_MAX  (16u << 20) /* bytes in memory */

typedef struct FilterDump {
    NetFilter f;

    /* fixed after complete */
    char *file;
    uint32_t maxlen;
    int format;  /* PcapFormat */
    bool opened; /* the rest is there */
    int fd;
    int stop_event; /* readable: nothing will come any more */
    pthread_t writer;

    GByteArray *written; /* writer: what it has taken */

    pthread_mutex_t lock; /* for the rest */
    pthread_cond_t came;
    GByteArray *waiting;
    bool ending, failed;
    int64_t last_ns; /* time of the last frame */
    unsigned n_interfaces;
    uint32_t interface[NET_MAX_QUEUES]; /* of each queue, plus 1; 0: none yet */
} FilterDump;

#define DUMP(o) OBJECT_CAST(FilterDump, o)

/* ---- pairs ---- */

static int64_t real_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* With the lock. The number of the subqueue in the file. */
static uint32_t interface_of(FilterDump *d, const NetSubqueue *sq)
{
    if (!d->interface[sq->index]) {
        g_autofree char *name =
            g_strdup_printf("%.128s.%u", sq->nc->name, sq->index);

        pcap_put_interface(d->waiting, d->format, name, d->maxlen);
        d->interface[sq->index] = ++d->n_interfaces;
    }
    return d->interface[sq->index] - 1;
}

static bool dump_handle(NetFilterQueue *q, int direction,
                        const NetFilterFrame *frame)
{
    FilterDump *d = DUMP(q->filter);
    size_t len = frame->len - frame->hdr_len;
    PcapFrame f = { .iov = frame->iov,
                    .n = frame->n,
                    .offset = frame->hdr_len,
                    .len = len,
                    .kept = MIN(len, d->maxlen),
                    .outbound = direction == NET_FILTER_RX };

    if (frame->len <= frame->hdr_len) {
        return false;
    }
    pthread_mutex_lock(&d->lock);
    if (d->failed || d->waiting->len + pcap_frame_size(&f) > WAITING_MAX) {
        net_filter_drop(q->filter, 1);
    } else {
        bool first = d->waiting->len == 0;

        f.interface = interface_of(d, q->sq);
        /* In order, also when somebody sets the clock back. */
        d->last_ns = MAX(d->last_ns, real_now_ns());
        f.ns = d->last_ns;
        pcap_put_frame(d->waiting, d->format, &f);
        if (first) {
            pthread_cond_signal(&d->came);
        }
    }
    pthread_mutex_unlock(&d->lock);
    return false;
}

/* ---- the writer ---- */

/* Waits until a file that is a pipe takes more; false: not worth while. */
static bool wait_for_room(FilterDump *d)
{
    struct pollfd fds[] = { { .fd = d->fd, .events = POLLOUT },
                            { .fd = d->stop_event, .events = POLLIN } };

    return poll(fds, 2, -1) >= 0 && fds[0].revents;
}

/* 0 or an errno. */
static int write_all(FilterDump *d, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(d->fd, data, len);

        if (n < 0 && errno == EAGAIN) {
            if (!wait_for_room(d)) {
                return ETIMEDOUT;
            }
        } else if (n < 0 && errno != EINTR) {
            return errno;
        } else if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

/* Takes what waits and gives an empty array for it; false: the end. */
static bool take(FilterDump *d)
{
    GByteArray *empty = d->written;

    g_byte_array_set_size(empty, 0);
    pthread_mutex_lock(&d->lock);
    while (d->waiting->len == 0 && !d->ending) {
        pthread_cond_wait(&d->came, &d->lock);
    }
    d->written = d->waiting;
    d->waiting = empty;
    pthread_mutex_unlock(&d->lock);
    return d->written->len > 0;
}

static void *writer(void *opaque)
{
    FilterDump *d = opaque;
    int error = 0;

    while (take(d)) {
        if (!error) {
            error = write_all(d, d->written->data, d->written->len);
        }
        if (error && error != ETIMEDOUT && !d->failed) {
            warn_report("filter-dump '%s': cannot write to '%s': %s; nothing "
                        "more is captured",
                        d->f.id, d->file, strerror(error));
            pthread_mutex_lock(&d->lock);
            d->failed = true;
            pthread_mutex_unlock(&d->lock);
        }
    }
    return NULL;
}

/* ---- main thread ---- */

static bool open_file(FilterDump *d, Error **errp) MAIN_THREAD
{
    const char *file = d->file ? d->file : DEFAULT_FILE;

    d->fd =
        fdset_open(file, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, 0644, errp);
    if (d->fd < 0) {
        error_prepend(errp, "file: ");
        return false;
    }
    if (!d->file) {
        d->file = g_strdup(file);
    }
    d->stop_event = eventfd_new(errp);
    return d->stop_event >= 0;
}

static bool start_writer(FilterDump *d, Error **errp)
{
    sigset_t all, old;
    int r;

    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->came, NULL);
    d->waiting = g_byte_array_new();
    d->written = g_byte_array_new();
    pcap_put_start(d->waiting, d->format, d->maxlen);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&d->writer, NULL, writer, d);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r) {
        error_setg_errno(errp, r, "cannot start a thread");
        g_byte_array_unref(d->waiting);
        g_byte_array_unref(d->written);
        return false;
    }
    pthread_setname_np(d->writer, "filter-dump");
    d->opened = true;
    return true;
}

static NO_THREAD_SAFETY bool dump_setup(NetFilter *f, Error **errp)
{
    FilterDump *d = DUMP(f);

    if (d->maxlen == 0) {
        error_setg(errp, "maxlen: must be 1 to %u bytes", UINT32_MAX);
        return false;
    }
    if (!open_file(d, errp) || !start_writer(d, errp)) {
        return false;
    }
    pthread_mutex_lock(&d->lock);
    for (unsigned i = 0; i < f->netdev->n_queues; i++) {
        if (net_filter_is_at(f, i)) {
            interface_of(d, &f->netdev->queue[i]);
        }
    }
    pthread_mutex_unlock(&d->lock);
    return true;
}

static void dump_cleanup(NetFilter *f)
{
    FilterDump *d = DUMP(f);

    if (d->opened) {
        pthread_mutex_lock(&d->lock);
        d->ending = true;
        pthread_cond_signal(&d->came);
        pthread_mutex_unlock(&d->lock);
        eventfd_signal(d->stop_event);
        pthread_join(d->writer, NULL);
        g_byte_array_unref(d->waiting);
        g_byte_array_unref(d->written);
        pthread_cond_destroy(&d->came);
        pthread_mutex_destroy(&d->lock);
    }
    fd_close(&d->fd);
    fd_close(&d->stop_event);
}

static void dump_init(Object *obj)
{
    DUMP(obj)->fd = DUMP(obj)->stop_event = -1;
}

/* In the order of PcapFormat. */
static const char *const format_names[] = { "pcap", "pcapng", NULL };

static const PropertyInfo format_info = {
    .type = "FilterDumpFormat",
    .get = prop_enum_get,
    .set = prop_enum_set,
    .set_default = prop_enum_default,
    .enum_values = format_names,
};

static const Property dump_properties[] = {
    PROP_STRING("file", FilterDump, file,
                "what is written to (" DEFAULT_FILE "); it is emptied before"),
    PROP_UINT32("maxlen", FilterDump, maxlen, 65536,
                "bytes that are kept of each frame, at most"),
    PROP_("format", FilterDump, format, format_info, PCAP_FORMAT_PCAP,
          "pcap, or pcapng: an interface a queue, nanoseconds"),
    PROP_END,
};

static void dump_class_init(ObjectClass *klass)
{
    NetFilterClass *fc = OBJECT_CLASS_CAST(NetFilterClass, klass);

    fc->setup = dump_setup;
    fc->cleanup = dump_cleanup;
    fc->handle = dump_handle;
}

static const TypeInfo dump_types[] = {
    {
        .name = "filter-dump",
        .parent = TYPE_NETFILTER,
        .instance_size = sizeof(FilterDump),
        .class_init = dump_class_init,
        .instance_init = dump_init,
        .properties = dump_properties,
    },
};
DEFINE_TYPES(dump_types)
