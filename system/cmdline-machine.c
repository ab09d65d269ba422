/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -machine, -accel, -cpu, -smp, -m, -boot, -rtc, -overcommit. */
#include "util/osdep.h"
#include "accel/accel.h"
#include "hw/core/machine.h"
#include "qapi/keyval.h"
#include "qapi/qapi-types.h"
#include "qapi/qapi-visit.h"
#include "system/cmdline-internal.h"
#include "qapi/schema-help.h"

/* ---- -machine ---- */

static bool set_machine_type(VmConfig *cfg, const char *type, Error **errp)
{
    const MachineClass *mc = machine_class_find(type);

    if (!mc) {
        g_autofree char *shown = qapi_quote(type);

        error_setg(errp,
                   "unsupported machine type '%s': pc, pc-i440fx-VERSION or "
                   "none (-machine help lists them)",
                   shown);
        return false;
    }
    cfg->machine_none = !mc->has_cpus;
    g_free(cfg->machine);
    cfg->machine = g_strdup(type);
    return true;
}

static bool accel_known(const char *name)
{
    return g_strv_contains(accel_names(), name);
}

bool accel_unknown(const char *name, Error **errp)
{
    g_autofree char *list = g_strjoinv(", ", (char **)accel_names());
    g_autofree char *shown = qapi_quote(name);

    error_setg(errp, "invalid accelerator '%s': one of %s", shown, list);
    return false;
}

/* accel=a:b. Names that only other emulators have are passed over as long as
 * one remains. */
static bool set_machine_accels(VmConfig *cfg, const char *text, Error **errp)
{
    g_auto(GStrv) names = g_strsplit(text, ":", -1);

    g_ptr_array_set_size(cfg->machine_accels, 0);
    for (char **n = names; *n; n++) {
        if (accel_known(*n)) {
            g_ptr_array_add(cfg->machine_accels, g_strdup(*n));
        }
    }
    return cfg->machine_accels->len > 0 || accel_unknown(text, errp);
}

/* False and *errp unless @value, when given, is one of @ok (NULL-terminated).
 */
static bool only(const char *name, const char *value, const char *const *ok,
                 Error **errp)
{
    g_autofree char *list = NULL;
    g_autofree char *shown = NULL;

    if (!value || g_strv_contains(ok, value)) {
        return true;
    }
    list = g_strjoinv(" or ", (char **)ok);
    shown = qapi_quote(value);
    error_setg(errp, "%s=%s is not supported, only %s", name, shown, list);
    return false;
}

/* Machine properties of which this machine has one choice. */
static bool check_machine_constants(const MachineOptions *m, Error **errp)
{
    static const char *const off[] = { "off", "no", "false", "auto", NULL };
    static const char *const on[] = { "on", "yes", "true", NULL };

    if (m->has_usb && m->usb) {
        error_setg(errp, "usb=on is not supported, only off");
        return false;
    }
    if (m->has_hpet && m->hpet) {
        error_setg(errp, "hpet=on is not supported, only off");
        return false;
    }
    return only("vmport", m->vmport, off, errp) &&
           only("smm", m->smm, off, errp) &&
           only("kernel-irqchip", m->kernel_irqchip, on, errp);
}

static void take_string(char **slot, char **value)
{
    if (*value) {
        g_free(*slot);
        *slot = g_steal_pointer(value);
    }
}

static bool apply_machine(VmConfig *cfg, MachineOptions *m, Error **errp)
{
    if ((m->type && !set_machine_type(cfg, m->type, errp)) ||
        (m->accel && !set_machine_accels(cfg, m->accel, errp)) ||
        !check_machine_constants(m, errp)) {
        return false;
    }
    cfg->acpi = m->has_acpi ? m->acpi : cfg->acpi;
    cfg->dump_guest_core =
        m->has_dump_guest_core ? m->dump_guest_core : cfg->dump_guest_core;
    cfg->mem_merge = m->has_mem_merge ? m->mem_merge : cfg->mem_merge;
    take_string(&cfg->memory_backend, &m->memory_backend);
    take_string(&cfg->kernel, &m->kernel);
    take_string(&cfg->initrd, &m->initrd);
    take_string(&cfg->append, &m->append);
    return true;
}

/* Keeps what @arg says for the machine object; it was checked. */
static void keep_machine_options(VmConfig *cfg, const char *arg)
{
    bool is_json;
    json_object *opts = options_parse(arg, "type", &is_json, NULL, NULL);

    json_object_object_foreach(opts, name, value)
    {
        if (strcmp(name, "type") != 0) {
            json_object_object_add(cfg->machine_options, name,
                                   json_object_get(value));
        }
    }
    json_object_put(opts);
}

bool opt_machine(VmConfig *cfg, const char *arg, Error **errp)
{
    MachineOptions *m;
    bool ok;

    if (option_wants_help(cfg, arg, "type", HELP_MACHINE)) {
        return !cfg->help_arg || set_machine_type(cfg, cfg->help_arg, errp);
    }
    m = qapi_new_from_options(&qapi_type_MachineOptions, arg, "type", NULL,
                              errp);
    if (!m) {
        schema_hint_unknown(errp, "-machine pc,help lists them");
    }
    ok = m && apply_machine(cfg, m, errp);
    if (ok) {
        keep_machine_options(cfg, arg);
    }
    qapi_free(&qapi_type_MachineOptions, m);
    return ok;
}

/* ---- -accel, -cpu ---- */

/* Trying one again would change nothing. */
static void add_accel(VmConfig *cfg, const char *name)
{
    if (!accel_listed(cfg->accels, name)) {
        g_ptr_array_add(cfg->accels, g_strdup(name));
    }
}

/* The name in @arg when only other emulators have it, with whatever properties
 * it has there; or NULL. Caller frees. */
static char *foreign_accel(const char *arg)
{
    bool is_json, help = false;
    json_object *json = options_parse(arg, "accel", &is_json, &help, NULL);
    json_object *name;
    char *found = NULL;

    if (json && !help && json_object_object_get_ex(json, "accel", &name) &&
        json_object_is_type(name, json_type_string) &&
        !accel_known(json_object_get_string(name))) {
        found = g_strdup(json_object_get_string(name));
    }
    json_object_put(json);
    return found;
}

/* What is not known is passed over as long as another one is given, which
 * check_accels() sees to. */
bool opt_accel(VmConfig *cfg, const char *arg, Error **errp)
{
    static const char *const on[] = { "on", NULL };
    g_autofree char *foreign = foreign_accel(arg);
    bool help = false;
    AccelOptions *a;
    bool ok;

    if (foreign) {
        add_accel(cfg, foreign);
        cfg->accel_given = true;
        return true;
    }
    a = qapi_new_from_options(&qapi_type_AccelOptions, arg, "accel", &help,
                              errp);
    if (help) {
        cfg->help = HELP_ACCEL;
        return true;
    }
    ok = a && only("kernel-irqchip", a->kernel_irqchip, on, errp);
    if (ok) {
        add_accel(cfg, a->accel);
        cfg->accel_given = true;
    }
    qapi_free(&qapi_type_AccelOptions, a);
    return ok;
}

bool opt_enable_kvm(VmConfig *cfg, const char *arg, Error **errp)
{
    add_accel(cfg, "kvm");
    return true;
}

bool opt_cpu(VmConfig *cfg, const char *arg, Error **errp)
{
    if (!option_is_help(cfg, arg, HELP_CPU)) {
        g_free(cfg->cpu);
        cfg->cpu = g_strdup(arg);
    }
    return true;
}

/* ---- -smp ---- */

/* The levels that were left out: cores take what is needed, then sockets. */
static void fill_topology(CpuTopology *t)
{
    unsigned all = t->maxcpus ? t->maxcpus : t->cpus;
    unsigned *missing = NULL;

    t->dies = t->dies ? t->dies : 1;
    if (t->cores == 0) {
        t->sockets = t->sockets ? t->sockets : 1;
        t->threads = t->threads ? t->threads : 1;
        missing = &t->cores;
    } else if (t->sockets == 0) {
        t->threads = t->threads ? t->threads : 1;
        missing = &t->sockets;
    } else if (t->threads == 0) {
        missing = &t->threads;
    }
    if (missing) {
        uint64_t others = 1;

        *missing = 1;
        others = (uint64_t)t->sockets * t->dies * t->cores * t->threads;
        *missing = (unsigned)MAX(1, all / others);
    }
    if (all == 0) {
        all = t->sockets * t->dies * t->cores * t->threads;
    }
    t->maxcpus = t->maxcpus ? t->maxcpus : all;
    t->cpus = t->cpus ? t->cpus : t->maxcpus;
}

bool smp_resolve(CpuTopology *t, Error **errp)
{
    fill_topology(t);
    if (t->sockets * t->dies * t->cores * t->threads != t->maxcpus) {
        error_setg(errp,
                   "Invalid CPU topology: product of the hierarchy must match "
                   "maxcpus: sockets (%u) * dies (%u) * cores (%u) * "
                   "threads (%u) != maxcpus (%u)",
                   t->sockets, t->dies, t->cores, t->threads, t->maxcpus);
        return false;
    }
    if (t->maxcpus < t->cpus) {
        error_setg(errp,
                   "Invalid CPU topology: maxcpus must be equal to or greater "
                   "than cpus: maxcpus (%u) < cpus (%u)",
                   t->maxcpus, t->cpus);
        return false;
    }
    if (t->maxcpus > MAX_VCPUS) {
        error_setg(errp,
                   "Invalid SMP CPUs %u. The max CPUs supported by machine "
                   "'pc' is %u",
                   t->maxcpus, MAX_VCPUS);
        return false;
    }
    return true;
}

/* Takes one number over; the range also keeps the product of all levels far
 * below 2^32. */
static bool take_level(const char *name, bool given, int64_t value,
                       unsigned *out, Error **errp)
{
    if (!given) {
        *out = 0;
        return true;
    }
    if (value < 1 || value > MAX_VCPUS) {
        error_setg(errp,
                   "Invalid CPU topology: %s=%" PRId64
                   ", expected a number from 1 to %u",
                   name, value, MAX_VCPUS);
        return false;
    }
    *out = (unsigned)value;
    return true;
}

/* Refuses what is no number, with the range that counts here. */
static bool check_level_texts(const char *arg, Error **errp)
{
    bool is_json = false, ok = true;
    json_object *json = options_parse(arg, "cpus", &is_json, NULL, NULL);

    for (uint32_t i = 0;
         json && !is_json && ok && i < qapi_type_SMPConfiguration.n_members;
         i++) {
        const char *name = qapi_type_SMPConfiguration.members[i].name;
        json_object *value;
        int64_t number;

        if (!json_object_object_get_ex(json, name, &value) ||
            !json_object_is_type(value, json_type_string)) {
            continue;
        }
        ok = qapi_parse_int(name, json_object_get_string(value), INT64_MIN,
                            INT64_MAX, &number, NULL);
        if (!ok) {
            g_autofree char *shown = qapi_quote(json_object_get_string(value));

            error_setg(errp,
                       "Invalid CPU topology: %s=%s, expected a number from "
                       "1 to %u",
                       name, shown, MAX_VCPUS);
        }
    }
    json_object_put(json);
    return ok;
}

bool opt_smp(VmConfig *cfg, const char *arg, Error **errp)
{
    CpuTopology t = { 0 };
    SMPConfiguration *s;
    bool ok;

    if (!check_level_texts(arg, errp)) {
        return false;
    }
    s = qapi_new_from_options(&qapi_type_SMPConfiguration, arg, "cpus", NULL,
                              errp);
    ok = s && take_level("cpus", s->has_cpus, s->cpus, &t.cpus, errp) &&
         take_level("sockets", s->has_sockets, s->sockets, &t.sockets, errp) &&
         take_level("dies", s->has_dies, s->dies, &t.dies, errp) &&
         take_level("cores", s->has_cores, s->cores, &t.cores, errp) &&
         take_level("threads", s->has_threads, s->threads, &t.threads, errp) &&
         take_level("maxcpus", s->has_maxcpus, s->maxcpus, &t.maxcpus, errp) &&
         smp_resolve(&t, errp);

    if (ok) {
        cfg->topo = t;
    }
    qapi_free(&qapi_type_SMPConfiguration, s);
    return ok;
}

/* ---- -m ---- */

static bool apply_memory(VmConfig *cfg, const MemoryOptions *m, Error **errp)
{
    uint64_t size = cfg->ram_size, max;

    if (m->size && !qapi_parse_size_unit("size", m->size, MiB, &size, errp)) {
        return false;
    }
    if (size < MiB || size % PAGE_SIZE_4K) {
        error_setg(errp,
                   "Parameter 'size' expects at least 1M and a multiple of "
                   "4k, not '%s'",
                   m->size);
        return false;
    }
    if (m->has_slots && m->slots > 0) {
        error_setg(errp,
                   "slots=%" PRIu64
                   ": memory cannot be plugged in later, only slots=0",
                   m->slots);
        return false;
    }
    if (m->maxmem) {
        if (!qapi_parse_size_unit("maxmem", m->maxmem, MiB, &max, errp)) {
            return false;
        }
        if (max != size) {
            error_setg(errp,
                       "maxmem=%s: memory cannot be plugged in later, maxmem "
                       "is at most the size",
                       m->maxmem);
            return false;
        }
    }
    cfg->ram_size = size;
    cfg->ram_size_set = true;
    return true;
}

bool opt_memory(VmConfig *cfg, const char *arg, Error **errp)
{
    MemoryOptions *m = qapi_new_from_options(&qapi_type_MemoryOptions, arg,
                                             "size", NULL, errp);
    bool ok = m && apply_memory(cfg, m, errp);

    qapi_free(&qapi_type_MemoryOptions, m);
    return ok;
}

/* ---- accepted for compatibility, checked all the same ---- */

bool opt_boot(VmConfig *cfg, const char *arg, Error **errp)
{
    BootOptions *b =
        qapi_new_from_options(&qapi_type_BootOptions, arg, "order", NULL, errp);
    bool ok = b != NULL;

    qapi_free(&qapi_type_BootOptions, b);
    return ok;
}

bool opt_overcommit(VmConfig *cfg, const char *arg, Error **errp)
{
    OvercommitOptions *o = qapi_new_from_options(&qapi_type_OvercommitOptions,
                                                 arg, NULL, NULL, errp);
    bool ok = o != NULL;

    if (ok && o->has_cpu_pm && o->cpu_pm) {
        error_setg(errp, "cpu-pm=on is not supported, only off");
        ok = false;
    }
    if (ok && o->has_mem_lock) {
        cfg->mem_lock = o->mem_lock;
    }
    qapi_free(&qapi_type_OvercommitOptions, o);
    return ok;
}
