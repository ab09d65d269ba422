/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sockets, dies, cores, threads and caches in CPUID. */
#include "util/osdep.h"
#include "accel/kvm/cpuid-internal.h"

/* APIC id sub-fields of a vCPU: shifts, and how many vCPUs are below. */
typedef struct CpuPlace {
    uint32_t apic_id;
    unsigned core_shift, die_shift, package_shift;
    unsigned per_core, per_die, per_package;
    unsigned dies, node;
    bool topoext;
} CpuPlace;

static CpuPlace place_make(const CpuTopology *t, unsigned index)
{
    CpuPlace p = { .apic_id = vcpu_apic_id(t, index) };

    p.core_shift = vcpu_field_bits(t->threads);
    p.die_shift = p.core_shift + vcpu_field_bits(t->cores);
    p.package_shift = p.die_shift + vcpu_field_bits(t->dies);
    p.per_core = t->threads;
    p.per_die = t->threads * t->cores;
    p.per_package = p.per_die * t->dies;
    p.dies = t->dies;
    p.node = index / p.per_die;
    return p;
}

static void build_leaf1(CpuidTable *out, const CpuPlace *p)
{
    struct kvm_cpuid_entry2 *e = cpuid_get(out, 1, 0);
    uint32_t ids = MIN(1u << p->package_shift, 255);

    e->ebx = (e->ebx & 0xffff) | ids << 16 | p->apic_id << 24;
    e->edx &= ~BIT(28);
    e->edx |= ids > 1 ? BIT(28) : 0; /* ht: the count in EBX is valid */
}

/* Leaves 0xb and, with dies, 0x1f. */
static void build_extended_topology(CpuidTable *out, const CpuPlace *p)
{
    enum { LEVEL_SMT = 1, LEVEL_CORE = 2, LEVEL_DIE = 5 };
    uint32_t id = p->apic_id;
    struct kvm_cpuid_entry2 *leaf0;

    cpuid_set(out, 0xb, 0, p->core_shift, p->per_core, LEVEL_SMT << 8, id);
    cpuid_set(out, 0xb, 1, p->package_shift, p->per_package,
              LEVEL_CORE << 8 | 1, id);
    cpuid_set(out, 0xb, 2, 0, 0, 2, id);
    leaf0 = cpuid_get(out, 0, 0);
    leaf0->eax = MAX(leaf0->eax, p->dies > 1 ? 0x1f : 0xb);
    if (p->dies > 1) {
        cpuid_set(out, 0x1f, 0, p->core_shift, p->per_core, LEVEL_SMT << 8, id);
        cpuid_set(out, 0x1f, 1, p->die_shift, p->per_die, LEVEL_CORE << 8 | 1,
                  id);
        cpuid_set(out, 0x1f, 2, p->package_shift, p->per_package,
                  LEVEL_DIE << 8 | 2, id);
        cpuid_set(out, 0x1f, 3, 0, 0, 3, id);
    }
}

/* The caches of a fixed model, and of a host that tells nothing. */
typedef struct Cache {
    uint8_t type; /* 1 data, 2 instruction, 3 both; 0 none */
    uint8_t level;
    uint16_t ways;
    uint32_t sets; /* of 64 bytes */
} Cache;

static const Cache model_caches[] = {
    { 1, 1, 8, 64 }, { 2, 1, 8, 64 }, { 3, 2, 8, 1024 }, { 3, 3, 16, 16384 }
};

static void build_model_caches(CpuidTable *out, uint32_t leaf)
{
    unsigned i;

    for (i = 0; i < ARRAY_SIZE(model_caches); i++) {
        const Cache *c = &model_caches[i];

        cpuid_set(out, leaf, i, c->type | c->level << 5 | BIT(8),
                  (c->ways - 1) << 22 | 63, c->sets - 1, 0);
    }
    cpuid_set(out, leaf, i, 0, 0, 0, 0);
}

/* 0x80000005 and 0x80000006: sizes in KiB; L2 8-way is code 6, L3 16-way 8. */
static void build_model_caches_amd(CpuidTable *out)
{
    uint32_t l1 = 32u << 24 | 8 << 16 | 1 << 8 | 64;
    uint32_t l2 = 512u << 16 | 6 << 12 | 1 << 8 | 64;
    uint32_t l3 = (16384u / 512) << 18 | 8 << 12 | 1 << 8 | 64;

    cpuid_set(out, 0x80000005, 0, 0, 0, l1, l1);
    cpuid_set(out, 0x80000006, 0, 0, 0, l2, l3);
}

/* Who shares each cache of @leaf: first and second level a core, others a
 * die. Intel's leaf counts APIC ids, AMD's counts logical processors. */
static void cache_sharing(CpuidTable *out, uint32_t leaf, const CpuPlace *p)
{
    bool intel = leaf == 4;
    uint32_t core = intel ? 1u << p->core_shift : p->per_core;
    uint32_t die = intel ? 1u << p->die_shift : p->per_die;
    uint32_t cores = MIN(1u << (p->package_shift - p->core_shift), 64);

    for (uint32_t i = 0; i < out->nent; i++) {
        struct kvm_cpuid_entry2 *e = &out->entry[i];

        if (e->function == leaf && (e->eax & 0x1f)) {
            uint32_t share = (e->eax >> 5 & 7) <= 2 ? core : die;

            e->eax = (e->eax & 0x3fff) | ((share - 1) & 0xfff) << 14;
            e->eax |= intel ? (cores - 1) << 26 : 0;
        }
    }
}

static void build_caches(CpuidTable *out, const CpuModel *cpu, bool amd,
                         const CpuPlace *p)
{
    uint32_t leaf = amd ? 0x8000001d : 4;
    const struct kvm_cpuid_entry2 *e = cpuid_find(out, leaf, 0);

    if (amd && !p->topoext) {
        leaf = 0;
    } else if (!cpu->passthrough || !e || !(e->eax & 0x1f)) {
        build_model_caches(out, leaf);
    }
    if (amd && !cpu->passthrough) {
        build_model_caches_amd(out);
    }
    if (leaf) {
        cache_sharing(out, leaf, p);
    }
}

/* AMD APM 3, E.4.7 (0x80000008) and E.4.15 (0x8000001e) */
static void build_amd_topology(CpuidTable *out, const CpuPlace *p)
{
    struct kvm_cpuid_entry2 *e = cpuid_get(out, 0x80000008, 0);
    struct kvm_cpuid_entry2 *max;
    uint32_t core_mask = BIT(p->package_shift - p->core_shift) - 1;
    bool many = p->per_package > 1;

    e->ecx = many ? p->package_shift << 12 | (p->per_package - 1) : 0;
    e = cpuid_get(out, 0x80000001, 0);
    e->ecx = (e->ecx & ~BIT(1)) | (many ? BIT(1) : 0); /* cmp-legacy */
    if (p->topoext) {
        cpuid_set(out, 0x8000001e, 0, p->apic_id,
                  (p->per_core - 1) << 8 |
                      (p->apic_id >> p->core_shift & core_mask),
                  (p->dies - 1) << 8 | (p->node & 0xff), 0);
        max = cpuid_get(out, 0x80000000, 0);
        max->eax = MAX(max->eax, 0x8000001e);
    }
}

void cpuid_build_topology(CpuidTable *out, const CpuModel *cpu,
                          const CpuTopology *topo, unsigned index)
{
    CpuPlace place = place_make(topo, index);
    bool amd = cpuid_is_amd(out);

    place.topoext = amd && cpu->features.word[FEAT_8000_0001_ECX] & BIT(22);
    build_leaf1(out, &place);
    build_extended_topology(out, &place);
    build_caches(out, cpu, amd, &place);
    if (amd) {
        build_amd_topology(out, &place);
    }
}
