// SPDX-License-Identifier: GPL-2.0
/*
 * tight-loop - interrupts in loops whose iterations look alike: same address, same registers, only
 * memory or the number of branches tells them apart. Provokes landing on the wrong iteration.
 */
#include "guest.h"

#define TICKS 60

GUEST("tight-loop");

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
		counting_register, counting_memory, loop_instruction, calls,
	};
	size_t i;

	for (i = 0; i < sizeof(loops) / sizeof(loops[0]); i++) {
		timer_periodic(PERIOD_FAST, TICKS);
		sti();
		loops[i]();
		cli();
		fold(counter);
	}
}
