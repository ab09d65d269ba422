/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options of the command line, told to clients. */
#include "util/osdep.h"
#include "config-host.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "system/cmdline-internal.h"

static const char *const memory_sizes[] = { "size", "maxmem", NULL };

const OptionGroup option_groups[] = {
    { "accel", "accel", &qapi_type_AccelOptions, NULL },
    { "action", "action", &qapi_type_ActionOptions, NULL },
    { "add-fd", "add-fd", &qapi_type_AddFdOptions, NULL },
    { "boot-opts", "boot", &qapi_type_BootOptions, NULL },
    { "chardev", "chardev", &qapi_type_ChardevOptions, NULL },
    { "device", "device", NULL, NULL },
    { "fw_cfg", "fw_cfg", &qapi_type_FwCfgOptions, NULL },
    { "global", "global", &qapi_type_GlobalOptions, NULL },
    { "machine", "machine", &qapi_type_MachineOptions, NULL },
    { "memory", "m", &qapi_type_MemoryOptions, memory_sizes },
    { "mon", "mon", &qapi_type_MonitorOptions, NULL },
    { "msg", "msg", &qapi_type_MsgOptions, NULL },
    { "name", "name", &qapi_type_NameOptions, NULL },
    { "net", "net", NULL, NULL },
    { "netdev", "netdev", &qapi_type_Netdev, NULL },
    { "nic", "nic", NULL, NULL },
    { "object", "object", NULL, NULL },
    { "overcommit", "overcommit", &qapi_type_OvercommitOptions, NULL },
    { "rtc", "rtc", &qapi_type_RtcOptions, NULL },
    { "run-with", "run-with", &qapi_type_RunWithOptions, NULL },
#ifdef CONFIG_SECCOMP
    { "sandbox", "sandbox", &qapi_type_SandboxOptions, NULL },
#endif
    { "smp-opts", "smp", &qapi_type_SMPConfiguration, NULL },
    { NULL, NULL, NULL, NULL },
};

static CommandLineParameterType parameter_type(const OptionGroup *group,
                                               const QapiMember *member)
{
    if (group->sizes && g_strv_contains(group->sizes, member->name)) {
        return COMMAND_LINE_PARAMETER_TYPE_SIZE;
    }
    switch (member->type->kind) {
    case QAPI_KIND_BOOL:
        return COMMAND_LINE_PARAMETER_TYPE_BOOLEAN;
    case QAPI_KIND_INT:
    case QAPI_KIND_UINT:
    case QAPI_KIND_NUMBER:
        return COMMAND_LINE_PARAMETER_TYPE_NUMBER;
    case QAPI_KIND_SIZE:
        return COMMAND_LINE_PARAMETER_TYPE_SIZE;
    default:
        return COMMAND_LINE_PARAMETER_TYPE_STRING;
    }
}

static bool has_parameter(const CommandLineParameterInfoList *list,
                          const char *name)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->v[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Adds the members of @type that @list does not have: branches of a union may
 * share names. */
static void add_parameters(const OptionGroup *group, const QapiType *type,
                           CommandLineParameterInfoList *list)
{
    for (uint32_t i = 0; i < type->n_members; i++) {
        const QapiMember *member = &type->members[i];

        if (has_parameter(list, member->name)) {
            continue;
        }
        list->v = g_renew(CommandLineParameterInfo, list->v, list->n + 1);
        list->v[list->n++] = (CommandLineParameterInfo){
            .name = g_strdup(member->name),
            .type = parameter_type(group, member),
            .help = g_strdup(member->help),
        };
    }
    for (uint32_t i = 0; i < type->n_variants; i++) {
        if (type->variants[i]) {
            add_parameters(group, type->variants[i], list);
        }
    }
}

bool qmp_query_command_line_options(
    const q_obj_query_command_line_options_arg *arg,
    CommandLineOptionInfoList *ret, Error **errp)
{
    for (const OptionGroup *group = option_groups; group->name; group++) {
        CommandLineOptionInfo *info;

        if (arg->option && strcmp(arg->option, group->name) != 0) {
            continue;
        }
        ret->v = g_renew(CommandLineOptionInfo, ret->v, ret->n + 1);
        info = &ret->v[ret->n++];
        *info = (CommandLineOptionInfo){ .option = g_strdup(group->name) };
        if (group->type) {
            add_parameters(group, group->type, &info->parameters);
        }
    }
    if (arg->option && ret->n == 0) {
        g_autofree char *name = qapi_quote(arg->option);

        error_setg(errp, "invalid option name: %s", name);
        return false;
    }
    return true;
}
