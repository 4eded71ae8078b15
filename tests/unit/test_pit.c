// SPDX-License-Identifier: GPL-2.0
/*
 * test_pit.c - the 8254: counting, latching, output of channel 2, interrupts of channel 0.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "fake-machine.h"

#define PIT_HZ 1193182

/* The first tick at which n input clocks have passed. */
static uint64_t clocks(uint64_t n)
{
	return (n * FAKE_TSC_HZ + PIT_HZ - 1) / PIT_HZ;
}

static void create(struct fake_machine *f)
{
	fake_machine_create(f, 1, 0);
	fake_pic_init(f, 0x30);
}

static void program(struct fake_machine *f, unsigned int channel, uint8_t mode, uint16_t count)
{
	fake_outb(f, 0x43, channel << 6 | 0x30 | mode << 1);
	fake_outb(f, 0x40 + channel, count & 0xff);
	fake_outb(f, 0x40 + channel, count >> 8);
}

static uint16_t latched_count(struct fake_machine *f, unsigned int channel)
{
	uint8_t low;

	fake_outb(f, 0x43, channel << 6);
	low = fake_inb(f, 0x40 + channel);
	return low | fake_inb(f, 0x40 + channel) << 8;
}

static void test_silent_after_reset(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	assert_int_equal(latched_count(&f, 0), 0);
	fake_machine_destroy(&f);
}

static void test_rate_generator_interrupts(void **state)
{
	struct fake_machine f;
	unsigned int i;

	(void)state;
	create(&f);
	f.now = 1000;
	program(&f, 0, 2, 4773); /* Linux at 250 Hz */
	for (i = 1; i <= 100000; i++) {
		assert_int_equal(tt_timers_next(&f.m), 1000 + clocks(4773ull * i));
		fake_machine_run_to(&f, tt_timers_next(&f.m));
		assert_int_equal(fake_take_interrupt(&f), 0x30);
		fake_outb(&f, 0x20, 0x20);
	}
	fake_machine_destroy(&f);
}

/* Take every interrupt as soon as it comes, for `periods` periods; their number. */
static unsigned int count_ticks(struct fake_machine *f, unsigned int periods, bool ioapic)
{
	unsigned int ticks = 0;
	uint64_t end = clocks(4773ull * periods);

	while (f->now < end) {
		if (fake_take_interrupt(f) >= 0) {
			ticks++;
			if (ioapic)
				fake_lapic_write(f, 0xb0, 0);
			else
				fake_outb(f, 0x20, 0x20);
		}
		fake_machine_run_to(f, tt_timers_next(&f->m));
	}
	return ticks;
}

static void test_ticks_wait_for_the_guest(void **state)
{
	struct fake_machine f;
	unsigned int ioapic;

	(void)state;
	for (ioapic = 0; ioapic < 2; ioapic++) {
		create(&f);
		if (ioapic) {
			fake_lapic_enable(&f);
			fake_ioapic_write(&f, 0x10 + 2 * 2, 0x30);
		}
		program(&f, 0, 2, 4773);
		while (tt_timers_next(&f.m) <= clocks(4773 * 10))
			fake_machine_run_to(&f, tt_timers_next(&f.m)); /* interrupts off */
		assert_in_range(count_ticks(&f, 100, ioapic), 99, 100);
		fake_machine_destroy(&f);
	}
	/* Nobody listens: nothing is saved up. */
	create(&f);
	fake_outb(&f, 0x21, 0xff);
	program(&f, 0, 2, 4773);
	while (tt_timers_next(&f.m) <= clocks(4773 * 10))
		fake_machine_run_to(&f, tt_timers_next(&f.m));
	fake_outb(&f, 0x21, 0);
	assert_in_range(count_ticks(&f, 100, false), 90, 92);
	fake_machine_destroy(&f);
}

static void test_one_shot_modes_interrupt_once(void **state)
{
	static const uint8_t modes[] = { 0, 4 };
	struct fake_machine f;
	unsigned int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		create(&f);
		program(&f, 0, modes[i], 1000);
		assert_int_equal(tt_timers_next(&f.m), clocks(1000));
		fake_machine_run_to(&f, clocks(1000));
		assert_int_equal(fake_take_interrupt(&f), 0x30);
		assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
		program(&f, 0, modes[i], 0); /* 0 means 65536 */
		assert_int_equal(tt_timers_next(&f.m) - f.now, clocks(65536));
		fake_outb(&f, 0x43, 0x30); /* a new mode word stops it */
		assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
		fake_machine_destroy(&f);
	}
}

static void test_counts_down(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	program(&f, 0, 2, 1000);
	assert_int_equal(latched_count(&f, 0), 1000);
	f.now = clocks(1);
	assert_int_equal(latched_count(&f, 0), 999);
	f.now = clocks(999);
	assert_int_equal(latched_count(&f, 0), 1);
	f.now = clocks(1000);
	assert_int_equal(latched_count(&f, 0), 1000);
	program(&f, 0, 3, 1000); /* by two, twice a period */
	f.now += clocks(100);
	assert_int_equal(latched_count(&f, 0), 800);
	f.now += clocks(500);
	assert_int_equal(latched_count(&f, 0), 800);
	program(&f, 0, 0, 10); /* counts on after the end */
	f.now += clocks(12);
	assert_int_equal(latched_count(&f, 0), 0xfffe);
	fake_machine_destroy(&f);
}

static void test_latch_holds_until_read(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	program(&f, 0, 2, 0x1234);
	fake_outb(&f, 0x43, 0x00);
	f.now = clocks(0x100);
	fake_outb(&f, 0x43, 0x00); /* a second latch is ignored */
	assert_int_equal(fake_inb(&f, 0x40), 0x34);
	assert_int_equal(fake_inb(&f, 0x40), 0x12);
	assert_int_equal(fake_inb(&f, 0x40), 0x34); /* not latched any more: low and high in turn */
	assert_int_equal(fake_inb(&f, 0x40), 0x11);
	fake_machine_destroy(&f);
}

static void test_read_back(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	program(&f, 0, 2, 0x1000);
	fake_outb(&f, 0x43, 0xc2); /* status and count of channel 0 */
	assert_int_equal(fake_inb(&f, 0x40), 0xb4);
	assert_int_equal(fake_inb(&f, 0x40), 0x00);
	assert_int_equal(fake_inb(&f, 0x40), 0x10);
	fake_outb(&f, 0x43, 0xb0); /* channel 2, mode 0, no count yet */
	fake_outb(&f, 0x43, 0xe8); /* status of channel 2 */
	assert_int_equal(fake_inb(&f, 0x42), 0x70);
	fake_machine_destroy(&f);
}

static void test_byte_access_modes(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_outb(&f, 0x43, 0x14); /* low byte only */
	fake_outb(&f, 0x40, 100);
	assert_int_equal(tt_timers_next(&f.m), clocks(100));
	assert_int_equal(fake_inb(&f, 0x40), 100);
	fake_outb(&f, 0x43, 0x24); /* high byte only */
	fake_outb(&f, 0x40, 1);
	assert_int_equal(tt_timers_next(&f.m), clocks(256));
	assert_int_equal(fake_inb(&f, 0x40), 1);
	fake_machine_destroy(&f);
}

static void test_bcd(void **state)
{
	struct fake_machine f;
	uint8_t low;

	(void)state;
	create(&f);
	fake_outb(&f, 0x43, 0x35);
	fake_outb(&f, 0x40, 0x34);
	fake_outb(&f, 0x40, 0x12);
	assert_int_equal(tt_timers_next(&f.m), clocks(1234));
	f.now = clocks(34);
	low = fake_inb(&f, 0x40);
	assert_int_equal(low | fake_inb(&f, 0x40) << 8, 0x1200);
	fake_machine_destroy(&f);
}

/* How Linux calibrates the TSC: channel 2 in mode 0, gate by port 0x61, look at the output. */
static void test_speaker_port_shows_channel_2(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_outb(&f, 0x61, (fake_inb(&f, 0x61) & ~2) | 1);
	assert_int_equal(fake_inb(&f, 0x61) & 3, 1);
	program(&f, 2, 0, 59659); /* 50 ms */
	assert_int_equal(fake_inb(&f, 0x61) & 0x20, 0);
	f.now = clocks(59659) - 1;
	assert_int_equal(fake_inb(&f, 0x61) & 0x20, 0);
	f.now = clocks(59659);
	assert_int_equal(fake_inb(&f, 0x61) & 0x20, 0x20);
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER); /* no interrupt from channel 2 */
	fake_machine_destroy(&f);
}

static void test_square_wave_and_refresh(void **state)
{
	struct fake_machine f;
	unsigned int i, toggles = 0;
	uint8_t last;

	(void)state;
	create(&f);
	fake_outb(&f, 0x61, 1);
	program(&f, 2, 3, 1000);
	f.now = clocks(499);
	assert_int_equal(fake_inb(&f, 0x61) & 0x20, 0x20);
	f.now = clocks(500);
	assert_int_equal(fake_inb(&f, 0x61) & 0x20, 0);
	last = fake_inb(&f, 0x61) & 0x10;
	for (i = 0; i < 1000; i++) {
		f.now += fake_ns(1000);
		if ((fake_inb(&f, 0x61) & 0x10) != last) {
			last ^= 0x10;
			toggles++;
		}
	}
	assert_in_range(toggles, 65, 67); /* every 15 us of a millisecond */
	fake_machine_destroy(&f);
}

static void test_gate_starts_modes_1_and_2_again(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_outb(&f, 0x61, 0);
	program(&f, 2, 1, 100);
	f.now = clocks(5000);
	fake_outb(&f, 0x61, 1);
	f.now += clocks(50);
	assert_int_equal(fake_inb(&f, 0x61) & 0x20, 0);
	fake_outb(&f, 0x61, 0);
	fake_outb(&f, 0x61, 1);
	f.now += clocks(99);
	assert_int_equal(fake_inb(&f, 0x61) & 0x20, 0);
	f.now += clocks(1);
	assert_int_equal(fake_inb(&f, 0x61) & 0x20, 0x20);
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silent_after_reset),
		cmocka_unit_test(test_rate_generator_interrupts),
		cmocka_unit_test(test_ticks_wait_for_the_guest),
		cmocka_unit_test(test_one_shot_modes_interrupt_once),
		cmocka_unit_test(test_counts_down),
		cmocka_unit_test(test_latch_holds_until_read),
		cmocka_unit_test(test_read_back),
		cmocka_unit_test(test_byte_access_modes),
		cmocka_unit_test(test_bcd),
		cmocka_unit_test(test_speaker_port_shows_channel_2),
		cmocka_unit_test(test_square_wave_and_refresh),
		cmocka_unit_test(test_gate_starts_modes_1_and_2_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
