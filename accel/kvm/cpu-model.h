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

/* A model that -cpu offers. */
typedef struct ModelDef {
    const char *name;
    const char *description;
    bool passthrough;
    uint32_t level, xlevel, signature;
    const char *brand;
    const char *features; /* expected of every host */
    const char *optional; /* taken where the host has them */
} ModelDef;

#define CPU_NUM_MODELS 3
extern const ModelDef cpu_models[CPU_NUM_MODELS];

/* The one that cpu_model_parse() was given, or the default. */
const ModelDef *cpu_model_chosen(void) MAIN_THREAD;
/* Whether what binds the guest to this host is left out of it. */
bool cpu_model_migratable(void) MAIN_THREAD;
/* Calls @func with the name of each feature of @def that @host lacks. */
void cpu_model_missing(const ModelDef *def, const CpuFeatures *host,
                       void (*func)(const char *name, int len, void *opaque),
                       void *opaque);

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
