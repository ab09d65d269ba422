/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -netdev bridge, and the helper program that opens taps on a bridge. */
#include "util/osdep.h"

#include <sys/socket.h>

#include "config-host.h"
#include "tap-internal.h"
#include "util/fd.h"

#define DEFAULT_BRIDGE "br0"
#define DEFAULT_HELPER CONFIG_LIBEXECDIR "/qemu-bridge-helper"

/* The program and the arguments the user gave it, and ours. NULL and *errp
 * when the text is no command. */
static char **helper_argv(const char *helper, const char *br, unsigned n,
                          Error **errp)
{
    GPtrArray *argv;
    g_auto(GStrv) words = NULL;
    Error *err = NULL;

    if (access(helper, X_OK) == 0) {
        words = g_strdupv((char *[]){ (char *)helper, NULL });
    } else if (!g_shell_parse_argv(helper, NULL, &words, &err)) {
        error_setg(errp, "helper=%s is not a command: %s", helper,
                   err->message);
        g_error_free(err);
        return NULL;
    }
    if (access(words[0], X_OK) < 0) {
        error_setg(errp,
                   "cannot run helper '%s' (%s); install it, or give its "
                   "path with helper=",
                   words[0], g_strerror(errno));
        return NULL;
    }
    argv = g_ptr_array_new();
    for (char **word = words; *word; word++) {
        g_ptr_array_add(argv, g_strdup(*word));
    }
    g_ptr_array_add(argv, g_strdup("--use-vnet"));
    g_ptr_array_add(argv, g_strdup("--fd=3"));
    g_ptr_array_add(argv, g_strdup_printf("--br=%s", br));
    if (n > 1) {
        g_ptr_array_add(argv, g_strdup_printf("--queues=%u", n));
    }
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

/* Takes fds until there are @n or the helper, called @what, closes its end; how
 * many came. */
static unsigned MAIN_THREAD receive_fds(int sock, const char *what, int *fds,
                                        unsigned n)
{
    unsigned got = 0, more;
    char byte;

    while (got < n) {
        ssize_t r;

        tap_child_await(sock, what);
        r = fd_recv(sock, &byte, 1, fds + got, n - got, &more);
        got += more;
        if (r <= 0) {
            break;
        }
    }
    return got;
}

bool net_bridge_open(const char *helper, const char *br, int *fds, unsigned n,
                     Error **errp)
{
    g_auto(GStrv) argv = NULL;
    g_autofree char *what = NULL;
    TapChild child;
    unsigned got;
    int sock[2];
    bool ok;

    argv = helper_argv(helper ? helper : DEFAULT_HELPER,
                       br ? br : DEFAULT_BRIDGE, n, errp);
    if (!argv) {
        return false;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock) < 0) {
        error_setg_errno(errp, errno, "cannot make a socket for '%s'", argv[0]);
        return false;
    }
    what = g_strdup_printf("helper '%s'", argv[0]);
    ok = tap_child_start(&child, argv, sock[1], true, errp);
    close(sock[1]);
    got = ok ? receive_fds(sock[0], what, fds, n) : 0;
    close(sock[0]);
    ok = ok && tap_child_wait(&child, what, errp);
    if (ok && got < n) {
        error_setg(errp,
                   "%s passed %u file descriptors, but %u queues were asked "
                   "for; use the qemu-bridge-helper that comes with this "
                   "program",
                   what, got, n);
        ok = false;
    }
    for (unsigned i = 0; !ok && i < got; i++) {
        fd_close(&fds[i]);
    }
    return ok;
}

bool net_init_bridge(const Netdev *netdev, Error **errp)
{
    const NetdevBridgeOptions *o = &netdev->u.bridge;
    g_autofree char *origin =
        g_strdup_printf("br=%s", o->br ? o->br : DEFAULT_BRIDGE);
    TapSetup setup = { .id = netdev->id,
                       .type = netdev->type,
                       .sndbuf = INT32_MAX,
                       .origin = origin };
    TapQueues queues = { .n = 1, .vhost_fd = { -1 } };
    TapIf tap;

    if (!net_bridge_open(o->helper, o->br, queues.fd, 1, errp)) {
        return false;
    }
    if (!tap_inspect(queues.fd[0], &tap, errp) ||
        !tap_create(&setup, &tap, &queues, errp)) {
        fd_close(&queues.fd[0]);
        return false;
    }
    return true;
}
