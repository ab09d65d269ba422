/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table of options, and the handlers that have no file of their own. */
#include "util/osdep.h"
#include "qapi/keyval.h"
#include "qapi/qapi-types.h"
#include "qapi/qapi-visit.h"
#include "system/cmdline-internal.h"

bool option_is_help(VmConfig *cfg, const char *arg, HelpTopic topic)
{
    bool help = strcmp(arg, "help") == 0 || strcmp(arg, "?") == 0;

    if (help) {
        cfg->help = topic;
    }
    return help;
}

bool option_wants_help(VmConfig *cfg, const char *arg, const char *key,
                       HelpTopic topic)
{
    bool is_json, help = false;
    json_object *what, *json = options_parse(arg, key, &is_json, &help, NULL);

    if (help) {
        cfg->help = topic;
        if (json_object_object_get_ex(json, key, &what)) {
            option_set_text(&cfg->help_arg, json_object_get_string(what));
        }
    }
    json_object_put(json);
    return help;
}

void option_set_text(char **slot, const char *arg)
{
    g_free(*slot);
    *slot = g_strdup(arg);
}

/* ---- booting ---- */

static bool opt_kernel(VmConfig *cfg, const char *arg, Error **errp)
{
    option_set_text(&cfg->kernel, arg);
    return true;
}

static bool opt_initrd(VmConfig *cfg, const char *arg, Error **errp)
{
    option_set_text(&cfg->initrd, arg);
    return true;
}

static bool opt_append(VmConfig *cfg, const char *arg, Error **errp)
{
    option_set_text(&cfg->append, arg);
    return true;
}

static bool opt_no_acpi(VmConfig *cfg, const char *arg, Error **errp)
{
    cfg->acpi = false;
    return true;
}

/* ---- running and ending ---- */

static bool opt_paused(VmConfig *cfg, const char *arg, Error **errp)
{
    cfg->start_paused = true;
    return true;
}

static bool opt_preconfig(VmConfig *cfg, const char *arg, Error **errp)
{
    cfg->preconfig = true;
    return true;
}

static bool opt_no_reboot(VmConfig *cfg, const char *arg, Error **errp)
{
    cfg->actions.reboot = REBOOT_ACTION_SHUTDOWN;
    return true;
}

static bool opt_no_shutdown(VmConfig *cfg, const char *arg, Error **errp)
{
    cfg->actions.shutdown = SHUTDOWN_ACTION_PAUSE;
    return true;
}

static bool opt_action(VmConfig *cfg, const char *arg, Error **errp)
{
    ActionOptions *a =
        qapi_new_from_options(&qapi_type_ActionOptions, arg, NULL, NULL, errp);

    if (!a) {
        return false;
    }
    if (a->has_reboot) {
        cfg->actions.reboot = a->reboot;
    }
    if (a->has_shutdown) {
        cfg->actions.shutdown = a->shutdown;
    }
    if (a->has_panic) {
        cfg->actions.panic = a->panic;
    }
    qapi_free(&qapi_type_ActionOptions, a);
    return true;
}

/* ---- the process ---- */

static bool opt_name(VmConfig *cfg, const char *arg, Error **errp)
{
    NameOptions *n =
        qapi_new_from_options(&qapi_type_NameOptions, arg, "guest", NULL, errp);

    if (!n) {
        return false;
    }
    if (n->guest) {
        option_set_text(&cfg->name, n->guest);
    }
    if (n->process) {
        option_set_text(&cfg->process_name, n->process);
    }
    qapi_free(&qapi_type_NameOptions, n);
    return true;
}

/* RFC 4122 text form: 8-4-4-4-12 hexadecimal digits. */
static bool opt_uuid(VmConfig *cfg, const char *arg, Error **errp)
{
    uint8_t uuid[16];
    const char *p = arg;

    if (!g_uuid_string_is_valid(arg)) {
        error_setg(errp, "expected a UUID like "
                         "550e8400-e29b-41d4-a716-446655440000");
        return false;
    }
    for (unsigned i = 0; i < sizeof(uuid); i++, p += 2) {
        p += *p == '-';
        uuid[i] = (uint8_t)(g_ascii_xdigit_value(p[0]) << 4 |
                            g_ascii_xdigit_value(p[1]));
    }
    memcpy(cfg->uuid, uuid, sizeof(uuid));
    cfg->uuid_set = true;
    return true;
}

static bool opt_msg(VmConfig *cfg, const char *arg, Error **errp)
{
    MsgOptions *m =
        qapi_new_from_options(&qapi_type_MsgOptions, arg, NULL, NULL, errp);

    if (!m) {
        return false;
    }
    if (m->has_timestamp) {
        cfg->msg_timestamp = m->timestamp;
    }
    if (m->has_guest_name) {
        cfg->msg_guest_name = m->guest_name;
    }
    qapi_free(&qapi_type_MsgOptions, m);
    return true;
}

static bool opt_pidfile(VmConfig *cfg, const char *arg, Error **errp)
{
    option_set_text(&cfg->pidfile, arg);
    return true;
}

static bool opt_daemonize(VmConfig *cfg, const char *arg, Error **errp)
{
    cfg->daemonize = true;
    return true;
}

static bool opt_log(VmConfig *cfg, const char *arg, Error **errp)
{
    if (!option_is_help(cfg, arg, HELP_LOG)) {
        option_set_text(&cfg->log_items, arg);
    }
    return true;
}

static bool opt_log_file(VmConfig *cfg, const char *arg, Error **errp)
{
    option_set_text(&cfg->log_file, arg);
    return true;
}

static bool opt_qtest(VmConfig *cfg, const char *arg, Error **errp)
{
    option_set_text(&cfg->qtest, arg);
    option_note_stdio(cfg, arg);
    return true;
}

static bool opt_qtest_log(VmConfig *cfg, const char *arg, Error **errp)
{
    option_set_text(&cfg->qtest_log, arg);
    return true;
}

/* ---- what there is only one choice of ---- */

static bool opt_nodefaults(VmConfig *cfg, const char *arg, Error **errp)
{
    cfg->no_defaults = true;
    return true;
}

static bool opt_nographic(VmConfig *cfg, const char *arg, Error **errp)
{
    cfg->nographic = true;
    return true;
}

static bool opt_display(VmConfig *cfg, const char *arg, Error **errp)
{
    if (option_is_help(cfg, arg, HELP_NO_HARDWARE)) {
        return true;
    }
    if (strcmp(arg, "none") != 0) {
        error_setg(errp, "there is no display: only none");
        return false;
    }
    cfg->display_none = true;
    return true;
}

static bool opt_none_only(VmConfig *cfg, const char *arg, Error **errp)
{
    if (option_is_help(cfg, arg, HELP_NO_HARDWARE)) {
        return true;
    }
    if (strcmp(arg, "none") != 0) {
        error_setg(errp, "there is no such hardware: only none");
        return false;
    }
    return true;
}

static bool opt_audio(VmConfig *cfg, const char *arg, Error **errp)
{
    AudioOptions *a = qapi_new_from_options(&qapi_type_AudioOptions, arg,
                                            "driver", NULL, errp);
    bool ok = a && strcmp(a->driver, "none") == 0;

    if (a && !ok) {
        error_setg(errp, "there is no sound: only driver none");
    }
    qapi_free(&qapi_type_AudioOptions, a);
    return ok;
}

static bool opt_accepted(VmConfig *cfg, const char *arg, Error **errp)
{
    return true;
}

static bool opt_unsupported(VmConfig *cfg, const char *arg, Error **errp)
{
    error_setg(errp, "not supported by this emulator");
    return false;
}

/* What those who know other emulators ask for, and what there is instead. */
static bool lacks(Error **errp, const char *what)
{
    error_setg(errp, "not supported by this emulator: %s", what);
    return false;
}

static bool opt_no_disk(VmConfig *cfg, const char *arg, Error **errp)
{
    return lacks(errp, "there are no disks; a guest boots from -kernel and "
                       "-initrd, and reaches storage over the network");
}

static bool opt_no_usb(VmConfig *cfg, const char *arg, Error **errp)
{
    return lacks(errp, "there is no USB; the keyboard is a serial port's");
}

static bool opt_no_display(VmConfig *cfg, const char *arg, Error **errp)
{
    return lacks(errp, "there is no display; use -serial, with -display none");
}

static bool opt_no_watchdog(VmConfig *cfg, const char *arg, Error **errp)
{
    return lacks(errp, "there is no watchdog; pvpanic tells of a crash");
}

static bool opt_no_state(VmConfig *cfg, const char *arg, Error **errp)
{
    return lacks(errp, "a machine cannot be migrated or saved");
}

/* ---- help ---- */

static bool opt_help(VmConfig *cfg, const char *arg, Error **errp)
{
    cfg->help = HELP_OPTIONS;
    return true;
}

static bool opt_version(VmConfig *cfg, const char *arg, Error **errp)
{
    cfg->help = HELP_VERSION;
    return true;
}

const CmdOption cmd_options[] = {
    { "h", NULL, NULL, opt_help },
    { "help", NULL, "show this and exit", opt_help },
    { "version", NULL, "show the version and exit", opt_version },
    { "machine", "[type=]NAME[,PROP=VALUE...]",
      "pc (the default), a name that begins with pc-i440fx-, or none\n"
      "accel=A[:B]..., memory-backend=ID, acpi=on|off,\n"
      "dump-guest-core=on|off, mem-merge=on|off\n"
      "kernel=, initrd=, append= (help lists the machines, NAME,help the\n"
      "properties)",
      opt_machine },
    { "M", "NAME", NULL, opt_machine },
    { "accel", "NAME", "kvm or qtest; given again: what to try next",
      opt_accel },
    { "enable-kvm", NULL, "the same as -accel kvm", opt_enable_kvm },
    { "cpu", "MODEL[,+FEATURE][,-FEATURE]...",
      "CPU model (help lists models and features)", opt_cpu },
    { "smp", "[cpus=]N[,maxcpus=][,sockets=][,dies=][,cores=][,threads=]",
      "CPUs, at most 64, and how they are arranged", opt_smp },
    { "m", "[size=]N[k|M|G]", "RAM, in MiB without a suffix (default: 128M)",
      opt_memory },
    { "object", "TYPE,id=ID[,PROP=VALUE...]",
      "an object: iothread, memory-backend-ram... (help lists types,\n"
      "TYPE,help their properties); JSON is understood",
      opt_object },
    { "device", "DRIVER[,id=ID][,PROP=VALUE...]",
      "a device (help lists drivers, DRIVER,help their properties);\n"
      "JSON is understood",
      opt_device },
    { "global", "DRIVER.PROP=VALUE", "what a property is unless -device says",
      opt_global },
    { "netdev", "TYPE,id=ID[,PROP=VALUE...]",
      "the host's side of a NIC: tap, bridge (help lists them, TYPE,help\n"
      "their options); JSON is understood",
      opt_netdev },
    { "nic", "TYPE[,model=DRIVER][,mac=MAC][,PROP=VALUE...]|none",
      "a NIC and its netdev in one (model=help lists drivers)", opt_nic },
    { "net", "nic|TYPE[,PROP=VALUE...]|none", "the old form of -nic", opt_net },
    { "chardev", "BACKEND,id=ID[,PROP=VALUE...]",
      "a character device (help lists back-ends, BACKEND,help their\n"
      "options); JSON is understood",
      opt_chardev },
    { "add-fd", "fd=FD,set=N[,opaque=TEXT]",
      "the inherited descriptor FD is what /dev/fdset/N opens", opt_add_fd },
    { "serial", "DEV",
      "a serial port, up to four: stdio, mon:stdio, null, none, pty,\n"
      "file:PATH, pipe:PATH, unix:PATH[,server=on][,wait=off], chardev:ID...",
      opt_serial },
    { "monitor", "DEV", "the human monitor; the same DEV, or none",
      opt_monitor },
    { "mon", "[chardev=]ID[,mode=readline|control][,pretty=on|off]",
      "a monitor on a -chardev: for people, or for programs (control: QMP)",
      opt_mon },
    { "qmp", "DEV", "the management protocol (QMP); the same DEV as -serial",
      opt_qmp },
    { "qmp-pretty", "DEV", "the same, answers are indented", opt_qmp_pretty },
    { "preconfig", NULL,
      "make no machine before QMP's x-exit-preconfig asks for it",
      opt_preconfig },
    { "kernel", "FILE", "Linux kernel to boot: bzImage, or an ELF with PVH",
      opt_kernel },
    { "initrd", "FILE", "its initial RAM disk", opt_initrd },
    { "append", "TEXT", "its command line", opt_append },
    { "fw_cfg", "[name=]NAME,file=FILE|string=TEXT",
      "an item in the firmware configuration device", opt_fw_cfg },
    { "no-acpi", NULL, "no ACPI tables", opt_no_acpi },
    { "nodefaults", NULL, "only what is asked for: no serial port, no monitor",
      opt_nodefaults },
    { "nographic", NULL,
      "serial port and monitor share the terminal (Ctrl-a h for help)",
      opt_nographic },
    { "S", NULL, "do not start the CPUs (cont in the monitor does)",
      opt_paused },
    { "no-reboot", NULL, "exit instead of rebooting", opt_no_reboot },
    { "no-shutdown", NULL, "stop instead of exiting when the guest ends",
      opt_no_shutdown },
    { "action", "[reboot=ACTION][,shutdown=ACTION][,panic=ACTION]",
      "what follows when the guest resets the machine (reset|shutdown), turns\n"
      "it off (poweroff|pause), crashes (pause|shutdown|exit-failure|none)",
      opt_action },
    { "name", "[guest=]NAME[,process=NAME][,debug-threads=on|off]",
      "the machine's name", opt_name },
    { "uuid", "UUID", "the machine's UUID", opt_uuid },
    { "msg", "[timestamp=on|off][,guest-name=on|off]",
      "what messages begin with", opt_msg },
    { "pidfile", "FILE", "write the process id there", opt_pidfile },
    { "daemonize", NULL, "go to the background once everything is set up",
      opt_daemonize },
    { "overcommit", "[mem-lock=on|off]", "lock all memory of the process",
      opt_overcommit },
    { "d", "ITEM[,ITEM...]", "what to log (help lists items)", opt_log },
    { "D", "FILE", "where to log (default: stderr)", opt_log_file },
    { "qtest", "DEV", "where -accel qtest takes commands", opt_qtest },
    { "qtest-log", "FILE", "log of those commands, or none (default: stderr)",
      opt_qtest_log },
    { "display", "none", "accepted: there is no display", opt_display },
    { "vga", "none", "accepted: there is no display", opt_none_only },
    { "parallel", "none", "accepted: there is no parallel port",
      opt_none_only },
    { "audio", "none", "accepted: there is no sound", opt_audio },
    { "audiodev", "none[,id=ID]", "accepted: there is no sound", opt_audio },
    { "boot", "[order=LETTERS][,once=][,menu=][,strict=]",
      "accepted: what boots is the -kernel", opt_boot },
    { "rtc",
      "[base=utc|localtime|DATE][,clock=host|rt|vm][,driftfix=none|slew]",
      "what the clock shows at start (UTC), what drives it (host)", opt_rtc },
    { "no-hpet", NULL, "accepted: there is no HPET", opt_accepted },
    { "no-user-config", NULL, "accepted: no file is read", opt_accepted },
    { "run-with", "[chroot=DIR][,user=USER|UID:GID]",
      "give up other files, and other users' rights, before the guest runs",
      opt_run_with },
    { "runas", "USER|UID:GID", "the same as -run-with user=", opt_runas },
    { "chroot", "DIR", "the same as -run-with chroot=", opt_chroot },
    { "sandbox",
      "on|off[,obsolete=allow|deny][,elevateprivileges=allow|deny|children]\n"
      "[,spawn=allow|deny][,resourcecontrol=allow|deny]",
      "while the guest runs, only system calls of a list; default: all\n"
      "groups but obsolete are allowed",
      opt_sandbox },
    { "bios", "FILE", NULL, opt_unsupported },
    { "blockdev", "...", NULL, opt_no_disk },
    { "cdrom", "FILE", NULL, opt_no_disk },
    { "drive", "...", NULL, opt_no_disk },
    { "fda", "FILE", NULL, opt_no_disk },
    { "fsdev", "...", NULL, opt_no_disk },
    { "hda", "FILE", NULL, opt_no_disk },
    { "incoming", "...", NULL, opt_no_state },
    { "loadvm", "...", NULL, opt_no_state },
    { "numa", "...", NULL, opt_unsupported },
    { "readconfig", "FILE", NULL, opt_unsupported },
    { "smbios", "...", NULL, opt_unsupported },
    { "spice", "...", NULL, opt_no_display },
    { "tpmdev", "...", NULL, opt_unsupported },
    { "usb", NULL, NULL, opt_no_usb },
    { "usbdevice", "...", NULL, opt_no_usb },
    { "vnc", "...", NULL, opt_no_display },
    { "watchdog", "...", NULL, opt_no_watchdog },
    { "watchdog-action", "...", NULL, opt_no_watchdog },
    { NULL, NULL, NULL, NULL },
};
