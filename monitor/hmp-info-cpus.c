/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `info` about CPUs. */
#include "util/osdep.h"
#include "monitor/hmp-info.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"

size_t hmp_count_cpus(void)
{
    CpuInfoFastList cpus = { 0 };
    size_t n = qmp_query_cpus_fast(&cpus, NULL) ? cpus.n : 0;

    qapi_free_contents(&qapi_type_CpuInfoFastList, &cpus);
    return n;
}

bool hmp_check_cpu(uint64_t index, Error **errp)
{
    if (index >= hmp_count_cpus()) {
        error_setg(errp, "there is no CPU %" PRIu64 " (info cpus lists them)",
                   index);
        return false;
    }
    return true;
}

bool hmp_info_cpus(const HmpArgs *args, GString *out, Error **errp)
{
    CpuInfoFastList cpus = { 0 };

    if (!qmp_query_cpus_fast(&cpus, errp)) {
        return false;
    }
    for (size_t i = 0; i < cpus.n; i++) {
        g_string_append_printf(out,
                               "%c CPU #%" PRId64 ": thread_id=%" PRId64 "\n",
                               i == args->session->cpu ? '*' : ' ',
                               cpus.v[i].cpu_index, cpus.v[i].thread_id);
    }
    qapi_free_contents(&qapi_type_CpuInfoFastList, &cpus);
    return true;
}

bool hmp_info_registers(const HmpArgs *args, GString *out, Error **errp)
{
    bool all = args->arg[0].given;
    uint64_t first =
        args->arg[1].given ? args->arg[1].number : args->session->cpu;
    uint64_t last = first;

    if (all && args->arg[1].given) {
        error_setg(errp, "-a is for all CPUs, INDEX for one");
        return false;
    }
    if (all) {
        first = 0;
        last = MAX(hmp_count_cpus(), 1) - 1;
    }
    if (!hmp_check_cpu(last, errp)) {
        return false;
    }
    for (uint64_t i = first; i <= last; i++) {
        g_autoptr(GString) registers = g_string_new(NULL);

        if (!vcpu_describe((unsigned)i, registers, errp)) {
            return false;
        }
        g_string_append_printf(out, "CPU#%" PRIu64 "\n%s", i, registers->str);
    }
    return true;
}
