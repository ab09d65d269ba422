/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A few instructions of 32-bit code under KVM: exits, ioeventfds, pause and
 * resume, reset after a triple fault, the log of written pages. Skipped where
 * /dev/kvm is missing.
 */
#include "util/osdep.h"
#include <sys/mman.h>
#include "accel/accel.h"
#include "accel/vcpu.h"
#include "system/dirty-log.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "system/runstate.h"
#include "util/fd.h"

#define RAM_SIZE      (64 * KiB)
#define CODE_GPA      0x1000
#define TEXT_GPA      0x2000
#define COUNTER_GPA   0x3000 /* the guest counts here for ever... */
#define CRASH_GPA     0x3004 /* ...until this is not zero */
#define MMIO_GPA      0xd0000000ULL
#define PORT          0x10
#define DOORBELL_PORT 0x20
#define START_VALUE   0xcafef00dULL

__asm__(".section .rodata\n"
        ".code32\n"
        "guest_code:\n"
        "    movl %ebx, %eax\n"
        "    outl %eax, $0x10\n"
        "    movl $0x12345678, 0xd0000000\n"
        "    movl 0xd0000004, %eax\n"
        "    outl %eax, $0x10\n"
        "    movl $0x2000, %esi\n"
        "    movl $5, %ecx\n"
        "    movw $0x10, %dx\n"
        "    cld\n"
        "    rep outsb\n"
        "    outb %al, $0x20\n"
        "1:  incl 0x3000\n"
        "    cmpl $0, 0x3004\n"
        "    je 1b\n"
        "    lidt 0x3010\n" /* zeros: no interrupt table */
        "    xorl %ecx, %ecx\n"
        "    divl %ecx\n"
        "guest_code_end:\n"
        ".code64\n"
        ".previous\n");
extern const uint8_t guest_code[], guest_code_end[];

static uint8_t *ram_host;
static GString *trace;
static IoRegion ports, mmio;
static bool crashed;

/* ---- what the run state would do ---- */

void system_reset_request(ShutdownCause cause)
{
    __atomic_store_n(&crashed, true, __ATOMIC_RELEASE);
}

void system_shutdown_request(ShutdownCause cause)
{
    g_assert_not_reached();
}

void system_panic_request(bool handled)
{
    g_assert_not_reached();
}

void vm_stop(RunState state)
{
    g_assert_not_reached();
}

/* ---- devices ---- */

static uint64_t dev_read(void *opaque, uint64_t offset, unsigned size)
{
    g_string_append_printf(trace, "r%" PRIx64 ".%u ", offset, size);
    return 0xfeedface;
}

static void dev_write(void *opaque, uint64_t offset, uint64_t value,
                      unsigned size)
{
    g_string_append_printf(trace, "w%" PRIx64 ".%u=%" PRIx64 " ", offset, size,
                           value);
}

static const IoRegionOps dev_ops = { dev_read, dev_write, 4 };

static uint32_t ram_u32(uint64_t gpa)
{
    uint32_t *p = ram_map_lookup(ram_map_get(), gpa, 4);

    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static void ram_set_u32(uint64_t gpa, uint32_t value)
{
    uint32_t *p = ram_map_lookup(ram_map_get(), gpa, 4);

    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* Lets the guest run for 10 ms. */
static void run_a_little(void) MAIN_THREAD
{
    machine_unlock();
    g_usleep(10000);
    machine_lock();
}

static void wait_for_count(uint32_t above) MAIN_THREAD
{
    for (unsigned i = 0; i < 6000 && ram_u32(COUNTER_GPA) <= above; i++) {
        run_a_little();
    }
    g_assert_cmpuint(ram_u32(COUNTER_GPA), >, above);
}

static void check_trace(void)
{
    g_assert_cmpstr(trace->str, ==,
                    "w0.4=cafef00d w0.4=12345678 r4.4 w0.4=feedface "
                    "w0.1=68 w0.1=65 w0.1=6c w0.1=6c w0.1=6f ");
    g_string_truncate(trace, 0);
}

static void machine_new(void) MAIN_THREAD
{
    RamRange range = { .size = RAM_SIZE, .fd = -1 };
    Error *err = NULL;

    ram_host = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    g_assert_true(ram_host != MAP_FAILED);
    range.host = ram_host;
    g_assert_true(ram_add(&range, &err));
    memcpy(ram_host + CODE_GPA, guest_code, guest_code_end - guest_code);
    memcpy(ram_host + TEXT_GPA, "hello", 5);
    io_region_init(&ports, "ports", &dev_ops, NULL, 0x20);
    io_region_map(&ports, IO_SPACE_PORT, PORT, 0);
    io_region_init(&mmio, "mmio", &dev_ops, NULL, 0x1000);
    io_region_map(&mmio, IO_SPACE_MMIO, MMIO_GPA, 0);
}

/* The vCPU that counts and the one that nobody started; @n times. */
static void read_registers(unsigned n) MAIN_THREAD
{
    for (unsigned i = 0; i < n; i++) {
        g_autoptr(GString) first = g_string_new(NULL);
        g_autoptr(GString) second = g_string_new(NULL);

        g_assert_true(vcpu_describe(0, first, NULL));
        g_assert_nonnull(strstr(first->str, "EBX=cafef00d ECX=00000000"));
        g_assert_nonnull(strstr(first->str, "\nCS =0008 00000000 ffffffff"));
        g_assert_nonnull(strstr(first->str, "\nCR0=00000011 "));
        g_assert_true(vcpu_describe(1, second, NULL));
        g_assert_nonnull(strstr(second->str, "EIP=0000fff0 EFL=00000002"));
        g_assert_nonnull(strstr(second->str, "\nCS =f000 ffff0000 0000ffff"));
    }
    g_assert_false(vcpu_describe(2, NULL, NULL));
}

/* The guest, which runs, writes to one page only. */
static void check_dirty_log(void) MAIN_THREAD
{
    for (unsigned i = 0; i < 3; i++) {
        g_assert_true(dirty_log_start(NULL));
        for (unsigned k = 0; k < 3; k++) {
            wait_for_count(ram_u32(COUNTER_GPA));
            g_assert_cmpuint(dirty_log_take(), ==, 1);
        }
        vcpus_pause();
        dirty_log_take();
        run_a_little();
        g_assert_cmpuint(dirty_log_take(), ==, 0);
        vcpus_resume();
        wait_for_count(ram_u32(COUNTER_GPA));
        dirty_log_stop();
        g_assert_cmpuint(dirty_log_take(), ==, 0);
    }
    wait_for_count(ram_u32(COUNTER_GPA));
}

static void test_guest(void) MAIN_THREAD
{
    const VcpuBootState boot = { .valid = true,
                                 .rip = CODE_GPA,
                                 .rbx = START_VALUE,
                                 .cs_sel = 0x8,
                                 .ds_sel = 0x10,
                                 .tr_sel = 0x18 };
    const CpuTopology topo = { 2, 2, 1, 1, 2, 1 };
    int doorbell = eventfd_new(NULL);
    Error *err = NULL;
    uint32_t count;

    machine_new();
    g_assert_true(io_region_add_eventfd(&ports, DOORBELL_PORT - PORT, 1, false,
                                        0, doorbell, &err));
    g_assert_true(vcpus_init(&topo, &err));
    g_assert_no_error(err);
    g_assert_cmpint(vcpu_thread_id(0), >, 0);
    g_assert_cmpint(vcpu_thread_id(1), !=, vcpu_thread_id(0));
    g_assert_cmpint(vcpu_thread_id(2), ==, 0);
    vcpus_set_boot_state(&boot);

    vcpus_resume();
    wait_for_count(0);
    check_trace();
    g_assert_true(eventfd_clear(doorbell));

    /* Paused: the count stands. Resumed: it goes on. Many times over. */
    for (unsigned i = 0; i < 20; i++) {
        vcpus_pause();
        count = ram_u32(COUNTER_GPA);
        run_a_little();
        read_registers(1);
        g_assert_cmpuint(ram_u32(COUNTER_GPA), ==, count);
        vcpus_resume();
        wait_for_count(count);
    }

    /* A look at a vCPU that runs does not stop it. */
    read_registers(20);
    wait_for_count(ram_u32(COUNTER_GPA));

    check_dirty_log();

    /* A triple fault asks for a reset, after which all starts again. */
    ram_set_u32(CRASH_GPA, 1);
    for (unsigned i = 0; i < 1000; i++) {
        if (__atomic_load_n(&crashed, __ATOMIC_ACQUIRE)) {
            break;
        }
        run_a_little();
    }
    g_assert_true(crashed);
    vcpus_pause();
    ram_set_u32(CRASH_GPA, 0);
    ram_set_u32(COUNTER_GPA, 0);
    vcpus_reset();
    run_a_little();
    g_assert_cmpuint(ram_u32(COUNTER_GPA), ==, 0);
    vcpus_resume();
    wait_for_count(0);
    check_trace();
    g_assert_true(eventfd_clear(doorbell));

    vcpus_destroy();
    io_region_destroy(&ports);
    io_region_destroy(&mmio);
    fd_close(&doorbell);
}

/* Routes and irqfds, with nobody to interrupt. */
static void test_irqfd(void) MAIN_THREAD
{
    MsiMessage msg = { .address = 0xfee00000, .data = 0x4041 };
    MsiRoute *route[40];
    int fd[ARRAY_SIZE(route)];
    Error *err = NULL;

    for (unsigned i = 0; i < ARRAY_SIZE(route); i++) {
        route[i] = msi_route_new(msg, &err);
        g_assert_no_error(err);
        fd[i] = eventfd_new(NULL);
        eventfd_signal(fd[i]); /* before: delivered when attached */
        g_assert_true(msi_route_attach(route[i], fd[i], &err));
        g_assert_no_error(err);
    }
    msg.data++;
    g_assert_true(msi_route_update(route[7], msg, &err));
    /* One eventfd cannot be two interrupts. */
    g_assert_false(msi_route_attach(route[0], fd[1], &err));
    g_assert_nonnull(strstr(err->message, "cannot attach the irqfd"));
    g_clear_error(&err);
    for (unsigned i = 0; i < ARRAY_SIZE(route); i++) {
        eventfd_signal(fd[i]);
        msi_route_free(route[i]);
        fd_close(&fd[i]);
    }
    accel_set_gsi(9, true);
    accel_set_gsi(9, false);
    accel_set_gsi(99, true);
    accel_msi_send(msg);
}

int main(int argc, char **argv) NO_THREAD_SAFETY
{
    static const char *const names[] = { "kvm", NULL };
    g_autoptr(GError) err = NULL;
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (access("/dev/kvm", R_OK | W_OK)) {
        printf("1..0 # SKIP no access to /dev/kvm\n");
        return 0;
    }
    g_assert_true(main_loop_init(NULL));
    if (!accel_init(names, &err)) {
        printf("1..0 # SKIP %s\n", err->message);
        return 0;
    }
    trace = g_string_new("");
    g_test_add_func("/kvm/guest", test_guest);
    g_test_add_func("/kvm/irqfd", test_irqfd);
    rc = g_test_run();
    g_string_free(trace, TRUE);
    machine_unlock();
    return rc;
}
