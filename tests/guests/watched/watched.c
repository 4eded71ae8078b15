// SPDX-License-Identifier: GPL-2.0
/*
 * watched - two pages that are used in all the ways in which a CPU uses memory: by operands of every kind, repeated
 * string instructions across pages, bit instructions that reach beyond their operand, a stack with interrupts' and
 * exceptions' frames on it, devices' data that the hypervisor brings. Results are checked. For tests that watch the
 * pages (tests/lab/watch.c).
 */
#include "guest.h"

#define SIZE	8192
#define ROUNDS	40
#define TICKS	30

#define PORT_SERIAL_LSR	0x3fd
#define PORT_POST	0x80
#define LAPIC_ID	0xfee00020ull

GUEST("watched");

uint8_t watched_area[SIZE] __attribute__((aligned(4096)));
static uint8_t elsewhere[SIZE] __attribute__((aligned(4096)));
static volatile uint64_t breakpoints;

static void count_breakpoint(struct frame *f)
{
	(void)f;
	breakpoints++;
}

/* INT3, and time for the timer, with the stack in the area. */
static void use_as_stack(uint8_t *top)
{
	uint64_t old, n = 40;

	asm volatile("mov %%rsp, %0\n\t"
		     "mov %2, %%rsp\n\t"
		     "int3\n\t"
		     "push %0\n\t"
		     "pushq (%%rsp)\n\t"
		     "popq 8(%%rsp)\n\t"
		     "pushfq\n\t"
		     "popfq\n\t"
		     "call 2f\n"
		     "2:\tadd $8, %%rsp\n\t"
		     "enter $16, $0\n\t"
		     "leave\n\t"
		     "sti\n"
		     "1:\tdec %1\n\t"
		     "jnz 1b\n\t"
		     "cli\n\t"
		     "mov %0, %%rsp"
		     : "=&r"(old), "+r"(n)
		     : "r"(top)
		     : "memory", "cc");
}

static void use_strings(uint64_t seed)
{
	uint64_t count, from, to;

	count = 300;
	to = (uintptr_t)watched_area + seed % 7000;
	asm volatile("rep stosb" : "+c"(count), "+D"(to) : "a"((uint8_t)seed) : "memory");
	count = 64;
	from = (uintptr_t)elsewhere;
	to = (uintptr_t)watched_area + 4096 - 128;
	asm volatile("rep movsq" : "+c"(count), "+S"(from), "+D"(to) : : "memory");
	count = 30;
	from = (uintptr_t)watched_area + 4100;
	to = (uintptr_t)elsewhere + 4100;
	asm volatile("std; rep movsl; cld" : "+c"(count), "+S"(from), "+D"(to) : : "memory", "cc");
	count = 500;
	to = (uintptr_t)watched_area + 3900;
	asm volatile("repne scasb" : "+c"(count), "+D"(to) : "a"((uint8_t)(seed >> 8)) : "memory", "cc");
	fold(to);
	count = 4;
	to = (uintptr_t)watched_area + 2040;
	asm volatile("rep insb" : "+c"(count), "+D"(to) : "d"((uint16_t)PORT_SERIAL_LSR) : "memory");
	asm volatile("insb" : "+D"(to) : "d"((uint16_t)PORT_SERIAL_LSR) : "memory");
	count = 3;
	from = (uintptr_t)watched_area + 2046;
	asm volatile("rep outsb" : "+c"(count), "+S"(from) : "d"((uint16_t)PORT_POST) : "memory");
	from = LAPIC_ID;
	to = (uintptr_t)watched_area + 2056;
	asm volatile("movsl" : "+S"(from), "+D"(to) : : "memory");
}

static void use_operands(uint64_t seed)
{
	uint64_t *word = (uint64_t *)(watched_area + seed % 1000 * 8), *other = (uint64_t *)(watched_area + 2048), a = 5, b;
	static uint8_t state[512] __attribute__((aligned(16)));

	*(volatile uint64_t *)word += seed;
	b = *(volatile uint64_t *)word;
	*(volatile uint64_t *)word = b; /* a write that changes nothing */
	asm volatile("lock cmpxchg %2, %0" : "+m"(*other), "+a"(a) : "r"(seed) : "cc", "memory");
	asm volatile("xadd %1, %0" : "+m"(*other), "+r"(b) : : "cc", "memory");
	asm volatile("xchg %1, %0" : "+m"(other[1]), "+r"(b) : : "memory");
	asm volatile("bts %1, %0" : : "m"(watched_area[4096]), "r"((int64_t)(seed % 16000) - 8000) : "cc", "memory");
	asm volatile("lock btr %1, %0" : : "m"(watched_area[4096]), "r"((int32_t)(seed % 16000) - 8000) : "cc", "memory");
	asm volatile("btl $7, %0" : : "m"(*other) : "cc");
	asm volatile("movups %0, %%xmm0; movups %%xmm0, %1" : : "m"(watched_area[2100]), "m"(watched_area[4090]) : "memory");
	asm volatile("fxsave %0" : : "m"(state) : "memory");
	asm volatile("fxsave %0" : : "m"(watched_area[4096 - 256]) : "memory");
	asm volatile("fxrstor %0" : : "m"(state) : "memory");
	asm volatile("sgdt %0" : : "m"(watched_area[2042]) : "memory");
	asm volatile("lea %1, %0; prefetcht0 %1; nopw %1" : "=r"(b) : "m"(watched_area[2048]));
	/* Addresses that wrap, and a segment. */
	asm volatile("movq %0, -8(%1,%2,8)" : : "r"(seed), "r"(watched_area), "r"(seed % 512 + 1) : "memory");
}

void guest_main(void)
{
	uint64_t seed = 0x2545f4914f6cdd1dull, i;

	for (i = 0; i < SIZE; i++)
		elsewhere[i] = next_random(&seed);
	set_handler(VECTOR_BP, count_breakpoint);
	timer_periodic(PERIOD_STORM, TICKS);
	for (i = 0; i < ROUNDS || timer_is_on(); i++) {
		next_random(&seed);
		use_operands(seed >> 3);
		use_strings(seed >> 5);
		use_as_stack(watched_area + 3072);
		use_as_stack(watched_area + 4096 + 1000); /* its frames begin with what is left below an alignment */
		sti();
		fold(i);
		cli();
	}
	if (breakpoints != 2 * i)
		guest_fail("breakpoints got lost", breakpoints);
	fold(breakpoints);
	fold_bytes(watched_area, SIZE);
}
