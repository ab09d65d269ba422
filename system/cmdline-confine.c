/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -run-with, -runas, -chroot, -sandbox. */
#include "util/osdep.h"
#include "qapi/keyval.h"
#include "qapi/qapi-types.h"
#include "qapi/qapi-visit.h"
#include "system/cmdline-internal.h"

bool opt_run_with(VmConfig *cfg, const char *arg, Error **errp)
{
    RunWithOptions *o =
        qapi_new_from_options(&qapi_type_RunWithOptions, arg, NULL, NULL, errp);
    bool ok = o != NULL;

    if (ok && o->has_async_teardown && o->async_teardown) {
        error_setg(errp, "async-teardown=on is not supported, only off");
        ok = false;
    }
    if (ok && o->chroot) {
        option_set_text(&cfg->chroot_dir, o->chroot);
    }
    if (ok && o->user) {
        option_set_text(&cfg->run_as, o->user);
    }
    qapi_free(&qapi_type_RunWithOptions, o);
    return ok;
}

bool opt_runas(VmConfig *cfg, const char *arg, Error **errp)
{
    option_set_text(&cfg->run_as, arg);
    return true;
}

bool opt_chroot(VmConfig *cfg, const char *arg, Error **errp)
{
    option_set_text(&cfg->chroot_dir, arg);
    return true;
}

bool opt_sandbox(VmConfig *cfg, const char *arg, Error **errp)
{
    SandboxOptions *o = qapi_new_from_options(&qapi_type_SandboxOptions, arg,
                                              "enable", NULL, errp);

    if (!o) {
        return false;
    }
    cfg->sandbox = o->has_enable && o->enable;
    cfg->sandbox_rules = (SandboxRules){
        .obsolete = o->has_obsolete && o->obsolete == SANDBOX_ACTION_ALLOW,
        .elevate = !o->has_elevateprivileges ||
                   o->elevateprivileges != SANDBOX_ELEVATION_DENY,
        .spawn = !o->has_spawn || o->spawn == SANDBOX_ACTION_ALLOW,
        .resource = !o->has_resourcecontrol ||
                    o->resourcecontrol == SANDBOX_ACTION_ALLOW,
    };
    qapi_free(&qapi_type_SandboxOptions, o);
    return true;
}
