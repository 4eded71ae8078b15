// SPDX-License-Identifier: GPL-2.0
/*
 * timer.c - virtual time for devices: the list of timers, scaling between clocks, and timers that
 * repeat.
 *
 * A machine has about half a dozen timers, so the list is an array that is scanned. Timers that are
 * due at the same time fire in the order of their registration: the same in every run.
 */
#include <stdlib.h>

#include "devices.h"
#include "internal.h"

struct timer {
	const uint64_t *deadline;
	void (*fire)(void *ctx, uint64_t now);
	void *ctx;
};

struct timers {
	size_t nr;
	struct timer timers[];
};

uint64_t tt_scale(uint64_t value, uint64_t mul, uint64_t div)
{
	unsigned __int128 result = (unsigned __int128)value * mul / div;

	return result < TT_TIME_NEVER ? (uint64_t)result : TT_TIME_NEVER - 1;
}

uint64_t tt_scale_up(uint64_t value, uint64_t mul, uint64_t div)
{
	unsigned __int128 result = ((unsigned __int128)value * mul + div - 1) / div;

	return result < TT_TIME_NEVER ? (uint64_t)result : TT_TIME_NEVER - 1;
}

uint64_t tt_time_add(uint64_t now, uint64_t delta)
{
	return delta < TT_TIME_NEVER - now ? now + delta : TT_TIME_NEVER - 1;
}

void tt_timer_add(struct tt_machine *m, uint64_t *deadline, void (*fire)(void *ctx, uint64_t now),
		  void *ctx)
{
	struct timers *timers = m->timers;
	size_t nr = timers ? timers->nr : 0;

	timers = realloc(timers, sizeof(*timers) + (nr + 1) * sizeof(timers->timers[0]));
	if (!timers)
		abort(); /* a few dozen bytes, at the start of the machine */
	timers->timers[nr] = (struct timer){ deadline, fire, ctx };
	timers->nr = nr + 1;
	m->timers = timers;
}

void tt_timers_destroy(struct tt_machine *m)
{
	free(m->timers);
	m->timers = NULL;
}

static const struct timer *earliest_timer(const struct tt_machine *m)
{
	const struct timers *timers = m->timers;
	const struct timer *earliest = NULL;
	uint64_t deadline = TT_TIME_NEVER;
	size_t i;

	for (i = 0; timers && i < timers->nr; i++) {
		if (*timers->timers[i].deadline < deadline) {
			earliest = &timers->timers[i];
			deadline = *earliest->deadline;
		}
	}
	return earliest;
}

uint64_t tt_timers_next(const struct tt_machine *m)
{
	const struct timer *timer = earliest_timer(m);

	return timer ? *timer->deadline : TT_TIME_NEVER;
}

void tt_timers_run(struct tt_machine *m, uint64_t now)
{
	const struct timer *timer;

	for (;;) {
		timer = earliest_timer(m);
		if (!timer || *timer->deadline > now)
			return;
		timer->fire(timer->ctx, now);
	}
}

/* When tick number n belongs. Sums wrap on purpose: start may lie before time 0. */
static uint64_t periodic_at(const struct tt_periodic *p, uint64_t n, uint64_t num, uint64_t den)
{
	return p->start + tt_scale_up(n, num, den);
}

void tt_periodic_start(const struct tt_machine *m, struct tt_periodic *p, uint64_t start,
		       uint64_t num, uint64_t den)
{
	uint64_t first = tt_scale_up(1, num, den);
	uint64_t min = tt_ticks_from_ns(m, TT_PERIODIC_MIN_NS);

	p->start = start;
	p->ticks = 0;
	p->deadline = tt_time_add(start, first > min ? first : min);
}

/* The least distance between a late tick and the next one. */
static uint64_t periodic_gap(const struct tt_machine *m, uint64_t num, uint64_t den)
{
	uint64_t min = tt_ticks_from_ns(m, TT_PERIODIC_MIN_NS);
	uint64_t half = tt_scale(1, num, den) / 2;

	return half > min ? half : min;
}

void tt_periodic_advance(const struct tt_machine *m, struct tt_periodic *p, uint64_t num,
			 uint64_t den, uint64_t now)
{
	uint64_t gap = periodic_gap(m, num, den);
	uint64_t due = tt_scale(now - p->start, den, num); /* ticks that belong before now */

	p->ticks++;
	if (due > p->ticks && due - p->ticks > TT_PERIODIC_BACKLOG)
		p->ticks = due - TT_PERIODIC_BACKLOG;
	p->deadline = periodic_at(p, p->ticks + 1, num, den);
	if (p->deadline < now || p->deadline - now < gap)
		p->deadline = tt_time_add(now, gap);
}

void tt_periodic_postpone(const struct tt_machine *m, struct tt_periodic *p, uint64_t num,
			  uint64_t den, uint64_t now)
{
	p->deadline = tt_time_add(now, periodic_gap(m, num, den));
}
