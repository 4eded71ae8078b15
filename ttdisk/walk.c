// SPDX-License-Identifier: GPL-2.0
/*
 * walk.c - from record to record through a history, believing nothing; and what lies behind the end of the walk.
 */
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

#define WALK_BUFFER (256u << 10)
#define PAGE	    4096u

/* As many bytes as there are, up to len; -errno. */
static ssize_t read_file(int fd, void *to, size_t len, uint64_t offset)
{
	size_t done = 0;

	while (done < len) {
		ssize_t ret = pread(fd, (char *)to + done, len - done, (off_t)(offset + done));

		if (ret < 0 && errno == EINTR)
			continue;
		if (ret < 0)
			return -errno;
		if (!ret)
			break;
		done += (size_t)ret;
	}
	return (ssize_t)done;
}

int ttd_walk_start(struct walk *walk, int fd, const struct record_limits *limits,
		   const struct format_state *state, uint64_t limit)
{
	*walk = (struct walk){
		.fd = fd,
		.limits = *limits,
		.state = *state,
		.point = *state,
		.limit = limit,
		.buffer = malloc(WALK_BUFFER),
	};
	return walk->buffer ? 0 : -ENOMEM;
}

void ttd_walk_end(struct walk *walk)
{
	free(walk->buffer);
	walk->buffer = NULL;
}

/* Have len bytes at the state's offset in the buffer: 1, 0 when there are not so many, or -errno. */
static int have(struct walk *walk, size_t len)
{
	uint64_t offset = walk->state.offset;
	ssize_t ret;

	if (offset >= walk->limit || len > walk->limit - offset)
		return 0;
	if (offset >= walk->begin && offset + len <= walk->begin + walk->fill)
		return 1;
	walk->begin = offset;
	walk->fill = 0;
	len = MIN(WALK_BUFFER, walk->limit - offset);
	if (walk->history && walk->history->output) {
		ret = ttd_output_read(walk->history->output, walk->buffer, len, offset);
		if (!ret)
			ret = (ssize_t)len;
	} else {
		ret = read_file(walk->fd, walk->buffer, len, offset);
	}
	if (ret < 0)
		return (int)ret;
	walk->fill = (uint64_t)ret;
	return walk->fill == len; /* less: the file was made shorter meanwhile */
}

int ttd_walk_next(struct walk *walk, const struct format_record **result)
{
	const struct format_record *record;
	int ret = have(walk, FORMAT_RECORD_SIZE);

	if (ret <= 0)
		return ret;
	record = (void *)(walk->buffer + (walk->state.offset - walk->begin));
	if (!ttd_record_fields_valid(record, &walk->limits))
		return 0;
	ret = have(walk, record_size(record));
	if (ret <= 0)
		return ret;
	record = (void *)(walk->buffer + (walk->state.offset - walk->begin));
	if (!ttd_record_follows(&walk->state, record) || !ttd_record_valid(record, &walk->limits))
		return 0;
	ttd_record_advance(&walk->state, record);
	if (!walk->state.in_fold)
		walk->point = walk->state;
	*result = record;
	return 1;
}

/* Is a whole page of zeroes in there? */
static int find_zero_page(int fd, uint64_t begin, uint64_t end, bool *found)
{
	static const uint8_t zeroes[PAGE];
	uint8_t page[PAGE];

	*found = false;
	for (uint64_t at = (begin + PAGE - 1) / PAGE * PAGE; at + PAGE <= end && !*found;
	     at += PAGE) {
		ssize_t len = read_file(fd, page, PAGE, at);

		if (len < 0)
			return (int)len;
		*found = len == PAGE && !memcmp(page, zeroes, PAGE);
	}
	return 0;
}

/* What scan_behind() has found. */
struct found {
	uint64_t first; /* offset of the first record of a higher number */
	uint64_t
		promise; /* lowest number of a record that was written with all before it, or UINT64_MAX */
	uint64_t highest; /* number */
};

static bool is_promise(const struct format_record *record)
{
	return record->type == FORMAT_FLUSH || record->type == FORMAT_MARK ||
	       record->type == FORMAT_UNMARK || record->type == FORMAT_SESSION;
}

/* The record at `at` counts, if it is valid; *next is where the next one can be. */
static int judge(int fd, const struct record_limits *limits, const struct format_state *end,
		 uint64_t at, struct format_record *record, struct ttd_walk_behind *behind,
		 struct found *found, uint64_t *next)
{
	uint64_t size = record_size(record);
	ssize_t len = read_file(fd, record, size, at);

	if (len < 0)
		return (int)len;
	if (len != (ssize_t)size || !ttd_record_valid(record, limits))
		return 0;
	*next = at + size;
	behind->records++;
	if (record->number < end->number || record->flags & FORMAT_FOLDED)
		return 0;
	if (found->first == UINT64_MAX)
		found->first = at;
	found->highest = MAX(found->highest, record->number);
	if (is_promise(record))
		found->promise = MIN(found->promise, record->number);
	return 0;
}

static int scan_behind(int fd, const struct record_limits *limits, const struct format_state *end,
		       uint64_t size, struct ttd_walk_behind *behind, struct found *found)
{
	uint8_t *buffer = malloc(WALK_BUFFER);
	struct format_record *record = malloc(FORMAT_RECORD_MAX);
	uint64_t next = end->offset;
	int ret = buffer && record ? 0 : -ENOMEM;

	for (uint64_t at = end->offset; at < size && !ret; at += WALK_BUFFER) {
		ssize_t len = read_file(fd, buffer, MIN(WALK_BUFFER, size - at), at);

		if (len < 0)
			ret = (int)len;
		for (ssize_t i = 0; i + FORMAT_RECORD_SIZE <= len && !ret; i += FORMAT_ALIGN) {
			/* inside of a record that is valid nobody looks for others */
			if (at + (uint64_t)i < next)
				continue;
			memcpy(record, buffer + i, sizeof(*record));
			if (ttd_record_fields_valid(record, limits))
				ret = judge(fd, limits, end, at + (uint64_t)i, record, behind,
					    found, &next);
		}
	}
	free(buffer);
	free(record);
	return ret;
}

int ttd_walk_behind(int fd, const struct record_limits *limits, const struct format_state *end,
		    uint64_t size, uint64_t durable, struct ttd_walk_behind *behind)
{
	struct found found = { .first = UINT64_MAX, .promise = UINT64_MAX };
	bool zeroes;
	int ret;

	memset(behind, 0, sizeof(*behind));
	ret = scan_behind(fd, limits, end, size, behind, &found);
	if (ret)
		return ret;
	behind->damaged = end->offset < durable;
	if (found.promise == UINT64_MAX || behind->damaged)
		return 0;
	behind->damaged = found.highest > found.promise;
	if (!behind->damaged) {
		ret = find_zero_page(fd, end->offset, found.first, &zeroes);
		behind->damaged = !ret && !zeroes;
	}
	return ret;
}
