// SPDX-License-Identifier: GPL-2.0
/*
 * test_translate.c - reading and writing by guest-virtual address through the guest's page tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "fake-machine.h"

#define PRESENT 1ull
#define LARGE (1ull << 7)

/* Four levels: page 0x400000000000 is at 0x8000, the one behind it at 0x6000, then a hole; 2 MiB at 0x400000200000 are at 0. */
static void make_tables(struct fake_machine *f, struct kvm_sregs *s)
{
	uint64_t *table = (uint64_t *)f->m.memory.hva;

	table[0x1000 / 8 + 128] = 0x2000 | PRESENT;
	table[0x2000 / 8] = 0x3000 | PRESENT;
	table[0x3000 / 8] = 0x4000 | PRESENT;
	table[0x3000 / 8 + 1] = PRESENT | LARGE;
	table[0x4000 / 8] = 0x8000 | PRESENT;
	table[0x4000 / 8 + 1] = 0x6000 | PRESENT;
	*s = (struct kvm_sregs){ .cr0 = 1ull << 31 | 1, .cr3 = 0x1000, .cr4 = 1 << 5, .efer = 1 << 10 };
}

static void test_read_and_write(void **state)
{
	const uint64_t base = 0x400000000000;
	struct fake_machine f;
	struct kvm_sregs s;
	char data[16];

	(void)state;
	fake_machine_create_bare(&f, 1);
	make_tables(&f, &s);
	assert_int_equal(tt_vcpu_write_virtual(&f.m.vcpus[0], &s, base + 0xffc, "12345678", 8), 8);
	assert_memory_equal(f.m.memory.hva + 0x8ffc, "1234", 4);
	assert_memory_equal(f.m.memory.hva + 0x6000, "5678", 4);
	assert_int_equal(tt_vcpu_read_virtual(&f.m.vcpus[0], &s, base + 0xffc, data, 8, false), 8);
	assert_memory_equal(data, "12345678", 8);
	/* Up to the hole. */
	assert_int_equal(tt_vcpu_write_virtual(&f.m.vcpus[0], &s, base + 0x1ffe, "abcd", 4), 2);
	assert_int_equal(tt_vcpu_read_virtual(&f.m.vcpus[0], &s, base + 0x1ffe, data, 4, false), 2);
	assert_int_equal(tt_vcpu_write_virtual(&f.m.vcpus[0], &s, base + 0x2000, "x", 1), 0);
	assert_int_equal(tt_vcpu_read_virtual(&f.m.vcpus[0], &s, 0, data, 1, false), 0);
	/* A large page. */
	assert_int_equal(tt_vcpu_read_virtual(&f.m.vcpus[0], &s, base + 0x200000 + 0x8ffc, data, 4, false), 4);
	assert_memory_equal(data, "1234", 4);
	/* No paging: physical, to the end of memory. */
	s.cr0 = 1;
	assert_int_equal(tt_vcpu_write_virtual(&f.m.vcpus[0], &s, FAKE_RAM_SIZE - 2, "yz", 2), 2);
	assert_int_equal(tt_vcpu_write_virtual(&f.m.vcpus[0], &s, FAKE_RAM_SIZE, "x", 1), 0);
	fake_machine_destroy(&f);
}

static void assert_mappings(struct fake_machine *f, const struct kvm_sregs *s, const struct tt_mapping *expected, ssize_t n)
{
	struct tt_mapping *list;
	ssize_t i;

	assert_int_equal(tt_memory_mappings(&f->m.memory, s, &list), n);
	for (i = 0; i < n; i++) {
		assert_int_equal(list[i].address, expected[i].address);
		assert_int_equal(list[i].physical, expected[i].physical);
		assert_int_equal(list[i].size, expected[i].size);
	}
	free(list);
}

static void test_mappings(void **state)
{
	const struct tt_mapping expected[] = {
		{ 0x400000000000, 0x8000, 0x1000 },
		{ 0x400000001000, 0x6000, 0x2000 },	/* two neighbours */
		{ 0x400000200000, 0, FAKE_RAM_SIZE },
		{ 0xffff800000000000, 0, FAKE_RAM_SIZE },	/* a page of 1 GiB, most of it no RAM */
	};
	struct fake_machine f;
	struct kvm_sregs s;
	uint64_t *table;

	(void)state;
	fake_machine_create_bare(&f, 1);
	table = (uint64_t *)f.m.memory.hva;
	make_tables(&f, &s);
	table[0x4000 / 8 + 2] = 0x7000 | PRESENT;
	table[0x1000 / 8 + 129] = 0x2000 | PRESENT;	/* tables that were walked */
	table[0x1000 / 8 + 511] = 0x1000 | PRESENT;
	table[0x1000 / 8 + 510] = 0x40000000 | PRESENT; /* no RAM */
	table[0x1000 / 8 + 256] = 0x5000 | PRESENT;
	table[0x5000 / 8] = PRESENT | LARGE;
	assert_mappings(&f, &s, expected, 4);
	s.cr0 = 1;
	assert_mappings(&f, &s, NULL, 0);
	fake_machine_destroy(&f);
}

/* PAE: four entries on top; and the 80386's two levels, with a page of 4 MiB. */
static void test_mappings_of_32_bits(void **state)
{
	const struct tt_mapping pae = { 0xc0201000, 0x9000, 0x1000 }, two_levels[] = {
		{ 0x00400000, 0, FAKE_RAM_SIZE }, { 0xc0003000, 0x9000, 0x1000 },
	};
	struct kvm_sregs s = { .cr0 = 1ull << 31 | 1, .cr3 = 0x1020, .cr4 = 1 << 5 };
	struct fake_machine f;
	uint64_t *table;
	uint32_t *small;

	(void)state;
	fake_machine_create_bare(&f, 1);
	table = (uint64_t *)f.m.memory.hva;
	table[0x1020 / 8 + 3] = 0x2000 | PRESENT;
	table[0x1020 / 8 + 4] = 0x2000 | PRESENT;	/* behind the four */
	table[0x2000 / 8 + 1] = 0x3000 | PRESENT;
	table[0x3000 / 8 + 1] = 0x9000 | PRESENT;
	assert_mappings(&f, &s, &pae, 1);
	s.cr3 = 0x10000;
	s.cr4 = 1 << 4;
	small = (uint32_t *)f.m.memory.hva;
	small[0x10000 / 4 + 1] = PRESENT | LARGE;
	small[0x10000 / 4 + 0x300] = 0x11000 | PRESENT;
	small[0x11000 / 4 + 3] = 0x9000 | PRESENT;
	assert_mappings(&f, &s, two_levels, 2);
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_and_write),
		cmocka_unit_test(test_mappings),
		cmocka_unit_test(test_mappings_of_32_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
