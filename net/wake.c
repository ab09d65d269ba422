/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The descriptors of a back-end that is not one plain file.
 *
 * An epoll instance is readable while one of its members is ready, so it can be
 * a member of a loop's epoll in its turn; members may be added and taken out by
 * any thread while the loop waits. It never becomes writable: therefore room
 * has an instance of its own.
 *
 * Threads: any.
 */
#include "util/osdep.h"

#include "net/wake.h"

#include <sys/epoll.h>

#include "util/fd.h"

static bool watch(int epoll, int file, uint32_t events, Error **errp)
{
    struct epoll_event event = { .events = events };

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, file, &event) < 0) {
        error_setg_errno(errp, errno, "cannot wait for file descriptor %d",
                         file);
        return false;
    }
    return true;
}

/* An epoll instance with a signal in it. */
static bool open_end(int *epoll, int *event, Error **errp)
{
    *event = eventfd_new(errp);
    if (*event < 0) {
        return false;
    }
    *epoll = epoll_create1(EPOLL_CLOEXEC);
    if (*epoll < 0) {
        error_setg_errno(errp, errno, "cannot make an epoll instance");
        return false;
    }
    return watch(*epoll, *event, EPOLLIN, errp);
}

bool net_wake_init(NetWake *wake, Error **errp)
{
    *wake = (NetWake){ -1, -1, -1, -1 };
    if (open_end(&wake->fd, &wake->frames_event, errp) &&
        open_end(&wake->room_fd, &wake->room_event, errp)) {
        return true;
    }
    net_wake_free(wake);
    return false;
}

void net_wake_free(NetWake *wake)
{
    fd_close(&wake->fd);
    fd_close(&wake->room_fd);
    fd_close(&wake->frames_event);
    fd_close(&wake->room_event);
}

bool net_wake_attach(NetWake *wake, int file, Error **errp)
{
    if (!watch(wake->fd, file, EPOLLIN | EPOLLRDHUP, errp)) {
        return false;
    }
    if (!watch(wake->room_fd, file, EPOLLOUT, errp)) {
        epoll_ctl(wake->fd, EPOLL_CTL_DEL, file, NULL);
        return false;
    }
    return true;
}

void net_wake_detach(NetWake *wake, int file)
{
    epoll_ctl(wake->fd, EPOLL_CTL_DEL, file, NULL);
    epoll_ctl(wake->room_fd, EPOLL_CTL_DEL, file, NULL);
}

void net_wake_frames(NetWake *wake)
{
    eventfd_signal(wake->frames_event);
}

void net_wake_room(NetWake *wake)
{
    eventfd_signal(wake->room_event);
}

void net_wake_frames_clear(NetWake *wake)
{
    eventfd_clear(wake->frames_event);
}

void net_wake_room_clear(NetWake *wake)
{
    eventfd_clear(wake->room_event);
}
