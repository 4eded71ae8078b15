// SPDX-License-Identifier: GPL-2.0
/*
 * clocks - every clock of the machine read in turn under interrupts: TSC, LAPIC timer, PIT, ACPI PM
 * timer, RTC. Provokes clocks that disagree with each other in replay, or run backwards.
 */
#include "guest.h"

#define TICKS		200
#define PIT_COUNTER0	0x40
#define PIT_CONTROL	0x43
#define CMOS_INDEX	0x70
#define CMOS_DATA	0x71
#define PM_TIMER	0x608

GUEST("clocks");

static uint16_t read_pit(void)
{
	uint8_t low;

	outb(PIT_CONTROL, 0); /* latch counter 0 */
	low = inb(PIT_COUNTER0);
	return low | inb(PIT_COUNTER0) << 8;
}

static uint8_t read_cmos(uint8_t reg)
{
	outb(CMOS_INDEX, reg);
	return inb(CMOS_DATA);
}

void guest_main(void)
{
	static const uint8_t rtc_registers[] = { 0x00, 0x02, 0x04, 0x0a, 0x0b };
	uint64_t rounds = 0, last = 0, now;

	outb(PIT_CONTROL, 0x34); /* counter 0, rate generator, full period */
	outb(PIT_COUNTER0, 0);
	outb(PIT_COUNTER0, 0);
	timer_periodic(PERIOD_SLOW, TICKS);
	sti();
	while (timer_is_on()) {
		now = rdtsc();
		if (now <= last)
			guest_fail("time did not advance since", last);
		last = now;
		fold(now);
		fold(lapic_read(LAPIC_TIMER_CURRENT));
		fold(read_pit());
		fold(inl(PM_TIMER));
		fold(read_cmos(rtc_registers[rounds++ % sizeof(rtc_registers)]));
	}
	cli();
	fold(rounds);
}
