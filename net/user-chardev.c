/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -netdev user,guestfwd=...-CHARDEV: a port of the guest's network that is a
 * character device of the host. Bytes pass between libslirp's thread and the
 * main loop through two buffers.
 *
 * The library cannot be told that the device takes no more. While a device has
 * not taken what the guest sent it, the thread takes no more frames from the
 * guest: the pair waits for room, as at any slow back-end.
 *
 * Threads: main thread, but for those marked.
 */
#include "util/osdep.h"

#include "chardev/char.h"
#include "system/main-loop.h"
#include "user-internal.h"

#define TO_DEVICE_MAX   (64 * KiB) /* then the guest has to wait */
#define FROM_DEVICE_MAX (64 * KiB)

struct UserChardev {
    /* fixed */
    UserState *s;
    struct in_addr addr;
    int port;
    bool own; /* made for this */
    LoopTask task;

    /* main thread */
    ChardevFrontend fe;

    pthread_mutex_t lock; /* for the rest */
    GByteArray *to_device, *from_device;
};

/* ---- libslirp's thread ---- */

/* What the guest sent; the library takes it for sent, whatever we say. */
static ssize_t from_guest(const void *buf, size_t len, void *opaque)
{
    UserChardev *c = opaque;

    pthread_mutex_lock(&c->lock);
    g_byte_array_append(c->to_device, buf, (guint)len);
    pthread_mutex_unlock(&c->lock);
    loop_task_schedule(&c->task);
    return (ssize_t)len;
}

bool user_chardevs_full(UserState *s)
{
    bool full = false;

    for (unsigned i = 0; !full && i < s->chardevs->len; i++) {
        UserChardev *c = g_ptr_array_index(s->chardevs, i);

        pthread_mutex_lock(&c->lock);
        full = c->to_device->len >= TO_DEVICE_MAX;
        pthread_mutex_unlock(&c->lock);
    }
    return full;
}

static void to_guest(UserChardev *c)
{
    UserState *s = c->s;
    size_t room = s->lib->can_recv(s->slirp, c->addr, c->port);
    guint n;

    pthread_mutex_lock(&c->lock);
    n = (guint)MIN(room, c->from_device->len);
    if (n) {
        s->lib->recv(s->slirp, c->addr, c->port, c->from_device->data, (int)n);
        g_byte_array_remove_range(c->from_device, 0, n);
    }
    pthread_mutex_unlock(&c->lock);
    if (n) {
        loop_task_schedule(&c->task);
    }
}

void user_chardevs_run(UserState *s)
{
    for (unsigned i = 0; i < s->chardevs->len; i++) {
        to_guest(g_ptr_array_index(s->chardevs, i));
    }
}

/* ---- main thread ---- */

/* Moves what the device takes; reads on where there is room again. */
static void MAIN_THREAD run(void *opaque)
{
    UserChardev *c = opaque;
    size_t n;

    pthread_mutex_lock(&c->lock);
    n = chardev_write(&c->fe, c->to_device->data, c->to_device->len);
    g_byte_array_remove_range(c->to_device, 0, (guint)n);
    pthread_mutex_unlock(&c->lock);
    user_thread_kick(c->s);
    chardev_accept_input(&c->fe);
}

static size_t can_read(void *opaque)
{
    UserChardev *c = opaque;
    size_t room;

    pthread_mutex_lock(&c->lock);
    room = FROM_DEVICE_MAX - c->from_device->len;
    pthread_mutex_unlock(&c->lock);
    return room;
}

static void read_bytes(void *opaque, const uint8_t *buf, size_t len)
{
    UserChardev *c = opaque;

    pthread_mutex_lock(&c->lock);
    g_byte_array_append(c->from_device, buf, (guint)len);
    pthread_mutex_unlock(&c->lock);
    user_thread_kick(c->s);
}

static void MAIN_THREAD writable(void *opaque)
{
    run(opaque);
}

static const ChardevFrontendOps frontend_ops = {
    .can_read = can_read,
    .read = read_bytes,
    .writable = writable,
};

static void MAIN_THREAD chardev_close(UserChardev *c)
{
    g_autofree char *label =
        c->own && c->fe.chr ? g_strdup(chardev_label(c->fe.chr)) : NULL;

    chardev_detach(&c->fe);
    loop_task_cancel(&c->task);
    if (label) {
        chardev_remove(label, NULL);
    }
    g_byte_array_unref(c->to_device);
    g_byte_array_unref(c->from_device);
    pthread_mutex_destroy(&c->lock);
    g_free(c);
}

bool user_chardev_add(UserState *s, const char *text, struct in_addr addr,
                      int port, Error **errp)
{
    g_autofree char *id = g_strdup_printf("guestfwd.tcp.%d", port);
    Chardev *chr = chardev_new_legacy(id, text, errp);
    UserChardev *c;

    if (!chr) {
        return false;
    }
    c = g_new0(UserChardev, 1);
    *c = (UserChardev){ .s = s,
                        .addr = addr,
                        .port = port,
                        .own = !g_str_has_prefix(text, "chardev:"),
                        .to_device = g_byte_array_new(),
                        .from_device = g_byte_array_new() };
    pthread_mutex_init(&c->lock, NULL);
    loop_task_init(&c->task, main_loop(), run, c);
    if (!chardev_attach(&c->fe, chr, &frontend_ops, c, errp)) {
        if (c->own) {
            chardev_remove(id, NULL);
        }
        chardev_close(c);
        return false;
    }
    g_ptr_array_add(s->chardevs, c);
    if (s->lib->add_guestfwd(s->slirp, from_guest, c, &c->addr, port) < 0) {
        error_setg(errp, "guestfwd: that address is the network's own; choose "
                         "another one");
        return false;
    }
    return true;
}

void user_chardevs_close(UserState *s)
{
    for (unsigned i = 0; i < s->chardevs->len; i++) {
        chardev_close(g_ptr_array_index(s->chardevs, i));
    }
    g_clear_pointer(&s->chardevs, g_ptr_array_unref);
}
