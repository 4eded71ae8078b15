/* SPDX-License-Identifier: GPL-2.0 */
/*
 * ttdisk.h - the time-travel disk: a base image that is never written, and beside it a history, an append-only file with
 * everything that was ever written to the disk. The one public header of ttdisk/, which knows nothing of machines.
 *
 * A disk is opened as it is now, to continue its history, or as it was at any point of its history, to look at it, or to
 * run on it with writes that are forgotten. A branch is a history whose base is a point of another history.
 *
 * Points: record by record, so between any two writes, not only at flushes. Every write carries the instruction count of
 * the machine that made it, and the time. An epoch is what lies between two flushes of the guest; it ends with the flush.
 * The state at the end of an epoch is what a guest would find after a power failure.
 *
 * Durability is that of a disk with a write cache: what was written before a ttdisk_flush() that returned 0 survives
 * anything; what was written later survives the death of the process or the host only as far as it got, in order: always
 * a prefix of the writes. Reads see all writes at once.
 *
 * A disk that was moved to another machine (ttdisk_copy()) may lack parts of its image. Reading these is an error, -ENODATA.
 *
 * Files: F.ttd is the history of F (ttdisk_history_path()). F.ttd.idx is derived from it, is made again when it is
 * missing, old or damaged, and may be deleted. The format is described at the top of ttdisk/format.h.
 *
 * Conventions: sectors are TTDISK_SECTOR bytes; functions return 0 or -errno, and fill err (may be NULL) where they have
 * one. A struct ttdisk is used by one thread at a time; different ones are independent, also in other processes.
 */
#ifndef TTDISK_H
#define TTDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ttvm/error.h"

#define TTDISK_SECTOR 512
#define TTDISK_SUFFIX ".ttd"
/* Bytes of names of marks and of recordings' ids, with the NUL: 1..63 printable characters, no blanks, no '/'. */
#define TTDISK_NAME_SIZE 64
/* Bytes of a departure's text, with the NUL. */
#define TTDISK_DEPARTURE_SIZE 80

struct ttdisk;

/* ------------------------------------------------------------------ files */

/* "F" -> "F.ttd", "F.ttd" -> "F.ttd". -ENAMETOOLONG when size bytes do not hold it. */
int ttdisk_history_path(const char *path, char *history, size_t size);
/* Does the file begin like a history? 1, 0, or -errno when it cannot be read. */
int ttdisk_is_history(const char *path);

struct ttdisk_create_options {
	/* Hash all of the base (slow), not only samples of it, so that no change of it goes unnoticed. */
	bool hash_base;
};

/*
 * Make an empty history over a raw image or block device. The path of the base is kept relative when both are in one
 * folder. -EEXIST: history is there; -EINVAL: base is no whole number of sectors, or a history (see ttdisk_branch()).
 * options may be NULL.
 */
int ttdisk_create(const char *history, const char *base, const struct ttdisk_create_options *options,
		  struct tt_error *err);

/* ------------------------------------------------------------------ points in time */

enum ttdisk_point_kind {
	TTDISK_NOW,	  /* everything in the history */
	TTDISK_BASE,	  /* nothing of it: the base, or in a branch the parent at the point of departure */
	TTDISK_EPOCH,	  /* number: the end of that epoch. Epochs count from 1; 0 is TTDISK_BASE. The one that has not
			     ended: as far as it got */
	TTDISK_MARK,	  /* name: of the mark */
	TTDISK_TIME,	  /* number: nanoseconds since 1970, UTC; the state at that time */
	TTDISK_INSTR,	  /* name: a recording's id, number: N; all writes at instruction counts <= N are done */
	TTDISK_DEPARTURE, /* name: what ttdisk_begin_session() or ttdisk_departure() gave */
};

struct ttdisk_point {
	enum ttdisk_point_kind kind;
	uint64_t number;
	const char *name;
};

/* ------------------------------------------------------------------ opening */

enum ttdisk_mode {
	TTDISK_READ,	/* the disk at a point; nothing can be written */
	TTDISK_OVERLAY, /* the disk at a point; writes go to memory and are forgotten on close. For replays */
	TTDISK_WRITE,	/* the disk now; writes continue its history. One at a time */
};

struct ttdisk_options {
	bool no_io_uring; /* append with pwrite(); happens by itself where io_uring is not to be had */
	bool no_index;	  /* read everything from the history itself; neither use nor write an index */
};

/*
 * Open the disk at a point (NULL: now; the only one with TTDISK_WRITE). The end of a history that was cut short is
 * dropped: TTDISK_WRITE truncates the file, the others do as if. READ and OVERLAY never change the history; they may be
 * used beside a writer and see what it has appended up to now. options may be NULL.
 *
 * -EBUSY: another process writes to it; -ESTALE: the base is not the one that the history was made for; -ENOENT: no file,
 * or no such point; -EUCLEAN: not a history, or flushed data in its middle is damaged (see ttdisk_check(); points before
 * the damage can be opened); -EFBIG: a newer format.
 */
int ttdisk_open(const char *history, enum ttdisk_mode mode, const struct ttdisk_point *point,
		const struct ttdisk_options *options, struct ttdisk **disk, struct tt_error *err);

/*
 * Free disk. WRITE: what was written is appended to the history (without making it durable: see ttdisk_flush()), and the
 * index is brought up to date. 0, or -errno when not everything could be appended.
 */
int ttdisk_close(struct ttdisk *disk);

/* ------------------------------------------------------------------ reading and writing */

/*
 * iov: whole sectors altogether, inside the disk (-EINVAL otherwise). -EIO: a record in the history is damaged; -ENODATA: of
 * the image, only other parts are here.
 */
int ttdisk_read(struct ttdisk *disk, uint64_t sector, const struct iovec *iov, int iovcnt);

/*
 * instr: instruction count of the machine at this write, never less than that of the write before in the same session.
 * -EROFS in mode READ. -ENOSPC, -EIO, ...: the history could not be appended to, and this write was not taken (of one
 * longer than 64 KiB perhaps its beginning); those taken before are not lost, reads still see them, and they are tried
 * again with the next write or flush.
 */
int ttdisk_write(struct ttdisk *disk, uint64_t sector, const struct iovec *iov, int iovcnt,
		 uint64_t instr);
/* The sectors read as zeroes from now on. discard: the guest does not need them any more. Errors: see above. */
int ttdisk_zero(struct ttdisk *disk, uint64_t sector, uint64_t count, bool discard, uint64_t instr);
/*
 * End the epoch: all writes are on stable storage when it returns 0. Without writes since the last one nothing is added
 * to the history. OVERLAY: does nothing. After a failure, writes fail, too: each of them, and each flush, first tries to
 * make up for it. Pages that the kernel has lost meanwhile are written again from memory, if they were among the last
 * 1.5 MiB; else this goes on for good (-EIO).
 */
int ttdisk_flush(struct ttdisk *disk, uint64_t instr);

/*
 * What the sectors from `sector` on are, without reading them: *count (1..max) sectors which are all known to be zero
 * (*zero: discarded, zeroed, or a hole of the base), or all others. For sparse copies.
 */
int ttdisk_extent(struct ttdisk *disk, uint64_t sector, uint64_t max, uint64_t *count, bool *zero);

/* ------------------------------------------------------------------ recordings */

/*
 * WRITE: what is written from now on belongs to recording `id` (unique, such as a UUID), so that
 * TTDISK_INSTR finds it. departure names this point for good. Durable when it returns 0. Writes of a writer that never
 * calls it belong to no recording.
 */
int ttdisk_begin_session(struct ttdisk *disk, const char *id, char departure[TTDISK_DEPARTURE_SIZE],
			 struct tt_error *err);
/*
 * A name for the point at which disk is now (WRITE: flushes; OVERLAY: without what the overlay holds). TTDISK_DEPARTURE
 * with it gives the same bytes for as long as the history is there and ttdisk_gc() keeps the point.
 */
int ttdisk_departure(struct ttdisk *disk, char departure[TTDISK_DEPARTURE_SIZE],
		     struct tt_error *err);

/* OVERLAY: how many writes it holds, and back to fewer: those after `position` are undone. For checkpoints. */
uint64_t ttdisk_overlay_position(const struct ttdisk *disk);
int ttdisk_overlay_rewind(struct ttdisk *disk, uint64_t position);

/* ------------------------------------------------------------------ looking at a history */

/*
 * What a disk and its history are. The numbers are of the whole history as it was when the disk was opened, or, in mode
 * WRITE, as it is now; `point` numbers are those of the open point.
 */
struct ttdisk_info {
	uint64_t sectors;
	const char *path;	 /* of the history; valid until ttdisk_close() */
	const char *base;	 /* path of the base image, of its parts, or of the parent's history */
	bool is_branch;
	bool is_partial;	 /* base is what ttdisk_create_partial() made */
	char uuid[37];
	char root[37];		 /* uuid of the history that this is a branch of a branch of ...; else the same */
	char parent[TTDISK_DEPARTURE_SIZE]; /* branch: the point in the parent */
	uint64_t created_ns;
	uint64_t records;
	uint64_t epochs;	 /* the last that has ended; after garbage collection some before are missing */
	uint64_t marks;
	uint64_t history_bytes;	 /* valid bytes of the history's file */
	uint64_t dropped_bytes;	 /* behind them, when it was opened */
	uint64_t index_bytes;	 /* of F.ttd.idx, as far as it is used */
	uint64_t scanned_bytes;	 /* of the history that had to be read when it was opened */
	uint64_t written_bytes;	 /* by this writer: payload of writes */
	uint64_t appended_bytes; /* by this writer: what the history grew by */
	uint64_t appends;	 /* by this writer: writes to the history's file */
	uint64_t flushes;	 /* by this writer: that were not empty */
	bool io_uring;
	uint64_t point_record;	 /* the open point: number of records before it, its epoch and time */
	uint64_t point_epoch;	 /* epochs that ended before */
	uint64_t point_time_ns;
};

void ttdisk_get_info(struct ttdisk *disk, struct ttdisk_info *info);

/*
 * An epoch. Those that ttdisk_gc() folded into one appear as the last of them. The epoch that has not ended (writes
 * behind the last flush) comes last, with open set.
 */
struct ttdisk_epoch {
	uint64_t epoch;		/* 1, 2, ... */
	uint64_t time_ns;	/* of the flush (open: of the last record) */
	uint64_t instr;		/* of the flush (open: of the last record) */
	uint64_t bytes;		/* written */
	uint64_t history_bytes;	/* that it takes in the history */
	uint64_t first_record;	/* numbers of its records: first, and last + 1 */
	uint64_t end_record;
	char recording[TTDISK_NAME_SIZE]; /* at its end; "" for none */
	bool open;
	bool folded;		/* ttdisk_gc() has removed points in it */
	uint64_t cursor;	/* where the next one is: leave these alone */
	uint64_t offset;
};

/*
 * The next epoch of the whole history, whatever point is open. Start with a zeroed struct.
 * 1: epoch is filled in; 0: there are no more; or -errno.
 *
 *	struct ttdisk_epoch epoch = { 0 };
 *	while ((ret = ttdisk_next_epoch(disk, &epoch, &err)) > 0)
 */
int ttdisk_next_epoch(struct ttdisk *disk, struct ttdisk_epoch *epoch, struct tt_error *err);

struct ttdisk_mark {
	char name[TTDISK_NAME_SIZE];
	uint64_t record;	/* the point: number of records before it */
	uint64_t epoch;		/* the epoch that the point lies in or ends; 0: the base */
	uint64_t time_ns;	/* when the mark was set */
	uint64_t instr;		/* of the last record before the point */
	uint64_t cursor;
};

/* As ttdisk_next_epoch(): marks that are set, in the order in which they were set. */
int ttdisk_next_mark(struct ttdisk *disk, struct ttdisk_mark *mark, struct tt_error *err);

struct ttdisk_session {
	char recording[TTDISK_NAME_SIZE];
	char departure[TTDISK_DEPARTURE_SIZE];
	uint64_t record;	/* number of its first record */
	uint64_t epoch;		/* epochs that ended before */
	uint64_t time_ns;
	uint64_t cursor;
};

/* As ttdisk_next_epoch(): the recordings made on the disk. */
int ttdisk_next_session(struct ttdisk *disk, struct ttdisk_session *session, struct tt_error *err);

/* WRITE: give a point (NULL: now) a name; it stays when ttdisk_gc() removes what is around it. Durable when it returns
 * 0. -EEXIST: there is such a mark; -EINVAL: not a name. */
int ttdisk_mark(struct ttdisk *disk, const char *name, const struct ttdisk_point *point,
		struct tt_error *err);
/* WRITE: -ENOENT: no such mark. */
int ttdisk_unmark(struct ttdisk *disk, const char *name, struct tt_error *err);

/* A range of sectors; what it returns, if not 0, ends the walk and is returned from it. */
typedef int (*ttdisk_range_fn)(void *ctx, uint64_t sector, uint64_t count);

/*
 * READ, OVERLAY: move an open disk to another point of its history. What the overlay holds is forgotten. changed (may be
 * NULL) is called, in ascending order, for the ranges that were written between the two points, before they change: with
 * ttdisk_read() in it the old bytes are seen, and afterwards the new ones; this is undo and redo.
 * On error the disk is where it was.
 */
int ttdisk_seek(struct ttdisk *disk, const struct ttdisk_point *point, ttdisk_range_fn changed,
		void *ctx, struct tt_error *err);

/*
 * Ranges in which two open points differ, ascending, merged. compare: exactly, by reading both; otherwise all that was
 * written on the way from the one to the other, which is faster. They may be points of one history, or of histories that
 * have a common ancestor, or (with compare, and slowly) nothing in common but their size (-EINVAL otherwise).
 */
int ttdisk_diff(struct ttdisk *a, struct ttdisk *b, bool compare, ttdisk_range_fn changed, void *ctx,
		struct tt_error *err);

/* ------------------------------------------------------------------ branches, gc, check */

/*
 * Make the history `branch`, empty, over `parent` at a point. So that gc keeps it, the point gets a mark in the parent
 * ("branch-..."), unless it is TTDISK_BASE of a parent that is not a branch, or TTDISK_MARK; for that the parent must not
 * be in use by a writer (-EBUSY).
 */
int ttdisk_branch(const char *parent, const struct ttdisk_point *point, const char *branch,
		  struct tt_error *err);
/* Delete a branch, its index, and its mark in the parent. -EBUSY: a writer is at work on one of the two; nothing is changed. */
int ttdisk_drop_branch(const char *branch, struct tt_error *err);

/* What to keep: the union of all; now and marks are always kept. All zero: nothing but those. */
struct ttdisk_gc_options {
	uint64_t keep_epochs;	  /* the last so many epochs, with every point in them */
	uint64_t keep_since_ns;	  /* all points from this time on (0: no such rule) */
	bool keep_recordings;	  /* the points of departure of all recordings */
	bool dry_run;		  /* only fill in the result */
};

struct ttdisk_gc_result {
	uint64_t bytes_before;
	uint64_t bytes_after;	  /* dry_run: an upper bound */
	uint64_t epochs_before;
	uint64_t epochs_after;
	uint64_t recordings_lost; /* whose point of departure is gone: they cannot be replayed any more */
};

/*
 * Rewrite the history, so that points which are not kept are folded into the next that is. The new file takes the place
 * of the old one when it is complete and on stable storage; who has the old one open does not notice. -EBUSY: a writer
 * is at work.
 */
int ttdisk_gc(const char *history, const struct ttdisk_gc_options *options,
	      struct ttdisk_gc_result *result, struct tt_error *err);

/* ------------------------------------------------------------------ moving to another machine */

/* read is called for ranges that are going to be read from the raw image, below all histories; NULL: no more. */
void ttdisk_watch_image(struct ttdisk *disk, ttdisk_range_fn read, void *ctx);

/*
 * Make the history `partial`, for parts of the raw image below disk: it has no base itself, so what is not written to it (in
 * mode WRITE, at any instruction count) cannot be read. disk may have such an image already.
 */
int ttdisk_create_partial(const char *partial, struct ttdisk *disk, struct tt_error *err);

/*
 * Copy the history of disk, from its beginning to `to`, over another base: base is a copy of its parent's history or, when
 * it is not a branch, what ttdisk_create_partial() has made. Every record is verified. The copy is the same disk, and
 * departures in it are the same. moved (may be NULL) is called now and then with bytes that were done; what it returns, if not 0,
 * ends it and is returned. On error there is no copy. -EUCLEAN: the history is damaged before `to`.
 */
int ttdisk_copy(struct ttdisk *disk, const struct ttdisk_point *to, const char *copy, const char *base,
		int (*moved)(void *ctx, uint64_t bytes), void *ctx, struct tt_error *err);

/* strerror() for the errors of ttdisk_read(). */
const char *ttdisk_strerror(int error);

/* 1: path is a history of the disk that this departure is of; 0: it is not; or -errno when it cannot be read. */
int ttdisk_is_of(const char *path, const char *departure);

enum ttdisk_check_flags {
	TTDISK_REPAIR = 1,	/* cut off what is not valid (to F.ttd.dropped, when it was damaged) and write the index anew */
	TTDISK_ACCEPT_BASE = 2,	/* with REPAIR: the base as it is now is the right one */
};

enum ttdisk_health {
	TTDISK_CLEAN,	/* all bytes are valid */
	TTDISK_CUT,	/* its end is missing or unfinished: the writer was killed, or is at work. Nothing flushed is lost */
	TTDISK_DAMAGED, /* bytes in the middle are wrong: flushed data behind them cannot be trusted */
};

struct ttdisk_check_result {
	enum ttdisk_health health;
	bool base_changed;
	bool index_good;	/* it is there, and agrees with the history; false is harmless */
	bool repaired;
	uint64_t records;	/* valid */
	uint64_t epochs;	/* the last that has ended */
	uint64_t valid_bytes;
	uint64_t dropped_bytes;	/* behind them */
	uint64_t dropped_records; /* whole records behind them that are valid by themselves */
	char text[512];		/* one or more sentences for people */
};

/*
 * Verify every byte of the history, its index, its base, and of its parents. 0 when it could be looked at, whatever the
 * result. -EBUSY: TTDISK_REPAIR while a writer is at work.
 */
int ttdisk_check(const char *history, unsigned int flags, struct ttdisk_check_result *result,
		 struct tt_error *err);

#endif /* TTDISK_H */
