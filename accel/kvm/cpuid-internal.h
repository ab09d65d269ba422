/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files that build CPUID share.
 *
 * Threads: pure functions on the caller's tables.
 */
#ifndef ACCEL_KVM_CPUID_INTERNAL_H
#define ACCEL_KVM_CPUID_INTERNAL_H

#include "accel/kvm/cpuid.h"

#define BIT(n) (1u << (n))

/* The entry, made (zero) when missing. */
struct kvm_cpuid_entry2 *cpuid_get(CpuidTable *t, uint32_t function,
                                   uint32_t index);

/* The same, with its registers set. */
void cpuid_set(CpuidTable *t, uint32_t function, uint32_t index, uint32_t eax,
               uint32_t ebx, uint32_t ecx, uint32_t edx);

/* The leaves that say where vCPU @index is, and who shares its caches. Comes
 * after identity and features: it follows the guest's vendor. */
void cpuid_build_topology(CpuidTable *out, const CpuModel *cpu,
                          const CpuTopology *topo, unsigned index);

#endif
