/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev dgram: what goes together. */
#include "util/osdep.h"

#include "dgram-internal.h"

static bool is_type(const SocketAddress *addr, SocketAddressType type)
{
    return addr && addr->type == type;
}

/* Refuses combinations that make no sense. */
static bool check(const SocketAddress *local, const SocketAddress *remote,
                  bool mcast, Error **errp)
{
    bool fd = is_type(local, SOCKET_ADDRESS_TYPE_FD);
    const char *wrong = NULL;

    if (!local && !mcast) {
        wrong = "Parameter 'local' is missing; only with a multicast group as "
                "'remote' it may be left out";
    } else if (!remote && !fd) {
        wrong = "Parameter 'remote' is missing; only with local.type=fd it may "
                "be left out";
    } else if (is_type(remote, SOCKET_ADDRESS_TYPE_FD)) {
        wrong = "Parameter 'remote.type' expects 'inet' or 'unix'; an open "
                "socket is given by local.type=fd";
    } else if (local && remote && !fd && local->type != remote->type) {
        wrong = "Parameters 'local.type' and 'remote.type' must be the same";
    }
    if (wrong) {
        error_setg(errp, "%s", wrong);
    }
    return !wrong;
}

static bool MAIN_THREAD open_socket(NetDgramSetup *setup,
                                    const SocketAddress *local,
                                    const SocketAddress *remote, bool mcast,
                                    Error **errp)
{
    if (is_type(local, SOCKET_ADDRESS_TYPE_FD)) {
        return net_dgram_open_fd(setup, local->u.fd.str, errp);
    }
    if (mcast) {
        return net_dgram_open_mcast(setup, local ? local->u.inet.host : NULL,
                                    errp);
    }
    if (is_type(local, SOCKET_ADDRESS_TYPE_UNIX)) {
        return net_dgram_open_unix(setup, &local->u.q_unix, &remote->u.q_unix,
                                   errp);
    }
    return net_dgram_open_inet(setup, &local->u.inet, errp);
}

bool net_init_dgram(const Netdev *netdev, Error **errp)
{
    const SocketAddress *local = netdev->u.dgram.local;
    const SocketAddress *remote = netdev->u.dgram.remote;
    NetDgramSetup setup = { .id = netdev->id,
                            .type = NET_CLIENT_DRIVER_DGRAM,
                            .fd = -1 };
    bool mcast = false;

    if (is_type(remote, SOCKET_ADDRESS_TYPE_INET)) {
        if (!net_dgram_resolve(&remote->u.inet, &setup.remote,
                               &setup.remote_len, errp)) {
            return false;
        }
        mcast = net_dgram_is_mcast(&setup.remote);
    } else if (is_type(remote, SOCKET_ADDRESS_TYPE_UNIX) &&
               !net_dgram_resolve_unix(&remote->u.q_unix, &setup.remote,
                                       &setup.remote_len, errp)) {
        return false;
    }
    return check(local, remote, mcast, errp) &&
           open_socket(&setup, local, remote, mcast, errp) &&
           net_dgram_create(&setup, errp);
}
