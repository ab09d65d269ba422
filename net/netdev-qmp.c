/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands that change the network of a running machine: netdev_add,
 * netdev_del, netdev-set-queues, set_link, announce-self.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "net/net.h"
#include "qapi/qapi-commands.h"

bool qmp_netdev_add(const Netdev *arg, Error **errp)
{
    return netdev_add(arg, errp);
}

bool qmp_netdev_del(const q_obj_netdev_del_arg *arg, Error **errp)
{
    return netdev_del(arg->id, errp);
}

bool qmp_netdev_set_queues(const q_obj_netdev_set_queues_arg *arg, Error **errp)
{
    NetQueuesChange change = { arg->queues, arg->fds, arg->vhostfds };

    return netdev_set_queues(arg->id, &change, errp);
}

bool qmp_set_link(const q_obj_set_link_arg *arg, Error **errp)
{
    return net_set_link(arg->name, arg->up, errp);
}

bool qmp_announce_self(const AnnounceParameters *arg, Error **errp)
{
    return net_announce_self(arg, errp);
}
