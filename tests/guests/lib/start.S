/* SPDX-License-Identifier: GPL-2.0 */
/*
 * start.S - from the PVH entry (32-bit, no paging) to guest_start() in long mode, and the ways into
 * interrupt handlers.
 *
 * The low 4 GiB are mapped to themselves by 2 MiB pages, the last GiB uncached, for devices.
 */
#define STACK_SIZE	0x8000
#define SELECTOR_CODE	0x08
#define SELECTOR_DATA	0x10
#define SELECTOR_TSS	0x18

#define PRESENT_WRITE	0x3
#define LARGE		0x80
#define UNCACHED	0x18

	.section .note.xen, "a"
	.align 4
	.long 4, 4, 18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start32

	.text
	.code32
	.globl start32
start32:
	cli
	cld
	movl $stack_top, %esp

	movl $page_directories, %eax
	orl $PRESENT_WRITE, %eax
	movl $4, %ecx
	movl $page_pdpt, %edi
1:	movl %eax, (%edi)
	addl $0x1000, %eax
	addl $8, %edi
	decl %ecx
	jnz 1b

	movl $(LARGE | PRESENT_WRITE), %eax
	movl $2048, %ecx
	movl $page_directories, %edi
2:	movl %eax, (%edi)
	cmpl $512, %ecx
	ja 3f
	orl $UNCACHED, (%edi)
3:	addl $0x200000, %eax
	addl $8, %edi
	decl %ecx
	jnz 2b

	movl $page_pdpt, %eax
	orl $PRESENT_WRITE, %eax
	movl %eax, page_root

	movl $page_root, %eax
	movl %eax, %cr3
	movl $0x620, %eax		/* PAE, OSFXSR, OSXMMEXCPT */
	movl %eax, %cr4
	movl $0xc0000080, %ecx		/* EFER */
	rdmsr
	orl $0x901, %eax		/* SCE, LME, NXE */
	wrmsr
	movl $0x80010033, %eax		/* PG, WP, NE, ET, MP, PE */
	movl %eax, %cr0
	lgdt gdt_pointer
	ljmp $SELECTOR_CODE, $start64

	.code64
start64:
	movw $SELECTOR_DATA, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	xorl %eax, %eax
	movw %ax, %fs
	movw %ax, %gs
	movq $stack_top, %rsp

	/* The TSS descriptor's address has to be taken apart; it is below 4 GiB. */
	movl $tss, %eax
	movw %ax, gdt_tss + 2
	shrl $16, %eax
	movb %al, gdt_tss + 4
	movb %ah, gdt_tss + 7
	movw $SELECTOR_TSS, %ax
	ltr %ax

	fninit
	xorl %ebp, %ebp
	call guest_start
4:	hlt
	jmp 4b

/* Vector N enters at vector_entries + 16 * N, and pushes 0 where the CPU pushes no error code. */
	.align 16
	.globl vector_entries
vector_entries:
	vector = 0
	.rept 256
	.align 16
	.if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
	pushq $0
	.endif
	pushq $vector
	jmp vector_common
	vector = vector + 1
	.endr

	.align 16
vector_common:
	cld
	pushq %rax
	pushq %rbx
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %rbp
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, %rdi
	movq %rsp, %rbp
	andq $-16, %rsp
	call guest_interrupt
	movq %rbp, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rbp
	popq %rdi
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rbx
	popq %rax
	addq $16, %rsp
	iretq

	.data
	.align 8
gdt:
	.quad 0
	.quad 0x00af9b000000ffff	/* code, 64 bits */
	.quad 0x00cf93000000ffff	/* data */
gdt_tss:
	.quad 0x0000890000000067	/* TSS, base filled in above */
	.quad 0
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.quad gdt

	.align 16
tss:
	.long 0
	.quad stack_top, 0, 0		/* RSP0-2 */
	.quad 0
	.quad ist1_top			/* IST1: double faults */
	.quad 0, 0, 0, 0, 0, 0
	.quad 0
	.word 0, 0x68

	.bss
	.align 4096
	.globl page_root, page_pdpt, page_directories
page_root:
	.skip 0x1000
page_pdpt:
	.skip 0x1000
page_directories:
	.skip 0x4000
	.skip STACK_SIZE
stack_top:
	.skip STACK_SIZE
ist1_top:
