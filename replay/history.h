/* SPDX-License-Identifier: GPL-2.0 */
/*
 * history.h - time-travel disks as disks of a machine, and how a log names the ones that a recording was made with.
 */
#ifndef TTVM_REPLAY_HISTORY_H
#define TTVM_REPLAY_HISTORY_H

#include <limits.h>

#include "disk.h"
#include "ttdisk.h"

/* What a recording knows of a disk: enough to open it again as it was at the start. */
struct tt_disk_source {
	char history[PATH_MAX];			/* absolute path of the .ttd file */
	char departure[TTDISK_DEPARTURE_SIZE];	/* the point at which the recording began */
	char serial[sizeof(((struct tt_disk *)0)->serial)];
	uint64_t sectors;
	bool readonly;
};

/*
 * The disk as it is now; a run on it continues its history, which is created when there is none. path is a raw image or a
 * history. recording: the recording's id, whose point of departure goes to source; NULL in an ordinary run, and source is not
 * touched. The caller closes the disk with ops->close().
 */
int tt_disk_open_now(const char *path, bool readonly, const char *recording, struct tt_disk **disk,
		     struct tt_disk_source *source, struct tt_error *err);
/*
 * The disk as it was at the start of a recording; writes are forgotten. path: where the history is now, or NULL for where
 * tt_disk_find() finds it with folder (the log's).
 */
int tt_disk_open_departure(const struct tt_disk_source *source, const char *path, const char *folder,
			   struct tt_disk **disk, struct tt_error *err);
/*
 * A new history, at the path `branch`, over the disk as it was at the start of a recording; a run on it is recorded as
 * `recording`. path and folder as above, the rest as in tt_disk_open_now(). -EEXIST: there is a file.
 */
int tt_disk_open_branch(const struct tt_disk_source *parent, const char *path, const char *folder,
			const char *branch, const char *recording, struct tt_disk **disk,
			struct tt_disk_source *source, struct tt_error *err);
/*
 * Ask retry(ctx, -errno) when the history cannot be written, and try again as long as it says true (it may sleep). Without it
 * the guest sees an I/O error. Disks without a history are left alone.
 */
void tt_disk_set_retry(struct tt_disk *disk, bool (*retry)(void *ctx, int error), void *ctx);
/*
 * A disk that was opened at a recording's departure: as it was when that recording had completed so many instructions. What
 * was written to it since it was opened is forgotten.
 */
int tt_disk_goto(struct tt_disk *disk, const char *recording, uint64_t instruction, struct tt_error *err);
/*
 * Where the history is: in folder (the log's), under its name or the longer one of tt_disk_packed_name(), or else where it was; there,
 * too, if the one in folder is a copy without its base.
 * Returns beside, filled in, or source->history.
 */
const char *tt_disk_find(const struct tt_disk_source *source, const char *folder, char beside[PATH_MAX]);
/* The name of the history without its folder; longer: with a part of the disk's id, for two disks of one name. */
void tt_disk_packed_name(const struct tt_disk_source *source, bool longer, char *name, size_t size);
/* Tell of reads that failed because the disk was unpacked without these sectors (-ENODATA). As tt_disk_set_retry(). */
void tt_disk_set_unknown(struct tt_disk *disk, void (*unknown)(void *ctx, uint64_t sector), void *ctx);
/* As ttdisk_watch_image(). Disks without a history are left alone. */
void tt_disk_watch_image(struct tt_disk *disk, ttdisk_range_fn read, void *ctx);
/* Set a mark in the history, here and now. -ENOTSUP when the disk has none, or is not written to. */
int tt_disk_mark(struct tt_disk *disk, const char *name, struct tt_error *err);

#endif /* TTVM_REPLAY_HISTORY_H */
