/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What all accelerators share of the vCPUs: topology and start state. */
#include "util/osdep.h"
#include "accel/accel.h"
#include "accel/cpu.h"
#include "accel/vcpu.h"
#include "system/machine-lock.h"

/* main thread */
static struct {
    CpuTopology topo;
    VcpuBootState boot;
    bool reset_due; /* the start state is not in the vCPUs yet */
} vcpus;

unsigned vcpu_field_bits(unsigned n)
{
    unsigned bits = 0;

    while (bits < 31 && (1u << bits) < n) {
        bits++;
    }
    return bits;
}

VcpuPlace vcpu_place(const CpuTopology *topo, unsigned index)
{
    return (VcpuPlace){
        .thread = index % topo->threads,
        .core = index / topo->threads % topo->cores,
        .die = index / topo->threads / topo->cores % topo->dies,
        .socket = index / topo->threads / topo->cores / topo->dies,
    };
}

uint32_t vcpu_apic_id(const CpuTopology *topo, unsigned index)
{
    VcpuPlace at = vcpu_place(topo, index);
    unsigned shift = vcpu_field_bits(topo->threads);
    uint32_t id = at.thread;

    id |= at.core << shift;
    shift += vcpu_field_bits(topo->cores);
    id |= at.die << shift;
    shift += vcpu_field_bits(topo->dies);
    return id | at.socket << shift;
}

static bool topology_check(const CpuTopology *t, Error **errp)
{
    uint64_t product = (uint64_t)t->sockets * t->dies * t->cores * t->threads;

    if (!t->cpus || t->cpus > t->maxcpus || product != t->maxcpus ||
        t->maxcpus > MAX_VCPUS) {
        error_setg(errp,
                   "-smp %u: sockets (%u) * dies (%u) * cores (%u) * threads "
                   "(%u) must be maxcpus (%u), from the CPUs given to %u",
                   t->cpus, t->sockets, t->dies, t->cores, t->threads,
                   t->maxcpus, MAX_VCPUS);
        return false;
    }
    return true;
}

bool vcpus_init(const CpuTopology *topo, Error **errp)
{
    const AccelOps *accel = accel_current();

    machine_lock_assert();
    if (!topology_check(topo, errp)) {
        return false;
    }
    vcpus.topo = *topo;
    vcpus.reset_due = true;
    return (!accel || !accel->vcpus_create ||
            accel->vcpus_create(topo->cpus, errp)) &&
           cpu_objects_create(topo, errp);
}

void vcpus_set_boot_state(const VcpuBootState *boot)
{
    machine_lock_assert();
    vcpus.boot = *boot;
    vcpus.reset_due = true;
}

const CpuTopology *vcpus_topology(void)
{
    return &vcpus.topo;
}

void vcpus_reset(void)
{
    const AccelOps *accel = accel_current();

    machine_lock_assert();
    vcpus.reset_due = false;
    if (accel && accel->vcpus_reset) {
        accel->vcpus_reset(&vcpus.boot);
    }
}

void vcpus_resume(void)
{
    const AccelOps *accel = accel_current();

    machine_lock_assert();
    if (vcpus.reset_due) {
        vcpus_reset();
    }
    if (accel && accel->vcpus_resume) {
        accel->vcpus_resume();
    }
}

void vcpus_pause(void)
{
    const AccelOps *accel = accel_current();

    machine_lock_assert();
    if (accel && accel->vcpus_pause) {
        accel->vcpus_pause();
    }
}

void vcpus_destroy(void)
{
    const AccelOps *accel = accel_current();

    machine_lock_assert();
    if (accel && accel->vcpus_destroy) {
        accel->vcpus_destroy();
    }
    cpu_objects_destroy();
}

int vcpu_thread_id(unsigned index)
{
    const AccelOps *accel = accel_current();

    return accel && accel->vcpu_thread_id ? accel->vcpu_thread_id(index) : 0;
}

bool vcpu_describe(unsigned index, GString *out, Error **errp)
{
    const AccelOps *accel = accel_current();

    if (!vcpu_thread_id(index) || !accel->vcpu_describe) {
        error_setg(errp, "nothing runs CPU %u: it has no registers", index);
        return false;
    }
    return accel->vcpu_describe(index, out, errp);
}
