// SPDX-License-Identifier: GPL-2.0
/*
 * tight-loop - interrupts in loops whose iterations look alike: same address, same registers, only
 * memory or the number of branches tells them apart, or nothing at all. Provokes landing on the
 * wrong iteration, and waiting for a branch that never comes (loops without conditional branches).
 */
#include "guest.h"

#define TICKS 60

GUEST("tight-loop");

extern const char spin_forever[], spin_done[];

static volatile uint64_t counter;

static void counting_register(void)
{
	while (timer_is_on()) {
		uint64_t n = 1000;

		asm volatile("1: dec %0; jnz 1b" : "+r"(n));
		counter++;
	}
}

/* Registers do not change from one iteration to the next. */
static void counting_memory(void)
{
	while (timer_is_on()) {
		counter += 1000;
		asm volatile("1: subq $1, %0; jnz 1b" : "+m"(counter));
	}
}

static void loop_instruction(void)
{
	while (timer_is_on()) {
		uint64_t n = 500;

		asm volatile("1: loop 1b" : "+c"(n));
		asm volatile("2: jrcxz 3f; dec %%rcx; jmp 2b; 3:" : "+c"(n));
		counter++;
	}
}

/* No conditional branch: CMOV chooses between two targets. */
static void indirect_jumps(void)
{
	while (timer_is_on()) {
		uint64_t n = 0, target;

		asm volatile("lea 1f(%%rip), %%r8\n"
			     "lea 2f(%%rip), %%r9\n"
			     "1: inc %0\n"
			     "mov %%r8, %1\n"
			     "cmp $1000, %0\n"
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

static uint64_t __attribute__((noinline)) recursion(uint64_t n)
{
	uint64_t below = n < 2 ? n : recursion(n - 1) + recursion(n - 2);

	asm volatile("" : "+r"(below));
	return below;
}

static void calls(void)
{
	while (timer_is_on())
		counter += recursion(12);
}

void guest_main(void)
{
	static void (*const loops[])(void) = {
		counting_register, counting_memory, loop_instruction, indirect_jumps, calls,
	};
	size_t i;

	for (i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
		timer_periodic(PERIOD_FAST, TICKS);
		sti();
		loops[i]();
		cli();
		fold(counter);
	}
	timer_periodic(PERIOD_FAST, TICKS);
	jump_to_itself();
}
