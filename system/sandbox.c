/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * -sandbox: the system calls that a running machine needs, and no others
 * (seccomp(2), by libseccomp, which is loaded when it is asked for).
 *
 * A call that is not in the list fails with EPERM: who has taken the process
 * over gains nothing by it, and a library that tries something new does not
 * take the machine down.
 */
#include "util/osdep.h"

#include <sched.h>
#include <seccomp.h>

#include "system/confine.h"
#include "util/dynlib.h"

#define LIBRARY "libseccomp.so.2"

typedef struct SeccompLib {
    scmp_filter_ctx (*init)(uint32_t action);
    void (*release)(scmp_filter_ctx ctx);
    int (*attr_set)(scmp_filter_ctx ctx, enum scmp_filter_attr attr,
                    uint32_t value);
    int (*resolve)(const char *name);
    int (*rule_add)(scmp_filter_ctx ctx, uint32_t action, int syscall,
                    unsigned n, const struct scmp_arg_cmp *args);
    int (*load)(scmp_filter_ctx ctx);
} SeccompLib;

#define SYMBOL(n, field)                 \
    {                                    \
        (n), offsetof(SeccompLib, field) \
    }

static const DynSymbol symbols[] = {
    SYMBOL("seccomp_init", init),
    SYMBOL("seccomp_release", release),
    SYMBOL("seccomp_attr_set", attr_set),
    SYMBOL("seccomp_syscall_resolve_name", resolve),
    SYMBOL("seccomp_rule_add_array", rule_add),
    SYMBOL("seccomp_load", load),
};

static SeccompLib lib;
static scmp_filter_ctx filter;

/* ---- the lists; one group a line ---- */

#define MEMORY                                                                \
    "brk", "fallocate", "ftruncate", "madvise", "membarrier", "memfd_create", \
        "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mremap", "msync", \
        "munlock", "munlockall", "munmap"
#define FILES                                                                  \
    "access", "chdir", "chmod", "chown", "close", "close_range",               \
        "copy_file_range", "creat", "dup", "dup2", "dup3", "faccessat",        \
        "faccessat2", "fadvise64", "fchmod", "fchmodat", "fchown", "fchownat", \
        "fcntl", "fdatasync", "flock", "fstat", "fstatfs", "fsync", "getcwd",  \
        "getdents64", "ioctl", "lseek", "lstat", "mkdir", "mkdirat",           \
        "newfstatat", "open", "openat", "openat2", "pipe", "pipe2", "pread64", \
        "preadv", "preadv2", "pwrite64", "pwritev", "pwritev2", "read",        \
        "readlink", "readlinkat", "readv", "rename", "renameat", "renameat2",  \
        "rmdir", "sendfile", "stat", "statfs", "statx", "umask", "unlink",     \
        "unlinkat", "write", "writev"
#define EVENTS                                                                 \
    "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", \
        "eventfd2", "io_destroy", "io_getevents", "io_setup", "io_submit",     \
        "io_uring_enter", "io_uring_register", "io_uring_setup", "poll",       \
        "ppoll", "pselect6", "select", "signalfd4", "timerfd_create",          \
        "timerfd_gettime", "timerfd_settime"
#define SOCKETS                                                               \
    "accept", "accept4", "bind", "bpf", "connect", "getpeername",             \
        "getsockname", "getsockopt", "listen", "recvfrom", "recvmmsg",        \
        "recvmsg", "sendmmsg", "sendmsg", "sendto", "setsockopt", "shutdown", \
        "socket", "socketpair"
#define THREADS                                                                \
    "exit", "exit_group", "futex", "futex_waitv", "get_robust_list", "getcpu", \
        "gettid", "rseq", "sched_getaffinity", "sched_getparam",               \
        "sched_getscheduler", "sched_yield", "set_robust_list",                \
        "set_tid_address"
#define PROCESS                                                              \
    "arch_prctl", "capget", "getegid", "geteuid", "getgid", "getgroups",     \
        "getpgid", "getpgrp", "getpid", "getppid", "getrandom", "getresgid", \
        "getresuid", "getrlimit", "getrusage", "getsid", "getuid", "kcmp",   \
        "prctl", "restart_syscall", "sysinfo", "times", "uname", "wait4",    \
        "waitid"
#define SIGNALS                                                                \
    "kill", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",                 \
        "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", \
        "rt_tgsigqueueinfo", "sigaltstack", "tgkill"
#define TIME                                                            \
    "clock_getres", "clock_gettime", "clock_nanosleep", "gettimeofday", \
        "nanosleep", "time"

static const char *const always[] = { MEMORY,  FILES,   EVENTS,
                                      SOCKETS, THREADS, PROCESS,
                                      SIGNALS, TIME,    NULL };

static const char *const obsolete[] = {
    "_sysctl",      "alarm", "getitimer",    "readahead", "setitimer",
    "sysfs",        "tkill", "uselib",       "ustat",     "remap_file_pages",
    "getdents",     "pause", "epoll_create", "eventfd",   "signalfd",
    "inotify_init", "utime", "utimes",       "futimesat", NULL
};
static const char *const elevate[] = { "capset",    "setfsgid",  "setfsuid",
                                       "setgid",    "setgroups", "setregid",
                                       "setresgid", "setresuid", "setreuid",
                                       "setuid",    NULL };
static const char *const spawn[] = {
    "clone",   "execve", "execveat", "fork", "pidfd_open", "pidfd_send_signal",
    "setpgid", "setsid", "vfork",    NULL
};
static const char *const resource[] = { "getpriority",
                                        "ioprio_get",
                                        "ioprio_set",
                                        "sched_getattr",
                                        "sched_setaffinity",
                                        "sched_setattr",
                                        "sched_setparam",
                                        "sched_setscheduler",
                                        "setpriority",
                                        "setrlimit",
                                        NULL };

/* ---- the filter ---- */

static bool add_calls(const char *const *names)
{
    for (; *names; names++) {
        int nr = lib.resolve(*names);

        /* An older library does not know the newest calls. */
        if (nr != __NR_SCMP_ERROR &&
            lib.rule_add(filter, SCMP_ACT_ALLOW, nr, 0, NULL) < 0) {
            return false;
        }
    }
    return true;
}

/* Threads, but no processes. The flags of clone3() lie in memory, where a
 * filter does not see them: the C library uses clone() if there is no clone3().
 */
static bool add_thread_creation(void)
{
    struct scmp_arg_cmp thread =
        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD);

    return lib.rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1, &thread) >=
               0 &&
           lib.rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0,
                        NULL) >= 0;
}

/* Limits may be read; and set, with resourcecontrol=allow. */
static bool add_limits(const SandboxRules *rules)
{
    struct scmp_arg_cmp reading = SCMP_A2(SCMP_CMP_EQ, 0);

    return lib.rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64),
                        rules->resource ? 0 : 1, &reading) >= 0;
}

static bool fill(const SandboxRules *rules)
{
    return lib.attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) >= 0 &&
           add_calls(always) && add_limits(rules) && add_thread_creation() &&
           (!rules->obsolete || add_calls(obsolete)) &&
           (!rules->elevate || add_calls(elevate)) &&
           (!rules->spawn || add_calls(spawn)) &&
           (!rules->resource || add_calls(resource));
}

bool sandbox_prepare(const SandboxRules *rules, Error **errp)
{
    if (!dynlib_load(LIBRARY, symbols, ARRAY_SIZE(symbols), &lib)) {
        error_setg(errp,
                   "-sandbox on: needs the library %s; install libseccomp2",
                   LIBRARY);
        return false;
    }
    filter = lib.init(SCMP_ACT_ERRNO(EPERM));
    if (!filter || !fill(rules)) {
        error_setg(errp, "-sandbox on: cannot make the system call filter");
        return false;
    }
    return true;
}

bool sandbox_enter(Error **errp)
{
    int r = lib.load(filter);

    lib.release(g_steal_pointer(&filter));
    if (r < 0) {
        error_setg_errno(errp, -r,
                         "-sandbox on: the kernel refuses the system call "
                         "filter");
    }
    return r >= 0;
}
