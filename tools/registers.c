// SPDX-License-Identifier: GPL-2.0
/*
 * registers.c - all registers of a vCPU as text, one name=value per line, so that two outputs can be compared by diff.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "ttvm.h"

static void print_segment(const char *name, const struct kvm_segment *s)
{
	printf("%s=%04x base=%016llx limit=%08x type=%x dpl=%u present=%u long=%u\n", name, s->selector,
	       s->base, s->limit, s->type, s->dpl, s->present, s->l);
}

static void print_general(const struct kvm_regs *r)
{
	const struct {
		const char *name;
		unsigned long long value;
	} general[] = {
		{ "rax", r->rax }, { "rbx", r->rbx }, { "rcx", r->rcx }, { "rdx", r->rdx },
		{ "rsi", r->rsi }, { "rdi", r->rdi }, { "rbp", r->rbp }, { "rsp", r->rsp },
		{ "r8", r->r8 },   { "r9", r->r9 },   { "r10", r->r10 }, { "r11", r->r11 },
		{ "r12", r->r12 }, { "r13", r->r13 }, { "r14", r->r14 }, { "r15", r->r15 },
		{ "rip", r->rip },
		/* RF may be the debugger's doing */
		{ "rflags", r->rflags & ~(1ull << 16) },
	};
	size_t i;

	for (i = 0; i < sizeof(general) / sizeof(general[0]); i++)
		printf("%s=%016llx\n", general[i].name, general[i].value);
}

static void print_fpu(const struct kvm_fpu *fpu)
{
	int i, j;

	printf("fcw=%04x fsw=%04x ftw=%02x fop=%04x fip=%016llx fdp=%016llx mxcsr=%08x\n", fpu->fcw,
	       fpu->fsw, fpu->ftwx, fpu->last_opcode, fpu->last_ip, fpu->last_dp, fpu->mxcsr);
	for (i = 0; i < 8; i++) {
		printf("st%d=", i);
		for (j = 9; j >= 0; j--)
			printf("%02x", fpu->fpr[i][j]);
		putchar('\n');
	}
	for (i = 0; i < 16; i++) {
		printf("xmm%d=", i);
		for (j = 15; j >= 0; j--)
			printf("%02x", fpu->xmm[i][j]);
		putchar('\n');
	}
}

int print_registers(struct tt_vcpu *vcpu)
{
	struct kvm_regs regs;
	struct kvm_sregs s;
	struct kvm_fpu fpu;

	if (ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 || ioctl(vcpu->fd, KVM_GET_SREGS, &s) < 0 ||
	    ioctl(vcpu->fd, KVM_GET_FPU, &fpu) < 0)
		return -errno;
	print_general(&regs);
	print_segment("cs", &s.cs);
	print_segment("ds", &s.ds);
	print_segment("es", &s.es);
	print_segment("fs", &s.fs);
	print_segment("gs", &s.gs);
	print_segment("ss", &s.ss);
	print_segment("tr", &s.tr);
	print_segment("ldt", &s.ldt);
	printf("gdt=%016llx limit=%04x\n", s.gdt.base, s.gdt.limit);
	printf("idt=%016llx limit=%04x\n", s.idt.base, s.idt.limit);
	printf("cr0=%016llx\ncr2=%016llx\ncr3=%016llx\ncr4=%016llx\ncr8=%016llx\nefer=%016llx\n", s.cr0,
	       s.cr2, s.cr3, s.cr4, s.cr8, s.efer);
	print_fpu(&fpu);
	return 0;
}
