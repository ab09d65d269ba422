/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fake accelerator and run state under the real chipset. */
#include "util/osdep.h"

#include "pci-rig.h"
#include "system/main-loop.h"
#include "system/memory.h"
#include "util/fd.h"

struct MsiRoute {
    MsiMessage msg;
    int fd; /* -1: detached */
};

typedef struct Handler {
    ResetFunc *func;
    void *opaque;
} Handler;

Rig rig;
static GPtrArray *routes; /* of MsiRoute */
static GArray *handlers;  /* of Handler */
static Handler powerdown;

void rig_init(void) NO_THREAD_SAFETY
{
    g_assert_true(main_loop_init(NULL));
    routes = g_ptr_array_new();
    handlers = g_array_new(FALSE, FALSE, sizeof(Handler));
    rig_clear();
}

void rig_clear(void)
{
    unsigned n = rig.routes;
    bool gsi[ARRAY_SIZE(rig.gsi)];
    memcpy(gsi, rig.gsi, sizeof(gsi));
    rig = (Rig){ .routes = n, .routes_max = UINT_MAX, .exit_status = -1 };
    memcpy(rig.gsi, gsi, sizeof(gsi));
}

/* ---- accelerator ---- */

static void record(MsiMessage msg)
{
    g_assert_cmpuint(rig.n_messages, <, RIG_MAX_MESSAGES);
    rig.message[rig.n_messages++] = msg;
}

void accel_set_gsi(unsigned gsi, bool level)
{
    g_assert_cmpuint(gsi, <, ARRAY_SIZE(rig.gsi));
    rig.gsi_rises[gsi] += level && !rig.gsi[gsi];
    rig.gsi[gsi] = level;
}

void accel_msi_send(MsiMessage msg)
{
    record(msg);
}

static void route_poll(MsiRoute *route)
{
    if (route->fd >= 0 && eventfd_clear(route->fd)) {
        rig.n_by_kernel++;
        record(route->msg);
    }
}

void rig_kernel_turn(void)
{
    for (guint i = 0; i < routes->len; i++) {
        route_poll(g_ptr_array_index(routes, i));
    }
}

MsiRoute *msi_route_new(MsiMessage msg, Error **errp)
{
    if (rig.routes >= rig.routes_max) {
        error_setg(errp, "no route left");
        return NULL;
    }
    rig.routes++;
    MsiRoute *route = g_new0(MsiRoute, 1);
    route->msg = msg;
    route->fd = -1;
    g_ptr_array_add(routes, route);
    return route;
}

bool msi_route_update(MsiRoute *route, MsiMessage msg, Error **errp)
{
    if (rig.refuse_update) {
        error_setg(errp, "refused");
        return false;
    }
    route->msg = msg;
    return true;
}

void msi_route_free(MsiRoute *route)
{
    if (route) {
        g_ptr_array_remove(routes, route);
        g_free(route);
        rig.routes--;
    }
}

/* Like KVM_IRQFD: a count that is there already injects at once. */
bool msi_route_attach(MsiRoute *route, int eventfd, Error **errp)
{
    route->fd = eventfd;
    route_poll(route);
    return true;
}

void msi_route_detach(MsiRoute *route)
{
    route->fd = -1;
}

/* ---- run state ---- */

void reset_handler_add(ResetFunc *func, void *opaque)
{
    Handler h = { func, opaque };
    g_array_append_val(handlers, h);
}

void reset_handler_remove(ResetFunc *func, void *opaque)
{
    for (guint i = 0; i < handlers->len; i++) {
        Handler *h = &g_array_index(handlers, Handler, i);
        if (h->func == func && h->opaque == opaque) {
            g_array_remove_index(handlers, i);
            return;
        }
    }
}

void rig_machine_reset(void)
{
    devices_reset_all();
    for (guint i = 0; i < handlers->len; i++) {
        Handler *h = &g_array_index(handlers, Handler, i);
        h->func(h->opaque);
    }
}

void system_reset_request(ShutdownCause cause)
{
    g_assert_cmpint(cause, ==, SHUTDOWN_CAUSE_GUEST_RESET);
    rig.resets++;
}

void system_shutdown_request(ShutdownCause cause)
{
    g_assert_cmpint(cause, ==, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    rig.shutdowns++;
}

void system_exit_request(int status)
{
    rig.exit_status = status;
}

void system_panic_request(bool handled)
{
    *(handled ? &rig.panics_handled : &rig.panics) += 1;
}

void powerdown_handler_set(void (*func)(void *opaque), void *opaque)
{
    powerdown = (Handler){ func, opaque };
}

void rig_power_button(void)
{
    powerdown.func(powerdown.opaque);
}

/* ---- ports ---- */

void outb(uint16_t port, uint8_t value)
{
    io_write(IO_SPACE_PORT, port, value, 1);
}

void outw(uint16_t port, uint16_t value)
{
    io_write(IO_SPACE_PORT, port, value, 2);
}

void outl(uint16_t port, uint32_t value)
{
    io_write(IO_SPACE_PORT, port, value, 4);
}

uint8_t inb(uint16_t port)
{
    return (uint8_t)io_read(IO_SPACE_PORT, port, 1);
}

uint16_t inw(uint16_t port)
{
    return (uint16_t)io_read(IO_SPACE_PORT, port, 2);
}

uint32_t inl(uint16_t port)
{
    return (uint32_t)io_read(IO_SPACE_PORT, port, 4);
}
