// SPDX-License-Identifier: GPL-2.0
/*
 * test_platform.c - the small devices: ACPI fixed hardware, keyboard controller, PCI host bridge,
 * debug-exit port.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "fake-machine.h"
#include "pci.h"

#define PM1_STATUS  TT_PORT_ACPI_PM1_EVENT
#define PM1_ENABLE  (TT_PORT_ACPI_PM1_EVENT + 2)
#define PM1_CONTROL TT_PORT_ACPI_PM1_CONTROL
#define PM_TIMER_HZ 3579545

/* ------------------------------------------------------------------ ACPI */

static void test_pm_timer(void **state)
{
	struct fake_machine f;

	(void)state;
	fake_machine_create(&f, 1, 0);
	assert_int_equal(fake_inl(&f, TT_PORT_ACPI_PM_TIMER), 0);
	f.now = FAKE_TSC_HZ;
	assert_int_equal(fake_inl(&f, TT_PORT_ACPI_PM_TIMER), PM_TIMER_HZ);
	f.now = 3600 * FAKE_TSC_HZ; /* wraps at 32 bits */
	assert_int_equal(fake_inl(&f, TT_PORT_ACPI_PM_TIMER), 3600ull * PM_TIMER_HZ & 0xffffffff);
	assert_int_equal(fake_inw(&f, TT_PORT_ACPI_PM_TIMER + 2),
			 3600ull * PM_TIMER_HZ >> 16 & 0xffff);
	fake_machine_destroy(&f);
}

static void test_pm_timer_carry(void **state)
{
	struct fake_machine f;
	uint64_t half = ((1ull << 31) * FAKE_TSC_HZ + PM_TIMER_HZ - 1) / PM_TIMER_HZ;

	(void)state;
	fake_machine_create(&f, 1, 0);
	fake_pic_init(&f, 0x30);
	f.now = half - 1;
	assert_int_equal(fake_inw(&f, PM1_STATUS), 0);
	f.now = half;
	assert_int_equal(fake_inw(&f, PM1_STATUS), 1);
	fake_outw(&f, PM1_STATUS, 1);
	assert_int_equal(fake_inw(&f, PM1_STATUS), 0);
	assert_true(tt_timers_next(&f.m) == TT_TIME_NEVER);
	fake_outw(&f, PM1_ENABLE, 1);
	assert_int_equal(fake_inw(&f, PM1_ENABLE), 1);
	assert_int_equal(tt_timers_next(&f.m),
			 ((2ull << 31) * FAKE_TSC_HZ + PM_TIMER_HZ - 1) / PM_TIMER_HZ);
	fake_machine_run_to(&f, tt_timers_next(&f.m));
	assert_int_equal(fake_take_interrupt(&f), 0x39); /* the SCI */
	fake_machine_destroy(&f);
}

static void test_poweroff(void **state)
{
	struct fake_machine f;

	(void)state;
	fake_machine_create(&f, 1, 0);
	assert_int_equal(fake_inw(&f, PM1_CONTROL), 1); /* ACPI mode from the start */
	fake_outw(&f, PM1_CONTROL, 0);
	assert_int_equal(fake_inw(&f, PM1_CONTROL), 1);
	fake_outw(&f, PM1_CONTROL, 5 << 10);
	assert_int_equal(fake_inw(&f, PM1_CONTROL), 5 << 10 | 1);
	fake_outw(&f, PM1_CONTROL, 3 << 10 | 1 << 13); /* S3: there is none */
	assert_int_equal(f.m.end, TT_END_NONE);
	fake_outw(&f, PM1_CONTROL, 5 << 10 | 1 << 13);
	assert_int_equal(f.m.end, TT_END_POWEROFF);
	fake_machine_destroy(&f);
}

static void test_reset_register(void **state)
{
	struct fake_machine f;

	(void)state;
	fake_machine_create(&f, 1, 0);
	fake_outb(&f, TT_PORT_ACPI_RESET, 0);
	fake_outb(&f, TT_PORT_ACPI_RESET + 1, 1);
	assert_int_equal(f.m.end, TT_END_NONE);
	fake_outb(&f, TT_PORT_ACPI_RESET, 1);
	assert_int_equal(f.m.end, TT_END_RESET);
	fake_machine_destroy(&f);
}

/* ------------------------------------------------------------------ keyboard controller */

static uint8_t command(struct fake_machine *f, uint8_t value)
{
	fake_outb(f, 0x64, value);
	return fake_inb(f, 0x64) & 1 ? fake_inb(f, 0x60) : 0;
}

static void test_i8042_is_there_and_empty(void **state)
{
	struct fake_machine f;

	(void)state;
	fake_machine_create(&f, 1, 0);
	assert_int_equal(fake_inb(&f, 0x64) & 0x03, 0);
	assert_int_equal(command(&f, 0xaa), 0x55);
	assert_int_equal(command(&f, 0xab), 0x01); /* no keyboard */
	assert_int_equal(command(&f, 0xa9), 0x01); /* no mouse */
	fake_outb(&f, 0x64, 0x60);
	fake_outb(&f, 0x60, 0x44);
	assert_int_equal(command(&f, 0x20), 0x44);
	fake_outb(&f, 0x64, 0xd3); /* auxiliary loopback */
	fake_outb(&f, 0x60, 0x5a);
	assert_int_equal(fake_inb(&f, 0x64) & 0x21, 0x21);
	assert_int_equal(fake_inb(&f, 0x60), 0x5a);
	fake_outb(&f, 0x60, 0xf2); /* to the keyboard: identify */
	assert_int_equal(fake_inb(&f, 0x64) & 0x41, 0x41);
	assert_int_equal(fake_inb(&f, 0x60), 0xfe);
	assert_int_equal(fake_inb(&f, 0x64) & 0x61, 0);
	assert_int_equal(f.m.end, TT_END_NONE);
	fake_machine_destroy(&f);
}

static void test_i8042_reset(void **state)
{
	struct fake_machine f;

	(void)state;
	fake_machine_create(&f, 1, 0);
	fake_outb(&f, 0x64, 0xff); /* pulses nothing */
	assert_int_equal(f.m.end, TT_END_NONE);
	fake_outb(&f, 0x64, 0xfe);
	assert_int_equal(f.m.end, TT_END_RESET);
	fake_machine_destroy(&f);
	fake_machine_create(&f, 1, 0);
	fake_outb(&f, 0x64, 0xd1);
	fake_outb(&f, 0x60, 0xdf); /* opens A20, as old boot loaders do */
	assert_int_equal(f.m.end, TT_END_NONE);
	fake_outb(&f, 0x64, 0xd1);
	fake_outb(&f, 0x60, 0xde);
	assert_int_equal(f.m.end, TT_END_RESET);
	fake_machine_destroy(&f);
}

/* ------------------------------------------------------------------ PCI */

static void test_host_bridge(void **state)
{
	struct fake_machine f;

	(void)state;
	fake_machine_create(&f, 1, 0);
	fake_outl(&f, 0xcf8, 0x80000000);
	assert_int_equal(fake_inl(&f, 0xcf8), 0x80000000);
	assert_int_equal(fake_inl(&f, 0xcfc), 0x00081b36);
	assert_int_equal(fake_inw(&f, 0xcfe), 0x0008);
	fake_outl(&f, 0xcf8, 0x80000008);
	assert_int_equal(fake_inw(&f, 0xcfe), 0x0600);
	fake_outl(&f, 0xcf8, 0x8000000c);
	assert_int_equal(fake_inb(&f, 0xcfe), 0x00); /* header type */
	fake_outl(&f, 0xcf8, 0x80000010);
	fake_outl(&f, 0xcfc, 0xffffffff);
	assert_int_equal(fake_inl(&f, 0xcfc), 0); /* no BAR */
	fake_outl(&f, 0xcf8, 0x80000000);
	fake_outl(&f, 0xcfc, 0);
	assert_int_equal(fake_inl(&f, 0xcfc), 0x00081b36); /* read-only */
	fake_machine_destroy(&f);
}

static void test_absent_functions(void **state)
{
	static const uint32_t addresses[] = {
		0x8000f800, 0x80000100, 0x80010000, 0x80ff0000, 0x00000000,
	};
	struct fake_machine f;
	unsigned int i;

	(void)state;
	fake_machine_create(&f, 1, 0);
	for (i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		fake_outl(&f, 0xcf8, addresses[i]);
		fake_outl(&f, 0xcfc, 0);
		assert_int_equal(fake_inl(&f, 0xcfc), 0xffffffff);
	}
	fake_outb(&f, 0xcf9, 6); /* somebody else's reset port */
	assert_int_equal(fake_inl(&f, 0xcf8), 0);
	assert_int_equal(f.m.end, TT_END_NONE);
	fake_machine_destroy(&f);
}

struct card {
	uint8_t config[TT_PCI_CONFIG_SIZE];
	uint8_t writable[TT_PCI_CONFIG_SIZE];
	unsigned int offset, len;
};

static void card_written(void *ctx, unsigned int offset, unsigned int len)
{
	struct card *card = ctx;

	card->offset = offset;
	card->len = len;
}

static void test_adding_a_function(void **state)
{
	struct fake_machine f;
	/* A BAR of 4 KiB. */
	struct card card = { .config = { 0xf4, 0x1a }, .writable = { [0x11] = 0xf0, 0xff, 0xff } };
	struct tt_pci_function function = {
		.devfn = TT_PCI_DEVFN(3, 0),
		.config = card.config,
		.writable = card.writable,
		.written = card_written,
		.ctx = &card,
	};
	struct tt_pci_function again = function;

	(void)state;
	fake_machine_create(&f, 1, 0);
	assert_int_equal(tt_pci_add(&f.m, &function), 0);
	assert_int_equal(tt_pci_add(&f.m, &again), -EEXIST);
	fake_outl(&f, 0xcf8, 0x80001800);
	assert_int_equal(fake_inw(&f, 0xcfc), 0x1af4);
	fake_outl(&f, 0xcf8, 0x80001810);
	fake_outl(&f, 0xcfc, 0xffffffff);
	assert_int_equal(fake_inl(&f, 0xcfc), 0xfffff000);
	assert_int_equal(card.offset, 0x10);
	assert_int_equal(card.len, 4);
	fake_outb(&f, 0xcff, 0xc0);
	assert_int_equal(card.offset, 0x13);
	assert_int_equal(fake_inl(&f, 0xcfc), 0xc0fff000);
	fake_machine_destroy(&f);

	fake_machine_create_bare(&f, 1);
	assert_int_equal(tt_pci_add(&f.m, &function), -ENODEV);
	fake_machine_destroy(&f);
}

/* ------------------------------------------------------------------ debug exit */

static void test_debug_exit(void **state)
{
	struct fake_machine f;

	(void)state;
	fake_machine_create(&f, 1, 0);
	assert_int_equal(fake_inb(&f, TT_PORT_DEBUG_EXIT), 0xff);
	fake_outb(&f, TT_PORT_DEBUG_EXIT + 1, 9);
	assert_int_equal(f.m.end, TT_END_NONE);
	fake_outl(&f, TT_PORT_DEBUG_EXIT, 42);
	assert_int_equal(f.m.end, TT_END_STATUS);
	assert_int_equal(f.m.end_status, 42);
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pm_timer),
		cmocka_unit_test(test_pm_timer_carry),
		cmocka_unit_test(test_poweroff),
		cmocka_unit_test(test_reset_register),
		cmocka_unit_test(test_i8042_is_there_and_empty),
		cmocka_unit_test(test_i8042_reset),
		cmocka_unit_test(test_host_bridge),
		cmocka_unit_test(test_absent_functions),
		cmocka_unit_test(test_adding_a_function),
		cmocka_unit_test(test_debug_exit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
