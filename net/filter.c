/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Filters as objects: what all of them have, and the list of each netdev.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "net/filter.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"

enum { QUEUE_ALL, QUEUE_RX, QUEUE_TX };
enum { INSERT_BEHIND, INSERT_BEFORE };
enum { STATUS_ON, STATUS_OFF };

/* ---- what types of filter ask ---- */

int net_filter_directions(const NetFilter *f)
{
    static const int of[] = { [QUEUE_ALL] = NET_FILTER_BOTH,
                              [QUEUE_RX] = NET_FILTER_RX,
                              [QUEUE_TX] = NET_FILTER_TX };

    return of[f->direction];
}

void net_filter_drop(NetFilter *f, unsigned n)
{
    __atomic_fetch_add(&f->dropped, n, __ATOMIC_RELAXED);
}

/* Is the subqueue @index one of the filter's, if there is such a one? */
static bool is_meant(const NetFilter *f, unsigned index)
{
    if (f->queue_index >= 0) {
        return index == (unsigned)f->queue_index;
    }
    return index == 0 || !NETFILTER_GET_CLASS(f)->needs_one_queue;
}

bool net_filter_is_at(const NetFilter *f, unsigned index)
{
    return f->netdev && index < f->netdev->n_queues && is_meant(f, index);
}

NetFilterQueue *net_filter_first_queue(const NetFilter *f)
{
    for (unsigned i = 0; f->netdev && i < f->netdev->n_queues; i++) {
        if (is_meant(f, i)) {
            return f->queues[i];
        }
    }
    return NULL;
}

/* ---- chains follow the list ---- */

typedef struct RewireCall {
    NetSubqueue *sq;
    GPtrArray *queues; /* of NetFilterQueue, the head first */
} RewireCall;

static void rewire_act(void *opaque)
{
    RewireCall *call = opaque;

    machine_lock_assert();
    net_filter_chain_set(call->sq, (NetFilterQueue *const *)call->queues->pdata,
                         call->queues->len);
}

void net_filters_rewire(NetSubqueue *sq, const char *reason)
{
    const NetClientState *nc = sq->nc;
    g_autoptr(GPtrArray) queues = g_ptr_array_new();
    RewireCall call = { sq, queues };
    NetRewire rewire = { sq, rewire_act, &call, reason };

    for (unsigned i = 0; nc->filters && i < nc->filters->len; i++) {
        NetFilter *f = g_ptr_array_index(nc->filters, i);

        if (f->status == STATUS_ON && is_meant(f, sq->index)) {
            g_ptr_array_add(queues, f->queues[sq->index]);
        }
    }
    if (!queues->len && !sq->filters) {
        return;
    }
    if (nc->peer && nc->peer->info->peer_rewire && sq->index < nc->n_queues) {
        nc->peer->info->peer_rewire(nc->peer, &rewire);
    } else {
        rewire_act(&call);
    }
}

/* The filter has come, left, or been switched. */
static void rewire_all(NetFilter *f, const char *what) MAIN_THREAD
{
    g_autofree char *reason =
        g_strdup_printf("%s '%s' %s", object_type_name(&f->obj), f->id, what);

    for (unsigned i = 0; i < f->n_queues; i++) {
        if (is_meant(f, i)) {
            net_filters_rewire(&f->netdev->queue[i], reason);
        }
    }
}

/* ---- to the netdev and from it ---- */

static bool check_netdev(const NetFilter *f, const NetClientState *nc,
                         Error **errp)
{
    if (!nc->info->recv || !nc->info->send) {
        error_setg(errp,
                   "netdev '%s' (%s) takes no filters: its frames do not pass "
                   "this process",
                   nc->name, NetClientDriver_str(nc->info->type));
        return false;
    }
    if (nc->caps.vhost && nc->caps.vhost_force) {
        error_setg(errp,
                   "netdev '%s' has vhostforce=on: its frames stay with "
                   "vhost-net; use vhostforce=off",
                   nc->name);
        return false;
    }
    if (nc->peer && !nc->peer->info->peer_rewire) {
        error_setg(errp, "netdev '%s' takes no filters: '%s' has it", nc->name,
                   nc->peer->name);
        return false;
    }
    if (f->queue_index < -1 || f->queue_index >= (int)nc->n_queues) {
        error_setg(errp,
                   "queue-index=%d: netdev '%s' has queues 0 to %u (-1: all)",
                   f->queue_index, nc->name, nc->n_queues - 1);
        return false;
    }
    return true;
}

/* Where in the list of @nc the filter belongs; -1 and *errp. */
static int find_place(const NetFilter *f, const NetClientState *nc,
                      Error **errp)
{
    const char *position = f->position ? f->position : "tail";
    unsigned n = nc->filters ? nc->filters->len : 0;
    g_autofree char *shown = NULL;

    if (strcmp(position, "tail") == 0 || strcmp(position, "head") == 0) {
        return *position == 't' ? (int)n : 0;
    }
    shown = qapi_quote(position);
    if (!g_str_has_prefix(position, "id=")) {
        error_setg(errp,
                   "position=%s: must be head, tail or id=, then the id of a "
                   "filter",
                   shown);
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        const NetFilter *other = g_ptr_array_index(nc->filters, i);

        if (strcmp(other->id, position + 3) == 0) {
            return (int)i + (f->insert == INSERT_BEHIND);
        }
    }
    error_setg(errp, "position=%s: netdev '%s' has no such filter", shown,
               nc->name);
    return -1;
}

static void attach(NetFilter *f, NetClientState *nc, int place) MAIN_THREAD
{
    const NetFilterClass *klass = NETFILTER_GET_CLASS(f);

    f->id = g_strdup(f->obj.name);
    f->netdev = nc;
    f->n_queues = nc->info->set_queues ? NET_MAX_QUEUES : nc->n_queues;
    f->queues = g_new0(NetFilterQueue *, f->n_queues);
    for (unsigned i = 0; i < f->n_queues; i++) {
        if (is_meant(f, i)) {
            f->queues[i] =
                g_malloc0(MAX(klass->queue_size, sizeof(NetFilterQueue)));
            *f->queues[i] =
                (NetFilterQueue){ .filter = f, .sq = &nc->queue[i], .at = -1 };
        }
    }
    if (!nc->filters) {
        nc->filters = g_ptr_array_new();
    }
    g_ptr_array_insert(nc->filters, place, f);
}

static NO_THREAD_SAFETY bool filter_complete(Object *obj, Error **errp)
{
    NetFilter *f = NETFILTER(obj);
    NetClientState *nc;
    int place;

    if (!f->netdev_id) {
        error_setg(errp, "Parameter 'netdev' is missing");
        return false;
    }
    nc = netdev_find(f->netdev_id, errp);
    if (!nc || !check_netdev(f, nc, errp)) {
        return false;
    }
    place = find_place(f, nc, errp);
    if (place < 0) {
        return false;
    }
    attach(f, nc, place);
    if (!NETFILTER_GET_CLASS(f)->setup(f, errp)) {
        return false; /* the object goes */
    }
    if (f->status == STATUS_ON) {
        rewire_all(f, "is attached");
    }
    return true;
}

static NO_THREAD_SAFETY void filter_finalize(Object *obj)
{
    NetFilter *f = NETFILTER(obj);
    const NetFilterClass *klass = NETFILTER_GET_CLASS(f);

    if (f->netdev) {
        g_ptr_array_remove(f->netdev->filters, f);
        rewire_all(f, "has left");
    }
    if (klass->cleanup) {
        klass->cleanup(f);
    }
    for (unsigned i = 0; i < f->n_queues; i++) {
        g_free(f->queues[i]);
    }
    g_free(f->queues);
    g_free(f->id);
}

void net_filters_delete(NetClientState *nc)
{
    while (nc->filters && nc->filters->len) {
        NetFilter *f = g_ptr_array_index(nc->filters, 0);

        object_unparent(&f->obj);
    }
}

void net_filters_release(NetClientState *nc)
{
    for (unsigned i = 0; nc->queue && i < NET_MAX_QUEUES; i++) {
        net_filter_chain_free(&nc->queue[i]);
    }
    g_clear_pointer(&nc->filters, g_ptr_array_unref);
}

void net_filters_queues_changed(NetClientState *nc)
{
    for (unsigned i = nc->n_queues; i < NET_MAX_QUEUES; i++) {
        net_filter_chain_clear(&nc->queue[i]);
    }
}

static void delete_filters_of(NetClientState *nc, void *opaque) MAIN_THREAD
{
    net_filters_delete(nc);
}

void net_filters_cleanup(void)
{
    net_client_foreach(delete_filters_of, NULL);
}

/* ---- for people ---- */

typedef struct Described {
    Object *obj;
    GString *out;
} Described;

static void describe_property(const Property *prop, void *opaque) MAIN_THREAD
{
    Described *d = opaque;
    json_object *value = object_property_get(d->obj, prop->name, NULL);
    const char *text = value ? json_object_get_string(value) : "";

    if (text && *text && strcmp(prop->name, "type") != 0) {
        g_string_append_printf(d->out, ",%s=%s", prop->name, text);
    }
    json_object_put(value);
}

void net_filters_describe(const NetClientState *nc, GString *out)
{
    for (unsigned i = 0; nc->filters && i < nc->filters->len; i++) {
        NetFilter *f = g_ptr_array_index(nc->filters, i);
        Described d = { &f->obj, out };

        g_string_append_printf(out, "%s  - %s: type=%s", i ? "" : "filters:\n",
                               f->id, object_type_name(&f->obj));
        object_class_property_foreach_all(f->obj.klass, describe_property, &d);
        g_string_append_c(out, '\n');
    }
}

/* ---- properties ---- */

static const char *const direction_names[] = { "all", "rx", "tx", NULL };
static const char *const insert_names[] = { "behind", "before", NULL };
static const char *const status_names[] = { "on", "off", NULL };

static const PropertyInfo direction_info = {
    .type = "NetFilterDirection",
    .get = prop_enum_get,
    .set = prop_enum_set,
    .set_default = prop_enum_default,
    .enum_values = direction_names,
};

static const PropertyInfo insert_info = {
    .type = "str",
    .get = prop_enum_get,
    .set = prop_enum_set,
    .set_default = prop_enum_default,
    .enum_values = insert_names,
};

static NO_THREAD_SAFETY bool status_set(Object *obj, const Property *prop,
                                        json_object *value, Error **errp)
{
    NetFilter *f = NETFILTER(obj);
    const NetFilterClass *klass = NETFILTER_GET_CLASS(f);
    int old = f->status;

    if (!prop_enum_set(obj, prop, value, errp)) {
        return false;
    }
    if (f->obj.realized && f->status != old) {
        rewire_all(f, f->status == STATUS_ON ? "is on" : "is off");
        if (klass->switched) {
            klass->switched(f);
        }
    }
    return true;
}

static const PropertyInfo status_info = {
    .type = "str",
    .get = prop_enum_get,
    .set = status_set,
    .set_default = prop_enum_default,
    .enum_values = status_names,
};

static json_object *count_get(Object *obj, const Property *prop, Error **errp)
{
    const uint64_t *field = PROP_FIELD(obj, prop, uint64_t);

    return json_object_new_uint64(__atomic_load_n(field, __ATOMIC_RELAXED));
}

static const PropertyInfo count_info = { .type = "uint64", .get = count_get };

static const Property filter_properties[] = {
    PROP_STRING("netdev", NetFilter, netdev_id, "id of the netdev"),
    PROP_("queue", NetFilter, direction, direction_info, QUEUE_ALL,
          "frames that the netdev is sent, by the guest (rx), that it sends, "
          "to the guest (tx), or all"),
    PROP_INT32("queue-index", NetFilter, queue_index, -1,
               "the one queue of the netdev to filter; -1: all"),
    { .name = "status",
      .info = &status_info,
      .offset = offsetof(NetFilter, status),
      .defval = STATUS_ON,
      .live = true,
      .description = "on, or off: frames pass as if it were not there" },
    PROP_STRING("position", NetFilter, position,
                "place among the netdev's filters: head, tail (as without), "
                "or id= and the id of one"),
    PROP_("insert", NetFilter, insert, insert_info, INSERT_BEHIND,
          "behind the filter that position= names, or before"),
    { .name = "frames",
      .info = &count_info,
      .offset = offsetof(NetFilter, frames),
      .description = "frames that it has seen" },
    { .name = "dropped",
      .info = &count_info,
      .offset = offsetof(NetFilter, dropped),
      .description = "frames, or copies, that it lost" },
    PROP_END,
};

static void filter_class_init(ObjectClass *klass)
{
    klass->complete = filter_complete;
}

static const char *const filter_interfaces[] = { "user-creatable", NULL };

static const TypeInfo filter_types[] = {
    {
        .name = TYPE_NETFILTER,
        .parent = "object",
        .abstract = true,
        .instance_size = sizeof(NetFilter),
        .class_size = sizeof(NetFilterClass),
        .class_init = filter_class_init,
        .instance_finalize = filter_finalize,
        .properties = filter_properties,
        .interfaces = filter_interfaces,
    },
};
DEFINE_TYPES(filter_types)
