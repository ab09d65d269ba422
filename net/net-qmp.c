/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * QMP commands about NICs: query-rx-filter, query-net-queues, query-net-rss,
 * query-net-rate-limits, what changes a NIC, request-ebpf. The NIC itself
 * answers (NetClientInfo); here it is only found.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "net/clients.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"

/* The NIC called @name. */
static NetClientState *find_nic(const char *name, Error **errp) MAIN_THREAD
{
    NetClientState *nic = net_client_find_nic(name);
    g_autofree char *shown = qapi_quote(name);

    if (!nic && net_client_find(name)) {
        error_setg(errp, "net client(%s) isn't a NIC", shown);
    } else if (!nic) {
        error_setg(errp, "invalid net client name: %s", shown);
    }
    return nic;
}

/* Calls @func for the NIC @name, or for all (NULL). */
static bool for_nics(const char *name, void (*func)(NetClientState *, void *),
                     void *opaque, Error **errp) MAIN_THREAD
{
    NetClientState *nic;

    if (!name) {
        net_client_foreach(func, opaque);
        return true;
    }
    nic = find_nic(name, errp);
    if (nic) {
        func(nic, opaque);
    }
    return nic != NULL;
}

static void add_rx_filter(NetClientState *nc, void *opaque) MAIN_THREAD
{
    GArray *list = opaque;
    RxFilterInfo info = { NULL };

    if (nc->info->query_rx_filter) {
        nc->info->query_rx_filter(nc, &info);
        g_array_append_val(list, info);
    }
}

bool qmp_query_rx_filter(const q_obj_query_rx_filter_arg *arg,
                         RxFilterInfoList *ret, Error **errp)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(RxFilterInfo));
    bool ok = for_nics(arg->name, add_rx_filter, list, errp);

    if (ok && arg->name && !list->len) {
        error_setg(errp, "net client(%s) doesn't support rx-filter querying",
                   arg->name);
        ok = false;
    }
    ret->n = list->len;
    ret->v = (RxFilterInfo *)(void *)g_array_free(list, FALSE);
    return ok;
}

static void add_queues(NetClientState *nc, void *opaque) MAIN_THREAD
{
    GArray *list = opaque;

    if (!nc->info->query_queue) {
        return;
    }
    for (unsigned i = 0; i < nc->n_queues; i++) {
        NetQueueInfo info = { NULL };

        nc->info->query_queue(nc, i, &info);
        g_array_append_val(list, info);
    }
}

bool qmp_query_net_queues(const q_obj_query_net_queues_arg *arg,
                          NetQueueInfoList *ret, Error **errp)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(NetQueueInfo));
    bool ok = for_nics(arg->name, add_queues, list, errp);

    ret->n = list->len;
    ret->v = (NetQueueInfo *)(void *)g_array_free(list, FALSE);
    return ok;
}

/* The NIC that is the device @id. */
static NetClientState *find_device(const char *id, Error **errp) MAIN_THREAD
{
    NetClientState *nic = net_client_find_nic(id);
    g_autofree char *shown = qapi_quote(id);

    if (!nic) {
        error_set_class(errp,
                        net_client_find(id) ? ERROR_CLASS_GENERIC_ERROR
                                            : ERROR_CLASS_DEVICE_NOT_FOUND,
                        net_client_find(id) ? "'%s' is a netdev, not a NIC"
                                            : "Device '%s' not found",
                        shown);
    }
    return nic;
}

bool qmp_virtio_net_set_queue_mapping(
    const q_obj_virtio_net_set_queue_mapping_arg *arg, Error **errp)
{
    NetClientState *nic = find_device(arg->id, errp);

    if (!nic) {
        return false;
    }
    if (!nic->info->set_queue_mapping) {
        error_setg(errp, "NIC '%s' is not a virtio-net device", nic->name);
        return false;
    }
    return nic->info->set_queue_mapping(nic, &arg->mapping, errp);
}

bool qmp_virtio_net_set_vhost_affinity(
    const q_obj_virtio_net_set_vhost_affinity_arg *arg, Error **errp)
{
    NetClientState *nic = find_device(arg->id, errp);

    if (!nic) {
        return false;
    }
    if (!nic->info->set_vhost_affinity) {
        error_setg(errp, "NIC '%s' is not a virtio-net device", nic->name);
        return false;
    }
    return nic->info->set_vhost_affinity(
        nic, arg->has_pairs ? &arg->pairs : NULL, &arg->cpus, errp);
}

static void add_rss(NetClientState *nc, void *opaque) MAIN_THREAD
{
    GArray *list = opaque;
    NetRssInfo info = { NULL };

    if (nc->info->query_rss && nc->info->query_rss(nc, &info)) {
        g_array_append_val(list, info);
    }
}

bool qmp_query_net_rss(const q_obj_query_net_rss_arg *arg, NetRssInfoList *ret,
                       Error **errp)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(NetRssInfo));
    bool ok = for_nics(arg->name, add_rss, list, errp);

    ret->n = list->len;
    ret->v = (NetRssInfo *)(void *)g_array_free(list, FALSE);
    return ok;
}

bool qmp_virtio_net_set_rate_limit(
    const q_obj_virtio_net_set_rate_limit_arg *arg, Error **errp)
{
    NetClientState *nic = find_device(arg->id, errp);

    if (!nic) {
        return false;
    }
    if (!nic->info->set_rate_limit) {
        error_setg(errp, "NIC '%s' is not a virtio-net device", nic->name);
        return false;
    }
    if (!arg->rx && !arg->tx) {
        error_setg(errp, "neither 'rx' nor 'tx' is given: name the direction "
                         "to limit");
        return false;
    }
    return nic->info->set_rate_limit(nic, arg->rx, arg->tx, errp);
}

static void add_limits(NetClientState *nc, void *opaque) MAIN_THREAD
{
    GArray *list = opaque;
    NetRateLimitInfo info = { NULL };

    if (nc->info->query_rate_limit) {
        nc->info->query_rate_limit(nc, &info);
        g_array_append_val(list, info);
    }
}

bool qmp_query_net_rate_limits(const q_obj_query_net_rate_limits_arg *arg,
                               NetRateLimitInfoList *ret, Error **errp)
{
    GArray *list = g_array_new(FALSE, FALSE, sizeof(NetRateLimitInfo));
    bool ok = for_nics(arg->name, add_limits, list, errp);

    ret->n = list->len;
    ret->v = (NetRateLimitInfo *)(void *)g_array_free(list, FALSE);
    return ok;
}

bool qmp_request_ebpf(const q_obj_request_ebpf_arg *arg, EbpfObject *ret,
                      Error **errp)
{
    size_t len;
    const void *object = tap_rss_program(&len);

    if (!object) {
        error_setg(errp, "this binary was built without eBPF programs");
        return false;
    }
    ret->object = g_base64_encode(object, len);
    return true;
}
