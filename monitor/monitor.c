/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Monitors of both kinds, by what -mon and its like say. */
#include "util/osdep.h"

#include "monitor/monitor.h"
#include "monitor/qmp.h"
#include "qapi/qapi-types.h"
#include "qapi/qapi-visit.h"

/* Main thread. The monitors' ids, those that have one. */
static GPtrArray *ids;

static bool MAIN_THREAD id_is_free(const char *id, Error **errp)
{
    if (ids && g_ptr_array_find_with_equal_func(ids, id, g_str_equal, NULL)) {
        g_autofree char *shown = qapi_quote(id);

        error_setg(errp,
                   "there is a monitor with id '%s' already; give each its own",
                   shown);
        return false;
    }
    return true;
}

bool monitor_new(const MonitorOptions *o, Error **errp)
{
    bool control = o->has_mode && o->mode == MONITOR_MODE_CONTROL;
    bool pretty = o->has_pretty && o->pretty;
    Chardev *chr = chardev_find(o->chardev);
    bool ok;

    if (!chr) {
        g_autofree char *shown = qapi_quote(o->chardev);

        error_setg(errp, "there is no chardev '%s' (-chardev makes them)",
                   shown);
        return false;
    }
    if (pretty && !control) {
        error_setg(errp, "Parameter 'pretty' is for mode=control only");
        return false;
    }
    if (o->id && !id_is_free(o->id, errp)) {
        return false;
    }
    ok = control ? qmp_monitor_new(chr, pretty, errp)
                 : hmp_monitor_new(chr, errp);
    if (ok && o->id) {
        if (!ids) {
            ids = g_ptr_array_new_with_free_func(g_free);
        }
        g_ptr_array_add(ids, g_strdup(o->id));
    }
    return ok;
}

void monitor_cleanup(void)
{
    qmp_monitor_cleanup();
    hmp_monitor_cleanup();
    g_clear_pointer(&ids, g_ptr_array_unref);
}
