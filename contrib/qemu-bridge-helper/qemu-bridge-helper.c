/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opens a tap, one queue or several, on a bridge that the administrator lets
 * the user have, and passes the queues over a unix socket.
 *
 *   qemu-bridge-helper [--use-vnet] [--queues=N] --br=BRIDGE --fd=SOCKET
 *
 * Installed setuid root or with the file capability cap_net_admin. Everything
 * it is called with is hostile: it goes back to the user's own identity with
 * CAP_NET_ADMIN as the only capability before it looks at anything, uses no
 * environment, allocates nothing.
 *
 * The access list has one rule a line: `allow BRIDGE`, `deny BRIDGE`, with
 * `all` for every bridge, and `include FILE` for more rules, skipped where the
 * user may not read FILE. A bridge is open to the user when a rule allows it
 * and none denies it.
 */
#include "util/osdep.h"

#include <cap-ng.h>
#include <ctype.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#ifndef BRIDGE_ACL_FILE
#include "config-host.h"
#define BRIDGE_ACL_FILE CONFIG_SYSCONFDIR "/qemu/bridge.conf"
#endif

#define MAX_QUEUES        256u
#define MAX_LINE          512
#define MAX_INCLUDE_DEPTH 8u
#define FDS_PER_MESSAGE   64u

typedef struct Request {
    const char *bridge;
    int sock;
    unsigned queues;
    bool vnet_hdr;
} Request;

typedef struct Verdict {
    const char *bridge;
    bool allowed, denied;
} Verdict;

static bool G_GNUC_PRINTF(1, 2) fail(const char *fmt, ...)
{
    va_list ap;

    fputs("qemu-bridge-helper: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return false;
}

/* ---- arguments ---- */

static bool parse_number(const char *text, unsigned min, unsigned max,
                         unsigned *out)
{
    unsigned long v;
    char *end;

    if (!isdigit((unsigned char)*text)) {
        return false;
    }
    errno = 0;
    v = strtoul(text, &end, 10);
    if (errno || *end || v < min || v > max) {
        return false;
    }
    *out = (unsigned)v;
    return true;
}

/* A name that an interface can have and that is one word in the list. */
static bool name_is_sane(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len >= IFNAMSIZ || strcmp(name, "all") == 0 ||
        strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        return false;
    }
    for (; *name; name++) {
        if (!isgraph((unsigned char)*name) || strchr("/:%", *name)) {
            return false;
        }
    }
    return true;
}

/* The text after @option in @arg, or NULL. */
static const char *value_of(const char *arg, const char *option)
{
    size_t len = strlen(option);

    return strncmp(arg, option, len) == 0 ? arg + len : NULL;
}

static bool parse_arg(const char *arg, Request *req)
{
    const char *value;
    unsigned fd;

    if (strcmp(arg, "--use-vnet") == 0) {
        req->vnet_hdr = true;
        return true;
    }
    value = value_of(arg, "--br=");
    if (value) {
        req->bridge = value;
        return name_is_sane(value) || fail("--br: not the name of a bridge");
    }
    value = value_of(arg, "--fd=");
    if (value) {
        if (!parse_number(value, 0, INT32_MAX, &fd)) {
            return fail("--fd: not a file descriptor number");
        }
        req->sock = (int)fd;
        return true;
    }
    value = value_of(arg, "--queues=");
    if (value) {
        return parse_number(value, 1, MAX_QUEUES, &req->queues) ||
               fail("--queues: not a number from 1 to %u", MAX_QUEUES);
    }
    return fail("unknown argument; usage: [--use-vnet] [--queues=N] "
                "--br=BRIDGE --fd=SOCKET");
}

static bool is_unix_socket(int fd)
{
    int domain = 0;
    socklen_t len = sizeof(domain);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
           domain == AF_UNIX;
}

static bool parse_args(int argc, char **argv, Request *req)
{
    for (int i = 1; i < argc; i++) {
        if (!parse_arg(argv[i], req)) {
            return false;
        }
    }
    if (!req->bridge || req->sock < 0) {
        return fail("--br=BRIDGE and --fd=SOCKET are needed");
    }
    return is_unix_socket(req->sock) ||
           fail("--fd=%d is not a unix socket", req->sock);
}

/* ---- privileges ---- */

/* Files opened from here on do not become stdin, stdout or stderr. */
static bool fill_stdio(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0) {
        return false;
    }
    close(fd);
    return true;
}

/* Keeps CAP_NET_ADMIN alone, and the identity of the user who called. */
static bool drop_privileges(void)
{
    int r;

    if (capng_get_caps_process() < 0 ||
        !capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN)) {
        return fail("no CAP_NET_ADMIN; install this program setuid root or "
                    "with 'setcap cap_net_admin+ep'");
    }
    capng_clear(CAPNG_SELECT_BOTH);
    if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED,
                     CAP_NET_ADMIN) < 0) {
        return fail("cannot choose capabilities");
    }
    if (getuid() != geteuid() || getgid() != getegid()) {
        r = capng_change_id((int)getuid(), (int)getgid(), CAPNG_NO_FLAG);
    } else {
        r = capng_apply(getuid() == 0 ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS);
    }
    if (r < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return fail("cannot drop privileges (%d)", r);
    }
    return true;
}

/* ---- access list ---- */

static bool read_rules(const char *path, unsigned depth, Verdict *verdict);

static bool apply_rule(char *line, unsigned depth, Verdict *verdict)
{
    static const char space[] = " \t\r\n";
    char *rest = NULL;
    const char *verb = strtok_r(line, space, &rest);
    const char *what = verb ? strtok_r(NULL, space, &rest) : NULL;
    bool match;

    if (!verb || *verb == '#') {
        return true;
    }
    if (!what || strtok_r(NULL, space, &rest)) {
        return false;
    }
    match = strcmp(what, "all") == 0 || strcmp(what, verdict->bridge) == 0;
    if (strcmp(verb, "allow") == 0) {
        verdict->allowed |= match;
        return true;
    }
    if (strcmp(verb, "deny") == 0) {
        verdict->denied |= match;
        return true;
    }
    return strcmp(verb, "include") == 0 && *what == '/' &&
           depth < MAX_INCLUDE_DEPTH && read_rules(what, depth + 1, verdict);
}

static bool read_lines(FILE *file, unsigned depth, Verdict *verdict)
{
    char line[MAX_LINE];

    while (fgets(line, sizeof(line), file)) {
        if (!strchr(line, '\n') && !feof(file)) {
            return false;
        }
        if (!apply_rule(line, depth, verdict)) {
            return false;
        }
    }
    return !ferror(file);
}

/* Takes the rules of @path into account; false when they cannot be trusted. A
 * file that another one includes may be closed to this user. */
static bool read_rules(const char *path, unsigned depth, Verdict *verdict)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    FILE *file;
    bool ok;

    if (fd < 0) {
        return depth > 0 && (errno == EACCES || errno == ENOENT);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return false;
    }
    file = fdopen(fd, "r");
    if (!file) {
        close(fd);
        return false;
    }
    ok = read_lines(file, depth, verdict);
    fclose(file);
    return ok;
}

static bool check_access(const char *bridge)
{
    Verdict verdict = { .bridge = bridge };

    if (!read_rules(BRIDGE_ACL_FILE, 0, &verdict)) {
        return fail("access list " BRIDGE_ACL_FILE
                    " cannot be read, or has a line that is not "
                    "'allow|deny BRIDGE|all' or 'include /FILE'");
    }
    if (verdict.denied || !verdict.allowed) {
        return fail("access list " BRIDGE_ACL_FILE
                    " does not allow bridge '%s'; add 'allow %s' to it",
                    bridge, bridge);
    }
    return true;
}

/* ---- the tap ---- */

/* Opens all queues of a new tap whose name goes to @name. */
static bool open_tap(const Request *req, char *name, int *fds, unsigned *n)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };

    ifr.ifr_flags |= req->vnet_hdr ? IFF_VNET_HDR : 0;
    ifr.ifr_flags |= req->queues > 1 ? IFF_MULTI_QUEUE : 0;
    strcpy(ifr.ifr_name, "tap%d");
    for (*n = 0; *n < req->queues; (*n)++) {
        int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

        if (fd < 0) {
            return fail("cannot open /dev/net/tun: %s", strerror(errno));
        }
        fds[*n] = fd;
        if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
            (*n)++;
            return fail("cannot make queue %u of a tap: %s", *n - 1,
                        strerror(errno));
        }
    }
    memcpy(name, ifr.ifr_name, IFNAMSIZ);
    return true;
}

static bool ioctl_named(int ctl, unsigned long request, struct ifreq *ifr,
                        const char *name)
{
    memcpy(ifr->ifr_name, name, strlen(name) + 1);
    return ioctl(ctl, request, ifr) == 0;
}

/* A bridge takes the least of its ports' addresses: the tap's is made high, so
 * that the bridge's does not change. */
static bool raise_address(int ctl, const char *tap)
{
    struct ifreq ifr = { .ifr_flags = 0 };

    if (!ioctl_named(ctl, SIOCGIFHWADDR, &ifr, tap)) {
        return false;
    }
    ((uint8_t *)ifr.ifr_hwaddr.sa_data)[0] = 0xfe;
    return ioctl_named(ctl, SIOCSIFHWADDR, &ifr, tap);
}

/* A port's MTU that differs would change the bridge's. */
static bool copy_mtu(int ctl, const char *bridge, const char *tap)
{
    struct ifreq ifr = { .ifr_flags = 0 };

    if (!ioctl_named(ctl, SIOCGIFMTU, &ifr, bridge)) {
        return fail("there is no bridge %s (%s); make it, or name another",
                    bridge, strerror(errno));
    }
    return ioctl_named(ctl, SIOCSIFMTU, &ifr, tap) ||
           fail("cannot give %s the MTU of bridge %s: %s", tap, bridge,
                strerror(errno));
}

static bool add_port(int ctl, const char *bridge, const char *tap)
{
    struct ifreq ifr = { .ifr_flags = 0 };

    ifr.ifr_ifindex = (int)if_nametoindex(tap);
    return ifr.ifr_ifindex && ioctl_named(ctl, SIOCBRADDIF, &ifr, bridge);
}

static bool bring_up(int ctl, const char *tap)
{
    struct ifreq ifr = { .ifr_flags = 0 };

    if (!ioctl_named(ctl, SIOCGIFFLAGS, &ifr, tap)) {
        return false;
    }
    ifr.ifr_flags |= IFF_UP;
    return ioctl_named(ctl, SIOCSIFFLAGS, &ifr, tap);
}

static bool join_bridge(const char *bridge, const char *tap)
{
    int ctl = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok;

    if (ctl < 0) {
        return fail("cannot open a control socket: %s", strerror(errno));
    }
    ok = (raise_address(ctl, tap) ||
          fail("cannot set the address of %s: %s", tap, strerror(errno))) &&
         copy_mtu(ctl, bridge, tap) &&
         (add_port(ctl, bridge, tap) || fail("cannot add %s to bridge %s: %s",
                                             tap, bridge, strerror(errno))) &&
         (bring_up(ctl, tap) ||
          fail("cannot bring %s up: %s", tap, strerror(errno)));
    close(ctl);
    return ok;
}

/* ---- passing it on ---- */

static bool send_some(int sock, const int *fds, unsigned n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDS_PER_MESSAGE * sizeof(int))];
    } control = { .bytes = { 0 } };
    char byte = 0;
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = CMSG_SPACE(n * sizeof(int)) };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    ssize_t r;

    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(cmsg), fds, n * sizeof(int));
    do {
        r = sendmsg(sock, &msg, MSG_NOSIGNAL);
    } while (r < 0 && errno == EINTR);
    return r == 1;
}

/* One byte with each group of descriptors; the queues stay in order. */
static bool send_fds(int sock, const int *fds, unsigned n)
{
    for (unsigned i = 0; i < n; i += FDS_PER_MESSAGE) {
        if (!send_some(sock, fds + i, MIN(n - i, FDS_PER_MESSAGE))) {
            return fail("cannot pass the tap: %s", strerror(errno));
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    Request req = { .sock = -1, .queues = 1 };
    char tap[IFNAMSIZ];
    int fds[MAX_QUEUES];
    unsigned n = 0;
    bool ok;

    ok = fill_stdio() && drop_privileges() && parse_args(argc, argv, &req) &&
         check_access(req.bridge) && open_tap(&req, tap, fds, &n) &&
         join_bridge(req.bridge, tap) && send_fds(req.sock, fds, n);
    for (unsigned i = 0; i < n; i++) {
        close(fds[i]);
    }
    return ok ? 0 : 1;
}
