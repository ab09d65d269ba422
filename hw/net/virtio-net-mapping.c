/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which pair goes where: the properties `iothread-vq-mapping` (QEMU's form,
 * by virtqueue) and `queue-mapping` (by pair, vhost or iothread), and the
 * iothreads that a device makes for itself.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include "hw/net/virtio-net-internal.h"
#include "qapi/qapi-visit.h"

/* ---- the properties: kept as JSON, read at realize ---- */

static json_object **mapping_field(Object *obj, const Property *prop)
{
    return PROP_FIELD(obj, prop, json_object *);
}

static json_object *mapping_get(Object *obj, const Property *prop, Error **errp)
{
    json_object *value = *mapping_field(obj, prop);

    return value ? json_object_get(value) : json_object_new_array();
}

static bool mapping_set(Object *obj, const Property *prop, json_object *value,
                        Error **errp)
{
    json_object **field = mapping_field(obj, prop);

    if (!json_object_is_type(value, json_type_array)) {
        error_setg(errp, "Property '%s.%s' expects a list",
                   object_type_name(obj), prop->name);
        return false;
    }
    json_object_put(*field);
    *field = json_object_get(value);
    return true;
}

static void mapping_release(Object *obj, const Property *prop)
{
    json_object_put(*mapping_field(obj, prop));
    *mapping_field(obj, prop) = NULL;
}

const PropertyInfo prop_info_queue_mapping = {
    .type = "list",
    .get = mapping_get,
    .set = mapping_set,
    .release = mapping_release,
};

/* Option text gives strings for every leaf, JSON gives numbers too. */
static bool is_option_text(json_object *value)
{
    if (json_object_is_type(value, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(value); i++) {
            if (!is_option_text(json_object_array_get_idx(value, i))) {
                return false;
            }
        }
        return true;
    }
    if (json_object_is_type(value, json_type_object)) {
        for (struct lh_entry *e = json_object_get_object(value)->head; e;
             e = e->next) {
            if (!is_option_text(lh_entry_v(e))) {
                return false;
            }
        }
        return true;
    }
    return json_object_is_type(value, json_type_string);
}

static bool mapping_read(const QapiType *type, const char *name,
                         json_object *value, void *list, Error **errp)
{
    bool ok = is_option_text(value) ? qapi_from_keyval(type, value, list, errp)
                                    : qapi_from_json(type, value, list, errp);

    if (!ok) {
        error_prepend(errp, "%s: ", name);
    }
    return ok;
}

/* ---- iothread-vq-mapping ---- */

static bool pair_use_iothread(VirtIONetPair *pair, const char *id, Error **errp)
    MAIN_THREAD
{
    IOThread *iothread = iothread_find(id, errp);

    if (!iothread) {
        return false;
    }
    if (pair->iothread == iothread) {
        return true;
    }
    if (!virtio_net_pair_may_io(pair, errp)) {
        return false;
    }
    if (pair->iothread) {
        error_setg(errp,
                   "queues %u and %u are one pair and need the same iothread, "
                   "not '%s' and '%s'",
                   2 * pair->index, 2 * pair->index + 1,
                   iothread_id(pair->iothread), id);
        return false;
    }
    iothread_use(iothread, device_label(&pair->net->vdev.dev));
    pair->iothread = iothread;
    pair->want_vhost = false;
    pair->mapped = true;
    return true;
}

static bool vq_mapping_queues(VirtIONet *net, const IOThreadVirtQueueMapping *m,
                              uint8_t *rings, Error **errp) MAIN_THREAD
{
    for (size_t i = 0; i < m->vqs.n; i++) {
        unsigned vq = m->vqs.v[i];

        if (vq >= 2 * net->max_pairs) {
            error_setg(errp,
                       "virtqueue %u is not in 0..%u (the control queue is "
                       "served by the main loop)",
                       vq, 2 * net->max_pairs - 1);
            return false;
        }
        if (rings[vq / 2] & 1u << vq % 2) {
            error_setg(errp, "virtqueue %u is named twice", vq);
            return false;
        }
        rings[vq / 2] |= 1u << vq % 2;
        if (!pair_use_iothread(&net->pair[vq / 2], m->iothread, errp)) {
            return false;
        }
    }
    return true;
}

/* Deals the pairs that no entry names, in turn, to the entries without 'vqs';
 * if there are none, those pairs go where the netdev says. */
static bool vq_mapping_deal(VirtIONet *net,
                            const IOThreadVirtQueueMappingList *list,
                            const uint8_t *rings, Error **errp) MAIN_THREAD
{
    size_t next = 0, tried;

    for (unsigned i = 0; i < net->max_pairs; i++) {
        if (rings[i]) {
            continue;
        }
        for (tried = 0; tried < list->n && list->v[next].has_vqs; tried++) {
            next = (next + 1) % list->n;
        }
        if (tried == list->n) {
            return true;
        }
        if (!pair_use_iothread(&net->pair[i], list->v[next].iothread, errp)) {
            return false;
        }
        next = (next + 1) % list->n;
    }
    return true;
}

static bool vq_mapping_apply(VirtIONet *net,
                             const IOThreadVirtQueueMappingList *list,
                             Error **errp) MAIN_THREAD
{
    g_autofree uint8_t *rings = g_malloc0(net->max_pairs);

    if (list->n == 0) {
        error_setg(errp, "the list needs at least one iothread");
        return false;
    }
    for (size_t i = 0; i < list->n; i++) {
        /* An entry that will get no pair must exist all the same. */
        if (!iothread_find(list->v[i].iothread, errp) ||
            !vq_mapping_queues(net, &list->v[i], rings, errp)) {
            return false;
        }
    }
    for (unsigned i = 0; i < net->max_pairs; i++) {
        if (rings[i] == 1 || rings[i] == 2) {
            error_setg(errp, "queues %u and %u are one pair: name both", 2 * i,
                       2 * i + 1);
            return false;
        }
    }
    return vq_mapping_deal(net, list, rings, errp);
}

/* ---- queue-mapping ---- */

bool virtio_net_mapping_check(const VirtIONet *net,
                              const VirtioNetQueueMapping *m, uint8_t *seen,
                              Error **errp)
{
    if (m->pair >= net->max_pairs) {
        error_setg(errp, "pair %u is not in 0..%u", m->pair,
                   net->max_pairs - 1);
        return false;
    }
    if (seen[m->pair]) {
        error_setg(errp, "pair %u is named twice", m->pair);
        return false;
    }
    seen[m->pair] = 1;
    if (m->backend == VIRTIO_NET_QUEUE_BACKEND_VHOST && m->iothread) {
        error_setg(errp,
                   "pair %u: 'iothread' goes with backend 'iothread' only",
                   m->pair);
        return false;
    }
    return true;
}

static bool pair_mapping_entry(VirtIONet *net, const VirtioNetQueueMapping *m,
                               uint8_t *seen, Error **errp) MAIN_THREAD
{
    VirtIONetPair *pair;

    if (!virtio_net_mapping_check(net, m, seen, errp)) {
        return false;
    }
    pair = &net->pair[m->pair];
    pair->mapped = true;
    if (m->backend == VIRTIO_NET_QUEUE_BACKEND_IOTHREAD) {
        if (!virtio_net_pair_may_io(pair, errp)) {
            return false;
        }
        pair->want_vhost = false;
        return !m->iothread || pair_use_iothread(pair, m->iothread, errp);
    }
    if (!pair->backend || !net_subqueue_has_vhost(pair->backend)) {
        error_setg(errp,
                   "pair %u: backend 'vhost' needs a netdev with vhost=on",
                   m->pair);
        return false;
    }
    pair->want_vhost = true;
    return true;
}

static bool pair_mapping_apply(VirtIONet *net,
                               const VirtioNetQueueMappingList *list,
                               Error **errp) MAIN_THREAD
{
    g_autofree uint8_t *seen = g_malloc0(net->max_pairs);

    for (size_t i = 0; i < list->n; i++) {
        if (!pair_mapping_entry(net, &list->v[i], seen, errp)) {
            return false;
        }
    }
    return true;
}

/* ---- at realize ---- */

static bool mapping_apply_properties(VirtIONet *net, Error **errp) MAIN_THREAD
{
    json_object *by_vq = net->conf.iothread_vq_mapping;
    json_object *by_pair = net->conf.queue_mapping;
    IOThreadVirtQueueMappingList vqs;
    VirtioNetQueueMappingList pairs;
    bool ok;

    if (by_vq && by_pair) {
        error_setg(errp, "iothread-vq-mapping and queue-mapping exclude each "
                         "other");
        return false;
    }
    if (by_vq) {
        if (!mapping_read(&qapi_type_IOThreadVirtQueueMappingList,
                          "iothread-vq-mapping", by_vq, &vqs, errp)) {
            return false;
        }
        ok = vq_mapping_apply(net, &vqs, errp);
        qapi_free_contents(&qapi_type_IOThreadVirtQueueMappingList, &vqs);
        if (!ok) {
            error_prepend(errp, "iothread-vq-mapping: ");
        }
        return ok;
    }
    if (by_pair) {
        if (!mapping_read(&qapi_type_VirtioNetQueueMappingList, "queue-mapping",
                          by_pair, &pairs, errp)) {
            return false;
        }
        ok = pair_mapping_apply(net, &pairs, errp);
        qapi_free_contents(&qapi_type_VirtioNetQueueMappingList, &pairs);
        if (!ok) {
            error_prepend(errp, "queue-mapping: ");
        }
        return ok;
    }
    return true;
}

bool virtio_net_mapping_apply(VirtIONet *net, Error **errp)
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        VirtIONetPair *pair = &net->pair[i];

        pair->want_vhost =
            pair->backend && net_subqueue_has_vhost(pair->backend);
        pair->vhost_required =
            pair->backend && pair->backend->nc->caps.vhost_force;
    }
    net->auto_iothreads = g_ptr_array_new();
    g_ptr_array_set_size(net->auto_iothreads,
                         MIN(net->max_pairs, g_get_num_processors()));
    if (!mapping_apply_properties(net, errp)) {
        virtio_net_mapping_release(net);
        return false;
    }
    return true;
}

void virtio_net_mapping_release(VirtIONet *net)
{
    for (unsigned i = 0; i < net->max_pairs; i++) {
        VirtIONetPair *pair = &net->pair[i];

        virtio_net_pair_drop_iothread(pair);
    }
    g_clear_pointer(&net->auto_iothreads, g_ptr_array_unref);
}

/* One for each @len-th pair. */
IOThread *virtio_net_auto_iothread(const VirtIONetPair *pair, Error **errp)
{
    VirtIONet *net = pair->net;
    unsigned slot = pair->index % net->auto_iothreads->len;
    g_autofree char *name = NULL;

    if (!net->auto_iothreads->pdata[slot]) {
        name = g_strdup_printf("IO %s/%u", device_label(&net->vdev.dev), slot);
        net->auto_iothreads->pdata[slot] = iothread_new_internal(name, errp);
    }
    return net->auto_iothreads->pdata[slot];
}

bool virtio_net_iothread_is_auto(const VirtIONet *net, const IOThread *iothread)
{
    return g_ptr_array_find(net->auto_iothreads, iothread, NULL);
}

void virtio_net_iothread_release(VirtIONet *net, IOThread *iothread)
{
    guint slot;

    if (!iothread) {
        return;
    }
    /* The last use of an iothread of ours is its end. */
    if (iothread_n_users(iothread) == 1 &&
        g_ptr_array_find(net->auto_iothreads, iothread, &slot)) {
        net->auto_iothreads->pdata[slot] = NULL;
    }
    iothread_release(iothread, device_label(&net->vdev.dev));
}

void virtio_net_pair_drop_iothread(VirtIONetPair *pair)
{
    virtio_net_iothread_release(pair->net, pair->iothread);
    pair->iothread = NULL;
}

bool virtio_net_pair_need_iothread(VirtIONetPair *pair, Error **errp)
{
    IOThread *iothread;

    if (pair->iothread) {
        return true;
    }
    iothread = virtio_net_auto_iothread(pair, errp);
    if (!iothread) {
        return false;
    }
    iothread_use(iothread, device_label(&pair->net->vdev.dev));
    pair->iothread = iothread;
    return true;
}
