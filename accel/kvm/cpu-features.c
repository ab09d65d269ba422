/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of CPUID feature bits, as Linux and QEMU spell them. */
#include "util/osdep.h"
#include "accel/kvm/cpu-model.h"

const FeatureWordInfo feature_words[FEATURE_WORDS] = {
    [FEAT_1_EDX] = {
        1, 0, REG_EDX, "CPUID[EAX=01h].EDX",
        { "fpu", "vme", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic",
          NULL, "sep", "mtrr", "pge", "mca", "cmov", "pat", "pse36", "pn",
          "clflush", NULL, "ds", "acpi", "mmx", "fxsr", "sse", "sse2", "ss",
          "ht", "tm", "ia64", "pbe" },
    },
    [FEAT_1_ECX] = {
        1, 0, REG_ECX, "CPUID[EAX=01h].ECX",
        { "pni|sse3", "pclmulqdq|pclmuldq", "dtes64", "monitor",
          "ds-cpl", "vmx", "smx", "est", "tm2", "ssse3", "cid", NULL, "fma",
          "cx16", "xtpr", "pdcm", NULL, "pcid", "dca", "sse4-1", "sse4-2",
          "x2apic", "movbe", "popcnt", "tsc-deadline", "aes", "xsave", NULL,
          "avx", "f16c", "rdrand", "hypervisor" },
    },
    [FEAT_6_EAX] = {
        6, 0, REG_EAX, "CPUID[EAX=06h].EAX",
        { [2] = "arat" },
    },
    [FEAT_7_0_EBX] = {
        7, 0, REG_EBX, "CPUID[EAX=07h,ECX=00h].EBX",
        { "fsgsbase", "tsc-adjust", "sgx", "bmi1", "hle", "avx2",
          "fdp-excptn-only", "smep", "bmi2", "erms", "invpcid", "rtm", NULL,
          "zero-fcs-fds", "mpx", NULL, "avx512f", "avx512dq", "rdseed", "adx",
          "smap", "avx512ifma|avx512-ifma", "pcommit", "clflushopt", "clwb",
          "intel-pt", "avx512pf", "avx512er", "avx512cd", "sha-ni",
          "avx512bw", "avx512vl" },
    },
    [FEAT_7_0_ECX] = {
        7, 0, REG_ECX, "CPUID[EAX=07h,ECX=00h].ECX",
        { NULL, "avx512vbmi|avx512-vbmi", "umip", "pku", NULL, "waitpkg",
          "avx512vbmi2|avx512-vbmi2", NULL, "gfni", "vaes", "vpclmulqdq",
          "avx512vnni|avx512-vnni", "avx512bitalg|avx512-bitalg", NULL,
          "avx512-vpopcntdq", NULL, "la57", NULL, NULL, NULL, NULL, NULL,
          "rdpid", NULL, "bus-lock-detect", "cldemote", NULL, "movdiri",
          "movdir64b", NULL, "sgxlc", "pks" },
    },
    [FEAT_7_0_EDX] = {
        7, 0, REG_EDX, "CPUID[EAX=07h,ECX=00h].EDX",
        { [2] = "avx512-4vnniw", [3] = "avx512-4fmaps", [4] = "fsrm",
          [8] = "avx512-vp2intersect", [10] = "md-clear", [14] = "serialize",
          [16] = "tsx-ldtrk", [19] = "arch-lbr", [22] = "amx-bf16",
          [23] = "avx512-fp16", [24] = "amx-tile", [25] = "amx-int8",
          [26] = "spec-ctrl", [27] = "stibp", [28] = "flush-l1d",
          [29] = "arch-capabilities", [30] = "core-capability",
          [31] = "ssbd" },
    },
    [FEAT_7_1_EAX] = {
        7, 1, REG_EAX, "CPUID[EAX=07h,ECX=01h].EAX",
        { [4] = "avx-vnni", [5] = "avx512-bf16", [7] = "cmpccxadd",
          [10] = "fzrm", [11] = "fsrs", [12] = "fsrc", [21] = "amx-fp16",
          [23] = "avx-ifma" },
    },
    [FEAT_D_1_EAX] = {
        0xd, 1, REG_EAX, "CPUID[EAX=0Dh,ECX=01h].EAX",
        { "xsaveopt", "xsavec", "xgetbv1", "xsaves", "xfd" },
    },
    [FEAT_KVM] = {
        0x40000001, 0, REG_EAX, "CPUID[EAX=40000001h].EAX",
        { "kvmclock", "kvm-nopiodelay", "kvm-mmu", "kvmclock", "kvm-asyncpf",
          "kvm-steal-time", "kvm-pv-eoi", "kvm-pv-unhalt", NULL,
          "kvm-pv-tlb-flush", "kvm-asyncpf-vmexit", "kvm-pv-ipi",
          "kvm-poll-control", "kvm-pv-sched-yield", "kvm-asyncpf-int",
          "kvm-msi-ext-dest-id", [24] = "kvmclock-stable-bit" },
    },
    [FEAT_8000_0001_EDX] = {
        0x80000001, 0, REG_EDX, "CPUID[EAX=80000001h].EDX",
        { [11] = "syscall", [19] = "mp", [20] = "nx|xd", [22] = "mmxext",
          [25] = "fxsr-opt|ffxsr", [26] = "pdpe1gb", [27] = "rdtscp",
          [29] = "lm|i64", [30] = "3dnowext", [31] = "3dnow" },
    },
    [FEAT_8000_0001_ECX] = {
        0x80000001, 0, REG_ECX, "CPUID[EAX=80000001h].ECX",
        { "lahf-lm", "cmp-legacy", "svm", "extapic", "cr8legacy", "abm|lzcnt",
          "sse4a", "misalignsse", "3dnowprefetch", "osvw", "ibs", "xop",
          "skinit", "wdt", NULL, "lwp", "fma4", "tce", NULL, "nodeid-msr",
          NULL, "tbm", "topoext", "perfctr-core", "perfctr-nb" },
    },
    [FEAT_8000_0007_EDX] = {
        0x80000007, 0, REG_EDX, "CPUID[EAX=80000007h].EDX",
        { [8] = "invtsc" },
    },
    [FEAT_8000_0008_EBX] = {
        0x80000008, 0, REG_EBX, "CPUID[EAX=80000008h].EBX",
        { [0] = "clzero", [2] = "xsaveerptr", [4] = "rdpru",
          [9] = "wbnoinvd", [12] = "ibpb", [14] = "ibrs",
          [15] = "amd-stibp", [17] = "stibp-always-on", [24] = "amd-ssbd",
          [25] = "virt-ssbd", [26] = "amd-no-ssb", [28] = "amd-psfd" },
    },
    [FEAT_8000_000A_EDX] = {
        0x8000000a, 0, REG_EDX, "CPUID[EAX=8000000Ah].EDX",
        { "npt", "lbrv", "svm-lock", "nrip-save", "tsc-scale", "vmcb-clean",
          "flushbyasid", "decodeassists", NULL, NULL, "pause-filter", NULL,
          "pfthreshold", "avic", NULL, "v-vmsave-vmload", "vgif",
          [25] = "vnmi", [28] = "svme-addr-chk" },
    },
};
