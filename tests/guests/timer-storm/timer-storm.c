// SPDX-License-Identifier: GPL-2.0
/*
 * timer-storm - interrupts at the highest rate that the machine can do: periodic, one-shot re-armed
 * in the handler, TSC deadline in the near future and in the past, with self-IPIs of lower and
 * higher priority that nest or wait, and TPR in between. Provokes several events at one position,
 * and wrong order of priority.
 */
#include "guest.h"

#define TICKS	500

GUEST("timer-storm");

static volatile uint64_t work, low, high, nested;
static volatile bool in_low;

static void self_low(struct frame *f)
{
	uint64_t before = high, patience = 1000000;

	low++;
	fold_irq(f->rip);
	in_low = true;
	sti();
	lapic_self_ipi(VECTOR_SELF_HIGH); /* of a higher class: nests */
	while (high == before && --patience)
		asm volatile("pause");
	cli();
	in_low = false;
	if (high == before)
		guest_fail("interrupt of higher priority did not nest", low);
	lapic_write(LAPIC_EOI, 0);
}

static void self_high(struct frame *f)
{
	high++;
	if (in_low)
		nested++;
	fold_irq(f->rip);
	lapic_write(LAPIC_EOI, 0);
}

static void rearm_one_shot(struct frame *f)
{
	if (ticks < 2 * TICKS)
		timer_one_shot(PERIOD_STORM / 4 + (f->rip & 0xff) * 64);
}

static void rearm_deadline(struct frame *f)
{
	if (ticks < 3 * TICKS)
		timer_deadline(rdtsc() + (ticks % 7 ? PERIOD_STORM / 8 + (f->rip & 0xff) * 64 : 0));
}

static void wait_until(uint64_t number)
{
	sti();
	while (ticks < number) {
		work++;
		if (work % 4096 == 0)
			lapic_self_ipi(VECTOR_SELF_LOW);
		if (work % 16384 == 0) {
			lapic_write(LAPIC_TPR, VECTOR_TIMER & 0xf0); /* holds the timer back */
			fold(lapic_read(LAPIC_TIMER_CURRENT));
			lapic_write(LAPIC_TPR, 0);
		}
	}
	cli();
	fold(work);
}

void guest_main(void)
{
	set_handler(VECTOR_SELF_LOW, self_low);
	set_handler(VECTOR_SELF_HIGH, self_high);

	timer_periodic(PERIOD_STORM, TICKS);
	wait_until(TICKS);

	tick_hook = rearm_one_shot;
	timer_one_shot(PERIOD_STORM);
	wait_until(2 * TICKS);

	if (timer_has_deadline()) {
		tick_hook = rearm_deadline;
		timer_deadline(rdtsc() + PERIOD_STORM);
		wait_until(3 * TICKS);
	}
	timer_stop();
	lapic_self_ipi(VECTOR_SELF_LOW);
	sti();
	while (!low)
		asm volatile("pause");
	cli();
	fold(low);
	fold(high);
	fold(nested);
}
