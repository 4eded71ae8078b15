// SPDX-License-Identifier: GPL-2.0
/*
 * test_timer.c - the order in which timers fire, and repeating timers that neither drift nor lose
 * ticks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "devices.h"
#include "fake-machine.h"

struct ticker {
	struct fake_machine *f;
	struct tt_periodic timer;
	uint64_t num, den;
	unsigned int ticks;
	uint64_t last;
	uint64_t smallest_gap;
};

static void ticker_fire(void *ctx, uint64_t now)
{
	struct ticker *t = ctx;

	if (t->ticks && now - t->last < t->smallest_gap)
		t->smallest_gap = now - t->last;
	t->ticks++;
	t->last = now;
	tt_periodic_advance(&t->f->m, &t->timer, t->num, t->den, now);
}

static void ticker_start(struct ticker *t, struct fake_machine *f, uint64_t num, uint64_t den)
{
	*t = (struct ticker){ .f = f, .num = num, .den = den, .smallest_gap = UINT64_MAX };
	tt_periodic_start(&f->m, &t->timer, f->now, num, den);
	tt_timer_add(&f->m, &t->timer.deadline, ticker_fire, t);
}

/* Serve every deadline exactly when it is due, up to `end`. */
static void run_exactly(struct fake_machine *f, uint64_t end)
{
	while (tt_timers_next(&f->m) <= end)
		fake_machine_run_to(f, tt_timers_next(&f->m));
	fake_machine_run_to(f, end);
}

static void test_scale_is_exact_and_saturates(void **state)
{
	(void)state;
	assert_true(tt_scale(UINT64_MAX - 1, 3, 3) == UINT64_MAX - 1);
	assert_true(tt_scale(1ull << 63, 6, 4) == 3ull << 62);
	assert_true(tt_scale(UINT64_MAX, 2, 1) == TT_TIME_NEVER - 1);
	assert_int_equal(tt_scale(10, 1, 3), 3);
	assert_int_equal(tt_scale_up(10, 1, 3), 4);
	assert_int_equal(tt_scale_up(9, 1, 3), 3);
	assert_true(tt_time_add(TT_TIME_NEVER - 2, 5) == TT_TIME_NEVER - 1);
}

struct order {
	uint64_t deadline;
	char name;
	char *log;
};

static void order_fire(void *ctx, uint64_t now)
{
	struct order *o = ctx;

	(void)now;
	o->log[strlen(o->log)] = o->name;
	o->deadline = TT_TIME_NEVER;
}

static void test_earliest_first_then_registration(void **state)
{
	struct fake_machine f;
	char log[8] = "";
	struct order o[] = { { 30, 'a', log },
			     { 10, 'b', log },
			     { 20, 'c', log },
			     { 10, 'd', log },
			     { 99, 'e', log } };
	unsigned int i;

	(void)state;
	fake_machine_create_bare(&f, 1);
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	for (i = 0; i < 5; i++)
		tt_timer_add(&f.m, &o[i].deadline, order_fire, &o[i]);
	assert_int_equal(tt_timers_next(&f.m), 10);
	fake_machine_run_to(&f, 9);
	assert_string_equal(log, "");
	fake_machine_run_to(&f, 50);
	assert_string_equal(log, "bdca");
	assert_int_equal(tt_timers_next(&f.m), 99);
	fake_machine_destroy(&f);
}

static void test_periodic_does_not_drift(void **state)
{
	struct fake_machine f;
	struct ticker t;

	(void)state;
	fake_machine_create_bare(&f, 1);
	f.now = 12345;
	/* The PIT at 18.2 Hz: 65536 / 1193182 s is not a whole number of ticks. */
	ticker_start(&t, &f, 65536 * FAKE_TSC_HZ, 1193182);
	run_exactly(&f, 12345 + 1000000 * FAKE_TSC_HZ / 18);
	assert_int_equal(t.ticks,
			 (uint64_t)(1000000 * FAKE_TSC_HZ / 18) * 1193182.0L / 65536 / FAKE_TSC_HZ);
	fake_machine_destroy(&f);
}

static void test_late_ticks_are_made_up_for(void **state)
{
	struct fake_machine f;
	struct ticker t;
	uint64_t period = fake_ns(4000000);

	(void)state;
	fake_machine_create_bare(&f, 1);
	ticker_start(&t, &f, period, 1);
	/* Nobody looks for 100 periods, then every deadline is served. */
	fake_machine_run_to(&f, 100 * period + period / 2);
	assert_int_equal(t.ticks, 1);
	run_exactly(&f, 300 * period + period / 2);
	assert_int_equal(t.ticks, 300);
	assert_true(t.smallest_gap == period / 2);
	fake_machine_destroy(&f);
}

static void test_too_many_late_ticks_are_dropped(void **state)
{
	struct fake_machine f;
	struct ticker t;
	uint64_t period = fake_ns(1000000);

	(void)state;
	fake_machine_create_bare(&f, 1);
	ticker_start(&t, &f, period, 1);
	fake_machine_run_to(&f, 50000 * period);
	run_exactly(&f, 60000 * period);
	assert_int_equal(t.ticks, 1 + TT_PERIODIC_BACKLOG + 10000);
	assert_int_equal(t.timer.deadline % period, 0); /* in step again */
	fake_machine_destroy(&f);
}

static void test_absurdly_fast_timer_is_held_back(void **state)
{
	struct fake_machine f;
	struct ticker t;

	(void)state;
	fake_machine_create_bare(&f, 1);
	ticker_start(&t, &f, 1, 1);
	run_exactly(&f, fake_ns(20000000));
	assert_true(t.ticks <= 1001);
	assert_true(t.smallest_gap >= fake_ns(TT_PERIODIC_MIN_NS));
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_scale_is_exact_and_saturates),
		cmocka_unit_test(test_earliest_first_then_registration),
		cmocka_unit_test(test_periodic_does_not_drift),
		cmocka_unit_test(test_late_ticks_are_made_up_for),
		cmocka_unit_test(test_too_many_late_ticks_are_dropped),
		cmocka_unit_test(test_absurdly_fast_timer_is_held_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
