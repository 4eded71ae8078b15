/* SPDX-License-Identifier: GPL-2.0 */
/*
 * internal.h - what the files of ttdisk/ share. From the bottom up:
 *
 *   record.c   one record: seal it, judge it
 *   span.c     the caller's memory, piece by piece
 *   map.c      what holds each sector: the newest state, in memory
 *   output.c   appending to the history's file
 *   base.c     the raw image below
 *   walk.c     from record to record
 *   run.c      a part of the index, in memory
 *   index.c    the index's file
 *   history.c  a history: header, walking, opening, appending
 *   place.c    from points to offsets
 *   overlay.c  writes that are forgotten
 *   disk.c     the disk: opening, reading, writing
 *   list.c diff.c branch.c gc.c check.c carry.c   what else can be done with it
 */
#ifndef TTDISK_INTERNAL_H
#define TTDISK_INTERNAL_H

#include <string.h>
#include <sys/types.h>

#include "format.h"
#include "ttdisk.h"

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* ------------------------------------------------------------------ record.c */

struct record_limits {
	uint64_t salt;
	uint64_t sectors;
};

static inline uint64_t record_payload(const struct format_record *record)
{
	switch (record->type) {
	case FORMAT_WRITE:
		return record->count * TTDISK_SECTOR;
	case FORMAT_MARK:
	case FORMAT_UNMARK:
	case FORMAT_SESSION:
	case FORMAT_FOLD:
		return FORMAT_NAME_SIZE;
	}
	return 0;
}

static inline uint64_t record_size(const struct format_record *record)
{
	return FORMAT_RECORD_SIZE + record_payload(record);
}

static inline bool record_is_data(const struct format_record *record)
{
	return record->type <= FORMAT_DISCARD;
}

/* Fill in the check of a record whose payload lies behind it. */
void ttd_record_seal(struct format_record *record, uint64_t salt);
/* Are the fields possible? The payload is not looked at, so that its size can be trusted afterwards. */
bool ttd_record_fields_valid(const struct format_record *record, const struct record_limits *limits);
/* Are the fields and the payload behind them right? Says nothing of its place in the chain. */
bool ttd_record_valid(const struct format_record *record, const struct record_limits *limits);
/* Of the record, for departures: the same after garbage collection. FOLD: of the record that it stands for. */
uint64_t ttd_record_identity(const struct format_record *record);
/* 1..63 printable characters without blanks and '/'. */
bool ttd_record_name_valid(const char *name);
/* A record follows: is it the next in the chain, and what is the state behind it? False: it is not valid here. */
bool ttd_record_follows(const struct format_state *state, const struct format_record *record);
void ttd_record_advance(struct format_state *state, const struct format_record *record);

/* ------------------------------------------------------------------ span.c */

/* Where reading or writing is in the caller's iovecs. */
struct span {
	const struct iovec *iov;
	int left;	/* iovecs from iov on */
	size_t offset;	/* in iov[0] */
};

#define SPAN_IOVS 32

struct span ttd_span_of(const struct iovec *iov, int iovcnt);
/* Sectors of an iovec list, or -EINVAL when it is not a whole number of them, none, or too many. */
int64_t ttd_span_sectors(const struct iovec *iov, int iovcnt);
/* Up to max bytes from here on as iovecs; moves on. Returns their number, *len their bytes. */
int ttd_span_take(struct span *span, size_t max, struct iovec out[SPAN_IOVS], size_t *len);
void ttd_span_put(struct span *span, const void *from, size_t len);
void ttd_span_get(struct span *span, void *to, size_t len);
void ttd_span_zero(struct span *span, size_t len);
/* Read len bytes of a file into it. Short files are errors (-EIO). */
int ttd_span_pread(struct span *span, int fd, size_t len, uint64_t offset);

/* ------------------------------------------------------------------ map.c */

/*
 * For each sector a value: MAP_EMPTY, MAP_ZERO, or MAP_DATA with an offset (a multiple of 64) which grows by 512 from
 * sector to sector.
 */
#define MAP_EMPTY 0ull
#define MAP_NODE  1ull /* inside map.c only */
#define MAP_ZERO  2ull
#define MAP_DATA  3ull
#define MAP_KIND(value)	  ((value) & 3)
#define MAP_OFFSET(value) ((value) & ~63ull)

struct map_node;
struct map_chunk;

struct map {
	uint64_t root;
	unsigned int level;	/* the root holds 8^level sectors */
	struct map_node *unused;
	unsigned int num_unused;
	struct map_chunk *chunks;
};

void ttd_map_init(struct map *map, uint64_t sectors);
void ttd_map_destroy(struct map *map);
/* Everything is MAP_EMPTY again. */
void ttd_map_clear(struct map *map);
/* Make sure that the next ttd_map_set() finds memory. -ENOMEM. */
int ttd_map_prepare(struct map *map);
/* After a successful ttd_map_prepare(). value is that of the first sector. */
void ttd_map_set(struct map *map, uint64_t sector, uint64_t count, uint64_t value);
/* *value at sector; how many of max sectors from there on go on with it. */
uint64_t ttd_map_get(const struct map *map, uint64_t sector, uint64_t max, uint64_t *value);

/* ------------------------------------------------------------------ output.c */

struct output;

struct output_stats {
	uint64_t appends; /* calls or requests to the kernel */
	bool io_uring;
};

/* Append to fd from offset `end` on. fd is borrowed. */
int ttd_output_create(int fd, uint64_t end, bool no_io_uring, struct output **output);
/*
 * Room for len <= FORMAT_RECORD_MAX bytes at the end; nothing is appended before ttd_output_commit(). -errno: the file cannot
 * take it now, what was committed is kept in memory.
 */
int ttd_output_reserve(struct output *output, size_t len, uint8_t **room);
void ttd_output_commit(struct output *output, size_t len);
uint64_t ttd_output_end(const struct output *output);
/* Read what was committed, or what was in the file before. */
int ttd_output_read(struct output *output, void *to, size_t len, uint64_t offset);
int ttd_output_read_span(struct output *output, struct span *span, size_t len, uint64_t offset);
/* Everything committed is in the file. */
int ttd_output_drain(struct output *output);
/*
 * ... and on stable storage. After a failure it writes everything since the last success again, but cannot know whether
 * the file still had what it could not find in memory: the next success is one only if that can be read.
 */
int ttd_output_sync(struct output *output);
void ttd_output_get_stats(const struct output *output, struct output_stats *stats);
/* Drains, if it can; frees. */
int ttd_output_destroy(struct output *output);

/* ------------------------------------------------------------------ base.c */

struct base {
	int fd;
	uint64_t sectors;
};

/* Open a raw image and fill in the fields of header that say which it is. */
int ttd_base_identify(const char *path, bool hash, struct format_header *header, struct tt_error *err);
/* Open it again. -ESTALE: it is not the one that header describes (with *changed, which may be NULL, true). */
int ttd_base_open(const char *path, const struct format_header *header, struct base *base,
	      bool *changed, struct tt_error *err);
void ttd_base_close(struct base *base);
/* Are sectors from there on a hole? How many of max are the same. */
uint64_t ttd_base_extent(const struct base *base, uint64_t sector, uint64_t max, bool *zero);

/* ------------------------------------------------------------------ walk.c */

struct history;

struct walk {
	struct history *history; /* a writer's, whose buffers hold records, too; or NULL */
	int fd;
	struct record_limits limits;
	struct format_state state; /* behind the record that ttd_walk_next() gave */
	struct format_state point; /* the last state that was not inside of a fold */
	uint64_t limit;		   /* no record that ends behind it */
	uint64_t begin, fill;	   /* of the file in buffer */
	uint8_t *buffer;
};

int ttd_walk_start(struct walk *walk, int fd, const struct record_limits *limits,
	       const struct format_state *state, uint64_t limit);
/* 1: *record, with its payload behind it, valid until the next call; 0: no further valid record; -errno: cannot read. */
int ttd_walk_next(struct walk *walk, const struct format_record **record);
void ttd_walk_end(struct walk *walk);

struct ttd_walk_behind {
	uint64_t records; /* that are valid by themselves */
	bool damaged;	  /* bytes have changed that were on stable storage; see format.h */
};

/* What is there between the end of a walk and the end of the file. */
int ttd_walk_behind(int fd, const struct record_limits *limits, const struct format_state *end,
		uint64_t size, uint64_t durable, struct ttd_walk_behind *behind);

/* ------------------------------------------------------------------ run.c */

/* Records [begin, end.offset) as the index sees them. Arrays are in the mapped index, or owned and growing. */
struct run {
	struct format_piece *pieces;
	struct format_stop *stops;
	uint64_t *notes;
	uint64_t num_pieces, num_stops, num_notes;
	uint64_t max_pieces, max_stops, max_notes; /* 0: not owned */
	uint32_t levels;			   /* bit n: there are pieces of level n. Sorted runs */
	uint64_t begin;
	struct format_state end;
	uint64_t file_offset; /* in the index; 0: not there */
	uint64_t check;	      /* of the arrays in the index */
};

/* The most pieces that one range of sectors makes. */
#define RUN_RANGE_PIECES (2 * 7 * (FORMAT_MAX_LEVEL + 1))

void ttd_run_free(struct run *run);
/* Make sure that ttd_run_add() finds memory. -ENOMEM. */
int ttd_run_prepare(struct run *run);
/* Add the record at run->end, and move the end behind it. */
void ttd_run_add(struct run *run, const struct format_record *record);
/* After the last ttd_run_add(): make it fit for ttd_run_paint(). */
void ttd_run_sort(struct run *run);
uint32_t ttd_run_find_levels(const struct run *run);
/* a and the run b that follows it as one, owned. */
int ttd_run_merge(const struct run *a, const struct run *b, struct run *merged);
/*
 * best[i]: where of the newest piece so far for sector + i, or 0. Take into account the pieces of this run before limit.
 */
void ttd_run_paint(const struct run *run, uint64_t limit, uint64_t sector, unsigned int count,
	       uint64_t *best);

/* ------------------------------------------------------------------ history.c */

struct index_file {
	void *mapped;
	uint64_t size;
	uint64_t generation;
	uint64_t live; /* bytes of it that are used */
};

struct history {
	char *path;
	int fd;
	struct format_header header;
	struct record_limits limits;
	uint64_t file_size;	    /* when it was opened */
	struct format_state start;  /* before the first record */
	struct format_state end;    /* behind the last valid one */
	bool damaged;		    /* ... it is not the end because of a killed writer */
	uint64_t scanned;	    /* bytes read by ttd_history_open() */
	struct index_file index;
	struct run runs[FORMAT_MAX_RUNS]; /* oldest first; the last one is owned and, for a writer, grows */
	unsigned int num_runs;
	struct output *output;	    /* writer */
	bool no_index;
	bool locked;
	bool sync_failed;	    /* what is behind `synced` waits for a sync that succeeds; nothing is appended before */
	struct format_state synced; /* writer: everything before is on stable storage */
	uint8_t *buffer;	    /* FORMAT_RECORD_MAX bytes for ttd_history_record() */
	uint64_t buffered;	    /* offset of the record in it; 0: none */
};

#define HISTORY_WRITE	 1 /* lock; truncate what is not valid */
#define HISTORY_LOCK	 2 /* lock only */
#define HISTORY_NO_INDEX 4
#define HISTORY_NO_URING 8

/* Read and judge the header page. -EUCLEAN: not a history; -EFBIG: newer. */
int ttd_history_read_header(int fd, const char *path, struct format_header *header,
			struct tt_error *err);
/* A uuid and the time of creation. */
int ttd_history_new_uuid(struct format_header *header, const char *path, struct tt_error *err);
/* Write the header page (check is filled in), synced. */
int ttd_history_write_header(int fd, struct format_header *header);
/* Make the names in the folder of path durable. */
int ttd_history_sync_folder(const char *path);
/* Create path, which must not exist, with this header (text, version, salt and check are filled in). */
int ttd_history_create(const char *path, struct format_header *header, struct tt_error *err);
int ttd_history_open(const char *path, unsigned int flags, struct history **history,
		 struct tt_error *err);
/* Brings the index up to date, when it is the writer. */
int ttd_history_close(struct history *history);
/* Not a writer: save what was read because the index did not have it, if nobody writes. */
void ttd_history_save_index(struct history *history);
/* Bytes of the file, as far as it is valid. -EIO when it is shorter. */
int ttd_history_read(struct history *history, void *to, size_t len, uint64_t offset);
/* The header of the record at offset, which an index or a walk has named; its hash is not looked at. -EIO: impossible. */
int ttd_history_peek(struct history *history, uint64_t offset, struct format_record *record);
/* The whole record at offset, verified, in a buffer that the next call uses again. -EIO: not valid. */
int ttd_history_record(struct history *history, uint64_t offset, const struct format_record **record);
/* best[] as in ttd_run_paint(), over all runs. */
void ttd_history_paint(const struct history *history, uint64_t limit, uint64_t sector,
		   unsigned int count, uint64_t *best);
uint64_t ttd_history_num_stops(const struct history *history);
const struct format_stop *ttd_history_stop(const struct history *history, uint64_t i);
uint64_t ttd_history_num_notes(const struct history *history);
uint64_t ttd_history_note(const struct history *history, uint64_t i);
/*
 * Writer: append a record. type, sector, count and instr count; payload, or span for the sectors of WRITE. *offset (may be
 * NULL): where it is.
 */
int ttd_history_append(struct history *history, const struct format_record *wanted, const void *payload,
		   struct span *span, uint64_t *offset);
/*
 * Writer: everything appended is on stable storage. When that fails, nothing can be appended before it has succeeded, which
 * each ttd_history_append() tries first: no record follows one that must be safe before.
 */
int ttd_history_sync(struct history *history);

/* ------------------------------------------------------------------ index.c */

/* Fill history->runs with what is good in F.ttd.idx. Never fails: without it, everything is read from the history. */
void ttd_index_load(struct history *history);
/* Add the runs that are not in it yet. Under the writer's lock. Errors leave the old index, which is not wrong. */
int ttd_index_save(struct history *history);
void ttd_index_unload(struct history *history);
/* "F.ttd" + suffix, to be freed; NULL: no memory. */
char *ttd_index_path(const char *history_path, const char *suffix);

/* ------------------------------------------------------------------ place.c */

/*
 * The state at a point. -ENOENT with a reason; if that is garbage collection, and the point an epoch or a time, then
 * *state is a point near to it.
 */
int ttd_place_find(struct history *history, const struct ttdisk_point *point,
	       struct format_state *state, struct tt_error *err);
/* The state at a record's number. */
int ttd_place_find_number(struct history *history, uint64_t number, struct format_state *state,
		      struct tt_error *err);
int ttd_place_departure(struct history *history, const struct format_state *state,
		    char departure[TTDISK_DEPARTURE_SIZE], struct tt_error *err);
/* The name of the recording that record `offset` belongs to ("" for none). */
int ttd_place_recording(struct history *history, uint64_t offset, char recording[TTDISK_NAME_SIZE]);
/* The mark of that name that is set: its point's number, and the offset of its record. -ENOENT. */
int ttd_place_find_mark(struct history *history, const char *name, uint64_t *number, uint64_t *note);
void ttd_place_departure_text(const uint8_t uuid[16], uint64_t number, uint64_t identity,
			  char departure[TTDISK_DEPARTURE_SIZE]);
/* Its second and third part. -EINVAL. */
int ttd_place_departure_parse(const char *departure, uint64_t *number, uint64_t *identity);
void ttd_place_uuid_text(const uint8_t uuid[16], char text[37]);

/* ------------------------------------------------------------------ overlay.c */

struct overlay;

int ttd_overlay_create(struct overlay **overlay);
void ttd_overlay_destroy(struct overlay *overlay);
/* Writes, and back to fewer of them, in the map that says where they are. */
int ttd_overlay_write(struct overlay *overlay, struct map *map, uint64_t sector, uint64_t count,
		  struct span *span);
int ttd_overlay_zero(struct overlay *overlay, struct map *map, uint64_t sector, uint64_t count);
int ttd_overlay_read(struct overlay *overlay, struct span *span, size_t len, uint64_t offset);
uint64_t ttd_overlay_position(const struct overlay *overlay);
int ttd_overlay_rewind(struct overlay *overlay, struct map *map, uint64_t position);

/* ------------------------------------------------------------------ disk.c */

struct ttdisk {
	enum ttdisk_mode mode;
	struct history *history;
	struct format_state point;  /* what is below map */
	struct base base;	    /* raw, or */
	struct ttdisk *parent;	    /* of a branch, or */
	struct ttdisk *partial;	    /* what is known of the raw image. All three are missing when this is such a one */
	ttdisk_range_fn image_read; /* told of sectors that are read from the raw image, or NULL */
	void *image_read_ctx;
	char *base_path;
	struct map map;		    /* WRITE: what this writer wrote; OVERLAY: what is in the overlay */
	struct overlay *overlay;
	bool needs_session;	    /* WRITE: what is written does not belong to the last recording */
	uint64_t opened_at;	    /* WRITE: end of the history then */
	uint64_t written_bytes, flushes;
	uint64_t *best;		    /* DISK_CHUNK entries */
};

#define DISK_CHUNK 2048u /* sectors that are looked up at a time */
#define DISK_MAX_PARENTS 64

/* Path of the base as seen from here, to be freed. */
char *ttd_disk_base_path(const char *history_path, const struct format_header *header);
/* As ttdisk_open(); depth counts parents. */
int ttd_disk_open(const char *path, enum ttdisk_mode mode, const struct ttdisk_point *point,
	      unsigned int history_flags, unsigned int depth, struct ttdisk **result,
	      struct tt_error *err);
/* Fill disk->best for up to DISK_CHUNK sectors. */
void ttd_disk_look_up(struct ttdisk *disk, uint64_t sector, uint64_t count);
int ttd_disk_read_span(struct ttdisk *disk, uint64_t sector, uint64_t count, struct span *span);
/* Path to store as that of a base: relative when it is in the folder of the history. */
int ttd_disk_store_path(const char *history, const char *base, char path[FORMAT_PATH_SIZE],
		    struct tt_error *err);
/* Add to map, with value MAP_ZERO, what was written between two offsets. */
int ttd_diff_collect(struct history *history, uint64_t from, uint64_t to, struct map *map);

#endif /* TTDISK_INTERNAL_H */
