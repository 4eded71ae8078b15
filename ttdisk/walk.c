// SPDX-License-Identifier: GPL-2.0
/*
 * walk.c - from record to record through a history, believing nothing; and what lies behind the end of the walk.
 */
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

#define WALK_BUFFER (1u << 20)

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

int walk_start(struct walk *walk, int fd, const struct record_limits *limits,
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

void walk_end(struct walk *walk)
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
		ret = output_read(walk->history->output, walk->buffer, len, offset);
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

int walk_next(struct walk *walk, const struct format_record **result)
{
	const struct format_record *record;
	int ret = have(walk, FORMAT_RECORD_SIZE);

	if (ret <= 0)
		return ret;
	record = (void *)(walk->buffer + (walk->state.offset - walk->begin));
	if (!record_fields_valid(record, &walk->limits))
		return 0;
	ret = have(walk, record_size(record));
	if (ret <= 0)
		return ret;
	record = (void *)(walk->buffer + (walk->state.offset - walk->begin));
	if (!record_follows(&walk->state, record) || !record_valid(record, &walk->limits))
		return 0;
	record_advance(&walk->state, record);
	if (!walk->state.in_fold)
		walk->point = walk->state;
	*result = record;
	return 1;
}

int walk_behind(int fd, const struct record_limits *limits, const struct format_state *end,
		uint64_t size, struct walk_behind *behind)
{
	uint8_t *buffer = malloc(WALK_BUFFER);
	struct format_record *record = malloc(FORMAT_RECORD_MAX);
	uint64_t flush = UINT64_MAX, next = end->offset;
	ssize_t len = 0;

	memset(behind, 0, sizeof(*behind));
	if (!buffer || !record)
		len = -ENOMEM;
	for (uint64_t at = end->offset; at < size && len >= 0; at += WALK_BUFFER) {
		len = read_file(fd, buffer, MIN(WALK_BUFFER, size - at), at);
		for (ssize_t i = 0; i + FORMAT_RECORD_SIZE <= len; i += FORMAT_ALIGN) {
			const struct format_record *found = (void *)(buffer + i);
			ssize_t got;

			/* inside of a record that is valid nobody looks for others */
			if (at + (uint64_t)i < next || !record_fields_valid(found, limits))
				continue;
			got = read_file(fd, record, record_size(found), at + (uint64_t)i);
			if (got != (ssize_t)record_size(found) || !record_valid(record, limits))
				continue;
			next = at + (uint64_t)i + record_size(record);
			behind->records++;
			if (record->number < end->number)
				continue;
			if (record->type == FORMAT_FLUSH)
				flush = MIN(flush, record->number);
			if (record->number > flush)
				behind->flushed = true;
		}
	}
	free(buffer);
	free(record);
	return len < 0 ? (int)len : 0;
}
