/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The CPUs of vhost-net's workers, by command: what is said reaches the thread,
 * is kept for one that comes later, and what fails leaves all as it was.
 *
 * Threads: the test's, which holds the machine lock; iothreads have pairs. One
 * of the test's stands for each worker.
 */
#include "util/osdep.h"

#include <sched.h>
#include <sys/syscall.h>

#include "tests/unit/net-move-rig.h"

static CpuList everywhere; /* where this process may run */
static int denied_tid;     /* nobody sends that elsewhere; -1: nor any other */

int sched_setaffinity(pid_t tid, size_t size, const cpu_set_t *set)
{
    if (denied_tid && (denied_tid == tid || denied_tid < 0)) {
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_sched_setaffinity, tid, size, set);
}

/* A NIC whose workers are threads. */
static void begin_cpus(const char *mapping) MAIN_THREAD
{
    kern.with_threads = true;
    denied_tid = 0;
    rig_begin(mapping, 0, false);
}

static uint16_t first_cpu(void)
{
    return everywhere.cpu[0];
}

static uint16_t last_cpu(void)
{
    return everywhere.cpu[everywhere.n - 1];
}

/* @pairs: a digit each; NULL: all. */
static bool send_to(const char *pairs, const uint16List *cpus, Error **errp)
    MAIN_THREAD
{
    uint16_t v[8];
    uint16List list = { .v = v };

    while (pairs && pairs[list.n]) {
        v[list.n] = (uint16_t)(pairs[list.n] - '0');
        list.n++;
    }
    return rig.nic->nic.info->set_vhost_affinity(
        &rig.nic->nic, pairs ? &list : NULL, cpus, errp);
}

static void sent_to(const char *pairs, int cpu) MAIN_THREAD
{
    uint16_t v = (uint16_t)cpu;
    uint16List cpus = { .n = cpu >= 0, .v = &v };
    Error *err = NULL;

    send_to(pairs, &cpus, &err);
    g_assert_no_error(err);
}

/* Where the worker of pair @i runs, such as "1", "all". */
static char *runs_on(unsigned i) MAIN_THREAD
{
    CpuList now;
    char *text;

    g_assert_nonnull(rig.nic->pair[i].vhost);
    g_assert_true(thread_get_affinity(
        vhost_net_thread_id(rig.nic->pair[i].vhost), "worker", &now, NULL));
    text = now.n == everywhere.n && now.n > 1
               ? g_strdup("all")
               : g_strdup_printf("%u", now.cpu[0]);
    cpu_list_free(&now);
    return text;
}

/* What a monitor shows of pair @i: "1", "all", "-" for nothing. */
static char *shown_cpus(unsigned i) MAIN_THREAD
{
    NetQueueInfo info = { 0 };
    char *text;

    virtio_net_query_queue(&rig.nic->nic, i, &info);
    g_assert_cmpuint(info.vhost_cpus.n, <=, 1);
    text = !info.has_vhost_cpus ? g_strdup("-")
           : info.vhost_cpus.n  ? g_strdup_printf("%u", info.vhost_cpus.v[0])
                                : g_strdup("all");
    qapi_free_contents(&qapi_type_NetQueueInfo, &info);
    return text;
}

/* @cpu -1: all; @shown is the same, or not: nothing is shown. */
static void check_cpus(unsigned i, int cpu, bool shown) MAIN_THREAD
{
    g_autofree char *want = cpu < 0 && everywhere.n > 1
                                ? g_strdup("all")
                                : g_strdup_printf("%d", MAX(cpu, first_cpu()));
    g_autofree char *all = cpu < 0 ? g_strdup("all") : g_strdup(want);
    g_autofree char *now = runs_on(i), *told = shown_cpus(i);

    g_assert_cmpstr(now, ==, want);
    g_assert_cmpstr(told, ==, shown ? all : "-");
}

static void test_cpus(void) MAIN_THREAD
{
    begin_cpus(NULL);
    rig_fill();
    check_cpus(0, -1, false);
    sent_to(NULL, last_cpu());
    check_cpus(0, last_cpu(), true);
    check_cpus(1, last_cpu(), true);
    sent_to("0", first_cpu());
    check_cpus(0, first_cpu(), true);
    check_cpus(1, last_cpu(), true);
    sent_to("10", -1);
    check_cpus(0, -1, true);
    check_cpus(1, -1, true);
    /* With an iothread, and while nobody has them. */
    rig_moved("0-");
    sent_to("0", last_cpu());
    rig_moved("v-");
    check_cpus(0, last_cpu(), true);
    virtio_net_pairs_stop(rig.nic);
    sent_to(NULL, first_cpu());
    virtio_net_pairs_start(rig.nic);
    rig_check_where("vv");
    check_cpus(0, first_cpu(), true);
    check_cpus(1, first_cpu(), true);
    rig_traffic(5);
    rig_settle();
    rig_end();
}

/* A pair that was never with vhost-net, and those that are not meant for it. */
static void test_cpus_later(void) MAIN_THREAD
{
    begin_cpus(ON_IO0);
    g_assert_null(rig.nic->pair[0].vhost);
    sent_to("0", last_cpu());
    rig_check_where("00");
    check_cpus(0, last_cpu(), true);
    rig_moved("vv");
    rig_check_where("vv");
    check_cpus(0, last_cpu(), true);
    check_cpus(1, -1, false);
    rig_end();
}

static void join_again(void) MAIN_THREAD
{
    Error *err = NULL;

    virtio_net_peer_leave(&rig.nic->nic);
    rig_check_where("mm");
    virtio_net_peer_join(&rig.nic->nic, &err);
    g_assert_no_error(err);
    rig_check_where("vv");
}

/* Workers that are made later go there, too, if they may. */
static void test_cpus_new_worker(void) MAIN_THREAD
{
    begin_cpus(NULL);
    sent_to("1", last_cpu());
    join_again();
    g_assert_cmpuint(kern.threads->len, ==, 2 * PAIRS);
    check_cpus(0, -1, false);
    check_cpus(1, last_cpu(), true);
    denied_tid = -1;
    join_again();
    rig_fill();
    rig_traffic(3);
    rig_settle();
    denied_tid = 0;
    sent_to("1", first_cpu());
    check_cpus(1, first_cpu(), true);
    rig_end();
}

/* With the error @text nothing has changed: pair 0 has the last CPU, pair 1
 * none. */
static void not_sent(const char *pairs, const uint16List *cpus,
                     const char *text) MAIN_THREAD
{
    Error *err = NULL;

    g_assert_false(send_to(pairs, cpus, &err));
    g_test_message("%s", err->message);
    g_assert_nonnull(strstr(err->message, text));
    g_error_free(err);
    check_cpus(0, last_cpu(), true);
    check_cpus(1, -1, false);
}

static void test_cpus_refused(void) MAIN_THREAD
{
    uint16_t v[] = { first_cpu(), UINT16_MAX, first_cpu() };
    uint16List good = { .n = 1, .v = v }, missing = { .n = 2, .v = v };
    uint16List twice = { .n = 3, .v = v };
    const int fd = VHOST_FD + 1;
    g_autofree char *denied = NULL;

    begin_cpus(NULL);
    sent_to("0", last_cpu());
    not_sent(NULL, &twice, "is named twice");
    not_sent(NULL, &missing, "pair 0: CPU 65535 does not exist");
    not_sent("1", &missing, "pair 1: CPU 65535 does not exist");
    not_sent("02", &good, "pair 2 is not in 0..1");
    not_sent("00", &good, "pair 0 is named twice");
    not_sent("", &good, "'pairs' names none");
    denied_tid = vhost_net_thread_id(rig.nic->pair[1].vhost);
    denied = g_strdup_printf("pair 1: thread %d: Operation not permitted",
                             denied_tid);
    not_sent(NULL, &good, denied);
    denied_tid = 0;
    rig.nic->pair[1].shared = true;
    not_sent("01", &good, "pair 1: has no vhost worker: it sends through");
    rig.nic->pair[1].shared = false;
    rig.netdev.queue[1].vhost_fd = -1;
    not_sent("01", &good, "pair 1: has no vhost worker: it needs a netdev");
    rig.netdev.queue[1].vhost_fd = fd;
    rig.nic->pair[1].backend = NULL;
    not_sent("01", &good, "pair 1: has no vhost worker: 'net1' has no netdev");
    rig.nic->pair[1].backend = &rig.netdev.queue[1];
    rig.nic->pair[0].want_vhost = rig.nic->pair[1].want_vhost = false;
    not_sent(NULL, &good, "no pair of 'net1' is meant for vhost-net");
    rig.nic->pair[0].want_vhost = rig.nic->pair[1].want_vhost = true;
    rig_end();
}

/* Its vhost device cannot be opened, or its worker is not known. */
static void test_cpus_no_worker(void) MAIN_THREAD
{
    uint16_t cpu = first_cpu();
    uint16List cpus = { .n = 1, .v = &cpu };
    Error *err = NULL;

    begin_cpus(ON_IO0);
    sent_to("0", last_cpu());
    kern.bad_fd = VHOST_FD + 1;
    g_assert_false(send_to("01", &cpus, &err));
    g_assert_nonnull(strstr(err->message, "pair 1: vhost descriptor 1001"));
    g_clear_error(&err);
    check_cpus(0, last_cpu(), true);
    kern.bad_fd = -1;
    kern.with_threads = false;
    kern.new_tid = -1;
    g_assert_false(send_to("01", &cpus, &err));
    g_assert_nonnull(strstr(err->message, "pair 1: the kernel does not tell"));
    g_error_free(err);
    check_cpus(0, last_cpu(), true);
    g_assert_false(rig.nic->pair[1].has_vhost_cpus);
    g_assert_null(rig.nic->pair[1].vhost);
    rig_end();
}

/* A device that is given back has no worker; one that is opened again has a
 * new one, which is known. */
static void test_cpus_opened_again(void) MAIN_THREAD
{
    begin_cpus(ON_IO0);
    kern.bad_fd = VHOST_FD + 1;
    rig_refused("vv", "pair 1: vhost descriptor 1001 is not usable");
    g_assert_false(kern.owned[0]);
    kern.bad_fd = -1;
    rig_moved("v-");
    g_assert_cmpuint(kern.threads->len, ==, 2);
    sent_to("0", last_cpu());
    check_cpus(0, last_cpu(), true);
    rig_end();
    g_assert_false(kern.owned[0] || kern.owned[1]);
}

int main(int argc, char **argv)
{
    Error *err = NULL;

    g_test_init(&argc, &argv, NULL);
    rig_init();
    g_assert_true(thread_get_affinity(gettid(), "test", &everywhere, &err));
    g_test_add_func("/vhost-affinity/set", test_cpus);
    g_test_add_func("/vhost-affinity/later", test_cpus_later);
    g_test_add_func("/vhost-affinity/new-worker", test_cpus_new_worker);
    g_test_add_func("/vhost-affinity/refused", test_cpus_refused);
    g_test_add_func("/vhost-affinity/no-worker", test_cpus_no_worker);
    g_test_add_func("/vhost-affinity/opened-again", test_cpus_opened_again);
    return g_test_run();
}
