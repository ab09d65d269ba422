/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/vhost.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "tap-internal.h"

/* linux/if_tun.h since Linux 6.2 */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define TUN_PATH       "/dev/net/tun"
#define VHOST_NET_PATH "/dev/vhost-net"

static int tun_open(Error **errp)
{
    int fd = open(TUN_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        error_setg(errp,
                   "cannot open " TUN_PATH
                   " (%s): raise the limit of open files (ulimit -n) or use "
                   "fewer queues",
                   g_strerror(errno));
    } else if (fd < 0) {
        error_setg(errp,
                   "cannot open " TUN_PATH
                   " (%s): the tun module must be loaded and this user "
                   "allowed to open it",
                   g_strerror(errno));
    }
    return fd;
}

bool tap_kernel_has_vnet_hdr(void)
{
    unsigned features = 0;
    int fd = tun_open(NULL);
    bool has;

    if (fd < 0) {
        return false;
    }
    has =
        ioctl(fd, TUNGETFEATURES, &features) == 0 && (features & IFF_VNET_HDR);
    close(fd);
    return has;
}

/* Why TUNSETIFF failed, and what would be right. */
static void explain_tunsetiff(const TapIf *tap, int err, Error **errp)
{
    const char *name = *tap->name ? tap->name : "(any)";

    switch (err) {
    case EPERM:
        error_setg(errp,
                   "ifname=%s: no permission to open or make the tap; run "
                   "with CAP_NET_ADMIN, or have it made for this user by "
                   "'ip tuntap add dev NAME mode tap user USER%s'",
                   name, tap->multi_queue ? " multi_queue" : "");
        break;
    case EINVAL:
        error_setg(
            errp,
            "ifname=%s: not a tap, or not a %s one; %s, or use the name of no "
            "interface",
            name, tap->multi_queue ? "multi_queue" : "single-queue",
            tap->multi_queue
                ? "make it with 'ip tuntap add dev NAME mode tap "
                  "multi_queue', or for a single-queue tap use queues=1"
                : "for a multi_queue tap use queues=2 or more");
        break;
    case EBUSY:
        error_setg(errp,
                   "ifname=%s: the tap is in use by another program; "
                   "use another name",
                   name);
        break;
    case E2BIG:
        error_setg(errp,
                   "ifname=%s: the kernel allows no more queues on this tap; "
                   "use fewer queues",
                   name);
        break;
    default:
        error_setg_errno(errp, err, "ifname=%s: cannot open the tap", name);
    }
}

int tap_open(TapIf *tap, Error **errp)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    int fd = tun_open(errp);

    if (fd < 0) {
        return -1;
    }
    ifr.ifr_flags |= tap->multi_queue ? IFF_MULTI_QUEUE : 0;
    ifr.ifr_flags |= tap->vnet_hdr ? IFF_VNET_HDR : 0;
    g_strlcpy(ifr.ifr_name, *tap->name ? tap->name : "tap%d", IFNAMSIZ);
    if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
        explain_tunsetiff(tap, errno, errp);
        close(fd);
        return -1;
    }
    g_strlcpy(tap->name, ifr.ifr_name, IFNAMSIZ);
    return fd;
}

bool tap_inspect(int fd, TapIf *tap, Error **errp)
{
    struct ifreq ifr = { .ifr_flags = 0 };

    if (ioctl(fd, TUNGETIFF, &ifr) < 0) {
        error_setg(errp,
                   "file descriptor %d is not an open tap; open " TUN_PATH
                   " and use TUNSETIFF",
                   fd);
        return false;
    }
    if (!(ifr.ifr_flags & IFF_TAP) || !(ifr.ifr_flags & IFF_NO_PI)) {
        error_setg(errp,
                   "file descriptor %d is a tun interface without Ethernet "
                   "headers, or has packet information; open a tap with "
                   "IFF_TAP | IFF_NO_PI",
                   fd);
        return false;
    }
    g_strlcpy(tap->name, ifr.ifr_name, IFNAMSIZ);
    tap->vnet_hdr = ifr.ifr_flags & IFF_VNET_HDR;
    tap->multi_queue = ifr.ifr_flags & IFF_MULTI_QUEUE;
    tap->detached = ifr.ifr_flags & IFF_DETACH_QUEUE;
    return true;
}

bool tap_set_sndbuf(int fd, int bytes)
{
    return ioctl(fd, TUNSETSNDBUF, &bytes) == 0;
}

bool tap_sndbuf_limited(int fd)
{
    int bytes;

    return ioctl(fd, TUNGETSNDBUF, &bytes) < 0 || bytes != INT_MAX;
}

bool tap_set_hdr_len(int fd, unsigned len)
{
    int size = (int)len;
    int one = 1;

    if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0) {
        return false;
    }
    /* Little-endian headers are what VIRTIO 1 has; this host's own order is
     * the same, so a kernel that does not know the call loses nothing. */
    (void)!ioctl(fd, TUNSETVNETLE, &one);
    return true;
}

bool tap_set_queue(int fd, bool attach)
{
    struct ifreq ifr = { .ifr_flags =
                             attach ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

    return ioctl(fd, TUNSETQUEUE, &ifr) == 0;
}

void tap_copy_sndbuf(int fd)
{
    int bytes;

    /* It is kept for the interface, and loaded into the queues there are. */
    if (ioctl(fd, TUNGETSNDBUF, &bytes) == 0 && bytes != INT_MAX) {
        (void)!ioctl(fd, TUNSETSNDBUF, &bytes);
    }
}

#define QUEUE_FRAMES 1000u /* of an interface that nobody has set up */

unsigned tap_queue_frames(const char *ifname)
{
    struct ifreq ifr = { .ifr_qlen = 0 };
    int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok;

    g_strlcpy(ifr.ifr_name, ifname, IFNAMSIZ);
    ok = sock >= 0 && ioctl(sock, SIOCGIFTXQLEN, &ifr) == 0 && ifr.ifr_qlen > 0;
    if (sock >= 0) {
        close(sock);
    }
    return ok ? (unsigned)ifr.ifr_qlen : QUEUE_FRAMES;
}

/* Interfaces of other namespaces may have the same name. */
bool tap_same_interface(int a, int b)
{
    struct ifreq name[2] = { 0 }, mac[2] = { 0 };
    int fd[2] = { a, b };

    for (unsigned i = 0; i < 2; i++) {
        if (ioctl(fd[i], TUNGETIFF, &name[i]) < 0 ||
            ioctl(fd[i], SIOCGIFHWADDR, &mac[i]) < 0) {
            return false;
        }
    }
    return strcmp(name[0].ifr_name, name[1].ifr_name) == 0 &&
           memcmp(&mac[0].ifr_hwaddr, &mac[1].ifr_hwaddr,
                  sizeof(mac[0].ifr_hwaddr)) == 0;
}

bool tap_load_offloads(int fd, const NetOffloads *offloads, const NetCaps *caps)
{
    unsigned flags = 0;

    /* The kernel takes segmentation only together with checksums. */
    if (offloads->csum) {
        flags |= TUN_F_CSUM;
        flags |= offloads->tso4 ? TUN_F_TSO4 : 0;
        flags |= offloads->tso6 ? TUN_F_TSO6 : 0;
        flags |= (offloads->tso4 || offloads->tso6) && offloads->ecn
                     ? TUN_F_TSO_ECN
                     : 0;
        flags |= caps->ufo && offloads->ufo ? TUN_F_UFO : 0;
        flags |= caps->uso && offloads->uso4 && offloads->uso6
                     ? TUN_F_USO4 | TUN_F_USO6
                     : 0;
    }
    return ioctl(fd, TUNSETOFFLOAD, flags) == 0;
}

void tap_probe_offloads(int fd, NetCaps *caps)
{
    caps->ufo = ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_UFO) == 0;
    caps->uso =
        ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6) == 0;
    ioctl(fd, TUNSETOFFLOAD, 0);
}

int vhost_net_open(Error **errp)
{
    int fd = open(VHOST_NET_PATH, O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        error_setg(errp,
                   "vhost=on: cannot open " VHOST_NET_PATH
                   " (%s); load the vhost_net module, pass vhostfd=, or use "
                   "vhost=off",
                   g_strerror(errno));
    }
    return fd;
}

bool vhost_fd_check(int fd, const char *option, Error **errp)
{
    uint64_t features;

    if (ioctl(fd, VHOST_GET_FEATURES, &features) < 0) {
        error_setg(errp,
                   "%s: file descriptor %d is not an open vhost device; "
                   "open " VHOST_NET_PATH,
                   option, fd);
        return false;
    }
    return true;
}
