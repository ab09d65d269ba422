/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPUs as objects: a device each, below /machine/unattached, whose type is
 * MODEL-x86_64-cpu. They tell of a vCPU; the accelerator runs it.
 *
 * Threads: under the machine lock.
 */
#ifndef ACCEL_CPU_H
#define ACCEL_CPU_H

#include "accel/vcpu.h"
#include "hw/core/qdev.h"

#define TYPE_CPU       "cpu"
#define TYPE_X86_CPU   "x86_64-cpu"
#define X86_CPU_SUFFIX "-" TYPE_X86_CPU

typedef struct X86CPU {
    DeviceState dev;

    /* fixed after realize; -1 and all ones before */
    uint32_t apic_id;
    int32_t socket_id, die_id, core_id, thread_id;
    bool migratable; /* of host and max */
} X86CPU;

#define X86_CPU(o) OBJECT_CAST(X86CPU, o)

/* Makes the objects of topo->cpus vCPUs of the chosen model. */
bool cpu_objects_create(const CpuTopology *topo, Error **errp) MAIN_THREAD;
void cpu_objects_destroy(void) MAIN_THREAD;
/* That of vCPU @index, NULL when there is none. */
X86CPU *cpu_object(unsigned index) MAIN_THREAD;

/* The type of the vCPUs of the chosen model. Free with g_free(). */
char *cpu_type_name(void) MAIN_THREAD G_GNUC_WARN_UNUSED_RESULT;

#endif
