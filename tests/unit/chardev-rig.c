/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of character devices share; see chardev-rig.h. */
#include "util/osdep.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "chardev-rig.h"

/* ---- a front-end that remembers ---- */

static size_t fe_can_read(void *opaque)
{
    return ((TestFe *)opaque)->room;
}

static void fe_read(void *opaque, const uint8_t *buf, size_t len)
{
    TestFe *t = opaque;

    g_assert_cmpuint(len, >, 0);
    g_assert_cmpuint(len, <=, t->room);
    t->room -= len;
    g_string_append_len(t->input, (const char *)buf, (gssize)len);
}

static void fe_event(void *opaque, ChardevEvent event)
{
    static const char letters[] = "OCBIU";

    g_string_append_c(((TestFe *)opaque)->events, letters[event]);
}

static void fe_writable(void *opaque)
{
    ((TestFe *)opaque)->writable++;
}

const ChardevFrontendOps fe_ops = {
    .can_read = fe_can_read,
    .read = fe_read,
    .event = fe_event,
    .writable = fe_writable,
};

void fe_attach(TestFe *t, Chardev *chr, size_t room)
{
    *t = (TestFe){ .input = g_string_new(NULL),
                   .events = g_string_new(NULL),
                   .room = room };
    g_assert_true(chardev_attach(&t->fe, chr, &fe_ops, t, NULL));
}

void fe_detach(TestFe *t)
{
    chardev_detach(&t->fe);
    g_string_free(t->input, TRUE);
    g_string_free(t->events, TRUE);
}

void fe_set_room(TestFe *t, size_t room)
{
    t->room = room;
    chardev_accept_input(&t->fe);
}

/* ---- the loop ---- */

/* A few turns in which nothing of interest should happen. */
void settle(void)
{
    for (int i = 0; i < 5; i++) {
        event_loop_turn(main_loop(), 2 * 1000000LL);
    }
}

Chardev *new_opts(const char *fmt, ...)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = NULL;
    Chardev *chr;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    chr = chardev_new_from_opts(text, &err);
    g_assert_no_error(err);
    g_assert_nonnull(chr);
    return chr;
}

void remove_chardev(const char *id)
{
    g_autoptr(GError) err = NULL;

    g_assert_true(chardev_remove(id, &err));
    g_assert_no_error(err);
}

char *temp_dir(void)
{
    char *dir = g_dir_make_tmp("chardev-XXXXXX", NULL);

    g_assert_nonnull(dir);
    return dir;
}

void assert_file(const char *path, const char *content)
{
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_assert_cmpstr(text, ==, content);
}

/* ---- peers ---- */

int peer_connect_unix(const char *path)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(un.sun_path, path, sizeof(un.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&un, sizeof(un)), ==, 0);
    return fd;
}

void peer_write(int fd, const char *text)
{
    g_assert_cmpint(write(fd, text, strlen(text)), ==, (int)strlen(text));
}

/* Reads exactly the length of @text and compares. */
void peer_expect(int fd, const char *text)
{
    size_t want = strlen(text);
    g_autofree char *buf = g_malloc0(want + 1);
    size_t got = 0;

    while (got < want) {
        struct pollfd pfd = { .fd = fd, .events = POLLIN };
        ssize_t n;

        g_assert_cmpint(poll(&pfd, 1, PATIENCE_NS / 1000000), ==, 1);
        n = read(fd, buf + got, want - got);
        g_assert_cmpint(n, >, 0);
        got += (size_t)n;
    }
    g_assert_cmpstr(buf, ==, text);
}
