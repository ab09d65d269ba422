/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "util/fd.h"

/* The kernel passes at most this many at once (SCM_MAX_FD, unix(7)). */
#define MAX_PASSED_FDS 253u

void fd_close(int *fd)
{
    int saved = errno;

    if (*fd != -1) {
        close(*fd);
        *fd = -1;
    }
    errno = saved;
}

bool fd_set_nonblock(int fd, bool on, Error **errp)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0) {
        flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        if (fcntl(fd, F_SETFL, flags) == 0) {
            return true;
        }
    }
    error_setg_errno(errp, errno, "cannot make file descriptor %d %sblocking",
                     fd, on ? "non-" : "");
    return false;
}

bool fd_set_cloexec(int fd, Error **errp)
{
    int flags = fcntl(fd, F_GETFD);

    if (flags >= 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0) {
        return true;
    }
    error_setg_errno(errp, errno,
                     "cannot make file descriptor %d close-on-exec", fd);
    return false;
}

int eventfd_new(Error **errp)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0) {
        bool full = errno == EMFILE || errno == ENFILE;

        error_setg(errp, "cannot create an eventfd: %s%s", g_strerror(errno),
                   full ? "; raise the limit of open files (ulimit -n) or use "
                          "fewer queues"
                        : "");
    }
    return fd;
}

void eventfd_signal(int fd)
{
    uint64_t one = 1;
    ssize_t r;

    do {
        r = write(fd, &one, sizeof(one));
    } while (r < 0 && errno == EINTR);
}

/* Whether O_NONBLOCK is set is no matter to RWF_NOWAIT. Kernels that cannot do
 * that with eventfds are asked once. */
static ssize_t read_now(int fd, void *buf, size_t len)
{
    static bool cannot;
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    ssize_t r;

    if (!__atomic_load_n(&cannot, __ATOMIC_RELAXED)) {
        r = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);
        if (r >= 0 ||
            (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL)) {
            return r;
        }
        __atomic_store_n(&cannot, true, __ATOMIC_RELAXED);
    }
    return read(fd, buf, len);
}

bool eventfd_clear(int fd)
{
    uint64_t count = 0;
    ssize_t r;

    do {
        r = read_now(fd, &count, sizeof(count));
    } while (r < 0 && errno == EINTR);
    return r == (ssize_t)sizeof(count) && count != 0;
}

int fd_parse(const char *text, const char *what, Error **errp)
{
    gint64 value;

    if (!g_ascii_string_to_signed(text, 10, 0, INT32_MAX, &value, NULL)) {
        g_autofree char *shown = g_strescape(text, NULL);

        error_setg(errp,
                   "%s: '%.64s' is not a file descriptor; give its number",
                   what, shown);
        return -1;
    }
    if (fcntl((int)value, F_GETFD) < 0) {
        error_setg(errp,
                   "%s: file descriptor %d is not open; pass one that the "
                   "program that starts this one has opened",
                   what, (int)value);
        return -1;
    }
    return (int)value;
}

ssize_t fd_send(int sock, const void *buf, size_t len, const int *fds,
                unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MAX_PASSED_FDS * sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t r;

    if (n_fds > MAX_PASSED_FDS) {
        return -EINVAL;
    }
    if (n_fds) {
        struct cmsghdr *cmsg;

        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, n_fds * sizeof(int));
    }
    do {
        r = sendmsg(sock, &msg, MSG_NOSIGNAL);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : r;
}

/* Takes the descriptors of one control message; closes those beyond @max. */
static void fd_take(struct cmsghdr *cmsg, int *fds, unsigned max, unsigned *n)
{
    size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    for (size_t i = 0; i < count; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
        if (*n < max) {
            fds[(*n)++] = fd;
        } else {
            close(fd);
        }
    }
}

ssize_t fd_recv(int sock, void *buf, size_t len, int *fds, unsigned max_fds,
                unsigned *n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MAX_PASSED_FDS * sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = sizeof(control.bytes) };
    ssize_t r;

    *n_fds = 0;
    do {
        r = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    } while (r < 0 && errno == EINTR);
    if (r < 0) {
        return -errno;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            fd_take(c, fds, max_fds, n_fds);
        }
    }
    return r;
}
