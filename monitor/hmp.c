/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor's commands. */
#include "util/osdep.h"
#include "monitor/hmp-internal.h"
#include "net/net.h"
#include "qapi/qapi-visit.h"
#include "system/machine-lock.h"
#include "system/runstate.h"

static void hmp_help(const char *args, GString *out);
static void hmp_info(const char *args, GString *out);

static void hmp_quit(const char *args, GString *out)
{
    system_shutdown_request(SHUTDOWN_CAUSE_HOST_QMP_QUIT);
}

static void hmp_stop(const char *args, GString *out)
{
    machine_lock_assert();
    vm_stop(RUN_STATE_PAUSED);
}

static void hmp_cont(const char *args, GString *out)
{
    machine_lock_assert();
    if (runstate_needs_reset()) {
        g_string_append(out, "Error: the machine has ended: system_reset "
                             "first\n");
        return;
    }
    vm_start();
}

static void hmp_system_reset(const char *args, GString *out)
{
    system_reset_request(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
}

static void hmp_system_powerdown(const char *args, GString *out)
{
    system_powerdown_request();
}

static void announce_client(NetClientState *nc, void *opaque)
{
    machine_lock_assert();
    if (nc->info->announce) {
        nc->info->announce(nc);
    }
}

static void hmp_announce_self(const char *args, GString *out)
{
    machine_lock_assert();
    net_client_foreach(announce_client, NULL);
}

static const HmpCommand commands[] = {
    { "announce_self", NULL, "",
      "ask the guest to announce its NICs' addresses", hmp_announce_self },
    { "cont", "c", "", "let the machine run on", hmp_cont },
    { "help", "?", "[COMMAND]", "what a command does", hmp_help },
    { "info", NULL, "SUBJECT", "show the state of something", hmp_info },
    { "quit", "q", "", "end the emulator", hmp_quit },
    { "ringbuf_read", NULL, "DEVICE SIZE",
      "take up to SIZE bytes out of a ringbuf chardev", hmp_ringbuf_read },
    { "ringbuf_write", NULL, "DEVICE DATA",
      "put the rest of the line into a ringbuf chardev", hmp_ringbuf_write },
    { "stop", "s", "", "stop the machine", hmp_stop },
    { "system_powerdown", NULL, "", "press the power button",
      hmp_system_powerdown },
    { "system_reset", NULL, "", "press the reset button", hmp_system_reset },
    { NULL, NULL, NULL, NULL, NULL },
};

static const HmpCommand *find_command(const HmpCommand *table, const char *name)
{
    for (; table->name; table++) {
        if (strcmp(table->name, name) == 0 ||
            (table->alias && strcmp(table->alias, name) == 0)) {
            return table;
        }
    }
    return NULL;
}

/* "info NAME ARGS -- HELP" */
static void describe(const HmpCommand *cmd, const char *prefix, GString *out)
{
    g_string_append_printf(out, "%s%s", prefix, cmd->name);
    if (cmd->alias) {
        g_string_append_printf(out, "|%s", cmd->alias);
    }
    g_string_append_printf(out, "%s%s -- %s\n", *cmd->args ? " " : "",
                           cmd->args, cmd->help);
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

static void hmp_help(const char *args, GString *out)
{
    const HmpCommand *cmd;

    if (!*args) {
        describe_all(commands, "", out);
        return;
    }
    if (strcmp(args, "info") == 0) {
        describe_all(hmp_info_commands, "info ", out);
        return;
    }
    cmd = find_command(commands, args);
    if (cmd) {
        describe(cmd, "", out);
    } else {
        unknown("", args, out);
    }
}

static void hmp_info(const char *args, GString *out)
{
    const HmpCommand *cmd = find_command(hmp_info_commands, args);

    if (!*args) {
        describe_all(hmp_info_commands, "info ", out);
    } else if (cmd) {
        cmd->run("", out);
    } else {
        unknown("info ", args, out);
    }
}

void hmp_run(const char *line, GString *out)
{
    g_autofree char *text = g_strstrip(g_strdup(line));
    size_t len = strcspn(text, " \t");
    char *args = text + len;
    const HmpCommand *cmd;

    if (*args) {
        *args++ = '\0';
        args = g_strchug(args);
    }
    if (!*text) {
        return;
    }
    cmd = find_command(commands, text);
    if (!cmd) {
        unknown("", text, out);
    } else if (*args && !*cmd->args) {
        g_string_append_printf(out, "%s: takes no argument\n", cmd->name);
    } else {
        cmd->run(args, out);
    }
}
