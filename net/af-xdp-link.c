/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interface under an AF_XDP netdev: the sockets say nothing to those who
 * wait for frames when it is deleted or leaves the namespace, nor when it comes
 * up again. The kernel's messages about links do, rtnetlink(7).
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "af-xdp-internal.h"
#include "system/main-loop.h"
#include "util/fd.h"

static void link_is_gone(AfXdpState *s) MAIN_THREAD
{
    fd_watch_stop(&s->link_watch);
    __atomic_store_n(&s->gone, true, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < s->nc.n_queues; i++) {
        /* Whoever waits looks, and finds out. */
        net_wake_frames(&s->queue[i].wake);
        net_wake_room(&s->queue[i].wake);
    }
}

/* The interface changed, perhaps from down to up: what was left is sent. */
static void link_is_there(AfXdpState *s) MAIN_THREAD
{
    for (unsigned i = 0; i < s->nc.n_queues; i++) {
        (void)af_xdp_io_kick(&s->queue[i]);
    }
}

/* Messages were lost: is the interface still what it was? */
static bool link_exists(const AfXdpState *s)
{
    return (int)if_nametoindex(s->ifname) == s->ifindex;
}

static void link_message(AfXdpState *s, const struct nlmsghdr *msg) MAIN_THREAD
{
    const struct ifinfomsg *info = NLMSG_DATA(msg);

    if (msg->nlmsg_len < NLMSG_LENGTH(sizeof(*info)) ||
        info->ifi_index != s->ifindex || info->ifi_family == AF_BRIDGE) {
        return;
    }
    if (msg->nlmsg_type == RTM_DELLINK) {
        link_is_gone(s);
    } else if (msg->nlmsg_type == RTM_NEWLINK) {
        link_is_there(s);
    }
}

static void link_event(void *opaque, uint32_t events) MAIN_THREAD
{
    AfXdpState *s = opaque;
    union {
        struct nlmsghdr head;
        char bytes[16384];
    } buf;
    ssize_t r = recv(s->link_fd, &buf, sizeof(buf), MSG_DONTWAIT);
    int left = (int)r;

    if (r < 0) {
        if (errno == ENOBUFS && !link_exists(s)) {
            link_is_gone(s);
        }
        return;
    }
    for (struct nlmsghdr *msg = &buf.head; NLMSG_OK(msg, left);
         msg = NLMSG_NEXT(msg, left)) {
        link_message(s, msg);
    }
}

bool af_xdp_link_watch(AfXdpState *s, Error **errp)
{
    struct sockaddr_nl addr = { .nl_family = AF_NETLINK,
                                .nl_groups = RTMGRP_LINK };

    s->link_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
                        NETLINK_ROUTE);
    if (s->link_fd < 0 ||
        bind(s->link_fd, (struct sockaddr *)&addr, sizeof(addr)) < 0) {
        error_setg_errno(errp, errno, "cannot watch interface '%s'", s->ifname);
        fd_close(&s->link_fd);
        return false;
    }
    fd_watch_start(&s->link_watch, main_loop(), s->link_fd, LOOP_IN, link_event,
                   s);
    return true;
}

void af_xdp_link_close(AfXdpState *s)
{
    fd_watch_stop(&s->link_watch);
    fd_close(&s->link_fd);
}
