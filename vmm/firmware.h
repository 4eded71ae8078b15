/* SPDX-License-Identifier: GPL-2.0 */
/*
 * firmware.h - starting a machine by a PC BIOS instead of a kernel; for boot.c and the unit tests.
 */
#ifndef TTVM_FIRMWARE_H
#define TTVM_FIRMWARE_H

#include "vmm.h"

#define TT_FIRMWARE_ALIGN   0x10000u  /* a ROM has so many bytes, or a multiple of that */
#define TT_FIRMWARE_MAX	    0x40000u  /* below are pages that KVM keeps for itself (machine.c) */
#define TT_FIRMWARE_SHADOW  0x20000u  /* of its end, also in RAM: */
#define TT_FIRMWARE_LOW_END 0x100000u /* below here */
#define TT_FIRMWARE_LOW_RAM 0x200000u /* RAM that it takes at least */

/*
 * config.firmware becomes the machine's ROM below 4 GiB, its end is put into RAM below 1 MiB, and
 * the devices that it needs are added. vCPU 0 starts it by itself: its registers are those of a
 * reset.
 */
int tt_firmware_load(struct tt_machine *m, struct tt_error *err);
/* The same without KVM: everything but the ROM at its place. *rom belongs to the machine. */
int tt_firmware_load_memory(struct tt_machine *m, void **rom, struct tt_error *err);

#endif /* TTVM_FIRMWARE_H */
