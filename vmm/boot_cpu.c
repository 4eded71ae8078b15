// SPDX-License-Identifier: GPL-2.0
/*
 * boot_cpu.c - the CPU at the kernel's first instruction: GDT, page tables, registers.
 *
 * The task register is a busy TSS, because VMX refuses to enter with anything else. (SVM takes any
 * type. KVM reports "busy" on SVM whatever the guest loaded, and QEMU's emulated SVM refuses port
 * I/O in ring 3 under a busy TSS, so whoever restores registers that KVM reported must care; here
 * it does not matter, as kernels load a TSS of their own long before ring 3.)
 */
#include <string.h>

#include "boot.h"

/* Selectors as the Linux boot protocol wants them: __BOOT_CS, __BOOT_DS. */
#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18
#define SELECTOR_TSS  0x20
#define GDT_ENTRIES   6

#define TYPE_DATA     0x3 /* read, write, accessed */
#define TYPE_CODE     0xb /* execute, read, accessed */
#define TYPE_TSS_BUSY 0xb

#define CR0_PE	     (1u << 0)
#define CR0_ET	     (1u << 4)
#define CR0_PG	     (1u << 31)
#define CR4_PAE	     (1u << 5)
#define EFER_LME     (1u << 8)
#define EFER_LMA     (1u << 10)
#define RFLAGS_FIXED (1u << 1)

#define PTE_PRESENT (1u << 0)
#define PTE_WRITE   (1u << 1)
#define PTE_LARGE   (1u << 7)
#define PAGE	    4096u
#define LARGE_PAGE  (2ull << 20)
#define MAPPED_GIB  4

static struct kvm_segment flat_segment(uint16_t selector, uint8_t type)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};
}

static void make_segments(enum tt_boot_protocol protocol, struct kvm_segment *code,
			  struct kvm_segment *data, struct kvm_segment *tss)
{
	*code = flat_segment(SELECTOR_CODE, TYPE_CODE);
	*data = flat_segment(SELECTOR_DATA, TYPE_DATA);
	if (protocol == BOOT_LINUX64) {
		code->l = 1;
		code->db = 0;
	}
	*tss = (struct kvm_segment){
		.limit = 0x67,
		.selector = SELECTOR_TSS,
		.type = TYPE_TSS_BUSY,
		.present = 1,
	};
}

static uint64_t descriptor(const struct kvm_segment *s)
{
	uint64_t limit = s->g ? s->limit >> 12 : s->limit;

	return (limit & 0xffff) | (s->base & 0xffffff) << 16 | (uint64_t)s->type << 40 |
	       (uint64_t)s->s << 44 | (uint64_t)s->dpl << 45 | (uint64_t)s->present << 47 |
	       (limit >> 16) << 48 | (uint64_t)s->l << 53 | (uint64_t)s->db << 54 |
	       (uint64_t)s->g << 55 | (s->base >> 24 & 0xff) << 56;
}

int tt_boot_write_tables(const struct tt_memory *mem, enum tt_boot_protocol protocol)
{
	uint64_t *gdt = tt_memory_at(mem, BOOT_GDT_GPA, GDT_ENTRIES * sizeof(*gdt));
	uint64_t *pages = tt_memory_at(mem, BOOT_PAGE_TABLES_GPA, (2 + MAPPED_GIB) * PAGE);
	struct kvm_segment code, data, tss;
	uint64_t *pdpt, *directory;
	unsigned int i;

	if (!gdt || !pages)
		return -ENOMEM;
	make_segments(protocol, &code, &data, &tss);
	memset(gdt, 0, GDT_ENTRIES * sizeof(*gdt));
	gdt[SELECTOR_CODE / 8] = descriptor(&code);
	gdt[SELECTOR_DATA / 8] = descriptor(&data);
	gdt[SELECTOR_TSS / 8] = descriptor(&tss);
	if (protocol != BOOT_LINUX64)
		return 0;

	memset(pages, 0, (2 + MAPPED_GIB) * PAGE);
	pdpt = pages + PAGE / 8;
	directory = pdpt + PAGE / 8;
	pages[0] = (BOOT_PAGE_TABLES_GPA + PAGE) | PTE_PRESENT | PTE_WRITE;
	for (i = 0; i < MAPPED_GIB; i++)
		pdpt[i] = (BOOT_PAGE_TABLES_GPA + (2 + i) * PAGE) | PTE_PRESENT | PTE_WRITE;
	for (i = 0; i < MAPPED_GIB * 512; i++)
		directory[i] = i * LARGE_PAGE | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
	return 0;
}

void tt_boot_registers(const struct tt_boot_image *image, struct kvm_regs *regs,
		       struct kvm_sregs *sregs)
{
	struct kvm_segment data;

	memset(regs, 0, sizeof(*regs));
	regs->rip = image->entry;
	regs->rflags = RFLAGS_FIXED;

	make_segments(image->protocol, &sregs->cs, &data, &sregs->tr);
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	memset(&sregs->ldt, 0, sizeof(sregs->ldt));
	sregs->ldt.type = 2;
	sregs->ldt.unusable = 1;
	sregs->gdt.base = BOOT_GDT_GPA;
	sregs->gdt.limit = GDT_ENTRIES * 8 - 1;
	sregs->idt.base = 0;
	sregs->idt.limit = 0;
	sregs->cr2 = 0;
	sregs->cr8 = 0;
	if (image->protocol == BOOT_LINUX64) {
		regs->rsi = BOOT_ZERO_PAGE_GPA;
		regs->rsp = BOOT_STACK_TOP;
		sregs->cr0 = CR0_PE | CR0_ET | CR0_PG;
		sregs->cr3 = BOOT_PAGE_TABLES_GPA;
		sregs->cr4 = CR4_PAE;
		sregs->efer = EFER_LME | EFER_LMA;
	} else {
		regs->rbx = BOOT_START_INFO_GPA;
		sregs->cr0 = CR0_PE | CR0_ET;
		sregs->cr3 = 0;
		sregs->cr4 = 0;
		sregs->efer = 0;
	}
}
