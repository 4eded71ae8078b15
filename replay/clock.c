// SPDX-License-Identifier: GPL-2.0
/*
 * clock.c - the virtual TSC, the same function of the position in a recording and in its replays.
 *
 * The module answers RDTSC from the shared page (struct ttvm_clock); this file sets its parameters and computes the same
 * value for devices. Prices follow what a rebase teaches: the term that was most of the virtual time since the last
 * rebase is moved towards a target a quarter below the price that would have given the real time. Below, because time that
 * runs ahead can only be slowed down, never set back. A rebase by 0 says that it did run ahead.
 */
#include "internal.h"

#define MIN_RATE 16u				/* 1/64 tick per branch */
#define MAX_RATE (256u << TTVM_CLOCK_SHIFT)	/* 256 ticks per branch: an emulated CPU */
#define MIN_EVENT_TICKS 16u
#define MAX_EVENT_TICKS 1000000u

void tt_clock_start(struct tt_clock *clock, struct ttvm_page *page, uint64_t tsc_hz)
{
	clock->page = page;
	clock->offset = 0;
	clock->exits = 0;
	clock->base_rdtsc = page->rdtsc;
	clock->exit_ticks = tsc_hz / 1000000; /* 1 us */
	page->clock.base = 0;
	page->clock.base_branches = page->branches;
	page->clock.rate = 1u << TTVM_CLOCK_SHIFT;
	page->clock.extra = 0;
	page->clock.rdtsc_ticks = tsc_hz / 4000000; /* 250 ns */
	if (page->clock.rdtsc_ticks < MIN_EVENT_TICKS)
		page->clock.rdtsc_ticks = MIN_EVENT_TICKS;
	page->clock.flags = TTVM_CLOCK_ENABLED;
}

uint64_t tt_clock_guest_tsc(const struct tt_clock *clock)
{
	const struct ttvm_clock *c = &clock->page->clock;

	return c->base + (((clock->page->branches - c->base_branches) * c->rate) >> TTVM_CLOCK_SHIFT) +
	       c->extra;
}

uint64_t tt_clock_now(const struct tt_clock *clock)
{
	return tt_clock_guest_tsc(clock) - clock->offset;
}

void tt_clock_set_guest_tsc(struct tt_clock *clock, uint64_t value)
{
	uint64_t delta = value - tt_clock_guest_tsc(clock);

	clock->page->clock.base += delta;
	clock->offset += delta;
}

uint64_t tt_clock_since_rebase(const struct tt_clock *clock)
{
	return tt_clock_guest_tsc(clock) - clock->page->clock.base;
}

void tt_clock_count_exit(struct tt_clock *clock)
{
	clock->exits++;
	clock->page->clock.extra += clock->exit_ticks;
}

/*
 * A new price for something of which `count` cost most of `virtual` ticks, when the real time was `real`: half of the way to
 * the price that would have been right, and by no more than a factor in one go, because a host that was busy elsewhere
 * for a moment says nothing about prices.
 */
static uint64_t reprice(uint64_t price, uint64_t scale, uint64_t count, uint64_t virtual, uint64_t real,
			uint64_t min, uint64_t max)
{
	uint64_t target = real / 4 * 3, aim, error;

	if (target > virtual) {
		error = (unsigned __int128)(target - virtual) * scale / count;
		aim = error > price ? 2 * price : price + error;
	} else {
		error = (unsigned __int128)(virtual - target) * scale / count;
		aim = error > price / 2 ? price / 2 : price - error;
	}
	price = (price + aim + 1) / 2;
	return price < min ? min : price > max ? max : price;
}

static void adapt(struct tt_clock *clock, uint64_t ticks)
{
	struct ttvm_clock *c = &clock->page->clock;
	uint64_t branches = clock->page->branches - c->base_branches;
	uint64_t rdtsc = clock->page->rdtsc - clock->base_rdtsc;
	uint64_t branch_part = (branches * c->rate) >> TTVM_CLOCK_SHIFT;
	uint64_t rdtsc_part = rdtsc * c->rdtsc_ticks;
	uint64_t exit_part = clock->exits * clock->exit_ticks;
	uint64_t virtual = branch_part + rdtsc_part + exit_part;
	uint64_t real = ticks ? virtual + ticks : virtual / 2;

	if (branches > 1000 && branch_part >= rdtsc_part && branch_part >= exit_part)
		c->rate = reprice(c->rate, 1u << TTVM_CLOCK_SHIFT, branches, virtual, real, MIN_RATE,
				  MAX_RATE);
	else if (rdtsc > 16 && rdtsc_part >= exit_part)
		c->rdtsc_ticks = reprice(c->rdtsc_ticks, 1, rdtsc, virtual, real, MIN_EVENT_TICKS,
					 MAX_EVENT_TICKS);
	else if (clock->exits > 4)
		clock->exit_ticks = reprice(clock->exit_ticks, 1, clock->exits, virtual, real,
					    MIN_EVENT_TICKS, MAX_EVENT_TICKS);
}

void tt_clock_rebase(struct tt_clock *clock, uint64_t ticks, bool idle)
{
	struct ttvm_clock *c = &clock->page->clock;
	uint64_t value = tt_clock_guest_tsc(clock) + ticks;

	if (!idle)
		adapt(clock, ticks);
	c->base = value;
	c->base_branches = clock->page->branches;
	c->extra = 0;
	clock->base_rdtsc = clock->page->rdtsc;
	clock->exits = 0;
}
