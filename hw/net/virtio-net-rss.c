/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Receive side scaling and hash reports (VIRTIO 1.2, 5.1.6.5.7 and
 * 5.1.6.5.6.4): the driver's commands, and who carries them out.
 *
 * A program in the kernel steers the netdev's frames where it can be loaded.
 * Where it cannot, pairs in user space hand frames over (virtio-net-rss-rx.c).
 * Hashes for the driver's header are always taken in user space, so pairs on
 * vhost-net have none.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "util/fdset.h"

#define BIT(n)       (1ULL << (n))
#define RSS_FEATURES (BIT(VIRTIO_NET_F_RSS) | BIT(VIRTIO_NET_F_HASH_REPORT))

/* Bytes of a command before and behind its table, without the key. */
#define CONFIG_HEAD  8u  /* le32 types, le16 mask, le16 unclassified */
#define CONFIG_TAIL  3u  /* le16 max_tx_vq, u8 key length */
#define HASH_KEY_LEN 12u /* le32 types, le16 reserved[4]; u8 key length */

/* ---- the property of open files: strings, by list or with colons ---- */

static json_object *fds_get(Object *obj, const Property *prop, Error **errp)
{
    json_object *value = *PROP_FIELD(obj, prop, json_object *);

    return value ? json_object_get(value) : json_object_new_array();
}

static json_object *split_fds(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, ":", -1);
    json_object *list = json_object_new_array();

    for (unsigned i = 0; words[i]; i++) {
        json_object_array_add(list, json_object_new_string(words[i]));
    }
    return list;
}

static bool fds_set(Object *obj, const Property *prop, json_object *value,
                    Error **errp)
{
    json_object **field = PROP_FIELD(obj, prop, json_object *);
    json_object *list = NULL;

    if (json_object_is_type(value, json_type_string)) {
        list = split_fds(json_object_get_string(value));
    } else if (json_object_is_type(value, json_type_array)) {
        list = json_object_get(value);
    } else {
        error_setg(errp, "Property '%s.%s' expects a list of strings",
                   object_type_name(obj), prop->name);
        return false;
    }
    json_object_put(*field);
    *field = list;
    return true;
}

static void fds_release(Object *obj, const Property *prop)
{
    json_object **field = PROP_FIELD(obj, prop, json_object *);

    json_object_put(*field);
    *field = NULL;
}

const PropertyInfo prop_info_ebpf_fds = {
    .type = "list",
    .get = fds_get,
    .set = fds_set,
    .release = fds_release,
};

static bool read_fds(json_object *list, int *fds, Error **errp) MAIN_THREAD
{
    size_t n = json_object_array_length(list);

    if (n != NET_STEERING_FDS) {
        error_setg(errp,
                   "ebpf-rss-fds: has %zu file descriptors; give %u: the "
                   "program, then its maps in their order",
                   n, NET_STEERING_FDS);
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        json_object *item = json_object_array_get_idx(list, i);

        if (!json_object_is_type(item, json_type_string)) {
            error_setg(errp, "ebpf-rss-fds: expects strings, which are numbers "
                             "of open files or names that getfd gave");
            return false;
        }
        fds[i] =
            fd_from_text(json_object_get_string(item), "ebpf-rss-fds", errp);
        if (fds[i] < 0) {
            return false;
        }
    }
    return true;
}

/* The netdev has duplicates now: files that getfd brought have served. Those
 * given by number are whoever's they were. */
static void fds_taken(json_object *list) MAIN_THREAD
{
    for (unsigned i = 0; list && i < json_object_array_length(list); i++) {
        const char *text =
            json_object_get_string(json_object_array_get_idx(list, i));

        if (!g_ascii_isdigit(text[0])) {
            fd_name_close(text, NULL);
        }
    }
}

/* ---- who steers ---- */

static bool any_vhost(const VirtIONet *net)
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        if (net->pair[i].want_vhost) {
            return true;
        }
    }
    return false;
}

/* Has the netdev's program ready; false with the reason. */
static bool open_program(VirtIONet *net, Error **errp) MAIN_THREAD
{
    NetClientState *peer = net->nic.peer;
    json_object *list = net->conf.ebpf_rss_fds;
    int fds[NET_STEERING_FDS];

    if (!peer->info->steering_open) {
        error_setg(errp, "netdev '%s' takes no program", peer->name);
        return false;
    }
    if ((list && !read_fds(list, fds, errp)) ||
        !peer->info->steering_open(peer, list ? fds : NULL, errp)) {
        return false;
    }
    fds_taken(list);
    return true;
}

/* Without a program: pairs hand over to each other, but vhost-net's do not. */
static void steer_in_user_space(VirtIONet *net, const char *why) MAIN_THREAD
{
    const char *label = device_label(&net->vdev.dev);

    if (any_vhost(net)) {
        net->conf.features &= ~BIT(VIRTIO_NET_F_RSS);
        warn_report("%s: rss=on is not offered, as vhost-net needs a program "
                    "in the kernel for it: %s",
                    label, why);
        return;
    }
    if (!net->conf.rss_steering || strcmp(net->conf.rss_steering, "user")) {
        warn_report("%s: rss=on: no program in the kernel steers frames: %s; "
                    "pairs hand them to each other, which costs throughput",
                    label, why);
    }
    net->rss->how = NET_RSS_STEERING_USER;
    for (unsigned i = 0; i < net->max_pairs; i++) {
        net->pair[i].inbox = rss_inbox_new();
    }
}

static bool choose_steering(VirtIONet *net, Error **errp) MAIN_THREAD
{
    const char *mode = net->conf.rss_steering;
    bool must = net->conf.ebpf_rss_fds || (mode && strcmp(mode, "ebpf") == 0);
    Error *err = NULL;

    if (!net->nic.peer || (net->max_pairs == 1 && !must)) {
        return true; /* there is one place to go */
    }
    if (mode && strcmp(mode, "user") == 0) {
        steer_in_user_space(net, "rss-steering=user");
        return true;
    }
    if (open_program(net, &err)) {
        net->rss->how = NET_RSS_STEERING_EBPF;
        return true;
    }
    if (must) {
        error_propagate(errp, err);
        return false;
    }
    steer_in_user_space(net, err->message);
    g_error_free(err);
    return true;
}

static bool check_properties(const VirtIONet *net, Error **errp)
{
    static const char *const modes[] = { "auto", "ebpf", "user", NULL };
    const char *mode = net->conf.rss_steering;

    if (mode && !g_strv_contains(modes, mode)) {
        error_setg(errp, "rss-steering=%s: must be 'auto', 'ebpf' or 'user'",
                   mode);
        return false;
    }
    if (net->conf.ebpf_rss_fds &&
        (!(net->conf.features & BIT(VIRTIO_NET_F_RSS)) ||
         (mode && strcmp(mode, "user") == 0))) {
        error_setg(errp,
                   "ebpf-rss-fds: needs rss=on and not rss-steering=user");
        return false;
    }
    return true;
}

bool virtio_net_rss_prepare(VirtIONet *net, Error **errp)
{
    uint64_t wanted = net->conf.features & RSS_FEATURES;

    if (!check_properties(net, errp)) {
        return false;
    }
    if (!wanted) {
        return true;
    }
    net->rss = g_new0(NetRss, 1);
    if ((wanted & BIT(VIRTIO_NET_F_HASH_REPORT)) && any_vhost(net)) {
        net->conf.features &= ~BIT(VIRTIO_NET_F_HASH_REPORT);
        warn_report("%s: hash=on is not offered: vhost-net reports no hashes",
                    device_label(&net->vdev.dev));
    }
    if ((wanted & BIT(VIRTIO_NET_F_RSS)) && !choose_steering(net, errp)) {
        g_clear_pointer(&net->rss, g_free);
        return false;
    }
    return true;
}

void virtio_net_rss_release(VirtIONet *net)
{
    NetClientState *peer = net->nic.peer;

    if (!net->rss) {
        return;
    }
    if (net->rss->how == NET_RSS_STEERING_EBPF && peer) {
        peer->info->steering_close(peer);
    }
    for (unsigned i = 0; i < net->max_pairs; i++) {
        rss_inbox_free(net->pair[i].inbox);
        net->pair[i].inbox = NULL;
    }
    g_free((void *)net->rx_rss);
    net->rx_rss = NULL;
    g_clear_pointer(&net->rss, g_free);
}

/* ---- putting a setting into force ---- */

/* For the receiving pairs: what of @rss they have to do. */
static void publish(VirtIONet *net) MAIN_THREAD
{
    const RxRss *old = net->rx_rss;
    const NetRss *rss = net->rss;
    RxRss *next = NULL;

    if (rss->config.hash_types || rss->steering) {
        next = g_new(RxRss, 1);
        next->steer = rss->steering && rss->how == NET_RSS_STEERING_USER;
        next->homes = net->nic.peer
                          ? MIN(net->max_pairs, net->nic.peer->n_queues)
                          : net->max_pairs;
        next->config = rss->config;
    }
    /* Release: a loop that sees the pointer sees the content. */
    __atomic_store_n(&net->rx_rss, next, __ATOMIC_RELEASE);
    if (old) {
        virtio_net_wait_for_readers(net);
        g_free((void *)old);
    }
}

/* The setting @config, with steering or without. False: the kernel refused,
 * nothing has changed. */
static bool apply(VirtIONet *net, const RssConfig *config, bool steering)
    MAIN_THREAD
{
    NetClientState *peer = net->nic.peer;
    NetRss *rss = net->rss;

    if (virtio_net_backend_gone(net)) {
        peer = NULL; /* there is nothing to steer, nor for the driver to hear */
    }
    if (rss->how == NET_RSS_STEERING_EBPF && peer &&
        (steering || rss->steering)) {
        Error *err = NULL;

        if (!peer->info->steer(peer, steering ? config : NULL, &err)) {
            warn_report("%s: %s", device_label(&net->vdev.dev), err->message);
            g_error_free(err);
            if (steering) {
                return false;
            }
        }
    }
    if (config != &rss->config) {
        rss->config = *config;
    }
    rss->steering = steering;
    publish(net);
    return true;
}

void virtio_net_rss_auto(VirtIONet *net)
{
    if (net->rss && net->rss->steering) {
        apply(net, &net->rss->config, false);
    }
}

void virtio_net_rss_reset(VirtIONet *net)
{
    static const RssConfig none;

    if (net->rss) {
        apply(net, &none, false);
    }
}

void virtio_net_rss_rebound(VirtIONet *net)
{
    if (net->rss) {
        publish(net);
    }
}

bool virtio_net_rss_rejoin(VirtIONet *net, Error **errp)
{
    NetClientState *peer = net->nic.peer;
    const NetRss *rss = net->rss;

    if (!rss || rss->how != NET_RSS_STEERING_EBPF) {
        return true;
    }
    if (!peer->info->steering_open) {
        error_setg(errp,
                   "netdev '%s' takes no program, which rss=on of NIC "
                   "'%s' needs",
                   peer->name, net->nic.name);
        return false;
    }
    if (!peer->info->steering_open(peer, NULL, errp)) {
        return false;
    }
    if (rss->steering && !peer->info->steer(peer, &rss->config, errp)) {
        peer->info->steering_close(peer);
        return false;
    }
    return true;
}

/* ---- commands ---- */

/* A queue that the driver may name. */
static bool queue_ok(const VirtIONet *net, unsigned queue)
{
    return queue < net->max_pairs && net->pair[queue].rx_vq->enabled;
}

/* Types and key, which both commands have. @key_at: where its length is; the
 * command ends behind the key. */
static bool read_hash(RssConfig *config, const uint8_t *data, size_t len,
                      size_t key_at)
{
    config->hash_types = load_le32(data);
    if ((config->hash_types & ~RSS_HASH_TYPES) || data[key_at] > RSS_KEY_MAX ||
        len - key_at - 1 != data[key_at]) {
        return false;
    }
    rss_set_key(config, data + key_at + 1, data[key_at]);
    return true;
}

/*
 * Reads a whole RSS_CONFIG. *@pairs: how many have to be active, that is those
 * that the driver may send on and those where frames may go.
 */
static bool read_rss(const VirtIONet *net, const uint8_t *data, size_t len,
                     RssConfig *config, unsigned *pairs)
{
    size_t entries, key_at;

    if (len < CONFIG_HEAD) {
        return false;
    }
    config->mask = load_le16(data + 4);
    config->unclassified = load_le16(data + 6);
    entries = config->mask + 1u;
    key_at = CONFIG_HEAD + 2 * entries + 2;
    if (entries > RSS_TABLE_MAX || (entries & (entries - 1)) ||
        len < key_at + 1 || !queue_ok(net, config->unclassified)) {
        return false;
    }
    *pairs = load_le16(data + key_at - 2);
    if (*pairs < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || *pairs > net->max_pairs) {
        return false;
    }
    *pairs = MAX(*pairs, config->unclassified + 1u);
    for (size_t i = 0; i < entries; i++) {
        config->queue[i] = load_le16(data + CONFIG_HEAD + 2 * i);
        if (!queue_ok(net, config->queue[i])) {
            return false;
        }
        *pairs = MAX(*pairs, config->queue[i] + 1u);
    }
    return read_hash(config, data, len, key_at);
}

bool virtio_net_rss_command(VirtIONet *net, const uint8_t *data, size_t len)
{
    g_autofree RssConfig *config = g_new0(RssConfig, 1);
    unsigned before = net->active_pairs, pairs;

    if (!net->rss || !virtio_has_feature(&net->vdev, VIRTIO_NET_F_RSS) ||
        !read_rss(net, data, len, config, &pairs)) {
        return false;
    }
    /* At no time leads the table to a pair that is not active. */
    virtio_net_set_active_pairs(net, MAX(before, pairs));
    if (!apply(net, config, true)) {
        virtio_net_set_active_pairs(net, before);
        return false;
    }
    virtio_net_set_active_pairs(net, pairs);
    return true;
}

bool virtio_net_hash_command(VirtIONet *net, const uint8_t *data, size_t len)
{
    g_autofree RssConfig *config = g_new0(RssConfig, 1);

    /* What is reserved is not looked at: Linux before 6.6 has a number there.
     */
    return net->rss &&
           virtio_has_feature(&net->vdev, VIRTIO_NET_F_HASH_REPORT) &&
           len > HASH_KEY_LEN && read_hash(config, data, len, HASH_KEY_LEN) &&
           apply(net, config, false);
}

/* ---- for monitors ---- */

static void list_types(uint32_t types, NetRssHashTypeList *out)
{
    out->v = g_new0(NetRssHashType, NET_RSS_HASH_TYPE__MAX);
    for (unsigned i = 0; i < NET_RSS_HASH_TYPE__MAX; i++) {
        if (types & 1u << i) {
            out->v[out->n++] = i;
        }
    }
}

static char *hex_text(const uint8_t *bytes, unsigned n)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < n; i++) {
        g_string_append_printf(text, "%02x", bytes[i]);
    }
    return g_string_free(text, FALSE);
}

bool virtio_net_query_rss(NetClientState *nc, NetRssInfo *info)
{
    VirtIONet *net = container_of(nc, VirtIONet, nic);
    const NetRss *rss = net->rss;
    unsigned entries;

    if (!rss) {
        return false;
    }
    entries = rss->steering ? rss->config.mask + 1u : 0;
    *info = (NetRssInfo){
        .nic = g_strdup(nc->name),
        .qom_path = object_path(OBJECT(net)),
        .steering = rss->how,
        .enabled = rss->steering,
        .hash_report = virtio_has_feature(&net->vdev, VIRTIO_NET_F_HASH_REPORT),
        .key = hex_text(rss->config.key_bytes, rss->config.key_len),
        .unclassified_queue = rss->config.unclassified,
    };
    list_types(rss->config.hash_types, &info->hash_types);
    info->indirection_table.n = entries;
    info->indirection_table.v =
        g_memdup2(rss->config.queue, entries * sizeof(rss->config.queue[0]));
    return true;
}
