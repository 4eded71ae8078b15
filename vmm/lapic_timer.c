// SPDX-License-Identifier: GPL-2.0
/*
 * lapic_timer.c - the timer of a local APIC: one-shot, periodic, TSC deadline.
 *
 * Its input clock is the virtual TSC: one bus tick is one TSC tick, so nothing is ever rounded.
 * (CPUID leaf 0x15 with a 1:1 ratio says the same.) The counter does not run; its value follows
 * from the virtual time at which it was loaded.
 */
#include "lapic.h"

enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };

static unsigned int timer_mode(const struct lapic_state *s)
{
	return s->lvt[LVT_TIMER] >> 17 & 3;
}

/* TSC ticks per count of the timer. */
static unsigned int timer_divisor(const struct lapic_state *s)
{
	unsigned int code = (s->timer_divide & 3) | (s->timer_divide >> 1 & 4);

	return 1u << ((code + 1) & 7);
}

static uint64_t timer_period(const struct lapic_state *s)
{
	return (uint64_t)s->timer_initial * timer_divisor(s);
}

void tt_lapic_timer_stop(struct tt_lapic *lapic)
{
	struct lapic_state *s = &lapic->state;

	s->timer = (struct tt_periodic){ .deadline = TT_TIME_NEVER };
	s->tsc_deadline = 0;
}

/* Count from initial down, as if loaded at `start`. */
static void timer_start(struct tt_lapic *lapic, uint64_t start)
{
	struct lapic_state *s = &lapic->state;

	if (!s->timer_initial) {
		tt_lapic_timer_stop(lapic);
	} else if (timer_mode(s) == TIMER_PERIODIC) {
		tt_periodic_start(lapic->vcpu->machine, &s->timer, start, timer_period(s), 1);
	} else {
		s->timer.start = start;
		s->timer.ticks = 0;
		s->timer.deadline = tt_time_add(start, timer_period(s));
	}
}

uint32_t tt_lapic_timer_current(struct tt_lapic *lapic)
{
	struct lapic_state *s = &lapic->state;
	uint64_t elapsed, period = timer_period(s);

	if (s->timer.deadline == TT_TIME_NEVER || timer_mode(s) >= TIMER_TSC_DEADLINE)
		return 0;
	elapsed = tt_machine_now(lapic->vcpu->machine) - s->timer.start;
	if (timer_mode(s) == TIMER_PERIODIC)
		elapsed %= period;
	else if (elapsed >= period)
		return 0;
	return s->timer_initial - elapsed / timer_divisor(s);
}

void tt_lapic_timer_fire(void *ctx, uint64_t now)
{
	struct tt_lapic *lapic = ctx;
	struct lapic_state *s = &lapic->state;
	uint8_t vector = s->lvt[LVT_TIMER] & 0xff;
	bool masked = s->lvt[LVT_TIMER] & LVT_MASKED;

	if (timer_mode(s) == TIMER_PERIODIC) {
		if (!masked && tt_lapic_requested(lapic, vector)) {
			tt_periodic_postpone(lapic->vcpu->machine, &s->timer, timer_period(s), 1,
					     now);
			return;
		}
		tt_periodic_advance(lapic->vcpu->machine, &s->timer, timer_period(s), 1, now);
	} else {
		s->timer.deadline = TT_TIME_NEVER;
		s->tsc_deadline = 0;
	}
	if (!masked)
		tt_lapic_accept(lapic, TT_DELIVERY_FIXED, vector, false);
}

void tt_lapic_timer_write_lvt(struct tt_lapic *lapic, uint32_t value)
{
	struct lapic_state *s = &lapic->state;
	unsigned int before = timer_mode(s), after;
	uint64_t now, period = timer_period(s);
	bool running = s->timer.deadline != TT_TIME_NEVER;

	s->lvt[LVT_TIMER] = value;
	after = timer_mode(s);
	if (before == after || !running)
		return;
	if (before > TIMER_PERIODIC || after > TIMER_PERIODIC) {
		tt_lapic_timer_stop(lapic);
		return;
	}
	/* One-shot to periodic or back: the counter runs on. */
	now = tt_machine_now(lapic->vcpu->machine);
	timer_start(lapic, before == TIMER_PERIODIC ? now - (now - s->timer.start) % period
						    : s->timer.start);
}

void tt_lapic_timer_write_divide(struct tt_lapic *lapic, uint32_t value)
{
	struct lapic_state *s = &lapic->state;
	bool running = s->timer.deadline != TT_TIME_NEVER && timer_mode(s) <= TIMER_PERIODIC;
	uint32_t done = running ? s->timer_initial - tt_lapic_timer_current(lapic) : 0;

	s->timer_divide = value & 0xb;
	if (running) {
		uint64_t now = tt_machine_now(lapic->vcpu->machine);
		uint64_t back = (uint64_t)done * timer_divisor(s);

		/*
		 * The count stays, its speed changes; a start before time 0 is the start of time.
		 */
		timer_start(lapic, now > back ? now - back : 0);
	}
}

void tt_lapic_timer_write_initial(struct tt_lapic *lapic, uint32_t value)
{
	if (timer_mode(&lapic->state) > TIMER_PERIODIC)
		return;
	lapic->state.timer_initial = value;
	timer_start(lapic, tt_machine_now(lapic->vcpu->machine));
}

/* The deadline in device time, from the guest's TSC. */
static void timer_arm_tsc_deadline(struct tt_lapic *lapic)
{
	struct lapic_state *s = &lapic->state;
	struct tt_machine *m = lapic->vcpu->machine;
	uint64_t now = tt_machine_now(m), tsc = m->seam->ops->guest_tsc(m->seam, lapic->vcpu);

	if (s->tsc_deadline)
		s->timer.deadline =
			s->tsc_deadline > tsc ? tt_time_add(now, s->tsc_deadline - tsc) : now;
	else
		s->timer.deadline = TT_TIME_NEVER;
}

uint64_t tt_lapic_timer_read_deadline(const struct tt_lapic *lapic)
{
	return timer_mode(&lapic->state) == TIMER_TSC_DEADLINE ? lapic->state.tsc_deadline : 0;
}

void tt_lapic_timer_write_deadline(struct tt_lapic *lapic, uint64_t value)
{
	if (timer_mode(&lapic->state) != TIMER_TSC_DEADLINE || !tt_lapic_enabled(lapic))
		return;
	lapic->state.tsc_deadline = value;
	timer_arm_tsc_deadline(lapic);
}

void tt_lapic_tsc_moved(struct tt_vcpu *vcpu)
{
	struct tt_lapic *lapic = vcpu->lapic;

	if (timer_mode(&lapic->state) == TIMER_TSC_DEADLINE)
		timer_arm_tsc_deadline(lapic);
}
