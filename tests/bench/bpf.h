/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small assembler for BPF programs, and the calls that load them. A jump
 * names its label; bpf_load() fills the distances in.
 *
 * Threads: the main thread.
 */
#ifndef BENCH_BPF_H
#define BENCH_BPF_H

#include <linux/bpf.h>

#include "bench.h"

#define BPF_MAX_INSNS  160
#define BPF_MAX_LABELS 24

typedef struct BpfAsm {
    struct bpf_insn insn[BPF_MAX_INSNS];
    int label_of[BPF_MAX_INSNS]; /* 1 + label of a jump, 0: not a jump */
    int label_at[BPF_MAX_LABELS];
    int count, labels;
} BpfAsm;

/* A label to be placed later. */
int bpf_label(BpfAsm *a);
void bpf_place(BpfAsm *a, int label);

/* @op is of BPF_ALU64: BPF_MOV, BPF_ADD... */
void bpf_alu(BpfAsm *a, int op, int dst, int src);
void bpf_alu_imm(BpfAsm *a, int op, int dst, int32_t imm);
/* @size: BPF_W, BPF_H, BPF_B or BPF_DW */
void bpf_load_mem(BpfAsm *a, int size, int dst, int src, int offset);
void bpf_store_mem(BpfAsm *a, int size, int dst, int offset, int src);
/* @op: BPF_JEQ, BPF_JNE, BPF_JGT, or BPF_JA with registers that do not count */
void bpf_jump(BpfAsm *a, int op, int dst, int src, int label);
void bpf_jump_imm(BpfAsm *a, int op, int dst, int32_t imm, int label);
void bpf_constant(BpfAsm *a, int dst, uint64_t value);
void bpf_call(BpfAsm *a, int helper);
void bpf_exit(BpfAsm *a);
/* r0 = the address of the element of array @map whose index is in the low word
 * of register @index, or 0. Uses the stack at fp-4; r1..r5 are lost. */
void bpf_map_element(BpfAsm *a, int map, int index);
/* *(u64 *)(@base + @offset) += 1; loses r1 */
void bpf_count(BpfAsm *a, int base, int offset);
/* The same where programs on other CPUs count in the same word. */
void bpf_count_atomic(BpfAsm *a, int base, int offset);

/* An array map of elements that user space maps as well: the file descriptor,
 * and the elements in @elements; -1 and errno. */
int bpf_array(int count, size_t element_size, void **elements);
/* Loads the program; a file descriptor, or -1 and errno. With -v the verifier's
 * words go to stderr. */
int bpf_load(BpfAsm *a, enum bpf_prog_type type);
/* Attachment lasts as long as the returned file descriptor. */
int bpf_attach_tap_ingress(int prog, int ifindex);
int bpf_attach_raw_tracepoint(int prog, const char *name);

#endif
