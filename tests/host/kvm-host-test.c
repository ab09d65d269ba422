/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this project assumes of the host's KVM beyond its documentation's
 * letter. Needs nothing of the project: when an emulator test fails and this
 * does too, the host is to blame.
 *
 * Interrupts are observed in the local APIC's request register (Intel SDM 3A,
 * 11.8.4), so no guest has to run for them.
 */
#include "util/osdep.h"
#include <fcntl.h>
#include <linux/kvm.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define GSI        24
#define VECTOR     0x41
#define APIC_SVR   0xf0
#define APIC_IRR   0x200
#define SVR_ENABLE 0x1ff

static int kvm, vm, vcpu;
static struct kvm_run *run;

static void xioctl(int fd, unsigned long request, void *arg)
{
    int r = ioctl(fd, request, arg);

    if (r < 0) {
        g_error("ioctl 0x%lx: %s", request, g_strerror(errno));
    }
}

static void lapic_enable(void)
{
    struct kvm_lapic_state lapic;
    uint32_t svr = SVR_ENABLE;

    xioctl(vcpu, KVM_GET_LAPIC, &lapic);
    memcpy(lapic.regs + APIC_SVR, &svr, 4);
    memset(lapic.regs + APIC_IRR, 0, 0x80);
    xioctl(vcpu, KVM_SET_LAPIC, &lapic);
}

/* Whether @vector is requested; looks for up to a second when @wait. */
static bool lapic_requested(unsigned vector, bool wait)
{
    struct kvm_lapic_state lapic;
    uint32_t irr;

    for (unsigned i = 0; i < (wait ? 1000 : 20); i++) {
        xioctl(vcpu, KVM_GET_LAPIC, &lapic);
        memcpy(&irr, lapic.regs + APIC_IRR + vector / 32 * 16, 4);
        if (irr & 1u << vector % 32) {
            return true;
        }
        g_usleep(1000);
    }
    return false;
}

static void route_set(unsigned vector)
{
    g_autofree struct kvm_irq_routing *table =
        g_malloc0(sizeof(*table) + sizeof(table->entries[0]));

    table->nr = 1;
    table->entries[0] = (struct kvm_irq_routing_entry){
        .gsi = GSI,
        .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = { .address_lo = 0xfee00000, .data = vector },
    };
    xioctl(vm, KVM_SET_GSI_ROUTING, table);
}

static int irqfd(int fd, unsigned gsi, unsigned flags)
{
    struct kvm_irqfd arg = { .fd = fd, .gsi = gsi, .flags = flags };

    return ioctl(vm, KVM_IRQFD, &arg);
}

static void signal_fd(int fd)
{
    uint64_t one = 1;

    g_assert_cmpint(write(fd, &one, 8), ==, 8);
}

/* An eventfd that was written before it is attached is delivered: handing a
 * ring's call eventfd over loses no interrupt. */
static void test_irqfd_signalled_before(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    lapic_enable();
    route_set(VECTOR);
    signal_fd(fd);
    g_assert_cmpint(irqfd(fd, GSI, 0), ==, 0);
    g_assert_true(lapic_requested(VECTOR, true));
    g_assert_cmpint(irqfd(fd, GSI, KVM_IRQFD_FLAG_DEASSIGN), ==, 0);
    close(fd);
}

/* What is written after the detachment stays in the eventfd. */
static void test_irqfd_detached(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uint64_t value;

    lapic_enable();
    route_set(VECTOR);
    g_assert_cmpint(irqfd(fd, GSI, 0), ==, 0);
    g_assert_cmpint(irqfd(fd, GSI, KVM_IRQFD_FLAG_DEASSIGN), ==, 0);
    signal_fd(fd);
    g_assert_false(lapic_requested(VECTOR, false));
    g_assert_cmpint(read(fd, &value, 8), ==, 8);
    g_assert_cmpuint(value, ==, 1);
    close(fd);
}

/* A new routing table is in force for attached eventfds when the ioctl ends. */
static void test_irqfd_route_changes(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    lapic_enable();
    route_set(VECTOR);
    g_assert_cmpint(irqfd(fd, GSI, 0), ==, 0);
    route_set(VECTOR + 1);
    signal_fd(fd);
    g_assert_true(lapic_requested(VECTOR + 1, true));
    g_assert_false(lapic_requested(VECTOR, false));
    g_assert_cmpint(irqfd(fd, GSI, KVM_IRQFD_FLAG_DEASSIGN), ==, 0);
    close(fd);
}

static void test_irqfd_one_per_eventfd(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    route_set(VECTOR);
    g_assert_cmpint(irqfd(fd, GSI, 0), ==, 0);
    g_assert_cmpint(irqfd(fd, GSI + 1, 0), ==, -1);
    g_assert_cmpint(errno, ==, EBUSY);
    g_assert_cmpint(irqfd(fd, GSI, KVM_IRQFD_FLAG_DEASSIGN), ==, 0);
    close(fd);
}

/* A kick that comes before KVM_RUN is not lost. */
static void test_immediate_exit(void)
{
    run->immediate_exit = 1;
    g_assert_cmpint(ioctl(vcpu, KVM_RUN, NULL), ==, -1);
    g_assert_cmpint(errno, ==, EINTR);
    run->immediate_exit = 0;
}

/* Doorbells without size or value, ports and memory. */
static void test_ioeventfd_any_length(void)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct kvm_ioeventfd arg = { .addr = 0xe0000000, .fd = fd };

    g_assert_cmpint(
        ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD_ANY_LENGTH), >, 0);
    xioctl(vm, KVM_IOEVENTFD, &arg);
    /* Twice the same is refused, so two owners of an address are noticed. */
    g_assert_cmpint(ioctl(vm, KVM_IOEVENTFD, &arg), ==, -1);
    g_assert_cmpint(errno, ==, EEXIST);
    arg.flags = KVM_IOEVENTFD_FLAG_DEASSIGN;
    xioctl(vm, KVM_IOEVENTFD, &arg);
    arg.flags = KVM_IOEVENTFD_FLAG_PIO;
    arg.addr = 0xc000;
    xioctl(vm, KVM_IOEVENTFD, &arg);
    close(fd);
}

static bool machine_new(void)
{
    int size;

    kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) {
        return false;
    }
    vm = ioctl(kvm, KVM_CREATE_VM, NULL);
    if (vm < 0) {
        return false;
    }
    xioctl(vm, KVM_SET_TSS_ADDR, (void *)0xfeffd000);
    xioctl(vm, KVM_CREATE_IRQCHIP, NULL);
    vcpu = ioctl(vm, KVM_CREATE_VCPU, NULL);
    g_assert_cmpint(vcpu, >=, 0);
    size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
    run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    g_assert_true(run != MAP_FAILED);
    return true;
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!machine_new()) {
        printf("1..0 # SKIP /dev/kvm: %s\n", g_strerror(errno));
        return 0;
    }
    g_test_add_func("/host/kvm/irqfd/signalled-before",
                    test_irqfd_signalled_before);
    g_test_add_func("/host/kvm/irqfd/detached", test_irqfd_detached);
    g_test_add_func("/host/kvm/irqfd/route-changes", test_irqfd_route_changes);
    g_test_add_func("/host/kvm/irqfd/one-per-eventfd",
                    test_irqfd_one_per_eventfd);
    g_test_add_func("/host/kvm/immediate-exit", test_immediate_exit);
    g_test_add_func("/host/kvm/ioeventfd/any-length",
                    test_ioeventfd_any_length);
    return g_test_run();
}
