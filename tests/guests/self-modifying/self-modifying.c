// SPDX-License-Identifier: GPL-2.0
/*
 * self-modifying - code that patches code: an immediate in a function that is called next, a branch
 * turned around, a jump over the patched place on the same page, and a routine rebuilt in a buffer.
 * Provokes stale decoded code, in the CPU and in an emulator, and breakpoints that a recorder set
 * in memory.
 */
#include "guest.h"

#define TICKS	150

GUEST("self-modifying");

extern uint8_t patched_immediate[], patched_branch[];
uint64_t patched_add(uint64_t value);
uint64_t patched_choose(uint64_t value);

asm(".text\n"
    ".globl patched_add, patched_immediate, patched_choose, patched_branch\n"
    "patched_add:\n"
    "	mov %rdi, %rax\n"
    "	.byte 0x48, 0x05\n" /* add $imm32, %rax */
    "patched_immediate:\n"
    "	.long 0\n"
    "	ret\n"
    "patched_choose:\n"
    "	xor %eax, %eax\n"
    "	test $1, %dil\n"
    "patched_branch:\n"
    "	.byte 0x74, 0x05\n" /* jz, made jnz and back */
    "	mov $1, %eax\n"
    "	ret\n");

static uint8_t buffer[4096] __attribute__((aligned(4096)));

/* mov $value, %eax; N times inc %eax; ret */
static void build(uint32_t value, unsigned int increments)
{
	uint8_t *p = buffer;

	*p++ = 0xb8;
	__builtin_memcpy(p, &value, 4);
	p += 4;
	while (increments--) {
		*p++ = 0xff;
		*p++ = 0xc0;
	}
	*p = 0xc3;
}

void guest_main(void)
{
	uint64_t seed = 0x2545f4914f6cdd1dull, rounds = 0, got;

	timer_periodic(PERIOD_FAST, TICKS);
	sti();
	while (timer_is_on()) {
		uint32_t value = next_random(&seed) & 0x7fffffff;
		unsigned int increments = value % 64;
		bool turned = value & 64;

		*(volatile uint32_t *)patched_immediate = value;
		got = patched_add(5);
		if (got != 5ull + value)
			guest_fail("old immediate was executed", got);

		*(volatile uint8_t *)patched_branch = turned ? 0x75 : 0x74;
		got = patched_choose(1);
		if (got != !turned)
			guest_fail("old branch was executed", got);

		build(value, increments);
		got = ((uint32_t(*)(void))(uintptr_t)buffer)();
		if (got != value + increments)
			guest_fail("old code in the buffer was executed", got);
		rounds++;
	}
	cli();
	fold(rounds);
}
