/* SPDX-License-Identifier: GPL-2.0 */
/*
 * checkpointer.h - checkpoints of a machine that is being recorded, for who will move about in the recording (timeline.h).
 *
 * The machine stands still only while a moment is caught: its registers and devices, and a copy of the pages written since the moment
 * before. A thread of its own makes the checkpoint of it. What comes out is the file that a session of the timeline leaves
 * (checkpoint_cache.c).
 */
#ifndef TTVM_REPLAY_CHECKPOINTER_H
#define TTVM_REPLAY_CHECKPOINTER_H

#include "replayer.h"

struct tt_checkpointer;

struct tt_checkpointer_options {
	const char *recording;	/* its id */
	const char *path;	/* the file; borrowed */
	uint64_t interval;	/* virtual time between checkpoints, in ticks; it grows when they take too much */
	uint64_t bytes;		/* that they may take; 0: TT_CHECKPOINT_BYTES */
};

/* On the vCPU's thread, before it has run. The machine's console goes through this one from now on. 0 or -errno. */
int tt_checkpointer_create(struct tt_machine *m, const struct tt_checkpointer_options *options,
			   struct tt_checkpointer **checkpointer, struct tt_error *err);
/* Is it time for another one, and is the last one done? */
bool tt_checkpointer_due(const struct tt_checkpointer *c, uint64_t now);
/*
 * On the vCPU's thread, with the device lock, the vCPU settled and about to run: a checkpoint of here. It fails silently:
 * tt_checkpointer_save() says why.
 */
void tt_checkpointer_catch(struct tt_checkpointer *c, uint64_t instruction, uint64_t now,
			   const struct tt_replayer_place *place);
/* The machine has ended: write the file, *count checkpoints. 0, or -errno, and there is no file. Any thread. */
int tt_checkpointer_save(struct tt_checkpointer *c, unsigned int *count, struct tt_error *err);
/* Before the machine is. NULL is fine. */
void tt_checkpointer_destroy(struct tt_checkpointer *c);

#endif /* TTVM_REPLAY_CHECKPOINTER_H */
