/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line: every good form, and the exact message of every bad one. */
#include "util/osdep.h"
#include "accel/accel.h"
#include "system/cmdline.h"

const char *const *accel_names(void)
{
    static const char *const names[] = { "kvm", "qtest", NULL };

    return names;
}

/* Parses @line, whose words are separated by blanks; '~' in a word stands for
 * a blank. */
static VmConfig *parse(const char *line, Error **errp)
{
    g_autofree char *all = g_strconcat("qemu ", line, NULL);
    g_auto(GStrv) argv = g_strsplit(g_strchomp(all), " ", -1);

    for (char **word = argv; *word; word++) {
        g_strdelimit(*word, "~", ' ');
    }
    return cmdline_parse((int)g_strv_length(argv), argv, errp);
}

static VmConfig *parse_ok(const char *line)
{
    Error *err = NULL;
    VmConfig *cfg = parse(line, &err);

    g_assert_no_error(err);
    return cfg;
}

static const char *item(GPtrArray *list, unsigned index)
{
    g_assert_cmpuint(index, <, list->len);
    return ((VmItem *)g_ptr_array_index(list, index))->text;
}

/* ---- good forms ---- */

static void test_defaults(void)
{
    VmConfig *cfg = parse_ok("");

    g_assert_cmpstr(cfg->machine, ==, "pc");
    g_assert_false(cfg->machine_none);
    g_assert_cmpuint(cfg->ram_size, ==, 128 * MiB);
    g_assert_cmpuint(cfg->topo.cpus, ==, 1);
    g_assert_cmpuint(cfg->topo.maxcpus, ==, 1);
    g_assert_cmpuint(cfg->accels->len, ==, 1);
    g_assert_cmpstr(g_ptr_array_index(cfg->accels, 0), ==, "kvm");
    g_assert_true(cfg->acpi);
    g_assert_true(cfg->use_default_serial);
    g_assert_true(cfg->use_default_monitor);
    g_assert_true(cfg->use_terminal);
    vm_config_free(cfg);
}

static void test_typical(void)
{
    VmConfig *cfg = parse_ok(
        "--enable-kvm -m 2G -smp 4 -cpu host -kernel vm -initrd rd -append "
        "console=ttyS0~quiet -nographic -no-reboot -nodefaults -serial stdio "
        "-netdev tap,id=n0,queues=4 -device virtio-net-pci,netdev=n0,mq=on "
        "-S -name g,debug-threads=on -pidfile p -object iothread,id=io0 "
        "-uuid 550e8400-e29b-41d4-a716-446655440000 -no-shutdown");

    g_assert_cmpuint(cfg->ram_size, ==, 2 * GiB);
    g_assert_cmpuint(cfg->topo.cpus, ==, 4);
    g_assert_cmpstr(cfg->cpu, ==, "host");
    g_assert_cmpstr(cfg->kernel, ==, "vm");
    g_assert_cmpstr(cfg->append, ==, "console=ttyS0 quiet");
    g_assert_cmpint(cfg->actions.reboot, ==, REBOOT_ACTION_SHUTDOWN);
    g_assert_cmpint(cfg->actions.shutdown, ==, SHUTDOWN_ACTION_PAUSE);
    g_assert_cmpint(cfg->actions.panic, ==, PANIC_ACTION_SHUTDOWN);
    g_assert_true(cfg->start_paused);
    g_assert_cmpstr(cfg->name, ==, "g");
    g_assert_cmpuint(cfg->uuid[0], ==, 0x55);
    g_assert_cmpuint(cfg->uuid[15], ==, 0);
    g_assert_cmpuint(cfg->uuid[5], ==, 0x9b);
    g_assert_cmpstr(item(cfg->netdevs, 0), ==, "tap,id=n0,queues=4");
    g_assert_cmpstr(item(cfg->serials, 0), ==, "stdio");
    g_assert_false(cfg->use_default_serial);
    g_assert_false(cfg->use_default_monitor);
    vm_config_free(cfg);
}

/* -enable-kvm means -accel kvm, and adds nothing where kvm is named already. */
static void test_enable_kvm(void)
{
    static const struct {
        const char *line, *accels[3];
    } rows[] = {
        { "-enable-kvm", { "kvm" } },
        { "-machine pc,accel=kvm -enable-kvm", { "kvm" } },
        { "-enable-kvm -machine pc,accel=qtest:kvm", { "qtest", "kvm" } },
        { "-accel kvm -enable-kvm", { "kvm" } },
        { "-enable-kvm -accel kvm", { "kvm" } },
        { "-enable-kvm -accel qtest", { "kvm", "qtest" } },
        { "-accel qtest -enable-kvm", { "qtest", "kvm" } },
        { "-accel tcg,thread=multi -accel qtest", { "tcg", "qtest" } },
        { "-accel qtest -accel tcg", { "qtest", "tcg" } },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        VmConfig *cfg = parse_ok(rows[i].line);

        g_assert_cmpuint(cfg->accels->len, ==,
                         g_strv_length((char **)rows[i].accels));
        for (guint n = 0; n < cfg->accels->len; n++) {
            g_assert_cmpstr(g_ptr_array_index(cfg->accels, n), ==,
                            rows[i].accels[n]);
        }
        vm_config_free(cfg);
    }
}

/* Accepted; what they mean is checked elsewhere or is nothing. */
static const char *const accepted[] = {
    "-M pc",
    "-machine pc-i440fx-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram",
    "-machine type=pc,accel=kvm:tcg,vmport=off,smm=off,hpet=off,mem-merge=off",
    "-machine {\"type\":\"pc\",\"acpi\":false}",
    "-machine none,accel=kvm:tcg",
    "-machine kernel=k,append=a",
    "-accel kvm -accel qtest",
    "-accel kvm,kernel-irqchip=on",
    "-boot order=dc,menu=on,strict=on",
    "-boot n",
    "-rtc base=utc,driftfix=slew,clock=host",
    "-overcommit mem-lock=off,cpu-pm=off",
    "-audio none",
    "-audiodev none,id=a",
    "-audiodev {\"id\":\"audio1\",\"driver\":\"none\"}",
    "-msg timestamp=on",
    "-display none -vga none -parallel none -qmp none -monitor none",
    "-action reboot=shutdown,shutdown=pause,panic=exit-failure",
    "-no-hpet -no-acpi -no-user-config -sandbox off",
    "-fw_cfg name=opt/x,string=a,,b",
    "-fw_cfg opt/x,file=f",
    "-mon chardev=c,mode=readline",
    "-mon chardev=c,mode=control,pretty=on -mon d,mode=control,id=m,pretty",
    "-qmp stdio -qmp-pretty unix:/x,server=on,wait=off -preconfig",
    "-nodefaults -nographic -daemonize",
    "-daemonize",
    "-display none -daemonize",
    "-serial none -serial null -serial pty -serial mon:stdio",
    "-m 512 -m 1024k,slots=0",
    "-m size=1G,maxmem=1G",
};

static void test_accepted(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(accepted); i++) {
        vm_config_free(parse_ok(accepted[i]));
    }
}

typedef struct SmpCase {
    const char *line;
    CpuTopology topo;
} SmpCase;

static const SmpCase smp_cases[] = {
    { "-smp 6", { 6, 6, 1, 1, 6, 1 } },
    { "-smp cpus=64", { 64, 64, 1, 1, 64, 1 } },
    { "-smp 4,sockets=4", { 4, 4, 4, 1, 1, 1 } },
    { "-smp 4,cores=2", { 4, 4, 2, 1, 2, 1 } },
    { "-smp 4,threads=2", { 4, 4, 1, 1, 2, 2 } },
    { "-smp 8,sockets=2,cores=2", { 8, 8, 2, 1, 2, 2 } },
    { "-smp 2,maxcpus=8", { 2, 8, 1, 1, 8, 1 } },
    { "-smp maxcpus=8", { 8, 8, 1, 1, 8, 1 } },
    { "-smp sockets=2,cores=4", { 8, 8, 2, 1, 4, 1 } },
    { "-smp dies=2,cores=3,threads=2", { 12, 12, 1, 2, 3, 2 } },
    { "-smp 1,maxcpus=2,sockets=1,dies=1,cores=2,threads=1",
      { 1, 2, 1, 1, 2, 1 } },
};

static void test_smp(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(smp_cases); i++) {
        VmConfig *cfg = parse_ok(smp_cases[i].line);

        g_test_message("%s", smp_cases[i].line);
        g_assert_cmpmem(&cfg->topo, sizeof(cfg->topo), &smp_cases[i].topo,
                        sizeof(cfg->topo));
        vm_config_free(cfg);
    }
}

typedef struct TerminalCase {
    const char *line;
    bool serial, monitor, terminal;
} TerminalCase;

/* Who gets a serial port and a monitor without asking, and where. */
static const TerminalCase terminal_cases[] = {
    { "", true, true, true },
    { "-nographic", true, true, true },
    { "-display none", true, false, false },
    { "-display none -nographic", true, true, true },
    { "-nodefaults", false, false, true },
    { "-machine none", false, false, true },
    { "-serial null", false, true, true },
    { "-serial stdio", false, false, false },
    { "-serial mon:pty", false, false, true },
    { "-monitor none", true, false, true },
    { "-monitor stdio", true, false, false },
    { "-chardev stdio,id=c", true, false, false },
    { "-daemonize", true, false, false },
};

static void test_terminal(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(terminal_cases); i++) {
        const TerminalCase *c = &terminal_cases[i];
        VmConfig *cfg = parse_ok(c->line);

        g_test_message("%s", c->line);
        g_assert_cmpint(cfg->use_default_serial, ==, c->serial);
        g_assert_cmpint(cfg->use_default_monitor, ==, c->monitor);
        g_assert_cmpint(cfg->use_terminal, ==, c->terminal);
        vm_config_free(cfg);
    }
}

typedef struct HelpCase {
    const char *line;
    HelpTopic topic;
    const char *arg;
} HelpCase;

static const HelpCase help_cases[] = {
    { "-help", HELP_OPTIONS, NULL },
    { "--help", HELP_OPTIONS, NULL },
    { "-h -nonsense", HELP_OPTIONS, NULL },
    { "-version", HELP_VERSION, NULL },
    { "-m 1G -machine help", HELP_MACHINE, NULL },
    { "-M ?", HELP_MACHINE, NULL },
    { "-machine pc,help", HELP_MACHINE, "pc" },
    { "-accel help", HELP_ACCEL, NULL },
    { "-cpu help", HELP_CPU, NULL },
    { "-device help", HELP_DEVICE, NULL },
    { "-device virtio-net-pci,help", HELP_DEVICE, "virtio-net-pci" },
    { "-object help", HELP_OBJECT, NULL },
    { "-object iothread,help", HELP_OBJECT, "iothread" },
    { "-netdev help", HELP_NETDEV, NULL },
    { "-netdev tap,help", HELP_NETDEV, "tap" },
    { "-nic help", HELP_NETDEV, NULL },
    { "-nic tap,help", HELP_NETDEV, "tap" },
    { "-nic model=help", HELP_NIC_MODEL, NULL },
    { "-nic tap,model=help", HELP_NIC_MODEL, NULL },
    { "-net nic,model=?", HELP_NIC_MODEL, NULL },
    { "-chardev help", HELP_CHARDEV, NULL },
    { "-chardev socket,help", HELP_CHARDEV, "socket" },
    { "-display help", HELP_NO_HARDWARE, NULL },
    { "-vga help", HELP_NO_HARDWARE, NULL },
    { "-d help", HELP_LOG, NULL },
};

static void test_help(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(help_cases); i++) {
        VmConfig *cfg = parse_ok(help_cases[i].line);

        g_assert_cmpint(cfg->help, ==, help_cases[i].topic);
        g_assert_cmpstr(cfg->help_arg, ==, help_cases[i].arg);
        vm_config_free(cfg);
    }
}

static void test_json_items(void)
{
    VmConfig *cfg = parse_ok("-device {\"driver\":\"d\",\"mq\":true} "
                             "-object {\"qom-type\":\"t\",\"id\":\"i\"} "
                             "-device d,a.0.b=c");
    const VmItem *first = g_ptr_array_index(cfg->devices, 0);
    const VmItem *second = g_ptr_array_index(cfg->devices, 1);

    g_assert_cmpstr(
        json_object_to_json_string_ext(first->json, JSON_C_TO_STRING_PLAIN), ==,
        "{\"driver\":\"d\",\"mq\":true}");
    g_assert_cmpstr(
        json_object_to_json_string_ext(second->json, JSON_C_TO_STRING_PLAIN),
        ==, "{\"driver\":\"d\",\"a\":[{\"b\":\"c\"}]}");
    vm_config_free(cfg);
}

/* ---- bad forms ---- */

typedef struct BadLine {
    const char *line, *error;
} BadLine;

static const BadLine bad_lines[] = {
    { "-nonsense", "-nonsense: invalid option (-help lists them)" },
    { "--nonsense", "--nonsense: invalid option (-help lists them)" },
    { "---m", "---m: invalid option (-help lists them)" },
    { "-", "-: invalid option (-help lists them)" },
    { "disk.img", "disk.img: options begin with '-'; disk images are not "
                  "supported" },
    { "-m", "-m: requires an argument, [size=]N[k|M|G]" },
    { "-m foo", "-m foo: Parameter 'size' expects a size below 2^64, a number "
                "with an optional suffix k, M, G, T, P or E, not 'foo'" },
    { "-m 0", "-m 0: Parameter 'size' expects at least 1M and a multiple of "
              "4k, not '0'" },
    { "-m -1", "-m -1: Parameter 'size' expects a size below 2^64, a number "
               "with an optional suffix k, M, G, T, P or E, not '-1'" },
    { "-m 1025k", "-m 1025k: Parameter 'size' expects at least 1M and a "
                  "multiple of 4k, not '1025k'" },
    { "-m 1G,slots=2", "-m 1G,slots=2: slots=2: memory cannot be plugged in "
                       "later, only slots=0" },
    { "-m 1G,maxmem=2G", "-m 1G,maxmem=2G: maxmem=2G: memory cannot be "
                         "plugged in later, maxmem is at most the size" },
    { "-M q35", "-M q35: unsupported machine type 'q35': pc, pc-i440fx-VERSION "
                "or none (-machine help lists them)" },
    { "-machine usb=on", "-machine usb=on: usb=on is not supported, only off" },
    { "-machine hpet=on",
      "-machine hpet=on: hpet=on is not supported, only off" },
    { "-machine kernel-irqchip=split",
      "-machine kernel-irqchip=split: kernel-irqchip=split is not supported, "
      "only on or yes or true" },
    { "-machine accel=tcg", "-machine accel=tcg: invalid accelerator 'tcg': "
                            "one of kvm, qtest" },
    { "-accel tcg", "-accel tcg: invalid accelerator 'tcg': one of kvm, "
                    "qtest" },
    { "-machine accel=kvm -accel kvm",
      "-machine accel= and -accel say the same thing: give one of them" },
    { "-machine accel=qtest -enable-kvm",
      "-machine accel= and -accel say the same thing: give one of them" },
    { "-machine accel=kvm -enable-kvm -accel kvm",
      "-machine accel= and -accel say the same thing: give one of them" },
    { "-machine colour=red",
      "-machine colour=red: Invalid parameter 'colour' (-machine pc,help lists "
      "them)" },
    { "-machine tricorder,help",
      "-machine tricorder,help: unsupported machine type 'tricorder': pc, "
      "pc-i440fx-VERSION or none (-machine help lists them)" },
    { "-M none -kernel k",
      "-kernel k: machine none has no CPU to run it, use -machine pc" },
    { "-smp help", "-smp help: Invalid CPU topology: cpus=help, expected a "
                   "number from 1 to 64" },
    { "-smp 4,cores=", "-smp 4,cores=: Invalid CPU topology: cores=, expected "
                       "a number from 1 to 64" },
    { "-smp 0", "-smp 0: Invalid CPU topology: cpus=0, expected a number from "
                "1 to 64" },
    { "-smp 65", "-smp 65: Invalid CPU topology: cpus=65, expected a number "
                 "from 1 to 64" },
    { "-smp 4,cores=-1", "-smp 4,cores=-1: Invalid CPU topology: cores=-1, "
                         "expected a number from 1 to 64" },
    { "-smp 4,sockets=3",
      "-smp 4,sockets=3: Invalid CPU topology: product of the hierarchy must "
      "match maxcpus: sockets (3) * dies (1) * cores (1) * threads (1) != "
      "maxcpus (4)" },
    { "-smp 4,maxcpus=2",
      "-smp 4,maxcpus=2: Invalid CPU topology: maxcpus must be equal to or "
      "greater than cpus: maxcpus (2) < cpus (4)" },
    { "-smp sockets=64,cores=64",
      "-smp sockets=64,cores=64: Invalid SMP CPUs 4096. The max CPUs "
      "supported by machine 'pc' is 64" },
    { "-rtc driftfix=fast",
      "-rtc driftfix=fast: Parameter 'driftfix' does not accept value 'fast', "
      "expected one of: none, slew" },
    { "-overcommit cpu-pm=on",
      "-overcommit cpu-pm=on: cpu-pm=on is not supported, only off" },
    { "-audio pa", "-audio pa: there is no sound: only driver none" },
    { "-display gtk", "-display gtk: there is no display: only none" },
    { "-vga std", "-vga std: there is no such hardware: only none" },
    { "-parallel vc", "-parallel vc: there is no such hardware: only none" },
    { "-run-with async-teardown=on",
      "-run-with async-teardown=on: async-teardown=on is not supported, only "
      "off" },
    { "-drive file=x",
      "-drive file=x: not supported by this emulator: there are no disks; a "
      "guest boots from -kernel and -initrd, and reaches storage over the "
      "network" },
    { "-usb", "-usb: not supported by this emulator: there is no USB; the "
              "keyboard is a serial port's" },
    { "-vnc :1", "-vnc :1: not supported by this emulator: there is no "
                 "display; use -serial, with -display none" },
    { "-incoming defer", "-incoming defer: not supported by this emulator: a "
                         "machine cannot be migrated or saved" },
    { "-mon chardev=c,mode=martian",
      "-mon chardev=c,mode=martian: Parameter 'mode' does not accept value "
      "'martian', expected one of: readline, control" },
    { "-mon chardev=c,pretty=maybe",
      "-mon chardev=c,pretty=maybe: Parameter 'pretty' expects 'on' or 'off', "
      "not 'maybe'" },
    { "-preconfig -daemonize -nodefaults -nographic",
      "-preconfig and -daemonize exclude each other" },
    { "-daemonize -nodefaults -qmp stdio",
      "-daemonize: there is no terminal in the background: no stdio, and "
      "-nographic only with -nodefaults or with both -serial and -monitor" },
    { "-append x", "-append only allowed with -kernel option" },
    { "-initrd x", "-initrd only allowed with -kernel option" },
    { "-uuid 123", "-uuid 123: expected a UUID like "
                   "550e8400-e29b-41d4-a716-446655440000" },
    { "-uuid 550e8400e29b-41d4-a716-4466554400000",
      "-uuid 550e8400e29b-41d4-a716-4466554400000: expected a UUID like "
      "550e8400-e29b-41d4-a716-446655440000" },
    { "-fw_cfg opt/x", "-fw_cfg opt/x: expected name=NAME and exactly one of "
                       "file=FILE and string=TEXT" },
    { "-fw_cfg opt/x,string=a,file=b",
      "-fw_cfg opt/x,string=a,file=b: expected name=NAME and exactly one of "
      "file=FILE and string=TEXT" },
    { "-serial null -serial null -serial null -serial null -serial null",
      "-serial null: too many serial ports, at most 4" },
    { "-daemonize -nographic",
      "-daemonize: there is no terminal in the background: no stdio, and "
      "-nographic only with -nodefaults or with both -serial and -monitor" },
    { "-daemonize -serial stdio",
      "-daemonize: there is no terminal in the background: no stdio, and "
      "-nographic only with -nodefaults or with both -serial and -monitor" },
};

static void test_bad_lines(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(bad_lines); i++) {
        Error *err = NULL;

        g_assert_null(parse(bad_lines[i].line, &err));
        g_assert_cmpstr(err->message, ==, bad_lines[i].error);
        g_error_free(err);
    }
}

/* Refused by the schema; its own tests check the words. */
static const char *const refused[] = {
    "-machine foo=on",    "-machine usb=maybe", "-smp cpus=x",
    "-smp 4,foo=1",       "-name foo=bar",      "-msg timestamp=perhaps",
    "-boot foo=1",        "-action reboot=no",  "-rtc foo=1",
    "-overcommit foo=on", "-device {",          "-device {\"driver\":}",
    "-object a..b=c",     "-machine {\"a\":1}", "-fw_cfg string=x",
    "-mon mode=readline", "-accel foo=bar",     "-m 1G,foo=1",
    "-audiodev id=x",
};

static void test_refused_by_schema(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        g_auto(GStrv) words = g_strsplit(refused[i], " ", 2);
        g_autofree char *prefix = g_strdup_printf("%s ", words[0]);
        Error *err = NULL;

        g_assert_null(parse(refused[i], &err));
        g_assert_true(g_str_has_prefix(err->message, prefix));
        g_assert_null(strchr(err->message, '\n'));
        g_error_free(err);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cmdline/defaults", test_defaults);
    g_test_add_func("/cmdline/typical", test_typical);
    g_test_add_func("/cmdline/accepted", test_accepted);
    g_test_add_func("/cmdline/smp", test_smp);
    g_test_add_func("/cmdline/terminal", test_terminal);
    g_test_add_func("/cmdline/enable-kvm", test_enable_kvm);
    g_test_add_func("/cmdline/help", test_help);
    g_test_add_func("/cmdline/json-items", test_json_items);
    g_test_add_func("/cmdline/bad", test_bad_lines);
    g_test_add_func("/cmdline/refused-by-schema", test_refused_by_schema);
    return g_test_run();
}
