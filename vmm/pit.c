// SPDX-License-Identifier: GPL-2.0
/*
 * pit.c - the 8254 interval timer at 0x40 and the port 0x61 that gates and reads its channel 2.
 *
 * Counters do not run: their values follow from the virtual time at which they were loaded. Only
 * channel 0 has a timer, for interrupt 0. Intel 8254 data sheet, 231164-005.
 */
#include <stdlib.h>

#include "devices.h"
#include "irqchip.h"

#define PIT_HZ		1193182
#define NR_CHANNELS	3
#define SPEAKER_CHANNEL 2
/* Half a period of the DRAM refresh request that bit 4 of port 0x61 shows. */
#define REFRESH_NS 15085

#define PORT_COUNTER0 0x40
#define PORT_CONTROL  0x43
#define PORT_SPEAKER  0x61

enum { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };

struct pit_channel {
	uint64_t loaded; /* virtual time at which counting began */
	uint32_t reload; /* 1..0x10000; 0: never loaded */
	uint16_t latch;
	uint8_t latched; /* bytes of the latch that are still to be read */
	uint8_t status;
	uint8_t status_latched;
	uint8_t access;
	uint8_t mode;
	uint8_t bcd;
	uint8_t gate;
	uint8_t write_high; /* the next write is the high byte */
	uint8_t read_high;
	uint8_t write_low_byte;
	uint8_t null_count; /* mode is set, count is not */
	uint8_t reserved[5];
};

struct pit_state {
	struct tt_periodic timer;
	struct pit_channel channels[NR_CHANNELS];
	uint8_t speaker; /* bits 0 (gate 2) and 1 (data) of port 0x61 */
	uint8_t reserved[7];
};

_Static_assert(sizeof(struct pit_channel) == 32, "digest: no padding");
_Static_assert(sizeof(struct pit_state) == 24 + NR_CHANNELS * 32 + 8, "digest: no padding");

struct pit {
	struct tt_device dev;
	struct pit_state state;
	struct tt_machine *machine;
};

/* Input clocks since the channel was loaded. */
static uint64_t elapsed_clocks(const struct pit *pit, const struct pit_channel *ch, uint64_t now)
{
	return tt_scale(now - ch->loaded, PIT_HZ, pit->machine->config.tsc_hz);
}

static bool is_periodic(const struct pit_channel *ch)
{
	return ch->mode == 2 || ch->mode == 3;
}

static bool channel_output(const struct pit *pit, const struct pit_channel *ch, uint64_t now)
{
	uint64_t clocks;

	if (!ch->reload)
		return ch->mode != 0;
	clocks = elapsed_clocks(pit, ch, now);
	switch (ch->mode) {
	case 0:
	case 1:
		return clocks >= ch->reload;
	case 2:
		return !ch->gate || clocks % ch->reload != ch->reload - 1;
	case 3:
		return !ch->gate || clocks % ch->reload < (ch->reload + 1) / 2;
	default:
		return clocks != ch->reload;
	}
}

static uint16_t to_bcd(uint32_t value)
{
	return value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 | value / 1000 % 10 << 12;
}

static uint32_t from_bcd(uint16_t value)
{
	return (value & 0xf) + (value >> 4 & 0xf) * 10 + (value >> 8 & 0xf) * 100 +
	       (value >> 12) * 1000;
}

static uint16_t channel_count(const struct pit *pit, const struct pit_channel *ch, uint64_t now)
{
	uint64_t clocks;
	uint32_t count;

	if (!ch->reload)
		return 0;
	clocks = elapsed_clocks(pit, ch, now);
	switch (ch->mode) {
	case 2:
		count = ch->reload - clocks % ch->reload;
		break;
	case 3: /* counts by two, twice per period; even values only */
		count = (ch->reload - clocks * 2 % ch->reload) & ~1u;
		break;
	default: /* wraps and counts on */
		count = ch->reload - clocks % (ch->bcd ? 10000 : 0x10000);
		break;
	}
	return ch->bcd ? to_bcd((count + 10000) % 10000) : count;
}

/* Channel 0 was loaded or its mode set: when will interrupt 0 be raised? */
static void update_timer(struct pit *pit)
{
	const struct pit_channel *ch = &pit->state.channels[0];
	uint64_t hz = pit->machine->config.tsc_hz;

	if (!ch->reload || ch->mode == 1 || ch->mode == 5) { /* 1 and 5: gate 0 never rises */
		pit->state.timer.deadline = TT_TIME_NEVER;
	} else if (is_periodic(ch)) {
		tt_periodic_start(pit->machine, &pit->state.timer, ch->loaded, ch->reload * hz,
				  PIT_HZ);
	} else {
		pit->state.timer.deadline =
			tt_time_add(ch->loaded, tt_scale_up(ch->reload, hz, PIT_HZ));
	}
}

static void timer_fire(void *ctx, uint64_t now)
{
	struct pit *pit = ctx;
	const struct pit_channel *ch = &pit->state.channels[0];
	uint64_t period = ch->reload * pit->machine->config.tsc_hz;

	if (is_periodic(ch) && tt_irq_waits(pit->machine, 0)) {
		tt_periodic_postpone(pit->machine, &pit->state.timer, period, PIT_HZ, now);
		return;
	}
	if (is_periodic(ch))
		tt_periodic_advance(pit->machine, &pit->state.timer, period, PIT_HZ, now);
	else
		pit->state.timer.deadline = TT_TIME_NEVER;
	tt_irq_pulse(pit->machine, 0);
}

static void load_count(struct pit *pit, struct pit_channel *ch, uint16_t value)
{
	uint32_t count = ch->bcd ? from_bcd(value) : value;

	ch->reload = count ? count : ch->bcd ? 10000 : 0x10000;
	ch->loaded = tt_machine_now(pit->machine);
	ch->null_count = 0;
	if (ch == &pit->state.channels[0])
		update_timer(pit);
}

static void latch_count(struct pit *pit, struct pit_channel *ch)
{
	if (ch->latched)
		return;
	ch->latch = channel_count(pit, ch, tt_machine_now(pit->machine));
	ch->latched = ch->access == ACCESS_BOTH ? 3 : ch->access;
}

static void latch_status(struct pit *pit, struct pit_channel *ch)
{
	if (ch->status_latched)
		return;
	ch->status = channel_output(pit, ch, tt_machine_now(pit->machine)) << 7 |
		     ch->null_count << 6 | ch->access << 4 | ch->mode << 1 | ch->bcd;
	ch->status_latched = 1;
}

static void write_control(struct pit *pit, uint8_t value)
{
	struct pit_channel *ch;
	unsigned int i;

	if (value >> 6 == 3) { /* read-back; bits 4 and 5 are active low */
		for (i = 0; i < NR_CHANNELS; i++) {
			if (!(value & 2 << i))
				continue;
			if (!(value & 0x20))
				latch_count(pit, &pit->state.channels[i]);
			if (!(value & 0x10))
				latch_status(pit, &pit->state.channels[i]);
		}
		return;
	}
	ch = &pit->state.channels[value >> 6];
	if ((value >> 4 & 3) == ACCESS_LATCH) {
		latch_count(pit, ch);
		return;
	}
	ch->access = value >> 4 & 3;
	ch->mode = value >> 1 & 7;
	if (ch->mode > 5)
		ch->mode &= 3;
	ch->bcd = value & 1;
	ch->reload = 0;
	ch->latched = 0;
	ch->status_latched = 0;
	ch->write_high = 0;
	ch->read_high = 0;
	ch->null_count = 1;
	if (ch == &pit->state.channels[0])
		update_timer(pit);
}

static void write_counter(struct pit *pit, struct pit_channel *ch, uint8_t value)
{
	switch (ch->access) {
	case ACCESS_LOW:
		load_count(pit, ch, value);
		break;
	case ACCESS_HIGH:
		load_count(pit, ch, value << 8);
		break;
	default:
		if (ch->write_high)
			load_count(pit, ch, value << 8 | ch->write_low_byte);
		else
			ch->write_low_byte = value;
		ch->write_high ^= 1;
	}
}

static uint8_t read_counter(struct pit *pit, struct pit_channel *ch)
{
	uint16_t count;

	if (ch->status_latched) {
		ch->status_latched = 0;
		return ch->status;
	}
	if (ch->latched & 1) {
		ch->latched &= ~1;
		return ch->latch;
	}
	if (ch->latched) {
		ch->latched = 0;
		return ch->latch >> 8;
	}
	count = channel_count(pit, ch, tt_machine_now(pit->machine));
	switch (ch->access) {
	case ACCESS_LOW:
		return count;
	case ACCESS_HIGH:
		return count >> 8;
	default:
		ch->read_high ^= 1;
		return ch->read_high ? count : count >> 8;
	}
}

static void write_speaker(struct pit *pit, uint8_t value)
{
	struct pit_channel *ch = &pit->state.channels[SPEAKER_CHANNEL];
	uint8_t gate = value & 1;

	pit->state.speaker = value & 3;
	/*
	 * A rising gate starts modes 1, 2, 3 and 5 anew. Modes 0 and 4 would pause while it is low;
	 * nobody uses that.
	 */
	if (gate && !ch->gate && ch->mode != 0 && ch->mode != 4)
		ch->loaded = tt_machine_now(pit->machine);
	ch->gate = gate;
}

static uint8_t read_speaker(const struct pit *pit)
{
	uint64_t now = tt_machine_now(pit->machine);
	uint8_t refresh = tt_ticks_to_ns(pit->machine, now) / REFRESH_NS & 1;

	return pit->state.speaker | refresh << 4 |
	       channel_output(pit, &pit->state.channels[SPEAKER_CHANNEL], now) << 5;
}

static uint8_t pit_read_port(struct pit *pit, unsigned int port)
{
	if (port == PORT_SPEAKER)
		return read_speaker(pit);
	if (port == PORT_CONTROL)
		return 0xff;
	return read_counter(pit, &pit->state.channels[port - PORT_COUNTER0]);
}

static void pit_write_port(struct pit *pit, unsigned int port, uint8_t value)
{
	if (port == PORT_SPEAKER)
		write_speaker(pit, value);
	else if (port == PORT_CONTROL)
		write_control(pit, value);
	else
		write_counter(pit, &pit->state.channels[port - PORT_COUNTER0], value);
}

static void pit_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	uint8_t *bytes = data;
	unsigned int i;

	for (i = 0; i < len; i++)
		bytes[i] = pit_read_port(ctx, addr + i);
}

static void pit_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	const uint8_t *bytes = data;
	unsigned int i;

	for (i = 0; i < len; i++)
		pit_write_port(ctx, addr + i, bytes[i]);
}

static void pit_reset(struct tt_device *dev)
{
	struct pit *pit = (struct pit *)dev;
	unsigned int i;

	memset(&pit->state, 0, sizeof(pit->state));
	pit->state.timer.deadline = TT_TIME_NEVER;
	for (i = 0; i < NR_CHANNELS; i++) {
		pit->state.channels[i].access = ACCESS_BOTH;
		pit->state.channels[i].mode = 3;
		pit->state.channels[i].gate = i != SPEAKER_CHANNEL;
	}
}

static void pit_destroy(struct tt_device *dev)
{
	free(dev);
}

int tt_pit_create(struct tt_machine *m, struct tt_error *err)
{
	struct pit *pit = calloc(1, sizeof(*pit));
	int ret;

	if (!pit)
		return tt_fail(err, -ENOMEM, "out of memory");
	pit->machine = m;
	pit->dev = (struct tt_device){
		.name = "pit",
		.state = &pit->state,
		.state_size = sizeof(pit->state),
		.reset = pit_reset,
		.destroy = pit_destroy,
	};
	pit_reset(&pit->dev);
	tt_device_add(m, &pit->dev);
	tt_timer_add(m, &pit->state.timer.deadline, timer_fire, pit);
	ret = tt_bus_add_pio(m, PORT_COUNTER0, 4, pit_read, pit_write, pit);
	if (!ret)
		ret = tt_bus_add_pio(m, PORT_SPEAKER, 1, pit_read, pit_write, pit);
	return ret ? tt_fail(err, ret, "pit: its ports are taken") : 0;
}
