// SPDX-License-Identifier: GPL-2.0
/*
 * no-branches - interrupts in loops without conditional branches, which the branch counter does not
 * see: indirect jumps whose target CMOV chose, and an instruction that jumps to itself. Provokes
 * landing that counts branches only, and waiting for a branch that never comes.
 */
#include "guest.h"

#define TICKS 40

GUEST("no-branches");

extern const char spin_forever[], spin_done[];

static volatile uint64_t counter;

/* No conditional branch: CMOV chooses between two targets. */
static void indirect_jumps(void)
{
	while (timer_is_on()) {
		uint64_t n = 0, target;

		asm volatile("lea 1f(%%rip), %%r8\n"
			     "lea 2f(%%rip), %%r9\n"
			     "1: inc %0\n"
			     "mov %%r8, %1\n"
			     "cmp $200, %0\n"
			     "cmove %%r9, %1\n"
			     "jmp *%1\n"
			     "2:"
			     : "+r"(n), "=&r"(target) : : "r8", "r9");
		counter += n;
	}
}

static void leave_spin(struct frame *f)
{
	if (f->rip == (uintptr_t)spin_forever && !timer_is_on())
		f->rip = (uintptr_t)spin_done;
}

/* One instruction that jumps to itself; only the interrupt handler gets out of it. */
static void __attribute__((noinline)) jump_to_itself(void)
{
	tick_hook = leave_spin;
	asm volatile("sti\n"
		     ".globl spin_forever, spin_done\n"
		     "spin_forever: jmp spin_forever\n"
		     "spin_done: cli" : : : "memory");
	tick_hook = NULL;
}

void guest_main(void)
{
	timer_periodic(PERIOD_FAST, TICKS);
	sti();
	indirect_jumps();
	cli();
	fold(counter);
	timer_periodic(PERIOD_FAST, TICKS);
	jump_to_itself();
}
