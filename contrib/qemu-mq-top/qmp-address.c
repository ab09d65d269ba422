/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "contrib/qemu-mq-top/qmp-address.h"

/* How long an address of a host that has others is given to answer. */
#define NEXT_ADDRESS_MS 1000

static int connect_to(int family, const struct sockaddr *addr, socklen_t len,
                      bool *connected)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int error;

    if (fd < 0) {
        return -1;
    }
    *connected = connect(fd, addr, len) == 0;
    if (!*connected && errno != EINPROGRESS) {
        error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int connect_unix(const char *path, bool *connected, Error **errp)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(addr.sun_path)) {
        error_setg(errp, "the path of the socket is longer than %zu bytes",
                   sizeof(addr.sun_path) - 1);
        return -1;
    }
    strcpy(addr.sun_path, path);
    fd = connect_to(AF_UNIX, (const struct sockaddr *)&addr, sizeof(addr),
                    connected);
    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot connect to '%s'", path);
    }
    return fd;
}

/* @text is HOST:PORT or [HOST]:PORT; splits it in place. */
static bool split_host(char *text, const char **host, const char **port)
{
    char *colon = strrchr(text, ':');
    size_t len;

    if (!colon || colon == text || !colon[1]) {
        return false;
    }
    *colon = '\0';
    *port = colon + 1;
    *host = text;
    len = strlen(text);
    if (text[0] == '[' && text[len - 1] == ']') {
        text[len - 1] = '\0';
        *host = text + 1;
    } else if (strchr(text, ':')) {
        return false;
    }
    return **host != '\0';
}

/* Waits for what became of connect_to(): a host's next address is tried when
 * nobody listens at this one. False with errno set. */
static bool answers(int fd, bool *connected)
{
    struct pollfd pfd = { .fd = fd, .events = POLLOUT };
    int error = ETIMEDOUT;
    socklen_t len = sizeof(error);

    if (!*connected && poll(&pfd, 1, NEXT_ADDRESS_MS) > 0 &&
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0) {
        *connected = error == 0;
    }
    errno = error;
    return *connected;
}

static int connect_list(const struct addrinfo *list, bool *connected)
{
    for (const struct addrinfo *a = list; a; a = a->ai_next) {
        int fd = connect_to(a->ai_family, a->ai_addr, a->ai_addrlen, connected);

        if (fd >= 0 && (!a->ai_next || answers(fd, connected))) {
            return fd;
        }
        if (fd >= 0) {
            close(fd);
        }
    }
    return -1;
}

static int connect_tcp(const char *where, bool *connected, Error **errp)
{
    g_autofree char *text = g_strdup(where);
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
    const char *host, *port;
    int r, fd;

    if (!split_host(text, &host, &port)) {
        error_setg(errp,
                   "'%s' is no HOST:PORT, [IPV6-ADDRESS]:PORT or path "
                   "of a socket",
                   where);
        return -1;
    }
    r = getaddrinfo(host, port, &hints, &list);
    if (r) {
        error_setg(errp, "'%s': %s", where, gai_strerror(r));
        return -1;
    }
    fd = connect_list(list, connected);
    if (fd < 0) {
        error_setg_errno(errp, errno, "cannot connect to '%s'", where);
    }
    freeaddrinfo(list);
    return fd;
}

static bool is_path(const char *address)
{
    struct stat st;

    return strchr(address, '/') || !strchr(address, ':') ||
           (stat(address, &st) == 0 && S_ISSOCK(st.st_mode));
}

int qmp_address_connect(const char *address, bool *connected, Error **errp)
{
    if (g_str_has_prefix(address, "unix:")) {
        return connect_unix(address + strlen("unix:"), connected, errp);
    }
    if (g_str_has_prefix(address, "tcp:")) {
        return connect_tcp(address + strlen("tcp:"), connected, errp);
    }
    return is_path(address) ? connect_unix(address, connected, errp)
                            : connect_tcp(address, connected, errp);
}
