/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands that change the machine's network. */
#include "util/osdep.h"

#include "monitor/hmp-internal.h"
#include "net/net.h"
#include "qapi/qapi-visit.h"

bool hmp_netdev_add(const HmpArgs *args, GString *out, Error **errp)
{
    g_autoptr(Netdev) netdev = netdev_parse(args->arg[0].text, NULL, errp);

    return netdev && netdev_add(netdev, errp);
}

bool hmp_netdev_del(const HmpArgs *args, GString *out, Error **errp)
{
    return netdev_del(args->arg[0].text, errp);
}

bool hmp_set_link(const HmpArgs *args, GString *out, Error **errp)
{
    bool up;

    return qapi_parse_bool("on|off", args->arg[1].text, &up, errp) &&
           net_set_link(args->arg[0].text, up, errp);
}

bool hmp_announce_self(const HmpArgs *args, GString *out, Error **errp)
{
    g_auto(GStrv) names =
        args->arg[0].given ? g_strsplit(args->arg[0].text, ",", -1) : NULL;
    AnnounceParameters par = { .initial = 50,
                               .max = 550,
                               .rounds = 5,
                               .step = 100,
                               .has_interfaces = names != NULL,
                               .id = args->arg[1].text };

    if (names) {
        par.interfaces = (strList){ .n = g_strv_length(names), .v = names };
    }
    return net_announce_self(&par, errp);
}
