/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about the run state. */
#include "util/osdep.h"

#include "qapi/qapi-commands.h"
#include "system/runstate.h"

bool qmp_query_status(StatusInfo *ret, Error **errp)
{
    ret->running = runstate_is_running();
    ret->status = runstate_get();
    return true;
}

bool qmp_stop(Error **errp)
{
    vm_stop(RUN_STATE_PAUSED);
    return true;
}

bool qmp_cont(Error **errp)
{
    if (runstate_needs_reset()) {
        error_setg(errp, "Resetting the Virtual Machine is required");
        return false;
    }
    vm_start();
    return true;
}

bool qmp_system_reset(Error **errp)
{
    system_reset_request(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    return true;
}

bool qmp_system_powerdown(Error **errp)
{
    system_powerdown_request();
    return true;
}

bool qmp_set_action(const q_obj_set_action_arg *arg, Error **errp)
{
    RunStateActions actions = *runstate_actions();

    if (arg->has_reboot) {
        actions.reboot = arg->reboot;
    }
    if (arg->has_shutdown) {
        actions.shutdown = arg->shutdown;
    }
    if (arg->has_panic) {
        actions.panic = arg->panic;
    }
    runstate_set_actions(&actions);
    return true;
}
