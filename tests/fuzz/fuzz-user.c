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
#include "net/user-internal.h"
#include "system/machine-lock.h"
#include "tests/fuzz/fuzz.h"

static UserState state;

void __wrap_user_lock(UserState *s);
void __wrap_user_unlock(UserState *s);
bool __wrap_user_chardev_add(UserState *s, const char *text,
                             struct in_addr addr, int port, Error **errp);

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

static int no_hostfwd(Slirp *slirp, int is_udp, struct in_addr host,
                      int host_port, struct in_addr guest, int guest_port)
{
    g_assert_cmpint(host_port, >=, 0);
    g_assert_cmpint(host_port, <=, 65535);
    g_assert_cmpint(guest_port, >=, 1);
    g_assert_cmpint(guest_port, <=, 65535);
    return 0;
}

static int no_remove(Slirp *slirp, int is_udp, struct in_addr host,
                     int host_port)
{
    return 0;
}

static int no_exec(Slirp *slirp, const char *command, struct in_addr *addr,
                   int port)
{
    g_assert_cmpuint(strlen(command), >, 0);
    return 0;
}

static const SlirpLib lib = { .add_hostfwd = no_hostfwd,
                              .remove_hostfwd = no_remove,
                              .add_exec = no_exec };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    state.lib = &lib;
    state.guest_ports = g_array_new(FALSE, FALSE, sizeof(struct sockaddr_in));
    state.network.s_addr = htonl(0x0a000200);
    state.mask.s_addr = htonl(0xffffff00);
    state.dhcp_start.s_addr = htonl(0x0a00020f);
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
