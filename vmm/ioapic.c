// SPDX-License-Identifier: GPL-2.0
/*
 * ioapic.c - the I/O APIC (82093AA) at 0xfec00000: 24 pins, each with a redirection entry that
 * turns it into a message.
 *
 * Version 0x11: there is no EOI register; the LAPICs broadcast the EOI of level-triggered vectors.
 */
#include <stdlib.h>

#include "devices.h"
#include "irqchip.h"

#define REG_SELECT 0x00
#define REG_WINDOW 0x10

#define INDEX_ID	  0x00
#define INDEX_VERSION	  0x01
#define INDEX_ARBITRATION 0x02
#define INDEX_REDIRECTION 0x10

#define VERSION 0x11

#define ENTRY_LOGICAL	 (1ull << 11)
#define ENTRY_STATUS	 (1ull << 12)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_LEVEL	 (1ull << 15)
#define ENTRY_MASKED	 (1ull << 16)
#define ENTRY_WRITABLE	 0xff0000000001afffull

struct ioapic_state {
	uint64_t redirection[TT_NR_GSI];
	uint32_t lines;
	uint8_t id;
	uint8_t select;
	uint8_t reserved[2];
};

_Static_assert(sizeof(struct ioapic_state) == TT_NR_GSI * 8 + 8, "digest: no padding");

struct tt_ioapic {
	struct tt_device dev;
	struct ioapic_state state;
	struct tt_machine *machine;
};

static struct tt_irq_message entry_message(uint64_t entry)
{
	return (struct tt_irq_message){
		.destination = entry >> 56,
		.vector = entry & 0xff,
		.mode = entry >> 8 & 7,
		.logical = entry & ENTRY_LOGICAL,
		.level = entry & ENTRY_LEVEL,
	};
}

/* Send the message of a pin. */
static void ioapic_send(struct tt_ioapic *ioapic, unsigned int pin)
{
	uint64_t *entry = &ioapic->state.redirection[pin];
	struct tt_irq_message message = entry_message(*entry);

	if (tt_lapics_deliver(ioapic->machine, &message) && message.level)
		*entry |= ENTRY_REMOTE_IRR;
}

bool tt_ioapic_waits(const struct tt_ioapic *ioapic, unsigned int pin)
{
	uint64_t entry = ioapic->state.redirection[pin];
	struct tt_irq_message message = entry_message(entry);

	return !(entry & ENTRY_MASKED) && message.mode <= TT_DELIVERY_LOWEST &&
	       tt_lapics_wait(ioapic->machine, &message);
}

/*
 * Send the message of a level-triggered pin if its line is high and the last one has been dealt
 * with.
 */
static void ioapic_service_level(struct tt_ioapic *ioapic, unsigned int pin)
{
	uint64_t entry = ioapic->state.redirection[pin];

	if ((ioapic->state.lines & 1u << pin) && (entry & ENTRY_LEVEL) &&
	    !(entry & (ENTRY_MASKED | ENTRY_REMOTE_IRR)))
		ioapic_send(ioapic, pin);
}

void tt_ioapic_set(struct tt_ioapic *ioapic, unsigned int pin, bool level)
{
	uint32_t bit = 1u << pin;
	bool rises = level && !(ioapic->state.lines & bit);
	uint64_t entry = ioapic->state.redirection[pin];

	if (level)
		ioapic->state.lines |= bit;
	else
		ioapic->state.lines &= ~bit;
	if (!rises)
		return;
	if (entry & ENTRY_LEVEL)
		ioapic_service_level(ioapic, pin);
	else if (!(entry & ENTRY_MASKED)) /* edges on a masked pin are lost */
		ioapic_send(ioapic, pin);
}

void tt_ioapic_eoi(struct tt_ioapic *ioapic, uint8_t vector)
{
	unsigned int pin;

	for (pin = 0; pin < TT_NR_GSI; pin++) {
		uint64_t *entry = &ioapic->state.redirection[pin];

		if ((*entry & 0xff) != vector || !(*entry & ENTRY_REMOTE_IRR))
			continue;
		*entry &= ~ENTRY_REMOTE_IRR;
		ioapic_service_level(ioapic, pin);
	}
}

static uint32_t ioapic_read_register(const struct tt_ioapic *ioapic)
{
	const struct ioapic_state *s = &ioapic->state;
	unsigned int half = s->select - INDEX_REDIRECTION;

	switch (s->select) {
	case INDEX_ID:
	case INDEX_ARBITRATION:
		return (uint32_t)s->id << 24;
	case INDEX_VERSION:
		return VERSION | (TT_NR_GSI - 1) << 16;
	default:
		if (s->select < INDEX_REDIRECTION || half / 2 >= TT_NR_GSI)
			return 0;
		return s->redirection[half / 2] >> (half & 1 ? 32 : 0);
	}
}

static void ioapic_write_register(struct tt_ioapic *ioapic, uint32_t value)
{
	struct ioapic_state *s = &ioapic->state;
	unsigned int half = s->select - INDEX_REDIRECTION;
	unsigned int shift = half & 1 ? 32 : 0;
	uint64_t *entry, writable;

	if (s->select == INDEX_ID) {
		s->id = value >> 24 & 0xf;
		return;
	}
	if (s->select < INDEX_REDIRECTION || half / 2 >= TT_NR_GSI)
		return;
	entry = &s->redirection[half / 2];
	writable = ENTRY_WRITABLE & 0xffffffffull << shift;
	*entry = (*entry & ~writable) | ((uint64_t)value << shift & writable);
	if (!(*entry & ENTRY_LEVEL))
		*entry &= ~ENTRY_REMOTE_IRR;
	ioapic_service_level(ioapic, half / 2);
}

static void ioapic_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct tt_ioapic *ioapic = ctx;
	uint64_t value = 0;

	switch (addr & 0xff) {
	case REG_SELECT:
		value = ioapic->state.select;
		break;
	case REG_WINDOW:
		value = ioapic_read_register(ioapic);
		break;
	}
	tt_io_put(data, len, value);
}

static void ioapic_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct tt_ioapic *ioapic = ctx;
	uint32_t value = tt_io_get(data, len);

	switch (addr & 0xff) {
	case REG_SELECT:
		ioapic->state.select = value;
		break;
	case REG_WINDOW:
		ioapic_write_register(ioapic, value);
		break;
	}
}

static void ioapic_reset(struct tt_device *dev)
{
	struct tt_ioapic *ioapic = (struct tt_ioapic *)dev;
	unsigned int pin;

	for (pin = 0; pin < TT_NR_GSI; pin++)
		ioapic->state.redirection[pin] = ENTRY_MASKED;
	ioapic->state.select = 0;
	ioapic->state.id = 0;
}

static void ioapic_destroy(struct tt_device *dev)
{
	free(dev);
}

int tt_ioapic_create(struct tt_machine *m, struct tt_error *err)
{
	struct tt_irqchip *irqchip = m->irqchip;
	struct tt_ioapic *ioapic = calloc(1, sizeof(*ioapic));
	int ret;

	if (!ioapic)
		return tt_fail(err, -ENOMEM, "out of memory");
	ioapic->machine = m;
	ioapic->dev = (struct tt_device){
		.name = "ioapic",
		.state = &ioapic->state,
		.state_size = sizeof(ioapic->state),
		.reset = ioapic_reset,
		.destroy = ioapic_destroy,
	};
	tt_device_add(m, &ioapic->dev);
	irqchip->ioapic = ioapic;
	ioapic_reset(&ioapic->dev);
	ret = tt_bus_add_mmio(m, TT_IOAPIC_BASE, 0x1000, ioapic_read, ioapic_write, ioapic);
	return ret ? tt_fail(err, ret, "ioapic: its address range is taken") : 0;
}
