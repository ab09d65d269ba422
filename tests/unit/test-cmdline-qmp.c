/* SPDX-License-Identifier: GPL-2.0-or-later */
/* query-command-line-options tells what the options really take. */
#include "util/osdep.h"
#include "qapi/qapi-commands.h"
#include "qapi/qapi-visit.h"
#include "system/cmdline-internal.h"

static const CommandLineOptionInfo *find(const CommandLineOptionInfoList *list,
                                         const char *option)
{
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->v[i].option, option) == 0) {
            return &list->v[i];
        }
    }
    return NULL;
}

static CommandLineOptionInfoList ask(const char *option)
{
    q_obj_query_command_line_options_arg arg = { .option = (char *)option };
    CommandLineOptionInfoList list = { 0 };
    Error *err = NULL;

    g_assert_true(qmp_query_command_line_options(&arg, &list, &err));
    g_assert_no_error(err);
    return list;
}

static void done(CommandLineOptionInfoList *list)
{
    qapi_free_contents(&qapi_type_CommandLineOptionInfoList, list);
}

/* The message of -OPTION ARGUMENT; NULL when it is fine. */
static char *complaint(const char *option, const char *argument)
{
    g_autofree char *word = g_strdup_printf("-%s", option);
    char *argv[] = { (char *)"emulator", word, (char *)argument };
    g_autoptr(GError) err = NULL;
    VmConfig *cfg = cmdline_parse(ARRAY_SIZE(argv), argv, &err);

    vm_config_free(cfg);
    return err ? g_strdup(err->message) : NULL;
}

/* What an option is said to have it knows; it knows nothing that does not
 * exist. */
static void check_group(const OptionGroup *group)
{
    g_autofree char *unknown = complaint(group->option, "no-such-thing=1");

    g_assert_nonnull(strstr(unknown, "no-such-thing"));
    for (uint32_t i = 0; i < group->type->n_members; i++) {
        const QapiMember *member = &group->type->members[i];
        g_autofree char *argument = g_strdup_printf("%s=on", member->name);
        g_autofree char *bad =
            g_strdup_printf("Invalid parameter '%s'", member->name);
        g_autofree char *text = complaint(group->option, argument);

        g_assert_cmpint(member->type->kind, <=, QAPI_KIND_ENUM);
        if (text && strstr(text, bad)) {
            g_test_fail_printf("-%s %s: %s", group->option, argument, text);
        }
    }
}

static void test_groups_are_true(void)
{
    for (const OptionGroup *group = option_groups; group->name; group++) {
        const CmdOption *option = cmd_options;

        while (option->name && strcmp(option->name, group->option) != 0) {
            option++;
        }
        g_assert_nonnull(option->name);
        g_assert_nonnull(option->arg);
        if (group->type && group->type->kind == QAPI_KIND_STRUCT &&
            strcmp(group->option, "global") != 0) {
            check_group(group);
        }
    }
}

static const CommandLineParameterInfo *
parameter(const CommandLineOptionInfo *info, const char *name)
{
    const CommandLineParameterInfo *found = NULL;

    for (size_t i = 0; i < info->parameters.n; i++) {
        if (strcmp(info->parameters.v[i].name, name) == 0) {
            g_assert_null(found); /* each is there once */
            found = &info->parameters.v[i];
        }
    }
    return found;
}

static void test_all(void)
{
    static const struct {
        const char *option, *parameter;
        CommandLineParameterType type;
    } expected[] = {
        { "machine", "memory-backend", COMMAND_LINE_PARAMETER_TYPE_STRING },
        { "machine", "acpi", COMMAND_LINE_PARAMETER_TYPE_BOOLEAN },
        { "smp-opts", "dies", COMMAND_LINE_PARAMETER_TYPE_NUMBER },
        { "memory", "size", COMMAND_LINE_PARAMETER_TYPE_SIZE },
        { "memory", "slots", COMMAND_LINE_PARAMETER_TYPE_NUMBER },
        { "rtc", "driftfix", COMMAND_LINE_PARAMETER_TYPE_STRING },
        { "netdev", "queues", COMMAND_LINE_PARAMETER_TYPE_NUMBER },
        { "netdev", "sndbuf", COMMAND_LINE_PARAMETER_TYPE_SIZE },
        { "netdev", "br", COMMAND_LINE_PARAMETER_TYPE_STRING },
        { "chardev", "path", COMMAND_LINE_PARAMETER_TYPE_STRING },
        { "chardev", "append", COMMAND_LINE_PARAMETER_TYPE_BOOLEAN },
        { "overcommit", "mem-lock", COMMAND_LINE_PARAMETER_TYPE_BOOLEAN },
    };
    CommandLineOptionInfoList list = ask(NULL);

    for (unsigned i = 0; i < ARRAY_SIZE(expected); i++) {
        const CommandLineOptionInfo *info = find(&list, expected[i].option);
        const CommandLineParameterInfo *p;

        g_assert_nonnull(info);
        p = parameter(info, expected[i].parameter);
        g_assert_nonnull(p);
        g_assert_cmpint(p->type, ==, expected[i].type);
        g_assert_nonnull(p->help);
    }
    g_assert_cmpuint(find(&list, "device")->parameters.n, ==, 0);
    /* What would make a client use it must not be said. */
    g_assert_null(find(&list, "spice"));
    done(&list);
}

static void test_one(void)
{
    CommandLineOptionInfoList list = ask("msg");

    g_assert_cmpuint(list.n, ==, 1);
    g_assert_cmpstr(list.v[0].option, ==, "msg");
    g_assert_cmpuint(list.v[0].parameters.n, ==, 2);
    done(&list);
}

static void test_unknown(void)
{
    static const char *const names[] = { "smp", "", "no\nsuch" };
    static const char *const shown[] = { "smp", "", "no\\x0asuch" };

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        q_obj_query_command_line_options_arg arg = { .option =
                                                         (char *)names[i] };
        CommandLineOptionInfoList list = { 0 };
        g_autofree char *text =
            g_strdup_printf("invalid option name: %s", shown[i]);
        g_autoptr(GError) err = NULL;

        g_assert_false(qmp_query_command_line_options(&arg, &list, &err));
        g_assert_cmpstr(err->message, ==, text);
        g_assert_cmpuint(list.n, ==, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cmdline/query/groups-are-true", test_groups_are_true);
    g_test_add_func("/cmdline/query/all", test_all);
    g_test_add_func("/cmdline/query/one", test_one);
    g_test_add_func("/cmdline/query/unknown", test_unknown);
    return g_test_run();
}
