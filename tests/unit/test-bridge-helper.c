/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * qemu-bridge-helper and what asks it: this program is both. Called with
 * --as-helper it is the helper, with an access list that tests write.
 */
int helper_main(int argc, char **argv);

#define BRIDGE_ACL_FILE "bridge.conf"
#define main            helper_main
#include "contrib/qemu-bridge-helper/qemu-bridge-helper.c"
#undef main

#include <glib/gstdio.h>
#include <grp.h>
#include <linux/if_bridge.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include "hw/core/qdev.h"
#include "net/net.h"
#include "system/machine-lock.h"
#include "tap-rig.h"

static const char *skip; /* why no test can run; NULL: they can */
static const char *self; /* this program */

DeviceState *device_add(json_object *opts, Error **errp)
{
    error_setg(errp, "no devices here");
    return NULL;
}

static bool skipped(void)
{
    if (skip) {
        g_test_skip(skip);
    }
    return skip != NULL;
}

static void write_list(const char *text)
{
    g_assert_true(g_file_set_contents(BRIDGE_ACL_FILE, text, -1, NULL));
    chmod(BRIDGE_ACL_FILE, 0644);
}

static void make_bridge(const char *name, int mtu)
{
    int ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq ifr = { .ifr_mtu = mtu };

    g_assert_cmpint(ioctl(ctl, SIOCBRADDBR, name), ==, 0);
    g_strlcpy(ifr.ifr_name, name, IFNAMSIZ);
    g_assert_cmpint(ioctl(ctl, SIOCSIFMTU, &ifr), ==, 0);
    close(ctl);
    rig_link_up(name);
}

/* ---- the access list ---- */

typedef struct AccessCase {
    const char *list;
    bool readable, open_to_br7;
} AccessCase;

static const AccessCase access_cases[] = {
    { "", true, false },
    { "# nothing\n\n   \n", true, false },
    { "allow br7\n", true, true },
    { "allow br7", true, true },
    { " allow\tbr7  \r\n", true, true },
    { "allow all\n", true, true },
    { "allow br77\nallow br\n", true, false },
    { "allow all\ndeny br7\n", true, false },
    { "deny br7\nallow all\n", true, false },
    { "allow br7\ndeny all\n", true, false },
    { "allow br7\ndeny br8\n", true, true },
    { "include /nonexistent/list\nallow br7\n", true, true },
    { "allow br7\nallow\n", false, true },
    { "allow br7\npermit br7\n", false, true },
    { "allow br7 br8\n", false, false },
    { "include relative\n", false, false },
    { "include /dev/null\nallow br7\n", false, false },
};

static void test_access_list(void)
{
    g_autofree char *long_line = g_strnfill(2 * MAX_LINE, 'x');
    Verdict v = { .bridge = "br7" };

    for (size_t i = 0; i < ARRAY_SIZE(access_cases); i++) {
        const AccessCase *c = &access_cases[i];

        v = (Verdict){ .bridge = "br7" };
        write_list(c->list);
        g_assert_cmpint(read_rules(BRIDGE_ACL_FILE, 0, &v), ==, c->readable);
        g_assert_cmpint(v.allowed && !v.denied, ==, c->open_to_br7);
    }
    write_list(long_line);
    g_assert_false(read_rules(BRIDGE_ACL_FILE, 0, &v));
    g_unlink(BRIDGE_ACL_FILE);
    g_assert_false(read_rules(BRIDGE_ACL_FILE, 0, &v));
}

static void test_include(void)
{
    g_autofree char *dir = g_get_current_dir();
    g_autofree char *more = g_build_filename(dir, "more", NULL);
    g_autofree char *text = g_strdup_printf("include %s\n", more);
    Verdict v = { .bridge = "br7" };

    write_list(text);
    g_assert_true(g_file_set_contents(more, "allow br7\n", -1, NULL));
    g_assert_true(read_rules(BRIDGE_ACL_FILE, 0, &v));
    g_assert_true(v.allowed);
    /* A file that includes itself ends. */
    g_assert_true(g_file_set_contents(more, text, -1, NULL));
    g_assert_false(read_rules(BRIDGE_ACL_FILE, 0, &v));
    g_unlink(more);
}

/* ---- arguments ---- */

static const struct {
    const char *argv[5];
    const char *says;
} bad_args[] = {
    { { NULL }, "are needed" },
    { { "--br=br7", NULL }, "are needed" },
    { { "--fd=3", NULL }, "are needed" },
    { { "--br=br7", "--fd=9", NULL }, "not a unix socket" },
    { { "--br=br7", "--fd=0", NULL }, "not a unix socket" },
    { { "--br=br7", "--fd=-1", NULL }, "--fd: not" },
    { { "--br=br7", "--fd=99999999999999999999", NULL }, "--fd: not" },
    { { "--br=br7", "--fd= 3", NULL }, "--fd: not" },
    { { "--br=br7", "--fd=3", "--queues=0", NULL }, "--queues: not" },
    { { "--br=br7", "--fd=3", "--queues=257", NULL }, "--queues: not" },
    { { "--br=", "--fd=3", NULL }, "--br: not" },
    { { "--br=all", "--fd=3", NULL }, "--br: not" },
    { { "--br=..", "--fd=3", NULL }, "--br: not" },
    { { "--br=../../etc", "--fd=3", NULL }, "--br: not" },
    { { "--br=br7 br8", "--fd=3", NULL }, "--br: not" },
    { { "--br=tap%d", "--fd=3", NULL }, "--br: not" },
    { { "--br=sixteen-letters-", "--fd=3", NULL }, "--br: not" },
    { { "--br=br7", "--fd=3", "--colour=red", NULL }, "unknown argument" },
    { { "br7", NULL }, "unknown argument" },
};

/* Runs this program as the helper with @args and fd 3 a file; its stderr. */
static char *run_helper(const char *const *args)
{
    GPtrArray *argv = g_ptr_array_new();
    char *said = NULL;
    int status;

    g_ptr_array_add(argv, (char *)self);
    g_ptr_array_add(argv, (char *)"--as-helper");
    for (; *args; args++) {
        g_ptr_array_add(argv, (char *)*args);
    }
    g_ptr_array_add(argv, NULL);
    g_assert_true(g_spawn_sync(NULL, (char **)argv->pdata, NULL,
                               G_SPAWN_DEFAULT, NULL, NULL, NULL, &said,
                               &status, NULL));
    g_assert_true(WIFEXITED(status));
    g_assert_cmpint(WEXITSTATUS(status), ==, 1);
    g_ptr_array_unref(argv);
    return said;
}

static void test_arguments(void)
{
    if (skipped()) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad_args); i++) {
        g_autofree char *said = run_helper(bad_args[i].argv);

        if (!strstr(said, bad_args[i].says)) {
            g_test_message("'%s' is not in '%s'", bad_args[i].says, said);
            g_test_fail();
        }
    }
}

/* ---- as -netdev uses it ---- */

static NO_THREAD_SAFETY bool add(const char *extra, Error **errp)
{
    g_autofree char *text =
        g_strdup_printf("tap,id=n0,helper=%s --as-helper,%s", self, extra);

    return netdev_add_text(text, errp);
}

/* The interface that @nc's info names, into @name. */
static void name_of(NetClientState *nc, char *name)
{
    g_assert_cmpint(sscanf(nc->info_str, "ifname=%15[^,],", name), ==, 1);
}

static void check_port(const char *name, const char *bridge, int mtu)
{
    struct ifreq ifr = { .ifr_flags = 0 };
    int ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int ports[8] = { 0 };

    g_strlcpy(ifr.ifr_name, name, IFNAMSIZ);
    g_assert_cmpint(ioctl(ctl, SIOCGIFMTU, &ifr), ==, 0);
    g_assert_cmpint(ifr.ifr_mtu, ==, mtu);
    g_assert_cmpint(ioctl(ctl, SIOCGIFFLAGS, &ifr), ==, 0);
    g_assert_true(ifr.ifr_flags & IFF_UP);
    g_assert_cmpint(ioctl(ctl, SIOCGIFHWADDR, &ifr), ==, 0);
    g_assert_cmpint((uint8_t)ifr.ifr_hwaddr.sa_data[0], ==, 0xfe);
    /* The old bridge call: the interfaces behind the bridge's ports. */
    g_strlcpy(ifr.ifr_name, bridge, IFNAMSIZ);
    ifr.ifr_data =
        (void *)(unsigned long[]){ BRCTL_GET_PORT_LIST, (unsigned long)ports,
                                   ARRAY_SIZE(ports), 0 };
    g_assert_cmpint(ioctl(ctl, SIOCDEVPRIVATE, &ifr), >=, 0);
    g_assert_cmpint(ports[1], ==, if_nametoindex(name));
    close(ctl);
}

static NO_THREAD_SAFETY void test_queues(void)
{
    unsigned before = rig_open_fds();
    NetClientState *nc;
    char name[IFNAMSIZ];
    Error *err = NULL;

    if (skipped()) {
        return;
    }
    write_list("allow br7\n");
    g_assert_true(add("br=br7,queues=4", &err));
    nc = net_client_find("n0");
    g_assert_cmpuint(nc->n_queues, ==, 4);
    g_assert_true(nc->caps.vnet_hdr);
    for (unsigned i = 0; i < 4; i++) {
        g_assert_true(rig_tap_flags(nc->queue[i].fd) & IFF_MULTI_QUEUE);
        g_assert_true(rig_tap_flags(nc->queue[i].fd) & IFF_VNET_HDR);
    }
    g_assert_true(net_subqueue_set_enabled(&nc->queue[3], false, NULL));
    g_assert_true(net_subqueue_set_enabled(&nc->queue[3], true, NULL));
    name_of(nc, name);
    check_port(name, "br7", 1400);
    g_assert_true(netdev_del("n0", NULL));
    g_assert_false(rig_link_exists(name));

    g_assert_true(add("br=br7,queues=200", &err));
    g_assert_cmpuint(net_client_find("n0")->n_queues, ==, 200);
    g_assert_true(netdev_del("n0", NULL));

    g_assert_true(add("br=br7", &err));
    nc = net_client_find("n0");
    g_assert_cmpint(rig_tap_flags(nc->queue[0].fd) & IFF_MULTI_QUEUE, ==, 0);
    g_assert_true(netdev_del("n0", NULL));
    g_assert_cmpuint(rig_open_fds(), ==, before);
}

static NO_THREAD_SAFETY void test_netdev_bridge(void)
{
    g_autofree char *text = g_strdup_printf(
        "{\"type\":\"bridge\",\"id\":\"n0\",\"helper\":\"%s --as-helper\"}",
        self);
    Error *err = NULL;

    if (skipped()) {
        return;
    }
    write_list("allow br0\n");
    g_assert_false(netdev_add_text(text, &err));
    g_assert_nonnull(strstr(err->message, "there is no bridge br0"));
    g_clear_error(&err);
    make_bridge("br0", 1500);
    g_assert_true(netdev_add_text(text, &err));
    g_assert_cmpint(net_client_find("n0")->info->type, ==,
                    NET_CLIENT_DRIVER_BRIDGE);
    g_assert_true(netdev_del("n0", NULL));
}

static NO_THREAD_SAFETY void refused(const char *extra, const char *says)
{
    unsigned before = rig_open_fds();
    Error *err = NULL;

    g_assert_false(add(extra, &err));
    g_assert_null(strchr(err->message, '\n'));
    if (!strstr(err->message, says)) {
        g_test_message("'%s' is not in '%s'", says, err->message);
        g_test_fail();
    }
    g_error_free(err);
    g_assert_cmpuint(rig_open_fds(), ==, before);
}

static void test_refused(void)
{
    if (skipped()) {
        return;
    }
    rig_tap_persist("other0", false);
    write_list("allow br7\nallow other0\n");
    refused("br=br8", "does not allow bridge 'br8'");
    refused("br=other0", "to bridge other0");
    g_unlink(BRIDGE_ACL_FILE);
    refused("br=br7", "bridge.conf cannot be read");
    g_assert_false(rig_link_exists("tap0"));
}

/* ---- installed setuid root, used by nobody ---- */

static NO_THREAD_SAFETY bool nobody_gets_bridge(const char *program,
                                                const char *br)
{
    g_autofree char *text = g_strdup_printf(
        "tap,id=n0,queues=2,br=%s,helper=%s --as-helper", br, program);

    return netdev_add_text(text, NULL);
}

static NO_THREAD_SAFETY int as_nobody(const char *program)
{
    bool ok = setgroups(0, NULL) == 0 && setgid(65534) == 0 &&
              setuid(65534) == 0 && nobody_gets_bridge(program, "br7") &&
              rig_tap_flags(net_client_find("n0")->queue[1].fd) > 0 &&
              net_subqueue_set_enabled(&net_client_find("n0")->queue[1], false,
                                       NULL) &&
              net_subqueue_set_enabled(&net_client_find("n0")->queue[1], true,
                                       NULL) &&
              netdev_del("n0", NULL) && !nobody_gets_bridge(program, "br0");

    return ok ? 0 : 1;
}

static void test_setuid(void)
{
    g_autofree char *dir = g_get_current_dir();
    g_autofree char *program = g_build_filename(dir, "helper", NULL);
    g_autofree char *bytes = NULL;
    struct statvfs fs;
    gsize len;
    int status;
    pid_t pid;

    if (skipped()) {
        return;
    }
    if (statvfs(dir, &fs) < 0 || (fs.f_flag & ST_NOSUID)) {
        g_test_skip("the file system has no setuid programs");
        return;
    }
    g_assert_true(g_file_get_contents(self, &bytes, &len, NULL));
    g_assert_true(g_file_set_contents(program, bytes, (gssize)len, NULL));
    g_assert_cmpint(chmod(program, 04755), ==, 0);
    g_assert_cmpint(chmod(dir, 0755), ==, 0);
    write_list("allow br7\n");
    pid = fork();
    if (pid == 0) {
        _exit(as_nobody(program));
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    /* The list is read with the user's own rights. */
    chmod(BRIDGE_ACL_FILE, 0600);
    pid = fork();
    if (pid == 0) {
        _exit(as_nobody(program));
    }
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, !=, 0);
    g_unlink(program);
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_autofree char *path = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *dir = NULL;
    int r;

    if (argc > 1 && strcmp(argv[1], "--as-helper") == 0) {
        return helper_main(argc - 1, argv + 1);
    }
    self = path;
    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("bridge-XXXXXX", NULL);
    g_assert_cmpint(chdir(dir), ==, 0);
    skip = rig_enter();
    if (!skip) {
        make_bridge("br7", 1400);
    }
    machine_lock();
    g_test_add_func("/bridge-helper/access-list", test_access_list);
    g_test_add_func("/bridge-helper/include", test_include);
    g_test_add_func("/bridge-helper/arguments", test_arguments);
    g_test_add_func("/bridge-helper/queues", test_queues);
    g_test_add_func("/bridge-helper/netdev-bridge", test_netdev_bridge);
    g_test_add_func("/bridge-helper/refused", test_refused);
    g_test_add_func("/bridge-helper/setuid", test_setuid);
    r = g_test_run();
    g_unlink(BRIDGE_ACL_FILE);
    g_rmdir(dir);
    return r;
}
