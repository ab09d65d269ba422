/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the KVM accelerator share.
 *
 * Sources: Linux Documentation/virt/kvm/api.rst ("KVM API" below) and the
 * UAPI header linux/kvm.h.
 *
 * Threads: under the machine lock, unless said otherwise.
 */
#ifndef ACCEL_KVM_INTERNAL_H
#define ACCEL_KVM_INTERNAL_H

#include <linux/kvm.h>
#include "accel/accel.h"
#include "accel/vcpu.h"
#include "system/dirty-log.h"

typedef struct KvmSlot {
    uint64_t gpa, size; /* size 0: free */
    uint8_t *host;
    bool readonly;
    bool logged; /* KVM notes which pages are written */
} KvmSlot;

typedef struct KvmState {
    /* fixed after init */
    int fd;    /* /dev/kvm */
    int vm_fd; /* the machine */
    unsigned max_slots, max_vcpus, max_vcpu_id, max_routes;
    size_t run_size; /* bytes of a vCPU's struct kvm_run mapping */
    bool readonly_mem, ioeventfd_any_length, xsave, xcrs, debugregs;
    size_t nested_state_size; /* 0: no nested virtualization */
    struct kvm_msr_list *msr_list;

    /* main thread */
    GArray *slots; /* of KvmSlot, the number is the index */
} KvmState;

extern KvmState kvm_state;

/* ioctl(2) that goes on after a signal; 0 or more, or -errno. Any thread. */
int kvm_ioctl(int fd, unsigned long request, const void *arg);

/* The value of capability @cap of the machine, 0: not there. */
int kvm_check_extension(int cap);

/* Tells KVM of slot number @i, or with @size 0 that there is none any more. */
int kvm_slot_set(unsigned i, const KvmSlot *slot, uint64_t size);

/* ---- kvm-dirty.c ---- */

extern const DirtySourceOps kvm_dirty_ops;

/* ---- kvm-irq.c ---- */

/* Loads the lines' routes into the machine's interrupt controllers. */
bool kvm_irq_init(Error **errp) MAIN_THREAD;
/* Puts the PICs, the I/O APIC and the timer back to power-on; vCPUs are
 * parked. */
void kvm_irq_reset(void) MAIN_THREAD;
void kvm_set_gsi(unsigned gsi, bool level) MAIN_THREAD;
void kvm_msi_send(MsiMessage msg) MAIN_THREAD;
int kvm_msi_route_add(MsiMessage msg, Error **errp) MAIN_THREAD;
bool kvm_msi_route_update(int gsi, MsiMessage msg, Error **errp) MAIN_THREAD;
void kvm_msi_route_del(int gsi) MAIN_THREAD;
bool kvm_irqfd(bool add, int gsi, int fd, Error **errp) MAIN_THREAD;

/* ---- vcpu.c ---- */

bool kvm_vcpus_create(unsigned n, Error **errp) MAIN_THREAD;
void kvm_vcpus_resume(void) MAIN_THREAD;
void kvm_vcpus_pause(void) MAIN_THREAD;
void kvm_vcpus_reset(const VcpuBootState *boot) MAIN_THREAD;
void kvm_vcpus_destroy(void) MAIN_THREAD;
int kvm_vcpu_thread_id(unsigned index) MAIN_THREAD;
/* What kvm_stats_open() gave for vCPU @index, which exists or not; or -1. */
int kvm_vcpu_stats_fd(unsigned index) MAIN_THREAD;

/* ---- kvm-stats.c ---- */

/* A file of the counters of the machine or the vCPU @fd (KVM API 4.133), or
 * -1 when the kernel has none. Any thread; for a vCPU, its own. */
int kvm_stats_open(int fd);
bool kvm_vcpu_describe(unsigned index, GString *out, Error **errp) MAIN_THREAD;

/* ---- vcpu-exit.c; the vCPU's own thread, without the machine lock ---- */

/* Acts on the exit in @run. True: back into the guest. False: not before the
 * next resume. */
bool vcpu_exit(unsigned index, int vcpu_fd, struct kvm_run *run);

/* The vCPU cannot go on: one line for the user with @what and its details, and
 * the machine will stop. Always false. */
bool vcpu_fail(unsigned index, int vcpu_fd, const char *what, uint64_t a,
               uint64_t b);

/* ---- vcpu-regs.c ---- */

typedef struct VcpuRegisters VcpuRegisters;

/* The general, segment and control registers; g_free() them. NULL: an error.
 * The vCPU's own thread. */
VcpuRegisters *vcpu_registers_read(int vcpu_fd, Error **errp);
/* Adds them to @out in lines of text. Any thread. */
void vcpu_registers_format(const VcpuRegisters *registers, GString *out);

/* ---- vcpu-state.c; the vCPU's own thread ---- */

typedef struct VcpuSnapshot VcpuSnapshot;

/* What KVM gives a new vCPU: the architectural state after power-on. NULL and
 * *errp on failure. */
VcpuSnapshot *vcpu_snapshot_take(int vcpu_fd, Error **errp);
void vcpu_snapshot_free(VcpuSnapshot *snapshot);

/* Puts the vCPU back into that state; then, when @boot is not NULL and valid,
 * into the start state of a boot protocol. */
bool vcpu_snapshot_restore(int vcpu_fd, const VcpuSnapshot *snapshot,
                           const VcpuBootState *boot, Error **errp);

#endif
