// SPDX-License-Identifier: GPL-2.0
/*
 * shadows - the instruction after STI and MOV SS cannot be interrupted, even with an interrupt
 * waiting. Provokes injection in a shadow, loss of the shadow when the instruction exits to the
 * VMM, and two shadows in a row. The guest itself checks that no interrupt came in a shadow.
 */
#include "guest.h"

#define TICKS	200

GUEST("shadows");

extern const char sti_shadow[], sti_io_shadow[], sti_cli_shadow[], sti_cli_next[];
extern const char sti_tsc_shadow[], mov_ss_shadow[], mov_ss_memory_shadow[];

static volatile uint64_t work;

static void check_shadow(struct frame *f)
{
	if (f->rip == (uintptr_t)sti_shadow || f->rip == (uintptr_t)sti_io_shadow ||
	    f->rip == (uintptr_t)sti_cli_shadow || f->rip == (uintptr_t)mov_ss_shadow ||
	    f->rip == (uintptr_t)mov_ss_memory_shadow || f->rip == (uintptr_t)sti_tsc_shadow)
		guest_fail("interrupt in a shadow at", f->rip);
	/* CLI in the shadow of STI: nothing may ever come after it. */
	if (f->rip == (uintptr_t)sti_cli_next)
		guest_fail("interrupt although CLI stood in STI's shadow", f->rip);
}

static void __attribute__((noinline)) one_round(void)
{
	uint64_t n = 300, tsc;

	/* Long enough with interrupts off that one is often waiting. */
	asm volatile("cli; 1: dec %0; jnz 1b\n"
		     "sti\n"
		     "sti_cli_shadow: cli\n"
		     "sti_cli_next: nop" : "+r"(n) : : "memory");
	asm volatile("sti\n"
		     "sti_shadow: nop\n"
		     "nop" : : : "memory");
	n = 300;
	asm volatile("cli; 1: dec %0; jnz 1b\n"
		     "mov $0x80, %%edx\n"
		     "sti\n"
		     "sti_io_shadow: outb %%al, %%dx\n" /* leaves the guest in the shadow */
		     "nop" : "+r"(n) : : "rdx", "memory");
	n = 300;
	asm volatile("cli; 1: dec %1; jnz 1b\n"
		     "sti\n"
		     "sti_tsc_shadow: rdtsc\n"
		     "shl $32, %%rdx; or %%rdx, %%rax"
		     : "=&a"(tsc), "+r"(n) : : "rdx", "memory");
	fold(tsc);
	asm volatile("mov %%ss, %%eax\n"
		     "mov %%eax, %%ss\n"
		     "mov_ss_shadow: nop\n"
		     "nop" : : : "rax", "memory");
	/* From memory; POP SS does not exist in 64-bit mode. */
	asm volatile("push %%rax; mov %%ss, (%%rsp); mov (%%rsp), %%ss\n"
		     "mov_ss_memory_shadow: pop %%rax\n" : : : "memory");
	work++;
}

void guest_main(void)
{
	tick_hook = check_shadow;
	timer_periodic(PERIOD_FAST, TICKS);
	while (timer_is_on())
		one_round();
	cli();
	fold(work);
}
