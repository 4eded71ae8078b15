// SPDX-License-Identifier: GPL-2.0
/*
 * test_bus.c - claims and dispatch of port and memory-mapped accesses.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "fake-machine.h"

/* A device that remembers its last access. */
struct probe {
	unsigned int reads, writes;
	uint64_t addr;
	unsigned int len;
	uint64_t value;
};

static void probe_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct probe *p = ctx;

	p->reads++;
	p->addr = addr;
	p->len = len;
	memcpy(data, &p->value, len);
}

static void probe_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct probe *p = ctx;

	p->writes++;
	p->addr = addr;
	p->len = len;
	p->value = 0;
	memcpy(&p->value, data, len);
}

static int add(struct fake_machine *f, uint16_t base, uint32_t size, struct probe *p)
{
	return tt_bus_add_pio(&f->m, base, size, probe_read, probe_write, p);
}

static void test_unclaimed_reads_are_all_ones(void **state)
{
	struct fake_machine f;
	struct probe p = { 0 };

	(void)state;
	fake_machine_create_bare(&f, 1);
	assert_int_equal(fake_inl(&f, 0x80), 0xffffffff);
	fake_outb(&f, 0x80, 1);
	assert_int_equal(add(&f, 0x100, 4, &p), 0);
	assert_int_equal(fake_inl(&f, 0x80), 0xffffffff);
	assert_int_equal(fake_inb(&f, 0xff), 0xff);
	assert_int_equal(fake_inb(&f, 0x104), 0xff);
	assert_int_equal(fake_readl(&f, 0xfee00000), 0xffffffff);
	assert_int_equal(p.reads, 0);
	fake_machine_destroy(&f);
}

static void test_overlapping_claims_are_refused(void **state)
{
	struct fake_machine f;
	struct probe p = { 0 };

	(void)state;
	fake_machine_create_bare(&f, 1);
	assert_int_equal(add(&f, 0x100, 8, &p), 0);
	assert_int_equal(add(&f, 0x108, 8, &p), 0);
	assert_int_equal(add(&f, 0xf8, 8, &p), 0);
	assert_int_equal(add(&f, 0x107, 1, &p), -EEXIST);
	assert_int_equal(add(&f, 0xf0, 9, &p), -EEXIST);
	assert_int_equal(add(&f, 0x90, 0x200, &p), -EEXIST);
	assert_int_equal(add(&f, 0xfff0, 0x11, &p), -EINVAL);
	assert_int_equal(add(&f, 0xfff0, 0x10, &p), 0);
	assert_int_equal(add(&f, 0x200, 0, &p), -EINVAL);
	assert_int_equal(tt_bus_add_mmio(&f.m, UINT64_MAX - 3, 8, probe_read, probe_write, &p),
			 -EINVAL);
	fake_machine_destroy(&f);
}

static void test_each_claim_is_found(void **state)
{
	struct fake_machine f;
	struct probe p[20] = { 0 };
	unsigned int i, j;

	(void)state;
	fake_machine_create_bare(&f, 1);
	for (i = 0; i < 20; i++) /* in an order that is not sorted */
		assert_int_equal(add(&f, (i * 7 % 20) * 0x40, 0x10, &p[i * 7 % 20]), 0);
	for (i = 0; i < 20; i++) {
		for (j = 0; j < 20; j++) {
			unsigned int nr = (i + j * 3) % 20;

			p[nr].value = 0x1000 + nr;
			assert_int_equal(fake_inw(&f, nr * 0x40 + 2), 0x1000 + nr);
			assert_int_equal(p[nr].addr, nr * 0x40 + 2);
			assert_int_equal(p[nr].len, 2);
		}
	}
	fake_machine_destroy(&f);
}

static void test_straddling_access_is_split(void **state)
{
	struct fake_machine f;
	struct probe low = { .value = 0x11 }, high = { .value = 0x22 };
	uint8_t data[8] = { 0 };

	(void)state;
	fake_machine_create_bare(&f, 1);
	assert_int_equal(add(&f, 0x100, 2, &low), 0);
	assert_int_equal(add(&f, 0x102, 1, &high), 0);
	assert_int_equal(fake_inl(&f, 0x100), 0xff221111);
	assert_int_equal(low.reads, 2);
	assert_int_equal(low.len, 1);
	assert_int_equal(high.reads, 1);
	fake_outl(&f, 0xff, 0xddccbbaa);
	assert_int_equal(low.writes, 2);
	assert_int_equal(low.value, 0xcc);
	assert_int_equal(high.value, 0xdd);
	/* Odd lengths never reach a device in one piece. */
	assert_int_equal(tt_bus_add_mmio(&f.m, 0x10000000, 16, probe_read, probe_write, &low), 0);
	tt_bus_mmio(&f.m, 0x10000000, data, 3, false);
	assert_int_equal(low.len, 1);
	tt_bus_mmio(&f.m, 0x10000008, data, 8, false);
	assert_int_equal(low.len, 8);
	/* The last port of all. */
	assert_int_equal(add(&f, 0xffff, 1, &high), 0);
	high.value = 0x33;
	assert_int_equal(fake_inl(&f, 0xffff), 0xffffff33);
	fake_machine_destroy(&f);
}

static void remove_itself(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	(void)data;
	(void)len;
	tt_bus_remove_pio(&((struct fake_machine *)ctx)->m, addr);
}

static void test_claims_are_given_up(void **state)
{
	struct fake_machine f;
	struct probe p = { .value = 0x11 }, q = { .value = 0x22 };

	(void)state;
	fake_machine_create_bare(&f, 1);
	tt_bus_remove_pio(&f.m, 0x100); /* nothing there */
	assert_int_equal(add(&f, 0x100, 4, &p), 0);
	assert_int_equal(add(&f, 0x104, 4, &q), 0);
	assert_int_equal(fake_inb(&f, 0x100), 0x11);
	tt_bus_remove_pio(&f.m, 0x101); /* not a beginning */
	assert_int_equal(fake_inb(&f, 0x100), 0x11);
	tt_bus_remove_pio(&f.m, 0x100);
	assert_int_equal(fake_inb(&f, 0x100), 0xff);
	assert_int_equal(fake_inb(&f, 0x104), 0x22);
	assert_int_equal(add(&f, 0x100, 4, &q), 0);
	assert_int_equal(fake_inb(&f, 0x100), 0x22);
	tt_bus_remove_pio(&f.m, 0x100);
	tt_bus_remove_pio(&f.m, 0x104);
	assert_int_equal(fake_inl(&f, 0x104), 0xffffffff);

	assert_int_equal(tt_bus_add_mmio(&f.m, 0xd0000000, 4096, probe_read, probe_write, &p), 0);
	tt_bus_remove_mmio(&f.m, 0xd0000000);
	assert_int_equal(fake_readl(&f, 0xd0000000), 0xffffffff);

	assert_int_equal(tt_bus_add_pio(&f.m, 0x200, 1, NULL, remove_itself, &f), 0);
	assert_int_equal(tt_bus_add_pio(&f.m, 0x201, 1, NULL, remove_itself, &f), 0);
	fake_outw(&f, 0x200, 0);
	assert_int_equal(add(&f, 0x200, 2, &p), 0);
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unclaimed_reads_are_all_ones),
		cmocka_unit_test(test_overlapping_claims_are_refused),
		cmocka_unit_test(test_each_claim_is_found),
		cmocka_unit_test(test_straddling_access_is_split),
		cmocka_unit_test(test_claims_are_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
