/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What makes a vCPU leave the guest, and what is done about it. */
#include "util/osdep.h"
#include "accel/kvm/kvm-internal.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"
#include "system/runstate.h"
#include "util/endian.h"
#include "util/log.h"

/* Main loop's functions: they hold the machine lock. */
static void stop_internal_error(void *opaque) MAIN_THREAD
{
    vm_stop(RUN_STATE_INTERNAL_ERROR);
}

bool vcpu_fail(unsigned index, int vcpu_fd, const char *what, uint64_t a,
               uint64_t b)
{
    struct kvm_regs regs = { 0 };
    struct kvm_sregs sregs = { 0 };

    kvm_ioctl(vcpu_fd, KVM_GET_REGS, &regs);
    kvm_ioctl(vcpu_fd, KVM_GET_SREGS, &sregs);
    error_report("CPU %u: KVM: %s (0x%" PRIx64 ", 0x%" PRIx64
                 "); RIP=%016llx RSP=%016llx RFLAGS=%08llx CS=%04x "
                 "CR0=%08llx CR2=%016llx CR3=%016llx CR4=%08llx EFER=%llx",
                 index, what, a, b, regs.rip, regs.rsp, regs.rflags,
                 sregs.cs.selector, sregs.cr0, sregs.cr2, sregs.cr3, sregs.cr4,
                 sregs.efer);
    event_loop_post(main_loop(), stop_internal_error, NULL);
    return false;
}

static uint64_t io_load(const uint8_t *p, unsigned size)
{
    return size == 1 ? *p : size == 2 ? load_le16(p) : load_le32(p);
}

static void io_store(uint8_t *p, uint64_t value, unsigned size)
{
    if (size == 1) {
        *p = value;
    } else if (size == 2) {
        store_le16(p, value);
    } else {
        store_le32(p, value);
    }
}

/* Port accesses; string instructions bring several at once. */
static void vcpu_exit_io(struct kvm_run *run)
{
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size;

    machine_lock();
    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            io_write(IO_SPACE_PORT, run->io.port, io_load(data, size), size);
        } else {
            io_store(data, io_read(IO_SPACE_PORT, run->io.port, size), size);
        }
    }
    machine_unlock();
}

static void vcpu_exit_mmio(struct kvm_run *run)
{
    unsigned len = MIN(run->mmio.len, sizeof(run->mmio.data));

    machine_lock();
    if (run->mmio.is_write) {
        io_write(IO_SPACE_MMIO, run->mmio.phys_addr, load_le64(run->mmio.data),
                 len);
    } else {
        store_le64(run->mmio.data,
                   io_read(IO_SPACE_MMIO, run->mmio.phys_addr, len));
    }
    machine_unlock();
}

static bool vcpu_exit_system_event(unsigned index, int vcpu_fd,
                                   const struct kvm_run *run)
{
    switch (run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        system_shutdown_request(SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
        return false;
    case KVM_SYSTEM_EVENT_RESET:
        system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
        return false;
    case KVM_SYSTEM_EVENT_CRASH:
        system_panic_request(false);
        return true;
    default:
        return vcpu_fail(index, vcpu_fd, "unknown system event",
                         run->system_event.type, 0);
    }
}

bool vcpu_exit(unsigned index, int vcpu_fd, struct kvm_run *run)
{
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        vcpu_exit_io(run);
        return true;
    case KVM_EXIT_MMIO:
        vcpu_exit_mmio(run);
        return true;
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return true;
    case KVM_EXIT_SHUTDOWN:
        log_mask(LOG_GUEST_ERROR, "CPU %u: triple fault, the machine resets",
                 index);
        system_reset_request(SHUTDOWN_CAUSE_GUEST_RESET);
        return false;
    case KVM_EXIT_SYSTEM_EVENT:
        return vcpu_exit_system_event(index, vcpu_fd, run);
    case KVM_EXIT_INTERNAL_ERROR:
        return vcpu_fail(index, vcpu_fd, "internal error",
                         run->internal.suberror,
                         run->internal.ndata ? run->internal.data[0] : 0);
    case KVM_EXIT_FAIL_ENTRY:
        return vcpu_fail(index, vcpu_fd,
                         "the processor refuses the guest state",
                         run->fail_entry.hardware_entry_failure_reason, 0);
    case KVM_EXIT_UNKNOWN:
        return vcpu_fail(index, vcpu_fd, "unknown hardware exit",
                         run->hw.hardware_exit_reason, 0);
    default:
        return vcpu_fail(index, vcpu_fd, "unexpected exit", run->exit_reason,
                         0);
    }
}
