/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table of options, which parsing and -help share, and the handlers that
 * have a file of their own.
 *
 * Threads: constants, and functions of main().
 */
#ifndef SYSTEM_CMDLINE_INTERNAL_H
#define SYSTEM_CMDLINE_INTERNAL_H

#include "qapi/qapi-type.h"
#include "system/cmdline.h"

/* @arg is NULL for an option without argument. May set cfg->help. */
typedef bool OptionHandler(VmConfig *cfg, const char *arg, Error **errp);

typedef struct CmdOption {
    const char *name;
    const char *arg;  /* how help shows the argument; NULL: it takes none */
    const char *help; /* lines separated by \n; NULL: not shown */
    OptionHandler *handler;
} CmdOption;

/* The last one has no name. */
extern const CmdOption cmd_options[];

/* An option with parameters, as query-command-line-options tells it. */
typedef struct OptionGroup {
    const char *name;         /* documented name of its group of parameters */
    const char *option;       /* its name in cmd_options */
    const QapiType *type;     /* the parameters; NULL: they depend */
    const char *const *sizes; /* those of type str that are sizes; or NULL */
} OptionGroup;

/* cmdline-qmp.c; the last one has no name. */
extern const OptionGroup option_groups[];

/* True, and the topic is noted, when @arg is "help" or "?". */
bool option_is_help(VmConfig *cfg, const char *arg, HelpTopic topic);

/*
 * True when @arg asks for help, alone ("help") or about something ("tap,help");
 * then the topic is noted, and what has the implied key @key as its argument.
 */
bool option_wants_help(VmConfig *cfg, const char *arg, const char *key,
                       HelpTopic topic);

/* Whether @list, of char *, has the accelerator @name. */
bool accel_listed(const GPtrArray *list, const char *name);
/* False and *errp: @name is no accelerator of ours. */
bool accel_unknown(const char *name, Error **errp);

/* Replaces *@slot by a copy of @arg. */
void option_set_text(char **slot, const char *arg);

/* Notes that @arg, of -serial and its like, is the terminal, if it is. */
void option_note_stdio(VmConfig *cfg, const char *arg);

/* cmdline-items.c */
OptionHandler opt_add_fd, opt_device, opt_object, opt_netdev, opt_nic, opt_net,
    opt_chardev, opt_serial, opt_monitor, opt_mon, opt_qmp, opt_qmp_pretty,
    opt_global, opt_fw_cfg;

/* cmdline-confine.c */
OptionHandler opt_run_with, opt_runas, opt_chroot, opt_sandbox;

/* cmdline-machine.c */
OptionHandler opt_machine, opt_accel, opt_enable_kvm, opt_cpu, opt_smp,
    opt_memory, opt_boot, opt_rtc, opt_overcommit;
/* Makes the topology whole and checks it; the default is one CPU. */
bool smp_resolve(CpuTopology *topo, Error **errp);

#endif
