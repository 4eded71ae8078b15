// SPDX-License-Identifier: GPL-2.0
/*
 * run.c - a part of the index in memory: what the records between two offsets say, sorted by sector. See format.h for
 * pieces, stops and notes.
 */
#include <stdlib.h>

#include "internal.h"

#define LEVEL_BITS 3

void ttd_run_free(struct run *run)
{
	if (run->max_pieces)
		free(run->pieces);
	if (run->max_stops)
		free(run->stops);
	if (run->max_notes)
		free(run->notes);
	memset(run, 0, sizeof(*run));
}

static int grow(void **array, uint64_t *max, uint64_t num, uint64_t more, size_t size)
{
	uint64_t wanted = MAX(2 * *max, num + more);
	void *grown;

	if (num + more <= *max)
		return 0;
	wanted = MAX(wanted, 1024);
	grown = realloc(*array, wanted * size);
	if (!grown)
		return -ENOMEM;
	*array = grown;
	*max = wanted;
	return 0;
}

int ttd_run_prepare(struct run *run)
{
	if (grow((void **)&run->pieces, &run->max_pieces, run->num_pieces, RUN_RANGE_PIECES,
		 sizeof(*run->pieces)) ||
	    grow((void **)&run->stops, &run->max_stops, run->num_stops, 1, sizeof(*run->stops)) ||
	    grow((void **)&run->notes, &run->max_notes, run->num_notes, 1, sizeof(*run->notes)))
		return -ENOMEM;
	return 0;
}

/* Cut a range into the largest aligned pieces. */
static void add_pieces(struct run *run, uint64_t sector, uint64_t count, uint64_t where)
{
	while (count) {
		unsigned int level = 0;

		while (level < FORMAT_MAX_LEVEL && !(sector >> level * LEVEL_BITS & 7) &&
		       count >> (level + 1) * LEVEL_BITS)
			level++;
		run->pieces[run->num_pieces++] = (struct format_piece){
			.key = (uint64_t)level << FORMAT_LEVEL_SHIFT | sector >> level * LEVEL_BITS,
			.where = where,
		};
		sector += 1ull << level * LEVEL_BITS;
		count -= 1ull << level * LEVEL_BITS;
	}
}

void ttd_run_add(struct run *run, const struct format_record *record)
{
	struct format_stop stop = { run->end.offset, run->end.epoch };

	ttd_record_advance(&run->end, record);
	if (record->type == FORMAT_WRITE)
		add_pieces(run, record->sector, record->count, stop.offset);
	else if (record_is_data(record))
		add_pieces(run, record->sector, record->count, stop.offset | FORMAT_WHERE_ZERO);
	if (!(record->flags & FORMAT_FOLDED) && run->end.since_stop == 1)
		run->stops[run->num_stops++] = stop;
	if (record->type == FORMAT_MARK || record->type == FORMAT_UNMARK ||
	    record->type == FORMAT_SESSION)
		run->notes[run->num_notes++] = stop.offset;
}

static int compare(const void *a, const void *b)
{
	const struct format_piece *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->where < y->where ? -1 : x->where > y->where;
}

void ttd_run_sort(struct run *run)
{
	if (run->num_pieces)
		qsort(run->pieces, run->num_pieces, sizeof(*run->pieces), compare);
	run->levels = ttd_run_find_levels(run);
}

/* The first entry in [from, num) that is not less than (key, where). Near `from` it is found fast. */
static uint64_t lower_bound(const struct run *run, uint64_t from, uint64_t key, uint64_t where)
{
	const struct format_piece wanted = { key, where };
	uint64_t low = from, high, step = 1;

	while (low + step <= run->num_pieces &&
	       compare(&run->pieces[low + step - 1], &wanted) < 0) {
		low += step;
		step *= 2;
	}
	high = MIN(low + step, run->num_pieces);
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (compare(&run->pieces[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

uint32_t ttd_run_find_levels(const struct run *run)
{
	uint32_t levels = 0;
	uint64_t at = 0;

	while (at < run->num_pieces) {
		uint64_t level = run->pieces[at].key >> FORMAT_LEVEL_SHIFT;

		levels |= 1u << MIN(level, 31);
		at = lower_bound(run, at, (level + 1) << FORMAT_LEVEL_SHIFT, 0);
		if (level >= FORMAT_MAX_LEVEL)
			break;
	}
	return levels;
}

int ttd_run_merge(const struct run *a, const struct run *b, struct run *merged)
{
	const struct format_piece *x = a->pieces, *y = b->pieces;
	const struct format_piece *x_end = x + a->num_pieces, *y_end = y + b->num_pieces;
	struct run run = {
		.num_pieces = a->num_pieces + b->num_pieces,
		.num_stops = a->num_stops + b->num_stops,
		.num_notes = a->num_notes + b->num_notes,
		.levels = a->levels | b->levels,
		.begin = a->begin,
		.end = b->end,
	};

	run.max_pieces = run.num_pieces + 1;
	run.max_stops = run.num_stops + 1;
	run.max_notes = run.num_notes + 1;
	run.pieces = malloc(run.max_pieces * sizeof(*run.pieces));
	run.stops = malloc(run.max_stops * sizeof(*run.stops));
	run.notes = malloc(run.max_notes * sizeof(*run.notes));
	if (!run.pieces || !run.stops || !run.notes) {
		ttd_run_free(&run);
		return -ENOMEM;
	}
	for (uint64_t i = 0; i < run.num_pieces; i++)
		run.pieces[i] = y == y_end || (x != x_end && compare(x, y) < 0) ? *x++ : *y++;
	if (a->num_stops)
		memcpy(run.stops, a->stops, a->num_stops * sizeof(*run.stops));
	if (b->num_stops)
		memcpy(run.stops + a->num_stops, b->stops, b->num_stops * sizeof(*run.stops));
	if (a->num_notes)
		memcpy(run.notes, a->notes, a->num_notes * sizeof(*run.notes));
	if (b->num_notes)
		memcpy(run.notes + a->num_notes, b->notes, b->num_notes * sizeof(*run.notes));
	*merged = run;
	return 0;
}

static void paint(uint64_t *best, uint64_t from, uint64_t to, uint64_t where)
{
	for (uint64_t i = from; i < to; i++)
		if (best[i] < where)
			best[i] = where;
}

static void paint_level(const struct run *run, unsigned int level, uint64_t limit, uint64_t sector,
			unsigned int count, uint64_t *best)
{
	uint64_t shift = level * LEVEL_BITS, level_key = (uint64_t)level << FORMAT_LEVEL_SHIFT;
	uint64_t last = level_key | (sector + count - 1) >> shift;
	uint64_t at = lower_bound(run, 0, level_key | sector >> shift, 0);

	while (at < run->num_pieces && run->pieces[at].key <= last) {
		uint64_t key = run->pieces[at].key, start = (key - level_key) << shift;
		uint64_t behind = lower_bound(run, at, key, limit);

		if (behind > at)
			paint(best, MAX(start, sector) - sector,
			      MIN(start + (1ull << shift), sector + count) - sector,
			      run->pieces[behind - 1].where);
		at = lower_bound(run, behind, key + 1, 0);
	}
}

void ttd_run_paint(const struct run *run, uint64_t limit, uint64_t sector, unsigned int count,
		   uint64_t *best)
{
	for (unsigned int level = 0; level <= FORMAT_MAX_LEVEL; level++)
		if (run->levels & 1u << level)
			paint_level(run, level, limit, sector, count, best);
}
