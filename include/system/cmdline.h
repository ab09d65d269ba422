/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The command line: argv in, a VmConfig out. Nothing of the machine is made
 * here; system/setup.h does that.
 *
 * Threads: main() before there are others.
 */
#ifndef SYSTEM_CMDLINE_H
#define SYSTEM_CMDLINE_H

#include <json-c/json.h>

#include "accel/vcpu.h"
#include "system/runstate.h"
#include "util/error.h"

#define VM_MAX_SERIAL 4

/* What the user asked to be shown instead of a machine. */
typedef enum HelpTopic {
    HELP_NONE,
    HELP_OPTIONS,
    HELP_VERSION,
    HELP_MACHINE, /* help_arg: a machine, or NULL for the list */
    HELP_ACCEL,
    HELP_CPU,
    HELP_DEVICE,  /* help_arg: a driver, or NULL for the list */
    HELP_OBJECT,  /* help_arg: a type, or NULL for the list */
    HELP_NETDEV,  /* help_arg: a type, or NULL for the list */
    HELP_CHARDEV, /* help_arg: a back-end, or NULL for the list */
    HELP_NIC_MODEL,
    HELP_NO_HARDWARE, /* an option that takes only none */
    HELP_LOG,
} HelpTopic;

/* An option that makes something: kept until its turn comes. */
typedef struct VmItem {
    const char *option; /* "device", for messages */
    char *text;         /* its argument as typed */
    json_object *json;  /* parsed, for -device and -object; else NULL */
} VmItem;

/* Groups of system calls that -sandbox leaves. */
typedef struct SandboxRules {
    bool obsolete, elevate, spawn, resource;
} SandboxRules;

typedef struct VmConfig {
    HelpTopic help;
    char *help_arg;

    char *machine; /* "pc", "none"... */
    bool machine_none;
    json_object *machine_options; /* all of -machine but the type */
    bool acpi, dump_guest_core, mem_merge;
    char *memory_backend;
    GPtrArray *machine_accels; /* of char *, from -machine accel= */
    GPtrArray *accels;         /* of char *, in order of preference */
    bool accel_given;          /* by -accel, not only by -enable-kvm */
    char *cpu;                 /* -cpu, or NULL */
    CpuTopology topo;
    uint64_t ram_size; /* bytes */
    bool ram_size_set;
    char *kernel, *initrd, *append;

    char *name; /* -name guest=, or NULL */
    char *process_name;
    uint8_t uuid[16];
    bool uuid_set;
    char *pidfile;
    bool daemonize, mem_lock;
    char *run_as, *chroot_dir; /* or NULL */
    bool sandbox;
    SandboxRules sandbox_rules;
    bool msg_timestamp, msg_guest_name;
    bool start_paused, preconfig;
    RunStateActions actions;
    char *log_items, *log_file;
    char *qtest, *qtest_log;

    bool no_defaults, nographic, display_none;
    bool use_terminal; /* default serial port and monitor are on stdio */
    bool use_default_serial, use_default_monitor;
    bool stdio_taken; /* by -serial, -monitor, -chardev or -qtest */

    /* of VmItem, each in the order given */
    GPtrArray *objects, *chardevs, *serials, *monitors, *netdevs, *devices,
        *nics, *globals, *fw_cfgs, *rtcs, *add_fds;
} VmConfig;

/*
 * Parses all of @argv (argv[0] is the program). NULL and *errp when something
 * is wrong: the message begins with the option and its argument. When
 * config->help is set the caller shows it and exits; nothing after that option
 * was looked at.
 */
VmConfig *cmdline_parse(int argc, char **argv, Error **errp);
void vm_config_free(VmConfig *cfg);

/* Prints what @cfg->help asks for. False and *errp: no such driver or type. */
bool cmdline_help(const VmConfig *cfg, Error **errp) MAIN_THREAD;

/* Puts "-OPTION ARGUMENT: " before the message of *errp, unless that begins
 * with the option already. */
void cmdline_prefix(Error **errp, const char *option, const char *arg);

#endif
