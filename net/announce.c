/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * announce-self: rounds of announcements, each round by every NIC or by those
 * named. An announcement lives until its last round; its id, or having none,
 * tells it from others.
 *
 * Rounds are timed by the host's clock: who is to learn of the address is
 * outside the machine.
 *
 * Threads: under the machine lock.
 */
#include "util/osdep.h"

#include <json-c/json.h>

#include "net/net.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"

#define NS_PER_MS         G_GINT64_CONSTANT(1000000)
#define ANNOUNCEMENTS_MAX 64u /* under way at a time */

typedef struct Announcement {
    AnnounceParameters par; /* our copy */
    int64_t done;           /* rounds */
    LoopTimer timer;
} Announcement;

/* Machine lock: by id, "" for the one without. NULL: none ever. */
static GHashTable *announcements;

static const char *id_of(const AnnounceParameters *par)
{
    return par->id ? par->id : "";
}

static NO_THREAD_SAFETY void announcement_free(void *opaque)
{
    Announcement *a = opaque;

    loop_timer_cancel(&a->timer);
    qapi_free_contents(&qapi_type_AnnounceParameters, &a->par);
    g_free(a);
}

/* ---- a round ---- */

static bool is_named(const AnnounceParameters *par, const char *name)
{
    for (size_t i = 0; i < par->interfaces.n; i++) {
        if (strcmp(par->interfaces.v[i], name) == 0) {
            return true;
        }
    }
    return !par->has_interfaces;
}

static void announce_client(NetClientState *nc, void *opaque)
{
    const AnnounceParameters *par = opaque;

    machine_lock_assert();
    if (nc->info->announce && is_named(par, nc->name)) {
        nc->info->announce(nc);
    }
}

static void arm(Announcement *a) MAIN_THREAD
{
    int64_t ms = MIN(a->par.initial + a->done * a->par.step, a->par.max);

    loop_timer_arm(&a->timer, clock_now_ns() + ms * NS_PER_MS);
}

static void round_due(void *opaque)
{
    Announcement *a = opaque;

    machine_lock_assert();
    net_client_foreach(announce_client, &a->par);
    a->done++;
    if (a->done < a->par.rounds) {
        arm(a);
    } else {
        g_hash_table_remove(announcements, id_of(&a->par));
    }
}

/* ---- the command ---- */

static bool check_range(const char *name, int64_t value, int64_t max,
                        Error **errp)
{
    if (value < 0 || value > max) {
        error_setg(errp,
                   "Parameter '%s' expects a value from 0 to %" PRId64
                   ", not %" PRId64,
                   name, max, value);
        return false;
    }
    return true;
}

static bool check_interfaces(const strList *names, Error **errp) MAIN_THREAD
{
    for (size_t i = 0; i < names->n; i++) {
        const NetClientState *nic = net_client_find_nic(names->v[i]);

        if (!nic || !nic->info->announce) {
            g_autofree char *shown = qapi_quote(names->v[i]);

            error_setg(errp,
                       "Parameter 'interfaces' expects names of NICs that can "
                       "announce themselves, not '%s'",
                       shown);
            return false;
        }
    }
    return true;
}

static bool copy_parameters(const AnnounceParameters *from,
                            AnnounceParameters *to, Error **errp)
{
    json_object *json = qapi_to_json(&qapi_type_AnnounceParameters, from);
    bool ok = qapi_from_json(&qapi_type_AnnounceParameters, json, to, errp);

    json_object_put(json);
    return ok;
}

bool net_announce_self(const AnnounceParameters *par, Error **errp)
{
    Announcement *a;

    if (!check_range("initial", par->initial, NET_ANNOUNCE_MS_MAX, errp) ||
        !check_range("max", par->max, NET_ANNOUNCE_MS_MAX, errp) ||
        !check_range("rounds", par->rounds, NET_ANNOUNCE_ROUNDS_MAX, errp) ||
        !check_range("step", par->step, NET_ANNOUNCE_STEP_MAX, errp) ||
        !check_interfaces(&par->interfaces, errp)) {
        return false;
    }
    if (!announcements) {
        announcements = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                              announcement_free);
    }
    if (g_hash_table_size(announcements) >= ANNOUNCEMENTS_MAX &&
        !g_hash_table_contains(announcements, id_of(par))) {
        error_setg(errp,
                   "%u announcements with ids of their own are under way; end "
                   "one by 'rounds' 0, or wait",
                   ANNOUNCEMENTS_MAX);
        return false;
    }
    a = g_new0(Announcement, 1);
    if (!copy_parameters(par, &a->par, errp)) {
        g_free(a);
        return false;
    }
    loop_timer_init(&a->timer, main_loop(), round_due, a);
    g_hash_table_replace(announcements, g_strdup(id_of(par)), a);
    if (par->rounds) {
        arm(a);
    } else {
        g_hash_table_remove(announcements, id_of(par));
    }
    return true;
}

void net_announce_cleanup(void)
{
    g_clear_pointer(&announcements, g_hash_table_unref);
}
