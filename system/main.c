/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The emulator: options, machine, main loop, end. */
#include "util/osdep.h"

#include <signal.h>
#include <sys/resource.h>

#include "monitor/qmp.h"
#include "net/net.h"
#include "system/confine.h"
#include "system/daemon.h"
#include "system/main-loop.h"
#include "system/setup.h"
#include "util/log.h"

/* Prints @err, which is freed. The process's exit status. */
static int fail(Error *err)
{
    error_report("%s", err->message);
    g_error_free(err);
    return EXIT_FAILURE;
}

/* Makes this process known, and deaf to signals that would end it at once. */
static bool MAIN_THREAD settle(const VmConfig *cfg, Error **errp)
{
    return (!cfg->pidfile || pidfile_create(cfg->pidfile, errp)) &&
           runstate_catch_signals(errp);
}

/*
 * From the options to a machine that may start. With -preconfig, clients of
 * QMP are heard in between. *@done: the process is to end with *@status.
 */
static bool MAIN_THREAD make_machine(VmConfig *cfg, bool *done, int *status,
                                     Error **errp)
{
    if (!vm_setup(cfg, done, errp)) {
        return false;
    }
    if (*done) {
        return true;
    }
    if (cfg->preconfig) {
        if (!settle(cfg, errp)) {
            return false;
        }
        *status = runstate_main_loop();
        /* Who asked for the end first is not overruled by who asked for the
         * machine in the same turn of the loop. */
        *done = runstate_is_ending() || !qmp_left_preconfig();
        return *done || vm_setup_machine(cfg, errp);
    }
    return vm_setup_machine(cfg, errp) && settle(cfg, errp);
}

/* Nothing is done for the guest before this. */
static bool MAIN_THREAD give_up_rights(const VmConfig *cfg, Error **errp)
{
    return confine_prepare(cfg, errp) && daemon_prepare(errp) &&
           confine_enter(cfg, errp) && daemon_ready(errp);
}

/* The machine from its making to its end; the exit status. */
static int MAIN_THREAD run_machine(VmConfig *cfg)
{
    Error *err = NULL;
    bool done = false;
    int status = EXIT_SUCCESS;

    if (!make_machine(cfg, &done, &status, &err) ||
        !give_up_rights(cfg, &err)) {
        vm_teardown();
        return fail(err);
    }
    if (!done) {
        net_check_clients();
        if (!cfg->start_paused) {
            vm_start();
        }
        status = runstate_main_loop();
    }
    vm_teardown();
    return status;
}

/* Unchecked: main_loop_init() takes the machine lock, unless it fails. */
static int NO_THREAD_SAFETY start(VmConfig *cfg)
{
    Error *err = NULL;
    int status = EXIT_SUCCESS;

    error_set_timestamps(cfg->msg_timestamp);
    error_set_guest_name(cfg->msg_guest_name ? cfg->name : NULL);
    if (cfg->daemonize && !cfg->help) {
        switch (daemon_fork(&status, &err)) {
        case DAEMON_FAILED:
            return fail(err);
        case DAEMON_PARENT:
            return status;
        case DAEMON_CHILD:
            break;
        }
    }
    if (!log_configure(cfg->log_items, cfg->log_file, &err) ||
        !main_loop_init(&err)) {
        return fail(err);
    }
    if (cfg->help) {
        return cmdline_help(cfg, &err) ? EXIT_SUCCESS : fail(err);
    }
    return run_machine(cfg);
}

/* A NIC of 256 pairs has more eventfds than the usual soft limit allows. */
static void raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    g_autofree char *program = g_path_get_basename(argv[0]);
    Error *err = NULL;
    VmConfig *cfg;
    int status;

    error_set_program(program);
    signal(SIGPIPE, SIG_IGN);
    raise_fd_limit();
    cfg = cmdline_parse(argc, argv, &err);
    if (!cfg) {
        return fail(err);
    }
    status = start(cfg);
    vm_config_free(cfg);
    return status;
}
