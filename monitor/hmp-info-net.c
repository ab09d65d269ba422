/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `info network`: NICs, their netdevs and queue pairs. */
#include "util/osdep.h"
#include "monitor/hmp-info.h"
#include "net/filter.h"
#include "net/hub.h"
#include "net/net.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"

static void describe_client(NetClientState *nc, const char *prefix,
                            GString *out) MAIN_THREAD
{
    g_string_append_printf(out, "%s%s: type=%s", prefix, nc->name,
                           NetClientDriver_str(nc->info->type));
    if (nc->n_queues > 1) {
        g_string_append_printf(out, ",queues=%u", nc->n_queues);
    }
    if (nc->info_str[0]) {
        g_string_append_printf(out, ",%s", nc->info_str);
    }
    if (nc->lost_peer) {
        g_string_append_printf(out, ",netdev=%s (deleted)", nc->lost_peer);
    }
    g_string_append_printf(out, "%s\n", nc->link_down ? ",link=down" : "");
    net_filters_describe(nc, out);
}

static void describe_counters(const NetQueueStats *s, GString *out)
{
    g_string_append_printf(
        out,
        ",rx-packets=%" PRIu64 ",rx-bytes=%" PRIu64 ",rx-drops=%" PRIu64
        ",tx-packets=%" PRIu64 ",tx-bytes=%" PRIu64 ",tx-drops=%" PRIu64 "\n",
        s->rx_packets, s->rx_bytes,
        s->rx_filtered + s->rx_too_long + s->rx_errors, s->tx_packets,
        s->tx_bytes, s->tx_bad_header + s->tx_dropped);
}

/* How long a ring's interrupts wait, where they do. */
static void describe_coalesce(const char *name, const NetQueueCoalesce *c,
                              GString *out)
{
    if (c && c->max_packets && c->max_usecs) {
        g_string_append_printf(out, ",%s-coalesce=%u packets or %u us", name,
                               c->max_packets, c->max_usecs);
    }
}

/* A queue pair, and the subqueue that it is joined to. */
static void describe_pair(const NetQueueInfo *q, GString *out)
{
    g_string_append_printf(out, "  pair %u: owner=%s", q->pair,
                           q->owner == NET_QUEUE_OWNER_MAIN
                               ? "stopped"
                               : NetQueueOwner_str(q->owner));
    if (q->iothread) {
        g_string_append_printf(out, ",iothread=%s", q->iothread);
    }
    if (q->has_moving_to) {
        g_string_append_printf(out, ",moving-to=%s",
                               NetQueueOwner_str(q->moving_to));
    }
    if (q->has_thread_id) {
        g_string_append_printf(out, ",thread-id=%" PRId64, q->thread_id);
    }
    if (q->has_fd) {
        g_string_append_printf(out, ",fd=%" PRId64, q->fd);
    }
    if (q->has_vhost_fd) {
        g_string_append_printf(out, ",vhostfd=%" PRId64, q->vhost_fd);
    }
    if (q->netdev) {
        g_string_append(out, q->enabled ? ",attached" : ",detached");
    }
    g_string_append(out, q->active ? ",active" : ",unused");
    g_string_append_printf(out, "%s%s", q->rx_stalled ? ",rx-stalled" : "",
                           q->tx_stalled ? ",tx-stalled" : "");
    describe_coalesce("rx", q->rx_coalesce, out);
    describe_coalesce("tx", q->tx_coalesce, out);
    describe_counters(q->stats, out);
}

/* The NIC's receive side scaling, if it has that. */
static void describe_rss(NetClientState *nc, GString *out)
{
    NetRssInfo info = { 0 };

    if (!nc->info->query_rss || !nc->info->query_rss(nc, &info)) {
        return;
    }
    g_string_append_printf(out, "  rss: steering=%s,%s,table=%zu,hash-types=",
                           NetRssSteering_str(info.steering),
                           info.enabled ? "enabled" : "disabled",
                           info.indirection_table.n);
    for (size_t i = 0; i < info.hash_types.n; i++) {
        g_string_append_printf(out, "%s%s", i ? "+" : "",
                               NetRssHashType_str(info.hash_types.v[i]));
    }
    g_string_append_printf(out, "%s,hash-report=%s\n",
                           info.hash_types.n ? "" : "none",
                           info.hash_report ? "on" : "off");
    qapi_free_contents(&qapi_type_NetRssInfo, &info);
}

static void describe_limit(const char *dir, const NetRateLimit *l, GString *out)
{
    if (l && l->has_bytes_per_second) {
        g_string_append_printf(out,
                               " %s=%" PRIu64 " bytes/s (burst %" PRIu64 ")",
                               dir, l->bytes_per_second, l->burst_bytes);
    }
    if (l && l->has_packets_per_second) {
        g_string_append_printf(out,
                               " %s=%" PRIu64 " packets/s (burst %" PRIu64 ")",
                               dir, l->packets_per_second, l->burst_packets);
    }
}

/* The NIC's rate limits, if it has any, and how they hold it up. */
static void describe_limits(NetClientState *nc, GString *out)
{
    uint64_t waits[2] = { 0 }, ns[2] = { 0 };
    NetRateLimitInfo info = { 0 };

    if (!nc->info->query_rate_limit) {
        return;
    }
    nc->info->query_rate_limit(nc, &info);
    for (size_t i = 0; i < info.pairs.n; i++) {
        const NetRateWaits *w[] = { info.pairs.v[i].rx, info.pairs.v[i].tx };

        for (unsigned dir = 0; dir < 2; dir++) {
            waits[dir] += w[dir]->waits;
            ns[dir] += w[dir]->wait_ns;
        }
    }
    if (info.rx || info.tx) {
        g_string_append(out, "  rate limits:");
        describe_limit("rx", info.rx, out);
        describe_limit("tx", info.tx, out);
        g_string_append_printf(out,
                               "; waits: rx=%" PRIu64 " (%" PRIu64
                               " ms) tx=%" PRIu64 " (%" PRIu64 " ms)\n",
                               waits[0], ns[0] / 1000000, waits[1],
                               ns[1] / 1000000);
    }
    qapi_free_contents(&qapi_type_NetRateLimitInfo, &info);
}

/* Those of a netdev that no NIC has. */
static void describe_subqueues(const NetClientState *nc, GString *out)
{
    for (unsigned i = 0; nc->queue && i < nc->n_queues; i++) {
        g_string_append_printf(out, "  queue %u: fd=%d", i, nc->queue[i].fd);
        if (nc->queue[i].vhost_fd >= 0) {
            g_string_append_printf(out, ",vhostfd=%d", nc->queue[i].vhost_fd);
        }
        g_string_append_c(out, '\n');
    }
}

/* A NIC with its netdev below it; a netdev by itself when it has no NIC. */
static void list_client(NetClientState *nc, void *opaque) MAIN_THREAD
{
    GString *out = opaque;

    if ((nc->peer && nc->info->type != NET_CLIENT_DRIVER_NIC) ||
        net_hub_has(nc)) {
        return;
    }
    describe_client(nc, "", out);
    if (nc->peer) {
        describe_client(nc->peer, " \\ ", out);
    }
    describe_rss(nc, out);
    describe_limits(nc, out);
    for (unsigned i = 0; nc->info->query_queue && i < nc->n_queues; i++) {
        NetQueueInfo info = { 0 };

        nc->info->query_queue(nc, i, &info);
        describe_pair(&info, out);
        qapi_free_contents(&qapi_type_NetQueueInfo, &info);
    }
    describe_subqueues(nc, out);
}

/* A hub's ports, and what is behind each. */
static void list_port(const NetHubPortInfo *info, void *opaque) MAIN_THREAD
{
    const NetClientState *port = info->port;
    GString *out = opaque;

    if (info->first) {
        g_string_append_printf(out, "hub %d\n", info->hubid);
    }
    g_string_append_printf(out, " \\ %s", port->name);
    if (info->dropped) {
        g_string_append_printf(out, " (%" PRIu64 " dropped)", info->dropped);
    }
    if (port->peer) {
        describe_client(port->peer, ": ", out);
    } else if (port->lost_peer) {
        g_string_append_printf(out, ": netdev=%s (deleted)\n", port->lost_peer);
    } else {
        g_string_append_c(out, '\n');
    }
}

bool hmp_info_network(const HmpArgs *args, GString *out, Error **errp)
{
    net_hub_foreach_port(list_port, out);
    net_client_foreach(list_client, out);
    return true;
}
