/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bpf.h"

#define TCX_INGRESS 46 /* BPF_TCX_INGRESS, Linux 6.6 */
#define LOG_SIZE    16384

static void emit(BpfAsm *a, int code, int dst, int src, int offset, int32_t imm)
{
    if (a->count == BPF_MAX_INSNS) {
        die("BPF program too long");
    }
    a->insn[a->count++] = (struct bpf_insn){
        .code = code, .dst_reg = dst, .src_reg = src, .off = offset, .imm = imm
    };
}

int bpf_label(BpfAsm *a)
{
    if (a->labels == BPF_MAX_LABELS) {
        die("BPF program with too many labels");
    }
    return a->labels++;
}

void bpf_place(BpfAsm *a, int label)
{
    a->label_at[label] = a->count;
}

void bpf_alu(BpfAsm *a, int op, int dst, int src)
{
    emit(a, BPF_ALU64 | BPF_X | op, dst, src, 0, 0);
}

void bpf_alu_imm(BpfAsm *a, int op, int dst, int32_t imm)
{
    emit(a, BPF_ALU64 | BPF_K | op, dst, 0, 0, imm);
}

void bpf_load_mem(BpfAsm *a, int size, int dst, int src, int offset)
{
    emit(a, BPF_LDX | BPF_MEM | size, dst, src, offset, 0);
}

void bpf_store_mem(BpfAsm *a, int size, int dst, int offset, int src)
{
    emit(a, BPF_STX | BPF_MEM | size, dst, src, offset, 0);
}

void bpf_jump(BpfAsm *a, int op, int dst, int src, int label)
{
    bool always = op == BPF_JA;

    emit(a, BPF_JMP | (always ? 0 : BPF_X) | op, always ? 0 : dst,
         always ? 0 : src, 0, 0);
    a->label_of[a->count - 1] = 1 + label;
}

void bpf_jump_imm(BpfAsm *a, int op, int dst, int32_t imm, int label)
{
    emit(a, BPF_JMP | BPF_K | op, dst, 0, 0, imm);
    a->label_of[a->count - 1] = 1 + label;
}

static void load_double(BpfAsm *a, int dst, int src, uint64_t value)
{
    emit(a, BPF_LD | BPF_IMM | BPF_DW, dst, src, 0, (int32_t)value);
    emit(a, 0, 0, 0, 0, (int32_t)(value >> 32));
}

void bpf_constant(BpfAsm *a, int dst, uint64_t value)
{
    load_double(a, dst, 0, value);
}

void bpf_call(BpfAsm *a, int helper)
{
    emit(a, BPF_JMP | BPF_CALL, 0, 0, 0, helper);
}

void bpf_exit(BpfAsm *a)
{
    emit(a, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

void bpf_map_element(BpfAsm *a, int map, int index)
{
    bpf_store_mem(a, BPF_W, BPF_REG_10, -4, index);
    load_double(a, BPF_REG_1, BPF_PSEUDO_MAP_FD, map);
    bpf_alu(a, BPF_MOV, BPF_REG_2, BPF_REG_10);
    bpf_alu_imm(a, BPF_ADD, BPF_REG_2, -4);
    bpf_call(a, BPF_FUNC_map_lookup_elem);
}

void bpf_count(BpfAsm *a, int base, int offset)
{
    bpf_load_mem(a, BPF_DW, BPF_REG_1, base, offset);
    bpf_alu_imm(a, BPF_ADD, BPF_REG_1, 1);
    bpf_store_mem(a, BPF_DW, base, offset, BPF_REG_1);
}

void bpf_count_atomic(BpfAsm *a, int base, int offset)
{
    bpf_alu_imm(a, BPF_MOV, BPF_REG_1, 1);
    emit(a, BPF_STX | BPF_ATOMIC | BPF_DW, base, BPF_REG_1, offset, BPF_ADD);
}

static int sys_bpf(int command, union bpf_attr *attr)
{
    return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

int bpf_array(int count, size_t element_size, void **elements)
{
    union bpf_attr attr = { .map_type = BPF_MAP_TYPE_ARRAY,
                            .key_size = 4,
                            .value_size = element_size,
                            .max_entries = count,
                            .map_flags = BPF_F_MMAPABLE };
    int fd = sys_bpf(BPF_MAP_CREATE, &attr);

    if (fd < 0) {
        return -1;
    }
    *elements = mmap(NULL, count * element_size, PROT_READ | PROT_WRITE,
                     MAP_SHARED, fd, 0);
    if (*elements == MAP_FAILED) {
        close(fd);
        return -1;
    }
    return fd;
}

int bpf_load(BpfAsm *a, enum bpf_prog_type type)
{
    static char log[LOG_SIZE];
    union bpf_attr attr = { .prog_type = type,
                            .insns = (uintptr_t)a->insn,
                            .insn_cnt = a->count,
                            .license = (uintptr_t) "GPL",
                            .log_buf = (uintptr_t)log,
                            .log_size = sizeof(log),
                            .log_level = 1 };
    int fd;

    for (int i = 0; i < a->count; i++) {
        if (a->label_of[i]) {
            a->insn[i].off = a->label_at[a->label_of[i] - 1] - i - 1;
        }
    }
    log[0] = 0;
    fd = sys_bpf(BPF_PROG_LOAD, &attr);
    if (fd < 0) {
        int err = errno;
        verbose("BPF verifier: %s", log);
        errno = err;
    }
    return fd;
}

int bpf_attach_tap_ingress(int prog, int ifindex)
{
    union bpf_attr attr = { .link_create = { .prog_fd = prog,
                                             .target_fd = ifindex,
                                             .attach_type = TCX_INGRESS } };

    return sys_bpf(BPF_LINK_CREATE, &attr);
}

int bpf_attach_raw_tracepoint(int prog, const char *name)
{
    union bpf_attr attr = { .raw_tracepoint = { .name = (uintptr_t)name,
                                                .prog_fd = prog } };

    return sys_bpf(BPF_RAW_TRACEPOINT_OPEN, &attr);
}
