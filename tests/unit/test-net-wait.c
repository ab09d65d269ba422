/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A netdev that waits for a program, or for a switch, while it is made or
 * deleted: vCPUs have the machine lock meanwhile. In each test it is a vCPU's
 * turn at the lock that ends the wait, so one that kept it would wait for good.
 */
#include "util/osdep.h"

#include <glib/gstdio.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "net/net.h"
#include "system/machine-lock.h"
#include "tap-rig.h"

static const char *skip; /* why no test can run; NULL: they can */

/* Of sanitizers, if this is built with one. */
void __asan_init(void) __attribute__((weak));
void __tsan_init(void) __attribute__((weak));

static bool skipped(void)
{
    if (skip) {
        g_test_skip(skip);
    }
    return skip;
}

/* Writes a program that tells that it runs, waits for the file "go" and ends
 * with @status. */
static void write_program(const char *dir, int status)
{
    g_autofree char *path = g_build_filename(dir, "program", NULL);
    g_autofree char *text = g_strdup_printf(
        "#!/bin/sh\n: > %s/runs\nwhile [ ! -e %s/go ]; do sleep 0.01; done\n"
        "exit %d\n",
        dir, dir, status);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    chmod(path, 0755);
}

/* ---- a vCPU's thread ---- */

typedef struct Vcpu {
    const char *dir;
    int listener; /* -1: none */
    pthread_t thread;
} Vcpu;

static bool is_there(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    return access(path, F_OK) == 0;
}

/* Lets the program end, or the switch, once it has the lock. */
static NO_THREAD_SAFETY void *vcpu_main(void *opaque)
{
    Vcpu *vcpu = opaque;
    g_autofree char *go = g_build_filename(vcpu->dir, "go", NULL);

    while (vcpu->listener < 0 && !is_there(vcpu->dir, "runs")) {
        g_usleep(1000);
    }
    machine_lock();
    if (vcpu->listener >= 0) {
        close(vcpu->listener);
    } else {
        g_assert_true(g_file_set_contents(go, "", 0, NULL));
    }
    machine_unlock();
    return NULL;
}

static void vcpu_start(Vcpu *vcpu, const char *dir, int listener)
{
    *vcpu = (Vcpu){ .dir = dir, .listener = listener };
    g_assert_cmpint(pthread_create(&vcpu->thread, NULL, vcpu_main, vcpu), ==,
                    0);
}

static void vcpu_end(Vcpu *vcpu)
{
    g_assert_true(machine_lock_held());
    pthread_join(vcpu->thread, NULL);
}

static void remove_all(const char *dir)
{
    static const char *const names[] = { "program", "runs", "go", "ctl" };

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        g_autofree char *path = g_build_filename(dir, names[i], NULL);

        g_unlink(path);
    }
    g_assert_cmpint(g_rmdir(dir), ==, 0);
}

/* ---- programs ---- */

/* netdev_add of @fmt, in whose place of %s the program's path goes, which ends
 * with @status; @says: of the error, NULL: it works. */
static NO_THREAD_SAFETY void program(const char *fmt, int status,
                                     const char *says)
{
    g_autofree char *dir = g_dir_make_tmp("net-wait-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "program", NULL);
    g_auto(GStrv) parts = g_strsplit(fmt, "%s", 2);
    g_autofree char *text = g_strjoinv(path, parts);
    Error *err = NULL;
    Vcpu vcpu;
    bool ok;

    write_program(dir, status);
    vcpu_start(&vcpu, dir, -1);
    ok = netdev_add_text(text, &err);
    vcpu_end(&vcpu);
    g_assert_cmpint(ok, ==, !says);
    if (says && !strstr(err->message, says)) {
        g_test_message("'%s' is not in '%s'", says, err->message);
        g_test_fail();
    }
    g_clear_error(&err);
    remove_all(dir);
}

static NO_THREAD_SAFETY void test_script(void)
{
    if (skipped()) {
        return;
    }
    program("tap,id=n0,ifname=w0,downscript=no,script=%s", 0, NULL);
    g_assert_true(rig_link_exists("w0"));
    g_assert_true(netdev_del("n0", NULL));
    program("tap,id=n0,ifname=w0,downscript=no,script=%s", 9, "status 9");
}

static NO_THREAD_SAFETY void test_downscript(void)
{
    g_autofree char *dir = g_dir_make_tmp("net-wait-XXXXXX", NULL);
    g_autofree char *text = g_strdup_printf(
        "tap,id=n0,ifname=w0,script=no,downscript=%s/program", dir);
    Vcpu vcpu;

    write_program(dir, 0);
    if (!skipped()) {
        g_assert_true(netdev_add_text(text, NULL));
        vcpu_start(&vcpu, dir, -1);
        g_assert_true(netdev_del("n0", NULL));
        vcpu_end(&vcpu);
        g_assert_false(rig_link_exists("w0"));
    }
    remove_all(dir);
}

static void test_helper(void)
{
    program("bridge,id=n0,helper=%s", 3, "failed with status 3");
    program("bridge,id=n0,helper=%s", 0, "passed 0 file descriptors");
}

static void test_passt(void)
{
    program("passt,id=n0,path=%s", 5, "failed");
}

/* ---- a switch ---- */

static int listen_at(const char *dir)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/ctl", dir);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    return fd;
}

static NO_THREAD_SAFETY void test_switch(void)
{
    g_autofree char *dir = g_dir_make_tmp("net-wait-XXXXXX", NULL);
    g_autofree char *text = g_strdup_printf("vde,id=n0,sock=%s", dir);
    Error *err = NULL;
    int64_t begin;
    Vcpu vcpu;

    if (__asan_init || __tsan_init) {
        g_test_skip("libvdeplug loads its parts in a way that they refuse");
        remove_all(dir);
        return;
    }
    g_assert_false(netdev_add_text(text, &err)); /* there is none yet */
    if (!strstr(err->message, "cannot connect")) {
        g_test_skip(err->message);
        g_clear_error(&err);
        remove_all(dir);
        return;
    }
    g_clear_error(&err);
    begin = g_get_monotonic_time();
    vcpu_start(&vcpu, dir, listen_at(dir));
    g_assert_false(netdev_add_text(text, &err));
    vcpu_end(&vcpu);
    g_assert_nonnull(strstr(err->message, "cannot connect to a VDE switch"));
    g_assert_cmpint(g_get_monotonic_time() - begin, <, 4 * G_USEC_PER_SEC);
    g_clear_error(&err);
    remove_all(dir);
}

int NO_THREAD_SAFETY main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    skip = rig_enter();
    machine_lock();
    g_test_add_func("/net-wait/script", test_script);
    g_test_add_func("/net-wait/downscript", test_downscript);
    g_test_add_func("/net-wait/bridge-helper", test_helper);
    g_test_add_func("/net-wait/passt", test_passt);
    g_test_add_func("/net-wait/switch", test_switch);
    return g_test_run();
}
