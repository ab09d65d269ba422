/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of the user netdev: key=value text to what libslirp would get, and
 * rules of hostfwd and guestfwd. Addresses that are accepted lie in the
 * networks that they are said to be of. The library itself is not part of it.
 *
 * Input: a byte that chooses what it is, then text.
 *
 * Threads: one.
 */
#include "chardev/socket-address.h"
#include "net/user-internal.h"
#include "system/machine-lock.h"
#include "tests/fuzz/fuzz.h"

static UserState state;

void __wrap_user_lock(UserState *s);
void __wrap_user_unlock(UserState *s);
bool __wrap_user_chardev_add(UserState *s, const char *text,
                             struct in_addr addr, int port, Error **errp);
void __wrap_char_socket_clear_path(const UnixSocketAddress *addr);

void __wrap_user_lock(UserState *s)
{
}

void __wrap_user_unlock(UserState *s)
{
}

bool __wrap_user_chardev_add(UserState *s, const char *text,
                             struct in_addr addr, int port, Error **errp)
{
    g_assert_true(user_is_host(addr, s->network, s->mask));
    return true;
}

/* No file is removed here. */
void __wrap_char_socket_clear_path(const UnixSocketAddress *addr)
{
}

static unsigned port_of(const struct sockaddr *addr, socklen_t len)
{
    if (addr->sa_family == AF_INET) {
        g_assert_cmpuint(len, ==, sizeof(struct sockaddr_in));
        return ntohs(
            ((const struct sockaddr_in *)(const void *)addr)->sin_port);
    }
    g_assert_cmpint(addr->sa_family, ==, AF_INET6);
    g_assert_cmpuint(len, ==, sizeof(struct sockaddr_in6));
    return ntohs(((const struct sockaddr_in6 *)(const void *)addr)->sin6_port);
}

static int no_hostfwd(Slirp *slirp, const struct sockaddr *host,
                      socklen_t host_len, const struct sockaddr *guest,
                      socklen_t guest_len, int flags)
{
    g_assert_cmpuint(port_of(guest, guest_len), >=, 1);
    if (host->sa_family == AF_UNIX) {
        g_assert_cmpuint(host->sa_data[0], !=, 0);
        errno = EACCES;
        return -1; /* no file is made here */
    }
    g_assert_cmpint(host->sa_family, ==, guest->sa_family);
    port_of(host, host_len);
    return 0;
}

static int no_remove(Slirp *slirp, const struct sockaddr *host,
                     socklen_t host_len, int flags)
{
    return -1;
}

static int no_exec(Slirp *slirp, const char *command, struct in_addr *addr,
                   int port)
{
    g_assert_cmpuint(strlen(command), >, 0);
    return 0;
}

static const SlirpLib lib = { .add_hostxfwd = no_hostfwd,
                              .remove_hostxfwd = no_remove,
                              .add_exec = no_exec };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    state.lib = &lib;
    state.guest_ports = g_array_new(FALSE, FALSE, sizeof(struct sockaddr_in));
    state.network.s_addr = htonl(0x0a000200);
    state.mask.s_addr = htonl(0xffffff00);
    state.dhcp_start.s_addr = htonl(0x0a00020f);
    state.ipv6 = true;
    state.unix_files = g_array_new(FALSE, FALSE, sizeof(CharSocketFile));
    return 0;
}

static void read_config(const char *text)
{
    g_autofree char *full = g_strdup_printf("user,id=a,%s", text);
    Netdev *netdev = netdev_parse(full, NULL, NULL);
    UserConfig config = { 0 };
    Error *err = NULL;
    bool ok;

    if (netdev && netdev->type == NET_CLIENT_DRIVER_USER) {
        ok = user_config_read(&netdev->u.user, &config, &err);
        g_assert_true(ok == !err);
        if (ok && config.slirp.in_enabled) {
            g_assert_true(user_is_host(config.slirp.vdhcp_start,
                                       config.slirp.vnetwork,
                                       config.slirp.vnetmask));
        }
        user_config_clear(&config);
    }
    g_clear_error(&err);
    Netdev_free(netdev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) NO_THREAD_SAFETY
{
    FuzzInput in = { data, len };
    unsigned kind = fuzz_u8(&in) % 4;
    g_autofree char *text = g_strndup((const char *)in.at, in.left);
    Error *err = NULL;
    bool ok = true, found;

    if (kind == 0) {
        read_config(text);
    } else if (kind == 1) {
        ok = user_hostfwd_add(&state, text, &err);
    } else if (kind == 2) {
        ok = user_hostfwd_remove(&state, text, &found, &err);
    } else {
        g_array_set_size(state.guest_ports, 0);
        ok = user_guestfwd_add(&state, text, &err);
    }
    g_assert_true(ok == !err);
    g_clear_error(&err);
    return 0;
}
