/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What -help, -version and an argument "help" print. */
#include "util/osdep.h"
#include "accel/accel.h"
#include "chardev/char.h"
#include "config-host.h"
#include "hw/core/qdev.h"
#include "net/net.h"
#include "qapi/qapi-visit.h"
#include "system/cmdline-internal.h"
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

static void print_machines(void)
{
    printf("Supported machines are:\n"
           "%-20s %s (alias of pc-i440fx-7.2)\n"
           "%-20s %s (default)\n"
           "%-20s %s\n",
           "pc", "PC with an i440FX host bridge", "pc-i440fx-7.2",
           "PC with an i440FX host bridge", "none",
           "no CPU, no memory: for asking questions");
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
    object_help_properties(object_class_name(klass));
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
        print_machines();
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
        return netdev_add_text("help", errp);
    case HELP_CHARDEV:
        chardev_print_help();
        break;
    case HELP_LOG:
        return log_configure("help", NULL, errp);
    }
    return true;
}
