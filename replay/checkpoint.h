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
 * Unless it says otherwise, calls are made on the vCPU's thread, the vCPU settled.
 */
#ifndef TTVM_REPLAY_CHECKPOINT_H
#define TTVM_REPLAY_CHECKPOINT_H

#include "disk_pages.h"
#include "replayer.h"

struct tt_checkpoints;

/*
 * A moment of the machine that is to become a checkpoint. What it points to is the caller's, except the snapshot, which becomes the
 * checkpoint's.
 */
struct tt_moment {
	uint64_t instruction;
	uint64_t note;			/* for the caller */
	bool near;			/* not for the row */
	struct tt_snapshot *snapshot;
	struct tt_replayer_place place;
	const uint64_t *written;	/* pages written since the moment before, a bit each */
	struct tt_placed *placed;	/* of them, in their order */
	const uint8_t *copies;		/* of those that have no place; NULL: they are in the machine's memory, which stands still */
};

/* recording: the id by which the disks' histories know it. limit: bytes that all checkpoints may take. */
int tt_checkpoints_create(struct tt_machine *m, const char *recording, uint64_t limit, struct tt_checkpoints **checkpoints,
			  struct tt_error *err);
void tt_checkpoints_destroy(struct tt_checkpoints *c);
/* For measurements, before the first is taken: the content of all pages, also of those that are zero or on a disk. */
void tt_checkpoints_keep_whole(struct tt_checkpoints *c);
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

/*
 * Fill in a moment's written and placed, of the pages that are known to be written and, added to them here, those that have left their
 * places. placed is to be freed. disk_pages may be NULL: none has a place. 0 or -ENOMEM.
 */
int tt_moment_place(struct tt_moment *moment, struct tt_disk_pages *disk_pages, uint64_t *written, uint64_t words);
/*
 * The distance of the row is what it was before any had to go: a recorder has put them where the guest's time was, so that how many
 * have gone says nothing of instructions.
 */
void tt_checkpoints_reset_distance(struct tt_checkpoints *c);
/* The machine is at `instruction`: take a checkpoint, if there is none yet. near, note: as in struct tt_moment. */
int tt_checkpoint_take(struct tt_checkpoints *c, const struct tt_replayer_place *place, uint64_t instruction, bool near,
		       uint64_t note, struct tt_error *err);
/*
 * Another one, of a moment behind all others, the first of which is at 0. For who catches moments by itself (checkpointer.c): any thread,
 * but one at a time. 0 or -ENOMEM, and the snapshot is freed.
 */
int tt_checkpoint_add(struct tt_checkpoints *c, const struct tt_moment *moment);
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
int tt_checkpoint_load(struct tt_checkpoints *c, struct tt_replayer *rep, struct tt_vcpu *vcpu, uint64_t instruction,
		       uint64_t *note, struct tt_error *err);
/* How many there ever were. */
uint64_t tt_checkpoints_taken(const struct tt_checkpoints *c);
void tt_checkpoints_get_stats(const struct tt_checkpoints *c, struct tt_timeline_stats *stats);

#endif /* TTVM_REPLAY_CHECKPOINT_H */
