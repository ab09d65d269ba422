/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processor models and feature names of `-cpu`.
 *
 * Threads: under the machine lock; a resolved CpuModel is constant.
 */
#ifndef ACCEL_KVM_CPU_MODEL_H
#define ACCEL_KVM_CPU_MODEL_H

#include "util/error.h"

typedef struct CpuidTable CpuidTable;

/* CPUID registers that hold feature bits. */
typedef enum FeatureWord {
    FEAT_1_EDX,
    FEAT_1_ECX,
    FEAT_6_EAX,
    FEAT_7_0_EBX,
    FEAT_7_0_ECX,
    FEAT_7_0_EDX,
    FEAT_7_1_EAX,
    FEAT_D_1_EAX,
    FEAT_KVM,
    FEAT_8000_0001_EDX,
    FEAT_8000_0001_ECX,
    FEAT_8000_0007_EDX,
    FEAT_8000_0008_EBX,
    FEAT_8000_000A_EDX,
    FEATURE_WORDS
} FeatureWord;

typedef enum CpuidReg { REG_EAX, REG_EBX, REG_ECX, REG_EDX } CpuidReg;

typedef struct FeatureWordInfo {
    uint32_t function, index;
    CpuidReg reg;
    const char *where;     /* "CPUID[EAX=01h].EDX" */
    const char *names[32]; /* '|' between spellings; NULL: no name */
} FeatureWordInfo;

extern const FeatureWordInfo feature_words[FEATURE_WORDS];

typedef struct CpuFeatures {
    uint32_t word[FEATURE_WORDS];
} CpuFeatures;

/* A processor as the guest shall see it. */
typedef struct CpuModel {
    CpuFeatures features; /* all of them supported by the host */
    bool passthrough;     /* identity, caches, other leaves: the host's */
    bool pmu;             /* with passthrough: performance counters */
    bool kvm_leaves;      /* 0x40000000 and up */
    /* of a fixed model: */
    uint32_t level, xlevel; /* highest basic and extended leaf */
    uint32_t signature;     /* leaf 1 EAX: family, model, stepping */
    const char *brand;
    /* of both: */
    char vendor[13]; /* empty: the host's */
    unsigned phys_bits;
} CpuModel;

/* The bits of @table's feature words. */
void cpu_features_read(CpuFeatures *out, const CpuidTable *table);

/*
 * The model that cpu_model_parse() was given (qemu64 by default), cut down to
 * what @host supports, a line of warning for each feature that is missing.
 * With `enforce` a missing one is an error.
 */
bool cpu_model_resolve(CpuModel *out, const CpuidTable *host, Error **errp)
    MAIN_THREAD;

#endif
