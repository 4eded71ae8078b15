// SPDX-License-Identifier: GPL-2.0
/*
 * test_translate.c - reading and writing by guest-virtual address through the guest's page tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_and_write),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
