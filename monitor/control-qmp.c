/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Commands about the protocol and the process. */
#include "util/osdep.h"

#include "config-host.h"
#include "qapi/qapi-commands.h"
#include "system/runstate.h"

bool qmp_query_version(VersionInfo *ret, Error **errp)
{
    g_auto(GStrv) part = g_strsplit(QEMU_COMPAT_VERSION, ".", 3);

    ret->qemu = g_new0(VersionTriple, 1);
    ret->qemu->major = g_ascii_strtoll(part[0], NULL, 10);
    ret->qemu->minor = g_ascii_strtoll(part[1], NULL, 10);
    ret->qemu->micro = g_ascii_strtoll(part[2], NULL, 10);
    ret->package = g_strdup("");
    return true;
}

bool qmp_query_commands(CommandInfoList *ret, Error **errp)
{
    size_t n = 0;

    while (qapi_commands[n].name) {
        n++;
    }
    ret->v = g_new0(CommandInfo, n);
    for (ret->n = 0; ret->n < n; ret->n++) {
        ret->v[ret->n].name = g_strdup(qapi_commands[ret->n].name);
    }
    return true;
}

/* Ends the process in a later turn of the loop: the answer goes out first. */
bool qmp_quit(Error **errp)
{
    system_shutdown_request(SHUTDOWN_CAUSE_HOST_QMP_QUIT);
    return true;
}
