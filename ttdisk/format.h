/* SPDX-License-Identifier: GPL-2.0 */
/*
 * format.h - the file format of a disk's history, version 1, and of the index beside it.
 *
 * THE HISTORY
 *
 * A header page of 4096 bytes, then records, one behind the other to the end of the file:
 *
 *   header  WRITE WRITE ... FLUSH  WRITE DISCARD ... FLUSH  WRITE ...
 *           `----- epoch 1 -----'  `------ epoch 2 ------'  `- not flushed yet
 *
 * Nothing that was written is changed later. Integers are little-endian; a sector is 512 bytes.
 *
 * The header page is struct format_header below. Its salt is random and seeds every hash of the file, so that what an
 * earlier file has left on the disk is never taken for a record. Its uuid names the disk and survives garbage collection.
 *
 * A record is a header of 64 bytes and a payload, which begins and ends at multiples of 64 in the file:
 *
 *   offset size
 *        0    8  check: XXH64 of everything behind this field, up to the end of the payload, seeded with the salt
 *        8    8  check of the record before (the first: the salt), which chains the records
 *       16    4  0x52545454 ("TTTR")
 *       20    1  type
 *       21    1  flags: 1 FOLDED, see below
 *       22    2  0
 *       24    8  number of the record: 0, 1, 2, ...
 *       32    8  sector
 *       40    8  count
 *       48    8  instruction count of the machine (never less than before, in one session)
 *       56    8  time: nanoseconds since 1970 (never less than in the record before)
 *
 *   type        sector           count                payload
 *   1 WRITE     first            sectors, 1..128      the sectors
 *   2 ZERO      first            sectors              -
 *   3 DISCARD   first            sectors              -          they read as zeroes, too
 *   4 FLUSH     epoch it ends    sectors written      -          epochs: 1, 2, ...
 *                                in the epoch
 *   5 MARK      point            0                    name       64 bytes, padded with NULs, the last one NUL
 *   6 UNMARK    0                0                    name
 *   7 SESSION   0                0                    name of the recording; "" when it is none
 *   8 FOLD      epoch            sectors written      the header of the record that it stands for
 *                                in the fold
 *
 * A point of the history is a number N: the state after all records with numbers < N. Point 0 is the base.
 *
 * Longer writes of a guest become several records. A 4 KiB write costs 64 bytes, 1.6 %.
 *
 * FOLDING. Garbage collection writes a new file, with a new salt, in which the records between two points that are kept
 * are replaced by as few as lead from the one to the other. These carry the flag FOLDED, and a FOLD record ends them; it
 * takes the number of the last record that was replaced, and its payload is the header of it. There are no points inside
 * of a fold. Points, epochs, marks and sessions outside have the numbers that they had. FOLDED records have any number up
 * to that of their FOLD: SESSIONs and MARKs are those of before (the session that is in force at the fold's end, and, in
 * the last fold, all marks set), data has the number of the FOLD.
 *
 * WHAT A READER DOES
 *
 * It walks from record to record. A record is valid if its hash is right, its fields are possible (sectors are inside the
 * disk, names are names, padding is zero), and it continues the chain: the check of the record before, and the next number
 * (FOLD: that or a higher one). The first record that is not valid ends the history, and a fold without its end does not
 * count. So a writer that was killed at any byte leaves a prefix of what it wrote. Before a flush of the guest is
 * answered, everything up to its FLUSH record is on stable storage, and nothing behind it is written earlier than that;
 * the same is true of MARK, UNMARK and SESSION; when it fails, nothing is appended before it has succeeded. Hence bytes
 * have changed that were on stable storage, the history is not cut short but damaged, and nobody may truncate it without
 * being told to, if it ends
 *
 *   before the offset `durable` of the header page (garbage collection sets it); or
 *   before a record of these types which is valid by itself, and another valid one of a higher number behind that; or
 *   before a record of these types alone, unless a whole page of zeroes lies in the gap before the next valid record: so a
 *   power failure looks that came before the answer, when the kernel had written later pages, but not all earlier ones.
 *
 * THE BASE is what lies below the history, by base_kind:
 *
 *   1 RAW      a raw image: a file or a block device. Its size and hashes say which
 *   2 HISTORY  a point of another history: this one is a branch
 *   3 PARTIAL  a history of kind 4, at its end, holds the parts of the raw image that were taken along when the disk was
 *              moved (`ttvm pack`). What says which image it was is kept
 *   4 NONE     nothing: this history holds parts of a raw image. A sector that no record has written is unknown; reading it
 *              is an error, never zeroes. base_path is where the image was, for people only
 *
 * THE INDEX
 *
 * F.ttd.idx is derived from the history, and is looked at instead of it to find the newest record for a sector at a
 * point, and the record for a point. Records are known by their offsets here, which are ordered as their numbers are.
 *
 *   two directories of 8192 bytes (struct format_directory), then runs, 64-byte aligned
 *
 * A run covers the records from the end of the run before (the first: from the header page) to its own end, and is
 * three arrays, one behind the other:
 *
 *   pieces   key, where; sorted. A piece is 8^level sectors that are aligned to their size: key is level << 58 | (first
 *            sector >> 3 level), where is the offset of the record, plus 1 if the piece is zeroes
 *   stops    offset, epochs ended before. All records but FOLDED ones and data, and of the data at least one of 256
 *   notes    offset. All SESSION, MARK and UNMARK records
 *
 * The newest record for a sector at a point, hence, is the highest offset below that of the point, among the pieces of
 * at most 20 levels that hold the sector; each is a binary search. Runs are merged such that each is at least twice as
 * long as the next; their number is logarithmic.
 *
 * The directories are written in turn; the valid one of the higher generation counts. It is valid when its hash and its
 * salt are right; a run is used when its hash is right and the history has, where the run ends, the record that was there
 * when the run was made, which vouches for all before. The first run that is not good ends the index. What it does not
 * cover is read from the history; what it says is checked against the record that it names, every time.
 */
#ifndef TTDISK_FORMAT_H
#define TTDISK_FORMAT_H

#include <stdint.h>

#define FORMAT_VERSION	   1
#define FORMAT_TEXT	   "ttvm disk 1\n"
#define FORMAT_TEXT_SIZE   16
#define FORMAT_HEADER_SIZE 4096
#define FORMAT_PATH_SIZE   2048

enum format_base_kind {
	FORMAT_BASE_RAW = 1,	 /* a file or block device */
	FORMAT_BASE_HISTORY = 2, /* a point of another history: this is a branch */
	FORMAT_BASE_PARTIAL = 3, /* a history that holds some sectors of a raw image */
	FORMAT_BASE_NONE = 4,	 /* this is one of those */
};

struct format_header {
	char text[FORMAT_TEXT_SIZE]; /* FORMAT_TEXT, padded with NULs */
	uint32_t version;
	uint32_t base_kind;
	uint64_t sectors;
	uint64_t salt;
	uint8_t uuid[16];
	uint64_t created_ns;
	/* FORMAT_BASE_RAW, _PARTIAL, _NONE: which the raw image is. See base.c for the hashes */
	uint64_t base_mtime_ns; /* 0 for block devices */
	uint64_t base_samples;
	uint64_t base_hash;   /* of all of it */
	uint64_t base_hashed; /* 1: base_hash is known */
	uint64_t durable; /* bytes of the history that were on stable storage when this page was written; or 0 */
	/* FORMAT_BASE_HISTORY, _PARTIAL: which history, and which point of it */
	uint8_t parent_uuid[16];
	uint64_t parent_point;
	uint64_t parent_identity; /* ttd_record_identity() of the record before the point */
	uint8_t reserved[1904];
	char base_path[FORMAT_PATH_SIZE]; /* relative to the folder of the history, or absolute */
	uint64_t check;			  /* XXH64 of all before */
};

_Static_assert(sizeof(struct format_header) == FORMAT_HEADER_SIZE, "one page");

#define FORMAT_RECORD_MAGIC 0x52545454u
#define FORMAT_RECORD_SIZE  64
#define FORMAT_ALIGN	    64
#define FORMAT_NAME_SIZE    64
#define FORMAT_WRITE_MAX    128 /* sectors */
#define FORMAT_RECORD_MAX   (FORMAT_RECORD_SIZE + FORMAT_WRITE_MAX * 512)

enum format_type {
	FORMAT_WRITE = 1,
	FORMAT_ZERO = 2,
	FORMAT_DISCARD = 3,
	FORMAT_FLUSH = 4,
	FORMAT_MARK = 5,
	FORMAT_UNMARK = 6,
	FORMAT_SESSION = 7,
	FORMAT_FOLD = 8,
};

#define FORMAT_FOLDED 1

struct format_record {
	uint64_t check;
	uint64_t previous;
	uint32_t magic;
	uint8_t type;
	uint8_t flags;
	uint16_t reserved;
	uint64_t number;
	uint64_t sector;
	uint64_t count;
	uint64_t instr;
	uint64_t time_ns;
};

_Static_assert(sizeof(struct format_record) == FORMAT_RECORD_SIZE, "as in the file");

/* ------------------------------------------------------------------ the index */

#define FORMAT_INDEX_TEXT     "ttvm index 1\n"
#define FORMAT_DIRECTORY_SIZE 8192
#define FORMAT_INDEX_DATA     (2 * FORMAT_DIRECTORY_SIZE)
#define FORMAT_MAX_RUNS	      64
#define FORMAT_STOP_EVERY     256
#define FORMAT_LEVEL_SHIFT    58
#define FORMAT_MAX_LEVEL      19
#define FORMAT_WHERE_ZERO     1ull

struct format_piece {
	uint64_t key;
	uint64_t where;
};

struct format_stop {
	uint64_t offset;
	uint64_t epoch;
};

/* The history up to some offset: what is needed to go on from there. Also used in memory. */
struct format_state {
	uint64_t offset;	/* where the next record goes */
	uint64_t last;		/* offset of the record before; 0: there is none */
	uint64_t check;		/* of the record before, or the salt */
	uint64_t number;	/* of the next record */
	uint64_t epoch;		/* epochs that have ended */
	uint64_t epoch_sectors; /* written since */
	uint64_t epoch_data;	/* WRITE, ZERO and DISCARD records since */
	uint64_t time_ns;	/* of the record before */
	uint64_t instr;
	uint64_t session; /* offset of the last SESSION record; 0: there is none */
	uint32_t since_stop; /* records from the last stop on */
	uint32_t in_fold; /* 1: inside of a fold */
};

struct format_run {
	uint64_t offset; /* in the index */
	uint64_t pieces; /* numbers of entries */
	uint64_t stops;
	uint64_t notes;
	uint64_t check; /* XXH64 of the arrays, seeded with the salt */
	struct format_state end;
};

struct format_directory {
	char text[FORMAT_TEXT_SIZE];
	uint64_t salt; /* of the history */
	uint64_t generation;
	uint64_t num_runs;
	struct format_run runs[FORMAT_MAX_RUNS - 1];
	uint8_t reserved[8192 - 40 - 63 * 128 - 8];
	uint64_t check; /* XXH64 of all before, seeded with the salt */
};

_Static_assert(sizeof(struct format_run) == 128, "as in the file");
_Static_assert(sizeof(struct format_directory) == FORMAT_DIRECTORY_SIZE, "as in the file");

#endif /* TTDISK_FORMAT_H */
