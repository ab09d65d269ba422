/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From argv to a VmConfig: the walk over the options, and what they must agree
 * on. */
#include "util/osdep.h"
#include "accel/accel.h"
#include "qapi/qapi-visit.h"
#include "system/cmdline-internal.h"

#define DEFAULT_RAM_SIZE (128 * MiB)

static void vm_item_free(void *opaque)
{
    VmItem *item = opaque;

    g_free(item->text);
    json_object_put(item->json);
    g_free(item);
}

static GPtrArray **item_lists(VmConfig *cfg, unsigned index)
{
    GPtrArray **const lists[] = {
        &cfg->objects, &cfg->chardevs, &cfg->serials, &cfg->monitors,
        &cfg->netdevs, &cfg->devices,  &cfg->nics,    &cfg->globals,
        &cfg->fw_cfgs, &cfg->rtcs,     &cfg->add_fds,
    };

    return index < ARRAY_SIZE(lists) ? lists[index] : NULL;
}

static VmConfig *vm_config_new(void)
{
    VmConfig *cfg = g_new0(VmConfig, 1);
    GPtrArray **list;

    cfg->machine = g_strdup("pc");
    cfg->machine_options = json_object_new_object();
    cfg->acpi = true;
    cfg->actions = (RunStateActions)RUN_STATE_ACTIONS_DEFAULT;
    cfg->dump_guest_core = true;
    cfg->mem_merge = true;
    cfg->ram_size = DEFAULT_RAM_SIZE;
    cfg->use_default_serial = true;
    cfg->use_default_monitor = true;
    cfg->machine_accels = g_ptr_array_new_with_free_func(g_free);
    cfg->accels = g_ptr_array_new_with_free_func(g_free);
    for (unsigned i = 0; (list = item_lists(cfg, i)); i++) {
        *list = g_ptr_array_new_with_free_func(vm_item_free);
    }
    smp_resolve(&cfg->topo, NULL);
    return cfg;
}

void vm_config_free(VmConfig *cfg)
{
    GPtrArray **list;

    if (!cfg) {
        return;
    }
    for (unsigned i = 0; (list = item_lists(cfg, i)); i++) {
        g_ptr_array_unref(*list);
    }
    g_ptr_array_unref(cfg->machine_accels);
    g_ptr_array_unref(cfg->accels);
    g_free(cfg->help_arg);
    g_free(cfg->machine);
    json_object_put(cfg->machine_options);
    g_free(cfg->memory_backend);
    g_free(cfg->cpu);
    g_free(cfg->kernel);
    g_free(cfg->initrd);
    g_free(cfg->append);
    g_free(cfg->name);
    g_free(cfg->process_name);
    g_free(cfg->pidfile);
    g_free(cfg->run_as);
    g_free(cfg->chroot_dir);
    g_free(cfg->log_items);
    g_free(cfg->log_file);
    g_free(cfg->qtest);
    g_free(cfg->qtest_log);
    g_free(cfg);
}

void cmdline_prefix(Error **errp, const char *option, const char *arg)
{
    g_autofree char *word = g_strdup_printf("-%s", option);

    if (errp && *errp && !g_str_has_prefix((*errp)->message, word)) {
        error_prepend(errp, "%s%s%s: ", word, arg ? " " : "", arg ? arg : "");
    }
}

/* ---- what options must agree on ---- */

bool accel_listed(const GPtrArray *list, const char *name)
{
    for (guint i = 0; i < list->len; i++) {
        if (strcmp(g_ptr_array_index(list, i), name) == 0) {
            return true;
        }
    }
    return false;
}

/* One of the accelerators asked for has to be ours. */
static bool check_accels_known(const VmConfig *cfg, Error **errp)
{
    const char *first;

    for (const char *const *n = accel_names(); *n; n++) {
        if (accel_listed(cfg->accels, *n)) {
            return true;
        }
    }
    first = g_ptr_array_index(cfg->accels, 0);
    accel_unknown(first, errp);
    cmdline_prefix(errp, "accel", first);
    return false;
}

static bool check_accels(VmConfig *cfg, Error **errp)
{
    /* -enable-kvm adds nothing to -machine accel=kvm. */
    if (!cfg->accel_given && accel_listed(cfg->machine_accels, "kvm")) {
        g_ptr_array_set_size(cfg->accels, 0);
    }
    if (cfg->accels->len > 0 && cfg->machine_accels->len > 0) {
        error_setg(errp, "-machine accel= and -accel say the same thing: give "
                         "one of them");
        return false;
    }
    if (cfg->machine_accels->len > 0) {
        GPtrArray *none = cfg->accels;

        cfg->accels = cfg->machine_accels;
        cfg->machine_accels = none;
    }
    if (cfg->accels->len == 0 && !cfg->machine_none) {
        g_ptr_array_add(cfg->accels, g_strdup(cfg->qtest ? "qtest" : "kvm"));
    }
    return cfg->accels->len == 0 || check_accels_known(cfg, errp);
}

static bool check_boot(const VmConfig *cfg, Error **errp)
{
    const char *extra = cfg->append ? "append" : cfg->initrd ? "initrd" : NULL;

    if (cfg->kernel && cfg->machine_none) {
        error_setg(errp,
                   "-kernel %s: machine none has no CPU to run it, use "
                   "-machine pc",
                   cfg->kernel);
        return false;
    }
    if (!cfg->kernel && extra) {
        error_setg(errp, "-%s only allowed with -kernel option", extra);
        return false;
    }
    return true;
}

/*
 * What is there without being asked for. There is no display, so that without
 * -display none the terminal is used as by -nographic, unless it is taken.
 */
static bool choose_defaults(VmConfig *cfg, Error **errp)
{
    bool terminal = cfg->nographic || (!cfg->display_none && !cfg->daemonize);

    if (cfg->no_defaults || cfg->machine_none) {
        cfg->use_default_serial = false;
        cfg->use_default_monitor = false;
    }
    cfg->use_terminal = terminal && !cfg->stdio_taken;
    /* A serial port that nobody watches still exists for the guest; a monitor
     * that nobody can reach does not. */
    cfg->use_default_monitor &= cfg->use_terminal;
    if (cfg->daemonize && (cfg->stdio_taken ||
                           (cfg->use_terminal && (cfg->use_default_serial ||
                                                  cfg->use_default_monitor)))) {
        error_setg(errp,
                   "-daemonize: there is no terminal in the background: no "
                   "stdio, and -nographic only with -nodefaults or with both "
                   "-serial and -monitor");
        return false;
    }
    return true;
}

/* Who waits for the background process waits for the machine, which somebody
 * else would have to ask for meanwhile. */
static bool check_preconfig(const VmConfig *cfg, Error **errp)
{
    if (cfg->preconfig && cfg->daemonize) {
        error_setg(errp, "-preconfig and -daemonize exclude each other");
        return false;
    }
    return true;
}

static bool check_config(VmConfig *cfg, Error **errp)
{
    return check_accels(cfg, errp) && check_boot(cfg, errp) &&
           check_preconfig(cfg, errp) && choose_defaults(cfg, errp);
}

/* ---- the walk ---- */

static const CmdOption *find_option(const char *name)
{
    for (const CmdOption *o = cmd_options; o->name; o++) {
        if (strcmp(o->name, name) == 0) {
            return o;
        }
    }
    return NULL;
}

/* Option and argument at argv[*i]; *i moves to the next option. */
static bool parse_one(VmConfig *cfg, int argc, char **argv, int *i,
                      Error **errp)
{
    const char *word = argv[(*i)++];
    const char *name = word + 1 + (word[0] == '-' && word[1] == '-');
    const CmdOption *option = word[0] == '-' ? find_option(name) : NULL;
    const char *arg = NULL;
    g_autofree char *shown = qapi_quote(word);

    if (word[0] != '-') {
        error_setg(errp,
                   "%s: options begin with '-'; disk images are not "
                   "supported",
                   shown);
        return false;
    }
    if (!option) {
        error_setg(errp, "%s: invalid option (-help lists them)", shown);
        return false;
    }
    if (option->arg) {
        if (*i >= argc) {
            error_setg(errp, "-%s: requires an argument, %s", name,
                       option->arg);
            return false;
        }
        arg = argv[(*i)++];
    }
    if (!option->handler(cfg, arg, errp)) {
        cmdline_prefix(errp, name, arg);
        return false;
    }
    return true;
}

VmConfig *cmdline_parse(int argc, char **argv, Error **errp)
{
    VmConfig *cfg = vm_config_new();

    for (int i = 1; i < argc;) {
        if (!parse_one(cfg, argc, argv, &i, errp)) {
            vm_config_free(cfg);
            return NULL;
        }
        if (cfg->help) {
            return cfg;
        }
    }
    if (!check_config(cfg, errp)) {
        vm_config_free(cfg);
        return NULL;
    }
    return cfg;
}
