// SPDX-License-Identifier: GPL-2.0
/*
 * diff.c - what lies between two points: moving a disk from the one to the other, and the ranges in which they differ.
 */
#include <stdlib.h>

#include "internal.h"

/* ------------------------------------------------------------------ ranges */

int ttd_diff_collect(struct history *history, uint64_t from, uint64_t to, struct map *map)
{
	struct format_record record;
	int ret = 0;

	for (uint64_t offset = from; offset < to && !ret; offset += record_size(&record)) {
		ret = ttd_history_peek(history, offset, &record);
		if (ret || !record_is_data(&record))
			continue;
		ret = ttd_map_prepare(map);
		if (!ret)
			ttd_map_set(map, record.sector, record.count, MAP_ZERO);
	}
	return ret;
}

static int for_each_range(const struct map *map, uint64_t sectors, ttdisk_range_fn fn, void *ctx)
{
	uint64_t value, n;
	int ret = 0;

	for (uint64_t sector = 0; sector < sectors && !ret; sector += n) {
		n = ttd_map_get(map, sector, sectors - sector, &value);
		if (MAP_KIND(value) != MAP_EMPTY)
			ret = fn(ctx, sector, n);
	}
	return ret;
}

static int add_range(void *ctx, uint64_t sector, uint64_t count)
{
	struct map *map = ctx;
	int ret = ttd_map_prepare(map);

	if (!ret)
		ttd_map_set(map, sector, count, MAP_ZERO);
	return ret;
}

/* What an overlay holds, or a writer has written, too. */
static int collect_map(const struct ttdisk *disk, struct map *map)
{
	return for_each_range(&disk->map, disk->history->limits.sectors, add_range, map);
}

/* ------------------------------------------------------------------ moving */

int ttdisk_seek(struct ttdisk *disk, const struct ttdisk_point *point, ttdisk_range_fn changed,
		void *ctx, struct tt_error *err)
{
	struct history *history = disk->history;
	struct format_state state;
	struct map map;
	int ret;

	if (disk->mode == TTDISK_WRITE)
		return tt_fail(err, -EINVAL, "%s: a writer is always at its end", history->path);
	ret = ttd_place_find(history, point, &state, err);
	if (ret)
		return ret;
	if (changed) {
		ttd_map_init(&map, history->limits.sectors);
		ret = ttd_diff_collect(history, MIN(state.offset, disk->point.offset),
				       MAX(state.offset, disk->point.offset), &map);
		if (!ret)
			ret = collect_map(disk, &map);
		if (ret)
			tt_fail(err, ret, "%s: cannot read it: %s", history->path, strerror(-ret));
		else
			ret = for_each_range(&map, history->limits.sectors, changed, ctx);
		ttd_map_destroy(&map);
		if (ret)
			return ret;
	}
	if (disk->overlay)
		ttd_overlay_rewind(disk->overlay, &disk->map, 0);
	disk->point = state;
	return 0;
}

/* ------------------------------------------------------------------ differences */

/* Where a disk is in its history: a writer is at the end. */
static uint64_t position(const struct ttdisk *disk)
{
	return disk->mode == TTDISK_WRITE ? disk->history->end.offset : disk->point.offset;
}

static bool same_history(const struct ttdisk *a, const struct ttdisk *b)
{
	return a->history->header.salt == b->history->header.salt &&
	       !memcmp(a->history->header.uuid, b->history->header.uuid, 16);
}

static bool same_base(const struct ttdisk *a, const struct ttdisk *b)
{
	const struct format_header *x = &a->history->header, *y = &b->history->header;

	return !a->parent && !b->parent && x->base_mtime_ns == y->base_mtime_ns &&
	       x->base_samples == y->base_samples && !strcmp(a->base_path, b->base_path);
}

/* Everything that disk and its parents have, up to (not including) the history of ancestor; NULL: of all. */
static int collect_line(struct ttdisk *disk, const struct ttdisk *ancestor, struct map *map)
{
	int ret = 0;

	for (; disk && disk != ancestor && !ret; disk = disk->parent) {
		ret = ttd_diff_collect(disk->history, disk->history->start.offset, position(disk),
				       map);
		if (!ret)
			ret = collect_map(disk, map);
	}
	return ret;
}

static int collect_common(struct ttdisk *a, struct ttdisk *b, struct map *map)
{
	struct ttdisk *later = position(a) > position(b) ? a : b;
	int ret = ttd_diff_collect(later->history, MIN(position(a), position(b)), position(later),
				   map);

	if (!ret)
		ret = collect_map(a, map);
	return ret ? ret : collect_map(b, map);
}

/* Ranges outside of which a and b are the same. -EINVAL: nobody knows. */
static int collect(struct ttdisk *a, struct ttdisk *b, struct map *map)
{
	struct ttdisk *x, *y = NULL;
	int ret;

	for (x = a; x; x = x->parent) {
		for (y = b; y; y = y->parent) {
			if (same_history(x, y)) {
				ret = collect_common(x, y, map);
				goto common;
			}
			if (same_base(x, y)) {
				x = y = NULL;
				ret = 0;
				goto common;
			}
		}
	}
	return -EINVAL;

common:
	if (!ret)
		ret = collect_line(a, x, map);
	return ret ? ret : collect_line(b, y, map);
}

/* Comparing: ranges that differ are handed on when they are known to have ended. */
struct comparison {
	struct ttdisk *a, *b;
	uint8_t *x, *y;
	uint64_t start, count;
	ttdisk_range_fn changed;
	void *ctx;
};

static int hand_on(struct comparison *comparison, uint64_t sector, uint64_t count)
{
	int ret = 0;

	if (comparison->count && comparison->start + comparison->count == sector) {
		comparison->count += count;
		return 0;
	}
	if (comparison->count)
		ret = comparison->changed(comparison->ctx, comparison->start, comparison->count);
	comparison->start = sector;
	comparison->count = count;
	return ret;
}

static int compare_range(void *ctx, uint64_t sector, uint64_t count)
{
	struct comparison *comparison = ctx;
	int ret = 0;

	while (count && !ret) {
		uint64_t n = MIN(count, DISK_CHUNK);
		struct iovec x = { comparison->x, n * TTDISK_SECTOR };
		struct iovec y = { comparison->y, n * TTDISK_SECTOR };

		ret = ttdisk_read(comparison->a, sector, &x, 1);
		if (!ret)
			ret = ttdisk_read(comparison->b, sector, &y, 1);
		for (uint64_t i = 0; i < n && !ret; i++)
			if (memcmp(comparison->x + i * TTDISK_SECTOR,
				   comparison->y + i * TTDISK_SECTOR, TTDISK_SECTOR))
				ret = hand_on(comparison, sector + i, 1);
		sector += n;
		count -= n;
	}
	return ret;
}

static int compare_all(struct ttdisk *a, struct ttdisk *b, const struct map *map,
		       ttdisk_range_fn changed, void *ctx)
{
	struct comparison comparison = { .a = a, .b = b, .changed = changed, .ctx = ctx };
	int ret = -ENOMEM;

	comparison.x = malloc(DISK_CHUNK * TTDISK_SECTOR);
	comparison.y = malloc(DISK_CHUNK * TTDISK_SECTOR);
	if (comparison.x && comparison.y)
		ret = for_each_range(map, a->history->limits.sectors, compare_range, &comparison);
	if (!ret && comparison.count)
		ret = changed(ctx, comparison.start, comparison.count);
	free(comparison.x);
	free(comparison.y);
	return ret;
}

int ttdisk_diff(struct ttdisk *a, struct ttdisk *b, bool compare, ttdisk_range_fn changed,
		void *ctx, struct tt_error *err)
{
	uint64_t sectors = a->history->limits.sectors;
	struct map map;
	int ret;

	if (b->history->limits.sectors != sectors)
		return tt_fail(err, -EINVAL, "%s and %s are disks of different sizes",
			       a->history->path, b->history->path);
	ttd_map_init(&map, sectors);
	ret = collect(a, b, &map);
	if (ret == -EINVAL) {
		if (!compare)
			tt_fail(err, ret, "%s and %s have no ancestor in common", a->history->path,
				b->history->path);
		else
			ret = add_range(&map, 0, sectors);
	}
	if (!ret)
		ret = compare ? compare_all(a, b, &map, changed, ctx)
			      : for_each_range(&map, sectors, changed, ctx);
	if (ret < 0 && err && !err->code)
		tt_fail(err, ret, "%s: cannot compare: %s", a->history->path, ttdisk_strerror(ret));
	ttd_map_destroy(&map);
	return ret;
}
