/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kinds of character device share. For chardev/ only.
 *
 * Threads: machine lock, as chardev/char.h says.
 */
#ifndef CHARDEV_CHAR_INTERNAL_H
#define CHARDEV_CHAR_INTERNAL_H

#include "chardev/char.h"
#include "chardev/socket-address.h"
#include "qapi/qapi-types.h"
#include "util/event-loop.h"

/* One kind of character device. Functions may be NULL where noted. */
typedef struct ChardevClass {
    size_t instance_size;
    /* Makes it ready. After false, close is called all the same. */
    bool (*open)(Chardev *chr, const ChardevBackend *backend, Error **errp);
    void (*close)(Chardev *chr); /* may be NULL */
    /* Takes 0..@len bytes; after fewer, chardev_be_writable() follows. */
    size_t (*write)(Chardev *chr, const uint8_t *buf, size_t len);
    /* can_read of a front-end may have changed; may be NULL. */
    void (*accept_input)(Chardev *chr, ChardevFrontend *fe);
    void (*set_echo)(Chardev *chr, bool echo); /* may be NULL */
    int (*take_fd)(Chardev *chr);              /* -1: none; may be NULL */
    int (*terminal_fd)(const Chardev *chr);    /* -1: none; may be NULL */
    /* As chardev/char.h says; NULL: no unix socket. */
    int (*peer_fd)(const Chardev *chr);
    bool (*passes_fds)(const Chardev *chr);
    bool (*wait_open)(Chardev *chr, int timeout_ms, Error **errp);
    void (*disconnect)(Chardev *chr);
    /* A mux's: a front-end comes (false: full), has gone; NULL for others,
     * which have one front-end at a time. */
    bool (*attach)(Chardev *chr, ChardevFrontend *fe, Error **errp);
    void (*detach)(Chardev *chr, ChardevFrontend *fe);
} ChardevClass;

struct Chardev {
    /* fixed after creation */
    const ChardevClass *klass;
    char *id;
    int log_fd; /* -1: no log */

    /* machine lock */
    struct Object *object; /* /chardevs/ID, of type chardev-KIND; NULL: none */
    char *filename;
    bool open; /* a peer is there */
    ChardevFrontend *frontends;
};

extern const ChardevClass chardev_class_file, chardev_class_mux,
    chardev_class_null, chardev_class_pipe, chardev_class_pty,
    chardev_class_ringbuf, chardev_class_socket, chardev_class_stdio;

/* ---- char-object.c ---- */

/* Puts an object that stands for @chr at /chardevs/ID; takes it away. */
void chardev_object_add(Chardev *chr, ChardevBackendKind kind) MAIN_THREAD;
void chardev_object_remove(Chardev *chr) MAIN_THREAD;

/* ---- for back-ends: what comes from the peer ---- */

/* How many bytes the front-end takes now; 0 without one. */
size_t chardev_be_can_read(const Chardev *chr);
/* Hands over bytes, no more than that. */
void chardev_be_read(Chardev *chr, const uint8_t *buf, size_t len);
/* Tells every front-end; OPENED and CLOSED set chr->open, and are not told
 * when it is so already. */
void chardev_be_event(Chardev *chr, ChardevEvent event);
/* Tells the front-ends that wait for room. */
void chardev_be_writable(Chardev *chr);

/* Replaces chr->filename. */
void chardev_set_filename(Chardev *chr, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* The Chardev below the mux @chr goes when the mux goes. */
void chardev_mux_own_base(Chardev *chr);
/* A break for the front-end of the mux @chr that has the keyboard. */
void chardev_mux_send_break(Chardev *chr);

/* ---- char-stream.c: bytes through file descriptors ---- */

typedef struct CharStream CharStream;

struct CharStream {
    /* fixed while started */
    Chardev *chr;
    int in_fd;  /* -1: no input */
    int out_fd; /* -1: output is dropped */
    /* Reads like read(2), result or -errno; NULL: read(2) itself. */
    ssize_t (*recv)(CharStream *s, void *buf, size_t len);
    /* Input has ended or failed; may call char_stream_stop(). */
    void (*hangup)(CharStream *s);
    /* The peer has gone, but its last bytes wait until the front-end has room;
     * hangup follows then. May come again; may be NULL. */
    void (*peer_gone)(CharStream *s);

    /* machine lock */
    FdWatch in_watch, out_watch;
    uint8_t *out; /* bytes that wait: CHARDEV_OUT_MAX, NULL until needed */
    size_t out_pos, out_len;
    bool in_ended; /* end of input was seen */
};

/*
 * Starts to move bytes; the caller filled in the first group and zeroed the
 * rest. The fds do not block, or are files. They stay the caller's.
 */
void char_stream_start(CharStream *s);
/* Stops; what waits is offered to the peer once more, then dropped. */
void char_stream_stop(CharStream *s);
bool char_stream_started(const CharStream *s);
size_t char_stream_write(CharStream *s, const uint8_t *buf, size_t len);
void char_stream_accept_input(CharStream *s);

/* ---- char-telnet.c ---- */

#define CHAR_TELNET_GREETING 12

/* One connection's side of the protocol; zeroed at its beginning. */
typedef struct CharTelnet {
    enum {
        TELNET_DATA,
        TELNET_COMMAND, /* behind IAC */
        TELNET_OPTION,  /* behind WILL and the like */
        TELNET_SUB,     /* in a subnegotiation */
        TELNET_SUB_COMMAND,
    } state;
    uint8_t verb;
    bool binary;   /* the peer sends CR as it is */
    bool after_cr; /* the last byte was CR */
    bool owed;     /* the second half of an escaped byte has yet to go out */
} CharTelnet;

/* What a connection begins with. */
extern const uint8_t char_telnet_greeting[CHAR_TELNET_GREETING];
/* Takes the protocol out of @len received bytes at @buf, in place: how many
 * are left. *@brk: a break was among them. */
size_t char_telnet_take(CharTelnet *t, uint8_t *buf, size_t len, bool *brk);
/* char_stream_write() with what the protocol needs. */
size_t char_telnet_write(CharTelnet *t, CharStream *s, const uint8_t *buf,
                         size_t len);

#endif
