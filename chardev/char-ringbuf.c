/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -chardev ringbuf: memory that keeps the last bytes of output. */
#include "util/osdep.h"

#include "chardev/char-internal.h"
#include "system/machine-lock.h"

#define RINGBUF_DEFAULT (64 * KiB)
#define RINGBUF_MAX     (256 * MiB)

typedef struct RingbufChardev {
    Chardev parent;
    uint8_t *data;
    size_t size; /* a power of two */
    /* counted for ever; written - taken is at most size */
    uint64_t written, taken;
} RingbufChardev;

static bool ringbuf_open(Chardev *chr, const ChardevBackend *backend,
                         Error **errp)
{
    RingbufChardev *r = container_of(chr, RingbufChardev, parent);
    const ChardevRingbuf *config = backend->u.ringbuf.data;
    uint64_t size = RINGBUF_DEFAULT;

    if (backend->type == CHARDEV_BACKEND_KIND_MEMORY) {
        config = backend->u.memory.data;
    }
    if (config->has_size) {
        size = (uint64_t)config->size;
    }
    if (size == 0 || size > RINGBUF_MAX || (size & (size - 1)) != 0) {
        error_setg(errp,
                   "Parameter 'size' of chardev '%s' expects a power of two "
                   "from 1 to 256M, not '%" PRIu64 "'",
                   chr->id, size);
        return false;
    }
    r->size = size;
    r->data = g_malloc0(size);
    chr->open = true;
    return true;
}

static void ringbuf_close(Chardev *chr)
{
    RingbufChardev *r = container_of(chr, RingbufChardev, parent);

    g_free(r->data);
}

static size_t ringbuf_write(Chardev *chr, const uint8_t *buf, size_t len)
{
    RingbufChardev *r = container_of(chr, RingbufChardev, parent);

    for (size_t i = 0; i < len; i++) {
        r->data[r->written++ & (r->size - 1)] = buf[i];
    }
    if (r->written - r->taken > r->size) {
        r->taken = r->written - r->size;
    }
    return len;
}

const ChardevClass chardev_class_ringbuf = {
    .instance_size = sizeof(RingbufChardev),
    .open = ringbuf_open,
    .close = ringbuf_close,
    .write = ringbuf_write,
};

static RingbufChardev *to_ringbuf(Chardev *chr, Error **errp)
{
    if (chr->klass != &chardev_class_ringbuf) {
        error_setg(errp, "Chardev '%s' is not a ring buffer", chr->id);
        return NULL;
    }
    return container_of(chr, RingbufChardev, parent);
}

uint8_t *chardev_ringbuf_read(Chardev *chr, size_t max, size_t *len,
                              Error **errp)
{
    RingbufChardev *r = to_ringbuf(chr, errp);
    uint8_t *buf;

    if (!r) {
        return NULL;
    }
    *len = MIN(max, r->written - r->taken);
    buf = g_malloc(*len + 1);
    for (size_t i = 0; i < *len; i++) {
        buf[i] = r->data[r->taken++ & (r->size - 1)];
    }
    buf[*len] = '\0';
    return buf;
}

bool chardev_ringbuf_write(Chardev *chr, const void *buf, size_t len,
                           Error **errp)
{
    if (!to_ringbuf(chr, errp)) {
        return false;
    }
    ringbuf_write(chr, buf, len);
    return true;
}
