/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "util/osdep.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

#include "tap-rig.h"

static bool write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t r = fd < 0 ? -1 : write(fd, text, strlen(text));

    if (fd >= 0) {
        close(fd);
    }
    return r > 0;
}

/* A /dev/net/tun that any user may open, as on most hosts. */
static bool open_tun_for_all(void)
{
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", "/dev/net", "tmpfs", 0, "mode=755") == 0 &&
           mknod("/dev/net/tun", S_IFCHR | 0666, makedev(10, 200)) == 0 &&
           chmod("/dev/net/tun", 0666) == 0;
}

const char *rig_enter(void)
{
    if (geteuid() != 0) {
        return "needs root for a network namespace";
    }
    if (access("/dev/net/tun", R_OK | W_OK) < 0) {
        return "needs /dev/net/tun";
    }
    if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
        return "may not make namespaces";
    }
    if (!open_tun_for_all()) {
        return "may not mount in its namespace";
    }
    write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
    return NULL;
}

static void control(unsigned long request, void *arg)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(ioctl(fd, request, arg), ==, 0);
    close(fd);
}

bool rig_link_exists(const char *name)
{
    return if_nametoindex(name) != 0;
}

void rig_link_up(const char *name)
{
    struct ifreq ifr = { .ifr_flags = 0 };

    g_strlcpy(ifr.ifr_name, name, IFNAMSIZ);
    control(SIOCGIFFLAGS, &ifr);
    ifr.ifr_flags |= IFF_UP;
    control(SIOCSIFFLAGS, &ifr);
}

void rig_link_delete(const char *name)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg link;
    } request = {
        .head = { .nlmsg_len = sizeof(request),
                  .nlmsg_type = RTM_DELLINK,
                  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
        .link = { .ifi_index = (int)if_nametoindex(name) },
    };
    struct {
        struct nlmsghdr head;
        struct nlmsgerr err;
        char more[256];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    g_assert_cmpint(send(fd, &request, sizeof(request), 0), >, 0);
    g_assert_cmpint(recv(fd, &answer, sizeof(answer), 0), >, 0);
    g_assert_cmpint(answer.head.nlmsg_type, ==, NLMSG_ERROR);
    g_assert_cmpint(answer.err.error, ==, 0);
    close(fd);
}

int rig_tap_open(char *name, int flags)
{
    struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags) };
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

    g_strlcpy(ifr.ifr_name, name, IFNAMSIZ);
    g_assert_cmpint(ioctl(fd, TUNSETIFF, &ifr), ==, 0);
    if (!*name) {
        g_strlcpy(name, ifr.ifr_name, IFNAMSIZ);
    }
    return fd;
}

void rig_tap_persist(const char *name, bool multi_queue)
{
    char own[IFNAMSIZ];
    int fd;

    g_strlcpy(own, name, sizeof(own));
    fd = rig_tap_open(own, multi_queue ? IFF_MULTI_QUEUE : 0);
    g_assert_cmpint(ioctl(fd, TUNSETPERSIST, 1), ==, 0);
    close(fd);
}

int rig_tap_flags(int fd)
{
    struct ifreq ifr = { .ifr_flags = 0 };

    g_assert_cmpint(ioctl(fd, TUNGETIFF, &ifr), ==, 0);
    return (unsigned short)ifr.ifr_flags;
}

int rig_ethtool(const char *name, uint32_t what)
{
    struct ethtool_value value = { .cmd = what };
    struct ifreq ifr = { .ifr_data = (void *)&value };

    g_strlcpy(ifr.ifr_name, name, IFNAMSIZ);
    control(SIOCETHTOOL, &ifr);
    return (int)value.data;
}

int rig_packet_socket(const char *name, uint16_t ethertype)
{
    struct timeval patience = { .tv_sec = 60 };
    struct sockaddr_ll addr = { .sll_family = AF_PACKET,
                                .sll_protocol = htons(ethertype),
                                .sll_ifindex = (int)if_nametoindex(name) };
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ethertype));

    g_assert_cmpint(bind(fd, (void *)&addr, sizeof(addr)), ==, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    return fd;
}

void rig_frame(uint8_t *frame, size_t len, uint8_t seed)
{
    memset(frame, 0xff, 6);
    memset(frame + 6, 0x02, 6);
    frame[12] = RIG_ETHERTYPE >> 8;
    frame[13] = RIG_ETHERTYPE & 0xff;
    for (size_t i = 14; i < len; i++) {
        frame[i] = (uint8_t)(i * 7 + seed);
    }
}

size_t rig_udp_frame(uint8_t *frame, uint16_t port)
{
    static const uint8_t head[] = {
        2,    0, 0, 0,  0,  1, 2, 0, 0,  0,  0, 2, 8, 0,        /* Ethernet */
        0x45, 0, 0, 36, 0,  0, 0, 0, 64, 17, 0, 0,              /* IPv4 */
        10,   0, 0, 1,  10, 0, 0, 2, 0,  0,  0, 9, 0, 16, 0, 0, /* UDP */
    };

    memcpy(frame, head, sizeof(head));
    frame[34] = port >> 8;
    frame[35] = port & 0xff;
    memset(frame + sizeof(head), 0, 8);
    return sizeof(head) + 8;
}

unsigned rig_open_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}
