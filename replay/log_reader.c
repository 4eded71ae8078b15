// SPDX-License-Identifier: GPL-2.0
/*
 * log_reader.c - reading a log: sections, cursors, one decoded frame per vCPU.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log_reader.h"

static int fail_changed(const struct tt_log *log, uint64_t offset, struct tt_error *err)
{
	return tt_fail(err, -EBADMSG,
		       "%s: the frame at byte %" PRIu64 " is not well-formed, or changed while it "
		       "was being read",
		       log->path, offset);
}

/* Read and check the frame again (the file could have changed), decompress its body to raw. */
static int read_frame(struct tt_log *log, const struct log_index_entry *entry, uint8_t *raw,
		      struct tt_error *err)
{
	size_t size = (size_t)entry->header_size + entry->body_size;
	struct log_header header;
	size_t done = 0;

	while (done < size) {
		ssize_t ret = pread(log->fd, log->buffer + done, size - done,
				    (off_t)(entry->offset + done));

		if (ret < 0 && errno == EINTR)
			continue;
		if (ret < 0)
			return tt_fail(err, -errno, "%s: cannot read it: %s", log->path,
				       strerror(errno));
		if (!ret)
			return fail_changed(log, entry->offset, err);
		done += (size_t)ret;
	}
	if (log_header_get(log->buffer, size, &header) ||
	    header.header_size != entry->header_size || header.body_size != entry->body_size ||
	    !(log->trust || log_sealed(log->buffer, &header, log->info.salt)) ||
	    ZSTD_decompressDCtx(log->zstd, raw, entry->raw_size, log->buffer + entry->header_size,
				entry->body_size) != entry->raw_size)
		return fail_changed(log, entry->offset, err);
	return 0;
}

/* ------------------------------------------------------------------ streams */

static const struct log_index_entry *entry_at(const struct tt_log *log, uint64_t offset)
{
	size_t low = 0, n = log->num_entries;

	while (n > 1) {
		size_t half = n / 2;

		if (log->index[low + half].offset <= offset)
			low += half;
		n -= half;
	}
	return &log->index[low];
}

static int load_frame(struct tt_log *log, struct log_stream *stream, size_t i,
		      struct tt_error *err)
{
	const struct tt_log_frame *frame = &stream->frames[i];
	const struct log_index_entry *entry = entry_at(log, frame->offset);
	int ret = -ENOMEM;

	if (stream->loaded == i + 1)
		return 0;
	stream->loaded = 0;
	free(stream->raw);
	free(stream->events);
	stream->raw = malloc((size_t)entry->raw_size + 1);
	stream->events = calloc(frame->num_events, sizeof(*stream->events));
	if (!stream->raw || !stream->events)
		return tt_fail(err, ret, "%s: out of memory", log->path);
	ret = read_frame(log, entry, stream->raw, err);
	if (ret)
		return ret;
	ret = log_events_decode(&stream->headers[i], stream->raw, entry->raw_size, stream->events);
	if (ret)
		return ret == -ENOMEM ? tt_fail(err, ret, "%s: out of memory", log->path) :
					fail_changed(log, frame->offset, err);
	stream->loaded = i + 1;
	return 0;
}

static struct log_stream *stream_of(const struct tt_log *log, unsigned int vcpu)
{
	return vcpu < log->info.num_vcpus ? &log->streams[vcpu] : NULL;
}

uint64_t tt_log_num_events(const struct tt_log *log, unsigned int vcpu)
{
	const struct log_stream *stream = stream_of(log, vcpu);

	return stream ? stream->num_events : 0;
}

int tt_log_next(struct tt_log *log, unsigned int vcpu, struct tt_event *event,
		struct tt_error *err)
{
	struct log_stream *stream = stream_of(log, vcpu);
	int ret;

	if (!stream || stream->frame == stream->num_frames)
		return 0;
	ret = load_frame(log, stream, stream->frame, err);
	if (ret)
		return ret;
	*event = stream->events[stream->event];
	if (++stream->event == stream->frames[stream->frame].num_events) {
		stream->frame++;
		stream->event = 0;
	}
	return 1;
}

uint64_t tt_log_tell(const struct tt_log *log, unsigned int vcpu)
{
	const struct log_stream *stream = stream_of(log, vcpu);

	if (!stream)
		return 0;
	if (stream->frame == stream->num_frames)
		return stream->num_events;
	return stream->frames[stream->frame].first_event + stream->event;
}

int tt_log_seek_event(struct tt_log *log, unsigned int vcpu, uint64_t index, struct tt_error *err)
{
	struct log_stream *stream = stream_of(log, vcpu);
	size_t low = 0, n;

	if (!stream || index > stream->num_events)
		return tt_fail(err, -ERANGE,
			       "%s: event %" PRIu64 " is beyond the end, there are %" PRIu64,
			       log->path, index, stream ? stream->num_events : 0);
	if (index == stream->num_events) {
		stream->frame = stream->num_frames;
		stream->event = 0;
		return 0;
	}
	for (n = stream->num_frames; n > 1;) {
		size_t half = n / 2;

		if (stream->frames[low + half].first_event <= index)
			low += half;
		n -= half;
	}
	stream->frame = low;
	stream->event = (uint32_t)(index - stream->frames[low].first_event);
	return 0;
}

int tt_log_seek_exits(struct tt_log *log, unsigned int vcpu, uint64_t exits, struct tt_error *err)
{
	struct log_stream *stream = stream_of(log, vcpu);
	size_t low = 0, high;
	uint32_t event = 0;
	int ret;

	if (!stream)
		return tt_fail(err, -ERANGE, "%s: there is no vCPU %u", log->path, vcpu);
	/* the first frame that begins at or after `exits`; the one before may hold some, too */
	for (high = stream->num_frames; low < high;) {
		size_t middle = low + (high - low) / 2;

		if (stream->frames[middle].first.exits < exits)
			low = middle + 1;
		else
			high = middle;
	}
	if (low) {
		const struct tt_log_frame *before = &stream->frames[low - 1];

		ret = load_frame(log, stream, low - 1, err);
		if (ret)
			return ret;
		while (event < before->num_events && stream->events[event].pos.exits < exits)
			event++;
		if (event == before->num_events)
			event = 0;
		else
			low--;
	}
	stream->frame = low;
	stream->event = event;
	return 0;
}

size_t tt_log_num_frames(const struct tt_log *log, unsigned int vcpu)
{
	const struct log_stream *stream = stream_of(log, vcpu);

	return stream ? stream->num_frames : 0;
}

const struct tt_log_frame *tt_log_frame_at(const struct tt_log *log, unsigned int vcpu, size_t i)
{
	return &log->streams[vcpu].frames[i];
}

/* ------------------------------------------------------------------ sections */

size_t tt_log_num_sections(const struct tt_log *log)
{
	return log->num_sections;
}

const struct tt_log_section *tt_log_section_at(const struct tt_log *log, size_t i)
{
	return &log->sections[i];
}

static int load_section(struct tt_log *log, size_t i, struct tt_error *err)
{
	const struct log_loaded_section *loaded = &log->loaded[i];
	uint8_t *data = malloc(log->sections[i].size + 1);
	uint8_t *at = data;

	if (!data)
		return tt_fail(err, -ENOMEM, "%s: no memory for section '%s' of %" PRIu64 " bytes",
			       log->path, log->sections[i].name, log->sections[i].size);
	for (size_t k = 0; k < loaded->num_entries; k++) {
		const struct log_index_entry *entry = &log->index[loaded->first_entry + k];
		int ret = read_frame(log, entry, at, err);

		if (ret) {
			free(data);
			return ret;
		}
		at += entry->raw_size;
	}
	*at = 0;
	log->loaded[i].data = data;
	return 0;
}

int tt_log_section(struct tt_log *log, const char *name, const void **data, size_t *size,
		   struct tt_error *err)
{
	for (size_t i = 0; i < log->num_sections; i++) {
		int ret;

		if (strcmp(log->sections[i].name, name))
			continue;
		ret = log->loaded[i].data ? 0 : load_section(log, i, err);
		if (ret)
			return ret;
		*data = log->loaded[i].data;
		*size = log->sections[i].size;
		return 0;
	}
	return tt_fail(err, -ENOENT, "%s: the log has no section '%s'", log->path, name);
}

/* ------------------------------------------------------------------ opening and closing */

const struct tt_log_info *tt_log_info(const struct tt_log *log)
{
	return &log->info;
}

static int find_last_event(struct tt_log *log, struct tt_error *err)
{
	struct log_stream *stream = &log->streams[0];
	int ret;

	if (!stream->num_frames)
		return 0;
	ret = load_frame(log, stream, stream->num_frames - 1, err);
	if (ret)
		return ret;
	log->info.last = stream->events[stream->frames[stream->num_frames - 1].num_events - 1];
	log->info.last.payload = NULL;
	log->info.last.payload_len = 0;
	log->info.has_end = log->info.last.kind == TT_EVENT_END;
	return 0;
}

static void describe(struct tt_log *log)
{
	static const char *const found[] = {
		[TT_LOG_RECOVERED] = "not closed by its recording",
		[TT_LOG_DAMAGED] = "damaged",
	};
	struct tt_log_info *info = &log->info;
	char last[64] = "";

	if (info->status == TT_LOG_CLEAN)
		return;
	if (info->last.kind)
		snprintf(last, sizeof(last), ", the last at exit %" PRIu64, info->last.pos.exits);
	snprintf(info->text, sizeof(info->text),
		 "%s%s: recovered %" PRIu64 " events%s; %" PRIu64 " bytes dropped at byte %" PRIu64,
		 found[info->status], info->being_written ? ", which is still writing" : "",
		 info->events, last, info->dropped_bytes, info->file_bytes - info->dropped_bytes);
}

int log_open_fd(int fd, const char *path, bool trust, struct tt_log **result, struct tt_error *err)
{
	struct tt_log *log = calloc(1, sizeof(*log));
	int ret = -ENOMEM;

	if (!log) {
		close(fd);
		return tt_fail(err, ret, "%s: out of memory", path);
	}
	log->fd = fd;
	log->trust = trust;
	log->path = strdup(path);
	log->buffer = malloc(LOG_FRAME_MAX);
	log->zstd = ZSTD_createDCtx();
	if (!log->path || !log->buffer || !log->zstd) {
		tt_fail(err, ret, "%s: out of memory", path);
		goto err_close;
	}
	ret = log_scan(log, err);
	if (!ret)
		ret = find_last_event(log, err);
	if (ret)
		goto err_close;
	describe(log);
	*result = log;
	return 0;

err_close:
	tt_log_close(log);
	return ret;
}

int tt_log_open(const char *path, struct tt_log **log, struct tt_error *err)
{
	/* not blocking on a FIFO */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return tt_fail(err, -errno, "%s: %s", path, strerror(errno));
	return log_open_fd(fd, path, false, log, err);
}

void tt_log_close(struct tt_log *log)
{
	for (unsigned int i = 0; log->streams && i < log->info.num_vcpus; i++) {
		free(log->streams[i].frames);
		free(log->streams[i].headers);
		free(log->streams[i].raw);
		free(log->streams[i].events);
	}
	for (size_t i = 0; i < log->num_sections; i++)
		free(log->loaded[i].data);
	log_sections_free(log->sections, log->num_sections);
	free(log->streams);
	free(log->index);
	free(log->buffer);
	free(log->path);
	ZSTD_freeDCtx(log->zstd);
	close(log->fd);
	free(log);
}
