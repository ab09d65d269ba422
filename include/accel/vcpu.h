/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPUs: their threads, start state and topology.
 *
 * Threads: under the machine lock; the run loop itself is the vCPU's.
 */
#ifndef ACCEL_VCPU_H
#define ACCEL_VCPU_H

#include "util/error.h"

#define MAX_VCPUS 64u

/* `-smp`; all at least 1 after parsing, product equals @maxcpus. */
typedef struct CpuTopology {
    unsigned cpus, maxcpus, sockets, dies, cores, threads;
} CpuTopology;

/* What a vCPU starts with after reset when a kernel is booted directly. */
typedef struct VcpuBootState {
    bool valid;     /* false: the architectural reset vector */
    bool long_mode; /* 64-bit boot protocol: paging on, CS 64-bit */
    uint64_t rip, rsp, rsi, rbx, cr3;
    uint64_t gdt_base;
    uint16_t gdt_limit;
    uint16_t cs_sel, ds_sel, tr_sel;
} VcpuBootState;

/* Where a vCPU sits: numbers within the next larger part. */
typedef struct VcpuPlace {
    unsigned socket, die, core, thread;
} VcpuPlace;

VcpuPlace vcpu_place(const CpuTopology *topo, unsigned index);

/* APIC id of vCPU @index under @topo (Intel SDM 3A, 9.9.1: sub-fields are
 * powers of two wide). */
uint32_t vcpu_apic_id(const CpuTopology *topo, unsigned index);

/* Bits of an APIC id sub-field with @n values: 0 for one, 1 for two, ... */
unsigned vcpu_field_bits(unsigned n);

/* `-cpu TEXT`: "MODEL[,+feat][,-feat][,feat=on|off]..."; kept for creation. */
bool cpu_model_parse(const char *text, Error **errp) MAIN_THREAD;
/* Prints `-cpu help`. */
void cpu_model_help(void);

/* Creates topo->cpus vCPUs with @boot for the first; paused. */
bool vcpus_init(const CpuTopology *topo, Error **errp) MAIN_THREAD;
void vcpus_set_boot_state(const VcpuBootState *boot) MAIN_THREAD;
const CpuTopology *vcpus_topology(void) MAIN_THREAD;

/* Starts, or stops and waits until none is in the guest. Called by runstate.
 * vcpus_pause is never called from a vCPU thread (requests are posted). */
void vcpus_resume(void) MAIN_THREAD;
void vcpus_pause(void) MAIN_THREAD;
/* Puts all vCPUs into their start state; they are paused. */
void vcpus_reset(void) MAIN_THREAD;
/* Stops and joins all vCPU threads at exit. */
void vcpus_destroy(void) MAIN_THREAD;

/* Host thread id of vCPU @index, 0 when there is no thread. */
int vcpu_thread_id(unsigned index) MAIN_THREAD;

/* Adds vCPU @index's registers to @out, lines of text. A running one leaves
 * the guest for it, just as long as it takes. False: there is no such vCPU.
 * Lets go of the machine lock meanwhile; never called from a vCPU thread. */
bool vcpu_describe(unsigned index, GString *out, Error **errp) MAIN_THREAD;

#endif
