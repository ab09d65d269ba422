/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes one file a vhost-vdpa device: loaded into the emulator by LD_PRELOAD,
 * it sends what the process does with that file, ioctls of <linux/vhost.h> and
 * messages of <linux/vhost_types.h>, to a test that plays the device
 * (vdpalib.py), and gives back what that answers. Kernels that have no vDPA are
 * common, and none lets a test decide how the device fails.
 *
 * VDPA_FILE says which file, by whatever name or descriptor it is reached;
 * VDPA_SOCKET at which unix socket the test listens.
 *
 * A request: its number (0: a message), the bytes that follow, whether a
 * descriptor comes along; an answer: the result or -errno, the bytes that
 * follow and go where the ioctl's argument points to.
 */
#include <errno.h>
#include <linux/vhost.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#define DATA_MAX 512

struct request {
    uint32_t number, size, has_fd;
};

struct answer {
    int32_t result;
    uint32_t size;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int sock = -1;

static int is_device(int fd)
{
    const char *path = getenv("VDPA_FILE");
    struct stat file, it;

    return path && stat(path, &file) == 0 && fstat(fd, &it) == 0 &&
           file.st_dev == it.st_dev && file.st_ino == it.st_ino;
}

static int connect_once(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };

    if (sock < 0) {
        strncpy(a.sun_path, getenv("VDPA_SOCKET"), sizeof(a.sun_path) - 1);
        sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(sock, (struct sockaddr *)&a, sizeof(a)) < 0) {
            abort();
        }
    }
    return sock;
}

static void send_request(const struct request *r, const void *data, int fd)
{
    union {
        struct cmsghdr header;
        char space[CMSG_SPACE(sizeof(int))];
    } control = { .header = { .cmsg_len = CMSG_LEN(sizeof(int)),
                              .cmsg_level = SOL_SOCKET,
                              .cmsg_type = SCM_RIGHTS } };
    struct iovec iov[] = { { (void *)r, sizeof(*r) },
                           { (void *)data, r->size } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

    if (r->has_fd) {
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        msg.msg_control = &control;
        msg.msg_controllen = sizeof(control.space);
    }
    /* Nobody is there any more: as a device that was torn out. */
    sendmsg(connect_once(), &msg, MSG_NOSIGNAL);
}

static int read_all(void *data, size_t size)
{
    for (char *to = data; size;) {
        ssize_t n = recv(sock, to, size, 0);

        if (n == 0 || (n < 0 && errno != EINTR)) {
            return 0;
        }
        if (n > 0) {
            to += n;
            size -= (size_t)n;
        }
    }
    return 1;
}

/* Asks the test; @out (may be NULL) gets at most @room bytes. */
static long ask(uint32_t number, const void *data, uint32_t size, int fd,
                void *out, size_t room)
{
    struct request r = { number, size, fd >= 0 };
    struct answer a;
    char bytes[DATA_MAX];

    pthread_mutex_lock(&lock);
    send_request(&r, data, fd);
    if (!read_all(&a, sizeof(a)) || a.size > sizeof(bytes) ||
        !read_all(bytes, a.size)) {
        a = (struct answer){ -EIO, 0 };
    }
    pthread_mutex_unlock(&lock);
    if (out) {
        memcpy(out, bytes, a.size < room ? a.size : room);
    }
    if (a.result < 0) {
        errno = -a.result;
        return -1;
    }
    return a.result;
}

static int ask_ioctl(unsigned long number, void *arg)
{
    size_t size = _IOC_SIZE(number), room = size;
    void *out = _IOC_DIR(number) & _IOC_READ ? arg : NULL;
    int fd = -1;

    switch (number) {
    case VHOST_SET_VRING_KICK:
    case VHOST_SET_VRING_CALL:
    case VHOST_SET_VRING_ERR:
        fd = ((struct vhost_vring_file *)arg)->fd;
        break;
    case VHOST_VDPA_SET_CONFIG_CALL:
        fd = *(int *)arg;
        break;
    case VHOST_VDPA_GET_CONFIG:
        out = ((struct vhost_vdpa_config *)arg)->buf;
        room = ((struct vhost_vdpa_config *)arg)->len;
        break;
    }
    return (int)ask((uint32_t)number, arg, (uint32_t)size, fd, out, room);
}

int ioctl(int fd, unsigned long number, ...)
{
    va_list list;
    void *arg;

    va_start(list, number);
    arg = va_arg(list, void *);
    va_end(list);
    if (_IOC_TYPE(number) == VHOST_VIRTIO && is_device(fd)) {
        return ask_ioctl(number, arg);
    }
    return (int)syscall(SYS_ioctl, fd, number, arg);
}

ssize_t write(int fd, const void *data, size_t size)
{
    if (size == sizeof(struct vhost_msg_v2) && is_device(fd)) {
        return ask(0, data, (uint32_t)size, -1, NULL, 0);
    }
    return syscall(SYS_write, fd, data, size);
}
