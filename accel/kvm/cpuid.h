/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What CPUID tells the guest: the host's abilities, the model, the topology.
 *
 * Sources: Intel SDM 2A "CPUID" and 3A 9.9 (topology), AMD APM 3 appendix E,
 * Linux Documentation/virt/kvm/x86/cpuid.rst.
 *
 * Threads: pure functions on the caller's tables, but where it is said.
 */
#ifndef ACCEL_KVM_CPUID_H
#define ACCEL_KVM_CPUID_H

#include <linux/kvm.h>
#include "accel/kvm/cpu-model.h"
#include "accel/vcpu.h"

#define CPUID_MAX_ENTRIES 256u /* KVM_MAX_CPUID_ENTRIES */

/* The layout of KVM_SET_CPUID2, with room for all entries there can be. */
struct CpuidTable {
    uint32_t nent; /* valid entries */
    uint32_t padding;
    struct kvm_cpuid_entry2 entry[CPUID_MAX_ENTRIES];
};
G_STATIC_ASSERT(offsetof(struct CpuidTable, entry) ==
                offsetof(struct kvm_cpuid2, entries));

/* The entry, or NULL. Leaves without sub-leaves have index 0. */
const struct kvm_cpuid_entry2 *cpuid_find(const CpuidTable *table,
                                          uint32_t function, uint32_t index);

/* True when leaf 0 of @table says "AuthenticAMD" or "HygonGenuine". */
bool cpuid_is_amd(const CpuidTable *table);

/*
 * Fills @out for vCPU @index of @topo. @host is what KVM supports
 * (cpuid_host_fixup() done), @cpu what cpu_model_resolve() made of it.
 */
void cpuid_build(CpuidTable *out, const CpuidTable *host, const CpuModel *cpu,
                 const CpuTopology *topo, unsigned index);

/* Adds to KVM's list what it supports without listing it: the hypervisor bit,
 * x2APIC, the timer that runs in all power states, AMD's topology leaves. */
void cpuid_host_fixup(CpuidTable *host, bool tsc_deadline);

/* Asks KVM and resolves the model of -cpu for @topo. Once, before vCPUs. */
bool cpuid_init(const CpuTopology *topo, Error **errp) MAIN_THREAD;

/* The features that KVM supports on this host. False: KVM is not in use. */
bool cpuid_host_features(CpuFeatures *out) MAIN_THREAD;

/* Gives vCPU @index its CPUID. Any vCPU thread, after cpuid_init(). */
bool cpuid_load(int vcpu_fd, unsigned index, Error **errp);

#endif
