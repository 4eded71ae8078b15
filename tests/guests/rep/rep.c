// SPDX-License-Identifier: GPL-2.0
/*
 * rep - string instructions that the timer interrupts in the middle: many positions share one
 * address and one branch count, and only RCX, RSI and RDI tell how far an instruction has come.
 * Both directions, all operand sizes; results are checked.
 */
#include "guest.h"

#define SIZE	0x40000
#define TICKS	200

GUEST("rep");

static uint8_t source[SIZE + 8] __attribute__((aligned(4096)));
static uint8_t target[SIZE + 8] __attribute__((aligned(4096)));
static uint64_t in_the_middle;

static void look(struct frame *f)
{
	if (f->rcx && f->rcx < SIZE && f->rdi > (uintptr_t)target &&
	    f->rdi < (uintptr_t)target + SIZE)
		in_the_middle++;
}

#define REP(instruction, count, from, to)                                                       \
	do {                                                                                    \
		uint64_t c_ = (count), s_ = (uintptr_t)(from), d_ = (uintptr_t)(to);            \
		asm volatile(instruction : "+c"(c_), "+S"(s_), "+D"(d_) : "a"(fill)             \
			     : "memory", "cc");                                                 \
		left = c_;                                                                      \
	} while (0)

static void check(uint64_t sum_of_bytes, const uint8_t *data, const char *what)
{
	uint64_t sum = 0, i;

	for (i = 0; i < SIZE; i++)
		sum += data[i];
	if (sum != sum_of_bytes)
		guest_fail(what, sum);
}

void guest_main(void)
{
	uint64_t seed = 88172645463325252ull, sum = 0, fill = 0, left = 0, rounds = 0, i;

	for (i = 0; i < SIZE; i++)
		sum += source[i] = next_random(&seed) | 1; /* never 0 */
	tick_hook = look;
	timer_periodic(PERIOD_FAST, TICKS);
	sti();
	while (timer_is_on()) {
		REP("rep movsb", SIZE, source, target);
		check(sum, target, "rep movsb copied wrong");
		fill = 0x4242424242424242ull;
		REP("rep stosq", SIZE / 8, source, target);
		check(SIZE * 0x42ull, target, "rep stosq filled wrong");
		REP("std; rep movsq; cld", SIZE / 8, source + SIZE - 8, target + SIZE - 8);
		check(sum, target, "backward rep movsq copied wrong");
		REP("repe cmpsb", SIZE, source, target);
		if (left)
			guest_fail("repe cmpsb found a difference", left);
		target[SIZE - 100] ^= 0xff;
		REP("repe cmpsb", SIZE, source, target);
		if (left != 99)
			guest_fail("repe cmpsb stopped in the wrong place", left);
		fill = 0;
		source[SIZE - 10] = 0;
		REP("repne scasb", SIZE, source, source);
		if (left != 9)
			guest_fail("repne scasb stopped in the wrong place", left);
		source[SIZE - 10] = 0x55;
		sum = 0;
		for (i = 0; i < SIZE; i++)
			sum += source[i];
		fill = 0x0101;
		REP("rep stosw", SIZE / 2, source, target + 1); /* unaligned, crosses pages */
		REP("rep movsl", SIZE / 4, source, target + 3);
		rounds++;
	}
	cli();
	fold(rounds);
	fold(in_the_middle);
	fold_bytes(target, 256);
}
