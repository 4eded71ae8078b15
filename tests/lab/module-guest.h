/* SPDX-License-Identifier: GPL-2.0 */
/*
 * module-guest.h - a machine small enough to reason about: one vCPU in 64-bit mode, 2 MiB of memory, mapped one to one.
 *
 * Guest code stands as assembly next to the check that it serves (GUEST below), as in the kernel's KVM selftests. It
 * talks to the host by OUT to GUEST_PORT, and leaves data at GUEST_DATA.
 */
#ifndef TTVM_MODULE_GUEST_H
#define TTVM_MODULE_GUEST_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/ttvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Guest physical = virtual addresses */
#define GUEST_SIZE 0x200000
#define GUEST_PML4 0x1000
#define GUEST_PDPT 0x2000
#define GUEST_PD 0x3000
#define GUEST_GDT 0x4000
#define GUEST_IDT 0x5000
#define GUEST_CODE 0x10000
#define GUEST_HANDLER 0x18000	/* of the one exception that a test cares for */
#define GUEST_DATA 0x20000
#define GUEST_STACK 0x40000
#define GUEST_MMIO 0x10000000	/* no memory here */
#define GUEST_PORT 0x80

#define EVENT_BRANCHES 0xd1	/* AMD: retired conditional branches; 0xc0: retired instructions */
#define EVENT_INSTRUCTIONS 0xc0

/* Defines guest code: GUEST(name, "text") gives name_start[] and name_end[]. The text may not refer to absolute addresses. */
#define GUEST(name, text)                                                                                             \
	extern const uint8_t name##_start[], name##_end[];                                                            \
	asm(".pushsection .rodata\n.global " #name "_start, " #name "_end\n" #name "_start:\n" text "\n" #name        \
	    "_end:\n.popsection")

struct guest {
	int kvm, vm, vcpu, ttvm;
	struct kvm_run *run;
	uint8_t *mem;
	struct ttvm_page *page;
	struct ttvm_attach attach;
};

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static inline void guest_set_rip(struct guest *g, uint64_t rip)
{
	struct kvm_regs regs = { .rip = rip, .rsp = GUEST_STACK, .rflags = 2 };

	if (ioctl(g->vcpu, KVM_SET_REGS, &regs))
		die("KVM_SET_REGS");
}

static inline void guest_load(struct guest *g, const uint8_t *start, const uint8_t *end)
{
	memcpy(g->mem + GUEST_CODE, start, end - start);
	guest_set_rip(g, GUEST_CODE);
}

/* Exceptions of this vector go to code at GUEST_HANDLER. */
static inline void guest_set_handler(struct guest *g, int vector, const uint8_t *start, const uint8_t *end)
{
	uint64_t *gate = (uint64_t *)(g->mem + GUEST_IDT + vector * 16);

	memcpy(g->mem + GUEST_HANDLER, start, end - start);
	gate[0] = (GUEST_HANDLER & 0xffff) | 8ull << 16 | 0x8eull << 40 | (uint64_t)(GUEST_HANDLER >> 16) << 48;
	gate[1] = 0;
}

static inline void guest_set_long_mode(struct guest *g)
{
	struct kvm_segment code = { .selector = 8, .limit = ~0u, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1 };
	struct kvm_segment data = { .selector = 16, .limit = ~0u, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1 };
	struct kvm_sregs sregs;
	int i;

	*(uint64_t *)(g->mem + GUEST_PML4) = GUEST_PDPT | 7;
	*(uint64_t *)(g->mem + GUEST_PDPT) = GUEST_PD | 7;
	for (i = 0; i < 512; i++)
		*(uint64_t *)(g->mem + GUEST_PD + i * 8) = (uint64_t)i << 21 | 0x87;
	*(uint64_t *)(g->mem + GUEST_GDT + 8) = 0x00af9b000000ffffull;
	*(uint64_t *)(g->mem + GUEST_GDT + 16) = 0x00cf93000000ffffull;

	if (ioctl(g->vcpu, KVM_GET_SREGS, &sregs))
		die("KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.gdt.base = GUEST_GDT;
	sregs.gdt.limit = 23;
	sregs.idt.base = GUEST_IDT;
	sregs.idt.limit = 0xfff;
	sregs.cr0 = 0x80050033;
	sregs.cr3 = GUEST_PML4;
	sregs.cr4 = 0x220;
	sregs.efer = 0x500;
	if (ioctl(g->vcpu, KVM_SET_SREGS, &sregs))
		die("KVM_SET_SREGS");
}

static inline void guest_set_cpuid(struct guest *g)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[100];
	} cpuid = { .head.nent = 100 };

	if (ioctl(g->kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) || ioctl(g->vcpu, KVM_SET_CPUID2, &cpuid))
		die("CPUID");
}

/* Make the machine; ttvm is not yet asked for anything but its device. */
static inline void guest_new(struct guest *g)
{
	struct kvm_userspace_memory_region region = { .memory_size = GUEST_SIZE };

	memset(g, 0, sizeof(*g));
	g->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (g->kvm < 0)
		die("/dev/kvm");
	g->vm = ioctl(g->kvm, KVM_CREATE_VM, 0);
	if (g->vm < 0)
		die("KVM_CREATE_VM");
	g->mem = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	region.userspace_addr = (uintptr_t)g->mem;
	if (ioctl(g->vm, KVM_SET_USER_MEMORY_REGION, &region))
		die("KVM_SET_USER_MEMORY_REGION");
	g->vcpu = ioctl(g->vm, KVM_CREATE_VCPU, 0);
	if (g->vcpu < 0)
		die("KVM_CREATE_VCPU");
	g->run = mmap(NULL, ioctl(g->kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	if (g->run == MAP_FAILED)
		die("mmap of the vCPU");
	guest_set_cpuid(g);
	guest_set_long_mode(g);

	g->ttvm = open(TTVM_DEVICE, O_RDWR | O_CLOEXEC);
	if (g->ttvm < 0)
		die(TTVM_DEVICE);
	g->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, g->ttvm, 0);
	if (g->page == MAP_FAILED)
		die("mmap of " TTVM_DEVICE);
	g->attach = (struct ttvm_attach){
		.vm_fd = g->vm,
		.vcpu_fd = g->vcpu,
		.branch_event = EVENT_BRANCHES,
		.instr_event = EVENT_INSTRUCTIONS,
	};
}

/* 0 or -errno; the sentence is in g->attach.why_not. */
static inline int guest_attach(struct guest *g)
{
	return ioctl(g->ttvm, TTVM_ATTACH, &g->attach) ? -errno : 0;
}

static inline void guest_free(struct guest *g)
{
	munmap(g->page, 4096);
	munmap(g->run, ioctl(g->kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
	munmap(g->mem, GUEST_SIZE);
	close(g->ttvm);
	close(g->vcpu);
	close(g->vm);
	close(g->kvm);
}

/* KVM_RUN until it returns; the exit reason, or -errno. */
static inline int guest_run(struct guest *g)
{
	if (ioctl(g->vcpu, KVM_RUN, 0))
		return -errno;
	return g->run->exit_reason;
}

/* Finish a half-done instruction without executing the next one. */
static inline void guest_settle(struct guest *g)
{
	g->run->immediate_exit = 1;
	if (ioctl(g->vcpu, KVM_RUN, 0) == 0 || errno != EINTR)
		die("KVM_RUN with immediate_exit");
	g->run->immediate_exit = 0;
}

static inline struct kvm_regs guest_regs(struct guest *g)
{
	struct kvm_regs regs;

	if (ioctl(g->vcpu, KVM_GET_REGS, &regs))
		die("KVM_GET_REGS");
	return regs;
}

/* control: KVM_GUESTDBG_SINGLESTEP and/or _USE_HW_BP; the breakpoint is DR0. */
static inline void guest_debug(struct guest *g, uint32_t control, uint64_t breakpoint)
{
	struct kvm_guest_debug debug = { .control = control ? control | KVM_GUESTDBG_ENABLE : 0 };

	if (control & KVM_GUESTDBG_USE_HW_BP) {
		debug.arch.debugreg[0] = breakpoint;
		debug.arch.debugreg[7] = 0x402;	/* G0, execute */
	}
	if (ioctl(g->vcpu, KVM_SET_GUEST_DEBUG, &debug))
		die("KVM_SET_GUEST_DEBUG");
}

static inline int guest_alarm(struct guest *g, uint32_t counter, uint64_t target)
{
	struct ttvm_alarm alarm = { .counter = counter, .target = target };

	return ioctl(g->ttvm, TTVM_ALARM, &alarm) ? -errno : 0;
}

#endif
