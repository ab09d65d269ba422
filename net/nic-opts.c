/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -nic and -net: requests for a NIC, with or without a netdev of its own. They
 * are kept while options are read and carried out when there are buses.
 *
 * What -net makes, NICs and netdevs, is joined by a hub, unless -net nic names
 * a netdev.
 */
#include "util/osdep.h"

#include <json-c/json.h>

#include "hw/core/qdev.h"
#include "net/clients.h"
#include "qapi/keyval.h"
#include "qapi/schema-help.h"

#define DEFAULT_MODEL "virtio-net-pci"

#define LEGACY_HUB 0 /* what `-net` without netdev= joins */

/* One NIC, one netdev, or both joined. */
typedef struct NicRequest {
    Netdev *netdev;      /* to be made; NULL: none */
    json_object *device; /* for device_add(); NULL: none */
    char *option;        /* as typed: "-nic tap,queues=4" */
    bool on_hub;         /* the NIC, or the netdev, gets a port of the hub */
} NicRequest;

/* Under the machine lock; empty again after net_create_nics(). */
static GPtrArray *requests; /* of NicRequest */
static unsigned ids_made, ports_made;

static const struct {
    const char *model, *driver;
} model_names[] = {
    { "virtio", "virtio-net-pci" },
    { "virtio-net", "virtio-net-pci" },
};

static void request_free(void *opaque)
{
    NicRequest *r = opaque;

    Netdev_free(r->netdev);
    json_object_put(r->device);
    g_free(r->option);
    g_free(r);
}

/* @option and @text are what the user wrote. */
static NicRequest *MAIN_THREAD request_new(const char *option, const char *text)
{
    NicRequest *r = g_new0(NicRequest, 1);

    r->option = g_strdup_printf("%s %s", option, text);
    if (!requests) {
        requests = g_ptr_array_new_with_free_func(request_free);
    }
    g_ptr_array_add(requests, r);
    return r;
}

static void MAIN_THREAD request_drop(NicRequest *request)
{
    g_ptr_array_remove(requests, request);
}

static const char *driver_of(const char *model)
{
    for (size_t i = 0; i < ARRAY_SIZE(model_names); i++) {
        if (strcmp(model, model_names[i].model) == 0) {
            return model_names[i].driver;
        }
    }
    return model;
}

static void print_nic_model(ObjectClass *klass, void *opaque)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    if (dc->user_creatable && dc->category &&
        strcmp(dc->category, "Network") == 0) {
        printf("%s\n", object_class_name(klass));
    }
}

void net_nic_model_help(void)
{
    printf("Available NIC models:\n");
    object_class_foreach(TYPE_DEVICE, false, print_nic_model, NULL);
}

/* The string at @key of @opts, taken out; NULL: not there, or it is more than a
 * string, as the addr.host=... of a netdev. Caller frees. */
static char *take_string(json_object *opts, const char *key)
{
    json_object *value;
    char *text;

    if (!json_object_object_get_ex(opts, key, &value) ||
        !json_object_is_type(value, json_type_string)) {
        return NULL;
    }
    text = g_strdup(json_object_get_string(value));
    json_object_object_del(opts, key);
    return text;
}

static void set_string(json_object *obj, const char *key, const char *value)
{
    if (value) {
        json_object_object_add(obj, key, json_object_new_string(value));
    }
}

/* Moves the NIC's part of -nic, @opts, to a new device_add() object. */
static json_object *take_device(json_object *opts)
{
    static const char *const as_they_are[] = { "addr", "vectors", "bus",
                                               "bootindex", "romfile" };
    json_object *device = json_object_new_object();
    g_autofree char *model = take_string(opts, "model");
    g_autofree char *mac = take_string(opts, "mac");
    g_autofree char *macaddr = take_string(opts, "macaddr");

    if (model && (strcmp(model, "help") == 0 || strcmp(model, "?") == 0)) {
        net_nic_model_help();
        exit(0);
    }
    set_string(device, "driver", driver_of(model ? model : DEFAULT_MODEL));
    set_string(device, "mac", mac ? mac : macaddr);
    for (size_t i = 0; i < ARRAY_SIZE(as_they_are); i++) {
        g_autofree char *value = take_string(opts, as_they_are[i]);

        set_string(device, as_they_are[i], value);
    }
    return device;
}

/* Reads @opts as a netdev; gives it an id when the user did not. */
static Netdev *MAIN_THREAD read_netdev(json_object *opts, const char *prefix,
                                       Error **errp)
{
    Netdev *netdev;

    if (!json_object_object_get_ex(opts, "id", NULL)) {
        g_autofree char *id = g_strdup_printf("%s%u", prefix, ids_made++);

        set_string(opts, "id", id);
    }
    netdev = qapi_new_from_keyval(&qapi_type_Netdev, opts, errp);
    if (!netdev) {
        const char *type =
            json_object_get_string(json_object_object_get(opts, "type"));
        g_autofree char *hint = g_strdup_printf(
            "%s %s,help lists them",
            strcmp(type, "nic") == 0 ? "-net" : "-netdev", type);

        schema_hint_unknown(errp, hint);
    }
    return netdev;
}

/* What @option takes, or the options of the type that @opts names. */
static bool print_help(const char *option, json_object *opts, Error **errp)
{
    if (!json_object_object_get_ex(opts, "type", NULL)) {
        printf("%s none, or a netdev type and its options (%s TYPE,help), "
               "model=, mac=\n",
               option, option);
    }
    return netdev_print_help(opts, errp);
}

/* Option text whose leaves are strings; *@none: its type is "none". */
static json_object *parse_options(const char *option, const char *text,
                                  bool *none, Error **errp)
{
    bool help = false;
    g_autofree char *full = netdev_spell_out(text);
    json_object *opts = keyval_parse(full, "type", &help, errp);
    json_object *type;

    if (!opts) {
        return NULL;
    }
    if (help) {
        if (print_help(option, opts, errp)) {
            exit(0);
        }
        json_object_put(opts);
        return NULL;
    }
    *none = json_object_object_get_ex(opts, "type", &type) &&
            strcmp(json_object_get_string(type), "none") == 0;
    if (*none && strcmp(option, "-nic") == 0) {
        /* What would be the NIC's does no harm. */
        json_object_object_del(opts, "model");
        json_object_object_del(opts, "mac");
    }
    if (*none && json_object_object_length(opts) > 1) {
        error_setg(errp, "%s none takes no other options", option);
        json_object_put(opts);
        return NULL;
    }
    return opts;
}

/* The netdev that -nic makes; "nic" is for -net alone. */
static bool check_nic_type(json_object *opts, Error **errp)
{
    json_object *type;

    if (json_object_object_get_ex(opts, "type", &type) &&
        strcmp(json_object_get_string(type), "nic") == 0) {
        error_setg(errp, "-nic nic: a NIC is what -nic makes; give the type of "
                         "its netdev, or use -net nic");
        return false;
    }
    return netdev_type_check(opts, false, errp);
}

bool net_nic_option(const char *text, Error **errp)
{
    bool none;
    json_object *opts = parse_options("-nic", text, &none, errp);
    NicRequest *r;

    if (!opts || none) {
        json_object_put(opts);
        return opts != NULL;
    }
    r = request_new("-nic", text);
    r->device = take_device(opts);
    if (check_nic_type(opts, errp)) {
        r->netdev = read_netdev(opts, "nic-netdev", errp);
    }
    json_object_put(opts);
    if (!r->netdev) {
        request_drop(r);
        return false;
    }
    return true;
}

/* `-net nic`: a NIC on netdev=, or on the hub. */
static void MAIN_THREAD legacy_nic(const Netdev *netdev, const char *text)
{
    const NetLegacyNicOptions *o = &netdev->u.nic;
    json_object *device = json_object_new_object();
    NicRequest *r = request_new("-net", text);

    set_string(device, "driver",
               driver_of(o->model ? o->model : DEFAULT_MODEL));
    set_string(device, "mac", o->macaddr);
    set_string(device, "addr", o->addr);
    set_string(device, "netdev", o->netdev);
    if (o->has_vectors) {
        json_object_object_add(device, "vectors",
                               json_object_new_int64(o->vectors));
    }
    r->device = device;
    r->on_hub = !o->netdev;
}

/* `-net TYPE`: takes *@netdev over. */
static bool MAIN_THREAD legacy_netdev(Netdev **netdev, const char *text,
                                      Error **errp)
{
    NicRequest *r;

    if ((*netdev)->type == NET_CLIENT_DRIVER_HUBPORT) {
        error_setg(errp,
                   "-net hubport: what -net makes is on hub %d anyhow; "
                   "use -netdev hubport for another one",
                   LEGACY_HUB);
        return false;
    }
    r = request_new("-net", text);
    r->netdev = g_steal_pointer(netdev);
    r->on_hub = true;
    return true;
}

bool net_legacy_option(const char *text, Error **errp)
{
    bool none;
    json_object *opts = parse_options("-net", text, &none, errp);
    g_autoptr(Netdev) netdev = NULL;

    if (!opts || none) {
        json_object_put(opts);
        return opts != NULL;
    }
    if (netdev_type_check(opts, true, errp)) {
        netdev = read_netdev(opts, "net-netdev", errp);
    }
    json_object_put(opts);
    if (!netdev) {
        return false;
    }
    if (netdev->type == NET_CLIENT_DRIVER_NIC) {
        legacy_nic(netdev, text);
        return true;
    }
    return legacy_netdev(&netdev, text, errp);
}

/* A NIC made for its netdev gets a pair for each of its queues. */
static void MAIN_THREAD join_device(json_object *device, const char *netdev)
{
    NetClientState *nc = net_client_find(netdev);
    json_object *driver = json_object_object_get(device, "driver");

    set_string(device, "netdev", netdev);
    if (nc->n_queues > 1 &&
        g_str_has_prefix(json_object_get_string(driver), "virtio-net")) {
        json_object_object_add(device, "mq", json_object_new_boolean(true));
    }
}

/* A port of the hub for @netdev, or (NULL) for a NIC. Its id, which the caller
 * frees; NULL: an error. */
static char *MAIN_THREAD add_port(const char *netdev, Error **errp)
{
    Netdev port = { .type = NET_CLIENT_DRIVER_HUBPORT };

    do {
        g_free(port.id);
        port.id = g_strdup_printf("hub%dport%u", LEGACY_HUB, ports_made++);
    } while (net_client_find(port.id));
    port.u.hubport.hubid = LEGACY_HUB;
    port.u.hubport.netdev = (char *)netdev;
    if (!netdev_add(&port, errp)) {
        g_clear_pointer(&port.id, g_free);
    }
    return port.id;
}

/* Makes what @r asks for on the host's side, in the order made. *@last: id of
 * the netdev that the NIC is to have, if any; the caller frees it. */
static bool MAIN_THREAD make_netdevs(NicRequest *r, char **last, Error **errp)
{
    *last = NULL;
    if (r->netdev) {
        if (!netdev_add(r->netdev, errp)) {
            return false;
        }
        *last = g_strdup(r->netdev->id);
    }
    if (r->on_hub) {
        g_autofree char *behind = g_steal_pointer(last);

        *last = add_port(behind, errp);
        if (!*last && behind) {
            netdev_del(behind, NULL);
        }
        return *last != NULL;
    }
    return true;
}

/* A group's address is none for a NIC (IEEE 802). What is no address at all the
 * device says. */
static bool check_mac(json_object *device, Error **errp)
{
    json_object *mac = json_object_object_get(device, "mac");
    const char *text = json_object_get_string(mac);

    if (text && g_ascii_isxdigit(text[0]) && g_ascii_isxdigit(text[1]) &&
        (g_ascii_xdigit_value(text[1]) & 1)) {
        error_setg(errp,
                   "mac=%s: is a multicast address, whose first byte is odd; "
                   "a NIC's is even",
                   text);
        return false;
    }
    return true;
}

static bool MAIN_THREAD request_carry_out(NicRequest *r, Error **errp)
{
    g_autofree char *netdev = NULL;

    if ((r->device && !check_mac(r->device, errp)) ||
        !make_netdevs(r, &netdev, errp)) {
        return false;
    }
    if (!r->device) {
        return true;
    }
    if (netdev) {
        join_device(r->device, netdev);
    }
    if (!device_add(r->device, errp)) {
        if (netdev) {
            netdev_del(netdev, NULL);
        }
        return false;
    }
    return true;
}

bool net_create_nics(Error **errp)
{
    Error *err = NULL;

    for (unsigned i = 0; requests && !err && i < requests->len; i++) {
        NicRequest *r = g_ptr_array_index(requests, i);

        if (!request_carry_out(r, &err)) {
            error_prepend(&err, "%s: ", r->option);
        }
    }
    g_clear_pointer(&requests, g_ptr_array_unref);
    if (err) {
        error_propagate(errp, err);
        return false;
    }
    return true;
}
