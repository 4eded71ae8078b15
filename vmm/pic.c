// SPDX-License-Identifier: GPL-2.0
/*
 * pic.c - the pair of 8259A interrupt controllers at 0x20 and 0xa0, with the edge/level registers
 * at 0x4d0.
 *
 * The slave's output is line 2 of the master. Priorities are numbered 0 (highest) to 7, counted
 * from the line after the one that `lowest` names. Intel 8259A data sheet, 231468-003.
 */
#include <stdlib.h>

#include "devices.h"
#include "irqchip.h"

#define CASCADE_LINE  2
#define SPURIOUS_LINE 7

struct pic_chip {
	uint8_t irr; /* requests; level-triggered lines appear here as long as they are high */
	uint8_t isr;
	uint8_t imr;
	uint8_t lines;
	uint8_t elcr;	   /* 1: level triggered */
	uint8_t base;	   /* vector of line 0 */
	uint8_t lowest;	   /* line of lowest priority */
	uint8_t init_step; /* next initialisation word 2..4, 0 when none is expected */
	uint8_t wants_icw4;
	uint8_t single;
	uint8_t auto_eoi;
	uint8_t rotate_on_auto_eoi;
	uint8_t special_mask;
	uint8_t special_nested;
	uint8_t read_isr;
	uint8_t poll;
};

struct pic_state {
	struct pic_chip chips[2]; /* master, slave */
};

_Static_assert(sizeof(struct pic_state) == 32, "digest: no padding");

struct tt_pic {
	struct tt_device dev;
	struct pic_state state;
	struct tt_machine *machine;
};

static const uint8_t elcr_writable[2] = { 0xf8, 0xde };

/* Priority of the most urgent line in mask, 8 when there is none. */
static unsigned int highest_priority(const struct pic_chip *chip, uint8_t mask)
{
	unsigned int shift = (chip->lowest + 1) & 7;
	unsigned int rotated = (mask | mask << 8) >> shift & 0xff;

	return rotated ? (unsigned int)__builtin_ctz(rotated) : 8;
}

static unsigned int line_of_priority(const struct pic_chip *chip, unsigned int priority)
{
	return (priority + chip->lowest + 1) & 7;
}

/* The line that this chip requests an interrupt for now, or -1. */
static int chip_request(const struct pic_chip *chip, bool master)
{
	unsigned int priority = highest_priority(chip, chip->irr & ~chip->imr);
	uint8_t in_service = chip->isr;

	if (priority == 8)
		return -1;
	if (chip->special_mask)
		in_service &= ~chip->imr;
	if (chip->special_nested && master)
		in_service &= ~(1 << CASCADE_LINE);
	if (priority >= highest_priority(chip, in_service))
		return -1;
	return line_of_priority(chip, priority);
}

static void set_line(struct pic_chip *chip, unsigned int line, bool level, bool level_triggered)
{
	uint8_t bit = 1 << line;

	if (level_triggered)
		chip->irr = level ? chip->irr | bit : chip->irr & ~bit;
	else if (level && !(chip->lines & bit))
		chip->irr |= bit;
	chip->lines = level ? chip->lines | bit : chip->lines & ~bit;
}

/* After any change: the slave's output, then the master's. */
static void pic_update(struct tt_pic *pic)
{
	struct tt_irqchip *irqchip = pic->machine->irqchip;
	struct pic_chip *master = &pic->state.chips[0], *slave = &pic->state.chips[1];
	bool intr;

	set_line(master, CASCADE_LINE, chip_request(slave, false) >= 0, true);
	intr = chip_request(master, true) >= 0;
	if (intr != irqchip->pic_intr) {
		irqchip->pic_intr = intr;
		tt_lapics_set_lint0(pic->machine, intr);
	}
}

void tt_pic_set(struct tt_pic *pic, unsigned int line, bool level)
{
	struct pic_chip *chip = &pic->state.chips[line / 8];

	if (line == CASCADE_LINE)
		return;
	set_line(chip, line % 8, level, chip->elcr & 1 << line % 8);
	pic_update(pic);
}

bool tt_pic_waits(const struct tt_pic *pic, unsigned int line)
{
	const struct pic_chip *chip = &pic->state.chips[line / 8];

	return chip->irr & ~chip->imr & 1 << line % 8;
}

static void chip_acknowledge(struct pic_chip *chip, unsigned int line)
{
	if (!chip->auto_eoi)
		chip->isr |= 1 << line;
	else if (chip->rotate_on_auto_eoi)
		chip->lowest = line;
	if (!(chip->elcr & 1 << line))
		chip->irr &= ~(1 << line);
}

uint8_t tt_pic_vector(const struct tt_pic *pic)
{
	const struct pic_chip *master = &pic->state.chips[0], *slave = &pic->state.chips[1];
	int line = chip_request(master, true);

	if (line == CASCADE_LINE) {
		line = chip_request(slave, false);
		return slave->base + (line < 0 ? SPURIOUS_LINE : line);
	}
	return master->base + (line < 0 ? SPURIOUS_LINE : line);
}

uint8_t tt_pic_acknowledge(struct tt_pic *pic)
{
	struct pic_chip *master = &pic->state.chips[0], *slave = &pic->state.chips[1];
	uint8_t vector = tt_pic_vector(pic);
	int line = chip_request(master, true);

	if (line == CASCADE_LINE) {
		int slave_line = chip_request(slave, false);

		if (slave_line >= 0)
			chip_acknowledge(slave, slave_line);
	}
	if (line >= 0)
		chip_acknowledge(master, line);
	pic_update(pic);
	return vector;
}

static void chip_init(struct pic_chip *chip, uint8_t icw1)
{
	uint8_t lines = chip->lines, elcr = chip->elcr, base = chip->base;

	memset(chip, 0, sizeof(*chip));
	chip->lines = lines;
	chip->elcr = elcr;
	chip->base = base;
	chip->irr = lines & elcr;
	chip->lowest = 7;
	chip->wants_icw4 = icw1 & 1;
	chip->single = icw1 >> 1 & 1;
	chip->init_step = 2;
}

static void chip_end_of_interrupt(struct pic_chip *chip, uint8_t ocw2)
{
	bool rotate = ocw2 & 0x80, specific = ocw2 & 0x40;
	unsigned int line = ocw2 & 7;

	if (!specific) {
		uint8_t in_service = chip->isr;
		unsigned int priority;

		if (chip->special_mask)
			in_service &= ~chip->imr;
		priority = highest_priority(chip, in_service);
		if (priority == 8)
			return;
		line = line_of_priority(chip, priority);
	}
	chip->isr &= ~(1 << line);
	if (rotate)
		chip->lowest = line;
}

static void chip_write_command(struct pic_chip *chip, uint8_t value)
{
	if (value & 0x10) {
		chip_init(chip, value);
	} else if (value & 0x08) {
		if (value & 0x04)
			chip->poll = 1;
		if (value & 0x02)
			chip->read_isr = value & 1;
		if (value & 0x40)
			chip->special_mask = value >> 5 & 1;
	} else if (value & 0x20) {
		chip_end_of_interrupt(chip, value);
	} else if ((value & 0xc0) == 0xc0) {
		chip->lowest = value & 7;
	} else if (!(value & 0x40)) {
		chip->rotate_on_auto_eoi = value >> 7;
	}
}

static void chip_write_data(struct pic_chip *chip, uint8_t value)
{
	switch (chip->init_step) {
	case 2:
		chip->base = value & 0xf8;
		chip->init_step = !chip->single ? 3 : chip->wants_icw4 ? 4 : 0;
		break;
	case 3: /* who is whose slave: known */
		chip->init_step = chip->wants_icw4 ? 4 : 0;
		break;
	case 4:
		chip->special_nested = value >> 4 & 1;
		chip->auto_eoi = value >> 1 & 1;
		chip->init_step = 0;
		break;
	default:
		chip->imr = value;
	}
}

static uint8_t chip_read(struct pic_chip *chip, bool data, bool master)
{
	int line;

	if (chip->poll) {
		chip->poll = 0;
		line = chip_request(chip, master);
		if (line < 0)
			return 0;
		chip_acknowledge(chip, line);
		return 0x80 | line;
	}
	if (data)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

static void pic_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct tt_pic *pic = ctx;
	uint8_t *bytes = data;
	unsigned int i;

	for (i = 0; i < len; i++) {
		unsigned int port = addr + i, nr = port >= 0xa0;

		bytes[i] = chip_read(&pic->state.chips[nr], port & 1, !nr);
	}
	pic_update(pic);
}

static void pic_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct tt_pic *pic = ctx;
	const uint8_t *bytes = data;
	unsigned int i;

	for (i = 0; i < len; i++) {
		unsigned int port = addr + i;
		struct pic_chip *chip = &pic->state.chips[port >= 0xa0];

		if (port & 1)
			chip_write_data(chip, bytes[i]);
		else
			chip_write_command(chip, bytes[i]);
	}
	pic_update(pic);
}

static void elcr_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct tt_pic *pic = ctx;
	uint8_t *bytes = data;
	unsigned int i;

	for (i = 0; i < len; i++)
		bytes[i] = pic->state.chips[(addr + i) & 1].elcr;
}

static void elcr_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct tt_pic *pic = ctx;
	const uint8_t *bytes = data;
	unsigned int i;

	for (i = 0; i < len; i++) {
		unsigned int nr = (addr + i) & 1;
		struct pic_chip *chip = &pic->state.chips[nr];

		chip->elcr = bytes[i] & elcr_writable[nr];
		chip->irr = (chip->irr & ~chip->elcr) | (chip->lines & chip->elcr);
	}
	pic_update(pic);
}

static void pic_reset(struct tt_device *dev)
{
	struct tt_pic *pic = (struct tt_pic *)dev;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		struct pic_chip *chip = &pic->state.chips[i];
		uint8_t lines = chip->lines;

		memset(chip, 0, sizeof(*chip));
		chip->lines = lines;
		chip->lowest = 7;
		chip->imr = 0xff;
	}
	pic_update(pic);
}

static void pic_restored(struct tt_device *dev)
{
	struct tt_pic *pic = (struct tt_pic *)dev;
	struct tt_irqchip *irqchip = pic->machine->irqchip;

	irqchip->pic_intr = chip_request(&pic->state.chips[0], true) >= 0;
}

static void pic_destroy(struct tt_device *dev)
{
	free(dev);
}

int tt_pic_create(struct tt_machine *m, struct tt_error *err)
{
	struct tt_irqchip *irqchip = m->irqchip;
	struct tt_pic *pic = calloc(1, sizeof(*pic));
	int ret;

	if (!pic)
		return tt_fail(err, -ENOMEM, "out of memory");
	pic->machine = m;
	pic->dev = (struct tt_device){
		.name = "pic",
		.state = &pic->state,
		.state_size = sizeof(pic->state),
		.reset = pic_reset,
		.restored = pic_restored,
		.destroy = pic_destroy,
	};
	tt_device_add(m, &pic->dev);
	irqchip->pic = pic;
	ret = tt_bus_add_pio(m, 0x20, 2, pic_read, pic_write, pic);
	if (!ret)
		ret = tt_bus_add_pio(m, 0xa0, 2, pic_read, pic_write, pic);
	if (!ret)
		ret = tt_bus_add_pio(m, 0x4d0, 2, elcr_read, elcr_write, pic);
	if (ret)
		return tt_fail(err, ret, "pic: its ports are taken");
	pic_reset(&pic->dev);
	return 0;
}
