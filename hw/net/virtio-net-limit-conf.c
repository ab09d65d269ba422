/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rate limits as users set them and see them: properties, the operations of
 * NetClientInfo, and that a NIC with a limit has no pair on vhost-net.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"

/* Far above what a NIC does, far below where sums of times overflow. */
#define RATE_BYTES_MAX    125000000000ull /* 1 Tbit/s */
#define RATE_PACKETS_MAX  1000000000ull
#define BURST_BYTES_MAX   (1ull << 40)
#define BURST_PACKETS_MAX 1000000000ull

/* What comes at once by default: what passes in this part of a second, but at
 * least the longest frame. */
#define BURST_PART 50

#define QUANTUM_BYTES_LEAST   2048
#define QUANTUM_BYTES_MOST    (1 << 20)
#define QUANTUM_PACKETS_LEAST 1
#define QUANTUM_PACKETS_MOST  256

static const struct {
    const char *rate, *burst;
    uint64_t rate_max, burst_max, burst_least;
    int64_t quantum_least, quantum_most;
} kinds[RATE_KINDS] = {
    [RATE_BYTES] = { "bytes-per-second", "burst-bytes", RATE_BYTES_MAX,
                     BURST_BYTES_MAX, VIRTIO_NET_FRAME_MAX, QUANTUM_BYTES_LEAST,
                     QUANTUM_BYTES_MOST },
    [RATE_PACKETS] = { "packets-per-second", "burst-packets", RATE_PACKETS_MAX,
                       BURST_PACKETS_MAX, 1, QUANTUM_PACKETS_LEAST,
                       QUANTUM_PACKETS_MOST },
};

static const char *const dir_name[] = { "rx", "tx" };

/* ---- what may be set ---- */

static bool check_kind(const RateParams *p, unsigned dir, unsigned k,
                       Error **errp)
{
    if (p->rate[k] > kinds[k].rate_max) {
        error_setg(errp,
                   "%s-%s=%" PRIu64 ": must be 1 to %" PRIu64
                   ", or 0 for no limit",
                   dir_name[dir], kinds[k].rate, p->rate[k], kinds[k].rate_max);
        return false;
    }
    if (p->burst[k] > kinds[k].burst_max) {
        error_setg(
            errp,
            "%s-%s=%" PRIu64 ": must be 1 to %" PRIu64 ", or 0 for the default",
            dir_name[dir], kinds[k].burst, p->burst[k], kinds[k].burst_max);
        return false;
    }
    if (p->burst[k] && !p->rate[k]) {
        error_setg(errp, "%s-%s=%" PRIu64 " needs %s-%s", dir_name[dir],
                   kinds[k].burst, p->burst[k], dir_name[dir], kinds[k].rate);
        return false;
    }
    return true;
}

static bool check_params(const RateParams params[2], Error **errp)
{
    for (unsigned i = 0; i < 2 * RATE_KINDS; i++) {
        if (!check_kind(&params[i / RATE_KINDS], i / RATE_KINDS, i % RATE_KINDS,
                        errp)) {
            return false;
        }
    }
    return true;
}

static bool is_limit(const RateParams *p)
{
    return p->rate[RATE_BYTES] || p->rate[RATE_PACKETS];
}

static bool check_pair(const VirtIONetPair *pair, bool mapped, Error **errp)
    MAIN_THREAD
{
    if (!pair->want_vhost || pair->shared ||
        !((mapped && pair->mapped) || pair->vhost_required)) {
        return true;
    }
    if (pair->backend && pair->backend->vhost_vdpa) {
        error_setg(errp,
                   "a rate limit needs a netdev whose frames pass this "
                   "process: '%s' is vhost-vdpa",
                   pair->backend->nc->name);
        return false;
    }
    error_setg(errp,
               "a rate limit and vhost-net exclude each other, and pair "
               "%u is %s; %s first",
               pair->index,
               pair->vhost_required ? "on a netdev with vhostforce=on"
                                    : "mapped to vhost",
               pair->vhost_required ? "use vhostforce=off"
                                    : "map it to an iothread");
    return false;
}

bool virtio_net_limit_check_vhost(const VirtIONet *net, bool mapped,
                                  Error **errp)
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        if (!check_pair(&net->pair[i], mapped, errp)) {
            return false;
        }
    }
    return true;
}

/* ---- setting it ---- */

/* What @params ask for, with a full bucket; NULL: no limit. */
static NetLimit *limit_new(const VirtIONet *net, const RateParams *params)
{
    int64_t now = clock_now_ns();
    NetLimit *limit;

    if (!is_limit(params)) {
        return NULL;
    }
    limit = g_new0(NetLimit, 1);
    limit->params = *params;
    for (unsigned k = 0; k < RATE_KINDS; k++) {
        uint64_t *burst = &limit->params.burst[k];
        uint64_t rate = params->rate[k];
        RateBucketConf conf;

        if (!rate) {
            continue;
        }
        if (!*burst) {
            *burst = MAX(rate / BURST_PART, kinds[k].burst_least);
        }
        conf = (RateBucketConf){ .rate = rate,
                                 .burst = *burst,
                                 .takers = net->max_pairs,
                                 .least = kinds[k].quantum_least,
                                 .most = kinds[k].quantum_most };
        rate_bucket_init(&limit->bucket[k], &conf, now);
    }
    return limit;
}

static void set_direction(VirtIONet *net, unsigned dir,
                          const RateParams *params) MAIN_THREAD
{
    NetLimit *old = net->limit[dir];

    net->limit[dir] = limit_new(net, params);
    for (unsigned i = 0; i < net->max_pairs; i++) {
        virtio_net_limit_set(&net->pair[i], dir, net->limit[dir]);
    }
    g_free(old);
    net->conf.limit[dir] = *params;
}

/* All or nothing. A direction whose parameters stay the same goes on. */
static bool limit_update(VirtIONet *net, const RateParams next[2], Error **errp)
    MAIN_THREAD
{
    bool limited = is_limit(&next[0]) || is_limit(&next[1]);

    if (!check_params(next, errp) ||
        (limited && !net->limited &&
         !virtio_net_limit_check_vhost(net, true, errp))) {
        return false;
    }
    for (unsigned dir = 0; dir < 2; dir++) {
        if (memcmp(&next[dir], &net->conf.limit[dir], sizeof(next[dir])) != 0) {
            set_direction(net, dir, &next[dir]);
        }
    }
    if (limited != net->limited) {
        net->limited = limited;
        virtio_net_move_vhost_pairs(net);
    }
    return true;
}

bool virtio_net_limit_realize(VirtIONet *net, Error **errp)
{
    const RateParams *params = net->conf.limit;

    net->limited = is_limit(&params[0]) || is_limit(&params[1]);
    if (!check_params(params, errp) ||
        (net->limited && !virtio_net_limit_check_vhost(net, true, errp))) {
        return false;
    }
    for (unsigned dir = 0; dir < 2; dir++) {
        set_direction(net, dir, &params[dir]);
    }
    return true;
}

void virtio_net_limit_release(VirtIONet *net)
{
    for (unsigned dir = 0; dir < 2; dir++) {
        g_clear_pointer(&net->limit[dir], g_free);
    }
}

/* ---- properties ---- */

static bool limit_prop_set(Object *obj, const Property *prop,
                           json_object *value, Error **errp)
{
    VirtIONet *net = VIRTIO_NET(obj);
    uint64_t *field = PROP_FIELD(obj, prop, uint64_t);
    uint64_t old = *field;
    RateParams next[2];

    machine_lock_assert();
    if (!prop_info_uint64.set(obj, prop, value, errp)) {
        return false;
    }
    if (!obj->realized) {
        return true;
    }
    memcpy(next, net->conf.limit, sizeof(next));
    *field = old;
    return limit_update(net, next, errp);
}

static json_object *limit_prop_get(Object *obj, const Property *prop,
                                   Error **errp)
{
    return prop_info_uint64.get(obj, prop, errp);
}

static void limit_prop_default(Object *obj, const Property *prop)
{
    *PROP_FIELD(obj, prop, uint64_t) = 0;
}

const PropertyInfo prop_info_rate_limit = {
    .type = "uint64",
    .get = limit_prop_get,
    .set = limit_prop_set,
    .set_default = limit_prop_default,
};

/* ---- monitors ---- */

static void params_from(const NetRateLimit *from, RateParams *to)
{
    *to = (RateParams){ 0 };
    if (from->has_bytes_per_second) {
        to->rate[RATE_BYTES] = from->bytes_per_second;
    }
    if (from->has_burst_bytes) {
        to->burst[RATE_BYTES] = from->burst_bytes;
    }
    if (from->has_packets_per_second) {
        to->rate[RATE_PACKETS] = from->packets_per_second;
    }
    if (from->has_burst_packets) {
        to->burst[RATE_PACKETS] = from->burst_packets;
    }
}

bool virtio_net_set_rate_limit(NetClientState *nc, const NetRateLimit *rx,
                               const NetRateLimit *tx, Error **errp)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);
    RateParams next[2];

    memcpy(next, net->conf.limit, sizeof(next));
    if (rx) {
        params_from(rx, &next[0]);
    }
    if (tx) {
        params_from(tx, &next[1]);
    }
    return limit_update(net, next, errp);
}

static NetRateLimit *params_to(const RateParams *from)
{
    NetRateLimit *to = g_new0(NetRateLimit, 1);

    to->has_bytes_per_second = to->has_burst_bytes = from->rate[RATE_BYTES];
    to->bytes_per_second = from->rate[RATE_BYTES];
    to->burst_bytes = from->burst[RATE_BYTES];
    to->has_packets_per_second = to->has_burst_packets =
        from->rate[RATE_PACKETS];
    to->packets_per_second = from->rate[RATE_PACKETS];
    to->burst_packets = from->burst[RATE_PACKETS];
    return to;
}

/* How often and how long the pair has waited, what is under way included. */
static NetRateWaits *pair_waits(const PairLimit *l)
{
    int64_t since = __atomic_load_n(&l->since_ns, __ATOMIC_RELAXED);
    NetRateWaits *w = g_new0(NetRateWaits, 1);

    w->waiting = since != 0;
    w->waits = __atomic_load_n(&l->waits, __ATOMIC_RELAXED);
    w->wait_ns = __atomic_load_n(&l->wait_ns, __ATOMIC_RELAXED);
    if (since) {
        w->wait_ns += MAX(clock_now_ns() - since, 0);
    }
    return w;
}

void virtio_net_query_rate_limit(NetClientState *nc, NetRateLimitInfo *info)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);

    info->nic = g_strdup(nc->name);
    info->qom_path = object_path(OBJECT(net));
    info->rx = net->limit[0] ? params_to(&net->limit[0]->params) : NULL;
    info->tx = net->limit[1] ? params_to(&net->limit[1]->params) : NULL;
    info->pairs.n = net->max_pairs;
    info->pairs.v = g_new0(NetRateLimitPair, net->max_pairs);
    for (unsigned i = 0; i < net->max_pairs; i++) {
        info->pairs.v[i].pair = i;
        info->pairs.v[i].rx = pair_waits(&net->pair[i].limit[0]);
        info->pairs.v[i].tx = pair_waits(&net->pair[i].limit[1]);
    }
}
