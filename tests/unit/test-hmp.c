/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The human monitor: command lines, their arguments, completion. */
#include "util/osdep.h"
#include "chardev/char.h"
#include "monitor/hmp-internal.h"
#include "net/net.h"
#include "qapi/qapi-types.h"
#include "qom/object.h"
#include "system/machine-lock.h"
#include "system/main-loop.h"

static void MAIN_THREAD check(const char *line, const char *answer)
{
    g_autoptr(GString) out = g_string_new(NULL);

    hmp_run(line, out);
    g_assert_cmpstr(out->str, ==, answer);
}

/* ---- arguments ---- */

static const HmpParam params[] = {
    { "-a", HMP_FLAG },
    { "-b", HMP_FLAG },
    { "WORD", HMP_WORD },
    { "INT", HMP_INT, true, .max = 255 },
    { NULL },
};

static const HmpParam rest_params[] = {
    { "SIZE", HMP_SIZE, .max = MiB },
    { "REST", HMP_REST, true },
    { NULL },
};

static void refuse(const HmpParam *list, const char *text, const char *message)
{
    HmpArgs args = { 0 };
    g_autoptr(GError) err = NULL;

    g_assert_false(hmp_args_parse(list, text, &args, &err));
    g_assert_cmpstr(err->message, ==, message);
    hmp_args_clear(&args);
}

static void test_words(void)
{
    static const struct {
        const char *text, *word;
    } rows[] = {
        { "abc", "abc" },
        { "  abc \t", "abc" },
        { "\"a b\"", "a b" },
        { "\"\"", "" },
        { "\"a\\\"b\\\\\"", "a\"b\\" },
        { "a\"b", "a\"b" },
        { "a\\b", "a\\b" },
        { "\xff\x01", "\xff\x01" },
        { "--", NULL },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        HmpArgs args = { 0 };

        if (!rows[i].word) {
            refuse(params, rows[i].text, "there is no option '--'");
            continue;
        }
        g_assert_true(hmp_args_parse(params, rows[i].text, &args, NULL));
        g_assert_true(args.arg[2].given);
        g_assert_cmpstr(args.arg[2].text, ==, rows[i].word);
        g_assert_false(args.arg[0].given || args.arg[1].given ||
                       args.arg[3].given);
        hmp_args_clear(&args);
    }
}

static void test_flags(void)
{
    HmpArgs args = { 0 };

    g_assert_true(hmp_args_parse(params, "-b x 0xff", &args, NULL));
    g_assert_false(args.arg[0].given);
    g_assert_true(args.arg[1].given);
    g_assert_cmpstr(args.arg[2].text, ==, "x");
    g_assert_cmpuint(args.arg[3].number, ==, 255);
    hmp_args_clear(&args);
    args = (HmpArgs){ 0 };
    g_assert_true(hmp_args_parse(params, "-b -a -b x", &args, NULL));
    g_assert_true(args.arg[0].given && args.arg[1].given);
    hmp_args_clear(&args);
    /* After the flags a dash is a letter like any other. */
    args = (HmpArgs){ 0 };
    g_assert_true(hmp_args_parse(params + 2, "-a", &args, NULL));
    g_assert_cmpstr(args.arg[0].text, ==, "-a");
    hmp_args_clear(&args);
}

static void test_rest(void)
{
    HmpArgs args = { 0 };

    g_assert_true(
        hmp_args_parse(rest_params, " 4k  two \"words\" ", &args, NULL));
    g_assert_cmpuint(args.arg[0].number, ==, 4096);
    g_assert_cmpstr(args.arg[1].text, ==, "two \"words\" ");
    hmp_args_clear(&args);
    args = (HmpArgs){ 0 };
    g_assert_true(hmp_args_parse(rest_params, "1M", &args, NULL));
    g_assert_false(args.arg[1].given);
    hmp_args_clear(&args);
    g_assert_true(hmp_args_parse(NULL, "  ", &args, NULL));
}

static void test_wrong(void)
{
    refuse(NULL, "x", "'x' is too much");
    refuse(params, "", "WORD is missing");
    refuse(params, "-a", "WORD is missing");
    refuse(params, "-c x", "there is no option '-c'");
    refuse(params, "-ab x", "there is no option '-ab'");
    refuse(params, "x 1 2", "'2' is too much");
    refuse(params, "x 1 \033[2J", "'\\x1b[2J' is too much");
    refuse(params, "\"x", "a closing \" is missing");
    refuse(params, "\"x\\", "in quotes, write \\\\ for \\ and \\\" for \"");
    refuse(params, "\"x\\n\"", "in quotes, write \\\\ for \\ and \\\" for \"");
    refuse(params, "\"x\"y", "a blank is missing after the closing \"");
    refuse(rest_params, "", "SIZE is missing");
    refuse(rest_params, "0", "SIZE expects 1 to 1M bytes, not '0'");
    refuse(rest_params, "-1", "SIZE expects 1 to 1M bytes, not '-1'");
    refuse(rest_params, "2M", "SIZE expects 1 to 1M bytes, not '2M'");
    refuse(rest_params, "99999999999999999999",
           "SIZE expects 1 to 1M bytes, not '99999999999999999999'");
}

static void test_numbers(void)
{
    static const char *const bad[] = {
        "256", "-1", "x", "1x", "0x100", "1.5", "0x", "18446744073709551616"
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        g_autofree char *text = g_strdup_printf("w %s", bad[i]);
        HmpArgs args = { 0 };
        g_autoptr(GError) err = NULL;

        g_assert_false(hmp_args_parse(params, text, &args, &err));
        g_assert_nonnull(strstr(err->message, "INT"));
        hmp_args_clear(&args);
    }
}

/* ---- the tables ---- */

/* What the user is told of it fits the way arguments are read. */
static void check_row(const HmpCommand *cmd, const HmpCommand *table)
{
    bool optional = false, rest = false, positional = false;
    size_t n = 0;

    g_assert_true(cmd->help && *cmd->help);
    g_assert_cmpint(!!cmd->run + !!cmd->sub + !!cmd->qmp, ==, 1);
    g_assert_true(!cmd->qmp || !cmd->params);
    g_assert_true(hmp_find(table, cmd->name) == cmd);
    g_assert_true(!cmd->alias || hmp_find(table, cmd->alias) == cmd);
    g_assert_true(!cmd[1].name || strcmp(cmd->name, cmd[1].name) < 0);
    for (const HmpParam *p = cmd->params; p && p->name; p++, n++) {
        g_assert_false(rest);
        g_assert_true(p->kind == HMP_FLAG ? p->name[0] == '-' && !positional
                                          : p->optional >= optional);
        positional |= p->kind != HMP_FLAG;
        optional |= p->optional;
        rest = p->kind == HMP_REST;
    }
    g_assert_cmpuint(n, <=, HMP_MAX_ARGS);
}

static void test_tables(void)
{
    for (const HmpCommand *cmd = hmp_commands; cmd->name; cmd++) {
        check_row(cmd, hmp_commands);
    }
    for (const HmpCommand *cmd = hmp_info_commands; cmd->name; cmd++) {
        check_row(cmd, hmp_info_commands);
    }
}

static void MAIN_THREAD check_help(const HmpCommand *table, const char *prefix)
{
    g_autofree char *ask = g_strdup_printf("help %s", prefix);
    g_autoptr(GString) all = g_string_new(NULL);

    hmp_run(ask, all);
    for (; table->name; table++) {
        g_autofree char *line = g_strdup_printf("? %s%s", prefix, table->name);
        g_autofree char *begin = g_strdup_printf("%s%s", prefix, table->name);
        g_autoptr(GString) one = g_string_new(NULL);

        if (table->sub) {
            continue;
        }
        hmp_run(line, one);
        g_assert_true(g_str_has_prefix(one->str, begin));
        g_assert_nonnull(strstr(one->str, table->help));
        g_assert_nonnull(strstr(all->str, one->str));
    }
}

static void NO_THREAD_SAFETY test_help(void)
{
    check_help(hmp_commands, "");
    check_help(hmp_info_commands, "info ");
    check("help q", "quit -- end the emulator (short: q)\n");
    check("help ringbuf_read", "ringbuf_read DEVICE SIZE -- take up to SIZE "
                               "bytes out of a ringbuf chardev\n");
    check("help nonsense", "unknown command: 'nonsense'\n");
    check("help info nonsense", "unknown command: 'info nonsense'\n");
    check("help stop nonsense", "unknown command: 'nonsense'\n");
    check("help nonsense stop", "unknown command: 'nonsense'\n");
    check("help a b c", "Error: help: 'c' is too much, expected: help "
                        "[COMMAND] [SUBJECT]\n");
}

static void NO_THREAD_SAFETY test_lines(void)
{
    g_autoptr(GString) all = g_string_new(NULL), list = g_string_new(NULL);

    check("", "");
    check(" \t ", "");
    check("nonsense 1 2", "unknown command: 'nonsense'\n");
    check("info nonsense", "unknown command: 'info nonsense'\n");
    check("sto", "unknown command: 'sto'\n");
    check("info stat", "unknown command: 'info stat'\n");
    check("stop now", "Error: stop: 'now' is too much, expected: stop\n");
    check("info status now",
          "Error: info status: 'now' is too much, expected: info status\n");
    check("ringbuf_read", "Error: ringbuf_read: DEVICE is missing, expected: "
                          "ringbuf_read DEVICE SIZE\n");
    hmp_run("info", all);
    hmp_run("help info", list);
    g_assert_cmpstr(all->str, ==, list->str);
}

/* ---- ring buffers ---- */

static void NO_THREAD_SAFETY test_ringbuf(void)
{
    Chardev *chr = chardev_new_from_opts("ringbuf,id=r,size=32", NULL);

    g_assert_nonnull(chr);
    check("ringbuf_read r 10", "");
    check("ringbuf_write r two words", "");
    check("ringbuf_read r 3", "two\n");
    check("ringbuf_read r 1M", " words\n");
    g_assert_true(chardev_ringbuf_write(chr, "\033[2J\\\0\xff\t\n", 9, NULL));
    check("ringbuf_read r 0x10", "\\x1b[2J\\\\\\x00\\xff\t\n");
    check("ringbuf_write r 0123456789012345678901234567890123456789", "");
    check("ringbuf_read r 64", "89012345678901234567890123456789\n");
    g_assert_true(chardev_remove("r", NULL));
}

static void NO_THREAD_SAFETY test_ringbuf_errors(void)
{
    g_assert_nonnull(chardev_new_from_opts("null,id=n", NULL));
    check("ringbuf_read x 1",
          "Error: Chardev 'x' not found (info chardev lists them)\n");
    check("ringbuf_read n 1", "Error: Chardev 'n' is not a ring buffer\n");
    check("ringbuf_write n a", "Error: Chardev 'n' is not a ring buffer\n");
    g_assert_true(chardev_remove("n", NULL));
}

/* ---- character devices ---- */

static void NO_THREAD_SAFETY test_chardev(void)
{
    check("chardev-add null,id=c0", "");
    check("info chardev", "c0: filename=null\n");
    check("chardev-change c0 ringbuf,size=64", "");
    check("ringbuf_write c0 x", "");
    check("ringbuf_read c0 1", "x\n");
    check("chardev-change c0 null,id=c1",
          "Error: Parameter 'id' is not expected here\n");
    check("chardev-change c0 null,mux=on",
          "Error: Parameter 'mux' is for new chardevs only\n");
    check("chardev-change c1 null",
          "Error: Chardev 'c1' not found (info chardev lists them)\n");
    check("chardev-send-break c0", "");
    check("chardev-send-break c1",
          "Error: Chardev 'c1' not found (info chardev lists them)\n");
    check("chardev-remove c0", "");
    check("chardev-remove c0",
          "Error: Chardev 'c0' not found (info chardev lists them)\n");
    check("info chardev", "");
}

/* A server's peer is not waited for, as it is on the command line. */
static void NO_THREAD_SAFETY test_chardev_no_wait(void)
{
    g_autofree char *dir = g_dir_make_tmp("test-hmp-XXXXXX", NULL);
    g_autofree char *line =
        g_strdup_printf("chardev-add socket,id=s,path=%s/s,server=on", dir);

    check(line, "");
    check("chardev-remove s", "");
    g_assert_cmpint(rmdir(dir), ==, 0);
}

/* ---- completion ---- */

/* What may stand at the end of @line, in a line; "..." after words that may go
 * on. */
static void MAIN_THREAD completes(const char *line, const char *expected)
{
    const char *blank = strrchr(line, ' ');
    size_t start = blank ? (size_t)(blank + 1 - line) : 0;
    g_autofree char *before = g_strndup(line, start);
    g_autoptr(GString) found = g_string_new(NULL);
    HmpWords words = {
        .prefix = line + start,
        .list = g_ptr_array_new_with_free_func(g_free),
    };

    hmp_complete(before, &words);
    for (guint i = 0; i < words.list->len; i++) {
        g_string_append_printf(found, "%s%s", i ? " " : "",
                               (char *)g_ptr_array_index(words.list, i));
    }
    g_string_append(found, words.open ? "..." : "");
    g_assert_cmpstr(found->str, ==, expected);
    g_ptr_array_unref(words.list);
}

static void NO_THREAD_SAFETY test_complete_commands(void)
{
    completes("sto", "stop");
    completes("  sto", "stop");
    completes("system_", "system_powerdown system_reset");
    completes("nonsense", "");
    completes("nonsense ", "");
    completes("stop ", "");
    completes("info memo", "memory_size_summary");
    completes("info uuid ", "");
    completes("help sys", "system_powerdown system_reset");
    completes("? info u", "usernet uuid");
    completes("? stop u", "");
    completes("info registers -", "-a");
    completes("info stats v", "vm vcpu");
    completes("object_add io", "iothread...");
    completes("chardev-add ri", "ringbuf...");
    completes("chardev-change x nu", "null...");
    completes("chardev-add null,id=x nu", "");
}

static void NO_THREAD_SAFETY test_complete_names(void)
{
    NetClientState nic = { 0 };
    NetClientInfo info = { .type = NET_CLIENT_DRIVER_NIC };

    g_assert_nonnull(chardev_new_from_opts("ringbuf,id=ring", NULL));
    g_assert_nonnull(chardev_new_from_opts("null,id=rest", NULL));
    completes("chardev-remove r", "ring rest");
    completes("ringbuf_read ", "ring");
    completes("ringbuf_read ring ", "");
    completes("chardev-change re", "rest");
    g_assert_true(chardev_remove("ring", NULL));
    g_assert_true(chardev_remove("rest", NULL));

    g_assert_true(net_client_register(&nic, &info, "nic0", 0, NULL));
    completes("announce_self n", "");
    info.announce = (void (*)(NetClientState *))abort; /* it is not called */
    completes("announce_self n", "nic0");
    completes("set_link ", "nic0");
    completes("set_link nic0 o", "on off");
    completes("netdev_del ", "");
    completes("netdev_add t", "tap...");
    net_client_unregister(&nic);
}

static void NO_THREAD_SAFETY test_complete_objects(void)
{
    check("object_add memory-backend-ram,id=mem0,size=1M", "");
    check("object_add memory-backend-ram,id=mem1,size=1M", "");
    completes("object_del ", "mem0 mem1");
    completes("object_del mem1", "mem1");
    completes("qom-list ", "/...");
    completes("qom-list /o", "/objects...");
    completes("qom-list /objects/", "/objects/mem0 /objects/mem1");
    completes("qom-get /objects/mem1", "/objects/mem1");
    completes("qom-get /objects/mem1 siz", "size");
    completes("qom-set -j /objects/mem1 siz", "size");
    completes("qom-set -", "-j");
    completes("qom-get /nowhere/", "");
    completes("qom-get /nowhere siz", "");
    check("object_del mem0", "");
    check("object_del mem1", "");
    completes("object_del ", "");
}

/* ---- objects ---- */

static void NO_THREAD_SAFETY test_qom(void)
{
    check("object_add memory-backend-ram,id=mem0,size=1M", "");
    check("qom-get /objects/mem0 size", "1048576\n");
    check("qom-get mem0 share", "false\n");
    check("qom-get \"/objects/mem0\" \"id\"",
          "Error: Property 'memory-backend-ram.id' not found\n");
    check("info qom-tree /objects",
          "/objects (container)\n  /mem0 (memory-backend-ram)\n");
    check("info qom-tree /none", "Error: there is no object '/none'\n");
    check("object_del mem0", "");
    check("object_del mem0", "Error: object 'mem0' not found\n");
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_true(main_loop_init(NULL));
    g_test_add_func("/hmp/args/words", test_words);
    g_test_add_func("/hmp/args/flags", test_flags);
    g_test_add_func("/hmp/args/rest", test_rest);
    g_test_add_func("/hmp/args/wrong", test_wrong);
    g_test_add_func("/hmp/args/numbers", test_numbers);
    g_test_add_func("/hmp/tables", test_tables);
    g_test_add_func("/hmp/help", test_help);
    g_test_add_func("/hmp/lines", test_lines);
    g_test_add_func("/hmp/ringbuf", test_ringbuf);
    g_test_add_func("/hmp/ringbuf-errors", test_ringbuf_errors);
    g_test_add_func("/hmp/chardev", test_chardev);
    g_test_add_func("/hmp/chardev-no-wait", test_chardev_no_wait);
    g_test_add_func("/hmp/complete/commands", test_complete_commands);
    g_test_add_func("/hmp/complete/names", test_complete_names);
    g_test_add_func("/hmp/complete/objects", test_complete_objects);
    g_test_add_func("/hmp/qom", test_qom);
    return g_test_run();
}
