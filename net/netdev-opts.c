/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev and netdev_add: from options to a netdev. */
#include "util/osdep.h"

#include "config-host.h"
#include "net/clients.h"
#include "qapi/keyval.h"
#include "qapi/qapi-visit.h"
#include "qom/object.h"
#include "qapi/schema-help.h"

typedef bool NetInitFunc(const Netdev *netdev, Error **errp);

static NetInitFunc *const init_funcs[NET_CLIENT_DRIVER__MAX] = {
    [NET_CLIENT_DRIVER_TAP] = net_init_tap,
    [NET_CLIENT_DRIVER_BRIDGE] = net_init_bridge,
    [NET_CLIENT_DRIVER_VHOST_USER] = net_init_vhost_user,
    [NET_CLIENT_DRIVER_VHOST_VDPA] = net_init_vhost_vdpa,
    [NET_CLIENT_DRIVER_SOCKET] = net_init_socket,
    [NET_CLIENT_DRIVER_STREAM] = net_init_stream,
    [NET_CLIENT_DRIVER_DGRAM] = net_init_dgram,
    [NET_CLIENT_DRIVER_PASST] = net_init_passt,
#ifdef CONFIG_SLIRP
    [NET_CLIENT_DRIVER_USER] = net_init_user,
#endif
#ifdef CONFIG_VDE
    [NET_CLIENT_DRIVER_VDE] = net_init_vde,
#endif
    [NET_CLIENT_DRIVER_HUBPORT] = net_init_hubport,
    [NET_CLIENT_DRIVER_L2TPV3] = net_init_l2tpv3,
#ifdef CONFIG_AF_XDP
    [NET_CLIENT_DRIVER_AF_XDP] = net_init_af_xdp,
#endif
};

static void netdev_help(void)
{
    printf("Available netdev backend types:\n");
    for (int i = 0; i < NET_CLIENT_DRIVER__MAX; i++) {
        if (init_funcs[i]) {
            printf("%s\n", NetClientDriver_str(i));
        }
    }
}

/* "nic, tap, bridge" */
static char *type_list(bool nic_too)
{
    g_autoptr(GString) list = g_string_new(nic_too ? "nic" : NULL);

    for (int i = 0; i < NET_CLIENT_DRIVER__MAX; i++) {
        if (init_funcs[i]) {
            g_string_append_printf(list, "%s%s", list->len ? ", " : "",
                                   NetClientDriver_str(i));
        }
    }
    return g_string_free(g_steal_pointer(&list), FALSE);
}

bool netdev_type_check(json_object *opts, bool nic_too, Error **errp)
{
    g_autofree char *list = type_list(nic_too);
    g_autofree char *shown = NULL;
    json_object *type;
    int value;

    if (!json_object_object_get_ex(opts, "type", &type)) {
        error_setg(errp, "Parameter 'type' is missing, expected one of: %s",
                   list);
        return false;
    }
    if (!json_object_is_type(type, json_type_string)) {
        error_setg(errp, "Invalid parameter type for 'type', expected: string");
        return false;
    }
    value = qapi_enum_find(&qapi_type_NetClientDriver,
                           json_object_get_string(type));
    if (value >= 0 &&
        (init_funcs[value] || (nic_too && value == NET_CLIENT_DRIVER_NIC))) {
        return true;
    }
    shown = qapi_quote(json_object_get_string(type));
    error_setg(errp,
               "Parameter 'type' does not accept value '%s', expected one of: "
               "%s",
               shown, list);
    return false;
}

static bool MAIN_THREAD check_netdev(const Netdev *netdev, Error **errp)
{
    NetClientState *other;

    if (!id_check(netdev->id, errp)) {
        return false;
    }
    if (!init_funcs[netdev->type]) {
        error_setg(errp,
                   "netdev '%s': Parameter 'type' expects a netdev backend "
                   "type (-netdev help lists them), not '%s'",
                   netdev->id, NetClientDriver_str(netdev->type));
        return false;
    }
    other = net_client_find(netdev->id);
    if (other && other->info->type != NET_CLIENT_DRIVER_NIC) {
        error_setg(errp, "Duplicate ID '%s' for netdev; give each its own",
                   netdev->id);
        return false;
    }
    return true;
}

bool netdev_add(const Netdev *netdev, Error **errp)
{
    Error *err = NULL;

    if (!check_netdev(netdev, errp)) {
        return false;
    }
    if (!init_funcs[netdev->type](netdev, &err)) {
        error_prepend(&err, "netdev '%s': ", netdev->id);
        error_propagate(errp, err);
        return false;
    }
    return true;
}

/* The options of the type that @opts names, which exists. */
static void netdev_help_options(json_object *opts)
{
    const char *type =
        json_object_get_string(json_object_object_get(opts, "type"));

    schema_print_options(
        type, &qapi_type_Netdev,
        (unsigned)qapi_enum_find(&qapi_type_NetClientDriver, type));
}

static Netdev *netdev_read(json_object *opts, bool is_json, Error **errp)
{
    json_object *type = json_object_object_get(opts, "type");
    Netdev *netdev = is_json
                         ? qapi_new_from_json(&qapi_type_Netdev, opts, errp)
                         : qapi_new_from_keyval(&qapi_type_Netdev, opts, errp);

    if (!netdev) {
        g_autofree char *hint = g_strdup_printf("-netdev %s,help lists them",
                                                json_object_get_string(type));

        schema_hint_unknown(errp, hint);
    }
    return netdev;
}

bool netdev_print_help(json_object *opts, Error **errp)
{
    json_object *type;

    if (!json_object_object_get_ex(opts, "type", &type)) {
        netdev_help();
        return true;
    }
    /* -net nic,help ends here too. */
    if (!netdev_type_check(
            opts, g_strcmp0(json_object_get_string(type), "nic") == 0, errp)) {
        return false;
    }
    netdev_help_options(opts);
    return true;
}

Netdev *netdev_parse(const char *text, bool *help, Error **errp)
{
    bool is_json;
    g_autofree char *full = netdev_spell_out(text);
    json_object *opts = options_parse(full, "type", &is_json, help, errp);
    Netdev *netdev = NULL;

    if (!opts) {
        return NULL;
    }
    if (help && *help) {
        *help = netdev_print_help(opts, errp);
    } else if (netdev_type_check(opts, false, errp)) {
        netdev = netdev_read(opts, is_json, errp);
    }
    json_object_put(opts);
    return netdev;
}

bool netdev_add_text(const char *text, Error **errp)
{
    bool help = false;
    g_autoptr(Netdev) netdev = netdev_parse(text, &help, errp);

    if (help) {
        exit(0);
    }
    return netdev && netdev_add(netdev, errp);
}
