// SPDX-License-Identifier: GPL-2.0
/*
 * gc.c - garbage collection: a new history in which what lies between two points that are kept is folded into what leads
 * from the one to the other. Format of folds: format.h.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

struct gc {
	struct ttdisk
		*disk; /* the old history; its open point moves from kept point to kept point */
	struct history *history;
	struct format_state
		*points; /* that are kept before all is kept, ascending; the last one is the cut */
	size_t num_points, max_points;
	/* the new one; output is NULL in a dry run */
	int fd;
	struct output *output;
	struct record_limits limits;
	uint64_t check, end;
	uint64_t session; /* that the new one has: its offset in the old */
	struct ttdisk_gc_result *result;
};

/* ------------------------------------------------------------------ which points */

static int by_offset(const void *a, const void *b)
{
	const struct format_state *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int keep(struct gc *gc, const struct format_state *point)
{
	size_t max = gc->max_points ? 2 * gc->max_points : 64;
	struct format_state *points;

	if (point->offset == gc->history->start.offset)
		return 0;
	if (gc->num_points == gc->max_points) {
		points = realloc(gc->points, max * sizeof(*points));
		if (!points)
			return -ENOMEM;
		gc->points = points;
		gc->max_points = max;
	}
	gc->points[gc->num_points++] = *point;
	return 0;
}

/* Everything from here on is kept. */
static int find_cut(struct gc *gc, const struct ttdisk_gc_options *options,
		    struct format_state *cut, struct tt_error *err)
{
	const struct format_state *end = &gc->history->end;
	struct ttdisk_point epoch = { .kind = TTDISK_EPOCH };
	struct ttdisk_point since = { .kind = TTDISK_TIME, .number = options->keep_since_ns };
	struct format_state found = *end;
	int ret = 0;

	*cut = *end;
	if (options->keep_epochs) {
		if (options->keep_epochs < end->epoch)
			epoch.number = end->epoch - options->keep_epochs;
		ret = ttd_place_find(gc->history, &epoch, &found, err);
		if (ret && ret != -ENOENT)
			return ret;
		*cut = found;
	}
	if (options->keep_since_ns) {
		ret = ttd_place_find(gc->history, &since, &found, err);
		if (ret && ret != -ENOENT)
			return ret;
		if (found.offset < cut->offset)
			*cut = found;
	}
	return 0;
}

static int find_points(struct gc *gc, const struct ttdisk_gc_options *options, struct tt_error *err)
{
	struct ttdisk_session session = { 0 };
	struct ttdisk_mark mark = { 0 };
	struct format_state state, cut;
	size_t n = 0;
	int ret = find_cut(gc, options, &cut, err);

	while (!ret && (ret = ttdisk_next_mark(gc->disk, &mark, err)) > 0) {
		ret = ttd_place_find_number(gc->history, mark.record, &state, err);
		if (!ret)
			ret = keep(gc, &state);
	}
	while (!ret && options->keep_recordings &&
	       (ret = ttdisk_next_session(gc->disk, &session, err)) > 0) {
		ret = 0;
		if (!session.departure[0])
			continue;
		ret = ttd_place_find_number(gc->history, session.record, &state, err);
		if (!ret)
			ret = keep(gc, &state);
	}
	if (!ret)
		ret = keep(gc, &cut);
	if (ret)
		return ret;
	if (gc->num_points)
		qsort(gc->points, gc->num_points, sizeof(*gc->points), by_offset);
	for (size_t i = 0; i < gc->num_points; i++)
		if (gc->points[i].offset <= cut.offset &&
		    (!n || gc->points[n - 1].offset != gc->points[i].offset))
			gc->points[n++] = gc->points[i];
	gc->num_points = n;
	return 0;
}

static bool is_kept(const struct gc *gc, uint64_t number)
{
	uint64_t cut = gc->num_points ? gc->points[gc->num_points - 1].number : 0;

	for (size_t i = 0; i < gc->num_points; i++)
		if (gc->points[i].number == number)
			return true;
	return number >= cut;
}

static int count_lost(struct gc *gc, struct tt_error *err)
{
	struct ttdisk_session session = { 0 };
	struct ttdisk_epoch epoch = { 0 };
	int ret;

	while ((ret = ttdisk_next_session(gc->disk, &session, err)) > 0)
		if (session.departure[0] && !is_kept(gc, session.record))
			gc->result->recordings_lost++;
	while (!ret && (ret = ttdisk_next_epoch(gc->disk, &epoch, err)) > 0) {
		ret = 0;
		if (epoch.open)
			continue;
		gc->result->epochs_before++;
		gc->result->epochs_after += is_kept(gc, epoch.end_record);
	}
	return ret;
}

/* ------------------------------------------------------------------ writing records */

/* Append a record with these fields, whatever they are. */
static int emit(struct gc *gc, const struct format_record *wanted, const void *payload)
{
	struct format_record *record;
	uint64_t size = record_size(wanted);
	int ret;

	gc->end += size;
	if (!gc->output)
		return 0;
	ret = ttd_output_reserve(gc->output, size, (uint8_t **)&record);
	if (ret)
		return ret;
	*record = *wanted;
	record->magic = FORMAT_RECORD_MAGIC;
	record->previous = gc->check;
	if (size > sizeof(*record))
		memcpy(record + 1, payload, size - sizeof(*record));
	ttd_record_seal(record, gc->limits.salt);
	gc->check = record->check;
	ttd_output_commit(gc->output, size);
	return 0;
}

static struct format_record folded(const struct format_state *point, enum format_type type,
				   uint64_t sector, uint64_t count)
{
	return (struct format_record){
		.type = (uint8_t)type,
		.flags = FORMAT_FOLDED,
		.number = point->number - 1,
		.sector = sector,
		.count = count,
		.instr = point->instr,
		.time_ns = point->time_ns,
	};
}

/* Sectors that are data, or zeroes, as they are at the point. */
static int fold_piece(struct gc *gc, const struct format_state *point, uint64_t sector,
		      uint64_t count, bool zero, uint64_t *written)
{
	struct format_record record =
		folded(point, zero ? FORMAT_ZERO : FORMAT_WRITE, sector, count);
	uint8_t data[FORMAT_WRITE_MAX * TTDISK_SECTOR];
	struct iovec iov = { data, count * TTDISK_SECTOR };
	int ret = 0;

	if (zero)
		return emit(gc, &record, NULL);
	if (gc->output)
		ret = ttdisk_read(gc->disk, sector, &iov, 1);
	*written += count;
	return ret ? ret : emit(gc, &record, data);
}

/* How many of the sectors from there on are alike, and fit a record. */
static uint64_t alike(struct gc *gc, uint64_t sector, uint64_t max, bool *zero)
{
	uint64_t total = 0;

	*zero = false;
	while (total < max) {
		uint64_t n = MIN(max - total, DISK_CHUNK), i;

		ttd_disk_look_up(gc->disk, sector + total, n);
		if (!total)
			*zero = gc->disk->best[0] & FORMAT_WHERE_ZERO;
		for (i = 0; i < n; i++)
			if (!!(gc->disk->best[i] & FORMAT_WHERE_ZERO) != *zero)
				break;
		total += i;
		if (i < n || (!*zero && total >= FORMAT_WRITE_MAX))
			break;
	}
	return *zero ? total : MIN(total, FORMAT_WRITE_MAX);
}

static int fold_data(struct gc *gc, const struct format_state *from,
		     const struct format_state *point, uint64_t *written)
{
	uint64_t sectors = gc->history->limits.sectors, value, n;
	struct map map;
	bool zero;
	int ret;

	ttd_map_init(&map, sectors);
	ret = ttd_diff_collect(gc->history, from->offset, point->offset, &map);
	gc->disk->point = *point;
	for (uint64_t sector = 0; sector < sectors && !ret; sector += n) {
		n = ttd_map_get(&map, sector, sectors - sector, &value);
		if (MAP_KIND(value) == MAP_EMPTY)
			continue;
		n = alike(gc, sector, n, &zero);
		ret = fold_piece(gc, point, sector, n, zero, written);
	}
	ttd_map_destroy(&map);
	return ret;
}

/* A SESSION or MARK of the old history, as it was. */
static int copy_note(struct gc *gc, uint64_t offset)
{
	const struct format_record *record;
	struct format_record wanted;
	int ret = ttd_history_record(gc->history, offset, &record);

	if (ret)
		return ret;
	wanted = *record;
	wanted.flags = FORMAT_FOLDED;
	return emit(gc, &wanted, record + 1);
}

static int copy_marks(struct gc *gc, uint64_t limit)
{
	const struct format_record *record;
	uint64_t num = ttd_history_num_notes(gc->history), number, set;

	for (uint64_t i = 0; i < num && ttd_history_note(gc->history, i) < limit; i++) {
		uint64_t offset = ttd_history_note(gc->history, i);
		char name[FORMAT_NAME_SIZE];
		int ret = ttd_history_record(gc->history, offset, &record);

		if (ret)
			return ret;
		if (record->type != FORMAT_MARK)
			continue;
		memcpy(name, record + 1, sizeof(name));
		ret = ttd_place_find_mark(gc->history, name, &number, &set);
		if (ret == -ENOENT || (!ret && set != offset))
			continue;
		if (!ret)
			ret = copy_note(gc, offset);
		if (ret)
			return ret;
	}
	return 0;
}

/* Everything between two points as one fold. */
static int fold(struct gc *gc, const struct format_state *from, const struct format_state *point,
		bool last)
{
	const struct format_record *record;
	struct format_record end = folded(point, FORMAT_FOLD, point->epoch, 0), replaced;
	int ret = fold_data(gc, from, point, &end.count);

	if (!ret && point->session != gc->session) {
		gc->session = point->session;
		ret = copy_note(gc, point->session);
	}
	if (!ret && last)
		ret = copy_marks(gc, point->offset);
	if (!ret)
		ret = ttd_history_record(gc->history, point->last, &record);
	if (ret)
		return ret;
	replaced = record->type == FORMAT_FOLD ? record[1] : record[0];
	end.flags = 0;
	return emit(gc, &end, &replaced);
}

static int write_records(struct gc *gc)
{
	const struct format_state *from = &gc->history->start;
	const struct format_record *record;
	struct walk walk;
	int ret = 0;

	for (size_t i = 0; i < gc->num_points && !ret; i++) {
		ret = fold(gc, from, &gc->points[i], i + 1 == gc->num_points);
		from = &gc->points[i];
	}
	if (ret)
		return ret;
	if (!gc->output) {
		gc->end += gc->history->end.offset - from->offset;
		return 0;
	}
	ret = ttd_walk_start(&walk, gc->history->fd, &gc->history->limits, from,
			     gc->history->end.offset);
	while (!ret && (ret = ttd_walk_next(&walk, &record)) > 0)
		ret = emit(gc, record, record + 1);
	if (!ret && walk.state.offset != gc->history->end.offset)
		ret = -EIO;
	ttd_walk_end(&walk);
	return ret;
}

/* ------------------------------------------------------------------ the new file */

/* Nothing replaces a history that was not read back. */
static int verify(struct gc *gc)
{
	struct format_state start = { .offset = FORMAT_HEADER_SIZE, .check = gc->limits.salt };
	const struct format_record *record;
	struct walk walk;
	int ret = ttd_walk_start(&walk, gc->fd, &gc->limits, &start, gc->end);

	while (!ret && (ret = ttd_walk_next(&walk, &record)) > 0)
		ret = 0;
	if (!ret && (walk.point.offset != gc->end || walk.point.number != gc->history->end.number ||
		     walk.point.epoch != gc->history->end.epoch))
		ret = -EIO;
	ttd_walk_end(&walk);
	return ret;
}

static void copy_owner(struct gc *gc)
{
	struct stat st;

	if (fstat(gc->history->fd, &st))
		return;
	if (fchown(gc->fd, st.st_uid, st.st_gid))
		errno = 0; /* not root: it belongs to who collects */
	fchmod(gc->fd, st.st_mode & 07777);
}

static int write_file(struct gc *gc, const char *path, struct tt_error *err)
{
	struct format_header header = gc->history->header;
	int ret;

	header.durable = 0;
	unlink(path); /* of one that was interrupted; nobody else is at work */
	ret = ttd_history_create(path, &header, err);
	if (ret)
		return ret;
	gc->limits.salt = header.salt;
	gc->limits.sectors = header.sectors;
	gc->check = header.salt;
	gc->end = FORMAT_HEADER_SIZE;
	gc->fd = open(path, O_RDWR | O_CLOEXEC);
	ret = gc->fd < 0 ? -errno : ttd_output_create(gc->fd, gc->end, false, &gc->output);
	if (!ret) {
		copy_owner(gc);
		ret = write_records(gc);
	}
	if (!ret)
		ret = ttd_output_sync(gc->output);
	if (!ret)
		ret = verify(gc);
	if (!ret) {
		header.durable = gc->end;
		ret = ttd_history_write_header(gc->fd, &header);
	}
	if (ret)
		tt_fail(err, ret, "%s: cannot write it: %s", path, strerror(-ret));
	return ret;
}

static int replace(struct gc *gc, struct tt_error *err)
{
	char *path = ttd_index_path(gc->history->path, ".gc");
	char *index = ttd_index_path(gc->history->path, ".idx");
	int ret;

	if (!path || !index) {
		free(path);
		free(index);
		return tt_fail(err, -ENOMEM, "%s: out of memory", gc->history->path);
	}
	ret = write_file(gc, path, err);
	if (!ret && rename(path, gc->history->path))
		ret = tt_fail(err, -errno, "%s: cannot take the place of %s: %s", path,
			      gc->history->path, strerror(errno));
	if (!ret) {
		ret = ttd_history_sync_folder(gc->history->path);
		unlink(index); /* of the old one */
	} else {
		unlink(path);
	}
	if (gc->output)
		ttd_output_destroy(gc->output);
	if (gc->fd >= 0)
		close(gc->fd);
	free(path);
	free(index);
	return ret;
}

int ttdisk_gc(const char *history, const struct ttdisk_gc_options *options,
	      struct ttdisk_gc_result *result, struct tt_error *err)
{
	struct gc gc = { .fd = -1, .end = FORMAT_HEADER_SIZE, .result = result };
	int ret = ttd_disk_open(history, TTDISK_READ, NULL, HISTORY_LOCK, 0, &gc.disk, err);

	if (ret)
		return ret;
	if (err)
		err->code = 0;
	memset(result, 0, sizeof(*result));
	gc.history = gc.disk->history;
	ret = find_points(&gc, options, err);
	if (!ret)
		ret = count_lost(&gc, err);
	result->bytes_before = gc.history->end.offset;
	if (!ret && !gc.num_points) /* everything is kept */
		gc.end = gc.history->end.offset;
	else if (!ret)
		ret = options->dry_run ? write_records(&gc) : replace(&gc, err);
	result->bytes_after = gc.end;
	if (ret && err && !err->code)
		tt_fail(err, ret, "%s: cannot collect: %s", history, strerror(-ret));
	free(gc.points);
	ttdisk_close(gc.disk);
	return ret;
}
