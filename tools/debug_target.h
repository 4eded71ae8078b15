/* SPDX-License-Identifier: GPL-2.0 */
/*
 * debug_target.h - a recording's timeline as what the gdb server serves.
 */
#ifndef TTVM_TOOLS_DEBUG_TARGET_H
#define TTVM_TOOLS_DEBUG_TARGET_H

#include <stdbool.h>

#include "debug.h"
#include "timeline.h"

struct recording_options {
	const char *log;
	uint64_t instruction;		/* where to stand at first */
	const char *const *disks;	/* where the recording's disks are now */
	unsigned int num_disks;
	uint64_t checkpoint_bytes;	/* 0: default */
	const char *cache;		/* file for checkpoints, or NULL */
};

/* Open the log and go to options->instruction. 0 or -errno; options' strings are borrowed. */
int recording_target_create(const struct recording_options *options, struct tt_debug_target **target,
			    struct tt_error *err);
/* The machine, standing still until the target is served. */
const struct tt_machine *recording_target_machine(struct tt_debug_target *target);
/* A client has asked for the end (`kill`). */
bool recording_target_killed(struct tt_debug_target *target);
void recording_target_destroy(struct tt_debug_target *target);

#endif /* TTVM_TOOLS_DEBUG_TARGET_H */
