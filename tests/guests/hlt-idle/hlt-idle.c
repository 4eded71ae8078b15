// SPDX-License-Identifier: GPL-2.0
/*
 * hlt-idle - sleeping: HLT until a timer rings, with naps from shorter than an exit to many
 * milliseconds, and naps that end before HLT is reached. Provokes wrong wake-up times, lost
 * wake-ups, and replays that really sleep.
 */
#include "guest.h"

#define NAPS	150

GUEST("hlt-idle");

static volatile uint64_t in_hlt;
extern const char after_hlt[];

static void look(struct frame *f)
{
	if (f->rip == (uintptr_t)after_hlt)
		in_hlt++;
}

void guest_main(void)
{
	uint64_t seed = 0x6a09e667f3bcc909ull, slept = 0, i;

	tick_hook = look;
	for (i = 0; i < NAPS; i++) {
		/* 100 counts to about 8 million, more short ones than long ones */
		uint64_t mask = (1ull << next_random(&seed) % 24) - 1;
		uint64_t count = 100 + (next_random(&seed) & mask);
		uint64_t before = ticks, start = rdtsc();

		if (i % 3 == 2 && timer_has_deadline())
			timer_deadline(start + count);
		else
			timer_one_shot(count);
		while (ticks == before) {
			asm volatile("sti; hlt\n"
				     ".globl after_hlt\n"
				     "after_hlt: cli" : : : "memory");
		}
		slept += rdtsc() - start;
		fold(slept);
	}
	/* A nap long enough that HLT is always reached. */
	timer_one_shot(20000000);
	sti_hlt();
	cli();
	fold(in_hlt);
}
