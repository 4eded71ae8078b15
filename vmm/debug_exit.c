// SPDX-License-Identifier: GPL-2.0
/*
 * debug_exit.c - a port by which a guest ends the machine with a status of its own: writing N ends
 * it with status N & 0xff.
 */
#include <stdlib.h>

#include "devices.h"

struct debug_exit {
	struct tt_device dev;
	struct tt_machine *machine;
};

static void debug_exit_write(void *ctx, uint64_t addr, const void *data, unsigned int len)
{
	struct debug_exit *exit = ctx;

	if (addr == TT_PORT_DEBUG_EXIT)
		tt_machine_end(exit->machine, TT_END_STATUS, tt_io_get(data, len) & 0xff);
}

static void debug_exit_reset(struct tt_device *dev)
{
	(void)dev; /* no state */
}

static void debug_exit_destroy(struct tt_device *dev)
{
	free(dev);
}

int tt_debug_exit_create(struct tt_machine *m, struct tt_error *err)
{
	struct debug_exit *exit = calloc(1, sizeof(*exit));
	int ret;

	if (!exit)
		return tt_fail(err, -ENOMEM, "out of memory");
	exit->machine = m;
	exit->dev = (struct tt_device){
		.name = "debug-exit",
		.reset = debug_exit_reset,
		.destroy = debug_exit_destroy,
	};
	tt_device_add(m, &exit->dev);
	ret = tt_bus_add_pio(m, TT_PORT_DEBUG_EXIT, 4, NULL, debug_exit_write, exit);
	return ret ? tt_fail(err, ret, "debug-exit: its port is taken") : 0;
}
