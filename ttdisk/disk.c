// SPDX-License-Identifier: GPL-2.0
/*
 * disk.c - the disk. A sector is looked up in the map first, which knows what was written since the disk was opened (in
 * the history's new part, or in the overlay), then in the index of the history up to the open point, then in the base:
 * the raw image, or the parent at its point.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

#define SAVE_INDEX_FROM (1u << 20) /* bytes read at opening that are worth an index */

/* ------------------------------------------------------------------ opening */

static int open_parent(struct ttdisk *disk, unsigned int flags, unsigned int depth, struct ttdisk **parent,
		       struct tt_error *err)
{
	const struct format_header *header = &disk->history->header;
	char departure[TTDISK_DEPARTURE_SIZE];
	struct ttdisk_point point = { .kind = TTDISK_DEPARTURE, .name = departure };
	int ret;

	if (depth == DISK_MAX_PARENTS)
		return tt_fail(err, -ELOOP, "%s: more than %d parents", disk->history->path,
			       DISK_MAX_PARENTS);
	ttd_place_departure_text(header->parent_uuid, header->parent_point, header->parent_identity,
				 departure);
	ret = ttd_disk_open(disk->base_path, TTDISK_READ, &point, flags & HISTORY_NO_INDEX,
			    depth + 1, parent, err);
	if (ret)
		return ret;
	if ((*parent)->history->limits.sectors != header->sectors)
		return tt_fail(err, -ESTALE, "%s: its parent %s is a disk of another size",
			       disk->history->path, disk->base_path);
	return 0;
}

static int open_base(struct ttdisk *disk, unsigned int flags, unsigned int depth, struct tt_error *err)
{
	const struct format_header *header = &disk->history->header;

	switch (header->base_kind) {
	case FORMAT_BASE_HISTORY:
		return open_parent(disk, flags, depth, &disk->parent, err);
	case FORMAT_BASE_PARTIAL:
		return open_parent(disk, flags, depth, &disk->partial, err);
	case FORMAT_BASE_NONE:
		return 0;
	default:
		return ttd_base_open(disk->base_path, header, &disk->base, NULL, err);
	}
}

static int open_session(struct ttdisk *disk, struct tt_error *err)
{
	char recording[TTDISK_NAME_SIZE];
	int ret = ttd_place_recording(disk->history, disk->history->end.offset, recording);

	disk->opened_at = disk->history->end.offset;
	disk->needs_session = recording[0];
	return ret ? tt_fail(err, ret, "%s: cannot read it: %s", disk->history->path,
			     strerror(-ret))
		   : 0;
}

static int close_disk(struct ttdisk *disk)
{
	int ret = 0;

	if (disk->history)
		ret = ttd_history_close(disk->history);
	if (disk->parent)
		close_disk(disk->parent);
	if (disk->partial)
		close_disk(disk->partial);
	if (disk->overlay)
		ttd_overlay_destroy(disk->overlay);
	ttd_map_destroy(&disk->map);
	ttd_base_close(&disk->base);
	free(disk->base_path);
	free(disk->best);
	free(disk);
	return ret;
}

int ttd_disk_open(const char *path, enum ttdisk_mode mode, const struct ttdisk_point *point,
		  unsigned int flags, unsigned int depth, struct ttdisk **result,
		  struct tt_error *err)
{
	struct ttdisk *disk = calloc(1, sizeof(*disk));
	int ret;

	if (!disk)
		return tt_fail(err, -ENOMEM, "%s: out of memory", path);
	disk->mode = mode;
	disk->base.fd = -1;
	disk->best = calloc(DISK_CHUNK, sizeof(*disk->best));
	ret = ttd_history_open(path, flags, &disk->history, err);
	if (ret)
		goto err_close;
	ttd_map_init(&disk->map, disk->history->limits.sectors);
	disk->base_path = ttd_disk_base_path(path, &disk->history->header);
	if (!disk->best || !disk->base_path) {
		ret = tt_fail(err, -ENOMEM, "%s: out of memory", path);
		goto err_close;
	}
	if (mode != TTDISK_WRITE && disk->history->scanned >= SAVE_INDEX_FROM)
		ttd_history_save_index(disk->history);
	ret = ttd_place_find(disk->history, point, &disk->point, err);
	if (ret)
		goto err_close;
	ret = open_base(disk, flags, depth, err);
	if (!ret && mode == TTDISK_WRITE)
		ret = open_session(disk, err);
	if (!ret && mode == TTDISK_OVERLAY) {
		ret = ttd_overlay_create(&disk->overlay);
		if (ret)
			tt_fail(err, ret, "%s: no room for temporary writes: %s", path,
				strerror(-ret));
	}
	if (ret)
		goto err_close;
	*result = disk;
	return 0;

err_close:
	close_disk(disk);
	return ret;
}

int ttdisk_open(const char *path, enum ttdisk_mode mode, const struct ttdisk_point *point,
		const struct ttdisk_options *options, struct ttdisk **disk, struct tt_error *err)
{
	unsigned int flags = mode == TTDISK_WRITE ? HISTORY_WRITE : 0;

	if (mode == TTDISK_WRITE && point && point->kind != TTDISK_NOW)
		return tt_fail(err, -EINVAL,
			       "%s: the past cannot be written to; make a branch of it", path);
	if (options && options->no_io_uring)
		flags |= HISTORY_NO_URING;
	if (options && options->no_index)
		flags |= HISTORY_NO_INDEX;
	return ttd_disk_open(path, mode, point, flags, 0, disk, err);
}

int ttdisk_close(struct ttdisk *disk)
{
	return close_disk(disk);
}

/* ------------------------------------------------------------------ reading */

static int read_base(struct ttdisk *disk, uint64_t sector, uint64_t count, struct span *span)
{
	int ret = 0;

	if (disk->parent)
		return ttd_disk_read_span(disk->parent, sector, count, span);
	if (disk->image_read)
		ret = disk->image_read(disk->image_read_ctx, sector, count);
	if (ret)
		return ret;
	if (disk->partial)
		return ttd_disk_read_span(disk->partial, sector, count, span);
	if (disk->base.fd < 0)
		return -ENODATA;
	return ttd_span_pread(span, disk->base.fd, count * TTDISK_SECTOR, sector * TTDISK_SECTOR);
}

/* Sectors that the index says are in the record at `where`. It is asked. */
static int read_record(struct ttdisk *disk, uint64_t where, uint64_t sector, uint64_t count,
		       struct span *span)
{
	bool zero = where & FORMAT_WHERE_ZERO;
	const struct format_record *record;
	int ret = ttd_history_record(disk->history, where & ~FORMAT_WHERE_ZERO, &record);

	if (ret)
		return ret;
	if (!record_is_data(record) || zero == (record->type == FORMAT_WRITE) ||
	    sector < record->sector || sector + count > record->sector + record->count)
		return -EIO;
	if (zero)
		ttd_span_zero(span, count * TTDISK_SECTOR);
	else
		ttd_span_put(span,
			     (const char *)(record + 1) + (sector - record->sector) * TTDISK_SECTOR,
			     count * TTDISK_SECTOR);
	return 0;
}

void ttd_disk_look_up(struct ttdisk *disk, uint64_t sector, uint64_t count)
{
	memset(disk->best, 0, count * sizeof(*disk->best));
	ttd_history_paint(disk->history, disk->point.offset, sector, (unsigned int)count,
			  disk->best);
}

/* How many of the sectors looked up from i on are in the same place. */
static uint64_t same_place(const struct ttdisk *disk, uint64_t i, uint64_t count)
{
	uint64_t n = 1;

	while (i + n < count && disk->best[i + n] == disk->best[i])
		n++;
	return n;
}

/* What is below the map. */
static int read_below(struct ttdisk *disk, uint64_t sector, uint64_t count, struct span *span)
{
	int ret = 0;

	while (count && !ret) {
		uint64_t chunk = MIN(count, DISK_CHUNK), n;

		ttd_disk_look_up(disk, sector, chunk);
		for (uint64_t i = 0; i < chunk && !ret; i += n) {
			n = same_place(disk, i, chunk);
			if (disk->best[i])
				ret = read_record(disk, disk->best[i], sector + i, n, span);
			else
				ret = read_base(disk, sector + i, n, span);
		}
		sector += chunk;
		count -= chunk;
	}
	return ret;
}

int ttd_disk_read_span(struct ttdisk *disk, uint64_t sector, uint64_t count, struct span *span)
{
	uint64_t value;
	int ret = 0;

	while (count && !ret) {
		uint64_t n = ttd_map_get(&disk->map, sector, count, &value);

		if (MAP_KIND(value) == MAP_EMPTY)
			ret = read_below(disk, sector, n, span);
		else if (MAP_KIND(value) == MAP_ZERO)
			ttd_span_zero(span, n * TTDISK_SECTOR);
		else if (disk->overlay)
			ret = ttd_overlay_read(disk->overlay, span, n * TTDISK_SECTOR,
					       MAP_OFFSET(value));
		else
			ret = ttd_output_read_span(disk->history->output, span, n * TTDISK_SECTOR,
						   MAP_OFFSET(value));
		sector += n;
		count -= n;
	}
	return ret;
}

static bool inside(const struct ttdisk *disk, uint64_t sector, uint64_t count)
{
	uint64_t sectors = disk->history->limits.sectors;

	return count && sector < sectors && count <= sectors - sector;
}

int ttdisk_read(struct ttdisk *disk, uint64_t sector, const struct iovec *iov, int iovcnt)
{
	int64_t count = ttd_span_sectors(iov, iovcnt);
	struct span span = ttd_span_of(iov, iovcnt);

	if (count < 0 || !inside(disk, sector, (uint64_t)count))
		return -EINVAL;
	return ttd_disk_read_span(disk, sector, (uint64_t)count, &span);
}

int ttdisk_extent(struct ttdisk *disk, uint64_t sector, uint64_t max, uint64_t *count, bool *zero)
{
	uint64_t value, n, same;

	if (!inside(disk, sector, 1) || !max)
		return -EINVAL;
	max = MIN(max, disk->history->limits.sectors - sector);
	n = ttd_map_get(&disk->map, sector, max, &value);
	if (MAP_KIND(value) != MAP_EMPTY) {
		*zero = MAP_KIND(value) == MAP_ZERO;
		*count = n;
		return 0;
	}
	n = MIN(n, DISK_CHUNK);
	ttd_disk_look_up(disk, sector, n);
	for (same = 1; same < n; same++)
		if (!disk->best[same] != !disk->best[0] ||
		    (disk->best[same] ^ disk->best[0]) & FORMAT_WHERE_ZERO)
			break;
	*zero = disk->best[0] & FORMAT_WHERE_ZERO;
	*count = same;
	if (disk->best[0])
		return 0;
	if (disk->parent || disk->partial)
		return ttdisk_extent(disk->parent ? disk->parent : disk->partial, sector, same, count, zero);
	if (disk->base.fd < 0)
		return 0;
	*count = ttd_base_extent(&disk->base, sector, same, zero);
	return 0;
}

/* ------------------------------------------------------------------ writing */

static int append_name(struct ttdisk *disk, enum format_type type, uint64_t sector,
		       const char *name)
{
	struct format_record wanted = { .type = (uint8_t)type, .sector = sector };
	char payload[FORMAT_NAME_SIZE] = { 0 };

	memcpy(payload, name, strnlen(name, sizeof(payload) - 1));
	return ttd_history_append(disk->history, &wanted, payload, NULL, NULL);
}

static int start_session(struct ttdisk *disk, const char *id)
{
	int ret = append_name(disk, FORMAT_SESSION, 0, id);

	if (!ret)
		disk->needs_session = false;
	return ret;
}

static int append_data(struct ttdisk *disk, struct format_record *wanted, struct span *span)
{
	uint64_t offset;
	int ret = ttd_map_prepare(&disk->map);

	if (!ret && disk->needs_session)
		ret = start_session(disk, "");
	if (!ret)
		ret = ttd_history_append(disk->history, wanted, NULL, span, &offset);
	if (ret)
		return ret;
	ttd_map_set(&disk->map, wanted->sector, wanted->count,
		    wanted->type == FORMAT_WRITE ? (offset + FORMAT_RECORD_SIZE) | MAP_DATA
						 : MAP_ZERO);
	return 0;
}

int ttdisk_write(struct ttdisk *disk, uint64_t sector, const struct iovec *iov, int iovcnt,
		 uint64_t instr)
{
	int64_t sectors = ttd_span_sectors(iov, iovcnt);
	uint64_t count = (uint64_t)sectors;
	struct span span = ttd_span_of(iov, iovcnt);
	int ret = 0;

	if (disk->mode == TTDISK_READ)
		return -EROFS;
	if (sectors < 0 || !inside(disk, sector, count))
		return -EINVAL;
	if (disk->overlay)
		return ttd_overlay_write(disk->overlay, &disk->map, sector, count, &span);
	while (count && !ret) {
		struct format_record wanted = {
			.type = FORMAT_WRITE,
			.sector = sector,
			.count = MIN(count, FORMAT_WRITE_MAX),
			.instr = instr,
		};

		ret = append_data(disk, &wanted, &span);
		if (!ret)
			disk->written_bytes += wanted.count * TTDISK_SECTOR;
		sector += wanted.count;
		count -= wanted.count;
	}
	return ret;
}

int ttdisk_zero(struct ttdisk *disk, uint64_t sector, uint64_t count, bool discard, uint64_t instr)
{
	struct format_record wanted = {
		.type = discard ? FORMAT_DISCARD : FORMAT_ZERO,
		.sector = sector,
		.count = count,
		.instr = instr,
	};

	if (disk->mode == TTDISK_READ)
		return -EROFS;
	if (!inside(disk, sector, count))
		return -EINVAL;
	if (disk->overlay)
		return ttd_overlay_zero(disk->overlay, &disk->map, sector, count);
	return append_data(disk, &wanted, NULL);
}

int ttdisk_flush(struct ttdisk *disk, uint64_t instr)
{
	struct history *history = disk->history;
	struct format_record wanted = {
		.type = FORMAT_FLUSH,
		.sector = history->end.epoch + 1,
		.count = history->end.epoch_sectors,
		.instr = instr,
	};
	int ret;

	if (disk->mode != TTDISK_WRITE)
		return 0;
	if (history->end.epoch_data) {
		ret = ttd_history_append(history, &wanted, NULL, NULL, NULL);
		if (ret)
			return ret;
		disk->flushes++;
	}
	if (history->synced.offset == history->end.offset)
		return 0;
	return ttd_history_sync(history);
}

/* ------------------------------------------------------------------ recordings, marks, overlays */

static int not_a_writer(const struct ttdisk *disk, struct tt_error *err)
{
	return tt_fail(err, -EROFS, "%s: not opened for writing", disk->history->path);
}

static int finish(struct ttdisk *disk, int ret, struct tt_error *err)
{
	if (!ret)
		ret = ttd_history_sync(disk->history);
	if (ret)
		tt_fail(err, ret, "%s: cannot write to it: %s", disk->history->path,
			strerror(-ret));
	return ret;
}

int ttdisk_begin_session(struct ttdisk *disk, const char *id, char departure[TTDISK_DEPARTURE_SIZE],
			 struct tt_error *err)
{
	int ret;

	if (disk->mode != TTDISK_WRITE)
		return not_a_writer(disk, err);
	if (!ttd_record_name_valid(id))
		return tt_fail(err, -EINVAL, "\"%.64s\" is no name for a recording", id);
	ret = finish(disk, start_session(disk, id), err);
	return ret ? ret : ttd_place_departure(disk->history, &disk->history->end, departure, err);
}

int ttdisk_departure(struct ttdisk *disk, char departure[TTDISK_DEPARTURE_SIZE],
		     struct tt_error *err)
{
	int ret;

	if (disk->mode != TTDISK_WRITE)
		return ttd_place_departure(disk->history, &disk->point, departure, err);
	ret = ttdisk_flush(disk, 0);
	if (ret)
		return finish(disk, ret, err);
	return ttd_place_departure(disk->history, &disk->history->end, departure, err);
}

int ttdisk_mark(struct ttdisk *disk, const char *name, const struct ttdisk_point *point,
		struct tt_error *err)
{
	struct format_state state;
	uint64_t number, note;
	int ret;

	if (disk->mode != TTDISK_WRITE)
		return not_a_writer(disk, err);
	if (!ttd_record_name_valid(name))
		return tt_fail(err, -EINVAL,
			       "\"%.64s\" is no name for a mark: 1 to %d printable characters "
			       "without blanks and '/'",
			       name, TTDISK_NAME_SIZE - 1);
	ret = ttd_place_find_mark(disk->history, name, &number, &note);
	if (!ret)
		return tt_fail(err, -EEXIST, "%s: there is a mark \"%s\" already",
			       disk->history->path, name);
	if (ret != -ENOENT)
		return tt_fail(err, ret, "%s: cannot read its marks: %s", disk->history->path,
			       strerror(-ret));
	ret = ttd_place_find(disk->history, point, &state, err);
	if (ret)
		return ret;
	return finish(disk, append_name(disk, FORMAT_MARK, state.number, name), err);
}

int ttdisk_unmark(struct ttdisk *disk, const char *name, struct tt_error *err)
{
	uint64_t number, note;
	int ret;

	if (disk->mode != TTDISK_WRITE)
		return not_a_writer(disk, err);
	ret = ttd_place_find_mark(disk->history, name, &number, &note);
	if (ret)
		return tt_fail(err, ret, "%s: there is no mark \"%.64s\"", disk->history->path,
			       name);
	return finish(disk, append_name(disk, FORMAT_UNMARK, 0, name), err);
}

void ttdisk_watch_image(struct ttdisk *disk, ttdisk_range_fn read, void *ctx)
{
	while (disk->parent)
		disk = disk->parent;
	disk->image_read = read;
	disk->image_read_ctx = ctx;
}

uint64_t ttdisk_overlay_position(const struct ttdisk *disk)
{
	return disk->overlay ? ttd_overlay_position(disk->overlay) : 0;
}

int ttdisk_overlay_rewind(struct ttdisk *disk, uint64_t position)
{
	return disk->overlay ? ttd_overlay_rewind(disk->overlay, &disk->map, position) : -EINVAL;
}

/* ------------------------------------------------------------------ what it is */

void ttdisk_get_info(struct ttdisk *disk, struct ttdisk_info *info)
{
	struct history *history = disk->history;
	const struct format_state *point =
		disk->mode == TTDISK_WRITE ? &history->end : &disk->point;
	const struct ttdisk *root = disk;
	struct ttdisk_mark mark = { 0 };
	struct output_stats stats = { 0 };

	*info = (struct ttdisk_info){
		.sectors = history->limits.sectors,
		.path = history->path,
		.base = disk->base_path,
		.is_branch = disk->parent,
		.is_partial = disk->partial,
		.created_ns = history->header.created_ns,
		.records = history->end.number,
		.epochs = history->end.epoch,
		.history_bytes = history->end.offset,
		.dropped_bytes =
			disk->mode == TTDISK_WRITE
				? MAX(history->file_size, disk->opened_at) - disk->opened_at
				: history->file_size - history->end.offset,
		.index_bytes = history->index.live,
		.scanned_bytes = history->scanned,
		.written_bytes = disk->written_bytes,
		.flushes = disk->flushes,
		.point_record = point->number,
		.point_epoch = point->epoch,
		.point_time_ns = point->time_ns,
	};
	ttd_place_uuid_text(history->header.uuid, info->uuid);
	while (root->parent)
		root = root->parent;
	ttd_place_uuid_text(root->history->header.uuid, info->root);
	if (disk->parent)
		ttd_place_departure_text(history->header.parent_uuid, history->header.parent_point,
					 history->header.parent_identity, info->parent);
	if (history->output) {
		ttd_output_get_stats(history->output, &stats);
		info->appended_bytes = history->end.offset - disk->opened_at;
		info->appends = stats.appends;
		info->io_uring = stats.io_uring;
	}
	while (ttdisk_next_mark(disk, &mark, NULL) > 0)
		info->marks++;
}
