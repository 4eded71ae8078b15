// SPDX-License-Identifier: GPL-2.0
/*
 * page-fault - a window of pages that come, go and change their rights while the timer interrupts:
 * faults for missing pages and for writing, REP instructions that fault in the middle, accessed and
 * dirty bits read back. Provokes positions right after a fault's IRET (RF set) and inside a REP
 * that has just faulted.
 */
#include "guest.h"

#define PAGES	64
#define TICKS	150

GUEST("page-fault");

static uint8_t frames[PAGES][4096] __attribute__((aligned(4096)));
static volatile uint64_t faults, write_faults;

static void page_fault(struct frame *f)
{
	uint64_t address = read_cr2(), page = (address - WINDOW) / 4096;

	if (address < WINDOW || page >= PAGES)
		guest_fail("fault outside of the window", address);
	fold_irq(f->rip);
	fold_irq(f->rcx);
	fold_irq(address);
	fold_irq(f->error);
	faults++;
	if (f->error & 1) {
		write_faults++;
		window_table[page] |= PTE_WRITE;
	} else {
		window_table[page] = (uintptr_t)frames[page] | PTE_PRESENT |
				     (page & 1 ? PTE_WRITE : 0);
	}
	invlpg(address);
}

static void take_pages_away(uint64_t *seed)
{
	unsigned int i;

	for (i = 0; i < PAGES; i++) {
		uint64_t choice = next_random(seed) % 4;

		fold(window_table[i] & (PTE_ACCESSED | PTE_DIRTY));
		if (choice == 0)
			window_table[i] = 0;
		else if (choice == 1)
			window_table[i] &= ~PTE_WRITE;
		else if (choice == 2)
			window_table[i] &= ~(PTE_ACCESSED | PTE_DIRTY);
		invlpg(WINDOW + i * 4096);
	}
}

void guest_main(void)
{
	uint64_t seed = 0x9e3779b97f4a7c15ull, count, to, i;

	window_create();
	set_handler(VECTOR_PF, page_fault);
	timer_periodic(PERIOD_FAST, TICKS);
	sti();
	while (timer_is_on()) {
		for (i = 0; i < 16; i++) {
			uint64_t at = WINDOW + next_random(&seed) % (PAGES * 4096 - 8);
			volatile uint64_t *word = (volatile uint64_t *)at;

			if (i & 1)
				*word += i;
			else
				fold(*word);
		}
		count = PAGES * 4096 / 2;
		to = WINDOW + 4096;
		asm volatile("rep stosb" : "+c"(count), "+D"(to) : "a"((uint8_t)seed) : "memory");
		if (count || to != WINDOW + 4096 + PAGES * 4096 / 2)
			guest_fail("rep stosb through faults ended in the wrong place", to);
		for (i = 0; i < PAGES * 4096 / 2; i += 511)
			if (frames[1 + i / 4096][i % 4096] != (uint8_t)seed)
				guest_fail("rep stosb through faults left a hole", i);
		take_pages_away(&seed);
	}
	cli();
	if (!write_faults)
		guest_fail("no write fault in so many faults", faults);
	fold(faults);
	fold(write_faults);
}
