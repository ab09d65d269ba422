/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev tap: opens or takes the queues of a tap and makes a netdev of them.
 */
#include "util/osdep.h"

#include "tap-internal.h"
#include "util/fd.h"

/* ---- operations of the netdev ---- */

int tap_device_fd(const TapState *tap)
{
    for (unsigned i = 0; i < tap->nc.n_queues; i++) {
        if (tap->nc.queue[i].enabled) {
            return tap->nc.queue[i].fd;
        }
    }
    return -1;
}

static bool tap_set_enabled(NetSubqueue *sq, bool on, Error **errp)
{
    TapState *tap = container_of(sq->nc, TapState, nc);

    if (!tap->multi_queue || sq->enabled == on) {
        return true;
    }
    if (!tap_set_queue(sq->fd, on)) {
        error_setg_errno(errp, errno, "tap '%s': cannot %s queue %u",
                         tap->ifname, on ? "attach" : "detach", sq->index);
        return false;
    }
    return true;
}

static bool tap_set_offloads(NetClientState *nc, const NetOffloads *offloads,
                             Error **errp)
{
    TapState *tap = container_of(nc, TapState, nc);

    if (!nc->caps.vnet_hdr) {
        return true;
    }
    if (!tap_load_offloads(tap_device_fd(tap), offloads, &nc->caps)) {
        error_setg_errno(errp, errno, "tap '%s': cannot set offloads",
                         tap->ifname);
        return false;
    }
    return true;
}

static bool tap_set_vnet_hdr_len(NetClientState *nc, unsigned len, Error **errp)
{
    TapState *tap = container_of(nc, TapState, nc);

    g_assert(len == VNET_HDR_MIN || len == VNET_HDR_V1 || len == VNET_HDR_MAX);
    if (nc->caps.vnet_hdr && !tap_set_hdr_len(tap_device_fd(tap), len)) {
        error_setg_errno(errp, errno,
                         "tap '%s': cannot set a header of %u bytes",
                         tap->ifname, len);
        return false;
    }
    tap->hdr_len = len;
    return true;
}

static void MAIN_THREAD run_downscript(TapState *tap)
{
    g_autofree char *script = g_steal_pointer(&tap->downscript);
    Error *err = NULL;

    if (script && !tap_run_script(script, tap->ifname, &err)) {
        warn_report("netdev '%s': downscript: %s", tap->nc.name, err->message);
        g_error_free(err);
    }
}

static void tap_cleanup(NetClientState *nc) MAIN_THREAD
{
    run_downscript(container_of(nc, TapState, nc));
    tap_steering_close(nc);
    tap_close_queues(container_of(nc, TapState, nc), 0, nc->n_queues);
}

static const NetClientInfo tap_info = {
    .type = NET_CLIENT_DRIVER_TAP,
    .recv = tap_recv,
    .send = tap_send,
    .recv_burst = tap_recv_burst,
    .send_burst = tap_send_burst,
    .set_enabled = tap_set_enabled,
    .set_offloads = tap_set_offloads,
    .set_vnet_hdr_len = tap_set_vnet_hdr_len,
    .steering_open = tap_steering_open,
    .steer = tap_steer,
    .steering_close = tap_steering_close,
    .cleanup = tap_cleanup,
    .set_queues = tap_set_queues,
    .funnel = tap_funnel,
};

static const NetClientInfo bridge_info = {
    .type = NET_CLIENT_DRIVER_BRIDGE,
    .recv = tap_recv,
    .send = tap_send,
    .recv_burst = tap_recv_burst,
    .send_burst = tap_send_burst,
    .set_enabled = tap_set_enabled,
    .set_offloads = tap_set_offloads,
    .set_vnet_hdr_len = tap_set_vnet_hdr_len,
    .steering_open = tap_steering_open,
    .steer = tap_steer,
    .steering_close = tap_steering_close,
    .cleanup = tap_cleanup,
    .set_queues = tap_set_queues,
    .funnel = tap_funnel,
};

/* ---- making one ---- */

/* Sets what belongs to the interface, through the first queue. */
static bool prepare_interface(const TapSetup *setup, const TapIf *tap,
                              const TapQueues *queues, NetCaps *caps,
                              Error **errp)
{
    int fd = queues->fd[0];

    if (!tap_set_sndbuf(fd, setup->sndbuf) && setup->sndbuf_given) {
        error_setg_errno(errp, errno, "sndbuf=%d: the kernel refuses it",
                         setup->sndbuf);
        return false;
    }
    *caps = (NetCaps){ .vnet_hdr = tap->vnet_hdr,
                       .vhost = setup->vhost,
                       .vhost_force = setup->vhost_force,
                       .vhost_poll_us = setup->vhost_poll_us };
    if (!tap->vnet_hdr) {
        return true;
    }
    if (!tap_set_hdr_len(fd, VNET_HDR_V1)) {
        error_setg_errno(errp, errno,
                         "tap '%s': cannot set a header of %u bytes", tap->name,
                         VNET_HDR_V1);
        return false;
    }
    tap_probe_offloads(fd, caps);
    return true;
}

static void fill_state(TapState *s, const TapSetup *setup, const TapIf *tap,
                       const TapQueues *queues, const NetCaps *caps) MAIN_THREAD
{
    s->nc.caps = *caps;
    s->nc.vnet_hdr_len = s->hdr_len = VNET_HDR_V1;
    s->nc.queue_frames = tap_queue_frames(tap->name);
    s->multi_queue = tap->multi_queue;
    s->opened = setup->opened;
    s->sndbuf_limited = tap_sndbuf_limited(queues->fd[0]);
    s->downscript = g_strdup(setup->downscript);
    g_strlcpy(s->ifname, tap->name, sizeof(s->ifname));
    for (unsigned i = 0; i < queues->n; i++) {
        s->nc.queue[i].fd = queues->fd[i];
        s->nc.queue[i].vhost_fd = queues->vhost_fd[i];
    }
    snprintf(s->nc.info_str, sizeof(s->nc.info_str),
             "ifname=%s,vnet_hdr=%s,vhost=%s,%.128s", s->ifname,
             caps->vnet_hdr ? "on" : "off", caps->vhost ? "on" : "off",
             setup->origin);
}

bool tap_create(const TapSetup *setup, const TapIf *tap,
                const TapQueues *queues, Error **errp)
{
    const NetClientInfo *info =
        setup->type == NET_CLIENT_DRIVER_BRIDGE ? &bridge_info : &tap_info;
    TapState *s;
    NetCaps caps;

    if (!tap_prepare_queues(queues, errp) ||
        !prepare_interface(setup, tap, queues, &caps, errp) ||
        (setup->script && !tap_run_script(setup->script, tap->name, errp))) {
        return false;
    }
    s = g_new0(TapState, 1);
    if (!net_client_register(&s->nc, info, setup->id, queues->n, errp)) {
        g_free(s);
        return false;
    }
    fill_state(s, setup, tap, queues, &caps);
    if (!net_client_rejoin(&s->nc, errp)) {
        run_downscript(s);
        net_client_unregister(&s->nc);
        g_free(s);
        return false;
    }
    return true;
}

/* ---- the queues of each kind of option ---- */

static bool MAIN_THREAD take_from_helper(const NetdevTapOptions *o, TapIf *tap,
                                         TapQueues *queues, Error **errp)
{
    queues->own_fds = true;
    return net_bridge_open(o->helper, o->br, queues->fd, queues->n, errp) &&
           tap_inspect(queues->fd[0], tap, errp);
}

static bool open_queues(const NetdevTapOptions *o, TapIf *tap,
                        TapQueues *queues, Error **errp)
{
    bool has_hdr = tap_kernel_has_vnet_hdr();

    if (o->has_vnet_hdr && o->vnet_hdr && !has_hdr) {
        error_setg(errp, "vnet_hdr=on: the kernel's taps have no IFF_VNET_HDR; "
                         "use vnet_hdr=off");
        return false;
    }
    g_strlcpy(tap->name, o->ifname ? o->ifname : "", IFNAMSIZ);
    tap->vnet_hdr = has_hdr && !(o->has_vnet_hdr && !o->vnet_hdr);
    tap->multi_queue = queues->n > 1;
    queues->own_fds = true;
    for (unsigned i = 0; i < queues->n; i++) {
        queues->fd[i] = tap_open(tap, errp);
        if (queues->fd[i] < 0) {
            return false;
        }
    }
    return true;
}

static bool MAIN_THREAD get_vhost_fds(const NetdevTapOptions *o,
                                      const TapIf *tap, TapQueues *queues,
                                      Error **errp)
{
    if (!tap_wants_vhost(o)) {
        return true;
    }
    if (!tap->vnet_hdr) {
        error_setg(errp,
                   "vhost=on: tap '%s' has no IFF_VNET_HDR, which "
                   "vhost-net needs; use vhost=off",
                   tap->name);
        return false;
    }
    return tap_take_vhost_fds(o->vhostfd ? o->vhostfd : o->vhostfds,
                              o->vhostfd ? "vhostfd" : "vhostfds", queues,
                              errp);
}

/* The program for @option, or NULL when there is none to run. */
static const char *script_of(const char *option)
{
    return strcmp(option, "no") == 0 || !*option ? NULL : option;
}

/* A default down script that is not there is none; one that was asked for is
 * tried, and a failure reported. */
static const char *downscript_of(const NetdevTapOptions *o)
{
    if (o->downscript) {
        return script_of(o->downscript);
    }
    return access(TAP_DEFAULT_DOWNSCRIPT, X_OK) == 0 ? TAP_DEFAULT_DOWNSCRIPT
                                                     : NULL;
}

static void describe(const NetdevTapOptions *o, TapSetup *setup, char *origin,
                     size_t size)
{
    bool ours = !o->fd && !o->fds && !o->helper;

    setup->opened = ours;
    setup->vhost = tap_wants_vhost(o);
    setup->vhost_force = o->has_vhostforce && o->vhostforce;
    setup->vhost_poll_us = o->has_poll_us ? o->poll_us : 0;
    setup->sndbuf_given = o->has_sndbuf && o->sndbuf;
    setup->sndbuf =
        setup->sndbuf_given ? (int)MIN(o->sndbuf, INT32_MAX) : INT32_MAX;
    if (ours) {
        setup->script = script_of(o->script ? o->script : TAP_DEFAULT_SCRIPT);
        setup->downscript = downscript_of(o);
        snprintf(origin, size, "script=%s,downscript=%s",
                 setup->script ? setup->script : "no",
                 setup->downscript ? setup->downscript : "no");
    } else if (o->helper) {
        snprintf(origin, size, "helper=%s", o->helper);
    } else {
        snprintf(origin, size, "%s=%s", o->fd ? "fd" : "fds",
                 o->fd ? o->fd : o->fds);
    }
    setup->origin = origin;
}

bool net_init_tap(const Netdev *netdev, Error **errp)
{
    const NetdevTapOptions *o = &netdev->u.tap;
    TapQueues queues;
    TapIf tap = { .name = "" };
    TapSetup setup = { .id = netdev->id, .type = netdev->type };
    char origin[160];
    bool ok;

    tap_queues_init(&queues);
    if (!tap_check_options(o, &queues, errp)) {
        return false;
    }
    if (o->fd || o->fds) {
        ok = tap_take_fds(o->fd ? o->fd : o->fds, o->fd ? "fd" : "fds",
                          !(o->has_vnet_hdr && !o->vnet_hdr), &tap, &queues,
                          errp);
    } else if (o->helper) {
        ok = take_from_helper(o, &tap, &queues, errp);
    } else {
        ok = open_queues(o, &tap, &queues, errp);
    }
    describe(o, &setup, origin, sizeof(origin));
    if (!ok || !get_vhost_fds(o, &tap, &queues, errp) ||
        !tap_create(&setup, &tap, &queues, errp)) {
        tap_give_up(&queues);
        return false;
    }
    tap_fds_taken(o->fd);
    tap_fds_taken(o->fds);
    tap_fds_taken(o->vhostfd);
    tap_fds_taken(o->vhostfds);
    return true;
}
