/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Frames in datagrams, over one socket for the whole life of the netdev.
 *
 * Threads: under the machine lock.
 */
#ifndef NET_DGRAM_INTERNAL_H
#define NET_DGRAM_INTERNAL_H

#include "chardev/socket-address.h"
#include "net/clients.h"

/* A socket on its way to a netdev. */
typedef struct NetDgramSetup {
    const char *id;
    NetClientDriver type; /* dgram or socket */
    int fd;               /* non-blocking; the netdev's in the end */
    struct sockaddr_storage remote;
    socklen_t remote_len; /* 0: fd is connected */
    CharSocketFile file;  /* of the local end; the netdev's in the end */
    char info[200];       /* for `info network` */
} NetDgramSetup;

/* ---- dgram-io.c ---- */

/* Makes and registers a netdev. In any case fd and file have been taken. */
bool net_dgram_create(NetDgramSetup *setup, Error **errp) MAIN_THREAD;

/* ---- dgram-open.c: fd, file and info of @setup, which has the remote address
 * already, or false ---- */

/* Receives at @local, IPv4 or IPv6 as the remote address is; from anybody. */
bool net_dgram_open_inet(NetDgramSetup *setup, const InetSocketAddress *local,
                         Error **errp);
/* The same; @remote is for people. */
bool net_dgram_open_unix(NetDgramSetup *setup, const UnixSocketAddress *local,
                         const UnixSocketAddress *remote, Error **errp);
/* The group that the remote address is (IPv4), by the interface whose address
 * @local is; NULL: the kernel chooses. */
bool net_dgram_open_mcast(NetDgramSetup *setup, const char *local,
                          Error **errp);
/* An open socket, by number or getfd's name. */
bool net_dgram_open_fd(NetDgramSetup *setup, const char *text, Error **errp)
    MAIN_THREAD;
/* Looks @addr up, an IPv4 address if there is one. */
bool net_dgram_resolve(const InetSocketAddress *addr,
                       struct sockaddr_storage *to, socklen_t *len,
                       Error **errp);
bool net_dgram_resolve_unix(const UnixSocketAddress *addr,
                            struct sockaddr_storage *to, socklen_t *len,
                            Error **errp);
/* True: the address is a group's. */
bool net_dgram_is_mcast(const struct sockaddr_storage *addr);
/* "HOST:PORT". */
void net_dgram_describe(const struct sockaddr_storage *addr, char *text,
                        size_t size);

#endif
