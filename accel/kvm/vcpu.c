/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vCPU threads.
 *
 * A vCPU is *parked* (it waits for work in vcpu_wait()) or it is in the guest.
 * It goes from the guest to parked only out of KVM_RUN's EINTR, never straight
 * from an exit: KVM completes a register access that user space has answered
 * at the next KVM_RUN, and only then is the vCPU's state whole (KVM API 5,
 * "Pending operations").
 *
 * The kick is kvm_run's immediate_exit plus a signal with an empty handler:
 * the flag stops a KVM_RUN that is about to start, the signal one under way.
 * The flag is taken back under the pool's mutex, by a vCPU that was told to
 * run, so no kick is lost.
 *
 * Lock order: machine lock, then the pool's mutex; whoever waits for a vCPU to
 * park lets go of the machine lock, which the vCPU's last access may need.
 */
#include "util/osdep.h"
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "accel/kvm/cpuid.h"
#include "accel/kvm/kvm-internal.h"
#include "system/machine-lock.h"
#include "util/fd.h"

#define KICK_SIGNAL SIGUSR1

typedef struct KvmVcpu {
    /* fixed before the thread starts */
    unsigned index;
    uint32_t apic_id;
    pthread_t thread;

    /* vCPU thread; fixed once it has parked first */
    int tid;
    int fd;
    int stats_fd; /* counters, see kvm-stats.c; -1: the kernel has none */
    struct kvm_run *run;
    VcpuSnapshot *power_on;

    /* any thread, under the pool's mutex */
    bool parked;
    bool stopped;   /* ran into the ground: parked until the next resume */
    bool reset_due; /* to be done while parked */
    bool clock_due; /* tell the guest that it was paused */
    bool read_due;  /* registers, to be read while parked */
    VcpuRegisters *registers;
    Error *error; /* of the start, the last reset or the last reading */
} KvmVcpu;

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t work; /* for vCPUs: one of the fields below changed */
    pthread_cond_t done; /* for the main thread: parked, reset */

    /* under the mutex */
    bool run, quit;
    VcpuBootState boot;

    /* main thread */
    unsigned n;
    KvmVcpu *vcpu;
    bool clock_saved;
    struct kvm_clock_data clock;
} pool = {
    .mutex = PTHREAD_MUTEX_INITIALIZER,
    .work = PTHREAD_COND_INITIALIZER,
    .done = PTHREAD_COND_INITIALIZER,
};

/* ---- in the guest ---- */

/* In the guest until kicked. False: the vCPU cannot go on. */
static bool vcpu_run(KvmVcpu *v)
{
    for (;;) {
        if (ioctl(v->fd, KVM_RUN, NULL) >= 0) {
            if (!vcpu_exit(v->index, v->fd, v->run)) {
                return false;
            }
        } else if (errno == EINTR) {
            if (__atomic_load_n(&v->run->immediate_exit, __ATOMIC_RELAXED)) {
                return true;
            }
        } else if (errno != EAGAIN) { /* EAGAIN: waited for INIT or SIPI */
            return vcpu_fail(v->index, v->fd, "KVM_RUN failed", errno, 0);
        }
    }
}

/* ---- the thread ---- */

static void kick_handler(int sig)
{
}

/* Only the kick, and faults, which are this thread's own, come here. */
static void vcpu_signals(void)
{
    sigset_t set;

    sigfillset(&set);
    sigdelset(&set, KICK_SIGNAL);
    sigdelset(&set, SIGSEGV);
    sigdelset(&set, SIGBUS);
    sigdelset(&set, SIGFPE);
    sigdelset(&set, SIGILL);
    sigdelset(&set, SIGABRT);
    pthread_sigmask(SIG_SETMASK, &set, NULL);
}

static bool vcpu_open(KvmVcpu *v, Error **errp)
{
    /* KVM's number of a vCPU is its APIC id. */
    int fd = kvm_ioctl(kvm_state.vm_fd, KVM_CREATE_VCPU,
                       (void *)(uintptr_t)v->apic_id);

    if (fd < 0) {
        error_setg_errno(errp, -fd, "-smp: KVM refuses vCPU %u, APIC id %u",
                         v->index, v->apic_id);
        return false;
    }
    v->fd = fd;
    if (!fd_set_cloexec(fd, errp)) {
        return false;
    }
    v->run = mmap(NULL, kvm_state.run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
                  fd, 0);
    if (v->run == MAP_FAILED) {
        v->run = NULL;
        error_setg_errno(errp, errno, "-accel kvm: mmap of vCPU %u", v->index);
        return false;
    }
    if (!cpuid_load(fd, v->index, errp)) {
        return false;
    }
    /* Now: while the vCPU is in the guest the kernel makes us wait. */
    v->stats_fd = kvm_stats_open(fd);
    v->power_on = vcpu_snapshot_take(fd, errp);
    return v->power_on != NULL;
}

/* What is to be done while parked, the mutex let go of. */
static void vcpu_parked_reset(KvmVcpu *v)
{
    VcpuBootState boot = pool.boot;
    Error *err = NULL;

    pthread_mutex_unlock(&pool.mutex);
    vcpu_snapshot_restore(v->fd, v->power_on, v->index == 0 ? &boot : NULL,
                          &err);
    pthread_mutex_lock(&pool.mutex);
    v->error = err;
    v->reset_due = false;
    pthread_cond_signal(&pool.done);
}

static void vcpu_parked_read(KvmVcpu *v)
{
    VcpuRegisters *registers;
    Error *err = NULL;

    pthread_mutex_unlock(&pool.mutex);
    registers = vcpu_registers_read(v->fd, &err);
    pthread_mutex_lock(&pool.mutex);
    v->registers = registers;
    v->error = err;
    v->read_due = false;
    pthread_cond_signal(&pool.done);
}

/* Parks until there is a guest to run (true) or the machine ends. */
static bool vcpu_wait(KvmVcpu *v)
{
    bool clock_due, go;

    pthread_mutex_lock(&pool.mutex);
    v->parked = true;
    pthread_cond_signal(&pool.done);
    while (!pool.quit &&
           (v->reset_due || v->read_due || v->stopped || !pool.run)) {
        if (v->reset_due) {
            vcpu_parked_reset(v);
        } else if (v->read_due) {
            vcpu_parked_read(v);
        } else {
            pthread_cond_wait(&pool.work, &pool.mutex);
        }
    }
    go = !pool.quit;
    clock_due = go && v->clock_due;
    v->clock_due = false;
    if (go) {
        v->parked = false;
        __atomic_store_n(&v->run->immediate_exit, 0, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&pool.mutex);
    if (clock_due) {
        /* Keeps the guest's soft lockup watchdog quiet (KVM API 4.72); EINVAL
         * when the guest does not use the KVM clock. */
        kvm_ioctl(v->fd, KVM_KVMCLOCK_CTRL, NULL);
    }
    return go;
}

static void *vcpu_thread(void *opaque)
{
    KvmVcpu *v = opaque;
    Error *err = NULL;
    char name[16];

    vcpu_signals();
    snprintf(name, sizeof(name), "CPU %u/KVM", v->index);
    pthread_setname_np(pthread_self(), name);
    v->tid = gettid();
    if (!vcpu_open(v, &err)) {
        pthread_mutex_lock(&pool.mutex);
        v->error = err;
        v->stopped = true;
        pthread_mutex_unlock(&pool.mutex);
    }
    while (vcpu_wait(v)) {
        bool stopped = !vcpu_run(v);

        pthread_mutex_lock(&pool.mutex);
        v->stopped = stopped;
        pthread_mutex_unlock(&pool.mutex);
    }
    return NULL;
}

/* ---- the main thread's side ---- */

static void pool_wait_parked(void)
{
    for (unsigned i = 0; i < pool.n; i++) {
        while (!pool.vcpu[i].parked) {
            pthread_cond_wait(&pool.done, &pool.mutex);
        }
    }
}

/* The first error of a vCPU, taken out of it; the mutex is held. */
static Error *pool_take_error(void)
{
    Error *first = NULL;

    for (unsigned i = 0; i < pool.n; i++) {
        Error *err = g_steal_pointer(&pool.vcpu[i].error);

        if (!first) {
            first = err;
        } else if (err) {
            g_error_free(err);
        }
    }
    return first;
}

static bool vcpu_start_thread(KvmVcpu *v, Error **errp)
{
    sigset_t all, old;
    int r;

    /* The new thread begins with every signal blocked; see vcpu_signals(). */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&v->thread, NULL, vcpu_thread, v);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r) {
        error_setg_errno(errp, r, "-smp: cannot start the thread of vCPU %u",
                         v->index);
        return false;
    }
    return true;
}

static bool vcpus_check_limits(unsigned n, Error **errp) MAIN_THREAD
{
    uint32_t last = vcpu_apic_id(vcpus_topology(), n - 1);

    if (n > kvm_state.max_vcpus) {
        error_setg(errp, "-smp %u: the kernel's KVM has at most %u vCPUs", n,
                   kvm_state.max_vcpus);
        return false;
    }
    /* 255 is the broadcast address of 8-bit APIC ids. */
    if (last >= MIN(kvm_state.max_vcpu_id, 255)) {
        error_setg(errp,
                   "-smp %u: this topology needs APIC id %u, at most %u is "
                   "possible; use fewer threads, cores or dies",
                   n, last, MIN(kvm_state.max_vcpu_id, 255) - 1);
        return false;
    }
    return true;
}

bool kvm_vcpus_create(unsigned n, Error **errp)
{
    /* KVM_RUN returns EINTR all the same; a device's system call goes on. */
    struct sigaction kick = { .sa_handler = kick_handler,
                              .sa_flags = SA_RESTART };
    Error *err = NULL;

    machine_lock_assert();
    if (!vcpus_check_limits(n, errp) || !cpuid_init(vcpus_topology(), errp)) {
        return false;
    }
    sigaction(KICK_SIGNAL, &kick, NULL);
    pool.vcpu = g_new0(KvmVcpu, n);
    for (unsigned i = 0; i < n; i++) {
        pool.vcpu[i].index = i;
        pool.vcpu[i].apic_id = vcpu_apic_id(vcpus_topology(), i);
        pool.vcpu[i].fd = pool.vcpu[i].stats_fd = -1;
        if (!vcpu_start_thread(&pool.vcpu[i], &err)) {
            break;
        }
        pool.n++;
    }
    pthread_mutex_lock(&pool.mutex);
    pool_wait_parked();
    if (!err) {
        err = pool_take_error();
    }
    pthread_mutex_unlock(&pool.mutex);
    if (err) {
        error_propagate(errp, err);
        kvm_vcpus_destroy();
        return false;
    }
    return true;
}

/* The KVM clock stands still while the machine does (KVM API 4.29, 4.30). */
static void clock_save(void)
{
    pool.clock_saved =
        kvm_ioctl(kvm_state.vm_fd, KVM_GET_CLOCK, &pool.clock) >= 0;
}

static void clock_restore(void)
{
    struct kvm_clock_data data = { .clock = pool.clock.clock };

    if (pool.clock_saved) {
        kvm_ioctl(kvm_state.vm_fd, KVM_SET_CLOCK, &data);
        pool.clock_saved = false;
    }
}

void kvm_vcpus_resume(void)
{
    bool was_paused = pool.clock_saved;

    machine_lock_assert();
    clock_restore();
    pthread_mutex_lock(&pool.mutex);
    pool.run = true;
    for (unsigned i = 0; i < pool.n; i++) {
        pool.vcpu[i].stopped = false;
        pool.vcpu[i].clock_due = was_paused;
    }
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.mutex);
}

/* Out of the guest; the mutex is held. */
static void vcpu_kick(KvmVcpu *v)
{
    if (!v->parked) {
        __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_RELAXED);
        pthread_kill(v->thread, KICK_SIGNAL);
    }
}

void kvm_vcpus_pause(void)
{
    bool was_running;

    machine_lock_assert();
    machine_unlock();
    pthread_mutex_lock(&pool.mutex);
    was_running = pool.run;
    pool.run = false;
    for (unsigned i = 0; i < pool.n; i++) {
        vcpu_kick(&pool.vcpu[i]);
    }
    pool_wait_parked();
    pthread_mutex_unlock(&pool.mutex);
    machine_lock();
    if (was_running && pool.n) {
        clock_save();
    }
}

/* All of them before any runs: a start-up message to a vCPU that has not been
 * reset yet would be lost. */
void kvm_vcpus_reset(const VcpuBootState *boot)
{
    g_autoptr(GError) err = NULL;

    machine_lock_assert();
    kvm_vcpus_pause();
    kvm_irq_reset();
    pthread_mutex_lock(&pool.mutex);
    pool.boot = *boot;
    for (unsigned i = 0; i < pool.n; i++) {
        pool.vcpu[i].reset_due = true;
    }
    pthread_cond_broadcast(&pool.work);
    for (unsigned i = 0; i < pool.n; i++) {
        while (pool.vcpu[i].reset_due) {
            pthread_cond_wait(&pool.done, &pool.mutex);
        }
    }
    err = pool_take_error();
    pthread_mutex_unlock(&pool.mutex);
    if (err) {
        error_report("%s", err->message);
    }
}

static void vcpu_close(KvmVcpu *v)
{
    if (v->run) {
        munmap(v->run, kvm_state.run_size);
    }
    fd_close(&v->stats_fd);
    fd_close(&v->fd);
    vcpu_snapshot_free(v->power_on);
    g_clear_pointer(&v->error, g_error_free);
}

void kvm_vcpus_destroy(void)
{
    machine_lock_assert();
    kvm_vcpus_pause();
    pthread_mutex_lock(&pool.mutex);
    pool.quit = true;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.mutex);
    for (unsigned i = 0; i < pool.n; i++) {
        pthread_join(pool.vcpu[i].thread, NULL);
        vcpu_close(&pool.vcpu[i]);
    }
    g_clear_pointer(&pool.vcpu, g_free);
    pool.n = 0;
    pool.quit = false;
}

int kvm_vcpu_thread_id(unsigned index)
{
    return index < pool.n ? pool.vcpu[index].tid : 0;
}

int kvm_vcpu_stats_fd(unsigned index)
{
    return index < pool.n ? pool.vcpu[index].stats_fd : -1;
}

bool kvm_vcpu_describe(unsigned index, GString *out, Error **errp)
{
    g_autofree VcpuRegisters *registers = NULL;
    KvmVcpu *v = &pool.vcpu[index];
    Error *err;

    machine_lock_assert();
    machine_unlock();
    pthread_mutex_lock(&pool.mutex);
    v->read_due = true;
    vcpu_kick(v);
    pthread_cond_broadcast(&pool.work);
    while (v->read_due) {
        pthread_cond_wait(&pool.done, &pool.mutex);
    }
    registers = g_steal_pointer(&v->registers);
    err = g_steal_pointer(&v->error);
    pthread_mutex_unlock(&pool.mutex);
    machine_lock();
    if (!registers) {
        error_propagate(errp, err);
        return false;
    }
    vcpu_registers_format(registers, out);
    return true;
}
