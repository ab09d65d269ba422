/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <sys/mman.h>
#include <unistd.h>

#include "bpf.h"
#include "sink.h"

#define TCX_DROP 2
/* The stamp's copy on the stack, in front of bpf_map_element()'s word. */
#define STACK_STAMP     (-24 - 8)
#define ON_STACK(field) (STACK_STAMP + (int)offsetof(FrameStamp, field))
#define SKB(field)      ((int)offsetof(struct __sk_buff, field))
#define FLOW(field)     ((int)offsetof(SinkFlow, field))

/* Registers: r6 the frame, r7 flow, r8 sequence number, r9 the flow's counts */
enum { FRAME = BPF_REG_6, FLOW_ID, SEQ, COUNTS };

/* To label @bad unless magic, flow and tag are right. */
static void emit_check_stamp(BpfAsm *a, int stamp, int bad)
{
    bpf_alu(a, BPF_MOV, FRAME, BPF_REG_1);
    bpf_alu_imm(a, BPF_MOV, BPF_REG_2, stamp);
    bpf_alu(a, BPF_MOV, BPF_REG_3, BPF_REG_10);
    bpf_alu_imm(a, BPF_ADD, BPF_REG_3, STACK_STAMP);
    bpf_alu_imm(a, BPF_MOV, BPF_REG_4, sizeof(FrameStamp));
    bpf_call(a, BPF_FUNC_skb_load_bytes);
    bpf_jump_imm(a, BPF_JNE, BPF_REG_0, 0, bad);
    bpf_load_mem(a, BPF_W, BPF_REG_1, BPF_REG_10, ON_STACK(magic));
    bpf_jump_imm(a, BPF_JNE, BPF_REG_1, STAMP_MAGIC, bad);
    bpf_load_mem(a, BPF_H, FLOW_ID, BPF_REG_10, ON_STACK(flow));
    bpf_jump_imm(a, BPF_JGT, FLOW_ID, SINK_FOREIGN - 1, bad);
    bpf_load_mem(a, BPF_DW, SEQ, BPF_REG_10, ON_STACK(seq));
    bpf_constant(a, BPF_REG_2, UINT64_C(0x9E3779B97F4A7C15));
    bpf_alu(a, BPF_MUL, BPF_REG_2, SEQ);
    bpf_alu_imm(a, BPF_RSH, BPF_REG_2, 48);
    bpf_alu(a, BPF_XOR, BPF_REG_2, FLOW_ID);
    bpf_load_mem(a, BPF_H, BPF_REG_3, BPF_REG_10, ON_STACK(tag));
    bpf_jump(a, BPF_JNE, BPF_REG_2, BPF_REG_3, bad);
}

static void emit_count_length(BpfAsm *a)
{
    int ok = bpf_label(a);

    bpf_count(a, COUNTS, FLOW(packets));
    bpf_load_mem(a, BPF_W, BPF_REG_2, FRAME, SKB(len));
    bpf_load_mem(a, BPF_DW, BPF_REG_1, COUNTS, FLOW(bytes));
    bpf_alu(a, BPF_ADD, BPF_REG_1, BPF_REG_2);
    bpf_store_mem(a, BPF_DW, COUNTS, FLOW(bytes), BPF_REG_1);
    bpf_load_mem(a, BPF_H, BPF_REG_3, BPF_REG_10, ON_STACK(len));
    bpf_alu_imm(a, BPF_AND, BPF_REG_2, 0xffff);
    bpf_jump(a, BPF_JEQ, BPF_REG_2, BPF_REG_3, ok);
    bpf_count(a, COUNTS, FLOW(bad_len));
    bpf_place(a, ok);
}

/* A higher number than the next leaves a gap; a lower one is reordered or
 * came before. */
static void emit_check_order(BpfAsm *a)
{
    int in_order = bpf_label(a), ahead = bpf_label(a), done = bpf_label(a);

    bpf_load_mem(a, BPF_DW, BPF_REG_2, COUNTS, FLOW(next));
    bpf_jump(a, BPF_JEQ, SEQ, BPF_REG_2, in_order);
    bpf_jump(a, BPF_JGT, SEQ, BPF_REG_2, ahead);
    bpf_count(a, COUNTS, FLOW(ooo));
    bpf_jump(a, BPF_JA, 0, 0, done);
    bpf_place(a, ahead);
    bpf_alu(a, BPF_MOV, BPF_REG_3, SEQ);
    bpf_alu(a, BPF_SUB, BPF_REG_3, BPF_REG_2);
    bpf_load_mem(a, BPF_DW, BPF_REG_1, COUNTS, FLOW(gap));
    bpf_alu(a, BPF_ADD, BPF_REG_1, BPF_REG_3);
    bpf_store_mem(a, BPF_DW, COUNTS, FLOW(gap), BPF_REG_1);
    bpf_place(a, in_order);
    bpf_alu_imm(a, BPF_ADD, SEQ, 1);
    bpf_store_mem(a, BPF_DW, COUNTS, FLOW(next), SEQ);
    bpf_place(a, done);
}

/* The tap numbers the queues it receives on from 1. */
static void emit_check_queue(BpfAsm *a)
{
    int ok = bpf_label(a);

    bpf_load_mem(a, BPF_W, BPF_REG_2, FRAME, SKB(queue_mapping));
    bpf_alu(a, BPF_MOV, BPF_REG_1, FLOW_ID);
    bpf_alu_imm(a, BPF_RSH, BPF_REG_1, 4);
    bpf_alu_imm(a, BPF_ADD, BPF_REG_1, 1);
    bpf_jump(a, BPF_JEQ, BPF_REG_1, BPF_REG_2, ok);
    bpf_count(a, COUNTS, FLOW(wrong_queue));
    bpf_place(a, ok);
}

static void emit_sink(BpfAsm *a, int map, int stamp)
{
    int bad = bpf_label(a), drop = bpf_label(a);

    _Static_assert(TX_FLOWS_PER_PAIR == 1 << 4, "emit_check_queue() shifts");
    emit_check_stamp(a, stamp, bad);
    bpf_map_element(a, map, FLOW_ID);
    bpf_jump_imm(a, BPF_JEQ, BPF_REG_0, 0, drop);
    bpf_alu(a, BPF_MOV, COUNTS, BPF_REG_0);
    emit_count_length(a);
    emit_check_order(a);
    emit_check_queue(a);
    bpf_jump(a, BPF_JA, 0, 0, drop);
    bpf_place(a, bad);
    bpf_alu_imm(a, BPF_MOV, FLOW_ID, SINK_FOREIGN);
    bpf_map_element(a, map, FLOW_ID);
    bpf_jump_imm(a, BPF_JEQ, BPF_REG_0, 0, drop);
    bpf_alu(a, BPF_MOV, COUNTS, BPF_REG_0);
    bpf_count(a, COUNTS, FLOW(packets));
    bpf_place(a, drop);
    bpf_alu_imm(a, BPF_MOV, BPF_REG_0, TCX_DROP);
    bpf_exit(a);
}

static void emit_bounce(BpfAsm *a)
{
    bpf_load_mem(a, BPF_W, BPF_REG_1, BPF_REG_1, SKB(ifindex));
    bpf_alu_imm(a, BPF_MOV, BPF_REG_2, 0); /* out, not in */
    bpf_call(a, BPF_FUNC_redirect);
    bpf_exit(a);
}

static void sink_load(Sink *s, BpfAsm *a, int ifindex)
{
    s->prog = bpf_load(a, BPF_PROG_TYPE_SCHED_CLS);
    s->link = s->prog < 0 ? -1 : bpf_attach_tap_ingress(s->prog, ifindex);
    if (s->link < 0) {
        die("cannot attach the BPF sink that verifies frames: %m; it needs "
            "root and Linux 6.6 (TCX)");
    }
}

void sink_attach(Sink *s, int ifindex, int stamp)
{
    BpfAsm *a = alloc(1, sizeof(*a));
    void *elements = NULL;

    *s = (Sink){ .prog = -1, .link = -1 };
    s->map = bpf_array(TX_FLOWS, sizeof(SinkFlow), &elements);
    if (s->map < 0) {
        die("cannot make a BPF map: %m; run this as root");
    }
    s->flow = elements;
    emit_sink(a, s->map, stamp);
    sink_load(s, a, ifindex);
    free(a);
}

void sink_attach_bounce(Sink *s, int ifindex)
{
    BpfAsm *a = alloc(1, sizeof(*a));

    *s = (Sink){ .prog = -1, .link = -1, .map = -1 };
    emit_bounce(a);
    sink_load(s, a, ifindex);
    free(a);
}

void sink_detach(Sink *s)
{
    if (s->flow) {
        munmap((void *)s->flow, TX_FLOWS * sizeof(SinkFlow));
        close(s->map);
    }
    close(s->link);
    close(s->prog);
}

SinkFlow sink_pair(const Sink *s, int pair)
{
    SinkFlow sum = { 0 };

    for (int k = 0; k < TX_FLOWS_PER_PAIR; k++) {
        volatile const SinkFlow *f = &s->flow[pair * TX_FLOWS_PER_PAIR + k];
        if (f == &s->flow[SINK_FOREIGN]) {
            continue;
        }
        sum.packets += f->packets;
        sum.bytes += f->bytes;
        sum.gap += f->gap;
        sum.ooo += f->ooo;
        sum.bad_len += f->bad_len;
        sum.wrong_queue += f->wrong_queue;
    }
    return sum;
}
