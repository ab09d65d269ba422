/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands that change the machine's network. */
#include "util/osdep.h"

#include "monitor/hmp-internal.h"
#include "net/net.h"
#include "qapi/keyval.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "system/iothread.h"

bool hmp_netdev_add(const HmpArgs *args, GString *out, Error **errp)
{
    g_autoptr(Netdev) netdev = netdev_parse(args->arg[0].text, NULL, errp);

    return netdev && netdev_add(netdev, errp);
}

bool hmp_netdev_del(const HmpArgs *args, GString *out, Error **errp)
{
    return netdev_del(args->arg[0].text, errp);
}

bool hmp_netdev_set_queues(const HmpArgs *args, GString *out, Error **errp)
{
    NetQueuesChange change = { .n = (unsigned)args->arg[1].number };

    return netdev_set_queues(args->arg[0].text, &change, errp);
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

/* ---- iothreads ---- */

bool hmp_iothread_set_affinity(const HmpArgs *args, GString *out, Error **errp)
{
    IOThread *io = iothread_find(args->arg[0].text, errp);
    CpuList cpus;
    bool ok = io && cpu_list_parse("CPUS", args->arg[1].text, &cpus, errp);

    if (ok) {
        ok = iothread_set_cpus(io, &cpus, errp);
        cpu_list_free(&cpus);
    }
    return ok;
}

/* ---- owners of queue pairs ---- */

/* "1=iothread:io1"; @m is zeroed. */
static bool mapping_entry(const char *text, VirtioNetQueueMapping *m,
                          Error **errp)
{
    const char *owner = strchr(text, '=');
    g_autofree char *pair = g_strndup(text, owner ? (size_t)(owner - text) : 0);
    uint64_t number;

    if (!owner) {
        error_setg(errp,
                   "'%s': expects PAIR=OWNER, with vhost, iothread or "
                   "iothread:NAME for OWNER",
                   text);
        return false;
    }
    owner++;
    if (!qapi_parse_uint("PAIR", pair, UINT16_MAX, &number, errp)) {
        return false;
    }
    m->pair = (uint16_t)number;
    m->backend = VIRTIO_NET_QUEUE_BACKEND_IOTHREAD;
    if (strcmp(owner, "vhost") == 0) {
        m->backend = VIRTIO_NET_QUEUE_BACKEND_VHOST;
    } else if (g_str_has_prefix(owner, "iothread:")) {
        m->iothread = g_strdup(owner + strlen("iothread:"));
    } else if (strcmp(owner, "iothread") != 0) {
        error_setg(errp,
                   "'%s': owner '%s' is none of vhost, iothread, "
                   "iothread:NAME",
                   text, owner);
        return false;
    }
    return true;
}

bool hmp_virtio_net_set_queue_mapping(const HmpArgs *args, GString *out,
                                      Error **errp)
{
    g_auto(GStrv) items = g_strsplit(args->arg[1].text, ",", -1);
    q_obj_virtio_net_set_queue_mapping_arg arg = { .id = args->arg[0].text };
    VirtioNetQueueMappingList *list = &arg.mapping;
    bool ok = true;

    list->v = g_new0(VirtioNetQueueMapping, g_strv_length(items) + 1);
    for (; ok && items[list->n]; list->n++) {
        ok = mapping_entry(items[list->n], &list->v[list->n], errp);
    }
    ok = ok && qmp_virtio_net_set_queue_mapping(&arg, errp);
    qapi_free_contents(&qapi_type_VirtioNetQueueMappingList, list);
    return ok;
}

/* ---- CPUs of vhost workers ---- */

/* "0,2" */
static bool pair_list(const char *text, uint16List *list, Error **errp)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);

    list->v = g_new(uint16_t, g_strv_length(items));
    for (list->n = 0; items[list->n]; list->n++) {
        uint64_t number;

        if (!qapi_parse_uint("PAIR", items[list->n], UINT16_MAX, &number,
                             errp)) {
            return false;
        }
        list->v[list->n] = (uint16_t)number;
    }
    return true;
}

bool hmp_virtio_net_set_vhost_affinity(const HmpArgs *args, GString *out,
                                       Error **errp)
{
    q_obj_virtio_net_set_vhost_affinity_arg arg = { .id = args->arg[0].text };
    CpuList cpus;
    bool ok = cpu_list_parse("CPUS", args->arg[1].text, &cpus, errp);

    arg.has_pairs = args->arg[2].given;
    if (ok && arg.has_pairs) {
        ok = pair_list(args->arg[2].text, &arg.pairs, errp);
    }
    if (ok) {
        arg.cpus = (uint16List){ .n = cpus.n, .v = cpus.cpu };
        ok = qmp_virtio_net_set_vhost_affinity(&arg, errp);
    }
    g_free(arg.pairs.v);
    cpu_list_free(&cpus);
    return ok;
}

/* ---- rate limits ---- */

bool hmp_virtio_net_set_rate_limit(const HmpArgs *args, GString *out,
                                   Error **errp)
{
    const char *dir = args->arg[1].text, *text = args->arg[2].text;
    q_obj_virtio_net_set_rate_limit_arg arg = { .id = args->arg[0].text };
    NetRateLimit *limit;
    bool ok;

    if (strcmp(dir, "rx") != 0 && strcmp(dir, "tx") != 0) {
        g_autofree char *shown = qapi_quote(dir);

        error_setg(errp, "'%s': expects rx (to the guest) or tx (from it)",
                   shown);
        return false;
    }
    limit = strcmp(text, "off") == 0
                ? g_new0(NetRateLimit, 1)
                : qapi_new_from_options(&qapi_type_NetRateLimit, text, NULL,
                                        NULL, errp);
    if (!limit) {
        error_prepend(errp, "expects off, or bytes-per-second=N, "
                            "packets-per-second=N and their bursts: ");
        return false;
    }
    *(dir[0] == 'r' ? &arg.rx : &arg.tx) = limit;
    ok = qmp_virtio_net_set_rate_limit(&arg, errp);
    qapi_free(&qapi_type_NetRateLimit, limit);
    return ok;
}
