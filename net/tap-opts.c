/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the options of a tap say, checked before anything is opened. */
#include "util/osdep.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>

#include "tap-internal.h"
#include "util/fd.h"
#include "util/fdset.h"

#define FDSET_PATH "/dev/fdset/"

typedef struct GivenOption {
    const char *name;
    bool given;
} GivenOption;

/* Refuses those of @others that are given beside @with; @why ends the text. */
static bool refuse_with(const char *with, const char *why,
                        const GivenOption *others, Error **errp)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (; others->name; others++) {
        if (others->given) {
            g_string_append_printf(names, "%s%s=", names->len ? ", " : "",
                                   others->name);
        }
    }
    if (names->len) {
        error_setg(errp, "%s cannot be used with %s=: %s", names->str, with,
                   why);
    }
    return names->len == 0;
}

static bool check_with_fds(const NetdevTapOptions *o, Error **errp)
{
    const char *with = o->fd ? "fd" : "fds";
    const GivenOption others[] = {
        { "ifname", o->ifname },
        { "script", o->script },
        { "downscript", o->downscript },
        { "br", o->br },
        { "helper", o->helper },
        { "fds", o->fd && o->fds },
        { "vhostfds", o->fd && o->vhostfds },
        { "vhostfd", o->fds && o->vhostfd },
        { NULL },
    };

    if (!refuse_with(with, "the tap is open already, by who made it", others,
                     errp)) {
        return false;
    }
    if (o->has_vnet_hdr && o->vnet_hdr) {
        error_setg(errp,
                   "vnet_hdr=on cannot be used with %s=: an open tap has "
                   "IFF_VNET_HDR or not (vnet_hdr=off takes one without)",
                   with);
        return false;
    }
    return true;
}

static bool check_with_helper(const NetdevTapOptions *o, Error **errp)
{
    const GivenOption others[] = {
        { "ifname", o->ifname },
        { "script", o->script },
        { "downscript", o->downscript },
        { "vnet_hdr", o->has_vnet_hdr },
        { NULL },
    };

    return refuse_with("helper", "the helper opens the tap and sets it up",
                       others, errp);
}

static bool check_plain(const NetdevTapOptions *o, Error **errp)
{
    if (o->br) {
        error_setg(errp,
                   "br=%s needs helper=, the program that joins the bridge; "
                   "or use -netdev bridge,br=%s",
                   o->br, o->br);
        return false;
    }
    if (o->ifname && (!*o->ifname || strlen(o->ifname) >= IFNAMSIZ)) {
        error_setg(errp,
                   "ifname=%.32s: the name of an interface has 1 to %d "
                   "characters",
                   o->ifname, IFNAMSIZ - 1);
        return false;
    }
    return true;
}

unsigned tap_list_length(const char *list)
{
    unsigned n = 1;

    for (; *list; list++) {
        n += *list == ':';
    }
    return n;
}

static bool check_queues(const NetdevTapOptions *o, TapQueues *queues,
                         Error **errp)
{
    unsigned n = o->has_queues ? o->queues : 1;

    if (o->fd || o->fds) {
        n = o->fd ? 1 : tap_list_length(o->fds);
        if (o->has_queues && o->queues != n) {
            error_setg(errp,
                       "queues=%u does not fit the number of file descriptors "
                       "in %s=, which is %u; leave queues= out",
                       o->queues, o->fd ? "fd" : "fds", n);
            return false;
        }
    }
    if (n < 1 || n > NET_MAX_QUEUES) {
        error_setg(errp, "%s: a tap has 1 to %u queues, not %u",
                   o->fds ? "fds" : "queues", NET_MAX_QUEUES, n);
        return false;
    }
    queues->n = n;
    return true;
}

bool tap_wants_vhost(const NetdevTapOptions *o)
{
    if (o->has_vhost) {
        return o->vhost;
    }
    return o->vhostfd || o->vhostfds || (o->has_vhostforce && o->vhostforce);
}

static bool check_vhost(const NetdevTapOptions *o, unsigned n, Error **errp)
{
    if (!tap_wants_vhost(o)) {
        const GivenOption others[] = {
            { "vhostfd", o->vhostfd },
            { "vhostfds", o->vhostfds },
            { "vhostforce", o->has_vhostforce && o->vhostforce },
            { NULL },
        };

        return refuse_with("vhost",
                           "vhost=off turns vhost-net off; use "
                           "vhost=on",
                           others, errp);
    }
    if (o->vhostfd && o->vhostfds) {
        error_setg(errp, "vhostfd= cannot be used with vhostfds=: "
                         "give all of them in vhostfds=");
        return false;
    }
    if (o->vhostfd && n > 1) {
        error_setg(errp,
                   "vhostfd= is for one queue, but there are %u; use "
                   "vhostfds= with one for each",
                   n);
        return false;
    }
    if (o->vhostfds && tap_list_length(o->vhostfds) != n) {
        error_setg(errp,
                   "vhostfds= has %u file descriptors for %u queues; give "
                   "one for each",
                   tap_list_length(o->vhostfds), n);
        return false;
    }
    if (o->has_vnet_hdr && !o->vnet_hdr) {
        error_setg(errp, "vnet_hdr=off cannot be used with vhost=on: vhost-net "
                         "needs a tap with headers; use vnet_hdr=on");
        return false;
    }
    return true;
}

bool tap_check_options(const NetdevTapOptions *o, TapQueues *queues,
                       Error **errp)
{
    bool ok;

    if (o->fd || o->fds) {
        ok = check_with_fds(o, errp);
    } else if (o->helper) {
        ok = check_with_helper(o, errp);
    } else {
        ok = check_plain(o, errp);
    }
    return ok && check_queues(o, queues, errp) &&
           check_vhost(o, queues->n, errp);
}

/* True when both are the same open file (or, where the kernel does not tell,
 * the same number). */
static bool same_file(int a, int b)
{
    pid_t me = getpid();

    return a == b || syscall(SYS_kcmp, me, me, KCMP_FILE, a, b) == 0;
}

void tap_fds_taken(const char *list)
{
    g_auto(GStrv) words = g_strsplit(list ? list : "", ":", -1);

    for (unsigned i = 0; words[i]; i++) {
        fd_text_taken(words[i]);
    }
}

/* Is @fd, itself and no duplicate of it, one of an fd set? */
static bool MAIN_THREAD is_in_fdset(int fd)
{
    unsigned n;
    const FdsetEntry *e = fdset_entries(&n);

    for (unsigned i = 0; i < n; i++) {
        if (e[i].fd == fd) {
            return true;
        }
    }
    return false;
}

typedef struct FdUser {
    int fd;
    const NetClientState *netdev; /* who has it; NULL: nobody */
} FdUser;

static void find_user(NetClientState *nc, void *opaque)
{
    FdUser *user = opaque;

    for (unsigned i = 0; nc->queue && i < nc->n_queues; i++) {
        const NetSubqueue *sq = &nc->queue[i];

        if ((sq->fd >= 0 && same_file(sq->fd, user->fd)) ||
            (sq->vhost_fd >= 0 && same_file(sq->vhost_fd, user->fd))) {
            user->netdev = nc;
        }
    }
}

static bool check_no_user(int fd, const char *option, Error **errp) MAIN_THREAD
{
    FdUser user = { .fd = fd };

    net_client_foreach(find_user, &user);
    if (user.netdev) {
        error_setg(errp,
                   "%s: file descriptor %d is in use by netdev '%s'; open one "
                   "for each netdev",
                   option, fd, user.netdev->name);
    }
    return !user.netdev;
}

/* One word of the list. What is in a set stays there: we get a duplicate. */
static int MAIN_THREAD parse_one(const char *word, const char *option,
                                 bool *dup, Error **errp)
{
    int fd;

    *dup = g_str_has_prefix(word, FDSET_PATH);
    if (*dup) {
        fd = fdset_open(word, O_RDWR | O_NONBLOCK, 0, errp);
        if (fd < 0) {
            error_prepend(errp, "%s: ", option);
        }
        return fd;
    }
    fd = fd_from_text(word, option, errp);
    *dup = fd >= 0 && is_in_fdset(fd);
    if (*dup) {
        fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            error_setg_errno(errp, errno, "%s: cannot duplicate '%s'", option,
                             word);
        }
    }
    return fd;
}

static bool check_all_differ(const int *fds, unsigned last, const char *option,
                             Error **errp)
{
    for (unsigned i = 0; i < last; i++) {
        if (same_file(fds[last], fds[i])) {
            error_setg(errp,
                       "%s: file descriptors %d and %d are the same file; "
                       "open one for each queue",
                       option, fds[i], fds[last]);
            return false;
        }
    }
    return true;
}

bool tap_parse_fds(const char *list, const char *option, int *fds, bool *dup,
                   unsigned n, Error **errp)
{
    g_auto(GStrv) words = g_strsplit(list, ":", -1);
    bool ok = true;

    for (unsigned i = 0; i < n && ok; i++) {
        /* An empty list has no words at all. */
        fds[i] = parse_one(words[i] ? words[i] : "", option, &dup[i], errp);
        ok = fds[i] >= 0 && check_all_differ(fds, i, option, errp) &&
             check_no_user(fds[i], option, errp);
    }
    for (unsigned i = 0; i < n && !ok; i++) {
        if (dup[i]) {
            fd_close(&fds[i]);
            dup[i] = false;
        }
    }
    return ok;
}
