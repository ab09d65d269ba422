/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * usage: virtio-net-client EMULATOR
 *
 * Drives a virtio-net-pci from outside: handshake, PCI scan, negotiation, one
 * frame each way over a tap with MSI-X and with an interrupt line, run state by
 * QMP, the clock, and commands that make no sense. Needs root; the tap is in a
 * network namespace of its own. Prints TAP.
 */
#include "qtest-client.h"

#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define VIRTIO_VENDOR   0x1af4
#define NET_DEVICE      0x1041 /* non-transitional */
#define CAP_VENDOR      0x09
#define CAP_MSIX        0x11
#define MMIO_BASE       0xfe000000u
#define TEST_TYPE       0x88b5
#define FRAME           60
#define HDR             12 /* struct virtio_net_hdr of a modern device */
#define QUEUE_SIZE      16u
#define RAM_RINGS       0x100000u
#define RAM_BUFFERS     0x200000u
#define RAM_MSIX        0x300000u
#define MSIX_DATA       0x4711u
#define VIRTIO_NET_MAC  5
#define VIRTIO_VERSION1 32

/* ---- the host's end ---- */

static int tap_open(int *packet_fd)
{
    struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
    struct sockaddr_ll addr = { .sll_family = AF_PACKET };
    int fd, one = 1;

    CHECK(unshare(CLONE_NEWNET) == 0);
    fd = open("/dev/net/tun", O_RDWR); /* inherited by the emulator */
    CHECK(fd >= 0);
    CHECK(ioctl(fd, TUNSETIFF, &ifr) == 0);
    *packet_fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC,
                        TEST_TYPE >> 8 | (TEST_TYPE & 0xff) << 8);
    CHECK(*packet_fd >= 0);
    ifr.ifr_flags = IFF_UP;
    CHECK(ioctl(*packet_fd, SIOCSIFFLAGS, &ifr) == 0);
    CHECK(ioctl(*packet_fd, SIOCGIFINDEX, &ifr) == 0);
    addr.sll_ifindex = ifr.ifr_ifindex;
    addr.sll_protocol = TEST_TYPE >> 8 | (TEST_TYPE & 0xff) << 8;
    CHECK(bind(*packet_fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    CHECK(setsockopt(*packet_fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one,
                     sizeof(one)) == 0);
    return fd;
}

static void make_frame(uint8_t *frame, uint8_t tag)
{
    static const uint8_t head[] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56, 2,
                                    0,    0,    0, 0,    1,    0x88, 0xb5 };

    memcpy(frame, head, sizeof(head));
    for (unsigned i = sizeof(head); i < FRAME; i++) {
        frame[i] = (uint8_t)(tag + i);
    }
}

/* ---- the device ---- */

typedef struct Ring {
    unsigned index;
    uint64_t desc, avail, used;
    uint16_t next; /* available index */
} Ring;

typedef struct Nic {
    Machine *m;
    unsigned devfn, irq;
    uint64_t common, isr, device, notify;
    uint32_t notify_step;
    bool msix;
    Ring rx, tx;
} Nic;

static uint64_t reg_read(Nic *nic, unsigned offset, unsigned size)
{
    return qtest_value(nic->m, "read%c 0x%" PRIx64, "?bw?l"[size],
                       nic -> common + offset);
}

static void reg_write(Nic *nic, unsigned offset, unsigned size, uint32_t value)
{
    qtest_cmd(nic->m, "write%c 0x%" PRIx64 " 0x%x", "?bw?l"[size],
              nic -> common + offset, value);
}

/* Gives each BAR an address, which goes into @bar. */
static void nic_place_bars(Nic *nic, uint64_t bar[6])
{
    uint64_t next = MMIO_BASE;

    for (unsigned i = 0; i < 6; i++) {
        uint64_t size = pci_place_bar(nic->m, nic->devfn, i, next);
        bool wide = (pci_read(nic->m, nic->devfn, 0x10 + 4 * i, 4) & 7) == 4;

        if (size) {
            size = size < 0x1000 ? 0x1000 : size;
            next = (next + size - 1) & ~(size - 1);
            pci_place_bar(nic->m, nic->devfn, i, next);
            bar[i] = next;
            next += size;
            i += wide;
        }
    }
    pci_write(nic->m, nic->devfn, 4, 2, 6); /* memory, bus master */
}

/* The structures of VIRTIO 1.2, 4.1.4. */
static void nic_find_registers(Nic *nic, const uint64_t bar[6])
{
    unsigned at = 0;

    while ((at = pci_capability(nic->m, nic->devfn, CAP_VENDOR, at))) {
        unsigned type = pci_read(nic->m, nic->devfn, at + 3, 1);
        unsigned index = pci_read(nic->m, nic->devfn, at + 4, 1);
        uint64_t addr = pci_read(nic->m, nic->devfn, at + 8, 4);

        addr += index < 6 ? bar[index] : 0;
        if (type == 1) {
            nic->common = addr;
        } else if (type == 2) {
            nic->notify = addr;
            nic->notify_step = pci_read(nic->m, nic->devfn, at + 16, 4);
        } else if (type == 3) {
            nic->isr = addr;
        } else if (type == 4) {
            nic->device = addr;
        }
    }
    CHECK(nic->common && nic->notify && nic->isr && nic->device);
}

/* A vector for each queue; its message is a word of RAM. */
static void nic_set_messages(Nic *nic, const uint64_t bar[6])
{
    unsigned cap = pci_capability(nic->m, nic->devfn, CAP_MSIX, 0);
    uint32_t table;

    CHECK(cap);
    table = pci_read(nic->m, nic->devfn, cap + 4, 4);
    for (unsigned v = 0; v < 2; v++) {
        unsigned long long entry = bar[table & 7] + (table & ~7u) + 16ull * v;

        qtest_cmd(nic->m, "writeq 0x%llx 0x%x", entry, RAM_MSIX + 4 * v);
        qtest_cmd(nic->m, "writel 0x%llx 0x%x", entry + 8, MSIX_DATA + v);
        qtest_cmd(nic->m, "writel 0x%llx 0", entry + 12);
    }
    pci_write(nic->m, nic->devfn, cap + 2, 2, 0x8000);
    qtest_cmd(nic->m, "memset 0x%x 0x10 0", RAM_MSIX);
}

static void nic_find(Nic *nic)
{
    uint64_t bar[6] = { 0 };
    int devfn = pci_find(nic->m, VIRTIO_VENDOR, NET_DEVICE);

    CHECK(devfn >= 0);
    nic->devfn = (unsigned)devfn;
    nic_place_bars(nic, bar);
    nic_find_registers(nic, bar);
    if (nic->msix) {
        nic_set_messages(nic, bar);
    }
}

static void ring_make(Nic *nic, Ring *ring, unsigned index)
{
    uint64_t base = RAM_RINGS + 0x4000ull * index;
    static const unsigned at[] = { 0x20, 0x28, 0x30 };
    uint64_t part[3] = { base, base + 0x1000, base + 0x2000 };

    *ring = (Ring){ index, part[0], part[1], part[2], 0 };
    qtest_cmd(nic->m, "memset 0x%llx 0x4000 0", (unsigned long long)base);
    reg_write(nic, 0x16, 2, index);
    CHECK(reg_read(nic, 0x18, 2) >= QUEUE_SIZE);
    reg_write(nic, 0x18, 2, QUEUE_SIZE);
    for (unsigned i = 0; i < 3; i++) {
        reg_write(nic, at[i], 4, (uint32_t)part[i]);
        reg_write(nic, at[i] + 4, 4, 0);
    }
    if (nic->msix) {
        reg_write(nic, 0x1a, 2, index);
        CHECK(reg_read(nic, 0x1a, 2) == index);
    }
    reg_write(nic, 0x1c, 2, 1);
}

/* Offers one buffer; the device reads or writes it. */
static void ring_offer(Nic *nic, Ring *ring, uint64_t addr, uint32_t len,
                       bool writable)
{
    unsigned i = ring->next % QUEUE_SIZE;
    unsigned long long desc = ring->desc + 16ull * i;

    qtest_cmd(nic->m, "writeq 0x%llx 0x%llx", desc, (unsigned long long)addr);
    qtest_cmd(nic->m, "writel 0x%llx 0x%x", desc + 8, len);
    qtest_cmd(nic->m, "writew 0x%llx 0x%x", desc + 12, writable ? 2u : 0u);
    qtest_cmd(nic->m, "writew 0x%llx 0x%x",
              (unsigned long long)ring->avail + 4 + 2ull * i, i);
    ring->next++;
    qtest_cmd(nic->m, "writew 0x%llx 0x%x", (unsigned long long)ring->avail + 2,
              ring->next);
    qtest_cmd(nic->m, "writew 0x%llx 0x%x",
              (unsigned long long)nic->notify +
                  (unsigned long long)nic->notify_step * ring->index,
              ring->index);
}

/* Waits until the device has used as many buffers as were offered. */
static void ring_wait(Nic *nic, const Ring *ring)
{
    for (unsigned i = 0; i < 20000; i++) {
        if (qtest_value(nic->m, "readw 0x%llx",
                        (unsigned long long)ring->used + 2) == ring->next) {
            return;
        }
        usleep(500);
    }
    die("queue %u: the buffer was not used", ring->index);
}

static void wait_interrupt(Nic *nic, const Ring *ring)
{
    for (unsigned i = 0; i < 20000; i++) {
        if (nic->msix) {
            if (qtest_value(nic->m, "readl 0x%x", RAM_MSIX + 4 * ring->index)) {
                CHECK(qtest_value(nic->m, "readl 0x%x",
                                  RAM_MSIX + 4 * ring->index) ==
                      MSIX_DATA + ring->index);
                qtest_cmd(nic->m, "writel 0x%x 0", RAM_MSIX + 4 * ring->index);
                return;
            }
        } else {
            qtest_cmd(nic->m, "endianness"); /* brings what was raised */
            if (nic->m->irq[nic->irq]) {
                CHECK(qtest_value(nic->m, "readb 0x%llx",
                                  (unsigned long long)nic->isr) &
                      1);
                CHECK(!nic->m->irq[nic->irq]);
                return;
            }
        }
        usleep(500);
    }
    die("queue %u: no interrupt", ring->index);
}

/* Routes of PIRQ A to D, as a firmware sets them in the ISA bridge; the
 * device's line goes by slot and pin. */
static void nic_route_irq(Nic *nic)
{
    static const unsigned pirq[] = { 10, 10, 11, 11 };

    for (unsigned i = 0; i < 4; i++) {
        pci_write(nic->m, 1 << 3, 0x60 + i, 1, pirq[i]);
    }
    nic->irq = pirq[(nic->devfn >> 3) & 3];
}

static void nic_start(Nic *nic)
{
    uint32_t low, high;

    nic_find(nic);
    nic_route_irq(nic);
    reg_write(nic, 0x14, 1, 0);
    CHECK(reg_read(nic, 0x14, 1) == 0);
    reg_write(nic, 0x14, 1, 1);
    reg_write(nic, 0x14, 1, 3);
    reg_write(nic, 0, 4, 0);
    low = (uint32_t)reg_read(nic, 4, 4);
    reg_write(nic, 0, 4, 1);
    high = (uint32_t)reg_read(nic, 4, 4);
    CHECK((low & 1u << VIRTIO_NET_MAC) &&
          (high & 1u << (VIRTIO_VERSION1 - 32)));
    reg_write(nic, 8, 4, 0);
    reg_write(nic, 12, 4, 1u << VIRTIO_NET_MAC);
    reg_write(nic, 8, 4, 1);
    reg_write(nic, 12, 4, 1u << (VIRTIO_VERSION1 - 32));
    reg_write(nic, 0x14, 1, 11);
    CHECK(reg_read(nic, 0x14, 1) == 11);
    ring_make(nic, &nic->rx, 0);
    ring_make(nic, &nic->tx, 1);
    reg_write(nic, 0x14, 1, 15);
    CHECK(reg_read(nic, 0x14, 1) == 15);
}

/* One frame each way. */
static void exchange(Nic *nic, int host, uint8_t tag)
{
    uint8_t buffer[HDR + FRAME] = { 0 }, got[2048], expected[FRAME];
    struct pollfd p = { .fd = host, .events = POLLIN };

    make_frame(buffer + HDR, tag);
    qtest_memwrite(nic->m, RAM_BUFFERS, buffer, sizeof(buffer));
    ring_offer(nic, &nic->tx, RAM_BUFFERS, sizeof(buffer), false);
    CHECK(poll(&p, 1, 20000) == 1);
    CHECK(recv(host, got, sizeof(got), 0) == FRAME);
    CHECK(!memcmp(got, buffer + HDR, FRAME));
    ring_wait(nic, &nic->tx);
    wait_interrupt(nic, &nic->tx);

    make_frame(expected, tag + 1);
    CHECK(send(host, expected, FRAME, 0) == FRAME);
    do { /* the host has something to say of its own, by IPv6 */
        ring_offer(nic, &nic->rx, RAM_BUFFERS + 0x1000, 2048, true);
        ring_wait(nic, &nic->rx);
        wait_interrupt(nic, &nic->rx);
        qtest_memread(nic->m, RAM_BUFFERS + 0x1000, buffer, sizeof(buffer));
    } while (memcmp(buffer + HDR + 12, expected + 12, 2));
    CHECK(!memcmp(buffer + HDR, expected, FRAME));
}

/* ---- cases ---- */

static const char *emulator;
static unsigned n_cases;

static void passed(const char *name)
{
    printf("ok %u %s\n", ++n_cases, name);
    fflush(stdout);
}

static void start_with_tap(Machine *m, int *host, const char *more)
{
    char args[512];
    int tap = tap_open(host);

    snprintf(args, sizeof(args),
             "-machine pc -nodefaults -m 64 -no-shutdown "
             "-netdev tap,id=hs0,fd=%d,vhost=off "
             "-device virtio-net-pci,netdev=hs0,disable-legacy=on,"
             "mac=52:54:00:12:34:56%s",
             tap, more);
    machine_start(m, emulator, args);
    close(tap);
}

static void test_protocol(void)
{
    static const char hello[] = "aGVsbG8=";
    Machine m;
    uint64_t now;

    machine_start(&m, emulator,
                  "-machine pc -nodefaults -vga none -audiodev none,id=snd0 "
                  "-cpu max -global virtio-net-pci.mq=on -accel hvf");
    qtest_cmd(&m, "writeq 0x1000 0x1122334455667788");
    CHECK(qtest_value(&m, "readb 0x1000") == 0x88);
    CHECK(qtest_value(&m, "readw 0x1002") == 0x5566);
    CHECK(qtest_value(&m, "readl 0x1004") == 0x11223344);
    qtest_cmd(&m, "b64write 0x2000 5 %s", hello);
    CHECK(!strcmp(qtest_cmd(&m, "b64read 0x2000 5"), hello));
    CHECK(!strcmp(qtest_cmd(&m, "read 0x2000 5"), "0x68656c6c6f"));
    qtest_cmd(&m, "memset 0x2000 4 0x2a");
    CHECK(qtest_value(&m, "readl 0x2000") == 0x2a2a2a2a);
    now = qtest_value(&m, "clock_step 1000000");
    usleep(2000);
    CHECK(qtest_value(&m, "clock_step 1000000") == now + 1000000);
    CHECK(qtest_value(&m, "clock_set %llu",
                      (unsigned long long)now + 5000000) == now + 5000000);
    qtest_fails(&m, "rtas nothing 0 0x0 0 0x0");
    qtest_fails(&m, "module_load hw- nothing");
    qtest_fails(&m, "irq_intercept_in /nowhere");
    qtest_fails(&m, "read 0x1000 0xffffffffffffffff");
    qtest_fails(&m, "write 0x1000 4");
    CHECK(strstr(qmp_cmd(&m, "{\"execute\": \"query-status\"}"), "running"));
    machine_end(&m);
    passed("protocol");
}

static void test_frames(bool msix)
{
    Machine m;
    Nic nic = { .m = &m, .msix = msix };
    int host;

    start_with_tap(&m, &host, "");
    if (!msix) {
        qtest_cmd(&m, "irq_intercept_in ioapic");
    }
    nic_start(&nic);
    for (uint8_t i = 0; i < 10; i++) {
        exchange(&nic, host, 16 * i);
    }
    qmp_cmd(&m, "{\"execute\": \"stop\"}");
    qmp_event(&m, "STOP");
    qmp_cmd(&m, "{\"execute\": \"cont\"}");
    exchange(&nic, host, 200);
    qmp_cmd(&m, "{\"execute\": \"system_reset\"}");
    qmp_event(&m, "RESET");
    nic_start(&nic);
    exchange(&nic, host, 100);
    machine_end(&m);
    close(host);
    passed(msix ? "frames with MSI-X" : "frames with an interrupt line");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        die("usage: virtio-net-client EMULATOR");
    }
    emulator = argv[1];
    test_protocol();
    test_frames(true);
    test_frames(false);
    printf("1..%u\n", n_cases);
    return 0;
}
