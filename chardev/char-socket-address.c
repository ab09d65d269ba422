/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Socket addresses of options to sockets: look-up, listen, connect. */
#include "util/osdep.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "chardev/socket-address.h"
#include "util/fd.h"
#include "util/fdset.h"

#define BACKLOG 1

static void target_clear(void *target)
{
    g_free(((CharSocketTarget *)target)->addr);
}

static void add_target(GArray *targets, const void *addr, socklen_t len)
{
    CharSocketTarget target = {
        .addr = g_malloc0(sizeof(struct sockaddr_storage)),
        .len = len,
    };

    memcpy(target.addr, addr, len);
    g_array_append_val(targets, target);
}

/* @path must leave room for a zero byte: before it, in the abstract space, or
 * behind it. */
static bool resolve_unix(const UnixSocketAddress *addr, GArray *targets,
                         Error **errp)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    bool abstract = addr->has_abstract && addr->abstract;
    bool tight = !addr->has_tight || addr->tight;
    size_t len = strlen(addr->path);

    if (len == 0 || len > sizeof(un.sun_path) - 1) {
        error_setg(errp,
                   "Parameter 'path' expects a socket path of 1 to %zu bytes, "
                   "not %zu",
                   sizeof(un.sun_path) - 1, len);
        return false;
    }
    memcpy(un.sun_path + abstract, addr->path, len);
    if (abstract && tight) {
        add_target(
            targets, &un,
            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len));
    } else {
        add_target(targets, &un, sizeof(un));
    }
    return true;
}

/* Which address family the ipv4 and ipv6 flags leave. */
static bool inet_family(const InetSocketAddress *addr, int *family,
                        Error **errp)
{
    bool want4 = addr->has_ipv4 && addr->ipv4;
    bool want6 = addr->has_ipv6 && addr->ipv6;
    bool refuse4 = addr->has_ipv4 ? !addr->ipv4 : want6;
    bool refuse6 = addr->has_ipv6 ? !addr->ipv6 : want4;

    if (refuse4 && refuse6) {
        error_setg(errp, "Parameters 'ipv4' and 'ipv6' must not both be off");
        return false;
    }
    *family = refuse6 ? AF_INET : refuse4 ? AF_INET6 : AF_UNSPEC;
    return true;
}

bool char_socket_check_port(const char *option, const char *port, Error **errp)
{
    char *end;
    gint64 value = g_ascii_strtoll(port, &end, 10); /* saturates */

    if (end != port && !*end && (value < 0 || value > UINT16_MAX)) {
        g_autofree char *shown = qapi_quote(port);

        error_setg(errp, "%s=%s: must be 0 to %u", option, shown, UINT16_MAX);
        return false;
    }
    return true;
}

static bool resolve_inet(const InetSocketAddress *addr, bool passive,
                         GArray *targets, Error **errp)
{
    struct addrinfo hints = {
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_ADDRCONFIG | (passive ? AI_PASSIVE : 0),
    };
    struct addrinfo *list;
    int rc;

    if (!inet_family(addr, &hints.ai_family, errp) ||
        !char_socket_check_port("port", addr->port, errp)) {
        return false;
    }
    rc =
        getaddrinfo(*addr->host ? addr->host : NULL, addr->port, &hints, &list);
    if (rc == EAI_ADDRFAMILY || rc == EAI_NONAME || rc == EAI_NODATA) {
        /* An address of a family that no interface has yet. */
        hints.ai_flags &= ~AI_ADDRCONFIG;
        rc = getaddrinfo(*addr->host ? addr->host : NULL, addr->port, &hints,
                         &list);
    }
    if (rc != 0) {
        g_autofree char *host = qapi_quote(addr->host);
        g_autofree char *port = qapi_quote(addr->port);

        error_setg(errp, "address '%s:%s': %s", host, port, gai_strerror(rc));
        return false;
    }
    for (struct addrinfo *ai = list; ai; ai = ai->ai_next) {
        add_target(targets, ai->ai_addr, ai->ai_addrlen);
    }
    freeaddrinfo(list);
    return true;
}

GArray *char_socket_resolve(const SocketAddressLegacy *addr, bool passive,
                            Error **errp)
{
    GArray *targets = g_array_new(FALSE, FALSE, sizeof(CharSocketTarget));
    bool ok;

    g_array_set_clear_func(targets, target_clear);
    if (addr->type == SOCKET_ADDRESS_TYPE_INET) {
        ok = resolve_inet(addr->u.inet.data, passive, targets, errp);
    } else {
        ok = resolve_unix(addr->u.q_unix.data, targets, errp);
    }
    if (!ok) {
        g_array_unref(targets);
        return NULL;
    }
    return targets;
}

static int new_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Binds one target and listens. The fd, or -1 and errno. */
static int listen_on(const CharSocketTarget *target, bool any_family)
{
    const struct sockaddr *addr = (const struct sockaddr *)target->addr;
    int one = 1;
    int v6only = !any_family;
    int fd = new_socket(addr->sa_family);

    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (addr->sa_family == AF_INET6) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
    }
    if (bind(fd, addr, target->len) < 0 || listen(fd, BACKLOG) < 0) {
        fd_close(&fd);
    }
    return fd;
}

static uint16_t inet_port(const CharSocketTarget *target)
{
    const struct sockaddr *addr = (const struct sockaddr *)target->addr;

    return ntohs(addr->sa_family == AF_INET6
                     ? ((const struct sockaddr_in6 *)target->addr)->sin6_port
                     : ((const struct sockaddr_in *)target->addr)->sin_port);
}

static void set_inet_port(CharSocketTarget *target, uint16_t port)
{
    struct sockaddr *addr = (struct sockaddr *)target->addr;

    if (addr->sa_family == AF_INET6) {
        ((struct sockaddr_in6 *)target->addr)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)target->addr)->sin_port = htons(port);
    }
}

static int listen_inet(const InetSocketAddress *addr, const GArray *targets)
{
    bool any_family = !addr->has_ipv4 && !addr->has_ipv6;
    int fd = -1;

    for (guint i = 0; i < targets->len && fd < 0; i++) {
        CharSocketTarget *target = &g_array_index(targets, CharSocketTarget, i);
        unsigned first = inet_port(target);
        unsigned last = addr->has_to ? MAX(addr->to, first) : first;

        for (unsigned port = first; port <= last && fd < 0; port++) {
            set_inet_port(target, (uint16_t)port);
            fd = listen_on(target, any_family);
        }
    }
    return fd;
}

static bool is_file(const UnixSocketAddress *addr)
{
    return !(addr->has_abstract && addr->abstract);
}

void char_socket_clear_path(const UnixSocketAddress *addr)
{
    struct stat st;

    if (is_file(addr) && lstat(addr->path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(addr->path);
    }
}

void char_socket_note_file(CharSocketFile *file, const UnixSocketAddress *addr)
{
    struct stat st;

    if (is_file(addr) && lstat(addr->path, &st) == 0) {
        file->path = g_strdup(addr->path);
        file->dev = st.st_dev;
        file->ino = st.st_ino;
    }
}

void char_socket_remove_file(CharSocketFile *file)
{
    struct stat st;

    if (file->path && lstat(file->path, &st) == 0 && st.st_dev == file->dev &&
        st.st_ino == file->ino) {
        unlink(file->path);
    }
    g_clear_pointer(&file->path, g_free);
}

static int listen_unix(const UnixSocketAddress *addr, const GArray *targets)
{
    char_socket_clear_path(addr);
    return listen_on(&g_array_index(targets, CharSocketTarget, 0), false);
}

int char_socket_listen(const SocketAddressLegacy *addr, const GArray *targets,
                       Error **errp)
{
    int fd = addr->type == SOCKET_ADDRESS_TYPE_INET
                 ? listen_inet(addr->u.inet.data, targets)
                 : listen_unix(addr->u.q_unix.data, targets);

    if (fd < 0) {
        int saved = errno;
        g_autofree char *name = char_socket_describe(addr, -1);

        error_setg_errno(errp, saved, "cannot listen on '%s'", name);
    }
    return fd;
}

int char_socket_connect(const CharSocketTarget *target, bool *pending)
{
    const struct sockaddr *addr = (const struct sockaddr *)target->addr;
    int fd = new_socket(addr->sa_family);

    *pending = false;
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, addr, target->len) < 0) {
        if (errno != EINPROGRESS) {
            fd_close(&fd);
            return -errno;
        }
        *pending = true;
    }
    return fd;
}

int char_socket_from_fd(const char *text, bool server, Error **errp)
{
    int fd = fd_from_text(text, "fd", errp);
    socklen_t len = sizeof(int);
    int listening;

    if (fd < 0) {
        return -1;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) < 0) {
        error_setg(errp, "Parameter 'fd' expects a socket, which %s is not",
                   text);
        return -1;
    }
    if (server && !listening && listen(fd, BACKLOG) < 0) {
        error_setg_errno(errp, errno, "cannot listen on fd %d", fd);
        return -1;
    }
    if (!server && listening) {
        error_setg(errp, "fd %d is a listening socket: it needs server=on", fd);
        return -1;
    }
    if (!fd_set_nonblock(fd, true, errp) || !fd_set_cloexec(fd, errp)) {
        return -1;
    }
    fd_text_taken(text);
    return fd;
}

/* "HOST:PORT" of @addr in numbers; NULL: not TCP. */
static char *inet_name(const struct sockaddr_storage *addr, socklen_t len)
{
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    bool v6 = addr->ss_family == AF_INET6;

    if ((!v6 && addr->ss_family != AF_INET) ||
        getnameinfo((const struct sockaddr *)addr, len, host, sizeof(host),
                    port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return NULL;
    }
    return g_strdup_printf(v6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* What the socket itself says it is bound to; NULL: nothing to tell. */
static char *describe_bound(int fd)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t len = sizeof(addr);
    g_autofree char *inet = NULL;

    if (getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
        return NULL;
    }
    if (addr.ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)&addr;
        int n = (int)strnlen(un->sun_path, sizeof(un->sun_path));

        return n ? g_strdup_printf("unix:%.*s", n, un->sun_path) : NULL;
    }
    inet = inet_name(&addr, len);
    return inet ? g_strdup_printf("tcp:%s", inet) : NULL;
}

char *char_socket_describe(const SocketAddressLegacy *addr, int fd)
{
    char *bound = NULL;

    switch (addr->type) {
    case SOCKET_ADDRESS_TYPE_INET:
        bound = fd >= 0 ? describe_bound(fd) : NULL;
        return bound ? bound
                     : g_strdup_printf("tcp:%s:%s", addr->u.inet.data->host,
                                       addr->u.inet.data->port);
    case SOCKET_ADDRESS_TYPE_UNIX:
        return g_strdup_printf("unix:%s", addr->u.q_unix.data->path);
    default:
        bound = fd >= 0 ? describe_bound(fd) : NULL;
        return bound ? bound : g_strdup_printf("fd:%s", addr->u.fd.data->str);
    }
}

char *char_socket_peer(int fd)
{
    struct sockaddr_storage addr = { 0 };
    socklen_t len = sizeof(addr);

    if (getpeername(fd, (struct sockaddr *)&addr, &len) < 0) {
        return NULL;
    }
    return inet_name(&addr, len);
}
