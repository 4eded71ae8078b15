// SPDX-License-Identifier: GPL-2.0
/*
 * nested-exceptions - exceptions inside exception handlers, four deep, and a double fault, while
 * the timer interrupts any of them: divide error -> page fault -> invalid opcode -> general
 * protection. Provokes wrong order of events at one position and lost state of an event that KVM
 * was delivering.
 */
#include "guest.h"

#define TICKS	150

GUEST("nested-exceptions");

extern const char after_double_fault[];

static uint8_t frame_page[4096] __attribute__((aligned(4096)));
static volatile uint64_t depth, deepest, counts[32];
static uint64_t saved_rsp;

static void enter(struct frame *f)
{
	counts[f->vector]++;
	fold_irq(f->vector);
	fold_irq(f->rip);
	fold_irq(f->error);
	fold_irq(f->rflags);
	if (++depth > deepest)
		deepest = depth;
	sti(); /* the timer may come in here */
}

static void leave(void)
{
	cli();
	depth--;
}

static void general_protection(struct frame *f)
{
	enter(f);
	f->rip += 2; /* mov %eax, %fs */
	leave();
}

static void invalid_opcode(struct frame *f)
{
	enter(f);
	asm volatile("mov %k0, %%fs" : : "a"(0x7777)); /* selector beyond the GDT: #GP */
	f->rip += 2; /* ud2 */
	leave();
}

static void page_fault(struct frame *f)
{
	uint64_t address = read_cr2();

	enter(f);
	asm volatile("ud2");
	window_table[(address - WINDOW) / 4096] = (uintptr_t)frame_page | PTE_PRESENT | PTE_WRITE;
	invlpg(address);
	leave();
}

static void divide_error(struct frame *f)
{
	enter(f);
	*(volatile uint64_t *)WINDOW += 1; /* not present: #PF */
	f->rip += 2; /* div %ecx */
	leave();
}

static void breakpoint(struct frame *f)
{
	enter(f);
	leave();
}

/* A page fault cannot be delivered on a stack that is not there: #DF, on a stack of its own. */
static void double_fault(struct frame *f)
{
	counts[f->vector]++;
	fold_irq(f->rip);
	fold_irq(f->rsp);
	f->rip = (uintptr_t)after_double_fault;
	f->rsp = saved_rsp;
}

static void __attribute__((noinline)) cause_double_fault(void)
{
	cli(); /* an interrupt on that stack would be one too, with another rip */
	asm volatile("mov %%rsp, %0\n"
		     "mov %1, %%rsp\n"
		     "push %%rax\n"
		     ".globl after_double_fault\n"
		     "after_double_fault:"
		     : "=m"(saved_rsp) : "r"(WINDOW + 0x100000) : "memory");
	sti();
}

void guest_main(void)
{
	uint64_t rounds = 0;

	window_create();
	set_handler(VECTOR_DE, divide_error);
	set_handler(VECTOR_PF, page_fault);
	set_handler(VECTOR_UD, invalid_opcode);
	set_handler(VECTOR_GP, general_protection);
	set_handler(VECTOR_BP, breakpoint);
	set_handler(VECTOR_DF, double_fault);
	timer_periodic(PERIOD_FAST, TICKS);
	sti();
	do {
		window_table[0] = 0;
		invlpg(WINDOW);
		asm volatile("div %%ecx" : : "a"(1), "d"(0), "c"(0));
		asm volatile("int3");
		if (depth)
			guest_fail("handlers did not unwind", depth);
		if (rounds++ % 8 == 0)
			cause_double_fault();
	} while (timer_is_on());
	cli();
	if (deepest != 4)
		guest_fail("nesting depth is not 4", deepest);
	if (counts[VECTOR_UD] != rounds || counts[VECTOR_GP] != rounds ||
	    counts[VECTOR_DF] != (rounds + 7) / 8)
		guest_fail("exceptions are missing after rounds", rounds);
	fold(rounds);
}
