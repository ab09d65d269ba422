/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands for user netdevs. */
#include "util/osdep.h"

#include "monitor/hmp-info.h"
#include "net/user.h"

/* "RULE" or "ID RULE": the latter's id, else NULL. */
static const char *split(const HmpArgs *args, const char **rule)
{
    bool with_id = args->arg[1].given;

    *rule = args->arg[with_id].text;
    return with_id ? args->arg[0].text : NULL;
}

bool hmp_hostfwd_add(const HmpArgs *args, GString *out, Error **errp)
{
    const char *rule, *id = split(args, &rule);

    return net_user_hostfwd_add(id, rule, errp);
}

bool hmp_hostfwd_remove(const HmpArgs *args, GString *out, Error **errp)
{
    const char *rule, *id = split(args, &rule);
    bool found;

    if (!net_user_hostfwd_remove(id, rule, &found, errp)) {
        return false;
    }
    g_string_append(out, "host forwarding rule for ");
    hmp_append_visible(out, rule, strlen(rule));
    g_string_append_printf(out, " %s\n", found ? "removed" : "not found");
    return true;
}

bool hmp_info_usernet(const HmpArgs *args, GString *out, Error **errp)
{
    net_user_info(out);
    return true;
}
