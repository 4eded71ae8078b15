// SPDX-License-Identifier: GPL-2.0
/*
 * runtime.c - start, checksum, console, exceptions, end.
 */
#include "guest.h"

#define COM1		0x3f8
#define COM1_IER	(COM1 + 1)
#define COM1_FCR	(COM1 + 2)
#define COM1_LCR	(COM1 + 3)
#define COM1_MCR	(COM1 + 4)
#define COM1_LSR	(COM1 + 5)
#define LSR_THR_EMPTY	0x20
#define DEBUG_EXIT	0xf4

#define GATE_INTERRUPT	0x8e

struct gate {
	uint16_t offset_low;
	uint16_t selector;
	uint8_t ist;
	uint8_t type;
	uint16_t offset_middle;
	uint32_t offset_high;
	uint32_t reserved;
};

extern const uint8_t vector_entries[];

static struct gate idt[256];
static handler_fn handlers[256];
static uint64_t sum = 0x243f6a8885a308d3ull, irq_sum = 0x13198a2e03707344ull;

void fold(uint64_t value)
{
	sum = mix(sum, value);
}

void fold_irq(uint64_t value)
{
	irq_sum = mix(irq_sum, value);
}

void fold_bytes(const void *data, size_t len)
{
	const uint8_t *bytes = data;
	uint64_t word;
	size_t i, j;

	for (i = 0; i < len; i += 8) {
		word = 0;
		for (j = 0; j < 8 && i + j < len; j++)
			word |= (uint64_t)bytes[i + j] << 8 * j;
		fold(word);
	}
}

uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

void print(const char *text)
{
	for (; *text; text++) {
		while (!(inb(COM1_LSR) & LSR_THR_EMPTY))
			;
		outb(COM1, *text);
	}
}

void print_hex(uint64_t value)
{
	char digits[17];
	int i;

	for (i = 15; i >= 0; i--, value >>= 4)
		digits[i] = "0123456789abcdef"[value & 15];
	digits[16] = 0;
	print(digits);
}

void print_number(uint64_t value)
{
	char digits[21];
	int i = 20;

	digits[20] = 0;
	do {
		digits[--i] = '0' + value % 10;
		value /= 10;
	} while (value);
	print(digits + i);
}

static _Noreturn void end(uint8_t status)
{
	outb(DEBUG_EXIT, status);
	for (;;)
		asm volatile("cli; hlt");
}

void guest_end(uint8_t status)
{
	cli();
	if (status == 0) {
		print(guest_name);
		print(": checksum ");
		print_hex(mix(sum, irq_sum));
		print(" ticks ");
		print_number(ticks);
		print("\n");
	}
	end(status);
}

void guest_fail(const char *what, uint64_t value)
{
	cli();
	print(guest_name);
	print(": FAILED: ");
	print(what);
	print(" ");
	print_hex(value);
	print("\n");
	end(1);
}

static _Noreturn void unexpected(const struct frame *f)
{
	print(guest_name);
	print(": FAILED: unexpected vector ");
	print_number(f->vector);
	print(" error ");
	print_hex(f->error);
	print(" rip ");
	print_hex(f->rip);
	print(" cr2 ");
	print_hex(read_cr2());
	print("\n");
	end(2);
}

void guest_interrupt(struct frame *f)
{
	handler_fn handler = handlers[f->vector & 0xff];

	if (!handler)
		unexpected(f);
	handler(f);
}

void set_handler(uint8_t vector, handler_fn handler)
{
	handlers[vector] = handler;
}

static void ignore(struct frame *f)
{
	(void)f; /* spurious: no EOI */
}

static void idt_create(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uintptr_t)idt };
	unsigned int i;

	for (i = 0; i < 256; i++) {
		uint64_t entry = (uintptr_t)vector_entries + 16 * i;

		idt[i] = (struct gate){
			.offset_low = entry,
			.offset_middle = entry >> 16,
			.offset_high = entry >> 32,
			.selector = 8,
			.ist = i == VECTOR_DF,
			.type = GATE_INTERRUPT,
		};
	}
	asm volatile("lidt %0" : : "m"(pointer));
}

static void serial_create(void)
{
	outb(COM1_IER, 0);
	outb(COM1_LCR, 0x80);
	outb(COM1, 1); /* 115200 baud */
	outb(COM1 + 1, 0);
	outb(COM1_LCR, 3);
	outb(COM1_FCR, 1);
	outb(COM1_MCR, 0x0b);
}

void lapic_create(void);

void guest_start(void)
{
	idt_create();
	serial_create();
	set_handler(VECTOR_SPURIOUS, ignore);
	set_handler(VECTOR_TIMER, timer_tick);
	lapic_create();
	guest_main();
	guest_end(0);
}
