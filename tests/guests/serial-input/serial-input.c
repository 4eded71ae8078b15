// SPDX-License-Identifier: GPL-2.0
/*
 * serial-input - echoes what comes in on the console, by interrupt and by polling, and folds in
 * when each byte came. Provokes input delivered at another position, split into other pieces, or
 * lost. Ends at Ctrl-D, at a line "quit", or when nothing has come for a while, so that it needs no
 * input.
 */
#include "guest.h"

#define COM1		0x3f8
#define LSR_READY	1
#define LSR_THR_EMPTY	0x20
#define IER_RECEIVE	1
#define PATIENCE	1500	/* timer interrupts without input */

GUEST("serial-input");

static volatile bool done;
static volatile uint64_t received, last_input, loops;
static char line[8];
static unsigned int line_len;

static void take(uint8_t byte)
{
	received++;
	last_input = ticks;
	fold_irq(byte);
	fold_irq(loops);
	fold_irq(rdtsc());
	while (!(inb(COM1 + 5) & LSR_THR_EMPTY))
		;
	outb(COM1, byte);
	if (byte == 4) {
		done = true;
	} else if (byte == '\n' || byte == '\r') {
		if (line_len == 4 && __builtin_memcmp(line, "quit", 4) == 0)
			done = true;
		line_len = 0;
	} else {
		if (line_len < sizeof(line))
			line[line_len] = byte;
		line_len++;
	}
}

static void drain(void)
{
	while (inb(COM1 + 5) & LSR_READY)
		take(inb(COM1));
}

static void serial_interrupt(struct frame *f)
{
	fold_irq(f->rip);
	drain();
	lapic_write(LAPIC_EOI, 0);
}

static void lose_patience(struct frame *f)
{
	(void)f;
	if (ticks - last_input > PATIENCE)
		done = true;
}

void guest_main(void)
{
	tick_hook = lose_patience;
	set_handler(VECTOR_SERIAL, serial_interrupt);
	ioapic_route(4, VECTOR_SERIAL);
	outb(COM1 + 1, IER_RECEIVE);
	timer_periodic(PERIOD_SLOW, UINT64_MAX);
	while (!done) {
		uint64_t n;

		sti_hlt();
		/* Busy for a while, so that input also comes to a running CPU. */
		for (n = 0; n < 2000 && !done; n++)
			loops++;
		if (loops % 16384 < 2000) {
			cli();
			drain();
			sti();
		}
	}
	cli();
	timer_stop();
	outb(COM1 + 1, 0);
	fold(received);
	fold(loops);
}
