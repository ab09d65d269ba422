/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -smp and -cpu as the guest reads them from CPUID. */
#include "util/osdep.h"
#include "accel/kvm/cpuid.h"
#include "accel/vcpu.h"
#include "system/machine-lock.h"

#define INTEL "GenuntelineI" /* EBX, ECX, EDX of "GenuineIntel" */
#define AMD   "AuthcAMDenti"

static void host_add(CpuidTable *t, uint32_t function, uint32_t index,
                     uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    g_assert_cmpuint(t->nent, <, CPUID_MAX_ENTRIES);
    t->entry[t->nent++] = (struct kvm_cpuid_entry2){
        .function = function,
        .index = index,
        .flags = function == 4 || function == 7 || function == 0xd ||
                         function == 0x8000001d
                     ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX
                     : 0,
        .eax = eax,
        .ebx = ebx,
        .ecx = ecx,
        .edx = edx,
    };
}

/* A host as KVM describes it: AVX, no AVX-512, XSAVE of three components. */
static CpuidTable *host_new(const char *vendor)
{
    CpuidTable *t = g_new0(CpuidTable, 1);
    uint32_t v[3];

    memcpy(v, vendor, sizeof(v));
    host_add(t, 0, 0, 0x16, v[0], v[1], v[2]);
    host_add(t, 1, 0, 0x000306c3, 0x05100800, 0x5ed82203, 0x0f8bfbff);
    host_add(t, 4, 0, 0x1c004121, 0x01c0003f, 0x3f, 0);
    host_add(t, 4, 1, 0x1c03c163, 0x03c0003f, 0x1fff, 6);
    host_add(t, 7, 0, 0, 0x219c, 0, 0);
    host_add(t, 0xd, 0, 7, 0x340, 0x340, 0);
    host_add(t, 0xd, 1, 1, 0, 0, 0);
    host_add(t, 0xd, 2, 256, 576, 0, 0);
    host_add(t, 0xb, 0, 7, 7, 7, 7);
    host_add(t, 0x40000001, 0, 0x01007efb, 0, 0, 0);
    host_add(t, 0x80000000, 0, 0x80000008, 0, 0, 0);
    host_add(t, 0x80000001, 0, 0, 0, 0x121, 0x2c100800);
    host_add(t, 0x80000008, 0, 0x302e, 0, 0, 0);
    cpuid_host_fixup(t, true);
    return t;
}

/* ---- APIC ids (Intel SDM 3A, 9.9.1) ---- */

static void test_apic_id(void)
{
    static const struct {
        CpuTopology topo;
        unsigned index;
        uint32_t id;
    } cases[] = {
        { { 1, 1, 1, 1, 1, 1 }, 0, 0 },
        { { 4, 4, 4, 1, 1, 1 }, 3, 3 },
        { { 4, 4, 1, 1, 4, 1 }, 3, 3 },
        { { 6, 6, 2, 1, 3, 1 }, 2, 2 },
        { { 6, 6, 2, 1, 3, 1 }, 3, 4 },
        { { 12, 12, 2, 1, 3, 2 }, 5, 5 },
        { { 12, 12, 2, 1, 3, 2 }, 6, 8 },
        { { 12, 12, 2, 1, 3, 2 }, 11, 13 },
        { { 24, 24, 2, 2, 2, 3 }, 23, 0x1e },
        { { 64, 64, 1, 1, 1, 64 }, 63, 63 },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        g_assert_cmpuint(vcpu_apic_id(&cases[i].topo, cases[i].index), ==,
                         cases[i].id);
    }
}

/* ---- what a guest makes of it ---- */

typedef struct Place {
    unsigned socket, die, core, thread;
} Place;

/* Reads the topology as the Intel SDM tells software to (3A, 9.9.3). */
static Place guest_place(const CpuidTable *t)
{
    uint32_t leaf = cpuid_find(t, 0x1f, 0) ? 0x1f : 0xb;
    unsigned core = 0, die = 0, package = 0;
    uint32_t id = 0;

    for (unsigned i = 0; i < 4; i++) {
        const struct kvm_cpuid_entry2 *e = cpuid_find(t, leaf, i);
        unsigned level = e ? e->ecx >> 8 & 0xff : 0;

        if (!level) {
            break;
        }
        id = e->edx;
        package = e->eax;
        core = level == 1 ? e->eax : core;
        die = level <= 2 ? e->eax : die;
    }
    return (Place){ id >> package, (id & ((1u << package) - 1)) >> die,
                    (id & ((1u << die) - 1)) >> core, id & ((1u << core) - 1) };
}

static const CpuTopology topologies[] = {
    { 1, 1, 1, 1, 1, 1 },    { 4, 4, 4, 1, 1, 1 },   { 4, 4, 1, 1, 4, 1 },
    { 4, 4, 1, 1, 2, 2 },    { 8, 8, 2, 1, 2, 2 },   { 12, 12, 2, 1, 3, 2 },
    { 16, 16, 1, 2, 4, 2 },  { 24, 24, 2, 2, 3, 2 }, { 5, 64, 4, 1, 8, 2 },
    { 64, 64, 64, 1, 1, 1 }, { 64, 64, 2, 2, 8, 2 }, { 63, 63, 7, 1, 9, 1 },
};

static void build(CpuidTable *out, const CpuidTable *host, const char *cpu,
                  const CpuTopology *topo, unsigned index) MAIN_THREAD
{
    Error *err = NULL;
    CpuModel model;

    g_assert_true(cpu_model_parse(cpu, &err));
    g_assert_true(cpu_model_resolve(&model, host, &err));
    g_assert_no_error(err);
    cpuid_build(out, host, &model, topo, index);
}

static void check_topology(const CpuidTable *host, const char *cpu,
                           const CpuTopology *t) MAIN_THREAD
{
    g_autofree CpuidTable *c = g_new(CpuidTable, 1);

    for (unsigned i = 0; i < t->cpus; i++) {
        const struct kvm_cpuid_entry2 *leaf1;
        Place p;

        build(c, host, cpu, t, i);
        p = guest_place(c);
        g_assert_cmpuint(p.thread, ==, i % t->threads);
        g_assert_cmpuint(p.core, ==, i / t->threads % t->cores);
        g_assert_cmpuint(p.die, ==, i / t->threads / t->cores % t->dies);
        g_assert_cmpuint(p.socket, ==, i / t->threads / t->cores / t->dies);
        leaf1 = cpuid_find(c, 1, 0);
        g_assert_cmpuint(leaf1->ebx >> 24, ==, vcpu_apic_id(t, i));
        g_assert_cmpuint(!!(leaf1->edx & 1u << 28), ==,
                         t->dies * t->cores * t->threads > 1);
        g_assert_cmpuint(cpuid_find(c, 0xb, 1)->ebx, ==,
                         t->dies * t->cores * t->threads);
        g_assert_cmpuint(cpuid_find(c, 0, 0)->eax, >=, 0xb);
    }
}

static void test_extended_topology(void) MAIN_THREAD
{
    static const char *const vendors[] = { INTEL, AMD };
    static const char *const cpus[] = { "host", "qemu64" };

    for (unsigned v = 0; v < ARRAY_SIZE(vendors); v++) {
        g_autofree CpuidTable *host = host_new(vendors[v]);

        for (unsigned c = 0; c < ARRAY_SIZE(cpus); c++) {
            for (unsigned i = 0; i < ARRAY_SIZE(topologies); i++) {
                check_topology(host, cpus[c], &topologies[i]);
            }
        }
    }
}

/* AMD APM 3, E.4.7, E.4.15 */
static void test_amd_topology(void) MAIN_THREAD
{
    static const CpuTopology t = { 24, 24, 2, 2, 3, 2 };
    g_autofree CpuidTable *host = host_new(AMD);
    g_autofree CpuidTable *c = g_new(CpuidTable, 1);
    const struct kvm_cpuid_entry2 *e;

    build(c, host, "qemu64", &t, 21); /* socket 1, die 1, core 1, thread 1 */
    g_assert_cmphex(cpuid_find(c, 0x80000008, 0)->ecx, ==, 4 << 12 | 11);
    g_assert_cmphex(cpuid_find(c, 0x80000001, 0)->ecx & 2, ==, 2);
    g_assert_cmphex(cpuid_find(c, 0x80000000, 0)->eax, ==, 0x8000001e);
    e = cpuid_find(c, 0x8000001e, 0);
    g_assert_cmphex(e->eax, ==, 0x1b);
    g_assert_cmphex(e->ebx, ==, 1 << 8 | 5);
    g_assert_cmphex(e->ecx, ==, 1 << 8 | 3);
    /* L3 (0x8000001d, sub-leaf 3) is the die's, L2 the core's. */
    g_assert_cmphex(cpuid_find(c, 0x8000001d, 3)->eax >> 14, ==, 5);
    g_assert_cmphex(cpuid_find(c, 0x8000001d, 2)->eax >> 14, ==, 1);
    g_assert_cmphex(cpuid_find(c, 0x8000001d, 4)->eax, ==, 0);
    g_assert_null(cpuid_find(c, 4, 0));

    build(c, host, "qemu64,-topoext", &t, 21);
    g_assert_null(cpuid_find(c, 0x8000001e, 0));
    g_assert_cmphex(cpuid_find(c, 0x80000000, 0)->eax, ==, 0x8000000a);
}

static void test_intel_caches(void) MAIN_THREAD
{
    static const CpuTopology t = { 12, 12, 2, 1, 3, 2 };
    g_autofree CpuidTable *host = host_new(INTEL);
    g_autofree CpuidTable *c = g_new(CpuidTable, 1);

    build(c, host, "host", &t, 0);
    /* The host's caches, shared as the guest's topology says. */
    g_assert_cmphex(cpuid_find(c, 4, 0)->eax, ==, 0x121 | 1 << 14 | 3 << 26);
    g_assert_cmphex(cpuid_find(c, 4, 1)->eax, ==, 0x163 | 7 << 14 | 3 << 26);
    g_assert_cmphex(cpuid_find(c, 4, 1)->ecx, ==, 0x1fff);
    build(c, host, "qemu64", &t, 0);
    g_assert_cmphex(cpuid_find(c, 4, 3)->eax >> 14, ==, 3 << 12 | 7);
    g_assert_cmphex(cpuid_find(c, 4, 4)->eax, ==, 0);
    g_assert_null(cpuid_find(c, 0x8000001e, 0));
}

/* ---- models and features ---- */

static const CpuTopology one = { 1, 1, 1, 1, 1, 1 };

static void test_model_qemu64(void) MAIN_THREAD
{
    g_autofree CpuidTable *host = host_new(INTEL);
    g_autofree CpuidTable *c = g_new(CpuidTable, 1);
    char brand[48];

    build(c, host, "qemu64", &one, 0);
    g_assert_cmphex(cpuid_find(c, 1, 0)->eax, ==, 0x60fb1);
    for (unsigned i = 0; i < 3; i++) {
        memcpy(brand + 16 * i, &cpuid_find(c, 0x80000002 + i, 0)->eax, 16);
    }
    g_assert_cmpstr(brand, ==, "QEMU Virtual CPU version 2.5+");
    /* lm, nx, syscall; sse3, cx16, x2apic, tsc-deadline, hypervisor */
    g_assert_cmphex(cpuid_find(c, 0x80000001, 0)->edx, ==, 0x20100800);
    g_assert_cmphex(cpuid_find(c, 1, 0)->ecx, ==, 0x81202001);
    g_assert_cmphex(cpuid_find(c, 0xd, 0)->ecx, ==, 0);
    g_assert_null(cpuid_find(c, 0xd, 2));
    g_assert_cmphex(cpuid_find(c, 0x40000000, 0)->eax, ==, 0x40000001);
    g_assert_cmpmem(&cpuid_find(c, 0x40000000, 0)->ebx, 12, "KVMKVMKVM\0\0",
                    12);
    g_assert_cmphex(cpuid_find(c, 0x40000001, 0)->eax, ==, 0x0100407b);
    g_assert_cmphex(cpuid_find(c, 0x80000008, 0)->eax, ==, 0x3028);
}

static void test_model_host(void) MAIN_THREAD
{
    g_autofree CpuidTable *host = host_new(INTEL);
    g_autofree CpuidTable *c = g_new(CpuidTable, 1);

    build(c, host, "host", &one, 0);
    g_assert_cmphex(cpuid_find(c, 1, 0)->eax, ==, 0x306c3);
    g_assert_cmphex(cpuid_find(c, 7, 0)->ebx, ==, 0x2198); /* no sgx */
    g_assert_cmphex(cpuid_find(c, 0x80000008, 0)->eax, ==, 0x302e);
    g_assert_cmphex(cpuid_find(c, 0xd, 0)->eax, ==, 7);
    g_assert_cmphex(cpuid_find(c, 0xd, 0)->ecx, ==, 832);
    /* Without AVX its state goes too. */
    build(c, host, "host,-avx,phys-bits=39,kvm=off", &one, 0);
    g_assert_cmphex(cpuid_find(c, 0xd, 0)->eax, ==, 3);
    g_assert_cmphex(cpuid_find(c, 0xd, 0)->ecx, ==, 576);
    g_assert_null(cpuid_find(c, 0xd, 2));
    g_assert_cmphex(cpuid_find(c, 0x80000008, 0)->eax, ==, 0x3027);
    g_assert_null(cpuid_find(c, 0x40000000, 0));
    build(c, host, "max,vendor=AuthenticAMD", &one, 0);
    g_assert_true(cpuid_is_amd(c));
    g_assert_cmpmem(&cpuid_find(c, 0x80000000, 0)->ebx, 4, "Auth", 4);
}

/* "+" and "-" are stronger than "=", whatever the order. */
static void test_features(void) MAIN_THREAD
{
    g_autofree CpuidTable *host = host_new(INTEL);
    g_autofree CpuidTable *c = g_new(CpuidTable, 1);
    const uint32_t sse41 = 1u << 19, popcnt = 1u << 23, x2apic = 1u << 21;

    build(c, host, "qemu64,+sse4.1,popcnt=on,x2apic=off", &one, 0);
    g_assert_cmphex(cpuid_find(c, 1, 0)->ecx & (sse41 | popcnt | x2apic), ==,
                    sse41 | popcnt);
    build(c, host, "qemu64-x86_64-cpu,-sse4_1,SSE4_1=on,+x2apic,x2apic=off",
          &one, 0);
    g_assert_cmphex(cpuid_find(c, 1, 0)->ecx & (sse41 | x2apic), ==, x2apic);
    build(c, host, "qemu64,popcnt=on,popcnt=off", &one, 0);
    g_assert_cmphex(cpuid_find(c, 1, 0)->ecx & popcnt, ==, 0);
}

static void test_bad_options(void) MAIN_THREAD
{
    static const struct {
        const char *text, *error;
    } bad[] = {
        { "", "no such model" },
        { "pentium9", "-cpu pentium9: no such model" },
        { "qemu64,+nonsense", "+nonsense: no feature" },
        { "qemu64,-sse4", "-sse4: no feature" },
        { "qemu64,nonsense=on", "'nonsense'" },
        { "qemu64,", "''" },
        { "qemu64,+", "no feature" },
        { "host,avx=perhaps", "avx=perhaps: must be on or off" },
        { "host,check=2", "check=2: must be on or off" },
        { "host,phys-bits=99", "phys-bits=99: must be a number from 32" },
        { "host,vendor=me", "vendor=me: must be 12 characters" },
    };

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        Error *err = NULL;

        g_assert_false(cpu_model_parse(bad[i].text, &err));
        g_assert_nonnull(strstr(err->message, bad[i].error));
        g_error_free(err);
    }
}

static void test_enforce(void) MAIN_THREAD
{
    g_autofree CpuidTable *host = host_new(INTEL);
    g_autofree CpuidTable *c = g_new(CpuidTable, 1);
    Error *err = NULL;
    CpuModel model;

    g_assert_true(cpu_model_parse("qemu64,+svm,enforce", NULL));
    g_assert_false(cpu_model_resolve(&model, host, &err));
    g_assert_nonnull(strstr(err->message, "does not support svm"));
    g_error_free(err);
    /* Without it the guest starts, and the bit is not there. */
    build(c, host, "qemu64,+svm,check=off", &one, 0);
    g_assert_cmphex(cpuid_find(c, 0x80000001, 0)->ecx & 4, ==, 0);
}

int main(int argc, char **argv)
{
    int rc;

    g_test_init(&argc, &argv, NULL);
    machine_lock();
    g_test_add_func("/cpu/apic-id", test_apic_id);
    g_test_add_func("/cpu/topology/extended", test_extended_topology);
    g_test_add_func("/cpu/topology/amd", test_amd_topology);
    g_test_add_func("/cpu/topology/intel-caches", test_intel_caches);
    g_test_add_func("/cpu/model/qemu64", test_model_qemu64);
    g_test_add_func("/cpu/model/host", test_model_host);
    g_test_add_func("/cpu/model/features", test_features);
    g_test_add_func("/cpu/model/bad-options", test_bad_options);
    g_test_add_func("/cpu/model/enforce", test_enforce);
    rc = g_test_run();
    machine_unlock();
    return rc;
}
