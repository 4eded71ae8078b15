// SPDX-License-Identifier: GPL-2.0
/*
 * test_rtc.c - the MC146818: time of day, setting it, update-in-progress, alarm and periodic
 * interrupts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <cmocka.h>

#include "fake-machine.h"

#define SECOND FAKE_TSC_HZ

#define B_UPDATE   0x10
#define B_ALARM	   0x20
#define B_PERIODIC 0x40
#define B_SET	   0x80

static uint8_t get(struct fake_machine *f, uint8_t reg)
{
	fake_outb(f, 0x70, reg);
	return fake_inb(f, 0x71);
}

static void put(struct fake_machine *f, uint8_t reg, uint8_t value)
{
	fake_outb(f, 0x70, reg);
	fake_outb(f, 0x71, value);
}

static unsigned int get_bcd(struct fake_machine *f, uint8_t reg)
{
	uint8_t value = get(f, reg);

	return (value >> 4) * 10 + (value & 0xf);
}

static void put_bcd(struct fake_machine *f, uint8_t reg, unsigned int value)
{
	put(f, reg, value / 10 << 4 | value % 10);
}

static void create(struct fake_machine *f, uint64_t wall_clock)
{
	fake_machine_create(f, 1, wall_clock);
	fake_pic_init(f, 0x30);
}

static void end_of_interrupt(struct fake_machine *f)
{
	fake_outb(f, 0xa0, 0x20);
	fake_outb(f, 0x20, 0x20);
}

static void assert_time(struct fake_machine *f, time_t expected)
{
	struct tm tm;

	gmtime_r(&expected, &tm);
	assert_int_equal(get_bcd(f, 0), tm.tm_sec);
	assert_int_equal(get_bcd(f, 2), tm.tm_min);
	assert_int_equal(get_bcd(f, 4), tm.tm_hour);
	assert_int_equal(get_bcd(f, 6), tm.tm_wday + 1);
	assert_int_equal(get_bcd(f, 7), tm.tm_mday);
	assert_int_equal(get_bcd(f, 8), tm.tm_mon + 1);
	assert_int_equal(get_bcd(f, 9), tm.tm_year % 100);
	assert_int_equal(get_bcd(f, 0x32), (tm.tm_year + 1900) / 100);
}

static void test_time_follows_virtual_time(void **state)
{
	static const time_t starts[] = {
		/* before and on 29 February 2000, the ends of February 2024, 2024, time_t, 2099 */
		0,	    86399,	951782399,  951868799,
		1709251199, 1735689599, 2147483647, 4102444799,
	};
	struct fake_machine f;
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		create(&f, starts[i]);
		assert_time(&f, starts[i]);
		f.now = SECOND - 1;
		assert_time(&f, starts[i]);
		f.now = SECOND;
		assert_time(&f, starts[i] + 1);
		f.now = 86400 * SECOND;
		assert_time(&f, starts[i] + 86400);
		f.now = 1000 * 86400 * SECOND;
		assert_time(&f, starts[i] + 1000 * 86400);
		fake_machine_destroy(&f);
	}
}

static void test_data_modes(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 23 * 3600 + 45 * 60);
	put(&f, 11, 0x06); /* binary, 24 hours */
	assert_int_equal(get(&f, 4), 23);
	assert_int_equal(get(&f, 2), 45);
	assert_int_equal(get(&f, 9), 70);
	put(&f, 11, 0x04); /* binary, 12 hours */
	assert_int_equal(get(&f, 4), 0x80 | 11);
	put(&f, 11, 0x00);
	assert_int_equal(get(&f, 4), 0x91);
	f.now = 3600 * SECOND;
	assert_int_equal(get(&f, 4), 0x12); /* midnight */
	fake_machine_destroy(&f);
}

static void set_time(struct fake_machine *f, time_t t)
{
	struct tm tm;

	gmtime_r(&t, &tm);
	put(f, 11, 0x02 | B_SET);
	put_bcd(f, 0, tm.tm_sec);
	put_bcd(f, 2, tm.tm_min);
	put_bcd(f, 4, tm.tm_hour);
	put_bcd(f, 7, tm.tm_mday);
	put_bcd(f, 8, tm.tm_mon + 1);
	put_bcd(f, 9, tm.tm_year % 100);
	put_bcd(f, 0x32, (tm.tm_year + 1900) / 100);
}

static void test_setting_the_clock(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1000000000);
	f.now = 12 * SECOND + 5;
	set_time(&f, 1700000000);
	f.now += 10 * SECOND; /* stopped while SET is on */
	assert_int_equal(get_bcd(&f, 0), 1700000000 % 60);
	put(&f, 11, 0x02);
	assert_time(&f, 1700000000);
	f.now += 7 * SECOND;
	assert_time(&f, 1700000007);
	/*
	 * As Linux does it: with the divider in reset, so that the next second begins half a second
	 * later.
	 */
	f.now += SECOND / 4;
	set_time(&f, 1600000000);
	put(&f, 10, 0x76);
	f.now += 100 * SECOND;
	put(&f, 11, 0x02);
	put(&f, 10, 0x26);
	assert_time(&f, 1600000000);
	f.now += SECOND / 2 - 1;
	assert_time(&f, 1600000000);
	f.now += 1;
	assert_time(&f, 1600000001);
	/* One register of a running clock. */
	put_bcd(&f, 0, 30);
	assert_int_equal(get_bcd(&f, 0), 30);
	f.now += SECOND;
	assert_int_equal(get_bcd(&f, 0), 31);
	fake_machine_destroy(&f);
}

static void test_setting_it_at_the_start_of_time(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 1000000000);
	put(&f, 10, 0x76);
	put(&f, 10, 0x26); /* second 0 now lies before virtual time 0 */
	put(&f, 11, 0x02 | B_UPDATE);
	assert_int_equal(tt_timers_next(&f.m), SECOND / 2);
	fake_machine_run_to(&f, SECOND / 2);
	assert_time(&f, 1000000001);
	assert_int_equal(get(&f, 12), 0x80 | B_UPDATE);
	fake_machine_destroy(&f);
}

static void test_update_in_progress(void **state)
{
	struct fake_machine f;
	unsigned int i, up = 0;

	(void)state;
	create(&f, 0);
	assert_int_equal(get(&f, 10), 0x26);
	for (i = 0; i < 1000; i++) {
		f.now = 5 * SECOND - fake_ns(1000000) + fake_ns(i * 2000);
		if (get(&f, 10) & 0x80) {
			assert_true(f.now < 5 * SECOND);
			up++;
		}
	}
	assert_in_range(up, 245, 247); /* 492 us in steps of 2 us */
	f.now = 6 * SECOND - 1;
	put(&f, 11, 0x02 | B_SET); /* no updates while it is being set */
	assert_int_equal(get(&f, 10) & 0x80, 0);
	assert_int_equal(get(&f, 13), 0x80);
	fake_machine_destroy(&f);
}

static void test_update_interrupt(void **state)
{
	struct fake_machine f;
	unsigned int i;

	(void)state;
	create(&f, 0);
	f.now = SECOND / 3;
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	put(&f, 11, 0x02 | B_UPDATE);
	for (i = 1; i < 10; i++) {
		assert_int_equal(tt_timers_next(&f.m), i * SECOND);
		fake_machine_run_to(&f, i * SECOND + 99);
		assert_int_equal(fake_take_interrupt(&f), 0x38);
		assert_int_equal(get(&f, 12), 0x80 | B_UPDATE);
		assert_int_equal(get(&f, 12), 0);
		end_of_interrupt(&f);
	}
	put(&f, 11, 0x02);
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	f.now += SECOND;
	assert_int_equal(get(&f, 12), B_UPDATE); /* the flag without the interrupt */
	fake_machine_destroy(&f);
}

static void test_alarm(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 10 * 3600);
	put_bcd(&f, 5, 10);
	put_bcd(&f, 3, 0);
	put_bcd(&f, 1, 7);
	put(&f, 11, 0x02 | B_ALARM);
	assert_int_equal(tt_timers_next(&f.m), 7 * SECOND);
	fake_machine_run_to(&f, 7 * SECOND);
	assert_int_equal(fake_take_interrupt(&f), 0x38);
	assert_int_equal(get(&f, 12), 0x80 | B_ALARM | B_UPDATE);
	assert_int_equal(tt_timers_next(&f.m), (86400 + 7) * SECOND); /* again tomorrow */
	put(&f, 5, 0xff);
	assert_int_equal(tt_timers_next(&f.m), (3600 + 7) * SECOND);
	put(&f, 3, 0xc0);
	assert_int_equal(tt_timers_next(&f.m), (60 + 7) * SECOND);
	put(&f, 1, 0xff);
	assert_int_equal(tt_timers_next(&f.m), 8 * SECOND);
	put(&f, 1, 0x99); /* never */
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	/* Polled. */
	put(&f, 11, 0x02);
	put_bcd(&f, 1, 30);
	f.now = 29 * SECOND;
	assert_int_equal(get(&f, 12), B_UPDATE);
	f.now = 31 * SECOND;
	assert_int_equal(get(&f, 12), B_ALARM | B_UPDATE);
	fake_machine_destroy(&f);
}

static void test_periodic_interrupt(void **state)
{
	struct fake_machine f;
	unsigned int i;

	(void)state;
	create(&f, 0);
	put(&f, 11, 0x02 | B_PERIODIC); /* 1024 Hz */
	for (i = 1; i <= 2048; i++) {
		fake_machine_run_to(&f, tt_timers_next(&f.m));
		assert_int_equal(f.now, (i * SECOND + 1023) / 1024);
		assert_int_equal(fake_take_interrupt(&f), 0x38);
		assert_int_equal(get(&f, 12) & 0xc0, 0xc0);
		end_of_interrupt(&f);
	}
	put(&f, 10, 0x2f); /* 2 Hz */
	assert_int_equal(tt_timers_next(&f.m) - f.now, SECOND / 2);
	put(&f, 10, 0x21); /* 256 Hz, the odd one */
	assert_int_equal(tt_timers_next(&f.m) - f.now, SECOND / 256);
	put(&f, 10, 0x20);
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	fake_machine_destroy(&f);
}

static void test_cmos_memory(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f, 0);
	put(&f, 0x0f, 0x0a);
	put(&f, 0x7f, 0x55);
	assert_int_equal(get(&f, 0x8f), 0x0a); /* bit 7 of the index is the NMI mask */
	assert_int_equal(get(&f, 0x7f), 0x55);
	assert_int_equal(fake_inb(&f, 0x70), 0xff);
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_time_follows_virtual_time),
		cmocka_unit_test(test_data_modes),
		cmocka_unit_test(test_setting_the_clock),
		cmocka_unit_test(test_setting_it_at_the_start_of_time),
		cmocka_unit_test(test_update_in_progress),
		cmocka_unit_test(test_update_interrupt),
		cmocka_unit_test(test_alarm),
		cmocka_unit_test(test_periodic_interrupt),
		cmocka_unit_test(test_cmos_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
