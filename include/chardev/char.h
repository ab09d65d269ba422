/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Character devices: the host's end of serial ports and monitors. A Chardev
 * (stdio, a file, a socket...) has a name; a front-end (a UART, a monitor)
 * attaches to it and exchanges bytes and events with it.
 *
 * Input waits in the host until the front-end wants it: nothing is read that
 * can_read() did not ask for. Output never blocks: each Chardev keeps at most
 * CHARDEV_OUT_MAX bytes for a slow peer, and chardev_write() takes less than
 * offered when that is full; writable() tells of room. Output for a peer that
 * is not there is dropped, as on a cable that is not plugged in.
 *
 * Threads: the machine lock guards everything. "Main loop" functions touch
 * the loop's watches and are called by the main thread itself; the others may
 * also be called by a vCPU inside a register access. Callbacks run in the
 * main loop, but for those that a front-end provokes by its own call.
 */
#ifndef CHARDEV_CHAR_H
#define CHARDEV_CHAR_H

#include "util/error.h"

#define CHARDEV_OUT_MAX (64 * 1024)

typedef struct Chardev Chardev;
typedef struct ChardevBackend ChardevBackend; /* qapi/qapi-types.h */
typedef struct ChardevFrontend ChardevFrontend;

typedef enum ChardevEvent {
    CHARDEV_EVENT_OPENED,  /* a peer is there */
    CHARDEV_EVENT_CLOSED,  /* it has gone; bytes received earlier came first */
    CHARDEV_EVENT_BREAK,   /* the user sent a break */
    CHARDEV_EVENT_MUX_IN,  /* the keyboard is now this front-end's */
    CHARDEV_EVENT_MUX_OUT, /* and now another's */
} ChardevEvent;

/* What a front-end provides; each may be NULL. */
typedef struct ChardevFrontendOps {
    /* How many bytes it would take now. NULL: none, ever. */
    size_t (*can_read)(void *opaque);
    /* @len bytes, never more than can_read() said. */
    void (*read)(void *opaque, const uint8_t *buf, size_t len);
    void (*event)(void *opaque, ChardevEvent event);
    /* Room again after chardev_write() took less than it was offered. */
    void (*writable)(void *opaque);
    /* It can live with another Chardev in the place of the one it attached to
     * (chardev_change()): CLOSED and OPENED come as if a peer had changed. */
    bool hotswap;
} ChardevFrontendOps;

/* A front-end's side of the cable. Caller-allocated; zero-filled means not
 * attached. */
struct ChardevFrontend {
    /* machine lock */
    Chardev *chr;
    const ChardevFrontendOps *ops;
    void *opaque;
    bool want_writable;
    ChardevFrontend *next; /* of the same Chardev */
};

/*
 * Makes a Chardev from the text of -chardev: "socket,id=c0,path=/run/s", or
 * the same members as a JSON object. NULL and *errp on failure; NULL without
 * an error when the text asks for help ("help", "socket,help"), which is then
 * printed. Main loop.
 */
Chardev *chardev_new_from_opts(const char *text, Error **errp) MAIN_THREAD;

/*
 * The same in a machine that runs: a server waits for its peer only when @text
 * says so, and there is no help. With @change, the Chardev of that id gets the
 * new back-end (chardev_change()), and @text has no id. Main loop.
 */
Chardev *chardev_add_from_opts(const char *change, const char *text,
                               Error **errp) MAIN_THREAD;

/*
 * Makes a Chardev named @id from the text of -serial, -monitor, -qmp, -qtest:
 *   stdio | null | none | pty | ringbuf
 *   file:PATH | pipe:PATH
 *   unix:PATH[,server=on|off][,wait=on|off]...
 *   tcp:[HOST]:PORT[,server=on|off][,wait=on|off]...
 *   telnet:[HOST]:PORT...   the same for a telnet program
 *   mon:TEXT        the same, shared with a monitor (a mux)
 *   chardev:ID      the existing Chardev of that id
 * "none" is the caller's to know: there it means no device at all; here it is
 * the same as null. Main loop.
 */
Chardev *chardev_new_legacy(const char *id, const char *text, Error **errp)
    MAIN_THREAD;

/* Makes a Chardev from a QAPI ChardevBackend, as chardev-add does. Main loop.
 */
Chardev *chardev_new(const char *id, const ChardevBackend *backend,
                     Error **errp) MAIN_THREAD;

/*
 * Makes a Chardev from @backend that takes the place of the one of @id, with
 * its front-end if that allows it. The new one; NULL and *errp when it cannot
 * be had or cannot be changed: the old one stays then. Main loop.
 */
Chardev *chardev_change(const char *id, const ChardevBackend *backend,
                        Error **errp) MAIN_THREAD;

/* The path of a pty's slave side; NULL: not a pty. */
const char *chardev_pty_path(const Chardev *chr) MAIN_THREAD;

/* Sends a break to the front-ends; of a mux, to the one with the keyboard.
 * Main loop. */
void chardev_send_break(Chardev *chr) MAIN_THREAD;

/* Prints the back-ends that chardev_new_from_opts() knows on stdout. */
void chardev_print_help(void);

/* The Chardev of @id; NULL when there is none. */
Chardev *chardev_find(const char *id) MAIN_THREAD;

/* Closes and frees the Chardev of @id. False: unknown, or in use. Main loop. */
bool chardev_remove(const char *id, Error **errp) MAIN_THREAD;

/* Closes and frees all, front-ends attached or not: the end of the process
 * (the terminal is restored, socket paths are removed). Main loop. */
void chardev_cleanup(void) MAIN_THREAD;

/* Calls @func for each one, in the order they were made. */
void chardev_foreach(void (*func)(Chardev *chr, void *opaque), void *opaque)
    MAIN_THREAD;

/* Its id; and what query-chardev shows: "pty:/dev/pts/3", "unix:PATH,server=on"
 * with "disconnected:" before it while nobody is there. */
const char *chardev_label(const Chardev *chr);
const char *chardev_filename(const Chardev *chr) MAIN_THREAD;
bool chardev_is_open(const Chardev *chr) MAIN_THREAD;
bool chardev_has_frontend(const Chardev *chr) MAIN_THREAD;
bool chardev_is_mux(const Chardev *chr);
/* The process's terminal when @chr, or what a mux shares, is one for input and
 * output: an fd to ask for its size, which stays the Chardev's. -1: it is not.
 */
int chardev_terminal_fd(const Chardev *chr) MAIN_THREAD;

/*
 * Attaches @fe (idle, stays in place until detached) to @chr. Delivers OPENED
 * when a peer is there. False: the Chardev is taken (a mux takes four, of which
 * the first has the keyboard until the user moves it).
 * Main loop.
 */
bool chardev_attach(ChardevFrontend *fe, Chardev *chr,
                    const ChardevFrontendOps *ops, void *opaque, Error **errp)
    MAIN_THREAD;

/* Detaches @fe; no callback comes any more. Nothing if idle. Main loop. */
void chardev_detach(ChardevFrontend *fe) MAIN_THREAD;

/*
 * Sends bytes. Returns how many were taken, 0..@len; the rest is the caller's
 * to offer again after writable(). Without a Chardev, or without a peer, all
 * bytes are taken and dropped. Any holder of the machine lock.
 */
size_t chardev_write(ChardevFrontend *fe, const void *buf, size_t len)
    MAIN_THREAD;

/* Says that can_read() may have grown. Any holder of the machine lock. */
void chardev_accept_input(ChardevFrontend *fe) MAIN_THREAD;

/*
 * The oldest file descriptor that the peer passed over a unix socket and that
 * nobody took yet (at most 16 wait, further ones are closed): the caller owns
 * it. -1: none.
 */
int chardev_take_fd(ChardevFrontend *fe) MAIN_THREAD;

/*
 * For front-ends whose peer speaks in messages with file descriptors beside:
 * the connection itself, which stays the Chardev's until CLOSED; -1: there is
 * none. Such a front-end has no can_read() and reads and writes there.
 */
int chardev_peer_fd(const ChardevFrontend *fe) MAIN_THREAD;
/* True when the peer is one that can pass descriptors: a unix socket. */
bool chardev_passes_fds(const Chardev *chr) MAIN_THREAD;
/* Waits for a peer, @timeout_ms at most (-1: for ever). False and *errp: none
 * came, or none can. Main loop. */
bool chardev_wait_open(Chardev *chr, int timeout_ms, Error **errp) MAIN_THREAD;
/* Drops the peer, if there is one: CLOSED, and the next one may come. Main
 * loop.
 */
void chardev_disconnect(ChardevFrontend *fe) MAIN_THREAD;

/* Terminal echo of a stdio Chardev; nothing for others. Main loop. */
void chardev_set_echo(ChardevFrontend *fe, bool echo) MAIN_THREAD;

/* Called by a mux when the user types its quit key; set once by main(). */
void chardev_set_quit_handler(void (*func)(void));

/*
 * A ring buffer's content, for ringbuf-read: takes at most @max bytes out of
 * it, *@len says how many; g_free() the result. NULL: not a ring buffer. And
 * the opposite: puts bytes there.
 */
uint8_t *chardev_ringbuf_read(Chardev *chr, size_t max, size_t *len,
                              Error **errp) MAIN_THREAD;
bool chardev_ringbuf_write(Chardev *chr, const void *buf, size_t len,
                           Error **errp) MAIN_THREAD;

#endif
