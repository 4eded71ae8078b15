// SPDX-License-Identifier: GPL-2.0
/*
 * i8042.c - the keyboard controller at 0x60 and 0x64, with nothing connected to it.
 *
 * The ACPI tables say that there is none, so that operating systems do not wait for a keyboard;
 * those that probe all the same find a controller that passes its self-test and has no devices.
 * What it is needed for is the reset line: command 0xfe.
 */
#include <stdlib.h>

#include "devices.h"

#define PORT_DATA    0x60
#define PORT_COMMAND 0x64

#define STATUS_OUTPUT_FULL 0x01
#define STATUS_SELF_TEST   0x04
#define STATUS_COMMAND	   0x08
#define STATUS_UNLOCKED	   0x10
#define STATUS_AUX_DATA	   0x20
#define STATUS_TIMEOUT	   0x40

#define REPLY_RESEND 0xfe /* what the controller reports for a device that is not there */

#define CONFIG_KEYBOARD_OFF 0x10
#define CONFIG_AUX_OFF	    0x20

struct i8042_state {
	uint8_t status;
	uint8_t output;
	uint8_t config;
	uint8_t output_port;
	uint8_t command; /* that expects a parameter at the data port, or 0 */
	uint8_t reserved[3];
};

_Static_assert(sizeof(struct i8042_state) == 8, "digest: no padding");

struct i8042 {
	struct tt_device dev;
	struct i8042_state state;
	struct tt_machine *machine;
};

static void reply(struct i8042_state *s, uint8_t value, uint8_t flags)
{
	s->output = value;
	s->status &= ~(STATUS_AUX_DATA | STATUS_TIMEOUT);
	s->status |= STATUS_OUTPUT_FULL | flags;
}

static void write_command(struct i8042 *kbc, uint8_t command)
{
	struct i8042_state *s = &kbc->state;

	s->status |= STATUS_COMMAND;
	s->command = 0;
	switch (command) {
	case 0x20:
		reply(s, s->config, 0);
		break;
	case 0x60: /* write the configuration */
	case 0xd1: /* write the output port */
	case 0xd2: /* write as if from the keyboard */
	case 0xd3: /* write as if from the auxiliary device */
	case 0xd4: /* write to the auxiliary device */
		s->command = command;
		break;
	case 0xa7:
		s->config |= CONFIG_AUX_OFF;
		break;
	case 0xa8:
		s->config &= ~CONFIG_AUX_OFF;
		break;
	case 0xa9: /* test the ports: clock line stuck low, nothing is connected */
	case 0xab:
		reply(s, 0x01, 0);
		break;
	case 0xaa:
		s->status |= STATUS_SELF_TEST;
		reply(s, 0x55, 0);
		break;
	case 0xad:
		s->config |= CONFIG_KEYBOARD_OFF;
		break;
	case 0xae:
		s->config &= ~CONFIG_KEYBOARD_OFF;
		break;
	case 0xd0:
		reply(s, s->output_port, 0);
		break;
	case 0xf0 ... 0xff: /* pulse output lines; line 0 is the reset of the CPU */
		if (!(command & 1))
			tt_machine_end(kbc->machine, TT_END_RESET, 0);
		break;
	}
}

static void write_data(struct i8042 *kbc, uint8_t value)
{
	struct i8042_state *s = &kbc->state;
	uint8_t command = s->command;

	s->status &= ~STATUS_COMMAND;
	s->command = 0;
	switch (command) {
	case 0x60:
		s->config = value;
		break;
	case 0xd1:
		s->output_port = value;
		if (!(value & 1))
			tt_machine_end(kbc->machine, TT_END_RESET, 0);
		break;
	case 0xd2:
		reply(s, value, 0);
		break;
	case 0xd3:
		reply(s, value, STATUS_AUX_DATA);
		break;
	case 0xd4:
		reply(s, REPLY_RESEND, STATUS_AUX_DATA | STATUS_TIMEOUT);
		break;
	default:
		reply(s, REPLY_RESEND, STATUS_TIMEOUT);
		break;
	}
}

static void i8042_read(void *ctx, uint64_t addr, void *data, unsigned int len)
{
	struct i8042 *kbc = ctx;
	struct i8042_state *s = &kbc->state;

	memset(data, 0xff, len);
	if (addr == PORT_COMMAND) {
		tt_io_put(data, 1, s->status);
		return;
	}
	tt_io_put(data, 1, s->output);
	s->status &= ~(STATUS_OUTPUT_FULL | STATUS_AUX_DATA | STATUS_TIMEOUT);
}

static void i8042_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	uint8_t value = tt_io_get(data, len);

	if (addr == PORT_COMMAND)
		write_command(ctx, value);
	else
		write_data(ctx, value);
}

static void i8042_reset(struct tt_device *dev)
{
	struct i8042 *kbc = (struct i8042 *)dev;

	memset(&kbc->state, 0, sizeof(kbc->state));
	kbc->state.status = STATUS_SELF_TEST | STATUS_UNLOCKED;
	kbc->state.config = CONFIG_KEYBOARD_OFF | CONFIG_AUX_OFF;
	kbc->state.output_port = 0x03; /* not in reset, A20 open */
}

static void i8042_destroy(struct tt_device *dev)
{
	free(dev);
}

int tt_i8042_create(struct tt_machine *m, struct tt_error *err)
{
	struct i8042 *kbc = calloc(1, sizeof(*kbc));
	int ret;

	if (!kbc)
		return tt_fail(err, -ENOMEM, "out of memory");
	kbc->machine = m;
	kbc->dev = (struct tt_device){
		.name = "i8042",
		.state = &kbc->state,
		.state_size = sizeof(kbc->state),
		.reset = i8042_reset,
		.destroy = i8042_destroy,
	};
	i8042_reset(&kbc->dev);
	tt_device_add(m, &kbc->dev);
	ret = tt_bus_add_pio(m, PORT_DATA, 1, i8042_read, i8042_write, kbc);
	if (!ret)
		ret = tt_bus_add_pio(m, PORT_COMMAND, 1, i8042_read, i8042_write, kbc);
	return ret ? tt_fail(err, ret, "i8042: its ports are taken") : 0;
}
