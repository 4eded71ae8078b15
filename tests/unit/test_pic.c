// SPDX-License-Identifier: GPL-2.0
/*
 * test_pic.c - the 8259 pair behind the virtual wire: priorities, cascade, end of interrupt, level
 * triggering.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "fake-machine.h"

static void create(struct fake_machine *f)
{
	fake_machine_create(f, 1, 0);
	fake_pic_init(f, 0x30);
}

static uint8_t in_service(struct fake_machine *f, uint16_t port)
{
	fake_outb(f, port, 0x0b);
	return fake_inb(f, port);
}

static uint8_t requests(struct fake_machine *f, uint16_t port)
{
	fake_outb(f, port, 0x0a);
	return fake_inb(f, port);
}

static void test_masked_after_reset(void **state)
{
	struct fake_machine f;

	(void)state;
	fake_machine_create(&f, 1, 0);
	tt_irq_pulse(&f.m, 4);
	assert_int_equal(tt_irq_pending(&f.m.vcpus[0]), -1);
	assert_int_equal(fake_inb(&f, 0x21), 0xff);
	fake_machine_destroy(&f);
}

static void test_edge_is_latched_once(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	tt_irq_set(&f.m, 4, true);
	assert_int_equal(tt_irq_pending(&f.m.vcpus[0]), 0x34);
	assert_int_equal(tt_irq_pending(&f.m.vcpus[0]), 0x34); /* looking changes nothing */
	assert_int_equal(fake_take_interrupt(&f), 0x34);
	assert_int_equal(in_service(&f, 0x20), 0x10);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_outb(&f, 0x20, 0x20);
	assert_int_equal(in_service(&f, 0x20), 0);
	assert_int_equal(fake_take_interrupt(&f), -1); /* still high: no new edge */
	tt_irq_set(&f.m, 4, false);
	tt_irq_set(&f.m, 4, true);
	assert_int_equal(fake_take_interrupt(&f), 0x34);
	fake_machine_destroy(&f);
}

static void test_priority_and_nesting(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	tt_irq_pulse(&f.m, 5);
	tt_irq_pulse(&f.m, 3);
	assert_int_equal(fake_take_interrupt(&f), 0x33);
	assert_int_equal(fake_take_interrupt(&f), -1); /* 5 waits for 3 */
	tt_irq_pulse(&f.m, 1);
	assert_int_equal(fake_take_interrupt(&f), 0x31);
	assert_int_equal(in_service(&f, 0x20), 0x0a);
	fake_outb(&f, 0x20, 0x20); /* ends 1 */
	assert_int_equal(in_service(&f, 0x20), 0x08);
	fake_outb(&f, 0x20, 0x63); /* specific: ends 3 */
	assert_int_equal(fake_take_interrupt(&f), 0x35);
	fake_machine_destroy(&f);
}

static void test_mask_holds_back(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_outb(&f, 0x21, 0x10);
	tt_irq_pulse(&f.m, 4);
	assert_int_equal(fake_take_interrupt(&f), -1);
	assert_int_equal(requests(&f, 0x20), 0x10);
	fake_outb(&f, 0x21, 0);
	assert_int_equal(fake_take_interrupt(&f), 0x34);
	fake_machine_destroy(&f);
}

static void test_slave_comes_through_line_2(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	tt_irq_pulse(&f.m, 12);
	tt_irq_pulse(&f.m, 8);
	assert_int_equal(fake_take_interrupt(&f), 0x38);
	assert_int_equal(in_service(&f, 0x20), 0x04);
	assert_int_equal(in_service(&f, 0xa0), 0x01);
	tt_irq_pulse(&f.m, 3); /* less urgent than line 2 */
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_outb(&f, 0xa0, 0x20);
	fake_outb(&f, 0x20, 0x20);
	assert_int_equal(fake_take_interrupt(&f), 0x3c);
	fake_outb(&f, 0xa0, 0x20);
	fake_outb(&f, 0x20, 0x20);
	assert_int_equal(fake_take_interrupt(&f), 0x33);
	fake_machine_destroy(&f);
}

static void test_level_triggered_line(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_outb(&f, 0x4d1, 0xff);
	assert_int_equal(fake_inb(&f, 0x4d1), 0xde); /* 8 and 13 are always edges */
	fake_outb(&f, 0x4d0, 0xff);
	assert_int_equal(fake_inw(&f, 0x4d0), 0xdef8);
	tt_irq_set(&f.m, 9, true);
	assert_int_equal(fake_take_interrupt(&f), 0x39);
	fake_outb(&f, 0xa0, 0x20);
	fake_outb(&f, 0x20, 0x20);
	assert_int_equal(fake_take_interrupt(&f), 0x39); /* still high: again */
	tt_irq_set(&f.m, 9, false);
	fake_outb(&f, 0xa0, 0x20);
	fake_outb(&f, 0x20, 0x20);
	assert_int_equal(fake_take_interrupt(&f), -1);
	tt_irq_set(&f.m, 9, true); /* goes away before it is taken: nothing is left */
	tt_irq_set(&f.m, 9, false);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_machine_destroy(&f);
}

static void test_auto_eoi_and_rotation(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_outb(&f, 0x20, 0x11);
	fake_outb(&f, 0x21, 0x30);
	fake_outb(&f, 0x21, 0x04);
	fake_outb(&f, 0x21, 0x03); /* automatic EOI */
	tt_irq_pulse(&f.m, 5);
	assert_int_equal(fake_take_interrupt(&f), 0x35);
	assert_int_equal(in_service(&f, 0x20), 0);
	fake_outb(&f, 0x20, 0x80); /* rotate on it */
	tt_irq_pulse(&f.m, 5);
	assert_int_equal(fake_take_interrupt(&f), 0x35);
	tt_irq_pulse(&f.m, 5);
	tt_irq_pulse(&f.m, 6); /* now the most urgent */
	assert_int_equal(fake_take_interrupt(&f), 0x36);
	fake_outb(&f, 0x20, 0xc7); /* set priority: 7 is lowest again */
	tt_irq_pulse(&f.m, 0);
	assert_int_equal(fake_take_interrupt(&f), 0x30);
	fake_machine_destroy(&f);
}

static void test_poll_acknowledges(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_outb(&f, 0x20, 0x0c);
	assert_int_equal(fake_inb(&f, 0x20), 0);
	tt_irq_pulse(&f.m, 6);
	fake_outb(&f, 0x20, 0x0c);
	assert_int_equal(fake_inb(&f, 0x20), 0x86);
	assert_int_equal(in_service(&f, 0x20), 0x40);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_machine_destroy(&f);
}

static void test_special_mask_mode(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	tt_irq_pulse(&f.m, 1);
	assert_int_equal(fake_take_interrupt(&f), 0x31);
	tt_irq_pulse(&f.m, 6);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_outb(&f, 0x21, 0x02);
	fake_outb(&f, 0x20, 0x68);
	assert_int_equal(fake_take_interrupt(&f), 0x36);
	fake_machine_destroy(&f);
}

static void test_virtual_wire_can_be_cut(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_lapic_write(&f, 0xf0, 0x1ff);
	fake_lapic_write(&f, 0x350, 0x10700);
	tt_irq_pulse(&f.m, 4);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_lapic_write(&f, 0x350, 0x700);
	assert_int_equal(fake_take_interrupt(&f), 0x34);
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_masked_after_reset),
		cmocka_unit_test(test_edge_is_latched_once),
		cmocka_unit_test(test_priority_and_nesting),
		cmocka_unit_test(test_mask_holds_back),
		cmocka_unit_test(test_slave_comes_through_line_2),
		cmocka_unit_test(test_level_triggered_line),
		cmocka_unit_test(test_auto_eoi_and_rotation),
		cmocka_unit_test(test_poll_acknowledges),
		cmocka_unit_test(test_special_mask_mode),
		cmocka_unit_test(test_virtual_wire_can_be_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
