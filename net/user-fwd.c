/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev user: what hostfwd, guestfwd and the monitor say of ports. */
#include "util/osdep.h"

#include <sys/un.h>

#include "chardev/socket-address.h"
#include "qapi/qapi-visit.h"
#include "user-internal.h"

#define HOSTFWD_FORM                                          \
    "[tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT or " \
    "unix:PATH-[GUESTADDR]:GUESTPORT, IPv6 addresses in brackets"
#define REMOVE_FORM   "[tcp|udp]:[HOSTADDR]:HOSTPORT or unix:PATH"
#define GUESTFWD_FORM "[tcp]:ADDR:PORT-CHARDEV or [tcp]:ADDR:PORT-cmd:COMMAND"
#define PORT_MAX      65535

typedef union FwdAddr {
    struct sockaddr sa; /* AF_UNSPEC: nothing was said */
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
} FwdAddr;

typedef struct HostFwd {
    bool udp;
    FwdAddr host, guest;
    int host_port, guest_port;
} HostFwd;

static bool bad_rule(const char *option, const char *rule, const char *why,
                     const char *form, Error **errp)
{
    g_autofree char *shown = qapi_quote(rule);

    error_setg(errp, "%s=%s: %s; expects %s", option, shown, why, form);
    return false;
}

/* Up to @end, or to the end when that is 0; *@p is then behind it. NULL: there
 * is no @end. */
static char *field(const char **p, char end)
{
    const char *stop = end ? strchr(*p, end) : *p + strlen(*p);
    char *text;

    if (!stop) {
        return NULL;
    }
    text = g_strndup(*p, (size_t)(stop - *p));
    *p = *stop ? stop + 1 : stop;
    return text;
}

/* "", "tcp" or, if allowed, "udp", and a colon. */
static bool take_protocol(const char **p, bool *is_udp)
{
    g_autofree char *name = field(p, ':');
    bool udp = g_strcmp0(name, "udp") == 0;

    if (is_udp) {
        *is_udp = udp;
    }
    return name && (!name[0] || strcmp(name, "tcp") == 0 || (udp && is_udp));
}

/* "[ADDR]:" of IPv6, "ADDR:" of IPv4, or ":", when @addr stays. */
static bool take_addr(const char **p, FwdAddr *addr)
{
    bool wide = **p == '[';
    const char *at = *p + wide;
    g_autofree char *text = field(&at, wide ? ']' : ':');

    if (!text || (wide && *at != ':')) {
        return false;
    }
    *p = at + wide;
    if (wide) {
        addr->in6.sin6_family = AF_INET6;
        return inet_pton(AF_INET6, text, &addr->in6.sin6_addr) == 1;
    }
    if (text[0]) {
        addr->in.sin_family = AF_INET;
        return inet_pton(AF_INET, text, &addr->in.sin_addr) == 1;
    }
    return true;
}

static bool take_port(const char **p, char end, int min, int *port)
{
    g_autofree char *text = field(p, end);
    uint64_t number;

    if (!text || !qapi_parse_uint("port", text, PORT_MAX, &number, NULL) ||
        (int)number < min) {
        return false;
    }
    *port = (int)number;
    return true;
}

/* ---- hostfwd ---- */

/* Up to @end: the last one, as a path may have it, too; 0: to the end. */
static const char *take_path(const char **p, char end, struct sockaddr_un *un)
{
    const char *stop = end ? strrchr(*p, end) : *p + strlen(*p);
    size_t len = stop ? (size_t)(stop - *p) : 0;

    if (len == 0 || len >= sizeof(un->sun_path)) {
        return "the host's path has not 1 to 107 bytes";
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, *p, len);
    *p = stop + (end != 0);
    return NULL;
}

/* The first part of a rule, with @end behind it; what is wrong, or NULL. */
static const char *take_host_side(const char **p, char end, HostFwd *fwd)
{
    if (g_str_has_prefix(*p, "unix:")) {
        *p += strlen("unix:");
        return take_path(p, end, &fwd->host.un);
    }
    if (!take_protocol(p, &fwd->udp)) {
        return "the protocol is none of tcp, udp and unix";
    }
    if (!take_addr(p, &fwd->host)) {
        return "the host's address is neither of IPv4 nor, in brackets, IPv6";
    }
    if (!take_port(p, end, 0, &fwd->host_port)) {
        return "the host's port is none of 0 to 65535";
    }
    return NULL;
}

static const char *take_guest_side(const char **p, HostFwd *fwd)
{
    if (!take_addr(p, &fwd->guest)) {
        return "the guest's address is neither of IPv4 nor, in brackets, IPv6";
    }
    if (!take_port(p, '\0', 1, &fwd->guest_port)) {
        return "the guest's port is none of 1 to 65535";
    }
    return NULL;
}

/* Any address of @family. */
static void set_any(FwdAddr *addr, int family)
{
    *addr = (FwdAddr){ .sa.sa_family = (sa_family_t)family };
}

static void set_port(FwdAddr *addr, int port)
{
    if (addr->sa.sa_family == AF_INET) {
        addr->in.sin_port = htons((uint16_t)port);
    } else if (addr->sa.sa_family == AF_INET6) {
        addr->in6.sin6_port = htons((uint16_t)port);
    }
}

static socklen_t addr_len(const FwdAddr *addr)
{
    return addr->sa.sa_family == AF_INET    ? sizeof(addr->in)
           : addr->sa.sa_family == AF_INET6 ? sizeof(addr->in6)
                                            : sizeof(addr->un);
}

/* Fills in what a rule leaves out; what is wrong with it, or NULL. */
static const char *complete(const UserState *s, HostFwd *fwd)
{
    int host = fwd->host.sa.sa_family, guest = fwd->guest.sa.sa_family;
    bool wide = guest == AF_INET6 || (!guest && host == AF_INET6);

    if (!host) {
        set_any(&fwd->host, wide ? AF_INET6 : AF_INET);
    } else if (host != AF_UNIX && guest && host != guest) {
        return "the host's and the guest's address are of two kinds";
    }
    if (wide && !s->ipv6) {
        return "it is about IPv6, and the netdev has ipv6=off";
    }
    if (wide && !guest) {
        return "the guest's address of IPv6 is missing";
    }
    if (!wide && s->dhcp_start.s_addr == 0) {
        return "it is about IPv4, and the netdev has ipv4=off";
    }
    if (!guest) {
        set_any(&fwd->guest, AF_INET);
        fwd->guest.in.sin_addr = s->dhcp_start;
    }
    set_port(&fwd->host, fwd->host_port);
    set_port(&fwd->guest, fwd->guest_port);
    return NULL;
}

static int fwd_flags(const HostFwd *fwd)
{
    return (fwd->udp ? SLIRP_HOSTFWD_UDP : 0) |
           (fwd->host.sa.sa_family == AF_INET6 ? SLIRP_HOSTFWD_V6ONLY : 0);
}

/* Which of the files is at @path; as many as there are: none. */
static guint find_file(const UserState *s, const char *path)
{
    guint i = 0;

    while (
        i < s->unix_files->len &&
        g_strcmp0(g_array_index(s->unix_files, CharSocketFile, i).path, path)) {
        i++;
    }
    return i;
}

/* Listens; 0 or an errno value. */
static int hostfwd_open(UserState *s, const HostFwd *fwd)
{
    bool is_unix = fwd->host.sa.sa_family == AF_UNIX;
    UnixSocketAddress path = { 0 };
    CharSocketFile file = { 0 };
    int err = 0;

    if (is_unix) {
        path.path = (char *)fwd->host.un.sun_path;
        if (find_file(s, path.path) < s->unix_files->len) {
            return EADDRINUSE; /* its socket would go */
        }
        char_socket_clear_path(&path);
    }
    user_lock(s);
    if (s->lib->add_hostxfwd(s->slirp, &fwd->host.sa, addr_len(&fwd->host),
                             &fwd->guest.sa, addr_len(&fwd->guest),
                             fwd_flags(fwd)) < 0) {
        err = errno ? errno : EADDRINUSE;
    }
    user_unlock(s);
    if (is_unix && !err) {
        char_socket_note_file(&file, &path);
        g_array_append_val(s->unix_files, file);
    }
    return err;
}

bool user_hostfwd_add(UserState *s, const char *rule, Error **errp)
{
    HostFwd fwd = { 0 };
    const char *p = rule, *wrong = take_host_side(&p, '-', &fwd);
    g_autofree char *shown = NULL;
    int err;

    if (!wrong) {
        wrong = take_guest_side(&p, &fwd);
    }
    if (!wrong) {
        wrong = complete(s, &fwd);
    }
    if (wrong) {
        return bad_rule("hostfwd", rule, wrong, HOSTFWD_FORM, errp);
    }
    err = hostfwd_open(s, &fwd);
    if (err) {
        shown = qapi_quote(rule);
        error_setg_errno(errp, err,
                         "hostfwd=%s: cannot listen at the host's %s", shown,
                         fwd.host.sa.sa_family == AF_UNIX ? "path" : "port");
        return false;
    }
    user_thread_kick(s);
    return true;
}

static bool hostfwd_close(UserState *s, const HostFwd *fwd)
{
    bool found;

    user_lock(s);
    found = s->lib->remove_hostxfwd(s->slirp, &fwd->host.sa,
                                    addr_len(&fwd->host), fwd_flags(fwd)) == 0;
    user_unlock(s);
    return found;
}

static void remove_file(UserState *s, const char *path)
{
    guint i = find_file(s, path);

    if (i < s->unix_files->len) {
        char_socket_remove_file(
            &g_array_index(s->unix_files, CharSocketFile, i));
        g_array_remove_index_fast(s->unix_files, i);
    }
}

bool user_hostfwd_remove(UserState *s, const char *rule, bool *found,
                         Error **errp)
{
    HostFwd fwd = { 0 };
    const char *p = rule, *wrong = take_host_side(&p, '\0', &fwd);
    bool any = fwd.host.sa.sa_family == AF_UNSPEC;

    if (wrong) {
        return bad_rule("hostfwd_remove", rule, wrong, REMOVE_FORM, errp);
    }
    if (any) {
        set_any(&fwd.host, AF_INET);
    }
    set_port(&fwd.host, fwd.host_port);
    *found = hostfwd_close(s, &fwd);
    if (any && !*found) {
        set_any(&fwd.host, AF_INET6);
        set_port(&fwd.host, fwd.host_port);
        *found = hostfwd_close(s, &fwd);
    }
    if (*found && fwd.host.sa.sa_family == AF_UNIX) {
        remove_file(s, fwd.host.un.sun_path);
    }
    user_thread_kick(s);
    return true;
}

void user_hostfwds_close(UserState *s)
{
    for (guint i = 0; i < s->unix_files->len; i++) {
        char_socket_remove_file(
            &g_array_index(s->unix_files, CharSocketFile, i));
    }
    g_clear_pointer(&s->unix_files, g_array_unref);
}

/* ---- guestfwd ---- */

/* Runs @command for each connection, its standard streams being that. */
static bool add_command(UserState *s, const char *command, struct in_addr addr,
                        int port, Error **errp)
{
    g_auto(GStrv) words = NULL;
    g_autofree char *shown = qapi_quote(command);
    Error *err = NULL;

    if (!g_shell_parse_argv(command, NULL, &words, &err)) {
        error_setg(errp, "guestfwd: '%s' is not a command: %s", shown,
                   err->message);
        g_error_free(err);
        return false;
    }
    if (s->lib->add_exec(s->slirp, command, &addr, port) < 0) {
        error_setg(errp, "guestfwd: that address is the network's own; choose "
                         "another one");
        return false;
    }
    return true;
}

/* Notes a guestfwd's place; false: there is one already, which the library
 * would take. */
static bool take_guest_port(UserState *s, struct in_addr addr, int port)
{
    struct sockaddr_in place = { .sin_port = htons((uint16_t)port),
                                 .sin_addr = addr };

    for (guint i = 0; i < s->guest_ports->len; i++) {
        const struct sockaddr_in *taken =
            &g_array_index(s->guest_ports, struct sockaddr_in, i);

        if (taken->sin_port == place.sin_port &&
            taken->sin_addr.s_addr == addr.s_addr) {
            return false;
        }
    }
    g_array_append_val(s->guest_ports, place);
    return true;
}

bool user_guestfwd_add(UserState *s, const char *rule, Error **errp)
{
    FwdAddr where = { 0 };
    struct in_addr addr;
    const char *p = rule;
    int port;

    if (!take_protocol(&p, NULL)) {
        return bad_rule("guestfwd", rule, "the protocol is not tcp",
                        GUESTFWD_FORM, errp);
    }
    if (!take_addr(&p, &where) || where.sa.sa_family != AF_INET ||
        !user_is_host(where.in.sin_addr, s->network, s->mask)) {
        return bad_rule("guestfwd", rule,
                        "the address is no host of the guest's network",
                        GUESTFWD_FORM, errp);
    }
    addr = where.in.sin_addr;
    if (!take_port(&p, '-', 1, &port)) {
        return bad_rule("guestfwd", rule, "the port is none of 1 to 65535",
                        GUESTFWD_FORM, errp);
    }
    if (!take_guest_port(s, addr, port)) {
        return bad_rule("guestfwd", rule,
                        "another one has that address and port already",
                        GUESTFWD_FORM, errp);
    }
    if (g_str_has_prefix(p, "cmd:")) {
        return add_command(s, p + strlen("cmd:"), addr, port, errp);
    }
    if (!*p) {
        return bad_rule("guestfwd", rule, "says nothing to forward to",
                        GUESTFWD_FORM, errp);
    }
    return user_chardev_add(s, p, addr, port, errp);
}
