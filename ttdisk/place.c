// SPDX-License-Identifier: GPL-2.0
/*
 * place.c - from points in time to offsets in a history. Binary search over the stops of the index leads to a record at
 * most FORMAT_STOP_EVERY before the point, and a walk, which verifies what it reads, to the point itself.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "internal.h"

/* Is the point behind this record? Of the records in order, first all are, then none. */
typedef bool (*behind_fn)(const struct format_record *record, uint64_t key);

static bool by_number(const struct format_record *record, uint64_t number)
{
	return record->number < number;
}

static bool by_time(const struct format_record *record, uint64_t time_ns)
{
	return record->time_ns <= time_ns;
}

static bool by_instr(const struct format_record *record, uint64_t instr)
{
	return record->type == FORMAT_SESSION || record->instr <= instr;
}

static bool is_note(const struct format_record *record)
{
	return record->type == FORMAT_MARK || record->type == FORMAT_UNMARK ||
	       record->type == FORMAT_SESSION;
}

/* A part of the history: its first stop, the first behind it, where it ends, and the state where it begins. */
struct region {
	uint64_t first, behind, limit;
	struct format_state begin;
};

static struct region whole(struct history *history)
{
	return (struct region){
		.behind = ttd_history_num_stops(history),
		.limit = history->end.offset,
		.begin = history->start,
	};
}

/* The last SESSION before offset; 0: none. */
static int find_session(struct history *history, uint64_t offset, uint64_t *session)
{
	uint64_t low = 0, high = ttd_history_num_notes(history);
	struct format_record record;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (ttd_history_note(history, middle) < offset)
			low = middle + 1;
		else
			high = middle;
	}
	*session = 0;
	while (low--) {
		int ret = ttd_history_peek(history, ttd_history_note(history, low), &record);

		if (ret)
			return ret;
		if (record.type == FORMAT_SESSION) {
			*session = ttd_history_note(history, low);
			return 0;
		}
	}
	return 0;
}

static int state_at_stop(struct history *history, const struct format_stop *stop,
			 struct format_state *state)
{
	struct format_record record;
	int ret = ttd_history_peek(history, stop->offset, &record);

	if (ret)
		return ret;
	*state = (struct format_state){
		.offset = stop->offset,
		.check = record.previous,
		.number = record.number,
		.epoch = stop->epoch,
	};
	return find_session(history, stop->offset, &state->session);
}

static int walk_to(struct history *history, const struct region *region, behind_fn behind,
		   uint64_t key, struct format_state *state)
{
	const struct format_record *record;
	struct walk walk;
	int ret = ttd_walk_start(&walk, history->fd, &history->limits, state, region->limit);

	walk.history = history;
	while (!ret) {
		*state = walk.point;
		ret = ttd_walk_next(&walk, &record);
		if (ret <= 0) {
			if (!ret && walk.state.offset < region->limit)
				ret = -EIO; /* it was valid when it was indexed */
			break;
		}
		ret = 0;
		if (walk.state.in_fold || !behind(record, key))
			break;
	}
	ttd_walk_end(&walk);
	return ret;
}

static int locate(struct history *history, const struct region *region, behind_fn behind,
		  uint64_t key, struct format_state *state)
{
	uint64_t low = region->first, high = region->behind;
	struct format_record record;
	int ret;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		ret = ttd_history_peek(history, ttd_history_stop(history, middle)->offset, &record);
		if (ret)
			return ret;
		if (behind(&record, key))
			low = middle + 1;
		else
			high = middle;
	}
	*state = region->begin;
	if (low == region->first)
		return 0;
	/* from a record on that shows whether the epoch holds data so far */
	do {
		ret = ttd_history_peek(history, ttd_history_stop(history, --low)->offset, &record);
	} while (!ret && low > region->first && is_note(&record));
	if (!ret)
		ret = state_at_stop(history, ttd_history_stop(history, low), state);
	return ret ? ret : walk_to(history, region, behind, key, state);
}

/* Does a fold come next, so that points behind this one are gone? */
static bool before_fold(struct history *history, const struct format_state *state)
{
	struct format_record record;

	return state->offset < history->end.offset &&
	       !ttd_history_peek(history, state->offset, &record) &&
	       (record.flags & FORMAT_FOLDED || record.type == FORMAT_FOLD);
}

static int fail(struct history *history, int ret, const char *what, struct tt_error *err)
{
	if (ret == -ENOENT)
		return tt_fail(err, ret, "%s: %s%s", history->path, what,
			       history->damaged ? " before the damage (see `ttvm disk check`)"
						: "");
	return tt_fail(err, ret, "%s: cannot find %s: %s", history->path, what, strerror(-ret));
}

int ttd_place_find_number(struct history *history, uint64_t number, struct format_state *state,
			  struct tt_error *err)
{
	struct region region = whole(history);
	int ret = locate(history, &region, by_number, number, state);

	if (ret)
		return fail(history, ret, "the point", err);
	if (state->number != number)
		return fail(history, -ENOENT,
			    number > state->number && !before_fold(history, state)
				    ? "the history ends before this point"
				    : "this point was removed by `ttvm disk gc`",
			    err);
	return 0;
}

/* ------------------------------------------------------------------ kinds of points */

static int find_epoch(struct history *history, uint64_t epoch, struct format_state *state,
		      struct tt_error *err)
{
	uint64_t low = 0, high = ttd_history_num_stops(history);
	const struct format_record *record, *ended;
	char what[100];
	bool exact;
	int ret;

	snprintf(what, sizeof(what), "there is no epoch %" PRIu64 "; the last is %" PRIu64, epoch,
		 history->end.epoch);
	if (epoch == history->end.epoch + 1 && history->end.epoch_data && !history->damaged) {
		*state = history->end;
		return 0;
	}
	if (epoch > history->end.epoch)
		return fail(history, -ENOENT, what, err);
	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (ttd_history_stop(history, middle)->epoch < epoch)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return fail(history, -EIO, "the epoch", err);
	ret = ttd_history_record(history, ttd_history_stop(history, low - 1)->offset, &record);
	if (ret)
		return fail(history, ret, "the epoch", err);
	ended = record->type == FORMAT_FOLD ? record + 1 : record;
	exact = ended->type == FORMAT_FLUSH && ended->sector == epoch;
	ret = ttd_place_find_number(history, record->number + 1, state, err);
	snprintf(what, sizeof(what), "epoch %" PRIu64 " was removed by `ttvm disk gc`", epoch);
	return ret || exact ? ret : fail(history, -ENOENT, what, err);
}

static int find_time(struct history *history, uint64_t time_ns, struct format_state *state,
		     struct tt_error *err)
{
	struct region region = whole(history);
	int ret = locate(history, &region, by_time, time_ns, state);

	if (ret)
		return fail(history, ret, "the time", err);
	if (state->time_ns != time_ns && before_fold(history, state))
		return fail(history, -ENOENT,
			    "points around this time were removed by `ttvm disk gc`", err);
	return 0;
}

static int recording_at(struct history *history, uint64_t session, char recording[TTDISK_NAME_SIZE])
{
	const struct format_record *record;
	int ret;

	memset(recording, 0, TTDISK_NAME_SIZE);
	if (!session)
		return 0;
	ret = ttd_history_record(history, session, &record);
	if (!ret && record->type != FORMAT_SESSION)
		ret = -EIO;
	if (!ret)
		memcpy(recording, record + 1, TTDISK_NAME_SIZE);
	return ret;
}

int ttd_place_recording(struct history *history, uint64_t offset, char recording[TTDISK_NAME_SIZE])
{
	uint64_t session;
	int ret = find_session(history, offset, &session);

	return ret ? ret : recording_at(history, session, recording);
}

/* The first stop at or behind offset. */
static uint64_t stop_from(struct history *history, uint64_t offset)
{
	uint64_t low = 0, high = ttd_history_num_stops(history);

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (ttd_history_stop(history, middle)->offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The part of the history that belongs to a recording. *folded: its beginning is inside of a fold. */
static int find_recording(struct history *history, const char *name, struct region *region,
			  bool *folded)
{
	uint64_t num = ttd_history_num_notes(history), from = 0;
	char recording[TTDISK_NAME_SIZE];
	struct format_record record;

	region->limit = history->end.offset;
	for (uint64_t i = 0; i < num; i++) {
		uint64_t note = ttd_history_note(history, i);
		int ret = ttd_history_peek(history, note, &record);

		if (ret)
			return ret;
		if (record.type != FORMAT_SESSION)
			continue;
		if (from) {
			region->limit = note;
			break;
		}
		ret = recording_at(history, note, recording);
		if (ret)
			return ret;
		if (!strcmp(recording, name)) {
			from = note;
			*folded = record.flags & FORMAT_FOLDED;
		}
	}
	if (!from)
		return -ENOENT;
	region->first = stop_from(history, from);
	region->behind = stop_from(history, region->limit);
	return 0;
}

static int find_instr(struct history *history, const char *name, uint64_t instr,
		      struct format_state *state, struct tt_error *err)
{
	struct region region = { 0 };
	bool folded = false;
	char what[200];
	int ret = find_recording(history, name, &region, &folded);

	snprintf(what, sizeof(what), "nothing was written by a recording %s", name);
	if (!ret && folded && region.first == region.behind)
		ret = -ENOENT;
	if (!ret)
		ret = locate(history, &region, by_instr, instr, state);
	if (ret)
		return fail(history, ret, ret == -ENOENT ? what : "the recording", err);
	/*
	 * Of a SESSION that is folded nothing is left before its fold's end; and a fold may hold more writes of the
	 * same count.
	 */
	if (!state->offset || (before_fold(history, state) && state->offset < region.limit))
		return fail(history, -ENOENT,
			    "points around this instruction were removed by `ttvm disk gc`", err);
	return 0;
}

int ttd_place_find_mark(struct history *history, const char *name, uint64_t *number, uint64_t *note)
{
	const struct format_record *record;

	for (uint64_t i = ttd_history_num_notes(history); i--;) {
		int ret = ttd_history_record(history, ttd_history_note(history, i), &record);

		if (ret)
			return ret;
		if (record->type == FORMAT_SESSION || strcmp((const char *)(record + 1), name))
			continue;
		*number = record->sector;
		*note = ttd_history_note(history, i);
		return record->type == FORMAT_MARK ? 0 : -ENOENT;
	}
	return -ENOENT;
}

static int find_mark(struct history *history, const char *name, struct format_state *state,
		     struct tt_error *err)
{
	uint64_t number, note;
	char what[120];
	int ret = ttd_place_find_mark(history, name, &number, &note);

	snprintf(what, sizeof(what), "there is no mark \"%.64s\"", name);
	if (ret)
		return fail(history, ret, ret == -ENOENT ? what : "the mark", err);
	return ttd_place_find_number(history, number, state, err);
}

/* ------------------------------------------------------------------ departures */

static void put_hex(const uint8_t *bytes, size_t len, char *text)
{
	for (size_t i = 0; i < len; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
}

void ttd_place_uuid_text(const uint8_t uuid[16], char text[37])
{
	char hex[33];

	put_hex(uuid, 16, hex);
	snprintf(text, 37, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
}

void ttd_place_departure_text(const uint8_t uuid[16], uint64_t number, uint64_t identity,
			      char departure[TTDISK_DEPARTURE_SIZE])
{
	char hex[33];

	put_hex(uuid, 16, hex);
	snprintf(departure, TTDISK_DEPARTURE_SIZE, "%s-%" PRIu64 "-%016" PRIx64, hex, number,
		 identity);
}

static int identity_at(struct history *history, const struct format_state *state,
		       uint64_t *identity)
{
	const struct format_record *record;
	int ret;

	*identity = 0;
	if (!state->last)
		return 0;
	ret = ttd_history_record(history, state->last, &record);
	if (!ret)
		*identity = ttd_record_identity(record);
	return ret;
}

int ttd_place_departure_parse(const char *departure, uint64_t *number, uint64_t *identity)
{
	return sscanf(departure, "%*[0-9a-f]-%" SCNu64 "-%" SCNx64, number, identity) == 2 ? 0 : -EINVAL;
}

int ttd_place_departure(struct history *history, const struct format_state *state,
			char departure[TTDISK_DEPARTURE_SIZE], struct tt_error *err)
{
	uint64_t identity;
	int ret = identity_at(history, state, &identity);

	if (ret)
		return fail(history, ret, "the point", err);
	ttd_place_departure_text(history->header.uuid, state->number, identity, departure);
	return 0;
}

static int find_departure(struct history *history, const char *name, struct format_state *state,
			  struct tt_error *err)
{
	uint64_t number, identity, found;
	char uuid[33], hex[33];
	int end = 0, ret;

	put_hex(history->header.uuid, 16, uuid);
	if (sscanf(name, "%32[0-9a-f]-%" SCNu64 "-%16" SCNx64 "%n", hex, &number, &identity,
		   &end) != 3 ||
	    name[end] || strlen(hex) != 32)
		return tt_fail(err, -EINVAL, "\"%.80s\" is not a point of departure", name);
	if (strcmp(hex, uuid))
		return fail(history, -ENOENT, "this is not the disk of that point of departure",
			    err);
	ret = ttd_place_find_number(history, number, state, err);
	if (ret)
		return ret;
	ret = identity_at(history, state, &found);
	if (ret)
		return fail(history, ret, "the point", err);
	if (found != identity)
		return fail(history, -ENOENT,
			    "its history went another way before this point of departure", err);
	return 0;
}

int ttd_place_find(struct history *history, const struct ttdisk_point *point,
		   struct format_state *state, struct tt_error *err)
{
	const char *name = point ? point->name : NULL;

	switch (point ? point->kind : TTDISK_NOW) {
	case TTDISK_NOW:
		if (history->damaged)
			return tt_fail(err, -EUCLEAN,
				       "%s: damaged at byte %" PRIu64
				       "; `ttvm disk check` says more,"
				       " and points before the damage can be opened",
				       history->path, history->end.offset);
		*state = history->end;
		return 0;
	case TTDISK_BASE:
		*state = history->start;
		return 0;
	case TTDISK_EPOCH:
		if (point->number)
			return find_epoch(history, point->number, state, err);
		*state = history->start;
		return 0;
	case TTDISK_TIME:
		return find_time(history, point->number, state, err);
	case TTDISK_MARK:
		if (name)
			return find_mark(history, name, state, err);
		break;
	case TTDISK_INSTR:
		if (name)
			return find_instr(history, name, point->number, state, err);
		break;
	case TTDISK_DEPARTURE:
		if (name)
			return find_departure(history, name, state, err);
		break;
	}
	return tt_fail(err, -EINVAL, "%s: not a point in time", history->path);
}
