/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev and netdev_add: from options to a netdev. */
#include "util/osdep.h"

#include "net/clients.h"
#include "qapi/keyval.h"
#include "qom/object.h"

typedef bool NetInitFunc(const Netdev *netdev, Error **errp);

static NetInitFunc *const init_funcs[NET_CLIENT_DRIVER__MAX] = {
    [NET_CLIENT_DRIVER_TAP] = net_init_tap,
    [NET_CLIENT_DRIVER_BRIDGE] = net_init_bridge,
};

static void netdev_help(void)
{
    printf("Available netdev backend types:\n");
    for (int i = 0; i < NET_CLIENT_DRIVER__MAX; i++) {
        if (init_funcs[i]) {
            printf("%s\n", NetClientDriver_str(i));
        }
    }
}

static bool MAIN_THREAD check_netdev(const Netdev *netdev, Error **errp)
{
    NetClientState *other;

    if (!id_check(netdev->id, errp)) {
        return false;
    }
    if (!init_funcs[netdev->type]) {
        error_setg(errp,
                   "netdev '%s': Parameter 'type' expects a netdev backend "
                   "type (-netdev help lists them), not '%s'",
                   netdev->id, NetClientDriver_str(netdev->type));
        return false;
    }
    other = net_client_find(netdev->id);
    if (other && other->info->type != NET_CLIENT_DRIVER_NIC) {
        error_setg(errp, "Duplicate ID '%s' for netdev", netdev->id);
        return false;
    }
    return true;
}

bool netdev_add(const Netdev *netdev, Error **errp)
{
    Error *err = NULL;

    if (!check_netdev(netdev, errp)) {
        return false;
    }
    if (!init_funcs[netdev->type](netdev, &err)) {
        error_prepend(&err, "netdev '%s': ", netdev->id);
        error_propagate(errp, err);
        return false;
    }
    return true;
}

bool netdev_add_text(const char *text, Error **errp)
{
    bool help = false;
    g_autoptr(Netdev) netdev =
        qapi_new_from_options(&qapi_type_Netdev, text, "type", &help, errp);

    if (help) {
        netdev_help();
        exit(0);
    }
    return netdev && netdev_add(netdev, errp);
}
