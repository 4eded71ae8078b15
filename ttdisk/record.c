// SPDX-License-Identifier: GPL-2.0
/*
 * record.c - one record of a history: sealing it, and judging whether bytes are one. Format: format.h.
 */
#include <xxhash.h>

#include "internal.h"

#define MAX_NUMBER (1ull << 62)

static uint64_t hash(const struct format_record *record, uint64_t salt)
{
	return XXH64(&record->previous, record_size(record) - sizeof(record->check), salt);
}

void ttd_record_seal(struct format_record *record, uint64_t salt)
{
	record->check = hash(record, salt);
}

static bool range_valid(const struct format_record *record, uint64_t sectors)
{
	return record->count && record->sector < sectors &&
	       record->count <= sectors - record->sector;
}

bool ttd_record_fields_valid(const struct format_record *record, const struct record_limits *limits)
{
	if (record->magic != FORMAT_RECORD_MAGIC || record->reserved ||
	    record->flags & ~FORMAT_FOLDED || record->number >= MAX_NUMBER)
		return false;
	switch (record->type) {
	case FORMAT_WRITE:
		return record->count <= FORMAT_WRITE_MAX && range_valid(record, limits->sectors);
	case FORMAT_ZERO:
	case FORMAT_DISCARD:
		return range_valid(record, limits->sectors);
	case FORMAT_FLUSH:
	case FORMAT_FOLD:
		return record->sector < MAX_NUMBER && record->flags == 0;
	case FORMAT_MARK:
		return record->sector < MAX_NUMBER && record->count == 0;
	case FORMAT_UNMARK:
		return !record->sector && !record->count && record->flags == 0;
	case FORMAT_SESSION:
		return !record->sector && !record->count;
	}
	return false;
}

bool ttd_record_name_valid(const char *name)
{
	size_t len = strnlen(name, TTDISK_NAME_SIZE);

	if (!len || len == TTDISK_NAME_SIZE)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '/')
			return false;
	return true;
}

static bool padded(const char *name)
{
	for (size_t i = strnlen(name, FORMAT_NAME_SIZE); i < FORMAT_NAME_SIZE; i++)
		if (name[i])
			return false;
	return !name[FORMAT_NAME_SIZE - 1];
}

static bool payload_valid(const struct format_record *record)
{
	const char *name = (const char *)(record + 1);
	const struct format_record *replaced = (const struct format_record *)(record + 1);

	switch (record->type) {
	case FORMAT_MARK:
	case FORMAT_UNMARK:
		return ttd_record_name_valid(name) && padded(name);
	case FORMAT_SESSION:
		return (!name[0] || ttd_record_name_valid(name)) && padded(name);
	case FORMAT_FOLD:
		return replaced->magic == FORMAT_RECORD_MAGIC && replaced->type >= FORMAT_WRITE &&
		       replaced->type < FORMAT_FOLD && replaced->number == record->number;
	}
	return true;
}

bool ttd_record_valid(const struct format_record *record, const struct record_limits *limits)
{
	return ttd_record_fields_valid(record, limits) &&
	       record->check == hash(record, limits->salt) && payload_valid(record);
}

uint64_t ttd_record_identity(const struct format_record *record)
{
	struct format_record same;

	memcpy(&same, record->type == FORMAT_FOLD ? record + 1 : record, sizeof(same));
	same.flags = 0;
	return XXH64(&same.magic, sizeof(same) - offsetof(struct format_record, magic), 0);
}

bool ttd_record_follows(const struct format_state *state, const struct format_record *record)
{
	if (record->previous != state->check)
		return false;
	if (record->flags & FORMAT_FOLDED)
		return true;
	if (record->type == FORMAT_FOLD)
		return record->number >= state->number && record->sector >= state->epoch;
	if (state->in_fold || record->number != state->number)
		return false;
	return record->type != FORMAT_FLUSH || record->sector == state->epoch + 1;
}

static bool ends_epoch(const struct format_record *record)
{
	if (record->type == FORMAT_FOLD)
		record++;
	return record->type == FORMAT_FLUSH;
}

void ttd_record_advance(struct format_state *state, const struct format_record *record)
{
	state->last = state->offset;
	state->check = record->check;
	state->offset += record_size(record);
	if (record->type == FORMAT_SESSION) {
		state->session = state->last;
		state->instr = 0;
	}
	state->in_fold = record->flags & FORMAT_FOLDED;
	if (state->in_fold)
		return;
	state->number = record->number + 1;
	state->time_ns = record->time_ns;
	state->instr = record->instr;
	state->since_stop = record_is_data(record) && state->since_stop ? state->since_stop + 1 : 1;
	if (state->since_stop > FORMAT_STOP_EVERY || !record_is_data(record))
		state->since_stop = 1;
	state->epoch_data += record_is_data(record);
	switch (record->type) {
	case FORMAT_WRITE:
		state->epoch_sectors += record->count;
		break;
	case FORMAT_FLUSH:
	case FORMAT_FOLD:
		state->epoch = record->sector;
		state->epoch_data = !ends_epoch(record);
		state->epoch_sectors = ends_epoch(record) ? 0 : record->count;
		break;
	}
}
