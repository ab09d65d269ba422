/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -nic and -net: requests for a NIC, with or without a netdev of its own. They
 * are kept while options are read and carried out when there are buses.
 */
#include "util/osdep.h"

#include <json-c/json.h>

#include "hw/core/qdev.h"
#include "net/clients.h"
#include "qapi/keyval.h"
#include "qapi/schema-help.h"

#define DEFAULT_MODEL "virtio-net-pci"

/* One NIC, one netdev, or both joined. */
typedef struct NicRequest {
    Netdev *netdev;      /* to be made; NULL: none */
    json_object *device; /* for device_add(); NULL: none */
    char *option;        /* as typed: "-nic tap,queues=4" */
} NicRequest;

/* Under the machine lock; empty again after net_create_nics(). */
static GPtrArray *requests;  /* of NicRequest */
static NicRequest *net_pair; /* what `-net nic` and `-net tap` join in */
static unsigned ids_made;

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

/* The string at @key of @opts, taken out; NULL: not there. Caller frees. */
static char *take_string(json_object *opts, const char *key)
{
    json_object *value;
    char *text;

    if (!json_object_object_get_ex(opts, key, &value)) {
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

/* Option text whose leaves are strings; *@none: its type is "none". */
static json_object *parse_options(const char *option, const char *text,
                                  bool *none, Error **errp)
{
    bool help = false;
    json_object *opts = keyval_parse(text, "type", &help, errp);
    json_object *type;

    if (!opts) {
        return NULL;
    }
    if (help) {
        printf("%s none, or a netdev type (-netdev help lists them) and its "
               "options, model=, mac=\n",
               option);
        exit(0);
    }
    *none = json_object_object_get_ex(opts, "type", &type) &&
            strcmp(json_object_get_string(type), "none") == 0;
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

/* The request that `-net nic` and `-net tap` share; @text joins it. */
static NicRequest *MAIN_THREAD pair_request(const char *text)
{
    if (!net_pair) {
        net_pair = request_new("-net", text);
    } else {
        char *both = g_strdup_printf("%s -net %s", net_pair->option, text);

        g_free(net_pair->option);
        net_pair->option = both;
    }
    return net_pair;
}

/* `-net nic`: a NIC on netdev=, or on the netdev of the other -net. */
static bool MAIN_THREAD legacy_nic(const Netdev *netdev, const char *text,
                                   Error **errp)
{
    const NetLegacyNicOptions *o = &netdev->u.nic;
    json_object *device;

    if (!o->netdev && net_pair && net_pair->device) {
        error_setg(errp, "-net nic: there is one already and no hub joins "
                         "several; use -nic, or netdev= for each");
        return false;
    }
    device = json_object_new_object();
    set_string(device, "driver",
               driver_of(o->model ? o->model : DEFAULT_MODEL));
    set_string(device, "mac", o->macaddr);
    set_string(device, "addr", o->addr);
    set_string(device, "netdev", o->netdev);
    if (o->has_vectors) {
        json_object_object_add(device, "vectors",
                               json_object_new_int64(o->vectors));
    }
    if (o->netdev) {
        request_new("-net", text)->device = device;
        return true;
    }
    pair_request(text)->device = device;
    return true;
}

/* `-net tap`: takes *@netdev over. */
static bool MAIN_THREAD legacy_netdev(Netdev **netdev, const char *text,
                                      Error **errp)
{
    if (net_pair && net_pair->netdev) {
        error_setg(errp,
                   "-net %s: there is a -net %s already and no hub joins "
                   "several; use -nic, or -netdev and -device, for each",
                   NetClientDriver_str((*netdev)->type),
                   NetClientDriver_str(net_pair->netdev->type));
        return false;
    }
    pair_request(text)->netdev = g_steal_pointer(netdev);
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
    return netdev->type == NET_CLIENT_DRIVER_NIC
               ? legacy_nic(netdev, text, errp)
               : legacy_netdev(&netdev, text, errp);
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

static bool MAIN_THREAD request_carry_out(NicRequest *r, Error **errp)
{
    if (r->netdev && !netdev_add(r->netdev, errp)) {
        return false;
    }
    if (!r->device) {
        return true;
    }
    if (r->netdev) {
        join_device(r->device, r->netdev->id);
    }
    if (!device_add(r->device, errp)) {
        if (r->netdev) {
            netdev_del(r->netdev->id, NULL);
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
    net_pair = NULL;
    if (err) {
        error_propagate(errp, err);
        return false;
    }
    return true;
}
