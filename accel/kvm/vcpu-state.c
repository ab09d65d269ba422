/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The state of a vCPU after power-on, and back to it.
 *
 * KVM makes a vCPU in the state after power-on or INIT (Intel SDM 3A, 9.1), so
 * that state is read once and put back at each reset; model-specific registers
 * have a table, because not all that KVM lists can be read or written.
 */
#include "util/osdep.h"
#include "accel/kvm/kvm-internal.h"

#define CR0_PE   (1ULL << 0)
#define CR0_ET   (1ULL << 4)
#define CR0_PG   (1ULL << 31)
#define CR4_PAE  (1ULL << 5)
#define EFER_LME (1ULL << 8)
#define EFER_LMA (1ULL << 10)

#define RFLAGS_ALWAYS_1 (1ULL << 1)

#define MSR_MTRR_DEF_TYPE       0x2ff
#define MTRR_ENABLED_WRITE_BACK ((1ULL << 11) | 6)

struct VcpuSnapshot {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_fpu fpu;   /* when there is no KVM_CAP_XSAVE */
    uint32_t xsave[1024]; /* when there is: struct kvm_xsave */
    struct kvm_xcrs xcrs;
    struct kvm_debugregs debugregs;
    struct kvm_lapic_state lapic;
    struct kvm_mp_state mp_state;
    struct kvm_vcpu_events events;
    struct kvm_nested_state *nested; /* NULL: none */
};

/* One ioctl pair that reads and writes a part of the state. */
typedef struct StatePart {
    unsigned long get, set;
    size_t offset;
    const char *name;
    bool wanted;
} StatePart;

enum { STATE_PARTS = 9 };

/* In the order in which they are written: the APIC base of sregs decides how
 * KVM reads the local APIC's registers, events come after what they touch. */
static void state_parts(StatePart part[STATE_PARTS])
{
    const KvmState *s = &kvm_state;
    const StatePart parts[STATE_PARTS] = {
#define PART(field, what, cond)                                             \
    { KVM_GET_##what, KVM_SET_##what, offsetof(VcpuSnapshot, field), #what, \
      cond }
        PART(regs, REGS, true),
        PART(fpu, FPU, !s->xsave),
        PART(xcrs, XCRS, s->xcrs),
        PART(xsave, XSAVE, s->xsave),
        PART(sregs, SREGS, true),
        PART(lapic, LAPIC, true),
        PART(mp_state, MP_STATE, true),
        PART(debugregs, DEBUGREGS, s->debugregs),
        PART(events, VCPU_EVENTS, true),
#undef PART
    };

    memcpy(part, parts, sizeof(parts));
}

static struct kvm_nested_state *nested_state_get(int vcpu_fd)
{
    size_t size = kvm_state.nested_state_size;
    g_autofree struct kvm_nested_state *n = NULL;

    if (size < sizeof(*n)) {
        return NULL;
    }
    n = g_malloc0(size);
    n->size = size;
    if (kvm_ioctl(vcpu_fd, KVM_GET_NESTED_STATE, n) < 0) {
        return NULL;
    }
    return g_realloc(g_steal_pointer(&n), MAX(n->size, sizeof(*n)));
}

VcpuSnapshot *vcpu_snapshot_take(int vcpu_fd, Error **errp)
{
    VcpuSnapshot *snap = g_new0(VcpuSnapshot, 1);
    StatePart part[STATE_PARTS];

    state_parts(part);
    for (unsigned i = 0; i < STATE_PARTS; i++) {
        int r = part[i].wanted ? kvm_ioctl(vcpu_fd, part[i].get,
                                           (char *)snap + part[i].offset)
                               : 0;
        if (r < 0) {
            error_setg_errno(errp, -r, "-accel kvm: KVM_GET_%s", part[i].name);
            vcpu_snapshot_free(snap);
            return NULL;
        }
    }
    snap->nested = nested_state_get(vcpu_fd);
    return snap;
}

void vcpu_snapshot_free(VcpuSnapshot *snapshot)
{
    if (snapshot) {
        g_free(snapshot->nested);
        g_free(snapshot);
    }
}

/* ---- model-specific registers ---- */

typedef struct MsrReset {
    uint32_t index;
    uint32_t count; /* consecutive registers with this value */
    uint64_t value;
    bool unlisted; /* KVM has it but does not list it */
} MsrReset;

/* Intel SDM 4 and KVM's own (Documentation/virt/kvm/x86/msr.rst). The time
 * stamp counter runs on through a reset. */
static const MsrReset msr_resets[] = {
    { 0x174, 3, 0 },                        /* SYSENTER_CS, _ESP, _EIP */
    { 0x277, 1, 0x0007040600070406, true }, /* PAT */
    { 0xc0000081, 4, 0 },                   /* STAR, LSTAR, CSTAR, SFMASK */
    { 0xc0000102, 2, 0 },                   /* KERNEL_GS_BASE, TSC_AUX */
    { 0x3b, 1, 0 },                         /* TSC_ADJUST */
    { 0x6e0, 1, 0 },                        /* TSC_DEADLINE */
    { 0x1a0, 1, 1 },                        /* MISC_ENABLE: fast strings */
    { 0x3a, 1, 0 },                         /* FEATURE_CONTROL */
    { 0x48, 1, 0 },                         /* SPEC_CTRL */
    { 0x17a, 1, 0 },                        /* MCG_STATUS */
    { 0xd90, 1, 0 },                        /* BNDCFGS */
    { 0xda0, 1, 0 },                        /* XSS */
    { 0x6a0, 1, 0 },                        /* U_CET */
    { 0x6a2, 1, 0 },                        /* S_CET */
    { 0x1c4, 2, 0 },                        /* XFD, XFD_ERR */
    { 0x140, 1, 0 },                        /* MISC_FEATURES_ENABLES */
    { 0xc0010117, 1, 0 },                   /* VM_HSAVE_PA */
    { 0x4b564d00, 2, 0 },                   /* KVM wall clock, system time */
    { 0x11, 2, 0 },                         /* the same, old numbers */
    { 0x4b564d02, 3, 0 },   /* KVM async page fault, steal time, PV EOI */
    { 0x4b564d05, 1, 1 },   /* KVM poll control */
    { 0x4b564d06, 2, 0 },   /* KVM async page fault interrupt, acknowledge */
    { 0x38f, 1, 0 },        /* PERF_GLOBAL_CTRL */
    { 0x38d, 1, 0 },        /* FIXED_CTR_CTRL */
    { 0x186, 8, 0 },        /* PERFEVTSEL */
    { 0x200, 16, 0, true }, /* MTRR PHYSBASE and PHYSMASK */
    { 0x250, 1, 0, true },  /* MTRR FIX64K */
    { 0x258, 2, 0, true },  /* MTRR FIX16K */
    { 0x268, 8, 0, true },  /* MTRR FIX4K */
    { MSR_MTRR_DEF_TYPE, 1, 0, true },
};

static bool msr_listed(uint32_t index)
{
    const struct kvm_msr_list *list = kvm_state.msr_list;

    for (uint32_t i = 0; i < list->nmsrs; i++) {
        if (list->indices[i] == index) {
            return true;
        }
    }
    return false;
}

/* Those that this KVM does not take are none the guest could have changed. */
static void msrs_write(int vcpu_fd, const struct kvm_msr_entry *entry,
                       unsigned n)
{
    struct {
        uint32_t n, padding; /* struct kvm_msrs */
        struct kvm_msr_entry entry[64];
    } msrs;

    for (unsigned done = 0; done < n;) {
        unsigned batch = MIN(n - done, ARRAY_SIZE(msrs.entry));
        int r;

        msrs.n = batch;
        msrs.padding = 0;
        memcpy(msrs.entry, entry + done, batch * sizeof(*entry));
        r = kvm_ioctl(vcpu_fd, KVM_SET_MSRS, &msrs);
        if (r < 0) {
            return;
        }
        done += (unsigned)r < batch ? r + 1u : batch;
    }
}

static void msrs_reset(int vcpu_fd)
{
    struct kvm_msr_entry entry[128];
    unsigned n = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(msr_resets); i++) {
        const MsrReset *m = &msr_resets[i];

        for (unsigned k = 0; k < m->count && n < ARRAY_SIZE(entry); k++) {
            if (m->unlisted || msr_listed(m->index + k)) {
                entry[n++] = (struct kvm_msr_entry){ .index = m->index + k,
                                                     .data = m->value };
            }
        }
    }
    msrs_write(vcpu_fd, entry, n);
}

/* ---- the start state of a boot protocol ---- */

static struct kvm_segment segment_flat(uint16_t sel, uint8_t type,
                                       bool long_mode)
{
    return (struct kvm_segment){
        .limit = 0xffffffff,
        .selector = sel,
        .type = type,
        .present = 1,
        .db = !long_mode,
        .s = 1,
        .l = long_mode,
        .g = 1,
    };
}

static void boot_sregs(struct kvm_sregs *s, const VcpuBootState *boot)
{
    enum { DATA_RW_ACCESSED = 3, CODE_RX_ACCESSED = 11, TSS_BUSY = 11 };
    struct kvm_segment data =
        segment_flat(boot->ds_sel, DATA_RW_ACCESSED, false);

    s->cs = segment_flat(boot->cs_sel, CODE_RX_ACCESSED, boot->long_mode);
    s->ds = s->es = s->fs = s->gs = s->ss = data;
    s->tr = (struct kvm_segment){
        .limit = 0x67, .selector = boot->tr_sel, .type = TSS_BUSY, .present = 1
    };
    s->gdt.base = boot->gdt_base;
    s->gdt.limit = boot->gdt_limit;
    s->idt.base = 0;
    s->idt.limit = 0;
    s->cr0 = CR0_PE | CR0_ET;
    if (boot->long_mode) {
        s->cr0 |= CR0_PG;
        s->cr3 = boot->cr3;
        s->cr4 = CR4_PAE;
        s->efer = EFER_LME | EFER_LMA;
    }
}

/*
 * Linux boot protocol 2.12 (64-bit entry) and the PVH ABI (32-bit, paging
 * off). Both expect what a firmware has done by then: memory is cacheable by
 * default (Linux gives up PAT where MTRRs are disabled).
 */
static bool boot_state_set(int vcpu_fd, const VcpuSnapshot *snap,
                           const VcpuBootState *boot, Error **errp)
{
    const struct kvm_msr_entry mtrr = { .index = MSR_MTRR_DEF_TYPE,
                                        .data = MTRR_ENABLED_WRITE_BACK };
    struct kvm_sregs sregs = snap->sregs;
    struct kvm_regs regs = { .rip = boot->rip,
                             .rsp = boot->rsp,
                             .rsi = boot->rsi,
                             .rbx = boot->rbx,
                             .rflags = RFLAGS_ALWAYS_1 };
    int r;

    boot_sregs(&sregs, boot);
    r = kvm_ioctl(vcpu_fd, KVM_SET_SREGS, &sregs);
    if (r >= 0) {
        r = kvm_ioctl(vcpu_fd, KVM_SET_REGS, &regs);
    }
    if (r < 0) {
        error_setg_errno(errp, -r, "KVM refuses the kernel's start state");
        return false;
    }
    msrs_write(vcpu_fd, &mtrr, 1);
    return true;
}

bool vcpu_snapshot_restore(int vcpu_fd, const VcpuSnapshot *snapshot,
                           const VcpuBootState *boot, Error **errp)
{
    StatePart part[STATE_PARTS];

    if (snapshot->nested) {
        /* Leaves a nested guest. If refused there was none to leave. */
        kvm_ioctl(vcpu_fd, KVM_SET_NESTED_STATE, snapshot->nested);
    }
    state_parts(part);
    for (unsigned i = 0; i < STATE_PARTS; i++) {
        int r = part[i].wanted ? kvm_ioctl(vcpu_fd, part[i].set,
                                           (char *)snapshot + part[i].offset)
                               : 0;
        if (r < 0) {
            error_setg_errno(errp, -r, "vCPU reset: KVM_SET_%s", part[i].name);
            return false;
        }
    }
    msrs_reset(vcpu_fd);
    return !boot || !boot->valid ||
           boot_state_set(vcpu_fd, snapshot, boot, errp);
}
