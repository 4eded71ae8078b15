/* SPDX-License-Identifier: GPL-2.0 */
/*
 * checkpoint.h - places of a replay to which it can return at once.
 *
 * A checkpoint is a snapshot of the machine (vmm.h), the place of the replayer, and the pages that were written since the
 * checkpoint before (pages.h); the disks are opened at the same instruction of their own history. Checkpoints are known by
 * their instruction.
 *
 * Two kinds: those of the row lie at regular distances all over the recording; when they take too much memory, every other
 * one goes, and the distance doubles. Those near the place of interest are put at distances that halve towards it
 * (TTVM, USENIX 2005), and go when others come.
 *
 * All calls are made on the vCPU's thread, the vCPU settled.
 */
#ifndef TTVM_REPLAY_CHECKPOINT_H
#define TTVM_REPLAY_CHECKPOINT_H

#include "replayer.h"

struct tt_checkpoints;

/* recording: the id by which the disks' histories know it. limit: bytes that all checkpoints may take. */
int tt_checkpoints_create(struct tt_replayer *rep, struct tt_machine *m, const char *recording, uint64_t limit,
			  struct tt_checkpoints **checkpoints, struct tt_error *err);
void tt_checkpoints_destroy(struct tt_checkpoints *c);
/* Forget all of them. 0 or -ENOMEM. */
int tt_checkpoints_clear(struct tt_checkpoints *c);
/*
 * Those that an earlier session has left in a file (checkpoint_cache.c), with the bytes that the caller had to keep with them (*note
 * is freed by this one); before the machine runs. 0, or -errno, and there are none:
 * -ENOENT no file, -EPERM not this user's alone, -ESTALE of another recording, program or machine, -EBADMSG damaged.
 */
int tt_checkpoints_load(struct tt_checkpoints *c, const char *path, void **note, size_t *note_size, struct tt_error *err);
/* Leave them there for the next one; the file is replaced when the new one is complete. 0 or -errno. */
int tt_checkpoints_save(const struct tt_checkpoints *c, const char *path, const void *note, size_t note_size,
			struct tt_error *err);

/* The machine is at `instruction`: take a checkpoint, if there is none yet. near: not for the row. note: for the caller. */
int tt_checkpoint_take(struct tt_checkpoints *c, struct tt_vcpu *vcpu, uint64_t instruction, bool near,
		       uint64_t note, struct tt_error *err);
/* The last checkpoint at or before instruction. There is always one at 0 once it was taken. */
uint64_t tt_checkpoint_before(const struct tt_checkpoints *c, uint64_t instruction);
/* The last checkpoint before event number `event` takes effect. */
uint64_t tt_checkpoint_before_event(const struct tt_checkpoints *c, uint64_t event);
/* Where the row's next one should be taken: the first place behind `instruction` that is far enough from the others. */
uint64_t tt_checkpoint_due(const struct tt_checkpoints *c, uint64_t instruction);
/*
 * Go to the checkpoint at this instruction. 0; -EBADMSG: it is damaged, and was dropped, the machine must go to another one;
 * or -errno, and the machine is of no use.
 */
int tt_checkpoint_load(struct tt_checkpoints *c, struct tt_vcpu *vcpu, uint64_t instruction, uint64_t *note,
		       struct tt_error *err);
/* How many there ever were. */
uint64_t tt_checkpoints_taken(const struct tt_checkpoints *c);
void tt_checkpoints_get_stats(const struct tt_checkpoints *c, struct tt_timeline_stats *stats);

#endif /* TTVM_REPLAY_CHECKPOINT_H */
