/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What -help, -version and an argument "help" print. */
#include "util/osdep.h"
#include "accel/accel.h"
#include "chardev/char.h"
#include "config-host.h"
#include "hw/core/machine.h"
#include "hw/core/qdev.h"
#include "net/net.h"
#include "qom/object-info.h"
#include "qapi/qapi-types.h"
#include "qapi/qapi-visit.h"
#include "system/cmdline-internal.h"
#include "qapi/schema-help.h"
#include "util/log.h"

#define VERSION_LINE                                                          \
    "QEMU emulator version " QEMU_COMPAT_VERSION " (qemu-mq " QEMU_MQ_VERSION \
    ")"

static void print_options(void)
{
    printf(VERSION_LINE "\nusage: qemu-system-x86_64 [OPTION]...\n\n");
    for (const CmdOption *o = cmd_options; o->name; o++) {
        if (o->help) {
            g_auto(GStrv) lines = g_strsplit(o->help, "\n", -1);

            printf("-%s%s%s\n", o->name, o->arg ? " " : "",
                   o->arg ? o->arg : "");
            for (char **l = lines; *l; l++) {
                printf("        %s\n", *l);
            }
        }
    }
}

static void print_machine(const MachineClass *mc, void *opaque)
{
    if (mc->alias) {
        printf("%-20s %s (alias of %s)\n", mc->alias, mc->desc, mc->name);
    }
    printf("%-20s %s%s\n", mc->name, mc->desc,
           mc->is_default ? " (default)" : "");
}

static void MAIN_THREAD print_machine_help(const char *machine)
{
    if (machine) {
        object_class_print_options(&machine_class_find(machine)->parent,
                                   machine);
    } else {
        printf("Supported machines are:\n");
        machine_class_foreach(print_machine, NULL);
    }
}

/* The types of netdev, or the options of @type. */
static bool MAIN_THREAD print_netdev(const char *type, Error **errp)
{
    g_autofree char *text = type ? g_strconcat(type, ",help", NULL) : NULL;

    if (!netdev_add_text(text ? text : "help", errp)) {
        cmdline_prefix(errp, "netdev", text);
        return false;
    }
    return true;
}

/* The back-ends, or the options of @backend. */
static bool MAIN_THREAD print_chardev(const char *backend, Error **errp)
{
    g_autofree char *text =
        backend ? g_strconcat(backend, ",help", NULL) : NULL;
    Error *err = NULL;

    if (!text) {
        chardev_print_help();
        return true;
    }
    chardev_new_from_opts(text, &err);
    if (err) {
        error_propagate(errp, err);
        cmdline_prefix(errp, "chardev", text);
        return false;
    }
    return true;
}

static void print_accels(void)
{
    printf("Accelerators supported in QEMU binary:\n");
    for (const char *const *name = accel_names(); *name; name++) {
        printf("%s\n", *name);
    }
}

static void print_object_type(ObjectClass *klass, void *opaque)
{
    printf("  %s\n", object_class_name(klass));
}

static bool MAIN_THREAD print_object(const char *type, Error **errp)
{
    ObjectClass *klass = type ? object_class_by_name(type) : NULL;

    if (!type) {
        printf("List of user creatable objects:\n");
        object_class_foreach("user-creatable", false, print_object_type, NULL);
        return true;
    }
    if (!klass || !object_class_is(klass, "user-creatable") ||
        object_class_is_abstract(klass)) {
        g_autofree char *shown = qapi_quote(type);

        error_setg(errp,
                   "-object %s,help: there is no such type (-object help "
                   "lists them)",
                   shown);
        return false;
    }
    object_class_print_options(klass, object_class_name(klass));
    return true;
}

static bool MAIN_THREAD print_device(const char *driver, Error **errp)
{
    if (!driver) {
        device_help();
        return true;
    }
    if (!device_help_properties(driver, errp)) {
        g_autofree char *shown = qapi_quote(driver);

        error_prepend(errp, "-device %s,help: ", shown);
        return false;
    }
    return true;
}

bool cmdline_help(const VmConfig *cfg, Error **errp)
{
    switch (cfg->help) {
    case HELP_NONE:
        break;
    case HELP_OPTIONS:
        print_options();
        break;
    case HELP_VERSION:
        printf(VERSION_LINE "\n");
        break;
    case HELP_MACHINE:
        print_machine_help(cfg->help_arg);
        break;
    case HELP_ACCEL:
        print_accels();
        break;
    case HELP_CPU:
        cpu_model_help();
        break;
    case HELP_DEVICE:
        return print_device(cfg->help_arg, errp);
    case HELP_OBJECT:
        return print_object(cfg->help_arg, errp);
    case HELP_NETDEV:
        return print_netdev(cfg->help_arg, errp);
    case HELP_CHARDEV:
        return print_chardev(cfg->help_arg, errp);
    case HELP_NIC_MODEL:
        net_nic_model_help();
        break;
    case HELP_NO_HARDWARE:
        printf("none - there is no such hardware\n");
        break;
    case HELP_LOG:
        return log_configure("help", NULL, errp);
    }
    return true;
}
