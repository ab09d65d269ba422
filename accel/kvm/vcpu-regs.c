/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vCPU's registers, and how people read them (`info registers`). */
#include "util/osdep.h"
#include "accel/kvm/kvm-internal.h"

#define EFER_LMA (1ULL << 10)

struct VcpuRegisters {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_mp_state mp;
};

VcpuRegisters *vcpu_registers_read(int vcpu_fd, Error **errp)
{
    g_autofree VcpuRegisters *r = g_new0(VcpuRegisters, 1);
    int ret = kvm_ioctl(vcpu_fd, KVM_GET_REGS, &r->regs);

    if (ret >= 0) {
        ret = kvm_ioctl(vcpu_fd, KVM_GET_SREGS, &r->sregs);
    }
    if (ret >= 0) {
        ret = kvm_ioctl(vcpu_fd, KVM_GET_MP_STATE, &r->mp);
    }
    if (ret < 0) {
        error_setg_errno(errp, -ret, "KVM does not tell the registers");
        return NULL;
    }
    return g_steal_pointer(&r);
}

/* Rows of four; a processor outside long mode has the first eight, of 32 bits
 * (Intel SDM 1, 3.4.1). */
static void format_general(const struct kvm_regs *r, bool wide, GString *out)
{
    const struct {
        const char *name;
        uint64_t value;
    } general[] = {
        { "AX", r->rax }, { "BX", r->rbx }, { "CX", r->rcx }, { "DX", r->rdx },
        { "SI", r->rsi }, { "DI", r->rdi }, { "BP", r->rbp }, { "SP", r->rsp },
        { "8 ", r->r8 },  { "9 ", r->r9 },  { "10", r->r10 }, { "11", r->r11 },
        { "12", r->r12 }, { "13", r->r13 }, { "14", r->r14 }, { "15", r->r15 },
    };

    for (unsigned i = 0; i < (wide ? 16u : 8u); i++) {
        g_string_append_printf(out, "%c%s=%0*" PRIx64 "%c", wide ? 'R' : 'E',
                               general[i].name, wide ? 16 : 8, general[i].value,
                               i % 4 == 3 ? '\n' : ' ');
    }
}

/* The status flags by letter (Intel SDM 1, 3.4.3). */
static void format_flags(uint64_t rflags, GString *out)
{
    static const struct {
        unsigned bit;
        char letter;
    } flags[] = { { 10, 'D' }, { 11, 'O' }, { 7, 'S' }, { 6, 'Z' },
                  { 4, 'A' },  { 2, 'P' },  { 0, 'C' } };

    g_string_append_c(out, '[');
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++) {
        g_string_append_c(out,
                          rflags >> flags[i].bit & 1 ? flags[i].letter : '-');
    }
    g_string_append_c(out, ']');
}

/* The second doubleword of the descriptor, without base (Intel SDM 3A,
 * 3.4.5). */
static uint32_t segment_flags(const struct kvm_segment *s)
{
    return (uint32_t)s->type << 8 | (uint32_t)s->s << 12 |
           (uint32_t)s->dpl << 13 | (uint32_t)s->present << 15 |
           (s->limit & 0xf0000) | (uint32_t)s->avl << 20 |
           (uint32_t)s->l << 21 | (uint32_t)s->db << 22 | (uint32_t)s->g << 23;
}

static void format_segments(const struct kvm_sregs *s, int width, GString *out)
{
    const struct {
        const char *name;
        const struct kvm_segment *segment;
    } segments[] = { { "ES ", &s->es },  { "CS ", &s->cs }, { "SS ", &s->ss },
                     { "DS ", &s->ds },  { "FS ", &s->fs }, { "GS ", &s->gs },
                     { "LDT", &s->ldt }, { "TR ", &s->tr } };

    for (unsigned i = 0; i < ARRAY_SIZE(segments); i++) {
        const struct kvm_segment *seg = segments[i].segment;

        g_string_append_printf(out, "%s=%04x %0*llx %08x %08x DPL=%u\n",
                               segments[i].name, seg->selector, width,
                               seg->base, seg->limit, segment_flags(seg),
                               seg->dpl);
    }
    g_string_append_printf(out, "GDT=     %0*llx %08x\nIDT=     %0*llx %08x\n",
                           width, s->gdt.base, s->gdt.limit, width, s->idt.base,
                           s->idt.limit);
}

void vcpu_registers_format(const VcpuRegisters *r, GString *out)
{
    bool wide = r->sregs.efer & EFER_LMA;
    int width = wide ? 16 : 8;

    format_general(&r->regs, wide, out);
    g_string_append_printf(out, "%cIP=%0*llx %cFL=%08llx ", wide ? 'R' : 'E',
                           width, r->regs.rip, wide ? 'R' : 'E',
                           r->regs.rflags);
    format_flags(r->regs.rflags, out);
    g_string_append_printf(out, " CPL=%u HLT=%u\n", r->sregs.ss.dpl,
                           r->mp.mp_state == KVM_MP_STATE_HALTED);
    format_segments(&r->sregs, width, out);
    g_string_append_printf(
        out, "CR0=%08llx CR2=%0*llx CR3=%0*llx CR4=%08llx CR8=%llx\n",
        r->sregs.cr0, width, r->sregs.cr2, width, r->sregs.cr3, r->sregs.cr4,
        r->sregs.cr8);
    g_string_append_printf(out, "EFER=%016llx APIC_BASE=%016llx\n",
                           r->sregs.efer, r->sregs.apic_base);
}
