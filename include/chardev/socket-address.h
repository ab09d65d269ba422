/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Socket addresses of options to sockets: for character devices and netdevs.
 *
 * Threads: machine lock.
 */
#ifndef CHARDEV_SOCKET_ADDRESS_H
#define CHARDEV_SOCKET_ADDRESS_H

#include "util/osdep.h"

#include <sys/socket.h>
#include <sys/stat.h>

#include "qapi/qapi-types.h"
#include "util/error.h"
#include "util/thread-annotations.h"

/* One address to bind or to connect to. */
typedef struct CharSocketTarget {
    struct sockaddr_storage *addr; /* owned */
    socklen_t len;
} CharSocketTarget;

/* A socket's file, to be removed at its end. Zero-filled: none. */
typedef struct CharSocketFile {
    char *path;
    dev_t dev; /* which file that was */
    ino_t ino;
} CharSocketFile;

/* Is @port, of @option, no number above 65535? The C library takes such ones
 * modulo 65536. It may be a service's name. */
bool char_socket_check_port(const char *option, const char *port, Error **errp);

/*
 * The addresses that @addr (inet or unix) stands for, in the order to try: a
 * GArray of CharSocketTarget that frees itself. Names are looked up now.
 * @passive: to listen on.
 */
GArray *char_socket_resolve(const SocketAddressLegacy *addr, bool passive,
                            Error **errp);
/* Binds to the first target that can be had, or its next ports up to the one
 * in @addr->...to, and listens: the fd, non-blocking. -1: an error. */
int char_socket_listen(const SocketAddressLegacy *addr, const GArray *targets,
                       Error **errp);
/* Begins to connect without waiting. The fd; -errno. *@pending: it is not
 * decided yet, wait for it to be writable. */
int char_socket_connect(const CharSocketTarget *target, bool *pending);
/* The socket that somebody else opened, by number or by getfd's name; the
 * caller's now. -1: an error. */
int char_socket_from_fd(const char *text, bool server, Error **errp)
    MAIN_THREAD;
/* "unix:PATH", "tcp:HOST:PORT", "fd:N" for people. Free with g_free(). */
char *char_socket_describe(const SocketAddressLegacy *addr, int fd);
/* "HOST:PORT" of the other end of a TCP connection; NULL: not TCP. */
char *char_socket_peer(int fd);

/* A socket that an earlier process left at the path of @addr is in the way:
 * removes it, but nothing else that may be there. */
void char_socket_clear_path(const UnixSocketAddress *addr);
/* Notes the file that was just bound to @addr, if it is a file. */
void char_socket_note_file(CharSocketFile *file, const UnixSocketAddress *addr);
/* Removes it, unless another has taken its place. */
void char_socket_remove_file(CharSocketFile *file);

#endif
