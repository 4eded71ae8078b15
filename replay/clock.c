// SPDX-License-Identifier: GPL-2.0
/*
 * clock.c - the virtual TSC, the same function of the position in a recording and in its replays.
 *
 * The module answers RDTSC from the shared page (struct ttvm_clock); this file sets its parameters and computes the same
 * value for devices. The prices of RDTSC and of exits follow what a rebase teaches: after a stretch that was little else, the
 * price is moved towards a target a quarter below the price that would have given the real time. Below, because time that
 * runs ahead can only be slowed down, never set back. A rebase by 0 says that it did run ahead.
 */
#include "internal.h"

/* Ticks per branch: a quarter, below what any CPU needs for one, in units of 2^-TTVM_CLOCK_SHIFT. */
#define RATE (1u << (TTVM_CLOCK_SHIFT - 2))
/* Ticks per RDTSC or exit. */
#define MIN_PRICE 16u
#define MAX_PRICE 1000000u
#define MIN_SAMPLE 16
#define MAX_BRANCHES_PER_EXIT 64

void tt_clock_start(struct tt_clock *clock, struct ttvm_page *page, uint64_t tsc_hz)
{
	clock->page = page;
	clock->offset = 0;
	clock->exits = 0;
	clock->base_rdtsc = page->rdtsc;
	clock->exit_ticks = tsc_hz / 1000000; /* 1 us */
	page->clock.base = 0;
	page->clock.base_branches = page->branches;
	page->clock.rate = RATE;
	page->clock.extra = 0;
	page->clock.rdtsc_ticks = tsc_hz / 4000000; /* 250 ns */
	if (page->clock.rdtsc_ticks < MIN_PRICE)
		page->clock.rdtsc_ticks = MIN_PRICE;
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
static uint64_t reprice(uint64_t price, uint64_t count, uint64_t virtual, uint64_t real)
{
	uint64_t target = real / 4 * 3, aim, error;

	if (target > virtual) {
		error = (target - virtual) / count;
		aim = error > price ? 2 * price : price + error;
	} else {
		error = (virtual - target) / count;
		aim = error > price / 2 ? price / 2 : price - error;
	}
	price = (price + aim + 1) / 2;
	return price < MIN_PRICE ? MIN_PRICE : price > MAX_PRICE ? MAX_PRICE : price;
}

/*
 * Only a stretch that was little else than exits tells what they cost. The price of a branch is fixed: between the slowest
 * and the fastest code lies a factor of a hundred.
 */
static void adapt(struct tt_clock *clock, uint64_t ticks)
{
	struct ttvm_clock *c = &clock->page->clock;
	uint64_t branches = clock->page->branches - c->base_branches;
	uint64_t rdtsc = clock->page->rdtsc - clock->base_rdtsc;
	uint64_t rdtsc_part = rdtsc * c->rdtsc_ticks;
	uint64_t exit_part = clock->exits * clock->exit_ticks;
	uint64_t virtual = tt_clock_since_rebase(clock);
	uint64_t real = ticks ? virtual + ticks : virtual / 2;

	if (rdtsc + clock->exits < MIN_SAMPLE ||
	    branches > (rdtsc + clock->exits) * MAX_BRANCHES_PER_EXIT)
		return;
	if (rdtsc_part >= exit_part)
		c->rdtsc_ticks = reprice(c->rdtsc_ticks, rdtsc, virtual, real);
	else
		clock->exit_ticks = reprice(clock->exit_ticks, clock->exits, virtual, real);
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
