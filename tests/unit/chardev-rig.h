/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the tests of character devices share: a front-end that remembers what
 * came, a loop to turn, and peers.
 *
 * Threads: the test's one thread, which holds the machine lock.
 */
#ifndef TESTS_UNIT_CHARDEV_RIG_H
#define TESTS_UNIT_CHARDEV_RIG_H

#include "chardev/char.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"

/* How long to wait for what must come; the machine may be busy. */
#define PATIENCE_NS (60 * 1000000000LL)

typedef struct TestFe {
    ChardevFrontend fe;
    GString *input;
    GString *events; /* a letter each: Open, Close, Break, In, oUt */
    size_t room;     /* what can_read says */
    unsigned writable;
} TestFe;

extern const ChardevFrontendOps fe_ops;

/* Attaches @t, zeroed first, with room for @room bytes; its end; more room. */
void fe_attach(TestFe *t, Chardev *chr, size_t room) MAIN_THREAD;
void fe_detach(TestFe *t) MAIN_THREAD;
void fe_set_room(TestFe *t, size_t room) MAIN_THREAD;

/* Turns the loop until @condition holds. */
#define wait_until(condition)                             \
    do {                                                  \
        int64_t end_ = clock_now_ns() + PATIENCE_NS;      \
        while (!(condition)) {                            \
            g_assert_cmpint(clock_now_ns(), <, end_);     \
            event_loop_turn(main_loop(), 20 * 1000000LL); \
        }                                                 \
    } while (0)

/* A few turns in which nothing of interest should happen. */
void settle(void);

/* A Chardev from the text of -chardev, which must work; and its end. */
Chardev *new_opts(const char *fmt, ...) MAIN_THREAD G_GNUC_PRINTF(1, 2);
void remove_chardev(const char *id) MAIN_THREAD;

/* The path of a new directory; g_free() it. */
char *temp_dir(void);
void assert_file(const char *path, const char *content);

/* The other end: connects; writes all of @text; reads exactly @text. */
int peer_connect_unix(const char *path);
void peer_write(int fd, const char *text);
void peer_expect(int fd, const char *text);

#endif
