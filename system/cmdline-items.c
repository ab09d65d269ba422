/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options that make something: kept in the config until their turn comes. */
#include "util/osdep.h"
#include "qapi/keyval.h"
#include "qapi/qapi-types.h"
#include "qapi/qapi-visit.h"
#include "system/cmdline-internal.h"

static VmItem *add_item(GPtrArray *list, const char *option, const char *arg)
{
    VmItem *item = g_new0(VmItem, 1);

    item->option = option;
    item->text = g_strdup(arg);
    g_ptr_array_add(list, item);
    return item;
}

/* Adds an item whose argument is parsed now. "help" alone or with a type sets
 * the topic; @key is the member that holds the type. */
static bool add_parsed(VmConfig *cfg, GPtrArray *list, const char *option,
                       const char *arg, Error **errp)
{
    bool device = strcmp(option, "device") == 0;
    const char *key = device ? "driver" : "qom-type";
    bool is_json, help = false;
    json_object *type, *json = options_parse(arg, key, &is_json, &help, errp);

    if (!json) {
        return false;
    }
    if (help) {
        cfg->help = device ? HELP_DEVICE : HELP_OBJECT;
        if (json_object_object_get_ex(json, key, &type)) {
            option_set_text(&cfg->help_arg, json_object_get_string(type));
        }
        json_object_put(json);
        return true;
    }
    add_item(list, option, arg)->json = json;
    return true;
}

bool opt_device(VmConfig *cfg, const char *arg, Error **errp)
{
    return add_parsed(cfg, cfg->devices, "device", arg, errp);
}

bool opt_object(VmConfig *cfg, const char *arg, Error **errp)
{
    return add_parsed(cfg, cfg->objects, "object", arg, errp);
}

bool opt_netdev(VmConfig *cfg, const char *arg, Error **errp)
{
    if (!option_wants_help(cfg, arg, "type", HELP_NETDEV)) {
        add_item(cfg->netdevs, "netdev", arg);
    }
    return true;
}

/* model=help, or help as -netdev has it. */
static bool nic_wants_help(VmConfig *cfg, const char *arg)
{
    bool is_json;
    json_object *model, *json;

    if (option_wants_help(cfg, arg, "type", HELP_NETDEV)) {
        return true;
    }
    json = options_parse(arg, "type", &is_json, NULL, NULL);
    if (json && json_object_object_get_ex(json, "model", &model)) {
        option_is_help(cfg, json_object_get_string(model), HELP_NIC_MODEL);
    }
    json_object_put(json);
    return cfg->help != HELP_NONE;
}

bool opt_nic(VmConfig *cfg, const char *arg, Error **errp)
{
    if (!nic_wants_help(cfg, arg)) {
        add_item(cfg->nics, "nic", arg);
    }
    return true;
}

bool opt_net(VmConfig *cfg, const char *arg, Error **errp)
{
    if (!nic_wants_help(cfg, arg)) {
        add_item(cfg->nics, "net", arg);
    }
    return true;
}

static bool check_add_fd(const AddFdOptions *o, Error **errp)
{
    if (o->fd < 0 || o->fd > INT32_MAX) {
        error_setg(errp,
                   "Parameter 'fd' expects the number of a file descriptor, "
                   "not %" PRId64,
                   o->fd);
    } else if (o->fd <= STDERR_FILENO) {
        error_setg(errp, "Parameter 'fd' expects 3 or more: it cannot be a "
                         "standard I/O stream");
    } else if (o->set < 0) {
        error_setg(errp,
                   "Parameter 'set' expects a non-negative number, not "
                   "%" PRId64,
                   o->set);
    } else {
        return true;
    }
    return false;
}

bool opt_add_fd(VmConfig *cfg, const char *arg, Error **errp)
{
    AddFdOptions *o =
        qapi_new_from_options(&qapi_type_AddFdOptions, arg, NULL, NULL, errp);
    bool ok = o && check_add_fd(o, errp);

    if (ok) {
        add_item(cfg->add_fds, "add-fd", arg);
    }
    qapi_free(&qapi_type_AddFdOptions, o);
    return ok;
}

void option_note_stdio(VmConfig *cfg, const char *arg)
{
    cfg->stdio_taken |= strcmp(arg, "stdio") == 0 ||
                        strcmp(arg, "mon:stdio") == 0 ||
                        g_str_has_prefix(arg, "stdio,");
}

bool opt_chardev(VmConfig *cfg, const char *arg, Error **errp)
{
    if (!option_wants_help(cfg, arg, "backend", HELP_CHARDEV)) {
        add_item(cfg->chardevs, "chardev", arg);
        option_note_stdio(cfg, arg);
    }
    return true;
}

bool opt_serial(VmConfig *cfg, const char *arg, Error **errp)
{
    if (cfg->serials->len == VM_MAX_SERIAL) {
        error_setg(errp, "too many serial ports, at most %d", VM_MAX_SERIAL);
        return false;
    }
    add_item(cfg->serials, "serial", arg);
    cfg->use_default_serial = false;
    cfg->use_default_monitor &= !g_str_has_prefix(arg, "mon:");
    option_note_stdio(cfg, arg);
    return true;
}

bool opt_monitor(VmConfig *cfg, const char *arg, Error **errp)
{
    cfg->use_default_monitor = false;
    if (strcmp(arg, "none") != 0) {
        add_item(cfg->monitors, "monitor", arg);
        option_note_stdio(cfg, arg);
    }
    return true;
}

bool opt_mon(VmConfig *cfg, const char *arg, Error **errp)
{
    MonitorOptions *m = qapi_new_from_options(&qapi_type_MonitorOptions, arg,
                                              "chardev", NULL, errp);

    if (!m) {
        return false;
    }
    qapi_free(&qapi_type_MonitorOptions, m);
    cfg->use_default_monitor = false;
    add_item(cfg->monitors, "mon", arg);
    return true;
}

static bool add_qmp(VmConfig *cfg, const char *option, const char *arg)
{
    cfg->use_default_monitor = false;
    if (strcmp(arg, "none") != 0) {
        add_item(cfg->monitors, option, arg);
        option_note_stdio(cfg, arg);
    }
    return true;
}

bool opt_qmp(VmConfig *cfg, const char *arg, Error **errp)
{
    return add_qmp(cfg, "qmp", arg);
}

bool opt_qmp_pretty(VmConfig *cfg, const char *arg, Error **errp)
{
    return add_qmp(cfg, "qmp-pretty", arg);
}

bool opt_global(VmConfig *cfg, const char *arg, Error **errp)
{
    add_item(cfg->globals, "global", arg);
    return true;
}

bool opt_fw_cfg(VmConfig *cfg, const char *arg, Error **errp)
{
    FwCfgOptions *f =
        qapi_new_from_options(&qapi_type_FwCfgOptions, arg, "name", NULL, errp);
    bool ok = f != NULL;

    if (ok && !f->file == !f->string) {
        error_setg(errp, "expected name=NAME and exactly one of file=FILE and "
                         "string=TEXT");
        ok = false;
    }
    if (ok) {
        add_item(cfg->fw_cfgs, "fw_cfg", arg);
    }
    qapi_free(&qapi_type_FwCfgOptions, f);
    return ok;
}

bool opt_rtc(VmConfig *cfg, const char *arg, Error **errp)
{
    RtcOptions *r =
        qapi_new_from_options(&qapi_type_RtcOptions, arg, NULL, NULL, errp);

    if (!r) {
        return false;
    }
    qapi_free(&qapi_type_RtcOptions, r);
    add_item(cfg->rtcs, "rtc", arg);
    return true;
}
