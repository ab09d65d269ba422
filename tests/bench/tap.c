/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"
#include "tap.h"

#define DELETE_TRIES 20   /* of 10 ms */
#define READY_TRIES  3000 /* of 1 ms */

void netns_enter(void)
{
    if (unshare(CLONE_NEWNET) < 0) {
        die("cannot make a network namespace: %m; run this as root");
    }
}

static void control(unsigned long request, struct ifreq *ifr, const char *what)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || ioctl(fd, request, ifr) < 0) {
        die("%s of %s: %m", what, ifr->ifr_name);
    }
    close(fd);
}

static int tun_try(const char *name, int queues)
{
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

    if (fd < 0) {
        return -1;
    }
    if (queues > 1) {
        ifr.ifr_flags |= IFF_MULTI_QUEUE;
    }
    snprintf(ifr.ifr_name, IFNAMSIZ, "%s", name);
    if (ioctl(fd, TUNSETIFF, &ifr) < 0) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static int tun_open(const char *name, int queues)
{
    int fd = tun_try(name, queues);

    if (fd < 0) {
        die("cannot open tap %s: %m", name);
    }
    return fd;
}

static void disable_ipv6(const char *name)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6",
             name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) { /* a kernel without IPv6 has no such file */
        if (write(fd, "1", 1) != 1) {
            die("%s: %m", path);
        }
        close(fd);
    }
}

int tap_create(const char *name, int queues, int txqueuelen)
{
    struct ifreq ifr = { .ifr_qlen = txqueuelen };
    int fd = tun_open(name, queues);

    if (ioctl(fd, TUNSETPERSIST, 1) < 0) {
        die("cannot make tap %s persistent: %m", name);
    }
    close(fd);
    disable_ipv6(name);
    snprintf(ifr.ifr_name, IFNAMSIZ, "%s", name);
    control(SIOCSIFTXQLEN, &ifr, "queue length");
    ifr.ifr_flags = IFF_UP | IFF_RUNNING;
    control(SIOCSIFFLAGS, &ifr, "flags");
    return if_nametoindex(name);
}

void tap_wait_ready(const char *name)
{
    struct ifreq ifr = { .ifr_flags = 0 };

    snprintf(ifr.ifr_name, IFNAMSIZ, "%s", name);
    for (int i = 0; !(ifr.ifr_flags & IFF_RUNNING); i++) {
        if (i == READY_TRIES) {
            die("tap %s does not become ready", name);
        }
        sleep_ns(NS_PER_MS);
        control(SIOCGIFFLAGS, &ifr, "flags");
    }
    /* Returns behind whoever is making it ready: both take the kernel's lock.
     */
    control(SIOCSIFFLAGS, &ifr, "flags");
}

/* An exiting io_uring may hold a queue a moment longer; the namespace ends
 * with the process anyway. */
void tap_delete(const char *name, int queues)
{
    for (int i = 0; i < DELETE_TRIES; i++) {
        int fd = tun_try(name, queues);
        if (fd >= 0) {
            ioctl(fd, TUNSETPERSIST, 0);
            close(fd);
            return;
        }
        sleep_ns(10 * NS_PER_MS);
    }
}

int tap_open_queue(const char *name, int queues)
{
    int fd = tun_open(name, queues), size = VNET_HEADER, no_limit = INT_MAX;

    if (ioctl(fd, TUNSETVNETHDRSZ, &size) < 0 ||
        ioctl(fd, TUNSETSNDBUF, &no_limit) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0) {
        die("cannot set up a queue of tap %s: %m", name);
    }
    return fd;
}

void tap_accept_tso(int fd)
{
    if (ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) < 0) {
        die("TUNSETOFFLOAD: %m");
    }
}

/* Of proc_pid_net(5): received bytes, packets, errors, dropped, four more,
 * then the same of what was sent. */
static uint64_t dropped(const char *figures)
{
    unsigned long long in, out;

    if (sscanf(figures, "%*u %*u %*u %llu %*u %*u %*u %*u %*u %*u %*u %llu",
               &in, &out) != 2) {
        return 0;
    }
    return in + out;
}

uint64_t tap_drops(const char *name)
{
    FILE *f = fopen("/proc/thread-self/net/dev", "re");
    char line[512];
    uint64_t drops = 0;

    while (f && fgets(line, sizeof(line), f)) {
        char *colon = strchr(line, ':');
        char *start = line + strspn(line, " ");
        if (colon) {
            *colon = 0;
            if (strcmp(start, name) == 0) {
                drops = dropped(colon + 1);
            }
        }
    }
    if (f) {
        fclose(f);
    }
    return drops;
}
