// SPDX-License-Identifier: GPL-2.0
/*
 * list.c - what a history tells about itself: epochs, marks, recordings.
 */
#include <string.h>

#include "internal.h"

static int fail(struct ttdisk *disk, int ret, struct tt_error *err)
{
	return tt_fail(err, ret, "%s: cannot read it: %s", disk->history->path, strerror(-ret));
}

/* What record, at offset, says of the epoch that it ends. */
static void fill_epoch(struct ttdisk_epoch *epoch, const struct format_record *record,
		       uint64_t offset)
{
	uint64_t begin = epoch->offset ? epoch->offset : FORMAT_HEADER_SIZE;

	epoch->epoch = record->sector;
	epoch->time_ns = record->time_ns;
	epoch->instr = record->instr;
	epoch->bytes = record->count * TTDISK_SECTOR;
	epoch->first_record = epoch->end_record;
	epoch->end_record = record->number + 1;
	epoch->folded = epoch->folded || record->type == FORMAT_FOLD;
	epoch->offset = offset + record_size(record);
	epoch->history_bytes = epoch->offset - begin;
}

static int open_epoch(struct ttdisk *disk, struct ttdisk_epoch *epoch)
{
	const struct format_state *end = &disk->history->end;

	if (!end->epoch_data || epoch->open)
		return 0;
	epoch->epoch = end->epoch + 1;
	epoch->time_ns = end->time_ns;
	epoch->instr = end->instr;
	epoch->bytes = end->epoch_sectors * TTDISK_SECTOR;
	epoch->history_bytes = end->offset - MAX(epoch->offset, FORMAT_HEADER_SIZE);
	epoch->first_record = epoch->end_record;
	epoch->end_record = end->number;
	epoch->open = true;
	return 1;
}

int ttdisk_next_epoch(struct ttdisk *disk, struct ttdisk_epoch *epoch, struct tt_error *err)
{
	struct history *history = disk->history;
	const struct format_record *record;
	struct format_record head;
	int ret = 0, more;

	epoch->folded = false;
	for (; epoch->cursor < ttd_history_num_stops(history); epoch->cursor++) {
		uint64_t offset = ttd_history_stop(history, epoch->cursor)->offset;

		ret = ttd_history_peek(history, offset, &head);
		if (ret)
			return fail(disk, ret, err);
		if (head.type == FORMAT_FLUSH) {
			fill_epoch(epoch, &head, offset);
		} else if (head.type == FORMAT_FOLD) {
			ret = ttd_history_record(history, offset, &record);
			if (ret)
				return fail(disk, ret, err);
			epoch->folded = true;
			if (record[1].type != FORMAT_FLUSH)
				continue;
			fill_epoch(epoch, record, offset);
		} else {
			continue;
		}
		epoch->cursor++;
		ret = ttd_place_recording(history, offset, epoch->recording);
		return ret ? fail(disk, ret, err) : 1;
	}
	more = open_epoch(disk, epoch);
	if (more)
		ret = ttd_place_recording(history, history->end.offset, epoch->recording);
	return ret ? fail(disk, ret, err) : more;
}

/* The epoch that a point lies in, or ends, and the instruction count there. */
static int describe_point(struct ttdisk *disk, uint64_t number, struct ttdisk_mark *mark)
{
	struct format_state state;
	int ret = ttd_place_find_number(disk->history, number, &state, NULL);

	if (ret)
		return ret;
	mark->instr = state.instr;
	mark->epoch = state.epoch + !!state.epoch_data;
	return 0;
}

int ttdisk_next_mark(struct ttdisk *disk, struct ttdisk_mark *mark, struct tt_error *err)
{
	struct history *history = disk->history;
	const struct format_record *record;
	struct format_record head;

	while (mark->cursor < ttd_history_num_notes(history)) {
		uint64_t number, note, offset = ttd_history_note(history, mark->cursor++);
		int ret = ttd_history_peek(history, offset, &head);

		if (!ret && head.type != FORMAT_MARK)
			continue;
		if (!ret)
			ret = ttd_history_record(history, offset, &record);
		if (ret)
			return fail(disk, ret, err);
		memcpy(mark->name, record + 1, sizeof(mark->name));
		/* a mark that was removed may have been set again later: that one counts */
		ret = ttd_place_find_mark(history, mark->name, &number, &note);
		if (ret == -ENOENT || (!ret && note != offset))
			continue;
		if (!ret)
			ret = describe_point(disk, number, mark);
		if (ret)
			return fail(disk, ret, err);
		mark->record = number;
		mark->time_ns = head.time_ns;
		return 1;
	}
	return 0;
}

int ttdisk_next_session(struct ttdisk *disk, struct ttdisk_session *session, struct tt_error *err)
{
	struct history *history = disk->history;
	const struct format_record *record;
	struct format_state state;
	int ret;

	while (session->cursor < ttd_history_num_notes(history)) {
		uint64_t number, offset = ttd_history_note(history, session->cursor++);

		ret = ttd_history_record(history, offset, &record);
		if (ret)
			return fail(disk, ret, err);
		if (record->type != FORMAT_SESSION || !*(const char *)(record + 1))
			continue;
		memcpy(session->recording, record + 1, sizeof(session->recording));
		session->time_ns = record->time_ns;
		session->record = number = record->number + 1;
		session->departure[0] = '\0';
		ret = ttd_place_find_number(history, number, &state, NULL);
		if (ret == -ENOENT) /* removed by garbage collection */
			return 1;
		if (!ret)
			ret = ttd_place_departure(history, &state, session->departure, err);
		if (ret)
			return fail(disk, ret, err);
		session->epoch = state.epoch;
		return 1;
	}
	return 0;
}
