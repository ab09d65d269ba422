/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The smallest kernel that an emulator can boot by the PVH entry (Xen's x86/PVH
 * start of day: 32-bit protected mode, paging off, flat segments).
 *
 * It ends the emulator at once through isa-debug-exit at port 0xf4, with exit
 * status (0x10 << 1) | 1 = 33, so that the life of the process is the time from
 * exec to the first guest instructions. With -DHALT it stops there and stays,
 * for a look at the memory.
 */

#define XEN_ELFNOTE_PHYS32_ENTRY 18

    .text
    .code32
    .globl _start
_start:
#ifndef HALT
    movb $0x10, %al
    outb %al, $0xf4
#endif
1:
    cli
    hlt
    jmp 1b

    .section .note.pvh, "a", @note
    .balign 4
    .long 4                             /* name size */
    .long 8                             /* value size */
    .long XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad _start

    .section .note.GNU-stack, "", @progbits
