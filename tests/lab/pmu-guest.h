/* SPDX-License-Identifier: GPL-2.0 */
/*
 * pmu-guest.h - the code that pmu-selftest counts. It is copied into the guest as it stands, so it
 * must not depend on its address.
 */
#ifndef PMU_GUEST_H
#define PMU_GUEST_H

#include <stdint.h>

/*
 * Each shape takes its number of rounds in r8 and ends with hlt, which the
 * hypervisor intercepts, so that it does not retire. Numbers in the margin: instructions, and
 * "b" for each conditional branch.
 */
asm(".pushsection .rodata\n"
    ".balign 4096\n"
    "guest_start:\n"

    "shape_loop:\n"
    "1:	dec %r8\n" /* 2b each */
    "	jnz 1b\n"
    "	hlt\n"

    "shape_mix:\n" /* per odd round 12bbb, per even round 10bbbb */
    "1:	test $1, %r8b\n"
    "	jz 2f\n"
    "	add $3, %rax\n"
    "	call 9f\n"
    "	jmp 3f\n"
    "2:	xor %rax, %rdx\n"
    "	jrcxz 3f\n"
    "3:	push %rax\n"
    "	pop %rbx\n"
    "	cmp $0, %r8\n"
    "	jg 4f\n"
    "	nop\n"
    "4:	dec %r8\n"
    "	jnz 1b\n"
    "	mov $100, %ecx\n" /* 1 */
    "5:	loop 5b\n" /* 100 and 100 b */
    "	lea 6f(%rip), %rbx\n" /* 2 */
    "	jmp *%rbx\n"
    "6:	hlt\n"
    "9:	ret\n"

    "shape_rep:\n" /* per round 16b */
    "1:	mov $0x200000, %esi\n"
    "	mov $0x300800, %edi\n"
    "	mov $5000, %ecx\n"
    "	rep movsb\n"
    "	xor %ecx, %ecx\n"
    "	rep stosb\n"
    "	mov $0x200000, %esi\n"
    "	mov $0x200000, %edi\n"
    "	mov $100, %ecx\n"
    "	repe cmpsb\n"
    "	mov $100, %ecx\n"
    "	mov $0x200000, %edi\n"
    "	xor %eax, %eax\n"
    "	repne scasb\n"
    "	dec %r8\n"
    "	jnz 1b\n"
    "	hlt\n"

    "shape_faults:\n" /* per round 16b, the handlers included */
    "	mov $0x40000000, %ebx\n" /* 1 */
    "1:	ud2\n"
    "	xor %edx, %edx\n"
    "	xor %ecx, %ecx\n"
    "	mov $1, %eax\n"
    "	div %ecx\n"
    "	movb (%rbx), %al\n"
    "	int3\n"
    "	int $0x80\n"
    "	dec %r8\n"
    "	jnz 1b\n"
    "	hlt\n"

    "shape_user:\n" /* kernel 7; user 2b per round, and 1 */
    "	lea 1f(%rip), %rbx\n"
    "	push $(0x18 | 3)\n"
    "	push $0x1f000\n"
    "	push $2\n"
    "	push $(0x20 | 3)\n"
    "	push %rbx\n"
    "	iretq\n"
    "1:	dec %r8\n"
    "	jnz 1b\n"
    "	int $0x81\n"

    "shape_step:\n" /* 6, per round 2b, 3 per #DB; #DB: 2 per round + 3 */
    "	pushfq\n"
    "	orl $0x100, (%rsp)\n"
    "	popfq\n"
    "1:	dec %r8\n"
    "	jnz 1b\n"
    "	pushfq\n"
    "	andl $~0x100, (%rsp)\n"
    "	popfq\n"
    "	hlt\n"

    "	.balign 4096\n"
    "	.skip 4096 - 14, 0x90\n"
    "shape_cross:\n" /* 8b per round, over a page boundary inside an instruction */
    "1:	add $1, %rax\n"
    "	add $1, %rbx\n"
    "	add $1, %rdx\n"
    "	add $1, %rsi\n"
    "	add $1, %rdi\n"
    "	add $1, %rbp\n"
    "	dec %r8\n"
    "	jnz 1b\n"
    "	hlt\n"

    "shape_jumps:\n" /* 52b per round */
    "1:	.rept 50\n"
    "	jmp 2f\n"
    "2:\n"
    "	.endr\n"
    "	dec %r8\n"
    "	jnz 1b\n"
    "	hlt\n"

    "handler_skip2:\n" /* 2 */
    "	addq $2, (%rsp)\n"
    "	iretq\n"
    "handler_page_fault:\n" /* 3 */
    "	add $8, %rsp\n"
    "	addq $2, (%rsp)\n"
    "	iretq\n"
    "handler_return:\n" /* 1 */
    "	iretq\n"
    "handler_debug:\n" /* 3 */
    "	inc %r15\n"
    "	orl $0x10000, 16(%rsp)\n"
    "	iretq\n"
    "handler_irq:\n" /* 2 */
    "	inc %r14\n"
    "	iretq\n"
    "handler_end:\n"
    "	hlt\n"
    "guest_end:\n"
    ".popsection\n");

extern const uint8_t guest_start[], guest_end[], shape_loop[], shape_mix[], shape_rep[],
	shape_faults[], shape_user[], shape_step[], shape_cross[], shape_jumps[], handler_skip2[],
	handler_page_fault[], handler_return[], handler_debug[], handler_irq[], handler_end[];

#endif
