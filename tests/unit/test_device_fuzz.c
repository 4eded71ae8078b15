// SPDX-License-Identifier: GPL-2.0
/*
 * test_device_fuzz.c - a hostile guest: random accesses, of any length and alignment, at every
 * device, with time and input mixed in. Nothing may crash (run it under ASan and UBSan), no timer
 * may spin, and two machines that are given the same must be in the same state, byte for byte, all
 * the way.
 *
 * TT_FUZZ_STEPS sets the number of steps per seed (default 200000), TT_FUZZ_SEED the first seed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake-machine.h"

#define SEEDS 8

static uint64_t next_random(uint64_t *seed)
{
	/* splitmix64 */
	uint64_t z = *seed += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* Mostly where devices are, sometimes anywhere. */
static uint16_t random_port(uint64_t *seed)
{
	static const uint16_t ports[] = {
		0x20, 0xa0, 0x40, 0x60, 0x64, 0x70, 0x3f8, 0x4d0, 0x600, 0xcf8, 0xf4, 0x80,
	};
	uint64_t r = next_random(seed);

	if (r % 16 == 0)
		return r >> 8;
	return ports[(r >> 8) % (sizeof(ports) / sizeof(ports[0]))] + (r >> 32) % 18 - 1;
}

static uint64_t random_address(uint64_t *seed)
{
	uint64_t r = next_random(seed);

	switch (r % 8) {
	case 0:
		return next_random(seed);
	case 1:
	case 2:
		return TT_IOAPIC_BASE + (r >> 8) % 0x14;
	case 3:
		return TT_IOAPIC_BASE + (r >> 8) % 0x1010 - 8;
	default: /* registers more often than what is between them */
		return TT_LAPIC_BASE + ((r >> 8) % 0x40 << 4) + (r & 0x700 ? 0 : (r >> 32) % 16);
	}
}

static void random_access(struct fake_machine *f, uint64_t *seed)
{
	static const unsigned int lengths[] = { 1, 1, 1, 2, 4, 4, 4, 4, 8, 3, 5, 6, 7 };
	uint64_t r = next_random(seed), value = next_random(seed);
	bool write = r & 1, mmio = (r >> 1) % 3 == 0;
	unsigned int len = mmio ? lengths[(r >> 8) % 13] : 1u << (r >> 8) % 3;

	f->m.current = &f->m.vcpus[(r >> 16) % f->m.config.num_vcpus];
	if (r >> 20 & 1)
		value &= 0xff; /* small values say something to more registers */
	if (mmio)
		tt_bus_mmio(&f->m, random_address(seed), &value, len, write);
	else
		tt_bus_pio(&f->m, random_port(seed), &value, len, write);
}

static void random_step(struct fake_machine *f, uint64_t *seed)
{
	uint64_t r = next_random(seed), value = next_random(seed);
	struct tt_vcpu *vcpu = &f->m.vcpus[(r >> 16) % f->m.config.num_vcpus];
	char data[32] = "input";
	size_t len;
	int vector;

	switch (r % 32) {
	case 0: /* time passes: a little, or a lot, but within a century */
		if (f->now < 100ull * 365 * 86400 * FAKE_TSC_HZ / 2)
			fake_machine_run_to(f, f->now + (value >> (24 + (r >> 32) % 40)));
		assert_true(tt_timers_next(&f->m) > f->now);
		break;
	case 1: /* to the next deadline, however near */
		if (tt_timers_next(&f->m) < f->now + FAKE_TSC_HZ) {
			fake_machine_run_to(f, tt_timers_next(&f->m));
			assert_true(tt_timers_next(&f->m) > f->now);
		}
		break;
	case 2:
	case 3:
		vector = tt_irq_pending(vcpu);
		assert_in_range(vector + 1, 0, 256);
		if (vector >= 0)
			assert_int_equal(tt_irq_acknowledge(vcpu), vector);
		break;
	case 4:
		tt_input_post(&f->m, TT_INPUT_SERIAL0, data, r >> 32 & 15);
		len = tt_input_take(&f->m, TT_INPUT_SERIAL0, data, sizeof(data));
		assert_int_equal(tt_input_deliver(&f->m, TT_INPUT_SERIAL0, data, len), 0);
		break;
	case 5:
		tt_lapic_write_msr(vcpu, r >> 32 & 1 ? 0x6e0 : 0x1b,
				   r >> 33 & 1 ? value : f->now + (value & 0xffffff));
		break;
	case 6:
		tt_lapic_write_msr(vcpu, 0x1b, TT_LAPIC_BASE | 0x900); /* on again */
		tt_lapic_set_cr8(vcpu, value);
		assert_in_range(tt_lapic_cr8(vcpu), 0, 15);
		break;
	case 7:
		tt_irq_set(&f->m, value % 32, value >> 8 & 1);
		tt_irq_msi(&f->m, 0xfee00000 | (value & 0xff00c), value >> 32);
		break;
	default:
		random_access(f, seed);
	}
	f->m.end = TT_END_NONE;
	f->console_len = 0;
}

static void assert_same_state(struct fake_machine *a, struct fake_machine *b)
{
	size_t size_a, size_b;
	uint8_t *state_a = fake_machine_state(a, &size_a),
		*state_b = fake_machine_state(b, &size_b);

	assert_int_equal(size_a, size_b);
	assert_memory_equal(state_a, state_b, size_a);
	free(state_a);
	free(state_b);
}

/* What is derived from the state must be what `restored` derives from it. */
static void restore_in_place(struct fake_machine *f)
{
	struct tt_device *dev;

	for (dev = f->m.devices; dev; dev = dev->next) {
		if (dev->restored)
			dev->restored(dev);
	}
}

static void test_random_accesses(void **state)
{
	const char *steps_text = getenv("TT_FUZZ_STEPS"), *seed_text = getenv("TT_FUZZ_SEED");
	unsigned long steps = steps_text ? strtoul(steps_text, NULL, 0) : 200000, i;
	uint64_t first = seed_text ? strtoull(seed_text, NULL, 0) : 1, seed, seed_a, seed_b;
	struct fake_machine *a = malloc(sizeof(*a)), *b = malloc(sizeof(*b));

	(void)state;
	assert_true(a && b);
	for (seed = first; seed < first + SEEDS; seed++) {
		seed_a = seed_b = seed;
		fake_machine_create(a, 1 + seed % 3, 1700000000);
		fake_machine_create(b, 1 + seed % 3, 1700000000);
		for (i = 0; i < steps; i++) {
			random_step(a, &seed_a);
			random_step(b, &seed_b);
			if (i % 1000 == 0) {
				assert_same_state(a, b);
				restore_in_place(b);
			}
		}
		assert_same_state(a, b);
		fake_machine_destroy(a);
		fake_machine_destroy(b);
	}
	free(a);
	free(b);
}

static void test_reset_of_a_used_machine_is_a_new_machine(void **state)
{
	struct fake_machine *used = malloc(sizeof(*used)), *new = malloc(sizeof(*new));
	struct tt_device *dev;
	uint64_t seed = 99;
	unsigned int i;

	(void)state;
	assert_true(used && new);
	fake_machine_create(used, 2, 1700000000);
	fake_machine_create(new, 2, 1700000000);
	for (i = 0; i < 100000; i++)
		random_step(used, &seed);
	for (i = 0; i < 32; i++)
		tt_irq_set(&used->m, i, false);
	for (dev = used->m.devices; dev; dev = dev->next)
		dev->reset(dev);
	assert_same_state(used, new);
	fake_machine_destroy(used);
	fake_machine_destroy(new);
	free(used);
	free(new);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_accesses),
		cmocka_unit_test(test_reset_of_a_used_machine_is_a_new_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
