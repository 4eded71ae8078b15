// SPDX-License-Identifier: GPL-2.0
/*
 * devices.c - the devices of the PC in their fixed order, which is the order of their state in
 * digests and checkpoints.
 */
#include "devices.h"
#include "virtio.h"

int tt_devices_create(struct tt_machine *m, struct tt_error *err)
{
	static int (*const create[])(struct tt_machine * m, struct tt_error * err) = {
		tt_pit_create, tt_rtc_create,	  tt_serial_create,	tt_i8042_create,
		tt_pci_create, tt_acpi_pm_create, tt_debug_exit_create,
		tt_virtio_rng_create, tt_virtio_console_create, tt_virtio_net_create, tt_virtio_blk_create,
	};
	size_t i;
	int ret;

	for (i = 0; i < sizeof(create) / sizeof(create[0]); i++) {
		ret = create[i](m, err);
		if (ret)
			return ret;
	}
	return 0;
}
