// SPDX-License-Identifier: GPL-2.0
/*
 * log_scan.c - opening a log: walk from header to header, check every byte, decide whether the file
 * is clean, recovered or damaged. The rules stand in log_format.h.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log_reader.h"

/* Frames are looked at through a window that slides over the file. A file may shrink meanwhile. */
#define WINDOW_SIZE (4u << 20)

/* How many things that look like a header to try behind the end of the walk. */
#define MAX_CANDIDATES 4096

struct scan {
	struct tt_log *log;
	struct tt_error *err;
	uint64_t file_size;
	uint8_t *window;
	uint64_t window_start;
	size_t window_len;
	/* the walk */
	uint64_t offset;
	uint32_t sequence;
	uint32_t distance;
	size_t section;		/* the next piece belongs here */
	uint64_t section_offset;
	bool trailer;
};

/* Bytes at `offset`: *len of them, `wanted` or less at the end of the file. NULL and err (-EIO). */
static const uint8_t *look(struct scan *scan, uint64_t offset, size_t wanted, size_t *len)
{
	uint64_t have;

	if (offset < scan->window_start ||
	    offset + wanted > scan->window_start + scan->window_len) {
		size_t done = 0;

		while (done < WINDOW_SIZE && offset + done < scan->file_size) {
			uint64_t left = scan->file_size - offset - done;
			size_t part = WINDOW_SIZE - done;
			ssize_t ret;

			if (part > left)
				part = (size_t)left;
			ret = pread(scan->log->fd, scan->window + done, part,
				    (off_t)(offset + done));
			if (ret < 0 && errno == EINTR)
				continue;
			if (ret < 0) {
				tt_fail(scan->err, -EIO, "%s: cannot read it: %s",
					scan->log->path, strerror(errno));
				return NULL;
			}
			if (!ret)
				break;
			done += (size_t)ret;
		}
		scan->window_start = offset;
		scan->window_len = done;
	}
	have = scan->window_start + scan->window_len - offset;
	*len = have < wanted ? (size_t)have : wanted;
	return scan->window + (offset - scan->window_start);
}

/* ------------------------------------------------------------------ the index */

static void *grow(void *array, size_t num, size_t *max, size_t size)
{
	void *bigger;
	size_t new_max = *max ? 2 * *max : 64;

	if (num < *max)
		return array;
	bigger = reallocarray(array, new_max, size);
	if (bigger)
		*max = new_max;
	return bigger;
}

static int add_to_index(struct scan *scan, const struct log_header *header, uint32_t raw_size)
{
	struct tt_log *log = scan->log;
	void *index = grow(log->index, log->num_entries, &log->max_entries, sizeof(*log->index));

	if (!index)
		return -ENOMEM;
	log->index = index;
	log->index[log->num_entries++] = (struct log_index_entry){
		scan->offset, header->header_size, header->body_size, raw_size
	};
	return 0;
}

static int add_to_stream(struct scan *scan, const struct log_header *header)
{
	struct log_stream *stream = &scan->log->streams[header->events.vcpu];
	size_t max = stream->max_frames;
	void *frames, *headers;

	frames = grow(stream->frames, stream->num_frames, &max, sizeof(*stream->frames));
	if (!frames)
		return -ENOMEM;
	stream->frames = frames;
	headers = grow(stream->headers, stream->num_frames, &stream->max_frames,
		       sizeof(*stream->headers));
	if (!headers)
		return -ENOMEM;
	stream->headers = headers;

	stream->headers[stream->num_frames] = *header;
	stream->frames[stream->num_frames++] = (struct tt_log_frame){
		.first_event = stream->num_events,
		.num_events = header->events.num_events,
		.first = {
			.exits = header->events.exits,
			.instructions = header->events.instructions,
		},
		.offset = scan->offset,
		.file_bytes = header->header_size + header->body_size,
	};
	stream->num_events += header->events.num_events;
	return 0;
}

/* ------------------------------------------------------------------ the walk */

static bool section_fits(struct scan *scan, const struct log_header *header, uint32_t raw_size)
{
	const struct tt_log *log = scan->log;

	return scan->section < log->num_sections && header->section.index == scan->section &&
	       header->section.offset == scan->section_offset && raw_size &&
	       raw_size <= log->sections[scan->section].size - scan->section_offset;
}

static bool events_fit(struct scan *scan, const struct log_header *header)
{
	const struct tt_log *log = scan->log;
	const struct log_stream *stream;

	if (scan->section < log->num_sections || header->events.vcpu >= log->info.num_vcpus)
		return false;
	stream = &log->streams[header->events.vcpu];
	return !stream->num_frames ||
	       stream->frames[stream->num_frames - 1].first.exits <= header->events.exits;
}

/* Go to the next section that has bytes. */
static void skip_empty_sections(struct scan *scan)
{
	const struct tt_log *log = scan->log;

	while (scan->section < log->num_sections &&
	       scan->section_offset == log->sections[scan->section].size) {
		scan->section++;
		scan->section_offset = 0;
		if (scan->section < log->num_sections)
			scan->log->loaded[scan->section].first_entry = log->num_entries;
	}
}

/* Take a frame whose hash is right into the index. 1; 0: it does not belong here; -ENOMEM. */
static int take_frame(struct scan *scan, const struct log_header *header, const uint8_t *frame)
{
	struct tt_log *log = scan->log;
	uint32_t file_bytes = header->header_size + header->body_size;
	unsigned long long raw_size = 0;
	int ret = 0;

	if (scan->trailer || header->kind == LOG_FRAME_FILE)
		return 0;
	if (header->kind == LOG_FRAME_TRAILER) {
		if (header->body_size || scan->section < log->num_sections ||
		    header->trailer.events != log->info.events)
			return 0;
	} else {
		raw_size = ZSTD_getFrameContentSize(frame + header->header_size, header->body_size);
		if (raw_size > LOG_RAW_MAX) /* which unknown and bad sizes are, too */
			return 0;
	}
	if (header->kind == LOG_FRAME_SECTION && !section_fits(scan, header, (uint32_t)raw_size))
		return 0;
	if (header->kind == LOG_FRAME_EVENTS && !events_fit(scan, header))
		return 0;

	if (header->kind == LOG_FRAME_EVENTS)
		ret = add_to_stream(scan, header);
	if (!ret)
		ret = add_to_index(scan, header, (uint32_t)raw_size);
	if (ret)
		return tt_fail(scan->err, ret, "%s: out of memory", log->path);

	switch (header->kind) {
	case LOG_FRAME_SECTION:
		log->loaded[scan->section].num_entries++;
		scan->section_offset += raw_size;
		skip_empty_sections(scan);
		break;
	case LOG_FRAME_EVENTS:
		log->info.events += header->events.num_events;
		log->info.frames++;
		log->info.raw_bytes += raw_size;
		log->info.event_bytes += file_bytes;
		break;
	case LOG_FRAME_TRAILER:
		scan->trailer = true;
		log->info.writer_error = -(int)header->trailer.error;
		break;
	}
	if (header->kind != LOG_FRAME_EVENTS)
		log->info.section_bytes += file_bytes;
	scan->offset += file_bytes;
	scan->distance = file_bytes;
	scan->sequence++;
	return 1;
}

/* Is there a whole and valid frame at `offset`? 1 and *header, *frame; 0; -errno. */
static int find_frame(struct scan *scan, uint64_t offset, struct log_header *header,
		      const uint8_t **frame)
{
	size_t len;
	int ret;

	*frame = look(scan, offset, LOG_HEADER_MAX, &len);
	if (!*frame)
		return -EIO;
	ret = log_header_get(*frame, len, header);
	if (ret)
		return 0;
	*frame = look(scan, offset, (size_t)header->header_size + header->body_size, &len);
	if (!*frame)
		return -EIO;
	if (len < (size_t)header->header_size + header->body_size)
		return 0;
	return scan->log->trust || log_sealed(*frame, header, scan->log->info.salt);
}

static int walk(struct scan *scan)
{
	struct log_header header;
	const uint8_t *frame;
	int ret;

	do {
		ret = find_frame(scan, scan->offset, &header, &frame);
		if (ret <= 0)
			return ret;
		if (header.sequence != scan->sequence || header.distance != scan->distance)
			return 0;
		ret = take_frame(scan, &header, frame);
	} while (ret > 0);
	return ret;
}

/* ------------------------------------------------------------------ the first frame */

static int read_file_header(struct scan *scan)
{
	struct tt_log *log = scan->log;
	struct log_header header;
	size_t len;
	const uint8_t *frame = look(scan, 0, LOG_HEADER_MAX, &len);
	int ret;

	if (!frame)
		return -EIO;
	ret = log_header_get(frame, len, &header);
	if (ret || header.kind != LOG_FRAME_FILE)
		return tt_fail(scan->err, -EBADMSG,
			       "%s: not a ttvm log, or cut off or damaged in its first bytes",
			       log->path);
	if (header.sequence || header.distance || header.body_size ||
	    !(log->trust || log_sealed(frame, &header, 0)))
		return tt_fail(scan->err, -EBADMSG, "%s: the first frame of the log is damaged",
			       log->path);
	if (header.file.version != LOG_VERSION)
		return tt_fail(scan->err, -EPROTONOSUPPORT,
			       "%s: log format version %u, but this ttvm reads version %u; use "
			       "the ttvm that recorded it",
			       log->path, header.file.version, LOG_VERSION);
	ret = log_sections_get(&header, log->sections);
	if (ret)
		return tt_fail(scan->err, ret, "%s: the log's list of sections is damaged",
			       log->path);
	log->num_sections = header.file.num_sections;
	log->info.version = header.file.version;
	log->info.salt = header.file.salt;
	log->info.num_vcpus = header.file.num_vcpus;
	log->info.section_bytes = header.header_size;
	log->streams = calloc(header.file.num_vcpus, sizeof(*log->streams));
	if (!log->streams || add_to_index(scan, &header, 0))
		return tt_fail(scan->err, -ENOMEM, "%s: out of memory", log->path);
	scan->offset = scan->distance = header.header_size;
	scan->sequence = 1;
	log->loaded[0].first_entry = 1;
	skip_empty_sections(scan);
	return 0;
}

/* ------------------------------------------------------------------ the end */

/* Is the rest of the file the seek table that the frames call for? 1, 0 or -errno. */
static int check_seek_table(struct scan *scan)
{
	const struct tt_log *log = scan->log;
	uint64_t at = scan->offset;
	uint32_t lines = 0;
	uint8_t expected[16], *out;
	const uint8_t *found;
	size_t len;

	for (size_t i = 0; i < log->num_entries; i++)
		lines += log->index[i].body_size ? 2 : 1;
	if (scan->file_size - at != 8 + 8 * (uint64_t)lines + LOG_SEEK_FOOTER_SIZE)
		return 0;

	for (size_t i = 0; i <= log->num_entries + 1; i++) {
		out = expected;
		if (!i) {
			out = log_put_u32(out, LOG_SEEK_TABLE_MAGIC);
			out = log_put_u32(out, 8 * lines + LOG_SEEK_FOOTER_SIZE);
		} else if (i <= log->num_entries) {
			const struct log_index_entry *entry = &log->index[i - 1];

			out = log_put_u32(out, entry->header_size);
			out = log_put_u32(out, 0);
			if (entry->body_size) {
				out = log_put_u32(out, entry->body_size);
				out = log_put_u32(out, entry->raw_size);
			}
		} else {
			out = log_put_u32(out, lines);
			*out++ = 0;
			out = log_put_u32(out, LOG_SEEK_FOOTER_MAGIC);
		}
		found = look(scan, at, (size_t)(out - expected), &len);
		if (!found)
			return -EIO;
		if (len != (size_t)(out - expected) || memcmp(found, expected, len))
			return 0;
		at += len;
	}
	return 1;
}

static int ends_with_seek_table(struct scan *scan)
{
	struct log_bytes in;
	const uint8_t *end;
	size_t len;

	if (scan->file_size - scan->offset < LOG_SEEK_FOOTER_SIZE)
		return 0;
	end = look(scan, scan->file_size - 4, 4, &len);
	if (!end)
		return -EIO;
	in = (struct log_bytes){ end, end + len, false };
	return log_get_u32(&in) == LOG_SEEK_FOOTER_MAGIC;
}

/* Is anything valid behind the end of the walk? 1, 0 or -errno. */
static int find_later_frame(struct scan *scan)
{
	const uint8_t magic[4] = { LOG_SKIPPABLE_MAGIC & 0xff, LOG_SKIPPABLE_MAGIC >> 8 & 0xff,
				   LOG_SKIPPABLE_MAGIC >> 16 & 0xff, LOG_SKIPPABLE_MAGIC >> 24 };
	unsigned int candidates = 0;
	uint64_t at = scan->offset + 1;
	int ret = ends_with_seek_table(scan);

	while (!ret && at + LOG_HEADER_FIXED <= scan->file_size && candidates < MAX_CANDIDATES) {
		struct log_header header;
		size_t len;
		const uint8_t *from = look(scan, at, WINDOW_SIZE / 2, &len);
		const uint8_t *found;

		if (!from)
			return -EIO;
		found = memmem(from, len, magic, sizeof(magic));
		if (!found) {
			/* the magic may lie across the end of the window */
			at += len > sizeof(magic) ? len - sizeof(magic) + 1 : len + 1;
			continue;
		}
		at += (uint64_t)(found - from);
		candidates++;
		ret = find_frame(scan, at, &header, &found);
		if (ret > 0 && header.sequence <= scan->sequence)
			ret = 0;
		at++;
	}
	return ret;
}

static int judge(struct scan *scan)
{
	struct tt_log *log = scan->log;
	struct tt_log_info *info = &log->info;
	bool whole = scan->section >= log->num_sections;
	int ret;

	ret = scan->trailer ? check_seek_table(scan) : 0;
	if (ret < 0)
		return ret;
	if (ret) {
		info->status = TT_LOG_CLEAN;
		return 0;
	}
	ret = find_later_frame(scan);
	if (ret < 0)
		return ret;
	info->status = ret ? TT_LOG_DAMAGED : TT_LOG_RECOVERED;
	info->dropped_bytes = scan->file_size - scan->offset;
	if (whole)
		return 0;
	if (info->status == TT_LOG_DAMAGED)
		return tt_fail(scan->err, -EBADMSG,
			       "%s: damaged at byte %" PRIu64 ", in its section '%s': nothing can "
			       "be replayed",
			       log->path, scan->offset, log->sections[scan->section].name);
	return tt_fail(scan->err, -ENODATA,
		       "%s: ends or is damaged at byte %" PRIu64 ", in its section '%s', before "
		       "the first event: the recording was killed early, or the file was cut",
		       log->path, scan->offset, log->sections[scan->section].name);
}

int log_scan(struct tt_log *log, struct tt_error *err)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	struct scan scan = { .log = log, .err = err };
	struct stat st;
	int ret;

	/* before the size: a writer that finishes in between is not taken for a dead one */
	log->info.being_written = !fcntl(log->fd, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
	if (fstat(log->fd, &st))
		return tt_fail(err, -errno, "%s: %s", log->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return tt_fail(err, -EBADMSG, "%s: not a regular file", log->path);
	scan.file_size = log->info.file_bytes = (uint64_t)st.st_size;
	scan.window = malloc(WINDOW_SIZE);
	if (!scan.window)
		return tt_fail(err, -ENOMEM, "%s: out of memory", log->path);
	ret = read_file_header(&scan);
	if (!ret)
		ret = walk(&scan);
	if (!ret)
		ret = judge(&scan);
	free(scan.window);
	return ret;
}
