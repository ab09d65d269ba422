/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making the machine that the options describe, and taking it down. */
#include "util/osdep.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "accel/accel.h"
#include "accel/qtest.h"
#include "hw/core/hotplug.h"
#include "hw/core/machine.h"
#include "hw/i386/pc.h"
#include "hw/i386/rtc.h"
#include "monitor/monitor.h"
#include "monitor/qmp.h"
#include "net/filter.h"
#include "net/net.h"
#include "qapi/keyval.h"
#include "qapi/qapi-types.h"
#include "qapi/qapi-visit.h"
#include "system/daemon.h"
#include "system/dirty-rate.h"
#include "system/memory-backend.h"
#include "system/setup.h"
#include "system/vm-clock.h"
#include "system/vm-info.h"
#include "util/fdset.h"

/* A chardev text without the "mon:" that asks for a monitor beside. */
#define MON_PREFIX "mon:"

typedef bool ItemFunc(const VmItem *item, Error **errp);

/* Makes each item of @list; an error names the option. */
static bool for_items(GPtrArray *list, ItemFunc *make, Error **errp)
{
    for (guint i = 0; i < list->len; i++) {
        const VmItem *item = g_ptr_array_index(list, i);

        if (!make(item, errp)) {
            cmdline_prefix(errp, item->option, item->text);
            return false;
        }
    }
    return true;
}

static bool MAIN_THREAD make_global(const VmItem *item, Error **errp)
{
    return global_property_add(item->text, errp);
}

/* Is it an object that needs others than objects: a netdev, a chardev? */
static bool is_late_object(const VmItem *item)
{
    json_object *type;

    return json_object_object_get_ex(item->json, "qom-type", &type) &&
           g_str_has_prefix(json_object_get_string(type), "filter-");
}

static bool MAIN_THREAD make_object(const VmItem *item, Error **errp)
{
    return is_late_object(item) || user_object_new(item->json, errp) != NULL;
}

static bool MAIN_THREAD make_late_object(const VmItem *item, Error **errp)
{
    return !is_late_object(item) || user_object_new(item->json, errp) != NULL;
}

/* Before the netdevs, whose errors say less to who asked for another device. */
static bool MAIN_THREAD check_device(const VmItem *item, Error **errp)
{
    return device_check_driver(item->json, errp);
}

static bool MAIN_THREAD make_device(const VmItem *item, Error **errp)
{
    return device_add(item->json, errp) != NULL;
}

static bool MAIN_THREAD make_netdev(const VmItem *item, Error **errp)
{
    return netdev_add_text(item->text, errp);
}

static bool MAIN_THREAD note_nic(const VmItem *item, Error **errp)
{
    return strcmp(item->option, "nic") == 0
               ? net_nic_option(item->text, errp)
               : net_legacy_option(item->text, errp);
}

/* ---- /machine ---- */

static void set_text(char **field, const char *text)
{
    g_free(*field);
    *field = g_strdup(text);
}

/* The tree's upper parts, the machine's own devices first, and what the user
 * said of the machine. */
static bool MAIN_THREAD make_machine(const VmConfig *cfg, Error **errp)
{
    MachineState *m = machine_new(machine_class_find(cfg->machine));
    g_autoptr(GString) accels = g_string_new(NULL);

    object_container("/machine/unattached");
    object_container("/machine/peripheral");
    object_container("/machine/peripheral-anon");
    object_container("/objects");
    object_container("/chardevs");
    if (!object_properties_set(OBJECT(m), cfg->machine_options, NULL, errp)) {
        return false;
    }
    for (guint i = 0; i < cfg->accels->len; i++) {
        g_string_append_printf(accels, "%s%s", i ? ":" : "",
                               (char *)g_ptr_array_index(cfg->accels, i));
    }
    /* Other options set these, too. */
    set_text(&m->accel, accels->str);
    set_text(&m->kernel, cfg->kernel);
    set_text(&m->initrd, cfg->initrd);
    set_text(&m->append, cfg->append);
    m->acpi = cfg->acpi;
    if (!cfg->machine_none) {
        m->topo = cfg->topo;
    }
    m->obj.realized = true;
    return true;
}

/* ---- process and accelerator ---- */

static bool apply_process_options(const VmConfig *cfg, Error **errp)
{
    if (cfg->process_name) {
        prctl(PR_SET_NAME, cfg->process_name);
    }
    if (cfg->mem_lock && mlockall(MCL_CURRENT | MCL_FUTURE) < 0) {
        error_setg_errno(errp, errno,
                         "-overcommit mem-lock=on: cannot lock memory (see "
                         "ulimit -l)");
        return false;
    }
    return true;
}

/* Machine none does without an accelerator where there is none. */
static bool MAIN_THREAD setup_accel(const VmConfig *cfg, Error **errp)
{
    g_autofree const char **names =
        g_new0(const char *, (gsize)cfg->accels->len + 1);

    for (guint i = 0; i < cfg->accels->len; i++) {
        names[i] = g_ptr_array_index(cfg->accels, i);
    }
    if (cfg->accels->len == 0) {
        return true;
    }
    if (cfg->machine_none) {
        accel_init(names, NULL);
        return true;
    }
    if (!accel_init(names, errp)) {
        cmdline_prefix(errp, "accel", names[cfg->accels->len - 1]);
        return false;
    }
    if (cfg->cpu && !cpu_model_parse(cfg->cpu, errp)) {
        cmdline_prefix(errp, "cpu", cfg->cpu);
        return false;
    }
    return true;
}

/* ---- descriptors that were passed ---- */

/* Our own descriptors are close-on-exec; one that was inherited cannot be. */
static bool MAIN_THREAD make_add_fd(const VmItem *item, Error **errp)
{
    g_autoptr(AddFdOptions) o = qapi_new_from_options(
        &qapi_type_AddFdOptions, item->text, NULL, NULL, errp);
    int flags = o ? fcntl((int)o->fd, F_GETFD) : 0;
    int copy = -1;

    if (!o) {
        return false;
    }
    if (flags < 0 || (flags & FD_CLOEXEC)) {
        error_setg(errp,
                   "fd %" PRId64 " is not valid or already in use: pass one "
                   "that the program that starts this one has opened",
                   o->fd);
        return false;
    }
    copy = fcntl((int)o->fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        error_setg_errno(errp, errno, "cannot duplicate fd %" PRId64, o->fd);
        return false;
    }
    return fdset_add(o->set, copy, o->opaque, errp) >= 0;
}

/* The inherited descriptor; it may be there twice. */
static bool close_inherited_fd(const VmItem *item, Error **errp)
{
    g_autoptr(AddFdOptions) o = qapi_new_from_options(
        &qapi_type_AddFdOptions, item->text, NULL, NULL, errp);
    int flags = o ? fcntl((int)o->fd, F_GETFD) : -1;

    if (flags >= 0 && !(flags & FD_CLOEXEC)) {
        close((int)o->fd);
    }
    return o != NULL;
}

static bool MAIN_THREAD setup_fdsets(const VmConfig *cfg, Error **errp)
{
    return for_items(cfg->add_fds, make_add_fd, errp) &&
           for_items(cfg->add_fds, close_inherited_fd, errp);
}

/* ---- chardevs, serial ports, monitors ---- */

/* -chardev; *@done when its argument asked for help. */
static bool MAIN_THREAD setup_chardevs(const VmConfig *cfg, bool *done,
                                       Error **errp)
{
    for (guint i = 0; i < cfg->chardevs->len && !*done; i++) {
        const VmItem *item = g_ptr_array_index(cfg->chardevs, i);
        Error *err = NULL;

        *done = !chardev_new_from_opts(item->text, &err) && !err;
        if (err) {
            error_propagate(errp, err);
            cmdline_prefix(errp, item->option, item->text);
            return false;
        }
    }
    return true;
}

/* The Chardev of serial port @index: "serial0"... */
static Chardev *MAIN_THREAD serial_chardev(unsigned index, const char *text,
                                           Error **errp)
{
    g_autofree char *id = g_strdup_printf("serial%u", index);

    return chardev_new_legacy(id, text, errp);
}

/* Whether port @index may have the Chardev it asks for: not one that an earlier
 * port has, unless it is a mux. */
static bool check_serial_shared(const PcMachineConfig *pc, unsigned index,
                                Error **errp)
{
    const Chardev *chr = pc->serial[index];

    for (unsigned i = 0; i < index; i++) {
        if (pc->serial[i] == chr && !chardev_is_mux(chr)) {
            error_setg(errp,
                       "serial port %u uses chardev '%s' already; give each "
                       "port its own, or use mux=on",
                       i, chardev_label(chr));
            return false;
        }
    }
    return true;
}

static bool MAIN_THREAD setup_serial(const VmConfig *cfg, PcMachineConfig *pc,
                                     Error **errp)
{
    if (cfg->use_default_serial) {
        const char *text = !cfg->use_terminal         ? "null"
                           : cfg->use_default_monitor ? "mon:stdio"
                                                      : "stdio";

        pc->serial[0] = serial_chardev(0, text, errp);
        return pc->serial[0] != NULL;
    }
    for (guint i = 0; i < cfg->serials->len; i++) {
        const VmItem *item = g_ptr_array_index(cfg->serials, i);

        if (strcmp(item->text, "none") == 0) {
            continue;
        }
        pc->serial[i] = serial_chardev(i, item->text, errp);
        if (!pc->serial[i] || !check_serial_shared(pc, i, errp)) {
            cmdline_prefix(errp, item->option, item->text);
            return false;
        }
    }
    return true;
}

/* What @item, of -mon, -monitor, -qmp or -qmp-pretty, asks for. */
static MonitorOptions *monitor_options(const VmItem *item, Error **errp)
{
    MonitorOptions *o;

    if (strcmp(item->option, "mon") == 0) {
        return qapi_new_from_options(&qapi_type_MonitorOptions, item->text,
                                     "chardev", NULL, errp);
    }
    o = qapi_new(&qapi_type_MonitorOptions);
    o->has_mode = true;
    o->mode = g_str_has_prefix(item->option, "qmp") ? MONITOR_MODE_CONTROL
                                                    : MONITOR_MODE_READLINE;
    o->has_pretty = true;
    o->pretty = strcmp(item->option, "qmp-pretty") == 0;
    return o;
}

/* Makes the Chardev of a monitor whose option brings one. */
static bool MAIN_THREAD monitor_chardev(const VmItem *item, MonitorOptions *o,
                                        Error **errp)
{
    g_autofree char *id = NULL;
    Chardev *chr;

    for (unsigned n = 0; !id || chardev_find(id); n++) {
        g_free(id);
        id = g_strdup_printf("compat_monitor%u", n);
    }
    chr = chardev_new_legacy(id, item->text, errp);
    o->chardev = chr ? g_strdup(chardev_label(chr)) : NULL;
    return chr != NULL;
}

/* Makes the monitor of @item, if it speaks @mode. */
static bool MAIN_THREAD make_monitor_of(const VmItem *item, MonitorMode mode,
                                        Error **errp)
{
    g_autoptr(MonitorOptions) o = monitor_options(item, errp);

    if (!o) {
        return false;
    }
    if ((o->has_mode ? o->mode : MONITOR_MODE_READLINE) != mode) {
        return true;
    }
    return (o->chardev || monitor_chardev(item, o, errp)) &&
           monitor_new(o, errp);
}

static bool MAIN_THREAD make_monitor(const VmItem *item, Error **errp)
{
    return make_monitor_of(item, MONITOR_MODE_READLINE, errp);
}

static bool MAIN_THREAD make_qmp_monitor(const VmItem *item, Error **errp)
{
    return make_monitor_of(item, MONITOR_MODE_CONTROL, errp);
}

/* Monitors that share the Chardev of a serial port; after the ports, so that
 * those have the keyboard first. */
static bool MAIN_THREAD setup_monitors(const VmConfig *cfg,
                                       const PcMachineConfig *pc, Error **errp)
{
    static const VmItem on_terminal = { .option = "nographic",
                                        .text = (char *)"stdio" };

    for (guint i = 0; i < cfg->serials->len; i++) {
        const VmItem *item = g_ptr_array_index(cfg->serials, i);

        if (pc->serial[i] && g_str_has_prefix(item->text, MON_PREFIX) &&
            !hmp_monitor_new(pc->serial[i], errp)) {
            cmdline_prefix(errp, item->option, item->text);
            return false;
        }
    }
    if (cfg->use_default_monitor) {
        return cfg->use_default_serial ? hmp_monitor_new(pc->serial[0], errp)
                                       : make_monitor(&on_terminal, errp);
    }
    return for_items(cfg->monitors, make_monitor, errp);
}

/* ---- the machine ---- */

/* What -machine says of RAM, whoever made it. Hints: failing does no harm. */
static void advise_ram(const VmConfig *cfg)
{
    const RamMap *map = ram_map_get();

    for (unsigned i = 0; i < map->n; i++) {
        const RamRange *r = &map->range[i];

        if (!cfg->dump_guest_core) {
            madvise(r->host, r->size, MADV_DONTDUMP);
        }
        if (cfg->mem_merge) {
            madvise(r->host, r->size, MADV_MERGEABLE);
        }
    }
}

static bool MAIN_THREAD make_fw_cfg(const VmItem *item, Error **errp)
{
    FwCfgOptions *f = qapi_new_from_options(&qapi_type_FwCfgOptions, item->text,
                                            "name", NULL, errp);
    g_autofree char *content = NULL;
    gsize len = 0;
    bool ok = f != NULL;

    if (ok && f->file) {
        errno = EIO;
        ok = g_file_get_contents(f->file, &content, &len, NULL);
        if (!ok) {
            error_setg_errno(errp, errno, "cannot read file '%s'", f->file);
        }
    } else if (ok) {
        content = g_strdup(f->string);
        len = strlen(content);
    }
    if (ok && !g_str_has_prefix(f->name, "opt/")) {
        warn_report("-fw_cfg %s: names of your own should begin with 'opt/'",
                    f->name);
    }
    ok = ok && fw_cfg_add_file(fw_cfg_get(), f->name, content, len, errp);
    qapi_free(&qapi_type_FwCfgOptions, f);
    return ok;
}

static bool MAIN_THREAD configure_rtc(const VmItem *item, Error **errp)
{
    RtcOptions *r = qapi_new_from_options(&qapi_type_RtcOptions, item->text,
                                          NULL, NULL, errp);
    bool ok = r && rtc_configure(r->base, r->clock, errp);

    qapi_free(&qapi_type_RtcOptions, r);
    return ok;
}

static bool MAIN_THREAD setup_pc(VmConfig *cfg, Error **errp)
{
    PcMachineConfig pc = {
        .ram_size = cfg->ram_size,
        .topo = cfg->topo,
        .kernel = cfg->kernel,
        .initrd = cfg->initrd,
        .append = cfg->append,
        .ram_backend_id = cfg->memory_backend,
        .uuid_set = cfg->uuid_set,
        .acpi = cfg->acpi,
        .start_paused = cfg->start_paused,
    };

    memcpy(pc.uuid, cfg->uuid, sizeof(pc.uuid));
    if (cfg->memory_backend && !cfg->ram_size_set) {
        MemoryBackend *mb = memory_backend_find(cfg->memory_backend, errp);

        if (!mb) {
            error_prepend(errp,
                          "-machine memory-backend=%s: ", cfg->memory_backend);
            return false;
        }
        pc.ram_size = mb->size;
    }
    vm_info_set_ram_size(pc.ram_size);
    if (!for_items(cfg->rtcs, configure_rtc, errp) ||
        !setup_serial(cfg, &pc, errp) || !pc_machine_init(&pc, errp)) {
        return false;
    }
    advise_ram(cfg);
    return for_items(cfg->fw_cfgs, make_fw_cfg, errp) &&
           for_items(cfg->devices, check_device, errp) &&
           for_items(cfg->netdevs, make_netdev, errp) &&
           for_items(cfg->nics, note_nic, errp) &&
           for_items(cfg->devices, make_device, errp) &&
           net_create_nics(errp) &&
           for_items(cfg->objects, make_late_object, errp) &&
           pc_machine_done(errp) && setup_monitors(cfg, &pc, errp);
}

/* Machine none has no bus and no port; netdevs may wait for nobody. */
static bool MAIN_THREAD setup_none(VmConfig *cfg, Error **errp)
{
    static const PcMachineConfig nothing;

    if (cfg->fw_cfgs->len > 0) {
        error_setg(errp, "-fw_cfg: machine none has no such device");
        return false;
    }
    return for_items(cfg->devices, check_device, errp) &&
           for_items(cfg->netdevs, make_netdev, errp) &&
           for_items(cfg->nics, note_nic, errp) &&
           for_items(cfg->devices, make_device, errp) &&
           for_items(cfg->objects, make_late_object, errp) &&
           setup_monitors(cfg, &nothing, errp);
}

/* The quit key of a mux, Ctrl-a x. */
static void quit_key(void)
{
    system_shutdown_request(SHUTDOWN_CAUSE_HOST_UI);
}

static bool MAIN_THREAD setup_qtest(const VmConfig *cfg, Error **errp)
{
    Chardev *chr;

    if (!cfg->qtest || strcmp(cfg->qtest, "none") == 0) {
        return true;
    }
    chr = chardev_new_legacy("qtest", cfg->qtest, errp);
    if (!chr || !qtest_server_init(chr, cfg->qtest_log, errp)) {
        cmdline_prefix(errp, "qtest", cfg->qtest);
        return false;
    }
    return true;
}

bool vm_setup(VmConfig *cfg, bool *done, Error **errp)
{
    *done = false;
    runstate_init(&cfg->actions);
    vm_clock_init();
    runstate_handler_add(vm_clock_run_state, NULL);
    vm_info_init(cfg->name, cfg->uuid);
    chardev_set_quit_handler(quit_key);
    if (!make_machine(cfg, errp) || !apply_process_options(cfg, errp) ||
        !setup_fdsets(cfg, errp) || !setup_accel(cfg, errp) ||
        !for_items(cfg->globals, make_global, errp) ||
        !for_items(cfg->objects, make_object, errp) ||
        !setup_chardevs(cfg, done, errp)) {
        return false;
    }
    if (*done) {
        return true;
    }
    qmp_set_preconfig(cfg->preconfig);
    return for_items(cfg->monitors, make_qmp_monitor, errp) &&
           (!cfg->preconfig || setup_qtest(cfg, errp));
}

bool vm_setup_machine(VmConfig *cfg, Error **errp)
{
    bool ok =
        (cfg->machine_none ? setup_none(cfg, errp) : setup_pc(cfg, errp)) &&
        (cfg->preconfig || setup_qtest(cfg, errp));

    if (ok) {
        hotplug_begin();
    }
    qmp_set_preconfig(false);
    return ok;
}

void vm_teardown(void)
{
    vm_shutdown();
    vcpus_destroy();
    dirty_rate_cleanup();
    monitor_cleanup();
    qtest_server_cleanup();
    devices_unrealize_all();
    net_announce_cleanup();
    net_filters_cleanup();
    net_cleanup();
    chardev_cleanup();
    fdset_cleanup();
    vm_info_cleanup();
    pidfile_remove();
}
