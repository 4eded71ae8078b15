// SPDX-License-Identifier: GPL-2.0
/*
 * log_file.c - frames into the file. Format: log_format.h.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <zstd.h>

#include "log_file.h"
#include "log_output.h"

#define SECTION_LEVEL  (-10)	   /* fast: kernels and initrds are compressed already */
#define FINISH_RESERVE (64u << 10) /* room to finish the file, besides its seek table */

/* What the seek table needs to know of a frame, and what is lost with it when its write fails. */
struct file_entry {
	uint32_t header_size;
	uint32_t body_size;
	uint32_t raw_size;
	uint32_t num_events;
};

struct log_file {
	struct log_output *output;
	const struct tt_log_section *sections;
	size_t num_sections;
	unsigned int num_vcpus;
	int level;
	uint64_t salt;
	ZSTD_CCtx *zstd;
	uint8_t *raw;
	struct file_entry *entries;
	size_t num_entries;
	size_t max_entries;
	size_t seek_table_size;
	struct tt_log_stats stats;
};

/* ------------------------------------------------------------------ compression */

static int compress_part(struct log_file *file, ZSTD_outBuffer *out, const void *data, size_t size,
			 bool last)
{
	ZSTD_inBuffer in = { data, size, 0 };

	/* there is always room in out, so one call does it all and 0 bytes are left inside */
	return ZSTD_compressStream2(file->zstd, out, &in, last ? ZSTD_e_end : ZSTD_e_flush) ? -EIO :
											      0;
}

/*
 * Compress raw as the body of a frame, cutting zstd blocks where the kind of data changes, when
 * that is worth the bytes: zstd decides for each block whether and how to compress it.
 */
static int compress_body(struct log_file *file, int level, const uint8_t *raw,
			 const struct log_body *body, uint8_t *to, size_t room, uint32_t *size)
{
	const size_t cuts[] = { body->random, body->payload };
	const size_t worth = 128;
	ZSTD_outBuffer out = { to, room, 0 };
	size_t from = 0;
	int ret;

	ZSTD_CCtx_reset(file->zstd, ZSTD_reset_session_only);
	ZSTD_CCtx_setParameter(file->zstd, ZSTD_c_compressionLevel, level);
	ZSTD_CCtx_setPledgedSrcSize(file->zstd, body->size);
	for (size_t i = 0; i < 2; i++) {
		if (cuts[i] - from < worth || body->size - cuts[i] < worth)
			continue;
		ret = compress_part(file, &out, raw + from, cuts[i] - from, false);
		if (ret)
			return ret;
		from = cuts[i];
	}
	ret = compress_part(file, &out, raw + from, body->size - from, true);
	*size = (uint32_t)out.pos;
	return ret;
}

/* ------------------------------------------------------------------ frames */

static size_t entry_lines(const struct file_entry *entry)
{
	return entry->body_size ? 2 : 1;
}

static uint32_t entry_bytes(const struct file_entry *entry)
{
	return entry->header_size + entry->body_size;
}

/* Make room for one more entry, so that a frame that was submitted can always be remembered. */
static int grow_entries(struct log_file *file)
{
	size_t max = file->max_entries ? 2 * file->max_entries : 256;
	struct file_entry *entries;

	if (file->num_entries < file->max_entries)
		return 0;
	entries = realloc(file->entries, max * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	file->entries = entries;
	file->max_entries = max;
	return 0;
}

static void count_entry(struct log_file *file, const struct file_entry *entry, int sign)
{
	struct tt_log_stats *stats = &file->stats;

	file->seek_table_size += (size_t)(sign * 8 * (int)entry_lines(entry));
	if (!entry->num_events) {
		stats->section_bytes += (uint64_t)(sign * (int64_t)entry_bytes(entry));
		return;
	}
	stats->frames += (uint64_t)sign;
	stats->events += (uint64_t)(sign * (int64_t)entry->num_events);
	stats->raw_bytes += (uint64_t)(sign * (int64_t)entry->raw_size);
	stats->event_bytes += (uint64_t)(sign * (int64_t)entry_bytes(entry));
}

/* Build and submit one frame. body is NULL when it has none. */
static int write_frame(struct log_file *file, struct log_header *header, int level,
		       const uint8_t *raw, const struct log_body *body)
{
	uint8_t *frame = log_output_buffer(file->output);
	struct file_entry *entry;
	int ret = grow_entries(file);

	if (ret)
		return ret;
	header->sequence = (uint32_t)file->num_entries;
	header->distance = 0;
	if (file->num_entries)
		header->distance = entry_bytes(&file->entries[file->num_entries - 1]);
	header->body_size = 0;
	log_header_put(header, file->sections, frame);
	if (body) {
		ret = compress_body(file, level, raw, body, frame + header->header_size,
				    LOG_OUTPUT_BUFFER_SIZE - header->header_size,
				    &header->body_size);
		if (ret)
			return ret;
		log_header_put(header, file->sections, frame); /* now that its size is known */
	}
	log_seal(frame, header->header_size, header->body_size,
		 header->kind == LOG_FRAME_FILE ? 0 : file->salt);
	ret = log_output_submit(file->output, (size_t)header->header_size + header->body_size,
				FINISH_RESERVE + file->seek_table_size);
	if (ret)
		return ret;
	entry = &file->entries[file->num_entries++];
	*entry = (struct file_entry){
		.header_size = header->header_size,
		.body_size = header->body_size,
		.raw_size = body ? (uint32_t)body->size : 0,
		.num_events = header->kind == LOG_FRAME_EVENTS ? header->events.num_events : 0,
	};
	count_entry(file, entry, 1);
	return 0;
}

static int write_file_header(struct log_file *file)
{
	struct log_header header = {
		.kind = LOG_FRAME_FILE,
		.file = {
			.version = LOG_VERSION,
			.salt = file->salt,
			.num_vcpus = file->num_vcpus,
			.num_sections = (uint32_t)file->num_sections,
		},
	};
	int ret = write_frame(file, &header, 0, NULL, NULL);

	return ret ? ret : log_output_drain(file->output);
}

int log_file_write_section(struct log_file *file, uint32_t index)
{
	const struct tt_log_section *section = &file->sections[index];
	uint64_t offset = 0;

	while (offset < section->size) {
		uint64_t left = section->size - offset;
		size_t size = left < LOG_RAW_MAX ? (size_t)left : LOG_RAW_MAX;
		struct log_body body = { size, size, size };
		struct log_header header = {
			.kind = LOG_FRAME_SECTION,
			.section = { index, offset },
		};
		int ret = write_frame(file, &header, SECTION_LEVEL,
				      (const uint8_t *)section->data + offset, &body);

		if (ret)
			return ret;
		offset += size;
	}
	return 0;
}

int log_file_write_events(struct log_file *file, unsigned int vcpu,
			  const struct tt_event *const *events, size_t n)
{
	struct log_header header = { .kind = LOG_FRAME_EVENTS, .events.vcpu = vcpu };
	struct log_body body;
	int ret = log_events_encode(events, n, file->raw, &header, &body);

	return ret ? ret : write_frame(file, &header, file->level, file->raw, &body);
}

int log_file_drain(struct log_file *file)
{
	return log_output_drain(file->output);
}

/* ------------------------------------------------------------------ finishing */

/*
 * A frame is counted when it is submitted; if its write failed later, while it was waited for, the
 * file ends before it.
 */
static void forget_failed_frames(struct log_file *file)
{
	uint64_t end = 0;
	size_t whole = 0;

	for (; whole < file->num_entries; whole++) {
		end += entry_bytes(&file->entries[whole]);
		if (end > log_output_end(file->output))
			break;
	}
	while (file->num_entries > whole)
		count_entry(file, &file->entries[--file->num_entries], -1);
}

static int write_seek_table(struct log_file *file)
{
	uint8_t *buffer = log_output_buffer(file->output);
	uint8_t *out = log_put_u32(buffer, LOG_SEEK_TABLE_MAGIC);
	uint32_t lines = 0;
	int ret;

	out = log_put_u32(out, (uint32_t)(file->seek_table_size - 8));
	for (size_t i = 0; i < file->num_entries; i++) {
		const struct file_entry *entry = &file->entries[i];

		if (out - buffer > LOG_OUTPUT_BUFFER_SIZE - 64) {
			ret = log_output_submit(file->output, (size_t)(out - buffer), 0);
			if (ret)
				return ret;
			out = buffer = log_output_buffer(file->output);
		}
		out = log_put_u32(out, entry->header_size);
		out = log_put_u32(out, 0);
		if (entry->body_size) {
			out = log_put_u32(out, entry->body_size);
			out = log_put_u32(out, entry->raw_size);
		}
		lines += (uint32_t)entry_lines(entry);
	}
	out = log_put_u32(out, lines);
	*out++ = 0; /* no checksums */
	out = log_put_u32(out, LOG_SEEK_FOOTER_MAGIC);
	return log_output_submit(file->output, (size_t)(out - buffer), 0);
}

int log_file_finish(struct log_file *file, int error)
{
	struct log_header header = { .kind = LOG_FRAME_TRAILER };
	int ret;

	if (error) {
		log_output_clear_error(file->output);
		forget_failed_frames(file);
	}
	header.trailer.events = file->stats.events;
	header.trailer.error = (uint32_t)-error;
	ret = write_frame(file, &header, 0, NULL, NULL);
	if (!ret)
		ret = write_seek_table(file);
	if (!ret)
		ret = log_output_drain(file->output);
	return ret;
}

/* ------------------------------------------------------------------ creating and closing */

void log_file_stats(const struct log_file *file, struct tt_log_stats *stats)
{
	uint64_t stalls = stats->stalls;

	*stats = file->stats;
	stats->file_bytes = log_output_end(file->output);
	stats->stalls = stalls;
}

static void free_file(struct log_file *file)
{
	ZSTD_freeCCtx(file->zstd);
	free(file->entries);
	free(file->raw);
	free(file);
}

int log_file_create(const char *path, const struct tt_log_section *sections, size_t num_sections,
		    const struct tt_log_options *options, struct log_file **result,
		    struct tt_error *err)
{
	struct log_file *file = calloc(1, sizeof(*file));
	int ret = -ENOMEM;

	if (!file)
		return tt_fail(err, ret, "%s: out of memory", path);
	file->sections = sections;
	file->num_sections = num_sections;
	file->num_vcpus = options->num_vcpus;
	file->level = options->level;
	file->seek_table_size = 8 + LOG_SEEK_FOOTER_SIZE;
	file->zstd = ZSTD_createCCtx();
	file->raw = malloc(LOG_RAW_MAX);
	if (!file->zstd || !file->raw) {
		tt_fail(err, ret, "%s: out of memory", path);
		goto err_free;
	}
	if (getrandom(&file->salt, sizeof(file->salt), 0) != sizeof(file->salt)) {
		ret = tt_fail(err, -errno, "%s: no random numbers: %s", path, strerror(errno));
		goto err_free;
	}
	ret = log_output_open(path, options->no_io_uring, &file->output, err);
	if (ret)
		goto err_free;
	file->stats.io_uring = log_output_uses_io_uring(file->output);
	ret = write_file_header(file);
	if (ret) {
		tt_fail(err, ret, "%s: cannot write to it: %s", path, strerror(-ret));
		goto err_output;
	}
	*result = file;
	return 0;

err_output:
	log_output_close(file->output);
err_free:
	free_file(file);
	return ret;
}

int log_file_close(struct log_file *file)
{
	int ret = log_output_close(file->output);

	free_file(file);
	return ret;
}
