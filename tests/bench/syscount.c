/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"
#include "syscount.h"

#define STACK_IDS (-16) /* struct bpf_pidns_info */

/* Registers: r6 the arguments of the tracepoint, r7 the call's number */
enum { ARGS = BPF_REG_6, NUMBER };

/* sys_enter(regs, id): counts where the caller is of process @pid as @ns, the
 * process namespace we are in, numbers it. */
static void emit_counter(BpfAsm *a, int map, int pid, const struct stat *ns)
{
    int out = bpf_label(a);

    bpf_alu(a, BPF_MOV, ARGS, BPF_REG_1);
    bpf_constant(a, BPF_REG_1, ns->st_dev);
    bpf_constant(a, BPF_REG_2, ns->st_ino);
    bpf_alu(a, BPF_MOV, BPF_REG_3, BPF_REG_10);
    bpf_alu_imm(a, BPF_ADD, BPF_REG_3, STACK_IDS);
    bpf_alu_imm(a, BPF_MOV, BPF_REG_4, sizeof(struct bpf_pidns_info));
    bpf_call(a, BPF_FUNC_get_ns_current_pid_tgid);
    bpf_jump_imm(a, BPF_JNE, BPF_REG_0, 0, out);
    bpf_load_mem(a, BPF_W, BPF_REG_1, BPF_REG_10,
                 STACK_IDS + (int)offsetof(struct bpf_pidns_info, tgid));
    bpf_jump_imm(a, BPF_JNE, BPF_REG_1, pid, out);
    bpf_load_mem(a, BPF_DW, NUMBER, ARGS, 8);
    bpf_jump_imm(a, BPF_JGT, NUMBER, SYSCALL_NUMBERS - 1, out);
    bpf_map_element(a, map, NUMBER);
    bpf_jump_imm(a, BPF_JEQ, BPF_REG_0, 0, out);
    bpf_count_atomic(a, BPF_REG_0, 0);
    bpf_place(a, out);
    bpf_alu_imm(a, BPF_MOV, BPF_REG_0, 0);
    bpf_exit(a);
}

bool syscall_count_start(SyscallCount *c, int pid)
{
    BpfAsm *a = alloc(1, sizeof(*a));
    void *elements = NULL;
    struct stat ns;

    *c = (SyscallCount){ .prog = -1, .link = -1 };
    c->map = bpf_array(SYSCALL_NUMBERS, sizeof(uint64_t), &elements);
    c->count = elements;
    if (c->map >= 0 && stat("/proc/self/ns/pid", &ns) == 0) {
        emit_counter(a, c->map, pid, &ns);
        c->prog = bpf_load(a, BPF_PROG_TYPE_RAW_TRACEPOINT);
        if (c->prog >= 0) {
            c->link = bpf_attach_raw_tracepoint(c->prog, "sys_enter");
        }
    }
    free(a);
    if (c->link < 0) {
        fprintf(stderr, "cannot count system calls: %m\n");
        syscall_count_free(c);
        return false;
    }
    return true;
}

void syscall_count_stop(SyscallCount *c)
{
    if (c->link >= 0) {
        close(c->link);
        c->link = -1;
    }
}

void syscall_count_free(SyscallCount *c)
{
    syscall_count_stop(c);
    if (c->prog >= 0) {
        close(c->prog);
    }
    if (c->map >= 0) {
        munmap((void *)c->count, SYSCALL_NUMBERS * sizeof(uint64_t));
        close(c->map);
    }
    c->prog = c->map = -1;
}

uint64_t syscall_count_total(const SyscallCount *c)
{
    uint64_t total = 0;

    for (int i = 0; i < SYSCALL_NUMBERS; i++) {
        total += c->count[i];
    }
    return total;
}

static const char *syscall_name(int number, char *buf, size_t size)
{
    static const struct {
        int number;
        const char *name;
    } names[] = {
        { SYS_read, "read" },
        { SYS_write, "write" },
        { SYS_readv, "readv" },
        { SYS_writev, "writev" },
        { SYS_poll, "poll" },
        { SYS_ppoll, "ppoll" },
        { SYS_epoll_wait, "epoll_wait" },
        { SYS_epoll_pwait, "epoll_pwait" },
        { SYS_epoll_pwait2, "epoll_pwait2" },
        { SYS_epoll_ctl, "epoll_ctl" },
        { SYS_io_uring_enter, "io_uring_enter" },
        { SYS_futex, "futex" },
        { SYS_ioctl, "ioctl" },
        { SYS_recvmsg, "recvmsg" },
        { SYS_sendmsg, "sendmsg" },
        { SYS_clock_nanosleep, "clock_nanosleep" },
        { SYS_timerfd_settime, "timerfd_settime" },
        { SYS_sched_yield, "sched_yield" },
        { SYS_madvise, "madvise" },
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].number == number) {
            return names[i].name;
        }
    }
    snprintf(buf, size, "syscall-%d", number);
    return buf;
}

void syscall_count_text(const SyscallCount *c, char *text, size_t size)
{
    uint64_t below = UINT64_MAX;
    size_t len = 0;

    text[0] = 0;
    for (;;) {
        uint64_t most = 0;
        for (int i = 0; i < SYSCALL_NUMBERS; i++) {
            if (c->count[i] > most && c->count[i] < below) {
                most = c->count[i];
            }
        }
        if (!most) {
            return;
        }
        for (int i = 0; i < SYSCALL_NUMBERS && len < size; i++) {
            char buf[32];
            if (c->count[i] == most) {
                len +=
                    snprintf(text + len, size - len, "%s%s:%llu",
                             len ? "," : "", syscall_name(i, buf, sizeof(buf)),
                             (unsigned long long)most);
            }
        }
        below = most;
    }
}
