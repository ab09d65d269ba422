/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `-cpu`: models, features, and what the host can do of them. */
#include "util/osdep.h"
#include "accel/kvm/cpuid.h"
#include "accel/vcpu.h"
#include "system/machine-lock.h"

#define TYPE_SUFFIX "-x86_64-cpu"

#define FAMILY_15_MODEL_107_STEPPING_1 0x00060fb1

const ModelDef cpu_models[CPU_NUM_MODELS] = {
    { .name = "host",
      .description = "the host's processor, with all features KVM supports",
      .passthrough = true },
    { .name = "max",
      .description = "all features that this accelerator supports",
      .passthrough = true },
    { .name = "qemu64",
      .description = "QEMU Virtual CPU version 2.5+ (the default)",
      .level = 0xd,
      .xlevel = 0x8000000a,
      .signature = FAMILY_15_MODEL_107_STEPPING_1,
      .brand = "QEMU Virtual CPU version 2.5+",
      .features =
          "fpu,de,pse,tsc,msr,pae,mce,cx8,apic,sep,mtrr,pge,mca,cmov,pat,"
          "pse36,clflush,mmx,fxsr,sse,sse2,sse3,cx16,x2apic,hypervisor,"
          "syscall,nx,lm,lahf-lm",
      .optional = "tsc-deadline,arat,topoext,kvmclock,kvm-nopiodelay,"
                  "kvm-asyncpf,kvm-asyncpf-int,kvm-steal-time,kvm-pv-eoi,"
                  "kvmclock-stable-bit" },
};

/* What `host` and `max` leave out unless asked for: features that need more
 * than CPUID here, or that bind the guest to this very host. */
#define NOT_BY_DEFAULT "sgx,sgxlc,intel-pt,arch-lbr,monitor,kvm-msi-ext-dest-id"

typedef struct CpuChoice {
    const ModelDef *def;
    CpuFeatures on, off;     /* NAME=on, NAME=off */
    CpuFeatures plus, minus; /* +NAME, -NAME: stronger */
    bool check, enforce, kvm, migratable, host_phys_bits, pmu;
    unsigned phys_bits;
    char vendor[13];
} CpuChoice;

static const CpuChoice choice_default = {
    .def = &cpu_models[2],
    .check = true,
    .kvm = true,
    .migratable = true,
    .pmu = true,
};

/* main thread; def NULL: no -cpu */
static CpuChoice choice;

/* ---- names ---- */

static char name_fold(char c)
{
    return c == '_' || c == '.' ? '-' : g_ascii_tolower(c);
}

/* Whether @name is one of the spellings in @list ('|' between them). */
static bool name_matches(const char *list, const char *name, size_t len)
{
    while (*list) {
        size_t n = strcspn(list, "|"), i = 0;

        while (n == len && i < n && list[i] == name_fold(name[i])) {
            i++;
        }
        if (n == len && i == n) {
            return true;
        }
        list += n + (list[n] == '|');
    }
    return false;
}

/* Adds the bits called @name to @f; false when there are none. */
static bool features_add(CpuFeatures *f, const char *name, size_t len)
{
    bool found = false;

    for (unsigned w = 0; w < FEATURE_WORDS; w++) {
        for (unsigned bit = 0; bit < 32; bit++) {
            const char *names = feature_words[w].names[bit];

            if (names && name_matches(names, name, len)) {
                f->word[w] |= 1u << bit;
                found = true;
            }
        }
    }
    return found;
}

static CpuFeatures features_parse(const char *list)
{
    CpuFeatures f = { 0 };

    while (list && *list) {
        size_t n = strcspn(list, ",");

        features_add(&f, list, n);
        list += n + (list[n] == ',');
    }
    return f;
}

/* ---- -cpu TEXT ---- */

static const ModelDef *model_find(const char *name, size_t len)
{
    size_t suffix = strlen(TYPE_SUFFIX);

    if (len > suffix && !strncmp(name + len - suffix, TYPE_SUFFIX, suffix)) {
        len -= suffix;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(cpu_models); i++) {
        if (strlen(cpu_models[i].name) == len &&
            !strncmp(cpu_models[i].name, name, len)) {
            return &cpu_models[i];
        }
    }
    return NULL;
}

static bool parse_bool(const char *key, const char *value, bool *out,
                       Error **errp)
{
    static const char *const yes[] = { "on", "yes", "true", "y", NULL };
    static const char *const no[] = { "off", "no", "false", "n", NULL };

    if (g_strv_contains(yes, value)) {
        *out = true;
    } else if (g_strv_contains(no, value)) {
        *out = false;
    } else {
        error_setg(errp, "-cpu: %s=%s: must be on or off", key, value);
        return false;
    }
    return true;
}

static bool parse_phys_bits(CpuChoice *c, const char *value, Error **errp)
{
    guint64 n;

    if (!g_ascii_string_to_unsigned(value, 10, 32, 52, &n, NULL)) {
        error_setg(errp, "-cpu: phys-bits=%s: must be a number from 32 to 52",
                   value);
        return false;
    }
    c->phys_bits = n;
    return true;
}

static bool parse_vendor(CpuChoice *c, const char *value, Error **errp)
{
    if (strlen(value) != sizeof(c->vendor) - 1) {
        error_setg(errp,
                   "-cpu: vendor=%s: must be 12 characters, as in "
                   "GenuineIntel or AuthenticAMD",
                   value);
        return false;
    }
    memcpy(c->vendor, value, sizeof(c->vendor));
    return true;
}

/* KEY=VALUE, KEY alone being KEY=on: a property, or else a feature. */
static bool parse_setting(CpuChoice *c, const char *key, const char *value,
                          Error **errp)
{
    const struct {
        const char *name;
        bool *field;
    } bools[] = {
        { "check", &c->check },
        { "enforce", &c->enforce },
        { "kvm", &c->kvm },
        { "migratable", &c->migratable },
        { "host-phys-bits", &c->host_phys_bits },
        { "pmu", &c->pmu },
    };
    CpuFeatures f = { 0 };
    bool on;

    for (unsigned i = 0; i < ARRAY_SIZE(bools); i++) {
        if (!strcmp(key, bools[i].name)) {
            return parse_bool(key, value, bools[i].field, errp);
        }
    }
    if (!strcmp(key, "phys-bits")) {
        return parse_phys_bits(c, value, errp);
    }
    if (!strcmp(key, "vendor")) {
        return parse_vendor(c, value, errp);
    }
    if (!features_add(&f, key, strlen(key))) {
        error_setg(errp,
                   "-cpu: no feature or property is called '%s'; -cpu "
                   "help lists the features",
                   key);
        return false;
    }
    if (!parse_bool(key, value, &on, errp)) {
        return false;
    }
    for (unsigned w = 0; w < FEATURE_WORDS; w++) {
        c->on.word[w] = (c->on.word[w] & ~f.word[w]) | (on ? f.word[w] : 0);
        c->off.word[w] = (c->off.word[w] & ~f.word[w]) | (on ? 0 : f.word[w]);
    }
    return true;
}

static bool parse_item(CpuChoice *c, char *item, Error **errp)
{
    char *eq = strchr(item, '=');

    if (item[0] == '+' || item[0] == '-') {
        CpuFeatures *f = item[0] == '+' ? &c->plus : &c->minus;

        if (!features_add(f, item + 1, strlen(item + 1))) {
            error_setg(errp,
                       "-cpu: %s: no feature is called '%s'; -cpu help "
                       "lists them",
                       item, item + 1);
            return false;
        }
        return true;
    }
    if (eq) {
        *eq = '\0';
    }
    return parse_setting(c, item, eq ? eq + 1 : "on", errp);
}

bool cpu_model_parse(const char *text, Error **errp)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    CpuChoice c = choice_default;

    machine_lock_assert();
    c.def = items[0] ? model_find(items[0], strlen(items[0])) : NULL;
    if (!c.def) {
        error_setg(errp,
                   "-cpu %s: no such model; host, max and qemu64 are "
                   "there",
                   items[0] ? items[0] : "");
        return false;
    }
    for (unsigned i = 1; items[i]; i++) {
        if (!parse_item(&c, items[i], errp)) {
            return false;
        }
    }
    choice = c;
    return true;
}

static int name_cmp(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void cpu_model_help(void)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    unsigned column = 0;

    printf("Available CPUs:\n");
    for (unsigned i = 0; i < ARRAY_SIZE(cpu_models); i++) {
        printf("  %-10s %s\n", cpu_models[i].name, cpu_models[i].description);
    }
    for (unsigned w = 0; w < FEATURE_WORDS; w++) {
        for (unsigned bit = 0; bit < 32; bit++) {
            const char *s = feature_words[w].names[bit];
            if (s) {
                g_ptr_array_add(names, g_strndup(s, strcspn(s, "|")));
            }
        }
    }
    g_ptr_array_sort(names, name_cmp);
    printf("\nRecognized CPUID flags:");
    for (unsigned i = 0; i < names->len; i++) {
        const char *s = g_ptr_array_index(names, i);

        if (i && !strcmp(s, g_ptr_array_index(names, i - 1))) {
            continue;
        }
        if (!column || column + strlen(s) > 76) {
            column = printf("\n ") - 1;
        }
        column += printf(" %s", s);
    }
    printf("\n");
}

/* ---- against the host ---- */

/* The bits of @missing are named in warnings, or in one error. */
static bool report_missing(const CpuChoice *c, const CpuFeatures *missing,
                           Error **errp)
{
    for (unsigned w = 0; w < FEATURE_WORDS; w++) {
        for (unsigned bit = 0; bit < 32; bit++) {
            const FeatureWordInfo *info = &feature_words[w];
            const char *name = info->names[bit];
            int len = name ? (int)strcspn(name, "|") : 0;

            if (!(missing->word[w] & 1u << bit)) {
                continue;
            }
            if (c->enforce) {
                error_setg(errp,
                           "-cpu %s,enforce: the host does not support "
                           "%.*s (%s bit %u)",
                           c->def->name, len, name, info->where, bit);
                return false;
            }
            if (c->check) {
                warn_report("-cpu %s: the host does not support %.*s (%s bit "
                            "%u), left out",
                            c->def->name, len, name, info->where, bit);
            }
        }
    }
    return true;
}

/* What a passthrough model has before the user's changes. */
static CpuFeatures passthrough_features(const CpuChoice *c,
                                        const CpuidTable *host)
{
    CpuFeatures skip = features_parse(NOT_BY_DEFAULT), f;

    if (c->migratable) {
        features_add(&skip, "invtsc", 6);
    }
    if (cpuid_is_amd(host)) {
        /* KVM emulates Intel's register on any host. */
        features_add(&skip, "arch-capabilities", 17);
    }
    cpu_features_read(&f, host);
    for (unsigned w = 0; w < FEATURE_WORDS; w++) {
        f.word[w] &= ~skip.word[w];
    }
    return f;
}

static bool resolve_features(CpuFeatures *out, const CpuChoice *c,
                             const CpuidTable *host, Error **errp)
{
    CpuFeatures have, missing, base, optional;

    cpu_features_read(&have, host);
    base = c->def->passthrough ? passthrough_features(c, host)
                               : features_parse(c->def->features);
    optional = features_parse(c->def->optional);
    for (unsigned w = 0; w < FEATURE_WORDS; w++) {
        uint32_t want = base.word[w] | (optional.word[w] & have.word[w]);

        want = (want & ~c->off.word[w]) | c->on.word[w];
        want = (want | c->plus.word[w]) & ~c->minus.word[w];
        out->word[w] = want & have.word[w];
        missing.word[w] = want & ~have.word[w];
    }
    /* kvmclock has two bits, an old and a new one: either will do. */
    if (out->word[FEAT_KVM] & 9) {
        missing.word[FEAT_KVM] &= ~9u;
    }
    return report_missing(c, &missing, errp);
}

/* Physical address bits of a fixed model, and of every model at most. */
enum { MODEL_PHYS_BITS = 40, DEFAULT_PHYS_BITS = 36 };

static unsigned resolve_phys_bits(const CpuChoice *c, const CpuidTable *host)
{
    const struct kvm_cpuid_entry2 *e = cpuid_find(host, 0x80000008, 0);
    unsigned bits = e ? e->eax & 0xff : DEFAULT_PHYS_BITS;

    if (c->phys_bits) {
        return c->phys_bits;
    }
    return c->def->passthrough || c->host_phys_bits
               ? bits
               : MIN(bits, MODEL_PHYS_BITS);
}

const ModelDef *cpu_model_chosen(void)
{
    return choice.def ? choice.def : choice_default.def;
}

bool cpu_model_migratable(void)
{
    return choice.def ? choice.migratable : choice_default.migratable;
}

void cpu_model_missing(const ModelDef *def, const CpuFeatures *host,
                       void (*func)(const char *name, int len, void *opaque),
                       void *opaque)
{
    CpuFeatures wanted = features_parse(def->features);

    for (unsigned w = 0; w < FEATURE_WORDS; w++) {
        uint32_t missing = wanted.word[w] & ~host->word[w];

        for (unsigned bit = 0; bit < 32; bit++) {
            const char *name = feature_words[w].names[bit];

            if (missing & 1u << bit) {
                func(name, (int)strcspn(name, "|"), opaque);
            }
        }
    }
}

bool cpu_model_resolve(CpuModel *out, const CpuidTable *host, Error **errp)
{
    const CpuChoice *c = choice.def ? &choice : &choice_default;

    machine_lock_assert();
    *out = (CpuModel){
        .passthrough = c->def->passthrough,
        .pmu = c->pmu,
        .kvm_leaves = c->kvm,
        .level = c->def->level,
        .xlevel = c->def->xlevel,
        .signature = c->def->signature,
        .brand = c->def->brand,
        .phys_bits = resolve_phys_bits(c, host),
    };
    memcpy(out->vendor, c->vendor, sizeof(out->vendor));
    return resolve_features(&out->features, c, host, errp);
}
