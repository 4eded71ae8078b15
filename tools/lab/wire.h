/* SPDX-License-Identifier: GPL-2.0 */
/*
 * wire.h - what the test machine tells its host, through one virtio-serial port.
 *
 * A stream of frames, each a header and `size` bytes of payload. One port and one order for everything, so that nothing
 * can be overtaken by the end: the host stops the machine as soon as it has read WIRE_EXIT.
 *
 *	[WIRE_READY] (WIRE_START (WIRE_STDOUT | WIRE_STDERR)* WIRE_OUT* WIRE_EXIT) | WIRE_TROUBLE
 *
 * WIRE_TROUBLE may also take the place of anything after WIRE_START.
 */
#ifndef TTVM_LAB_WIRE_H
#define TTVM_LAB_WIRE_H

#include <stdint.h>

enum wire_type {
	WIRE_START = 1,		/* COMMAND is about to be executed; no payload */
	WIRE_STDOUT = 2,	/* bytes that COMMAND wrote */
	WIRE_STDERR = 3,
	WIRE_OUT = 4,		/* bytes of a tar archive of COMMAND's out/ */
	WIRE_EXIT = 5,		/* payload: one struct wire_exit; the last frame */
	WIRE_TROUBLE = 6,	/* payload: a sentence; the machine could not do its work; the last frame */
	WIRE_READY = 7,		/* the machine waits for its archive: the moment for a snapshot; no payload */
};

#define WIRE_MAGIC 0x6274u

struct wire_header {
	uint16_t magic;		/* WIRE_MAGIC */
	uint16_t type;		/* enum wire_type */
	uint32_t size;		/* of the payload, at most WIRE_MAX */
};

#define WIRE_MAX (32768u - sizeof(struct wire_header))

struct wire_exit {
	uint32_t status;	/* as a shell reports it: the exit status, or 128 + the signal */
};

#endif
