/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Routes from eventfds to MSI messages.
 *
 * An accelerator with an interrupt controller in the kernel takes the eventfd
 * itself (a route's gsi and an irqfd). For any other the main loop watches the
 * eventfd and sends the message.
 */
#include "util/osdep.h"
#include "accel/accel.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "util/fd.h"

struct MsiRoute {
    MsiMessage msg;
    int gsi;     /* -1: not in the kernel */
    int eventfd; /* -1: detached */
    FdWatch watch;
};

/* The main loop's function; it holds the machine lock. */
static void msi_route_readable(void *opaque, uint32_t events) MAIN_THREAD
{
    MsiRoute *route = opaque;

    if (eventfd_clear(route->eventfd)) {
        accel_msi_send(route->msg);
    }
}

MsiRoute *msi_route_new(MsiMessage msg, Error **errp)
{
    const AccelOps *accel = accel_current();
    int gsi = -1;
    MsiRoute *route;

    machine_lock_assert();
    if (accel && accel->msi_route_add) {
        gsi = accel->msi_route_add(msg, errp);
        if (gsi < 0) {
            return NULL;
        }
    }
    route = g_new0(MsiRoute, 1);
    route->msg = msg;
    route->gsi = gsi;
    route->eventfd = -1;
    return route;
}

bool msi_route_update(MsiRoute *route, MsiMessage msg, Error **errp)
{
    machine_lock_assert();
    if (msg.address == route->msg.address && msg.data == route->msg.data) {
        return true;
    }
    if (route->gsi >= 0 &&
        !accel_current()->msi_route_update(route->gsi, msg, errp)) {
        return false;
    }
    route->msg = msg;
    return true;
}

void msi_route_free(MsiRoute *route)
{
    if (!route) {
        return;
    }
    machine_lock_assert();
    msi_route_detach(route);
    if (route->gsi >= 0) {
        accel_current()->msi_route_del(route->gsi);
    }
    g_free(route);
}

bool msi_route_attach(MsiRoute *route, int eventfd, Error **errp)
{
    machine_lock_assert();
    msi_route_detach(route);
    if (route->gsi >= 0) {
        if (!accel_current()->irqfd(true, route->gsi, eventfd, errp)) {
            return false;
        }
    } else {
        route->watch.name = "msi-route";
        fd_watch_start(&route->watch, main_loop(), eventfd, LOOP_IN,
                       msi_route_readable, route);
    }
    route->eventfd = eventfd;
    return true;
}

void msi_route_detach(MsiRoute *route)
{
    g_autoptr(GError) err = NULL;

    machine_lock_assert();
    if (route->eventfd < 0) {
        return;
    }
    if (route->gsi < 0) {
        fd_watch_stop(&route->watch);
    } else if (!accel_current()->irqfd(false, route->gsi, route->eventfd,
                                       &err)) {
        warn_report("%s", err->message);
    }
    route->eventfd = -1;
}
