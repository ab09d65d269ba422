/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev user: what hostfwd, guestfwd and the monitor say of ports. */
#include "util/osdep.h"

#include "qapi/qapi-visit.h"
#include "user-internal.h"

#define HOSTFWD_FORM  "[tcp|udp]:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT"
#define REMOVE_FORM   "[tcp|udp]:[HOSTADDR]:HOSTPORT"
#define GUESTFWD_FORM "[tcp]:ADDR:PORT-CHARDEV or [tcp]:ADDR:PORT-cmd:COMMAND"
#define PORT_MAX      65535

typedef struct HostFwd {
    int is_udp;
    struct in_addr host, guest;
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
static bool take_protocol(const char **p, int *is_udp)
{
    g_autofree char *name = field(p, ':');
    bool udp = g_strcmp0(name, "udp") == 0;

    if (is_udp) {
        *is_udp = udp;
    }
    return name && (!name[0] || strcmp(name, "tcp") == 0 || (udp && is_udp));
}

/* An address, or nothing: then *@addr stays. */
static bool take_addr(const char **p, struct in_addr *addr)
{
    g_autofree char *text = field(p, ':');

    return text && (!text[0] || inet_pton(AF_INET, text, addr) == 1);
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

/* "tcp:ADDR:PORT" with @end behind it; what is wrong, or NULL. */
static const char *take_host_side(const char **p, char end, HostFwd *fwd)
{
    if (g_str_has_prefix(*p, "unix:")) {
        return "unix sockets are not possible";
    }
    if (!take_protocol(p, &fwd->is_udp)) {
        return "the protocol is neither tcp nor udp";
    }
    if (!take_addr(p, &fwd->host)) {
        return "the host's address is no IPv4 address";
    }
    if (!take_port(p, end, 0, &fwd->host_port)) {
        return "the host's port is none of 0 to 65535";
    }
    return NULL;
}

static const char *take_guest_side(const char **p, HostFwd *fwd)
{
    if (!take_addr(p, &fwd->guest)) {
        return "the guest's address is no IPv4 address";
    }
    if (!take_port(p, '\0', 1, &fwd->guest_port)) {
        return "the guest's port is none of 1 to 65535";
    }
    return NULL;
}

bool user_hostfwd_add(UserState *s, const char *rule, Error **errp)
{
    HostFwd fwd = { .guest = s->dhcp_start };
    const char *p = rule, *wrong = take_host_side(&p, '-', &fwd);
    g_autofree char *shown = NULL;
    int err = 0;

    if (s->dhcp_start.s_addr == 0) {
        error_setg(errp, "netdev '%s' has ipv4=off, and hostfwd is about IPv4",
                   s->nc.name);
        return false;
    }
    if (!wrong) {
        wrong = take_guest_side(&p, &fwd);
    }
    if (wrong) {
        return bad_rule("hostfwd", rule, wrong, HOSTFWD_FORM, errp);
    }
    user_lock(s);
    if (s->lib->add_hostfwd(s->slirp, fwd.is_udp, fwd.host, fwd.host_port,
                            fwd.guest, fwd.guest_port) < 0) {
        err = errno ? errno : EADDRINUSE;
    }
    user_unlock(s);
    if (err) {
        shown = qapi_quote(rule);
        error_setg_errno(errp, err,
                         "hostfwd=%s: cannot listen at the host's "
                         "port",
                         shown);
        return false;
    }
    user_thread_kick(s);
    return true;
}

bool user_hostfwd_remove(UserState *s, const char *rule, bool *found,
                         Error **errp)
{
    HostFwd fwd = { 0 };
    const char *p = rule, *wrong = take_host_side(&p, '\0', &fwd);

    if (wrong) {
        return bad_rule("hostfwd_remove", rule, wrong, REMOVE_FORM, errp);
    }
    user_lock(s);
    *found = s->lib->remove_hostfwd(s->slirp, fwd.is_udp, fwd.host,
                                    fwd.host_port) == 0;
    user_unlock(s);
    user_thread_kick(s);
    return true;
}

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
    struct in_addr addr = { 0 };
    const char *p = rule;
    int port;

    if (!take_protocol(&p, NULL)) {
        return bad_rule("guestfwd", rule, "the protocol is not tcp",
                        GUESTFWD_FORM, errp);
    }
    if (!take_addr(&p, &addr) || !user_is_host(addr, s->network, s->mask)) {
        return bad_rule("guestfwd", rule,
                        "the address is no host of the guest's network",
                        GUESTFWD_FORM, errp);
    }
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
