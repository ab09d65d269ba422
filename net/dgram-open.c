/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Datagram sockets: bound, joined to groups, or taken.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "dgram-internal.h"
#include "util/fd.h"
#include "util/fdset.h"

#define IN4(storage) ((const struct sockaddr_in *)(storage))

bool net_dgram_is_mcast(const struct sockaddr_storage *addr)
{
    return addr->ss_family == AF_INET &&
           IN_MULTICAST(ntohl(IN4(addr)->sin_addr.s_addr));
}

void net_dgram_describe(const struct sockaddr_storage *addr, char *text,
                        size_t size)
{
    char host[NI_MAXHOST] = "?", port[NI_MAXSERV] = "?";
    bool v6 = addr->ss_family == AF_INET6;

    getnameinfo((const struct sockaddr *)addr,
                v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in),
                host, sizeof(host), port, sizeof(port),
                NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(text, size, v6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* The first address of @addr that is of @family, AF_UNSPEC: IPv4 before
 * others. */
static bool resolve(const InetSocketAddress *addr, bool passive, int family,
                    struct sockaddr_storage *to, socklen_t *len, Error **errp)
{
    SocketAddressLegacy nested = { .type = SOCKET_ADDRESS_TYPE_INET };
    const CharSocketTarget *found = NULL;
    g_autoptr(GArray) targets = NULL;

    nested.u.inet.data = (InetSocketAddress *)addr;
    targets = char_socket_resolve(&nested, passive, errp);
    if (!targets) {
        return false;
    }
    for (guint i = 0; i < targets->len; i++) {
        const CharSocketTarget *target =
            &g_array_index(targets, CharSocketTarget, i);
        int is = target->addr->ss_family;

        if ((family == AF_UNSPEC && (!found || is == AF_INET)) ||
            (is == family && !found)) {
            found = target;
            family = is == AF_INET ? AF_INET : family;
        }
    }
    if (!found) {
        g_autofree char *host = qapi_quote(addr->host);

        error_setg(errp,
                   "address '%s:%s' has not the family of the other one "
                   "(IPv4 or IPv6)",
                   host, addr->port);
        return false;
    }
    *to = *found->addr;
    *len = found->len;
    return true;
}

bool net_dgram_resolve(const InetSocketAddress *addr,
                       struct sockaddr_storage *to, socklen_t *len,
                       Error **errp)
{
    return resolve(addr, false, AF_UNSPEC, to, len, errp);
}

/* A socket, bound. -1: an error that names it @what. */
static int bound(const void *addr, socklen_t len, const char *what,
                 Error **errp)
{
    int family = ((const struct sockaddr *)addr)->sa_family;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot make a datagram socket");
        return -1;
    }
    /* What other machines do: several on one host may have one group. */
    if (family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    }
    if (bind(fd, addr, len) < 0) {
        error_setg_errno(errp, errno, "cannot receive at '%s'", what);
        fd_close(&fd);
    }
    return fd;
}

bool net_dgram_open_inet(NetDgramSetup *setup, const InetSocketAddress *local,
                         Error **errp)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof(addr);
    char here[96], there[96];

    if (!resolve(local, true, setup->remote.ss_family, &addr, &len, errp)) {
        return false;
    }
    net_dgram_describe(&addr, here, sizeof(here));
    setup->fd = bound(&addr, len, here, errp);
    if (setup->fd < 0) {
        return false;
    }
    if (getsockname(setup->fd, (struct sockaddr *)&addr, &len) == 0) {
        net_dgram_describe(&addr, here, sizeof(here)); /* with its port */
    }
    net_dgram_describe(&setup->remote, there, sizeof(there));
    if (setup->type == NET_CLIENT_DRIVER_DGRAM) {
        snprintf(setup->info, sizeof(setup->info), "udp=%s/%s", here, there);
    } else {
        snprintf(setup->info, sizeof(setup->info), "socket: udp=%s", there);
    }
    return true;
}

bool net_dgram_resolve_unix(const UnixSocketAddress *addr,
                            struct sockaddr_storage *to, socklen_t *len,
                            Error **errp)
{
    SocketAddressLegacy nested = { .type = SOCKET_ADDRESS_TYPE_UNIX };
    g_autoptr(GArray) targets = NULL;

    nested.u.q_unix.data = (UnixSocketAddress *)addr;
    targets = char_socket_resolve(&nested, false, errp);
    if (!targets) {
        return false;
    }
    *to = *g_array_index(targets, CharSocketTarget, 0).addr;
    *len = g_array_index(targets, CharSocketTarget, 0).len;
    return true;
}

bool net_dgram_open_unix(NetDgramSetup *setup, const UnixSocketAddress *local,
                         const UnixSocketAddress *remote, Error **errp)
{
    struct sockaddr_storage addr;
    socklen_t len;

    if (!net_dgram_resolve_unix(local, &addr, &len, errp)) {
        return false;
    }
    char_socket_clear_path(local);
    setup->fd = bound(&addr, len, local->path, errp);
    if (setup->fd < 0) {
        return false;
    }
    char_socket_note_file(&setup->file, local);
    snprintf(setup->info, sizeof(setup->info), "udp=%.90s:%.90s", local->path,
             remote->path);
    return true;
}

/* ---- groups ---- */

bool net_dgram_open_mcast(NetDgramSetup *setup, const char *local, Error **errp)
{
    struct ip_mreq group = { .imr_multiaddr = IN4(&setup->remote)->sin_addr };
    bool old = setup->type == NET_CLIENT_DRIVER_SOCKET;
    int one = 1;
    char text[96];

    if (local && inet_pton(AF_INET, local, &group.imr_interface) != 1) {
        g_autofree char *shown = qapi_quote(local);

        error_setg(errp,
                   "Parameter '%s' expects the IPv4 address of an "
                   "interface, not '%s'",
                   old ? "localaddr" : "local.host", shown);
        return false;
    }
    net_dgram_describe(&setup->remote, text, sizeof(text));
    snprintf(setup->info, sizeof(setup->info), "%smcast=%s",
             old ? "socket: " : "", text);
    setup->fd = bound(&setup->remote, setup->remote_len, text, errp);
    if (setup->fd < 0) {
        return false;
    }
    /* With others on this host: they shall see our frames. */
    if (setsockopt(setup->fd, IPPROTO_IP, IP_MULTICAST_LOOP, &one,
                   sizeof(one)) < 0 ||
        setsockopt(setup->fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group,
                   sizeof(group)) < 0 ||
        (local &&
         setsockopt(setup->fd, IPPROTO_IP, IP_MULTICAST_IF,
                    &group.imr_interface, sizeof(group.imr_interface)) < 0)) {
        error_setg_errno(errp, errno, "cannot join the group '%s'", text);
        fd_close(&setup->fd);
        return false;
    }
    return true;
}

/* ---- open sockets ---- */

bool net_dgram_open_fd(NetDgramSetup *setup, const char *text, Error **errp)
{
    struct sockaddr_storage addr;
    socklen_t type_len = sizeof(int), len = sizeof(addr);
    int fd = fd_from_text(text, "fd", errp);
    int type;

    if (fd < 0) {
        return false;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 ||
        type != SOCK_DGRAM ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
        error_setg(errp,
                   "Parameter 'fd' expects a datagram socket, which %s is not",
                   text);
        return false;
    }
    if (setup->remote_len && addr.ss_family != setup->remote.ss_family) {
        error_setg(errp, "fd %s and remote are not of the same family", text);
        return false;
    }
    len = sizeof(addr);
    if (!setup->remote_len &&
        getpeername(fd, (struct sockaddr *)&addr, &len) < 0) {
        error_setg(errp,
                   "fd %s is not connected; connect it, or say with "
                   "remote where frames go",
                   text);
        return false;
    }
    if (!fd_set_nonblock(fd, true, errp) || !fd_set_cloexec(fd, errp)) {
        return false;
    }
    fd_text_taken(text);
    setup->fd = fd;
    snprintf(setup->info, sizeof(setup->info), "%sfd=%d",
             setup->type == NET_CLIENT_DRIVER_SOCKET ? "socket: " : "", fd);
    return true;
}
