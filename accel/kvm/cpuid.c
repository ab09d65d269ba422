/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID of a guest's vCPU, built from what KVM supports. */
#include "util/osdep.h"
#include "accel/kvm/cpuid-internal.h"
#include "accel/kvm/cpuid.h"
#include "accel/kvm/kvm-internal.h"
#include "system/machine-lock.h"

#define KVM_LEAF_SIGNATURE 0x40000000u
#define KVM_LEAF_FEATURES  0x40000001u
#define KVM_LEAF_LAST      0x400000ffu

/* ---- tables ---- */

static bool leaf_has_index(uint32_t function)
{
    switch (function) {
    case 0x4:
    case 0x7:
    case 0xb:
    case 0xd:
    case 0xf:
    case 0x10:
    case 0x12:
    case 0x14:
    case 0x17:
    case 0x18:
    case 0x1d:
    case 0x1f:
    case 0x24:
    case 0x8000001d:
    case 0x80000026:
        return true;
    default:
        return false;
    }
}

const struct kvm_cpuid_entry2 *cpuid_find(const CpuidTable *table,
                                          uint32_t function, uint32_t index)
{
    for (uint32_t i = 0; i < table->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &table->entry[i];

        if (e->function == function &&
            (e->index == index ||
             !(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX))) {
            return e;
        }
    }
    return NULL;
}

/* A full table (it cannot be: KVM lists less than half of it) gives the last
 * entry again. */
struct kvm_cpuid_entry2 *cpuid_get(CpuidTable *t, uint32_t function,
                                   uint32_t index)
{
    struct kvm_cpuid_entry2 *e =
        (struct kvm_cpuid_entry2 *)cpuid_find(t, function, index);

    if (!e) {
        if (t->nent < CPUID_MAX_ENTRIES) {
            t->nent++;
        }
        e = &t->entry[t->nent - 1];
        *e = (struct kvm_cpuid_entry2){
            .function = function,
            .index = index,
            .flags =
                leaf_has_index(function) ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        };
    }
    return e;
}

void cpuid_set(CpuidTable *t, uint32_t function, uint32_t index, uint32_t eax,
               uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    struct kvm_cpuid_entry2 *e = cpuid_get(t, function, index);

    e->eax = eax;
    e->ebx = ebx;
    e->ecx = ecx;
    e->edx = edx;
}

/* Copies @host's entries of @function, or of all when it is not given. */
static void cpuid_copy_leaf(CpuidTable *out, const CpuidTable *host,
                            uint32_t function)
{
    for (uint32_t i = 0; i < host->nent; i++) {
        const struct kvm_cpuid_entry2 *e = &host->entry[i];

        if (e->function == function) {
            *cpuid_get(out, function, e->index) = *e;
        }
    }
}

static uint32_t *entry_reg(struct kvm_cpuid_entry2 *e, CpuidReg reg)
{
    switch (reg) {
    case REG_EAX:
        return &e->eax;
    case REG_EBX:
        return &e->ebx;
    case REG_ECX:
        return &e->ecx;
    default:
        return &e->edx;
    }
}

static bool vendor_is_amd(const struct kvm_cpuid_entry2 *leaf0)
{
    return leaf0 && (leaf0->ebx == 0x68747541 || /* "Auth"enticAMD */
                     leaf0->ebx == 0x6f677948);  /* "Hygo"nGenuine */
}

bool cpuid_is_amd(const CpuidTable *table)
{
    return vendor_is_amd(cpuid_find(table, 0, 0));
}

void cpu_features_read(CpuFeatures *out, const CpuidTable *table)
{
    for (unsigned w = 0; w < FEATURE_WORDS; w++) {
        const FeatureWordInfo *info = &feature_words[w];
        const struct kvm_cpuid_entry2 *e =
            cpuid_find(table, info->function, info->index);

        out->word[w] =
            e ? *entry_reg((struct kvm_cpuid_entry2 *)e, info->reg) : 0;
    }
    /* EDX of 0x80000001 repeats leaf 1 on AMD; features_apply() does that. */
    out->word[FEAT_8000_0001_EDX] &= ~0x0183f3ffu;
    /* osxsave and ospke show what the guest did with CR4; KVM sets them. */
    out->word[FEAT_1_ECX] &= ~BIT(27);
    out->word[FEAT_7_0_ECX] &= ~BIT(4);
}

void cpuid_host_fixup(CpuidTable *host, bool tsc_deadline)
{
    struct kvm_cpuid_entry2 *leaf1 = cpuid_get(host, 1, 0);

    leaf1->ecx |= BIT(31) | BIT(21); /* hypervisor, x2apic */
    leaf1->ecx |= tsc_deadline ? BIT(24) : 0;
    cpuid_get(host, 6, 0)->eax |= BIT(2); /* arat */
    if (cpuid_is_amd(host)) {
        /* topoext: a description, which needs nothing of the host */
        cpuid_get(host, 0x80000001, 0)->ecx |= BIT(22);
    }
}

/* ---- identity and features ---- */

static void text_to_regs(const char *text, uint32_t *regs, unsigned n)
{
    memset(regs, 0, n * sizeof(*regs));
    memcpy(regs, text, MIN(strlen(text), n * sizeof(*regs)));
}

static void build_passthrough(CpuidTable *out, const CpuidTable *host,
                              const CpuModel *cpu)
{
    for (uint32_t i = 0; i < host->nent; i++) {
        uint32_t f = host->entry[i].function;
        bool hypervisor = f >= KVM_LEAF_SIGNATURE && f <= KVM_LEAF_LAST;
        bool topology = f == 0xb || f == 0x1f || f == 0x80000026;

        if (!hypervisor && !topology && (f != 0xa || cpu->pmu)) {
            *cpuid_get(out, f, host->entry[i].index) = host->entry[i];
        }
    }
}

static void build_fixed(CpuidTable *out, const CpuidTable *host,
                        const CpuModel *cpu)
{
    const struct kvm_cpuid_entry2 *leaf0 = cpuid_find(host, 0, 0);
    bool amd = cpuid_is_amd(host);
    uint32_t brand[12];

    if (leaf0) {
        cpuid_set(out, 0, 0, cpu->level, leaf0->ebx, leaf0->ecx, leaf0->edx);
        cpuid_set(out, 0x80000000, 0, cpu->xlevel, amd ? leaf0->ebx : 0,
                  amd ? leaf0->ecx : 0, amd ? leaf0->edx : 0);
    }
    cpuid_set(out, 1, 0, cpu->signature, 8 << 8, 0, 0); /* 64-byte clflush */
    cpuid_set(out, 2, 0, amd ? 0 : 0xff01, 0, 0, 0);    /* caches: leaf 4 */
    text_to_regs(cpu->brand, brand, ARRAY_SIZE(brand));
    for (unsigned i = 0; i < 3; i++) {
        cpuid_set(out, 0x80000002 + i, 0, brand[4 * i], brand[4 * i + 1],
                  brand[4 * i + 2], brand[4 * i + 3]);
    }
    if (cpu->features.word[FEAT_1_ECX] & BIT(26)) {
        cpuid_copy_leaf(out, host, 0xd);
    }
    if (cpu->features.word[FEAT_8000_0001_ECX] & BIT(2)) {
        cpuid_copy_leaf(out, host, 0x8000000a);
    }
}

static void vendor_apply(CpuidTable *out, const char *vendor)
{
    uint32_t r[3];
    bool amd;

    if (!*vendor) {
        return;
    }
    text_to_regs(vendor, r, ARRAY_SIZE(r)); /* EBX, EDX, ECX */
    cpuid_set(out, 0, 0, cpuid_get(out, 0, 0)->eax, r[0], r[2], r[1]);
    amd = cpuid_is_amd(out);
    cpuid_set(out, 0x80000000, 0, cpuid_get(out, 0x80000000, 0)->eax,
              amd ? r[0] : 0, amd ? r[2] : 0, amd ? r[1] : 0);
}

static void features_apply(CpuidTable *out, const CpuModel *cpu, bool amd)
{
    const uint32_t *word = cpu->features.word;

    for (unsigned w = 0; w < FEATURE_WORDS; w++) {
        const FeatureWordInfo *info = &feature_words[w];
        struct kvm_cpuid_entry2 *e;

        if (!word[w] && !cpuid_find(out, info->function, info->index)) {
            continue;
        }
        if (w == FEAT_KVM) {
            continue; /* build_kvm() */
        }
        e = cpuid_get(out, info->function, info->index);
        *entry_reg(e, info->reg) = word[w];
    }
    if (amd) {
        cpuid_get(out, 0x80000001, 0)->edx |= word[FEAT_1_EDX] & 0x0183f3ff;
    }
    cpuid_get(out, 7, 0)->eax =
        MAX(cpuid_get(out, 7, 0)->eax, word[FEAT_7_1_EAX] ? 1 : 0);
}

/* Documentation/virt/kvm/x86/cpuid.rst */
static void build_kvm(CpuidTable *out, const CpuModel *cpu)
{
    uint32_t sig[3];

    if (!cpu->kvm_leaves) {
        return;
    }
    text_to_regs("KVMKVMKVM", sig, ARRAY_SIZE(sig));
    cpuid_set(out, KVM_LEAF_SIGNATURE, 0, KVM_LEAF_FEATURES, sig[0], sig[1],
              sig[2]);
    cpuid_set(out, KVM_LEAF_FEATURES, 0, cpu->features.word[FEAT_KVM], 0, 0, 0);
}

/* ---- XSAVE (Intel SDM 1, 13.2) ---- */

static uint64_t xsave_components(const CpuFeatures *f)
{
    uint64_t mask = 3; /* x87, SSE */

    mask |= f->word[FEAT_1_ECX] & BIT(28) ? 1ULL << 2 : 0;    /* avx */
    mask |= f->word[FEAT_7_0_EBX] & BIT(14) ? 3ULL << 3 : 0;  /* mpx */
    mask |= f->word[FEAT_7_0_EBX] & BIT(16) ? 7ULL << 5 : 0;  /* avx512f */
    mask |= f->word[FEAT_7_0_ECX] & BIT(3) ? 1ULL << 9 : 0;   /* pku */
    mask |= f->word[FEAT_7_0_EDX] & BIT(24) ? 3ULL << 17 : 0; /* amx-tile */
    return mask;
}

static void cpuid_drop(CpuidTable *t, struct kvm_cpuid_entry2 *e)
{
    struct kvm_cpuid_entry2 *end = t->entry + t->nent;

    memmove(e, e + 1, (end - (e + 1)) * sizeof(*e));
    t->nent--;
}

/* Leaf 0xd lists only the state that the features left over have. */
static void build_xsave(CpuidTable *out, const CpuFeatures *f)
{
    bool xsave = f->word[FEAT_1_ECX] & BIT(26);
    uint64_t user = xsave ? xsave_components(f) : 0, all;
    struct kvm_cpuid_entry2 *e = cpuid_get(out, 0xd, 0);
    struct kvm_cpuid_entry2 *sub1 = cpuid_get(out, 0xd, 1);
    uint32_t size = 512 + 64; /* legacy area and header */

    user &= e->eax | (uint64_t)e->edx << 32;
    if (!xsave || !(f->word[FEAT_D_1_EAX] & BIT(3))) { /* xsaves */
        sub1->ecx = sub1->edx = 0;
    }
    sub1->eax = xsave ? sub1->eax : 0;
    all = user | sub1->ecx | (uint64_t)sub1->edx << 32;
    for (uint32_t i = 0; i < out->nent;) {
        struct kvm_cpuid_entry2 *c = &out->entry[i];

        if (c->function != 0xd || c->index < 2) {
            i++;
        } else if (c->index > 63 || !(all & 1ULL << c->index)) {
            cpuid_drop(out, c);
        } else {
            if (user & 1ULL << c->index) {
                size = MAX(size, c->ebx + c->eax);
            }
            i++;
        }
    }
    e = cpuid_get(out, 0xd, 0);
    e->eax = (uint32_t)user;
    e->edx = user >> 32;
    e->ecx = xsave ? size : 0;
    e->ebx = e->ecx; /* KVM follows XCR0 from here */
}

static void build_address_sizes(CpuidTable *out, const CpuidTable *host,
                                const CpuModel *cpu)
{
    const struct kvm_cpuid_entry2 *h = cpuid_find(host, 0x80000008, 0);
    struct kvm_cpuid_entry2 *e = cpuid_get(out, 0x80000008, 0);
    uint32_t linear = h && cpu->passthrough ? h->eax >> 8 & 0xff : 48;

    e->eax = cpu->phys_bits | linear << 8;
    e->ecx = 0;
}

void cpuid_build(CpuidTable *out, const CpuidTable *host, const CpuModel *cpu,
                 const CpuTopology *topo, unsigned index)
{
    bool amd;

    memset(out, 0, sizeof(*out));
    if (cpu->passthrough) {
        build_passthrough(out, host, cpu);
    } else {
        build_fixed(out, host, cpu);
    }
    vendor_apply(out, cpu->vendor);
    amd = cpuid_is_amd(out);
    features_apply(out, cpu, amd);
    build_address_sizes(out, host, cpu);
    build_xsave(out, &cpu->features);
    cpuid_build_topology(out, cpu, topo, index);
    build_kvm(out, cpu);
}

/* ---- KVM ---- */

/* main thread writes before vCPU threads start */
static struct {
    CpuidTable host;
    CpuModel model;
    CpuTopology topo;
} cpuid;

static bool read_host(CpuidTable *host, Error **errp)
{
    int r;

    memset(host, 0, sizeof(*host));
    host->nent = CPUID_MAX_ENTRIES;
    r = kvm_ioctl(kvm_state.fd, KVM_GET_SUPPORTED_CPUID, host);
    if (r < 0) {
        error_setg_errno(errp, -r, "-accel kvm: KVM_GET_SUPPORTED_CPUID");
        return false;
    }
    cpuid_host_fixup(host, kvm_check_extension(KVM_CAP_TSC_DEADLINE_TIMER));
    return true;
}

bool cpuid_init(const CpuTopology *topo, Error **errp)
{
    machine_lock_assert();
    cpuid.topo = *topo;
    return read_host(&cpuid.host, errp) &&
           cpu_model_resolve(&cpuid.model, &cpuid.host, errp);
}

bool cpuid_host_features(CpuFeatures *out)
{
    g_autofree CpuidTable *host = g_new0(CpuidTable, 1);

    if (!accel_is("kvm") || !read_host(host, NULL)) {
        return false;
    }
    cpu_features_read(out, host);
    return true;
}

bool cpuid_load(int vcpu_fd, unsigned index, Error **errp)
{
    g_autofree CpuidTable *table = g_new0(CpuidTable, 1);
    int r;

    cpuid_build(table, &cpuid.host, &cpuid.model, &cpuid.topo, index);
    r = kvm_ioctl(vcpu_fd, KVM_SET_CPUID2, table);
    if (r < 0) {
        error_setg_errno(errp, -r, "-cpu: KVM refuses the CPUID of vCPU %u",
                         index);
        return false;
    }
    return true;
}
