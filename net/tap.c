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

static void run_downscript(TapState *tap)
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
    for (unsigned i = 0; i < nc->n_queues; i++) {
        fd_close(&nc->queue[i].fd);
        fd_close(&nc->queue[i].vhost_fd);
    }
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
};

/* ---- making one ---- */

static bool prepare_fd(int fd, Error **errp)
{
    return fd_set_nonblock(fd, true, errp) && fd_set_cloexec(fd, errp);
}

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

static bool prepare_queues(const TapQueues *queues, Error **errp)
{
    for (unsigned i = 0; i < queues->n; i++) {
        if (!prepare_fd(queues->fd[i], errp) ||
            (queues->vhost_fd[i] >= 0 &&
             !prepare_fd(queues->vhost_fd[i], errp))) {
            return false;
        }
    }
    return true;
}

static void fill_state(TapState *s, const TapSetup *setup, const TapIf *tap,
                       const TapQueues *queues, const NetCaps *caps) MAIN_THREAD
{
    s->nc.caps = *caps;
    s->nc.vnet_hdr_len = s->hdr_len = VNET_HDR_V1;
    s->multi_queue = queues->n > 1;
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

    if (!prepare_queues(queues, errp) ||
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

static bool MAIN_THREAD take_fds(const NetdevTapOptions *o, TapIf *tap,
                                 TapQueues *queues, Error **errp)
{
    const char *option = o->fd ? "fd" : "fds";
    bool want_hdr = !(o->has_vnet_hdr && !o->vnet_hdr);
    TapIf one;

    if (!tap_parse_fds(o->fd ? o->fd : o->fds, option, queues->fd,
                       queues->fd_dup, queues->n, errp)) {
        return false;
    }
    for (unsigned i = 0; i < queues->n; i++) {
        if (!tap_inspect(queues->fd[i], &one, errp)) {
            error_prepend(errp, "%s: ", option);
            return false;
        }
        if (one.vnet_hdr != want_hdr) {
            error_setg(errp,
                       "%s: tap '%s' of file descriptor %d was opened %s "
                       "IFF_VNET_HDR; %s",
                       option, one.name, queues->fd[i],
                       want_hdr ? "without" : "with",
                       want_hdr ? "open it with that, or use vnet_hdr=off"
                                : "leave vnet_hdr=off out");
            return false;
        }
        if (queues->n > 1 && !one.multi_queue) {
            error_setg(errp,
                       "%s: tap '%s' of file descriptor %d was opened without "
                       "IFF_MULTI_QUEUE, which several queues need",
                       option, one.name, queues->fd[i]);
            return false;
        }
        if (i > 0 && strcmp(tap->name, one.name) != 0) {
            error_setg(errp,
                       "%s: file descriptors %d and %d are of different taps, "
                       "'%s' and '%s'; give queues of one",
                       option, queues->fd[0], queues->fd[i], tap->name,
                       one.name);
            return false;
        }
        *tap = one;
    }
    return true;
}

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

static bool MAIN_THREAD take_vhost_fds(const NetdevTapOptions *o,
                                       TapQueues *queues, Error **errp)
{
    const char *option = o->vhostfd ? "vhostfd" : "vhostfds";

    if (!tap_parse_fds(o->vhostfd ? o->vhostfd : o->vhostfds, option,
                       queues->vhost_fd, queues->vhost_fd_dup, queues->n,
                       errp)) {
        return false;
    }
    for (unsigned i = 0; i < queues->n; i++) {
        if (!vhost_fd_check(queues->vhost_fd[i], option, errp)) {
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
    if (o->vhostfd || o->vhostfds) {
        return take_vhost_fds(o, queues, errp);
    }
    queues->own_vhost_fds = true;
    for (unsigned i = 0; i < queues->n; i++) {
        queues->vhost_fd[i] = vhost_net_open(errp);
        if (queues->vhost_fd[i] < 0) {
            return false;
        }
    }
    return true;
}

/* Closes what was opened for a netdev that does not come. */
static void give_up(TapQueues *queues)
{
    for (unsigned i = 0; i < NET_MAX_QUEUES; i++) {
        if (queues->own_fds || queues->fd_dup[i]) {
            fd_close(&queues->fd[i]);
        }
        if (queues->own_vhost_fds || queues->vhost_fd_dup[i]) {
            fd_close(&queues->vhost_fd[i]);
        }
    }
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
    TapQueues queues = { .n = 0 };
    TapIf tap = { .name = "" };
    TapSetup setup = { .id = netdev->id, .type = netdev->type };
    char origin[160];
    bool ok;

    memset(queues.fd, -1, sizeof(queues.fd));
    memset(queues.vhost_fd, -1, sizeof(queues.vhost_fd));
    if (!tap_check_options(o, &queues, errp)) {
        return false;
    }
    if (o->fd || o->fds) {
        ok = take_fds(o, &tap, &queues, errp);
    } else if (o->helper) {
        ok = take_from_helper(o, &tap, &queues, errp);
    } else {
        ok = open_queues(o, &tap, &queues, errp);
    }
    describe(o, &setup, origin, sizeof(origin));
    if (!ok || !get_vhost_fds(o, &tap, &queues, errp) ||
        !tap_create(&setup, &tap, &queues, errp)) {
        give_up(&queues);
        return false;
    }
    tap_fds_taken(o->fd);
    tap_fds_taken(o->fds);
    tap_fds_taken(o->vhostfd);
    tap_fds_taken(o->vhostfds);
    return true;
}
