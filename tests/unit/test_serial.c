// SPDX-License-Identifier: GPL-2.0
/*
 * test_serial.c - COM1: what drivers probe for, sending, receiving, interrupts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "fake-machine.h"

#define DATA 0x3f8
#define IER  0x3f9
#define FCR  0x3fa
#define IIR  0x3fa
#define LCR  0x3fb
#define MCR  0x3fc
#define LSR  0x3fd
#define MSR  0x3fe
#define SCR  0x3ff

static void create(struct fake_machine *f)
{
	fake_machine_create(f, 1, 0);
	fake_pic_init(f, 0x30);
}

/* What a seam does: take what there is room for, deliver it. */
static size_t pass_input(struct fake_machine *f)
{
	char data[64];
	size_t len = tt_input_take(&f->m, TT_INPUT_SERIAL0, data, sizeof(data));

	assert_int_equal(tt_input_deliver(&f->m, TT_INPUT_SERIAL0, data, len), 0);
	return len;
}

static void post(struct fake_machine *f, const char *text)
{
	assert_int_equal(tt_input_post(&f->m, TT_INPUT_SERIAL0, text, strlen(text)), 0);
}

static void test_probe_as_16550a(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	/* Linux, autoconfig(): IER holds four bits, the scratch register anything. */
	fake_outb(&f, IER, 0);
	assert_int_equal(fake_inb(&f, IER), 0);
	fake_outb(&f, IER, 0xff);
	assert_int_equal(fake_inb(&f, IER), 0x0f);
	fake_outb(&f, IER, 0);
	fake_outb(&f, SCR, 0xa5);
	assert_int_equal(fake_inb(&f, SCR), 0xa5);
	/* Loopback: MCR appears in MSR. */
	fake_outb(&f, MCR, 0x1a);
	assert_int_equal(fake_inb(&f, MSR) & 0xf0, 0x90);
	fake_outb(&f, MCR, 0x08);
	assert_int_equal(fake_inb(&f, MSR) & 0xf0, 0xb0);
	/* FIFOs: off, then on. */
	fake_outb(&f, FCR, 0);
	assert_int_equal(fake_inb(&f, IIR), 0x01);
	fake_outb(&f, FCR, 0x01);
	assert_int_equal(fake_inb(&f, IIR), 0xc1);
	/* Divisor latch. */
	fake_outb(&f, LCR, 0x83);
	fake_outb(&f, DATA, 1);
	fake_outb(&f, IER, 2);
	assert_int_equal(fake_inb(&f, DATA), 1);
	assert_int_equal(fake_inb(&f, IER), 2);
	fake_outb(&f, LCR, 0x03);
	assert_int_equal(fake_inb(&f, IER), 0);
	assert_int_equal(fake_inb(&f, LCR), 0x03);
	assert_int_equal(f.console_len, 0);
	fake_machine_destroy(&f);
}

static void test_sending(void **state)
{
	static const char text[] = "Linux version 6.12";
	struct fake_machine f;
	unsigned int i;

	(void)state;
	create(&f);
	for (i = 0; i < sizeof(text) - 1; i++) {
		assert_int_equal(fake_inb(&f, LSR), 0x60);
		fake_outb(&f, DATA, text[i]);
	}
	assert_int_equal(f.console_len, sizeof(text) - 1);
	assert_memory_equal(f.console, text, sizeof(text) - 1);
	fake_machine_destroy(&f);
}

static void test_transmitter_empty_interrupt(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_outb(&f, FCR, 0x01);
	fake_outb(&f, MCR, 0x0b);
	fake_outb(&f, IER, 0x02); /* raises it at once: the transmitter is empty */
	assert_int_equal(fake_take_interrupt(&f), 0x34);
	assert_int_equal(fake_inb(&f, IIR), 0xc2);
	assert_int_equal(fake_inb(&f, IIR), 0xc1); /* reading it was enough */
	fake_outb(&f, 0x20, 0x20);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_outb(&f, DATA, 'x');
	assert_int_equal(fake_take_interrupt(&f), 0x34);
	fake_outb(&f, IER, 0x00); /* Linux's stop_tx */
	assert_int_equal(fake_inb(&f, IIR), 0xc1);
	fake_outb(&f, 0x20, 0x20);
	fake_outb(&f, IER, 0x02);
	assert_int_equal(fake_take_interrupt(&f), 0x34);
	fake_machine_destroy(&f);
}

static void test_out2_connects_the_interrupt(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_outb(&f, MCR, 0x03);
	fake_outb(&f, IER, 0x02);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_outb(&f, MCR, 0x0b);
	assert_int_equal(fake_take_interrupt(&f), 0x34);
	fake_machine_destroy(&f);
}

static void test_input_waits_for_a_listener(void **state)
{
	struct fake_machine f;
	unsigned int i;

	(void)state;
	create(&f);
	post(&f, "hello\n");
	assert_int_equal(pass_input(&f), 0);
	for (i = 0; i < 100; i++) { /* a driver that sends: looks at LSR once or twice per byte */
		fake_inb(&f, LSR);
		fake_inb(&f, LSR);
		fake_outb(&f, DATA, 'x');
	}
	assert_int_equal(pass_input(&f), 0);
	fake_outb(&f, IER, 0x0f); /* a driver that probes */
	assert_int_equal(pass_input(&f), 0);
	fake_outb(&f, FCR, 0x01);
	fake_outb(&f, MCR, 0x0b);
	fake_outb(&f, IER, 0x01);
	assert_int_equal(pass_input(&f), 6);
	fake_outb(&f, IER, 0x00); /* closed: the rest waits again */
	post(&f, "more");
	assert_int_equal(pass_input(&f), 0);
	fake_machine_destroy(&f);
}

static void test_polling_guest_is_a_listener(void **state)
{
	struct fake_machine f;
	unsigned int polls = 0;

	(void)state;
	create(&f);
	post(&f, "ab");
	while (!(fake_inb(&f, LSR) & 1)) {
		pass_input(&f);
		assert_true(polls++ < 100);
	}
	assert_int_equal(fake_inb(&f, DATA), 'a');
	fake_machine_destroy(&f);
}

static void test_receive_interrupts(void **state)
{
	struct fake_machine f;
	unsigned int i;

	(void)state;
	create(&f);
	fake_outb(&f, FCR, 0x81); /* trigger at 8 */
	fake_outb(&f, MCR, 0x0b);
	fake_outb(&f, IER, 0x05);
	post(&f, "0123456789abcdefXYZ");
	assert_int_equal(pass_input(&f), 16);
	assert_int_equal(pass_input(&f), 0); /* full */
	assert_int_equal(fake_take_interrupt(&f), 0x34);
	assert_int_equal(fake_inb(&f, IIR), 0xc4);
	for (i = 0; i < 9; i++) {
		assert_int_equal(fake_inb(&f, LSR), 0x61);
		assert_int_equal(fake_inb(&f, DATA), "0123456789abcdef"[i]);
	}
	assert_int_equal(fake_inb(&f, IIR), 0xcc); /* fewer than the trigger level: timeout */
	assert_int_equal(pass_input(&f), 3);
	for (; i < 16; i++)
		assert_int_equal(fake_inb(&f, DATA), "0123456789abcdef"[i]);
	assert_int_equal(fake_inb(&f, DATA), 'X');
	assert_int_equal(fake_inb(&f, DATA), 'Y');
	assert_int_equal(fake_inb(&f, DATA), 'Z');
	assert_int_equal(fake_inb(&f, IIR), 0xc1);
	assert_int_equal(fake_inb(&f, LSR), 0x60);
	assert_int_equal(fake_inb(&f, DATA), 0);
	fake_outb(&f, 0x20, 0x20);
	assert_int_equal(fake_take_interrupt(&f), -1);
	fake_machine_destroy(&f);
}

static void test_without_fifo_one_byte_at_a_time(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_outb(&f, MCR, 0x08);
	fake_outb(&f, IER, 0x01);
	post(&f, "ab");
	assert_int_equal(pass_input(&f), 1);
	assert_int_equal(fake_inb(&f, IIR), 0x04);
	assert_int_equal(pass_input(&f), 0);
	assert_int_equal(fake_inb(&f, DATA), 'a');
	assert_int_equal(pass_input(&f), 1);
	assert_int_equal(fake_inb(&f, DATA), 'b');
	fake_machine_destroy(&f);
}

/* Linux's order when it opens the port: interrupt first, FIFO afterwards. */
static void test_enabling_the_fifo_keeps_a_byte(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	post(&f, "ab");
	fake_outb(&f, MCR, 0x0b);
	fake_outb(&f, IER, 0x05);
	assert_int_equal(pass_input(&f), 1);
	fake_outb(&f, FCR, 0x81);
	assert_int_equal(pass_input(&f), 1);
	assert_int_equal(fake_inb(&f, DATA), 'a');
	fake_outb(&f, FCR, 0x00);
	assert_int_equal(fake_inb(&f, LSR), 0x60);
	fake_machine_destroy(&f);
}

static void test_loopback_and_overrun(void **state)
{
	struct fake_machine f;
	unsigned int i;

	(void)state;
	create(&f);
	fake_outb(&f, FCR, 0x07);
	fake_outb(&f, MCR, 0x1b);
	fake_outb(&f, IER, 0x04);
	for (i = 0; i < 17; i++)
		fake_outb(&f, DATA, i);
	assert_int_equal(f.console_len, 0);
	assert_int_equal(fake_inb(&f, IIR), 0xc6);
	assert_int_equal(fake_inb(&f, LSR), 0x63);
	assert_int_equal(fake_inb(&f, LSR), 0x61);
	for (i = 0; i < 16; i++)
		assert_int_equal(fake_inb(&f, DATA), i);
	fake_outb(&f, DATA, 'x');
	fake_outb(&f, FCR, 0x03); /* clears the receiver */
	assert_int_equal(fake_inb(&f, LSR), 0x60);
	fake_machine_destroy(&f);
}

static void test_modem_status_interrupt(void **state)
{
	struct fake_machine f;

	(void)state;
	create(&f);
	fake_inb(&f, MSR);
	fake_outb(&f, IER, 0x08);
	fake_outb(&f, MCR, 0x10); /* loopback with all lines off: three of them fall */
	assert_int_equal(fake_inb(&f, IIR), 0x00);
	assert_int_equal(fake_inb(&f, MSR), 0x0b);
	assert_int_equal(fake_inb(&f, MSR), 0x00);
	assert_int_equal(fake_inb(&f, IIR), 0x01);
	fake_machine_destroy(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probe_as_16550a),
		cmocka_unit_test(test_sending),
		cmocka_unit_test(test_transmitter_empty_interrupt),
		cmocka_unit_test(test_out2_connects_the_interrupt),
		cmocka_unit_test(test_input_waits_for_a_listener),
		cmocka_unit_test(test_polling_guest_is_a_listener),
		cmocka_unit_test(test_receive_interrupts),
		cmocka_unit_test(test_without_fifo_one_byte_at_a_time),
		cmocka_unit_test(test_enabling_the_fifo_keeps_a_byte),
		cmocka_unit_test(test_loopback_and_overrun),
		cmocka_unit_test(test_modem_status_interrupt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
