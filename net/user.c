/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev user: a network inside this process, for users without rights. */
#include "util/osdep.h"

#include "chardev/socket-address.h"
#include "net/bare.h"
#include "net/user.h"
#include "qapi/qapi-visit.h"
#include "user-internal.h"
#include "util/iov.h"

#define QUEUE_FRAMES 1024u

/* ---- frames: the pair's owner ---- */

static ssize_t user_recv(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    UserState *s = container_of(sq->nc, UserState, nc);
    ssize_t len = net_frame_queue_get(s->to_guest, iov, n, s->hdr_len);

    if (len <= 0) {
        return 0;
    }
    net_bare_header(iov, n, s->hdr_len);
    return len + s->hdr_len;
}

static ssize_t user_send(NetSubqueue *sq, const struct iovec *iov, unsigned n)
{
    UserState *s = container_of(sq->nc, UserState, nc);
    size_t len = iov_size(iov, n);

    if (len <= s->hdr_len) {
        return -EINVAL;
    }
    if (net_frame_queue_put(s->from_guest, iov, n, s->hdr_len)) {
        return (ssize_t)len;
    }
    /* Room that comes from here on is told of again. */
    net_wake_room_clear(&s->wake);
    if (net_frame_queue_put(s->from_guest, iov, n, s->hdr_len)) {
        /* The signal may have been for somebody else, who waits. */
        net_wake_room(&s->wake);
        return (ssize_t)len;
    }
    return 0;
}

/* ---- the netdev ---- */

static bool user_set_vnet_hdr_len(NetClientState *nc, unsigned len,
                                  Error **errp)
{
    container_of(nc, UserState, nc)->hdr_len = len;
    return true;
}

static void MAIN_THREAD user_close(UserState *s)
{
    user_instance_close(s);
    user_chardevs_close(s);
    user_smb_close(s);
    user_hostfwds_close(s);
    g_clear_pointer(&s->guest_ports, g_array_unref);
    pthread_cond_destroy(&s->freed);
    pthread_mutex_destroy(&s->lock);
}

static void MAIN_THREAD user_cleanup(NetClientState *nc)
{
    user_close(container_of(nc, UserState, nc));
    nc->queue[0].fd = nc->queue[0].room_fd = -1;
}

static const NetClientInfo user_info = {
    .type = NET_CLIENT_DRIVER_USER,
    .recv = user_recv,
    .send = user_send,
    .set_vnet_hdr_len = user_set_vnet_hdr_len,
    .cleanup = user_cleanup,
};

/* What the options forward, and the thread. */
static bool MAIN_THREAD user_begin(UserState *s, const NetdevUserOptions *o,
                                   const UserConfig *config, Error **errp)
{
    if (o->guestfwd.n && !config->slirp.in_enabled) {
        error_setg(errp, "ipv4=off does not go with guestfwd=, which is about "
                         "IPv4");
        return false;
    }
    if (o->smb && !user_smb_open(s, o->smb, config->smb_server, errp)) {
        return false;
    }
    for (size_t i = 0; i < o->hostfwd.n; i++) {
        if (!user_hostfwd_add(s, o->hostfwd.v[i].str, errp)) {
            return false;
        }
    }
    for (size_t i = 0; i < o->guestfwd.n; i++) {
        if (!user_guestfwd_add(s, o->guestfwd.v[i].str, errp)) {
            return false;
        }
    }
    return user_thread_start(s, errp);
}

static bool MAIN_THREAD user_register(UserState *s, const char *id,
                                      const SlirpConfig *cfg, Error **errp)
{
    char net[INET_ADDRSTRLEN];

    if (!net_client_register(&s->nc, &user_info, id, 1, errp)) {
        return false;
    }
    s->nc.queue[0].fd = s->wake.fd;
    s->nc.queue[0].room_fd = s->wake.room_fd;
    s->nc.caps = (NetCaps){ 0 };
    s->nc.queue_frames = QUEUE_FRAMES;
    s->nc.vnet_hdr_len = s->hdr_len = VNET_HDR_V1;
    inet_ntop(AF_INET, &cfg->vnetwork, net, sizeof(net));
    snprintf(s->nc.info_str, sizeof(s->nc.info_str), "net=%s,restrict=%s",
             cfg->in_enabled ? net : "none", cfg->restricted ? "on" : "off");
    if (!net_client_rejoin(&s->nc, errp)) {
        net_client_unregister(&s->nc);
        return false;
    }
    return true;
}

bool net_init_user(const Netdev *netdev, Error **errp)
{
    const NetdevUserOptions *o = &netdev->u.user;
    const SlirpLib *lib = user_lib(errp);
    UserConfig config = { 0 };
    UserState *s;
    bool ok;

    if (!lib || !user_config_read(o, &config, errp)) {
        user_config_clear(&config);
        return false;
    }
    s = g_new0(UserState, 1);
    s->lib = lib;
    s->wake = s->input = (NetWake){ -1, -1, -1, -1 };
    s->chardevs = g_ptr_array_new();
    s->guest_ports = g_array_new(FALSE, FALSE, sizeof(struct sockaddr_in));
    s->unix_files = g_array_new(FALSE, FALSE, sizeof(CharSocketFile));
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->freed, NULL);
    ok = user_instance_open(s, &config.slirp, errp) &&
         user_begin(s, o, &config, errp) &&
         user_register(s, netdev->id, &config.slirp, errp);
    user_config_clear(&config);
    if (!ok) {
        user_close(s);
        g_free(s);
    }
    return ok;
}

/* ---- what monitors do ---- */

typedef struct FindUser {
    const char *id; /* NULL: any */
    UserState *found;
} FindUser;

static void find_user(NetClientState *nc, void *opaque)
{
    FindUser *find = opaque;

    if (!find->found && nc->info == &user_info &&
        (!find->id || strcmp(nc->name, find->id) == 0)) {
        find->found = container_of(nc, UserState, nc);
    }
}

static UserState *MAIN_THREAD user_find(const char *id, Error **errp)
{
    FindUser find = { .id = id };
    g_autofree char *shown = id ? qapi_quote(id) : NULL;

    net_client_foreach(find_user, &find);
    if (find.found) {
        return find.found;
    }
    if (id) {
        error_setg(errp, "There is no netdev '%s' of type 'user'", shown);
    } else {
        error_setg(errp, "There is no netdev of type 'user'");
    }
    return NULL;
}

bool net_user_hostfwd_add(const char *id, const char *rule, Error **errp)
{
    UserState *s = user_find(id, errp);

    return s && user_hostfwd_add(s, rule, errp);
}

bool net_user_hostfwd_remove(const char *id, const char *rule, bool *found,
                             Error **errp)
{
    UserState *s = user_find(id, errp);

    return s && user_hostfwd_remove(s, rule, found, errp);
}

static void add_info(NetClientState *nc, void *opaque)
{
    GString *out = opaque;
    UserState *s;
    char *text;

    if (nc->info != &user_info) {
        return;
    }
    s = container_of(nc, UserState, nc);
    user_lock(s);
    text = s->lib->connection_info(s->slirp);
    user_unlock(s);
    g_string_append_printf(out, "%s:\n%s", nc->name, text);
    g_free(text);
}

void net_user_info(GString *out)
{
    net_client_foreach(add_info, out);
}
