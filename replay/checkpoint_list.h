/* SPDX-License-Identifier: GPL-2.0 */
/*
 * checkpoint_list.h - the checkpoints of a replay, shared by checkpoint.c (taking and loading them) and checkpoint_cache.c (keeping
 * them in a file).
 */
#ifndef TTVM_REPLAY_CHECKPOINT_LIST_H
#define TTVM_REPLAY_CHECKPOINT_LIST_H

#include "checkpoint.h"
#include "pages.h"

struct checkpoint {
	uint64_t instruction;
	uint64_t serial;	/* which was taken first */
	uint64_t note;		/* the caller's */
	bool near;
	struct tt_snapshot *snapshot;
	struct tt_replayer_place place;
};

struct tt_checkpoints {
	struct tt_machine *machine;
	char recording[TT_RECORDING_ID_SIZE];
	uint64_t limit;
	uint64_t interval;
	struct tt_pages *pages;
	bool whole;
	struct tt_disk_pages *disk_pages; /* of who takes and loads them here; NULL before the first */
	struct checkpoint *list; /* ascending */
	size_t count;
	size_t room;
	uint64_t *written;	/* pages written since the machine was at `at` */
	uint64_t words;		/* of such a bitmap */
	uint64_t at;		/* the checkpoint that the machine comes from */
	uint64_t taken;
	uint64_t loaded;
	uint64_t snapshot_bytes;
};

/* A new one at its place in the list, all of it still to be filled in; NULL: out of memory. */
struct checkpoint *checkpoint_insert(struct tt_checkpoints *c, uint64_t instruction);
/* Let some go until they take no more than they may. */
void checkpoints_make_room(struct tt_checkpoints *c);
/* From now on it is known which pages are written, and which are on disks. Those that are not zero count as written. 0 or -errno. */
int checkpoints_begin(struct tt_checkpoints *c, struct tt_error *err);

#endif /* TTVM_REPLAY_CHECKPOINT_LIST_H */
