/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * filter-replay: plays the frames of a capture into a subqueue's traffic, at
 * the distances in time that they had. Without a file it lets all frames pass:
 * machines are not recorded here.
 *
 * Threads: see net/filter.h.
 */
#include "util/osdep.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "filter-inject.h"
#include "net/pcap.h"
#include "util/fd.h"
#include "util/fdset.h"

#define FILE_MAX_BYTES (64u << 20)
#define FRAME_MAX_LEN  65536u

typedef struct FilterReplay {
    NetFilter f;

    /* fixed after complete */
    char *file;
    uint8_t *data;
    GArray *records; /* of PcapRecord */

    /* chain: of the one subqueue */
    guint next;
    bool playing;
    int64_t begin_ns; /* when the first frame was due, clock_now_ns() base */
    /* any thread, atomic */
    uint64_t played;
} FilterReplay;

#define REPLAY(o) OBJECT_CAST(FilterReplay, o)

static bool replay_handle(NetFilterQueue *q, int direction,
                          const NetFilterFrame *frame)
{
    return false;
}

static const PcapRecord *next_record(const FilterReplay *r)
{
    return r->records && r->next < r->records->len
               ? &g_array_index(r->records, PcapRecord, r->next)
               : NULL;
}

static int64_t replay_run(NetFilterQueue *q)
{
    FilterReplay *r = REPLAY(q->filter);
    const PcapRecord *record = next_record(r);
    int64_t now = clock_now_ns();

    if (record && !r->playing) {
        r->playing = true;
        r->begin_ns = now - record->ns;
    }
    for (unsigned room = net_filter_inject_room(q);
         record && r->begin_ns + record->ns <= now;
         record = next_record(r), room--) {
        if (room == 0) {
            return -1; /* it is called when there is some */
        }
        net_filter_inject(q, NULL, 0, r->data + record->offset, record->len);
        r->next++;
        __atomic_fetch_add(&r->played, 1, __ATOMIC_RELAXED);
    }
    return record ? r->begin_ns + record->ns : -1;
}

/* It stands still while the pair does. */
static void replay_release(NetFilterQueue *q)
{
    REPLAY(q->filter)->playing = false;
}

static bool read_file(FilterReplay *r, size_t *len, Error **errp) MAIN_THREAD
{
    int fd = fdset_open(r->file, O_RDONLY | O_NONBLOCK, 0, errp);
    struct stat st;
    ssize_t n = 1;

    if (fd < 0) {
        return false;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        st.st_size > FILE_MAX_BYTES) {
        error_setg(errp, "'%s' must be a regular file of at most %u MiB",
                   r->file, FILE_MAX_BYTES >> 20);
        fd_close(&fd);
        return false;
    }
    r->data = g_malloc((size_t)st.st_size + 1);
    for (*len = 0; n > 0 && *len < (size_t)st.st_size; *len += (size_t)n) {
        n = pread(fd, r->data + *len, (size_t)st.st_size - *len, (off_t)*len);
        if (n < 0) {
            error_setg_errno(errp, errno, "cannot read '%s'", r->file);
            fd_close(&fd);
            return false;
        }
    }
    fd_close(&fd);
    return true;
}

static NO_THREAD_SAFETY bool replay_setup(NetFilter *f, Error **errp)
{
    FilterReplay *r = REPLAY(f);
    unsigned skipped;
    size_t len;

    if (!r->file) {
        return true;
    }
    if (!read_file(r, &len, errp)) {
        error_prepend(errp, "file: ");
        return false;
    }
    r->records = g_array_new(FALSE, FALSE, sizeof(PcapRecord));
    if (!pcap_parse(r->data, len, FRAME_MAX_LEN, r->records, &skipped, errp)) {
        error_prepend(errp, "file: '%s' ", r->file);
        return false;
    }
    net_filter_drop(f, skipped);
    return true;
}

static void replay_cleanup(NetFilter *f)
{
    FilterReplay *r = REPLAY(f);

    g_clear_pointer(&r->records, g_array_unref);
    g_clear_pointer(&r->data, g_free);
}

static json_object *played_get(Object *obj, const Property *prop, Error **errp)
{
    return json_object_new_uint64(
        __atomic_load_n(&REPLAY(obj)->played, __ATOMIC_RELAXED));
}

static const PropertyInfo played_info = { .type = "uint64", .get = played_get };

static const Property replay_properties[] = {
    PROP_STRING("file", FilterReplay, file, "the capture, of format pcap"),
    { .name = "played",
      .info = &played_info,
      .description = "frames of the file that were sent" },
    PROP_END,
};

static void replay_class_init(ObjectClass *klass)
{
    NetFilterClass *fc = OBJECT_CLASS_CAST(NetFilterClass, klass);

    fc->needs_one_queue = true;
    fc->setup = replay_setup;
    fc->cleanup = replay_cleanup;
    fc->handle = replay_handle;
    fc->run = replay_run;
    fc->release = replay_release;
}

static const TypeInfo replay_types[] = {
    {
        .name = "filter-replay",
        .parent = TYPE_NETFILTER,
        .instance_size = sizeof(FilterReplay),
        .class_init = replay_class_init,
        .properties = replay_properties,
    },
};
DEFINE_TYPES(replay_types)
