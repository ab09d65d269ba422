/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A line of the human monitor: which command, with which arguments. */
#include "util/osdep.h"
#include "monitor/hmp-internal.h"
#include "qapi/qapi-visit.h"

void hmp_append_visible(GString *out, const void *buf, size_t len)
{
    const uint8_t *bytes = buf;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = bytes[i];

        if (c == '\\') {
            g_string_append(out, "\\\\");
        } else if (g_ascii_isprint((gchar)c) || c == '\n' || c == '\t') {
            g_string_append_c(out, (gchar)c);
        } else {
            g_string_append_printf(out, "\\x%02x", c);
        }
    }
}

const HmpCommand *hmp_find(const HmpCommand *table, const char *name)
{
    for (; table->name; table++) {
        if (strcmp(table->name, name) == 0 ||
            (table->alias && strcmp(table->alias, name) == 0)) {
            return table;
        }
    }
    return NULL;
}

/* ---- help ---- */

/* "info NAME [-a] ARG [ARG]" */
static void append_usage(const HmpCommand *cmd, const char *prefix,
                         GString *out)
{
    g_string_append_printf(out, "%s%s", prefix, cmd->name);
    if (cmd->sub) {
        g_string_append(out, " [SUBJECT]");
    }
    for (const HmpParam *p = cmd->params; p && p->name; p++) {
        bool optional = p->optional || p->kind == HMP_FLAG;

        g_string_append_printf(out, optional ? " [%s]" : " %s", p->name);
    }
}

static void describe(const HmpCommand *cmd, const char *prefix, GString *out)
{
    append_usage(cmd, prefix, out);
    g_string_append_printf(out, " -- %s", cmd->help);
    if (cmd->alias) {
        g_string_append_printf(out, " (short: %s)", cmd->alias);
    }
    g_string_append_c(out, '\n');
}

static void describe_all(const HmpCommand *table, const char *prefix,
                         GString *out)
{
    for (; table->name; table++) {
        describe(table, prefix, out);
    }
}

static void unknown(const char *prefix, const char *name, GString *out)
{
    g_autofree char *shown = qapi_quote(name);

    g_string_append_printf(out, "unknown command: '%s%s'\n", prefix, shown);
}

bool hmp_help(const HmpArgs *args, GString *out, Error **errp)
{
    const HmpCommand *cmd;

    if (!args->arg[0].given) {
        describe_all(hmp_commands, "", out);
        return true;
    }
    cmd = hmp_find(hmp_commands, args->arg[0].text);
    if (cmd && cmd->sub && !args->arg[1].given) {
        describe_all(cmd->sub, "info ", out);
    } else if (cmd && cmd->sub && hmp_find(cmd->sub, args->arg[1].text)) {
        describe(hmp_find(cmd->sub, args->arg[1].text), "info ", out);
    } else if (cmd && !args->arg[1].given) {
        describe(cmd, "", out);
    } else if (cmd && cmd->sub) {
        unknown("info ", args->arg[1].text, out);
    } else {
        unknown("", args->arg[cmd ? 1 : 0].text, out);
    }
    return true;
}

/* ---- running ---- */

/* Cuts the first word off *@rest, which is then at the next. */
static char *split_name(char **rest)
{
    char *name = *rest;
    char *end = name + strcspn(name, " \t");

    if (*end) {
        *end++ = '\0';
    }
    *rest = end + strspn(end, " \t");
    return name;
}

static void run_command(HmpSession *session, const HmpCommand *cmd,
                        const char *prefix, const char *text, GString *out)
{
    HmpArgs args = { .session = session };
    g_autoptr(GError) err = NULL;

    if (!hmp_args_parse(cmd->params, text, &args, &err)) {
        g_string_append_printf(out, "Error: %s%s: %s, expected: ", prefix,
                               cmd->name, err->message);
        append_usage(cmd, prefix, out);
        g_string_append_c(out, '\n');
    } else if (!(cmd->qmp ? cmd->qmp(&err) : cmd->run(&args, out, &err))) {
        g_string_append_printf(out, "Error: %s\n", err->message);
    }
    hmp_args_clear(&args);
}

void hmp_run_line(HmpSession *session, const char *line, GString *out)
{
    g_autofree char *text = g_strstrip(g_strdup(line));
    char *rest = text;
    char *name = split_name(&rest);
    const HmpCommand *cmd = hmp_find(hmp_commands, name);
    const char *prefix = "";

    if (!*name) {
        return;
    }
    if (cmd && cmd->sub) {
        prefix = "info ";
        name = split_name(&rest);
        if (!*name) {
            describe_all(cmd->sub, prefix, out);
            return;
        }
        cmd = hmp_find(cmd->sub, name);
    }
    if (cmd) {
        run_command(session, cmd, prefix, rest, out);
    } else {
        unknown(prefix, name, out);
    }
}

void hmp_run(const char *line, GString *out)
{
    HmpSession session = { 0 };

    hmp_run_line(&session, line, out);
}
