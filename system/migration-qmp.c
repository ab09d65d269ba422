/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Capabilities of a migration that there is not. */
#include "util/osdep.h"

#include "qapi/qapi-commands.h"

/* Machine lock; the only one that can be on. */
static bool events_on;

bool qmp_migrate_set_capabilities(const q_obj_migrate_set_capabilities_arg *arg,
                                  Error **errp)
{
    const MigrationCapabilityStatusList *list = &arg->capabilities;
    bool events = events_on;

    for (size_t i = 0; i < list->n; i++) {
        const MigrationCapabilityStatus *c = &list->v[i];

        if (c->capability == MIGRATION_CAPABILITY_EVENTS) {
            events = c->state;
        } else if (c->state) {
            error_setg(errp,
                       "Capability '%s' cannot be switched on: there is no "
                       "migration (only 'events' can)",
                       MigrationCapability_str(c->capability));
            return false;
        }
    }
    events_on = events;
    return true;
}

bool qmp_query_migrate_capabilities(MigrationCapabilityStatusList *ret,
                                    Error **errp)
{
    ret->n = MIGRATION_CAPABILITY__MAX;
    ret->v = g_new0(MigrationCapabilityStatus, ret->n);
    for (size_t i = 0; i < ret->n; i++) {
        ret->v[i].capability = i;
        ret->v[i].state = i == MIGRATION_CAPABILITY_EVENTS && events_on;
    }
    return true;
}

bool qmp_query_migrate(MigrationInfo *ret, Error **errp)
{
    ret->blocked_reasons.n = 1;
    ret->blocked_reasons.v = g_new0(char *, 1);
    ret->blocked_reasons.v[0] =
        g_strdup("this emulator cannot migrate or save a machine");
    return true;
}
