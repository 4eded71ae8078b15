// SPDX-License-Identifier: GPL-2.0
/*
 * clock.c - the virtual TSC.
 *
 * What the guest reads is a function of its position alone (see struct ttvm_clock for the formula), so RDTSC needs no
 * event in the log. Branches between two reads and the ticks added for each read make it strictly increasing as long as
 * userspace never moves base backwards. The arithmetic is modulo 2^64, in userspace as here.
 */
#include "session.h"

bool tt_clock_enabled(const struct tt_session *s)
{
	return READ_ONCE(s->page->clock.flags) & TTVM_CLOCK_ENABLED;
}

/* The value of an RDTSC at this position. The branch counter is up to date. Each call is one more read by the guest. */
u64 tt_clock_rdtsc(struct tt_session *s)
{
	struct ttvm_clock *clock = &s->page->clock;
	u64 branches = s->counter[TTVM_COUNTER_BRANCHES].value - clock->base_branches;

	clock->extra += clock->rdtsc_ticks;
	return clock->base + (branches * clock->rate >> TTVM_CLOCK_SHIFT) + clock->extra;
}
